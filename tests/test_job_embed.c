/* links: flow */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs inside somebody's program: options, memory, ZeroMQ contexts, several at once, many in a row.
 */
#include "exercised.h"
#include "flow.h"

#include <dirent.h>
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
TestSuite(job_embed, .init = scratch_open, .fini = scratch_close);

static void draw(struct flow *flow, struct ledger *ledger, uint64_t count)
{
    flow_init(flow);
    weir_node source = flow_numbers(flow, "numbers", count, 0, 1);
    weir_node pass = weir_flat_map(flow->graph, "pass", flow_pass, NULL);
    weir_connect(flow->graph, source, pass, WEIR_SPREAD);
    weir_connect(flow->graph, pass, ledger_sink(flow->graph, "sink", ledger, 2), WEIR_BY_KEY);
}

/* ------------------------------------------------------------------------------ options -- */

static void refused(void (*change)(struct weir_job_options *options), const char *says)
{
    struct flow flow;
    struct ledger ledger;
    ledger_init(&ledger, 10);
    draw(&flow, &ledger, 10);
    change(&flow.options);
    cr_expect_eq(weir_job_start(flow.graph, &flow.options, &flow.job, &flow.error), WEIR_INVALID,
                 "%s", says);
    cr_expect_null(flow.job);
    cr_expect(strstr(flow.error.text, says) != NULL, "%s: %s", says, flow.error.text);
    flow_free(&flow);
    ledger_free(&ledger);
}

#define CHANGE(name, line)                                                                         \
    static void name(struct weir_job_options *options)                                             \
    {                                                                                              \
        options->line;                                                                             \
    }
CHANGE(bad_name, name = "no good")
CHANGE(bad_size, size = 3)
CHANGE(wide, parallelism = 1025)
CHANGE(small_batch, batch_bytes = 1023)
CHANGE(large_batch, batch_bytes = (1 << 20) + 1)
CHANGE(wide_window, window_batches = 100000)
CHANGE(far_away, endpoint = "tcp://192.168.1.1")
CHANGE(id_without_store, restore = WEIR_RESTORE_ID; options->restore_id = 3)
CHANGE(id_zero, restore = WEIR_RESTORE_ID; options->store = scratch.path)
CHANGE(odd_restore, restore = (enum weir_restore)9)
CHANGE(past_timeout, timeout_ns = -1)
CHANGE(past_pause, min_pause_ns = -1)
CHANGE(path_without_one, restore = WEIR_RESTORE_PATH; options->store = scratch.path)
CHANGE(path_of_nothing, restore = WEIR_RESTORE_PATH; options->store = scratch.path;
       options->restore_path = "")
CHANGE(path_without_store, restore = WEIR_RESTORE_PATH; options->restore_path = scratch.path)
CHANGE(odd_mode, mode = (enum weir_mode)3)
CHANGE(past_alignment, alignment_max_ns = -1)
CHANGE(many_rounds, rounds_at_once = 9)
CHANGE(many_groups, key_groups = 32769)
CHANGE(scratch_nowhere, scratch = ""; options->store = scratch.path)
CHANGE(scratch_for_nothing, scratch = scratch.path)

Test(job_embed, options_out_of_range_are_refused_by_name)
{
    refused(bad_name, "name");
    refused(bad_size, "size");
    refused(wide, "parallelism");
    refused(small_batch, "batch_bytes");
    refused(large_batch, "batch_bytes");
    refused(wide_window, "window_batches");
    refused(far_away, "endpoint");
    refused(id_without_store, "restore_id");
    refused(id_zero, "restore_id");
    refused(odd_restore, "restore");
    refused(past_timeout, "timeout_ns");
    refused(past_pause, "min_pause_ns");
    refused(path_without_one, "restore_path: the directory of a savepoint");
    refused(path_of_nothing, "restore_path: the directory of a savepoint");
    refused(path_without_store, "and a store, for what comes after it");
    refused(odd_mode, "mode: adaptive, aligned or unaligned");
    refused(past_alignment, "alignment_max_ns");
    refused(many_rounds, "rounds_at_once: 1 to 8");
    refused(many_groups, "key_groups: 1 to 32768");
    refused(scratch_nowhere, "scratch: it names no directory");
    refused(scratch_for_nothing, "job option scratch: ");
}

/* A caller of a newer version has members we do not know; an older one lacks some. */
Test(job_embed, option_structs_of_other_versions_are_taken_by_their_size)
{
    struct flow flow;
    struct ledger ledger;
    ledger_init(&ledger, 1000);
    draw(&flow, &ledger, 1000);
    struct {
        struct weir_job_options options;
        unsigned char later[64];
    } newer = {.options = flow.options};
    memset(newer.later, 0xee, sizeof newer.later);
    newer.options.size = sizeof newer;
    cr_assert_eq(weir_job_start(flow.graph, &newer.options, &flow.job, &flow.error), WEIR_OK);
    flow_ends(&flow, WEIR_OUTCOME_ENDED);
    flow_close(&flow);
    struct weir_job_options older;
    memset(&older, 0xee, sizeof older);
    older.size = offsetof(struct weir_job_options, store);
    older.name = "old";
    cr_assert_eq(weir_job_start(flow.graph, &older, &flow.job, &flow.error), WEIR_OK, "%s",
                 flow.error.text);
    flow_ends(&flow, WEIR_OUTCOME_ENDED);
    flow_close(&flow);
    cr_assert_eq(weir_job_start(flow.graph, NULL, &flow.job, NULL), WEIR_OK);
    flow_ends(&flow, WEIR_OUTCOME_ENDED);
    struct weir_status status;
    memset(&status, 0x77, sizeof status);
    status.size = offsetof(struct weir_status, epoch);
    weir_job_status(flow.job, &status);
    cr_expect_eq(status.outcome, WEIR_OUTCOME_ENDED);
    cr_expect_eq(status.epoch, 0x77777777u);
    flow_close(&flow);
    ledger_is(&ledger, 1000, 3);
    weir_job_close(&flow.job);
    weir_job_close(NULL);
    flow_free(&flow);
    ledger_free(&ledger);
}

Test(job_embed, without_a_store_there_are_no_checkpoints_and_suspend_stops_at_once)
{
    struct flow flow;
    struct ledger ledger;
    ledger_init(&ledger, 1);
    draw(&flow, &ledger, UINT64_MAX);
    flow.options.interval_ns = 1;
    flow_start(&flow);
    cr_expect_eq(weir_job_checkpoint(flow.job, &flow.error), WEIR_INVALID);
    enum weir_outcome outcome = WEIR_OUTCOME_ENDED;
    cr_expect_eq(weir_job_wait(flow.job, 0, &outcome, &flow.error), WEIR_TIMEOUT);
    cr_expect_eq(outcome, WEIR_OUTCOME_RUNNING);
    flow_until_taken(&flow, &ledger, 1000);
    flow_stop(&flow, WEIR_STOP_SUSPEND);
    flow_ends(&flow, WEIR_OUTCOME_STOPPED);
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    weir_job_status(flow.job, &status);
    cr_expect_eq(status.committed, 0);
    cr_expect_eq(status.checkpoint, 0);
    cr_expect_eq(status.checkpoint_age_ns, -1);
    cr_expect_eq(status.tasks, 4);
    cr_expect_geq(status.records_in, 1000);
    cr_expect_eq(ledger.published, 0);
    flow_free(&flow);
    ledger_free(&ledger);
}

Test(job_embed, events_tell_the_story_in_order_one_at_a_time)
{
    struct flow flow;
    struct ledger ledger;
    ledger_init(&ledger, 30000);
    draw(&flow, &ledger, 30000);
    flow.options.store = scratch.path;
    flow.options.interval_ns = FLOW_SECOND / 1000;
    flow_start(&flow);
    cr_expect_eq(flow.watch.started, 1);
    flow_ends(&flow, WEIR_OUTCOME_ENDED);
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    weir_job_status(flow.job, &status);
    flow_close(&flow);
    cr_expect_eq(flow.watch.ended, 1);
    cr_expect_str_eq(flow.watch.end_text, "ended");
    cr_expect_eq(flow.watch.committed, status.committed);
    cr_expect_eq(flow.watch.newest, status.checkpoint);
    cr_expect_eq(status.records_emitted, 30000);
    cr_expect_eq(status.records_in, 60000);
    cr_expect_gt(status.checkpoint_bytes, 0);
    cr_expect_gt(status.checkpoint_duration_ns, 0);
    flow_free(&flow);
    ledger_free(&ledger);
}

/* ------------------------------------------------------------------------------- memory -- */

struct meter {
    atomic_long live, calls;
    atomic_long fail_at; /* this call fails, and all later ones when `on` */
    bool on;
    bool polled; /* the job is; nobody asks it before it is closed */
};

static void *meter_allocate(void *context, size_t size)
{
    struct meter *meter = context;
    long call = atomic_fetch_add(&meter->calls, 1) + 1, at = atomic_load(&meter->fail_at);
    if (at && (call == at || (meter->on && call > at)))
        return NULL;
    unsigned char *memory = aligned_alloc(16, (size + 31) / 16 * 16);
    cr_assert_gt(size, 0);
    memset(memory, 0xaa, size); /* nobody may take it for zeroed */
    atomic_fetch_add(&meter->live, 1);
    return memory;
}

static void meter_release(void *context, void *memory)
{
    struct meter *meter = context;
    cr_assert_not_null(memory);
    atomic_fetch_sub(&meter->live, 1);
    free(memory);
}

struct metered {
    struct meter meter;
    struct weir_allocator allocator;
};

static void meter_init(struct metered *metered)
{
    memset(metered, 0, sizeof *metered);
    metered->allocator = (struct weir_allocator){meter_allocate, meter_release, &metered->meter};
}

/* A job with everything in it; false: it failed, with an error. */
static bool run_metered(struct metered *metered, const char *store, const char *endpoint)
{
    struct flow flow;
    struct ledger ledger;
    ledger_init(&ledger, 300);
    ledger.forgets = true; /* the store lives longer than it */
    flow_init(&flow);
    weir_graph_free(&flow.graph);
    flow.graph = weir_graph_new(&metered->allocator);
    bool ended = false;
    if (flow.graph) {
        weir_node source = flow_numbers(&flow, "numbers", 300, 0, 1);
        static const struct weir_state states[] = {
            {WEIR_SIZED(struct weir_state), .name = "one", .value_size = 8},
            {WEIR_SIZED(struct weir_state), .name = "two"}};
        struct weir_node_options options = {WEIR_SIZED(struct weir_node_options), .name = "pass",
                                            .function = flow_pass, .states = states,
                                            .state_count = 2};
        weir_node pass = weir_graph_add(flow.graph, &options);
        weir_connect(flow.graph, source, pass, WEIR_BY_KEY);
        weir_connect(flow.graph, pass, ledger_sink(flow.graph, "sink", &ledger, 2), WEIR_SPREAD);
        flow.options.store = store;
        flow.options.endpoint = endpoint;
        flow.options.allocator = &metered->allocator;
        flow.options.tolerated = 2;
        flow.options.polled = metered->meter.polled;
        enum weir_result result = weir_job_start(flow.graph, &flow.options, &flow.job, &flow.error);
        if (result) {
            cr_expect_eq(result, WEIR_NO_MEMORY, "%s: %s", weir_result_name(result),
                         flow.error.text);
            cr_expect_neq(flow.error.text[0], 0);
            cr_expect_null(flow.job);
        } else {
            enum weir_outcome outcome = flow_wait(&flow);
            ended = outcome == WEIR_OUTCOME_ENDED || outcome == WEIR_OUTCOME_ALREADY_ENDED;
            cr_expect(ended || outcome == WEIR_OUTCOME_FAILED);
        }
    }
    if (ended && !store)
        ledger_is(&ledger, 300, 1);
    flow_free(&flow);
    ledger_free(&ledger);
    return ended;
}

Test(job_embed, all_memory_comes_from_the_allocator_and_goes_back)
{
    struct metered metered;
    meter_init(&metered);
    cr_expect(run_metered(&metered, NULL, "inproc"));
    cr_expect_gt(metered.meter.calls, 50);
    cr_expect_eq(metered.meter.live, 0);
    cr_expect(run_metered(&metered, scratch.path, "tcp://127.0.0.1"));
    cr_expect(run_metered(&metered, scratch.path, "inproc"));
    cr_expect_eq(metered.meter.live, 0);
}

/* Fails call k = 1, 2, 3...: each run ends with an error or well, and leaves nothing behind. */
static void fail_each(const char *store, bool on, bool polled)
{
    long calls = 1000000, failed = 0;
    for (long k = 1; k <= calls; k += on ? 3 : 1) {
        struct metered metered;
        meter_init(&metered);
        metered.meter.fail_at = k;
        metered.meter.on = on;
        metered.meter.polled = polled;
        scratch_free(&scratch);
        scratch = scratch_make();
        failed += !run_metered(&metered, store ? scratch.path : NULL, "inproc");
        cr_assert_eq(metered.meter.live, 0, "call %ld: %ld blocks are left", k,
                     (long)metered.meter.live);
        if (metered.meter.calls < k) /* it was over before */
            break;
    }
    exercised((uint64_t)failed);
    cr_expect_gt(failed, 20);
}

Test(job_embed, any_allocation_may_fail)
{
    fail_each(NULL, false, false);
}

Test(job_embed, any_allocation_may_fail_with_a_store)
{
    fail_each("", false, false);
}

Test(job_embed, any_allocation_of_a_polled_job_may_fail)
{
    fail_each("", false, true);
}

Test(job_embed, memory_may_end_at_any_allocation)
{
    fail_each("", true, false);
}

Test(job_embed, any_allocation_of_a_restart_may_fail)
{
    struct metered metered;
    meter_init(&metered);
    cr_assert(run_metered(&metered, scratch.path, "inproc"));
    long calls = 0, failed = 0;
    for (long k = 1; !calls; k++) {
        meter_init(&metered);
        metered.meter.fail_at = k;
        failed += !run_metered(&metered, scratch.path, "inproc");
        cr_assert_eq(metered.meter.live, 0, "call %ld", k);
        calls = metered.meter.calls < k ? k : 0;
    }
    exercised((uint64_t)failed);
    cr_expect_gt(failed, 20);
}

/* -------------------------------------------------------------- several, and many in a row -- */

Test(job_embed, two_jobs_at_once_share_a_context_and_nothing_else)
{
    void *context = zmq_ctx_new();
    struct flow flows[2];
    struct ledger ledgers[2];
    struct scratch other = scratch_make();
    for (int i = 0; i < 2; i++) {
        ledger_init(&ledgers[i], 50000);
        draw(&flows[i], &ledgers[i], 50000);
        flows[i].options.zmq_context = context;
        flows[i].options.store = i ? other.path : scratch.path;
        flows[i].options.interval_ns = FLOW_SECOND / 500;
        flows[i].options.endpoint = i ? "tcp://127.0.0.1" : "inproc";
        flow_start(&flows[i]);
    }
    for (int i = 0; i < 2; i++)
        flow_ends(&flows[i], WEIR_OUTCOME_ENDED);
    for (int i = 0; i < 2; i++) {
        ledger_is(&ledgers[i], 50000, 1);
        flow_free(&flows[i]);
        ledger_free(&ledgers[i]);
    }
    scratch_free(&other);
    cr_expect_eq(zmq_ctx_term(context), 0); /* and it was not taken down by them */
}

static unsigned entries(const char *path)
{
    unsigned count = 0;
    DIR *folder = opendir(path);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

Test(job_embed, three_hundred_jobs_leave_no_descriptor_and_no_thread)
{
    struct flow flow;
    struct ledger ledger;
    unsigned descriptors = 0, threads = 0;
    ledger_init(&ledger, 1);
    draw(&flow, &ledger, UINT64_MAX);
    for (int i = 0; i < 300; i++) {
        flow.options.store = i % 3 == 0 ? scratch.path : NULL;
        flow.options.endpoint = i % 10 == 1 ? "tcp://127.0.0.1" : "inproc";
        flow_start(&flow);
        if (i % 7 == 0)
            flow_stop(&flow, WEIR_STOP_NOW);
        flow_close(&flow);
        if (i == 10) {
            descriptors = entries("/proc/self/fd");
            threads = entries("/proc/self/task");
        }
    }
    cr_expect_leq(entries("/proc/self/fd"), descriptors);
    cr_expect_leq(entries("/proc/self/task"), threads);
    flow_free(&flow);
    ledger_free(&ledger);
}
