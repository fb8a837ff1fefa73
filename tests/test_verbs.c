/* links: sim rich_store samples fuzz_bytes tool */
/* SPDX-License-Identifier: Apache-2.0
 *
 * The verbs of `weir`, called as its main calls them, on a store with one of everything in it, on
 * the simulated disk: text and JSON say the same, what is not there is told by name, and neither a
 * lack of memory nor bytes of any kind make half an answer look like a whole one.
 */
#include <criterion/criterion.h>
#include <getopt.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chart.h"
#include "exercised.h"
#include "explore.h"
#include "files.h"
#include "name.h"
#include "samples.h"
#include "sim.h"
#include "tool.h"

TestSuite(verbs, .timeout = 300);

/* ---- asking ---- */

static const struct verb {
    const char *name;
    int least, most;
    unsigned allowed;
    int (*run)(struct tool *tool);
} verbs[] = {
    {"list", 1, 1, 0, tool_list},
    {"show", 1, 2, 0, tool_show},
    {"state", 3, 3, OPTION_KEY | OPTION_PREFIX | OPTION_LIMIT | OPTION_FORMATS, tool_state},
    {"inflight", 2, 2, OPTION_EDGE | OPTION_LIMIT | OPTION_FORMATS, tool_inflight},
    {"diff", 3, 4, OPTION_FORMATS, tool_diff},
    {"verify", 1, 2, OPTION_ALL | OPTION_INVARIANT, tool_verify},
};

struct answer {
    int code;
    char *said, *complained; /* freed by answer_free */
};

static void answer_free(struct answer *answer)
{
    free(answer->said);
    free(answer->complained);
}

/* What is written to a descriptor from now on; then all of it, as a text. */
static int divert(int *kept)
{
    int file = memfd_create("standard error", MFD_CLOEXEC);
    fflush(stderr);
    *kept = dup(STDERR_FILENO);
    cr_assert(file >= 0 && *kept >= 0 && dup2(file, STDERR_FILENO) >= 0);
    return file;
}

static char *put_back(int file, int kept)
{
    fflush(stderr);
    cr_assert_geq(dup2(kept, STDERR_FILENO), 0);
    off_t size = lseek(file, 0, SEEK_END);
    char *text = calloc(1, (size_t)size + 1);
    cr_assert_eq(pread(file, text, (size_t)size, 0), (ssize_t)size);
    close(kept);
    close(file);
    return text;
}

static int run_verb(const struct verb *verb, int count, char **words, FILE *to, bool colour)
{
    struct tool tool = {.paper = {.to = to, .colour = colour}};
    optind = 0; /* glibc's, to begin anew */
    if (!options_read(&tool.options, count, words, verb->allowed, verb->least, verb->most))
        return EXIT_USAGE;
    return verb->run(&tool);
}

/* The line's words are separated by single spaces. */
static uint64_t fail_at, takes; /* of weir's allocations, which fails; how many there were */

static struct answer ask_in(const char *line, bool colour)
{
    char *copy = strdup(line), *words[12], *rest = NULL;
    int count = 0, kept;
    size_t size = 0, verb = 0;
    struct answer answer = {0};
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
        words[count++] = word;
    words[count] = NULL;
    while (strcmp(verbs[verb].name, words[0]) != 0)
        verb++;
    FILE *to = open_memstream(&answer.said, &size);
    int file = divert(&kept);
    sim_start(1);
    sim_memory_start(0, 0);
    sim_memory_fail(fail_at, 1);
    answer.code = run_verb(&verbs[verb], count, words, to, colour);
    takes = sim_memory_takes();
    uint64_t left = sim_end();
    answer.complained = put_back(file, kept);
    fclose(to);
    cr_assert_eq(left, 0, "%s: %s", line, answer.complained);
    free(copy);
    return answer;
}

static struct answer ask(const char *line)
{
    return ask_in(line, false);
}

/* Lines that are no headings. */
static unsigned lines_of(const char *text)
{
    unsigned lines = 0;
    for (const char *at = text; *at != 0; at = strchr(at, '\n') + 1) {
        cr_assert_not_null(strchr(at, '\n'), "half a line: %s", at);
        lines += *at != '#';
    }
    return lines;
}

static void each_is_an_object(const char *line, const char *text)
{
    for (const char *at = text; *at != 0; at = strchr(at, '\n') + 1) {
        json_t *value = json_loadb(at, (size_t)(strchr(at, '\n') - at), 0, NULL);
        cr_expect(json_is_object(value), "%s: %s", line, at);
        json_decref(value);
    }
}

static void put_sound(void)
{
    samples_put(samples_desk(false));
}

/* ---- what there is ---- */

static const struct {
    const char *line;
    int code;
    const char *says;
} questions[] = {
    {"list /store", EXIT_DONE, "ID"},
    {"show /store", EXIT_DONE, "checkpoint 3 of job"},
    {"show /store 1", EXIT_DONE, "numbers.out > work.in"},
    {"show /saved", EXIT_DONE, "checkpoint"},
    {"state /store newest work", EXIT_DONE, "# work/words: map"},
    {"state /store newest work/total", EXIT_DONE, "\t"},
    {"state /store newest work/total --key-format u64 --key 7", EXIT_DONE, "7\t"},
    {"state /store newest work/total --key-format u64 --prefix 1", EXIT_DONE, "10\t"},
    {"state /store newest work/total --key-format u64 --prefix 1234567", EXIT_DONE, ""},
    {"state /store newest work/words --key-format u64 --key 3", EXIT_DONE, "3\t"},
    {"state /store newest work/words --limit 2", EXIT_DONE, "\t"},
    {"state /store newest work/trail --key-format u64", EXIT_DONE, "\t0\t"},
    {"state /store newest work/recent --value-format utf8", EXIT_DONE, "some wor"},
    {"state /store newest work/_timers", EXIT_DONE, "event"},
    {"state /store newest work --prefix 0", EXIT_DONE, "# work/total"},
    {"inflight /store newest", EXIT_DONE, "numbers.0>work."},
    {"inflight /store newest --edge work:sink", EXIT_DONE, "work.0>sink.0\t1\t"},
    {"inflight /store newest --limit 1 --key-format u64 --value-format hex", EXIT_DONE, "0x"},
    {"diff /store 1 3", EXIT_NO, "# work/total: "},
    {"diff /store 1 3 work/words", EXIT_NO, "+ work/words\t"},
    {"diff /store 3 1 work", EXIT_NO, "- work/"},
    {"diff /store 3 3 work/total", EXIT_DONE, "0 added, 0 removed, 0 changed"},
    {"diff /store 1 2 work/_timers", EXIT_NO, "+ work/_timers\t"},
    {"diff /store 2 3 work/trail --value-format u64", EXIT_NO, "~ work/trail\t"},
    {"verify /store", EXIT_DONE, "3\tsound"},
    {"verify /store 2", EXIT_DONE, "2\tsound"},
    {"verify /store --all", EXIT_DONE, "3 checkpoints, 0 damaged"},
};
#define QUESTIONS (sizeof questions / sizeof questions[0])

static bool is_by_lines(const char *line)
{
    return strncmp(line, "state", 5) == 0 || strncmp(line, "inflight", 8) == 0 ||
           strncmp(line, "diff", 4) == 0;
}

Test(verbs, text_and_json_answer_alike)
{
    put_sound();
    for (size_t i = 0; i < QUESTIONS; i++) {
        char json[160];
        snprintf(json, sizeof json, "%s --json", questions[i].line);
        struct answer text = ask(questions[i].line), same = ask(json);
        cr_expect_eq(text.code, questions[i].code, "%s: %d: %s", questions[i].line, text.code,
                     text.complained);
        cr_expect_eq(same.code, questions[i].code, "%s: %d", json, same.code);
        cr_expect(strstr(text.said, questions[i].says) != NULL, "%s: %s", questions[i].line,
                  text.said);
        cr_expect_str_eq(text.complained, "");
        cr_expect_str_eq(same.complained, "");
        each_is_an_object(json, same.said);
        if (is_by_lines(json))
            cr_expect_eq(lines_of(text.said), lines_of(same.said), "%s: %s%s", json, text.said,
                         same.said);
        answer_free(&text);
        answer_free(&same);
    }
}

/* What is in colour is the same without. */
Test(verbs, colours_come_and_go)
{
    put_sound();
    for (size_t i = 0; i < QUESTIONS; i++) {
        struct answer plain = ask(questions[i].line), colour = ask_in(questions[i].line, true);
        char *to = colour.said;
        for (const char *at = colour.said; *at != 0; at++) {
            if (*at == '\033')
                at = strchr(at, 'm');
            else
                *to++ = *at;
        }
        *to = 0;
        cr_expect_str_eq(colour.said, plain.said);
        answer_free(&plain);
        answer_free(&colour);
    }
}

/* What is asked, and what must be in the answer or the complaint. */
struct row {
    const char *line;
    int code;
    const char *says;
};

/* ---- what there is not ---- */

Test(verbs, what_is_not_there_or_no_question_is_told_by_name)
{
    static const struct row rows[] = {
        {"list /nowhere", EXIT_STORE, "give the directory that the job has as --store"},
        {"show /store none", EXIT_USAGE, "'none' is no checkpoint's id"},
        {"show /store 0", EXIT_USAGE, "'0' is no checkpoint's id"},
        {"show /store 3x", EXIT_USAGE, "'3x' is no checkpoint's id"},
        {"show /store 99999999999999999999", EXIT_USAGE, "is no checkpoint's id"},
        {"show /store 77", EXIT_STORE, "`weir list` shows those there are"},
        {"state /store newest nobody", EXIT_USAGE, "there is: numbers, work, sink"},
        {"state /store newest sink", EXIT_NO, "node 'sink' has no keyed state"},
        {"state /store newest work/none", EXIT_USAGE, "node 'work' has no state 'none'"},
        {"state /store newest work/total --key-format u64 --key 4711", EXIT_NO,
         "there is no key 4711"},
        {"state /store newest work/total --key-format u64 --key x", EXIT_USAGE,
         "'x' is no key of work/total"},
        {"state /store newest work/words --key-format u64 --key 4711", EXIT_NO,
         "there is no key 4711"},
        {"state /store newest work/total --key-format u65", EXIT_USAGE, "'u65' is no format"},
        {"state /store newest work/total --value-format [", EXIT_USAGE, "'[' is no format"},
        {"inflight /store newest --edge work", EXIT_USAGE, "there is no edge 'work'"},
        {"inflight /store newest --edge work:numbers", EXIT_USAGE, "there is no edge"},
        {"inflight /store newest --value-format u65", EXIT_USAGE, "'u65' is no format"},
        {"inflight /store 9", EXIT_STORE, "9"},
        {"diff /store 1 9", EXIT_STORE, "`weir list` shows"},
        {"diff /store 1 3 nobody", EXIT_USAGE, "there is no state 'nobody'"},
        {"diff /store 1 3 work/", EXIT_USAGE, "there is no state 'work/'"},
        {"diff /store 1 3 work/total --value-format u65", EXIT_USAGE, "'u65' is no format"},
        {"diff /nowhere 1 3", EXIT_STORE, "/nowhere"},
        {"verify /store none", EXIT_USAGE, "'none' is no checkpoint's id"},
        {"verify /store 3 --all", EXIT_USAGE, "exclude each other"},
        {"verify /nowhere", EXIT_STORE, "/nowhere"},
        {"verify /store --invariant nothing.so", EXIT_USAGE, "can't be loaded"},
        {"list /store --limit 3", EXIT_USAGE, "this verb has no such option: limit"},
        {"state /store newest work --limit 0", EXIT_USAGE, "wants a number from 1 on, not: 0"},
        {"state /store newest work --limit 3x", EXIT_USAGE, "wants a number from 1 on, not: 3x"},
        {"state /store newest work --limit 99999999999999999999", EXIT_USAGE, "from 1 on, not"},
        {"state /store newest work --key 1 --prefix 1", EXIT_USAGE, "exclude each other"},
        {"state /store newest", EXIT_USAGE, "too few arguments"},
        {"list /store 3", EXIT_USAGE, "too many arguments, the first is: 3"},
        {"list /store --key", EXIT_USAGE, "an option without its value: --key"},
        {"list /store --what", EXIT_USAGE, "unknown option, or not a clear one: --what"},
    };
    put_sound();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char json[160];
        snprintf(json, sizeof json, "%s --json", rows[i].line);
        struct answer text = ask(rows[i].line), same = ask(json);
        cr_expect_eq(text.code, rows[i].code, "%s: %d: %s", rows[i].line, text.code,
                     text.complained);
        cr_expect_eq(strncmp(text.complained, "weir: ", 6), 0, "%s", text.complained);
        cr_expect(strstr(text.complained, rows[i].says) != NULL, "%s: %s", rows[i].line,
                  text.complained);
        cr_expect_eq(lines_of(text.complained), 1, "%s", text.complained);
        if (same.complained[0] == '{')
            each_is_an_object(json, same.complained);
        answer_free(&text);
        answer_free(&same);
    }
}

/* ---- no memory ---- */

static unsigned allocations, allocations_left = UINT32_MAX;

static void *take(size_t size)
{
    allocations++;
    return allocations_left > 0 && allocations_left-- > 0 ? malloc(size) : NULL;
}

static struct answer ask_with(const char *line, unsigned left)
{
    json_set_alloc_funcs(take, free);
    allocations = 0;
    allocations_left = left;
    struct answer answer = ask(line);
    allocations_left = UINT32_MAX;
    return answer;
}

/* At each of the last allocations, which are the answer's own, and at some of those before. */
Test(verbs, an_answer_that_lacks_memory_is_not_taken_for_a_whole_one)
{
    unsigned tried = 0;
    put_sound();
    for (size_t i = 0; i<QUESTIONS; i += explore_share()> 1 ? 3 : 1) {
        char json[160];
        snprintf(json, sizeof json, "%s --json", questions[i].line);
        struct answer whole = ask_with(json, UINT32_MAX);
        const unsigned all = allocations, own = all > 60 ? all - 60 : 0;
        for (unsigned left = 0; left < all; left += left < own ? 1 + own / 8 : 1, tried++) {
            struct answer answer = ask_with(json, left);
            bool complete = answer.code == whole.code && strcmp(answer.said, whole.said) == 0;
            cr_expect(complete || (answer.code == EXIT_STORE && answer.complained[0] != 0),
                      "%s: %u of %u: %d: %s: %s", json, left, all, answer.code, answer.complained,
                      answer.said);
            answer_free(&answer);
        }
        answer_free(&whole);
    }
    cr_expect_gt(tried, 100);
    exercised(tried);
}

/* The same of what the library takes. */
Test(verbs, a_library_that_lacks_memory_says_so)
{
    unsigned tried = 0;
    put_sound();
    for (size_t i = 0; i<QUESTIONS; i += explore_share()> 1 ? 3 : 1) {
        struct answer whole = ask(questions[i].line);
        const uint64_t all = takes, step = 1 + all / 300;
        for (uint64_t k = 1; k <= all; k += step, tried++) {
            fail_at = k;
            struct answer answer = ask(questions[i].line);
            fail_at = 0;
            bool complete = answer.code == whole.code && strcmp(answer.said, whole.said) == 0;
            cr_expect(complete || answer.code == EXIT_STORE, "%s: %llu of %llu: %d: %s",
                      questions[i].line, (unsigned long long)k, (unsigned long long)all,
                      answer.code, answer.complained);
            const char *told = strstr(answer.complained, "memory");
            told = told != NULL ? told : strstr(answer.said, "NO_MEMORY");
            told = told != NULL ? told : strstr(answer.said, "memory");
            cr_expect(complete || told != NULL, "%s: %llu: %s", questions[i].line,
                      (unsigned long long)k, answer.complained);
            answer_free(&answer);
        }
        answer_free(&whole);
    }
    cr_expect_gt(tried, 100);
    exercised(tried);
}

/* ---- an answer that can't be written ---- */

/* They come to an end, and the paper knows. */
Test(verbs, who_can_not_write_goes_on_no_further)
{
    put_sound();
    for (size_t i = 0; i < QUESTIONS; i++) {
        for (size_t verb = 0; verb < sizeof verbs / sizeof verbs[0]; verb++) {
            char *copy = strdup(questions[i].line), *words[12], *rest = NULL;
            int count = 0;
            for (char *word = strtok_r(copy, " ", &rest); word != NULL;
                 word = strtok_r(NULL, " ", &rest))
                words[count++] = word;
            words[count] = NULL;
            FILE *full = fopen("/dev/full", "w");
            cr_assert_not_null(full);
            setvbuf(full, NULL, _IONBF, 0);
            sim_start(1);
            if (strcmp(verbs[verb].name, words[0]) == 0) {
                (void)run_verb(&verbs[verb], count, words, full, false);
                cr_expect(ferror(full) || questions[i].says[0] == 0, "%s", questions[i].line);
            }
            cr_expect_eq(sim_end(), 0);
            fclose(full);
            free(copy);
        }
    }
}

/* ---- checkpoints of programs that were others ---- */

static void replace(struct fuzz_bytes *text, const char *from, const char *to)
{
    struct fuzz_bytes made = {0};
    const unsigned char *at = memmem(text->data, text->size, from, strlen(from));
    cr_assert_not_null(at, "%s is not there", from);
    size_t before = (size_t)(at - text->data);
    fuzz_put(&made, text->data, before);
    fuzz_put(&made, to, strlen(to));
    fuzz_put(&made, at + strlen(from), text->size - before - strlen(from));
    fuzz_drop(text);
    *text = made;
}

/* The newest manifest says it otherwise; the older ones do not. */
Test(verbs, what_another_program_has_saved_is_shown_and_compared_as_it_is)
{
    static const struct {
        const char *from, *to, *line;
        int code;
        const char *says;
    } rows[] = {
        {"\"name\": \"words\"", "\"name\": \"terms\"", "diff /store 2 3 work/words", EXIT_NO,
         "# work/words: only in checkpoint 2"},
        {"\"name\": \"words\"", "\"name\": \"terms\"", "diff /store 2 3 work/terms", EXIT_NO,
         "# work/terms: only in checkpoint 3"},
        {"\"name\": \"words\"", "\"name\": \"terms\"", "diff /store 2 3 work/terms --json", EXIT_NO,
         "\"change\":\"only\""},
        {"\"name\": \"work\"", "\"name\": \"toil\"", "diff /store 2 3", EXIT_NO,
         "# toil/total: only in checkpoint 3"},
        {"\"name\": \"work\"", "\"name\": \"toil\"", "diff /store 3 2", EXIT_NO,
         "# toil/total: only in checkpoint 3"},
        {"\"kind\": \"map\"", "\"kind\": \"list\"", "diff /store 2 3 work/words", EXIT_USAGE,
         "words"},
        {"\"value_size\": 8", "\"value_size\": 0", "diff /store 2 3 work/total", EXIT_STORE,
         "not what the manifest says"},
        {"\"key_groups\": 128", "\"key_groups\": 64", "diff /store 2 3 work/total", EXIT_NO,
         "# work/total"},
        {"\"key_groups\": 128", "\"key_groups\": 64", "diff /store 1 3 work/words", EXIT_NO,
         "+ work/words"},
        {"\"key_groups\": 128", "\"key_groups\": 64", "diff /store 2 3 work/trail", EXIT_NO,
         "~ work/trail"},
        {"\"key_groups\": 128", "\"key_groups\": 64", "diff /store 1 3 work/_timers", EXIT_NO,
         "+ work/_timers"},
        {"\"key_groups\": 128", "\"key_groups\": 64", "diff /store 2 3 work/recent", EXIT_NO,
         "work/recent"},
        {"\"key_format\": \"\"", "\"key_format\": \"u64\"", "show /store", EXIT_DONE, "u64"},
        {"\"key_format\": \"\"", "\"key_format\": \"u64\"",
         "state /store newest work/total --key 11", EXIT_DONE, "11\t"},
        {"\"value_format\": \"\"", "\"value_format\": \"hex\"", "inflight /store newest", EXIT_DONE,
         "\t0x"},
        {"\"value_format\": \"\"", "\"value_format\": \"hex\"", "show /store", EXIT_DONE, "  hex"},
        {"\"feedback\": false", "\"feedback\": true", "show /store", EXIT_DONE, "by_key, feedback"},
        {"\"restored_from\": 0", "\"restored_from\": 2", "show /store", EXIT_DONE, "checkpoint 2"},
        {"\"ended\": false", "\"ended\": true", "show /store", EXIT_DONE, "ended"},
        {"\"ended\": false", "\"ended\": true", "show /store --json", EXIT_DONE, "\"ended\":true"},
        {"\"note\": \"", "\"note\": \"\\u0085\\u00a7\\u001b[31m", "show /store", EXIT_DONE,
         "??\xc2\xa7?[31mnumber"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct samples_desk *desk = samples_desk(false);
        replace(samples_edit_text(desk), rows[i].from, rows[i].to);
        samples_put(desk);
        struct answer answer = ask(rows[i].line);
        cr_expect_eq(answer.code, rows[i].code, "%s: %d: %s", rows[i].line, answer.code,
                     answer.complained);
        cr_expect(strstr(answer.said, rows[i].says) != NULL ||
                      strstr(answer.complained, rows[i].says) != NULL,
                  "%s: %s%s", rows[i].line, answer.said, answer.complained);
        answer_free(&answer);
    }
}

/* As a job leaves it that was killed before its first. */
Test(verbs, a_store_without_checkpoints_is_one_and_has_nothing_to_show)
{
    static const struct row rows[] = {
        {"list /store", EXIT_DONE, "no checkpoint"},
        {"verify /store", EXIT_STORE, "the store holds no checkpoint"},
        {"verify /store --all", EXIT_DONE, "# 0 checkpoints"},
        {"show /store", EXIT_STORE, "`weir list` shows those there are"},
    };
    put_sound();
    struct file_node *checkpoints = files_find(files_find(files_root(), "store"), NAME_CHECKPOINTS);
    while (checkpoints->names.count > 0)
        files_remove(checkpoints, checkpoints->names.list[0].name);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct answer answer = ask(rows[i].line);
        cr_expect_eq(answer.code, rows[i].code, "%s: %d: %s", rows[i].line, answer.code,
                     answer.complained);
        cr_expect(strstr(answer.said, rows[i].says) != NULL ||
                      strstr(answer.complained, rows[i].says) != NULL,
                  "%s: %s%s", rows[i].line, answer.said, answer.complained);
        answer_free(&answer);
    }
}

Test(verbs, a_chart_has_its_width_whatever_the_times_say)
{
    static const struct {
        int64_t wait, align, cut, record, write, whole;
        const char *line;
    } rows[] = {
        {50, 20, 10, 20, 20, 100, NULL},
        {-1, -1, -1, -1, -1, 100, "|"},
        {50, 200, 0, 0, 0, 100, NULL},
        {50, 20, 10, 20, 20, 0, "|"},
        {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, 1, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct weir_checkpoint_task task = {.wait_ns = rows[i].wait,
                                            .align_ns = rows[i].align,
                                            .record_ns = rows[i].record,
                                            .write_ns = rows[i].write};
        char line[CHART_WIDTH + 1], wanted[CHART_WIDTH + 1];
        task.cut_ns = rows[i].cut;
        chart_line(&task, rows[i].whole, line);
        cr_expect_eq(strlen(line), CHART_WIDTH);
        cr_expect_not_null(strchr(line, '|'), "%s", line);
        cr_expect_geq(chart_end(&task), 0);
        if (rows[i].line == NULL)
            continue;
        snprintf(wanted, sizeof wanted, "%-*s", (int)CHART_WIDTH, rows[i].line);
        cr_expect_str_eq(line, wanted);
    }
}

/* ---- stores that are not sound ---- */

/* Where the newest checkpoint is not sound, whoever says so says it with a code of its own. */
Test(verbs, whatever_the_store_holds_they_answer_or_complain)
{
    struct fuzz_bytes edits = {0};
    unsigned damaged = 0;
    for (uint32_t n = 0; fuzz_clear(&edits), samples_edits(n, &edits); n++) {
        samples_put_edited(false, (struct fuzz_input){edits.data, edits.size});
        struct answer verify = ask("verify /store newest");
        damaged += verify.code == EXIT_STORE;
        for (size_t i = 0; i < QUESTIONS; i++) {
            char json[160];
            snprintf(json, sizeof json, "%s%s", questions[i].line, i % 2 ? " --json" : "");
            struct answer answer = ask(json);
            cr_expect(answer.code == questions[i].code || answer.complained[0] != 0 ||
                          strncmp(json, "verify", 6) == 0 || strncmp(json, "diff", 4) == 0,
                      "%u: %s: %d: %s", n, json, answer.code, answer.said);
            cr_expect(answer.code != EXIT_STORE || answer.complained[0] != 0 ||
                          strncmp(json, "verify", 6) == 0,
                      "%u: %s: no reason", n, json);
            answer_free(&answer);
        }
        answer_free(&verify);
    }
    cr_expect_gt(damaged, 5);
    exercised(QUESTIONS * damaged);
    fuzz_drop(&edits);
}
