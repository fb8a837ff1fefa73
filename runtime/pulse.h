/* SPDX-License-Identifier: Apache-2.0
 *
 * pulse: what other threads may see of a task - what it does, since when, and which operator's
 * callback runs - and of the writer. Relaxed stores of the task's thread, made where they cost
 * next to nothing: when it begins to wait, at events of rounds, and around callbacks. Each is true
 * by itself; together they fit only when the task stands still. Readers take them one by one, from
 * any thread.
 */
#ifndef PULSE_H
#define PULSE_H

#include <stdatomic.h>

#include "gate.h"
#include "outlet.h"

enum task_doing {
    TASK_OPENING,
    TASK_WAITING, /* for input, a descriptor or a time; or to be let go */
    TASK_BLOCKED, /* for credit: its output is not taken */
    TASK_HELD,    /* its operator takes no input: weir_hold */
    TASK_CALLING, /* at work; `call` says in which callback, NULL: between two */
    TASK_CUTTING, /* saving itself; `call` as above */
    TASK_ENDED,   /* all done; it takes part in rounds */
    TASK_FAILED,
    TASK_GONE, /* its thread is over */
};

struct task_pulse {
    _Atomic uint32_t doing;     /* enum task_doing */
    _Atomic(const char *) call; /* "process", "commit" ...: the callback it is in; static; NULL:
                                   none */
    _Atomic uint32_t place;     /* of that operator in the chain */
    _Atomic int64_t since_ns;   /* monotonic; when it began to wait, or the callback that is called
                                   from no other began (a span of records: the first of them) */
    _Atomic uint64_t records_in, records_emitted;
    _Atomic uint64_t dead_letters; /* published */
    _Atomic uint64_t position; /* of the record its first operator was given last: weir_failure */
    _Atomic uint32_t queued;   /* items in the gate's queues */
    _Atomic uint32_t unsent;   /* items in the outlet's queues */
    _Atomic uint32_t blocked;  /* 1 + the plan's channel that waits for credit; 0: none */
    _Atomic uint64_t round;   /* whose marker it has seen, or that it was told of; uncut; 0: none */
    _Atomic uint32_t reached; /* inputs that stand at that marker */
    _Atomic uint64_t cut;     /* the newest cut; 0: none */
    _Atomic uint32_t lacking; /* 1 + a channel whose marker of `round`, or of `cut`, has not come */
    _Atomic uint32_t unsent_markers;          /* channels that its own marker has not left on */
    _Atomic uint64_t flight, recorded, state; /* bytes of memory it holds: in queues, of a cut, of
                                                 keyed state */
    _Atomic uint64_t spilled;                 /* bytes in its queues that wait on disk */
    _Atomic uint32_t urgent; /* a command is in the inbox, so look there after the record in hand. A
                                hint of this process's coordinator; the command itself decides */
    _Atomic uint64_t progress_done, progress_total;
    _Atomic int thread; /* thread_number of its thread; 0: not started */
};

/* Of the writer, which has one thing in hand at a time. */
struct writer_pulse {
    _Atomic(const char *) doing; /* "syncing", "committing" ...: static; NULL: it waits */
    _Atomic int64_t since_ns;    /* monotonic; when it began with that */
    _Atomic uint64_t id;         /* of the checkpoint that it is about; 0: of none */
    _Atomic uint32_t instance; /* 1 + whose operator's code it runs: weir_save_later; 0: nobody's */
    _Atomic int thread;        /* as above */
};

/* NULL: it has nothing to do. */
void pulse_write(struct writer_pulse *pulse, const char *doing, uint64_t id, int64_t since_ns);
/* Around an operator's code. */
void pulse_instance(struct writer_pulse *pulse, uint32_t instance);

/* It does something else now. */
void pulse_turn(struct task_pulse *pulse, enum task_doing doing, int64_t since_ns);
/* What it does, and since when; so that what a round interrupts goes on since it began. */
struct pulse_turned {
    enum task_doing doing;
    int64_t since_ns;
};
struct pulse_turned pulse_turned(const struct task_pulse *pulse);
/* What lies in its queues, before a wait or a span of records. */
void pulse_queues(struct task_pulse *pulse, const struct gate *gate, const struct outlet *outlet);
/* Where it stands in a round. */
void pulse_round(struct task_pulse *pulse, const struct gate *gate);
void pulse_state(struct task_pulse *pulse, uint64_t state);
void pulse_recorded(struct task_pulse *pulse, uint64_t bytes);
/* No callback runs any more. */
void pulse_outside(struct task_pulse *pulse);

/* Around a callback. Calls nest: an operator that emits to the next one in its chain calls it. */
struct pulse_call {
    const char *call;
    uint32_t place;
};

static inline struct pulse_call pulse_enter(struct task_pulse *pulse, uint32_t place,
                                            const char *call)
{
    struct pulse_call outer = {
        .call = atomic_load_explicit(&pulse->call, memory_order_relaxed),
        .place = atomic_load_explicit(&pulse->place, memory_order_relaxed),
    };
    atomic_store_explicit(&pulse->place, place, memory_order_relaxed);
    atomic_store_explicit(&pulse->call, call, memory_order_relaxed);
    return outer;
}

/* Between two records: nothing but a load. */
static inline bool pulse_urgent(struct task_pulse *pulse)
{
    return atomic_load_explicit(&pulse->urgent, memory_order_relaxed) != 0;
}
/* The inbox is about to be drained. */
static inline void pulse_heed(struct task_pulse *pulse)
{
    if (pulse_urgent(pulse))
        atomic_store_explicit(&pulse->urgent, 0, memory_order_relaxed);
}

static inline void pulse_leave(struct task_pulse *pulse, struct pulse_call outer)
{
    atomic_store_explicit(&pulse->call, outer.call, memory_order_relaxed);
    atomic_store_explicit(&pulse->place, outer.place, memory_order_relaxed);
}

#endif
