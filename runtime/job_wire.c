/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "job.h"
#include "memory.h"

static void name_inside(char *endpoint, size_t room, uint64_t run_number, const char *role,
                        uint32_t index)
{
    snprintf(endpoint, room, "inproc://weir-%016llx-%s-%u", (unsigned long long)run_number, role,
             index);
}

static enum weir_result open_inbox(struct weir_job *job, uint64_t run_number, const char *role,
                                   uint32_t index, bool network, struct inbox **inbox,
                                   struct weir_error *error)
{
    /* The run's number makes the name its own: a name of an earlier run never answers. */
    char inside[96], outside[96];
    name_inside(inside, sizeof inside, run_number, role, index);
    snprintf(outside, sizeof outside, "%s:*", job->options.endpoint);
    enum weir_result result = inbox_open(job->transport, network ? outside : inside, inbox, error);
    if (!result && network)
        result = inbox_open_inside(*inbox, inside, error);
    return result;
}

static enum weir_result connect(struct weir_job *job, const struct inbox *inbox, struct pipe **pipe,
                                struct weir_error *error)
{
    return pipe_open(job->transport, inbox_endpoint(inbox), pipe, error);
}

static enum weir_result open_pipes(struct weir_job *job, struct task *task, const bool *peers,
                                   uint32_t count, struct weir_error *error)
{
    task->pipes = memory_zeroed(job->run.allocator, count + 1, sizeof *task->pipes);
    task->pipe_tasks = memory_zeroed(job->run.allocator, count + 1, sizeof *task->pipe_tasks);
    if (!task->pipes || !task->pipe_tasks)
        return error_memory(error, "pipes", count * sizeof *task->pipes);
    enum weir_result result = WEIR_OK;
    for (uint32_t peer = 0; !result && peer < job->task_count; peer++) {
        if (!peers[peer])
            continue;
        task->pipe_tasks[task->pipe_count] = peer;
        result = connect(job, job->tasks[peer].inbox, &task->pipes[task->pipe_count], error);
        task->pipe_count += result == WEIR_OK;
    }
    if (!result)
        result = connect(job, job->coordinator.inbox, &task->coordinator, error);
    if (!result && job->store)
        result = connect(job, job->writer.inbox, &task->writer, error);
    return result;
}

static void hand_out_pipes(const struct plan *plan, struct task *task)
{
    for (uint32_t c = 0; c < task->outlet.channel_count; c++) {
        struct outlet_channel *channel = &task->outlet.channels[c];
        channel->pipe = task_pipe(task, plan->channels[channel->channel].to_task);
    }
    for (uint32_t i = 0; i < task->gate.input_count; i++) {
        struct gate_input *input = &task->gate.inputs[i];
        input->credits = task_pipe(task, plan->channels[input->channel].from_task);
    }
}

static enum weir_result open_inboxes(struct weir_job *job, uint64_t run_number, bool network,
                                     struct weir_error *error)
{
    enum weir_result result =
        open_inbox(job, run_number, "coordinator", 0, false, &job->coordinator.inbox, error);
    if (!result && job->store)
        result = open_inbox(job, run_number, "writer", 0, false, &job->writer.inbox, error);
    for (uint32_t i = 0; !result && i < job->task_count; i++)
        result = open_inbox(job, run_number, "task", i, network, &job->tasks[i].inbox, error);
    return result;
}

/* By the way inside, so that no broken connection swallows a command. */
static enum weir_result connect_control(struct weir_job *job, uint64_t run_number,
                                        struct weir_error *error)
{
    enum weir_result result = connect(job, job->coordinator.inbox, &job->requests, error);
    if (!result && job->store)
        result = connect(job, job->coordinator.inbox, &job->writer.coordinator, error);
    if (!result && job->store)
        result = connect(job, job->writer.inbox, &job->coordinator.writer, error);
    job->coordinator.writer_gone = &job->writer.gone;
    job->coordinator.writer_pulse = &job->writer.pulse;
    job->coordinator.store = job->store;
    for (uint32_t i = 0; !result && i < job->task_count; i++) {
        job->coordinator.tasks[i].pulse = &job->tasks[i].pulse;
        char inside[96];
        name_inside(inside, sizeof inside, run_number, "task", i);
        result = pipe_open(job->transport, inside, &job->coordinator.tasks[i].pipe, error);
    }
    return result;
}

enum weir_result job_wire(struct weir_job *job, uint64_t run_number, struct weir_error *error)
{
    const struct plan *plan = &job->run.plan;
    bool *peers = memory_zeroed(job->run.allocator, plan->task_count, sizeof *peers);
    if (!peers)
        return error_memory(error, "the wiring", plan->task_count);
    struct transport_options options = {
        .zmq_context = job->options.zmq_context,
        .run = run_number,
        .network = strcmp(job->options.endpoint, "inproc") != 0,
        .sockets = plan->socket_count,
        .allocator = job->run.allocator,
    };
    enum weir_result result = transport_open(&options, &job->transport, error);
    if (!result)
        result = open_inboxes(job, run_number, options.network, error);
    for (uint32_t i = 0; !result && i < plan->task_count; i++) {
        uint32_t count = plan_mark_peers(plan, i, peers);
        result = open_pipes(job, &job->tasks[i], peers, count, error);
        if (!result)
            hand_out_pipes(plan, &job->tasks[i]);
    }
    if (!result)
        result = connect_control(job, run_number, error);
    memory_release(job->run.allocator, peers);
    return result;
}
