/* SPDX-License-Identifier: Apache-2.0 */
#include "segment_blobs.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "state.h"
#include "state_entry.h"

#define BUCKET_BYTES (SEGMENT_BLOB_SIZE / 64)
#define OVERFULL (2 * SEGMENT_BLOB_SIZE) /* bytes of a bucket that is split by the hashes in it */
#define HINT_UNITS_LOG2 12u
#define AHEAD 16u /* entries whose cache misses overlap */

struct segment_bucket {
    uint64_t bytes; /* of its entries, on disk */
    uint32_t start; /* of its units */
};

/* An entry of an overfull bucket. */
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
    blobs->least = UINT32_MAX;
    for (const unsigned char *entry; (entry = walk_next(blobs->segment, &walk)) != NULL;) {
        uint32_t upper = upper_of(blobs->segment, entry);
        blobs->least = upper < blobs->least ? upper : blobs->least;
        blobs->most = upper > blobs->most ? upper : blobs->most;
        blobs->bytes += disk_size(entry);
        blobs->entries++;
    }
}

static struct segment_bucket *bucket_of(const struct segment_blobs *blobs,
                                        const unsigned char *entry)
{
    return &blobs->buckets[(upper_of(blobs->segment, entry) - blobs->least) >> blobs->shift];
}

/* Where each bucket's units start. False: no memory. */
static bool make_buckets(struct segment_blobs *blobs)
{
    const struct weir_allocator *allocator = blobs->segment->allocator;
    uint64_t wanted = blobs->bytes / BUCKET_BYTES + 1;
    uint32_t span = blobs->most - blobs->least, start = 0, largest = 0;
    while (span >> blobs->shift >= wanted)
        blobs->shift++;
    blobs->bucket_count = (span >> blobs->shift) + 1;
    blobs->buckets =
        memory_zeroed(allocator, blobs->bucket_count + (size_t)1, sizeof *blobs->buckets);
    if (blobs->buckets == NULL)
        return false;
    struct walk walk = {0, 0};
    for (const unsigned char *entry; (entry = walk_next(blobs->segment, &walk)) != NULL;) {
        struct segment_bucket *bucket = bucket_of(blobs, entry);
        bucket->bytes += disk_size(entry);
        bucket->start++;
    }
    for (uint32_t i = 0; i <= blobs->bucket_count; i++) {
        uint32_t count = blobs->buckets[i].start;
        if (blobs->buckets[i].bytes > OVERFULL && count > largest)
            largest = count;
        blobs->buckets[i].start = start;
        start += count;
    }
    if (largest > 0)
        blobs->sorted = memory_take(allocator, largest * sizeof *blobs->sorted);
    return largest == 0 || blobs->sorted != NULL;
}

/* Each bucket's start moves to its end, which is the next one's start, and is put back. */
static bool fill_buckets(struct segment_blobs *blobs)
{
    const struct segment *segment = blobs->segment;
    struct walk walk = {0, 0};
    blobs->units = memory_take(segment->allocator, blobs->entries * sizeof *blobs->units);
    if (blobs->units == NULL)
        return false;
    for (const unsigned char *entry; (entry = walk_next(segment, &walk)) != NULL;) {
        size_t offset = (size_t)(entry - segment->blocks[walk.block].data);
        blobs->units[bucket_of(blobs, entry)->start++] =
            blobs->starts[walk.block] + (uint32_t)(offset / ENTRY_UNIT);
    }
    for (uint32_t i = blobs->bucket_count; i > 0; i--)
        blobs->buckets[i].start = blobs->buckets[i - 1].start;
    blobs->buckets[0].start = 0;
    return true;
}

bool segment_blobs_begin(struct segment_blobs *blobs, const struct segment *segment)
{
    *blobs = (struct segment_blobs){.segment = segment};
    measure(blobs);
    if (blobs->bytes <= SEGMENT_BLOB_SIZE ||
        (number_units(blobs) && make_buckets(blobs) && fill_buckets(blobs)))
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

/* As many entries of an overfull bucket as fill a blob. */
static void next_of_overfull(struct segment_blobs *blobs)
{
    const struct segment_bucket *bucket = &blobs->buckets[blobs->bucket];
    if (blobs->end == bucket->start)
        sort_bucket(blobs, bucket->start, bucket[1].start);
    blobs->at = blobs->end;
    blobs->size = 0;
    while (blobs->end < bucket[1].start && blobs->size < SEGMENT_BLOB_SIZE)
        blobs->size += disk_size(entry_at(blobs, blobs->units[blobs->end++]));
    blobs->first = upper_of(blobs->segment, entry_at(blobs, blobs->units[blobs->at]));
    blobs->last = upper_of(blobs->segment, entry_at(blobs, blobs->units[blobs->end - 1]));
    blobs->bucket += blobs->end == bucket[1].start;
}

/* As many buckets as fit into a blob, one at least. */
static void next_buckets(struct segment_blobs *blobs)
{
    uint32_t from = blobs->bucket;
    uint64_t size = 0;
    while (blobs->bucket < blobs->bucket_count &&
           (size == 0 || size + blobs->buckets[blobs->bucket].bytes <= SEGMENT_BLOB_SIZE) &&
           blobs->buckets[blobs->bucket].bytes <= OVERFULL)
        size += blobs->buckets[blobs->bucket++].bytes;
    uint64_t last = (uint64_t)blobs->least + ((uint64_t)blobs->bucket << blobs->shift) - 1;
    blobs->size = (size_t)size;
    blobs->at = blobs->end;
    blobs->end = blobs->buckets[blobs->bucket].start;
    blobs->first = blobs->least + (from << blobs->shift);
    blobs->last = last < blobs->most ? (uint32_t)last : blobs->most;
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
    while (blobs->bucket < blobs->bucket_count && blobs->buckets[blobs->bucket].bytes == 0)
        blobs->bucket++;
    if (blobs->bucket == blobs->bucket_count)
        return false;
    if (blobs->buckets[blobs->bucket].bytes > OVERFULL)
        next_of_overfull(blobs);
    else
        next_buckets(blobs);
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
