/* SPDX-License-Identifier: Apache-2.0 */
#include "graph.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "memory.h"

struct graph_block {
    struct graph_block *next;
    unsigned char data[] __attribute__((aligned(16)));
};

static enum weir_result run_function(void *self, struct weir_context *context, unsigned input,
                                     const struct weir_record *record);

/* What a node with a plain callback runs: the callback and its config are the private struct. */
struct plain {
    weir_function function;
    const void *config;
};

static enum weir_result open_function(void *self, struct weir_context *context, const void *config)
{
    (void)context;
    *(struct plain *)self = *(const struct plain *)config;
    return WEIR_OK;
}

static enum weir_result run_function(void *self, struct weir_context *context, unsigned input,
                                     const struct weir_record *record)
{
    const struct plain *plain = self;
    return plain->function(context, input, record, plain->config);
}

static const struct weir_operator function_operator = {
    WEIR_SIZED(struct weir_operator),  .kind = "function",
    .self_size = sizeof(struct plain), .open = open_function,
    .process = run_function,
};

/* ------------------------------------------------------------------------- the builder -- */

struct weir_graph *weir_graph_new(const struct weir_allocator *allocator)
{
    struct weir_graph *graph = memory_zeroed(allocator, 1, sizeof *graph);
    if (graph)
        graph->allocator = allocator;
    return graph;
}

void weir_graph_free(struct weir_graph **graph)
{
    if (!graph || !*graph)
        return;
    const struct weir_allocator *allocator = (*graph)->allocator;
    struct graph_block *block = (*graph)->blocks;
    while (block) {
        struct graph_block *next = block->next;
        memory_release(allocator, block);
        block = next;
    }
    memory_release(allocator, (*graph)->nodes);
    memory_release(allocator, (*graph)->edges);
    memory_release(allocator, *graph);
    *graph = NULL;
}

static bool sound(const struct weir_graph *graph)
{
    return graph->error.code == WEIR_OK;
}

void weir_graph_fail(struct weir_graph *graph, const char *format, ...)
{
    if (!sound(graph))
        return;
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    error_set(&graph->error, WEIR_INVALID, 0, "%s", text);
}

void *weir_graph_keep(struct weir_graph *graph, const void *data, size_t size)
{
    struct graph_block *block =
        size < SIZE_MAX / 2 ? memory_take(graph->allocator, sizeof *block + size + 1) : NULL;
    if (!block) {
        if (sound(graph))
            error_memory(&graph->error, "the graph", size);
        return NULL;
    }
    if (data)
        memcpy(block->data, data, size);
    else
        memset(block->data, 0, size);
    block->data[size] = 0;
    block->next = graph->blocks;
    graph->blocks = block;
    return block->data;
}

const char *weir_graph_keep_text(struct weir_graph *graph, const char *text)
{
    return weir_graph_keep(graph, text ? text : "", text ? strlen(text) : 0);
}

static const char *keep_name(struct weir_graph *graph, const char *what, const char *name)
{
    if (!name || !manifest_name_ok(name)) {
        weir_graph_fail(graph,
                        "%s \"%.80s\" is not a name: use 1 to 64 of A-Z a-z 0-9 _ -, and do not "
                        "begin with -",
                        what, name ? name : "");
        return "";
    }
    const char *kept = weir_graph_keep_text(graph, name);
    return kept ? kept : "";
}

static const char **keep_names(struct weir_graph *graph, const char *what, const char *const *names,
                               size_t count, const char *standard)
{
    const char *const one[] = {standard};
    const char **kept = weir_graph_keep(graph, NULL, (count ? count : 1) * sizeof *kept);
    if (!kept)
        return NULL;
    for (size_t i = 0; i < (count ? count : 1); i++) {
        kept[i] = keep_name(graph, what, !count ? one[0] : names ? names[i] : NULL);
        for (size_t j = 0; j < i; j++)
            if (strcmp(kept[i], kept[j]) == 0)
                weir_graph_fail(graph, "%s \"%s\" is there twice", what, kept[i]);
    }
    return kept;
}

/* Option structs of an older or newer caller: what it lacks reads as zero. */
static bool take_sized(struct weir_graph *graph, void *mine, size_t size, const void *theirs,
                       const char *type)
{
    size_t their_size;
    if (!theirs || (memcpy(&their_size, theirs, sizeof their_size), their_size < sizeof(size_t))) {
        weir_graph_fail(graph, "struct %s: .size is not set, write {WEIR_SIZED(struct %s), ...}",
                        type, type);
        return false;
    }
    memset(mine, 0, size);
    memcpy(mine, theirs, their_size < size ? their_size : size);
    return sound(graph);
}

static const struct weir_operator *keep_table(struct weir_graph *graph,
                                              const struct weir_operator *table, const char *name)
{
    struct weir_operator copy;
    if (!take_sized(graph, &copy, sizeof copy, table, "weir_operator"))
        return NULL;
    if (!copy.process && !copy.process_many && !copy.poll)
        weir_graph_fail(graph, "node %s: its operator has neither process, process_many nor poll",
                        name);
    if (!copy.prepare != !copy.commit)
        weir_graph_fail(graph, "node %s: prepare and commit come together or not at all", name);
    if (copy.save && !copy.load)
        weir_graph_fail(graph, "node %s: it can save itself but not load: restarts would fail",
                        name);
    if (!copy.kind)
        copy.kind = "operator";
    return weir_graph_keep(graph, &copy, sizeof copy);
}

static void check_kind(struct weir_graph *graph, const struct graph_node *node,
                       const struct weir_state *state)
{
    if ((unsigned)state->kind > WEIR_STATE_MAP || (unsigned)state->ttl_clock > WEIR_TIMER_CLOCK)
        weir_graph_fail(graph, "node %s: state %s is of no kind, or its clock is none", node->name,
                        state->name);
    if (state->ttl_ns > INT64_MAX)
        weir_graph_fail(graph, "node %s: state %s has a time to live over 292 years", node->name,
                        state->name);
    if (state->name && strcmp(state->name, GRAPH_TIMERS) == 0)
        weir_graph_fail(graph,
                        "node %s: a state can't be called " GRAPH_TIMERS
                        ": that is where timers of keys are kept",
                        node->name);
}

static void keep_states(struct weir_graph *graph, struct graph_node *node,
                        const struct weir_node_options *options)
{
    if (!options->state_count && !(node->table && node->table->key_timer))
        return;
    node->states = weir_graph_keep(graph, NULL, (options->state_count + 1) * sizeof *node->states);
    /* Elements are as large as the caller's struct says. */
    const char *from = (const char *)options->states;
    for (size_t i = 0; node->states && i < options->state_count; i++) {
        struct weir_state *state = &node->states[i];
        if (!take_sized(graph, state, sizeof *state, from, "weir_state"))
            return;
        size_t step;
        memcpy(&step, from, sizeof step);
        from += step;
        state->name = keep_name(graph, "state", state->name);
        state->format = weir_graph_keep_text(graph, state->format);
        if (state->value_size > WEIR_VALUE_LIMIT)
            weir_graph_fail(graph, "node %s: state %s has values over 16 MiB", node->name,
                            state->name);
        check_kind(graph, node, state);
        for (size_t j = 0; j < i; j++)
            if (strcmp(state->name, node->states[j].name) == 0)
                weir_graph_fail(graph, "node %s: state %s is there twice", node->name, state->name);
        node->state_count++;
    }
    node->declared_count = node->state_count;
    if (node->states && node->table && node->table->key_timer)
        node->states[node->state_count++] =
            (struct weir_state){.size = sizeof *node->states, .name = GRAPH_TIMERS, .format = ""};
}

/* Doubles an array of the graph; false (and a sticky error) without memory. */
static bool more_room(struct weir_graph *graph, void **array, uint32_t *room, size_t element)
{
    uint32_t wanted = *room ? *room * 2 : 8;
    void *larger =
        memory_resize(graph->allocator, *array, *room * element, (size_t)wanted * element);
    if (!larger) {
        error_memory(&graph->error, "the graph", wanted * element);
        return false;
    }
    *array = larger;
    *room = wanted;
    return true;
}

static void fill_node(struct weir_graph *graph, struct graph_node *node,
                      const struct weir_node_options *options)
{
    node->name = keep_name(graph, "node", options->name);
    node->config = options->config;
    node->parallelism = options->parallelism;
    if (!options->table == !options->function)
        weir_graph_fail(graph, "node %s: give it a table or a function, one of them", node->name);
    if (options->function) {
        struct plain plain = {options->function, options->config};
        node->function = options->function;
        node->config = weir_graph_keep(graph, &plain, sizeof plain);
        node->table = &function_operator;
    } else if (options->table) {
        node->table = keep_table(graph, options->table, node->name);
    }
    node->inputs = keep_names(graph, "input", options->inputs, options->input_count, "in");
    node->input_count = options->input_count ? (uint32_t)options->input_count : 1;
    node->outputs = keep_names(graph, "output", options->outputs, options->output_count, "out");
    node->output_count = options->output_count ? (uint32_t)options->output_count : 1;
    keep_states(graph, node, options);
}

weir_node weir_graph_add(struct weir_graph *graph, const struct weir_node_options *options)
{
    weir_node handle = {graph->node_count};
    struct weir_node_options mine;
    if (!sound(graph) || !take_sized(graph, &mine, sizeof mine, options, "weir_node_options"))
        return handle;
    if (graph->node_count >= GRAPH_NODE_LIMIT || mine.input_count > 64 || mine.output_count > 64 ||
        mine.state_count > 64 || mine.parallelism > GRAPH_PARALLELISM_LIMIT) {
        weir_graph_fail(graph,
                        "node %.64s: at most %d nodes, 64 inputs, outputs and states a node, "
                        "parallelism %d",
                        mine.name ? mine.name : "", GRAPH_NODE_LIMIT, GRAPH_PARALLELISM_LIMIT);
        return handle;
    }
    if (graph->node_count == graph->node_room &&
        !more_room(graph, (void **)&graph->nodes, &graph->node_room, sizeof *graph->nodes))
        return handle;
    struct graph_node node = {0};
    fill_node(graph, &node, &mine);
    for (uint32_t i = 0; sound(graph) && i < graph->node_count; i++)
        if (strcmp(graph->nodes[i].name, node.name) == 0)
            weir_graph_fail(graph, "node %s is there twice: names are the identity of state",
                            node.name);
    if (sound(graph))
        graph->nodes[graph->node_count++] = node;
    return handle;
}

static uint32_t find_port(struct weir_graph *graph, const struct graph_node *node, const char *what,
                          const char **names, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (!name || strcmp(names[i], name) == 0)
            return i;
    weir_graph_fail(graph, "node %s has no %s named \"%.64s\"", node->name, what, name);
    return 0;
}

void weir_graph_connect(struct weir_graph *graph, const struct weir_edge_options *options)
{
    struct weir_edge_options mine;
    if (!sound(graph) || !take_sized(graph, &mine, sizeof mine, options, "weir_edge_options"))
        return;
    if (mine.from.index >= graph->node_count || mine.to.index >= graph->node_count ||
        (unsigned)mine.routing > WEIR_BROADCAST) {
        weir_graph_fail(graph, "an edge names a node or a routing that does not exist");
        return;
    }
    if (graph->edge_count == graph->edge_room &&
        !more_room(graph, (void **)&graph->edges, &graph->edge_room, sizeof *graph->edges))
        return;
    const struct graph_node *from = &graph->nodes[mine.from.index];
    const struct graph_node *to = &graph->nodes[mine.to.index];
    struct graph_edge edge = {
        .from = mine.from.index,
        .output = find_port(graph, from, "output", from->outputs, from->output_count, mine.output),
        .to = mine.to.index,
        .input = find_port(graph, to, "input", to->inputs, to->input_count, mine.input),
        .routing = mine.routing,
        .key_format = weir_graph_keep_text(graph, mine.key_format),
        .value_format = weir_graph_keep_text(graph, mine.value_format),
        .feedback = mine.feedback,
    };
    if (mine.feedback && mine.routing == WEIR_BROADCAST)
        weir_graph_fail(
            graph,
            "the feedback edge from %s to %s is BROADCAST: what travels on such an edge "
            "can't be recorded; route it by SPREAD or BY_KEY",
            from->name, to->name);
    if (sound(graph))
        graph->edges[graph->edge_count++] = edge;
}

void weir_connect(struct weir_graph *graph, weir_node from, weir_node to, enum weir_routing routing)
{
    struct weir_edge_options options = {WEIR_SIZED(struct weir_edge_options), .from = from,
                                        .to = to, .routing = routing};
    weir_graph_connect(graph, &options);
}

void weir_feedback(struct weir_graph *graph, weir_node from, weir_node to,
                   enum weir_routing routing)
{
    struct weir_edge_options options = {WEIR_SIZED(struct weir_edge_options), .from = from,
                                        .to = to, .routing = routing, .feedback = true};
    weir_graph_connect(graph, &options);
}

/* ------------------------------------------------------------------------- the check -- */

void graph_reach(const struct weir_graph *graph, uint32_t node, bool forward, bool back,
                 unsigned char *marks)
{
    bool moved = true;
    while (moved) {
        moved = false;
        for (uint32_t e = 0; e < graph->edge_count; e++) {
            const struct graph_edge *edge = &graph->edges[e];
            uint32_t from = back ? edge->to : edge->from, to = back ? edge->from : edge->to;
            if ((forward && edge->feedback) || marks[to] || (from != node && !marks[from]))
                continue;
            marks[to] = 1;
            moved = true;
        }
    }
}

uint32_t graph_edges_into(const struct weir_graph *graph, uint32_t node, uint32_t *last)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < graph->edge_count; i++) {
        if (graph->edges[i].to == node) {
            count++;
            *last = i;
        }
    }
    return count;
}

uint32_t graph_parallelism(const struct weir_graph *graph, uint32_t node, uint32_t standard)
{
    uint32_t own = graph->nodes[node].parallelism;
    return own ? own : standard;
}

static void check_node(struct weir_graph *graph, uint32_t index)
{
    const struct graph_node *node = &graph->nodes[index];
    uint32_t last = 0;
    uint32_t inputs = graph_edges_into(graph, index, &last);
    if (!inputs && !node->table->poll)
        weir_graph_fail(graph, "node %s has no input and can't poll: connect something to it",
                        node->name);
    if (inputs && !node->table->process && !node->table->process_many)
        weir_graph_fail(graph, "node %s has input but no process callback", node->name);
    if (inputs && node->table->poll)
        weir_graph_fail(graph, "node %s is a source (it polls): it can't have input", node->name);
    bool fed = false;
    for (uint32_t i = 0; i < graph->edge_count; i++)
        fed = fed || (graph->edges[i].to == index && !graph->edges[i].feedback);
    if (inputs && !fed)
        weir_graph_fail(graph,
                        "node %s is fed by feedback alone: nothing would ever come; connect it to "
                        "what feeds the cycle",
                        node->name);
    if (node->table->wake && node->table->poll)
        weir_graph_fail(graph, "node %s is a source (it polls): it waits with weir_idle, not wake",
                        node->name);
    if (!inputs && node->state_count)
        weir_graph_fail(graph, "node %s is a source: keyed state needs BY_KEY input", node->name);
    for (uint32_t i = 0; i < graph->edge_count; i++) {
        const struct graph_edge *edge = &graph->edges[i];
        if (edge->to == index && node->state_count && edge->routing != WEIR_BY_KEY)
            weir_graph_fail(
                graph, "node %s has keyed state, so the edge from %s must be BY_KEY, not %s",
                node->name, graph->nodes[edge->from].name, graph_routing_text(edge->routing));
    }
}

/* Nodes whose forward inputs all come from settled nodes are settled; what never settles is a cycle
 * without feedback. */
static void check_cycles(struct weir_graph *graph)
{
    unsigned char *settled = weir_graph_keep(graph, NULL, graph->node_count);
    bool moved = settled != NULL;
    while (moved) {
        moved = false;
        for (uint32_t n = 0; n < graph->node_count; n++) {
            bool ready = !settled[n];
            for (uint32_t e = 0; ready && e < graph->edge_count; e++)
                ready = graph->edges[e].to != n || graph->edges[e].feedback ||
                        settled[graph->edges[e].from];
            if (ready)
                settled[n] = moved = true;
        }
    }
    for (uint32_t n = 0; settled && n < graph->node_count; n++)
        if (!settled[n])
            weir_graph_fail(graph,
                            "node %s is part of a cycle: declare the edge that leads back by "
                            "weir_feedback",
                            graph->nodes[n].name);
}

/* A feedback edge is recorded in every checkpoint and waits for nothing: that is for cycles. */
static void check_feedback(struct weir_graph *graph)
{
    unsigned char *marks = NULL;
    for (uint32_t e = 0; sound(graph) && e < graph->edge_count; e++) {
        const struct graph_edge *edge = &graph->edges[e];
        if (!edge->feedback || edge->from == edge->to)
            continue;
        if (!marks)
            marks = weir_graph_keep(graph, NULL, graph->node_count);
        if (!marks)
            return;
        memset(marks, 0, graph->node_count);
        graph_reach(graph, edge->to, true, false, marks);
        if (!marks[edge->from])
            weir_graph_fail(graph,
                            "the feedback edge from %s to %s closes no cycle: connect them by an "
                            "ordinary edge",
                            graph->nodes[edge->from].name, graph->nodes[edge->to].name);
    }
}

enum weir_result weir_graph_check(struct weir_graph *graph, struct weir_error *error)
{
    if (sound(graph) && graph->node_count == 0)
        weir_graph_fail(graph, "the graph has no nodes");
    for (uint32_t i = 0; sound(graph) && i < graph->node_count; i++)
        check_node(graph, i);
    if (sound(graph))
        check_cycles(graph);
    if (sound(graph))
        check_feedback(graph);
    if (error && !sound(graph))
        *error = graph->error;
    return graph->error.code;
}

/* --------------------------------------------------------------------- descriptions -- */

const char *graph_routing_text(enum weir_routing routing)
{
    switch (routing) {
    case WEIR_FORWARD:
        return "forward";
    case WEIR_SPREAD:
        return "spread";
    case WEIR_BY_KEY:
        return "by_key";
    case WEIR_BROADCAST:
        return "broadcast";
    }
    return "?";
}

/* The manifest's structs hold char * for what they own; here they borrow. */
static char *borrow(const char *text)
{
    union {
        const char *given;
        char *taken;
    } both = {text};
    return both.taken;
}

bool graph_leads_on(const struct weir_graph *graph, uint32_t node)
{
    for (uint32_t e = 0; e < graph->edge_count; e++)
        if (graph->edges[e].from == node)
            return true;
    return false;
}

enum state_kind graph_state_kind(const struct graph_node *node, uint32_t index)
{
    static const enum state_kind kinds[] = {STATE_VALUE, STATE_LIST, STATE_MAP};
    return index < node->declared_count ? kinds[node->states[index].kind] : STATE_TIMERS;
}

static bool describe_node(const struct weir_graph *graph, uint32_t index, uint32_t parallelism,
                          struct manifest_node *out)
{
    const struct graph_node *node = &graph->nodes[index];
    *out = (struct manifest_node){
        .name = borrow(node->name),
        .kind = borrow(node->table->kind),
        .version = node->table->version,
        .parallelism = graph_parallelism(graph, index, parallelism),
        .states = memory_zeroed(graph->allocator, node->state_count + 1, sizeof *out->states),
        .state_count = node->state_count,
    };
    for (uint32_t i = 0; out->states && i < node->state_count; i++)
        out->states[i] = (struct manifest_state){
            .name = borrow(node->states[i].name),
            .format = borrow(node->states[i].format),
            .version = node->states[i].version,
            .value_size = node->states[i].value_size,
            .kind = graph_state_kind(node, i),
            .expires = node->states[i].ttl_ns > 0,
        };
    return out->states;
}

enum weir_result graph_describe(const struct weir_graph *graph, uint32_t parallelism,
                                uint32_t key_groups, struct manifest_graph *out,
                                struct weir_error *error)
{
    *out = (struct manifest_graph){.key_groups = key_groups};
    out->nodes = memory_zeroed(graph->allocator, graph->node_count + 1, sizeof *out->nodes);
    out->edges = memory_zeroed(graph->allocator, graph->edge_count + 1, sizeof *out->edges);
    bool held = out->nodes && out->edges;
    for (uint32_t i = 0; held && i < graph->node_count; i++) {
        held = describe_node(graph, i, parallelism, &out->nodes[i]);
        out->node_count = i + 1;
    }
    if (!held) {
        graph_release(graph, out);
        return error_memory(error, "the graph's description", sizeof *out->nodes);
    }
    for (uint32_t i = 0; i < graph->edge_count; i++) {
        const struct graph_edge *edge = &graph->edges[i];
        out->edges[i] = (struct manifest_edge){
            .from = edge->from,
            .to = edge->to,
            .output = borrow(graph->nodes[edge->from].outputs[edge->output]),
            .input = borrow(graph->nodes[edge->to].inputs[edge->input]),
            .routing = borrow(graph_routing_text(edge->routing)),
            .key_format = borrow(edge->key_format),
            .value_format = borrow(edge->value_format),
            .feedback = edge->feedback,
        };
    }
    out->edge_count = graph->edge_count;
    return WEIR_OK;
}

void graph_release(const struct weir_graph *graph, struct manifest_graph *description)
{
    for (uint32_t i = 0; description->nodes && i < description->node_count; i++)
        memory_release(graph->allocator, description->nodes[i].states);
    memory_release(graph->allocator, description->nodes);
    memory_release(graph->allocator, description->edges);
    *description = (struct manifest_graph){0};
}
