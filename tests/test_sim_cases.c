/* links: sim sim_job sim_damage sim_plan sim_graph sim_operators sim_world */
/* SPDX-License-Identifier: Apache-2.0
 *
 * The simulator's small job, and one thing at every place where it can happen: a round is given up
 * at each message, answers come that belong to no round or to another run, the input ends at each
 * moment, recovery is killed again and again. In every mode; each time the output is exact, and
 * nothing is left behind.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "exercised.h"
#include "files.h"
#include "job.h"
#include "memory.h"
#include "sim_graph.h"
#include "sim_job.h"
#include "store.h"

#define MS INT64_C(1000000)
#define PATIENCE_NS (60000 * MS) /* of virtual time */
#define STEP_NS 4000

/* ---- one life of the small job ---- */

struct scene;
typedef void (*meddle)(struct scene *scene, const struct message *message);

struct scene {
    struct sim_world world;
    struct sim_graph graph;
    struct weir_job_options options;
    struct weir_job *job;
    struct weir_error error;
    enum weir_outcome outcome;
    meddle meddle; /* sees each message that is sent, and may send some itself; NULL: nobody does */
    bool inside;   /* it does just now */
    uint64_t open; /* the newest round claimed */
    uint64_t told, aborted; /* the newest of each */
    uint32_t commits, aborts;
    /* of who meddles */
    uint64_t target, wanted; /* the round that is given up, and at which message */
    uint64_t count;          /* how many there were */
    uint64_t recorded;       /* bytes that were recorded by then */
};

static void on_event(void *context, const struct weir_event *event)
{
    struct scene *scene = context;

    if (event->kind == WEIR_EVENT_STARTED)
        world_started(&scene->world, event->id);
    if (event->kind == WEIR_EVENT_COMMITTED) {
        world_told(&scene->world, event->id);
        scene->told = event->id;
        scene->commits++;
        if (event->id == scene->aborted)
            world_breach(&scene->world, "%" PRIu64 " was aborted, and is committed", event->id);
    }
    if (event->kind == WEIR_EVENT_ABORTED) {
        if (event->id <= scene->told || event->id == scene->aborted)
            world_breach(&scene->world, "%" PRIu64 " is aborted, and was over", event->id);
        scene->aborted = event->id;
        scene->aborts++;
    }
}

static void on_message(void *context, const struct message *message)
{
    struct scene *scene = context;

    if (message->kind == MESSAGE_CLAIM)
        scene->open = message->id;
    if (scene->inside || scene->open == 0)
        return;
    scene->inside = true;
    if (scene->meddle != NULL)
        scene->meddle(scene, message);
    scene->inside = false;
}

static void scene_open(struct scene *scene, enum weir_mode mode, uint64_t seed, uint64_t records)
{
    uint64_t draw = 1;

    *scene = (struct scene){0};
    sim_disk_wipe();
    sim_graph_draw(&scene->graph, &scene->world, &draw, true, 0);
    scene->graph.poison_count = 0;
    if (records > 0)
        scene->graph.count = records;
    sim_graph_oracle(&scene->graph);
    scene->options = (struct weir_job_options){WEIR_SIZED(struct weir_job_options),
                                               .name = "sim",
                                               .store = SIM_STORE,
                                               .batch_bytes = 1024,
                                               .window_batches = 1,
                                               .interval_ns = MS / 4,
                                               .retain = 2,
                                               .mode = mode,
                                               .alignment_max_ns = MS / 20,
                                               .tolerated = UINT32_MAX,
                                               .event = on_event,
                                               .event_context = scene};
    world_begin(&scene->world);
    sim_start(seed);
    sim_step_cost(STEP_NS);
    sim_slow_actors(seed % 2 ? 50 * STEP_NS : 0);
    sim_message_hook(on_message, scene);
}

#define NAMED 64 /* words of bits */

static bool is_new(uint64_t named[NAMED], uint64_t number)
{
    cr_assert_lt(number, NAMED * 64);
    bool is = (named[number / 64] >> number % 64 & 1) == 0;
    named[number / 64] |= UINT64_C(1) << number % 64;
    return is;
}

/* As many files as the manifests name, and no folder of a round that came to nothing. */
static void look_for_strays(struct scene *scene)
{
    const struct file_node *root = files_find(files_root(), &SIM_STORE[1]);
    uint64_t named[NAMED] = {0};
    struct store *view;
    uint64_t *ids = NULL;
    size_t count = 0, files = 0;

    cr_assert_eq(store_view(SIM_STORE, NULL, &view, &scene->error), WEIR_OK, "%s",
                 scene->error.text);
    cr_assert_eq(store_list(view, &ids, &count, &scene->error), WEIR_OK);
    for (size_t i = 0; i < count; i++) {
        struct manifest manifest;
        cr_assert_eq(store_manifest(view, ids[i], &manifest, &scene->error), WEIR_OK);
        for (uint32_t t = 0; t < manifest.task_count; t++) {
            const struct manifest_task *task = &manifest.tasks[t];
            files += is_new(named, task->part.file_number);
            for (uint32_t k = 0; k < task->state_count; k++)
                files += is_new(named, task->state[k].place.file_number);
        }
        manifest_free(&manifest);
    }
    if (files_find(root, "data")->names.count != files ||
        files_find(root, "checkpoints")->names.count != count)
        world_breach(&scene->world, "%zu checkpoints name %zu files, and there are %zu and %zu",
                     count, files, files_find(root, "checkpoints")->names.count,
                     files_find(root, "data")->names.count);
    memory_release(NULL, ids);
    store_close(&view);
}

/* From its start to its end; what is wrong is in the world. */
static void scene_play(struct scene *scene)
{
    struct weir_graph *built = sim_graph_build(&scene->graph);
    int64_t began_ns = sim_now_ns();

    cr_assert_eq(weir_job_start(built, &scene->options, &scene->job, &scene->error), WEIR_OK, "%s",
                 scene->error.text);
    while (weir_job_wait(scene->job, MS, &scene->outcome, &scene->error) == WEIR_TIMEOUT &&
           sim_now_ns() - began_ns < PATIENCE_NS)
        ;
    if (scene->outcome != WEIR_OUTCOME_ENDED)
        world_breach(&scene->world, "outcome %d: %s", (int)scene->outcome, scene->error.text);
    weir_job_close(&scene->job);
    weir_graph_free(&built);
    sim_graph_forget(&scene->graph);
    look_for_strays(scene);
    if (sim_end() != 0)
        world_breach(&scene->world, "something was left behind: see above");
    sim_disk_start();
    if (scene->world.breach[0] == '\0')
        world_is_exact(&scene->world);
    world_end(&scene->world);
}

static void scene_close(struct scene *scene, const char *what)
{
    cr_assert_eq(scene->world.breach[0], '\0', "mode %d, %s %" PRIu64 ": %s",
                 (int)scene->options.mode, what, scene->wanted, scene->world.breach);
    world_free(&scene->world);
}

static void send(struct scene *scene, struct message message)
{
    cr_assert(pipe_send(scene->job->requests, &message));
}

/* ---- a round is given up at each message ---- */

/* From its claim until it is told, whatever else goes on. */
static void give_up_at_one(struct scene *scene, const struct message *message)
{
    (void)message;
    if (scene->open < scene->target || scene->told >= scene->target ||
        ++scene->count != scene->wanted)
        return;
    scene->recorded = scene->job->recorded;
    send(scene, (struct message){
                    .kind = MESSAGE_REFUSED, .epoch = scene->job->run.epoch, .id = scene->target});
}

/* S12. It comes to nothing, or its commit was under way; another is committed in any case. */
Test(sim_cases, given_up_at_any_message_a_round_leaves_nothing_and_the_next_is_taken)
{
    uint64_t places = 0, aborts = 0, with_content = 0;

    for (int way = 0; way < 3; way++) {
        struct scene scene;
        uint64_t wanted = 0;
        do {
            scene_open(&scene, (enum weir_mode)way, 1 + (uint64_t)way % 2, 0);
            scene.meddle = give_up_at_one;
            scene.target = 1 + (uint64_t)way % 2;
            scene.wanted = ++wanted;
            scene_play(&scene);
            cr_assert(scene.aborts == 0 || (scene.aborts == 1 && scene.aborted == scene.target));
            cr_assert_gt(scene.told, scene.target);
            scene_close(&scene, "given up at message");
            aborts += scene.aborts;
            with_content += scene.aborts > 0 && scene.recorded > 0;
        } while (scene.count >= wanted);
        places += wanted - 1;
    }
    printf("figure: a round given up at each of %" PRIu64 " messages: %" PRIu64
           " came to nothing, %" PRIu64 " of them with records in flight; exact\n",
           places, aborts, with_content);
    exercised(aborts);
    cr_assert(places > 200 && aborts > places / 2 && aborts < places && with_content > 20);
}

/* ---- answers of no round, of another run, and twice ---- */

static const enum message_kind answers[] = {
    MESSAGE_SEALED,  MESSAGE_REFUSED, MESSAGE_SPENT,   MESSAGE_CONFIRMED, MESSAGE_ENDED,
    MESSAGE_CLAIMED, MESSAGE_DURABLE, MESSAGE_DONE,    MESSAGE_LOOPING,   MESSAGE_SAVED,
    MESSAGE_FAILED,  MESSAGE_READY,   MESSAGE_REQUEST,
};
#define ANSWERS (sizeof answers / sizeof *answers)

/* Each one of the run before, about the round that is open; and those that are about a round, about
 * one that is over, and one that never was. */
static void answer_falsely(struct scene *scene, const struct message *message)
{
    uint32_t epoch = scene->job->run.epoch, task = (uint32_t)(scene->count % 6);
    enum message_kind kind = answers[scene->count++ % ANSWERS];
    uint64_t over = scene->told > scene->aborted ? scene->told : scene->aborted;
    bool of_round = kind == MESSAGE_SEALED || kind == MESSAGE_REFUSED || kind == MESSAGE_SPENT ||
                    kind == MESSAGE_CLAIMED || kind == MESSAGE_DURABLE || kind == MESSAGE_DONE;
    struct message false_one = {.kind = kind,
                                .epoch = epoch - 1,
                                .channel = task,
                                .id = scene->open,
                                .value = kind == MESSAGE_REQUEST ? REQUEST_NOW : 0};

    (void)message;
    send(scene, false_one);
    if (!of_round)
        return;
    false_one.epoch = epoch;
    false_one.id = scene->open + 1000;
    send(scene, false_one);
    false_one.id = over;
    if (over > 0)
        send(scene, false_one);
}

/* Answers that are true, once more. */
static void answer_twice(struct scene *scene, const struct message *message)
{
    struct message again = *message;

    if (message->kind != MESSAGE_SEALED && message->kind != MESSAGE_DURABLE &&
        message->kind != MESSAGE_DONE && message->kind != MESSAGE_CLAIMED &&
        message->kind != MESSAGE_ENDED && message->kind != MESSAGE_CONFIRMED)
        return;
    again.payload = NULL;
    scene->count++;
    send(scene, again);
}

/* S18 */
Test(sim_cases, answers_of_no_round_of_another_run_and_twice_change_nothing)
{
    const meddle ways[] = {answer_falsely, answer_twice};
    uint64_t commits = 0, sent = 0;

    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct scene scene;
        scene_open(&scene, (enum weir_mode)(seed % 3), seed, 0);
        scene.meddle = ways[seed / 3 % 2];
        scene_play(&scene);
        cr_assert_eq(scene.aborts, 0);
        commits += scene.commits;
        sent += scene.count;
        scene.wanted = seed;
        scene_close(&scene, "seed");
    }
    cr_assert(commits > 200 && sent > 5000, "%d commits, %d answers", (int)commits, (int)sent);
}

/* ---- the input ends at each moment of a round ---- */

/* S20: a task ends before it has heard of a round, between its cut and its answer, after it. */
Test(sim_cases, whenever_the_input_ends_the_tail_is_published_and_the_job_has_ended)
{
    uint64_t commits = 0;

    for (uint64_t records = 1; records <= 150; records++) {
        struct scene scene;
        scene_open(&scene, (enum weir_mode)(records % 3), records, records / 3 + 1);
        scene.options.interval_ns = records % 2 ? MS / 50 : MS / 10;
        scene.wanted = records;
        scene_play(&scene);
        commits += scene.commits;
        scene_close(&scene, "records");
    }
    cr_assert_gt(commits, 300);
}

/* ---- killed again and again ---- */

#define MIDDLE 120   /* file calls of the small job: it has taken some checkpoints, */
#define RECOVERY 100 /* and after so many of the next run's it has taken one of its own */

static void killed_again(enum sim_fault fault, uint64_t at, struct sim_result *result)
{
    struct sim_plan plan = {.seed = at,
                            .small = true,
                            .forced = true,
                            .trouble_count = 4,
                            .troubles = {{fault, .k = MIDDLE, .harder = true},
                                         {fault, .k = at, .harder = true},
                                         {fault, .k = 1 + at * 7 % RECOVERY, .harder = true},
                                         {fault, .k = 1 + at * 13 % RECOVERY, .harder = true}}};

    cr_assert(sim_job_live(&plan, result), "killed at call %d of recovery: %s", (int)at,
              result->failure);
    cr_assert_eq(result->faults_hit[fault], 4);
}

/* S38: a run dies, and so do the three that recover from it, each at another file call. */
Test(sim_cases, killed_in_recovery_three_times_over_it_converges)
{
    uint64_t lives = 0, commits = 0;

    for (uint64_t at = 1; at <= RECOVERY; at++, lives++) {
        struct sim_result result;
        killed_again(at % 2 ? SIM_FAULT_KILL : SIM_FAULT_POWER, at, &result);
        commits += result.commits;
    }
    printf("figure: %" PRIu64 " runs killed in the recovery of a recovery of a recovery: exact\n",
           lives);
    exercised(lives);
    cr_assert_gt(commits, 3 * lives, "some have taken checkpoints between: %d", (int)commits);
}
