/* links: flow */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What hangs in a job of real threads: told while the job is closed, told to who polls, and its
 * thread can be looked at. What hangs here waits until it was told of.
 */
#include "flow.h"

#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

#define AFTER (FLOW_SECOND / 10)

static struct {
    sem_t go; /* what hangs goes on */
    const char *call;
    bool once; /* it has hung */
    struct weir_event told;
    char text[300];
    unsigned hung, returned;
    struct weir_job **job;
    sigset_t mask; /* of the task */
    struct weir_failure here;
    atomic_int looked; /* by the handler: its thread */
    int signal;
} scene;

static void begin(void)
{
    memset(&scene, 0, sizeof scene);
    sem_init(&scene.go, 0, 0);
}
static void end(void)
{
    sem_destroy(&scene.go);
}
TestSuite(job_hang, .init = begin, .fini = end);

static void hang(const char *call)
{
    if (scene.once || strcmp(scene.call, call) != 0)
        return;
    scene.once = true;
    while (sem_wait(&scene.go) != 0)
        ; /* EINTR */
}

static enum weir_result on_record(void *self, struct weir_context *context, unsigned input,
                                  const struct weir_record *record)
{
    (void)self, (void)input;
    pthread_sigmask(SIG_BLOCK, NULL, &scene.mask);
    hang("process");
    return weir_emit(context, 0, record);
}

static void on_close(void *self, struct weir_context *context)
{
    (void)self, (void)context;
    hang("close");
}

static const struct weir_operator table = {WEIR_SIZED(struct weir_operator), .kind = "hanging",
                                           .self_size = 1, .process = on_record, .close = on_close};

/* A thread of the job's, or who closes or polls it. */
static void on_event(void *context, const struct weir_event *event)
{
    watch_event(context, event);
    scene.returned += event->kind == WEIR_EVENT_RETURNED;
    if (event->kind != WEIR_EVENT_HUNG)
        return;
    if (scene.hung++ == 0) {
        scene.told = *event;
        snprintf(scene.text, sizeof scene.text, "%s", event->text);
    }
    if (scene.signal != 0) {
        cr_assert_eq(tgkill(getpid(), event->thread, scene.signal), 0);
        while (atomic_load(&scene.looked) == 0)
            sched_yield();
    }
    sem_post(&scene.go);
}

static void look(int signal)
{
    (void)signal;
    scene.here.size = sizeof scene.here;
    int thread = weir_job_here(*scene.job, &scene.here) ? gettid() : -1;
    atomic_store(&scene.looked, thread);
}

static void start(struct flow *flow, struct ledger *ledger, const char *call)
{
    flow_init(flow);
    ledger_init(ledger, 100);
    scene.call = call;
    scene.job = &flow->job;
    flow->options.hang_after_ns = AFTER;
    flow->options.event = on_event;
    weir_node source = flow_numbers(flow, "numbers", 100, 0, 1);
    weir_node hangs = flow_add(flow, "hangs", &table, NULL, 1);
    weir_connect(flow->graph, source, hangs, WEIR_SPREAD);
    weir_connect(flow->graph, hangs, ledger_sink(flow->graph, "sink", ledger, 1), WEIR_SPREAD);
}

static void told_of(const char *call)
{
    char text[80];
    snprintf(text, sizeof text, "hangs.0: at work, in %s of hangs for ", call);
    cr_expect_eq(strncmp(scene.text, text, strlen(text)), 0, "%s", scene.text);
    cr_expect_str_eq(scene.told.node, "hangs");
    cr_expect_str_eq(scene.told.doing, call);
    cr_expect_geq(scene.told.duration_ns, AFTER);
}

Test(job_hang, closing_a_job_tells_who_keeps_it_from_ending)
{
    struct flow flow;
    struct ledger ledger;
    start(&flow, &ledger, "close");
    flow_start(&flow);
    flow_ends(&flow, WEIR_OUTCOME_ENDED);
    flow_close(&flow);
    cr_expect_geq(scene.hung, 1u);
    told_of("close");
    flow_free(&flow);
    ledger_free(&ledger);
}

Test(job_hang, the_thread_that_hangs_can_be_looked_at_by_the_signal_that_is_left_open)
{
    struct flow flow;
    struct ledger ledger;
    struct sigaction before, action = {.sa_handler = look};
    scene.signal = SIGRTMIN + 3;
    sigaction(scene.signal, &action, &before);
    start(&flow, &ledger, "process");
    flow.options.open_signal = scene.signal;
    flow_start(&flow);
    flow_ends(&flow, WEIR_OUTCOME_ENDED);
    cr_expect_geq(scene.hung, 1u);
    told_of("process");
    cr_expect_eq(atomic_load(&scene.looked), scene.told.thread);
    cr_expect_str_eq(scene.here.node, "hangs");
    cr_expect_str_eq(scene.here.doing, "process");
    cr_expect_eq(scene.here.position, 1u);
    cr_expect_eq(sigismember(&scene.mask, scene.signal), 0);
    cr_expect_eq(sigismember(&scene.mask, SIGUSR1), 1);
    cr_expect_eq(sigismember(&scene.mask, SIGRTMIN + 4), 1);
    flow_free(&flow);
    ledger_free(&ledger);
    sigaction(scene.signal, &before, NULL);
}

Test(job_hang, no_signal_is_left_open_unless_it_is_named)
{
    struct flow flow;
    struct ledger ledger;
    start(&flow, &ledger, "");
    flow_start(&flow);
    flow_ends(&flow, WEIR_OUTCOME_ENDED);
    cr_expect_eq(sigismember(&scene.mask, SIGRTMIN + 3), 1);
    cr_expect_eq(scene.hung, 0u);
    flow_free(&flow);
    ledger_free(&ledger);
}

Test(job_hang, who_polls_is_told_and_the_status_counts)
{
    struct flow flow;
    struct ledger ledger;
    enum weir_outcome outcome;
    struct weir_error error = {0};
    start(&flow, &ledger, "process");
    flow.options.polled = true;
    flow_start(&flow);
    struct pollfd polled = {.fd = weir_job_fd(flow.job), .events = POLLIN};
    unsigned counted = 0;
    while (scene.hung == 0 && poll(&polled, 1, 60000) == 1) {
        struct weir_status status = {WEIR_SIZED(struct weir_status)};
        weir_job_status(flow.job, &status);
        counted = status.hung > counted ? status.hung : counted;
        (void)!weir_job_poll(flow.job, &outcome, &error);
    }
    cr_assert_geq(scene.hung, 1u);
    told_of("process");
    cr_expect_eq(counted, 1u);
    while (weir_job_poll(flow.job, &outcome, &error) == WEIR_TIMEOUT &&
           poll(&polled, 1, 60000) == 1)
        ;
    cr_expect_eq(outcome, WEIR_OUTCOME_ENDED);
    flow_free(&flow);
    ledger_free(&ledger);
}

Test(job_hang, nonsense_is_refused)
{
    struct flow flow;
    struct ledger ledger;
    struct weir_error error = {0};
    start(&flow, &ledger, "");
    flow.options.hang_after_ns = AFTER - 1;
    cr_expect_eq(weir_job_start(flow.graph, &flow.options, &flow.job, &error), WEIR_INVALID);
    cr_expect_str_eq(error.text, "job option hang_after_ns: at least 100 ms; negative: never");
    flow.options.hang_after_ns = 0;
    flow.options.open_signal = 65;
    cr_expect_eq(weir_job_start(flow.graph, &flow.options, &flow.job, &error), WEIR_INVALID);
    cr_expect_str_eq(error.text,
                     "job option open_signal: the number of a signal, 1 to 64; 0: none");
    flow_free(&flow);
    ledger_free(&ledger);
}
