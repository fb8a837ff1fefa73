/* SPDX-License-Identifier: Apache-2.0 */
#include "number.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN 40        /* bytes of a bad value, in a message */
#define TEXT_LIMIT 1024 /* of a real number, bytes: more digits than any double has */

const char *number_check(const struct number_source *source)
{
    if (source->integer && source->real)
        return "give it one callback for the number, not two";
    if ((unsigned)source->form > WEIR_NUMBER_REAL_TEXT)
        return "its form of number is unknown";
    if ((source->integer || source->real) && source->form != WEIR_NUMBER_I64)
        return "give it a form of number or a callback, not both";
    return NULL;
}

bool number_is_real(const struct number_source *source)
{
    return source->real || source->form == WEIR_NUMBER_F64 || source->form == WEIR_NUMBER_REAL_TEXT;
}

/* ---------------------------------------------------------------------------- from texts -- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool number_parse_integer(struct weir_bytes text, int64_t *number)
{
    const char *at = text.data, *end = at + text.size;
    uint64_t value = 0;
    bool minus = text.size > 0 && *at == '-';
    if (text.size > 0 && (*at == '-' || *at == '+'))
        at++;
    if (at == end)
        return false;
    for (; at < end; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (!is_digit(*at) || value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    if (value > (uint64_t)INT64_MAX + minus)
        return false;
    *number = (int64_t)(minus ? 0 - value : value);
    return true;
}

/* A decimal number taken apart. */
struct decimal {
    bool minus;
    uint64_t digits; /* all of them, as a whole number */
    bool exact;      /* they fit */
    int64_t power;   /* of ten, that it is to be multiplied with */
    size_t point;    /* where the point is in the text, or SIZE_MAX */
};

static const char *take_digits(const char *at, const char *end, struct decimal *decimal)
{
    for (; at < end && is_digit(*at); at++) {
        decimal->exact = decimal->exact && decimal->digits < UINT64_C(100000000000000000);
        decimal->digits = decimal->digits * 10 + (uint64_t)(*at - '0');
    }
    return at;
}

static const char *take_exponent(const char *at, const char *end, int64_t *power)
{
    bool minus = at < end && *at == '-';
    int64_t value = 0;
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    if (at == end)
        return NULL;
    for (; at < end && is_digit(*at); at++)
        value = value < 100000 ? value * 10 + (*at - '0') : value;
    *power += minus ? -value : value;
    return at;
}

/* [+-] digits [. digits] [e [+-] digits], with a digit before or behind the point. */
static bool take_apart(struct weir_bytes text, struct decimal *decimal)
{
    const char *begin = text.data, *at = begin, *end = begin + text.size;
    *decimal = (struct decimal){.exact = true, .point = SIZE_MAX};
    if (at < end && (*at == '-' || *at == '+'))
        decimal->minus = *at++ == '-';
    const char *first = at;
    at = take_digits(at, end, decimal);
    size_t count = (size_t)(at - first);
    if (at < end && *at == '.') {
        decimal->point = (size_t)(at - begin);
        const char *fraction = at + 1;
        at = take_digits(fraction, end, decimal);
        count += (size_t)(at - fraction);
        decimal->power = -(int64_t)(at - fraction);
    }
    if (count == 0)
        return false;
    if (at < end && (*at == 'e' || *at == 'E'))
        at = take_exponent(at + 1, end, &decimal->power);
    return at == end;
}

/* libc's strtod wants the locale's point, which printf tells without <locale.h>. */
static bool real_by_libc(struct weir_bytes text, const struct decimal *decimal, double *number)
{
    char copy[TEXT_LIMIT + 16], half[16];
    if (text.size > TEXT_LIMIT)
        return false;
    size_t head = decimal->point == SIZE_MAX ? text.size : decimal->point;
    memcpy(copy, text.data, head);
    copy[head] = '\0';
    if (head < text.size) {
        int length = snprintf(half, sizeof half, "%.1f", 0.5);
        if (length < 3 || (size_t)length >= sizeof half)
            return false;
        size_t point = (size_t)length - 2, tail = text.size - head - 1;
        memcpy(copy + head, half + 1, point);
        memcpy(copy + head + point, (const char *)text.data + head + 1, tail);
        copy[head + point + tail] = '\0';
    }
    char *end;
    *number = strtod(copy, &end);
    return *end == '\0' && isfinite(*number);
}

/* Up to 2^53 and 10^22 both operands are exact, so one operation rounds correctly (Clinger). */
static bool real_at_once(const struct decimal *decimal, double *number)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (!decimal->exact || decimal->digits > UINT64_C(1) << DBL_MANT_DIG || decimal->power < -22 ||
        decimal->power > 22)
        return false;
    double value = (double)decimal->digits;
    value = decimal->power < 0 ? value / powers[-decimal->power] : value * powers[decimal->power];
    *number = decimal->minus ? -value : value;
    return true;
}

bool number_parse_real(struct weir_bytes text, double *number)
{
    struct decimal decimal;
    if (!take_apart(text, &decimal))
        return false;
    return real_at_once(&decimal, number) || real_by_libc(text, &decimal, number);
}

/* -------------------------------------------------------------------------- from records -- */

static enum number_found refuse(struct weir_context *context, const struct weir_record *record,
                                const char *wanted)
{
    char shown[SHOWN + 1];
    size_t size = record->value.size < SHOWN ? record->value.size : SHOWN;
    for (size_t i = 0; i < size; i++) {
        char c = ((const char *)record->value.data)[i];
        shown[i] = c >= ' ' && c <= '~' ? c : '?';
    }
    shown[size] = '\0';
    weir_fail(context, WEIR_INVALID, "a value is not %s: \"%s\"%s, %zu bytes", wanted, shown,
              size < record->value.size ? "..." : "", record->value.size);
    return NUMBER_FAILED;
}

static enum number_found take_binary(struct weir_context *context, const struct weir_record *record,
                                     union number *number, const char *wanted)
{
    if (record->value.size != sizeof *number)
        return refuse(context, record, wanted);
    memcpy(number, record->value.data, sizeof *number);
    return NUMBER_FOUND;
}

static enum number_found find_number(struct weir_context *context,
                                     const struct number_source *source,
                                     const struct weir_record *record, union number *number)
{
    if (source->integer)
        return source->integer(record, &number->integer, source->config) ? NUMBER_FOUND
                                                                         : NUMBER_NONE;
    if (source->real)
        return source->real(record, &number->real, source->config) ? NUMBER_FOUND : NUMBER_NONE;
    switch (source->form) {
    case WEIR_NUMBER_I64:
        return take_binary(context, record, number, "an i64 of 8 bytes");
    case WEIR_NUMBER_F64:
        return take_binary(context, record, number, "an f64 of 8 bytes");
    case WEIR_NUMBER_INTEGER_TEXT:
        return number_parse_integer(record->value, &number->integer)
                   ? NUMBER_FOUND
                   : refuse(context, record, "a decimal integer of 64 bits");
    case WEIR_NUMBER_REAL_TEXT:
        return number_parse_real(record->value, &number->real)
                   ? NUMBER_FOUND
                   : refuse(context, record, "a decimal number");
    }
    return NUMBER_FAILED;
}

enum number_found number_take(struct weir_context *context, const struct number_source *source,
                              const struct weir_record *record, union number *number)
{
    enum number_found found = find_number(context, source, record, number);
    if (found != NUMBER_FOUND || !number_is_real(source))
        return found;
    if (!isfinite(number->real)) {
        weir_fail(context, WEIR_INVALID, "a number is infinite or not a number");
        return NUMBER_FAILED;
    }
    number->real += 0.0; /* -0 and 0 are one number: make them the same bytes */
    return NUMBER_FOUND;
}
