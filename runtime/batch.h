/* SPDX-License-Identifier: Apache-2.0
 *
 * batch: records of one channel travelling together, and any other payload of a message. A batch is
 * filled by one thread, then read only; references are counted, and the last one gives the memory
 * back to its pool from whatever thread that is. How records lie in it: checkpoint/item.h.
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
    void (*at_end)(struct batch *batch); /* before such a one is freed; NULL: nothing is to do */
    unsigned char data[] __attribute__((aligned(16)));
};

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

#endif
