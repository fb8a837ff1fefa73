/* SPDX-License-Identifier: Apache-2.0
 *
 * pool: threads that do what blocks, for one task. The only file of this folder that knows threads;
 * what a job does is its owner's business.
 *
 *   the owner                                      a thread
 *     pool_give  -> queue ------------------------>  started = true, run(job)
 *     pool_take  <- done list <- and pool_fd rises <-
 *
 * O1  A job belongs to its owner, then from pool_give on to the pool, until pool_take hands it back
 *     or pool_stop has returned; what a job holds needs no lock of its own.
 * O2  pool_fd is readable from the moment the first job is done until pool_take.
 * O3  After pool_stop no thread is left, and no job is run.
 */
#ifndef POOL_H
#define POOL_H

#include <stdatomic.h>

#include "weir.h"

struct pool;

struct pool_job {
    struct pool_job *next; /* the pool's; after pool_take the owner's: the next one done */
    atomic_bool started;   /* a thread has begun; the owner may look at any time */
};

/* Starts `threads` of them, named `name` (cut to 15 bytes). NULL: *error says why. */
struct pool *pool_new(const struct weir_allocator *allocator, uint32_t threads, const char *name,
                      void (*run)(struct pool_job *job), struct weir_error *error);
/* Tells run's calls by pool_stopping, forgets what is queued, and waits for what is being run. */
void pool_stop(struct pool *pool);
/* After pool_stop. NULL is accepted. */
void pool_free(struct pool **pool);

/* Any thread. */
bool pool_stopping(const struct pool *pool);

/* The rest: the owner's thread. Jobs are begun in the order they were given. */
void pool_give(struct pool *pool, struct pool_job *job);
/* All that are done, linked by next, first done first; NULL: none. */
struct pool_job *pool_take(struct pool *pool);
int pool_fd(const struct pool *pool);

#endif
