/* SPDX-License-Identifier: Apache-2.0
 *
 * A task is made after the plan, opened and restored on its own thread, and taken apart.
 */
#include <stdio.h>

#include "clock.h"
#include "error.h"
#include "memory.h"
#include "task_inside.h"

#define SNAPSHOT_POOL_BYTES 65536

/* --------------------------------------------------------------------------- opening -- */

static enum weir_result load_channel(struct task *task, struct snapshot_section *section,
                                     struct weir_error *error)
{
    uint32_t edge = snapshot_get_u32(section), from = snapshot_get_u32(section);
    int64_t watermark = (int64_t)snapshot_get_u64(section);
    bool idle = snapshot_get_u32(section) != 0;
    uint32_t restores = snapshot_get_u32(section);
    if (!snapshot_done(section))
        return error_set(error, WEIR_DAMAGED, 0, "a channel's position is not well-formed");
    if (edge == TASK_OWN_WATERMARK)
        task->watermark = watermark;
    for (uint32_t i = 0; i < task->gate.input_count; i++) {
        struct gate_input *input = &task->gate.inputs[i];
        if (input->edge == edge && input->from_subtask == from && input->restores == restores) {
            input->watermark = watermark;
            input->idle = idle;
        }
    }
    return WEIR_OK;
}

static enum weir_result load_channels(struct task *task, struct weir_bytes part,
                                      struct weir_error *error)
{
    struct snapshot_reader reader = {part.data, part.size, false};
    struct snapshot_section section;
    enum weir_result result = WEIR_OK;
    while (!result && snapshot_next(&reader, &section))
        if (section.tag == SNAPSHOT_CHANNEL)
            result = load_channel(task, &section, error);
    return result;
}

static void open_operator(struct task *task, uint32_t place)
{
    struct weir_context *context = &task->operators[place];
    context->opened = true;
    if (context->table->open) {
        pulse_enter(&task->pulse, place, "open");
        enum weir_result result =
            context->table->open(context->self, context, context->node->config);
        if (result && !task->failed)
            weir_fail(context, result, "open answered %s", weir_result_name(result));
        task_end_call(task);
    }
    if (task->failed || !task->parts || !task->parts[place].data)
        return; /* a first start, of the job or of the node */
    task->idle_told = -1;
    struct weir_error error = {0};
    struct weir_bytes part = {task->parts[place].data, task->parts[place].size};
    enum weir_result result = place == 0 ? load_channels(task, part, &error) : WEIR_OK;
    if (!result)
        result = context_load(context, part, &task->logs[place], &error);
    if (result)
        task_fail(task, &error);
    blob_buffer_free(&task->parts[place], task->run->allocator);
    logs_free(&task->logs[place]);
}

void task_open(struct task *task)
{
    atomic_store_explicit(&task->pulse.thread, thread_number(), memory_order_relaxed);
    pulse_turn(&task->pulse, TASK_OPENING, clock_now_ns());
    for (uint32_t i = 0; i < task->operator_count && !task->failed; i++)
        open_operator(task, i);
    for (uint32_t i = 0; i < task->operator_count && !task->failed; i++) /* T3 */
        context_commit(&task->operators[i], UINT64_MAX);
    task->opened = true;
    atomic_store_explicit(&task->pulse.position, task->operators[0].taken, memory_order_relaxed);
    if (!task->failed)
        task_tell(task, MESSAGE_READY, 0, 0);
}

/* ----------------------------------------------------------------------- construction -- */

static bool add_target(struct weir_context *context, uint32_t output, struct context_target target)
{
    struct context_output *to = &context->outputs[output];
    const struct weir_allocator *allocator = context->run->allocator;
    struct context_target *more = memory_resize(allocator, to->targets, to->count * sizeof *more,
                                                (to->count + 1) * sizeof *more);
    if (!more)
        return false;
    to->targets = more;
    more[to->count++] = target;
    return true;
}

/* The channels of an edge that this subtask writes are consecutive: see struct plan. */
static uint32_t written(const struct plan *plan, uint32_t edge, uint32_t subtask, uint32_t *first)
{
    uint32_t writers = plan->nodes[plan->graph->edges[edge].from].parallelism;
    uint32_t count = (plan->edge_first[edge + 1] - plan->edge_first[edge]) / writers;
    *first = plan->edge_first[edge] + subtask * count;
    return count;
}

static bool wire_edge(struct task *task, uint32_t edge_index)
{
    const struct plan *plan = &task->run->plan;
    const struct graph_edge *edge = &plan->graph->edges[edge_index];
    struct weir_context *from = &task->operators[plan->nodes[edge->from].place];
    if (plan_direct(plan, edge_index)) {
        struct weir_context *to = &task->operators[plan->nodes[edge->to].place];
        return add_target(from, edge->output,
                          (struct context_target){.direct = to, .port = edge->input});
    }
    uint32_t first, count = written(plan, edge_index, task->subtask, &first);
    outlet_add_edge(&task->outlet, edge->routing, first, count);
    uint32_t loop = plan->nodes[edge->from].loop;
    outlet_mark_edge(&task->outlet, edge->feedback, loop && loop == plan->nodes[edge->to].loop);
    struct outlet_edge *way = &task->outlet.edges[task->outlet.edge_count - 1];
    return add_target(from, edge->output, (struct context_target){.edge = way});
}

/* An output with one lane behind it is written to without looking around. */
static void note_only_lanes(struct task *task)
{
    for (uint32_t i = 0; i < task->operator_count; i++) {
        struct weir_context *context = &task->operators[i];
        for (uint32_t o = 0; o < context->output_count; o++) {
            const struct context_target *target = context->outputs[o].targets;
            if (context->outputs[o].count == 1 && !target->direct &&
                target->edge->lane_count == 1 && !context->limited)
                context->outputs[o].only = &task->outlet.lanes[target->edge->first_lane];
        }
    }
}

static bool make_outlet(struct task *task)
{
    const struct plan *plan = &task->run->plan;
    uint32_t edges = 0, channels = 0;
    for (uint32_t e = 0; e < plan->graph->edge_count; e++) {
        if (plan->nodes[plan->graph->edges[e].from].chain != task->chain || plan_direct(plan, e))
            continue;
        uint32_t first;
        edges++;
        channels += written(plan, e, task->subtask, &first);
    }
    struct outlet_options options = {
        .allocator = task->run->allocator,
        .epoch = task->run->epoch,
        .batch_bytes = task->run->batch_bytes,
        .window_batches = task->run->window_batches,
        .window_bytes = task->run->window_bytes,
        .key_groups = task->run->key_groups,
    };
    if (!outlet_init(&task->outlet, &options, edges, channels, channels))
        return false;
    for (uint32_t e = 0; e < plan->graph->edge_count; e++)
        if (plan->nodes[plan->graph->edges[e].from].chain == task->chain && !wire_edge(task, e))
            return false;
    note_only_lanes(task);
    for (uint32_t c = 0; c < task->outlet.channel_count; c++)
        task->run->writer_slot[task->outlet.channels[c].channel] = c;
    return true;
}

static void make_input(struct task *task, uint32_t slot, uint32_t index)
{
    const struct plan *plan = &task->run->plan;
    const struct plan_channel *channel = &plan->channels[index];
    struct gate_input *input = &task->gate.inputs[slot];
    input->channel = index;
    input->edge = channel->edge;
    input->from_subtask = channel->from_subtask;
    input->port = plan->graph->edges[channel->edge].input;
    task->gate.aligned[slot].feedback = channel->feedback;
    task->gate.aligned[slot].aligned_only = channel->aligned_only;
    task->run->reader_slot[index] = slot;
    task->outside_count += !channel->loop || channel->loop != task->loop;
}

static bool make_gate(struct task *task)
{
    const struct run *run = task->run;
    const struct plan *plan = &run->plan;
    uint32_t count = 0, slot = 0;
    for (uint32_t c = 0; c < plan->channel_count; c++)
        count += plan->channels[c].to_task == task->index;
    struct gate_options options = {
        .allocator = run->allocator,
        .input_count = count,
        .window_batches = run->window_batches,
        .window_bytes = run->window_bytes,
        .epoch = run->epoch,
        .restored_id = run->restored_id,
        .eager = run->mode == WEIR_UNALIGNED,
        .content = &task->content,
        .scratch = run->scratch,
        .task = task->index,
    };
    if (!gate_init(&task->gate, &options))
        return false;
    for (uint32_t c = 0; c < plan->channel_count; c++)
        if (plan->channels[c].to_task == task->index)
            make_input(task, slot++, c);
    gate_align(&task->gate);
    return true;
}

static bool make_operators(struct task *task)
{
    const struct plan_chain *chain = &task->run->plan.chains[task->chain];
    task->operators = memory_zeroed(task->run->allocator, chain->length, sizeof *task->operators);
    for (uint32_t i = 0; task->operators && i < chain->length; i++) {
        task->operator_count = i + 1;
        if (!context_init(&task->operators[i], task, task->run,
                          plan_member(&task->run->plan, task->chain, i), task->subtask))
            return false;
    }
    return task->operators;
}

enum weir_result task_init(struct task *task, const struct run *run, uint32_t index,
                           struct weir_error *error)
{
    const struct plan *plan = &run->plan;
    *task = (struct task){
        .run = run, .index = index, .span_limit = 1, .mute = true, .careful = run->careful};
    task->watermark = task->forwarded = WEIR_NO_TIME;
    task->limit = WEIR_END_OF_TIME;
    while (index >= plan->chains[task->chain].first_task + plan->chains[task->chain].parallelism)
        task->chain++;
    task->subtask = index - plan->chains[task->chain].first_task;
    task->loop = plan->chains[task->chain].loop;
    task->content = (struct content){.allocator = run->allocator,
                                     .plan = plan,
                                     .recorded = run->recorded,
                                     .durable = run->durable};
    snprintf(task->name, sizeof task->name, "%.9s.%u",
             plan->graph->nodes[plan->chains[task->chain].head].name, task->subtask);
    task->snapshots = batch_pool_new(run->allocator, SNAPSHOT_POOL_BYTES, 2);
    if (!task->snapshots || !make_operators(task) || !make_outlet(task) || !make_gate(task))
        return error_memory(error, task->name, sizeof *task);
    return WEIR_OK;
}

void task_free(struct task *task)
{
    const struct weir_allocator *allocator = task->run->allocator;
    for (uint32_t i = 0; i < task->pipe_count; i++)
        pipe_close(&task->pipes[i]);
    pipe_close(&task->coordinator);
    pipe_close(&task->writer);
    if (task->inbox)
        inbox_close(&task->inbox);
    for (uint32_t i = 0; i < task->operator_count; i++) {
        if (task->parts)
            blob_buffer_free(&task->parts[i], allocator);
        if (task->logs)
            logs_free(&task->logs[i]);
        context_free(&task->operators[i]);
    }
    gate_free(&task->gate);
    outlet_free(&task->outlet);
    content_free(&task->content);
    memory_release(allocator, task->parts);
    memory_release(allocator, task->logs);
    memory_release(allocator, task->operators);
    memory_release(allocator, task->pipes);
    memory_release(allocator, task->pipe_tasks);
}

struct pipe *task_pipe(const struct task *task, uint32_t to)
{
    for (uint32_t i = 0; i < task->pipe_count; i++)
        if (task->pipe_tasks[i] == to)
            return task->pipes[i];
    return NULL;
}
