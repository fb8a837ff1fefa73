/* SPDX-License-Identifier: Apache-2.0
 *
 * number: the number of a record, for the operators that count with it: from the value's declared
 * form or from the user's callback. Texts are read the same way in every locale.
 */
#ifndef NUMBER_H
#define NUMBER_H

#include "weir_operators.h"

/* Which of the two is in use is the same for all records of a node: number_is_real. */
union number {
    int64_t integer;
    double real; /* finite, and never -0 */
};
_Static_assert(sizeof(union number) == 8, "saved in checkpoints, emitted in lists");

struct number_source {
    enum weir_number form;
    weir_integer_of integer; /* at most one of the two */
    weir_real_of real;
    const void *config;
};

enum number_found {
    NUMBER_FOUND,
    NUMBER_NONE,   /* the callback says that the record has none */
    NUMBER_FAILED, /* and so has the run */
};

/* NULL, or what is wrong with the source. */
const char *number_check(const struct number_source *source);
bool number_is_real(const struct number_source *source);
enum number_found number_take(struct weir_context *context, const struct number_source *source,
                              const struct weir_record *record, union number *number);

/* The whole text must be one; false: it is not, or it is out of range. */
bool number_parse_integer(struct weir_bytes text, int64_t *number);
bool number_parse_real(struct weir_bytes text, double *number);

#endif
