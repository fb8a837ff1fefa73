/* links: flow */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Async and throttle in whole jobs with a store: abandoned at random moments and started again, the
 * output exact, no record behind the watermark, the pace kept.
 */
#include "flow.h"

#include <time.h>

static struct scratch scratch;
static void scratch_open(void)
{
    scratch = scratch_make();
}
static void scratch_close(void)
{
    scratch_free(&scratch);
}
TestSuite(job_async, .init = scratch_open, .fini = scratch_close);

static void start_over(void)
{
    scratch_free(&scratch);
    scratch = scratch_make();
}

static struct {
    atomic_uint calls, late, watermarks;
    atomic_bool broken; /* the service: calls for number 700 fail */
} seen;

/* A service that takes between nothing and half a millisecond, so that answers overtake each other.
 */
static enum weir_result call(const struct weir_record *record, struct weir_reply *reply,
                             const void *config)
{
    struct timespec busy = {.tv_nsec = (long)(weir_hash(record->value) % 500000)};
    (void)config;
    unsigned number = atomic_fetch_add(&seen.calls, 1);
    if (busy.tv_nsec > 100000)
        nanosleep(&busy, NULL);
    if (atomic_load(&seen.broken) && flow_number(record) == 700)
        return weir_reply_fail(reply, WEIR_IO, "no such service");
    if (number % 50 == 49)
        return weir_reply_fail(reply, WEIR_TIMEOUT, "now and then it is busy");
    return weir_reply_append(reply, record->value);
}

/* Behind async: in its task, and in another. */
static enum weir_result look(struct weir_context *context, unsigned input,
                             const struct weir_record *record, const void *config)
{
    int64_t watermark = weir_watermark(context);
    (void)input;
    (void)config;
    atomic_fetch_add(&seen.late, record->time < watermark);
    atomic_fetch_add(&seen.watermarks, watermark != WEIR_NO_TIME);
    return weir_emit(context, 0, record);
}

struct shape {
    bool unordered;
    uint32_t parallelism;
    uint32_t threads, capacity;
    uint32_t window_batches;
    uint32_t retries;
};

static void draw_async(struct flow *flow, struct ledger *ledger, const struct shape *shape,
                       uint64_t count)
{
    flow_init(flow);
    flow->options.store = scratch.path;
    flow->options.interval_ns = FLOW_SECOND / 200;
    flow->options.parallelism = shape->parallelism;
    flow->options.batch_bytes = 1024;
    flow->options.window_batches = shape->window_batches;
    weir_node source = flow_times(flow, "numbers", count, 0, 10);
    weir_node async = weir_async(
        flow->graph, "async",
        &(struct weir_async_options){WEIR_SIZED(struct weir_async_options), .call = call,
                                     .threads = shape->threads, .capacity = shape->capacity,
                                     .unordered = shape->unordered, .retries = shape->retries,
                                     .retry_pause_ns = 200000, .timeout_ns = FLOW_DEADLINE});
    weir_node near = weir_flat_map(flow->graph, "near", look, NULL);
    weir_node far = weir_flat_map(flow->graph, "far", look, NULL);
    weir_node sink = ledger_sink(flow->graph, "sink", ledger, 1);
    weir_connect(flow->graph, source, async, WEIR_SPREAD);
    weir_connect(flow->graph, async, near, WEIR_FORWARD);
    weir_connect(flow->graph, near, far, WEIR_BY_KEY);
    weir_connect(flow->graph, far, sink, WEIR_SPREAD);
}

/* Run after run is abandoned, or suspended, until the job has ended. */
static unsigned live_through(struct flow *flow, struct ledger *ledger, uint64_t count,
                             uint64_t *seed, unsigned stops)
{
    unsigned runs = 0;
    for (bool over = false; !over; runs++) {
        uint64_t dice = flow_draw(seed), base = atomic_load(&ledger->taken);
        flow_start(flow);
        if (runs >= stops) {
            flow_wait(flow);
        } else {
            flow_until_taken(flow, ledger, base + (dice >> 8) % (count / stops) + 1);
            flow_stop(flow, dice % 4 ? WEIR_STOP_NOW : WEIR_STOP_SUSPEND);
            flow_wait(flow);
        }
        enum weir_outcome outcome;
        over = weir_job_wait(flow->job, 0, &outcome, &flow->error) == WEIR_OK &&
               outcome != WEIR_OUTCOME_STOPPED;
        cr_assert(!over || outcome != WEIR_OUTCOME_FAILED, "%s", flow->error.text);
        flow_close(flow);
    }
    return runs;
}

Test(job_async, abandoned_at_random_moments_each_record_is_answered_once_and_in_time)
{
    const uint64_t count = 6000;
    uint64_t seed = flow_seed();
    for (unsigned i = 0; i < 6; i++) {
        struct shape shape = {
            .unordered = i % 2,
            .parallelism = 1 + (uint32_t)(flow_draw(&seed) % 2),
            .threads = 1 + (uint32_t)(flow_draw(&seed) % 8),
            .capacity = 1 + (uint32_t)(flow_draw(&seed) % 30),
            .window_batches = (uint32_t)(flow_draw(&seed) % 3),
            .retries = 100,
        };
        struct flow flow;
        struct ledger ledger;
        start_over();
        memset(&seen, 0, sizeof seen);
        ledger_init(&ledger, count);
        draw_async(&flow, &ledger, &shape, count);
        live_through(&flow, &ledger, count, &seed, 5);
        ledger_is(&ledger, count, 1);
        cr_expect_eq(seen.late, 0, "%u records behind the watermark, seed %llu", seen.late,
                     (unsigned long long)seed);
        cr_expect_gt(seen.watermarks, 0, "watermarks do come through");
        cr_expect_gt(seen.calls, count, "requests in flight are issued again");
        flow_free(&flow);
        ledger_free(&ledger);
    }
}

Test(job_async, a_service_that_fails_fails_the_run_by_name_and_the_next_goes_on)
{
    const uint64_t count = 2000;
    struct flow flow;
    struct ledger ledger;
    struct shape shape = {.parallelism = 1, .threads = 4, .capacity = 8, .retries = 2};
    memset(&seen, 0, sizeof seen);
    atomic_store(&seen.broken, true);
    ledger_init(&ledger, count);
    draw_async(&flow, &ledger, &shape, count);
    flow_start(&flow);
    flow_ends(&flow, WEIR_OUTCOME_FAILED);
    cr_expect(strstr(flow.error.text, "no such service") && strstr(flow.error.text, "time 7000"),
              "%s", flow.error.text);
    cr_expect_str_eq(flow.error.node, "async");
    flow_close(&flow);
    atomic_store(&seen.broken, false);
    flow_finish(&flow);
    ledger_is(&ledger, count, 1);
    cr_expect_eq(seen.late, 0);
    flow_free(&flow);
    ledger_free(&ledger);
}

/* ---- an idle input ---- */

static struct {
    atomic_uint rising; /* records of the other stream that have arrived */
    atomic_bool released, answered;
} idle;

/* One record, and then it is idle until the answer is there. */
static enum weir_progress once_poll(void *self, struct weir_context *context)
{
    bool *sent = self;
    uint64_t number = 0;
    if (!*sent) {
        weir_emit(context, 0, &(struct weir_record){{NULL, 0}, {&number, sizeof number}, 100});
        weir_emit_watermark(context, 50);
        *sent = true;
        return WEIR_MORE;
    }
    weir_emit_idle(context);
    return atomic_load(&idle.answered) ? WEIR_END
                                       : weir_idle(context, weir_now(context) + 500000, -1);
}

/* A stream whose time rises and rises. */
static enum weir_progress rising_poll(void *self, struct weir_context *context)
{
    uint64_t *number = self;
    if (atomic_load(&idle.answered))
        return WEIR_END;
    ++*number;
    int64_t time = 1000 + (int64_t)*number;
    weir_emit(context, 0, &(struct weir_record){{NULL, 0}, {number, sizeof *number}, time});
    weir_emit_watermark(context, time);
    return weir_idle(context, weir_now(context) + 200000, -1);
}

static enum weir_result wait_for_release(const struct weir_record *record, struct weir_reply *reply,
                                         const void *config)
{
    (void)config;
    while (!atomic_load(&idle.released) && !weir_reply_stopping(reply))
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    return weir_reply_append(reply, record->value);
}

static enum weir_result meet(struct weir_context *context, unsigned input,
                             const struct weir_record *record, const void *config)
{
    (void)input;
    (void)config;
    if (flow_number(record) == 0) {
        atomic_fetch_add(&seen.late, record->time < weir_watermark(context));
        atomic_store(&idle.answered, true);
    } else if (atomic_fetch_add(&idle.rising, 1) == 200) {
        atomic_store(&idle.released, true);
    }
    return WEIR_OK;
}

Test(job_async, with_an_idle_input_a_request_still_holds_the_watermark)
{
    static const struct weir_operator once = {WEIR_SIZED(struct weir_operator), .poll = once_poll,
                                              .self_size = sizeof(bool)};
    static const struct weir_operator rising = {WEIR_SIZED(struct weir_operator),
                                                .poll = rising_poll, .self_size = sizeof(uint64_t)};
    struct flow flow;
    memset(&seen, 0, sizeof seen);
    flow_init(&flow);
    weir_node one = flow_add(&flow, "once", &once, NULL, 1);
    weir_node other = flow_add(&flow, "rising", &rising, NULL, 1);
    weir_node async =
        weir_async(flow.graph, "async",
                   &(struct weir_async_options){WEIR_SIZED(struct weir_async_options),
                                                .call = wait_for_release, .threads = 1});
    weir_node both = weir_flat_map(flow.graph, "meet", meet, NULL);
    weir_connect(flow.graph, one, async, WEIR_SPREAD);
    weir_connect(flow.graph, async, both, WEIR_SPREAD);
    weir_connect(flow.graph, other, both, WEIR_SPREAD);
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    cr_expect(atomic_load(&idle.answered));
    cr_expect_eq(seen.late, 0);
    flow_free(&flow);
}

/* ---- throttle ---- */

static void draw_throttle(struct flow *flow, struct ledger *ledger, uint64_t count, uint64_t rate)
{
    flow_init(flow);
    flow->options.store = scratch.path;
    flow->options.interval_ns = FLOW_SECOND / 100;
    flow->options.parallelism = 2;
    flow->options.batch_bytes = 1024;
    flow->options.window_batches = 2;
    weir_node source = flow_times(flow, "numbers", count, 0, 10);
    weir_node throttle = weir_throttle(
        flow->graph, "throttle",
        &(struct weir_throttle_options){WEIR_SIZED(struct weir_throttle_options), .rate = rate});
    weir_node look_at = weir_flat_map(flow->graph, "look", look, NULL);
    weir_node sink = ledger_sink(flow->graph, "sink", ledger, 1);
    weir_connect(flow->graph, source, throttle, WEIR_SPREAD);
    weir_connect(flow->graph, throttle, look_at, WEIR_FORWARD);
    weir_connect(flow->graph, look_at, sink, WEIR_SPREAD);
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * FLOW_SECOND + now.tv_nsec;
}

Test(job_async, throttled_and_abandoned_at_random_moments_the_output_is_exact)
{
    const uint64_t count = 8000;
    uint64_t seed = flow_seed();
    struct flow flow;
    struct ledger ledger;
    memset(&seen, 0, sizeof seen);
    ledger_init(&ledger, count);
    draw_throttle(&flow, &ledger, count, 10000);
    live_through(&flow, &ledger, count, &seed, 6);
    ledger_is(&ledger, count, 1);
    cr_expect_eq(seen.late, 0);
    flow_free(&flow);
    ledger_free(&ledger);
}

Test(job_async, a_throttled_stream_takes_its_time)
{
    const uint64_t count = 3000, rate = 5000;
    struct flow flow;
    struct ledger ledger;
    ledger_init(&ledger, count);
    draw_throttle(&flow, &ledger, count, rate);
    int64_t begun = now_ns();
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    int64_t least = (int64_t)(count * (uint64_t)FLOW_SECOND / rate) * 9 / 10;
    cr_expect_geq(now_ns() - begun, least, "%lld ns", (long long)(now_ns() - begun));
    ledger_is(&ledger, count, 1);
    flow_free(&flow);
    ledger_free(&ledger);
}
