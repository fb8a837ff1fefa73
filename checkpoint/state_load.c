/* SPDX-License-Identifier: Apache-2.0 */
#include "state_inside.h"

#include "error.h"
#include "plant.h"

#define KEY_LIMIT (2 * STATE_KEY_LIMIT + 16) /* of an entry: a pair may have two such */

/* --- loading ------------------------------------------------------------------------------ */

static bool is_padding_zero(const unsigned char *data, size_t size)
{
    for (size_t i = size; i < entry_padded(size); i++)
        if (data[i] != 0)
            return false;
    return true;
}

/* The key, and the size of the value, if it has one, are what entries of the state have. */
static bool is_of_kind(const struct state *state, struct weir_bytes key, const uint32_t *value_size)
{
    uint32_t wanted = state->value_size;
    bool any = wanted == 0;
    if (state->kind == STATE_VALUE) {
        if (key.size > STATE_KEY_LIMIT)
            return false;
    } else if (!pair_is_sound(key)) {
        return false;
    }
    struct weir_bytes sub = state->kind == STATE_VALUE ? key : pair_read(key).sub;
    if (state->kind == STATE_TIMERS) {
        if (sub.size != PAIR_TIMER_SIZE || pair_read_timer(sub).kind >= PAIR_TIMER_KINDS)
            return false;
        any = false;
    } else if (state->kind == STATE_LIST) {
        if (sub.size != PAIR_INDEX_SIZE && sub.size != 0)
            return false;
        wanted = sub.size == 0 ? PAIR_LENGTH_SIZE : wanted;
        any &= sub.size != 0;
    }
    if (value_size == NULL)
        return true;
    return any ? *value_size >= state->head : *value_size == wanted + state->head;
}

/* The size of the entry at `data` with `left` bytes to its end; 0 when it is not a sound one. */
static size_t entry_check(const struct state *state, const unsigned char *data, size_t left)
{
    if (left < ENTRY_HEADER_SIZE)
        return 0;
    size_t key_size = snapshot_load_u32(data);
    uint32_t value_size = snapshot_load_u32(data + 4);
    bool tomb = value_size == SEGMENT_TOMB;
    if (key_size > KEY_LIMIT || (!tomb && value_size > STATE_VALUE_LIMIT + state->head))
        return 0;
    size_t size = entry_size(key_size, tomb ? 0 : value_size);
    if (size > left || !is_padding_zero(data + ENTRY_HEADER_SIZE, key_size) ||
        (!tomb && !is_padding_zero(data + ENTRY_HEADER_SIZE + entry_padded(key_size), value_size)))
        return 0;
    struct weir_bytes key = {data + ENTRY_HEADER_SIZE, key_size};
    return is_of_kind(state, key, tomb ? NULL : &value_size) ? size : 0;
}

/* NULL: it may be in this block, and in this task. */
static const char *is_astray(const struct state *state, const struct state_range *range,
                             const struct segment_block *block, const unsigned char *entry)
{
    struct weir_bytes key = entry_key(entry);
    uint64_t hash = state_hash(state->kind == STATE_VALUE ? key : pair_read(key).key);
    uint32_t group = state_group(hash, range->groups), upper = (uint32_t)(hash >> 32);
    if (group < range->first || group >= range->end)
        return "is of a key group that is not ours";
    return upper < block->first || upper > block->last ? "is outside of its blob's range of hashes"
                                                       : NULL;
}

/* Enters the chunks of one block: as many as places can reach into. */
static enum weir_result block_enter(struct state *state, struct link *segment,
                                    const struct segment_block *block,
                                    const struct state_range *range, struct weir_error *error)
{
    uint32_t number = 0;
    size_t begin = 0, size;
    enum weir_result result = WEIR_OK;
    for (size_t at = 0; result == WEIR_OK && at < block->used; at += size) {
        size = entry_check(state, block->data + at, block->used - at);
        if (size == 0)
            return error_set(error, WEIR_DAMAGED, 0, "state: the entry at %zu is not well-formed",
                             at);
        const char *astray = is_astray(state, range, block, block->data + at);
        if (astray != NULL)
            return error_set(error, WEIR_DAMAGED, 0, "state: the entry at %zu %s", at, astray);
        if (at == 0 || at + size - begin > CHUNK_SIZE) {
            begin = at;
            result = chunk_enter(state, segment, block->data + at, 0, &number);
        }
        if (result != WEIR_OK)
            break;
        state->chunks[number].used = state->chunks[number].size = (uint32_t)(at + size - begin);
        segment->bytes += size;
        if (entry_is(block->data + at, ENTRY_TOMB))
            segment->tombs += size;
    }
    return result == WEIR_OK ? WEIR_OK : error_memory(error, "state chunks", block->used);
}

enum weir_result state_load_segment(struct state *state, struct segment *segment,
                                    const struct state_range *range, struct weir_error *error)
{
    struct link *link = NULL;
    if (log_room(state))
        link = memory_zeroed(state->allocator, 1, sizeof *link);
    if (link == NULL) {
        segment_release(segment);
        return error_memory(error, "a state segment", sizeof *link);
    }
    assert(state->open->bytes == 0);
    link->memory = segment;
    segment->orphaned = state->orphaned;
    segment->upper = is_ordered(state->kind) ? pair_upper : NULL;
    state->memory += segment_bytes(segment);
    state->log[state->log_count - 1] = link;
    state->log[state->log_count++] = state->open;
    enum weir_result result = WEIR_OK;
    for (uint32_t i = 0; i < segment->count && result == WEIR_OK; i++)
        result = block_enter(state, link, &segment->blocks[i], range, error);
    state->bytes += link->bytes;
    state->tombs += link->tombs;
    return result;
}

struct pending {
    uint64_t hash;
    uint32_t place;
};

/* Enters what no newer segment has. In one segment, a tombstone may stand before a new value. */
static enum weir_result index_enter(struct state *state, const struct pending *pending,
                                    uint64_t *tombs)
{
    unsigned char *entry = entry_at(state, pending->place);
    uint32_t at = slot_find(state, entry_key(entry), pending->hash);
    uint32_t other = slot_place(state, state->slots[at]);
    bool tomb = entry_is(entry, ENTRY_TOMB);
    if (other != 0) {
        if (chunk_of(state, other)->segment != chunk_of(state, pending->place)->segment)
            return WEIR_OK;
        if (!entry_is(entry_at(state, other), ENTRY_TOMB))
            return WEIR_DAMAGED;
        if (tomb)
            return WEIR_OK;
        --*tombs;
        slot_move(state, at, pending->place);
    } else {
        uint32_t lead = lead_new(state, pending->place);
        state->slots[at] = slot_make((uint32_t)pending->hash, lead);
    }
    *tombs += tomb;
    state->count += !tomb;
    if (!tomb && WEIR_PLANT(restore_renews_expiry))
        expiry_set(state, entry);
    if (!tomb)
        now_live(state, pending->place, entry_whole_size(entry));
    return WEIR_OK;
}

/* Two passes, so that the misses of a span overlap. */
static enum weir_result index_enter_span(struct state *state, const struct pending *span,
                                         uint32_t count, uint64_t *tombs)
{
    enum weir_result result = index_grow(state, state->count + *tombs + count);
    if (result == WEIR_OK && state->places != NULL && !places_grow(state, count))
        result = WEIR_NO_MEMORY;
    for (uint32_t i = 0; i < count && result == WEIR_OK; i++)
        prefetch_slot(state, span[i].hash);
    for (uint32_t i = 0; i < count && result == WEIR_OK; i++)
        result = index_enter(state, &span[i], tombs);
    return result;
}

static enum weir_result index_add(struct state *state, const struct link *segment, uint64_t *tombs)
{
    struct pending span[SPAN];
    uint32_t count = 0;
    struct walk walk = {segment->first, 0};
    enum weir_result result = WEIR_OK;
    for (const unsigned char *entry;
         result == WEIR_OK && (entry = walk_next(state, &walk)) != NULL;) {
        span[count++] = (struct pending){.hash = state_entry_hash(state->kind, entry_key(entry)),
                                         .place = walk_place(state, walk, entry)};
        if (count == SPAN)
            result = index_enter_span(state, span, count, tombs);
        count %= SPAN;
    }
    return result == WEIR_OK ? index_enter_span(state, span, count, tombs) : result;
}

/* The tombstones have done their work. */
static void index_bury(struct state *state, const struct link *segment)
{
    struct walk walk = {segment->first, 0};
    for (const unsigned char *entry; (entry = walk_next(state, &walk)) != NULL;) {
        if (!entry_is(entry, ENTRY_TOMB))
            continue;
        struct weir_bytes key = entry_key(entry);
        uint32_t at = slot_find(state, key, state_entry_hash(state->kind, key));
        uint64_t slot = state->slots[at];
        if (slot_place(state, slot) != walk_place(state, walk, entry))
            continue;
        if (state->places != NULL)
            state->places[slot_lead(slot)] = 0; /* ordered_build frees it */
        slot_remove(state, at);
    }
}

static enum weir_result load_index(struct state *state, uint64_t keys, struct weir_error *error)
{
    uint64_t tombs = 0;
    if (keys > state->bytes / ENTRY_HEADER_SIZE)
        return error_set(error, WEIR_DAMAGED, 0, "state: there can't be so many keys");
    enum weir_result result = index_grow(state, keys);
    for (uint32_t i = state->log_count - 1; i > 0 && result == WEIR_OK; i--)
        result = index_add(state, state->log[i - 1], &tombs);
    if (result == WEIR_DAMAGED)
        return error_set(error, WEIR_DAMAGED, 0, "state: a key is twice in a segment");
    if (result != WEIR_OK)
        return error_memory(error, "state index",
                            (size_t)index_slots_for(keys, 1) * sizeof *state->slots);
    for (uint32_t i = 0; tombs > 0 && i + 1 < state->log_count; i++)
        index_bury(state, state->log[i]);
    if (state->places != NULL && !ordered_build(state))
        return error_memory(error, "the order of a state", (size_t)keys * sizeof(uint64_t));
    if (state->count != keys)
        return error_set(error, WEIR_DAMAGED, 0, "state: %llu keys live, not %llu",
                         (unsigned long long)state->count, (unsigned long long)keys);
    return WEIR_OK;
}

static enum weir_result load_scan(struct state *state, struct snapshot_section *section,
                                  struct weir_error *error)
{
    state_scan_rewind(state);
    state->scan_tag = snapshot_get_u64(section);
    bool within = snapshot_get_u32(section) != 0;
    struct weir_bytes key = snapshot_get_rest(section);
    if (section->failed || state->scan_tag > (uint64_t)UINT32_MAX + 1 ||
        key.size > (within ? STATE_KEY_LIMIT : 0))
        return error_set(error, WEIR_DAMAGED, 0, "state: the scan can't stand there");
    if (!within)
        return WEIR_OK;
    state->scan_key = memory_take(state->allocator, key.size + 1);
    if (state->scan_key == NULL)
        return error_memory(error, "a scan's position", key.size);
    copy_key(state->scan_key, key);
    state->scan_key_size = key.size;
    return WEIR_OK;
}

/* Back to an empty state. */
static void state_clear(struct state *state)
{
    struct link *open = state->open;
    state_scan_rewind(state);
    places_clear(state);
    state->now = INT64_MIN;
    while (state->log_count > 1)
        log_drop(state, 0);
    log_reclaim(state);
    memset(state->slots, 0, (size_t)slot_count(state) * sizeof *state->slots);
    state->count = 0;
    assert(state->bytes == open->bytes && state->live == open->live);
}

enum weir_result state_load(struct state *state, struct snapshot_section *section,
                            struct weir_error *error)
{
    uint64_t keys = snapshot_get_u64(section);
    state_set_time(state, (int64_t)snapshot_get_u64(section));
    enum weir_result result = load_scan(state, section, error);
    if (result == WEIR_OK)
        result = load_index(state, keys, error);
    if (result != WEIR_OK)
        state_clear(state);
    return result;
}
