/* SPDX-License-Identifier: Apache-2.0 */
/* links: main */
/*
 * What a command line may say: runtime/main/options, parameters, duration, digits, refusal,
 * exit_code. No job is started.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "duration.h"
#include "exit_code.h"
#include "options.h"
#include "quantity.h"

static const struct weir_parameter declared[] = {
    {"input", WEIR_TEXT, NULL, "file of text", NULL},
    {"output", WEIR_TEXT, NULL, "directory", NULL},
    {"emit", WEIR_CHOICE, "final", "when", "final|updates"},
    {"rate", WEIR_COUNT, "0", "lines a second", NULL},
    {0}};

static struct options options;
static struct weir_error error;

/* Splits at blanks; the views stay valid until the next call. */
static enum weir_result parse(const char *line)
{
    static char text[1000];
    static char *words[40];
    int count = 0;

    snprintf(text, sizeof text, "%s", line);
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " "))
        words[count++] = word;
    words[count] = NULL;
    memset(&error, 0, sizeof error);
    return options_parse(&options, count, words, declared, &error);
}

static enum weir_result parse_run(const char *rest)
{
    char line[1000];

    snprintf(line, sizeof line, "word_count run --set input=i --set output=o %s", rest);
    return parse(line);
}

#define REFUSED(rest, says)                                                                        \
    do {                                                                                           \
        cr_expect_eq(parse_run(rest), WEIR_INVALID, "accepted: %s", rest);                         \
        cr_expect(strstr(error.text, says) != NULL, "%s: \"%s\"", rest, error.text);               \
    } while (0)

Test(options, zero_is_the_default_of_everything_not_said)
{
    cr_assert_eq(parse_run(""), WEIR_OK, "%s", error.text);
    cr_expect_eq(options.verb, OPTIONS_RUN);
    cr_expect_eq(options.job.size, sizeof(struct weir_job_options));
    cr_expect_null(options.job.store);
    cr_expect_eq(options.job.interval_ns, 0);
    cr_expect_eq(options.job.parallelism, 0);
    cr_expect_eq(options.job.restore, WEIR_RESTORE_LATEST);
}

Test(options, every_option_lands_in_its_field)
{
    cr_assert_eq(
        parse_run(
            "--store s --interval 100ms --restore 42 --parallelism 5 --retain 7 --full-every 8 "
            "--timeout 2min --endpoint tcp://127.0.0.1"),
        WEIR_OK, "%s", error.text);
    cr_expect_str_eq(options.job.store, "s");
    cr_expect_eq(options.job.interval_ns, 100 * (int64_t)1000000);
    cr_expect_eq(options.job.restore, WEIR_RESTORE_ID);
    cr_expect_eq(options.job.restore_id, 42);
    cr_expect_eq(options.job.parallelism, 5);
    cr_expect_eq(options.job.retain, 7);
    cr_expect_eq(options.job.full_every, 8);
    cr_expect_eq(options.job.timeout_ns, 120 * (int64_t)1000000000);
    cr_expect_str_eq(options.job.endpoint, "tcp://127.0.0.1");
}

Test(options, until_is_a_count_or_a_time)
{
    cr_assert_eq(parse_run("--no-publish --until 17"), WEIR_OK, "%s", error.text);
    cr_expect(options.job.no_publish && options.job.until_records == 17);
    cr_expect_eq(options.max_restarts, 0);
    cr_expect_eq(options.job.until_time, 0);
    static const struct {
        const char *text;
        int64_t seconds, ns;
    } times[] = {
        {"1970-01-01T00:00:01Z", 1, 0},          {"2000-02-29T12:00:00.5Z", 951825600, 500000000},
        {"2026-01-31T14:03:00Z", 1769868180, 0}, {"2024-12-31T23:59:59.000000001Z", 1735689599, 1},
        {"2100-03-01T00:00:00Z", 4107542400, 0},
    };
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        char rest[80];
        snprintf(rest, sizeof rest, "--no-publish --until %s", times[i].text);
        cr_assert_eq(parse_run(rest), WEIR_OK, "%s: %s", rest, error.text);
        cr_expect_eq(options.job.until_time, times[i].seconds * 1000000000 + times[i].ns, "%s",
                     times[i].text);
        cr_expect_eq(options.job.until_records, 0);
    }
    static const char *const wrong[] = {"-1",
                                        "0",
                                        "5x",
                                        "2026-13-01T00:00:00Z",
                                        "2026-01-32T00:00:00Z",
                                        "2026-02-30T00:00:00Z",
                                        "2026-01-31T14:03:60Z",
                                        "9999-01-01T00:00:00Z",
                                        "2026-01-31T24:00:00Z",
                                        "2026-01-31T14:03:00",
                                        "2026-01-31T14:03:00.Z",
                                        "2026-01-31T14:03:00.1234567890Z",
                                        "1970-01-01T00:00:00Z",
                                        "2026-1-31T14:03:00Z",
                                        "20260131T140300Z"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char rest[80];
        snprintf(rest, sizeof rest, "--no-publish --until %s", wrong[i]);
        cr_expect_eq(parse_run(rest), WEIR_INVALID, "%s", wrong[i]);
    }
}

Test(options, what_is_replayed_is_named_once)
{
    cr_expect_eq(parse_run("--no-publish --restore ./saved"), WEIR_OK, "%s", error.text);
    cr_expect_eq(parse_run("--no-publish --restore 17 --store s"), WEIR_OK, "%s", error.text);
    cr_expect_eq(parse_run("--restore ./saved --store s"), WEIR_OK, "%s", error.text);
    cr_expect_eq(parse_run("--no-publish --restore ./saved --store s"), WEIR_INVALID);
    cr_expect_not_null(strstr(error.text, "--store means nothing with --no-publish and the path"),
                       "%s", error.text);
}

Test(options, of_restarts_and_what_is_said_land_in_theirs)
{
    cr_assert_eq(parse_run("--store s --min-pause 50ms --tolerated 4 --mode aligned --supervise "
                           "--max-restarts 4 --restart-delay 2s --dead-letters d --poison-after 5 "
                           "--stop-deadline 1min --no-control --log-level debug --json"),
                 WEIR_OK, "%s", error.text);
    cr_expect_eq(options.job.min_pause_ns, 50 * (int64_t)1000000);
    cr_expect_eq(options.job.tolerated, 4);
    cr_expect(options.supervise && options.no_control && options.json && !options.quiet);
    cr_expect_eq(options.max_restarts, 4);
    cr_expect_eq(options.restart_delay_ns, 2 * (int64_t)1000000000);
    cr_expect_str_eq(options.job.dead_letters, "d");
    cr_expect_eq(options.poison_after, 5);
    cr_expect_eq(options.stop_deadline_ns, 60 * (int64_t)1000000000);
    cr_expect_eq(options.log_level, WEIR_LOG_DEBUG);
}

Test(options, have_the_defaults_the_help_tells)
{
    cr_assert_eq(parse_run("--store s"), WEIR_OK, "%s", error.text);
    cr_expect_eq(options.max_restarts, 3);
    cr_expect_eq(options.restart_delay_ns, 100 * (int64_t)1000000);
    cr_expect_eq(options.poison_after, 3);
    cr_expect_eq(options.stop_deadline_ns, 30 * (int64_t)1000000000);
    cr_expect_eq(options.log_level, WEIR_LOG_INFO);
    cr_assert_eq(parse_run("--quiet"), WEIR_OK, "%s", error.text);
    cr_expect_eq(options.log_level, WEIR_LOG_WARNING);
    cr_expect_eq(options.max_restarts, 0, "without a store a restart would double the output");
}

Test(options, asks_a_running_job_without_parameters)
{
    static const char *const words[] = {"status", "checkpoint", "savepoint --to d", "stop", "dump"};
    static const enum options_verb verbs[] = {OPTIONS_STATUS, OPTIONS_CHECKPOINT, OPTIONS_SAVEPOINT,
                                              OPTIONS_STOP, OPTIONS_DUMP};
    char line[100];
    for (size_t i = 0; i < 5; i++) {
        snprintf(line, sizeof line, "p %s --store s --json", words[i]);
        cr_assert_eq(parse(line), WEIR_OK, "%s", error.text);
        cr_expect_eq(options.verb, verbs[i]);
        snprintf(line, sizeof line, "p %s", words[i]);
        cr_expect_eq(parse(line), WEIR_INVALID);
        cr_expect(strstr(error.text, "needs --store DIR") != NULL, "%s", error.text);
    }
    cr_assert_eq(parse("p stop --store s --drain"), WEIR_OK, "%s", error.text);
    cr_expect(options.drain && !options.now && options.savepoint == NULL);
}

Test(options, say_where_a_savepoint_is_to_be)
{
    cr_assert_eq(parse("p savepoint --store s --to a/b"), WEIR_OK, "%s", error.text);
    cr_expect_str_eq(options.to, "a/b");
    cr_expect_null(options.savepoint);
    cr_assert_eq(parse("p stop --store s --savepoint c"), WEIR_OK, "%s", error.text);
    cr_expect_str_eq(options.savepoint, "c");
    cr_expect_not(options.drain);
    cr_assert_eq(parse("p stop --store s --drain --savepoint=c"), WEIR_OK, "%s", error.text);
    cr_expect(options.drain);
}

Test(options, of_checkpoints_that_overtake_land_in_theirs)
{
    cr_assert_eq(parse_run("--store s --alignment-max 20ms --recording-max 1MiB --memory-max 2GiB "
                           "--rounds 4 --scratch d --state-memory 1GiB"),
                 WEIR_OK, "%s", error.text);
    cr_expect_eq(options.job.mode, WEIR_ADAPTIVE);
    cr_expect_eq(options.job.alignment_max_ns, 20 * (int64_t)1000000);
    cr_expect_eq(options.job.recording_max, 1u << 20);
    cr_expect_eq(options.job.memory_max, (uint64_t)2 << 30);
    cr_expect_eq(options.job.rounds_at_once, 4);
    cr_expect_str_eq(options.job.scratch, "d");
    cr_expect_eq(options.job.state_memory, (uint64_t)1 << 30);
    REFUSED("--state-memory 0B", "at least 4KiB");
    REFUSED("--state-memory much", "--state-memory");
    REFUSED("--store s --recording-max 0B", "at least 1B");
    REFUSED("--store s --recording-max 64", "64 has no unit");
    REFUSED("--memory-max 0B", "without the option there is none");
    REFUSED("--store s --rounds 9", "from 1 to 8");
    REFUSED("--store s --alignment-max 5", "5 has no unit");
    REFUSED("--scratch=", "empty");
}

Test(options, of_what_hangs_land_in_theirs)
{
    cr_assert_eq(parse_run(""), WEIR_OK);
    cr_expect_eq(options.job.hang_after_ns, 0, "the job's default");
    cr_expect_not(options.hang_restarts);
    cr_assert_eq(parse_run("--hang-after 2min"), WEIR_OK, "%s", error.text);
    cr_expect_eq(options.job.hang_after_ns, INT64_C(120000000000));
    cr_assert_eq(parse_run("--hang-after off --store s --hang-action warn"), WEIR_OK, "%s",
                 error.text);
    cr_expect_lt(options.job.hang_after_ns, 0);
    cr_assert_eq(parse_run("--store s --supervise --hang-action restart --hang-after 100ms"),
                 WEIR_OK, "%s", error.text);
    cr_expect(options.hang_restarts);
    REFUSED("--hang-after 99ms", "--hang-after 99ms: say at least 100ms, or off");
    REFUSED("--hang-after 30", "--hang-after");
    REFUSED("--store s --hang-action kill", "--hang-action kill: say warn or restart");
    REFUSED("--hang-action warn", "--hang-action needs --store");
    REFUSED("--store s --hang-action restart", "--hang-action restart needs --supervise");
    REFUSED("--store s --supervise --hang-action restart --hang-after off",
            "--hang-action restart and --hang-after off: say one of them");
}

Test(options, a_savepoint_to_begin_with_has_a_slash_in_its_path)
{
    cr_assert_eq(parse_run("--store s --restore ./sp"), WEIR_OK, "%s", error.text);
    cr_expect_eq(options.job.restore, WEIR_RESTORE_PATH);
    cr_expect_str_eq(options.job.restore_path, "./sp");
    cr_expect(options.elsewhere);
    cr_assert_eq(parse_run("--store s --restore /a/latest"), WEIR_OK, "%s", error.text);
    cr_expect_eq(options.job.restore, WEIR_RESTORE_PATH);
    cr_assert_eq(parse_run("--store s --restore latest"), WEIR_OK, "%s", error.text);
    cr_expect_eq(options.job.restore, WEIR_RESTORE_LATEST);
    cr_expect_not(options.elsewhere);
    REFUSED("--store s --restore sp", "the path of a savepoint with a / in it: ./sp");
    REFUSED("--restore ./sp", "--restore needs --store");
}

static void senseless(const char *line, const char *says)
{
    cr_expect_eq(parse(line), WEIR_INVALID, "accepted: %s", line);
    cr_expect(strstr(error.text, says) != NULL, "%s: \"%s\"", line, error.text);
}

Test(options, refuses_what_has_no_sense_beside_the_rest)
{
    REFUSED("--dot", "--dot means nothing to \"run\"");
    REFUSED("--now", "--now means nothing to \"run\"");
    REFUSED("--interval 1s", "--interval needs --store");
    REFUSED("--timeout 1s", "--timeout needs --store");
    REFUSED("--retain 2", "--retain needs --store");
    REFUSED("--full-every 2", "--full-every needs --store");
    REFUSED("--restore none", "--restore needs --store");
    REFUSED("--mode aligned", "--mode needs --store");
    REFUSED("--dead-letters d", "--dead-letters needs --store");
    REFUSED("--supervise", "--supervise needs --store");
    REFUSED("--max-restarts 2", "--max-restarts needs --store");
    REFUSED("--store s --poison-after 5", "--poison-after 5 is never reached");
    REFUSED("--store s --max-restarts 0 --poison-after 2", "--poison-after 2 is never reached");
    REFUSED("--restart-delay 1s", "--restart-delay needs --store");
    REFUSED("--poison-after 2", "--poison-after needs --store");
    REFUSED("--min-pause 1s", "--min-pause needs --store");
    REFUSED("--tolerated 1", "--tolerated needs --store");
    REFUSED("--stop-deadline 1s", "--stop-deadline needs --store");
    REFUSED("--alignment-max 1s", "--alignment-max needs --store");
    REFUSED("--recording-max 1MiB", "--recording-max needs --store");
    REFUSED("--rounds 3", "--rounds needs --store");
    REFUSED("--store s --mode aligned --alignment-max 1s",
            "--alignment-max means nothing with --mode aligned");
    REFUSED("--store s --alignment-max 1s --mode unaligned",
            "--alignment-max means nothing with --mode unaligned");
    REFUSED("--store s --rounds 2 --min-pause 50ms", "--rounds 2 and --min-pause: say one");
    REFUSED("--store s --scratch s", "--scratch is the directory of --store");
    REFUSED("--store s/ --scratch s//", "--scratch is the directory of --store");
    REFUSED("--savepoint d", "--savepoint means nothing to \"run\"");
    REFUSED("--quiet --json", "--quiet and --json: say one of them");
    REFUSED("--quiet --log-level debug", "--quiet and --log-level: say one of them");
    senseless("p plan --set input=i --set output=o --dot --json", "--dot and --json");
    senseless("p stop --store s --drain --now", "--drain and --now");
    senseless("p stop --store s --savepoint d --now", "--savepoint and --now");
    senseless("p stop --store s --savepoint=", "--savepoint: the directory's name is empty");
    senseless("p stop --store s --to d", "--to means nothing to \"stop\"");
    senseless("p savepoint --store s", "savepoint needs --to DIR: a directory that is not there");
    senseless("p savepoint --store s --to=", "--to: the directory's name is empty");
    senseless("p savepoint --store s --savepoint d", "--savepoint means nothing to \"savepoint\"");
    senseless("p savepoint --store s d", "\"d\" is one word too many");
    senseless("p checkpoint --store s --to d", "--to means nothing to \"checkpoint\"");
    senseless("p savepont --store s --to d", "did you mean savepoint?");
    senseless("p status --store s --interval 1s", "--interval means nothing to \"status\"");
    senseless("p dump --store s --set input=i", "--set means nothing to \"dump\"");
}

Test(options, takes_what_looks_alike_and_has_a_sense)
{
    static const char *const lines[] = {
        "--store s --mode adaptive --alignment-max 1s", "--store s --rounds 1 --min-pause 50ms",
        "--store s --scratch s/scratch", "--store s --scratch ss", "--scratch s"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        cr_expect_eq(parse_run(lines[i]), WEIR_OK, "%s: %s", lines[i], error.text);
}

Test(options, knows_three_modes_of_checkpoints)
{
    static const struct {
        const char *line;
        enum weir_mode mode;
    } modes[] = {{"--store s", WEIR_ADAPTIVE},
                 {"--store s --mode adaptive", WEIR_ADAPTIVE},
                 {"--store s --mode aligned", WEIR_ALIGNED},
                 {"--store s --mode unaligned", WEIR_UNALIGNED}};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        cr_assert_eq(parse_run(modes[i].line), WEIR_OK, "%s", error.text);
        cr_expect_eq(options.job.mode, modes[i].mode, "%s", modes[i].line);
    }
    REFUSED("--store s --mode crooked", "say adaptive, aligned or unaligned");
}

Test(options, flags_may_be_denied)
{
    cr_assert_eq(parse_run("--quiet=no --json=yes"), WEIR_OK, "%s", error.text);
    cr_expect(options.json && !options.quiet);
    REFUSED("--quiet=perhaps", "--quiet perhaps: say yes or no");
    REFUSED("--quiet yes", "one word too many");
    REFUSED("--log-level loud", "say error, warning, info or debug");
}

Test(options, help_fits_into_100_columns)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    options_print(out);
    fclose(out);
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
        cr_expect_leq(strlen(line), 100, "%s", line);
    free(text);
}

Test(options, takes_the_value_after_an_equals_sign)
{
    cr_assert_eq(parse_run("--store=a=b --interval=off --set=rate=9"), WEIR_OK, "%s", error.text);
    cr_expect_str_eq(options.job.store, "a=b");
    cr_expect_eq(options.job.interval_ns, -1);
    cr_expect_eq(weir_parameter_count(&options.parameters, "rate"), 9);
}

Test(options, takes_the_verb_anywhere)
{
    cr_assert_eq(parse("p --set input=i --set output=o --store s plan"), WEIR_OK, "%s", error.text);
    cr_expect_eq(options.verb, OPTIONS_PLAN);
}

Test(options, gives_help_and_version_whatever_else_is_wrong)
{
    cr_expect_eq(parse("p --nonsense --help"), WEIR_OK);
    cr_expect_eq(options.verb, OPTIONS_HELP);
    cr_expect_eq(parse("p run --version"), WEIR_OK);
    cr_expect_eq(options.verb, OPTIONS_VERSION);
}

Test(options, refuses_unknown_words_by_name_with_the_likely_one)
{
    REFUSED("--inteval 1s", "did you mean --interval?");
    REFUSED("--checkpoint-dir x", "--checkpoint-dir: unknown option; --help");
    REFUSED("-s x", "unknown option");
    REFUSED("--set inptu=x", "did you mean \"input\"?");
    REFUSED("--set colour=red", "colour: unknown parameter");
    REFUSED("rate=5", "say --set rate=5");
    REFUSED("again", "one word too many");
    cr_expect_eq(parse("p rnu"), WEIR_INVALID);
    cr_expect(strstr(error.text, "did you mean run?") != NULL, "%s", error.text);
    cr_expect_eq(parse("p"), WEIR_INVALID);
    cr_expect(strstr(error.text, "no verb") != NULL, "%s", error.text);
}

Test(options, refuses_values_that_are_missing_or_doubled)
{
    REFUSED("--store", "--store has no value: say --store DIR");
    REFUSED("--store --interval 1s", "--store has no value");
    REFUSED("--store=", "empty");
    REFUSED("--store a --store b", "given twice");
    REFUSED("--set rate", "say --set rate=VALUE");
    REFUSED("--set rate=1 --set rate=2", "given twice");
}

Test(options, refuses_a_time_without_unit)
{
    REFUSED("--interval 100", "say 100ms or 100s");
    REFUSED("--interval 1.5s", "the unit \".5s\" is unknown");
    REFUSED("--interval 10parsec", "unknown");
    REFUSED("--interval 0ms", "more than 0");
    REFUSED("--interval -5ms", "no length of time");
    REFUSED("--interval 99999999999999999999s", "no length of time");
    REFUSED("--interval 9999999999999s", "too long");
    REFUSED("--stop-deadline 9223372036s", "too long"); /* it ends after int64_t */
    REFUSED("--timeout off", "no length of time");
}

Test(options, refuses_numbers_out_of_range)
{
    REFUSED("--parallelism 0", "from 1 to 1024");
    REFUSED("--parallelism 1025", "from 1 to 1024");
    REFUSED("--retain three", "from 1 to");
    REFUSED("--full-every 0", "from 1 to");
    REFUSED("--store s --restore newest", "latest, none, the id");
    REFUSED("--store s --restore 0", "latest, none, the id");
    REFUSED("--restore 4", "needs --store");
    REFUSED("--endpoint ipc://x", "inproc or tcp://127.0.0.1");
}

Test(parameters, required_ones_may_not_be_empty)
{
    cr_expect_eq(parse("p run --set input= --set output=o"), WEIR_INVALID);
    cr_expect(strstr(error.text, "value is empty") != NULL, "%s", error.text);
    REFUSED("--set emit=final|updates", "none of final|updates");
    REFUSED("--set emit=", "none of final|updates");
    REFUSED("--set emit=up", "none of final|updates");
}

Test(parameters, names_everything_that_is_missing)
{
    cr_expect_eq(parse("p run"), WEIR_INVALID);
    cr_expect_str_eq(error.text,
                     "missing: --set input=... (file of text) and --set output=... (directory)");
}

Test(duration, prints_three_digits)
{
    char text[DURATION_TEXT];

    cr_expect_str_eq(duration_print(850000, text), "850 us");
    cr_expect_str_eq(duration_print(12340000, text), "12.3 ms");
    cr_expect_str_eq(duration_print(99950000, text), "100 ms");
    cr_expect_str_eq(duration_print(999500000, text), "1.0 s");
    cr_expect_str_eq(duration_print(4200000000, text), "4.2 s");
    cr_expect_str_eq(duration_print(125900000000, text), "2 min 5 s");
    cr_expect_str_eq(duration_print(INT64_C(11520000000000), text), "3 h 12 min");
    cr_expect_str_eq(duration_round(900000000, text), "0 s");
}

static int code(enum weir_result result, const char *node)
{
    struct weir_error failure = {.code = result};

    snprintf(failure.node, sizeof failure.node, "%s", node);
    return exit_code_of_start(&failure);
}

Test(exit_code, tells_the_store_from_an_operator)
{
    cr_expect_eq(code(WEIR_IO, ""), EXIT_STORE);
    cr_expect_eq(code(WEIR_IO, "lines"), EXIT_FAILED);
    cr_expect_eq(code(WEIR_REFUSED, ""), EXIT_STORE);
    cr_expect_eq(code(WEIR_REFUSED, "output"), EXIT_FAILED);
    cr_expect_eq(code(WEIR_LOCKED, ""), EXIT_STORE);
    cr_expect_eq(code(WEIR_DAMAGED, "count"), EXIT_STORE);
    cr_expect_eq(code(WEIR_UNSUPPORTED, ""), EXIT_STORE);
    cr_expect_eq(code(WEIR_MISMATCH, ""), EXIT_MISMATCH);
    cr_expect_eq(code(WEIR_MISMATCH, "count"), EXIT_MISMATCH);
    cr_expect_eq(code(WEIR_INVALID, "count"), EXIT_USAGE);
    cr_expect_eq(code(WEIR_FAILED, "count"), EXIT_FAILED);
}

Test(exit_code, of_every_outcome)
{
    struct weir_error failed = {.code = WEIR_FAILED, .node = "count"};
    struct weir_error store = {.code = WEIR_IO};
    struct weir_error operator= {.code = WEIR_INVALID, .node = "count"};

    cr_expect_eq(exit_code_of_outcome(WEIR_OUTCOME_ENDED, NULL), EXIT_ENDED);
    cr_expect_eq(exit_code_of_outcome(WEIR_OUTCOME_ALREADY_ENDED, NULL), EXIT_ENDED);
    cr_expect_eq(exit_code_of_outcome(WEIR_OUTCOME_STOPPED, NULL), EXIT_STOPPED);
    cr_expect_eq(exit_code_of_outcome(WEIR_OUTCOME_UNKNOWN, NULL), EXIT_STORE);
    cr_expect_eq(exit_code_of_outcome(WEIR_OUTCOME_FAILED, &failed), EXIT_FAILED);
    cr_expect_eq(exit_code_of_outcome(WEIR_OUTCOME_FAILED, &store), EXIT_STORE);
    cr_expect_eq(exit_code_of_outcome(WEIR_OUTCOME_FAILED, &operator), EXIT_FAILED);
}
