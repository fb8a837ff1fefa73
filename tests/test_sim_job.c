/* links: sim sim_job sim_damage sim_pair sim_plan sim_trial sim_graph sim_operators sim_world */
/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole jobs over the simulated doors, in one thread, from a seed; killed, cut from power, refused
 * memory, served by bad disks and networks, restarted: the output is exact. And the bugs planted in
 * weir to test these tests are found by them.
 *
 *   WEIR_SIM_SEEDS=N   how many seeds of random lives, each lived twice (tests/sim/run --seeds N);
 *                      240, or with WEIR_TEST_SHARE a part, and then no planted bugs; without it
 *                      each third of them is lived twice
 *   WEIR_SIM_FIRST=S   the first of them
 *   WEIR_TEST_SEED=S   that one alone, told at length
 *   WEIR_SIM_LIFE=...  what else a life is to be: see sim_plan.h
 *   WEIR_SIM_SHRINK=1  with WEIR_TEST_SEED: the smallest life that fails as this one does
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "exercised.h"
#include "explore.h"
#include "plant.h"
#include "sim_pair.h"
#include "sim_trial.h"

static uint64_t number_of(const char *name, uint64_t standard)
{
    const char *text = getenv(name);

    return text == NULL ? standard : strtoull(text, NULL, 0);
}

/* What tests the tests needs to be done once. */
static void leave_to_another_build(void)
{
    if (explore_share() > 1)
        cr_skip_test("another build does it");
}

static void print_lines(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
}

TestSuite(sim_job, .init = print_lines);

/* ---- a failing life says how to repeat it, also when an assertion ends the program ---- */

static char replay[1000];

static void on_abort(int signal_number)
{
    if (write(STDERR_FILENO, replay, strlen(replay)) < 0)
        _exit(99);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void name_life(const struct sim_plan *plan)
{
    char text[SIM_PLAN_TEXT];

    sim_plan_write(plan, text);
    snprintf(replay, sizeof replay,
             "sim: FAILED. To repeat it:\n  tests/sim/run --seed %s\nTo make it smaller:\n"
             "  tests/sim/run --shrink --seed %s\n",
             text, text);
    signal(SIGABRT, on_abort);
    signal(SIGSEGV, on_abort);
}

/* What is to be said of every life. */
static void read_options(struct sim_plan *plan)
{
    const char *text = getenv("WEIR_SIM_LIFE");
    char why[SIM_PLAN_TEXT];

    if (text != NULL && !sim_plan_read(plan, text, why))
        cr_assert_fail("WEIR_SIM_LIFE: %s", why);
}

/* Memory that nobody has written, and an order that nobody has given, are seen in any life: in the
 * few that are lived at every occasion some are enough. */
static bool is_lived_twice(uint64_t seed)
{
    return getenv("WEIR_SIM_SEEDS") != NULL || seed % 3 == 0;
}

static bool live(const struct sim_plan *plan, bool twice, struct sim_result *result)
{
    name_life(plan);
    if (twice ? sim_job_live_twice(plan, result) : sim_job_live_planted(plan, result))
        return true;
    fprintf(stderr, "sim: seed %" PRIu64 ": %s\n%s", plan->seed, result->failure, replay);
    return false;
}

/* ---- random lives ---- */

/* Of the processor: others may share it. */
static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

struct tally {
    struct sim_result total;
    uint64_t lives, failed;
    double took, slowest;
    uint64_t slowest_seed;
    uint32_t had[SIM_CONDITIONS]; /* lives */
};

static void live_and_count(struct tally *tally, const struct sim_plan *plan, bool twice)
{
    struct sim_result result;
    double began = seconds(), took;

    tally->failed += !live(plan, twice, &result);
    took = seconds() - began;
    sim_result_add(&tally->total, &result);
    tally->lives++;
    for (uint32_t i = 0; i < SIM_CONDITIONS; i++)
        tally->had[i] += result.conditions >> i & 1;
    tally->took += took;
    if (took > tally->slowest) {
        tally->slowest = took;
        tally->slowest_seed = plan->seed;
    }
}

static void print_tally(const struct tally *tally)
{
    const struct sim_result *total = &tally->total;
    const struct sim_network_counts *network = &total->network;

    printf("figure: %" PRIu64 " simulated lives of random jobs, some lived twice the same way: %u "
           "runs, %u checkpoints, %u aborted rounds, %" PRIu64 " events (hash %016" PRIx64
           "), %.0f virtual seconds, in %.1f s of processor time\n",
           tally->lives, total->runs, total->commits, total->aborts, total->events, total->hash,
           (double)total->virtual_ns / 1e9, tally->took);
    printf("figure: the slowest life took %.2f s (seed %" PRIu64 "), the average %.3f s\n",
           tally->slowest, tally->slowest_seed, tally->took / (double)tally->lives);
    printf("figure: troubles that came:");
    for (int i = SIM_FAULT_NONE + 1; i < SIM_FAULTS; i++)
        printf(" %s %u%s", sim_fault_name((enum sim_fault)i), total->faults_hit[i],
               i + 1 < SIM_FAULTS ? "," : "\n");
    printf("figure: of %" PRIu64 " items %" PRIu64 " overtook another, %" PRIu64
           " came twice, %" PRIu64 " were lost; %" PRIu64 " credits came twice, %" PRIu64
           " connections broke with "
           "%" PRIu64 " messages; %" PRIu64 " runs stood still after a loss\n",
           network->items, network->overtook, network->duplicated, network->lost,
           network->credits_duplicated, network->cuts, network->cut, total->stuck);
    printf("figure: %u checkpoints held records in flight, %u were cut early somewhere, %u runs "
           "began with records in flight; %u savepoints were written\n",
           total->recorded, total->overtook, total->replayed, total->saved);
    printf("figure: the wall clock jumped %" PRIu64 " times, %" PRIu64 " pauses; %" PRIu64
           " bytes of state left memory\n",
           total->jumps, total->pauses, total->mapped);
}

/* What FAULTS.md knows by these names. */
static void print_exercised(const struct tally *tally)
{
    exercised(tally->lives);
    for (int i = SIM_FAULT_NONE + 1; i < SIM_FAULTS; i++)
        exercised_by_name("lives", sim_fault_name((enum sim_fault)i), tally->total.faults_hit[i]);
    for (int i = 0; i < SIM_CONDITIONS; i++)
        exercised_by_name("lives", sim_condition_name((enum sim_condition)i), tally->had[i]);
}

/* A plan with a bug has to fail with it, which shows that the seed still means what it meant, and
 * to be well without. */
static void live_kept(struct tally *tally, struct sim_plan *plan, const char *line)
{
    struct sim_result result;

    if (plan->plant[0] != '\0')
        cr_assert(!sim_trial(plan, true, &result), "sim/seeds: its bug is not caught: %s", line);
    plan->plant[0] = '\0';
    live_and_count(tally, plan, true);
}

static void live_all_kept(struct tally *tally)
{
    FILE *file = fopen(WEIR_SOURCE_DIR "/tests/sim/seeds", "r");
    char line[SIM_PLAN_TEXT], why[SIM_PLAN_TEXT] = "no seed";

    cr_assert_not_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        struct sim_plan plan = sim_plan_of(0);
        line[strcspn(line, "#\n")] = '\0';
        if (line[strspn(line, " \t")] == '\0')
            continue;
        cr_assert(sim_plan_read(&plan, line, why) && plan.seed > 0, "sim/seeds: %s: %s", line, why);
        live_kept(tally, &plan, line);
    }
    fclose(file);
}

static void live_alone(uint64_t seed)
{
    struct sim_plan plan = sim_plan_of(seed);
    struct sim_result result;
    char text[SIM_PLAN_TEXT];
    uint32_t tries;

    read_options(&plan);
    if (getenv("WEIR_SIM_SHRINK") == NULL) {
        sim_job_verbose(true);
        cr_assert(live(&plan, true, &result));
        return;
    }
    tries = sim_trial_shrink(&plan, &result);
    cr_assert_gt(tries, 0, "the life does not fail");
    sim_plan_write(&plan, text);
    printf("sim: the smallest of %u lives that fails like it, with %" PRIu64
           " records a source:\n  tests/sim/run --seed %s\n  %s\n",
           tries, result.records, text, result.failure);
}

Test(sim_job, random_lives)
{
    uint64_t seeds = number_of("WEIR_SIM_SEEDS", 240 / explore_share()),
             first = number_of("WEIR_SIM_FIRST", 1);
    struct tally tally = {0};

    if (getenv("WEIR_TEST_SEED") != NULL) {
        live_alone(number_of("WEIR_TEST_SEED", 1));
        return;
    }
    live_all_kept(&tally);
    for (uint64_t seed = first; seed < first + seeds && tally.failed < 10; seed++) {
        struct sim_plan plan = sim_plan_of(seed);
        read_options(&plan);
        live_and_count(&tally, &plan, is_lived_twice(seed));
    }
    print_tally(&tally);
    print_exercised(&tally);
    cr_assert_eq(tally.failed, 0);
}

/* ---- a failing life, written down and made smaller ---- */

static struct sim_plan any_plan(uint64_t *draw)
{
    struct sim_plan plan = sim_plan_of(explore_random(draw));

    plan.allowed = (uint32_t)explore_random(draw) & SIM_ALL_FAULTS;
    plan.conditions = explore_below(draw, 1u << SIM_CONDITIONS);
    plan.records = explore_below(draw, 100);
    plan.dropped = explore_below(draw, 1u << SIM_TROUBLES);
    if (explore_below(draw, 2))
        snprintf(plan.plant, sizeof plan.plant, "id_used_again");
    return plan;
}

Test(sim_job, plan_reads_what_it_wrote)
{
    uint64_t draw = explore_seed();

    for (int i = 0; i < 1000; i++) {
        struct sim_plan plan = any_plan(&draw), read = sim_plan_of(1);
        char text[SIM_PLAN_TEXT], again[SIM_PLAN_TEXT], why[SIM_PLAN_TEXT];
        sim_plan_write(&plan, text);
        cr_assert(sim_plan_read(&read, text, why), "%s: %s", text, why);
        sim_plan_write(&read, again);
        cr_assert_str_eq(text, again);
        cr_assert(read.seed == plan.seed && read.allowed == plan.allowed &&
                  read.conditions == plan.conditions && read.records == plan.records &&
                  read.dropped == plan.dropped && strcmp(read.plant, plan.plant) == 0);
    }
}

Test(sim_job, plan_refuses_words_that_it_does_not_know)
{
    static const char *const wrong[] = {
        "1 --faults kil",  "1 --faults kill,", "1 --faults", "1 --conditions tea",
        "1 --records few", "1 --drop 8",       "one",        "1x",
        "1 --seed 2"};
    struct sim_plan plan = sim_plan_of(1);
    char why[SIM_PLAN_TEXT];

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_assert_not(sim_plan_read(&plan, wrong[i], why), "%s", wrong[i]);
}

/* A bug that loses records shows with few of them, and with one death. */
Test(sim_job, failing_life_gets_smaller_and_fails_the_same_way)
{
    struct sim_result before, after;
    char way[SIM_WAY], smaller[SIM_WAY];
    struct sim_plan plan;
    uint64_t seed = 0;

    leave_to_another_build();
    do {
        plan = sim_plan_of(++seed);
        snprintf(plan.plant, sizeof plan.plant, "open_batch_left_out");
    } while (sim_trial(&plan, true, &before) || before.troubles < 3);
    cr_assert_gt(sim_trial_shrink(&plan, &after), 1);
    cr_assert_not(sim_trial(&plan, true, &after), "it says itself that it fails");
    sim_trial_way(before.failure, way);
    sim_trial_way(after.failure, smaller);
    cr_assert_str_eq(way, smaller);
    cr_assert_leq(after.runs, 2);
    cr_assert_lt(after.records, before.records);
    plan.plant[0] = '\0';
    cr_assert_eq(sim_trial_shrink(&plan, &after), 0, "a life that does not fail stays as it is");
}

/* ---- equal seeds, equal runs ---- */

static uint64_t hash_of(uint64_t seed, bool small, bool other_bytes)
{
    struct sim_plan plan = sim_plan_of(seed);
    struct sim_result result;

    plan.allowed = 0;
    plan.small = small;
    plan.other_bytes = other_bytes;
    name_life(&plan);
    cr_assert(sim_job_live(&plan, &result), "%s", result.failure);
    return result.hash;
}

Test(sim_job, same_seed_gives_the_same_run)
{
    for (uint64_t seed = 1; seed <= explore_part(20); seed++)
        cr_assert_eq(hash_of(seed, false, false), hash_of(seed, false, true), "seed %d", (int)seed);
}

/* The same job too runs otherwise: schedule and identities are drawn. */
Test(sim_job, other_seed_gives_another_run)
{
    uint64_t hashes[20];

    for (uint64_t seed = 0; seed < 20; seed++) {
        hashes[seed] = hash_of(seed, true, false);
        for (uint64_t before = 0; before < seed; before++)
            cr_assert_neq(hashes[seed], hashes[before]);
    }
}

/* ---- a small job, and one trouble at every place ---- */

static struct sim_result lives_after(const struct sim_trouble *trouble)
{
    struct sim_plan plan = {.seed = 7,
                            .small = true,
                            .forced = true,
                            .trouble_count = trouble->fault != SIM_FAULT_NONE,
                            .troubles = {*trouble}};
    struct sim_result result;
    char text[200];

    sim_trouble_write(trouble, text, sizeof text);
    snprintf(replay, sizeof replay, "sim: FAILED: the small job, %s\n", text);
    signal(SIGABRT, on_abort);
    signal(SIGSEGV, on_abort);
    if (!sim_job_live(&plan, &result)) {
        sim_job_verbose(true);
        (void)sim_job_live(&plan, &result);
        cr_assert_fail("%s: %s", text, result.failure);
    }
    return result;
}

/* At every STRIDE-th place, until the trouble comes no more: the run was over before. */
static uint64_t at_places(struct sim_trouble trouble, uint32_t stride)
{
    trouble.k = 1;
    while (lives_after(&trouble).faults_hit[trouble.fault] > 0)
        trouble.k += stride;
    return trouble.k - 1;
}

static uint64_t at_every_place(struct sim_trouble trouble)
{
    return at_places(trouble, explore_share());
}

Test(sim_job, killed_at_every_file_call)
{
    uint64_t places = at_every_place((struct sim_trouble){.fault = SIM_FAULT_KILL, .harder = true});

    printf("figure: a small job killed at each of its %" PRIu64 " file calls: exact\n", places);
    exercised(places / explore_share());
    cr_assert_gt(places, 60);
}

Test(sim_job, power_cut_at_every_file_call)
{
    uint64_t places =
        at_every_place((struct sim_trouble){.fault = SIM_FAULT_POWER, .harder = true});

    printf("figure: power cut at each of its %" PRIu64 " file calls: exact\n", places);
    exercised(places / explore_share());
    cr_assert_gt(places, 60);
}

Test(sim_job, every_file_call_fails)
{
    uint64_t places =
        at_every_place((struct sim_trouble){.fault = SIM_FAULT_DISK, .os_error = EIO});

    printf("figure: EIO, and then ENOSPC, at each of its %" PRIu64 " file calls: exact\n", places);
    exercised(2 * places / explore_share());
    cr_assert_eq(at_every_place((struct sim_trouble){.fault = SIM_FAULT_DISK, .os_error = ENOSPC}),
                 places);
}

/* Unless full, every third: sim_memory refuses them too. */
Test(sim_job, every_allocation_fails)
{
    uint32_t stride = explore_full() ? 1 : 8 * explore_share();
    uint64_t places = at_places((struct sim_trouble){.fault = SIM_FAULT_MEMORY}, stride);

    printf("figure: %" PRIu64 " of %" PRIu64 " allocations failed, one at a time: exact\n",
           places / stride, places);
    exercised(places / stride);
    cr_assert_gt(places, 400);
}

Test(sim_job, dies_at_every_step)
{
    uint64_t places = at_every_place((struct sim_trouble){.fault = SIM_FAULT_STEP, .harder = true});

    printf("figure: a small job that dies at each of its %" PRIu64 " steps: exact\n", places);
    exercised(places / explore_share());
    cr_assert_gt(places, 300);
}

Test(sim_job, every_callback_fails_and_kills)
{
    struct sim_trouble trouble = {.fault = SIM_FAULT_OPERATOR};
    uint64_t places = at_every_place(trouble);

    printf("figure: each of %" PRIu64 " callbacks failed, and then killed: exact\n", places);
    exercised(2 * places / explore_share());
    cr_assert_gt(places, 200);
    trouble.harder = true;
    cr_assert_eq(at_every_place(trouble), places);
}

Test(sim_job, every_item_is_lost)
{
    uint64_t places = at_every_place((struct sim_trouble){.fault = SIM_FAULT_LOSE});

    printf("figure: each of %" PRIu64 " items lost: noticed, or nothing went on; exact\n", places);
    exercised(places / explore_share());
    cr_assert_gt(places, 30);
}

Test(sim_job, connection_breaks_at_every_item)
{
    uint64_t places = at_every_place((struct sim_trouble){.fault = SIM_FAULT_CUT, .harder = true});

    printf("figure: a connection broken at each of %" PRIu64 " items: exact\n", places);
    exercised(places / explore_share());
    cr_assert_gt(places, 30);
}

/* ---- clocks ---- */

#define SMALL_INTERVAL_NS 250000 /* of the small job's checkpoints */

/* F34: however many intervals and timeouts have passed meanwhile, it is one late trigger, and no
 * rounds are too late but those that were open, two here: no more checkpoints than the rest of the
 * time is long. */
Test(sim_job, gap_in_time_is_one_late_tick)
{
    struct sim_trouble none = {0};
    struct sim_result whole = lives_after(&none);
    uint32_t aborted = 0, gaps = 0;
    const uint64_t stride = explore_share() > 1 ? 49 : 7;

    for (uint64_t k = 1; k < whole.first_steps; k += stride) {
        struct sim_trouble gap = {
            .fault = SIM_FAULT_PAUSE, .k = k, .harder = true, .pause_ns = 100000000000};
        struct sim_result result = lives_after(&gap);
        int64_t rest_ns = result.virtual_ns - gap.pause_ns;
        if (result.faults_hit[SIM_FAULT_PAUSE] == 0)
            continue; /* after another schedule, it was over before */
        cr_assert_leq(result.aborts, whole.aborts + 2, "at step %d", (int)k);
        cr_assert_leq(result.commits, 2 + rest_ns / SMALL_INTERVAL_NS, "at step %d", (int)k);
        aborted += result.aborts;
        gaps++;
    }
    exercised(gaps);
    cr_assert_gt(aborted, 0, "some gaps fall into a round, and are longer than its timeout");
}

/* ---- two runs on one store ---- */

struct pairs {
    uint64_t places, refused, third;
};

static bool add_pair(struct pairs *pairs, const struct sim_pair_plan *plan)
{
    struct sim_pair_result result;

    snprintf(replay, sizeof replay,
             "sim: FAILED: two runs, the first paused at step %" PRIu64 " or in call %" PRIu64
             ", woken as %d, useless lock %d\n",
             plan->pause_at, plan->pause_in, (int)plan->wake, plan->useless_lock);
    signal(SIGABRT, on_abort);
    signal(SIGSEGV, on_abort);
    cr_assert(sim_pair_live(plan, &result), "%s\n%s", result.failure, replay);
    pairs->places += result.paused;
    pairs->refused += result.refused;
    pairs->third += result.third;
    return result.paused;
}

/* At every place, until A has ended before it comes. */
static struct pairs pairs_everywhere(bool in_calls)
{
    struct pairs pairs = {0};

    for (int i = 0; i < 2 * SIM_WAKES; i++) {
        struct sim_pair_plan plan = {
            .seed = 7, .wake = (enum sim_wake)(i / 2), .useless_lock = i % 2 == 1};
        uint64_t *place = in_calls ? &plan.pause_in : &plan.pause_at;
        do
            *place += explore_share();
        while (add_pair(&pairs, &plan));
    }
    return pairs;
}

Test(sim_job, older_run_that_wakes_makes_nothing_visible)
{
    struct pairs pairs = pairs_everywhere(false);

    printf("figure: a run paused before each of its steps while another takes its store, %" PRIu64
           " pairs: %" PRIu64 " were refused, %" PRIu64 " made a third run necessary; exact\n",
           pairs.places, pairs.refused, pairs.third);
    exercised(pairs.places);
    cr_assert(pairs.places > 1000 / explore_share() && pairs.refused > 1000 / explore_share());
}

Test(sim_job, older_run_that_wakes_in_a_file_call_publishes_nothing)
{
    struct pairs pairs = pairs_everywhere(true);

    printf("figure: the same at each of its file calls, %" PRIu64 " pairs: %" PRIu64
           " were refused, %" PRIu64 " made a third run necessary; exact\n",
           pairs.places, pairs.refused, pairs.third);
    exercised(pairs.places);
    cr_assert(pairs.places > 500 / explore_share() && pairs.refused > 500 / explore_share());
}

/* ---- planted bugs ---- */

struct plant {
    const char *name;
    uint32_t allowed; /* the kinds of fault that show it: fewer faults, fewer runs in vain */
};

#define CRASHES (1u << SIM_FAULT_KILL | 1u << SIM_FAULT_POWER | 1u << SIM_FAULT_STEP)

#define STOPS (CRASHES | 1u << SIM_FAULT_STOP)
#define DAMAGE (CRASHES | 1u << SIM_FAULT_DAMAGE)

static const struct plant plants[] = {
    /* the store */
    {"container_sync_skipped", 1u << SIM_FAULT_POWER},
    {"manifest_sync_skipped", 1u << SIM_FAULT_POWER},
    {"commit_sync_skipped", 1u << SIM_FAULT_POWER},
    {"recovery_sync_skipped", CRASHES},
    {"retention_sync_skipped", 1u << SIM_FAULT_POWER},
    {"gc_takes_open_round", STOPS},
    {"sync_tried_again", 1u << SIM_FAULT_DISK | 1u << SIM_FAULT_POWER},
    {"id_used_again", CRASHES},
    {"epoch_in_memory_only", CRASHES},
    {"checksum_unchecked", DAMAGE},
    {"parts_swapped", DAMAGE},
    {"falls_back", DAMAGE},
    /* the round */
    {"told_before_commit", CRASHES},
    {"deadline_never", 1u << SIM_FAULT_LOSE | 1u << SIM_FAULT_CUT},
    {"handle_dropped", CRASHES | 1u << SIM_FAULT_SINK | 1u << SIM_FAULT_DISK},
    {"commit_not_idempotent", 1u << SIM_FAULT_SINK},
    /* the cut */
    {"position_after_marker", STOPS},
    {"end_is_no_marker", 0},
    {"channel_forgotten", STOPS},
    {"late_marker_counted", STOPS},
    {"aligned_only_overtaken", STOPS},
    {"overtake_ignored", STOPS},
    {"timers_forgotten", STOPS},
    {"key_timer_lost", STOPS},
    {"key_timer_left_in_log", STOPS},
    {"restore_renews_expiry", STOPS},
    {"sealed_entries_skipped", STOPS},
    {"list_length_forgotten", STOPS},
    {"position_lost", STOPS},
    {"letter_dropped", STOPS},
    {"letter_uncut", STOPS},
    /* what is in flight */
    {"open_batch_left_out", STOPS},
    {"marker_waits_for_credit", STOPS},
    {"outlet_content_forgotten", STOPS},
    {"arrivals_not_logged", STOPS},
    {"queues_not_recorded", STOPS},
    {"half_read_batch_whole", STOPS},
    {"recorded_batch_lost", STOPS},
    {"abort_leaks", STOPS},
    {"content_out_of_order", STOPS},
    {"window_granted_twice", STOPS},
    /* another parallelism */
    {"new_before_old", STOPS},
    {"group_read_by_two", STOPS},
    {"item_lost", STOPS},
    {"handles_lost", STOPS},
    {"scan_begins_anew", STOPS},
    /* the rest */
    {"credit_returned_twice", 0},
    {"sequence_unchecked", 0},
    {"hold_ignored", 0},
    {"moved_unwritten", 0},
    {"node_folder_unsynced", 1u << SIM_FAULT_POWER},
    {"letter_sync_skipped", 1u << SIM_FAULT_POWER},
};

/* Those that show late: the seeds before these were tried in vain, and are left out unless
 * WEIR_SIM_FIRST says otherwise. */
static const struct {
    const char *name;
    uint64_t seed;
} late[] = {{"retention_sync_skipped", 77},
            {"sync_tried_again", 248},
            {"id_used_again", 15},
            {"checksum_unchecked", 56},
            {"falls_back", 88},
            {"deadline_never", 41},
            {"handle_dropped", 37},
            {"late_marker_counted", 15},
            {"overtake_ignored", 305},
            {"timers_forgotten", 15},
            {"key_timer_lost", 29},
            {"key_timer_left_in_log", 29},
            {"restore_renews_expiry", 145},
            {"sealed_entries_skipped", 29},
            {"list_length_forgotten", 21},
            {"position_lost", 485},
            {"marker_waits_for_credit", 78},
            {"content_out_of_order", 197},
            {"new_before_old", 247},
            {"group_read_by_two", 202},
            {"handles_lost", 63},
            {"scan_begins_anew", 94},
            {"letter_sync_skipped", 55}};

static uint64_t first_seed(const char *name)
{
    uint64_t first = 1;

    for (size_t i = 0; i < sizeof late / sizeof late[0]; i++)
        if (strcmp(late[i].name, name) == 0)
            first = late[i].seed;
    return number_of("WEIR_SIM_FIRST", first);
}

#define PLANT_SEEDS 1000
#define PLANTS (sizeof plants / sizeof plants[0])

static uint64_t seeds_until_caught(const struct plant *plant)
{
    struct sim_result result;

    for (uint64_t seed = first_seed(plant->name); seed <= PLANT_SEEDS; seed++) {
        struct sim_plan plan = sim_plan_of(seed);
        plan.allowed = plant->allowed;
        plan.hasty = true;
        snprintf(plan.plant, sizeof plan.plant, "%s", plant->name);
        if (sim_trial(&plan, false, &result))
            continue;
        plan.plant[0] = '\0';
        cr_assert(sim_trial(&plan, false, &result), "%s: seed %d fails without it too: %s",
                  plant->name, (int)seed, result.failure);
        return seed;
    }
    return 0;
}

Test(sim_job, planted_bugs_are_caught)
{
    uint32_t caught = 0;

    leave_to_another_build();
    for (size_t i = 0; i < PLANTS; i++) {
        uint64_t seeds = seeds_until_caught(&plants[i]);
        printf("figure: planted %s: %s %" PRIu64 " seeds\n", plants[i].name,
               seeds == 0 ? "NOT caught in" : "caught within", seeds == 0 ? PLANT_SEEDS : seeds);
        exercised_by_name("plant", plants[i].name, seeds > 0);
        caught += seeds > 0;
    }
    printf("figure: %u of %zu planted bugs caught\n", caught, PLANTS);
    cr_assert_eq(caught, PLANTS);
}

/* Those that it takes two runs for; or that two runs show as well. */
static const char *const pair_plants[] = {"commit_not_idempotent", "check_before_commit_skipped"};

#define PAIR_PLANTS (sizeof pair_plants / sizeof pair_plants[0])

static uint64_t pairs_until_caught(const char *name)
{
    struct sim_pair_plan plan = {.seed = 7, .wake = SIM_WAKE_STARTED, .pause_at = 1};
    struct sim_pair_result result;
    bool well;

    do {
        sim_planted = name;
        well = sim_pair_live(&plan, &result);
        sim_planted = NULL;
        if (!well)
            return plan.pause_at;
        plan.pause_at++;
    } while (result.paused);
    return 0;
}

Test(sim_job, planted_bugs_are_caught_by_two_runs)
{
    uint32_t caught = 0;

    leave_to_another_build();
    for (size_t i = 0; i < PAIR_PLANTS; i++) {
        uint64_t pairs = pairs_until_caught(pair_plants[i]);
        printf("figure: planted %s: %s by a run paused at step %" PRIu64 "\n", pair_plants[i],
               pairs == 0 ? "NOT caught" : "caught", pairs);
        exercised_by_name("plant", pair_plants[i], pairs > 0);
        caught += pairs > 0;
    }
    cr_assert_eq(caught, PAIR_PLANTS);
}
