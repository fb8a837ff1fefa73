/* links: flow */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an operator stood: the callback, the record, its position since the job's first start - the
 * same after every restart - and its fingerprint.
 */
#include "flow.h"

#include "failure.h"
#include "job.h"

static struct scratch scratch;
static void scratch_open(void)
{
    scratch = scratch_make();
}
static void scratch_close(void)
{
    scratch_free(&scratch);
}
TestSuite(job_failure, .init = scratch_open, .fini = scratch_close);

static const struct weir_failure none;

/* Of the task that failed first and only. */
static struct weir_failure failure_of(const struct weir_job *job)
{
    for (uint32_t i = 0; i < job->task_count; i++)
        if (task_failure(&job->tasks[i]))
            return *task_failure(&job->tasks[i]);
    return none;
}

static uint64_t fingerprint_of(uint64_t number)
{
    struct weir_record record = {.key = {&number, 8}, .value = {&number, 8}, .time = WEIR_NO_TIME};
    return failure_fingerprint(&record);
}

/* ------------------------------------------------------------------------ which record -- */

#define BAD 5000

static enum weir_result bad_number(struct weir_context *context, unsigned input,
                                   const struct weir_record *record, const void *config)
{
    (void)input;
    (void)config;
    return flow_number(record) == BAD ? WEIR_IO : weir_emit(context, 0, record);
}

static size_t bad_span(void *self, struct weir_context *context, unsigned input,
                       const struct weir_record *records, size_t count)
{
    (void)self;
    for (size_t i = 0; i < count; i++)
        if (bad_number(context, input, &records[i], NULL))
            return weir_fail(context, WEIR_IO, "a number of the span is bad");
    return count;
}

static const struct weir_operator span_table = {WEIR_SIZED(struct weir_operator), .kind = "span",
                                                .self_size = 1, .process_many = bad_span};

/* source -> first -> pass -> bad -> after; `routing` leads to first, the rest is one chain. */
static struct weir_failure run_bad(bool spans, bool head, bool careful, enum weir_routing routing)
{
    struct flow flow;
    struct ledger ledger;
    flow_init(&flow);
    ledger_init(&ledger, 2 * BAD);
    flow.options.careful = careful;
    weir_node last = flow_numbers(&flow, "numbers", 2 * BAD, 0, 1);
    for (int i = 0; !head && i < 2; i++) {
        weir_node pass = weir_flat_map(flow.graph, i ? "second" : "first", flow_pass, NULL);
        weir_connect(flow.graph, last, pass, i ? WEIR_FORWARD : routing);
        last = pass;
    }
    weir_node bad = spans ? flow_add(&flow, "bad", &span_table, NULL, 1)
                          : weir_flat_map(flow.graph, "bad", bad_number, NULL);
    weir_connect(flow.graph, last, bad, head ? routing : WEIR_FORWARD);
    weir_connect(flow.graph, bad, ledger_sink(flow.graph, "sink", &ledger, 1), WEIR_FORWARD);
    flow_start(&flow);
    flow_ends(&flow, WEIR_OUTCOME_FAILED);
    struct weir_failure failure = failure_of(flow.job);
    flow_free(&flow);
    ledger_free(&ledger);
    return failure;
}

static void is_exact(const struct weir_failure *failure)
{
    cr_assert_not_null(failure->doing);
    cr_expect_str_eq(failure->node, "bad");
    cr_expect_str_eq(failure->doing, "process");
    cr_expect_eq(failure->size, sizeof *failure);
    cr_expect_eq(failure->position, BAD + 1, "%llu", (unsigned long long)failure->position);
    cr_expect_eq(failure->count, 1);
    cr_expect_eq(failure->fingerprint, fingerprint_of(BAD));
    cr_expect_str_eq(failure->preview, "key \\x88\\x13\\x00\\x00\\x00\\x00\\x00\\x00, "
                                       "value \\x88\\x13\\x00\\x00\\x00\\x00\\x00\\x00");
}

Test(job_failure, a_record_is_named_exactly_wherever_the_operator_stands_in_its_chain)
{
    for (int head = 0; head < 2; head++) {
        struct weir_failure failure = run_bad(false, head, false, WEIR_FORWARD);
        is_exact(&failure);
        failure = run_bad(false, head, false, WEIR_SPREAD);
        is_exact(&failure);
    }
}

Test(job_failure, process_many_names_its_span_and_the_record_when_careful)
{
    struct weir_failure failure = run_bad(true, true, false, WEIR_SPREAD);
    cr_expect_str_eq(failure.node, "bad");
    cr_expect_leq(failure.position, BAD + 1);
    cr_expect_gt(failure.position + failure.count, BAD + 1);
    cr_expect_gt(failure.count, 1, "of %d records some are given together", BAD);
    cr_expect_str_eq(failure.preview, "");
    failure = run_bad(true, true, true, WEIR_SPREAD);
    is_exact(&failure);
    failure = run_bad(true, false, false, WEIR_SPREAD); /* direct calls are of one record */
    is_exact(&failure);
}

Test(job_failure, positions_are_the_same_after_every_restart)
{
    struct flow flow;
    struct ledger ledger;
    flow_init(&flow);
    ledger_init(&ledger, 40000);
    flow.options.store = scratch_join(scratch.path, "store");
    flow.options.interval_ns = 1000000;
    struct weir_sequence_source_options numbers = {WEIR_SIZED(struct weir_sequence_source_options),
                                                   .count = 20000, .rate = 50000};
    weir_node source = weir_sequence_source(flow.graph, "numbers", &numbers);
    weir_node pass = weir_flat_map(flow.graph, "pass", flow_pass, NULL);
    weir_node bad = weir_flat_map(flow.graph, "bad", bad_number, NULL);
    weir_connect(flow.graph, source, pass, WEIR_SPREAD);
    weir_connect(flow.graph, pass, bad, WEIR_FORWARD);
    weir_connect(flow.graph, bad, ledger_sink(flow.graph, "sink", &ledger, 1), WEIR_FORWARD);
    for (int life = 0; life < 6; life++) {
        flow_start(&flow);
        if (life < 3 && flow_until_taken(&flow, &ledger, atomic_load(&ledger.taken) + 300))
            flow_stop(&flow, WEIR_STOP_SUSPEND);
        enum weir_outcome outcome = flow_wait(&flow);
        struct weir_failure failure = failure_of(flow.job);
        if (outcome == WEIR_OUTCOME_FAILED)
            is_exact(&failure);
        else
            cr_expect_lt(life, 3, "a bad record fails every run");
        flow_close(&flow);
    }
    flow_free(&flow);
    ledger_free(&ledger);
}

/* ------------------------------------------------------------------------- which callback -- */

/* What task_here says, from inside callbacks. */
static struct {
    struct weir_failure before, inside, after, commit;
    char doing[16]; /* the callback that fails */
} seen;

static struct weir_failure here(const struct weir_context *context)
{
    struct weir_failure failure = none;
    cr_expect(task_here(context->task, &failure));
    return failure;
}

static enum weir_result outer(struct weir_context *context, unsigned input,
                              const struct weir_record *record, const void *config)
{
    (void)input;
    (void)config;
    seen.before = here(context);
    weir_emit(context, 0, record);
    weir_emit(context, 0, record);
    seen.after = here(context);
    return flow_number(record) == 9 ? weir_fail(context, WEIR_IO, "behind its emission") : WEIR_OK;
}

static enum weir_result inner(struct weir_context *context, unsigned input,
                              const struct weir_record *record, const void *config)
{
    (void)input;
    (void)record;
    (void)config;
    seen.inside = here(context);
    return WEIR_OK;
}

Test(job_failure, the_outer_place_is_back_when_a_direct_call_returns)
{
    struct flow flow;
    flow_init(&flow);
    memset(&seen, 0, sizeof seen);
    weir_node source = flow_numbers(&flow, "numbers", 100, 0, 1);
    weir_node first = weir_flat_map(flow.graph, "outer", outer, NULL);
    weir_node second = weir_flat_map(flow.graph, "inner", inner, NULL);
    weir_connect(flow.graph, source, first, WEIR_SPREAD);
    weir_connect(flow.graph, first, second, WEIR_FORWARD);
    flow_start(&flow);
    flow_ends(&flow, WEIR_OUTCOME_FAILED);
    struct weir_failure failure = failure_of(flow.job);
    cr_expect_str_eq(failure.node, "outer");
    cr_expect_eq(failure.position, 10);
    cr_expect_eq(failure.fingerprint, fingerprint_of(9));
    cr_expect_eq(memcmp(&failure, &seen.after, sizeof failure), 0);
    cr_expect_eq(memcmp(&failure, &seen.before, sizeof failure), 0);
    cr_expect_str_eq(seen.inside.node, "inner");
    cr_expect_eq(seen.inside.position, 20, "it was given each record twice");
    struct weir_failure elsewhere = none;
    for (uint32_t i = 0; i < flow.job->task_count; i++)
        cr_expect_not(task_here(&flow.job->tasks[i], &elsewhere), "no callback is running");
    flow_free(&flow);
}

static bool fails(const char *doing)
{
    return strcmp(seen.doing, doing) == 0;
}

static enum weir_result fail_if(struct weir_context *context, const char *doing)
{
    return fails(doing) ? weir_fail(context, WEIR_IO, "no luck") : WEIR_OK;
}

static enum weir_result any_open(void *self, struct weir_context *context, const void *config)
{
    (void)self;
    (void)config;
    weir_wake(context, 0, -1);
    return WEIR_OK;
}
static enum weir_result any_process(void *self, struct weir_context *context, unsigned input,
                                    const struct weir_record *record)
{
    (void)self;
    (void)input;
    (void)record;
    weir_timer_set(context, WEIR_TIMER_EVENT, 5, 5);
    return WEIR_OK;
}
static enum weir_result any_timer(void *self, struct weir_context *context, enum weir_timer kind,
                                  int64_t time, uint64_t tag)
{
    (void)self;
    (void)kind;
    (void)time;
    (void)tag;
    return fail_if(context, "timer");
}
static enum weir_result any_wake(void *self, struct weir_context *context)
{
    (void)self;
    weir_wake(context, 0, -1);
    return fail_if(context, "wake");
}
static enum weir_progress any_finish(void *self, struct weir_context *context)
{
    (void)self;
    fail_if(context, "finish");
    return WEIR_END;
}
static enum weir_result any_prepare(void *self, struct weir_context *context, uint64_t id)
{
    (void)self;
    return fails("prepare") ? WEIR_IO : weir_handle(context, (struct weir_bytes){&id, sizeof id});
}
static enum weir_result any_commit(void *self, struct weir_context *context,
                                   struct weir_bytes handle)
{
    (void)self;
    (void)handle;
    seen.commit = here(context);
    return fail_if(context, "commit");
}

static const struct weir_operator any_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "any",
    .self_size = 1,
    .open = any_open,
    .process = any_process,
    .timer = any_timer,
    .finish = any_finish,
    .prepare = any_prepare,
    .commit = any_commit,
    .wake = any_wake,
};

static enum weir_progress any_poll(void *self, struct weir_context *context)
{
    uint64_t *number = self;
    if (fails("poll")) {
        weir_fail(context, WEIR_IO, "no luck");
        return WEIR_END;
    }
    weir_emit(context, 0, &(struct weir_record){.value = {number, 8}, .time = (int64_t)*number});
    return ++*number < 100 ? WEIR_MORE : WEIR_END;
}

static const struct weir_operator any_source = {
    WEIR_SIZED(struct weir_operator), .kind = "any_source", .self_size = 8, .poll = any_poll};

Test(job_failure, other_callbacks_are_named_and_are_at_no_record)
{
    static const char *const slots[] = {"poll", "timer", "wake", "prepare", "commit", "finish"};
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++) {
        struct flow flow;
        flow_init(&flow);
        memset(&seen, 0, sizeof seen);
        snprintf(seen.doing, sizeof seen.doing, "%s", slots[i]);
        weir_node source = flow_add(&flow, "source", &any_source, NULL, 1);
        weir_node any = flow_add(&flow, "any", &any_table, NULL, 1);
        weir_connect(flow.graph, source, any, WEIR_FORWARD);
        flow_start(&flow);
        flow_ends(&flow, WEIR_OUTCOME_FAILED);
        struct weir_failure failure = failure_of(flow.job);
        cr_assert_not_null(failure.doing, "%s", slots[i]);
        cr_expect_str_eq(failure.doing, slots[i]);
        cr_expect_str_eq(failure.node, i == 0 ? "source" : "any");
        cr_expect(failure.position == 0 && failure.count == 0 && failure.preview[0] == 0);
        if (fails("commit"))
            cr_expect_eq(memcmp(&seen.commit, &failure, sizeof failure), 0);
        flow_free(&flow);
    }
}

/* ------------------------------------------------------------------------------- the text -- */

Test(job_failure, a_preview_is_printable_bounded_and_says_that_there_was_more)
{
    char big[400];
    memset(big, 'x', sizeof big);
    struct graph_node node = {.name = "n"};
    struct weir_record record = {{"a\"b\\\n", 5}, {"plain", 5}, 3};
    struct weir_context context = {.node = &node, .hand = &record, .hand_count = 1};
    struct weir_failure failure;
    failure_describe(&context, "process", &failure);
    cr_expect_str_eq(failure.preview, "key a\"b\\x5c\\x0a, value plain");
    record.key = (struct weir_bytes){big, sizeof big};
    record.value = (struct weir_bytes){big, sizeof big};
    failure_describe(&context, "process", &failure);
    cr_expect_eq(strlen(failure.preview), sizeof failure.preview - 1);
    cr_expect_not_null(strstr(failure.preview, "x..., value xxx"));
    cr_expect_str_eq(failure.preview + sizeof failure.preview - 5, "x...");
    record.key = (struct weir_bytes){NULL, 0};
    record.value = (struct weir_bytes){NULL, 0};
    failure_describe(&context, "process", &failure);
    cr_expect_str_eq(failure.preview, "value ");
}

Test(job_failure, fingerprints_tell_key_value_and_time_apart)
{
    struct weir_record records[] = {{{"ab", 2}, {"c", 1}, 1},
                                    {{"a", 1}, {"bc", 2}, 1},
                                    {{"ab", 2}, {"c", 1}, 2},
                                    {{NULL, 0}, {"abc", 3}, 1},
                                    {{"abc", 3}, {NULL, 0}, 1}};
    for (size_t i = 0; i < 5; i++)
        for (size_t j = 0; j < 5; j++)
            cr_expect_eq(failure_fingerprint(&records[i]) == failure_fingerprint(&records[j]),
                         i == j);
}
