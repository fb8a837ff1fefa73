/* links: flow */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records that are poison: not given to their operator, but published as dead letters, each once;
 * the letters' files; and what is refused. (Deaths at every file call: test_sim_job.)
 */
#include "flow.h"

#include <dirent.h>

#include "failure.h"
#include "letter.h"
#include "weir_checkpoint.h"

static struct scratch scratch;
static void scratch_open(void)
{
    scratch = scratch_make();
}
static void scratch_close(void)
{
    scratch_free(&scratch);
}
TestSuite(job_poison, .init = scratch_open, .fini = scratch_close);

#define LETTERS scratch_join(scratch.path, "letters")

/* The whole file with a zero behind it, in a static buffer. */
static const char *content(const char *path)
{
    static char bytes[4096];
    size_t size = scratch_read(path, (unsigned char *)bytes, sizeof bytes - 1);
    bytes[size] = 0;
    return bytes;
}

/* Files in the letters' directory, temporary ones too. */
static unsigned letters_in(const char *folder)
{
    unsigned count = 0;
    DIR *open = opendir(folder);
    cr_assert_not_null(open);
    for (const struct dirent *entry = readdir(open); entry; entry = readdir(open))
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(open);
    return count;
}

/* ------------------------------------------------------------------------------- one letter -- */

static struct letters some_letters(const struct weir_record *record, const char *cause)
{
    struct letters letters = {.node = "count"};
    struct letter letter = {
        .position = 42, .input = 1, .subtask = 3, .cause = cause, .record = *record};
    cr_assert(letters_add(&letters, &letter));
    return letters;
}

static const struct weir_record sample = {{"k\0y", 3}, {"line\n", 5}, -7};

Test(job_poison, a_letter_is_text_and_then_the_bytes_as_documented)
{
    static const char expected[] = "weir-dead-letter 1\nnode: count\nsubtask: 3\ninput: 1\n"
                                   "position: 42\ntime: -7\ncause: no?luck\nkey size: 3\n"
                                   "value size: 5\n\nk\0yline\n";
    unsigned char bytes[1024];
    struct weir_error error = {0};
    struct letters letters = some_letters(&sample, "no\nluck");
    cr_assert_eq(letters_publish(&letters, scratch.path, &error), WEIR_OK, "%s", error.text);
    const char *path = scratch_join(scratch.path, "count-3-42.letter");
    cr_assert_eq(scratch_read(path, bytes, sizeof bytes), sizeof expected - 1);
    cr_expect_arr_eq(bytes, expected, sizeof expected - 1);
    letters_drop(&letters);
    cr_expect_eq(letters.count, 0);
    letters_free(&letters);
    letters = some_letters(&(struct weir_record){.time = WEIR_NO_TIME}, "");
    letters.list[0]->subtask = 4;
    cr_assert_eq(letters_publish(&letters, scratch.path, &error), WEIR_OK, "%s", error.text);
    cr_expect_str_eq(content(scratch_join(scratch.path, "count-4-42.letter")),
                     "weir-dead-letter 1\nnode: count\nsubtask: 4\ninput: 1\nposition: 42\n"
                     "time: none\ncause: \nkey size: 0\nvalue size: 0\n\n");
    letters_free(&letters);
}

/* `change` is what the record of the second letter of that name differs in. */
static enum weir_result publish_twice(const struct weir_record *second, const char *cause)
{
    struct weir_error error = {0};
    struct letters one = some_letters(&sample, "first cause"), two = some_letters(second, cause);
    cr_assert_eq(letters_publish(&one, scratch.path, &error), WEIR_OK, "%s", error.text);
    enum weir_result result = letters_publish(&two, scratch.path, &error);
    cr_expect(result == WEIR_OK || strstr(error.text, "count-3-42.letter is there and is another"),
              "%s", error.text);
    letters_free(&one);
    letters_free(&two);
    return result;
}

Test(job_poison, a_letter_that_is_there_is_done_and_another_of_its_name_is_refused)
{
    const struct weir_record others[] = {
        {{"k\0z", 3}, {"line\n", 5}, -7}, {{"k\0y", 3}, {"lint\n", 5}, -7},
        {{"k\0y", 3}, {"line\n", 5}, 7},  {{"k\0y", 3}, {"line", 4}, -7},
        {{"k\0yl", 4}, {"ine\n", 4}, -7}, {{"k\0y", 3}, {"line\n\n", 6}, -7}};
    cr_expect_eq(publish_twice(&sample, "first cause"), WEIR_OK);
    cr_expect_eq(publish_twice(&sample, "another cause, and a longer one"), WEIR_OK);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        cr_expect_eq(publish_twice(&others[i], "first cause"), WEIR_REFUSED, "%zu", i);
    cr_expect_eq(letters_in(scratch.path), 1);
}

Test(job_poison, half_a_letter_of_a_dead_run_is_written_anew)
{
    struct weir_error error = {0};
    struct letters letters = some_letters(&sample, "cause");
    scratch_write(scratch_join(scratch.path, ".count-3-42.tmp"), "weir-dead-l", 11);
    cr_assert_eq(letters_publish(&letters, scratch.path, &error), WEIR_OK, "%s", error.text);
    cr_expect_eq(letters_in(scratch.path), 1);
    cr_expect(scratch_exists(scratch_join(scratch.path, "count-3-42.letter")));
    letters_free(&letters);
}

static unsigned char *grow(void *context, unsigned char *data, size_t size, size_t capacity)
{
    (void)context;
    (void)size;
    return realloc(data, capacity);
}

Test(job_poison, letters_come_back_from_a_snapshot_and_damaged_ones_are_refused)
{
    struct snapshot_writer writer = {.grow = grow};
    struct weir_error error = {0};
    struct letters letters = some_letters(&sample, "why"), back = {.node = "count"};
    letters_cut(&letters, 9);
    letters_save(&letters, &writer);
    for (size_t left = 0; left <= 60; left++) { /* 60: the body, without the key and the value */
        struct snapshot_reader reader = {writer.data, writer.size, false};
        struct snapshot_section section;
        cr_assert(snapshot_next(&reader, &section));
        size_t body = section.left;
        section.left = left < 60 ? left * body / 60 : body;
        bool whole = section.left >= 3 * 8 + 4 + 3 + 4 + 8 + 3; /* up to the key's end */
        cr_assert_eq(letters_load(&back, &section, &error), whole ? WEIR_OK : WEIR_DAMAGED);
    }
    const struct letter *last = back.list[back.count - 1];
    cr_expect_eq(last->id, 9);
    cr_expect_eq(last->position, 42);
    cr_expect_eq(last->input, 1);
    cr_expect_eq(last->subtask, 3);
    cr_expect_str_eq(last->cause, "why");
    cr_expect_eq(last->record.time, -7);
    cr_expect_eq(last->record.value.size, 5);
    cr_expect_arr_eq(last->record.value.data, "line\n", 5);
    cr_expect_arr_eq(last->record.key.data, "k\0y", 3);
    letters_free(&letters);
    letters_free(&back);
    free(writer.data);
}

/* ------------------------------------------------------------------------------ whole jobs -- */

#define COUNT 20000
#define BAD_EVERY 1999 /* 1999, 3998, ... of COUNT: ten */
#define BAD_COUNT 10

static enum weir_result picky(struct weir_context *context, unsigned input,
                              const struct weir_record *record, const void *config)
{
    uint64_t number = flow_number(record);
    (void)input;
    (void)config;
    if (number && number % BAD_EVERY == 0)
        return weir_fail(context, WEIR_IO, "%llu is bad", (unsigned long long)number);
    return weir_emit(context, 0, record);
}

static size_t picky_many(void *self, struct weir_context *context, unsigned input,
                         const struct weir_record *records, size_t count)
{
    (void)self;
    for (size_t i = 0; i < count; i++)
        if (picky(context, input, &records[i], NULL))
            return 0;
    return count;
}

static const struct weir_operator picky_table = {WEIR_SIZED(struct weir_operator), .kind = "picky",
                                                 .self_size = 1, .process_many = picky_many};

struct bed {
    struct flow flow;
    struct ledger ledger;
    struct weir_poison poison[BAD_COUNT];
    char causes[BAD_COUNT][200];
    unsigned failures, inexact;
};

/* numbers -> picky -> sink; `routing` leads to picky. */
/* rate: records a second, for who must act before the end; 0: no limit. */
static void bed_make_at(struct bed *bed, bool many, enum weir_routing routing, uint64_t rate)
{
    memset(bed, 0, sizeof *bed);
    flow_init(&bed->flow);
    ledger_init(&bed->ledger, COUNT);
    bed->flow.options.interval_ns = 1000000;
    weir_node source = flow_times(&bed->flow, "numbers", COUNT, rate, 0);
    weir_node bad = many ? flow_add(&bed->flow, "picky", &picky_table, NULL, 1)
                         : weir_flat_map(bed->flow.graph, "picky", picky, NULL);
    weir_node sink = ledger_sink(bed->flow.graph, "sink", &bed->ledger, 1);
    weir_connect(bed->flow.graph, source, bad, routing);
    weir_connect(bed->flow.graph, bad, sink, WEIR_FORWARD);
    bed->flow.options.dead_letters = LETTERS;
    bed->flow.options.poison = bed->poison;
    bed->flow.options.careful = many;
}

static void bed_make(struct bed *bed, bool many, enum weir_routing routing)
{
    bed_make_at(bed, many, routing, 0);
}

static void bed_free(struct bed *bed)
{
    flow_free(&bed->flow);
    ledger_free(&bed->ledger);
}

/* Runs it until it ends; after each failure the record is poison. */
static void bed_run(struct bed *bed, bool by_position)
{
    struct flow *flow = &bed->flow;
    enum weir_outcome outcome = WEIR_OUTCOME_FAILED;
    while (outcome == WEIR_OUTCOME_FAILED) {
        struct weir_failure failure = {WEIR_SIZED(struct weir_failure)};
        flow->options.poison_count = bed->failures;
        flow_start(flow);
        outcome = flow_wait(flow);
        enum weir_result found = weir_job_failure(flow->job, &failure);
        cr_expect_eq(found, outcome == WEIR_OUTCOME_FAILED ? WEIR_OK : WEIR_NOT_FOUND);
        if (found == WEIR_OK && failure.count > 1) { /* then again, from a newer checkpoint */
            cr_assert_lt(bed->inexact++, 1000);
        } else if (found == WEIR_OK) {
            cr_assert_lt(bed->failures, BAD_COUNT, "%s", flow->error.text);
            cr_expect_eq(failure.position, BAD_EVERY * (bed->failures + 1) + 1);
            snprintf(bed->causes[bed->failures], sizeof bed->causes[0], "%.190s", flow->error.text);
            bed->poison[bed->failures] =
                (struct weir_poison){.node = "picky",
                                     .position = by_position ? failure.position : 0,
                                     .fingerprint = failure.fingerprint,
                                     .cause = bed->causes[bed->failures]};
            bed->failures++;
        }
        flow_close(flow);
    }
}

/* All but the bad ones are published once, and these are letters. */
static void bed_is_exact(const struct bed *bed)
{
    cr_expect_eq(bed->ledger.wrong, 0);
    for (uint64_t i = 0; i < COUNT; i++)
        cr_assert_eq(bed->ledger.counts[i], i == 0 || i % BAD_EVERY != 0, "%llu",
                     (unsigned long long)i);
    cr_expect_eq(letters_in(LETTERS), BAD_COUNT);
    for (uint64_t i = 1; i <= BAD_COUNT; i++) {
        char name[64], expected[400];
        uint64_t number = i * BAD_EVERY;
        snprintf(name, sizeof name, "picky-0-%llu.letter", (unsigned long long)number + 1);
        snprintf(expected, sizeof expected,
                 "weir-dead-letter 1\nnode: picky\nsubtask: 0\ninput: 0\nposition: %llu\n"
                 "time: none\ncause: picky[0]: %llu is bad\nkey size: 8\nvalue size: 8\n\n",
                 (unsigned long long)number + 1, (unsigned long long)number);
        const char *letter = content(scratch_join(LETTERS, name));
        size_t size = strlen(expected);
        cr_assert_arr_eq(letter, expected, size, "%s", letter);
        cr_expect_arr_eq(letter + size, &number, 8);
        cr_expect_arr_eq(letter + size + 8, &number, 8);
    }
}

static void poisoned(bool many, enum weir_routing routing, const char *store, bool by_position)
{
    struct bed bed;
    bed_make(&bed, many, routing);
    bed.flow.options.store = store;
    bed_run(&bed, by_position);
    cr_expect_eq(bed.failures, BAD_COUNT);
    if (store) /* without one, each run begins anew and publishes into an empty ledger */
        bed_is_exact(&bed);
    else
        cr_expect_eq(letters_in(LETTERS), BAD_COUNT);
    bed_free(&bed);
}

Test(job_poison, each_failure_becomes_a_letter_and_the_rest_is_exact_in_a_chain)
{
    poisoned(false, WEIR_FORWARD, scratch_join(scratch.path, "store"), true);
}

Test(job_poison, each_failure_becomes_a_letter_and_the_rest_is_exact_at_a_head)
{
    poisoned(false, WEIR_SPREAD, scratch_join(scratch.path, "store"), true);
}

Test(job_poison, each_failure_becomes_a_letter_and_the_rest_is_exact_in_spans)
{
    poisoned(true, WEIR_SPREAD, scratch_join(scratch.path, "store"), true);
}

Test(job_poison, poison_may_be_known_by_its_fingerprint_alone)
{
    poisoned(true, WEIR_SPREAD, scratch_join(scratch.path, "store"), false);
}

Test(job_poison, without_a_store_letters_appear_at_the_end)
{
    poisoned(false, WEIR_FORWARD, NULL, true);
}

/* ------------------------------------------------------------------ what must fit, and when -- */

static uint64_t fingerprint_of(uint64_t number)
{
    struct weir_record record = {.key = {&number, 8}, .value = {&number, 8}, .time = WEIR_NO_TIME};
    return failure_fingerprint(&record);
}

/* Every record of ten in a row, at their positions. */
static void know_all(struct bed *bed)
{
    for (uint64_t i = 0; i < BAD_COUNT; i++) {
        uint64_t number = (i + 1) * BAD_EVERY;
        snprintf(bed->causes[i], sizeof bed->causes[i], "picky[0]: %llu is bad",
                 (unsigned long long)number);
        bed->poison[i] = (struct weir_poison){.node = "picky",
                                              .position = number + 1,
                                              .fingerprint = fingerprint_of(number),
                                              .cause = bed->causes[i]};
    }
    bed->flow.options.poison_count = BAD_COUNT;
}

Test(job_poison, letters_are_exact_over_stops_and_restarts)
{
    struct bed bed;
    bed_make(&bed, true, WEIR_SPREAD);
    bed.flow.options.store = scratch_join(scratch.path, "store");
    know_all(&bed);
    for (int i = 0; i < 6; i++) {
        flow_start(&bed.flow);
        flow_until_taken(&bed.flow, &bed.ledger, atomic_load(&bed.ledger.taken) + 2500);
        flow_stop(&bed.flow, i % 2 ? WEIR_STOP_SUSPEND : WEIR_STOP_NOW);
        flow_wait(&bed.flow);
        flow_close(&bed.flow);
    }
    flow_finish(&bed.flow);
    bed_is_exact(&bed);
    bed_free(&bed);
}

static uint64_t letters_told(const struct flow *flow)
{
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    weir_job_status(flow->job, &status);
    return status.dead_letters;
}

/* What the newest checkpoint says of the letters in it. */
static uint64_t letters_pending(const char *store)
{
    struct weir_store *view;
    struct weir_checkpoint *newest;
    struct weir_checkpoint_task task = {WEIR_SIZED(struct weir_checkpoint_task)};
    struct weir_error error = {0};
    uint64_t letters = 0;
    cr_assert_eq(weir_store_open(store, NULL, &view, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(weir_checkpoint_open(view, 0, &newest, &error), WEIR_OK, "%s", error.text);
    for (uint32_t i = 0; weir_checkpoint_get_task(newest, i, &task); i++)
        letters += task.letters;
    weir_checkpoint_close(&newest);
    weir_store_close(&view);
    return letters;
}

/* The one checkpoint, at the stop, holds the letters so far; it can't know that they were published
 * after it, so the next run publishes and counts them again. */
Test(job_poison, letters_are_counted_in_the_status_and_in_checkpoints)
{
    struct bed bed;
    bed_make_at(&bed, true, WEIR_SPREAD, COUNT / 2);
    bed.flow.options.store = scratch_join(scratch.path, "store");
    bed.flow.options.interval_ns = -1;
    know_all(&bed);
    flow_start(&bed.flow);
    flow_until_taken(&bed.flow, &bed.ledger, COUNT / 2);
    cr_expect_eq(letters_told(&bed.flow), 0);
    flow_stop(&bed.flow, WEIR_STOP_SUSPEND);
    cr_assert_eq(flow_wait(&bed.flow), WEIR_OUTCOME_STOPPED);
    uint64_t first = letters_told(&bed.flow);
    flow_close(&bed.flow);
    cr_expect_geq(first, COUNT / 2 / BAD_EVERY);
    cr_expect_eq(first, letters_in(LETTERS));
    cr_expect_eq(first, letters_pending(bed.flow.options.store));
    flow_start(&bed.flow);
    cr_assert_eq(flow_wait(&bed.flow), WEIR_OUTCOME_ENDED);
    cr_expect_eq(letters_told(&bed.flow), BAD_COUNT);
    flow_close(&bed.flow);
    bed_is_exact(&bed);
    bed_free(&bed);
}

Test(job_poison, another_position_or_fingerprint_is_no_poison)
{
    for (int wrong = 0; wrong < 2; wrong++) {
        struct bed bed;
        bed_make(&bed, false, WEIR_SPREAD);
        know_all(&bed);
        if (wrong)
            bed.poison[0].position++;
        else
            bed.poison[0].fingerprint++;
        flow_run(&bed.flow, WEIR_OUTCOME_FAILED);
        cr_expect_str_eq(bed.flow.error.text, "picky[0]: 1999 is bad");
        cr_expect_eq(letters_in(LETTERS), 0);
        bed_free(&bed);
    }
}

/* A letter in a checkpoint that could not be published: its name is taken. */
Test(job_poison, unpublished_letters_wait_for_their_directory)
{
    struct bed bed;
    bed_make(&bed, false, WEIR_SPREAD);
    bed.flow.options.store = scratch_join(scratch.path, "store");
    know_all(&bed);
    cr_assert_eq(mkdir(LETTERS, 0700), 0);
    const char *taken = scratch_join(LETTERS, "picky-0-2000.letter");
    scratch_write(taken, "mine", 4);
    flow_run(&bed.flow, WEIR_OUTCOME_FAILED);
    cr_expect_eq(bed.flow.error.code, WEIR_REFUSED);
    cr_expect_not_null(strstr(bed.flow.error.text, "picky[0]: the dead letter of record 2000: "),
                       "%s", bed.flow.error.text);
    struct weir_job_options with = bed.flow.options;
    bed.flow.options.dead_letters = NULL;
    bed.flow.options.poison_count = 0;
    cr_expect_eq(weir_job_start(bed.flow.graph, &bed.flow.options, &bed.flow.job, &bed.flow.error),
                 WEIR_REFUSED);
    cr_expect_not_null(strstr(bed.flow.error.text, "weir_job_options.dead_letters"), "%s",
                       bed.flow.error.text);
    bed.flow.options = with;
    cr_assert_eq(remove(taken), 0);
    flow_finish(&bed.flow);
    bed_is_exact(&bed);
    bed_free(&bed);
}

static void refused(struct bed *bed, const char *text)
{
    struct weir_error error = {0};
    struct weir_job *job = NULL;
    cr_expect_eq(weir_job_start(bed->flow.graph, &bed->flow.options, &job, &error), WEIR_INVALID);
    cr_expect_not_null(strstr(error.text, text), "%s", error.text);
}

Test(job_poison, options_that_do_not_fit_are_refused_by_name)
{
    struct bed bed;
    bed_make(&bed, false, WEIR_SPREAD);
    know_all(&bed);
    bed.flow.options.dead_letters = NULL;
    refused(&bed, "job option dead_letters: 10 records are poison");
    bed.flow.options.dead_letters = "";
    refused(&bed, "job option dead_letters: it names no directory");
    bed.flow.options.dead_letters = LETTERS;
    bed.poison[9].subtask = 1;
    refused(&bed, "node picky has 1 subtasks, and an entry names number 1");
    bed.poison[9].node = "pickles";
    refused(&bed, "the graph has no node \"pickles\"");
    bed.poison[9].node = NULL;
    refused(&bed, "an entry names no node");
    cr_expect_not(scratch_exists(LETTERS), "nothing was made");
    bed_free(&bed);
}

Test(job_poison, letters_in_the_store_are_refused_also_by_a_way_round)
{
    struct bed bed;
    bed_make(&bed, false, WEIR_SPREAD);
    bed.flow.options.store = scratch_join(scratch.path, "store");
    flow_run(&bed.flow, WEIR_OUTCOME_FAILED); /* makes the store */
    know_all(&bed);
    const char *const ways[] = {"store", "store/nodes", "store/nodes/../data", "store/."};
    cr_assert_eq(mkdir(scratch_join(scratch.path, "store/nodes"), 0700), 0);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        struct weir_job *job = NULL;
        struct weir_error error = {0};
        bed.flow.options.dead_letters = scratch_join(scratch.path, ways[i]);
        cr_expect_eq(weir_job_start(bed.flow.graph, &bed.flow.options, &job, &error), WEIR_REFUSED);
        cr_expect_not_null(strstr(error.text, "lies in the store"), "%s", error.text);
    }
    bed.flow.options.dead_letters = LETTERS;
    flow_finish(&bed.flow);
    bed_is_exact(&bed);
    bed_free(&bed);
}

/* ----------------------------------------------------------------- spans of a careful start -- */

/* The largest span before the first commit of the run, and after it. */
static struct {
    atomic_bool committed;
    atomic_size_t before, after;
} spans;

static size_t spans_many(void *self, struct weir_context *context, unsigned input,
                         const struct weir_record *records, size_t count)
{
    atomic_size_t *most = atomic_load(&spans.committed) ? &spans.after : &spans.before;
    (void)self;
    (void)input;
    if (count > atomic_load(most))
        atomic_store(most, count);
    for (size_t i = 0; i < count; i++)
        weir_emit(context, 0, &records[i]);
    return count;
}

static enum weir_result spans_prepare(void *self, struct weir_context *context, uint64_t id)
{
    (void)self;
    return weir_handle(context, (struct weir_bytes){&id, sizeof id});
}

static enum weir_result spans_commit(void *self, struct weir_context *context,
                                     struct weir_bytes handle)
{
    (void)self;
    (void)context;
    (void)handle;
    atomic_store(&spans.committed, true);
    return WEIR_OK;
}

static const struct weir_operator spans_table = {
    WEIR_SIZED(struct weir_operator), .kind = "spans",          .self_size = 1,
    .process_many = spans_many,       .prepare = spans_prepare, .commit = spans_commit,
};

Test(job_poison, a_careful_start_gives_one_record_at_a_time_until_a_checkpoint)
{
    struct flow flow;
    struct ledger ledger;
    flow_init(&flow);
    ledger_init(&ledger, 0);
    memset(&spans, 0, sizeof spans);
    flow.options.store = scratch_join(scratch.path, "store");
    flow.options.interval_ns = -1;
    flow.options.careful = true;
    weir_node source = flow_numbers(&flow, "numbers", UINT64_MAX / 2, 0, 1);
    weir_node middle = flow_add(&flow, "spans", &spans_table, NULL, 1);
    weir_connect(flow.graph, source, middle, WEIR_SPREAD);
    weir_connect(flow.graph, middle, ledger_sink(flow.graph, "sink", &ledger, 1), WEIR_FORWARD);
    flow_start(&flow);
    flow_until_taken(&flow, &ledger, 10000);
    cr_assert_eq(weir_job_checkpoint(flow.job, &flow.error), WEIR_OK);
    watch_until(&flow.watch, &flow.watch.committed, 1);
    flow_until_taken(&flow, &ledger, atomic_load(&ledger.taken) + 100000);
    flow_close(&flow);
    cr_expect_eq(spans.before, 1);
    cr_expect_gt(spans.after, 1);
    flow_free(&flow);
    ledger_free(&ledger);
}
