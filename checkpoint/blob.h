/* SPDX-License-Identifier: Apache-2.0
 *
 * blob: sealed bytes. A 64-byte little-endian header, then one standard LZ4 frame with block and
 * content checksums. The header is itself an LZ4 *skippable frame*, so both
 *     tail -c +65 BLOB | lz4 -d        and        lz4 -dc CONTAINER
 * open what weir wrote; a container is blobs one after the other, nothing between them.
 *
 *   offset size
 *        0    4  0x184D2A57, an LZ4 skippable frame
 *        4    4  56, its length
 *        8    4  "WEIR"
 *       12    1  format version, 1
 *       13    1  kind (enum blob_kind)
 *       14    1  byte order of user values inside: 1 little, 2 big
 *       15    1  zero
 *       16    4  epoch of the run that wrote it
 *       20    4  task, by its number in the manifest
 *       24    8  checkpoint id
 *       32    8  raw size: bytes after decompression
 *       40    8  stored size: bytes of the LZ4 frame that follows
 *       48    8  XXH3-64 of the stored bytes
 *       56    8  XXH3-64 of bytes 0..55
 *
 * I1  nothing is decompressed before header checksum, sizes and body checksum hold.
 * I2  the raw size is at most min(BLOB_RAW_LIMIT, 255 * stored + 64): no decompression bomb.
 * I3  the frame ends exactly at the stored size and yields exactly the raw size; no dictionary, no
 *     second frame, no bytes after the end mark.
 */
#ifndef BLOB_H
#define BLOB_H

#include "weir_base.h"

#define BLOB_HEADER_SIZE 64
#define BLOB_VERSION 1
#define BLOB_RAW_LIMIT ((uint64_t)1 << 36)

enum blob_kind {
    BLOB_SNAPSHOT = 1, /* what one task saved: its part */
    BLOB_INFLIGHT,     /* what was on its way to it or from it: sections INFLIGHT of snapshot.h */
    BLOB_STATE,        /* a piece of the log of a keyed state, which later checkpoints name too */
    BLOB_LIST,         /* where the blobs of one segment of such a log lie: list.h */
};

/* What a header says, and what the manifest repeats of it. */
struct blob {
    enum blob_kind kind;
    uint32_t epoch;
    uint32_t task;
    uint64_t id;
    uint64_t raw_size;
    uint64_t stored_size; /* of the frame; the blob is BLOB_HEADER_SIZE more */
    uint64_t checksum;    /* of the stored bytes */
};

/* A buffer that only grows and is used again. Zero is empty. */
struct blob_buffer {
    unsigned char *data;
    size_t size;     /* bytes in use */
    size_t capacity; /* bytes */
};

void blob_buffer_free(struct blob_buffer *buffer, const struct weir_allocator *allocator);

/* Seals `raw` (borrowed) into out: header and frame, ready to be written. kind, epoch, task and id
 * are the caller's; sizes and checksum are filled in. */
enum weir_result blob_seal(struct blob *blob, struct weir_bytes raw, struct blob_buffer *out,
                           const struct weir_allocator *allocator,
                           struct weir_error *error) WEIR_MUST_USE;

/* Reads a header alone; WEIR_DAMAGED or WEIR_UNSUPPORTED (newer version, other byte order). */
enum weir_result blob_header(const unsigned char header[BLOB_HEADER_SIZE], struct blob *blob,
                             struct weir_error *error) WEIR_MUST_USE;

/* Is `stored` (header and frame) what is expected? Everything in *expected - kind, epoch, task, id,
 * sizes, checksum - must match: a right blob in a wrong place is damage. The frame stays closed. */
enum weir_result blob_check(const struct blob *expected, struct weir_bytes stored,
                            struct weir_error *error) WEIR_MUST_USE;

/* Checks `stored` and opens it into out, which is resized to the raw size. */
enum weir_result blob_open(const struct blob *expected, struct weir_bytes stored,
                           struct blob_buffer *out, const struct weir_allocator *allocator,
                           struct weir_error *error) WEIR_MUST_USE;

#endif
