/* SPDX-License-Identifier: Apache-2.0
 *
 * histogram: see histogram.h.
 *
 * Bucket numbers are continuous: with s = max(0, position of the first bit - 7), value >> s is
 * 128 .. 255 (below 128 where s is 0), and s * 128 is added.
 */
#include "histogram.h"

#include <inttypes.h>

static unsigned shift_of(size_t bucket)
{
    return bucket < 2 * HISTOGRAM_STEPS ? 0 : (unsigned)(bucket / HISTOGRAM_STEPS - 1);
}

uint64_t histogram_lowest(size_t bucket)
{
    unsigned shift = shift_of(bucket);
    return (uint64_t)(bucket - (size_t)shift * HISTOGRAM_STEPS) << shift;
}

uint64_t histogram_highest(size_t bucket)
{
    return histogram_lowest(bucket) + (((uint64_t)1 << shift_of(bucket)) - 1);
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
    if (from->count == 0)
        return;
    if (to->count == 0 || from->least < to->least)
        to->least = from->least;
    if (from->most > to->most)
        to->most = from->most;
    to->count += from->count;
    to->sum += from->sum;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        to->bucket[i] += from->bucket[i];
}

/* The how-manieth value, in their order, a share ends with. Of shares like 0.999, which no double
 * is, what is above a whole number by its last digits only is that number. */
static uint64_t rank_of(const struct histogram *histogram, double share)
{
    double exact = share * (double)histogram->count;
    uint64_t rank = (uint64_t)exact;
    if (exact - (double)rank > 1e-9 * exact)
        rank++;
    return rank < 1 ? 1 : rank > histogram->count ? histogram->count : rank;
}

uint64_t histogram_at(const struct histogram *histogram, double share)
{
    uint64_t rank = rank_of(histogram, share), seen = 0;
    if (histogram->count == 0)
        return 0;
    for (size_t i = histogram_bucket(histogram->least); i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->bucket[i];
        if (seen >= rank) {
            uint64_t highest = histogram_highest(i);
            return highest < histogram->most ? highest : histogram->most;
        }
    }
    return histogram->most;
}

bool histogram_tells(const struct histogram *histogram, double share)
{
    return histogram->count > 0 &&
           histogram->count - rank_of(histogram, share) >= HISTOGRAM_TELLING;
}

double histogram_mean(const struct histogram *histogram)
{
    return histogram->count == 0 ? 0 : histogram->sum / (double)histogram->count;
}

static void print_percentiles(const struct histogram *histogram, FILE *out)
{
    static const struct {
        const char *name;
        double share;
    } percentiles[] = {
        {"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99_9", 0.999}, {"p99_99", 0.9999}};
    for (size_t i = 0; i < sizeof percentiles / sizeof *percentiles; i++) {
        if (histogram_tells(histogram, percentiles[i].share))
            fprintf(out, ", \"%s\": %" PRIu64, percentiles[i].name,
                    histogram_at(histogram, percentiles[i].share));
    }
}

void histogram_print(const struct histogram *histogram, const char *name, const char *unit,
                     FILE *out)
{
    const char *comma = "";
    fprintf(out,
            "{\"name\": \"%s\", \"unit\": \"%s\", \"count\": %" PRIu64 ", \"least\": %" PRIu64
            ", \"most\": %" PRIu64 ", \"mean\": %.1f",
            name, unit, histogram->count, histogram->least, histogram->most,
            histogram_mean(histogram));
    print_percentiles(histogram, out);
    fputs(", \"buckets\": [", out);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (histogram->bucket[i] == 0)
            continue;
        fprintf(out,
                "%s{\"lowest\": %" PRIu64 ", \"highest\": %" PRIu64 ", \"count\": %" PRIu64 "}",
                comma, histogram_lowest(i), histogram_highest(i), histogram->bucket[i]);
        comma = ", ";
    }
    fputs("]}", out);
}
