/* SPDX-License-Identifier: Apache-2.0
 *
 * store_hold: containers that a log of state still uses, whatever has become of the round that
 * wrote them and of the checkpoints that named them (I6, I7 of store.h). How often each is held is
 * known to this run alone: after a restart the logs are those of the checkpoint that it goes on
 * from, which names all they need.
 */
#include "store_inside.h"

#include <inttypes.h>
#include <string.h>

#include "error.h"
#include "memory.h"

/* Where it is among the held, or belongs. */
static size_t find(const struct store *store, struct store_segment segment)
{
    size_t first = 0, end = store->held_count;
    while (first < end) {
        size_t middle = first + (end - first) / 2;
        if (store_compare_segments(&store->held[middle].segment, &segment) < 0)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

static bool is_at(const struct store *store, size_t at, struct store_segment segment)
{
    return at < store->held_count &&
           store_compare_segments(&store->held[at].segment, &segment) == 0;
}

bool store_is_held(const struct store *store, struct store_segment segment)
{
    return is_at(store, find(store, segment), segment);
}

/* I1: what is not known to be on the disk is not kept for anybody. */
static bool is_synced(const struct store *store, struct store_segment segment)
{
    for (uint32_t i = 0; i < store->round_count; i++)
        if (store_round_has(store, &store->rounds[i], segment))
            return store->rounds[i].synced;
    return false;
}

static enum weir_result check_sound(struct store *store, struct store_segment segment,
                                    struct weir_error *error)
{
    bool sound = is_synced(store, segment);
    enum weir_result result = sound ? WEIR_OK : store_find_name(store, segment, &sound, error);
    if (result != WEIR_OK || sound)
        return result;
    char name[NAME_SEGMENT_SIZE];
    name_of_segment(segment.epoch, segment.number, name);
    return error_set(error, WEIR_INVALID, 0,
                     "store %s: " NAME_DATA "/%s can't be held: no round that is open has synced "
                     "it, and no checkpoint names it",
                     store->path, name);
}

enum weir_result store_hold(struct store *store, uint32_t epoch, uint64_t number,
                            struct weir_error *error)
{
    const struct store_segment segment = {epoch, number};
    size_t at = find(store, segment);
    if (is_at(store, at, segment)) {
        store->held[at].count++;
        return WEIR_OK;
    }
    if (store->stopped)
        return error_set(error, WEIR_REFUSED, 0, "store %s: this run may hold nothing",
                         store->path);
    enum weir_result result = check_sound(store, segment, error);
    if (result != WEIR_OK)
        return result;
    void *held = store->held;
    bool room =
        store_grow(store, &held, store->held_count, &store->held_capacity, sizeof *store->held);
    store->held = held;
    if (!room)
        return error_memory(error, "the list of held containers", sizeof *store->held);
    memmove(store->held + at + 1, store->held + at, (store->held_count - at) * sizeof *store->held);
    store->held[at] = (struct store_held){segment, 1};
    store->held_count++;
    return WEIR_OK;
}

void store_let_go(struct store *store, uint32_t epoch, uint64_t number)
{
    const struct store_segment segment = {epoch, number};
    struct weir_error error;
    size_t at = find(store, segment);
    if (!is_at(store, at, segment) || --store->held[at].count > 0)
        return;
    store->held_count--;
    memmove(store->held + at, store->held + at + 1, (store->held_count - at) * sizeof *store->held);
    if (store->stopped)
        return;
    if (store_load_kept(store, &error) != WEIR_OK)
        store_warn(store, "a container that is no longer used stays for now: %s", error.text);
    else if (!store_is_needed(store, segment))
        store_remove_segment(store, segment);
}

void store_let_all_go(struct store *store)
{
    while (store->held_count > 0) {
        const struct store_held last = store->held[store->held_count - 1];
        store->held[store->held_count - 1].count = 1;
        store_let_go(store, last.segment.epoch, last.segment.number);
    }
}
