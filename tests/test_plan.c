/* links: flow */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layout of tasks, instances and channels.
 */
#include <jansson.h>

#include "flow.h"

#include "plan.h"

static struct weir_graph *graph;
static struct plan plan;
static struct weir_error error;

static void begin(void)
{
    graph = weir_graph_new(NULL);
}
static void finish(void)
{
    plan_free(&plan);
    plan_free(&plan);
    weir_graph_free(&graph);
}
TestSuite(plan, .init = begin, .fini = finish);

static weir_node node(const char *name, uint32_t parallelism)
{
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options), .name = name,
                                        .function = flow_pass, .parallelism = parallelism};
    return weir_graph_add(graph, &options);
}
static weir_node numbers(const char *name, uint32_t parallelism)
{
    struct weir_sequence_source_options options = {WEIR_SIZED(struct weir_sequence_source_options),
                                                   .count = 1, .parallelism = parallelism};
    return weir_sequence_source(graph, name, &options);
}
static void make(uint32_t parallelism)
{
    cr_assert_eq(plan_make(graph, parallelism, &plan, &error), WEIR_OK, "%s", error.text);
}

Test(plan, forward_edges_alone_make_a_chain)
{
    weir_node a = numbers("a", 2), b = node("b", 2), c = node("c", 2), d = node("d", 2);
    weir_connect(graph, a, b, WEIR_FORWARD);
    weir_connect(graph, b, c, WEIR_FORWARD);
    weir_connect(graph, b, d, WEIR_FORWARD); /* fan-out stays in the chain */
    make(1);
    cr_expect_eq(plan.chain_count, 1);
    cr_expect_eq(plan.task_count, 2);
    cr_expect_eq(plan.channel_count, 0);
    cr_expect_eq(plan.instance_count, 8);
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t member = plan_member(&plan, 0, i);
        cr_expect_eq(plan.nodes[member].place, i);
        cr_expect_eq(plan.nodes[member].chained, i > 0);
    }
    cr_expect(plan_direct(&plan, 0) && plan_direct(&plan, 1) && plan_direct(&plan, 2));
}

Test(plan, two_edges_into_a_node_or_another_routing_end_a_chain)
{
    weir_node a = numbers("a", 2), b = node("b", 2), c = node("c", 2), d = node("d", 2);
    weir_connect(graph, a, b, WEIR_FORWARD);
    weir_connect(graph, a, c, WEIR_FORWARD);
    weir_connect(graph, b, c, WEIR_FORWARD);
    weir_connect(graph, c, d, WEIR_SPREAD);
    make(1);
    cr_expect_eq(plan.chain_count, 3);
    cr_expect_eq(plan.task_count, 6);
    cr_expect_eq(plan.channel_count, 2 + 2 + 4);
    cr_expect(plan_direct(&plan, 0));
    cr_expect_not(plan_direct(&plan, 1));
    cr_expect_eq(plan.edge_first[1], 0);
    cr_expect_eq(plan.edge_first[2], 2);
    cr_expect_eq(plan.edge_first[3], 4);
    cr_expect_eq(plan.edge_first[4], 8);
}

/* The same nodes, chained or not: a checkpoint's parts keep their numbers. */
static enum weir_result awake(void *self, struct weir_context *context)
{
    (void)self;
    (void)context;
    return WEIR_OK;
}
static enum weir_result nothing(void *self, struct weir_context *context, unsigned input,
                                const struct weir_record *record)
{
    (void)input;
    (void)record;
    return awake(self, context);
}

Test(plan, a_node_that_can_be_woken_begins_a_chain_and_may_be_followed)
{
    const struct weir_operator table = {WEIR_SIZED(struct weir_operator), .process = nothing,
                                        .wake = awake};
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options), .name = "b",
                                        .table = &table, .parallelism = 2};
    weir_node a = numbers("a", 2), b = weir_graph_add(graph, &options), c = node("c", 2);
    weir_connect(graph, a, b, WEIR_FORWARD);
    weir_connect(graph, b, c, WEIR_FORWARD);
    make(1);
    cr_expect_eq(plan.chain_count, 2);
    cr_expect_not(plan_direct(&plan, 0));
    cr_expect(plan_direct(&plan, 1));
    cr_expect_eq(plan.channel_count, 2, "subtask i to subtask i");
}

Test(plan, instances_are_numbered_without_regard_to_chains)
{
    for (int routing = WEIR_FORWARD; routing <= WEIR_SPREAD; routing++) {
        plan_free(&plan);
        weir_graph_free(&graph);
        begin();
        weir_node b = node("b", 3), a = numbers("a", 3), c = node("c", 2);
        weir_connect(graph, a, b, (enum weir_routing)routing);
        weir_connect(graph, b, c, WEIR_BY_KEY);
        make(7);
        cr_expect_eq(plan.nodes[b.index].first_instance, 0);
        cr_expect_eq(plan.nodes[a.index].first_instance, 3);
        cr_expect_eq(plan.nodes[c.index].first_instance, 6);
        cr_expect_eq(plan.order[0], a.index, "writers first");
    }
}

Test(plan, channels_are_ordered_by_edge_writer_reader_and_join_the_right_tasks)
{
    weir_node a = numbers("a", 3), b = node("b", 2), c = node("c", 3);
    weir_connect(graph, a, b, WEIR_BROADCAST);
    weir_connect(graph, a, c, WEIR_FORWARD);
    weir_connect(graph, b, c, WEIR_BY_KEY);
    make(1);
    uint32_t at = 0;
    for (uint32_t e = 0; e < 3; e++) {
        cr_expect_eq(plan.edge_first[e], at);
        const struct plan_node *from = &plan.nodes[graph->edges[e].from];
        const struct plan_node *to = &plan.nodes[graph->edges[e].to];
        bool forward = graph->edges[e].routing == WEIR_FORWARD;
        for (uint32_t w = 0; w < from->parallelism; w++)
            for (uint32_t r = 0; r < to->parallelism; r++) {
                if (forward && r != w)
                    continue;
                const struct plan_channel *channel = &plan.channels[at++];
                cr_expect(channel->edge == e && channel->from_subtask == w &&
                          channel->to_subtask == r);
                cr_expect_eq(channel->from_task, plan.chains[from->chain].first_task + w);
                cr_expect_eq(channel->to_task, plan.chains[to->chain].first_task + r);
            }
    }
    cr_expect_eq(plan.channel_count, at);
}

Test(plan, forward_needs_equal_parallelism_also_after_the_default)
{
    weir_node a = numbers("a", 0), b = node("b", 3);
    weir_connect(graph, a, b, WEIR_FORWARD);
    cr_expect_eq(plan_make(graph, 2, &plan, &error), WEIR_INVALID);
    cr_expect(strstr(error.text, "from a to b") && strstr(error.text, "2 and 3"), "%s", error.text);
    make(3);
}

Test(plan, too_many_tasks_or_channels_are_refused_before_they_are_made)
{
    weir_node a = numbers("a", 1024), last = a;
    for (int i = 0; i < 4; i++) {
        char name[] = {'b', (char)('0' + i), 0};
        weir_node next = node(name, 1024);
        weir_connect(graph, last, next, WEIR_SPREAD);
        last = next;
    }
    cr_expect_eq(plan_make(graph, 1, &plan, &error), WEIR_INVALID);
    cr_expect(strstr(error.text, "5120 tasks"), "%s", error.text);
    cr_expect_eq(plan_make(graph, 0, &plan, &error), WEIR_INVALID);
    cr_expect_eq(plan_make(graph, 1025, &plan, &error), WEIR_INVALID);
}

/* n * n channels, each with a socket at both ends, and 8 n + 8 more. */
Test(plan, more_sockets_than_zeromq_has_are_refused_with_what_to_do)
{
    weir_node a = numbers("a", 0), b = node("b", 0);
    weir_connect(graph, a, b, WEIR_SPREAD);
    make(177);
    cr_expect_eq(plan.socket_count, 2 * 177 * 177 + 8 * 177 + 8);
    plan_free(&plan);
    make(179);
    cr_expect_leq(plan.socket_count, PLAN_SOCKET_LIMIT);
    plan_free(&plan);
    cr_expect_eq(plan_make(graph, 180, &plan, &error), WEIR_INVALID);
    cr_expect(strstr(error.text, "360 tasks") && strstr(error.text, "lower the parallelism"), "%s",
              error.text);
}

static char text[8000];
static void add_line(void *context, const char *line)
{
    (void)context;
    cr_expect_null(strchr(line, '\n'));
    snprintf(text + strlen(text), sizeof text - strlen(text), "%s\n", line);
}

static enum weir_result ignore(void *self, struct weir_context *context, unsigned input,
                               const struct weir_record *record)
{
    (void)self, (void)context, (void)input, (void)record;
    return WEIR_OK;
}

static void take_nothing(void *context, uint32_t subtask, const struct weir_record *record)
{
    (void)context;
    (void)subtask;
    (void)record;
}

Test(plan, the_text_says_who_does_what_and_what_is_promised)
{
    static const struct weir_state states[] = {{WEIR_SIZED(struct weir_state), .name = "seen",
                                                .value_size = 8, .version = 3, .format = "u64"},
                                               {WEIR_SIZED(struct weir_state), .name = "names"}};
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options), .name = "count",
                                        .function = flow_pass, .states = states, .state_count = 2};
    struct weir_collect_sink_options collect = {WEIR_SIZED(struct weir_collect_sink_options),
                                                .take = take_nothing};
    weir_node a = numbers("numbers", 1), count = weir_graph_add(graph, &options);
    weir_node sink = weir_collect_sink(graph, "show", &collect);
    weir_connect(graph, a, count, WEIR_BY_KEY);
    weir_connect(graph, count, sink, WEIR_FORWARD);
    cr_assert_eq(weir_graph_plan(graph, 2, WEIR_PLAN_TEXT, add_line, NULL, &error), WEIR_OK, "%s",
                 error.text);
    static const char *const says[] = {
        "node numbers: sequence_source, parallelism 1, source, exactly-once",
        "state seen: 8 bytes a key, version 3, format u64",
        "state names: values of any size, version 0\n",
        "node show: collect_sink, parallelism 2, publishes in two phases, AT-LEAST-ONCE",
        "edge numbers.out -> count.in: by_key, 2 channels",
        "edge count.out -> show.in: forward, a direct call in one task",
        "task 0: numbers\n",
        "tasks 1..2: count + show\n",
        "tasks: 3, channels: 2"};
    for (size_t i = 0; i < sizeof says / sizeof *says; i++)
        cr_expect(strstr(text, says[i]) != NULL, "\"%s\" is not in\n%s", says[i], text);
    text[0] = 0;
    cr_expect_eq(weir_graph_plan(graph, 2, (enum weir_plan_format)3, add_line, NULL, &error),
                 WEIR_INVALID);
    weir_connect(graph, sink, a, WEIR_SPREAD);
    cr_expect_eq(weir_graph_plan(graph, 0, WEIR_PLAN_TEXT, add_line, NULL, &error), WEIR_INVALID);
    cr_expect_str_eq(text, "");
}

/* numbers -> pass -> show, with a kind and formats that every language of quotes has to mind. */
static void awkward_graph(void)
{
    static struct weir_operator table;
    static char kind[500];
    memset(kind, '"', sizeof kind - 1); /* longer than what is shown of it */
    memcpy(kind, "a\"b\\c\n\xff", 8);
    table =
        (struct weir_operator){WEIR_SIZED(struct weir_operator), .kind = kind, .process = ignore};
    static const struct weir_state states[] = {
        {WEIR_SIZED(struct weir_state), .name = "seen", .format = "{\"u64\" \\}"},
        {WEIR_SIZED(struct weir_state), .name = "other", .value_size = 4}};
    struct weir_collect_sink_options collect = {WEIR_SIZED(struct weir_collect_sink_options),
                                                .take = take_nothing};
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options), .name = "pass",
                                        .table = &table, .states = states, .state_count = 2};
    weir_node a = numbers("numbers", 1), pass = weir_graph_add(graph, &options);
    struct weir_edge_options edge = {WEIR_SIZED(struct weir_edge_options),
                                     .from = a,
                                     .to = pass,
                                     .routing = WEIR_BY_KEY,
                                     .key_format = "u64",
                                     .value_format = "\"\\\t"};
    weir_graph_connect(graph, &edge);
    weir_connect(graph, pass, weir_collect_sink(graph, "show", &collect), WEIR_FORWARD);
}

static int64_t number_in(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    cr_assert(json_is_integer(value), "%s is no number", name);
    return json_integer_value(value);
}
static const char *text_in(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    cr_assert(json_is_string(value), "%s is no text", name);
    return json_string_value(value);
}

Test(plan, as_json_it_says_the_same_to_programs)
{
    awkward_graph();
    cr_assert_eq(weir_graph_plan(graph, 2, WEIR_PLAN_JSON, add_line, NULL, &error), WEIR_OK, "%s",
                 error.text);
    json_error_t wrong;
    json_t *said = json_loads(text, JSON_REJECT_DUPLICATES, &wrong);
    cr_assert_not_null(said, "%s in line %d of\n%s", wrong.text, wrong.line, text);
    cr_expect_eq(number_in(said, "tasks"), 3);
    cr_expect_eq(number_in(said, "channels"), 2);
    const json_t *nodes = json_object_get(said, "nodes"), *edges = json_object_get(said, "edges");
    cr_assert_eq(json_array_size(nodes), 3);
    cr_assert_eq(json_array_size(edges), 2);
    cr_expect_eq(json_array_size(json_object_get(said, "chains")), 2);

    const json_t *source = json_array_get(nodes, 0), *pass = json_array_get(nodes, 1);
    cr_expect_str_eq(text_in(source, "guarantee"), "exactly-once");
    cr_expect(json_is_true(json_object_get(source, "source")));
    cr_expect_eq(json_array_size(json_object_get(source, "inputs")), 0);
    cr_expect_eq(strncmp(text_in(pass, "kind"), "a\"b\\c??", 7), 0, "%s", text_in(pass, "kind"));
    cr_expect_null(json_object_get(pass, "guarantee"));
    const json_t *states = json_object_get(pass, "states");
    cr_expect_str_eq(text_in(json_array_get(states, 0), "format"), "{\"u64\" \\}");
    cr_expect_eq(number_in(json_array_get(states, 1), "value_size"), 4);
    cr_expect_str_eq(text_in(json_array_get(nodes, 2), "guarantee"), "at-least-once");

    const json_t *edge = json_array_get(edges, 0);
    cr_expect_str_eq(text_in(edge, "routing"), "by_key");
    cr_expect_str_eq(text_in(edge, "value_format"), "\"\\?");
    cr_expect_eq(number_in(edge, "channels"), 2);
    cr_expect(json_is_true(json_object_get(json_array_get(edges, 1), "direct")));
    json_decref(said);
}

/* Past one token of Graphviz's language; quoted ones without their quotes in `word`. */
static const char *token(const char *at, char *word, size_t room)
{
    size_t size = 0;
    at += strspn(at, " \n");
    if (*at == '"') {
        for (at++; *at != '"'; at++) {
            cr_assert_neq(*at, '\0', "a quote is open");
            cr_assert_neq(*at, '\n');
            word[size++] = *at;
            at += *at == '\\';
        }
        at++;
    } else if (strchr("{}[];,=", *at)) {
        word[size++] = *at ? *at++ : ' ';
    } else {
        while (*at && !strchr(" \n{}[];,=\"", *at))
            word[size++] = *at++;
    }
    cr_assert_lt(size, room);
    word[size] = '\0';
    return at;
}

Test(plan, as_a_drawing_it_has_every_node_in_one_box_and_every_edge)
{
    awkward_graph();
    cr_assert_eq(weir_graph_plan(graph, 2, WEIR_PLAN_DOT, add_line, NULL, &error), WEIR_OK, "%s",
                 error.text);
    char word[600], before[600] = "";
    int depth = 0, arrows = 0, boxes = 0, declared[3] = {0};
    static const char *const names[] = {"numbers", "pass", "show"};
    for (const char *at = text; at[strspn(at, " \n")];) {
        at = token(at, word, sizeof word);
        depth += strcmp(word, "{") == 0 ? 1 : strcmp(word, "}") == 0 ? -1 : 0;
        cr_assert_geq(depth, 0);
        arrows += strcmp(word, "->") == 0;
        boxes += strcmp(word, "subgraph") == 0;
        for (int i = 0; i < 3 && strcmp(word, "[") == 0 && depth == 2; i++)
            declared[i] += strcmp(before, names[i]) == 0;
        strcpy(before, word);
    }
    cr_expect_eq(depth, 0);
    cr_expect_eq(arrows, 2);
    cr_expect_eq(boxes, 2);
    for (int i = 0; i < 3; i++)
        cr_expect_eq(declared[i], 1, "%s\n%s", names[i], text);
    cr_expect(strstr(text, "\"pass\" -> \"show\" [label=\"forward\", style=dashed]") != NULL, "%s",
              text);
}

/* ------------------------------------------------------------------------------------ loops -- */

static uint32_t loop_of(weir_node handle)
{
    return plan.nodes[handle.index].loop;
}

static const struct plan_channel *channel_of(uint32_t edge)
{
    return &plan.channels[plan.edge_first[edge]];
}

Test(plan, nodes_that_reach_each_other_are_a_loop_and_no_others)
{
    weir_node a = numbers("a", 1), b = node("b", 1), c = node("c", 1), d = node("d", 1),
              e = node("e", 1);
    weir_connect(graph, a, b, WEIR_SPREAD);
    weir_connect(graph, b, c, WEIR_SPREAD);
    weir_connect(graph, c, d, WEIR_SPREAD);
    weir_connect(graph, d, e, WEIR_SPREAD);
    weir_feedback(graph, d, b, WEIR_SPREAD);
    make(2);
    cr_expect_eq(plan.loop_count, 1);
    cr_expect(loop_of(a) == 0 && loop_of(e) == 0);
    cr_expect(loop_of(b) == 1 && loop_of(c) == 1 && loop_of(d) == 1);
    static const uint32_t loops[] = {0, 1, 1, 0, 1};
    for (uint32_t i = 0; i < 5; i++) {
        cr_expect_eq(channel_of(i)->loop, loops[i], "edge %u", i);
        cr_expect_eq(channel_of(i)->feedback, i == 4);
        cr_expect_not(channel_of(i)->aligned_only);
    }
    cr_expect_eq(plan.chain_count, 5);
    cr_expect_eq(plan.chains[plan.nodes[c.index].chain].loop, 1);
    cr_expect_eq(plan.chains[plan.nodes[e.index].chain].loop, 0);
    cr_expect_eq(plan.order[0], a.index);
    cr_expect_eq(plan.order[4], e.index);
}

Test(plan, a_node_that_feeds_itself_is_a_loop_with_a_channel_to_its_own_task)
{
    weir_node a = numbers("a", 3), b = node("b", 3);
    weir_connect(graph, a, b, WEIR_FORWARD);
    weir_feedback(graph, b, b, WEIR_FORWARD);
    make(1);
    cr_expect_eq(plan.loop_count, 1);
    cr_expect_not(plan_direct(&plan, 0), "it is fed by two edges");
    cr_expect_not(plan_direct(&plan, 1));
    cr_expect_eq(plan.channel_count, 6);
    for (uint32_t i = 0; i < 3; i++) {
        const struct plan_channel *own = channel_of(1) + i;
        cr_expect_eq(own->from_task, own->to_task);
        cr_expect(own->feedback && own->loop == 1);
    }
}

Test(plan, nested_cycles_and_those_that_share_a_node_are_one_loop)
{
    weir_node a = numbers("a", 1), b = node("b", 1), c = node("c", 1), d = node("d", 1);
    weir_connect(graph, a, b, WEIR_SPREAD);
    weir_connect(graph, b, c, WEIR_SPREAD);
    weir_connect(graph, c, d, WEIR_SPREAD);
    weir_feedback(graph, c, c, WEIR_SPREAD); /* inside */
    weir_feedback(graph, d, b, WEIR_SPREAD);
    make(1);
    cr_expect_eq(plan.loop_count, 1);
    cr_expect(loop_of(b) == 1 && loop_of(c) == 1 && loop_of(d) == 1);
    cr_expect_eq(channel_of(3)->loop, 1);

    plan_free(&plan);
    weir_graph_free(&graph);
    begin();
    a = numbers("a", 1), b = node("b", 1), c = node("c", 1), d = node("d", 1);
    weir_connect(graph, a, b, WEIR_SPREAD); /* two cycles that meet in b */
    weir_connect(graph, b, c, WEIR_SPREAD);
    weir_connect(graph, b, d, WEIR_SPREAD);
    weir_feedback(graph, c, b, WEIR_SPREAD);
    weir_feedback(graph, d, b, WEIR_SPREAD);
    make(1);
    cr_expect_eq(plan.loop_count, 1);
    cr_expect(loop_of(b) == 1 && loop_of(c) == 1 && loop_of(d) == 1);
}

Test(plan, cycles_one_behind_the_other_are_two_loops)
{
    weir_node a = numbers("a", 1), b = node("b", 1), c = node("c", 1), d = node("d", 1);
    weir_connect(graph, a, b, WEIR_SPREAD);
    weir_connect(graph, b, c, WEIR_SPREAD);
    weir_connect(graph, c, d, WEIR_SPREAD);
    weir_feedback(graph, d, c, WEIR_SPREAD);
    weir_feedback(graph, b, b, WEIR_SPREAD);
    make(1);
    cr_expect_eq(plan.loop_count, 2);
    cr_expect(loop_of(c) == 1 && loop_of(d) == 1 && loop_of(b) == 2);
    cr_expect_eq(channel_of(1)->loop, 0, "from one to the other");
    cr_expect_eq(channel_of(2)->loop, 1);
    cr_expect_eq(channel_of(4)->loop, 2);
}

/* Inside a loop nodes are chained as elsewhere; what it is entered by has a second edge into it. */
Test(plan, a_chain_may_lie_in_a_loop_and_lead_out_of_it)
{
    weir_node a = numbers("a", 2), b = node("b", 2), c = node("c", 2), d = node("d", 2);
    weir_connect(graph, a, b, WEIR_FORWARD);
    weir_connect(graph, b, c, WEIR_FORWARD);
    weir_connect(graph, c, d, WEIR_FORWARD);
    weir_feedback(graph, c, b, WEIR_FORWARD);
    make(1);
    cr_expect_eq(plan.chain_count, 2);
    cr_expect_not(plan_direct(&plan, 0));
    cr_expect(plan_direct(&plan, 1) && plan_direct(&plan, 2));
    const struct plan_chain *chain = &plan.chains[plan.nodes[b.index].chain];
    cr_expect_eq(chain->length, 3);
    cr_expect_eq(chain->loop, 1, "one that leads out is in the loop of its chain");
    cr_expect_eq(loop_of(d), 0);
    cr_expect_eq(channel_of(3)->from_task, channel_of(3)->to_task);
    cr_expect_eq(channel_of(0)->loop, 0);
}

Test(plan, broadcast_channels_alone_are_aligned_only_in_a_loop_too)
{
    weir_node a = numbers("a", 2), b = node("b", 2);
    weir_connect(graph, a, b, WEIR_SPREAD);
    weir_feedback(graph, b, b, WEIR_SPREAD);
    make(1);
    cr_expect_not(plan.aligned_only);
    plan_free(&plan);
    weir_node c = node("c", 2);
    weir_connect(graph, b, c, WEIR_BROADCAST);
    weir_feedback(graph, c, b, WEIR_BY_KEY);
    make(1);
    cr_expect(plan.aligned_only);
    for (uint32_t i = 0; i < plan.channel_count; i++) {
        const struct plan_channel *channel = &plan.channels[i];
        cr_expect_eq(channel->aligned_only, graph->edges[channel->edge].routing == WEIR_BROADCAST);
        cr_expect_eq(channel->feedback, graph->edges[channel->edge].feedback);
    }
    cr_expect_eq(channel_of(2)->loop, 1);
}

/* Each of these is fed as the name says. What comes along a forward edge was dealt before it. */
Test(plan, dealt_by_key_is_what_every_edge_deals_by_key_or_brings_along)
{
    weir_node a = numbers("a", 2), spread = node("spread", 2), key = node("key", 2),
              along = node("along", 2), both = node("both", 2), mixed = node("mixed", 2),
              bare = node("bare", 2), loop = node("loop", 2), round = node("round", 2);
    weir_connect(graph, a, spread, WEIR_SPREAD);
    weir_connect(graph, a, key, WEIR_BY_KEY);
    weir_connect(graph, key, along, WEIR_FORWARD);
    weir_connect(graph, along, both, WEIR_FORWARD);
    weir_connect(graph, a, both, WEIR_BY_KEY);
    weir_connect(graph, a, mixed, WEIR_BY_KEY);
    weir_connect(graph, key, mixed, WEIR_BROADCAST);
    weir_connect(graph, spread, bare, WEIR_FORWARD);
    weir_connect(graph, key, loop, WEIR_FORWARD);
    weir_connect(graph, loop, round, WEIR_FORWARD);
    weir_feedback(graph, round, loop, WEIR_FORWARD);
    make(1);
    const weir_node yes[] = {key, along, both}, no[] = {a, spread, mixed, bare};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        cr_expect(plan_dealt_by_key(graph, yes[i].index), "node %u", yes[i].index);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        cr_expect_not(plan_dealt_by_key(graph, no[i].index), "node %u", no[i].index);
    /* A cycle of forward edges alone comes to an end, and is on the safe side. */
    cr_expect_not(plan_dealt_by_key(graph, loop.index));
    cr_expect_not(plan_dealt_by_key(graph, round.index));
}

Test(plan, a_forward_edge_that_leads_back_needs_equal_parallelism)
{
    weir_node a = numbers("a", 1), b = node("b", 2), c = node("c", 3);
    weir_connect(graph, a, b, WEIR_SPREAD);
    weir_connect(graph, b, c, WEIR_SPREAD);
    weir_feedback(graph, c, b, WEIR_FORWARD);
    cr_expect_eq(plan_make(graph, 1, &plan, &error), WEIR_INVALID);
    cr_expect(strstr(error.text, "from c to b is FORWARD") && strstr(error.text, "3 and 2"), "%s",
              error.text);
}

Test(plan, an_edge_that_leads_back_is_told_in_every_form)
{
    static const struct {
        enum weir_plan_format format;
        const char *says, *not_of_others;
    } forms[] = {
        {WEIR_PLAN_TEXT, "edge c.out -> b.in: by_key, feedback, 4 channels",
         ": spread, 4 channels"},
        {WEIR_PLAN_DOT,
         "\"c\" -> \"b\" [label=\"by_key\\n4 channels\", style=bold, constraint=false];",
         "\"b\" -> \"c\" [label=\"spread\\n4 channels\"];"},
        {WEIR_PLAN_JSON, "\"routing\": \"by_key\", \"direct\": false, \"feedback\": true,",
         "\"routing\": \"spread\", \"direct\": false, \"feedback\": false,"},
    };
    weir_node a = numbers("a", 2), b = node("b", 2), c = node("c", 2);
    weir_connect(graph, a, b, WEIR_SPREAD);
    weir_connect(graph, b, c, WEIR_SPREAD);
    weir_feedback(graph, c, b, WEIR_BY_KEY);
    for (size_t i = 0; i < 3; i++) {
        text[0] = 0;
        cr_assert_eq(weir_graph_plan(graph, 1, forms[i].format, add_line, NULL, &error), WEIR_OK);
        cr_expect(strstr(text, forms[i].says) != NULL, "%s", text);
        cr_expect(strstr(text, forms[i].not_of_others) != NULL, "%s", text);
    }
}

static void close_over(bool reach[9][9])
{
    for (uint32_t k = 0; k < 9; k++)
        for (uint32_t i = 0; i < 9; i++)
            for (uint32_t j = 0; j < 9; j++)
                reach[i][j] |= reach[i][k] && reach[k][j];
}

/* Any graph of forward edges, and back edges along them: the loops are what reaches each other, by
 * the plainest way to find out. */
Test(plan, loops_of_random_graphs_are_what_reaches_each_other)
{
    uint64_t seed = flow_seed();
    for (int round = 0; round < 200; round++) {
        weir_node nodes[9];
        bool reach[9][9] = {{false}};
        uint32_t count = 3 + (uint32_t)(flow_draw(&seed) % 7);
        plan_free(&plan);
        weir_graph_free(&graph);
        begin();
        nodes[0] = numbers("n0", 1);
        for (uint32_t n = 1; n < count; n++) {
            char name[] = {'n', (char)('0' + n), 0};
            uint32_t from = (uint32_t)(flow_draw(&seed) % n);
            nodes[n] = node(name, 1);
            weir_connect(graph, nodes[from], nodes[n], WEIR_FORWARD);
            reach[from][n] = true;
        }
        close_over(reach); /* forward alone */
        for (uint32_t i = 1; i < count; i++)
            for (uint32_t j = 1; j < count; j++)
                if ((i == j || reach[j][i]) && flow_draw(&seed) % 5 == 0) {
                    weir_feedback(graph, nodes[i], nodes[j], WEIR_SPREAD);
                    reach[i][j] = true;
                }
        close_over(reach);
        make(1);
        for (uint32_t i = 0; i < count; i++)
            for (uint32_t j = 0; j < count; j++) {
                bool together = reach[i][j] && reach[j][i];
                cr_assert_eq(together,
                             plan.nodes[i].loop && plan.nodes[i].loop == plan.nodes[j].loop,
                             "nodes %u and %u", i, j);
            }
        for (uint32_t c = 0; c < plan.channel_count; c++) {
            const struct graph_edge *edge = &graph->edges[plan.channels[c].edge];
            bool inside = reach[edge->from][edge->to] && reach[edge->to][edge->from];
            cr_assert_eq(plan.channels[c].loop, inside ? plan.nodes[edge->to].loop : 0);
        }
    }
}
