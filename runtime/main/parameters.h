/* SPDX-License-Identifier: Apache-2.0
 *
 * parameters: what `--set name=value` has set, checked against what the program declares. Values
 * are views into argv and into the declaration; nothing is copied.
 */
#ifndef PARAMETERS_H
#define PARAMETERS_H

#include <stdio.h>

#include "weir_main.h"

#define PARAMETERS_LIMIT 64

struct weir_parameters {
    const struct weir_parameter *declared; /* ends with a zeroed element */
    size_t count;
    const char *text[PARAMETERS_LIMIT]; /* NULL: not set */
};

/* `declared` may be NULL: no parameters. More than PARAMETERS_LIMIT of them are a mistake in the
 * program. */
enum weir_result parameters_begin(struct weir_parameters *parameters,
                                  const struct weir_parameter *declared,
                                  struct weir_error *error) WEIR_MUST_USE;
/* One "name=value". */
enum weir_result parameters_set(struct weir_parameters *parameters, const char *assignment,
                                struct weir_error *error) WEIR_MUST_USE;
/* Fills in the defaults; names everything that is still missing. */
enum weir_result parameters_end(struct weir_parameters *parameters,
                                struct weir_error *error) WEIR_MUST_USE;
/* The help's lines about them. */
void parameters_print(const struct weir_parameter *declared, FILE *out);

#endif
