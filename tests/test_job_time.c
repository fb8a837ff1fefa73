/* links: flow valve */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Event time in whole jobs: watermarks through joins and restarts, timers once.
 */
#include "valve.h"

#include <sched.h>
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
TestSuite(job_time, .init = scratch_open, .fini = scratch_close);

/* For each record a timer at its time + 50, tag its number; the timer sends the number. A record
 * behind the watermark, a timer before its time and a watermark that went back are counted. */
static struct {
    atomic_uint late, early, back, restored_low;
} seen;

struct alarm {
    int64_t watermark;
    enum weir_timer kind;
};

static enum weir_result alarm_open(void *self, struct weir_context *context, const void *config)
{
    struct alarm *alarm = self;
    (void)context;
    alarm->kind = *(const enum weir_timer *)config;
    alarm->watermark = WEIR_NO_TIME;
    return WEIR_OK;
}

static void look(struct alarm *alarm, const struct weir_context *context)
{
    int64_t now = weir_watermark(context);
    atomic_fetch_add(&seen.back, now < alarm->watermark);
    alarm->watermark = now;
}

static enum weir_result alarm_process(void *self, struct weir_context *context, unsigned input,
                                      const struct weir_record *record)
{
    struct alarm *alarm = self;
    (void)input;
    look(alarm, context);
    atomic_fetch_add(&seen.late, record->time < alarm->watermark);
    uint64_t number = flow_number(record);
    int64_t due =
        alarm->kind == WEIR_TIMER_EVENT ? record->time + 50 : weir_wall_time(context) + 3000000;
    weir_timer_set(context, alarm->kind, due, number);
    if (alarm->kind == WEIR_TIMER_EVENT) /* the same twice is one */
        weir_timer_set(context, alarm->kind, due, number);
    return WEIR_OK;
}

static enum weir_result alarm_timer(void *self, struct weir_context *context, enum weir_timer kind,
                                    int64_t time, uint64_t tag)
{
    struct alarm *alarm = self;
    int64_t now = kind == WEIR_TIMER_EVENT ? weir_watermark(context) : weir_wall_time(context);
    atomic_fetch_add(&seen.early, now < time || kind != alarm->kind);
    return weir_emit(context, 0,
                     &(struct weir_record){{NULL, 0}, {&tag, sizeof tag}, WEIR_NO_TIME});
}

static enum weir_result alarm_save(void *self, struct weir_context *context,
                                   struct weir_saver *saver)
{
    (void)self;
    int64_t watermark = weir_watermark(context);
    weir_save(saver, WEIR_ITEM_SPLIT, (struct weir_bytes){&watermark, sizeof watermark});
    return WEIR_OK;
}

static enum weir_result alarm_load(void *self, struct weir_context *context,
                                   struct weir_loader *loader, uint32_t version)
{
    struct alarm *alarm = self;
    enum weir_item kind;
    struct weir_bytes item;
    (void)version;
    (void)context;
    while (weir_load_next(loader, &kind, &item))
        memcpy(&alarm->watermark, item.data, sizeof alarm->watermark);
    return WEIR_OK;
}

static const struct weir_operator alarm_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "alarm",
    .self_size = sizeof(struct alarm),
    .open = alarm_open,
    .process = alarm_process,
    .timer = alarm_timer,
    .save = alarm_save,
    .load = alarm_load,
};

/* numbers -> alarm -> sink over several runs; `stops` of them are suspended or abandoned. */
static void alarms(enum weir_timer kind, enum weir_routing routing, uint64_t count, unsigned stops)
{
    struct flow flow;
    struct ledger ledger;
    memset(&seen, 0, sizeof seen);
    ledger_init(&ledger, count);
    flow_init(&flow);
    flow.options.store = scratch.path;
    flow.options.interval_ns = FLOW_SECOND / 300;
    weir_node source = flow_times(&flow, "numbers", count, count * 3, 10);
    weir_node alarm = flow_add(&flow, "alarm", &alarm_table, &kind, 0);
    weir_node sink = ledger_sink(flow.graph, "sink", &ledger, 1);
    weir_connect(flow.graph, source, alarm, routing);
    weir_connect(flow.graph, alarm, sink, WEIR_SPREAD);
    for (unsigned run = 0; run < stops; run++) {
        flow_start(&flow);
        flow_until_taken(&flow, &ledger, atomic_load(&ledger.taken) + count / (stops + 2));
        if (run % 2) {
            flow_stop(&flow, WEIR_STOP_SUSPEND);
            flow_wait(&flow);
        }
        flow_close(&flow);
    }
    flow_finish(&flow);
    if (kind == WEIR_TIMER_EVENT)
        ledger_is(&ledger, count, 1);
    for (uint64_t i = 0; i < count; i++)
        cr_assert_leq(ledger.counts[i], 1);
    cr_expect_eq(seen.late, 0);
    cr_expect_eq(seen.early, 0);
    cr_expect_eq(seen.back, 0, "also over restarts");
    flow_free(&flow);
    ledger_free(&ledger);
}

static void start_over(void)
{
    scratch_free(&scratch);
    scratch = scratch_make();
}

Test(job_time, event_timers_fire_once_over_restarts)
{
    alarms(WEIR_TIMER_EVENT, WEIR_FORWARD, 20000, 5);
    start_over();
    alarms(WEIR_TIMER_EVENT, WEIR_SPREAD, 20000, 5);
}

Test(job_time, clock_timers_fire_at_most_once_over_restarts)
{
    alarms(WEIR_TIMER_CLOCK, WEIR_FORWARD, 10000, 4);
    start_over();
    alarms(WEIR_TIMER_CLOCK, WEIR_BY_KEY, 10000, 4);
}

/* ------------------------------------------------------------------------------- joins -- */

/* Emits what its script says, then ends: numbers are times of records; MARK + t a watermark. */
enum { MARK = 1000, IDLE = 2000, HOLD = 3000 };
struct script {
    const int *steps;
    unsigned at;
};
static atomic_uint let_go;

static enum weir_result script_open(void *self, struct weir_context *context, const void *config)
{
    (void)context;
    ((struct script *)self)->steps = *(const int *const *)config;
    return WEIR_OK;
}

static enum weir_progress script_poll(void *self, struct weir_context *context)
{
    struct script *script = self;
    int step = script->steps[script->at];
    if (step < 0)
        return WEIR_END;
    if (step == HOLD && !atomic_load(&let_go))
        return weir_idle(context, weir_now(context) + 100000, -1);
    script->at++;
    if (step == IDLE)
        weir_emit_idle(context);
    else if (step >= MARK && step < IDLE)
        weir_emit_watermark(context, step - MARK);
    else if (step < MARK)
        weir_emit(context, 0, &(struct weir_record){{NULL, 0}, {NULL, 0}, step});
    return WEIR_MORE;
}

static const struct weir_operator script_table = {
    WEIR_SIZED(struct weir_operator), .kind = "script", .self_size = sizeof(struct script),
    .open = script_open, .poll = script_poll};

/* At the first record of time 500 the last other watermark must be this; a timer at 100 releases
 * the sources that hold. */
static struct {
    atomic_uint fired, records;
    atomic_llong watermark;
} joined;

static enum weir_result join_process(void *self, struct weir_context *context, unsigned input,
                                     const struct weir_record *record)
{
    (void)self;
    (void)input;
    (void)record;
    atomic_fetch_add(&joined.records, 1);
    weir_timer_set(context, WEIR_TIMER_EVENT, 100, 1);
    return WEIR_OK;
}

static enum weir_result join_timer(void *self, struct weir_context *context, enum weir_timer kind,
                                   int64_t time, uint64_t tag)
{
    (void)self;
    (void)kind;
    (void)time;
    (void)tag;
    atomic_fetch_add(&joined.fired, 1);
    if (!atomic_exchange(&let_go, 1))
        atomic_store(&joined.watermark, weir_watermark(context));
    return WEIR_OK;
}

static const struct weir_operator join_table = {WEIR_SIZED(struct weir_operator), .kind = "join",
                                                .process = join_process, .timer = join_timer};

/* Two sources and a join; `through` puts a task between. */
static void join_open(struct flow *flow, const int *a, const int *b, bool through)
{
    flow_init(flow);
    const int *scripts[] = {a, b};
    weir_node node = flow_add(flow, "join", &join_table, NULL, 1);
    weir_node target = node;
    if (through) {
        target = weir_flat_map(flow->graph, "through", flow_pass, NULL);
        weir_connect(flow->graph, target, node, WEIR_SPREAD);
    }
    for (int i = 0; i < 2; i++) {
        const void *config = weir_graph_keep(flow->graph, &scripts[i], sizeof scripts[i]);
        weir_connect(flow->graph, flow_add(flow, i ? "b" : "a", &script_table, config, 1), target,
                     WEIR_SPREAD);
    }
}

static void join_ends_at(struct flow *flow, int64_t expected)
{
    memset(&joined, 0, sizeof joined);
    atomic_store(&let_go, 0);
    flow_run(flow, WEIR_OUTCOME_ENDED);
    cr_expect_gt(joined.fired, 0);
    cr_expect_eq(joined.watermark, expected, "%lld", (long long)joined.watermark);
    flow_free(flow);
}

/* The timer at 100 must fire while the sources hold, at that watermark. */
static void join(const int *a, const int *b, bool through, int64_t expected)
{
    struct flow flow;
    join_open(&flow, a, b, through);
    join_ends_at(&flow, expected);
}

Test(job_time, the_least_watermark_of_the_inputs_that_count_is_forwarded)
{
    static const int fast[] = {1, MARK + 300, HOLD, -1}, slow[] = {2, MARK + 150, HOLD, -1};
    static const int idle[] = {3, MARK + 20, IDLE, HOLD, -1};
    static const int dozing[] = {3, IDLE, 4, MARK + 30, 5, IDLE, HOLD, -1};
    static const int nodding[] = {3, IDLE, 4, IDLE, HOLD, -1};
    static const int ended[] = {4, MARK + 10, -1};
    static const int going_back[] = {5, MARK + 200, MARK + 120, HOLD, -1};
    for (int through = 0; through < 2; through++) {
        join(fast, slow, through, 150);
        join(fast, idle, through, 300);
        join(dozing, slow, through, 150);
        join(fast, nodding, through, 300);
        join(ended, fast, through, 300);
        join(going_back, fast, through, 200);
    }
}

/* One says nothing of time and ends, now before the other one and now behind it. */
Test(job_time, the_last_watermark_counts_whoever_ends_first)
{
    static const int clocked[] = {1, MARK + 300, -1}, silent[] = {-1},
                     behind[] = {6, MARK + 50, -1};
    for (int turn = 0; turn < 30; turn++) {
        join(clocked, turn < 20 ? silent : behind, turn % 2, 300);
        join(turn < 20 ? silent : behind, clocked, turn % 2, 300);
    }
}

/* And in a run that goes on from a checkpoint in which it had ended. */
Test(job_time, the_last_watermark_counts_when_others_had_ended_before_the_restart)
{
    static const int waits[] = {1, HOLD, -1}, goes_on[] = {1, MARK + 300, -1}, silent[] = {-1};
    for (int turn = 0; turn < 20; turn++) {
        struct flow flow;
        scratch_free(&scratch);
        scratch = scratch_make();
        join_open(&flow, waits, silent, turn % 2);
        atomic_store(&let_go, 0);
        flow.options.store = scratch.path;
        flow.options.interval_ns = -1;
        flow_start(&flow);
        flow_checkpoint(&flow);
        flow_checkpoint(&flow); /* by now it has ended */
        flow_kill(&flow);
        flow_free(&flow);
        join_open(&flow, goes_on, silent, turn % 2);
        flow.options.store = scratch.path;
        join_ends_at(&flow, 300);
    }
}

/* ------------------------------------------------------------------------ after the end -- */

/* Idle for a second, then ends. */
static enum weir_progress doze_poll(void *self, struct weir_context *context)
{
    int64_t *until = self;
    if (!*until)
        *until = weir_now(context) + FLOW_SECOND;
    return weir_now(context) < *until ? weir_idle(context, *until, -1) : WEIR_END;
}

static const struct weir_operator doze_table = {WEIR_SIZED(struct weir_operator), .kind = "doze",
                                                .self_size = sizeof(int64_t), .poll = doze_poll};

static enum weir_result remind_process(void *self, struct weir_context *context, unsigned input,
                                       const struct weir_record *record)
{
    (void)self;
    (void)input;
    return weir_timer_set(context, WEIR_TIMER_CLOCK,
                          weir_wall_time(context) + FLOW_SECOND / 10 + record->time, 0);
}

static const struct weir_operator remind_table = {WEIR_SIZED(struct weir_operator),
                                                  .kind = "remind", .process = remind_process,
                                                  .timer = join_timer};

Test(job_time, a_clock_timer_that_will_not_fire_any_more_keeps_no_task_awake)
{
    static const int one[] = {1, -1};
    static const int *const script = one;
    struct flow flow;
    memset(&joined, 0, sizeof joined);
    flow_init(&flow);
    weir_node source = flow_add(&flow, "source", &script_table, &script, 1);
    weir_node doze = flow_add(&flow, "doze", &doze_table, NULL, 1);
    weir_connect(flow.graph, source, flow_add(&flow, "remind", &remind_table, NULL, 1),
                 WEIR_SPREAD);
    weir_connect(flow.graph, doze, weir_flat_map(flow.graph, "pass", flow_pass, NULL), WEIR_SPREAD);
    clock_t before = clock();
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    cr_expect_lt(clock() - before, CLOCKS_PER_SEC / 10, "of processor time, in a second");
    cr_expect_eq(joined.fired, 0, "its input had ended before");
    flow_free(&flow);
}

static struct {
    atomic_bool ended;
    atomic_int_fast64_t due; /* wall time */
} reminder;

static enum weir_result once_process(void *self, struct weir_context *context, unsigned input,
                                     const struct weir_record *record)
{
    (void)self;
    (void)input;
    (void)record;
    int64_t due = weir_wall_time(context) + FLOW_SECOND / 2;
    atomic_store(&reminder.due, due);
    return weir_timer_set(context, WEIR_TIMER_CLOCK, due, 0);
}

static enum weir_progress once_finish(void *self, struct weir_context *context)
{
    (void)self;
    (void)context;
    atomic_store(&reminder.ended, true);
    return WEIR_END;
}

static const struct weir_operator once_table = {WEIR_SIZED(struct weir_operator), .kind = "once",
                                                .process = once_process, .timer = join_timer,
                                                .finish = once_finish};

static int64_t wall_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * FLOW_SECOND + now.tv_nsec;
}

/* It had ended when the checkpoint was taken, so it must not emit any more after it. */
Test(job_time, a_clock_timer_that_was_pending_at_the_end_does_not_fire_after_a_restart)
{
    static const int one[] = {1, -1};
    static const int *const script = one;
    struct flow flow;
    memset(&joined, 0, sizeof joined);
    flow_init(&flow);
    flow.options.store = scratch.path;
    flow.options.interval_ns = -1;
    weir_node source = flow_add(&flow, "source", &script_table, &script, 1);
    weir_node doze = flow_add(&flow, "doze", &doze_table, NULL, 1);
    weir_connect(flow.graph, source, flow_add(&flow, "once", &once_table, NULL, 1), WEIR_SPREAD);
    weir_connect(flow.graph, doze, weir_flat_map(flow.graph, "pass", flow_pass, NULL), WEIR_SPREAD);
    flow_start(&flow);
    while (!atomic_load(&reminder.ended))
        sched_yield();
    for (unsigned i = 1; i <= 2; i++) { /* the second one has its END placed for sure */
        cr_assert_eq(weir_job_checkpoint(flow.job, NULL), WEIR_OK);
        watch_until(&flow.watch, &flow.watch.committed, i);
    }
    flow_stop(&flow, WEIR_STOP_NOW);
    flow_wait(&flow);
    flow_close(&flow);
    cr_assert_eq(joined.fired, 0, "its input had ended before");
    while (wall_ns() < atomic_load(&reminder.due))
        sched_yield();
    flow_finish(&flow);
    cr_expect_eq(joined.fired, 0, "nor after the restart");
    flow_free(&flow);
}

/* ------------------------------------------------------------- a record from an idle task -- */

/* Gives one record, falls idle, and ends when the join's timer has fired. */
static enum weir_progress quiet_poll(void *self, struct weir_context *context)
{
    unsigned *step = self;
    if (++*step == 1)
        weir_emit(context, 0, &(struct weir_record){.time = 5});
    else if (*step == 2)
        weir_emit_idle(context);
    else if (atomic_load(&joined.fired))
        return WEIR_END;
    return *step < 3 ? WEIR_MORE : weir_idle(context, weir_now(context) + 100000, -1);
}

/* Says 100 once the join has its record from the quiet side. */
static enum weir_progress late_poll(void *self, struct weir_context *context)
{
    (void)self;
    if (atomic_load(&joined.fired))
        return WEIR_END;
    if (atomic_load(&joined.records))
        weir_emit_watermark(context, 100);
    return weir_idle(context, weir_now(context) + 100000, -1);
}

/* Keeps what it is given, and gives it on when its input has long been idle. */
static enum weir_result echo_process(void *self, struct weir_context *context, unsigned input,
                                     const struct weir_record *record)
{
    int64_t soon = 20000000;
    (void)input;
    (void)record;
    *(bool *)self = true;
    if (atomic_load(&let_go)) /* which of the two ways */
        weir_wake(context, weir_now(context) + soon, -1);
    else
        weir_timer_set(context, WEIR_TIMER_CLOCK, weir_wall_time(context) + soon, 0);
    return WEIR_OK;
}

static enum weir_result echo(void *self, struct weir_context *context)
{
    if (!*(bool *)self)
        return WEIR_OK;
    *(bool *)self = false;
    return weir_emit(context, 0, &(struct weir_record){.time = 5});
}

static enum weir_result echo_timer(void *self, struct weir_context *context, enum weir_timer kind,
                                   int64_t time, uint64_t tag)
{
    (void)kind;
    (void)time;
    (void)tag;
    return echo(self, context);
}

static const struct weir_operator quiet_table = {WEIR_SIZED(struct weir_operator), .kind = "quiet",
                                                 .self_size = sizeof(unsigned), .poll = quiet_poll};
static const struct weir_operator late_table = {WEIR_SIZED(struct weir_operator), .kind = "late",
                                                .self_size = 1, .poll = late_poll};
static const struct weir_operator echo_table = {
    WEIR_SIZED(struct weir_operator), .kind = "echo",      .self_size = sizeof(bool),
    .process = echo_process,          .timer = echo_timer, .wake = echo};

/* Held up, the join's timer would never fire, and the sources would never end. */
Test(job_time, a_record_from_a_task_whose_input_is_idle_does_not_hold_its_readers_up)
{
    for (unsigned by_wake = 0; by_wake < 2; by_wake++) {
        struct flow flow;
        memset(&joined, 0, sizeof joined);
        atomic_store(&let_go, by_wake);
        flow_init(&flow);
        weir_node quiet = flow_add(&flow, "quiet", &quiet_table, NULL, 1);
        weir_node echoes = flow_add(&flow, "echo", &echo_table, NULL, 1);
        weir_node late = flow_add(&flow, "late", &late_table, NULL, 1);
        weir_node node = flow_add(&flow, "join", &join_table, NULL, 1);
        weir_connect(flow.graph, quiet, echoes, WEIR_SPREAD);
        weir_connect(flow.graph, echoes, node, WEIR_SPREAD);
        weir_connect(flow.graph, late, node, WEIR_SPREAD);
        flow_run(&flow, WEIR_OUTCOME_ENDED);
        cr_expect_eq(joined.records, 1);
        cr_expect_eq(joined.fired, 1);
        flow_free(&flow);
    }
}

/* Idle, it gives a record all the same, and says in the same call that it is idle. */
static enum weir_progress restless_poll(void *self, struct weir_context *context)
{
    unsigned *step = self;
    if (atomic_load(&joined.fired))
        return WEIR_END;
    if (++*step == 3)
        weir_emit(context, 0, &(struct weir_record){.time = 5});
    weir_emit_idle(context);
    return weir_idle(context, weir_now(context) + 1000000, -1);
}

Test(job_time, a_source_that_stays_idle_with_a_record_does_not_hold_its_readers_up)
{
    struct weir_operator restless = quiet_table;
    struct flow flow;
    memset(&joined, 0, sizeof joined);
    flow_init(&flow);
    restless.poll = restless_poll;
    weir_node source = flow_add(&flow, "restless", &restless, NULL, 1);
    weir_node late = flow_add(&flow, "late", &late_table, NULL, 1);
    weir_node node = flow_add(&flow, "join", &join_table, NULL, 1);
    weir_connect(flow.graph, source, node, WEIR_SPREAD);
    weir_connect(flow.graph, late, node, WEIR_SPREAD);
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    cr_expect_eq(joined.fired, 1);
    flow_free(&flow);
}
