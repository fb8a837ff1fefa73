/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch: segments of state on their way back from the store. What the blobs of a segment take to
 * read, check and decompress is shared out over all processors, some tens of blobs at a time;
 * whoever asks takes its part of it, and puts them into the segment in their order. So a restore
 * goes at the speed of the disk or of LZ4, and no more than FETCH_AHEAD blobs are in memory that
 * are not the segment's yet, also where there is more state than memory.
 *
 * F1  what is wrong with several blobs is told of the first of them, whoever has found it.
 *
 * One thread uses a fetch; its helpers are its own.
 */
#ifndef FETCH_H
#define FETCH_H

#include "crew.h"
#include "run.h"
#include "store.h"

#define FETCH_AHEAD 64u /* blobs, of about 1 MiB */

struct fetch {
    const struct run *run;
    const struct store *store;
    const struct manifest *manifest;
    struct crew crew;
    /* progress, in raw bytes */
    uint64_t total, done;
    int64_t began_ns, told_ns;
};

/* All of them are borrowed. A restore of more than a second says once a second how far it is. */
void fetch_begin(struct fetch *fetch, const struct run *run, const struct store *store,
                 const struct manifest *manifest);

/* The `count` blobs of a task's state into `segment`, in their order. */
enum weir_result fetch_blobs(struct fetch *fetch, uint32_t task, const struct manifest_blob *blobs,
                             uint32_t count, struct segment *segment,
                             struct weir_error *error) WEIR_MUST_USE;

#endif
