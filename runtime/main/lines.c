/* SPDX-License-Identifier: Apache-2.0 */
#include "lines.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "exit_code.h"
#include "quantity.h"

enum { SECOND_NS = 1000000000, TEXT_ROOM = 1400, WHERE_ROOM = 500 };
enum { LONG = 160 }; /* bytes: a line of that many is still read as one */
#define ALIGNMENT_MAX_NS ((int64_t)50 * 1000 * 1000) /* the default, as weir.h says */

void lines_say(struct report *report, enum weir_level level, const char *format, ...)
{
    char text[TEXT_ROOM], line[TEXT_ROOM + 100];
    va_list arguments;

    if (level > report->options->log_level)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    snprintf(line, sizeof line, "%s: %s", report->name, text);
    live_print(&report->live, line);
}

/* --------------------------------------------------------------------------- thinned lines -- */

/* Behind the last ": " before `end`; `text` when there is none. */
static const char *behind_colon(const char *text, const char *end)
{
    const char *behind = text, *colon = text;

    while ((colon = strstr(colon, ": ")) != NULL && colon < end) {
        colon += 2;
        behind = colon;
    }
    return behind;
}

/* A list that would fill several rows becomes several lines: what is before its first semicolon
 * ends with a colon, and below that each of its parts stands for itself. */
static void say_list(struct report *report, enum weir_level level, const char *text)
{
    const char *semicolon = strstr(text, "; ");

    if (strlen(text) <= LONG || semicolon == NULL) {
        lines_say(report, level, "%s", text);
        return;
    }
    const char *part = behind_colon(text, semicolon);
    if (part > text)
        lines_say(report, level, "%.*s", (int)(part - text - 1), text);
    while (*part != '\0') {
        const char *end = strstr(part, "; ");
        size_t size = end != NULL ? (size_t)(end - part) : strlen(part);
        lines_say(report, level, "  %.*s", (int)size, part);
        part += end != NULL ? size + 2 : size;
    }
}

static void release(struct report *report, struct report_line *line)
{
    enum weir_level level = line == &report->aborted ? WEIR_LOG_WARNING : WEIR_LOG_INFO;
    char before[60] = "", text[TEXT_ROOM];

    if (line->held == 0)
        return;
    if (line->held > 1)
        snprintf(before, sizeof before, " (and %" PRIu64 " before it)", line->held - 1);
    snprintf(text, sizeof text, "%s%s%s", line->head, before, line->rest);
    say_list(report, level, text);
    line->held = 0;
}

static void release_when_due(struct report *report, struct report_line *line, int64_t now_ns)
{
    if (line->held == 0 || now_ns - line->printed_ns < SECOND_NS)
        return;
    release(report, line);
    line->printed_ns = now_ns;
}

void lines_release(struct report *report, int64_t now_ns, bool all)
{
    if (all) {
        release(report, &report->committed);
        release(report, &report->aborted);
        return;
    }
    release_when_due(report, &report->committed, now_ns);
    release_when_due(report, &report->aborted, now_ns);
}

/* Who was last is of interest when it took long: longer than one may take before it overtakes. */
static bool is_slow(const struct report *report, const struct weir_event *event)
{
    int64_t most_ns = report->options->job.alignment_max_ns;

    return event->align_ns > (most_ns > 0 ? most_ns : ALIGNMENT_MAX_NS);
}

void lines_committed(struct report *report, const struct weir_event *event, int64_t now_ns)
{
    struct report_line *line = &report->committed;
    char duration[DURATION_TEXT], flight[BYTES_TEXT], overtook[60] = "", holds[60] = "",
                                                      last[200] = "";
    uint64_t flight_bytes = event->channel_bytes + event->outlet_bytes;

    line->held++;
    if (event->overtook > 0)
        snprintf(overtook, sizeof overtook, "; %" PRIu32 " of %" PRIu32 " tasks overtook",
                 event->overtook, event->tasks);
    if (flight_bytes > 0)
        snprintf(holds, sizeof holds, "; %s in flight", bytes_print(flight_bytes, flight));
    if (is_slow(report, event) && event->last[0] != '\0')
        snprintf(last, sizeof last, "; last was %s", event->last);
    snprintf(line->head, sizeof line->head, "checkpoint %" PRIu64 ": took %s, %" PRIu64 " bytes",
             event->id, duration_print(event->duration_ns, duration), event->bytes);
    snprintf(line->rest, sizeof line->rest, "%s%s%s", overtook, holds, last);
    release_when_due(report, line, now_ns);
}

void lines_aborted(struct report *report, const struct weir_event *event, int64_t now_ns)
{
    struct report_line *line = &report->aborted;

    line->held++;
    snprintf(line->head, sizeof line->head, "checkpoint %" PRIu64 " came to nothing", event->id);
    snprintf(line->rest, sizeof line->rest, ", the job goes on: %s", event->text);
    release_when_due(report, line, now_ns);
}

/* Somebody has asked for it, so it is told at once. */
void lines_saved(struct report *report, const struct weir_event *event)
{
    lines_say(report, WEIR_LOG_INFO, "checkpoint %" PRIu64 " is kept as the savepoint %s",
              event->id, event->path);
}

void lines_unsaved(struct report *report, const struct weir_event *event)
{
    lines_say(report, WEIR_LOG_WARNING, "no savepoint in %s: %s", event->path, event->text);
}

/* ------------------------------------------------------------------------------- the start -- */

static void say_interval(struct report *report)
{
    int64_t interval_ns = report->options->job.interval_ns;
    char interval[DURATION_TEXT] = "1.0 s";

    if (interval_ns > 0)
        duration_print(interval_ns, interval);
    if (report->options->job.no_publish)
        lines_say(report, WEIR_LOG_INFO, "nothing is published, and the store is only read");
    else if (interval_ns < 0)
        lines_say(report, WEIR_LOG_INFO, "checkpoints only at the end and when stopped");
    else
        lines_say(report, WEIR_LOG_INFO, "a checkpoint every %s", interval);
}

static void say_recovered(struct report *report, const struct weir_event *event,
                          int64_t recovery_ns)
{
    char gap[DURATION_TEXT], start[DURATION_TEXT];

    lines_say(report, WEIR_LOG_INFO,
              "runs again %s after the failure: the start took %s and read %" PRIu64 " bytes",
              duration_print(recovery_ns, gap), duration_print(event->duration_ns, start),
              event->bytes);
}

/* As opposed to a savepoint. */
static bool is_store(const char *path)
{
    char lock[4096], savepoint[4096];

    snprintf(lock, sizeof lock, "%s/LOCK", path);
    snprintf(savepoint, sizeof savepoint, "%s/SAVEPOINT", path);
    return access(lock, F_OK) == 0 && access(savepoint, F_OK) != 0;
}

/* Of a job that publishes nothing. */
static void say_replayed(struct report *report, uint64_t checkpoint)
{
    const struct weir_job_options *job = &report->options->job;

    if (checkpoint == 0)
        lines_say(report, WEIR_LOG_INFO, "from the beginning");
    else
        lines_say(report, WEIR_LOG_INFO, "from checkpoint %" PRIu64 " of %s", checkpoint,
                  job->restore == WEIR_RESTORE_PATH ? job->restore_path : job->store);
}

void lines_started(struct report *report, const struct weir_event *event, int64_t recovery_ns)
{
    const char *store = report->options->job.store;

    if (report->options->job.no_publish)
        say_replayed(report, event->id);
    else if (store == NULL)
        lines_say(report, WEIR_LOG_INFO,
                  "started without --store: no checkpoints, a crash starts over");
    else if (event->id > 0 && report->options->job.restore == WEIR_RESTORE_PATH)
        lines_say(report, WEIR_LOG_INFO, "restored from checkpoint %" PRIu64 "%s %s; goes on in %s",
                  event->id,
                  is_store(report->options->job.restore_path) ? " of" : ", the savepoint",
                  report->options->job.restore_path, store);
    else if (event->id > 0)
        lines_say(report, WEIR_LOG_INFO, "restored from checkpoint %" PRIu64 " of %s", event->id,
                  store);
    else
        lines_say(report, WEIR_LOG_INFO, "%s on %s",
                  recovery_ns > 0 ? "no checkpoint yet: started anew" : "first start", store);
    if (recovery_ns > 0)
        say_recovered(report, event, recovery_ns);
    else if (store != NULL)
        say_interval(report);
}

void lines_stopping(struct report *report, enum weir_stop how, const char *who,
                    const char *savepoint)
{
    static const char *const says[] = {
        "after one last checkpoint; a second signal stops at once",
        "by ending the input here: what there is is processed and published", "at once"};

    if (how == WEIR_STOP_SUSPEND && report->options->job.store == NULL)
        lines_say(report, WEIR_LOG_INFO,
                  "stopping (%s) at once: without --store there is no checkpoint", who);
    else if (savepoint == NULL)
        lines_say(report, WEIR_LOG_INFO, "stopping (%s) %s", who, says[how]);
    else if (how == WEIR_STOP_SUSPEND)
        lines_say(report, WEIR_LOG_INFO,
                  "stopping (%s) when one last checkpoint is kept as the savepoint %s", who,
                  savepoint);
    else
        lines_say(report, WEIR_LOG_INFO,
                  "stopping (%s) %s; the last checkpoint is to be kept as the savepoint %s", who,
                  says[how], savepoint);
}

/* ---------------------------------------------------------------------------- the failures -- */

/* At which record, as the end of a sentence. */
static void record_text(const struct weir_failure *where, char *text, size_t room)
{
    text[0] = '\0';
    if (where == NULL || where->position == 0)
        return;
    if (where->count > 1)
        snprintf(text, room, ", at one of the %" PRIu64 " records from %" PRIu64, where->count,
                 where->position);
    else
        snprintf(text, room, ", at record %" PRIu64 ": %s", where->position, where->preview);
}

/* Where an operator stood, as the end of a sentence. */
static void where_text(const struct weir_failure *where, char *text, size_t room)
{
    text[0] = '\0';
    if (where == NULL)
        return;
    int used = snprintf(text, room, ", in %s, subtask %" PRIu32 ", %s", where->node, where->subtask,
                        where->doing != NULL ? where->doing : "");
    if (used >= 0 && (size_t)used < room)
        record_text(where, text + used, room - (size_t)used);
}

/* What comes after a failure, as a sentence. */
static void next_text(const struct report_retry *retry, char *text, size_t room)
{
    char delay[DURATION_TEXT];

    if (retry->delay_ns >= 0)
        snprintf(text, room,
                 "starting again in %s (restart %" PRIu32 " of at most %" PRIu32 " in a row)",
                 duration_print(retry->delay_ns, delay), retry->consecutive, retry->allowed);
    else if (retry->allowed > 0 && retry->consecutive > retry->allowed)
        snprintf(text, room,
                 "giving up after %" PRIu32 " restarts in a row; the same command tries again",
                 retry->allowed);
    else
        snprintf(text, room, "not starting again");
}

void lines_failed(struct report *report, const struct weir_error *error,
                  const struct weir_failure *failure, const struct report_retry *retry)
{
    char where[WHERE_ROOM], next[200];

    where_text(failure, where, sizeof where);
    next_text(retry, next, sizeof next);
    lines_say(report, WEIR_LOG_ERROR, "failed: %s%s", error->text, where);
    lines_say(report, WEIR_LOG_ERROR, "%s", next);
}

static void say_trace(struct report *report, enum weir_level level, const char *trace)
{
    while (*trace != '\0') {
        size_t size = strcspn(trace, "\n");
        lines_say(report, level, "  %.*s", (int)size, trace);
        trace += size + (trace[size] == '\n');
    }
}

void lines_died(struct report *report, int child, int signal, int code,
                const struct weir_failure *where, const char *trace,
                const struct report_retry *retry)
{
    char at[WHERE_ROOM], next[200], how[80];
    const char *name = signal != 0 ? sigabbrev_np(signal) : NULL;

    where_text(where, at, sizeof at);
    next_text(retry, next, sizeof next);
    if (signal != 0)
        snprintf(how, sizeof how, "was killed by SIG%s (%d)", name != NULL ? name : "?", signal);
    else if (code == EXIT_HUNG)
        snprintf(how, sizeof how, "was ended with exit code %d, for something in it hung", code);
    else
        snprintf(how, sizeof how, "ended with exit code %d", code);
    lines_say(report, WEIR_LOG_ERROR, "process %d %s%s", child, how, at);
    say_trace(report, WEIR_LOG_ERROR, trace);
    lines_say(report, WEIR_LOG_ERROR, "%s", next);
}

void lines_hung(struct report *report, const struct report_hang *hang)
{
    enum weir_level level = hang->ends ? WEIR_LOG_ERROR : WEIR_LOG_WARNING;
    char at[WHERE_ROOM];

    record_text(hang->where, at, sizeof at);
    lines_say(report, level, "hangs: %s%s; thread %d%s%s", hang->event->text, at,
              hang->event->thread, hang->kernel[0] != '\0' ? ": " : "", hang->kernel);
    say_trace(report, level, hang->trace);
    if (hang->ends)
        lines_say(report, level, "ending the process for it, see --hang-action");
}

void lines_returned(struct report *report, const struct weir_event *event)
{
    lines_say(report, WEIR_LOG_WARNING, "no longer hangs: %s", event->text);
}

void lines_poisoned(struct report *report, const struct weir_poison *poison,
                    const struct weir_failure *failure, bool skipped)
{
    lines_say(report, WEIR_LOG_WARNING,
              "record %" PRIu64 " of %s, subtask %" PRIu32 ", has failed %" PRIu32
              " times (%s): %s",
              failure->position, poison->node, poison->subtask, report->options->poison_after,
              failure->preview,
              skipped ? "it becomes a dead letter"
                      : "with --dead-letters DIR it would be put aside, and the job could go on");
}

/* --------------------------------------------------------------------------------- the end -- */

/* --restore has had its effect, and the same command would begin there once more: either no attempt
 * needs it any more, or this one has committed something. */
static bool begins_again(const struct report *report, const struct weir_status *status)
{
    return report->options->elsewhere &&
           (status->checkpoint > 0 || report->options->job.restore == WEIR_RESTORE_LATEST);
}

static void say_stopped(struct report *report, const struct weir_status *status)
{
    uint64_t id = status->checkpoint > 0 ? status->checkpoint : report->restored_from;

    if (report->options->job.no_publish)
        lines_say(report, WEIR_LOG_INFO, "stopped on request; nothing was published");
    else if (report->options->job.store == NULL)
        lines_say(report, WEIR_LOG_INFO,
                  "stopped on request; without --store the next start begins anew");
    else if (id == 0)
        lines_say(report, WEIR_LOG_INFO,
                  "stopped on request, before the first checkpoint: the next start begins anew");
    else
        lines_say(report, WEIR_LOG_INFO,
                  "stopped on request; the same command%s goes on from checkpoint %" PRIu64,
                  begins_again(report, status) ? ", without --restore," : "", id);
}

static void say_outcome(struct report *report, enum weir_outcome outcome,
                        const struct weir_status *status, const struct weir_error *error)
{
    switch (outcome) {
    case WEIR_OUTCOME_ENDED:
        lines_say(
            report, WEIR_LOG_INFO,
            report->options->job.no_publish
                ? "ended, and has published nothing: the store and all output are as they were"
                : "ended: all input is processed, all output is published");
        break;
    case WEIR_OUTCOME_ALREADY_ENDED:
        lines_say(report, WEIR_LOG_INFO,
                  "this job has already ended, there is nothing left to do; for another run name "
                  "another --store");
        break;
    case WEIR_OUTCOME_STOPPED:
        say_stopped(report, status);
        break;
    case WEIR_OUTCOME_UNKNOWN:
        lines_say(
            report, WEIR_LOG_ERROR,
            "the disk failed while a checkpoint was committed (%s); whether it counts, the next "
            "start finds out: run the same command again",
            error->text);
        break;
    case WEIR_OUTCOME_FAILED:
    case WEIR_OUTCOME_RUNNING:
        if (!report->told)
            lines_say(report, WEIR_LOG_ERROR, "%s%s", report->started ? "failed: " : "",
                      error->text);
        break;
    }
}

static void say_figures(struct report *report, const struct weir_status *status, int64_t now_ns)
{
    char duration[DURATION_TEXT];

    lines_say(report, WEIR_LOG_INFO,
              "this run: %" PRIu64 " records from sources in %s, %" PRIu64
              " checkpoints committed, %" PRIu64 " came to nothing",
              status->records_emitted, duration_print(now_ns - report->began_ns, duration),
              status->committed, status->aborted);
    if (status->dead_letters > 0)
        lines_say(report, WEIR_LOG_WARNING,
                  "this run: %" PRIu64 " dead letter%s, records that were left out, in %s",
                  status->dead_letters, status->dead_letters == 1 ? "" : "s",
                  report->options->job.dead_letters);
}

void lines_end(struct report *report, enum weir_outcome outcome, const struct weir_status *status,
               const struct weir_error *error, int64_t now_ns)
{
    if (status != NULL && outcome != WEIR_OUTCOME_ALREADY_ENDED)
        say_figures(report, status, now_ns);
    say_outcome(report, outcome, status, error);
}
