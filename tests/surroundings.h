/* SPDX-License-Identifier: Apache-2.0
 *
 * surroundings: what belongs to a whole process and not to one library in it: signal handlers and
 * the calling thread's mask, umask, environment, locale, the sequence of random(), standard
 * streams, limits, the working directory. Looked at before, compared after.
 */
#ifndef SURROUNDINGS_H
#define SURROUNDINGS_H

#include <locale.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define SURROUNDINGS_SIGNALS 65
#define SURROUNDINGS_RANDOM 64

struct surroundings {
    struct sigaction actions[SURROUNDINGS_SIGNALS];
    sigset_t mask;
    mode_t umask;
    char environment[65536];
    char locale[1024];
    char folder[1024];
    char thread[32];
    struct stat streams[3];
    struct rlimit limits[RLIM_NLIMITS];
    long expected[SURROUNDINGS_RANDOM]; /* what random() will give from now on */
    bool random_is_free;                /* set by the test: its sequence is not looked at */
};

/* Sets handlers, umask, environment, locale and seed that nobody would set by chance, and looks. */
void surroundings_look(struct surroundings *surroundings);
/* Each difference fails the test, with its name. */
void surroundings_same(const struct surroundings *surroundings);

#endif
