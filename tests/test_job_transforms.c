/* links: flow */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transforms together in whole jobs with a store: abandoned at random moments and started again.
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
TestSuite(job_transforms, .init = scratch_open, .fini = scratch_close);

#define RECORDS 12000u
#define USERS 7u
#define ITEMS 101u
#define ROWS 50u

static void set_up(struct flow *flow, uint32_t parallelism)
{
    flow_init(flow);
    flow->options.store = scratch.path;
    flow->options.interval_ns = FLOW_SECOND / 200;
    flow->options.parallelism = parallelism;
    flow->options.batch_bytes = 1024;
    flow->options.window_batches = 3;
}

/* Until some rounds are committed, or the job is over. */
static void until_committed(struct flow *flow, uint64_t least)
{
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    enum weir_outcome outcome;
    while (status.committed < least &&
           weir_job_wait(flow->job, FLOW_SECOND / 1000, &outcome, &flow->error) == WEIR_TIMEOUT)
        weir_job_status(flow->job, &status);
}

/* Run after run is abandoned, at a number of rounds or of records in the sink, until the job has
 * ended. */
static void live_through(struct flow *flow, struct ledger *ledger, uint64_t step, uint64_t *seed,
                         unsigned stops)
{
    for (unsigned runs = 0;; runs++) {
        enum weir_outcome outcome;
        uint64_t base = atomic_load(&ledger->taken);
        flow_start(flow);
        if (runs < stops) {
            if (flow_draw(seed) % 2)
                until_committed(flow, flow_draw(seed) % 8);
            else
                flow_until_taken(flow, ledger, base + 1 + flow_draw(seed) % step);
            flow_stop(flow, flow_draw(seed) % 4 ? WEIR_STOP_NOW : WEIR_STOP_SUSPEND);
        }
        flow_wait(flow);
        cr_assert_eq(weir_job_wait(flow->job, 0, &outcome, &flow->error), WEIR_OK);
        cr_assert_neq(outcome, WEIR_OUTCOME_FAILED, "%s", flow->error.text);
        flow_close(flow);
        if (outcome != WEIR_OUTCOME_STOPPED)
            return;
    }
}

static struct weir_bytes bytes_of(const void *data, size_t size)
{
    return (struct weir_bytes){data, size};
}

/* ---- distinct, in one node and in two ---- */

struct pair {
    uint64_t user, item;
};

static struct pair pair_of(uint64_t number)
{
    return (struct pair){number % USERS, number * number % ITEMS % (10 * (number % USERS + 1))};
}

/* key: the user, or both; value: the item */
static enum weir_result user_first(struct weir_context *context, unsigned input,
                                   const struct weir_record *record, const void *config)
{
    struct pair pair = pair_of(flow_number(record));
    (void)input;
    (void)config;
    return weir_emit(context, 0,
                     &(struct weir_record){bytes_of(&pair.user, sizeof pair.user),
                                           bytes_of(&pair.item, sizeof pair.item), record->time});
}

static enum weir_result both_first(struct weir_context *context, unsigned input,
                                   const struct weir_record *record, const void *config)
{
    struct pair pair = pair_of(flow_number(record));
    (void)input;
    (void)config;
    return weir_emit(
        context, 0,
        &(struct weir_record){bytes_of(&pair, sizeof pair), record->value, record->time});
}

static void key_is_user(struct weir_record *record, const void *config)
{
    (void)config;
    record->key.size = sizeof(uint64_t); /* the first half of the pair */
}

/* The user's number, if the count is what a loop over all records says. */
static enum weir_result check_count(struct weir_context *context, unsigned input,
                                    const struct weir_record *record, const void *config)
{
    static const bool none[ITEMS];
    bool has[ITEMS];
    uint64_t user, count, expected = 0;
    (void)input;
    (void)config;
    memcpy(&user, record->key.data, sizeof user);
    memcpy(&count, record->value.data, sizeof count);
    memcpy(has, none, sizeof has);
    for (uint64_t number = 0; number < RECORDS; number++) {
        struct pair pair = pair_of(number);
        if (pair.user != user || has[pair.item])
            continue;
        has[pair.item] = true;
        expected++;
    }
    if (count != expected)
        return weir_fail(context, WEIR_FAILED, "user %llu has %llu items, not %llu",
                         (unsigned long long)user, (unsigned long long)count,
                         (unsigned long long)expected);
    return weir_emit(context, 0,
                     &(struct weir_record){record->key, bytes_of(&user, sizeof user), 0});
}

Test(job_transforms, distinct_is_dedup_and_count)
{
    uint64_t seed = flow_seed();
    struct flow flow;
    struct ledger ledger;
    ledger_init(&ledger, USERS);
    set_up(&flow, 2);
    weir_node source = weir_sequence_source(
        flow.graph, "numbers",
        &(struct weir_sequence_source_options){WEIR_SIZED(struct weir_sequence_source_options),
                                               .count = RECORDS, .rate = 60000});
    weir_node users = weir_flat_map(flow.graph, "users", user_first, NULL);
    weir_node one =
        weir_distinct(flow.graph, "one",
                      &(struct weir_distinct_options){WEIR_SIZED(struct weir_distinct_options)});
    weir_node pairs = weir_flat_map(flow.graph, "pairs", both_first, NULL);
    weir_node dedup = weir_dedup(
        flow.graph, "dedup", &(struct weir_dedup_options){WEIR_SIZED(struct weir_dedup_options)});
    weir_node user = weir_map(flow.graph, "user", key_is_user, NULL);
    weir_node count =
        weir_aggregate(flow.graph, "count",
                       &(struct weir_aggregate_options){WEIR_SIZED(struct weir_aggregate_options)});
    weir_node both = weir_union(flow.graph, "both", 1);
    weir_node check = weir_flat_map(flow.graph, "check", check_count, NULL);
    weir_node sink = ledger_sink(flow.graph, "sink", &ledger, 1);
    weir_connect(flow.graph, source, users, WEIR_FORWARD);
    weir_connect(flow.graph, users, one, WEIR_BY_KEY);
    weir_connect(flow.graph, source, pairs, WEIR_FORWARD);
    weir_connect(flow.graph, pairs, dedup, WEIR_BY_KEY);
    weir_connect(flow.graph, dedup, user, WEIR_FORWARD);
    weir_connect(flow.graph, user, count, WEIR_BY_KEY);
    weir_connect(flow.graph, one, both, WEIR_SPREAD);
    weir_connect(flow.graph, count, both, WEIR_SPREAD);
    weir_connect(flow.graph, both, check, WEIR_SPREAD);
    weir_connect(flow.graph, check, sink, WEIR_SPREAD);
    live_through(&flow, &ledger, 3, &seed, 6);
    ledger_is(&ledger, USERS, 2);
    flow_free(&flow);
    ledger_free(&ledger);
}

/* ---- a join, a split, and together again ---- */

static enum weir_result combine(struct weir_context *context, const struct weir_record *record,
                                const struct weir_bytes *row, const void *config)
{
    uint64_t number = flow_number(record), found;
    (void)config;
    cr_assert_eq(row->size, sizeof found);
    memcpy(&found, row->data, sizeof found);
    if (found != number % ROWS)
        return weir_fail(context, WEIR_FAILED, "%llu meets row %llu", (unsigned long long)number,
                         (unsigned long long)found);
    return weir_emit(context, 0, record);
}

static uint32_t by_parity(const struct weir_record *record, const void *config)
{
    (void)config;
    return flow_number(record) % 2;
}

static void connect(struct flow *flow, weir_node from, const char *output, weir_node to,
                    const char *input, enum weir_routing routing)
{
    struct weir_edge_options edge = {WEIR_SIZED(struct weir_edge_options),
                                     .from = from,
                                     .output = output,
                                     .to = to,
                                     .input = input,
                                     .routing = routing};
    weir_graph_connect(flow->graph, &edge);
}

/* numbers and rows -> enrich -> even, odd -> union -> sink. The rows may come last. */
static void join(uint64_t row_rate, uint64_t *seed)
{
    static const char *const outputs[] = {"even", "odd"};
    struct flow flow;
    struct ledger ledger;
    ledger_init(&ledger, RECORDS);
    set_up(&flow, 2);
    weir_node numbers = flow_numbers(&flow, "numbers", RECORDS, ROWS, 1);
    weir_node rows = weir_sequence_source(
        flow.graph, "rows",
        &(struct weir_sequence_source_options){WEIR_SIZED(struct weir_sequence_source_options),
                                               .count = ROWS, .rate = row_rate, .parallelism = 1});
    weir_node enrich = weir_enrich(
        flow.graph, "enrich",
        &(struct weir_enrich_options){WEIR_SIZED(struct weir_enrich_options), .combine = combine,
                                      .unmatched = WEIR_ENRICH_WAIT, .wait_limit = 1000});
    weir_node split = weir_split(
        flow.graph, "split",
        &(struct weir_split_options){WEIR_SIZED(struct weir_split_options), .choose = by_parity,
                                     .outputs = outputs, .output_count = 2});
    weir_node both = weir_union(flow.graph, "both", 1);
    weir_node sink = ledger_sink(flow.graph, "sink", &ledger, 1);
    connect(&flow, numbers, NULL, enrich, "in", WEIR_BY_KEY);
    connect(&flow, rows, NULL, enrich, "table", WEIR_BY_KEY);
    connect(&flow, enrich, NULL, split, NULL, WEIR_FORWARD);
    connect(&flow, split, "even", both, NULL, WEIR_SPREAD);
    connect(&flow, split, "odd", both, NULL, WEIR_SPREAD);
    weir_connect(flow.graph, both, sink, WEIR_FORWARD);
    live_through(&flow, &ledger, RECORDS / 4, seed, 4);
    ledger_is(&ledger, RECORDS, 1);
    flow_free(&flow);
    ledger_free(&ledger);
}

Test(job_transforms, joined_split_and_united_each_record_is_there_once)
{
    uint64_t seed = flow_seed();
    join(0, &seed);
    scratch_close();
    scratch_open();
    join(200, &seed);
}
