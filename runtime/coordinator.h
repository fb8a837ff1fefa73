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
 * C3  the job is over after the last round only when every task has CONFIRMED its handles.
 */
#ifndef COORDINATOR_H
#define COORDINATOR_H

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
    /* the open round */
    uint64_t round; /* id, 0: none */
    enum round_phase round_phase;
    uint32_t round_purposes;
    int64_t round_triggered_ns;
    /* the newest that came to nothing */
    uint64_t aborted_id;
    int64_t aborted_triggered_ns;
    char aborted_reason[800];
};

enum request { REQUEST_CHECKPOINT = 1, REQUEST_SUSPEND, REQUEST_DRAIN, REQUEST_NOW };

struct coordinator_task {
    struct pipe *pipe;
    bool ready, ended;
    bool quit; /* was told */
    uint64_t confirmed;
    uint64_t sealed; /* newest id; inside view.monitor */
};

struct coordinator {
    /* set before start */
    const struct run *run;
    struct view *view;
    struct inbox *inbox;
    struct pipe *writer; /* NULL without a store */
    struct coordinator_task *tasks;
    uint32_t task_count;
    uint64_t *bits;

    /* coordinator's thread only */
    struct round round;
    uint32_t ready_count, ended_count;
    bool over;
    bool untold;            /* a message could not be sent */
    bool writer_quit;       /* the writer was told */
    uint64_t told;          /* newest id tasks were told of, 0: none */
    uint64_t awaited;       /* the id whose confirmations end the job, 0: none */
    enum weir_outcome then; /* the outcome when they are in */
    uint32_t again;         /* purposes of a last round that failed, to be asked for again */
    int64_t again_ns;       /* then */
    int64_t triggered_wall_ns;
    uint64_t bytes;   /* that the open round has written */
    int64_t cut_ns;   /* the longest cut of the open round */
    int64_t align_ns; /* from its trigger to the last task's cut */
    char reason[640]; /* what went wrong with the open round, in the words of who met it */
};

enum weir_result coordinator_init(struct coordinator *coordinator, const struct run *run,
                                  struct view *view, const struct round_options *options,
                                  uint64_t next_id, struct weir_error *error) WEIR_MUST_USE;
void coordinator_free(struct coordinator *coordinator);
struct step coordinator_step(void *coordinator);

#endif
