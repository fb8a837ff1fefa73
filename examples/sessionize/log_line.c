/* SPDX-License-Identifier: Apache-2.0 */
#include "log_line.h"

#include <string.h>

#define SECOND 1000000000

/* What is left of the line. A failed step leaves it NULL, and all later ones fail too. */
struct cursor {
    const char *at, *end;
};

static void fail(struct cursor *cursor)
{
    cursor->at = cursor->end = NULL;
}

static void expect(struct cursor *cursor, const char *text)
{
    size_t size = strlen(text);
    if (cursor->at && (size_t)(cursor->end - cursor->at) >= size &&
        memcmp(cursor->at, text, size) == 0)
        cursor->at += size;
    else
        fail(cursor);
}

/* Up to `stop`, which is passed over. */
static struct weir_bytes until(struct cursor *cursor, char stop)
{
    const char *begin = cursor->at;
    const char *found = begin ? memchr(begin, stop, (size_t)(cursor->end - begin)) : NULL;
    if (!found || found == begin) {
        fail(cursor);
        return (struct weir_bytes){0};
    }
    cursor->at = found + 1;
    return (struct weir_bytes){begin, (size_t)(found - begin)};
}

/* Between quotes; a backslash takes the next byte with it. */
static struct weir_bytes quoted(struct cursor *cursor)
{
    expect(cursor, "\"");
    const char *begin = cursor->at, *at = begin;
    while (at && at < cursor->end && *at != '"')
        at += *at == '\\' ? 2 : 1;
    if (!at || at >= cursor->end) {
        fail(cursor);
        return (struct weir_bytes){0};
    }
    cursor->at = at + 1;
    return (struct weir_bytes){begin, (size_t)(at - begin)};
}

/* A number of exactly `digits` digits, or of 1 to 15 when that is 0. */
static uint64_t number(struct cursor *cursor, int digits)
{
    uint64_t value = 0;
    int found = 0;
    while (cursor->at && cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9' &&
           found < (digits ? digits : 15)) {
        value = 10 * value + (uint64_t)(*cursor->at++ - '0');
        found++;
    }
    if (found == 0 || (digits && found != digits))
        fail(cursor);
    return value;
}

static uint64_t month(struct cursor *cursor)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    for (uint64_t i = 0; cursor->at && i < 12 && cursor->end - cursor->at >= 3; i++) {
        if (memcmp(cursor->at, names + 3 * i, 3) == 0) {
            cursor->at += 3;
            return i;
        }
    }
    fail(cursor);
    return 0;
}

static bool is_leap(uint64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days since 1970; month and day count from 0. */
static uint64_t days_since_1970(uint64_t year, uint64_t month, uint64_t day)
{
    static const uint16_t before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    uint64_t last = year - 1;
    uint64_t leaps = last / 4 - last / 100 + last / 400 - (1969 / 4 - 1969 / 100 + 1969 / 400);
    return 365 * (year - 1970) + leaps + before[month] + (month > 1 && is_leap(year)) + day;
}

/* 29/Jan/2026:13:55:36 +0100, in seconds since 1970. */
static int64_t when(struct cursor *cursor)
{
    static const unsigned char lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    uint64_t day = number(cursor, 2);
    expect(cursor, "/");
    uint64_t m = month(cursor);
    expect(cursor, "/");
    uint64_t year = number(cursor, 4);
    expect(cursor, ":");
    uint64_t hour = number(cursor, 2);
    expect(cursor, ":");
    uint64_t minute = number(cursor, 2);
    expect(cursor, ":");
    uint64_t second = number(cursor, 2);
    expect(cursor, " ");
    bool west = cursor->at && cursor->at < cursor->end && *cursor->at == '-';
    expect(cursor, west ? "-" : "+");
    uint64_t zone = number(cursor, 4);
    if (!cursor->at || year < 1970 || year > 2200 || day < 1 ||
        day > lengths[m] + (uint64_t)(m == 1 && is_leap(year)) || hour > 23 || minute > 59 ||
        second > 60 || zone > 1400) {
        fail(cursor);
        return 0;
    }
    int64_t local =
        (int64_t)(((days_since_1970(year, m, day - 1) * 24 + hour) * 60 + minute) * 60 + second);
    int64_t ahead = (int64_t)(zone / 100 * 60 + zone % 100) * 60;
    return west ? local + ahead : local - ahead;
}

bool log_line_parse(struct weir_bytes text, struct log_line *line)
{
    struct cursor cursor = {text.data, (const char *)text.data + text.size};
    line->host = until(&cursor, ' ');
    until(&cursor, ' '); /* the identity nobody has any more */
    until(&cursor, '['); /* the user, who may have a blank in his name */
    line->time = when(&cursor) * SECOND;
    expect(&cursor, "] ");
    quoted(&cursor);
    expect(&cursor, " ");
    number(&cursor, 3);
    expect(&cursor, " ");
    bool none = cursor.at && cursor.at < cursor.end && *cursor.at == '-';
    line->bytes = 0;
    if (none)
        cursor.at++;
    else
        line->bytes = number(&cursor, 0);
    expect(&cursor, " ");
    quoted(&cursor);
    expect(&cursor, " ");
    line->agent = quoted(&cursor);
    return cursor.at && cursor.at == cursor.end;
}
