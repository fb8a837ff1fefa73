/* SPDX-License-Identifier: Apache-2.0
 *
 * histogram: how often which value was seen, in fixed memory, with a bounded error.
 *
 * Log-linear, after HDR histograms: each power of two is cut into 128 buckets of equal width, and
 * values below 256 have a bucket each. So a bucket is never wider than a 128th of its lowest value,
 * and every value that a uint64_t holds has one: nothing is clipped. Percentiles answer the highest
 * value of a bucket: never less than what was seen, and more by less than a 128th. The least, the
 * most and the sum are exact.
 *
 * Values have no unit here; benches put nanoseconds in. All zeros is an empty one. A histogram has
 * one thread that adds; others read it when that has stopped. Nothing fails, nothing is allocated.
 */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define HISTOGRAM_BITS 7 /* of a value behind its first one that tell its bucket */
#define HISTOGRAM_STEPS (1u << HISTOGRAM_BITS)
#define HISTOGRAM_BUCKETS ((64 - HISTOGRAM_BITS + 1) * HISTOGRAM_STEPS)
#define HISTOGRAM_TELLING 10 /* samples beyond a percentile that make it worth telling */

struct histogram {
    uint64_t count; /* of all values */
    uint64_t least, most;
    double sum;
    uint64_t bucket[HISTOGRAM_BUCKETS];
};

/* The bucket of a value, and the lowest and highest value of a bucket. */
static inline size_t histogram_bucket(uint64_t value)
{
    int first = 63 - __builtin_clzll(value | HISTOGRAM_STEPS), shift = first - HISTOGRAM_BITS;
    return (size_t)shift * HISTOGRAM_STEPS + (size_t)(value >> shift);
}

uint64_t histogram_lowest(size_t bucket);
uint64_t histogram_highest(size_t bucket);

/* `times` times `value`. */
static inline void histogram_add(struct histogram *histogram, uint64_t value, uint64_t times)
{
    if (times == 0)
        return;
    if (histogram->count == 0 || value < histogram->least)
        histogram->least = value;
    if (value > histogram->most)
        histogram->most = value;
    histogram->count += times;
    histogram->sum += (double)value * (double)times;
    histogram->bucket[histogram_bucket(value)] += times;
}

/* All of `from` as well. */
void histogram_merge(struct histogram *to, const struct histogram *from);

/* The least value that `share` (0 .. 1) of all are not above, as exactly as buckets allow; 0 of an
 * empty one. */
uint64_t histogram_at(const struct histogram *histogram, double share);

/* There are enough values above it for histogram_at to mean something: of p99.99 so many ten
 * thousands as HISTOGRAM_TELLING says. */
bool histogram_tells(const struct histogram *histogram, double share);

double histogram_mean(const struct histogram *histogram); /* 0 of an empty one */

/* As a JSON object, `histogram` of bench/RESULTS.md: the percentiles that can be told, and every
 * bucket that is not empty. */
void histogram_print(const struct histogram *histogram, const char *name, const char *unit,
                     FILE *out);

#endif
