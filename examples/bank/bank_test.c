/* SPDX-License-Identifier: Apache-2.0
 *
 * The bank's operators, each alone under weir_operator_torture. And, given a folder to work in, the
 * audit and the invariant: of a bank, and of one that loses money, for it lacks an edge that leads
 * back.
 *
 *     bank_test [FOLDER]
 */
#include <inttypes.h>
#include <stdio.h>

#include "accounts.h"
#include "audit.h"
#include "orders.h"
#include "weir_checkpoint.h"
#include "weir_operators.h"

weir_invariant_function weir_invariant; /* of invariant.c */

enum { STEPS = 120, NAMES = 7, MANY_ORDERS = 2000, MANY_ACCOUNTS = 50 };

/* ------------------------------------------------------------------------- the operators -- */

static bool passed(const char *what, struct weir_graph *graph, weir_node node,
                   const struct weir_torture_step *steps)
{
    struct weir_error error = {0};
    enum weir_result result = weir_operator_torture(
        &(struct weir_torture_options){WEIR_SIZED(struct weir_torture_options), .graph = graph,
                                       .at = node, .steps = steps, .step_count = STEPS,
                                       .trials = 300},
        &error);

    printf("%s: %s\n", what, result ? error.text : "ok");
    return !result;
}

static bool try_orders(struct weir_graph *graph)
{
    static struct weir_torture_step steps[STEPS];
    static uint64_t numbers[STEPS];

    for (uint64_t i = 0; i < STEPS; i++) {
        numbers[i] = i * i;
        steps[i].record =
            (struct weir_record){{NULL, 0}, {&numbers[i], sizeof numbers[i]}, WEIR_NO_TIME};
    }
    return passed("orders", graph, orders(graph, "orders", 1, NAMES), steps);
}

/* Orders and credits in turn, of few accounts, and of more money than all of them can pay. */
static bool try_accounts(struct weir_graph *graph)
{
    static struct weir_torture_step steps[STEPS];
    static struct order told[STEPS];

    for (uint64_t i = 0; i < STEPS; i++) {
        told[i] = (struct order){i, i * i % NAMES, (i * i + i % 5 + 1) % NAMES, 1 + i * 13 % 400};
        steps[i].input = i % 3 == 2 ? CREDITS : ORDERS;
        uint64_t *key = steps[i].input == ORDERS ? &told[i].from : &told[i].to;
        steps[i].record =
            (struct weir_record){{key, sizeof *key}, {&told[i], sizeof told[i]}, WEIR_NO_TIME};
    }
    return passed("accounts", graph, accounts(graph, "accounts", &(struct accounts_options){0}),
                  steps);
}

/* ----------------------------------------------------------------------------- the audit -- */

static void lead_back(struct weir_graph *graph, weir_node from, const char *output, weir_node to)
{
    weir_graph_connect(
        graph, &(struct weir_edge_options){WEIR_SIZED(struct weir_edge_options), .from = from,
                                           .output = output, .to = to, .input = "credits",
                                           .routing = WEIR_BY_KEY, .feedback = true});
}

/* Without a journal. What is emitted to an output that leads nowhere is gone. */
static void draw(struct weir_graph *graph, bool leaks)
{
    weir_node numbers = weir_sequence_source(
        graph, "numbers",
        &(struct weir_sequence_source_options){WEIR_SIZED(struct weir_sequence_source_options),
                                               .count = MANY_ORDERS});
    weir_node ordered = orders(graph, "orders", 1, MANY_ACCOUNTS);
    weir_node holders = accounts(graph, "accounts", &(struct accounts_options){0});
    weir_node clearing =
        weir_throttle(graph, "clearing",
                      &(struct weir_throttle_options){WEIR_SIZED(struct weir_throttle_options),
                                                      .rate = 10 * MANY_ORDERS});

    weir_connect(graph, numbers, ordered, WEIR_FORWARD);
    weir_connect(graph, ordered, holders, WEIR_BY_KEY);
    weir_graph_connect(graph, &(struct weir_edge_options){WEIR_SIZED(struct weir_edge_options),
                                                          .from = holders, .output = "clearing",
                                                          .to = clearing, .routing = WEIR_BY_KEY});
    lead_back(graph, holders, "house", holders);
    if (!leaks)
        lead_back(graph, clearing, "out", holders);
}

static bool run(struct weir_graph *graph, const char *store)
{
    struct weir_error error = {0};
    enum weir_outcome outcome = WEIR_OUTCOME_RUNNING;
    struct weir_job *job;
    enum weir_result result =
        weir_job_start(graph,
                       &(struct weir_job_options){WEIR_SIZED(struct weir_job_options),
                                                  .store = store, .parallelism = 2,
                                                  .interval_ns = 10 * 1000 * 1000, .retain = 1000},
                       &job, &error);

    if (!result)
        result = weir_job_wait(job, -1, &outcome, &error);
    weir_job_close(&job);
    if (result || outcome != WEIR_OUTCOME_ENDED)
        printf("bank: %s\n", error.text);
    return !result && outcome == WEIR_OUTCOME_ENDED;
}

static void count_violation(void *context, const char *violation)
{
    (void)violation;
    ++*(unsigned *)context;
}

/* Of the newest checkpoint: is the invariant violated, if it is to be, and not otherwise? */
static bool try_invariant(const char *path, bool leaks)
{
    struct weir_error error = {0};
    struct weir_store *store = NULL;
    struct weir_checkpoint *checkpoint = NULL;
    unsigned violations = 0;
    enum weir_result result = weir_store_open(path, NULL, &store, &error);

    if (!result)
        result = weir_checkpoint_open(store, 0, &checkpoint, &error);
    if (!result)
        result = weir_invariant(checkpoint, count_violation, &violations, &error);
    if (result)
        printf("invariant: %s\n", error.text);
    weir_checkpoint_close(&checkpoint);
    weir_store_close(&store);
    return !result && (violations > 0) == leaks;
}

static bool try_audit(const char *folder, bool leaks)
{
    char store[512];
    struct weir_graph *graph = weir_graph_new(NULL);
    bool right = false;

    if (!graph)
        return false;
    draw(graph, leaks);
    snprintf(store, sizeof store, "%s/%s", folder, leaks ? "leaks" : "sound");
    if (run(graph, store))
        right = audit(store) == leaks && try_invariant(store, leaks);
    printf("audit of a bank that %s: %s\n", leaks ? "leaks" : "is sound", right ? "ok" : "wrong");
    weir_graph_free(&graph);
    return right;
}

int main(int argc, char **argv)
{
    struct weir_graph *graph = weir_graph_new(NULL);
    bool all = graph && try_orders(graph);

    all = graph && try_accounts(graph) && all;
    if (argc > 1) {
        all = try_audit(argv[1], false) && all;
        all = try_audit(argv[1], true) && all;
    }
    weir_graph_free(&graph);
    return !all;
}
