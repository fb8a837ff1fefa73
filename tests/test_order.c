/* SPDX-License-Identifier: Apache-2.0
 *
 * The order against a sorted array. An id's key is ids[id], and its rank the key's upper half, so
 * many ranks are equal and the owner is asked. WEIR_TEST_SEED repeats a run.
 */
#include "chance.h"
#include "explore.h"
#include "order.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define IDS 20000u

struct twin {
    struct order order;
    uint64_t keys[IDS]; /* by id; UINT64_MAX: not in the order. The owner. */
    uint32_t sorted[IDS];
    uint32_t count, shift; /* of a key, to its rank */
};

static int compare(const void *owner, const void *key, uint32_t id)
{
    const struct twin *twin = owner;
    uint64_t wanted = *(const uint64_t *)key, other = twin->keys[id];
    cr_assert_neq(other, UINT64_MAX, "id %u stands in the order and is not in it", (unsigned)id);
    return (wanted > other) - (wanted < other);
}

static struct twin *twin_new(uint32_t shift)
{
    struct twin *twin = calloc(1, sizeof *twin);
    memset(twin->keys, 0xff, sizeof twin->keys);
    twin->shift = shift;
    order_init(&twin->order, NULL, compare, twin);
    return twin;
}

static void twin_free(struct twin *twin)
{
    order_free(&twin->order);
    free(twin);
}

static struct order_key wanted(const struct twin *twin, const uint64_t *key)
{
    return (struct order_key){*key >> twin->shift, key};
}

static uint32_t place_of(const struct twin *twin, uint64_t key)
{
    uint32_t first = 0, end = twin->count;
    while (first < end) {
        uint32_t middle = (first + end) / 2;
        if (twin->keys[twin->sorted[middle]] < key)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

static bool has(const struct twin *twin, uint64_t key)
{
    uint32_t at = place_of(twin, key);
    return at < twin->count && twin->keys[twin->sorted[at]] == key;
}

static void add(struct twin *twin, uint64_t key)
{
    uint32_t id = 1 + (uint32_t)chance(IDS - 1), at = place_of(twin, key);
    while (twin->keys[id] != UINT64_MAX)
        id = id % (IDS - 1) + 1;
    cr_assert(order_prepare(&twin->order));
    order_insert(&twin->order, wanted(twin, &key), id);
    twin->keys[id] = key;
    memmove(twin->sorted + at + 1, twin->sorted + at, (twin->count - at) * sizeof *twin->sorted);
    twin->sorted[at] = id;
    twin->count++;
}

static void drop(struct twin *twin, uint32_t at)
{
    uint32_t id = twin->sorted[at];
    uint64_t key = twin->keys[id];
    order_remove(&twin->order, wanted(twin, &key));
    twin->keys[id] = UINT64_MAX;
    twin->count--;
    memmove(twin->sorted + at, twin->sorted + at + 1, (twin->count - at) * sizeof *twin->sorted);
}

static void check_key(const struct twin *twin, uint64_t key)
{
    uint32_t at = place_of(twin, key), behind = at + has(twin, key);
    uint64_t rank = 0;
    uint32_t id = order_find(&twin->order, wanted(twin, &key), false, &rank);
    cr_assert_eq(id, at < twin->count ? twin->sorted[at] : ORDER_NONE);
    if (id != ORDER_NONE)
        cr_assert_eq(rank, twin->keys[id] >> twin->shift);
    id = order_find(&twin->order, wanted(twin, &key), true, NULL);
    cr_assert_eq(id, behind < twin->count ? twin->sorted[behind] : ORDER_NONE);
    cr_assert_eq(order_before(&twin->order, wanted(twin, &key)), at);
}

static void check(const struct twin *twin)
{
    cr_assert_eq(twin->order.count, twin->count);
    cr_assert_eq(order_first(&twin->order, NULL), twin->count > 0 ? twin->sorted[0] : ORDER_NONE);
    for (uint32_t i = 0; i < twin->count; i++)
        check_key(twin, twin->keys[twin->sorted[i]]);
}

static void walk(struct twin *twin, uint64_t steps, uint64_t keys, uint64_t grow_of_100)
{
    for (uint64_t i = 0; i < steps; i++) {
        uint64_t key = chance(keys);
        if (chance(100) < grow_of_100 && twin->count < IDS / 2 && !has(twin, key))
            add(twin, key);
        else if (twin->count > 0)
            drop(twin, (uint32_t)chance(twin->count));
        check_key(twin, chance(keys));
    }
    check(twin);
}

Test(order, matches_a_sorted_array)
{
    chance_begin();
    uint32_t rounds = 12 / explore_share() + 1;
    for (uint32_t round = 0; round < rounds; round++) {
        struct twin *twin = twin_new((uint32_t)chance(20));
        for (uint32_t phase = 0; phase < 6; phase++)
            walk(twin, chance(8000), 1 + chance(40000), 20 + chance(70));
        walk(twin, 20000, 1000, 5);
        twin_free(twin);
    }
}

Test(order, what_comes_in_order_fills_nodes_and_leaves_from_the_front_give_memory_back)
{
    struct twin *twin = twin_new(0);
    for (uint32_t i = 0; i < IDS / 2; i++)
        add(twin, i);
    check(twin);
    cr_assert_lt(order_bytes(&twin->order), (uint64_t)IDS / 2 * 14 + 65536);
    for (uint32_t i = IDS / 2; i < 8 * IDS; i++) {
        drop(twin, 0);
        add(twin, i);
    }
    check(twin);
    cr_assert_lt(order_bytes(&twin->order), (uint64_t)IDS / 2 * 14 + 2 * 65536);
    while (twin->count > 0)
        drop(twin, 0);
    cr_assert_eq(order_bytes(&twin->order), 0);
    twin_free(twin);
}

Test(order, nodes_that_get_empty_are_joined)
{
    chance_begin();
    struct twin *twin = twin_new(0);
    for (uint32_t i = 0; i < IDS / 2; i++)
        add(twin, i);
    while (twin->count > IDS / 20)
        drop(twin, (uint32_t)chance(twin->count));
    check(twin);
    uint64_t leaves = twin->order.leaves.end - twin->order.leaves.free_count;
    cr_assert_lt(leaves * 64, (uint64_t)twin->count * 4);
    twin_free(twin);
}
