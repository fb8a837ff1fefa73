/* SPDX-License-Identifier: Apache-2.0
 *
 * recovery: how long kill -9 takes a supervised job away from who reads its output.
 *
 * bench/paced runs with --supervise and all else as it is by default; the process that the job runs
 * in is killed at moments that are drawn from a seed, evenly over the time between two checkpoints.
 * Times are from the kill,
 *
 *   running     until the job says that it runs again: the supervisor's wait, the restore
 *   output      until a record that was due after the kill is published, and is right
 *   caught_up   until a part of the output is as fresh as parts were before the kill
 *   replayed    of input that was processed again: since the newest checkpoint's trigger
 *
 * by the size of the state and the time between checkpoints. Every line of the output is checked,
 * see load/outside.h. Says JSON lines, see RESULTS.md.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "clocks.h"
#include "die.h"
#include "draws.h"
#include "histogram.h"
#include "outside.h"
#include "machine.h"
#include "results.h"
#include "spread.h"

#define ENTRY 32 /* bytes of a key in the log: sizes, key of 8, cell of 16 */
#define PATIENCE_NS INT64_C(120000000000)
#define SETTLE_NS INT64_C(300000000) /* of undisturbed work between two kills, at least */
#define MS 1e6

struct settings {
    int kills;
    double mib, interval_ms;
    uint64_t per_second, every, seed;
};

/* What is known about the job, and about the kill in hand. Times are absolute; 0: not yet. */
struct watch {
    pid_t pid;                 /* of the process that the job runs in */
    int64_t triggered_ns;      /* the newest checkpoint that was committed */
    struct histogram fresh_ns; /* ages of parts' oldest records, while nothing was disturbed */
    int64_t killed_ns, running_ns, output_ns, caught_up_ns;
    bool began, caught_up, never;
};

struct figures {
    double running_ms[SPREAD_MOST], output_ms[SPREAD_MOST], caught_up_ms[SPREAD_MOST];
    double replayed_ms[SPREAD_MOST];
};

static void on_event(void *context, const struct outside_event *event)
{
    struct watch *watch = context;
    if (event->kind == OUTSIDE_COMMITTED) {
        watch->triggered_ns = event->heard_ns - event->duration_ns;
        return;
    }
    watch->pid = event->pid;
    if (watch->killed_ns && !watch->running_ns)
        watch->running_ns = event->heard_ns;
}

static void on_line(void *context, int64_t due_ns, int64_t seen_ns)
{
    struct watch *watch = context;
    if (watch->killed_ns && !watch->output_ns && due_ns > watch->killed_ns)
        watch->output_ns = seen_ns;
}

static void on_part(void *context, int64_t oldest_due_ns, int64_t newest_due_ns, int64_t seen_ns)
{
    struct watch *watch = context;
    uint64_t age_ns = (uint64_t)(seen_ns - oldest_due_ns);
    (void)newest_due_ns;
    watch->began = true;
    if (!watch->killed_ns) {
        histogram_add(&watch->fresh_ns, age_ns, 1);
    } else if (oldest_due_ns > watch->killed_ns && age_ns <= watch->fresh_ns.most) {
        watch->caught_up_ns = seen_ns;
        watch->caught_up = true;
    }
}

/* Undisturbed work, long enough to know how fresh parts are, and to a moment of its own. */
static void settle(struct outside *outside, struct watch *watch, const struct settings *settings,
                   uint64_t *random)
{
    int64_t interval_ns = (int64_t)(settings->interval_ms * MS);
    int64_t draw_ns = (int64_t)draws_below(random, (uint32_t)(settings->interval_ms * 1000)) * 1000;
    watch->killed_ns = 0;
    outside_pass(outside, now_ns() + SETTLE_NS + 2 * interval_ns + draw_ns, &watch->never);
}

static void kill_once(struct outside *outside, struct watch *watch, int round,
                      struct figures *figures)
{
    pid_t pid = watch->pid;
    watch->running_ns = watch->output_ns = watch->caught_up_ns = 0;
    watch->caught_up = false;
    watch->killed_ns = now_ns();
    if (kill(pid, SIGKILL) != 0)
        die("recovery", "the job's process is not there any more");
    int64_t triggered_ns = watch->triggered_ns;
    outside_pass(outside, watch->killed_ns + PATIENCE_NS, &watch->caught_up);
    if (!watch->caught_up)
        die("recovery", "it has not caught up in two minutes: give it a lower --rate");
    figures->running_ms[round] = (double)(watch->running_ns - watch->killed_ns) / MS;
    figures->output_ms[round] = (double)(watch->output_ns - watch->killed_ns) / MS;
    figures->caught_up_ms[round] = (double)(watch->caught_up_ns - watch->killed_ns) / MS;
    figures->replayed_ms[round] = (double)(watch->killed_ns - triggered_ns) / MS;
}

static void run(const struct settings *settings, struct figures *figures)
{
    static struct watch watch;
    static struct outside outside;
    uint64_t random = settings->seed;
    outside_start(&outside,
                  &(struct outside_options){.keys = (uint64_t)(settings->mib * 1048576 / ENTRY),
                                            .per_second = settings->per_second,
                                            .every = settings->every,
                                            .interval_ms = (int64_t)settings->interval_ms,
                                            .supervised = true},
                  &(struct outside_hooks){on_event, on_part, on_line, &watch});
    outside_pass(&outside, now_ns() + PATIENCE_NS, &watch.began);
    if (!watch.began)
        die("recovery", "no line has come in two minutes");
    for (int round = 0; round < settings->kills; round++) {
        memset(&watch.fresh_ns, 0, sizeof watch.fresh_ns);
        settle(&outside, &watch, settings, &random);
        kill_once(&outside, &watch, round, figures);
        results_step(round + 1, settings->kills);
    }
    watch.killed_ns = 0;
    outside_stop(&outside);
}

static void say(const struct settings *settings, const struct figures *figures)
{
    char name[80];
    struct results_row row;
    int kills = settings->kills;
    snprintf(name, sizeof name, "%.0f MiB, every %.0f ms", settings->mib, settings->interval_ms);
    results_row(&row, name);
    results_label_number(&row, "state_mib", settings->mib);
    results_label_number(&row, "interval_ms", settings->interval_ms);
    results_label_number(&row, "rate", (double)settings->per_second);
    results_label_number(&row, "seed", (double)settings->seed);
    results_figure(&row, "running", "ms", RESULTS_LESS, figures->running_ms, kills);
    results_figure(&row, "output", "ms", RESULTS_LESS, figures->output_ms, kills);
    results_figure(&row, "caught_up", "ms", RESULTS_LESS, figures->caught_up_ms, kills);
    results_figure(&row, "replayed", "ms", RESULTS_LESS, figures->replayed_ms, kills);
    results_end(&row);
}

static void usage(void)
{
    fprintf(
        stderr,
        "usage: recovery [--kills 1..%d] [--mib 0.001..4096] [--interval-ms 10..60000]\n"
        "                [--rate 1..100000000] [--every 1..1000000] [--seed 1..4294967295]\n"
        "--kills (20) of a job with --mib (64) of state, that takes --rate (100000) records a\n"
        "second and publishes each --every-th (100), with checkpoints every --interval-ms (100)\n",
        SPREAD_MOST);
    exit(2);
}

static void take_arguments(int argc, char **argv, struct settings *settings)
{
    const struct argument known[] = {
        {.name = "--kills", .least = 1, .most = SPREAD_MOST, .whole = &settings->kills},
        {.name = "--mib", .least = 0.001, .most = 4096, .real = &settings->mib},
        {.name = "--interval-ms", .least = 10, .most = 60000, .real = &settings->interval_ms},
        {.name = "--rate", .least = 1, .most = 1e8, .count = &settings->per_second},
        {.name = "--every", .least = 1, .most = 1e6, .count = &settings->every},
        {.name = "--seed", .least = 1, .most = UINT32_MAX, .count = &settings->seed},
    };
    if (!arguments_take(argc, argv, known, sizeof known / sizeof *known))
        usage();
    settings->interval_ms = (double)(int)settings->interval_ms;
}

int main(int argc, char **argv)
{
    static struct figures figures;
    struct settings settings = {.kills = 20,
                                .mib = 64,
                                .interval_ms = 100,
                                .per_second = 100000,
                                .every = 100,
                                .seed = (uint64_t)now_ns() % UINT32_MAX + 1};
    struct machine_time began = machine_read();
    take_arguments(argc, argv, &settings);
    results_step(0, settings.kills);
    run(&settings, &figures);
    say(&settings, &figures);
    results_use(machine_use(began, machine_read()));
    return 0;
}
