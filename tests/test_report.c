/* SPDX-License-Identifier: Apache-2.0 */
/* links: main */
/*
 * What a run says: as sentences, as JSON events that fit runtime/EVENTS.md, and on a terminal as a
 * live line. The job is played by the test, which calls the hooks; tests/job_events.sh has real
 * ones.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "exit_code.h"
#include "lines.h"
#include "report.h"
#include "scratch.h"

static struct scratch folder;
static struct options options;
static struct weir_job_options job;
static struct report report;

static const struct weir_failure where = {.node = "parse",
                                          .subtask = 2,
                                          .doing = "process",
                                          .position = 18423,
                                          .count = 1,
                                          .fingerprint = 0xfedcba9876543210,
                                          .preview = "k\"ey = \xff\x01 4\xc3\xa4x"};
static const struct weir_error failure = {
    .code = WEIR_INVALID, .node = "parse", .text = "node parse: \"4x\" is no number"};

static void begin(void)
{
    folder = scratch_make();
    options = (struct options){.log_level = WEIR_LOG_INFO, .poison_after = 3};
    options.job.store = "S";
    options.job.interval_ns = 100000000;
    options.job.dead_letters = "L";
}
static void finish(void)
{
    scratch_free(&folder);
}
TestSuite(report, .init = begin, .fini = finish);
TestSuite(live, .init = begin, .fini = finish);

/* From now on `fd` goes to a file. */
static const char *capture(int fd, const char *name)
{
    const char *path = scratch_join(folder.path, name);
    int file = open(path, O_RDWR | O_CREAT | O_APPEND, 0600);

    cr_assert_geq(file, 0);
    cr_assert_eq(dup2(file, fd), fd);
    close(file);
    return path;
}

static const char *text_of(const char *path)
{
    static char text[200000];
    size_t size = scratch_read(path, (unsigned char *)text, sizeof text - 1);

    text[size] = '\0';
    return text;
}

static void say(enum weir_event_kind kind, uint64_t id, const char *text)
{
    const struct weir_event event = {.kind = kind,
                                     .id = id,
                                     .duration_ns = 36000000,
                                     .bytes = 1120202,
                                     .text = text,
                                     .cut_ns = 1,
                                     .cut_cpu_ns = 4,
                                     .align_ns = 2,
                                     .write_ns = 3,
                                     .tasks = 7,
                                     .last = "count.0, by the marker of split.1",
                                     .path = ""};
    job.event(job.event_context, &event);
}

static void say_savepoint(enum weir_event_kind kind, uint64_t id, const char *path,
                          const char *text)
{
    const struct weir_event event = {
        .kind = kind, .id = id, .path = path, .text = text, .last = ""};
    job.event(job.event_context, &event);
}

static void say_committed(uint64_t id, uint32_t overtook, uint64_t flight, int64_t align_ns)
{
    const struct weir_event event = {.kind = WEIR_EVENT_COMMITTED,
                                     .id = id,
                                     .duration_ns = 36000000,
                                     .bytes = 1120202,
                                     .align_ns = align_ns,
                                     .tasks = 7,
                                     .overtook = overtook,
                                     .channel_bytes = flight / 2,
                                     .outlet_bytes = flight - flight / 2,
                                     .text = "interval",
                                     .last = "count.0, by the marker of split.1",
                                     .path = ""};
    job.event(job.event_context, &event);
}

/* An operator that answers for its thread, one that the kernel holds, and the disk. */
static void say_hung(void)
{
    struct weir_event event = {.kind = WEIR_EVENT_HUNG,
                               .duration_ns = 31200000000,
                               .text = "parse.2: at work, in process of parse for 31.2 s",
                               .last = "",
                               .path = "",
                               .node = "parse",
                               .subtask = 2,
                               .doing = "process",
                               .thread = 4719};
    report_hung(&report,
                &(struct report_hang){&event, &where, "#0 read+0x4d in libc.so.6\n", "", false});
    report_hung(&report, &(struct report_hang){&event, NULL, "", "state D", true});
    event.kind = WEIR_EVENT_RETURNED;
    event.text = "parse.2: it goes on, after 71.9 s";
    report_returned(&report, &event);
    event = (struct weir_event){.kind = WEIR_EVENT_HUNG,
                                .id = 7,
                                .duration_ns = 1,
                                .text = "the writer: syncing checkpoint 7 for 31.2 s",
                                .last = "",
                                .path = "",
                                .node = "",
                                .doing = "syncing",
                                .thread = 4720};
    report_hung(&report, &(struct report_hang){&event, NULL, "#0 fsync+0x10 in libc.so.6\n",
                                               "state D", false});
}

/* A life with everything that can happen in it. */
static void live_through_it(void)
{
    struct weir_status status = {WEIR_SIZED(struct weir_status), .records_emitted = 7,
                                 .dead_letters = 2};
    const struct weir_poison poison = {.node = "parse", .subtask = 2, .cause = "no number"};
    struct weir_failure several = where;

    several.count = 12;
    report_begin(&report, "played", &options, &job, 4710);
    say(WEIR_EVENT_STARTED, 0, "");
    say(WEIR_EVENT_COMMITTED, 1, "interval");
    say(WEIR_EVENT_ABORTED, 2, "not complete after 60.0 s");
    job.log(job.log_context, WEIR_LOG_WARNING, "two\nlines, a tab\t, \"quotes\" and \\");
    job.log(job.log_context, WEIR_LOG_DEBUG, "not shown");
    report_say(&report, WEIR_LOG_INFO, "said by %s", "the program");
    report_failed(&report, &failure, &where, 1, 3, 100000000);
    say(WEIR_EVENT_STARTED, 1, "");
    report_failed(&report, &failure, &several, 2, 3, 0);
    report_failed(&report, &(struct weir_error){.code = WEIR_IO, .os_error = 5, .text = "disk"},
                  NULL, 3, 3, 1);
    report_died(&report, 4711, SIGSEGV, 0, &where, "parse_value+0x1f\nparse+0x58\n", 1, 3, 1);
    report_died(&report, 4712, 0, 5, NULL, "", 4, 3, -1);
    say_hung();
    report_died(&report, 4713, 0, EXIT_HUNG, &where, "read+0x4d in libc.so.6\n", 1, 3, 1);
    report_poisoned(&report, &poison, &where, true);
    report_poisoned(&report, &poison, &several, false);
    report_dump(&report, "task count.0: waits for input");
    say_savepoint(WEIR_EVENT_SAVED, 1, "/sp", "/sp");
    say_savepoint(WEIR_EVENT_UNSAVED, 3, "/full", "the disk or the quota is full");
    say_savepoint(WEIR_EVENT_UNSAVED, 0, "/ninth", "eight savepoints are under way");
    report_stopping(&report, WEIR_STOP_SUSPEND, "SIGTERM", NULL);
    report_stopping(&report, WEIR_STOP_DRAIN, "control", NULL);
    report_stopping(&report, WEIR_STOP_SUSPEND, "control", "/sp");
    report_stopping(&report, WEIR_STOP_DRAIN, "control", "/sp");
    report_stopping(&report, WEIR_STOP_NOW, "SIGINT", NULL);
    report_end(&report, WEIR_OUTCOME_STOPPED, &status, NULL);
}

static void fits_the_documentation(const char *path, const char *want)
{
    char command[2000];

    snprintf(command, sizeof command,
             "python3 " WEIR_SOURCE_DIR "/tests/tools/events.py " WEIR_SOURCE_DIR
             "/runtime/EVENTS.md %s --want %s >&2",
             path, want);
    int status = system(command);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s\n%s", command, text_of(path));
}

Test(report, events_are_documented_every_one)
{
    options.json = true;
    const char *said = capture(STDERR_FILENO, "said"), *path = capture(STDOUT_FILENO, "events");
    live_through_it();
    cr_expect_str_eq(text_of(said), "", "--json leaves standard error alone");
    fits_the_documentation(path, "all");
    /* The bytes of a record are any; the line is UTF-8 and one line. */
    cr_expect(strstr(text_of(path), "\"preview\": \"k\\\"ey = \\ufffd\\u0001 4\xc3\xa4x\"") != NULL,
              "%s", text_of(path));
    cr_expect(strstr(text_of(path), "\"fingerprint\": \"fedcba9876543210\"") != NULL);
    cr_expect(strstr(text_of(path), "\"two\\nlines, a tab\\u0009, \\\"quotes\\\" and \\\\\"") !=
              NULL);
    cr_expect_null(strstr(text_of(path), "not shown"));
}

Test(report, events_tell_of_failed_starts_and_of_lives_without_a_store)
{
    options.json = true;
    options.job.store = NULL;
    const char *path = capture(STDOUT_FILENO, "events");
    report_begin(&report, "played", &options, &job, 0);
    report_end(&report, WEIR_OUTCOME_FAILED, NULL, &failure);
    report_begin(&report, "played", &options, &job, 0);
    say(WEIR_EVENT_STARTED, 0, "");
    report_end(&report, WEIR_OUTCOME_UNKNOWN, NULL, &failure);
    fits_the_documentation(path, "failed,start,end");
    cr_expect_null(strstr(text_of(path), "\"parent\""));
    cr_expect_null(strstr(text_of(path), "\"store\""));
}

Test(report, a_restart_in_another_process_knows_when_the_failure_was)
{
    struct timespec now;
    options.json = true;
    const char *path = capture(STDOUT_FILENO, "events");
    clock_gettime(CLOCK_MONOTONIC, &now);
    report_begin(&report, "played", &options, &job, 4710);
    report_resume(&report, (int64_t)now.tv_sec * 1000000000 + now.tv_nsec - 5000000000, 2);
    say(WEIR_EVENT_STARTED, 7, "");
    fits_the_documentation(path, "restored");
    const char *recovery = strstr(text_of(path), "\"recovery_ns\": ");
    cr_assert_not_null(recovery, "%s", text_of(path));
    cr_expect_geq(strtoll(recovery + strlen("\"recovery_ns\": "), NULL, 10), 5000000000);
    cr_expect_not_null(strstr(text_of(path), "\"restarts\": 2"));
    cr_expect_not_null(strstr(text_of(path), "\"checkpoint\": 7, \"bytes\": 1120202"));
}

Test(report, a_text_longer_than_the_buffer_is_cut_and_the_line_stays_an_object)
{
    static char trace[3 * JSON_ROOM];
    options.json = true;
    memset(trace, '\x01', sizeof trace - 1);
    const char *path = capture(STDOUT_FILENO, "events");
    report_begin(&report, "played", &options, &job, 0);
    for (size_t cut = 0; cut < 8; cut++) /* wherever the last escape falls */
        report_died(&report, 1, SIGABRT, 0, NULL, trace + 2 * JSON_ROOM - cut, 1, 0, -1);
    for (size_t size = JSON_ROOM - 400; size < JSON_ROOM; size++)
        report_say(&report, WEIR_LOG_INFO, "x");
    memset(trace, 'x', sizeof trace - 1);
    for (size_t size = JSON_ROOM - 400; size < JSON_ROOM + 8; size++)
        report_died(&report, 1, 0, 1, NULL, trace + sizeof trace - 1 - size, 1, 0, -1);
    fits_the_documentation(path, "died");
}

Test(report, a_reader_that_has_gone_away_does_not_end_the_job)
{
    int ends[2];

    options.json = true;
    cr_assert_eq(pipe(ends), 0);
    close(ends[0]);
    cr_assert_eq(dup2(ends[1], STDOUT_FILENO), STDOUT_FILENO);
    live_through_it();
    sigset_t pending;
    sigpending(&pending);
    cr_expect_eq(sigismember(&pending, SIGPIPE), 0);
}

Test(report, sentences_name_what_failed_where_and_what_comes)
{
    const char *path = capture(STDERR_FILENO, "said");
    live_through_it();
    static const char *const says[] = {
        "played: first start on S\n",
        "played: a checkpoint every 100 ms\n",
        "played: checkpoint 1: took 36.0 ms, 1120202 bytes\n",
        "played: checkpoint 2 came to nothing, the job goes on: not complete after 60.0 s\n",
        "played: warning: two",
        "played: said by the program\n",
        "failed: node parse: \"4x\" is no number, in parse, subtask 2, process, at record 18423: k",
        "played: starting again in 100 ms (restart 1 of at most 3 in a row)\n",
        "played: restored from checkpoint 1 of S\n",
        "after the failure: the start took 36.0 ms and read 1120202 bytes\n",
        "at one of the 12 records from 18423\n",
        "process 4711 was killed by SIGSEGV (11), in parse, subtask 2, process, at record 18423",
        "played:   parse_value+0x1f\nplayed:   parse+0x58\n",
        "process 4712 ended with exit code 5\nplayed: giving up after 3 restarts in a row; ",
        "played: hangs: parse.2: at work, in process of parse for 31.2 s, at record 18423: k",
        "; thread 4719\nplayed:   #0 read+0x4d in libc.so.6\n",
        "for 31.2 s; thread 4719: state D\nplayed: ending the process for it, see --hang-action\n",
        "played: no longer hangs: parse.2: it goes on, after 71.9 s\n",
        "played: hangs: the writer: syncing checkpoint 7 for 31.2 s; thread 4720: state D\n",
        "process 4713 was ended with exit code 7, for something in it hung, in parse, subtask 2",
        "record 18423 of parse, subtask 2, has failed 3 times",
        "played: task count.0: waits for input\n",
        "played: stopping (SIGTERM) after one last checkpoint",
        "played: checkpoint 1 is kept as the savepoint /sp\n",
        "played: no savepoint in /full: the disk or the quota is full\n",
        "played: stopping (control) when one last checkpoint is kept as the savepoint /sp\n",
        "processed and published; the last checkpoint is to be kept as the savepoint /sp\n",
        "played: this run: 7 records from sources in",
        "played: this run: 2 dead letters, records that were left out, in L\n",
        "played: stopped on request; the same command goes on from checkpoint 1\n"};
    for (size_t i = 0; i < sizeof says / sizeof *says; i++)
        cr_expect(strstr(text_of(path), says[i]) != NULL, "\"%s\" is not in\n%s", says[i],
                  text_of(path));
    cr_expect_null(strstr(text_of(path), "not shown"));
}

static size_t lines_with(const char *text, const char *part)
{
    size_t count = 0;

    for (; (text = strstr(text, part)) != NULL; text++)
        count++;
    return count;
}

Test(report, a_checkpoint_that_overtook_says_what_it_holds_and_a_slow_one_who_was_last)
{
    const char *path = capture(STDERR_FILENO, "said");
    report_begin(&report, "played", &options, &job, 0);
    say_committed(1, 0, 0, 50000000);
    lines_release(&report, 0, true);
    say_committed(2, 3, 1300000, 50000000);
    lines_release(&report, 0, true);
    say_committed(3, 7, 0, 50000001);
    lines_release(&report, 0, true);
    options.job.alignment_max_ns = 1000000000;
    say_committed(4, 0, 900, 1000000000);
    lines_release(&report, 0, true);
    say_committed(5, 0, 0, 1000000001);
    report_end(&report, WEIR_OUTCOME_ENDED, &(struct weir_status){0}, NULL);
    static const char *const says[] = {
        "checkpoint 1: took 36.0 ms, 1120202 bytes\n",
        "checkpoint 2: took 36.0 ms, 1120202 bytes; 3 of 7 tasks overtook; 1.3 MB in flight\n",
        "bytes; 7 of 7 tasks overtook; last was count.0, by the marker of split.1\n",
        "checkpoint 4: took 36.0 ms, 1120202 bytes; 900 B in flight\n",
        "checkpoint 5: took 36.0 ms, 1120202 bytes; last was count.0, by the marker of split.1\n"};
    for (size_t i = 0; i < sizeof says / sizeof *says; i++)
        cr_expect(strstr(text_of(path), says[i]) != NULL, "\"%s\" is not in\n%s", says[i],
                  text_of(path));
}

#define MISSING                                                                                    \
    "timed out: 3 of 9 tasks had not answered: count.0 waits for the marker of split.1 (channel "  \
    "4), "                                                                                         \
    "waits for input or a time for 59.9 s; split.1 has not heard of it, at work, in process of "   \
    "split "                                                                                       \
    "for 60.0 s; and 1 more"

Test(report, a_long_list_of_those_who_had_not_answered_is_one_line_each)
{
    const char *path = capture(STDERR_FILENO, "said");
    report_begin(&report, "played", &options, &job, 0);
    say(WEIR_EVENT_ABORTED, 2, MISSING);
    say(WEIR_EVENT_ABORTED, 3, MISSING);
    say(WEIR_EVENT_ABORTED, 4, MISSING);
    lines_release(&report, 0, true);
    say(WEIR_EVENT_ABORTED, 5, "short: a; b");
    lines_release(&report, 0, true);
    cr_expect_str_eq(text_of(path),
                     "played: checkpoint 2 came to nothing, the job goes on: timed out: 3 of 9 "
                     "tasks had not answered:\n"
                     "played:   count.0 waits for the marker of split.1 (channel 4), waits for "
                     "input or a time for 59.9 s\n"
                     "played:   split.1 has not heard of it, at work, in process of split for "
                     "60.0 s\n"
                     "played:   and 1 more\n"
                     "played: checkpoint 4 came to nothing (and 1 before it), the job goes on: "
                     "timed out: 3 of 9 tasks had not answered:\n"
                     "played:   count.0 waits for the marker of split.1 (channel 4), waits for "
                     "input or a time for 59.9 s\n"
                     "played:   split.1 has not heard of it, at work, in process of split for "
                     "60.0 s\n"
                     "played:   and 1 more\n"
                     "played: checkpoint 5 came to nothing, the job goes on: short: a; b\n");
    options.json = true;
    const char *events = capture(STDOUT_FILENO, "events");
    say(WEIR_EVENT_ABORTED, 6, MISSING);
    cr_expect_not_null(strstr(text_of(events), "\"error\": \"" MISSING "\""), "%s",
                       text_of(events));
}

Test(report, a_list_without_a_colon_or_of_any_length_is_said_too)
{
    static char text[2000];
    const char *path = capture(STDERR_FILENO, "said");
    report_begin(&report, "played", &options, &job, 0);
    for (size_t size = 0; size + 4 < sizeof text; size++) {
        memset(text, size % 7 == 0 ? ';' : 'x', size);
        snprintf(text + size, sizeof text - size, "; y");
        say(WEIR_EVENT_ABORTED, 2, text);
        lines_release(&report, 0, true);
    }
    cr_expect_gt(lines_with(text_of(path), "played:   y\n"), 100);
}

static void stops_after(enum weir_restore restore, uint64_t committed, const char *says)
{
    struct weir_status status = {WEIR_SIZED(struct weir_status), .checkpoint = committed};
    const char *path = capture(STDERR_FILENO, says);
    options.elsewhere = true;
    options.job.restore = restore;
    options.job.restore_path = "/sp";
    report_begin(&report, "played", &options, &job, 0);
    say(WEIR_EVENT_STARTED, 7, "");
    report_end(&report, WEIR_OUTCOME_STOPPED, &status, NULL);
    cr_expect(strstr(text_of(path), says) != NULL, "%s", text_of(path));
}

Test(report, without_a_store_a_stop_promises_no_checkpoint)
{
    const char *path = capture(STDERR_FILENO, "said");
    options.job.store = NULL;
    report_begin(&report, "played", &options, &job, 0);
    report_stopping(&report, WEIR_STOP_SUSPEND, "SIGTERM", NULL);
    cr_expect_not_null(
        strstr(text_of(path), "played: stopping (SIGTERM) at once: without --store"));
    cr_expect_null(strstr(text_of(path), "last checkpoint"));
}

Test(report, a_store_that_a_run_begins_with_is_not_called_a_savepoint)
{
    const char *path = capture(STDERR_FILENO, "said");
    char says[600];
    options.job.restore = WEIR_RESTORE_PATH;
    options.job.restore_path = folder.path;
    report_begin(&report, "played", &options, &job, 0);
    scratch_write(scratch_join(folder.path, "LOCK"), "", 0);
    say(WEIR_EVENT_STARTED, 7, "");
    snprintf(says, sizeof says, "restored from checkpoint 7 of %s; goes on in S\n", folder.path);
    cr_expect_not_null(strstr(text_of(path), says), "%s", text_of(path));
    scratch_write(scratch_join(folder.path, "SAVEPOINT"), "", 0);
    say(WEIR_EVENT_STARTED, 8, "");
    snprintf(says, sizeof says, "checkpoint 8, the savepoint %s; goes on in S\n", folder.path);
    cr_expect_not_null(strstr(text_of(path), says), "%s", text_of(path));
}

/* A run that began with a savepoint must not be told to begin there again. */
Test(report, a_stopped_run_says_which_command_goes_on)
{
    stops_after(WEIR_RESTORE_PATH, 0, "the same command goes on from checkpoint 7");
    cr_expect_not_null(strstr(text_of(scratch_join(folder.path, "the same command goes on from "
                                                                "checkpoint 7")),
                              "restored from checkpoint 7, the savepoint /sp; goes on in S\n"));
    stops_after(WEIR_RESTORE_PATH, 8,
                "the same command, without --restore, goes on from checkpoint 8");
    stops_after(WEIR_RESTORE_LATEST, 0,
                "the same command, without --restore, goes on from checkpoint 7");
}

Test(report, events_name_the_savepoint_that_a_run_began_with)
{
    options.json = true;
    options.job.restore = WEIR_RESTORE_PATH;
    options.job.restore_path = "/sp";
    const char *path = capture(STDOUT_FILENO, "events");
    report_begin(&report, "played", &options, &job, 0);
    say(WEIR_EVENT_STARTED, 7, "");
    fits_the_documentation(path, "restored");
    cr_expect_not_null(strstr(text_of(path), "\"savepoint\": \"/sp\", \"checkpoint\": 7"));
}

Test(report, a_failure_is_told_once)
{
    const char *path = capture(STDERR_FILENO, "said");
    report_begin(&report, "played", &options, &job, 0);
    say(WEIR_EVENT_STARTED, 0, "");
    report_failed(&report, &failure, &where, 1, 0, -1);
    report_end(&report, WEIR_OUTCOME_FAILED, NULL, &failure);
    cr_expect_eq(lines_with(text_of(path), "is no number"), 1, "%s", text_of(path));
    report_begin(&report, "played", &options, &job, 0);
    report_end(&report, WEIR_OUTCOME_FAILED, NULL, &failure);
    cr_expect_eq(lines_with(text_of(path), "is no number"), 2, "%s", text_of(path));
}

Test(report, holds_back_a_flood_and_swallows_nothing)
{
    const char *path = capture(STDERR_FILENO, "said");
    report_begin(&report, "played", &options, &job, 0);
    say(WEIR_EVENT_STARTED, 0, "");
    for (uint64_t id = 1; id <= 100; id++)
        say(WEIR_EVENT_COMMITTED, id, "interval");
    cr_expect_eq(lines_with(text_of(path), "took"), 1, "%s", text_of(path));
    report_end(&report, WEIR_OUTCOME_ENDED, &(struct weir_status){0}, NULL);
    cr_expect(strstr(text_of(path),
                     "checkpoint 100: took 36.0 ms, 1120202 bytes (and 98 before it)") != NULL,
              "%s", text_of(path));
}

Test(report, quiet_says_what_goes_wrong_and_nothing_else)
{
    options.quiet = true;
    options.log_level = WEIR_LOG_WARNING;
    const char *path = capture(STDERR_FILENO, "said");
    live_through_it();
    cr_expect_null(strstr(text_of(path), "first start"));
    cr_expect_null(strstr(text_of(path), "took 36.0 ms,"));
    cr_expect_null(strstr(text_of(path), "stopping"));
    cr_expect_null(strstr(text_of(path), "said by the program"));
    cr_expect_not_null(strstr(text_of(path), "came to nothing"));
    cr_expect_not_null(strstr(text_of(path), "warning: two"));
    cr_expect_not_null(strstr(text_of(path), "failed: node parse"));
}

/* -------------------------------------------------------------------------------- a terminal -- */

enum { ROWS = 60, COLUMNS = 200 };

/* What a terminal of so many columns shows: newline, return, "clear to the end of the row", and a
 * wrap at the right edge, which the live line must never cause. */
struct screen {
    int width;
    char rows[ROWS][COLUMNS + 1];
    int row, column;
    int wraps;
    int clears;
};

static void put(struct screen *screen, char c)
{
    if (screen->column == screen->width) {
        screen->wraps++;
        screen->row++;
        screen->column = 0;
    }
    cr_assert_lt(screen->row, ROWS);
    screen->rows[screen->row][screen->column++] = c;
}

static void feed(struct screen *screen, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == '\n') {
            screen->row++;
        } else if (bytes[i] == '\r') {
            screen->column = 0;
        } else if (size - i >= 3 && memcmp(bytes + i, "\x1b[K", 3) == 0) {
            for (int c = screen->column; c < COLUMNS; c++)
                screen->rows[screen->row][c] = '\0';
            screen->clears++;
            i += 2;
        } else {
            cr_assert_geq((unsigned char)bytes[i], ' ', "an escape the screen does not know");
            put(screen, bytes[i]);
        }
    }
}

struct terminal {
    int master;
    char bytes[100000];
    size_t size;
};

/* Standard error becomes a pseudo terminal. */
static void open_terminal(struct terminal *terminal, unsigned short columns)
{
    struct winsize size = {.ws_row = 24, .ws_col = columns};

    setenv("TERM", "xterm", 1);
    terminal->size = 0;
    terminal->master = posix_openpt(O_RDWR | O_NOCTTY);
    cr_assert_geq(terminal->master, 0);
    cr_assert_eq(grantpt(terminal->master), 0);
    cr_assert_eq(unlockpt(terminal->master), 0);
    cr_assert_eq(ioctl(terminal->master, TIOCSWINSZ, &size), 0);
    int slave = open(ptsname(terminal->master), O_RDWR | O_NOCTTY);
    cr_assert_geq(slave, 0);
    cr_assert_eq(dup2(slave, STDERR_FILENO), STDERR_FILENO);
    close(slave);
}

/* What has arrived so far: a pseudo terminal passes on at once what is written. */
static void drain(struct terminal *terminal)
{
    while (poll(&(struct pollfd){.fd = terminal->master, .events = POLLIN}, 1, 0) > 0) {
        ssize_t got = read(terminal->master, terminal->bytes + terminal->size,
                           sizeof terminal->bytes - terminal->size);
        cr_assert_gt(got, 0);
        terminal->size += (size_t)got;
    }
}

static struct screen *show(struct terminal *terminal, int width)
{
    static struct screen screen;

    memset(&screen, 0, sizeof screen);
    screen.width = width;
    drain(terminal);
    feed(&screen, terminal->bytes, terminal->size);
    return &screen;
}

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static struct weir_status running(uint64_t records)
{
    return (struct weir_status){
        WEIR_SIZED(struct weir_status), .outcome = WEIR_OUTCOME_RUNNING, .epoch = 1,
        .records_emitted = records,     .progress_done = records,        .progress_total = 1000};
}

/* Ticks until the line was drawn `draws` times more. */
static void tick_until_drawn(struct terminal *terminal, int draws, uint64_t records)
{
    int before = show(terminal, COLUMNS)->clears;
    int64_t deadline_ns = now_ns() + INT64_C(20000000000);

    while (show(terminal, COLUMNS)->clears < before + draws) {
        cr_assert_lt(now_ns(), deadline_ns, "not drawn in 20 s");
        struct weir_status status = running(records);
        report_tick(&report, &status);
    }
}

Test(live, line_stands_below_the_others_and_is_gone_at_the_end)
{
    static struct terminal terminal;

    open_terminal(&terminal, 100);
    report_begin(&report, "played", &options, &job, 0);
    say(WEIR_EVENT_STARTED, 0, "");
    tick_until_drawn(&terminal, 1, 430);
    struct screen *screen = show(&terminal, 100);
    cr_expect_str_eq(screen->rows[0], "played: first start on S");
    cr_expect_eq(screen->row, 2);
    cr_expect_str_eq(screen->rows[2], "played: running | 43 %");

    report_say(&report, WEIR_LOG_INFO, "a line above it");
    say(WEIR_EVENT_COMMITTED, 5, "interval");
    report_failed(&report, &failure, NULL, 1, 3, 0);
    cr_expect_str_eq(show(&terminal, 100)->rows[5], "", "what the line says is not true any more");
    tick_until_drawn(&terminal, 2, 440);
    screen = show(&terminal, 100);
    cr_expect_str_eq(screen->rows[2], "played: a line above it");
    cr_expect_str_eq(screen->rows[3], "played: failed: node parse: \"4x\" is no number");
    cr_expect_str_eq(screen->rows[4],
                     "played: starting again in 0 us (restart 1 of at most 3 in a row)");
    cr_expect_eq(screen->row, 5);
    cr_expect_not_null(strstr(screen->rows[5], " records/s | 44 % | 1 restart | checkpoint 5: 0."),
                       "%s", screen->rows[5]);
    cr_expect_not_null(strstr(screen->rows[5], " s old, took 36.0 ms, 1.1 MB"), "%s",
                       screen->rows[5]);

    report_end(&report, WEIR_OUTCOME_ENDED, &(struct weir_status){0}, NULL);
    screen = show(&terminal, 100);
    cr_expect_not_null(strstr(screen->rows[5], "this run: 0 records"), "%s", screen->rows[5]);
    cr_expect_not_null(strstr(screen->rows[6], "ended: all input"), "%s", screen->rows[6]);
    cr_expect_str_eq(screen->rows[7], "", "something is left of the line");
}

Test(live, line_is_drawn_at_most_ten_times_a_second)
{
    static struct terminal terminal;

    open_terminal(&terminal, 80);
    report_begin(&report, "played", &options, &job, 0);
    int64_t began_ns = now_ns();
    tick_until_drawn(&terminal, 4, 1);
    cr_expect_geq(now_ns() - began_ns, INT64_C(300000000));
}

Test(live, line_is_cut_to_the_width_of_the_terminal_as_it_is_now)
{
    static struct terminal terminal;
    struct winsize narrow = {.ws_row = 24, .ws_col = 12};

    open_terminal(&terminal, 20);
    report_begin(&report, "played", &options, &job, 0);
    tick_until_drawn(&terminal, 1, 430);
    struct screen *screen = show(&terminal, 20);
    cr_expect_eq(screen->wraps, 0);
    cr_expect_str_eq(screen->rows[0], "played: running | 4");
    cr_assert_eq(ioctl(terminal.master, TIOCSWINSZ, &narrow), 0);
    tick_until_drawn(&terminal, 1, 430);
    cr_expect_eq(strlen(show(&terminal, 20)->rows[0]), 11);
}

static void nothing_is_drawn(const char *term, unsigned short columns)
{
    static struct terminal terminal;

    open_terminal(&terminal, columns);
    if (term != NULL)
        setenv("TERM", term, 1);
    else
        unsetenv("TERM");
    report_begin(&report, "played", &options, &job, 0);
    struct weir_status status = running(1);
    report_tick(&report, &status);
    report_end(&report, WEIR_OUTCOME_ENDED, &status, NULL);
    cr_expect_eq(show(&terminal, 200)->clears, 0);
}

Test(live, line_is_not_drawn_where_it_is_not_wanted)
{
    capture(STDOUT_FILENO, "events");
    nothing_is_drawn("dumb", 80);
    nothing_is_drawn(NULL, 80);
    nothing_is_drawn("", 80);
    options.quiet = true;
    nothing_is_drawn("xterm", 80);
    options.quiet = false;
    options.json = true;
    nothing_is_drawn("xterm", 80);
}

Test(live, line_of_a_process_that_died_is_taken_away_by_its_supervisor)
{
    static struct terminal terminal;

    open_terminal(&terminal, 100);
    report_begin(&report, "child", &options, &job, 1);
    tick_until_drawn(&terminal, 1, 430);
    report_begin(&report, "parent", &options, &job, 0);
    report_died(&report, 4711, SIGKILL, 0, NULL, "", 1, 3, 0);
    cr_expect_str_eq(show(&terminal, 100)->rows[0],
                     "parent: process 4711 was killed by SIGKILL (9)");
}

/* ------------------------------------------------------------------------------- the figures -- */

static const char *figures_at(struct figures *figures, int64_t ms, uint64_t records, uint64_t total)
{
    static char text[300];
    struct weir_status status = running(records);

    status.progress_total = total;
    figures_take(figures, &status, ms * 1000000);
    figures_print(figures, &status, &(struct figures_checkpoint){0}, 0, ms * 1000000, text,
                  sizeof text);
    return text;
}

Test(figures, tell_a_steady_rate_and_the_time_left)
{
    struct figures figures = {0};

    cr_expect_str_eq(figures_at(&figures, 1000, 0, 100000), "running | 0 %");
    cr_expect_str_eq(figures_at(&figures, 1100, 100, 100000), "1000 records/s | 0 %");
    cr_expect_str_eq(figures_at(&figures, 11000, 10000, 100000),
                     "1000 records/s | 10 %, 1 min 30 s left");
    cr_expect_str_eq(figures_at(&figures, 101000, 100000, 100000), "1000 records/s | 100 %");
}

Test(figures, follow_a_rate_that_changes_within_seconds)
{
    struct figures figures = {0};
    const char *text = figures_at(&figures, 1000, 0, 0);

    for (int64_t i = 1; i <= 50; i++)
        text = figures_at(&figures, 1000 + i * 100, (uint64_t)i * 200000, 0);
    cr_expect_str_eq(text, "2.00 M records/s");
    for (int64_t i = 51; i <= 130; i++)
        text = figures_at(&figures, 1000 + i * 100, 10000000, 0);
    cr_expect_eq(strncmp(text, "1.", 2) == 0 || strstr(text, "M") != NULL, 0, "%s", text);
}

Test(figures, begin_anew_after_a_restart)
{
    struct figures figures = {0};
    struct weir_status status = running(500);

    figures_at(&figures, 1000, 400, 1000);
    figures_at(&figures, 2000, 500, 1000);
    status.epoch = 2;
    status.records_emitted = 501; /* more than before, yet of another life */
    figures_take(&figures, &status, 3000000000);
    cr_expect_lt(figures.rate, 0);
}

Test(figures, tell_what_a_crash_would_go_back_to)
{
    struct figures figures = {0};
    struct weir_status status = running(1);
    char text[300];

    status.progress_total = 0;
    figures_take(&figures, &status, 5);
    figures_print(&figures, &status, &(struct figures_checkpoint){.id = 7}, 2, 5, text, 300);
    cr_expect_str_eq(text, "running | 2 restarts | restored from checkpoint 7");
    figures_print(&figures, &status,
                  &(struct figures_checkpoint){8, 123456, 2500000, INT64_C(61250000000), 0}, 0, 5,
                  text, 300);
    cr_expect_str_eq(text, "running | checkpoint 8: 61.2 s old, took 2.5 ms, 123 kB");
    figures_print(&figures, &status,
                  &(struct figures_checkpoint){8, 123456, 2500000, INT64_C(61250000000), 1300000},
                  0, 5, text, 300);
    cr_expect_str_eq(text,
                     "running | checkpoint 8: 61.2 s old, took 2.5 ms, 123 kB, 1.3 MB in flight");
    figures_print(&figures, &status, &(struct figures_checkpoint){0}, 0, 5, text, 4);
    cr_expect_str_eq(text, "run", "cut to its room");
}

Test(figures, never_pass_a_hundred_percent)
{
    struct figures figures = {0};

    cr_expect_str_eq(figures_at(&figures, 1000, 1500, 1000), "running | 100 %");
}
