/* SPDX-License-Identifier: Apache-2.0
 *
 * round: when to take checkpoints, and how each gets from its trigger to its commit. A pure
 * machine: events and time come in as arguments, actions go out one at a time through rounds_next,
 * which the coordinator carries out. Absolute monotonic nanoseconds throughout.
 *
 * A round is *unfinished* from its CLAIM until its TELL or ABORT was handed out. Several may be:
 * the next is cut while the ones before are still being written.
 *
 * R1  one round at a time is claiming or cutting, and it is the newest: n+1 is claimed only when
 *     every task has sealed n (its markers are in and out everywhere), or n was committed or
 *     aborted (P10). Rounds overlap only while they are being written.
 * R2  ids only grow; an id is used once, whatever became of it.
 * R3  COMMIT is asked for when every task has sealed (cut, markers in and out - P8), all parts are
 *     durable and no lower id is unfinished: commits go in order of id, one at a time, and a lower
 *     one that is aborted frees the next. TELL comes once, after the commit succeeded.
 * R4  trouble aborts its own round and no other. The abort is told once, with the first trouble,
 *     but CANCELLED beats any. An event of an id that is not unfinished, or of a phase that is over
 *     or to come, is counted as late and changes nothing.
 * R5  a round that is being committed can't be aborted: its answer decides - rounds_committed, or
 *     rounds_trouble(STORE_FAILED) when the store is sure that nothing became visible. An unknown
 *     outcome is neither: the coordinator reports nothing and stops the run.
 * R6  fewer than at_once rounds are unfinished when one is claimed. A minimum pause makes at_once
 *     1, and runs from the end of the last round. The interval is a grid: points that passed unused
 *     are one trigger. A request waits for the pause, not for the grid; STOP and FINAL for neither.
 * R7  the time limit of each round runs from its trigger until it is complete: sealed by all and
 *     durable. A complete one waits for lower ids as long as they take.
 * R8  OVERTAKE comes at most once a round, after ANNOUNCE and while a task has not sealed: when the
 *     round is alignment_max old, or a task's budget is spent (P11).
 * R9  while a round with STOP or FINAL among its purposes is unfinished, nothing is triggered.
 * R10 more aborts in a row than tolerated, CANCELLED ones not counted, fail the run: FAIL comes
 *     once, after the ABORT that was one too many, and nothing after it. A commit ends the row.
 */
#ifndef ROUND_H
#define ROUND_H

#include <stdbool.h>
#include <stdint.h>

#define ROUND_LIMIT 8 /* unfinished rounds, at most */

/* Why a checkpoint is taken: a bit each, several may come together; the highest is reported. */
enum round_purpose {
    ROUND_INTERVAL = 1,
    ROUND_LOOP = 2,      /* is a cycle empty? */
    ROUND_REQUEST = 4,   /* somebody asked for one */
    ROUND_SAVEPOINT = 8, /* somebody wants to keep it */
    ROUND_STOP = 16,     /* the last one before a stop */
    ROUND_FINAL = 32,    /* all input has ended: the tail of the output */
};

enum round_reason {
    ROUND_NONE,
    ROUND_TIMEOUT,      /* not all answered in time */
    ROUND_REFUSED,      /* a task could not save */
    ROUND_STORE_FAILED, /* the store could not write */
    ROUND_BUDGET,       /* more in flight than may be recorded */
    ROUND_MEMORY,       /* with what it holds there is more in memory than may be */
    ROUND_CANCELLED,    /* the job stops; the only one that is no failure */
};

struct round_options {
    int64_t interval_ns;      /* 0: only on request */
    int64_t min_pause_ns;     /* least time between a round's end and the next trigger */
    int64_t timeout_ns;       /* > 0; from the trigger to sealed by all and durable */
    int64_t alignment_max_ns; /* a cutting round older than this is overtaken; INT64_MAX: never,
                               * which is right where rounds are aligned, and where they are
                               * unaligned from the start */
    uint32_t tolerated;       /* consecutive failed rounds before the run fails; UINT32_MAX: any */
    uint32_t at_once;         /* 1 .. ROUND_LIMIT unfinished rounds; min_pause_ns > 0 makes it 1 */
};

enum round_phase {
    ROUND_CLAIMING,
    ROUND_CUTTING,
    ROUND_WRITING, /* sealed by all; not yet durable, or a lower id is unfinished */
    ROUND_COMMITTING,
};

/* An unfinished one. */
struct round {
    uint64_t id;
    int64_t triggered_ns;
    int64_t sealed_ns; /* when the last task had sealed; 0: not yet */
    uint64_t *sealed;  /* bit set of task_count tasks, storage from the caller */
    uint32_t task_count;
    uint32_t sealed_count;
    uint32_t purposes;
    enum round_phase phase;
    enum round_reason trouble; /* why it must be aborted */
    bool asked;                /* ANNOUNCE was handed out */
    bool spent;                /* a task's budget is, and the round may be overtaken */
    bool overtaken;            /* OVERTAKE was handed out */
    bool durable;
    bool committed; /* TELL is due */
};

enum round_do {
    ROUND_WAIT,
    ROUND_CLAIM,
    ROUND_ANNOUNCE,
    ROUND_OVERTAKE,
    ROUND_COMMIT,
    ROUND_TELL,
    ROUND_ABORT,
    ROUND_FAIL,
};

struct round_action {
    enum round_do what;
    enum round_reason reason; /* of ABORT and FAIL */
    /* the round that it is about; of FAIL, the one whose abort was one too many */
    uint64_t id;
    int64_t triggered_ns;
    int64_t sealed_ns; /* 0: not all have sealed */
    uint32_t purposes;
    uint32_t sealed_count;
    bool overtaken;
    int64_t deadline_ns; /* of WAIT: call again then at the latest; INT64_MAX: only on events */
};

struct rounds {
    struct round_options options;
    uint32_t task_count;
    uint32_t open_count;
    struct round open[ROUND_LIMIT]; /* the unfinished ones, ascending ids; the rest keep storage */
    uint64_t last_id;               /* the newest that was claimed */
    uint64_t next_id;
    int64_t due_ns;              /* next periodic trigger; INT64_MAX when off */
    int64_t rest_until_ns;       /* the minimum pause */
    uint64_t late;               /* events that came for no round, or at no time for them */
    uint32_t wanted;             /* purposes asked for and not yet served */
    uint32_t failures;           /* consecutive */
    struct round_action failure; /* what FAIL says */
    bool failed;                 /* more failures than tolerated */
    bool fail_told;              /* FAIL was handed out */
    bool cancelled;              /* no more rounds */
};

/* 64-bit words of storage, which live as long as the machine. */
uint32_t rounds_words(uint32_t task_count);
void rounds_init(struct rounds *rounds, const struct round_options *options, uint32_t task_count,
                 uint64_t *storage, uint64_t next_id, int64_t now_ns);

/* Call until it answers WAIT. The oldest round comes first, and nothing is claimed while anything
 * is due for an unfinished one. Purposes of an aborted round are not asked for again by themselves:
 * whoever needs the round repeats the request. */
struct round_action rounds_next(struct rounds *rounds, int64_t now_ns);

void rounds_request(struct rounds *rounds, enum round_purpose purpose);
void rounds_claimed(struct rounds *rounds, uint64_t id);
/* Counted from ANNOUNCE on; a set, never a counter. */
void rounds_sealed(struct rounds *rounds, uint64_t id, uint32_t task, int64_t now_ns);
/* The parts are written. From ANNOUNCE on: before or after the last task has sealed. */
void rounds_durable(struct rounds *rounds, uint64_t id);
/* A task has recorded as much as it may (P11): overtakes the round now, which ends the recording
 * elsewhere. Changes nothing where rounds are never overtaken. */
void rounds_spent(struct rounds *rounds, uint64_t id);
void rounds_trouble(struct rounds *rounds, uint64_t id, enum round_reason reason);
void rounds_committed(struct rounds *rounds, uint64_t id);
/* No more rounds: the unfinished ones are aborted (CANCELLED) by the next calls of rounds_next; one
 * that is committing ends as it ends. */
void rounds_cancel(struct rounds *rounds);

/* Valid until the next call of rounds_next. */
const struct round *rounds_find(const struct rounds *rounds,
                                uint64_t id);                    /* NULL: not unfinished */
const struct round *rounds_cutting(const struct rounds *rounds); /* claiming too; NULL: none is */
bool round_is_sealed(const struct round *round, uint32_t task);  /* for "who had not answered" */

const char *round_reason_text(enum round_reason reason);
/* "interval" "loop" "request" "savepoint" "stop" "final": the highest purpose in the set. */
const char *round_purpose_text(uint32_t purposes);

#endif
