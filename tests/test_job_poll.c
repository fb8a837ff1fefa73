/* links: flow */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Polled jobs: hooks on the host's thread, a descriptor for its loop, a queue that is bounded.
 */
#include "flow.h"

#include <poll.h>

#define KEPT 1000 /* weir.h */

/* What the hooks were told, and on which thread. One is enough: tests run in processes. */
static struct host {
    pthread_t thread;
    unsigned strange; /* calls on another thread */
    unsigned events[4], logs;
    uint64_t lost;    /* as the warnings say */
    long last_number; /* of the operator's lines */
    bool disorder;
    enum weir_event_kind last_event;
    char last_warning[200];
    void (*on_started)(void);
} host;

static void note_thread(void)
{
    host.strange += !pthread_equal(host.thread, pthread_self());
}

static void host_event(void *context, const struct weir_event *event)
{
    (void)context;
    note_thread();
    host.events[event->kind]++;
    host.last_event = event->kind;
    cr_assert_not_null(event->text);
    if (event->kind == WEIR_EVENT_STARTED && host.on_started)
        host.on_started();
}

static void host_log(void *context, enum weir_level level, const char *text)
{
    const char *line = strstr(text, "line ");
    (void)context;
    note_thread();
    if (level == WEIR_LOG_WARNING) {
        host.lost += strtoull(text, NULL, 10);
        snprintf(host.last_warning, sizeof host.last_warning, "%s", text);
        return;
    }
    host.logs++;
    cr_assert_not_null(line, "%s", text);
    long number = strtol(line + 5, NULL, 10);
    host.disorder |= number <= host.last_number;
    host.last_number = number;
}

/* ------------------------------------------------------------------------ what it runs -- */

static atomic_uint_fast64_t processed;
static unsigned lines_in_open, lines_in_process, lines_in_close; /* set before the start */
static bool open_fails;

static void talk(struct weir_context *context, unsigned *next, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        weir_log(context, "line %u", ++*next);
}

static enum weir_result talker_open(void *self, struct weir_context *context, const void *config)
{
    (void)config;
    talk(context, self, lines_in_open);
    return open_fails ? weir_fail(context, WEIR_IO, "no luck in open") : WEIR_OK;
}

static enum weir_result talker_process(void *self, struct weir_context *context, unsigned input,
                                       const struct weir_record *record)
{
    (void)input;
    (void)record;
    if (atomic_fetch_add(&processed, 1) == 0)
        talk(context, self, lines_in_process);
    return WEIR_OK;
}

static void talker_close(void *self, struct weir_context *context)
{
    talk(context, self, lines_in_close);
}

static const struct weir_operator talker = {
    WEIR_SIZED(struct weir_operator), .kind = "talker",
    .self_size = sizeof(unsigned),    .open = talker_open,
    .process = talker_process,        .close = talker_close,
};

static struct scratch scratch;
static struct flow flow;

static void setup(void)
{
    scratch = scratch_make();
    host.thread = pthread_self();
    flow_init(&flow);
    flow.options.polled = true;
    flow.options.log = host_log;
    flow.options.event = host_event;
}
static void teardown(void)
{
    flow_free(&flow);
    scratch_free(&scratch);
    cr_expect_eq(host.strange, 0, "%u hooks were called on another thread", host.strange);
}
TestSuite(job_poll, .init = setup, .fini = teardown);

static void draw(uint64_t count, uint64_t rate)
{
    weir_node source = flow_times(&flow, "numbers", count, rate, 0);
    weir_connect(flow.graph, source, flow_add(&flow, "talker", &talker, NULL, 1), WEIR_FORWARD);
}

static bool readable(int timeout_ms)
{
    struct pollfd polled = {.fd = weir_job_fd(flow.job), .events = POLLIN};
    return poll(&polled, 1, timeout_ms) == 1;
}

/* A host's loop: sleeps on the descriptor alone. */
static enum weir_outcome loop_until_over(void)
{
    enum weir_outcome outcome = WEIR_OUTCOME_RUNNING;
    enum weir_result result;
    while ((result = weir_job_poll(flow.job, &outcome, &flow.error)) == WEIR_TIMEOUT)
        cr_assert(readable(60000), "the descriptor says nothing, and the job is not over");
    cr_assert_eq(result, WEIR_OK);
    return outcome;
}

static void loop_until(const unsigned *counter, unsigned least)
{
    enum weir_outcome outcome;
    while (weir_job_poll(flow.job, &outcome, NULL) == WEIR_TIMEOUT && *counter < least)
        cr_assert(readable(60000), "the descriptor says nothing");
    cr_assert_geq(*counter, least);
}

/* ------------------------------------------------------------------------------- tests -- */

Test(job_poll, a_loop_that_waits_for_the_descriptor_alone_hears_everything)
{
    lines_in_open = 1;
    lines_in_process = 7;
    lines_in_close = 5;
    draw(20000, 0);
    flow.options.store = scratch.path;
    flow.options.interval_ns = FLOW_SECOND / 1000;
    flow_start(&flow);
    cr_expect_eq(host.events[WEIR_EVENT_STARTED], 0, "nothing is told before it is asked for");
    int fd = weir_job_fd(flow.job);
    cr_expect_geq(fd, 0);
    cr_expect_eq(loop_until_over(), WEIR_OUTCOME_ENDED);
    cr_expect_eq(weir_job_fd(flow.job), fd);
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    weir_job_status(flow.job, &status);
    cr_expect_eq(host.events[WEIR_EVENT_STARTED], 1);
    cr_expect_eq(host.events[WEIR_EVENT_COMMITTED], status.committed);
    cr_expect_eq(host.events[WEIR_EVENT_ENDED], 1);
    cr_expect_eq(host.last_event, WEIR_EVENT_ENDED);
    flow_close(&flow); /* what close callbacks say comes here */
    cr_expect_eq(host.logs, 13);
    cr_expect_not(host.disorder);
    cr_expect_eq(host.lost, 0);
}

Test(job_poll, the_descriptor_is_quiet_until_something_has_come)
{
    draw(UINT64_MAX, 1);
    flow.options.store = scratch.path;
    flow.options.interval_ns = -1;
    flow_start(&flow);
    enum weir_outcome outcome = WEIR_OUTCOME_ENDED;
    cr_expect(readable(0), "STARTED waits");
    cr_expect_eq(weir_job_poll(flow.job, &outcome, NULL), WEIR_TIMEOUT);
    cr_expect_eq(outcome, WEIR_OUTCOME_RUNNING);
    cr_expect_eq(host.events[WEIR_EVENT_STARTED], 1);
    cr_expect_not(readable(0), "nothing waits");
    cr_assert_eq(weir_job_checkpoint(flow.job, NULL), WEIR_OK);
    loop_until(&host.events[WEIR_EVENT_COMMITTED], 1);
    cr_expect_not(readable(0));
    flow_stop(&flow, WEIR_STOP_NOW);
    cr_expect_eq(loop_until_over(), WEIR_OUTCOME_STOPPED);
    cr_expect_not(readable(0), "the outcome was told");
    cr_expect_eq(weir_job_poll(flow.job, &outcome, NULL), WEIR_OK, "it may be asked again");
    cr_expect_eq(outcome, WEIR_OUTCOME_STOPPED);
}

Test(job_poll, the_oldest_go_first_and_a_warning_says_how_many)
{
    lines_in_process = 5000;
    draw(10, 0);
    flow_start(&flow);
    cr_expect_eq(flow_wait(&flow), WEIR_OUTCOME_ENDED);
    enum weir_outcome outcome;
    cr_expect_eq(weir_job_poll(flow.job, &outcome, NULL), WEIR_OK);
    /* STARTED, 5000 lines and ENDED were told */
    cr_expect_eq(host.lost, 5002 - KEPT, "%s", host.last_warning);
    cr_expect_eq(host.logs, KEPT - 1, "%u lines", host.logs);
    cr_expect_eq(host.last_number, 5000, "the newest are kept");
    cr_expect_not(host.disorder);
    cr_expect_eq(host.events[WEIR_EVENT_ENDED], 1);
    uint64_t lost = host.lost;
    flow_close(&flow);
    cr_expect_eq(host.lost, lost, "a gap is told once");
}

Test(job_poll, the_end_always_arrives_however_much_is_said_after_it)
{
    lines_in_process = 1500;
    lines_in_close = 2500;
    draw(10, 0);
    flow_start(&flow);
    cr_expect_eq(flow_wait(&flow), WEIR_OUTCOME_ENDED);
    flow_close(&flow); /* never polled */
    cr_expect_eq(host.events[WEIR_EVENT_ENDED], 1);
    cr_expect_eq(host.logs, KEPT - 1, "%u lines", host.logs);
    cr_expect_eq(host.logs + host.lost + host.events[WEIR_EVENT_ENDED], 4002);
    cr_expect_eq(host.last_number, 4000);
    cr_expect_not(host.disorder);
}

static void wait_in_the_hook(void)
{
    struct timespec pause = {.tv_nsec = 1000000};
    uint64_t before = atomic_load(&processed);
    for (int i = 0; i < 60000 && atomic_load(&processed) < before + 5000; i++)
        nanosleep(&pause, NULL); /* a host that takes its time; not the test's way of waiting */
    cr_expect_geq(atomic_load(&processed), before + 5000, "the job waits for its host");
}

Test(job_poll, a_host_that_dwells_in_a_hook_holds_nobody_up)
{
    host.on_started = wait_in_the_hook;
    lines_in_process = 100; /* the tasks have something to say meanwhile */
    draw(UINT64_MAX, 0);
    flow.options.store = scratch.path;
    flow.options.interval_ns = FLOW_SECOND / 1000;
    flow_start(&flow);
    loop_until(&host.events[WEIR_EVENT_COMMITTED], 3);
    flow_stop(&flow, WEIR_STOP_NOW);
    cr_expect_eq(loop_until_over(), WEIR_OUTCOME_STOPPED);
    cr_expect_eq(host.logs, 100);
}

Test(job_poll, a_start_that_fails_tells_what_was_said_until_then)
{
    open_fails = true;
    lines_in_open = 3;
    draw(10, 0);
    cr_expect_eq(weir_job_start(flow.graph, &flow.options, &flow.job, &flow.error), WEIR_IO);
    cr_expect_null(flow.job);
    cr_expect_eq(host.logs, 3);
    cr_expect_eq(host.events[WEIR_EVENT_STARTED], 0);
    cr_expect_eq(host.events[WEIR_EVENT_ENDED], 1);
}

Test(job_poll, without_hooks_there_is_still_the_outcome)
{
    lines_in_process = 2000;
    draw(10, 0);
    flow.options.log = NULL;
    flow.options.event = NULL;
    flow_start(&flow);
    cr_expect_eq(loop_until_over(), WEIR_OUTCOME_ENDED);
}

Test(job_poll, a_failed_run_says_why)
{
    draw(UINT64_MAX, 0);
    flow.options.store = scratch.path;
    flow_start(&flow);
    char away[sizeof scratch.path + 8];
    snprintf(away, sizeof away, "%s.away", scratch.path);
    cr_assert_eq(rename(scratch.path, away), 0); /* the next checkpoint finds no store */
    cr_assert_eq(weir_job_checkpoint(flow.job, NULL), WEIR_OK);
    cr_expect_eq(loop_until_over(), WEIR_OUTCOME_FAILED);
    cr_expect(strstr(flow.error.text, "moved") != NULL, "%s", flow.error.text);
    flow_close(&flow);
    cr_assert_eq(rename(away, scratch.path), 0);
}

Test(job_poll, a_job_that_is_not_polled_has_no_descriptor_and_answers_all_the_same)
{
    draw(UINT64_MAX, 0);
    flow.options.polled = false;
    flow.options.log = watch_log;
    flow.options.event = watch_event;
    flow_start(&flow);
    cr_expect_eq(weir_job_fd(flow.job), -1);
    enum weir_outcome outcome = WEIR_OUTCOME_ENDED;
    cr_expect_eq(weir_job_poll(flow.job, &outcome, &flow.error), WEIR_TIMEOUT);
    cr_expect_eq(outcome, WEIR_OUTCOME_RUNNING);
    cr_expect_eq(flow.watch.started, 1, "its hooks are called at once");
    flow_stop(&flow, WEIR_STOP_NOW);
    cr_expect_eq(flow_wait(&flow), WEIR_OUTCOME_STOPPED);
    cr_expect_eq(weir_job_poll(flow.job, &outcome, &flow.error), WEIR_OK);
    cr_expect_eq(outcome, WEIR_OUTCOME_STOPPED);
}
