/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The builder: what it refuses, in whose name, and that the first error sticks.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "graph.h"

static struct weir_graph *graph;
static struct weir_error error;

static void begin(void)
{
    weir_graph_free(&graph);
    graph = weir_graph_new(NULL);
    memset(&error, 0, sizeof error);
}
static void finish(void)
{
    weir_graph_free(&graph);
    cr_expect_null(graph);
}
TestSuite(graph, .init = begin, .fini = finish);

static enum weir_progress poll_nothing(void *self, struct weir_context *context)
{
    (void)self;
    (void)context;
    return WEIR_END;
}
static enum weir_result take(struct weir_context *context, unsigned input,
                             const struct weir_record *record, const void *config)
{
    (void)context;
    (void)input;
    (void)record;
    (void)config;
    return WEIR_OK;
}
static enum weir_result prepare(void *self, struct weir_context *context, uint64_t id)
{
    (void)self;
    (void)context;
    (void)id;
    return WEIR_OK;
}
static const struct weir_operator source_table = {WEIR_SIZED(struct weir_operator),
                                                  .kind = "source", .poll = poll_nothing};

static weir_node source(const char *name)
{
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options), .name = name,
                                        .table = &source_table};
    return weir_graph_add(graph, &options);
}
static weir_node sink(const char *name, const struct weir_state *states, size_t count)
{
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options), .name = name,
                                        .function = take, .states = states, .state_count = count};
    return weir_graph_add(graph, &options);
}

static void refused(const char *says)
{
    cr_expect_eq(weir_graph_check(graph, &error), WEIR_INVALID, "%s", says);
    cr_expect(strstr(error.text, says) != NULL, "\"%s\" does not say \"%s\"", error.text, says);
    begin();
}

Test(graph, an_empty_one_is_refused)
{
    refused("no nodes");
}

Test(graph, the_first_error_sticks_and_later_calls_change_nothing)
{
    weir_node a = source("a");
    source("no good");
    uint32_t nodes = graph->node_count;
    weir_connect(graph, a, sink("b", NULL, 0), WEIR_SPREAD);
    weir_graph_fail(graph, "another trouble");
    source("a");
    cr_expect_eq(graph->node_count, nodes);
    cr_expect_eq(graph->edge_count, 0);
    refused("\"no good\"");
}

Test(graph, names_are_what_the_header_says)
{
    static const char *const good[] = {"a", "_", "9", "a-b_C", "x23456789012345678901234567890123"};
    static const char *const bad[] = {"", "-a", "a b", "a.b", "a/b", "\xc3\xa9", NULL};
    char longest[66];
    memset(longest, 'n', sizeof longest);
    longest[64] = 0;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        source(good[i]);
    source(longest);
    cr_expect_eq(weir_graph_check(graph, &error), WEIR_OK, "%s", error.text);
    begin();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        source(bad[i]);
        refused("is not a name");
    }
    longest[64] = 'n';
    longest[65] = 0;
    source(longest);
    refused("is not a name");
}

Test(graph, names_that_come_twice_are_refused)
{
    source("a");
    source("a");
    refused("node a is there twice");
    static const struct weir_state twice[] = {{WEIR_SIZED(struct weir_state), .name = "s"},
                                              {WEIR_SIZED(struct weir_state), .name = "s"}};
    sink("k", twice, 2);
    refused("state s is there twice");
    const char *const ports[] = {"p", "p"};
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options), .name = "b",
                                        .function = take, .inputs = ports, .input_count = 2};
    weir_graph_add(graph, &options);
    refused("input \"p\" is there twice");
}

Test(graph, structs_without_a_size_are_refused)
{
    struct weir_node_options options = {.name = "a", .table = &source_table};
    weir_graph_add(graph, &options);
    refused("weir_node_options");
    weir_graph_add(graph, NULL);
    refused("weir_node_options");
    struct weir_operator table = {.poll = poll_nothing};
    options.size = sizeof options;
    options.table = &table;
    weir_graph_add(graph, &options);
    refused("weir_operator");
    struct weir_state state = {.name = "s"};
    sink("k", &state, 1);
    refused("weir_state");
    sink("k", NULL, 1);
    refused("weir_state");
    weir_graph_connect(graph, NULL);
    refused("weir_edge_options");
}

/* Callers of an older and of a newer header. */
Test(graph, what_an_older_struct_lacks_is_zero_and_what_a_newer_has_is_ignored)
{
    struct {
        struct weir_state state;
        uint64_t later;
    } newer[2] = {{{.size = sizeof newer[0], .name = "one", .value_size = 8}, UINT64_MAX},
                  {{.size = sizeof newer[0], .name = "two", .value_size = 16}, UINT64_MAX}};
    weir_node a = source("a"), k = sink("k", &newer[0].state, 2);
    weir_connect(graph, a, k, WEIR_BY_KEY);
    struct weir_node_options old;
    memset(&old, 0xee, sizeof old);
    old.size = offsetof(struct weir_node_options, config);
    old.name = "old";
    old.table = NULL;
    old.function = take;
    weir_connect(graph, a, weir_graph_add(graph, &old), WEIR_SPREAD);
    cr_expect_eq(weir_graph_check(graph, &error), WEIR_OK, "%s", error.text);
    cr_expect_str_eq(graph->nodes[1].states[1].name, "two");
    cr_expect_eq(graph->nodes[1].states[1].value_size, 16);
    cr_expect_eq(graph->nodes[2].parallelism, 0);
    cr_expect_eq(graph->nodes[2].input_count, 1);
}

Test(graph, operators_must_be_able_to_do_what_their_place_asks)
{
    sink("lonely", NULL, 0);
    refused("node lonely has no input");
    weir_node a = source("a");
    weir_connect(graph, a, source("b"), WEIR_SPREAD);
    refused("node b has input but no process");
    struct weir_operator none = {WEIR_SIZED(struct weir_operator)};
    struct weir_operator half = source_table;
    half.prepare = prepare;
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options), .name = "n",
                                        .table = &none};
    weir_graph_add(graph, &options);
    refused("node n");
    options.table = &half;
    weir_graph_add(graph, &options);
    refused("prepare and commit");
    options.function = take;
    weir_graph_add(graph, &options);
    refused("one of them");
    options.function = NULL;
    options.table = NULL;
    weir_graph_add(graph, &options);
    refused("one of them");
}

Test(graph, a_count_without_names_is_refused)
{
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options), .name = "a",
                                        .table = &source_table, .output_count = 2};
    weir_graph_add(graph, &options);
    refused("output \"\" is not a name");
}

Test(graph, edges_name_what_exists)
{
    weir_node a = source("a"), b = sink("b", NULL, 0);
    struct weir_edge_options edge = {WEIR_SIZED(struct weir_edge_options), .from = a, .to = b,
                                     .input = "side"};
    weir_graph_connect(graph, &edge);
    refused("node b has no input named \"side\"");
    a = source("a");
    b = sink("b", NULL, 0);
    edge.input = "in";
    edge.output = "err";
    weir_graph_connect(graph, &edge);
    refused("node a has no output named \"err\"");
    weir_connect(graph, source("a"), (weir_node){7}, WEIR_SPREAD);
    refused("does not exist");
    weir_connect(graph, source("a"), sink("b", NULL, 0), (enum weir_routing)9);
    refused("does not exist");
    weir_connect(graph, (weir_node){7}, sink("b", NULL, 0), WEIR_SPREAD);
    refused("does not exist");
    cr_expect_str_eq(graph_routing_text((enum weir_routing)9), "?");
}

Test(graph, nothing_and_what_is_gone_is_freed)
{
    struct weir_graph *none = NULL;
    weir_graph_free(NULL);
    weir_graph_free(&none);
    cr_expect_null(none);
}

/* Each by itself: what a state can't be. */
Test(graph, states_are_of_a_kind_a_clock_a_size_and_a_time)
{
    static const struct weir_state sound = {WEIR_SIZED(struct weir_state), .name = "s"};
    struct weir_state wrong[] = {sound, sound, sound, sound, sound};
    static const char *const says[] = {"is of no kind", "is of no kind", "over 292 years",
                                       "can't be called", "values over 16 MiB"};
    wrong[0].kind = (enum weir_state_kind)(WEIR_STATE_MAP + 1);
    wrong[1].ttl_clock = (enum weir_timer)(WEIR_TIMER_CLOCK + 1);
    wrong[2].ttl_ns = (uint64_t)INT64_MAX + 1;
    wrong[3].name = GRAPH_TIMERS;
    wrong[4].value_size = (16 << 20) + 1;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        sink("k", &wrong[i], 1);
        refused(says[i]);
    }
    const struct weir_state twice[] = {sound, sound};
    sink("k", twice, 2);
    refused("state s is there twice");
}

static enum weir_result save_nothing(void *self, struct weir_context *context,
                                     struct weir_saver *saver)
{
    (void)self, (void)context, (void)saver;
    return WEIR_OK;
}
static enum weir_result wake(void *self, struct weir_context *context)
{
    (void)self, (void)context;
    return WEIR_OK;
}

Test(graph, callbacks_that_go_together_or_never_are_told)
{
    struct weir_operator table = source_table;
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options), .name = "n",
                                        .table = &table};
    table.save = save_nothing;
    weir_graph_add(graph, &options);
    refused("node n: it can save itself but not load");
    table.save = NULL;
    table.wake = wake;
    weir_graph_add(graph, &options);
    refused("node n is a source (it polls): it waits with weir_idle, not wake");
}

Test(graph, keyed_state_needs_by_key_on_every_edge)
{
    static const struct weir_state state = {WEIR_SIZED(struct weir_state), .name = "s"};
    for (int routing = WEIR_FORWARD; routing <= WEIR_BROADCAST; routing++) {
        weir_node a = source("a"), k = sink("k", &state, 1);
        weir_connect(graph, a, k, WEIR_BY_KEY);
        weir_connect(graph, a, k, (enum weir_routing)routing);
        if (routing == WEIR_BY_KEY) {
            cr_expect_eq(weir_graph_check(graph, &error), WEIR_OK);
            begin();
        } else {
            refused("must be BY_KEY");
        }
    }
}

Test(graph, cycles_are_refused_and_a_member_named)
{
    for (uint32_t length = 1; length <= 4; length++) {
        weir_node first = {0}, last = {0};
        for (uint32_t i = 0; i < length; i++) {
            char name[] = {'c', (char)('0' + i), 0};
            weir_node node = sink(name, NULL, 0);
            if (i)
                weir_connect(graph, last, node, WEIR_SPREAD);
            else
                first = node;
            last = node;
        }
        weir_connect(graph, last, first, WEIR_SPREAD);
        weir_connect(graph, source("a"), first, WEIR_SPREAD);
        weir_connect(graph, last, sink("end", NULL, 0), WEIR_SPREAD);
        refused("cycle");
    }
}

Test(graph, limits)
{
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options), .name = "a",
                                        .table = &source_table, .parallelism = 1025};
    weir_graph_add(graph, &options);
    refused("parallelism 1024");
    static const char *names[65];
    options.parallelism = 1;
    options.outputs = names;
    options.output_count = 65;
    weir_graph_add(graph, &options);
    refused("64");
    options.output_count = 0;
    options.inputs = names;
    options.input_count = 65;
    weir_graph_add(graph, &options);
    refused("node a: at most");
    options.input_count = 0;
    options.state_count = 65;
    options.name = NULL;
    weir_graph_add(graph, &options);
    refused("node : at most");
    struct weir_state large = {WEIR_SIZED(struct weir_state), .name = "s",
                               .value_size = (16 << 20) + 1};
    sink("k", &large, 1);
    refused("16 MiB");
    for (uint32_t i = 0; i < GRAPH_NODE_LIMIT; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%u", i);
        source(name);
    }
    cr_expect_eq(weir_graph_check(graph, &error), WEIR_OK, "%s", error.text);
    source("over");
    refused("4096");
}

Test(graph, what_is_kept_is_a_copy_aligned_and_lives_with_the_graph)
{
    char text[] = "hello";
    const char *kept = weir_graph_keep_text(graph, text);
    text[0] = 'j';
    cr_expect_str_eq(kept, "hello");
    cr_expect_str_eq(weir_graph_keep_text(graph, NULL), "");
    for (size_t size = 0; size < 100; size++) {
        unsigned char *bytes = weir_graph_keep(graph, NULL, size);
        cr_expect_eq((uintptr_t)bytes % 16, 0);
        for (size_t i = 0; i < size; i++)
            cr_expect_eq(bytes[i], 0);
    }
    cr_expect_null(weir_graph_keep(graph, NULL, SIZE_MAX - 8));
    cr_expect_eq(weir_graph_check(graph, &error), WEIR_NO_MEMORY);
}

Test(graph, a_long_message_is_cut_not_overrun)
{
    weir_graph_fail(graph, "%02000d", 7);
    cr_expect_eq(weir_graph_check(graph, &error), WEIR_INVALID);
    cr_expect_eq(strchr(error.text, '\n'), NULL);
    cr_expect_eq(weir_graph_check(graph, NULL), WEIR_INVALID);
}

/* -------------------------------------------------------------------------------- feedback -- */

static void accepted(void)
{
    cr_expect_eq(weir_graph_check(graph, &error), WEIR_OK, "%s", error.text);
    begin();
}

/* numbers -> first -> ... -> last, and no edge back. */
static void line_of(weir_node *nodes, uint32_t count)
{
    weir_node last = source("numbers");
    for (uint32_t i = 0; i < count; i++) {
        char name[] = {'c', (char)('0' + i), 0};
        nodes[i] = sink(name, NULL, 0);
        weir_connect(graph, last, nodes[i], WEIR_SPREAD);
        last = nodes[i];
    }
}

Test(graph, cycles_of_any_length_are_closed_by_feedback)
{
    for (uint32_t length = 1; length <= 4; length++) {
        weir_node nodes[4];
        line_of(nodes, length);
        weir_feedback(graph, nodes[length - 1], nodes[0], WEIR_BY_KEY);
        cr_expect(graph->edges[length].feedback);
        cr_expect_not(graph->edges[0].feedback);
        accepted();
    }
}

Test(graph, a_cycle_without_feedback_beside_one_with_it_is_refused)
{
    weir_node nodes[4];
    line_of(nodes, 4);
    weir_feedback(graph, nodes[1], nodes[0], WEIR_SPREAD);
    weir_connect(graph, nodes[3], nodes[2], WEIR_SPREAD);
    refused("node c2 is part of a cycle: declare the edge that leads back by weir_feedback");
    line_of(nodes, 4); /* the longer one of two that share their nodes */
    weir_feedback(graph, nodes[2], nodes[1], WEIR_SPREAD);
    weir_connect(graph, nodes[3], nodes[0], WEIR_SPREAD);
    refused("node c0 is part of a cycle: declare the edge that leads back by weir_feedback");
}

Test(graph, a_feedback_edge_that_closes_no_cycle_is_refused)
{
    weir_node nodes[4];
    line_of(nodes, 3);
    weir_feedback(graph, nodes[0], nodes[2], WEIR_SPREAD);
    refused("the feedback edge from c0 to c2 closes no cycle: connect them by an ordinary edge");
    line_of(nodes, 3);
    weir_node aside = sink("aside", NULL, 0);
    weir_connect(graph, nodes[0], aside, WEIR_SPREAD);
    weir_feedback(graph, aside, nodes[1], WEIR_SPREAD);
    refused("the feedback edge from aside to c1 closes no cycle");
}

/* Exactly the edges that lead back: of a cycle through two lines, one edge is an ordinary one. */
Test(graph, a_cycle_of_two_feedback_edges_is_refused_and_one_ordinary_edge_mends_it)
{
    for (int mended = 0; mended < 2; mended++) {
        weir_node a = sink("a", NULL, 0), b = sink("b", NULL, 0);
        weir_connect(graph, source("one"), a, WEIR_SPREAD);
        weir_connect(graph, source("two"), b, WEIR_SPREAD);
        struct weir_edge_options edge = {WEIR_SIZED(struct weir_edge_options), .from = a, .to = b,
                                         .routing = WEIR_SPREAD, .feedback = !mended};
        weir_graph_connect(graph, &edge);
        weir_feedback(graph, b, a, WEIR_SPREAD);
        if (mended)
            accepted();
        else
            refused("the feedback edge from a to b closes no cycle");
    }
}

Test(graph, cycles_may_be_nested_and_share_nodes)
{
    weir_node nodes[4];
    line_of(nodes, 4);
    weir_feedback(graph, nodes[3], nodes[0], WEIR_SPREAD);
    weir_feedback(graph, nodes[2], nodes[1], WEIR_SPREAD);
    weir_feedback(graph, nodes[2], nodes[0], WEIR_SPREAD);
    weir_feedback(graph, nodes[1], nodes[1], WEIR_SPREAD);
    weir_feedback(graph, nodes[1], nodes[1], WEIR_SPREAD);
    accepted();
}

Test(graph, what_is_fed_by_feedback_alone_is_refused)
{
    weir_node a = sink("a", NULL, 0), b = sink("b", NULL, 0);
    weir_connect(graph, a, b, WEIR_SPREAD);
    weir_feedback(graph, b, a, WEIR_SPREAD);
    refused("node a is fed by feedback alone: nothing would ever come; connect it to what feeds "
            "the cycle");
    weir_node lonely = sink("lonely", NULL, 0);
    weir_feedback(graph, lonely, lonely, WEIR_SPREAD);
    refused("node lonely is fed by feedback alone");
}

Test(graph, a_feedback_edge_is_not_broadcast)
{
    weir_node nodes[2];
    line_of(nodes, 2);
    weir_feedback(graph, nodes[1], nodes[0], WEIR_BROADCAST);
    refused("the feedback edge from c1 to c0 is BROADCAST: what travels on such an edge can't be "
            "recorded; route it by SPREAD or BY_KEY");
    line_of(nodes, 2);
    struct weir_edge_options edge = {WEIR_SIZED(struct weir_edge_options), .from = nodes[1],
                                     .to = nodes[0], .routing = WEIR_BROADCAST, .feedback = true};
    weir_graph_connect(graph, &edge);
    refused("BROADCAST");
}

Test(graph, keyed_state_needs_by_key_on_feedback_edges_too_and_sources_take_none)
{
    static const struct weir_state state = {WEIR_SIZED(struct weir_state), .name = "s"};
    weir_node a = source("a"), k = sink("k", &state, 1);
    weir_connect(graph, a, k, WEIR_BY_KEY);
    weir_feedback(graph, k, k, WEIR_SPREAD);
    refused("node k has keyed state, so the edge from k must be BY_KEY, not spread");
    a = source("a");
    weir_node b = sink("b", NULL, 0);
    weir_connect(graph, a, b, WEIR_SPREAD);
    weir_feedback(graph, b, a, WEIR_SPREAD);
    refused("node a has input but no process callback");
}

/* A caller of the header before feedback: its struct ends earlier. */
Test(graph, an_edge_of_an_older_struct_leads_forward)
{
    struct weir_edge_options old;
    memset(&old, 0xee, sizeof old);
    old.size = offsetof(struct weir_edge_options, feedback);
    old.from = source("a");
    old.to = sink("b", NULL, 0);
    old.output = old.input = old.key_format = old.value_format = NULL;
    old.routing = WEIR_SPREAD;
    weir_graph_connect(graph, &old);
    cr_expect_not(graph->edges[0].feedback);
    accepted();
}

Test(graph, what_can_be_reached_forward_back_and_by_feedback)
{
    weir_node nodes[4];
    line_of(nodes, 4); /* node 0 is the source */
    weir_feedback(graph, nodes[2], nodes[1], WEIR_SPREAD);
    static const struct {
        uint32_t node;
        bool forward, back;
        const char *reached;
    } reach[] = {
        {0, false, false, ".1234"}, {2, true, false, "...34"}, {2, false, false, "..234"},
        {3, false, true, "0123."},  {4, true, true, "0123."},  {1, false, true, "0...."},
    };
    for (size_t i = 0; i < sizeof reach / sizeof *reach; i++) {
        unsigned char marks[5] = {0};
        char text[6] = ".....";
        graph_reach(graph, reach[i].node, reach[i].forward, reach[i].back, marks);
        for (int n = 0; n < 5; n++)
            if (marks[n])
                text[n] = (char)('0' + n);
        cr_expect_str_eq(text, reach[i].reached);
    }
}
