/* SPDX-License-Identifier: Apache-2.0
 *
 * segment: what a state's log gained between two cuts, as memory that a task and whoever writes it
 * share. The task fills it while it is the last one of its log; once sealed it never changes (L6),
 * so others read it without a lock. It goes when the last of them lets go.
 *
 *   segment := block*        blocks of memory, entries one after the other in them (state_log)
 *   on disk := blob*         kind BLOB_STATE; the body is entries, none of them dead or cut in two;
 *                            which go to which blob: segment_blobs.h
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
    size_t size;          /* allocated, bytes */
    size_t used;          /* bytes of entries; may grow until the segment is sealed */
    uint32_t first, last; /* upper halves of hashes; of a blob: what its keys' must lie between */
};

struct segment {
    atomic_uint references;
    const struct weir_allocator *allocator;
    struct segment_block *blocks;
    uint32_t count, room;
    struct annex *annex; /* where its blocks are from, set before the first; NULL: the allocator */
    struct annex_ranges ranges;
    /* The upper half of a key's hash, by which segments are ordered on disk and groups chosen.
     * NULL: that of state_hash. A kind of state whose keys have parts sets another. */
    uint32_t (*upper)(struct weir_bytes key);

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
/* A blob that was read, of that range of hashes: takes over its memory, `used` bytes of `size`,
 * also when it answers false; what is too much for memory is moved out at once. */
bool segment_restore(struct segment *segment, unsigned char *data, size_t used, size_t size,
                     uint32_t first, uint32_t last);
uint64_t segment_bytes(const struct segment *segment); /* of memory */

#endif
