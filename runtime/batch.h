/* SPDX-License-Identifier: Apache-2.0
 *
 * batch: records of one channel travelling together, and any other payload of a message. A batch is
 * filled by one thread, then read only; references are counted, and the last one gives the memory
 * back to its pool from whatever thread that is.
 *
 * Items of a batch, 8-byte aligned, native byte order (both ends are one process, or one job that
 * refuses another byte order):
 *   record := u32 key size | u32 value size | key, zeros to 8 | value, zeros to 8
 *   timed  := u32 key size | u32 value size + 2^31 | i64 time | key | value, as above
 *   mark   := u32 0xFFFFFFFF | u32 enum batch_mark | i64 time
 * A record without a time does without its eight bytes: what travels between two cores is what a
 * small record costs.
 */
#ifndef BATCH_H
#define BATCH_H

#include <stdatomic.h>

#include "weir_base.h"

struct batch_pool;

struct batch {
    atomic_uint references;
    uint32_t count;          /* records */
    size_t size;             /* bytes in use */
    size_t capacity;         /* bytes */
    struct batch_pool *pool; /* NULL: it stands alone */
    union {
        struct batch *next;                     /* in the pool's list */
        const struct weir_allocator *allocator; /* of a batch that stands alone */
    };
    unsigned char data[] __attribute__((aligned(16)));
};

#define BATCH_MARK 0xFFFFFFFFu
#define BATCH_TIMED 0x80000000u
enum batch_mark { BATCH_WATERMARK = 1, BATCH_IDLE };

struct batch_item {
    uint32_t key_size;
    uint32_t value_size; /* BATCH_TIMED: a time follows */
};
struct batch_mark_item {
    struct batch_item head;
    int64_t time;
};
_Static_assert(sizeof(struct batch_item) == 8, "an item's head is 8 bytes");
_Static_assert(sizeof(struct batch_mark_item) == 16, "a mark is 16 bytes");

/* A pool keeps up to `keep` batches of `capacity` bytes, and the two largest of those above. The
 * pool must outlive its batches: those in messages nobody took are released by transport_close. */
struct batch_pool *batch_pool_new(const struct weir_allocator *allocator, size_t capacity,
                                  uint32_t keep);
void batch_pool_free(struct batch_pool **pool);

/* By the pool's owner only. A batch of at least `size` bytes of room (0: the pool's usual), one
 * reference, empty. NULL: no memory. */
struct batch *batch_new(struct batch_pool *pool, size_t size);
/* A batch outside any pool; any thread. */
struct batch *batch_alone(const struct weir_allocator *allocator, size_t size);
/* Any thread. */
struct batch *batch_share(struct batch *batch, uint32_t references);
void batch_release(struct batch *batch); /* NULL is accepted */

static inline size_t batch_round(size_t size)
{
    return (size + 7) & ~(size_t)7;
}
static inline size_t batch_item_size(size_t key_size, size_t value_size, bool timed)
{
    return sizeof(struct batch_item) + (timed ? sizeof(int64_t) : 0) + batch_round(key_size) +
           batch_round(value_size);
}

#endif
