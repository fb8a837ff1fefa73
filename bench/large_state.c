/* SPDX-License-Identifier: Apache-2.0
 *
 * large_state: what it costs to have more state than memory for it (weir_job_options.state_memory).
 *
 *   all     a source task -> BY_KEY -> a task that updates a cell of 16 bytes for each record, keys
 *           uniform, all there from the start; no limit
 *   tight   the same with a limit of a part of what the log of `all` takes
 *
 * Both take turns, so that a slow minute of the machine hits both alike; each ratio is of turns
 * beside each other. Both are checkpointed at the same interval, or neither. The counts must add up
 * to the records in the end.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clocks.h"
#include "weir.h"

#define SPAN 64
#define BURST 512
#define ENTRY_SIZE 32 /* of a key and its cell in the log */
#define ROUNDS_MAX 15
#define MIB 1048576.0

struct settings {
    uint32_t keys;
    uint32_t part; /* the limit is the log's size over this */
    double seconds;
    int rounds;
    int64_t interval_ns; /* negative: no checkpoints */
    const char *root;
};

/* One job, and what its operators share with the program. */
struct side {
    struct weir_graph *graph;
    struct weir_job *job;
    uint32_t keys;
    atomic_bool going, ending;
    _Atomic uint64_t updates;
    _Atomic int64_t cpu_ns;     /* of the thread that updates */
    _Atomic int64_t cut_cpu_ns; /* the most of a cut */
    char store[300], scratch[300];
};

static void pause_ns(int64_t ns)
{
    struct timespec time = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    nanosleep(&time, NULL);
}

static void die(const char *what, const char *why)
{
    fprintf(stderr, "large_state: %s: %s\n", what, why);
    exit(1);
}

/* ----------------------------------------------------------------------------- the job -- */

struct source {
    struct side *side;
    uint64_t state, first;
};

static enum weir_result source_open(void *self, struct weir_context *context, const void *config)
{
    struct source *source = self;
    (void)context;
    source->side = *(struct side *const *)config;
    source->state = 0x9e3779b97f4a7c15u;
    return WEIR_OK;
}

static uint64_t draw(struct source *source)
{
    source->state ^= source->state << 13;
    source->state ^= source->state >> 7;
    source->state ^= source->state << 17;
    return source->state;
}

/* Each key once, then any. Standing still between turns. */
static enum weir_progress source_poll(void *self, struct weir_context *context)
{
    struct source *source = self;
    struct side *side = source->side;
    if (atomic_load_explicit(&side->ending, memory_order_relaxed))
        return WEIR_END;
    bool filling = source->first < side->keys;
    if (!filling && !atomic_load_explicit(&side->going, memory_order_relaxed))
        return weir_idle(context, weir_now(context) + 1000000, -1);
    for (uint32_t i = 0; i < BURST; i++) {
        uint64_t number = source->first < side->keys ? source->first++ : draw(source) % side->keys;
        uint64_t key = number * 0x9e3779b97f4a7c15u;
        weir_emit(context, 0, &(struct weir_record){{&key, sizeof key}, {NULL, 0}, WEIR_NO_TIME});
    }
    return WEIR_MORE;
}

static const struct weir_operator source_table = {
    WEIR_SIZED(struct weir_operator), .kind = "source", .self_size = sizeof(struct source),
    .open = source_open, .poll = source_poll};

struct count {
    struct side *side;
};

static enum weir_result count_open(void *self, struct weir_context *context, const void *config)
{
    (void)context;
    ((struct count *)self)->side = *(struct side *const *)config;
    return WEIR_OK;
}

struct cell {
    uint64_t count, sum;
};

static size_t count_many(void *self, struct weir_context *context, unsigned input,
                         const struct weir_record *records, size_t count)
{
    (void)input;
    if (count > SPAN)
        count = SPAN;
    void *const *cells = weir_cells(context, 0, records, count);
    if (!cells)
        return count;
    for (size_t i = 0; i < count; i++) {
        struct cell *cell = cells[i];
        cell->sum += ++cell->count;
    }
    struct side *side = ((struct count *)self)->side;
    uint64_t before = atomic_fetch_add_explicit(&side->updates, count, memory_order_relaxed);
    if ((before ^ (before + count)) >> 12) /* now and then */
        atomic_store_explicit(&side->cpu_ns, read_clock(CLOCK_THREAD_CPUTIME_ID),
                              memory_order_relaxed);
    return count;
}

/* All that was counted is there. */
static enum weir_progress count_finish(void *self, struct weir_context *context)
{
    struct weir_bytes key, value;
    uint64_t all = 0, keys = 0;
    while (weir_scan_next(context, 0, &key, &value)) {
        struct cell cell;
        memcpy(&cell, value.data, sizeof cell);
        if (cell.sum != cell.count * (cell.count + 1) / 2)
            weir_fail(context, WEIR_DAMAGED, "a cell is not what it was");
        all += cell.count;
        keys++;
    }
    struct side *side = ((struct count *)self)->side;
    if (all != atomic_load(&side->updates) || keys != side->keys)
        weir_fail(context, WEIR_DAMAGED, "updates were lost");
    return WEIR_END;
}

static const struct weir_operator count_table = {
    WEIR_SIZED(struct weir_operator),  .kind = "count",
    .self_size = sizeof(struct count), .open = count_open,
    .process_many = count_many,        .finish = count_finish};

static void on_event(void *context, const struct weir_event *event)
{
    struct side *side = context;
    if (event->kind == WEIR_EVENT_COMMITTED && event->cut_cpu_ns > atomic_load(&side->cut_cpu_ns))
        atomic_store(&side->cut_cpu_ns, event->cut_cpu_ns);
}

static void start(struct side *side, const struct settings *settings, const char *name,
                  uint64_t limit)
{
    static const struct weir_state state = {WEIR_SIZED(struct weir_state), .name = "cells",
                                            .value_size = sizeof(struct cell)};
    struct weir_error error = {0};
    struct side **config;
    side->keys = settings->keys;
    side->graph = weir_graph_new(NULL);
    config = side->graph ? weir_graph_keep(side->graph, &side, sizeof(struct side *)) : NULL;
    if (!config)
        die(name, "out of memory");
    struct weir_node_options source = {WEIR_SIZED(struct weir_node_options), .name = "source",
                                       .table = &source_table, .config = config};
    struct weir_node_options count = {WEIR_SIZED(struct weir_node_options),
                                      .name = "count",
                                      .table = &count_table,
                                      .config = config,
                                      .states = &state,
                                      .state_count = 1};
    weir_connect(side->graph, weir_graph_add(side->graph, &source),
                 weir_graph_add(side->graph, &count), WEIR_BY_KEY);
    snprintf(side->store, sizeof side->store, "%s/%s", settings->root, name);
    snprintf(side->scratch, sizeof side->scratch, "%s/%s.scratch", settings->root, name);
    struct weir_job_options options = {WEIR_SIZED(struct weir_job_options),
                                       .name = "large_state",
                                       .store = settings->interval_ns > 0 ? side->store : NULL,
                                       .scratch = limit ? side->scratch : NULL,
                                       .interval_ns = settings->interval_ns,
                                       .retain = 1,
                                       .event = on_event,
                                       .event_context = side,
                                       .state_memory = limit};
    if (weir_job_start(side->graph, &options, &side->job, &error) != WEIR_OK)
        die(name, error.text);
    while (atomic_load(&side->updates) < settings->keys) {
        enum weir_outcome outcome;
        if (weir_job_wait(side->job, 10000000, &outcome, &error) == WEIR_OK)
            die(name, error.text);
    }
}

/* Of one turn: updates a second, and the updating thread's processor time for one. */
struct pace {
    double rate, cpu_ns;
};

static struct pace turn(struct side *side, double seconds)
{
    struct pace pace;
    atomic_store(&side->going, true);
    pause_ns(50000000);
    uint64_t before = atomic_load(&side->updates);
    int64_t began = now_ns(), cpu = atomic_load(&side->cpu_ns);
    pause_ns((int64_t)(seconds * 1e9));
    double updates = (double)(atomic_load(&side->updates) - before);
    pace.rate = updates * 1e9 / (double)(now_ns() - began);
    pace.cpu_ns = (double)(atomic_load(&side->cpu_ns) - cpu) / (updates > 0 ? updates : 1);
    atomic_store(&side->going, false);
    pause_ns(50000000);
    return pace;
}

static void end(struct side *side, const char *name)
{
    enum weir_outcome outcome;
    struct weir_error error = {0};
    atomic_store(&side->ending, true);
    if (weir_job_wait(side->job, -1, &outcome, &error) != WEIR_OK || outcome != WEIR_OUTCOME_ENDED)
        die(name, error.text);
    weir_job_close(&side->job);
    weir_graph_free(&side->graph);
}

static int by_size(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* kB of the line of /proc/self/status; 0: not there. */
static uint64_t resident(const char *name)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[200];
    uint64_t size = 0;
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0)
            size = strtoull(line + strlen(name) + 1, NULL, 10);
    if (file)
        fclose(file);
    return size;
}

static void take_options(struct settings *settings, int count, char **words)
{
    for (int i = 1; i < count; i += 2) {
        const char *value = i + 1 < count ? words[i + 1] : "";
        if (strcmp(words[i], "--keys") == 0)
            settings->keys = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(words[i], "--part") == 0)
            settings->part = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(words[i], "--seconds") == 0)
            settings->seconds = strtod(value, NULL);
        else if (strcmp(words[i], "--rounds") == 0)
            settings->rounds = (int)strtol(value, NULL, 10);
        else if (strcmp(words[i], "--interval-ms") == 0)
            settings->interval_ns = strtol(value, NULL, 10) * 1000000;
        else if (strcmp(words[i], "--folder") == 0)
            settings->root = value;
        else
            die(words[i], "unknown option");
    }
    if (settings->keys == 0 || settings->part == 0 || settings->rounds < 1 ||
        settings->rounds > ROUNDS_MAX || settings->root == NULL)
        die("say", "--folder DIR (a new one is not made) [--keys N] [--part N] [--seconds S] "
                   "[--rounds N] [--interval-ms MS, negative: none]");
}

int main(int count, char **words)
{
    struct settings settings = {
        .keys = 8u << 20, .part = 4, .seconds = 3, .rounds = 5, .interval_ns = 1000000000};
    static struct side all, tight;
    double ratios[ROUNDS_MAX], costs[ROUNDS_MAX];
    take_options(&settings, count, words);
    uint64_t log = (uint64_t)settings.keys * ENTRY_SIZE;
    start(&all, &settings, "all", 0);
    start(&tight, &settings, "tight", log / settings.part);
    for (int i = 0; i < settings.rounds; i++) {
        struct pace free = turn(&all, settings.seconds), bound = turn(&tight, settings.seconds);
        ratios[i] = bound.rate / free.rate;
        costs[i] = bound.cpu_ns / free.cpu_ns;
        printf("round %d: %.2f M updates/s in memory, %.2f M with a limit, ratio %.3f; processor "
               "time of an update %.0f and %.0f ns, ratio %.2f\n",
               i + 1, free.rate / 1e6, bound.rate / 1e6, ratios[i], free.cpu_ns, bound.cpu_ns,
               costs[i]);
    }
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    struct weir_status whole = {WEIR_SIZED(struct weir_status)};
    weir_job_status(all.job, &whole);
    weir_job_status(tight.job, &status);
    printf("in memory: %.0f MiB of state, index included; with a limit of %.0f MiB: %.0f MiB, and "
           "%.0f MiB in files; longest cut %.2f and %.2f ms of processor time; of the process %.0f "
           "MiB anonymous, "
           "%.0f MiB of files\n",
           (double)whole.memory_state / MIB, (double)(log / settings.part) / MIB,
           (double)status.memory_state / MIB, (double)status.disk_state / MIB,
           (double)atomic_load(&all.cut_cpu_ns) / 1e6, (double)atomic_load(&tight.cut_cpu_ns) / 1e6,
           (double)resident("RssAnon") / 1024, (double)resident("RssFile") / 1024);
    end(&all, "all");
    end(&tight, "tight");
    qsort(ratios, (size_t)settings.rounds, sizeof ratios[0], by_size);
    qsort(costs, (size_t)settings.rounds, sizeof costs[0], by_size);
    printf("log_mib=%.0f part=%u interval_ms=%" PRId64 " ratio=%.3f least=%.3f most=%.3f "
           "cpu_ratio=%.2f\n",
           (double)log / MIB, settings.part, settings.interval_ns / 1000000,
           ratios[settings.rounds / 2], ratios[0], ratios[settings.rounds - 1],
           costs[settings.rounds / 2]);
    return 0;
}
