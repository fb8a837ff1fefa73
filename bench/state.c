/* SPDX-License-Identifier: Apache-2.0
 *
 * state: what it costs to be checkpointed, by the size of the state and the time between
 * checkpoints.
 *
 *   job     a source task -> BY_KEY -> a task that updates a cell of 16 bytes for each record, of
 *           all keys of 8 bytes that there are since the job began
 *   off     such a job without a store
 *   every   such a job with one, checkpoints asked for at the interval
 *   plain   one thread: the same keys, XXH3 inlined, open addressing, slots of 24 bytes,
 *           prefetched in spans
 *
 * All three are there at the same time and take turns (plain, off, every 1 s, off, every 100 ms,
 * off ...), several rounds of it, so that a slow minute of the machine hits all alike: each ratio
 * is to the turns beside it, and the figure is the median of them. Where that takes more memory
 * than there is, `plain` comes first and `off` is the job before its first checkpoint. What changed
 * is counted exactly: a cell knows since which cut it was changed.
 *
 * Then the last checkpoint is written out as a savepoint, a job started from it, and the same bytes
 * decoded plainly. Every run checks its results: the counts add up to the records.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <inttypes.h>
#include <lz4frame.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clocks.h"
#include "keys.h"
#include "weir.h"

#define ROUNDS_MAX 15
#define INTERVALS_MAX 4
#define ENTRY_SIZE 32 /* of a key and its cell in the log: 8 bytes of sizes, 8, 16 */
#define CHANGE_SIZE 24
#define SPAN 64
#define BURST 512         /* records between two looks at the clock; a poll */
#define SAMPLES 65536     /* cuts of one interval that are kept */
#define PERCENTILES 1000u /* samples that they are worth printing from */
#define CUTS_WANTED 1050  /* of the shortest interval, over all rounds */
#define TURN_LONGEST 12.0 /* seconds a turn may go on for the sake of those */
#define DECODERS_MAX 64
#define MIB 1048576.0

struct size {
    const char *label;
    uint32_t keys;
    bool in_full_only;
};
static const struct size SIZES[] = {{"1m", 1u << 15, false},
                                    {"32m", 1u << 20, false}, /* 1 M keys */
                                    {"64m", 1u << 21, true},
                                    {"1g", 1u << 25, false},
                                    {"4g", 1u << 27, true}};
struct interval {
    const char *label;
    int64_t ns;
    bool in_full_only;
};
static const struct interval INTERVALS[INTERVALS_MAX] = {{"10s", 10000000000, true},
                                                         {"1s", 1000000000, false},
                                                         {"100ms", 100000000, false},
                                                         {"10ms", 10000000, false}};

struct settings {
    double seconds; /* a turn, at least */
    int rounds;
    bool full;
    const char *sizes, *intervals, *keys; /* lists; NULL: all of the set */
    char root[200];
    char store[256], savepoint[256], second[256];
};

/* What one checkpoint was. */
struct sample {
    uint64_t id;
    int64_t cut_ns, cut_cpu_ns, duration_ns;
    uint64_t bytes, manifest_bytes;
    uint64_t changed; /* keys */
};

/* What the turns of one interval gave. */
struct figures {
    double lost[ROUNDS_MAX], lost_cpu[ROUNDS_MAX], plain[ROUNDS_MAX], rate[ROUNDS_MAX];
    double process_cpu[ROUNDS_MAX]; /* of all threads of the process, an update, beside `off` */
    int rounds;
    struct sample *samples;
    uint32_t count;
    uint64_t aborted;
    uint64_t memory; /* most of it, bytes */
};

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "state: %s\n", what);
    exit(1);
}

static void *take(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory)
        die("out of memory");
    return memory;
}

/* Any order but that of the ranks: what is often changed shall not lie together. A bijection, for
 * `count` is a power of two. */
static uint32_t scattered(uint32_t number, uint32_t count)
{
    return (number * 0x9e3779b1u) & (count - 1);
}

/* Keys have no order and no pattern; invertible, so that there are as many as numbers. */
static uint64_t key_of(uint32_t number)
{
    uint64_t x = number + 1;
    x = (x ^ x >> 31) * 0x7fb5d329728ea185u;
    x = (x ^ x >> 27) * 0x81dadef4bc2dd44du;
    return x ^ x >> 33;
}

struct cell {
    uint32_t stamp; /* of the cut after which it was changed first */
    uint32_t count;
    uint64_t sum; /* of something that does not compress */
};
_Static_assert(sizeof(struct cell) == 16, "the state's value");

static uint64_t cell_update(struct cell *cell, uint32_t stamp, uint64_t key)
{
    uint64_t fresh = cell->stamp != stamp;
    cell->stamp = stamp;
    cell->count++;
    cell->sum += key ^ stamp;
    return fresh;
}

/* ------------------------------------------------------------------------ the plain loop -- */

struct slot {
    uint64_t key; /* 0: empty; key_of is never 0 */
    struct cell cell;
};

struct plain {
    struct slot *slots;
    size_t mask;
    struct keys keys;
    uint64_t records;
};

static struct cell *plain_find(struct plain *plain, uint64_t key, uint64_t hash)
{
    size_t at = hash & plain->mask;
    while (plain->slots[at].key && plain->slots[at].key != key)
        at = (at + 1) & plain->mask;
    plain->slots[at].key = key;
    return &plain->slots[at].cell;
}

static void plain_span(struct plain *plain)
{
    uint64_t keys[SPAN], hashes[SPAN];
    for (int i = 0; i < SPAN; i++) {
        keys[i] = key_of(keys_draw(&plain->keys));
        hashes[i] = XXH3_64bits(&keys[i], sizeof keys[i]);
        __builtin_prefetch(&plain->slots[hashes[i] & plain->mask], 1);
    }
    for (int i = 0; i < SPAN; i++)
        cell_update(plain_find(plain, keys[i], hashes[i]), 1, keys[i]);
}

static void plain_begin(struct plain *plain, uint32_t count, bool zipf)
{
    size_t slots = 2 * (size_t)count;
    *plain = (struct plain){.slots = take(slots, sizeof *plain->slots), .mask = slots - 1};
    keys_init(&plain->keys, count, zipf, 1);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t key = key_of(scattered(i, count));
        plain_find(plain, key, XXH3_64bits(&key, sizeof key));
    }
}

/* Updates a second. */
static double plain_turn(struct plain *plain, double seconds)
{
    int64_t began_ns = now_ns(), now, span_ns = (int64_t)(seconds * 1e9);
    uint64_t before = plain->records;
    do {
        for (int i = 0; i < BURST / SPAN; i++)
            plain_span(plain);
        plain->records += BURST;
        now = now_ns();
    } while (now - began_ns < span_ns);
    return (double)(plain->records - before) * 1e9 / (double)(now - began_ns);
}

static void plain_end(struct plain *plain)
{
    uint64_t sum = 0;
    for (size_t i = 0; i <= plain->mask; i++)
        sum += plain->slots[i].cell.count;
    free(plain->slots);
    if (sum != plain->records)
        die("the plain loop has miscounted");
}

/* ------------------------------------------------------------------------------- weir -- */

enum { WAITING, RUNNING };

/* A job in hand. Operators have its address as their config. */
struct engine {
    uint32_t count;
    bool zipf;
    bool verifies; /* restored: it adds up and no more */
    struct weir_graph *graph;
    struct weir_job *job;
    const char *store; /* NULL: without checkpoints */

    /* set by the main thread */
    atomic_int turn;

    /* set by the task that updates */
    _Atomic uint64_t updates;
    _Atomic int64_t filled_ns; /* all keys are there */
    pthread_t thread;
    _Atomic uint64_t added_up; /* + 1; 0: not yet */

    /* set by the source */
    _Atomic uint64_t emitted;

    /* of checkpoints: changed[id % SAMPLES] by the task that updates, the rest by events */
    uint64_t changed[SAMPLES];
    struct sample samples[SAMPLES];
    _Atomic uint32_t sample_count;
    _Atomic uint64_t aborted, saved, unsaved;
    _Atomic int64_t started_ns; /* how long the start took */
    _Atomic uint64_t started_bytes;
};

struct source {
    struct engine *engine;
    uint32_t filled; /* keys that were sent once */
    struct keys keys;
};

static enum weir_result source_open(void *self, struct weir_context *context, const void *config)
{
    (void)context;
    struct source *source = self;
    source->engine = *(struct engine *const *)config;
    keys_init(&source->keys, source->engine->count, source->engine->zipf, 1);
    return WEIR_OK;
}

static enum weir_progress source_poll(void *self, struct weir_context *context)
{
    struct source *source = self;
    struct engine *engine = source->engine;
    uint32_t count = engine->count;
    uint64_t key;
    struct weir_record record = {{&key, 8}, {NULL, 0}, WEIR_NO_TIME};
    if (engine->verifies)
        return WEIR_END;
    bool fills = source->filled < count;
    if (!fills && atomic_load_explicit(&engine->turn, memory_order_relaxed) == WAITING)
        return weir_idle(context, weir_now(context) + 500000, -1);
    for (int i = 0; i < BURST; i++) {
        key = key_of(fills ? scattered(source->filled++, count) : keys_draw(&source->keys));
        weir_emit(context, 0, &record);
    }
    atomic_fetch_add_explicit(&engine->emitted, BURST, memory_order_relaxed);
    return WEIR_MORE;
}

/* It is restored to be read, not to go on. */
static enum weir_result source_save(void *self, struct weir_context *context,
                                    struct weir_saver *saver)
{
    (void)self, (void)context, (void)saver;
    return WEIR_OK;
}

static enum weir_result source_load(void *self, struct weir_context *context,
                                    struct weir_loader *loader, uint32_t version)
{
    (void)self, (void)context, (void)loader, (void)version;
    return WEIR_OK;
}

struct update {
    struct engine *engine;
    uint32_t stamp;
    uint64_t changed; /* keys, since the last cut */
    uint64_t sum;     /* of counts, while adding up */
};

static enum weir_result update_open(void *self, struct weir_context *context, const void *config)
{
    (void)context;
    struct update *update = self;
    update->engine = *(struct engine *const *)config;
    update->stamp = 1;
    update->engine->thread = pthread_self();
    return WEIR_OK;
}

static size_t update_many(void *self, struct weir_context *context, unsigned input,
                          const struct weir_record *records, size_t count)
{
    (void)input;
    struct update *update = self;
    struct engine *engine = update->engine;
    void *const *cells = weir_cells(context, 0, records, count);
    uint64_t changed = 0, key;
    for (size_t i = 0; cells && i < count; i++) {
        memcpy(&key, records[i].key.data, sizeof key);
        changed += cell_update(cells[i], update->stamp, key);
    }
    update->changed += changed;
    uint64_t updates = atomic_load_explicit(&engine->updates, memory_order_relaxed);
    if (updates < engine->count && updates + count >= engine->count)
        atomic_store(&engine->filled_ns, now_ns());
    atomic_store_explicit(&engine->updates, updates + count, memory_order_release);
    return count;
}

/* The cut: what is changed from here on belongs to the next one. */
static enum weir_result update_prepare(void *self, struct weir_context *context, uint64_t id)
{
    (void)context;
    struct update *update = self;
    update->engine->changed[id % SAMPLES] = update->changed;
    update->changed = 0;
    update->stamp++;
    return WEIR_OK;
}

static enum weir_result update_commit(void *self, struct weir_context *context,
                                      struct weir_bytes handle)
{
    (void)self, (void)context, (void)handle;
    return WEIR_OK;
}

/* Waits when it is done: the job is stopped without another checkpoint. */
static enum weir_progress update_finish(void *self, struct weir_context *context)
{
    struct update *update = self;
    struct weir_bytes key, value;
    for (int i = 0; i < 4096; i++) {
        if (!weir_scan_next(context, 0, &key, &value)) {
            atomic_store(&update->engine->added_up, update->sum + 1);
            return weir_idle(context, INT64_MAX, -1);
        }
        update->sum += ((const struct cell *)value.data)->count;
    }
    return WEIR_MORE;
}

static struct weir_graph *make_graph(struct engine **engine)
{
    static const struct weir_operator source = {WEIR_SIZED(struct weir_operator),
                                                .kind = "keys",
                                                .self_size = sizeof(struct source),
                                                .open = source_open,
                                                .poll = source_poll,
                                                .save = source_save,
                                                .load = source_load};
    static const struct weir_operator update = {
        WEIR_SIZED(struct weir_operator),   .kind = "update",
        .self_size = sizeof(struct update), .open = update_open,
        .process_many = update_many,        .finish = update_finish,
        .prepare = update_prepare,          .commit = update_commit};
    static const struct weir_state cell = {WEIR_SIZED(struct weir_state), .name = "cell",
                                           .value_size = sizeof(struct cell),
                                           .format = "{u32 stamp; u32 count; u64 sum}"};
    struct weir_graph *graph = weir_graph_new(NULL);
    if (!graph)
        die("out of memory");
    weir_node from = weir_graph_add(
        graph, &(struct weir_node_options){WEIR_SIZED(struct weir_node_options), .name = "source",
                                           .table = &source, .config = engine});
    weir_node to = weir_graph_add(
        graph, &(struct weir_node_options){WEIR_SIZED(struct weir_node_options), .name = "update",
                                           .table = &update, .config = engine, .states = &cell,
                                           .state_count = 1});
    weir_connect(graph, from, to, WEIR_BY_KEY);
    return graph;
}

static uint64_t size_of(const char *path)
{
    struct weir_file_status status;
    struct weir_error error = {0};
    return weir_file_status(path, &status, &error) ? 0 : status.size;
}

static void on_committed(struct engine *engine, const struct weir_event *event)
{
    char path[400];
    uint32_t at = atomic_load(&engine->sample_count);
    if (at == SAMPLES)
        return;
    snprintf(path, sizeof path, "%s/checkpoints/%020" PRIu64 "/MANIFEST.json", engine->store,
             event->id);
    engine->samples[at] = (struct sample){.id = event->id,
                                          .cut_ns = event->cut_ns,
                                          .cut_cpu_ns = event->cut_cpu_ns,
                                          .duration_ns = event->duration_ns,
                                          .bytes = event->bytes,
                                          .manifest_bytes = size_of(path),
                                          .changed = engine->changed[event->id % SAMPLES]};
    atomic_store(&engine->sample_count, at + 1);
}

static void on_event(void *context, const struct weir_event *event)
{
    struct engine *engine = context;
    if (event->kind == WEIR_EVENT_COMMITTED) {
        on_committed(engine, event);
    } else if (event->kind == WEIR_EVENT_STARTED) {
        atomic_store(&engine->started_bytes, event->bytes);
        atomic_store(&engine->started_ns, event->duration_ns);
    } else if (event->kind == WEIR_EVENT_ABORTED) {
        atomic_fetch_add(&engine->aborted, 1);
        fprintf(stderr, "state: checkpoint %" PRIu64 " came to nothing: %s\n", event->id,
                event->text);
    } else if (event->kind == WEIR_EVENT_SAVED) {
        atomic_fetch_add(&engine->saved, 1);
    } else if (event->kind == WEIR_EVENT_UNSAVED) {
        atomic_fetch_add(&engine->unsaved, 1);
        fprintf(stderr, "state: no savepoint: %s\n", event->text);
    }
}

/* engine->count and zipf are set. `restore_path`: a savepoint to begin with, or NULL. */
static void engine_start(struct engine *engine, const char *store, const char *restore_path)
{
    struct weir_error error = {0};
    struct engine **config = take(1, sizeof(struct engine *)); /* as long as the process */
    *config = engine;
    engine->store = store;
    engine->graph = make_graph(config);
    struct weir_job_options options = {WEIR_SIZED(struct weir_job_options),
                                       .name = "state",
                                       .store = store,
                                       .restore =
                                           restore_path ? WEIR_RESTORE_PATH : WEIR_RESTORE_NONE,
                                       .restore_path = restore_path,
                                       .interval_ns = -1,
                                       .retain = 1,
                                       .timeout_ns = 600000000000,
                                       .event = on_event,
                                       .event_context = engine};
    if (weir_job_start(engine->graph, &options, &engine->job, &error))
        die(error.text);
}

static void engine_close(struct engine *engine)
{
    weir_job_close(&engine->job);
    weir_graph_free(&engine->graph);
}

static void check_alive(struct engine *engine)
{
    enum weir_outcome outcome;
    struct weir_error error = {0};
    if (weir_job_wait(engine->job, 0, &outcome, &error) == WEIR_TIMEOUT)
        return;
    die(error.text[0] ? error.text : "the job ended too early");
}

static uint64_t updates_of(struct engine *engine)
{
    return atomic_load_explicit(&engine->updates, memory_order_acquire);
}

static void wait_filled(struct engine *engine)
{
    while (atomic_load(&engine->filled_ns) == 0) {
        check_alive(engine);
        sleep_until(now_ns() + 1000000);
    }
}

/* All that was sent has been counted, and no checkpoint is under way. */
static void engine_rest(struct engine *engine)
{
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    uint64_t before;
    atomic_store(&engine->turn, WAITING);
    do {
        before = atomic_load(&engine->emitted);
        sleep_until(now_ns() + 2000000);
        check_alive(engine);
        weir_job_status(engine->job, &status);
    } while (status.round || before != atomic_load(&engine->emitted) ||
             updates_of(engine) != before);
}

static void ask_checkpoint(struct engine *engine)
{
    struct weir_error error = {0};
    if (weir_job_checkpoint(engine->job, &error))
        die(error.text);
}

/* Until one more is committed. */
static void whole_checkpoint(struct engine *engine)
{
    uint32_t before = atomic_load(&engine->sample_count);
    ask_checkpoint(engine);
    while (atomic_load(&engine->sample_count) == before) {
        check_alive(engine);
        sleep_until(now_ns() + 500000);
    }
}

/* What was consumed until now. */
struct reading {
    int64_t wall_ns, task_ns, process_ns;
    uint64_t updates;
};

static struct reading read_engine(const struct engine *engine)
{
    clockid_t clock;
    if (pthread_getcpuclockid(engine->thread, &clock) != 0)
        die("there is no clock of a thread's processor time here");
    return (struct reading){.wall_ns = now_ns(),
                            .task_ns = read_clock(clock),
                            .process_ns = read_clock(CLOCK_PROCESS_CPUTIME_ID),
                            .updates = atomic_load(&engine->updates)};
}

/* Of a turn; times an update in ns. */
struct pace {
    double rate, task_ns, process_ns;
};

static struct pace pace_of(struct reading from, struct reading to)
{
    double updates = (double)(to.updates - from.updates);
    return (struct pace){.rate = updates * 1e9 / (double)(to.wall_ns - from.wall_ns),
                         .task_ns = (double)(to.task_ns - from.task_ns) / updates,
                         .process_ns = (double)(to.process_ns - from.process_ns) / updates};
}

static struct pace off_turn(struct engine *engine, double seconds)
{
    atomic_store(&engine->turn, RUNNING);
    sleep_until(now_ns() + 20000000); /* queues fill */
    struct reading from = read_engine(engine);
    sleep_until(from.wall_ns + (int64_t)(seconds * 1e9));
    struct reading to = read_engine(engine);
    engine_rest(engine);
    return pace_of(from, to);
}

static void note_memory(struct engine *engine, struct figures *figures)
{
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    weir_job_status(engine->job, &status);
    uint64_t memory = status.memory_state + status.memory_saved;
    if (memory > figures->memory)
        figures->memory = memory;
}

/* Begins behind a cut. `cuts`: goes on until there are so many, if that does not take too long. */
static struct pace every_turn(struct engine *engine, int64_t interval_ns, double seconds,
                              uint32_t cuts, struct figures *figures)
{
    atomic_store(&engine->turn, RUNNING);
    whole_checkpoint(engine);
    uint32_t first = atomic_load(&engine->sample_count);
    uint64_t aborted = atomic_load(&engine->aborted);
    struct reading from = read_engine(engine);
    int64_t due_ns = from.wall_ns, end_ns = from.wall_ns + (int64_t)(seconds * 1e9);
    int64_t last_ns = from.wall_ns + (int64_t)(TURN_LONGEST * 1e9);
    while (due_ns < end_ns ||
           (due_ns < last_ns && atomic_load(&engine->sample_count) - first < cuts)) {
        due_ns += interval_ns;
        sleep_until(due_ns);
        ask_checkpoint(engine);
        check_alive(engine);
        note_memory(engine, figures);
    }
    struct reading to = read_engine(engine);
    engine_rest(engine);
    uint32_t count = atomic_load(&engine->sample_count);
    for (uint32_t i = first; i < count && figures->count < SAMPLES; i++)
        figures->samples[figures->count++] = engine->samples[i];
    figures->aborted += atomic_load(&engine->aborted) - aborted;
    atomic_store(&engine->sample_count, 0);
    return pace_of(from, to);
}

/* ---------------------------------------------------------------------------- figures -- */

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

static double least(const double *values, int count)
{
    double answer = values[0];
    for (int i = 1; i < count; i++)
        answer = values[i] < answer ? values[i] : answer;
    return answer;
}

static double most(const double *values, int count)
{
    double answer = values[0];
    for (int i = 1; i < count; i++)
        answer = values[i] > answer ? values[i] : answer;
    return answer;
}

/* p50 and p99 are negative where there are too few samples to speak of them. */
struct spread {
    double p50, p99, max;
};

static struct spread spread_of(const struct figures *figures, size_t offset, double unit)
{
    struct spread spread = {-1, -1, -1};
    uint32_t count = figures->count;
    if (count == 0)
        return spread;
    double *values = take(count, sizeof *values);
    for (uint32_t i = 0; i < count; i++) {
        int64_t value;
        memcpy(&value, (const char *)&figures->samples[i] + offset, sizeof value);
        values[i] = (double)value / unit;
    }
    qsort(values, count, sizeof *values, ascending);
    spread.max = values[count - 1];
    if (count >= PERCENTILES) {
        spread.p50 = values[count / 2];
        spread.p99 = values[(uint64_t)count * 99 / 100];
    }
    free(values);
    return spread;
}

static const char *number(double value, int places, char text[24])
{
    if (value < 0)
        return "-";
    snprintf(text, 24, "%.*f", places, value);
    return text;
}

static void print_spread(const char *name, struct spread spread, int places)
{
    char a[24], b[24], c[24];
    printf(" | %s %s %s %s", name, number(spread.p50, places, a), number(spread.p99, places, b),
           number(spread.max, places, c));
}

/* What the last line says of all that was measured; negative: not measured. */
struct verdict {
    double cut_p99_us_1g, cost_1s, cost_100ms, cost_cpu_1s, cost_cpu_100ms;
    double bytes_ratio[2]; /* uniform, zipf */
    double restore_ratio_1g;
};

static void worse(double *worst, double value)
{
    if (value > *worst)
        *worst = value;
}

struct sums {
    double changed, stored, manifest;
};

static struct sums sum_up(const struct figures *figures)
{
    struct sums sums = {0};
    for (uint32_t i = 0; i < figures->count; i++) {
        sums.changed += (double)figures->samples[i].changed * CHANGE_SIZE;
        sums.stored += (double)figures->samples[i].bytes;
        sums.manifest += (double)figures->samples[i].manifest_bytes;
    }
    return sums;
}

/* One interval of one size and kind of keys. */
static void report(const struct size *size, bool zipf, const struct interval *interval,
                   const struct figures *figures, struct verdict *verdict)
{
    int rounds = figures->rounds;
    struct sums sums = sum_up(figures);
    struct spread cut = spread_of(figures, offsetof(struct sample, cut_ns), 1e3);
    double lost = median(figures->lost, rounds), lost_cpu = median(figures->lost_cpu, rounds);
    double ratio = sums.changed > 0 ? (sums.stored + sums.manifest) / sums.changed : -1;
    double cuts = figures->count > 0 ? figures->count : 1;
    printf("  %-5s lost %5.1f %% (%.1f..%.1f), task's cpu %5.1f %%, all cpu %+5.0f %%, "
           "%5.2f M/s = %.2f plain\n",
           interval->label, 100 * lost, 100 * least(figures->lost, rounds),
           100 * most(figures->lost, rounds), 100 * lost_cpu,
           100 * median(figures->process_cpu, rounds), median(figures->rate, rounds) / 1e6,
           median(figures->plain, rounds));
    printf("        %u checkpoints", figures->count);
    if (figures->aborted > 0)
        printf(", %" PRIu64 " aborted", figures->aborted);
    print_spread("cut us", cut, 1);
    print_spread("cpu us", spread_of(figures, offsetof(struct sample, cut_cpu_ns), 1e3), 1);
    print_spread("durable ms", spread_of(figures, offsetof(struct sample, duration_ns), 1e6), 1);
    printf("\n        changed %.3f MiB each, stored %.3f + manifest %.3f, ratio %.2f | memory %.2f "
           "of the entries\n",
           sums.changed / cuts / MIB, sums.stored / cuts / MIB, sums.manifest / cuts / MIB, ratio,
           (double)figures->memory / ((double)size->keys * ENTRY_SIZE));
    fflush(stdout);
    worse(&verdict->bytes_ratio[zipf], ratio);
    if (strcmp(size->label, "1g") == 0)
        worse(&verdict->cut_p99_us_1g, cut.p99);
    if (strcmp(size->label, "32m") == 0 && strcmp(interval->label, "1s") == 0) {
        worse(&verdict->cost_1s, lost);
        worse(&verdict->cost_cpu_1s, lost_cpu);
    } else if (strcmp(size->label, "32m") == 0 && strcmp(interval->label, "100ms") == 0) {
        worse(&verdict->cost_100ms, lost);
        worse(&verdict->cost_cpu_100ms, lost_cpu);
    }
}

/* -------------------------------------------------------------------------- restoring -- */

struct file {
    char path[400];
    uint64_t size;
};

/* The containers of a store, or of a savepoint. */
struct containers {
    char folder[300];
    struct file *files;
    uint32_t count;
};

static bool add_container(void *context, const char *name)
{
    struct containers *containers = context;
    if (!strstr(name, ".seg"))
        return true;
    size_t room = (containers->count + 1) * sizeof *containers->files;
    containers->files = realloc(containers->files, room);
    if (!containers->files)
        die("out of memory");
    struct file *file = &containers->files[containers->count++];
    snprintf(file->path, sizeof file->path, "%s/%.80s", containers->folder, name);
    file->size = size_of(file->path);
    return true;
}

static struct containers list_containers(const char *store)
{
    struct containers containers = {.files = NULL};
    struct weir_error error = {0};
    snprintf(containers.folder, sizeof containers.folder, "%s/data", store);
    if (weir_folder_list(containers.folder, add_container, &containers, &error))
        die(error.text);
    return containers;
}

static uint64_t containers_size(const char *store)
{
    struct containers containers = list_containers(store);
    uint64_t size = 0;
    for (uint32_t i = 0; i < containers.count; i++)
        size += containers.files[i].size;
    free(containers.files);
    return size;
}

/* A part of what is to be decoded, for one thread. */
struct decoding {
    const unsigned char *data;
    size_t size;
    bool fresh;    /* into memory that nobody has touched; else into the same again and again */
    uint64_t done; /* bytes that came out */
};

static void *decode(void *argument)
{
    enum { ROOM = 1 << 20 };
    struct decoding *decoding = argument;
    LZ4F_dctx *context;
    size_t at = 0, filled = ROOM;
    unsigned char *room = NULL, **rooms = NULL;
    size_t room_count = 0;
    if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION)))
        die("out of memory");
    while (at < decoding->size) {
        if (filled == ROOM && (decoding->fresh || !room)) {
            rooms = realloc(rooms, (room_count + 1) * sizeof *rooms);
            room = malloc(ROOM);
            if (!rooms || !room)
                die("out of memory");
            rooms[room_count++] = room;
        }
        filled = filled == ROOM ? 0 : filled;
        size_t taken = decoding->size - at, given = ROOM - filled;
        if (LZ4F_isError(
                LZ4F_decompress(context, room + filled, &given, decoding->data + at, &taken, NULL)))
            die("a container of the savepoint is no LZ4 frame");
        at += taken;
        filled += given;
        decoding->done += given;
    }
    LZ4F_freeDecompressionContext(context);
    for (size_t i = 0; i < room_count; i++)
        free(rooms[i]);
    free(rooms);
    return NULL;
}

static void read_whole(const struct file *file, unsigned char *to)
{
    struct weir_file *from;
    struct weir_error error = {0};
    size_t got = 0;
    if (weir_file_open(NULL, file->path, WEIR_OPEN_READ, &from, &error) ||
        weir_file_read(from, 0, to, file->size, &got, &error) || got != file->size)
        die(error.text[0] ? error.text : "a container of the savepoint is too short");
    (void)weir_file_close(&from, &error);
}

/* Where the n-th of `parts` begins: at a blob, which its magic number tells. */
static size_t part_begin(const unsigned char *data, size_t size, unsigned n, unsigned parts)
{
    static const unsigned char magic[] = {0x57, 0x2a, 0x4d, 0x18};
    size_t at = n == parts ? size : size / parts * n;
    while (at > 0 && at < size &&
           (at + 12 > size || memcmp(data + at, magic, 4) != 0 ||
            memcmp(data + at + 8, "WEIR", 4) != 0))
        at++;
    return at;
}

/* One container; answers what came out. */
static uint64_t decode_file(const struct file *file, unsigned threads, bool fresh)
{
    struct decoding parts[DECODERS_MAX];
    pthread_t workers[DECODERS_MAX];
    uint64_t done = 0;
    unsigned char *data = malloc(file->size + 1);
    if (!data)
        die("out of memory");
    read_whole(file, data);
    for (unsigned t = 0; t < threads; t++) {
        size_t begin = part_begin(data, file->size, t, threads);
        size_t end = part_begin(data, file->size, t + 1, threads);
        parts[t] = (struct decoding){.data = data + begin, .size = end - begin, .fresh = fresh};
        if (threads == 1)
            decode(&parts[t]);
        else if (pthread_create(&workers[t], NULL, decode, &parts[t]) != 0)
            die("can't start a thread");
    }
    for (unsigned t = 0; t < threads; t++) {
        if (threads > 1)
            pthread_join(workers[t], NULL);
        done += parts[t].done;
    }
    free(data);
    return done;
}

/* Reads and decodes the savepoint's containers; seconds. `raw`: how much came out. */
static double decode_all(const char *savepoint, unsigned threads, bool fresh, uint64_t *raw)
{
    struct containers containers = list_containers(savepoint);
    int64_t began_ns = now_ns();
    *raw = 0;
    for (uint32_t i = 0; i < containers.count; i++)
        *raw += decode_file(&containers.files[i], threads, fresh);
    free(containers.files);
    return (double)(now_ns() - began_ns) / 1e9;
}

/* At most DECODERS_MAX. */
static unsigned core_count(void)
{
    char line[200];
    unsigned cores = 0;
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && cores < DECODERS_MAX && fgets(line, sizeof line, file))
        cores += strncmp(line, "processor\t", 10) == 0;
    if (file)
        fclose(file);
    return cores ? cores : 1;
}

static void remove_folder(const char *path)
{
    char command[300];
    snprintf(command, sizeof command, "rm -rf -- '%s'", path);
    if (system(command) != 0)
        fprintf(stderr, "state: %s is left behind\n", path);
}

/* From the order to start until it runs; seconds. The last time, what was restored is added up. */
static double restore_once(const struct settings *settings, const struct engine *from, bool last)
{
    struct engine *engine = take(1, sizeof *engine);
    struct weir_error error = {0};
    enum weir_outcome outcome;
    engine->count = from->count;
    engine->zipf = from->zipf;
    engine->verifies = true;
    engine_start(engine, settings->second, settings->savepoint);
    while (atomic_load(&engine->started_ns) == 0 || (last && atomic_load(&engine->added_up) == 0)) {
        check_alive(engine);
        sleep_until(now_ns() + 1000000);
    }
    if (weir_job_stop(engine->job, WEIR_STOP_NOW, &error) ||
        weir_job_wait(engine->job, -1, &outcome, &error))
        die(error.text);
    if (last && atomic_load(&engine->added_up) - 1 != atomic_load(&from->emitted))
        die("weir has miscounted");
    double seconds = (double)atomic_load(&engine->started_ns) / 1e9;
    engine_close(engine);
    free(engine);
    remove_folder(settings->second);
    return seconds;
}

/* Stops the job with a savepoint, restores from that, and decodes it plainly, in turns. */
static void restore(const struct settings *settings, const struct size *size, struct engine *engine,
                    struct verdict *verdict)
{
    struct weir_error error = {0};
    enum weir_outcome outcome;
    uint64_t raw, in_store;
    double ratios[ROUNDS_MAX], fresh[ROUNDS_MAX], all[ROUNDS_MAX], seconds[ROUNDS_MAX];
    unsigned threads = core_count();
    if (weir_job_stop_at(engine->job, WEIR_STOP_SUSPEND, settings->savepoint, &error) ||
        weir_job_wait(engine->job, -1, &outcome, &error))
        die(error.text);
    if (outcome != WEIR_OUTCOME_STOPPED)
        die(error.text);
    in_store = containers_size(settings->store);
    engine_close(engine);
    for (int i = 0; i < settings->rounds; i++) {
        double decoded = decode_all(settings->savepoint, 1, false, &raw);
        seconds[i] = restore_once(settings, engine, i + 1 == settings->rounds);
        ratios[i] = seconds[i] / decoded;
        fresh[i] = seconds[i] / decode_all(settings->savepoint, 1, true, &raw);
        all[i] = seconds[i] / decode_all(settings->savepoint, threads, true, &raw);
    }
    double stored = (double)containers_size(settings->savepoint);
    printf("  restored %.1f MiB (%.1f stored, LZ4 %.2f; the store had %.1f) in %.3f s: %.2f "
           "(%.2f..%.2f) of lz4 -d, %.2f of it into fresh memory, %.2f of that on %u cores\n",
           (double)raw / MIB, stored / MIB, (double)raw / stored, (double)in_store / MIB,
           median(seconds, settings->rounds), median(ratios, settings->rounds),
           least(ratios, settings->rounds), most(ratios, settings->rounds),
           median(fresh, settings->rounds), median(all, settings->rounds), threads);
    fflush(stdout);
    if (strcmp(size->label, "1g") == 0)
        worse(&verdict->restore_ratio_1g, median(ratios, settings->rounds));
}

/* ------------------------------------------------------------------------------ rounds -- */

static bool is_in(const char *list, const char *label)
{
    size_t length = strlen(label);
    for (const char *at = list; at && *at; at += strcspn(at, ",")) {
        at += *at == ',';
        if (strcspn(at, ",") == length && strncmp(at, label, length) == 0)
            return true;
    }
    return false;
}

static bool is_wanted(const struct settings *settings, const char *list, const char *label,
                      bool in_full_only)
{
    return list ? is_in(list, label) : settings->full || !in_full_only;
}

/* A few of the interval, and no less than others get. */
static double turn_seconds(const struct settings *settings, const struct interval *interval)
{
    double some = (double)interval->ns / 1e9 * (interval->ns > 2000000000 ? 2 : 4);
    return some > settings->seconds ? some : settings->seconds;
}

/* What the machine would be asked for: all at once, or one after the other. */
static double memory_needed(const struct size *size, bool apart)
{
    double keys = size->keys, index = 4 * 8 * keys, log = ENTRY_SIZE * keys;
    double every = 2 * log + index + log / 2; /* with garbage, and what is being written */
    return apart ? every : every + log + index + 2 * keys * sizeof(struct slot);
}

static double memory_available(void)
{
    double kib = 0;
    char line[200];
    FILE *file = fopen("/proc/meminfo", "r");
    while (file && kib == 0 && fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %lf", &kib) != 1)
            kib = 0;
    if (file)
        fclose(file);
    return kib * 1024;
}

/* The machine of one size and kind of keys. */
struct stand {
    const struct settings *settings;
    bool apart;
    double plain_rate; /* of the turn before; apart: of all */
    struct pace off;   /* likewise */
    struct plain plain;
    struct engine *every, *beside; /* apart: there is none beside */
};

static struct engine *begin_engine(uint32_t count, bool zipf, const char *store)
{
    struct engine *engine = take(1, sizeof *engine);
    engine->count = count;
    engine->zipf = zipf;
    engine_start(engine, store, NULL);
    wait_filled(engine);
    engine_rest(engine);
    return engine;
}

static void end_beside(struct engine *engine)
{
    struct weir_error error = {0};
    enum weir_outcome outcome;
    if (weir_job_stop(engine->job, WEIR_STOP_NOW, &error) ||
        weir_job_wait(engine->job, -1, &outcome, &error))
        die(error.text);
    engine_close(engine);
    free(engine);
}

static struct pace average(struct pace a, struct pace b)
{
    return (struct pace){(a.rate + b.rate) / 2, (a.task_ns + b.task_ns) / 2,
                         (a.process_ns + b.process_ns) / 2};
}

static void stand_begin(struct stand *stand, const struct size *size, bool zipf)
{
    const struct settings *settings = stand->settings;
    plain_begin(&stand->plain, size->keys, zipf);
    stand->plain_rate = plain_turn(&stand->plain, settings->seconds);
    if (stand->apart)
        plain_end(&stand->plain);
    else
        stand->beside = begin_engine(size->keys, zipf, NULL);
    remove_folder(settings->store);
    remove_folder(settings->savepoint);
    stand->every = begin_engine(size->keys, zipf, settings->store);
    stand->off = off_turn(stand->apart ? stand->every : stand->beside, settings->seconds);
    if (stand->apart) /* the first turn meets memory that was just filled */
        stand->off = off_turn(stand->every, 2 * settings->seconds);
    whole_checkpoint(stand->every);
    const struct sample *first = &stand->every->samples[0];
    printf("%s of %u keys, %s%s: plain %.2f M/s, off %.2f M/s; the first checkpoint %.1f MiB in "
           "%.3f s\n",
           size->label, size->keys, zipf ? "zipf" : "uniform",
           stand->apart ? ", one after the other" : "", stand->plain_rate / 1e6,
           stand->off.rate / 1e6, (double)first->bytes / MIB, (double)first->duration_ns / 1e9);
    fflush(stdout);
}

static void turn_of(struct stand *stand, const struct interval *interval, struct figures *figures)
{
    const struct settings *settings = stand->settings;
    bool shortest = interval == &INTERVALS[INTERVALS_MAX - 1];
    uint32_t cuts = shortest ? (uint32_t)(CUTS_WANTED / settings->rounds) + 1 : 0;
    struct pace pace =
        every_turn(stand->every, interval->ns, turn_seconds(settings, interval), cuts, figures);
    struct pace before = stand->off;
    if (!stand->apart)
        stand->off = off_turn(stand->beside, settings->seconds);
    struct pace off = average(before, stand->off);
    int at = figures->rounds++;
    figures->rate[at] = pace.rate;
    figures->lost[at] = 1 - pace.rate / off.rate;
    figures->lost_cpu[at] = 1 - off.task_ns / pace.task_ns;
    figures->process_cpu[at] = pace.process_ns / off.process_ns - 1;
    figures->plain[at] = pace.rate / stand->plain_rate;
}

static void run_rounds(struct stand *stand, struct figures *figures)
{
    const struct settings *settings = stand->settings;
    for (int round = 0; round < settings->rounds; round++) {
        if (!stand->apart)
            stand->plain_rate = plain_turn(&stand->plain, settings->seconds);
        for (int i = 0; i < INTERVALS_MAX; i++)
            if (is_wanted(settings, settings->intervals, INTERVALS[i].label,
                          INTERVALS[i].in_full_only))
                turn_of(stand, &INTERVALS[i], &figures[i]);
    }
}

static void measure(const struct settings *settings, const struct size *size, bool zipf,
                    struct verdict *verdict)
{
    struct stand *stand = take(1, sizeof *stand);
    struct figures figures[INTERVALS_MAX] = {0};
    double available = memory_available();
    stand->settings = settings;
    stand->apart = memory_needed(size, false) > available;
    if (memory_needed(size, true) > available) {
        printf("%s, %s: left out, it would take %.1f GiB of memory and %.1f are free\n",
               size->label, zipf ? "zipf" : "uniform", memory_needed(size, true) / MIB / 1024,
               available / MIB / 1024);
        free(stand);
        return;
    }
    for (int i = 0; i < INTERVALS_MAX; i++)
        figures[i].samples = take(SAMPLES, sizeof(struct sample));
    stand_begin(stand, size, zipf);
    run_rounds(stand, figures);
    for (int i = 0; i < INTERVALS_MAX; i++) {
        if (figures[i].rounds > 0)
            report(size, zipf, &INTERVALS[i], &figures[i], verdict);
        free(figures[i].samples);
    }
    if (!stand->apart) {
        plain_end(&stand->plain);
        end_beside(stand->beside);
    }
    restore(settings, size, stand->every, verdict);
    free(stand->every);
    free(stand);
    remove_folder(settings->store);
    remove_folder(settings->savepoint);
}

/* The generator is what all figures of `zipf` rest on. */
static void check_keys(void)
{
    static const uint32_t limits[] = {1, 50, 5000, 500000};
    struct keys *keys = take(1, sizeof *keys);
    uint32_t count = 1u << 20, draws = 2000000, below[4] = {0};
    keys_init(keys, count, true, 7);
    for (uint32_t i = 0; i < draws; i++) {
        uint32_t rank = keys_draw(keys);
        for (int k = 0; k < 4; k++)
            below[k] += rank < limits[k];
    }
    for (int k = 0; k < 4; k++) {
        double wanted = keys_harmonic(limits[k]) / keys_harmonic(count);
        double is = (double)below[k] / draws;
        if (is < wanted - 0.003 || is > wanted + 0.003)
            die("the generator of Zipf's numbers is wrong");
    }
    free(keys);
}

/* ---------------------------------------------------------------------------- the program -- */

static void usage(void)
{
    fprintf(stderr,
            "usage: state [--full] [--sizes 1m,32m,64m,1g,4g] [--intervals 10s,1s,100ms,10ms]\n"
            "             [--keys uniform,zipf] [--seconds 0.05..600] [--rounds 1..%d]\n"
            "without --full: not 64m and 4g, not 10s. A turn takes --seconds (1), or some\n"
            "intervals; there are --rounds (3) of them. Stores lie in TMPDIR.\n",
            ROUNDS_MAX);
    exit(2);
}

static bool take_number(struct settings *settings, const char *name, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != 0)
        return false;
    if (strcmp(name, "--seconds") == 0 && value >= 0.05 && value <= 600)
        settings->seconds = value;
    else if (strcmp(name, "--rounds") == 0 && value >= 1 && value <= ROUNDS_MAX)
        settings->rounds = (int)value;
    else
        return false;
    return true;
}

/* Every word of the list is a label of the table, whose elements are `stride` bytes long. */
static bool all_known(const char *list, const void *table, size_t stride, size_t count)
{
    while (*list) {
        size_t length = strcspn(list, ","), i = 0;
        for (; i < count; i++) {
            const char *label;
            memcpy(&label, (const char *)table + i * stride, sizeof label);
            if (strlen(label) == length && strncmp(label, list, length) == 0)
                break;
        }
        if (i == count)
            return false;
        list += length + (list[length] == ',');
    }
    return true;
}

static const char *const KEYS[] = {"uniform", "zipf"};

static bool take_list(struct settings *settings, const char *name, const char *text)
{
    if (strcmp(name, "--sizes") == 0) {
        settings->sizes = text;
        return all_known(text, SIZES, sizeof SIZES[0], sizeof SIZES / sizeof SIZES[0]);
    }
    if (strcmp(name, "--intervals") == 0) {
        settings->intervals = text;
        return all_known(text, INTERVALS, sizeof INTERVALS[0], INTERVALS_MAX);
    }
    settings->keys = text;
    return strcmp(name, "--keys") == 0 && all_known(text, KEYS, sizeof KEYS[0], 2);
}

static void take_arguments(struct settings *settings, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--full") == 0)
            settings->full = true;
        else if (i + 1 < argc && (take_number(settings, argv[i], argv[i + 1]) ||
                                  take_list(settings, argv[i], argv[i + 1])))
            i++;
        else
            usage();
    }
}

static void make_root(struct settings *settings)
{
    const char *folder = getenv("TMPDIR");
    snprintf(settings->root, sizeof settings->root, "%.160s/weir-bench-XXXXXX",
             folder ? folder : "/tmp");
    if (!mkdtemp(settings->root))
        die("can't make a folder for the stores: set TMPDIR");
    snprintf(settings->store, sizeof settings->store, "%s/store", settings->root);
    snprintf(settings->savepoint, sizeof settings->savepoint, "%s/savepoint", settings->root);
    snprintf(settings->second, sizeof settings->second, "%s/second", settings->root);
}

static void print_last(const struct verdict *verdict)
{
    char text[7][24];
    printf("cost_cpu_1s=%s cost_cpu_100ms=%s (of the task's processor time)\n",
           number(verdict->cost_cpu_1s, 3, text[0]), number(verdict->cost_cpu_100ms, 3, text[1]));
    printf("cut_p99_us_1g=%s cost_1s=%s cost_100ms=%s bytes_ratio_uniform=%s bytes_ratio_zipf=%s "
           "restore_ratio_1g=%s\n",
           number(verdict->cut_p99_us_1g, 1, text[0]), number(verdict->cost_1s, 3, text[1]),
           number(verdict->cost_100ms, 3, text[2]), number(verdict->bytes_ratio[0], 2, text[3]),
           number(verdict->bytes_ratio[1], 2, text[4]),
           number(verdict->restore_ratio_1g, 2, text[5]));
}

int main(int argc, char **argv)
{
    struct settings settings = {.seconds = 1, .rounds = 3};
    struct verdict verdict = {-1, -1, -1, -1, -1, {-1, -1}, -1};
    double load = 0;
    take_arguments(&settings, argc, argv);
    make_root(&settings);
    check_keys();
    (void)getloadavg(&load, 1);
    printf("weir %s, turns of %.1f s and more, %d rounds, medians; %u cores, load %.1f%s\n",
           weir_version(), settings.seconds, settings.rounds, core_count(), load,
           settings.full ? "" : "; --full measures 64m, 4g and every 10 s as well");
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++)
        for (int zipf = 0; zipf < 2; zipf++)
            if (is_wanted(&settings, settings.sizes, SIZES[i].label, SIZES[i].in_full_only) &&
                is_wanted(&settings, settings.keys, KEYS[zipf], false))
                measure(&settings, &SIZES[i], zipf, &verdict);
    remove_folder(settings.root);
    print_last(&verdict);
    return 0;
}
