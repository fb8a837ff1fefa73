/* SPDX-License-Identifier: Apache-2.0 */
#include "candidates.h"

#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "pair.h"

#define FIRST_SLOTS 64u
#define MOST (UINT32_C(1) << 30)

void candidates_clear(struct candidates *set)
{
    for (uint32_t i = 0; i < set->count; i++) {
        memory_release(set->allocator, set->items[i]->sides[0].value);
        memory_release(set->allocator, set->items[i]->sides[1].value);
        memory_release(set->allocator, set->items[i]);
    }
    memory_release(set->allocator, set->items);
    memory_release(set->allocator, set->slots);
    *set = (struct candidates){.allocator = set->allocator, .kind = set->kind};
}

static bool is_key(const struct candidate *item, struct weir_bytes key, uint64_t hash)
{
    return item->hash == hash && item->key_size == key.size &&
           (key.size == 0 || memcmp(item->key, key.data, key.size) == 0);
}

/* Where it is, or would go. */
static uint32_t *slot_of(const struct candidates *set, struct weir_bytes key, uint64_t hash)
{
    uint32_t at = (uint32_t)(hash ^ hash >> 32) & set->mask;
    while (set->slots[at] != 0 && !is_key(set->items[set->slots[at] - 1], key, hash))
        at = (at + 1) & set->mask;
    return &set->slots[at];
}

struct candidate *candidates_find(const struct candidates *set, struct weir_bytes key,
                                  uint64_t hash)
{
    uint32_t found = set->count == 0 ? 0 : *slot_of(set, key, hash);
    return found == 0 ? NULL : set->items[found - 1];
}

static void fill_slots(struct candidates *set)
{
    for (uint32_t i = 0; i < set->count; i++) {
        const struct candidate *item = set->items[i];
        *slot_of(set, (struct weir_bytes){item->key, item->key_size}, item->hash) = i + 1;
    }
}

/* Room for one more; at most half of the slots are taken. */
static bool grow(struct candidates *set)
{
    uint32_t room = set->room == 0 ? FIRST_SLOTS / 2 : 2 * set->room;
    if (set->count < set->room)
        return true;
    if (room > MOST)
        return false;
    struct candidate **items =
        memory_resize(set->allocator, set->items, set->count * sizeof(struct candidate *),
                      room * sizeof(struct candidate *));
    if (items == NULL)
        return false;
    set->items = items;
    uint32_t *slots = memory_zeroed(set->allocator, 2 * (size_t)room, sizeof *slots);
    if (slots == NULL)
        return false;
    memory_release(set->allocator, set->slots);
    set->slots = slots;
    set->room = room;
    set->mask = 2 * room - 1;
    fill_slots(set);
    return true;
}

struct candidate *candidates_add(struct candidates *set, struct weir_bytes key, uint64_t hash)
{
    struct candidate *item = candidates_find(set, key, hash);
    if (item != NULL)
        return item;
    if (!grow(set) || (item = memory_take(set->allocator, sizeof *item + key.size)) == NULL)
        return NULL;
    *item = (struct candidate){.hash = hash, .key_size = key.size};
    if (key.size > 0)
        memcpy(item->key, key.data, key.size);
    *slot_of(set, key, hash) = set->count + 1;
    set->items[set->count++] = item;
    set->sorted = false;
    return item;
}

/* ---------------------------------------------------------------------------------- order -- */

static int compare_hashes(const struct candidate *left, const struct candidate *right)
{
    uint32_t first = (uint32_t)(left->hash >> 32), second = (uint32_t)(right->hash >> 32);
    return (first > second) - (first < second);
}

static int compare_values(const void *left, const void *right)
{
    const struct candidate *first = *(struct candidate *const *)left;
    const struct candidate *second = *(struct candidate *const *)right;
    int order = compare_hashes(first, second);
    return order != 0 ? order
                      : pair_compare_bytes((struct weir_bytes){first->key, first->key_size},
                                           (struct weir_bytes){second->key, second->key_size});
}

static int compare_pairs(const void *left, const void *right)
{
    const struct candidate *first = *(struct candidate *const *)left;
    const struct candidate *second = *(struct candidate *const *)right;
    struct pair one = pair_read((struct weir_bytes){first->key, first->key_size});
    struct pair other = pair_read((struct weir_bytes){second->key, second->key_size});
    int order = compare_hashes(first, second);
    if (order == 0)
        order = pair_compare_bytes(one.key, other.key);
    return order != 0 ? order : pair_compare_bytes(one.sub, other.sub);
}

void candidates_sort(struct candidates *set)
{
    if (set->sorted || set->count == 0)
        return;
    qsort(set->items, set->count, sizeof(struct candidate *),
          set->kind == STATE_VALUE ? compare_values : compare_pairs);
    memset(set->slots, 0, ((size_t)set->mask + 1) * sizeof *set->slots);
    fill_slots(set);
    set->sorted = true;
}

bool candidates_missing(const struct candidates *set, uint32_t side, uint32_t first, uint32_t last)
{
    uint32_t low = 0, high = set->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if ((uint32_t)(set->items[middle]->hash >> 32) < first)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < set->count && (uint32_t)(set->items[low]->hash >> 32) <= last; low++)
        if (set->items[low]->sides[side].found == 0)
            return true;
    return false;
}

bool candidate_keep(const struct candidates *set, struct candidate_side *side,
                    struct weir_bytes value)
{
    unsigned char *copy = memory_take(set->allocator, value.size);
    if (copy == NULL)
        return false;
    if (value.size > 0)
        memcpy(copy, value.data, value.size);
    memory_release(set->allocator, side->value);
    side->value = copy;
    side->size = value.size;
    side->there = true;
    return true;
}
