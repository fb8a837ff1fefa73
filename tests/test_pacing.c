/* SPDX-License-Identifier: Apache-2.0 */
/* links: measure */
/*
 * The open loop: what is due, beside its definition, and that lateness is never forgotten.
 */
#include <criterion/criterion.h>
#include <inttypes.h>

#include "explore.h"
#include "pacing.h"

#define SECOND INT64_C(1000000000)

static const uint64_t rates[] = {1, 3, 7, 1000, 999983, 1000000, 33333333, 1000000000, UINT32_MAX};
#define RATES (sizeof rates / sizeof *rates)

/* Thing n is due from its intended time on, and not a nanosecond before. */
static void due_from_its_time_on(const struct pacing *pacing, uint64_t number)
{
    int64_t intended = pacing_intended(pacing, number);
    uint64_t by_then = pacing_due(pacing, intended, UINT64_MAX);
    uint64_t before = pacing_due(pacing, intended - 1, UINT64_MAX);
    cr_assert_gt(by_then, number, "rate %" PRIu64 ": %" PRIu64 " is late", pacing->per_second,
                 number);
    cr_assert_leq(before, number, "rate %" PRIu64 ": %" PRIu64 " is early", pacing->per_second,
                  number);
}

Test(pacing, each_thing_is_due_from_its_intended_time_on_and_not_before)
{
    for (size_t r = 0; r < RATES; r++) {
        struct pacing pacing = {.start_ns = 5 * SECOND, .per_second = rates[r]};
        uint64_t random = 1;
        for (uint64_t number = 0; number < 2000; number++)
            due_from_its_time_on(&pacing, number);
        for (int i = 0; i < 20000; i++) { /* within a year of it */
            random = explore_mix(random + 1);
            due_from_its_time_on(&pacing, random % (rates[r] * 31536000));
        }
    }
}

Test(pacing, a_second_holds_exactly_the_rate)
{
    for (size_t r = 0; r < RATES; r++) {
        struct pacing pacing = {.start_ns = -3, .per_second = rates[r]};
        for (uint64_t second = 1; second < 100; second++)
            cr_assert_eq(pacing_intended(&pacing, second * rates[r]),
                         -3 + (int64_t)second * SECOND);
    }
}

Test(pacing, nothing_is_due_before_the_start_and_the_first_thing_at_it)
{
    struct pacing pacing = {.start_ns = 100, .per_second = 1000};
    cr_assert_eq(pacing_due(&pacing, 99, 10), 0);
    cr_assert_eq(pacing_due(&pacing, INT64_MIN, 10), 0);
    cr_assert_eq(pacing_due(&pacing, 100, 10), 1);
}

/* Coordinated omission: who was stopped for a second has a second's things to do, and each of them
 * is as late as it is. */
Test(pacing, who_stood_still_has_everything_left_to_do_from_its_own_time_on)
{
    struct pacing pacing = {.start_ns = 0, .per_second = 1000, .taken = 500};
    int64_t now = SECOND + SECOND / 2 - 1;
    uint64_t taken = 0, due;
    while ((due = pacing_due(&pacing, now, 64)) > 0) {
        cr_assert_leq(due, 64);
        cr_assert_eq(pacing_intended(&pacing, pacing.taken), (int64_t)(500 + taken) * 1000000);
        pacing.taken += due;
        taken += due;
    }
    cr_assert_eq(taken, 1000);
}

Test(pacing, what_was_taken_ahead_is_not_due_again)
{
    struct pacing pacing = {.start_ns = 0, .per_second = 1000, .taken = 5000};
    cr_assert_eq(pacing_due(&pacing, SECOND, 10), 0);
    cr_assert_eq(pacing_due(&pacing, 5 * SECOND, 10), 1);
}
