/* SPDX-License-Identifier: Apache-2.0
 *
 * spread: what several rounds of one figure say together, and what pairs of them say.
 *
 * The speed of a shared machine changes by the minute, so two things are compared in turns beside
 * each other, A B A B ..., and what is judged is the ratio of each pair: the median of those, and
 * how far they lie apart. A median outside of the other's spread is a difference; any less is none
 * that could be seen.
 *
 * Pure; nothing is allocated, nothing fails. Values have any one unit.
 */
#ifndef SPREAD_H
#define SPREAD_H

#include <stdbool.h>

#define SPREAD_MOST 64 /* rounds */

struct spread {
    double median, least, most;
};

/* Of `count` values, 1 .. SPREAD_MOST; of an even number of them the median is the middle of the
 * two. */
struct spread spread_of(const double *values, int count);

/* Turns beside each other: ratio[i] is of round i. */
struct paired {
    int rounds;
    double ratio[SPREAD_MOST];
};

/* One more round; false: there is no room, or `against` is not positive, and nothing is changed. */
bool paired_add(struct paired *paired, double value, double against);
struct spread paired_spread(const struct paired *paired); /* of at least one round */

/* The least and the most lie on different sides of 1, or on it: no difference was seen. */
bool paired_sees_none(const struct paired *paired);

#endif
