/* SPDX-License-Identifier: Apache-2.0 */
/* links: main */
/*
 * What follows from failures, when restarts and suspects are put together; and that what was learnt
 * survives the process that learnt it, wherever in its writing it dies.
 */
#include "explore.h"
#include "judge.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct slate_memory memory;
static struct options options;

static void begin(bool letters, uint32_t poison_after, uint32_t max_restarts)
{
    memset(&options, 0, sizeof options);
    options.job.store = "S";
    options.job.dead_letters = letters ? "D" : NULL;
    options.max_restarts = max_restarts;
    options.restart_delay_ns = 1000;
    options.poison_after = poison_after;
    judge_begin(&memory, &options);
}

static struct verdict fail_at(uint64_t position, uint64_t commits)
{
    struct weir_failure where = {WEIR_SIZED(struct weir_failure),
                                 .node = "parse",
                                 .doing = "process",
                                 .position = position,
                                 .count = 1,
                                 .fingerprint = position * 7};
    return judge(&memory, &(struct failed){.where = position > 0 ? &where : NULL,
                                           .cause = "why",
                                           .now_ns = 99,
                                           .commits = commits});
}

Test(judge, poison_is_left_out_and_its_failures_are_forgiven)
{
    begin(true, 3, 3);
    cr_assert(fail_at(5, 0).again && fail_at(5, 0).again);
    struct verdict third = fail_at(5, 0);
    cr_assert(third.named && third.left_out && third.again);
    cr_assert_eq(third.consecutive, 1);
    cr_assert_eq(third.poison.position, 5);
    cr_assert_str_eq(third.poison.node, "parse");
    cr_assert_eq(third.record.position, 5);
    cr_assert(fail_at(9, 0).again && fail_at(9, 0).again, "the next one has its chances");
}

Test(judge, poison_that_may_not_be_left_out_ends_the_job)
{
    begin(false, 3, 3);
    for (uint32_t i = 1; i <= 4; i++) {
        struct verdict verdict = fail_at(5, i * 10); /* checkpoints before it do not help */
        cr_assert_eq(verdict.named, i == 3);
        cr_assert(!verdict.left_out);
        cr_assert_eq(verdict.again, i <= 3, "failure %u", i);
    }
}

/* An operator that fails at everything - its server is down - must not turn all input into dead
 * letters. */
Test(judge, operator_that_always_fails_does_not_empty_the_stream)
{
    uint32_t letters = 0, failures = 0;
    struct verdict verdict;

    begin(true, 3, 4);
    do {
        verdict = fail_at(1 + letters, 0);
        letters += verdict.left_out;
        failures++;
    } while (verdict.again && failures < 1000);
    cr_assert_eq(letters, 5, "%u", letters);
    cr_assert_eq(failures, 15, "%u", failures);
}

Test(judge, job_without_a_store_is_not_started_again)
{
    begin(true, 3, 3);
    options.job.store = NULL;
    judge_begin(&memory, &options);
    cr_assert(!fail_at(0, 0).again);
}

Test(judge, hopeless_failure_is_counted_and_final)
{
    begin(true, 3, 3);
    struct verdict verdict =
        judge(&memory, &(struct failed){.cause = "why", .now_ns = 5, .hopeless = true});
    cr_assert(!verdict.again && verdict.delay_ns < 0);
    cr_assert_eq(verdict.consecutive, 1);
    cr_assert_eq(memory.restarts, 0);
    cr_assert_eq(memory.failed_ns, 5);
}

/* --- the slate ------------------------------------------------------------------------------ */

static struct slate *slate;
static struct slate_memory recalled;

static void numbered(uint32_t number)
{
    memset(&memory, 0, sizeof memory);
    memory.restarts = number;
}

static uint32_t recall(void)
{
    numbered(UINT32_MAX);
    recalled = memory;
    slate_recall(slate, &recalled);
    return recalled.restarts;
}

Test(slate, what_is_kept_is_recalled)
{
    slate = slate_new();
    cr_assert_eq(recall(), UINT32_MAX, "an empty slate says nothing");
    for (uint32_t i = 1; i < 5; i++) {
        numbered(i);
        slate_keep(slate, &memory);
        cr_assert_eq(recall(), i);
    }
    slate_wipe(slate);
    cr_assert_eq(recall(), 4);
    slate_free(&slate);
    cr_assert_null(slate);
}

/* A child that dies while it keeps something has written any part of the place that does not count
 * yet. */
Test(slate, death_in_the_middle_of_keeping_loses_nothing_older)
{
    slate = slate_new();
    numbered(1);
    slate_keep(slate, &memory);
    struct slate_place *next = &slate->places[(atomic_load(&slate->turn) + 1) & 1];
    for (size_t written = 0; written < sizeof *next; written += 97) {
        memset(next, 0xa5, written);
        cr_assert_eq(recall(), 1, "%zu bytes were written", written);
    }
    slate_free(&slate);
}

Test(slate, wild_writes_are_not_believed)
{
    slate = slate_new();
    numbered(1);
    slate_keep(slate, &memory);
    numbered(2);
    slate_keep(slate, &memory);
    unsigned char *counts = (unsigned char *)&slate->places[atomic_load(&slate->turn) & 1];
    for (size_t at = 0; at < sizeof(struct slate_place); at += 1 + at / 50) {
        counts[at] ^= 0x10;
        cr_assert_eq(recall(), 1, "byte %zu is wrong, and the one before it is right", at);
        counts[at] ^= 0x10;
    }
    cr_assert_eq(recall(), 2);
    memset(slate->places, 0xff, sizeof slate->places);
    cr_assert_eq(recall(), UINT32_MAX, "nothing can be believed");
    slate_free(&slate);
}

Test(slate, table_of_suspects_is_never_longer_than_it_is)
{
    slate = slate_new();
    memset(&memory, 0, sizeof memory);
    memory.suspects.used = SUSPECTS_MOST + 1;
    slate_keep(slate, &memory);
    cr_assert_eq(recall(), UINT32_MAX);
    slate_free(&slate);
}
