/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "duration.h"

enum { SECOND_NS = 1000000000, TEXT_ROOM = 1200 };

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

/* ------------------------------------------------------------------------ under the lock -- */

/* One write a line: lines of several threads or processes don't mix. */
static void print(const struct report *report, enum weir_level level, const char *text)
{
    char line[TEXT_ROOM + 100];

    if (level > report->options->log_level)
        return;
    snprintf(line, sizeof line, "%s: %s\n", report->name, text);
    fputs(line, stderr);
}

static void say(const struct report *report, enum weir_level level, const char *format, ...)
    WEIR_PRINTF(3, 4);
static void say(const struct report *report, enum weir_level level, const char *format, ...)
{
    char text[TEXT_ROOM];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    print(report, level, text);
}

static void release(struct report *report, struct report_line *line)
{
    enum weir_level level = line == &report->aborted ? WEIR_LOG_WARNING : WEIR_LOG_INFO;

    if (line->held == 1)
        say(report, level, "%s", line->text);
    else if (line->held > 1)
        say(report, level, "%s (and %" PRIu64 " before it)", line->text, line->held - 1);
    line->held = 0;
}

static void release_when_due(struct report *report, struct report_line *line, int64_t now)
{
    if (line->held == 0 || now - line->printed_ns < SECOND_NS)
        return;
    release(report, line);
    line->printed_ns = now;
}

static void committed(struct report *report, const struct weir_event *event)
{
    char duration[DURATION_TEXT];
    int64_t now = now_ns();

    report->newest = event->id;
    report->newest_ns = now - event->duration_ns;
    report->committed.held++;
    snprintf(report->committed.text, sizeof report->committed.text,
             "checkpoint %" PRIu64 ": took %s, %" PRIu64 " bytes", event->id,
             duration_print(event->duration_ns, duration), event->bytes);
    release_when_due(report, &report->committed, now);
}

static void aborted(struct report *report, const struct weir_event *event)
{
    report->aborted.held++;
    snprintf(report->aborted.text, sizeof report->aborted.text,
             "checkpoint %" PRIu64 " came to nothing, the job goes on: %s", event->id, event->text);
    release_when_due(report, &report->aborted, now_ns());
}

static void say_interval(struct report *report)
{
    int64_t interval_ns = report->options->job.interval_ns;
    char interval[DURATION_TEXT] = "1.0 s";

    if (interval_ns > 0)
        duration_print(interval_ns, interval);
    if (interval_ns < 0)
        say(report, WEIR_LOG_INFO, "checkpoints only at the end and when stopped");
    else
        say(report, WEIR_LOG_INFO, "a checkpoint every %s", interval);
}

static void say_recovered(struct report *report, const struct weir_event *event, int64_t gap_ns)
{
    char gap[DURATION_TEXT], start[DURATION_TEXT];

    say(report, WEIR_LOG_INFO,
        "runs again %s after the failure: the start took %s and read %" PRIu64 " bytes",
        duration_print(gap_ns, gap), duration_print(event->duration_ns, start), event->bytes);
}

static void started(struct report *report, const struct weir_event *event)
{
    const char *store = report->options->job.store;

    report->restored_from = event->id;
    if (store == NULL)
        say(report, WEIR_LOG_INFO, "started without --store: no checkpoints, a crash starts over");
    else if (event->id > 0)
        say(report, WEIR_LOG_INFO, "restored from checkpoint %" PRIu64 " of %s", event->id, store);
    else
        say(report, WEIR_LOG_INFO, "%s on %s",
            report->failed_ns > 0 ? "no checkpoint yet: started anew" : "first start", store);
    if (report->failed_ns > 0)
        say_recovered(report, event, now_ns() - report->failed_ns);
    else if (store != NULL)
        say_interval(report);
    report->started = true;
    report->failed_ns = 0;
    report->told = false;
}

/* -------------------------------------------------------------------------- from the job -- */

static void on_event(void *context, const struct weir_event *event)
{
    struct report *report = context;

    pthread_mutex_lock(&report->lock);
    switch (event->kind) {
    case WEIR_EVENT_STARTED:
        started(report, event);
        break;
    case WEIR_EVENT_COMMITTED:
        committed(report, event);
        break;
    case WEIR_EVENT_ABORTED:
        aborted(report, event);
        break;
    case WEIR_EVENT_ENDED: /* report_end says it, and knows more */
        break;
    }
    pthread_mutex_unlock(&report->lock);
}

static void on_log(void *context, enum weir_level level, const char *text)
{
    static const char *const marks[] = {"error: ", "warning: ", "", "debug: "};
    struct report *report = context;

    pthread_mutex_lock(&report->lock);
    say(report, level, "%s%s", marks[level], text);
    pthread_mutex_unlock(&report->lock);
}

/* ---------------------------------------------------------------------- from the program -- */

void report_begin(struct report *report, const char *name, const struct options *options,
                  struct weir_job_options *job, int parent)
{
    memset(report, 0, sizeof *report);
    pthread_mutex_init(&report->lock, NULL);
    report->name = name;
    report->options = options;
    report->parent = parent;
    report->began_ns = now_ns();
    report->committed.printed_ns = report->began_ns - SECOND_NS;
    report->aborted.printed_ns = report->began_ns - SECOND_NS;
    job->log = on_log;
    job->log_context = report;
    job->event = on_event;
    job->event_context = report;
}

void report_resume(struct report *report, int64_t failed_ns, uint32_t restarts)
{
    report->failed_ns = failed_ns;
    report->restarts = restarts;
}

void report_say(struct report *report, enum weir_level level, const char *format, ...)
{
    char text[TEXT_ROOM];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&report->lock);
    print(report, level, text);
    pthread_mutex_unlock(&report->lock);
}

void report_tick(struct report *report, const struct weir_status *status)
{
    int64_t now = now_ns();

    (void)status;
    pthread_mutex_lock(&report->lock);
    release_when_due(report, &report->committed, now);
    release_when_due(report, &report->aborted, now);
    pthread_mutex_unlock(&report->lock);
}

void report_stopping(struct report *report, enum weir_stop how, const char *who)
{
    static const char *const says[] = {
        "stopping after one last checkpoint; a second signal stops at once",
        "ending the input here: what there is is processed and published", "stopping at once"};

    report_say(report, WEIR_LOG_INFO, "%s: %s", who, says[how]);
}

/* Where an operator stood, as the end of a sentence. */
static void where_text(const struct weir_failure *where, char *text, size_t room)
{
    text[0] = '\0';
    if (where == NULL)
        return;
    int used = snprintf(text, room, ", in %s, subtask %" PRIu32 ", %s", where->node, where->subtask,
                        where->doing != NULL ? where->doing : "");
    if (used < 0 || (size_t)used >= room || where->position == 0)
        return;
    if (where->count > 1)
        snprintf(text + used, room - (size_t)used,
                 ", at one of the %" PRIu64 " records from %" PRIu64, where->count,
                 where->position);
    else
        snprintf(text + used, room - (size_t)used, ", at record %" PRIu64 ": %s", where->position,
                 where->preview);
}

/* What comes after a failure, as a sentence. */
static void next_text(uint32_t consecutive, uint32_t allowed, int64_t delay_ns, char *text,
                      size_t room)
{
    char delay[DURATION_TEXT];

    if (delay_ns >= 0)
        snprintf(text, room,
                 "starting again in %s (restart %" PRIu32 " of at most %" PRIu32 " in a row)",
                 duration_print(delay_ns, delay), consecutive, allowed);
    else if (allowed > 0 && consecutive > allowed)
        snprintf(text, room, "giving up after %" PRIu32 " restarts in a row", allowed);
    else
        snprintf(text, room, "not starting again");
}

static void restart_follows(struct report *report, int64_t delay_ns)
{
    report->failed_ns = now_ns();
    report->told = true;
    report->restarts += delay_ns >= 0;
}

void report_failed(struct report *report, const struct weir_error *error,
                   const struct weir_failure *failure, uint32_t consecutive, uint32_t allowed,
                   int64_t delay_ns)
{
    char where[500], next[200];

    where_text(failure, where, sizeof where);
    next_text(consecutive, allowed, delay_ns, next, sizeof next);
    pthread_mutex_lock(&report->lock);
    restart_follows(report, delay_ns);
    say(report, WEIR_LOG_ERROR, "failed: %s%s", error->text, where);
    say(report, WEIR_LOG_ERROR, "%s", next);
    pthread_mutex_unlock(&report->lock);
}

void report_died(struct report *report, int child, int signal, int code,
                 const struct weir_failure *where, const char *trace, uint32_t consecutive,
                 uint32_t allowed, int64_t delay_ns)
{
    char at[500], next[200], how[80];

    where_text(where, at, sizeof at);
    next_text(consecutive, allowed, delay_ns, next, sizeof next);
    snprintf(how, sizeof how, signal != 0 ? "died of signal %d (SIG%s)" : "exited with code %d",
             signal != 0 ? signal : code, signal != 0 ? sigabbrev_np(signal) : "");
    pthread_mutex_lock(&report->lock);
    restart_follows(report, delay_ns);
    say(report, WEIR_LOG_ERROR, "process %d %s%s", child, how, at);
    for (const char *line = trace; *line != '\0';) {
        size_t size = strcspn(line, "\n");
        say(report, WEIR_LOG_ERROR, "  %.*s", (int)size, line);
        line += size + (line[size] == '\n');
    }
    say(report, WEIR_LOG_ERROR, "%s", next);
    pthread_mutex_unlock(&report->lock);
}

void report_poisoned(struct report *report, const struct weir_poison *poison,
                     const struct weir_failure *failure, bool skipped)
{
    report_say(report, WEIR_LOG_WARNING,
               "record %" PRIu64 " of %s, subtask %" PRIu32 ", has failed %" PRIu32
               " times (%s): %s",
               failure->position, poison->node, poison->subtask, report->options->poison_after,
               failure->preview,
               skipped ? "it becomes a dead letter"
                       : "with --dead-letters DIR it would be put aside, and the job could go on");
}

/* ------------------------------------------------------------------------------- the end -- */

static void say_stopped(struct report *report, const struct weir_status *status)
{
    uint64_t id = status->checkpoint > 0 ? status->checkpoint : report->restored_from;

    if (report->options->job.store == NULL)
        say(report, WEIR_LOG_INFO,
            "stopped on request; without --store the next start begins anew");
    else if (id == 0)
        say(report, WEIR_LOG_INFO,
            "stopped on request, before the first checkpoint: the next start begins anew");
    else
        say(report, WEIR_LOG_INFO,
            "stopped on request; the same command goes on from checkpoint %" PRIu64, id);
}

static void say_outcome(struct report *report, enum weir_outcome outcome,
                        const struct weir_status *status, const struct weir_error *error)
{
    switch (outcome) {
    case WEIR_OUTCOME_ENDED:
        say(report, WEIR_LOG_INFO, "ended: all input is processed, all output is published");
        break;
    case WEIR_OUTCOME_ALREADY_ENDED:
        say(report, WEIR_LOG_INFO,
            "this job has already ended, there is nothing left to do; for another run name "
            "another --store");
        break;
    case WEIR_OUTCOME_STOPPED:
        say_stopped(report, status);
        break;
    case WEIR_OUTCOME_UNKNOWN:
        say(report, WEIR_LOG_ERROR,
            "the disk failed while a checkpoint was committed (%s); whether it counts, the next "
            "start finds out: run the same command again",
            error->text);
        break;
    case WEIR_OUTCOME_FAILED:
    case WEIR_OUTCOME_RUNNING:
        if (!report->told)
            say(report, WEIR_LOG_ERROR, "%s%s", report->started ? "failed: " : "", error->text);
        break;
    }
}

static void say_figures(struct report *report, const struct weir_status *status)
{
    char duration[DURATION_TEXT];

    say(report, WEIR_LOG_INFO,
        "this run: %" PRIu64 " records from sources in %s, %" PRIu64
        " checkpoints committed, %" PRIu64 " came to nothing",
        status->records_emitted, duration_print(now_ns() - report->began_ns, duration),
        status->committed, status->aborted);
}

void report_end(struct report *report, enum weir_outcome outcome, const struct weir_status *status,
                const struct weir_error *error)
{
    pthread_mutex_lock(&report->lock);
    release(report, &report->committed);
    release(report, &report->aborted);
    if (status != NULL && outcome != WEIR_OUTCOME_ALREADY_ENDED)
        say_figures(report, status);
    say_outcome(report, outcome, status, error);
    pthread_mutex_unlock(&report->lock);
    pthread_mutex_destroy(&report->lock);
}
