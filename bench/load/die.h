/* SPDX-License-Identifier: Apache-2.0
 *
 * die: how a bench gives up, naming itself and the reason, with exit code 1.
 */
#ifndef DIE_H
#define DIE_H

#include <stdio.h>
#include <stdlib.h>

static inline _Noreturn void die(const char *program, const char *what)
{
    fflush(stdout);
    fprintf(stderr, "%s: %s\n", program, what);
    exit(1);
}

#endif
