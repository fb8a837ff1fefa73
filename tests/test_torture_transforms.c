/* links: main */
/* SPDX-License-Identifier: Apache-2.0
 *
 * Under weir_operator_torture: operators with a clock, threads, timers or foreign parsers in them.
 * The plain ones are in test_torture_operators.c.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "explore.h"
#include "weir.h"
#include "weir_operators.h"

#define RECORDS 80

static struct weir_graph *graph;
static char values[RECORDS][64];
static struct weir_torture_step steps[RECORDS];

/* Records of 7 keys, times that mostly rise, watermarks each seventh step. `write` makes a value
 * of a number. With two inputs, they take turns in twos. */
static void make_steps(unsigned inputs, int (*write)(char *value, size_t room, unsigned number))
{
    static const char *const keys[] = {"ash", "beech", "elm", "fir", "lime", "oak", "yew"};
    for (unsigned i = 0; i < RECORDS; i++) {
        int size = write(values[i], sizeof values[i], i * i * 7 % 23);
        const char *key = keys[i * i % 7];
        steps[i] = (struct weir_torture_step){.input = i / 2 % inputs,
                                              .record = {{key, strlen(key)},
                                                         {values[i], (size_t)size},
                                                         (int64_t)(100 * i) - (i % 3 ? 0 : 150)}};
        if (i % 7 == 6) {
            steps[i].watermark = true;
            steps[i].record.time = (int64_t)(100 * i) - 200;
        }
    }
}

static int plain(char *value, size_t room, unsigned number)
{
    return snprintf(value, room, "%u", number);
}

static void set_up(void)
{
    graph = weir_graph_new(NULL);
    make_steps(1, plain);
}

static void tear_down(void)
{
    weir_graph_free(&graph);
}

TestSuite(torture_transforms, .init = set_up, .fini = tear_down);

static void survives(weir_node node, bool unordered)
{
    struct weir_error error = {0};
    struct weir_torture_options options = {
        WEIR_SIZED(struct weir_torture_options),
        .graph = graph,
        .at = node,
        .steps = steps,
        .step_count = RECORDS,
        .trials = explore_trials(250),
        .unordered = unordered,
    };
    cr_assert_eq(weir_operator_torture(&options, &error), WEIR_OK, "%s", error.text);
}

/* ---- what comes at the end comes in the order of the state ---- */

Test(torture_transforms, sums_of_reals)
{
    struct weir_aggregate_options sum = {WEIR_SIZED(struct weir_aggregate_options),
                                         .kind = WEIR_AGGREGATE_SUM,
                                         .number = WEIR_NUMBER_REAL_TEXT};
    survives(weir_aggregate(graph, "final", &sum), true);
    sum.emit = WEIR_REDUCE_UPDATES;
    survives(weir_aggregate(graph, "updates", &sum), false);
}

static enum weir_result combine(struct weir_context *context, const struct weir_record *record,
                                const struct weir_bytes *row, const void *config)
{
    char text[64];
    (void)config;
    int size = snprintf(text, sizeof text, "%.*s/%.*s", (int)record->value.size,
                        (const char *)record->value.data, row ? (int)row->size : 1,
                        row ? (const char *)row->data : "-");
    return weir_emit(context, 0,
                     &(struct weir_record){record->key, {text, (size_t)size}, record->time});
}

Test(torture_transforms, enrich)
{
    make_steps(2, plain);
    for (int unmatched = WEIR_ENRICH_DROP; unmatched <= WEIR_ENRICH_WAIT; unmatched++)
        for (int64_t wait = 0; wait <= 1600; wait += 800) {
            struct weir_enrich_options enrich = {
                WEIR_SIZED(struct weir_enrich_options),
                .combine = combine,
                .unmatched = (enum weir_enrich_unmatched)unmatched,
                .late = WEIR_ENRICH_CALL,
                .wait_limit = 2,
                .wait_ns = wait,
            };
            char name[32];
            snprintf(name, sizeof name, "enrich_%d_%d", unmatched, (int)wait);
            survives(weir_enrich(graph, name, &enrich), unmatched == WEIR_ENRICH_WAIT);
        }
}

Test(torture_transforms, throttle)
{
    struct weir_throttle_options throttle = {WEIR_SIZED(struct weir_throttle_options),
                                             .rate = 1000000};
    survives(weir_throttle(graph, "throttle", &throttle), false);
}

/* ---- calls; every third one answers nothing ---- */

static enum weir_result call(const struct weir_record *record, struct weir_reply *reply,
                             const void *config)
{
    (void)config;
    if (weir_hash(record->value) % 3 == 0)
        weir_reply_none(reply);
    enum weir_result result = weir_reply_append(reply, (struct weir_bytes){"<", 1});
    if (!result)
        result = weir_reply_append(reply, record->value);
    return result;
}

Test(torture_transforms, async)
{
    struct weir_async_options async = {WEIR_SIZED(struct weir_async_options), .call = call,
                                       .threads = 3, .capacity = 5};
    survives(weir_async(graph, "ordered", &async), false);
    async.unordered = true;
    async.timeout_ns = INT64_C(60000000000);
    survives(weir_async(graph, "unordered", &async), true);
}

/* ---- lines ---- */

static int write_csv(char *value, size_t room, unsigned number)
{
    return number % 5 == 0 ? snprintf(value, room, "\"bad %u", number)
                           : snprintf(value, room, "%u,\"a, %u\",", number, number);
}

static enum weir_result on_csv(struct weir_context *context, const struct weir_csv_row *row,
                               const void *config)
{
    (void)config;
    for (size_t i = 0; i < row->field_count; i++)
        weir_emit(context, 0,
                  &(struct weir_record){row->line->key, row->fields[i], row->line->time});
    return WEIR_OK;
}

static int write_json(char *value, size_t room, unsigned number)
{
    return number % 5 == 0 ? snprintf(value, room, "{\"n\": %u", number)
                           : snprintf(value, room, "{\"n\": %u, \"s\": [\"%u\"]}", number, number);
}

static enum weir_result on_json(struct weir_context *context, const struct weir_json_row *row,
                                const void *config)
{
    (void)config;
    for (size_t i = 0; i < row->field_count; i++)
        weir_emit(context, 0,
                  &(struct weir_record){row->line->key, row->fields[i].text, row->line->time});
    return WEIR_OK;
}

Test(torture_transforms, csv_and_json_lines)
{
    static const char *const paths[] = {"n", "s.0"};
    for (int bad = WEIR_BAD_LINE_DROP; bad <= WEIR_BAD_LINE_OUTPUT; bad++) {
        struct weir_csv_options csv = {WEIR_SIZED(struct weir_csv_options), .row = on_csv,
                                       .bad = (enum weir_bad_line)bad};
        struct weir_json_lines_options json = {WEIR_SIZED(struct weir_json_lines_options),
                                               .row = on_json, .paths = paths, .path_count = 2,
                                               .bad = (enum weir_bad_line)bad};
        make_steps(1, write_csv);
        survives(weir_csv(graph, bad == WEIR_BAD_LINE_DROP ? "csv_drop" : "csv_out", &csv), false);
        make_steps(1, write_json);
        survives(
            weir_json_lines(graph, bad == WEIR_BAD_LINE_DROP ? "json_drop" : "json_out", &json),
            false);
    }
}
