/* SPDX-License-Identifier: Apache-2.0 */
#include "sim_job.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "clock.h"
#include "explore.h"
#include "files.h"
#include "sim.h"
#include "sim_graph.h"

#define MS INT64_C(1000000)
#define SLICE_NS (2 * MS)
#define PATIENCE_NS (600000 * MS) /* of virtual time; a round's timeout is far below */
#define FULL_NS (300 * MS)        /* how long a full disk stays full */
#define STEP_LIMIT 5000000
#define MANY 100 /* allocations that fail in a row */

struct life {
    const struct sim_plan *plan;
    struct sim_result *result;
    struct sim_world world;
    struct sim_graph graph;
    uint64_t draw;

    /* drawn once */
    struct weir_job_options options;
    struct weir_poison poison[SIM_POISON * SIM_PARALLELISM];
    int64_t step_cost_ns, delay_ns;
    uint64_t short_one_in, duplicate_one_in;

    /* one run's */
    struct sim_trouble trouble;
    enum weir_outcome outcome;
    struct weir_error error;
    bool started, dead, came; /* came: the trouble did */
    uint64_t aims_left;
};

static bool verbose;

void sim_job_verbose(bool new_verbose)
{
    verbose = new_verbose;
}

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    va_list list;

    if (!verbose)
        return;
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
}

/* ---- drawing ---- */

static const char *const fault_names[] = {"none", "kill",   "power", "disk",
                                          "full", "memory", "stop",  "sink"};

static const char *const aim_names[] = {"", " at a rename", " at a commit", " at retention"};

static uint64_t below(struct life *life, uint32_t limit)
{
    return explore_below(&life->draw, limit);
}

/* Small numbers as likely as large ones. */
static uint64_t drawn_place(struct life *life, uint32_t bits)
{
    uint64_t limit = UINT64_C(1) << (1 + below(life, bits));

    return 1 + explore_random(&life->draw) % limit;
}

static void draw_options(struct life *life)
{
    static const uint32_t batches[] = {1024, 1024, 4096, 32768};
    static const int64_t intervals[] = {-1, 1, 3, 10, 50};
    struct weir_job_options *options = &life->options;

    *options = (struct weir_job_options){WEIR_SIZED(struct weir_job_options), .name = "sim",
                                         .store = SIM_STORE};
    options->batch_bytes = batches[below(life, 4)];
    options->window_batches = 1 + (uint32_t)below(life, 8);
    options->window_bytes = below(life, 3) == 0 ? 1 + (uint32_t)below(life, 65536) : 0;
    options->interval_ns = intervals[below(life, 5)] * (MS / 10);
    options->interval_ns *= below(life, 2) ? 10 : 1;
    options->min_pause_ns = below(life, 3) == 0 ? (int64_t)below(life, 5000000) : 0;
    options->timeout_ns = below(life, 4) == 0 ? (1 + (int64_t)below(life, 10)) * MS : 1000 * MS;
    options->retain = 1 + (uint32_t)below(life, 3);
    options->endpoint = below(life, 4) == 0 ? "tcp://127.0.0.1" : NULL;
    life->step_cost_ns = 500 + (int64_t)below(life, below(life, 2) ? 2000 : 30000);
    life->delay_ns = below(life, 2) ? (int64_t)below(life, 300000) : 0;
    life->short_one_in = below(life, 3) == 0 ? 2 + below(life, 6) : 0;
    life->duplicate_one_in = below(life, 3) == 0 ? 2 + below(life, 50) : 0;
    if (!life->plan->small)
        return;
    *options = (struct weir_job_options){WEIR_SIZED(struct weir_job_options),
                                         .name = "sim",
                                         .store = SIM_STORE,
                                         .batch_bytes = 1024,
                                         .window_batches = 2,
                                         .interval_ns = MS / 4,
                                         .retain = 2};
    life->step_cost_ns = 4000;
    life->delay_ns = 0;
    life->short_one_in = 0;
    life->duplicate_one_in = 0;
}

static struct sim_trouble draw_trouble(struct life *life)
{
    static const int os_errors[] = {EIO, ENOSPC, EIO, EMFILE, EDQUOT};
    static const uint32_t bits[SIM_FAULTS] = {1, 9, 9, 9, 14, 11, 14, 4};
    struct sim_trouble trouble = {0};

    while (life->plan->allowed != 0 && (life->plan->allowed >> trouble.fault & 1) == 0)
        trouble.fault = (enum sim_fault)below(life, SIM_FAULTS);
    if (trouble.fault == SIM_FAULT_KILL || trouble.fault == SIM_FAULT_POWER)
        trouble.aim = (enum sim_aim)below(life, SIM_AIMS);
    trouble.after = below(life, 2) ? 1 : 1 + below(life, 12);
    trouble.k = drawn_place(life, trouble.aim != SIM_AIM_NONE ? 2 : bits[trouble.fault]);
    trouble.harder = below(life, 2) == 1;
    trouble.os_error = os_errors[below(life, 5)];
    if (trouble.fault == SIM_FAULT_POWER && life->world.disk_broken)
        trouble.fault = SIM_FAULT_KILL;
    return trouble;
}

/* ---- one run ---- */

static void on_event(void *context, const struct weir_event *event)
{
    struct life *life = context;

    say("    %" PRId64 " event %d id %" PRIu64 " %s\n", clock_now_ns(), (int)event->kind, event->id,
        event->text);
    if (event->kind == WEIR_EVENT_STARTED)
        world_started(&life->world, event->id);
    if (event->kind == WEIR_EVENT_COMMITTED) {
        world_told(&life->world, event->id);
        life->result->commits++;
    }
    life->result->aborts += event->kind == WEIR_EVENT_ABORTED;
    /* Here messages are refused for lack of memory only. */
    if (event->kind == WEIR_EVENT_ABORTED && strstr(event->text, "does not read its inbox"))
        world_breach(&life->world, "a wrong reason: %s", event->text);
}

static void on_log(void *context, enum weir_level level, const char *text)
{
    (void)context;
    say("    %" PRId64 " log %d %s\n", clock_now_ns(), (int)level, text);
}

/* Kills soon after the k-th of these calls: where what is visible is not durable yet. */
static void aim(void *context, uint64_t call, const char *name, const char *path)
{
    struct life *life = context;
    bool fits;

    (void)call;
    switch (life->trouble.aim) {
    case SIM_AIM_RENAME:
        fits = strncmp(name, "rename", 6) == 0;
        break;
    case SIM_AIM_COMMIT:
        fits = strcmp(name, "rename_new") == 0 && strcmp(path, "MANIFEST.json") == 0;
        break;
    default:
        fits = strcmp(name, "remove") == 0 && strcmp(path, "MANIFEST.json") == 0;
        break;
    }
    if (fits && life->aims_left > 0 && --life->aims_left == 0)
        sim_disk_kill(life->trouble.after);
}

static void set_trouble(struct life *life)
{
    const struct sim_trouble *trouble = &life->trouble;

    sim_disk_short(life->short_one_in);
    life->graph.commits_left = 0;
    life->graph.commit_failed = false;
    switch (trouble->fault) {
    case SIM_FAULT_KILL:
    case SIM_FAULT_POWER:
        life->aims_left = trouble->k;
        if (trouble->aim != SIM_AIM_NONE)
            sim_disk_hook(aim, life);
        else
            sim_disk_kill(trouble->k);
        break;
    case SIM_FAULT_DISK:
        sim_disk_fail(trouble->k, trouble->os_error);
        break;
    case SIM_FAULT_FULL:
        sim_disk_space(files_size() + trouble->k);
        break;
    case SIM_FAULT_MEMORY:
        sim_memory_fail(trouble->k, trouble->harder ? MANY : 1);
        break;
    case SIM_FAULT_SINK:
        life->graph.commits_left = trouble->k;
        life->graph.commit_after = trouble->harder;
        break;
    default:
        break;
    }
}

/* What is done to a running job from outside. */
static void meddle(struct life *life, struct weir_job *job, int64_t began_ns)
{
    int64_t passed_ns = clock_now_ns() - began_ns;
    struct weir_error error = {0};

    if (life->trouble.fault == SIM_FAULT_FULL && passed_ns > FULL_NS)
        sim_disk_space(0);
    if (life->trouble.fault == SIM_FAULT_STOP && passed_ns >= (int64_t)life->trouble.k * 1000) {
        life->trouble.k = UINT64_MAX / 1000000;
        if (weir_job_stop(job, life->trouble.harder ? WEIR_STOP_NOW : WEIR_STOP_SUSPEND, &error) !=
            WEIR_OK)
            world_breach(&life->world, "a stop was refused: %s", error.text);
    }
    if (life->options.interval_ns < 0 && sim_draw(SIM_WORKLOAD, 2) == 0 &&
        weir_job_checkpoint(job, &error) != WEIR_OK && life->trouble.fault != SIM_FAULT_MEMORY)
        world_breach(&life->world, "a checkpoint was refused: %s", error.text);
}

static int64_t slice_ns(const struct life *life, int64_t began_ns)
{
    int64_t left_ns;

    if (life->trouble.fault != SIM_FAULT_STOP || life->trouble.k > 1000000000)
        return SLICE_NS;
    left_ns = began_ns + (int64_t)life->trouble.k * 1000 - clock_now_ns();
    return left_ns < 1 ? 1 : left_ns < SLICE_NS ? left_ns : SLICE_NS;
}

static void watch(struct life *life, struct weir_job *job)
{
    int64_t began_ns = clock_now_ns();

    life->outcome = WEIR_OUTCOME_RUNNING;
    while (weir_job_wait(job, slice_ns(life, began_ns), &life->outcome, &life->error) ==
           WEIR_TIMEOUT) {
        if (sim_killed() || life->world.breach[0] != '\0')
            return;
        if (clock_now_ns() - began_ns > PATIENCE_NS) {
            world_breach(&life->world, "the job does not end");
            return;
        }
        meddle(life, job, began_ns);
    }
}

/* The process is gone: nobody closes anything. */
static void drop_all(void)
{
    sim_network_control(NULL);
    sim_threads_forget();
    sim_memory_forget();
    sim_disk_release();
}

static void run_job(struct life *life)
{
    struct weir_graph *graph;
    struct weir_job *job = NULL;
    enum weir_result result = WEIR_NO_MEMORY;

    set_trouble(life);
    graph = sim_graph_build(&life->graph);
    if (graph != NULL)
        result = weir_job_start(graph, &life->options, &job, &life->error);
    life->started = result == WEIR_OK;
    life->outcome = WEIR_OUTCOME_FAILED;
    if (life->started)
        watch(life, job);
    life->dead = sim_killed();
    if (life->dead && life->trouble.harder) {
        drop_all();
        return;
    }
    weir_job_close(&job);
    weir_graph_free(&graph);
}

static bool trouble_came(const struct life *life)
{
    switch (life->trouble.fault) {
    case SIM_FAULT_NONE:
    case SIM_FAULT_FULL:
    case SIM_FAULT_STOP:
        return true;
    case SIM_FAULT_KILL:
    case SIM_FAULT_POWER:
        return life->dead;
    case SIM_FAULT_DISK:
        return sim_disk_calls() >= life->trouble.k;
    case SIM_FAULT_MEMORY:
        return sim_memory_failed();
    default:
        return life->graph.commit_failed;
    }
}

static void judge(struct life *life)
{
    bool excused = life->dead || (life->trouble.fault != SIM_FAULT_NONE && life->came);

    say("  run %u ended: started %d, outcome %d, error %s: %s\n", life->result->runs, life->started,
        (int)life->outcome, weir_result_name(life->error.code), life->error.text);
    if (life->outcome == WEIR_OUTCOME_ENDED || life->outcome == WEIR_OUTCOME_ALREADY_ENDED)
        world_is_exact(&life->world);
    else if (!excused)
        world_breach(&life->world, "without any trouble outcome %d: %s: %s", (int)life->outcome,
                     weir_result_name(life->error.code), life->error.text);
    if (!life->dead && life->outcome >= WEIR_OUTCOME_FAILED && life->started &&
        life->error.text[0] == '\0')
        world_breach(&life->world, "outcome %d without a reason", (int)life->outcome);
    if (!life->started && !life->dead && life->error.text[0] == '\0' &&
        life->trouble.fault != SIM_FAULT_MEMORY)
        world_breach(&life->world, "no start, and no reason");
}

static void run_once(struct life *life, struct sim_trouble trouble)
{
    struct sim_result *result = life->result;
    uint64_t crash_seed = explore_random(&life->draw);

    life->trouble = trouble;
    life->error = (struct weir_error){0};
    say("  run %u: %s k %" PRIu64 "%s%s, errno %d\n", result->runs, fault_names[trouble.fault],
        trouble.k, aim_names[trouble.aim], trouble.harder ? " harder" : "", trouble.os_error);
    world_begin(&life->world);
    sim_start(explore_random(&life->draw));
    if (life->plan->other_bytes)
        sim_memory_start(0x3C, 0xA5);
    sim_step_limit(STEP_LIMIT);
    sim_step_cost(life->step_cost_ns);
    sim_network_delay(life->delay_ns);
    sim_network_duplicate(life->duplicate_one_in);
    run_job(life);
    life->trouble = trouble;
    life->came = trouble_came(life);
    result->faults_hit[trouble.fault] += life->came;
    if (result->runs++ == 0) {
        result->first_calls = sim_disk_calls();
        result->first_takes = sim_memory_takes();
    }
    result->hash = XXH3_64bits_withSeed(&(uint64_t){sim_trace_hash()}, 8, result->hash);
    result->events += sim_trace_count();
    sim_memory_fail(0, 0);
    if (sim_end() != 0)
        world_breach(&life->world, "something was left behind: see above");
    judge(life);
    if (trouble.fault == SIM_FAULT_POWER && life->dead)
        sim_disk_crash(crash_seed);
    sim_disk_start();
    life->world.disk_broken |= world_disk_lies();
    sim_graph_forget(&life->graph);
    world_end(&life->world);
}

/* ---- a life ---- */

static bool is_over(const struct life *life)
{
    return life->world.breach[0] != '\0' || life->outcome == WEIR_OUTCOME_ENDED ||
           life->outcome == WEIR_OUTCOME_ALREADY_ENDED;
}

static void live(struct life *life)
{
    const struct sim_plan *plan = life->plan;
    uint32_t troubles = plan->forced ? plan->trouble_count : (uint32_t)below(life, SIM_TROUBLES);
    bool once_more = below(life, 4) == 0;

    for (uint32_t i = 0; i < troubles && !is_over(life); i++)
        run_once(life, plan->forced ? plan->troubles[i] : draw_trouble(life));
    if (!is_over(life))
        run_once(life, (struct sim_trouble){0});
    if (life->world.breach[0] == '\0' && !is_over(life))
        world_breach(&life->world, "the last run did not end");
    if (once_more && life->world.breach[0] == '\0') { /* an ended job changes nothing */
        run_once(life, (struct sim_trouble){0});
        if (life->outcome != WEIR_OUTCOME_ALREADY_ENDED)
            world_breach(&life->world, "an ended job ended again, as %d", (int)life->outcome);
    }
}

bool sim_job_live(const struct sim_plan *plan, struct sim_result *result)
{
    struct life life = {.plan = plan, .result = result, .draw = plan->seed};

    *result = (struct sim_result){0};
    sim_disk_wipe();
    sim_graph_draw(&life.graph, &life.world, &life.draw, plan->small);
    draw_options(&life);
    life.options.event = on_event;
    life.options.event_context = &life;
    life.options.log = on_log;
    life.options.log_context = &life;
    life.options.poison = life.poison;
    life.options.poison_count = sim_graph_poison(&life.graph, life.poison);
    life.options.dead_letters = life.graph.poison_count > 0 ? SIM_LETTERS : NULL;
    sim_graph_oracle(&life.graph);
    say("seed %" PRIu64 ": %s of %" PRIu64 " records, %" PRIu64 " keys, rate %" PRIu64
        ", window %u of %u bytes (%u), interval %" PRId64 " ns, timeout %" PRId64 " ns\n",
        plan->seed, life.graph.shape, life.graph.count, life.graph.keys, life.graph.rate,
        life.options.window_batches, life.options.batch_bytes, life.options.window_bytes,
        life.options.interval_ns, life.options.timeout_ns);
    live(&life);
    snprintf(result->failure, sizeof result->failure, "%s", life.world.breach);
    world_free(&life.world);
    sim_disk_wipe();
    return result->failure[0] == '\0';
}
