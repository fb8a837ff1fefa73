/* SPDX-License-Identifier: Apache-2.0
 *
 * growing_file: the lines of a file that somebody appends to. What was read can't change, and that
 * is looked at: each read begins with up to 64 bytes that were read before, so a file that was cut
 * and has grown again is noticed even when it is longer than it was.
 *
 *   file     |head......|..........\n.....\n...     ) grows
 *   buffer            [tail|cursor         )size      tail: up to 4 KiB already given out, kept for
 *                     base                            the fingerprint that checkpoints carry
 *
 * A line counts when its newline is there; growing_last gives what follows the last one, for files
 * that nobody appends to any more.
 */
#ifndef GROWING_FILE_H
#define GROWING_FILE_H

#include "block.h"

#define GROWING_TAIL_BYTES ((size_t)4 << 10)
#define GROWING_HEAD_BYTES ((size_t)4 << 10)

/* Which file it is, and where in it to go on. Saved in checkpoints, so its layout is fixed. */
struct growing_mark {
    uint64_t device, inode;
    uint64_t position;  /* file offset of the next line */
    uint64_t head_hash; /* weir_hash of the first head_size bytes */
    uint64_t tail_hash; /* and of the tail_size bytes before the position */
    uint32_t head_size; /* at most GROWING_HEAD_BYTES and the position */
    uint32_t tail_size; /* the same with GROWING_TAIL_BYTES */
};
_Static_assert(sizeof(struct growing_mark) == 48, "saved in checkpoints");

struct growing_file {
    struct weir_file *file; /* NULL: none is open */
    uint64_t device, inode;
    struct block buffer; /* kept from file to file */
    struct block head;   /* the first GROWING_HEAD_BYTES, as far as they were read */
    uint64_t base;       /* file offset of the buffer's first byte */
    size_t cursor;       /* in the buffer: the next line */
    size_t scanned;      /* before it is no newline, from the cursor on */
};

enum growing_found {
    GROWING_LINE,
    GROWING_MORE, /* bytes were read: ask again */
    GROWING_WAIT, /* all that is there was read */
    GROWING_FAILED,
};

/* Opens the file at its beginning instead of the one before. WEIR_NOT_FOUND, and nothing has
 * changed, when `path` is not that file (any more): somebody renames. */
enum weir_result growing_open(struct growing_file *growing, struct weir_context *context,
                              const char *path, uint64_t device, uint64_t inode);
/* Goes to the mark. WEIR_REFUSED, without failing the run, when this is not the file that was
 * read: too short, or other bytes at its beginning or before the position. */
enum weir_result growing_resume(struct growing_file *growing, struct weir_context *context,
                                const char *path, const struct growing_mark *mark);
/* Reads one block at most. The line lives until the next call. `path` is for messages. */
enum growing_found growing_next(struct growing_file *growing, struct weir_context *context,
                                const char *path, struct weir_bytes *line);
/* After GROWING_WAIT, when nobody will append any more: the line without newline, if there is one.
 */
bool growing_last(struct growing_file *growing, struct weir_bytes *line);
struct growing_mark growing_mark(const struct growing_file *growing);
/* False when no growing_mark has given it. */
bool growing_mark_is_sound(const struct growing_mark *mark);
/* File offset of the next line. */
uint64_t growing_position(const struct growing_file *growing);
/* Keeps the buffers for the next file. */
void growing_close(struct growing_file *growing);
void growing_free(struct growing_file *growing, const struct weir_allocator *allocator);

#endif
