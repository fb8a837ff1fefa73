/* SPDX-License-Identifier: Apache-2.0
 *
 * job: builds everything one start needs, lets it go, and takes it apart again. The order of
 * building is the order of the struct; taking apart goes backwards.
 */
#ifndef JOB_H
#define JOB_H

#include "coordinator.h"
#include "fetch.h"
#include "mapping.h"
#include "rehash.h"
#include "task.h"
#include "writer.h"

struct weir_job {
    struct weir_job_options options; /* resolved: no member is "default" any more */
    struct weir_graph *graph;
    struct run run;
    _Atomic uint64_t recorded, sealed, held; /* see struct run */
    _Atomic bool timed;                      /* see struct run */
    struct annex annex;                      /* zeroed without state_memory */
    const char *replayed;                    /* the store, of a job that only reads it; else NULL */
    struct store *store;                     /* NULL without */
    struct store *savepoint;                 /* restored from, while it is read; else NULL */
    struct manifest_graph description;
    struct fetch fetch;               /* while it is read */
    struct manifest restored;         /* zeroed: a first start */
    struct mapping mapping;           /* of it onto the graph; zeroed: a first start */
    struct rehash_table old_channels; /* of edges that were moved; while it is restored */
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
/* The same for a job that publishes nothing: the store is read, and that is all. */
enum weir_result job_open_replayed(struct weir_job *job, struct weir_error *error) WEIR_MUST_USE;
/* Refuses another number of key groups than `there`, of what is restored from. */
enum weir_result job_check_groups(const struct weir_job *job, uint32_t there,
                                  struct weir_error *error) WEIR_MUST_USE;
/* A folder for what cycles spill, if there is a cycle, and for state beyond state_memory. */
enum weir_result job_open_scratch(struct weir_job *job, struct weir_error *error) WEIR_MUST_USE;
enum weir_result job_read_parts(struct weir_job *job, struct weir_error *error) WEIR_MUST_USE;
/* Where the checkpoint lies: a savepoint, or the job's store. */
struct store *job_restored_from(const struct weir_job *job);
static inline struct task *job_task_of(const struct weir_job *job, uint32_t node, uint32_t subtask)
{
    const struct plan *plan = &job->run.plan;
    return &job->tasks[plan->chains[plan->nodes[node].chain].first_task + subtask];
}
/* Room for the parts of a task's operators, unless it is there. */
enum weir_result job_make_parts(struct weir_job *job, struct task *task,
                                struct weir_error *error) WEIR_MUST_USE;
/* What was read of an instance, well-formed or not: WEIR_DAMAGED says where it lies, and why. */
enum weir_result job_check_blob(const struct weir_job *job, uint32_t instance,
                                const struct manifest_blob *place, const struct blob_buffer *raw,
                                struct weir_error *error) WEIR_MUST_USE;
/* Read and checked. */
enum weir_result job_read_part(struct weir_job *job, uint32_t instance, struct blob_buffer *part,
                               struct weir_error *error) WEIR_MUST_USE;
/* The logs of an old instance that go on as they are. */
enum weir_result job_read_logs(struct weir_job *job, uint32_t node, uint32_t instance,
                               struct logs *logs, struct weir_error *error) WEIR_MUST_USE;
/* job_map.c: how the checkpoint is laid onto the graph of that description: job->mapping.
 * WEIR_MISMATCH, WEIR_REFUSED: it does not fit, or something would be lost; before anything was
 * changed. */
enum weir_result job_map(struct weir_job *job, const struct manifest_graph *description,
                         struct weir_error *error) WEIR_MUST_USE;
/* The same without asking whether it fits. */
enum weir_result job_make_mapping(struct weir_job *job, const struct manifest_graph *description,
                                  struct weir_error *error) WEIR_MUST_USE;
/* job_rescale.c: the parts, and the values of states, of a node that is not as it was. */
enum weir_result job_hand_over(struct weir_job *job, uint32_t node,
                               struct weir_error *error) WEIR_MUST_USE;
/* Would it share its parts out? Nothing is kept. */
enum weir_result job_try_hand_over(struct weir_job *job, uint32_t node,
                                   struct weir_error *error) WEIR_MUST_USE;
/* job_inflight.c: what was in flight, to where it goes on. */
enum weir_result job_read_inflight(struct weir_job *job, struct weir_error *error) WEIR_MUST_USE;
/* Would there be something where nothing may be? Reads it only if that can be; places nothing. */
enum weir_result job_try_inflight(struct weir_job *job, struct weir_error *error) WEIR_MUST_USE;
/* job_wire.c: inboxes and pipes of every actor. */
enum weir_result job_wire(struct weir_job *job, uint64_t run_number,
                          struct weir_error *error) WEIR_MUST_USE;

#endif
