/* links: operators fake_context */
/* SPDX-License-Identifier: Apache-2.0
 *
 * Transforms whose every allocation fails in turn: the run fails with WEIR_NO_MEMORY, nothing that
 * was emitted is half of something, and all memory is given back.
 */
#include "fake_context.h"
#include "weir_operators.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Pool threads allocate too. */
static struct {
    atomic_uint calls, live;
    unsigned failing; /* this one fails; 0: none */
} memory;

static void *allocate(void *context, size_t size)
{
    (void)context;
    if (atomic_fetch_add(&memory.calls, 1) + 1 == memory.failing)
        return NULL;
    atomic_fetch_add(&memory.live, 1);
    void *block = aligned_alloc(16, (size + 15) & ~(size_t)15);
    memset(block, 0xa5, size);
    return block;
}

static void release(void *context, void *block)
{
    (void)context;
    atomic_fetch_sub(&memory.live, 1);
    free(block);
}

static const struct weir_allocator allocator = {allocate, release, NULL};

#define RECORDS 40

/* What a run emitted: fingerprints, in order. */
static uint64_t whole[RECORDS * 8];
static size_t whole_count;

static uint64_t fingerprint(const struct weir_record *record)
{
    return weir_hash(record->key) * 31 + weir_hash(record->value);
}

static enum weir_result feed(struct weir_context *task, unsigned inputs,
                             void (*write)(char *value, unsigned number))
{
    enum weir_result result = WEIR_OK;
    for (unsigned i = 0; i < RECORDS && !result; i++) {
        char value[64], key[8];
        write(value, i);
        snprintf(key, sizeof key, "k%u", i % 5);
        struct weir_record record = {{key, strlen(key)}, {value, strlen(value)}, (int64_t)i};
        result = fake_take(task, inputs > 1 && i % 3 == 2, &record);
        if (!result && task->table->wake) {
            struct pollfd wish = {.fd = task->wake_fd, .events = POLLIN};
            poll(&wish, 1, task->held ? 10000 : 0);
            result = fake_wake(task);
        }
        if (!result && i == RECORDS / 2)
            result = fake_restart(task);
    }
    while (!result && task->table->finish) {
        enum weir_progress progress = task->table->finish(task->self, task);
        struct pollfd wish = {.fd = task->idle_fd, .events = POLLIN};
        result = task->failed.code;
        if (progress == WEIR_END)
            break;
        if (progress == WEIR_IDLE)
            poll(&wish, 1, 10000);
    }
    return result;
}

/* How many allocations a run without failures makes. */
static unsigned run(struct weir_graph *graph, weir_node node, unsigned inputs,
                    void (*write)(char *value, unsigned number), unsigned failing)
{
    struct weir_context task;
    struct fake_run first = {.allocator = &allocator};
    atomic_store(&memory.calls, 0);
    memory.failing = failing;
    enum weir_result result = fake_start(&task, graph, node, &first);
    if (!result)
        result = feed(&task, inputs, write);
    unsigned calls = atomic_load(&memory.calls);
    bool hit = failing && calls >= failing;
    cr_assert_eq(result, hit ? WEIR_NO_MEMORY : WEIR_OK, "allocation %u: %s", failing,
                 task.failed.text);
    if (!failing)
        whole_count = task.emitted_count;
    cr_assert_leq(task.emitted_count, whole_count);
    for (size_t i = 0; i < task.emitted_count; i++) {
        if (!failing)
            whole[i] = fingerprint(&task.emitted[i]);
        cr_assert_eq(whole[i], fingerprint(&task.emitted[i]), "allocation %u", failing);
    }
    fake_end(&task);
    cr_assert_eq(atomic_load(&memory.live), 0, "allocation %u: %u blocks are left", failing,
                 atomic_load(&memory.live));
    return calls;
}

static void survives(struct weir_graph *graph, weir_node node, unsigned inputs,
                     void (*write)(char *value, unsigned number))
{
    cr_assert_eq(graph->error[0], '\0', "%s", graph->error);
    unsigned calls = run(graph, node, inputs, write, 0);
    cr_assert_gt(calls, 1);
    cr_assert_gt(whole_count, 0);
    for (unsigned failing = 1; failing <= calls; failing++)
        run(graph, node, inputs, write, failing);
    weir_graph_free(&graph);
}

static void number(char *value, unsigned i)
{
    sprintf(value, "%u", i * 7 % 11);
}

Test(transform_memory, top)
{
    struct weir_graph *graph = weir_graph_new(NULL);
    struct weir_top_options options = {WEIR_SIZED(struct weir_top_options),
                                       .number = WEIR_NUMBER_INTEGER_TEXT,
                                       .emit = WEIR_REDUCE_UPDATES};
    survives(graph, weir_top(graph, "top", &options), 1, number);
}

Test(transform_memory, distinct)
{
    struct weir_graph *graph = weir_graph_new(NULL);
    struct weir_distinct_options options = {WEIR_SIZED(struct weir_distinct_options),
                                            .emit = WEIR_REDUCE_UPDATES};
    survives(graph, weir_distinct(graph, "distinct", &options), 1, number);
}

static enum weir_result combine(struct weir_context *context, const struct weir_record *record,
                                const struct weir_bytes *row, const void *config)
{
    struct weir_record out = {record->key, *row, record->time};
    (void)config;
    return weir_emit(context, 0, &out);
}

Test(transform_memory, enrich)
{
    struct weir_graph *graph = weir_graph_new(NULL);
    struct weir_enrich_options options = {WEIR_SIZED(struct weir_enrich_options),
                                          .combine = combine, .unmatched = WEIR_ENRICH_WAIT};
    survives(graph, weir_enrich(graph, "enrich", &options), 2, number);
}

/* ---- calls ---- */

static enum weir_result call(const struct weir_record *record, struct weir_reply *reply,
                             const void *config)
{
    (void)config;
    enum weir_result result = weir_reply_key(reply, record->value);
    for (unsigned i = 0; i < 20 && !result; i++)
        result = weir_reply_append(reply, record->value);
    return result;
}

/* One thread: which allocation is the n-th must not depend on threads beyond what it fails. */
Test(transform_memory, async)
{
    struct weir_graph *graph = weir_graph_new(NULL);
    struct weir_async_options options = {WEIR_SIZED(struct weir_async_options), .call = call,
                                         .threads = 1, .capacity = 1};
    survives(graph, weir_async(graph, "async", &options), 1, number);
}

/* ---- lines ---- */

static void csv(char *value, unsigned i)
{
    if (i % 9 == 4)
        sprintf(value, "%u,\"", i);
    else
        sprintf(value, "%u,\"a, %u\",", i, i);
}

static enum weir_result on_csv(struct weir_context *context, const struct weir_csv_row *row,
                               const void *config)
{
    enum weir_result result = WEIR_OK;
    (void)config;
    for (size_t i = 0; i < row->field_count && !result; i++)
        result = weir_emit(context, 0, &(struct weir_record){row->line->key, row->fields[i], 0});
    return result;
}

Test(transform_memory, csv)
{
    struct weir_graph *graph = weir_graph_new(NULL);
    struct weir_csv_options options = {WEIR_SIZED(struct weir_csv_options), .row = on_csv,
                                       .bad = WEIR_BAD_LINE_DROP};
    survives(graph, weir_csv(graph, "csv", &options), 1, csv);
}

static void json(char *value, unsigned i)
{
    sprintf(value, "{\"n\": %u, \"s\": [%u, \"x\"]}", i, i);
}

static enum weir_result on_json(struct weir_context *context, const struct weir_json_row *row,
                                const void *config)
{
    enum weir_result result = WEIR_OK;
    (void)config;
    for (size_t i = 0; i < row->field_count && !result; i++)
        result =
            weir_emit(context, 0, &(struct weir_record){row->line->key, row->fields[i].text, 0});
    return result;
}

Test(transform_memory, json_lines)
{
    static const char *const paths[] = {"n", "s", "s.1"};
    struct weir_graph *graph = weir_graph_new(NULL);
    struct weir_json_lines_options options = {WEIR_SIZED(struct weir_json_lines_options),
                                              .row = on_json, .paths = paths, .path_count = 3};
    survives(graph, weir_json_lines(graph, "json", &options), 1, json);
}
