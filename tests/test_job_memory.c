/* links: flow valve */
/* SPDX-License-Identifier: Apache-2.0
 *
 * memory_max under jobs that mean ill: all that weir takes for a job goes through an allocator that
 * counts, and never is it more than the limit and what weir.h says is beside it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "valve.h"

#define MIB ((uint64_t)1 << 20)
#define LIMIT (48 * MIB)
#define KEY_SIZE ((uint64_t)768 << 10)
/* What weir.h says is beside it: tasks and operators, what the writer compresses into, what a task
 * does with one batch; and a batch on its way in each channel, and one kept to be used again. */
#define BESIDE(channels) (16 * MIB + 2 * (channels) * (KEY_SIZE + ((uint64_t)64 << 10)))

static struct scratch scratch;
static void scratch_open(void)
{
    scratch = scratch_make();
}
static void scratch_close(void)
{
    scratch_free(&scratch);
}
TestSuite(job_memory, .init = scratch_open, .fini = scratch_close);

/* ------------------------------------------------------------------------------ the door -- */

static struct {
    atomic_uint_fast64_t live, peak;
} door;

#define BEFORE 16 /* bytes before each block: its size */

static void *take(void *context, size_t size)
{
    char *block = malloc(size + BEFORE);
    (void)context;
    if (!block)
        return NULL;
    memcpy(block, &size, sizeof size);
    uint64_t live = atomic_fetch_add(&door.live, size) + size, peak = atomic_load(&door.peak);
    while (live > peak && !atomic_compare_exchange_weak(&door.peak, &peak, live))
        ;
    return block + BEFORE;
}

static void give(void *context, void *memory)
{
    char *block = (char *)memory - BEFORE;
    size_t size;
    (void)context;
    memcpy(&size, block, sizeof size);
    atomic_fetch_sub(&door.live, size);
    free(block);
}

static const struct weir_allocator allocator = {take, give, NULL};

static void open_job(struct flow *flow)
{
    atomic_store(&door.live, 0);
    atomic_store(&door.peak, 0);
    flow_init(flow);
    flow->options.allocator = &allocator;
    flow->options.store = scratch.path;
    flow->options.interval_ns = FLOW_SECOND / 200;
    flow->options.memory_max = LIMIT;
}

/* What a job took at most; and it has given all of it back. */
static void close_job(struct flow *flow, const char *what, uint64_t channels)
{
    uint64_t peak = atomic_load(&door.peak);
    unsigned committed = flow->watch.committed, aborted = flow->watch.aborted;
    flow_free(flow);
    printf("figure: memory_max of %d MiB, %s: %.1f MiB at most, %u checkpoints, %u given up\n",
           (int)(LIMIT / MIB), what, (double)peak / (double)MIB, committed, aborted);
    cr_expect_leq(peak, LIMIT + BESIDE(channels), "%s: %d MiB", what, (int)(peak / MIB));
    cr_expect_eq(atomic_load(&door.live), 0);
}

/* --------------------------------------------------------------------------- ill-meaning -- */

struct giants {
    uint64_t next;
    unsigned char key[KEY_SIZE];
};

/* Keys of most of a MiB, each another one, for ever. */
static enum weir_progress giants_poll(void *self, struct weir_context *context)
{
    struct giants *giants = self;
    giants->next++;
    memcpy(giants->key, &giants->next, sizeof giants->next);
    for (size_t i = 8; i < KEY_SIZE; i += 8) { /* that nothing makes smaller */
        uint64_t word = giants->next * 0x9e3779b97f4a7c15u ^ i * 0xbf58476d1ce4e5b9u;
        word ^= word >> 29;
        memcpy(&giants->key[i], &word, sizeof word);
    }
    struct weir_record record = {.key = {giants->key, KEY_SIZE},
                                 .value = {&giants->next, sizeof giants->next},
                                 .time = WEIR_NO_TIME};
    return weir_emit(context, 0, &record) ? WEIR_END : WEIR_MORE;
}

static enum weir_result giants_save(void *self, struct weir_context *context,
                                    struct weir_saver *saver)
{
    struct giants *giants = self;
    (void)context;
    weir_save(saver, WEIR_ITEM_SPLIT, (struct weir_bytes){&giants->next, sizeof giants->next});
    return WEIR_OK;
}

static const struct weir_operator giants_table = {WEIR_SIZED(struct weir_operator),
                                                  .kind = "giants",
                                                  .self_size = sizeof(struct giants),
                                                  .poll = giants_poll,
                                                  .save = giants_save,
                                                  .load = load_nothing};

static enum weir_result hoard(struct weir_context *context, unsigned input,
                              const struct weir_record *record, const void *config)
{
    (void)input;
    (void)config;
    if (weir_put(context, 0, &record->key, record->value))
        return WEIR_FAILED;
    return weir_emit(context, 0, record);
}

static weir_node hoard_node(struct flow *flow, uint32_t parallelism)
{
    static const struct weir_state state = {WEIR_SIZED(struct weir_state), .name = "all"};
    struct weir_node_options options = {
        WEIR_SIZED(struct weir_node_options), .name = "hoard",  .function = hoard,
        .parallelism = parallelism,           .states = &state, .state_count = 1};
    return weir_graph_add(flow->graph, &options);
}

static enum weir_result sink_nothing(struct weir_context *context, unsigned input,
                                     const struct weir_record *record, const void *config)
{
    (void)context, (void)input, (void)record, (void)config;
    return WEIR_OK;
}

static weir_node end_node(struct flow *flow)
{
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options), .name = "end",
                                        .function = sink_nothing, .parallelism = 1};
    return weir_graph_add(flow->graph, &options);
}

/* State without end: the run fails, and names who holds it. */
Test(job_memory, keys_of_nearly_a_mebibyte_without_end_fail_the_run_at_the_limit)
{
    for (uint32_t parallelism = 1; parallelism <= 3; parallelism += 2) {
        struct flow flow;
        char what[60];
        open_job(&flow);
        weir_node source = flow_add(&flow, "giants", &giants_table, NULL, parallelism);
        weir_node node = hoard_node(&flow, parallelism);
        weir_connect(flow.graph, source, node, WEIR_BY_KEY);
        weir_connect(flow.graph, node, end_node(&flow), WEIR_SPREAD);
        flow_start(&flow);
        flow_ends(&flow, WEIR_OUTCOME_FAILED);
        cr_expect_eq(flow.error.code, WEIR_NO_MEMORY, "%s", flow.error.text);
        cr_expect(strstr(flow.error.text, "of memory_max, 50.3 MB, are held") &&
                      strstr(flow.error.text, " of state, "),
                  "%s", flow.error.text);
        snprintf(what, sizeof what, "huge keys kept by %u tasks", parallelism);
        close_job(&flow, what, parallelism * (parallelism + 1));
        scratch_free(&scratch);
        scratch = scratch_make();
    }
}

/* Windows bound what waits; rounds that hold too much of it are given up, and the job goes on. */
Test(job_memory, before_a_sink_that_takes_nothing_memory_stays_and_rounds_go_on)
{
    static const enum weir_mode modes[] = {WEIR_UNALIGNED, WEIR_ADAPTIVE};
    for (size_t i = 0; i < 2; i++) {
        struct flow flow;
        struct valve valve;
        open_job(&flow);
        valve_init(&valve);
        flow.options.mode = modes[i];
        flow.options.alignment_max_ns = FLOW_SECOND / 1000;
        weir_node source = flow_add(&flow, "giants", &giants_table, NULL, 2);
        weir_node slow = valve_node(flow.graph, "valve", &valve, 2);
        weir_connect(flow.graph, source, slow, WEIR_BY_KEY);
        weir_connect(flow.graph, slow, end_node(&flow), WEIR_SPREAD);
        flow_start(&flow);
        for (unsigned rounds = 3; rounds <= 12; rounds += 3) {
            watch_until(&flow.watch, &flow.watch.committed, rounds);
            valve_allow(&valve, rounds % 2, 3);
        }
        flow_stop(&flow, WEIR_STOP_NOW);
        flow_ends(&flow, WEIR_OUTCOME_STOPPED);
        close_job(&flow, i ? "a sink that stands, adaptive" : "a sink that stands, unaligned", 6);
        valve_free(&valve);
        scratch_free(&scratch);
        scratch = scratch_make();
    }
}

/* A record in the cycle becomes two, which go round again. */
static enum weir_result breed(void *self, struct weir_context *context, unsigned input,
                              const struct weir_record *record)
{
    static const char padding[8192];
    uint64_t number = flow_number(record), child[1 + sizeof padding / 8];
    enum weir_result result = WEIR_OK;
    (void)self;
    (void)input;
    memcpy(&child[1], padding, sizeof padding);
    for (uint64_t i = 0; i < 2 && !result; i++) {
        child[0] = 2 * number + i;
        struct weir_record next = {
            .key = {child, 8}, .value = {child, sizeof child}, .time = WEIR_NO_TIME};
        result = weir_emit(context, 0, &next);
    }
    return result;
}

static const struct weir_operator breed_table = {WEIR_SIZED(struct weir_operator), .kind = "breed",
                                                 .process = breed};

static weir_node breed_node(struct flow *flow, uint32_t parallelism)
{
    static const char *const inputs[] = {"in", "back"};
    struct weir_node_options options = {
        WEIR_SIZED(struct weir_node_options), .name = "breed",  .table = &breed_table,
        .parallelism = parallelism,           .inputs = inputs, .input_count = 2};
    return weir_graph_add(flow->graph, &options);
}

/* What is too much waits in files, however much it is. */
Test(job_memory, a_cycle_that_grows_without_end_waits_on_disk)
{
    struct flow flow;
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    open_job(&flow);
    flow.options.recording_max = 4 * MIB;
    weir_node source = flow_numbers(&flow, "numbers", 1, 0, 1);
    weir_node node = breed_node(&flow, 2);
    weir_connect(flow.graph, source, node, WEIR_BY_KEY);
    weir_feedback(flow.graph, node, node, WEIR_BY_KEY);
    flow_start(&flow);
    do {
        watch_until(&flow.watch, &flow.watch.committed, flow.watch.committed + 1);
        weir_job_status(flow.job, &status);
    } while (status.records_in < 2 * LIMIT / 8200); /* twice the limit has gone round */
    flow_stop(&flow, WEIR_STOP_NOW);
    flow_ends(&flow, WEIR_OUTCOME_STOPPED);
    close_job(&flow, "a cycle in which a record becomes two", 6);
}
