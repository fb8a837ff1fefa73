/* SPDX-License-Identifier: Apache-2.0
 *
 * writer: the actor that does the job's file work - compresses and writes the tasks' parts,
 * commits, retains - so that no task ever waits for the disk, and the coordinator keeps its
 * deadlines.
 *
 * W1  parts of an id that is not the open one are dropped: the round was aborted.
 * W2  after a failed write the round's other parts are not written any more; the trouble is told
 *     once.
 */
#ifndef WRITER_H
#define WRITER_H

#include "run.h"
#include "store.h"

struct writer {
    /* set before start */
    const struct run *run;
    struct store *store; /* borrowed; this thread's alone while it runs */
    struct inbox *inbox;
    struct pipe *coordinator;
    uint32_t retain;
    struct manifest manifest; /* what does not change; tasks are filled in round by round */

    /* writer's thread only */
    uint64_t open;       /* id of the round, 0: none */
    bool failed;         /* W2 */
    uint32_t part_count; /* written */
    uint64_t bytes;
    int64_t triggered_wall_ns;
    struct message unsent; /* an answer that found no memory; kind 0: none */
};

/* description is borrowed. */
enum weir_result writer_init(struct writer *writer, const struct run *run, struct store *store,
                             const struct manifest_graph *description, uint32_t retain,
                             struct weir_error *error) WEIR_MUST_USE;
void writer_free(struct writer *writer);
struct step writer_step(void *writer);

#endif
