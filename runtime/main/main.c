/* SPDX-License-Identifier: Apache-2.0
 *
 * main: the verbs. Everything here runs in the program's first thread.
 */
#include "weir_main.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "control.h"
#include "exit_code.h"
#include "options.h"
#include "report.h"
#include "signals.h"

/* How late a signal or a held-back line may be noticed: nobody sees a tenth of a second. */
#define TICK_NS ((int64_t)100 * 1000 * 1000)

/* --------------------------------------------------------------------------- help, version -- */

static int print_help(const struct weir_program *program)
{
    printf("%s - %s\n\n", program->name, program->about != NULL ? program->about : "a weir job");
    options_print_verbs(program->name, stdout);
    options_print(stdout);
    if (program->parameters != NULL && program->parameters[0].name != NULL) {
        printf("\nparameters, each --set NAME=VALUE:\n");
        parameters_print(program->parameters, stdout);
    }
    printf("\nexit codes: 0 input ended, 2 usage, 3 store locked, damaged or unusable, 4 graph\n"
           "mismatch, 5 failed, 6 stopped on request\n");
    return EXIT_ENDED;
}

static int print_version(const struct weir_program *program)
{
    if (program->version != NULL)
        printf("%s %s (weir %s)\n", program->name, program->version, weir_version());
    else
        printf("%s (weir %s)\n", program->name, weir_version());
    return EXIT_ENDED;
}

static int usage_failed(const struct weir_program *program, const struct weir_error *error)
{
    fprintf(stderr, "%s: %s\n", program->name, error->text);
    fprintf(stderr, "%s: \"%s --help\" shows what can be said\n", program->name, program->name);
    return EXIT_USAGE;
}

/* ------------------------------------------------------------------------------------ plan -- */

static void print_line(void *context, const char *text)
{
    (void)context;
    puts(text);
}

static int plan(const struct weir_program *program, struct weir_graph *graph,
                const struct options *options)
{
    struct weir_error error = {0};

    if (weir_graph_plan(graph, options->job.parallelism, print_line, NULL, &error) != WEIR_OK) {
        fprintf(stderr, "%s: %s\n", program->name, error.text);
        return exit_code_of_start(&error);
    }
    return EXIT_ENDED;
}

/* ------------------------------------------------------------------------------------- run -- */

/* A job takes a descriptor for each pair of tasks that talk; the usual soft limit is far below the
 * hard one, and a program may help itself. Failing is fine: the job says what it lacks. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Passes signals on to the job: the first asks for a last checkpoint, the second does not wait. */
static int pass_on(struct weir_job *job, struct report *report, int passed)
{
    struct weir_error error = {0};
    int count = signals_count();

    if (count > 0 && passed == 0) {
        report_stopping(report, WEIR_STOP_SUSPEND, "signal");
        if (weir_job_stop(job, WEIR_STOP_SUSPEND, &error) != WEIR_OK)
            report_say(report, WEIR_LOG_ERROR, "can't stop: %s", error.text);
        passed = 1;
    }
    if (count > 1 && passed == 1) {
        report_stopping(report, WEIR_STOP_NOW, "signal");
        if (weir_job_stop(job, WEIR_STOP_NOW, &error) != WEIR_OK)
            report_say(report, WEIR_LOG_ERROR, "can't stop: %s", error.text);
        passed = 2;
    }
    return passed;
}

/* Until the job is over, or can't be waited for: then `outcome` stays RUNNING. */
static enum weir_outcome attend(struct weir_job *job, struct report *report,
                                struct weir_error *error)
{
    enum weir_outcome outcome = WEIR_OUTCOME_RUNNING;
    int passed = 0;

    while (weir_job_wait(job, TICK_NS, &outcome, error) == WEIR_TIMEOUT) {
        struct weir_status status = {WEIR_SIZED(struct weir_status)};
        passed = pass_on(job, report, passed);
        weir_job_status(job, &status);
        report_tick(report, &status);
    }
    return outcome;
}

static int run_job(struct weir_graph *graph, struct options *options, struct report *report,
                   const struct signals *signals)
{
    struct weir_error error = {0};
    struct weir_job *job = NULL;

    if (weir_job_start(graph, &options->job, &job, &error) != WEIR_OK) {
        report_end(report, WEIR_OUTCOME_FAILED, NULL, &error);
        return exit_code_of_start(&error);
    }
    signals_heed(signals);
    enum weir_outcome outcome = attend(job, report, &error);
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    bool known = outcome != WEIR_OUTCOME_UNKNOWN; /* then only close is legal */
    if (known)
        weir_job_status(job, &status);
    weir_job_close(&job);
    report_end(report, outcome, known ? &status : NULL, &error);
    return exit_code_of_outcome(outcome, &error);
}

static int run(const struct weir_program *program, struct weir_graph *graph,
               struct options *options)
{
    struct signals signals;
    struct report report;

    options->job.name = program->name;
    raise_descriptor_limit();
    report_begin(&report, program->name, options, &options->job, 0);
    signals_hold(&signals);
    int code = run_job(graph, options, &report, &signals);
    signals_restore(&signals);
    return code;
}

/* -------------------------------------------------------------------------------- the whole -- */

/* The graph as the program builds it, checked; NULL: error filled. */
static struct weir_graph *build(const struct weir_program *program, const struct options *options,
                                struct weir_error *error)
{
    struct weir_graph *graph = weir_graph_new(NULL);

    if (graph == NULL) {
        error->code = WEIR_NO_MEMORY;
        snprintf(error->text, sizeof error->text, "out of memory: the graph");
        return NULL;
    }
    enum weir_result built = program->build(graph, &options->parameters);
    enum weir_result checked = weir_graph_check(graph, error); /* says more than build's answer */
    if (checked == WEIR_OK && built != WEIR_OK) {
        error->code = built;
        snprintf(error->text, sizeof error->text, "the program could not build its graph: %s",
                 weir_result_name(built));
    }
    if (checked != WEIR_OK || built != WEIR_OK)
        weir_graph_free(&graph);
    return graph;
}

static int with_graph(const struct weir_program *program, struct options *options)
{
    struct weir_error error = {0};
    struct weir_graph *graph = build(program, options, &error);

    if (graph == NULL) {
        fprintf(stderr, "%s: %s\n", program->name, error.text);
        return exit_code_of_start(&error);
    }
    int code = options->verb == OPTIONS_PLAN ? plan(program, graph, options)
                                             : run(program, graph, options);
    weir_graph_free(&graph);
    return code;
}

static int carry_out(const struct weir_program *program, struct options *options)
{
    switch (options->verb) {
    case OPTIONS_HELP:
        return print_help(program);
    case OPTIONS_VERSION:
        return print_version(program);
    case OPTIONS_STATUS:
    case OPTIONS_CHECKPOINT:
    case OPTIONS_STOP:
    case OPTIONS_DUMP:
        return control_ask(program->name, options);
    case OPTIONS_RUN:
    case OPTIONS_PLAN:
    case OPTIONS_NONE:
        break;
    }
    return with_graph(program, options);
}

int weir_main(int argc, char **argv, const struct weir_program *program)
{
    struct weir_program own = {0}; /* of this version's size, whatever the caller's is */
    struct weir_error error = {0};
    struct options options;

    if (program->size < offsetof(struct weir_program, build) + sizeof program->build) {
        fprintf(stderr, "struct weir_program: .size is not set, write "
                        "{WEIR_SIZED(struct weir_program), ...}\n");
        return EXIT_USAGE;
    }
    memcpy(&own, program, program->size < sizeof own ? program->size : sizeof own);
    if (options_parse(&options, argc, argv, own.parameters, &error) != WEIR_OK)
        return usage_failed(&own, &error);
    int code = carry_out(&own, &options);
    options_free(&options);
    return code;
}
