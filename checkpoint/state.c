/* SPDX-License-Identifier: Apache-2.0 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "plant.h"
#include "state_inside.h"

#define FIRST_CHUNKS 8u
#define CACHE_BYTES ((uint64_t)1 << 20) /* a second-level cache, about */

/* Where an empty slot's place 0 leads: an entry with an empty key, so that a guess may be compared
 * with a key of 8 bytes before anyone asks whether there is an entry. Never written. */
static const unsigned char NOWHERE[2 * ENTRY_HEADER_SIZE];

/* --- making and freeing ------------------------------------------------------------------- */

const char *state_kind_text(uint32_t kind)
{
    static const char *const texts[STATE_KINDS] = {"value", "list", "map", "timers"};
    assert(kind < STATE_KINDS);
    return texts[kind];
}

struct state *state_new_of(const struct weir_allocator *allocator, const struct state_type *type)
{
    assert(type->value_size <= STATE_VALUE_LIMIT && type->kind < STATE_KINDS);
    struct state *state = memory_zeroed(allocator, 1, sizeof *state);
    if (state == NULL)
        return NULL;
    state->allocator = allocator;
    state->kind = type->kind;
    state->value_size = type->value_size;
    state->ttl_ns = type->ttl_ns;
    state->head = type->ttl_ns > 0 ? sizeof(int64_t) : 0;
    state->fast_size = type->kind == STATE_VALUE && type->ttl_ns == 0 ? 8 : UINT32_MAX;
    state->now = state->written = INT64_MIN;
    state->slots = memory_zeroed(allocator, FIRST_SLOTS, sizeof *state->slots);
    state->chunks = memory_zeroed(allocator, FIRST_CHUNKS, sizeof *state->chunks);
    state->mask = FIRST_SLOTS - 1;
    state->shift = index_shift_for(FIRST_SLOTS);
    state->chunk_room = FIRST_CHUNKS;
    state->chunk_end = 1;
    if (state->slots == NULL || state->chunks == NULL || !places_begin(state) || !log_push(state)) {
        state_free(&state);
        return NULL;
    }
    state->open = state->log[0];
    state->chunks[0].data = (unsigned char *)(uintptr_t)NOWHERE;
    return state;
}

struct state *state_new(const struct weir_allocator *allocator, uint32_t value_size)
{
    return state_new_of(allocator, &(struct state_type){STATE_VALUE, value_size, 0});
}

void state_count_orphans(struct state *state, _Atomic uint64_t *orphaned)
{
    state->orphaned = orphaned;
    for (uint32_t i = 0; i < state->log_count; i++)
        state->log[i]->memory->orphaned = orphaned;
}

void state_free(struct state **handle)
{
    struct state *state = *handle;
    *handle = NULL;
    if (state == NULL)
        return;
    build_free(state);
    log_free(state);
    places_free(state);
    memory_release(state->allocator, state->pair);
    memory_release(state->allocator, state->log);
    memory_release(state->allocator, state->chunks);
    memory_release(state->allocator, state->slots);
    memory_release(state->allocator, state->scan_key);
    memory_release(state->allocator, state);
}

/* --- reading and writing ------------------------------------------------------------------ */

uint64_t state_hash(struct weir_bytes key)
{
    return XXH3_64bits(key.data, key.size);
}

static uint64_t pair_hash(uint64_t key_hash, struct weir_bytes sub)
{
    uint64_t mixed = XXH3_64bits_withSeed(sub.data, sub.size, key_hash);
    return (key_hash & ~(uint64_t)UINT32_MAX) | (mixed & UINT32_MAX);
}

uint64_t state_entry_hash(enum state_kind kind, struct weir_bytes key)
{
    if (kind == STATE_VALUE)
        return state_hash(key);
    struct pair pair = pair_read(key);
    return pair_hash(state_hash(pair.key), pair.sub);
}

bool pair_reserve(struct state *state, size_t size)
{
    if (size <= state->pair_room)
        return true;
    unsigned char *room = memory_take(state->allocator, 2 * size);
    if (room == NULL)
        return false;
    memory_release(state->allocator, state->pair);
    state->pair = room;
    state->pair_room = 2 * size;
    return true;
}

enum weir_result pair_make(struct state *state, struct pair pair, uint64_t key_hash,
                           struct weir_bytes *bytes, uint64_t *hash)
{
    if (pair.key.size > STATE_KEY_LIMIT || pair.sub.size > STATE_KEY_LIMIT)
        return WEIR_TOO_LARGE;
    size_t size = pair_size(pair);
    if (!pair_reserve(state, size))
        return WEIR_NO_MEMORY;
    pair_write(state->pair, pair);
    *bytes = (struct weir_bytes){state->pair, size};
    *hash = pair_hash(key_hash, pair.sub);
    return WEIR_OK;
}

/* A new entry with its key and a value of zeros. */
static enum weir_result entry_create(struct state *state, struct weir_bytes key, size_t value_size,
                                     uint32_t *place)
{
    size_t size = entry_size(key.size, value_size);
    enum weir_result result = entry_append(state, size, place);
    if (result != WEIR_OK)
        return result;
    unsigned char *entry = entry_at(state, *place);
    entry_set_sizes(entry, key.size, value_size);
    copy_padded(entry + ENTRY_HEADER_SIZE, key.data, key.size);
    memset(entry_value(entry, key.size), 0, entry_padded(value_size));
    expiry_set(state, entry);
    return WEIR_OK;
}

/* Enters a key that is not there; value_size with its head. Apart from the caller's fast path: not
 * inlined into it. */
static __attribute__((noinline)) enum weir_result key_create(struct state *state,
                                                             struct weir_bytes key, uint64_t hash,
                                                             size_t value_size, uint32_t *place)
{
    if ((key.size > STATE_KEY_LIMIT && state->places == NULL) ||
        value_size > STATE_VALUE_LIMIT + state->head)
        return WEIR_TOO_LARGE;
    enum weir_result result = index_grow(state, state->count + 1);
    if (result == WEIR_OK && state->places != NULL &&
        (!pair_reserve(state, key.size) || !ordered_prepare(state, key)))
        result = WEIR_NO_MEMORY;
    if (result == WEIR_OK)
        result = entry_create(state, key, value_size, place);
    if (result != WEIR_OK)
        return result;
    uint32_t lead = lead_new(state, *place);
    slot_insert(state->slots, state->mask, state->shift, slot_make((uint32_t)hash, lead));
    if (state->places != NULL)
        ordered_enter(state, key, lead);
    state->count++;
    now_live(state, *place, entry_size(key.size, value_size));
    return WEIR_OK;
}

static __attribute__((noinline)) void *cell_find(struct state *state, struct weir_bytes key,
                                                 uint64_t hash)
{
    uint32_t at = slot_find(state, key, hash);
    uint32_t place = slot_place(state, state->slots[at]);
    if (place == 0) {
        if (key_create(state, key, hash, state->head + state->value_size, &place) != WEIR_OK)
            return NULL;
    } else if (!is_open(state, place)) {
        if (entry_unseal(state, at) != WEIR_OK)
            return NULL;
        place = slot_place(state, state->slots[at]);
    }
    unsigned char *entry = entry_at(state, place);
    if (state->head > 0)
        expiry_touch(state, entry);
    pay(state, false); /* moves nothing that is open */
    return entry_value(entry, key.size) + state->head;
}

/* The entry of a key of 8 bytes, where it is found at once and may be changed in place; else NULL.
 * A right guess needs no loop, and no registers to be saved. Of plain values (fast_size) only. */
static inline unsigned char *cell_guess(const struct state *state, const void *key, uint64_t hash)
{
    uint32_t place = place_guess(state, hash);
    const struct chunk *chunk = chunk_of(state, place);
    unsigned char *entry = chunk->data + (size_t)(place & (CHUNK_UNITS - 1)) * UNIT;
    return chunk->segment == state->open && key_equal(entry, key, 8) ? entry : NULL;
}

void *state_cell(struct state *state, struct weir_bytes key, uint64_t hash)
{
    assert(state->value_size > 0);
    if (key.size == state->fast_size) {
        unsigned char *entry = cell_guess(state, key.data, hash);
        if (entry != NULL)
            return entry_value(entry, 8);
    }
    return cell_find(state, key, hash);
}

/* --- a span of keys ----------------------------------------------------------------------- */

static inline struct weir_bytes key_at(const struct weir_bytes *keys, size_t stride, uint32_t i)
{
    return *(const struct weir_bytes *)(const void *)((const char *)keys + i * stride);
}

/* Not the fast path: the key is new (NULL), elsewhere, or sealed. */
static __attribute__((noinline)) unsigned char *cell_resolve(struct state *state,
                                                             struct weir_bytes key, uint64_t hash)
{
    uint32_t at = slot_find(state, key, hash);
    uint32_t place = slot_lead(state->slots[at]);
    if (place == 0)
        return NULL;
    if (state->value_size > 0 && !is_open(state, place)) {
        if (entry_unseal(state, at) != WEIR_OK)
            return NULL; /* state_cell will say so */
        pay(state, false);
    }
    return entry_value(entry_at(state, slot_lead(state->slots[at])), key.size);
}

static inline uint64_t key_hash(struct weir_bytes key)
{
    return key.size == 8 ? XXH3_64bits(key.data, 8) : state_hash(key);
}

/* Nothing but hashes, and what a look-up of a plain key will need. */
static __attribute__((noinline)) uint32_t resolve_hashes(const struct state *state,
                                                         const struct weir_bytes *keys,
                                                         size_t stride, uint32_t count,
                                                         uint64_t *hashes, void **cells)
{
    bool plain = state->kind == STATE_VALUE;
    for (uint32_t i = 0; i < count; i++) {
        hashes[i] = key_hash(key_at(keys, stride, i));
        cells[i] = NULL;
        if (plain)
            prefetch_slot(state, hashes[i]);
    }
    for (uint32_t i = 0; plain && i < count; i++)
        prefetch_entry(state, hashes[i]);
    return count;
}

uint32_t state_resolve(struct state *state, const struct weir_bytes *keys, size_t stride,
                       uint32_t count, uint64_t *hashes, void **cells)
{
    if (state->fast_size == UINT32_MAX)
        return resolve_hashes(state, keys, stride, count, hashes, cells);
    /* Prefetching what lies in the cache anyway costs more than it saves. */
    bool far = slot_count(state) * sizeof *state->slots + state->bytes > CACHE_BYTES;
    uint32_t missing = 0;
    for (uint32_t i = 0; far && i < count; i++) {
        hashes[i] = key_hash(key_at(keys, stride, i));
        prefetch_slot(state, hashes[i]);
    }
    for (uint32_t i = 0; far && i < count; i++)
        prefetch_entry(state, hashes[i]);
    for (uint32_t i = 0; i < count; i++) {
        struct weir_bytes key = key_at(keys, stride, i);
        if (!far)
            hashes[i] = key_hash(key);
        unsigned char *entry = key.size == 8 ? cell_guess(state, key.data, hashes[i]) : NULL;
        cells[i] = entry != NULL ? entry_value(entry, 8) : cell_resolve(state, key, hashes[i]);
        missing += cells[i] == NULL;
    }
    return missing;
}

bool state_get(const struct state *state, struct weir_bytes key, uint64_t hash,
               struct weir_bytes *value)
{
    uint64_t slot = state->slots[slot_find(state, key, hash)];
    if (slot == 0)
        return false;
    const unsigned char *entry = entry_at(state, slot_place(state, slot));
    *value = entry_payload(state, entry);
    return !is_expired(state, entry);
}

/* The value no longer fits its room, or must not be changed: a new entry, the old one dies. */
static enum weir_result value_move(struct state *state, struct weir_bytes key, uint32_t at,
                                   struct weir_bytes value)
{
    uint32_t old = slot_place(state, state->slots[at]), place;
    size_t size = state->head + value.size;
    enum weir_result result = entry_create(state, key, size, &place);
    if (result != WEIR_OK)
        return result;
    unsigned char *entry = entry_at(state, place);
    copy_padded(entry_value(entry, key.size) + state->head, value.data, value.size);
    if (!is_open(state, old) || entry_is(entry_at(state, old), ENTRY_OLDER))
        entry_mark(entry, ENTRY_OLDER);
    slot_move(state, at, place);
    now_dead(state, old);
    now_live(state, place, entry_size(key.size, size));
    return WEIR_OK;
}

static bool fits(const struct state *state, uint32_t place, size_t size)
{
    return is_open(state, place) && entry_padded(entry_value_size(entry_at(state, place))) ==
                                        entry_padded(state->head + size);
}

static void value_set(const struct state *state, unsigned char *entry, struct weir_bytes value)
{
    uint32_t flags = snapshot_load_u32(entry + 4) & ENTRY_FLAGS;
    size_t key_size = entry_key_size(entry);
    copy_padded(entry_value(entry, key_size) + state->head, value.data, value.size);
    entry_set_sizes(entry, key_size, state->head + value.size);
    entry_mark(entry, flags);
    expiry_set(state, entry);
}

enum weir_result key_write(struct state *state, struct weir_bytes key, uint64_t hash,
                           struct weir_bytes value)
{
    if (value.size > STATE_VALUE_LIMIT)
        return WEIR_TOO_LARGE;
    uint32_t at = slot_find(state, key, hash);
    uint32_t place = slot_place(state, state->slots[at]);
    bool there = place != 0;
    enum weir_result result =
        there ? WEIR_OK : key_create(state, key, hash, state->head + value.size, &place);
    if (result == WEIR_OK && there && !fits(state, place, value.size))
        result = value_move(state, key, at, value);
    else if (result == WEIR_OK)
        value_set(state, entry_at(state, place), value);
    return result;
}

enum weir_result state_put(struct state *state, struct weir_bytes key, uint64_t hash,
                           struct weir_bytes value)
{
    if (state->value_size > 0 && value.size != state->value_size)
        return WEIR_INVALID;
    enum weir_result result = key_write(state, key, hash, value);
    if (result != WEIR_OK)
        return result;
    pay(state, true);
    log_reclaim(state); /* last: key and value may be views of this state */
    return WEIR_OK;
}

enum weir_result state_enter(struct state *state, const struct state_entry *from)
{
    enum weir_result result = key_write(state, from->key, from->hash, from->value);
    if (result != WEIR_OK)
        return result;
    uint32_t place = slot_place(state, state->slots[slot_find(state, from->key, from->hash)]);
    unsigned char *value = entry_value(entry_at(state, place), from->key.size);
    if (state->head > 0)
        snapshot_store_u64(value, (uint64_t)from->expiry);
    if (state->kind == STATE_LIST && !from->is_value) /* what was cut off is not handed over */
        snapshot_store_u64(value + state->head + 8, list_length(value + state->head));
    pay(state, true);
    log_reclaim(state);
    return WEIR_OK;
}

void state_scribble(struct state *state, unsigned char byte)
{
    state->scribbles = true;
    state->scribble = byte;
}

/* Where only the open segment has the key, nothing of it need be left. */
static enum weir_result entry_remove(struct state *state, uint32_t place)
{
    unsigned char *entry = entry_at(state, place);
    enum weir_result result = WEIR_OK;
    bool open = is_open(state, place), older = entry_is(entry, ENTRY_OLDER);
    bool planted = WEIR_PLANT(key_timer_left_in_log) && state->kind == STATE_TIMERS;
    if ((!open || older) && !planted)
        result = tomb_append(state, entry_key(entry));
    if (result == WEIR_OK)
        now_dead(state, place);
    return result;
}

enum weir_result key_remove(struct state *state, uint32_t at)
{
    uint64_t slot = state->slots[at];
    uint32_t place = slot_place(state, slot);
    struct weir_bytes key = entry_key(entry_at(state, place));
    enum weir_result result = entry_remove(state, place);
    if (result != WEIR_OK)
        return result;
    if (state->places != NULL) {
        ordered_leave(state, key);
        place_release(state, slot_lead(slot));
    }
    slot_remove(state, at);
    state->count--;
    return WEIR_OK;
}

enum weir_result state_remove(struct state *state, struct weir_bytes key, uint64_t hash)
{
    uint32_t at = slot_find(state, key, hash);
    if (state->slots[at] == 0)
        return WEIR_NOT_FOUND;
    bool expired = is_expired(state, entry_at(state, slot_place(state, state->slots[at])));
    enum weir_result result = key_remove(state, at);
    if (result != WEIR_OK)
        return result;
    index_shrink(state);
    pay(state, true);
    log_reclaim(state);
    return expired ? WEIR_NOT_FOUND : WEIR_OK;
}

uint64_t state_count(const struct state *state)
{
    return state->count;
}

uint64_t state_bytes(const struct state *state)
{
    return sizeof *state + slot_count(state) * sizeof *state->slots +
           state->chunk_room * sizeof *state->chunks + state->log_room * sizeof *state->log +
           state->place_room * sizeof *state->places + state->pair_room +
           order_bytes(&state->orders[0]) + order_bytes(&state->orders[1]) +
           state->log_count * sizeof **state->log + state->memory;
}
/* --- the cut ------------------------------------------------------------------------------ */

enum weir_result state_cut(struct state *state, struct state_cut *cut)
{
    *cut = (struct state_cut){0};
    state->cutting = true;
    compact_merge(state);
    state->cutting = false;
    log_drop_dead(state);
    uint32_t gone = log_left(state), count;
    struct segment **segments =
        memory_zeroed(state->allocator, state->log_count + gone, sizeof *segments);
    if (segments == NULL || (has_entries(state->open) && !log_seal(state))) {
        memory_release(state->allocator, segments);
        return WEIR_NO_MEMORY;
    }
    for (count = 0; count + 1 < state->log_count; count++)
        segments[count] = segment_share(state->log[count]->memory);
    log_share_left(state, segments + count);
    *cut = (struct state_cut){segments, count, gone, state->allocator};
    log_reclaim(state);
    return WEIR_OK;
}

void state_cut_let_go(struct state_cut *cut)
{
    for (uint32_t i = 0; i < cut->gone; i++)
        segment_release(cut->segments[cut->count + i]);
    cut->gone = 0;
}

void state_cut_free(struct state_cut *cut)
{
    state_cut_let_go(cut);
    for (uint32_t i = 0; i < cut->count; i++)
        segment_release(cut->segments[i]);
    memory_release(cut->allocator, cut->segments);
    *cut = (struct state_cut){0};
}

void state_save(const struct state *state, struct snapshot_writer *writer)
{
    snapshot_u64(writer, state->count);
    snapshot_u64(writer, (uint64_t)state->now);
    snapshot_u64(writer, state->scan_tag);
    snapshot_u32(writer, state->scan_key != NULL);
    snapshot_bytes(writer, state->scan_key, state->scan_key_size);
}
