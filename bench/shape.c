/* SPDX-License-Identifier: Apache-2.0
 *
 * shape: how the shape of a graph changes what its records and its checkpoints cost. No operator
 * does anything: what is measured is the way.
 *
 *   fanout        W sources, BY_KEY, to W sinks: W x W channels; W = 1, 2, 4, 8, 16, 32
 *   chain         a source, D tasks that pass on, a sink; D = 0, 1, 2, 4, 8
 *   record_size   a source and a sink; values of 8, 64, 512, 4096, 65536 bytes
 *
 * Each shape is a job that runs flat out, without a store and with checkpoints at one interval, in
 * turns, several rounds. `memory` is the most that weir had allocated (libzmq's own apart), with
 * checkpoints. Says JSON lines, see RESULTS.md.
 */
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "clocks.h"
#include "die.h"
#include "draws.h"
#include "folder.h"
#include "machine.h"
#include "results.h"
#include "spread.h"
#include "weir.h"

#define ROUNDS_MOST 15
#define SHAPES_MOST 6
#define WIDTH_MOST 32
#define BURST_BYTES 16384 /* a poll; at most 64 records */
#define KEYS 100000
#define WARM 0.2 /* share of a turn that goes before */

struct shape {
    const char *name;
    uint32_t width, depth, bytes;
};

struct scenario {
    const char *name;
    struct shape shape[SHAPES_MOST];
    int shapes;
};

static const struct scenario scenarios[] = {
    {"fanout",
     {{"1 x 1", 1, 0, 8},
      {"2 x 2", 2, 0, 8},
      {"4 x 4", 4, 0, 8},
      {"8 x 8", 8, 0, 8},
      {"16 x 16", 16, 0, 8},
      {"32 x 32", WIDTH_MOST, 0, 8}},
     6},
    {"chain",
     {{"2 tasks", 1, 0, 8},
      {"3 tasks", 1, 1, 8},
      {"4 tasks", 1, 2, 8},
      {"6 tasks", 1, 4, 8},
      {"10 tasks", 1, 8, 8}},
     5},
    {"record_size",
     {{"8 B", 1, 0, 8},
      {"64 B", 1, 0, 64},
      {"512 B", 1, 0, 512},
      {"4 KiB", 1, 0, 4096},
      {"64 KiB", 1, 0, 65536}},
     5},
};

struct settings {
    double seconds, interval_ms;
    int rounds;
    const struct scenario *scenario;
};

/* What one sink task has taken; a cache line each. */
struct taken {
    alignas(64) _Atomic uint64_t records;
};

/* A job in hand; operators have its address as their config. */
struct run {
    const struct shape *shape;
    struct taken taken[WIDTH_MOST];
    _Atomic uint64_t allocated, most; /* bytes */
    _Atomic uint64_t checkpoints, aborted;
    struct histogram *durable_ns, *align_ns; /* events come one at a time */
};

/* Of one shape, over all rounds. */
struct figures {
    double off[ROUNDS_MOST], on[ROUNDS_MOST], overhead[ROUNDS_MOST], bytes_rate[ROUNDS_MOST];
    double memory[ROUNDS_MOST];
    uint64_t checkpoints, aborted;
    struct histogram durable_ns, align_ns;
};

/* -------------------------------------------------------------------------- operators -- */

struct source {
    const struct shape *shape;
    uint64_t state;
};

static enum weir_result source_open(void *self, struct weir_context *context, const void *config)
{
    struct source *source = self;
    source->shape = (*(struct run *const *)config)->shape;
    source->state = DRAWS_SEED + weir_subtask(context);
    return WEIR_OK;
}

static enum weir_progress source_poll(void *self, struct weir_context *context)
{
    static const unsigned char value[65536];
    struct source *source = self;
    uint32_t bytes = source->shape->bytes, burst = BURST_BYTES / bytes;
    burst = burst < 1 ? 1 : burst > 64 ? 64 : burst;
    for (uint32_t i = 0; i < burst; i++) {
        uint64_t key = draws_below(&source->state, KEYS);
        weir_emit(context, 0,
                  &(struct weir_record){{&key, sizeof key}, {value, bytes}, WEIR_NO_TIME});
    }
    return WEIR_MORE;
}

static enum weir_result source_save(void *self, struct weir_context *context,
                                    struct weir_saver *saver)
{
    (void)context;
    const struct source *source = self;
    weir_save(saver, WEIR_ITEM_SPLIT, (struct weir_bytes){&source->state, sizeof source->state});
    return WEIR_OK;
}

static enum weir_result source_load(void *self, struct weir_context *context,
                                    struct weir_loader *loader, uint32_t version)
{
    (void)self, (void)loader, (void)version;
    return weir_fail(context, WEIR_INVALID, "it does not go on from a checkpoint");
}

static size_t pass_many(void *self, struct weir_context *context, unsigned input,
                        const struct weir_record *records, size_t count)
{
    (void)self, (void)input;
    for (size_t i = 0; i < count; i++)
        weir_emit(context, 0, &records[i]);
    return count;
}

static enum weir_result sink_open(void *self, struct weir_context *context, const void *config)
{
    struct run *run = *(struct run *const *)config;
    *(struct taken **)self = &run->taken[weir_subtask(context)];
    return WEIR_OK;
}

static size_t sink_many(void *self, struct weir_context *context, unsigned input,
                        const struct weir_record *records, size_t count)
{
    (void)context, (void)input, (void)records;
    struct taken *taken = *(struct taken **)self;
    atomic_fetch_add_explicit(&taken->records, count, memory_order_relaxed);
    return count;
}

static const struct weir_operator source_table = {WEIR_SIZED(struct weir_operator),
                                                  .kind = "flood",
                                                  .self_size = sizeof(struct source),
                                                  .open = source_open,
                                                  .poll = source_poll,
                                                  .save = source_save,
                                                  .load = source_load};
static const struct weir_operator pass_table = {WEIR_SIZED(struct weir_operator), .kind = "pass",
                                                .process_many = pass_many};
static const struct weir_operator sink_table = {WEIR_SIZED(struct weir_operator), .kind = "sink",
                                                .self_size = sizeof(struct taken *),
                                                .open = sink_open, .process_many = sink_many};

static struct weir_graph *make_graph(struct run *const *config)
{
    const struct shape *shape = (*config)->shape;
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node before = {0};
    if (!graph)
        die("shape", "out of memory");
    for (uint32_t i = 0; i < shape->depth + 2; i++) {
        char name[20];
        bool last = i == shape->depth + 1;
        snprintf(name, sizeof name, "node%u", i);
        weir_node node = weir_graph_add(
            graph, &(struct weir_node_options){WEIR_SIZED(struct weir_node_options), .name = name,
                                               .table = i == 0 ? &source_table
                                                        : last ? &sink_table
                                                               : &pass_table,
                                               .config = config, .parallelism = shape->width});
        if (i > 0)
            weir_connect(graph, before, node, WEIR_BY_KEY);
        before = node;
    }
    return graph;
}

/* ------------------------------------------------------------------------------ memory -- */

/* The size lies before the block, which stays aligned to 16. */
static void *allocate(void *context, size_t size)
{
    struct run *run = context;
    size_t *block = malloc(size + 16);
    if (!block)
        return NULL;
    *block = size;
    uint64_t now = atomic_fetch_add(&run->allocated, size) + size;
    uint64_t most = atomic_load(&run->most);
    while (now > most && !atomic_compare_exchange_weak(&run->most, &most, now))
        continue;
    return (char *)block + 16;
}

static void release(void *context, void *memory)
{
    struct run *run = context;
    size_t *block = (size_t *)((char *)memory - 16);
    atomic_fetch_sub(&run->allocated, *block);
    free(block);
}

/* ------------------------------------------------------------------------------- a run -- */

static void on_event(void *context, const struct weir_event *event)
{
    struct run *run = context;
    if (event->kind == WEIR_EVENT_COMMITTED) {
        histogram_add(run->durable_ns, (uint64_t)event->duration_ns, 1);
        histogram_add(run->align_ns, (uint64_t)event->align_ns, 1);
        atomic_fetch_add(&run->checkpoints, 1);
    } else if (event->kind == WEIR_EVENT_ABORTED) {
        atomic_fetch_add(&run->aborted, 1);
    }
}

static uint64_t taken_by_all(const struct run *run)
{
    uint64_t sum = 0;
    for (int i = 0; i < WIDTH_MOST; i++)
        sum += atomic_load_explicit(&run->taken[i].records, memory_order_relaxed);
    return sum;
}

static void check_alive(struct weir_job *job)
{
    enum weir_outcome outcome;
    struct weir_error error = {0};
    if (weir_job_wait(job, 0, &outcome, &error) != WEIR_TIMEOUT)
        die("shape", error.text[0] ? error.text : "the job has ended too early");
}

/* Records a second. */
static double measure(struct weir_job *job, const struct run *run, double seconds)
{
    sleep_until(now_ns() + (int64_t)(WARM * seconds * 1e9));
    int64_t began_ns = now_ns();
    uint64_t before = taken_by_all(run);
    sleep_until(began_ns + (int64_t)(seconds * 1e9));
    int64_t ended_ns = now_ns();
    uint64_t after = taken_by_all(run);
    check_alive(job);
    return (double)(after - before) * 1e9 / (double)(ended_ns - began_ns);
}

static double turn(const struct settings *settings, const struct shape *shape, bool on,
                   struct figures *figures, double *memory_mib)
{
    static struct run run;
    struct run *config = &run;
    char store[FOLDER_ROOM];
    struct weir_error error = {0};
    struct weir_job *job;
    memset(&run, 0, sizeof run);
    run.shape = shape;
    run.durable_ns = &figures->durable_ns;
    run.align_ns = &figures->align_ns;
    const struct weir_allocator allocator = {allocate, release, &run};
    struct weir_graph *graph = make_graph(&config);
    struct weir_job_options options = {WEIR_SIZED(struct weir_job_options),
                                       .name = "shape",
                                       .store = on ? folder_path("store", store) : NULL,
                                       .restore = WEIR_RESTORE_NONE,
                                       .interval_ns = (int64_t)(settings->interval_ms * 1e6),
                                       .allocator = &allocator,
                                       .event = on_event,
                                       .event_context = &run};
    if (weir_job_start(graph, &options, &job, &error))
        die("shape", error.text);
    double rate = measure(job, &run, settings->seconds);
    weir_job_close(&job);
    weir_graph_free(&graph);
    *memory_mib = (double)atomic_load(&run.most) / 1048576;
    figures->checkpoints += atomic_load(&run.checkpoints);
    figures->aborted += atomic_load(&run.aborted);
    if (on)
        folder_remove(store);
    return rate;
}

static void run_round(const struct settings *settings, int at, int round, struct figures *figures)
{
    const struct shape *shape = &settings->scenario->shape[at];
    double unused;
    double off = turn(settings, shape, false, figures, &unused);
    double on = turn(settings, shape, true, figures, &figures->memory[round]);
    off = (off + turn(settings, shape, false, figures, &unused)) / 2;
    figures->off[round] = off / 1e6;
    figures->on[round] = on / 1e6;
    figures->overhead[round] = 100 * (1 - on / off);
    figures->bytes_rate[round] = off * (shape->bytes + 8) / 1e9;
}

static void say(const struct settings *settings, int at, const struct figures *figures)
{
    const struct shape *shape = &settings->scenario->shape[at];
    struct results_row row;
    double aborted = (double)figures->aborted;
    int rounds = settings->rounds;
    results_row(&row, shape->name);
    results_label_number(&row, "width", shape->width);
    results_label_number(&row, "depth", shape->depth);
    results_label_number(&row, "value_bytes", shape->bytes);
    results_label_number(&row, "interval_ms", settings->interval_ms);
    results_figure(&row, "rate_off", "M/s", RESULTS_MORE, figures->off, rounds);
    results_figure(&row, "rate", "M/s", RESULTS_MORE, figures->on, rounds);
    results_figure(&row, "bytes_off", "GB/s", RESULTS_MORE, figures->bytes_rate, rounds);
    results_figure(&row, "overhead", "%", RESULTS_LESS, figures->overhead, rounds);
    results_figure(&row, "memory", "MiB", RESULTS_LESS, figures->memory, rounds);
    results_figure(&row, "aborted", "", RESULTS_LESS, &aborted, 1);
    results_histogram(&row, "align", "ns", &figures->align_ns);
    results_histogram(&row, "durable", "ns", &figures->durable_ns);
    results_end(&row);
}

static void usage(void)
{
    fprintf(stderr,
            "usage: shape --scenario fanout|chain|record_size [--seconds 0.05..600]\n"
            "             [--rounds 1..%d] [--interval-ms 10..60000]\n"
            "each shape runs for --seconds (3) without checkpoints and every --interval-ms (100),\n"
            "--rounds (5) times\n",
            ROUNDS_MOST);
    exit(2);
}

static const struct scenario *find_scenario(const char *name)
{
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        if (strcmp(scenarios[i].name, name) == 0)
            return &scenarios[i];
    }
    return NULL;
}

static void take_arguments(int argc, char **argv, struct settings *settings)
{
    const char *scenario = "";
    const struct argument known[] = {
        {.name = "--seconds", .least = 0.05, .most = 600, .real = &settings->seconds},
        {.name = "--rounds", .least = 1, .most = ROUNDS_MOST, .whole = &settings->rounds},
        {.name = "--interval-ms", .least = 10, .most = 60000, .real = &settings->interval_ms},
        {.name = "--scenario", .text = &scenario},
    };
    if (!arguments_take(argc, argv, known, sizeof known / sizeof *known))
        usage();
    settings->scenario = find_scenario(scenario);
    if (!settings->scenario)
        usage();
}

int main(int argc, char **argv)
{
    static struct figures figures[SHAPES_MOST];
    struct machine_time began = machine_read();
    struct settings settings = {.seconds = 3, .interval_ms = 100, .rounds = 5};
    int done = 0;
    take_arguments(argc, argv, &settings);
    int shapes = settings.scenario->shapes;
    results_step(0, settings.rounds * shapes);
    for (int round = 0; round < settings.rounds; round++) {
        for (int at = 0; at < shapes; at++) {
            run_round(&settings, at, round, &figures[at]);
            results_step(++done, settings.rounds * shapes);
        }
    }
    for (int at = 0; at < shapes; at++)
        say(&settings, at, &figures[at]);
    results_use(machine_use(began, machine_read()));
    return 0;
}
