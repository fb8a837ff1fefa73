/* links: flow */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole jobs whose state is larger than the memory it may have (state_memory): stopped and
 * abandoned at any moment, restored, and every record's effect in the output exactly once; what is
 * too much is in files without names, and the rest is as small as was asked.
 */
#include "flow.h"
#include "nameless.h"

#include <signal.h>
#include <sys/resource.h>

static struct scratch scratch;
static void scratch_open(void)
{
    scratch = scratch_make();
}
static void scratch_close(void)
{
    scratch_free(&scratch);
}
TestSuite(job_large_state, .init = scratch_open, .fini = scratch_close);

/* numbers -> count (BY_KEY) -> ledger: for each record key * PER_KEY + how many of that key came
 * so far. The number is kept in a value of some size that follows from it: exact only if state is.
 */
#define KEYS 1000u
#define PER_KEY 20u
#define RECORDS (KEYS * PER_KEY)
#define VALUE_LEAST 1500u
#define BUDGET ((uint64_t)384 << 10) /* a quarter of the values, or less */

static size_t value_size(uint64_t key, uint64_t count)
{
    return VALUE_LEAST + (size_t)(key * 7 + count * 131) % 500;
}

static enum weir_result count_one(struct weir_context *context, unsigned input,
                                  const struct weir_record *record, const void *config)
{
    unsigned char value[VALUE_LEAST + 500];
    struct weir_bytes old;
    uint64_t key, count = 0;
    (void)input, (void)config;
    memcpy(&key, record->key.data, sizeof key);
    if (weir_get(context, 0, &record->key, &old)) {
        memcpy(&count, old.data, sizeof count);
        const unsigned char *last = (const unsigned char *)old.data + old.size - 1;
        if (old.size != value_size(key, count) || *last != (unsigned char)(key + count))
            return weir_fail(context, WEIR_DAMAGED, "the value is another key's");
    }
    uint64_t number = key * PER_KEY + count++;
    size_t size = value_size(key, count);
    memset(value, (int)(unsigned char)(key + count), size);
    memcpy(value, &count, sizeof count);
    enum weir_result result = weir_put(context, 0, &record->key, (struct weir_bytes){value, size});
    if (result)
        return result;
    return weir_emit(context, 0,
                     &(struct weir_record){record->key, {&number, sizeof number}, WEIR_NO_TIME});
}

static void draw(struct flow *flow, struct ledger *ledger, uint32_t parallelism, uint64_t rate)
{
    static const struct weir_state state = {WEIR_SIZED(struct weir_state), .name = "seen"};
    struct weir_node_options count = {WEIR_SIZED(struct weir_node_options), .name = "count",
                                      .function = count_one, .states = &state, .state_count = 1};
    struct weir_sequence_source_options numbers = {WEIR_SIZED(struct weir_sequence_source_options),
                                                   .count = RECORDS, .keys = KEYS, .rate = rate};
    flow_init(flow);
    ledger_init(ledger, RECORDS);
    flow->options.store = scratch.path;
    flow->options.interval_ns = FLOW_SECOND / 200;
    flow->options.parallelism = parallelism;
    flow->options.state_memory = BUDGET;
    weir_node source = weir_sequence_source(flow->graph, "numbers", &numbers);
    weir_node counting = weir_graph_add(flow->graph, &count);
    weir_connect(flow->graph, source, counting, WEIR_BY_KEY);
    weir_connect(flow->graph, counting, ledger_sink(flow->graph, "sink", ledger, 0), WEIR_FORWARD);
}

static struct weir_status status_of(const struct flow *flow)
{
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    weir_job_status(flow->job, &status);
    return status;
}

static void done(struct flow *flow, struct ledger *ledger)
{
    flow_free(flow);
    ledger_free(ledger);
}

/* ------------------------------------------------------------------------------- exact -- */

static void chaos(uint32_t parallelism, uint64_t *seed, unsigned stops)
{
    struct flow flow;
    struct ledger ledger;
    unsigned runs = 0;
    uint64_t moved = 0;
    draw(&flow, &ledger, parallelism, 0);
    for (bool over = false; !over; runs++) {
        enum weir_outcome outcome;
        uint64_t dice = flow_draw(seed), base = atomic_load(&ledger.taken);
        flow_start(&flow);
        if (runs >= stops)
            flow_wait(&flow);
        else
            flow_until_taken(&flow, &ledger, base + (dice >> 8) % (RECORDS / stops) + 1);
        struct weir_status status = status_of(&flow);
        moved = status.disk_state > moved ? status.disk_state : moved;
        if (runs < stops && dice % 4 < 2) {
            flow_stop(&flow, dice % 4 ? WEIR_STOP_SUSPEND : WEIR_STOP_NOW);
            flow_wait(&flow);
        }
        over = weir_job_wait(flow.job, 0, &outcome, &flow.error) == WEIR_OK &&
               outcome != WEIR_OUTCOME_STOPPED;
        cr_assert(!over || outcome != WEIR_OUTCOME_FAILED, "%s", flow.error.text);
        flow_close(&flow);
        cr_assert_eq(nameless_files(scratch.path, -1), 0);
    }
    cr_expect_gt(moved, BUDGET, "hardly anything left memory: a poor test");
    ledger_is(&ledger, RECORDS, 1);
    cr_expect_eq(named_files(scratch_join(scratch.path, "scratch")), 0);
    done(&flow, &ledger);
}

Test(job_large_state, stopped_and_abandoned_at_random_moments_the_output_is_exact)
{
    uint64_t seed = flow_seed();
    for (uint32_t i = 0; i < 3; i++) {
        scratch_free(&scratch);
        scratch = scratch_make();
        chaos(1 + i, &seed, 4 + i);
    }
}

/* What a task may have besides the budget: the open segment, a block that comes, and the index. */
#define BESIDES ((uint64_t)1 << 20)

Test(job_large_state, a_restore_needs_no_more_memory_than_is_allowed)
{
    struct flow flow;
    struct ledger ledger;
    draw(&flow, &ledger, 1, 0);
    flow.options.interval_ns = -1;
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    ledger_is(&ledger, RECORDS, 1);
    done(&flow, &ledger);

    scratch_free(&scratch);
    scratch = scratch_make();
    draw(&flow, &ledger, 1, RECORDS / 4);
    flow.options.interval_ns = -1;
    flow_start(&flow);
    flow_until_taken(&flow, &ledger, KEYS + 500);
    flow_stop(&flow, WEIR_STOP_SUSPEND);
    flow_ends(&flow, WEIR_OUTCOME_STOPPED);
    flow_close(&flow);
    flow_start(&flow); /* all instances are open when it returns */
    flow_until_taken(&flow, &ledger, KEYS + 600);
    struct weir_status status = status_of(&flow);
    cr_expect_gt(status.disk_state, KEYS * VALUE_LEAST / 2);
    cr_expect_lt(status.memory_state, BUDGET + BESIDES);
    flow_stop(&flow, WEIR_STOP_NOW);
    flow_ends(&flow, WEIR_OUTCOME_STOPPED);
    flow_close(&flow);
    done(&flow, &ledger);
}

Test(job_large_state, another_parallelism_takes_it_over)
{
    for (uint32_t now = 1; now <= 3; now += 2) {
        struct flow flow;
        struct ledger ledger;
        scratch_free(&scratch);
        scratch = scratch_make();
        draw(&flow, &ledger, 2, 0);
        flow.options.interval_ns = -1;
        flow_start(&flow);
        flow_until_taken(&flow, &ledger, RECORDS / 2);
        flow_stop(&flow, WEIR_STOP_SUSPEND);
        flow_wait(&flow);
        flow_close(&flow);
        flow.options.parallelism = now;
        flow_start(&flow);
        struct weir_status status = status_of(&flow);
        cr_expect_gt(status.disk_state, KEYS * VALUE_LEAST / 2);
        cr_expect_lt(status.memory_state, BUDGET + now * BESIDES);
        flow_ends(&flow, WEIR_OUTCOME_ENDED);
        flow_close(&flow);
        ledger_is(&ledger, RECORDS, 1);
        done(&flow, &ledger);
    }
}

/* Without checkpoints nothing is ever cut: what is open is sealed for the sake of memory alone. */
Test(job_large_state, a_job_without_a_store_keeps_to_it_too)
{
    struct flow flow;
    struct ledger ledger;
    draw(&flow, &ledger, 2, 0);
    flow.options.store = NULL;
    flow.options.scratch = scratch_join(scratch.path, "made");
    flow_start(&flow);
    flow_until_taken(&flow, &ledger, RECORDS);
    struct weir_status status = status_of(&flow);
    cr_expect_gt(status.disk_state, KEYS * VALUE_LEAST / 2);
    cr_expect_lt(status.memory_state, BUDGET + 2 * BESIDES);
    cr_expect_eq(named_files(flow.options.scratch), 0);
    flow_ends(&flow, WEIR_OUTCOME_ENDED);
    flow_close(&flow);
    ledger_is(&ledger, RECORDS, 1);
    done(&flow, &ledger);
}

/* --------------------------------------------------------------------------- no room -- */

/* Files of this process may have no byte more: what a full disk answers, but for the code. */
static void allow_files(rlim_t size)
{
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = size;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

Test(job_large_state, when_nothing_can_be_moved_it_is_told_and_then_the_run_fails)
{
    struct flow flow;
    struct ledger ledger;
    draw(&flow, &ledger, 1, RECORDS / 8);
    flow.options.store = NULL;
    flow.options.scratch = scratch_join(scratch.path, "made");
    flow_start(&flow);
    flow_until_taken(&flow, &ledger, 10);
    allow_files(0);
    flow_ends(&flow, WEIR_OUTCOME_FAILED);
    cr_expect(strstr(flow.error.text, "state_memory") && strstr(flow.error.text, "made"), "%s",
              flow.error.text);
    cr_expect(strstr(flow.watch.last_log, "can't be moved out of memory") ||
                  strstr(flow.watch.last_log, "state_memory"),
              "%s", flow.watch.last_log);
    flow_close(&flow);
    allow_files(RLIM_INFINITY);
    done(&flow, &ledger);
}

static void is_refused(struct flow *flow, const char *why)
{
    struct weir_job *job = NULL;
    struct weir_error error = {0};
    enum weir_result result = weir_job_start(flow->graph, &flow->options, &job, &error);
    cr_expect_neq(result, WEIR_OK, "%s", why);
    cr_expect(strstr(error.text, why), "%s", error.text);
    weir_job_close(&job);
}

Test(job_large_state, what_cant_be_kept_is_refused_with_the_reason)
{
    struct flow flow;
    struct ledger ledger;
    draw(&flow, &ledger, 2, 0);
    flow.options.state_memory = 2 * 4096 - 1;
    is_refused(&flow, "say at least 8192");
    flow.options.state_memory = BUDGET;
    flow.options.store = NULL;
    is_refused(&flow, "name a scratch folder, or a store");
    flow.options.scratch = "/proc/no/such/folder";
    is_refused(&flow, "/proc/no/such/folder");
    flow.options.scratch = scratch_join(scratch.path, "made");
    allow_files(0);
    is_refused(&flow, "can't hold state that is mapped");
    allow_files(RLIM_INFINITY);
    done(&flow, &ledger);
}

Test(job_large_state, without_keyed_state_it_is_refused)
{
    struct flow flow;
    struct ledger ledger;
    flow_init(&flow);
    ledger_init(&ledger, 10);
    weir_connect(flow.graph, flow_numbers(&flow, "numbers", 10, 0, 1),
                 ledger_sink(flow.graph, "sink", &ledger, 1), WEIR_FORWARD);
    flow.options.store = scratch.path;
    flow.options.state_memory = BUDGET;
    is_refused(&flow, "no node has keyed state");
    flow.options.state_memory = 0;
    flow.options.scratch = scratch.path;
    is_refused(&flow, "this job has neither");
    done(&flow, &ledger);
}
