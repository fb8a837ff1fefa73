/* SPDX-License-Identifier: Apache-2.0
 *
 * sheet: a table that is exported: its columns, and the cells of the row in hand. Bytes with a
 * format, called NAME, have these columns:
 *
 *   a struct           NAME_MEMBER for each member; an array in it is JSON
 *   hex                none but the next
 *   anything else      NAME: a number, a text, or JSON
 *   all                NAME_bytes, for what the others can't hold: bytes that do not fit the
 *                      format, or text with a NUL in it (the others are empty then), and what has a
 *                      NaN
 */
#ifndef SHEET_H
#define SHEET_H

#include "format.h"
#include "naming.h"

enum cell_kind { CELL_NONE, CELL_INTEGER, CELL_NUMBER, CELL_TEXT, CELL_JSON, CELL_BYTES };

struct cell {
    enum cell_kind kind;
    int64_t integer;
    const struct format_number *number; /* NUMBER: as it lies at bytes.data */
    struct weir_bytes bytes;            /* NUMBER, TEXT, BYTES; borrowed until the row is written */
    json_t *json;                       /* JSON: the sheet's */
};

/* What a column's cells are, but for NONE. */
enum sheet_type { SHEET_INTEGER, SHEET_REAL, SHEET_TEXT, SHEET_BYTES, SHEET_ANY };

struct sheet_column {
    char origin[NAMING_SIZE]; /* what it is of: a column asked for twice is one */
    char name[NAMING_SIZE];
    enum sheet_type type;
};

/* Zeroed to begin with, but for the name. */
struct sheet {
    char name[NAMING_SIZE]; /* of the table */
    struct sheet_column *columns;
    struct cell *cells;
    uint32_t count;
    struct naming naming;
    bool failed;      /* no memory; sticky: */
    struct cell lost; /* then takes what has no column, and is never written */
};

/* Where bytes of one format go. */
struct sheet_place {
    const struct format *format; /* borrowed */
    uint32_t whole, bytes, fields[FORMAT_FIELDS];
};

/* Adds a column; its index. */
uint32_t sheet_add(struct sheet *sheet, const char *name, enum sheet_type type);
/* Adds those of bytes with this format. Places with one name share columns, and may differ in
 * format. */
void sheet_add_place(struct sheet *sheet, const char *name, const struct format *format,
                     struct sheet_place *place);

/* What is not set is none. */
void sheet_integer(struct sheet *sheet, uint32_t column, int64_t value);
/* One beyond an int64_t stays what it is; *value is borrowed. */
void sheet_unsigned(struct sheet *sheet, uint32_t column, const uint64_t *value);
void sheet_text(struct sheet *sheet, uint32_t column, const char *text);
void sheet_bytes(struct sheet *sheet, const struct sheet_place *place, struct weir_bytes bytes);

/* Makes all cells none. */
void sheet_clear(struct sheet *sheet);
void sheet_free(struct sheet *sheet);

#endif
