/* SPDX-License-Identifier: Apache-2.0
 *
 * round: when to take checkpoints, and how one gets from the announcement to its commit. A pure
 * machine: events and time come in as arguments, actions go out one at a time through round_next,
 * which the coordinator carries out. Absolute monotonic nanoseconds throughout.
 *
 *   idle --due/request--> CLAIM --claimed--> ANNOUNCE --all sealed and durable--> COMMIT
 *        --committed--> TELL --> idle            any trouble before COMMIT's answer: ABORT --> idle
 *
 * R1  one round at a time is cutting; n+1 is claimed only when n was committed or aborted (P10).
 * R2  ids only grow; an id is used once, whatever became of it.
 * R3  COMMIT is asked for when every task has sealed (cut, markers in and out - P8) and all parts
 *     are durable; TELL only after the commit succeeded.
 * R4  an abort is told once, also when several reasons come together; an event of any other id than
 *     the open one is counted as late and changes nothing.
 * R5  a round that is being committed can't be aborted: its answer decides - round_committed, or
 *     round_trouble(STORE_FAILED) when the store is sure that nothing became visible. An unknown
 *     outcome is neither: the coordinator reports nothing and stops the run.
 */
#ifndef ROUND_H
#define ROUND_H

#include <stdbool.h>
#include <stdint.h>

/* Why a checkpoint is taken: a bit each, several may come together; the highest is reported. */
enum round_purpose {
    ROUND_INTERVAL = 1,
    ROUND_REQUEST = 2, /* somebody asked for one */
    ROUND_STOP = 4,    /* the last one before a stop */
    ROUND_FINAL = 8,   /* all input has ended: the tail of the output */
};

enum round_reason {
    ROUND_NONE,
    ROUND_TIMEOUT,      /* not all answered in time */
    ROUND_REFUSED,      /* a task could not save */
    ROUND_STORE_FAILED, /* the store could not write; counts as a failure */
    ROUND_CANCELLED,    /* the job stops; does not count */
};

struct round_options {
    int64_t interval_ns;  /* 0: only on request */
    int64_t min_pause_ns; /* least time between a round's end and the next trigger */
    int64_t timeout_ns;   /* > 0; from the trigger to all parts durable */
    uint32_t tolerated;   /* consecutive failed rounds before the run fails; UINT32_MAX: any */
};

enum round_phase { ROUND_IDLE, ROUND_CLAIMING, ROUND_CUTTING, ROUND_COMMITTING };

struct round {
    struct round_options options;
    uint32_t task_count;
    uint64_t *sealed; /* bit set of tasks, storage from the caller */
    uint32_t sealed_count;
    bool durable;
    enum round_phase phase;
    uint64_t id; /* of the open round; while idle: of the last one */
    uint64_t next_id;
    uint32_t wanted;       /* purposes asked for and not yet served */
    uint32_t purposes;     /* of the open round */
    int64_t triggered_ns;  /* of the open round */
    int64_t due_ns;        /* next periodic trigger; INT64_MAX when off */
    int64_t rest_until_ns; /* min pause */
    uint32_t failures;     /* consecutive */
    uint64_t late;         /* events that came for a closed id */
    enum round_reason
        trouble;    /* why the open round must be aborted; while idle: why the last was */
    bool asked;     /* the current phase's action has been handed out */
    bool tell;      /* TELL is due */
    bool failed;    /* more failures than tolerated */
    bool cancelled; /* no more rounds */
};

enum round_do {
    ROUND_WAIT,
    ROUND_CLAIM,
    ROUND_ANNOUNCE,
    ROUND_COMMIT,
    ROUND_TELL,
    ROUND_ABORT,
    ROUND_FAIL
};

struct round_action {
    enum round_do what;
    uint64_t id;
    enum round_reason reason; /* of ABORT and FAIL */
    uint32_t purposes;        /* of CLAIM and all that follow: why the round is taken */
    int64_t deadline_ns; /* of WAIT: call again then at the latest; INT64_MAX: only on events */
};

uint32_t round_words(uint32_t task_count); /* 64-bit words of storage; at least 1 */
void round_init(struct round *round, const struct round_options *options, uint32_t task_count,
                uint64_t *storage, uint64_t next_id, int64_t now_ns);

/* Call until it answers WAIT. A trigger that is late by many intervals is one trigger (F34).
 * ROUND_STOP and ROUND_FINAL do not wait for the minimum pause. Purposes of an aborted round are
 * not asked for again by themselves: whoever needs the round repeats the request. FAIL comes once,
 * after the ABORT that was one too many; nothing comes after it. */
struct round_action round_next(struct round *round, int64_t now_ns);

void round_request(struct round *round, enum round_purpose purpose);
void round_claimed(struct round *round, uint64_t id);
void round_sealed(struct round *round, uint64_t id, uint32_t task); /* a set, never a counter */
void round_durable(struct round *round, uint64_t id);
void round_trouble(struct round *round, uint64_t id, enum round_reason reason);
void round_committed(struct round *round, uint64_t id);
/* No more rounds: an open one that is not committing is aborted (CANCELLED) by the next round_next;
 * one that is committing ends as it ends. */
void round_cancel(struct round *round);

bool round_is_sealed(const struct round *round, uint32_t task); /* for "who had not answered" */
const char *round_reason_text(enum round_reason reason);
/* "interval" "request" "stop" "final": the highest purpose in the set. */
const char *round_purpose_text(uint32_t purposes);

#endif
