/* SPDX-License-Identifier: Apache-2.0
 *
 * Segments come from a state's cuts; what is written of them is looked at entry by entry.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "segment_blobs.h"
#include "state.h"
#include "state_entry.h"

static uint64_t test_seed(void)
{
    const char *text = getenv("WEIR_TEST_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);
    fprintf(stderr, "WEIR_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* splitmix64 */
static uint64_t test_random(uint64_t *state)
{
    uint64_t value = *state += 0x9e3779b97f4a7c15u;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

static uint32_t upper(struct weir_bytes key)
{
    return (uint32_t)(state_hash(key) >> 32);
}

/* What was written of a segment. */
struct written {
    uint32_t blobs;
    uint64_t entries, bytes, sum; /* sum: of the hashes of all entries */
    uint64_t largest;             /* blob */
    bool touching;                /* two blobs have a hash in common */
};

static uint64_t look_at(const unsigned char *data, const struct segment_blobs *blobs,
                        uint32_t (*of)(struct weir_bytes key), uint64_t *sum)
{
    uint64_t entries = 0;
    for (size_t at = 0; at < blobs->size; entries++) {
        uint32_t own = of(entry_key(data + at));
        cr_assert(own >= blobs->first && own <= blobs->last, "outside of its blob's range");
        cr_assert_not(entry_is(data + at, ENTRY_DEAD | ENTRY_OLDER));
        *sum += state_hash((struct weir_bytes){data + at, entry_whole_size(data + at)});
        at += entry_whole_size(data + at);
    }
    return entries;
}

static struct written write_out(const struct segment *segment)
{
    uint32_t (*of)(struct weir_bytes key) = segment->upper ? segment->upper : upper;
    struct segment_blobs blobs;
    struct written written = {0};
    uint32_t last = 0;
    cr_assert(segment_blobs_begin(&blobs, segment));
    while (segment_blobs_next(&blobs)) {
        unsigned char *data = malloc(blobs.size); /* exactly: a sanitizer sees the rest */
        segment_blobs_fill(&blobs, data);
        cr_assert(written.blobs == 0 || blobs.first >= last, "the ranges ascend");
        written.touching |= written.blobs > 0 && blobs.first == last;
        written.entries += look_at(data, &blobs, of, &written.sum);
        written.bytes += blobs.size;
        written.largest = blobs.size > written.largest ? blobs.size : written.largest;
        written.blobs++;
        last = blobs.last;
        free(data);
    }
    cr_assert_not(segment_blobs_next(&blobs), "the end is the end");
    segment_blobs_end(&blobs);
    return written;
}

/* The segment of the last cut. */
static struct segment *cut_last(struct state *state)
{
    struct state_cut cut;
    cr_assert_eq(state_cut(state, &cut), WEIR_OK);
    cr_assert_gt(cut.count, 0);
    struct segment *last = segment_share(cut.segments[cut.count - 1]);
    state_cut_free(&cut);
    return last;
}

static void put(struct state *state, uint64_t key, const void *value, size_t size)
{
    const struct weir_bytes bytes = {&key, sizeof key};
    cr_assert_eq(state_put(state, bytes, state_hash(bytes), (struct weir_bytes){value, size}),
                 WEIR_OK);
}

/* What a plain walk over it finds: sizes and sum of what is not dead. */
static struct written expect(const struct segment *segment)
{
    struct written expected = {0};
    unsigned char *copy = malloc(STATE_VALUE_LIMIT + 64);
    for (uint32_t i = 0; i < segment->count; i++) {
        const struct segment_block *block = &segment->blocks[i];
        for (size_t at = 0; at < block->used; at += entry_whole_size(block->data + at)) {
            const unsigned char *entry = block->data + at;
            if (entry_is(entry, ENTRY_DEAD))
                continue;
            bool tomb = entry_is(entry, ENTRY_TOMB);
            size_t value_size = tomb ? 0 : entry_value_size(entry);
            size_t size = entry_size(entry_key_size(entry), value_size);
            memcpy(copy, entry, size);
            entry_set_sizes(copy, entry_key_size(entry), value_size);
            if (tomb)
                entry_mark(copy, ENTRY_TOMB);
            expected.sum += state_hash((struct weir_bytes){copy, size});
            expected.bytes += size;
            expected.entries++;
        }
    }
    free(copy);
    return expected;
}

static struct written check(const struct segment *segment)
{
    struct written expected = expect(segment), written = write_out(segment);
    cr_assert_eq(written.entries, expected.entries);
    cr_assert_eq(written.bytes, expected.bytes);
    cr_assert_eq(written.sum, expected.sum, "every entry, once");
    return written;
}

Test(segment_blobs, what_fits_into_one_blob_is_one)
{
    struct state *state = state_new(NULL, 0);
    for (uint64_t i = 0; i < 1000; i++)
        put(state, i, "value", 5);
    struct segment *segment = cut_last(state);
    cr_assert_eq(check(segment).blobs, 1);
    segment_release(segment);
    state_free(&state);
}

Test(segment_blobs, a_large_segment_is_blobs_of_their_size_in_ascending_ranges)
{
    struct state *state = state_new(NULL, 0);
    for (uint64_t i = 0; i < 300000; i++)
        put(state, i, "a value", 8);
    struct segment *segment = cut_last(state);
    struct written written = check(segment);
    cr_assert_leq(written.largest, SEGMENT_BLOB_SIZE);
    cr_assert_leq(written.blobs, written.bytes / (SEGMENT_BLOB_SIZE * 15 / 16) + 1);
    cr_assert_not(written.touching);
    segment_release(segment);
    state_free(&state);
}

/* Values from nothing to four blobs, tombstones, and what was replaced. */
Test(segment_blobs, whatever_a_segment_holds_is_written_once)
{
    static unsigned char large[4 * SEGMENT_BLOB_SIZE];
    uint64_t seed = test_seed();
    for (int round = 0; round < 12; round++) {
        struct state *state = state_new(NULL, 0);
        uint64_t count = test_random(&seed) % 20000, most = (uint64_t)1 << test_random(&seed) % 23;
        for (int cuts = 0; cuts < 2; cuts++) {
            for (uint64_t i = 0; i < count + 1; i++) {
                uint64_t key = test_random(&seed) % (count + 1);
                const struct weir_bytes bytes = {&key, sizeof key};
                size_t size = test_random(&seed) % 64;
                if (test_random(&seed) % 4000 == 0)
                    size = test_random(&seed) % most;
                if (test_random(&seed) % 3 > 0 || i == 0)
                    put(state, key, large, size);
                else if (state_remove(state, bytes, state_hash(bytes)) == WEIR_NO_MEMORY)
                    cr_assert_fail();
            }
            struct segment *segment = cut_last(state);
            check(segment);
            segment_release(segment);
        }
        state_free(&state);
    }
}

static uint32_t few(struct weir_bytes key)
{
    return upper(key) % 3 * 1000000;
}

static uint32_t one(struct weir_bytes key)
{
    (void)key;
    return UINT32_MAX;
}

/* Nearly all beside each other, in what is one bucket: two lie at the ends of all hashes. */
static uint32_t near(struct weir_bytes key)
{
    uint64_t number;
    memcpy(&number, key.data, sizeof number);
    return number == 0 ? 0 : number == 1 ? UINT32_MAX : 7 + upper(key) % 100;
}

/* Of keys that have a part in common: more than a blob holds of one hash. */
Test(segment_blobs, the_keys_of_one_hash_may_fill_many_blobs)
{
    static uint32_t (*const uppers[])(struct weir_bytes key) = {few, one, near};
    struct state *state = state_new(NULL, 0);
    for (uint64_t i = 0; i < 300000; i++)
        put(state, i, "a value", 8);
    struct segment *segment = cut_last(state);
    for (int i = 0; i < 3; i++) {
        segment->upper = uppers[i];
        struct written written = check(segment);
        cr_assert(written.touching && written.blobs >= 7);
        cr_assert_leq(written.largest, 2 * SEGMENT_BLOB_SIZE);
    }
    segment->upper = NULL;
    segment_release(segment);
    state_free(&state);
}

static int allocations_left;

static void *allocate(void *context, size_t size)
{
    (void)context;
    return allocations_left-- > 0 ? malloc(size) : NULL;
}

static void release(void *context, void *memory)
{
    (void)context;
    free(memory);
}

Test(segment_blobs, no_memory_is_told_before_anything_is_written)
{
    const struct weir_allocator allocator = {allocate, release, NULL};
    struct segment_blobs blobs;
    int failed = 0;
    allocations_left = INT32_MAX;
    struct state *state = state_new(&allocator, 0);
    for (uint64_t i = 0; i < 300000; i++)
        put(state, i, "a value", 8);
    struct segment *segment = cut_last(state);
    segment->upper = few;
    for (allocations_left = 0; !segment_blobs_begin(&blobs, segment);)
        allocations_left = ++failed;
    cr_assert_eq(failed, 7, "starts and hints, buckets, pieces twice, room to sort, units");
    allocations_left = 0;
    cr_assert(segment_blobs_next(&blobs), "it has all it needs");
    segment_blobs_end(&blobs);
    segment->upper = NULL;
    segment_release(segment);
    state_free(&state);
}
