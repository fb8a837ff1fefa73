/* links: flow */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time travel: a stretch of an earlier run once more. Operators in the middle are given what they
 * were given then, as far as was asked; nobody else sees anything of it.
 */
#include "flow.h"

#include <stdatomic.h>

#define COUNT 6000u
#define STEP 1000 /* of event time, from a number to the next */
#define SOURCES 2u

static struct scratch scratch;
static struct flow flow;
static struct ledger ledger;

/* What operators in the middle have seen of the run that goes on. */
static struct seen {
    atomic_uint_fast64_t count, sum, least, most;
    atomic_uint finished;
    _Atomic int64_t watermark; /* highest */
} seen;

static void raise_to(_Atomic int64_t *to, int64_t value)
{
    int64_t now = atomic_load(to);
    while (now < value && !atomic_compare_exchange_weak(to, &now, value))
        continue;
}

static enum weir_result see(void *self, struct weir_context *context, unsigned input,
                            const struct weir_record *record)
{
    uint64_t number = flow_number(record), now;
    (void)self;
    (void)input;
    atomic_fetch_add(&seen.count, 1);
    atomic_fetch_add(&seen.sum, number);
    now = atomic_load(&seen.least);
    while (now > number && !atomic_compare_exchange_weak(&seen.least, &now, number))
        continue;
    now = atomic_load(&seen.most);
    while (now < number && !atomic_compare_exchange_weak(&seen.most, &now, number))
        continue;
    raise_to(&seen.watermark, weir_watermark(context));
    return weir_emit(context, 0, record);
}

static enum weir_progress see_the_end(void *self, struct weir_context *context)
{
    (void)self;
    raise_to(&seen.watermark, weir_watermark(context));
    atomic_fetch_add(&seen.finished, 1);
    return WEIR_END;
}

static const struct weir_operator watcher = {WEIR_SIZED(struct weir_operator), .kind = "watcher",
                                             .process = see, .finish = see_the_end};

static void forget(void)
{
    atomic_store(&seen.count, 0);
    atomic_store(&seen.sum, 0);
    atomic_store(&seen.least, UINT64_MAX);
    atomic_store(&seen.most, 0);
    atomic_store(&seen.finished, 0);
    atomic_store(&seen.watermark, WEIR_NO_TIME);
}

static weir_node begin(weir_node source)
{
    weir_node middle = flow_add(&flow, "middle", &watcher, NULL, 1);
    weir_connect(flow.graph, source, middle, WEIR_SPREAD);
    weir_connect(flow.graph, middle, ledger_sink(flow.graph, "sink", &ledger, 2), WEIR_SPREAD);
    return middle;
}

static void setup(void)
{
    scratch = scratch_make();
    ledger_init(&ledger, COUNT);
    flow_init(&flow);
    flow.options.store = scratch_join(scratch.path, "store");
    flow.options.interval_ns = -1;
    flow.options.mode =
        WEIR_ALIGNED; /* nothing is in flight: what a source gives is all there is */
    forget();
}

static void teardown(void)
{
    flow_free(&flow);
    ledger_free(&ledger);
    scratch_free(&scratch);
}
TestSuite(job_replay, .init = setup, .fini = teardown, .timeout = 120);

/* The first run is stopped somewhere: checkpoint 1. Then everything else is processed: 2. Answers
 * how many records the first gave. */
static uint64_t run_twice(void)
{
    flow_start(&flow);
    cr_assert(flow_until_taken(&flow, &ledger, 500));
    flow_stop(&flow, WEIR_STOP_SUSPEND);
    flow_ends(&flow, WEIR_OUTCOME_STOPPED);
    flow_close(&flow);
    uint64_t given = ledger.published; /* the marker was behind all of it */
    cr_assert(given >= 500 && given < COUNT - 1000, "%llu: a poor test", (unsigned long long)given);
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    ledger_is(&ledger, COUNT, 1);
    cr_assert(atomic_load(&seen.finished) == 1 && atomic_load(&seen.watermark) == WEIR_END_OF_TIME);
    forget();
    flow.options.no_publish = true;
    flow.options.restore = WEIR_RESTORE_ID;
    flow.options.restore_id = 1;
    return given;
}

static void nothing_was_published(void)
{
    ledger_is(&ledger, COUNT, 1);
    cr_assert(ledger.published == COUNT && ledger.wrong == 0);
}

static void seen_is(uint64_t first, uint64_t count)
{
    cr_assert_eq(atomic_load(&seen.count), count, "%llu", (unsigned long long)seen.count);
    cr_assert_eq(atomic_load(&seen.least), first);
    cr_assert_eq(atomic_load(&seen.most), first + count - 1);
    cr_assert_eq(atomic_load(&seen.sum), count * first + count * (count - 1) / 2);
}

Test(job_replay, goes_on_from_a_checkpoint_and_publishes_nothing)
{
    begin(flow_times(&flow, "numbers", COUNT, 20000, STEP));
    uint64_t given = run_twice(), handles = ledger.handles;
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    seen_is(given, COUNT - given);
    cr_assert_eq(atomic_load(&seen.finished), 1, "without a limit the input ends as ever");
    cr_assert_eq(ledger.handles, handles, "the sink was asked for something");
    nothing_was_published();
}

Test(job_replay, ends_after_so_many_records_each_time_alike)
{
    begin(flow_times(&flow, "numbers", COUNT, 20000, STEP));
    uint64_t given = run_twice();
    flow.options.until_records = 123;
    for (int i = 0; i < 3; i++) {
        forget();
        flow_run(&flow, WEIR_OUTCOME_ENDED);
        seen_is(given, 123);
        cr_assert_eq(atomic_load(&seen.finished), 0, "the input is not at its end");
        cr_assert(atomic_load(&seen.watermark) < WEIR_END_OF_TIME);
    }
    forget();
    flow.options.until_records = COUNT; /* the input has not so many */
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    seen_is(given, COUNT - given);
    cr_assert_eq(atomic_load(&seen.finished), 0);
    nothing_was_published();
}

Test(job_replay, ends_before_the_first_record_of_a_later_time)
{
    begin(flow_times(&flow, "numbers", COUNT, 20000, STEP));
    uint64_t given = run_twice(), last = given + 77;
    flow.options.until_time = (int64_t)last * STEP;
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    seen_is(given, 78);
    cr_assert(atomic_load(&seen.watermark) <= flow.options.until_time);
    forget();
    flow.options.until_time = (int64_t)last * STEP - 1;
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    seen_is(given, 77);
    nothing_was_published();
}

Test(job_replay, says_that_a_time_limits_nothing_where_nobody_gives_times)
{
    static const char says[] = "no record and no watermark had an event time";
    begin(flow_times(&flow, "numbers", COUNT, 20000, 0)); /* no times */
    uint64_t given = run_twice();
    cr_assert_null(strstr(flow.watch.last_log, says));
    flow.options.until_time = STEP;
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    seen_is(given, COUNT - given);
    cr_assert_not_null(strstr(flow.watch.last_log, says), "%s", flow.watch.last_log);
}

Test(job_replay, says_nothing_of_a_time_that_is_later_than_all)
{
    begin(flow_times(&flow, "numbers", COUNT, 20000, STEP));
    uint64_t given = run_twice();
    flow.options.until_time = (int64_t)COUNT * STEP;
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    seen_is(given, COUNT - given);
    cr_assert_null(strstr(flow.watch.last_log, "event time"), "%s", flow.watch.last_log);
}

/* Times are given in the middle: what is late goes no further, whoever emits it. */
static enum weir_result give_time(void *self, struct weir_context *context, unsigned input,
                                  const struct weir_record *record)
{
    struct weir_record timed = *record;
    (void)self;
    (void)input;
    timed.time = (int64_t)(1 + flow_number(record)) * STEP;
    enum weir_result result = weir_emit(context, 0, &timed);
    weir_emit_watermark(context, timed.time);
    return result;
}

static const struct weir_operator timer = {WEIR_SIZED(struct weir_operator), .kind = "timer",
                                           .process = give_time};

Test(job_replay, ends_at_a_time_that_records_are_given_behind_their_source)
{
    weir_node source = flow_numbers(&flow, "numbers", COUNT, 0, 1);
    weir_node timed = flow_add(&flow, "timed", &timer, NULL, 1);
    weir_connect(flow.graph, source, timed, WEIR_FORWARD);
    begin(timed);
    flow.options.store = NULL; /* from the beginning */
    flow.options.no_publish = true;
    flow.options.until_time = 40 * STEP + STEP / 2;
    flow_start(&flow);
    flow_ends(&flow, WEIR_OUTCOME_ENDED);
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    weir_job_status(flow.job, &status);
    flow_close(&flow);
    seen_is(0, 40);
    cr_assert(atomic_load(&seen.watermark) <= flow.options.until_time);
    cr_assert_lt(status.records_emitted, COUNT, "the source was not told");
    cr_assert_eq(ledger.published, 0);
}

Test(job_replay, each_subtask_of_a_source_gives_so_many)
{
    begin(flow_numbers(&flow, "numbers", COUNT, 0, SOURCES));
    flow.options.store = NULL;
    flow.options.no_publish = true;
    flow.options.until_records = 50;
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    cr_assert_eq(atomic_load(&seen.count), SOURCES * 50);
    uint64_t sum = atomic_load(&seen.sum);
    forget();
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    cr_assert_eq(atomic_load(&seen.sum), sum);
}

/* A sink that is not asked for anything is not opened either; its state and handles are passed
 * over. Another parallelism makes no difference. */
Test(job_replay, another_parallelism_and_a_job_that_runs_meanwhile)
{
    begin(flow_times(&flow, "numbers", COUNT, 4000, STEP));
    flow_start(&flow);
    cr_assert(flow_until_taken(&flow, &ledger, 300));
    cr_assert_eq(weir_job_checkpoint(flow.job, &flow.error), WEIR_OK);
    watch_until(&flow.watch, &flow.watch.committed, 1);
    struct weir_job_options options = {WEIR_SIZED(struct weir_job_options),
                                       .store = flow.options.store, .no_publish = true,
                                       .parallelism = 3, .until_records = 10};
    struct weir_error error = {0};
    enum weir_outcome outcome;
    struct weir_job *replay;
    struct weir_graph *running = flow.graph;
    flow.graph = weir_graph_new(NULL);
    weir_node source = flow_times(&flow, "numbers", COUNT, 4000, STEP);
    begin(source);
    cr_assert_eq(weir_job_start(flow.graph, &options, &replay, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(weir_job_wait(replay, FLOW_DEADLINE, &outcome, &error), WEIR_OK);
    cr_assert_eq(outcome, WEIR_OUTCOME_ENDED, "%s", error.text);
    weir_job_close(&replay);
    weir_graph_free(&flow.graph);
    flow.graph = running;
    flow_ends(&flow, WEIR_OUTCOME_ENDED);
    flow_close(&flow);
    ledger_is(&ledger, COUNT, 1);
}

static enum weir_result commit(void *self, struct weir_context *context, struct weir_bytes handle)
{
    (void)self, (void)context, (void)handle;
    return WEIR_OK;
}

static enum weir_result prepare(void *self, struct weir_context *context, uint64_t id)
{
    (void)self, (void)context, (void)id;
    return WEIR_OK;
}

static void refused(const char *why)
{
    cr_assert_eq(weir_job_start(flow.graph, &flow.options, &flow.job, &flow.error), WEIR_INVALID);
    cr_assert(strstr(flow.error.text, why), "%s", flow.error.text);
}

Test(job_replay, what_has_no_sense_is_refused)
{
    static const struct weir_operator both = {WEIR_SIZED(struct weir_operator), .kind = "both",
                                              .process = see, .prepare = prepare, .commit = commit};
    weir_node middle = flow_add(&flow, "both", &both, NULL, 1);
    weir_connect(flow.graph, flow_numbers(&flow, "numbers", COUNT, 0, 1), middle, WEIR_SPREAD);
    begin(middle);
    flow.options.until_records = 1;
    refused("they go with no_publish alone");
    flow.options.no_publish = true;
    refused("node both publishes, and others go on from it");
    flow.options.until_time = -1;
    refused("until_time: after 1970");
    flow.options.until_time = 0;
    flow.options.dead_letters = "letters";
    refused("no_publish: there are no dead letters");
}

static enum weir_result open_folder(void *self, struct weir_context *context, const void *config)
{
    char path[300];
    struct weir_error error = {0};
    (void)self, (void)config;
    enum weir_result result = weir_store_folder(context, path, sizeof path, &error);
    return result ? weir_fail_with(context, &error) : WEIR_OK;
}

Test(job_replay, what_keeps_a_folder_in_the_store_is_refused)
{
    static const struct weir_operator keeper = {WEIR_SIZED(struct weir_operator), .kind = "keeper",
                                                .open = open_folder, .process = see};
    weir_node middle = flow_add(&flow, "keeper", &keeper, NULL, 1);
    weir_connect(flow.graph, flow_times(&flow, "numbers", COUNT, 20000, STEP), middle, WEIR_SPREAD);
    begin(middle);
    flow_start(&flow);
    cr_assert(flow_until_taken(&flow, &ledger, 10));
    flow_stop(&flow, WEIR_STOP_SUSPEND);
    flow_ends(&flow, WEIR_OUTCOME_STOPPED);
    flow_close(&flow);
    flow.options.no_publish = true;
    cr_assert_neq(weir_job_start(flow.graph, &flow.options, &flow.job, &flow.error), WEIR_OK);
    cr_assert(strstr(flow.error.text, "left alone when nothing is to be published"), "%s",
              flow.error.text);
}
