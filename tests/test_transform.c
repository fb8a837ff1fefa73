/* links: operators fake_context */
/* SPDX-License-Identifier: Apache-2.0
 *
 * Map, filter, flat map, the sequence source and the collect sink, each alone.
 */
#include "fake_context.h"
#include "weir_operators.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const struct fake_run first = {.parallelism = 1};

static void take_tail(struct weir_record *record, const void *config)
{
    size_t skip = *(const size_t *)config;
    record->value.data = (const char *)record->value.data + skip;
    record->value.size -= skip;
}

static bool is_long(const struct weir_record *record, const void *config)
{
    return record->value.size > *(const size_t *)config;
}

static enum weir_result twice(struct weir_context *context, unsigned input,
                              const struct weir_record *record, const void *config)
{
    (void)input;
    (void)config;
    weir_emit(context, 0, record);
    return weir_emit(context, 0, record);
}

static void expect_value(const struct weir_context *task, size_t index, const char *value)
{
    cr_assert_lt(index, task->emitted_count);
    cr_expect_eq(task->emitted[index].value.size, strlen(value));
    cr_expect_arr_eq(task->emitted[index].value.data, value, strlen(value));
}

Test(transform, map_emits_the_changed_copy_with_key_and_time)
{
    size_t skip = 2;
    struct weir_context task;
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node node = weir_map(graph, "map", take_tail, &skip);
    cr_assert_eq(fake_start(&task, graph, node, &first), WEIR_OK);
    cr_assert_eq(fake_process(&task, "k", "abcd"), WEIR_OK);
    expect_value(&task, 0, "cd");
    cr_expect_eq(task.emitted[0].key.size, 1);
    cr_expect_eq(task.emitted[0].time, 7);
    fake_end(&task);
    weir_graph_free(&graph);
}

Test(transform, filter_lets_through_what_the_callback_likes)
{
    size_t least = 2;
    struct weir_context task;
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node node = weir_filter(graph, "filter", is_long, &least);
    cr_assert_eq(fake_start(&task, graph, node, &first), WEIR_OK);
    fake_process(&task, "", "ab");
    fake_process(&task, "", "abc");
    cr_assert_eq(task.emitted_count, 1);
    expect_value(&task, 0, "abc");
    fake_end(&task);
    weir_graph_free(&graph);
}

Test(transform, flat_map_emits_any_number)
{
    struct weir_context task;
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node node = weir_flat_map(graph, "flat_map", twice, NULL);
    cr_assert_eq(fake_start(&task, graph, node, &first), WEIR_OK);
    fake_process(&task, "", "a");
    cr_expect_eq(task.emitted_count, 2);
    fake_end(&task);
    weir_graph_free(&graph);
}

Test(transform, missing_functions_and_options_are_the_graphs_error)
{
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_map(graph, "nothing", NULL, NULL);
    cr_expect(strstr(graph->error, "nothing"));
    graph->error[0] = '\0';
    weir_line_source(graph, "lines", NULL);
    cr_expect(strstr(graph->error, "lines"));
    graph->error[0] = '\0';
    struct weir_line_source_options no_path = {WEIR_SIZED(struct weir_line_source_options)};
    weir_line_source(graph, "lines", &no_path);
    cr_expect(strstr(graph->error, "path"));
    cr_expect_eq(graph->count, 0);
    weir_graph_free(&graph);
}

/* ---- sequence source ---- */

static uint64_t number_of(const struct weir_bytes *bytes)
{
    uint64_t number;
    cr_assert_eq(bytes->size, sizeof number);
    memcpy(&number, bytes->data, sizeof number);
    return number;
}

static weir_node add_sequence(struct weir_graph *graph, uint64_t count, uint64_t rate)
{
    struct weir_sequence_source_options options = {
        WEIR_SIZED(struct weir_sequence_source_options),
        .count = count,
        .keys = 10,
        .rate = rate,
        .first_time = 1000,
        .time_step = 5,
    };
    return weir_sequence_source(graph, "sequence", &options);
}

Test(sequence_source, subtasks_share_the_numbers_by_their_remainder)
{
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node node = add_sequence(graph, 1000, 0);
    for (uint32_t subtask = 0; subtask < 3; subtask++) {
        struct weir_context task;
        struct fake_run run = {.subtask = subtask, .parallelism = 3};
        cr_assert_eq(fake_start(&task, graph, node, &run), WEIR_OK);
        while (task.table->poll(task.self, &task) != WEIR_END)
            ;
        cr_assert_eq(task.emitted_count, subtask == 0 ? 334 : 333);
        for (size_t i = 0; i < task.emitted_count; i++) {
            uint64_t number = subtask + 3 * i;
            cr_assert_eq(number_of(&task.emitted[i].value), number);
            cr_assert_eq(number_of(&task.emitted[i].key), number % 10);
            cr_assert_eq(task.emitted[i].time, 1000 + 5 * (int64_t)number);
        }
        /* Of the number after the first 256 of this subtask. */
        cr_expect_eq(task.watermark, 1000 + 5 * (int64_t)(subtask + 3 * 256));
        cr_expect_eq(task.progress_done, task.progress_total);
        cr_expect_eq(task.progress_total, task.emitted_count + 1);
        fake_end(&task);
    }
    weir_graph_free(&graph);
}

Test(sequence_source, goes_on_where_it_was_saved_with_another_parallelism)
{
    bool seen[1000] = {false};
    struct weir_saver saved = {0};
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node node = add_sequence(graph, 1000, 0);
    for (uint32_t subtask = 0; subtask < 3; subtask++) {
        struct weir_context task;
        struct fake_run run = {.subtask = subtask, .parallelism = 3};
        cr_assert_eq(fake_start(&task, graph, node, &run), WEIR_OK);
        task.table->poll(task.self, &task);
        for (size_t i = 0; i < task.emitted_count; i++)
            seen[number_of(&task.emitted[i].value)] = true;
        cr_assert_eq(fake_cut(&task, &saved), WEIR_OK);
        fake_end(&task);
    }
    struct weir_context task;
    struct fake_run run = {.saved = &saved};
    cr_assert_eq(fake_start(&task, graph, node, &run), WEIR_OK);
    cr_expect_eq(task.progress_done, 3 * 256 + 1);
    cr_expect_eq(task.progress_total, 1001);
    while (task.table->poll(task.self, &task) != WEIR_END)
        ;
    for (size_t i = 0; i < task.emitted_count; i++) {
        uint64_t number = number_of(&task.emitted[i].value);
        cr_assert_not(seen[number]);
        seen[number] = true;
    }
    for (size_t i = 0; i < 1000; i++)
        cr_assert(seen[i]);
    fake_end(&task);
    fake_items_free(&saved);
    weir_graph_free(&graph);
}

Test(sequence_source, an_endless_one_does_not_say_how_far_it_is)
{
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node node = add_sequence(graph, UINT64_MAX, 0);
    struct weir_context task;
    struct fake_run run = {.parallelism = 2};
    cr_assert_eq(fake_start(&task, graph, node, &run), WEIR_OK);
    cr_assert_eq(task.table->poll(task.self, &task), WEIR_MORE);
    cr_expect_eq(task.progress_total, 0);
    fake_end(&task);
    weir_graph_free(&graph);
}

Test(sequence_source, a_saved_position_that_makes_no_sense_is_refused)
{
    static const uint64_t standing_still[] = {7, 0};
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node node = add_sequence(graph, 1000, 0);
    struct weir_saver saved = {0};
    struct weir_context task;
    struct fake_run run = {.saved = &saved};
    fake_items_add(&saved, WEIR_ITEM_SPLIT,
                   (struct weir_bytes){standing_still, sizeof standing_still});
    cr_expect_eq(fake_start(&task, graph, node, &run), WEIR_DAMAGED);
    fake_end(&task);
    fake_items_free(&saved);
    weir_graph_free(&graph);
}

/* A clock that jumps to each deadline; every record must be sent within the period it is due. */
static void expect_pace(uint64_t rate, uint32_t parallelism)
{
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node node = add_sequence(graph, UINT64_MAX, rate);
    struct weir_context task;
    struct fake_run run = {.subtask = parallelism - 1, .parallelism = parallelism};
    run.now_ns = 5;
    cr_assert_eq(fake_start(&task, graph, node, &run), WEIR_OK);
    int64_t end = 10 * INT64_C(1000000000);
    while (task.run.now_ns < end)
        if (task.table->poll(task.self, &task) == WEIR_IDLE) {
            cr_assert_gt(task.deadline_ns, task.run.now_ns);
            task.run.now_ns = task.deadline_ns;
        }
    double expected = 10.0 * (double)rate / parallelism;
    cr_expect_leq((double)task.emitted_count, expected + 1 + (double)rate / 1000);
    cr_expect_geq((double)task.emitted_count, expected - 2 - (double)rate / 1000);
    fake_end(&task);
    weir_graph_free(&graph);
}

Test(sequence_source, keeps_its_rate_without_drift)
{
    expect_pace(1, 1);
    expect_pace(7, 3);
    expect_pace(999, 1);
    expect_pace(30011, 2);
    expect_pace(100000, 5);
}

Test(sequence_source, does_not_make_up_for_a_long_pause_in_a_burst)
{
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node node = add_sequence(graph, UINT64_MAX, 10000);
    struct weir_context task;
    cr_assert_eq(fake_start(&task, graph, node, &first), WEIR_OK);
    task.run.now_ns = 3 * INT64_C(1000000000);
    while (task.table->poll(task.self, &task) != WEIR_IDLE)
        ;
    cr_expect_leq(task.emitted_count, 101); /* 10 ms worth */
    fake_end(&task);
    weir_graph_free(&graph);
}

/* ---- collect sink ---- */

static char taken[256];

static void take(void *context, uint32_t subtask, const struct weir_record *record)
{
    (void)context;
    (void)subtask;
    cr_assert_eq((uintptr_t)record->key.data % 8, 0);
    cr_assert_eq((uintptr_t)record->value.data % 8, 0);
    strncat(taken, record->key.data, record->key.size);
    strncat(taken, "=", 2);
    strncat(taken, record->value.data, record->value.size);
    strncat(taken, " ", 2);
}

static weir_node add_collect(struct weir_graph *graph, bool at_once)
{
    struct weir_collect_sink_options options = {WEIR_SIZED(struct weir_collect_sink_options),
                                                .take = take, .at_once = at_once};
    return weir_collect_sink(graph, "collect", &options);
}

Test(collect_sink, hands_over_at_commit_once)
{
    struct weir_context task;
    struct weir_saver saved = {0};
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node node = add_collect(graph, false);
    cr_assert_eq(fake_start(&task, graph, node, &first), WEIR_OK);
    fake_process(&task, "a", "1");
    fake_process(&task, "bc", "23456789");
    cr_assert_eq(fake_cut(&task, &saved), WEIR_OK);
    fake_process(&task, "d", "4");
    cr_expect_str_eq(taken, "");
    fake_commit(&task, &task.handles);
    cr_expect_str_eq(taken, "a=1 bc=23456789 ");
    fake_commit(&task, &task.handles);
    cr_expect_str_eq(taken, "a=1 bc=23456789 ");
    fake_items_free(&saved);
    cr_assert_eq(fake_cut(&task, &saved), WEIR_OK);
    cr_expect_eq(saved.count, 1);
    fake_commit(&task, &task.handles);
    cr_expect_str_eq(taken, "a=1 bc=23456789 d=4 ");
    fake_end(&task);
    fake_items_free(&saved);
    weir_graph_free(&graph);
}

Test(collect_sink, a_crash_between_checkpoint_and_commit_loses_nothing)
{
    struct weir_context task;
    struct weir_saver saved = {0}, handles = {0}, later = {0};
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node node = add_collect(graph, false);
    cr_assert_eq(fake_start(&task, graph, node, &first), WEIR_OK);
    fake_process(&task, "a", "1");
    cr_assert_eq(fake_cut(&task, &saved), WEIR_OK);
    fake_items_copy(&handles, &task.handles);
    fake_end(&task);
    struct fake_run again = {.epoch = 2, .saved = &saved};
    cr_assert_eq(fake_start(&task, graph, node, &again), WEIR_OK);
    fake_commit(&task, &handles);
    cr_expect_str_eq(taken, "a=1 ");
    cr_assert_eq(fake_cut(&task, &later), WEIR_OK);
    cr_expect_eq(later.count, 0);
    fake_end(&task);
    fake_items_free(&saved);
    fake_items_free(&handles);
    weir_graph_free(&graph);
}

Test(collect_sink, at_once_does_not_wait)
{
    struct weir_context task;
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node node = add_collect(graph, true);
    cr_assert_eq(fake_start(&task, graph, node, &first), WEIR_OK);
    fake_process(&task, "a", "1");
    cr_expect_str_eq(taken, "a=1 ");
    fake_end(&task);
    weir_graph_free(&graph);
}
