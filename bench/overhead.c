/* SPDX-License-Identifier: Apache-2.0
 *
 * overhead: what checkpoints take of throughput, by the time between them and their mode.
 *
 *   plain, raw_zmq   the limits of load/plain.h
 *   off              the keyed count of load/counting.h, in a job without a store
 *   each mode        such a job with one; checkpoints asked for at each interval in turn
 *
 * All of them are there at the same time and take turns: plain, raw_zmq, off, aligned 1 s, off,
 * unaligned 1 s, off ... Each ratio is of turns beside each other - to the mean of `off` before and
 * after - so that a slow minute of the machine hits all alike; the figure is the median of all
 * rounds. Says JSON lines, see RESULTS.md.
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
#include "plain.h"
#include "spread.h"

#define ROUNDS_MOST 15
#define INTERVALS 4

enum { ALIGNED, UNALIGNED, ADAPTIVE, MODES };

static const struct {
    const char *name;
    enum weir_mode mode;
} modes[MODES] = {
    {"aligned", WEIR_ALIGNED}, {"unaligned", WEIR_UNALIGNED}, {"adaptive", WEIR_ADAPTIVE}};

static const struct {
    const char *name;
    double ms;
} intervals[INTERVALS] = {{"10 s", 10000}, {"1 s", 1000}, {"100 ms", 100}, {"10 ms", 10}};

struct settings {
    double seconds, longest_ms;
    int rounds;
    uint64_t keys; /* at most 1e8 */
};

/* One mode at one interval, over all rounds. */
struct variant {
    double overhead[ROUNDS_MOST], rate[ROUNDS_MOST], of_plain[ROUNDS_MOST], of_zmq[ROUNDS_MOST];
    double task_cpu[ROUNDS_MOST];
    struct counting_result result;
};

struct bench {
    struct settings settings;
    struct plain plain;
    struct raw_zmq raw_zmq;
    struct counting *off, *with[MODES];
    struct counting_result of_off;
    double plain_rate[ROUNDS_MOST], zmq_rate[ROUNDS_MOST], off_rate[ROUNDS_MOST];
    double off_of_plain[ROUNDS_MOST], off_of_zmq[ROUNDS_MOST];
    struct variant variant[INTERVALS][MODES];
    int done, steps;
};

static void step(struct bench *bench)
{
    results_step(++bench->done, bench->steps);
}

/* What an `off` turn was. */
struct pace {
    double per_second, task_ns;
};

static struct pace off_turn(struct bench *bench)
{
    struct counting_turn turn = {.seconds = bench->settings.seconds};
    counting_turn(bench->off, &turn, &bench->of_off);
    return (struct pace){bench->of_off.per_second, bench->of_off.task_ns};
}

static struct pace variant_turn(struct bench *bench, int interval, int mode, int round,
                                struct pace before)
{
    struct variant *variant = &bench->variant[interval][mode];
    struct counting_turn turn = {.seconds = bench->settings.seconds,
                                 .interval_ns = (int64_t)(intervals[interval].ms * 1e6)};
    counting_turn(bench->with[mode], &turn, &variant->result);
    struct pace after = off_turn(bench);
    double off = (before.per_second + after.per_second) / 2;
    double off_task = (before.task_ns + after.task_ns) / 2, rate = variant->result.per_second;
    variant->rate[round] = rate / 1e6;
    variant->overhead[round] = 100 * (1 - rate / off);
    variant->task_cpu[round] = 100 * (variant->result.task_ns / off_task - 1);
    /* By way of the turns between: plain and raw_zmq were not beside this one. */
    variant->of_plain[round] = rate / off * bench->off_of_plain[round];
    variant->of_zmq[round] = rate / off * bench->off_of_zmq[round];
    step(bench);
    return after;
}

static bool is_left_out(const struct bench *bench, int interval)
{
    return intervals[interval].ms > bench->settings.longest_ms;
}

static void run_round(struct bench *bench, int round)
{
    const struct settings *settings = &bench->settings;
    bench->plain_rate[round] =
        plain_turn(&bench->plain, (uint32_t)settings->keys, settings->seconds) / 1e6;
    bench->zmq_rate[round] =
        raw_zmq_turn(&bench->raw_zmq, (uint32_t)settings->keys, settings->seconds) / 1e6;
    struct pace pace = off_turn(bench);
    bench->off_rate[round] = pace.per_second / 1e6;
    bench->off_of_plain[round] = bench->off_rate[round] / bench->plain_rate[round];
    bench->off_of_zmq[round] = bench->off_rate[round] / bench->zmq_rate[round];
    step(bench);
    for (int interval = 0; interval < INTERVALS; interval++) {
        for (int mode = 0; mode < MODES && !is_left_out(bench, interval); mode++)
            pace = variant_turn(bench, interval, mode, round, pace);
    }
}

static void begin(struct bench *bench)
{
    char store[FOLDER_ROOM];
    uint32_t keys = (uint32_t)bench->settings.keys;
    plain_begin(&bench->plain, keys, true);
    raw_zmq_begin(&bench->raw_zmq, keys);
    bench->off = counting_start(keys, NULL, WEIR_ALIGNED);
    for (int mode = 0; mode < MODES; mode++)
        bench->with[mode] =
            counting_start(keys, folder_path(modes[mode].name, store), modes[mode].mode);
    bench->steps = bench->settings.rounds;
    for (int interval = 0; interval < INTERVALS; interval++)
        bench->steps += is_left_out(bench, interval) ? 0 : MODES * bench->settings.rounds;
    results_step(0, bench->steps);
}

/* Each of them checks that it has counted right. */
static void end(struct bench *bench)
{
    for (int mode = 0; mode < MODES; mode++)
        counting_end(&bench->with[mode]);
    counting_end(&bench->off);
    raw_zmq_end(&bench->raw_zmq);
    plain_end(&bench->plain);
}

/* ---------------------------------------------------------------------------- figures -- */

static void say_reference(const char *name, const double *rate, int rounds)
{
    struct results_row row;
    results_row(&row, name);
    results_label(&row, "mode", name);
    results_figure(&row, "rate", "M/s", RESULTS_MORE, rate, rounds);
    results_end(&row);
}

static void say_off(const struct bench *bench)
{
    int rounds = bench->settings.rounds;
    struct results_row row;
    results_row(&row, "off");
    results_label(&row, "mode", "off");
    results_figure(&row, "rate", "M/s", RESULTS_MORE, bench->off_rate, rounds);
    results_figure(&row, "of_plain", "", RESULTS_MORE, bench->off_of_plain, rounds);
    results_figure(&row, "of_raw_zmq", "", RESULTS_MORE, bench->off_of_zmq, rounds);
    results_end(&row);
}

static void say_variant(const struct bench *bench, int interval, int mode)
{
    const struct variant *variant = &bench->variant[interval][mode];
    const struct counting_result *result = &variant->result;
    int rounds = bench->settings.rounds;
    double mib = (double)result->bytes / (double)result->checkpoints / 1048576;
    double aborted = (double)result->aborted;
    char name[80];
    struct results_row row;
    snprintf(name, sizeof name, "%s, %s", modes[mode].name, intervals[interval].name);
    results_row(&row, name);
    results_label(&row, "mode", modes[mode].name);
    results_label_number(&row, "interval_ms", intervals[interval].ms);
    results_figure(&row, "overhead", "%", RESULTS_LESS, variant->overhead, rounds);
    results_figure(&row, "task_cpu", "%", RESULTS_LESS, variant->task_cpu, rounds);
    results_figure(&row, "rate", "M/s", RESULTS_MORE, variant->rate, rounds);
    results_figure(&row, "of_plain", "", RESULTS_MORE, variant->of_plain, rounds);
    results_figure(&row, "of_raw_zmq", "", RESULTS_MORE, variant->of_zmq, rounds);
    results_figure(&row, "checkpoint", "MiB", RESULTS_LESS, &mib, 1);
    results_figure(&row, "aborted", "", RESULTS_LESS, &aborted, 1);
    results_histogram(&row, "cut", "ns", &result->cut_ns);
    results_histogram(&row, "cut_cpu", "ns", &result->cut_cpu_ns);
    results_histogram(&row, "durable", "ns", &result->durable_ns);
    results_end(&row);
}

static void say_all(const struct bench *bench)
{
    say_reference("plain", bench->plain_rate, bench->settings.rounds);
    say_reference("raw_zmq", bench->zmq_rate, bench->settings.rounds);
    say_off(bench);
    for (int interval = 0; interval < INTERVALS; interval++) {
        for (int mode = 0; mode < MODES && !is_left_out(bench, interval); mode++)
            say_variant(bench, interval, mode);
        if (is_left_out(bench, interval))
            results_note("left out: checkpoints every %s", intervals[interval].name);
    }
}

static void usage(void)
{
    fprintf(
        stderr,
        "usage: overhead [--seconds 0.05..600] [--rounds 1..%d] [--keys 1..100000000]\n"
        "                [--longest-ms 10..10000]\n"
        "a turn takes --seconds (5), or one interval, and there are --rounds (5) of it; intervals\n"
        "above --longest-ms (10000) are left out\n",
        ROUNDS_MOST);
    exit(2);
}

static void take_arguments(int argc, char **argv, struct settings *settings)
{
    const struct argument known[] = {
        {.name = "--seconds", .least = 0.05, .most = 600, .real = &settings->seconds},
        {.name = "--rounds", .least = 1, .most = ROUNDS_MOST, .whole = &settings->rounds},
        {.name = "--keys", .least = 1, .most = 1e8, .count = &settings->keys},
        {.name = "--longest-ms", .least = 10, .most = 10000, .real = &settings->longest_ms},
    };
    if (!arguments_take(argc, argv, known, sizeof known / sizeof *known))
        usage();
}

int main(int argc, char **argv)
{
    static struct bench bench = {
        .settings = {.seconds = 5, .rounds = 5, .keys = 1000000, .longest_ms = 10000}};
    struct machine_time began = machine_read();
    take_arguments(argc, argv, &bench.settings);
    begin(&bench);
    for (int round = 0; round < bench.settings.rounds; round++)
        run_round(&bench, round);
    say_all(&bench);
    end(&bench);
    results_use(machine_use(began, machine_read()));
    return 0;
}
