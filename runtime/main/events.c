/* SPDX-License-Identifier: Apache-2.0 */
#include "events.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "out.h"

/* "2026-01-31T12:34:56.789Z": RFC 3339. */
static void add_time(struct json *json)
{
    struct timespec now;
    struct tm parts;
    char seconds[40], text[48];

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text, sizeof text, "%s.%03dZ", seconds, (int)(now.tv_nsec / 1000000));
    json_text(json, "time", text);
}

static struct json *begin(struct report *report, const char *event)
{
    struct json *json = &report->json;

    json_begin(json);
    json_number(json, "weir", 1);
    json_text(json, "event", event);
    add_time(json);
    json_text(json, "program", report->name);
    json_signed(json, "pid", getpid());
    if (report->parent != 0)
        json_signed(json, "parent", report->parent);
    return json;
}

static void end(struct report *report)
{
    json_end(&report->json);
    out_write(STDOUT_FILENO, report->json.text, report->json.used);
}

void events_log(struct report *report, enum weir_level level, const char *text)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};

    if (level > report->options->log_level)
        return;
    struct json *json = begin(report, "log");
    json_text(json, "level", names[level]);
    json_text(json, "text", text);
    end(report);
}

/* ---------------------------------------------------------------------------- from the job -- */

void events_started(struct report *report, const struct weir_event *event, int64_t recovery_ns)
{
    struct json *json = begin(report, event->id > 0 ? "restored" : "start");

    if (report->options->job.store != NULL)
        json_text(json, "store", report->options->job.store);
    if (event->id > 0) {
        if (report->options->job.restore == WEIR_RESTORE_PATH)
            json_text(json, "savepoint", report->options->job.restore_path);
        json_number(json, "checkpoint", event->id);
        json_number(json, "bytes", event->bytes);
    }
    json_signed(json, "start_ns", event->duration_ns);
    json_number(json, "restarts", report->restarts);
    if (recovery_ns > 0)
        json_signed(json, "recovery_ns", recovery_ns);
    end(report);
}

void events_committed(struct report *report, const struct weir_event *event)
{
    struct json *json = begin(report, "committed");

    json_number(json, "checkpoint", event->id);
    json_signed(json, "duration_ns", event->duration_ns);
    json_signed(json, "align_ns", event->align_ns);
    json_signed(json, "cut_ns", event->cut_ns);
    json_signed(json, "cut_cpu_ns", event->cut_cpu_ns);
    json_signed(json, "write_ns", event->write_ns);
    json_number(json, "bytes", event->bytes);
    json_text(json, "why", event->text);
    json_number(json, "tasks", event->tasks);
    json_number(json, "overtook", event->overtook);
    json_number(json, "channel_bytes", event->channel_bytes);
    json_number(json, "outlet_bytes", event->outlet_bytes);
    if (event->last[0] != '\0')
        json_text(json, "last", event->last);
    end(report);
}

void events_aborted(struct report *report, const struct weir_event *event)
{
    struct json *json = begin(report, "aborted");

    json_number(json, "checkpoint", event->id);
    json_signed(json, "duration_ns", event->duration_ns);
    json_text(json, "error", event->text);
    end(report);
}

void events_saved(struct report *report, const struct weir_event *event)
{
    struct json *json = begin(report, "saved");

    json_number(json, "checkpoint", event->id);
    json_text(json, "savepoint", event->path);
    end(report);
}

void events_unsaved(struct report *report, const struct weir_event *event)
{
    struct json *json = begin(report, "unsaved");

    if (event->id > 0)
        json_number(json, "checkpoint", event->id);
    json_text(json, "savepoint", event->path);
    json_text(json, "error", event->text);
    end(report);
}

/* ------------------------------------------------------------------------ from the program -- */

void events_stopping(struct report *report, enum weir_stop how, const char *who,
                     const char *savepoint)
{
    static const char *const names[] = {"suspend", "drain", "now"};
    struct json *json = begin(report, "stopping");

    json_text(json, "how", names[how]);
    json_text(json, "who", who);
    if (savepoint != NULL)
        json_text(json, "savepoint", savepoint);
    end(report);
}

static void add_error(struct json *json, const struct weir_error *error)
{
    json_text(json, "result", weir_result_name(error->code));
    json_text(json, "error", error->text);
    if (error->os_error != 0)
        json_signed(json, "errno", error->os_error);
}

/* Where an operator stood. Fingerprints use all 64 bits, more than a JSON number holds for many. */
static void add_where(struct json *json, const struct weir_failure *where)
{
    char fingerprint[17];

    json_text(json, "node", where->node);
    json_number(json, "subtask", where->subtask);
    json_text(json, "doing", where->doing != NULL ? where->doing : "");
    if (where->position == 0)
        return;
    json_number(json, "input", where->input);
    json_number(json, "position", where->position);
    json_number(json, "count", where->count);
    if (where->count != 1)
        return;
    snprintf(fingerprint, sizeof fingerprint, "%016" PRIx64, where->fingerprint);
    json_text(json, "fingerprint", fingerprint);
    json_text(json, "preview", where->preview);
}

static void add_retry(struct json *json, const struct report_retry *retry)
{
    json_number(json, "consecutive", retry->consecutive);
    json_number(json, "allowed", retry->allowed);
    json_flag(json, "again", retry->delay_ns >= 0);
}

static void restarting(struct report *report, const struct report_retry *retry)
{
    if (retry->delay_ns < 0)
        return;
    struct json *json = begin(report, "restarting");
    json_signed(json, "delay_ns", retry->delay_ns);
    json_number(json, "consecutive", retry->consecutive);
    json_number(json, "allowed", retry->allowed);
    end(report);
}

void events_failed(struct report *report, const struct weir_error *error,
                   const struct weir_failure *failure, const struct report_retry *retry)
{
    struct json *json = begin(report, "failed");

    add_error(json, error);
    if (failure != NULL)
        add_where(json, failure);
    else if (error->node[0] != '\0')
        json_text(json, "node", error->node);
    add_retry(json, retry);
    end(report);
    restarting(report, retry);
}

void events_dump(struct report *report, const char *text)
{
    struct json *json = begin(report, "dump");

    json_text(json, "text", text);
    end(report);
}

void events_died(struct report *report, int child, int signal, int code,
                 const struct weir_failure *where, const char *trace,
                 const struct report_retry *retry)
{
    struct json *json = begin(report, "died");

    json_signed(json, "child", child);
    if (signal != 0) {
        json_signed(json, "signal", signal);
        json_text(json, "signal_name", sigabbrev_np(signal) != NULL ? sigabbrev_np(signal) : "?");
    } else {
        json_signed(json, "code", code);
    }
    if (where != NULL)
        add_where(json, where);
    add_retry(json, retry);
    json_text(json, "trace", trace);
    end(report);
    restarting(report, retry);
}

/* As the job sees it; a thread that has answered knows better at which record it is. */
static void add_hang(struct json *json, const struct weir_event *event)
{
    json_text(json, "text", event->text);
    json_signed(json, "lasted_ns", event->duration_ns);
    json_signed(json, "thread", event->thread);
    if (event->id > 0)
        json_number(json, "checkpoint", event->id);
}

void events_hung(struct report *report, const struct report_hang *hang)
{
    const struct weir_event *event = hang->event;
    struct json *json = begin(report, "hung");

    add_hang(json, event);
    if (hang->where != NULL) {
        add_where(json, hang->where);
    } else if (event->node[0] != '\0') {
        json_text(json, "node", event->node);
        json_number(json, "subtask", event->subtask);
        json_text(json, "doing", event->doing);
    } else {
        json_text(json, "doing", event->doing);
    }
    json_flag(json, "ends", hang->ends);
    if (hang->kernel[0] != '\0')
        json_text(json, "kernel", hang->kernel);
    json_text(json, "trace", hang->trace);
    end(report);
}

void events_returned(struct report *report, const struct weir_event *event)
{
    struct json *json = begin(report, "returned");

    add_hang(json, event);
    if (event->node[0] != '\0') {
        json_text(json, "node", event->node);
        json_number(json, "subtask", event->subtask);
    }
    end(report);
}

void events_poisoned(struct report *report, const struct weir_poison *poison,
                     const struct weir_failure *failure, bool skipped)
{
    struct json *json = begin(report, "poisoned");

    add_where(json, failure);
    if (poison->cause != NULL)
        json_text(json, "cause", poison->cause);
    json_number(json, "failures", report->options->poison_after);
    json_flag(json, "skipped", skipped);
    end(report);
}

void events_end(struct report *report, enum weir_outcome outcome, const struct weir_status *status,
                const struct weir_error *error, int64_t now_ns)
{
    static const char *const names[] = {"running", "ended",  "already_ended",
                                        "stopped", "failed", "unknown"};
    struct json *json = begin(report, "end");

    json_text(json, "outcome", names[outcome]);
    if (outcome == WEIR_OUTCOME_FAILED || outcome == WEIR_OUTCOME_UNKNOWN)
        add_error(json, error);
    json_number(json, "checkpoint",
                report->newest.id > 0 ? report->newest.id : report->restored_from);
    json_number(json, "restarts", report->restarts);
    json_signed(json, "run_ns", now_ns - report->began_ns);
    if (status != NULL) {
        json_number(json, "records_in", status->records_in);
        json_number(json, "records_emitted", status->records_emitted);
        json_number(json, "committed", status->committed);
        json_number(json, "aborted", status->aborted);
        json_number(json, "dead_letters", status->dead_letters);
        json_number(json, "saved", status->saved);
        json_number(json, "unsaved", status->unsaved);
    }
    end(report);
}
