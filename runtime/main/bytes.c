/* SPDX-License-Identifier: Apache-2.0 */
#include "bytes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "digits.h"
#include "refusal.h"

static const struct {
    const char *name;
    uint64_t bytes;
} units[] = {
    {"B", 1},
    {"kB", 1000},
    {"MB", 1000 * 1000},
    {"GB", 1000 * 1000 * 1000},
    {"TB", UINT64_C(1000) * 1000 * 1000 * 1000},
    {"KiB", UINT64_C(1) << 10},
    {"MiB", UINT64_C(1) << 20},
    {"GiB", UINT64_C(1) << 30},
    {"TiB", UINT64_C(1) << 40},
};

static uint64_t unit_bytes(const char *name)
{
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(name, units[i].name) == 0)
            return units[i].bytes;
    return 0;
}

enum weir_result bytes_parse(const char *what, const char *text, uint64_t *bytes,
                             struct weir_error *error)
{
    uint64_t count;
    const char *rest = digits_take(text, &count);

    if (rest == NULL)
        return refuse(error, "%s %s: that is no amount of bytes; say 4096B, 64KiB or 10GB", what,
                      text);
    if (*rest == '\0')
        return refuse(error, "%s %s has no unit; say %sB or %sMiB", what, text, text, text);

    uint64_t unit = unit_bytes(rest);
    if (unit == 0)
        return refuse(error,
                      "%s %s: the unit \"%s\" is unknown; use B, or kB, MB, GB, TB of 1000, or "
                      "KiB, MiB, GiB, TiB of 1024",
                      what, text, rest);
    if (count > UINT64_MAX / unit)
        return refuse(error, "%s %s is too large", what, text);
    *bytes = count * unit;
    return WEIR_OK;
}
