/* SPDX-License-Identifier: Apache-2.0
 *
 * json: one JSON object on one line, in a fixed buffer. Written by hand rather than with a library
 * because it must not allocate - "out of memory" is one of the things to be said - and because its
 * texts are error messages and records: any bytes, where a library refuses what is no UTF-8.
 *
 *   - A byte that is no UTF-8 becomes U+FFFD; a control character \uXXXX.
 *   - The object is flat.
 *   - A text that does not fit is cut; a member that does not fit at all is left out. What comes
 *     out is an object in any case.
 */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JSON_ROOM = 16384 };

struct json {
    char text[JSON_ROOM]; /* ends with a zero once json_end was called */
    size_t used;
    bool first; /* no member yet */
};

void json_begin(struct json *json);
/* Members. Names are the program's own: not escaped. */
void json_text(struct json *json, const char *name, const char *value);
void json_number(struct json *json, const char *name, uint64_t value);
void json_signed(struct json *json, const char *name, int64_t value);
void json_flag(struct json *json, const char *name, bool value);
/* Closes the object, and adds a newline. */
void json_end(struct json *json);

#endif
