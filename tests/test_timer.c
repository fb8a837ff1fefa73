/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers against a plain list: order, the same triple twice, save and load.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "timer.h"

static uint64_t draw(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

Test(timer, fires_by_time_then_tag_each_triple_once)
{
    struct timers timers = {0};
    bool set[50][50] = {{false}};
    uint64_t seed = 3;
    unsigned expected = 0, fired = 0;
    for (int i = 0; i < 2000; i++) {
        uint64_t time = draw(&seed) % 50, tag = draw(&seed) % 50;
        cr_assert(
            timers_set(&timers, NULL, WEIR_TIMER_EVENT, (struct timer){(int64_t)time - 25, tag}));
        expected += !set[time][tag];
        set[time][tag] = true;
    }
    struct timer timer, last = {INT64_MIN, 0};
    for (int64_t now = -30; now < 30; now++) {
        while (timers_due(&timers, WEIR_TIMER_EVENT, now, &timer)) {
            cr_assert_leq(timer.time, now);
            cr_assert(timer.time > last.time || (timer.time == last.time && timer.tag > last.tag));
            cr_assert(set[timer.time + 25][timer.tag]);
            last = timer;
            fired++;
        }
        cr_assert_gt(timers_next(&timers, WEIR_TIMER_EVENT), now);
    }
    cr_expect_eq(fired, expected);
    cr_expect_eq(timers_next(&timers, WEIR_TIMER_EVENT), INT64_MAX);
    timers_free(&timers, NULL);
}

Test(timer, the_two_kinds_do_not_meet)
{
    struct timers timers = {0};
    struct timer timer;
    timers_set(&timers, NULL, WEIR_TIMER_CLOCK, (struct timer){1, 1});
    cr_expect_not(timers_due(&timers, WEIR_TIMER_EVENT, INT64_MAX, &timer));
    cr_expect(timers_due(&timers, WEIR_TIMER_CLOCK, 1, &timer));
    cr_expect_not(timers_due(&timers, WEIR_TIMER_CLOCK, INT64_MAX, &timer));
    timers_free(&timers, NULL);
}

static unsigned char *grow(void *context, unsigned char *data, size_t size, size_t capacity)
{
    (void)context;
    (void)size;
    return realloc(data, capacity * 2);
}

Test(timer, saved_and_loaded_they_are_the_same)
{
    struct timers timers = {0}, copy = {0};
    uint64_t seed = 9;
    for (int i = 0; i < 500; i++)
        timers_set(&timers, NULL, i % 2 ? WEIR_TIMER_EVENT : WEIR_TIMER_CLOCK,
                   (struct timer){(int64_t)draw(&seed) - INT32_MAX, draw(&seed)});
    struct snapshot_writer writer = {.grow = grow, .data = malloc(64), .capacity = 64};
    timers_save(&timers, &writer);
    cr_assert_not(writer.failed);
    struct snapshot_reader reader = {writer.data, writer.size, false};
    struct snapshot_section section;
    while (snapshot_next(&reader, &section))
        cr_assert(timers_load(&copy, NULL, &section));
    for (int kind = 0; kind < 2; kind++) {
        struct timer a, b;
        while (timers_due(&timers, (enum weir_timer)kind, INT64_MAX, &a)) {
            cr_assert(timers_due(&copy, (enum weir_timer)kind, INT64_MAX, &b));
            cr_assert(a.time == b.time && a.tag == b.tag);
        }
        cr_assert_not(timers_due(&copy, (enum weir_timer)kind, INT64_MAX, &b));
    }
    free(writer.data);
    timers_free(&timers, NULL);
    timers_free(&copy, NULL);
}
