/* links: flow valve */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole jobs in situations that checkpoints are known to get wrong, and that no one module's tests
 * show: operators that hang or are slow in the middle of something, what is late after a restart,
 * a sink that stands still, a graph that changed under records in flight, a store that is made
 * anew. CASES.md names which test is for what.
 */
#include "valve.h"

#include <errno.h>
#include <time.h>

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
TestSuite(job_cases, .init = scratch_open, .fini = scratch_close);

static void start_over(void)
{
    scratch_free(&scratch);
    scratch = scratch_make();
}

static void init(struct flow *flow, enum weir_mode mode)
{
    flow_init(flow);
    flow->options.store = scratch.path;
    flow->options.interval_ns = -1;
    flow->options.mode = mode;
    flow->options.alignment_max_ns = 1000000;
    flow->options.batch_bytes = 1024;
    flow->options.window_batches = 4;
}

static struct tally *cuts; /* of one operator */

/* ------------------------------------------------------------------------- inside of save -- */

/* A gate that save can wait at, for as long as a test waits. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned opened, waiting;
} bar = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};

static void bar_open(unsigned more)
{
    pthread_mutex_lock(&bar.lock);
    bar.opened += more;
    pthread_cond_broadcast(&bar.changed);
    pthread_mutex_unlock(&bar.lock);
}

/* False: nobody has opened it in time. */
static bool bar_pass(void)
{
    struct timespec deadline;
    int status = 0;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += FLOW_DEADLINE / FLOW_SECOND / 2;
    pthread_mutex_lock(&bar.lock);
    bar.waiting++;
    pthread_cond_broadcast(&bar.changed);
    while (!bar.opened && status != ETIMEDOUT)
        status = pthread_cond_timedwait(&bar.changed, &bar.lock, &deadline);
    bool open = bar.opened > 0;
    bar.opened -= open;
    pthread_mutex_unlock(&bar.lock);
    return open;
}

static enum weir_result save_at_bar(void *self, struct weir_context *context,
                                    struct weir_saver *saver)
{
    (void)self;
    (void)context;
    (void)saver;
    return bar_pass() ? WEIR_OK : WEIR_IO;
}

static enum weir_result save_opens_bar(void *self, struct weir_context *context,
                                       struct weir_saver *saver)
{
    (void)self;
    (void)context;
    (void)saver;
    bar_open(1);
    return WEIR_OK;
}

static const struct weir_operator waits_in_save = {
    WEIR_SIZED(struct weir_operator),
    .kind = "waits",
    .process = pass_on,
    .save = save_at_bar,
    .load = load_nothing,
};
static const struct weir_operator opens_in_save = {
    WEIR_SIZED(struct weir_operator), .kind = "opens",      .process = pass_on,
    .save = save_opens_bar,           .load = load_nothing,
};

/* So few that no marker waits for credit behind them; then nothing, until it is told to end. */
static atomic_bool few_end;

static enum weir_progress few_poll(void *self, struct weir_context *context)
{
    uint64_t *next = self;
    if (*next == 40)
        return atomic_load(&few_end) ? WEIR_END : WEIR_MORE;
    weir_emit(context, 0, &(struct weir_record){{NULL, 0}, {next, sizeof *next}, WEIR_NO_TIME});
    ++*next;
    return WEIR_MORE;
}

static const struct weir_operator few_source = {
    WEIR_SIZED(struct weir_operator),
    .kind = "few",
    .self_size = 8,
    .poll = few_poll,
    .save = save_position,
    .load = load_position,
};

/* C11. What is slow to save itself holds up nobody behind it: there, the marker is reached while it
 * still saves. Here it is waited for. */
Test(job_cases, markers_leave_before_their_task_saves_itself)
{
    for (int mode = WEIR_ADAPTIVE; mode <= WEIR_UNALIGNED; mode++) {
        struct flow flow;
        struct ledger ledger;
        start_over();
        init(&flow, (enum weir_mode)mode);
        flow.options.alignment_max_ns = FLOW_DEADLINE;
        ledger_init(&ledger, 40);
        weir_node source = flow_add(&flow, "source", &few_source, NULL, 1);
        weir_node slow = flow_add(&flow, "slow", &waits_in_save, NULL, 1);
        weir_node behind = flow_add(&flow, "behind", &opens_in_save, NULL, 1);
        weir_connect(flow.graph, source, slow, WEIR_SPREAD);
        weir_connect(flow.graph, slow, behind, WEIR_SPREAD);
        weir_connect(flow.graph, behind, ledger_sink(flow.graph, "sink", &ledger, 1), WEIR_SPREAD);
        atomic_store(&few_end, false);
        flow_start(&flow);
        for (int i = 0; i < 3; i++)
            flow_checkpoint(&flow);
        atomic_store(&few_end, true);
        flow_ends(&flow, WEIR_OUTCOME_ENDED);
        cr_expect_eq(flow.watch.aborted, 0, "%s", flow.watch.last_abort);
        ledger_is(&ledger, 40, 1);
        flow_free(&flow);
        ledger_free(&ledger);
    }
}

/* S16. The run can't interrupt it, but it can say so, and does not wait for it. */
Test(job_cases, a_save_that_hangs_is_named_when_its_round_is_too_old_and_fails_the_run)
{
    struct flow flow;
    init(&flow, WEIR_ADAPTIVE);
    flow.options.timeout_ns = FLOW_SECOND; /* the save has long begun */
    flow.options.tolerated = 1;
    weir_node source = flow_numbers(&flow, "numbers", 10, 0, 1);
    weir_connect(flow.graph, source, flow_add(&flow, "stuck", &waits_in_save, NULL, 1),
                 WEIR_SPREAD);
    flow_start(&flow);
    for (unsigned i = 1; i <= 2; i++) {
        cr_assert_eq(weir_job_checkpoint(flow.job, &flow.error), WEIR_OK);
        watch_until(&flow.watch, &flow.watch.aborted, i);
        const char *text = flow.watch.last_abort;
        cr_expect(strstr(text, "timed out: ") && strstr(text, "stuck.0 ") &&
                      strstr(text, "in save of stuck"),
                  "%s", text);
    }
    flow_ends(&flow, WEIR_OUTCOME_FAILED);
    cr_expect(strstr(flow.error.text, "more checkpoints in a row have failed"), "%s",
              flow.error.text);
    bar_open(10); /* to close it takes that save's return */
    flow_free(&flow);
}

/* ----------------------------------------------------------------------------- timer storm -- */

#define STORM 30000u
#define STORM_TIME 1000

/* The numbers of the storm, a watermark behind which all their timers are due, and one number more
 * that is later. */
static enum weir_progress storm_poll(void *self, struct weir_context *context)
{
    uint64_t *step = self, number = *step < STORM ? *step : STORM;
    int64_t time = number < STORM ? 5 : STORM_TIME + 5;
    struct weir_record record = {{NULL, 0}, {&number, sizeof number}, time};
    if (*step > STORM + 1)
        return WEIR_END;
    if (*step == STORM)
        weir_emit_watermark(context, STORM_TIME);
    else
        weir_emit(context, 0, &record);
    ++*step;
    return WEIR_MORE;
}

static const struct weir_operator storm_source = {
    WEIR_SIZED(struct weir_operator),
    .kind = "storm",
    .self_size = 8,
    .poll = storm_poll,
    .save = save_position,
    .load = load_position,
};

/* Sets a timer for each number, and gives it on when that fires: after a while only as often as it
 * is allowed to. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t entered, permits, at_save;
} storm = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0};

static void storm_allow(uint64_t permits)
{
    pthread_mutex_lock(&storm.lock);
    storm.permits = permits;
    pthread_cond_broadcast(&storm.changed);
    pthread_mutex_unlock(&storm.lock);
}

static enum weir_result alarm_take(void *self, struct weir_context *context, unsigned input,
                                   const struct weir_record *record)
{
    uint64_t number = flow_number(record), fired = *(uint64_t *)self;
    (void)input;
    if (number < STORM)
        return weir_timer_set(context, WEIR_TIMER_EVENT, 10 + (int64_t)(number % 100), number);
    if (fired < STORM)
        return weir_fail(context, WEIR_FAILED, "a record came before %d timers that were due",
                         (int)(STORM - fired));
    return weir_emit(context, 0, record);
}

static enum weir_result alarm_fires(void *self, struct weir_context *context, enum weir_timer kind,
                                    int64_t time, uint64_t tag)
{
    struct weir_record record = {{NULL, 0}, {&tag, sizeof tag}, time};
    (void)kind;
    pthread_mutex_lock(&storm.lock);
    storm.entered++;
    pthread_cond_broadcast(&storm.changed);
    while (storm.permits == 0)
        pthread_cond_wait(&storm.changed, &storm.lock);
    storm.permits--;
    pthread_mutex_unlock(&storm.lock);
    ++*(uint64_t *)self;
    return weir_emit(context, 0, &record);
}

static enum weir_result alarm_save(void *self, struct weir_context *context,
                                   struct weir_saver *saver)
{
    pthread_mutex_lock(&storm.lock);
    if (storm.at_save == 0) /* of the first round */
        storm.at_save = *(uint64_t *)self;
    pthread_mutex_unlock(&storm.lock);
    return save_position(self, context, saver);
}

static const struct weir_operator alarm_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "alarm",
    .self_size = 8,
    .process = alarm_take,
    .timer = alarm_fires,
    .save = alarm_save,
    .load = load_position,
};

static void storm_until(uint64_t entered)
{
    struct timespec deadline;
    int status = 0;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += FLOW_DEADLINE / FLOW_SECOND;
    pthread_mutex_lock(&storm.lock);
    while (storm.entered < entered && status != ETIMEDOUT)
        status = pthread_cond_timedwait(&storm.changed, &storm.lock, &deadline);
    uint64_t got = storm.entered;
    pthread_mutex_unlock(&storm.lock);
    cr_assert_geq(got, entered, "%d of %d", (int)got, (int)entered);
}

/* Behind the storm: counts its cuts, and fails at what is late. */
static enum weir_result punctual_take(void *self, struct weir_context *context, unsigned input,
                                      const struct weir_record *record)
{
    (void)self;
    (void)input;
    if (record->time < weir_watermark(context))
        return weir_fail(context, WEIR_FAILED, "time %d came behind watermark %d",
                         (int)record->time, (int)weir_watermark(context));
    return weir_emit(context, 0, record);
}

static enum weir_result count_cut(void *self, struct weir_context *context,
                                  struct weir_saver *saver)
{
    (void)self;
    (void)context;
    (void)saver;
    tally_add(cuts, 1);
    return WEIR_OK;
}

static const struct weir_operator punctual_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "punctual",
    .process = punctual_take,
    .save = count_cut,
    .load = load_nothing,
};

/* S26: of the many timers that one watermark fires, the cut waits for the one in hand. */
Test(job_cases, a_storm_of_timers_is_cut_in_the_middle_and_each_fires_once)
{
    static const uint64_t places[] = {1, 2, 500, STORM - 1000};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct flow flow;
        struct ledger ledger;
        struct tally tally;
        start_over();
        init(&flow, i % 2 ? WEIR_ADAPTIVE : WEIR_UNALIGNED);
        flow.options.window_bytes = 1 << 20; /* nothing waits for credit in the middle of it */
        flow.options.window_batches = 1000;
        ledger_init(&ledger, STORM + 1);
        tally_init(&tally);
        cuts = &tally;
        weir_node source = flow_add(&flow, "source", &storm_source, NULL, 1);
        weir_node alarm = flow_add(&flow, "alarm", &alarm_table, NULL, 1);
        weir_node punctual = flow_add(&flow, "punctual", &punctual_table, NULL, 1);
        weir_connect(flow.graph, source, alarm, WEIR_SPREAD);
        weir_connect(flow.graph, alarm, punctual, WEIR_SPREAD);
        weir_connect(flow.graph, punctual, ledger_sink(flow.graph, "sink", &ledger, 1),
                     WEIR_SPREAD);
        storm.entered = storm.at_save = 0;
        storm_allow(places[i] - 1);
        flow_start(&flow);
        storm_until(places[i]); /* it is in the middle of this one */
        cr_assert_eq(weir_job_checkpoint(flow.job, &flow.error), WEIR_OK);
        tally_until(&tally, 1); /* told after the alarm */
        storm_allow(1);
        for (uint64_t n = places[i] + 1; n < STORM && !watch_has_committed(&flow.watch); n++) {
            storm_until(n); /* the source's marker may come later */
            storm_allow(1);
        }
        watch_until(&flow.watch, &flow.watch.committed, 1);
        cr_expect_eq(storm.at_save, places[i], "%d", (int)storm.at_save);
        flow_stop(&flow, WEIR_STOP_NOW);
        storm_allow(UINT64_MAX / 2);
        (void)flow_wait(&flow);
        flow_close(&flow);
        flow_finish(&flow);
        cr_expect_eq(flow.watch.restored_from, 1);
        ledger_is(&ledger, STORM + 1, 1);
        store_is_sound(scratch.path);
        flow_free(&flow);
        ledger_free(&ledger);
        tally_free(&tally);
    }
}

/* --------------------------------------------------------------------------- what is late -- */

#define TIMES 16000u
#define LATE_BY 400

/* Every tenth number is late: it comes 5 numbers behind a watermark above its time. */
static bool is_late(uint64_t number)
{
    return number % 10 == 9;
}

static enum weir_progress times_poll(void *self, struct weir_context *context)
{
    uint64_t *next = self, number = *next;
    int64_t time = (int64_t)number * 10 - (is_late(number) ? LATE_BY : 0);
    if (number == TIMES)
        return WEIR_END;
    if (number % 10 == 4)
        weir_emit_watermark(context, (int64_t)number * 10); /* behind it: a poll's come last */
    weir_emit(context, 0, &(struct weir_record){{NULL, 0}, {&number, sizeof number}, time});
    ++*next;
    return WEIR_MORE;
}

static enum weir_result times_save(void *self, struct weir_context *context,
                                   struct weir_saver *saver)
{
    tally_add(cuts, 1);
    return save_position(self, context, saver);
}

static const struct weir_operator times_source = {
    WEIR_SIZED(struct weir_operator),
    .kind = "times",
    .self_size = 8,
    .poll = times_poll,
    .save = times_save,
    .load = load_position,
};

static enum weir_result drop_late(struct weir_context *context, unsigned input,
                                  const struct weir_record *record, const void *config)
{
    (void)input;
    (void)config;
    return record->time < weir_watermark(context) ? WEIR_OK : weir_emit(context, 0, record);
}

static void times_open(struct flow *flow, struct ledger *ledger, struct valve *valve,
                       enum weir_mode mode)
{
    init(flow, mode);
    ledger_init(ledger, TIMES);
    valve_init(valve);
    weir_node source = flow_add(flow, "source", &times_source, NULL, 1);
    weir_node stop = valve_node(flow->graph, "stop", valve, 1);
    weir_node drop = weir_flat_map(flow->graph, "drop", drop_late, NULL);
    weir_connect(flow->graph, source, stop, WEIR_SPREAD);
    weir_connect(flow->graph, stop, drop, WEIR_SPREAD);
    weir_connect(flow->graph, drop, ledger_sink(flow->graph, "sink", ledger, 1), WEIR_SPREAD);
}

/* S29: a restart falls between a watermark and what is late behind it: wherever that is, among
 * what is in flight too. What comes out is what comes out without any. */
Test(job_cases, what_is_late_is_late_after_a_restart_too)
{
    for (int mode = WEIR_ADAPTIVE; mode <= WEIR_UNALIGNED; mode++) {
        struct flow flow;
        struct ledger ledger;
        struct valve valve;
        struct tally tally;
        start_over();
        tally_init(&tally);
        cuts = &tally;
        times_open(&flow, &ledger, &valve, (enum weir_mode)mode);
        for (unsigned run = 1; run <= 12; run++) {
            uint64_t passed = tally_read(&valve.passed);
            flow_start(&flow);
            valve_allow(&valve, 0, 17); /* so a cut falls at each place between two watermarks */
            tally_until(&valve.passed, passed + 17);
            cr_assert_eq(weir_job_checkpoint(flow.job, &flow.error), WEIR_OK);
            tally_until(&tally, run); /* the source has cut */
            if (mode == WEIR_ALIGNED) /* all that stands before the marker, and some more */
                valve_allow(&valve, 0, 1000);
            watch_until(&flow.watch, &flow.watch.committed, run);
            flow_kill(&flow);
            valve_shut(&valve);
        }
        valve_open(&valve);
        flow_finish(&flow);
        for (uint64_t n = 0; n < TIMES; n++)
            cr_assert_eq(ledger.counts[n], !is_late(n), "mode %d: number %d: %u times", mode,
                         (int)n, ledger.counts[n]);
        flow_free(&flow);
        ledger_free(&ledger);
        valve_free(&valve);
        tally_free(&tally);
    }
}

/* ------------------------------------------------------------------ a sink that stands still -- */

/* S31. Nothing moves behind the valve: aligned rounds can't come through, and say who did not
 * answer; adaptive ones turn, and say so; and nothing is lost when it moves again. */
Test(job_cases, where_a_sink_stands_still_rounds_overtake_or_are_given_up_and_nothing_is_lost)
{
    for (int mode = WEIR_ADAPTIVE; mode <= WEIR_UNALIGNED; mode++) {
        struct flow flow;
        struct ledger ledger;
        struct valve valve;
        struct notes notes;
        start_over();
        init(&flow, (enum weir_mode)mode);
        notes_take(&notes, &flow);
        ledger_init(&ledger, 5000);
        valve_init(&valve);
        weir_node source = flow_numbers(&flow, "numbers", 5000, 0, 1);
        weir_node pass = weir_flat_map(flow.graph, "pass", flow_pass, NULL);
        weir_node stop = valve_node(flow.graph, "stop", &valve, 1);
        weir_connect(flow.graph, source, pass, WEIR_SPREAD);
        weir_connect(flow.graph, pass, stop, WEIR_SPREAD);
        weir_connect(flow.graph, stop, ledger_sink(flow.graph, "sink", &ledger, 1), WEIR_FORWARD);
        flow.options.timeout_ns = mode == WEIR_ALIGNED ? FLOW_SECOND : 0;
        flow_start(&flow);
        valve_allow(&valve, 0, 100);
        tally_until(&valve.passed, 100);
        for (unsigned i = 1; i <= 2 && mode == WEIR_ALIGNED; i++) {
            cr_assert_eq(weir_job_checkpoint(flow.job, &flow.error), WEIR_OK);
            watch_until(&flow.watch, &flow.watch.aborted, i);
            cr_expect(strstr(notes.reason, "timed out: ") && strstr(notes.reason, "stop.0 "), "%s",
                      notes.reason);
        }
        if (mode != WEIR_ALIGNED) {
            flow_checkpoint(&flow);
            cr_expect_gt(notes.overtook, 0);
            flow_checkpoint(&flow);
            flow_kill(&flow);
            flow_start(&flow);
        }
        valve_open(&valve);
        flow_ends(&flow, WEIR_OUTCOME_ENDED);
        ledger_is(&ledger, 5000, 1);
        flow_free(&flow);
        ledger_free(&ledger);
        valve_free(&valve);
        notes_free(&notes);
    }
}

/* -------------------------------------------------------------- what a checkpoint says of it -- */

/* Of the newest: was OVERTAKE sent, and how many tasks cut early? */
static bool read_overtaken(uint32_t *overtook)
{
    struct weir_store *store = NULL;
    struct weir_checkpoint *checkpoint = NULL;
    struct weir_error error = {0};
    struct weir_checkpoint_info info = {WEIR_SIZED(struct weir_checkpoint_info)};
    struct weir_checkpoint_task task = {WEIR_SIZED(struct weir_checkpoint_task)};
    *overtook = 0;
    cr_assert_eq(weir_store_open(scratch.path, NULL, &store, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(weir_checkpoint_open(store, 0, &checkpoint, &error), WEIR_OK, "%s", error.text);
    weir_checkpoint_describe(checkpoint, &info);
    for (uint32_t i = 0; weir_checkpoint_get_task(checkpoint, i, &task); i++)
        *overtook += task.overtook;
    weir_checkpoint_close(&checkpoint);
    weir_store_close(&store);
    return info.overtaken;
}

/* C34: it is the checkpoint that says how it was taken, not the mode; and the next one is aligned
 * again. */
Test(job_cases, a_checkpoint_says_whether_it_was_overtaken)
{
    struct flow flow;
    struct ledger ledger;
    struct valve valve;
    uint32_t overtook;
    init(&flow, WEIR_ADAPTIVE);
    ledger_init(&ledger, 5000);
    valve_init(&valve);
    weir_node source = flow_numbers(&flow, "numbers", 5000, 0, 1);
    weir_node stop = valve_node(flow.graph, "stop", &valve, 1);
    weir_connect(flow.graph, source, stop, WEIR_SPREAD);
    weir_connect(flow.graph, stop, ledger_sink(flow.graph, "sink", &ledger, 1), WEIR_SPREAD);
    flow_start(&flow);
    valve_allow(&valve, 0, 100);
    tally_until(&valve.passed, 100);
    flow_checkpoint(&flow);
    cr_expect(read_overtaken(&overtook));
    cr_expect_gt(overtook, 0);
    flow_kill(&flow);
    flow.options.alignment_max_ns = FLOW_DEADLINE;
    flow_start(&flow);
    valve_open(&valve);
    flow_ends(&flow, WEIR_OUTCOME_ENDED);
    cr_expect_not(read_overtaken(&overtook));
    cr_expect_eq(overtook, 0);
    ledger_is(&ledger, 5000, 1);
    flow_free(&flow);
    ledger_free(&ledger);
    valve_free(&valve);
}

/* ------------------------------------------------------------------- suspended and drained -- */

/* Sums up, and tells the sum when its input has ended. */
static struct tally *finished;

static enum weir_progress count_finish(void *self, struct weir_context *context)
{
    (void)self;
    (void)context;
    tally_add(finished, 1);
    return WEIR_END;
}

static const struct weir_operator finishing_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "finishing",
    .process = pass_on,
    .finish = count_finish,
};

/* S46, C57: a job that is to go on finishes nothing; one that is not finishes all, once. */
Test(job_cases, a_suspended_job_finishes_nothing_and_a_drained_one_all)
{
    for (int mode = WEIR_ADAPTIVE; mode <= WEIR_UNALIGNED; mode++) {
        struct flow flow;
        struct ledger ledger;
        struct tally tally;
        start_over();
        init(&flow, (enum weir_mode)mode);
        ledger_init(&ledger, 100000);
        tally_init(&tally);
        finished = &tally;
        weir_node source = flow_times(&flow, "numbers", 100000, 50000, 0);
        weir_node node = flow_add(&flow, "finishing", &finishing_table, NULL, 3);
        weir_connect(flow.graph, source, node, WEIR_SPREAD);
        weir_connect(flow.graph, node, ledger_sink(flow.graph, "sink", &ledger, 1), WEIR_SPREAD);
        for (unsigned run = 1; run <= 3; run++) {
            flow_start(&flow);
            flow_until_taken(&flow, &ledger, run * 500);
            flow_stop(&flow, WEIR_STOP_SUSPEND);
            flow_ends(&flow, WEIR_OUTCOME_STOPPED);
            flow_close(&flow);
            cr_expect_eq(tally_read(&tally), 0);
        }
        flow_start(&flow);
        flow_stop(&flow, WEIR_STOP_DRAIN);
        flow_ends(&flow, WEIR_OUTCOME_ENDED);
        flow_close(&flow);
        cr_expect_eq(tally_read(&tally), 3);
        flow_run(&flow, WEIR_OUTCOME_ALREADY_ENDED);
        cr_expect_eq(tally_read(&tally), 3);
        cr_expect(ledger.published >= 500 && ledger.published < 100000, "%d",
                  (int)ledger.published);
        ledger_is(&ledger, ledger.published, 1); /* all that was read, and it was read in order */
        flow_free(&flow);
        ledger_free(&ledger);
        tally_free(&tally);
    }
}

/* --------------------------------------------------------------------- another graph, or job -- */

/* numbers -> pass -> stop -> sink; stop is a valve, or passes all and is chained to pass. */
static void draw_line(struct flow *flow, struct ledger *ledger, struct valve *valve, bool chained)
{
    init(flow, WEIR_UNALIGNED);
    weir_node source = flow_numbers(flow, "numbers", 3000, 0, 1);
    weir_node pass = weir_flat_map(flow->graph, "pass", flow_pass, NULL);
    weir_node stop = chained ? weir_flat_map(flow->graph, "stop", flow_pass, NULL)
                             : valve_node(flow->graph, "stop", valve, 1);
    weir_connect(flow->graph, source, pass, WEIR_SPREAD);
    weir_connect(flow->graph, pass, stop, WEIR_FORWARD);
    weir_connect(flow->graph, stop, ledger_sink(flow->graph, "sink", ledger, 1), WEIR_SPREAD);
}

/* C101: where records were on their way there is no channel any more; where none were, it is the
 * same graph. */
Test(job_cases, records_on_their_way_between_what_now_is_one_task_are_refused_by_name)
{
    for (int in_flight = 0; in_flight < 2; in_flight++) {
        struct flow flow, other;
        struct ledger ledger;
        struct valve valve;
        start_over();
        ledger_init(&ledger, 3000);
        valve_init(&valve);
        draw_line(&flow, &ledger, &valve, false);
        draw_line(&other, &ledger, &valve, true);
        flow_start(&flow);
        valve_allow(&valve, 0, 100);
        tally_until(&valve.passed, 100);
        if (!in_flight)
            valve_open(&valve);
        flow_checkpoint(&flow);
        if (!in_flight) { /* aligned, it would hold nothing; so does the last one */
            flow_ends(&flow, WEIR_OUTCOME_ENDED);
            flow_close(&flow);
            flow_run(&other, WEIR_OUTCOME_ALREADY_ENDED);
        } else {
            flow_kill(&flow);
            cr_expect_eq(weir_job_start(other.graph, &other.options, &other.job, &other.error),
                         WEIR_MISMATCH);
            cr_expect(strstr(other.error.text, "from pass to stop, which now run in one task"),
                      "%s", other.error.text);
            valve_open(&valve);
            flow_finish(&flow);
        }
        ledger_is(&ledger, 3000, 1);
        flow_free(&flow);
        flow_free(&other);
        ledger_free(&ledger);
        valve_free(&valve);
    }
}

static void draw_files(struct flow *flow, const char *store, const char *folder)
{
    struct weir_line_sink_options lines = {WEIR_SIZED(struct weir_line_sink_options),
                                           .path = folder};
    flow_init(flow);
    flow->options.store = store;
    weir_node source = flow_numbers(flow, "numbers", 100, 0, 1);
    weir_connect(flow->graph, source, weir_line_sink(flow->graph, "sink", &lines), WEIR_SPREAD);
}

static void delete_store(const char *path)
{
    nftw(path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* S40. The store was deleted and the job begins anew: into its old output it would write all of it
 * twice, and says so; elsewhere it is a first start. */
Test(job_cases, a_job_of_the_same_name_begins_anew_and_not_into_the_output_of_the_old_one)
{
    char store[300], folder[300], other[300];
    struct flow flow;
    snprintf(store, sizeof store, "%s", scratch_join(scratch.path, "store"));
    snprintf(folder, sizeof folder, "%s", scratch_join(scratch.path, "output"));
    snprintf(other, sizeof other, "%s", scratch_join(scratch.path, "other"));
    draw_files(&flow, store, folder);
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    flow_run(&flow, WEIR_OUTCOME_ALREADY_ENDED);
    delete_store(store);
    cr_expect_eq(weir_job_start(flow.graph, &flow.options, &flow.job, &flow.error), WEIR_REFUSED);
    cr_expect(strstr(flow.error.text, folder), "%s", flow.error.text);
    flow_free(&flow);
    delete_store(store);
    draw_files(&flow, store, other);
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    cr_expect_eq(flow.watch.restored_from, 0);
    cr_expect_eq(flow.watch.newest, 1);
    flow_free(&flow);
}

Test(job_cases, a_name_is_letters_and_digits_and_never_a_path)
{
    static const char *const names[] = {"1", "0042", "a-b_c", "_"};
    static const char *const others[] = {"",     ".",  "..",  "a/b",     "a'b",
                                         "a\"b", "-a", "a b", "\xc3\xa4"};
    struct flow flow;
    struct ledger ledger;
    for (size_t i = 0; i < sizeof names / sizeof *names + sizeof others / sizeof *others; i++) {
        bool good = i < sizeof names / sizeof *names;
        start_over();
        init(&flow, WEIR_ADAPTIVE);
        ledger_init(&ledger, 10);
        weir_connect(flow.graph, flow_numbers(&flow, "numbers", 10, 0, 1),
                     ledger_sink(flow.graph, "sink", &ledger, 1), WEIR_SPREAD);
        flow.options.name = good ? names[i] : others[i - sizeof names / sizeof *names];
        if (good) {
            flow_run(&flow, WEIR_OUTCOME_ENDED);
            flow_run(&flow, WEIR_OUTCOME_ALREADY_ENDED);
        } else {
            cr_expect_eq(weir_job_start(flow.graph, &flow.options, &flow.job, &flow.error),
                         WEIR_INVALID, "%s", flow.options.name);
        }
        flow_free(&flow);
        ledger_free(&ledger);
    }
}

/* ----------------------------------------------- what is taken while a round is not complete -- */

/* extra -> slow, in the middle of a record: while it is, the round is not complete. Beside it, and
 * in one task: stop -> counted -> sink, which cut at the command. */
static const struct weir_operator counted_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "counted",
    .process = pass_on,
    .save = count_cut,
    .load = load_nothing,
};

/* C47: the records it takes after its cut are in flight for the checkpoint, so what it has prepared
 * for that must not hold them too. */
Test(job_cases, what_a_sink_takes_after_its_cut_is_of_the_next_transaction)
{
    for (int mode = WEIR_ADAPTIVE; mode <= WEIR_UNALIGNED; mode += 2) {
        struct flow flow;
        struct ledger ledger;
        struct valve valve;
        struct turnstile turnstile;
        struct tally tally;
        start_over();
        init(&flow, (enum weir_mode)mode);
        ledger_init(&ledger, 3000);
        valve_init(&valve);
        turnstile_init(&turnstile);
        tally_init(&tally);
        cuts = &tally;
        weir_node stop = valve_node(flow.graph, "stop", &valve, 1);
        weir_node counted = flow_add(&flow, "counted", &counted_table, NULL, 1);
        weir_connect(flow.graph, flow_numbers(&flow, "numbers", 3000, 0, 1), stop, WEIR_SPREAD);
        weir_connect(flow.graph, stop, counted, WEIR_FORWARD);
        weir_connect(flow.graph, counted, ledger_sink(flow.graph, "sink", &ledger, 1),
                     WEIR_FORWARD);
        weir_connect(flow.graph, flow_numbers(&flow, "extra", 20000, 0, 1),
                     turnstile_node(flow.graph, "slow", &turnstile), WEIR_SPREAD);
        flow_start(&flow);
        turnstile_until(&turnstile, 1);
        valve_allow(&valve, 0, 10);
        tally_until(&valve.passed, 10);
        cr_assert_eq(weir_job_checkpoint(flow.job, &flow.error), WEIR_OK);
        tally_until(&tally, 1);
        valve_allow(&valve, 0, 50);
        tally_until(&valve.passed, 60);
        cr_expect_eq(flow.watch.committed, 0);
        turnstile_allow(&turnstile, 1);
        for (uint64_t n = 2; !watch_has_committed(&flow.watch); n++) {
            turnstile_until(&turnstile, n); /* the source's marker may come later */
            turnstile_allow(&turnstile, 1);
        }
        flow_stop(&flow, WEIR_STOP_NOW);
        turnstile_allow(&turnstile, 1000000); /* in the middle of a record none can stop */
        (void)flow_wait(&flow);
        flow_close(&flow);
        valve_shut(&valve);
        flow_start(&flow);
        cr_expect_eq(flow.watch.restored_from, 1);
        turnstile_until(&turnstile, 1); /* what was prepared is published before any record */
        cr_expect_eq(ledger.published, 10, "%d", (int)ledger.published);
        valve_open(&valve);
        flow_ends(&flow, WEIR_OUTCOME_ENDED);
        ledger_is(&ledger, 3000, 1);
        flow_free(&flow);
        ledger_free(&ledger);
        valve_free(&valve);
        turnstile_free(&turnstile);
        tally_free(&tally);
    }
}

/* ----------------------------------------------------------------------------- large records -- */

#define LARGE (8 * 1024 + 13) /* of value, in batches of 1024 */

/* Its bytes after the number say whose they are. */
static enum weir_result enlarge(struct weir_context *context, unsigned input,
                                const struct weir_record *record, const void *config)
{
    static _Thread_local unsigned char value[LARGE];
    uint64_t number = flow_number(record);
    (void)input;
    (void)config;
    memset(value, (int)(number % 251), sizeof value);
    memcpy(value, &number, sizeof number);
    return weir_emit(context, 0,
                     &(struct weir_record){record->key, {value, sizeof value}, record->time});
}

static enum weir_result is_whole(struct weir_context *context, unsigned input,
                                 const struct weir_record *record, const void *config)
{
    const unsigned char *value = record->value.data;
    uint64_t number = flow_number(record);
    (void)input;
    (void)config;
    for (size_t i = sizeof number; i < LARGE && record->value.size == LARGE; i++)
        if (value[i] != number % 251)
            return weir_fail(context, WEIR_FAILED, "byte %zu of record %d is another's", i,
                             (int)number);
    return record->value.size == LARGE
               ? weir_emit(context, 0, record)
               : weir_fail(context, WEIR_FAILED, "record %d is not whole", (int)number);
}

/* S3, C39: records of eight batches each wait on both sides of a channel; checkpoint, restart, and
 * the next checkpoint before any of them was consumed, and when some were. */
Test(job_cases, records_larger_than_batches_are_whole_over_early_restarts)
{
    for (int mode = WEIR_ADAPTIVE; mode <= WEIR_UNALIGNED; mode += 2) {
        struct flow flow;
        struct ledger ledger;
        struct valve valve;
        struct notes notes;
        start_over();
        init(&flow, (enum weir_mode)mode);
        notes_take(&notes, &flow);
        flow.options.window_bytes = 20000;
        ledger_init(&ledger, 400);
        valve_init(&valve);
        weir_node large = weir_flat_map(flow.graph, "large", enlarge, NULL);
        weir_node stop = valve_node(flow.graph, "stop", &valve, 1);
        weir_node whole = weir_flat_map(flow.graph, "whole", is_whole, NULL);
        weir_connect(flow.graph, flow_numbers(&flow, "numbers", 400, 0, 1), large, WEIR_SPREAD);
        weir_connect(flow.graph, large, stop, WEIR_SPREAD);
        weir_connect(flow.graph, stop, whole, WEIR_SPREAD);
        weir_connect(flow.graph, whole, ledger_sink(flow.graph, "sink", &ledger, 1), WEIR_SPREAD);
        for (unsigned run = 0; run < 8; run++) {
            uint64_t passed = tally_read(&valve.passed);
            flow_start(&flow);
            if (run % 2 == 0) {
                valve_allow(&valve, 0, 7);
                tally_until(&valve.passed, passed + 7);
            }
            flow_checkpoint(&flow);
            uint64_t held = notes.channel_bytes + notes.outlet_bytes;
            cr_expect_gt(held, LARGE);
            cr_expect_leq(held, 16 * (LARGE + 64), "%d: more than all windows hold", (int)held);
            flow_kill(&flow);
            store_is_sound(scratch.path);
        }
        valve_open(&valve);
        flow_finish(&flow);
        ledger_is(&ledger, 400, 1);
        flow_free(&flow);
        ledger_free(&ledger);
        valve_free(&valve);
        notes_free(&notes);
    }
}

/* ----------------------------------------------------------------------------- forward edges -- */

#define PAIRS 3u

/* The source's subtask i sends the numbers with remainder i; nobody else may get them. */
static enum weir_result take_ones_own(struct weir_context *context, unsigned input,
                                      const struct weir_record *record, const void *config)
{
    (void)input;
    (void)config;
    if (flow_number(record) % PAIRS != weir_subtask(context))
        return weir_fail(context, WEIR_FAILED, "subtask %u got number %d", weir_subtask(context),
                         (int)flow_number(record));
    return weir_emit(context, 0, record);
}

/* C45 */
Test(job_cases, what_is_in_flight_on_a_forward_edge_goes_back_to_the_same_pair)
{
    for (int mode = WEIR_ADAPTIVE; mode <= WEIR_UNALIGNED; mode += 2) {
        struct flow flow;
        struct ledger ledger;
        struct valve valve;
        struct notes notes;
        start_over();
        init(&flow, (enum weir_mode)mode);
        notes_take(&notes, &flow);
        ledger_init(&ledger, 6000);
        valve_init(&valve);
        weir_node source = flow_numbers(&flow, "numbers", 6000, 0, PAIRS);
        weir_node stop = valve_node(flow.graph, "stop", &valve, PAIRS);
        struct weir_node_options options = {WEIR_SIZED(struct weir_node_options), .name = "own",
                                            .function = take_ones_own, .parallelism = PAIRS};
        weir_node own = weir_graph_add(flow.graph, &options);
        weir_connect(flow.graph, source, stop, WEIR_FORWARD);
        weir_connect(flow.graph, stop, own, WEIR_FORWARD);
        weir_connect(flow.graph, own, ledger_sink(flow.graph, "sink", &ledger, 1), WEIR_SPREAD);
        for (unsigned run = 1; run <= 4; run++) {
            uint64_t passed = tally_read(&valve.passed);
            flow_start(&flow);
            for (uint32_t i = 0; i < PAIRS; i++)
                valve_allow(&valve, i,
                            20 * (i + run % 2)); /* they come to be at different places */
            tally_until(&valve.passed, passed + 20 * (PAIRS + PAIRS * (run % 2)));
            flow_checkpoint(&flow);
            cr_expect(notes.channel_bytes > 0 && notes.outlet_bytes > 0);
            flow_kill(&flow);
            valve_shut(&valve);
        }
        valve_open(&valve);
        flow_finish(&flow);
        ledger_is(&ledger, 6000, 1);
        flow_free(&flow);
        ledger_free(&ledger);
        valve_free(&valve);
        notes_free(&notes);
    }
}

/* ------------------------------------------------------------------------- what had finished -- */

#define ONCE 20u

/* Saves no position: once it has ended it needs none. */
static enum weir_progress once_poll(void *self, struct weir_context *context)
{
    uint64_t *next = self;
    if (*next == ONCE)
        return WEIR_END;
    weir_emit(context, 0, &(struct weir_record){{NULL, 0}, {next, sizeof *next}, WEIR_NO_TIME});
    ++*next;
    return WEIR_MORE;
}

static const struct weir_operator once_source = {WEIR_SIZED(struct weir_operator), .kind = "once",
                                                 .self_size = 8, .poll = once_poll};

/* One number more than the source has. */
static enum weir_progress last_word(void *self, struct weir_context *context)
{
    uint64_t number = ONCE;
    weir_emit(context, 0, &(struct weir_record){{NULL, 0}, {&number, sizeof number}, WEIR_NO_TIME});
    return count_finish(self, context);
}

static const struct weir_operator last_table = {WEIR_SIZED(struct weir_operator), .kind = "last",
                                                .process = pass_on, .finish = last_word};

/* C56: one of two lines has ended, with its last word, before the checkpoint. */
Test(job_cases, what_had_finished_is_neither_polled_nor_asked_for_its_last_word_again)
{
    for (int mode = WEIR_ADAPTIVE; mode <= WEIR_UNALIGNED; mode += 2) {
        struct flow flow;
        struct ledger ledgers[2];
        struct valve valve;
        struct tally tally;
        start_over();
        init(&flow, (enum weir_mode)mode);
        ledger_init(&ledgers[0], ONCE + 1);
        ledger_init(&ledgers[1], 100);
        valve_init(&valve);
        tally_init(&tally);
        finished = &tally;
        weir_node last = flow_add(&flow, "last", &last_table, NULL, 1);
        weir_node stop = valve_node(flow.graph, "stop", &valve, 1);
        weir_connect(flow.graph, flow_add(&flow, "once", &once_source, NULL, 1), last, WEIR_SPREAD);
        weir_connect(flow.graph, last, ledger_sink(flow.graph, "sink", &ledgers[0], 1),
                     WEIR_SPREAD);
        weir_connect(flow.graph, flow_numbers(&flow, "numbers", 100, 0, 1), stop, WEIR_SPREAD);
        weir_connect(flow.graph, stop, ledger_sink(flow.graph, "other", &ledgers[1], 1),
                     WEIR_SPREAD);
        for (unsigned run = 1; run <= 4; run++) {
            flow_start(&flow);
            tally_until(&tally, 1);
            valve_allow(&valve, 0, 10);
            tally_until(&valve.passed, 10 * run);
            flow_checkpoint(&flow);
            flow_kill(&flow);
        }
        valve_open(&valve);
        flow_finish(&flow);
        cr_expect_eq(tally_read(&tally), 1);
        ledger_is(&ledgers[0], ONCE + 1, 1);
        ledger_is(&ledgers[1], 100, 1);
        flow_free(&flow);
        valve_free(&valve);
        tally_free(&tally);
        ledger_free(&ledgers[0]);
        ledger_free(&ledgers[1]);
    }
}

/* -------------------------------------------------------------------- stops that do not come -- */

static atomic_int refusals;

static enum weir_result save_or_refuse(void *self, struct weir_context *context,
                                       struct weir_saver *saver)
{
    (void)self;
    (void)context;
    (void)saver;
    return atomic_fetch_sub(&refusals, 1) > 0 ? WEIR_IO : WEIR_OK;
}

static const struct weir_operator refusing_table = {
    WEIR_SIZED(struct weir_operator), .kind = "refusing",   .process = pass_on,
    .save = save_or_refuse,           .load = load_nothing,
};

/* S46: the last checkpoint of a stop comes to nothing: it is taken again, and nothing is lost,
 * whether the job is to go on or to end. */
Test(job_cases, a_stop_whose_checkpoint_fails_takes_another)
{
    for (int mode = WEIR_ADAPTIVE; mode <= WEIR_UNALIGNED; mode++) {
        struct flow flow;
        struct ledger ledger;
        start_over();
        init(&flow, (enum weir_mode)mode);
        flow.options.tolerated = 5;
        ledger_init(&ledger, 1000000);
        weir_node source = flow_times(&flow, "numbers", 1000000, 50000, 0);
        weir_node node = flow_add(&flow, "refusing", &refusing_table, NULL, 1);
        weir_connect(flow.graph, source, node, WEIR_SPREAD);
        weir_connect(flow.graph, node, ledger_sink(flow.graph, "sink", &ledger, 1), WEIR_SPREAD);
        for (unsigned run = 1; run <= 3; run++) {
            flow_start(&flow);
            flow_until_taken(&flow, &ledger, run * 200);
            atomic_store(&refusals, 2);
            flow_stop(&flow, run == 3 ? WEIR_STOP_DRAIN : WEIR_STOP_SUSPEND);
            flow_ends(&flow, run == 3 ? WEIR_OUTCOME_ENDED : WEIR_OUTCOME_STOPPED);
            cr_expect_eq(flow.watch.aborted, 2 * run, "%u", flow.watch.aborted);
            cr_expect_eq(flow.watch.committed, run, "%u", flow.watch.committed);
            flow_close(&flow);
        }
        flow_run(&flow, WEIR_OUTCOME_ALREADY_ENDED);
        cr_expect_gt(ledger.published, 0);
        ledger_is(&ledger, ledger.published, 1); /* all that was read, and it was read in order */
        flow_free(&flow);
        ledger_free(&ledger);
    }
}
