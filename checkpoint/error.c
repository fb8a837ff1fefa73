/* SPDX-License-Identifier: Apache-2.0 */
#include "error.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Bytes of the well-formed UTF-8 sequence at `at`, 0 when there is none. C1 controls count as none:
 * terminals obey them. */
static size_t sequence_size(const unsigned char *at)
{
    size_t size = 0;
    if (at[0] < 0x80)
        return 1;
    if (at[0] >= 0xc2 && at[0] <= 0xdf)
        size = 2;
    else if ((at[0] & 0xf0) == 0xe0)
        size = 3;
    else if (at[0] >= 0xf0 && at[0] <= 0xf4)
        size = 4;
    for (size_t i = 1; i < size; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0; /* the text's zero ends here too */
    if (at[0] == 0xc2 && at[1] < 0xa0)
        return 0;
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f))
        return 0;
    if ((at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
        return 0;
    return size;
}

/* File names and stored texts are whatever somebody put there; they must not forge log lines. */
static void make_printable(char *text)
{
    unsigned char *at = (unsigned char *)text;
    while (*at != 0) {
        size_t size = sequence_size(at);
        if (size == 0 || *at < 0x20 || *at == 0x7f) {
            *at = '?';
            size = 1;
        }
        at += size;
    }
}

static void fill(struct weir_error *error, enum weir_result code, int os_error, const char *text)
{
    error->code = code;
    error->os_error = os_error;
    size_t size = strnlen(text, sizeof error->text - 1); /* what does not fit is cut */
    memcpy(error->text, text, size);
    error->text[size] = 0;
    make_printable(error->text);
}

enum weir_result error_set(struct weir_error *error, enum weir_result code, int os_error,
                           const char *format, ...)
{
    if (error == NULL)
        return code;
    char text[sizeof error->text]; /* the arguments may point into *error */
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    error->node[0] = 0;
    fill(error, code, os_error, text);
    return code;
}

const char *error_reason(int os_error, char room[ERROR_REASON_ROOM])
{
    return strerror_r(os_error, room, ERROR_REASON_ROOM);
}

enum weir_result error_os(struct weir_error *error, int os_error, const char *format, ...)
{
    enum weir_result code = os_error == ENOMEM ? WEIR_NO_MEMORY : WEIR_IO;
    if (error == NULL)
        return code;
    char what[sizeof error->text], reason[ERROR_REASON_ROOM];
    char text[sizeof what + sizeof reason + 2];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    snprintf(text, sizeof text, "%s: %s", what, error_reason(os_error, reason));
    error->node[0] = 0;
    fill(error, code, os_error, text);
    return code;
}

enum weir_result error_memory(struct weir_error *error, const char *what, size_t size)
{
    return error_set(error, WEIR_NO_MEMORY, ENOMEM, "out of memory: %s needs %zu bytes", what,
                     size);
}

enum weir_result error_unless_version(struct weir_error *error, const char *what, uint64_t version,
                                      uint64_t ours)
{
    if (version > ours)
        return error_set(error, WEIR_UNSUPPORTED, 0,
                         "%s format version %" PRIu64
                         " is newer than this library's, which is %" PRIu64
                         ": take the weir that wrote it, or a later one",
                         what, version, ours);
    if (version == 0)
        return error_set(error, WEIR_UNSUPPORTED, 0,
                         "%s format version 0 is of no release: take the weir that wrote it", what);
    return WEIR_OK;
}

enum weir_result error_within(struct weir_error *error, const char *format, ...)
{
    if (error == NULL)
        return WEIR_FAILED;
    char what[sizeof error->text], text[2 * sizeof error->text + 2];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    snprintf(text, sizeof text, "%s: %s", what, error->text);
    fill(error, error->code, error->os_error, text);
    return error->code;
}
