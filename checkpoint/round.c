/* SPDX-License-Identifier: Apache-2.0
 *
 *   phase        action handed out     left by                                          to
 *   IDLE         TELL, FAIL (once)     due, request                                     CLAIMING
 *   CLAIMING     CLAIM (on entering)   round_claimed                                    CUTTING
 *   CUTTING      ANNOUNCE              all sealed and durable                           COMMITTING
 *   COMMITTING   COMMIT (on entering)  round_committed (TELL next)                      IDLE
 *   any but IDLE ABORT                 trouble, in COMMITTING only STORE_FAILED         IDLE
 *
 * Events only note what happened; round_next alone moves on, so that the order in which a handful
 * of events is reported between two calls can't matter, but for commit or trouble: trouble wins,
 * for a round that was given up can be taken again and a committed one can't be taken back.
 *
 * `asked` means: ANNOUNCE was handed out (CUTTING), FAIL was handed out (IDLE).
 */
#undef NDEBUG /* asserts stay on in release: what is committed too early is lost */

#include "round.h"

#include "bits.h"

#include <assert.h>

uint32_t round_words(uint32_t task_count)
{
    assert(task_count > 0);
    return bits_words(task_count);
}

/* Of two non-negative times; INT64_MAX is "never" and stays so. */
static int64_t later(int64_t time_ns, int64_t span_ns)
{
    assert(span_ns >= 0);
    return time_ns > INT64_MAX - span_ns ? INT64_MAX : time_ns + span_ns;
}

void round_init(struct round *round, const struct round_options *options, uint32_t task_count,
                uint64_t *storage, uint64_t next_id, int64_t now_ns)
{
    assert(task_count > 0 && storage != NULL);
    assert(options->timeout_ns > 0 && options->interval_ns >= 0 && options->min_pause_ns >= 0);
    assert(next_id > 0);
    *round = (struct round){
        .options = *options,
        .task_count = task_count,
        .sealed = storage,
        .id = next_id - 1,
        .next_id = next_id,
        .due_ns = options->interval_ns > 0 ? later(now_ns, options->interval_ns) : INT64_MAX,
        .rest_until_ns = now_ns,
    };
    bits_clear(round->sealed, task_count);
}

/* --- events ------------------------------------------------------------------------------- */

static bool concerns(struct round *round, uint64_t id, bool expected)
{
    if (id == round->id && expected)
        return true;
    round->late++; /* R4 */
    return false;
}

void round_request(struct round *round, enum round_purpose purpose)
{
    assert(purpose > 0 && purpose < 2 * ROUND_FINAL);
    round->wanted |= (uint32_t)purpose;
}

void round_claimed(struct round *round, uint64_t id)
{
    if (!concerns(round, id, round->phase == ROUND_CLAIMING))
        return;
    assert(!round->asked);
    round->phase = ROUND_CUTTING;
}

void round_sealed(struct round *round, uint64_t id, uint32_t task)
{
    assert(task < round->task_count);
    if (!concerns(round, id, round->phase == ROUND_CUTTING && round->asked))
        return;
    if (bits_has(round->sealed, task))
        return;
    bits_add(round->sealed, task);
    round->sealed_count++;
    assert(round->sealed_count <= round->task_count);
}

void round_durable(struct round *round, uint64_t id)
{
    if (concerns(round, id, round->phase == ROUND_CUTTING && round->asked))
        round->durable = true;
}

void round_trouble(struct round *round, uint64_t id, enum round_reason reason)
{
    assert(reason > ROUND_NONE && reason <= ROUND_CANCELLED);
    bool heard = round->phase == ROUND_CLAIMING || round->phase == ROUND_CUTTING ||
                 (round->phase == ROUND_COMMITTING && reason == ROUND_STORE_FAILED); /* R5 */
    if (concerns(round, id, heard) && round->trouble == ROUND_NONE)
        round->trouble = reason; /* R4: the first one is told */
}

void round_committed(struct round *round, uint64_t id)
{
    bool expected = round->phase == ROUND_COMMITTING && round->trouble == ROUND_NONE;
    if (!concerns(round, id, expected))
        return;
    assert(round->sealed_count == round->task_count && round->durable); /* R3 */
    round->phase = ROUND_IDLE;
    round->asked = false;
    round->tell = true;
    round->failures = 0;
}

void round_cancel(struct round *round)
{
    round->cancelled = true;
    if (round->phase == ROUND_CLAIMING || round->phase == ROUND_CUTTING)
        round->trouble = ROUND_CANCELLED; /* whatever came before no longer counts */
}

/* --- actions ------------------------------------------------------------------------------ */

static struct round_action of_round(const struct round *round, enum round_do what)
{
    return (struct round_action){
        .what = what,
        .id = round->id,
        .reason = what == ROUND_ABORT || what == ROUND_FAIL ? round->trouble : ROUND_NONE,
        .purposes = round->purposes,
        .deadline_ns = INT64_MAX,
    };
}

static struct round_action wait_until(const struct round *round, int64_t deadline_ns)
{
    struct round_action action = of_round(round, ROUND_WAIT);
    action.deadline_ns = deadline_ns;
    return action;
}

/* The grid of the interval is kept; however many points of it have passed, they are one trigger. */
static void skip_to_next_due(struct round *round, int64_t now_ns)
{
    int64_t interval_ns = round->options.interval_ns;
    assert(interval_ns > 0 && round->due_ns <= now_ns);
    int64_t behind_ns = (now_ns - round->due_ns) % interval_ns;
    round->due_ns = later(now_ns, interval_ns - behind_ns);
    assert(round->due_ns > now_ns);
}

static struct round_action trigger(struct round *round, int64_t now_ns)
{
    assert(round->phase == ROUND_IDLE && !round->tell); /* R1 */
    assert(round->next_id > round->id);                 /* R2 */
    round->id = round->next_id++;
    round->purposes = round->wanted;
    round->wanted = 0;
    if (round->due_ns <= now_ns) {
        round->purposes |= ROUND_INTERVAL;
        skip_to_next_due(round, now_ns);
    }
    bits_clear(round->sealed, round->task_count);
    round->sealed_count = 0;
    round->durable = false;
    round->asked = false;
    round->trouble = ROUND_NONE;
    round->triggered_ns = now_ns;
    round->phase = ROUND_CLAIMING;
    return of_round(round, ROUND_CLAIM);
}

/* When the next round may begin, as far as is known now. */
static int64_t ready_ns(const struct round *round, int64_t now_ns)
{
    if (round->cancelled || round->failed)
        return INT64_MAX;
    if (round->wanted & (ROUND_STOP | ROUND_FINAL))
        return now_ns;
    if (round->wanted != 0)
        return round->rest_until_ns;
    return round->due_ns > round->rest_until_ns ? round->due_ns : round->rest_until_ns;
}

static struct round_action next_idle(struct round *round, int64_t now_ns)
{
    if (round->tell) {
        round->tell = false;
        round->rest_until_ns = later(now_ns, round->options.min_pause_ns);
        return of_round(round, ROUND_TELL);
    }
    if (round->failed && !round->asked) {
        round->asked = true;
        return of_round(round, ROUND_FAIL);
    }
    int64_t at_ns = ready_ns(round, now_ns);
    if (at_ns == INT64_MAX || at_ns > now_ns)
        return wait_until(round, at_ns);
    return trigger(round, now_ns);
}

static struct round_action give_up(struct round *round, int64_t now_ns)
{
    assert(round->phase != ROUND_IDLE && round->trouble != ROUND_NONE);               /* R4 */
    assert(round->phase != ROUND_COMMITTING || round->trouble == ROUND_STORE_FAILED); /* R5 */
    round->phase = ROUND_IDLE;
    round->asked = false;
    round->rest_until_ns = later(now_ns, round->options.min_pause_ns);
    if (round->trouble != ROUND_CANCELLED) {
        round->failures++;
        round->failed = round->failures > round->options.tolerated;
    }
    return of_round(round, ROUND_ABORT);
}

static struct round_action commit(struct round *round)
{
    assert(round->phase == ROUND_CUTTING && round->trouble == ROUND_NONE);
    assert(round->sealed_count == round->task_count && round->durable); /* R3 */
    round->phase = ROUND_COMMITTING;
    return of_round(round, ROUND_COMMIT);
}

struct round_action round_next(struct round *round, int64_t now_ns)
{
    if (round->phase == ROUND_IDLE)
        return next_idle(round, now_ns);
    if (round->trouble != ROUND_NONE)
        return give_up(round, now_ns);
    if (round->phase == ROUND_COMMITTING)
        return wait_until(round, INT64_MAX); /* R5: only its answer decides */
    if (round->durable && round->sealed_count == round->task_count)
        return commit(round);
    int64_t deadline_ns = later(round->triggered_ns, round->options.timeout_ns);
    if (now_ns >= deadline_ns) {
        round->trouble = ROUND_TIMEOUT;
        return give_up(round, now_ns);
    }
    if (round->phase == ROUND_CUTTING && !round->asked) {
        round->asked = true;
        return of_round(round, ROUND_ANNOUNCE);
    }
    return wait_until(round, deadline_ns);
}

/* --- words -------------------------------------------------------------------------------- */

bool round_is_sealed(const struct round *round, uint32_t task)
{
    assert(task < round->task_count);
    return bits_has(round->sealed, task);
}

const char *round_reason_text(enum round_reason reason)
{
    static const char *const texts[] = {
        [ROUND_NONE] = "none",
        [ROUND_TIMEOUT] = "timed out",
        [ROUND_REFUSED] = "a task could not save itself",
        [ROUND_STORE_FAILED] = "the store could not write",
        [ROUND_CANCELLED] = "cancelled",
    };
    assert(reason >= ROUND_NONE && reason <= ROUND_CANCELLED);
    return texts[reason];
}

const char *round_purpose_text(uint32_t purposes)
{
    assert(purposes != 0 && purposes < 2 * ROUND_FINAL);
    if (purposes & ROUND_FINAL)
        return "final";
    if (purposes & ROUND_STOP)
        return "stop";
    return purposes & ROUND_REQUEST ? "request" : "interval";
}
