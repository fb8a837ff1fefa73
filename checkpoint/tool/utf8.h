/* SPDX-License-Identifier: Apache-2.0
 *
 * utf8: is it text, may a terminal have it, and how to write it so that it may.
 */
#ifndef UTF8_H
#define UTF8_H

#include <stdio.h>

#include "weir_checkpoint.h"

/* Well-formed UTF-8: no surrogates, nothing longer than need be. */
bool utf8_is(struct weir_bytes bytes);
/* The same without control characters: those of ASCII and U+0080 to U+009F. */
bool utf8_is_printable(struct weir_bytes bytes);

/* Of well-formed text: control characters, backslashes, and `quote` (0: none) escaped. */
void utf8_escape(struct weir_bytes bytes, char quote, FILE *to);
/* Any text, for people: control characters, and what is no UTF-8, as \xNN. */
void utf8_disarm(const char *text, FILE *to);
/* Takes that of utf8_escape back: into `to`, which has as many bytes as `text`. False: an escape
 * that is none. */
bool utf8_unescape(struct weir_bytes text, unsigned char *to, size_t *size);

#endif
