/* SPDX-License-Identifier: Apache-2.0
 *
 * latency: how long a record takes when the job has less to do than it could, and what checkpoints
 * add to that.
 *
 * The keyed count of load/counting.h, twice: `off` without a store, and `on` with checkpoints at
 * one interval. First the rate they can sustain is found: the highest at which lag does not grow by
 * more than a hundredth of the time, with checkpoints on, by bisection between nothing and what a
 * flood takes; without --search it is half of what a flood takes, and so is no more than a guess.
 * Then both are given 20, 50 and 80 % of that in an open loop, in turns: off on off on ... Latency
 * is from when a record was due until it was counted. Says JSON lines, see RESULTS.md.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "counting.h"
#include "die.h"
#include "folder.h"
#include "machine.h"
#include "results.h"
#include "spread.h"

#define ROUNDS_MOST 15
#define LOADS 3
#define GUESS 0.5       /* of a flood, where nothing is searched */
#define SEARCH_STEPS 6  /* to a 64th of a flood */
#define LAG_GROWTH 0.01 /* seconds a second */

static const double loads[LOADS] = {0.2, 0.5, 0.8};
static const double shares[] = {0.5, 0.99, 0.999, 0.9999};
static const char *const share_names[] = {"p50", "p99", "p99_9", "p99_99"};
#define SHARES (sizeof shares / sizeof *shares)

struct settings {
    double seconds, warm_seconds, interval_ms;
    int rounds;
    uint64_t keys; /* at most 1e8 */
    bool search;
};

enum { OFF, ON, BOTH };

/* One load, over all rounds. */
struct load {
    struct counting_result all[BOTH]; /* their latencies together */
    double us[BOTH][SHARES][ROUNDS_MOST], added_us[SHARES][ROUNDS_MOST];
    double lag_growth[BOTH][ROUNDS_MOST];
};

struct bench {
    struct settings settings;
    struct counting *job[BOTH];
    double sustainable; /* records/s */
    struct load load[LOADS];
    int done, steps;
};

static void step(struct bench *bench)
{
    results_step(++bench->done, bench->steps);
}

static int64_t interval_ns(const struct bench *bench, int which)
{
    return which == ON ? (int64_t)(bench->settings.interval_ms * 1e6) : 0;
}

static double flood_rate(struct bench *bench)
{
    static struct counting_result result;
    struct counting_turn turn = {.seconds = bench->settings.seconds / 2,
                                 .interval_ns = interval_ns(bench, ON)};
    counting_turn(bench->job[ON], &turn, &result);
    step(bench);
    return result.per_second;
}

static bool sustains(struct bench *bench, double rate)
{
    static struct counting_result result;
    struct counting_turn turn = {.seconds = bench->settings.seconds,
                                 .warm_seconds = bench->settings.warm_seconds,
                                 .interval_ns = interval_ns(bench, ON),
                                 .per_second = (uint64_t)rate};
    counting_turn(bench->job[ON], &turn, &result);
    step(bench);
    return result.lag_growth < LAG_GROWTH;
}

/* Of a machine that is slow for a moment a step may say no where it should have said yes: the
 * answer is what was sustained, not what can be. */
static void find_sustainable(struct bench *bench)
{
    double flood = flood_rate(bench), low = 0, high = flood;
    for (int i = 0; i < SEARCH_STEPS && bench->settings.search; i++) {
        double rate = (low + high) / 2;
        if (sustains(bench, rate))
            low = rate;
        else
            high = rate;
    }
    bench->sustainable = bench->settings.search ? low : GUESS * flood;
    if (bench->sustainable < 1000)
        die("latency", "not even a thousand records a second can be sustained");
    if (!bench->settings.search)
        results_note("the sustainable rate was not searched for: taken as half of a flood's");
}

static void run_load(struct bench *bench, int which, int at, int round)
{
    static struct counting_result result; /* of this turn alone */
    struct load *load = &bench->load[at];
    struct counting_turn turn = {.seconds = bench->settings.seconds,
                                 .warm_seconds = bench->settings.warm_seconds,
                                 .interval_ns = interval_ns(bench, which),
                                 .per_second = (uint64_t)(loads[at] * bench->sustainable)};
    memset(&result, 0, sizeof result);
    counting_turn(bench->job[which], &turn, &result);
    for (size_t i = 0; i < SHARES; i++)
        load->us[which][i][round] = (double)histogram_at(&result.latency_ns, shares[i]) / 1e3;
    load->lag_growth[which][round] = result.lag_growth;
    histogram_merge(&load->all[which].latency_ns, &result.latency_ns);
    histogram_merge(&load->all[which].cut_ns, &result.cut_ns);
    load->all[which].checkpoints += result.checkpoints;
    step(bench);
}

static void run_round(struct bench *bench, int round)
{
    for (int at = 0; at < LOADS; at++) {
        struct load *load = &bench->load[at];
        run_load(bench, OFF, at, round);
        run_load(bench, ON, at, round);
        for (size_t i = 0; i < SHARES; i++)
            load->added_us[i][round] = load->us[ON][i][round] - load->us[OFF][i][round];
    }
}

/* ---------------------------------------------------------------------------- figures -- */

static void say_load(const struct bench *bench, int at, int which)
{
    const struct load *load = &bench->load[at];
    const struct histogram *latency = &load->all[which].latency_ns;
    int rounds = bench->settings.rounds;
    double growth = spread_of(load->lag_growth[which], rounds).median;
    double rate = loads[at] * bench->sustainable / 1e6;
    char name[80];
    struct results_row row;
    snprintf(name, sizeof name, "%.0f %%, checkpoints %s", 100 * loads[at],
             which == ON ? "on" : "off");
    results_row(&row, name);
    results_label_number(&row, "load", loads[at]);
    results_label(&row, "checkpoints", which == ON ? "on" : "off");
    if (which == ON)
        results_label_number(&row, "interval_ms", bench->settings.interval_ms);
    results_figure(&row, "rate", "M/s", RESULTS_NEITHER, &rate, 1);
    for (size_t i = 0; i < SHARES; i++) {
        char added[20];
        snprintf(added, sizeof added, "added_%s", share_names[i]);
        if (!histogram_tells(latency, shares[i]))
            continue;
        results_figure(&row, share_names[i], "us", RESULTS_LESS, load->us[which][i], rounds);
        if (which == ON)
            results_figure(&row, added, "us", RESULTS_LESS, load->added_us[i], rounds);
    }
    results_histogram(&row, "latency", "ns", latency);
    results_histogram(&row, "cut", "ns", &load->all[which].cut_ns);
    results_end(&row);
    if (growth >= LAG_GROWTH)
        results_note("at %s it could not keep up: lag grew by %.0f ms a second", name,
                     1000 * growth);
}

static void say_all(const struct bench *bench)
{
    double rate = bench->sustainable / 1e6;
    struct results_row row;
    results_row(&row, "sustainable");
    results_label(&row, "found", bench->settings.search ? "searched" : "guessed");
    results_figure(&row, "rate", "M/s", RESULTS_MORE, &rate, 1);
    results_end(&row);
    for (int at = 0; at < LOADS; at++) {
        for (int which = 0; which < BOTH; which++)
            say_load(bench, at, which);
    }
}

static void begin(struct bench *bench)
{
    char store[FOLDER_ROOM];
    const struct settings *settings = &bench->settings;
    bench->steps = settings->rounds * LOADS * BOTH + 1 + (settings->search ? SEARCH_STEPS : 0);
    results_step(0, bench->steps);
    bench->job[OFF] = counting_start((uint32_t)settings->keys, NULL, WEIR_ADAPTIVE);
    bench->job[ON] =
        counting_start((uint32_t)settings->keys, folder_path("store", store), WEIR_ADAPTIVE);
}

static void usage(void)
{
    fprintf(stderr,
            "usage: latency [--seconds 0.05..600] [--warm-seconds 0..60] [--rounds 1..%d]\n"
            "               [--keys 1..100000000] [--interval-ms 10..60000] [--search yes|no]\n"
            "each load runs for --seconds (10) after --warm-seconds (1), --rounds (5) times, with\n"
            "checkpoints off, and every --interval-ms (1000)\n",
            ROUNDS_MOST);
    exit(2);
}

static void take_arguments(int argc, char **argv, struct settings *settings)
{
    const char *search = settings->search ? "yes" : "no";
    const struct argument known[] = {
        {.name = "--seconds", .least = 0.05, .most = 600, .real = &settings->seconds},
        {.name = "--warm-seconds", .least = 0, .most = 60, .real = &settings->warm_seconds},
        {.name = "--rounds", .least = 1, .most = ROUNDS_MOST, .whole = &settings->rounds},
        {.name = "--keys", .least = 1, .most = 1e8, .count = &settings->keys},
        {.name = "--interval-ms", .least = 10, .most = 60000, .real = &settings->interval_ms},
        {.name = "--search", .text = &search},
    };
    if (!arguments_take(argc, argv, known, sizeof known / sizeof *known))
        usage();
    settings->search = strcmp(search, "yes") == 0;
    if (!settings->search && strcmp(search, "no") != 0)
        usage();
}

int main(int argc, char **argv)
{
    static struct bench bench = {.settings = {.seconds = 10,
                                              .warm_seconds = 1,
                                              .interval_ms = 1000,
                                              .rounds = 5,
                                              .keys = 1000000,
                                              .search = true}};
    struct machine_time began = machine_read();
    take_arguments(argc, argv, &bench.settings);
    begin(&bench);
    find_sustainable(&bench);
    for (int round = 0; round < bench.settings.rounds; round++)
        run_round(&bench, round);
    say_all(&bench);
    counting_end(&bench.job[ON]);
    counting_end(&bench.job[OFF]);
    results_use(machine_use(began, machine_read()));
    return 0;
}
