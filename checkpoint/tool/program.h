/* SPDX-License-Identifier: Apache-2.0
 *
 * program: runs another program to its end, and keeps what it says.
 */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <stddef.h>

struct program {
    int code;            /* it exited with; -1: a signal ended it */
    char *out;           /* its standard output; freed by program_free */
    size_t out_size;     /* bytes */
    char complaint[512]; /* the first line of its standard error; "": none */
};

/* argv[0] is a path, and NULL ends it; its standard input is empty. 0, or what the system says why
 * it can't be run: an errno. */
int program_run(struct program *program, char *const *argv);
void program_free(struct program *program);

#endif
