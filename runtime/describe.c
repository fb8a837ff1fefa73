/* SPDX-License-Identifier: Apache-2.0
 *
 * describe: a plan as text for people, as a drawing for Graphviz, as JSON for programs. Pure: lines
 * go to a callback (paper.h). What needs an escape - kinds and formats, a program's own texts - is
 * cut at WORD_ROOM bytes, in all three forms.
 */
#include "plan.h"

#include <stdio.h>
#include <string.h>

#include "error.h"
#include "paper.h"

enum { WORD_ROOM = 300, FACT_ROOM = 64 };

static const char *quoted(const char *text, char word[WORD_ROOM])
{
    return paper_quote(text, word, WORD_ROOM);
}

static bool is_source(const struct graph_node *node)
{
    return node->table->poll;
}

static bool is_two_phase(const struct graph_node *node)
{
    return node->table->commit;
}

/* What a node says about itself counts where the graph meets the world; elsewhere only what it
 * takes away. NULL: nothing to say. */
static const char *guarantee(const struct graph_node *node)
{
    if (node->table->guarantee == WEIR_AT_LEAST_ONCE)
        return "at-least-once";
    return is_source(node) || is_two_phase(node) ? "exactly-once" : NULL;
}

static uint32_t channels_of(const struct plan *plan, uint32_t edge)
{
    return plan->edge_first[edge + 1] - plan->edge_first[edge];
}

static const char *plural(uint32_t count)
{
    return count == 1 ? "" : "s";
}

/* ---------------------------------------------------------------------- for people -- */

static void say_state(struct paper *paper, const struct graph_node *node, uint32_t index)
{
    const struct weir_state *state = &node->states[index];
    enum state_kind kind = graph_state_kind(node, index);
    char size[FACT_ROOM] = "values of any size";
    if (state->value_size && kind == STATE_VALUE)
        snprintf(size, sizeof size, "%u bytes a key", state->value_size);
    else if (state->value_size)
        snprintf(size, sizeof size, "values of %u bytes", state->value_size);
    if (kind == STATE_TIMERS) {
        paper_say(paper, "  timers of keys");
        return;
    }
    if (kind != STATE_VALUE) {
        char plain[FACT_ROOM];
        snprintf(plain, sizeof plain, "%s", size);
        snprintf(size, sizeof size, "a %s a key, %s", state_kind_text(kind), plain);
    }
    paper_say(paper, "  state %s: %s, version %u%s%.*s", state->name, size, state->version,
              *state->format ? ", format " : "", WORD_ROOM, state->format);
}

static void say_node(struct paper *paper, const struct plan *plan, uint32_t index)
{
    const struct graph_node *node = &plan->graph->nodes[index];
    const char *promise = guarantee(node);
    /* Loud where output may come twice. */
    if (promise && node->table->guarantee == WEIR_AT_LEAST_ONCE &&
        (is_source(node) || is_two_phase(node)))
        promise = "AT-LEAST-ONCE";
    paper_say(paper, "node %s: %.*s, parallelism %u%s%s%s%s", node->name, WORD_ROOM,
              node->table->kind, plan->nodes[index].parallelism, is_source(node) ? ", source" : "",
              is_two_phase(node) ? ", publishes in two phases" : "", promise ? ", " : "",
              promise ? promise : "");
    for (uint32_t i = 0; i < node->state_count; i++)
        say_state(paper, node, i);
}

static void say_edge(struct paper *paper, const struct plan *plan, uint32_t index)
{
    const struct graph_edge *edge = &plan->graph->edges[index];
    const struct graph_node *from = &plan->graph->nodes[edge->from];
    const struct graph_node *to = &plan->graph->nodes[edge->to];
    char how[FACT_ROOM] = "a direct call in one task";
    uint32_t channels = channels_of(plan, index);
    if (!plan_direct(plan, index))
        snprintf(how, sizeof how, "%u channel%s", channels, plural(channels));
    paper_say(paper, "edge %s.%s -> %s.%s: %s%s, %s%s%.*s%s%.*s", from->name,
              from->outputs[edge->output], to->name, to->inputs[edge->input],
              graph_routing_text(edge->routing), edge->feedback ? ", feedback" : "", how,
              *edge->key_format ? ", keys " : "", WORD_ROOM, edge->key_format,
              *edge->value_format ? ", values " : "", WORD_ROOM, edge->value_format);
}

/* A chain may be longer than a line: then its end is a number. */
static void say_chain(struct paper *paper, const struct plan *plan, uint32_t index)
{
    const struct plan_chain *chain = &plan->chains[index];
    char names[512];
    size_t used = 0;
    uint32_t place = 0;
    for (; place < chain->length && used < sizeof names - 100; place++) {
        const char *name = plan->graph->nodes[plan_member(plan, index, place)].name;
        int size = snprintf(names + used, sizeof names - used, "%s%s", place ? " + " : "", name);
        used += (size_t)size;
    }
    if (place < chain->length)
        snprintf(names + used, sizeof names - used, " + %u more", chain->length - place);
    if (chain->parallelism == 1)
        paper_say(paper, "task %u: %s", chain->first_task, names);
    else
        paper_say(paper, "tasks %u..%u: %s", chain->first_task,
                  chain->first_task + chain->parallelism - 1, names);
}

static void say_text(struct paper *paper, const struct plan *plan)
{
    for (uint32_t i = 0; i < plan->graph->node_count; i++)
        say_node(paper, plan, plan->order[i]);
    for (uint32_t i = 0; i < plan->graph->edge_count; i++)
        say_edge(paper, plan, i);
    for (uint32_t i = 0; i < plan->chain_count; i++)
        say_chain(paper, plan, i);
    paper_say(paper, "tasks: %u, channels: %u", plan->task_count, plan->channel_count);
}

/* -------------------------------------------------------------------- for Graphviz -- */

static void draw_node(struct paper *paper, const struct plan *plan, uint32_t index)
{
    const struct graph_node *node = &plan->graph->nodes[index];
    char kind[WORD_ROOM], states[FACT_ROOM] = "";
    const char *promise = guarantee(node);
    if (node->state_count)
        snprintf(states, sizeof states, "\\n%u keyed state%s", node->state_count,
                 plural(node->state_count));
    paper_say(paper, "    \"%s\" [label=\"%s\\n%s x %u%s%s%s\"%s];", node->name, node->name,
              quoted(node->table->kind, kind), plan->nodes[index].parallelism, states,
              promise ? "\\n" : "", promise ? promise : "",
              is_source(node) || is_two_phase(node) ? ", style=bold" : "");
}

static void draw_edge(struct paper *paper, const struct plan *plan, uint32_t index)
{
    const struct graph_edge *edge = &plan->graph->edges[index];
    const char *from = plan->graph->nodes[edge->from].name;
    const char *to = plan->graph->nodes[edge->to].name;
    const char *routing = graph_routing_text(edge->routing);
    uint32_t channels = channels_of(plan, index);
    if (plan_direct(plan, index))
        paper_say(paper, "  \"%s\" -> \"%s\" [label=\"%s\", style=dashed];", from, to, routing);
    else
        paper_say(paper, "  \"%s\" -> \"%s\" [label=\"%s\\n%u channel%s\"%s];", from, to, routing,
                  channels, plural(channels),
                  edge->feedback ? ", style=bold, constraint=false" : "");
}

/* A box around what runs in one task; dashed edges are plain calls inside it. */
static void say_dot(struct paper *paper, const struct plan *plan)
{
    paper_say(paper, "digraph plan {");
    paper_say(paper, "  rankdir=LR;");
    paper_say(paper, "  node [shape=box];");
    for (uint32_t c = 0; c < plan->chain_count; c++) {
        uint32_t tasks = plan->chains[c].parallelism;
        paper_say(paper, "  subgraph cluster_%u {", c);
        paper_say(paper, "    label=\"%u task%s\";", tasks, plural(tasks));
        for (uint32_t place = 0; place < plan->chains[c].length; place++)
            draw_node(paper, plan, plan_member(plan, c, place));
        paper_say(paper, "  }");
    }
    for (uint32_t e = 0; e < plan->graph->edge_count; e++)
        draw_edge(paper, plan, e);
    paper_say(paper, "}");
}

/* -------------------------------------------------------------------- for programs -- */

static void list_names(struct paper *paper, const char *what, const char **names, uint32_t count)
{
    paper_say(paper, "   \"%s\": [", what);
    for (uint32_t i = 0; i < count; i++)
        paper_say(paper, "    \"%s\"%s", names[i], paper_separator(i, count));
    paper_say(paper, "   ],");
}

static void list_states(struct paper *paper, const struct graph_node *node)
{
    char format[WORD_ROOM];
    paper_say(paper, "   \"states\": [");
    for (uint32_t i = 0; i < node->state_count; i++) {
        const struct weir_state *state = &node->states[i];
        paper_say(paper,
                  "    {\"name\": \"%s\", \"version\": %u, \"value_size\": %u, \"format\": \"%s\", "
                  "\"kind\": \"%s\", \"ttl_ns\": %llu}%s",
                  state->name, state->version, state->value_size, quoted(state->format, format),
                  state_kind_text(graph_state_kind(node, i)), (unsigned long long)state->ttl_ns,
                  paper_separator(i, node->state_count));
    }
    paper_say(paper, "   ]");
}

static void list_node(struct paper *paper, const struct plan *plan, uint32_t index)
{
    const struct graph_node *node = &plan->graph->nodes[index];
    char kind[WORD_ROOM];
    const char *promise = guarantee(node);
    paper_say(paper, "  {\"name\": \"%s\", \"kind\": \"%s\", \"version\": %u,", node->name,
              quoted(node->table->kind, kind), node->table->version);
    paper_say(paper, "   \"parallelism\": %u, \"chain\": %u, \"source\": %s, \"two_phase\": %s,",
              plan->nodes[index].parallelism, plan->nodes[index].chain,
              is_source(node) ? "true" : "false", is_two_phase(node) ? "true" : "false");
    if (promise)
        paper_say(paper, "   \"guarantee\": \"%s\",", promise);
    list_names(paper, "inputs", node->inputs, is_source(node) ? 0 : node->input_count);
    list_names(paper, "outputs", node->outputs, node->output_count);
    list_states(paper, node);
    paper_say(paper, "  }%s", paper_separator(index, plan->graph->node_count));
}

static void list_edge(struct paper *paper, const struct plan *plan, uint32_t index)
{
    const struct graph_edge *edge = &plan->graph->edges[index];
    const struct graph_node *from = &plan->graph->nodes[edge->from];
    const struct graph_node *to = &plan->graph->nodes[edge->to];
    char key[WORD_ROOM], value[WORD_ROOM];
    paper_say(paper, "  {\"from\": \"%s\", \"output\": \"%s\", \"to\": \"%s\", \"input\": \"%s\",",
              from->name, from->outputs[edge->output], to->name, to->inputs[edge->input]);
    paper_say(paper,
              "   \"routing\": \"%s\", \"direct\": %s, \"feedback\": %s, \"channels\": %u, "
              "\"key_format\": \"%s\", \"value_format\": \"%s\"}%s",
              graph_routing_text(edge->routing), plan_direct(plan, index) ? "true" : "false",
              edge->feedback ? "true" : "false", channels_of(plan, index),
              quoted(edge->key_format, key), quoted(edge->value_format, value),
              paper_separator(index, plan->graph->edge_count));
}

static void list_chain(struct paper *paper, const struct plan *plan, uint32_t index)
{
    const struct plan_chain *chain = &plan->chains[index];
    paper_say(paper, "  {\"tasks\": %u, \"first_task\": %u, \"nodes\": [", chain->parallelism,
              chain->first_task);
    for (uint32_t place = 0; place < chain->length; place++)
        paper_say(paper, "    \"%s\"%s", plan->graph->nodes[plan_member(plan, index, place)].name,
                  paper_separator(place, chain->length));
    paper_say(paper, "  ]}%s", paper_separator(index, plan->chain_count));
}

static void say_json(struct paper *paper, const struct plan *plan)
{
    paper_say(paper, "{\"nodes\": [");
    for (uint32_t i = 0; i < plan->graph->node_count; i++)
        list_node(paper, plan, i);
    paper_say(paper, " ], \"edges\": [");
    for (uint32_t i = 0; i < plan->graph->edge_count; i++)
        list_edge(paper, plan, i);
    paper_say(paper, " ], \"chains\": [");
    for (uint32_t i = 0; i < plan->chain_count; i++)
        list_chain(paper, plan, i);
    paper_say(paper, " ], \"tasks\": %u, \"channels\": %u}", plan->task_count, plan->channel_count);
}

/* ------------------------------------------------------------------------- the whole -- */

enum weir_result weir_graph_plan(struct weir_graph *graph, uint32_t parallelism,
                                 enum weir_plan_format format,
                                 void (*line)(void *context, const char *text), void *context,
                                 struct weir_error *error)
{
    static void (*const forms[])(struct paper *, const struct plan *) = {
        [WEIR_PLAN_TEXT] = say_text, [WEIR_PLAN_DOT] = say_dot, [WEIR_PLAN_JSON] = say_json};
    struct paper paper = {.line = line, .context = context};
    struct plan plan;
    if ((unsigned)format >= sizeof forms / sizeof *forms)
        return error_set(error, WEIR_INVALID, 0, "a plan has no format %u", (unsigned)format);
    enum weir_result result = plan_make(graph, parallelism ? parallelism : 1, &plan, error);
    if (result)
        return result;
    forms[format](&paper, &plan);
    plan_free(&plan);
    return WEIR_OK;
}
