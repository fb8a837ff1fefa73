/* links: sim sim_job sim_graph sim_world */
/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole jobs over the simulated doors, in one thread, from a seed; killed, cut from power, refused
 * memory, served by bad disks, restarted: the output is exact. And the bugs planted in weir to test
 * these tests are found by them.
 *
 *   WEIR_SIM_SEEDS=N   how many seeds of random lives (tests/sim/run --seeds N)
 *   WEIR_TEST_SEED=S   that one alone, told at length
 *   WEIR_SIM_FAULTS=F  bit set of the faults that may come, as a planted bug has it
 *   WEIR_SIM_PLANT=P   with this bug awake
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "explore.h"
#include "plant.h"
#include "sim.h"
#include "sim_job.h"

static uint64_t number_of(const char *name, uint64_t standard)
{
    const char *text = getenv(name);

    return text == NULL ? standard : strtoull(text, NULL, 0);
}

static void print_lines(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
}

TestSuite(sim_job, .init = print_lines);

/* ---- a failing seed says how to repeat it, also when an assertion ends the program ---- */

static char replay[400];

static void on_abort(int signal_number)
{
    if (write(STDERR_FILENO, replay, strlen(replay)) < 0)
        _exit(99);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void name_seed(uint64_t seed)
{
    snprintf(replay, sizeof replay,
             "sim: FAILED. To repeat it:\n  WEIR_TEST_SEED=%" PRIu64
             " %s/tests/test_sim_job --filter sim_job/random_lives --verbose\n",
             seed, WEIR_BINARY_DIR);
    signal(SIGABRT, on_abort);
    signal(SIGSEGV, on_abort);
}

static struct sim_result total;

static void add(const struct sim_result *one)
{
    for (int i = 0; i < SIM_FAULTS; i++)
        total.faults_hit[i] += one->faults_hit[i];
    total.runs += one->runs;
    total.commits += one->commits;
    total.aborts += one->aborts;
    total.events += one->events;
    total.hash = explore_mix(total.hash ^ one->hash);
}

static bool live(uint64_t seed, bool twice)
{
    struct sim_plan plan = {.seed = seed,
                            .allowed = (uint32_t)number_of("WEIR_SIM_FAULTS", SIM_ALL_FAULTS)};
    struct sim_result first, second;
    bool well;

    name_seed(seed);
    well = sim_job_live(&plan, &first);
    plan.other_bytes = true;
    if (well && twice && sim_job_live(&plan, &second) && first.hash != second.hash) {
        snprintf(first.failure, sizeof first.failure, "the same seed ran in two ways");
        well = false;
    }
    if (!well)
        fprintf(stderr, "sim: seed %" PRIu64 ": %s\n%s", seed, first.failure, replay);
    add(&first);
    return well;
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void print_total(uint64_t lives, double began)
{
    const uint32_t *hit = total.faults_hit;

    printf("figure: %" PRIu64
           " simulated lives of random jobs: %u runs, %u checkpoints, %u aborted "
           "rounds, %" PRIu64 " events (hash %016" PRIx64 "), in %.1f s\n",
           lives, total.runs, total.commits, total.aborts, total.events, total.hash,
           seconds() - began);
    printf(
        "figure: of these runs %u were killed, %u cut from power, %u had a failing file call, %u "
        "a full disk, %u failing allocations, %u a stop, %u a failing sink\n",
        hit[SIM_FAULT_KILL], hit[SIM_FAULT_POWER], hit[SIM_FAULT_DISK], hit[SIM_FAULT_FULL],
        hit[SIM_FAULT_MEMORY], hit[SIM_FAULT_STOP], hit[SIM_FAULT_SINK]);
}

Test(sim_job, random_lives)
{
    uint64_t seeds = number_of("WEIR_SIM_SEEDS", 1000), first = number_of("WEIR_SIM_FIRST", 1);
    uint64_t failed = 0;
    double began = seconds();

    sim_planted = getenv("WEIR_SIM_PLANT");
    if (getenv("WEIR_TEST_SEED") != NULL) {
        sim_job_verbose(true);
        cr_assert(live(number_of("WEIR_TEST_SEED", 1), true));
        return;
    }
    for (uint64_t seed = first; seed < first + seeds && failed < 10; seed++)
        failed += !live(seed, seed % 4 == 0);
    print_total(seeds, began);
    cr_assert_eq(failed, 0);
}

/* ---- equal seeds, equal runs ---- */

static uint64_t hash_of(uint64_t seed, bool small, bool other_bytes)
{
    struct sim_plan plan = {
        .seed = seed, .small = small, .other_bytes = other_bytes, .forced = true};
    struct sim_result result;

    name_seed(seed);
    cr_assert(sim_job_live(&plan, &result), "%s", result.failure);
    return result.hash;
}

Test(sim_job, same_seed_gives_the_same_run)
{
    for (uint64_t seed = 1; seed <= 20; seed++)
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

static struct sim_result lives_after(enum sim_fault fault, uint64_t k, bool harder, int os_error)
{
    struct sim_plan plan = {
        .seed = 7,
        .small = true,
        .forced = true,
        .trouble_count = fault != SIM_FAULT_NONE,
        .troubles = {{.fault = fault, .k = k, .harder = harder, .os_error = os_error}}};
    struct sim_result result;

    snprintf(replay, sizeof replay, "sim: FAILED: the small job, fault %d at place %" PRIu64 "\n",
             (int)fault, k);
    signal(SIGABRT, on_abort);
    signal(SIGSEGV, on_abort);
    if (!sim_job_live(&plan, &result)) {
        sim_job_verbose(true);
        (void)sim_job_live(&plan, &result);
        cr_assert_fail("fault %d at place %" PRIu64 ": %s", (int)fault, k, result.failure);
    }
    return result;
}

/* Until the trouble comes no more: the run was over before. */
static uint64_t at_every_place(enum sim_fault fault, bool harder, int os_error)
{
    uint64_t k = 1;

    while (lives_after(fault, k, harder, os_error).faults_hit[fault] > 0)
        k++;
    return k - 1;
}

Test(sim_job, killed_at_every_file_call)
{
    uint64_t places = at_every_place(SIM_FAULT_KILL, true, 0);

    printf("figure: a small job killed at each of its %" PRIu64 " file calls: exact\n", places);
    cr_assert_gt(places, 60);
}

Test(sim_job, power_cut_at_every_file_call)
{
    uint64_t places = at_every_place(SIM_FAULT_POWER, true, 0);

    printf("figure: power cut at each of its %" PRIu64 " file calls: exact\n", places);
    cr_assert_gt(places, 60);
}

Test(sim_job, every_file_call_fails)
{
    uint64_t places = at_every_place(SIM_FAULT_DISK, false, EIO);

    printf("figure: EIO, and then ENOSPC, at each of its %" PRIu64 " file calls: exact\n", places);
    cr_assert_eq(at_every_place(SIM_FAULT_DISK, false, ENOSPC), places);
}

Test(sim_job, every_allocation_fails)
{
    uint64_t places = at_every_place(SIM_FAULT_MEMORY, false, 0);

    printf("figure: %" PRIu64 " allocations failed, one at a time: exact\n", places);
    cr_assert_gt(places, 400);
}

/* ---- planted bugs ---- */

struct plant {
    const char *name;
    uint32_t allowed; /* the kinds of fault that show it: fewer faults, fewer runs in vain */
};

#define CRASHES (1u << SIM_FAULT_KILL | 1u << SIM_FAULT_POWER)

static const struct plant plants[] = {
    {"container_sync_skipped", 1u << SIM_FAULT_POWER},
    {"manifest_sync_skipped", 1u << SIM_FAULT_POWER},
    {"commit_sync_skipped", 1u << SIM_FAULT_POWER},
    {"recovery_sync_skipped", CRASHES},
    {"retention_sync_skipped", 1u << SIM_FAULT_POWER},
    {"id_used_again", CRASHES},
    {"told_before_commit", CRASHES},
    {"handle_dropped", CRASHES | 1u << SIM_FAULT_SINK | 1u << SIM_FAULT_DISK},
    {"commit_not_idempotent", 1u << SIM_FAULT_SINK},
    {"position_after_marker", CRASHES | 1u << SIM_FAULT_STOP},
    {"end_is_no_marker", 0},
    {"channel_forgotten", CRASHES | 1u << SIM_FAULT_STOP},
    {"open_batch_left_out", CRASHES | 1u << SIM_FAULT_STOP},
    {"credit_returned_twice", 0},
    {"sequence_unchecked", 0},
    {"timers_forgotten", CRASHES | 1u << SIM_FAULT_STOP},
    {"position_lost", CRASHES | 1u << SIM_FAULT_STOP},
    {"hold_ignored", 0},
    {"node_folder_unsynced", 1u << SIM_FAULT_POWER},
    {"letter_dropped", CRASHES | 1u << SIM_FAULT_STOP},
    {"letter_uncut", CRASHES | 1u << SIM_FAULT_STOP},
    {"letter_sync_skipped", 1u << SIM_FAULT_POWER},
};

#define PLANT_SEEDS 1000
#define PLANTS (sizeof plants / sizeof plants[0])

/* In a child: a plant may end in an assertion. Says how far it came in *seed. */
static void live_planted(const struct plant *plant, volatile uint64_t *seed)
{
    signal(SIGABRT, SIG_DFL);
    signal(SIGSEGV, SIG_DFL);
    if (freopen("/dev/null", "w", stderr) == NULL)
        _exit(2);
    sim_planted = plant->name;
    for (*seed = 1; *seed <= PLANT_SEEDS; ++*seed) {
        struct sim_plan plan = {.seed = *seed, .allowed = plant->allowed};
        struct sim_result result;
        if (!sim_job_live(&plan, &result))
            _exit(1);
    }
    _exit(0);
}

static uint64_t seeds_until_caught(const struct plant *plant, volatile uint64_t *seed)
{
    struct sim_result result;
    struct sim_plan plan;
    int status = 0;
    pid_t child = fork();

    cr_assert_geq(child, 0);
    if (child == 0)
        live_planted(plant, seed);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(!WIFEXITED(status) || WEXITSTATUS(status) != 2);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    plan = (struct sim_plan){.seed = *seed, .allowed = plant->allowed};
    name_seed(*seed);
    cr_assert(sim_job_live(&plan, &result), "%s: without it too: %s", plant->name, result.failure);
    return *seed;
}

Test(sim_job, planted_bugs_are_caught)
{
    volatile uint64_t *seed =
        mmap(NULL, sizeof *seed, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint32_t caught = 0;

    cr_assert_neq((void *)(uintptr_t)seed, MAP_FAILED);
    for (size_t i = 0; i < PLANTS; i++) {
        uint64_t seeds = seeds_until_caught(&plants[i], seed);
        printf("figure: planted %s: %s %" PRIu64 " seeds\n", plants[i].name,
               seeds == 0 ? "NOT caught in" : "caught within", seeds == 0 ? PLANT_SEEDS : seeds);
        caught += seeds > 0;
    }
    printf("figure: %u of %zu planted bugs caught\n", caught, PLANTS);
    cr_assert_eq(caught, PLANTS);
}
