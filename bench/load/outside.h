/* SPDX-License-Identifier: Apache-2.0
 *
 * outside: the program bench/paced, as it is seen by who runs it: the events that it says, and the
 * lines it has published. Each is stamped when it is there for another process to see.
 *
 * Every line is checked - it must be the next one, and have counted right - and a wrong one ends
 * the bench: exactly once is not only timed here. What else goes wrong ends it as well, by die.h.
 * The process is ended with this one, however that ends. One thread.
 */
#ifndef OUTSIDE_H
#define OUTSIDE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "folder.h"

enum outside_kind { OUTSIDE_RUNS, OUTSIDE_COMMITTED };

/* What the program said: it runs (for the first time, or again), or has committed a checkpoint. */
struct outside_event {
    enum outside_kind kind;
    pid_t pid;           /* of the process that the job runs in */
    int64_t duration_ns; /* of the checkpoint */
    int64_t heard_ns;    /* all times are by CLOCK_MONOTONIC */
};

struct outside_options {
    uint64_t keys, per_second, every; /* see bench/paced.c */
    int64_t interval_ms;
    bool supervised;
};

struct outside_hooks {
    void (*event)(void *context, const struct outside_event *event);
    /* A part of the output is there, with at least one line: when the oldest and newest record in
     * it were due. */
    void (*part)(void *context, int64_t oldest_due_ns, int64_t newest_due_ns, int64_t seen_ns);
    /* Each line of it, before. */
    void (*line)(void *context, int64_t due_ns, int64_t seen_ns);
    void *context;
};

struct outside {
    struct outside_options options;
    struct outside_hooks hooks;
    char output[FOLDER_ROOM], store[FOLDER_ROOM];
    pid_t pid;           /* of what was started: with `supervised` the parent */
    int events, notices; /* descriptors: its standard output, and inotify's */
    char text[8192];     /* of what it says: the line that is not whole yet */
    size_t held;
    uint64_t next; /* number of the line that is due; 0: the first has not come */
};

/* Starts it in a new store, with no output. It finds the program beside this one. */
void outside_start(struct outside *outside, const struct outside_options *options,
                   const struct outside_hooks *hooks);
/* Calls the hooks for what happens, until `until_ns`, or `*enough` is set by one of them. */
void outside_pass(struct outside *outside, int64_t until_ns, const bool *enough);
/* Stops it by SIGTERM, waits for it, and takes store and output away. */
void outside_stop(struct outside *outside);

#endif
