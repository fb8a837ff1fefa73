/* SPDX-License-Identifier: Apache-2.0
 *
 * How a checkpoint would be laid onto a graph, found out without starting anything.
 */
#include "error.h"
#include "handover.h"
#include "job.h"
#include "laying.h"
#include "memory.h"

/* A job that is never built; its `savepoint` is what is read. */
struct study {
    struct weir_job job;
    struct laying laying;
};

static enum weir_result open_checkpoint(struct study *study, struct weir_error *error)
{
    struct weir_job *job = &study->job;
    const struct weir_job_options *options = &job->options;
    bool path = options->restore == WEIR_RESTORE_PATH;
    uint64_t id = options->restore == WEIR_RESTORE_ID ? options->restore_id : 0;
    if (!options->store || options->restore == WEIR_RESTORE_NONE)
        return error_set(error, WEIR_INVALID, 0,
                         "there is no checkpoint to look at: give a store, and what to restore");
    enum weir_result result = store_view(path ? options->restore_path : options->store,
                                         options->allocator, &job->savepoint, error);
    if (!result) /* in the order in which a start would ask */
        result = job_check_groups(job, store_key_groups(job->savepoint), error);
    return result ? result : store_recover(job->savepoint, id, &job->restored, error);
}

/* What does not fit is kept, and the next thing is asked; all else ends it. */
static enum weir_result note(struct laying *laying, enum weir_result result,
                             const struct weir_error *why, struct weir_error *error)
{
    if (result == WEIR_MISMATCH)
        laying->refusals[laying->refusal_count++] = *why;
    else if (result)
        *error = *why;
    return result == WEIR_MISMATCH ? WEIR_OK : result;
}

/* Can the parts of nodes with another parallelism be shared out, and what was in flight? */
static enum weir_result try_all(struct study *study, struct weir_error *error)
{
    struct weir_job *job = &study->job;
    struct laying *laying = &study->laying;
    uint32_t count = job->graph->node_count;
    struct weir_error why = {0};
    enum weir_result result = WEIR_OK;
    laying->refusals = memory_zeroed(job->run.allocator, count + 1, sizeof *laying->refusals);
    if (!laying->refusals)
        return error_memory(error, "the mapping of a checkpoint", count * sizeof why);
    for (uint32_t n = 0; !result && n < count; n++)
        if (job->mapping.nodes[n].moved)
            result = note(laying, job_try_hand_over(job, n, &why), &why, error);
    return result ? result : note(laying, job_try_inflight(job, &why), &why, error);
}

/* In the order in which a start would ask. */
static enum weir_result judge(struct study *study, struct weir_error *why)
{
    struct laying *laying = &study->laying;
    enum weir_result result = mapping_check(laying->mapping, why);
    if (!result)
        result = losses_check(&laying->losses, laying->dropping, why);
    if (!result && laying->refusal_count) {
        *why = laying->refusals[0];
        result = WEIR_MISMATCH;
    }
    if (result)
        error_within(why, "checkpoint %llu does not fit this graph",
                     (unsigned long long)laying->checkpoint);
    laying->result = result;
    laying->why = why->text;
    return result;
}

/* WEIR_OK, WEIR_MISMATCH: it may be told. */
static enum weir_result look(struct study *study, struct weir_error *error)
{
    struct weir_job *job = &study->job;
    struct laying *laying = &study->laying;
    enum weir_result result =
        graph_describe(job->graph, job->options.parallelism, job->restored.graph.key_groups,
                       &job->description, error);
    if (!result)
        result = plan_make(job->graph, job->options.parallelism, &job->run.plan, error);
    if (!result)
        result = job_make_mapping(job, &job->description, error);
    if (!result)
        result = losses_find(job->savepoint, &job->restored, &job->mapping, job->run.allocator,
                             &laying->losses, error);
    if (!result && !job->mapping.problem_count)
        result = try_all(study, error);
    if (result)
        return result;
    laying->checkpoint = job->restored.id;
    laying->plan = &job->run.plan;
    laying->mapping = &job->mapping;
    laying->dropping = job->options.allow_dropped_state;
    return judge(study, error);
}

static void forget(struct study *study)
{
    struct weir_job *job = &study->job;
    memory_release(job->run.allocator, study->laying.refusals);
    losses_free(&study->laying.losses);
    mapping_free(&job->mapping);
    plan_free(&job->run.plan);
    graph_release(job->graph, &job->description);
    if (job->restored.allocator || job->restored.tasks)
        manifest_free(&job->restored);
    store_close(&job->savepoint);
}

enum weir_result weir_graph_restore_plan(struct weir_graph *graph,
                                         const struct weir_job_options *options,
                                         enum weir_plan_format format,
                                         void (*line)(void *context, const char *text),
                                         void *context, struct weir_error *error)
{
    struct weir_error ours = {0};
    struct study study = {.job = {.graph = graph}};
    struct weir_job *job = &study.job;
    bool list = format == WEIR_PLAN_JSON;
    if (format != WEIR_PLAN_TEXT && !list)
        return error_set(error, WEIR_INVALID, 0,
                         "how a checkpoint is laid onto a graph has no format %u",
                         (unsigned)format);
    enum weir_result result = job_take_options(options, &job->options, &ours);
    job->run.allocator = job->options.allocator;
    if (!result)
        result = weir_graph_check(graph, &ours);
    if (!result)
        result = open_checkpoint(&study, &ours);
    bool none = result == WEIR_NOT_FOUND && job->options.restore == WEIR_RESTORE_LATEST;
    if (none)
        result = WEIR_OK; /* a first start */
    else if (!result)
        result = look(&study, &ours);
    if (none || study.laying.checkpoint)
        (list ? laying_list : laying_tell)(&study.laying, line, context);
    forget(&study);
    if (result && error)
        *error = ours;
    return result;
}
