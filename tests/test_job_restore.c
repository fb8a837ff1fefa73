/* links: flow */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole jobs with a store: stopped, abandoned and failed at any moment, started again, and every
 * record's effect in the published output exactly once.
 */
#include "flow.h"

static struct scratch scratch;
static void scratch_open(void)
{
    scratch = scratch_make();
}
static void scratch_close(void)
{
    scratch_free(&scratch);
}
TestSuite(job_restore, .init = scratch_open, .fini = scratch_close);

/* ----------------------------------------------------------------------- a counting job -- */

/* numbers -> pass (SPREAD) -> count (BY_KEY, keyed cell) -> ledger. The count node emits for each
 * record key * 1000 + how many of that key came so far: numbers that are exact only if state is. */
#define KEYS 50u
#define PER_KEY 400u
#define RECORDS (KEYS * PER_KEY)

static enum weir_result count_one(struct weir_context *context, unsigned input,
                                  const struct weir_record *record, const void *config)
{
    uint64_t *cell = weir_cell(context, 0, &record->key);
    (void)input;
    (void)config;
    if (!cell)
        return WEIR_FAILED;
    uint64_t key, number;
    memcpy(&key, record->key.data, sizeof key);
    number = key * PER_KEY + (*cell)++;
    return weir_emit(context, 0,
                     &(struct weir_record){record->key, {&number, sizeof number}, WEIR_NO_TIME});
}

struct shape {
    const char *endpoint;
    uint64_t rate;
    uint32_t parallelism;
    uint32_t batch_bytes, window_batches;
    uint64_t records; /* 0: RECORDS */
};

static void draw(struct flow *flow, struct ledger *ledger, const struct shape *shape)
{
    flow_init(flow);
    flow->options.store = scratch.path;
    flow->options.interval_ns = FLOW_SECOND / 200;
    flow->options.endpoint = shape->endpoint;
    flow->options.parallelism = shape->parallelism;
    flow->options.batch_bytes = shape->batch_bytes;
    flow->options.window_batches = shape->window_batches;
    struct weir_sequence_source_options numbers = {
        WEIR_SIZED(struct weir_sequence_source_options),
        .count = shape->records ? shape->records : RECORDS, .keys = KEYS, .rate = shape->rate};
    weir_node source = weir_sequence_source(flow->graph, "numbers", &numbers);
    weir_node pass = weir_flat_map(flow->graph, "pass", flow_pass, NULL);
    static const struct weir_state state = {WEIR_SIZED(struct weir_state), .name = "seen",
                                            .value_size = 8, .format = "u64"};
    struct weir_node_options count = {WEIR_SIZED(struct weir_node_options), .name = "count",
                                      .function = count_one, .states = &state, .state_count = 1};
    weir_node counting = weir_graph_add(flow->graph, &count);
    weir_node sink = ledger_sink(flow->graph, "sink", ledger, 0);
    weir_connect(flow->graph, source, pass, WEIR_SPREAD);
    weir_connect(flow->graph, pass, counting, WEIR_BY_KEY);
    weir_connect(flow->graph, counting, sink, WEIR_FORWARD);
}

/* The chaos of one history: run after run ends in some way until the job has ended. */
static void chaos(const struct shape *shape, uint64_t *seed, unsigned stops)
{
    struct flow flow;
    struct ledger ledger;
    unsigned runs = 0;
    ledger_init(&ledger, RECORDS);
    draw(&flow, &ledger, shape);
    for (bool over = false; !over; runs++) {
        uint64_t dice = flow_draw(seed);
        uint64_t base = atomic_load(&ledger.taken);
        flow_start(&flow);
        if (runs >= stops)
            flow_wait(&flow);
        else if (dice % 8 != 0) /* sometimes at once */
            flow_until_taken(&flow, &ledger, base + (dice >> 8) % (RECORDS / stops) + 1);
        if (runs < stops && dice % 4 < 2) {
            flow_stop(&flow, dice % 4 ? WEIR_STOP_SUSPEND : WEIR_STOP_NOW);
            flow_wait(&flow);
        }
        enum weir_outcome outcome;
        over = weir_job_wait(flow.job, 0, &outcome, &flow.error) == WEIR_OK &&
               outcome != WEIR_OUTCOME_STOPPED;
        cr_assert(!over || outcome != WEIR_OUTCOME_FAILED, "%s", flow.error.text);
        flow_close(&flow);
    }
    ledger_is(&ledger, RECORDS, 1);
    flow_run(&flow, WEIR_OUTCOME_ALREADY_ENDED);
    ledger_is(&ledger, RECORDS, 1);
    flow_free(&flow);
    ledger_free(&ledger);
}

static void start_over(void)
{
    scratch_free(&scratch);
    scratch = scratch_make();
}

Test(job_restore, abandoned_at_random_moments_the_output_is_exact)
{
    uint64_t seed = flow_seed();
    for (int i = 0; i < 6; i++) {
        struct shape shape = {
            .endpoint = i % 2 ? "tcp://127.0.0.1" : "inproc",
            .rate = 60000,
            .parallelism = 1 + (uint32_t)(flow_draw(&seed) % 3),
            .batch_bytes = flow_draw(&seed) % 2 ? 1024 : 0,
            .window_batches = (uint32_t)(flow_draw(&seed) % 4),
        };
        start_over();
        chaos(&shape, &seed, 8);
    }
}

Test(job_restore, suspended_and_started_again_nothing_is_replayed)
{
    struct flow flow;
    struct ledger ledger;
    struct shape shape = {.rate = 50000, .parallelism = 2};
    ledger_init(&ledger, RECORDS);
    draw(&flow, &ledger, &shape);
    flow.options.interval_ns = -1;
    for (int i = 1; i <= 3; i++) {
        flow_start(&flow);
        flow_until_taken(&flow, &ledger, (uint64_t)i * 2000);
        flow_stop(&flow, WEIR_STOP_SUSPEND);
        flow_ends(&flow, WEIR_OUTCOME_STOPPED);
        struct weir_status status = {WEIR_SIZED(struct weir_status)};
        weir_job_status(flow.job, &status);
        cr_expect_eq(status.committed, 1);
        cr_expect_eq(status.outcome, WEIR_OUTCOME_STOPPED);
        cr_expect_eq(status.epoch, (uint32_t)i);
        flow_close(&flow);
        for (uint32_t n = 0; n < RECORDS; n++)
            cr_assert_leq(ledger.counts[n], 1);
        cr_assert_gt(ledger.published, 0);
    }
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    ledger_is(&ledger, RECORDS, 1);
    cr_expect_geq(flow.watch.committed, 4);
    flow_free(&flow);
    ledger_free(&ledger);
}

Test(job_restore, drained_the_job_has_ended_and_what_was_read_is_published)
{
    struct flow flow;
    struct ledger ledger;
    struct shape shape = {.rate = 20000, .parallelism = 2};
    ledger_init(&ledger, RECORDS);
    draw(&flow, &ledger, &shape);
    flow_start(&flow);
    flow_until_taken(&flow, &ledger, 1000);
    flow_stop(&flow, WEIR_STOP_DRAIN);
    flow_ends(&flow, WEIR_OUTCOME_ENDED);
    flow_close(&flow);
    cr_expect_eq(ledger.published, atomic_load(&ledger.taken));
    cr_expect_lt(ledger.published, RECORDS);
    flow_run(&flow, WEIR_OUTCOME_ALREADY_ENDED);
    cr_expect_eq(ledger.published, atomic_load(&ledger.taken));
    flow_free(&flow);
    ledger_free(&ledger);
}

Test(job_restore, a_stop_may_become_more_urgent)
{
    struct flow flow;
    struct ledger ledger;
    struct shape shape = {.rate = 1000, .parallelism = 1};
    ledger_init(&ledger, RECORDS);
    draw(&flow, &ledger, &shape);
    flow_start(&flow);
    flow_stop(&flow, WEIR_STOP_DRAIN);
    flow_stop(&flow, WEIR_STOP_SUSPEND);
    flow_stop(&flow, WEIR_STOP_NOW);
    enum weir_outcome outcome = flow_wait(&flow);
    cr_expect(outcome == WEIR_OUTCOME_STOPPED || outcome == WEIR_OUTCOME_ENDED);
    flow_stop(&flow, WEIR_STOP_NOW); /* of a job that is over: nothing */
    cr_expect_eq(weir_job_stop(flow.job, (enum weir_stop)7, &flow.error), WEIR_INVALID);
    flow_free(&flow);
    ledger_free(&ledger);
}

Test(job_restore, an_ended_job_stays_ended_however_short_the_interval)
{
    struct flow flow;
    struct ledger ledger;
    struct shape shape = {.parallelism = 4, .records = 100};
    ledger_init(&ledger, RECORDS);
    draw(&flow, &ledger, &shape);
    flow.options.interval_ns = 1;
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    for (int i = 0; i < 30; i++)
        flow_run(&flow, WEIR_OUTCOME_ALREADY_ENDED);
    flow_free(&flow);
    ledger_free(&ledger);
}

/* -------------------------------------------------------------------- which checkpoint -- */

Test(job_restore, a_named_checkpoint_none_and_one_that_is_not_there)
{
    struct flow flow;
    struct ledger ledger;
    struct shape shape = {.rate = 20000, .parallelism = 1};
    ledger_init(&ledger, RECORDS);
    draw(&flow, &ledger, &shape);
    flow.options.interval_ns = -1;
    flow.options.retain = 2;
    flow_start(&flow);
    uint64_t ids[3];
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(weir_job_checkpoint(flow.job, &flow.error), WEIR_OK);
        watch_until(&flow.watch, &flow.watch.committed, i + 1);
        ids[i] = flow.watch.newest;
        cr_assert(i == 0 || ids[i] > ids[i - 1]);
    }
    flow_close(&flow);

    flow.options.restore = WEIR_RESTORE_ID;
    flow.options.restore_id = ids[0]; /* not retained */
    cr_expect_eq(weir_job_start(flow.graph, &flow.options, &flow.job, &flow.error), WEIR_NOT_FOUND,
                 "%s", flow.error.text);
    cr_expect_null(flow.job);
    flow.options.restore_id = ids[2] + 50;
    cr_expect_eq(weir_job_start(flow.graph, &flow.options, &flow.job, &flow.error), WEIR_NOT_FOUND,
                 "%s", flow.error.text);
    flow.options.restore_id = ids[1];
    flow_start(&flow);
    cr_expect_eq(flow.watch.restored_from, ids[1]);
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    weir_job_status(flow.job, &status);
    cr_expect_eq(status.restored_from, ids[1]);
    flow_close(&flow);
    flow.options.restore = WEIR_RESTORE_NONE;
    flow_start(&flow);
    cr_expect_eq(flow.watch.restored_from, 0);
    cr_assert_eq(weir_job_checkpoint(flow.job, &flow.error), WEIR_OK);
    watch_until(&flow.watch, &flow.watch.committed, 4);
    cr_expect_gt(flow.watch.newest, ids[2], "ids never repeat");
    flow_free(&flow);
    ledger_free(&ledger);
}

static unsigned folders(const char *path)
{
    unsigned count = 0;
    char command[300];
    snprintf(command, sizeof command, "ls %s/checkpoints | wc -l", path);
    FILE *pipe = popen(command, "r");
    cr_assert_eq(fscanf(pipe, "%u", &count), 1);
    pclose(pipe);
    return count;
}

Test(job_restore, as_many_checkpoints_are_kept_as_asked_for)
{
    for (uint32_t retain = 0; retain <= 4; retain += 2) {
        struct flow flow;
        struct ledger ledger;
        struct shape shape = {.rate = 20000, .parallelism = 1};
        start_over();
        ledger_init(&ledger, RECORDS);
        draw(&flow, &ledger, &shape);
        flow.options.retain = retain;
        flow_start(&flow);
        watch_until(&flow.watch, &flow.watch.committed, 8);
        flow_stop(&flow, WEIR_STOP_SUSPEND); /* else a round may be half done */
        flow_wait(&flow);
        flow_close(&flow);
        cr_expect_eq(folders(scratch.path), retain ? retain : 3);
        flow_free(&flow);
        ledger_free(&ledger);
    }
}

Test(job_restore, two_runs_on_one_store_the_second_is_refused)
{
    struct flow first, second;
    struct ledger ledger;
    struct shape shape = {.rate = 20000, .parallelism = 1};
    ledger_init(&ledger, RECORDS);
    draw(&first, &ledger, &shape);
    draw(&second, &ledger, &shape);
    flow_start(&first);
    cr_expect_eq(weir_job_start(second.graph, &second.options, &second.job, &second.error),
                 WEIR_LOCKED);
    flow_ends(&first, WEIR_OUTCOME_ENDED);
    ledger_is(&ledger, RECORDS, 1);
    flow_free(&first);
    flow_free(&second);
    ledger_free(&ledger);
}

/* ----------------------------------------------------------------------- another graph -- */

struct change {
    const char *node; /* name of the counting node */
    const char *state;
    uint32_t state_version, state_size, operator_version;
    uint32_t parallelism;
    enum weir_routing routing;
    enum weir_result result;
    const char *says[3];
};

static enum weir_result put_one(void *self, struct weir_context *context, unsigned input,
                                const struct weir_record *record)
{
    (void)self;
    (void)input;
    return weir_cell(context, 0, &record->key) ? WEIR_OK : WEIR_FAILED;
}

static enum weir_result try_change(const struct change *change, struct weir_error *error)
{
    struct flow flow;
    flow_init(&flow);
    flow.options.store = scratch.path;
    struct weir_operator table = {WEIR_SIZED(struct weir_operator), .kind = "put",
                                  .version = change->operator_version, .process = put_one};
    struct weir_state state = {WEIR_SIZED(struct weir_state), .name = change->state,
                               .version = change->state_version, .value_size = change->state_size};
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options),
                                        .name = change->node,
                                        .table = &table,
                                        .states = &state,
                                        .state_count = 1,
                                        .parallelism = change->parallelism};
    weir_node source = flow_numbers(&flow, "numbers", 10, 0, 1);
    weir_node pass = weir_flat_map(flow.graph, "pass", flow_pass, NULL);
    weir_node put = weir_graph_add(flow.graph, &options);
    weir_connect(flow.graph, source, pass, change->routing);
    weir_connect(flow.graph, pass, put, WEIR_BY_KEY);
    enum weir_result result = weir_job_start(flow.graph, &flow.options, &flow.job, &flow.error);
    if (!result)
        flow_wait(&flow);
    *error = flow.error;
    flow_free(&flow);
    return result;
}

Test(job_restore, a_graph_that_the_checkpoint_does_not_fit_is_refused_and_the_difference_named)
{
    struct change same = {"put", "seen", 1, 8, 1, 1, WEIR_SPREAD, WEIR_OK, {0}};
    struct weir_error error = {0};
    cr_assert_eq(try_change(&same, &error), WEIR_OK, "%s", error.text);
    struct change changes[] = {
        {"place",
         "seen",
         1,
         8,
         1,
         1,
         WEIR_SPREAD,
         WEIR_MISMATCH,
         {"'seen' of node 'put': 10 keys", "--allow-dropped-state"}},
        {"put",
         "saw",
         1,
         8,
         1,
         1,
         WEIR_SPREAD,
         WEIR_MISMATCH,
         {"'seen' of node 'put': 10 keys", "renamed"}},
        {"put",
         "seen",
         2,
         8,
         1,
         1,
         WEIR_SPREAD,
         WEIR_MISMATCH,
         {"'seen' of node 'put' was version 1 and is 2", "migrate"}},
        {"put",
         "seen",
         0,
         8,
         1,
         1,
         WEIR_SPREAD,
         WEIR_MISMATCH,
         {"was version 1 and is 0, an older one"}},
        {"put", "seen", 1, 16, 1, 1, WEIR_SPREAD, WEIR_MISMATCH, {"8 bytes and has 16"}},
        {"put", "seen", 1, 8, 2, 1, WEIR_SPREAD, WEIR_OK, {0}}, /* load is told */
        {"put", "seen", 1, 8, 1, 2, WEIR_SPREAD, WEIR_OK, {0}},
        {"put",
         "seen",
         1,
         8,
         1,
         1,
         WEIR_FORWARD,
         WEIR_MISMATCH, /* another edge */
         {"'pass' has an input that the checkpoint does not know"}},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        error.text[0] = 0;
        cr_expect_eq(try_change(&changes[i], &error), changes[i].result, "change %zu: %s", i,
                     error.text);
        for (int k = 0; k < 3 && changes[i].says[k]; k++)
            cr_expect(strstr(error.text, changes[i].says[k]) != NULL, "change %zu: %s", i,
                      error.text);
    }
    cr_expect_eq(try_change(&same, &error), WEIR_OK, "%s", error.text);
}

/* --------------------------------------------------------------- operator state, finish -- */

/* Passes records on and keeps items of every kind, whose order and bytes must come back. */
struct keeper {
    uint64_t count;
    bool loaded;
};

static atomic_uint keeper_loads, keeper_wrong;

static enum weir_result keep_process(void *self, struct weir_context *context, unsigned input,
                                     const struct weir_record *record)
{
    (void)input;
    ((struct keeper *)self)->count++;
    return weir_emit(context, 0, record);
}

static enum weir_result keep_save(void *self, struct weir_context *context,
                                  struct weir_saver *saver)
{
    static const unsigned char large[100000] = {1, 2, 3};
    struct keeper *keeper = self;
    (void)context;
    weir_save(saver, WEIR_ITEM_UNION, (struct weir_bytes){&keeper->count, sizeof keeper->count});
    weir_save(saver, WEIR_ITEM_SPLIT, (struct weir_bytes){NULL, 0});
    weir_save(saver, WEIR_ITEM_BROADCAST, (struct weir_bytes){large, sizeof large});
    weir_save_note(saver, "%0300d", 5);
    return WEIR_OK;
}

static enum weir_result keep_load(void *self, struct weir_context *context,
                                  struct weir_loader *loader, uint32_t version)
{
    struct keeper *keeper = self;
    enum weir_item kinds[4];
    struct weir_bytes items[4];
    unsigned count = 0;
    while (count < 4 && weir_load_next(loader, &kinds[count], &items[count]))
        count++;
    bool right = weir_restored(context) && version == 77 && count == 3 && !keeper->loaded &&
                 kinds[0] == WEIR_ITEM_UNION && items[0].size == sizeof keeper->count &&
                 kinds[1] == WEIR_ITEM_SPLIT && items[1].size == 0 &&
                 kinds[2] == WEIR_ITEM_BROADCAST && items[2].size == 100000;
    if (right)
        memcpy(&keeper->count, items[0].data, sizeof keeper->count);
    keeper->loaded = true;
    atomic_fetch_add(&keeper_loads, 1);
    atomic_fetch_add(&keeper_wrong, !right);
    return WEIR_OK;
}

/* Emits its count at the end: that of all runs. */
static enum weir_progress keep_finish(void *self, struct weir_context *context)
{
    struct keeper *keeper = self;
    if (weir_watermark(context) != WEIR_END_OF_TIME)
        weir_fail(context, WEIR_FAILED, "the watermark must stand at the end");
    uint64_t number = keeper->count + 1000000;
    weir_emit(context, 0, &(struct weir_record){{NULL, 0}, {&number, sizeof number}, WEIR_NO_TIME});
    return WEIR_END;
}

static const struct weir_operator keeper_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "keeper",
    .self_size = sizeof(struct keeper),
    .version = 77,
    .process = keep_process,
    .finish = keep_finish,
    .save = keep_save,
    .load = keep_load,
};

Test(job_restore, operator_state_comes_back_item_by_item_chained_or_not)
{
    for (int chained = 0; chained < 2; chained++) {
        struct flow flow;
        struct ledger ledger;
        start_over();
        ledger_init(&ledger, 1010001);
        flow_init(&flow);
        flow.options.store = scratch.path;
        flow.options.interval_ns = -1;
        struct weir_sequence_source_options numbers = {
            WEIR_SIZED(struct weir_sequence_source_options), .count = 10000, .rate = 30000};
        weir_node source = weir_sequence_source(flow.graph, "numbers", &numbers);
        weir_node keeper = flow_add(&flow, "keeper", &keeper_table, NULL, 1);
        weir_node sink = ledger_sink(flow.graph, "sink", &ledger, 1);
        weir_connect(flow.graph, source, keeper, chained ? WEIR_FORWARD : WEIR_SPREAD);
        weir_connect(flow.graph, keeper, sink, chained ? WEIR_FORWARD : WEIR_SPREAD);
        atomic_store(&keeper_loads, 0);
        atomic_store(&keeper_wrong, 0);
        for (unsigned i = 1; i <= 3; i++) {
            flow_start(&flow);
            flow_until_taken(&flow, &ledger, i * 1000);
            flow_stop(&flow, WEIR_STOP_SUSPEND);
            flow_ends(&flow, WEIR_OUTCOME_STOPPED);
            flow_close(&flow);
        }
        flow_run(&flow, WEIR_OUTCOME_ENDED);
        cr_expect_eq(keeper_loads, 3);
        cr_expect_eq(keeper_wrong, 0);
        for (uint64_t i = 0; i < 10000; i++)
            cr_assert_eq(ledger.counts[i], 1);
        cr_expect_eq(ledger.counts[1010000], 1);
        flow_free(&flow);
        ledger_free(&ledger);
    }
}

static enum weir_result load_in_vain(void *self, struct weir_context *context,
                                     struct weir_loader *loader, uint32_t version)
{
    (void)self, (void)context, (void)version;
    weir_load_item(loader, NULL);
    weir_load_u64(loader);
    weir_load_u32(loader);
    return WEIR_OK; /* the loader knows better */
}

static enum weir_result save_unended(void *self, struct weir_context *context,
                                     struct weir_saver *saver)
{
    (void)self, (void)context;
    weir_save_begin(saver, WEIR_ITEM_SPLIT);
    weir_save_text(saver, "and then?");
    return WEIR_OK;
}

/* A keeper between ten numbers and a ledger, with other callbacks; the answer is the start's, or
 * the failed run's. */
static enum weir_result run_keeper(const struct weir_operator *table, struct weir_error *error)
{
    struct flow flow;
    struct ledger ledger;
    enum weir_outcome outcome;
    ledger_init(&ledger, 1010001);
    ledger.forgets = true; /* each run has another one */
    flow_init(&flow);
    flow.options.store = scratch.path;
    flow.options.interval_ns = -1;
    flow.options.tolerated = 1;
    weir_node keeper = flow_add(&flow, "keeper", table, NULL, 1);
    weir_connect(flow.graph, flow_numbers(&flow, "numbers", 10, 0, 1), keeper, WEIR_SPREAD);
    weir_connect(flow.graph, keeper, ledger_sink(flow.graph, "sink", &ledger, 1), WEIR_SPREAD);
    enum weir_result result = weir_job_start(flow.graph, &flow.options, &flow.job, error);
    if (!result) {
        outcome = flow_wait(&flow);
        result = outcome == WEIR_OUTCOME_FAILED ? flow.error.code : WEIR_OK;
        *error = flow.error;
    }
    flow_free(&flow);
    ledger_free(&ledger);
    return result;
}

Test(job_restore, a_load_that_asks_for_too_much_fails_by_operator_item_and_byte)
{
    struct weir_operator table = keeper_table;
    struct weir_error error = {0};
    cr_assert_eq(run_keeper(&table, &error), WEIR_OK, "%s", error.text);
    table.load = load_in_vain;
    cr_expect_eq(run_keeper(&table, &error), WEIR_DAMAGED);
    cr_expect(strstr(error.text, "keeper[0]"), "%s", error.text);
    cr_expect(strstr(error.text, "item 1, at byte 8 of 8: 4 bytes are expected"), "%s", error.text);
}

Test(job_restore, an_item_that_is_not_ended_is_no_checkpoint)
{
    struct weir_operator table = keeper_table;
    struct weir_error error = {0};
    table.save = save_unended;
    cr_expect_eq(run_keeper(&table, &error), WEIR_FAILED);
    cr_expect(strstr(error.text, "checkpoints in a row"), "%s", error.text);
}

static uint32_t told_version;

static enum weir_result drop_one(void *self, struct weir_context *context, unsigned input,
                                 const struct weir_record *record)
{
    (void)self;
    (void)context;
    (void)input;
    (void)record;
    return WEIR_OK;
}

static enum weir_result note_version(void *self, struct weir_context *context,
                                     struct weir_loader *loader, uint32_t version)
{
    (void)self;
    (void)context;
    (void)loader;
    told_version = version;
    return WEIR_OK;
}

static enum weir_result run_version(uint32_t version, struct weir_error *error)
{
    struct flow flow;
    flow_init(&flow);
    flow.options.store = scratch.path;
    struct weir_operator table = {WEIR_SIZED(struct weir_operator), .kind = "put",
                                  .version = version, .process = drop_one, .load = note_version};
    weir_connect(flow.graph, flow_numbers(&flow, "numbers", 10, 0, 1),
                 flow_add(&flow, "put", &table, NULL, 1), WEIR_FORWARD);
    enum weir_result result = weir_job_start(flow.graph, &flow.options, &flow.job, error);
    if (!result)
        flow_wait(&flow);
    flow_free(&flow);
    return result;
}

Test(job_restore, load_is_told_the_version_that_saved_older_or_newer)
{
    struct weir_error error = {0};
    cr_assert_eq(run_version(5, &error), WEIR_OK, "%s", error.text);
    for (uint32_t version = 4; version <= 6; version++) {
        told_version = 0;
        cr_expect_eq(run_version(version, &error), WEIR_OK, "%s", error.text);
        cr_expect_eq(told_version, 5);
    }
}

/* finish hands out one key of the state a call; cuts and ends of runs fall between calls. */
static enum weir_result store_key(void *self, struct weir_context *context, unsigned input,
                                  const struct weir_record *record)
{
    (void)self;
    (void)input;
    return weir_put(context, 0, &record->key, record->value);
}

static atomic_bool finish_slowly;

static enum weir_progress scan_finish(void *self, struct weir_context *context)
{
    struct weir_bytes key, value;
    uint64_t *calls = self;
    if (atomic_load(&finish_slowly) && ++*calls % 2)
        return weir_idle(context, weir_now(context) + 20000, -1);
    if (!weir_scan_next(context, 0, &key, &value))
        return WEIR_END;
    weir_emit(context, 0, &(struct weir_record){key, value, WEIR_NO_TIME});
    return WEIR_MORE;
}

static const struct weir_operator scan_table = {WEIR_SIZED(struct weir_operator), .kind = "scan",
                                                .self_size = 8, .process = store_key,
                                                .finish = scan_finish};

Test(job_restore, a_scan_in_finish_goes_on_where_the_cut_was)
{
    struct flow flow;
    struct ledger ledger;
    ledger_init(&ledger, 20000);
    flow_init(&flow);
    flow.options.store = scratch.path;
    flow.options.interval_ns = FLOW_SECOND / 500;
    weir_node source = flow_numbers(&flow, "numbers", 20000, 0, 1);
    static const struct weir_state state = {WEIR_SIZED(struct weir_state), .name = "all"};
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options),
                                        .name = "scan",
                                        .table = &scan_table,
                                        .states = &state,
                                        .state_count = 1,
                                        .parallelism = 2};
    weir_node scan = weir_graph_add(flow.graph, &options);
    weir_connect(flow.graph, source, scan, WEIR_BY_KEY);
    weir_connect(flow.graph, scan, ledger_sink(flow.graph, "sink", &ledger, 1), WEIR_SPREAD);
    atomic_store(&finish_slowly, true);
    uint64_t seed = flow_seed();
    for (unsigned i = 1; i <= 12; i++) {
        flow_start(&flow);
        flow_until_taken(&flow, &ledger, atomic_load(&ledger.taken) + 200 + flow_draw(&seed) % 800);
        if (i % 3 == 0) {
            flow_stop(&flow, WEIR_STOP_SUSPEND);
            flow_wait(&flow);
        }
        flow_close(&flow);
    }
    atomic_store(&finish_slowly, false);
    flow_finish(&flow);
    ledger_is(&ledger, 20000, 1);
    flow_free(&flow);
    ledger_free(&ledger);
}
