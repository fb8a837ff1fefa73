/* SPDX-License-Identifier: Apache-2.0
 *
 * Who waits for what, for people: the tasks' pulses in words (waits), and the coordinator's view,
 * whose lock no task ever takes.
 */
#include "clock.h"
#include "job.h"
#include "waits.h"

/* ------------------------------------------------------------------------- one task -- */

static void dump_task(const struct weir_job *job, struct words *line, const struct task *task,
                      int64_t now)
{
    const struct plan_chain *chain = &job->run.plan.chains[task->chain];
    const struct task_pulse *pulse = &task->pulse;
    int64_t since_ns = pulse->since_ns;
    uint64_t round = pulse->round;
    words_add(line, "task ");
    words_task(line, &job->run.plan, task->index);
    for (uint32_t place = 1; place < chain->length; place++)
        words_add(line, " > %s",
                  job->run.plan.graph->nodes[plan_member(&job->run.plan, task->chain, place)].name);
    if (pulse->thread)
        words_add(line, ", thread %d", pulse->thread);
    words_add(line, ": ");
    waits_doing(line, &job->run.plan, task->index, pulse);
    if (since_ns) {
        words_add(line, " for ");
        words_time(line, now > since_ns ? now - since_ns : 0);
    }
    if (task->gate.input_count) /* set before start */
        words_add(line, "; took %llu records, at number %llu, %u items wait to be read",
                  (unsigned long long)pulse->records_in, (unsigned long long)pulse->position,
                  pulse->queued);
    else
        words_add(line, "; gave %llu records", (unsigned long long)pulse->records_emitted);
    words_add(line, ", %u to be sent", pulse->unsent);
    if (round)
        words_add(line, "; checkpoint %llu's marker stands at %u of %u inputs",
                  (unsigned long long)round, pulse->reached, task->gate.input_count);
}

static void dump_writer(const struct weir_job *job, struct words *line, int64_t now)
{
    const struct writer_pulse *pulse = &job->writer.pulse;
    int64_t since_ns = pulse->since_ns;
    words_add(line, "writer");
    if (pulse->thread)
        words_add(line, ", thread %d", pulse->thread);
    words_add(line, ": ");
    waits_writer(line, &job->run.plan, pulse);
    if (since_ns) {
        words_add(line, " for ");
        words_time(line, now > since_ns ? now - since_ns : 0);
    }
}

/* ------------------------------------------------------------------------ the whole -- */

static void add_missing(const struct weir_job *job, struct words *line, uint64_t round)
{
    uint32_t missing = 0, named = 0;
    for (uint32_t i = 0; i < job->task_count; i++)
        missing += job->coordinator.tasks[i].sealed != round;
    if (!missing) {
        words_add(line, "; all tasks have saved themselves, their parts are being written");
        return;
    }
    words_add(line, "; its marker is not yet past %u of %u tasks: ", missing, job->task_count);
    for (uint32_t i = 0; i < job->task_count; i++) {
        if (job->coordinator.tasks[i].sealed == round)
            continue;
        words_add(line, named++ ? ", " : "");
        words_task(line, &job->run.plan, i);
    }
}

/* Inside the view's monitor. */
static void dump_round(const struct weir_job *job, struct words *line, int64_t now)
{
    const struct view *view = &job->view;
    if (view->round) {
        words_add(line, "checkpoint %llu: since ", (unsigned long long)view->round);
        words_time(line, now - view->round_triggered_ns);
        if (view->round_phase == ROUND_CUTTING)
            add_missing(job, line, view->round);
        else
            words_add(line, view->round_phase == ROUND_CLAIMING ? "; the store makes room for it"
                                                                : "; being committed");
        return;
    }
    words_add(line, "no checkpoint is being taken");
    if (view->checkpoint) {
        words_add(line, "; the newest is %llu, of ", (unsigned long long)view->checkpoint);
        words_time(line, now - view->triggered_ns);
        words_add(line, " ago");
    }
    if (view->aborted_id > view->checkpoint)
        words_add(line, "; %llu came to nothing: %s", (unsigned long long)view->aborted_id,
                  view->aborted_reason);
}

static void dump_job(const struct weir_job *job, struct words *line, int64_t now)
{
    static const char *const outcomes[] = {"running", "ended",  "had ended before",
                                           "stopped", "failed", "outcome unknown"};
    const struct view *view = &job->view;
    words_add(line, "job %s, epoch %u: %u tasks, %s", job->run.job_name, job->run.epoch,
              job->task_count, outcomes[view->outcome]);
    if (view->outcome == WEIR_OUTCOME_RUNNING && view->going_ns) {
        words_add(line, " for ");
        words_time(line, now - view->going_ns);
    }
    if (*view->error.text)
        words_add(line, ": %s", view->error.text);
}

void weir_job_dump(struct weir_job *job, void (*each)(void *context, const char *text),
                   void *context)
{
    struct words whole = {.size = 0}, round = {.size = 0};
    if (!run_is_here(&job->run))
        return;
    monitor_enter(job->view.monitor);
    int64_t now = clock_now_ns();
    dump_job(job, &whole, now);
    dump_round(job, &round, now);
    monitor_leave(job->view.monitor);
    each(context, whole.text); /* outside: it may ask the job for more */
    each(context, round.text);
    for (uint32_t i = 0; i < job->task_count; i++) {
        struct words line = {.size = 0};
        dump_task(job, &line, &job->tasks[i], now);
        each(context, line.text);
    }
    if (job->store) {
        struct words line = {.size = 0};
        dump_writer(job, &line, now);
        each(context, line.text);
    }
}
