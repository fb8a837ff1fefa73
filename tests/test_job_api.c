/* links: flow */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs that fail, are refused, run beside each other, and take their memory from the user.
 */
#include "flow.h"

#include <zmq.h>

static struct scratch scratch;
static void scratch_open(void)
{
    scratch = scratch_make();
}
static void scratch_close(void)
{
    scratch_free(&scratch);
}
TestSuite(job_api, .init = scratch_open, .fini = scratch_close);

/* -------------------------------------------------------------------- failing callbacks -- */

enum slot { OPEN, PROCESS, MANY, POLL, TIMER, FINISH, PREPARE, COMMIT, SAVE, LOAD, CLOSE, SLOTS };
static const char *const slot_names[] = {"open",  "process", "process_many", "poll",
                                         "timer", "finish",  "prepare",      "commit",
                                         "save",  "load",    "close"};

/* What a run's faulty operator does, and what was called. Set before the start. */
static struct {
    enum slot fails;
    bool says_why; /* by weir_fail, or by its answer alone */
    atomic_uint opened, closed, aborted;
    atomic_uint save_failures; /* so often save says no */
} fault;

static enum weir_result fails_in(struct weir_context *context, enum slot slot)
{
    if (fault.fails != slot)
        return WEIR_OK;
    return fault.says_why ? weir_fail(context, WEIR_IO, "no luck in %s", slot_names[slot])
                          : WEIR_IO;
}

static enum weir_result faulty_open(void *self, struct weir_context *context, const void *config)
{
    (void)self;
    (void)config;
    atomic_fetch_add(&fault.opened, 1);
    return fails_in(context, OPEN);
}

static enum weir_result faulty_process(void *self, struct weir_context *context, unsigned input,
                                       const struct weir_record *record)
{
    (void)self;
    (void)input;
    if (fault.fails == TIMER)
        weir_timer_set(context, WEIR_TIMER_EVENT, 1, 0);
    enum weir_result result = fails_in(context, PROCESS);
    return result ? result : weir_emit(context, 0, record);
}

static size_t faulty_many(void *self, struct weir_context *context, unsigned input,
                          const struct weir_record *records, size_t count)
{
    (void)self;
    (void)input;
    for (size_t i = 0; i < count; i++)
        weir_emit(context, 0, &records[i]);
    return fails_in(context, MANY) ? 0 : count;
}

static enum weir_progress faulty_poll(void *self, struct weir_context *context)
{
    uint64_t number = (*(uint64_t *)self)++;
    if (number >= 1000 || (number == 10 && fault.fails == POLL)) {
        if (number == 10)
            weir_fail(context, WEIR_IO, "no luck in poll");
        return WEIR_END;
    }
    weir_emit(context, 0, &(struct weir_record){{NULL, 0}, {&number, 8}, WEIR_NO_TIME});
    return WEIR_MORE;
}

static enum weir_result faulty_timer(void *self, struct weir_context *context, enum weir_timer kind,
                                     int64_t time, uint64_t tag)
{
    (void)self;
    (void)kind;
    (void)time;
    (void)tag;
    return fails_in(context, TIMER);
}

static enum weir_progress faulty_finish(void *self, struct weir_context *context)
{
    (void)self;
    if (fault.fails == FINISH)
        weir_fail(context, WEIR_IO, "no luck in finish");
    return WEIR_END;
}

static enum weir_result faulty_prepare(void *self, struct weir_context *context, uint64_t id)
{
    (void)self;
    enum weir_result result = fails_in(context, PREPARE);
    return result ? result : weir_handle(context, (struct weir_bytes){&id, sizeof id});
}

static enum weir_result faulty_commit(void *self, struct weir_context *context,
                                      struct weir_bytes handle)
{
    (void)self;
    (void)handle;
    return fails_in(context, COMMIT);
}

static void faulty_aborted(void *self, struct weir_context *context, uint64_t id)
{
    (void)self;
    (void)context;
    (void)id;
    atomic_fetch_add(&fault.aborted, 1);
}

static enum weir_result faulty_save(void *self, struct weir_context *context,
                                    struct weir_saver *saver)
{
    (void)self;
    (void)saver;
    unsigned left = atomic_load(&fault.save_failures);
    while (left && !atomic_compare_exchange_weak(&fault.save_failures, &left, left - 1))
        ;
    if (left)
        return WEIR_TOO_LARGE;
    return fault.says_why ? fails_in(context, SAVE) : WEIR_OK;
}

static enum weir_result faulty_load(void *self, struct weir_context *context,
                                    struct weir_loader *loader, uint32_t version)
{
    (void)self;
    (void)loader;
    (void)version;
    return fails_in(context, LOAD);
}

static void faulty_close(void *self, struct weir_context *context)
{
    (void)self;
    (void)context;
    atomic_fetch_add(&fault.closed, 1);
}

/* As a source, in the middle of a chain, or in a task of its own. */
enum place { AS_SOURCE, CHAINED, APART, PLACES };

static void faulty_graph(struct flow *flow, struct ledger *ledger, enum place place)
{
    struct weir_operator table = {
        WEIR_SIZED(struct weir_operator),
        .kind = "faulty",
        .self_size = 8,
        .open = faulty_open,
        .timer = faulty_timer,
        .finish = faulty_finish,
        .prepare = faulty_prepare,
        .commit = faulty_commit,
        .aborted = faulty_aborted,
        .save = faulty_save,
        .load = faulty_load,
        .close = faulty_close,
        .process = faulty_process,
    };
    flow_init(flow);
    flow->options.store = scratch.path;
    flow->options.interval_ns = FLOW_SECOND / 500;
    if (fault.fails == MANY) {
        table.process = NULL;
        table.process_many = faulty_many;
    }
    if (place == AS_SOURCE) {
        table.process = NULL;
        table.process_many = NULL;
        table.poll = faulty_poll;
    }
    weir_node faulty = flow_add(flow, "faulty", &table, NULL, 2);
    weir_node sink = ledger_sink(flow->graph, "sink", ledger, 2);
    enum weir_routing routing = place == APART ? WEIR_SPREAD : WEIR_FORWARD;
    if (place != AS_SOURCE) {
        struct weir_sequence_source_options numbers = {
            WEIR_SIZED(struct weir_sequence_source_options), .count = 1000, .time_step = 10,
            .parallelism = 2};
        weir_connect(flow->graph, weir_sequence_source(flow->graph, "numbers", &numbers), faulty,
                     routing);
    }
    weir_connect(flow->graph, faulty, sink, routing);
}

static bool possible(enum slot slot, enum place place, bool says_why)
{
    if (slot == SAVE && !says_why) /* that only refuses the round */
        return false;
    if (place == AS_SOURCE)
        return slot != PROCESS && slot != MANY && slot != TIMER && slot != FINISH;
    if (slot == POLL)
        return false;
    return says_why || (slot != FINISH && slot != MANY);
}

static void names_the_node(const struct flow *flow, enum slot slot, enum place place)
{
    cr_expect_str_eq(flow->error.node, "faulty", "%s at place %d: node \"%s\" of \"%s\"",
                     slot_names[slot], (int)place, flow->error.node, flow->error.text);
    cr_expect(strstr(flow->error.text, "faulty") && strstr(flow->error.text, slot_names[slot]),
              "%s at place %d: \"%s\"", slot_names[slot], (int)place, flow->error.text);
    cr_expect_eq(flow->error.code, WEIR_IO, "%s at place %d: %s", slot_names[slot], (int)place,
                 weir_result_name(flow->error.code));
}

/* LOAD needs a checkpoint of a run that went well so far. */
static void make_checkpoint(enum place place)
{
    struct flow flow;
    struct ledger ledger;
    enum slot slot = fault.fails;
    fault.fails = SLOTS;
    ledger_init(&ledger, 1000);
    faulty_graph(&flow, &ledger, place);
    flow_start(&flow);
    flow_stop(&flow, WEIR_STOP_SUSPEND);
    flow_wait(&flow);
    flow_free(&flow);
    ledger_free(&ledger);
    fault.fails = slot;
}

static void fail_once(enum slot slot, enum place place, bool says_why)
{
    struct flow flow;
    struct ledger ledger;
    enum weir_outcome outcome = WEIR_OUTCOME_FAILED;
    scratch_free(&scratch);
    scratch = scratch_make();
    fault.fails = slot;
    fault.says_why = says_why;
    if (slot == LOAD)
        make_checkpoint(place);
    fault.opened = fault.closed = 0;
    ledger_init(&ledger, 1000);
    ledger.forgets = slot == LOAD; /* its handles are the other ledger's; who fails first is open */
    faulty_graph(&flow, &ledger, place);
    enum weir_result result = weir_job_start(flow.graph, &flow.options, &flow.job, &flow.error);
    if (slot == OPEN || slot == LOAD) {
        cr_expect_eq(result, WEIR_IO, "%s", slot_names[slot]);
        cr_expect_null(flow.job);
    } else {
        cr_assert_eq(result, WEIR_OK);
        outcome = flow_wait(&flow);
    }
    cr_expect_eq(outcome, WEIR_OUTCOME_FAILED, "%s at place %d", slot_names[slot], (int)place);
    if (outcome == WEIR_OUTCOME_FAILED)
        names_the_node(&flow, slot, place);
    flow_close(&flow);
    cr_expect_eq(fault.opened, fault.closed, "%s: opened %u, closed %u", slot_names[slot],
                 fault.opened, fault.closed);
    cr_expect_gt(fault.opened, 0);
    for (int i = 0; i < 1000; i++)
        cr_assert_leq(ledger.counts[i], 2);
    flow_free(&flow);
    ledger_free(&ledger);
}

Test(job_api, a_failing_callback_ends_the_run_and_names_node_and_slot)
{
    for (int slot = OPEN; slot < CLOSE; slot++)
        for (int place = 0; place < PLACES; place++)
            for (int says_why = 0; says_why < 2; says_why++)
                if (possible((enum slot)slot, (enum place)place, says_why))
                    fail_once((enum slot)slot, (enum place)place, says_why);
}

Test(job_api, a_save_that_says_no_refuses_the_round_and_the_stream_goes_on)
{
    for (int place = 0; place < PLACES; place++) {
        struct flow flow;
        struct ledger ledger;
        scratch_free(&scratch);
        scratch = scratch_make();
        fault.fails = SLOTS;
        fault.save_failures = 3;
        fault.aborted = 0;
        ledger_init(&ledger, 1000);
        faulty_graph(&flow, &ledger, (enum place)place);
        flow_run(&flow, WEIR_OUTCOME_ENDED);
        ledger_is(&ledger, 1000, place == AS_SOURCE ? 2 : 1);
        cr_expect_geq(flow.watch.aborted, 2); /* two subtasks may refuse one round */
        cr_expect_geq(fault.aborted, flow.watch.aborted);
        cr_expect(strstr(flow.watch.last_abort, "faulty") != NULL, "%s", flow.watch.last_abort);
        flow_free(&flow);
        ledger_free(&ledger);
    }
}

Test(job_api, more_failed_rounds_in_a_row_than_tolerated_fail_the_run)
{
    struct flow flow;
    struct ledger ledger;
    fault.fails = SLOTS;
    fault.save_failures = 1000000;
    ledger_init(&ledger, 1000);
    faulty_graph(&flow, &ledger, APART);
    flow.options.tolerated = 3;
    flow_start(&flow);
    flow_ends(&flow, WEIR_OUTCOME_FAILED);
    cr_expect_eq(flow.watch.aborted, 4);
    cr_expect_eq(ledger.published, 0);
    flow_free(&flow);
    ledger_free(&ledger);
}

Test(job_api, after_a_failure_the_next_run_makes_the_output_exact)
{
    static const enum slot slots[] = {PREPARE, COMMIT, SAVE, PROCESS, FINISH};
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++) {
        struct flow flow;
        struct ledger ledger;
        scratch_free(&scratch);
        scratch = scratch_make();
        fault.save_failures = 0;
        fault.says_why = true;
        ledger_init(&ledger, 1000);
        fault.fails = slots[i];
        faulty_graph(&flow, &ledger, APART);
        for (int run = 0; run < 3; run++) {
            if (!weir_job_start(flow.graph, &flow.options, &flow.job, &flow.error))
                flow_ends(&flow, WEIR_OUTCOME_FAILED);
            flow_close(&flow);
        }
        fault.fails = SLOTS;
        flow_start(&flow);
        enum weir_outcome outcome = flow_wait(&flow);
        cr_expect(outcome == WEIR_OUTCOME_ENDED || outcome == WEIR_OUTCOME_ALREADY_ENDED);
        flow_close(&flow);
        ledger_is(&ledger, 1000, 1);
        flow_free(&flow);
        ledger_free(&ledger);
    }
}
