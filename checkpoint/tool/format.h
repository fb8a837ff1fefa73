/* SPDX-License-Identifier: Apache-2.0
 *
 * format: bytes as people see them, by the format that a state or an edge declares (FORMATS in
 * weir.h), and back again.
 *
 *   format := "utf8" | "json" | "hex" | type | type "[" [count] "]"
 *   type   := number | "{" number name [ "[" count "]" ] { ";" number name ... } [ ";" ] "}"
 *   number := "u8" "u16" "u32" "u64" "i8" "i16" "i32" "i64" "f32" "f64"
 *
 * A struct lies in memory as C lays it out; "[]" is as many as there are. In text:
 *
 *   numbers     17, -3, 0.5, nan, inf
 *   arrays      [1, 2, 3]
 *   structs     {count: 3, sum: 0.5}
 *   utf8        the text; control characters, and a backslash, as \n \t \r \\ \xNN
 *   json        the text on one line
 *   hex         0x00ff
 *
 * What does not fit its format - another size, no UTF-8, no JSON - is told in hex, and so is what
 * declares no format, or one that is not known, unless it is text that can be printed: "the text".
 * 0x in front always means hex, so format_parse takes whatever format_print has printed.
 *
 * In JSON: numbers (as a text where JSON has none of that size), texts, arrays and objects; what is
 * told in hex is {"hex": "00ff"}.
 */
#ifndef FORMAT_H
#define FORMAT_H

#include <jansson.h>
#include <stdio.h>

#include "weir_checkpoint.h"

#define FORMAT_FIELDS 64u
#define FORMAT_NAME_SIZE 64u

enum format_kind {
    FORMAT_NONE,
    FORMAT_HEX,
    FORMAT_UTF8,
    FORMAT_JSON,
    FORMAT_NUMBER,
    FORMAT_STRUCT
};

struct format_number; /* a row of the table in format.c */

struct format_field {
    char name[FORMAT_NAME_SIZE];
    const struct format_number *number;
    size_t offset;  /* bytes */
    uint32_t count; /* in an array; 0: it is none */
};

struct format {
    enum format_kind kind;
    struct format_field fields[FORMAT_FIELDS]; /* of a number: one without a name */
    uint32_t field_count;
    size_t size;     /* of one number or struct, padded: bytes */
    bool is_array;   /* of them */
    uint32_t length; /* of that array; 0: as many as there are */
};

/* NULL and "" are FORMAT_NONE. False: it is not understood, and `format` is FORMAT_NONE. */
bool format_read(struct format *format, const char *text);

/* Do these bytes fit it? What does not is told in hex. */
bool format_fits(const struct format *format, struct weir_bytes bytes);
/* Nothing but the digits. */
void format_hex(struct weir_bytes bytes, FILE *to);
void format_print(const struct format *format, struct weir_bytes bytes, FILE *to);
/* The caller's; NULL: no memory. */
json_t *format_json(const struct format *format, struct weir_bytes bytes);

/* The same of one member of the struct that lies there. */
json_t *format_field_json(const struct format_field *field, const unsigned char *at);

/* What `text` says in this format; *data is the caller's, from malloc. False: it says nothing in
 * it, or there is no memory. */
bool format_parse(const struct format *format, const char *text, void **data, size_t *size);
/* How such a text looks, for an error message. */
const char *format_example(const struct format *format);

#endif
