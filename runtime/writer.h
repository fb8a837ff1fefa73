/* SPDX-License-Identifier: Apache-2.0
 *
 * writer: the actor that does the job's file work - compresses and writes the tasks' parts and what
 * was in flight, commits, retains, copies savepoints - so that no task ever waits for the disk, and
 * the coordinator keeps its deadlines. Several rounds may be written at a time; each has its own
 * place here, and its own containers in the store.
 *
 *   CLAIM --> CLAIMED      the round's folder is made
 *   LOG, LATER, PART   of each instance, in that order: its states' segments, what its operator
 *                      has yet to write, the rest
 *   CONTENT, SPILLED, RECORDED   of each task, in that order; rounds, tasks and instances mix
 *   --> DURABLE            all parts and all content of all tasks are written and synced
 *   COMMIT --> DONE        the manifest
 *   SAVE --> SAVED         a copy elsewhere
 *
 * W1  what comes for an id that is not open is dropped: the round was aborted.
 * W2  after a failed write the round's other parts are not written any more; the trouble is told
 *     once.
 * W3  content waits by reference until its task's RECORDED, and is then written in pieces of about
 *     CONTENT_PIECE bytes: nobody needs it whole in memory, here or when it is read.
 * W4  what is dropped or written is taken from the job's budget at once.
 * W5  a segment that was made durable once knows its place, which is held (store.h) until no log
 *     and no round has it any more, and is written again only where too much of its container is
 *     waste, or the round is to be full. One whose round is not synced yet is written by the next
 *     round again: rounds owe each other nothing (L1).
 * W6  a place is held by its segment, and by each round that names it: who writes a segment again
 *     takes no place away from a round that is not over.
 */
#ifndef WRITER_H
#define WRITER_H

#include <stdatomic.h>

#include "cut.h"
#include "logs.h"
#include "pulse.h"
#include "run.h"
#include "store.h"

#define WRITER_ANSWERS 64 /* four a round, and one a savepoint, are the most that can be due */

/* What one task has recorded, until it is written. */
struct writer_content {
    struct message *items; /* CONTENT and SPILLED, with their payloads */
    uint32_t count, room;
};

/* The place of a segment, when it is durable (W5). */
struct writer_stored {
    struct writer *writer;
    struct writer_stored *next; /* of those whose segments are gone */
    uint32_t uses;              /* W6; writer's thread only */
    struct manifest_segment place;
};

/* A segment that this round has written. */
struct writer_fresh {
    struct segment *segment; /* one reference */
    uint32_t instance;
    uint32_t index; /* of the instance's segments */
};

struct writer_round {
    uint64_t id; /* 0: this place is free */
    bool failed; /* W2 */
    bool durable;
    bool full;               /* it names only what it has written itself */
    uint32_t part_count;     /* written */
    uint32_t recorded_count; /* tasks whose content is */
    uint64_t bytes;
    int64_t triggered_wall_ns;
    struct manifest_task *tasks;     /* one an instance */
    struct writer_content *contents; /* one a task */
    struct writer_content *logs;     /* one an instance: LOG, until the round is over */
    struct writer_content *later;    /* one an instance: LATER, until its PART is written */
    struct writer_fresh *fresh;
    uint32_t fresh_count, fresh_room;
    struct writer_stored **named; /* one use of each (W6) */
    uint32_t named_count, named_room;
};

struct writer {
    /* set before start */
    const struct run *run;
    struct store *store; /* borrowed; this thread's alone while it runs */
    struct inbox *inbox;
    struct pipe *coordinator;
    uint32_t retain;
    uint32_t full_every;      /* 0: never */
    struct manifest manifest; /* what does not change; `tasks` is lent by the round committed */

    /* writer's thread only */
    struct writer_round rounds[STORE_ROUNDS];
    struct blob_buffer piece;              /* W3: a blob that is being filled */
    struct blob_buffer whole;              /* a part with what was written later, meanwhile */
    uint32_t since_full;                   /* checkpoints committed since one was full */
    struct message unsent[WRITER_ANSWERS]; /* that found no memory, in order */
    uint32_t unsent_count;
    atomic_bool gone;                       /* it answers no more; for others */
    struct writer_pulse pulse;              /* any thread */
    struct writer_stored *_Atomic needless; /* any thread adds; the writer's takes them */
};

/* description is borrowed. */
enum weir_result writer_init(struct writer *writer, const struct run *run, struct store *store,
                             const struct manifest_graph *description, uint32_t retain,
                             struct weir_error *error) WEIR_MUST_USE;
void writer_free(struct writer *writer);
/* When nobody has a segment any more. */
void writer_forget(struct writer *writer);
/* Before start: a restored segment is stored there already. Without memory, or where the place
 * can't be held, it is written again. */
void writer_adopt(struct writer *writer, struct segment *segment,
                  const struct manifest_segment *place);
/* Before start: every `every`th checkpoint is full, that is names nothing that it has not written
 * itself; 0: none need be. The first of a run is, unless the one that it began with was. */
void writer_keep_full(struct writer *writer, uint32_t every, bool began_full);
struct step writer_step(void *writer);

#endif
