/* SPDX-License-Identifier: Apache-2.0
 *
 * journal: input that can't be asked for twice, kept until no checkpoint needs it. Chunks are
 * appended to segment files of one folder, synced when asked, and read again from any byte of their
 * text that is still kept.
 *
 *   segment   <number, 20 digits>-<epoch, 10 digits>.journal
 *             struct journal_head        64 bytes
 *             chunk...                   the first is the opening one
 *   chunk     struct journal_chunk_head  32 bytes
 *             head   [head_size]         what its writer wants to know about it
 *             text   [text_size]         the input
 *
 * in the machine's byte order (a store does not move between byte orders). Chunks are numbered from
 * 0, the bytes of all texts too; a chunk's offset is that of its first. A segment is named after
 * its first chunk.
 *
 * Invariants:
 *
 *   J1  A segment gets its name by a rename, after its head and opening chunk were synced, and
 *       never changes but by appending. Only the newest is appended to; an older one was synced
 *       whole before the next was named. So only the newest can end in a torn chunk.
 *   J2  Opened, the newest segment is copied, up to where its chunks end to be whole, to one of the
 *       same number and this run's epoch, and that is synced: what an earlier run wrote and could
 *       not sync is staged anew and not trusted, and a torn end is gone: how many bytes is logged.
 *       It is not refused, not even with whole chunks behind the torn one, as after damage to the
 *       disk: a power cut in the middle of unsynced writes leaves the same, for pages reach the
 *       disk in any order, and how far a segment was synced is nowhere on it. What a checkpoint
 *       needs of it is missed by journal_seek. Of two segments with one number the one of the
 *       higher epoch counts.
 *   J3  Nobody may show what is not journal_append'ed, or put into a checkpoint what is not synced;
 *       then a torn end was in no checkpoint.
 *   J4  The opening chunk holds all that its writer must know of chunks before the segment: those
 *       may be gone.
 */
#ifndef JOURNAL_H
#define JOURNAL_H

#include "block.h"
#include "path.h"

#define JOURNAL_HEAD_LIMIT ((size_t)8 << 20)
#define JOURNAL_TEXT_LIMIT ((size_t)32 << 20)
#define JOURNAL_SEGMENT_BYTES ((uint64_t)8 << 20)

struct journal_head {
    char magic[8];
    uint32_t version;
    uint32_t epoch;
    uint64_t number; /* of the first chunk */
    uint64_t offset; /* of its text */
    uint64_t zero[3];
    uint64_t sum; /* weir_hash of all before */
};
struct journal_chunk_head {
    uint64_t sum; /* weir_hash of all behind, head and text too */
    uint64_t number;
    uint64_t offset;
    uint32_t head_size;
    uint32_t text_size;
};
_Static_assert(sizeof(struct journal_head) == 64, "on disk");
_Static_assert(sizeof(struct journal_chunk_head) == 32, "on disk");

struct journal_segment {
    uint64_t number, offset; /* of its first chunk */
    uint32_t epoch;
};

struct journal {
    char folder[PATH_ROOM];
    uint64_t segment_bytes; /* a segment of this size is full */
    struct block segments;  /* of struct journal_segment, oldest first */
    struct weir_file *live; /* the newest, open for appending */
    uint64_t live_size;
    uint64_t number, offset; /* of the next chunk */
    bool dirty;              /* some chunk is not synced */
    struct block chunk;      /* in the making */
};

/* Opens what is there, or begins with `opening` as the opening chunk's head. segment_bytes 0:
 * JOURNAL_SEGMENT_BYTES. Each of these fails the run when it fails. */
enum weir_result journal_open(struct journal *journal, struct weir_context *context,
                              const char *folder, uint64_t segment_bytes,
                              struct weir_bytes opening);
void journal_close(struct journal *journal, const struct weir_allocator *allocator);

/* Written when it returns, not synced: it outlives the process, not the machine. */
enum weir_result journal_append(struct journal *journal, struct weir_context *context,
                                struct weir_bytes head, struct weir_bytes text);
/* Everything appended is durable when it returns. Cheap when nothing was. */
enum weir_result journal_sync(struct journal *journal, struct weir_context *context);
/* The segment is full: journal_roll should begin the next, with the head of its opening chunk. */
bool journal_is_full(const struct journal *journal);
enum weir_result journal_roll(struct journal *journal, struct weir_context *context,
                              struct weir_bytes opening);
/* Nobody will read text before `offset` again: removes the segments that hold nothing else. */
enum weir_result journal_release(struct journal *journal, struct weir_context *context,
                                 uint64_t offset);
/* Of the first byte of text that is kept. */
uint64_t journal_begin(const struct journal *journal);

/* ---- reading ---- */

struct journal_chunk { /* views, until the next call with the cursor */
    struct weir_bytes head, text;
    uint64_t offset; /* of the text */
};
struct journal_cursor {
    struct journal_segment segment;
    struct weir_file *file;
    uint64_t number, offset; /* of the next chunk */
    struct block buffer;
    size_t at;     /* in the buffer: the next chunk */
    uint64_t base; /* file offset of the buffer's first byte */
};
enum journal_found { JOURNAL_CHUNK, JOURNAL_END, JOURNAL_FAILED };

/* To the beginning of the segment that holds the byte of text at `offset`, or of the newest.
 * WEIR_REFUSED when it is not kept any more, WEIR_DAMAGED when the journal ends before it. A
 * zeroed cursor is fine. */
enum weir_result journal_seek(const struct journal *journal, struct weir_context *context,
                              struct journal_cursor *cursor, uint64_t offset);
enum weir_result journal_seek_newest(const struct journal *journal, struct weir_context *context,
                                     struct journal_cursor *cursor);
/* The next chunk, opening ones too. Damage is named and fails the run. */
enum journal_found journal_next(const struct journal *journal, struct weir_context *context,
                                struct journal_cursor *cursor, struct journal_chunk *chunk);
void journal_leave(struct journal_cursor *cursor, const struct weir_allocator *allocator);

#endif
