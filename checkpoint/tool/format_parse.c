/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "number.h"
#include "utf8.h"

struct room {
    unsigned char *data;
    size_t size, capacity;
};

/* Zeroed; NULL: no memory. */
static unsigned char *more(struct room *room, size_t size)
{
    if (room->size + size > room->capacity) {
        size_t capacity = 2 * (room->size + size);
        unsigned char *data = realloc(room->data, capacity);
        if (data == NULL)
            return NULL;
        room->data = data;
        room->capacity = capacity;
    }
    memset(room->data + room->size, 0, size);
    room->size += size;
    return room->data + room->size - size;
}

static void skip(const char **at)
{
    while (**at == ' ')
        ++*at;
}

static bool take(const char **at, char wanted)
{
    skip(at);
    if (**at != wanted)
        return false;
    ++*at;
    skip(at);
    return true;
}

/* -------------------------------------------------------------------------------- numbers -- */

static bool parse_field(const struct format_field *field, const char **at, unsigned char *to)
{
    if (field->count > 0 && !take(at, '['))
        return false;
    for (uint32_t i = 0; i == 0 || i < field->count; i++) {
        if (i > 0 && !take(at, ','))
            return false;
        if (!number_parse(field->number, at, to + field->offset + i * field->number->size))
            return false;
    }
    return field->count == 0 || take(at, ']');
}

/* Names may be left out. */
static void skip_name(const struct format_field *field, const char **at)
{
    size_t size = strlen(field->name);
    const char *behind = *at + size;
    if (strncmp(*at, field->name, size) == 0 && take(&behind, ':'))
        *at = behind;
}

static bool parse_one(const struct format *format, const char **at, unsigned char *to)
{
    bool braces = format->kind == FORMAT_STRUCT;
    if (to == NULL || (braces && !take(at, '{')))
        return false;
    for (uint32_t i = 0; i < format->field_count; i++) {
        if (i > 0 && !take(at, ','))
            return false;
        if (braces)
            skip_name(&format->fields[i], at);
        if (!parse_field(&format->fields[i], at, to))
            return false;
    }
    return !braces || take(at, '}');
}

static bool parse_numbers(const struct format *format, const char *at, struct room *room)
{
    size_t count = 0;
    skip(&at);
    if (!format->is_array)
        return parse_one(format, &at, more(room, format->size)) && *at == 0;
    if (!take(&at, '['))
        return false;
    if (format->length == 0 && take(&at, ']'))
        return *at == 0;
    do {
        if (!parse_one(format, &at, more(room, format->size)))
            return false;
        count++;
    } while (take(&at, ','));
    return take(&at, ']') && *at == 0 && (format->length == 0 || count == format->length);
}

/* ---------------------------------------------------------------------------------- bytes -- */

static bool parse_hex(const char *digits, struct room *room)
{
    size_t size = strlen(digits);
    if (size % 2 != 0 || strspn(digits, "0123456789abcdefABCDEF") != size)
        return false;
    for (size_t i = 0; i < size; i += 2) {
        const char pair[] = {digits[i], digits[i + 1], 0};
        unsigned char *to = more(room, 1);
        if (to == NULL)
            return false;
        *to = (unsigned char)strtoul(pair, NULL, 16);
    }
    return true;
}

/* What declares no format may stand in quotes. */
static bool parse_text(const char *text, bool quotes, struct room *room)
{
    size_t size = strlen(text);
    if (quotes && size >= 2 && text[0] == '"' && text[size - 1] == '"') {
        text++;
        size -= 2;
    }
    unsigned char *to = more(room, size);
    return to != NULL && utf8_unescape((struct weir_bytes){text, size}, to, &room->size);
}

static bool parse(const struct format *format, const char *text, struct room *room)
{
    bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    if (hex || format->kind == FORMAT_HEX)
        return parse_hex(hex ? text + 2 : text, room);
    if (format->kind == FORMAT_NUMBER || format->kind == FORMAT_STRUCT)
        return parse_numbers(format, text, room);
    if (format->kind != FORMAT_JSON)
        return parse_text(text, format->kind == FORMAT_NONE, room);
    unsigned char *to = more(room, strlen(text));
    if (to != NULL)
        memcpy(to, text, strlen(text));
    return to != NULL;
}

bool format_parse(const struct format *format, const char *text, void **data, size_t *size)
{
    struct room room = {malloc(1), 0, 1};
    *data = NULL;
    if (room.data == NULL || !parse(format, text, &room)) {
        free(room.data);
        return false;
    }
    *data = room.data;
    *size = room.size;
    return true;
}
