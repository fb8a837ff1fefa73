/* SPDX-License-Identifier: Apache-2.0
 *
 * segment: what a state's log gained between two cuts, as memory that a task and whoever writes it
 * share. The task fills it while it is the last one of its log; once sealed it never changes (L6),
 * so others read it without a lock. It goes when the last of them lets go.
 *
 *   segment := block*        blocks of memory, the entries in them one after the other (state_log)
 *   on disk := blob*         kind BLOB_STATE; the body is entries, none of them dead or cut in two
 *   entry   := u32 key size | u32 value size, or SEGMENT_TOMB | key, zeros to 8 | value, zeros to 8
 *
 * A key is at most once in a segment. In a log, the last segment that has a key tells its value; a
 * tombstone tells that it has none.
 */
#ifndef SEGMENT_H
#define SEGMENT_H

#include <stdatomic.h>

#include "annex.h"

#define SEGMENT_TOMB 0x80000000u            /* in place of a value size: the key was removed */
#define SEGMENT_BLOB_SIZE ((size_t)1 << 20) /* a blob has about so many bytes before compression */

struct segment_block {
    unsigned char *data;
    size_t size; /* allocated, bytes */
    size_t used; /* bytes of entries; may grow until the segment is sealed */
};

struct segment {
    atomic_uint references;
    const struct weir_allocator *allocator;
    struct segment_block *blocks;
    uint32_t count, room;
    struct annex *annex; /* where its blocks are from, set before the first; NULL: the allocator */
    struct annex_ranges ranges;

    /* of whoever makes it durable, called once when nobody has the segment any more */
    void *stored;
    void (*forget)(void *stored);
    /* memory that only writers hold yet is added here; NULL: not asked for */
    _Atomic uint64_t *orphaned;
    uint64_t orphan_bytes;
};

/* One reference is the caller's. NULL: no memory. */
struct segment *segment_new(const struct weir_allocator *allocator);
struct segment *segment_share(struct segment *segment);
void segment_release(struct segment *segment); /* any thread; NULL is fine */
/* The task lets go: what writers still hold counts as orphaned from here on. */
void segment_abandon(struct segment *segment);
/* Another block of `size` bytes; false: no memory. */
bool segment_add(struct segment *segment, size_t size);
/* The same with memory that the segment owns from here on, also when it answers false. */
bool segment_adopt(struct segment *segment, unsigned char *data, size_t size);
/* The same with a copy of these bytes in it, all of them entries. */
bool segment_add_copy(struct segment *segment, const unsigned char *data, size_t size);
/* Moves about `most` bytes of it out of memory, see annex.h; what is in its blocks must be
 * complete. Answers how many; 0: there is nothing more, no annex, or it failed. The one who has it
 * in its log, or restores it. */
uint64_t segment_move(struct segment *segment, uint64_t most);
uint64_t segment_bytes(const struct segment *segment); /* of memory */

/* Walks the entries for writing, a blob at a time: appends well-formed bytes to `out`, until there
 * are SEGMENT_BLOB_SIZE or all have been taken. */
struct segment_cursor {
    uint32_t block;
    size_t offset; /* bytes */
};
bool segment_at_end(const struct segment *segment, struct segment_cursor cursor);
/* The bytes of the next blob; the cursor stays. */
size_t segment_blob_size(const struct segment *segment, struct segment_cursor cursor);
/* Fills `to`, which has that many bytes, and moves the cursor. */
void segment_blob(const struct segment *segment, struct segment_cursor *cursor, unsigned char *to);

#endif
