/* SPDX-License-Identifier: Apache-2.0
 *
 * arguments: a bench's command line, which is pairs of a name and a value.
 */
#ifndef ARGUMENTS_H
#define ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct argument {
    const char *name;   /* "--rounds" */
    double least, most; /* of a number */
    /* Where it goes: one of them, with its default in it. Fractions are cut off but in `real`. */
    double *real;
    int *whole;
    uint64_t *count;
    const char **text;
};

/* False: an unknown name, a value that is no number or beyond its bounds, or none. */
bool arguments_take(int argc, char **argv, const struct argument *known, size_t known_count);

#endif
