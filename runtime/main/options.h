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

enum options_verb { OPTIONS_NONE, OPTIONS_RUN, OPTIONS_PLAN, OPTIONS_HELP, OPTIONS_VERSION };

struct options {
    enum options_verb verb;
    struct weir_job_options job; /* name, hooks and allocator are left to the caller */
    struct weir_parameters parameters;
    uint32_t given; /* a bit for each option seen */
};

enum weir_result options_parse(struct options *options, int argc, char **argv,
                               const struct weir_parameter *declared,
                               struct weir_error *error) WEIR_MUST_USE;
/* The help's lines about them. */
void options_print(FILE *out);

#endif
