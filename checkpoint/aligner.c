/* SPDX-License-Identifier: Apache-2.0
 *
 *   event                      effect                                 verdict
 *   announced n > closed       bury below n, open n                   CUT when due, else DROP, NONE
 *   overtake n > closed        the same, and n is ordered             the same
 *   overtake n == cut          none                                   OVERTAKE (P5)
 *   marker n has arrived:
 *     n == recording           awaited no more                        NONE
 *     n <= closed              none: a stale marker is consumed       NONE (P9)
 *     else                     bury below n, open n; eager: ordered   CUT when due, else DROP, NONE
 *   END has arrived            awaited no more                        NONE
 *   marker n == open reached   marked: held                           CUT when due, else NONE
 *   marker n, else, reached    none                                   NONE
 *   END reached                stands for every marker                CUT when due, else NONE
 *   abort n                    bury up to n                           DROP or NONE
 *   cut                        close `open`, release all, recording   -
 *
 *   CUT is due for an open id
 *     ordered:  every aligned-only input has reached it or END                         (P4, P13)
 *     else:     every forward input has, and one of them the marker, or it was announced (P4, P2)
 *
 * One thing is done to ids: *bury*. Whatever proves that lower ids are dead - a newer marker, a
 * newer announcement (a round is announced only when every task reported the markers of the one
 * before in and out, or it was aborted, P10), an abort - closes all of them at once. So a jump in
 * ids needs no case, a late abort of a buried id changes nothing, and `open` is never below what a
 * later event can bring. What is being recorded is given up by the same proof.
 */
#undef NDEBUG /* asserts stay on in release: an aligner that is wrong loses records silently */

#include "aligner.h"

#include "plant.h"

#include <assert.h>
#include <stddef.h>

void aligner_init(struct aligner *aligner, struct aligner_input *inputs, uint32_t input_count,
                  bool eager, uint64_t closed)
{
    assert(inputs != NULL || input_count == 0);
    *aligner = (struct aligner){
        .inputs = inputs,
        .input_count = input_count,
        .eager = eager,
        .closed = closed,
        .announced = closed,
        .ordered = closed,
    };
    for (uint32_t i = 0; i < input_count; i++) {
        assert(!inputs[i].feedback || !inputs[i].aligned_only);
        inputs[i].arrived = inputs[i].reached =
            closed; /* an older id would be a channel going back */
        aligner->forward_count += !inputs[i].feedback;
        aligner->strict_count += inputs[i].aligned_only;
    }
}

/* ------------------------------------------------------------------------------------ ids -- */

static void unmark_all(struct aligner *aligner)
{
    aligner->open = 0;
    aligner->marked_count = 0;
    aligner->strict_covered = 0;
    for (uint32_t i = 0; aligner->strict_count > 0 && i < aligner->input_count; i++)
        aligner->strict_covered +=
            aligner->inputs[i].aligned_only && aligner->inputs[i].end_reached;
}

static void stop_recording(struct aligner *aligner)
{
    aligner->recording = 0;
    aligner->awaited_count = 0;
    aligner->frozen = false;
}

/* Closes every id up to `id` (P9). DROP when that gave one up. */
static unsigned bury(struct aligner *aligner, uint64_t id)
{
    unsigned verdict = ALIGNER_NONE;
    if (id > aligner->closed)
        aligner->closed = id;
    if (aligner->open != 0 && aligner->open <= id) {
        unmark_all(aligner);
        verdict = ALIGNER_DROP;
    }
    if (aligner->cut != 0 && aligner->cut <= id)
        aligner->cut = 0;
    if (aligner->recording != 0 && aligner->recording <= id) {
        stop_recording(aligner);
        verdict = ALIGNER_DROP;
    }
    return verdict;
}

/* The round exists: whatever was below it does not any more (P10). */
static unsigned notice(struct aligner *aligner, uint64_t id)
{
    assert(id > aligner->closed);
    if (aligner->open == id)
        return ALIGNER_NONE;
    unsigned verdict = bury(aligner, id - 1);
    assert(aligner->open == 0); /* a higher one would have closed this */
    aligner->open = id;
    return verdict;
}

static bool due(const struct aligner *aligner)
{
    if (aligner->open == 0)
        return false;
    if (aligner_overtakes(aligner))
        return aligner->strict_covered == aligner->strict_count ||
               WEIR_PLANT(aligned_only_overtaken); /* P13 */
    uint32_t covered = aligner->marked_count + aligner->ended_count;
    assert(covered <= aligner->forward_count); /* a held input is not read, so it can't end */
    bool named = aligner->marked_count > 0 || aligner->announced >= aligner->open;
    return covered == aligner->forward_count && named;
}

/* What holds between any two events. */
static void check(const struct aligner *aligner)
{
    assert(aligner->open == 0 || aligner->open > aligner->closed);         /* A1 */
    assert(aligner->recording == 0 || aligner->recording == aligner->cut); /* A4 */
    assert((aligner->recording == 0) == (aligner->awaited_count == 0));
    assert(!due(aligner)); /* a cut is never put off */
}

/* --------------------------------------------------------------------------------- events -- */

static unsigned judge(const struct aligner *aligner, unsigned verdict)
{
    return due(aligner) ? verdict | ALIGNER_CUT : verdict;
}

static void await_one_less(struct aligner *aligner)
{
    assert(aligner->awaited_count > 0);
    if (--aligner->awaited_count == 0)
        stop_recording(aligner);
}

unsigned aligner_announced(struct aligner *aligner, uint64_t id)
{
    assert(id > 0);
    check(aligner);
    if (id > aligner->announced)
        aligner->announced = id;
    if (id <= aligner->closed) /* P9 */
        return ALIGNER_NONE;
    if (aligner->eager && id > aligner->ordered)
        aligner->ordered = id;
    return judge(aligner, notice(aligner, id));
}

unsigned aligner_overtake(struct aligner *aligner, uint64_t id)
{
    assert(id > 0);
    check(aligner);
    if (id <= aligner->closed)
        return id == aligner->cut ? ALIGNER_OVERTAKE : ALIGNER_NONE; /* P5 */
    if (id > aligner->ordered)
        aligner->ordered = id;
    return judge(aligner, notice(aligner, id));
}

unsigned aligner_arrived(struct aligner *aligner, uint32_t input, uint64_t id)
{
    assert(input < aligner->input_count);
    check(aligner);
    struct aligner_input *at = &aligner->inputs[input];
    if (at->end_arrived || id <= at->arrived)
        return ALIGNER_ERROR;
    at->arrived = id;
    bool stale = id <= aligner->closed && id != aligner->recording;
    if (stale && WEIR_PLANT(late_marker_counted) && aligner->recording != 0) {
        at->arrived = aligner->recording;
        stale = false;
        id = aligner->recording;
    }
    if (stale) /* P9 */
        return ALIGNER_NONE;
    if (id == aligner->recording) {
        await_one_less(aligner);
        return ALIGNER_NONE;
    }
    if (aligner->eager && id > aligner->ordered)
        aligner->ordered = id;
    return judge(aligner, notice(aligner, id));
}

unsigned aligner_end_arrived(struct aligner *aligner, uint32_t input)
{
    assert(input < aligner->input_count);
    check(aligner);
    struct aligner_input *at = &aligner->inputs[input];
    if (at->end_arrived)
        return ALIGNER_ERROR;
    at->end_arrived = true;
    if (aligner->recording != 0 && at->arrived != aligner->recording)
        await_one_less(aligner); /* P8: END stands for the marker */
    return ALIGNER_NONE;
}

unsigned aligner_reached(struct aligner *aligner, uint32_t input, uint64_t id)
{
    assert(input < aligner->input_count);
    struct aligner_input *at = &aligner->inputs[input];
    assert(!aligner_holds(aligner, input)); /* nothing behind M is read before the cut (P4) */
    assert(id > at->reached && id <= at->arrived);
    check(aligner);
    at->reached = id;
    if (id != aligner->open)
        return ALIGNER_NONE;
    if (!at->feedback)
        aligner->marked_count++;
    if (at->aligned_only)
        aligner->strict_covered++;
    return judge(aligner, ALIGNER_NONE);
}

unsigned aligner_end_reached(struct aligner *aligner, uint32_t input)
{
    assert(input < aligner->input_count);
    struct aligner_input *at = &aligner->inputs[input];
    assert(!aligner_holds(aligner, input));
    assert(at->end_arrived && !at->end_reached);
    check(aligner);
    at->end_reached = true;
    if (!at->feedback && !WEIR_PLANT(end_is_no_marker))
        aligner->ended_count++;
    if (at->aligned_only)
        aligner->strict_covered++;
    return judge(aligner, ALIGNER_NONE);
}

unsigned aligner_abort(struct aligner *aligner, uint64_t id)
{
    assert(id > 0);
    check(aligner);
    return bury(aligner, id);
}

void aligner_cut(struct aligner *aligner)
{
    assert(due(aligner));                    /* P4 */
    assert(aligner->open > aligner->closed); /* A1 A3 */
    assert(aligner->recording == 0);         /* P10 */
    aligner->early = aligner_overtakes(aligner);
    aligner->closed = aligner->cut = aligner->recording = aligner->open;
    for (uint32_t i = 0; i < aligner->input_count; i++) {
        const struct aligner_input *at = &aligner->inputs[i];
        aligner->awaited_count += at->arrived != aligner->cut && !at->end_arrived;
    }
    if (aligner->awaited_count == 0)
        stop_recording(aligner);
    unmark_all(aligner);
    check(aligner);
}

void aligner_freeze(struct aligner *aligner)
{
    aligner->frozen = aligner->recording != 0;
}

/* ------------------------------------------------------------------------------ questions -- */

bool aligner_overtakes(const struct aligner *aligner)
{
    return aligner->open != 0 && aligner->ordered >= aligner->open;
}

static bool awaits(const struct aligner *aligner, const struct aligner_input *at)
{
    return aligner->recording != 0 && at->arrived != aligner->recording && !at->end_arrived;
}

bool aligner_holds(const struct aligner *aligner, uint32_t input)
{
    assert(input < aligner->input_count);
    const struct aligner_input *at = &aligner->inputs[input];
    if (aligner->open != 0 && at->reached == aligner->open)
        return !(WEIR_PLANT(channel_forgotten) && input > 0);
    return aligner->frozen && !at->feedback && awaits(aligner, at);
}

bool aligner_logs(const struct aligner *aligner, uint32_t input)
{
    assert(input < aligner->input_count);
    const struct aligner_input *at = &aligner->inputs[input];
    return (aligner->early || at->feedback) && awaits(aligner, at);
}

bool aligner_takes(const struct aligner *aligner, uint32_t input)
{
    assert(input < aligner->input_count);
    const struct aligner_input *at = &aligner->inputs[input];
    return (aligner->early || at->feedback) && at->reached != aligner->cut && !at->end_reached;
}

bool aligner_ended(const struct aligner *aligner)
{
    return aligner->ended_count == aligner->forward_count;
}
