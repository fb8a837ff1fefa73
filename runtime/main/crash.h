/* SPDX-License-Identifier: Apache-2.0
 *
 * crash: the last words of a supervised process; also of one that is ended because something in it
 * hangs, which watchdog.c writes. A handler of the signals that mean a broken
 * program notes what the thread was at and the addresses of its stack in shared memory, and lets
 * the signal take its course, so that a core dump still shows what there was. The supervisor, which
 * is whole, makes names of the addresses: see trace.h.
 *
 * In the handler only what is async-signal-safe is called. (frames_take is, after
 * frames_prime.) No handler is put where a sanitizer or the program has one. A thread that
 * has used up its stack dies without last words: its handler would need another stack, and threads
 * get theirs from the library, which leaves signals alone.
 */
#ifndef CRASH_H
#define CRASH_H

#include <stdatomic.h>

#include "frames.h"
#include "weir.h"

enum { CRASH_DOING = 24 };

struct crash {
    _Atomic bool claimed; /* one thread tells; others that crash meanwhile wait for the end */
    _Atomic bool traced;  /* from here on `frames` are whole */
    _Atomic bool located; /* and `where` */
    int signal;
    void *fault; /* the address that could not be used */
    int frame_count;
    void *frames[FRAMES_MOST]; /* the innermost first, without the handler's own */
    struct weir_failure where; /* but for `doing`, which is a pointer: */
    char doing[CRASH_DOING];
};

/* In the child: from now on crashes are told to *crash. */
void crash_watch(struct crash *crash);
/* Where the job is whose tasks may crash: weir_job_start and weir_job_close are to be given this
 * address, so that the handler knows the job as long as it has threads. */
struct weir_job **crash_job(void);

void crash_wipe(struct crash *crash);
/* For the supervisor: what a dead child was at. False: it has not said, or what it said can't be
 * believed. `where->doing` borrows from *crash. */
bool crash_where(struct crash *crash, struct weir_failure *where);

#endif
