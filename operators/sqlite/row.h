/* SPDX-License-Identifier: Apache-2.0
 *
 * row: the columns of one row as bytes, the value of a record in a staged file (record_block.h).
 * One after the other, in the machine's byte order like all values:
 *
 *   4  type: 0 null, 1 integer, 2 real, 3 text, 4 blob
 *   4  bytes of the content: 0, 8, 8, any, any
 *   -  content, zeros up to a multiple of 8
 */
#ifndef ROW_H
#define ROW_H

#include "block.h"
#include "weir_sqlite.h"

enum row_type { ROW_NULL, ROW_INTEGER, ROW_REAL, ROW_TEXT, ROW_BLOB };

/* Room for two values of weir's limit; what is over it does not fit a block of a record file. */
#define ROW_LIMIT ((size_t)39 << 20)

struct weir_sqlite_row {
    const struct weir_allocator *allocator;
    struct block bytes;
    unsigned count;          /* of columns */
    enum weir_result result; /* of the first column that did not fit */
};

/* One column of a row; content points into it. */
struct row_column {
    enum row_type type;
    union {
        int64_t integer;
        double real;
        struct weir_bytes bytes;
    };
};

void row_begin(struct weir_sqlite_row *row);
/* Takes the next column off *rest, which shrinks to nothing at the end. False when the bytes make
 * no sense. */
bool row_next(struct weir_bytes *rest, struct row_column *column);

#endif
