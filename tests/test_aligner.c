/* SPDX-License-Identifier: Apache-2.0
 *
 * The aligner against scripted scenarios, against every order of events on up to four inputs, and
 * against a long random walk. In the latter two it is compared step by step with a twin that keeps
 * the history and derives everything from it, and the cuts are judged by what was really read.
 */
#include "aligner.h"
#include "explore.h"

#include <criterion/criterion.h>
#include <signal.h>

enum { INPUTS_MAX = 70, STORAGE_WORDS = INPUTS_MAX + 6 };

/* --- scripted ----------------------------------------------------------------------------- */

static struct aligner machine;
static uint64_t storage[STORAGE_WORDS];

static void start(uint32_t input_count, uint64_t closed)
{
    memset(storage, 0xff, sizeof storage); /* init must not trust it */
    aligner_init(&machine, input_count, storage, closed);
}

static uint64_t held_inputs(void)
{
    uint64_t held = 0;
    for (uint32_t input = 0; input < machine.input_count; input++)
        held |= (uint64_t)aligner_holds(&machine, input) << input;
    return held;
}

static void expect(enum aligner_verdict got, enum aligner_verdict wanted, uint64_t held, int line)
{
    cr_assert_eq(got, wanted, "line %d: verdict %d, expected %d", line, got, wanted);
    cr_assert_eq(held_inputs(), held, "line %d: held %llx, expected %llx", line,
                 (unsigned long long)held_inputs(), (unsigned long long)held);
}

static void expect_cut(enum aligner_verdict got, uint64_t id, int line)
{
    cr_assert_eq(got, ALIGNER_CUT, "line %d: verdict %d, expected a cut", line, got);
    cr_assert_eq(machine.open, id, "line %d: cuts %llu", line, (unsigned long long)machine.open);
    aligner_cut(&machine);
    cr_assert_eq(held_inputs(), 0, "line %d: held after the cut", line);
}

#define NONE(call, held) expect(call, ALIGNER_NONE, held, __LINE__)
#define RELEASE(call, held) expect(call, ALIGNER_RELEASE, held, __LINE__)
#define CUT(call, id) expect_cut(call, id, __LINE__)
#define ERROR(call) expect(call, ALIGNER_ERROR, held_inputs(), __LINE__)
#define M(id, input) aligner_marker(&machine, input, id)
#define E(input) aligner_end(&machine, input)
#define X(id) aligner_abort(&machine, id)
#define A(id) aligner_announced(&machine, id)

Test(aligner, holds_an_input_after_its_marker)
{
    start(3, 0);
    NONE(A(1), 0);
    NONE(M(1, 1), 2);
    NONE(M(1, 0), 3);
    CUT(M(1, 2), 1);
}

Test(aligner, cuts_at_once_with_one_input)
{
    start(1, 4);
    CUT(M(5, 0), 5);
    NONE(A(5), 0); /* the announcement came by another way, later */
    CUT(M(6, 0), 6);
}

Test(aligner, source_cuts_on_the_announcement_once)
{
    start(0, 7);
    NONE(A(7), 0);
    CUT(A(8), 8);
    NONE(A(8), 0);
    NONE(X(9), 0);
    NONE(A(9), 0);
    CUT(A(12), 12);
}

Test(aligner, jump_in_ids_gives_up_the_older_round)
{
    start(3, 0);
    NONE(M(1, 0), 1);
    NONE(M(1, 1), 3);
    CUT(M(1, 2), 1);
    NONE(M(2, 1), 2);
    NONE(M(2, 0), 3);
    RELEASE(M(3, 2), 4); /* 2 is dead: only input 2 waits */
    NONE(M(3, 0), 5);
    RELEASE(M(4, 1), 2); /* 3 is dead: only input 1 waits */
    NONE(M(4, 0), 3);
    CUT(M(4, 2), 4);
}

Test(aligner, abort_releases_what_was_held)
{
    start(3, 1);
    NONE(M(2, 0), 1);
    NONE(M(2, 2), 5);
    RELEASE(X(2), 0);
    NONE(X(2), 0);
    NONE(M(2, 1), 0); /* stale */
}

Test(aligner, abort_before_the_first_marker_keeps_the_round_from_starting)
{
    start(3, 1);
    NONE(X(4), 0);
    NONE(M(4, 2), 0);
    NONE(M(4, 0), 0);
    NONE(M(4, 1), 0);
}

Test(aligner, stale_marker_does_not_count_for_the_open_round)
{
    start(3, 0);
    NONE(M(1, 1), 2);
    RELEASE(X(1), 0);
    NONE(M(2, 1), 2);
    NONE(M(1, 2), 2); /* of the aborted one */
    NONE(M(2, 0), 3);
    CUT(M(2, 2), 2);
}

Test(aligner, abort_of_a_buried_round_changes_nothing)
{
    start(3, 0);
    NONE(M(3, 1), 2);
    NONE(M(3, 0), 3);
    RELEASE(M(5, 2), 4);
    NONE(X(3), 4);
    NONE(M(5, 0), 5);
    CUT(M(5, 1), 5);
    NONE(X(5), 0); /* cut before the abort was known */
}

Test(aligner, abort_of_a_newer_round_closes_all_below)
{
    start(2, 0);
    NONE(M(1, 0), 1);
    RELEASE(X(3), 0);
    NONE(X(2), 0);
    NONE(X(3), 0);
    NONE(M(3, 1), 0);
    NONE(M(4, 1), 2);
    CUT(M(4, 0), 4);
}

Test(aligner, newer_announcement_gives_up_an_older_open_round)
{
    start(2, 0);
    NONE(M(1, 0), 1);
    NONE(A(1), 1);
    RELEASE(A(2), 0);
    NONE(M(1, 1), 0);
    NONE(M(2, 0), 1);
    NONE(A(1), 1);
    CUT(M(2, 1), 2);
}

Test(aligner, end_completes_the_open_round)
{
    start(3, 0);
    NONE(M(1, 0), 1);
    NONE(M(1, 1), 3);
    CUT(E(2), 1);
    cr_assert(aligner_ended(&machine, 2));
    cr_assert(!aligner_ended(&machine, 0));
}

Test(aligner, end_behind_a_marker_counts_once)
{
    start(3, 1);
    NONE(M(2, 0), 1);
    NONE(E(1), 1);
    CUT(M(2, 2), 2);
    NONE(E(0), 0); /* read after the release */
    CUT(M(3, 2), 3);
}

Test(aligner, end_stands_for_every_later_marker)
{
    start(3, 0);
    NONE(E(2), 0);
    NONE(M(6, 0), 1);
    CUT(M(6, 1), 6);
    NONE(E(1), 0);
    CUT(M(7, 0), 7);
}

Test(aligner, announcement_cuts_a_task_whose_inputs_have_all_ended)
{
    start(2, 0);
    NONE(E(0), 0);
    NONE(E(1), 0);
    CUT(A(1), 1);
    NONE(A(1), 0);
    NONE(X(2), 0);
    NONE(A(2), 0);
    CUT(A(3), 3);
}

Test(aligner, last_end_cuts_an_announced_round_without_any_marker)
{
    start(2, 0);
    NONE(A(1), 0);
    NONE(E(1), 0);
    CUT(E(0), 1);
}

Test(aligner, last_end_does_not_cut_an_aborted_round)
{
    start(2, 0);
    NONE(A(1), 0);
    NONE(X(1), 0);
    NONE(E(1), 0);
    NONE(E(0), 0);
    CUT(A(2), 2);
}

Test(aligner, same_id_twice_in_a_channel_is_an_error)
{
    start(2, 0);
    NONE(M(1, 0), 1);
    CUT(M(1, 1), 1);
    ERROR(M(1, 0));
    NONE(M(2, 1), 2);
    RELEASE(X(2), 0);
    ERROR(M(2, 1));
}

Test(aligner, ids_going_back_in_a_channel_are_an_error)
{
    start(2, 6);
    ERROR(M(6, 0)); /* the id the job was restored from */
    NONE(M(9, 0), 1);
    RELEASE(X(9), 0);
    ERROR(M(8, 0));
    NONE(M(8, 1), 0); /* stale, but in order on its own channel */
}

Test(aligner, anything_behind_end_is_an_error)
{
    start(2, 0);
    NONE(E(0), 0);
    ERROR(E(0));
    ERROR(M(1, 0));
}

Test(aligner, reading_a_held_input_is_a_bug, .signal = SIGABRT)
{
    start(2, 0);
    NONE(M(1, 0), 1);
    M(2, 0);
}

Test(aligner, cut_that_is_due_can_not_be_put_off, .signal = SIGABRT)
{
    start(1, 0);
    M(1, 0);
    X(1);
}

Test(aligner, cut_that_is_not_due_is_a_bug, .signal = SIGABRT)
{
    start(2, 0);
    M(1, 0);
    aligner_cut(&machine);
}

/* --- the twin: history in, everything derived --------------------------------------------- */

struct twin {
    uint32_t input_count;
    uint64_t announced, aborted, cut, marker; /* the highest of each kind so far */
    uint64_t last[INPUTS_MAX];
    bool ended[INPUTS_MAX];
};

static bool twin_dead(const struct twin *twin, uint64_t id)
{
    return id <= twin->aborted || id <= twin->cut || id < twin->announced || id < twin->marker;
}

static bool twin_holds(const struct twin *twin, uint32_t input)
{
    return twin->last[input] == twin->marker && !twin->ended[input] &&
           !twin_dead(twin, twin->marker);
}

static bool twin_complete(const struct twin *twin, uint64_t id)
{
    for (uint32_t input = 0; input < twin->input_count; input++)
        if (!twin->ended[input] && twin->last[input] != id)
            return false;
    return !twin_dead(twin, id);
}

/* The id to cut now, 0: none. An id is worth a cut when a marker or the coordinator named it; by
 * announcement alone it is cut when nothing is left that could bring a marker. */
static uint64_t twin_due(const struct twin *twin)
{
    if (twin_complete(twin, twin->marker))
        return twin->marker;
    for (uint32_t input = 0; input < twin->input_count; input++)
        if (!twin->ended[input])
            return 0;
    return twin_complete(twin, twin->announced) ? twin->announced : 0;
}

static bool twin_released(const struct twin *before, const struct twin *after)
{
    for (uint32_t input = 0; input < before->input_count; input++)
        if (twin_holds(before, input) && !twin_holds(after, input))
            return true;
    return false;
}

/* --- one world: machine, twin, and one event for both -------------------------------------- */

enum kind { ANNOUNCE, ABORT, MARKER, END };

struct world {
    struct aligner machine;
    uint64_t storage[STORAGE_WORDS];
    struct twin twin;
};

static void raise_to(uint64_t *highest, uint64_t id)
{
    if (id > *highest)
        *highest = id;
}

static enum aligner_verdict twin_event(struct twin *twin, enum kind kind, uint32_t input,
                                       uint64_t id)
{
    struct twin before = *twin;
    if ((kind == MARKER || kind == END) && twin->ended[input])
        return ALIGNER_ERROR;
    if (kind == MARKER && id <= twin->last[input])
        return ALIGNER_ERROR;
    if (kind == ANNOUNCE)
        raise_to(&twin->announced, id);
    if (kind == ABORT)
        raise_to(&twin->aborted, id);
    if (kind == MARKER)
        raise_to(&twin->marker, twin->last[input] = id);
    if (kind == END)
        twin->ended[input] = true;
    if (twin_due(twin) != 0)
        return ALIGNER_CUT;
    return twin_released(&before, twin) ? ALIGNER_RELEASE : ALIGNER_NONE;
}

static enum aligner_verdict machine_event(struct aligner *aligner, enum kind kind, uint32_t input,
                                          uint64_t id)
{
    switch (kind) {
    case ANNOUNCE:
        return aligner_announced(aligner, id);
    case ABORT:
        return aligner_abort(aligner, id);
    case MARKER:
        return aligner_marker(aligner, input, id);
    case END:
        return aligner_end(aligner, input);
    }
    abort();
}

static const char *compare_cut(struct world *world)
{
    uint64_t id = world->machine.open;
    if (id != twin_due(&world->twin))
        return "cuts another id";
    if (id <= world->twin.cut)
        return "cuts an id again, or ids of cuts go back"; /* A3 */
    if (id <= world->twin.aborted)
        return "cuts an aborted id"; /* P9 */
    aligner_cut(&world->machine);
    world->twin.cut = id;
    return NULL;
}

static const char *compare_inputs(const struct world *world)
{
    for (uint32_t input = 0; input < world->twin.input_count; input++) {
        if (aligner_holds(&world->machine, input) != twin_holds(&world->twin, input))
            return "holds what it should not, or does not hold what it should";
        if (aligner_ended(&world->machine, input) != world->twin.ended[input])
            return "is wrong about an end";
    }
    return NULL;
}

/* What is wrong, or NULL. */
static const char *world_event(struct world *world, enum kind kind, uint32_t input, uint64_t id,
                               enum aligner_verdict *verdict)
{
    struct aligner before = world->machine;
    uint64_t stored[STORAGE_WORDS];
    memcpy(stored, world->storage, sizeof stored);
    *verdict = machine_event(&world->machine, kind, input, id);
    if (*verdict != twin_event(&world->twin, kind, input, id))
        return "gives another verdict than the twin";
    if (*verdict == ALIGNER_ERROR &&
        (memcmp(stored, world->storage, sizeof stored) != 0 || before.open != world->machine.open ||
         before.closed != world->machine.closed ||
         before.ended_count != world->machine.ended_count))
        return "changes in an error";
    const char *wrong = *verdict == ALIGNER_CUT ? compare_cut(world) : NULL;
    return wrong != NULL ? wrong : compare_inputs(world);
}

static void world_start(struct world *world, uint32_t input_count)
{
    memset(world, 0, sizeof *world);
    aligner_init(&world->machine, input_count, world->storage, 0);
    world->twin.input_count = input_count;
}

/* --- every order of events ------------------------------------------------------------------
 *
 * Each input has a script - markers of 1 and 2, data, E for END - and so has the coordinator: a, b
 * announce 1 and 2, x, y abort them. All interleavings are walked in which no held input is read.
 */
enum { EVERY_INPUTS = 4, PATH_MAX_LENGTH = 64 };

struct order {
    struct world world;
    uint8_t read[EVERY_INPUTS]; /* how much of each script has been read */
    uint8_t told;               /* and of the coordinator's */
};

struct search {
    struct order order;
    const char *inputs[EVERY_INPUTS];
    const char *coordinator;
    struct seen seen;
    char path[PATH_MAX_LENGTH];
    size_t depth;
    uint64_t steps;
};

static void explain(const struct search *search, const char *wrong)
{
    cr_assert_fail("it %s: inputs [%s] [%s] [%s] [%s], coordinator [%s], order %.*s", wrong,
                   search->inputs[0], search->inputs[1], search->inputs[2], search->inputs[3],
                   search->coordinator, (int)search->depth, search->path);
}

/* A cut is right when every input has been read up to its marker or END and no further. */
static void judge_cut(const struct search *search, uint64_t id)
{
    for (uint32_t input = 0; input < search->order.world.twin.input_count; input++) {
        const char *script = search->inputs[input];
        size_t read = search->order.read[input];
        bool at_marker = read > 0 && script[read - 1] == (char)('0' + id);
        if (!at_marker && memchr(script, 'E', read) == NULL)
            explain(search, "cuts at the wrong place");
    }
}

/* When no event is left, a round that everybody named or ended in must have been cut. */
static void judge_rest(const struct search *search)
{
    const struct twin *twin = &search->order.world.twin;
    bool named = strpbrk(search->coordinator, "b") != NULL;
    for (uint32_t input = 0; input < twin->input_count; input++) {
        if (strpbrk(search->inputs[input], "2E") == NULL)
            return;
        named = named || strchr(search->inputs[input], '2') != NULL;
    }
    if (named && strchr(search->coordinator, 'y') == NULL && twin->cut != 2)
        explain(search, "never cuts 2");
}

/* False when the channel broke the rules: the job ends there. */
static bool take(struct search *search, char item, uint32_t input)
{
    bool control = strchr("abxy", item) != NULL;
    enum kind kind = item == 'E' ? END : MARKER;
    if (control)
        kind = item <= 'b' ? ANNOUNCE : ABORT;
    uint64_t id = item == 'a' || item == 'x' || item == '1' ? 1 : 2;
    search->path[search->depth++] = item;
    if (!control)
        search->path[search->depth++] = (char)('0' + input);
    search->steps++;
    if (item == 'd')
        return true;
    enum aligner_verdict verdict;
    const char *wrong = world_event(&search->order.world, kind, input, id, &verdict);
    if (wrong != NULL)
        explain(search, wrong);
    if (verdict == ALIGNER_CUT)
        judge_cut(search, search->order.world.twin.cut);
    return verdict != ALIGNER_ERROR;
}

static void explore(struct search *search);

static void explore_one(struct search *search, char item, uint32_t input)
{
    struct order saved = search->order;
    size_t depth = search->depth;
    if (item != '\0' && strchr("abxy", item) != NULL)
        search->order.told++;
    else
        search->order.read[input]++;
    if (take(search, item, input))
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
        char item = search->inputs[input][order->read[input]];
        if (item == '\0' || aligner_holds(&order->world.machine, input))
            continue;
        explore_one(search, item, input);
        moved = true;
    }
    char item = search->coordinator[order->told];
    if (item != '\0')
        explore_one(search, item, 0);
    if (!moved && item == '\0')
        judge_rest(search);
}

static const char *const coordinators[] = {
    "", "a", "x", "b", "ax", "ab", "xb", "axb", "abx", "axby", "ba", "ay", "xax",
};
/* The lawful ones first. */
static const char *const scripts[] = {
    "", "E", "1", "2", "12", "1E", "2E", "12E", "d1d2dE", "11", "21", "EE", "E1", "d1d1",
};
enum { LAWFUL = 9, ALL = sizeof scripts / sizeof *scripts };

static void explore_from_start(struct search *search, uint32_t input_count)
{
    for (size_t c = 0; c < sizeof coordinators / sizeof *coordinators; c++) {
        search->coordinator = coordinators[c];
        memset(&search->order, 0, sizeof search->order);
        world_start(&search->order.world, input_count);
        search->depth = 0;
        seen_clear(&search->seen);
        explore(search);
    }
}

/* All choices of `count` scripts for the inputs; `alike`: an order of inputs once. */
static void choose(struct search *search, uint32_t input, uint32_t input_count, size_t from,
                   size_t count, bool alike)
{
    if (input == input_count) {
        explore_from_start(search, input_count);
        return;
    }
    for (size_t script = alike ? from : 0; script < count; script++) {
        search->inputs[input] = scripts[script];
        choose(search, input + 1, input_count, script, count, alike);
    }
}

static void every_order(uint32_t input_count, size_t script_count, bool alike)
{
    static struct search search;
    for (uint32_t input = 0; input < EVERY_INPUTS; input++)
        search.inputs[input] = "";
    seen_add(&search.seen, 1);
    choose(&search, 0, input_count, 0, script_count, alike);
    cr_log_info("%llu steps", (unsigned long long)search.steps);
    seen_free(&search.seen);
}

Test(aligner, agrees_with_its_twin_in_every_order_without_inputs)
{
    every_order(0, ALL, false);
}

Test(aligner, agrees_with_its_twin_in_every_order_on_one_input)
{
    every_order(1, ALL, false);
}

Test(aligner, agrees_with_its_twin_in_every_order_on_two_inputs)
{
    every_order(2, ALL, false);
}

Test(aligner, agrees_with_its_twin_in_every_order_on_three_inputs)
{
    every_order(3, ALL, true);
}

Test(aligner, agrees_with_its_twin_in_every_order_on_four_inputs)
{
    every_order(4, LAWFUL, true);
}

/* --- a long walk: many inputs, many ids ---------------------------------------------------- */

static enum kind random_kind(uint64_t *random, uint32_t input_count)
{
    uint32_t draw = explore_below(random, 1000);
    if (draw < 20 || input_count == 0)
        return ANNOUNCE;
    if (draw < 25)
        return ABORT;
    return draw < 28 ? END : MARKER;
}

static void walk(uint64_t seed, uint32_t input_count, uint32_t steps)
{
    static struct world world;
    uint64_t random = seed + input_count;
    uint64_t newest = 1;
    uint32_t cuts = 0;
    world_start(&world, input_count);
    for (uint32_t step = 0; step < steps; step++) {
        enum kind kind = random_kind(&random, input_count);
        uint32_t input = explore_below(&random, input_count);
        if ((kind == MARKER || kind == END) && aligner_holds(&world.machine, input))
            continue;
        newest += explore_below(&random, 4 * input_count + 4) == 0;
        uint64_t back = explore_below(&random, 40) == 0;
        uint64_t id = newest > back ? newest - back : newest;
        enum aligner_verdict verdict;
        const char *wrong = world_event(&world, kind, input, id, &verdict);
        cr_assert_null(wrong, "it %s: WEIR_TEST_SEED=%llu, %u inputs, step %u", wrong,
                       (unsigned long long)seed, input_count, step);
        cuts += verdict == ALIGNER_CUT;
        if (world.machine.ended_count == input_count && explore_below(&random, 50) == 0)
            world_start(&world, input_count);
    }
    cr_assert_gt(cuts, 20, "the walk hardly cuts: %u", cuts);
}

Test(aligner, agrees_with_its_twin_in_a_random_walk)
{
    static const uint32_t counts[] = {1, 2, 3, 5, 8, 63, 64, 65, INPUTS_MAX};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        walk(explore_seed(), counts[i], 100000);
}
