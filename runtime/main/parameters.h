/* SPDX-License-Identifier: Apache-2.0
 *
 * parameters: what `--set name=value` has set, on the command line or in a --config file, checked
 * against what the program declares. Texts are views into argv, the file's text and the
 * declaration; nothing is copied. Values are parsed once, when they are set.
 */
#ifndef PARAMETERS_H
#define PARAMETERS_H

#include <stdio.h>

#include "weir_main.h"

#define PARAMETERS_LIMIT 64

/* Later ones win over earlier ones; the same one may not say a thing twice. */
enum parameters_source { PARAMETERS_DEFAULT, PARAMETERS_FILE, PARAMETERS_LINE };

struct parameter_value {
    const char *text; /* as it was written; NULL: not set */
    enum parameters_source source;
    uint64_t count; /* also of bytes, and flags: 0, 1 */
    int64_t whole;  /* also ns */
    double real;
};

struct weir_parameters {
    const struct weir_parameter *declared; /* ends with a zeroed element */
    size_t count;
    struct parameter_value values[PARAMETERS_LIMIT];
};

/* Takes the defaults. `declared` may be NULL: no parameters. What is wrong with the declaration -
 * a default of another type, a name twice - is the program's mistake, and said so. */
enum weir_result parameters_begin(struct weir_parameters *parameters,
                                  const struct weir_parameter *declared,
                                  struct weir_error *error) WEIR_MUST_USE;
/* One of them: the name is the `size` bytes at `name`; value NULL: there was none. */
enum weir_result parameters_set(struct weir_parameters *parameters, enum parameters_source source,
                                const char *name, size_t size, const char *value,
                                struct weir_error *error) WEIR_MUST_USE;
/* Names everything that is still missing. */
enum weir_result parameters_end(const struct weir_parameters *parameters,
                                struct weir_error *error) WEIR_MUST_USE;
/* "count", "final|updates": for people. */
const char *parameters_type(const struct weir_parameter *declared);
/* The help's lines about them. */
void parameters_print(const struct weir_parameter *declared, FILE *out);

#endif
