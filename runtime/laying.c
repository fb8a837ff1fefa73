/* SPDX-License-Identifier: Apache-2.0 */
#include "laying.h"

#include <stdio.h>
#include <string.h>

#include "paper.h"

/* Both ends of an edge, "numbers.out -> count.in". */
#define ENDS_ROOM 280

static const char *ends_of(const struct manifest_graph *graph, uint32_t edge, char ends[ENDS_ROOM])
{
    const struct manifest_edge *is = &graph->edges[edge];
    snprintf(ends, ENDS_ROOM, "%s.%s -> %s.%s", graph->nodes[is->from].name, is->output,
             graph->nodes[is->to].name, is->input);
    return ends;
}

/* -------------------------------------------------------------------------------- ways -- */

/* A word for programs, and what people are told. */
struct way {
    const char *word, *text;
};

static const struct way node_new = {"new", "new, starts empty"};
static const struct way node_as_was = {"as_was", "as it was"};
static const struct way node_same = {"same_subtasks", "the same subtasks, in another graph"};
static const struct way node_rescaled = {"rescaled", NULL};

static const struct way *way_of_node(const struct mapping_node *map)
{
    if (map->then == MAPPING_NONE)
        return &node_new;
    if (map->moved)
        return &node_rescaled;
    return map->as_was ? &node_as_was : &node_same;
}

static const struct way state_ways[] = {
    [MAPPING_NEW] = {"new", "new, starts empty"},
    [MAPPING_SHARED] = {"as_was", "goes on as it is"},
    [MAPPING_AGAIN] = {"dealt", "each key goes to the subtask that owns it now"},
    [MAPPING_MIGRATE] = {"migrated", NULL},
};

static const struct way edge_new = {"new", "new"};
static const struct way edge_as_was = {"as_was", "what is in flight stays where it is"};
static const struct way edge_spread = {"by_channel",
                                       "what is in flight is shared out, channel by channel"};
static const struct way edge_by_key = {"by_key", "what is in flight goes where its keys go"};
static const struct way edge_none = {"none", "nothing may be in flight"};

static const struct way *way_of_edge(const struct laying *laying, uint32_t edge)
{
    const struct mapping_edge *map = &laying->mapping->edges[edge];
    const struct graph_edge *is = &laying->plan->graph->edges[edge];
    if (map->then == MAPPING_NONE)
        return &edge_new;
    if (plan_direct(laying->plan, edge))
        return &edge_none;
    if (!map->moved)
        return &edge_as_was;
    if (is->routing == WEIR_SPREAD)
        return &edge_spread;
    bool dealt = is->routing == WEIR_FORWARD && plan_dealt_by_key(laying->plan->graph, is->from);
    return dealt || is->routing == WEIR_BY_KEY ? &edge_by_key : &edge_none;
}

static const struct manifest_node *node_then(const struct mapping *mapping, uint32_t node)
{
    return &mapping->then->nodes[mapping->nodes[node].then];
}

/* -------------------------------------------------------------------------- for people -- */

static void say_state(struct paper *paper, const struct mapping *mapping, uint32_t node,
                      uint32_t state)
{
    const struct mapping_state *fit = &mapping->nodes[node].states[state];
    const struct manifest_state *is = &mapping->now->nodes[node].states[state];
    if (fit->way == MAPPING_MIGRATE)
        paper_say(paper, "  state %s: migrated from version %u to %u", is->name,
                  node_then(mapping, node)->states[fit->then].version, is->version);
    else
        paper_say(paper, "  state %s: %s", is->name, state_ways[fit->way].text);
}

static void say_ranges(struct paper *paper, const struct mapping *mapping, uint32_t node)
{
    uint32_t groups = mapping->now->key_groups, q = mapping->now->nodes[node].parallelism;
    uint32_t p = node_then(mapping, node)->parallelism;
    for (uint32_t s = 0; s < q; s++) {
        struct mapping_range range = mapping_range(s, q, groups);
        char from[200] = "";
        size_t size = 0;
        for (uint32_t old = 0; old < p && size < sizeof from; old++)
            if (mapping_reads(s, q, old, p, groups))
                size += (size_t)snprintf(from + size, sizeof from - size, " %u", old);
        if (range.first == range.end)
            paper_say(paper, "  subtask %u: no key groups", s);
        else
            paper_say(paper, "  subtask %u: key groups %u to %u, of old subtasks%s", s, range.first,
                      range.end - 1, from);
    }
}

static void say_node(struct paper *paper, const struct mapping *mapping, uint32_t node)
{
    const struct mapping_node *map = &mapping->nodes[node];
    const struct manifest_node *is = &mapping->now->nodes[node];
    if (map->moved)
        paper_say(paper, "node %s: from %u subtasks to %u", is->name,
                  node_then(mapping, node)->parallelism, is->parallelism);
    else
        paper_say(paper, "node %s: %s", is->name, way_of_node(map)->text);
    for (uint32_t s = 0; s < is->state_count; s++)
        say_state(paper, mapping, node, s);
    if (map->moved && is->state_count)
        say_ranges(paper, mapping, node);
}

static void say_gone(struct paper *paper, const struct mapping *mapping)
{
    const struct manifest_graph *then = mapping->then;
    char ends[ENDS_ROOM];
    for (uint32_t n = 0; n < then->node_count; n++) {
        const struct manifest_node *node = &then->nodes[n];
        bool gone = mapping->node_now[n] == MAPPING_NONE;
        if (gone)
            paper_say(paper, "node %s: gone", node->name);
        for (uint32_t s = 0; s < node->state_count && !gone; s++)
            if (mapping_is_removed(mapping, n, s))
                paper_say(paper, "state %s of node %s: gone", node->states[s].name, node->name);
    }
    for (uint32_t e = 0; e < then->edge_count; e++)
        if (mapping->edge_now[e] == MAPPING_NONE)
            paper_say(paper, "edge %s: gone", ends_of(then, e, ends));
}

void laying_tell(const struct laying *laying, void (*line)(void *context, const char *text),
                 void *context)
{
    struct paper paper = {.line = line, .context = context};
    const struct mapping *mapping = laying->mapping;
    char text[LOSS_TEXT];
    if (!laying->checkpoint) {
        paper_say(&paper, "no checkpoint to go on from: a first start");
        return;
    }
    paper_say(&paper,
              "checkpoint %llu, laid onto this graph:", (unsigned long long)laying->checkpoint);
    for (uint32_t n = 0; n < mapping->now->node_count; n++)
        say_node(&paper, mapping, n);
    for (uint32_t e = 0; e < mapping->now->edge_count; e++)
        paper_say(&paper, "edge %s: %s", ends_of(mapping->now, e, text),
                  way_of_edge(laying, e)->text);
    say_gone(&paper, mapping);
    for (uint32_t i = 0; i < mapping->problem_count; i++)
        paper_say(&paper, "does not fit: %s", mapping->problems[i]);
    for (uint32_t i = 0; i < laying->losses.count; i++) {
        bool never = laying->losses.list[i].kind == LOSS_HANDLES;
        paper_say(&paper, "%s: %s", laying->dropping && !never ? "dropped" : "would be lost",
                  loss_text(&laying->losses, i, text));
    }
    for (uint32_t i = 0; i < laying->refusal_count; i++)
        paper_say(&paper, "does not fit: %s", laying->refusals[i].text);
}

/* ------------------------------------------------------------------------ for programs -- */

static void list_states(struct paper *paper, const struct mapping *mapping, uint32_t node)
{
    const struct manifest_node *is = &mapping->now->nodes[node];
    paper_say(paper, "   \"states\": [");
    for (uint32_t s = 0; s < is->state_count; s++) {
        const struct mapping_state *fit = &mapping->nodes[node].states[s];
        char was[40] = "";
        if (fit->way != MAPPING_NEW)
            snprintf(was, sizeof was, ", \"version_was\": %u",
                     node_then(mapping, node)->states[fit->then].version);
        paper_say(paper, "    {\"name\": \"%s\", \"way\": \"%s\", \"version\": %u%s}%s",
                  is->states[s].name, state_ways[fit->way].word, is->states[s].version, was,
                  paper_separator(s, is->state_count));
    }
}

/* Old subtasks whose key groups it has some of lie side by side. */
static void list_subtask(struct paper *paper, const struct mapping *mapping, uint32_t node,
                         uint32_t subtask)
{
    uint32_t groups = mapping->now->key_groups, q = mapping->now->nodes[node].parallelism;
    uint32_t p = node_then(mapping, node)->parallelism;
    uint32_t first = 0, end = 0;
    struct mapping_range range = mapping_range(subtask, q, groups);
    for (uint32_t old = 0; old < p; old++)
        if (mapping_reads(subtask, q, old, p, groups)) {
            first = end ? first : old;
            end = old + 1;
        }
    if (range.first == range.end)
        paper_say(paper, "    {\"subtask\": %u}%s", subtask, paper_separator(subtask, q));
    else
        paper_say(paper,
                  "    {\"subtask\": %u, \"first_group\": %u, \"last_group\": %u, "
                  "\"first_from\": %u, \"last_from\": %u}%s",
                  subtask, range.first, range.end - 1, first, end - 1, paper_separator(subtask, q));
}

static void list_node(struct paper *paper, const struct mapping *mapping, uint32_t node)
{
    const struct mapping_node *map = &mapping->nodes[node];
    const struct manifest_node *is = &mapping->now->nodes[node];
    char was[40] = "";
    bool dealt = map->moved && is->state_count;
    if (map->then != MAPPING_NONE)
        snprintf(was, sizeof was, ", \"parallelism_was\": %u",
                 node_then(mapping, node)->parallelism);
    paper_say(paper, "  {\"name\": \"%s\", \"way\": \"%s\", \"parallelism\": %u%s,", is->name,
              way_of_node(map)->word, is->parallelism, was);
    list_states(paper, mapping, node);
    paper_say(paper, "   ]%s", dealt ? ", \"subtasks\": [" : "");
    for (uint32_t s = 0; dealt && s < is->parallelism; s++)
        list_subtask(paper, mapping, node, s);
    paper_say(paper, "  %s}%s", dealt ? "]" : "", paper_separator(node, mapping->now->node_count));
}

/* Of lists whose length is known at their end: each but the first comes with its comma. */
static const char *comma(bool *more)
{
    const char *text = *more ? "," : " ";
    *more = true;
    return text;
}

static void list_gone(struct paper *paper, const struct mapping *mapping)
{
    const struct manifest_graph *then = mapping->then;
    bool more = false;
    char ends[ENDS_ROOM];
    paper_say(paper, " ], \"gone\": [");
    for (uint32_t n = 0; n < then->node_count; n++) {
        const struct manifest_node *node = &then->nodes[n];
        if (mapping->node_now[n] == MAPPING_NONE)
            paper_say(paper, " %s{\"node\": \"%s\"}", comma(&more), node->name);
        for (uint32_t s = 0; s < node->state_count; s++)
            if (mapping_is_removed(mapping, n, s))
                paper_say(paper, " %s{\"node\": \"%s\", \"state\": \"%s\"}", comma(&more),
                          node->name, node->states[s].name);
    }
    for (uint32_t e = 0; e < then->edge_count; e++)
        if (mapping->edge_now[e] == MAPPING_NONE)
            paper_say(paper, " %s{\"edge\": \"%s\"}", comma(&more), ends_of(then, e, ends));
}

static void list_loss(struct paper *paper, const struct losses *losses, uint32_t index)
{
    static const char *const words[] = {
        [LOSS_STATE] = "state",     [LOSS_ITEMS] = "items",     [LOSS_TIMERS] = "timers",
        [LOSS_LETTERS] = "letters", [LOSS_HANDLES] = "handles", [LOSS_RECORDS] = "records",
    };
    const struct loss *loss = &losses->list[index];
    const struct manifest_graph *then = losses->then;
    char of[ENDS_ROOM + 40], ends[ENDS_ROOM];
    if (loss->kind == LOSS_RECORDS)
        snprintf(of, sizeof of, "\"edge\": \"%s\"", ends_of(then, loss->where, ends));
    else if (loss->kind == LOSS_STATE)
        snprintf(of, sizeof of, "\"node\": \"%s\", \"state\": \"%s\"",
                 then->nodes[loss->where].name, then->nodes[loss->where].states[loss->state].name);
    else
        snprintf(of, sizeof of, "\"node\": \"%s\"", then->nodes[loss->where].name);
    paper_say(paper, "  {\"what\": \"%s\", %s, \"count\": %llu}%s", words[loss->kind], of,
              (unsigned long long)loss->count, paper_separator(index, losses->count));
}

static void list_problems(struct paper *paper, const struct laying *laying)
{
    const struct mapping *mapping = laying->mapping;
    bool more = false;
    char text[PAPER_QUOTED];
    paper_say(paper, " ], \"problems\": [");
    for (uint32_t i = 0; i < mapping->problem_count; i++)
        paper_say(paper, " %s\"%s\"", comma(&more),
                  paper_quote(mapping->problems[i], text, sizeof text));
    for (uint32_t i = 0; i < laying->refusal_count; i++)
        paper_say(paper, " %s\"%s\"", comma(&more),
                  paper_quote(laying->refusals[i].text, text, sizeof text));
}

void laying_list(const struct laying *laying, void (*line)(void *context, const char *text),
                 void *context)
{
    struct paper paper = {.line = line, .context = context};
    const struct mapping *mapping = laying->mapping;
    char text[PAPER_QUOTED];
    if (!laying->checkpoint) {
        paper_say(&paper, "{\"fits\": true}");
        return;
    }
    paper_say(&paper, "{\"checkpoint\": %llu, \"fits\": %s,",
              (unsigned long long)laying->checkpoint, laying->result ? "false" : "true");
    if (laying->result)
        paper_say(&paper, " \"error\": \"%s\",", paper_quote(laying->why, text, sizeof text));
    paper_say(&paper, " \"nodes\": [");
    for (uint32_t n = 0; n < mapping->now->node_count; n++)
        list_node(&paper, mapping, n);
    paper_say(&paper, " ], \"edges\": [");
    for (uint32_t e = 0; e < mapping->now->edge_count; e++)
        paper_say(&paper, "  {\"edge\": \"%s\", \"way\": \"%s\"}%s", ends_of(mapping->now, e, text),
                  way_of_edge(laying, e)->word, paper_separator(e, mapping->now->edge_count));
    list_gone(&paper, mapping);
    paper_say(&paper, " ], \"drops\": %s, \"losses\": [", laying->dropping ? "true" : "false");
    for (uint32_t i = 0; i < laying->losses.count; i++)
        list_loss(&paper, &laying->losses, i);
    list_problems(&paper, laying);
    paper_say(&paper, " ]}");
}
