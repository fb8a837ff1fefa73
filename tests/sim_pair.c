/* SPDX-License-Identifier: Apache-2.0 */
#include "sim_pair.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sim.h"
#include "sim_graph.h"

#define MS INT64_C(1000000)
#define SLICE_NS (MS / 4)
#define PATIENCE_NS (300000 * MS)
#define RUNS 3

struct pair;

struct one_run {
    struct pair *pair;
    uint32_t number; /* of its process: 1 is A, 2 is B, 3 comes after both */
    struct sim_graph graph;
    struct weir_graph *built;
    struct weir_job *job;
    struct weir_poison poison[SIM_POISON * SIM_PARALLELISM];
    enum weir_outcome outcome;
    struct weir_error error;
    uint64_t restored, commits;
};

struct pair {
    const struct sim_pair_plan *plan;
    struct sim_pair_result *result;
    struct sim_world world;
    struct one_run runs[RUNS];
    uint64_t calls_left; /* file calls of A's until it stops; 0: it does not stop at one */
    bool woken;
};

/* ---- what A must not do ---- */

static void on_event(void *context, const struct weir_event *event)
{
    struct one_run *run = context;
    struct pair *pair = run->pair;

    if (event->kind == WEIR_EVENT_STARTED) {
        run->restored = event->id;
        world_started(&pair->world, event->id);
    }
    if (event->kind != WEIR_EVENT_COMMITTED)
        return;
    run->commits++;
    if (run->number != 1 || !pair->woken)
        world_told(&pair->world, event->id);
    else if (event->id > pair->runs[1].restored)
        world_breach(&pair->world, "R1: the older run tells checkpoint %" PRIu64, event->id);
}

/* R1, R2. A container of A's own is named by its epoch, which is 1. In the middle of its work A may
 * remove the checkpoint that it was about to remove. */
static void check_call(struct pair *pair, const char *name, const char *path)
{
    bool manifest = strcmp(path, "MANIFEST.json") == 0 && pair->plan->pause_in == 0;
    size_t size = strlen(path);

    if (strcmp(name, "rename_new") == 0 && manifest)
        world_breach(&pair->world, "R1: the older run commits");
    if (strcmp(name, "remove") != 0)
        return;
    if (manifest)
        world_breach(&pair->world, "R2: the older run removes a checkpoint");
    if (size > 4 && strcmp(path + size - 4, ".seg") == 0 && strncmp(path, "0000000001-", 11) != 0)
        world_breach(&pair->world, "R2: the older run removes %s", path);
}

/* ---- runs ---- */

static enum weir_result start(struct one_run *run)
{
    struct weir_job_options options = {WEIR_SIZED(struct weir_job_options),
                                       .name = "sim",
                                       .store = SIM_STORE,
                                       .batch_bytes = 1024,
                                       .window_batches = 2,
                                       .interval_ns = MS / 4,
                                       .retain = 2,
                                       .dead_letters = SIM_LETTERS,
                                       .hang_after_ns = -1,
                                       .event = on_event,
                                       .event_context = run};

    options.poison = run->poison;
    options.poison_count = sim_graph_poison(&run->graph, run->poison);
    sim_process(run->number);
    run->built = sim_graph_build(&run->graph);
    return weir_job_start(run->built, &options, &run->job, &run->error);
}

static bool is_over(struct one_run *run)
{
    return weir_job_wait(run->job, SLICE_NS, &run->outcome, &run->error) != WEIR_TIMEOUT;
}

static void wait_for(struct one_run *run)
{
    int64_t began_ns = sim_now_ns();

    while (!is_over(run)) {
        if (sim_now_ns() - began_ns < PATIENCE_NS)
            continue;
        world_breach(&run->pair->world, "R3: run %u does not end", run->number);
        return;
    }
}

static void close_run(struct one_run *run)
{
    sim_process(run->number);
    weir_job_close(&run->job);
    weir_graph_free(&run->built);
    sim_graph_forget(&run->graph);
}

/* ---- the scene ---- */

static void take_store(struct pair *pair)
{
    struct one_run *second = &pair->runs[1];

    pair->result->paused = true;
    world_look(&pair->world);
    sim_disk_unlock(pair->plan->useless_lock);
    if (start(second) != WEIR_OK) {
        world_breach(&pair->world, "the second run does not start: %s", second->error.text);
        return;
    }
    while (pair->plan->wake != SIM_WAKE_STARTED && !is_over(second)) {
        if (pair->plan->wake == SIM_WAKE_COMMITTED && second->commits > 0)
            break;
    }
    world_look(&pair->world);
    pair->woken = true;
}

static void take_store_meanwhile(void *pair)
{
    take_store(pair);
}

static void on_call(void *context, uint64_t call, const char *name, const char *path)
{
    struct pair *pair = context;

    (void)call;
    if (sim_process_now() != 1)
        return;
    if (pair->calls_left > 0 && --pair->calls_left == 0)
        sim_process_pause_here(take_store_meanwhile, pair);
    if (pair->woken)
        check_call(pair, name, path);
}

/* Until A has been paused, and the store taken; or A has ended before. */
static void pause_first(struct pair *pair)
{
    struct one_run *first = &pair->runs[0];

    if (start(first) != WEIR_OK) {
        world_breach(&pair->world, "the first run does not start: %s", first->error.text);
        return;
    }
    sim_process_pause_at_step(1, pair->plan->pause_at);
    pair->calls_left = pair->plan->pause_in;
    while (!sim_process_paused(1) && !is_over(first))
        ;
    sim_process_pause_at_step(1, 0);
    pair->calls_left = 0;
    if (!sim_process_paused(1))
        return;
    take_store(pair);
    sim_process_resume(1);
}

/* R3 */
static void judge_first(struct pair *pair)
{
    struct one_run *first = &pair->runs[0];

    pair->result->refused = first->error.code == WEIR_REFUSED;
    if (first->outcome == WEIR_OUTCOME_ENDED && first->commits > 0)
        return;
    if (pair->plan->pause_in > 0 && first->outcome >= WEIR_OUTCOME_FAILED)
        return;
    if (first->outcome != WEIR_OUTCOME_FAILED || first->error.code != WEIR_REFUSED)
        world_breach(&pair->world, "R3: the older run ends with outcome %d: %s",
                     (int)first->outcome, first->error.text);
}

/* R4 */
static void judge_second(struct pair *pair)
{
    struct one_run *second = &pair->runs[1], *third = &pair->runs[2];

    if (second->outcome == WEIR_OUTCOME_ENDED || second->outcome == WEIR_OUTCOME_ALREADY_ENDED)
        return;
    if (second->error.code != WEIR_REFUSED) {
        world_breach(&pair->world, "R4: the newer run ends with outcome %d: %s",
                     (int)second->outcome, second->error.text);
        return;
    }
    pair->result->third = true;
    close_run(&pair->runs[0]);
    close_run(second);
    if (start(third) != WEIR_OK)
        world_breach(&pair->world, "R4: the third run does not start: %s", third->error.text);
    else
        wait_for(third);
}

static void play(struct pair *pair)
{
    pause_first(pair);
    if (pair->result->paused && pair->world.breach[0] == '\0') {
        wait_for(&pair->runs[0]);
        judge_first(pair);
        wait_for(&pair->runs[1]);
        judge_second(pair);
    }
    for (int i = 0; i < RUNS; i++)
        close_run(&pair->runs[i]);
    world_look(&pair->world);
}

bool sim_pair_live(const struct sim_pair_plan *plan, struct sim_pair_result *result)
{
    struct pair pair = {.plan = plan, .result = result};

    *result = (struct sim_pair_result){0};
    sim_disk_wipe();
    for (uint32_t i = 0; i < RUNS; i++) {
        uint64_t draw = 1;
        pair.runs[i].pair = &pair;
        pair.runs[i].number = i + 1;
        sim_graph_draw(&pair.runs[i].graph, &pair.world, &draw, true, 0);
    }
    sim_graph_oracle(&pair.runs[0].graph);
    world_begin(&pair.world);
    sim_start(plan->seed);
    sim_step_cost(4000);
    sim_disk_hook(on_call, &pair);
    play(&pair);
    result->hash = sim_trace_hash();
    if (sim_end() != 0)
        world_breach(&pair.world, "something was left behind: see above");
    sim_disk_start();
    if (pair.world.breach[0] == '\0')
        world_is_exact(&pair.world);
    world_end(&pair.world);
    snprintf(result->failure, sizeof result->failure, "%s", pair.world.breach);
    world_free(&pair.world);
    sim_disk_wipe();
    return result->failure[0] == '\0';
}
