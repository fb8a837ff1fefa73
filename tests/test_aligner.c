/* SPDX-License-Identifier: Apache-2.0
 *
 * The aligner against scripted scenarios, against every order of events on up to three inputs of
 * every kind, and against a long random walk. In the latter two it is compared step by step with a
 * twin that keeps the history and derives everything from it; and what a cut covers - what was read
 * before it and what was logged after it - is held against what lies before the marker.
 */
#include "aligner.h"
#include "explore.h"

#include <criterion/criterion.h>
#include <signal.h>

enum { INPUTS_MAX = 12 };

/* --- scripted ----------------------------------------------------------------------------- */

static struct aligner machine;
static struct aligner_input channels[INPUTS_MAX];

/* One letter an input: p plain, f feedback, s strict (aligned only). */
static void begin(const char *kinds, bool eager, uint64_t closed)
{
    memset(channels, 0, sizeof channels);
    for (size_t i = 0; kinds[i] != '\0'; i++) {
        channels[i].feedback = kinds[i] == 'f';
        channels[i].aligned_only = kinds[i] == 's';
    }
    aligner_init(&machine, channels, (uint32_t)strlen(kinds), eager, closed);
}

static uint64_t held_inputs(void)
{
    uint64_t held = 0;
    for (uint32_t input = 0; input < machine.input_count; input++)
        held |= (uint64_t)aligner_holds(&machine, input) << input;
    return held;
}

static uint64_t logging_inputs(void)
{
    uint64_t logging = 0;
    for (uint32_t input = 0; input < machine.input_count; input++)
        logging |= (uint64_t)aligner_logs(&machine, input) << input;
    return logging;
}

/* Both bit sets after the event: what is held, what logs. */
static void expect(unsigned got, unsigned wanted, uint64_t held, uint64_t logging, int line)
{
    cr_assert_eq(got, wanted, "line %d: verdict %u, expected %u", line, got, wanted);
    cr_assert_eq(held_inputs(), held, "line %d: held %llx", line,
                 (unsigned long long)held_inputs());
    cr_assert_eq(logging_inputs(), logging, "line %d: logging %llx", line,
                 (unsigned long long)logging_inputs());
}

static void expect_cut(unsigned got, unsigned wanted, uint64_t id, bool early, uint64_t logging,
                       int line)
{
    cr_assert_eq(got, wanted | ALIGNER_CUT, "line %d: verdict %u, expected a cut", line, got);
    cr_assert_eq(machine.open, id, "line %d: cuts %llu", line, (unsigned long long)machine.open);
    cr_assert_eq(aligner_overtakes(&machine), early, "line %d: early", line);
    aligner_cut(&machine);
    cr_assert_eq(held_inputs(), 0, "line %d: held after the cut", line);
    cr_assert_eq(logging_inputs(), logging, "line %d: logging %llx", line,
                 (unsigned long long)logging_inputs());
}

#define NONE(call, held, logging) expect(call, ALIGNER_NONE, held, logging, __LINE__)
#define DROP(call, held, logging) expect(call, ALIGNER_DROP, held, logging, __LINE__)
#define ERROR(call) expect(call, ALIGNER_ERROR, held_inputs(), logging_inputs(), __LINE__)
#define CUT(call, id) expect_cut(call, 0, id, false, 0, __LINE__)
#define EARLY(call, id, logging) expect_cut(call, 0, id, true, logging, __LINE__)
#define ARRIVES(id, input) aligner_arrived(&machine, input, id)
#define END_ARRIVES(input) aligner_end_arrived(&machine, input)
#define X(id) aligner_abort(&machine, id)
#define A(id) aligner_announced(&machine, id)
#define O(id) aligner_overtake(&machine, id)

/* Arrives and is reached: there was nothing before it. */
static unsigned marker(uint64_t id, uint32_t input)
{
    unsigned verdict = aligner_arrived(&machine, input, id);
    return verdict == ALIGNER_ERROR || (verdict & ALIGNER_CUT)
               ? verdict
               : verdict | aligner_reached(&machine, input, id);
}

static unsigned end(uint32_t input)
{
    unsigned verdict = aligner_end_arrived(&machine, input);
    return verdict == ALIGNER_ERROR ? verdict : aligner_end_reached(&machine, input);
}

#define M(id, input) marker(id, input)
#define E(input) end(input)

Test(aligner, holds_an_input_after_its_marker)
{
    begin("ppp", false, 0);
    NONE(M(1, 0), 1, 0);
    NONE(M(1, 2), 5, 0);
    CUT(M(1, 1), 1);
}

Test(aligner, a_marker_that_has_arrived_holds_nothing_before_it_is_reached)
{
    begin("pp", false, 0);
    NONE(ARRIVES(1, 0), 0, 0);
    NONE(ARRIVES(1, 1), 0, 0);
    NONE(aligner_reached(&machine, 1, 1), 2, 0);
    CUT(aligner_reached(&machine, 0, 1), 1);
}

Test(aligner, source_cuts_on_the_announcement_once)
{
    begin("", false, 4);
    NONE(A(4), 0, 0);
    CUT(A(5), 5);
    NONE(A(5), 0, 0);
    CUT(A(9), 9);
}

Test(aligner, jump_in_ids_gives_up_the_older_round)
{
    begin("ppp", false, 0);
    NONE(M(2, 1), 2, 0);
    NONE(M(2, 0), 3, 0);
    DROP(M(3, 2), 4, 0);
    NONE(M(3, 0), 5, 0);
    DROP(M(4, 1), 2, 0);
}

Test(aligner, abort_releases_what_was_held)
{
    begin("ppp", false, 0);
    NONE(M(2, 0), 1, 0);
    NONE(M(2, 2), 5, 0);
    DROP(X(2), 0, 0);
    NONE(M(2, 1), 0, 0);
}

Test(aligner, abort_before_the_first_marker_keeps_the_round_from_starting)
{
    begin("ppp", false, 0);
    NONE(X(4), 0, 0);
    NONE(M(4, 2), 0, 0);
    NONE(M(4, 0), 0, 0);
}

Test(aligner, stale_marker_does_not_count_for_the_open_round)
{
    begin("ppp", false, 0);
    NONE(M(1, 1), 2, 0);
    DROP(X(1), 0, 0);
    NONE(M(2, 1), 2, 0);
    NONE(M(1, 2), 2, 0);
    NONE(M(2, 2), 6, 0);
    CUT(M(2, 0), 2);
}

Test(aligner, abort_of_a_buried_round_changes_nothing)
{
    begin("pppp", false, 0);
    NONE(M(3, 1), 2, 0);
    NONE(M(3, 0), 3, 0);
    DROP(M(5, 2), 4, 0);
    NONE(X(3), 4, 0);
    NONE(M(5, 0), 5, 0);
    NONE(M(5, 1), 7, 0);
    CUT(M(5, 3), 5);
}

Test(aligner, abort_of_a_newer_round_closes_all_below)
{
    begin("pp", false, 0);
    NONE(M(1, 0), 1, 0);
    DROP(X(3), 0, 0);
    NONE(X(2), 0, 0);
    NONE(M(2, 0), 0, 0);
    NONE(M(3, 0), 0, 0);
}

Test(aligner, newer_announcement_gives_up_an_older_open_round)
{
    begin("pp", false, 0);
    NONE(M(1, 0), 1, 0);
    DROP(A(2), 0, 0);
    NONE(M(1, 1), 0, 0);
    NONE(M(2, 1), 2, 0);
    CUT(M(2, 0), 2);
}

Test(aligner, end_completes_the_open_round)
{
    begin("ppp", false, 0);
    NONE(M(1, 0), 1, 0);
    NONE(M(1, 1), 3, 0);
    CUT(E(2), 1);
}

Test(aligner, end_behind_a_marker_counts_once)
{
    begin("pp", false, 0);
    NONE(M(1, 0), 1, 0);
    NONE(END_ARRIVES(0), 1, 0);
    CUT(M(1, 1), 1);
    NONE(aligner_end_reached(&machine, 0), 0, 0);
    CUT(M(2, 1), 2);
}

Test(aligner, end_stands_for_every_later_marker)
{
    begin("ppp", false, 0);
    NONE(E(2), 0, 0);
    NONE(M(6, 0), 1, 0);
    CUT(M(6, 1), 6);
    NONE(E(1), 0, 0);
    CUT(M(7, 0), 7);
}

Test(aligner, announcement_cuts_a_task_whose_inputs_have_all_ended)
{
    begin("pp", false, 0);
    NONE(E(0), 0, 0);
    NONE(E(1), 0, 0);
    CUT(A(1), 1);
    CUT(A(2), 2);
}

Test(aligner, last_end_cuts_an_announced_round_without_any_marker)
{
    begin("pp", false, 0);
    NONE(A(1), 0, 0);
    NONE(E(0), 0, 0);
    CUT(E(1), 1);
}

Test(aligner, last_end_does_not_cut_an_aborted_round)
{
    begin("pp", false, 0);
    NONE(A(1), 0, 0);
    NONE(E(0), 0, 0);
    DROP(X(1), 0, 0);
    NONE(E(1), 0, 0);
}

Test(aligner, same_id_twice_in_a_channel_is_an_error)
{
    begin("pp", false, 0);
    NONE(M(1, 0), 1, 0);
    ERROR(ARRIVES(1, 0));
    DROP(X(1), 0, 0);
    ERROR(ARRIVES(1, 0));
}

Test(aligner, ids_going_back_in_a_channel_are_an_error)
{
    begin("pp", false, 5);
    ERROR(ARRIVES(5, 0));
    NONE(ARRIVES(7, 0), 0, 0);
    ERROR(ARRIVES(6, 0));
}

Test(aligner, anything_behind_end_is_an_error)
{
    begin("pp", false, 0);
    NONE(END_ARRIVES(0), 0, 0);
    ERROR(ARRIVES(1, 0));
    ERROR(END_ARRIVES(0));
}

Test(aligner, reading_a_held_input_is_a_bug, .signal = SIGABRT)
{
    begin("pp", false, 0);
    NONE(M(1, 0), 1, 0);
    NONE(END_ARRIVES(0), 1, 0);
    aligner_end_reached(&machine, 0);
}

Test(aligner, cut_that_is_due_can_not_be_put_off, .signal = SIGABRT)
{
    begin("p", false, 0);
    cr_assert_eq(M(1, 0), ALIGNER_CUT);
    aligner_abort(&machine, 1);
}

Test(aligner, cut_that_is_not_due_is_a_bug, .signal = SIGABRT)
{
    begin("pp", false, 0);
    NONE(M(1, 0), 1, 0);
    aligner_cut(&machine);
}

/* --- unaligned --------------------------------------------------------------------------- */

Test(aligner, unaligned_cuts_at_the_first_notice)
{
    begin("ppp", true, 0);
    EARLY(ARRIVES(1, 1), 1, 5);
    NONE(A(1), 0, 5);
    NONE(ARRIVES(1, 0), 0, 4);
    NONE(ARRIVES(1, 2), 0, 0);
    EARLY(A(2), 2, 7);
}

Test(aligner, unaligned_takes_what_lies_before_the_marker)
{
    begin("pp", true, 0);
    EARLY(ARRIVES(1, 0), 1, 2);
    cr_assert(aligner_takes(&machine, 0)); /* it has arrived and is not reached */
    cr_assert(aligner_takes(&machine, 1));
    NONE(ARRIVES(1, 1), 0, 0);
    NONE(aligner_reached(&machine, 0, 1), 0, 0);
    NONE(aligner_reached(&machine, 1, 1), 0, 0);
    EARLY(A(2), 2, 3);
}

Test(aligner, end_that_arrives_stands_for_the_awaited_marker)
{
    begin("pp", true, 0);
    EARLY(A(1), 1, 3);
    NONE(END_ARRIVES(0), 0, 2);
    cr_assert_eq(machine.recording, 1);
    NONE(END_ARRIVES(1), 0, 0);
    cr_assert_eq(machine.recording, 0);
}

Test(aligner, late_marker_of_an_aborted_id_does_not_end_the_log_of_the_next)
{
    begin("pp", true, 0);
    EARLY(ARRIVES(1, 0), 1, 2);
    DROP(X(1), 0, 0);
    EARLY(ARRIVES(2, 0), 2, 2);
    NONE(ARRIVES(1, 1), 0, 2);
    NONE(ARRIVES(2, 1), 0, 0);
}

Test(aligner, a_newer_notice_voids_what_an_older_cut_has_logged)
{
    begin("pp", true, 0);
    EARLY(ARRIVES(1, 0), 1, 2);
    cr_assert_eq(ARRIVES(2, 0), ALIGNER_DROP | ALIGNER_CUT);
    aligner_cut(&machine);
    cr_assert_eq(logging_inputs(), 2);
    NONE(X(1), 0, 2); /* heard late */
    NONE(ARRIVES(2, 1), 0, 0);
}

/* --- OVERTAKE ----------------------------------------------------------------------------- */

Test(aligner, overtake_cuts_an_aligning_task_and_logs_what_is_awaited)
{
    begin("ppp", false, 0);
    NONE(A(1), 0, 0);
    NONE(M(1, 0), 1, 0);
    NONE(ARRIVES(1, 1), 1, 0);
    EARLY(O(1), 1, 4);
    cr_assert(!aligner_takes(&machine, 0)); /* reached: what lies behind it is no part */
    cr_assert(aligner_takes(&machine, 1));
    cr_assert(aligner_takes(&machine, 2));
    NONE(ARRIVES(1, 2), 0, 0);
}

Test(aligner, overtake_after_the_cut_moves_the_markers)
{
    begin("p", false, 0);
    CUT(M(1, 0), 1);
    expect(O(1), ALIGNER_OVERTAKE, 0, 0, __LINE__);
    NONE(A(2), 0, 0);
    NONE(O(1), 0, 0); /* 1 is history */
}

Test(aligner, overtake_before_any_other_notice_is_one)
{
    begin("pp", false, 0);
    EARLY(O(1), 1, 3);
    NONE(A(1), 0, 3);
}

Test(aligner, overtake_of_an_aborted_id_is_ignored)
{
    begin("p", false, 0);
    CUT(M(1, 0), 1);
    NONE(X(1), 0, 0);
    NONE(O(1), 0, 0);
    NONE(X(3), 0, 0);
    NONE(O(2), 0, 0);
}

Test(aligner, the_round_after_an_overtaken_one_is_aligned_again)
{
    begin("pp", false, 0);
    EARLY(O(1), 1, 3);
    NONE(ARRIVES(1, 0), 0, 2);
    NONE(ARRIVES(1, 1), 0, 0);
    NONE(aligner_reached(&machine, 0, 1), 0, 0);
    NONE(aligner_reached(&machine, 1, 1), 0, 0);
    NONE(M(2, 0), 1, 0);
    CUT(M(2, 1), 2);
}

/* --- edges of their own kind ---------------------------------------------------------------- */

Test(aligner, aligned_only_input_delays_the_early_cut_and_holds_what_is_marked)
{
    begin("sp", true, 0);
    NONE(A(1), 0, 0);
    NONE(ARRIVES(1, 1), 0, 0);
    NONE(aligner_reached(&machine, 1, 1), 2, 0);
    EARLY(M(1, 0), 1, 0);
}

Test(aligner, aligned_only_input_that_has_ended_delays_nothing)
{
    begin("sp", true, 0);
    NONE(E(0), 0, 0);
    EARLY(A(1), 1, 2);
    NONE(ARRIVES(1, 1), 0, 0);
    EARLY(A(2), 2, 2);
}

Test(aligner, nobody_waits_for_a_feedback_input_and_it_is_logged)
{
    begin("pf", false, 0);
    expect_cut(M(1, 0), 0, 1, false, 2, __LINE__);
    cr_assert(aligner_takes(&machine, 1));
    cr_assert(!aligner_takes(&machine, 0));
    NONE(ARRIVES(1, 1), 0, 0);
}

Test(aligner, feedback_marker_that_comes_first_is_held_and_not_logged)
{
    begin("pf", false, 0);
    NONE(M(1, 1), 2, 0);
    CUT(M(1, 0), 1);
}

Test(aligner, feedback_alone_does_not_cut_a_task_whose_forward_inputs_have_ended)
{
    begin("pf", false, 0);
    NONE(E(0), 0, 0);
    NONE(ARRIVES(1, 1), 0, 0);
    expect_cut(A(1), 0, 1, false, 0, __LINE__);
}

Test(aligner, frozen_inputs_are_held_until_their_markers_arrive)
{
    begin("ppf", true, 0);
    EARLY(ARRIVES(1, 0), 1, 6);
    aligner_freeze(&machine);
    cr_assert_eq(held_inputs(), 2); /* neither the marked one nor the feedback */
    NONE(ARRIVES(1, 1), 0, 4);
    NONE(ARRIVES(1, 2), 0, 0);
    aligner_freeze(&machine); /* nothing is recorded any more */
    cr_assert_eq(held_inputs(), 0);
}

Test(aligner, abort_thaws_what_was_frozen)
{
    begin("pp", true, 0);
    EARLY(ARRIVES(1, 0), 1, 2);
    aligner_freeze(&machine);
    DROP(X(1), 0, 0);
}

/* --- the twin: history in, everything derived --------------------------------------------- */

struct twin_input {
    uint64_t arrived, reached;
    bool end_arrived, end_reached, feedback, aligned_only;
};

struct twin {
    struct twin_input inputs[INPUTS_MAX];
    uint32_t input_count;
    bool eager;
    uint64_t announced, ordered, marker, aborted, cut; /* the highest of each kind so far */
    uint64_t frozen;                                   /* the cut that was frozen */
    bool early;                                        /* the last cut was */
};

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t twin_noticed(const struct twin *twin)
{
    return larger(larger(twin->announced, twin->ordered), twin->marker);
}

static uint64_t twin_open(const struct twin *twin)
{
    uint64_t noticed = twin_noticed(twin);
    return noticed > larger(twin->aborted, twin->cut) ? noticed : 0;
}

/* The last cut, unless it was given up. */
static uint64_t twin_kept(const struct twin *twin)
{
    return twin->aborted >= twin->cut || twin_noticed(twin) > twin->cut ? 0 : twin->cut;
}

static bool twin_awaits(const struct twin *twin, uint32_t input)
{
    const struct twin_input *at = &twin->inputs[input];
    return twin_kept(twin) != 0 && at->arrived != twin->cut && !at->end_arrived;
}

static bool twin_records(const struct twin *twin)
{
    for (uint32_t input = 0; input < twin->input_count; input++)
        if (twin_awaits(twin, input))
            return true;
    return false;
}

static bool twin_holds(const struct twin *twin, uint32_t input)
{
    const struct twin_input *at = &twin->inputs[input];
    if (twin_open(twin) != 0 && at->reached == twin_open(twin))
        return true;
    return twin->frozen != 0 && twin->frozen == twin_kept(twin) && !at->feedback &&
           twin_awaits(twin, input);
}

static bool twin_logs(const struct twin *twin, uint32_t input)
{
    return twin_awaits(twin, input) && (twin->early || twin->inputs[input].feedback);
}

static bool twin_overtakes(const struct twin *twin)
{
    uint64_t orders = twin->ordered;
    if (twin->eager)
        orders = larger(orders, twin_noticed(twin));
    return orders >= twin_open(twin);
}

static bool twin_due(const struct twin *twin)
{
    uint64_t open = twin_open(twin);
    bool named = twin->announced >= open;
    if (open == 0)
        return false;
    for (uint32_t input = 0; input < twin->input_count; input++) {
        const struct twin_input *at = &twin->inputs[input];
        bool covered = at->reached == open || at->end_reached;
        named = named || (at->reached == open && !at->feedback);
        if (!covered && (twin_overtakes(twin) ? at->aligned_only : !at->feedback))
            return false;
    }
    return named || twin_overtakes(twin);
}

/* --- one world: machine, twin, and one event for both -------------------------------------- */

enum kind { ANNOUNCE, OVERTAKE, ABORT, FREEZE, ARRIVE, REACH, END_ARRIVE, END_REACH };

struct world {
    struct aligner machine;
    struct aligner_input inputs[INPUTS_MAX];
    struct twin twin;
};

static void twin_note(struct twin *twin, enum kind kind, uint32_t input, uint64_t id)
{
    struct twin_input *at = &twin->inputs[input];
    switch (kind) {
    case ANNOUNCE:
        twin->announced = larger(twin->announced, id);
        break;
    case OVERTAKE:
        twin->ordered = larger(twin->ordered, id);
        break;
    case ABORT:
        twin->aborted = larger(twin->aborted, id);
        break;
    case FREEZE:
        twin->frozen = twin_records(twin) ? twin->cut : twin->frozen;
        break;
    case ARRIVE:
        at->arrived = id;
        twin->marker = larger(twin->marker, id);
        break;
    case REACH:
        at->reached = id;
        break;
    case END_ARRIVE:
        at->end_arrived = true;
        break;
    case END_REACH:
        at->end_reached = true;
        break;
    }
}

static unsigned twin_event(struct twin *twin, enum kind kind, uint32_t input, uint64_t id)
{
    static struct twin before;
    before = *twin;
    const struct twin_input *at = &before.inputs[input];
    bool arrives = kind == ARRIVE || kind == END_ARRIVE;
    if (arrives && (at->end_arrived || (kind == ARRIVE && id <= at->arrived)))
        return ALIGNER_ERROR;
    twin_note(twin, kind, input, id);
    if (kind == OVERTAKE && id == twin_kept(twin))
        return ALIGNER_OVERTAKE;
    unsigned verdict = twin_due(twin) ? ALIGNER_CUT : ALIGNER_NONE;
    if (twin_open(&before) != 0 && twin_open(&before) != twin_open(twin))
        verdict |= ALIGNER_DROP;
    if (twin_records(&before) && twin_kept(twin) == 0)
        verdict |= ALIGNER_DROP;
    return verdict;
}

static unsigned machine_event(struct aligner *aligner, enum kind kind, uint32_t input, uint64_t id)
{
    switch (kind) {
    case ANNOUNCE:
        return aligner_announced(aligner, id);
    case OVERTAKE:
        return aligner_overtake(aligner, id);
    case ABORT:
        return aligner_abort(aligner, id);
    case FREEZE:
        aligner_freeze(aligner);
        return ALIGNER_NONE;
    case ARRIVE:
        return aligner_arrived(aligner, input, id);
    case REACH:
        return aligner_reached(aligner, input, id);
    case END_ARRIVE:
        return aligner_end_arrived(aligner, input);
    case END_REACH:
        return aligner_end_reached(aligner, input);
    }
    abort();
}

static const char *compare_cut(struct world *world)
{
    struct twin *twin = &world->twin;
    uint64_t id = world->machine.open;
    if (id != twin_open(twin))
        return "cuts another id";
    if (id <= twin->cut)
        return "cuts an id again, or ids of cuts go back"; /* A3 */
    if (id <= twin->aborted)
        return "cuts an aborted id"; /* P9 */
    if (aligner_overtakes(&world->machine) != twin_overtakes(twin))
        return "is wrong about what overtakes";
    twin->early = twin_overtakes(twin);
    aligner_cut(&world->machine);
    twin->cut = id;
    return NULL;
}

static const char *compare_inputs(const struct world *world)
{
    const struct twin *twin = &world->twin;
    for (uint32_t input = 0; input < twin->input_count; input++) {
        if (aligner_holds(&world->machine, input) != twin_holds(twin, input))
            return "holds what it should not, or does not hold what it should";
        if (aligner_logs(&world->machine, input) != twin_logs(twin, input))
            return "logs what it should not, or does not log what it should";
    }
    if ((world->machine.recording != 0) != twin_records(twin))
        return "is wrong about what is still recorded";
    return NULL;
}

/* What is wrong, or NULL. */
static const char *world_event(struct world *world, enum kind kind, uint32_t input, uint64_t id,
                               unsigned *verdict)
{
    static struct world before;
    before = *world;
    *verdict = machine_event(&world->machine, kind, input, id);
    if (*verdict != twin_event(&world->twin, kind, input, id))
        return "gives another verdict than the twin";
    if (*verdict == ALIGNER_ERROR)
        return memcmp(&before, world, sizeof before) != 0 ? "changes in an error" : NULL;
    const char *wrong = *verdict & ALIGNER_CUT ? compare_cut(world) : NULL;
    return wrong != NULL ? wrong : compare_inputs(world);
}

static void world_start(struct world *world, const char *kinds, bool eager)
{
    memset(world, 0, sizeof *world);
    world->twin.input_count = (uint32_t)strlen(kinds);
    world->twin.eager = eager;
    for (uint32_t i = 0; i < world->twin.input_count; i++) {
        world->inputs[i].feedback = world->twin.inputs[i].feedback = kinds[i] == 'f';
        world->inputs[i].aligned_only = world->twin.inputs[i].aligned_only = kinds[i] == 's';
    }
    aligner_init(&world->machine, world->inputs, world->twin.input_count, eager, 0);
}

/* --- every order of events ------------------------------------------------------------------
 *
 * Each input has a script - markers of 1 and 2, data, E for END - which arrives item by item, and
 * is read item by item behind that. So has the coordinator: a, b announce 1 and 2; o, q order to
 * overtake; x, y abort; z freezes. All interleavings are walked in which no held input is read.
 */
enum { EVERY_INPUTS = 3, PATH_MAX_LENGTH = 64 };

struct order {
    struct world world;
    uint8_t come[EVERY_INPUTS]; /* how much of each script has arrived, */
    uint8_t read[EVERY_INPUTS]; /* and was read */
    uint8_t told;               /* and of the coordinator's */
    uint8_t cut[EVERY_INPUTS];  /* data read when the last cut was made */
    uint8_t log[EVERY_INPUTS];  /* data logged for it */
    bool complete;              /* it was judged */
};

struct search {
    struct order order;
    const char *inputs[EVERY_INPUTS];
    const char *kinds, *coordinator;
    bool eager;
    uint32_t share;  /* 1: every choice is tried */
    uint64_t number; /* of the choice */
    struct seen seen;
    char path[PATH_MAX_LENGTH];
    size_t depth;
    uint64_t steps, cuts;
};

static void explain(const struct search *search, const char *wrong)
{
    cr_assert_fail("it %s: kinds [%s]%s, inputs [%s] [%s] [%s], coordinator [%s], order %.*s",
                   wrong, search->kinds, search->eager ? " unaligned" : "", search->inputs[0],
                   search->inputs[1], search->inputs[2], search->coordinator, (int)search->depth,
                   search->path);
}

/* How much data the script holds up to `to`, or up to M(id) or END if that is before. */
static uint8_t data_before(const char *script, size_t to, uint64_t id)
{
    uint8_t count = 0;
    for (size_t i = 0; i < to && script[i] != '\0'; i++) {
        if (script[i] == 'E' || script[i] == (char)('0' + id))
            break;
        count = (uint8_t)(count + (script[i] == 'd'));
    }
    return count;
}

/* What a gate finds in its queue, which knows nothing of what was read. */
static uint8_t data_queued(const char *script, size_t read, size_t come, uint64_t id)
{
    return data_before(script + read, come - read, id);
}

/* An input that is not logged must have been read up to its marker or END, and none further. */
static void note_cut(struct search *search)
{
    struct order *order = &search->order;
    uint64_t id = order->world.twin.cut;
    for (uint32_t input = 0; input < order->world.twin.input_count; input++) {
        const char *script = search->inputs[input];
        size_t read = order->read[input];
        order->cut[input] = data_before(script, read, id);
        if (order->cut[input] != data_before(script, read, 0) && memchr(script, 'E', read) == NULL)
            explain(search, "cuts when something behind the marker was read");
        order->log[input] = 0;
        if (aligner_takes(&order->world.machine, input))
            order->log[input] = data_queued(script, read, order->come[input], id);
    }
    order->complete = false;
    search->cuts++;
}

/* Once all markers are in: read before the cut ++ logged == emitted before the marker. */
static void judge_cut(struct search *search)
{
    struct order *order = &search->order;
    const struct twin *twin = &order->world.twin;
    if (order->complete || twin->cut == 0 || twin_kept(twin) == 0 || twin_records(twin))
        return;
    for (uint32_t input = 0; input < twin->input_count; input++) {
        const char *script = search->inputs[input];
        uint8_t emitted = data_before(script, strlen(script), twin->cut);
        if (order->cut[input] + order->log[input] != emitted)
            explain(search, "covers something else than what was emitted before the marker");
        if (!twin->early && !twin->inputs[input].feedback && order->log[input] != 0)
            explain(search, "logs in an aligned round");
    }
    order->complete = true;
}

/* When no event is left, a round that everybody named or ended in must have been cut, and what it
 * recorded is complete. */
static void judge_rest(const struct search *search)
{
    const struct twin *twin = &search->order.world.twin;
    bool named = strpbrk(search->coordinator, "bq") != NULL;
    bool complete = true;
    for (uint32_t input = 0; input < twin->input_count; input++) {
        bool carries = strpbrk(search->inputs[input], "2E") != NULL;
        complete = complete && carries;
        if (twin->inputs[input].feedback)
            continue;
        if (!carries)
            return;
        named = named || strchr(search->inputs[input], '2') != NULL;
    }
    if (!named || strchr(search->coordinator, 'y') != NULL)
        return;
    if (twin->cut != 2)
        explain(search, "never cuts 2");
    if (complete && twin_records(twin))
        explain(search, "records 2 for ever");
}

static enum kind kind_of(char item, bool arrives)
{
    switch (item) {
    case 'a':
    case 'b':
        return ANNOUNCE;
    case 'o':
    case 'q':
        return OVERTAKE;
    case 'x':
    case 'y':
        return ABORT;
    case 'z':
        return FREEZE;
    case 'E':
        return arrives ? END_ARRIVE : END_REACH;
    default:
        return arrives ? ARRIVE : REACH;
    }
}

/* False when the channel broke the rules: the job ends there. */
static bool take(struct search *search, char item, uint32_t input, bool arrives)
{
    struct order *order = &search->order;
    uint64_t id = strchr("aox1", item) != NULL ? 1 : 2;
    search->path[search->depth++] = item;
    search->path[search->depth++] =
        strchr("abxyoqz", item) ? ' ' : (char)((arrives ? 'A' : 'a') + input);
    search->steps++;
    if (item == 'd') {
        order->log[input] =
            (uint8_t)(order->log[input] + (arrives && aligner_logs(&order->world.machine, input)));
        return true;
    }
    unsigned verdict;
    const char *wrong = world_event(&order->world, kind_of(item, arrives), input, id, &verdict);
    if (wrong != NULL)
        explain(search, wrong);
    if (verdict & ALIGNER_CUT)
        note_cut(search);
    judge_cut(search);
    return verdict != ALIGNER_ERROR;
}

static void explore(struct search *search);

static void explore_one(struct search *search, char item, uint32_t input, bool arrives)
{
    struct order saved = search->order;
    size_t depth = search->depth;
    if (strchr("abxyoqz", item) != NULL)
        search->order.told++;
    else if (arrives)
        search->order.come[input]++;
    else
        search->order.read[input]++;
    if (take(search, item, input, arrives))
        explore(search);
    search->order = saved;
    search->depth = depth;
}

static void explore(struct search *search)
{
    struct order *order = &search->order;
    if (!seen_add(&search->seen, explore_fingerprint(order, sizeof *order)))
        return;
    bool moved = false;
    for (uint32_t input = 0; input < order->world.twin.input_count; input++) {
        const char *script = search->inputs[input];
        uint8_t come = order->come[input], read = order->read[input];
        if (script[come] != '\0') {
            explore_one(search, script[come], input, true);
            moved = true;
        }
        if (read < come && !aligner_holds(&order->world.machine, input)) {
            explore_one(search, script[read], input, false);
            moved = true;
        }
    }
    char item = search->coordinator[order->told];
    if (item != '\0')
        explore_one(search, item, 0, false);
    if (!moved && item == '\0')
        judge_rest(search);
}

static const char *const coordinators[] = {
    "", "a", "o", "ao", "ax", "ab", "aob", "axb", "aobx", "azb", "axbqy", "ba", "ay", "xax",
};
/* The lawful ones first. */
static const char *const scripts[] = {
    "", "dE", "d1d", "d2d", "1d2", "d1dE", "1E", "d1d2dE", "11", "21", "EE", "E1",
};
enum { LAWFUL = 8, ALL = sizeof scripts / sizeof *scripts };

static void explore_from_start(struct search *search)
{
    for (size_t c = 0; c < sizeof coordinators / sizeof *coordinators; c++) {
        if (search->number++ % search->share != 0)
            continue;
        search->coordinator = coordinators[c];
        memset(&search->order, 0, sizeof search->order);
        world_start(&search->order.world, search->kinds, search->eager);
        search->order.complete = true;
        search->depth = 0;
        seen_clear(&search->seen);
        explore(search);
    }
}

/* All choices of `count` scripts for the inputs. */
static void choose(struct search *search, uint32_t input, size_t count)
{
    if (input == EVERY_INPUTS || search->kinds[input] == '\0') {
        explore_from_start(search);
        return;
    }
    for (size_t script = 0; script < count; script++) {
        search->inputs[input] = scripts[script];
        choose(search, input + 1, count);
    }
}

static void every_order(const char *kinds, size_t script_count)
{
    static struct search search;
    search.steps = search.cuts = search.number = 0;
    search.share = strlen(kinds) > 1 ? explore_share() : 1;
    for (int eager = 0; eager < 2; eager++) {
        for (uint32_t input = 0; input < EVERY_INPUTS; input++)
            search.inputs[input] = "";
        search.kinds = kinds;
        search.eager = eager == 1;
        seen_add(&search.seen, 1);
        choose(&search, 0, script_count);
    }
    cr_log_info("%s: %llu steps, %llu cuts", kinds, (unsigned long long)search.steps,
                (unsigned long long)search.cuts);
    cr_assert_gt(search.cuts, 10);
    seen_free(&search.seen);
}

Test(aligner, agrees_with_its_twin_in_every_order_without_inputs)
{
    every_order("", ALL);
}

Test(aligner, agrees_with_its_twin_in_every_order_on_one_input)
{
    every_order("p", ALL);
    every_order("s", ALL);
}

Test(aligner, agrees_with_its_twin_in_every_order_on_two_inputs)
{
    every_order("pp", ALL);
}

Test(aligner, agrees_with_its_twin_in_every_order_with_a_feedback_input)
{
    every_order("pf", LAWFUL);
    every_order("sf", LAWFUL);
}

Test(aligner, agrees_with_its_twin_in_every_order_with_an_aligned_only_input)
{
    every_order("sp", LAWFUL);
}

Test(aligner, agrees_with_its_twin_in_every_order_on_three_inputs)
{
    every_order("ppf", 3);
    every_order("spp", 4);
}

/* --- a long walk: many inputs, many ids ---------------------------------------------------- */

struct walker {
    struct world world;
    uint64_t random, newest;
    uint32_t cuts;
    uint64_t queues[INPUTS_MAX][4]; /* what has arrived and was not reached; UINT64_MAX is END */
    uint32_t queued[INPUTS_MAX];
};

static enum kind random_kind(struct walker *walker)
{
    uint32_t draw = explore_below(&walker->random, 1000);
    if (draw < 20 || walker->world.twin.input_count == 0)
        return ANNOUNCE;
    if (draw < 25)
        return ABORT;
    if (draw < 35)
        return OVERTAKE;
    if (draw < 40)
        return FREEZE;
    if (draw < 43)
        return END_ARRIVE;
    return draw < 520 ? ARRIVE : REACH;
}

/* False: there is nothing of the kind to do. */
static bool settle(struct walker *walker, enum kind *kind, uint32_t input, uint64_t *id)
{
    uint64_t *queue = walker->queues[input];
    if (*kind == ARRIVE || *kind == END_ARRIVE) {
        if (walker->queued[input] == 4)
            return false;
        bool error = walker->world.twin.inputs[input].end_arrived ||
                     (*kind == ARRIVE && *id <= walker->world.twin.inputs[input].arrived);
        if (!error)
            queue[walker->queued[input]++] = *kind == ARRIVE ? *id : UINT64_MAX;
    } else if (*kind == REACH) {
        if (walker->queued[input] == 0 || aligner_holds(&walker->world.machine, input))
            return false;
        *id = queue[0];
        *kind = *id == UINT64_MAX ? END_REACH : REACH;
        walker->queued[input]--;
        memmove(queue, queue + 1, 3 * sizeof *queue);
    }
    return true;
}

static void walk_restart(struct walker *walker, const char *kinds, bool eager)
{
    world_start(&walker->world, kinds, eager);
    memset(walker->queued, 0, sizeof walker->queued);
}

static void walk(uint64_t seed, const char *kinds, bool eager, uint32_t steps)
{
    static struct walker walker;
    uint32_t count = (uint32_t)strlen(kinds);
    walker = (struct walker){.random = seed + count, .newest = 1};
    walk_restart(&walker, kinds, eager);
    for (uint32_t step = 0; step < steps; step++) {
        enum kind kind = random_kind(&walker);
        uint32_t input = explore_below(&walker.random, count);
        walker.newest += explore_below(&walker.random, 8 * count + 4) == 0;
        uint64_t back = explore_below(&walker.random, 40) == 0;
        uint64_t id = walker.newest > back ? walker.newest - back : walker.newest;
        if (!settle(&walker, &kind, input, &id))
            continue;
        unsigned verdict;
        const char *wrong = world_event(&walker.world, kind, input, id, &verdict);
        cr_assert_null(wrong, "it %s: WEIR_TEST_SEED=%llu, inputs %s, eager %d, step %u", wrong,
                       (unsigned long long)seed, kinds, eager, step);
        walker.cuts += (verdict & ALIGNER_CUT) != 0;
        if (aligner_ended(&walker.world.machine) && explore_below(&walker.random, 50) == 0)
            walk_restart(&walker, kinds, eager);
    }
    cr_assert_gt(walker.cuts, 20, "the walk hardly cuts: %u", walker.cuts);
}

Test(aligner, agrees_with_its_twin_in_a_random_walk)
{
    static const char *const kinds[] = {"p", "pp", "pf", "sp", "ppsf", "pppppf", "ppppppppppsf"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        walk(explore_seed(), kinds[i], false, 100000);
        walk(explore_seed(), kinds[i], true, 100000);
    }
}
