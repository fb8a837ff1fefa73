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

/* Of a round's own, or of a file that a checkpoint names. What can't be found out is no reason to
 * write anything again. */
static uint64_t size_of(const struct store *store, struct store_segment segment, uint64_t least)
{
    struct disk_status status;
    char name[NAME_SEGMENT_SIZE];
    for (uint32_t i = 0; i < store->round_count; i++)
        for (size_t k = 0; k < store->rounds[i].count; k++)
            if (segment.epoch == store->record.epoch &&
                store->rounds[i].containers[k].number == segment.number)
                return store->rounds[i].containers[k].bytes;
    name_of_segment(segment.epoch, segment.number, name);
    return disk_status_at(store->data, name, &status) < 0 ? least : status.size;
}

static enum weir_result hold(struct store *store, struct store_segment segment, uint64_t live,
                             struct weir_error *error)
{
    size_t at = find(store, segment);
    if (!is_at(store, at, segment)) {
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
        memmove(store->held + at + 1, store->held + at,
                (store->held_count - at) * sizeof *store->held);
        store->held[at] = (struct store_held){segment, 0, 0, size_of(store, segment, live)};
        store->held_count++;
        store->held_size += store->held[at].size;
    }
    store->held[at].count++;
    store->held[at].live += live;
    store->held_live += live;
    return WEIR_OK;
}

static void let_go(struct store *store, struct store_segment segment, uint64_t live)
{
    struct weir_error error;
    size_t at = find(store, segment);
    if (!is_at(store, at, segment))
        return;
    struct store_held *held = &store->held[at];
    live = live < held->live ? live : held->live;
    held->live -= live;
    store->held_live -= live;
    if (--held->count > 0)
        return;
    store->held_live -= held->live;
    store->held_size -= held->size;
    store->held_count--;
    memmove(held, held + 1, (store->held_count - at) * sizeof *held);
    if (store->stopped)
        return;
    if (store_load_kept(store, &error) != WEIR_OK)
        store_warn(store, "a container that is no longer used stays for now: %s", error.text);
    else if (!store_is_needed(store, segment))
        store_remove_segment(store, segment);
}

/* What a segment takes of its container number `number`. All of it is its own where it has a list;
 * that counts when the first is held. */
static uint64_t share(const struct manifest_segment *segment, uint64_t number)
{
    return number == segment->from_number ? manifest_segment_bytes(segment) : 0;
}

enum weir_result store_hold(struct store *store, const struct manifest_segment *segment,
                            struct weir_error *error)
{
    const uint32_t epoch = segment->place.file_epoch;
    for (uint64_t n = segment->from_number; n <= segment->place.file_number; n++) {
        enum weir_result result =
            hold(store, (struct store_segment){epoch, n}, share(segment, n), error);
        if (result == WEIR_OK)
            continue;
        while (n-- > segment->from_number)
            let_go(store, (struct store_segment){epoch, n}, share(segment, n));
        return result;
    }
    return WEIR_OK;
}

void store_let_go(struct store *store, const struct manifest_segment *segment)
{
    for (uint64_t n = segment->from_number; n <= segment->place.file_number; n++)
        let_go(store, (struct store_segment){segment->place.file_epoch, n}, share(segment, n));
}

void store_let_all_go(struct store *store)
{
    while (store->held_count > 0) {
        struct store_held *last = &store->held[store->held_count - 1];
        last->count = 1;
        let_go(store, last->segment, last->live);
    }
}

/* Where it is written to, at least three quarters stay needed for a while. So what is written again
 * is at most three times what was wasted before. */
bool store_is_wasteful(const struct store *store, const struct manifest_segment *segment)
{
    const struct store_segment at = {segment->place.file_epoch, segment->place.file_number};
    size_t index = find(store, at);
    if (segment->place.blob.kind == BLOB_LIST || !is_at(store, index, at) ||
        store->held_size <= store->held_live)
        return false;
    uint64_t waste = store->held_size - store->held_live;
    const struct store_held *held = &store->held[index];
    return waste > STORE_WASTE_FROM && waste > store->held_live / 3 &&
           4 * held->live < 3 * held->size;
}
