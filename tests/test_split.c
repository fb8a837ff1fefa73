/* links: operators fake_context */
/* SPDX-License-Identifier: Apache-2.0
 *
 * Split, union and sample: what goes where.
 */
#include "explore.h"
#include "fake_context.h"
#include "weir_operators.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static const struct fake_run first = {.parallelism = 1};

static enum weir_result give(struct weir_context *task, uint32_t key, uint32_t value)
{
    struct weir_record record = {{&key, sizeof key}, {&value, sizeof value}, value};
    return fake_take(task, 0, &record);
}

/* ---- split ---- */

static uint32_t by_value(const struct weir_record *record, const void *config)
{
    uint32_t value;
    (void)config;
    memcpy(&value, record->value.data, sizeof value);
    return value == 9 ? WEIR_SPLIT_DROP : value;
}

static weir_node add_split(struct weir_graph *graph)
{
    static const char *const outputs[] = {"even", "odd", "rest"};
    struct weir_split_options options = {WEIR_SIZED(struct weir_split_options), .choose = by_value,
                                         .outputs = outputs, .output_count = 3};
    return weir_split(graph, "split", &options);
}

Test(split, the_callback_chooses_the_output_or_none)
{
    struct weir_context task;
    struct weir_graph *graph = weir_graph_new(NULL);
    cr_assert_eq(fake_start(&task, graph, add_split(graph), &first), WEIR_OK);
    static const uint32_t values[] = {2, 0, 9, 1, 0};
    static const unsigned outputs[] = {2, 0, 1, 0};
    for (size_t i = 0; i < 5; i++)
        cr_assert_eq(give(&task, 1, values[i]), WEIR_OK);
    cr_assert_eq(task.emitted_count, 4);
    cr_expect_arr_eq(task.outputs, outputs, sizeof outputs);
    cr_expect_eq(give(&task, 1, 3), WEIR_INVALID);
    cr_expect(strstr(task.failed.text, "output 3"), "%s", task.failed.text);
    fake_end(&task);
    weir_graph_free(&graph);
}

Test(split, declares_its_outputs_and_wants_some)
{
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node node = add_split(graph);
    cr_expect_eq(graph->nodes[node.index].options.output_count, 3);
    struct weir_split_options none = {WEIR_SIZED(struct weir_split_options), .choose = by_value};
    weir_split(graph, "none", &none);
    cr_expect(strstr(graph->error, "none"));
    weir_graph_free(&graph);
}

/* ---- union ---- */

Test(union_node, passes_everything_on_as_it_is)
{
    struct weir_context task;
    struct weir_graph *graph = weir_graph_new(NULL);
    cr_assert_eq(fake_start(&task, graph, weir_union(graph, "all", 2), &first), WEIR_OK);
    cr_assert_eq(give(&task, 7, 8), WEIR_OK);
    cr_assert_eq(task.emitted_count, 1);
    cr_expect_eq(*(const uint32_t *)task.emitted[0].key.data, 7);
    cr_expect_eq(*(const uint32_t *)task.emitted[0].value.data, 8);
    cr_expect_eq(task.emitted[0].time, 8);
    fake_end(&task);
    weir_graph_free(&graph);
}

/* ---- sample ---- */

static weir_node add_sample(struct weir_graph *graph, double fraction, enum weir_sample_by by,
                            uint64_t seed)
{
    struct weir_sample_options options = {WEIR_SIZED(struct weir_sample_options),
                                          .fraction = fraction, .by = by, .seed = seed};
    return weir_sample(graph, "sample", &options);
}

#define MANY 20000

static size_t run_sample(double fraction, enum weir_sample_by by, uint64_t seed, uint32_t keys,
                         bool passed[MANY])
{
    struct weir_context task;
    struct weir_graph *graph = weir_graph_new(NULL);
    cr_assert_eq(fake_start(&task, graph, add_sample(graph, fraction, by, seed), &first), WEIR_OK);
    size_t count = 0;
    for (uint32_t i = 0; i < MANY; i++) {
        size_t before = task.emitted_count;
        cr_assert_eq(give(&task, i % keys, i), WEIR_OK);
        passed[i] = task.emitted_count > before;
        count += passed[i];
    }
    fake_end(&task);
    weir_graph_free(&graph);
    return count;
}

static bool passed[MANY], again[MANY];

Test(sample, lets_about_the_fraction_through_and_the_same_each_time)
{
    static const double fractions[] = {0.001, 0.1, 0.5, 0.99, 1};
    for (size_t i = 0; i < 5; i++)
        for (int by = 0; by < 2; by++) {
            size_t count = run_sample(fractions[i], (enum weir_sample_by)by, 3, MANY, passed);
            run_sample(fractions[i], (enum weir_sample_by)by, 3, MANY, again);
            cr_assert_arr_eq(passed, again, sizeof passed);
            double off = (double)count - MANY * fractions[i];
            cr_expect(off * off <= 25 * MANY * fractions[i], "%zu of fraction %g", count,
                      fractions[i]);
            cr_expect(fractions[i] < 1 || count == MANY);
        }
}

Test(sample, a_larger_fraction_lets_through_what_a_smaller_one_does)
{
    run_sample(0.1, WEIR_SAMPLE_RECORDS, 3, 100, passed);
    run_sample(0.2, WEIR_SAMPLE_RECORDS, 3, 100, again);
    for (size_t i = 0; i < MANY; i++)
        cr_assert(!passed[i] || again[i]);
}

Test(sample, keys_pass_as_a_whole_and_another_seed_chooses_others)
{
    run_sample(0.5, WEIR_SAMPLE_KEYS, 3, 100, passed);
    for (size_t i = 100; i < MANY; i++)
        cr_assert_eq(passed[i], passed[i % 100]);
    run_sample(0.5, WEIR_SAMPLE_KEYS, 4, 100, again);
    size_t same = 0;
    for (size_t i = 0; i < 100; i++)
        same += passed[i] == again[i];
    cr_expect(same > 25 && same < 75);
}

/* Keys are dealt to subtasks by their hash: a sample by that hash itself would starve some. */
Test(sample, every_part_of_the_hashes_has_its_share)
{
    unsigned of_part[8] = {0};
    run_sample(0.125, WEIR_SAMPLE_KEYS, 0, MANY, passed);
    for (uint32_t i = 0; i < MANY; i++)
        of_part[weir_hash((struct weir_bytes){&i, sizeof i}) >> 61] += passed[i];
    for (int i = 0; i < 8; i++)
        cr_expect(of_part[i] > 200 && of_part[i] < 430, "%u", of_part[i]);
}

Test(sample, a_fraction_is_above_0_and_at_most_1)
{
    static const double bad[] = {0, -1, 1.0001, (double)NAN};
    for (size_t i = 0; i < 4; i++) {
        struct weir_graph *graph = weir_graph_new(NULL);
        add_sample(graph, bad[i], WEIR_SAMPLE_KEYS, 0);
        cr_expect(strstr(graph->error, "fraction"));
        weir_graph_free(&graph);
    }
}
