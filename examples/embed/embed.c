/* SPDX-License-Identifier: Apache-2.0
 *
 * embed: weir inside a program that has a life of its own - an event loop, signals, memory that it
 * counts. It runs two jobs at once, on libweir alone:
 *
 *     numbers --BY_KEY--> sum --FORWARD--> output        "evens": 0 2 4 ...    "odds": 1 3 5 ...
 *
 *     embed FOLDER [COUNT [RATE]]
 *
 * Each job counts COUNT numbers (RATE a second; 0: as fast as it goes) into ten classes and
 * publishes the sums into FOLDER/<job>.output; its checkpoints lie in FOLDER/<job>.store. SIGINT
 * and SIGTERM stop both after one last checkpoint, and the same command goes on from there. Exit
 * codes: 0 both have ended, 6 stopped, 1 something failed.
 *
 * What to look for: the loop sleeps in one poll() over the jobs' descriptors, a timer and the
 * signals; no callback of weir runs on any thread but this one; nothing is polled on a timer.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "weir.h"
#include "weir_operators.h"

enum { JOBS = 2, CLASSES = 10, STOPPED = 6 };

/* ---------------------------------------------------------------------- the host's memory -- */

/* Counts what is out. weir's threads allocate too, hence atomic. */
struct meter {
    atomic_llong blocks;
    atomic_llong most;
};

static void *meter_allocate(void *context, size_t size)
{
    struct meter *meter = context;
    void *memory = aligned_alloc(16, (size + 15) / 16 * 16);

    if (memory == NULL)
        return NULL;
    long long blocks = atomic_fetch_add(&meter->blocks, 1) + 1;
    if (blocks > atomic_load(&meter->most)) /* a race costs a block of the figure, no more */
        atomic_store(&meter->most, blocks);
    return memory;
}

static void meter_release(void *context, void *memory)
{
    struct meter *meter = context;

    atomic_fetch_sub(&meter->blocks, 1);
    free(memory);
}

/* ------------------------------------------------------------------------------------- a job -- */

struct work {
    const char *name;
    uint64_t first; /* 0 or 1: which numbers */
    char store[512], output[512];
    struct weir_graph *graph;
    struct weir_job *job; /* NULL: it is over */
    enum weir_outcome outcome;
    bool failed;
};

/* The config of a node is what the graph keeps for it. */
static enum weir_result double_it(struct weir_context *context, unsigned input,
                                  const struct weir_record *record, const void *config)
{
    uint64_t number;

    (void)input;
    memcpy(&number, record->value.data, sizeof number);
    uint64_t value = 2 * number + *(const uint64_t *)config;
    uint64_t class = value / 2 % CLASSES;
    return weir_emit(context, 0,
                     &(struct weir_record){.key = {&class, sizeof class},
                                           .value = {&value, sizeof value},
                                           .time = WEIR_NO_TIME});
}

static void add_up(void *cell, const struct weir_record *record, const void *config)
{
    uint64_t value;

    (void)config;
    memcpy(&value, record->value.data, sizeof value);
    *(uint64_t *)cell += value;
}

static size_t write_sum(char *line, size_t room, const struct weir_record *record,
                        const void *config)
{
    uint64_t class, sum;

    (void)config;
    memcpy(&class, record->key.data, sizeof class);
    memcpy(&sum, record->value.data, sizeof sum);
    return (size_t)snprintf(line, room, "%" PRIu64 "\t%" PRIu64, class, sum);
}

static struct weir_graph *draw(const struct work *work, uint64_t count, uint64_t rate,
                               const struct weir_allocator *allocator)
{
    struct weir_graph *graph = weir_graph_new(allocator);

    if (graph == NULL)
        return NULL;
    weir_node numbers = weir_sequence_source(
        graph, "numbers",
        &(struct weir_sequence_source_options){WEIR_SIZED(struct weir_sequence_source_options),
                                               .count = count, .rate = rate});
    weir_node twice = weir_flat_map(graph, "twice", double_it,
                                    weir_graph_keep(graph, &work->first, sizeof work->first));
    weir_node sum =
        weir_reduce(graph, "sum",
                    &(struct weir_reduce_options){WEIR_SIZED(struct weir_reduce_options),
                                                  .value_size = sizeof(uint64_t), .format = "u64",
                                                  .fold = add_up, .emit = WEIR_REDUCE_FINAL});
    weir_node output =
        weir_line_sink(graph, "output",
                       &(struct weir_line_sink_options){WEIR_SIZED(struct weir_line_sink_options),
                                                        .path = work->output, .write = write_sum});

    weir_connect(graph, numbers, twice, WEIR_FORWARD);
    weir_connect(graph, twice, sum, WEIR_BY_KEY);
    weir_connect(graph, sum, output, WEIR_FORWARD);
    return graph;
}

/* Both hooks run inside weir_job_poll, on this program's only thread: no lock, plain stdio. */
static void on_log(void *context, enum weir_level level, const char *text)
{
    const struct work *work = context;

    if (level <= WEIR_LOG_WARNING)
        printf("%s: %s\n", work->name, text);
}

static void on_event(void *context, const struct weir_event *event)
{
    const struct work *work = context;

    if (event->kind == WEIR_EVENT_STARTED && event->id > 0)
        printf("%s: goes on from checkpoint %" PRIu64 "\n", work->name, event->id);
    else if (event->kind == WEIR_EVENT_STARTED)
        printf("%s: begins\n", work->name);
    else if (event->kind == WEIR_EVENT_ABORTED)
        printf("%s: checkpoint %" PRIu64 " came to nothing: %s\n", work->name, event->id,
               event->text);
}

static bool begin(struct work *work, uint64_t count, uint64_t rate,
                  const struct weir_allocator *allocator)
{
    struct weir_error error = {0};
    struct weir_job_options options = {
        WEIR_SIZED(struct weir_job_options),
        .name = work->name,
        .store = work->store,
        .interval_ns = 50 * 1000 * 1000,
        .allocator = allocator,
        .polled = true,
        .log = on_log,
        .log_context = work,
        .event = on_event,
        .event_context = work,
    };

    work->graph = draw(work, count, rate, allocator);
    if (work->graph != NULL && weir_job_start(work->graph, &options, &work->job, &error) == WEIR_OK)
        return true;
    printf("%s: %s\n", work->name, work->graph != NULL ? error.text : "out of memory");
    return false;
}

static void end(struct work *work)
{
    weir_job_close(&work->job);
    weir_graph_free(&work->graph);
}

/* Its descriptor was readable. */
static void look_after(struct work *work)
{
    static const char *const says[] = {"",        "has ended", "had ended before",
                                       "stopped", "failed",    "failed at a commit"};
    struct weir_error error = {0};

    if (weir_job_poll(work->job, &work->outcome, &error) == WEIR_TIMEOUT)
        return;
    work->failed = work->outcome == WEIR_OUTCOME_FAILED || work->outcome == WEIR_OUTCOME_UNKNOWN;
    printf("%s: %s%s%s\n", work->name, says[work->outcome], work->failed ? ": " : "",
           work->failed ? error.text : "");
    end(work);
}

/* ------------------------------------------------------------------------ the host's loop -- */

struct host {
    struct work works[JOBS];
    struct meter meter;
    int signals, timer;
    unsigned stops; /* signals that have come */
};

static void show(const struct host *host)
{
    for (int i = 0; i < JOBS; i++) {
        struct weir_status status = {WEIR_SIZED(struct weir_status)};
        if (host->works[i].job == NULL)
            continue;
        weir_job_status(host->works[i].job, &status);
        printf("%s: %" PRIu64 " numbers, checkpoint %" PRIu64 "\n", host->works[i].name,
               status.records_emitted, status.checkpoint);
    }
}

/* The first asks for a last checkpoint, the second does not wait for it. */
static void stop(struct host *host)
{
    enum weir_stop how = host->stops++ == 0 ? WEIR_STOP_SUSPEND : WEIR_STOP_NOW;
    struct weir_error error = {0};

    for (int i = 0; i < JOBS; i++)
        if (host->works[i].job != NULL && weir_job_stop(host->works[i].job, how, &error) != WEIR_OK)
            printf("%s: %s\n", host->works[i].name, error.text);
}

static void on_signal(struct host *host)
{
    struct signalfd_siginfo signal;

    if (read(host->signals, &signal, sizeof signal) == sizeof signal)
        stop(host);
}

static void on_tick(struct host *host)
{
    uint64_t ticks;

    if (read(host->timer, &ticks, sizeof ticks) == sizeof ticks)
        show(host);
}

/* A negative descriptor is one that poll passes over: that of a job that is over, say. */
static void loop(struct host *host)
{
    for (;;) {
        struct pollfd polled[JOBS + 2] = {{host->signals, POLLIN, 0}, {host->timer, POLLIN, 0}};
        int jobs = 0;
        for (int i = 0; i < JOBS; i++) {
            const struct weir_job *job = host->works[i].job;
            polled[2 + i] = (struct pollfd){job != NULL ? weir_job_fd(job) : -1, POLLIN, 0};
            jobs += job != NULL;
        }
        if (jobs == 0)
            return;
        if (poll(polled, JOBS + 2, -1) < 0 && errno != EINTR)
            return;
        if (polled[0].revents != 0)
            on_signal(host);
        if (polled[1].revents != 0)
            on_tick(host);
        for (int i = 0; i < JOBS; i++)
            if (polled[2 + i].revents != 0)
                look_after(&host->works[i]);
    }
}

/* Signals as a descriptor: weir's threads never see them, so blocking them here is enough. */
static bool open_descriptors(struct host *host)
{
    struct itimerspec second = {.it_interval = {.tv_sec = 1}, .it_value = {.tv_sec = 1}};
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    host->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    host->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    return host->signals >= 0 && host->timer >= 0 &&
           timerfd_settime(host->timer, 0, &second, NULL) == 0;
}

static int run(struct host *host, const char *folder, uint64_t count, uint64_t rate)
{
    struct weir_allocator allocator = {meter_allocate, meter_release, &host->meter};
    bool failed = false, stopped = false;

    for (int i = 0; i < JOBS && !failed; i++) {
        struct work *work = &host->works[i];
        work->name = i == 0 ? "evens" : "odds";
        work->first = (uint64_t)i;
        snprintf(work->store, sizeof work->store, "%s/%s.store", folder, work->name);
        snprintf(work->output, sizeof work->output, "%s/%s.output", folder, work->name);
        failed = !begin(work, count, rate, &allocator);
    }
    if (!failed)
        loop(host);
    for (int i = 0; i < JOBS; i++) {
        end(&host->works[i]);
        failed |= host->works[i].failed;
        stopped |= host->works[i].outcome == WEIR_OUTCOME_STOPPED;
    }
    printf("host: %lld blocks of memory at most, %lld left\n", atomic_load(&host->meter.most),
           atomic_load(&host->meter.blocks));
    return failed ? EXIT_FAILURE : stopped ? STOPPED : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static struct host host;

    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: embed FOLDER [COUNT [RATE]]\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!open_descriptors(&host)) {
        perror("embed");
        return EXIT_FAILURE;
    }
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
    uint64_t rate = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
    return run(&host, argv[1], count, rate);
}
