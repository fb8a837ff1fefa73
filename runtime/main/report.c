/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "duration.h"

enum { SECOND_NS = 1000000000 };

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

/* One write a line: lines of several threads or processes don't mix. */
static void print(const struct report *report, const char *text)
{
    char line[1000];

    snprintf(line, sizeof line, "%s: %s\n", report->name, text);
    fputs(line, stderr);
}

void report_say(struct report *report, const char *format, ...)
{
    char text[900];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    print(report, text);
}

/* --------------------------------------------------------------------------- thinned lines -- */

static void release(struct report *report, struct report_line *line)
{
    if (line->held == 1)
        report_say(report, "%s", line->text);
    else if (line->held > 1)
        report_say(report, "%s (and %" PRIu64 " before it)", line->text, line->held - 1);
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

    report->committed.held++;
    snprintf(report->committed.text, sizeof report->committed.text,
             "checkpoint %" PRIu64 ": took %s, %" PRIu64 " bytes", event->id,
             duration_print(event->duration_ns, duration), event->bytes);
    release_when_due(report, &report->committed, now_ns());
}

static void aborted(struct report *report, const struct weir_event *event)
{
    report->aborted.held++;
    snprintf(report->aborted.text, sizeof report->aborted.text,
             "checkpoint %" PRIu64 " came to nothing, the job goes on: %s", event->id, event->text);
    release_when_due(report, &report->aborted, now_ns());
}

void report_tick(struct report *report)
{
    int64_t now = now_ns();

    pthread_mutex_lock(&report->lock);
    release_when_due(report, &report->committed, now);
    release_when_due(report, &report->aborted, now);
    pthread_mutex_unlock(&report->lock);
}

/* --------------------------------------------------------------------------------- hooks -- */

static void started(struct report *report, uint64_t id)
{
    const struct weir_job_options *job = report->job;
    char interval[DURATION_TEXT] = "1.0 s";

    report->restored_from = id;
    if (job->store == NULL) {
        report_say(report, "started without --store: no checkpoints, a crash starts over");
        return;
    }
    if (job->interval_ns > 0)
        duration_print(job->interval_ns, interval);
    if (id > 0)
        report_say(report, "restored from checkpoint %" PRIu64 " of %s", id, job->store);
    else
        report_say(report, "first start on %s", job->store);
    if (job->interval_ns < 0)
        report_say(report, "checkpoints only at the end and when stopped");
    else
        report_say(report, "a checkpoint every %s", interval);
}

static void on_event(void *context, const struct weir_event *event)
{
    struct report *report = context;

    pthread_mutex_lock(&report->lock);
    switch (event->kind) {
    case WEIR_EVENT_STARTED:
        started(report, event->id);
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
    static const char *const names[] = {"error: ", "warning: ", ""};
    struct report *report = context;

    if (level > WEIR_LOG_INFO)
        return;
    pthread_mutex_lock(&report->lock);
    report_say(report, "%s%s", names[level], text);
    pthread_mutex_unlock(&report->lock);
}

void report_begin(struct report *report, const char *name, struct weir_job_options *job)
{
    memset(report, 0, sizeof *report);
    pthread_mutex_init(&report->lock, NULL);
    report->name = name;
    report->job = job;
    report->began_ns = now_ns();
    report->committed.printed_ns = report->began_ns - SECOND_NS;
    report->aborted.printed_ns = report->began_ns - SECOND_NS;
    job->log = on_log;
    job->log_context = report;
    job->event = on_event;
    job->event_context = report;
}

/* ------------------------------------------------------------------------------- the end -- */

static void say_stopped(struct report *report, const struct weir_status *status)
{
    uint64_t id = status->checkpoint > 0 ? status->checkpoint : report->restored_from;

    if (report->job->store == NULL)
        report_say(report, "stopped on request; without --store the next start begins anew");
    else if (id == 0)
        report_say(report, "stopped on request, before the first checkpoint: the next start "
                           "begins anew");
    else
        report_say(report, "stopped on request; the same command goes on from checkpoint %" PRIu64,
                   id);
}

static void say_outcome(struct report *report, enum weir_outcome outcome,
                        const struct weir_status *status, const struct weir_error *error)
{
    switch (outcome) {
    case WEIR_OUTCOME_ENDED:
        report_say(report, "ended: all input is processed, all output is published");
        break;
    case WEIR_OUTCOME_ALREADY_ENDED:
        report_say(report, "this job has already ended, there is nothing left to do; for another "
                           "run name another --store");
        break;
    case WEIR_OUTCOME_STOPPED:
        say_stopped(report, status);
        break;
    case WEIR_OUTCOME_UNKNOWN:
        report_say(report,
                   "the disk failed while a checkpoint was committed (%s); whether it counts, the "
                   "next start finds out: run the same command again",
                   error->text);
        break;
    case WEIR_OUTCOME_FAILED:
    case WEIR_OUTCOME_RUNNING:
        report_say(report, "failed: %s", error->text);
        break;
    }
}

static void say_figures(struct report *report, const struct weir_status *status)
{
    char duration[DURATION_TEXT];

    report_say(report,
               "this run: %" PRIu64 " records from sources in %s, %" PRIu64
               " checkpoints committed, %" PRIu64 " came to nothing",
               status->records_emitted, duration_print(now_ns() - report->began_ns, duration),
               status->committed, status->aborted);
}

void report_end(struct report *report, enum weir_outcome outcome, const struct weir_status *status,
                const struct weir_error *error)
{
    release(report, &report->committed);
    release(report, &report->aborted);
    if (status != NULL && outcome != WEIR_OUTCOME_ALREADY_ENDED)
        say_figures(report, status);
    say_outcome(report, outcome, status, error);
    pthread_mutex_destroy(&report->lock);
}
