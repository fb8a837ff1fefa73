/* SPDX-License-Identifier: Apache-2.0
 *
 * options: a command line, taken apart and checked. Prints nothing, starts nothing; what it holds
 * are views into argv and into the text of the --config file, which it reads.
 *
 *     PROGRAM VERB [--option VALUE | --option=VALUE | --flag | --flag=no]... [--set name=value]...
 *
 * Anything unknown, given twice, without its value, or without sense beside the rest is refused by
 * name. --help and --version win over everything else on the line, a mistake before them included:
 * who asks for help gets it.
 *
 * The command line wins over the file. A file is written for all verbs: what means nothing to the
 * one asked for is checked and passed over, while on the command line it is refused.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "config.h"
#include "parameters.h"

enum options_verb {
    OPTIONS_NONE,
    OPTIONS_RUN,
    OPTIONS_PLAN,
    OPTIONS_STATUS, /* these five ask a running job, which --store names */
    OPTIONS_CHECKPOINT,
    OPTIONS_SAVEPOINT,
    OPTIONS_STOP,
    OPTIONS_DUMP,
    OPTIONS_HELP,
    OPTIONS_VERSION,
};

struct options {
    enum options_verb verb;
    struct weir_job_options job; /* name, hooks, poison and allocator are left to the caller */
    struct weir_parameters parameters;
    struct config config;
    uint64_t given;   /* a bit for each option on the command line, by its place in the table */
    uint64_t in_file; /* the same for the --config file */

    /* how `run` behaves */
    bool supervise;     /* a parent watches over the process that does the work */
    bool hang_restarts; /* what hangs ends that process; else it is told of, and that is all */
    bool quiet;         /* only what goes wrong is said: log_level is WEIR_LOG_WARNING */
    bool json;          /* events as JSON lines on standard output; also of other verbs */
    bool no_control;    /* do not answer status and the others */
    enum weir_level log_level; /* the last one shown; default WEIR_LOG_INFO */
    uint32_t max_restarts;     /* consecutive; default 3; without a store 0 */
    int64_t restart_delay_ns;  /* before the first restart; default 100 ms */
    uint32_t poison_after; /* failures at one record before it becomes a dead letter; default 3 */
    int64_t stop_deadline_ns; /* for the last checkpoint when stopped; default 30 s */
    bool elsewhere;           /* --restore names something else than the newest checkpoint */

    bool dot;              /* `plan` as Graphviz */
    bool maps;             /* of `plan`: how the checkpoint named by --restore fits, too */
    bool drain;            /* `stop` means WEIR_STOP_DRAIN, */
    bool now;              /* or WEIR_STOP_NOW; neither: WEIR_STOP_SUSPEND */
    const char *savepoint; /* of `stop`: a directory, as it was written; NULL: none */
    const char *to;        /* of `savepoint`: the same */
};

/* On failure there is nothing to free. */
enum weir_result options_parse(struct options *options, int argc, char **argv,
                               const struct weir_parameter *declared,
                               struct weir_error *error) WEIR_MUST_USE;
void options_free(struct options *options);
/* The help's lines about verbs, and about options. */
void options_print_verbs(const char *program, FILE *out);
void options_print(FILE *out);

#endif
