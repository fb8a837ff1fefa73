/* SPDX-License-Identifier: Apache-2.0
 *
 * Layout in memory:
 *
 *   log    := segment*      the last one is open, the others are sealed and never change (L6)
 *   chunk  := a part of a segment's memory, entries one after the other; at most 256 KiB, or one
 *             entry that is larger (a giant)
 *   place  := chunk number * 2^15 + offset / 8       32 bits; 0 is nowhere: chunk 0 is full from
 *             the start
 *   slot   := low 32 bits of the hash | place << 32  0 is empty
 *
 * The home of a slot is its tag's high bits, so growing the index and closing the gap a removal
 * leaves need no entry, and slots lie nearly in the order of their tags: the scan's order. (The
 * hash's upper half chooses the group: within a task it hardly differs.) Probing is linear at a
 * load of at most 3/8 (slots_for). A removal shifts the slots behind it back: no tombstones in the
 * index, so a table with much coming and going probes as little as a fresh one.
 *
 * What is new goes to the open segment, and may be changed there in place. An entry of a sealed
 * segment is copied to the open one before it is changed. So a cut moves one pointer, whatever the
 * size of the state, and a checkpoint is the list of the sealed segments, of which most are in the
 * checkpoints before as well. (Log-structured: Rosenblum and Ousterhout 1992; state as a log whose
 * prefix is the checkpoint: Faster, Chandramouli et al. 2018.)
 *
 * I1  every live key has exactly one slot, reachable from its home without an empty one between,
 *     and it leads to the key's newest entry.
 * I2  in the log, the last segment that has a key tells its value, or by a tombstone that it has
 *     none. A key that is not in the index has a tombstone behind all its entries, or none at all.
 * I3  the scan goes by tag, then by key: what is before its position has been visited.
 * I4  an operation that fails for want of memory changes nothing that can be seen.
 * I5  memory of the log is given back by put, remove and cut only: views and cells live on.
 *
 * Garbage: a segment's entries that the index does not lead to. When there is too much of it, the
 * segment with the most is the victim: what lives of it is appended to the open segment again, a
 * little at every append, by the task itself (L2). Then it leaves the log. A tombstone of the
 * oldest segment is garbage; another one is appended again, unless its key lives (L3).
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "state.h"

#include "error.h"
#include "memory.h"
#include "state_entry.h"

#include <assert.h>
#include <string.h>

#define UNIT ENTRY_UNIT
#define CHUNK_UNITS_LOG2 15
#define CHUNK_UNITS (1u << CHUNK_UNITS_LOG2)
#define CHUNK_SIZE ((size_t)CHUNK_UNITS * UNIT)
#define CHUNK_LEAST ((size_t)4096)
#define CHUNK_LIMIT (1u << (32 - CHUNK_UNITS_LOG2))
#define FIRST_SLOTS 64u
#define FIRST_CHUNKS 8u
#define FIRST_SEGMENTS 8u
#define SLOT_LIMIT ((uint64_t)1 << 32)  /* a tag has no more bits to choose a home with */
#define CACHE_BYTES ((uint64_t)1 << 20) /* a second-level cache, about */
#define SPAN 32u /* keys whose cache misses overlap when an index is filled */

#define GARBAGE_FROM ((uint64_t)256 << 10) /* bytes that are not worth the trouble */
#define COMPACT_RATE 4u                    /* bytes looked at for each byte appended */
#define COMPACT_STEP ((uint64_t)4096)      /* at a time, at least */
#define LIST_WANTED 64u                    /* segments; more are merged, the smallest first */
#define CUT_STEP ((uint64_t)8 << 10)       /* bytes a cut moves for that, for each time as many */

_Static_assert(STATE_KEY_LIMIT < ENTRY_OLDER && STATE_VALUE_LIMIT < ENTRY_OLDER,
               "sizes leave the flags");
_Static_assert(CHUNK_SIZE == 256 * 1024, "what state.h and limits speak of");

/* Where an empty slot's place 0 leads: an entry with an empty key, so that a guess may be compared
 * with a key of 8 bytes before anyone asks whether there is an entry. Never written. */
static const unsigned char NOWHERE[2 * ENTRY_HEADER_SIZE];

struct link; /* of the log */

struct chunk {
    unsigned char *data;
    struct link *segment; /* NULL: this number is free */
    uint32_t size, used;  /* bytes */
    uint32_t next;        /* of its segment, or the next free number; 0: none */
};

/* A segment as its task knows it. */
struct link {
    struct segment *memory;
    uint64_t bytes;       /* of all entries */
    uint64_t live;        /* of those that the index leads to */
    uint64_t tombs;       /* of tombstones */
    uint32_t first, last; /* chunks, 0: none */
    struct link *next;    /* of those that have left the log */
};

/* Where a walk over one segment stands. */
struct walk {
    uint32_t chunk; /* 0: at the end */
    uint32_t offset;
};

struct state {
    /* what every lookup reads */
    uint64_t *slots;
    struct chunk *chunks;
    struct link *open; /* the last of the log */
    uint32_t shift;    /* of a tag, to its home */
    uint32_t mask;     /* slots - 1 */
    uint32_t value_size;

    /* what creation and removal change */
    uint64_t count;      /* live keys */
    uint64_t bytes;      /* of all entries of the log */
    uint64_t live;       /* of those that live */
    uint64_t tombs;      /* of tombstones */
    uint32_t free_chunk; /* 0: none */
    uint32_t chunk_end;  /* numbers ever used */
    uint32_t chunk_room;
    uint64_t memory; /* of all segments, those that left the log too */

    /* the log */
    struct link **log;
    uint32_t log_count, log_room;
    struct link *left; /* I5: their memory is still there */
    struct link *victim;
    struct walk at; /* in the victim */
    uint64_t debt;  /* bytes to be looked at */

    /* the scan, I3: all tags below have been visited; of this one, keys up to `scan_key` */
    uint64_t scan_tag;
    unsigned char *scan_key; /* NULL: none of this tag */
    size_t scan_key_size;

    const struct weir_allocator *allocator;
    _Atomic uint64_t *orphaned;
    bool scribbles;
    unsigned char scribble;
};

static void copy_padded(unsigned char *to, const void *from, size_t size)
{
    if (size > 0)
        memmove(to, from, size);
    memset(to + size, 0, entry_padded(size) - size);
}

static void copy_key(unsigned char *to, struct weir_bytes key)
{
    if (key.size > 0)
        memcpy(to, key.data, key.size);
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

static inline uint32_t home_of(uint32_t tag, uint32_t shift)
{
    return (uint32_t)((uint64_t)tag >> shift);
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
    uint32_t at = home_of(tag, state->shift);
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

/* The place of the entry that a hash most likely belongs to: of the first two slots, the first with
 * its tag. Reckoned without a branch, since the length of a probe is what no predictor knows; nine
 * keys in ten are in one of the two. An empty slot's is 0. */
static inline uint32_t place_guess(const struct state *state, uint64_t hash)
{
    uint32_t tag = (uint32_t)hash;
    uint32_t home = home_of(tag, state->shift);
    uint32_t missed = slot_tag(state->slots[home]) != tag;
    return slot_place(state->slots[(home + missed) & state->mask]);
}

/* For a slot whose key is known to be absent. */
static void slot_insert(uint64_t *slots, uint32_t mask, uint32_t shift, uint64_t slot)
{
    uint32_t at = home_of(slot_tag(slot), shift);
    while (slots[at] != 0)
        at = (at + 1) & mask;
    slots[at] = slot;
}

/* Moves back what stands behind the gap, as far as its home allows. */
static void slot_remove(struct state *state, uint32_t gap)
{
    uint32_t mask = state->mask;
    for (uint32_t at = (gap + 1) & mask; state->slots[at] != 0; at = (at + 1) & mask) {
        uint32_t home = home_of(slot_tag(state->slots[at]), state->shift);
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

static uint32_t shift_for(uint64_t slots)
{
    uint32_t shift = 32;
    while ((uint64_t)1 << (32 - shift) < slots)
        shift--;
    return shift;
}

/* Reads and writes both run forward. */
static enum weir_result index_resize(struct state *state, uint64_t wanted)
{
    if (wanted > SLOT_LIMIT)
        return WEIR_TOO_LARGE;
    uint64_t *slots = memory_zeroed(state->allocator, (size_t)wanted, sizeof *slots);
    if (slots == NULL)
        return WEIR_NO_MEMORY;
    uint32_t mask = (uint32_t)(wanted - 1), shift = shift_for(wanted);
    for (uint64_t i = 0; i < slot_count(state); i++)
        if (state->slots[i] != 0)
            slot_insert(slots, mask, shift, state->slots[i]);
    memory_release(state->allocator, state->slots);
    state->slots = slots;
    state->mask = mask;
    state->shift = shift;
    return WEIR_OK;
}

/* Room for `count` keys. */
static enum weir_result index_grow(struct state *state, uint64_t count)
{
    uint64_t wanted = slots_for(count, slot_count(state));
    return wanted == slot_count(state) ? WEIR_OK : index_resize(state, wanted);
}

/* A much smaller index, if there is memory for it. */
static void index_shrink(struct state *state)
{
    uint64_t wanted = slots_for(2 * state->count, FIRST_SLOTS);
    if (wanted <= slot_count(state) / 8)
        (void)index_resize(state, wanted);
}

/* --- chunks ------------------------------------------------------------------------------- */

static inline struct chunk *chunk_of(const struct state *state, uint32_t place)
{
    return &state->chunks[place >> CHUNK_UNITS_LOG2];
}

static inline bool is_open(const struct state *state, uint32_t place)
{
    return chunk_of(state, place)->segment == state->open;
}

/* A number that is free; 0 and an error. */
static enum weir_result chunk_number(struct state *state, uint32_t *number)
{
    if (state->free_chunk != 0) {
        *number = state->free_chunk;
        return WEIR_OK;
    }
    if (state->chunk_end == CHUNK_LIMIT)
        return WEIR_TOO_LARGE;
    if (state->chunk_end == state->chunk_room) {
        size_t old_size = state->chunk_room * sizeof *state->chunks;
        struct chunk *chunks =
            memory_resize(state->allocator, state->chunks, old_size, 2 * old_size);
        if (chunks == NULL)
            return WEIR_NO_MEMORY;
        state->chunks = chunks;
        state->chunk_room *= 2;
    }
    state->chunks[state->chunk_end] = (struct chunk){0};
    *number = state->chunk_end;
    return WEIR_OK;
}

/* Makes a part of a segment's memory its last chunk. */
static enum weir_result chunk_enter(struct state *state, struct link *segment, unsigned char *data,
                                    size_t size, uint32_t *number)
{
    enum weir_result result = chunk_number(state, number);
    if (result != WEIR_OK)
        return result;
    struct chunk *chunk = &state->chunks[*number];
    if (*number == state->chunk_end)
        state->chunk_end++;
    else
        state->free_chunk = chunk->next;
    *chunk = (struct chunk){.data = data, .segment = segment, .size = (uint32_t)size};
    if (segment->first == 0)
        segment->first = *number;
    else
        state->chunks[segment->last].next = *number;
    segment->last = *number;
    return WEIR_OK;
}

/* A quarter of what the segment has: neither many chunks nor much that stays empty. */
static size_t chunk_size_for(const struct link *segment, size_t entry_size)
{
    size_t size = (size_t)(segment->bytes / 4) & ~(CHUNK_LEAST - 1);
    size = size < CHUNK_LEAST ? CHUNK_LEAST : size > CHUNK_SIZE ? CHUNK_SIZE : size;
    return entry_size > size ? entry_size : size;
}

static enum weir_result chunk_add(struct state *state, size_t entry_size)
{
    struct link *open = state->open;
    uint32_t number;
    enum weir_result result = chunk_number(state, &number);
    if (result != WEIR_OK)
        return result;
    size_t size = chunk_size_for(open, entry_size);
    uint64_t before = segment_bytes(open->memory);
    if (!segment_add(open->memory, size))
        return WEIR_NO_MEMORY;
    state->memory += segment_bytes(open->memory) - before;
    unsigned char *data = open->memory->blocks[open->memory->count - 1].data;
    return chunk_enter(state, open, data, size, &number); /* there is a number: it can't fail */
}

/* Room for an entry at the end of the log; *place is where. A giant's chunk is full, so what
 * follows it finds no room there. */
static enum weir_result entry_append(struct state *state, size_t size, uint32_t *place)
{
    struct link *open = state->open;
    struct chunk *last = &state->chunks[open->last];
    if (size > last->size - last->used) {
        enum weir_result result = chunk_add(state, size);
        if (result != WEIR_OK)
            return result;
        last = &state->chunks[open->last];
    }
    *place = place_make(open->last, last->used / UNIT);
    last->used += (uint32_t)size;
    open->memory->blocks[open->memory->count - 1].used = last->used;
    open->bytes += size;
    state->bytes += size;
    state->debt += COMPACT_RATE * size;
    return WEIR_OK;
}

/* --- what lives --------------------------------------------------------------------------- */

static void now_live(struct state *state, uint32_t place, size_t size)
{
    chunk_of(state, place)->segment->live += size;
    state->live += size;
}

/* The entry is none of the index's any more. */
static void now_dead(struct state *state, uint32_t place)
{
    unsigned char *entry = entry_at(state, place);
    size_t size = entry_whole_size(entry);
    struct link *segment = chunk_of(state, place)->segment;
    segment->live -= size;
    state->live -= size;
    state->debt += size;
    if (segment != state->open)
        return;
    entry_mark(entry, ENTRY_DEAD);
    if (state->scribbles)
        memset(entry_value(entry, entry_key_size(entry)), state->scribble,
               entry_padded(entry_value_size(entry)));
}

static uint64_t garbage_of(const struct state *state, const struct link *segment)
{
    bool oldest = segment == state->log[0];
    return segment->bytes - segment->live - (oldest ? 0 : segment->tombs);
}

/* --- walking a segment -------------------------------------------------------------------- */

static unsigned char *walk_next(const struct state *state, struct walk *walk)
{
    while (walk->chunk != 0 && walk->offset == state->chunks[walk->chunk].used)
        *walk = (struct walk){state->chunks[walk->chunk].next, 0};
    if (walk->chunk == 0)
        return NULL;
    unsigned char *entry = state->chunks[walk->chunk].data + walk->offset;
    walk->offset += (uint32_t)entry_whole_size(entry);
    return entry;
}

static uint32_t walk_place(const struct state *state, struct walk walk, const unsigned char *entry)
{
    return place_make(walk.chunk, (size_t)(entry - state->chunks[walk.chunk].data) / UNIT);
}

/* --- the log ------------------------------------------------------------------------------ */

static void link_free(struct state *state, struct link *segment)
{
    if (segment == NULL)
        return;
    segment_release(segment->memory);
    memory_release(state->allocator, segment);
}

static struct link *link_new(struct state *state)
{
    struct link *segment = memory_zeroed(state->allocator, 1, sizeof *segment);
    if (segment == NULL)
        return NULL;
    segment->memory = segment_new(state->allocator);
    if (segment->memory == NULL) {
        link_free(state, segment);
        return NULL;
    }
    segment->memory->orphaned = state->orphaned;
    return segment;
}

static bool log_room(struct state *state)
{
    if (state->log_count < state->log_room)
        return true;
    uint32_t room = state->log_room > 0 ? 2 * state->log_room : FIRST_SEGMENTS;
    struct link **log = memory_resize(state->allocator, state->log, state->log_room * sizeof *log,
                                      room * sizeof *log);
    if (log == NULL)
        return false;
    state->log = log;
    state->log_room = room;
    return true;
}

static bool log_push(struct state *state)
{
    struct link *segment = log_room(state) ? link_new(state) : NULL;
    if (segment == NULL)
        return false;
    state->log[state->log_count++] = segment;
    state->memory += segment_bytes(segment->memory);
    return true;
}

/* Seals the open segment, if there is anything in it; false: no memory. */
static bool log_seal(struct state *state)
{
    if (state->open->bytes == 0)
        return true;
    if (!log_push(state))
        return false;
    state->open = state->log[state->log_count - 1];
    return true;
}

/* Something that goes to disk. Asked of the open segment only: in it, all else is dead. */
static bool has_entries(const struct link *open)
{
    return open->live + open->tombs > 0;
}

/* Takes a sealed segment out of the log; its memory stays for now (I5). */
static void log_drop(struct state *state, uint32_t index)
{
    struct link *segment = state->log[index];
    state->log_count--;
    memmove(state->log + index, state->log + index + 1,
            (state->log_count - index) * sizeof *state->log);
    state->bytes -= segment->bytes;
    state->live -= segment->live;
    state->tombs -= segment->tombs;
    segment->next = state->left;
    state->left = segment;
    if (state->victim == segment)
        state->victim = NULL;
}

static void free_chunks(struct state *state, const struct link *segment)
{
    for (uint32_t number = segment->first, next; number != 0; number = next) {
        next = state->chunks[number].next;
        state->chunks[number] = (struct chunk){.next = state->free_chunk};
        state->free_chunk = number;
    }
}

/* I5 */
static void log_reclaim(struct state *state)
{
    for (struct link *segment, *next = state->left; (segment = next) != NULL;) {
        next = segment->next;
        free_chunks(state, segment);
        state->memory -= segment_bytes(segment->memory);
        segment_abandon(segment->memory);
        segment->memory = NULL;
        link_free(state, segment);
    }
    state->left = NULL;
}

/* Nothing in it is needed: it need not be looked at. */
static void drop_dead(struct state *state)
{
    for (uint32_t i = 0; i + 1 < state->log_count;)
        if (garbage_of(state, state->log[i]) == state->log[i]->bytes)
            log_drop(state, i);
        else
            i++;
}

/* --- compaction --------------------------------------------------------------------------- */

/* The entry again, at the end of the log. */
static enum weir_result entry_again(struct state *state, const unsigned char *entry,
                                    uint32_t *place)
{
    size_t size = entry_whole_size(entry);
    enum weir_result result = entry_append(state, size, place);
    if (result != WEIR_OK)
        return result;
    unsigned char *copy = entry_at(state, *place);
    memcpy(copy, entry, size);
    entry_mark(copy, ENTRY_OLDER);
    return WEIR_OK;
}

/* A value of a sealed segment that is to be changed. */
static __attribute__((noinline)) enum weir_result entry_unseal(struct state *state, uint32_t at)
{
    uint64_t slot = state->slots[at];
    uint32_t place;
    enum weir_result result = entry_again(state, entry_at(state, slot_place(slot)), &place);
    if (result != WEIR_OK)
        return result;
    now_dead(state, slot_place(slot));
    now_live(state, place, entry_whole_size(entry_at(state, place)));
    state->slots[at] = slot_make(slot_tag(slot), place);
    return WEIR_OK;
}

static enum weir_result tomb_append(struct state *state, struct weir_bytes key)
{
    size_t size = entry_size(key.size, 0);
    uint32_t place;
    enum weir_result result = entry_append(state, size, &place);
    if (result != WEIR_OK)
        return result;
    unsigned char *entry = entry_at(state, place);
    entry_set_sizes(entry, key.size, 0);
    entry_mark(entry, ENTRY_TOMB);
    copy_padded(entry + ENTRY_HEADER_SIZE, key.data, key.size);
    state->open->tombs += size;
    state->tombs += size;
    return WEIR_OK;
}

/* L3. Where the key lives, its entry is behind every tombstone; only that an older one may be in
 * the log must not be forgotten. */
static enum weir_result tomb_move(struct state *state, struct weir_bytes key, bool oldest)
{
    if (oldest)
        return WEIR_OK;
    uint32_t place = slot_place(state->slots[slot_find(state, key, state_hash(key))]);
    if (place == 0)
        return tomb_append(state, key);
    if (is_open(state, place))
        entry_mark(entry_at(state, place), ENTRY_OLDER);
    return WEIR_OK;
}

/* L2 */
static enum weir_result victim_move(struct state *state, const unsigned char *entry, uint32_t place)
{
    struct weir_bytes key = entry_key(entry);
    if (entry_is(entry, ENTRY_DEAD))
        return WEIR_OK;
    if (entry_is(entry, ENTRY_TOMB))
        return tomb_move(state, key, state->victim == state->log[0]);
    uint32_t at = slot_find(state, key, state_hash(key));
    return slot_place(state->slots[at]) == place ? entry_unseal(state, at) : WEIR_OK;
}

static uint32_t log_index(const struct state *state, const struct link *segment)
{
    uint32_t index = 0;
    while (state->log[index] != segment)
        index++;
    return index;
}

/* Looks at about `budget` bytes of the victim. Without memory it stays where it is. */
static void compact(struct state *state, uint64_t budget)
{
    uint64_t seen = 0;
    while (state->victim != NULL && seen < budget) {
        struct walk before = state->at;
        const unsigned char *entry = walk_next(state, &state->at);
        if (entry == NULL) {
            log_drop(state, log_index(state, state->victim));
            return;
        }
        seen += entry_whole_size(entry);
        if (victim_move(state, entry, walk_place(state, state->at, entry)) != WEIR_OK) {
            state->at = before;
            return;
        }
    }
}

static void begin_victim(struct state *state, struct link *segment)
{
    state->victim = segment;
    state->at = (struct walk){segment->first, 0};
}

/* The sealed segment that has the largest share of garbage, at least a quarter. */
static struct link *most_garbage(const struct state *state)
{
    struct link *most = NULL;
    double share = 0.25;
    for (uint32_t i = 0; i + 1 < state->log_count; i++) {
        struct link *segment = state->log[i];
        double its = (double)garbage_of(state, segment) / (double)segment->bytes;
        if (its >= share) {
            share = its;
            most = segment;
        }
    }
    return most;
}

/* The smallest sealed segment but `other` and the victim; NULL: none. */
static struct link *smallest(const struct state *state, const struct link *other)
{
    struct link *least = NULL;
    for (uint32_t i = 0; i + 1 < state->log_count; i++) {
        struct link *segment = state->log[i];
        if (segment != other && segment != state->victim &&
            (least == NULL || segment->bytes < least->bytes))
            least = segment;
    }
    return least;
}

static bool is_too_much(const struct state *state, uint64_t bytes, uint64_t part)
{
    return bytes > GARBAGE_FROM && bytes > state->live / part;
}

/* Tombstones go when they are the oldest: what is older than they are is moved, then. */
static void choose_victim(struct state *state, bool may_seal)
{
    struct link *open = state->open, *segment = NULL;
    bool garbage = is_too_much(state, state->bytes - state->live, 2);
    bool tombs = is_too_much(state, state->tombs, 4);
    if (!garbage && !tombs && state->log_count <= LIST_WANTED + 1)
        return;
    drop_dead(state);
    /* Where values change their sizes and cuts are rare, most garbage is here. */
    if (may_seal && open->bytes - open->live > GARBAGE_FROM &&
        open->bytes - open->live > open->bytes / 2 && !log_seal(state))
        return;
    if (tombs && state->log_count > 1)
        segment = state->log[0];
    else if (garbage)
        segment = most_garbage(state);
    if (segment == NULL && state->log_count > LIST_WANTED + 1)
        segment = smallest(state, NULL);
    if (segment != NULL)
        begin_victim(state, segment);
}

/* Behind what may have left garbage. `may_seal`: nobody has a cell in hand that would be sealed. */
static inline void pay(struct state *state, bool may_seal)
{
    if (state->debt < COMPACT_STEP)
        return;
    uint64_t debt = state->debt;
    if (state->victim == NULL)
        choose_victim(state, may_seal);
    compact(state, debt);
    state->debt = 0; /* what compaction appends owes nothing */
}

/* All of a segment that is not the victim, whose turn goes on behind it. */
static bool move_whole(struct state *state, struct link *segment)
{
    struct link *victim = state->victim;
    struct walk at = state->at;
    begin_victim(state, segment);
    compact(state, UINT64_MAX);
    bool moved = state->victim == NULL;
    state->victim = victim;
    state->at = at;
    return moved;
}

/* More segments than are wanted: whole small ones go into the one that is about to be sealed, as
 * long as that makes them fewer. Large ones are pay's: whoever makes them appends as much. */
static void merge(struct state *state)
{
    uint64_t budget = CUT_STEP * (state->log_count / LIST_WANTED), debt = state->debt;
    while (state->log_count > LIST_WANTED + 1) {
        struct link *one = smallest(state, NULL);
        struct link *two = one == NULL ? NULL : smallest(state, one);
        bool alone = has_entries(state->open); /* there will be a segment anyway */
        if (one == NULL || (two == NULL && !alone))
            break;
        uint64_t cost = one->bytes + (alone ? 0 : two->bytes);
        if (cost > budget || !move_whole(state, one) || (!alone && !move_whole(state, two)))
            break;
        budget -= cost;
    }
    state->debt = debt;
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
    state->shift = shift_for(FIRST_SLOTS);
    state->chunk_room = FIRST_CHUNKS;
    state->chunk_end = 1;
    if (state->slots == NULL || state->chunks == NULL || !log_push(state)) {
        state_free(&state);
        return NULL;
    }
    state->open = state->log[0];
    state->chunks[0].data = (unsigned char *)(uintptr_t)NOWHERE;
    return state;
}

void state_count_orphans(struct state *state, _Atomic uint64_t *orphaned)
{
    state->orphaned = orphaned;
    for (uint32_t i = 0; i < state->log_count; i++)
        state->log[i]->memory->orphaned = orphaned;
}

static void log_free(struct state *state)
{
    state->victim = NULL;
    while (state->log_count > 0)
        log_drop(state, state->log_count - 1);
    log_reclaim(state);
}

void state_free(struct state **handle)
{
    struct state *state = *handle;
    *handle = NULL;
    if (state == NULL)
        return;
    log_free(state);
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

/* Inlined by force: gcc 12 takes a call of what only prefetches for one without effect, and leaves
 * it out. */
static inline __attribute__((always_inline)) void prefetch_slot(const struct state *state,
                                                                uint64_t hash)
{
    __builtin_prefetch(&state->slots[home_of((uint32_t)hash, state->shift)]);
}

static inline __attribute__((always_inline)) void prefetch_entry(const struct state *state,
                                                                 uint64_t hash)
{
    const unsigned char *entry = entry_at(state, place_guess(state, hash));
    __builtin_prefetch(entry, 1);
    __builtin_prefetch(entry + 2 * ENTRY_HEADER_SIZE, 1); /* one small cell in four: another line */
}

void state_prefetch_slot(const struct state *state, uint64_t hash)
{
    prefetch_slot(state, hash);
}

void state_prefetch_entry(const struct state *state, uint64_t hash)
{
    prefetch_entry(state, hash);
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
    slot_insert(state->slots, state->mask, state->shift, slot_make((uint32_t)hash, *place));
    state->count++;
    now_live(state, *place, entry_size(key.size, value_size));
    return WEIR_OK;
}

static __attribute__((noinline)) void *cell_find(struct state *state, struct weir_bytes key,
                                                 uint64_t hash)
{
    uint32_t at = slot_find(state, key, hash);
    uint32_t place = slot_place(state->slots[at]);
    if (place == 0) {
        if (key_create(state, key, hash, state->value_size, &place) != WEIR_OK)
            return NULL;
    } else if (!is_open(state, place)) {
        if (entry_unseal(state, at) != WEIR_OK)
            return NULL;
        place = slot_place(state->slots[at]);
    }
    pay(state, false); /* moves nothing that is open */
    return entry_value(entry_at(state, place), key.size);
}

/* The entry of a key of 8 bytes, where it is found at once and may be changed in place; else NULL.
 * A right guess needs no loop, and no registers to be saved. */
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
    if (key.size == 8) {
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
    uint32_t place = slot_place(state->slots[at]);
    if (place == 0)
        return NULL;
    if (state->value_size > 0 && !is_open(state, place)) {
        if (entry_unseal(state, at) != WEIR_OK)
            return NULL; /* state_cell will say so */
        pay(state, false);
    }
    return entry_value(entry_at(state, slot_place(state->slots[at])), key.size);
}

static inline uint64_t key_hash(struct weir_bytes key)
{
    return key.size == 8 ? XXH3_64bits(key.data, 8) : state_hash(key);
}

uint32_t state_resolve(struct state *state, const struct weir_bytes *keys, size_t stride,
                       uint32_t count, uint64_t *hashes, void **cells)
{
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
    unsigned char *entry = entry_at(state, slot_place(slot));
    *value = (struct weir_bytes){entry_value(entry, key.size), entry_value_size(entry)};
    return true;
}

/* The value no longer fits its room, or must not be changed: a new entry, the old one dies. */
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
    if (!is_open(state, slot_place(old)) || entry_is(entry_at(state, slot_place(old)), ENTRY_OLDER))
        entry_mark(entry, ENTRY_OLDER);
    state->slots[at] = slot_make(slot_tag(old), place);
    now_dead(state, slot_place(old));
    now_live(state, place, entry_size(key.size, value.size));
    return WEIR_OK;
}

static bool fits(const struct state *state, uint32_t place, size_t size)
{
    return is_open(state, place) &&
           entry_padded(entry_value_size(entry_at(state, place))) == entry_padded(size);
}

static void value_set(unsigned char *entry, struct weir_bytes value)
{
    uint32_t flags = snapshot_load_u32(entry + 4) & ENTRY_FLAGS;
    size_t key_size = entry_key_size(entry);
    copy_padded(entry_value(entry, key_size), value.data, value.size);
    entry_set_sizes(entry, key_size, value.size);
    entry_mark(entry, flags);
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
    bool there = place != 0;
    enum weir_result result = there ? WEIR_OK : key_create(state, key, hash, value.size, &place);
    if (result == WEIR_OK && there && !fits(state, place, value.size))
        result = value_move(state, key, at, value);
    else if (result == WEIR_OK)
        value_set(entry_at(state, place), value);
    if (result != WEIR_OK)
        return result;
    pay(state, true);
    log_reclaim(state); /* last: key and value may be views of this state */
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
    if (!open || older)
        result = tomb_append(state, entry_key(entry));
    if (result == WEIR_OK)
        now_dead(state, place);
    return result;
}

enum weir_result state_remove(struct state *state, struct weir_bytes key, uint64_t hash)
{
    uint32_t at = slot_find(state, key, hash);
    if (state->slots[at] == 0)
        return WEIR_NOT_FOUND;
    enum weir_result result = entry_remove(state, slot_place(state->slots[at]));
    if (result != WEIR_OK)
        return result;
    slot_remove(state, at);
    state->count--;
    index_shrink(state);
    pay(state, true);
    log_reclaim(state);
    return WEIR_OK;
}

uint64_t state_count(const struct state *state)
{
    return state->count;
}

uint64_t state_bytes(const struct state *state)
{
    return sizeof *state + slot_count(state) * sizeof *state->slots +
           state->chunk_room * sizeof *state->chunks + state->log_room * sizeof *state->log +
           state->log_count * sizeof **state->log + state->memory;
}

/* --- the scan ----------------------------------------------------------------------------- */

static int compare_keys(struct weir_bytes left, struct weir_bytes right)
{
    size_t least = left.size < right.size ? left.size : right.size;
    int order = least > 0 ? memcmp(left.data, right.data, least) : 0;
    return order != 0 ? order : (left.size > right.size) - (left.size < right.size);
}

struct found {
    const unsigned char *entry; /* NULL: none */
    uint32_t tag;
    uint32_t equals; /* others of its tag that have not been visited */
};

static bool is_visited(const struct state *state, uint32_t tag, struct weir_bytes key)
{
    if (tag != state->scan_tag)
        return tag < state->scan_tag;
    struct weir_bytes last = {state->scan_key, state->scan_key_size};
    return state->scan_key != NULL && compare_keys(key, last) <= 0;
}

/* Of the slots with this home, the first in the order of the scan that has not been visited. */
static struct found find_next(const struct state *state, uint32_t home)
{
    struct found found = {NULL, 0, 0};
    uint64_t slot;
    for (uint32_t at = home; (slot = state->slots[at]) != 0; at = (at + 1) & state->mask) {
        uint32_t tag = slot_tag(slot);
        if (home_of(tag, state->shift) != home || (found.entry != NULL && tag > found.tag))
            continue;
        const unsigned char *entry = entry_at(state, slot_place(slot));
        if (is_visited(state, tag, entry_key(entry)))
            continue;
        bool equal = found.entry != NULL && tag == found.tag;
        uint32_t equals = equal ? found.equals + 1 : 0;
        if (!equal || compare_keys(entry_key(entry), entry_key(found.entry)) < 0)
            found.entry = entry;
        found.tag = tag;
        found.equals = equals;
    }
    return found;
}

/* Where keys have one tag, the position is one of them. False: no memory. */
static bool scan_pass(struct state *state, const struct found *found)
{
    struct weir_bytes key = entry_key(found->entry);
    unsigned char *copy = NULL;
    if (found->equals > 0) {
        copy = memory_take(state->allocator, key.size + 1);
        if (copy == NULL)
            return false;
        copy_key(copy, key);
    }
    memory_release(state->allocator, state->scan_key);
    state->scan_key = copy;
    state->scan_key_size = found->equals > 0 ? key.size : 0;
    state->scan_tag = found->equals > 0 ? found->tag : (uint64_t)found->tag + 1;
    return true;
}

enum weir_result state_scan_next(struct state *state, struct weir_bytes *key,
                                 struct weir_bytes *value)
{
    while (state->scan_tag <= UINT32_MAX) {
        uint32_t home = home_of((uint32_t)state->scan_tag, state->shift);
        struct found found = find_next(state, home);
        if (found.entry != NULL) {
            if (!scan_pass(state, &found))
                return WEIR_NO_MEMORY;
            *key = entry_key(found.entry);
            *value = (struct weir_bytes){found.entry + ENTRY_HEADER_SIZE + entry_padded(key->size),
                                         entry_value_size(found.entry)};
            return WEIR_OK;
        }
        memory_release(state->allocator, state->scan_key);
        state->scan_key = NULL;
        state->scan_key_size = 0;
        state->scan_tag = ((uint64_t)home + 1) << state->shift;
    }
    return WEIR_NOT_FOUND;
}

void state_scan_rewind(struct state *state)
{
    memory_release(state->allocator, state->scan_key);
    state->scan_key = NULL;
    state->scan_key_size = 0;
    state->scan_tag = 0;
}

/* --- the cut ------------------------------------------------------------------------------ */

enum weir_result state_cut(struct state *state, struct state_cut *cut)
{
    *cut = (struct state_cut){0};
    merge(state);
    drop_dead(state);
    struct segment **segments = memory_zeroed(state->allocator, state->log_count, sizeof *segments);
    if (segments == NULL || (has_entries(state->open) && !log_seal(state))) {
        memory_release(state->allocator, segments);
        return WEIR_NO_MEMORY;
    }
    for (uint32_t i = 0; i + 1 < state->log_count; i++)
        segments[i] = segment_share(state->log[i]->memory);
    *cut = (struct state_cut){segments, state->log_count - 1, state->allocator};
    log_reclaim(state);
    return WEIR_OK;
}

void state_cut_free(struct state_cut *cut)
{
    for (uint32_t i = 0; i < cut->count; i++)
        segment_release(cut->segments[i]);
    memory_release(cut->allocator, cut->segments);
    *cut = (struct state_cut){0};
}

void state_save(const struct state *state, struct snapshot_writer *writer)
{
    snapshot_u64(writer, state->count);
    snapshot_u64(writer, state->scan_tag);
    snapshot_u32(writer, state->scan_key != NULL);
    snapshot_bytes(writer, state->scan_key, state->scan_key_size);
}

/* --- loading ------------------------------------------------------------------------------ */

static bool is_padding_zero(const unsigned char *data, size_t size)
{
    for (size_t i = size; i < entry_padded(size); i++)
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
    uint32_t value_size = snapshot_load_u32(data + 4);
    bool tomb = value_size == SEGMENT_TOMB;
    if (key_size > STATE_KEY_LIMIT || (!tomb && value_size > STATE_VALUE_LIMIT))
        return 0;
    if (state->value_size > 0 && !tomb && value_size != state->value_size)
        return 0;
    size_t size = entry_size(key_size, tomb ? 0 : value_size);
    if (size > left || !is_padding_zero(data + ENTRY_HEADER_SIZE, key_size) ||
        (!tomb && !is_padding_zero(data + ENTRY_HEADER_SIZE + entry_padded(key_size), value_size)))
        return 0;
    return size;
}

static bool is_ours(const struct state_range *range, const unsigned char *entry)
{
    uint32_t group = state_group(state_hash(entry_key(entry)), range->groups);
    return group >= range->first && group < range->end;
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
        if (!is_ours(range, block->data + at))
            return error_set(error, WEIR_DAMAGED, 0,
                             "state: the entry at %zu is of a key group "
                             "that is not ours",
                             at);
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
    uint32_t other = slot_place(state->slots[at]);
    bool tomb = entry_is(entry, ENTRY_TOMB);
    if (other != 0) {
        if (chunk_of(state, other)->segment != chunk_of(state, pending->place)->segment)
            return WEIR_OK;
        if (!entry_is(entry_at(state, other), ENTRY_TOMB))
            return WEIR_DAMAGED;
        if (tomb)
            return WEIR_OK;
        --*tombs;
    }
    state->slots[at] = slot_make((uint32_t)pending->hash, pending->place);
    *tombs += tomb;
    state->count += !tomb;
    if (!tomb)
        now_live(state, pending->place, entry_whole_size(entry));
    return WEIR_OK;
}

/* Two passes, so that the misses of a span overlap. */
static enum weir_result index_enter_span(struct state *state, const struct pending *span,
                                         uint32_t count, uint64_t *tombs)
{
    enum weir_result result = index_grow(state, state->count + *tombs + count);
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
        span[count++] = (struct pending){.hash = state_hash(entry_key(entry)),
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
        uint32_t at = slot_find(state, entry_key(entry), state_hash(entry_key(entry)));
        if (slot_place(state->slots[at]) == walk_place(state, walk, entry))
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
                            (size_t)slots_for(keys, 1) * sizeof *state->slots);
    for (uint32_t i = 0; tombs > 0 && i + 1 < state->log_count; i++)
        index_bury(state, state->log[i]);
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
    enum weir_result result = load_scan(state, section, error);
    if (result == WEIR_OK)
        result = load_index(state, keys, error);
    if (result != WEIR_OK)
        state_clear(state);
    return result;
}
