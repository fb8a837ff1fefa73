/* SPDX-License-Identifier: Apache-2.0
 *
 * Who waits for what, for people. Reads the tasks' pulses, which are atomics, and the coordinator's
 * view, whose lock no task ever takes: whatever stands still, this does not.
 */
#include <stdarg.h>
#include <stdio.h>

#include "clock.h"
#include "job.h"

/* One line, put together piece by piece; what does not fit is cut. */
struct line {
    char text[1000];
    size_t size;
};

static void add(struct line *line, const char *format, ...) WEIR_PRINTF(2, 3);
static void add(struct line *line, const char *format, ...)
{
    size_t room = sizeof line->text - line->size;
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(line->text + line->size, room, format, arguments);
    va_end(arguments);
    if (size > 0)
        line->size += (size_t)size < room ? (size_t)size : room - 1;
}

static void add_time(struct line *line, int64_t ns)
{
    if (ns < 1000000000)
        add(line, "%.1f ms", (double)ns / 1e6);
    else
        add(line, "%.1f s", (double)ns / 1e9);
}

static void add_task(const struct weir_job *job, struct line *line, uint32_t index)
{
    const struct plan *plan = &job->run.plan;
    const struct task *task = &job->tasks[index];
    add(line, "%s.%u", plan->graph->nodes[plan->chains[task->chain].head].name, task->subtask);
}

static const char *node_name(const struct plan *plan, const struct task *task, uint32_t place)
{
    if (place >= plan->chains[task->chain].length)
        place = 0;
    return plan->graph->nodes[plan_member(plan, task->chain, place)].name;
}

/* ------------------------------------------------------------------------- one task -- */

static void add_credit(const struct weir_job *job, struct line *line, uint32_t blocked)
{
    const struct plan *plan = &job->run.plan;
    if (!blocked || blocked > plan->channel_count)
        return;
    add(line, " from ");
    add_task(job, line, plan->channels[blocked - 1].to_task);
    add(line, " (channel %u)", blocked - 1);
}

static void add_call(struct line *line, const char *what, const char *call, const char *node)
{
    add(line, "%s", what);
    if (call)
        add(line, ", in %s of %s", call, node);
}

static void add_doing(const struct weir_job *job, struct line *line, const struct task *task)
{
    const struct task_pulse *pulse = &task->pulse;
    const char *call = pulse->call;
    const char *node = node_name(&job->run.plan, task, pulse->place);
    switch ((enum task_doing)pulse->doing) {
    case TASK_OPENING:
        add_call(line, "opens", call, node);
        break;
    case TASK_WAITING:
        add(line, "waits for input or a time");
        break;
    case TASK_BLOCKED:
        add(line, "its output waits for credit");
        add_credit(job, line, pulse->blocked);
        break;
    case TASK_HELD:
        add(line, "%s holds the input", node);
        break;
    case TASK_CALLING:
        add_call(line, "at work", call, node);
        break;
    case TASK_CUTTING:
        add_call(line, "saves itself", call, node);
        break;
    case TASK_ENDED:
        add(line, "has ended");
        break;
    case TASK_FAILED:
        add(line, "has failed");
        break;
    }
}

static void dump_task(const struct weir_job *job, struct line *line, const struct task *task,
                      int64_t now)
{
    const struct plan_chain *chain = &job->run.plan.chains[task->chain];
    const struct task_pulse *pulse = &task->pulse;
    int64_t since_ns = pulse->since_ns;
    uint64_t round = pulse->round;
    add(line, "task ");
    add_task(job, line, task->index);
    for (uint32_t place = 1; place < chain->length; place++)
        add(line, " > %s", node_name(&job->run.plan, task, place));
    if (pulse->thread)
        add(line, ", thread %d", pulse->thread);
    add(line, ": ");
    add_doing(job, line, task);
    if (since_ns) {
        add(line, " for ");
        add_time(line, now > since_ns ? now - since_ns : 0);
    }
    if (task->gate.input_count) /* set before start */
        add(line, "; took %llu records, at number %llu, %u items wait to be read",
            (unsigned long long)pulse->records_in, (unsigned long long)pulse->position,
            pulse->queued);
    else
        add(line, "; gave %llu records", (unsigned long long)pulse->records_emitted);
    add(line, ", %u to be sent", pulse->unsent);
    if (round)
        add(line, "; checkpoint %llu's marker stands at %u of %u inputs", (unsigned long long)round,
            pulse->reached, task->gate.input_count);
}

/* ------------------------------------------------------------------------ the whole -- */

static void add_missing(const struct weir_job *job, struct line *line, uint64_t round)
{
    uint32_t missing = 0, named = 0;
    for (uint32_t i = 0; i < job->task_count; i++)
        missing += job->coordinator.tasks[i].sealed != round;
    if (!missing) {
        add(line, "; all tasks have saved themselves, their parts are being written");
        return;
    }
    add(line, "; its marker is not yet past %u of %u tasks: ", missing, job->task_count);
    for (uint32_t i = 0; i < job->task_count; i++) {
        if (job->coordinator.tasks[i].sealed == round)
            continue;
        add(line, named++ ? ", " : "");
        add_task(job, line, i);
    }
}

/* Inside the view's monitor. */
static void dump_round(const struct weir_job *job, struct line *line, int64_t now)
{
    const struct view *view = &job->view;
    if (view->round) {
        add(line, "checkpoint %llu: since ", (unsigned long long)view->round);
        add_time(line, now - view->round_triggered_ns);
        if (view->round_phase == ROUND_CUTTING)
            add_missing(job, line, view->round);
        else
            add(line, view->round_phase == ROUND_CLAIMING ? "; the store makes room for it"
                                                          : "; being committed");
        return;
    }
    add(line, "no checkpoint is being taken");
    if (view->checkpoint) {
        add(line, "; the newest is %llu, of ", (unsigned long long)view->checkpoint);
        add_time(line, now - view->triggered_ns);
        add(line, " ago");
    }
    if (view->aborted_id > view->checkpoint)
        add(line, "; %llu came to nothing: %s", (unsigned long long)view->aborted_id,
            view->aborted_reason);
}

static void dump_job(const struct weir_job *job, struct line *line, int64_t now)
{
    static const char *const outcomes[] = {"running", "ended",  "had ended before",
                                           "stopped", "failed", "outcome unknown"};
    const struct view *view = &job->view;
    add(line, "job %s, epoch %u: %u tasks, %s", job->run.job_name, job->run.epoch, job->task_count,
        outcomes[view->outcome]);
    if (view->outcome == WEIR_OUTCOME_RUNNING && view->going_ns) {
        add(line, " for ");
        add_time(line, now - view->going_ns);
    }
    if (*view->error.text)
        add(line, ": %s", view->error.text);
}

void weir_job_dump(struct weir_job *job, void (*each)(void *context, const char *text),
                   void *context)
{
    struct line whole = {.size = 0}, round = {.size = 0};
    monitor_enter(job->view.monitor);
    int64_t now = clock_now_ns();
    dump_job(job, &whole, now);
    dump_round(job, &round, now);
    monitor_leave(job->view.monitor);
    each(context, whole.text); /* outside: it may ask the job for more */
    each(context, round.text);
    for (uint32_t i = 0; i < job->task_count; i++) {
        struct line line = {.size = 0};
        dump_task(job, &line, &job->tasks[i], now);
        each(context, line.text);
    }
}
