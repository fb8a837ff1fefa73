/* SPDX-License-Identifier: Apache-2.0
 *
 * record_block: how records lie in a file. What a record sink publishes, and what other sinks stage
 * between their two phases. All numbers are little-endian; all lengths are multiples of 8, so that
 * a reader that takes a block into aligned memory can point at keys and values where they are.
 *
 *   file     header, block ..., end
 *   header   8  "WEIRRECS"
 *            4  version, 1
 *            4  zero
 *   block    8  XXH3-64 of the rest of the block
 *            8  where the block begins in the file: one that was moved or repeated is found
 *            4  bytes of the body, at most RECORD_BODY_LIMIT
 *            4  records in it, at least 1
 *            -  body: the records, one after the other
 *   record   8  time, ns since 1970, signed; the least number: none
 *            4  bytes of the key
 *            4  bytes of the value
 *            -  key, zeros up to a multiple of 8
 *            -  value, zeros up to a multiple of 8
 *   end      a block with 0 records, whose body is 8 bytes: the records of the whole file. A file
 *            without it was cut off; nothing follows it.
 *
 * A block is closed once its body has RECORD_BLOCK_BYTES: a reader needs room for one block, which
 * is that and the largest record at most.
 */
#ifndef RECORD_BLOCK_H
#define RECORD_BLOCK_H

#include "block.h"
#include "weir.h"

#define RECORD_MAGIC "WEIRRECS"
#define RECORD_VERSION 1
#define RECORD_FILE_HEAD 16                    /* bytes of the header */
#define RECORD_BLOCK_HEAD 24                   /* bytes before a block's body */
#define RECORD_HEAD 16                         /* bytes before a record's key */
#define RECORD_BLOCK_BYTES ((size_t)64 << 10)  /* a body that has as many is closed */
#define RECORD_BODY_LIMIT ((uint32_t)40 << 20) /* bytes; two values of weir's limit fit */

/* The writer. Zeroed: a file to be begun. */
struct record_block {
    struct block bytes; /* the open block, and the file's header before the first */
    size_t head;        /* where the open block begins in them */
    uint32_t count;     /* records in it */
    uint64_t offset;    /* of bytes in the file */
    uint64_t written;   /* records in closed blocks */
};

/* Room for a block of usual records, so that adding them takes no memory. False: there is none. */
bool record_block_reserve(struct record_block *block, const struct weir_allocator *allocator);
/* False without memory. A record of more than RECORD_BODY_LIMIT - RECORD_BLOCK_BYTES does not fit;
 * weir's own can't have so many. */
bool record_block_add(struct record_block *block, const struct weir_allocator *allocator,
                      const struct weir_record *record);
/* True: time to close it. */
static inline bool record_block_full(const struct record_block *block)
{
    return block->bytes.size >= RECORD_BLOCK_BYTES;
}
/* The bytes to be appended to the file; they live until the next call. Empty: no record in it. */
struct weir_bytes record_block_close(struct record_block *block);
/* The same for the end of the file; the open block must have been closed. The next record begins
 * another file. Empty only without memory. */
struct weir_bytes record_block_end(struct record_block *block,
                                   const struct weir_allocator *allocator);
/* Nothing was added since the file was to be begun. */
static inline bool record_block_unused(const struct record_block *block)
{
    return block->count == 0 && block->offset == 0;
}
void record_block_free(struct record_block *block, const struct weir_allocator *allocator);

/* For readers. */
uint32_t record_get_u32(const unsigned char *at);
uint64_t record_get_u64(const unsigned char *at);
/* Bytes that a key or value takes. */
static inline size_t record_padded(size_t size)
{
    return (size + 7) & ~(size_t)7;
}

#endif
