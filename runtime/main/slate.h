/* SPDX-License-Identifier: Apache-2.0
 *
 * slate: what must outlive an attempt at a job. Without a supervisor an attempt is one run in this
 * process; with one it may take the process with it, so the slate is memory that both processes
 * share, and the supervisor reads what the dead child has left there.
 *
 *   Z1  A child may die between any two instructions. What it keeps by slate_keep is written to the
 *       one of two places that does not count, with a checksum, and then made to count.
 *   Z2  A dying child may have written anywhere. The supervisor believes a place only when its
 *       checksum holds, and bounds whatever it reads beyond that.
 *   Z3  Nobody waits for anybody: the child alone writes while it lives, the supervisor while it
 *       does not.
 */
#ifndef SLATE_H
#define SLATE_H

#include <stdatomic.h>

#include "crash.h"
#include "restart.h"
#include "suspects.h"

/* What later attempts need of earlier ones. */
struct slate_memory {
    struct restart restart;
    struct suspects suspects;
    uint32_t ran;      /* 1: weir_job_start has ever been successful */
    uint32_t draining; /* 1: WEIR_STOP_DRAIN was asked for */
    uint32_t restarts; /* so far, of processes and in them */
    int64_t failed_ns; /* monotonic; when the last attempt failed; 0: none has */
};

enum { SLATE_STOPS_ALL = 1 << WEIR_STOP_SUSPEND | 1 << WEIR_STOP_DRAIN | 1 << WEIR_STOP_NOW };

struct slate_place {
    struct slate_memory memory;
    uint64_t sum; /* weir_hash of memory */
};

struct slate {
    struct slate_place places[2]; /* Z1 */
    _Atomic uint32_t turn;        /* its lowest bit says which place counts */
    _Atomic uint64_t commits;     /* checkpoints committed, by all attempts; any thread */
    _Atomic uint64_t known;       /* the newest checkpoint that was in the store; any thread */
    _Atomic int finished;         /* 1 + exit code: the child's work is done; 0: it is not */
    /* 1 << enum weir_stop, each that was asked for through the control endpoint; added to by any
     * thread, and never taken back: whoever asked was told that it would be. */
    _Atomic uint32_t stops;
    /* The pulse of the child, a few times a second: for deaths that leave no other trace. */
    _Atomic int64_t seen_ns; /* monotonic; 0: the job has not run in this child */
    _Atomic uint64_t records_in;
    _Atomic uint64_t checkpoint;
    struct crash crash;
};

/* Zeroed, in memory that is shared with children to come; NULL: out of memory. */
struct slate *slate_new(void);
void slate_free(struct slate **slate);

void slate_keep(struct slate *slate, const struct slate_memory *memory);
/* The newest that is whole; `memory` is left as it is when nothing can be believed. */
void slate_recall(const struct slate *slate, struct slate_memory *memory);
/* Was a stop asked for that ends the run, rather than its input? */
bool slate_stopping(const struct slate *slate);
/* Wipes what a child leaves of itself; what is kept stays. */
void slate_wipe(struct slate *slate);

#endif
