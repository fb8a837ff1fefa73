/* SPDX-License-Identifier: Apache-2.0
 *
 * options: a command line, taken apart and checked. Pure: prints nothing, starts nothing; what it
 * holds are views into argv.
 *
 *     PROGRAM run|plan [--option VALUE | --option=VALUE]... [--set name=value]...
 *
 * Anything unknown, given twice, or without its value is refused by name. --help and --version win
 * over everything else on the line, a mistake before them included: who asks for help gets it.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "parameters.h"

enum options_verb {
    OPTIONS_NONE,
    OPTIONS_RUN,
    OPTIONS_PLAN,
    OPTIONS_STATUS,     /* these four ask a running job, which --store names: */
    OPTIONS_CHECKPOINT, /* see control.h */
    OPTIONS_STOP,
    OPTIONS_DUMP,
    OPTIONS_HELP,
    OPTIONS_VERSION,
};

struct options {
    enum options_verb verb;
    struct weir_job_options job; /* name, hooks and allocator are left to the caller */
    struct weir_parameters parameters;
    uint64_t given; /* a bit for each option seen */

    /* how `run` behaves */
    bool supervise;            /* a parent watches over the process that does the work */
    bool quiet;                /* only what goes wrong is said */
    bool json;                 /* events as JSON lines on standard output: EVENTS.md */
    bool control;              /* answer at the control endpoint (default) */
    enum weir_level log_level; /* default WEIR_LOG_INFO */
    uint32_t max_restarts;     /* consecutive; default 3; without a store none */
    int64_t restart_delay_ns;  /* before the first restart; doubles; default 100 ms */
    uint32_t poison_after; /* failures at one record before it becomes a dead letter; default 3 */
    int64_t stop_deadline_ns; /* for the last checkpoint when stopped; default 30 s */

    bool dot; /* `plan` as Graphviz; with `json`: as JSON */
};

enum weir_result options_parse(struct options *options, int argc, char **argv,
                               const struct weir_parameter *declared,
                               struct weir_error *error) WEIR_MUST_USE;
/* The help's lines about them. */
void options_print(FILE *out);

#endif
