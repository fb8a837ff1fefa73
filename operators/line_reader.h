/* SPDX-License-Identifier: Apache-2.0
 *
 * line_reader: the lines of one split. A split owns the lines that begin in it: one that begins at
 * a file offset > 0 looks at the byte before and starts behind the first newline from there; a line
 * that runs over the end is read to its newline, wherever that is.
 *
 *   file     ....|......\n.........|...\n....        | split borders
 *   buffer            [tail|cursor      )size        tail: up to 4 KiB already given out, kept for
 *                     base                           the fingerprint that checkpoints carry
 *
 * Bytes behind `scanned` have not been searched for a newline yet, so that a long line is searched
 * once, not once a block.
 */
#ifndef LINE_READER_H
#define LINE_READER_H

#include "block.h"
#include "line_table.h"

#define LINE_LIMIT WEIR_VALUE_LIMIT
#define LINE_TAIL_BYTES ((size_t)4 << 10)

/* Where a split is continued. Saved in checkpoints, so its layout is fixed. */
struct line_mark {
    uint64_t position;  /* file offset of the next line */
    uint64_t tail_hash; /* weir_hash of the tail_size bytes before it */
    uint32_t tail_size; /* at most LINE_TAIL_BYTES */
    uint32_t begun;     /* 0: the split's first line has yet to be found; the rest is 0 too */
};
_Static_assert(sizeof(struct line_mark) == 24, "saved in checkpoints");

struct line_reader {
    struct weir_file *file;
    uint64_t size;       /* of the file, as recorded */
    uint64_t end;        /* of the split */
    struct block buffer; /* kept from split to split */
    uint64_t base;       /* file offset of its first byte */
    size_t cursor;       /* in the buffer: the next line, or where the search for it stands */
    size_t scanned;
    bool skipping; /* the split's first line has yet to be found */
};

enum line_found {
    LINE_FOUND,
    LINE_MORE, /* a block was read: ask again */
    LINE_END,  /* of the split */
    LINE_FAILED,
};

/* Opens the split's file. With a begun mark, goes on there and refuses when the bytes before it are
 * not those that were read. */
enum weir_result line_reader_open(struct line_reader *reader, struct weir_context *context,
                                  const char *path, const struct line_table *table,
                                  const struct line_split *split, const struct line_mark *mark);
/* Reads one block at most. The line lives until the next call. `path` is for messages. */
enum line_found line_reader_next(struct line_reader *reader, struct weir_context *context,
                                 const char *path, struct weir_bytes *line);
struct line_mark line_reader_mark(const struct line_reader *reader);
/* Keeps the buffer for the next split. */
void line_reader_close(struct line_reader *reader);
void line_reader_free(struct line_reader *reader, const struct weir_allocator *allocator);

#endif
