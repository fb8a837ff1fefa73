/* SPDX-License-Identifier: Apache-2.0 */
#include "mapping.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "memory.h"
#include "state.h"

#define WHAT_TO_DO "go back to the graph of the checkpoint, or start afresh with --restore none"

static void add_problem(struct mapping *mapping, bool *failed, const char *format, ...)
    WEIR_PRINTF(3, 4);
static void add_problem(struct mapping *mapping, bool *failed, const char *format, ...)
{
    size_t size = sizeof *mapping->problems;
    uint32_t count = mapping->problem_count;
    char(*more)[MAPPING_PROBLEM_ROOM] =
        memory_resize(mapping->allocator, mapping->problems, count * size, (count + 1) * size);
    if (!more) {
        *failed = true;
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(more[count], size, format, arguments);
    va_end(arguments);
    mapping->problems = more;
    mapping->problem_count++;
}

/* ------------------------------------------------------------------------------- shares -- */

struct mapping_range mapping_range(uint32_t subtask, uint32_t parallelism, uint32_t groups)
{
    return (struct mapping_range){state_first_group(subtask, parallelism, groups),
                                  state_first_group(subtask + 1, parallelism, groups)};
}

bool mapping_reads(uint32_t now, uint32_t q, uint32_t then, uint32_t p, uint32_t groups)
{
    struct mapping_range mine = mapping_range(now, q, groups);
    struct mapping_range its = mapping_range(then, p, groups);
    uint32_t first = mine.first > its.first ? mine.first : its.first;
    uint32_t end = mine.end < its.end ? mine.end : its.end;
    return first < end;
}

uint32_t mapping_split(uint64_t index, uint64_t count, uint32_t parallelism)
{
    uint64_t each = count / parallelism, larger = count % parallelism;
    uint64_t in_larger = larger * (each + 1); /* items of those that have one more */
    return (uint32_t)(index < in_larger ? index / (each + 1) : larger + (index - in_larger) / each);
}

uint32_t mapping_heir(uint32_t subtask, uint32_t parallelism)
{
    return subtask % parallelism;
}

uint32_t mapping_instance(const struct manifest_graph *graph, uint32_t node, uint32_t subtask)
{
    uint32_t first = 0;
    for (uint32_t i = 0; i < node; i++)
        first += graph->nodes[i].parallelism;
    return first + subtask;
}

/* -------------------------------------------------------------------------------- names -- */

static uint32_t find_node(const struct manifest_graph *graph, const char *name)
{
    for (uint32_t i = 0; i < graph->node_count; i++)
        if (strcmp(graph->nodes[i].name, name) == 0)
            return i;
    return MAPPING_NONE;
}

static uint32_t find_state(const struct manifest_node *node, const char *name)
{
    for (uint32_t i = 0; i < node->state_count; i++)
        if (strcmp(node->states[i].name, name) == 0)
            return i;
    return MAPPING_NONE;
}

/* --------------------------------------------------------------------------------- nodes -- */

/* What a new version makes of values of `was` is for migrate to say. */
static void fit_state(struct mapping *mapping, uint32_t node, uint32_t state, bool migrates,
                      bool *failed)
{
    const struct mapping_node *to = &mapping->nodes[node];
    struct mapping_state *fit = &to->states[state];
    const struct manifest_state *is = &mapping->now->nodes[node].states[state];
    const char *name = mapping->now->nodes[node].name;
    fit->then = find_state(&mapping->then->nodes[to->then], is->name);
    if (fit->then == MAPPING_NONE)
        return;
    const struct manifest_state *was = &mapping->then->nodes[to->then].states[fit->then];
    fit->way = to->moved ? MAPPING_AGAIN : MAPPING_SHARED;
    if (was->kind != is->kind || was->expires != is->expires)
        add_problem(mapping, failed,
                    "state '%s' of node '%s' was a %s%s and is a %s%s: that can't be changed; "
                    "call it otherwise, or " WHAT_TO_DO,
                    is->name, name, state_kind_text(was->kind),
                    was->expires ? " with a time to live" : "", state_kind_text(is->kind),
                    is->expires ? " with a time to live" : "");
    else if (was->version > is->version)
        add_problem(mapping, failed,
                    "state '%s' of node '%s' was version %u and is %u, an older one: " WHAT_TO_DO,
                    is->name, name, was->version, is->version);
    else if (was->version < is->version && !migrates)
        add_problem(mapping, failed,
                    "state '%s' of node '%s' was version %u and is %u: give the state a migrate "
                    "callback for its values, or " WHAT_TO_DO,
                    is->name, name, was->version, is->version);
    else if (was->version < is->version)
        fit->way = MAPPING_MIGRATE;
    else if (was->value_size != is->value_size)
        add_problem(mapping, failed,
                    "state '%s' of node '%s' had values of %u bytes and has %u (0: any size): give "
                    "it a higher version and a migrate callback, or " WHAT_TO_DO,
                    is->name, name, was->value_size, is->value_size);
}

static void fit_node(struct mapping *mapping, uint32_t node, const struct mapping_traits *traits,
                     bool *failed)
{
    struct mapping_node *to = &mapping->nodes[node];
    const struct manifest_node *is = &mapping->now->nodes[node];
    to->then = find_node(mapping->then, is->name);
    for (uint32_t s = 0; s < is->state_count; s++)
        to->states[s] = (struct mapping_state){MAPPING_NONE, MAPPING_NEW};
    if (to->then == MAPPING_NONE)
        return;
    mapping->node_now[to->then] = node;
    const struct manifest_node *was = &mapping->then->nodes[to->then];
    to->moved = was->parallelism != is->parallelism;
    if (to->moved && traits && traits->fixed)
        add_problem(mapping, failed,
                    "node '%s' had parallelism %u and has %u, which it can't change: %s; start "
                    "with the old one, or afresh with --restore none",
                    is->name, was->parallelism, is->parallelism, traits->fixed);
    for (uint32_t s = 0; s < is->state_count; s++)
        fit_state(mapping, node, s, traits && traits->migrates && traits->migrates[s], failed);
}

/* --------------------------------------------------------------------------------- edges -- */

static bool edges_equal(const struct mapping *mapping, const struct manifest_edge *was,
                        const struct manifest_edge *is)
{
    return mapping->nodes[is->from].then == was->from && mapping->nodes[is->to].then == was->to &&
           strcmp(was->output, is->output) == 0 && strcmp(was->input, is->input) == 0 &&
           strcmp(was->routing, is->routing) == 0 && was->feedback == is->feedback;
}

static void fit_edge(struct mapping *mapping, uint32_t edge)
{
    const struct manifest_edge *is = &mapping->now->edges[edge];
    struct mapping_edge *to = &mapping->edges[edge];
    to->then = MAPPING_NONE;
    for (uint32_t e = 0; e < mapping->then->edge_count && to->then == MAPPING_NONE; e++)
        if (mapping->edge_now[e] == MAPPING_NONE &&
            edges_equal(mapping, &mapping->then->edges[e], is))
            to->then = e;
    if (to->then == MAPPING_NONE)
        return;
    mapping->edge_now[to->then] = edge;
    to->moved = mapping->nodes[is->from].moved || mapping->nodes[is->to].moved;
}

/* A part tells edges and states by their places. */
static bool is_as_was(const struct mapping *mapping, uint32_t node)
{
    const struct mapping_node *to = &mapping->nodes[node];
    if (to->then == MAPPING_NONE || to->moved)
        return false;
    const struct manifest_node *was = &mapping->then->nodes[to->then];
    const struct manifest_node *is = &mapping->now->nodes[node];
    bool same = was->state_count == is->state_count;
    for (uint32_t s = 0; same && s < is->state_count; s++)
        same = to->states[s].then == s && to->states[s].way == MAPPING_SHARED;
    for (uint32_t e = 0; same && e < mapping->now->edge_count; e++)
        if (mapping->now->edges[e].to == node)
            same = mapping->edges[e].then == e && !mapping->edges[e].moved;
    return same;
}

static void note_same(struct mapping *mapping)
{
    mapping->same = true;
    for (uint32_t n = 0; n < mapping->now->node_count; n++) {
        mapping->nodes[n].as_was = is_as_was(mapping, n);
        mapping->same &= mapping->nodes[n].as_was && mapping->nodes[n].then == n;
    }
    for (uint32_t n = 0; n < mapping->then->node_count; n++)
        mapping->same &= mapping->node_now[n] == n;
    for (uint32_t e = 0; e < mapping->then->edge_count; e++)
        mapping->same &= mapping->edge_now[e] == e;
    mapping->same &= mapping->then->edge_count == mapping->now->edge_count;
}

/* ---------------------------------------------------------------------------------- whole -- */

static bool make_room(struct mapping *mapping)
{
    const struct weir_allocator *allocator = mapping->allocator;
    const struct manifest_graph *then = mapping->then, *now = mapping->now;
    mapping->nodes = memory_zeroed(allocator, now->node_count + 1, sizeof *mapping->nodes);
    mapping->edges = memory_zeroed(allocator, now->edge_count + 1, sizeof *mapping->edges);
    mapping->node_now = memory_zeroed(allocator, then->node_count + 1, sizeof(uint32_t));
    mapping->edge_now = memory_zeroed(allocator, then->edge_count + 1, sizeof(uint32_t));
    bool room = mapping->nodes && mapping->edges && mapping->node_now && mapping->edge_now;
    for (uint32_t n = 0; room && n < now->node_count; n++) {
        struct mapping_node *node = &mapping->nodes[n];
        node->states =
            memory_zeroed(allocator, now->nodes[n].state_count + 1, sizeof *node->states);
        room = node->states;
    }
    for (uint32_t n = 0; room && n < then->node_count; n++)
        mapping->node_now[n] = MAPPING_NONE;
    for (uint32_t e = 0; room && e < then->edge_count; e++)
        mapping->edge_now[e] = MAPPING_NONE;
    return room;
}

enum weir_result mapping_make(const struct manifest_graph *then, const struct manifest_graph *now,
                              const struct mapping_traits *traits,
                              const struct weir_allocator *allocator, struct mapping *mapping,
                              struct weir_error *error)
{
    *mapping = (struct mapping){.then = then, .now = now, .allocator = allocator};
    bool failed = !make_room(mapping);
    if (!failed && then->key_groups != now->key_groups)
        add_problem(mapping, &failed,
                    "the checkpoint has %u key groups and the job %u: " WHAT_TO_DO,
                    then->key_groups, now->key_groups);
    for (uint32_t n = 0; !failed && n < now->node_count; n++)
        fit_node(mapping, n, traits ? &traits[n] : NULL, &failed);
    for (uint32_t e = 0; !failed && e < now->edge_count; e++)
        fit_edge(mapping, e);
    if (failed) {
        mapping_free(mapping);
        return error_memory(error, "the mapping of a checkpoint", now->node_count);
    }
    note_same(mapping);
    return WEIR_OK;
}

void mapping_free(struct mapping *mapping)
{
    const struct weir_allocator *allocator = mapping->allocator;
    for (uint32_t n = 0; mapping->nodes && n < mapping->now->node_count; n++)
        memory_release(allocator, mapping->nodes[n].states);
    memory_release(allocator, mapping->nodes);
    memory_release(allocator, mapping->edges);
    memory_release(allocator, mapping->node_now);
    memory_release(allocator, mapping->edge_now);
    memory_release(allocator, mapping->problems);
    *mapping = (struct mapping){0};
}

enum weir_result mapping_check(const struct mapping *mapping, struct weir_error *error)
{
    uint32_t more = mapping->problem_count > 1 ? mapping->problem_count - 1 : 0;
    if (!mapping->problem_count)
        return WEIR_OK;
    if (!more)
        return error_set(error, WEIR_MISMATCH, 0, "%s", mapping->problems[0]);
    return error_set(error, WEIR_MISMATCH, 0, "%s (and %u more: see plan --restore)",
                     mapping->problems[0], more);
}

uint32_t mapping_state_now(const struct mapping *mapping, uint32_t node_now, uint32_t state_then)
{
    const struct mapping_node *node = &mapping->nodes[node_now];
    for (uint32_t s = 0; s < mapping->now->nodes[node_now].state_count; s++)
        if (node->states[s].then == state_then)
            return s;
    return MAPPING_NONE;
}

bool mapping_is_removed(const struct mapping *mapping, uint32_t node_then, uint32_t state_then)
{
    uint32_t now = mapping->node_now[node_then];
    return now == MAPPING_NONE || mapping_state_now(mapping, now, state_then) == MAPPING_NONE;
}
