/* links: operators fake_context */
/* SPDX-License-Identifier: Apache-2.0
 *
 * Reduce: cells, updates, and the final scan in small steps.
 */
#include "fake_context.h"
#include "weir_operators.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct fake_run first = {.parallelism = 1};

static void count(void *cell, const struct weir_record *record, const void *config)
{
    uint64_t value;
    (void)record;
    memcpy(&value, cell, sizeof value);
    value += *(const uint64_t *)config;
    memcpy(cell, &value, sizeof value);
}

static const uint64_t one = 1;

static weir_node add_count(struct weir_graph *graph, enum weir_reduce_emit emit)
{
    struct weir_reduce_options options = {
        WEIR_SIZED(struct weir_reduce_options),
        .value_size = 8,
        .version = 3,
        .format = "u64",
        .fold = count,
        .config = &one,
        .emit = emit,
    };
    return weir_reduce(graph, "count", &options);
}

static uint64_t value_of(const struct weir_record *record)
{
    uint64_t value;
    cr_assert_eq(record->value.size, sizeof value);
    memcpy(&value, record->value.data, sizeof value);
    return value;
}

Test(reduce, declares_its_cell)
{
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node node = add_count(graph, WEIR_REDUCE_FINAL);
    const struct weir_state *state = &graph->nodes[node.index].state;
    cr_expect_eq(state->value_size, 8);
    cr_expect_eq(state->version, 3);
    cr_expect_str_eq(state->format, "u64");
    weir_graph_free(&graph);
}

Test(reduce, updates_come_after_every_record_with_its_time)
{
    struct weir_context task;
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node node = add_count(graph, WEIR_REDUCE_UPDATES);
    cr_assert_eq(fake_start(&task, graph, node, &first), WEIR_OK);
    fake_process(&task, "a", "");
    fake_process(&task, "b", "");
    fake_process(&task, "a", "");
    cr_assert_eq(task.emitted_count, 3);
    cr_expect_eq(value_of(&task.emitted[0]), 1);
    cr_expect_eq(value_of(&task.emitted[1]), 1);
    cr_expect_eq(value_of(&task.emitted[2]), 2);
    cr_expect_eq(task.emitted[2].time, 7);
    cr_expect_eq(task.table->finish(task.self, &task), WEIR_END);
    cr_expect_eq(task.emitted_count, 3);
    fake_end(&task);
    weir_graph_free(&graph);
}

Test(reduce, final_values_come_at_the_end_in_bounded_steps)
{
    struct weir_context task;
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node node = add_count(graph, WEIR_REDUCE_FINAL);
    char key[16];
    cr_assert_eq(fake_start(&task, graph, node, &first), WEIR_OK);
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < 600; i++) {
            snprintf(key, sizeof key, "%u", i);
            fake_process(&task, key, "");
        }
    cr_assert_eq(task.emitted_count, 0);
    size_t before = 0;
    while (task.table->finish(task.self, &task) == WEIR_MORE) {
        cr_assert_leq(task.emitted_count - before, 256);
        before = task.emitted_count;
    }
    cr_assert_eq(task.emitted_count, 600);
    for (size_t i = 0; i < 600; i++) {
        cr_assert_eq(value_of(&task.emitted[i]), 2);
        cr_assert_eq(task.emitted[i].time, WEIR_NO_TIME);
    }
    fake_end(&task);
    weir_graph_free(&graph);
}

Test(reduce, needs_a_fold_and_a_cell)
{
    struct weir_graph *graph = weir_graph_new(NULL);
    struct weir_reduce_options options = {WEIR_SIZED(struct weir_reduce_options), .value_size = 8};
    weir_reduce(graph, "empty", &options);
    cr_expect(strstr(graph->error, "empty"));
    weir_graph_free(&graph);
}
