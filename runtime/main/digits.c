/* SPDX-License-Identifier: Apache-2.0 */
#include "digits.h"

#include <inttypes.h>

#include "refusal.h"

const char *digits_take(const char *text, uint64_t *number)
{
    const char *at = text;

    *number = 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (*number > (UINT64_MAX - digit) / 10)
            return NULL;
        *number = *number * 10 + digit;
    }
    return at == text ? NULL : at;
}

enum weir_result digits_parse(const char *what, const char *text, uint64_t least, uint64_t most,
                              uint64_t *number, struct weir_error *error)
{
    const char *rest = digits_take(text, number);

    if (rest == NULL || *rest != '\0' || *number < least || *number > most) {
        if (most == UINT64_MAX)
            return refuse(error, "%s %s: say a whole number of at least %" PRIu64, what, text,
                          least);
        return refuse(error, "%s %s: say a whole number from %" PRIu64 " to %" PRIu64, what, text,
                      least, most);
    }
    return WEIR_OK;
}
