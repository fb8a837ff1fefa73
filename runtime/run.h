/* SPDX-License-Identifier: Apache-2.0
 *
 * run: the facts of one start of a job that all its actors share. Everything here is set before
 * they start and only read afterwards, but for the log, which locks.
 */
#ifndef RUN_H
#define RUN_H

#include <stdatomic.h>

#include "annex.h"
#include "notices.h"
#include "plan.h"
#include "thread.h"

struct run {
    const struct weir_allocator *allocator;
    const _Atomic uint32_t *here; /* 1; and 0 in a child that was forked from this process. NULL:
                                     nobody forks */
    struct plan plan;
    const char *job_name;
    uint32_t epoch;
    uint32_t key_groups;
    bool durable;            /* there is a store */
    char *store;             /* its path as given; NULL without */
    uint64_t restored_id;    /* 0: a first start */
    bool restored_final;     /* that checkpoint was the job's end */
    uint64_t restored_bytes; /* of it, read from the store */
    int64_t began_ns;        /* monotonic; weir_job_start was called */
    char store_id[2 * STORE_ID_SIZE + 1];
    bool careful; /* see weir_job_options */
    bool no_publish;
    bool open_ended;        /* with until_...: the end of input is not told as such */
    uint64_t until_records; /* of each source subtask; 0: no limit */
    int64_t until_time;     /* 0: no limit */
    _Atomic bool *timed;    /* with until_time: somebody has given an event time; any thread */
    struct weir_poison *poison;
    size_t poison_count;
    const char *dead_letters; /* directory; NULL: none */
    uint32_t batch_bytes;
    uint32_t window_batches;
    uint64_t window_bytes;
    bool network; /* channels travel over tcp */
    enum weir_mode mode;
    char *scratch;          /* folder for what cycles spill, and for state; NULL: there is none */
    struct annex *annex;    /* for state larger than memory; NULL: all of it is in memory */
    uint64_t recording_max; /* bytes of memory that rounds may hold in recorded batches (P11), */
    _Atomic uint64_t *recorded; /* and what they hold now; any thread */
    _Atomic uint64_t
        *sealed;             /* bytes of memory in snapshots that are not written yet; any thread */
    _Atomic uint64_t *held;  /* bytes in queues and state of all tasks, where memory_max is set */
    uint64_t memory_max;     /* bytes for batches, recording and state; 0: no limit */
    uint32_t *reader_slot;   /* of each channel: its index in the reader's gate */
    uint32_t *writer_slot;   /* of each channel: its index in the writer's outlet */
    struct notices *notices; /* of polled jobs; else NULL, and the hooks are called at once, */
    struct monitor *log_lock; /* one message or event at a time */
    void (*log)(void *context, enum weir_level level, const char *text);
    void *log_context;
    void (*event)(void *context, const struct weir_event *event);
    void *event_context;
};

/* False: this is a child that was forked from the process that runs the job. It has one thread, and
 * a copy of everything. */
static inline bool run_is_here(const struct run *run)
{
    return run->here == NULL || atomic_load_explicit(run->here, memory_order_relaxed) != 0;
}

/* Any actor's thread. */
void run_log(const struct run *run, enum weir_level level, const char *format, ...)
    WEIR_PRINTF(3, 4);
void run_event(const struct run *run, const struct weir_event *event);

#endif
