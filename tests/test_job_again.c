/* links: flow */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One graph of many ready-made operators is started again and again, as a program does that
 * restarts a failed job in its process: no operator keeps anything in the graph that the next start
 * would stumble over. What is published in the end is what a run without failures publishes.
 */
#include "flow.h"

#include <dirent.h>
#include <stdio.h>

enum { NUMBERS = 20000, KEYS = 100, RATE = 40000, FAILS_AFTER = 2500 };

/* Fails once it was given so many records, counted anew by each start. */
struct faulty {
    uint64_t fails_after, seen;
};

static enum weir_result faulty_open(void *self, struct weir_context *context, const void *config)
{
    (void)context;
    memcpy(&((struct faulty *)self)->fails_after, config, sizeof(uint64_t));
    return WEIR_OK;
}

static enum weir_result faulty_process(void *self, struct weir_context *context, unsigned input,
                                       const struct weir_record *record)
{
    struct faulty *faulty = self;

    (void)input;
    if (faulty->fails_after > 0 && ++faulty->seen > faulty->fails_after)
        return weir_fail(context, WEIR_IO, "enough");
    return weir_emit(context, 0, record);
}

static const struct weir_operator faulty_table = {
    WEIR_SIZED(struct weir_operator), .kind = "faulty", .self_size = sizeof(struct faulty),
    .open = faulty_open, .process = faulty_process};

/* ------------------------------------------------------------------------------ the graph -- */

static void count_one(void *cell, const struct weir_record *record, const void *config)
{
    (void)record, (void)config;
    ++*(uint64_t *)cell;
}

static bool is_even(const struct weir_record *record, const void *config)
{
    (void)config;
    return flow_number(record) % 2 == 0;
}

static uint32_t by_third(const struct weir_record *record, const void *config)
{
    (void)config;
    uint32_t third = (uint32_t)(flow_number(record) % 3);
    return third == 2 ? WEIR_SPLIT_DROP : third;
}

static void nothing(struct weir_record *record, const void *config)
{
    (void)config;
    record->time = WEIR_NO_TIME;
}

static size_t write_hex(char *line, size_t room, const struct weir_record *record,
                        const void *config)
{
    const struct weir_bytes parts[] = {record->key, record->value};
    size_t used = 0;

    (void)config;
    for (size_t part = 0; part < 2; part++)
        for (size_t i = 0; i < parts[part].size; i++, used += 2)
            if (used + 3 <= room)
                snprintf(line + used, room - used, "%02x",
                         ((const unsigned char *)parts[part].data)[i]);
    return used + 1; /* snprintf wants a byte for its zero: write_line has a use for it */
}

static size_t write_line(char *line, size_t room, const struct weir_record *record,
                         const void *config)
{
    size_t size = write_hex(line, room, record, config);

    if (size <= room)
        line[size - 1] = ';';
    return size;
}

static void add_keyed(struct weir_graph *graph, weir_node from, weir_node to)
{
    weir_node nodes[] = {
        weir_reduce(graph, "reduce",
                    &(struct weir_reduce_options){WEIR_SIZED(struct weir_reduce_options),
                                                  .value_size = 8, .fold = count_one,
                                                  .emit = WEIR_REDUCE_UPDATES}),
        weir_aggregate(graph, "sum",
                       &(struct weir_aggregate_options){WEIR_SIZED(struct weir_aggregate_options),
                                                        .kind = WEIR_AGGREGATE_SUM}),
        weir_top(graph, "top",
                 &(struct weir_top_options){WEIR_SIZED(struct weir_top_options), .count = 3}),
        weir_distinct(graph, "distinct",
                      &(struct weir_distinct_options){WEIR_SIZED(struct weir_distinct_options)}),
        weir_dedup(graph, "dedup",
                   &(struct weir_dedup_options){WEIR_SIZED(struct weir_dedup_options)}),
    };

    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++) {
        weir_connect(graph, from, nodes[i], WEIR_BY_KEY);
        weir_connect(graph, nodes[i], to, WEIR_FORWARD);
    }
}

static void add_streams(struct weir_graph *graph, weir_node from, weir_node to)
{
    static const char *const outputs[] = {"first", "second"};
    weir_node sample =
        weir_sample(graph, "sample",
                    &(struct weir_sample_options){WEIR_SIZED(struct weir_sample_options),
                                                  .fraction = 0.5, .by = WEIR_SAMPLE_RECORDS});
    weir_node split = weir_split(
        graph, "split",
        &(struct weir_split_options){WEIR_SIZED(struct weir_split_options), .choose = by_third,
                                     .outputs = outputs, .output_count = 2});
    weir_node filter = weir_filter(graph, "filter", is_even, NULL);
    weir_node map = weir_map(graph, "map", nothing, NULL);
    weir_node joined = weir_union(graph, "joined", 1);

    weir_connect(graph, from, sample, WEIR_FORWARD);
    weir_connect(graph, sample, split, WEIR_FORWARD);
    weir_connect(graph, split, filter, WEIR_FORWARD);
    weir_graph_connect(graph, &(struct weir_edge_options){WEIR_SIZED(struct weir_edge_options),
                                                          .from = split, .output = "second",
                                                          .to = map, .routing = WEIR_SPREAD});
    weir_connect(graph, filter, joined, WEIR_SPREAD);
    weir_connect(graph, map, joined, WEIR_SPREAD);
    weir_connect(graph, joined, to, WEIR_FORWARD);
}

static void build(struct flow *flow, const char *folder, const uint64_t *fails_after)
{
    struct weir_graph *graph = flow->graph;
    weir_node numbers =
        weir_sequence_source(graph, "numbers",
                             &(struct weir_sequence_source_options){
                                 WEIR_SIZED(struct weir_sequence_source_options), .count = NUMBERS,
                                 .keys = KEYS, .rate = *fails_after > 0 ? RATE : 0});
    weir_node faulty = flow_add(flow, "faulty", &faulty_table, fails_after, 1);
    weir_node sink =
        weir_line_sink(graph, "output",
                       &(struct weir_line_sink_options){WEIR_SIZED(struct weir_line_sink_options),
                                                        .path = weir_graph_keep_text(graph, folder),
                                                        .write = write_line});

    weir_connect(graph, numbers, faulty, WEIR_SPREAD);
    add_keyed(graph, faulty, sink);
    add_streams(graph, faulty, sink);
}

/* --------------------------------------------------------------------------- what came out -- */

/* A multiset of lines, as a number and a sum. */
struct published {
    uint64_t lines, sum;
};

static void read_part(const char *path, struct published *published)
{
    static char line[4096];
    FILE *file = fopen(path, "r");

    cr_assert_not_null(file, "%s", path);
    while (fgets(line, sizeof line, file) != NULL) {
        published->lines++;
        published->sum += weir_hash((struct weir_bytes){line, strlen(line)});
    }
    fclose(file);
}

static struct published read_folder(const char *folder)
{
    struct published published = {0};
    char path[700];
    DIR *open = opendir(folder);

    cr_assert_not_null(open, "%s", folder);
    for (struct dirent *entry; (entry = readdir(open)) != NULL;)
        if (strncmp(entry->d_name, "part-", 5) == 0) {
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
            read_part(path, &published);
        }
    closedir(open);
    return published;
}

/* Starts the same graph until it has ended. */
static struct published run(const char *root, const char *name, uint64_t fails_after,
                            unsigned *failures)
{
    char store[600], folder[600];
    struct flow flow;
    enum weir_outcome outcome;

    snprintf(store, sizeof store, "%s/%s-store", root, name);
    snprintf(folder, sizeof folder, "%s/%s", root, name);
    flow_init(&flow);
    flow.options.store = store;
    flow.options.interval_ns = FLOW_SECOND / 200;
    build(&flow, folder, &fails_after);
    for (*failures = 0;; ++*failures) {
        cr_assert_lt(*failures, 100, "it does not get on");
        flow_start(&flow);
        cr_assert_eq(weir_job_wait(flow.job, FLOW_DEADLINE, &outcome, &flow.error), WEIR_OK);
        flow_close(&flow);
        if (outcome != WEIR_OUTCOME_FAILED)
            break;
    }
    cr_assert_eq(outcome, WEIR_OUTCOME_ENDED, "%s", flow.error.text);
    flow_free(&flow);
    return read_folder(folder);
}

/* ------------------------------------------------------------- what --restore relies upon -- */

/* A sink that publishes nothing, but looks whether the host has heard of the checkpoint. */
static atomic_uint_fast64_t heard_of, looked, not_heard;

static enum weir_result looking_process(void *self, struct weir_context *context, unsigned input,
                                        const struct weir_record *record)
{
    (void)self, (void)context, (void)input, (void)record;
    return WEIR_OK;
}

static enum weir_result looking_prepare(void *self, struct weir_context *context, uint64_t id)
{
    (void)self;
    return weir_handle(context, (struct weir_bytes){&id, sizeof id});
}

static enum weir_result looking_commit(void *self, struct weir_context *context,
                                       struct weir_bytes handle)
{
    uint64_t id = 0;

    (void)self, (void)context;
    memcpy(&id, handle.data, sizeof id);
    atomic_fetch_add(&looked, 1);
    atomic_fetch_add(&not_heard, id > atomic_load(&heard_of));
    return WEIR_OK;
}

static const struct weir_operator looking_table = {
    WEIR_SIZED(struct weir_operator), .kind = "looking", .process = looking_process,
    .prepare = looking_prepare, .commit = looking_commit};

static void hear(void *context, const struct weir_event *event)
{
    (void)context;
    if (event->kind == WEIR_EVENT_COMMITTED)
        atomic_store(&heard_of, event->id);
}

Test(job_again, commit_is_told_before_anything_is_published)
{
    struct scratch scratch = scratch_make();
    struct flow flow;

    flow_init(&flow);
    flow.options.store = scratch_join(scratch.path, "store");
    flow.options.interval_ns = FLOW_SECOND / 500;
    flow.options.event = hear;
    weir_node numbers = flow_times(&flow, "numbers", NUMBERS, RATE, 0);
    weir_connect(flow.graph, numbers, flow_add(&flow, "looking", &looking_table, NULL, 1),
                 WEIR_SPREAD);
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    flow_free(&flow);
    scratch_free(&scratch);
    cr_assert_gt(atomic_load(&looked), 10);
    cr_assert_eq(atomic_load(&not_heard), 0, "%d of %d", (int)not_heard, (int)looked);
}

Test(job_again, one_graph_bears_many_starts)
{
    struct scratch scratch = scratch_make();
    unsigned failures = 0;
    struct published plain = run(scratch.path, "plain", 0, &failures);

    cr_assert_eq(failures, 0);
    cr_assert_gt(plain.lines, NUMBERS);
    struct published published = run(scratch.path, "faulty", FAILS_AFTER, &failures);
    cr_assert_geq(failures, NUMBERS / FAILS_AFTER - 1, "it failed %u times", failures);
    cr_assert_eq(published.lines, plain.lines, "%d lines, due are %d", (int)published.lines,
                 (int)plain.lines);
    cr_assert_eq(published.sum, plain.sum, "as many lines, but not the same");
    scratch_free(&scratch);
}
