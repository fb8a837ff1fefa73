/* SPDX-License-Identifier: Apache-2.0 */
#include "sheet.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "number.h"

/* -------------------------------------------------------------------------------- columns -- */

static bool grow(struct sheet *sheet)
{
    size_t count = sheet->count + 1;
    struct sheet_column *columns = realloc(sheet->columns, count * sizeof *columns);
    if (columns != NULL)
        sheet->columns = columns;
    struct cell *cells = realloc(sheet->cells, count * sizeof *cells);
    if (cells != NULL)
        sheet->cells = cells;
    return columns != NULL && cells != NULL;
}

static uint32_t add(struct sheet *sheet, const char *origin, const char *name, enum sheet_type type)
{
    for (uint32_t i = 0; i < sheet->count; i++) {
        if (strcmp(sheet->columns[i].origin, origin) != 0)
            continue;
        if (sheet->columns[i].type != type)
            sheet->columns[i].type = SHEET_ANY;
        return i;
    }
    if (sheet->failed || !grow(sheet)) {
        sheet->failed = true;
        return 0;
    }
    struct sheet_column *column = &sheet->columns[sheet->count];
    snprintf(column->origin, sizeof column->origin, "%s", origin);
    column->type = type;
    sheet->cells[sheet->count] = (struct cell){0};
    sheet->failed = !naming_take(&sheet->naming, name, column->name);
    return sheet->count++;
}

uint32_t sheet_add(struct sheet *sheet, const char *name, enum sheet_type type)
{
    return add(sheet, name, name, type);
}

/* SQL's integers have 63 bits: what may have more is a text then, so the column is of no type. */
static enum sheet_type type_of(const struct format_number *number)
{
    if (number->kind == NUMBER_REAL)
        return SHEET_REAL;
    return number->kind == NUMBER_UNSIGNED && number->size == 8 ? SHEET_ANY : SHEET_INTEGER;
}

void sheet_add_place(struct sheet *sheet, const char *name, const struct format *format,
                     struct sheet_place *place)
{
    bool is_struct = format->kind == FORMAT_STRUCT && !format->is_array;
    char origin[NAMING_SIZE], column[NAMING_SIZE];
    *place = (struct sheet_place){.format = format};
    for (uint32_t i = 0; is_struct && i < format->field_count; i++) {
        const struct format_field *field = &format->fields[i];
        snprintf(origin, sizeof origin, "%s.%s", name, field->name);
        snprintf(column, sizeof column, "%s_%s", name, field->name);
        place->fields[i] =
            add(sheet, origin, column, field->count > 0 ? SHEET_TEXT : type_of(field->number));
    }
    if (!is_struct && format->kind != FORMAT_HEX)
        place->whole = sheet_add(sheet, name,
                                 format->kind == FORMAT_NUMBER && !format->is_array
                                     ? type_of(format->fields[0].number)
                                     : SHEET_TEXT);
    snprintf(column, sizeof column, "%s_bytes", name);
    place->bytes = sheet_add(sheet, column, SHEET_BYTES);
}

/* ---------------------------------------------------------------------------------- cells -- */

static struct cell *cell_of(struct sheet *sheet, uint32_t column)
{
    return column < sheet->count ? &sheet->cells[column] : &sheet->lost;
}

void sheet_integer(struct sheet *sheet, uint32_t column, int64_t value)
{
    *cell_of(sheet, column) = (struct cell){.kind = CELL_INTEGER, .integer = value};
}

void sheet_unsigned(struct sheet *sheet, uint32_t column, const uint64_t *value)
{
    *cell_of(sheet, column) = (struct cell){
        .kind = CELL_NUMBER, .number = number_named("u64", 3), .bytes = {value, sizeof *value}};
}

static void put_text(struct sheet *sheet, uint32_t column, struct weir_bytes text)
{
    *cell_of(sheet, column) = (struct cell){.kind = CELL_TEXT, .bytes = text};
}

void sheet_text(struct sheet *sheet, uint32_t column, const char *text)
{
    put_text(sheet, column, (struct weir_bytes){text, strlen(text)});
}

static void put_json(struct sheet *sheet, uint32_t column, json_t *json)
{
    sheet->failed |= json == NULL;
    *cell_of(sheet, column) = (struct cell){.kind = CELL_JSON, .json = json};
}

static void put_number(struct sheet *sheet, uint32_t column, const struct format_field *field,
                       const unsigned char *at)
{
    *cell_of(sheet, column) = (struct cell){.kind = CELL_NUMBER,
                                            .number = field->number,
                                            .bytes = {at + field->offset, field->number->size}};
}

/* Has one of these numbers no place in SQL? */
static bool has_nan(const struct format *format, const unsigned char *at)
{
    for (uint32_t i = 0; i < format->field_count; i++) {
        const struct format_field *field = &format->fields[i];
        if (field->count == 0 && field->number->kind == NUMBER_REAL &&
            isnan(number_real(field->number, at + field->offset)))
            return true;
    }
    return false;
}

static void put_numbers(struct sheet *sheet, const struct sheet_place *place,
                        struct weir_bytes bytes)
{
    const struct format *format = place->format;
    const unsigned char *at = bytes.data;
    if (format->is_array) {
        put_json(sheet, place->whole, format_json(format, bytes));
        return;
    }
    for (uint32_t i = 0; i < format->field_count; i++) {
        const struct format_field *field = &format->fields[i];
        uint32_t column = format->kind == FORMAT_STRUCT ? place->fields[i] : place->whole;
        if (field->count > 0)
            put_json(sheet, column, format_field_json(field, at));
        else
            put_number(sheet, column, field, at);
    }
    if (has_nan(format, at))
        *cell_of(sheet, place->bytes) = (struct cell){.kind = CELL_BYTES, .bytes = bytes};
}

void sheet_bytes(struct sheet *sheet, const struct sheet_place *place, struct weir_bytes bytes)
{
    const struct format *format = place->format;
    bool numbers = format->kind == FORMAT_NUMBER || format->kind == FORMAT_STRUCT;
    bool zero = bytes.size > 0 && memchr(bytes.data, 0, bytes.size) != NULL;
    if (!format_fits(format, bytes) || (!numbers && zero))
        *cell_of(sheet, place->bytes) = (struct cell){.kind = CELL_BYTES, .bytes = bytes};
    else if (numbers)
        put_numbers(sheet, place, bytes);
    else if (format->kind == FORMAT_JSON)
        put_json(sheet, place->whole, format_json(format, bytes));
    else
        put_text(sheet, place->whole, bytes);
}

void sheet_clear(struct sheet *sheet)
{
    for (uint32_t i = 0; i < sheet->count; i++) {
        json_decref(sheet->cells[i].json);
        sheet->cells[i] = (struct cell){0};
    }
}

void sheet_free(struct sheet *sheet)
{
    sheet_clear(sheet);
    free(sheet->columns);
    free(sheet->cells);
    naming_free(&sheet->naming);
    *sheet = (struct sheet){0};
}
