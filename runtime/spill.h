/* SPDX-License-Identifier: Apache-2.0
 *
 * spill: batches of a feedback edge that wait on disk, so that a cycle never stands still for want
 * of room (P11). What is put there can be read until the last slice of it is given back, also by
 * another thread: a checkpoint records slices by reference.
 *
 * A file loses its name as soon as it is made: whatever becomes of the process, nothing is left
 * over. Nothing is synced, for what lies there is in the checkpoints as well.
 *
 * S1  a slice never changes. One reference a slice; the file is closed with the last of them, once
 *     nothing more is put into it.
 */
#ifndef SPILL_H
#define SPILL_H

#include "batch.h"

struct spill_file;

struct spill_slice {
    struct spill_file *file; /* one reference; NULL: no slice */
    uint64_t offset;         /* bytes */
    uint32_t size;           /* bytes */
    uint32_t count;          /* records */
};

struct spill {
    const struct weir_allocator *allocator;
    const char *folder;   /* borrowed; NULL: there is no place */
    uint32_t epoch, task; /* for the files' names */
    uint32_t files;       /* made so far */
    struct spill_file *open;
    uint64_t end; /* of what was written to it */
};

#define SPILL_SLICE_LIMIT ((uint32_t)256 << 10) /* bytes that adjacent batches are joined to */

void spill_init(struct spill *spill, const struct weir_allocator *allocator, const char *folder,
                uint32_t epoch, uint32_t task);
void spill_free(struct spill *spill);

/* Writes the batch's bytes; *slice is a new one. The batch stays the caller's. May block. */
enum weir_result spill_put(struct spill *spill, const struct batch *batch,
                           struct spill_slice *slice, struct weir_error *error) WEIR_MUST_USE;
/* Does `next` begin where `slice` ends, and may they be one? Then it becomes part of it. */
bool spill_join(struct spill_slice *slice, struct spill_slice *next);
/* One more reference. Any thread. */
struct spill_slice spill_share(const struct spill_slice *slice);
void spill_release(struct spill_slice *slice); /* any thread; no slice is accepted */
/* A message's payload that stands for the slice: a reference of its own goes with it, and ends with
 * it, wherever that is. NULL: no memory. */
struct batch *spill_payload(const struct spill_slice *slice,
                            const struct weir_allocator *allocator);
const struct spill_slice *spill_of_payload(const struct batch *payload);
/* Its bytes as a batch that stands alone. Any thread; may block. */
enum weir_result spill_get(const struct spill_slice *slice, const struct weir_allocator *allocator,
                           struct batch **batch, struct weir_error *error) WEIR_MUST_USE;

/* Makes the folder when it is missing, and removes what an earlier run has left in it. */
enum weir_result spill_folder(const char *path, struct weir_error *error) WEIR_MUST_USE;

#endif
