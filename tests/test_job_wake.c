/* links: flow */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators that wait for something else than their input: woken at a deadline or by a descriptor,
 * taking no input meanwhile; what their rounds do then; and what is refused.
 */
#include "flow.h"

#include <poll.h>
#include <sys/eventfd.h>

static struct scratch scratch;
static void scratch_open(void)
{
    scratch = scratch_make();
}
static void scratch_close(void)
{
    scratch_free(&scratch);
}
TestSuite(job_wake, .init = scratch_open, .fini = scratch_close);

#define SHORT_NS 50000 /* a wait that tests can have thousands of */

/* What the operators of one test saw. */
static struct {
    atomic_uint wakes, early, records, held_records, finishes, wakes_after_finish;
    atomic_uint aborted_while_held, commits_while_held, releases;
    int gate; /* an eventfd: the test's word to the operator */
} seen;

static struct weir_bytes bytes_of(const void *data, size_t size)
{
    return (struct weir_bytes){data, size};
}

/* source -> operator (chained to nothing before it) -> pass -> ledger */
static void wire(struct flow *flow, const struct weir_operator *table, struct ledger *ledger,
                 uint64_t count, enum weir_routing routing)
{
    weir_node source = flow_numbers(flow, "numbers", count, 0, 1);
    weir_node waiter = flow_add(flow, "waiter", table, NULL, 1);
    weir_node pass = weir_flat_map(flow->graph, "pass", flow_pass, NULL);
    weir_node sink = ledger_sink(flow->graph, "sink", ledger, 1);
    weir_connect(flow->graph, source, waiter, routing);
    weir_connect(flow->graph, waiter, pass, WEIR_FORWARD);
    weir_connect(flow->graph, pass, sink, WEIR_FORWARD);
}

/* ------------------------------------------------------------------ held until a deadline -- */

/* Keeps each record for a while and takes no other meanwhile. */
struct pacer {
    bool kept;
    uint64_t number;
    int64_t due_ns;
};

static void pacer_wish(struct pacer *pacer, struct weir_context *context)
{
    pacer->due_ns = weir_now(context) + SHORT_NS;
    weir_hold(context, true);
    weir_wake(context, pacer->due_ns, -1);
}

static enum weir_result pacer_process(void *self, struct weir_context *context, unsigned input,
                                      const struct weir_record *record)
{
    struct pacer *pacer = self;
    (void)input;
    atomic_fetch_add(&seen.held_records, pacer->kept);
    atomic_fetch_add(&seen.records, 1);
    pacer->kept = true;
    pacer->number = flow_number(record);
    pacer_wish(pacer, context);
    return WEIR_OK;
}

static size_t pacer_process_many(void *self, struct weir_context *context, unsigned input,
                                 const struct weir_record *records, size_t count)
{
    (void)count;
    pacer_process(self, context, input, records);
    return 1; /* held: it should return */
}

static enum weir_result pacer_wake(void *self, struct weir_context *context)
{
    struct pacer *pacer = self;
    atomic_fetch_add(&seen.wakes, 1);
    atomic_fetch_add(&seen.wakes_after_finish, atomic_load(&seen.finishes));
    if (!pacer->kept)
        return WEIR_OK;
    if (weir_now(context) < pacer->due_ns) {
        atomic_fetch_add(&seen.early, 1);
        weir_wake(context, pacer->due_ns, -1);
        return WEIR_OK;
    }
    pacer->kept = false;
    weir_hold(context, false);
    return weir_emit(context, 0, &(struct weir_record){.value = bytes_of(&pacer->number, 8)});
}

static enum weir_progress pacer_finish(void *self, struct weir_context *context)
{
    struct pacer *pacer = self;
    (void)context;
    atomic_fetch_add(&seen.finishes, 1);
    cr_expect_not(pacer->kept, "the end of input waits behind a hold");
    return WEIR_END;
}

static enum weir_result pacer_save(void *self, struct weir_context *context,
                                   struct weir_saver *saver)
{
    const struct pacer *pacer = self;
    (void)context;
    if (pacer->kept)
        weir_save(saver, WEIR_ITEM_SPLIT, bytes_of(&pacer->number, 8));
    return WEIR_OK;
}

static enum weir_result pacer_load(void *self, struct weir_context *context,
                                   struct weir_loader *loader, uint32_t version)
{
    struct pacer *pacer = self;
    struct weir_bytes item;
    enum weir_item kind;
    (void)version;
    pacer->kept = weir_load_next(loader, &kind, &item);
    if (pacer->kept) {
        memcpy(&pacer->number, item.data, 8);
        pacer_wish(pacer, context); /* neither hold nor wish is kept over a restart */
    }
    return WEIR_OK;
}

static const struct weir_operator pacer_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "pacer",
    .self_size = sizeof(struct pacer),
    .process = pacer_process,
    .finish = pacer_finish,
    .save = pacer_save,
    .load = pacer_load,
    .wake = pacer_wake,
};

static void pace(const struct weir_operator *table, enum weir_routing routing, const char *store)
{
    const uint64_t count = 2000;
    struct flow flow;
    struct ledger ledger;
    flow_init(&flow);
    ledger_init(&ledger, count);
    memset(&seen, 0, sizeof seen);
    flow.options.store = store;
    flow.options.interval_ns = 2000000;
    wire(&flow, table, &ledger, count, routing);
    for (uint64_t more = 0; store && more < 4; more++) { /* a few lives */
        flow_start(&flow);
        flow_until_taken(&flow, &ledger, atomic_load(&ledger.taken) + 200);
        flow_stop(&flow, more % 2 ? WEIR_STOP_NOW : WEIR_STOP_SUSPEND);
        flow_wait(&flow);
        flow_close(&flow);
    }
    flow_finish(&flow);
    ledger_is(&ledger, count, 1);
    cr_expect_eq(seen.held_records, 0, "a held operator was given a record");
    cr_expect_geq(seen.wakes, count);
    cr_expect_eq(seen.wakes_after_finish, 0);
    flow_free(&flow);
    ledger_free(&ledger);
}

Test(job_wake, a_hold_ends_with_wake_and_nothing_is_lost_or_given_meanwhile)
{
    struct weir_operator many = pacer_table;
    many.process = NULL;
    many.process_many = pacer_process_many;
    pace(&pacer_table, WEIR_FORWARD, NULL);
    pace(&pacer_table, WEIR_SPREAD, NULL);
    pace(&many, WEIR_FORWARD, NULL);
}

Test(job_wake, holds_and_wishes_are_made_again_after_restarts_and_markers_flow)
{
    pace(&pacer_table, WEIR_FORWARD, scratch_join(scratch.path, "store"));
}

/* --------------------------------------------------------------------- a pool of threads -- */

/* Squares numbers on a thread of its own, some at a time: asks by a queue, hears by a descriptor.
 * What is asked and not yet answered is its state. */
#define POOL_ROOM 16
struct pool {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t asked;
    uint64_t tasks[POOL_ROOM], results[POOL_ROOM]; /* rings */
    uint64_t given, started, done, taken;
    bool quit;
    int ready;
};

static void *pool_thread(void *argument)
{
    struct pool *pool = argument;
    pthread_mutex_lock(&pool->lock);
    while (!pool->quit) {
        if (pool->started == pool->given) {
            pthread_cond_wait(&pool->asked, &pool->lock);
            continue;
        }
        uint64_t number = pool->tasks[pool->started++ % POOL_ROOM];
        pthread_mutex_unlock(&pool->lock);
        uint64_t one = 1;
        pthread_mutex_lock(&pool->lock);
        pool->results[pool->done++ % POOL_ROOM] = number;
        if (write(pool->ready, &one, sizeof one) != sizeof one)
            pool->quit = true;
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static enum weir_result pool_open(void *self, struct weir_context *context, const void *config)
{
    struct pool *pool = self;
    (void)config;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->asked, NULL);
    pool->ready = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    weir_wake(context, INT64_MAX, pool->ready);
    pthread_create(&pool->thread, NULL, pool_thread, pool);
    return WEIR_OK;
}

static void pool_ask(struct pool *pool, uint64_t number)
{
    pthread_mutex_lock(&pool->lock);
    cr_assert_lt(pool->given - pool->taken, POOL_ROOM, "given a record while it holds");
    pool->tasks[pool->given++ % POOL_ROOM] = number;
    pthread_cond_signal(&pool->asked);
    pthread_mutex_unlock(&pool->lock);
}

static enum weir_result pool_process(void *self, struct weir_context *context, unsigned input,
                                     const struct weir_record *record)
{
    struct pool *pool = self;
    (void)input;
    pool_ask(pool, flow_number(record));
    weir_hold(context, pool->given - pool->taken == POOL_ROOM);
    return WEIR_OK;
}

static void pool_take(struct pool *pool, struct weir_context *context)
{
    uint64_t count;
    if (read(pool->ready, &count, sizeof count) < 0)
        atomic_fetch_add(&seen.early, 1);
    pthread_mutex_lock(&pool->lock);
    while (pool->taken < pool->done) {
        uint64_t number = pool->results[pool->taken++ % POOL_ROOM];
        weir_emit(context, 0, &(struct weir_record){.value = bytes_of(&number, 8)});
    }
    pthread_mutex_unlock(&pool->lock);
}

static enum weir_result pool_wake(void *self, struct weir_context *context)
{
    struct pool *pool = self;
    atomic_fetch_add(&seen.wakes, 1);
    pool_take(pool, context);
    weir_hold(context, pool->given - pool->taken == POOL_ROOM);
    weir_wake(context, INT64_MAX, pool->ready);
    return WEIR_OK;
}

static enum weir_progress pool_finish(void *self, struct weir_context *context)
{
    struct pool *pool = self;
    pool_take(pool, context);
    return pool->taken == pool->given ? WEIR_END : weir_idle(context, INT64_MAX, pool->ready);
}

static enum weir_result pool_save(void *self, struct weir_context *context,
                                  struct weir_saver *saver)
{
    struct pool *pool = self;
    (void)context;
    pthread_mutex_lock(&pool->lock);
    for (uint64_t i = pool->taken; i < pool->given; i++) /* answers may lag, never lead */
        weir_save(
            saver, WEIR_ITEM_SPLIT,
            bytes_of(i < pool->done ? &pool->results[i % POOL_ROOM] : &pool->tasks[i % POOL_ROOM],
                     8));
    pthread_mutex_unlock(&pool->lock);
    return WEIR_OK;
}

static enum weir_result pool_load(void *self, struct weir_context *context,
                                  struct weir_loader *loader, uint32_t version)
{
    struct pool *pool = self;
    struct weir_bytes item;
    enum weir_item kind;
    (void)version;
    while (weir_load_next(loader, &kind, &item)) {
        uint64_t number;
        memcpy(&number, item.data, 8);
        pool_ask(pool, number);
    }
    weir_hold(context, pool->given == POOL_ROOM);
    return WEIR_OK;
}

static void pool_close(void *self, struct weir_context *context)
{
    struct pool *pool = self;
    (void)context;
    pthread_mutex_lock(&pool->lock);
    pool->quit = true;
    pthread_cond_signal(&pool->asked);
    pthread_mutex_unlock(&pool->lock);
    pthread_join(pool->thread, NULL);
    close(pool->ready);
}

static const struct weir_operator pool_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "pool",
    .self_size = sizeof(struct pool),
    .open = pool_open,
    .process = pool_process,
    .finish = pool_finish,
    .save = pool_save,
    .load = pool_load,
    .close = pool_close,
    .wake = pool_wake,
};

Test(job_wake, a_pool_of_threads_answers_by_a_descriptor_exactly_once)
{
    const uint64_t count = 60000;
    struct flow flow;
    struct ledger ledger;
    flow_init(&flow);
    ledger_init(&ledger, count);
    memset(&seen, 0, sizeof seen);
    flow.options.store = scratch_join(scratch.path, "store");
    flow.options.interval_ns = 1000000;
    wire(&flow, &pool_table, &ledger, count, WEIR_FORWARD);
    for (int i = 0; i < 6; i++) {
        flow_start(&flow);
        flow_until_taken(&flow, &ledger, atomic_load(&ledger.taken) + 4000);
        flow_stop(&flow, i % 2 ? WEIR_STOP_SUSPEND : WEIR_STOP_NOW);
        flow_wait(&flow);
        flow_close(&flow);
    }
    flow_finish(&flow);
    ledger_is(&ledger, count, 1);
    flow_free(&flow);
    ledger_free(&ledger);
}

/* ------------------------------------------------------------------------------ while busy -- */

static enum weir_progress flood_poll(void *self, struct weir_context *context)
{
    uint64_t *number = self;
    if (atomic_load(&seen.releases))
        return WEIR_END;
    for (int i = 0; i < 64; i++, ++*number)
        weir_emit(context, 0, &(struct weir_record){.value = bytes_of(number, 8)});
    return WEIR_MORE;
}

static const struct weir_operator flood_table = {WEIR_SIZED(struct weir_operator), .kind = "flood",
                                                 .self_size = 8, .poll = flood_poll};

static enum weir_result busy_open(void *self, struct weir_context *context, const void *config)
{
    memcpy(self, config, sizeof(bool));
    weir_wake(context, *(bool *)self ? INT64_MAX : 0, *(bool *)self ? seen.gate : -1);
    return WEIR_OK;
}

static enum weir_result busy_process(void *self, struct weir_context *context, unsigned input,
                                     const struct weir_record *record)
{
    (void)self;
    (void)context;
    (void)input;
    (void)record;
    atomic_fetch_add(&seen.records, 1);
    return WEIR_OK;
}

static enum weir_result busy_wake(void *self, struct weir_context *context)
{
    if (atomic_fetch_add(&seen.wakes, 1) >= 100 && atomic_load(&seen.records) > 10000)
        atomic_store(&seen.releases, 1);
    return busy_open(self, context, self);
}

static const struct weir_operator busy_table = {
    WEIR_SIZED(struct weir_operator), .kind = "busy",
    .self_size = sizeof(bool),        .open = busy_open,
    .process = busy_process,          .wake = busy_wake,
};

/* The flood ends when both, wake and process, were called often enough: if one of them starved, the
 * test would never end. A wish for "at once" may not starve the input. */
static void flood(bool by_descriptor)
{
    struct flow flow;
    flow_init(&flow);
    memset(&seen, 0, sizeof seen);
    seen.gate = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
    weir_node source = flow_add(&flow, "flood", &flood_table, NULL, 1);
    weir_node busy = flow_add(&flow, "busy", &busy_table, &by_descriptor, 1);
    weir_connect(flow.graph, source, busy, WEIR_FORWARD);
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    close(seen.gate);
    flow_free(&flow);
}

Test(job_wake, a_task_that_never_rests_calls_wake_too)
{
    flood(false);
    flood(true);
}

/* ------------------------------------------------------------------------ rounds and holds -- */

/* Holds at its 100th record until the test opens the gate. */
static enum weir_result shut_process(void *self, struct weir_context *context, unsigned input,
                                     const struct weir_record *record)
{
    (void)self;
    (void)input;
    if (atomic_fetch_add(&seen.records, 1) == 100) {
        weir_hold(context, true);
        weir_wake(context, INT64_MAX, seen.gate);
    }
    return weir_emit(context, 0, record);
}

static enum weir_result shut_wake(void *self, struct weir_context *context)
{
    struct pollfd gate = {.fd = seen.gate, .events = POLLIN};
    (void)self;
    weir_wake(context, INT64_MAX, seen.gate);
    if (atomic_load(&seen.records) > 100 && poll(&gate, 1, 0) == 1) {
        weir_hold(context, false);
        atomic_store(&seen.releases, 1);
    }
    return WEIR_OK;
}

static void shut_aborted(void *self, struct weir_context *context, uint64_t id)
{
    uint64_t one = 1;
    (void)self;
    (void)context;
    (void)id;
    if (atomic_fetch_add(&seen.aborted_while_held, !atomic_load(&seen.releases)) == 2)
        cr_expect_eq(write(seen.gate, &one, sizeof one), sizeof one);
}

static const struct weir_operator shut_table = {
    WEIR_SIZED(struct weir_operator), .kind = "shut",          .self_size = 1,
    .process = shut_process,          .aborted = shut_aborted, .wake = shut_wake,
};

Test(job_wake, rounds_are_aborted_during_a_hold_and_committed_after_it)
{
    const uint64_t count = 20000; /* more than the windows hold: markers must wait */
    struct flow flow;
    struct ledger ledger;
    flow_init(&flow);
    ledger_init(&ledger, count);
    memset(&seen, 0, sizeof seen);
    seen.gate = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    flow.options.store = scratch_join(scratch.path, "store");
    flow.options.interval_ns = 1000000;
    flow.options.timeout_ns = 30000000;
    wire(&flow, &shut_table, &ledger, count, WEIR_FORWARD);
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    ledger_is(&ledger, count, 1);
    cr_expect_geq(seen.aborted_while_held, 3);
    cr_expect_geq(flow.watch.aborted, 3);
    cr_expect_geq(flow.watch.committed, 1);
    close(seen.gate);
    flow_free(&flow);
    ledger_free(&ledger);
}

/* Takes nothing from its cut to the commit: what it was given before must be published first. */
static enum weir_result strict_prepare(void *self, struct weir_context *context, uint64_t id)
{
    *(bool *)self = true;
    return weir_handle(context, bytes_of(&id, sizeof id));
}

static enum weir_result strict_process(void *self, struct weir_context *context, unsigned input,
                                       const struct weir_record *record)
{
    (void)input;
    atomic_fetch_add(&seen.records, 1);
    if (*(bool *)self)
        weir_hold(context, true);
    return weir_emit(context, 0, record);
}

static enum weir_result strict_commit(void *self, struct weir_context *context,
                                      struct weir_bytes handle)
{
    (void)handle;
    atomic_fetch_add(&seen.commits_while_held, 1);
    *(bool *)self = false;
    weir_hold(context, false);
    return WEIR_OK;
}

static enum weir_result strict_wake(void *self, struct weir_context *context)
{
    (void)self;
    (void)context;
    return WEIR_OK;
}

static const struct weir_operator strict_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "strict",
    .self_size = sizeof(bool),
    .process = strict_process,
    .prepare = strict_prepare,
    .commit = strict_commit,
    .wake = strict_wake,
};

Test(job_wake, commits_come_during_a_hold_and_may_end_it)
{
    const uint64_t count = 200000;
    struct flow flow;
    struct ledger ledger;
    flow_init(&flow);
    ledger_init(&ledger, count);
    memset(&seen, 0, sizeof seen);
    flow.options.store = scratch_join(scratch.path, "store");
    flow.options.interval_ns = 1000000;
    wire(&flow, &strict_table, &ledger, count, WEIR_SPREAD);
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    ledger_is(&ledger, count, 1);
    cr_expect_geq(seen.commits_while_held, 2);
    flow_free(&flow);
    ledger_free(&ledger);
}

/* Is let go by a timer alone: it wishes for nothing. */
static enum weir_result timed_process(void *self, struct weir_context *context, unsigned input,
                                      const struct weir_record *record)
{
    (void)self;
    (void)input;
    if (flow_number(record) % 100 == 0) {
        weir_hold(context, true);
        weir_timer_set(context, WEIR_TIMER_CLOCK, weir_wall_time(context) + SHORT_NS, 0);
    }
    return weir_emit(context, 0, record);
}

static enum weir_result timed_timer(void *self, struct weir_context *context, enum weir_timer kind,
                                    int64_t time, uint64_t tag)
{
    (void)self;
    (void)kind;
    (void)time;
    (void)tag;
    atomic_fetch_add(&seen.releases, 1);
    weir_hold(context, false);
    return WEIR_OK;
}

static const struct weir_operator timed_table = {
    WEIR_SIZED(struct weir_operator), .kind = "timed",      .self_size = 1,
    .process = timed_process,         .timer = timed_timer, .wake = strict_wake,
};

Test(job_wake, timers_come_during_a_hold_and_may_end_it)
{
    const uint64_t count = 20000;
    struct flow flow;
    struct ledger ledger;
    flow_init(&flow);
    ledger_init(&ledger, count);
    memset(&seen, 0, sizeof seen);
    wire(&flow, &timed_table, &ledger, count, WEIR_SPREAD);
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    ledger_is(&ledger, count, 1);
    cr_expect_eq(seen.releases, count / 100);
    flow_free(&flow);
    ledger_free(&ledger);
}

/* As many timers as it likes set themselves anew: wake has its turn. */
static enum weir_result endless_process(void *self, struct weir_context *context, unsigned input,
                                        const struct weir_record *record)
{
    (void)self;
    (void)input;
    (void)record;
    weir_wake(context, weir_now(context) + SHORT_NS, -1);
    return weir_timer_set(context, WEIR_TIMER_EVENT, 1, 0);
}

static enum weir_result endless_timer(void *self, struct weir_context *context,
                                      enum weir_timer kind, int64_t time, uint64_t tag)
{
    (void)self;
    (void)kind;
    atomic_fetch_add(&seen.releases, 1);
    return atomic_load(&seen.wakes) ? WEIR_OK
                                    : weir_timer_set(context, WEIR_TIMER_EVENT, time, tag + 1);
}

static enum weir_result endless_wake(void *self, struct weir_context *context)
{
    (void)self;
    (void)context;
    atomic_fetch_add(&seen.wakes, 1);
    return WEIR_OK;
}

static const struct weir_operator endless_table = {
    WEIR_SIZED(struct weir_operator), .kind = "endless",      .self_size = 1,
    .process = endless_process,       .timer = endless_timer, .wake = endless_wake,
};

Test(job_wake, timers_that_never_cease_do_not_starve_wake)
{
    struct flow flow;
    flow_init(&flow);
    memset(&seen, 0, sizeof seen);
    weir_node source = flow_times(&flow, "times", 1000, 100000, 1);
    weir_node endless = flow_add(&flow, "endless", &endless_table, NULL, 1);
    weir_connect(flow.graph, source, endless, WEIR_SPREAD);
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    cr_expect_gt(seen.wakes, 0);
    cr_expect_gt(seen.releases, 1);
    flow_free(&flow);
}

/* ------------------------------------------------------------------------------- refusals -- */

enum misuse { WAKE, HOLD, LIMIT, PROGRESS };

static enum weir_result misuse(struct weir_context *context, unsigned input,
                               const struct weir_record *record, const void *config)
{
    (void)input;
    (void)record;
    switch (*(const enum misuse *)config) {
    case WAKE:
        weir_wake(context, 0, -1);
        break;
    case HOLD:
        weir_hold(context, true);
        break;
    case LIMIT:
        weir_watermark_limit(context, 5);
        break;
    case PROGRESS:
        weir_progress_set(context, 1, 2);
        break;
    }
    return WEIR_OK;
}

static enum weir_progress impatient_poll(void *self, struct weir_context *context)
{
    (void)self;
    weir_wake(context, 0, -1);
    return WEIR_MORE;
}

static void refused(struct flow *flow, const char *text)
{
    flow_run(flow, WEIR_OUTCOME_FAILED);
    cr_expect_eq(flow->error.code, WEIR_INVALID);
    cr_expect_not_null(strstr(flow->error.text, text), "%s", flow->error.text);
    flow_free(flow);
}

Test(job_wake, a_wish_without_wake_fails_the_run_in_clear_words)
{
    static const char *const texts[] = {"wrong[0]: it calls weir_wake and has no wake callback",
                                        "wrong[0]: it calls weir_hold and has no wake callback",
                                        "wrong[0]: it calls weir_watermark_limit and has no wake",
                                        "wrong[0]: it calls weir_progress_set and is no source"};
    struct flow flow;
    for (enum misuse how = WAKE; how <= PROGRESS; how++) {
        flow_init(&flow);
        weir_node source = flow_numbers(&flow, "numbers", 10, 0, 1);
        struct weir_node_options options = {WEIR_SIZED(struct weir_node_options), .name = "wrong",
                                            .function = misuse, .config = &how};
        weir_connect(flow.graph, source, weir_graph_add(flow.graph, &options), WEIR_FORWARD);
        refused(&flow, texts[how]);
    }
    struct weir_operator table = {WEIR_SIZED(struct weir_operator), .poll = impatient_poll};
    flow_init(&flow);
    flow_add(&flow, "source", &table, NULL, 1);
    refused(&flow, "a source waits with weir_idle");
    flow_init(&flow);
    table.wake = pacer_wake;
    flow_add(&flow, "source", &table, NULL, 1);
    struct weir_error error = {0};
    cr_expect_eq(weir_graph_check(flow.graph, &error), WEIR_INVALID);
    cr_expect_not_null(strstr(error.text, "it waits with weir_idle, not wake"), "%s", error.text);
    flow_free(&flow);
}

static enum weir_result failing_wake(void *self, struct weir_context *context)
{
    (void)self;
    (void)context;
    return WEIR_IO;
}

Test(job_wake, a_wake_that_fails_fails_the_run)
{
    struct flow flow;
    struct weir_operator table = busy_table;
    bool by_descriptor = false;
    memset(&seen, 0, sizeof seen);
    table.wake = failing_wake;
    flow_init(&flow);
    weir_node source = flow_add(&flow, "flood", &flood_table, NULL, 1);
    weir_node busy = flow_add(&flow, "busy", &table, &by_descriptor, 1);
    weir_connect(flow.graph, source, busy, WEIR_FORWARD);
    flow_run(&flow, WEIR_OUTCOME_FAILED);
    cr_expect_str_eq(flow.error.text, "busy[0]: wake answered WEIR_IO");
    flow_free(&flow);
}

/* --------------------------------------------------------------------- a folder in the store -- */

static char folders[2][256];

static enum weir_result keeper_open(void *self, struct weir_context *context, const void *config)
{
    struct weir_error error = {0};
    char little[8];
    (void)self;
    (void)config;
    enum weir_result result =
        weir_store_folder(context, folders[weir_subtask(context)], sizeof folders[0], &error);
    if (result)
        return weir_fail_with(context, &error);
    cr_expect_eq(weir_store_folder(context, little, sizeof little, &error), WEIR_TOO_LARGE);
    return WEIR_OK;
}

static const struct weir_operator keeper_table = {WEIR_SIZED(struct weir_operator),
                                                  .kind = "keeper", .open = keeper_open,
                                                  .self_size = 1, .process = strict_process};

static void keep(const char *store, enum weir_outcome outcome)
{
    struct flow flow;
    flow_init(&flow);
    flow.options.store = store;
    flow.options.parallelism = 2;
    flow.options.retain = 1;
    weir_node source = flow_numbers(&flow, "numbers", 10, 0, 2);
    weir_node keeper = flow_add(&flow, "keeper", &keeper_table, NULL, 2);
    weir_connect(flow.graph, source, keeper, WEIR_FORWARD);
    if (outcome != WEIR_OUTCOME_FAILED) {
        flow_run(&flow, outcome);
        cr_expect_eq(flow.watch.logs, 0, "%s", flow.watch.last_log);
    } else {
        cr_expect_eq(weir_job_start(flow.graph, &flow.options, &flow.job, &flow.error),
                     WEIR_INVALID);
        cr_expect_not_null(strstr(flow.error.text, "the job has none: give it a store"), "%s",
                           flow.error.text);
    }
    flow_free(&flow);
}

Test(job_wake, a_nodes_folder_in_the_store_is_one_for_all_and_left_alone)
{
    const char *store = scratch_join(scratch.path, "store");
    char expected[256], journal[300];
    keep(store, WEIR_OUTCOME_ENDED);
    snprintf(expected, sizeof expected, "%s/nodes/keeper", store);
    cr_expect_str_eq(folders[0], expected);
    cr_expect_str_eq(folders[1], expected);
    snprintf(journal, sizeof journal, "%s/journal", expected);
    scratch_write(journal, "kept", 4);
    keep(store, WEIR_OUTCOME_ALREADY_ENDED);
    cr_expect(scratch_exists(journal));
    keep(NULL, WEIR_OUTCOME_FAILED);
}
