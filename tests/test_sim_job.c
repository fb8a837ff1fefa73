/* links: sim sim_job sim_graph sim_world */
/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole jobs over the simulated doors, in one thread, from a seed; killed, cut from power, refused
 * memory, served by bad disks, restarted: the output is exact. And the bugs planted in weir to test
 * these tests are found by them.
 *
 *   WEIR_SIM_SEEDS=N   how many seeds of random lives (tests/sim/run --seeds N)
 *   WEIR_TEST_SEED=S   that one alone, told at length
 */
#include <criterion/criterion.h>
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

static uint32_t total_faults[SIM_FAULTS];
static uint64_t total_runs, total_commits, total_aborts, total_events;

static void live(uint64_t seed, bool twice)
{
    struct sim_plan plan = {.seed = seed, .allowed = SIM_ALL_FAULTS};
    struct sim_result first, second;

    name_seed(seed);
    if (!sim_job_live(&plan, &first))
        cr_assert_fail("seed %" PRIu64 ": %s\n%s", seed, first.failure, replay);
    if (twice) {
        cr_assert(sim_job_live(&plan, &second), "%s\n%s", second.failure, replay);
        cr_assert_eq(first.hash, second.hash, "seed %" PRIu64 " runs in two ways\n%s", seed, replay);
    }
    for (int i = 0; i < SIM_FAULTS; i++)
        total_faults[i] += first.faults_hit[i];
    total_runs += first.runs;
    total_commits += first.commits;
    total_aborts += first.aborts;
    total_events += first.events;
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

Test(sim_job, random_lives, .timeout = 0)
{
    uint64_t seeds = number_of("WEIR_SIM_SEEDS", 200), first = number_of("WEIR_SIM_FIRST", 1);
    double began = seconds();

    if (getenv("WEIR_TEST_SEED") != NULL) {
        sim_job_verbose(true);
        live(number_of("WEIR_TEST_SEED", 1), true);
        return;
    }
    for (uint64_t seed = first; seed < first + seeds; seed++)
        live(seed, seed % 4 == 0);
    printf("figure: %" PRIu64 " simulated lives, %" PRIu64 " runs, %" PRIu64 " checkpoints, %" PRIu64
           " aborted rounds, %" PRIu64 " events in %.1f s\n",
           seeds, total_runs, total_commits, total_aborts, total_events, seconds() - began);
    printf("figure: of these runs %u were killed, %u cut from power, %u had a failing file call, %u "
           "a full disk, %u a failing allocation, %u a stop, %u a failing sink\n",
           total_faults[SIM_FAULT_KILL], total_faults[SIM_FAULT_POWER],
           total_faults[SIM_FAULT_DISK], total_faults[SIM_FAULT_FULL],
           total_faults[SIM_FAULT_MEMORY], total_faults[SIM_FAULT_STOP],
           total_faults[SIM_FAULT_SINK]);
}
