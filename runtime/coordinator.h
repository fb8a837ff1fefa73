/* SPDX-License-Identifier: Apache-2.0
 *
 * coordinator: the actor that starts the tasks together, carries out what the round machine
 * decides, and ends the job. It decides nothing about rounds itself and touches no file: the writer
 * does.
 *
 *   starting --all READY--> running --all ENDED--> last round --CONFIRMED--> over
 *                              |  stop request --> last round --CONFIRMED--> over
 *                              +-- FAILED, or an unknown commit ------------> over
 *
 * C1  no task gets GO before all are READY: nothing is processed when one can't open.
 * C2  a commit whose outcome is unknown is told to nobody; the run ends there.
 * C3  the job is over after the last round only when every task has CONFIRMED its handles, and a
 *     savepoint that was asked for with the stop is written. If that fails, a job that was to be
 *     suspended goes on; no round is taken meanwhile, for its output would be beyond the savepoint.
 * C4  a loop has come to rest when a cut shows it (loops.h); then its tasks are told, once.
 * C5  what the writer was told to copy is awaited also when the job is over, and told of before its
 *     end is: a savepoint that is said to be unsaved is not there.
 * C6  a savepoint, also a stop's, whose rounds have all come to nothing for COORDINATOR_SAVE_LIMITS
 *     times their limit, with no other commit meanwhile, is told to be unsaved; a stop that depends
 *     on no other is off then.
 *
 * coordinator.c is the switch, coordinator_round.c carries out what rounds want,
 * coordinator_save.c minds savepoints, coordinator_watch.c watches who comes back.
 */
#ifndef COORDINATOR_H
#define COORDINATOR_H

#include <stdatomic.h>

#include "cut.h"
#include "hang.h"
#include "loops.h"
#include "round.h"
#include "run.h"

/* What the application may see; guarded by `monitor`. */
struct view {
    struct monitor *monitor;
    bool started;
    enum weir_outcome outcome;
    struct weir_error error;
    uint64_t checkpoint;
    int64_t triggered_ns; /* of it */
    int64_t duration_ns;
    uint64_t bytes;
    uint64_t committed, aborted;
    int64_t cut_max_ns;
    int64_t going_ns;     /* when all operators were ready, 0: not yet */
    int64_t over_ns;      /* when the outcome was known */
    uint32_t failed_task; /* 1 + its index; 0: none failed */
    /* the newest unfinished round */
    uint64_t round; /* id, 0: none */
    enum round_phase round_phase;
    uint32_t round_purposes;
    int64_t round_triggered_ns;
    /* the newest that came to nothing */
    uint64_t aborted_id;
    int64_t aborted_triggered_ns;
    char aborted_reason[800];
    /* savepoints */
    uint64_t saved, unsaved; /* how many were written, and could not be */
    uint64_t saved_id;       /* the newest that was */
    char unsaved_reason[300];
    uint32_t hung; /* who were told of as hanging, and are not back */
};

enum request {
    REQUEST_CHECKPOINT = 1,
    REQUEST_SAVEPOINT, /* with a path, as the stops may have one */
    REQUEST_SUSPEND,
    REQUEST_DRAIN,
    REQUEST_NOW
};

struct coordinator_task {
    struct pipe *pipe;
    struct task_pulse *pulse;
    bool ready, ended;
    bool quit; /* was told */
    uint64_t confirmed;
    uint64_t sealed; /* newest id; inside view.monitor */
    struct hang hang;
};

/* What is known of an unfinished round besides what the machine knows. */
struct coordinator_round {
    uint64_t id; /* 0: this place is free */
    int64_t triggered_wall_ns;
    uint64_t bytes;             /* that it has written */
    uint64_t saved;             /* bytes of memory that snapshots took, so far */
    uint32_t last_task;         /* that has sealed */
    struct cut_report *reports; /* one a task, zeroed until it has sealed */
    bool *sealed;
    char reason[640]; /* what went wrong, in the words of who met it */
};

#define COORDINATOR_HEAVY_TRIES 3 /* of a round that is too big for memory and must be */
#define COORDINATOR_SAVES 8
/* So many times the limit of a round nothing may be committed while a savepoint waits for one: then
 * it is given up, for who asked would wait for ever. Rounds that fail are not counted: for a moment
 * many may. */
#define COORDINATOR_SAVE_LIMITS 2

/* A savepoint that was asked for. */
struct coordinator_save {
    char *path;
    uint64_t id;          /* of its checkpoint, 0: not claimed yet */
    enum request request; /* SAVEPOINT, or the stop that waits for it */
    bool sent;            /* the writer has been told */
    uint32_t heavy;       /* so often there was no room for its checkpoint */
    int64_t asked_ns;
};

struct coordinator {
    /* set before start */
    const struct run *run;
    struct view *view;
    struct inbox *inbox;
    struct pipe *writer; /* NULL without a store */
    const atomic_bool *writer_gone;
    const struct writer_pulse *writer_pulse;
    const struct store *store; /* whose strokes are the writer's; NULL without */
    int64_t watch_after_ns;    /* see hang.h; INT64_MAX: nobody is watched */
    struct coordinator_task *tasks;
    uint32_t task_count;
    uint64_t *bits;
    struct loop *loop_list;

    /* coordinator's thread only */
    struct rounds rounds;
    struct coordinator_round list[ROUND_LIMIT];
    struct loops loops;
    struct coordinator_save saves[COORDINATOR_SAVES];
    uint32_t save_count;
    int64_t committed_ns; /* the last commit; 0: none yet */
    uint32_t paused;      /* C3: purposes of the round that savepoints of a stop are written of */
    bool stop_plain;      /* a stop was asked for that depends on no savepoint */
    bool stop_saved;      /* one of those that are written now is there */
    uint32_t ready_count, ended_count;
    bool over; /* with: */
    enum weir_outcome outcome;
    struct weir_error error;
    bool end_told;          /* that it is over */
    bool deaf;              /* answers of the writer may have been lost, or come no more */
    bool untold;            /* a message could not be sent */
    bool writer_quit;       /* the writer was told */
    uint64_t told;          /* newest id tasks were told of, 0: none */
    uint64_t awaited;       /* the id whose confirmations end the job, 0: none */
    enum weir_outcome then; /* the outcome when they are in */
    uint32_t again;         /* purposes of a round that failed, to be asked for again */
    int64_t again_ns;       /* then */
    bool memory_warned;     /* the limit is near, and that was said */
    uint64_t saved_last;    /* bytes that the snapshots of the last round took */
    uint32_t final_heavy;   /* so often there was no room for the last round */

    /* coordinator's thread; when it is over, who closes the job */
    struct hang writer_hang;
    int64_t watched_ns; /* the last look; 0: none yet */
    uint32_t hung;
};

enum weir_result coordinator_init(struct coordinator *coordinator, const struct run *run,
                                  struct view *view, const struct round_options *options,
                                  uint64_t next_id, struct weir_error *error) WEIR_MUST_USE;
void coordinator_free(struct coordinator *coordinator);
struct step coordinator_step(void *coordinator);
/* Looks, when it is time, whether tasks and writer come back from what they are at, and tells of
 * who does not. Answers when the next look is due. */
int64_t coordinator_watch(struct coordinator *coordinator, int64_t now_ns);

/* --- between the coordinator's own files --- */

/* What can't be told is remembered, and fails the run: a task that missed a message is lost. */
void coordinator_tell(struct coordinator *coordinator, enum message_kind kind, uint64_t id);
/* `payload` moves on, or is released: false. */
bool coordinator_tell_writer(struct coordinator *coordinator, enum message_kind kind, uint64_t id,
                             uint64_t value, uint64_t sequence, struct batch *payload);
void coordinator_finish(struct coordinator *coordinator, enum weir_outcome outcome,
                        const struct weir_error *error);
void coordinator_fail(struct coordinator *coordinator, enum weir_result code, const char *node,
                      const char *text);
/* C3: the job ends with this round; purposes are its enum round_purpose. */
void coordinator_end_with(struct coordinator *coordinator, uint64_t id, uint32_t purposes);
/* All has been confirmed, and saved, that the end waits for? Then it is over. */
void coordinator_end_if_done(struct coordinator *coordinator);

struct coordinator_round *coordinator_round(struct coordinator *coordinator, uint64_t id);
void coordinator_carry_out(struct coordinator *coordinator, const struct round_action *action);
void coordinator_sealed(struct coordinator *coordinator, const struct message *message);
/* Of an unfinished round: what the ABORTED event will say. The first trouble is the one told. */
void coordinator_note_reason(struct coordinator *coordinator, uint64_t id, const char *text);
/* A task holds more, or less, than it did; or has handed snapshots to the writer. */
void coordinator_weigh(struct coordinator *coordinator, const struct message *message);

/* Takes the path's batch, which is released by the message's owner. False: refused, and told. */
bool coordinator_save_add(struct coordinator *coordinator, enum request request,
                          const struct batch *path);
void coordinator_save_claimed(struct coordinator *coordinator, uint64_t id, uint32_t purposes);
void coordinator_save_committed(struct coordinator *coordinator, uint64_t id);
/* Why it came to nothing. Answers the purposes it has to be asked for again with. */
uint32_t coordinator_save_aborted(struct coordinator *coordinator, const struct round_action *round,
                                  const char *why);
void coordinator_save_done(struct coordinator *coordinator, uint64_t id, enum weir_result result,
                           const char *text);
/* Is one being written whose end will be heard of? */
bool coordinator_save_sent(const struct coordinator *coordinator);
/* The job is over: what is still awaited is told to have come to nothing. */
void coordinator_save_end(struct coordinator *coordinator);
/* Is there one that checkpoint `id` (0: any) or a stop waits for? */
bool coordinator_save_pending(const struct coordinator *coordinator, uint64_t id);
bool coordinator_save_stops(const struct coordinator *coordinator, uint64_t id);

#endif
