/* SPDX-License-Identifier: Apache-2.0 */
/* links: main */
/*
 * A file of options: what it may say, who wins, and that whatever is wrong is refused with file and
 * line: runtime/main/config, and options on top of it.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "options.h"
#include "scratch.h"

static const struct weir_parameter declared[] = {{"input", WEIR_TEXT, NULL, "file of text", NULL},
                                                 {"title", WEIR_TEXT, "", "any text", NULL},
                                                 {"rate", WEIR_COUNT, "0", "lines a second", NULL},
                                                 {0}};

static struct scratch folder;
static char path[512];
static struct options options;
static struct weir_error error;

static void begin(void)
{
    folder = scratch_make();
    snprintf(path, sizeof path, "%s/job.conf", folder.path);
}
static void finish(void)
{
    options_free(&options);
    scratch_free(&folder);
}
TestSuite(config, .init = begin, .fini = finish);

/* `line` after "p --config FILE"; the words live as long as the options need them. */
static enum weir_result parse_bytes(const void *file, size_t size, const char *line)
{
    static char text[1000];
    static char *words[40];
    int count = 0;

    options_free(&options);
    scratch_write(path, file, size);
    snprintf(text, sizeof text, "p --config %s %s", path, line);
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " "))
        words[count++] = word;
    words[count] = NULL;
    memset(&error, 0, sizeof error);
    return options_parse(&options, count, words, declared, &error);
}

static enum weir_result parse(const char *file, const char *line)
{
    return parse_bytes(file, strlen(file), line);
}

static void refused(const char *file, const char *says)
{
    cr_expect_eq(parse(file, "run --set input=i"), WEIR_INVALID, "accepted: %s", file);
    cr_expect(strstr(error.text, says) != NULL, "%s: \"%s\"", file, error.text);
    cr_expect(strstr(error.text, "job.conf") != NULL, "no file in \"%s\"", error.text);
}

Test(config, says_what_the_command_line_could)
{
    cr_assert_eq(
        parse("# a job\n\n  store = a store \ninterval=100ms # often\r\n\tsupervise = yes\n"
              "set input = text of = signs\nset title =\n  # set rate = 1\nquiet = no",
              "run"),
        WEIR_OK, "%s", error.text);
    cr_expect_str_eq(options.job.store, "a store");
    cr_expect_eq(options.job.interval_ns, 100000000);
    cr_expect(options.supervise);
    cr_expect_not(options.quiet);
    cr_expect_str_eq(weir_parameter_text(&options.parameters, "input"), "text of = signs");
    cr_expect_str_eq(weir_parameter_text(&options.parameters, "title"), "");
    cr_expect_eq(weir_parameter_count(&options.parameters, "rate"), 0);
}

Test(config, keeps_a_hash_inside_a_word)
{
    cr_assert_eq(parse("set input = a#b #c", "run"), WEIR_OK, "%s", error.text);
    cr_expect_str_eq(weir_parameter_text(&options.parameters, "input"), "a#b");
}

Test(config, loses_against_the_command_line_wherever_that_names_it)
{
    static const char file[] = "store = s\ninterval = 1s\nsupervise = yes\nset input = f\n"
                               "set rate = 5\n";
    cr_assert_eq(parse(file, "run --interval off --supervise=no --set input=l"), WEIR_OK, "%s",
                 error.text);
    cr_expect_str_eq(options.job.store, "s");
    cr_expect_eq(options.job.interval_ns, -1);
    cr_expect_not(options.supervise);
    cr_expect_str_eq(weir_parameter_text(&options.parameters, "input"), "l");
    cr_expect_eq(weir_parameter_count(&options.parameters, "rate"), 5);
    cr_expect_eq(parse(file, "run --set input=a --set input=b"), WEIR_INVALID);
    cr_expect(strstr(error.text, "--set input is given twice") != NULL, "%s", error.text);

    char plan[] = "plan", set[] = "--set", input[] = "input=l", named[600];
    snprintf(named, sizeof named, "--config=%s", path);
    char *words[] = {plan, plan, set, input, named, NULL};
    options_free(&options);
    cr_assert_eq(options_parse(&options, 5, words, declared, &error), WEIR_OK, "%s", error.text);
    cr_expect_str_eq(weir_parameter_text(&options.parameters, "input"), "l", "the file won");
}

Test(config, is_written_for_all_verbs)
{
    cr_assert_eq(
        parse("store = s\ndot = yes\ninterval = 1s\nnow = yes\npoison-after = 9\n", "status"),
        WEIR_OK, "%s", error.text);
    cr_assert_eq(parse("store = s\ndot = yes\njson = yes\nset input = i", "run"), WEIR_OK, "%s",
                 error.text);
    cr_expect_eq(parse("store = s\ndot = yes\njson = yes\nset input = i", "plan"), WEIR_INVALID);
    cr_assert_eq(parse("store = s\nto = a\nsavepoint = b\n", "savepoint"), WEIR_OK, "%s",
                 error.text);
    cr_expect_str_eq(options.to, "a", "what `stop` would do with the other does not matter");
    cr_expect_eq(parse("set input = i\nsupervise = yes", "run"), WEIR_INVALID);
    cr_expect(strstr(error.text, "--supervise needs --store") != NULL, "%s", error.text);
}

Test(config, refuses_with_file_and_line)
{
    refused("# one\n\ninteval = 1s\n", "job.conf:3: inteval: unknown option; did you mean");
    refused("interval = 100\n", "job.conf:1: interval 100 has no unit");
    refused("store = s\nparallelism = many\n", "job.conf:2: parallelism many: say a whole number");
    refused("store = a\nstore = b\n", "job.conf:2: store is given twice");
    refused("set rate = 1\nset rate = 1\n", "job.conf:2: set rate is given twice");
    refused("set rat = 1\n", "job.conf:1: set rat: unknown parameter; did you mean \"rate\"?");
    refused("set rate = fast\n", "job.conf:1: set rate: \"fast\" is not a whole number");
    refused("quiet = maybe\n", "job.conf:1: quiet maybe: say yes or no");
    refused("quiet\n", "job.conf:1: \"quiet\" is no line of the form");
    refused("--quiet = yes\n", "job.conf:1: --quiet = yes: here options stand without their");
    refused("set = 1\n", "job.conf:1: set what?");
    refused("= 1\n", "job.conf:1: the name before = is not one word");
    refused("min pause = 1s\n", "job.conf:1: the name before = is not one word");
    refused("config = other\n", "job.conf:1: config: a file can't name another one");
    refused("store =\n", "job.conf:1: store: the directory's name is empty");
}

Test(config, refuses_what_is_no_text)
{
    static const char zero[] = "store = s\nset input = a\0b\n";
    cr_expect_eq(parse_bytes(zero, sizeof zero - 1, "run"), WEIR_INVALID);
    cr_expect(strstr(error.text, "job.conf:2: a byte 0x00") != NULL, "%s", error.text);
    refused("\x7f"
            "ELF",
            "job.conf:1: a byte 0x7f");
    refused("store = s\rinterval = 1s\n", "job.conf:1: a byte 0x0d");
}

Test(config, refuses_what_is_too_large_and_takes_what_is_just_not)
{
    static char text[CONFIG_LIMIT + 1];
    memset(text, '#', sizeof text);
    cr_expect_eq(parse_bytes(text, CONFIG_LIMIT, "run --set input=i"), WEIR_OK, "%s", error.text);
    cr_expect_eq(parse_bytes(text, CONFIG_LIMIT + 1, "run --set input=i"), WEIR_INVALID);
    cr_expect(strstr(error.text, "over 64 KiB") != NULL, "%s", error.text);
}

/* Whatever a file holds: it is taken, or refused with a sentence. Pieces of real lines among random
 * bytes, so that some get far. */
Test(config, survives_any_bytes)
{
    static const char *const pieces[] = {"set", "input",  "=",        " ",     "\n",
                                         "#",   "store",  "interval", "100ms", "quiet",
                                         "yes", "config", "\r\n",     "\t",    "--"};
    char bytes[400];
    unsigned taken = 0;

    srand(7);
    for (unsigned i = 0; i < 3000; i++) {
        size_t size = 0;
        while (size < 300 && rand() % 30 != 0) {
            const char *piece = pieces[(unsigned)rand() % (sizeof pieces / sizeof *pieces)];
            if (rand() % 20 == 0)
                bytes[size++] = (char)rand();
            memcpy(bytes + size, piece, strlen(piece));
            size += strlen(piece);
        }
        enum weir_result result = parse_bytes(bytes, size, "run --set input=i");
        cr_assert(result == WEIR_OK || result == WEIR_INVALID);
        taken += result == WEIR_OK;
        cr_assert(result == WEIR_OK || strlen(error.text) > 10, "an empty refusal");
    }
    cr_expect_gt(taken, 20);
    cr_expect_lt(taken, 2900);
}

Test(config, refuses_a_file_it_can_not_read)
{
    static char program[] = "p", run[] = "run", name[] = "--config";
    char missing[] = "/nowhere/job.conf";
    char *words[] = {program, run, name, missing, NULL};
    cr_expect_eq(options_parse(&options, 4, words, declared, &error), WEIR_INVALID);
    cr_expect(strstr(error.text, "/nowhere/job.conf: No such file") != NULL, "%s", error.text);
    char *of_folder[] = {program, run, name, folder.path, NULL};
    cr_expect_eq(options_parse(&options, 4, of_folder, declared, &error), WEIR_INVALID);
    cr_expect(strstr(error.text, "Is a directory") != NULL, "%s", error.text);
    char *nothing[] = {program, run, name, NULL};
    cr_expect_eq(options_parse(&options, 3, nothing, declared, &error), WEIR_INVALID);
    cr_expect(strstr(error.text, "--config has no value") != NULL, "%s", error.text);
}
