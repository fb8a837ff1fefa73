/* SPDX-License-Identifier: Apache-2.0
 *
 * machine: what a run was measured on, and how much of it was somebody else's meanwhile.
 *
 * The second is what makes a figure worth nothing: time that the hypervisor took (steal), and time
 * of other processes. Both are shares of what all processors had. Reads /proc; what is not there is
 * told as unknown, and is no error. Any thread.
 */
#ifndef MACHINE_H
#define MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Shares of all processors' time above which a run was too noisy to be believed. */
#define MACHINE_STEAL_MOST 0.02
#define MACHINE_OTHERS_MOST 0.05

/* Processor time until now, in seconds; of the whole machine, but for `own`. */
struct machine_time {
    double all;    /* idle time too */
    double busy;   /* of any process, the kernel included */
    double stolen; /* the hypervisor gave it to others */
    double own;    /* of this process and of its children that were waited for */
};

/* The shares of a time between two readings; 0 .. 1. */
struct machine_use {
    double steal, others;
};

/* Takes the first line of /proc/stat, whose ticks are so many a second. False: it is none, and
 * *time is as it was; `own` is in any case. */
bool machine_parse_stat(const char *text, double ticks_per_second, struct machine_time *time);

/* Now. All but `own` are 0 where /proc/stat can't be read. */
struct machine_time machine_read(void);

struct machine_use machine_use(struct machine_time from, struct machine_time to);

/* Why the figures of such a time are not to be believed, as a sentence; "": they are, as far as can
 * be seen. `text` gets at most `room` bytes, the zero included. */
const char *machine_noise(struct machine_use use, char *text, size_t room);

/* As a JSON object, `machine` of bench/RESULTS.md. `folder`: where stores are kept. */
void machine_print(const char *folder, FILE *out);

#endif
