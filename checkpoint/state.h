/* SPDX-License-Identifier: Apache-2.0
 *
 * state: the keyed values of one state of one task. A plain table: entries (key and value) lie in
 * chunks in the order of their creation; an open-addressing index of 8-byte slots {32 bits of hash,
 * place of the entry} points at them. Cells do not move while they live, but for compaction, which
 * only a put or a remove may do.
 *
 * A key belongs to group (XXH3_64(key) >> 32) * groups >> 32; a task owns a range of groups. The
 * caller computes the hash once (state_hash) and passes it along.
 *
 * On disk (the body of a STATE section after name, version and value size):
 *   u64 entries | u64 entries already visited by the scan | entry*
 *   entry := u32 key size | u32 value size | key, zeros to 8 | value, zeros to 8
 *
 * One thread: the task's. Limits: keys and values 16 MiB each, 32 GiB of entries a table.
 */
#ifndef STATE_H
#define STATE_H

#include "snapshot.h"

#define STATE_KEY_LIMIT ((size_t)16 << 20)
#define STATE_VALUE_LIMIT ((size_t)16 << 20)

struct state;

/* value_size > 0: cells of exactly that many bytes. 0: values of any size, by put and get. */
struct state *state_new(const struct weir_allocator *allocator, uint32_t value_size);
void state_free(struct state **state);

uint64_t state_hash(struct weir_bytes key); /* XXH3_64bits */

/* The cell of a key, zeroed when it is new. NULL: no memory, or over a limit. 8-byte aligned; valid
 * until the next call on this state. Fixed-size states only. */
void *state_cell(struct state *state, struct weir_bytes key, uint64_t hash);
/* A hint that state_cell or state_get will soon be called: first the index, then (called a second
 * time for the same key, some nanoseconds later) the entry. */
void state_prefetch_slot(const struct state *state, uint64_t hash);
void state_prefetch_entry(const struct state *state, uint64_t hash);

/* All that for a span of keys, `stride` bytes apart, so that their cache misses overlap: hashes[i]
 * is the key's hash, cells[i] its cell (or value), NULL when it has none yet. Cells are valid until
 * the next put or remove; new keys do not move them. Answers how many have none. */
uint32_t state_resolve(const struct state *state, const struct weir_bytes *keys, size_t stride,
                       uint32_t count, uint64_t *hashes, void **cells);

/* False when the key is not there. The view is valid until the next put or remove. */
bool state_get(const struct state *state, struct weir_bytes key, uint64_t hash,
               struct weir_bytes *value);
/* WEIR_TOO_LARGE, WEIR_NO_MEMORY; a fixed-size state takes values of its size only (WEIR_INVALID).
 */
enum weir_result state_put(struct state *state, struct weir_bytes key, uint64_t hash,
                           struct weir_bytes value) WEIR_MUST_USE;
/* False when it was not there. */
bool state_remove(struct state *state, struct weir_bytes key, uint64_t hash);
/* For testing operators: values that are gone are overwritten with this byte, so that whoever uses
 * a view for too long finds out. */
void state_scribble(struct state *state, unsigned char byte);

uint64_t state_count(const struct state *state); /* live keys */
uint64_t state_bytes(const struct state *state); /* memory held, bytes */

/* One scan a state, saved and restored with it: visits every entry that lives all the while once,
 * in order of creation; those created meanwhile are visited too. False at the end. A put that
 * changes a value's size may move its entry to the end, but never makes it visited twice. The views
 * are valid until the next call on this state; a fixed-size value may be written through. */
bool state_scan_next(struct state *state, struct weir_bytes *key, struct weir_bytes *value);
void state_scan_rewind(struct state *state);

/* Appends the body described above; one pass of memcpy over the live chunks where nothing died. */
void state_save(const struct state *state, struct snapshot_writer *writer);
/* Fills an empty table; every key must be in groups [first_group, end_group) of `groups`, none
 * twice, sizes as declared, nothing behind the last entry: else WEIR_DAMAGED. After any failure
 * the table is empty again. */
enum weir_result state_load(struct state *state, struct snapshot_section *section,
                            uint32_t first_group, uint32_t end_group, uint32_t groups,
                            struct weir_error *error) WEIR_MUST_USE;

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
