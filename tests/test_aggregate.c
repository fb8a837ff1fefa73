/* links: operators fake_context */
/* SPDX-License-Identifier: Apache-2.0
 *
 * Aggregates, top lists and distinct counts against a twin that keeps every record and counts again
 * each time; with the operator saved and started anew between any two records.
 */
#include "explore.h"
#include "fake_context.h"
#include "weir_operators.h"

#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define RECORDS 300
#define KEYS 5

static const struct fake_run first = {.parallelism = 1};

/* ---- the twin: what was given ---- */

struct given {
    uint32_t key;
    int64_t integer;
    double real;
    char text[32];
};
static struct given given[RECORDS];
static size_t given_count;

static struct weir_bytes text_of(const char *text)
{
    return (struct weir_bytes){text, strlen(text)};
}

static enum weir_result give(struct weir_context *task, uint32_t key, const char *value)
{
    char name[8];
    snprintf(name, sizeof name, "k%u", key);
    struct weir_record record = {text_of(name), text_of(value), (int64_t)given_count};
    return fake_take(task, 0, &record);
}

static uint32_t key_of(const struct weir_record *record)
{
    cr_assert_eq(record->key.size, 2);
    return (uint32_t)(((const char *)record->key.data)[1] - '0');
}

static struct given *draw(uint64_t *random, bool real)
{
    struct given *new = &given[given_count++];
    new->key = explore_below(random, KEYS);
    new->integer = (int64_t)explore_below(random, 2000) - 1000;
    new->real = (double)new->integer / 8;
    if (real)
        snprintf(new->text, sizeof new->text, "%.3f", new->real);
    else
        snprintf(new->text, sizeof new->text, "%lld", (long long)new->integer);
    return new;
}

/* ---- aggregates ---- */

static weir_node add_aggregate(struct weir_graph *graph, enum weir_aggregate_kind kind, bool real,
                               enum weir_reduce_emit emit)
{
    struct weir_aggregate_options options = {
        WEIR_SIZED(struct weir_aggregate_options),
        .kind = kind,
        .number = real ? WEIR_NUMBER_REAL_TEXT : WEIR_NUMBER_INTEGER_TEXT,
        .emit = emit,
    };
    return weir_aggregate(graph, "numbers", &options);
}

/* What the key's records come to, counted from all of them. All numbers are small multiples of 1/8:
 * doubles hold every sum of them exactly. */
static double naive(enum weir_aggregate_kind kind, bool real, uint32_t key, uint64_t *count)
{
    double sum = 0, least = INFINITY, most = -INFINITY;
    *count = 0;
    for (size_t i = 0; i < given_count; i++) {
        double number = real ? given[i].real : (double)given[i].integer;
        if (given[i].key != key)
            continue;
        ++*count;
        sum += number;
        least = number < least ? number : least;
        most = number > most ? number : most;
    }
    return kind == WEIR_AGGREGATE_COUNT ? (double)*count
           : kind == WEIR_AGGREGATE_MIN ? least
           : kind == WEIR_AGGREGATE_MAX ? most
                                        : sum;
}

static void expect_aggregate(const struct weir_record *record, enum weir_aggregate_kind kind,
                             bool real, uint64_t seed)
{
    uint64_t words[2] = {0}, count;
    double expected = naive(kind, real, key_of(record), &count), found;
    cr_assert_eq(record->value.size, kind == WEIR_AGGREGATE_AVERAGE ? 16 : 8);
    memcpy(words, record->value.data, record->value.size);
    memcpy(&found, words, sizeof found);
    if (!real || kind == WEIR_AGGREGATE_COUNT)
        found = (double)(int64_t)words[0];
    cr_assert_eq(found, expected, "kind %d, real %d, seed %llu: %g, not %g", kind, real,
                 (unsigned long long)seed, found, expected);
    if (kind == WEIR_AGGREGATE_AVERAGE)
        cr_assert_eq(words[1], count);
}

static void run_aggregate(enum weir_aggregate_kind kind, bool real, enum weir_reduce_emit emit,
                          uint64_t seed)
{
    uint64_t random = seed;
    struct weir_context task;
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node node = add_aggregate(graph, kind, real, emit);
    given_count = 0;
    cr_assert_eq(fake_start(&task, graph, node, &first), WEIR_OK);
    while (given_count < RECORDS) {
        const struct given *new = draw(&random, real);
        cr_assert_eq(give(&task, new->key, new->text), WEIR_OK, "%s", task.failed.text);
        if (emit == WEIR_REDUCE_UPDATES) {
            cr_assert_eq(task.emitted_count, given_count);
            expect_aggregate(&task.emitted[given_count - 1], kind, real, seed);
            cr_assert_eq(task.emitted[given_count - 1].time, (int64_t)given_count);
        }
        if (explore_below(&random, 4) == 0)
            cr_assert_eq(fake_restart(&task), WEIR_OK);
    }
    cr_assert_eq(fake_finish(&task, 10), WEIR_OK);
    if (emit == WEIR_REDUCE_FINAL) {
        cr_assert_eq(task.emitted_count, KEYS);
        for (size_t i = 0; i < KEYS; i++)
            expect_aggregate(&task.emitted[i], kind, real, seed);
    }
    fake_end(&task);
    weir_graph_free(&graph);
}

Test(aggregate, all_kinds_are_what_counting_again_says)
{
    for (uint64_t seed = explore_seed(), last = seed + 5; seed < last; seed++)
        for (int kind = WEIR_AGGREGATE_COUNT; kind <= WEIR_AGGREGATE_AVERAGE; kind++)
            for (int real = 0; real < 2; real++) {
                run_aggregate((enum weir_aggregate_kind)kind, real, WEIR_REDUCE_FINAL, seed);
                run_aggregate((enum weir_aggregate_kind)kind, real, WEIR_REDUCE_UPDATES, seed);
            }
}

/* ---- the ends of the range ---- */

static void sum_of(const char *const *texts, size_t count, bool real, bool saturate,
                   struct weir_context *task, struct weir_graph **graph)
{
    struct weir_aggregate_options options = {
        WEIR_SIZED(struct weir_aggregate_options),
        .kind = WEIR_AGGREGATE_SUM,
        .number = real ? WEIR_NUMBER_REAL_TEXT : WEIR_NUMBER_INTEGER_TEXT,
        .saturate = saturate,
    };
    *graph = weir_graph_new(NULL);
    cr_assert_eq(fake_start(task, *graph, weir_aggregate(*graph, "sum", &options), &first),
                 WEIR_OK);
    for (size_t i = 0; i < count; i++)
        give(task, 1, texts[i]);
    fake_finish(task, 10);
}

static void expect_sum(const char *const *texts, size_t count, bool saturate, int64_t expected)
{
    struct weir_context task;
    struct weir_graph *graph;
    int64_t sum;
    sum_of(texts, count, false, saturate, &task, &graph);
    cr_assert_eq(task.failed.code, WEIR_OK, "%s", task.failed.text);
    cr_assert_eq(task.emitted_count, 1);
    memcpy(&sum, task.emitted[0].value.data, sizeof sum);
    cr_expect_eq(sum, expected, "%lld, not %lld", (long long)sum, (long long)expected);
    fake_end(&task);
    weir_graph_free(&graph);
}

#define MOST "9223372036854775807"
#define LEAST "-9223372036854775808"

Test(aggregate, a_sum_may_leave_the_range_and_come_back)
{
    expect_sum((const char *[]){MOST, MOST, LEAST, "0"}, 4, false, INT64_MAX - 1);
    expect_sum((const char *[]){LEAST, LEAST, MOST, MOST, "7"}, 5, false, 5);
    expect_sum((const char *[]){MOST}, 1, false, INT64_MAX);
    expect_sum((const char *[]){LEAST}, 1, false, INT64_MIN);
    expect_sum((const char *[]){LEAST, "-1", "1"}, 3, false, INT64_MIN);
}

Test(aggregate, a_sum_out_of_range_saturates_or_fails_and_names_the_key)
{
    struct weir_context task;
    struct weir_graph *graph;
    expect_sum((const char *[]){MOST, "1"}, 2, true, INT64_MAX);
    expect_sum((const char *[]){LEAST, "-1"}, 2, true, INT64_MIN);
    sum_of((const char *[]){MOST, "1"}, 2, false, false, &task, &graph);
    cr_expect_eq(task.failed.code, WEIR_TOO_LARGE);
    cr_expect(strstr(task.failed.text, "k1"), "%s", task.failed.text);
    fake_end(&task);
    weir_graph_free(&graph);
    sum_of((const char *[]){"1.7e308", "1.7e308"}, 2, true, false, &task, &graph);
    cr_expect_eq(task.failed.code, WEIR_TOO_LARGE);
    cr_expect(strstr(task.failed.text, "k1"), "%s", task.failed.text);
    fake_end(&task);
    weir_graph_free(&graph);
    sum_of((const char *[]){"-1.7e308", "-1.7e308", "1e308"}, 3, true, true, &task, &graph);
    double sum;
    cr_assert_eq(task.emitted_count, 1);
    memcpy(&sum, task.emitted[0].value.data, sizeof sum);
    cr_expect_eq(sum, -DBL_MAX);
    fake_end(&task);
    weir_graph_free(&graph);
}

Test(aggregate, what_rounding_takes_from_a_sum_is_not_lost)
{
    struct weir_context task;
    struct weir_graph *graph;
    double sum;
    sum_of((const char *[]){"1", "1e100", "1", "-1e100"}, 4, true, false, &task, &graph);
    cr_assert_eq(task.emitted_count, 1);
    memcpy(&sum, task.emitted[0].value.data, sizeof sum);
    cr_expect_eq(sum, 2);
    fake_end(&task);
    weir_graph_free(&graph);
}

/* ---- where numbers come from ---- */

static enum weir_result take_one(enum weir_number form, struct weir_bytes value, int64_t *out)
{
    struct weir_context task;
    struct weir_graph *graph = weir_graph_new(NULL);
    struct weir_aggregate_options options = {WEIR_SIZED(struct weir_aggregate_options),
                                             .kind = WEIR_AGGREGATE_MAX, .number = form};
    cr_assert_eq(fake_start(&task, graph, weir_aggregate(graph, "max", &options), &first), WEIR_OK);
    struct weir_record record = {text_of("k"), value, 1};
    enum weir_result result = fake_take(&task, 0, &record);
    fake_finish(&task, 10);
    if (task.emitted_count == 1)
        memcpy(out, task.emitted[0].value.data, sizeof *out);
    else
        cr_expect(task.failed.code == WEIR_INVALID && task.failed.text[0]);
    fake_end(&task);
    weir_graph_free(&graph);
    return result;
}

static void expect_real(const char *text)
{
    int64_t bits = 0;
    double number, expected = strtod(text, NULL);
    cr_expect_eq(take_one(WEIR_NUMBER_REAL_TEXT, text_of(text), &bits), WEIR_OK, "%s", text);
    memcpy(&number, &bits, sizeof number);
    cr_expect_eq(number, expected, "%s: %.17g, not %.17g", text, number, expected);
}

static void expect_none(enum weir_number form, const char *text)
{
    int64_t bits;
    cr_expect_eq(take_one(form, text_of(text), &bits), WEIR_INVALID, "\"%s\" is taken", text);
}

Test(aggregate, texts_are_numbers_or_fail_the_run)
{
    static const char *const integers[] = {"",
                                           "-",
                                           "+",
                                           "1 ",
                                           " 1",
                                           "1.0",
                                           "1e3",
                                           "0x10",
                                           "one",
                                           "9223372036854775808",
                                           "-9223372036854775809",
                                           "18446744073709551617",
                                           "99999999999999999999999"};
    static const char *const reals[] = {"",      ".",     "-",      "e5",  "1e",  "1e+",
                                        "1 ",    " 1",    "1,5",    "nan", "inf", "0x1p3",
                                        "1.2.3", "1e999", "-1e999", "1d5"};
    static const char *const good[] = {"0",
                                       "-17",
                                       "+17",
                                       "0.5",
                                       ".5",
                                       "5.",
                                       "1e-3",
                                       "1E+22",
                                       "123456789012345678901234567890",
                                       "0.1",
                                       "2.2250738585072e-308",
                                       "4.9e-324",
                                       "1.7976931348623157e308",
                                       "9007199254740993",
                                       "1e23",
                                       "8.5e-23",
                                       "-0.30000000000000004",
                                       "1e-999999999"};
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++)
        expect_none(WEIR_NUMBER_INTEGER_TEXT, integers[i]);
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        expect_none(WEIR_NUMBER_REAL_TEXT, reals[i]);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        expect_real(good[i]);
    expect_none(WEIR_NUMBER_I64, "1234567");
    expect_none(WEIR_NUMBER_F64, "123456789");
    double not_finite = INFINITY;
    int64_t bits;
    struct weir_bytes infinite = {&not_finite, sizeof not_finite};
    cr_expect_eq(take_one(WEIR_NUMBER_F64, infinite, &bits), WEIR_INVALID);
    cr_expect_eq(take_one(WEIR_NUMBER_I64, infinite, &bits), WEIR_OK);
}

Test(aggregate, random_texts_are_read_as_libc_reads_them)
{
    uint64_t random = explore_seed();
    for (unsigned i = 0; i < 20000; i++) {
        char text[64];
        int digits = (int)explore_below(&random, 19);
        snprintf(text, sizeof text, "%s%.*f%s%d", explore_below(&random, 2) ? "-" : "", digits,
                 (double)(explore_random(&random) >> 11) /
                     (double)(1 + explore_below(&random, 1u << 30)),
                 explore_below(&random, 2) ? "e" : "E-", (int)explore_below(&random, 300));
        if (isfinite(strtod(text, NULL)))
            expect_real(text);
    }
}

static bool even_length(const struct weir_record *record, int64_t *number, const void *config)
{
    *number = (int64_t)record->value.size + *(const int *)config;
    return record->value.size % 2 == 0;
}

Test(aggregate, a_callback_may_leave_records_out)
{
    struct weir_context task;
    struct weir_graph *graph = weir_graph_new(NULL);
    int extra = 100;
    struct weir_aggregate_options options = {WEIR_SIZED(struct weir_aggregate_options),
                                             .kind = WEIR_AGGREGATE_SUM, .integer = even_length,
                                             .config = &extra};
    cr_assert_eq(fake_start(&task, graph, weir_aggregate(graph, "sum", &options), &first), WEIR_OK);
    give(&task, 1, "ab");
    give(&task, 1, "abc");
    give(&task, 2, "abc");
    cr_assert_eq(fake_finish(&task, 10), WEIR_OK);
    cr_assert_eq(task.emitted_count, 1, "a key without a number is not there");
    int64_t sum;
    memcpy(&sum, task.emitted[0].value.data, sizeof sum);
    cr_expect_eq(sum, 102);
    fake_end(&task);
    weir_graph_free(&graph);
}

Test(aggregate, states_of_different_kinds_have_different_versions)
{
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node sum = add_aggregate(graph, WEIR_AGGREGATE_SUM, false, WEIR_REDUCE_FINAL);
    weir_node average = add_aggregate(graph, WEIR_AGGREGATE_AVERAGE, false, WEIR_REDUCE_FINAL);
    weir_node real = add_aggregate(graph, WEIR_AGGREGATE_SUM, true, WEIR_REDUCE_FINAL);
    cr_expect_neq(graph->nodes[sum.index].state.version, graph->nodes[average.index].state.version);
    cr_expect_neq(graph->nodes[sum.index].state.version, graph->nodes[real.index].state.version);
    cr_expect_str_eq(graph->nodes[real.index].state.format, "{f64 sum; f64 rest; u64 count}");
    weir_graph_free(&graph);
}

static bool no_integer(const struct weir_record *record, int64_t *number, const void *config)
{
    (void)record;
    (void)number;
    (void)config;
    return false;
}

static bool no_real(const struct weir_record *record, double *number, const void *config)
{
    (void)record;
    (void)number;
    (void)config;
    return false;
}

static void expect_refused(const struct weir_aggregate_options *options, const char *why)
{
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_aggregate(graph, "odd", options);
    cr_expect(strstr(graph->error, "odd") && strstr(graph->error, why), "%s", graph->error);
    cr_expect_eq(graph->count, 0);
    weir_graph_free(&graph);
}

Test(aggregate, bad_options_are_the_graphs_error)
{
    struct weir_aggregate_options options = {WEIR_SIZED(struct weir_aggregate_options)};
    options.kind = (enum weir_aggregate_kind)17;
    expect_refused(&options, "kind");
    options.kind = WEIR_AGGREGATE_SUM;
    options.number = (enum weir_number)9;
    expect_refused(&options, "form");
    options.number = WEIR_NUMBER_F64;
    options.integer = no_integer;
    expect_refused(&options, "not both");
    options.real = no_real;
    expect_refused(&options, "not two");
    expect_refused(NULL, "WEIR_SIZED");
}

/* ---- top ---- */

static weir_node add_top(struct weir_graph *graph, uint32_t count, bool smallest, bool real,
                         enum weir_reduce_emit emit)
{
    struct weir_top_options options = {
        WEIR_SIZED(struct weir_top_options),
        .count = count,
        .smallest = smallest,
        .number = real ? WEIR_NUMBER_REAL_TEXT : WEIR_NUMBER_INTEGER_TEXT,
        .emit = emit,
    };
    return weir_top(graph, "top", &options);
}

static bool smallest_first;

static int by_rank(const void *left, const void *right)
{
    const struct given *a = *(const struct given *const *)left,
                       *b = *(const struct given *const *)right;
    if (a->integer != b->integer)
        return (a->integer < b->integer) == smallest_first ? -1 : 1;
    return strcmp(a->text, b->text);
}

static void expect_list(const struct weir_record *record, uint32_t most, bool real)
{
    const struct given *sorted[RECORDS];
    size_t count = 0, at = 0, seen = 0;
    struct weir_top_entry entry;
    for (size_t i = 0; i < given_count; i++)
        if (given[i].key == key_of(record))
            sorted[count++] = &given[i];
    qsort(sorted, count, sizeof *sorted, by_rank);
    for (; weir_top_next(record->value, &at, &entry); seen++) {
        cr_assert_lt(seen, count);
        cr_assert_eq(entry.part.size, strlen(sorted[seen]->text));
        cr_assert_arr_eq(entry.part.data, sorted[seen]->text, entry.part.size);
        if (real)
            cr_assert_eq(entry.real, sorted[seen]->real);
        else
            cr_assert_eq(entry.integer, sorted[seen]->integer);
    }
    cr_assert_eq(at, record->value.size);
    cr_assert_eq(seen, count < most ? count : most);
}

static void run_top(uint32_t most, bool smallest, bool real, enum weir_reduce_emit emit,
                    uint64_t seed)
{
    uint64_t random = seed;
    struct weir_context task;
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node node = add_top(graph, most, smallest, real, emit);
    given_count = 0;
    smallest_first = smallest;
    cr_assert_eq(fake_start(&task, graph, node, &first), WEIR_OK);
    while (given_count < RECORDS) {
        struct given *new = draw(&random, real);
        if (!real && explore_below(&random, 2) == 0) { /* equal numbers of different bytes */
            new->integer = (int64_t)explore_below(&random, 3);
            snprintf(new->text, sizeof new->text, "%0*d", 1 + (int)explore_below(&random, 4),
                     (int)new->integer);
        }
        size_t before = task.emitted_count;
        cr_assert_eq(give(&task, new->key, new->text), WEIR_OK, "%s", task.failed.text);
        if (task.emitted_count > before)
            expect_list(&task.emitted[before], most, real);
        if (explore_below(&random, 4) == 0)
            cr_assert_eq(fake_restart(&task), WEIR_OK);
    }
    size_t updates = task.emitted_count;
    cr_assert_eq(updates > 0, emit == WEIR_REDUCE_UPDATES);
    cr_assert_eq(fake_finish(&task, 10), WEIR_OK);
    if (emit == WEIR_REDUCE_FINAL) {
        cr_assert_eq(task.emitted_count, KEYS);
        for (size_t i = 0; i < KEYS; i++)
            expect_list(&task.emitted[i], most, real);
    }
    fake_end(&task);
    weir_graph_free(&graph);
}

Test(top, is_the_head_of_the_sorted_records)
{
    for (uint64_t seed = explore_seed(), last = seed + 10; seed < last; seed++)
        for (uint32_t most = 1; most <= 64; most *= 4)
            for (int variant = 0; variant < 8; variant++)
                run_top(most, variant & 1, variant & 2,
                        variant & 4 ? WEIR_REDUCE_UPDATES : WEIR_REDUCE_FINAL, seed);
}

Test(top, the_order_of_arrival_makes_no_difference)
{
    struct weir_bytes lists[2];
    for (int backwards = 0; backwards < 2; backwards++) {
        static unsigned char kept[2][4096];
        struct weir_context task;
        struct weir_graph *graph = weir_graph_new(NULL);
        weir_node node = add_top(graph, 4, false, true, WEIR_REDUCE_FINAL);
        static const char *const texts[] = {"0", "-0", "0.0", "-0.00", "00", "-0.0", "0.00"};
        cr_assert_eq(fake_start(&task, graph, node, &first), WEIR_OK);
        for (size_t i = 0; i < 7; i++)
            give(&task, 1, texts[backwards ? 6 - i : i]);
        cr_assert_eq(fake_finish(&task, 10), WEIR_OK);
        lists[backwards] = (struct weir_bytes){kept[backwards], task.emitted[0].value.size};
        memcpy(kept[backwards], task.emitted[0].value.data, task.emitted[0].value.size);
        fake_end(&task);
        weir_graph_free(&graph);
    }
    cr_assert_eq(lists[0].size, lists[1].size);
    cr_expect_arr_eq(lists[0].data, lists[1].data, lists[0].size);
}

Test(top, a_record_that_does_not_get_in_changes_nothing)
{
    struct weir_context task;
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node node = add_top(graph, 2, false, false, WEIR_REDUCE_UPDATES);
    cr_assert_eq(fake_start(&task, graph, node, &first), WEIR_OK);
    give(&task, 1, "5");
    give(&task, 1, "7");
    give(&task, 1, "4");
    give(&task, 1, "5");
    cr_expect_eq(task.emitted_count, 2);
    give(&task, 1, "6");
    cr_expect_eq(task.emitted_count, 3);
    fake_end(&task);
    weir_graph_free(&graph);
}

Test(top, keeps_a_part_and_refuses_a_large_one)
{
    static char large[5000];
    struct weir_context task;
    struct weir_graph *graph = weir_graph_new(NULL);
    int extra = 0;
    struct weir_top_options options = {WEIR_SIZED(struct weir_top_options), .integer = even_length,
                                       .config = &extra};
    cr_assert_eq(fake_start(&task, graph, weir_top(graph, "top", &options), &first), WEIR_OK);
    memset(large, 'x', 4096);
    cr_expect_eq(give(&task, 1, large), WEIR_OK);
    memset(large, 'x', 4098);
    cr_expect_eq(give(&task, 1, large), WEIR_TOO_LARGE);
    cr_expect(strstr(task.failed.text, "part"));
    fake_end(&task);
    options.count = 1001;
    weir_top(graph, "many", &options);
    cr_expect(strstr(graph->error, "1,000"));
    weir_graph_free(&graph);
}

Test(top, a_list_that_is_none_has_no_entries)
{
    struct weir_top_entry entry;
    uint64_t words[4] = {1, 1000, 0, 0};
    for (size_t size = 0; size <= sizeof words; size++) {
        size_t at = 0;
        cr_expect_not(weir_top_next((struct weir_bytes){words, size}, &at, &entry));
    }
    words[1] = UINT64_MAX;
    size_t at = 0;
    cr_expect_not(weir_top_next((struct weir_bytes){words, sizeof words}, &at, &entry));
    at = 1000;
    cr_expect_not(weir_top_next((struct weir_bytes){words, sizeof words}, &at, &entry));
}

/* ---- distinct ---- */

static weir_node add_distinct(struct weir_graph *graph, uint32_t limit, enum weir_reduce_emit emit)
{
    struct weir_distinct_options options = {WEIR_SIZED(struct weir_distinct_options),
                                            .limit = limit, .emit = emit};
    return weir_distinct(graph, "distinct", &options);
}

static uint64_t naive_distinct(uint32_t key)
{
    uint64_t count = 0;
    for (size_t i = 0; i < given_count; i++) {
        bool known = given[i].key != key;
        for (size_t j = 0; j < i && !known; j++)
            known = given[j].key == key && strcmp(given[i].text, given[j].text) == 0;
        count += !known;
    }
    return count;
}

static uint64_t count_in(const struct weir_record *record)
{
    uint64_t count;
    cr_assert_eq(record->value.size, sizeof count);
    memcpy(&count, record->value.data, sizeof count);
    return count;
}

static void run_distinct(enum weir_reduce_emit emit, uint64_t seed)
{
    uint64_t random = seed;
    struct weir_context task;
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node node = add_distinct(graph, 0, emit);
    given_count = 0;
    cr_assert_eq(fake_start(&task, graph, node, &first), WEIR_OK);
    while (given_count < RECORDS) {
        struct given *new = draw(&random, false);
        new->text[explore_below(&random, 4)] = '\0';
        uint64_t before = task.emitted_count;
        cr_assert_eq(give(&task, new->key, new->text), WEIR_OK, "%s", task.failed.text);
        if (task.emitted_count > before)
            cr_assert_eq(count_in(&task.emitted[before]), naive_distinct(new->key));
        if (explore_below(&random, 4) == 0)
            cr_assert_eq(fake_restart(&task), WEIR_OK);
    }
    if (emit == WEIR_REDUCE_UPDATES) {
        uint64_t all = 0;
        for (uint32_t key = 0; key < KEYS; key++)
            all += naive_distinct(key);
        cr_assert_eq(task.emitted_count, all, "one update a new value");
    }
    size_t updates = task.emitted_count;
    cr_assert_eq(fake_finish(&task, 10), WEIR_OK);
    for (size_t i = updates; i < task.emitted_count; i++)
        cr_assert_eq(count_in(&task.emitted[i]), naive_distinct(key_of(&task.emitted[i])));
    cr_assert_eq(task.emitted_count - updates, emit == WEIR_REDUCE_FINAL ? KEYS : 0);
    fake_end(&task);
    weir_graph_free(&graph);
}

Test(distinct, is_what_comparing_all_pairs_says)
{
    for (uint64_t seed = explore_seed(), last = seed + 20; seed < last; seed++) {
        run_distinct(WEIR_REDUCE_FINAL, seed);
        run_distinct(WEIR_REDUCE_UPDATES, seed);
    }
}

Test(distinct, a_set_over_its_limit_fails_the_run_and_says_what_to_do)
{
    struct weir_context task;
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node node = add_distinct(graph, 3 * (16 + 2), WEIR_REDUCE_FINAL);
    cr_assert_eq(fake_start(&task, graph, node, &first), WEIR_OK);
    cr_expect_eq(give(&task, 1, "aa"), WEIR_OK);
    cr_expect_eq(give(&task, 1, "bb"), WEIR_OK);
    cr_expect_eq(give(&task, 1, "cc"), WEIR_OK);
    cr_expect_eq(give(&task, 1, "aa"), WEIR_OK);
    cr_expect_eq(give(&task, 2, "dd"), WEIR_OK);
    cr_expect_eq(give(&task, 1, "dd"), WEIR_TOO_LARGE);
    cr_expect(strstr(task.failed.text, "weir_dedup"), "%s", task.failed.text);
    fake_end(&task);
    weir_graph_free(&graph);
}
