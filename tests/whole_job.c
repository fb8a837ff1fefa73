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
#define PATIENCE 12000 /* waits of 10 ms */

struct whole {
    char folder[64], store[96], output[96];
    uint64_t records;
    struct weir_job_options options;
    struct weir_graph *graph;
    struct weir_job *job;
    atomic_bool asking;
    uint64_t restored_from; /* by the event hook: one at a time */
    uint64_t committed;
    unsigned char *counts; /* [KEYS][records]: how often "the n-th of this key" was published */
};

static void fail(const char *what, const char *detail)
{
    fprintf(stderr, "whole_job: %s: %s\n", what, detail);
    abort();
}

/* ---- the graph: two sources, a pass, a count by key, lines ---- */

static enum weir_result pass(struct weir_context *context, unsigned input,
                             const struct weir_record *record, const void *config)
{
    (void)input;
    (void)config;
    return weir_emit(context, 0, record);
}

static enum weir_result count(struct weir_context *context, unsigned input,
                              const struct weir_record *record, const void *config)
{
    uint64_t *cell = weir_cell(context, 0, &record->key);
    uint64_t number;

    (void)input;
    (void)config;
    if (cell == NULL)
        return WEIR_FAILED;
    number = (*cell)++;
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
                     uint32_t parallelism, const struct weir_state *state)
{
    return weir_graph_add(graph, &(struct weir_node_options){
                                     WEIR_SIZED(struct weir_node_options),
                                     .name = name,
                                     .function = function,
                                     .parallelism = parallelism,
                                     .states = state,
                                     .state_count = state != NULL,
                                 });
}

static struct weir_graph *graph_of(const struct whole *whole)
{
    static const struct weir_state state = {WEIR_SIZED(struct weir_state), .name = "count",
                                            .version = 1, .value_size = 8};
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node source = weir_sequence_source(
        graph, "source",
        &(struct weir_sequence_source_options){WEIR_SIZED(struct weir_sequence_source_options),
                                               .count = whole->records, .keys = KEYS, .rate = RATE,
                                               .time_step = 1, .parallelism = 2});
    weir_node middle = add(graph, "middle", pass, 3, NULL);
    weir_node counts = add(graph, "counts", count, 2, &state);
    weir_node sink = weir_line_sink(graph, "sink",
                                    &(struct weir_line_sink_options){
                                        WEIR_SIZED(struct weir_line_sink_options),
                                        .path = whole->output, .write = line_of, .parallelism = 2});

    weir_connect(graph, source, middle, WEIR_SPREAD);
    weir_connect(graph, middle, counts, WEIR_BY_KEY);
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

void whole_job_run(const char *endpoint, uint64_t records)
{
    struct whole whole = {.records = records};
    pthread_t thread;

    snprintf(whole.folder, sizeof whole.folder, "%s/weir_whole_XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(whole.folder) == NULL)
        fail("no temporary folder", whole.folder);
    snprintf(whole.store, sizeof whole.store, "%s/store", whole.folder);
    snprintf(whole.output, sizeof whole.output, "%s/out", whole.folder);
    whole.options = (struct weir_job_options){
        WEIR_SIZED(struct weir_job_options),
        .store = whole.store,
        .interval_ns = 10 * MS,
        .batch_bytes = 4096,
        .endpoint = endpoint,
        .event = on_event,
        .event_context = &whole,
        .log = on_log,
    };
    whole.graph = graph_of(&whole);
    start(&whole, &thread);
    until_committed(&whole, 5);
    if (weir_job_stop(whole.job, WEIR_STOP_NOW, NULL) != WEIR_OK)
        fail("no stop", "");
    expect(&whole, thread, WEIR_OUTCOME_STOPPED);
    start(&whole, &thread);
    expect(&whole, thread, WEIR_OUTCOME_ENDED);
    if (whole.restored_from == 0)
        fail("it began from the beginning", "");
    check_output(&whole);
    printf("%s: %" PRIu64 " records, %" PRIu64 " checkpoints, restored from %" PRIu64 ": exact\n",
           endpoint, records, whole.committed, whole.restored_from);
    weir_graph_free(&whole.graph);
    nftw(whole.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
