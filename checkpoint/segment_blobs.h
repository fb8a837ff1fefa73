/* SPDX-License-Identifier: Apache-2.0
 *
 * segment_blobs: a sealed segment on its way to disk, as blobs of about SEGMENT_BLOB_SIZE bytes.
 * Each covers a range of the upper halves of key hashes, which choose the key group; the ranges
 * ascend and have nothing in common, but where the keys of one hash are more than a blob holds. So
 * who wants some groups, or one key, reads only what may have them.
 *
 * What fits into one blob is written as it lies. More is shared out by the hash, with 4 bytes an
 * entry: one pass weighs ranges of hashes, 65536 of them, and whole ranges fill a blob; another one
 * notes the places of each blob's entries, which stay in the order in which they lie. They are
 * copied once, to where they are written from. Any thread; the segment stays as it is.
 */
#ifndef SEGMENT_BLOBS_H
#define SEGMENT_BLOBS_H

#include "segment.h"

struct segment_bucket;
struct segment_piece;
struct segment_hashed;

struct segment_blobs {
    /* the next blob, after segment_blobs_next */
    size_t size;          /* bytes */
    uint32_t first, last; /* the upper half of every key's hash lies between these */

    /* inside */
    const struct segment *segment;
    uint64_t bytes; /* of all that is written */
    uint32_t least, most;
    uint32_t entries;

    uint32_t *units;                /* places of entries, in order; NULL: as they lie */
    uint32_t *starts;               /* of each block, and the end of all: in units of 8 bytes */
    uint32_t *hints;                /* for every so many units, a block that is not behind them */
    struct segment_bucket *buckets; /* of hashes from `base` on, 2^shift each */
    uint32_t base, shift;
    struct segment_piece *pieces;
    uint16_t *piece_of;            /* each bucket */
    uint32_t piece_count, piece;   /* the next */
    uint32_t at, end;              /* of units: the blob's */
    struct segment_hashed *sorted; /* room for a piece that is more than a blob, or NULL */
    bool begun;
};

/* False: no memory. */
bool segment_blobs_begin(struct segment_blobs *blobs, const struct segment *segment);
/* False: there is no more. A segment has at least one, if it has an entry. */
bool segment_blobs_next(struct segment_blobs *blobs);
/* Fills `to`, which has blobs->size bytes; once for each blob. */
void segment_blobs_fill(struct segment_blobs *blobs, unsigned char *to);
void segment_blobs_end(struct segment_blobs *blobs);

#endif
