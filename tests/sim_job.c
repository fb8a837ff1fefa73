/* SPDX-License-Identifier: Apache-2.0 */
#include "sim_job.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "explore.h"
#include "files.h"
#include "job.h"
#include "plant.h"
#include "sim_damage.h"
#include "sim_graph.h"

#define MS INT64_C(1000000)
#define SLICE_NS (2 * MS)
#define PATIENCE_NS (600000 * MS) /* of virtual time; a round's timeout is far below */
#define HASTE_NS (20000 * MS)
#define FULL_NS (300 * MS)    /* how long a full disk stays full */
#define JUMPS_NS (10000 * MS) /* how long the wall clock jumps */
#define LOST_ROUNDS 20        /* timeouts that a run which lost something has, but */
#define LOST_NS (2000 * MS)   /* no longer than this, */
#define GAP_NS (1500 * MS)    /* but so long to see that an item is missing which others follow */
#define STEP_LIMIT 5000000
#define MANY 100 /* allocations that fail in a row */
#define SAVES_A_RUN 10
#define SAVES_AT_ONCE 8 /* more are refused */
/* Commands do not travel by a connection, so that none is lost. */
#define CUT_PIPES SIM_CUT_CHANNELS

struct life {
    const struct sim_plan *plan;
    struct sim_result *result;
    struct sim_world world;
    struct sim_graph graph;

    /* drawn once */
    uint32_t faults; /* bit set: of which troubles are drawn */
    struct weir_job_options options;
    struct weir_poison poison[SIM_POISON * SIM_PARALLELISM];
    int64_t step_cost_ns, delay_ns, slow_ns;
    uint64_t short_one_in, duplicate_one_in, reorder_one_in, credits_one_in;
    bool varies;          /* each run has options of its own */
    bool tight, rescales; /* see enum sim_condition */
    bool saves;           /* savepoints are asked for */

    /* one run's */
    struct sim_trouble trouble;
    enum weir_outcome outcome;
    struct weir_error error;
    bool started, dead, came; /* came: the trouble did */
    bool stuck;               /* after a loss it went no further */
    struct sim_damage damage;
    uint64_t aims_left;
    uint64_t recorded_id; /* newest checkpoint with records in flight */
    int64_t lost_ns;      /* when a loss was seen; 0: none yet */
    int64_t gap_ns;       /* when what follows it had come; 0: not yet */
    uint32_t lost_rounds; /* that had ended until lost_ns */
    uint64_t save_draw;
    uint32_t saves_left, saves_open; /* that may be asked for; of which nothing was heard yet */

    uint32_t saves_count;                /* in all runs */
    int64_t asked_ns[8 * SAVES_AT_ONCE]; /* the newest ones, by their number */
    int64_t committed_ns;                /* the last commit of this run */
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

static void draw_job_options(struct life *life, uint64_t *draw)
{
    static const uint32_t batches[] = {1024, 1024, 4096, 32768};
    static const int64_t intervals[] = {-1, 1, 3, 10, 50};
    struct weir_job_options *options = &life->options;

    *options = (struct weir_job_options){WEIR_SIZED(struct weir_job_options), .name = "sim",
                                         .store = SIM_STORE};
    options->batch_bytes = batches[explore_below(draw, 4)];
    options->window_batches = 1 + explore_below(draw, 8);
    options->window_bytes = explore_below(draw, 3) == 0 ? 1 + explore_below(draw, 65536) : 0;
    options->interval_ns = intervals[explore_below(draw, 5)] * (MS / 10);
    options->interval_ns *= explore_below(draw, 2) ? 10 : 1;
    options->min_pause_ns = explore_below(draw, 3) == 0 ? (int64_t)explore_below(draw, 5000000) : 0;
    options->timeout_ns =
        explore_below(draw, 4) == 0 ? (1 + (int64_t)explore_below(draw, 10)) * MS : 1000 * MS;
    options->retain = 1 + explore_below(draw, 3);
    options->endpoint = explore_below(draw, 4) == 0 ? "tcp://127.0.0.1" : NULL;
    options->careful = explore_below(draw, 4) == 0;
    options->mode = (enum weir_mode)explore_below(draw, 3);
    options->alignment_max_ns = 1 + explore_below(draw, explore_below(draw, 2) ? 100000 : 5000000);
    options->recording_max = explore_below(draw, 4) == 0 ? 1 + explore_below(draw, 100000) : 0;
    options->rounds_at_once = 1 + explore_below(draw, 4);
    if (life->plan->small)
        *options = (struct weir_job_options){WEIR_SIZED(struct weir_job_options),
                                             .name = "sim",
                                             .store = SIM_STORE,
                                             .batch_bytes = 1024,
                                             .window_batches = 2,
                                             .interval_ns = MS / 4,
                                             .retain = 2,
                                             .alignment_max_ns = MS / 20};
    options->hang_after_ns = -1; /* or nobody would ever be found to wait for ever */
}

/* A checkpoint serves whatever mode, windows and budget the next run has. */
static void draw_next_options(struct life *life, uint32_t number)
{
    uint64_t draw = sim_plan_stream(life->plan, SIM_DRAW_NEXT_OPTIONS, number);
    struct weir_job_options *options = &life->options;

    options->mode = (enum weir_mode)explore_below(&draw, 3);
    options->window_batches = 1 + explore_below(&draw, 8);
    options->window_bytes = explore_below(&draw, 3) == 0 ? 1 + explore_below(&draw, 65536) : 0;
    options->rounds_at_once = 1 + explore_below(&draw, 8);
    options->recording_max = 1 + explore_below(&draw, explore_below(&draw, 2) ? 10000 : 100000);
    options->recording_max *= explore_below(&draw, 4) == 0;
    options->alignment_max_ns =
        1 + explore_below(&draw, explore_below(&draw, 2) ? 100000 : 5000000);
}

/* The least there may be: what is sealed moves at once. */
static void set_state_memory(struct life *life)
{
    if (life->tight)
        life->options.state_memory = 4096 * sim_graph_states(&life->graph);
}

/* All are drawn, and then some left out: so none depends on another. */
static void draw_conditions(struct life *life, uint64_t *draw)
{
    uint32_t has = life->plan->small ? 0 : sim_plan_conditions(life->plan);

    life->step_cost_ns = 500 + explore_below(draw, explore_below(draw, 2) ? 2000 : 30000);
    life->delay_ns = explore_below(draw, 300000);
    life->duplicate_one_in = 2 + explore_below(draw, 50);
    life->reorder_one_in = 2 + explore_below(draw, 30);
    life->credits_one_in = 2 + explore_below(draw, 30);
    life->slow_ns = INT64_C(1000) << explore_below(draw, 9);
    life->short_one_in = 2 + explore_below(draw, 6);
    life->graph.refuse_one_in = 4 + explore_below(draw, 40);
    life->delay_ns *= has >> SIM_DELAY & 1;
    life->duplicate_one_in *= has >> SIM_DUPLICATES & 1;
    life->reorder_one_in *= has >> SIM_REORDER & 1;
    life->credits_one_in *= has >> SIM_CREDITS & 1;
    life->slow_ns *= has >> SIM_SLOW & 1;
    life->short_one_in *= has >> SIM_SHORT & 1;
    life->graph.refuse_one_in *= has >> SIM_REFUSE & 1;
    life->tight = has >> SIM_TIGHT & 1;
    set_state_memory(life);
    /* Poison is named by where it came to. */
    life->rescales = (has >> SIM_RESCALE & 1) && life->graph.poison_count == 0;
    if (life->plan->small)
        life->step_cost_ns = 4000;
    life->result->conditions = has;
}

/* A round that can't end in time never does, and the job neither; rounds that come faster than
 * steps are many, and all the same. */
static void make_bearable(struct life *life)
{
    struct weir_job_options *options = &life->options;
    int64_t floor_ns = 30 * life->delay_ns + 300 * life->step_cost_ns + 200 * life->slow_ns;

    if (options->timeout_ns < 1000 * MS)
        options->timeout_ns += floor_ns;
    if (options->interval_ns > 0 && options->interval_ns < 4 * life->slow_ns)
        options->interval_ns = 4 * life->slow_ns;
    if (options->interval_ns > 0 && life->graph.stall_ns > 0 && options->interval_ns < MS)
        options->interval_ns *= 30;
}

static void draw_life(struct life *life)
{
    uint64_t graph = sim_plan_stream(life->plan, SIM_DRAW_GRAPH, 0);
    uint64_t options = sim_plan_stream(life->plan, SIM_DRAW_OPTIONS, 0);
    uint64_t next = sim_plan_stream(life->plan, SIM_DRAW_NEXT_OPTIONS, 0);
    uint64_t saves = sim_plan_stream(life->plan, SIM_DRAW_SAVEPOINTS, 0);

    life->faults = sim_plan_faults(life->plan);
    sim_graph_draw(&life->graph, &life->world, &graph, life->plan->small, life->plan->records);
    draw_job_options(life, &options);
    draw_conditions(life, &options);
    life->varies = !life->plan->small && explore_below(&next, 2) == 0;
    life->saves = !life->plan->small && explore_below(&saves, 4) == 0;
    if (!life->plan->small)
        make_bearable(life);
    life->result->records = life->graph.count;
}

/* ---- one run ---- */

/* J7. What is left are edges that must stay aligned, a budget that makes tasks wait, and actors
 * that are slow or do not run. */
static void judge_alignment(struct life *life, int64_t align_ns)
{
    const struct weir_job_options *options = &life->options;
    int64_t most_ns = SIM_STALL_NS / 2;

    if (options->mode == WEIR_ALIGNED || options->recording_max > 0 || life->slow_ns > 0 ||
        life->trouble.fault == SIM_FAULT_PAUSE)
        return;
    for (uint32_t e = 0; e < life->graph.edge_count; e++)
        if (life->graph.edges[e].routing == WEIR_BROADCAST)
            return;
    if (options->mode == WEIR_ADAPTIVE)
        most_ns += options->alignment_max_ns;
    if (align_ns > most_ns)
        world_breach(&life->world, "J7: the markers took %" PRId64 " ns", align_ns);
}

static void on_committed(struct life *life, const struct weir_event *event)
{
    bool recorded = event->channel_bytes + event->outlet_bytes > 0;

    life->committed_ns = sim_now_ns();
    world_told(&life->world, event->id);
    judge_alignment(life, event->align_ns);
    life->result->commits++;
    life->result->recorded += recorded;
    life->result->overtook += event->overtook > 0;
    if (recorded)
        life->recorded_id = event->id;
}

/* J9: it was not given up too soon. */
static bool is_hopeless(const struct life *life, const struct weir_event *event)
{
    unsigned number = 0;
    int64_t since_ns;

    if (strstr(event->text, "checkpoints have come to nothing for ") == NULL ||
        sscanf(event->path, "/save%u", &number) != 1)
        return false;
    since_ns = life->asked_ns[number % (8 * SAVES_AT_ONCE)];
    since_ns = since_ns > life->committed_ns ? since_ns : life->committed_ns;
    return sim_now_ns() - since_ns >= 2 * life->options.timeout_ns;
}

/* J9 */
static void on_saved(struct life *life, const struct weir_event *event)
{
    enum sim_fault fault = life->trouble.fault;
    bool excused = fault == SIM_FAULT_DISK || fault == SIM_FAULT_FULL || fault == SIM_FAULT_MEMORY;

    life->saves_open--;
    if (event->kind == WEIR_EVENT_SAVED) {
        life->result->saved++;
        world_saved(&life->world, event->path);
    } else if (!excused && !is_hopeless(life, event) &&
               strncmp(event->text, "the job was over", 16) != 0) {
        world_breach(&life->world, "J9: no savepoint: %s", event->text);
    }
}

static void on_event(void *context, const struct weir_event *event)
{
    struct life *life = context;

    say("    %" PRId64 " event %d id %" PRIu64 " %s\n", sim_now_ns(), (int)event->kind, event->id,
        event->text);
    if (sim_killed()) /* the dead tell nothing */
        return;
    if (event->kind == WEIR_EVENT_STARTED) {
        life->committed_ns = 0;
        world_started(&life->world, event->id);
        life->result->restored += event->id > 0;
        life->result->replayed += event->id > 0 && event->id == life->recorded_id;
    }
    if (event->kind == WEIR_EVENT_COMMITTED)
        on_committed(life, event);
    if (event->kind == WEIR_EVENT_SAVED || event->kind == WEIR_EVENT_UNSAVED)
        on_saved(life, event);
    life->result->aborts += event->kind == WEIR_EVENT_ABORTED;
    /* Here messages are refused for lack of memory only. */
    if (event->kind == WEIR_EVENT_ABORTED && strstr(event->text, "does not read its inbox"))
        world_breach(&life->world, "a wrong reason: %s", event->text);
}

static void on_log(void *context, enum weir_level level, const char *text)
{
    (void)context;
    say("    %" PRId64 " log %d %s\n", sim_now_ns(), (int)level, text);
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

/* The same with messages: between the two ends of what they say. */
static void aim_at_message(void *context, const struct message *message)
{
    struct life *life = context;

    if (message->kind == life->trouble.kind && life->aims_left > 0 && --life->aims_left == 0)
        sim_kill_at_step(life->trouble.after);
}

static void set_death(struct life *life)
{
    const struct sim_trouble *trouble = &life->trouble;

    life->aims_left = trouble->k;
    if (trouble->aim == SIM_AIM_MESSAGE)
        sim_message_hook(aim_at_message, life);
    else if (trouble->aim != SIM_AIM_NONE)
        sim_disk_hook(aim, life);
    else if (trouble->fault == SIM_FAULT_STEP)
        sim_kill_at_step(trouble->k);
    else
        sim_disk_kill(trouble->k);
}

static void set_trouble(struct life *life)
{
    const struct sim_trouble *trouble = &life->trouble;

    switch (trouble->fault) {
    case SIM_FAULT_KILL:
    case SIM_FAULT_POWER:
    case SIM_FAULT_STEP:
        set_death(life);
        break;
    case SIM_FAULT_DISK:
        sim_disk_fail_of(trouble->aim == SIM_AIM_SYNC ? "sync" : NULL, trouble->k,
                         trouble->os_error, trouble->harder ? 8 * trouble->after : 0);
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
    case SIM_FAULT_OPERATOR:
        life->graph.calls_left = trouble->k;
        life->graph.call = trouble->call;
        life->graph.call_kills = trouble->harder;
        break;
    case SIM_FAULT_LOSE:
        sim_network_lose_kth(trouble->k);
        break;
    case SIM_FAULT_CUT:
        sim_network_cut_kth(trouble->k, CUT_PIPES);
        break;
    case SIM_FAULT_CLOCK:
        sim_clock_jumps(trouble->k);
        break;
    case SIM_FAULT_PAUSE:
        sim_pause_at_step(trouble->k, trouble->harder, trouble->pause_ns);
        break;
    default:
        break;
    }
}

static void set_conditions(const struct life *life)
{
    sim_step_limit(STEP_LIMIT);
    sim_step_cost(life->step_cost_ns);
    sim_slow_actors(life->slow_ns);
    sim_network_delay(life->delay_ns);
    sim_network_duplicate(life->duplicate_one_in);
    sim_network_reorder(life->reorder_one_in, life->options.window_batches);
    sim_network_duplicate_credits(life->credits_one_in);
    sim_disk_short(life->short_one_in);
}

static bool next_savepoint(struct life *life, char path[32])
{
    if (!life->saves || life->saves_open == SAVES_AT_ONCE || life->saves_left == 0)
        return false;
    life->saves_left--;
    life->saves_open++;
    snprintf(path, 32, "/save%u", ++life->saves_count);
    life->asked_ns[life->saves_count % (8 * SAVES_AT_ONCE)] = sim_now_ns();
    return true;
}

static void ask_for_savepoint(struct life *life, struct weir_job *job)
{
    struct weir_error error = {0};
    char path[32];

    if (!next_savepoint(life, path) || weir_job_savepoint(job, path, &error) == WEIR_OK)
        return;
    life->saves_open--;
    if (life->trouble.fault != SIM_FAULT_MEMORY)
        world_breach(&life->world, "a savepoint was refused: %s", error.text);
}

static void ask_to_stop(struct life *life, struct weir_job *job)
{
    struct weir_error error = {0};
    enum weir_result result;
    char path[32];

    if (life->trouble.harder)
        result = weir_job_stop(job, WEIR_STOP_NOW, &error);
    else if (next_savepoint(life, path))
        result = weir_job_stop_at(job, WEIR_STOP_SUSPEND, path, &error);
    else
        result = weir_job_stop(job, WEIR_STOP_SUSPEND, &error);
    if (result != WEIR_OK)
        world_breach(&life->world, "a stop was refused: %s", error.text);
}

/* What is done to a running job from outside. */
static void meddle(struct life *life, struct weir_job *job, int64_t began_ns)
{
    int64_t passed_ns = sim_now_ns() - began_ns;
    struct weir_error error = {0};

    if (life->trouble.fault == SIM_FAULT_FULL && passed_ns > FULL_NS)
        sim_disk_space(0);
    if (life->trouble.fault == SIM_FAULT_CLOCK && passed_ns > JUMPS_NS) {
        /* A timer in a cycle that was set when the clock was years ahead keeps it from its rest. */
        sim_clock_jumps(0);
        sim_clock_latest();
    }
    if (life->trouble.fault == SIM_FAULT_STOP && passed_ns >= (int64_t)life->trouble.k * 1000) {
        life->trouble.k = UINT64_MAX / 1000000;
        ask_to_stop(life, job);
    }
    if (life->saves && explore_below(&life->save_draw, 8) == 0)
        ask_for_savepoint(life, job);
    if (life->options.interval_ns < 0 && sim_draw(SIM_WORKLOAD, 2) == 0 &&
        weir_job_checkpoint(job, &error) != WEIR_OK && life->trouble.fault != SIM_FAULT_MEMORY)
        world_breach(&life->world, "a checkpoint was refused: %s", error.text);
}

static int64_t slice_ns(const struct life *life, int64_t began_ns)
{
    int64_t left_ns;

    if (life->trouble.fault != SIM_FAULT_STOP || life->trouble.k > 1000000000)
        return SLICE_NS;
    left_ns = began_ns + (int64_t)life->trouble.k * 1000 - sim_now_ns();
    return left_ns < 1 ? 1 : left_ns < SLICE_NS ? left_ns : SLICE_NS;
}

/* J6 */
static void judge_rounds(struct life *life, int64_t wait_ns)
{
    const struct weir_job_options *options = &life->options;
    uint32_t rounds = life->result->commits + life->result->aborts;
    int64_t longest_ns = options->interval_ns + options->min_pause_ns + options->timeout_ns;

    if (options->interval_ns > 0 && options->timeout_ns > 0 && longest_ns < wait_ns / 2 &&
        rounds == life->lost_rounds)
        world_breach(&life->world, "J6: no round has ended for %" PRId64 " ns", wait_ns);
}

/* J3: after a loss it has as long as it needs to notice, and to try some rounds. */
static bool has_lost_its_way(struct life *life)
{
    struct sim_network_counts counts = sim_network_counts();
    int64_t wait_ns = LOST_ROUNDS * life->options.timeout_ns, now_ns = sim_now_ns();

    if (counts.lost == 0 && counts.cut == 0)
        return false;
    if (life->lost_ns == 0) {
        life->lost_ns = now_ns;
        life->lost_rounds = life->result->commits + life->result->aborts;
    }
    if (life->gap_ns == 0 && counts.gaps > 0)
        life->gap_ns = now_ns;
    if (wait_ns > LOST_NS || life->options.timeout_ns == 0)
        wait_ns = LOST_NS;
    if (now_ns - life->lost_ns < wait_ns || (counts.gaps > 0 && now_ns - life->gap_ns < GAP_NS))
        return false;
    if (counts.gaps > 0)
        world_breach(&life->world, "J3: an item came after a lost one, and nobody noticed");
    judge_rounds(life, wait_ns);
    return true;
}

static void say_line(void *context, const char *line)
{
    (void)context;
    say("    %s\n", line);
}

static void watch(struct life *life, struct weir_job *job)
{
    int64_t began_ns = sim_now_ns();

    life->outcome = WEIR_OUTCOME_RUNNING;
    while (weir_job_wait(job, slice_ns(life, began_ns), &life->outcome, &life->error) ==
           WEIR_TIMEOUT) {
        if (sim_killed() || life->world.breach[0] != '\0')
            return;
        life->stuck = has_lost_its_way(life);
        if (life->stuck)
            return;
        if (sim_now_ns() - began_ns > (life->plan->hasty ? HASTE_NS : PATIENCE_NS)) {
            world_breach(&life->world, "J1: the job does not end");
            weir_job_dump(job, say_line, NULL);
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

/* J8 */
static void judge_memory(struct life *life, struct weir_job *job)
{
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    uint64_t sealed = atomic_load(&job->sealed);

    weir_job_status(job, &status);
    if (status.memory_flight > 0 || status.memory_recorded > 0 || sealed > 0)
        world_breach(&life->world,
                     "J8: ended with %" PRIu64 " bytes in flight, %" PRIu64 " recorded, %" PRIu64
                     " sealed",
                     status.memory_flight, status.memory_recorded, sealed);
}

static void run_job(struct life *life)
{
    struct weir_graph *graph;
    struct weir_job *job = NULL;
    enum weir_result result = WEIR_NO_MEMORY;

    graph = sim_graph_build(&life->graph);
    if (graph != NULL)
        result = weir_job_start(graph, &life->options, &job, &life->error);
    life->started = result == WEIR_OK;
    life->outcome = WEIR_OUTCOME_FAILED;
    if (life->started)
        watch(life, job);
    if (life->stuck && life->trouble.harder)
        sim_kill();
    life->dead = sim_killed();
    if (life->dead && life->trouble.harder) {
        drop_all();
        return;
    }
    if (life->outcome == WEIR_OUTCOME_ENDED && !life->dead)
        judge_memory(life, job);
    weir_job_close(&job);
    weir_graph_free(&graph);
}

static bool trouble_came(const struct life *life)
{
    struct sim_network_counts counts = sim_network_counts();

    switch (life->trouble.fault) {
    case SIM_FAULT_KILL:
    case SIM_FAULT_POWER:
    case SIM_FAULT_STEP:
        return life->dead;
    case SIM_FAULT_DISK:
        return sim_disk_failed();
    case SIM_FAULT_MEMORY:
        return sim_memory_failed();
    case SIM_FAULT_SINK:
        return life->graph.commit_failed;
    case SIM_FAULT_OPERATOR:
        return life->graph.call_has_failed;
    case SIM_FAULT_LOSE:
        return counts.lost > 0;
    case SIM_FAULT_CUT:
        return counts.cut > 0;
    case SIM_FAULT_CLOCK:
        return sim_clock_jumped() > 0;
    case SIM_FAULT_PAUSE:
        return sim_pauses() > 0;
    case SIM_FAULT_DAMAGE:
        return life->damage.file != NULL;
    default:
        return true;
    }
}

/* J1: may the run have failed because of what was done to it? */
static bool excused(const struct life *life)
{
    enum sim_fault fault = life->trouble.fault;

    if (life->dead)
        return true;
    return life->came && fault != SIM_FAULT_NONE && fault != SIM_FAULT_CLOCK &&
           fault != SIM_FAULT_PAUSE;
}

/* J3. What a cut takes may be credits alone, which the run can do without when others come. */
static void judge_loss(struct life *life)
{
    struct sim_network_counts counts = sim_network_counts();
    bool over = life->started && !life->stuck && !life->dead;

    if (!over || counts.lost == 0)
        return;
    if (life->outcome != WEIR_OUTCOME_FAILED)
        world_breach(&life->world, "J3: outcome %d, and an item was lost", (int)life->outcome);
    else if (life->error.code != WEIR_PROTOCOL)
        world_breach(&life->world, "J3: an item was lost, and the run failed by %s: %s",
                     weir_result_name(life->error.code), life->error.text);
}

/* J5 */
static void judge_damage(struct life *life)
{
    bool failed = !life->started || life->outcome == WEIR_OUTCOME_FAILED;

    if (life->damage.file != NULL && (!failed || life->error.code != WEIR_DAMAGED))
        world_breach(&life->world, "J5: from a damaged checkpoint: outcome %d, error %s: %s",
                     (int)life->outcome, weir_result_name(life->error.code), life->error.text);
}

#define DAMAGES 2 /* tried after each run */

/* J10 */
static void judge_verification(struct life *life, uint32_t number)
{
    uint64_t draw = sim_plan_stream(life->plan, SIM_DRAW_DAMAGE, number);

    for (uint32_t i = 0; i < DAMAGES && life->world.breach[0] == '\0'; i++) {
        uint64_t k = explore_random(&draw);
        enum sim_damage_kind kind = (enum sim_damage_kind)explore_below(&draw, SIM_DAMAGES);
        if (!sim_damage_is_found(kind, k))
            world_breach(&life->world, "J10: damage of kind %d at %" PRIu64 " was not found",
                         (int)kind, k);
    }
}

static void judge(struct life *life)
{
    bool failed = life->outcome >= WEIR_OUTCOME_FAILED;

    say("  run %u ended: started %d, outcome %d%s, error %s: %s\n", life->result->runs,
        life->started, (int)life->outcome, life->stuck ? ", stuck" : "",
        weir_result_name(life->error.code), life->error.text);
    if (life->outcome == WEIR_OUTCOME_ENDED || life->outcome == WEIR_OUTCOME_ALREADY_ENDED)
        world_is_exact(&life->world);
    else if (!excused(life))
        world_breach(&life->world, "J1: without any trouble outcome %d: %s: %s", (int)life->outcome,
                     weir_result_name(life->error.code), life->error.text);
    judge_loss(life);
    judge_damage(life);
    if (!life->dead && failed && life->started && life->error.text[0] == '\0')
        world_breach(&life->world, "J2: outcome %d without a reason", (int)life->outcome);
    if (!life->started && !life->dead && life->error.text[0] == '\0' &&
        life->trouble.fault != SIM_FAULT_MEMORY)
        world_breach(&life->world, "J2: no start, and no reason");
}

static void say_options(const struct life *life)
{
    const struct weir_job_options *options = &life->options;

    say("  mode %d after %" PRId64 " ns, window %u or %u bytes, records %" PRIu64
        " bytes, %u rounds at once\n",
        (int)options->mode, options->alignment_max_ns, options->window_batches,
        options->window_bytes, options->recording_max, options->rounds_at_once);
}

static void begin_run(struct life *life, uint32_t number, struct sim_trouble trouble)
{
    char text[200];

    if (life->varies && number > 0)
        draw_next_options(life, number);
    if (life->rescales && number > 0) {
        uint64_t draw = sim_plan_stream(life->plan, SIM_DRAW_RESCALE, number);
        sim_graph_rescale(&life->graph, &draw);
        set_state_memory(life);
    }
    say_options(life);
    life->save_draw = sim_plan_stream(life->plan, SIM_DRAW_SAVEPOINTS, 1 + number);
    life->saves_left = SAVES_A_RUN;
    life->saves_open = 0;
    life->trouble = trouble;
    life->error = (struct weir_error){0};
    life->stuck = false;
    life->lost_ns = life->gap_ns = 0;
    life->graph.commits_left = life->graph.calls_left = 0;
    life->graph.commit_failed = life->graph.call_has_failed = false;
    sim_trouble_write(&trouble, text, sizeof text);
    say("  run %u: %s\n", number, text);
    world_begin(&life->world);
    sim_start(sim_plan_stream(life->plan, SIM_DRAW_RUN, number));
    if (life->plan->other_bytes)
        sim_memory_start(0x3C, 0xA5);
    set_conditions(life);
    set_trouble(life);
}

static void count_run(struct life *life, int64_t began_ns)
{
    struct sim_result *result = life->result;

    life->came = trouble_came(life);
    result->faults_hit[life->trouble.fault] += life->came;
    if (result->runs++ == 0) {
        result->first_calls = sim_disk_calls();
        result->first_takes = sim_memory_takes();
        result->first_steps = sim_steps();
    }
    result->hash = XXH3_64bits_withSeed(&(uint64_t){sim_trace_hash()}, 8, result->hash);
    result->events += sim_trace_count();
    sim_network_add(&result->network, sim_network_counts());
    result->jumps += sim_clock_jumped();
    result->mapped += sim_disk_mapped();
    result->pauses += sim_pauses();
    result->stuck += life->stuck;
    result->virtual_ns += sim_now_ns() - began_ns;
}

static void damage(struct life *life, const struct sim_trouble *trouble)
{
    enum sim_damage_kind kind = trouble->k % 3 == 0 ? SIM_DAMAGE_CUT : SIM_DAMAGE_BYTE;

    (void)sim_damage_do(&life->damage, trouble->harder ? SIM_DAMAGE_SWAP : kind, trouble->k);
    life->world.damaged = life->damage.file;
}

/* The run of the number-th trouble, dropped ones counted too. */
static void run_once(struct life *life, uint32_t number, struct sim_trouble trouble)
{
    uint64_t crash_seed = sim_plan_stream(life->plan, SIM_DRAW_CRASH, number);
    int64_t began_ns;

    if (trouble.fault == SIM_FAULT_POWER && life->world.disk_broken)
        trouble.fault = SIM_FAULT_KILL;
    if (trouble.fault == SIM_FAULT_DISK && life->world.disk_broken)
        trouble.harder = false;
    if (trouble.fault == SIM_FAULT_DAMAGE)
        damage(life, &trouble);
    begin_run(life, number, trouble);
    began_ns = sim_now_ns();
    run_job(life);
    life->trouble = trouble;
    count_run(life, began_ns);
    sim_memory_fail(0, 0);
    if (sim_end() != 0)
        world_breach(&life->world, "something was left behind: see above");
    judge(life);
    sim_damage_undo(&life->damage);
    life->world.damaged = NULL;
    life->world.disk_lied |= world_disk_lies();
    if (life->dead && (trouble.fault == SIM_FAULT_POWER || trouble.fault == SIM_FAULT_DISK))
        sim_disk_crash(crash_seed);
    sim_disk_start();
    life->world.disk_broken |= world_disk_lies();
    sim_graph_forget(&life->graph);
    world_end(&life->world);
    judge_verification(life, number);
}

/* ---- a life ---- */

static bool is_over(const struct life *life)
{
    return life->world.breach[0] != '\0' || life->outcome == WEIR_OUTCOME_ENDED ||
           life->outcome == WEIR_OUTCOME_ALREADY_ENDED;
}

static void live_through_troubles(struct life *life)
{
    struct sim_result *result = life->result;

    result->troubles = sim_plan_trouble_count(life->plan);
    for (uint32_t i = 0; i < result->troubles; i++) {
        struct sim_trouble trouble = sim_plan_trouble(life->plan, i, life->faults);
        result->drawn[i] = trouble.fault;
        if (!is_over(life) && (life->plan->dropped >> i & 1) == 0)
            run_once(life, i, trouble);
    }
}

static void live(struct life *life)
{
    uint64_t end = sim_plan_stream(life->plan, SIM_DRAW_END, 0);

    live_through_troubles(life);
    if (!is_over(life))
        run_once(life, SIM_TROUBLES, (struct sim_trouble){0});
    if (life->world.breach[0] == '\0' && !is_over(life))
        world_breach(&life->world, "J1: the last run did not end");
    if (explore_below(&end, 4) == 0 && life->world.breach[0] == '\0') { /* J4 */
        run_once(life, SIM_TROUBLES + 1, (struct sim_trouble){0});
        if (life->outcome != WEIR_OUTCOME_ALREADY_ENDED)
            world_breach(&life->world, "J4: an ended job ended again, as %d", (int)life->outcome);
    }
}

static void say_life(const struct life *life)
{
    const struct weir_job_options *options = &life->options;

    say("seed %" PRIu64 ": %s of %" PRIu64 " records, %" PRIu64 " keys, rate %" PRIu64
        ", batches of %u bytes, interval %" PRId64 " ns, timeout %" PRId64 " ns\n",
        life->plan->seed, life->graph.shape, life->graph.count, life->graph.keys, life->graph.rate,
        options->batch_bytes, options->interval_ns, options->timeout_ns);
    say("  step %" PRId64 " ns, delay %" PRId64 " ns, slow actors %" PRId64 " ns; one in so many "
        "items twice %" PRIu64 ", late %" PRIu64 ", credits twice %" PRIu64 ", calls short %" PRIu64
        ", saves refused %" PRIu64 "; state in %" PRIu64 " bytes of memory%s\n",
        life->step_cost_ns, life->delay_ns, life->slow_ns, life->duplicate_one_in,
        life->reorder_one_in, life->credits_one_in, life->short_one_in, life->graph.refuse_one_in,
        options->state_memory, life->rescales ? "; rescaled" : "");
}

bool sim_job_live(const struct sim_plan *plan, struct sim_result *result)
{
    struct life life = {.plan = plan, .result = result};

    *result = (struct sim_result){0};
    sim_disk_wipe();
    draw_life(&life);
    life.options.event = on_event;
    life.options.event_context = &life;
    life.options.log = on_log;
    life.options.log_context = &life;
    life.options.poison = life.poison;
    life.options.poison_count = sim_graph_poison(&life.graph, life.poison);
    life.options.dead_letters = life.graph.poison_count > 0 ? SIM_LETTERS : NULL;
    sim_graph_oracle(&life.graph);
    say_life(&life);
    live(&life);
    snprintf(result->failure, sizeof result->failure, "%s", life.world.breach);
    world_free(&life.world);
    sim_disk_wipe();
    return result->failure[0] == '\0';
}

bool sim_job_live_planted(const struct sim_plan *plan, struct sim_result *result)
{
    sim_planted = plan->plant[0] == '\0' ? NULL : plan->plant;
    return sim_job_live(plan, result);
}

bool sim_job_live_twice(const struct sim_plan *plan, struct sim_result *result)
{
    struct sim_plan again = *plan;
    struct sim_result second;

    if (!sim_job_live_planted(plan, result))
        return false;
    again.other_bytes = true;
    (void)sim_job_live(&again, &second);
    if (second.failure[0] != '\0' || result->hash != second.hash)
        snprintf(result->failure, sizeof result->failure, "the same seed ran in two ways: %.400s",
                 second.failure);
    return result->failure[0] == '\0';
}

void sim_result_add(struct sim_result *total, const struct sim_result *one)
{
    for (int i = 0; i < SIM_FAULTS; i++)
        total->faults_hit[i] += one->faults_hit[i];
    total->hash = explore_mix(total->hash ^ one->hash);
    total->events += one->events;
    total->runs += one->runs;
    total->commits += one->commits;
    total->aborts += one->aborts;
    total->recorded += one->recorded;
    total->overtook += one->overtook;
    total->replayed += one->replayed;
    total->restored += one->restored;
    total->saved += one->saved;
    total->jumps += one->jumps;
    total->mapped += one->mapped;
    total->pauses += one->pauses;
    total->stuck += one->stuck;
    total->virtual_ns += one->virtual_ns;
    sim_network_add(&total->network, one->network);
}
