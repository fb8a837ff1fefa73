/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "mapping.h"
#include "state.h"

#define MOST 9u /* subtasks tried */

/* ------------------------------------------------------------------------------- shares -- */

static const uint32_t some_groups[] = {1, 2, 7, 128, 32768};

/* M1 */
Test(mapping, each_key_group_has_one_owner_and_is_read_by_the_one_who_owns_it_now)
{
    for (size_t i = 0; i < sizeof some_groups / sizeof *some_groups; i++) {
        uint32_t groups = some_groups[i];
        for (uint32_t p = 1; p <= MOST; p++) {
            uint32_t next = 0;
            for (uint32_t s = 0; s < p; s++) {
                struct mapping_range range = mapping_range(s, p, groups);
                cr_assert_eq(range.first, next);
                cr_assert_geq(range.end, range.first);
                next = range.end;
            }
            cr_assert_eq(next, groups);
        }
    }
}

static uint32_t owner_of(uint32_t group, uint32_t parallelism, uint32_t groups)
{
    uint32_t owner = MAPPING_NONE;
    for (uint32_t s = 0; s < parallelism; s++) {
        struct mapping_range range = mapping_range(s, parallelism, groups);
        if (group >= range.first && group < range.end)
            owner = s;
    }
    return owner;
}

Test(mapping, a_subtask_reads_those_and_only_those_who_had_a_group_of_its_own)
{
    for (size_t i = 0; i < 4; i++) {
        uint32_t groups = some_groups[i];
        for (uint32_t p = 1; p <= MOST; p++) {
            for (uint32_t q = 1; q <= MOST; q++) {
                bool shared[MOST][MOST] = {{false}};
                for (uint32_t g = 0; g < groups; g++)
                    shared[owner_of(g, q, groups)][owner_of(g, p, groups)] = true;
                for (uint32_t now = 0; now < q; now++)
                    for (uint32_t then = 0; then < p; then++)
                        cr_assert_eq(mapping_reads(now, q, then, p, groups), shared[now][then],
                                     "%u of %u, %u of %u, %u groups", now, q, then, p, groups);
            }
        }
    }
}

/* M2 */
Test(mapping, each_item_goes_to_one_and_the_shares_differ_by_one_at_most)
{
    for (uint32_t q = 1; q <= MOST; q++) {
        for (uint64_t count = 0; count <= 40; count++) {
            uint64_t share[MOST] = {0}, least = UINT64_MAX, most = 0;
            uint32_t last = 0;
            for (uint64_t index = 0; index < count; index++) {
                uint32_t to = mapping_split(index, count, q);
                cr_assert(to < q && to >= last); /* neighbours stay together */
                last = to;
                share[to]++;
            }
            for (uint32_t s = 0; s < q; s++) {
                least = share[s] < least ? share[s] : least;
                most = share[s] > most ? share[s] : most;
            }
            cr_assert_leq(most - least, 1);
        }
    }
}

Test(mapping, whoever_is_still_there_inherits_from_itself)
{
    for (uint32_t q = 1; q <= MOST; q++)
        for (uint32_t then = 0; then < 2 * MOST; then++) {
            cr_assert_lt(mapping_heir(then, q), q);
            cr_assert(then >= q || mapping_heir(then, q) == then);
        }
}

/* ------------------------------------------------------------------------------- graphs -- */

/* lines(2) -> count(3; total, last) -> sink(1), and an edge from count back to itself. Names are
 * literals. */
struct sample {
    struct manifest_state states[2];
    struct manifest_node nodes[3];
    struct manifest_edge edges[3];
    struct manifest_graph graph;
};

static char *text(const char *value)
{
    return (char *)(uintptr_t)value;
}

static struct manifest_edge edge(uint32_t from, uint32_t to, const char *routing, bool feedback)
{
    return (struct manifest_edge){from,          to,       text("out"), text("in"),
                                  text(routing), text(""), text(""),    feedback};
}

static void make(struct sample *sample)
{
    *sample = (struct sample){
        .states = {{.name = text("total"), .format = text("u64"), .version = 1, .value_size = 8},
                   {.name = text("last"), .format = text(""), .version = 3}},
        .nodes = {{text("lines"), text("source"), 1, 2, NULL, 0},
                  {text("count"), text("function"), 1, 3, sample->states, 2},
                  {text("sink"), text("sink"), 1, 1, NULL, 0}},
        .edges = {edge(0, 1, "by_key", false), edge(1, 2, "spread", false),
                  edge(1, 1, "by_key", true)},
        .graph = {.key_groups = 128, .node_count = 3, .edge_count = 3},
    };
    sample->graph.nodes = sample->nodes;
    sample->graph.edges = sample->edges;
}

static struct mapping map(const struct sample *then, const struct sample *now,
                          const struct mapping_traits *traits)
{
    struct mapping mapping;
    struct weir_error error = {0};
    cr_assert_eq(mapping_make(&then->graph, &now->graph, traits, NULL, &mapping, &error), WEIR_OK,
                 "%s", error.text);
    return mapping;
}

Test(mapping, the_same_graph_is_read_as_it_is)
{
    struct sample then, now;
    make(&then);
    make(&now);
    now.nodes[1].kind = text("another");
    now.nodes[1].version = 9;
    now.states[0].format = text("i64");
    now.edges[0].key_format = text("hex");
    struct mapping mapping = map(&then, &now, NULL);
    cr_expect(mapping.same && mapping.problem_count == 0);
    cr_expect_eq(mapping_check(&mapping, NULL), WEIR_OK);
    for (uint32_t n = 0; n < 3; n++)
        cr_expect(mapping.nodes[n].as_was && mapping.nodes[n].then == n);
    mapping_free(&mapping);
}

Test(mapping, another_parallelism_moves_the_node_its_states_and_its_edges_and_nothing_else)
{
    struct sample then, now;
    make(&then);
    make(&now);
    now.nodes[0].parallelism = 5;
    struct mapping mapping = map(&then, &now, NULL);
    cr_expect(!mapping.same && mapping.problem_count == 0);
    cr_expect(mapping.nodes[0].moved && !mapping.nodes[1].moved && !mapping.nodes[2].moved);
    cr_expect(!mapping.nodes[1].as_was); /* its input has other channels */
    cr_expect(mapping.nodes[2].as_was);
    cr_expect_eq(mapping.nodes[1].states[0].way, MAPPING_SHARED);
    cr_expect(mapping.edges[0].moved && !mapping.edges[1].moved && !mapping.edges[2].moved);
    mapping_free(&mapping);
    now.nodes[0].parallelism = 2;
    now.nodes[1].parallelism = 1;
    mapping = map(&then, &now, NULL);
    cr_expect(mapping.edges[0].moved && mapping.edges[1].moved && mapping.edges[2].moved);
    cr_expect_eq(mapping.nodes[1].states[0].way, MAPPING_AGAIN);
    cr_expect_eq(mapping.nodes[1].states[1].way, MAPPING_AGAIN);
    cr_expect(mapping.nodes[0].as_was && !mapping.nodes[2].as_was);
    mapping_free(&mapping);
}

Test(mapping, nodes_and_states_are_known_by_name_wherever_they_stand)
{
    struct sample then, now;
    make(&then);
    make(&now);
    struct manifest_node node = now.nodes[0];
    struct manifest_state state = now.states[0];
    now.nodes[0] = now.nodes[2];
    now.nodes[2] = node;
    now.states[0] = now.states[1];
    now.states[1] = state;
    for (uint32_t e = 0; e < 3; e++) {
        now.edges[e].from = now.edges[e].from == 1 ? 1 : 2 - now.edges[e].from;
        now.edges[e].to = now.edges[e].to == 1 ? 1 : 2 - now.edges[e].to;
    }
    struct mapping mapping = map(&then, &now, NULL);
    cr_expect(!mapping.same && mapping.problem_count == 0);
    for (uint32_t n = 0; n < 3; n++) {
        cr_expect_str_eq(then.nodes[mapping.nodes[n].then].name, now.nodes[n].name);
        cr_expect_eq(mapping.node_now[mapping.nodes[n].then], n);
    }
    cr_expect_eq(mapping_state_now(&mapping, 1, 0), 1);
    cr_expect_eq(mapping_state_now(&mapping, 1, 1), 0);
    cr_expect(!mapping.nodes[1].as_was && mapping.nodes[0].as_was && mapping.nodes[2].as_was);
    for (uint32_t e = 0; e < 3; e++)
        cr_expect(mapping.edges[e].then == e && !mapping.edges[e].moved);
    mapping_free(&mapping);
}

/* M4 */
Test(mapping, what_has_no_place_is_left_over_and_what_is_new_starts_empty)
{
    struct sample then, now;
    make(&then);
    make(&now);
    now.nodes[2].name = text("other");
    now.states[1].name = text("first");
    struct mapping mapping = map(&then, &now, NULL);
    cr_expect_eq(mapping.problem_count, 0);
    cr_expect_eq(mapping.node_now[2], MAPPING_NONE);
    cr_expect_eq(mapping.nodes[2].then, MAPPING_NONE);
    cr_expect(mapping_is_removed(&mapping, 1, 1) && !mapping_is_removed(&mapping, 1, 0));
    cr_expect_eq(mapping.nodes[1].states[1].way, MAPPING_NEW);
    cr_expect_eq(mapping.edge_now[1], MAPPING_NONE); /* it led there */
    cr_expect_eq(mapping.edges[1].then, MAPPING_NONE);
    cr_expect(mapping.edge_now[0] == 0 && mapping.edge_now[2] == 2);
    mapping_free(&mapping);
}

Test(mapping, an_edge_of_another_kind_is_another_edge)
{
    for (int what = 0; what < 4; what++) {
        struct sample then, now;
        make(&then);
        make(&now);
        struct manifest_edge *changed = &now.edges[what == 3 ? 2 : 0];
        if (what == 0)
            changed->routing = text("spread");
        else if (what == 1)
            changed->input = text("left");
        else if (what == 2)
            changed->output = text("right");
        else
            changed->feedback = false;
        struct mapping mapping = map(&then, &now, NULL);
        uint32_t index = what == 3 ? 2 : 0;
        cr_expect_eq(mapping.edge_now[index], MAPPING_NONE, "%d", what);
        cr_expect_eq(mapping.edges[index].then, MAPPING_NONE, "%d", what);
        cr_expect_not(mapping.nodes[1].as_was, "%d", what);
        mapping_free(&mapping);
    }
}

Test(mapping, equal_edges_keep_their_order)
{
    struct sample then, now;
    make(&then);
    make(&now);
    then.edges[2] = then.edges[0];
    now.edges[2] = now.edges[1]; /* 0 1 0 becomes 0 0 1 */
    now.edges[1] = now.edges[0];
    struct mapping mapping = map(&then, &now, NULL);
    cr_expect(mapping.edges[0].then == 0 && mapping.edges[1].then == 2 &&
              mapping.edges[2].then == 1);
    mapping_free(&mapping);
}

/* ------------------------------------------------------------------------------ problems -- */

static const bool migrating[] = {true, true};

static const struct {
    const char *says[3];
    bool migrates, fixed;
} problems[] = {
    {{"'total'", "'count'", "version 1 and is 2"}, false, false},
    {{"'last'", "version 3 and is 2", "older"}, true, false},
    {{"'total'", "8 bytes and has 16", "migrate"}, true, false},
    {{"'lines'", "parallelism 2 and has 4", "it reads one stream"}, false, true},
    {{"128 key groups", "64", "--restore none"}, false, false},
    {{"'total'", "was a value and is a map", "call it otherwise"}, true, false},
    {{"'total'", "was a value and is a value with a time to live", "otherwise"}, true, false},
    {{"'last'", "was a value with a time to live and is a list", "otherwise"}, true, false},
};

static void change(struct sample *now, size_t what)
{
    if (what == 0)
        now->states[0].version = 2;
    else if (what == 1)
        now->states[1].version = 2;
    else if (what == 2)
        now->states[0].value_size = 16;
    else if (what == 3)
        now->nodes[0].parallelism = 4;
    else if (what == 4)
        now->graph.key_groups = 64;
    else if (what == 5)
        now->states[0].kind = STATE_MAP;
    else if (what == 6)
        now->states[0].expires = true;
    else
        now->states[1].kind = STATE_LIST;
}

Test(mapping, what_does_not_fit_is_named_with_what_to_do)
{
    for (size_t what = 0; what < sizeof problems / sizeof *problems; what++) {
        struct sample then, now;
        struct weir_error error = {0};
        make(&then);
        make(&now);
        then.states[1].expires = what == 7;
        change(&now, what);
        struct mapping_traits traits[3] = {
            {problems[what].fixed ? "it reads one stream" : NULL, NULL},
            {NULL, problems[what].migrates ? migrating : NULL},
            {NULL, NULL}};
        struct mapping mapping = map(&then, &now, traits);
        cr_assert_eq(mapping.problem_count, 1, "%zu", what);
        cr_assert_eq(mapping_check(&mapping, &error), WEIR_MISMATCH);
        for (int i = 0; i < 3; i++)
            cr_expect_not_null(strstr(error.text, problems[what].says[i]), "%s", error.text);
        mapping_free(&mapping);
    }
}

Test(mapping, a_migrate_callback_takes_a_newer_version_of_any_size)
{
    struct sample then, now;
    make(&then);
    make(&now);
    now.states[0].version = 2;
    now.states[0].value_size = 0;
    struct mapping_traits traits[3] = {{NULL, NULL}, {NULL, migrating}, {NULL, NULL}};
    struct mapping mapping = map(&then, &now, traits);
    cr_expect_eq(mapping.problem_count, 0);
    cr_expect_eq(mapping.nodes[1].states[0].way, MAPPING_MIGRATE);
    cr_expect_eq(mapping.nodes[1].states[1].way, MAPPING_SHARED);
    cr_expect_not(mapping.nodes[1].as_was);
    mapping_free(&mapping);
}

Test(mapping, all_problems_are_kept_and_the_first_says_how_many_more)
{
    struct sample then, now;
    struct weir_error error = {0};
    make(&then);
    make(&now);
    change(&now, 0);
    change(&now, 1);
    change(&now, 4);
    struct mapping mapping = map(&then, &now, NULL);
    cr_expect_eq(mapping.problem_count, 3);
    cr_assert_eq(mapping_check(&mapping, &error), WEIR_MISMATCH);
    cr_expect_not_null(strstr(error.text, "2 more"), "%s", error.text);
    mapping_free(&mapping);
}

/* ------------------------------------------------------------------------------- memory -- */

struct scarce {
    unsigned left;
};

static void *take_some(void *context, size_t size)
{
    struct scarce *scarce = context;
    return scarce->left && scarce->left-- ? malloc(size) : NULL;
}

static void give_back(void *context, void *memory)
{
    (void)context;
    free(memory);
}

Test(mapping, without_memory_it_says_so_and_holds_none)
{
    struct sample then, now;
    struct mapping mapping;
    struct scarce scarce = {0};
    struct weir_allocator allocator = {take_some, give_back, &scarce};
    enum weir_result result = WEIR_NO_MEMORY;
    make(&then);
    make(&now);
    change(&now, 4);
    for (unsigned count = 0; result && count < 100; count++) {
        scarce.left = count;
        result = mapping_make(&then.graph, &now.graph, NULL, &allocator, &mapping, NULL);
        cr_assert(result == WEIR_OK || (result == WEIR_NO_MEMORY && !mapping.nodes));
    }
    cr_assert_eq(result, WEIR_OK);
    mapping_free(&mapping);
}
