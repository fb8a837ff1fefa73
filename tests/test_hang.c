/* links: flow */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When something is said to hang: by looks, each with what it shows and how much time has passed.
 */
#include "flow.h"

#include "explore.h"
#include "hang.h"

#define MS INT64_C(1000000)
#define AFTER (800 * MS)
#define TICK (100 * MS)

static const struct hang_seen idle = {.busy = false, .since_ns = 5};
static const struct hang_seen busy = {.busy = true, .since_ns = 7};

/* Looks every tick until the verdict is not the one of before, at most `most` times; how many. */
static unsigned looks_until(struct hang *hang, const struct hang_seen *seen,
                            enum hang_verdict verdict, unsigned most)
{
    for (unsigned look = 1; look <= most; look++)
        if (hang_look(hang, seen, TICK, AFTER) == verdict)
            return look;
    return 0;
}

Test(hang, who_waits_never_hangs)
{
    struct hang hang = {0};
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(hang_look(&hang, &idle, TICK, AFTER), HANG_NOTHING);
}

Test(hang, what_lasts_is_told_and_told_again_when_it_has_lasted_twice_as_long)
{
    struct hang hang = {0};
    cr_expect_eq(looks_until(&hang, &busy, HANG_TELL, 100), 1 + 8); /* the first only sees it */
    cr_expect_eq(looks_until(&hang, &busy, HANG_TELL, 100), 8);
    cr_expect_eq(looks_until(&hang, &busy, HANG_TELL, 100), 16);
    cr_expect_eq(looks_until(&hang, &busy, HANG_TELL, 100), 32);
    cr_expect_eq(hang_look(&hang, &idle, TICK, AFTER), HANG_OVER);
    cr_expect_eq(hang_look(&hang, &idle, TICK, AFTER), HANG_NOTHING);
    cr_expect_eq(looks_until(&hang, &busy, HANG_TELL, 100), 1 + 8, "a new one begins anew");
}

/* H3 */
Test(hang, what_is_seen_first_has_not_stood_yet)
{
    struct hang hang = {0};
    const struct hang_seen next = {true, 9, 0};
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(hang_look(&hang, i % 2 ? &busy : &next, 5 * TICK, AFTER), HANG_NOTHING);
        cr_expect_eq(hang.stood_ns, 0);
    }
    cr_expect_eq(hang_look(&hang, &next, TICK, AFTER), HANG_NOTHING);
    cr_expect_eq(hang.stood_ns, TICK);
}

Test(hang, any_progress_is_enough)
{
    struct hang hang = {0};
    for (int64_t i = 0; i < 1000; i++) {
        struct hang_seen next = {true, 7 + i / 7, 0};
        struct hang_seen stroke = {true, 7, (uint64_t)i / 7};
        cr_assert_neq(hang_look(&hang, i < 500 ? &next : &stroke, TICK, AFTER), HANG_TELL);
    }
}

Test(hang, who_is_at_the_next_thing_is_back)
{
    struct hang hang = {0};
    const struct hang_seen next = {true, 9, 0};
    cr_assert_neq(looks_until(&hang, &busy, HANG_TELL, 100), 0);
    cr_expect_eq(hang_look(&hang, &next, TICK, AFTER), HANG_OVER);
    cr_expect_eq(looks_until(&hang, &next, HANG_TELL, 100), 8);
}

/* H2 */
Test(hang, a_gap_between_two_looks_counts_as_two_ticks)
{
    struct hang hang = {0};
    cr_expect_eq(hang_look(&hang, &busy, 0, AFTER), HANG_NOTHING);
    cr_expect_eq(hang_look(&hang, &busy, INT64_MAX / 2, AFTER), HANG_NOTHING);
    cr_expect_eq(hang.stood_ns, 2 * TICK);
}

Test(hang, a_twin_that_keeps_all_of_it_says_the_same)
{
    uint64_t seed = flow_seed();
    for (int trial = 0; trial < 200; trial++) {
        struct hang hang = {0};
        struct hang_seen before = {0}, now = {0};
        int64_t stood = 0, due = AFTER;
        bool told = false;
        for (int look = 0; look < 300; look++) {
            int64_t passed = (int64_t)(flow_draw(&seed) % 5) * TICK;
            if (flow_draw(&seed) % 25 == 0)
                now = (struct hang_seen){flow_draw(&seed) % 3 > 0, (int64_t)(flow_draw(&seed) % 3),
                                         flow_draw(&seed) % 3};
            bool same = before.busy && now.busy && before.since_ns == now.since_ns &&
                        before.strokes == now.strokes;
            stood = same ? stood + (passed < 2 * TICK ? passed : 2 * TICK) : 0;
            enum hang_verdict wanted = HANG_NOTHING;
            if (!same) {
                wanted = told ? HANG_OVER : HANG_NOTHING;
                told = false;
                due = AFTER;
            } else if (stood >= due) {
                wanted = HANG_TELL;
                told = true;
                due = 2 * stood;
            }
            cr_assert_eq(hang_look(&hang, &now, passed, AFTER), wanted, "trial %d, look %d", trial,
                         look);
            before = now;
        }
    }
}

Test(hang, a_task_is_busy_in_callbacks_and_between_two_of_them)
{
    struct task_pulse pulse = {.thread = 1};
    for (int doing = TASK_OPENING; doing <= TASK_GONE; doing++) {
        pulse_turn(&pulse, (enum task_doing)doing, 42);
        struct hang_seen seen = hang_see_task(&pulse);
        cr_expect_eq(seen.busy,
                     doing == TASK_OPENING || doing == TASK_CALLING || doing == TASK_CUTTING,
                     "doing %d", doing);
        cr_expect_eq(seen.since_ns, 42);
    }
    pulse.thread = 0; /* not started: it stands at TASK_OPENING, for that is zero */
    pulse_turn(&pulse, TASK_OPENING, 0);
    cr_expect_not(hang_see_task(&pulse).busy);
}

Test(hang, the_writer_is_busy_while_it_says_with_what)
{
    struct writer_pulse pulse = {.thread = 1};
    cr_expect_not(hang_see_writer(&pulse, 3).busy);
    pulse_write(&pulse, "syncing", 9, 42);
    cr_expect(hang_see_writer(&pulse, 3).busy);
    cr_expect_eq(hang_see_writer(&pulse, 3).since_ns, 42);
    cr_expect_eq(hang_see_writer(&pulse, 3).strokes, 3);
    pulse_write(&pulse, NULL, 0, 0);
    cr_expect_not(hang_see_writer(&pulse, 3).busy);
}
