/* SPDX-License-Identifier: Apache-2.0 */
#include "attempts.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control.h"
#include "exit_code.h"
#include "judge.h"
#include "savepoints.h"
#include "watchdog.h"

/* How late a signal or a held-back line may be noticed: nobody sees a tenth of a second. */
#define TICK_NS ((int64_t)100 * 1000 * 1000)

enum urgency { NOT_STOPPING, SUSPENDING, STOPPING_NOW };

struct attempts {
    struct weir_graph *graph;
    struct options *options;
    struct report *report;
    struct slate *slate;
    struct signals *signals;
    struct slate_memory memory; /* the slate's, as it is known here */
    struct control *control;    /* NULL: none just now */
    struct savepoints savepoints;
    struct watchdog watchdog;
    struct weir_poison poison[SUSPECTS_MOST];
    void (*event)(void *context, const struct weir_event *event); /* the report's hook */
    void *event_context;
    enum urgency urgency;
    int64_t stop_deadline_ns; /* for SUSPENDING */
    int checkpoints, dumps;   /* signals heeded */
};

/* How an attempt ended. */
struct end {
    enum weir_outcome outcome;
    bool refused; /* by weir_job_start */
    struct weir_error error;
    struct weir_status status; /* zero when the job can't be asked */
    bool located;              /* an operator's callback failed: */
    struct weir_failure failure;
};

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* --------------------------------------------------------------------------------- asking -- */

static void suspend(struct attempts *attempts)
{
    attempts->urgency = SUSPENDING;
    attempts->stop_deadline_ns = now_ns() + attempts->options->stop_deadline_ns;
}

static void drain(struct attempts *attempts)
{
    attempts->memory.draining = 1;
    slate_keep(attempts->slate, &attempts->memory); /* A3 */
}

static void ask_stop(struct attempts *attempts, struct weir_job *job, enum weir_stop how,
                     const char *who)
{
    struct weir_error error = {0};

    report_stopping(attempts->report, how, who, NULL);
    if (how == WEIR_STOP_NOW)
        attempts->urgency = STOPPING_NOW;
    else if (how == WEIR_STOP_SUSPEND)
        suspend(attempts);
    else
        drain(attempts);
    if (job != NULL && weir_job_stop(job, how, &error) != WEIR_OK)
        report_say(attempts->report, WEIR_LOG_ERROR, "can't stop: %s", error.text);
}

/* A6. What was meant to stop otherwise, or twice, is told so by its answer. */
static void heed_savepoint(struct attempts *attempts, struct weir_job *job)
{
    struct weir_error error = {0};
    enum weir_stop how;
    char *path = savepoints_next_stop(&attempts->savepoints, &how);

    if (path == NULL)
        return;
    if (attempts->urgency != NOT_STOPPING) {
        savepoints_refuse(&attempts->savepoints, path, "the program is stopping already");
        free(path);
        return;
    }
    report_stopping(attempts->report, how, "control", path);
    if (how == WEIR_STOP_DRAIN)
        drain(attempts);
    if (weir_job_stop_at(job, how, path, &error) != WEIR_OK)
        savepoints_refuse(&attempts->savepoints, path, error.text);
    free(path);
}

/* How it went: it stops the job, or leaves that to a stop that was asked for besides. */
static void heed_saved(struct attempts *attempts, struct weir_job *job)
{
    struct weir_error error = {0};

    if (savepoints_kept(&attempts->savepoints) && attempts->urgency == NOT_STOPPING)
        suspend(attempts);
    if (savepoints_failed(&attempts->savepoints) && attempts->urgency == SUSPENDING &&
        job != NULL && weir_job_stop(job, WEIR_STOP_SUSPEND, &error) != WEIR_OK)
        report_say(attempts->report, WEIR_LOG_ERROR, "can't stop: %s", error.text);
}

/* The first signal asks for a last checkpoint, the second does not wait for it. */
static void heed_stops(struct attempts *attempts, struct weir_job *job)
{
    int stops = signals_stops();
    uint32_t asked = atomic_load(&attempts->slate->stops); /* A5 */

    heed_saved(attempts, job); /* after `asked` was read: what is kept stands there as well */
    if (stops > 0 && attempts->urgency == NOT_STOPPING)
        ask_stop(attempts, job, WEIR_STOP_SUSPEND, signals_last_stop());
    if (stops > 1 && attempts->urgency < STOPPING_NOW)
        ask_stop(attempts, job, WEIR_STOP_NOW, signals_last_stop());
    if ((asked & 1u << WEIR_STOP_NOW) != 0 && attempts->urgency < STOPPING_NOW)
        ask_stop(attempts, job, WEIR_STOP_NOW, "control");
    else if ((asked & 1u << WEIR_STOP_SUSPEND) != 0 && attempts->urgency == NOT_STOPPING)
        ask_stop(attempts, job, WEIR_STOP_SUSPEND, "control");
    else if ((asked & 1u << WEIR_STOP_DRAIN) != 0 && attempts->urgency == NOT_STOPPING &&
             !attempts->memory.draining)
        ask_stop(attempts, job, WEIR_STOP_DRAIN, "control");
    if (attempts->urgency == SUSPENDING && now_ns() >= attempts->stop_deadline_ns)
        ask_stop(attempts, job, WEIR_STOP_NOW, "--stop-deadline");
}

static void print_line(void *context, const char *text)
{
    report_dump(context, text);
}

static void heed_questions(struct attempts *attempts, struct weir_job *job)
{
    struct weir_error error = {0};

    if (attempts->checkpoints < signals_checkpoints()) {
        attempts->checkpoints = signals_checkpoints();
        if (attempts->options->job.no_publish)
            report_say(attempts->report, WEIR_LOG_WARNING,
                       "SIGUSR1: no checkpoint: none is taken with --no-publish");
        else if (attempts->options->job.store == NULL)
            report_say(attempts->report, WEIR_LOG_WARNING,
                       "SIGUSR1: no checkpoint: it needs --store DIR");
        else if (weir_job_checkpoint(job, &error) != WEIR_OK)
            report_say(attempts->report, WEIR_LOG_WARNING, "SIGUSR1: no checkpoint: %s",
                       error.text);
    }
    if (attempts->dumps < signals_dumps()) {
        attempts->dumps = signals_dumps();
        weir_job_dump(job, print_line, attempts->report);
    }
}

static void feel_pulse(struct attempts *attempts, struct weir_job *job)
{
    struct weir_status status = {WEIR_SIZED(struct weir_status)};

    weir_job_status(job, &status);
    report_tick(attempts->report, &status);
    atomic_store(&attempts->slate->records_in, status.records_in);
    atomic_store(&attempts->slate->checkpoint,
                 status.checkpoint > 0 ? status.checkpoint : status.restored_from);
    atomic_store(&attempts->slate->seen_ns, now_ns());
}

/* Until the job is over, or can't be waited for: then the outcome stays RUNNING. */
static enum weir_outcome attend(struct attempts *attempts, struct weir_job *job,
                                struct weir_error *error)
{
    enum weir_outcome outcome = WEIR_OUTCOME_RUNNING;

    do {
        heed_stops(attempts, job);
        heed_savepoint(attempts, job);
        heed_questions(attempts, job);
        feel_pulse(attempts, job);
    } while (weir_job_wait(job, TICK_NS, &outcome, error) == WEIR_TIMEOUT);
    return outcome;
}

/* ----------------------------------------------------------------------------- one attempt -- */

/* A thread of the job's: commits count at once, for the process may die of what comes next. */
static void on_event(void *context, const struct weir_event *event)
{
    struct attempts *attempts = context;

    if (event->kind == WEIR_EVENT_COMMITTED)
        atomic_fetch_add(&attempts->slate->commits, 1);
    if (event->kind == WEIR_EVENT_COMMITTED || event->kind == WEIR_EVENT_STARTED)
        atomic_store(&attempts->slate->known, event->id);
    if ((event->kind == WEIR_EVENT_SAVED || event->kind == WEIR_EVENT_UNSAVED) &&
        savepoints_told(&attempts->savepoints, event))
        atomic_fetch_or(&attempts->slate->stops, 1u << WEIR_STOP_SUSPEND); /* A6 */
    if (event->kind == WEIR_EVENT_HUNG || event->kind == WEIR_EVENT_RETURNED)
        watchdog_note(&attempts->watchdog, event);
    attempts->event(attempts->event_context, event);
}

static void prepare(struct attempts *attempts)
{
    struct weir_job_options *job = &attempts->options->job;

    if (atomic_load(&attempts->slate->commits) > 0) { /* A1 */
        job->restore = WEIR_RESTORE_LATEST;
        job->restore_id = 0;
        job->restore_path = NULL;
    }
    job->again = attempts->memory.ran && job->store != NULL; /* A7 */
    job->again_from = atomic_load(&attempts->slate->known);
    job->careful = suspects_careful(&attempts->memory.suspects);
    job->poison = attempts->poison;
    job->poison_count = job->dead_letters != NULL
                            ? suspects_poison(&attempts->memory.suspects, attempts->poison)
                            : 0;
}

static bool has_control(const struct attempts *attempts)
{
    const struct options *options = attempts->options;

    /* The socket is that of whoever has the store's lock. */
    return options->job.store != NULL && !options->no_control && !options->job.no_publish;
}

/* A job that nobody can ask is better than none. */
static void open_control(struct attempts *attempts, struct weir_job *job)
{
    struct weir_error error = {0};
    const struct control_asked asked = {&attempts->slate->stops, &attempts->savepoints};

    if (has_control(attempts) &&
        control_start(&attempts->control, job, attempts->report, &asked, &error) != WEIR_OK)
        report_say(attempts->report, WEIR_LOG_WARNING,
                   "status, checkpoint, savepoint, stop and dump will get no answer: %s",
                   error.text);
}

/* NULL: error filled. */
static struct weir_job *start(struct attempts *attempts, struct weir_error *error)
{
    struct weir_job **job = crash_job();

    prepare(attempts);
    savepoints_clear(&attempts->savepoints);
    signals_defer(attempts->signals); /* A2 */
    bool started = weir_job_start(attempts->graph, &attempts->options->job, job, error) == WEIR_OK;
    if (started)
        open_control(attempts, *job);
    signals_heed(attempts->signals);
    if (!started)
        return NULL;
    attempts->memory.ran = 1;
    slate_keep(attempts->slate, &attempts->memory);
    if (attempts->memory.draining && weir_job_stop(*job, WEIR_STOP_DRAIN, error) != WEIR_OK)
        report_say(attempts->report, WEIR_LOG_ERROR, "can't drain: %s", error->text);
    return *job;
}

static void attempt(struct attempts *attempts, struct end *end)
{
    memset(end, 0, sizeof *end);
    end->status.size = sizeof end->status;
    end->failure.size = sizeof end->failure;
    end->outcome = WEIR_OUTCOME_FAILED;
    struct weir_job *job = start(attempts, &end->error);
    end->refused = job == NULL;
    if (end->refused)
        return;
    end->outcome = attend(attempts, job, &end->error);
    if (end->outcome != WEIR_OUTCOME_UNKNOWN) { /* then only close is legal */
        weir_job_status(job, &end->status);
        end->located =
            end->outcome == WEIR_OUTCOME_FAILED && weir_job_failure(job, &end->failure) == WEIR_OK;
    }
    control_stop(&attempts->control); /* A4 */
    weir_job_close(crash_job());
}

/* ------------------------------------------------------------------------ after an attempt -- */

static bool is_failure(enum weir_outcome outcome)
{
    return outcome == WEIR_OUTCOME_FAILED || outcome == WEIR_OUTCOME_UNKNOWN ||
           outcome == WEIR_OUTCOME_RUNNING;
}

/* The time until the next attempt; negative: there is none. */
static int64_t judge_end(struct attempts *attempts, const struct end *end)
{
    const struct weir_failure *where = end->located ? &end->failure : NULL;
    bool first = !attempts->memory.ran;

    if (!is_failure(end->outcome) || (end->refused && first))
        return -1;
    struct verdict verdict =
        judge(&attempts->memory,
              &(struct failed){.where = where,
                               .cause = end->error.text,
                               .now_ns = now_ns(),
                               .commits = atomic_load(&attempts->slate->commits),
                               .hopeless = attempts->urgency != NOT_STOPPING ||
                                           !restart_may_help(&end->error, end->refused, first)});
    slate_keep(attempts->slate, &attempts->memory); /* A3 */
    report_failed(attempts->report, &end->error, where, verdict.consecutive,
                  attempts->memory.restart.allowed, verdict.delay_ns);
    if (verdict.named)
        report_poisoned(attempts->report, &verdict.poison, &verdict.record, verdict.left_out);
    return verdict.delay_ns;
}

/* False: a stop was asked for meanwhile. */
static bool wait_out(struct attempts *attempts, int64_t delay_ns)
{
    int64_t deadline_ns = now_ns() + delay_ns;

    for (;;) {
        heed_stops(attempts, NULL);
        if (attempts->urgency != NOT_STOPPING)
            return false;
        int64_t left_ns = deadline_ns - now_ns();
        if (left_ns <= 0)
            return true;
        if (left_ns > TICK_NS)
            left_ns = TICK_NS;
        nanosleep(&(struct timespec){.tv_nsec = (long)left_ns}, NULL); /* a signal ends it */
        report_tick(attempts->report, NULL);
    }
}

static void begin(struct attempts *attempts)
{
    struct weir_job_options *job = &attempts->options->job;

    savepoints_init(&attempts->savepoints);
    judge_begin(&attempts->memory, attempts->options);
    slate_recall(attempts->slate, &attempts->memory);
    attempts->event = job->event;
    attempts->event_context = job->event_context;
    job->event = on_event;
    job->event_context = attempts;
    if (has_control(attempts))
        control_prepare();
    watchdog_start(&attempts->watchdog, attempts->options, attempts->report, attempts->slate);
}

int attempts_make(struct weir_graph *graph, struct options *options, struct report *report,
                  struct slate *slate, struct signals *signals)
{
    struct attempts attempts = {
        .graph = graph, .options = options, .report = report, .slate = slate, .signals = signals};
    struct end end;
    int64_t delay_ns;

    begin(&attempts);
    do {
        attempt(&attempts, &end);
        delay_ns = judge_end(&attempts, &end);
        if (delay_ns >= 0 && !wait_out(&attempts, delay_ns)) {
            end.outcome = WEIR_OUTCOME_STOPPED;
            end.refused = false;
            delay_ns = -1;
        }
    } while (delay_ns >= 0);
    watchdog_stop(&attempts.watchdog);
    savepoints_free(&attempts.savepoints);
    bool known = end.outcome != WEIR_OUTCOME_UNKNOWN && !end.refused;
    report_end(report, end.outcome, known ? &end.status : NULL, &end.error);
    return end.refused ? exit_code_of_start(&end.error)
                       : exit_code_of_outcome(end.outcome, &end.error);
}
