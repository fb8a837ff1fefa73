/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    ENDING = 3 /* a brace, a newline, a zero: always kept free */,
    NUMBER_ROOM = 24,
    ESCAPE_ROOM = 8
};

static bool fits(const struct json *json, size_t size)
{
    return size <= JSON_ROOM - ENDING - json->used;
}

static void append(struct json *json, const char *text, size_t size)
{
    memcpy(json->text + json->used, text, size);
    json->used += size;
}

void json_begin(struct json *json)
{
    json->text[0] = '{';
    json->used = 1;
    json->first = true;
}

/* The name of a member whose value takes at least `value_size` bytes; false: no room. */
static bool member(struct json *json, const char *name, size_t value_size)
{
    size_t size = strlen(name);

    if (!fits(json, strlen(", \"\": ") + size + value_size))
        return false;
    if (!json->first)
        append(json, ", ", 2);
    append(json, "\"", 1);
    append(json, name, size);
    append(json, "\": ", 3);
    json->first = false;
    return true;
}

static void raw(struct json *json, const char *name, const char *value, size_t size)
{
    if (member(json, name, size))
        append(json, value, size);
}

void json_number(struct json *json, const char *name, uint64_t value)
{
    char text[NUMBER_ROOM];
    int size = snprintf(text, sizeof text, "%" PRIu64, value);

    raw(json, name, text, (size_t)size);
}

void json_signed(struct json *json, const char *name, int64_t value)
{
    char text[NUMBER_ROOM];
    int size = snprintf(text, sizeof text, "%" PRId64, value);

    raw(json, name, text, (size_t)size);
}

void json_flag(struct json *json, const char *name, bool value)
{
    raw(json, name, value ? "true" : "false", value ? 4 : 5);
}

/* ------------------------------------------------------------------------------------- texts -- */

static bool continues(unsigned char byte, unsigned char least, unsigned char most)
{
    return byte >= least && byte <= most;
}

/* The bytes of the character at `at`, of a text that ends with a zero; 0: it is no UTF-8. The
 * second byte's bounds keep out overlong forms, surrogates and what lies beyond U+10FFFF. */
static size_t character(const unsigned char *at)
{
    size_t size = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    unsigned char least = at[0] == 0xe0 ? 0xa0 : at[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char most = at[0] == 0xed ? 0x9f : at[0] == 0xf4 ? 0x8f : 0xbf;

    if (at[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < size; i++)
        if (!continues(at[i], i == 1 ? least : 0x80, i == 1 ? most : 0xbf))
            return 0;
    return size;
}

/* One character as it is written; answers how many bytes of `at` it stands for. */
static size_t escape(const unsigned char *at, char out[ESCAPE_ROOM], size_t *size)
{
    size_t taken = character(at);

    if (taken == 0)
        *size = (size_t)snprintf(out, ESCAPE_ROOM, "\\ufffd");
    else if (*at == '\n')
        *size = (size_t)snprintf(out, ESCAPE_ROOM, "\\n");
    else if (*at < ' ' || *at == 0x7f)
        *size = (size_t)snprintf(out, ESCAPE_ROOM, "\\u%04x", *at);
    else if (*at == '"' || *at == '\\')
        *size = (size_t)snprintf(out, ESCAPE_ROOM, "\\%c", *at);
    else
        memcpy(out, at, *size = taken);
    return taken > 0 ? taken : 1;
}

void json_text(struct json *json, const char *name, const char *value)
{
    const unsigned char *at = (const unsigned char *)value;
    char out[ESCAPE_ROOM];
    size_t size;

    if (!member(json, name, 2))
        return;
    append(json, "\"", 1);
    while (*at != '\0') {
        at += escape(at, out, &size);
        if (!fits(json, size + 1))
            break;
        append(json, out, size);
    }
    append(json, "\"", 1);
}

void json_end(struct json *json)
{
    append(json, "}\n", 2);
    json->text[json->used] = '\0';
}
