/* SPDX-License-Identifier: Apache-2.0
 *
 * number: the numbers that formats are made of, as they lie in memory.
 */
#ifndef NUMBER_H
#define NUMBER_H

#include <jansson.h>
#include <stdio.h>

#include "weir_checkpoint.h"

enum number_kind { NUMBER_UNSIGNED, NUMBER_SIGNED, NUMBER_REAL };

struct format_number {
    char name[4];
    enum number_kind kind;
    size_t size; /* and alignment: bytes */
};

/* NULL: none is called so. */
const struct format_number *number_named(const char *name, size_t name_size);

/* As it lies there, each for numbers of its kind alone. */
uint64_t number_unsigned(const struct format_number *number, const unsigned char *at);
int64_t number_signed(const struct format_number *number, const unsigned char *at);
double number_real(const struct format_number *number, const unsigned char *at);

void number_print(const struct format_number *number, const unsigned char *at, FILE *to);
json_t *number_json(const struct format_number *number, const unsigned char *at);
/* Takes a number from the front of *text, which is moved behind it. False: there is none that
 * fits. */
bool number_parse(const struct format_number *number, const char **text, unsigned char *to);

#endif
