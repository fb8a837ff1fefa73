/* SPDX-License-Identifier: Apache-2.0
 *
 * throughput: what one keyed count costs in weir, beside a plain loop that does the same.
 *
 *   weir    source task -> BY_KEY -> count task; records of 16 bytes (key u64, value u64);
 *           checkpoints off, and every second into a store
 *   plain   one thread: the same xorshift64 keys, XXH3 inlined, open addressing with 16-byte slots
 *
 * Both run for the same time, one after the other, several rounds, so that a slow minute of the
 * machine hits all alike; the figures are medians. Every run checks its own result: the counts add
 * up to the records. Last line: weir / plain for each number of keys.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clocks.h"
#include "die.h"
#include "draws.h"
#include "folder.h"
#include "plain.h"
#include "spread.h"
#include "weir.h"

#define ROUNDS_MAX 15
#define BURST 512 /* records between two looks at the clock; weir's source: a poll */

struct settings {
    int64_t run_ns;
    int rounds;
    char store[FOLDER_ROOM];
    uint32_t keys;    /* of the run in hand */
    const char *only; /* label of the one key count to measure; NULL: all */
};

struct result {
    double records_per_second;
    uint64_t checkpoints;
    int64_t cut_max_ns;
};

static struct result run_plain(const struct settings *settings)
{
    struct plain plain;
    plain_begin(&plain, settings->keys, false);
    double rate = plain_turn(&plain, settings->keys, (double)settings->run_ns / 1e9);
    plain_end(&plain);
    return (struct result){.records_per_second = rate};
}

/* ------------------------------------------------------------------------------- weir -- */

/* What the operators report to main; written by one task each, read after the job has ended. */
struct report {
    const struct settings *settings;
    uint64_t emitted;
    uint64_t counted;
    int64_t began, ended;
};

struct source {
    struct report *report;
    uint64_t state;
};

static enum weir_result source_open(void *self, struct weir_context *context, const void *config)
{
    (void)context;
    struct source *source = self;
    source->report = *(struct report *const *)config;
    source->state = DRAWS_SEED;
    source->report->began = now_ns();
    return WEIR_OK;
}

static enum weir_progress source_poll(void *self, struct weir_context *context)
{
    struct source *source = self;
    uint64_t key, value = 1;
    uint32_t keys = source->report->settings->keys;
    struct weir_record record = {{&key, 8}, {&value, 8}, WEIR_NO_TIME};
    for (int i = 0; i < BURST; i++) {
        key = draws_below(&source->state, keys);
        weir_emit(context, 0, &record);
    }
    source->report->emitted += BURST;
    bool over = now_ns() - source->report->began >= source->report->settings->run_ns;
    return over ? WEIR_END : WEIR_MORE;
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
    (void)version;
    struct source *source = self;
    enum weir_item kind;
    struct weir_bytes item;
    if (!weir_load_next(loader, &kind, &item) || item.size != sizeof source->state)
        return weir_fail(context, WEIR_DAMAGED, "the generator's state is missing");
    memcpy(&source->state, item.data, sizeof source->state);
    return WEIR_OK;
}

static enum weir_result count_open(void *self, struct weir_context *context, const void *config)
{
    (void)context;
    *(struct report **)self = *(struct report *const *)config;
    return WEIR_OK;
}

static size_t count_many(void *self, struct weir_context *context, unsigned input,
                         const struct weir_record *records, size_t count)
{
    (void)self;
    (void)input;
    void *const *cells = weir_cells(context, 0, records, count);
    for (size_t i = 0; cells && i < count; i++)
        ++*(uint64_t *)cells[i];
    return count;
}

static enum weir_progress count_finish(void *self, struct weir_context *context)
{
    struct report *report = *(struct report **)self;
    struct weir_bytes key, value;
    if (!report->ended)
        report->ended = now_ns(); /* everything is counted; adding up is not part of it */
    for (int i = 0; i < 4096; i++) {
        if (!weir_scan_next(context, 0, &key, &value))
            return WEIR_END;
        report->counted += *(const uint64_t *)value.data;
    }
    return WEIR_MORE;
}

static struct weir_graph *make_graph(struct report **report)
{
    static const struct weir_operator source = {WEIR_SIZED(struct weir_operator),
                                                .kind = "xorshift",
                                                .self_size = sizeof(struct source),
                                                .open = source_open,
                                                .poll = source_poll,

                                                .save = source_save,
                                                .load = source_load};
    static const struct weir_operator count = {
        WEIR_SIZED(struct weir_operator),     .kind = "count",
        .self_size = sizeof(struct report *), .open = count_open,
        .process_many = count_many,           .finish = count_finish};
    static const struct weir_state cell = {WEIR_SIZED(struct weir_state), .name = "count",
                                           .value_size = 8, .format = "u64"};
    struct weir_graph *graph = weir_graph_new(NULL);
    if (!graph)
        die("throughput", "out of memory");
    weir_node from = weir_graph_add(
        graph, &(struct weir_node_options){WEIR_SIZED(struct weir_node_options), .name = "source",
                                           .table = &source, .config = report});
    weir_node to = weir_graph_add(
        graph, &(struct weir_node_options){WEIR_SIZED(struct weir_node_options), .name = "count",
                                           .table = &count, .config = report, .states = &cell,
                                           .state_count = 1});
    weir_connect(graph, from, to, WEIR_BY_KEY);
    return graph;
}

static struct result run_weir(const struct settings *settings, bool checkpoints)
{
    struct report report = {.settings = settings}, *pointer = &report;
    struct weir_graph *graph = make_graph(&pointer);
    struct weir_job_options options = {WEIR_SIZED(struct weir_job_options), .name = "throughput",
                                       .store = checkpoints ? settings->store : NULL,
                                       .restore = WEIR_RESTORE_NONE, .interval_ns = 1000000000};
    struct weir_job *job;
    struct weir_error error = {0};
    enum weir_outcome outcome = WEIR_OUTCOME_FAILED;
    if (weir_job_start(graph, &options, &job, &error) || weir_job_wait(job, -1, &outcome, &error))
        die("throughput", error.text);
    if (outcome != WEIR_OUTCOME_ENDED)
        die("throughput", error.text);
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    weir_job_status(job, &status);
    weir_job_close(&job);
    weir_graph_free(&graph);
    if (report.counted != report.emitted)
        die("throughput", "weir has miscounted");
    return (struct result){
        .records_per_second = (double)report.emitted * 1e9 / (double)(report.ended - report.began),
        .checkpoints = status.committed,
        .cut_max_ns = status.cut_max_ns,
    };
}

/* ---------------------------------------------------------------------------- the table -- */

enum { PLAIN, OFF, EVERY_SECOND, VARIANTS };

static double median(const double *values, int count)
{
    return spread_of(values, count).median;
}

static void measure(struct settings *settings, const char *label, double *ratio,
                    double *ratio_checkpoints)
{
    double rates[VARIANTS][ROUNDS_MAX], ratios[VARIANTS][ROUNDS_MAX];
    uint64_t checkpoints = 0;
    int64_t cut_max = 0;
    for (int round = 0; round < settings->rounds; round++) {
        for (int variant = 0; variant < VARIANTS; variant++) {
            struct result result = variant == PLAIN ? run_plain(settings)
                                                    : run_weir(settings, variant == EVERY_SECOND);
            rates[variant][round] = result.records_per_second;
            ratios[variant][round] = result.records_per_second / rates[PLAIN][round];
            checkpoints += result.checkpoints;
            cut_max = result.cut_max_ns > cut_max && variant == EVERY_SECOND ? result.cut_max_ns
                                                                             : cut_max;
        }
    }
    *ratio = median(ratios[OFF], settings->rounds);
    *ratio_checkpoints = median(ratios[EVERY_SECOND], settings->rounds);
    printf("%-9s %12.1f %12.1f %12.1f %13llu %12.2f   %.2f..%.2f\n", label,
           median(rates[PLAIN], settings->rounds) / 1e6, median(rates[OFF], settings->rounds) / 1e6,
           median(rates[EVERY_SECOND], settings->rounds) / 1e6, (unsigned long long)checkpoints,
           (double)cut_max / 1e6, ratios[EVERY_SECOND][0],
           ratios[EVERY_SECOND][settings->rounds - 1]);
    fflush(stdout);
}

static void usage(void)
{
    fprintf(stderr,
            "usage: throughput [--seconds 0.05..600] [--rounds 1..%d] [--only 1k|100k|1m]\n"
            "each of 3 variants x 3 key counts runs for --seconds (3.5), --rounds (3) times\n",
            ROUNDS_MAX);
    exit(2);
}

static void take_argument(struct settings *settings, const char *name, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    bool number = end != text && *end == 0;
    if (strcmp(name, "--only") == 0)
        settings->only = text;
    else if (strcmp(name, "--seconds") == 0 && number && value >= 0.05 && value <= 600)
        settings->run_ns = (int64_t)(value * 1e9);
    else if (strcmp(name, "--rounds") == 0 && number && value >= 1 && value <= ROUNDS_MAX)
        settings->rounds = (int)value;
    else
        usage();
}

static void take_arguments(int argc, char **argv, struct settings *settings)
{
    if (argc % 2 == 0)
        usage();
    for (int i = 1; i < argc; i += 2)
        take_argument(settings, argv[i], argv[i + 1]);
    const char *only = settings->only;
    if (only && strcmp(only, "1k") != 0 && strcmp(only, "100k") != 0 && strcmp(only, "1m") != 0)
        usage();
}

int main(int argc, char **argv)
{
    struct settings settings = {.run_ns = 3500000000, .rounds = 3};
    take_arguments(argc, argv, &settings);
    folder_path("store", settings.store);
    static const struct {
        const char *label;
        uint32_t keys;
    } sizes[] = {{"1k", 1000}, {"100k", 100000}, {"1m", 1000000}};
    double ratio[3] = {0}, ratio_checkpoints[3] = {0};
    printf("weir %s, %.1f s a run, %d rounds, medians; million records/s\n", weir_version(),
           (double)settings.run_ns / 1e9, settings.rounds);
    printf("%-9s %12s %12s %12s %13s %12s   %s\n", "keys", "plain loop", "weir, off", "weir, 1 s",
           "checkpoints", "cut max ms", "ratio first..last of 1 s");
    for (int i = 0; i < 3; i++) {
        if (settings.only && strcmp(settings.only, sizes[i].label) != 0)
            continue;
        settings.keys = sizes[i].keys;
        measure(&settings, sizes[i].label, &ratio[i], &ratio_checkpoints[i]);
    }
    printf("ratio_1k=%.2f ratio_100k=%.2f ratio_1m=%.2f ratio_1k_ckpt=%.2f ratio_100k_ckpt=%.2f "
           "ratio_1m_ckpt=%.2f\n",
           ratio[0], ratio[1], ratio[2], ratio_checkpoints[0], ratio_checkpoints[1],
           ratio_checkpoints[2]);
    return 0;
}
