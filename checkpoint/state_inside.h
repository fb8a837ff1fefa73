/* SPDX-License-Identifier: Apache-2.0
 *
 * state_inside: what the files behind state.h share. state.c reads and writes keys, state_index.c
 * keeps the slots, state_log.c chunks and segments, state_compact.c gives garbage back,
 * state_scan.c walks all entries, state_load.c takes a cut's segments back, state_build.c makes the
 * index of them, state_order.c keeps the order of entries of lists, maps and timers, state_expiry.c
 * knows which values have expired.
 *
 * Layout in memory:
 *
 *   log    := segment*      the last one is open, the others are sealed and never change (L6)
 *   chunk  := a part of a segment's memory, entries one after the other; at most 256 KiB, or one
 *             entry that is larger (a giant); one that was loaded has what begins in 256 KiB
 *   place  := chunk number * 2^15 + offset / 8       32 bits; 0 is nowhere: chunk 0 is full from
 *             the start
 *   slot   := low 32 bits of the hash | place << 32  0 is empty; in ordered kinds an id stands for
 *             the place: state_order.c
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
 * I5  memory of the log is given back by put, remove, cut and ease only: views and cells live on.
 *
 * Garbage: a segment's entries that the index does not lead to. When there is too much of it, the
 * segment with the most is the victim: what lives of it is appended to the open segment again, a
 * little at every append, by the task itself (L2). Then it leaves the log. A tombstone of the
 * oldest segment is garbage; another one is appended again, unless its key lives (L3).
 */
#ifndef STATE_INSIDE_H
#define STATE_INSIDE_H

#include "state.h"

#include "memory.h"
#include "order.h"
#include "pair.h"
#include "state_entry.h"

#include <assert.h>
#include <string.h>

#define UNIT ENTRY_UNIT
#define CHUNK_UNITS_LOG2 15
#define CHUNK_UNITS (1u << CHUNK_UNITS_LOG2)
#define CHUNK_SIZE ((size_t)CHUNK_UNITS * UNIT)
#define FIRST_SLOTS 64u
#define COMPACT_RATE 4u               /* bytes looked at for each byte appended */
#define MERGE_RATE 16u                /* while there are too many segments */
#define COMPACT_STEP ((uint64_t)4096) /* at a time, at least */
#define SPAN 32u                      /* keys whose cache misses overlap: compaction */

_Static_assert(STATE_KEY_LIMIT < ENTRY_OLDER && STATE_VALUE_LIMIT < ENTRY_OLDER,
               "sizes leave the flags");
_Static_assert(CHUNK_SIZE == 256 * 1024, "what state.h and limits speak of");

struct link; /* of the log */

struct chunk {
    unsigned char *data;
    struct link *segment; /* means nothing when the number is free */
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
    uint32_t number;      /* in the log, while the index is built */
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
    struct link *open;   /* the last of the log */
    uint32_t *places;    /* by id; NULL: slots lead to places themselves */
    uint32_t shift;      /* of a tag, to its home */
    uint32_t mask;       /* slots - 1 */
    uint32_t fast_size;  /* keys of 8 bytes may be found without more ado; or of no size */
    uint32_t head;       /* bytes before a value in its entry: 8 of its expiry, or none */
    uint32_t value_size; /* without them */
    enum state_kind kind;

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
    struct walk at;      /* in the victim */
    bool merging;        /* there were too many segments, and are more than are wanted */
    uint64_t debt;       /* bytes to be looked at */
    struct build *build; /* NULL: nothing was loaded, or all of it */

    /* ordered kinds */
    uint32_t place_end, place_room;        /* ids ever used, with 0, which is none */
    uint32_t free_place;                   /* 0: none */
    struct order orders[PAIR_TIMER_KINDS]; /* lists and maps have one */
    unsigned char *pair;                   /* of the entry in hand */
    size_t pair_room;

    /* values that expire */
    uint64_t ttl_ns;   /* 0: they do not */
    int64_t now;       /* INT64_MIN: not known */
    int64_t written;   /* when what is written now is written; not before now */
    uint32_t swept;    /* the slot where the sweep goes on */
    uint64_t trailing; /* elements of lists that are longer no more */

    /* the scan, I3: all tags below have been visited; of this one, keys up to `scan_key` */
    uint64_t scan_tag;
    unsigned char *scan_key; /* NULL: none of this tag */
    size_t scan_key_size;

    const struct weir_allocator *allocator;
    _Atomic uint64_t *orphaned;
    struct annex *annex; /* NULL: all of it is in memory */
    bool cutting;        /* nothing is moved out meanwhile: a cut is short */
    bool scribbles;
    unsigned char scribble;
};
static inline void copy_padded(unsigned char *to, const void *from, size_t size)
{
    if (size > 0)
        memmove(to, from, size);
    memset(to + size, 0, entry_padded(size) - size);
}

static inline void copy_key(unsigned char *to, struct weir_bytes key)
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

/* A place, or an id. */
static inline uint32_t slot_lead(uint64_t slot)
{
    return (uint32_t)(slot >> 32);
}

static inline uint32_t slot_place(const struct state *state, uint64_t slot)
{
    uint32_t lead = slot_lead(slot);
    return state->places == NULL ? lead : state->places[lead];
}

/* The slot's key is elsewhere now. */
static inline void slot_move(struct state *state, uint32_t at, uint32_t place)
{
    uint64_t slot = state->slots[at];
    if (state->places == NULL)
        state->slots[at] = slot_make(slot_tag(slot), place);
    else
        state->places[slot_lead(slot)] = place;
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

static inline uint64_t slot_count(const struct state *state)
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
        if (slot_tag(slot) == tag && key_equal(entry_at(state, slot_place(state, slot)), key, size))
            break;
    return at;
}

static inline uint32_t slot_find(const struct state *state, struct weir_bytes key, uint64_t hash)
{
    if (key.size == 8)
        return probe(state, key.data, 8, hash);
    return key.size == 0 ? probe(state, "", 0, hash) : probe(state, key.data, key.size, hash);
}

/* The place of the entry that a hash most likely belongs to: of the first two slots, the first with
 * its tag. Reckoned without a branch, since the length of a probe is what no predictor knows; nine
 * keys in ten are in one of the two. An empty slot's is 0. Not of ordered kinds. */
static inline uint32_t place_guess(const struct state *state, uint64_t hash)
{
    uint32_t tag = (uint32_t)hash;
    uint32_t home = home_of(tag, state->shift);
    uint32_t missed = slot_tag(state->slots[home]) != tag;
    return slot_lead(state->slots[(home + missed) & state->mask]);
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

/* For a slot whose key is known to be absent. */
static inline void slot_insert(uint64_t *slots, uint32_t mask, uint32_t shift, uint64_t slot)
{
    uint32_t at = home_of(slot_tag(slot), shift);
    while (slots[at] != 0)
        at = (at + 1) & mask;
    slots[at] = slot;
}

static inline struct chunk *chunk_of(const struct state *state, uint32_t place)
{
    return &state->chunks[place >> CHUNK_UNITS_LOG2];
}

static inline bool is_open(const struct state *state, uint32_t place)
{
    return chunk_of(state, place)->segment == state->open;
}

static inline void now_live(struct state *state, uint32_t place, size_t size)
{
    chunk_of(state, place)->segment->live += size;
    state->live += size;
}

/* Something that goes to disk. Asked of the open segment only: in it, all else is dead. */
static inline bool has_entries(const struct link *open)
{
    return open->live + open->tombs > 0;
}

/* --- state_index.c: the slots --- */

/* Slots for `count` keys, at least `least`. */
uint64_t index_slots_for(uint64_t count, uint64_t least);
uint32_t index_shift_for(uint64_t slots);
/* Room for `count` keys. */
enum weir_result index_grow(struct state *state, uint64_t count);
/* A much smaller index, if there is memory for it. */
void index_shrink(struct state *state);
void slot_remove(struct state *state, uint32_t gap);

/* --- state_build.c: the index of a log that is loaded --- */

uint32_t crew_hands(const struct state_crew *crew);
void crew_do(const struct state_crew *crew, uint32_t count, state_part *part, void *work);
/* Each false: no memory. Each hand notes what it finds, any number of them at a time. */
bool build_begin(struct state *state, uint32_t hands);
bool build_note(struct state *state, uint32_t hand, uint64_t hash, uint32_t place, bool tomb);
/* An index in which each key's newest entry is, tombstones too, whatever the kind by its place;
 * `keys` of them live, or WEIR_DAMAGED, as where a key is twice in a segment. */
enum weir_result build_index(struct state *state, uint64_t keys, const struct state_crew *crew);
void build_free(struct state *state);

/* --- state.c: entries --- */

/* state_put of a value of any size, which is not paid for yet. */
enum weir_result key_write(struct state *state, struct weir_bytes key, uint64_t hash,
                           struct weir_bytes value);
/* Removes a slot's key, with a tombstone where an older segment has it. */
enum weir_result key_remove(struct state *state, uint32_t at);

/* --- state_order.c: ids, and the order of entries --- */

bool is_ordered(enum state_kind kind);
/* The upper half of an entry's hash: segment.h. */
uint32_t pair_upper(struct weir_bytes key);
/* False: no memory. */
bool places_begin(struct state *state);
/* Room for `count` more ids. */
bool places_grow(struct state *state, uint32_t count);
/* What a new slot leads to: the place itself, or a new id that leads there. */
uint32_t lead_new(struct state *state, uint32_t place);
/* Ids for all slots, which lead to places so far: in the order of these, which is the log's. */
bool places_assign(struct state *state);
/* All of it, so that nothing is ordered. */
void places_clear(struct state *state);
void places_free(struct state *state);
void place_release(struct state *state, uint32_t id);
/* Room to enter one more. */
bool ordered_prepare(struct state *state, struct weir_bytes key);
void ordered_enter(struct state *state, struct weir_bytes key, uint32_t id);
/* While its entry is still there. */
void ordered_leave(struct state *state, struct weir_bytes key);
/* All that is in the index; ids that it does not need are free from here on. */
bool ordered_build(struct state *state);
/* The entry of an id; NULL for ORDER_NONE. */
unsigned char *ordered_entry(const struct state *state, uint32_t id);
/* The first entry of a record's key (of its map, or the list) that is not before `sub`; `behind`:
 * that is behind it; `beyond`: that is behind all of the key's. ORDER_NONE: there is none. */
struct ordered_key {
    struct pair pair;
    bool beyond;
};
uint32_t ordered_find(const struct state *state, const struct ordered_key *key, bool behind);
uint64_t ordered_before(const struct state *state, const struct ordered_key *key);
/* Room for the bytes of a pair; every pair that is in the state has had it, so that none of them
 * looks as if it were not there when memory is out. False: no memory. */
bool pair_reserve(struct state *state, size_t size);
/* A pair's bytes, valid until the next one, and their hash. WEIR_TOO_LARGE; WEIR_NO_MEMORY: then it
 * is not there. */
enum weir_result pair_make(struct state *state, struct pair pair, uint64_t key_hash,
                           struct weir_bytes *bytes, uint64_t *hash);

/* --- state_expiry.c: values that expire --- */

int64_t expiry_of(const struct state *state, const unsigned char *entry);
bool is_expired(const struct state *state, const unsigned char *entry);
/* Written again, now. What had expired is zeros. */
void expiry_touch(const struct state *state, unsigned char *entry);
/* A new entry, or one whose value is replaced. */
void expiry_set(const struct state *state, unsigned char *entry);
/* Looks for some that have, `debt` as compaction reckons it, and removes them. */
void expiry_sweep(struct state *state, uint64_t debt);
/* state_list.c: the same of one entry of a list. Answers how many slots' worth of work it was. */
uint64_t list_sweep(struct state *state, const unsigned char *entry);
/* What lists have more in the index than they are long. */
uint64_t list_trailing(const unsigned char *value);
uint64_t list_length(const unsigned char *value);

static inline struct weir_bytes entry_payload(const struct state *state, const unsigned char *entry)
{
    size_t key_size = entry_padded(entry_key_size(entry));
    return (struct weir_bytes){entry + ENTRY_HEADER_SIZE + key_size + state->head,
                               entry_value_size(entry) - state->head};
}

/* --- state_log.c: chunks and segments --- */

/* Makes a part of a segment's memory its last chunk. */
enum weir_result chunk_enter(struct state *state, struct link *segment, unsigned char *data,
                             size_t size, uint32_t *number);
/* Room for an entry at the end of the log; *place is where. */
enum weir_result entry_append(struct state *state, size_t size, uint32_t *place);
/* The entry is none of the index's any more. */
void now_dead(struct state *state, uint32_t place);
uint64_t garbage_of(const struct state *state, const struct link *segment);
/* The next entry of a segment; NULL at its end. */
unsigned char *walk_next(const struct state *state, struct walk *walk);
uint32_t walk_place(const struct state *state, struct walk walk, const unsigned char *entry);
bool log_room(struct state *state);
bool log_push(struct state *state);
/* Seals the open segment, if there is anything in it; false: no memory. */
bool log_seal(struct state *state);
/* Takes a sealed segment out of the log; its memory stays for now (I5). */
void log_drop(struct state *state, uint32_t index);
void log_reclaim(struct state *state); /* I5 */
/* Of what waits for that: how many there are, and a reference to each. */
uint32_t log_left(const struct state *state);
void log_share_left(const struct state *state, struct segment **segments);
/* Drops segments in which nothing is needed: they need not be looked at. */
void log_drop_dead(struct state *state);
void log_free(struct state *state);

/* --- state_compact.c: garbage --- */

/* A value of a sealed segment that is to be changed: the slot leads to a copy in the open one. */
enum weir_result entry_unseal(struct state *state, uint32_t at);
enum weir_result tomb_append(struct state *state, struct weir_bytes key);
void compact_pay(struct state *state, bool may_seal);
/* At a cut: fewer segments, if there are too many. */
void compact_merge(struct state *state);

/* Behind what may have left garbage. `may_seal`: nobody has a cell in hand that would be sealed. */
static inline void pay(struct state *state, bool may_seal)
{
    if (state->debt >= COMPACT_STEP)
        compact_pay(state, may_seal);
}

#endif
