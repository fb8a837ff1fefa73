/* SPDX-License-Identifier: Apache-2.0
 *
 * The round against scripted scenarios, against all its reachable states with up to three tasks and
 * two ids, and against a long random walk. In the latter two a witness notes what happened and
 * judges each action by the rules R1-R5; it has no phases of its own.
 */
#include "explore.h"
#include "round.h"

#include <criterion/criterion.h>
#include <signal.h>

enum { SECOND = 1000, TASKS_MAX = 70, STORAGE_WORDS = 2 };

/* --- scripted ----------------------------------------------------------------------------- */

static struct round machine;
static uint64_t storage[STORAGE_WORDS];
static int64_t now_ns;

/* An interval of one second, a time limit of ten, two failures tolerated; the next id is 5. */
static const struct round_options usual = {
    .interval_ns = SECOND, .timeout_ns = 10 * SECOND, .tolerated = 2};

static void start(struct round_options options, uint32_t task_count)
{
    memset(storage, 0xff, sizeof storage); /* init must not trust it */
    now_ns = 0;
    round_init(&machine, &options, task_count, storage, 5, now_ns);
}

static struct round_action expect(enum round_do what, uint64_t id, int line)
{
    struct round_action action = round_next(&machine, now_ns);
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
    round_claimed(&machine, id);
    NEXT(ROUND_ANNOUNCE, id);
}

static void seal_all(uint64_t id)
{
    for (uint32_t task = 0; task < machine.task_count; task++)
        round_sealed(&machine, id, task);
    round_durable(&machine, id);
}

static void complete(uint64_t id)
{
    announce(id);
    seal_all(id);
    NEXT(ROUND_COMMIT, id);
    round_committed(&machine, id);
    NEXT(ROUND_TELL, id);
}

static void fail(uint64_t id)
{
    announce(id);
    round_trouble(&machine, id, ROUND_REFUSED);
    ABORTS(id, ROUND_REFUSED);
}

Test(round, goes_from_the_trigger_to_the_tasks_being_told)
{
    start(usual, 2);
    WAITS(SECOND);
    now_ns = SECOND;
    CLAIMS(5, ROUND_INTERVAL);
    WAITS(11 * SECOND);
    round_claimed(&machine, 5);
    NEXT(ROUND_ANNOUNCE, 5);
    round_sealed(&machine, 5, 1);
    WAITS(11 * SECOND);
    cr_assert(round_is_sealed(&machine, 1));
    cr_assert(!round_is_sealed(&machine, 0));
    round_sealed(&machine, 5, 0);
    round_durable(&machine, 5);
    NEXT(ROUND_COMMIT, 5);
    WAITS(INT64_MAX);
    round_committed(&machine, 5);
    NEXT(ROUND_TELL, 5);
    WAITS(2 * SECOND);
    cr_assert_eq(machine.late, 0);
}

Test(round, commits_only_when_all_have_sealed_and_all_is_durable)
{
    start(usual, 3);
    now_ns = SECOND;
    announce(5);
    round_durable(&machine, 5);
    WAITS(11 * SECOND);
    round_sealed(&machine, 5, 2);
    round_sealed(&machine, 5, 2); /* a set, never a counter */
    round_sealed(&machine, 5, 0);
    WAITS(11 * SECOND);
    round_sealed(&machine, 5, 1);
    NEXT(ROUND_COMMIT, 5);
}

Test(round, sealed_parts_that_are_not_durable_are_not_committed)
{
    start(usual, 1);
    now_ns = SECOND;
    announce(5);
    round_sealed(&machine, 5, 0);
    WAITS(11 * SECOND);
    round_durable(&machine, 5);
    NEXT(ROUND_COMMIT, 5);
}

Test(round, next_one_is_claimed_only_after_the_open_one_is_closed)
{
    start(usual, 1);
    now_ns = SECOND;
    announce(5);
    now_ns = 5 * SECOND;
    round_request(&machine, ROUND_STOP);
    WAITS(11 * SECOND);
    seal_all(5);
    NEXT(ROUND_COMMIT, 5);
    WAITS(INT64_MAX);
    round_committed(&machine, 5);
    NEXT(ROUND_TELL, 5);
    CLAIMS(6, ROUND_STOP | ROUND_INTERVAL);
}

Test(round, id_is_used_once_whatever_became_of_it)
{
    start(usual, 1);
    now_ns = SECOND;
    NEXT(ROUND_CLAIM, 5);
    round_trouble(&machine, 5, ROUND_STORE_FAILED); /* not even claimed */
    ABORTS(5, ROUND_STORE_FAILED);
    now_ns = 2 * SECOND;
    fail(6);
    now_ns = 3 * SECOND;
    complete(7);
    now_ns = 4 * SECOND;
    complete(8);
}

Test(round, abort_is_told_once_with_the_first_reason)
{
    start(usual, 2);
    now_ns = SECOND;
    announce(5);
    round_trouble(&machine, 5, ROUND_REFUSED);
    round_trouble(&machine, 5, ROUND_STORE_FAILED);
    now_ns = 100 * SECOND; /* and out of time */
    ABORTS(5, ROUND_REFUSED);
    round_trouble(&machine, 5, ROUND_REFUSED);
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
    round_trouble(&machine, 5, ROUND_STORE_FAILED);
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
    round_committed(&machine, 5); /* nobody asked for it yet */
    cr_assert_eq(machine.late, 1);
    NEXT(ROUND_COMMIT, 5);
    WAITS(INT64_MAX);
    round_trouble(&machine, 5, ROUND_STORE_FAILED); /* the answer: not committed */
    round_committed(&machine, 5);
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
    round_trouble(&machine, 5, ROUND_REFUSED);
    round_trouble(&machine, 5, ROUND_TIMEOUT);
    round_cancel(&machine);
    now_ns = 1000 * SECOND;
    WAITS(INT64_MAX);
    cr_assert_eq(machine.late, 2);
    round_committed(&machine, 5);
    NEXT(ROUND_TELL, 5);
    WAITS(INT64_MAX);
}

Test(round, times_out_when_not_all_answer)
{
    start(usual, 2);
    now_ns = SECOND;
    announce(5);
    round_sealed(&machine, 5, 0);
    now_ns = 11 * SECOND - 1;
    WAITS(11 * SECOND);
    now_ns++;
    ABORTS(5, ROUND_TIMEOUT);
    cr_assert(!round_is_sealed(&machine, 1), "who had not answered is known until the next round");
    cr_assert(round_is_sealed(&machine, 0));
    announce(6);
    cr_assert(!round_is_sealed(&machine, 0));
}

Test(round, times_out_while_the_store_claims_the_id)
{
    start(usual, 1);
    now_ns = SECOND;
    NEXT(ROUND_CLAIM, 5);
    now_ns = 11 * SECOND;
    ABORTS(5, ROUND_TIMEOUT);
    NEXT(ROUND_CLAIM, 6);
    round_claimed(&machine, 5);
    WAITS(21 * SECOND);
    cr_assert_eq(machine.late, 1);
}

Test(round, events_of_closed_and_unknown_ids_are_counted_and_ignored)
{
    start(usual, 2);
    round_sealed(&machine, 4, 0); /* of the run before */
    now_ns = SECOND;
    fail(5);
    now_ns = 2 * SECOND;
    announce(6);
    round_claimed(&machine, 6);
    round_sealed(&machine, 5, 0);
    round_sealed(&machine, 7, 1); /* never issued */
    round_durable(&machine, 5);
    round_trouble(&machine, 5, ROUND_REFUSED);
    round_committed(&machine, 6);
    cr_assert_eq(machine.late, 7);
    WAITS(12 * SECOND);
    seal_all(6);
    NEXT(ROUND_COMMIT, 6);
    round_sealed(&machine, 6, 0);
    round_durable(&machine, 6);
    cr_assert_eq(machine.late, 9);
}

Test(round, answers_before_the_announcement_are_not_counted_in)
{
    start(usual, 1);
    now_ns = SECOND;
    NEXT(ROUND_CLAIM, 5);
    round_sealed(&machine, 5, 0);
    round_claimed(&machine, 5);
    round_sealed(&machine, 5, 0);
    round_durable(&machine, 5);
    cr_assert_eq(machine.late, 3);
    NEXT(ROUND_ANNOUNCE, 5);
    WAITS(11 * SECOND);
}

Test(round, minimum_pause_is_kept_after_commit_and_after_abort)
{
    struct round_options options = usual;
    options.min_pause_ns = 3 * SECOND;
    start(options, 1);
    now_ns = SECOND;
    complete(5);
    WAITS(4 * SECOND);
    round_request(&machine, ROUND_REQUEST); /* waits too, and is not dropped */
    WAITS(4 * SECOND);
    now_ns = 4 * SECOND;
    CLAIMS(6, ROUND_REQUEST | ROUND_INTERVAL);
    round_trouble(&machine, 6, ROUND_REFUSED);
    now_ns = 5 * SECOND;
    ABORTS(6, ROUND_REFUSED);
    WAITS(8 * SECOND);
}

Test(round, stop_and_final_do_not_wait_for_the_pause)
{
    struct round_options options = usual;
    options.min_pause_ns = 30 * SECOND;
    options.interval_ns = 0;
    start(options, 1);
    round_request(&machine, ROUND_REQUEST);
    complete(5);
    WAITS(INT64_MAX);
    round_request(&machine, ROUND_STOP);
    complete(6);
    round_request(&machine, ROUND_REQUEST);
    round_request(&machine, ROUND_FINAL);
    CLAIMS(7, ROUND_REQUEST | ROUND_FINAL); /* who asked is served along */
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
    round_request(&machine, ROUND_REQUEST);
    CLAIMS(5, ROUND_REQUEST);
}

Test(round, requests_during_an_open_round_are_served_after_it_together)
{
    start(usual, 1);
    now_ns = SECOND;
    announce(5);
    round_request(&machine, ROUND_REQUEST);
    round_request(&machine, ROUND_REQUEST);
    seal_all(5);
    NEXT(ROUND_COMMIT, 5);
    round_request(&machine, ROUND_REQUEST);
    round_committed(&machine, 5);
    NEXT(ROUND_TELL, 5);
    CLAIMS(6, ROUND_REQUEST);
    round_claimed(&machine, 6);
    NEXT(ROUND_ANNOUNCE, 6);
    round_trouble(&machine, 6, ROUND_REFUSED);
    ABORTS(6, ROUND_REFUSED);
    WAITS(2 * SECOND);
}

Test(round, run_fails_after_more_failures_than_tolerated)
{
    start(usual, 1);
    for (uint64_t id = 5; id < 8; id++) {
        now_ns += SECOND;
        fail(id);
    }
    struct round_action action = NEXT(ROUND_FAIL, 7);
    cr_assert_eq(action.reason, ROUND_REFUSED);
    round_request(&machine, ROUND_FINAL);
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

Test(round, cancelled_does_not_count_as_a_failure)
{
    struct round_options options = usual;
    options.tolerated = 0;
    start(options, 1);
    now_ns = SECOND;
    announce(5);
    round_trouble(&machine, 5, ROUND_CANCELLED); /* a task was ending */
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
    round_trouble(&machine, 5, ROUND_REFUSED); /* no longer matters */
    round_request(&machine, ROUND_REQUEST);
    round_cancel(&machine);
    round_request(&machine, ROUND_STOP);
    ABORTS(5, ROUND_CANCELLED);
    now_ns = 50 * SECOND;
    WAITS(INT64_MAX);
}

Test(round, cancel_while_idle_stops_the_clock)
{
    start(usual, 1);
    round_cancel(&machine);
    round_cancel(&machine);
    now_ns = 50 * SECOND;
    WAITS(INT64_MAX);
}

Test(round, far_times_do_not_overflow)
{
    struct round_options options = {
        .interval_ns = INT64_MAX, .min_pause_ns = INT64_MAX, .timeout_ns = INT64_MAX};
    start(options, 1);
    now_ns = INT64_MAX - 10;
    WAITS(INT64_MAX);
    round_request(&machine, ROUND_STOP);
    announce(5);
    WAITS(INT64_MAX);
    seal_all(5);
    NEXT(ROUND_COMMIT, 5);
    round_committed(&machine, 5);
    NEXT(ROUND_TELL, 5);
    WAITS(INT64_MAX);
}

Test(round, reasons_and_purposes_have_words)
{
    for (int reason = ROUND_NONE; reason <= ROUND_CANCELLED; reason++)
        cr_assert_gt(strlen(round_reason_text((enum round_reason)reason)), 3);
    cr_assert_str_eq(round_purpose_text(ROUND_INTERVAL), "interval");
    cr_assert_str_eq(round_purpose_text(ROUND_REQUEST | ROUND_INTERVAL), "request");
    cr_assert_str_eq(round_purpose_text(ROUND_STOP | ROUND_REQUEST), "stop");
    cr_assert_str_eq(round_purpose_text(ROUND_FINAL | ROUND_STOP | ROUND_INTERVAL), "final");
}

Test(round, task_that_does_not_exist_is_a_bug, .signal = SIGABRT)
{
    start(usual, 2);
    round_sealed(&machine, 5, 2);
}

/* --- the witness --------------------------------------------------------------------------- */

struct witness {
    uint64_t id;     /* last claimed */
    bool open;       /* no ABORT and no success yet */
    bool claimed;    /* the store answered */
    bool announced;  /* ANNOUNCE was given */
    bool committing; /* COMMIT was given */
    bool durable;    /* heard after ANNOUNCE */
    bool tell_due;   /* committed, TELL not given */
    bool fail_due;   /* too many failures, FAIL not given */
    bool over;       /* failed or cancelled: no more rounds */
    uint32_t sealed; /* distinct tasks heard after ANNOUNCE */
    uint32_t wanted;
    uint32_t purposes;
    uint32_t failures;
    uint32_t reason; /* first trouble heard, or CANCELLED */
    int64_t start_ns, trigger_ns;
    int64_t end_ns;     /* of the last round; min pause counts from here */
    int64_t grid_taken; /* points of the interval's grid that are behind */
    bool has_sealed[TASKS_MAX];
};

enum happening { NEXT_ACTION, TIME, CLAIMED, SEALED, DURABLE, TROUBLE, COMMITTED, REQUEST, CANCEL };

struct event {
    enum happening what;
    uint64_t id;
    uint32_t value; /* task, reason, purpose, or time passed */
};

struct world {
    struct round machine;
    uint64_t storage[STORAGE_WORDS];
    struct witness witness;
    int64_t now_ns;
};

static bool witness_due(const struct world *world)
{
    int64_t interval_ns = world->machine.options.interval_ns;
    const struct witness *witness = &world->witness;
    return interval_ns > 0 && !witness->over &&
           (world->now_ns - witness->start_ns) / interval_ns > witness->grid_taken;
}

static bool witness_complete(const struct world *world)
{
    return world->witness.durable && world->witness.sealed == world->machine.task_count;
}

static bool witness_late(const struct world *world)
{
    const struct witness *witness = &world->witness;
    return world->now_ns - witness->trigger_ns >= world->machine.options.timeout_ns;
}

static bool may_claim(const struct world *world)
{
    const struct witness *witness = &world->witness;
    bool wanted = witness->wanted != 0 || witness_due(world);
    bool rested = world->now_ns - witness->end_ns >= world->machine.options.min_pause_ns ||
                  (witness->wanted & (ROUND_STOP | ROUND_FINAL)) != 0;
    return !witness->open && !witness->tell_due && !witness->over && wanted && rested; /* R1 */
}

static bool may_abort(const struct world *world)
{
    const struct witness *witness = &world->witness;
    if (!witness->open)
        return false; /* R4 */
    if (witness->reason != ROUND_NONE)
        return true;
    return !witness->committing && witness_late(world) && !witness_complete(world); /* R5 */
}

/* Is this action right, now? WAIT is right when nothing else is. */
static bool may(const struct world *world, enum round_do what)
{
    const struct witness *witness = &world->witness;
    bool healthy = witness->open && witness->reason == ROUND_NONE;
    switch (what) {
    case ROUND_CLAIM:
        return may_claim(world);
    case ROUND_ANNOUNCE:
        return healthy && witness->claimed && !witness->announced && !witness_late(world);
    case ROUND_COMMIT:
        return healthy && witness->announced && !witness->committing && witness_complete(world);
    case ROUND_TELL:
        return witness->tell_due;
    case ROUND_ABORT:
        return may_abort(world);
    case ROUND_FAIL:
        return witness->fail_due;
    case ROUND_WAIT:
        for (int other = ROUND_CLAIM; other <= ROUND_FAIL; other++)
            if (may(world, (enum round_do)other))
                return false;
        return true;
    }
    return false;
}

/* --- what an action and an event do to the witness ----------------------------------------- */

static void note_claim(struct world *world)
{
    struct witness *witness = &world->witness;
    witness->purposes = witness->wanted | (witness_due(world) ? ROUND_INTERVAL : 0u);
    if (witness_due(world))
        witness->grid_taken =
            (world->now_ns - witness->start_ns) / world->machine.options.interval_ns;
    witness->wanted = 0;
    witness->id++;
    witness->open = true;
    witness->claimed = witness->announced = witness->committing = witness->durable = false;
    witness->sealed = 0;
    memset(witness->has_sealed, 0, sizeof witness->has_sealed);
    witness->reason = ROUND_NONE;
    witness->trigger_ns = world->now_ns;
}

static void note_abort(struct world *world)
{
    struct witness *witness = &world->witness;
    if (witness->reason == ROUND_NONE)
        witness->reason = ROUND_TIMEOUT;
    witness->open = false;
    witness->end_ns = world->now_ns;
    if (witness->reason == ROUND_CANCELLED)
        return;
    witness->failures++;
    if (witness->failures > world->machine.options.tolerated)
        witness->fail_due = witness->over = true;
}

static void note_action(struct world *world, enum round_do what)
{
    struct witness *witness = &world->witness;
    if (what == ROUND_CLAIM)
        note_claim(world);
    if (what == ROUND_ANNOUNCE)
        witness->announced = true;
    if (what == ROUND_COMMIT)
        witness->committing = true;
    if (what == ROUND_ABORT)
        note_abort(world);
    if (what == ROUND_FAIL)
        witness->fail_due = false;
    if (what == ROUND_TELL) {
        witness->tell_due = false;
        witness->end_ns = world->now_ns;
    }
}

static const char *judge_deadline(const struct world *world, int64_t deadline_ns)
{
    struct world later = *world;
    if (deadline_ns != INT64_MAX && deadline_ns <= world->now_ns)
        return "waits for the past";
    later.now_ns = deadline_ns == INT64_MAX ? world->now_ns + 1000000 : deadline_ns - 1;
    if (!may(&later, ROUND_WAIT))
        return "waits too long";
    later.now_ns = deadline_ns;
    if (deadline_ns != INT64_MAX && may(&later, ROUND_WAIT))
        return "does not wait until something is due";
    return NULL;
}

static const char *next_action(struct world *world, enum round_do *what)
{
    struct round_action action = round_next(&world->machine, world->now_ns);
    *what = action.what;
    if (!may(world, action.what))
        return "does what it may not do now";
    if (action.what == ROUND_WAIT)
        return judge_deadline(world, action.deadline_ns);
    note_action(world, action.what);
    if (action.id != world->witness.id)
        return "names another id"; /* R2 */
    if (action.what == ROUND_CLAIM && action.purposes != world->witness.purposes)
        return "forgets or invents a purpose";
    bool reasoned = action.what == ROUND_ABORT || action.what == ROUND_FAIL;
    if (action.reason != (reasoned ? world->witness.reason : (uint32_t)ROUND_NONE))
        return "names another reason";
    return NULL;
}

/* False when the event came for another id, or too late, or too early: it must change nothing. */
static bool note_event(struct world *world, const struct event *event)
{
    struct witness *witness = &world->witness;
    bool current = witness->open && event->id == witness->id;
    bool cutting = current && witness->announced && !witness->committing;
    switch (event->what) {
    case CLAIMED:
        if (!current || witness->claimed)
            return false;
        return witness->claimed = true;
    case SEALED:
        if (cutting && !witness->has_sealed[event->value])
            witness->sealed++;
        if (cutting)
            witness->has_sealed[event->value] = true;
        return cutting;
    case DURABLE:
        witness->durable = witness->durable || cutting;
        return cutting;
    case TROUBLE:
        if (!current || (witness->committing && event->value != ROUND_STORE_FAILED))
            return false;
        if (witness->reason == ROUND_NONE)
            witness->reason = event->value;
        return true;
    case COMMITTED:
        if (!current || !witness->committing || witness->reason != ROUND_NONE)
            return false;
        witness->open = false;
        witness->failures = 0;
        return witness->tell_due = true;
    default:
        return true;
    }
}

static void note_wish(struct world *world, const struct event *event)
{
    struct witness *witness = &world->witness;
    if (event->what == TIME)
        world->now_ns += event->value;
    if (event->what == REQUEST)
        witness->wanted |= event->value;
    if (event->what != CANCEL)
        return;
    witness->over = true;
    if (witness->open && !witness->committing)
        witness->reason = ROUND_CANCELLED;
}

static void send(struct round *round, const struct event *event)
{
    switch (event->what) {
    case CLAIMED:
        round_claimed(round, event->id);
        return;
    case SEALED:
        round_sealed(round, event->id, event->value);
        return;
    case DURABLE:
        round_durable(round, event->id);
        return;
    case TROUBLE:
        round_trouble(round, event->id, (enum round_reason)event->value);
        return;
    case COMMITTED:
        round_committed(round, event->id);
        return;
    case REQUEST:
        round_request(round, (enum round_purpose)event->value);
        return;
    case CANCEL:
        round_cancel(round);
        return;
    case NEXT_ACTION:
    case TIME:
        return;
    }
}

static const char *judge_sealed(const struct world *world)
{
    for (uint32_t task = 0; task < world->machine.task_count; task++)
        if (round_is_sealed(&world->machine, task) != world->witness.has_sealed[task])
            return "is wrong about who has sealed";
    return NULL;
}

/* What is wrong, or NULL. */
static const char *happen(struct world *world, const struct event *event)
{
    enum round_do what;
    if (event->what == NEXT_ACTION)
        return next_action(world, &what);
    uint64_t late = world->machine.late;
    note_wish(world, event);
    late += !note_event(world, event);
    send(&world->machine, event);
    if (world->machine.late != late)
        return "counts late events wrongly"; /* R4 */
    return judge_sealed(world);
}

static void world_start(struct world *world, const struct round_options *options,
                        uint32_t task_count)
{
    memset(world, 0, sizeof *world);
    world->witness.end_ns = -options->min_pause_ns;
    round_init(&world->machine, options, task_count, world->storage, 1, 0);
}

/* --- all reachable states ------------------------------------------------------------------- */

enum { TICK = 10, TIME_MAX = 40, EVENTS_MAX = 40, IDS = 2, QUEUE_MAX = 1 << 19 };

struct step {
    struct world world;
    uint32_t from;  /* index of the step before */
    uint32_t event; /* that led here */
};

struct search {
    struct event events[EVENTS_MAX];
    uint32_t event_count;
    struct step *queue;
    uint32_t queued;
    struct seen seen;
    uint64_t tried;
};

static void add_event(struct search *search, enum happening what, uint64_t id, uint32_t value)
{
    cr_assert_lt(search->event_count, EVENTS_MAX);
    search->events[search->event_count++] = (struct event){what, id, value};
}

static void list_events(struct search *search, uint32_t task_count)
{
    add_event(search, NEXT_ACTION, 0, 0);
    add_event(search, TIME, 0, TICK);
    add_event(search, REQUEST, 0, ROUND_REQUEST);
    add_event(search, REQUEST, 0, ROUND_STOP);
    add_event(search, CANCEL, 0, 0);
    for (uint64_t id = 1; id <= IDS; id++) {
        add_event(search, CLAIMED, id, 0);
        for (uint32_t task = 0; task < task_count; task++)
            add_event(search, SEALED, id, task);
        add_event(search, DURABLE, id, 0);
        add_event(search, TROUBLE, id, ROUND_REFUSED);
        add_event(search, TROUBLE, id, ROUND_STORE_FAILED);
        add_event(search, COMMITTED, id, 0);
    }
}

static void explain(const struct search *search, uint32_t from, uint32_t last, const char *wrong)
{
    char order[1024] = "";
    size_t at = sizeof order - 1;
    const char *letters = ".tcsdxork"; /* by enum happening */
    for (uint32_t event = last;;
         event = search->queue[from].event, from = search->queue[from].from) {
        const struct event *what = &search->events[event];
        at -= 4;
        order[at] = letters[what->what];
        order[at + 1] = (char)('0' + what->id);
        order[at + 2] = (char)('0' + what->value % 10);
        order[at + 3] = ' ';
        if (from == 0 || at < 8)
            break;
    }
    cr_assert_fail("it %s, after (event, id, value): %s", wrong, order + at);
}

static bool is_new(struct search *search, struct world *world)
{
    uint64_t late = world->machine.late; /* judged at each step; it would keep states apart */
    world->machine.late = 0;
    uint64_t fingerprint = explore_fingerprint(world, sizeof *world);
    world->machine.late = late;
    return seen_add(&search->seen, fingerprint);
}

/* The machine points into the world, so every world lives at one address while it is used. */
static void expand(struct search *search, struct world *world, uint32_t from)
{
    for (uint32_t event = 0; event < search->event_count; event++) {
        memcpy(world, &search->queue[from].world, sizeof *world);
        if (search->events[event].what == TIME && world->now_ns >= TIME_MAX)
            continue;
        search->tried++;
        const char *wrong = happen(world, &search->events[event]);
        if (wrong != NULL)
            explain(search, from, event, wrong);
        if (world->witness.id > IDS || !is_new(search, world))
            continue;
        cr_assert_lt(search->queued, QUEUE_MAX);
        struct step *step = &search->queue[search->queued++];
        memcpy(&step->world, world, sizeof *world);
        step->from = from;
        step->event = event;
    }
}

static void every_state(const struct round_options *options, uint32_t task_count)
{
    static struct world world;
    struct search search = {.queue = calloc(QUEUE_MAX, sizeof *search.queue)};
    cr_assert_not_null(search.queue);
    list_events(&search, task_count);
    world_start(&world, options, task_count);
    is_new(&search, &world);
    memcpy(&search.queue[search.queued++].world, &world, sizeof world);
    for (uint32_t from = 0; from < search.queued; from++)
        expand(&search, &world, from);
    cr_log_info("%u states, %llu events", search.queued, (unsigned long long)search.tried);
    cr_assert_gt(search.queued, 1000);
    seen_free(&search.seen);
    free(search.queue);
}

static void every_state_with(uint32_t task_count)
{
    struct round_options patient = {.timeout_ns = 20, .min_pause_ns = 10, .tolerated = 1};
    struct round_options strict = {.interval_ns = 10, .timeout_ns = 20, .tolerated = 0};
    every_state(&patient, task_count);
    every_state(&strict, task_count);
}

Test(round, keeps_its_rules_in_every_state_with_one_task)
{
    every_state_with(1);
}

Test(round, keeps_its_rules_in_every_state_with_two_tasks)
{
    every_state_with(2);
}

Test(round, keeps_its_rules_in_every_state_with_three_tasks)
{
    every_state_with(3);
}

/* --- a long walk ------------------------------------------------------------------------------ */

static struct event random_event(uint64_t *random, const struct world *world)
{
    uint32_t draw = explore_below(random, 1000);
    uint64_t off = explore_below(random, 30) == 0; /* now and then another id */
    struct event event = {NEXT_ACTION, world->witness.id + off - 2 * (off & draw), 0};
    if (draw < 350)
        return event;
    if (draw < 450)
        return (struct event){TIME, 0, explore_below(random, 12)};
    if (draw < 500)
        event.what = CLAIMED;
    else if (draw < 600)
        event.what = DURABLE;
    else if (draw < 650)
        event.what = COMMITTED;
    else if (draw < 655)
        event = (struct event){TROUBLE, event.id, 1 + explore_below(random, ROUND_CANCELLED)};
    else if (draw < 670)
        event = (struct event){REQUEST, 0, 1u << explore_below(random, 4)};
    else
        event = (struct event){SEALED, event.id, explore_below(random, world->machine.task_count)};
    return event;
}

static struct round_options random_options(uint64_t *random)
{
    return (struct round_options){
        .interval_ns = explore_below(random, 3) == 0 ? 0 : 1 + explore_below(random, 100),
        .min_pause_ns = explore_below(random, 2) == 0 ? 0 : explore_below(random, 100),
        .timeout_ns = 1 + explore_below(random, 3000),
        .tolerated = explore_below(random, 5) == 0 ? UINT32_MAX : explore_below(random, 4),
    };
}

/* Returns the number of rounds that were committed. */
static uint32_t walk(uint64_t seed, uint64_t number, uint32_t steps)
{
    static struct world world;
    uint64_t random = explore_mix(seed) + number;
    uint32_t committed = 0;
    struct round_options options = random_options(&random);
    world_start(&world, &options, 1 + explore_below(&random, number % 4 == 0 ? TASKS_MAX : 5));
    for (uint32_t step = 0; step < steps; step++) {
        struct event event = random_event(&random, &world);
        if (step == steps - 50)
            event = (struct event){CANCEL, 0, 0};
        bool told = world.witness.tell_due;
        const char *wrong = happen(&world, &event);
        cr_assert_null(wrong, "it %s: WEIR_TEST_SEED=%llu, walk %llu, step %u", wrong,
                       (unsigned long long)seed, (unsigned long long)number, step);
        committed += told && !world.witness.tell_due;
    }
    return committed;
}

Test(round, keeps_its_rules_in_a_random_walk)
{
    uint32_t committed = 0;
    for (uint64_t number = 0; number < 100; number++)
        committed += walk(explore_seed(), number, 2000);
    cr_log_info("%u rounds committed", committed);
    cr_assert_gt(committed, 500, "the walk hardly commits: %u", committed);
}
