/* SPDX-License-Identifier: Apache-2.0
 *
 * view_compare: what may be another in one log of a state than in another.
 *
 * Two checkpoints of one job share most segments of a state's log. D1 to D4 say why these need not
 * be read, but for the blobs with older values of keys that did change:
 *
 * D1  A key's value is told by the last segment of the log that has the key. So a key that no other
 *     segment than shared ones has is the same on both sides, if these are in the same order on
 *     both. If they are not, they are taken for not shared.
 * D2  All other keys are candidates: those in a segment, as a value or a tombstone, that only one
 *     side has. A segment that only one side has may hide an older entry in a shared one, or be
 *     hidden by a newer shared one (compaction takes segments out of the middle), so each candidate
 *     is looked up in the whole log of each side, from the newest segment on.
 * D3  Of a shared segment only blobs are read in whose range of hashes a candidate lies that no
 *     newer segment has.
 * D4  A list's element is there when its index is below the length that the list's header tells. So
 *     with an element its header is a candidate, and where lengths differ the elements between are.
 *
 * Segments are the same when round, task, sizes and checksum are, wherever they lie: a savepoint is
 * a copy, and shares with the store that it was made of.
 */
#include "view_difference.h"

#include <string.h>

#include "error.h"
#include "memory.h"
#include "state_entry.h"

/* -------------------------------------------------------------------- what both sides have -- */

const struct manifest_task *view_task_of(const struct view_side *side)
{
    return &side->checkpoint->manifest.tasks[side->task];
}

static bool is_same(const struct manifest_segment *left, const struct manifest_segment *right)
{
    const struct blob *one = &left->place.blob, *other = &right->place.blob;
    return one->kind == other->kind && one->epoch == other->epoch && one->task == other->task &&
           one->id == other->id && one->raw_size == other->raw_size &&
           one->stored_size == other->stored_size && one->checksum == other->checksum &&
           left->blob_count == right->blob_count && left->raw_size == right->raw_size;
}

/* Fills side->shared. The number of them; UINT32_MAX when they are in another order there. */
static uint32_t mark_shared(struct view_side *side, const struct view_side *other)
{
    const struct manifest_task *task = view_task_of(side), *theirs = view_task_of(other);
    uint32_t count = 0, from = 0;
    for (uint32_t i = 0; i < task->state_count; i++) {
        uint32_t found = 0;
        if (task->state[i].state != side->state)
            continue;
        while (found < theirs->state_count && (theirs->state[found].state != other->state ||
                                               !is_same(&task->state[i], &theirs->state[found])))
            found++;
        if (found == theirs->state_count)
            continue;
        if (found < from)
            return UINT32_MAX;
        from = found + 1;
        side->shared[i] = true;
        count++;
    }
    return count;
}

static bool find_shared(struct weir_difference *difference)
{
    struct view_side *sides = difference->sides;
    uint32_t counts[2];
    for (uint32_t i = 0; i < 2; i++) {
        memory_release(difference->allocator, sides[i].shared);
        sides[i].shared = memory_zeroed(difference->allocator,
                                        view_task_of(&sides[i])->state_count + 1, sizeof(bool));
        if (sides[i].shared == NULL)
            return view_fail_memory(difference);
    }
    for (uint32_t i = 0; i < 2; i++)
        counts[i] = mark_shared(&sides[i], &sides[1 - i]);
    if (counts[0] == UINT32_MAX || counts[0] != counts[1]) /* D1 */
        for (uint32_t i = 0; i < 2; i++)
            memset(sides[i].shared, 0, view_task_of(&sides[i])->state_count * sizeof(bool));
    return true;
}

/* ------------------------------------------------------------------------ reading segments -- */

struct reading {
    struct weir_difference *difference;
    struct view_side *side;
    uint32_t number; /* of the side */
    uint32_t segment;
    bool (*take)(const struct reading *reading, struct weir_bytes key, const unsigned char *entry);
};

static bool damaged(const struct reading *reading, const struct manifest_blob *place)
{
    struct weir_difference *difference = reading->difference;
    return view_fail(difference,
                     view_damaged(&reading->side->checkpoint->manifest, reading->side->task, place,
                                  "an entry of state that is not well-formed", &difference->error));
}

/* Its size; 0 when it is not sound. */
static size_t sound_size(const struct weir_difference *difference, const unsigned char *entry,
                         size_t left)
{
    uint32_t fixed = difference->kind == STATE_VALUE || difference->kind == STATE_MAP
                         ? difference->of->value_size
                         : 0;
    size_t size = view_entry_size(entry, left, 0, fixed);
    if (size == 0 || difference->kind == STATE_VALUE)
        return size;
    if (!pair_is_sound(entry_key(entry)))
        return 0;
    size_t sub = pair_read(entry_key(entry)).sub.size;
    if (difference->kind == STATE_TIMERS)
        return sub == PAIR_TIMER_SIZE ? size : 0;
    if (difference->kind == STATE_LIST)
        return (sub == 0 &&
                (entry_is(entry, ENTRY_TOMB) || entry_value_size(entry) == PAIR_LENGTH_SIZE)) ||
                       sub == PAIR_INDEX_SIZE
                   ? size
                   : 0;
    return size;
}

static bool read_blob(const struct reading *reading, const struct manifest_blob *place)
{
    struct weir_difference *difference = reading->difference;
    struct weir_checkpoint *checkpoint = reading->side->checkpoint;
    enum weir_result result =
        store_fetch(checkpoint->store, &checkpoint->manifest, reading->side->task, place,
                    &checkpoint->stored, &difference->raw, &difference->error);
    if (result != WEIR_OK)
        return view_fail(difference, result);
    const unsigned char *entry = difference->raw.data;
    for (size_t left = difference->raw.size, size; left > 0; left -= size, entry += size) {
        size = sound_size(difference, entry, left);
        if (size == 0)
            return damaged(reading, place);
        if (!reading->take(reading, entry_key(entry), entry))
            return false;
    }
    return true;
}

/* All blobs, or those that may have what is still missing. */
static bool read_segment(const struct reading *reading, bool all)
{
    struct weir_difference *difference = reading->difference;
    struct weir_checkpoint *checkpoint = reading->side->checkpoint;
    const struct manifest_segment *segment = &view_task_of(reading->side)->state[reading->segment];
    struct manifest_blob *blobs = NULL;
    enum weir_result result =
        store_list_blobs(checkpoint->store, &checkpoint->manifest, reading->side->task,
                         reading->segment, &blobs, &difference->error);
    bool well = result == WEIR_OK || view_fail(difference, result);
    for (uint32_t i = 0; well && i < segment->blob_count; i++)
        if (all || candidates_missing(&difference->set, reading->number, blobs[i].first,
                                      blobs[i].last)) /* D3 */
            well = read_blob(reading, &blobs[i]);
    memory_release(checkpoint->allocator, blobs);
    return well;
}

/* ----------------------------------------------------------------------------- candidates -- */

struct candidate *view_add(struct weir_difference *difference, struct weir_bytes key)
{
    return candidates_add(&difference->set, key, state_entry_hash(difference->kind, key));
}

/* The key of an entry, made of its pair. */
struct candidate *view_add_pair(struct weir_difference *difference, struct pair pair)
{
    size_t size = pair_size(pair);
    unsigned char *bytes = memory_take(difference->allocator, size);
    if (bytes == NULL)
        return NULL;
    pair_write(bytes, pair);
    struct candidate *item = view_add(difference, (struct weir_bytes){bytes, size});
    memory_release(difference->allocator, bytes);
    return item;
}

/* D2, D4 */
static bool collect(const struct reading *reading, struct weir_bytes key,
                    const unsigned char *entry)
{
    struct weir_difference *difference = reading->difference;
    (void)entry;
    if (view_add(difference, key) == NULL)
        return view_fail_memory(difference);
    struct pair header = {{0}, {NULL, 0}};
    if (difference->kind == STATE_LIST)
        header.key = pair_read(key).key;
    if (difference->kind == STATE_LIST && view_add_pair(difference, header) == NULL)
        return view_fail_memory(difference);
    return true;
}

static bool collect_all(struct weir_difference *difference)
{
    bool well = true;
    for (uint32_t i = 0; i < 2; i++) {
        struct view_side *side = &difference->sides[i];
        for (uint32_t k = 0; well && k < view_task_of(side)->state_count; k++) {
            struct reading reading = {difference, side, i, k, collect};
            if (view_task_of(side)->state[k].state == side->state && !side->shared[k])
                well = read_segment(&reading, true);
        }
    }
    return well;
}

/* Of two entries in one segment a tombstone is the older one. */
static bool resolve(const struct reading *reading, struct weir_bytes key,
                    const unsigned char *entry)
{
    struct weir_difference *difference = reading->difference;
    uint64_t hash = state_entry_hash(difference->kind, key);
    struct candidate *item = candidates_find(&difference->set, key, hash);
    if (item == NULL)
        return true;
    struct candidate_side *side = &item->sides[reading->number];
    bool tomb = entry_is(entry, ENTRY_TOMB);
    if (side->found != 0 && (side->found != reading->segment + 1 || tomb))
        return true;
    side->found = reading->segment + 1;
    struct weir_bytes value = {entry + ENTRY_HEADER_SIZE + entry_padded(key.size),
                               tomb ? 0 : entry_value_size(entry)};
    return tomb || candidate_keep(&difference->set, side, value) || view_fail_memory(difference);
}

/* What each candidate is, on both sides. */
static bool resolve_all(struct weir_difference *difference)
{
    bool well = true;
    candidates_sort(&difference->set);
    for (uint32_t i = 0; i < 2; i++) {
        struct view_side *side = &difference->sides[i];
        for (uint32_t k = view_task_of(side)->state_count; well && k > 0; k--) {
            struct reading reading = {difference, side, i, k - 1, resolve};
            const struct manifest_segment *segment = &view_task_of(side)->state[k - 1];
            if (segment->state == side->state &&
                candidates_missing(&difference->set, i, segment->place.first, segment->place.last))
                well = read_segment(&reading, false);
        }
    }
    return well;
}

/* ---------------------------------------------------------------------------------- lists -- */

bool view_is_header(const struct weir_difference *difference, const struct candidate *item)
{
    return difference->kind == STATE_LIST &&
           pair_read((struct weir_bytes){item->key, item->key_size}).sub.size == 0;
}

static uint64_t length_of(const struct candidate *header, uint32_t side)
{
    const struct candidate_side *of = &header->sides[side];
    return of->there ? snapshot_load_u64(of->value) : 0;
}

/* More elements than the log has bytes for are of a header that lies. */
static uint64_t most_elements(const struct weir_difference *difference)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < 2; i++) {
        const struct manifest_task *task = view_task_of(&difference->sides[i]);
        for (uint32_t k = 0; k < task->state_count; k++)
            bytes += task->state[k].raw_size;
    }
    return bytes / (ENTRY_HEADER_SIZE + PAIR_INDEX_SIZE);
}

/* D4: the elements that one side has and the other has not. */
static bool add_elements(struct weir_difference *difference, const struct candidate *header)
{
    struct pair pair = pair_read((struct weir_bytes){header->key, header->key_size});
    uint64_t first = length_of(header, 0), end = length_of(header, 1);
    unsigned char index[PAIR_INDEX_SIZE];
    if (first > end) {
        first = end;
        end = length_of(header, 0);
    }
    if (end - first > most_elements(difference)) {
        struct reading reading = {difference, &difference->sides[1], 1, 0, NULL};
        return damaged(&reading, &view_task_of(&difference->sides[1])->part);
    }
    for (; first < end; first++) {
        pair_write_index(index, first);
        pair.sub = (struct weir_bytes){index, sizeof index};
        if (view_add_pair(difference, pair) == NULL)
            return view_fail_memory(difference);
    }
    return true;
}

static bool extend_lists(struct weir_difference *difference)
{
    uint32_t count = difference->set.count;
    bool well = true;
    for (uint32_t i = 0; i < count && well; i++) {
        const struct candidate *item = difference->set.items[i];
        if (view_is_header(difference, item))
            well = add_elements(difference, item);
    }
    return well && (difference->set.count == count || resolve_all(difference));
}

/* Headers are nobody's value, and what lies beyond a list's end is not there. */
static void cut_lists(struct weir_difference *difference)
{
    const struct candidate *header = NULL;
    for (uint32_t i = 0; i < difference->set.count; i++) { /* a header comes before its elements */
        struct candidate *item = difference->set.items[i];
        struct pair pair = pair_read((struct weir_bytes){item->key, item->key_size});
        if (view_is_header(difference, item)) {
            header = item;
            continue;
        }
        for (uint32_t side = 0; side < 2; side++)
            item->sides[side].there &= pair_read_index(pair.sub) < length_of(header, side);
    }
}

bool view_compare(struct weir_difference *difference)
{
    bool lists = difference->kind == STATE_LIST;
    bool well = find_shared(difference) && collect_all(difference) && resolve_all(difference) &&
                (!lists || extend_lists(difference));
    candidates_sort(&difference->set);
    if (well && lists)
        cut_lists(difference);
    return well;
}
