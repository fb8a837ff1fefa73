/* SPDX-License-Identifier: Apache-2.0
 *
 * rig: one real task on a bench, alone and in one thread, with everything around it played: the
 * tasks that write to it, the task that reads from it, the coordinator and the writer. It stands on
 * a real plan, real inboxes and pipes; what the task runs is what it runs in a job.
 *
 *     feeder 0..n-1 --BATCH, MARKER, END--> the task --BATCH, MARKER, END--> collector
 *                                            ^    |
 *       GO, ANNOUNCE, ABORT, COMMITTED, QUIT |    | READY, PART, RECORDED, SEALED, CONFIRMED, ENDED
 *                                          (coordinator and writer)
 *
 * Rounds are aligned: a cut then falls exactly where the marker was fed.
 *
 * A feeder is a real outlet, the collector a real gate, so credits, sequences and markers are those
 * of a job. Everything goes through one inbox on either side: in one thread nothing is under way
 * when nobody acts, and what stands still then stands still for ever.
 *
 * R1  rig_announce .. rig_complete or rig_abort: one round at a time (P10).
 * R2  the collector's transcript at the moment it cuts is what a reader has that restarts from that
 *     checkpoint.
 */
#ifndef RIG_H
#define RIG_H

#include "guard.h"
#include "task.h"
#include "transcript.h"

/* What stays the same over all runs of one operator. */
struct rig_plan {
    struct weir_graph *graph;
    struct plan plan;
    const struct weir_operator *table;
    const char **output_names;
    uint32_t task; /* its number in the plan */
    uint32_t input_count, output_count;
    uint32_t *reader_slot, *writer_slot;
};

/* Lays out a graph of the node, one feeder an input and a collector. Names and tables are borrowed
 * from `node`, which must outlive the plan. */
enum weir_result rig_plan_make(struct rig_plan *plan, const struct weir_node_options *node,
                               struct weir_error *error) WEIR_MUST_USE;
void rig_plan_free(struct rig_plan *plan);

/* How a run goes about it. What comes out must not depend on it. */
struct rig_manner {
    uint32_t batch_bytes; /* of the task's output */
    uint32_t window;      /* batches */
    uint32_t span;        /* records given at a time, at most */
    bool grudging;        /* the collector reads only when nothing else moves */
};

struct rig_options {
    struct rig_manner manner;
    const char *store;       /* a folder, or NULL */
    uint32_t epoch;          /* of this run */
    uint64_t restored;       /* id of the checkpoint, 0: none */
    struct weir_bytes part;  /* what it holds of the task, and */
    const struct logs *logs; /* of its states */
    unsigned char filling;   /* of the guard */
};

struct rig {
    const struct rig_plan *plan;
    struct rig_options options;
    struct guard guard;
    struct run run;
    _Atomic uint64_t recorded, sealed_bytes; /* the run's */
    struct transport *transport;
    struct inbox *outside;
    struct pipe *into;
    struct task task;
    bool tasked; /* the task is initialised */
    struct outlet *feeders;
    struct gate collector;
    struct transcript *heard; /* borrowed */

    bool ready, ended;
    uint64_t confirmed;   /* the highest id */
    uint64_t round;       /* the last announced */
    bool sealed, reached; /* of `round`: by the task, by the collector's cut */
    struct blob_buffer part;
    struct logs logs;            /* of its states; in memory of no guard, like the part */
    struct saver_list later;     /* what the operator has yet to write of it */
    struct transcript_mark mark; /* R2 */
    struct step step;            /* the task's last */
    bool rests;                  /* nothing moved in the last turn */
    uint64_t turns;              /* in which the task did something */
    uint64_t target;             /* what is waited for */
    int64_t patience_ns;         /* when no sign of life is an error */
    uint32_t idle_turns;
    struct weir_error failure; /* first; code WEIR_OK: none */
};

/* Opens the task, restored if it is to be, and lets it go. The transcript goes on from where it is.
 * On failure the rig still wants rig_close. */
enum weir_result rig_open(struct rig *rig, const struct rig_plan *plan,
                          const struct rig_options *options, struct transcript *heard,
                          struct weir_error *error) WEIR_MUST_USE;
/* Closes the operator and frees everything. WEIR_FAILED: it did not give all its memory back. A
 * second call does nothing. */
enum weir_result rig_close(struct rig *rig, struct weir_error *error) WEIR_MUST_USE;

/* Into a feeder's open batch. */
enum weir_result rig_feed(struct rig *rig, const struct weir_torture_step *step,
                          struct weir_error *error) WEIR_MUST_USE;
/* Sends what was fed, without waiting. */
void rig_send(struct rig *rig);
/* Until the task has consumed what it was fed and waits. */
enum weir_result rig_settle(struct rig *rig, struct weir_error *error) WEIR_MUST_USE;
/* Until it has done one more thing, or ended. */
enum weir_result rig_advance(struct rig *rig, struct weir_error *error) WEIR_MUST_USE;
void rig_end(struct rig *rig); /* END on every input */

/* The coordinator's ANNOUNCE, and a marker on each input. */
void rig_announce(struct rig *rig, uint64_t id);
/* Until the round is complete: rig->part, rig->logs, rig->later and rig->mark are its. */
enum weir_result rig_complete(struct rig *rig, struct weir_error *error) WEIR_MUST_USE;
void rig_abort(struct rig *rig);
/* As the writer does, any time after the cut: appends to the part what was to be written later, and
 * lets go of it. */
enum weir_result rig_write_later(struct saver_list *later, struct blob_buffer *part,
                                 struct weir_error *error) WEIR_MUST_USE;
/* Tells that `id` is durable, and waits until all that it covers is published. */
enum weir_result rig_commit(struct rig *rig, uint64_t id, struct weir_error *error) WEIR_MUST_USE;

#endif
