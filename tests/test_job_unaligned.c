/* links: flow valve */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole jobs whose checkpoints pass what waits: queues are full and operators stand still when they
 * are taken, the job is stopped at once and started again, in another mode maybe; the output is
 * exact, and each key's in order.
 */
#include "valve.h"

#include "weir_checkpoint.h"

static struct scratch scratch;
static void scratch_open(void)
{
    scratch = scratch_make();
}
static void scratch_close(void)
{
    scratch_free(&scratch);
}
TestSuite(job_unaligned, .init = scratch_open, .fini = scratch_close);

static void start_over(void)
{
    scratch_free(&scratch);
    scratch = scratch_make();
}

/* ------------------------------------------------------------------------- a full pipeline -- */

/* numbers -> tally -> valve -> order -> ledger, all BY_KEY but the last: shut, everything before
 * the valve is full. */
#define KEYS 60u
#define RECORDS 6000u
#define FULL 150u /* records that wait before the valve for sure: a window holds more */

struct pipeline {
    struct flow flow;
    struct ledger ledger;
    struct valve valve;
    struct tally tally;
    struct notes notes;
};

static void pipeline_open(struct pipeline *pipeline, enum weir_mode mode, uint32_t parallelism)
{
    struct flow *flow = &pipeline->flow;
    flow_init(flow);
    ledger_init(&pipeline->ledger, RECORDS);
    valve_init(&pipeline->valve);
    tally_init(&pipeline->tally);
    notes_take(&pipeline->notes, flow);
    flow->options.store = scratch.path;
    flow->options.interval_ns = -1;
    flow->options.batch_bytes = 1024;
    flow->options.window_batches = 4;
    flow->options.mode = mode;
    flow->options.alignment_max_ns = 1000000;
    weir_node source = flow_numbers(flow, "numbers", RECORDS, KEYS, parallelism);
    weir_node tally = tally_node(flow->graph, "tally", &pipeline->tally, parallelism);
    weir_node valve = valve_node(flow->graph, "valve", &pipeline->valve, parallelism);
    weir_node order = order_node(flow->graph, "order", parallelism);
    weir_node sink = ledger_sink(flow->graph, "sink", &pipeline->ledger, parallelism);
    weir_connect(flow->graph, source, tally, WEIR_BY_KEY);
    weir_connect(flow->graph, tally, valve, WEIR_BY_KEY);
    weir_connect(flow->graph, valve, order, WEIR_BY_KEY);
    weir_connect(flow->graph, order, sink, WEIR_FORWARD);
}

static void pipeline_close(struct pipeline *pipeline)
{
    flow_free(&pipeline->flow);
    ledger_free(&pipeline->ledger);
    valve_free(&pipeline->valve);
    tally_free(&pipeline->tally);
    notes_free(&pipeline->notes);
}

static void find_full(void *context, const char *line)
{
    if (strncmp(line, "task tally.", 11) == 0 && strstr(line, "output waits for credit"))
        *(bool *)context = true;
}

/* Until there is more before the valve than its window: it stays so. */
static void pipeline_until_full(struct pipeline *pipeline)
{
    bool full = false;
    time_t end = time(NULL) + FLOW_DEADLINE / FLOW_SECOND;
    while (!full && time(NULL) < end) {
        sched_yield();
        weir_job_dump(pipeline->flow.job, find_full, &full);
    }
    cr_assert(full, "tally never waits for credit");
}

/* Runs to the end with everything open, and says whether it was exact. */
static void pipeline_finish(struct pipeline *pipeline)
{
    valve_open(&pipeline->valve);
    flow_finish(&pipeline->flow);
    ledger_is(&pipeline->ledger, RECORDS, 1);
    store_is_sound(scratch.path);
}

static uint64_t in_flight(const struct pipeline *pipeline)
{
    return pipeline->notes.channel_bytes + pipeline->notes.outlet_bytes;
}

static const struct {
    enum weir_mode before, after;
    uint32_t parallelism;
    const char *endpoint;
} changes[] = {
    {WEIR_UNALIGNED, WEIR_UNALIGNED, 1, "inproc"},
    {WEIR_UNALIGNED, WEIR_ALIGNED, 3, "inproc"},
    {WEIR_UNALIGNED, WEIR_ADAPTIVE, 2, "tcp://127.0.0.1"},
    {WEIR_ADAPTIVE, WEIR_ALIGNED, 1, "tcp://127.0.0.1"},
    {WEIR_ADAPTIVE, WEIR_ADAPTIVE, 3, "inproc"},
    {WEIR_ADAPTIVE, WEIR_UNALIGNED, 2, "inproc"},
};
#define CHANGES (sizeof changes / sizeof *changes)

Test(job_unaligned, a_checkpoint_is_taken_while_everything_stands_still_and_restored_in_any_mode)
{
    for (size_t i = 0; i < CHANGES; i++) {
        struct pipeline pipeline;
        start_over();
        pipeline_open(&pipeline, changes[i].before, changes[i].parallelism);
        pipeline.flow.options.endpoint = changes[i].endpoint;
        flow_start(&pipeline.flow);
        pipeline_until_full(&pipeline);
        flow_checkpoint(&pipeline.flow);
        cr_expect_gt(pipeline.notes.channel_bytes, 0, "change %zu", i);
        cr_expect_gt(pipeline.notes.outlet_bytes, 0, "change %zu", i);
        cr_expect_gt(pipeline.notes.overtook, 0);
        cr_expect_geq(in_flight(&pipeline), FULL * 24);
        cr_expect_eq(tally_read(&pipeline.valve.passed), 0);
        flow_kill(&pipeline.flow);
        pipeline.flow.options.mode = changes[i].after;
        pipeline_finish(&pipeline);
        cr_expect_eq(pipeline.flow.watch.restored_from, 1);
        pipeline_close(&pipeline);
    }
}

/* Killed again before anything of what was restored has been consumed: it is in the next checkpoint
 * as it was, and does not grow. */
Test(job_unaligned, quick_restarts_hand_on_what_was_in_flight_as_it_was)
{
    for (uint32_t parallelism = 1; parallelism <= 3; parallelism += 2) {
        struct pipeline pipeline;
        start_over();
        pipeline_open(&pipeline, WEIR_UNALIGNED, parallelism);
        flow_start(&pipeline.flow);
        pipeline_until_full(&pipeline);
        flow_checkpoint(&pipeline.flow);
        uint64_t first = in_flight(&pipeline),
                 windows = 4 * 1024 * 3ull * parallelism * parallelism;
        flow_kill(&pipeline.flow);
        for (uint64_t restart = 1; restart <= 5; restart++) {
            flow_start(&pipeline.flow);
            cr_expect_eq(pipeline.flow.watch.restored_from, restart);
            flow_checkpoint(&pipeline.flow);
            cr_expect_geq(in_flight(&pipeline), first);
            cr_expect_leq(in_flight(&pipeline), first + windows, "%d is more than %d",
                          (int)in_flight(&pipeline), (int)first);
            flow_kill(&pipeline.flow);
        }
        pipeline_finish(&pipeline);
        pipeline_close(&pipeline);
    }
}

/* The same, and between the restarts a little of it is consumed. */
Test(job_unaligned, restarts_in_the_middle_of_what_was_restored)
{
    uint64_t seed = flow_seed();
    struct pipeline pipeline;
    pipeline_open(&pipeline, WEIR_UNALIGNED, 2);
    flow_start(&pipeline.flow);
    pipeline_until_full(&pipeline);
    for (unsigned restart = 0; restart < 12; restart++) {
        uint64_t passed = tally_read(&pipeline.valve.passed), more = 1 + flow_draw(&seed) % 90;
        /* Either may: what stands before one that is shut keeps the other's from coming. */
        valve_allow(&pipeline.valve, 0, (int64_t)more);
        valve_allow(&pipeline.valve, 1, (int64_t)more);
        tally_until(&pipeline.valve.passed, passed + more);
        if (flow_draw(&seed) % 4)
            flow_checkpoint(&pipeline.flow);
        flow_kill(&pipeline.flow);
        pipeline.flow.options.mode = flow_draw(&seed) % 2 ? WEIR_UNALIGNED : WEIR_ADAPTIVE;
        flow_start(&pipeline.flow);
    }
    flow_kill(&pipeline.flow);
    pipeline_finish(&pipeline);
    pipeline_close(&pipeline);
}

/* An aligned checkpoint waits until all has been consumed, and holds nothing of it. */
Test(job_unaligned, aligned_checkpoints_wait_and_adaptive_ones_within_their_patience)
{
    for (int adaptive = 0; adaptive < 2; adaptive++) {
        struct pipeline pipeline;
        start_over();
        pipeline_open(&pipeline, adaptive ? WEIR_ADAPTIVE : WEIR_ALIGNED, 2);
        pipeline.flow.options.alignment_max_ns = FLOW_DEADLINE;
        flow_start(&pipeline.flow);
        pipeline_until_full(&pipeline);
        cr_assert_eq(weir_job_checkpoint(pipeline.flow.job, &pipeline.flow.error), WEIR_OK);
        valve_allow(&pipeline.valve, 0, 10);
        tally_until(&pipeline.valve.passed, 10);
        cr_expect_eq(pipeline.flow.watch.committed, 0);
        valve_open(&pipeline.valve);
        watch_until(&pipeline.flow.watch, &pipeline.flow.watch.committed, 1);
        cr_expect_eq(pipeline.notes.with_content, 0);
        cr_expect_eq(pipeline.notes.overtook, 0);
        flow_kill(&pipeline.flow);
        pipeline_finish(&pipeline);
        pipeline_close(&pipeline);
    }
}

Test(job_unaligned, suspended_with_full_queues_it_goes_on_where_it_was)
{
    for (int mode = WEIR_ADAPTIVE; mode <= WEIR_UNALIGNED; mode += 2) {
        struct pipeline pipeline;
        start_over();
        pipeline_open(&pipeline, (enum weir_mode)mode, 2);
        flow_start(&pipeline.flow);
        pipeline_until_full(&pipeline);
        uint64_t passed = 0;
        for (int i = 0; i < 3; i++) {
            flow_stop(&pipeline.flow, WEIR_STOP_SUSPEND);
            flow_ends(&pipeline.flow, WEIR_OUTCOME_STOPPED);
            cr_expect_gt(in_flight(&pipeline), 0);
            flow_close(&pipeline.flow);
            flow_start(&pipeline.flow);
            valve_allow(&pipeline.valve, 1, 40);
            passed += 40;
            tally_until(&pipeline.valve.passed, passed);
        }
        flow_stop(&pipeline.flow, WEIR_STOP_SUSPEND);
        flow_ends(&pipeline.flow, WEIR_OUTCOME_STOPPED);
        flow_close(&pipeline.flow);
        pipeline_finish(&pipeline);
        cr_expect_eq(tally_read(&pipeline.valve.passed), RECORDS, "nothing came twice");
        pipeline_close(&pipeline);
    }
}

Test(job_unaligned, drained_with_full_queues_all_that_was_read_is_published)
{
    struct pipeline pipeline;
    pipeline_open(&pipeline, WEIR_UNALIGNED, 2);
    flow_start(&pipeline.flow);
    pipeline_until_full(&pipeline);
    flow_stop(&pipeline.flow, WEIR_STOP_DRAIN);
    flow_checkpoint(&pipeline.flow);
    flow_kill(&pipeline.flow); /* in the middle of it: it goes on draining */
    flow_start(&pipeline.flow);
    valve_open(&pipeline.valve);
    flow_ends(&pipeline.flow, WEIR_OUTCOME_ENDED);
    flow_close(&pipeline.flow);
    cr_expect_lt(pipeline.ledger.published, RECORDS);
    cr_expect_geq(pipeline.ledger.published, FULL);
    for (uint64_t i = 0; i < RECORDS; i++)
        cr_assert_leq(pipeline.ledger.counts[i], 1);
    store_is_sound(scratch.path);
    pipeline_close(&pipeline);
}

Test(job_unaligned, a_savepoint_holds_what_is_in_flight_and_begins_another_store)
{
    struct pipeline pipeline;
    const char *store = scratch_join(scratch.path, "store");
    const char *save = scratch_join(scratch.path, "save");
    char other[200];
    snprintf(other, sizeof other, "%s", scratch_join(scratch.path, "other"));
    pipeline_open(&pipeline, WEIR_UNALIGNED, 2);
    pipeline.flow.options.store = store;
    flow_start(&pipeline.flow);
    pipeline_until_full(&pipeline);
    cr_assert_eq(weir_job_savepoint(pipeline.flow.job, save, &pipeline.flow.error), WEIR_OK);
    watch_until(&pipeline.flow.watch, &pipeline.flow.watch.saved, 1);
    cr_expect_gt(in_flight(&pipeline), 0);
    flow_kill(&pipeline.flow);
    store_is_sound(save);
    pipeline.flow.options.store = other;
    pipeline.flow.options.restore = WEIR_RESTORE_PATH;
    pipeline.flow.options.restore_path = save;
    valve_open(&pipeline.valve);
    flow_finish(&pipeline.flow);
    ledger_is(&pipeline.ledger, RECORDS, 1);
    store_is_sound(other);
    pipeline_close(&pipeline);
}

/* ------------------------------------------------------------------ in the middle of a batch -- */

struct seen {
    uint64_t first, count;
    bool gap;
};

/* The numbers that the newest checkpoint holds on their way to the node. */
static struct seen read_inflight(const char *node)
{
    struct weir_store *store = NULL;
    struct weir_checkpoint *checkpoint = NULL;
    struct weir_cursor *cursor = NULL;
    struct weir_error error = {0};
    struct weir_row row = {WEIR_SIZED(struct weir_row)};
    struct seen seen = {0};
    cr_assert_eq(weir_store_open(scratch.path, NULL, &store, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(weir_checkpoint_open(store, 0, &checkpoint, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(weir_cursor_open(checkpoint, WEIR_ROWS_INFLIGHT, node, NULL, &cursor, &error),
                 WEIR_OK, "%s", error.text);
    while (weir_cursor_next(cursor, &row)) {
        uint64_t number;
        memcpy(&number, row.value.data, sizeof number);
        if (!seen.count)
            seen.first = number;
        seen.gap |= number != seen.first + seen.count;
        seen.count++;
    }
    cr_assert_eq(weir_cursor_close(&cursor, &error), WEIR_OK, "%s", error.text);
    weir_checkpoint_close(&checkpoint);
    weir_store_close(&store);
    return seen;
}

/* Cuts on its command alone, and counts its cuts: behind the turnstile in the order of tasks, so
 * the turnstile has been told, too. */
static struct tally *cuts;

static enum weir_result count_cut(void *self, struct weir_context *context,
                                  struct weir_saver *saver)
{
    (void)self;
    (void)context;
    (void)saver;
    tally_add(cuts, 1);
    return WEIR_OK;
}

static const struct weir_operator cut_counter = {
    WEIR_SIZED(struct weir_operator),
    .kind = "cuts",
    .process = pass_on,
    .save = count_cut,
    .load = load_nothing,
};

/* S25: a slow operator in the middle of a large batch delays the marker by the record in hand; the
 * rest of the batch is restored first. */
Test(job_unaligned, a_batch_is_cut_in_the_middle_and_its_rest_restored_first)
{
    static const uint64_t places[] = {1, 2, 11, 200};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct flow flow;
        struct ledger ledger;
        struct turnstile turnstile;
        struct tally tally;
        start_over();
        flow_init(&flow);
        ledger_init(&ledger, 2000);
        turnstile_init(&turnstile);
        tally_init(&tally);
        cuts = &tally;
        flow.options.store = scratch.path;
        flow.options.interval_ns = -1;
        flow.options.mode = WEIR_UNALIGNED;
        weir_node source = flow_numbers(&flow, "numbers", 2000, 1, 1);
        weir_node slow = turnstile_node(flow.graph, "slow", &turnstile);
        weir_node cutting = flow_add(&flow, "cutting", &cut_counter, NULL, 1);
        weir_node order = order_node(flow.graph, "order", 1);
        weir_connect(flow.graph, source, slow, WEIR_SPREAD);
        weir_connect(flow.graph, slow, cutting, WEIR_SPREAD);
        weir_connect(flow.graph, cutting, order, WEIR_BY_KEY);
        weir_connect(flow.graph, order, ledger_sink(flow.graph, "sink", &ledger, 1), WEIR_FORWARD);
        flow_start(&flow);
        turnstile_allow(&turnstile, places[i] - 1);
        turnstile_until(&turnstile, places[i]); /* it is in the middle of this one */
        cr_assert_eq(weir_job_checkpoint(flow.job, &flow.error), WEIR_OK);
        tally_until(&tally, 1);
        turnstile_allow(&turnstile, 1);
        for (uint64_t n = places[i] + 1; n < 2000 && !watch_has_committed(&flow.watch); n++) {
            turnstile_until(&turnstile, n); /* the source's marker may come later */
            turnstile_allow(&turnstile, 1);
        }
        watch_until(&flow.watch, &flow.watch.committed, 1);
        cr_expect_eq(turnstile.at_save, places[i]);
        struct seen seen = read_inflight("slow");
        cr_expect_eq(seen.first, places[i], "%d", (int)seen.first);
        cr_expect_gt(seen.count, 30);
        cr_expect_not(seen.gap);
        flow_stop(&flow, WEIR_STOP_NOW);
        turnstile_allow(&turnstile, 1000000); /* in the middle of a record none can stop */
        (void)flow_wait(&flow);
        flow_close(&flow);
        flow_finish(&flow);
        ledger_is(&ledger, 2000, 1);
        cr_expect_eq(flow.watch.restored_from, 1);
        store_is_sound(scratch.path);
        flow_free(&flow);
        ledger_free(&ledger);
        turnstile_free(&turnstile);
        tally_free(&tally);
    }
}

/* ------------------------------------------------------------------------------- overdraft -- */

/* One record of the source becomes so many: number * factor and up. */
static const uint64_t few = 2000, many = 80000;

static enum weir_result expand(struct weir_context *context, unsigned input,
                               const struct weir_record *record, const void *config)
{
    const uint64_t *factor = config;
    (void)input;
    uint64_t first = flow_number(record) * *factor;
    for (uint64_t i = 0; i < *factor; i++) {
        uint64_t number = first + i, key = 0;
        weir_emit(context, 0, &(struct weir_record){{&key, 8}, {&number, 8}, WEIR_NO_TIME});
    }
    return WEIR_OK;
}
#define EXPANDED 24u /* bytes in a batch */

/* S24: far more than the window waits in the outlet, and is part of the checkpoint. */
Test(job_unaligned, the_overdraft_of_one_record_is_in_the_checkpoint_in_order)
{
    for (int mode = WEIR_ADAPTIVE; mode <= WEIR_UNALIGNED; mode += 2) {
        struct flow flow;
        struct ledger ledger;
        struct valve valve;
        struct notes notes;
        start_over();
        flow_init(&flow);
        ledger_init(&ledger, 5 * few);
        valve_init(&valve);
        notes_take(&notes, &flow);
        flow.options.store = scratch.path;
        flow.options.interval_ns = -1;
        flow.options.mode = (enum weir_mode)mode;
        flow.options.alignment_max_ns = 1000000;
        flow.options.batch_bytes = 1024;
        flow.options.window_batches = 1;
        weir_node source = flow_numbers(&flow, "numbers", 5, 0, 1);
        weir_node more = weir_flat_map(flow.graph, "more", expand, &few);
        weir_node stop = valve_node(flow.graph, "stop", &valve, 1);
        weir_node order = order_node(flow.graph, "order", 1);
        weir_connect(flow.graph, source, more, WEIR_SPREAD);
        weir_connect(flow.graph, more, stop, WEIR_SPREAD);
        weir_connect(flow.graph, stop, order, WEIR_BY_KEY);
        weir_connect(flow.graph, order, ledger_sink(flow.graph, "sink", &ledger, 1), WEIR_FORWARD);
        flow_start(&flow);
        valve_allow(&valve, 0, 10);
        tally_until(&valve.passed, 10);
        for (int i = 0; i < 3; i++) {
            flow_checkpoint(&flow);
            cr_expect_geq(notes.outlet_bytes, 40 * 1024);
            cr_expect_leq(notes.outlet_bytes, few * EXPANDED, "one record's output at a time");
            flow_kill(&flow);
            flow_start(&flow);
        }
        flow_kill(&flow);
        valve_open(&valve);
        flow_finish(&flow);
        ledger_is(&ledger, 5 * few, 1);
        store_is_sound(scratch.path);
        flow_free(&flow);
        ledger_free(&ledger);
        valve_free(&valve);
        notes_free(&notes);
    }
}

/* ------------------------------------------------------------------------- half-filled batch -- */

/* Emits 100 numbers and then polls on without ever resting, so that the open batch does not leave;
 * until it is told to end. */
static atomic_bool half_ends;

static enum weir_progress poll_half(void *self, struct weir_context *context)
{
    uint64_t *next = self;
    static const uint64_t key;
    if (*next == 100)
        return atomic_load(&half_ends) ? WEIR_END : WEIR_MORE;
    struct weir_record record = {{&key, sizeof key}, {next, sizeof *next}, WEIR_NO_TIME};
    weir_emit(context, 0, &record);
    ++*next;
    return WEIR_MORE;
}

static const struct weir_operator half_source = {
    WEIR_SIZED(struct weir_operator),
    .kind = "half",
    .self_size = 8,
    .poll = poll_half,
    .save = save_position,
    .load = load_position,
};

/* S23 */
Test(job_unaligned, a_half_filled_batch_is_closed_by_the_marker_in_every_mode)
{
    for (int mode = WEIR_ADAPTIVE; mode <= WEIR_UNALIGNED; mode++) {
        struct flow flow;
        struct ledger ledger;
        start_over();
        flow_init(&flow);
        ledger_init(&ledger, 100);
        flow.options.store = scratch.path;
        flow.options.interval_ns = -1;
        flow.options.mode = (enum weir_mode)mode;
        weir_node source = flow_add(&flow, "half", &half_source, NULL, 1);
        weir_node order = order_node(flow.graph, "order", 1);
        weir_connect(flow.graph, source, order, WEIR_BY_KEY);
        weir_connect(flow.graph, order, ledger_sink(flow.graph, "sink", &ledger, 1), WEIR_FORWARD);
        atomic_store(&half_ends, false);
        for (int i = 0; i < 3; i++) {
            flow_start(&flow);
            flow_checkpoint(&flow);
            flow_kill(&flow);
        }
        atomic_store(&half_ends, true);
        flow_finish(&flow);
        ledger_is(&ledger, 100, 1);
        flow_free(&flow);
        ledger_free(&ledger);
    }
}

/* -------------------------------------------------------------------------------- broadcast -- */

/* Each instance must get each number once, in order; in its own state, over restarts. */
static enum weir_result take_next(void *self, struct weir_context *context, unsigned input,
                                  const struct weir_record *record)
{
    uint64_t *next = self;
    (void)input;
    if (flow_number(record) != *next)
        return weir_fail(context, WEIR_FAILED, "number %llu came, %llu was expected",
                         (unsigned long long)flow_number(record), (unsigned long long)*next);
    ++*next;
    return weir_emit(context, 0, record);
}

static const struct weir_operator next_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "next",
    .self_size = 8,
    .process = take_next,
    .save = save_position,
    .load = load_position,
};

/* S28: one reader of a broadcast edge stands still, the others run ahead; nothing of that edge may
 * be recorded, so the checkpoint waits for the slow one to reach its marker, and no longer. */
Test(job_unaligned, a_broadcast_edge_is_read_up_to_its_marker_and_each_instance_stays_exact)
{
    for (int mode = WEIR_ADAPTIVE; mode <= WEIR_UNALIGNED; mode++) {
        struct flow flow;
        struct ledger ledger;
        struct valve valve;
        struct notes notes;
        struct tally tally;
        start_over();
        flow_init(&flow);
        ledger_init(&ledger, 3000);
        valve_init(&valve);
        notes_take(&notes, &flow);
        tally_init(&tally);
        cuts = &tally;
        flow.options.store = scratch.path;
        flow.options.interval_ns = -1;
        flow.options.mode = (enum weir_mode)mode;
        flow.options.alignment_max_ns = 1000000;
        flow.options.batch_bytes = 1024;
        flow.options.window_batches = 4;
        weir_node source = flow_numbers(&flow, "numbers", 3000, 0, 1);
        weir_node stop = valve_node(flow.graph, "stop", &valve, 3);
        weir_node next = flow_add(&flow, "next", &next_table, NULL, 3);
        weir_connect(flow.graph, source, stop, WEIR_BROADCAST);
        weir_connect(flow.graph, stop, next, WEIR_FORWARD);
        weir_connect(flow.graph, next, ledger_sink(flow.graph, "sink", &ledger, 3), WEIR_FORWARD);
        weir_connect(flow.graph, flow_numbers(&flow, "extra", 10, 0, 1),
                     flow_add(&flow, "cutting", &cut_counter, NULL, 1), WEIR_SPREAD);
        for (unsigned round = 0; round < 4; round++) {
            flow_start(&flow);
            uint64_t passed = tally_read(&valve.passed);
            valve_allow(&valve, 1, 60);
            valve_allow(&valve, 2, 90);
            tally_until(&valve.passed, passed + 150); /* number 0 has not taken one */
            unsigned committed = flow.watch.committed;
            uint64_t told = tally_read(&tally);
            cr_assert_eq(weir_job_checkpoint(flow.job, &flow.error), WEIR_OK);
            tally_until(&tally, told + 1);   /* all have been told: those that could cut have cut */
            for (uint32_t i = 0; i < 3; i++) /* all that is before the marker, and some more */
                valve_allow(&valve, i, 450);
            watch_until(&flow.watch, &flow.watch.committed, committed + 1);
            flow_kill(&flow);
            valve_shut(&valve);
            cr_expect_eq(read_inflight("stop").count, 0);
        }
        valve_open(&valve);
        flow_finish(&flow);
        ledger_is(&ledger, 3000, 3);
        store_is_sound(scratch.path);
        flow_free(&flow);
        ledger_free(&ledger);
        valve_free(&valve);
        notes_free(&notes);
        tally_free(&tally);
    }
}

/* -------------------------------------------------------------------- different ends, fan-in -- */

struct two_lines {
    struct flow flow;
    struct ledger ledgers[2];
    struct valve valve;
    struct tally ended;
};

static enum weir_progress tell_end(void *self, struct weir_context *context)
{
    struct tally *tally;
    (void)context;
    memcpy(&tally, self, sizeof tally);
    tally_add(tally, 1);
    return WEIR_END;
}

static enum weir_result keep_config(void *self, struct weir_context *context, const void *config)
{
    (void)context;
    memcpy(self, config, sizeof(void *));
    return WEIR_OK;
}

static const struct weir_operator end_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "end",
    .self_size = sizeof(void *),
    .open = keep_config,
    .process = pass_on,
    .finish = tell_end,
};

/* Of A 20 records, of B 100; B's way is shut. */
static void two_lines_open(struct two_lines *lines, enum weir_mode mode)
{
    struct flow *flow = &lines->flow;
    struct tally *ended = &lines->ended;
    flow_init(flow);
    valve_init(&lines->valve);
    tally_init(ended);
    flow->options.store = scratch.path;
    flow->options.interval_ns = -1;
    flow->options.mode = mode;
    flow->options.alignment_max_ns = 1000000;
    ledger_init(&lines->ledgers[0], 20);
    ledger_init(&lines->ledgers[1], 100);
    weir_node a = flow_numbers(flow, "a", 20, 0, 1), b = flow_numbers(flow, "b", 100, 0, 1);
    weir_node end =
        flow_add(flow, "end", &end_table, weir_graph_keep(flow->graph, &ended, sizeof ended), 1);
    weir_node stop = valve_node(flow->graph, "stop", &lines->valve, 1);
    weir_connect(flow->graph, a, end, WEIR_SPREAD);
    weir_connect(flow->graph, end, ledger_sink(flow->graph, "sink_a", &lines->ledgers[0], 1),
                 WEIR_SPREAD);
    weir_connect(flow->graph, b, stop, WEIR_SPREAD);
    weir_connect(flow->graph, stop, ledger_sink(flow->graph, "sink_b", &lines->ledgers[1], 1),
                 WEIR_SPREAD);
}

static void two_lines_close(struct two_lines *lines)
{
    flow_free(&lines->flow);
    valve_free(&lines->valve);
    tally_free(&lines->ended);
    ledger_free(&lines->ledgers[0]);
    ledger_free(&lines->ledgers[1]);
}

/* S19 */
Test(job_unaligned, lines_that_end_at_different_times_are_exact_whenever_the_checkpoint_was)
{
    for (int mode = WEIR_ADAPTIVE; mode <= WEIR_UNALIGNED; mode += 2) {
        struct two_lines lines;
        start_over();
        two_lines_open(&lines, (enum weir_mode)mode);
        flow_start(&lines.flow);
        tally_until(&lines.ended, 1);
        flow_until_taken(&lines.flow, &lines.ledgers[0], 20); /* else the rest is in flight */
        valve_allow(&lines.valve, 0, 10);
        tally_until(&lines.valve.passed, 10);
        flow_checkpoint(&lines.flow);
        ledger_until_published(&lines.ledgers[0], 20); /* it need not wait for the other line */
        flow_checkpoint(&lines.flow);                  /* tasks that have ended take part */
        flow_kill(&lines.flow);
        valve_open(&lines.valve);
        flow_finish(&lines.flow);
        ledger_is(&lines.ledgers[0], 20, 1);
        ledger_is(&lines.ledgers[1], 100, 1);
        store_is_sound(scratch.path);
        two_lines_close(&lines);
    }
}

/* Without any checkpoint asked for, the job ends by itself, its tail published. */
Test(job_unaligned, a_job_ends_by_itself_however_long_the_interval)
{
    for (int mode = WEIR_ADAPTIVE; mode <= WEIR_UNALIGNED; mode++) {
        struct two_lines lines;
        start_over();
        two_lines_open(&lines, (enum weir_mode)mode);
        valve_open(&lines.valve);
        flow_run(&lines.flow, WEIR_OUTCOME_ENDED);
        ledger_is(&lines.ledgers[0], 20, 1);
        ledger_is(&lines.ledgers[1], 100, 1);
        cr_expect_eq(lines.flow.watch.committed, 1);
        two_lines_close(&lines);
    }
}

/* S30: many inputs with a window of one, one of them a thousand times busier, one without any
 * record for long. */
static void fan_in(enum weir_mode mode, uint32_t inputs)
{
    struct flow flow;
    struct ledger ledger;
    struct valve valve;
    flow_init(&flow);
    ledger_init(&ledger, 20000);
    valve_init(&valve);
    flow.options.store = scratch.path;
    flow.options.interval_ns = FLOW_SECOND / 100;
    flow.options.mode = mode;
    flow.options.alignment_max_ns = 2000000;
    flow.options.batch_bytes = 1024;
    flow.options.window_batches = 1;
    weir_node join = weir_flat_map(flow.graph, "join", flow_pass, NULL);
    for (uint32_t i = 0; i < inputs; i++) {
        char name[] = {'n', (char)('0' + i / 10), (char)('0' + i % 10), 0};
        weir_node source = flow_numbers(&flow, name, i == 0 ? 20000 : 20, 0, 1);
        if (i == 1) {
            weir_node stop = valve_node(flow.graph, "stop", &valve, 1);
            weir_connect(flow.graph, source, stop, WEIR_SPREAD);
            source = stop;
        }
        weir_connect(flow.graph, source, join, WEIR_SPREAD);
    }
    weir_connect(flow.graph, join, ledger_sink(flow.graph, "sink", &ledger, 1), WEIR_SPREAD);
    flow_start(&flow);
    watch_until(&flow.watch, &flow.watch.committed, 3);
    flow_kill(&flow);
    flow_start(&flow);
    watch_until(&flow.watch, &flow.watch.committed, 6);
    valve_open(&valve);
    flow_ends(&flow, WEIR_OUTCOME_ENDED);
    flow_close(&flow);
    for (uint64_t i = 0; i < 20000; i++)
        cr_assert_eq(ledger.counts[i], i < 20 ? inputs : 1);
    flow_free(&flow);
    ledger_free(&ledger);
    valve_free(&valve);
}

Test(job_unaligned, a_narrow_fan_in_goes_on_and_is_checkpointed)
{
    for (int mode = WEIR_ADAPTIVE; mode <= WEIR_UNALIGNED; mode += 2) {
        start_over();
        fan_in((enum weir_mode)mode, 8);
    }
    start_over();
    fan_in(WEIR_UNALIGNED, 64);
}

/* ------------------------------------------------------------------------- rounds that fail -- */

static atomic_int refusals;

static enum weir_result save_or_refuse(void *self, struct weir_context *context,
                                       struct weir_saver *saver)
{
    (void)self;
    (void)context;
    (void)saver;
    return atomic_fetch_sub(&refusals, 1) > 0 ? WEIR_IO : WEIR_OK;
}

static const struct weir_operator refusing = {
    WEIR_SIZED(struct weir_operator), .kind = "refusing",   .process = pass_on,
    .save = save_or_refuse,           .load = load_nothing,
};

/* What was recorded for the round is given back; the next one records anew. */
Test(job_unaligned, a_task_that_refuses_a_round_harms_that_round_alone)
{
    for (int mode = WEIR_ADAPTIVE; mode <= WEIR_UNALIGNED; mode += 2) {
        struct pipeline pipeline;
        start_over();
        pipeline_open(&pipeline, (enum weir_mode)mode, 2);
        struct flow *flow = &pipeline.flow;
        weir_node extra = flow_numbers(flow, "extra", 10, 0, 1);
        weir_node refuse = flow_add(flow, "refuse", &refusing, NULL, 1);
        weir_connect(flow->graph, extra, refuse, WEIR_SPREAD);
        atomic_store(&refusals, 2);
        flow_start(flow);
        pipeline_until_full(&pipeline);
        for (unsigned i = 1; i <= 2; i++) {
            cr_assert_eq(weir_job_checkpoint(flow->job, &flow->error), WEIR_OK);
            watch_until(&flow->watch, &flow->watch.aborted, i);
            cr_expect(strstr(pipeline.notes.reason, "could not save") ||
                          strstr(pipeline.notes.reason, "refuse"),
                      "%s", pipeline.notes.reason);
        }
        flow_checkpoint(flow);
        cr_expect_gt(in_flight(&pipeline), 0);
        cr_expect_eq(flow->watch.newest, 3);
        flow_kill(flow);
        atomic_store(&refusals, 0);
        pipeline_finish(&pipeline);
        pipeline_close(&pipeline);
    }
}

/* ------------------------------------------------------------------------------- the budget -- */

/* numbers -> more -> stop -> ledger: the output of one record waits in more's outlet. And extra ->
 * slow -> more, slow being in the middle of a record: its marker does not come, so that more goes
 * on recording. Each number comes twice in the end. */
struct stuck {
    struct flow flow;
    struct ledger ledger;
    struct valve valve;
    struct turnstile turnstile;
    struct notes notes;
};

static void stuck_open(struct stuck *stuck, const uint64_t *factor)
{
    struct flow *flow = &stuck->flow;
    flow_init(flow);
    ledger_init(&stuck->ledger, 2 * *factor);
    valve_init(&stuck->valve);
    turnstile_init(&stuck->turnstile);
    notes_take(&stuck->notes, flow);
    flow->options.store = scratch.path;
    flow->options.interval_ns = -1;
    flow->options.mode = WEIR_UNALIGNED;
    flow->options.alignment_max_ns = 1000000;
    flow->options.batch_bytes = 1024;
    flow->options.window_batches = 1;
    weir_node more = weir_flat_map(flow->graph, "more", expand, factor);
    weir_node stop = valve_node(flow->graph, "stop", &stuck->valve, 1);
    weir_node slow = turnstile_node(flow->graph, "slow", &stuck->turnstile);
    weir_connect(flow->graph, flow_numbers(flow, "numbers", 2, 0, 1), more, WEIR_SPREAD);
    weir_connect(flow->graph, flow_numbers(flow, "extra", 2, 0, 1), slow, WEIR_SPREAD);
    weir_connect(flow->graph, slow, more, WEIR_SPREAD);
    weir_connect(flow->graph, more, stop, WEIR_SPREAD);
    weir_connect(flow->graph, stop, ledger_sink(flow->graph, "sink", &stuck->ledger, 1),
                 WEIR_SPREAD);
}

/* Until it is stuck. */
static void stuck_start(struct stuck *stuck)
{
    flow_start(&stuck->flow);
    valve_allow(&stuck->valve, 0, 10);
    tally_until(&stuck->valve.passed, 10);
    turnstile_until(&stuck->turnstile, 1);
}

/* Lets everything go, to the end. */
static void stuck_finish(struct stuck *stuck, uint64_t factor)
{
    turnstile_allow(&stuck->turnstile, 1000000);
    valve_open(&stuck->valve);
    flow_ends(&stuck->flow, WEIR_OUTCOME_ENDED);
    ledger_is(&stuck->ledger, 2 * factor, 2);
    flow_free(&stuck->flow);
    ledger_free(&stuck->ledger);
    valve_free(&stuck->valve);
    turnstile_free(&stuck->turnstile);
    notes_free(&stuck->notes);
}

/* S27: more in flight than may be recorded, and recording goes on: the round is given up for that
 * reason, by name; the stream goes on, and a later round succeeds when there is less in flight. */
Test(job_unaligned, more_in_flight_than_may_be_recorded_gives_up_the_round_and_nothing_else)
{
    for (int mode = WEIR_ADAPTIVE; mode <= WEIR_UNALIGNED; mode += 2) {
        struct stuck stuck;
        start_over();
        stuck_open(&stuck, &few);
        stuck.flow.options.mode = (enum weir_mode)mode;
        stuck.flow.options.recording_max = 1024;
        stuck_start(&stuck);
        for (unsigned i = 1; i <= 2; i++) {
            cr_assert_eq(weir_job_checkpoint(stuck.flow.job, &stuck.flow.error), WEIR_OK);
            watch_until(&stuck.flow.watch, &stuck.flow.watch.aborted, i);
            cr_expect(strstr(stuck.notes.reason, ".0 records, and all rounds hold ") &&
                          strstr(stuck.notes.reason, " of it; recording_max is 1.0 kB"),
                      "%s", stuck.notes.reason);
        }
        cr_expect_eq(stuck.flow.watch.committed, 0);
        stuck_finish(&stuck, few);
        store_is_sound(scratch.path);
    }
}

/* Whatever the budget, whatever becomes of the rounds. */
Test(job_unaligned, with_any_budget_the_output_is_exact_and_all_of_it_is_given_back)
{
    uint64_t seed = flow_seed();
    static const uint64_t budgets[] = {1, 3000, 9000, 20000, 60000, 200000};
    for (size_t i = 0; i < sizeof budgets / sizeof *budgets; i++) {
        struct pipeline pipeline;
        start_over();
        pipeline_open(&pipeline, i % 2 ? WEIR_UNALIGNED : WEIR_ADAPTIVE, 2);
        struct flow *flow = &pipeline.flow;
        flow->options.recording_max = budgets[i];
        flow->options.interval_ns = FLOW_SECOND / 1000;
        flow->options.rounds_at_once = 1 + (uint32_t)(flow_draw(&seed) % 8);
        for (unsigned run = 0; run < 6; run++) {
            flow_start(flow);
            for (unsigned n = 0; n < 6; n++) {
                valve_allow(&pipeline.valve, n % 2, (int64_t)(flow_draw(&seed) % 100));
                tally_until(&pipeline.notes.events, tally_read(&pipeline.notes.events) + 1);
            }
            flow_kill(flow);
            valve_shut(&pipeline.valve);
        }
        valve_open(&pipeline.valve);
        flow_start(flow);
        flow_ends(flow, WEIR_OUTCOME_ENDED);
        struct weir_status status = {WEIR_SIZED(struct weir_status)};
        weir_job_status(flow->job, &status);
        cr_expect_eq(status.memory_recorded, 0, "budget %d: %d bytes", (int)budgets[i],
                     (int)status.memory_recorded);
        flow_close(flow);
        ledger_is(&pipeline.ledger, RECORDS, 1);
        pipeline_close(&pipeline);
    }
}

/* --------------------------------------------------------------------------------- memory -- */

static enum weir_result hoard(struct weir_context *context, unsigned input,
                              const struct weir_record *record, const void *config)
{
    static const char value[1000];
    (void)input;
    (void)config;
    if (weir_put(context, 0, &record->key, (struct weir_bytes){value, sizeof value}))
        return WEIR_FAILED;
    return weir_emit(context, 0, record);
}

static void hoard_open(struct flow *flow, struct notes *notes, uint64_t memory_max)
{
    static const struct weir_state state = {WEIR_SIZED(struct weir_state), .name = "all"};
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options), .name = "hoard",
                                        .function = hoard, .states = &state, .state_count = 1};
    flow_init(flow);
    notes_take(notes, flow);
    flow->options.memory_max = memory_max;
    weir_node source = flow_numbers(flow, "numbers", 20000, 0, 1);
    weir_connect(flow->graph, source, weir_graph_add(flow->graph, &options), WEIR_BY_KEY);
}

Test(job_unaligned, memory_that_is_nearly_used_up_is_told_with_who_holds_it_and_then_fails_the_run)
{
    struct flow flow;
    struct notes notes;
    hoard_open(&flow, &notes, 4000000);
    flow_start(&flow);
    flow_ends(&flow, WEIR_OUTCOME_FAILED);
    cr_expect_eq(flow.error.code, WEIR_NO_MEMORY);
    cr_expect(strstr(flow.error.text, "of memory_max, 4.0 MB, are held") &&
                  strstr(flow.error.text, "hoard.0 "),
              "%s", flow.error.text);
    cr_expect_eq(strncmp(notes.warning, "memory is nearly used up: ", 26), 0, "%s", notes.warning);
    cr_expect(strstr(notes.warning, "hoard.0 ") && strstr(notes.warning, " of state, "), "%s",
              notes.warning);
    flow_free(&flow);
    notes_free(&notes);
}

Test(job_unaligned, memory_that_suffices_is_not_told_of)
{
    struct flow flow;
    struct notes notes;
    hoard_open(&flow, &notes, 400000000);
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    cr_expect_str_eq(notes.warning, "");
    flow_free(&flow);
    notes_free(&notes);
}

/* What rounds hold goes first. One record's output waits and takes most of the limit; with what a
 * round records of it, it is more. */
Test(job_unaligned, beyond_the_limit_rounds_are_given_up_for_what_they_hold_and_the_job_goes_on)
{
    struct stuck stuck;
    stuck_open(&stuck, &many);
    stuck.flow.options.memory_max = many * EXPANDED * 5 / 3;
    stuck_start(&stuck);
    cr_assert_eq(weir_job_checkpoint(stuck.flow.job, &stuck.flow.error), WEIR_OK);
    watch_until(&stuck.flow.watch, &stuck.flow.watch.aborted, 1);
    cr_expect(strstr(stuck.notes.reason, "of memory_max, 3.2 MB, are held; for rounds ") &&
                  strstr(stuck.notes.reason, "more.0 0 B of state"),
              "%s", stuck.notes.reason);
    stuck_finish(&stuck, many);
}

/* A task that never waits is seen as well: what it reads lies in its queue. */
Test(job_unaligned, what_is_in_flight_before_a_busy_task_is_told)
{
    struct flow flow;
    struct turnstile turnstile;
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    flow_init(&flow);
    turnstile_init(&turnstile);
    weir_node source = flow_numbers(&flow, "numbers", 1000, 0, 1);
    weir_connect(flow.graph, source, turnstile_node(flow.graph, "slow", &turnstile), WEIR_SPREAD);
    flow_start(&flow);
    for (uint64_t i = 0; i < 3; i++) {
        turnstile_until(&turnstile, i + 1);
        weir_job_status(flow.job, &status);
        cr_expect_gt(status.memory_flight, 0, "in the middle of record %d", (int)i);
        turnstile_allow(&turnstile, 1);
    }
    turnstile_allow(&turnstile, 1000000);
    flow_ends(&flow, WEIR_OUTCOME_ENDED);
    weir_job_status(flow.job, &status);
    cr_expect_eq(status.memory_flight, 0);
    flow_free(&flow);
    turnstile_free(&turnstile);
}

/* numbers -> hoard -> valve -> ledger. The valve lets through what the test allows: then the stream
 * is idle. What hoard holds in keyed state no checkpoint copies; what it saves itself, each does.
 */
#define LADEN 3000u

static enum weir_result laden_take(void *self, struct weir_context *context, unsigned input,
                                   const struct weir_record *record)
{
    (void)self;
    return hoard(context, input, record, NULL);
}

static enum weir_result laden_save(void *self, struct weir_context *context,
                                   struct weir_saver *saver)
{
    static const char item[1000000];
    (void)self;
    (void)context;
    for (int i = 0; i < 3; i++)
        weir_save(saver, WEIR_ITEM_SPLIT, (struct weir_bytes){item, sizeof item});
    return WEIR_OK;
}

static const struct weir_operator laden_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "hoard",
    .process = laden_take,
    .save = laden_save,
    .load = load_nothing,
};

struct laden {
    struct flow flow;
    struct ledger ledger;
    struct valve valve;
    struct notes notes;
};

static void laden_open(struct laden *laden)
{
    static const struct weir_state state = {WEIR_SIZED(struct weir_state), .name = "all"};
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options), .name = "hoard",
                                        .table = &laden_table, .states = &state, .state_count = 1};
    struct flow *flow = &laden->flow;
    start_over();
    flow_init(flow);
    ledger_init(&laden->ledger, LADEN);
    valve_init(&laden->valve);
    notes_take(&laden->notes, flow);
    flow->options.store = scratch.path;
    flow->options.interval_ns = -1;
    flow->options.memory_max = 4600000;
    weir_node source = flow_numbers(flow, "numbers", LADEN, 0, 1);
    weir_node node = weir_graph_add(flow->graph, &options);
    weir_node valve = valve_node(flow->graph, "valve", &laden->valve, 1);
    weir_connect(flow->graph, source, node, WEIR_BY_KEY);
    weir_connect(flow->graph, node, valve, WEIR_SPREAD);
    weir_connect(flow->graph, valve, ledger_sink(flow->graph, "sink", &laden->ledger, 1),
                 WEIR_SPREAD);
}

static void laden_close(struct laden *laden)
{
    flow_free(&laden->flow);
    ledger_free(&laden->ledger);
    valve_free(&laden->valve);
    notes_free(&laden->notes);
}

/* Lets so many through in all; hoard has taken as many at least. */
static void laden_until(struct laden *laden, uint64_t taken)
{
    valve_allow(&laden->valve, 0, (int64_t)(taken - tally_read(&laden->valve.passed)));
    tally_until(&laden->valve.passed, taken);
}

/* Until the stream is idle, and what hoard holds is known: 0.7 of the limit. */
static void laden_start(struct laden *laden, uint64_t taken)
{
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    flow_start(&laden->flow);
    laden_until(laden, taken);
    weir_job_status(laden->flow.job, &status);
    cr_expect_geq(status.memory_state, laden->flow.options.memory_max * 6 / 10, "%d bytes",
                  (int)status.memory_state);
    cr_expect_leq(status.memory_state, laden->flow.options.memory_max * 8 / 10, "%d bytes",
                  (int)status.memory_state);
}

static void is_given_up(struct laden *laden, unsigned times)
{
    struct flow *flow = &laden->flow;
    watch_until(&flow->watch, &flow->watch.aborted, times);
    cr_expect(strstr(laden->notes.reason, "with it there was more in memory than may be: ") &&
                  strstr(laden->notes.reason, "of memory_max, 4.6 MB, are held; for rounds ") &&
                  strstr(laden->notes.reason, " saved; hoard.0 "),
              "%s", laden->notes.reason);
}

/* The copy that a checkpoint writes counts, and goes first. */
Test(job_unaligned, a_checkpoint_whose_copy_does_not_fit_is_given_up_and_the_job_goes_on)
{
    struct laden laden;
    struct flow *flow = &laden.flow;
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    laden_open(&laden);
    laden_start(&laden, LADEN - 3);
    for (unsigned i = 1; i <= 3; i++) {
        cr_assert_eq(weir_job_checkpoint(flow->job, &flow->error), WEIR_OK);
        is_given_up(&laden, i);
    }
    laden_until(&laden, LADEN - 1);
    cr_expect_eq(flow->watch.committed, 0);
    flow_kill(flow);
    valve_shut(&laden.valve);
    flow->options.memory_max = 2 * flow->options.memory_max; /* room for both */
    flow_start(flow);
    flow_checkpoint(flow);
    valve_open(&laden.valve);
    flow_ends(flow, WEIR_OUTCOME_ENDED);
    weir_job_status(flow->job, &status);
    cr_expect_eq(status.memory_saved, 0);
    ledger_is(&laden.ledger, LADEN, 1);
    laden_close(&laden);
    store_is_sound(scratch.path);
}

Test(job_unaligned, a_savepoint_whose_checkpoint_does_not_fit_comes_to_nothing_and_says_so)
{
    struct laden laden;
    struct flow *flow = &laden.flow;
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    char path[200];
    laden_open(&laden);
    laden_start(&laden, LADEN - 1);
    snprintf(path, sizeof path, "%s.save", scratch.path);
    cr_assert_eq(weir_job_savepoint(flow->job, path, &flow->error), WEIR_OK);
    watch_until(&flow->watch, &flow->watch.unsaved, 1);
    weir_job_status(flow->job, &status);
    cr_expect(strstr(status.unsaved_reason, "with it there was more in memory than may be: "), "%s",
              status.unsaved_reason);
    cr_expect_neq(access(path, F_OK), 0);
    flow_kill(flow);
    valve_open(&laden.valve);
    flow->options.memory_max *= 2;
    flow_finish(flow);
    ledger_is(&laden.ledger, LADEN, 1);
    laden_close(&laden);
}

/* Nothing gets less any more: to try for ever would be to hang. */
Test(job_unaligned, a_job_whose_last_checkpoint_does_not_fit_fails_and_says_so)
{
    struct laden laden;
    struct flow *flow = &laden.flow;
    laden_open(&laden);
    laden_start(&laden, LADEN - 1);
    valve_open(&laden.valve);
    flow_ends(flow, WEIR_OUTCOME_FAILED);
    cr_expect_eq(flow->error.code, WEIR_NO_MEMORY);
    cr_expect(strstr(flow->error.text, "the last checkpoint does not fit into memory: ") &&
                  strstr(flow->error.text, " of memory_max, 4.6 MB, are held") &&
                  strstr(flow->error.text, " saved; hoard.0 "),
              "%s", flow->error.text);
    flow_close(flow);
    flow->options.memory_max *= 2;
    flow_finish(flow);
    ledger_is(&laden.ledger, LADEN, 1);
    laden_close(&laden);
}

/* It goes on, and tries again; who has waited long enough stops it at once. */
Test(job_unaligned, a_stop_whose_checkpoint_does_not_fit_is_tried_again_until_it_is_ended)
{
    struct laden laden;
    struct flow *flow = &laden.flow;
    laden_open(&laden);
    laden_start(&laden, LADEN - 1);
    flow_stop(flow, WEIR_STOP_SUSPEND);
    is_given_up(&laden, 5);
    flow_kill(flow);
    cr_expect_eq(flow->watch.committed, 0);
    flow->options.memory_max *= 2;
    valve_open(&laden.valve);
    flow_finish(flow);
    ledger_is(&laden.ledger, LADEN, 1);
    laden_close(&laden);
}

/* --------------------------------------------------------------------------------- a dump -- */

struct idle {
    const char *what;
    double ms; /* for which a task has done it, the one that has longest; -1: none does */
};

static void find_idle(void *context, const char *line)
{
    struct idle *idle = context;
    const char *found = strstr(line, idle->what);
    double amount;
    char unit[3] = "";
    if (!found || sscanf(found + strlen(idle->what), " for %lf %2[ms]", &amount, unit) != 2)
        return;
    double ms = *unit == 's' ? amount * 1000 : amount;
    idle->ms = ms > idle->ms ? ms : idle->ms;
}

static double idle_ms(struct flow *flow, const char *what)
{
    struct idle idle = {what, -1};
    weir_job_dump(flow->job, find_idle, &idle);
    return idle.ms;
}

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* A round is no new beginning: who waits has waited since before it. (The valve is woken by it, and
 * begins anew.) */
Test(job_unaligned, a_dump_says_how_long_a_task_has_waited_whatever_rounds_there_were)
{
    static const char *const whats[] = {"has ended", "waits for input or a time"};
    struct laden laden;
    struct flow *flow = &laden.flow;
    laden_open(&laden);
    flow->options.memory_max = 0;
    flow_start(flow);
    laden_until(&laden, LADEN - 1);
    for (size_t i = 0; i < sizeof whats / sizeof *whats; i++)
        while (idle_ms(flow, whats[i]) < 0)
            sched_yield();
    double began_ms = now_ms();
    for (unsigned i = 0; i < 3; i++)
        flow_checkpoint(flow);
    double waited_ms = now_ms() - began_ms;
    for (size_t i = 0; i < sizeof whats / sizeof *whats; i++) {
        double said_ms = idle_ms(flow, whats[i]);
        cr_expect_geq(said_ms, waited_ms * 0.9 - 0.1, "%s for %f ms of %f", whats[i], said_ms,
                      waited_ms);
    }
    valve_open(&laden.valve);
    flow_ends(flow, WEIR_OUTCOME_ENDED);
    laden_close(&laden);
}

/* -------------------------------------------------------------------------------- at random -- */

/* Stopped in any way at any moment, in any mode, with several rounds at once. */
Test(job_unaligned, abandoned_at_random_moments_in_changing_modes_the_output_is_exact)
{
    uint64_t seed = flow_seed();
    for (int i = 0; i < 4; i++) {
        struct pipeline pipeline;
        start_over();
        pipeline_open(&pipeline, WEIR_UNALIGNED, 1 + (uint32_t)(flow_draw(&seed) % 3));
        struct flow *flow = &pipeline.flow;
        flow->options.endpoint = i % 2 ? "tcp://127.0.0.1" : "inproc";
        flow->options.interval_ns = FLOW_SECOND / 500;
        flow->options.alignment_max_ns = 100000;
        for (unsigned run = 0; run < 12; run++) {
            flow->options.mode = (enum weir_mode)(flow_draw(&seed) % 3);
            flow->options.rounds_at_once = 1 + (uint32_t)(flow_draw(&seed) % 4);
            flow_start(flow);
            uint64_t base = tally_read(&pipeline.valve.passed), more = flow_draw(&seed) % 100;
            for (uint32_t n = 0; n < 3; n++)
                valve_allow(&pipeline.valve, n, (int64_t)more);
            tally_until(&pipeline.valve.passed, base + more / 3);
            if (flow->options.mode != WEIR_ALIGNED && flow_draw(&seed) % 3 == 0) {
                flow_stop(flow, WEIR_STOP_SUSPEND);
                (void)flow_wait(flow);
                flow_close(flow);
            } else {
                flow_kill(flow);
            }
            valve_shut(&pipeline.valve);
        }
        pipeline_finish(&pipeline);
        pipeline_close(&pipeline);
    }
}
