/* SPDX-License-Identifier: Apache-2.0 */
#include "valve.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "weir_checkpoint.h"

static struct timespec deadline_from_now(void)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += FLOW_DEADLINE / FLOW_SECOND;
    return deadline;
}

static void until(pthread_mutex_t *lock, pthread_cond_t *changed, const uint64_t *count,
                  uint64_t least, const char *what)
{
    struct timespec deadline = deadline_from_now();
    int status = 0;
    pthread_mutex_lock(lock);
    while (*count < least && status != ETIMEDOUT)
        status = pthread_cond_timedwait(changed, lock, &deadline);
    uint64_t got = *count;
    pthread_mutex_unlock(lock);
    cr_assert_geq(got, least, "%s: %llu of %llu came in time", what, (unsigned long long)got,
                  (unsigned long long)least);
}

/* -------------------------------------------------------------------------- callbacks -- */

enum weir_result pass_on(void *self, struct weir_context *context, unsigned input,
                         const struct weir_record *record)
{
    (void)self;
    (void)input;
    return weir_emit(context, 0, record);
}

enum weir_result load_nothing(void *self, struct weir_context *context, struct weir_loader *loader,
                              uint32_t version)
{
    (void)self;
    (void)context;
    (void)loader;
    (void)version;
    return WEIR_OK;
}

enum weir_result save_position(void *self, struct weir_context *context, struct weir_saver *saver)
{
    (void)context;
    weir_save(saver, WEIR_ITEM_SPLIT, (struct weir_bytes){self, 8});
    return WEIR_OK;
}

enum weir_result load_position(void *self, struct weir_context *context, struct weir_loader *loader,
                               uint32_t version)
{
    enum weir_item kind;
    struct weir_bytes item;
    (void)context;
    (void)version;
    if (weir_load_next(loader, &kind, &item))
        memcpy(self, item.data, 8);
    return WEIR_OK;
}

/* ------------------------------------------------------------------------------ tally -- */

void tally_init(struct tally *tally)
{
    *tally = (struct tally){.count = 0};
    pthread_mutex_init(&tally->lock, NULL);
    pthread_cond_init(&tally->changed, NULL);
}

void tally_free(struct tally *tally)
{
    pthread_mutex_destroy(&tally->lock);
    pthread_cond_destroy(&tally->changed);
}

void tally_add(struct tally *tally, uint64_t more)
{
    pthread_mutex_lock(&tally->lock);
    tally->count += more;
    pthread_cond_broadcast(&tally->changed);
    pthread_mutex_unlock(&tally->lock);
}

uint64_t tally_read(struct tally *tally)
{
    pthread_mutex_lock(&tally->lock);
    uint64_t count = tally->count;
    pthread_mutex_unlock(&tally->lock);
    return count;
}

void tally_until(struct tally *tally, uint64_t least)
{
    until(&tally->lock, &tally->changed, &tally->count, least, "a tally");
}

/* Configs are pointers to what the test owns. */
static void *pointed_to(const void *config)
{
    void *owned;
    memcpy(&owned, config, sizeof owned);
    return owned;
}

static enum weir_result count_and_pass(struct weir_context *context, unsigned input,
                                       const struct weir_record *record, const void *config)
{
    (void)input;
    tally_add(pointed_to(config), 1);
    return weir_emit(context, 0, record);
}

weir_node tally_node(struct weir_graph *graph, const char *name, struct tally *tally,
                     uint32_t parallelism)
{
    struct weir_node_options options = {
        WEIR_SIZED(struct weir_node_options),
        .name = name,
        .function = count_and_pass,
        .config = weir_graph_keep(graph, &tally, sizeof tally),
        .parallelism = parallelism,
    };
    return weir_graph_add(graph, &options);
}

/* ------------------------------------------------------------------------------ valve -- */

void valve_init(struct valve *valve)
{
    memset(valve, 0, sizeof *valve);
    for (uint32_t i = 0; i < VALVES; i++)
        valve->fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    tally_init(&valve->passed);
}

void valve_free(struct valve *valve)
{
    for (uint32_t i = 0; i < VALVES; i++)
        close(valve->fds[i]);
    tally_free(&valve->passed);
}

void valve_allow(struct valve *valve, uint32_t subtask, int64_t records)
{
    uint64_t one = 1;
    atomic_fetch_add(&valve->permits[subtask], records);
    cr_assert_eq(write(valve->fds[subtask], &one, sizeof one), (ssize_t)sizeof one);
}

void valve_open(struct valve *valve)
{
    for (uint32_t i = 0; i < VALVES; i++)
        valve_allow(valve, i, INT32_MAX);
}

void valve_shut(struct valve *valve)
{
    for (uint32_t i = 0; i < VALVES; i++)
        atomic_store(&valve->permits[i], 0);
}

struct valve_self {
    struct valve *valve;
    uint32_t subtask;
};

static void look(struct valve_self *self, struct weir_context *context)
{
    bool held = atomic_load(&self->valve->permits[self->subtask]) <= 0;
    weir_hold(context, held);
    if (held)
        weir_wake(context, INT64_MAX, self->valve->fds[self->subtask]);
}

static enum weir_result valve_begin(void *self, struct weir_context *context, const void *config)
{
    struct valve_self *mine = self;
    *mine = (struct valve_self){pointed_to(config), weir_subtask(context)};
    look(mine, context);
    return WEIR_OK;
}

static enum weir_result valve_take(void *self, struct weir_context *context, unsigned input,
                                   const struct weir_record *record)
{
    struct valve_self *mine = self;
    (void)input;
    atomic_fetch_sub(&mine->valve->permits[mine->subtask], 1);
    look(mine, context);
    tally_add(&mine->valve->passed, 1);
    return weir_emit(context, 0, record);
}

static enum weir_result valve_wake(void *self, struct weir_context *context)
{
    struct valve_self *mine = self;
    uint64_t count;
    (void)!read(mine->valve->fds[mine->subtask], &count, sizeof count);
    look(mine, context);
    return WEIR_OK;
}

static const struct weir_operator valve_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "valve",
    .self_size = sizeof(struct valve_self),
    .open = valve_begin,
    .process = valve_take,
    .wake = valve_wake,
};

weir_node valve_node(struct weir_graph *graph, const char *name, struct valve *valve,
                     uint32_t parallelism)
{
    struct weir_node_options options = {
        WEIR_SIZED(struct weir_node_options),
        .name = name,
        .table = &valve_table,
        .config = weir_graph_keep(graph, &valve, sizeof valve),
        .parallelism = parallelism,
    };
    return weir_graph_add(graph, &options);
}

/* --------------------------------------------------------------------------- turnstile -- */

void turnstile_init(struct turnstile *turnstile)
{
    *turnstile = (struct turnstile){.permits = 0};
    pthread_mutex_init(&turnstile->lock, NULL);
    pthread_cond_init(&turnstile->changed, NULL);
}

void turnstile_free(struct turnstile *turnstile)
{
    pthread_mutex_destroy(&turnstile->lock);
    pthread_cond_destroy(&turnstile->changed);
}

void turnstile_allow(struct turnstile *turnstile, uint64_t records)
{
    pthread_mutex_lock(&turnstile->lock);
    turnstile->permits += records;
    pthread_cond_broadcast(&turnstile->changed);
    pthread_mutex_unlock(&turnstile->lock);
}

void turnstile_until(struct turnstile *turnstile, uint64_t entered)
{
    until(&turnstile->lock, &turnstile->changed, &turnstile->entered, entered, "a turnstile");
}

static enum weir_result turnstile_open(void *self, struct weir_context *context, const void *config)
{
    struct turnstile *turnstile = pointed_to(config);
    (void)context;
    memcpy(self, config, sizeof turnstile);
    pthread_mutex_lock(&turnstile->lock);
    turnstile->entered = turnstile->passed = 0;
    pthread_mutex_unlock(&turnstile->lock);
    return WEIR_OK;
}

static enum weir_result turnstile_take(void *self, struct weir_context *context, unsigned input,
                                       const struct weir_record *record)
{
    struct turnstile *turnstile = pointed_to(self);
    (void)input;
    pthread_mutex_lock(&turnstile->lock);
    turnstile->entered++;
    pthread_cond_broadcast(&turnstile->changed);
    while (!turnstile->permits)
        pthread_cond_wait(&turnstile->changed, &turnstile->lock);
    turnstile->permits--;
    turnstile->passed++;
    pthread_mutex_unlock(&turnstile->lock);
    return weir_emit(context, 0, record);
}

static enum weir_result turnstile_save(void *self, struct weir_context *context,
                                       struct weir_saver *saver)
{
    struct turnstile *turnstile = pointed_to(self);
    (void)context;
    (void)saver;
    pthread_mutex_lock(&turnstile->lock);
    turnstile->at_save = turnstile->passed;
    pthread_mutex_unlock(&turnstile->lock);
    return WEIR_OK;
}

static const struct weir_operator turnstile_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "turnstile",
    .self_size = sizeof(struct turnstile *),
    .open = turnstile_open,
    .process = turnstile_take,
    .save = turnstile_save,
    .load = load_nothing,
};

weir_node turnstile_node(struct weir_graph *graph, const char *name, struct turnstile *turnstile)
{
    struct weir_node_options options = {
        WEIR_SIZED(struct weir_node_options),
        .name = name,
        .table = &turnstile_table,
        .config = weir_graph_keep(graph, &turnstile, sizeof turnstile),
        .parallelism = 1,
    };
    return weir_graph_add(graph, &options);
}

/* ------------------------------------------------------------------------------ order -- */

static enum weir_result check_order(struct weir_context *context, unsigned input,
                                    const struct weir_record *record, const void *config)
{
    uint64_t *cell = weir_cell(context, 0, &record->key), number = flow_number(record);
    (void)input;
    (void)config;
    if (!cell)
        return WEIR_FAILED;
    if (number < *cell)
        return weir_fail(context, WEIR_FAILED, "number %llu came after %llu",
                         (unsigned long long)number, (unsigned long long)*cell - 1);
    *cell = number + 1;
    return weir_emit(context, 0, record);
}

weir_node order_node(struct weir_graph *graph, const char *name, uint32_t parallelism)
{
    static const struct weir_state state = {WEIR_SIZED(struct weir_state), .name = "next",
                                            .value_size = 8};
    struct weir_node_options options = {
        WEIR_SIZED(struct weir_node_options), .name = name,     .function = check_order,
        .parallelism = parallelism,           .states = &state, .state_count = 1,
    };
    return weir_graph_add(graph, &options);
}

/* ------------------------------------------------------------------------------ notes -- */

static void note_event(void *self, const struct weir_event *event)
{
    struct notes *notes = self;
    pthread_mutex_lock(&notes->lock);
    if (event->kind == WEIR_EVENT_COMMITTED) {
        notes->channel_bytes = event->channel_bytes;
        notes->outlet_bytes = event->outlet_bytes;
        notes->overtook = event->overtook;
        notes->with_content += event->channel_bytes + event->outlet_bytes > 0;
        snprintf(notes->last, sizeof notes->last, "%s", event->last);
    } else if (event->kind == WEIR_EVENT_ABORTED) {
        snprintf(notes->reason, sizeof notes->reason, "%s", event->text);
    }
    pthread_mutex_unlock(&notes->lock);
    watch_event(&notes->flow->watch, event);
    bool round = event->kind == WEIR_EVENT_COMMITTED || event->kind == WEIR_EVENT_ABORTED;
    tally_add(&notes->events, event->kind == WEIR_EVENT_ENDED ? NOTES_ENDED : round);
}

static void note_log(void *self, enum weir_level level, const char *text)
{
    struct notes *notes = self;
    pthread_mutex_lock(&notes->lock);
    if (level == WEIR_LOG_WARNING)
        snprintf(notes->warning, sizeof notes->warning, "%s", text);
    pthread_mutex_unlock(&notes->lock);
    watch_log(&notes->flow->watch, level, text);
}

void notes_take(struct notes *notes, struct flow *flow)
{
    *notes = (struct notes){.flow = flow};
    pthread_mutex_init(&notes->lock, NULL);
    tally_init(&notes->events);
    flow->options.event = note_event;
    flow->options.event_context = notes;
    flow->options.log = note_log;
    flow->options.log_context = notes;
}

void notes_free(struct notes *notes)
{
    pthread_mutex_destroy(&notes->lock);
    tally_free(&notes->events);
}

/* -------------------------------------------------------------------------------- jobs -- */

void flow_checkpoint(struct flow *flow)
{
    pthread_mutex_lock(&flow->watch.lock);
    unsigned committed = flow->watch.committed;
    pthread_mutex_unlock(&flow->watch.lock);
    cr_assert_eq(weir_job_checkpoint(flow->job, &flow->error), WEIR_OK, "%s", flow->error.text);
    watch_until(&flow->watch, &flow->watch.committed, committed + 1);
}

void flow_kill(struct flow *flow)
{
    flow_stop(flow, WEIR_STOP_NOW);
    (void)flow_wait(flow);
    flow_close(flow);
}

void store_is_sound(const char *path)
{
    struct weir_store *store = NULL;
    struct weir_error error = {0};
    cr_assert_eq(weir_store_open(path, NULL, &store, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(weir_store_verify_all(store, NULL, NULL, &error), WEIR_OK, "%s", error.text);
    weir_store_close(&store);
}
