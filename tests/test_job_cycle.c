/* links: flow valve */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole jobs with cycles: what goes round is counted exactly once, in every mode, over stops at any
 * stage; cycles never stand still for want of room; and they end by themselves.
 */
#include "nameless.h"
#include "valve.h"

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
TestSuite(job_cycle, .init = scratch_open, .fini = scratch_close);

static void start_over(void)
{
    scratch_free(&scratch);
    scratch = scratch_make();
}

/* ------------------------------------------------------------------------------------ a ring -- */

/* numbers -> turn -> m1 -> m2 ... and back to turn; turn -> sink. Number n goes round n % HOPS
 * times and then leaves. At the end each subtask of turn says LAST numbers more, one a call. */
#define HOPS 7u
#define LAST 20u

struct trip {
    uint64_t number, left;
};

/* What turn is to do besides, the same for all subtasks. */
struct turn_config {
    struct tally *turns;
    uint64_t records; /* numbers of the end begin here, */
    uint64_t last;    /* so many */
    bool doubles;     /* each turn sends two of them on */
    bool disturbs;    /* finish sends one round again, which is not allowed */
};

struct turn {
    const struct turn_config *config;
    uint64_t said; /* of the last */
};

static enum weir_result turn_open(void *self, struct weir_context *context, const void *config)
{
    (void)context;
    ((struct turn *)self)->config = config;
    return WEIR_OK;
}

enum { TURN_IN, TURN_BACK };
enum { TURN_RING, TURN_DONE };

static void send_trip(struct weir_context *context, unsigned output, const struct trip *trip)
{
    weir_emit(context, output,
              &(struct weir_record){{&trip->number, 8}, {trip, sizeof *trip}, WEIR_NO_TIME});
}

static enum weir_result turn_take(void *self, struct weir_context *context, unsigned input,
                                  const struct weir_record *record)
{
    const struct turn_config *config = ((struct turn *)self)->config;
    struct trip trip = {flow_number(record), flow_number(record) % HOPS};
    if (input == TURN_BACK)
        memcpy(&trip, record->value.data, sizeof trip);
    tally_add(config->turns, 1);
    if (trip.left == 0) {
        send_trip(context, TURN_DONE, &trip);
        return WEIR_OK;
    }
    trip.left--;
    send_trip(context, TURN_RING, &trip);
    if (config->doubles)
        send_trip(context, TURN_RING, &trip);
    return WEIR_OK;
}

static enum weir_progress turn_finish(void *self, struct weir_context *context)
{
    struct turn *turn = self;
    struct trip trip = {turn->config->records + weir_subtask(context) * LAST + turn->said, 0};
    if (turn->config->disturbs) {
        trip.left = 1;
        send_trip(context, TURN_RING, &trip);
        return WEIR_END;
    }
    if (turn->said == turn->config->last)
        return WEIR_END;
    send_trip(context, TURN_DONE, &trip);
    turn->said++;
    return WEIR_MORE;
}

static enum weir_result turn_save(void *self, struct weir_context *context,
                                  struct weir_saver *saver)
{
    struct turn *turn = self;
    (void)context;
    weir_save(saver, WEIR_ITEM_SPLIT, (struct weir_bytes){&turn->said, sizeof turn->said});
    return WEIR_OK;
}

static enum weir_result turn_load(void *self, struct weir_context *context,
                                  struct weir_loader *loader, uint32_t version)
{
    struct turn *turn = self;
    enum weir_item kind;
    struct weir_bytes item;
    (void)context;
    (void)version;
    if (weir_load_next(loader, &kind, &item) && item.size == sizeof turn->said)
        memcpy(&turn->said, item.data, sizeof turn->said);
    return WEIR_OK;
}

static const struct weir_operator turn_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "turn",
    .self_size = sizeof(struct turn),
    .open = turn_open,
    .process = turn_take,
    .finish = turn_finish,
    .save = turn_save,
    .load = turn_load,
};

typedef weir_node (*make_middle)(struct weir_graph *graph, const char *name, uint32_t parallelism);

struct ring_shape {
    uint64_t records;
    uint32_t length; /* turn included */
    uint32_t parallelism;
    enum weir_routing inside;
    make_middle middle; /* of m1; NULL, and all others: they pass on what they get */
    bool doubles, disturbs, no_store;
};

struct ring {
    struct flow flow;
    struct ledger ledger;
    struct tally turns;
    struct notes notes;
    uint64_t numbers; /* that come out */
};

static weir_node pass_node(struct weir_graph *graph, const char *name, uint32_t parallelism)
{
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options), .name = name,
                                        .function = flow_pass, .parallelism = parallelism};
    return weir_graph_add(graph, &options);
}

static weir_node add_turn(struct weir_graph *graph, const char *name,
                          const struct turn_config *config, uint32_t parallelism)
{
    static const char *const inputs[] = {"in", "back"}, *const outputs[] = {"ring", "done"};
    struct weir_node_options options = {
        WEIR_SIZED(struct weir_node_options),
        .name = name,
        .table = &turn_table,
        .config = weir_graph_keep(graph, config, sizeof *config),
        .parallelism = parallelism,
        .inputs = inputs,
        .input_count = 2,
        .outputs = outputs,
        .output_count = 2,
    };
    return weir_graph_add(graph, &options);
}

static void join(struct weir_graph *graph, weir_node from, const char *output, weir_node to,
                 const char *input)
{
    weir_graph_connect(graph, &(struct weir_edge_options){WEIR_SIZED(struct weir_edge_options),
                                                          .from = from, .output = output, .to = to,
                                                          .input = input, .routing = WEIR_BY_KEY});
}

static void lead_back(struct weir_graph *graph, weir_node from, const char *output, weir_node to)
{
    weir_graph_connect(graph, &(struct weir_edge_options){WEIR_SIZED(struct weir_edge_options),
                                                          .from = from, .output = output, .to = to,
                                                          .input = "back", .routing = WEIR_BY_KEY,
                                                          .feedback = true});
}

/* From turn on, round, and back to it. */
static void close_ring(struct weir_graph *graph, weir_node turn, const struct ring_shape *shape)
{
    weir_node last = turn;
    for (uint32_t i = 1; i < shape->length; i++) {
        char name[] = {'m', (char)('0' + i), 0};
        make_middle make = i == 1 && shape->middle ? shape->middle : pass_node;
        weir_node next = make(graph, name, shape->parallelism);
        weir_connect(graph, last, next, shape->inside);
        last = next;
    }
    lead_back(graph, last, NULL, turn);
}

static void ring_open(struct ring *ring, const struct ring_shape *shape)
{
    struct flow *flow = &ring->flow;
    flow_init(flow);
    tally_init(&ring->turns);
    notes_take(&ring->notes, flow);
    ring->numbers = shape->records + LAST * shape->parallelism;
    ledger_init(&ring->ledger, ring->numbers);
    flow->options.store = shape->no_store ? NULL : scratch.path;
    flow->options.interval_ns = FLOW_SECOND / 500;
    flow->options.alignment_max_ns = 1000000;
    flow->options.batch_bytes = 1024;
    weir_node numbers = flow_numbers(flow, "numbers", shape->records, 0, shape->parallelism);
    struct turn_config config = {&ring->turns, shape->records, LAST, shape->doubles,
                                 shape->disturbs};
    weir_node turn = add_turn(flow->graph, "turn", &config, shape->parallelism);
    weir_node sink = ledger_sink(flow->graph, "sink", &ring->ledger, shape->parallelism);
    weir_connect(flow->graph, numbers, turn, WEIR_BY_KEY);
    close_ring(flow->graph, turn, shape);
    join(flow->graph, turn, "done", sink, NULL);
}

static void ring_close(struct ring *ring)
{
    flow_free(&ring->flow);
    ledger_free(&ring->ledger);
    tally_free(&ring->turns);
    notes_free(&ring->notes);
}

static void ring_is_exact(struct ring *ring)
{
    ledger_is(&ring->ledger, ring->numbers, 1);
    if (ring->flow.options.store) {
        store_is_sound(scratch.path);
        cr_expect_eq(named_files(scratch_join(scratch.path, "scratch")), 0);
    }
}

/* --------------------------------------------------------------------------------- the end -- */

Test(job_cycle, a_cycle_ends_by_itself_with_and_without_a_store_in_every_mode)
{
    for (int i = 0; i < 24; i++) {
        struct ring ring;
        struct ring_shape shape = {.records = 500,
                                   .length = 1 + (uint32_t)i % 3,
                                   .parallelism = i % 2 ? 3 : 1,
                                   .inside = WEIR_SPREAD,
                                   .no_store = i % 8 < 3};
        start_over();
        ring_open(&ring, &shape);
        ring.flow.options.mode = (enum weir_mode)(i / 8);
        if (i % 4 == 3) /* nobody asks for rounds but the cycle */
            ring.flow.options.interval_ns = -1;
        flow_run(&ring.flow, WEIR_OUTCOME_ENDED);
        ring_is_exact(&ring);
        if (!shape.no_store) {
            flow_run(&ring.flow, WEIR_OUTCOME_ALREADY_ENDED);
            ring_is_exact(&ring);
        }
        ring_close(&ring);
    }
}

Test(job_cycle, a_cycle_that_is_one_task_or_one_by_key_ends_too)
{
    static const enum weir_routing inside[] = {WEIR_FORWARD, WEIR_BY_KEY};
    for (int i = 0; i < 8; i++) {
        struct ring ring;
        struct ring_shape shape = {.records = 500,
                                   .length = 2 + (uint32_t)i % 4,
                                   .parallelism = 1 + (uint32_t)i % 3,
                                   .inside = inside[i / 4]};
        start_over();
        ring_open(&ring, &shape);
        ring.flow.options.mode = (enum weir_mode)(i % 3);
        ring.flow.options.endpoint = i % 2 ? "tcp://127.0.0.1" : "inproc";
        flow_run(&ring.flow, WEIR_OUTCOME_ENDED);
        ring_is_exact(&ring);
        ring_close(&ring);
    }
}

/* Nothing ever goes in, or nothing ever goes round. */
Test(job_cycle, an_empty_cycle_ends)
{
    for (uint64_t records = 0; records < 2; records++)
        for (int mode = WEIR_ADAPTIVE; mode <= WEIR_UNALIGNED; mode++) {
            struct ring ring;
            struct ring_shape shape = {.records = records, .length = 2, .parallelism = 2};
            start_over();
            ring_open(&ring, &shape);
            ring.flow.options.mode = (enum weir_mode)mode;
            flow_run(&ring.flow, WEIR_OUTCOME_ENDED);
            ring_is_exact(&ring);
            ring_close(&ring);
        }
}

Test(job_cycle, what_finish_emits_must_not_come_back)
{
    static const char *const says[] = {
        "turn has emitted to turn after their cycle had come to rest: what finish emits must not "
        "come back over a feedback edge",
        "m1 has emitted to turn after their cycle had come to rest: what finish emits must not "
        "come back over a feedback edge"};
    for (uint32_t length = 1; length <= 2; length++) {
        struct ring ring;
        struct ring_shape shape = {.records = 100,
                                   .length = length,
                                   .parallelism = 1,
                                   .inside = WEIR_SPREAD,
                                   .disturbs = true};
        start_over();
        ring_open(&ring, &shape);
        flow_run(&ring.flow, WEIR_OUTCOME_FAILED);
        cr_expect_eq(ring.flow.error.code, WEIR_INVALID);
        cr_expect_str_eq(ring.flow.error.text, says[length - 1]);
        ring_close(&ring);
    }
}

struct two_turns {
    struct flow flow;
    struct ledger ledger;
    struct tally turns;
    struct notes notes;
    weir_node numbers, first, second, sink;
};

static void two_turns_open(struct two_turns *two, enum weir_mode mode, uint64_t last_of_second)
{
    struct flow *flow = &two->flow;
    flow_init(flow);
    tally_init(&two->turns);
    notes_take(&two->notes, flow);
    ledger_init(&two->ledger, 500 + LAST);
    flow->options.store = scratch.path;
    flow->options.interval_ns = FLOW_SECOND / 200;
    flow->options.mode = mode;
    flow->options.alignment_max_ns = 1000000;
    struct turn_config first = {.turns = &two->turns, .records = 500, .last = LAST};
    struct turn_config second = {.turns = &two->turns, .records = 500, .last = last_of_second};
    two->numbers = flow_numbers(flow, "numbers", 500, 0, 1);
    two->first = add_turn(flow->graph, "first", &first, 1);
    two->second = add_turn(flow->graph, "second", &second, 1);
    two->sink = ledger_sink(flow->graph, "sink", &two->ledger, 1);
    weir_connect(flow->graph, two->numbers, two->first, WEIR_SPREAD);
}

/* Started again after one, two or three checkpoints, until it has ended. (After each one it would
 * not end: that its cycle is at rest is found out again, by a round, in every run.) */
static void live_in_steps(struct flow *flow, struct notes *notes)
{
    enum weir_outcome outcome = WEIR_OUTCOME_RUNNING;
    for (unsigned run = 0; run < 300 && outcome != WEIR_OUTCOME_ALREADY_ENDED; run++) {
        uint64_t before = tally_read(&notes->events);
        flow_start(flow);
        tally_until(&notes->events, before + 1 + run % 3);
        flow_stop(flow, WEIR_STOP_NOW);
        outcome = flow_wait(flow);
        cr_assert_neq(outcome, WEIR_OUTCOME_FAILED, "%s", flow->error.text);
        flow_close(flow);
    }
    cr_assert_eq(outcome, WEIR_OUTCOME_ALREADY_ENDED, "there is no end to it");
}

static void two_turns_are_exact(struct two_turns *two, uint32_t of_last)
{
    live_in_steps(&two->flow, &two->notes);
    for (uint64_t i = 0; i < 500 + LAST; i++)
        cr_assert_eq(two->ledger.counts[i], i < 500 ? 1 : of_last);
    store_is_sound(scratch.path);
    flow_free(&two->flow);
    ledger_free(&two->ledger);
    tally_free(&two->turns);
    notes_free(&two->notes);
}

/* The second cycle comes to rest when the first one has ended: what that says at its end goes round
 * in the second, too. */
Test(job_cycle, cycles_one_behind_the_other_end)
{
    for (int mode = WEIR_ADAPTIVE; mode <= WEIR_UNALIGNED; mode++) {
        struct two_turns two;
        start_over();
        two_turns_open(&two, (enum weir_mode)mode, LAST);
        struct weir_graph *graph = two.flow.graph;
        lead_back(graph, two.first, "ring", two.first);
        join(graph, two.first, "done", two.second, "in");
        lead_back(graph, two.second, "ring", two.second);
        join(graph, two.second, "done", two.sink, NULL);
        two_turns_are_exact(&two, 2);
    }
}

/* What goes round in the inner cycle comes back by the outer one. */
Test(job_cycle, a_cycle_within_a_cycle_ends)
{
    for (int mode = WEIR_ADAPTIVE; mode <= WEIR_UNALIGNED; mode++) {
        struct two_turns two;
        start_over();
        two_turns_open(&two, (enum weir_mode)mode, 0);
        struct weir_graph *graph = two.flow.graph;
        join(graph, two.first, "ring", two.second, "in");
        lead_back(graph, two.second, "ring", two.second);
        lead_back(graph, two.second, "done", two.first);
        join(graph, two.first, "done", two.sink, NULL);
        two_turns_are_exact(&two, 1);
    }
}

/* ------------------------------------------------------------------------ stops at any stage -- */

/* It is stopped at once: in the middle of the input, of the turns, of the end. */
Test(job_cycle, stopped_after_any_checkpoint_it_is_exact)
{
    for (int i = 0; i < 6; i++) {
        struct ring ring;
        struct ring_shape shape = {.records = 2000,
                                   .length = 1 + (uint32_t)i % 3,
                                   .parallelism = i % 2 ? 3 : 1,
                                   .inside = WEIR_SPREAD};
        start_over();
        ring_open(&ring, &shape);
        ring.flow.options.mode = (enum weir_mode)(i % 3);
        live_in_steps(&ring.flow, &ring.notes);
        ring_is_exact(&ring);
        ring_close(&ring);
    }
}

Test(job_cycle, abandoned_at_random_moments_in_changing_modes_it_is_exact)
{
    uint64_t seed = flow_seed();
    for (int i = 0; i < 4; i++) {
        struct ring ring;
        struct ring_shape shape = {.records = 5000,
                                   .length = 1 + (uint32_t)(flow_draw(&seed) % 4),
                                   .parallelism = 1 + (uint32_t)(flow_draw(&seed) % 3),
                                   .inside = flow_draw(&seed) % 2 ? WEIR_SPREAD : WEIR_FORWARD};
        start_over();
        ring_open(&ring, &shape);
        ring.flow.options.endpoint = i % 2 ? "tcp://127.0.0.1" : "inproc";
        for (unsigned run = 0; run < 10; run++) {
            ring.flow.options.mode = (enum weir_mode)(flow_draw(&seed) % 3);
            ring.flow.options.window_batches = 1 + (uint32_t)(flow_draw(&seed) % 4);
            ring.flow.options.rounds_at_once = 1 + (uint32_t)(flow_draw(&seed) % 4);
            flow_start(&ring.flow);
            (void)flow_until_taken(&ring.flow, &ring.ledger,
                                   ring.ledger.taken + flow_draw(&seed) % 600);
            flow_stop(&ring.flow, flow_draw(&seed) % 3 ? WEIR_STOP_NOW : WEIR_STOP_SUSPEND);
            (void)flow_wait(&ring.flow);
            flow_close(&ring.flow);
        }
        flow_finish(&ring.flow);
        ring_is_exact(&ring);
        ring_close(&ring);
    }
}

Test(job_cycle, suspended_it_goes_on_where_it_was)
{
    for (int mode = WEIR_ADAPTIVE; mode <= WEIR_UNALIGNED; mode++) {
        struct ring ring;
        struct ring_shape shape = {
            .records = 3000, .length = 2, .parallelism = 2, .inside = WEIR_SPREAD};
        start_over();
        ring_open(&ring, &shape);
        ring.flow.options.mode = (enum weir_mode)mode;
        ring.flow.options.interval_ns = -1;
        for (uint64_t i = 1; i <= 3; i++) {
            flow_start(&ring.flow);
            tally_until(&ring.turns, i * 1500);
            flow_stop(&ring.flow, WEIR_STOP_SUSPEND);
            (void)flow_wait(&ring.flow);
            flow_close(&ring.flow);
        }
        flow_finish(&ring.flow);
        ring_is_exact(&ring);
        ring_close(&ring);
    }
}

/* What was read is published: all numbers that have left the source, and none twice. */
Test(job_cycle, drained_it_finishes_what_is_on_its_way)
{
    for (int mode = WEIR_ADAPTIVE; mode <= WEIR_UNALIGNED; mode++) {
        struct ring ring;
        struct ring_shape shape = {
            .records = 1u << 20, .length = 2, .parallelism = 1, .inside = WEIR_SPREAD};
        start_over();
        ring_open(&ring, &shape);
        ring.flow.options.mode = (enum weir_mode)mode;
        flow_start(&ring.flow);
        tally_until(&ring.turns, 2000);
        flow_stop(&ring.flow, WEIR_STOP_DRAIN);
        flow_ends(&ring.flow, WEIR_OUTCOME_ENDED);
        flow_close(&ring.flow);
        uint64_t count = 0;
        while (ring.ledger.counts[count] == 1)
            count++;
        cr_expect_gt(count, 100);
        for (uint64_t i = count; i < ring.numbers; i++)
            cr_assert_eq(ring.ledger.counts[i], i >= shape.records);
        store_is_sound(scratch.path);
        ring_close(&ring);
    }
}

/* ----------------------------------------------------------------------- room that runs out -- */

/* Each turn sends two of each on: 2^6 of some numbers are there in the end, in windows of one
 * batch. Without a place outside of the windows the cycle would stand still. */
Test(job_cycle, a_cycle_that_multiplies_its_records_does_not_stand_still)
{
    for (int i = 0; i < 6; i++) {
        struct ring ring;
        struct ring_shape shape = {.records = 200,
                                   .length = 1 + (uint32_t)i % 2,
                                   .parallelism = 1 + (uint32_t)i % 3,
                                   .inside = WEIR_SPREAD,
                                   .doubles = true,
                                   .no_store = i == 5};
        start_over();
        const char *elsewhere = scratch_join(scratch.path, "elsewhere");
        ring_open(&ring, &shape);
        ring.flow.options.mode = (enum weir_mode)(i % 3);
        ring.flow.options.window_batches = 1;
        ring.flow.options.window_bytes = 1;
        if (i % 2)
            ring.flow.options.scratch = elsewhere;
        flow_start(&ring.flow);
        tally_until(&ring.turns, 4000);
        unsigned nameless = nameless_files(scratch.path, -1); /* the store's own have names */
        cr_expect_gt(nameless, 0, "nothing waits on disk: a poor test");
        flow_ends(&ring.flow, WEIR_OUTCOME_ENDED);
        flow_close(&ring.flow);
        cr_expect_eq(nameless_files(scratch.path, -1), 0);
        cr_expect_eq(named_files(i % 2 ? elsewhere : scratch_join(scratch.path, "scratch")), 0);
        for (uint64_t n = 0; n < ring.numbers; n++)
            cr_assert_eq(ring.ledger.counts[n], n < shape.records ? 1u << n % HOPS : 1, "%d",
                         (int)n);
        ring_close(&ring);
    }
}

/* The same over stops: what waits on disk is in the checkpoints. */
Test(job_cycle, what_waits_on_disk_is_exact_over_stops)
{
    unsigned with_content = 0;
    for (int mode = WEIR_ADAPTIVE; mode <= WEIR_UNALIGNED; mode++) {
        struct ring ring;
        struct ring_shape shape = {
            .records = 600, .length = 2, .parallelism = 2, .inside = WEIR_SPREAD, .doubles = true};
        start_over();
        ring_open(&ring, &shape);
        ring.flow.options.mode = (enum weir_mode)mode;
        ring.flow.options.window_batches = 1;
        ring.flow.options.window_bytes = 1;
        live_in_steps(&ring.flow, &ring.notes);
        for (uint64_t n = 0; n < ring.numbers; n++)
            cr_assert_eq(ring.ledger.counts[n], n < shape.records ? 1u << n % HOPS : 1, "%d",
                         (int)n);
        with_content += ring.notes.with_content;
        store_is_sound(scratch.path);
        ring_close(&ring);
    }
    cr_expect_gt(with_content, 0);
}

/* Without a store and without a folder it waits in memory. */
Test(job_cycle, without_any_place_on_disk_it_waits_in_memory)
{
    struct ring ring;
    struct ring_shape shape = {
        .records = 200, .length = 1, .parallelism = 1, .doubles = true, .no_store = true};
    ring_open(&ring, &shape);
    ring.flow.options.window_batches = 1;
    flow_run(&ring.flow, WEIR_OUTCOME_ENDED);
    for (uint64_t n = 0; n < shape.records; n++)
        cr_assert_eq(ring.ledger.counts[n], 1u << n % HOPS);
    cr_expect_eq(named_files(scratch.path), 0);
    ring_close(&ring);
}

/* However little may be recorded, an empty cycle shows that it is empty. */
Test(job_cycle, a_cycle_ends_whatever_the_budget)
{
    for (int mode = WEIR_ADAPTIVE; mode <= WEIR_UNALIGNED; mode++) {
        struct ring ring;
        struct ring_shape shape = {
            .records = 3000, .length = 2, .parallelism = 2, .inside = WEIR_SPREAD};
        start_over();
        ring_open(&ring, &shape);
        ring.flow.options.mode = (enum weir_mode)mode;
        ring.flow.options.recording_max = 1;
        ring.flow.options.interval_ns = FLOW_SECOND / 1000;
        flow_run(&ring.flow, WEIR_OUTCOME_ENDED);
        ring_is_exact(&ring);
        ring_close(&ring);
    }
}

/* --------------------------------------------------------- operators that stir by themselves -- */

static void save_list(struct weir_saver *saver, const void *list, uint32_t count, size_t size)
{
    for (uint32_t i = 0; i < count; i++)
        weir_save(saver, WEIR_ITEM_SPLIT, (struct weir_bytes){(const char *)list + i * size, size});
}

/* How many there are. */
static uint32_t load_list(struct weir_loader *loader, void *list, size_t size)
{
    enum weir_item kind;
    struct weir_bytes item;
    uint32_t count = 0;
    while (weir_load_next(loader, &kind, &item))
        memcpy((char *)list + count++ * size, item.data, size);
    return count;
}

/* Keeps each trip for a while, by a timer of its own. */
struct delay {
    struct trip list[4096];
    uint32_t count;
};

static enum weir_timer delay_kind;

static enum weir_result delay_take(void *self, struct weir_context *context, unsigned input,
                                   const struct weir_record *record)
{
    struct delay *delay = self;
    (void)input;
    struct trip *trip = &delay->list[delay->count++];
    memcpy(trip, record->value.data, sizeof *trip);
    int64_t time = delay_kind == WEIR_TIMER_CLOCK
                       ? weir_wall_time(context) + (int64_t)(trip->number % 5) * 200000
                       : (int64_t)trip->number;
    return weir_timer_set(context, delay_kind, time, trip->number);
}

static enum weir_result delay_timer(void *self, struct weir_context *context, enum weir_timer kind,
                                    int64_t time, uint64_t tag)
{
    struct delay *delay = self;
    (void)kind;
    (void)time;
    for (uint32_t i = 0; i < delay->count; i++) {
        if (delay->list[i].number != tag)
            continue;
        struct trip trip = delay->list[i];
        delay->list[i] = delay->list[--delay->count];
        send_trip(context, 0, &trip);
        return WEIR_OK;
    }
    return weir_fail(context, WEIR_FAILED, "a timer for nobody");
}

static enum weir_result delay_save(void *self, struct weir_context *context,
                                   struct weir_saver *saver)
{
    const struct delay *delay = self;
    (void)context;
    save_list(saver, delay->list, delay->count, sizeof *delay->list);
    return WEIR_OK;
}

static enum weir_result delay_load(void *self, struct weir_context *context,
                                   struct weir_loader *loader, uint32_t version)
{
    struct delay *delay = self;
    (void)context;
    (void)version;
    delay->count = load_list(loader, delay->list, sizeof *delay->list);
    return WEIR_OK;
}

static const struct weir_operator delay_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "delay",
    .self_size = sizeof(struct delay),
    .process = delay_take,
    .timer = delay_timer,
    .save = delay_save,
    .load = delay_load,
};

/* The same with trips in a map of their key, and timers of keys. */
static enum weir_result shelve(void *self, struct weir_context *context, unsigned input,
                               const struct weir_record *record)
{
    struct trip trip;
    (void)self;
    (void)input;
    memcpy(&trip, record->value.data, sizeof trip);
    int64_t time = delay_kind == WEIR_TIMER_CLOCK
                       ? weir_wall_time(context) + (int64_t)(trip.number % 5) * 200000
                       : (int64_t)trip.number;
    weir_map_put(context, 0, &record->key, (struct weir_bytes){&trip.number, sizeof trip.number},
                 record->value);
    return weir_timer_set_key(context, delay_kind, &record->key, time, trip.number);
}

static enum weir_result unshelve(void *self, struct weir_context *context, enum weir_timer kind,
                                 const struct weir_bytes *key, int64_t time, uint64_t tag)
{
    struct trip trip;
    struct weir_bytes value, sub = {&tag, sizeof tag};
    (void)self;
    (void)kind;
    (void)time;
    if (!weir_map_get(context, 0, key, sub, &value))
        return weir_fail(context, WEIR_FAILED, "a timer for nobody");
    memcpy(&trip, value.data, sizeof trip);
    weir_map_remove(context, 0, key, sub);
    send_trip(context, 0, &trip);
    return WEIR_OK;
}

static const struct weir_operator shelf_table = {WEIR_SIZED(struct weir_operator), .kind = "shelf",
                                                 .process = shelve, .key_timer = unshelve};

static weir_node shelf_node(struct weir_graph *graph, const char *name, uint32_t parallelism)
{
    struct weir_state trips = {WEIR_SIZED(struct weir_state), .name = "trips",
                               .kind = WEIR_STATE_MAP};
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options),
                                        .name = name,
                                        .table = &shelf_table,
                                        .states = &trips,
                                        .state_count = 1,
                                        .parallelism = parallelism};
    return weir_graph_add(graph, &options);
}

static weir_node delay_node(struct weir_graph *graph, const char *name, uint32_t parallelism)
{
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options), .name = name,
                                        .table = &delay_table, .parallelism = parallelism};
    return weir_graph_add(graph, &options);
}

/* The service answers as soon as it is allowed to. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool shut;
} service = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};

static void service_shut(bool shut)
{
    pthread_mutex_lock(&service.lock);
    service.shut = shut;
    pthread_cond_broadcast(&service.changed);
    pthread_mutex_unlock(&service.lock);
}

static enum weir_result answer(const struct weir_record *record, struct weir_reply *reply,
                               const void *config)
{
    (void)config;
    pthread_mutex_lock(&service.lock);
    while (service.shut)
        pthread_cond_wait(&service.changed, &service.lock);
    pthread_mutex_unlock(&service.lock);
    return weir_reply_append(reply, record->value);
}

static weir_node async_node(struct weir_graph *graph, const char *name, uint32_t parallelism)
{
    return weir_async(graph, name,
                      &(struct weir_async_options){WEIR_SIZED(struct weir_async_options),
                                                   .call = answer, .threads = 3, .capacity = 20,
                                                   .unordered = true, .parallelism = parallelism});
}

/* Ends, and is exact, at one go and over stops. */
static void ring_with(make_middle middle)
{
    for (int i = 0; i < 6; i++) {
        struct ring ring;
        struct ring_shape shape = {.records = 700,
                                   .length = 2 + (uint32_t)i % 2,
                                   .parallelism = 1 + (uint32_t)i % 2,
                                   .inside = WEIR_BY_KEY,
                                   .middle = middle};
        start_over();
        ring_open(&ring, &shape);
        ring.flow.options.mode = (enum weir_mode)(i % 3);
        if (i < 3)
            flow_run(&ring.flow, WEIR_OUTCOME_ENDED);
        else
            live_in_steps(&ring.flow, &ring.notes);
        ring_is_exact(&ring);
        ring_close(&ring);
    }
}

Test(job_cycle, a_cycle_waits_for_its_clock_timers)
{
    delay_kind = WEIR_TIMER_CLOCK;
    ring_with(delay_node);
    ring_with(shelf_node);
}

/* Their time is there when all has come in from outside: only then the trips go on. */
Test(job_cycle, event_timers_in_a_cycle_fire_when_all_from_outside_has_ended)
{
    delay_kind = WEIR_TIMER_EVENT;
    ring_with(delay_node);
    ring_with(shelf_node);
}

Test(job_cycle, a_cycle_waits_for_answers_from_outside)
{
    ring_with(async_node);
}

/* Nothing is on its way and nobody holds: all there is is with the service, whose answers an
 * operator has asked to be woken for. */
Test(job_cycle, a_cycle_of_which_all_is_with_a_service_has_not_come_to_rest)
{
    for (int mode = WEIR_ADAPTIVE; mode <= WEIR_UNALIGNED; mode++) {
        struct ring ring;
        struct ring_shape shape = {.records = 3,
                                   .length = 2,
                                   .parallelism = 1,
                                   .inside = WEIR_BY_KEY,
                                   .middle = async_node};
        start_over();
        ring_open(&ring, &shape);
        ring.flow.options.mode = (enum weir_mode)mode;
        service_shut(true);
        flow_start(&ring.flow);
        tally_until(&ring.turns, 3);
        unsigned empty = 0;
        for (int i = 0; i < 200 && empty < 5; i++) {
            flow_checkpoint(&ring.flow);
            empty += ring.notes.channel_bytes + ring.notes.outlet_bytes == 0;
        }
        enum weir_outcome outcome;
        cr_expect_eq(weir_job_wait(ring.flow.job, 0, &outcome, &ring.flow.error), WEIR_TIMEOUT);
        service_shut(false);
        flow_ends(&ring.flow, WEIR_OUTCOME_ENDED);
        flow_close(&ring.flow); /* until then old checkpoints are being removed */
        ring_is_exact(&ring);
        ring_close(&ring);
    }
}

/* One that holds, or has asked to be woken, keeps the cycle from its end; the job goes on and can
 * be checkpointed and started again. */
static struct valve *middle_valve;

static weir_node middle_valve_node(struct weir_graph *graph, const char *name, uint32_t parallelism)
{
    return valve_node(graph, name, middle_valve, parallelism);
}

Test(job_cycle, a_cycle_waits_for_an_operator_that_holds)
{
    for (int mode = WEIR_ADAPTIVE; mode <= WEIR_UNALIGNED; mode += 2) {
        struct ring ring;
        struct valve valve;
        struct ring_shape shape = {.records = 300,
                                   .length = 3,
                                   .parallelism = 2,
                                   .inside = WEIR_BY_KEY,
                                   .middle = middle_valve_node};
        start_over();
        valve_init(&valve);
        middle_valve = &valve;
        ring_open(&ring, &shape);
        ring.flow.options.mode = (enum weir_mode)mode;
        for (unsigned run = 0; run < 4; run++) {
            enum weir_outcome outcome;
            flow_start(&ring.flow);
            uint64_t passed = tally_read(&valve.passed);
            valve_allow(&valve, 0, 20);
            tally_until(&valve.passed, passed + 20);
            for (int i = 0; i < 3; i++)
                flow_checkpoint(&ring.flow);
            cr_expect_eq(weir_job_wait(ring.flow.job, 0, &outcome, &ring.flow.error), WEIR_TIMEOUT);
            flow_kill(&ring.flow);
        }
        valve_open(&valve);
        flow_run(&ring.flow, WEIR_OUTCOME_ENDED);
        ring_is_exact(&ring);
        ring_close(&ring);
        valve_free(&valve);
    }
}

/* Of what is broadcast each subtask takes its own share, so that the trips stay as many. */
static enum weir_result take_share(struct weir_context *context, unsigned input,
                                   const struct weir_record *record, const void *config)
{
    (void)input;
    (void)config;
    if (flow_number(record) % weir_parallelism(context) != weir_subtask(context))
        return WEIR_OK;
    return weir_emit(context, 0, record);
}

static weir_node share_node(struct weir_graph *graph, const char *name, uint32_t parallelism)
{
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options), .name = name,
                                        .function = take_share, .parallelism = parallelism};
    return weir_graph_add(graph, &options);
}

/* What is on such an edge can't be recorded, so its marker is waited for, within the cycle; the
 * edge that leads back waits for nobody. */
Test(job_cycle, a_broadcast_edge_in_a_cycle)
{
    for (int i = 0; i < 6; i++) {
        struct ring ring;
        struct ring_shape shape = {.records = 400,
                                   .length = 2,
                                   .parallelism = 1 + (uint32_t)i / 3,
                                   .inside = WEIR_BROADCAST,
                                   .middle = share_node};
        start_over();
        ring_open(&ring, &shape);
        ring.flow.options.mode = (enum weir_mode)(i % 3);
        ring.flow.options.window_batches = 1;
        live_in_steps(&ring.flow, &ring.notes);
        ring_is_exact(&ring);
        ring_close(&ring);
    }
}

/* -------------------------------------------------------------------------- tokens on a ring -- */

/* S21. K tokens go round for ever; operators keep some of them for a while. In every checkpoint
 * tokens in state and tokens in flight are as many as the source had sent. */
#define TOKENS 200u
#define POCKET 3u

struct token {
    uint64_t number, last_lap;
};

static atomic_bool retire;

/* Sends every token round; when they are to retire, once more, so that all pockets are emptied. */
static enum weir_result gate_take(struct weir_context *context, unsigned input,
                                  const struct weir_record *record, const void *config)
{
    struct token token = {flow_number(record), 0};
    struct tally *laps;
    memcpy(&laps, config, sizeof laps);
    if (input == TURN_BACK)
        memcpy(&token, record->value.data, sizeof token);
    tally_add(laps, 1);
    bool done = token.last_lap;
    token.last_lap = atomic_load(&retire);
    return weir_emit(context, done && token.last_lap ? TURN_DONE : TURN_RING,
                     &(struct weir_record){record->key, {&token, sizeof token}, WEIR_NO_TIME});
}

struct pocket {
    struct token list[POCKET];
    uint32_t count;
};

static void pull_out(struct pocket *pocket, struct weir_context *context)
{
    struct token token = pocket->list[0];
    memmove(&pocket->list[0], &pocket->list[1], --pocket->count * sizeof token);
    weir_emit(context, 0,
              &(struct weir_record){{&token.number, 8}, {&token, sizeof token}, WEIR_NO_TIME});
}

static enum weir_result pocket_take(void *self, struct weir_context *context, unsigned input,
                                    const struct weir_record *record)
{
    struct pocket *pocket = self;
    struct token token;
    (void)input;
    memcpy(&token, record->value.data, sizeof token);
    if (pocket->count == POCKET)
        pull_out(pocket, context);
    pocket->list[pocket->count++] = token;
    while (token.last_lap && pocket->count)
        pull_out(pocket, context);
    return WEIR_OK;
}

static enum weir_result pocket_save(void *self, struct weir_context *context,
                                    struct weir_saver *saver)
{
    const struct pocket *pocket = self;
    (void)context;
    save_list(saver, pocket->list, pocket->count, sizeof *pocket->list);
    return WEIR_OK;
}

static enum weir_result pocket_load(void *self, struct weir_context *context,
                                    struct weir_loader *loader, uint32_t version)
{
    struct pocket *pocket = self;
    (void)context;
    (void)version;
    pocket->count = load_list(loader, pocket->list, sizeof *pocket->list);
    return WEIR_OK;
}

static const struct weir_operator pocket_table = {
    WEIR_SIZED(struct weir_operator), .kind = "pocket",    .self_size = sizeof(struct pocket),
    .process = pocket_take,           .save = pocket_save, .load = pocket_load,
};

static uint32_t count_rows(struct weir_checkpoint *checkpoint, enum weir_rows rows,
                           const char *node, uint8_t *seen)
{
    struct weir_cursor *cursor = NULL;
    struct weir_error error = {0};
    struct weir_row row = {WEIR_SIZED(struct weir_row)};
    uint32_t count = 0;
    cr_assert_eq(weir_cursor_open(checkpoint, rows, node, NULL, &cursor, &error), WEIR_OK, "%s",
                 error.text);
    for (; weir_cursor_next(cursor, &row); count++) {
        uint64_t number = UINT64_MAX;
        memcpy(&number, row.value.data, row.value.size < 8 ? 0 : 8);
        if (seen && number < TOKENS)
            seen[number]++;
    }
    cr_assert_eq(weir_cursor_close(&cursor, &error), WEIR_OK, "%s", error.text);
    return count;
}

/* How many numbers the source had sent: its only series goes on from there, or is no more. */
static uint64_t sent_by_source(struct weir_checkpoint *checkpoint)
{
    struct weir_cursor *cursor = NULL;
    struct weir_error error = {0};
    struct weir_row row = {WEIR_SIZED(struct weir_row)};
    uint64_t next = TOKENS;
    cr_assert_eq(weir_cursor_open(checkpoint, WEIR_ROWS_ITEMS, "numbers", NULL, &cursor, &error),
                 WEIR_OK, "%s", error.text);
    if (weir_cursor_next(cursor, &row))
        memcpy(&next, row.value.data, sizeof next);
    cr_assert_eq(weir_cursor_close(&cursor, &error), WEIR_OK);
    return next < TOKENS ? next : TOKENS;
}

static uint32_t count_tokens(uint32_t length)
{
    struct weir_store *store = NULL;
    struct weir_error error = {0};
    const uint64_t *ids;
    size_t count;
    uint32_t in_flight = 0;
    cr_assert_eq(weir_store_open(scratch.path, NULL, &store, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(weir_store_list(store, &ids, &count, &error), WEIR_OK, "%s", error.text);
    for (size_t i = 0; i < count; i++) {
        struct weir_checkpoint *checkpoint = NULL;
        uint8_t seen[TOKENS] = {0};
        cr_assert_eq(weir_checkpoint_open(store, ids[i], &checkpoint, &error), WEIR_OK, "%s",
                     error.text);
        uint32_t flying = count_rows(checkpoint, WEIR_ROWS_INFLIGHT, NULL, seen), kept = 0;
        for (uint32_t n = 1; n < length; n++) {
            char name[] = {'m', (char)('0' + n), 0};
            kept += count_rows(checkpoint, WEIR_ROWS_ITEMS, name, seen);
        }
        uint64_t sent = sent_by_source(checkpoint);
        cr_assert_eq(kept + flying, sent, "checkpoint %d: %u in state, %u in flight, of %d",
                     (int)ids[i], kept, flying, (int)sent);
        for (uint64_t n = 0; n < TOKENS; n++)
            cr_assert_eq(seen[n], n < sent, "token %d: %u times", (int)n, seen[n]);
        in_flight += flying;
        weir_checkpoint_close(&checkpoint);
    }
    weir_store_close(&store);
    return in_flight;
}

static weir_node pocket_node(struct weir_graph *graph, const char *name, uint32_t parallelism)
{
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options), .name = name,
                                        .table = &pocket_table, .parallelism = parallelism};
    return weir_graph_add(graph, &options);
}

static void tokens_open(struct flow *flow, struct ledger *ledger, struct tally *laps,
                        uint32_t length, enum weir_routing inside)
{
    static const char *const inputs[] = {"in", "back"}, *const outputs[] = {"ring", "done"};
    flow_init(flow);
    ledger_init(ledger, TOKENS);
    tally_init(laps);
    flow->options.store = scratch.path;
    flow->options.interval_ns = FLOW_SECOND / 1000;
    flow->options.alignment_max_ns = 500000;
    flow->options.retain = 50;
    flow->options.batch_bytes = 1024;
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options),
                                        .name = "gate",
                                        .function = gate_take,
                                        .config = weir_graph_keep(flow->graph, &laps, sizeof laps),
                                        .inputs = inputs,
                                        .input_count = 2,
                                        .outputs = outputs,
                                        .output_count = 2};
    weir_node gate = weir_graph_add(flow->graph, &options), last = gate;
    weir_connect(flow->graph, flow_numbers(flow, "numbers", TOKENS, 0, 1), gate, WEIR_SPREAD);
    for (uint32_t i = 1; i < length; i++) {
        char name[] = {'m', (char)('0' + i), 0};
        weir_node next = pocket_node(flow->graph, name, 1);
        weir_connect(flow->graph, last, next, inside);
        last = next;
    }
    lead_back(flow->graph, last, NULL, gate);
    join(flow->graph, gate, "done", ledger_sink(flow->graph, "sink", ledger, 1), NULL);
}

Test(job_cycle, tokens_on_a_ring_are_as_many_in_every_checkpoint)
{
    uint32_t in_flight = 0;
    for (uint32_t i = 0; i < 8; i++) {
        struct flow flow;
        struct ledger ledger;
        struct tally laps;
        uint32_t length = 2 + i % 4;
        start_over();
        tokens_open(&flow, &ledger, &laps, length, i < 4 ? WEIR_SPREAD : WEIR_FORWARD);
        if (i % 2)
            flow.options.window_batches = flow.options.window_bytes = 1;
        atomic_store(&retire, false);
        for (unsigned run = 0; run < 4; run++) {
            flow.options.mode = (enum weir_mode)((i + run) % 3);
            unsigned committed = flow.watch.committed;
            flow_start(&flow);
            watch_until(&flow.watch, &flow.watch.committed, committed + 4);
            flow_kill(&flow);
            in_flight += count_tokens(length);
        }
        atomic_store(&retire, true);
        flow_run(&flow, WEIR_OUTCOME_ENDED);
        ledger_is(&ledger, TOKENS, 1);
        store_is_sound(scratch.path);
        flow_free(&flow);
        ledger_free(&ledger);
        tally_free(&laps);
    }
    cr_expect_gt(in_flight, 0);
}

/* ------------------------------------------------------------------------------ reachability -- */

/* S22, small: links are added in any order, and whatever can be reached from vertex 0 comes out
 * once. The answer is a single-threaded search's. */
#define VERTICES 400u
#define LINKS 900u

static struct {
    uint32_t from, to;
} links[LINKS];

struct vertex {
    uint64_t reached, count;
    uint64_t next[LINKS / 16];
};

/* A link comes as its number; a visit as the vertex, by the edge that leads back. */
static enum weir_result name_link(struct weir_context *context, unsigned input,
                                  const struct weir_record *record, const void *config)
{
    uint64_t number = flow_number(record);
    uint64_t from = links[number].from, to = links[number].to;
    (void)input;
    (void)config;
    return weir_emit(context, 0, &(struct weir_record){{&from, 8}, {&to, 8}, WEIR_NO_TIME});
}

static void visit(struct weir_context *context, unsigned output, uint64_t vertex)
{
    weir_emit(context, output, &(struct weir_record){{&vertex, 8}, {&vertex, 8}, WEIR_NO_TIME});
}

static enum weir_result reach(struct weir_context *context, unsigned input,
                              const struct weir_record *record, const void *config)
{
    struct vertex *vertex = weir_cell(context, 0, &record->key);
    uint64_t self, other = flow_number(record);
    (void)config;
    if (!vertex)
        return WEIR_FAILED;
    memcpy(&self, record->key.data, sizeof self);
    if (input == TURN_IN)
        vertex->next[vertex->count++] = other;
    bool first = !vertex->reached && (input == TURN_BACK || self == 0);
    vertex->reached |= first;
    if (first) {
        visit(context, TURN_DONE, self);
        for (uint64_t i = 0; i < vertex->count; i++)
            visit(context, TURN_RING, vertex->next[i]);
    } else if (vertex->reached && input == TURN_IN) {
        visit(context, TURN_RING, other);
    }
    return WEIR_OK;
}

static void draw_links(uint64_t *seed, bool *reached)
{
    uint32_t degree[VERTICES] = {0};
    bool moved = true;
    for (uint32_t i = 0; i < LINKS; i++) {
        do
            links[i].from = (uint32_t)(flow_draw(seed) % VERTICES);
        while (degree[links[i].from] == LINKS / 16);
        degree[links[i].from]++;
        links[i].to = (uint32_t)(flow_draw(seed) % VERTICES);
    }
    links[0].from = 0;
    memset(reached, 0, VERTICES * sizeof *reached);
    reached[0] = true;
    while (moved) {
        moved = false;
        for (uint32_t i = 0; i < LINKS; i++)
            if (reached[links[i].from] && !reached[links[i].to])
                reached[links[i].to] = moved = true;
    }
}

static void reach_open(struct flow *flow, struct ledger *ledger)
{
    static const char *const inputs[] = {"in", "back"}, *const outputs[] = {"ring", "done"};
    static const struct weir_state state = {WEIR_SIZED(struct weir_state), .name = "vertices",
                                            .value_size = sizeof(struct vertex)};
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options),
                                        .name = "reach",
                                        .function = reach,
                                        .parallelism = 3,
                                        .states = &state,
                                        .state_count = 1,
                                        .inputs = inputs,
                                        .input_count = 2,
                                        .outputs = outputs,
                                        .output_count = 2};
    flow_init(flow);
    ledger_init(ledger, VERTICES);
    flow->options.store = scratch.path;
    flow->options.interval_ns = FLOW_SECOND / 1000;
    flow->options.alignment_max_ns = 300000;
    flow->options.batch_bytes = 1024;
    flow->options.window_batches = 1;
    weir_node name = weir_flat_map(flow->graph, "links", name_link, NULL);
    weir_node node = weir_graph_add(flow->graph, &options);
    weir_connect(flow->graph, flow_numbers(flow, "numbers", LINKS, 0, 2), name, WEIR_SPREAD);
    weir_connect(flow->graph, name, node, WEIR_BY_KEY);
    lead_back(flow->graph, node, "ring", node);
    join(flow->graph, node, "done", ledger_sink(flow->graph, "sink", ledger, 1), NULL);
}

Test(job_cycle, what_can_be_reached_is_found_once_over_stops)
{
    uint64_t seed = flow_seed();
    for (int i = 0; i < 6; i++) {
        struct flow flow;
        struct ledger ledger;
        struct notes notes;
        bool reached[VERTICES];
        start_over();
        draw_links(&seed, reached);
        reach_open(&flow, &ledger);
        notes_take(&notes, &flow);
        flow.options.mode = (enum weir_mode)(i % 3);
        if (i < 3)
            live_in_steps(&flow, &notes);
        else
            flow_run(&flow, WEIR_OUTCOME_ENDED);
        for (uint32_t v = 0; v < VERTICES; v++)
            cr_assert_eq(ledger.counts[v], reached[v], "vertex %u: %u times", v, ledger.counts[v]);
        store_is_sound(scratch.path);
        flow_free(&flow);
        ledger_free(&ledger);
        notes_free(&notes);
    }
}
