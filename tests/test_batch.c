/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>

#include "batch.h"

/* An allocator that counts what is out. */
static void *counted_allocate(void *context, size_t size)
{
    atomic_fetch_add((atomic_int *)context, 1);
    return malloc(size);
}

static void counted_release(void *context, void *memory)
{
    atomic_fetch_sub((atomic_int *)context, 1);
    free(memory);
}

static atomic_int out;
static const struct weir_allocator counted = {counted_allocate, counted_release, &out};

Test(batch, has_one_reference_and_is_empty)
{
    struct batch_pool *pool = batch_pool_new(&counted, 1024, 4);
    struct batch *batch = batch_new(pool, 0);

    cr_assert_eq(atomic_load(&batch->references), 1);
    cr_assert_eq(batch->capacity, 1024);
    cr_assert_eq(batch->size, 0);
    cr_assert_eq(batch->count, 0);
    cr_assert_eq((uintptr_t)batch->data % 16, 0);
    batch_release(batch);
    batch_pool_free(&pool);
    cr_assert_null(pool);
    cr_assert_eq(atomic_load(&out), 0);
}

Test(batch, comes_back_after_the_last_reference_only)
{
    struct batch_pool *pool = batch_pool_new(&counted, 64, 4);
    struct batch *first = batch_share(batch_new(pool, 0), 2);
    struct batch *second;

    batch_release(first);
    batch_release(first);
    second = batch_new(pool, 0);
    cr_assert_neq(second, first);
    batch_release(first);
    cr_assert_eq(batch_new(pool, 0), first);
    batch_release(first);
    batch_release(second);
    batch_pool_free(&pool);
    cr_assert_eq(atomic_load(&out), 0);
}

Test(batch, pool_keeps_no_more_than_it_was_told)
{
    struct batch_pool *pool = batch_pool_new(&counted, 64, 2);
    struct batch *batches[8];
    int before = atomic_load(&out);

    for (int i = 0; i < 8; i++)
        batches[i] = batch_new(pool, 0);
    for (int i = 0; i < 8; i++)
        batch_release(batches[i]);
    batches[0] = batch_new(pool, 0); /* collects */
    cr_assert_eq(atomic_load(&out) - before, 2);
    batch_release(batches[0]);
    batch_pool_free(&pool);
    cr_assert_eq(atomic_load(&out), 0);
}

Test(batch, two_largest_are_reused)
{
    struct batch_pool *pool = batch_pool_new(&counted, 64, 2);
    struct batch *a = batch_new(pool, 1000);
    struct batch *b = batch_new(pool, 3000);
    struct batch *c = batch_new(pool, 2000);

    cr_assert_geq(b->capacity, 3000);
    batch_release(a);
    batch_release(b);
    cr_assert_eq(batch_new(pool, 900), a, "the smallest that has room");
    batch_release(a);
    batch_release(c); /* two are waiting already: freed at once */
    cr_assert_eq(batch_new(pool, 2500), b);
    batch_release(b);
    batch_pool_free(&pool);
    cr_assert_eq(atomic_load(&out), 0);
}

Test(batch, bigger_one_pushes_out_the_smallest)
{
    struct batch_pool *pool = batch_pool_new(&counted, 64, 2);
    struct batch *batches[3];
    const size_t sizes[3] = {1000, 3000, 2000};

    for (int i = 0; i < 3; i++)
        batches[i] = batch_new(pool, sizes[i]);
    for (int i = 0; i < 3; i++) {
        batch_release(batches[i]);
        batch_release(batch_new(pool, 100000)); /* collects, and leaves by itself */
    }
    batches[0] = batch_new(pool, 100000);
    cr_assert_geq(batches[0]->capacity, 100000);
    cr_assert_eq(batch_new(pool, 100), batches[1], "3000 was kept, 1000 and 2000 were not");
    batch_release(batches[0]);
    batch_release(batches[1]);
    batch_pool_free(&pool);
    cr_assert_eq(atomic_load(&out), 0);
}

Test(batch, stands_alone_without_a_pool)
{
    struct batch *batch = batch_alone(&counted, 5000);

    cr_assert_geq(batch->capacity, 5000);
    batch_share(batch, 1);
    batch_release(batch);
    cr_assert_eq(atomic_load(&out), 1);
    batch_release(batch);
    cr_assert_eq(atomic_load(&out), 0);
    batch_release(NULL);
}

static void *refuse(void *context, size_t size)
{
    (void)context;
    (void)size;
    return NULL;
}

Test(batch, says_when_there_is_no_memory)
{
    const struct weir_allocator none = {refuse, counted_release, &out};

    cr_assert_null(batch_pool_new(&none, 64, 1));
    cr_assert_null(batch_alone(&none, 64));
    cr_assert_null(batch_alone(&counted, SIZE_MAX));
}

/* Hands each batch over through one slot. */
static _Atomic(struct batch *) slot;

static void *release_all(void *context)
{
    int left = *(int *)context;

    while (left > 0) {
        struct batch *batch = atomic_exchange(&slot, NULL);
        if (batch == NULL)
            continue;
        batch_release(batch);
        left--;
    }
    return NULL;
}

Test(batch, returns_from_another_thread, .timeout = 60)
{
    struct batch_pool *pool = batch_pool_new(&counted, 64, 8);
    int count = 20000;
    pthread_t thread;

    pthread_create(&thread, NULL, release_all, &count);
    for (int i = 0; i < count; i++) {
        struct batch *batch = batch_new(pool, i % 100 == 0 ? 500 : 0);
        while (atomic_load(&slot) != NULL)
            ;
        atomic_store(&slot, batch);
    }
    pthread_join(thread, NULL);
    batch_pool_free(&pool);
    cr_assert_eq(atomic_load(&out), 0);
}
