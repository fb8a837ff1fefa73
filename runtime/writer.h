/* SPDX-License-Identifier: Apache-2.0
 *
 * writer: the actor that does the job's file work - compresses and writes the tasks' parts and what
 * was in flight, commits, retains, copies savepoints - so that no task ever waits for the disk, and
 * the coordinator keeps its deadlines. Several rounds may be written at a time; each has its own
 * place here, and its own containers in the store.
 *
 *   CLAIM --> CLAIMED      the round's folder is made
 *   PART, CONTENT, SPILLED, RECORDED   of each task, in that order; rounds and tasks mix
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
 */
#ifndef WRITER_H
#define WRITER_H

#include <stdatomic.h>

#include "cut.h"
#include "run.h"
#include "store.h"

#define WRITER_ANSWERS 64 /* four a round, and one a savepoint, are the most that can be due */

/* What one task has recorded, until it is written. */
struct writer_content {
    struct message *items; /* CONTENT and SPILLED, with their payloads */
    uint32_t count, room;
};

struct writer_round {
    uint64_t id; /* 0: this place is free */
    bool failed; /* W2 */
    bool durable;
    uint32_t part_count;     /* written */
    uint32_t recorded_count; /* tasks whose content is */
    uint64_t bytes;
    int64_t triggered_wall_ns;
    struct manifest_task *tasks;     /* one an instance */
    struct writer_content *contents; /* one a task */
};

struct writer {
    /* set before start */
    const struct run *run;
    struct store *store; /* borrowed; this thread's alone while it runs */
    struct inbox *inbox;
    struct pipe *coordinator;
    uint32_t retain;
    struct manifest manifest; /* what does not change; `tasks` is lent by the round committed */

    /* writer's thread only */
    struct writer_round rounds[STORE_ROUNDS];
    struct blob_buffer piece;              /* W3: sections of a blob that is being filled */
    struct message unsent[WRITER_ANSWERS]; /* that found no memory, in order */
    uint32_t unsent_count;
    atomic_bool gone; /* it answers no more; for others */
};

/* description is borrowed. */
enum weir_result writer_init(struct writer *writer, const struct run *run, struct store *store,
                             const struct manifest_graph *description, uint32_t retain,
                             struct weir_error *error) WEIR_MUST_USE;
void writer_free(struct writer *writer);
struct step writer_step(void *writer);

#endif
