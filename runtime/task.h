/* SPDX-License-Identifier: Apache-2.0
 *
 * task: one thread running one subtask of a chain of operators: a state machine around an inbox.
 *
 *   task_step, never blocking:
 *     1  drain the inbox: batches to the gate, credits to the outlet, commands to the task
 *     2  push what waits in the outlet; report a sealed cut
 *     3  outlet blocked? then take no input: this is back-pressure (P12)
 *     4  time to forward? fire timers, one a step
 *     5  an operator that asked to be woken: wake
 *     6  gate_read: RECORDS -> operator, MARKER -> aligner -> cut, END -> finish; sources poll; an
 *        operator that holds gets nothing
 *
 *   life:  created -> opened (READY) -> GO -> running -> finishing -> ended (ENDED) -> QUIT -> done
 *          a failure at any point: FAILED is told, then only QUIT is heard
 *
 * T1  a cut is one step: markers, prepare and save happen with no record, timer or poll in between
 *     (P3).
 * T2  SEALED is sent once for a cut, when the markers have left every output (P8).
 * T3  recovered handles are committed before the first record.
 * T4  outside process, poll, timer, wake and finish the task is mute: callbacks can't emit or use state.
 */
#ifndef TASK_H
#define TASK_H

#include <stdatomic.h>

#include "blob.h"
#include "context.h"
#include "gate.h"

enum task_doing {
    TASK_OPENING,
    TASK_WAITING, /* for input, a descriptor or a time */
    TASK_BLOCKED, /* for credit: its output is not taken */
    TASK_HELD,    /* its operator takes no input: weir_hold */
    TASK_CALLING, /* in a callback, see `call` */
    TASK_CUTTING, /* saving itself */
    TASK_ENDED,   /* all done; it takes part in rounds */
    TASK_FAILED,
};

/* What other threads may see of a task. Relaxed stores of the task's thread, made where they cost
 * nothing per record: when it begins to wait, and around callbacks. */
struct task_pulse {
    _Atomic uint32_t doing;     /* enum task_doing */
    _Atomic(const char *) call; /* "process", "commit" ...: which callback; static */
    _Atomic uint32_t place;     /* of the operator in the chain */
    _Atomic int64_t since_ns;   /* monotonic; when `doing` last changed to something that waits, or
                                 the span of records began */
    _Atomic uint64_t records_in, records_emitted;
    _Atomic uint32_t queued;  /* items in the gate's queues */
    _Atomic uint32_t unsent;  /* items in the outlet's queues */
    _Atomic uint32_t blocked; /* 1 + the plan's channel that lacks credit most; 0: none */
    _Atomic uint64_t round;   /* whose marker it has seen, or that it was told of; uncut; 0: none */
    _Atomic uint32_t reached; /* inputs that stand at that marker */
    _Atomic uint64_t progress_done, progress_total;
    _Atomic int thread; /* the system's number of its thread; 0: not started */
};

struct task {
    /* set before start */
    const struct run *run;
    uint32_t index, chain, subtask;
    char name[16];
    struct inbox *inbox;
    struct pipe **pipes; /* one for each task this one talks to */
    uint32_t *pipe_tasks;
    uint32_t pipe_count;
    struct pipe *coordinator, *writer;
    struct blob_buffer *parts; /* restored, one an operator; NULL on a first start */

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
    uint64_t sealing; /* cut and not yet reported, 0: none */
    int64_t cut_began_ns;
    int64_t cut_ns;   /* how long that cut took */
    uint64_t aborted; /* highest id operators were told of */
    int64_t watermark, forwarded;
    bool idle_wanted; /* an operator has said so */
    int idle_told;    /* what readers know: 1 idle, 0 not, -1 unknown */
    uint32_t span_limit;
    uint64_t taken;
    bool rested;        /* it has waited since `now_ns` */
    bool woken;         /* wake was called last: now input has its turn */
    int64_t now_ns;     /* read last: at the end of a span */
    int64_t look_at_ns; /* when a busy task looks after its operator's descriptor */

    /* any thread */
    struct task_pulse pulse;
};

/* Builds gate, outlet and operators after the plan; inbox and pipes are set afterwards. */
enum weir_result task_init(struct task *task, const struct run *run, uint32_t index,
                           struct weir_error *error) WEIR_MUST_USE;
void task_free(struct task *task);
/* The pipe towards a task, or NULL. */
struct pipe *task_pipe(const struct task *task, uint32_t to);

struct step task_step(void *task);

/* The first failure sticks. */
void task_fail(struct task *task, const struct weir_error *error);

#endif
