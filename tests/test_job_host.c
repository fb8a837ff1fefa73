/* links: flow surroundings */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a host may rely on: its process is left as it was, two jobs run on one loop, a thousand
 * leave nothing behind; and what it may ask: where a job stands, and what has failed.
 */
#include "explore.h"
#include "flow.h"

#include <dirent.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <time.h>

#include "surroundings.h"

static struct scratch scratch;
static struct ledger ledger;

static void setup(void)
{
    scratch = scratch_make();
    ledger_init(&ledger, 20000);
}
static void teardown(void)
{
    ledger_free(&ledger);
    scratch_free(&scratch);
}
TestSuite(job_host, .init = setup, .fini = teardown);

static void draw(struct flow *flow, uint64_t count, struct ledger *into)
{
    weir_node source = flow_numbers(flow, "numbers", count, 0, 1);
    weir_node pass = weir_flat_map(flow->graph, "pass", flow_pass, NULL);
    weir_connect(flow->graph, source, pass, WEIR_SPREAD);
    weir_connect(flow->graph, pass, ledger_sink(flow->graph, "sink", into, 2), WEIR_BY_KEY);
}

/* -------------------------------------------------------------------- the host's process -- */

static struct surroundings surroundings;

static void leaves_the_process_as_it_was(const char *endpoint, bool polled)
{
    struct flow flow;
    flow_init(&flow);
    draw(&flow, 20000, &ledger);
    flow.options.store = scratch.path;
    flow.options.endpoint = endpoint;
    flow.options.polled = polled;
    flow.options.interval_ns = FLOW_SECOND / 1000;
    surroundings_look(&surroundings);
    /* weir.h: a connection that has ended, libzmq tries again after a time it draws from rand(). */
    surroundings.random_is_free = strcmp(endpoint, "inproc") != 0;
    flow_start(&flow);
    surroundings_same(&surroundings); /* while it runs, too */
    enum weir_outcome outcome = flow_wait(&flow);
    cr_expect(outcome == WEIR_OUTCOME_ENDED, "%s", flow.error.text);
    flow_close(&flow);
    surroundings_same(&surroundings);
    flow_free(&flow);
}

Test(job_host, a_job_leaves_the_hosts_process_as_it_was)
{
    leaves_the_process_as_it_was("inproc", false);
    ledger_is(&ledger, 20000, 1);
}

Test(job_host, so_does_one_over_tcp_that_is_polled)
{
    leaves_the_process_as_it_was("tcp://127.0.0.1", true);
    ledger_is(&ledger, 20000, 1);
}

/* --------------------------------------------------------------------- many, and at once -- */

static atomic_long live;

static void *count_allocate(void *context, size_t size)
{
    (void)context;
    atomic_fetch_add(&live, 1);
    return aligned_alloc(16, (size + 15) / 16 * 16);
}

static void count_release(void *context, void *memory)
{
    (void)context;
    atomic_fetch_sub(&live, 1);
    free(memory);
}

static const struct weir_allocator counting = {count_allocate, count_release, NULL};

static unsigned entries(const char *path)
{
    unsigned count = 0;
    DIR *folder = opendir(path);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

/* One of the ways a job may go: over before, closed while it runs, refused. */
static void run_one(struct flow *flow, struct flow *other, int number)
{
    enum weir_outcome outcome;
    flow->options.store = number % 2 ? scratch.path : NULL;
    flow->options.polled = number % 3 == 0;
    flow->options.endpoint = number % 10 == 5 ? "tcp://127.0.0.1" : "inproc";
    flow_start(flow);
    if (number % 4 == 1) {
        other->options.store = scratch.path;
        cr_expect_eq(weir_job_start(other->graph, &other->options, &other->job, &other->error),
                     flow->options.store ? WEIR_LOCKED : WEIR_OK);
    }
    if (number % 5 == 0)
        flow_stop(flow, WEIR_STOP_NOW);
    if (number % 7 == 0)
        (void)!weir_job_poll(flow->job, &outcome, NULL);
    weir_job_close(&other->job);
    flow_close(flow);
}

Test(job_host, a_thousand_jobs_leave_no_memory_no_descriptor_and_no_thread)
{
    struct flow flow, other;
    struct ledger unused;
    unsigned descriptors = 0, threads = 0;
    ledger_init(&unused, 1);
    flow_init(&flow);
    flow_init(&other);
    draw(&flow, UINT64_MAX, &unused);
    draw(&other, UINT64_MAX, &unused);
    flow.options.allocator = other.options.allocator = &counting;
    for (int i = 0; i < (int)explore_part(1000); i++) {
        run_one(&flow, &other, i);
        cr_assert_eq(atomic_load(&live), 0, "job %d leaves %ld blocks", i, atomic_load(&live));
        if (i == 20) {
            descriptors = entries("/proc/self/fd");
            threads = entries("/proc/self/task");
        }
    }
    cr_expect_leq(entries("/proc/self/fd"), descriptors);
    time_t end = time(NULL) + 60; /* the system lists a thread that was joined a little longer */
    while (entries("/proc/self/task") > threads && time(NULL) < end)
        sched_yield();
    cr_expect_leq(entries("/proc/self/task"), threads);
    flow_free(&flow);
    flow_free(&other);
    ledger_free(&unused);
}

Test(job_host, two_polled_jobs_share_a_loop)
{
    struct flow flows[2];
    struct ledger ledgers[2];
    struct pollfd polled[2];
    enum weir_outcome outcomes[2] = {WEIR_OUTCOME_RUNNING, WEIR_OUTCOME_RUNNING};
    for (int i = 0; i < 2; i++) {
        ledger_init(&ledgers[i], 30000);
        flow_init(&flows[i]);
        draw(&flows[i], 30000, &ledgers[i]);
        flows[i].options.polled = true;
        flows[i].options.interval_ns = FLOW_SECOND / 1000;
        flows[i].options.store = scratch_join(scratch.path, i ? "one" : "two");
        flow_start(&flows[i]);
        polled[i] = (struct pollfd){weir_job_fd(flows[i].job), POLLIN, 0};
    }
    while (polled[0].fd >= 0 || polled[1].fd >= 0) {
        cr_assert_gt(poll(polled, 2, 60000), 0, "both are quiet, and not over");
        for (int i = 0; i < 2; i++)
            if (polled[i].revents && weir_job_poll(flows[i].job, &outcomes[i], NULL) == WEIR_OK)
                polled[i].fd = -1;
    }
    for (int i = 0; i < 2; i++) {
        cr_expect_eq(outcomes[i], WEIR_OUTCOME_ENDED);
        cr_expect_eq(flows[i].watch.ended, 1);
        flow_close(&flows[i]);
        ledger_is(&ledgers[i], 30000, 1);
        flow_free(&flows[i]);
        ledger_free(&ledgers[i]);
    }
}

/* ------------------------------------------------------------------- where it stands -- */

static sem_t stuck, go_on;
static atomic_uint_fast64_t seen;
static uint64_t act_at; /* number of the record at which `act` is done */
static enum weir_result (*act)(struct weir_context *context);

static enum weir_result odd_process(void *self, struct weir_context *context, unsigned input,
                                    const struct weir_record *record)
{
    (void)self;
    (void)input;
    (void)record;
    return atomic_fetch_add(&seen, 1) + 1 == act_at ? act(context) : WEIR_OK;
}

static const struct weir_operator odd = {WEIR_SIZED(struct weir_operator), .kind = "odd",
                                         .process = odd_process};

/* numbers --SPREAD--> odd, which acts at that record. */
static void start_odd(struct flow *flow, uint64_t at,
                      enum weir_result (*action)(struct weir_context *context))
{
    sem_init(&stuck, 0, 0);
    sem_init(&go_on, 0, 0);
    act_at = at;
    act = action;
    flow_init(flow);
    weir_node source = flow_numbers(flow, "numbers", UINT64_MAX, 0, 1);
    weir_connect(flow->graph, source, flow_add(flow, "odd", &odd, NULL, 1), WEIR_SPREAD);
    flow->options.store = scratch.path;
    flow->options.interval_ns = -1;    /* checkpoints when a test asks for one */
    flow->options.mode = WEIR_ALIGNED; /* a marker stays behind what is queued */
    flow_start(flow);
}

static enum weir_result stick(struct weir_context *context)
{
    (void)context;
    sem_post(&stuck);
    sem_wait(&go_on);
    return WEIR_OK;
}

struct search {
    const char *what[4];
    bool found[4];
    unsigned lines;
};

static void search_line(void *context, const char *text)
{
    struct search *search = context;
    search->lines++;
    for (int i = 0; i < 4; i++)
        if (search->what[i] && strstr(text, search->what[i]))
            search->found[i] = true;
    cr_expect_null(strchr(text, '\n'));
}

static void print_line(void *context, const char *text)
{
    (void)context;
    fprintf(stderr, "%s\n", text);
}

static bool all_found(struct flow *flow, struct search *search)
{
    memset(search->found, 0, sizeof search->found);
    search->lines = 0;
    weir_job_dump(flow->job, search_line, search);
    for (int i = 0; i < 4; i++)
        if (search->what[i] && !search->found[i])
            return false;
    return true;
}

static void until_all_found(struct flow *flow, struct search *search)
{
    time_t end = time(NULL) + 60;
    while (!all_found(flow, search) && time(NULL) < end)
        continue;
    if (!all_found(flow, search))
        weir_job_dump(flow->job, print_line, NULL);
    for (int i = 0; i < 4; i++)
        cr_expect(!search->what[i] || search->found[i], "nobody says \"%s\"", search->what[i]);
}

Test(job_host, a_dump_of_a_job_that_stands_still_says_who_waits_for_whom)
{
    struct flow flow;
    struct search blocked = {
        {"task odd.0, thread ", "in process of odd for ", "its output waits for credit from odd.0"},
        {0},
        0};
    struct search round = {{"its marker is not yet past 2 of 2 tasks: numbers.0, odd.0"}, {0}, 0};
    start_odd(&flow, 1000, stick);
    sem_wait(&stuck);
    until_all_found(&flow, &blocked); /* the writer runs into the window */
    cr_assert_eq(weir_job_checkpoint(flow.job, NULL), WEIR_OK);
    until_all_found(&flow, &round);       /* its marker waits behind what has no credit */
    cr_expect_eq(round.lines, 2 + 2 + 1); /* job and round, tasks, writer */
    sem_post(&go_on);
    flow_free(&flow);
}

static void dwell(void *context, const struct weir_event *event)
{
    (void)context;
    if (event->kind == WEIR_EVENT_COMMITTED) {
        sem_post(&stuck);
        sem_wait(&go_on);
    }
}

/* A hook that does not return holds the coordinator and whoever logs; not who asks. */
Test(job_host, questions_are_answered_while_a_hook_holds_the_job_up)
{
    struct flow flow;
    struct search search = {{"job job, epoch 1: 2 tasks, running"}, {0}, 0};
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    flow_init(&flow);
    sem_init(&stuck, 0, 0);
    sem_init(&go_on, 0, 0);
    weir_node source = flow_numbers(&flow, "numbers", UINT64_MAX, 0, 1);
    weir_connect(flow.graph, source, flow_add(&flow, "odd", &odd, NULL, 1), WEIR_SPREAD);
    flow.options.store = scratch.path;
    flow.options.interval_ns = FLOW_SECOND / 1000;
    flow.options.event = dwell;
    flow_start(&flow);
    sem_wait(&stuck);
    cr_expect(all_found(&flow, &search));
    weir_job_status(flow.job, &status);
    cr_expect_eq(status.committed, 1);
    enum weir_outcome outcome;
    cr_expect_eq(weir_job_poll(flow.job, &outcome, NULL), WEIR_TIMEOUT);
    for (int i = 0; i < 100000; i++)
        sem_post(&go_on);
    flow_free(&flow);
}

/* ------------------------------------------------------------------------ what failed -- */

static struct flow *crashing;
static struct weir_failure at_crash;
static volatile sig_atomic_t was_here;

static void on_trap(int number)
{
    (void)number;
    at_crash.size = sizeof at_crash;
    was_here = weir_job_here(crashing->job, &at_crash);
}

static enum weir_result trap(struct weir_context *context)
{
    while (!crashing->job) /* weir_job_start has not returned yet */
        continue;
    raise(SIGTRAP); /* of the signals that weir's threads do not block */
    sem_post(&stuck);
    (void)context;
    return WEIR_OK;
}

Test(job_host, a_crash_handler_learns_what_its_thread_was_at)
{
    static struct flow flow;
    struct weir_failure none = {.size = sizeof none};
    crashing = &flow;
    signal(SIGTRAP, on_trap);
    start_odd(&flow, 700, trap);
    sem_wait(&stuck);
    cr_expect_eq(was_here, 1);
    cr_expect_str_eq(at_crash.node, "odd");
    cr_expect_str_eq(at_crash.doing, "process");
    cr_expect_eq(at_crash.subtask, 0);
    cr_expect_leq(at_crash.position, 700);
    cr_expect_gt(at_crash.position + at_crash.count, 700);
    cr_expect_not(weir_job_here(flow.job, &none), "this thread is in no operator");
    flow_free(&flow);
}

static enum weir_result give_up(struct weir_context *context)
{
    return weir_fail(context, WEIR_INVALID, "not this one");
}

Test(job_host, a_failed_run_says_which_operator_was_at_which_record)
{
    struct flow flow;
    struct weir_failure failure = {.size = sizeof failure};
    start_odd(&flow, 700, give_up);
    flow_ends(&flow, WEIR_OUTCOME_FAILED);
    cr_assert_eq(weir_job_failure(flow.job, &failure), WEIR_OK);
    cr_expect_str_eq(failure.node, "odd");
    cr_expect_str_eq(failure.doing, "process");
    cr_expect_leq(failure.position, 700);
    cr_expect_gt(failure.position + failure.count, 700);
    struct {
        size_t size;
        char node[72];
        uint32_t subtask;
        uint32_t beyond;
    } older = {.size = offsetof(struct weir_failure, subtask) + sizeof(uint32_t),
               .subtask = 9,
               .beyond = 0x77777777};
    cr_assert_eq(weir_job_failure(flow.job, (struct weir_failure *)(void *)&older), WEIR_OK);
    cr_expect_str_eq(older.node, "odd");
    cr_expect_eq(older.subtask, 0);
    cr_expect_eq(older.beyond, 0x77777777u, "a smaller struct is not written beyond");
    flow_free(&flow);
}

Test(job_host, where_no_operator_failed_there_is_none_to_name)
{
    struct flow flow;
    struct weir_failure failure = {.size = sizeof failure};
    start_odd(&flow, 0, NULL);
    cr_expect_eq(weir_job_failure(flow.job, &failure), WEIR_NOT_FOUND, "it runs");
    char away[sizeof scratch.path + 8];
    snprintf(away, sizeof away, "%s.away", scratch.path);
    cr_assert_eq(rename(scratch.path, away), 0);
    cr_assert_eq(weir_job_checkpoint(flow.job, NULL), WEIR_OK);
    flow_ends(&flow, WEIR_OUTCOME_FAILED);
    cr_expect_eq(weir_job_failure(flow.job, &failure), WEIR_NOT_FOUND, "the store did");
    flow_close(&flow);
    cr_assert_eq(rename(away, scratch.path), 0);
    flow_free(&flow);
}

/* ------------------------------------------------------------------------------ status -- */

struct stepper {
    uint64_t done;
};

static uint64_t known_total;

static enum weir_progress step(void *self, struct weir_context *context)
{
    struct stepper *stepper = self;
    weir_progress_set(context, ++stepper->done, weir_subtask(context) ? known_total : 100);
    return stepper->done < 100 ? WEIR_MORE : WEIR_END;
}

static const struct weir_operator steps = {WEIR_SIZED(struct weir_operator), .kind = "steps",
                                           .self_size = sizeof(struct stepper), .poll = step};

Test(job_host, progress_is_the_sum_over_sources_and_unknown_if_one_does_not_know)
{
    for (known_total = 0; known_total <= 200; known_total += 200) {
        struct flow flow;
        flow_init(&flow);
        weir_node source = flow_add(&flow, "steps", &steps, NULL, 2);
        weir_connect(flow.graph, source, flow_add(&flow, "odd", &odd, NULL, 1), WEIR_SPREAD);
        flow_start(&flow);
        flow_ends(&flow, WEIR_OUTCOME_ENDED);
        struct weir_status status = {WEIR_SIZED(struct weir_status)}, later = status;
        weir_job_status(flow.job, &status);
        cr_expect_eq(status.progress_done, 200);
        cr_expect_eq(status.progress_total, known_total ? 100 + known_total : 0);
        cr_expect_gt(status.running_ns, 0);
        weir_job_status(flow.job, &later);
        cr_expect_eq(later.running_ns, status.running_ns, "it is over: the clock stands");
        cr_expect_eq(status.round_age_ns, -1);
        cr_expect_eq(status.aborted_age_ns, -1);
        flow_free(&flow);
    }
}
