/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "clock.h"
#include "error.h"
#include "job.h"
#include "memory.h"

#define KEY_GROUPS 128

static void warn(void *context, const char *text)
{
    run_log(context, WEIR_LOG_WARNING, "%s", text);
}

static void print_id(char hex[2 * STORE_ID_SIZE + 1], const unsigned char *id)
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < STORE_ID_SIZE; i++) {
        hex[2 * i] = digits[id[i] >> 4];
        hex[2 * i + 1] = digits[id[i] & 15];
    }
    hex[2 * STORE_ID_SIZE] = 0;
}

static enum weir_result find_checkpoint(struct weir_job *job, struct weir_error *error)
{
    if (job->options.restore == WEIR_RESTORE_NONE)
        return WEIR_OK;
    bool named = job->options.restore == WEIR_RESTORE_ID;
    uint64_t wanted = named ? job->options.restore_id : 0;
    struct weir_error trouble = {0};
    enum weir_result result = store_recover(job->store, wanted, &job->restored, &trouble);
    if (result == WEIR_NOT_FOUND && !named)
        return WEIR_OK; /* a first start */
    if (result) {
        if (error)
            *error = trouble;
        return result;
    }
    job->run.restored_id = job->restored.id;
    job->run.restored_final = job->restored.final;
    return WEIR_OK;
}

enum weir_result job_open_store(struct weir_job *job, struct weir_error *error)
{
    struct store_options options = {
        .path = job->options.store,
        .key_groups = KEY_GROUPS,
        .allocator = job->options.allocator,
        .warn = warn,
        .warn_context = &job->run,
    };
    int status = clock_random(options.new_id, sizeof options.new_id);
    if (status < 0)
        return error_os(error, -status, "no random numbers for a store's identity");
    enum weir_result result = store_open(&options, &job->store, error);
    if (result)
        return result;
    job->run.store = memory_text(job->run.allocator, options.path, strlen(options.path));
    if (!job->run.store)
        return error_memory(error, "the store's path", strlen(options.path));
    job->run.durable = true;
    job->run.epoch = store_epoch(job->store);
    job->run.key_groups = store_key_groups(job->store);
    print_id(job->run.store_id, store_id(job->store));
    return find_checkpoint(job, error);
}

static enum weir_result read_part(struct weir_job *job, uint32_t instance, struct weir_error *error)
{
    const struct plan *plan = &job->run.plan;
    const struct manifest_task *saved = &job->restored.tasks[instance];
    const struct plan_node *node = &plan->nodes[saved->node];
    struct task *task = &job->tasks[plan->chains[node->chain].first_task + saved->subtask];
    if (!task->parts)
        task->parts = memory_zeroed(job->run.allocator, task->operator_count, sizeof *task->parts);
    if (!task->parts)
        return error_memory(error, "restored parts", sizeof *task->parts);
    return store_read(job->store, &job->restored, instance, &task->parts[node->place], error);
}

static enum weir_result restore(struct weir_job *job, struct weir_error *error)
{
    enum weir_result result = manifest_compare(&job->restored.graph, &job->description, error);
    if (result)
        return error_within(error, "checkpoint %llu does not fit this graph",
                            (unsigned long long)job->run.restored_id);
    if (job->restored.task_count != job->run.plan.instance_count)
        return error_set(error, WEIR_MISMATCH, 0,
                         "checkpoint %llu holds %u parts, and this graph has %u subtasks",
                         (unsigned long long)job->run.restored_id, job->restored.task_count,
                         job->run.plan.instance_count);
    for (uint32_t i = 0; !result && i < job->restored.task_count; i++)
        result = read_part(job, i, error);
    if (result == WEIR_DAMAGED)
        result = store_explain(job->store, job->run.restored_id, error);
    return result;
}

enum weir_result job_read_parts(struct weir_job *job, struct weir_error *error)
{
    struct weir_error trouble = {0};
    enum weir_result result = WEIR_OK;
    if (job->run.restored_id)
        result = restore(job, &trouble);
    if (!result && job->store) /* after reading: what was found damaged is left as it is */
        result = store_sweep(job->store, &trouble);
    if (result && error)
        *error = trouble;
    return result;
}
