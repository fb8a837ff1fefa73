/* SPDX-License-Identifier: Apache-2.0
 *
 *   event                     effect                                   verdict
 *   announced n, all ended    bury below n, open n                     CUT (P2)
 *   announced n, else         bury below n                             RELEASE or NONE
 *   marker n <= closed        none: a stale marker is consumed         NONE (P9)
 *   marker n, new             bury below n, open n, mark the input     CUT, RELEASE or NONE
 *   end, all covered          open the announced id if none is open    CUT (P2, P4) or NONE
 *   abort n                   bury up to n                             RELEASE or NONE
 *   cut                       close `open`, unmark all
 *
 * One thing is done to ids: *bury*. Whatever proves that lower ids are dead - a newer marker, a
 * newer announcement (a round is announced only when the one before was cut everywhere or aborted,
 * P10), an abort - closes all of them at once. So a jump in ids needs no case, a late abort of a
 * buried id changes nothing, and `open` is never below what a later event can bring.
 *
 * Rounds that cut early (unaligned, overtaken) will keep `marked` after the cut, until M or END is
 * reached on every input; the question "does this belong to the cut?" is then answered from the
 * same sets: not marked, not ended, and open already cut.
 */
#undef NDEBUG /* asserts stay on in release: an aligner that is wrong loses records silently */

#include "aligner.h"

#include "bits.h"
#include "plant.h"

#include <assert.h>

uint32_t aligner_words(uint32_t input_count)
{
    assert(input_count <= UINT32_MAX / 2);
    return 2 * bits_words(input_count) + input_count;
}

void aligner_init(struct aligner *aligner, uint32_t input_count, uint64_t *storage, uint64_t closed)
{
    assert(storage != NULL);
    uint32_t words = bits_words(input_count);
    *aligner = (struct aligner){
        .closed = closed,
        .announced = closed,
        .marked = storage,
        .ended = storage + words,
        .last = storage + (size_t)2 * words,
        .input_count = input_count,
    };
    bits_clear(aligner->marked, input_count);
    bits_clear(aligner->ended, input_count);
    for (uint32_t input = 0; input < input_count; input++)
        aligner->last[input] = closed; /* an older id in this run is a channel going back */
}

static bool all_covered(const struct aligner *aligner)
{
    return aligner->covered_count == aligner->input_count;
}

/* What holds between any two events. */
static void check(const struct aligner *aligner)
{
    assert(aligner->open == 0 || aligner->open > aligner->closed); /* A1 */
    assert(aligner->open != 0 || aligner->marked_count == 0);      /* A2 */
    assert(aligner->open == 0 || !all_covered(aligner));           /* a cut is never put off */
    assert(aligner->covered_count ==                               /* a held input is not read, */
           aligner->marked_count + aligner->ended_count);          /* so it can't end */
}

static void unmark_all(struct aligner *aligner)
{
    bits_clear(aligner->marked, aligner->input_count);
    aligner->marked_count = 0;
    aligner->covered_count = aligner->ended_count;
    aligner->open = 0;
}

/* Closes every id up to `id` (P9). RELEASE when that gave up an open one. */
static enum aligner_verdict bury(struct aligner *aligner, uint64_t id)
{
    if (id > aligner->closed)
        aligner->closed = id;
    if (aligner->open == 0 || aligner->open > id)
        return ALIGNER_NONE;
    assert(aligner->marked_count > 0);
    unmark_all(aligner);
    return ALIGNER_RELEASE;
}

enum aligner_verdict aligner_announced(struct aligner *aligner, uint64_t id)
{
    assert(id > 0);
    check(aligner);
    if (id <= aligner->announced || id <= aligner->closed) /* P9 */
        return ALIGNER_NONE;
    enum aligner_verdict verdict = bury(aligner, id - 1); /* P10 */
    aligner->announced = id;
    if (all_covered(aligner)) { /* P2; a source has no inputs that could hold it back */
        aligner->open = id;
        verdict = ALIGNER_CUT;
    }
    return verdict;
}

enum aligner_verdict aligner_marker(struct aligner *aligner, uint32_t input, uint64_t id)
{
    assert(input < aligner->input_count);
    assert(!aligner_holds(aligner, input)); /* nothing behind M is read before the cut (P4) */
    check(aligner);
    if (bits_has(aligner->ended, input) || id <= aligner->last[input])
        return ALIGNER_ERROR;
    aligner->last[input] = id;
    if (id <= aligner->closed) /* P9 */
        return ALIGNER_NONE;
    enum aligner_verdict verdict = bury(aligner, id - 1);
    aligner->open = id;
    bits_add(aligner->marked, input);
    aligner->marked_count++;
    aligner->covered_count++;
    return all_covered(aligner) ? ALIGNER_CUT : verdict; /* P4 */
}

enum aligner_verdict aligner_end(struct aligner *aligner, uint32_t input)
{
    assert(input < aligner->input_count);
    assert(!aligner_holds(aligner, input));
    check(aligner);
    if (bits_has(aligner->ended, input))
        return ALIGNER_ERROR;
    bits_add(aligner->ended, input);
    aligner->ended_count++;
    aligner->covered_count++;
    if (!all_covered(aligner) || WEIR_PLANT(end_is_no_marker))
        return ALIGNER_NONE;
    if (aligner->open == 0 && aligner->announced > aligner->closed) /* P2: no marker will come */
        aligner->open = aligner->announced;
    return aligner->open != 0 ? ALIGNER_CUT : ALIGNER_NONE;
}

enum aligner_verdict aligner_abort(struct aligner *aligner, uint64_t id)
{
    assert(id > 0);
    check(aligner);
    return bury(aligner, id);
}

void aligner_cut(struct aligner *aligner)
{
    assert(aligner->open > aligner->closed); /* A1 A3 */
    assert(all_covered(aligner));            /* P4 */
    aligner->closed = aligner->open;
    unmark_all(aligner);
    check(aligner);
}

bool aligner_holds(const struct aligner *aligner, uint32_t input)
{
    assert(input < aligner->input_count);
    return bits_has(aligner->marked, input) && !(WEIR_PLANT(channel_forgotten) && input > 0);
}

bool aligner_ended(const struct aligner *aligner, uint32_t input)
{
    assert(input < aligner->input_count);
    return bits_has(aligner->ended, input);
}
