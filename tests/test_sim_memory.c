/* links: sim sim_job sim_damage sim_plan sim_graph sim_operators sim_world */
/* SPDX-License-Identifier: Apache-2.0
 *
 * Each allocation of weir's own fails, one after the other, alone and with those behind it: in
 * whole simulated jobs - at their first start, after a death, with another parallelism, with
 * savepoints and dead letters under way, with state that leaves memory - and while graphs are built
 * and laid out, checkpoints laid onto them, stores read. It is an error, never a crash, and
 * nothing is left behind; and the job that is started again afterwards is exact.
 *
 *   WEIR_FULL=1   each one of them, else a part, always the same
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "exercised.h"
#include "explore.h"
#include "sim_graph.h"
#include "sim_job.h"
#include "weir_checkpoint.h"

#define MS INT64_C(1000000)
#define PART 149 /* one allocation in so many, unless all are wanted */

static uint64_t stride(void)
{
    return explore_full() ? 1 : PART * (explore_share() > 1 ? 5 : 1);
}

/* ---- a crash says where ---- */

static char place[200];

static void on_crash(int signal_number)
{
    if (write(STDERR_FILENO, place, strlen(place)) < 0)
        _exit(99);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void name_place(const char *what, uint64_t k, bool for_ever)
{
    snprintf(place, sizeof place, "sim: FAILED: %s, allocation %" PRIu64 " %s\n", what, k,
             for_ever ? "and more" : "alone");
    signal(SIGABRT, on_crash);
    signal(SIGSEGV, on_crash);
}

/* ---- jobs that have something ---- */

#define RECORDS 60 /* a source, at most */

enum wish {
    KINDS = 1 << 0,   /* maps, lists, timers of keys, values that expire */
    CYCLE = 1 << 1,   /* a feedback edge */
    SCAN = 1 << 2,    /* cells, and a scan of them in the end */
    ITEMS = 1 << 3,   /* operator state, shared out item by item; clock timers */
    LETTERS = 1 << 4, /* poison */
    SAVES = 1 << 5,   /* savepoints are asked for */
    LINES = 1 << 6,   /* a sink of files */
};

static uint32_t offers_of(const struct sim_node *node)
{
    switch (node->kind) {
    case SIM_WINDOW:
        return node->salt % 3 > 0 ? KINDS : 0;
    case SIM_COUNT:
        return SCAN;
    case SIM_HOLD:
        return ITEMS;
    case SIM_LINES:
        return LINES;
    default:
        return 0;
    }
}

/* What the life of this plan has. */
static uint32_t offers(const struct sim_plan *plan)
{
    struct sim_world world = {0};
    struct sim_graph graph = {0};
    uint64_t draw = sim_plan_stream(plan, SIM_DRAW_GRAPH, 0);
    uint64_t saves = sim_plan_stream(plan, SIM_DRAW_SAVEPOINTS, 0);
    uint32_t offers = explore_below(&saves, 4) == 0 ? SAVES : 0;

    sim_graph_draw(&graph, &world, &draw, false, plan->records);
    for (uint32_t i = 0; i < graph.node_count; i++)
        offers |= offers_of(&graph.nodes[i]);
    for (uint32_t i = 0; i < graph.edge_count; i++)
        offers |= graph.edges[i].feedback ? CYCLE : 0;
    return offers | (graph.poison_count > 0 ? LETTERS : 0);
}

/* The first behind `seed` that has it all, and no poison unless it is wanted: a job with poison is
 * not rescaled. */
static uint64_t seed_with(uint64_t seed, uint32_t wishes, uint64_t records)
{
    struct sim_plan plan = {.seed = seed, .records = records};
    uint32_t has;

    do {
        plan.seed++;
        has = offers(&plan);
        cr_assert_lt(plan.seed, 10000, "no job has all of %x", wishes);
    } while ((has & wishes) != wishes || ((has ^ wishes) & LETTERS) != 0);
    return plan.seed;
}

/* ---- whole lives ---- */

#define RESCALED (1u << SIM_RESCALE)
#define TIGHT (1u << SIM_TIGHT)

static const struct scene {
    const char *what;
    uint32_t wishes, conditions;
    bool dies; /* a run before that */
} scenes[] = {
    {"state of all kinds", KINDS, 0, false},
    {"state of all kinds, restored", KINDS, 0, true},
    {"state of all kinds, rescaled", KINDS, RESCALED, true},
    {"cells, savepoints", SCAN | SAVES, 0, false},
    {"cells in hardly any memory", SCAN, TIGHT, false},
    {"cells in hardly any memory, rescaled", SCAN, RESCALED | TIGHT, true},
    {"a cycle", CYCLE, 0, false},
    {"a cycle, rescaled", CYCLE, RESCALED, true},
    {"items, rescaled", ITEMS, RESCALED, true},
    {"dead letters, restored", LETTERS, 0, true},
    {"files, savepoints, restored", LINES | SAVES, 0, true},
};

#define SCENES (sizeof scenes / sizeof scenes[0])

static struct sim_plan plan_of(const struct scene *scene, uint64_t seed)
{
    return (struct sim_plan){
        .seed = seed, .conditions = scene->conditions, .records = RECORDS, .forced = true};
}

/* The file call at which a run of it dies when it has a checkpoint, and before it has ended; 0:
 * there is none. */
static uint64_t death_of(const struct scene *scene, uint64_t seed, const struct sim_result *whole)
{
    struct sim_plan plan = plan_of(scene, seed);
    struct sim_trouble death = {.fault = SIM_FAULT_KILL, .harder = true};
    struct sim_result result;

    plan.trouble_count = 1;
    for (uint64_t k = whole->first_calls; k > 40; k -= 1 + k / 16) {
        death.k = k;
        plan.troubles[0] = death;
        cr_assert(sim_job_live(&plan, &result), "%s: %s", scene->what, result.failure);
        if (result.runs > whole->runs && result.restored > whole->restored)
            return k;
    }
    return 0;
}

/* A life that is as the scene says. */
static void find_life(const struct scene *scene, uint64_t *seed, uint64_t *dies_at)
{
    bool fits;

    *seed = *dies_at = 0;
    do {
        struct sim_result whole;
        *seed = seed_with(*seed, scene->wishes, RECORDS);
        struct sim_plan plan = plan_of(scene, *seed);
        cr_assert(sim_job_live(&plan, &whole), "%s: %s", scene->what, whole.failure);
        fits = (scene->conditions & TIGHT) == 0 || whole.mapped > 0;
        if (fits && scene->dies)
            *dies_at = death_of(scene, *seed, &whole);
    } while (!fits || (scene->dies && *dies_at == 0));
}

/* Did it come to that allocation? */
static bool lives_without(const struct scene *scene, uint64_t seed, uint64_t dies_at, uint64_t k,
                          bool for_ever, struct sim_result *total)
{
    struct sim_plan plan = plan_of(scene, seed);
    struct sim_trouble death = {.fault = SIM_FAULT_KILL, .k = dies_at, .harder = true};
    struct sim_trouble without = {.fault = SIM_FAULT_MEMORY, .k = k, .harder = for_ever};
    struct sim_result result;

    if (scene->dies)
        plan.troubles[plan.trouble_count++] = death;
    plan.troubles[plan.trouble_count++] = without;
    name_place(scene->what, k, for_ever);
    if (!sim_job_live(&plan, &result)) {
        sim_job_verbose(true);
        (void)sim_job_live(&plan, &result);
        cr_assert_fail("%s%s", place, result.failure);
    }
    sim_result_add(total, &result);
    return result.faults_hit[SIM_FAULT_MEMORY] > 0;
}

Test(sim_memory, whichever_allocation_a_job_is_refused_it_goes_on_from_its_checkpoint)
{
    struct sim_result total = {0};
    uint64_t places = 0;

    for (size_t i = 0; i < SCENES; i++) {
        uint64_t seed, dies_at, k = 1 + 7 * i, first = places;
        find_life(&scenes[i], &seed, &dies_at);
        while (lives_without(&scenes[i], seed, dies_at, k, false, &total)) {
            (void)lives_without(&scenes[i], seed, dies_at, k, true, &total);
            places++;
            k += stride();
        }
        printf("sim_memory: %s: seed %" PRIu64 ", %" PRIu64 " allocations\n", scenes[i].what, seed,
               k);
        cr_assert_gt(places - first, 300 / stride(), "%s: %" PRIu64, scenes[i].what, k);
    }
    printf("figure: %" PRIu64 " allocations of %zu kinds of jobs failed, alone and with those "
           "behind them, in %u runs: exact\n",
           places, SCENES, total.runs);
    printf(
        "figure: meanwhile %u checkpoints, %u with records in flight, %u runs began with one, %u "
        "savepoints, %u rounds came to nothing, %" PRIu64 " bytes of state left memory\n",
        total.commits, total.recorded, total.restored, total.saved, total.aborts, total.mapped);
    exercised(2 * places);
    cr_assert(total.recorded > 0 && total.restored > 0 && total.saved > 0 && total.mapped > 0 &&
              total.aborts > 0);
}

/* ---- what is asked without a running job, and a start from a savepoint ---- */

#define SAVED "/saved"

static struct {
    struct sim_world world;
    struct sim_graph graph, rescaled, other;
    struct weir_job_options options;
    uint32_t committed, saved, stores;
    char store[40];
} shop;

static void on_event(void *context, const struct weir_event *event)
{
    (void)context;
    shop.committed += event->kind == WEIR_EVENT_COMMITTED;
    shop.saved += event->kind == WEIR_EVENT_SAVED;
}

static void draw_graph(struct sim_graph *graph, uint32_t wishes, uint64_t records)
{
    const struct sim_plan plan = {.seed = seed_with(0, wishes, records), .records = records};
    uint64_t draw = sim_plan_stream(&plan, SIM_DRAW_GRAPH, 0);

    *graph = (struct sim_graph){.world = &shop.world};
    sim_graph_draw(graph, &shop.world, &draw, false, records);
}

static void wait_for(struct weir_job *job, const uint32_t *count, uint32_t least)
{
    enum weir_outcome outcome;
    struct weir_error error = {0};

    while (*count < least && weir_job_wait(job, MS / 10, &outcome, &error) == WEIR_TIMEOUT)
        ;
    cr_assert_geq(*count, least, "%s", error.text);
}

/* Without memory for the request the close alone ends it. */
static void end_job(struct weir_job **job)
{
    enum weir_outcome outcome;
    struct weir_error error = {0};
    bool stops = weir_job_stop(*job, WEIR_STOP_NOW, &error) == WEIR_OK;

    while (stops && weir_job_wait(*job, MS, &outcome, &error) == WEIR_TIMEOUT)
        ;
    weir_job_close(job);
}

/* A store with some checkpoints, and a savepoint. */
static void shop_open(void)
{
    struct weir_job *job;
    struct weir_error error = {0};
    uint64_t draw = 3;

    memset(&shop, 0, sizeof shop);
    sim_disk_wipe();
    draw_graph(&shop.graph, KINDS | SAVES, 400);
    draw_graph(&shop.rescaled, KINDS | SAVES, 400);
    sim_graph_rescale(&shop.rescaled, &draw);
    draw_graph(&shop.other, CYCLE, 400);
    sim_graph_oracle(&shop.graph);
    shop.options = (struct weir_job_options){WEIR_SIZED(struct weir_job_options),
                                             .name = "sim",
                                             .store = SIM_STORE,
                                             .batch_bytes = 1024,
                                             .window_batches = 2,
                                             .interval_ns = MS / 8,
                                             .retain = 3,
                                             .mode = WEIR_UNALIGNED,
                                             .event = on_event};
    world_begin(&shop.world);
    sim_start(7);
    sim_step_cost(4000);
    struct weir_graph *built = sim_graph_build(&shop.graph);
    cr_assert_eq(weir_job_start(built, &shop.options, &job, &error), WEIR_OK, "%s", error.text);
    wait_for(job, &shop.committed, 3);
    cr_assert_eq(weir_job_savepoint(job, SAVED, &error), WEIR_OK, "%s", error.text);
    wait_for(job, &shop.saved, 1);
    end_job(&job);
    weir_graph_free(&built);
    sim_graph_forget(&shop.graph);
}

static void shop_close(void)
{
    sim_graph_forget(&shop.graph);
    cr_assert_eq(sim_end(), 0);
    world_free(&shop.world);
    sim_disk_wipe();
}

static void nobody(void *context, const char *text)
{
    (void)context, (void)text;
}

/* Each of these leaves nothing behind, and answers what it would answer, or WEIR_NO_MEMORY. */
typedef enum weir_result (*asking)(struct weir_error *error);

static enum weir_result without_graph(struct weir_error *error)
{
    snprintf(error->text, sizeof error->text, "no graph");
    return WEIR_NO_MEMORY;
}

static enum weir_result build_and_lay_out(struct weir_error *error)
{
    struct weir_graph *graph = sim_graph_build(&shop.graph);
    enum weir_result result = WEIR_OK;

    if (graph == NULL)
        return without_graph(error);
    for (int format = WEIR_PLAN_TEXT; result == WEIR_OK && format <= WEIR_PLAN_JSON; format++)
        result = weir_graph_plan(graph, 2, (enum weir_plan_format)format, nobody, NULL, error);
    weir_graph_free(&graph);
    return result;
}

static enum weir_result lay_onto(struct sim_graph *graph, enum weir_plan_format format,
                                 struct weir_error *error)
{
    struct weir_graph *built = sim_graph_build(graph);
    enum weir_result result;

    if (built == NULL)
        return without_graph(error);
    result = weir_graph_restore_plan(built, &shop.options, format, nobody, NULL, error);
    weir_graph_free(&built);
    return result;
}

static enum weir_result lay_onto_itself(struct weir_error *error)
{
    enum weir_result result = lay_onto(&shop.graph, WEIR_PLAN_TEXT, error);

    return result == WEIR_OK ? lay_onto(&shop.rescaled, WEIR_PLAN_JSON, error) : result;
}

/* All of it would be lost. */
static enum weir_result lay_onto_another(struct weir_error *error)
{
    return lay_onto(&shop.other, WEIR_PLAN_JSON, error);
}

static enum weir_result read_rows(struct weir_checkpoint *checkpoint, enum weir_rows rows,
                                  const char *node, const char *state, struct weir_error *error)
{
    struct weir_cursor *cursor;
    struct weir_row row = {WEIR_SIZED(struct weir_row)};
    struct weir_bytes value;
    char key[64];
    size_t size = 0;
    enum weir_result result = weir_cursor_open(checkpoint, rows, node, state, &cursor, error);

    if (result != WEIR_OK)
        return result;
    while (weir_cursor_next(cursor, &row))
        if (rows == WEIR_ROWS_STATE && row.key.size > 0 && row.key.size <= sizeof key) {
            size = row.key.size;
            memcpy(key, row.key.data, size);
        }
    result = weir_cursor_close(&cursor, error);
    if (result != WEIR_OK || size == 0)
        return result;
    result = weir_checkpoint_find(checkpoint, node, state, (struct weir_bytes){key, size}, &value,
                                  error);
    return result == WEIR_INVALID ? WEIR_OK : result; /* of lists, maps, timers */
}

static enum weir_result read_node(struct weir_checkpoint *checkpoint, uint32_t index,
                                  struct weir_error *error)
{
    struct weir_checkpoint_node node = {WEIR_SIZED(struct weir_checkpoint_node)};
    struct weir_checkpoint_state state = {WEIR_SIZED(struct weir_checkpoint_state)};
    enum weir_result result;

    (void)weir_checkpoint_get_node(checkpoint, index, &node);
    result = read_rows(checkpoint, WEIR_ROWS_ITEMS, node.name, NULL, error);
    if (result == WEIR_OK)
        result = read_rows(checkpoint, WEIR_ROWS_HANDLES, node.name, NULL, error);
    for (uint32_t s = 0; result == WEIR_OK && s < node.states; s++) {
        (void)weir_checkpoint_get_state(checkpoint, index, s, &state);
        result = read_rows(checkpoint, WEIR_ROWS_STATE, node.name, state.name, error);
    }
    return result;
}

static enum weir_result read_newest(struct weir_store *store, struct weir_error *error)
{
    struct weir_checkpoint *checkpoint;
    struct weir_checkpoint_info info = {WEIR_SIZED(struct weir_checkpoint_info)};
    enum weir_result result = weir_checkpoint_open(store, 0, &checkpoint, error);

    if (result != WEIR_OK)
        return result;
    weir_checkpoint_describe(checkpoint, &info);
    result = read_rows(checkpoint, WEIR_ROWS_INFLIGHT, NULL, NULL, error);
    for (uint32_t n = 0; result == WEIR_OK && n < info.nodes; n++)
        result = read_node(checkpoint, n, error);
    weir_checkpoint_close(&checkpoint);
    return result;
}

static enum weir_result read_store(struct weir_error *error)
{
    struct weir_store *store;
    const uint64_t *ids;
    size_t count;
    enum weir_result result = weir_store_open(SIM_STORE, NULL, &store, error);

    if (result != WEIR_OK)
        return result;
    result = weir_store_list(store, &ids, &count, error);
    if (result == WEIR_OK)
        result = weir_store_verify_all(store, NULL, NULL, error);
    if (result == WEIR_OK)
        result = read_newest(store, error);
    weir_store_close(&store);
    return result;
}

/* Into a new store each time, with another parallelism; and on until it has a checkpoint, or has
 * tried for long. */
#define TRIES 300

static enum weir_result start_from_savepoint(struct weir_error *error)
{
    struct weir_graph *graph;
    struct weir_job *job = NULL;
    struct weir_job_options options = shop.options;
    enum weir_outcome outcome = WEIR_OUTCOME_RUNNING;
    enum weir_result result = WEIR_NO_MEMORY;

    snprintf(shop.store, sizeof shop.store, "/store%u", ++shop.stores);
    options.store = shop.store;
    options.restore = WEIR_RESTORE_PATH;
    options.restore_path = SAVED;
    shop.committed = 0;
    graph = sim_graph_build(&shop.rescaled);
    if (graph == NULL)
        return without_graph(error);
    result = weir_job_start(graph, &options, &job, error);
    for (int i = 0; result == WEIR_OK && shop.committed == 0 && i < TRIES; i++)
        if (weir_job_wait(job, MS / 10, &outcome, error) == WEIR_OK)
            break;
    if (outcome == WEIR_OUTCOME_FAILED)
        result = error->code;
    if (job != NULL)
        end_job(&job);
    weir_graph_free(&graph);
    sim_graph_forget(&shop.rescaled);
    return result;
}

/* How many allocations there were. Once one alone fails, once `many`: actors that can't be told
 * anything for want of memory try until there is some, so what runs can't be without it for ever.
 */
static uint64_t each_fails(const char *what, asking act, uint64_t many)
{
    struct weir_error error = {0};
    const enum weir_result well = act(&error);
    bool failed = true;
    uint64_t k = 1;

    for (; failed; k += stride())
        for (int for_ever = 0; for_ever < 2; for_ever++) {
            uint64_t left = sim_memory_left();
            error = (struct weir_error){0};
            name_place(what, k, for_ever);
            sim_memory_fail(k, for_ever ? many : 1);
            enum weir_result result = act(&error);
            failed = sim_memory_failed();
            sim_memory_fail(0, 0);
            cr_assert_eq(sim_memory_left(), left, "%s: %d blocks are left", place,
                         (int)(sim_memory_left() - left));
            cr_assert(result == well || (failed && result == WEIR_NO_MEMORY), "%s: %s: %s", place,
                      weir_result_name(result), error.text);
            cr_assert(result == WEIR_OK || error.text[0] != '\0', "%s: no reason", place);
        }
    return k;
}

Test(sim_memory, whichever_allocation_fails_of_what_is_asked_of_graphs_and_stores_it_says_so)
{
    static const struct {
        const char *what;
        asking act;
        enum weir_result well;
        uint64_t least; /* allocations */
        uint64_t many;
    } acts[] = {
        {"a graph built and laid out", build_and_lay_out, WEIR_OK, 30, UINT64_MAX},
        {"a checkpoint laid onto its graph", lay_onto_itself, WEIR_OK, 60, UINT64_MAX},
        {"a checkpoint laid onto another graph", lay_onto_another, WEIR_MISMATCH, 60, UINT64_MAX},
        {"a store read", read_store, WEIR_OK, 100, UINT64_MAX},
        {"a start from a savepoint, rescaled", start_from_savepoint, WEIR_OK, 300, 100},
    };
    struct weir_error error = {0};

    shop_open();
    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++) {
        cr_assert_eq(acts[i].act(&error), acts[i].well, "%s: %s", acts[i].what, error.text);
        uint64_t count = each_fails(acts[i].what, acts[i].act, acts[i].many);
        printf("figure: %s: %" PRIu64 " allocations\n", acts[i].what, count);
        exercised(2 * count / stride());
        cr_assert_gt(count, acts[i].least, "%s: %" PRIu64, acts[i].what, count);
    }
    shop_close();
}
