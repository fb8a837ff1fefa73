/* links: sim */
/* SPDX-License-Identifier: Apache-2.0
 *
 * What a broken connection may have swallowed is said again, also by a task that never rests:
 *
 *     seldom, one record ---\
 *                            reader, one record a step --> output, gets one record
 *     always, no end -------/
 *
 * If the one credit of `seldom` were lost, or the one record of `output`, nobody would learn of it
 * as long as the reader has something to do.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "sim.h"
#include "weir.h"

#define SECOND_NS INT64_C(1000000000)
#define STEP_NS 100000 /* so that time passes though a task is always busy */
#define BURST 100

/* Channels, in the order of the edges. */
enum { FROM_SELDOM, FROM_ALWAYS, TO_OUTPUT };

/* What the reader says to others, and how many records it was given. */
struct said {
    uint64_t credits;  /* of seldom's one batch */
    uint64_t promises; /* of its own one */
    uint64_t taken;
};

static struct said said;

static void listen(void *context, const struct message *message)
{
    struct said *to = context;

    to->credits += message->kind == MESSAGE_CREDIT && message->channel == FROM_SELDOM;
    to->promises += message->kind == MESSAGE_PROMISE && message->channel == TO_OUTPUT;
}

static enum weir_result emit(struct weir_context *context)
{
    return weir_emit(context, 0, &(struct weir_record){.value = {"x", 1}, .time = WEIR_NO_TIME});
}

static enum weir_progress once(void *self, struct weir_context *context)
{
    bool *done = self;

    if (!*done)
        emit(context);
    *done = true;
    return weir_idle(context, INT64_MAX, -1);
}

static enum weir_progress always(void *self, struct weir_context *context)
{
    (void)self;
    for (int i = 0; i < BURST; i++)
        emit(context);
    return WEIR_MORE;
}

static size_t take_one(void *self, struct weir_context *context, unsigned input,
                       const struct weir_record *records, size_t count)
{
    (void)self, (void)input, (void)records, (void)count;
    if (said.taken++ == 0)
        emit(context);
    return 1;
}

static enum weir_result take(void *self, struct weir_context *context, unsigned input,
                             const struct weir_record *record)
{
    (void)self, (void)context, (void)input, (void)record;
    return WEIR_OK;
}

static weir_node add(struct weir_graph *graph, const char *name, const struct weir_operator *table)
{
    return weir_graph_add(graph, &(struct weir_node_options){WEIR_SIZED(struct weir_node_options),
                                                             .name = name, .table = table});
}

static struct weir_graph *build(void)
{
    static const struct weir_operator seldom = {WEIR_SIZED(struct weir_operator), .kind = "seldom",
                                                .self_size = sizeof(bool), .poll = once};
    static const struct weir_operator endless = {WEIR_SIZED(struct weir_operator),
                                                 .kind = "endless", .poll = always};
    static const struct weir_operator reader = {WEIR_SIZED(struct weir_operator), .kind = "reader",
                                                .process_many = take_one};
    static const struct weir_operator output = {WEIR_SIZED(struct weir_operator), .kind = "output",
                                                .process = take};
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node read = add(graph, "reader", &reader);

    /* SPREAD, so that no two of them become one task */
    weir_connect(graph, add(graph, "seldom", &seldom), read, WEIR_SPREAD);
    weir_connect(graph, add(graph, "always", &endless), read, WEIR_SPREAD);
    weir_connect(graph, read, add(graph, "output", &output), WEIR_SPREAD);
    return graph;
}

static void run(const char *endpoint)
{
    struct weir_graph *graph = build();
    struct weir_job_options options = {WEIR_SIZED(struct weir_job_options), .endpoint = endpoint};
    struct weir_error error = {0};
    enum weir_outcome outcome;
    struct weir_job *job;

    memset(&said, 0, sizeof said);
    sim_start(1);
    sim_step_cost(STEP_NS);
    sim_message_hook(listen, &said);
    cr_assert_eq(weir_job_start(graph, &options, &job, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(weir_job_wait(job, 6 * SECOND_NS, &outcome, &error), WEIR_TIMEOUT);
    cr_assert_eq(weir_job_stop(job, WEIR_STOP_NOW, &error), WEIR_OK);
    cr_assert_eq(weir_job_wait(job, -1, &outcome, &error), WEIR_OK);
    cr_assert_eq(outcome, WEIR_OUTCOME_STOPPED);
    weir_job_close(&job);
    weir_graph_free(&graph);
    sim_message_hook(NULL, NULL);
    cr_assert_eq(sim_end(), 0);
}

Test(sim_promise, a_task_that_never_rests_says_it_again)
{
    run("tcp://127.0.0.1");
    cr_assert_gt(said.taken, 1000);
    cr_assert_geq(said.credits, 3, "the credit was returned %llu times",
                  (unsigned long long)said.credits);
    cr_assert_geq(said.promises, 3, "how far was sent was told %llu times",
                  (unsigned long long)said.promises);
}

/* Within a process nothing is lost, so nothing is said twice. */
Test(sim_promise, within_a_process_once_is_enough)
{
    run("inproc");
    cr_assert_gt(said.taken, 1000);
    cr_assert_leq(said.credits, 1);
    cr_assert_eq(said.promises, 0);
}
