/* SPDX-License-Identifier: Apache-2.0
 *
 *    due, request            claimed           sealed by all          durable, the oldest
 *   -------------> CLAIMING ---------> CUTTING -------------> WRITING -------------> COMMITTING
 *      does CLAIM      |    does ANNOUNCE, |                     |      does COMMIT    |    |
 *                      |    OVERTAKE       |                     |                     |    |
 *   <----- ABORT ------+------- trouble, time limit, cancel -----+---- STORE_FAILED ---+    |
 *   <----- TELL ------------------------------------------------------------- committed ----+
 *
 *   phase        action handed out     left by                                       to
 *   (none)                             due, request                                  CLAIMING
 *   CLAIMING     CLAIM (on entering)   rounds_claimed                                CUTTING
 *   CUTTING      ANNOUNCE, OVERTAKE    rounds_sealed of the last task                WRITING
 *   WRITING                            durable, and no lower id is unfinished        COMMITTING
 *   COMMITTING   COMMIT (on entering)  rounds_committed                              TELL, out
 *   any          ABORT (on leaving)    trouble, in COMMITTING only STORE_FAILED      out
 *
 * CLAIMING and CUTTING belong to the newest round alone (R1), COMMITTING to the oldest (R3).
 *
 * Events only note what happened; actions come out of rounds_next alone, so that the order in which
 * a handful of events is reported between two calls can't matter, but for several troubles of one
 * round, of which the first is told. Of completion and trouble, trouble wins until COMMIT was
 * handed out: a round that was given up can be taken again, a committed one can't be taken back.
 */
#undef NDEBUG /* asserts stay on in release: what is committed too early is lost */

#include "round.h"

#include "bits.h"
#include "plant.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#define LAST_ONES ((uint32_t)(ROUND_STOP | ROUND_FINAL))

uint32_t rounds_words(uint32_t task_count)
{
    assert(task_count > 0);
    return ROUND_LIMIT * bits_words(task_count);
}

/* Of two non-negative times; INT64_MAX is "never" and stays so. */
static int64_t later(int64_t time_ns, int64_t span_ns)
{
    assert(span_ns >= 0);
    return time_ns > INT64_MAX - span_ns ? INT64_MAX : time_ns + span_ns;
}

static int64_t earlier_of(int64_t a_ns, int64_t b_ns)
{
    return a_ns < b_ns ? a_ns : b_ns;
}

static bool has_come(int64_t at_ns, int64_t now_ns)
{
    return at_ns <= now_ns && at_ns != INT64_MAX;
}

void rounds_init(struct rounds *rounds, const struct round_options *options, uint32_t task_count,
                 uint64_t *storage, uint64_t next_id, int64_t now_ns)
{
    assert(task_count > 0 && storage != NULL);
    assert(options->timeout_ns > 0 && options->interval_ns >= 0);
    assert(options->min_pause_ns >= 0 && options->alignment_max_ns >= 0);
    assert(options->at_once > 0 && options->at_once <= ROUND_LIMIT);
    assert(next_id > 0);
    *rounds = (struct rounds){
        .options = *options,
        .task_count = task_count,
        .last_id = next_id - 1,
        .next_id = next_id,
        .due_ns = options->interval_ns > 0 ? later(now_ns, options->interval_ns) : INT64_MAX,
        .rest_until_ns = now_ns,
    };
    for (uint32_t at = 0; at < ROUND_LIMIT; at++)
        rounds->open[at].sealed = storage + (size_t)at * bits_words(task_count);
}

/* --- the unfinished ------------------------------------------------------------------------ */

static bool sealed_by_all(const struct round *round)
{
    return round->sealed_count == round->task_count;
}

static bool is_complete(const struct round *round)
{
    return round->durable && sealed_by_all(round);
}

/* R6 */
static uint32_t at_once(const struct round_options *options)
{
    return options->min_pause_ns > 0 ? 1 : options->at_once;
}

static uint32_t index_of(const struct rounds *rounds, uint64_t id)
{
    uint32_t at = 0;
    while (at < rounds->open_count && rounds->open[at].id != id)
        at++;
    return at;
}

static struct round *find(struct rounds *rounds, uint64_t id)
{
    uint32_t at = index_of(rounds, id);
    return at < rounds->open_count ? &rounds->open[at] : NULL;
}

const struct round *rounds_find(const struct rounds *rounds, uint64_t id)
{
    uint32_t at = index_of(rounds, id);
    return at < rounds->open_count ? &rounds->open[at] : NULL;
}

static const struct round *newest(const struct rounds *rounds)
{
    return rounds->open_count > 0 ? &rounds->open[rounds->open_count - 1] : NULL;
}

const struct round *rounds_cutting(const struct rounds *rounds)
{
    const struct round *round = newest(rounds);
    return round != NULL && round->phase <= ROUND_CUTTING ? round : NULL; /* R1 */
}

/* What holds whenever an action is asked for. */
static void check(const struct rounds *rounds)
{
    assert(rounds->last_id < rounds->next_id);               /* R2 */
    assert(rounds->open_count <= at_once(&rounds->options)); /* R6 */
    for (uint32_t at = 0; at < rounds->open_count; at++) {
        const struct round *round = &rounds->open[at];
        bool is_newest = round == newest(rounds);
        assert(is_newest ? round->id <= rounds->last_id : round->id < round[1].id);         /* R2 */
        assert(is_newest || (round->phase > ROUND_CUTTING &&                                /* R1 */
                             (round->purposes & LAST_ONES) == 0));                          /* R9 */
        assert(sealed_by_all(round) == (round->phase > ROUND_CUTTING));                     /* P8 */
        assert(round->phase != ROUND_COMMITTING || (at == 0 && is_complete(round)));        /* R3 */
        assert(!round->committed || (round->phase == ROUND_COMMITTING && !round->trouble)); /* R5 */
    }
}

/* --- events ------------------------------------------------------------------------------- */

/* R4 */
static bool counts(struct rounds *rounds, bool expected)
{
    rounds->late += !expected;
    return expected;
}

/* From ANNOUNCE to COMMIT: what tasks and the writer answer counts. */
static bool takes_answers(const struct round *round)
{
    return round->asked && round->phase < ROUND_COMMITTING;
}

void rounds_request(struct rounds *rounds, enum round_purpose purpose)
{
    assert(purpose > 0 && purpose < 2 * ROUND_FINAL);
    rounds->wanted |= (uint32_t)purpose;
}

void rounds_claimed(struct rounds *rounds, uint64_t id)
{
    struct round *round = find(rounds, id);
    if (counts(rounds, round != NULL && round->phase == ROUND_CLAIMING))
        round->phase = ROUND_CUTTING;
}

void rounds_sealed(struct rounds *rounds, uint64_t id, uint32_t task, int64_t now_ns)
{
    assert(task < rounds->task_count);
    struct round *round = find(rounds, id);
    if (!counts(rounds, round != NULL && takes_answers(round)) || bits_has(round->sealed, task))
        return;
    assert(round->phase == ROUND_CUTTING);
    bits_add(round->sealed, task);
    round->sealed_count++;
    if (!sealed_by_all(round))
        return;
    round->sealed_ns = now_ns;
    round->phase = ROUND_WRITING;
}

void rounds_durable(struct rounds *rounds, uint64_t id)
{
    struct round *round = find(rounds, id);
    if (counts(rounds, round != NULL && takes_answers(round)))
        round->durable = true;
}

void rounds_spent(struct rounds *rounds, uint64_t id)
{
    struct round *round = find(rounds, id);
    if (counts(rounds, round != NULL && round->asked && round->phase == ROUND_CUTTING))
        round->spent = true;
}

void rounds_trouble(struct rounds *rounds, uint64_t id, enum round_reason reason)
{
    assert(reason > ROUND_NONE && reason <= ROUND_CANCELLED);
    struct round *round = find(rounds, id);
    bool heard = round != NULL && !round->committed &&
                 (round->phase != ROUND_COMMITTING || reason == ROUND_STORE_FAILED); /* R5 */
    if (!counts(rounds, heard))
        return;
    if (round->trouble == ROUND_NONE || reason == ROUND_CANCELLED) /* R4 */
        round->trouble = reason;
}

void rounds_committed(struct rounds *rounds, uint64_t id)
{
    struct round *round = find(rounds, id);
    if (counts(rounds, round != NULL && round->phase == ROUND_COMMITTING && !round->committed &&
                           round->trouble == ROUND_NONE))
        round->committed = true;
}

void rounds_cancel(struct rounds *rounds)
{
    rounds->cancelled = true;
    for (uint32_t at = 0; at < rounds->open_count; at++)
        if (rounds->open[at].phase != ROUND_COMMITTING) /* R5 */
            rounds->open[at].trouble = ROUND_CANCELLED;
}

/* --- actions ------------------------------------------------------------------------------ */

static struct round_action of_round(const struct round *round, enum round_do what)
{
    return (struct round_action){
        .what = what,
        .reason = round->trouble,
        .id = round->id,
        .triggered_ns = round->triggered_ns,
        .sealed_ns = round->sealed_ns,
        .purposes = round->purposes,
        .sealed_count = round->sealed_count,
        .overtaken = round->overtaken,
        .deadline_ns = INT64_MAX,
    };
}

static struct round_action wait_until(int64_t deadline_ns)
{
    return (struct round_action){.what = ROUND_WAIT, .deadline_ns = deadline_ns};
}

/* Takes it out of the list, in which the order of ids stays; its storage goes to the free ones. */
static void finish(struct rounds *rounds, struct round *round, int64_t now_ns)
{
    uint64_t *storage = round->sealed;
    struct round *last = &rounds->open[--rounds->open_count];
    memmove(round, round + 1, (size_t)(last - round) * sizeof *round);
    *last = (struct round){.sealed = storage};
    rounds->rest_until_ns = later(now_ns, rounds->options.min_pause_ns);
}

static struct round_action tell(struct rounds *rounds, struct round *round, int64_t now_ns)
{
    assert(round == rounds->open && round->phase == ROUND_COMMITTING); /* R3 */
    struct round_action action = of_round(round, ROUND_TELL);
    finish(rounds, round, now_ns);
    rounds->failures = 0; /* R10 */
    return action;
}

static struct round_action give_up(struct rounds *rounds, struct round *round, int64_t now_ns)
{
    if (round->trouble == ROUND_NONE)
        round->trouble = ROUND_TIMEOUT;
    assert(round->phase != ROUND_COMMITTING || round->trouble == ROUND_STORE_FAILED); /* R5 */
    struct round_action action = of_round(round, ROUND_ABORT);
    finish(rounds, round, now_ns);
    if (action.reason == ROUND_CANCELLED)
        return action;
    rounds->failures++;
    rounds->failed = rounds->failures > rounds->options.tolerated; /* R10 */
    if (rounds->failed) {
        rounds->failure = action;
        rounds->failure.what = ROUND_FAIL;
    }
    return action;
}

/* R7: when it will have taken too long. */
static int64_t give_up_ns(const struct rounds *rounds, const struct round *round)
{
    if (round->phase == ROUND_COMMITTING || is_complete(round) || WEIR_PLANT(deadline_never))
        return INT64_MAX;
    return later(round->triggered_ns, rounds->options.timeout_ns);
}

/* R8: when it is to be overtaken; the past, when a budget is spent. */
static int64_t overtake_ns(const struct rounds *rounds, const struct round *round)
{
    int64_t span_ns = rounds->options.alignment_max_ns;
    bool open = round->asked && round->phase == ROUND_CUTTING && !round->overtaken;
    if (!open || span_ns == INT64_MAX)
        return INT64_MAX;
    return round->spent ? round->triggered_ns : later(round->triggered_ns, span_ns);
}

/* What is due for one round; WAIT when nothing is. */
static enum round_do due(const struct rounds *rounds, const struct round *round, int64_t now_ns)
{
    if (round->committed)
        return ROUND_TELL;
    if (round->trouble != ROUND_NONE || has_come(give_up_ns(rounds, round), now_ns))
        return ROUND_ABORT;
    if (round->phase == ROUND_WRITING && is_complete(round) && round == rounds->open)
        return ROUND_COMMIT; /* R3 */
    if (round->phase == ROUND_CUTTING && !round->asked)
        return ROUND_ANNOUNCE;
    return has_come(overtake_ns(rounds, round), now_ns) ? ROUND_OVERTAKE : ROUND_WAIT;
}

/* The grid of the interval is kept; however many points of it have passed, they are one trigger. */
static void skip_to_next_due(struct rounds *rounds, int64_t now_ns)
{
    int64_t interval_ns = rounds->options.interval_ns;
    assert(interval_ns > 0 && rounds->due_ns <= now_ns);
    int64_t behind_ns = (now_ns - rounds->due_ns) % interval_ns;
    rounds->due_ns = later(now_ns, interval_ns - behind_ns);
    assert(rounds->due_ns > now_ns);
}

static struct round_action trigger(struct rounds *rounds, int64_t now_ns)
{
    assert(rounds_cutting(rounds) == NULL);    /* R1 */
    assert(rounds->open_count < ROUND_LIMIT);  /* R6 */
    assert(rounds->next_id > rounds->last_id); /* R2 */
    struct round *round = &rounds->open[rounds->open_count++];
    *round = (struct round){
        .id = rounds->next_id++,
        .triggered_ns = now_ns,
        .sealed = round->sealed,
        .task_count = rounds->task_count,
        .purposes = rounds->wanted,
        .phase = ROUND_CLAIMING,
    };
    bits_clear(round->sealed, round->task_count);
    rounds->last_id = round->id;
    rounds->wanted = 0;
    if (has_come(rounds->due_ns, now_ns)) {
        round->purposes |= ROUND_INTERVAL;
        skip_to_next_due(rounds, now_ns);
    }
    assert(round->purposes != 0);
    return of_round(round, ROUND_CLAIM);
}

/* When the next round may begin, as far as is known now. */
static int64_t trigger_ns(const struct rounds *rounds, int64_t now_ns)
{
    const struct round *round = newest(rounds);
    if (rounds->cancelled || rounds->open_count >= at_once(&rounds->options)) /* R6 */
        return INT64_MAX;
    if (round != NULL && (round->phase <= ROUND_CUTTING || (round->purposes & LAST_ONES) != 0))
        return INT64_MAX; /* R1, R9 */
    if (rounds->wanted & LAST_ONES)
        return now_ns;
    if (rounds->wanted != 0)
        return rounds->rest_until_ns;
    return rounds->due_ns > rounds->rest_until_ns ? rounds->due_ns : rounds->rest_until_ns;
}

/* R10: what is a fact already is told, nothing else. */
static struct round_action next_failed(struct rounds *rounds, int64_t now_ns)
{
    if (rounds->fail_told)
        return wait_until(INT64_MAX);
    if (rounds->open_count > 0 && rounds->open[0].committed)
        return tell(rounds, &rounds->open[0], now_ns);
    rounds->fail_told = true;
    return rounds->failure;
}

/* Notes that this is handed out, and hands it out. */
static struct round_action hand_out(struct rounds *rounds, struct round *round, enum round_do what,
                                    int64_t now_ns)
{
    switch (what) {
    case ROUND_TELL:
        return tell(rounds, round, now_ns);
    case ROUND_ABORT:
        return give_up(rounds, round, now_ns);
    case ROUND_ANNOUNCE:
        assert(round->phase == ROUND_CUTTING && !round->asked);
        round->asked = true;
        break;
    case ROUND_OVERTAKE:
        assert(takes_answers(round) && !sealed_by_all(round) && !round->overtaken); /* R8 */
        round->overtaken = true;
        break;
    case ROUND_COMMIT:
        assert(round == rounds->open && is_complete(round) && round->asked); /* R3 */
        round->phase = ROUND_COMMITTING;
        break;
    case ROUND_WAIT:
    case ROUND_CLAIM:
    case ROUND_FAIL:
        assert(!"due for an unfinished round");
    }
    return of_round(round, what);
}

struct round_action rounds_next(struct rounds *rounds, int64_t now_ns)
{
    check(rounds);
    if (rounds->failed)
        return next_failed(rounds, now_ns);
    int64_t deadline_ns = trigger_ns(rounds, now_ns);
    for (uint32_t at = 0; at < rounds->open_count; at++) {
        struct round *round = &rounds->open[at];
        enum round_do what = due(rounds, round, now_ns);
        if (what != ROUND_WAIT)
            return hand_out(rounds, round, what, now_ns);
        deadline_ns = earlier_of(deadline_ns, give_up_ns(rounds, round));
        deadline_ns = earlier_of(deadline_ns, overtake_ns(rounds, round));
    }
    if (has_come(trigger_ns(rounds, now_ns), now_ns))
        return trigger(rounds, now_ns);
    return wait_until(deadline_ns);
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
        [ROUND_BUDGET] = "more was in flight than may be recorded",
        [ROUND_MEMORY] = "with it there was more in memory than may be",
        [ROUND_CANCELLED] = "cancelled",
    };
    assert(reason >= ROUND_NONE && reason <= ROUND_CANCELLED);
    return texts[reason];
}

const char *round_purpose_text(uint32_t purposes)
{
    static const char *const texts[] = {"interval",  "loop", "request",
                                        "savepoint", "stop", "final"};
    assert(purposes != 0 && purposes < 2 * ROUND_FINAL);
    uint32_t highest = 0;
    while (purposes >> (highest + 1) != 0)
        highest++;
    return texts[highest];
}
