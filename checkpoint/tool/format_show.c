/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "number.h"
#include "utf8.h"

static bool is_json(struct weir_bytes bytes)
{
    json_t *value =
        bytes.size == 0 || !utf8_is(bytes)
            ? NULL
            : json_loadb(bytes.data, bytes.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    json_decref(value);
    return value != NULL;
}

bool format_fits(const struct format *format, struct weir_bytes bytes)
{
    switch (format->kind) {
    case FORMAT_NONE:
        return utf8_is_printable(bytes);
    case FORMAT_HEX:
        return false;
    case FORMAT_UTF8:
        return utf8_is(bytes);
    case FORMAT_JSON:
        return is_json(bytes);
    default:
        if (!format->is_array)
            return bytes.size == format->size;
        return format->length == 0 ? bytes.size % format->size == 0
                                   : bytes.size == format->size * format->length;
    }
}

/* By many digits at a time: there may be a lot of them. */
void format_hex(struct weir_bytes bytes, FILE *to)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *data = bytes.data;
    char text[512];
    size_t used = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        text[used++] = digits[data[i] >> 4];
        text[used++] = digits[data[i] & 15];
        if (used == sizeof text || i + 1 == bytes.size) {
            fwrite(text, 1, used, to);
            used = 0;
        }
    }
}

/* ----------------------------------------------------------------------------------- text -- */

static void print_field(const struct format_field *field, const unsigned char *at, FILE *to)
{
    if (field->count > 0)
        putc('[', to);
    for (uint32_t i = 0; i == 0 || i < field->count; i++) {
        fputs(i > 0 ? ", " : "", to);
        number_print(field->number, at + field->offset + i * field->number->size, to);
    }
    if (field->count > 0)
        putc(']', to);
}

static void print_one(const struct format *format, const unsigned char *at, FILE *to)
{
    bool named = format->kind == FORMAT_STRUCT;
    fputs(named ? "{" : "", to);
    for (uint32_t i = 0; i < format->field_count; i++) {
        fputs(i > 0 ? ", " : "", to);
        fputs(format->fields[i].name, to);
        fputs(named ? ": " : "", to);
        print_field(&format->fields[i], at, to);
    }
    fputs(named ? "}" : "", to);
}

static void print_numbers(const struct format *format, struct weir_bytes bytes, FILE *to)
{
    const unsigned char *at = bytes.data;
    fputs(format->is_array ? "[" : "", to);
    for (size_t done = 0; done < bytes.size; done += format->size) {
        fputs(done > 0 ? ", " : "", to);
        print_one(format, at + done, to);
    }
    fputs(format->is_array ? "]" : "", to);
}

/* A text that begins like hex must not be taken for it. */
static void print_text(struct weir_bytes bytes, FILE *to)
{
    const char *text = bytes.data;
    if (bytes.size >= 2 && memcmp(text, "0x", 2) == 0) {
        fputs("\\x30", to);
        bytes = (struct weir_bytes){text + 1, bytes.size - 1};
    }
    utf8_escape(bytes, 0, to);
}

/* White space that breaks lines stands between its tokens alone. What else a terminal should not
 * have stands in its texts. */
static void print_json(struct weir_bytes bytes, FILE *to)
{
    const unsigned char *at = bytes.data;
    for (size_t i = 0; i < bytes.size; i++) {
        bool high = at[i] == 0xc2 && i + 1 < bytes.size && at[i + 1] < 0xa0;
        if (at[i] == '\n' || at[i] == '\r' || at[i] == '\t')
            putc(' ', to);
        else if (high || at[i] == 0x7f)
            fprintf(to, "\\u00%02x", at[i += high]);
        else
            putc(at[i], to);
    }
}

void format_print(const struct format *format, struct weir_bytes bytes, FILE *to)
{
    if (!format_fits(format, bytes)) {
        fputs("0x", to);
        format_hex(bytes, to);
    } else if (format->kind == FORMAT_NONE) {
        putc('"', to);
        utf8_escape(bytes, '"', to);
        putc('"', to);
    } else if (format->kind == FORMAT_UTF8) {
        print_text(bytes, to);
    } else if (format->kind == FORMAT_JSON) {
        print_json(bytes, to);
    } else {
        print_numbers(format, bytes, to);
    }
}

/* ----------------------------------------------------------------------------------- JSON -- */

static json_t *json_hex(struct weir_bytes bytes)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *data = bytes.data;
    char *text = malloc(2 * bytes.size + 1);
    if (text == NULL)
        return NULL;
    for (size_t i = 0; i < bytes.size; i++) {
        text[2 * i] = digits[data[i] >> 4];
        text[2 * i + 1] = digits[data[i] & 15];
    }
    json_t *value = json_pack("{s: s%}", "hex", text, 2 * bytes.size);
    free(text);
    return value;
}

json_t *format_field_json(const struct format_field *field, const unsigned char *at)
{
    json_t *array;
    if (field->count == 0)
        return number_json(field->number, at + field->offset);
    array = json_array();
    for (uint32_t i = 0; i < field->count; i++)
        if (json_array_append_new(
                array, number_json(field->number, at + field->offset + i * field->number->size)))
            break;
    return array;
}

static json_t *json_one(const struct format *format, const unsigned char *at)
{
    if (format->kind == FORMAT_NUMBER)
        return format_field_json(&format->fields[0], at);
    json_t *object = json_object();
    for (uint32_t i = 0; i < format->field_count; i++)
        (void)json_object_set_new(object, format->fields[i].name,
                                  format_field_json(&format->fields[i], at));
    return object;
}

static json_t *json_numbers(const struct format *format, struct weir_bytes bytes)
{
    const unsigned char *at = bytes.data;
    if (!format->is_array)
        return json_one(format, at);
    json_t *array = json_array();
    for (size_t done = 0; done < bytes.size; done += format->size)
        (void)json_array_append_new(array, json_one(format, at + done));
    return array;
}

json_t *format_json(const struct format *format, struct weir_bytes bytes)
{
    if (!format_fits(format, bytes))
        return json_hex(bytes);
    switch (format->kind) {
    case FORMAT_JSON:
        return json_loadb(bytes.data, bytes.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    case FORMAT_NUMBER:
    case FORMAT_STRUCT:
        return json_numbers(format, bytes);
    default:
        return json_stringn(bytes.size > 0 ? bytes.data : "", bytes.size);
    }
}
