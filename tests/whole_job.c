/* SPDX-License-Identifier: Apache-2.0 */
#include "whole_job.h"

#include <dirent.h>
#include <ftw.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "weir.h"
#include "weir_operators.h"

#define KEYS 50
#define RATE 40000
#define MS INT64_C(1000000)
#define SLOW_EVERY 16
#define BUDGET 60000   /* bytes that may be recorded, in rounds that overtake */
#define PATIENCE 12000 /* waits of 10 ms */

struct whole {
    char folder[64], store[96], output[96];
    uint64_t records;
    bool round; /* a cycle, and rounds that overtake */
    struct weir_job_options options;
    struct weir_graph *graph;
    struct weir_job *job;
    atomic_bool asking;
    uint64_t restored_from; /* by the event hook: one at a time */
    uint64_t committed;
    uint64_t recorded;     /* bytes in flight, in all checkpoints */
    unsigned char *counts; /* [KEYS][records]: how often "the n-th of this key" was published */
};

static void fail(const char *what, const char *detail)
{
    fprintf(stderr, "whole_job: %s: %s\n", what, detail);
    abort();
}

/* ---- the graph: two sources, a pass or a cycle, a count by key, lines ---- */

static enum weir_result pass(struct weir_context *context, unsigned input,
                             const struct weir_record *record, const void *config)
{
    (void)input;
    (void)config;
    return weir_emit(context, 0, record);
}

/* Round once, then on. */
static enum weir_result turn(struct weir_context *context, unsigned input,
                             const struct weir_record *record, const void *config)
{
    (void)config;
    return weir_emit(context, input, record);
}

static enum weir_result count(struct weir_context *context, unsigned input,
                              const struct weir_record *record, const void *config)
{
    uint64_t *cell = weir_cell(context, 0, &record->key);
    uint64_t number;

    (void)input;
    if (cell == NULL)
        return WEIR_FAILED;
    number = (*cell)++;
    if (*(const bool *)config && number % SLOW_EVERY == 0)
        usleep(1000);
    return weir_emit(context, 0,
                     &(struct weir_record){record->key, {&number, sizeof number}, record->time});
}

static size_t line_of(char *line, size_t room, const struct weir_record *record, const void *config)
{
    uint64_t key, number;

    (void)config;
    memcpy(&key, record->key.data, sizeof key);
    memcpy(&number, record->value.data, sizeof number);
    return (size_t)snprintf(line, room, "%" PRIu64 " %" PRIu64, key, number);
}

static weir_node add(struct weir_graph *graph, const char *name, weir_function function,
                     uint32_t parallelism)
{
    return weir_graph_add(graph, &(struct weir_node_options){WEIR_SIZED(struct weir_node_options),
                                                             .name = name, .function = function,
                                                             .parallelism = parallelism});
}

static weir_node add_count(const struct whole *whole, struct weir_graph *graph)
{
    static const struct weir_state state = {WEIR_SIZED(struct weir_state), .name = "count",
                                            .version = 1, .value_size = 8};
    return weir_graph_add(
        graph, &(struct weir_node_options){WEIR_SIZED(struct weir_node_options), .name = "counts",
                                           .function = count, .config = &whole->round,
                                           .parallelism = 2, .states = &state, .state_count = 1});
}

static void add_cycle(struct weir_graph *graph, weir_node source, weir_node counts)
{
    static const char *const inputs[] = {"in", "back"}, *const outputs[] = {"ring", "done"};
    weir_node head = weir_graph_add(
        graph,
        &(struct weir_node_options){WEIR_SIZED(struct weir_node_options), .name = "head",
                                    .function = turn, .parallelism = 2, .inputs = inputs,
                                    .input_count = 2, .outputs = outputs, .output_count = 2});
    weir_node body = add(graph, "body", pass, 3);

    weir_connect(graph, source, head, WEIR_SPREAD);
    weir_connect(graph, head, body, WEIR_SPREAD);
    weir_graph_connect(graph, &(struct weir_edge_options){
                                  WEIR_SIZED(struct weir_edge_options), .from = body, .to = head,
                                  .input = "back", .routing = WEIR_SPREAD, .feedback = true});
    weir_graph_connect(graph, &(struct weir_edge_options){WEIR_SIZED(struct weir_edge_options),
                                                          .from = head, .output = "done",
                                                          .to = counts, .routing = WEIR_BY_KEY});
}

static struct weir_graph *graph_of(const struct whole *whole)
{
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node source = weir_sequence_source(
        graph, "source",
        &(struct weir_sequence_source_options){
            WEIR_SIZED(struct weir_sequence_source_options), .count = whole->records, .keys = KEYS,
            .rate = whole->round ? 0 : RATE, .time_step = 1, .parallelism = 2});
    weir_node counts = add_count(whole, graph);
    weir_node sink = weir_line_sink(graph, "sink",
                                    &(struct weir_line_sink_options){
                                        WEIR_SIZED(struct weir_line_sink_options),
                                        .path = whole->output, .write = line_of, .parallelism = 2});

    if (whole->round) {
        add_cycle(graph, source, counts);
    } else {
        weir_node middle = add(graph, "middle", pass, 3);
        weir_connect(graph, source, middle, WEIR_SPREAD);
        weir_connect(graph, middle, counts, WEIR_BY_KEY);
    }
    weir_connect(graph, counts, sink, WEIR_FORWARD);
    return graph;
}

/* ---- running ---- */

static void on_event(void *context, const struct weir_event *event)
{
    struct whole *whole = context;

    if (event->kind == WEIR_EVENT_STARTED)
        whole->restored_from = event->id;
    whole->committed += event->kind == WEIR_EVENT_COMMITTED;
    if (event->kind == WEIR_EVENT_COMMITTED)
        whole->recorded += event->channel_bytes + event->outlet_bytes;
}

static void on_log(void *context, enum weir_level level, const char *text)
{
    (void)context;
    if (level <= WEIR_LOG_WARNING)
        fprintf(stderr, "whole_job: %s\n", text);
}

static void ignore(void *context, const char *text)
{
    (void)context;
    (void)text;
}

/* What an application's other threads may do. */
static void *ask(void *context)
{
    struct whole *whole = context;

    while (atomic_load(&whole->asking)) {
        struct weir_status status = {WEIR_SIZED(struct weir_status)};
        struct weir_error error;
        weir_job_status(whole->job, &status);
        weir_job_dump(whole->job, ignore, NULL);
        if (weir_job_checkpoint(whole->job, &error) != WEIR_OK)
            fail("a checkpoint was refused", error.text);
        usleep(3000);
    }
    return NULL;
}

static void start(struct whole *whole, pthread_t *thread)
{
    struct weir_error error = {0};

    if (weir_job_start(whole->graph, &whole->options, &whole->job, &error) != WEIR_OK)
        fail("no start", error.text);
    atomic_store(&whole->asking, true);
    if (pthread_create(thread, NULL, ask, whole) != 0)
        fail("no thread", "pthread_create");
}

static void expect(struct whole *whole, pthread_t thread, enum weir_outcome wanted)
{
    enum weir_outcome outcome = WEIR_OUTCOME_RUNNING;
    struct weir_error error = {0};

    if (weir_job_wait(whole->job, PATIENCE * 10 * MS, &outcome, &error) != WEIR_OK ||
        outcome != wanted)
        fail("not the outcome that was expected", error.text);
    atomic_store(&whole->asking, false);
    pthread_join(thread, NULL);
    weir_job_close(&whole->job);
}

static void until_committed(struct whole *whole, uint64_t least)
{
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    enum weir_outcome outcome;
    struct weir_error error;
    int waits = 0;

    while (status.committed < least && waits++ < PATIENCE) {
        if (weir_job_wait(whole->job, 10 * MS, &outcome, &error) == WEIR_OK)
            fail("it ended too early", error.text);
        weir_job_status(whole->job, &status);
    }
    if (status.committed < least)
        fail("no checkpoints", "waited in vain");
}

/* ---- the output ---- */

static void count_lines(struct whole *whole, const char *path)
{
    FILE *file = fopen(path, "r");
    uint64_t key, number;

    if (file == NULL)
        fail("no part", path);
    while (fscanf(file, "%" SCNu64 " %" SCNu64, &key, &number) == 2) {
        if (key >= KEYS || number >= whole->records ||
            ++whole->counts[key * whole->records + number] > 1)
            fail("a line that is wrong or twice there", path);
    }
    fclose(file);
}

static void check_output(struct whole *whole)
{
    DIR *folder = opendir(whole->output);
    char path[400];

    if (folder == NULL)
        fail("no output", whole->output);
    whole->counts = calloc(KEYS, whole->records);
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", whole->output, entry->d_name);
        if (strncmp(entry->d_name, "part-", 5) == 0)
            count_lines(whole, path);
    }
    closedir(folder);
    for (uint64_t key = 0; key < KEYS; key++) {
        uint64_t wanted = (whole->records + KEYS - 1 - key) / KEYS;
        for (uint64_t number = 0; number < wanted; number++) {
            if (whole->counts[key * whole->records + number] != 1)
                fail("a line is missing", whole->output);
        }
    }
    free(whole->counts);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

static struct weir_job_options options_of(struct whole *whole, const char *endpoint)
{
    return (struct weir_job_options){
        WEIR_SIZED(struct weir_job_options),
        .store = whole->store,
        .interval_ns = 10 * MS,
        .batch_bytes = whole->round ? 1024 : 4096,
        .window_batches = whole->round ? 2 : 0,
        .mode = whole->round ? WEIR_UNALIGNED : WEIR_ADAPTIVE,
        .recording_max = whole->round ? BUDGET : 0,
        .rounds_at_once = 4,
        .endpoint = endpoint,
        .event = on_event,
        .event_context = whole,
        .log = on_log,
    };
}

static void live(struct whole *whole)
{
    pthread_t thread;

    start(whole, &thread);
    until_committed(whole, 5);
    if (weir_job_stop(whole->job, WEIR_STOP_NOW, NULL) != WEIR_OK)
        fail("no stop", "");
    expect(whole, thread, WEIR_OUTCOME_STOPPED);
    start(whole, &thread);
    expect(whole, thread, WEIR_OUTCOME_ENDED);
    if (whole->restored_from == 0)
        fail("it began from the beginning", "");
    if (whole->round && whole->recorded == 0)
        fail("nothing was in flight in any checkpoint", whole->folder);
    check_output(whole);
}

static void run(struct whole *whole, const char *endpoint)
{
    snprintf(whole->folder, sizeof whole->folder, "%s/weir_whole_XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(whole->folder) == NULL)
        fail("no temporary folder", whole->folder);
    snprintf(whole->store, sizeof whole->store, "%s/store", whole->folder);
    snprintf(whole->output, sizeof whole->output, "%s/out", whole->folder);
    whole->options = options_of(whole, endpoint);
    whole->graph = graph_of(whole);
    live(whole);
    printf("%s: %" PRIu64 " records, %" PRIu64 " checkpoints with %" PRIu64
           " bytes in flight, restored from %" PRIu64 ": exact\n",
           endpoint, whole->records, whole->committed, whole->recorded, whole->restored_from);
    weir_graph_free(&whole->graph);
    nftw(whole->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void whole_job_run(const char *endpoint, uint64_t records)
{
    struct whole whole = {.records = records};

    run(&whole, endpoint);
}

void whole_job_run_round(const char *endpoint, uint64_t records)
{
    struct whole whole = {.records = records, .round = true};

    run(&whole, endpoint);
}
