/* SPDX-License-Identifier: Apache-2.0 */
/* links: main */
/*
 * Whether a failed job is started again: every history of up to seven events, beside a twin that
 * derives the verdict from the history alone.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "exercised.h"
#include "restart.h"

enum { MS = 1000000 };
static const int64_t SECOND = (int64_t)1000 * MS;

static const struct weir_error no_error = {0};

/* --- the delay ---------------------------------------------------------------------------- */

Test(restart, delays_double_up_to_half_a_minute)
{
    struct restart restart;
    const int64_t expected_ms[] = {100,  200,   400,   800,   1600, 3200,
                                   6400, 12800, 25600, 30000, 30000};

    restart_init(&restart, UINT32_MAX, 100 * MS);
    for (size_t i = 0; i < sizeof expected_ms / sizeof expected_ms[0]; i++) {
        struct restart_verdict verdict = restart_failed(&restart, 0);
        cr_expect(verdict.again);
        cr_expect_eq(verdict.delay_ns, expected_ms[i] * MS, "failure %zu: %lld ns", i + 1,
                     (long long)verdict.delay_ns);
        cr_expect_eq(verdict.consecutive, i + 1);
    }
}

Test(restart, longer_first_delay_stays_what_it_is)
{
    struct restart restart;

    restart_init(&restart, 5, 90 * SECOND);
    for (int i = 0; i < 5; i++)
        cr_expect_eq(restart_failed(&restart, 0).delay_ns, 90 * SECOND);
}

Test(restart, extreme_delays_and_counts_do_not_overflow)
{
    struct restart restart;

    restart_init(&restart, UINT32_MAX, INT64_MAX);
    cr_expect_eq(restart_failed(&restart, UINT32_MAX).delay_ns, INT64_MAX);
    restart_init(&restart, UINT32_MAX, 0);
    cr_expect_eq(restart_failed(&restart, 40).delay_ns, 0);
    restart_init(&restart, UINT32_MAX, 1);
    restart.consecutive = UINT32_MAX;
    cr_expect_eq(restart_failed(&restart, 0).consecutive, UINT32_MAX);
    cr_expect_eq(restart_failed(&restart, 0).delay_ns, RESTART_DELAY_MOST_NS);
}

/* --- every history ------------------------------------------------------------------------ */

enum event {
    FAILED,       /* at no record, or another one */
    FAILED_AGAIN, /* at the record that failed the last time this happened */
    LEFT_OUT,     /* failed, and its record is left out from now on */
    COMMITTED,
    EVENTS,
};

/* From the history alone, in the words of restart.h. */
static struct restart_verdict derive(const enum event *history, size_t size, uint32_t allowed,
                                     int64_t delay_ns)
{
    size_t since = size; /* the first event after the newest commit */
    uint32_t consecutive = 0, left_out = 0, same = 0;

    while (since > 0 && history[since - 1] != COMMITTED)
        since--;
    for (size_t i = since; i < size; i++)
        left_out += history[i] == LEFT_OUT;
    for (size_t i = size; i > since; i--) {
        consecutive++;
        if (history[i - 1] == LEFT_OUT)
            break; /* what came before it is forgiven */
    }
    if (history[size - 1] == FAILED_AGAIN)
        for (size_t i = 0; i < size; i++)
            same += history[i] == FAILED_AGAIN; /* commits do not matter to it */
    uint32_t count = consecutive > same ? consecutive : same;
    bool again = count <= allowed && left_out <= allowed;
    double delay = (double)delay_ns;
    for (uint32_t i = 1; i < count; i++)
        delay *= 2;
    if (delay > 30e9)
        delay = 30e9;
    return (struct restart_verdict){again, again ? (int64_t)delay : -1, count};
}

static void expect_same(struct restart_verdict is, struct restart_verdict due, size_t code,
                        size_t size, uint32_t allowed)
{
    cr_assert(is.again == due.again && is.delay_ns == due.delay_ns &&
                  is.consecutive == due.consecutive,
              "history %zu of %zu, allowed %u: %d %lld %u, due is %d %lld %u", code, size, allowed,
              is.again, (long long)is.delay_ns, is.consecutive, due.again, (long long)due.delay_ns,
              due.consecutive);
}

/* The history whose digits to the base EVENTS are `code`. */
static void walk(size_t code, size_t size, uint32_t allowed)
{
    enum event history[8];
    struct restart restart;
    uint64_t commits = 0;
    uint32_t again = 0;
    size_t digits = code;

    restart_init(&restart, allowed, 7 * SECOND);
    for (size_t i = 0; i < size; i++, digits /= EVENTS) {
        history[i] = (enum event)(digits % EVENTS);
        commits += history[i] == COMMITTED;
        restart_committed(&restart, commits);
        if (history[i] == COMMITTED)
            continue;
        if (history[i] == LEFT_OUT)
            restart_left_out(&restart);
        again += history[i] == FAILED_AGAIN;
        struct restart_verdict verdict =
            restart_failed(&restart, history[i] == FAILED_AGAIN ? again : 0);
        if (i == size - 1) /* shorter histories had their turn */
            expect_same(verdict, derive(history, size, allowed, 7 * SECOND), code, size, allowed);
    }
}

Test(restart, every_history_ends_as_the_rules_say)
{
    uint64_t histories = 0;
    for (uint32_t allowed = 0; allowed <= 4; allowed++)
        for (size_t size = 1, codes = EVENTS; size <= 7; size++, codes *= EVENTS)
            for (size_t code = 0; code < codes; code++, histories++)
                walk(code, size, allowed);
    exercised(histories);
}

Test(restart, several_checkpoints_told_at_once_are_news_once)
{
    struct restart restart;

    restart_init(&restart, 1, SECOND);
    restart_failed(&restart, 0);
    restart_committed(&restart, 12);
    cr_expect(restart_failed(&restart, 0).again);
    restart_committed(&restart, 12);
    cr_expect(!restart_failed(&restart, 0).again, "no checkpoint was committed in between");
}

/* --- errors ------------------------------------------------------------------------------- */

static bool helps(enum weir_result code, const char *node, bool starting, bool first)
{
    struct weir_error error = no_error;

    error.code = code;
    snprintf(error.node, sizeof error.node, "%s", node);
    return restart_may_help(&error, starting, first);
}

Test(restart, first_start_that_is_refused_is_final)
{
    for (int code = WEIR_INVALID; code <= WEIR_PROTOCOL; code++)
        cr_expect(!helps((enum weir_result)code, "node", true, true), "%s",
                  weir_result_name((enum weir_result)code));
}

Test(restart, what_waits_for_a_person_is_final)
{
    const enum weir_result codes[] = {WEIR_LOCKED,      WEIR_DAMAGED, WEIR_MISMATCH,
                                      WEIR_UNSUPPORTED, WEIR_REFUSED, WEIR_STOPPED};

    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        cr_expect(!helps(codes[i], "node", false, false), "%s", weir_result_name(codes[i]));
        cr_expect(!helps(codes[i], "", true, false), "%s", weir_result_name(codes[i]));
    }
}

Test(restart, what_may_pass_is_tried_again)
{
    const enum weir_result codes[] = {WEIR_NO_MEMORY, WEIR_IO,      WEIR_NOT_FOUND, WEIR_TOO_LARGE,
                                      WEIR_FAILED,    WEIR_TIMEOUT, WEIR_UNKNOWN,   WEIR_PROTOCOL};

    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        cr_expect(helps(codes[i], "", false, true), "%s", weir_result_name(codes[i]));
        cr_expect(helps(codes[i], "node", true, false), "%s", weir_result_name(codes[i]));
    }
}

Test(restart, wrong_command_line_does_not_get_right_by_waiting)
{
    cr_expect(!helps(WEIR_INVALID, "", true, false));
    cr_expect(helps(WEIR_INVALID, "parse", true, false), "an operator says so of its input");
    cr_expect(helps(WEIR_INVALID, "parse", false, false));
}
