/* links: main */
/* SPDX-License-Identifier: Apache-2.0
 *
 * Every ready-made operator under weir_operator_torture. (The socket source, which wants clients:
 * test_torture_socket; others: test_torture_transforms, test_torture_sqlite.)
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "explore.h"
#include "scratch.h"
#include "weir.h"
#include "weir_operators.h"

#define RECORDS 60

static struct weir_graph *graph;
static struct scratch folder;
static char values[RECORDS][24];
static struct weir_torture_step steps[RECORDS];

/* Records of 7 keys with small decimal numbers for values, times that mostly rise, and watermarks:
 * each seventh step. With two inputs, `inputs` of them take turns. */
static void make_steps(unsigned inputs)
{
    static const char *const keys[] = {"ash", "beech", "elm", "fir", "lime", "oak", "yew"};
    for (unsigned i = 0; i < RECORDS; i++) {
        int size = snprintf(values[i], sizeof values[i], "%u", i * i * 7 % 23);
        steps[i] = (struct weir_torture_step){.input = i / 2 % inputs,
                                              .record = {{keys[i * i % 7], strlen(keys[i * i % 7])},
                                                         {values[i], (size_t)size},
                                                         (int64_t)(100 * i) - (i % 3 ? 0 : 150)}};
        if (i % 7 == 6) {
            steps[i].watermark = true;
            steps[i].record.time = (int64_t)(100 * i) - 200;
        }
    }
}

static void set_up(void)
{
    folder = scratch_make();
    graph = weir_graph_new(NULL);
    make_steps(1);
}

static void tear_down(void)
{
    weir_graph_free(&graph);
    scratch_free(&folder);
}

TestSuite(torture_operators, .init = set_up, .fini = tear_down);

static void survives_as(weir_node node, struct weir_torture_options options)
{
    struct weir_error error = {0};
    options.size = sizeof options;
    options.graph = graph;
    options.at = node;
    cr_assert_eq(weir_operator_torture(&options, &error), WEIR_OK, "%s", error.text);
}

/* One that is fed. */
static void survives(weir_node node)
{
    survives_as(node, (struct weir_torture_options){
                          .steps = steps, .step_count = RECORDS, .trials = explore_trials(100)});
}

static void source_survives(weir_node node)
{
    survives_as(node, (struct weir_torture_options){.trials = explore_trials(40)});
}

/* -------------------------------------------------------------------------- sources -- */

static const char *lines_file(unsigned lines)
{
    const char *path = scratch_join(folder.path, "lines");
    FILE *file = fopen(path, "w");
    for (unsigned i = 0; i < lines; i++)
        fprintf(file, "line %u %.*s\n", i, (int)(i * 37 % 300),
                "................................................................"
                "................................................................"
                "................................................................"
                "................................................................"
                "................................................................");
    cr_assert_eq(fclose(file), 0);
    return path;
}

Test(torture_operators, line_source)
{
    source_survives(weir_line_source(
        graph, "lines",
        &(struct weir_line_source_options){WEIR_SIZED(struct weir_line_source_options),
                                           .path = lines_file(explore_part(3000)),
                                           .split_bytes = 65536}));
}

Test(torture_operators, tail_source)
{
    const char *path = lines_file(explore_part(2000)), *end = scratch_join(folder.path, "end");
    scratch_write(end, "", 0);
    source_survives(weir_tail_source(
        graph, "tail",
        &(struct weir_tail_source_options){WEIR_SIZED(struct weir_tail_source_options),
                                           .path = path, .poll_ns = 1000, .end_file = end}));
}

Test(torture_operators, folder_source)
{
    char path[160];
    snprintf(path, sizeof path, "%s/in", folder.path);
    cr_assert_eq(mkdir(path, 0700), 0);
    for (unsigned i = 0; i < 7; i++) {
        char name[16];
        snprintf(name, sizeof name, "%u", i * 37 % 11);
        cr_assert_eq(rename(lines_file(i * 100), scratch_join(path, name)), 0);
    }
    scratch_write(scratch_join(path, ".end"), "", 0);
    source_survives(weir_folder_source(
        graph, "folder",
        &(struct weir_folder_source_options){WEIR_SIZED(struct weir_folder_source_options),
                                             .path = path, .poll_ns = 1000, .end_name = ".end"}));
}

/* The journal of the node "stdin". */
static enum weir_result empty_journal(void *context, struct weir_error *error)
{
    const char *path = scratch_join(context, "nodes/stdin");
    DIR *open = opendir(path);
    (void)error;
    if (!open) /* before the first run */
        return WEIR_OK;
    for (struct dirent *entry = readdir(open); entry; entry = readdir(open))
        unlinkat(dirfd(open), entry->d_name, 0); /* fails for the folder itself */
    closedir(open);
    return WEIR_OK;
}

/* A file on the descriptor: a pipe could not be asked again for the next trial. */
static void stdin_survives(bool journal)
{
    const char *store = scratch_join(folder.path, "store");
    char journaled_at[160];
    snprintf(journaled_at, sizeof journaled_at, "%s/nodes/stdin", store);
    cr_assert_eq(mkdir(store, 0700), 0);
    int fd = open(lines_file(2000), O_RDONLY | O_CLOEXEC);
    survives_as(weir_stdin_source(graph, "stdin",
                                  &(struct weir_stdin_source_options){
                                      WEIR_SIZED(struct weir_stdin_source_options), .fd = fd,
                                      .journal = journal}),
                (struct weir_torture_options){.trials = explore_trials(40),
                                              .store = store,
                                              .begin = empty_journal,
                                              .context = (void *)(uintptr_t)store});
    cr_expect_eq(scratch_exists(journaled_at), journal);
    close(fd);
}

Test(torture_operators, stdin_source_without_a_journal)
{
    stdin_survives(false);
}

Test(torture_operators, stdin_source_with_a_journal)
{
    stdin_survives(true);
}

Test(torture_operators, sequence_source)
{
    source_survives(weir_sequence_source(
        graph, "numbers",
        &(struct weir_sequence_source_options){WEIR_SIZED(struct weir_sequence_source_options),
                                               .count = explore_part(5000), .keys = 11,
                                               .time_step = 1000}));
}

/* ------------------------------------------------------------------------ transforms -- */

static enum weir_result emit_twice(struct weir_context *context, unsigned input,
                                   const struct weir_record *record, const void *config)
{
    (void)input, (void)config;
    weir_emit(context, 0, record);
    return weir_emit(context, 0, record);
}

static void shorten(struct weir_record *record, const void *config)
{
    (void)config;
    record->value.size = 1;
}

static bool is_long(const struct weir_record *record, const void *config)
{
    (void)config;
    return record->value.size > 1;
}

static void add(void *cell, const struct weir_record *record, const void *config)
{
    (void)config;
    *(uint64_t *)cell += strtoul(record->value.data, NULL, 10);
}

static uint32_t by_size(const struct weir_record *record, const void *config)
{
    (void)config;
    return record->key.size == 3 ? WEIR_SPLIT_DROP : record->key.size == 4;
}

Test(torture_operators, flat_map)
{
    survives(weir_flat_map(graph, "twice", emit_twice, NULL));
}

Test(torture_operators, map)
{
    survives(weir_map(graph, "shorten", shorten, NULL));
}

Test(torture_operators, filter)
{
    survives(weir_filter(graph, "long", is_long, NULL));
}

Test(torture_operators, union_)
{
    survives(weir_union(graph, "all", 1));
}

Test(torture_operators, split)
{
    static const char *const outputs[] = {"short", "long"};
    survives(weir_split(graph, "split",
                        &(struct weir_split_options){WEIR_SIZED(struct weir_split_options),
                                                     .choose = by_size, .outputs = outputs,
                                                     .output_count = 2}));
}

Test(torture_operators, sample)
{
    survives(weir_sample(
        graph, "some",
        &(struct weir_sample_options){WEIR_SIZED(struct weir_sample_options), .fraction = 0.5}));
}

/* Of all keys in turn: in which order is the table's business, and another one after a restart. */
static void both_ways_survive(weir_node final, weir_node updates)
{
    survives_as(final, (struct weir_torture_options){
                           .steps = steps, .step_count = RECORDS, .unordered = true});
    survives(updates);
}

static weir_node add_reduce(const char *name, enum weir_reduce_emit emit)
{
    return weir_reduce(graph, name,
                       &(struct weir_reduce_options){WEIR_SIZED(struct weir_reduce_options),
                                                     .value_size = sizeof(uint64_t), .fold = add,
                                                     .emit = emit});
}

Test(torture_operators, reduce)
{
    both_ways_survive(add_reduce("final", WEIR_REDUCE_FINAL),
                      add_reduce("updates", WEIR_REDUCE_UPDATES));
}

static weir_node add_aggregate(enum weir_aggregate_kind kind, enum weir_reduce_emit emit)
{
    char name[40];
    snprintf(name, sizeof name, "aggregate-%d-%d", (int)kind, (int)emit);
    return weir_aggregate(
        graph, name,
        &(struct weir_aggregate_options){WEIR_SIZED(struct weir_aggregate_options), .kind = kind,
                                         .number = WEIR_NUMBER_INTEGER_TEXT, .emit = emit});
}

Test(torture_operators, aggregates)
{
    for (int kind = WEIR_AGGREGATE_COUNT; kind <= WEIR_AGGREGATE_AVERAGE; kind++)
        both_ways_survive(add_aggregate((enum weir_aggregate_kind)kind, WEIR_REDUCE_FINAL),
                          add_aggregate((enum weir_aggregate_kind)kind, WEIR_REDUCE_UPDATES));
}

static weir_node add_top(const char *name, enum weir_reduce_emit emit)
{
    return weir_top(graph, name,
                    &(struct weir_top_options){WEIR_SIZED(struct weir_top_options), .count = 3,
                                               .number = WEIR_NUMBER_INTEGER_TEXT, .emit = emit});
}

Test(torture_operators, top)
{
    both_ways_survive(add_top("final", WEIR_REDUCE_FINAL), add_top("updates", WEIR_REDUCE_UPDATES));
}

static weir_node add_distinct(const char *name, enum weir_reduce_emit emit)
{
    return weir_distinct(
        graph, name,
        &(struct weir_distinct_options){WEIR_SIZED(struct weir_distinct_options), .emit = emit});
}

Test(torture_operators, distinct)
{
    both_ways_survive(add_distinct("final", WEIR_REDUCE_FINAL),
                      add_distinct("updates", WEIR_REDUCE_UPDATES));
}

Test(torture_operators, dedup)
{
    static const int64_t lives[] = {0, 500};
    static const char *const names[] = {"for-ever", "for-a-while"};
    for (int i = 0; i < 2; i++)
        survives(weir_dedup(graph, names[i],
                            &(struct weir_dedup_options){WEIR_SIZED(struct weir_dedup_options),
                                                         .ttl_ns = lives[i]}));
}

static enum weir_result join(struct weir_context *context, const struct weir_record *record,
                             const struct weir_bytes *row, const void *config)
{
    char text[64];
    (void)config;
    int size = snprintf(text, sizeof text, "%.*s with %.*s", (int)record->value.size,
                        (const char *)record->value.data, row ? (int)row->size : 7,
                        row ? (const char *)row->data : "nothing");
    return weir_emit(context, 0,
                     &(struct weir_record){record->key, {text, (size_t)size}, record->time});
}

Test(torture_operators, enrich)
{
    static const enum weir_enrich_unmatched ways[] = {WEIR_ENRICH_DROP, WEIR_ENRICH_PASS,
                                                      WEIR_ENRICH_CALL, WEIR_ENRICH_WAIT};
    make_steps(2);
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "way-%d", i);
        weir_node node = weir_enrich(
            graph, name,
            &(struct weir_enrich_options){WEIR_SIZED(struct weir_enrich_options), .combine = join,
                                          .unmatched = ways[i], .wait_limit = 2, .wait_ns = 400,
                                          .late = WEIR_ENRICH_CALL});
        survives_as(node, (struct weir_torture_options){.steps = steps,
                                                        .step_count = RECORDS,
                                                        .unordered = ways[i] == WEIR_ENRICH_WAIT});
    }
}

/* ----------------------------------------------------------------------------- sinks -- */

static enum weir_result empty_folder(void *context, struct weir_error *error)
{
    (void)context, (void)error;
    scratch_free(&folder);
    cr_assert_eq(mkdir(folder.path, 0700), 0);
    return WEIR_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names of the visible parts, in order. */
static size_t list_parts(char **names, size_t room)
{
    DIR *listing = opendir(scratch_join(folder.path, "out"));
    size_t count = 0;
    for (struct dirent *entry; listing && (entry = readdir(listing));) {
        if (strncmp(entry->d_name, "part-", 5) != 0)
            continue;
        cr_assert_lt(count, room);
        names[count++] = strdup(entry->d_name);
    }
    if (listing)
        closedir(listing);
    qsort(names, count, sizeof names[0], by_name);
    return count;
}

/* What it is given is appended to `all`. */
struct heap {
    unsigned char all[1 << 16];
    size_t size;
};

static void heap_add(struct heap *heap, struct weir_bytes bytes)
{
    cr_assert_leq(bytes.size, sizeof heap->all - heap->size);
    memcpy(heap->all + heap->size, bytes.data, bytes.size);
    heap->size += bytes.size;
}

static void read_lines(struct heap *heap, const char *path)
{
    static unsigned char bytes[1 << 16];
    heap_add(heap, (struct weir_bytes){bytes, scratch_read(path, bytes, sizeof bytes)});
}

static void read_records(struct heap *heap, const char *path)
{
    struct weir_record_file *file;
    struct weir_record record;
    struct weir_error error;
    cr_assert_eq(weir_record_file_open(NULL, path, &file, &error), WEIR_OK, "%s", error.text);
    while (!weir_record_file_next(file, &record, &error)) {
        heap_add(heap, record.key);
        heap_add(heap, record.value);
        heap_add(heap, (struct weir_bytes){&record.time, sizeof record.time});
    }
    cr_assert_eq(error.code, WEIR_NOT_FOUND, "%s", error.text);
    weir_record_file_close(&file);
}

/* All parts, one after the other: where one ends and the next begins is up to when checkpoints
 * fall. `context` is a struct parts. */
struct parts {
    void (*read)(struct heap *heap, const char *path);
};

static enum weir_result see_parts(void *context, uint64_t *fingerprint, struct weir_error *error)
{
    const struct parts *parts = context;
    static struct heap heap;
    char *names[512];
    size_t count = list_parts(names, 512);
    (void)error;
    heap.size = 0;
    for (size_t i = 0; i < count; i++) {
        parts->read(&heap, scratch_join(scratch_join(folder.path, "out"), names[i]));
        free(names[i]);
    }
    *fingerprint = weir_hash((struct weir_bytes){heap.all, heap.size});
    return WEIR_OK;
}

static void sink_survives(weir_node node, void (*read)(struct heap *heap, const char *path))
{
    struct parts parts = {read};
    survives_as(node, (struct weir_torture_options){.steps = steps,
                                                    .step_count = RECORDS,
                                                    .begin = empty_folder,
                                                    .visible = see_parts,
                                                    .context = &parts});
    char *names[512];
    size_t count = list_parts(names, 512);
    cr_assert_gt(count, 1, "nothing was published");
    for (size_t i = 0; i < count; i++)
        free(names[i]);
}

Test(torture_operators, line_sink)
{
    sink_survives(
        weir_line_sink(graph, "lines",
                       &(struct weir_line_sink_options){WEIR_SIZED(struct weir_line_sink_options),
                                                        .path = scratch_join(folder.path, "out")}),
        read_lines);
}

Test(torture_operators, record_sink)
{
    sink_survives(weir_record_sink(graph, "records",
                                   &(struct weir_record_sink_options){
                                       WEIR_SIZED(struct weir_record_sink_options),
                                       .path = scratch_join(folder.path, "out")}),
                  read_records);
}

/* Handed over at least once: as a set, it is what it should be. */
struct taken {
    bool records[RECORDS];
};

static void take(void *context, uint32_t subtask, const struct weir_record *record)
{
    struct taken *taken = context;
    (void)subtask;
    for (unsigned i = 0; i < RECORDS; i++)
        if (steps[i].record.time == record->time)
            taken->records[i] = true;
}

static enum weir_result forget_taken(void *context, struct weir_error *error)
{
    (void)error;
    memset(context, 0, sizeof(struct taken));
    return WEIR_OK;
}

static enum weir_result see_taken(void *context, uint64_t *fingerprint, struct weir_error *error)
{
    (void)error;
    *fingerprint = weir_hash((struct weir_bytes){context, sizeof(struct taken)});
    return WEIR_OK;
}

Test(torture_operators, collect_sink)
{
    struct taken taken;
    for (int at_once = 0; at_once < 2; at_once++)
        survives_as(weir_collect_sink(graph, at_once ? "at-once" : "in-phases",
                                      &(struct weir_collect_sink_options){
                                          WEIR_SIZED(struct weir_collect_sink_options),
                                          .take = take, .context = &taken, .at_once = at_once}),
                    (struct weir_torture_options){.steps = steps,
                                                  .step_count = RECORDS,
                                                  .begin = forget_taken,
                                                  .visible = see_taken,
                                                  .context = &taken});
}
