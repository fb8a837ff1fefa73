/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "events.h"
#include "lines.h"

enum { SECOND_NS = 1000000000, TEXT_ROOM = 1200 };

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

static bool as_json(const struct report *report)
{
    return report->options->json;
}

/* ---------------------------------------------------------------------------- from the job -- */

static void started(struct report *report, const struct weir_event *event)
{
    int64_t recovery_ns = report->failed_ns > 0 ? now_ns() - report->failed_ns : 0;

    report->restored_from = event->id;
    if (event->id != report->newest.id) /* committed by another process, who knows when */
        report->newest = (struct figures_checkpoint){.id = event->id};
    if (as_json(report))
        events_started(report, event, recovery_ns);
    else
        lines_started(report, event, recovery_ns);
    report->started = true;
    report->failed_ns = 0;
    report->told = false;
}

static void committed(struct report *report, const struct weir_event *event)
{
    int64_t now = now_ns();

    report->newest =
        (struct figures_checkpoint){.id = event->id,
                                    .bytes = event->bytes,
                                    .duration_ns = event->duration_ns,
                                    .flight_bytes = event->channel_bytes + event->outlet_bytes};
    report->newest_ns = now - event->duration_ns;
    if (as_json(report))
        events_committed(report, event);
    else if (!report->live.on) /* it shows the newest, and the end tells how many */
        lines_committed(report, event, now);
}

static void aborted(struct report *report, const struct weir_event *event)
{
    if (as_json(report))
        events_aborted(report, event);
    else
        lines_aborted(report, event, now_ns());
}

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
    case WEIR_EVENT_SAVED:
        (as_json(report) ? events_saved : lines_saved)(report, event);
        break;
    case WEIR_EVENT_UNSAVED:
        (as_json(report) ? events_unsaved : lines_unsaved)(report, event);
        break;
    case WEIR_EVENT_ENDED: /* report_end says it, and knows more */
    case WEIR_EVENT_HUNG:  /* the watchdog looks first */
    case WEIR_EVENT_RETURNED:
        break;
    }
    pthread_mutex_unlock(&report->lock);
}

static void on_log(void *context, enum weir_level level, const char *text)
{
    static const char *const marks[] = {"error: ", "warning: ", "", "debug: "};
    struct report *report = context;

    pthread_mutex_lock(&report->lock);
    if (as_json(report))
        events_log(report, level, text);
    else
        lines_say(report, level, "%s%s", marks[level], text);
    pthread_mutex_unlock(&report->lock);
}

/* ------------------------------------------------------------------------ from the program -- */

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
    live_begin(&report->live, STDERR_FILENO, !options->json && !options->quiet);
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
    if (as_json(report))
        events_log(report, level, text);
    else
        lines_say(report, level, "%s", text);
    pthread_mutex_unlock(&report->lock);
}

static void draw(struct report *report, const struct weir_status *status, int64_t now)
{
    char figures[300], text[400];

    report->newest.age_ns = now - report->newest_ns;
    figures_take(&report->figures, status, now);
    if (!live_due(&report->live, now))
        return;
    figures_print(&report->figures, status, &report->newest, report->restarts, now, figures,
                  sizeof figures);
    snprintf(text, sizeof text, "%s: %s", report->name, figures);
    live_draw(&report->live, now, text);
}

void report_dump(struct report *report, const char *text)
{
    pthread_mutex_lock(&report->lock);
    if (as_json(report))
        events_dump(report, text);
    else
        lines_say(report, WEIR_LOG_ERROR, "%s", text); /* no level hides it */
    pthread_mutex_unlock(&report->lock);
}

void report_tick(struct report *report, const struct weir_status *status)
{
    int64_t now = now_ns();

    pthread_mutex_lock(&report->lock);
    lines_release(report, now, false);
    if (status != NULL && status->outcome == WEIR_OUTCOME_RUNNING && report->live.on)
        draw(report, status, now);
    pthread_mutex_unlock(&report->lock);
}

void report_stopping(struct report *report, enum weir_stop how, const char *who,
                     const char *savepoint)
{
    pthread_mutex_lock(&report->lock);
    if (as_json(report))
        events_stopping(report, how, who, savepoint);
    else
        lines_stopping(report, how, who, savepoint);
    pthread_mutex_unlock(&report->lock);
}

/* For both kinds of failure, under the lock. */
static void failed(struct report *report, const struct report_retry *retry)
{
    report->failed_ns = now_ns();
    report->told = true;
    report->restarts += retry->delay_ns >= 0;
    live_hide(&report->live);
}

void report_failed(struct report *report, const struct weir_error *error,
                   const struct weir_failure *failure, uint32_t consecutive, uint32_t allowed,
                   int64_t delay_ns)
{
    const struct report_retry retry = {consecutive, allowed, delay_ns};

    pthread_mutex_lock(&report->lock);
    lines_release(report, 0, true);
    failed(report, &retry);
    if (as_json(report))
        events_failed(report, error, failure, &retry);
    else
        lines_failed(report, error, failure, &retry);
    pthread_mutex_unlock(&report->lock);
}

void report_died(struct report *report, int child, int signal, int code,
                 const struct weir_failure *where, const char *trace, uint32_t consecutive,
                 uint32_t allowed, int64_t delay_ns)
{
    const struct report_retry retry = {consecutive, allowed, delay_ns};

    pthread_mutex_lock(&report->lock);
    failed(report, &retry);
    live_take_over(&report->live);
    if (as_json(report))
        events_died(report, child, signal, code, where, trace, &retry);
    else
        lines_died(report, child, signal, code, where, trace, &retry);
    pthread_mutex_unlock(&report->lock);
}

void report_hung(struct report *report, const struct report_hang *hang)
{
    pthread_mutex_lock(&report->lock);
    (as_json(report) ? events_hung : lines_hung)(report, hang);
    pthread_mutex_unlock(&report->lock);
}

void report_returned(struct report *report, const struct weir_event *event)
{
    pthread_mutex_lock(&report->lock);
    (as_json(report) ? events_returned : lines_returned)(report, event);
    pthread_mutex_unlock(&report->lock);
}

void report_poisoned(struct report *report, const struct weir_poison *poison,
                     const struct weir_failure *failure, bool skipped)
{
    pthread_mutex_lock(&report->lock);
    if (as_json(report))
        events_poisoned(report, poison, failure, skipped);
    else
        lines_poisoned(report, poison, failure, skipped);
    pthread_mutex_unlock(&report->lock);
}

/* A start that was refused has not been told of yet. */
static void tell_failure(struct report *report, const struct weir_error *error)
{
    const struct report_retry none = {.consecutive = 1, .delay_ns = -1};

    if (as_json(report) && !report->told)
        events_failed(report, error, NULL, &none);
}

void report_end(struct report *report, enum weir_outcome outcome, const struct weir_status *status,
                const struct weir_error *error)
{
    pthread_mutex_lock(&report->lock);
    live_end(&report->live);
    lines_release(report, 0, true);
    if (outcome == WEIR_OUTCOME_FAILED)
        tell_failure(report, error);
    if (as_json(report))
        events_end(report, outcome, status, error, now_ns());
    else
        lines_end(report, outcome, status, error, now_ns());
    pthread_mutex_unlock(&report->lock);
    pthread_mutex_destroy(&report->lock);
}
