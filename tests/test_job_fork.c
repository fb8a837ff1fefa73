/* links: flow */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that are forked from one that runs a job: they are no part of it, whatever they try.
 */
#include "flow.h"

#include <sys/wait.h>
#include <unistd.h>

static struct scratch scratch;
static pid_t child;

static void begin(void)
{
    scratch = scratch_make();
    child = 0;
}
static void end(void)
{
    scratch_free(&scratch);
}
TestSuite(job_fork, .init = begin, .fini = end);

static int code_of(pid_t process)
{
    int status = 0;
    cr_assert_eq(waitpid(process, &status, 0), process);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ------------------------------------------------------------------------ from outside -- */

/* In the child; the number of what was not refused. */
static int try_all(struct flow *flow, struct weir_file *file)
{
    struct weir_error error = {0};
    enum weir_outcome outcome;
    if (weir_job_stop(flow->job, WEIR_STOP_NOW, &error) != WEIR_INVALID)
        return 1;
    if (strstr(error.text, "forked") == NULL)
        return 2;
    if (weir_job_checkpoint(flow->job, &error) != WEIR_INVALID)
        return 3;
    if (weir_job_wait(flow->job, -1, &outcome, &error) != WEIR_INVALID)
        return 4;
    if (weir_job_poll(flow->job, &outcome, &error) != WEIR_INVALID)
        return 5;
    if (weir_file_write(file, (struct weir_bytes){"child", 5}, &error) != WEIR_REFUSED)
        return 6;
    if (strstr(error.text, "forked") == NULL)
        return 7;
    weir_job_close(&flow->job);
    return flow->job == NULL ? 0 : 8;
}

Test(job_fork, a_child_can_ask_the_job_nothing_and_write_nothing_of_its_parents)
{
    struct flow flow;
    struct ledger ledger;
    struct weir_file *file = NULL;
    char text[20];
    size_t got = 0;
    flow_init(&flow);
    ledger_init(&ledger, 2000);
    flow.options.store = scratch_join(scratch.path, "store");
    const char *path = scratch_join(scratch.path, "file");
    cr_assert_eq(weir_file_open(NULL, path, WEIR_OPEN_CREATE, &file, &flow.error), WEIR_OK);
    weir_node source = flow_numbers(&flow, "numbers", 2000, 10000, 1);
    weir_connect(flow.graph, source, ledger_sink(flow.graph, "sink", &ledger, 1), WEIR_SPREAD);
    flow_start(&flow);
    child = fork();
    if (child == 0)
        _exit(try_all(&flow, file));
    cr_expect_eq(code_of(child), 0);
    cr_assert_eq(weir_file_write(file, (struct weir_bytes){"parent", 6}, &flow.error), WEIR_OK);
    cr_assert_eq(weir_file_read(file, 0, text, sizeof text, &got, &flow.error), WEIR_OK);
    cr_expect(got == 6 && memcmp(text, "parent", 6) == 0);
    cr_assert_eq(weir_file_close(&file, &flow.error), WEIR_OK);
    flow_ends(&flow, WEIR_OUTCOME_ENDED);
    ledger_is(&ledger, 2000, 1);
    flow_free(&flow);
    ledger_free(&ledger);
}

/* ------------------------------------------------------------------------- from inside -- */

static enum weir_result fork_once(struct weir_context *context, unsigned input,
                                  const struct weir_record *record, const void *config)
{
    (void)input, (void)config;
    if (flow_number(record) == 50) {
        pid_t forked = fork();
        if (forked > 0)
            child = forked;
    }
    return weir_emit(context, 0, record);
}

Test(job_fork, a_copy_of_a_task_that_returns_from_its_callback_is_ended)
{
    struct flow flow;
    struct ledger ledger;
    flow_init(&flow);
    ledger_init(&ledger, 2000);
    flow.options.store = scratch_join(scratch.path, "store");
    weir_node source = flow_numbers(&flow, "numbers", 2000, 0, 1);
    weir_node forks = weir_flat_map(flow.graph, "forks", fork_once, NULL);
    weir_connect(flow.graph, source, forks, WEIR_SPREAD);
    weir_connect(flow.graph, forks, ledger_sink(flow.graph, "sink", &ledger, 1), WEIR_SPREAD);
    flow_start(&flow);
    flow_ends(&flow, WEIR_OUTCOME_ENDED);
    cr_assert_gt(child, 0);
    cr_expect_eq(code_of(child), 255);
    ledger_is(&ledger, 2000, 1);
    flow_free(&flow);
    ledger_free(&ledger);
}
