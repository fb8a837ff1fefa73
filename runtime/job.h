/* SPDX-License-Identifier: Apache-2.0
 *
 * job: builds everything one start needs, lets it go, and takes it apart again. The order of
 * building is the order of the struct; taking apart goes backwards.
 */
#ifndef JOB_H
#define JOB_H

#include "coordinator.h"
#include "fetch.h"
#include "task.h"
#include "writer.h"

struct weir_job {
    struct weir_job_options options; /* resolved: no member is "default" any more */
    struct weir_graph *graph;
    struct run run;
    _Atomic uint64_t recorded, sealed; /* see struct run */
    struct annex annex;                /* zeroed without state_memory */
    struct store *store;               /* NULL without */
    struct store *savepoint;           /* restored from, while it is read; else NULL */
    struct manifest_graph description;
    struct manifest restored; /* zeroed: a first start */
    struct fetch fetch;       /* while it is read */
    struct transport *transport;
    struct view view;
    struct coordinator coordinator;
    struct writer writer;
    struct task *tasks;
    uint32_t task_count;   /* initialised */
    struct pipe *requests; /* to the coordinator; used inside view.monitor */
    struct thread **threads;
    uint32_t thread_count; /* started */
};

/* job_options.c: what the caller gave, checked, with every default filled in. */
enum weir_result job_take_options(const struct weir_job_options *given,
                                  struct weir_job_options *resolved,
                                  struct weir_error *error) WEIR_MUST_USE;
/* job_restore.c: opens the store, finds the checkpoint to go on from, and reads every task's part
 * and what was in flight.
 */
enum weir_result job_open_store(struct weir_job *job, struct weir_error *error) WEIR_MUST_USE;
/* A folder for what cycles spill, if there is a cycle, and for state beyond state_memory. */
enum weir_result job_open_scratch(struct weir_job *job, struct weir_error *error) WEIR_MUST_USE;
enum weir_result job_read_parts(struct weir_job *job, struct weir_error *error) WEIR_MUST_USE;
/* job_wire.c: inboxes and pipes of every actor. */
enum weir_result job_wire(struct weir_job *job, uint64_t run_number,
                          struct weir_error *error) WEIR_MUST_USE;

#endif
