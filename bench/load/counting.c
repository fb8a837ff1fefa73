/* SPDX-License-Identifier: Apache-2.0
 *
 * counting: see counting.h. `turn` says what the source does; the main thread sets it, and the
 * source itself takes it back at the end of a paced turn. What the main thread has put down before
 * it sets `turn` belongs to the job's threads until all records are counted.
 */
#include "counting.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "clocks.h"
#include "die.h"
#include "draws.h"
#include "pacing.h"

#define BURST 512        /* records a poll */
#define RAMP_NS 50000000 /* queues fill before a flood is measured */
#define REST_NS 2000000  /* between two looks whether all is counted */
#define THIRDS 3
#define LAG_NS 10000000 /* less of it is jitter, whichever way it went */

enum { FILLING, WAITING, FLOOD, PACED, ENDING };

/* What lag was in a third of a paced turn. */
struct lag {
    double sum_ns;
    uint64_t count;
};

struct counting {
    uint32_t keys;
    struct weir_graph *graph;
    struct weir_job *job;
    const struct counting *self; /* the operators' config points here */

    /* set by the main thread, between turns */
    struct pacing pacing;
    uint64_t last;                   /* so many a paced turn has */
    int64_t measured_from, third_ns; /* of what is due */
    struct histogram *latency_ns;

    _Atomic int turn;
    _Atomic uint64_t emitted; /* by the source */
    _Atomic uint64_t counted; /* by the counting task; what else it sets: */
    struct lag lags[THIRDS];
    pthread_t thread;
    uint64_t sum; /* of all counts, at the end */

    pthread_mutex_t lock; /* of what checkpoints leave here */
    struct counting_result *result;
    uint64_t committed;
};

/* ------------------------------------------------------------------------ the source -- */

struct source {
    struct counting *counting;
    uint64_t state;
    uint32_t filled;
};

static enum weir_result source_open(void *self, struct weir_context *context, const void *config)
{
    (void)context;
    struct source *source = self;
    source->counting = *(struct counting *const *)config;
    source->state = DRAWS_SEED;
    return WEIR_OK;
}

static void emit(struct weir_context *context, uint64_t key, int64_t due_ns)
{
    weir_emit(context, 0, &(struct weir_record){{&key, 8}, {&due_ns, 8}, WEIR_NO_TIME});
}

static enum weir_progress source_fill(struct source *source, struct weir_context *context)
{
    struct counting *counting = source->counting;
    int count = 0;
    for (; count < BURST && source->filled < counting->keys; count++)
        emit(context, source->filled++, 0);
    atomic_fetch_add(&counting->emitted, (uint64_t)count);
    if (source->filled == counting->keys)
        atomic_store(&counting->turn, WAITING);
    return WEIR_MORE;
}

static enum weir_progress source_flood(struct source *source, struct weir_context *context)
{
    for (int i = 0; i < BURST; i++)
        emit(context, draws_below(&source->state, source->counting->keys), 0);
    atomic_fetch_add_explicit(&source->counting->emitted, BURST, memory_order_relaxed);
    return WEIR_MORE;
}

static enum weir_progress source_pace(struct source *source, struct weir_context *context)
{
    struct counting *counting = source->counting;
    struct pacing *pacing = &counting->pacing;
    uint64_t left = counting->last - pacing->taken;
    uint64_t due = pacing_due(pacing, now_ns(), left < BURST ? left : BURST);
    for (uint64_t i = 0; i < due; i++)
        emit(context, draws_below(&source->state, counting->keys),
             pacing_intended(pacing, pacing->taken++));
    atomic_fetch_add_explicit(&counting->emitted, due, memory_order_relaxed);
    if (pacing->taken == counting->last)
        atomic_store(&counting->turn, WAITING);
    return due == BURST ? WEIR_MORE
                        : weir_idle(context, pacing_intended(pacing, pacing->taken), -1);
}

static enum weir_progress source_poll(void *self, struct weir_context *context)
{
    struct source *source = self;
    switch (atomic_load_explicit(&source->counting->turn, memory_order_acquire)) {
    case FILLING:
        return source_fill(source, context);
    case FLOOD:
        return source_flood(source, context);
    case PACED:
        return source_pace(source, context);
    case ENDING:
        return WEIR_END;
    default:
        return weir_idle(context, weir_now(context) + 500000, -1);
    }
}

/* No job goes on from these checkpoints, so nothing is ever loaded. */
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

/* ----------------------------------------------------------------------- the counting -- */

static enum weir_result count_open(void *self, struct weir_context *context, const void *config)
{
    (void)context;
    struct counting *counting = *(struct counting *const *)config;
    *(struct counting **)self = counting;
    counting->thread = pthread_self();
    return WEIR_OK;
}

static void note_latency(struct counting *counting, const struct weir_record *records, size_t count)
{
    int64_t now = now_ns();
    for (size_t i = 0; i < count; i++) {
        int64_t due_ns;
        memcpy(&due_ns, records[i].value.data, sizeof due_ns);
        if (due_ns < counting->measured_from)
            continue;
        uint64_t late = now > due_ns ? (uint64_t)(now - due_ns) : 0;
        int64_t third = (due_ns - counting->measured_from) / counting->third_ns;
        struct lag *lag = &counting->lags[third < THIRDS ? third : THIRDS - 1];
        lag->sum_ns += (double)late;
        lag->count++;
        histogram_add(counting->latency_ns, late, 1);
    }
}

static size_t count_many(void *self, struct weir_context *context, unsigned input,
                         const struct weir_record *records, size_t count)
{
    (void)input;
    struct counting *counting = *(struct counting **)self;
    void *const *cells = weir_cells(context, 0, records, count);
    int64_t due_ns;
    for (size_t i = 0; cells && i < count; i++)
        ++*(uint64_t *)cells[i];
    memcpy(&due_ns, records[0].value.data, sizeof due_ns);
    if (due_ns > 0)
        note_latency(counting, records, count);
    atomic_fetch_add_explicit(&counting->counted, count, memory_order_release);
    return count;
}

static enum weir_progress count_finish(void *self, struct weir_context *context)
{
    struct counting *counting = *(struct counting **)self;
    struct weir_bytes key, value;
    for (int i = 0; i < 4096; i++) {
        if (!weir_scan_next(context, 0, &key, &value))
            return WEIR_END;
        counting->sum += *(const uint64_t *)value.data;
    }
    return WEIR_MORE;
}

/* ----------------------------------------------------------------------------- the job -- */

static struct weir_graph *make_graph(const struct counting *const *config)
{
    static const struct weir_operator source = {WEIR_SIZED(struct weir_operator),
                                                .kind = "keys",
                                                .self_size = sizeof(struct source),
                                                .open = source_open,
                                                .poll = source_poll,
                                                .save = source_save,
                                                .load = source_load};
    static const struct weir_operator count = {WEIR_SIZED(struct weir_operator),
                                               .kind = "count",
                                               .self_size = sizeof(struct counting *),
                                               .open = count_open,
                                               .process_many = count_many,
                                               .finish = count_finish};
    static const struct weir_state cell = {WEIR_SIZED(struct weir_state), .name = "count",
                                           .value_size = 8, .format = "u64"};
    struct weir_graph *graph = weir_graph_new(NULL);
    if (!graph)
        die("counting", "out of memory");
    weir_node from = weir_graph_add(
        graph, &(struct weir_node_options){WEIR_SIZED(struct weir_node_options), .name = "source",
                                           .table = &source, .config = config});
    weir_node to = weir_graph_add(
        graph, &(struct weir_node_options){WEIR_SIZED(struct weir_node_options), .name = "count",
                                           .table = &count, .config = config, .states = &cell,
                                           .state_count = 1});
    weir_connect(graph, from, to, WEIR_BY_KEY);
    return graph;
}

static void on_event(void *context, const struct weir_event *event)
{
    struct counting *counting = context;
    pthread_mutex_lock(&counting->lock);
    struct counting_result *result = counting->result;
    if (event->kind == WEIR_EVENT_COMMITTED)
        counting->committed++;
    if (event->kind == WEIR_EVENT_COMMITTED && result) {
        result->checkpoints++;
        result->bytes += event->bytes;
        histogram_add(&result->cut_ns, (uint64_t)event->cut_ns, 1);
        histogram_add(&result->cut_cpu_ns, (uint64_t)event->cut_cpu_ns, 1);
        histogram_add(&result->durable_ns, (uint64_t)event->duration_ns, 1);
    } else if (event->kind == WEIR_EVENT_ABORTED && result) {
        result->aborted++;
    }
    pthread_mutex_unlock(&counting->lock);
}

static uint64_t committed(struct counting *counting)
{
    pthread_mutex_lock(&counting->lock);
    uint64_t answer = counting->committed;
    pthread_mutex_unlock(&counting->lock);
    return answer;
}

static void set_result(struct counting *counting, struct counting_result *result)
{
    pthread_mutex_lock(&counting->lock);
    counting->result = result;
    pthread_mutex_unlock(&counting->lock);
}

static void check_alive(struct counting *counting)
{
    enum weir_outcome outcome;
    struct weir_error error = {0};
    if (weir_job_wait(counting->job, 0, &outcome, &error) == WEIR_TIMEOUT)
        return;
    die("counting", error.text[0] ? error.text : "the job has ended too early");
}

/* The source has nothing more to send, all of it is counted, and no checkpoint is under way. */
static void wait_at_rest(struct counting *counting)
{
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    uint64_t emitted;
    do {
        emitted = atomic_load(&counting->emitted);
        sleep_until(now_ns() + REST_NS);
        check_alive(counting);
        weir_job_status(counting->job, &status);
    } while (atomic_load(&counting->turn) != WAITING || status.round ||
             emitted != atomic_load(&counting->emitted) ||
             emitted != atomic_load(&counting->counted));
}

struct counting *counting_start(uint32_t keys, const char *store, enum weir_mode mode)
{
    struct counting *counting = calloc(1, sizeof *counting);
    struct weir_error error = {0};
    if (!counting)
        die("counting", "out of memory");
    counting->keys = keys;
    counting->self = counting;
    pthread_mutex_init(&counting->lock, NULL);
    counting->graph = make_graph(&counting->self);
    struct weir_job_options options = {WEIR_SIZED(struct weir_job_options),
                                       .name = "counting",
                                       .store = store,
                                       .restore = WEIR_RESTORE_NONE,
                                       .interval_ns = -1,
                                       .mode = mode,
                                       .event = on_event,
                                       .event_context = counting};
    if (weir_job_start(counting->graph, &options, &counting->job, &error))
        die("counting", error.text);
    wait_at_rest(counting);
    return counting;
}

/* ----------------------------------------------------------------------------- a turn -- */

struct reading {
    int64_t wall_ns, task_ns, process_ns;
    uint64_t counted;
};

static struct reading read_now(const struct counting *counting)
{
    clockid_t clock;
    if (pthread_getcpuclockid(counting->thread, &clock) != 0)
        die("counting", "there is no clock of a thread's processor time here");
    return (struct reading){.wall_ns = now_ns(),
                            .task_ns = read_clock(clock),
                            .process_ns = read_clock(CLOCK_PROCESS_CPUTIME_ID),
                            .counted = atomic_load(&counting->counted)};
}

static void note_readings(struct reading from, struct reading to, struct counting_result *result)
{
    double records = (double)(to.counted - from.counted);
    result->per_second = records * 1e9 / (double)(to.wall_ns - from.wall_ns);
    result->task_ns = (double)(to.task_ns - from.task_ns) / records;
    result->process_ns = (double)(to.process_ns - from.process_ns) / records;
}

static void ask_checkpoint(struct counting *counting)
{
    struct weir_error error = {0};
    check_alive(counting);
    if (weir_job_checkpoint(counting->job, &error))
        die("counting", error.text);
}

/* Begins behind a checkpoint, so that the first interval is like the others. */
static void whole_checkpoint(struct counting *counting)
{
    uint64_t before = committed(counting);
    ask_checkpoint(counting);
    while (committed(counting) == before) {
        check_alive(counting);
        sleep_until(now_ns() + REST_NS);
    }
}

/* Sleeps, and asks for a checkpoint in the middle of each interval: so what each of them costs lies
 * within. */
static void pass_time(struct counting *counting, int64_t interval_ns, int64_t end_ns)
{
    int64_t due_ns = now_ns() + interval_ns / 2;
    for (; interval_ns > 0 && due_ns < end_ns; due_ns += interval_ns) {
        sleep_until(due_ns);
        ask_checkpoint(counting);
    }
    sleep_until(end_ns);
}

/* Whole intervals, one at least. */
static int64_t flood_span(const struct counting_turn *turn)
{
    int64_t span_ns = (int64_t)(turn->seconds * 1e9);
    if (turn->interval_ns == 0)
        return span_ns;
    int64_t intervals = (span_ns + turn->interval_ns / 2) / turn->interval_ns;
    return (intervals > 0 ? intervals : 1) * turn->interval_ns;
}

static void flood(struct counting *counting, const struct counting_turn *turn,
                  struct counting_result *result)
{
    atomic_store_explicit(&counting->turn, FLOOD, memory_order_release);
    sleep_until(now_ns() + RAMP_NS);
    if (turn->interval_ns > 0)
        whole_checkpoint(counting);
    set_result(counting, result);
    struct reading from = read_now(counting);
    pass_time(counting, turn->interval_ns, from.wall_ns + flood_span(turn));
    struct reading to = read_now(counting);
    atomic_store(&counting->turn, WAITING);
    note_readings(from, to, result);
}

static double lag_growth(const struct counting *counting)
{
    const struct lag *middle = &counting->lags[1], *last = &counting->lags[2];
    if (middle->count == 0 || last->count == 0)
        return 0;
    double before_ns = middle->sum_ns / (double)middle->count;
    double lag_ns = last->sum_ns / (double)last->count;
    return lag_ns < LAG_NS ? 0 : (lag_ns - before_ns) / (double)counting->third_ns;
}

static void paced(struct counting *counting, const struct counting_turn *turn,
                  struct counting_result *result)
{
    double seconds = turn->warm_seconds + turn->seconds;
    counting->pacing =
        (struct pacing){.start_ns = now_ns() + 1000000, .per_second = turn->per_second};
    counting->last = (uint64_t)(seconds * (double)turn->per_second) + 1;
    counting->measured_from = counting->pacing.start_ns + (int64_t)(turn->warm_seconds * 1e9);
    counting->third_ns = (int64_t)(turn->seconds * 1e9 / THIRDS) + 1;
    counting->latency_ns = &result->latency_ns;
    memset(counting->lags, 0, sizeof counting->lags);
    set_result(counting, result);
    struct reading from = read_now(counting);
    atomic_store_explicit(&counting->turn, PACED, memory_order_release);
    pass_time(counting, turn->interval_ns, counting->pacing.start_ns + (int64_t)(seconds * 1e9));
    note_readings(from, read_now(counting), result);
    wait_at_rest(counting);
    result->lag_growth = lag_growth(counting);
}

void counting_turn(struct counting *counting, const struct counting_turn *turn,
                   struct counting_result *result)
{
    if (turn->per_second == 0)
        flood(counting, turn, result);
    else
        paced(counting, turn, result);
    wait_at_rest(counting);
    set_result(counting, NULL);
}

void counting_end(struct counting **counting)
{
    struct counting *gone = *counting;
    enum weir_outcome outcome = WEIR_OUTCOME_FAILED;
    struct weir_error error = {0};
    if (!gone)
        return;
    atomic_store(&gone->turn, ENDING);
    if (weir_job_wait(gone->job, -1, &outcome, &error) || outcome != WEIR_OUTCOME_ENDED)
        die("counting", error.text);
    if (gone->sum != atomic_load(&gone->emitted))
        die("counting", "weir has miscounted");
    weir_job_close(&gone->job);
    weir_graph_free(&gone->graph);
    pthread_mutex_destroy(&gone->lock);
    free(gone);
    *counting = NULL;
}
