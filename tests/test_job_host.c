/* links: flow surroundings */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a host may rely on: its process is left as it was, two jobs run on one loop, a thousand
 * leave nothing behind; and what it may ask: where a job stands, and what has failed.
 */
#include "flow.h"

#include <dirent.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>

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
