/* links: sim */
/* SPDX-License-Identifier: Apache-2.0
 *
 * The writer alone, on the simulated disk: W1-W4. The test plays three tasks and the coordinator,
 * in one pipe: of a job, numbers -> pass (two subtasks), what comes late comes at any time.
 */
#include "checkpoint_sample.h"

#include <errno.h>
#include <stdio.h>

#include "batch.h"
#include "content.h"
#include "exercised.h"
#include "explore.h"
#include "files.h"
#include "graph.h"
#include "logs.h"
#include "round.h"
#include "sim.h"
#include "snapshot.h"
#include "state.h"
#include "writer.h"

static struct {
    struct weir_graph *graph;
    struct run run;
    struct manifest_graph description;
    struct store *store;
    struct writer writer;
    struct transport *transport;
    struct inbox *answers;
    struct pipe *there;
    _Atomic uint64_t recorded, sealed;
    char said[400]; /* "claimed 1, durable 1: WEIR_IO, " */
} bench;

/* ---- the job ---- */

static enum weir_progress never_polled(void *self, struct weir_context *context)
{
    (void)self;
    (void)context;
    return WEIR_END;
}

static enum weir_result never_given(struct weir_context *context, unsigned input,
                                    const struct weir_record *record, const void *config)
{
    (void)context;
    (void)input;
    (void)record;
    (void)config;
    return WEIR_OK;
}

static void make_graph(void)
{
    static const struct weir_operator numbers = {WEIR_SIZED(struct weir_operator),
                                                 .kind = "numbers", .poll = never_polled};
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options), .name = "numbers",
                                        .table = &numbers};
    struct weir_error error;
    bench.graph = weir_graph_new(NULL);
    weir_node from = weir_graph_add(bench.graph, &options);
    options = (struct weir_node_options){WEIR_SIZED(struct weir_node_options), .name = "pass",
                                         .function = never_given, .parallelism = 2};
    weir_connect(bench.graph, from, weir_graph_add(bench.graph, &options), WEIR_SPREAD);
    cr_assert_eq(plan_make(bench.graph, 1, &bench.run.plan, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(graph_describe(bench.graph, 1, 128, &bench.description, &error), WEIR_OK);
    cr_assert(bench.run.plan.task_count == 3 && bench.run.plan.channel_count == 2);
}

static void make_bench(void)
{
    struct transport_options options = {.run = 1, .sockets = 8};
    struct weir_error error;
    make_graph();
    bench.run.job_name = "job";
    bench.run.epoch = store_epoch(bench.store);
    bench.run.durable = true;
    bench.run.recorded = &bench.recorded;
    bench.run.sealed = &bench.sealed;
    cr_assert_eq(
        writer_init(&bench.writer, &bench.run, bench.store, &bench.description, 10, &error),
        WEIR_OK);
    cr_assert_eq(transport_open(&options, &bench.transport, &error), WEIR_OK);
    cr_assert_eq(inbox_open(bench.transport, "inproc://w", &bench.writer.inbox, &error), WEIR_OK);
    cr_assert_eq(inbox_open(bench.transport, "inproc://c", &bench.answers, &error), WEIR_OK);
    cr_assert_eq(pipe_open(bench.transport, "inproc://c", &bench.writer.coordinator, &error),
                 WEIR_OK);
    cr_assert_eq(pipe_open(bench.transport, "inproc://w", &bench.there, &error), WEIR_OK);
}

static void begin(void)
{
    memset(&bench, 0, sizeof bench);
    sim_disk_wipe();
    sim_start(1);
    bench.store = sample_store("/store");
    make_bench();
}

/* Nothing is held any more, in memory or in the budgets. */
static void end(void)
{
    writer_free(&bench.writer);
    pipe_close(&bench.there);
    inbox_close(&bench.answers);
    transport_close(&bench.transport);
    graph_release(bench.graph, &bench.description);
    plan_free(&bench.run.plan);
    weir_graph_free(&bench.graph);
    store_close(&bench.store);
    cr_expect_eq(bench.recorded, 0, "%d bytes", (int)bench.recorded);
    cr_expect_eq(bench.sealed, 0, "%d bytes", (int)bench.sealed);
    cr_assert_eq(sim_end(), 0);
}

/* ---- what it is told, and answers ---- */

static void note_answers(void)
{
    static const char *const names[] = {
        [MESSAGE_CLAIMED] = "claimed", [MESSAGE_DURABLE] = "durable", [MESSAGE_DONE] = "done"};
    struct message message;
    struct weir_error error;
    while (inbox_receive(bench.answers, &message, &error) > 0) {
        char *at = bench.said + strlen(bench.said);
        size_t room = sizeof bench.said - strlen(bench.said);
        enum weir_result result = (enum weir_result)message.value;
        snprintf(at, room, "%s %d%s%s, ", names[message.kind], (int)message.id, result ? ": " : "",
                 result ? weir_result_name(result) : "");
        cr_assert_eq(message.epoch, bench.run.epoch);
        batch_release(message.payload);
    }
}

static void tell(struct message message)
{
    message.epoch = bench.run.epoch;
    cr_assert(pipe_send(bench.there, &message));
    while (writer_step(&bench.writer).what == STEP_AGAIN)
        ;
    note_answers();
}

/* What was answered since the last look. */
static void says(const char *answers, int line)
{
    cr_expect_str_eq(bench.said, answers, "line %d: \"%s\", not \"%s\"", line, bench.said, answers);
    bench.said[0] = '\0';
}
#define SAYS(answers) says(answers, __LINE__)

static unsigned char *grow(void *context, unsigned char *data, size_t size, size_t capacity)
{
    struct batch **batch = context;
    (void)data;
    (void)size;
    cr_assert_null(*batch, "a part of %d bytes", (int)capacity);
    *batch = batch_alone(NULL, capacity + 400);
    return (*batch)->data;
}

static struct batch *part_of(uint32_t instance)
{
    struct batch *batch = NULL;
    struct snapshot_writer writer = {.grow = grow, .context = &batch};
    writer.data = grow(&batch, NULL, 0, 0);
    writer.capacity = batch->capacity;
    snapshot_begin(&writer, SNAPSHOT_TASK, instance);
    snapshot_u32(&writer, instance > 0);
    snapshot_u32(&writer, instance == 2);
    snapshot_u32(&writer, 1);
    snapshot_u32(&writer, 0);
    snapshot_u64(&writer, 0);
    snapshot_u64(&writer, 0);
    snapshot_text(&writer, "");
    snapshot_end(&writer);
    batch->size = writer.size;
    bench.sealed += content_copied(batch);
    return batch;
}

static struct batch *records(void)
{
    struct batch *batch = batch_alone(NULL, 64);
    memset(batch->data, 0, 64);
    batch->size = 64;
    batch->count = 8;
    bench.recorded += content_weight(batch);
    return batch;
}

/* All that tasks say of a round: the first step claims it. Two batches are in flight, on the
 * channel to the second subtask of pass: one at its reader, one at its writer. */
enum { STEPS = 9 };

static void step(uint64_t id, uint32_t number)
{
    switch (number) {
    case 0:
        tell((struct message){.kind = MESSAGE_CLAIM, .id = id});
        break;
    case 1:
        tell((struct message){
            .kind = MESSAGE_CONTENT, .id = id, .channel = 1, .count = 1, .payload = records()});
        break;
    case 2:
        tell((struct message){
            .kind = MESSAGE_CONTENT, .id = id, .channel = 1, .sequence = 2, .payload = records()});
        break;
    case 3:
    case 4:
    case 5:
        tell((struct message){
            .kind = MESSAGE_PART, .id = id, .channel = number - 3, .payload = part_of(number - 3)});
        break;
    default:
        tell((struct message){.kind = MESSAGE_RECORDED,
                              .id = id,
                              .channel = number - 6,
                              .value = number != 7}); /* pass's first subtask has none */
        break;
    }
}

static void steps(uint64_t id, uint32_t first, uint32_t last)
{
    for (; first <= last; first++)
        step(id, first);
}

static void finish(enum message_kind kind, uint64_t id)
{
    tell((struct message){.kind = kind, .id = id, .value = ROUND_REQUEST});
}

/* ---- what lies in the store ---- */

static size_t names_in(const char *folder)
{
    return files_find(files_find(files_root(), "store"), folder)->names.count;
}

/* Checkpoint `id` and no other, with nothing beside it but the folder of the highest id. */
static void store_holds(uint64_t id, bool higher)
{
    struct weir_error error;
    uint64_t *ids;
    size_t count;
    cr_assert_eq(store_list(bench.store, &ids, &count, &error), WEIR_OK);
    cr_expect(count == 1 && ids[0] == id, "%d checkpoints", (int)count);
    memory_release(NULL, ids);
    cr_expect_eq(store_verify(bench.store, id, &error), WEIR_OK, "%s", error.text);
    cr_expect_eq(names_in("data"), 1);
    cr_expect_eq(names_in("checkpoints"), 1 + higher);
}

/* ---- the tests ---- */

Test(writer, a_round_is_durable_when_all_has_come_and_done_when_it_is_committed)
{
    begin();
    steps(1, 0, STEPS - 2);
    SAYS("claimed 1, ");
    step(1, STEPS - 1);
    SAYS("durable 1, ");
    finish(MESSAGE_COMMIT, 1);
    SAYS("done 1, ");
    store_holds(1, false);
    end();
}

/* Its abort comes after any step, and all that is left comes after it. */
Test(writer, what_comes_for_an_aborted_round_is_dropped_and_the_next_one_is_taken)
{
    for (uint32_t after = 0; after < STEPS; after++) {
        begin();
        steps(1, 0, after);
        finish(MESSAGE_ABORT, 1);
        cr_expect_eq(names_in("data"), 0, "after %u: files of an aborted round", after);
        bench.said[0] = '\0';
        steps(1, after + 1, STEPS - 1);
        finish(MESSAGE_COMMIT, 1);
        finish(MESSAGE_ABORT, 1);
        SAYS("");
        cr_expect_eq(bench.recorded + bench.sealed, 0, "after %u", after);
        cr_expect_eq(names_in("data"), 0, "after %u: files made after it", after);
        steps(2, 0, STEPS - 1);
        finish(MESSAGE_COMMIT, 2);
        SAYS("claimed 2, durable 2, done 2, ");
        store_holds(2, false);
        end();
    }
}

/* The same beside a round that goes its way. */
Test(writer, an_abort_takes_nothing_from_another_round)
{
    for (uint32_t after = 0; after < STEPS; after++) {
        begin();
        step(1, 0);
        steps(2, 0, after);
        steps(1, 1, 4);
        finish(MESSAGE_ABORT, 2);
        steps(2, after + 1, STEPS - 1);
        bench.said[0] = '\0';
        steps(1, 5, STEPS - 1);
        finish(MESSAGE_COMMIT, 1);
        SAYS("durable 1, done 1, ");
        store_holds(1, true);
        end();
    }
}

Test(writer, a_round_that_lacks_any_part_is_not_durable_and_not_committed)
{
    for (uint32_t without = 3; without < STEPS; without++) {
        begin();
        steps(1, 0, without - 1);
        steps(1, without + 1, STEPS - 1);
        finish(MESSAGE_COMMIT, 1);
        SAYS("claimed 1, ");
        finish(MESSAGE_COMMIT, 7); /* nobody has claimed it */
        SAYS("");
        finish(MESSAGE_ABORT, 1);
        cr_expect_eq(names_in("data"), 0);
        end();
    }
}

/* None is nothing; but what was announced has to come. */
Test(writer, records_that_were_lost_on_their_way_are_trouble)
{
    for (uint32_t without = 1; without <= 2; without++) {
        begin();
        step(1, 0);
        step(1, 3 - without);
        steps(1, 3, STEPS - 1);
        SAYS("claimed 1, durable 1: WEIR_FAILED, ");
        finish(MESSAGE_COMMIT, 1);
        SAYS("");
        finish(MESSAGE_ABORT, 1);
        end();
    }
}

/* W2, S14: every file call of a round fails in its turn. The round beside it, and the one after it,
 * do not notice. */
Test(writer, a_call_that_fails_is_told_once_and_harms_its_round_alone)
{
    uint64_t calls = 0, reached = 0;
    for (bool failed = true; failed; calls++) {
        begin();
        step(1, 0);
        SAYS("claimed 1, ");
        sim_disk_fail(calls + 1, EIO);
        steps(2, 0, STEPS - 1);
        failed = sim_disk_failed();
        sim_disk_fail(0, 0);
        unsigned troubles = 0;
        for (const char *at = bench.said; (at = strstr(at, ": WEIR_IO, ")); at++)
            troubles++;
        cr_expect_eq(troubles, failed, "call %d: %s", (int)calls + 1, bench.said);
        reached += failed;
        bench.said[0] = '\0';
        finish(MESSAGE_ABORT, 2);
        steps(1, 1, STEPS - 1);
        finish(MESSAGE_COMMIT, 1);
        steps(3, 0, STEPS - 1);
        finish(MESSAGE_COMMIT, 3);
        SAYS("durable 1, done 1, claimed 3, durable 3, done 3, ");
        end();
    }
    exercised(reached);
    cr_expect_gt(reached, 8);
}

/* A lack of memory that outlasts many rounds: nobody waits for an answer to one that was given up,
 * so there is room for those of the next. */
Test(writer, answers_that_could_not_be_sent_go_with_their_round)
{
    begin();
    for (uint64_t id = 1; id <= WRITER_ANSWERS + 1; id++) {
        struct message claim = {.kind = MESSAGE_CLAIM, .epoch = bench.run.epoch, .id = id};
        struct message abort = {.kind = MESSAGE_ABORT, .epoch = bench.run.epoch, .id = id};
        cr_assert(pipe_send(bench.there, &claim) && pipe_send(bench.there, &abort));
        sim_memory_fail(1, UINT32_MAX);
        while (writer_step(&bench.writer).what == STEP_AGAIN)
            ;
        cr_assert(sim_memory_failed());
        sim_memory_fail(0, 0);
    }
    note_answers();
    SAYS("");
    steps(100, 0, STEPS - 1);
    finish(MESSAGE_COMMIT, 100);
    SAYS("claimed 100, durable 100, done 100, ");
    end();
}

Test(writer, rounds_that_were_open_at_the_end_leave_nothing)
{
    for (uint32_t after = 0; after < STEPS; after++) {
        begin();
        steps(1, 0, STEPS - 1);
        finish(MESSAGE_COMMIT, 1);
        steps(2, 0, after);
        finish(MESSAGE_QUIT, 0);
        store_holds(1, true);
        end();
    }
}

/* ---- state ---- */

#define STATES 10

static struct state *states[STATES]; /* of instance 1 */

static void make_states(void)
{
    for (uint32_t i = 0; i < STATES; i++)
        cr_assert_not_null(states[i] = state_new(NULL, 0));
}

static void free_states(void)
{
    for (uint32_t i = 0; i < STATES; i++)
        state_free(&states[i]);
}

/* A value that LZ4 can't make smaller. */
static void put_value(uint32_t state, uint64_t key, size_t size)
{
    static uint64_t draw = 1;
    uint64_t words[2048];
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        words[i] = draw = draw * 0x5851f42d4c957f2du + 0x14057b7ef767814fu;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        words[i] ^= words[i] >> 33;
    const struct weir_bytes bytes = {&key, sizeof key}, value = {words, size};
    cr_assert_eq(state_put(states[state], bytes, state_hash(bytes), value), WEIR_OK);
}

/* All steps of a round up to its commit, with the cuts of all states. */
static void round_with_states(uint64_t id, enum message_kind end)
{
    steps(id, 0, 3);
    for (uint32_t i = 0; i < STATES; i++) {
        struct state_cut cut;
        cr_assert_eq(state_cut(states[i], &cut), WEIR_OK);
        struct batch *payload = logs_payload(&cut, NULL);
        cr_assert_not_null(payload);
        tell((struct message){
            .kind = MESSAGE_LOG, .id = id, .channel = 1, .value = i, .payload = payload});
    }
    steps(id, 4, STEPS - 1);
    finish(end, id);
}

/* Does checkpoint `id` name only what it has written? Its files must be sound. */
static bool is_full(uint64_t id)
{
    struct manifest manifest;
    struct weir_error error;
    cr_assert_eq(store_verify(bench.store, id, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(store_manifest(bench.store, id, &manifest, &error), WEIR_OK, "%s", error.text);
    bool full = manifest_is_full(&manifest);
    cr_assert_gt(manifest.tasks[1].state_count, 0);
    manifest_free(&manifest);
    return full;
}

static void begin_with_states(uint32_t full_every, bool began_full)
{
    begin();
    bench.writer.retain = 1;
    writer_keep_full(&bench.writer, full_every, began_full);
    make_states();
}

static void end_with_states(void)
{
    free_states();
    writer_forget(&bench.writer);
    end();
}

Test(writer, every_so_manyth_checkpoint_is_full)
{
    for (uint32_t every = 1; every <= 4; every++) {
        begin_with_states(every, false);
        uint32_t since = UINT32_MAX - 1; /* the first is one */
        for (uint64_t id = 1; id <= 12; id++) {
            put_value((uint32_t)id % STATES, id, 100);
            bool aborted = id == 5 || id == 6;
            round_with_states(id, aborted ? MESSAGE_ABORT : MESSAGE_COMMIT);
            if (aborted)
                continue;
            bool due = since + 1 >= every;
            cr_assert_eq(is_full(id), due, "%d of %d", (int)id, (int)every);
            since = due ? 0 : since + 1;
        }
        end_with_states();
    }
    begin_with_states(3, true); /* the one before was */
    for (uint64_t id = 1; id <= 7; id++) {
        put_value(0, id, 100);
        round_with_states(id, MESSAGE_COMMIT);
        cr_assert_eq(is_full(id), id % 3 == 0 || id == 1, "%d", (int)id);
    }
    end_with_states();
}

static uint64_t bytes_in_data(void)
{
    const struct file_node *data = files_find(files_find(files_root(), "store"), "data");
    uint64_t bytes = 0;
    for (size_t i = 0; i < data->names.count; i++)
        bytes += data->names.list[i].node->cached.size;
    return bytes;
}

/* Nine states are written anew in each round, and one gains a small segment that lives: in each
 * container, a little is needed for ever. */
Test(writer, a_store_is_not_larger_than_twice_what_lives_whatever_lives_for_long)
{
    uint64_t most = 0, ratio = 0;
    begin_with_states(0, false);
    for (uint64_t id = 1; id <= 400; id++) {
        for (uint32_t i = 0; i + 1 < STATES; i++)
            put_value(i, 0, 4000);
        put_value(STATES - 1, id, 4000);
        round_with_states(id, MESSAGE_COMMIT);
        uint64_t live = (id + STATES - 1) * 4000, bytes = bytes_in_data();
        cr_assert_leq(bytes, 2 * live + 2 * STORE_WASTE_FROM, "round %d: %d bytes for %d", (int)id,
                      (int)bytes, (int)live);
        most = bytes > most ? bytes : most;
        ratio = id == 400 ? 100 * bytes / live : 0;
    }
    printf("at the end %d percent of what lives, %d bytes at most; %d were written\n", (int)ratio,
           (int)most, (int)(400 * STATES * 4000));
    end_with_states();
}

/* ---- killed at every file call ---- */

/* Three states of instance 1: one small enough that what is replaced of it soon is too much and is
 * compacted, one whose first segment needs a list, and one that gains a key now and then. */
static const struct {
    uint32_t keys, changed;
    size_t size;
} KINDS[] = {{120, 70, 4000}, {40, 4, 40000}, {1, 1, 100}};
#define KIND_COUNT 3u
#define KEY_MOST 120u
#define ROUNDS 9u

/* What a kill fell into. */
enum moment { MOMENT_SHARED, MOMENT_ABORTED, MOMENT_COMPACTED, MOMENTS };

static struct {
    uint64_t values[KIND_COUNT][KEY_MOST]; /* as they are; 0: none */
    uint64_t sums[64];                     /* of all values, at the cut of each round */
    uint64_t told;                         /* newest checkpoint that was told of */
    uint64_t kill;                         /* at this file call of the life; 0: never */
    uint64_t draw;
    unsigned kills[MOMENTS];
    struct segment *before[KIND_COUNT][80]; /* the last cut's, to be compared and not looked at */
    uint32_t before_count[KIND_COUNT];
} twin;

static uint64_t mix_value(uint32_t kind, uint64_t key, uint64_t value)
{
    return explore_mix(explore_mix(kind * 1000 + key) ^ value);
}

static void change_values(void)
{
    for (uint32_t kind = 0; kind < KIND_COUNT; kind++) {
        for (uint32_t i = 0; i < KINDS[kind].keys; i++) {
            uint64_t words[5000], key = i;
            const struct weir_bytes bytes = {&key, sizeof key};
            uint64_t value = explore_mix(++twin.draw);
            bool chosen = value % KINDS[kind].keys < KINDS[kind].changed;
            if (twin.values[kind][i] != 0 && !chosen)
                continue;
            for (size_t w = 0; w < KINDS[kind].size / 8; w++)
                words[w] = value;
            twin.values[kind][i] = value;
            cr_assert_eq(state_put(states[kind], bytes, state_hash(bytes),
                                   (struct weir_bytes){words, KINDS[kind].size}),
                         WEIR_OK);
        }
    }
}

static uint64_t sum_of_twin(void)
{
    uint64_t sum = 0;
    for (uint32_t kind = 0; kind < KIND_COUNT; kind++)
        for (uint32_t i = 0; i < KINDS[kind].keys; i++)
            if (twin.values[kind][i] != 0)
                sum += mix_value(kind, i, twin.values[kind][i]);
    return sum;
}

/* Of a restored state; the twin's values become its own. */
static uint64_t sum_of_state(uint32_t kind)
{
    struct weir_bytes key, value;
    uint64_t sum = 0, number, word;
    memset(twin.values[kind], 0, sizeof twin.values[kind]);
    state_scan_rewind(states[kind]);
    while (state_scan_next(states[kind], &key, &value) == WEIR_OK) {
        memcpy(&number, key.data, sizeof number);
        memcpy(&word, value.data, sizeof word);
        cr_assert(number < KEY_MOST && value.size == KINDS[kind].size);
        twin.values[kind][number] = word;
        sum += mix_value(kind, number, word);
    }
    state_scan_rewind(states[kind]);
    return sum;
}

/* Did the kill come since `before` calls? Then it fell into these moments. */
static bool note_kill(uint64_t before, const bool moments[MOMENTS])
{
    if (twin.kill == 0 || sim_disk_calls() < twin.kill || before >= twin.kill)
        return false;
    for (int i = 0; i < MOMENTS; i++)
        twin.kills[i] += moments[i];
    return true;
}

/* Has the log a segment no longer that it had at the last cut? */
static bool is_compacted(uint32_t kind, const struct state_cut *cut)
{
    bool gone = false;
    for (uint32_t i = 0; i < twin.before_count[kind]; i++) {
        bool there = false;
        for (uint32_t k = 0; k < cut->count; k++)
            there |= cut->segments[k] == twin.before[kind][i];
        gone |= !there;
    }
    cr_assert_leq(cut->count, 80);
    twin.before_count[kind] = cut->count;
    for (uint32_t k = 0; k < cut->count; k++)
        twin.before[kind][k] = cut->segments[k];
    return gone;
}

static bool cut_all(uint64_t id)
{
    bool compacted = false;
    twin.sums[id] = sum_of_twin();
    for (uint32_t kind = 0; kind < KIND_COUNT; kind++) {
        struct state_cut cut;
        cr_assert_eq(state_cut(states[kind], &cut), WEIR_OK);
        compacted |= is_compacted(kind, &cut);
        struct batch *payload = logs_payload(&cut, NULL);
        cr_assert_not_null(payload);
        tell((struct message){
            .kind = MESSAGE_LOG, .id = id, .channel = 1, .value = kind, .payload = payload});
    }
    return compacted;
}

/* False: the process is dead. */
static bool live_round(uint64_t id, bool aborted)
{
    bool moments[MOMENTS] = {[MOMENT_ABORTED] = aborted};
    change_values();
    for (uint32_t i = 0; i < STEPS; i++) {
        uint64_t before = sim_disk_calls();
        if (i == 4)
            moments[MOMENT_COMPACTED] = cut_all(id);
        moments[MOMENT_SHARED] = i == 4; /* the part, and before it what the logs have */
        step(id, i);
        if (note_kill(before, moments))
            return false;
    }
    moments[MOMENT_SHARED] = false;
    uint64_t before = sim_disk_calls();
    bench.said[0] = '\0';
    finish(aborted ? MESSAGE_ABORT : MESSAGE_COMMIT, id);
    char told[40];
    snprintf(told, sizeof told, "done %d, ", (int)id);
    if (strcmp(bench.said, told) == 0)
        twin.told = id;
    return !note_kill(before, moments);
}

static void restore_segment(const struct manifest *manifest, uint32_t index)
{
    const struct state_range all = {0, 128, 128};
    const struct manifest_segment *place = &manifest->tasks[1].state[index];
    struct blob_buffer stored = {0};
    struct manifest_blob *blobs;
    struct weir_error error;
    struct segment *segment = segment_new(NULL);
    cr_assert_eq(store_list_blobs(bench.store, manifest, 1, index, &blobs, &error), WEIR_OK, "%s",
                 error.text);
    for (uint32_t i = 0; i < place->blob_count; i++) {
        struct blob_buffer raw = {0};
        cr_assert_eq(store_fetch(bench.store, manifest, 1, &blobs[i], &stored, &raw, &error),
                     WEIR_OK, "%s", error.text);
        cr_assert(segment_restore(segment, raw.data, raw.size, raw.capacity, blobs[i].first,
                                  blobs[i].last));
    }
    memory_release(NULL, blobs);
    blob_buffer_free(&stored, NULL);
    writer_adopt(&bench.writer, segment, place);
    cr_assert_eq(state_load_segment(states[place->state], segment, &all, NULL, &error), WEIR_OK,
                 "%s", error.text);
}

/* Every state has all of its keys once it has any. */
static void restore_states(const struct manifest *manifest)
{
    struct weir_error error;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < manifest->tasks[1].state_count; i++)
        restore_segment(manifest, i);
    for (uint32_t kind = 0; kind < KIND_COUNT; kind++) {
        unsigned char body[64];
        struct snapshot_writer writer = {.data = body, .capacity = sizeof body};
        state_save(states[kind], &writer); /* as of an empty one, but for the keys */
        snapshot_store_u64(body, KINDS[kind].keys);
        struct snapshot_section section = {.body = body, .left = writer.size};
        cr_assert_eq(state_load(states[kind], &section, NULL, &error), WEIR_OK, "%s", error.text);
        sum += sum_of_state(kind);
    }
    cr_assert_eq(sum, twin.sums[manifest->id], "checkpoint %d is exact", (int)manifest->id);
}

static void add_name(uint64_t *names, size_t *count, uint32_t epoch, uint64_t number)
{
    uint64_t name = (uint64_t)epoch << 40 | number;
    size_t at = 0;
    while (at < *count && names[at] != name)
        at++;
    cr_assert_lt(at, 400);
    names[at] = name;
    *count += at == *count;
}

/* All that lies in data/ is named by a checkpoint. */
static void expect_no_leftovers(void)
{
    uint64_t names[400], *ids;
    size_t count = 0, checkpoints;
    struct weir_error error;
    cr_assert_eq(store_list(bench.store, &ids, &checkpoints, &error), WEIR_OK);
    for (size_t c = 0; c < checkpoints; c++) {
        struct manifest manifest;
        cr_assert_eq(store_manifest(bench.store, ids[c], &manifest, &error), WEIR_OK);
        for (uint32_t i = 0; i < manifest.task_count; i++) {
            const struct manifest_task *task = &manifest.tasks[i];
            add_name(names, &count, task->part.file_epoch, task->part.file_number);
            for (uint32_t k = 0; k < task->inflight_count; k++)
                add_name(names, &count, task->inflight[k].file_epoch,
                         task->inflight[k].file_number);
            for (uint32_t k = 0; k < task->state_count; k++)
                for (uint64_t n = task->state[k].from_number; n <= task->state[k].place.file_number;
                     n++)
                    add_name(names, &count, task->state[k].place.file_epoch, n);
        }
        manifest_free(&manifest);
    }
    memory_release(NULL, ids);
    cr_assert_eq(names_in("data"), count, "%d files, %d named", (int)names_in("data"), (int)count);
}

/* Opens, goes on from the newest checkpoint, and sweeps. False: the process died of it. */
static bool start_life(uint64_t seed)
{
    struct store_options options;
    struct weir_error error;
    struct manifest manifest = {0};
    memset(&bench, 0, sizeof bench);
    memset(&twin.values, 0, sizeof twin.values);
    memset(&twin.before_count, 0, sizeof twin.before_count);
    sim_start(seed);
    if (twin.kill > 0)
        sim_disk_kill(twin.kill);
    sample_options(&options, "/store");
    if (store_open(&options, &bench.store, &error) != WEIR_OK)
        return false;
    make_bench();
    bench.writer.retain = 2;
    make_states();
    enum weir_result result = store_recover(bench.store, 0, &manifest, &error);
    if (result == WEIR_OK) {
        cr_assert_geq(manifest.id, twin.told, "what was told of is there");
        if (twin.kill == 0)
            restore_states(&manifest);
    } else if (twin.kill == 0) {
        cr_assert(result == WEIR_NOT_FOUND && twin.told == 0, "%s", error.text);
    }
    manifest_free(&manifest);
    return store_sweep(bench.store, &error) == WEIR_OK || twin.kill > 0;
}

static void end_life(void)
{
    if (bench.store != NULL) {
        free_states();
        for (uint64_t id = 0; id < STORE_ROUNDS; id++)
            if (bench.writer.rounds[id].id != 0)
                finish(MESSAGE_ABORT, bench.writer.rounds[id].id);
        bench.writer.store = NULL; /* holds end with the process */
        writer_forget(&bench.writer);
        writer_free(&bench.writer);
        pipe_close(&bench.there);
        inbox_close(&bench.answers);
        transport_close(&bench.transport);
        graph_release(bench.graph, &bench.description);
        plan_free(&bench.run.plan);
        weir_graph_free(&bench.graph);
        store_close(&bench.store);
    }
    cr_assert_eq(sim_end(), 0);
    sim_disk_release();
}

/* One run of some rounds, killed at file call `kill`; then another, which must be exact. False: the
 * call was not reached. */
static bool two_lives(uint64_t kill)
{
    memset(&twin.sums, 0, sizeof twin.sums);
    twin.told = 0;
    twin.draw = 1;
    twin.kill = kill;
    sim_disk_wipe();
    bool going = start_life(1);
    for (uint64_t n = 0; going && n < ROUNDS; n++)
        going = live_round(store_next_id(bench.store), n % 3 == 2);
    bool reached = sim_disk_calls() >= kill;
    end_life();

    twin.kill = 0;
    cr_assert(start_life(2));
    expect_no_leftovers();
    for (uint64_t n = 0; n < 2; n++)
        cr_assert(live_round(store_next_id(bench.store), false));
    expect_no_leftovers();
    end_life();
    cr_assert(start_life(3)); /* and once more, from what these two have written */
    expect_no_leftovers();
    end_life();
    return reached;
}

Test(writer, killed_at_any_file_call_it_goes_on_exactly_and_leaves_nothing_behind)
{
    uint64_t kill = 1, stride = explore_share() > 1 ? 5 : 1;
    memset(&twin, 0, sizeof twin);
    while (two_lives(kill))
        kill += stride;
    printf("%d kills: %u while shared blobs were written, %u in rounds that were aborted, %u in "
           "rounds after a compaction\n",
           (int)(kill / stride), twin.kills[MOMENT_SHARED], twin.kills[MOMENT_ABORTED],
           twin.kills[MOMENT_COMPACTED]);
    exercised(kill / stride);
    for (int i = 0; i < MOMENTS; i++)
        cr_assert_gt(twin.kills[i], 3, "moment %d", i);
}
