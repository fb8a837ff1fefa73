/* SPDX-License-Identifier: Apache-2.0
 *
 * backpressure: how long a checkpoint takes when everything stands in a queue.
 *
 *   source -> pass -> pass -> slow      a task each; records of 64 bytes, 256 a batch, window 8
 *
 * The last operator takes 1 ms a record, so all queues are full. Then checkpoints are asked for,
 * one after the other, in each mode. An aligned one waits until all that is queued before its
 * marker was processed: three windows of 2048 records. An unaligned one waits for one record, and
 * saves what is queued; an adaptive one does the first for alignment_max, then the second.
 *
 * Last line: durations are medians, from the trigger to the commit; recorded_mb is what one
 * unaligned checkpoint holds of records in flight; rss_growth_mb the most that the process grew by
 * in a run since its queues were full.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clocks.h"
#include "weir.h"

#define MS INT64_C(1000000)
#define RECORD_KEY 8
#define RECORD_VALUE 48 /* with its head a record takes 64 bytes of a batch */
#define BATCH_RECORDS 256
#define WINDOW 8
#define BURST 64
#define ROUNDS_MAX 101
#define STILL_NS (300 * MS) /* no record moves at the source for so long: the queues are full */

struct settings {
    int64_t slow_ns;
    int64_t alignment_max_ns;
    int rounds;         /* of unaligned and adaptive checkpoints */
    int aligned_rounds; /* they take long */
    char store[256];
};

/* One mode's checkpoints. */
struct figures {
    const char *name;
    double duration_ms[ROUNDS_MAX], sealed_ms[ROUNDS_MAX], recorded_mb[ROUNDS_MAX];
    uint32_t overtook, tasks;
    double rss_growth_mb;
    int count;
};

/* What the job's hooks tell main. */
struct watch {
    struct figures *figures;
    atomic_int done; /* checkpoints that were committed */
    atomic_int aborted;
};

static void die(const char *what)
{
    fprintf(stderr, "backpressure: %s\n", what);
    exit(1);
}

static void pause_ns(int64_t ns)
{
    struct timespec span = {ns / (1000 * MS), ns % (1000 * MS)};
    nanosleep(&span, NULL);
}

static double rss_mb(void)
{
    char line[200];
    unsigned long long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file) && sscanf(line, "VmRSS: %llu", &kib) != 1)
        continue;
    if (kib == 0)
        die("/proc/self/status does not say VmRSS");
    fclose(file);
    return (double)kib * 1024 / 1e6;
}

/* -------------------------------------------------------------------------- operators -- */

static enum weir_progress source_poll(void *self, struct weir_context *context)
{
    uint64_t *next = self;
    unsigned char value[RECORD_VALUE] = {0};
    for (int i = 0; i < BURST; i++) {
        uint64_t key = (*next)++;
        memcpy(value, &key, sizeof key);
        weir_emit(context, 0,
                  &(struct weir_record){{&key, RECORD_KEY}, {value, RECORD_VALUE}, WEIR_NO_TIME});
    }
    return WEIR_MORE;
}

static enum weir_result source_save(void *self, struct weir_context *context,
                                    struct weir_saver *saver)
{
    (void)context;
    weir_save(saver, WEIR_ITEM_SPLIT, (struct weir_bytes){self, sizeof(uint64_t)});
    return WEIR_OK;
}

static enum weir_result source_load(void *self, struct weir_context *context,
                                    struct weir_loader *loader, uint32_t version)
{
    enum weir_item kind;
    struct weir_bytes item;
    (void)version;
    if (!weir_load_next(loader, &kind, &item) || item.size != sizeof(uint64_t))
        return weir_fail(context, WEIR_DAMAGED, "the position is missing");
    memcpy(self, item.data, sizeof(uint64_t));
    return WEIR_OK;
}

static enum weir_result pass(struct weir_context *context, unsigned input,
                             const struct weir_record *record, const void *config)
{
    (void)input, (void)config;
    return weir_emit(context, 0, record);
}

static enum weir_result slow(struct weir_context *context, unsigned input,
                             const struct weir_record *record, const void *config)
{
    (void)context, (void)input, (void)record;
    pause_ns(*(const int64_t *)config);
    return WEIR_OK;
}

static struct weir_graph *make_graph(const struct settings *settings)
{
    static const struct weir_operator source = {WEIR_SIZED(struct weir_operator),
                                                .kind = "numbers",
                                                .self_size = sizeof(uint64_t),
                                                .poll = source_poll,
                                                .save = source_save,
                                                .load = source_load};
    static const char *const names[] = {"source", "pass1", "pass2", "slow"};
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node nodes[4];
    for (int i = 0; i < 4; i++) {
        struct weir_node_options node = {WEIR_SIZED(struct weir_node_options), .name = names[i]};
        node.table = i == 0 ? &source : NULL;
        node.function = i == 0 ? NULL : i == 3 ? slow : pass;
        node.config = &settings->slow_ns;
        nodes[i] = weir_graph_add(graph, &node);
        if (i > 0)
            weir_connect(graph, nodes[i - 1], nodes[i], WEIR_SPREAD);
    }
    return graph;
}

/* ------------------------------------------------------------------------------- a run -- */

static void on_event(void *context, const struct weir_event *event)
{
    struct watch *watch = context;
    struct figures *figures = watch->figures;
    if (event->kind == WEIR_EVENT_ABORTED) {
        fprintf(stderr, "backpressure: a checkpoint came to nothing: %s\n", event->text);
        atomic_fetch_add(&watch->aborted, 1);
    }
    if (event->kind != WEIR_EVENT_COMMITTED || figures->count == ROUNDS_MAX)
        return;
    figures->duration_ms[figures->count] = (double)event->duration_ns / 1e6;
    figures->sealed_ms[figures->count] = (double)event->align_ns / 1e6;
    figures->recorded_mb[figures->count] =
        (double)(event->channel_bytes + event->outlet_bytes) / 1e6;
    figures->overtook = event->overtook;
    figures->tasks = event->tasks;
    figures->count++;
    atomic_fetch_add(&watch->done, 1);
}

static uint64_t emitted(struct weir_job *job)
{
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    weir_job_status(job, &status);
    if (status.outcome != WEIR_OUTCOME_RUNNING)
        die("the job has ended");
    return status.records_emitted;
}

static void wait_until_full(struct weir_job *job)
{
    uint64_t before = 0, now;
    int64_t since = now_ns();
    while (now_ns() - since < STILL_NS) {
        pause_ns(10 * MS);
        now = emitted(job);
        if (now != before)
            since = now_ns();
        before = now;
    }
}

static void take_checkpoints(struct weir_job *job, struct watch *watch, int rounds)
{
    struct weir_error error = {0};
    double before = rss_mb();
    for (int i = 0; i < rounds; i++) {
        int done = atomic_load(&watch->done);
        if (weir_job_checkpoint(job, &error))
            die(error.text);
        while (atomic_load(&watch->done) == done && atomic_load(&watch->aborted) == 0) {
            pause_ns(MS);
            double growth = rss_mb() - before;
            if (growth > watch->figures->rss_growth_mb)
                watch->figures->rss_growth_mb = growth;
        }
        if (atomic_load(&watch->aborted))
            die("it gives up");
    }
}

static struct figures run_mode(const struct settings *settings, enum weir_mode mode,
                               const char *name, int rounds)
{
    struct figures figures = {.name = name};
    struct watch watch = {.figures = &figures};
    struct weir_graph *graph = make_graph(settings);
    struct weir_job_options options = {WEIR_SIZED(struct weir_job_options),
                                       .name = "backpressure",
                                       .store = settings->store,
                                       .restore = WEIR_RESTORE_NONE,
                                       .interval_ns = -1,
                                       .timeout_ns = 600000 * MS,
                                       .batch_bytes =
                                           BATCH_RECORDS * (8 + RECORD_KEY + RECORD_VALUE),
                                       .window_batches = WINDOW,
                                       .mode = mode,
                                       .alignment_max_ns = settings->alignment_max_ns,
                                       .event = on_event,
                                       .event_context = &watch};
    struct weir_job *job;
    struct weir_error error = {0};
    if (weir_job_start(graph, &options, &job, &error))
        die(error.text);
    wait_until_full(job);
    take_checkpoints(job, &watch, rounds);
    weir_job_close(&job);
    weir_graph_free(&graph);
    return figures;
}

/* ----------------------------------------------------------------------------- the table -- */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *values, int count)
{
    double sorted[ROUNDS_MAX];
    memcpy(sorted, values, (size_t)count * sizeof *values);
    qsort(sorted, (size_t)count, sizeof *sorted, ascending);
    return sorted[count / 2];
}

static double most(const double *values, int count)
{
    double largest = 0;
    for (int i = 0; i < count; i++)
        largest = values[i] > largest ? values[i] : largest;
    return largest;
}

static void print_row(const struct figures *figures)
{
    printf("%-10s %6d %12.1f %12.1f %14.1f %13.2f %9u of %u %12.1f\n", figures->name,
           figures->count, median(figures->duration_ms, figures->count),
           most(figures->duration_ms, figures->count), median(figures->sealed_ms, figures->count),
           median(figures->recorded_mb, figures->count), figures->overtook, figures->tasks,
           figures->rss_growth_mb);
    fflush(stdout);
}

static void usage(void)
{
    fprintf(stderr,
            "usage: backpressure [--record-ms 0.01..1000] [--alignment-max-ms 1..10000]\n"
            "                    [--rounds 1..%d] [--aligned-rounds 0..%d]\n"
            "defaults: 1, 50, 15, 2; an aligned checkpoint takes about 6,000 records' time\n",
            ROUNDS_MAX, ROUNDS_MAX);
    exit(2);
}

static void take_argument(struct settings *settings, const char *name, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end)
        usage();
    if (strcmp(name, "--record-ms") == 0 && value >= 0.01 && value <= 1000)
        settings->slow_ns = (int64_t)(value * (double)MS);
    else if (strcmp(name, "--alignment-max-ms") == 0 && value >= 1 && value <= 10000)
        settings->alignment_max_ns = (int64_t)(value * (double)MS);
    else if (strcmp(name, "--rounds") == 0 && value >= 1 && value <= ROUNDS_MAX)
        settings->rounds = (int)value;
    else if (strcmp(name, "--aligned-rounds") == 0 && value >= 0 && value <= ROUNDS_MAX)
        settings->aligned_rounds = (int)value;
    else
        usage();
}

static void remove_store(const char *store)
{
    char command[300];
    snprintf(command, sizeof command, "rm -rf -- '%s'", store);
    if (system(command) != 0)
        fprintf(stderr, "backpressure: %s is left behind\n", store);
}

int main(int argc, char **argv)
{
    struct settings settings = {
        .slow_ns = MS, .alignment_max_ns = 50 * MS, .rounds = 15, .aligned_rounds = 2};
    if (argc % 2 == 0)
        usage();
    for (int i = 1; i < argc; i += 2)
        take_argument(&settings, argv[i], argv[i + 1]);
    const char *folder = getenv("TMPDIR");
    char root[200];
    snprintf(root, sizeof root, "%.180s/weir-bench-XXXXXX", folder ? folder : "/tmp");
    if (!mkdtemp(root))
        die("can't make a folder for the store: set TMPDIR");
    snprintf(settings.store, sizeof settings.store, "%s/store", root);
    printf("weir %s: depth 4, window %d, %d records of 64 bytes a batch, %.2f ms a record\n",
           weir_version(), WINDOW, BATCH_RECORDS, (double)settings.slow_ns / 1e6);
    printf("%-10s %6s %12s %12s %14s %13s %14s %12s\n", "mode", "rounds", "median ms", "longest ms",
           "markers in ms", "recorded MB", "overtook", "RSS + MB");
    struct figures unaligned = run_mode(&settings, WEIR_UNALIGNED, "unaligned", settings.rounds);
    print_row(&unaligned);
    struct figures adaptive = run_mode(&settings, WEIR_ADAPTIVE, "adaptive", settings.rounds);
    print_row(&adaptive);
    struct figures aligned = {.name = "aligned"};
    if (settings.aligned_rounds > 0) {
        aligned = run_mode(&settings, WEIR_ALIGNED, "aligned", settings.aligned_rounds);
        print_row(&aligned);
    }
    remove_store(root);
    double growth = unaligned.rss_growth_mb > adaptive.rss_growth_mb ? unaligned.rss_growth_mb
                                                                     : adaptive.rss_growth_mb;
    printf("aligned_ms=%.1f unaligned_ms=%.1f adaptive_ms=%.1f recorded_mb=%.2f "
           "rss_growth_mb=%.1f\n",
           aligned.count ? median(aligned.duration_ms, aligned.count) : 0,
           median(unaligned.duration_ms, unaligned.count),
           median(adaptive.duration_ms, adaptive.count),
           median(unaligned.recorded_mb, unaligned.count), growth);
    return 0;
}
