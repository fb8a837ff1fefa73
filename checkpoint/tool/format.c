/* SPDX-License-Identifier: Apache-2.0
 *
 * format: from the text that declares it. format_show.c has bytes to text and JSON, format_parse.c
 * the way back.
 */
#include "format.h"

#include <ctype.h>
#include <string.h>

#include "number.h"

#define SIZE_MOST ((size_t)16 << 20) /* no value is larger */

static void skip(const char **at)
{
    while (**at == ' ' || **at == '\t' || **at == '\n')
        ++*at;
}

static bool take(const char **at, char wanted)
{
    skip(at);
    if (**at != wanted)
        return false;
    ++*at;
    return true;
}

/* A name, or the number's; its size, 0: there is none. */
static size_t word(const char **at, const char **start)
{
    skip(at);
    *start = *at;
    while (isalnum((unsigned char)**at) || **at == '_' || **at == '-')
        ++*at;
    return (size_t)(*at - *start);
}

/* "[4]", "[]" where that may be, or nothing. */
static bool read_length(const char **at, bool may_be_open, bool *is_array, uint32_t *length)
{
    *is_array = take(at, '[');
    *length = 0;
    if (!*is_array)
        return true;
    skip(at);
    bool told = isdigit((unsigned char)**at);
    for (; isdigit((unsigned char)**at); ++*at) {
        *length = *length * 10 + (uint32_t)(**at - '0');
        if (*length > SIZE_MOST)
            return false;
    }
    return take(at, ']') && (told ? *length > 0 : may_be_open);
}

static bool is_taken(const struct format *format, const char *name)
{
    for (uint32_t i = 0; i < format->field_count; i++)
        if (strcmp(format->fields[i].name, name) == 0)
            return true;
    return false;
}

/* "u64 count" or "f32 bins[8]", behind what there is already. */
static bool read_field(struct format *format, const char **at)
{
    struct format_field *field = &format->fields[format->field_count];
    const char *start;
    bool is_array;
    size_t size = word(at, &start);
    if (format->field_count == FORMAT_FIELDS || (field->number = number_named(start, size)) == NULL)
        return false;
    size = word(at, &start);
    if (size == 0 || size >= sizeof field->name)
        return false;
    memcpy(field->name, start, size);
    field->name[size] = 0;
    if (is_taken(format, field->name) || !read_length(at, false, &is_array, &field->count))
        return false;
    size_t unit = field->number->size;
    field->offset = (format->size + unit - 1) / unit * unit;
    format->size = field->offset + unit * (is_array ? field->count : 1);
    format->field_count++;
    return format->size <= SIZE_MOST;
}

static bool read_struct(struct format *format, const char **at)
{
    size_t align = 1;
    format->kind = FORMAT_STRUCT;
    do {
        skip(at);
        if (**at == '}')
            break;
        if (!read_field(format, at))
            return false;
        size_t unit = format->fields[format->field_count - 1].number->size;
        align = unit > align ? unit : align;
    } while (take(at, ';'));
    format->size = (format->size + align - 1) / align * align;
    return take(at, '}') && format->field_count > 0;
}

static bool read_number(struct format *format, const char **at)
{
    const char *start;
    size_t size = word(at, &start);
    format->kind = FORMAT_NUMBER;
    format->fields[0].number = number_named(start, size);
    format->field_count = 1;
    if (format->fields[0].number == NULL)
        return false;
    format->size = format->fields[0].number->size;
    return true;
}

static bool read_all(struct format *format, const char *at)
{
    static const struct {
        const char *name;
        enum format_kind kind;
    } wholes[] = {
        {"", FORMAT_NONE}, {"hex", FORMAT_HEX}, {"utf8", FORMAT_UTF8}, {"json", FORMAT_JSON}};
    for (size_t i = 0; i < sizeof wholes / sizeof wholes[0]; i++)
        if (strcmp(at, wholes[i].name) == 0) {
            format->kind = wholes[i].kind;
            return true;
        }
    if (!(take(&at, '{') ? read_struct(format, &at) : read_number(format, &at)) ||
        !read_length(&at, true, &format->is_array, &format->length))
        return false;
    skip(&at);
    return *at == 0;
}

bool format_read(struct format *format, const char *text)
{
    memset(format, 0, sizeof *format);
    bool understood = read_all(format, text == NULL ? "" : text);
    if (!understood)
        memset(format, 0, sizeof *format);
    return understood;
}

const char *format_example(const struct format *format)
{
    if (format->is_array)
        return format->kind == FORMAT_STRUCT ? "[{1}, {2}], the members of a struct in their order"
                                             : "[1, 2, 3]";
    switch (format->kind) {
    case FORMAT_HEX:
        return "0x00ff";
    case FORMAT_NUMBER:
        return "17, in the range of the type";
    case FORMAT_STRUCT:
        return "{1, 2}, its members in their order";
    default:
        return "a text, \\xNN for a byte, \\\\ for a backslash, or 0x00ff";
    }
}
