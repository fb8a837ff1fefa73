/* links: flow */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole jobs without a store: what comes out is what went in, whatever the routing, the sizes, the
 * windows and the endpoint.
 */
#include "flow.h"

static const char *const endpoints[] = {"inproc", "tcp://127.0.0.1"};

/* ------------------------------------------------------------------------------ routing -- */

/* The sink sees `readers` subtasks; FORWARD with `joined` is kept from chaining by a second edge.
 */
static void route(const char *endpoint, enum weir_routing routing, uint32_t writers,
                  uint32_t readers, bool joined)
{
    const uint64_t count = 20000;
    struct flow flow;
    struct ledger ledger;
    flow_init(&flow);
    ledger_init(&ledger, count);
    flow.options.endpoint = endpoint;
    weir_node source = flow_numbers(&flow, "numbers", count, 100, writers);
    weir_node sink = ledger_sink(flow.graph, "sink", &ledger, readers);
    weir_connect(flow.graph, source, sink, routing);
    if (joined)
        weir_connect(flow.graph, source, sink, routing);
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    ledger_is(&ledger, count, (joined ? 2 : 1) * (routing == WEIR_BROADCAST ? readers : 1));
    flow_free(&flow);
    ledger_free(&ledger);
}

Test(job_streams, every_routing_delivers_each_record_once)
{
    for (int e = 0; e < 2; e++) {
        route(endpoints[e], WEIR_FORWARD, 2, 2, false);
        route(endpoints[e], WEIR_FORWARD, 2, 2, true);
        for (uint32_t p = 1; p <= 3; p++) {
            route(endpoints[e], WEIR_SPREAD, 2, p, false);
            route(endpoints[e], WEIR_BY_KEY, p, 2, p == 2);
            route(endpoints[e], WEIR_BROADCAST, 2, p, false);
        }
    }
}

Test(job_streams, many_more_writers_than_readers_and_the_other_way_round)
{
    route("inproc", WEIR_BY_KEY, 16, 1, false);
    route("inproc", WEIR_BY_KEY, 1, 16, false);
    route("inproc", WEIR_SPREAD, 1, 16, false);
}

/* Where each key went, and the last number of each writer there. */
#define PLACES 4
struct places {
    atomic_uint subtask_of[100]; /* + 1; 0: not seen */
    atomic_uint strays, disorder;
    atomic_uint hits[PLACES];
    uint64_t last[PLACES][2]; /* of the sink's subtask, by writer; its own thread only */
};

static enum weir_result place(struct weir_context *context, unsigned input,
                              const struct weir_record *record, const void *config)
{
    struct places *places = *(struct places *const *)config;
    uint32_t here = weir_subtask(context);
    uint64_t number = flow_number(record);
    (void)input;
    atomic_uint *seen = &places->subtask_of[number % 100];
    unsigned before = 0;
    if (!atomic_compare_exchange_strong(seen, &before, here + 1) && before != here + 1)
        atomic_fetch_add(&places->strays, 1);
    uint64_t *last = &places->last[here][number % 2];
    if (number < *last)
        atomic_fetch_add(&places->disorder, 1);
    *last = number;
    atomic_fetch_add(&places->hits[here], 1);
    return WEIR_OK;
}

static void find_places(struct places *places, enum weir_routing routing)
{
    struct flow flow;
    flow_init(&flow);
    memset(places, 0, sizeof *places);
    weir_node source = flow_numbers(&flow, "numbers", 20000, 100, 2);
    struct weir_node_options options = {
        WEIR_SIZED(struct weir_node_options), .name = "place", .function = place,
        .parallelism = PLACES, .config = weir_graph_keep(flow.graph, &places, sizeof places)};
    weir_connect(flow.graph, source, weir_graph_add(flow.graph, &options), routing);
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    flow_free(&flow);
    cr_expect_eq(places->disorder, 0, "the order within a channel is kept");
}

Test(job_streams, equal_keys_meet_in_one_subtask_and_keep_their_order)
{
    struct places places;
    find_places(&places, WEIR_BY_KEY);
    cr_expect_eq(places.strays, 0);
    for (int i = 0; i < PLACES; i++)
        cr_expect_gt(places.hits[i], 0, "subtask %d has no key of 100", i);
}

Test(job_streams, spread_deals_evenly)
{
    struct places places;
    find_places(&places, WEIR_SPREAD);
    for (int i = 0; i < PLACES; i++)
        cr_expect_eq(places.hits[i], 20000 / PLACES);
}

/* --------------------------------------------------------------------- inputs and outputs -- */

struct tally {
    atomic_uint of_input[3];
};

static enum weir_result tell_inputs(struct weir_context *context, unsigned input,
                                    const struct weir_record *record, const void *config)
{
    struct tally *tally = *(struct tally *const *)config;
    atomic_fetch_add(&tally->of_input[input], 1);
    return weir_emit(context, flow_number(record) % 2 ? 1 : 0, record);
}

static void named_ports(const char *endpoint)
{
    struct flow flow;
    struct ledger even, odd;
    struct tally tally = {0}, *at = &tally;
    flow_init(&flow);
    flow.options.endpoint = endpoint;
    ledger_init(&even, 1000);
    ledger_init(&odd, 1000);
    weir_node a = flow_numbers(&flow, "a", 1000, 0, 1), b = flow_numbers(&flow, "b", 500, 0, 2);
    weir_node c = flow_numbers(&flow, "c", 100, 0, 1);
    const char *const inputs[] = {"left", "middle", "right"}, *const outputs[] = {"even", "odd"};
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options),
                                        .name = "join",
                                        .function = tell_inputs,
                                        .config = weir_graph_keep(flow.graph, &at, sizeof at),
                                        .inputs = inputs,
                                        .input_count = 3,
                                        .outputs = outputs,
                                        .output_count = 2};
    weir_node join = weir_graph_add(flow.graph, &options);
    weir_node evens = ledger_sink(flow.graph, "evens", &even, 2);
    weir_node odds = ledger_sink(flow.graph, "odds", &odd, 1);
    struct weir_edge_options edges[] = {
        {.from = a, .to = join, .input = "left", .routing = WEIR_FORWARD},
        {.from = b, .to = join, .input = "right", .routing = WEIR_SPREAD},
        {.from = c, .to = join, .input = "middle", .routing = WEIR_BROADCAST},
        {.from = c, .to = join, .input = "right", .routing = WEIR_BY_KEY},
        {.from = join, .output = "even", .to = evens, .routing = WEIR_SPREAD},
        {.from = join, .output = "odd", .to = odds, .routing = WEIR_FORWARD},
        {.from = join, .output = "odd", .to = evens, .routing = WEIR_BY_KEY},
    };
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
        edges[i].size = sizeof edges[i];
        weir_graph_connect(flow.graph, &edges[i]);
    }
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    cr_expect_eq(tally.of_input[0], 1000);
    cr_expect_eq(tally.of_input[1], 100);
    cr_expect_eq(tally.of_input[2], 600);
    for (uint64_t i = 0; i < 1000; i++) {
        uint32_t times = 1u + (i < 500 ? 1u : 0u) + (i < 100 ? 2u : 0u);
        cr_assert_eq(even.counts[i], times, "%llu", (unsigned long long)i);
        cr_assert_eq(odd.counts[i], i % 2 ? times : 0, "%llu", (unsigned long long)i);
    }
    flow_free(&flow);
    ledger_free(&even);
    ledger_free(&odd);
}

Test(job_streams, callbacks_are_told_the_input_and_name_the_output)
{
    named_ports("inproc");
    named_ports("tcp://127.0.0.1");
}

static weir_node passing(struct flow *flow, const char *name)
{
    return weir_flat_map(flow->graph, name, flow_pass, NULL);
}

/* numbers -> a -> b -> union; numbers -> c -> union; a -> union; all in several shapes. */
Test(job_streams, diamonds_and_fan_out_multiply_as_drawn)
{
    for (int shape = 0; shape < 4; shape++) {
        struct flow flow;
        struct ledger ledger;
        enum weir_routing first = shape & 1 ? WEIR_FORWARD : WEIR_SPREAD;
        enum weir_routing second = shape & 2 ? WEIR_FORWARD : WEIR_BY_KEY;
        flow_init(&flow);
        ledger_init(&ledger, 5000);
        flow.options.parallelism = 2;
        weir_node numbers = flow_numbers(&flow, "numbers", 5000, 0, 0);
        weir_node a = passing(&flow, "a"), b = passing(&flow, "b"), c = passing(&flow, "c");
        weir_node sink = ledger_sink(flow.graph, "union", &ledger, 0);
        weir_connect(flow.graph, numbers, a, first);
        weir_connect(flow.graph, a, b, second);
        weir_connect(flow.graph, numbers, c, first);
        weir_connect(flow.graph, b, sink, WEIR_FORWARD);
        weir_connect(flow.graph, c, sink, WEIR_SPREAD);
        weir_connect(flow.graph, a, sink, WEIR_BY_KEY);
        flow_run(&flow, WEIR_OUTCOME_ENDED);
        ledger_is(&ledger, 5000, 3);
        flow_free(&flow);
        ledger_free(&ledger);
    }
}

/* -------------------------------------------------------------------------------- sizes -- */

static const size_t sizes[] = {0,     1,     7,     8,      9,       1000,           1024,
                               32752, 32760, 32768, 100000, 1 << 20, (16 << 20) - 1, 16 << 20};
#define SIZE_COUNT (sizeof sizes / sizeof *sizes)

struct sizer {
    uint64_t next;
};

static void pattern(unsigned char *bytes, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(seed * 31 + i * 7 + (i >> 8));
}

/* Odd ones in place; big keys too. */
static enum weir_progress size_poll(void *self, struct weir_context *context)
{
    struct sizer *sizer = self;
    if (sizer->next == SIZE_COUNT * 2)
        return WEIR_END;
    size_t size = sizes[sizer->next % SIZE_COUNT];
    bool big_key = sizer->next >= SIZE_COUNT;
    unsigned char *bytes = malloc(size + 1);
    pattern(bytes, size, sizer->next);
    if (sizer->next % 2 && !big_key) {
        void *room = weir_emit_reserve(context, 0, (struct weir_bytes){0}, size, 5);
        memcpy(room, bytes, size);
        weir_emit_commit(context, size);
    } else {
        struct weir_bytes view = {bytes, size}, none = {NULL, 0};
        weir_emit(context, 0,
                  &(struct weir_record){big_key ? view : none, big_key ? none : view, 5});
    }
    free(bytes);
    sizer->next++;
    return WEIR_MORE;
}

static const struct weir_operator size_table = {WEIR_SIZED(struct weir_operator), .kind = "sizes",
                                                .self_size = sizeof(struct sizer),
                                                .poll = size_poll};

struct received {
    unsigned next;
    unsigned bad;
};

static enum weir_result check_size(struct weir_context *context, unsigned input,
                                   const struct weir_record *record, const void *config)
{
    struct received *received = *(struct received *const *)config;
    (void)context;
    (void)input;
    unsigned at = received->next++;
    const struct weir_bytes *view = at >= SIZE_COUNT ? &record->key : &record->value;
    const struct weir_bytes *other = at >= SIZE_COUNT ? &record->value : &record->key;
    size_t size = sizes[at % SIZE_COUNT];
    unsigned char *bytes = malloc(size + 1);
    pattern(bytes, size, at);
    if (view->size != size || other->size != 0 || record->time != 5 ||
        (size && memcmp(view->data, bytes, size) != 0) ||
        ((uintptr_t)record->key.data | (uintptr_t)record->value.data) % 8 != 0)
        received->bad++;
    free(bytes);
    return WEIR_OK;
}

static void all_sizes(const char *endpoint, uint32_t batch_bytes, uint32_t window_bytes)
{
    struct flow flow;
    struct received received = {0}, *at = &received;
    flow_init(&flow);
    flow.options.endpoint = endpoint;
    flow.options.batch_bytes = batch_bytes;
    flow.options.window_bytes = window_bytes;
    weir_node source = flow_add(&flow, "sizes", &size_table, NULL, 1);
    weir_node sink =
        weir_flat_map(flow.graph, "check", check_size, weir_graph_keep(flow.graph, &at, sizeof at));
    weir_connect(flow.graph, source, sink, WEIR_BY_KEY);
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    cr_expect_eq(received.next, 2 * SIZE_COUNT);
    cr_expect_eq(received.bad, 0);
    flow_free(&flow);
}

Test(job_streams, records_of_any_size_arrive_whole_and_aligned)
{
    all_sizes("inproc", 0, 0);
    all_sizes("tcp://127.0.0.1", 0, 0);
    all_sizes("inproc", 1024, 0);
    all_sizes("inproc", 1 << 20, 1);
    all_sizes("tcp://127.0.0.1", 1024, 1024);
}

enum excess { BIG_VALUE, BIG_KEY, BIG_RESERVE, NO_SUCH_OUTPUT, COMMIT_MORE, COMMIT_NOTHING };

static enum weir_result exceed_open(void *self, struct weir_context *context, const void *config)
{
    (void)context;
    *(enum excess *)self = *(const enum excess *)config;
    return WEIR_OK;
}

static enum weir_progress exceed_poll(void *self, struct weir_context *context)
{
    static const unsigned char byte[1];
    enum excess excess = *(enum excess *)self;
    struct weir_bytes none = {NULL, 0}, one = {byte, 1};
    struct weir_bytes big = {byte, WEIR_VALUE_LIMIT + 1}; /* must be refused before it is read */
    switch (excess) {
    case BIG_VALUE:
        weir_emit(context, 0, &(struct weir_record){none, big, 0});
        break;
    case BIG_KEY:
        weir_emit(context, 0, &(struct weir_record){big, none, 0});
        break;
    case BIG_RESERVE:
        cr_expect_null(weir_emit_reserve(context, 0, none, WEIR_VALUE_LIMIT + 1, 0));
        break;
    case NO_SUCH_OUTPUT:
        weir_emit(context, 1, &(struct weir_record){one, one, 0});
        break;
    case COMMIT_MORE:
        cr_expect_not_null(weir_emit_reserve(context, 0, one, 10, 0));
        weir_emit_commit(context, 11);
        break;
    case COMMIT_NOTHING:
        weir_emit_commit(context, 0);
        break;
    }
    return WEIR_MORE;
}

static const struct weir_operator exceed_table = {
    WEIR_SIZED(struct weir_operator), .kind = "exceed", .self_size = sizeof(enum excess),
    .open = exceed_open, .poll = exceed_poll};

Test(job_streams, emitting_over_a_limit_fails_the_run_and_names_the_node)
{
    static const enum weir_result expected[] = {WEIR_TOO_LARGE, WEIR_TOO_LARGE, WEIR_TOO_LARGE,
                                                WEIR_INVALID,   WEIR_INVALID,   WEIR_INVALID};
    for (int e = BIG_VALUE; e <= COMMIT_NOTHING; e++) {
        struct flow flow;
        enum excess excess = (enum excess)e;
        flow_init(&flow);
        weir_node source = flow_add(&flow, "greedy", &exceed_table, &excess, 1);
        weir_connect(flow.graph, source, passing(&flow, "pass"), WEIR_SPREAD);
        flow_start(&flow);
        flow_ends(&flow, WEIR_OUTCOME_FAILED);
        cr_expect_eq(flow.error.code, expected[e], "%d: %s", e, flow.error.text);
        cr_expect_str_eq(flow.error.node, "greedy");
        cr_expect(strstr(flow.error.text, "greedy") != NULL, "%s", flow.error.text);
        flow_free(&flow);
    }
}

/* ------------------------------------------------------------------------------ windows -- */

static void squeeze(const char *endpoint, uint64_t count, uint32_t batches, uint32_t bytes)
{
    struct flow flow;
    struct ledger ledger;
    flow_init(&flow);
    ledger_init(&ledger, count);
    flow.options.endpoint = endpoint;
    flow.options.batch_bytes = 1024;
    flow.options.window_batches = batches;
    flow.options.window_bytes = bytes;
    weir_node source = flow_numbers(&flow, "numbers", count, 0, 2), middle = passing(&flow, "a");
    weir_node sink = ledger_sink(flow.graph, "sink", &ledger, 2);
    weir_connect(flow.graph, source, middle, WEIR_SPREAD);
    weir_connect(flow.graph, middle, sink, WEIR_BY_KEY);
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    ledger_is(&ledger, count, 1);
    flow_free(&flow);
    ledger_free(&ledger);
}

Test(job_streams, a_million_records_pass_a_window_of_one_small_batch)
{
    squeeze("inproc", 1000000, 1, 0);
}

Test(job_streams, every_small_window_makes_progress)
{
    for (uint32_t batches = 1; batches <= 8; batches++)
        squeeze(endpoints[batches % 2], 30000, batches, 0);
    squeeze("inproc", 30000, 8, 1);
    squeeze("tcp://127.0.0.1", 30000, 8, 1500);
}

/* One input sends a record at a time and never lets the reader rest; the other's batches fill its
 * window in bytes long before it does in number. */
struct pair {
    atomic_uint slow, quick;
    atomic_uint stop;
};

static enum weir_progress drip_poll(void *self, struct weir_context *context)
{
    struct pair *pair = **(struct pair ***)self;
    uint64_t one = 1;
    weir_emit(context, 0, &(struct weir_record){{NULL, 0}, {&one, sizeof one}, 0});
    /* Idle at once: a batch of one record leaves. */
    return atomic_load(&pair->stop) ? WEIR_END : weir_idle(context, 0, -1);
}

static enum weir_result drip_open(void *self, struct weir_context *context, const void *config)
{
    (void)context;
    *(const void **)self = config;
    return WEIR_OK;
}

static const struct weir_operator drip_table = {WEIR_SIZED(struct weir_operator), .kind = "drip",
                                                .self_size = sizeof(void *), .open = drip_open,
                                                .poll = drip_poll};

static enum weir_result see_pair(struct weir_context *context, unsigned input,
                                 const struct weir_record *record, const void *config)
{
    struct pair *pair = *(struct pair *const *)config;
    (void)record;
    atomic_fetch_add(input ? &pair->slow : &pair->quick, 1);
    for (int64_t until = weir_now(context) + (input ? 0 : 20000); weir_now(context) < until;)
        ;
    if (atomic_load(&pair->slow) == 2000)
        atomic_store(&pair->stop, 1);
    return WEIR_OK;
}

Test(job_streams, a_full_byte_window_gets_credit_though_the_reader_never_rests)
{
    struct flow flow;
    struct pair pair = {0}, *at = &pair;
    flow_init(&flow);
    flow.options.batch_bytes = 1024;
    flow.options.window_bytes = 1024;
    flow.options.window_batches = 64;
    const void *kept = weir_graph_keep(flow.graph, &at, sizeof at);
    weir_node numbers = flow_numbers(&flow, "numbers", 2000, 0, 1);
    const char *const inputs[] = {"quick", "slow"};
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options),
                                        .name = "both",
                                        .function = see_pair,
                                        .config = kept,
                                        .inputs = inputs,
                                        .input_count = 2};
    weir_node both = weir_graph_add(flow.graph, &options);
    struct weir_edge_options edge = {WEIR_SIZED(struct weir_edge_options), .from = numbers,
                                     .to = both, .input = "slow", .routing = WEIR_SPREAD};
    weir_graph_connect(flow.graph, &edge);
    char name[] = "drip0";
    for (int i = 0; i < 2; i++, name[4]++)
        weir_connect(flow.graph, flow_add(&flow, name, &drip_table, kept, 1), both, WEIR_SPREAD);
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    cr_expect_eq(pair.slow, 2000);
    flow_free(&flow);
}

/* ------------------------------------------------------------------------- process_many -- */

struct taker {
    struct ledger *ledger;
    uint64_t seed;
};

static enum weir_result taker_open(void *self, struct weir_context *context, const void *config)
{
    (void)context;
    ((struct taker *)self)->seed = *(const uint64_t *)config;
    return WEIR_OK;
}

/* Takes 1 to all of what it is given, at random. */
static size_t take_some(void *self, struct weir_context *context, unsigned input,
                        const struct weir_record *records, size_t count)
{
    struct taker *taker = self;
    size_t taken = 1 + flow_draw(&taker->seed) % count;
    (void)input;
    for (size_t i = 0; i < taken; i++) {
        uint64_t *room =
            weir_emit_reserve(context, 0, records[i].key, sizeof *room + 100, records[i].time);
        *room = flow_number(&records[i]);
        weir_emit_commit(context, sizeof *room);
    }
    return taken;
}

static const struct weir_operator taker_table = {WEIR_SIZED(struct weir_operator), .kind = "taker",
                                                 .self_size = sizeof(struct taker),
                                                 .open = taker_open, .process_many = take_some};

static void take_partly(enum weir_routing routing)
{
    struct flow flow;
    struct ledger ledger;
    uint64_t seed = 7;
    flow_init(&flow);
    ledger_init(&ledger, 50000);
    weir_node source = flow_numbers(&flow, "numbers", 50000, 0, 2);
    weir_node taker = flow_add(&flow, "taker", &taker_table, &seed, 2);
    weir_node sink = ledger_sink(flow.graph, "sink", &ledger, 1);
    weir_connect(flow.graph, source, taker, routing);
    weir_connect(flow.graph, taker, sink, WEIR_SPREAD);
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    ledger_is(&ledger, 50000, 1);
    flow_free(&flow);
    ledger_free(&ledger);
}

Test(job_streams, process_many_may_take_a_part_of_each_span)
{
    take_partly(WEIR_BY_KEY);
    take_partly(WEIR_FORWARD);
}

static size_t take_wrongly(void *self, struct weir_context *context, unsigned input,
                           const struct weir_record *records, size_t count)
{
    (void)self;
    (void)context;
    (void)input;
    (void)records;
    return count * 2;
}

static size_t take_nothing(void *self, struct weir_context *context, unsigned input,
                           const struct weir_record *records, size_t count)
{
    (void)self;
    (void)context;
    (void)input;
    (void)records;
    (void)count;
    return 0;
}

Test(job_streams, process_many_that_takes_nothing_or_too_much_fails_the_run)
{
    for (int i = 0; i < 4; i++) {
        struct weir_operator table = {WEIR_SIZED(struct weir_operator), .kind = "wrong",
                                      .process_many = i & 1 ? take_wrongly : take_nothing};
        struct flow flow;
        flow_init(&flow);
        weir_node source = flow_numbers(&flow, "numbers", 50000, 0, 1);
        weir_connect(flow.graph, source, flow_add(&flow, "wrong", &table, NULL, 1),
                     i & 2 ? WEIR_SPREAD : WEIR_FORWARD);
        flow_start(&flow);
        flow_ends(&flow, WEIR_OUTCOME_FAILED);
        cr_expect_str_eq(flow.error.node, "wrong");
        flow_free(&flow);
    }
}
