/* SPDX-License-Identifier: Apache-2.0 */
/* links: measure */
/*
 * The histogram's buckets at every edge, its percentiles beside a sorted list, and its JSON.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "explore.h"
#include "histogram.h"

#define VALUES 3000

/* A value and its neighbours, for every power of two and every step between two of them. */
static void each_edge(void (*check)(uint64_t value))
{
    for (int bit = 0; bit < 64; bit++) {
        for (uint64_t step = 0; step < 2 * HISTOGRAM_STEPS; step++) {
            uint64_t power = (uint64_t)1 << bit;
            uint64_t value = power + (bit >= 8 ? step * (power >> 8) : 0);
            check(value - 1);
            check(value);
            check(value + 1);
        }
    }
}

static void lies_in_its_narrow_bucket(uint64_t value)
{
    size_t bucket = histogram_bucket(value);
    uint64_t low = histogram_lowest(bucket), high = histogram_highest(bucket);
    cr_assert_lt(bucket, HISTOGRAM_BUCKETS);
    cr_assert(low <= value && value <= high, "%" PRIu64 ": %" PRIu64 " .. %" PRIu64, value, low,
              high);
    cr_assert_leq(high - low, low / HISTOGRAM_STEPS, "the bucket of %" PRIu64 " is wide", value);
}

Test(histogram, every_value_lies_in_a_bucket_no_wider_than_a_128th_of_it)
{
    each_edge(lies_in_its_narrow_bucket);
    lies_in_its_narrow_bucket(0);
    lies_in_its_narrow_bucket(UINT64_MAX);
}

Test(histogram, buckets_follow_each_other_without_a_gap)
{
    cr_assert_eq(histogram_lowest(0), 0);
    for (size_t i = 1; i < HISTOGRAM_BUCKETS; i++)
        cr_assert_eq(histogram_lowest(i), histogram_highest(i - 1) + 1, "bucket %zu", i);
    cr_assert_eq(histogram_highest(HISTOGRAM_BUCKETS - 1), UINT64_MAX);
}

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t some_value(uint64_t *state)
{
    uint64_t bits = explore_mix(*state += UINT64_C(0x9e3779b97f4a7c15));
    return bits >> bits % 64; /* of every size */
}

Test(histogram, percentiles_are_never_less_than_the_sorted_ones_nor_a_128th_more)
{
    static const double shares[] = {0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1};
    static uint64_t sorted[VALUES];
    static struct histogram histogram;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        uint64_t state = seed, count = 1 + explore_mix(seed) % VALUES;
        memset(&histogram, 0, sizeof histogram);
        for (uint64_t i = 0; i < count; i++) {
            sorted[i] = some_value(&state);
            histogram_add(&histogram, sorted[i], 1);
        }
        qsort(sorted, count, sizeof *sorted, ascending);
        for (size_t s = 0; s < sizeof shares / sizeof *shares; s++) {
            uint64_t rank = 0; /* the least with rank / count >= share, in whole ten thousandths */
            uint64_t parts = (uint64_t)(shares[s] * 10000 + 0.5);
            while (rank * 10000 < parts * count)
                rank++;
            uint64_t exact = sorted[rank < 1 ? 0 : rank - 1];
            uint64_t told = histogram_at(&histogram, shares[s]);
            cr_assert(told >= exact && told - exact <= exact / HISTOGRAM_STEPS,
                      "seed %" PRIu64 ", share %g: %" PRIu64 ", exactly %" PRIu64, seed, shares[s],
                      told, exact);
        }
        cr_assert_eq(histogram.least, sorted[0]);
        cr_assert_eq(histogram.most, sorted[count - 1]);
        cr_assert_eq(histogram_at(&histogram, 1), sorted[count - 1]);
    }
}

/* In either order, with an empty one among them; the least and the most are in different parts. */
static void merges(const int order[3])
{
    static struct histogram one, parts[3], merged;
    uint64_t state = 7;
    memset(&one, 0, sizeof one);
    memset(parts, 0, sizeof parts);
    memset(&merged, 0, sizeof merged);
    for (int i = 0; i < VALUES; i++) {
        /* sums of doubles stay whole */
        uint64_t value = (some_value(&state) >> 24) + (i % 2 ? 1 : 1000);
        histogram_add(&one, value, 2);
        histogram_add(&parts[i % 2], value, 2); /* the third stays empty */
    }
    cr_assert_neq(parts[0].least, parts[1].least);
    for (int i = 0; i < 3; i++)
        histogram_merge(&merged, &parts[order[i]]);
    cr_assert_float_eq(merged.sum / one.sum, 1, 1e-12);
    merged.sum = one.sum;
    cr_assert_eq(memcmp(&merged, &one, sizeof one), 0);
}

Test(histogram, what_is_merged_is_as_if_all_were_added_to_one)
{
    merges((const int[3]){0, 1, 2});
    merges((const int[3]){2, 1, 0});
}

Test(histogram, percentiles_are_told_from_ten_samples_beyond_them_on)
{
    static struct histogram histogram;
    cr_assert_not(histogram_tells(&histogram, 0.5));
    cr_assert_eq(histogram_at(&histogram, 0.5), 0);
    cr_assert_eq(histogram_mean(&histogram), 0);
    histogram_add(&histogram, 5, 99999);
    cr_assert_not(histogram_tells(&histogram, 0.9999));
    histogram_add(&histogram, 5, 0);
    cr_assert_not(histogram_tells(&histogram, 0.9999));
    histogram_add(&histogram, 5, 1);
    cr_assert(histogram_tells(&histogram, 0.9999));
    cr_assert(histogram_tells(&histogram, 0.999));
}

Test(histogram, its_json_has_the_buckets_and_what_can_be_told)
{
    static struct histogram histogram;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    histogram_add(&histogram, 3, 15);
    histogram_add(&histogram, 1000, 10);
    histogram_print(&histogram, "cut", "ns", out);
    fclose(out);
    cr_assert_str_eq(text, "{\"name\": \"cut\", \"unit\": \"ns\", \"count\": 25, \"least\": 3, "
                           "\"most\": 1000, \"mean\": 401.8, \"p50\": 3, \"buckets\": ["
                           "{\"lowest\": 3, \"highest\": 3, \"count\": 15}, "
                           "{\"lowest\": 1000, \"highest\": 1003, \"count\": 10}]}");
    free(text);
}
