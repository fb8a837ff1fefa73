/* SPDX-License-Identifier: Apache-2.0 */
/* links: main */
/*
 * Which records are poison. Every history of up to five failures and checkpoints of a small world,
 * judged by properties that are derived from the history alone; and jobs with a poisoned record,
 * told of its failures as a job would.
 */
#include "exercised.h"
#include "explore.h"
#include "suspects.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* --- the small world ---------------------------------------------------------------------- */

/* What may happen: a failure of the range [position, position + count), or, with count 0, a
 * checkpoint. The ranges lie so that they meet, overlap, and miss each other. */
struct happening {
    uint64_t position, count, fingerprint;
};
static const struct happening world[] = {
    {0, 0, 0}, {1, 1, 'a'}, {1, 1, 'b'}, {2, 1, 'a'}, {3, 1, 'b'}, {1, 2, 0}, {2, 2, 0}, {4, 3, 0},
};
enum { HAPPENINGS = sizeof world / sizeof world[0], LONGEST = 5 };

struct history {
    struct happening list[LONGEST];
    uint64_t commits[LONGEST]; /* before it */
    size_t size;
};

static struct weir_failure failure_of(const struct happening *happening)
{
    struct weir_failure failure = {WEIR_SIZED(struct weir_failure),
                                   .node = "parse",
                                   .subtask = 1,
                                   .doing = "process",
                                   .position = happening->position,
                                   .count = happening->count,
                                   .fingerprint = happening->fingerprint};
    return failure;
}

/* How many failures of the history may have been of the record at `position`: an upper bound that
 * looks at the history alone. */
static uint32_t may_be_of(const struct history *history, uint64_t position, uint64_t fingerprint)
{
    uint32_t count = 0;

    for (size_t i = 0; i < history->size; i++) {
        const struct happening *one = &history->list[i];
        bool exact = one->count == 1 && one->fingerprint == fingerprint;
        bool wide =
            one->count > 1 && position >= one->position && position - one->position < one->count;
        count += exact || wide;
    }
    return count;
}

static uint32_t exactly_of(const struct history *history, uint64_t position, uint64_t fingerprint)
{
    uint32_t count = 0;

    for (size_t i = 0; i < history->size; i++)
        count += history->list[i].count == 1 && history->list[i].position == position &&
                 history->list[i].fingerprint == fingerprint;
    return count;
}

/* The fingerprint failed at two positions with no checkpoint in between. */
static bool wandered(const struct history *history, uint64_t fingerprint)
{
    for (size_t i = 0; i < history->size; i++)
        for (size_t j = 0; j < i; j++) {
            const struct happening *one = &history->list[i], *other = &history->list[j];
            if (one->count == 1 && other->count == 1 && one->fingerprint == fingerprint &&
                other->fingerprint == fingerprint && one->position != other->position &&
                history->commits[i] == history->commits[j])
                return true;
        }
    return false;
}

static bool is_poison(const struct suspects *suspects, uint64_t position, uint64_t fingerprint)
{
    struct weir_poison poison[SUSPECTS_MOST];
    size_t count = suspects_poison(suspects, poison);

    for (size_t i = 0; i < count; i++)
        if (poison[i].fingerprint == fingerprint &&
            (poison[i].position == position || poison[i].position == 0))
            return true;
    return false;
}

static void judge(const struct suspects *suspects, const struct history *history, size_t code)
{
    struct weir_poison poison[SUSPECTS_MOST];
    size_t count = suspects_poison(suspects, poison);

    for (size_t i = 0; i < count; i++) {
        uint64_t at = poison[i].position, print = poison[i].fingerprint;
        cr_assert_str_eq(poison[i].node, "parse");
        cr_assert_eq(poison[i].subtask, 1);
        if (at == 0)
            cr_assert(wandered(history, print), "history %zu: anywhere, but it stood still", code);
        else
            cr_assert_geq(exactly_of(history, at, print), 1, "history %zu: never seen", code);
        uint32_t most = 0; /* a moved one may have come from any of its positions */
        for (uint64_t position = 1; position <= 6; position++) {
            uint32_t here = may_be_of(history, position, print);
            most = (at == 0 || position == at) && here > most ? here : most;
        }
        cr_assert_geq(most, suspects->poison_after, "history %zu: too early", code);
    }
    for (size_t i = 0; i < history->size; i++) {
        const struct happening *one = &history->list[i];
        if (one->count == 1 && !wandered(history, one->fingerprint) &&
            exactly_of(history, one->position, one->fingerprint) >= suspects->poison_after)
            cr_assert(is_poison(suspects, one->position, one->fingerprint),
                      "history %zu: position %d is not poison", code, (int)one->position);
    }
}

static void walk(size_t code, size_t size, uint32_t poison_after, bool left_out)
{
    struct suspects suspects;
    struct history history = {0};
    uint64_t commits = 0;
    size_t digits = code;

    suspects_init(&suspects, poison_after, left_out);
    for (; history.size < size; digits /= HAPPENINGS) {
        const struct happening *happening = &world[digits % HAPPENINGS];
        history.list[history.size] = *happening;
        history.commits[history.size++] = commits;
        if (happening->count == 0) {
            commits++;
            continue;
        }
        struct weir_failure failure = failure_of(happening);
        struct suspects_answer answer = suspects_note(&suspects, &failure, "cause", commits);
        cr_assert_not_null(answer.suspect);
        cr_assert(!answer.named || answer.suspect->poisoned);
        cr_assert(!answer.named || !suspects_careful(&suspects), "named, and still looked for");
        cr_assert(happening->count == 1 || answer.suspect->poisoned || suspects_careful(&suspects),
                  "history %zu: a wide failure, and no careful start", code);
    }
    judge(&suspects, &history, code);
}

Test(suspects, every_history_is_judged_rightly)
{
    uint64_t histories = 0;
    for (uint32_t poison_after = 1; poison_after <= 3; poison_after++)
        for (size_t size = 1, codes = HAPPENINGS; size <= LONGEST; size++, codes *= HAPPENINGS)
            for (size_t code = 0; code < codes; code++) {
                walk(code, size, poison_after, false);
                walk(code, size, poison_after, true);
                histories += 2;
            }
    exercised(histories);
}

/* --- jobs with a poisoned record ---------------------------------------------------------- */

static struct suspects suspects;

static struct suspects_answer note(uint64_t position, uint64_t count, uint64_t fingerprint,
                                   uint64_t commits)
{
    struct weir_failure failure =
        failure_of(&(struct happening){position, count, count == 1 ? fingerprint : 0});
    return suspects_note(&suspects, &failure, "why", commits);
}

Test(suspects, record_is_named_at_the_failure_that_was_asked_for)
{
    for (uint32_t after = 1; after <= 5; after++) {
        suspects_init(&suspects, after, true);
        for (uint32_t i = 1; i <= after; i++)
            cr_assert_eq(note(77, 1, 5, i).named, i == after, "failure %u of %u", i, after);
        cr_assert(!note(77, 1, 5, after).named, "it is named once");
    }
}

/* The job fails wide until the next start is careful, at spans that lie differently each time. */
Test(suspects, careful_starts_find_the_record_in_its_span)
{
    uint64_t seed = 4711;

    for (int life = 0; life < 20000; life++) {
        uint64_t at = 1 + explore_mix(seed++) % 500, failures = 0;
        bool named = false;
        suspects_init(&suspects, 3, true);
        for (uint64_t commits = 0; !named && failures < 9; failures++) {
            uint64_t before = explore_mix(seed++) % 40, behind = explore_mix(seed++) % 40;
            uint64_t from = at > before ? at - before : 1;
            bool careful = suspects_careful(&suspects);
            named = careful ? note(at, 1, 9, commits).named
                            : note(from, at - from + 1 + behind, 9, commits).named;
            commits += explore_mix(seed++) % 2;
        }
        cr_assert(named && failures >= 3 && failures <= 4, "life %d: %d failures", life,
                  (int)failures);
        cr_assert(is_poison(&suspects, at, 9));
    }
}

Test(suspects, two_records_that_fail_in_turn_are_both_named)
{
    suspects_init(&suspects, 3, true);
    for (int i = 1; i <= 3; i++) {
        cr_assert_eq(note(10, 1, 1, 0).named, i == 3);
        cr_assert_eq(note(20, 1, 2, 0).named, i == 3);
    }
    struct weir_poison poison[SUSPECTS_MOST];
    cr_assert_eq(suspects_poison(&suspects, poison), 2);
}

Test(suspects, record_that_wanders_is_poison_anywhere)
{
    suspects_init(&suspects, 3, true);
    note(10, 1, 1, 4);
    note(13, 1, 1, 4);
    cr_assert(note(11, 1, 1, 4).named);
    struct weir_poison poison[SUSPECTS_MOST];
    cr_assert_eq(suspects_poison(&suspects, poison), 1);
    cr_assert_eq(poison[0].position, 0);
    cr_assert_str_eq(poison[0].cause, "why");
}

Test(suspects, record_is_described_by_its_exact_failure)
{
    struct weir_failure record, failure = failure_of(&(struct happening){10, 1, 1});

    suspects_init(&suspects, 2, true);
    snprintf(failure.preview, sizeof failure.preview, "value 4x");
    suspects_note(&suspects, &failure, "why", 0);
    struct suspects_answer answer = note(5, 20, 0, 0);
    cr_assert(answer.named, "the wide failure is the second of the record");
    suspects_record(answer.suspect, &record);
    cr_assert_eq(record.position, 10);
    cr_assert_eq(record.count, 1);
    cr_assert_eq(record.fingerprint, 1);
    cr_assert_str_eq(record.node, "parse");
    cr_assert_str_eq(record.doing, "process");
    cr_assert_str_eq(record.preview, "value 4x");
}

Test(suspects, alike_records_that_fail_now_and_then_are_innocent)
{
    suspects_init(&suspects, 3, true);
    for (uint64_t i = 1; i < 100; i++)
        cr_assert(!note(i * 1000, 1, 1, i).named, "a checkpoint lay between any two");
}

Test(suspects, poison_that_wanders_is_named_again)
{
    suspects_init(&suspects, 2, true);
    note(10, 1, 1, 4);
    cr_assert(note(10, 1, 1, 4).named);
    cr_assert(note(12, 1, 1, 4).named, "now wherever it comes");
    cr_assert(!note(15, 1, 1, 4).named);
    cr_assert(is_poison(&suspects, 99, 1));
}

Test(suspects, poison_that_is_left_out_is_not_blamed_for_its_neighbours)
{
    suspects_init(&suspects, 2, true);
    note(10, 1, 1, 0);
    cr_assert(note(10, 1, 1, 0).named);
    struct suspects_answer wide = note(8, 6, 0, 0);
    cr_assert(!wide.suspect->poisoned && wide.failures == 0);
    cr_assert(suspects_careful(&suspects));
    cr_assert_eq(note(12, 1, 2, 0).suspect, wide.suspect);
}

Test(suspects, same_position_elsewhere_is_another_record)
{
    suspects_init(&suspects, 2, true);
    struct weir_failure failure = failure_of(&(struct happening){10, 1, 1});
    suspects_note(&suspects, &failure, "why", 0);
    failure.subtask = 0;
    cr_assert(!suspects_note(&suspects, &failure, "why", 0).named);
    snprintf(failure.node, sizeof failure.node, "count");
    cr_assert(!suspects_note(&suspects, &failure, "why", 0).named);
    cr_assert(suspects_note(&suspects, &failure, "why", 0).named);
}

Test(suspects, failure_at_no_record_suspects_none)
{
    suspects_init(&suspects, 1, true);
    cr_assert_null(note(0, 0, 0, 0).suspect);
    cr_assert_null(note(0, 1, 0, 0).suspect);
    cr_assert(!suspects_careful(&suspects));
    note(5, 3, 0, 0);
    cr_assert(suspects_careful(&suspects));
    note(0, 0, 0, 0);
    cr_assert(!suspects_careful(&suspects), "the last failure was another");
}

Test(suspects, full_table_forgets_the_one_longest_not_heard_of)
{
    suspects_init(&suspects, 1, true);
    for (uint64_t i = 1; i <= SUSPECTS_MOST; i++)
        note(i, 1, i, i);
    note(1, 1, 1, 99); /* heard of again */
    note(1000, 1, 1000, 100);
    cr_assert(is_poison(&suspects, 1, 1) && is_poison(&suspects, 1000, 1000));
    cr_assert(!is_poison(&suspects, 2, 2));
    struct weir_poison poison[SUSPECTS_MOST];
    cr_assert_eq(suspects_poison(&suspects, poison), SUSPECTS_MOST);
}

Test(suspects, ranges_at_the_end_of_numbers_do_not_wrap)
{
    suspects_init(&suspects, 2, true);
    note(UINT64_MAX - 1, UINT64_MAX, 0, 0);
    cr_assert_eq(note(UINT64_MAX, 1, 3, 0).suspect->failures, 2);
    cr_assert_eq(note(1, UINT64_MAX, 0, 0).suspect->failures, 1, "what is left out was not there");
}
