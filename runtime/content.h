/* SPDX-License-Identifier: Apache-2.0
 *
 * content: what of the channels belongs to one cut of one task, by reference: *channel content* lay
 * or arrived before the marker on an input, *outlet content* waited on an output and was overtaken.
 * The list is in each channel's order. It grows from the cut until the last marker has arrived, and
 * then goes to the writer; or it is dropped, when the round comes to nothing.
 *
 *   C1  a batch in the list does not change any more: it was closed before (P3).
 *   C2  what the list holds in memory counts against the job's budget, `recorded`, until the batch
 *       is given back - here, or by the writer (P11). What lies in spill files does not count.
 *
 * Without a store nothing is kept; bytes are counted all the same, for they tell whether a cycle is
 * empty.
 *
 * Task thread only, but for content_returned.
 */
#ifndef CONTENT_H
#define CONTENT_H

#include "plan.h"
#include "spill.h"

struct content_item {
    struct batch *batch; /* one reference; or NULL: */
    struct spill_slice slice;
    uint64_t weight;  /* of the batch, C2 */
    size_t offset;    /* in the batch: what was read before the cut */
    uint32_t channel; /* of the plan */
    bool outlet;      /* which side */
};

struct content {
    /* set before start */
    const struct weir_allocator *allocator;
    const struct plan *plan;
    _Atomic uint64_t *recorded; /* bytes, the whole job's (C2) */
    bool durable;

    uint64_t id; /* of the cut; 0: none */
    struct content_item *items;
    uint32_t count, room;
    uint32_t sent;                        /* of them, to the writer */
    uint64_t channel_bytes, outlet_bytes; /* of records */
    uint64_t loop_bytes;                  /* of these, on channels inside a loop */
    uint64_t held;                        /* bytes in memory */
    bool failed;                          /* no memory: the cut can't be completed */
};

void content_begin(struct content *content, uint64_t id);
/* The batch from `offset` on; takes a reference of its own. */
void content_add(struct content *content, uint32_t channel, bool outlet, struct batch *batch,
                 size_t offset);
void content_add_slice(struct content *content, uint32_t channel, const struct spill_slice *slice);
/* Nothing is left of it. */
void content_drop(struct content *content);
void content_free(struct content *content);
/* A batch in it has been handed on, and counts until content_returned; a slice is given back. */
void content_handed_on(struct content *content, struct content_item *item);
/* Any thread: so much of what was handed on is given back. */
static inline void content_returned(_Atomic uint64_t *recorded, uint64_t bytes)
{
    atomic_fetch_sub_explicit(recorded, bytes, memory_order_relaxed);
}
/* What a batch takes of the budget: it holds its whole capacity. */
static inline uint64_t content_weight(const struct batch *batch)
{
    return sizeof *batch + batch->capacity;
}
/* And a snapshot, of memory_max: what was written to it. Its room may be much larger, and is not
 * touched. */
static inline uint64_t content_copied(const struct batch *snapshot)
{
    return sizeof *snapshot + snapshot->size;
}

#endif
