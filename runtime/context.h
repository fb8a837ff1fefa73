/* SPDX-License-Identifier: Apache-2.0
 *
 * context: one operator instance inside its task - what a callback gets as struct weir_context. The
 * public functions that take one are in context.c, what concerns its part of a checkpoint in
 * context_part.c. Task thread only, but for construction.
 */
#ifndef CONTEXT_H
#define CONTEXT_H

#include "letter.h"
#include "logs.h"
#include "outlet.h"
#include "passed.h"
#include "run.h"
#include "saver.h"
#include "state.h"
#include "timer.h"

struct task;

#define CALL_PROCESS "process" /* what task_pulse's `call` says in process and process_many */

/* Where one output leads: every edge from it is a direct call or an edge of the outlet. */
struct context_target {
    struct weir_context *direct; /* or NULL: */
    struct outlet_edge *edge;
    uint32_t port; /* direct: which input of the reader */
};

struct context_output {
    struct outlet_lane *only; /* where every record goes, if there is one such place */
    struct context_target *targets;
    uint32_t count;
};

struct context_handle {
    uint64_t id; /* of the round it was prepared for */
    struct weir_bytes bytes;
};

/* Between weir_emit_reserve and weir_emit_commit: in place where one edge of the outlet is all
 * there is, else in a scratch buffer of the context's. */
struct context_reserve {
    bool open, in_place;
    uint32_t output;
    struct outlet_reserve place;
    struct weir_record record;
    unsigned char *room;
    size_t capacity;
};

struct weir_context {
    struct task *task;
    const struct run *run;
    const struct graph_node *node;
    const struct weir_operator *table;
    void *self;
    uint32_t node_index;
    uint32_t subtask, parallelism;
    uint32_t instance; /* number of its part in a checkpoint */
    struct context_output *outputs;
    uint32_t output_count;
    uint64_t emitted;
    struct state **states;
    struct passed *passed; /* of each state: what scans visited before it was handed over */
    bool restored;         /* the checkpoint has its node */
    struct timers timers;
    unsigned char *timer_key; /* of the timer that fires */
    size_t timer_key_room;
    struct context_handle *handles; /* prepared, unconfirmed; in order */
    uint32_t handle_count, handle_room;
    uint64_t preparing;             /* the id prepare is called for; 0: it is not */
    bool opened;                    /* open was called: close must be */
    bool finished;                  /* a source that ended, or finish answered END */
    bool discards;                  /* in the place of an operator that would publish */
    bool limited;                   /* what it emits is looked at: until_records, until_time */
    bool spent;                     /* a source that has given what it may */
    const struct weir_record *span; /* records in hand */
    uint32_t span_count;            /* 0: none */
    uint32_t cursor;                /* the one whose key will most likely be asked for next */
    uint64_t *hashes;               /* of their keys */
    void **cells;                   /* of the first state, if its cells are of fixed size */
    uint32_t cell_count;            /* 0: not, or no longer, valid */
    uint32_t missing;               /* cells that were not there when they were looked for */
    struct context_reserve reserve;
    int64_t idle_until;
    int idle_fd;
    /* What weir_wake asked for, until wake is called; INT64_MAX: no deadline, -1: no descriptor. */
    int64_t wake_until;
    int wake_fd;
    bool held;                      /* takes no input: weir_hold */
    uint32_t place;                 /* in the chain */
    uint64_t taken;                 /* records it was given, since the job's first start */
    const struct weir_record *hand; /* while process runs: what it was given, */
    uint32_t hand_count;            /* so many of them; the first one's position is taken + 1; 0 in
                                     * callbacks that are given none */
    uint32_t hand_input;
    bool dated;    /* it has values that live by event time: each span is of one time */
    bool poisoned; /* there is poison for it: records are looked at before they are given */
    struct letters letters;
    size_t part_size;        /* of the last snapshot: a hint for the next */
    struct saver_list later; /* of the cut that is being made */
};

/* Allocates what the plan says; false: no memory. Outputs are wired by the task. */
bool context_init(struct weir_context *context, struct task *task, const struct run *run,
                  uint32_t node, uint32_t subtask);
void context_free(struct weir_context *context);

/* Has it given all that it may: until_records, until_time? */
bool context_spent(const struct weir_context *context);

/* For the functions that use keyed state. The state of that index, if it is of one of the kinds
 * (STATE_OF, or'ed) and may be used now, told what time it is; NULL: the run has failed. */
#define STATE_OF(kind) (1u << (kind)) /* enum weir_state_kind */
#define ANY_STATE                                                                                  \
    (STATE_OF(WEIR_STATE_VALUE) | STATE_OF(WEIR_STATE_LIST) | STATE_OF(WEIR_STATE_MAP))
struct state *context_state(struct weir_context *context, unsigned state, unsigned kinds,
                            const char *function);
/* The watermark is about to say WEIR_END_OF_TIME: values that expire by event time do so by what it
 * says now, for `finish`, whether or not the operator has asked for any since it was raised. */
void context_event_time_ends(struct weir_context *context);
/* The hash of a key; a key that is not of a record in hand must belong to this subtask: else false,
 * and the run has failed. */
bool context_key_hash(struct weir_context *context, const struct weir_bytes *key, uint64_t *hash);
/* False: the run has failed. */
bool context_has_cells(struct weir_context *context, unsigned state);
/* The timers of keys; NULL: the operator has no callback for them. */
static inline struct state *context_timers(const struct weir_context *context)
{
    return context->table->key_timer ? context->states[context->node->declared_count] : NULL;
}
/* Timers with keys, and those without. */
bool context_has_timers(const struct weir_context *context, enum weir_timer kind);
/* When the first one is due, INT64_MAX: none is. */
int64_t context_next_timer(const struct weir_context *context, enum weir_timer kind);
/* Calls back for the first one that is due at `now`. False: none is. */
bool context_fire_timer(struct weir_context *context, enum weir_timer kind, int64_t now);

/* Gives one record to the operator, whichever callback it has; the pulse says "process" already.
 */
void context_take(struct weir_context *context, uint32_t port, const struct weir_record *record);

/* How many records, the next it is to be given, are not poison, from the front. Only for those that
 * are `poisoned`. */
uint32_t context_sound(const struct weir_context *context, const struct weir_record *records,
                       uint32_t count);
/* Makes a letter of the record instead, if it is poison. False: it is not. */
bool context_bury(struct weir_context *context, uint32_t port, const struct weir_record *record);

/* The operator's part of a checkpoint. save: false when the operator refuses the round (reason in
 * *error) or memory is short (writer->failed). What is to be written later is in context->later
 * then. The states' logs are cut by themselves. load takes
 * them over, and fails the task. */
bool context_save(struct weir_context *context, struct snapshot_writer *writer, char note[201],
                  struct weir_error *error);
enum weir_result context_load(struct weir_context *context, struct weir_bytes part,
                              struct logs *logs, struct weir_error *error) WEIR_MUST_USE;
/* Publishes every handle and letter up to `id`; false: the task has failed. */
bool context_commit(struct weir_context *context, uint64_t id);

#endif
