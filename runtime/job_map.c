/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether a checkpoint can be laid onto the graph, and how: asked before anything is changed.
 */
#include "error.h"
#include "job.h"
#include "losses.h"
#include "memory.h"

/* What a description does not say. The arrays are freed by free_traits. */
static struct mapping_traits *make_traits(const struct weir_graph *graph,
                                          const struct weir_allocator *allocator)
{
    uint32_t states = 0;
    for (uint32_t n = 0; n < graph->node_count; n++)
        states += graph->nodes[n].state_count;
    struct mapping_traits *traits = memory_zeroed(allocator, graph->node_count + 1, sizeof *traits);
    bool *migrates = memory_zeroed(allocator, states + 1, sizeof *migrates);
    if (!traits || !migrates) {
        memory_release(allocator, traits);
        memory_release(allocator, migrates);
        return NULL;
    }
    traits[0].migrates = migrates;
    for (uint32_t n = 0; n < graph->node_count; n++) {
        const struct graph_node *node = &graph->nodes[n];
        traits[n].fixed = node->table->fixed;
        traits[n].migrates = migrates;
        for (uint32_t s = 0; s < node->state_count; s++)
            *migrates++ = node->states[s].migrate != NULL;
    }
    return traits;
}

static void free_traits(struct mapping_traits *traits, const struct weir_allocator *allocator)
{
    memory_release(allocator, (void *)(uintptr_t)traits[0].migrates);
    memory_release(allocator, traits);
}

static enum weir_result check_losses(struct weir_job *job, struct weir_error *error)
{
    struct losses losses;
    char text[LOSS_TEXT];
    bool allowed = job->options.allow_dropped_state;
    enum weir_result result = losses_find(job_restored_from(job), &job->restored, &job->mapping,
                                          job->run.allocator, &losses, error);
    if (result)
        return result;
    result = losses_check(&losses, allowed, error);
    for (uint32_t i = 0; (!result || losses.cut) && i < losses.count; i++)
        run_log(&job->run, WEIR_LOG_WARNING, "%s: %s", result ? "would be lost" : "dropped",
                loss_text(&losses, i, text));
    losses_free(&losses);
    return result;
}

enum weir_result job_make_mapping(struct weir_job *job, const struct manifest_graph *description,
                                  struct weir_error *error)
{
    const struct weir_allocator *allocator = job->run.allocator;
    struct mapping_traits *traits = make_traits(job->graph, allocator);
    if (!traits)
        return error_memory(error, "the mapping of a checkpoint", sizeof *traits);
    enum weir_result result =
        mapping_make(&job->restored.graph, description, traits, allocator, &job->mapping, error);
    free_traits(traits, allocator);
    return result;
}

enum weir_result job_map(struct weir_job *job, const struct manifest_graph *description,
                         struct weir_error *error)
{
    if (!job->run.restored_id)
        return WEIR_OK;
    struct weir_error trouble = {0};
    enum weir_result result = job_make_mapping(job, description, &trouble);
    if (!result)
        result = mapping_check(&job->mapping, &trouble);
    if (!result)
        result = check_losses(job, &trouble);
    if (!result)
        return WEIR_OK;
    if (result == WEIR_MISMATCH)
        error_within(&trouble, "checkpoint %llu does not fit this graph",
                     (unsigned long long)job->run.restored_id);
    if (error)
        *error = trouble;
    return result;
}
