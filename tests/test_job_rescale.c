/* SPDX-License-Identifier: Apache-2.0 */
/* links: flow valve */
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

static void life_begin(struct world *world, const struct shape *shape)
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
    weir_connect(flow->graph, tally, valve, WEIR_BY_KEY);
    weir_connect(flow->graph, valve, order, WEIR_BY_KEY);
    weir_connect(flow->graph, order, sink, WEIR_FORWARD);
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
    weir_connect(flow->graph, count, ledger_sink(flow->graph, "sink", ledger, 0), WEIR_SPREAD);
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

static char told[8192];

static void tell(void *context, const char *text)
{
    size_t size = strlen(told);
    (void)context;
    snprintf(told + size, sizeof told - size, "%s\n", text);
}

/* The plan answers what the start would answer, and says why. */
static void plans(struct ledger *ledger, const struct version *version, enum weir_result result,
                  const char *says)
{
    struct flow flow;
    told[0] = 0;
    version_open(&flow, ledger, version);
    cr_expect_eq(weir_graph_restore_plan(flow.graph, &flow.options, tell, NULL, &flow.error),
                 result, "%s", flow.error.text);
    cr_expect(strstr(told, says) != NULL, "%s", told);
    cr_expect(!result || strstr(flow.error.text, "does not fit this graph: "), "%s",
              flow.error.text);
    flow_free(&flow);
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
