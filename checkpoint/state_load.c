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

/* NULL: it may be in this block, and in this task. (A pair's hash has the upper half of its record
 * key's.) */
static const char *is_astray(uint64_t hash, const struct state_range *range,
                             const struct segment_block *block)
{
    uint32_t group = state_group(hash, range->groups), upper = (uint32_t)(hash >> 32);
    if (group < range->first || group >= range->end)
        return "is of a key group that is not ours";
    return upper < block->first || upper > block->last ? "is outside of its blob's range of hashes"
                                                       : NULL;
}

/* What a block has been found to be. */
struct finding {
    uint32_t first;    /* its chunks' numbers begin there */
    size_t bytes;      /* of sound entries before the first that is not, or all */
    size_t tombs;      /* bytes of those */
    size_t key_most;   /* bytes of their largest key */
    const char *wrong; /* NULL: nothing */
    bool no_memory;
};

struct loading {
    struct state *state;
    const struct segment *segment;
    const struct state_range *range;
    struct finding *findings;
};

/* An entry is in the chunk of the 256 KiB in which it begins. So it is known how many there are
 * before anything was read, and blocks have nothing to do with each other. */
static uint32_t chunks_of(const struct segment_block *block)
{
    if (block->used >= ENTRY_HEADER_SIZE && entry_whole_size(block->data) == block->used)
        return 1;
    return (uint32_t)((block->used + CHUNK_SIZE - 1) / CHUNK_SIZE);
}

static enum weir_result chunks_enter(struct state *state, struct link *link,
                                     struct finding *findings)
{
    enum weir_result result = WEIR_OK;
    for (uint32_t i = 0; i < link->memory->count && result == WEIR_OK; i++) {
        const struct segment_block *block = &link->memory->blocks[i];
        uint32_t count = chunks_of(block), number;
        for (uint32_t k = 0; k < count && result == WEIR_OK; k++) {
            result = chunk_enter(state, link, block->data, 0, &number);
            findings[i].first = k == 0 ? number : findings[i].first;
        }
    }
    return result;
}

static void chunk_set(struct chunk *chunks, uint32_t number, const struct segment_block *block,
                      size_t begin, size_t end)
{
    if (number == UINT32_MAX)
        return; /* that was before the first */
    chunks[number].data = block->data + begin;
    chunks[number].used = chunks[number].size = (uint32_t)(end - begin);
}

/* Reads one block; what other hands write lies beside what this one does, so that all is written
 * once. Its chunks were empty so far; one stays so where a large entry covers it. */
static void block_read(void *work, uint32_t index, uint32_t hand)
{
    const struct loading *loading = work;
    const struct segment_block *block = &loading->segment->blocks[index];
    struct finding found = loading->findings[index];
    struct chunk *chunks = loading->state->chunks + found.first;
    uint32_t number = UINT32_MAX;
    size_t begin = 0, size;
    for (; found.bytes < block->used; found.bytes += size) {
        unsigned char *entry = block->data + found.bytes;
        size = entry_check(loading->state, entry, block->used - found.bytes);
        if (size == 0) {
            found.wrong = "is not well-formed";
            break;
        }
        uint64_t hash = state_entry_hash(loading->state->kind, entry_key(entry));
        found.wrong = is_astray(hash, loading->range, block);
        if (found.wrong != NULL)
            break;
        if (found.bytes / CHUNK_SIZE != number) {
            chunk_set(chunks, number, block, begin, found.bytes);
            number = (uint32_t)(found.bytes / CHUNK_SIZE);
            begin = found.bytes;
        }
        bool tomb = entry_is(entry, ENTRY_TOMB);
        uint32_t place = place_make(found.first + number, (found.bytes - begin) / UNIT);
        found.no_memory = !build_note(loading->state, hand, hash, place, tomb);
        if (found.no_memory)
            break;
        found.tombs += tomb ? size : 0;
        found.key_most =
            entry_key(entry).size > found.key_most ? entry_key(entry).size : found.key_most;
    }
    chunk_set(chunks, number, block, begin, found.bytes);
    loading->findings[index] = found;
}

static enum weir_result link_read(struct state *state, struct link *link,
                                  const struct state_range *range, const struct state_crew *crew,
                                  struct weir_error *error)
{
    const struct segment *segment = link->memory;
    struct finding *findings =
        memory_zeroed(state->allocator, segment->count + (size_t)1, sizeof *findings);
    struct loading loading = {state, segment, range, findings};
    enum weir_result result =
        findings == NULL ? WEIR_NO_MEMORY : chunks_enter(state, link, findings);
    if (result == WEIR_OK)
        crew_do(crew, segment->count, block_read, &loading);
    else
        error_memory(error, "state chunks", segment->count * sizeof *findings);
    for (uint32_t i = 0; i < segment->count && result == WEIR_OK; i++) {
        link->bytes += findings[i].bytes;
        link->tombs += findings[i].tombs;
        if (findings[i].wrong != NULL)
            result = error_set(error, WEIR_DAMAGED, 0, "state: the entry at %zu %s",
                               findings[i].bytes, findings[i].wrong);
        else if (findings[i].no_memory)
            result = error_memory(error, "the index of a state", segment->blocks[i].used);
        else if (is_ordered(state->kind) && !pair_reserve(state, findings[i].key_most))
            result = error_memory(error, "keys of a state", findings[i].key_most);
    }
    memory_release(state->allocator, findings);
    return result;
}

enum weir_result state_load_segment(struct state *state, struct segment *segment,
                                    const struct state_range *range, const struct state_crew *crew,
                                    struct weir_error *error)
{
    struct link *link = NULL;
    if (log_room(state) && build_begin(state, crew_hands(crew)))
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
    enum weir_result result = link_read(state, link, range, crew, error);
    state->bytes += link->bytes;
    state->tombs += link->tombs;
    return result;
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

/* What a writer without mistakes never does. */
static void renew_expiry(const struct state *state)
{
    for (uint32_t i = 0; i + 1 < state->log_count; i++) {
        struct walk walk = {state->log[i]->first, 0};
        for (unsigned char *entry; (entry = walk_next(state, &walk)) != NULL;)
            if (!entry_is(entry, ENTRY_TOMB))
                expiry_set(state, entry);
    }
}

static enum weir_result load_index(struct state *state, uint64_t keys,
                                   const struct state_crew *crew, struct weir_error *error)
{
    bool tombs = state->tombs > 0;
    if (keys > state->bytes / ENTRY_HEADER_SIZE)
        return error_set(error, WEIR_DAMAGED, 0, "state: there can't be so many keys");
    enum weir_result result = build_index(state, keys, crew);
    if (result == WEIR_DAMAGED)
        return error_set(error, WEIR_DAMAGED, 0,
                         "state: a key is twice in a segment, or there are more than %llu",
                         (unsigned long long)keys);
    if (result != WEIR_OK)
        return error_memory(error, "state index",
                            (size_t)index_slots_for(keys, 1) * sizeof *state->slots);
    if (state->places != NULL && !places_assign(state))
        return error_memory(error, "the order of a state", (size_t)keys * sizeof(uint32_t));
    for (uint32_t i = 0; tombs && i + 1 < state->log_count; i++)
        index_bury(state, state->log[i]);
    if (state->places != NULL && !ordered_build(state))
        return error_memory(error, "the order of a state", (size_t)keys * sizeof(uint64_t));
    if (WEIR_PLANT(restore_renews_expiry))
        renew_expiry(state);
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
    build_free(state);
    places_clear(state);
    state->now = state->written = INT64_MIN;
    while (state->log_count > 1)
        log_drop(state, 0);
    log_reclaim(state);
    state->chunk_end = 1; /* from the start again, in ascending order */
    state->free_chunk = 0;
    memset(state->slots, 0, (size_t)slot_count(state) * sizeof *state->slots);
    state->count = 0;
    assert(open->first == 0 && state->bytes == 0 && state->live == 0);
}

enum weir_result state_load(struct state *state, struct snapshot_section *section,
                            const struct state_crew *crew, struct weir_error *error)
{
    uint64_t keys = snapshot_get_u64(section);
    state_set_time(state, (int64_t)snapshot_get_u64(section));
    enum weir_result result = load_scan(state, section, error);
    if (result == WEIR_OK)
        result = load_index(state, keys, crew, error);
    if (result != WEIR_OK)
        state_clear(state);
    return result;
}
