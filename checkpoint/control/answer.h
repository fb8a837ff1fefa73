/* SPDX-License-Identifier: Apache-2.0
 *
 * answer: what a running program answers, taken apart and told to people.
 */
#ifndef ANSWER_H
#define ANSWER_H

#include <jansson.h>
#include <stdio.h>

#include "ask.h"

/* The caller drops it; NULL: it is no JSON. *refusal, which lives as long: why the answer is no, or
 * none; NULL: it is yes. */
json_t *answer_read(const char *text, const char **refusal);
/* An answer that says yes. */
void answer_print(FILE *to, enum ask_what what, const json_t *answer);

#endif
