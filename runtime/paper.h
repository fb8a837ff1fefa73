/* SPDX-License-Identifier: Apache-2.0
 *
 * paper: lines for people, for Graphviz or for programs, given to a callback one at a time. What is
 * told is of fixed form and at most a few screenfuls, so its JSON is written by hand; names need no
 * escape, all other texts go through paper_quote. Pure.
 */
#ifndef PAPER_H
#define PAPER_H

#include "weir_base.h"

#define PAPER_LINE 2048   /* bytes; what is more is cut off */
#define PAPER_QUOTED 1400 /* of any error's text */

struct paper {
    void (*line)(void *context, const char *text);
    void *context;
    char text[PAPER_LINE];
};

void paper_say(struct paper *paper, const char *format, ...) WEIR_PRINTF(2, 3);
/* `text` as it may stand between quotes of JSON and of Graphviz alike: quotes and backslashes
 * escaped, what is not printable ASCII replaced, cut where `word` is full. */
const char *paper_quote(const char *text, char *word, size_t room);
/* "," behind all but the last of `count`. */
const char *paper_separator(uint32_t index, uint32_t count);

#endif
