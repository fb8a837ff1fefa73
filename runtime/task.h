/* SPDX-License-Identifier: Apache-2.0
 *
 * task: one thread running one subtask of a chain of operators: a state machine around an inbox.
 *
 *   task_step, never blocking:
 *     1  drain the inbox: batches to the gate, credits to the outlet, commands to the task
 *     2  push what waits in the outlet; report a sealed cut
 *     3  outlet blocked? then take no input: this is back-pressure (P12)
 *     4  what an operator asked for has come: wake; after it, the others have their turn
 *     5  time to forward? fire timers, one a step
 *     6  gate_read: RECORDS -> operator, MARKER -> aligner -> cut, END -> finish; sources poll; an
 *        operator that holds gets nothing
 *   A cut that overtakes falls in 1, at the first notice; one that aligns in 6.
 *
 *   life:  created -> opened (READY) -> GO -> running -> finishing -> ended (ENDED) -> QUIT -> done
 *          a failure at any point: FAILED is told, then only QUIT is heard
 *
 * T1  a cut is one step: markers, prepare and save happen with no record, timer or poll in between
 *     (P3).
 * T2  SEALED is sent once for a cut, when the markers have come in on every input and left on every
 *     output, and what was recorded is with the writer (P8).
 * T3  recovered handles are committed before the first record.
 * T4  outside process, poll, timer, wake and finish the task is mute: callbacks can't emit or use
 *     state.
 */
#ifndef TASK_H
#define TASK_H

#include "blob.h"
#include "context.h"
#include "cut.h"
#include "gate.h"
#include "pulse.h"

#define TASK_OWN_WATERMARK UINT32_MAX /* "edge" of a task's own watermark in a snapshot */

struct task {
    /* set before start */
    const struct run *run;
    uint32_t index, chain, subtask;
    uint32_t loop; /* of the plan; 0: none */
    char name[16];
    struct inbox *inbox;
    struct pipe **pipes; /* one for each task this one talks to */
    uint32_t *pipe_tasks;
    uint32_t pipe_count;
    struct pipe *coordinator, *writer;
    struct blob_buffer *parts; /* restored, one an operator; NULL on a first start */
    struct logs *logs;         /* and the logs of its states; NULL as well */

    /* task thread only */
    struct gate gate;
    struct outlet outlet;
    struct batch_pool *snapshots;
    struct weir_context *operators;
    uint32_t operator_count;
    struct weir_error error;
    bool failed, told_failure;
    bool mute; /* may not emit: failed, not going yet, or in a cut, commit or abort */
    bool opened, going, quitting;
    bool input_done; /* sources: END; others: END on every input */
    bool end_placed, told_end;
    uint64_t sealing;       /* cut and not yet reported, 0: none */
    struct content content; /* of that cut */
    struct cut_report report;
    bool unsent;         /* the writer's pipe refused some of it: try again soon */
    uint32_t spent_told; /* P11: 1 over the budget, 2 far over */
    uint64_t marked_id;  /* the id of which an input had reached the marker, */
    int64_t marked_ns;   /* and when the first one had */
    struct {
        uint64_t id;
        uint32_t channel;   /* of the plan */
    } last_arrival;         /* of a marker or END, and for which id */
    uint32_t outside_count; /* inputs from outside of the loop that have not ended */
    bool looping;           /* there is none left, and the coordinator was told */
    bool at_rest;           /* the loop is empty for good */
    int64_t watermark, forwarded;
    bool time_ends;        /* the watermark is the last before WEIR_END_OF_TIME */
    int64_t limit;         /* of the watermark behind the head: weir_watermark_limit */
    bool idle_wanted;      /* an operator has said so */
    int idle_told;         /* what readers know: 1 idle, 0 not, -1 unknown */
    uint64_t idle_emitted; /* records of all operators when they were told */
    uint32_t span_limit;
    bool careful;         /* spans of one, until a round of this run is committed */
    uint64_t taken;       /* records from input, in this run */
    bool rested;          /* it has waited since then */
    bool woken;           /* wake was called last: now the others have their turn */
    int64_t now_ns;       /* read last: before a callback, or after a span */
    int64_t wall_ns;      /* of this step, for values that expire */
    bool wall_known;      /* it was asked for */
    int64_t look_at_ns;   /* when a busy task looks after its operator's descriptor */
    int64_t gap_look_ns;  /* when a missing item is looked after; 0: none is missing */
    int64_t promise_ns;   /* when readers are told again how far was sent */
    uint64_t memory_told; /* bytes held, when the coordinator was told last, */
    uint64_t memory_held; /* and those of them that are in run->held */

    /* any thread */
    struct task_pulse pulse;

    /* task thread; others after it has told its failure */
    struct weir_failure failure; /* doing NULL: no operator's callback failed */
};

/* Builds gate, outlet and operators after the plan; inbox and pipes are set afterwards. */
enum weir_result task_init(struct task *task, const struct run *run, uint32_t index,
                           struct weir_error *error) WEIR_MUST_USE;
void task_free(struct task *task);
/* The pipe towards a task, or NULL. */
struct pipe *task_pipe(const struct task *task, uint32_t to);

struct step task_step(void *task);

/* The watermark as an operator of the task sees it: what came in for the head, what the head lets
 * pass for those behind it. */
int64_t task_watermark(const struct task *task, const struct weir_context *context);

/* The wall clock, standing still in a step: a span's cells must not expire one another. */
int64_t task_wall_ns(struct task *task);

/* The first failure sticks. */
void task_fail(struct task *task, const struct weir_error *error);
/* Before that: what the operator was at, when the failure is its callback's. */
void task_note_failure(struct task *task, const struct weir_context *context);
/* NULL: no operator's callback has failed. Any thread that has heard of the failure. */
const struct weir_failure *task_failure(const struct task *task);
/* What the callback running now is at; false: none is. The task's own thread, also in a signal
 * handler: async-signal-safe. */
bool task_here(const struct task *task, struct weir_failure *failure);

#endif
