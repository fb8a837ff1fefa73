/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a cycle has come to rest: only by a cut that shows it, once, looked for ever more seldom.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "explore.h"
#include "loops.h"

#define MS ((int64_t)1000000)

/* Tasks 0; 1 2 3 (loop 1); 4 5 (loop 1); 6; 7 (loop 2); 8 (loop 3, of its own). */
static struct plan_chain chains[] = {
    {.parallelism = 1, .first_task = 0},
    {.parallelism = 3, .first_task = 1, .loop = 1},
    {.parallelism = 2, .first_task = 4, .loop = 1},
    {.parallelism = 1, .first_task = 6},
    {.parallelism = 1, .first_task = 7, .loop = 2},
    {.parallelism = 1, .first_task = 8, .loop = 3},
};
#define TASKS 9u
#define LOOPS 3u
static const struct plan plan = {
    .chains = chains, .chain_count = 6, .task_count = TASKS, .loop_count = LOOPS};
static const uint32_t loop_of[TASKS] = {0, 1, 1, 1, 1, 1, 0, 2, 3};

static struct loops loops;
static struct loop storage[LOOPS + 1];
static struct cut_report reports[TASKS];

static void begin(void)
{
    memset(storage, 0, sizeof storage);
    memset(reports, 0, sizeof reports);
    loops_init(&loops, &plan, storage, MS);
}
TestSuite(loops, .init = begin);

static void looping(uint32_t first, uint32_t end, int64_t now_ns)
{
    for (uint32_t task = first; task < end; task++)
        loops_looping(&loops, task, now_ns);
}

static void rests(uint32_t first, uint32_t end)
{
    for (uint32_t task = first; task < end; task++)
        reports[task].at_rest = true;
}

Test(loops, each_task_is_in_the_loop_of_its_chain)
{
    for (uint32_t task = 0; task < TASKS; task++)
        cr_expect_eq(loops_of(&loops, task), loop_of[task]);
    cr_expect_eq(loops_of(&loops, TASKS), 0);
    cr_expect_eq(storage[1].task_count, 5);
    cr_expect_eq(storage[2].task_count, 1);
}

Test(loops, nobody_looks_before_all_tasks_of_the_loop_have_said_so)
{
    rests(0, TASKS);
    looping(0, 1, 5); /* one that is in none */
    looping(6, 7, 5);
    cr_expect_eq(loops_due_ns(&loops), INT64_MAX);
    for (uint32_t task = 1; task < 6; task++) {
        cr_expect_eq(loops_due_ns(&loops), INT64_MAX, "task %u has not", task);
        cr_expect_eq(loops_rested(&loops, reports, 5), 0);
        looping(task, task + 1, 10 * task);
    }
    cr_expect_eq(loops_due_ns(&loops), 50, "at once");
}

Test(loops, rest_is_told_once)
{
    looping(1, 6, 7);
    loops_asked(&loops);
    rests(0, TASKS);
    cr_expect_eq(loops_rested(&loops, reports, 8), 1);
    for (int i = 0; i < 3; i++)
        cr_expect_eq(loops_rested(&loops, reports, 9), 0);
    cr_expect_eq(loops_due_ns(&loops), INT64_MAX, "nobody looks any more");
    cr_expect_eq(loops_due_ns(&loops), INT64_MAX);
    cr_expect_eq(loops_rested(&loops, reports, 11), 0);
}

/* One task that would stir, or one byte on its channels, anywhere in the loop: no rest. */
Test(loops, any_task_or_byte_of_the_loop_keeps_it_from_rest_and_no_other)
{
    looping(1, 6, 1);
    for (uint32_t task = 0; task < TASKS; task++)
        for (int byte = 0; byte < 2; byte++) {
            loops_asked(&loops);
            memset(reports, 0, sizeof reports);
            rests(1, 6);
            reports[task].at_rest = byte && loop_of[task] == 1;
            reports[task].loop_bytes = byte ? 1 : 0;
            if (loop_of[task] == 1)
                cr_expect_eq(loops_rested(&loops, reports, 2), 0, "task %u, %d", task, byte);
        }
    memset(reports, 0, sizeof reports);
    rests(1, 6);
    reports[0].loop_bytes = reports[6].loop_bytes = reports[7].loop_bytes = 99;
    cr_expect_eq(loops_rested(&loops, reports, 3), 1);
}

static void pauses_are_doubled_up_to(int64_t most, int64_t interval)
{
    int64_t now = 100 * MS, pause = MS;
    begin();
    loops_init(&loops, &plan, storage, interval);
    looping(7, 8, now);
    cr_expect_eq(loops_due_ns(&loops), now);
    for (int i = 0; i < 20; i++) {
        loops_asked(&loops);
        cr_expect_eq(loops_due_ns(&loops), INT64_MAX, "a round is under way");
        now += 7 * MS; /* so long it took */
        cr_expect_eq(loops_rested(&loops, i % 3 ? reports : NULL, now), 0);
        cr_expect_eq(loops_due_ns(&loops), now + pause, "pause %d", i);
        pause = pause < most / 2 ? 2 * pause : most;
        now = loops_due_ns(&loops);
    }
    cr_expect_eq(pause, most);
}

/* A cycle that never comes to rest shall not cost more checkpoints than were asked for, but the end
 * of one that does is not to wait for long. */
Test(loops, pauses_are_doubled_up_to_the_interval_and_run_from_the_rounds_end)
{
    pauses_are_doubled_up_to(200 * MS, MS);
    pauses_are_doubled_up_to(200 * MS, 200 * MS);
    pauses_are_doubled_up_to(3000 * MS, 3000 * MS);
    pauses_are_doubled_up_to(10000 * MS, 60000 * MS);
    pauses_are_doubled_up_to(10000 * MS, 0);
    pauses_are_doubled_up_to(10000 * MS, -1);
}

/* Rounds of the interval come besides: they may show rest, and do not lengthen the pause. */
Test(loops, rounds_nobody_asked_for_show_rest_and_change_no_pause)
{
    looping(7, 8, 0);
    loops_asked(&loops);
    loops_rested(&loops, reports, 10 * MS);
    cr_expect_eq(loops_due_ns(&loops), 11 * MS);
    for (int i = 0; i < 5; i++)
        loops_rested(&loops, i % 2 ? reports : NULL, 10 * MS + i);
    cr_expect_eq(loops_due_ns(&loops), 11 * MS);
    loops_asked(&loops);
    loops_rested(&loops, NULL, 20 * MS);
    cr_expect_eq(loops_due_ns(&loops), 22 * MS);
    rests(7, 8);
    cr_expect_eq(loops_rested(&loops, reports, 21 * MS), 2);
    cr_expect_eq(loops_due_ns(&loops), INT64_MAX);
}

/* A round that came to nothing shows nothing: it is asked for again. */
Test(loops, an_aborted_round_is_asked_for_again)
{
    looping(1, 6, 0);
    loops_asked(&loops);
    rests(0, TASKS);
    cr_expect_eq(loops_rested(&loops, NULL, MS), 0);
    cr_expect_eq(loops_due_ns(&loops), 2 * MS);
    loops_asked(&loops);
    cr_expect_eq(loops_rested(&loops, reports, 3 * MS), 1);
}

Test(loops, several_loops_come_to_rest_by_one_round_each_by_itself)
{
    looping(1, 6, 0);
    looping(8, 9, 4);
    cr_expect_eq(loops_due_ns(&loops), 0, "the first that is due");
    loops_asked(&loops);
    rests(0, TASKS);
    cr_expect_eq(loops_rested(&loops, reports, 5), 1);
    cr_expect_eq(loops_rested(&loops, reports, 5), 3);
    cr_expect_eq(loops_rested(&loops, reports, 5), 0, "the second is not looked at yet");
    looping(7, 8, 6);
    cr_expect_eq(loops_due_ns(&loops), 6);
    loops_asked(&loops);
    cr_expect_eq(loops_rested(&loops, reports, 7), 2);
    cr_expect_eq(loops_rested(&loops, reports, 7), 0);
}

/* A round that was cut before the loop was looked at says by its reports that it shows nothing;
 * the one that was asked for comes all the same. */
Test(loops, a_loop_that_begins_to_be_looked_at_during_a_round_gets_one_of_its_own)
{
    looping(1, 5, 0);
    rests(1, 5); /* the cut of a round that is under way */
    looping(5, 6, 10);
    cr_expect_eq(loops_rested(&loops, reports, 20), 0);
    cr_expect_eq(loops_due_ns(&loops), 10, "it is due still");
}

/* ------------------------------------------------------------------------------ at random -- */

struct twin {
    bool said[TASKS], told[LOOPS + 1];
};

static bool all_said(const struct twin *twin, uint32_t loop)
{
    for (uint32_t task = 0; task < TASKS; task++)
        if (loop_of[task] == loop && !twin->said[task])
            return false;
    return true;
}

static bool shows(uint32_t loop)
{
    for (uint32_t task = 0; task < TASKS; task++)
        if (loop_of[task] == loop && (!reports[task].at_rest || reports[task].loop_bytes))
            return false;
    return true;
}

/* Told exactly when all have said so and a round shows it; until then a round is due or under
 * way, so that an empty cycle does end. */
Test(loops, whatever_comes_rest_is_told_when_a_round_shows_it_and_a_round_always_comes)
{
    uint64_t dice = explore_seed();
    fprintf(stderr, "WEIR_TEST_SEED=%llu\n", (unsigned long long)dice);
    for (int life = 0; life < 2000; life++) {
        struct twin twin = {0};
        int64_t now = 0;
        bool asked = false;
        begin();
        for (int i = 0; i < 60; i++) {
            now += explore_below(&dice, 3 * (uint32_t)MS);
            uint32_t task = explore_below(&dice, TASKS), event = explore_below(&dice, 3);
            reports[task].at_rest = explore_below(&dice, 4) > 0;
            reports[task].loop_bytes = explore_below(&dice, 4) == 0;
            if (event == 0 && !twin.said[task]) {
                loops_looping(&loops, task, now);
                twin.said[task] = true;
            } else if (event == 1 && loops_due_ns(&loops) <= now) {
                loops_asked(&loops);
                asked = true;
            } else if (event == 2) {
                bool aborted = explore_below(&dice, 3) == 0;
                for (uint32_t loop = 1; loop <= LOOPS; loop++)
                    if (!aborted && !twin.told[loop] && all_said(&twin, loop) && shows(loop)) {
                        cr_assert_eq(loops_rested(&loops, reports, now), loop);
                        twin.told[loop] = true;
                    }
                cr_assert_eq(loops_rested(&loops, aborted ? NULL : reports, now), 0);
                asked = false;
            }
            bool awaited = false;
            for (uint32_t loop = 1; loop <= LOOPS; loop++)
                awaited |= all_said(&twin, loop) && !twin.told[loop];
            if (!asked)
                cr_assert_eq(awaited, loops_due_ns(&loops) != INT64_MAX);
        }
    }
}
