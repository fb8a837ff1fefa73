/* SPDX-License-Identifier: Apache-2.0
 *
 * delay: what exactly-once output costs its readers: the time from when a record was due at the
 * source until the line made of it is published, by the time between checkpoints.
 *
 * bench/paced runs as a program and publishes by the line sink; this one watches its output, see
 * load/outside.h. Intervals take turns, each in a new store, several rounds. Says JSON lines, see
 * RESULTS.md.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "clocks.h"
#include "die.h"
#include "histogram.h"
#include "outside.h"
#include "machine.h"
#include "results.h"

#define ROUNDS_MOST 15
#define INTERVALS 5
#define PATIENCE_NS INT64_C(60000000000) /* for the first line, and for the last */

static const int64_t intervals_ms[INTERVALS] = {10, 30, 100, 300, 1000};

struct settings {
    double seconds, warm_seconds;
    int rounds;
    uint64_t keys, per_second, every;
};

struct interval {
    struct histogram delay_ns; /* of all rounds */
    double p50_ms[ROUNDS_MOST], p99_ms[ROUNDS_MOST], intervals[ROUNDS_MOST];
    uint64_t checkpoints;
};

/* A round in hand. */
struct turn {
    bool began, over, never;
    int64_t measured_from, measured_to; /* of what is due; 0: not yet */
    struct histogram delay_ns;
    uint64_t checkpoints;
};

static void on_event(void *context, const struct outside_event *event)
{
    struct turn *turn = context;
    if (event->kind == OUTSIDE_COMMITTED && turn->measured_from)
        turn->checkpoints++;
}

static void on_line(void *context, int64_t due_ns, int64_t seen_ns)
{
    struct turn *turn = context;
    if (turn->measured_from == 0 || due_ns < turn->measured_from)
        return;
    if (due_ns < turn->measured_to)
        histogram_add(&turn->delay_ns, (uint64_t)(seen_ns - due_ns), 1);
    else
        turn->over = true; /* all that was due before is there: lines keep their order */
}

static void on_part(void *context, int64_t oldest_due_ns, int64_t newest_due_ns, int64_t seen_ns)
{
    (void)oldest_due_ns, (void)newest_due_ns, (void)seen_ns;
    ((struct turn *)context)->began = true;
}

static void run_turn(const struct settings *settings, int at, int round, struct interval *interval)
{
    static struct turn turn;
    static struct outside outside;
    memset(&turn, 0, sizeof turn);
    outside_start(&outside,
                  &(struct outside_options){.keys = settings->keys,
                                            .per_second = settings->per_second,
                                            .every = settings->every,
                                            .interval_ms = intervals_ms[at]},
                  &(struct outside_hooks){on_event, on_part, on_line, &turn});
    outside_pass(&outside, now_ns() + PATIENCE_NS, &turn.began);
    if (!turn.began)
        die("delay", "no line has come in a minute");
    outside_pass(&outside, now_ns() + (int64_t)(settings->warm_seconds * 1e9), &turn.never);
    turn.measured_to = now_ns() + (int64_t)(settings->seconds * 1e9);
    turn.measured_from = now_ns();
    outside_pass(&outside, turn.measured_to + PATIENCE_NS, &turn.over);
    outside_stop(&outside);
    if (!turn.over)
        die("delay", "what was due is not published a minute later: give it a lower --rate");
    if (turn.delay_ns.count == 0)
        die("delay", "nothing was due: give it a higher --rate, or a lower --every");
    interval->p50_ms[round] = (double)histogram_at(&turn.delay_ns, 0.5) / 1e6;
    interval->p99_ms[round] = (double)histogram_at(&turn.delay_ns, 0.99) / 1e6;
    interval->intervals[round] = interval->p99_ms[round] / (double)intervals_ms[at];
    interval->checkpoints += turn.checkpoints;
    histogram_merge(&interval->delay_ns, &turn.delay_ns);
}

static void say(const struct settings *settings, int at, const struct interval *interval)
{
    char name[40];
    struct results_row row;
    double checkpoints = (double)interval->checkpoints;
    snprintf(name, sizeof name, "every %d ms", (int)intervals_ms[at]);
    results_row(&row, name);
    results_label_number(&row, "interval_ms", (double)intervals_ms[at]);
    results_label_number(&row, "rate", (double)settings->per_second);
    results_figure(&row, "p50", "ms", RESULTS_LESS, interval->p50_ms, settings->rounds);
    results_figure(&row, "p99", "ms", RESULTS_LESS, interval->p99_ms, settings->rounds);
    results_figure(&row, "p99_of_interval", "", RESULTS_LESS, interval->intervals,
                   settings->rounds);
    results_figure(&row, "checkpoints", "", RESULTS_NEITHER, &checkpoints, 1);
    results_histogram(&row, "delay", "ns", &interval->delay_ns);
    results_end(&row);
}

static void usage(void)
{
    fprintf(stderr,
            "usage: delay [--seconds 0.05..600] [--warm-seconds 0..60] [--rounds 1..%d]\n"
            "             [--keys 1..100000000] [--rate 1..100000000] [--every 1..1000000]\n"
            "each interval runs for --seconds (10) after --warm-seconds (1), --rounds (5) times;\n"
            "--rate (100000) records a second, of which each --every-th (100) is published\n",
            ROUNDS_MOST);
    exit(2);
}

static void take_arguments(int argc, char **argv, struct settings *settings)
{
    const struct argument known[] = {
        {.name = "--seconds", .least = 0.05, .most = 600, .real = &settings->seconds},
        {.name = "--warm-seconds", .least = 0, .most = 60, .real = &settings->warm_seconds},
        {.name = "--rounds", .least = 1, .most = ROUNDS_MOST, .whole = &settings->rounds},
        {.name = "--keys", .least = 1, .most = 1e8, .count = &settings->keys},
        {.name = "--rate", .least = 1, .most = 1e8, .count = &settings->per_second},
        {.name = "--every", .least = 1, .most = 1e6, .count = &settings->every},
    };
    if (!arguments_take(argc, argv, known, sizeof known / sizeof *known))
        usage();
}

int main(int argc, char **argv)
{
    static struct interval intervals[INTERVALS];
    struct settings settings = {.seconds = 10,
                                .warm_seconds = 1,
                                .rounds = 5,
                                .keys = 100000,
                                .per_second = 100000,
                                .every = 100};
    int done = 0;
    struct machine_time began = machine_read();
    take_arguments(argc, argv, &settings);
    results_step(0, settings.rounds * INTERVALS);
    for (int round = 0; round < settings.rounds; round++) {
        for (int at = 0; at < INTERVALS; at++) {
            run_turn(&settings, at, round, &intervals[at]);
            results_step(++done, settings.rounds * INTERVALS);
        }
    }
    for (int at = 0; at < INTERVALS; at++)
        say(&settings, at, &intervals[at]);
    results_use(machine_use(began, machine_read()));
    return 0;
}
