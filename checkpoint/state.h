/* SPDX-License-Identifier: Apache-2.0
 *
 * state: the keyed values of one state of one task: a log of segments (segment.h) and an index of
 * 8-byte slots {32 bits of hash, place of the entry} that leads to the newest value of each key. A
 * cut seals the last segment, whatever the size of the state; what it answers is the checkpoint.
 *
 * The entries of a list, a map, or timers have pairs for keys (pair.h): what is said of keys below
 * holds for entries' keys, whatever they are. state_map.h, state_list.h and state_timers.h are how
 * these kinds are used; cells, put, get and remove below are those of a plain value.
 *
 * A record's key belongs to group (XXH3_64(key) >> 32) * groups >> 32; a task owns a range of
 * groups. The caller computes the hash once (state_hash) and passes it along. A pair's hash has the
 * upper half of its record's key's, so it belongs to the same group.
 *
 * Values may have a time to live (state_type.ttl_ns). They lie in the log behind 8 bytes that say
 * when they expire; one that has is as good as none. Time comes from the caller (state_set_time).
 *
 * In a part (the body of a STATE section after name, version, value size, kind, and 1 when values
 * expire):
 *   u64 entries | i64 time | u64 tag the scan stands at | u32 1: within it, behind the key | key
 *
 * One thread: the task's. Limits: keys and values 16 MiB each, 32 GiB of log a state.
 */
#ifndef STATE_H
#define STATE_H

#include "segment.h"
#include "snapshot.h"

#define STATE_KEY_LIMIT ((size_t)16 << 20)
#define STATE_VALUE_LIMIT ((size_t)16 << 20)

struct state;

/* Written to disk. */
enum state_kind { STATE_VALUE, STATE_LIST, STATE_MAP, STATE_TIMERS };
#define STATE_KINDS 4u
const char *state_kind_text(uint32_t kind); /* "value" "list" "map" "timers" */

struct state_type {
    enum state_kind kind;
    uint32_t value_size; /* > 0: values of exactly that many bytes. 0: of any size */
    uint64_t ttl_ns;     /* since the last write, of a list to any of its elements. 0: for ever */
};

/* NULL: no memory. */
struct state *state_new_of(const struct weir_allocator *allocator, const struct state_type *type);
/* The same of plain values that do not expire. */
struct state *state_new(const struct weir_allocator *allocator, uint32_t value_size);
void state_free(struct state **state);

uint64_t state_hash(struct weir_bytes key); /* XXH3_64bits */
/* Of an entry's key, as it lies in the log. */
uint64_t state_entry_hash(enum state_kind kind, struct weir_bytes key);

/* For values that expire: what time it is, before it matters. Never goes back, also over a restart;
 * INT64_MIN, no time, and INT64_MAX, the end of it, change nothing. Before it is known, values are
 * written that do not expire. */
void state_set_time(struct state *state, int64_t now);
/* Until the next state_set_time: what is written is written at that time, where it is later than
 * now. */
void state_write_at(struct state *state, int64_t time);

/* Memory that only writers hold yet is counted there; before the first cut. */
void state_count_orphans(struct state *state, _Atomic uint64_t *orphaned);

/* For a state larger than memory: segments are made there, and the oldest are moved out when there
 * is too much of them, a little at each append (annex.h). Before the first entry; borrowed. */
void state_use_annex(struct state *state, struct annex *annex);
/* With an annex, now and then, when nobody has a cell in hand: moves out what is too much, and
 * seals the open segment when that is all there is to move. */
void state_ease(struct state *state);

/* The cell of a key, zeroed when it is new. NULL: no memory, or over a limit. 8-byte aligned; valid
 * until the next put, remove or cut. Fixed-size states only. */
void *state_cell(struct state *state, struct weir_bytes key, uint64_t hash);
/* The same for a span of keys, `stride` bytes apart, so that their cache misses overlap: hashes[i]
 * is the key's hash, cells[i] its cell (or value), NULL when it has none yet, or no memory. Cells
 * are valid until the next put, remove or cut; new keys do not move them. Answers how many have
 * none. Of values that expire, and of other kinds, it finds none, only hashes: to ask for a cell
 * would be to write it. */
uint32_t state_resolve(struct state *state, const struct weir_bytes *keys, size_t stride,
                       uint32_t count, uint64_t *hashes, void **cells);

/* False when the key is not there. The view is valid until the next put, remove or cut, but
 * shows an older value when the cell was asked for since. */
bool state_get(const struct state *state, struct weir_bytes key, uint64_t hash,
               struct weir_bytes *value);
/* WEIR_TOO_LARGE, WEIR_NO_MEMORY; a fixed-size state takes values of its size only (WEIR_INVALID).
 */
enum weir_result state_put(struct state *state, struct weir_bytes key, uint64_t hash,
                           struct weir_bytes value) WEIR_MUST_USE;
/* WEIR_NOT_FOUND when it was not there; WEIR_NO_MEMORY. */
enum weir_result state_remove(struct state *state, struct weir_bytes key,
                              uint64_t hash) WEIR_MUST_USE;
/* For testing operators: values that are gone are overwritten with this byte, so that whoever uses
 * a view for too long finds out. */
void state_scribble(struct state *state, unsigned char byte);

uint64_t state_count(const struct state *state); /* entries; expired ones until they are swept */
uint64_t state_bytes(const struct state *state); /* memory held, without what is moved out */

/* One scan a state, saved and restored with it: visits every key that lives all the while once, in
 * the order of hashes, so whatever the history of the state; those created meanwhile may be visited
 * too. WEIR_NOT_FOUND at the end; WEIR_NO_MEMORY. The views are read only, and valid until the next
 * put, remove or cut. */
enum weir_result state_scan_next(struct state *state, struct weir_bytes *key,
                                 struct weir_bytes *value) WEIR_MUST_USE;
/* The same for whoever hands entries over to other states: all of an entry but its tombstones.
 * state_enter takes one into a state of the same type, where its key must not be, and whose time
 * is set when all are in. (WEIR_TOO_LARGE, WEIR_NO_MEMORY.) */
struct state_entry {
    struct weir_bytes key;
    uint64_t hash;
    struct weir_bytes value; /* without when it expires */
    int64_t expiry;          /* INT64_MAX: never */
    bool is_value;           /* the user's; false: a list's length, a timer */
};
enum weir_result state_scan_entry(struct state *state, struct state_entry *entry) WEIR_MUST_USE;
enum weir_result state_enter(struct state *state, const struct state_entry *entry) WEIR_MUST_USE;
int64_t state_time(const struct state *state); /* INT64_MIN: not known */
/* The same over the records' keys of a list or map, in the order of all their hash and their bytes;
 * a state is scanned in one of the two ways. The view is valid until the next scan. */
enum weir_result state_scan_next_key(struct state *state, struct weir_bytes *key) WEIR_MUST_USE;
void state_scan_rewind(struct state *state);

/* The cut: the segments that hold the state as it is now, in order. The caller releases each, and
 * the list (state_cut_free does both). WEIR_NO_MEMORY: nothing was cut. */
struct state_cut {
    struct segment **segments;
    uint32_t count;
    uint32_t gone; /* behind those: what has left the log since the last cut */
    const struct weir_allocator *allocator;
};
enum weir_result state_cut(struct state *state, struct state_cut *cut) WEIR_MUST_USE;
void state_cut_free(struct state_cut *cut);
/* Releases what is gone, which may take a tenth of a second a GiB: any thread, but better not the
 * state's. state_cut_free does it otherwise. */
void state_cut_let_go(struct state_cut *cut);
/* Appends what else there is to it: the body described above. */
void state_save(const struct state *state, struct snapshot_writer *writer);

/* Into an empty state: first all segments of a cut in order, each of which it takes over, then the
 * body. A segment's blocks are as segment_blob has written them; every key must be in the range,
 * none twice in a segment, sizes as declared: else WEIR_DAMAGED, WEIR_NO_MEMORY. After a failed
 * state_load the state is empty again; after a failed state_load_segment it is fit to be freed. */
struct state_range {
    uint32_t first, end, groups; /* groups [first, end) of `groups` */
};
/* Hands for what takes long where there are many keys. `run` calls part(work, i, hand) once for
 * each i below `count`, on any threads, in any order, and returns when all have; no two that run at
 * the same time have the same hand, which is below `hands`. NULL: the caller's thread alone. The
 * same crew all along. */
typedef void state_part(void *work, uint32_t i, uint32_t hand);
struct state_crew {
    void (*run)(void *self, uint32_t count, state_part *part, void *work);
    void *self;
    uint32_t hands;
};
enum weir_result state_load_segment(struct state *state, struct segment *segment,
                                    const struct state_range *range, const struct state_crew *crew,
                                    struct weir_error *error) WEIR_MUST_USE;
enum weir_result state_load(struct state *state, struct snapshot_section *section,
                            const struct state_crew *crew, struct weir_error *error) WEIR_MUST_USE;

static inline uint32_t state_group(uint64_t hash, uint32_t groups)
{
    return (uint32_t)(((hash >> 32) * groups) >> 32);
}
/* The first group that subtask `subtask` of `parallelism` owns; its last is before the next one's.
 */
static inline uint32_t state_first_group(uint32_t subtask, uint32_t parallelism, uint32_t groups)
{
    return (uint32_t)(((uint64_t)subtask * groups + parallelism - 1) / parallelism);
}
/* Who owns a group: group * parallelism / groups. */
static inline uint32_t state_owner(uint32_t group, uint32_t parallelism, uint32_t groups)
{
    return (uint32_t)((uint64_t)group * parallelism / groups);
}

#endif
