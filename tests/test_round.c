/* SPDX-License-Identifier: Apache-2.0
 *
 * Rounds against scripted scenarios, one for each thing that is promised. What they do in all
 * orders of events is in test_round_states.c.
 */
#include "round.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

enum { SECOND = 1000, STORAGE_WORDS = ROUND_LIMIT };

/* --- the stage ------------------------------------------------------------------------------- */

static struct rounds machine;
static uint64_t storage[STORAGE_WORDS];
static int64_t now_ns;

/* An interval of one second, a time limit of ten, two failures tolerated; the next id is 5. */
static const struct round_options usual = {.interval_ns = SECOND,
                                           .timeout_ns = 10 * SECOND,
                                           .alignment_max_ns = INT64_MAX,
                                           .tolerated = 2,
                                           .at_once = 1};

static void start(struct round_options options, uint32_t task_count)
{
    memset(storage, 0xff, sizeof storage); /* init must not trust it */
    now_ns = 0;
    cr_assert_leq(rounds_words(task_count), STORAGE_WORDS);
    rounds_init(&machine, &options, task_count, storage, 5, now_ns);
}

static void start_overlapping(uint32_t at_once, uint32_t task_count)
{
    struct round_options options = usual;
    options.at_once = at_once;
    start(options, task_count);
    now_ns = SECOND;
}

/* Of two tasks; round 5 has just been triggered. */
static void start_overtaking(int64_t alignment_max_ns)
{
    struct round_options options = usual;
    options.alignment_max_ns = alignment_max_ns;
    start(options, 2);
    now_ns = SECOND;
}

static struct round_action expect(enum round_do what, uint64_t id, int line)
{
    struct round_action action = rounds_next(&machine, now_ns);
    cr_assert_eq(action.what, what, "line %d: action %d, expected %d", line, action.what, what);
    if (what != ROUND_WAIT)
        cr_assert_eq(action.id, id, "line %d: id %llu", line, (unsigned long long)action.id);
    return action;
}

static void expect_wait(int64_t deadline_ns, int line)
{
    struct round_action action = expect(ROUND_WAIT, 0, line);
    cr_assert_eq(action.deadline_ns, deadline_ns, "line %d: waits until %lld", line,
                 (long long)action.deadline_ns);
}

static void expect_abort(uint64_t id, enum round_reason reason, int line)
{
    struct round_action action = expect(ROUND_ABORT, id, line);
    cr_assert_eq(action.reason, reason, "line %d: %s", line, round_reason_text(action.reason));
}

static void expect_claim(uint64_t id, uint32_t purposes, int line)
{
    struct round_action action = expect(ROUND_CLAIM, id, line);
    cr_assert_eq(action.purposes, purposes, "line %d: purposes %u", line, action.purposes);
}

#define NEXT(what, id) expect(what, id, __LINE__)
#define WAITS(deadline_ns) expect_wait(deadline_ns, __LINE__)
#define ABORTS(id, reason) expect_abort(id, reason, __LINE__)
#define CLAIMS(id, purposes) expect_claim(id, purposes, __LINE__)

static void announce(uint64_t id)
{
    NEXT(ROUND_CLAIM, id);
    rounds_claimed(&machine, id);
    NEXT(ROUND_ANNOUNCE, id);
}

static void seal(uint64_t id)
{
    for (uint32_t task = 0; task < machine.task_count; task++)
        rounds_sealed(&machine, id, task, now_ns);
}

static void seal_all(uint64_t id)
{
    seal(id);
    rounds_durable(&machine, id);
}

static void commit(uint64_t id)
{
    NEXT(ROUND_COMMIT, id);
    rounds_committed(&machine, id);
    NEXT(ROUND_TELL, id);
}

static void complete(uint64_t id)
{
    announce(id);
    seal_all(id);
    commit(id);
}

static void fail(uint64_t id)
{
    announce(id);
    rounds_trouble(&machine, id, ROUND_REFUSED);
    ABORTS(id, ROUND_REFUSED);
}

/* Rounds from `id` on that are all sealed, none durable, an interval apart. */
static void write_from(uint64_t id, uint32_t count)
{
    for (uint64_t end = id + count; id < end; id++) {
        announce(id);
        seal(id);
        now_ns += id + 1 < end ? SECOND : 0;
    }
}

Test(round, goes_from_the_trigger_to_the_tasks_being_told)
{
    start(usual, 2);
    WAITS(SECOND);
    now_ns = SECOND;
    CLAIMS(5, ROUND_INTERVAL);
    WAITS(11 * SECOND);
    rounds_claimed(&machine, 5);
    NEXT(ROUND_ANNOUNCE, 5);
    rounds_sealed(&machine, 5, 1, now_ns);
    WAITS(11 * SECOND);
    cr_assert(round_is_sealed(rounds_find(&machine, 5), 1));
    cr_assert(!round_is_sealed(rounds_find(&machine, 5), 0));
    rounds_sealed(&machine, 5, 0, now_ns);
    rounds_durable(&machine, 5);
    NEXT(ROUND_COMMIT, 5);
    WAITS(INT64_MAX);
    rounds_committed(&machine, 5);
    NEXT(ROUND_TELL, 5);
    WAITS(2 * SECOND);
    cr_assert_eq(machine.late, 0);
}

Test(round, commits_only_when_all_have_sealed_and_all_is_durable)
{
    start(usual, 3);
    now_ns = SECOND;
    announce(5);
    rounds_durable(&machine, 5);
    WAITS(11 * SECOND);
    rounds_sealed(&machine, 5, 2, now_ns);
    rounds_sealed(&machine, 5, 2, now_ns); /* a set, never a counter */
    rounds_sealed(&machine, 5, 0, now_ns);
    WAITS(11 * SECOND);
    rounds_sealed(&machine, 5, 1, now_ns);
    NEXT(ROUND_COMMIT, 5);
}

Test(round, sealed_parts_that_are_not_durable_are_not_committed)
{
    start(usual, 1);
    now_ns = SECOND;
    announce(5);
    rounds_sealed(&machine, 5, 0, now_ns);
    WAITS(11 * SECOND);
    rounds_sealed(&machine, 5, 0, now_ns); /* told twice: neither counted nor late */
    cr_assert_eq(machine.late, 0);
    rounds_durable(&machine, 5);
    NEXT(ROUND_COMMIT, 5);
}

Test(round, one_at_a_time_the_next_is_claimed_only_after_the_open_one_is_closed)
{
    start(usual, 1);
    now_ns = SECOND;
    announce(5);
    now_ns = 5 * SECOND;
    rounds_request(&machine, ROUND_STOP);
    WAITS(11 * SECOND);
    seal_all(5);
    NEXT(ROUND_COMMIT, 5);
    WAITS(INT64_MAX);
    rounds_committed(&machine, 5);
    NEXT(ROUND_TELL, 5);
    CLAIMS(6, ROUND_STOP | ROUND_INTERVAL);
}

Test(round, id_is_used_once_whatever_became_of_it)
{
    start(usual, 1);
    now_ns = SECOND;
    NEXT(ROUND_CLAIM, 5);
    rounds_trouble(&machine, 5, ROUND_STORE_FAILED); /* not even claimed */
    ABORTS(5, ROUND_STORE_FAILED);
    now_ns = 2 * SECOND;
    fail(6);
    now_ns = 3 * SECOND;
    complete(7);
    now_ns = 4 * SECOND;
    complete(8);
    cr_assert_eq(machine.last_id, 8);
}

Test(round, abort_is_told_once_with_the_first_reason)
{
    start(usual, 2);
    now_ns = SECOND;
    announce(5);
    rounds_trouble(&machine, 5, ROUND_BUDGET);
    rounds_trouble(&machine, 5, ROUND_STORE_FAILED);
    now_ns = 100 * SECOND; /* and out of time */
    ABORTS(5, ROUND_BUDGET);
    rounds_trouble(&machine, 5, ROUND_REFUSED);
    cr_assert_eq(machine.late, 1);
    cr_assert_eq(machine.failures, 1);
    CLAIMS(6, ROUND_INTERVAL);
}

Test(round, trouble_wins_over_a_round_that_is_complete_but_not_committing)
{
    start(usual, 1);
    now_ns = SECOND;
    announce(5);
    seal_all(5);
    rounds_trouble(&machine, 5, ROUND_STORE_FAILED);
    ABORTS(5, ROUND_STORE_FAILED);
}

Test(round, complete_round_is_committed_even_if_looked_at_too_late)
{
    start(usual, 1);
    now_ns = SECOND;
    announce(5);
    seal_all(5);
    now_ns = 100 * SECOND;
    NEXT(ROUND_COMMIT, 5);
}

Test(round, tasks_are_told_only_after_the_commit_succeeded)
{
    start(usual, 1);
    now_ns = SECOND;
    announce(5);
    seal_all(5);
    rounds_committed(&machine, 5); /* nobody asked for it yet */
    cr_assert_eq(machine.late, 1);
    NEXT(ROUND_COMMIT, 5);
    WAITS(INT64_MAX);
    rounds_trouble(&machine, 5, ROUND_STORE_FAILED); /* the answer: not committed */
    rounds_committed(&machine, 5);
    ABORTS(5, ROUND_STORE_FAILED);
    WAITS(2 * SECOND);
}

Test(round, being_committed_it_can_not_be_aborted)
{
    start(usual, 1);
    now_ns = SECOND;
    announce(5);
    seal_all(5);
    NEXT(ROUND_COMMIT, 5);
    rounds_trouble(&machine, 5, ROUND_REFUSED);
    rounds_trouble(&machine, 5, ROUND_TIMEOUT);
    rounds_trouble(&machine, 5, ROUND_CANCELLED);
    rounds_cancel(&machine);
    now_ns = 1000 * SECOND;
    WAITS(INT64_MAX);
    cr_assert_eq(machine.late, 3);
    rounds_committed(&machine, 5);
    rounds_trouble(&machine, 5, ROUND_STORE_FAILED); /* the answer has been given */
    rounds_committed(&machine, 5);
    cr_assert_eq(machine.late, 5);
    NEXT(ROUND_TELL, 5);
    WAITS(INT64_MAX);
}

Test(round, times_out_when_not_all_answer)
{
    start(usual, 2);
    now_ns = SECOND;
    announce(5);
    rounds_sealed(&machine, 5, 0, now_ns);
    rounds_durable(&machine, 5);
    now_ns = 11 * SECOND - 1;
    WAITS(11 * SECOND);
    now_ns++;
    cr_assert(!round_is_sealed(rounds_find(&machine, 5), 1), "known as long as it is unfinished");
    struct round_action action = NEXT(ROUND_ABORT, 5);
    cr_assert_eq(action.reason, ROUND_TIMEOUT);
    cr_assert_eq(action.sealed_count, 1);
    announce(6);
    cr_assert(!round_is_sealed(rounds_find(&machine, 6), 0));
}

Test(round, times_out_while_it_is_written)
{
    start_overlapping(1, 2);
    write_from(5, 1);
    now_ns = 11 * SECOND - 1;
    WAITS(11 * SECOND);
    now_ns++;
    ABORTS(5, ROUND_TIMEOUT);
}

Test(round, times_out_while_the_store_claims_the_id)
{
    start(usual, 1);
    now_ns = SECOND;
    NEXT(ROUND_CLAIM, 5);
    now_ns = 11 * SECOND;
    ABORTS(5, ROUND_TIMEOUT);
    NEXT(ROUND_CLAIM, 6);
    rounds_claimed(&machine, 5);
    WAITS(21 * SECOND);
    cr_assert_eq(machine.late, 1);
}

Test(round, events_of_closed_and_unknown_ids_are_counted_and_ignored)
{
    start(usual, 2);
    rounds_sealed(&machine, 4, 0, now_ns); /* of the run before */
    now_ns = SECOND;
    fail(5);
    now_ns = 2 * SECOND;
    announce(6);
    rounds_claimed(&machine, 6);
    rounds_sealed(&machine, 5, 0, now_ns);
    rounds_sealed(&machine, 7, 1, now_ns); /* never issued */
    rounds_durable(&machine, 5);
    rounds_spent(&machine, 5);
    rounds_trouble(&machine, 5, ROUND_REFUSED);
    rounds_committed(&machine, 6);
    cr_assert_eq(machine.late, 8);
    WAITS(12 * SECOND);
    seal_all(6);
    NEXT(ROUND_COMMIT, 6);
    rounds_sealed(&machine, 6, 0, now_ns);
    rounds_durable(&machine, 6);
    cr_assert_eq(machine.late, 10);
}

Test(round, answers_before_the_announcement_are_not_counted_in)
{
    start(usual, 1);
    now_ns = SECOND;
    NEXT(ROUND_CLAIM, 5);
    rounds_sealed(&machine, 5, 0, now_ns);
    rounds_claimed(&machine, 5);
    rounds_sealed(&machine, 5, 0, now_ns);
    rounds_durable(&machine, 5);
    rounds_spent(&machine, 5);
    cr_assert_eq(machine.late, 4);
    NEXT(ROUND_ANNOUNCE, 5);
    WAITS(11 * SECOND);
}

Test(round, action_tells_what_is_known_of_its_round)
{
    start_overtaking(2 * SECOND);
    announce(5);
    now_ns = 3 * SECOND;
    cr_assert(NEXT(ROUND_OVERTAKE, 5).overtaken);
    rounds_sealed(&machine, 5, 0, now_ns);
    now_ns = 4 * SECOND;
    rounds_sealed(&machine, 5, 1, now_ns);
    now_ns = 5 * SECOND;
    rounds_sealed(&machine, 5, 1, now_ns);
    rounds_durable(&machine, 5);
    struct round_action action = NEXT(ROUND_COMMIT, 5);
    cr_assert_eq(action.triggered_ns, SECOND);
    cr_assert_eq(action.sealed_ns, 4 * SECOND);
    cr_assert_eq(action.sealed_count, 2);
    rounds_committed(&machine, 5);
    action = NEXT(ROUND_TELL, 5);
    cr_assert_eq(action.triggered_ns, SECOND);
    cr_assert_eq(action.sealed_ns, 4 * SECOND);
    cr_assert_eq(action.purposes, ROUND_INTERVAL);
    cr_assert(action.overtaken);
    cr_assert_eq(action.reason, ROUND_NONE);
    now_ns = 6 * SECOND;
    action = NEXT(ROUND_CLAIM, 6);
    cr_assert_eq(action.sealed_ns, 0);
    cr_assert_eq(action.sealed_count, 0);
    cr_assert(!action.overtaken);
}

/* --- scripted: the trigger ------------------------------------------------------------------- */

Test(round, minimum_pause_is_kept_after_commit_and_after_abort)
{
    struct round_options options = usual;
    options.min_pause_ns = 3 * SECOND;
    start(options, 1);
    now_ns = SECOND;
    complete(5);
    WAITS(4 * SECOND);
    rounds_request(&machine, ROUND_REQUEST); /* waits too, and is not dropped */
    WAITS(4 * SECOND);
    now_ns = 4 * SECOND;
    CLAIMS(6, ROUND_REQUEST | ROUND_INTERVAL);
    rounds_trouble(&machine, 6, ROUND_REFUSED);
    now_ns = 5 * SECOND;
    ABORTS(6, ROUND_REFUSED);
    WAITS(8 * SECOND);
}

Test(round, minimum_pause_leaves_one_round_at_a_time)
{
    struct round_options options = usual;
    options.min_pause_ns = 3 * SECOND;
    options.at_once = 4;
    start(options, 1);
    now_ns = SECOND;
    write_from(5, 1);
    rounds_request(&machine, ROUND_STOP); /* waits for room, not for the pause */
    now_ns = 6 * SECOND;
    WAITS(11 * SECOND);
    rounds_durable(&machine, 5);
    commit(5);
    CLAIMS(6, ROUND_STOP | ROUND_INTERVAL);
}

Test(round, requests_wait_for_the_pause_and_not_for_the_interval)
{
    static const enum round_purpose purposes[] = {ROUND_LOOP, ROUND_REQUEST, ROUND_SAVEPOINT};
    struct round_options options = usual;
    options.interval_ns = 100 * SECOND;
    options.min_pause_ns = 3 * SECOND;
    for (size_t i = 0; i < sizeof purposes / sizeof purposes[0]; i++) {
        start(options, 1);
        rounds_request(&machine, purposes[i]);
        complete(5);
        rounds_request(&machine, purposes[i]);
        WAITS(3 * SECOND);
        now_ns = 3 * SECOND;
        CLAIMS(6, (uint32_t)purposes[i]);
    }
}

Test(round, stop_and_final_do_not_wait_for_the_pause)
{
    struct round_options options = usual;
    options.min_pause_ns = 30 * SECOND;
    options.interval_ns = 0;
    start(options, 1);
    rounds_request(&machine, ROUND_REQUEST);
    complete(5);
    WAITS(INT64_MAX);
    rounds_request(&machine, ROUND_STOP);
    complete(6);
    rounds_request(&machine, ROUND_REQUEST);
    rounds_request(&machine, ROUND_FINAL);
    CLAIMS(7, ROUND_REQUEST | ROUND_FINAL); /* who asked is served along */
}

Test(round, stop_and_final_wait_for_the_cutting_round_and_for_room)
{
    start_overlapping(2, 1);
    announce(5);
    rounds_request(&machine, ROUND_STOP);
    WAITS(11 * SECOND);
    seal(5);
    CLAIMS(6, ROUND_STOP);
    rounds_trouble(&machine, 6, ROUND_REFUSED);
    ABORTS(6, ROUND_REFUSED);
    rounds_request(&machine, ROUND_REQUEST);
    announce(7);
    seal(7);
    rounds_request(&machine, ROUND_FINAL);
    WAITS(11 * SECOND);
    rounds_durable(&machine, 5);
    commit(5);
    CLAIMS(8, ROUND_FINAL);
}

Test(round, nothing_is_triggered_beside_a_last_round)
{
    static const enum round_purpose last[] = {ROUND_STOP, ROUND_FINAL};
    for (size_t i = 0; i < 2; i++) {
        start_overlapping(3, 1);
        rounds_request(&machine, last[i]);
        announce(5);
        seal(5);
        rounds_request(&machine, ROUND_REQUEST);
        rounds_request(&machine, last[i]);
        now_ns = 5 * SECOND;
        WAITS(11 * SECOND);
        rounds_durable(&machine, 5);
        NEXT(ROUND_COMMIT, 5);
        WAITS(INT64_MAX);
    }
}

Test(round, aborted_last_round_lets_triggering_go_on)
{
    start_overlapping(3, 1);
    rounds_request(&machine, ROUND_STOP);
    announce(5);
    seal(5);
    WAITS(11 * SECOND);
    rounds_trouble(&machine, 5, ROUND_STORE_FAILED);
    ABORTS(5, ROUND_STORE_FAILED);
    WAITS(2 * SECOND);
    now_ns = 2 * SECOND;
    CLAIMS(6, ROUND_INTERVAL); /* whoever needs a last one asks again */
}

Test(round, trigger_late_by_many_intervals_is_one_trigger)
{
    start(usual, 1);
    now_ns = 100 * SECOND + 300;
    complete(5);
    WAITS(101 * SECOND); /* on the grid again */
    now_ns = 101 * SECOND;
    complete(6);
    WAITS(102 * SECOND);
}

Test(round, without_an_interval_only_requests_start_one)
{
    struct round_options options = usual;
    options.interval_ns = 0;
    start(options, 1);
    now_ns = 1000 * SECOND;
    WAITS(INT64_MAX);
    rounds_request(&machine, ROUND_REQUEST);
    CLAIMS(5, ROUND_REQUEST);
}

Test(round, requests_during_an_open_round_are_served_after_it_together)
{
    start(usual, 1);
    now_ns = SECOND;
    announce(5);
    rounds_request(&machine, ROUND_REQUEST);
    rounds_request(&machine, ROUND_REQUEST);
    seal_all(5);
    NEXT(ROUND_COMMIT, 5);
    rounds_request(&machine, ROUND_SAVEPOINT);
    rounds_committed(&machine, 5);
    NEXT(ROUND_TELL, 5);
    CLAIMS(6, ROUND_REQUEST | ROUND_SAVEPOINT);
    rounds_claimed(&machine, 6);
    NEXT(ROUND_ANNOUNCE, 6);
    rounds_trouble(&machine, 6, ROUND_REFUSED);
    ABORTS(6, ROUND_REFUSED);
    WAITS(2 * SECOND);
}

/* --- scripted: several at once --------------------------------------------------------------- */

Test(round, next_one_is_cut_while_the_one_before_is_written)
{
    start_overlapping(2, 2);
    announce(5);
    seal(5);
    cr_assert_null(rounds_cutting(&machine));
    WAITS(2 * SECOND);
    now_ns = 2 * SECOND;
    announce(6);
    cr_assert_eq(rounds_find(&machine, 5)->phase, ROUND_WRITING);
    cr_assert_eq(rounds_cutting(&machine), rounds_find(&machine, 6));
    rounds_durable(&machine, 5);
    commit(5);
    WAITS(12 * SECOND);
    seal_all(6);
    commit(6);
    cr_assert_eq(machine.late, 0);
}

Test(round, next_one_waits_until_the_last_task_has_sealed)
{
    start_overlapping(2, 2);
    NEXT(ROUND_CLAIM, 5);
    now_ns = 4 * SECOND;
    rounds_request(&machine, ROUND_REQUEST);
    cr_assert_eq(rounds_cutting(&machine), rounds_find(&machine, 5));
    WAITS(11 * SECOND); /* claiming */
    rounds_claimed(&machine, 5);
    NEXT(ROUND_ANNOUNCE, 5);
    rounds_durable(&machine, 5);
    WAITS(11 * SECOND); /* cutting */
    rounds_sealed(&machine, 5, 1, now_ns);
    WAITS(11 * SECOND);
    rounds_sealed(&machine, 5, 0, now_ns);
    NEXT(ROUND_COMMIT, 5);
    CLAIMS(6, ROUND_REQUEST | ROUND_INTERVAL); /* while 5 is committed */
}

Test(round, aborted_cutting_round_makes_way_for_the_next)
{
    start_overlapping(2, 2);
    write_from(5, 1);
    now_ns = 2 * SECOND;
    announce(6);
    now_ns = 3 * SECOND;
    WAITS(11 * SECOND);
    rounds_trouble(&machine, 6, ROUND_REFUSED);
    ABORTS(6, ROUND_REFUSED);
    CLAIMS(7, ROUND_INTERVAL);
    cr_assert_not_null(rounds_find(&machine, 5));
}

Test(round, no_more_are_unfinished_than_are_allowed_at_once)
{
    for (uint32_t at_once = 1; at_once <= ROUND_LIMIT; at_once++) {
        start_overlapping(at_once, 1);
        write_from(5, at_once);
        now_ns += SECOND;
        WAITS(11 * SECOND);
        rounds_durable(&machine, 5);
        NEXT(ROUND_COMMIT, 5); /* still unfinished */
        WAITS(at_once == 1 ? INT64_MAX : 12 * SECOND);
        rounds_committed(&machine, 5);
        NEXT(ROUND_TELL, 5);
        CLAIMS(5 + at_once, ROUND_INTERVAL);
    }
}

Test(round, commits_go_in_order_of_id)
{
    start_overlapping(3, 1);
    write_from(5, 3);
    rounds_durable(&machine, 7);
    rounds_durable(&machine, 6);
    WAITS(11 * SECOND); /* the time limit of 5 */
    rounds_durable(&machine, 5);
    commit(5);
    NEXT(ROUND_COMMIT, 6);
    WAITS(4 * SECOND); /* one at a time; that is the next trigger */
    rounds_committed(&machine, 7);
    cr_assert_eq(machine.late, 1);
    rounds_committed(&machine, 6);
    NEXT(ROUND_TELL, 6);
    commit(7);
}

Test(round, aborted_lower_one_frees_the_next)
{
    start_overlapping(3, 1);
    write_from(5, 3);
    rounds_durable(&machine, 6);
    rounds_durable(&machine, 7);
    rounds_trouble(&machine, 5, ROUND_STORE_FAILED);
    ABORTS(5, ROUND_STORE_FAILED);
    NEXT(ROUND_COMMIT, 6);
    rounds_trouble(&machine, 6, ROUND_STORE_FAILED); /* its answer */
    ABORTS(6, ROUND_STORE_FAILED);
    commit(7);
    cr_assert_eq(machine.failures, 0);
}

Test(round, trouble_aborts_its_own_round_alone)
{
    start_overlapping(3, 2);
    write_from(5, 2);
    now_ns = 3 * SECOND;
    announce(7);
    rounds_sealed(&machine, 7, 1, now_ns);
    rounds_durable(&machine, 6); /* complete, waits for 5 */
    rounds_trouble(&machine, 6, ROUND_REFUSED);
    ABORTS(6, ROUND_REFUSED);
    WAITS(11 * SECOND);
    cr_assert_null(rounds_find(&machine, 6));
    cr_assert(round_is_sealed(rounds_find(&machine, 5), 0));
    cr_assert(!round_is_sealed(rounds_find(&machine, 7), 0));
    cr_assert(round_is_sealed(rounds_find(&machine, 7), 1));
    rounds_sealed(&machine, 7, 0, now_ns);
    rounds_durable(&machine, 7);
    now_ns = 4 * SECOND;
    announce(8); /* in the memory that 6 had */
    cr_assert(!round_is_sealed(rounds_find(&machine, 8), 0));
    cr_assert(round_is_sealed(rounds_find(&machine, 7), 0));
    rounds_sealed(&machine, 8, 0, now_ns);
    rounds_durable(&machine, 5);
    commit(5);
    commit(7);
    cr_assert(round_is_sealed(rounds_find(&machine, 8), 0));
    cr_assert(!round_is_sealed(rounds_find(&machine, 8), 1));
}

Test(round, each_round_has_its_own_time_limit)
{
    start_overlapping(3, 1);
    write_from(5, 3);
    now_ns = 11 * SECOND;
    ABORTS(5, ROUND_TIMEOUT);
    announce(8);
    WAITS(12 * SECOND);
    now_ns = 13 * SECOND;
    ABORTS(6, ROUND_TIMEOUT);
    ABORTS(7, ROUND_TIMEOUT);
}

Test(round, complete_one_that_waits_for_a_lower_one_does_not_time_out)
{
    start_overlapping(2, 1);
    write_from(5, 2);
    rounds_durable(&machine, 5);
    rounds_durable(&machine, 6);
    NEXT(ROUND_COMMIT, 5);
    now_ns = 100 * SECOND;
    WAITS(INT64_MAX);
    rounds_committed(&machine, 5);
    NEXT(ROUND_TELL, 5);
    commit(6);
}

Test(round, what_is_due_for_the_unfinished_comes_before_a_claim_the_oldest_first)
{
    start_overlapping(4, 1);
    write_from(5, 3);
    rounds_durable(&machine, 5);
    NEXT(ROUND_COMMIT, 5);
    now_ns = 4 * SECOND;
    rounds_trouble(&machine, 7, ROUND_REFUSED);
    rounds_trouble(&machine, 6, ROUND_BUDGET);
    rounds_committed(&machine, 5);
    NEXT(ROUND_TELL, 5);
    ABORTS(6, ROUND_BUDGET);
    ABORTS(7, ROUND_REFUSED);
    CLAIMS(8, ROUND_INTERVAL);
}

/* --- scripted: overtaking -------------------------------------------------------------------- */

Test(round, is_overtaken_once_when_it_has_been_cutting_too_long)
{
    start_overtaking(3 * SECOND);
    announce(5);
    WAITS(4 * SECOND);
    now_ns = 4 * SECOND - 1;
    WAITS(4 * SECOND);
    now_ns = 4 * SECOND;
    NEXT(ROUND_OVERTAKE, 5);
    WAITS(11 * SECOND);
    rounds_sealed(&machine, 5, 0, now_ns);
    rounds_spent(&machine, 5);
    WAITS(11 * SECOND);
    cr_assert_eq(machine.late, 0);
}

Test(round, is_overtaken_only_after_the_announcement)
{
    start_overtaking(3 * SECOND);
    NEXT(ROUND_CLAIM, 5);
    now_ns = 7 * SECOND;
    WAITS(11 * SECOND);
    rounds_claimed(&machine, 5);
    NEXT(ROUND_ANNOUNCE, 5);
    NEXT(ROUND_OVERTAKE, 5);
}

Test(round, is_not_overtaken_when_all_have_sealed)
{
    start_overtaking(3 * SECOND);
    announce(5);
    seal(5);
    WAITS(11 * SECOND);
    rounds_spent(&machine, 5);
    cr_assert_eq(machine.late, 1);
    now_ns = 4 * SECOND;
    WAITS(11 * SECOND);
}

Test(round, is_overtaken_at_once_when_no_alignment_is_allowed)
{
    start_overtaking(0);
    announce(5);
    NEXT(ROUND_OVERTAKE, 5);
    WAITS(11 * SECOND);
}

Test(round, is_overtaken_at_once_when_a_budget_is_spent)
{
    start_overtaking(3 * SECOND);
    announce(5);
    rounds_spent(&machine, 5);
    rounds_spent(&machine, 5); /* of another task */
    NEXT(ROUND_OVERTAKE, 5);
    WAITS(11 * SECOND);
    cr_assert_eq(machine.late, 0);
    rounds_trouble(&machine, 5, ROUND_BUDGET);
    ABORTS(5, ROUND_BUDGET);
    now_ns = 2 * SECOND;
    announce(6);
    WAITS(5 * SECOND); /* the next has its own budget */
}

Test(round, is_never_overtaken_where_that_is_not_allowed)
{
    start_overtaking(INT64_MAX);
    announce(5);
    rounds_spent(&machine, 5);
    now_ns = 11 * SECOND - 1;
    WAITS(11 * SECOND);
    cr_assert_eq(machine.late, 0);
}

Test(round, is_aborted_and_not_overtaken_when_both_are_due)
{
    start_overtaking(3 * SECOND);
    announce(5);
    rounds_spent(&machine, 5);
    rounds_trouble(&machine, 5, ROUND_REFUSED);
    ABORTS(5, ROUND_REFUSED);
    now_ns = 2 * SECOND;
    announce(6);
    now_ns = 12 * SECOND;
    ABORTS(6, ROUND_TIMEOUT);
}

/* --- scripted: failures, and the end --------------------------------------------------------- */

Test(round, run_fails_after_more_failures_than_tolerated)
{
    start(usual, 1);
    for (uint64_t id = 5; id < 8; id++) {
        now_ns += SECOND;
        fail(id);
    }
    struct round_action action = NEXT(ROUND_FAIL, 7);
    cr_assert_eq(action.reason, ROUND_REFUSED);
    cr_assert_eq(action.triggered_ns, now_ns);
    rounds_request(&machine, ROUND_FINAL);
    now_ns += 50 * SECOND;
    WAITS(INT64_MAX);
}

Test(round, success_resets_the_count_of_failures)
{
    start(usual, 1);
    for (uint64_t id = 5; id < 35; id++) {
        now_ns += SECOND;
        if (id % 3 == 1)
            complete(id);
        else
            fail(id);
    }
    WAITS(now_ns + SECOND);
}

Test(round, success_of_a_lower_id_resets_the_count_too)
{
    start_overlapping(2, 1);
    write_from(5, 1);
    for (uint64_t id = 6; id < 8; id++) {
        now_ns += SECOND;
        fail(id);
    }
    cr_assert_eq(machine.failures, 2);
    rounds_durable(&machine, 5);
    commit(5);
    cr_assert_eq(machine.failures, 0);
    now_ns += SECOND;
    fail(8);
    WAITS(now_ns + SECOND);
}

Test(round, failed_run_tells_of_what_was_committed_and_of_nothing_else)
{
    struct round_options options = usual;
    options.tolerated = 0;
    options.at_once = 3;
    start(options, 1);
    now_ns = SECOND;
    write_from(5, 3);
    rounds_durable(&machine, 5);
    NEXT(ROUND_COMMIT, 5);
    rounds_trouble(&machine, 7, ROUND_STORE_FAILED);
    rounds_trouble(&machine, 6, ROUND_BUDGET);
    ABORTS(6, ROUND_BUDGET);
    rounds_committed(&machine, 5); /* before FAIL was heard of */
    NEXT(ROUND_TELL, 5);
    struct round_action action = NEXT(ROUND_FAIL, 6);
    cr_assert_eq(action.reason, ROUND_BUDGET);
    now_ns = 100 * SECOND;
    WAITS(INT64_MAX);
}

Test(round, failed_run_hears_no_more_of_a_commit_that_comes_later)
{
    struct round_options options = usual;
    options.tolerated = 0;
    options.at_once = 2;
    start(options, 1);
    now_ns = SECOND;
    write_from(5, 2);
    rounds_durable(&machine, 5);
    NEXT(ROUND_COMMIT, 5);
    rounds_trouble(&machine, 6, ROUND_REFUSED);
    ABORTS(6, ROUND_REFUSED);
    NEXT(ROUND_FAIL, 6);
    rounds_committed(&machine, 5);
    WAITS(INT64_MAX);
}

Test(round, none_tolerated_fails_at_once_and_any_tolerated_never)
{
    struct round_options options = usual;
    options.tolerated = 0;
    start(options, 1);
    now_ns = SECOND;
    fail(5);
    NEXT(ROUND_FAIL, 5);
    options.tolerated = UINT32_MAX;
    start(options, 1);
    for (uint64_t id = 5; id < 1000; id++) {
        now_ns += SECOND;
        fail(id);
    }
    WAITS(now_ns + SECOND);
}

Test(round, cancelled_does_not_count_as_a_failure_and_beats_what_does)
{
    struct round_options options = usual;
    options.tolerated = 0;
    start(options, 1);
    now_ns = SECOND;
    announce(5);
    rounds_trouble(&machine, 5, ROUND_REFUSED);
    rounds_trouble(&machine, 5, ROUND_CANCELLED); /* it refused because it was ending */
    rounds_trouble(&machine, 5, ROUND_REFUSED);
    ABORTS(5, ROUND_CANCELLED);
    now_ns = 2 * SECOND;
    complete(6);
}

Test(round, cancel_aborts_the_open_round_and_is_the_end)
{
    struct round_options options = usual;
    options.tolerated = 0;
    start(options, 1);
    now_ns = SECOND;
    announce(5);
    rounds_trouble(&machine, 5, ROUND_REFUSED); /* no longer matters */
    rounds_request(&machine, ROUND_REQUEST);
    rounds_cancel(&machine);
    rounds_request(&machine, ROUND_STOP);
    ABORTS(5, ROUND_CANCELLED);
    now_ns = 50 * SECOND;
    WAITS(INT64_MAX);
}

Test(round, cancel_aborts_all_but_the_one_that_is_committing)
{
    start_overlapping(3, 1);
    write_from(5, 2);
    now_ns = 3 * SECOND;
    announce(7);
    rounds_durable(&machine, 5);
    rounds_durable(&machine, 6);
    NEXT(ROUND_COMMIT, 5);
    rounds_cancel(&machine);
    ABORTS(6, ROUND_CANCELLED);
    ABORTS(7, ROUND_CANCELLED);
    now_ns = 50 * SECOND;
    WAITS(INT64_MAX);
    rounds_committed(&machine, 5);
    NEXT(ROUND_TELL, 5);
    WAITS(INT64_MAX);
}

Test(round, cancel_while_idle_stops_the_clock)
{
    start(usual, 1);
    rounds_cancel(&machine);
    rounds_cancel(&machine);
    now_ns = 50 * SECOND;
    WAITS(INT64_MAX);
}

Test(round, far_times_do_not_overflow)
{
    struct round_options options = {.interval_ns = INT64_MAX,
                                    .min_pause_ns = INT64_MAX,
                                    .timeout_ns = INT64_MAX,
                                    .alignment_max_ns = INT64_MAX - 1,
                                    .at_once = 1};
    start(options, 1);
    now_ns = INT64_MAX - 10;
    WAITS(INT64_MAX);
    rounds_request(&machine, ROUND_STOP);
    announce(5);
    WAITS(INT64_MAX);
    seal_all(5);
    commit(5);
    WAITS(INT64_MAX);
}

Test(round, reasons_and_purposes_have_words)
{
    for (int reason = ROUND_NONE; reason <= ROUND_CANCELLED; reason++)
        cr_assert_gt(strlen(round_reason_text((enum round_reason)reason)), 3);
    cr_assert_str_eq(round_reason_text(ROUND_BUDGET), "more was in flight than may be recorded");
    cr_assert_str_eq(round_reason_text(ROUND_MEMORY),
                     "with it there was more in memory than may be");
    static const char *const words[] = {"interval",  "loop", "request",
                                        "savepoint", "stop", "final"};
    for (uint32_t purposes = 1; purposes < 2 * ROUND_FINAL; purposes++) {
        uint32_t highest = 5;
        while ((purposes & 1u << highest) == 0)
            highest--;
        cr_assert_str_eq(round_purpose_text(purposes), words[highest]);
    }
}

Test(round, task_that_does_not_exist_is_a_bug, .signal = SIGABRT)
{
    start(usual, 2);
    rounds_sealed(&machine, 5, 2, now_ns);
}

Test(round, none_at_once_is_a_bug, .signal = SIGABRT)
{
    struct round_options options = usual;
    options.at_once = 0;
    start(options, 1);
}
