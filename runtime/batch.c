/* SPDX-License-Identifier: Apache-2.0
 *
 * A pool has two sides. The owner's lists are plain; whoever drops a last reference pushes the
 * batch on the stack `returned`, and the owner takes that stack whole with one exchange. Nobody
 * ever pops a single element from it, so there is no ABA and no lock.
 *
 * Batches above the pool's capacity are rare and big (a long record, a snapshot). Two of them are
 * kept all the same: a snapshot buffer of 32 MiB that is given back to the C library at each
 * checkpoint is unmapped, and faulting its pages in again costs 0.8 s a GiB.
 */
#include "batch.h"

#include <assert.h>

#include "memory.h"

#define LARGE_KEPT 2

struct batch_pool {
    /* set at creation */
    const struct weir_allocator *allocator;
    size_t capacity;
    uint32_t keep;

    /* owner only */
    uint32_t free_count;
    struct batch *free;
    struct batch *large[LARGE_KEPT]; /* biggest first */

    char apart[64]; /* the other threads' cache line begins after the owner's */

    /* any thread (atomic) */
    _Atomic(struct batch *) returned;
    atomic_uint large_returned; /* those in `returned` that are above capacity */
};

static struct batch *batch_allocate(const struct weir_allocator *allocator, size_t capacity)
{
    struct batch *batch;

    if (capacity > SIZE_MAX - sizeof *batch)
        return NULL;
    batch = memory_take(allocator, sizeof *batch + capacity);
    if (batch != NULL)
        *batch = (struct batch){.capacity = capacity};
    return batch;
}

static struct batch *batch_first(struct batch *batch, struct batch_pool *pool)
{
    if (batch == NULL)
        return NULL;
    batch->count = 0;
    batch->size = 0;
    batch->pool = pool;
    batch->next = NULL;
    batch->at_end = NULL;
    atomic_store_explicit(&batch->references, 1, memory_order_relaxed);
    return batch;
}

struct batch_pool *batch_pool_new(const struct weir_allocator *allocator, size_t capacity,
                                  uint32_t keep)
{
    struct batch_pool *pool = memory_zeroed(allocator, 1, sizeof *pool);

    if (pool == NULL)
        return NULL;
    pool->allocator = allocator;
    pool->capacity = capacity;
    pool->keep = keep;
    return pool;
}

static void pool_keep_small(struct batch_pool *pool, struct batch *batch)
{
    if (pool->free_count == pool->keep) {
        memory_release(pool->allocator, batch);
        return;
    }
    batch->next = pool->free;
    pool->free = batch;
    pool->free_count++;
}

/* Keeps the biggest: who needed much once will need it again. */
static void pool_keep_large(struct batch_pool *pool, struct batch *batch)
{
    for (size_t i = 0; i < LARGE_KEPT; i++) {
        struct batch *smaller = pool->large[i];
        if (smaller != NULL && smaller->capacity >= batch->capacity)
            continue;
        pool->large[i] = batch;
        if (smaller == NULL)
            return;
        batch = smaller;
    }
    memory_release(pool->allocator, batch);
}

static void pool_collect(struct batch_pool *pool)
{
    struct batch *batch = atomic_exchange_explicit(&pool->returned, NULL, memory_order_acquire);

    while (batch != NULL) {
        struct batch *next = batch->next;
        if (batch->capacity > pool->capacity) {
            atomic_fetch_sub_explicit(&pool->large_returned, 1, memory_order_relaxed);
            pool_keep_large(pool, batch);
        } else {
            pool_keep_small(pool, batch);
        }
        batch = next;
    }
}

static struct batch *pool_take_small(struct batch_pool *pool)
{
    struct batch *batch;

    if (pool->free == NULL)
        pool_collect(pool);
    batch = pool->free;
    if (batch == NULL)
        return batch_allocate(pool->allocator, pool->capacity);
    pool->free = batch->next;
    pool->free_count--;
    return batch;
}

/* The smallest of the kept ones that has room, or a new one. A new one gets an eighth more than
 * asked, for a snapshot that grows a little each round should not need new memory each round. */
static struct batch *pool_take_large(struct batch_pool *pool, size_t size)
{
    pool_collect(pool);
    for (size_t i = LARGE_KEPT; i-- > 0;) {
        struct batch *batch = pool->large[i];
        if (batch == NULL || batch->capacity < size)
            continue;
        for (; i + 1 < LARGE_KEPT; i++)
            pool->large[i] = pool->large[i + 1];
        pool->large[LARGE_KEPT - 1] = NULL;
        return batch;
    }
    return batch_allocate(pool->allocator, size > SIZE_MAX / 2 ? size : size + size / 8);
}

void batch_pool_free(struct batch_pool **pool)
{
    struct batch_pool *old = *pool;

    if (old == NULL)
        return;
    pool_collect(old);
    while (old->free != NULL) {
        struct batch *next = old->free->next;
        memory_release(old->allocator, old->free);
        old->free = next;
    }
    for (size_t i = 0; i < LARGE_KEPT; i++)
        memory_release(old->allocator, old->large[i]);
    memory_release(old->allocator, old);
    *pool = NULL;
}

struct batch *batch_new(struct batch_pool *pool, size_t size)
{
    if (size <= pool->capacity)
        return batch_first(pool_take_small(pool), pool);
    return batch_first(pool_take_large(pool, size), pool);
}

/* A batch without a pool carries its allocator where one with a pool has the list's link. */
struct batch *batch_alone(const struct weir_allocator *allocator, size_t size)
{
    struct batch *batch = batch_first(batch_allocate(allocator, size), NULL);

    if (batch != NULL)
        batch->allocator = allocator;
    return batch;
}

struct batch *batch_share(struct batch *batch, uint32_t references)
{
    unsigned before =
        atomic_fetch_add_explicit(&batch->references, references, memory_order_relaxed);

    assert(before > 0);
    (void)before;
    return batch;
}

/* At most LARGE_KEPT big ones wait for the owner, who may not come by for long. */
static bool pool_wants(struct batch_pool *pool, const struct batch *batch)
{
    if (batch->capacity <= pool->capacity)
        return true;
    if (atomic_fetch_add_explicit(&pool->large_returned, 1, memory_order_relaxed) < LARGE_KEPT)
        return true;
    atomic_fetch_sub_explicit(&pool->large_returned, 1, memory_order_relaxed);
    return false;
}

static void pool_return(struct batch_pool *pool, struct batch *batch)
{
    struct batch *head;

    if (!pool_wants(pool, batch)) {
        memory_release(pool->allocator, batch);
        return;
    }
    head = atomic_load_explicit(&pool->returned, memory_order_relaxed);
    do {
        batch->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&pool->returned, &head, batch,
                                                    memory_order_release, memory_order_relaxed));
}

void batch_release(struct batch *batch)
{
    unsigned before;

    if (batch == NULL)
        return;
    /* Release, so that this thread's reads are over before another reuses the memory; acquire, so
     * that whoever comes last has the others' reads behind it. */
    before = atomic_fetch_sub_explicit(&batch->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1)
        return;
    if (batch->pool != NULL) {
        pool_return(batch->pool, batch);
        return;
    }
    if (batch->at_end != NULL)
        batch->at_end(batch);
    memory_release(batch->allocator, batch);
}
