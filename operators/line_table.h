/* SPDX-License-Identifier: Apache-2.0
 *
 * line_table: what a line source's input was at its first start: the files, their sizes, and a
 * fingerprint of each; and how they are cut into splits. Made once, then never changed; every
 * checkpoint carries it as it lies in memory:
 *
 *   struct line_table_head                      16 bytes
 *   struct line_file      [file_count]          24 bytes each, in byte order of the names
 *   names                 [name_bytes]          each ends with a zero byte
 *
 * in the machine's byte order (a store does not move between byte orders). A single file has the
 * empty name: it may be moved, and named by the new path, between runs.
 *
 * Split numbers count over the whole list: file 0's splits, then file 1's. An empty file has none.
 */
#ifndef LINE_TABLE_H
#define LINE_TABLE_H

#include "block.h"

#define LINE_HEAD_BYTES ((size_t)64 << 10) /* of each file, behind its fingerprint */

struct line_table_head {
    uint64_t split_bytes;
    uint32_t file_count;
    uint32_t name_bytes;
};
struct line_file {
    uint64_t size;      /* bytes that are read; what is appended later is not */
    uint64_t head_hash; /* weir_hash of the first LINE_HEAD_BYTES, or of all when shorter */
    uint32_t name;      /* offset in the names */
    uint32_t name_size; /* without the zero byte */
};
_Static_assert(sizeof(struct line_table_head) == 16, "saved in checkpoints");
_Static_assert(sizeof(struct line_file) == 24, "saved in checkpoints");

struct line_table {
    struct block item; /* the layout above */
    const struct line_table_head *head;
    const struct line_file *files;
    const char *names;
    uint64_t *first_split; /* of each file, and, one more, the number of splits */
    const struct weir_allocator *allocator;
};

struct line_split {
    uint32_t file;
    uint64_t begin, end; /* bytes; lines that begin here are the split's */
};

/* Each fails the run and answers NULL when it can't. `root` is the file or directory. */
struct line_table *line_table_list(struct weir_context *context, const char *root,
                                   uint64_t split_bytes);
struct line_table *line_table_parse(struct weir_context *context, struct weir_bytes item);
void line_table_free(struct line_table *table);

uint64_t line_table_splits(const struct line_table *table);
struct line_split line_table_split(const struct line_table *table, uint64_t split);
const char *line_table_name(const struct line_table *table, uint32_t file);
/* Refuses when the file is not what it was: missing, shorter, or different at its head. */
enum weir_result line_table_verify(const struct line_table *table, struct weir_context *context,
                                   const char *root, uint32_t file);

#endif
