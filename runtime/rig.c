/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "error.h"
#include "memory.h"

#define PATIENCE_NS 10000000000 /* without a sign of life */
#define IDLE_TURNS 1000000      /* the same, where the clock stands still */
#define FEED_WINDOW 8           /* batches; and */
#define FEED_BYTES (64u << 10)  /* of so many bytes */
#define KEY_GROUPS 128
#define SOCKETS 16
#define STORE_ID "746f7274757265746f72747572657421" /* any will do, as long as it stays the same */

/* ------------------------------------------------------------------------ the plan -- */

/* The neighbours are there for the plan's sake: nobody runs them. */
static enum weir_progress never_polled(void *self, struct weir_context *context)
{
    (void)self, (void)context;
    return WEIR_END;
}

static enum weir_result never_fed(void *self, struct weir_context *context, unsigned input,
                                  const struct weir_record *record)
{
    (void)self, (void)context, (void)input, (void)record;
    return WEIR_FAILED;
}

static const struct weir_operator feeder_table = {WEIR_SIZED(struct weir_operator),
                                                  .kind = "feeder", .poll = never_polled};
static const struct weir_operator collector_table = {WEIR_SIZED(struct weir_operator),
                                                     .kind = "collector", .process = never_fed};

static void add_feeder(struct rig_plan *plan, weir_node node, uint32_t input, const char *name)
{
    char feeder[40];
    snprintf(feeder, sizeof feeder, "torture-feeds-%u", input);
    weir_node from = weir_graph_add(
        plan->graph,
        &(struct weir_node_options){WEIR_SIZED(struct weir_node_options), .name = feeder,
                                    .table = &feeder_table, .parallelism = 1});
    weir_graph_connect(plan->graph, &(struct weir_edge_options){
                                        WEIR_SIZED(struct weir_edge_options), .from = from,
                                        .to = node, .input = name, .routing = WEIR_BY_KEY});
}

static void add_collector(struct rig_plan *plan, weir_node node)
{
    weir_node to = weir_graph_add(
        plan->graph, &(struct weir_node_options){WEIR_SIZED(struct weir_node_options),
                                                 .name = "torture-collects",
                                                 .table = &collector_table, .parallelism = 1,
                                                 .inputs = (const char *const *)plan->output_names,
                                                 .input_count = plan->output_count});
    for (uint32_t i = 0; i < plan->output_count; i++)
        weir_graph_connect(
            plan->graph,
            &(struct weir_edge_options){WEIR_SIZED(struct weir_edge_options), .from = node,
                                        .output = plan->output_names[i], .to = to,
                                        .input = plan->output_names[i], .routing = WEIR_BY_KEY});
}

/* Channels 0 .. inputs-1 lead to the task, those behind them to the collector, in the order of the
 * ports: edges were added so, and each is one channel. */
static void check_channels(const struct rig_plan *plan)
{
    assert(plan->plan.channel_count == plan->input_count + plan->output_count);
    for (uint32_t c = 0; c < plan->plan.channel_count; c++) {
        const struct plan_channel *channel = &plan->plan.channels[c];
        bool in = c < plan->input_count;
        assert((in ? channel->to_task : channel->from_task) == plan->task);
        assert(plan->graph->edges[channel->edge].input == (in ? c : c - plan->input_count));
    }
}

enum weir_result rig_plan_make(struct rig_plan *plan, const struct weir_node_options *options,
                               struct weir_error *error)
{
    *plan = (struct rig_plan){.graph = weir_graph_new(NULL)};
    if (!plan->graph)
        return error_memory(error, "a graph", sizeof *plan->graph);
    weir_node node = weir_graph_add(plan->graph, options);
    if (!plan->graph->error.code) {
        const struct graph_node *mine = &plan->graph->nodes[node.index];
        plan->table = mine->table;
        plan->output_names = mine->outputs;
        plan->output_count = mine->output_count;
        plan->input_count = mine->table->poll ? 0 : mine->input_count;
        const char **inputs = mine->inputs;
        for (uint32_t i = 0; i < plan->input_count; i++) /* `mine` moves */
            add_feeder(plan, node, i, inputs[i]);
        add_collector(plan, node);
    }
    enum weir_result result = plan_make(plan->graph, 1, &plan->plan, error);
    if (result)
        return result;
    uint32_t chain = plan->plan.nodes[node.index].chain;
    plan->task = plan->plan.chains[chain].first_task;
    check_channels(plan);
    uint32_t channels = plan->plan.channel_count;
    plan->reader_slot = memory_zeroed(NULL, channels, sizeof *plan->reader_slot);
    plan->writer_slot = memory_zeroed(NULL, channels, sizeof *plan->writer_slot);
    if (!plan->reader_slot || !plan->writer_slot)
        return error_memory(error, "the channels", channels * sizeof *plan->reader_slot);
    return WEIR_OK;
}

void rig_plan_free(struct rig_plan *plan)
{
    plan_free(&plan->plan);
    weir_graph_free(&plan->graph);
    memory_release(NULL, plan->reader_slot);
    memory_release(NULL, plan->writer_slot);
    *plan = (struct rig_plan){0};
}

/* ----------------------------------------------------------------------- building -- */

static void make_run(struct rig *rig)
{
    const struct rig_options *options = &rig->options;
    struct run *run = &rig->run;
    *run = (struct run){
        .allocator = &rig->guard.allocator,
        .plan = rig->plan->plan,
        .job_name = "torture",
        .epoch = options->epoch,
        .key_groups = KEY_GROUPS,
        .durable = true,
        .store = (char *)(uintptr_t)options->store, /* only read */
        .restored_id = options->restored,
        .batch_bytes = options->manner.batch_bytes,
        .window_batches = options->manner.window,
        .window_bytes = (uint64_t)options->manner.window * options->manner.batch_bytes,
        .reader_slot = rig->plan->reader_slot,
        .writer_slot = rig->plan->writer_slot,
        .mode = WEIR_ALIGNED,
        .recording_max = UINT64_MAX / 4,
        .recorded = &rig->recorded,
        .sealed = &rig->sealed_bytes,
    };
    _Static_assert(sizeof STORE_ID == sizeof run->store_id, "a store's id");
    memcpy(run->store_id, STORE_ID, sizeof STORE_ID);
}

/* Copies: what is durable may be restored many times. */
static enum weir_result take_logs(struct rig *rig, struct weir_error *error)
{
    const struct logs *from = rig->options.logs;
    const struct weir_allocator *allocator = rig->run.allocator;
    struct logs *logs = memory_zeroed(allocator, 1, sizeof *logs);
    rig->task.logs = logs;
    bool room = logs && logs_init(logs, allocator, from->count);
    for (uint32_t i = 0; room && i < from->count; i++)
        for (uint32_t k = 0; room && k < from->lists[i].count; k++) {
            struct segment *copy = logs_copy(from->lists[i].segments[k], allocator);
            room = copy && logs_add(logs, i, copy);
        }
    return room ? WEIR_OK : error_memory(error, "a restored log", sizeof *logs);
}

static enum weir_result take_part(struct rig *rig, struct weir_error *error)
{
    struct task *task = &rig->task;
    struct weir_bytes part = rig->options.part;
    if (!rig->options.restored)
        return WEIR_OK;
    task->parts = memory_zeroed(rig->run.allocator, 1, sizeof *task->parts);
    if (!task->parts)
        return error_memory(error, "a restored part", sizeof *task->parts);
    task->parts->data = memory_take(rig->run.allocator, part.size);
    if (!task->parts->data)
        return error_memory(error, "a restored part", part.size);
    memcpy(task->parts->data, part.data, part.size);
    task->parts->size = task->parts->capacity = part.size;
    return take_logs(rig, error);
}

/* The task has one pipe to all its neighbours: they share an inbox. */
static enum weir_result wire_task(struct rig *rig, const char *outside, const char *inside,
                                  struct weir_error *error)
{
    struct task *task = &rig->task;
    task->pipes = memory_zeroed(rig->run.allocator, 1, sizeof *task->pipes);
    task->pipe_tasks = memory_zeroed(rig->run.allocator, 1, sizeof *task->pipe_tasks);
    if (!task->pipes || !task->pipe_tasks)
        return error_memory(error, "pipes", sizeof *task->pipes);
    enum weir_result result = inbox_open(rig->transport, inside, &task->inbox, error);
    if (!result)
        result = inbox_open(rig->transport, outside, &rig->outside, error);
    if (!result)
        result = pipe_open(rig->transport, outside, &task->pipes[0], error);
    task->pipe_count = result == WEIR_OK;
    if (!result)
        result = pipe_open(rig->transport, outside, &task->coordinator, error);
    if (!result)
        result = pipe_open(rig->transport, outside, &task->writer, error);
    if (!result)
        result = pipe_open(rig->transport, inside, &rig->into, error);
    if (result)
        return result;
    for (uint32_t c = 0; c < task->outlet.channel_count; c++)
        task->outlet.channels[c].pipe = task->pipes[0];
    for (uint32_t i = 0; i < task->gate.input_count; i++)
        task->gate.inputs[i].credits = task->pipes[0];
    return WEIR_OK;
}

static bool make_feeder(struct rig *rig, uint32_t input)
{
    struct outlet *feeder = &rig->feeders[input];
    struct outlet_options options = {
        .epoch = rig->run.epoch,
        .batch_bytes = FEED_BYTES,
        .window_batches = FEED_WINDOW,
        .window_bytes = (uint64_t)FEED_WINDOW * FEED_BYTES,
        .key_groups = KEY_GROUPS,
    };
    if (!outlet_init(feeder, &options, 1, 1, 1))
        return false;
    outlet_add_edge(feeder, WEIR_BY_KEY, input, 1);
    feeder->channels[0].pipe = rig->into;
    return true;
}

static enum weir_result make_neighbours(struct rig *rig, struct weir_error *error)
{
    uint32_t inputs = rig->plan->input_count, outputs = rig->plan->output_count;
    rig->feeders = memory_zeroed(NULL, inputs + 1, sizeof *rig->feeders);
    bool made = rig->feeders;
    for (uint32_t i = 0; made && i < inputs; i++)
        made = make_feeder(rig, i);
    struct gate_options collector = {
        .input_count = outputs,
        .window_batches = rig->run.window_batches,
        .window_bytes = rig->run.window_bytes,
        .epoch = rig->run.epoch,
        .restored_id = rig->options.restored,
    };
    made = made && gate_init(&rig->collector, &collector);
    if (!made)
        return error_memory(error, "the rig", sizeof *rig);
    gate_align(&rig->collector);
    for (uint32_t i = 0; i < outputs; i++) {
        rig->collector.inputs[i].channel = inputs + i;
        rig->collector.inputs[i].credits = rig->into;
    }
    return WEIR_OK;
}

static enum weir_result build(struct rig *rig, struct weir_error *error)
{
    uint64_t number = 0;
    char outside[64], inside[64];
    clock_random(&number, sizeof number); /* the name need only differ from that of another rig */
    snprintf(outside, sizeof outside, "inproc://weir-rig-%016llx-out", (unsigned long long)number);
    snprintf(inside, sizeof inside, "inproc://weir-rig-%016llx-in", (unsigned long long)number);
    struct transport_options options = {.run = number, .sockets = SOCKETS};
    enum weir_result result = transport_open(&options, &rig->transport, error);
    if (!result) {
        rig->tasked = true;
        result = task_init(&rig->task, &rig->run, rig->plan->task, error);
    }
    for (uint32_t i = 0; !result && i < rig->task.operators->node->state_count; i++)
        state_scribble(rig->task.operators->states[i], rig->options.filling);
    if (!result)
        result = take_part(rig, error);
    if (!result)
        result = wire_task(rig, outside, inside, error);
    return result ? result : make_neighbours(rig, error);
}

/* ------------------------------------------------------------------- the other side -- */

static void fail(struct rig *rig, const struct weir_error *error)
{
    if (!rig->failure.code)
        rig->failure = *error;
}

static void fail_memory(struct rig *rig, const char *what)
{
    struct weir_error error = {0};
    error_memory(&error, what, 0);
    fail(rig, &error);
}

static void command(struct rig *rig, enum message_kind kind, uint64_t id)
{
    struct message message = {.kind = kind, .epoch = rig->run.epoch, .id = id};
    if (!pipe_send(rig->into, &message))
        fail_memory(rig, "a command");
}

/* As the writer does: what it has is what comes back. */
static void keep_log(struct rig *rig, const struct message *message)
{
    const struct state_cut *cut = logs_of_payload(message->payload);
    uint32_t states = rig->task.operators->node->state_count;
    if (message->id != rig->round)
        return;
    bool room = rig->logs.count || logs_init(&rig->logs, NULL, states);
    for (uint32_t i = 0; room && i < cut->count; i++) {
        struct segment *copy = logs_copy(cut->segments[i], NULL);
        room = copy && logs_add(&rig->logs, (uint32_t)message->value, copy);
    }
    if (!room)
        fail_memory(rig, "a log of state");
}

static void keep_later(struct rig *rig, const struct message *message)
{
    if (message->id == rig->round && !saver_list_add(&rig->later, batch_share(message->payload, 1)))
        fail_memory(rig, "what is to be written later");
}

static void keep_part(struct rig *rig, const struct message *message)
{
    const struct batch *part = message->payload;
    blob_buffer_free(&rig->part, NULL);
    if (message->id != rig->round)
        return;
    rig->part.data = memory_take(NULL, part->size);
    if (!rig->part.data) {
        fail_memory(rig, "a snapshot");
        return;
    }
    memcpy(rig->part.data, part->data, part->size);
    rig->part.size = rig->part.capacity = part->size;
}

static void on_refused(struct rig *rig, const struct message *message)
{
    struct weir_error error = {0};
    error_set(&error, (enum weir_result)message->value, 0, "%s",
              message->payload ? (const char *)message->payload->data : "it can't save itself");
    fail(rig, &error);
}

static void on_verdict(struct rig *rig, unsigned verdict)
{
    if (verdict & ALIGNER_CUT) { /* R2 */
        rig->reached |= rig->collector.aligner.open == rig->round;
        rig->mark = rig->heard->now;
        aligner_cut(&rig->collector.aligner);
    } else if (verdict & ALIGNER_ERROR) {
        struct weir_error error = {0};
        error_set(&error, WEIR_PROTOCOL, 0, "the task's markers are out of order");
        fail(rig, &error);
    }
}

static void on_channel(struct rig *rig, const struct message *message)
{
    struct weir_error error = {0};
    unsigned verdict = ALIGNER_NONE;
    uint32_t inputs = rig->plan->input_count;
    if (message->kind == MESSAGE_CREDIT) {
        batch_release(message->payload);
        if (!outlet_credit(&rig->feeders[message->channel], 0, message->value, message->id))
            error_set(&error, WEIR_PROTOCOL, 0, "the task returns more credit than it was given");
    } else {
        (void)!gate_deliver(&rig->collector, message->channel - inputs, message, &verdict, &error);
        on_verdict(rig, verdict);
    }
    if (error.code)
        fail(rig, &error);
}

static void on_message(struct rig *rig, const struct message *message)
{
    switch (message->kind) {
    case MESSAGE_BATCH:
    case MESSAGE_MARKER:
    case MESSAGE_END:
    case MESSAGE_CREDIT:
        on_channel(rig, message);
        return;
    case MESSAGE_READY:
        rig->ready = true;
        break;
    case MESSAGE_LOG:
        keep_log(rig, message);
        break;
    case MESSAGE_LATER:
        keep_later(rig, message);
        break;
    case MESSAGE_PART:
        keep_part(rig, message);
        break;
    case MESSAGE_SEALED:
        rig->sealed |= message->id == rig->round;
        break;
    case MESSAGE_REFUSED:
        on_refused(rig, message);
        break;
    case MESSAGE_CONFIRMED:
        rig->confirmed = message->id;
        break;
    case MESSAGE_ENDED:
        rig->ended = true;
        break;
    default: /* FAILED: the task's own error says more */
        break;
    }
    batch_release(message->payload);
}

/* True: something came. */
static bool hear(struct rig *rig)
{
    struct message message;
    struct weir_error error = {0};
    bool heard = false;
    int status;
    while ((status = inbox_receive(rig->outside, &message, &error)) > 0) {
        on_message(rig, &message);
        heard = true;
    }
    if (status < 0)
        fail(rig, &error);
    return heard;
}

static void write_down(struct rig *rig, const struct gate_next *next)
{
    for (uint32_t i = 0; i < next->count; i++)
        if (!transcript_add(rig->heard, next->input, &rig->collector.records[i]))
            fail_memory(rig, "the output's transcript");
    gate_consumed(&rig->collector, next->input, next->count);
}

/* The collector reads one thing. True: there was one. */
static bool take(struct rig *rig)
{
    struct gate *gate = &rig->collector;
    struct gate_next next = gate_read(gate, GATE_SPAN);
    switch (next.what) {
    case GATE_NOTHING:
        return false;
    case GATE_RECORDS:
        write_down(rig, &next);
        break;
    case GATE_MARKER:
        on_verdict(rig, aligner_reached(&gate->aligner, next.input, next.id));
        break;
    case GATE_END:
        on_verdict(rig, aligner_end_reached(&gate->aligner, next.input));
        break;
    case GATE_TIME:
        transcript_watermark(rig->heard, next.input, gate->inputs[next.input].watermark);
        break;
    case GATE_BROKEN:
    case GATE_FAILED:
        fail_memory(rig, "a batch of output: it is not well-formed");
        break;
    }
    if (!gate_return_credits(gate))
        fail_memory(rig, "credit");
    return true;
}

/* ------------------------------------------------------------------------ moving -- */

static enum weir_result verdict(const struct rig *rig, struct weir_error *error)
{
    if (rig->task.failed) {
        if (error)
            *error = rig->task.error;
        return rig->task.error.code;
    }
    if (rig->failure.code && error)
        *error = rig->failure;
    return rig->failure.code;
}

/* What it waits for must come from outside: nothing is under way in here. */
static void await(struct rig *rig)
{
    const struct step *step = &rig->step;
    struct weir_error error = {0};
    if (step->fd < 0 && step->deadline_ns == INT64_MAX)
        error_set(&error, WEIR_TIMEOUT, 0,
                  "it stands still: it has not ended, and waits for nothing that could come");
    else if (++rig->idle_turns > IDLE_TURNS)
        error_set(&error, WEIR_TIMEOUT, 0, "it waits, and the clock stands still");
    if (error.code)
        fail(rig, &error);
    else
        inbox_wait(rig->task.inbox, step->fd,
                   step->deadline_ns < rig->patience_ns ? step->deadline_ns : rig->patience_ns);
}

static void check_patience(struct rig *rig, bool alive)
{
    int64_t now = clock_now_ns();
    struct weir_error error = {0};
    if (alive) {
        rig->patience_ns = now + PATIENCE_NS;
        rig->idle_turns = 0;
    } else if (now >= rig->patience_ns) {
        error_set(&error, WEIR_TIMEOUT, 0,
                  "it has not ended, and for %lld seconds it has neither sent nor taken anything",
                  PATIENCE_NS / 1000000000LL);
        fail(rig, &error);
    }
}

static void push_feeders(struct rig *rig)
{
    for (uint32_t i = 0; i < rig->plan->input_count; i++) {
        struct outlet *feeder = &rig->feeders[i];
        outlet_push(feeder);
        if (feeder->failed || feeder->refused)
            fail_memory(rig, "what the task is fed");
    }
}

/* One step of the task, and what follows from it outside. True: something was done. */
static bool turn(struct rig *rig)
{
    bool grudging = rig->options.manner.grudging;
    push_feeders(rig);
    rig->task.span_limit = rig->options.manner.span; /* not what the clock makes of it */
    rig->step = task_step(&rig->task);
    bool alive = hear(rig);
    while (!grudging && take(rig))
        alive = true;
    bool again = rig->step.what == STEP_AGAIN;
    if (grudging && !alive && !again)
        alive = take(rig);
    rig->turns += again;
    rig->rests = !alive && !again;
    check_patience(rig, alive);
    return !rig->rests;
}

static bool feeders_rest(const struct rig *rig)
{
    for (uint32_t i = 0; i < rig->plan->input_count; i++) {
        const struct outlet *feeder = &rig->feeders[i];
        if (feeder->waiting || feeder->open_count || feeder->channels[0].flying)
            return false;
    }
    return true;
}

static enum weir_result go_on(struct rig *rig, bool (*done)(const struct rig *rig),
                              struct weir_error *error)
{
    check_patience(rig, true);
    enum weir_result result = verdict(rig, error);
    while (!result && !done(rig)) {
        bool moved = turn(rig);
        result = verdict(rig, error);
        if (!result && !moved && !done(rig))
            await(rig);
    }
    return result;
}

static bool is_ready(const struct rig *rig)
{
    return rig->ready;
}

static bool is_settled(const struct rig *rig)
{
    return rig->rests && feeders_rest(rig);
}

static bool is_further(const struct rig *rig)
{
    return rig->ended || rig->turns > rig->target;
}

static bool is_complete(const struct rig *rig)
{
    return rig->sealed && rig->reached && rig->part.data;
}

static bool is_confirmed(const struct rig *rig)
{
    return rig->confirmed >= rig->target;
}

enum weir_result rig_open(struct rig *rig, const struct rig_plan *plan,
                          const struct rig_options *options, struct transcript *heard,
                          struct weir_error *error)
{
    memset(rig, 0, sizeof *rig);
    rig->plan = plan;
    rig->options = *options;
    rig->heard = heard;
    guard_init(&rig->guard, options->filling);
    make_run(rig);
    enum weir_result result = build(rig, error);
    if (!result)
        result = go_on(rig, is_ready, error);
    if (!result)
        command(rig, MESSAGE_GO, 0);
    return result;
}

enum weir_result rig_feed(struct rig *rig, const struct weir_torture_step *step,
                          struct weir_error *error)
{
    struct outlet *feeder = &rig->feeders[step->input];
    if (step->watermark)
        outlet_watermark(feeder, step->record.time);
    else if (!outlet_append(feeder, feeder->edges, &step->record))
        return error_memory(error, "a record", step->record.key.size + step->record.value.size);
    return WEIR_OK;
}

void rig_send(struct rig *rig)
{
    for (uint32_t i = 0; i < rig->plan->input_count; i++)
        outlet_flush(&rig->feeders[i]);
}

enum weir_result rig_settle(struct rig *rig, struct weir_error *error)
{
    rig_send(rig);
    rig->rests = false;
    return go_on(rig, is_settled, error);
}

enum weir_result rig_advance(struct rig *rig, struct weir_error *error)
{
    rig->target = rig->turns;
    return go_on(rig, is_further, error);
}

void rig_end(struct rig *rig)
{
    for (uint32_t i = 0; i < rig->plan->input_count; i++)
        outlet_end(&rig->feeders[i]);
}

void rig_announce(struct rig *rig, uint64_t id)
{
    assert(id > rig->round); /* R1 */
    rig->round = id;
    rig->sealed = rig->reached = false;
    blob_buffer_free(&rig->part, NULL);
    logs_free(&rig->logs);
    saver_list_drop(&rig->later);
    on_verdict(rig, aligner_announced(&rig->collector.aligner, id));
    command(rig, MESSAGE_ANNOUNCE, id);
    for (uint32_t i = 0; i < rig->plan->input_count; i++)
        outlet_marker(&rig->feeders[i], id, NULL);
}

enum weir_result rig_complete(struct rig *rig, struct weir_error *error)
{
    return go_on(rig, is_complete, error);
}

static unsigned char *grow(void *context, unsigned char *data, size_t size, size_t capacity)
{
    struct blob_buffer *part = context;
    (void)size;
    data = memory_resize(NULL, data, part->capacity, capacity);
    if (data)
        *part = (struct blob_buffer){.data = data, .size = part->size, .capacity = capacity};
    return data;
}

enum weir_result rig_write_later(struct saver_list *later, struct blob_buffer *part,
                                 struct weir_error *error)
{
    struct snapshot_writer whole = {.grow = grow,
                                    .context = part,
                                    .data = part->data,
                                    .size = part->size,
                                    .capacity = part->capacity};
    enum weir_result result = WEIR_OK;
    for (uint32_t i = 0; !result && i < later->count; i++)
        result = saver_write(later->items[i], &whole, error);
    saver_list_drop(later);
    part->size = whole.size;
    return result;
}

void rig_abort(struct rig *rig)
{
    saver_list_drop(&rig->later);
    for (uint32_t i = 0; i < rig->plan->input_count; i++)
        outlet_abort(&rig->feeders[i]);
    command(rig, MESSAGE_ABORT, rig->round);
    on_verdict(rig, aligner_abort(&rig->collector.aligner, rig->round));
}

enum weir_result rig_commit(struct rig *rig, uint64_t id, struct weir_error *error)
{
    command(rig, MESSAGE_COMMITTED, id);
    rig->target = id;
    return go_on(rig, is_confirmed, error);
}

/* ------------------------------------------------------------------- taking apart -- */

static void quit(struct rig *rig)
{
    struct message message = {.kind = MESSAGE_QUIT, .epoch = rig->run.epoch};
    if (!rig->into || !pipe_send(rig->into, &message))
        return;
    while (task_step(&rig->task).what != STEP_DONE)
        ;
    hear(rig); /* what it holds are batches of the task's pools */
}

enum weir_result rig_close(struct rig *rig, struct weir_error *error)
{
    if (!rig->plan)
        return WEIR_OK;
    quit(rig);
    if (rig->tasked)
        task_free(&rig->task);
    for (uint32_t i = 0; rig->feeders && i < rig->plan->input_count; i++)
        outlet_free(&rig->feeders[i]);
    gate_free(&rig->collector);
    pipe_close(&rig->into);
    if (rig->outside)
        inbox_close(&rig->outside);
    transport_close(&rig->transport);
    for (uint32_t i = 0; rig->feeders && i < rig->plan->input_count; i++)
        batch_pool_free(&rig->feeders[i].pool);
    if (rig->tasked) {
        batch_pool_free(&rig->task.outlet.pool);
        batch_pool_free(&rig->task.snapshots);
    }
    memory_release(NULL, rig->feeders);
    blob_buffer_free(&rig->part, NULL);
    logs_free(&rig->logs);
    saver_list_free(&rig->later);
    rig->plan = NULL;
    size_t blocks = atomic_load(&rig->guard.blocks), bytes = atomic_load(&rig->guard.bytes);
    if (!blocks)
        return WEIR_OK;
    return error_set(error, WEIR_FAILED, 0,
                     "close has not given back all memory of weir_memory: %zu bytes in %zu blocks",
                     bytes, blocks);
}
