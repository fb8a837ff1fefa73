/* SPDX-License-Identifier: Apache-2.0
 *
 * main: the verbs. Everything here runs in the program's first thread.
 */
#include "weir_main.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "attempts.h"
#include "control.h"
#include "exit_code.h"
#include "options.h"
#include "report.h"
#include "show.h"
#include "signals.h"
#include "supervisor.h"

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

/* ----------------------------------------------------------------------------------- graph -- */

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

static int build_failed(const struct weir_program *program, const struct weir_error *error)
{
    fprintf(stderr, "%s: %s\n", program->name, error->text);
    return exit_code_of_start(error);
}

/* ------------------------------------------------------------------------------------ plan -- */

static int plan(const struct weir_program *program, const struct options *options)
{
    struct weir_error error = {0};
    struct weir_graph *graph = build(program, options, &error);

    if (graph == NULL)
        return build_failed(program, &error);
    int code = EXIT_ENDED;
    if (show_plan(program->name, graph, options, &error) != WEIR_OK)
        code = build_failed(program, &error);
    weir_graph_free(&graph);
    return code;
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

struct run {
    const struct weir_program *program;
    struct options *options;
};

static int run_graph(struct run *run, struct weir_graph *graph, const struct supervised *supervised)
{
    struct slate_memory memory = {0};
    struct signals signals;
    struct report report;

    raise_descriptor_limit();
    report_begin(&report, run->program->name, run->options, &run->options->job,
                 supervised->supervisor);
    slate_recall(supervised->slate, &memory);
    if (memory.restarts > 0)
        report_resume(&report, memory.failed_ns, memory.restarts);
    signals_hold(&signals, supervised->supervisor, supervised->mask, &supervised->slate->finished);
    int code = attempts_make(graph, run->options, &report, supervised->slate, &signals);
    signals_restore(&signals);
    return code;
}

/* In the process that does the work, which with --supervise is a child. */
static int work(void *context, const struct supervised *supervised)
{
    struct run *run = context;
    struct weir_error error = {0};
    struct weir_graph *graph = build(run->program, run->options, &error);

    if (graph == NULL)
        return build_failed(run->program, &error);
    int code = run_graph(run, graph, supervised);
    weir_graph_free(&graph);
    return code;
}

static int run_program(const struct weir_program *program, struct options *options)
{
    struct run run = {.program = program, .options = options};

    options->job.name = program->name;
    if (options->supervise)
        return supervise(program->name, options, work, &run);
    struct slate *slate = slate_new();
    if (slate == NULL) {
        fprintf(stderr, "%s: out of memory\n", program->name);
        return EXIT_FAILED;
    }
    int code = work(&run, &(struct supervised){.slate = slate});
    slate_free(&slate);
    return code;
}

/* ------------------------------------------------------------------------------- the whole -- */

static int carry_out(const struct weir_program *program, struct options *options)
{
    switch (options->verb) {
    case OPTIONS_HELP:
        return print_help(program);
    case OPTIONS_VERSION:
        return print_version(program);
    case OPTIONS_STATUS:
    case OPTIONS_CHECKPOINT:
    case OPTIONS_SAVEPOINT:
    case OPTIONS_STOP:
    case OPTIONS_DUMP:
        return control_ask(program->name, options);
    case OPTIONS_PLAN:
        return plan(program, options);
    case OPTIONS_RUN:
    case OPTIONS_NONE: /* options_parse has refused it */
        break;
    }
    return run_program(program, options);
}

/* A program may be started with its standard streams closed. The next files it opens would get
 * their numbers, and what is said would be written into the store. Opened the wrong way round, they
 * go on failing as closed ones do: nobody takes a closed standard input for one that has ended. */
static void hold_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 &&
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            return;
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
    hold_standard_streams();
    memcpy(&own, program, program->size < sizeof own ? program->size : sizeof own);
    if (options_parse(&options, argc, argv, own.parameters, &error) != WEIR_OK)
        return usage_failed(&own, &error);
    int code = carry_out(&own, &options);
    options_free(&options);
    return code;
}
