/* SPDX-License-Identifier: Apache-2.0
 *
 * Layout in memory:
 *
 *   entry := u32 key size | u32 value size and flags | key, zeros to 8 | value, zeros to 8
 *            little-endian: a chunk's bytes are what state_save writes
 *   chunk := entries one after the other; 256 KiB, or one entry that is larger (a giant)
 *   place := chunk number * 2^15 + offset / 8       32 bits; 0 is nowhere: chunk 0 is full from the
 *            start
 *   slot  := low 32 bits of the hash | place << 32  0 is empty
 *
 * The home of a slot is its tag's low bits, so growing the index and closing the gap a removal
 * leaves need no entry. (The hash's high bits choose the group: within a task they hardly differ.)
 * Probing is linear at a load of at most 3/8 (slots_for). A removal shifts the slots behind it
 * back: no tombstones, so a table with much coming and going probes as little as a fresh one.
 *
 * I1  every live entry has exactly one slot, reachable from its home without an empty one between.
 * I2  entries lie in order of creation; a value that changes its padded size is created anew.
 * I3  the scan has visited exactly the live entries before its place and those flagged VISITED
 *     behind it (visited, then created anew); `visited` counts both.
 * I4  an operation that fails for want of memory changes nothing that can be seen.
 * I5  chunks [1, chunk_end) hold entries, [chunk_end, chunk_held) are spare: 256 KiB each, kept so
 *     that their pages need not be faulted in again.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "state.h"

#include "error.h"
#include "memory.h"

#include <assert.h>
#include <string.h>

#define UNIT 8u
#define CHUNK_UNITS_LOG2 15
#define CHUNK_UNITS (1u << CHUNK_UNITS_LOG2)
#define CHUNK_SIZE ((size_t)CHUNK_UNITS * UNIT)
#define CHUNK_LIMIT (1u << (32 - CHUNK_UNITS_LOG2))
#define ENTRY_HEADER_SIZE 8u
#define FIRST_SLOTS 64u
#define FIRST_CHUNKS 8u
#define SLOT_LIMIT ((uint64_t)1 << 32) /* a tag has no more bits to choose a home with */
#define COMPACT_FROM ((uint64_t)1 << 20)
#define CACHE_BYTES ((uint64_t)1 << 20) /* a second-level cache, about */
#define SPAN 32u /* keys whose cache misses overlap when an index is filled */

/* Flags in the upper bits of an entry's value size. */
#define DEAD 0x80000000u
#define VISITED 0x40000000u
#define FLAGS (DEAD | VISITED)

_Static_assert(STATE_KEY_LIMIT < VISITED && STATE_VALUE_LIMIT < VISITED, "sizes leave the flags");
_Static_assert(CHUNK_SIZE == 256 * 1024, "what state.h and limits speak of");

/* Where an empty slot's place 0 leads: an entry with an empty key, so that a guess may be compared
 * with a key of 8 bytes before anyone asks whether there is an entry. Never written. */
static const unsigned char NOWHERE[2 * ENTRY_HEADER_SIZE];

struct chunk {
    unsigned char *data;
    size_t size; /* bytes; more than CHUNK_SIZE: a giant */
    size_t used; /* bytes */
};

/* Where a walk over the entries stands: before the entry at chunk and offset, if there is one. */
struct walk {
    uint32_t chunk;
    size_t offset; /* bytes */
};

struct state {
    /* what every lookup reads */
    uint64_t *slots;
    struct chunk *chunks;
    uint32_t mask; /* slots - 1 */
    uint32_t value_size;

    /* what creation and removal change */
    uint64_t count;       /* live entries */
    uint64_t used_bytes;  /* of entries, dead ones too */
    uint64_t dead_bytes;  /* of dead entries */
    uint32_t chunk_end;   /* I5 */
    uint32_t chunk_held;  /* I5 */
    uint32_t chunk_room;  /* elements of chunks */
    uint64_t chunk_bytes; /* memory in all chunks */

    /* the scan, I3 */
    struct walk scan;
    uint64_t visited;
    uint64_t visited_behind; /* entries flagged VISITED */

    const struct weir_allocator *allocator;
    bool scribbles;
    unsigned char scribble;
};

/* --- entries ------------------------------------------------------------------------------ */

static inline size_t padded(size_t size)
{
    return (size + UNIT - 1) & ~(size_t)(UNIT - 1);
}

static inline size_t entry_key_size(const unsigned char *entry)
{
    return snapshot_load_u32(entry);
}

static inline size_t entry_value_size(const unsigned char *entry)
{
    return snapshot_load_u32(entry + 4) & ~FLAGS;
}

static inline bool entry_is(const unsigned char *entry, uint32_t flag)
{
    return (snapshot_load_u32(entry + 4) & flag) != 0;
}

static void entry_mark(unsigned char *entry, uint32_t flag)
{
    snapshot_store_u32(entry + 4, snapshot_load_u32(entry + 4) | flag);
}

static void entry_unmark(unsigned char *entry, uint32_t flag)
{
    snapshot_store_u32(entry + 4, snapshot_load_u32(entry + 4) & ~flag);
}

static inline size_t entry_size(size_t key_size, size_t value_size)
{
    return ENTRY_HEADER_SIZE + padded(key_size) + padded(value_size);
}

static size_t entry_whole_size(const unsigned char *entry)
{
    return entry_size(entry_key_size(entry), entry_value_size(entry));
}

static struct weir_bytes entry_key(const unsigned char *entry)
{
    return (struct weir_bytes){entry + ENTRY_HEADER_SIZE, entry_key_size(entry)};
}

static inline unsigned char *entry_value(unsigned char *entry, size_t key_size)
{
    return entry + ENTRY_HEADER_SIZE + padded(key_size);
}

static void copy_padded(unsigned char *to, const void *from, size_t size)
{
    if (size > 0)
        memmove(to, from, size);
    memset(to + size, 0, padded(size) - size);
}

/* --- slots -------------------------------------------------------------------------------- */

static inline uint64_t slot_make(uint32_t tag, uint32_t place)
{
    return (uint64_t)place << 32 | tag;
}

static inline uint32_t slot_tag(uint64_t slot)
{
    return (uint32_t)slot;
}

static inline uint32_t slot_place(uint64_t slot)
{
    return (uint32_t)(slot >> 32);
}

static inline uint32_t place_make(uint32_t chunk, size_t unit)
{
    return chunk << CHUNK_UNITS_LOG2 | (uint32_t)unit;
}

static inline unsigned char *entry_at(const struct state *state, uint32_t place)
{
    return state->chunks[place >> CHUNK_UNITS_LOG2].data +
           (size_t)(place & (CHUNK_UNITS - 1)) * UNIT;
}

static uint64_t slot_count(const struct state *state)
{
    return (uint64_t)state->mask + 1;
}

/* The compiler makes a copy of every caller for size 8: two loads and a compare, no call. */
static inline bool key_equal(const unsigned char *entry, const void *key, size_t size)
{
    if (entry_key_size(entry) != size)
        return false;
    if (size != 8)
        return memcmp(entry + ENTRY_HEADER_SIZE, key, size) == 0;
    uint64_t left, right;
    memcpy(&left, entry + ENTRY_HEADER_SIZE, sizeof left);
    memcpy(&right, key, sizeof right);
    return left == right;
}

/* The slot of a key, or the empty one where it would go. */
static inline uint32_t probe(const struct state *state, const void *key, size_t size, uint64_t hash)
{
    uint32_t tag = (uint32_t)hash;
    uint32_t at = tag & state->mask;
    for (uint64_t slot; (slot = state->slots[at]) != 0; at = (at + 1) & state->mask)
        if (slot_tag(slot) == tag && key_equal(entry_at(state, slot_place(slot)), key, size))
            break;
    return at;
}

static uint32_t slot_find(const struct state *state, struct weir_bytes key, uint64_t hash)
{
    if (key.size == 8)
        return probe(state, key.data, 8, hash);
    return key.size == 0 ? probe(state, "", 0, hash) : probe(state, key.data, key.size, hash);
}

/* The entry that a hash most likely belongs to: of the first two slots, the first with its tag.
 * Reckoned without a branch, since the length of a probe is what no predictor knows; nine keys in
 * ten are in one of the two. An empty slot leads to NOWHERE. */
static inline unsigned char *entry_guess(const struct state *state, uint64_t hash)
{
    uint32_t tag = (uint32_t)hash;
    uint32_t missed = slot_tag(state->slots[tag & state->mask]) != tag;
    return entry_at(state, slot_place(state->slots[(tag + missed) & state->mask]));
}

/* For a slot whose key is known to be absent. */
static void slot_insert(uint64_t *slots, uint32_t mask, uint64_t slot)
{
    uint32_t at = slot_tag(slot) & mask;
    while (slots[at] != 0)
        at = (at + 1) & mask;
    slots[at] = slot;
}

/* Moves back what stands behind the gap, as far as its home allows. */
static void slot_remove(struct state *state, uint32_t gap)
{
    uint32_t mask = state->mask;
    for (uint32_t at = (gap + 1) & mask; state->slots[at] != 0; at = (at + 1) & mask) {
        uint32_t home = slot_tag(state->slots[at]) & mask;
        if (((at - home) & mask) < ((at - gap) & mask))
            continue;
        state->slots[gap] = state->slots[at];
        gap = at;
    }
    state->slots[gap] = 0;
}

/* Slots for `count` keys, at least `least`: a load of at most 3/8. At a half, entry_guess is wrong
 * for one key in eight, and at 1 M keys a prefetched update costs a fifth more; at a quarter it
 * gains a tenth, which up to 64 bytes of index a key are not worth. */
static uint64_t slots_for(uint64_t count, uint64_t least)
{
    uint64_t wanted = least;
    while (3 * wanted < 8 * count)
        wanted *= 2;
    return wanted;
}

/* Room for `count` keys. Reads and writes both run forward. */
static enum weir_result index_grow(struct state *state, uint64_t count)
{
    uint64_t wanted = slots_for(count, slot_count(state));
    if (wanted == slot_count(state))
        return WEIR_OK;
    if (wanted > SLOT_LIMIT)
        return WEIR_TOO_LARGE;
    uint64_t *slots = memory_zeroed(state->allocator, (size_t)wanted, sizeof *slots);
    if (slots == NULL)
        return WEIR_NO_MEMORY;
    for (uint64_t i = 0; i < slot_count(state); i++)
        if (state->slots[i] != 0)
            slot_insert(slots, (uint32_t)(wanted - 1), state->slots[i]);
    memory_release(state->allocator, state->slots);
    state->slots = slots;
    state->mask = (uint32_t)(wanted - 1);
    return WEIR_OK;
}

/* --- chunks ------------------------------------------------------------------------------- */

static bool is_giant(const struct chunk *chunk)
{
    return chunk->size > CHUNK_SIZE;
}

static enum weir_result chunk_table_grow(struct state *state)
{
    if (state->chunk_held < state->chunk_room)
        return WEIR_OK;
    size_t old_size = state->chunk_room * sizeof *state->chunks;
    struct chunk *chunks = memory_resize(state->allocator, state->chunks, old_size, 2 * old_size);
    if (chunks == NULL)
        return WEIR_NO_MEMORY;
    state->chunks = chunks;
    state->chunk_room *= 2;
    return WEIR_OK;
}

/* Makes chunk chunk_end the last one; a spare one that a giant displaces goes to the end. */
static enum weir_result chunk_add(struct state *state, size_t size)
{
    if (state->chunk_end == CHUNK_LIMIT)
        return WEIR_TOO_LARGE;
    if (size == CHUNK_SIZE && state->chunk_end < state->chunk_held) {
        state->chunks[state->chunk_end++].used = 0;
        return WEIR_OK;
    }
    enum weir_result result = chunk_table_grow(state);
    if (result != WEIR_OK)
        return result;
    unsigned char *data = memory_take(state->allocator, size);
    if (data == NULL)
        return WEIR_NO_MEMORY;
    state->chunks[state->chunk_held++] = state->chunks[state->chunk_end];
    state->chunks[state->chunk_end++] = (struct chunk){data, size, 0};
    state->chunk_bytes += size;
    return WEIR_OK;
}

static void chunk_release(struct state *state, struct chunk *chunk)
{
    memory_release(state->allocator, chunk->data);
    state->chunk_bytes -= chunk->size;
}

/* Room for an entry at the end; *place is where. A giant's chunk is full, so what follows it finds
 * no room there. */
static enum weir_result entry_append(struct state *state, size_t size, uint32_t *place)
{
    struct chunk *last = &state->chunks[state->chunk_end - 1];
    if (size > last->size - last->used) {
        enum weir_result result = chunk_add(state, size > CHUNK_SIZE ? size : CHUNK_SIZE);
        if (result != WEIR_OK)
            return result;
        last = &state->chunks[state->chunk_end - 1];
    }
    *place = place_make(state->chunk_end - 1, last->used / UNIT);
    last->used += size;
    state->used_bytes += size;
    return WEIR_OK;
}

/* --- walking ------------------------------------------------------------------------------ */

/* The next entry, dead ones too; NULL at the end, where a later call finds what was appended. */
static unsigned char *walk_next(const struct state *state, struct walk *walk)
{
    while (walk->offset == state->chunks[walk->chunk].used) {
        if (walk->chunk + 1 >= state->chunk_end)
            return NULL;
        *walk = (struct walk){walk->chunk + 1, 0};
    }
    unsigned char *entry = state->chunks[walk->chunk].data + walk->offset;
    walk->offset += entry_whole_size(entry);
    return entry;
}

/* Behind the last entry. */
static struct walk walk_end(const struct state *state)
{
    uint32_t last = state->chunk_end - 1;
    return (struct walk){last, state->chunks[last].used};
}

static bool scan_passed(const struct state *state, uint32_t chunk, size_t offset)
{
    const struct walk *scan = &state->scan;
    return chunk < scan->chunk || (chunk == scan->chunk && offset < scan->offset);
}

/* I3 */
static bool entry_visited(const struct state *state, uint32_t chunk, const unsigned char *entry)
{
    size_t offset = (size_t)(entry - state->chunks[chunk].data);
    return entry_is(entry, VISITED) || scan_passed(state, chunk, offset);
}

/* --- filling an index --------------------------------------------------------------------- */

struct pending {
    uint64_t hash;
    uint32_t place;
};

/* False when a key is there already. Two passes, so that the misses of a span overlap. */
static bool index_enter(struct state *state, const struct pending *span, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        state_prefetch_slot(state, span[i].hash);
    for (uint32_t i = 0; i < count; i++) {
        struct weir_bytes key = entry_key(entry_at(state, span[i].place));
        uint32_t at = slot_find(state, key, span[i].hash);
        if (state->slots[at] != 0)
            return false;
        state->slots[at] = slot_make((uint32_t)span[i].hash, span[i].place);
    }
    return true;
}

/* Fills the empty index, which has room, with all live entries; false when two have one key. */
static bool index_fill(struct state *state)
{
    struct pending span[SPAN];
    uint32_t count = 0;
    struct walk walk = {0, 0};
    for (unsigned char *entry; (entry = walk_next(state, &walk)) != NULL;) {
        if (entry_is(entry, DEAD))
            continue;
        size_t unit = (size_t)(entry - state->chunks[walk.chunk].data) / UNIT;
        span[count++] = (struct pending){.hash = state_hash(entry_key(entry)),
                                         .place = place_make(walk.chunk, unit)};
        if (count == SPAN && !index_enter(state, span, count))
            return false;
        count %= SPAN;
    }
    return index_enter(state, span, count);
}

/* --- compaction --------------------------------------------------------------------------- */

/* Dead giants leave the table first: then every chunk that entries slide out of is an ordinary one,
 * and the entries that follow can go there. */
static void drop_dead_giants(struct state *state)
{
    uint32_t kept = 1;
    for (uint32_t i = 1; i < state->chunk_held; i++) {
        struct chunk chunk = state->chunks[i];
        bool dropped = is_giant(&chunk) && entry_is(chunk.data, DEAD);
        if (state->scan.chunk == i)
            state->scan = (struct walk){kept, dropped ? 0 : state->scan.offset};
        if (dropped) {
            chunk_release(state, &chunk);
            state->chunk_end--;
        } else {
            state->chunks[kept++] = chunk;
        }
    }
    state->chunk_held = kept;
}

/* Room at `to` for an entry of `size` that lies in chunk `from`. `to` never overtakes: the entries
 * before this one took at least as much room where they lay. A giant moves with its chunk. */
static unsigned char *slide_room(struct state *state, struct walk *to, uint32_t from, size_t size)
{
    if (to->offset > 0 && to->offset + size > CHUNK_SIZE) {
        state->chunks[to->chunk].used = to->offset;
        *to = (struct walk){to->chunk + 1, 0};
    }
    assert(to->chunk <= from);
    if (size > CHUNK_SIZE) {
        struct chunk freed = state->chunks[to->chunk];
        state->chunks[to->chunk] = state->chunks[from];
        state->chunks[from] = freed;
    }
    return state->chunks[to->chunk].data + to->offset;
}

/* Moves the live entries of chunk `from` down to `to`. The first one that the scan has not passed
 * tells where it stands from now on. */
static void slide_chunk(struct state *state, uint32_t from, struct walk *to, struct walk *scan)
{
    struct chunk source = state->chunks[from];
    size_t size;
    for (size_t offset = 0; offset < source.used; offset += size) {
        const unsigned char *entry = source.data + offset;
        size = entry_whole_size(entry);
        if (entry_is(entry, DEAD))
            continue;
        unsigned char *room = slide_room(state, to, from, size);
        if (scan->chunk == UINT32_MAX && !scan_passed(state, from, offset))
            *scan = *to;
        memmove(room, entry, size);
        to->offset += size;
    }
}

static void slide_all(struct state *state)
{
    struct walk to = {1, 0};
    struct walk scan = {UINT32_MAX, 0}; /* not known yet */
    uint32_t end = state->chunk_end;
    for (uint32_t from = 1; from < end; from++)
        slide_chunk(state, from, &to, &scan);
    if (to.offset > 0)
        state->chunks[to.chunk++].used = to.offset;
    state->chunk_end = to.chunk;
    state->scan = scan.chunk == UINT32_MAX ? walk_end(state) : scan;
    state->used_bytes -= state->dead_bytes;
    state->dead_bytes = 0;
}

/* A much smaller index if there is memory for it, else the old one, emptied. */
static void index_empty(struct state *state)
{
    uint64_t wanted = slots_for(2 * state->count, FIRST_SLOTS);
    uint64_t *slots = NULL;
    if (wanted <= slot_count(state) / 4)
        slots = memory_zeroed(state->allocator, (size_t)wanted, sizeof *slots);
    if (slots == NULL) {
        memset(state->slots, 0, (size_t)slot_count(state) * sizeof *state->slots);
        return;
    }
    memory_release(state->allocator, state->slots);
    state->slots = slots;
    state->mask = (uint32_t)(wanted - 1);
}

/* Needs no memory, so it can't fail. Amortised: what it moves is less than what died before. */
static void compact_when_due(struct state *state)
{
    if (state->dead_bytes <= COMPACT_FROM || state->dead_bytes <= state->used_bytes / 2)
        return;
    drop_dead_giants(state);
    slide_all(state);
    while (state->chunk_held > 2 * state->chunk_end)
        chunk_release(state, &state->chunks[--state->chunk_held]);
    index_empty(state);
    bool unique = index_fill(state);
    assert(unique); /* I1 */
    (void)unique;
}

/* --- making and freeing ------------------------------------------------------------------- */

struct state *state_new(const struct weir_allocator *allocator, uint32_t value_size)
{
    assert(value_size <= STATE_VALUE_LIMIT);
    struct state *state = memory_zeroed(allocator, 1, sizeof *state);
    if (state == NULL)
        return NULL;
    state->allocator = allocator;
    state->value_size = value_size;
    state->slots = memory_zeroed(allocator, FIRST_SLOTS, sizeof *state->slots);
    state->chunks = memory_zeroed(allocator, FIRST_CHUNKS, sizeof *state->chunks);
    state->mask = FIRST_SLOTS - 1;
    state->chunk_room = FIRST_CHUNKS;
    if (state->slots == NULL || state->chunks == NULL) {
        state_free(&state);
        return NULL;
    }
    state->chunks[0].data = (unsigned char *)(uintptr_t)NOWHERE;
    state->chunk_end = 1;
    state->chunk_held = 1;
    return state;
}

void state_free(struct state **handle)
{
    struct state *state = *handle;
    *handle = NULL;
    if (state == NULL)
        return;
    for (uint32_t i = 1; i < state->chunk_held; i++)
        memory_release(state->allocator, state->chunks[i].data);
    memory_release(state->allocator, state->chunks);
    memory_release(state->allocator, state->slots);
    memory_release(state->allocator, state);
}

/* --- keys --------------------------------------------------------------------------------- */

uint64_t state_hash(struct weir_bytes key)
{
    if (key.size == 8) /* known to the compiler, the hash is a handful of instructions */
        return XXH3_64bits(key.data, 8);
    return XXH3_64bits(key.size == 0 ? "" : key.data, key.size);
}

void state_prefetch_slot(const struct state *state, uint64_t hash)
{
    __builtin_prefetch(&state->slots[(uint32_t)hash & state->mask]);
}

void state_prefetch_entry(const struct state *state, uint64_t hash)
{
    const unsigned char *entry = entry_guess(state, hash);
    __builtin_prefetch(entry, 1);
    __builtin_prefetch(entry + 2 * ENTRY_HEADER_SIZE, 1); /* one small cell in four: another line */
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
    snapshot_store_u32(entry, (uint32_t)key.size);
    snapshot_store_u32(entry + 4, (uint32_t)value_size);
    copy_padded(entry + ENTRY_HEADER_SIZE, key.data, key.size);
    memset(entry_value(entry, key.size), 0, padded(value_size));
    return WEIR_OK;
}

/* Enters a key that is not there. Apart from the caller's fast path: not inlined into it. */
static __attribute__((noinline)) enum weir_result key_create(struct state *state,
                                                             struct weir_bytes key, uint64_t hash,
                                                             size_t value_size, uint32_t *place)
{
    if (key.size > STATE_KEY_LIMIT || value_size > STATE_VALUE_LIMIT)
        return WEIR_TOO_LARGE;
    enum weir_result result = index_grow(state, state->count + 1);
    if (result == WEIR_OK)
        result = entry_create(state, key, value_size, place);
    if (result != WEIR_OK)
        return result;
    slot_insert(state->slots, state->mask, slot_make((uint32_t)hash, *place));
    state->count++;
    return WEIR_OK;
}

static __attribute__((noinline)) void *cell_find(struct state *state, struct weir_bytes key,
                                                 uint64_t hash)
{
    uint32_t place = slot_place(state->slots[slot_find(state, key, hash)]);
    if (place == 0 && key_create(state, key, hash, state->value_size, &place) != WEIR_OK)
        return NULL;
    return entry_value(entry_at(state, place), key.size);
}

/* The hot path: a right guess needs no loop, and no registers to be saved. */
void *state_cell(struct state *state, struct weir_bytes key, uint64_t hash)
{
    assert(state->value_size > 0);
    if (key.size == 8) {
        unsigned char *entry = entry_guess(state, hash);
        if (key_equal(entry, key.data, 8))
            return entry_value(entry, 8);
    }
    return cell_find(state, key, hash);
}

/* --- a span of keys ----------------------------------------------------------------------- */

static inline struct weir_bytes key_at(const struct weir_bytes *keys, size_t stride, uint32_t i)
{
    return *(const struct weir_bytes *)(const void *)((const char *)keys + i * stride);
}

static inline unsigned char *cell_resolve(const struct state *state, struct weir_bytes key,
                                          uint64_t hash)
{
    if (key.size == 8) {
        unsigned char *entry = entry_guess(state, hash);
        if (key_equal(entry, key.data, 8))
            return entry_value(entry, 8);
    }
    uint32_t place = slot_place(state->slots[slot_find(state, key, hash)]);
    return place == 0 ? NULL : entry_value(entry_at(state, place), key.size);
}

static inline uint64_t key_hash(struct weir_bytes key)
{
    return key.size == 8 ? XXH3_64bits(key.data, 8) : state_hash(key);
}

uint32_t state_resolve(const struct state *state, const struct weir_bytes *keys, size_t stride,
                       uint32_t count, uint64_t *hashes, void **cells)
{
    /* Prefetching what lies in the cache anyway costs more than it saves. */
    bool far = slot_count(state) * sizeof *state->slots + state->used_bytes > CACHE_BYTES;
    uint32_t missing = 0;
    for (uint32_t i = 0; far && i < count; i++) {
        hashes[i] = key_hash(key_at(keys, stride, i));
        state_prefetch_slot(state, hashes[i]);
    }
    for (uint32_t i = 0; far && i < count; i++)
        state_prefetch_entry(state, hashes[i]);
    for (uint32_t i = 0; i < count; i++) {
        struct weir_bytes key = key_at(keys, stride, i);
        if (!far)
            hashes[i] = key_hash(key);
        cells[i] = cell_resolve(state, key, hashes[i]);
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
    unsigned char *entry = entry_at(state, slot_place(slot));
    *value = (struct weir_bytes){entry_value(entry, key.size), entry_value_size(entry)};
    return true;
}

/* Takes an entry out of the counts; its slot is the caller's. True when the scan has visited it. */
static bool entry_kill(struct state *state, uint32_t place)
{
    unsigned char *entry = entry_at(state, place);
    bool visited = entry_visited(state, place >> CHUNK_UNITS_LOG2, entry);
    if (visited)
        state->visited--;
    if (entry_is(entry, VISITED))
        state->visited_behind--;
    entry_unmark(entry, VISITED);
    if (state->scribbles)
        memset(entry_value(entry, entry_key_size(entry)), state->scribble,
               padded(entry_value_size(entry)));
    entry_mark(entry, DEAD);
    state->dead_bytes += entry_whole_size(entry);
    return visited;
}

/* The value no longer fits its room: a new entry, the old one dies. */
static enum weir_result value_move(struct state *state, struct weir_bytes key, uint32_t at,
                                   struct weir_bytes value)
{
    uint64_t old = state->slots[at];
    uint32_t place;
    enum weir_result result = entry_create(state, key, value.size, &place);
    if (result != WEIR_OK)
        return result;
    unsigned char *entry = entry_at(state, place);
    copy_padded(entry_value(entry, key.size), value.data, value.size);
    state->slots[at] = slot_make(slot_tag(old), place);
    if (entry_kill(state, slot_place(old))) { /* I3 */
        entry_mark(entry, VISITED);
        state->visited++;
        state->visited_behind++;
    }
    compact_when_due(state); /* last: key and value may be views of this state */
    return WEIR_OK;
}

enum weir_result state_put(struct state *state, struct weir_bytes key, uint64_t hash,
                           struct weir_bytes value)
{
    if (state->value_size > 0 && value.size != state->value_size)
        return WEIR_INVALID;
    if (value.size > STATE_VALUE_LIMIT)
        return WEIR_TOO_LARGE;
    uint32_t at = slot_find(state, key, hash);
    uint32_t place = slot_place(state->slots[at]);
    if (place == 0) {
        enum weir_result result = key_create(state, key, hash, value.size, &place);
        if (result != WEIR_OK)
            return result;
    }
    unsigned char *entry = entry_at(state, place);
    if (padded(entry_value_size(entry)) != padded(value.size))
        return value_move(state, key, at, value);
    uint32_t flags = snapshot_load_u32(entry + 4) & FLAGS;
    copy_padded(entry_value(entry, key.size), value.data, value.size);
    snapshot_store_u32(entry + 4, (uint32_t)value.size | flags);
    return WEIR_OK;
}

void state_scribble(struct state *state, unsigned char byte)
{
    state->scribbles = true;
    state->scribble = byte;
}

bool state_remove(struct state *state, struct weir_bytes key, uint64_t hash)
{
    uint32_t at = slot_find(state, key, hash);
    if (state->slots[at] == 0)
        return false;
    entry_kill(state, slot_place(state->slots[at]));
    slot_remove(state, at);
    state->count--;
    compact_when_due(state);
    return true;
}

uint64_t state_count(const struct state *state)
{
    return state->count;
}

uint64_t state_bytes(const struct state *state)
{
    return sizeof *state + slot_count(state) * sizeof *state->slots +
           state->chunk_room * sizeof *state->chunks + state->chunk_bytes;
}

/* --- the scan ----------------------------------------------------------------------------- */

bool state_scan_next(struct state *state, struct weir_bytes *key, struct weir_bytes *value)
{
    for (unsigned char *entry; (entry = walk_next(state, &state->scan)) != NULL;) {
        if (entry_is(entry, VISITED)) { /* from now on the scan's place says it */
            entry_unmark(entry, VISITED);
            state->visited_behind--;
        } else if (!entry_is(entry, DEAD)) {
            state->visited++;
            *key = entry_key(entry);
            *value = (struct weir_bytes){entry_value(entry, key->size), entry_value_size(entry)};
            return true;
        }
    }
    return false;
}

void state_scan_rewind(struct state *state)
{
    for (unsigned char *entry; state->visited_behind > 0;) {
        entry = walk_next(state, &state->scan);
        assert(entry != NULL); /* I3 */
        if (entry_is(entry, VISITED))
            state->visited_behind--;
        entry_unmark(entry, VISITED);
    }
    state->scan = (struct walk){0, 0};
    state->visited = 0;
}

/* --- saving and loading ------------------------------------------------------------------- */

static void save_chunks(const struct state *state, unsigned char *to)
{
    for (uint32_t i = 1; i < state->chunk_end; i++) {
        memcpy(to, state->chunks[i].data, state->chunks[i].used);
        to += state->chunks[i].used;
    }
}

/* The live entries that the scan has, or has not, visited. */
static unsigned char *save_entries(const struct state *state, unsigned char *to, bool visited)
{
    struct walk walk = {0, 0};
    for (const unsigned char *entry; (entry = walk_next(state, &walk)) != NULL;) {
        if (entry_is(entry, DEAD) || entry_visited(state, walk.chunk, entry) != visited)
            continue;
        size_t size = entry_whole_size(entry);
        memcpy(to, entry, size);
        entry_unmark(to, VISITED);
        to += size;
    }
    return to;
}

void state_save(const struct state *state, struct snapshot_writer *writer)
{
    snapshot_u64(writer, state->count);
    snapshot_u64(writer, state->visited);
    unsigned char *to = snapshot_room(writer, (size_t)(state->used_bytes - state->dead_bytes));
    if (to == NULL)
        return;
    if (state->dead_bytes == 0 && state->visited_behind == 0) {
        save_chunks(state, to);
        return;
    }
    if (state->visited > 0)
        to = save_entries(state, to, true);
    if (state->visited < state->count)
        save_entries(state, to, false);
}

/* Back to an empty table; its memory stays. */
static void table_clear(struct state *state)
{
    memset(state->slots, 0, (size_t)slot_count(state) * sizeof *state->slots);
    for (uint32_t i = 1; i < state->chunk_held; i++)
        chunk_release(state, &state->chunks[i]);
    state->chunk_end = 1;
    state->chunk_held = 1;
    state->count = 0;
    state->used_bytes = 0;
    state->dead_bytes = 0;
    state->scan = (struct walk){0, 0};
    state->visited = 0;
    state->visited_behind = 0;
}

static bool padding_zero(const unsigned char *data, size_t size)
{
    for (size_t i = size; i < padded(size); i++)
        if (data[i] != 0)
            return false;
    return true;
}

/* The size of the entry at `data` with `left` bytes to its end; 0 when it is not a sound one. */
static size_t entry_check(const struct state *state, const unsigned char *data, size_t left)
{
    if (left < ENTRY_HEADER_SIZE)
        return 0;
    size_t key_size = snapshot_load_u32(data);
    size_t value_size = snapshot_load_u32(data + 4);
    if (key_size > STATE_KEY_LIMIT || value_size > STATE_VALUE_LIMIT)
        return 0;
    if (state->value_size > 0 && value_size != state->value_size)
        return 0;
    size_t size = entry_size(key_size, value_size);
    if (size > left || !padding_zero(data + ENTRY_HEADER_SIZE, key_size) ||
        !padding_zero(data + ENTRY_HEADER_SIZE + padded(key_size), value_size))
        return 0;
    return size;
}

struct load {
    struct snapshot_section *section;
    uint64_t count;
    uint64_t visited;
    uint32_t first_group, end_group, groups;
};

/* Copies all entries behind the last one; the index is not touched. */
static enum weir_result load_entries(struct state *state, const struct load *load,
                                     struct weir_error *error)
{
    struct snapshot_section *section = load->section;
    for (uint64_t i = 0; i < load->count; i++) {
        const unsigned char *from = section->body;
        size_t size = entry_check(state, from, section->left);
        if (size == 0)
            return error_set(error, WEIR_DAMAGED, 0, "state: entry %llu is not well-formed",
                             (unsigned long long)i);
        uint32_t group = state_group(state_hash(entry_key(from)), load->groups);
        if (group < load->first_group || group >= load->end_group)
            return error_set(error, WEIR_DAMAGED, 0, "state: entry %llu is of group %u, not ours",
                             (unsigned long long)i, (unsigned)group);
        uint32_t place;
        enum weir_result result = entry_append(state, size, &place);
        if (result != WEIR_OK)
            return error_memory(error, "state entries", size);
        memcpy(entry_at(state, place), from, size);
        snapshot_get_bytes(section, size);
        if (i + 1 == load->visited)
            state->scan = walk_end(state);
    }
    return WEIR_OK;
}

static enum weir_result load_table(struct state *state, const struct load *load,
                                   struct weir_error *error)
{
    /* Every entry but one with an empty key takes two units: what is left bounds the index. */
    if (load->section->failed || load->visited > load->count ||
        load->count > load->section->left / ENTRY_HEADER_SIZE)
        return error_set(error, WEIR_DAMAGED, 0, "state: the counts can't be right");
    enum weir_result result = load_entries(state, load, error);
    if (result != WEIR_OK)
        return result;
    if (!snapshot_done(load->section))
        return error_set(error, WEIR_DAMAGED, 0, "state: bytes after the last entry");
    if (index_grow(state, load->count) != WEIR_OK)
        return error_memory(error, "state index",
                            (size_t)slots_for(load->count, 1) * sizeof *state->slots);
    state->count = load->count;
    state->visited = load->visited;
    if (!index_fill(state))
        return error_set(error, WEIR_DAMAGED, 0, "state: a key is there twice");
    return WEIR_OK;
}

enum weir_result state_load(struct state *state, struct snapshot_section *section,
                            uint32_t first_group, uint32_t end_group, uint32_t groups,
                            struct weir_error *error)
{
    assert(state->count == 0 && state->used_bytes == 0);
    struct load load = {
        .section = section, .first_group = first_group, .end_group = end_group, .groups = groups};
    load.count = snapshot_get_u64(section);
    load.visited = snapshot_get_u64(section);
    enum weir_result result = load_table(state, &load, error);
    if (result != WEIR_OK)
        table_clear(state);
    return result;
}
