/* SPDX-License-Identifier: Apache-2.0 */
#include "flow.h"

#include <errno.h>
#include <time.h>

static void until(pthread_mutex_t *lock, pthread_cond_t *changed, const struct timespec *deadline,
                  const char *what)
{
    int status = pthread_cond_timedwait(changed, lock, deadline);
    if (status == ETIMEDOUT) {
        pthread_mutex_unlock(lock);
        cr_assert(false, "%s did not happen in time", what);
    }
}

static struct timespec deadline_from_now(void)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += FLOW_DEADLINE / FLOW_SECOND;
    return deadline;
}

/* ------------------------------------------------------------------------------ watch -- */

void watch_init(struct watch *watch)
{
    memset(watch, 0, sizeof *watch);
    pthread_mutex_init(&watch->lock, NULL);
    pthread_cond_init(&watch->changed, NULL);
}

void watch_free(struct watch *watch)
{
    cr_expect_not(watch->overlapped, "hooks were called at once");
    pthread_mutex_destroy(&watch->lock);
    pthread_cond_destroy(&watch->changed);
}

static void enter(struct watch *watch)
{
    if (atomic_fetch_add(&watch->inside, 1) > 0)
        atomic_store(&watch->overlapped, true);
    pthread_mutex_lock(&watch->lock);
}

static void leave(struct watch *watch)
{
    pthread_cond_broadcast(&watch->changed);
    pthread_mutex_unlock(&watch->lock);
    atomic_fetch_sub(&watch->inside, 1);
}

void watch_event(void *self, const struct weir_event *event)
{
    struct watch *watch = self;
    enter(watch);
    switch (event->kind) {
    case WEIR_EVENT_STARTED:
        watch->restored_from = event->id;
        watch->started++;
        break;
    case WEIR_EVENT_COMMITTED:
        watch->newest = event->id;
        watch->committed++;
        break;
    case WEIR_EVENT_ABORTED:
        snprintf(watch->last_abort, sizeof watch->last_abort, "%s", event->text);
        watch->aborted++;
        break;
    case WEIR_EVENT_SAVED:
        watch->saved++;
        break;
    case WEIR_EVENT_UNSAVED:
        snprintf(watch->last_unsaved, sizeof watch->last_unsaved, "%s", event->text);
        watch->unsaved++;
        break;
    case WEIR_EVENT_HUNG:
    case WEIR_EVENT_RETURNED:
        break;
    case WEIR_EVENT_ENDED:
        snprintf(watch->end_text, sizeof watch->end_text, "%s", event->text);
        watch->ended++;
        break;
    }
    leave(watch);
}

void watch_log(void *self, enum weir_level level, const char *text)
{
    struct watch *watch = self;
    (void)level;
    enter(watch);
    watch->logs++;
    snprintf(watch->last_log, sizeof watch->last_log, "%s", text);
    leave(watch);
}

void watch_until(struct watch *watch, const unsigned *counter, unsigned least)
{
    struct timespec deadline = deadline_from_now();
    pthread_mutex_lock(&watch->lock);
    while (*counter < least)
        until(&watch->lock, &watch->changed, &deadline, "an event");
    pthread_mutex_unlock(&watch->lock);
}

bool watch_has_committed(struct watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    bool committed = watch->committed > 0;
    pthread_mutex_unlock(&watch->lock);
    return committed;
}

/* ----------------------------------------------------------------------------- ledger -- */

struct ledger_part {
    uint64_t *numbers;
    uint32_t count;
    bool published;
};

void ledger_init(struct ledger *ledger, uint64_t limit)
{
    memset(ledger, 0, sizeof *ledger);
    pthread_mutex_init(&ledger->lock, NULL);
    pthread_cond_init(&ledger->changed, NULL);
    ledger->limit = limit;
    ledger->counts = calloc(limit ? limit : 1, sizeof *ledger->counts);
}

void ledger_free(struct ledger *ledger)
{
    for (uint32_t i = 0; i < ledger->part_count; i++)
        free(ledger->parts[i].numbers);
    free(ledger->parts);
    free(ledger->counts);
    pthread_mutex_destroy(&ledger->lock);
    pthread_cond_destroy(&ledger->changed);
}

struct staging {
    struct ledger *ledger;
    uint64_t *numbers;
    uint32_t count, room;
};

static enum weir_result staging_open(void *self, struct weir_context *context, const void *config)
{
    (void)context;
    /* The config is a pointer to the ledger that the sink writes to. */
    memcpy(&((struct staging *)self)->ledger, config, sizeof(struct ledger *));
    return WEIR_OK;
}

static enum weir_result staging_process(void *self, struct weir_context *context, unsigned input,
                                        const struct weir_record *record)
{
    struct staging *staging = self;
    (void)input;
    (void)context;
    if (staging->count == staging->room) {
        staging->room = staging->room ? staging->room * 2 : 256;
        staging->numbers = realloc(staging->numbers, staging->room * sizeof *staging->numbers);
    }
    staging->numbers[staging->count++] = flow_number(record);
    if (atomic_fetch_add(&staging->ledger->taken, 1) + 1 ==
        atomic_load(&staging->ledger->awaited)) {
        pthread_mutex_lock(&staging->ledger->lock);
        pthread_cond_broadcast(&staging->ledger->changed);
        pthread_mutex_unlock(&staging->ledger->lock);
    }
    return WEIR_OK;
}

static enum weir_result staging_prepare(void *self, struct weir_context *context, uint64_t id)
{
    struct staging *staging = self;
    struct ledger *ledger = staging->ledger;
    (void)id;
    if (!staging->count)
        return WEIR_OK;
    pthread_mutex_lock(&ledger->lock);
    uint32_t handle = ledger->part_count++;
    ledger->parts = realloc(ledger->parts, ledger->part_count * sizeof *ledger->parts);
    ledger->parts[handle] =
        (struct ledger_part){.numbers = staging->numbers, .count = staging->count};
    pthread_mutex_unlock(&ledger->lock);
    staging->numbers = NULL;
    staging->count = staging->room = 0;
    return weir_handle(context, (struct weir_bytes){&handle, sizeof handle});
}

static void publish(struct ledger *ledger, struct ledger_part *part)
{
    for (uint32_t i = 0; !part->published && i < part->count; i++) {
        uint64_t number = part->numbers[i];
        ledger->published++;
        ledger->sum += number;
        if (number < ledger->limit)
            ledger->counts[number]++;
        else
            ledger->wrong++;
    }
    ledger->published_parts += !part->published;
    part->published = true;
}

static enum weir_result staging_commit(void *self, struct weir_context *context,
                                       struct weir_bytes bytes)
{
    struct ledger *ledger = ((struct staging *)self)->ledger;
    uint32_t handle;
    if (bytes.size != sizeof handle)
        return weir_fail(context, WEIR_DAMAGED, "a handle of %zu bytes", bytes.size);
    memcpy(&handle, bytes.data, sizeof handle);
    pthread_mutex_lock(&ledger->lock);
    bool known = handle < ledger->part_count;
    if (known)
        publish(ledger, &ledger->parts[handle]);
    pthread_cond_broadcast(&ledger->changed);
    pthread_mutex_unlock(&ledger->lock);
    return known || ledger->forgets ? WEIR_OK
                                    : weir_fail(context, WEIR_DAMAGED, "no part %u", handle);
}

static void staging_close(void *self, struct weir_context *context)
{
    (void)context;
    free(((struct staging *)self)->numbers);
}

static const struct weir_operator staging_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "ledger_sink",
    .self_size = sizeof(struct staging),
    .open = staging_open,
    .process = staging_process,
    .prepare = staging_prepare,
    .commit = staging_commit,
    .close = staging_close,
};

void ledger_until_published(struct ledger *ledger, uint64_t least)
{
    struct timespec deadline = deadline_from_now();
    pthread_mutex_lock(&ledger->lock);
    while (ledger->published < least)
        until(&ledger->lock, &ledger->changed, &deadline, "what a sink publishes");
    pthread_mutex_unlock(&ledger->lock);
}

weir_node ledger_sink(struct weir_graph *graph, const char *name, struct ledger *ledger,
                      uint32_t parallelism)
{
    struct weir_node_options options = {
        WEIR_SIZED(struct weir_node_options),
        .name = name,
        .table = &staging_table,
        .config = weir_graph_keep(graph, &ledger, sizeof ledger),
        .parallelism = parallelism,
    };
    return weir_graph_add(graph, &options);
}

void ledger_is(const struct ledger *ledger, uint64_t count, uint32_t times)
{
    cr_assert_eq(ledger->wrong, 0, "%llu records that nobody sent",
                 (unsigned long long)ledger->wrong);
    for (uint64_t i = 0; i < ledger->limit; i++)
        cr_assert_eq(ledger->counts[i], i < count ? times : 0, "number %llu: %u times",
                     (unsigned long long)i, ledger->counts[i]);
}

/* ------------------------------------------------------------------------------- jobs -- */

void flow_init(struct flow *flow)
{
    memset(flow, 0, sizeof *flow);
    flow->graph = weir_graph_new(NULL);
    watch_init(&flow->watch);
    flow->options = (struct weir_job_options){
        WEIR_SIZED(struct weir_job_options), .log = watch_log,
        .log_context = &flow->watch,         .event = watch_event,
        .event_context = &flow->watch,
    };
}

void flow_free(struct flow *flow)
{
    flow_close(flow);
    weir_graph_free(&flow->graph);
    watch_free(&flow->watch);
}

weir_node flow_numbers(struct flow *flow, const char *name, uint64_t count, uint64_t keys,
                       uint32_t parallelism)
{
    struct weir_sequence_source_options options = {WEIR_SIZED(struct weir_sequence_source_options),
                                                   .count = count, .keys = keys,
                                                   .parallelism = parallelism};
    return weir_sequence_source(flow->graph, name, &options);
}

weir_node flow_times(struct flow *flow, const char *name, uint64_t count, uint64_t rate,
                     int64_t step)
{
    struct weir_sequence_source_options options = {WEIR_SIZED(struct weir_sequence_source_options),
                                                   .count = count, .rate = rate, .time_step = step};
    return weir_sequence_source(flow->graph, name, &options);
}

weir_node flow_add(struct flow *flow, const char *name, const struct weir_operator *table,
                   const void *config, uint32_t parallelism)
{
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options), .name = name,
                                        .table = table, .config = config,
                                        .parallelism = parallelism};
    return weir_graph_add(flow->graph, &options);
}

void flow_start(struct flow *flow)
{
    enum weir_result result = weir_job_start(flow->graph, &flow->options, &flow->job, &flow->error);
    cr_assert_eq(result, WEIR_OK, "%s: %s", weir_result_name(result), flow->error.text);
}

enum weir_outcome flow_wait(struct flow *flow)
{
    enum weir_outcome outcome = WEIR_OUTCOME_RUNNING;
    enum weir_result result = weir_job_wait(flow->job, FLOW_DEADLINE, &outcome, &flow->error);
    cr_assert_eq(result, WEIR_OK, "%s: %s", weir_result_name(result), flow->error.text);
    return outcome;
}

void flow_ends(struct flow *flow, enum weir_outcome outcome)
{
    enum weir_outcome got = flow_wait(flow);
    cr_assert_eq(got, outcome, "outcome %d, not %d: %s", (int)got, (int)outcome, flow->error.text);
}

bool flow_until_taken(struct flow *flow, struct ledger *ledger, uint64_t least)
{
    enum weir_outcome outcome = WEIR_OUTCOME_RUNNING;
    struct timespec deadline = deadline_from_now(), now = {0}, look;
    pthread_mutex_lock(&ledger->lock);
    atomic_store(&ledger->awaited, least);
    while (atomic_load(&ledger->taken) < least && outcome == WEIR_OUTCOME_RUNNING &&
           now.tv_sec < deadline.tv_sec) {
        /* Wakes up now and then: the job may be over. */
        clock_gettime(CLOCK_REALTIME, &look);
        look.tv_nsec += 50000000;
        look.tv_sec += look.tv_nsec / FLOW_SECOND;
        look.tv_nsec %= FLOW_SECOND;
        pthread_cond_timedwait(&ledger->changed, &ledger->lock, &look);
        if (weir_job_wait(flow->job, 0, &outcome, &flow->error) != WEIR_OK)
            clock_gettime(CLOCK_REALTIME, &now);
    }
    pthread_mutex_unlock(&ledger->lock);
    bool enough = atomic_load(&ledger->taken) >= least;
    cr_assert(outcome != WEIR_OUTCOME_FAILED, "the job failed: %s", flow->error.text);
    cr_assert(enough || outcome != WEIR_OUTCOME_RUNNING, "that many records did not come in time");
    return enough;
}

void flow_stop(struct flow *flow, enum weir_stop mode)
{
    cr_assert_eq(weir_job_stop(flow->job, mode, &flow->error), WEIR_OK, "%s", flow->error.text);
}

void flow_close(struct flow *flow)
{
    weir_job_close(&flow->job);
    cr_assert_null(flow->job);
}

void flow_finish(struct flow *flow)
{
    flow_start(flow);
    enum weir_outcome outcome = flow_wait(flow);
    cr_assert(outcome == WEIR_OUTCOME_ENDED || outcome == WEIR_OUTCOME_ALREADY_ENDED, "%s",
              flow->error.text);
    flow_close(flow);
}

void flow_run(struct flow *flow, enum weir_outcome outcome)
{
    flow_start(flow);
    flow_ends(flow, outcome);
    flow_close(flow);
}

enum weir_result flow_pass(struct weir_context *context, unsigned input,
                           const struct weir_record *record, const void *config)
{
    (void)input;
    (void)config;
    return weir_emit(context, 0, record);
}

uint64_t flow_seed(void)
{
    const char *given = getenv("WEIR_TEST_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed =
        given ? strtoull(given, NULL, 0) : (uint64_t)now.tv_nsec ^ ((uint64_t)getpid() << 32);
    fprintf(stderr, "WEIR_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

uint64_t flow_draw(uint64_t *seed)
{
    uint64_t z = (*seed += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
