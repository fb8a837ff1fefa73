/* SPDX-License-Identifier: Apache-2.0
 *
 * base: what weir_base.h promises that is neither an error's text nor memory.
 */
#include "weir_base.h"

#define TEXT_OF(x) #x
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *weir_version(void)
{
    return VERSION_TEXT(WEIR_VERSION_MAJOR, WEIR_VERSION_MINOR, WEIR_VERSION_PATCH);
}

/* A switch, not a table of pointers: the library has no relocated data. No default, so that the
 * compiler names a result that was forgotten. */
const char *weir_result_name(enum weir_result result)
{
    switch (result) {
    case WEIR_OK:
        return "WEIR_OK";
    case WEIR_INVALID:
        return "WEIR_INVALID";
    case WEIR_NO_MEMORY:
        return "WEIR_NO_MEMORY";
    case WEIR_IO:
        return "WEIR_IO";
    case WEIR_LOCKED:
        return "WEIR_LOCKED";
    case WEIR_NOT_FOUND:
        return "WEIR_NOT_FOUND";
    case WEIR_DAMAGED:
        return "WEIR_DAMAGED";
    case WEIR_UNSUPPORTED:
        return "WEIR_UNSUPPORTED";
    case WEIR_MISMATCH:
        return "WEIR_MISMATCH";
    case WEIR_TOO_LARGE:
        return "WEIR_TOO_LARGE";
    case WEIR_FAILED:
        return "WEIR_FAILED";
    case WEIR_REFUSED:
        return "WEIR_REFUSED";
    case WEIR_TIMEOUT:
        return "WEIR_TIMEOUT";
    case WEIR_STOPPED:
        return "WEIR_STOPPED";
    case WEIR_UNKNOWN:
        return "WEIR_UNKNOWN";
    case WEIR_PROTOCOL:
        return "WEIR_PROTOCOL";
    }
    return "?";
}
