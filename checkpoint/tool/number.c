/* SPDX-License-Identifier: Apache-2.0 */
#include "number.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct format_number numbers[] = {
    {"u8", NUMBER_UNSIGNED, 1},  {"u16", NUMBER_UNSIGNED, 2}, {"u32", NUMBER_UNSIGNED, 4},
    {"u64", NUMBER_UNSIGNED, 8}, {"i8", NUMBER_SIGNED, 1},    {"i16", NUMBER_SIGNED, 2},
    {"i32", NUMBER_SIGNED, 4},   {"i64", NUMBER_SIGNED, 8},   {"f32", NUMBER_REAL, 4},
    {"f64", NUMBER_REAL, 8},
};

const struct format_number *number_named(const char *name, size_t name_size)
{
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (strlen(numbers[i].name) == name_size && memcmp(numbers[i].name, name, name_size) == 0)
            return &numbers[i];
    return NULL;
}

/* A store is read on machines of its own byte order alone; these are little-endian, or the copy
 * would have to begin elsewhere. */
uint64_t number_unsigned(const struct format_number *number, const unsigned char *at)
{
    uint64_t value = 0;
    for (size_t i = 0; i < number->size; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

int64_t number_signed(const struct format_number *number, const unsigned char *at)
{
    unsigned unused = 64 - 8 * (unsigned)number->size;
    int64_t value = (int64_t)(number_unsigned(number, at) << unused);
    return value >> unused;
}

double number_real(const struct format_number *number, const unsigned char *at)
{
    double value;
    float shorter;
    if (number->size == sizeof value) {
        memcpy(&value, at, sizeof value);
        return value;
    }
    memcpy(&shorter, at, sizeof shorter);
    return (double)shorter;
}

/* As few digits as lead back to it. */
static void print_real(const struct format_number *number, double value, char text[32])
{
    int most = number->size == sizeof(float) ? 9 : 17;
    if (isnan(value))
        value = NAN; /* its sign and payload are nobody's business */
    for (int digits = 1; digits <= most; digits++) {
        snprintf(text, 32, "%.*g", digits, isnan(value) ? (double)NAN : value);
        bool same = number->size == sizeof(float) ? strtof(text, NULL) == (float)value
                                                  : strtod(text, NULL) == value;
        if (same || isnan(value))
            return;
    }
}

static void to_text(const struct format_number *number, const unsigned char *at, char text[32])
{
    if (number->kind == NUMBER_UNSIGNED)
        snprintf(text, 32, "%" PRIu64, number_unsigned(number, at));
    else if (number->kind == NUMBER_SIGNED)
        snprintf(text, 32, "%" PRId64, number_signed(number, at));
    else
        print_real(number, number_real(number, at), text);
}

void number_print(const struct format_number *number, const unsigned char *at, FILE *to)
{
    char text[32];
    to_text(number, at, text);
    fputs(text, to);
}

json_t *number_json(const struct format_number *number, const unsigned char *at)
{
    char text[32];
    if (number->kind == NUMBER_REAL && isfinite(number_real(number, at)))
        return json_real(number_real(number, at));
    if (number->kind == NUMBER_SIGNED)
        return json_integer(number_signed(number, at));
    if (number->kind == NUMBER_UNSIGNED && number_unsigned(number, at) <= INT64_MAX)
        return json_integer((json_int_t)number_unsigned(number, at));
    to_text(number, at, text); /* JSON has none like that */
    return json_string(text);
}

/* --- from text ------------------------------------------------------------------------------- */

static bool parse_unsigned(const struct format_number *number, const char *text, char **end,
                           unsigned char *to)
{
    unsigned unused = 64 - 8 * (unsigned)number->size;
    uint64_t value = text[0] == '-' ? 0 : strtoull(text, end, 10);
    if (text[0] == '-' || errno != 0 || value > UINT64_MAX >> unused)
        return false;
    for (size_t i = 0; i < number->size; i++)
        to[i] = (unsigned char)(value >> (8 * i));
    return true;
}

static bool parse_signed(const struct format_number *number, const char *text, char **end,
                         unsigned char *to)
{
    unsigned unused = 64 - 8 * (unsigned)number->size;
    int64_t value = strtoll(text, end, 10);
    if (errno != 0 || value > INT64_MAX >> unused || value < INT64_MIN >> unused)
        return false;
    for (size_t i = 0; i < number->size; i++)
        to[i] = (unsigned char)((uint64_t)value >> (8 * i));
    return true;
}

/* Numbers that are too small for it become the least or zero, as in C. */
static void parse_real(const struct format_number *number, const char *text, char **end,
                       unsigned char *to)
{
    double value = strtod(text, end);
    float shorter = strtof(text, NULL);
    if (number->size == sizeof value)
        memcpy(to, &value, sizeof value);
    else
        memcpy(to, &shorter, sizeof shorter);
}

bool number_parse(const struct format_number *number, const char **text, unsigned char *to)
{
    char *end = (char *)*text;
    bool fits = true;
    if (**text == 0 || strchr(" \t\n\v\f\r+", **text) != NULL)
        return false;
    errno = 0;
    if (number->kind == NUMBER_UNSIGNED)
        fits = parse_unsigned(number, *text, &end, to);
    else if (number->kind == NUMBER_SIGNED)
        fits = parse_signed(number, *text, &end, to);
    else
        parse_real(number, *text, &end, to);
    fits = fits && end != *text;
    *text = end;
    return fits;
}
