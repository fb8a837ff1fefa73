/* links: operators fake_context */
/* SPDX-License-Identifier: Apache-2.0
 *
 * Enrich: beside a twin that keeps tables and queues in plain arrays; what waits, for how long, and
 * what becomes of it.
 */
#include "explore.h"
#include "fake_context.h"
#include "weir_operators.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define IN 0
#define TABLE 1
#define KEYS 4
#define STEPS 1500

static const struct fake_run first = {.parallelism = 1};

/* Emits "value+row", or "value+none". */
static enum weir_result combine(struct weir_context *context, const struct weir_record *record,
                                const struct weir_bytes *row, const void *config)
{
    char text[64];
    (void)config;
    int length = snprintf(text, sizeof text, "%.*s+%.*s", (int)record->value.size,
                          (const char *)record->value.data, row ? (int)row->size : 4,
                          row ? (const char *)row->data : "none");
    struct weir_record out = {record->key, {text, (size_t)length}, record->time};
    return weir_emit(context, 0, &out);
}

static weir_node add_enrich(struct weir_graph *graph, struct weir_enrich_options options)
{
    options.size = sizeof options;
    options.combine = combine;
    return weir_enrich(graph, "enrich", &options);
}

static enum weir_result give(struct weir_context *task, unsigned input, uint32_t key,
                             const char *value, int64_t time)
{
    struct weir_record record = {{&key, sizeof key}, {value, strlen(value)}, time};
    return fake_take(task, input, &record);
}

/* ---- the twin ---- */

struct twin_record {
    char value[16];
    int64_t time;
};
struct twin_key {
    bool has_row;
    struct twin_record row;
    struct twin_record waiting[STEPS];
    size_t waiting_count;
};
struct twin {
    struct weir_enrich_options options;
    struct twin_key keys[KEYS];
    char out[STEPS * 3][40]; /* in order: key, text, time */
    size_t out_count;
};
static struct twin twin;

static void twin_emit(uint32_t key, const struct twin_record *record, const char *row)
{
    char text[sizeof twin.out[0]]; /* apart: the record lies in the twin as well */
    snprintf(text, sizeof text, "%u:%s%s%s@%lld", key, record->value, row ? "+" : "",
             row ? row : "", (long long)record->time);
    memcpy(twin.out[twin.out_count++], text, sizeof text);
}

static void twin_without(uint32_t key, const struct twin_record *record,
                         enum weir_enrich_unmatched how)
{
    if (how != WEIR_ENRICH_DROP)
        twin_emit(key, record, how == WEIR_ENRICH_CALL ? "none" : NULL);
}

static void twin_shift(struct twin_key *state)
{
    memmove(state->waiting, state->waiting + 1, --state->waiting_count * sizeof *state->waiting);
}

static void twin_record(uint32_t key, const struct twin_record *record)
{
    struct twin_key *state = &twin.keys[key];
    if (state->has_row) {
        twin_emit(key, record, state->row.value);
    } else if (twin.options.unmatched != WEIR_ENRICH_WAIT) {
        twin_without(key, record, twin.options.unmatched);
    } else {
        if (state->waiting_count == twin.options.wait_limit) {
            twin_without(key, &state->waiting[0], twin.options.late);
            twin_shift(state);
        }
        state->waiting[state->waiting_count++] = *record;
    }
}

static void twin_row(uint32_t key, const struct twin_record *row)
{
    struct twin_key *state = &twin.keys[key];
    if (state->has_row && row->time < state->row.time)
        return;
    state->has_row = row->value[0] || !twin.options.empty_removes;
    if (!state->has_row)
        return;
    state->row = *row;
    for (size_t i = 0; i < state->waiting_count; i++)
        twin_emit(key, &state->waiting[i], row->value);
    state->waiting_count = 0;
}

static int by_text(const void *left, const void *right)
{
    return strcmp(left, right);
}

/* Compares the outputs so far; as sets, for what gives up at once does so in the state's order. */
static void expect_same(const struct weir_context *task, uint64_t seed)
{
    static char found[STEPS * 3][40];
    cr_assert_eq(task->emitted_count, twin.out_count, "seed %llu: %zu records, not %zu",
                 (unsigned long long)seed, task->emitted_count, twin.out_count);
    for (size_t i = 0; i < task->emitted_count; i++) {
        const struct weir_record *record = &task->emitted[i];
        uint32_t key;
        memcpy(&key, record->key.data, sizeof key);
        snprintf(found[i], sizeof found[i], "%u:%.*s@%lld", key, (int)record->value.size,
                 (const char *)record->value.data, (long long)record->time);
    }
    qsort(found, twin.out_count, sizeof found[0], by_text);
    qsort(twin.out, twin.out_count, sizeof twin.out[0], by_text);
    for (size_t i = 0; i < twin.out_count; i++)
        cr_assert_str_eq(found[i], twin.out[i], "seed %llu", (unsigned long long)seed);
}

static void run_beside_twin(struct weir_enrich_options options, uint64_t seed)
{
    uint64_t random = seed;
    struct weir_context task;
    struct weir_graph *graph = weir_graph_new(NULL);
    memset(&twin, 0, sizeof twin);
    twin.options = options;
    if (twin.options.wait_limit == 0)
        twin.options.wait_limit = 16;
    cr_assert_eq(fake_start(&task, graph, add_enrich(graph, options), &first), WEIR_OK);
    for (unsigned i = 0; i < STEPS; i++) {
        uint32_t key = explore_below(&random, KEYS);
        struct twin_record record = {"", (int64_t)explore_below(&random, 100)};
        bool row = explore_below(&random, 3) == 0;
        if (!row || explore_below(&random, 4) > 0)
            snprintf(record.value, sizeof record.value, "%c%u", row ? 'r' : 'v', i);
        cr_assert_eq(give(&task, row ? TABLE : IN, key, record.value, record.time), WEIR_OK);
        if (row)
            twin_row(key, &record);
        else
            twin_record(key, &record);
        if (explore_below(&random, 6) == 0)
            cr_assert_eq(fake_restart(&task), WEIR_OK);
    }
    cr_assert_eq(fake_finish(&task, 1000), WEIR_OK);
    for (uint32_t key = 0; key < KEYS; key++)
        for (size_t i = 0; i < twin.keys[key].waiting_count; i++)
            twin_without(key, &twin.keys[key].waiting[i], options.late);
    expect_same(&task, seed);
    fake_end(&task);
    weir_graph_free(&graph);
}

Test(enrich, is_what_a_twin_with_plain_tables_says)
{
    for (uint64_t seed = explore_seed(), last = seed + 10; seed < last; seed++)
        for (int unmatched = WEIR_ENRICH_DROP; unmatched <= WEIR_ENRICH_WAIT; unmatched++)
            for (int late = WEIR_ENRICH_DROP; late < WEIR_ENRICH_WAIT; late++)
                for (int removes = 0; removes < 2; removes++)
                    run_beside_twin(
                        (struct weir_enrich_options){
                            .unmatched = (enum weir_enrich_unmatched)unmatched,
                            .late = (enum weir_enrich_unmatched)late,
                            .empty_removes = removes,
                            .wait_limit = explore_below(&(uint64_t){seed}, 2) ? 0 : 2,
                        },
                        seed);
}

/* ---- waiting ---- */

Test(enrich, what_waits_longer_than_wait_ns_is_given_up_by_time)
{
    struct weir_context task;
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node node = add_enrich(graph, (struct weir_enrich_options){.unmatched = WEIR_ENRICH_WAIT,
                                                                    .wait_ns = 80,
                                                                    .late = WEIR_ENRICH_CALL,
                                                                    .wait_limit = 1000});
    cr_assert_eq(fake_start(&task, graph, node, &first), WEIR_OK);
    /* 700 keys: more than one step's worth. */
    for (uint32_t key = 0; key < 700; key++)
        give(&task, IN, key, "early", 100);
    for (uint32_t key = 0; key < 700; key += 7)
        give(&task, IN, key, "later", 150);
    cr_expect_leq(task.timer_count, 2, "records of one point in time share a timer");
    cr_assert_eq(fake_restart(&task), WEIR_OK);
    cr_assert_eq(fake_watermark(&task, 179), WEIR_OK);
    cr_expect_eq(task.emitted_count, 0, "not before its time");
    cr_assert_eq(fake_watermark(&task, 191), WEIR_OK);
    cr_expect_eq(task.emitted_count, 700, "an eighth of wait_ns later at most");
    give(&task, TABLE, 7, "row", 160);
    cr_expect_eq(task.emitted_count, 701, "the other one still waited");
    cr_assert_eq(fake_watermark(&task, WEIR_END_OF_TIME), WEIR_OK);
    cr_expect_eq(task.emitted_count, 800);
    cr_assert_eq(fake_finish(&task, 100), WEIR_OK);
    cr_expect_eq(task.emitted_count, 800);
    fake_end(&task);
    weir_graph_free(&graph);
}

Test(enrich, what_comes_too_late_to_wait_is_given_up_at_once)
{
    struct weir_context task;
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node node = add_enrich(graph, (struct weir_enrich_options){.unmatched = WEIR_ENRICH_WAIT,
                                                                    .wait_ns = 80,
                                                                    .late = WEIR_ENRICH_CALL});
    cr_assert_eq(fake_start(&task, graph, node, &first), WEIR_OK);
    cr_assert_eq(fake_watermark(&task, 1000), WEIR_OK);
    give(&task, IN, 1, "late", 920);
    cr_expect_eq(task.emitted_count, 1);
    cr_expect_eq(task.timer_count, 0);
    give(&task, IN, 1, "waits", 921);
    cr_expect_eq(task.emitted_count, 1);
    fake_end(&task);
    weir_graph_free(&graph);
}

Test(enrich, a_restart_in_the_middle_of_a_look_through_goes_on)
{
    struct weir_context task;
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node node = add_enrich(graph, (struct weir_enrich_options){.unmatched = WEIR_ENRICH_WAIT,
                                                                    .wait_ns = 8,
                                                                    .late = WEIR_ENRICH_PASS});
    cr_assert_eq(fake_start(&task, graph, node, &first), WEIR_OK);
    for (uint32_t key = 0; key < 1000; key++)
        give(&task, IN, key, "v", 100);
    task.event_time = 1000; /* fires by hand, one a step */
    unsigned steps = 0;
    while (task.timer_count > 0) {
        struct fake_timer timer = task.timers[--task.timer_count];
        size_t before = task.emitted_count;
        cr_assert_eq(task.table->timer(task.self, &task, timer.kind, timer.time, timer.tag),
                     WEIR_OK);
        cr_assert_leq(task.emitted_count - before, 256, "bounded steps");
        cr_assert_eq(fake_restart(&task), WEIR_OK);
        cr_assert_lt(++steps, 100);
    }
    cr_expect_eq(task.emitted_count, 1000);
    fake_end(&task);
    weir_graph_free(&graph);
}

Test(enrich, without_an_end_the_stream_is_the_end_in_bounded_steps)
{
    struct weir_context task;
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node node = add_enrich(graph, (struct weir_enrich_options){.unmatched = WEIR_ENRICH_WAIT,
                                                                    .wait_limit = 1000,
                                                                    .late = WEIR_ENRICH_PASS});
    cr_assert_eq(fake_start(&task, graph, node, &first), WEIR_OK);
    for (uint32_t i = 0; i < 2000; i++)
        give(&task, IN, i % 40, "v", i % 2 ? WEIR_NO_TIME : INT64_MAX);
    cr_expect_eq(task.timer_count, 0);
    fake_watermark(&task, WEIR_END_OF_TIME);
    cr_expect_eq(task.emitted_count, 0);
    for (size_t before = 0; task.table->finish(task.self, &task) == WEIR_MORE;) {
        cr_assert_leq(task.emitted_count - before, 256 + 1000);
        before = task.emitted_count;
        cr_assert_eq(fake_restart(&task), WEIR_OK);
    }
    cr_expect_eq(task.emitted_count, 2000);
    fake_end(&task);
    weir_graph_free(&graph);
}

Test(enrich, bad_options_are_the_graphs_error)
{
    struct weir_graph *graph = weir_graph_new(NULL);
    add_enrich(graph, (struct weir_enrich_options){.late = WEIR_ENRICH_WAIT});
    cr_expect(strstr(graph->error, "late"));
    graph->error[0] = '\0';
    add_enrich(graph, (struct weir_enrich_options){.wait_limit = 1001});
    cr_expect(strstr(graph->error, "1,000"));
    graph->error[0] = '\0';
    add_enrich(graph, (struct weir_enrich_options){.wait_ns = -1});
    cr_expect(strstr(graph->error, "wait_ns"));
    graph->error[0] = '\0';
    weir_enrich(graph, "bare",
                &(struct weir_enrich_options){.size = sizeof(struct weir_enrich_options)});
    cr_expect(strstr(graph->error, "bare"));
    weir_graph_free(&graph);
}
