/* SPDX-License-Identifier: Apache-2.0 */
#include "segment_blobs.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "state.h"
#include "state_entry.h"

#define BUCKETS_LOG2 16u
#define BUCKETS (1u << BUCKETS_LOG2)
#define OVERFULL (2 * SEGMENT_BLOB_SIZE) /* bytes of a piece that is split by the hashes in it */
#define HINT_UNITS_LOG2 12u
#define AHEAD 16u /* entries whose cache misses overlap */

/* Of the entries whose hashes are in a small range; small itself, so that all of them stay in the
 * cache. */
struct segment_bucket {
    uint32_t units; /* on disk */
    uint32_t count;
};

/* What becomes a blob, or several when it is one bucket that is too much. */
struct segment_piece {
    uint64_t bytes;
    uint32_t start;  /* of its units */
    uint32_t bucket; /* its first */
};

/* An entry of a piece that is too much. */
struct segment_hashed {
    uint32_t upper, unit;
};

/* --- entries ------------------------------------------------------------------------------ */

struct walk {
    uint32_t block;
    size_t offset; /* bytes */
};

/* The next entry that goes to disk, with its block in *block; NULL at the end. */
static inline const unsigned char *walk_next(const struct segment *segment, struct walk *walk)
{
    while (walk->block < segment->count) {
        const struct segment_block *block = &segment->blocks[walk->block];
        if (walk->offset == block->used) {
            *walk = (struct walk){walk->block + 1, 0};
            continue;
        }
        const unsigned char *entry = block->data + walk->offset;
        walk->offset += entry_whole_size(entry);
        if (!entry_is(entry, ENTRY_DEAD))
            return entry;
    }
    return NULL;
}

static inline size_t disk_size(const unsigned char *entry)
{
    size_t value_size = entry_is(entry, ENTRY_TOMB) ? 0 : entry_value_size(entry);
    return entry_size(entry_key_size(entry), value_size);
}

/* The one place that knows how entries are ordered. */
static inline uint32_t upper_of(const struct segment *segment, const unsigned char *entry)
{
    struct weir_bytes key = entry_key(entry);
    if (segment->upper != NULL)
        return segment->upper(key);
    return (uint32_t)(state_hash(key) >> 32);
}

static size_t put_entry(unsigned char *to, const unsigned char *entry)
{
    size_t size = disk_size(entry);
    memcpy(to, entry, size);
    bool tomb = entry_is(entry, ENTRY_TOMB);
    entry_set_sizes(to, entry_key_size(entry), tomb ? 0 : entry_value_size(entry));
    if (tomb)
        entry_mark(to, ENTRY_TOMB);
    return size;
}

/* --- places ------------------------------------------------------------------------------- */

/* A block that is one entry, however large, takes one unit: so a log has fewer than 2^32 (places
 * in state.c). */
static uint32_t block_units(const struct segment_block *block)
{
    if (block->used == 0)
        return 0;
    bool single = entry_whole_size(block->data) == block->used;
    return single ? 1 : (uint32_t)(block->used / ENTRY_UNIT);
}

static const unsigned char *entry_at(const struct segment_blobs *blobs, uint32_t unit)
{
    uint32_t block = blobs->hints[unit >> HINT_UNITS_LOG2];
    while (blobs->starts[block + 1] <= unit)
        block++;
    return blobs->segment->blocks[block].data + (size_t)(unit - blobs->starts[block]) * ENTRY_UNIT;
}

static bool number_units(struct segment_blobs *blobs)
{
    const struct segment *segment = blobs->segment;
    uint64_t units = 0;
    blobs->starts =
        memory_take(segment->allocator, (segment->count + (size_t)1) * sizeof *blobs->starts);
    if (blobs->starts == NULL)
        return false;
    for (uint32_t i = 0; i < segment->count; i++) {
        blobs->starts[i] = (uint32_t)units;
        units += block_units(&segment->blocks[i]);
        assert(units <= UINT32_MAX);
    }
    blobs->starts[segment->count] = (uint32_t)units;
    size_t hints = (size_t)(units >> HINT_UNITS_LOG2) + 1;
    blobs->hints = memory_take(segment->allocator, hints * sizeof *blobs->hints);
    if (blobs->hints == NULL)
        return false;
    uint32_t block = 0;
    for (size_t i = 0; i < hints; i++) {
        while (block + 1 < segment->count && blobs->starts[block + 1] <= i << HINT_UNITS_LOG2)
            block++;
        blobs->hints[i] = block;
    }
    return true;
}

/* --- the order ---------------------------------------------------------------------------- */

static void measure(struct segment_blobs *blobs)
{
    struct walk walk = {0, 0};
    for (const unsigned char *entry; (entry = walk_next(blobs->segment, &walk)) != NULL;) {
        uint32_t upper = upper_of(blobs->segment, entry);
        blobs->least = upper < blobs->least ? upper : blobs->least;
        blobs->most = upper > blobs->most ? upper : blobs->most;
        blobs->bytes += disk_size(entry);
        blobs->entries++;
    }
}

/* Bytes by range of hashes; what measure finds is found on the way. */
static void weigh(struct segment_blobs *blobs, struct segment_bucket *buckets)
{
    struct walk walk = {0, 0};
    blobs->least = UINT32_MAX;
    blobs->most = blobs->entries = 0;
    blobs->bytes = 0;
    for (const unsigned char *entry; (entry = walk_next(blobs->segment, &walk)) != NULL;) {
        uint32_t upper = upper_of(blobs->segment, entry), size = (uint32_t)disk_size(entry);
        struct segment_bucket *bucket = &buckets[(upper - blobs->base) >> blobs->shift];
        blobs->least = upper < blobs->least ? upper : blobs->least;
        blobs->most = upper > blobs->most ? upper : blobs->most;
        blobs->bytes += size;
        blobs->entries++;
        bucket->units += size / ENTRY_UNIT;
        bucket->count++;
    }
}

/* The hashes of a task that is one of many are all in a small part of the whole, and so in few
 * buckets: then once more, over that part alone. */
static bool is_coarse(const struct segment_blobs *blobs)
{
    uint64_t used = ((blobs->most - blobs->base) >> blobs->shift) -
                    ((blobs->least - blobs->base) >> blobs->shift) + 1;
    return blobs->shift > 0 && blobs->bytes / used > SEGMENT_BLOB_SIZE / 8 &&
           blobs->most - blobs->least < UINT32_MAX / 2;
}

static bool make_buckets(struct segment_blobs *blobs)
{
    blobs->shift = 32 - BUCKETS_LOG2;
    blobs->buckets =
        memory_zeroed(blobs->segment->allocator, (size_t)1 << BUCKETS_LOG2, sizeof *blobs->buckets);
    if (blobs->buckets == NULL)
        return false;
    weigh(blobs, blobs->buckets);
    if (!is_coarse(blobs))
        return true;
    blobs->base = blobs->least;
    while (blobs->shift > 0 && (blobs->most - blobs->least) >> (blobs->shift - 1) < BUCKETS)
        blobs->shift--;
    memset(blobs->buckets, 0, BUCKETS * sizeof *blobs->buckets);
    weigh(blobs, blobs->buckets);
    return true;
}

/* Which blob a bucket's entries go to: as many buckets as fill one, one at least. A bucket that is
 * too much for a blob is a piece of its own, and split later. */
static uint32_t cut_pieces(struct segment_blobs *blobs, struct segment_piece *pieces)
{
    uint32_t count = 0;
    uint64_t bytes = 0; /* of the last piece */
    for (uint32_t i = 0, start = 0; i < BUCKETS; i++) {
        const struct segment_bucket *bucket = &blobs->buckets[i];
        uint64_t more = (uint64_t)bucket->units * ENTRY_UNIT;
        if (bucket->count == 0)
            continue;
        if (count == 0 || bytes + more > SEGMENT_BLOB_SIZE) {
            if (pieces != NULL)
                pieces[count] = (struct segment_piece){.start = start, .bucket = i};
            count++;
            bytes = 0;
        }
        bytes += more;
        start += bucket->count;
        if (pieces == NULL)
            continue;
        pieces[count - 1].bytes = bytes;
        blobs->piece_of[i] = (uint16_t)(count - 1);
    }
    return count;
}

static bool make_pieces(struct segment_blobs *blobs)
{
    const struct weir_allocator *allocator = blobs->segment->allocator;
    uint32_t largest = 0;
    blobs->piece_count = cut_pieces(blobs, NULL);
    blobs->pieces = memory_zeroed(allocator, blobs->piece_count + (size_t)1, sizeof *blobs->pieces);
    blobs->piece_of = memory_take(allocator, BUCKETS * sizeof *blobs->piece_of);
    if (blobs->pieces == NULL || blobs->piece_of == NULL)
        return false;
    cut_pieces(blobs, blobs->pieces);
    blobs->pieces[blobs->piece_count].start = blobs->entries;
    for (uint32_t i = 0; i < blobs->piece_count; i++) {
        uint32_t count = blobs->pieces[i + 1].start - blobs->pieces[i].start;
        if (blobs->pieces[i].bytes > OVERFULL && count > largest)
            largest = count;
    }
    if (largest > 0)
        blobs->sorted = memory_take(allocator, largest * sizeof *blobs->sorted);
    return largest == 0 || blobs->sorted != NULL;
}

/* In a piece, entries stay in the order in which they lie: they are read in ascending places. */
static bool fill_pieces(struct segment_blobs *blobs)
{
    const struct segment *segment = blobs->segment;
    struct walk walk = {0, 0};
    blobs->units = memory_take(segment->allocator, blobs->entries * sizeof *blobs->units);
    if (blobs->units == NULL)
        return false;
    for (const unsigned char *entry; (entry = walk_next(segment, &walk)) != NULL;) {
        size_t offset = (size_t)(entry - segment->blocks[walk.block].data);
        uint32_t bucket = (upper_of(segment, entry) - blobs->base) >> blobs->shift;
        blobs->units[blobs->pieces[blobs->piece_of[bucket]].start++] =
            blobs->starts[walk.block] + (uint32_t)(offset / ENTRY_UNIT);
    }
    for (uint32_t i = blobs->piece_count; i > 0; i--) /* each has become the next one's */
        blobs->pieces[i].start = blobs->pieces[i - 1].start;
    blobs->pieces[0].start = 0;
    return true;
}

bool segment_blobs_begin(struct segment_blobs *blobs, const struct segment *segment)
{
    uint64_t most = 0; /* with what is dead */
    *blobs = (struct segment_blobs){.segment = segment, .least = UINT32_MAX};
    for (uint32_t i = 0; i < segment->count; i++)
        most += segment->blocks[i].used;
    if (most <= SEGMENT_BLOB_SIZE) {
        measure(blobs);
        return true;
    }
    if (number_units(blobs) && make_buckets(blobs) && make_pieces(blobs) && fill_pieces(blobs))
        return true;
    segment_blobs_end(blobs);
    return false;
}

void segment_blobs_end(struct segment_blobs *blobs)
{
    const struct weir_allocator *allocator = blobs->segment->allocator;
    memory_release(allocator, blobs->units);
    memory_release(allocator, blobs->starts);
    memory_release(allocator, blobs->hints);
    memory_release(allocator, blobs->buckets);
    memory_release(allocator, blobs->pieces);
    memory_release(allocator, blobs->piece_of);
    memory_release(allocator, blobs->sorted);
    *blobs = (struct segment_blobs){.segment = blobs->segment};
}

/* --- blobs -------------------------------------------------------------------------------- */

static int compare_hashed(const void *a, const void *b)
{
    const struct segment_hashed *one = a, *other = b;
    if (one->upper != other->upper)
        return one->upper < other->upper ? -1 : 1;
    return (one->unit > other->unit) - (one->unit < other->unit);
}

static void sort_bucket(struct segment_blobs *blobs, uint32_t first, uint32_t end)
{
    uint32_t count = end - first;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t unit = blobs->units[first + i];
        blobs->sorted[i] =
            (struct segment_hashed){upper_of(blobs->segment, entry_at(blobs, unit)), unit};
    }
    qsort(blobs->sorted, count, sizeof *blobs->sorted, compare_hashed);
    for (uint32_t i = 0; i < count; i++)
        blobs->units[first + i] = blobs->sorted[i].unit;
}

/* As many entries of a piece that is too much as fill a blob. */
static void next_of_overfull(struct segment_blobs *blobs, uint32_t start, uint32_t end)
{
    if (blobs->end == start)
        sort_bucket(blobs, start, end);
    blobs->at = blobs->end;
    blobs->size = 0;
    while (blobs->end < end && blobs->size < SEGMENT_BLOB_SIZE)
        blobs->size += disk_size(entry_at(blobs, blobs->units[blobs->end++]));
    blobs->first = upper_of(blobs->segment, entry_at(blobs, blobs->units[blobs->at]));
    blobs->last = upper_of(blobs->segment, entry_at(blobs, blobs->units[blobs->end - 1]));
    blobs->piece += blobs->end == end;
}

/* The hash with which a bucket begins, no less than the least. */
static uint32_t begin_of(const struct segment_blobs *blobs, uint32_t bucket)
{
    uint32_t begin = blobs->base + (bucket << blobs->shift);
    return begin > blobs->least ? begin : blobs->least;
}

static void next_piece(struct segment_blobs *blobs)
{
    const struct segment_piece *piece = &blobs->pieces[blobs->piece++];
    bool last = blobs->piece == blobs->piece_count;
    blobs->size = (size_t)piece->bytes;
    blobs->at = piece->start;
    blobs->end = piece[1].start;
    blobs->first = begin_of(blobs, piece->bucket);
    blobs->last = last ? blobs->most : begin_of(blobs, piece[1].bucket) - 1;
}

bool segment_blobs_next(struct segment_blobs *blobs)
{
    if (blobs->units == NULL) {
        bool more = !blobs->begun && blobs->bytes > 0;
        blobs->begun = true;
        blobs->size = (size_t)blobs->bytes;
        blobs->first = blobs->least;
        blobs->last = blobs->most;
        return more;
    }
    if (blobs->piece == blobs->piece_count)
        return false;
    const struct segment_piece *piece = &blobs->pieces[blobs->piece];
    if (piece->bytes > OVERFULL)
        next_of_overfull(blobs, piece->start, piece[1].start);
    else
        next_piece(blobs);
    return true;
}

static void fill_as_it_lies(const struct segment_blobs *blobs, unsigned char *to)
{
    struct walk walk = {0, 0};
    for (const unsigned char *entry; (entry = walk_next(blobs->segment, &walk)) != NULL;)
        to += put_entry(to, entry);
}

/* A ring of entries that are on their way from memory. */
void segment_blobs_fill(struct segment_blobs *blobs, unsigned char *to)
{
    const unsigned char *ahead[AHEAD];
    uint32_t count = blobs->end - blobs->at;
    if (blobs->units == NULL) {
        fill_as_it_lies(blobs, to);
        return;
    }
    for (uint32_t i = 0; i < count + AHEAD; i++) {
        if (i >= AHEAD)
            to += put_entry(to, ahead[i % AHEAD]);
        if (i < count) {
            ahead[i % AHEAD] = entry_at(blobs, blobs->units[blobs->at + i]);
            __builtin_prefetch(ahead[i % AHEAD]);
        }
    }
}
