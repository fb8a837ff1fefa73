/* SPDX-License-Identifier: Apache-2.0
 *
 * savepoints: those that a running program was asked for, from the question to the answer.
 *
 *     ask ------------------------------------> under way --SAVED----> saved
 *      '-- with a stop: wanted --next_stop----------^   '--UNSAVED--> unsaved
 *
 * Three threads meet here, under one lock: the endpoint's has the questions and takes the answers,
 * the program's first has the job stop, and a job's own tells what has come of it.
 *
 *   N1  A path is under way once at a time: it is by its path that an event finds who asked.
 *   N2  One stop is under way at a time. Of two, one could be saved and the other not, and whoever
 *       asked for that would be told that the job goes on.
 *   N3  Who asked may give up. What is under way stays until it is told of, and is forgotten then.
 */
#ifndef SAVEPOINTS_H
#define SAVEPOINTS_H

#include <pthread.h>

#include "weir.h"

enum { SAVEPOINTS_MOST = 16, SAVEPOINTS_NO_STOP = -1 };

enum savepoints_stage {
    SAVEPOINT_NONE,
    SAVEPOINT_WANTED,    /* with a stop, which the program has not begun yet */
    SAVEPOINT_UNDER_WAY, /* the job has been asked */
    SAVEPOINT_SAVED,
    SAVEPOINT_UNSAVED,
};

struct savepoint {
    enum savepoints_stage stage;
    char *path;
    int stop;        /* enum weir_stop, or SAVEPOINTS_NO_STOP: the job goes on */
    bool awaited;    /* somebody is owed the answer */
    uint64_t id;     /* of the checkpoint; 0: none */
    char error[500]; /* of UNSAVED */
};

struct savepoints {
    pthread_mutex_t lock;
    struct savepoint list[SAVEPOINTS_MOST];
    /* of the stop that suspends, if there was one */
    bool kept;   /* its savepoint is written: the job stops */
    bool failed; /* it could not be: the job goes on; not looked at yet */
};

void savepoints_init(struct savepoints *savepoints);
/* Another run begins: of what the last one was asked for nothing is told any more. */
void savepoints_clear(struct savepoints *savepoints);
void savepoints_free(struct savepoints *savepoints);

/* --- who asks; the endpoint's thread --- */

/* *place is where its answer will be; without a stop it is under way at once. WEIR_INVALID: N1, N2,
 * too many, or no memory. */
enum weir_result savepoints_ask(struct savepoints *savepoints, const char *path, int stop,
                                unsigned *place, struct weir_error *error) WEIR_MUST_USE;
/* What has come of it so far. When that is the end, SAVED or UNSAVED, the place is given back;
 * `answer` is a copy without the path. */
void savepoints_answer(struct savepoints *savepoints, unsigned place, struct savepoint *answer);
/* Nobody waits for it any more. */
void savepoints_leave(struct savepoints *savepoints, unsigned place);

/* --- who has the job stop; the program's first thread --- */

/* The stop that is wanted, which is under way from now on: *stop, and its path from malloc. NULL:
 * none is. */
char *savepoints_next_stop(struct savepoints *savepoints, enum weir_stop *stop);
/* What the job, or the program, would not begin. */
void savepoints_refuse(struct savepoints *savepoints, const char *path, const char *why);
/* The savepoint of a stop that suspends is written. */
bool savepoints_kept(struct savepoints *savepoints);
/* It could not be, and this has not been asked since. */
bool savepoints_failed(struct savepoints *savepoints);

/* --- who tells; a job's thread --- */

/* A SAVED or UNSAVED event. True: the job stops, for that was to be its last checkpoint. */
bool savepoints_told(struct savepoints *savepoints, const struct weir_event *event);

#endif
