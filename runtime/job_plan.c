/* SPDX-License-Identifier: Apache-2.0
 *
 * How a checkpoint would be laid onto a graph, in words, without starting anything.
 */
#include <stdarg.h>
#include <stdio.h>

#include "error.h"
#include "handover.h"
#include "job.h"
#include "losses.h"
#include "memory.h"

#define LINE_ROOM 400

/* A job that is never built; its `savepoint` is what is read. */
struct laying {
    struct weir_job job;
    void (*line)(void *context, const char *text);
    void *context;
};

static void say(const struct laying *laying, const char *format, ...) WEIR_PRINTF(2, 3);
static void say(const struct laying *laying, const char *format, ...)
{
    char text[LINE_ROOM];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    laying->line(laying->context, text);
}

static void say_state(const struct laying *laying, uint32_t node, uint32_t state)
{
    const struct mapping *mapping = &laying->job.mapping;
    const struct mapping_state *fit = &mapping->nodes[node].states[state];
    const char *name = mapping->now->nodes[node].states[state].name;
    switch (fit->way) {
    case MAPPING_NEW:
        say(laying, "  state %s: new, starts empty", name);
        return;
    case MAPPING_SHARED:
        say(laying, "  state %s: goes on as it is", name);
        return;
    case MAPPING_AGAIN:
        say(laying, "  state %s: each key goes to the subtask that owns it now", name);
        return;
    case MAPPING_MIGRATE:
        say(laying, "  state %s: migrated from version %u to %u", name,
            mapping->then->nodes[mapping->nodes[node].then].states[fit->then].version,
            mapping->now->nodes[node].states[state].version);
        return;
    }
}

static void say_ranges(const struct laying *laying, uint32_t node)
{
    const struct mapping *mapping = &laying->job.mapping;
    uint32_t groups = mapping->now->key_groups, q = mapping->now->nodes[node].parallelism;
    uint32_t p = mapping->then->nodes[mapping->nodes[node].then].parallelism;
    for (uint32_t s = 0; s < q; s++) {
        struct mapping_range range = mapping_range(s, q, groups);
        char from[200] = "";
        size_t size = 0;
        for (uint32_t old = 0; old < p && size < sizeof from; old++)
            if (mapping_reads(s, q, old, p, groups))
                size += (size_t)snprintf(from + size, sizeof from - size, " %u", old);
        if (range.first == range.end)
            say(laying, "  subtask %u: no key groups", s);
        else
            say(laying, "  subtask %u: key groups %u to %u, of old subtasks%s", s, range.first,
                range.end - 1, from);
    }
}

static void say_node(const struct laying *laying, uint32_t node)
{
    const struct mapping *mapping = &laying->job.mapping;
    const struct mapping_node *map = &mapping->nodes[node];
    const struct manifest_node *is = &mapping->now->nodes[node];
    if (map->then == MAPPING_NONE)
        say(laying, "node %s: new, starts empty", is->name);
    else if (map->moved)
        say(laying, "node %s: from %u subtasks to %u", is->name,
            mapping->then->nodes[map->then].parallelism, is->parallelism);
    else
        say(laying, "node %s: %s", is->name,
            map->as_was ? "as it was" : "the same subtasks, in another graph");
    for (uint32_t s = 0; s < is->state_count; s++)
        say_state(laying, node, s);
    if (map->moved && is->state_count)
        say_ranges(laying, node);
}

static void say_edge(const struct laying *laying, uint32_t edge)
{
    const struct mapping *mapping = &laying->job.mapping;
    const struct manifest_edge *is = &mapping->now->edges[edge];
    const struct mapping_edge *map = &mapping->edges[edge];
    enum weir_routing routing = laying->job.graph->edges[edge].routing;
    say(laying, "edge %s.%s -> %s.%s: %s", mapping->now->nodes[is->from].name, is->output,
        mapping->now->nodes[is->to].name, is->input,
        map->then == MAPPING_NONE ? "new"
        : !map->moved             ? "what is in flight stays where it is"
        : routing == WEIR_SPREAD  ? "what is in flight is shared out, channel by channel"
        : routing == WEIR_FORWARD ? "nothing may be in flight"
                                  : "what is in flight goes where its keys go");
}

/* Can the parts of a node with another parallelism be shared out? */
static enum weir_result try_node(struct laying *laying, uint32_t node, struct weir_error *error)
{
    struct weir_job *job = &laying->job;
    if (!job->mapping.nodes[node].moved)
        return WEIR_OK;
    enum weir_result result = job_try_hand_over(job, node, error);
    if (result == WEIR_MISMATCH)
        say(laying, "does not fit: %s", error->text);
    return result;
}

static enum weir_result lay(struct laying *laying, struct weir_error *error)
{
    struct weir_job *job = &laying->job;
    const struct mapping *mapping = &job->mapping;
    struct losses losses;
    struct weir_error trouble = {0};
    for (uint32_t n = 0; n < mapping->now->node_count; n++)
        say_node(laying, n);
    for (uint32_t e = 0; e < mapping->now->edge_count; e++)
        say_edge(laying, e);
    for (uint32_t i = 0; i < mapping->problem_count; i++)
        say(laying, "does not fit: %s", mapping->problems[i]);
    enum weir_result result =
        losses_find(job->savepoint, &job->restored, mapping, job->run.allocator, &losses, error);
    if (result)
        return result;
    for (uint32_t i = 0; i < losses.count; i++)
        say(laying, "%s: %s", job->options.allow_dropped_state ? "dropped" : "would be lost",
            losses.texts[i]);
    result = mapping_check(mapping, error);
    enum weir_result lost = losses_check(&losses, job->options.allow_dropped_state, &trouble);
    losses_free(&losses);
    for (uint32_t n = 0; !result && n < mapping->now->node_count; n++)
        result = try_node(laying, n, error);
    if (!result && lost && error)
        *error = trouble;
    return result ? result : lost;
}

static enum weir_result open_checkpoint(struct laying *laying, struct weir_error *error)
{
    struct weir_job *job = &laying->job;
    const struct weir_job_options *options = &job->options;
    bool path = options->restore == WEIR_RESTORE_PATH;
    uint64_t id = options->restore == WEIR_RESTORE_ID ? options->restore_id : 0;
    if (!options->store || options->restore == WEIR_RESTORE_NONE)
        return error_set(error, WEIR_INVALID, 0,
                         "there is no checkpoint to look at: give a store, and what to restore");
    enum weir_result result = store_view(path ? options->restore_path : options->store,
                                         options->allocator, &job->savepoint, error);
    return result ? result : store_recover(job->savepoint, id, &job->restored, error);
}

enum weir_result weir_graph_restore_plan(struct weir_graph *graph,
                                         const struct weir_job_options *options,
                                         void (*line)(void *context, const char *text),
                                         void *context, struct weir_error *error)
{
    struct weir_error ours = {0};
    struct laying laying = {.line = line, .context = context};
    struct weir_job *job = &laying.job;
    enum weir_result result = job_take_options(options, &job->options, &ours);
    job->graph = graph;
    job->run.allocator = job->options.allocator;
    if (!result)
        result = weir_graph_check(graph, &ours);
    if (!result)
        result = open_checkpoint(&laying, &ours);
    if (!result)
        result = graph_describe(graph, job->options.parallelism, job->restored.graph.key_groups,
                                &job->description, &ours);
    if (!result)
        result = job_make_mapping(job, &job->description, &ours);
    if (!result) {
        say(&laying,
            "checkpoint %llu, laid onto this graph:", (unsigned long long)job->restored.id);
        result = lay(&laying, &ours);
        if (result == WEIR_MISMATCH)
            error_within(&ours, "checkpoint %llu does not fit this graph",
                         (unsigned long long)job->restored.id);
    }
    if (result == WEIR_NOT_FOUND && job->options.restore == WEIR_RESTORE_LATEST) {
        say(&laying, "no checkpoint to go on from: a first start");
        result = WEIR_OK;
    }
    mapping_free(&job->mapping);
    graph_release(graph, &job->description);
    if (job->restored.allocator || job->restored.tasks)
        manifest_free(&job->restored);
    store_close(&job->savepoint);
    if (result && error)
        *error = ours;
    return result;
}
