/* SPDX-License-Identifier: Apache-2.0 */
/* links: measure */
/*
 * Medians of rounds, and of pairs of them.
 */
#include <criterion/criterion.h>
#include <math.h>

#include "explore.h"
#include "spread.h"

static bool stands_in_the_middle(const double *values, int count, double median)
{
    int below = 0, above = 0;
    for (int i = 0; i < count; i++) {
        below += values[i] < median;
        above += values[i] > median;
    }
    return below <= count / 2 && above <= count / 2;
}

Test(spread, the_median_stands_in_the_middle_and_the_values_stay_where_they_are)
{
    double values[SPREAD_MOST], before[SPREAD_MOST];
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        int count = 1 + (int)(seed % SPREAD_MOST);
        for (int i = 0; i < count; i++)
            before[i] = values[i] = (double)(explore_mix(seed * 64 + (uint64_t)i) % 50);
        struct spread spread = spread_of(values, count);
        cr_assert(stands_in_the_middle(values, count, spread.median), "seed %d", (int)seed);
        for (int i = 0; i < count; i++) {
            cr_assert_eq(values[i], before[i]);
            cr_assert(spread.least <= values[i] && values[i] <= spread.most);
        }
    }
}

Test(spread, of_an_even_number_the_median_lies_between_the_two)
{
    cr_assert_eq(spread_of((double[]){4, 1, 3, 2}, 4).median, 2.5);
    cr_assert_eq(spread_of((double[]){4, 1, 3}, 3).median, 3);
    cr_assert_eq(spread_of((double[]){-1}, 1).most, -1);
}

/* The machine gets ten times slower round by round: the ratios do not. */
Test(spread, pairs_do_not_see_what_hits_both)
{
    struct paired paired = {0};
    double speed = 1000;
    for (int i = 0; i < 5; i++, speed /= 10)
        cr_assert(paired_add(&paired, 0.8 * speed, speed));
    struct spread spread = paired_spread(&paired);
    cr_assert_float_eq(spread.least, 0.8, 1e-12);
    cr_assert_float_eq(spread.most, 0.8, 1e-12);
    cr_assert_not(paired_sees_none(&paired));
}

Test(spread, pairs_on_both_sides_of_one_are_no_difference)
{
    struct paired paired = {0};
    paired_add(&paired, 9, 10);
    paired_add(&paired, 8, 10);
    cr_assert_not(paired_sees_none(&paired));
    paired_add(&paired, 11, 10);
    cr_assert(paired_sees_none(&paired));
}

Test(spread, what_can_not_be_a_ratio_is_refused)
{
    struct paired paired = {0};
    cr_assert_not(paired_add(&paired, 1, 0));
    cr_assert_not(paired_add(&paired, 1, -1));
    cr_assert_not(paired_add(&paired, 1, (double)NAN));
    for (int i = 0; i < SPREAD_MOST; i++)
        cr_assert(paired_add(&paired, 1, 2));
    cr_assert_not(paired_add(&paired, 1, 2));
    cr_assert_eq(paired.rounds, SPREAD_MOST);
}
