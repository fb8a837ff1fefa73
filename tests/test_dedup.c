/* links: operators fake_context */
/* SPDX-License-Identifier: Apache-2.0
 *
 * Dedup: beside a twin that remembers everything, and with its state kept small.
 */
#include "explore.h"
#include "fake_context.h"
#include "weir_operators.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static const struct fake_run first = {.parallelism = 1};

static weir_node add_dedup(struct weir_graph *graph, int64_t ttl_ns)
{
    struct weir_dedup_options options = {WEIR_SIZED(struct weir_dedup_options), .ttl_ns = ttl_ns};
    return weir_dedup(graph, "dedup", &options);
}

static enum weir_result give(struct weir_context *task, uint32_t key, int64_t time)
{
    struct weir_record record = {{&key, sizeof key}, {&time, sizeof time}, time};
    return fake_take(task, 0, &record);
}

static size_t live_cells(const struct weir_context *task)
{
    size_t live = 0;
    for (size_t i = 0; i < task->cell_count; i++)
        live += !task->cells[i].removed;
    return live;
}

Test(dedup, without_a_time_to_live_a_key_passes_once)
{
    bool seen[200] = {false};
    uint64_t random = explore_seed();
    size_t expected = 0;
    struct weir_context task;
    struct weir_graph *graph = weir_graph_new(NULL);
    cr_assert_eq(fake_start(&task, graph, add_dedup(graph, 0), &first), WEIR_OK);
    for (unsigned i = 0; i < 2000; i++) {
        uint32_t key = explore_below(&random, 200);
        expected += !seen[key];
        seen[key] = true;
        cr_assert_eq(give(&task, key, WEIR_NO_TIME), WEIR_OK);
        cr_assert_eq(task.emitted_count, expected);
        if (explore_below(&random, 10) == 0)
            cr_assert_eq(fake_restart(&task), WEIR_OK);
    }
    cr_expect_eq(task.timer_count, 0);
    fake_end(&task);
    weir_graph_free(&graph);
}

/* The twin never cleans up, so that a state cleaned too early or too late shows. */
static void run_beside_twin(int64_t ttl, uint64_t seed)
{
    int64_t kept[50], now = 1000, watermark = WEIR_NO_TIME;
    uint64_t random = seed;
    size_t expected = 0;
    struct weir_context task;
    struct weir_graph *graph = weir_graph_new(NULL);
    cr_assert_eq(fake_start(&task, graph, add_dedup(graph, ttl), &first), WEIR_OK);
    for (unsigned i = 0; i < 50; i++)
        kept[i] = INT64_MIN;
    for (unsigned i = 0; i < 3000; i++) {
        uint32_t key = explore_below(&random, 50);
        int64_t time = now - (int64_t)explore_below(&random, 30); /* late ones too */
        now += explore_below(&random, 4);
        bool passes =
            kept[key] == INT64_MIN || time >= kept[key] + ttl || watermark >= kept[key] + ttl;
        if (passes)
            kept[key] = time;
        expected += passes;
        cr_assert_eq(give(&task, key, time), WEIR_OK, "%s", task.failed.text);
        cr_assert_eq(task.emitted_count, expected, "seed %llu, record %u", (unsigned long long)seed,
                     i);
        if (explore_below(&random, 5) == 0) {
            watermark = now - 20 > watermark ? now - 20 : watermark;
            cr_assert_eq(fake_watermark(&task, watermark), WEIR_OK);
        }
        if (explore_below(&random, 10) == 0)
            cr_assert_eq(fake_restart(&task), WEIR_OK);
    }
    cr_assert_eq(fake_watermark(&task, WEIR_END_OF_TIME), WEIR_OK);
    cr_assert_eq(task.timer_count, 0, "at the end of time no timer is set again");
    fake_end(&task);
    weir_graph_free(&graph);
}

Test(dedup, is_what_a_twin_with_all_its_memory_says)
{
    for (uint64_t seed = explore_seed(), last = seed + 20; seed < last; seed++) {
        run_beside_twin(1, seed);
        run_beside_twin(25, seed);
        run_beside_twin(400, seed);
    }
}

Test(dedup, the_state_holds_about_twice_what_is_alive)
{
    struct weir_context task;
    struct weir_graph *graph = weir_graph_new(NULL);
    cr_assert_eq(fake_start(&task, graph, add_dedup(graph, 1000), &first), WEIR_OK);
    for (int64_t i = 0; i < 8000; i++) {
        cr_assert_eq(give(&task, (uint32_t)i, i), WEIR_OK);
        if (i % 50 == 0)
            fake_watermark(&task, i);
        if (i > 1000)
            cr_assert_leq(live_cells(&task), 2200, "after %lld records", (long long)i);
        cr_assert_leq(task.timer_count, 4, "timers do not pile up");
    }
    fake_end(&task);
    weir_graph_free(&graph);
}

Test(dedup, the_state_empties_where_only_watermarks_come)
{
    struct weir_context task;
    struct weir_graph *graph = weir_graph_new(NULL);
    cr_assert_eq(fake_start(&task, graph, add_dedup(graph, 1000), &first), WEIR_OK);
    for (uint32_t i = 0; i < 5000; i++)
        give(&task, i, 0);
    for (int64_t time = 0; time < 5000; time += 10)
        cr_assert_eq(fake_watermark(&task, time), WEIR_OK);
    cr_expect_eq(live_cells(&task), 0);
    cr_expect_eq(task.timer_count, 0, "nothing to look after, no timer");
    fake_end(&task);
    weir_graph_free(&graph);
}

Test(dedup, times_at_the_ends_of_the_range_are_times)
{
    static const int64_t times[] = {INT64_MIN + 1, INT64_MIN + 100, -1, 0,
                                    INT64_MAX - 1, INT64_MAX};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        for (int64_t ttl = 1; ttl > 0; ttl = ttl < INT64_MAX / 1000 ? ttl * 1000 : 0) {
            struct weir_context task;
            struct weir_graph *graph = weir_graph_new(NULL);
            cr_assert_eq(fake_start(&task, graph, add_dedup(graph, ttl), &first), WEIR_OK);
            cr_expect_eq(give(&task, 1, times[i]), WEIR_OK);
            cr_expect_eq(give(&task, 1, times[i]), WEIR_OK);
            /* What lives until the end of time does not begin anew there. */
            cr_expect_eq(task.emitted_count, times[i] == INT64_MAX ? 2 : 1);
            fake_watermark(&task, INT64_MAX - 1);
            fake_end(&task);
            weir_graph_free(&graph);
        }
}

Test(dedup, a_time_to_live_needs_times)
{
    struct weir_context task;
    struct weir_graph *graph = weir_graph_new(NULL);
    cr_assert_eq(fake_start(&task, graph, add_dedup(graph, 5), &first), WEIR_OK);
    cr_expect_eq(give(&task, 1, WEIR_NO_TIME), WEIR_INVALID);
    cr_expect(strstr(task.failed.text, "event time"));
    fake_end(&task);
    add_dedup(graph, -1);
    cr_expect(strstr(graph->error, "negative"));
    weir_graph_free(&graph);
}
