/* SPDX-License-Identifier: Apache-2.0 */
/* links: flow valve */
#include <jansson.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "valve.h"

static struct scratch scratch;
static void scratch_open(void)
{
    scratch = scratch_make();
}
static void scratch_close(void)
{
    scratch_free(&scratch);
}
TestSuite(job_rescale, .init = scratch_open, .fini = scratch_close);

static void start_over(void)
{
    scratch_free(&scratch);
    scratch = scratch_make();
}

/* ------------------------------------------------------------------ a pipeline in lives -- */

/* numbers -> tally -> valve -> order -> ledger, all BY_KEY but the last: shut, everything before
 * the valve is full. The world outside outlives its starts, each of which has a graph of its own,
 * with another parallelism of each node. A key's numbers come from one series whatever the
 * parallelism of the source was at first. */
#define KEYS 840u
#define RECORDS 12000u

struct world {
    struct flow flow;
    struct ledger ledger;
    struct valve valve;
    struct tally tally;
    struct notes notes;
    unsigned lives, with_content;
};

struct shape {
    uint32_t numbers, tally, valve, order;
    enum weir_mode mode;
    const char *endpoint;
};

static void world_open(struct world *world)
{
    world->lives = world->with_content = 0;
    ledger_init(&world->ledger, RECORDS);
    valve_init(&world->valve);
    tally_init(&world->tally);
}

static void world_close(struct world *world)
{
    ledger_free(&world->ledger);
    valve_free(&world->valve);
    tally_free(&world->tally);
}

static void life_begin_by(struct world *world, const struct shape *shape,
                          enum weir_routing into_valve)
{
    struct flow *flow = &world->flow;
    flow_init(flow);
    notes_take(&world->notes, flow);
    flow->options.store = scratch.path;
    flow->options.interval_ns = -1;
    flow->options.batch_bytes = 1024;
    flow->options.window_batches = 4;
    flow->options.mode = shape->mode;
    flow->options.alignment_max_ns = 1000000;
    flow->options.endpoint = shape->endpoint;
    weir_node source = flow_numbers(flow, "numbers", RECORDS, KEYS, shape->numbers);
    weir_node tally = tally_node(flow->graph, "tally", &world->tally, shape->tally);
    weir_node valve = valve_node(flow->graph, "valve", &world->valve, shape->valve);
    weir_node order = order_node(flow->graph, "order", shape->order);
    weir_node sink = ledger_sink(flow->graph, "sink", &world->ledger, shape->order);
    weir_connect(flow->graph, source, tally, WEIR_BY_KEY);
    weir_connect(flow->graph, tally, valve, into_valve);
    weir_connect(flow->graph, valve, order, WEIR_BY_KEY);
    weir_connect(flow->graph, order, sink, WEIR_FORWARD);
}

static void life_begin(struct world *world, const struct shape *shape)
{
    life_begin_by(world, shape, WEIR_BY_KEY);
}

static void life_end(struct world *world)
{
    world->lives++;
    world->with_content += world->notes.with_content > 0;
    flow_close(&world->flow);
    flow_free(&world->flow);
    notes_free(&world->notes);
    valve_shut(&world->valve);
}

static void find_full(void *context, const char *line)
{
    if (strncmp(line, "task tally.", 11) == 0 && strstr(line, "output waits for credit"))
        *(bool *)context = true;
}

static void until_full(struct world *world)
{
    bool full = false;
    time_t end = time(NULL) + FLOW_DEADLINE / FLOW_SECOND;
    while (!full && time(NULL) < end) {
        sched_yield();
        weir_job_dump(world->flow.job, find_full, &full);
    }
    cr_assert(full, "tally never waits for credit");
}

static struct shape draw_shape(uint64_t *seed)
{
    static const char *const endpoints[] = {"inproc", "inproc", "tcp://127.0.0.1"};
    return (struct shape){.numbers = 1 + (uint32_t)(flow_draw(seed) % 8),
                          .tally = 1 + (uint32_t)(flow_draw(seed) % 8),
                          .valve = 1 + (uint32_t)(flow_draw(seed) % 8),
                          .order = 1 + (uint32_t)(flow_draw(seed) % 8),
                          .mode = (enum weir_mode)(flow_draw(seed) % 3),
                          .endpoint = endpoints[flow_draw(seed) % 3]};
}

/* Runs to the end with everything open: each number is published once. Order was checked on the
 * way. */
static void world_finish(struct world *world, const struct shape *shape)
{
    life_begin(world, shape);
    valve_open(&world->valve);
    flow_finish(&world->flow);
    life_end(world);
    ledger_is(&world->ledger, RECORDS, 1);
    store_is_sound(scratch.path);
}

Test(job_rescale, what_is_in_flight_goes_on_in_order_with_any_parallelism)
{
    static const struct {
        uint32_t p, q;
    } changes[] = {{1, 4}, {4, 1}, {2, 3}, {3, 2}, {5, 8}, {8, 1}};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        uint32_t p = changes[i].p, q = changes[i].q;
        struct world world;
        start_over();
        world_open(&world);
        struct shape before = {p, p, p, p, WEIR_UNALIGNED, "inproc"};
        struct shape after = {q, q, q, q, i % 2 ? WEIR_UNALIGNED : WEIR_ALIGNED, "inproc"};
        life_begin(&world, &before);
        flow_start(&world.flow);
        until_full(&world);
        flow_checkpoint(&world.flow);
        cr_expect_gt(world.notes.channel_bytes, 0, "%u to %u", p, q);
        cr_expect_gt(world.notes.outlet_bytes, 0, "%u to %u", p, q);
        flow_kill(&world.flow);
        life_end(&world);
        world_finish(&world, &after);
        world_close(&world);
    }
}

/* Each life consumes a little of what it was given, so that what three restores ago was in flight
 * is still there beside what was two ago. */
Test(job_rescale, restored_again_and_again_before_it_is_consumed_it_is_exact_and_in_order)
{
    uint64_t seed = flow_seed();
    for (int trial = 0; trial < 4; trial++) {
        struct world world;
        start_over();
        world_open(&world);
        for (unsigned life = 0; life < 10; life++) {
            struct shape shape = draw_shape(&seed);
            shape.mode = shape.mode == WEIR_ALIGNED ? WEIR_UNALIGNED : shape.mode;
            life_begin(&world, &shape);
            flow_start(&world.flow);
            if (life == 0)
                until_full(&world);
            uint64_t base = tally_read(&world.valve.passed), more = flow_draw(&seed) % 60;
            for (uint32_t n = 0; n < shape.valve; n++)
                valve_allow(&world.valve, n, (int64_t)more);
            tally_until(&world.valve.passed, base + more);
            if (flow_draw(&seed) % 4)
                flow_checkpoint(&world.flow);
            flow_kill(&world.flow);
            life_end(&world);
        }
        cr_expect_geq(world.with_content, 3, "%u lives, %u with something in flight", world.lives,
                      world.with_content);
        struct shape last = draw_shape(&seed);
        world_finish(&world, &last);
        world_close(&world);
    }
}

/* Nothing of the first is consumed before the second comes, and neither before the third: on the
 * edge to the valve both lie before what is new. */
Test(job_rescale, what_was_restored_twice_is_read_before_what_was_restored_once)
{
    static const uint32_t parallelism[] = {2, 3, 1, 2};
    struct world world;
    world_open(&world);
    for (unsigned life = 0; life < 3; life++) {
        uint32_t p = parallelism[life];
        struct shape shape = {p, p, p, p, WEIR_UNALIGNED, "inproc"};
        life_begin(&world, &shape);
        flow_start(&world.flow);
        until_full(&world);
        flow_checkpoint(&world.flow);
        cr_expect_gt(world.notes.channel_bytes, 0);
        flow_kill(&world.flow);
        life_end(&world);
    }
    struct shape last = {2, 2, 2, 2, WEIR_ALIGNED, "inproc"};
    world_finish(&world, &last);
    world_close(&world);
}

Test(job_rescale, stopped_at_random_moments_with_rounds_all_the_time_it_is_exact)
{
    uint64_t seed = flow_seed();
    for (int trial = 0; trial < 4; trial++) {
        struct world world;
        start_over();
        world_open(&world);
        for (unsigned life = 0; life < 8; life++) {
            struct shape shape = draw_shape(&seed);
            life_begin(&world, &shape);
            world.flow.options.interval_ns = FLOW_SECOND / 500;
            world.flow.options.rounds_at_once = 1 + (uint32_t)(flow_draw(&seed) % 3);
            flow_start(&world.flow);
            uint64_t base = tally_read(&world.valve.passed), more = flow_draw(&seed) % 400;
            for (uint32_t n = 0; n < shape.valve; n++)
                valve_allow(&world.valve, n, (int64_t)more);
            tally_until(&world.valve.passed, base + more / 3);
            if (shape.mode != WEIR_ALIGNED && flow_draw(&seed) % 3 == 0) {
                flow_stop(&world.flow, WEIR_STOP_SUSPEND);
                (void)flow_wait(&world.flow);
            } else {
                flow_kill(&world.flow);
            }
            life_end(&world);
        }
        struct shape last = draw_shape(&seed);
        world_finish(&world, &last);
        world_close(&world);
    }
}

/* ------------------------------------------------------------------- an edge that is gone -- */

static uint64_t published_once(const struct ledger *ledger)
{
    uint64_t once = 0;
    for (uint64_t number = 0; number < ledger->limit; number++) {
        cr_assert_leq(ledger->counts[number], 1, "%u", (unsigned)number);
        once += ledger->counts[number];
    }
    return once;
}

/* An edge that deals otherwise is another edge. */
Test(job_rescale, records_in_flight_on_an_edge_that_is_gone_are_counted_and_dropped_when_told_so)
{
    const char *const edge = "edge tally.out -> valve.in: ";
    const struct shape shape = {2, 2, 1, 2, WEIR_UNALIGNED, "inproc"};
    struct world world;
    unsigned long long lost = 0;
    world_open(&world);
    life_begin(&world, &shape);
    flow_start(&world.flow);
    until_full(&world);
    flow_checkpoint(&world.flow);
    flow_kill(&world.flow);
    life_end(&world);
    life_begin_by(&world, &shape, WEIR_SPREAD);
    struct flow *flow = &world.flow;
    cr_assert_eq(weir_job_start(flow->graph, &flow->options, &flow->job, &flow->error),
                 WEIR_MISMATCH);
    const char *named = strstr(flow->error.text, edge);
    cr_assert(named && sscanf(named + strlen(edge), "%llu records in flight", &lost) == 1, "%s",
              flow->error.text);
    cr_expect(strstr(flow->error.text, "--allow-dropped-state"), "%s", flow->error.text);
    cr_assert(lost > 0 && lost < RECORDS, "%llu", lost);
    flow->options.allow_dropped_state = true;
    valve_open(&world.valve);
    flow_finish(flow);
    cr_expect(strstr(world.notes.warning, "dropped: edge tally.out -> valve.in: "), "%s",
              world.notes.warning);
    life_end(&world);
    cr_expect_eq(published_once(&world.ledger), RECORDS - lost, "all but those that were named");
    store_is_sound(scratch.path);
    world_close(&world);
}

/* ------------------------------------------------------------------- subtask to subtask -- */

/* numbers -> valve -> order, the first edge FORWARD: nobody knows where a key's next record will
 * come out. */
static void forward_begin(struct world *world, uint32_t parallelism)
{
    struct flow *flow = &world->flow;
    flow_init(flow);
    notes_take(&world->notes, flow);
    flow->options.store = scratch.path;
    flow->options.interval_ns = -1;
    flow->options.mode = WEIR_UNALIGNED;
    weir_node source = flow_numbers(flow, "numbers", RECORDS, KEYS, parallelism);
    weir_node valve = valve_node(flow->graph, "valve", &world->valve, parallelism);
    weir_node order = order_node(flow->graph, "order", 1);
    weir_node sink = ledger_sink(flow->graph, "sink", &world->ledger, 1);
    weir_connect(flow->graph, source, valve, WEIR_FORWARD);
    weir_connect(flow->graph, valve, order, WEIR_BY_KEY);
    weir_connect(flow->graph, order, sink, WEIR_FORWARD);
}

Test(job_rescale, records_between_two_subtasks_keep_their_parallelism_until_they_are_read)
{
    struct world world;
    world_open(&world);
    forward_begin(&world, 2);
    flow_start(&world.flow);
    valve_allow(&world.valve, 0, 100);
    tally_until(&world.valve.passed, 100);
    flow_checkpoint(&world.flow);
    cr_expect_gt(world.notes.channel_bytes, 0);
    flow_kill(&world.flow);
    life_end(&world);
    forward_begin(&world, 3);
    cr_expect_eq(
        weir_job_start(world.flow.graph, &world.flow.options, &world.flow.job, &world.flow.error),
        WEIR_MISMATCH);
    cr_expect(strstr(world.flow.error.text, "from numbers to valve, subtask to subtask"), "%s",
              world.flow.error.text);
    life_end(&world);
    forward_begin(&world, 2);
    valve_open(&world.valve);
    flow_finish(&world.flow);
    life_end(&world);
    ledger_is(&world.ledger, RECORDS, 1);
    world_close(&world);
}

/* ------------------------------------------------------------------------ time to live -- */

/* A count for each key, which lives by event time: between two records of a key it never expires,
 * however far ahead another subtask is. */
#define LIVES_NS 20000
#define STEP_NS 10

struct counter {
    struct valve *valve;
    uint32_t subtask;
};

static void look(const struct counter *counter, struct weir_context *context)
{
    bool held = atomic_load(&counter->valve->permits[counter->subtask]) <= 0;
    weir_hold(context, held);
    if (held)
        weir_wake(context, INT64_MAX, counter->valve->fds[counter->subtask]);
}

static enum weir_result counter_open(void *self, struct weir_context *context, const void *config)
{
    struct counter *counter = self;
    memcpy(&counter->valve, config, sizeof counter->valve);
    counter->subtask = weir_subtask(context);
    look(counter, context);
    return WEIR_OK;
}

static enum weir_result counter_take(void *self, struct weir_context *context, unsigned input,
                                     const struct weir_record *record)
{
    struct counter *counter = self;
    uint64_t number = flow_number(record), count = 0;
    struct weir_bytes before;
    (void)input;
    atomic_fetch_sub(&counter->valve->permits[counter->subtask], 1);
    look(counter, context);
    if (weir_get(context, 0, &record->key, &before))
        memcpy(&count, before.data, sizeof count);
    if (count != number / KEYS)
        return weir_fail(context, WEIR_FAILED, "number %u at %lld finds a count of %u",
                         (unsigned)number, (long long)weir_watermark(context), (unsigned)count);
    count++;
    if (weir_put(context, 0, &record->key, (struct weir_bytes){&count, sizeof count}))
        return WEIR_FAILED;
    tally_add(&counter->valve->passed, 1);
    return weir_emit(context, 0, record);
}

static enum weir_result counter_wake(void *self, struct weir_context *context)
{
    struct counter *counter = self;
    uint64_t times;
    (void)!read(counter->valve->fds[counter->subtask], &times, sizeof times);
    look(counter, context);
    return WEIR_OK;
}

static const struct weir_operator counter_table = {WEIR_SIZED(struct weir_operator),
                                                   .kind = "counter",
                                                   .self_size = sizeof(struct counter),
                                                   .open = counter_open,
                                                   .process = counter_take,
                                                   .wake = counter_wake};

static void counter_begin(struct world *world, uint32_t parallelism)
{
    static const struct weir_state state = {WEIR_SIZED(struct weir_state), .name = "count",
                                            .ttl_ns = LIVES_NS, .ttl_clock = WEIR_TIMER_EVENT};
    struct flow *flow = &world->flow;
    struct valve *valve = &world->valve;
    flow_init(flow);
    notes_take(&world->notes, flow);
    flow->options.store = scratch.path;
    flow->options.interval_ns = -1;
    flow->options.window_batches = 16;
    flow->options.mode = WEIR_UNALIGNED;
    struct weir_sequence_source_options numbers = {WEIR_SIZED(struct weir_sequence_source_options),
                                                   .count = RECORDS, .keys = KEYS,
                                                   .time_step = STEP_NS, .parallelism = 1};
    weir_node source = weir_sequence_source(flow->graph, "numbers", &numbers);
    weir_node count = weir_graph_add(
        flow->graph,
        &(struct weir_node_options){
            WEIR_SIZED(struct weir_node_options), .name = "count", .table = &counter_table,
            .config = weir_graph_keep(flow->graph, &valve, sizeof valve), .states = &state,
            .state_count = 1, .parallelism = parallelism});
    weir_node sink = ledger_sink(flow->graph, "sink", &world->ledger, 1);
    weir_connect(flow->graph, source, count, WEIR_BY_KEY);
    weir_connect(flow->graph, count, sink, WEIR_SPREAD);
}

Test(job_rescale, what_lives_by_event_time_lives_until_the_slowest_has_passed)
{
    for (uint32_t parallelism = 1; parallelism <= 3; parallelism++) {
        struct world world;
        start_over();
        world_open(&world);
        counter_begin(&world, 2);
        flow_start(&world.flow);
        valve_allow(&world.valve, 0, KEYS);
        tally_until(&world.valve.passed, KEYS);
        valve_allow(&world.valve, 1, RECORDS);
        tally_until(&world.valve.passed, KEYS + RECORDS / 3);
        flow_checkpoint(&world.flow);
        flow_kill(&world.flow);
        life_end(&world);
        counter_begin(&world, parallelism);
        valve_open(&world.valve);
        flow_finish(&world.flow);
        life_end(&world);
        ledger_is(&world.ledger, RECORDS, 1);
        world_close(&world);
    }
}

/* Two writers, one far ahead of the other, to readers that become more or fewer: what a channel is
 * restored with is the time of the slowest. */
enum { AHEAD = 1000, BEHIND = 10 };

static struct {
    struct tally said; /* watermarks, before the checkpoint */
    atomic_bool go;
    atomic_uint seen; /* records of who is ahead */
    atomic_uint late;
} race;

static enum weir_progress race_poll(void *self, struct weir_context *context)
{
    uint64_t *step = self;
    bool ahead = weir_subtask(context) == 0;
    int64_t time = ahead ? AHEAD : BEHIND;
    if (*step == 0) {
        weir_emit_watermark(context, time);
        tally_add(&race.said, 1);
        ++*step;
        return WEIR_MORE;
    }
    if (!atomic_load(&race.go) || (!ahead && !atomic_load(&race.seen)))
        return weir_idle(context, weir_now(context) + 100000, -1);
    weir_emit_watermark(context, time + 1);
    weir_emit(context, 0, &(struct weir_record){{"key", 3}, {NULL, 0}, time + 1});
    return WEIR_END;
}

static const struct weir_operator race_table = {WEIR_SIZED(struct weir_operator),
                                                .kind = "race",
                                                .self_size = sizeof(uint64_t),
                                                .poll = race_poll,
                                                .save = save_position,
                                                .load = load_position};

static enum weir_result judge_time(struct weir_context *context, unsigned input,
                                   const struct weir_record *record, const void *config)
{
    (void)input;
    (void)config;
    race.seen += record->time > AHEAD;
    race.late += record->time < weir_watermark(context);
    return WEIR_OK;
}

static void race_begin(struct flow *flow, uint32_t readers)
{
    flow_init(flow);
    flow->options.store = scratch.path;
    flow->options.interval_ns = -1;
    struct weir_node_options judge = {WEIR_SIZED(struct weir_node_options), .name = "judge",
                                      .function = judge_time, .parallelism = readers};
    weir_node source = flow_add(flow, "race", &race_table, NULL, 2);
    weir_connect(flow->graph, source, weir_graph_add(flow->graph, &judge), WEIR_BY_KEY);
}

Test(job_rescale, the_time_of_a_channel_is_that_of_the_slowest_it_was_made_of)
{
    for (uint32_t readers = 1; readers <= 4; readers++) {
        struct flow flow;
        start_over();
        memset(&race, 0, sizeof race);
        tally_init(&race.said);
        race_begin(&flow, 2);
        flow_start(&flow);
        tally_until(&race.said, 2);
        flow_checkpoint(&flow);
        flow_kill(&flow);
        flow_free(&flow);
        atomic_store(&race.go, true);
        race_begin(&flow, readers);
        flow_finish(&flow);
        flow_free(&flow);
        cr_expect_eq(race.seen, 1);
        cr_expect_eq(race.late, 0, "%u readers", readers);
        tally_free(&race.said);
    }
}

/* -------------------------------------------------------------------------- another graph -- */

/* numbers -> count -> ledger; count keeps how often each key came, in a cell of one number, or of
 * two, and sums them up in the end. */
#define FEW 4000u

static atomic_uint_fast64_t total, marked, not_restored;

struct count {
    const struct weir_state *state;
};

static enum weir_result count_open(void *self, struct weir_context *context, const void *config)
{
    ((struct count *)self)->state = config;
    not_restored += !weir_restored(context);
    return WEIR_OK;
}

static enum weir_result count_take(void *self, struct weir_context *context, unsigned input,
                                   const struct weir_record *record)
{
    uint64_t *cell = weir_cell(context, 0, &record->key);
    (void)self;
    (void)input;
    if (!cell)
        return WEIR_FAILED;
    cell[0]++;
    return weir_emit(context, 0, record);
}

static enum weir_progress count_finish(void *self, struct weir_context *context)
{
    const struct count *count = self;
    struct weir_bytes key, value;
    uint64_t numbers[2] = {0, 0};
    if (!weir_scan_next(context, 0, &key, &value))
        return WEIR_END;
    memcpy(numbers, value.data, count->state->value_size);
    total += numbers[0];
    marked += numbers[1];
    return WEIR_MORE;
}

static const struct weir_operator count_table = {WEIR_SIZED(struct weir_operator),
                                                 .kind = "count",
                                                 .self_size = sizeof(struct count),
                                                 .open = count_open,
                                                 .process = count_take,
                                                 .finish = count_finish};

struct version {
    struct weir_state states[2];
    size_t state_count;
    const char *name; /* of the counting node */
    const char *sink;
    uint32_t parallelism, key_groups;
    bool allowed;
    const struct weir_operator *table;
};

static struct version first_version(void)
{
    return (struct version){.states = {{WEIR_SIZED(struct weir_state), .name = "counts",
                                        .version = 1, .value_size = 8}},
                            .state_count = 1,
                            .name = "count",
                            .sink = "sink",
                            .parallelism = 2,
                            .table = &count_table};
}

static void version_open(struct flow *flow, struct ledger *ledger, const struct version *version)
{
    flow_init(flow);
    flow->options.store = scratch.path;
    flow->options.parallelism = version->parallelism;
    flow->options.key_groups = version->key_groups;
    flow->options.allow_dropped_state = version->allowed;
    flow->options.interval_ns = -1;
    weir_node source = flow_times(flow, "numbers", FEW, 20000, 0);
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options),
                                        .name = version->name,
                                        .table = version->table,
                                        .config = &version->states[0],
                                        .states = version->states,
                                        .state_count = version->state_count};
    weir_node count = weir_graph_add(flow->graph, &options);
    weir_connect(flow->graph, source, count, WEIR_BY_KEY);
    weir_connect(flow->graph, count, ledger_sink(flow->graph, version->sink, ledger, 0),
                 WEIR_SPREAD);
}

static enum weir_result version_start(struct flow *flow, struct ledger *ledger,
                                      const struct version *version)
{
    version_open(flow, ledger, version);
    return weir_job_start(flow->graph, &flow->options, &flow->job, &flow->error);
}

/* A job of the first version, suspended in its middle. */
static void suspend_first(struct ledger *ledger)
{
    struct flow flow;
    struct version version = first_version();
    total = marked = 0;
    ledger_init(ledger, FEW);
    cr_assert_eq(version_start(&flow, ledger, &version), WEIR_OK, "%s", flow.error.text);
    cr_assert(flow_until_taken(&flow, ledger, 500));
    flow_stop(&flow, WEIR_STOP_SUSPEND);
    flow_ends(&flow, WEIR_OUTCOME_STOPPED);
    flow_free(&flow);
    not_restored = 0;
}

static void refuses(struct ledger *ledger, const struct version *version, enum weir_result result,
                    const char *says)
{
    struct flow flow;
    cr_expect_eq(version_start(&flow, ledger, version), result, "%s", flow.error.text);
    cr_expect(strstr(flow.error.text, says) != NULL, "%s", flow.error.text);
    flow_free(&flow);
}

static void ends(struct ledger *ledger, const struct version *version)
{
    struct flow flow;
    cr_assert_eq(version_start(&flow, ledger, version), WEIR_OK, "%s", flow.error.text);
    flow_ends(&flow, WEIR_OUTCOME_ENDED);
    flow_free(&flow);
    ledger_is(ledger, FEW, 1);
    ledger_free(ledger);
}

static enum weir_result add_mark(const void *config, uint32_t version, struct weir_bytes key,
                                 struct weir_bytes value, struct weir_migration *to,
                                 struct weir_error *error)
{
    uint64_t *numbers = weir_migrate_room(to, 16);
    (void)config;
    (void)key;
    cr_assert(numbers && version == 1 && value.size == 8);
    cr_assert_eq(error->code, WEIR_OK);
    memcpy(&numbers[0], value.data, 8);
    numbers[1] = numbers[0];
    return WEIR_OK;
}

static enum weir_result refuse_value(const void *config, uint32_t version, struct weir_bytes key,
                                     struct weir_bytes value, struct weir_migration *to,
                                     struct weir_error *error)
{
    (void)version;
    (void)key;
    (void)value;
    (void)to;
    snprintf(error->text, sizeof error->text, "%s", (const char *)config);
    return WEIR_DAMAGED;
}

static enum weir_result drop_value(const void *config, uint32_t version, struct weir_bytes key,
                                   struct weir_bytes value, struct weir_migration *to,
                                   struct weir_error *error)
{
    (void)config;
    (void)version;
    (void)key;
    (void)value;
    (void)to;
    (void)error;
    return WEIR_OK;
}

Test(job_rescale, values_of_an_older_version_go_through_migrate_whatever_the_parallelism)
{
    for (uint32_t parallelism = 1; parallelism <= 3; parallelism++) {
        struct ledger ledger;
        start_over();
        suspend_first(&ledger);
        struct version version = first_version();
        version.parallelism = parallelism;
        version.states[0].version = 2;
        version.states[0].value_size = 16;
        refuses(&ledger, &version, WEIR_MISMATCH, "was version 1 and is 2: give the state a migr");
        version.states[0].migrate = refuse_value;
        version.states[0].migrate_config = "it is odd";
        refuses(&ledger, &version, WEIR_DAMAGED,
                "state 'counts' of node 'count': a value of version 1 can't become one of version "
                "2: it is odd");
        version.states[0].migrate = add_mark;
        ends(&ledger, &version);
        cr_expect_eq(total, FEW);
        cr_expect(marked >= 500 && marked < FEW, "%u", (unsigned)marked);
    }
}

Test(job_rescale, a_value_that_migrate_makes_nothing_of_is_dropped)
{
    struct ledger ledger;
    suspend_first(&ledger);
    struct version version = first_version();
    version.states[0].version = 2;
    version.states[0].migrate = drop_value;
    ends(&ledger, &version);
    cr_expect_lt(total, FEW - 499);
}

Test(job_rescale, a_state_may_be_added_and_one_is_dropped_only_when_that_is_said)
{
    struct ledger ledger;
    suspend_first(&ledger);
    struct version version = first_version();
    version.states[1] = version.states[0];
    version.states[0].name = "other"; /* "counts" is the second now, and goes on */
    version.state_count = 2;
    version.parallelism = 3;
    struct flow flow;
    cr_assert_eq(version_start(&flow, &ledger, &version), WEIR_OK, "%s", flow.error.text);
    cr_assert(flow_until_taken(&flow, &ledger, atomic_load(&ledger.taken) + 300));
    flow_stop(&flow, WEIR_STOP_SUSPEND);
    flow_ends(&flow, WEIR_OUTCOME_STOPPED);
    flow_free(&flow);
    cr_expect_eq(not_restored, 0);
    version.state_count = 1; /* without "counts" */
    refuses(&ledger, &version, WEIR_MISMATCH, "state 'counts' of node 'count': ");
    refuses(&ledger, &version, WEIR_MISMATCH, "--allow-dropped-state");
    version.allowed = true;
    ends(&ledger, &version);
    cr_expect(total >= 300 && total < FEW - 499, "%u", (unsigned)total); /* what "other" saw */
}

Test(job_rescale, a_node_of_another_name_is_a_new_one_and_starts_empty)
{
    struct ledger ledger;
    suspend_first(&ledger);
    struct version version = first_version();
    version.name = "tally";
    refuses(&ledger, &version, WEIR_MISMATCH, "state 'counts' of node 'count': ");
    cr_expect_eq(not_restored, 0);
    version.allowed = true;
    ends(&ledger, &version);
    cr_expect_eq(not_restored, 2);
    cr_expect_lt(total, FEW - 499);
}

static char told[8192];

static void tell(void *context, const char *text)
{
    size_t size = strlen(told);
    (void)context;
    snprintf(told + size, sizeof told - size, "%s\n", text);
}

/* The plan answers what the start would answer, and says why. */
static void plans_as(enum weir_plan_format format, struct ledger *ledger,
                     const struct version *version, enum weir_result result, const char *says)
{
    struct flow flow;
    told[0] = 0;
    version_open(&flow, ledger, version);
    cr_expect_eq(
        weir_graph_restore_plan(flow.graph, &flow.options, format, tell, NULL, &flow.error), result,
        "%s", flow.error.text);
    cr_expect(strstr(told, says) != NULL, "%s", told);
    cr_expect(!result || strstr(flow.error.text, "does not fit this graph: "), "%s",
              flow.error.text);
    flow_free(&flow);
}

static void plans(struct ledger *ledger, const struct version *version, enum weir_result result,
                  const char *says)
{
    plans_as(WEIR_PLAN_TEXT, ledger, version, result, says);
}

static void lists(struct ledger *ledger, const struct version *version, enum weir_result result,
                  const char *says)
{
    plans_as(WEIR_PLAN_JSON, ledger, version, result, says);
    json_t *object = json_loads(told, JSON_REJECT_DUPLICATES, NULL);
    cr_assert(object, "no JSON: %s", told);
    cr_expect_eq(json_is_true(json_object_get(object, "fits")), result == WEIR_OK, "%s", told);
    json_decref(object);
}

/* What a sink has prepared and not published is never dropped. */
Test(job_rescale, a_sink_that_has_something_to_publish_can_not_be_taken_out)
{
    struct ledger ledger;
    struct flow flow;
    struct version version = first_version();
    total = marked = 0;
    ledger_init(&ledger, FEW);
    cr_assert_eq(version_start(&flow, &ledger, &version), WEIR_OK, "%s", flow.error.text);
    cr_assert(flow_until_taken(&flow, &ledger, 500));
    flow_checkpoint(&flow);
    flow_kill(&flow);
    flow_free(&flow);
    version.sink = "output";
    for (int allowed = 0; allowed < 2; allowed++) {
        version.allowed = allowed;
        refuses(&ledger, &version, WEIR_MISMATCH,
                "sink 'sink' is not in the graph, and the checkpoint holds output of sinks that is "
                "not published yet (");
        plans(&ledger, &version, WEIR_MISMATCH,
              "would be lost: node 'sink': output that is not published, ");
    }
    version = first_version();
    ends(&ledger, &version);
    start_over();
    suspend_first(&ledger); /* nor after a stop: what that has prepared is in it */
    version.sink = "output";
    refuses(&ledger, &version, WEIR_MISMATCH, "sink 'sink' is not in the graph, ");
    version = first_version();
    ends(&ledger, &version);
}

Test(job_rescale, what_can_not_be_rescaled_says_why_and_starts_with_what_it_had)
{
    struct ledger ledger;
    struct weir_operator fixed = count_table;
    suspend_first(&ledger);
    struct version version = first_version();
    fixed.fixed = "it counts on its fingers";
    version.table = &fixed;
    version.parallelism = 3;
    refuses(&ledger, &version, WEIR_MISMATCH,
            "node 'count' had parallelism 2 and has 3, which it can't change: it counts on its "
            "fingers");
    version.parallelism = 2;
    ends(&ledger, &version);
    cr_expect_eq(total, FEW);
}

Test(job_rescale, the_number_of_key_groups_is_the_stores_for_ever)
{
    for (uint32_t groups = 1; groups <= 32768; groups = groups == 1 ? 3 : groups * 32) {
        struct ledger ledger;
        struct flow flow;
        start_over();
        total = marked = 0;
        ledger_init(&ledger, FEW);
        struct version version = first_version();
        version.key_groups = groups;
        cr_assert_eq(version_start(&flow, &ledger, &version), WEIR_OK, "%s", flow.error.text);
        cr_assert(flow_until_taken(&flow, &ledger, 500));
        flow_stop(&flow, WEIR_STOP_SUSPEND);
        flow_ends(&flow, WEIR_OUTCOME_STOPPED);
        flow_free(&flow);
        version.key_groups = groups == 32768 ? 1 : groups + 1;
        version.parallelism = 4; /* more than one group, or three */
        refuses(&ledger, &version, WEIR_REFUSED, "key groups, and job option key_groups says");
        version.key_groups = 0;
        ends(&ledger, &version);
        cr_expect_eq(total, FEW);
    }
}

Test(job_rescale, a_plan_tells_how_a_checkpoint_fits_and_changes_nothing)
{
    struct ledger ledger;
    struct version version = first_version();
    struct weir_operator fixed = count_table;
    plans(&ledger, &version, WEIR_OK, "no checkpoint to go on from: a first start");
    suspend_first(&ledger);
    plans(&ledger, &version, WEIR_OK, "node count: as it was\n  state counts: goes on as it is\n");
    version.parallelism = 3;
    plans(&ledger, &version, WEIR_OK,
          "node count: from 2 subtasks to 3\n"
          "  state counts: each key goes to the subtask that owns it now\n"
          "  subtask 0: key groups 0 to 42, of old subtasks 0\n"
          "  subtask 1: key groups 43 to 85, of old subtasks 0 1\n"
          "  subtask 2: key groups 86 to 127, of old subtasks 1\n");
    version.states[0].version = 2;
    plans(&ledger, &version, WEIR_MISMATCH, "does not fit: state 'counts' of node 'count' was");
    version.states[0].migrate = drop_value;
    plans(&ledger, &version, WEIR_OK, "  state counts: migrated from version 1 to 2\n");
    version = first_version();
    version.states[0].name = "other";
    plans(&ledger, &version, WEIR_MISMATCH, "would be lost: state 'counts' of node 'count': ");
    version.allowed = true;
    plans(&ledger, &version, WEIR_OK, "dropped: state 'counts' of node 'count': ");
    version = first_version();
    fixed.fixed = "it counts on its fingers";
    version.table = &fixed;
    version.parallelism = 1;
    plans(&ledger, &version, WEIR_MISMATCH, "which it can't change: it counts on its fingers");
    version = first_version();
    store_is_sound(scratch.path);
    ends(&ledger, &version);
    cr_expect_eq(total, FEW);
}

Test(job_rescale, a_plan_for_programs_says_the_same)
{
    struct ledger ledger;
    struct version version = first_version();
    struct weir_operator fixed = count_table;
    lists(&ledger, &version, WEIR_OK, "{\"fits\": true}");
    suspend_first(&ledger);
    lists(&ledger, &version, WEIR_OK,
          "  {\"name\": \"count\", \"way\": \"as_was\", \"parallelism\": 2, "
          "\"parallelism_was\": 2,\n   \"states\": [\n    {\"name\": \"counts\", \"way\": "
          "\"as_was\", \"version\": 1, \"version_was\": 1}\n   ]\n  },\n");
    version.parallelism = 3;
    lists(&ledger, &version, WEIR_OK, "\"way\": \"dealt\", \"version\": 1, \"version_was\": 1}");
    lists(&ledger, &version, WEIR_OK,
          "    {\"subtask\": 0, \"first_group\": 0, \"last_group\": 42, \"first_from\": 0, "
          "\"last_from\": 0},\n"
          "    {\"subtask\": 1, \"first_group\": 43, \"last_group\": 85, \"first_from\": 0, "
          "\"last_from\": 1},\n"
          "    {\"subtask\": 2, \"first_group\": 86, \"last_group\": 127, \"first_from\": 1, "
          "\"last_from\": 1}\n");
    lists(&ledger, &version, WEIR_OK,
          "{\"edge\": \"numbers.out -> count.in\", \"way\": \"by_key\"}");
    lists(&ledger, &version, WEIR_OK,
          "{\"edge\": \"count.out -> sink.in\", \"way\": \"by_channel\"}");
    version.states[0].version = 2;
    lists(&ledger, &version, WEIR_MISMATCH,
          " \"problems\": [\n  \"state 'counts' of node 'count' was");
    version.states[0].migrate = drop_value;
    lists(&ledger, &version, WEIR_OK, "\"way\": \"migrated\", \"version\": 2, \"version_was\": 1}");
    version = first_version();
    version.states[0].name = "other";
    lists(&ledger, &version, WEIR_MISMATCH, "{\"node\": \"count\", \"state\": \"counts\"}\n");
    lists(&ledger, &version, WEIR_MISMATCH, "\"error\": \"checkpoint ");
    lists(&ledger, &version, WEIR_MISMATCH,
          " \"drops\": false, \"losses\": [\n  {\"what\": \"state\", \"node\": \"count\", "
          "\"state\": \"counts\", \"count\": ");
    version.allowed = true;
    lists(&ledger, &version, WEIR_OK, " \"drops\": true, \"losses\": [\n  {\"what\": \"state\"");
    version = first_version();
    version.name = "tally";
    version.allowed = true;
    lists(&ledger, &version, WEIR_OK,
          " ], \"gone\": [\n  {\"node\": \"count\"}\n ,{\"node\": \"count\", \"state\": "
          "\"counts\"}\n ,{\"edge\": \"numbers.out -> count.in\"}\n ,{\"edge\": \"count.out -> "
          "sink.in\"}\n ]");
    lists(&ledger, &version, WEIR_OK,
          "{\"name\": \"tally\", \"way\": \"new\", \"parallelism\": 2,");
    lists(&ledger, &version, WEIR_OK,
          "{\"name\": \"sink\", \"way\": \"same_subtasks\", \"parallelism\": 2");
    version = first_version();
    fixed.fixed = "it \"counts\" on its fingers";
    version.table = &fixed;
    version.parallelism = 1;
    lists(&ledger, &version, WEIR_MISMATCH, "it \\\"counts\\\" on its fingers; start with");
    version = first_version();
    struct flow flow;
    version_open(&flow, &ledger, &version);
    cr_expect_eq(
        weir_graph_restore_plan(flow.graph, &flow.options, WEIR_PLAN_DOT, tell, NULL, &flow.error),
        WEIR_INVALID);
    flow_free(&flow);
    ends(&ledger, &version);
}

/* A start would find out only when it reads them, and so does the plan. */
Test(job_rescale, a_plan_knows_of_records_that_no_new_parallelism_may_have)
{
    struct world world;
    char text[sizeof world.flow.error.text];
    world_open(&world);
    forward_begin(&world, 2);
    flow_start(&world.flow);
    valve_allow(&world.valve, 0, 100);
    tally_until(&world.valve.passed, 100);
    flow_checkpoint(&world.flow);
    flow_kill(&world.flow);
    life_end(&world);
    forward_begin(&world, 3);
    struct flow *flow = &world.flow;
    told[0] = 0;
    cr_expect_eq(weir_graph_restore_plan(flow->graph, &flow->options, WEIR_PLAN_TEXT, tell, NULL,
                                         &flow->error),
                 WEIR_MISMATCH);
    snprintf(text, sizeof text, "%s", flow->error.text);
    cr_expect(strstr(told, "edge numbers.out -> valve.in: nothing may be in flight\n"), "%s", told);
    cr_expect(strstr(told, "does not fit: records were on their way from numbers to valve, "), "%s",
              told);
    cr_expect_eq(weir_job_start(flow->graph, &flow->options, &flow->job, &flow->error),
                 WEIR_MISMATCH);
    cr_expect(strstr(flow->error.text, "from numbers to valve, subtask to subtask"));
    cr_expect(strstr(text, "from numbers to valve, subtask to subtask"), "%s", text);
    life_end(&world);
    world_close(&world);
}
