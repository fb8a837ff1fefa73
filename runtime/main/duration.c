/* SPDX-License-Identifier: Apache-2.0 */
#include "duration.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "digits.h"
#include "refusal.h"

static const struct {
    const char *name;
    int64_t ns;
} units[] = {
    {"us", 1000}, {"ms", 1000000}, {"s", 1000000000}, {"min", 60000000000}, {"h", 3600000000000}};

static int64_t unit_ns(const char *name)
{
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(name, units[i].name) == 0)
            return units[i].ns;
    return 0;
}

enum weir_result duration_parse(const char *what, const char *text, bool zero, int64_t *ns,
                                struct weir_error *error)
{
    uint64_t count;
    const char *rest = digits_take(text, &count);

    if (rest == NULL)
        return refuse(error, "%s %s: that is no length of time; say 100ms or 1s", what, text);
    if (*rest == '\0')
        return refuse(error, "%s %s has no unit; say %sms or %ss", what, text, text, text);

    int64_t unit = unit_ns(rest);
    if (unit == 0)
        return refuse(error, "%s %s: the unit \"%s\" is unknown; use us, ms, s, min or h", what,
                      text, rest);
    if (count == 0 && !zero)
        return refuse(error, "%s %s: it must be more than 0", what, text);
    if (count > (uint64_t)(INT64_MAX / 2 / unit)) /* can be added to the clock's time */
        return refuse(error, "%s %s is too long", what, text);
    *ns = (int64_t)count * unit;
    return WEIR_OK;
}
