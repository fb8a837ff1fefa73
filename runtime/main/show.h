/* SPDX-License-Identifier: Apache-2.0
 *
 * show: the verb `plan`, on standard output: the graph as text, as a drawing or as JSON, and the
 * values of the program's parameters.
 */
#ifndef SHOW_H
#define SHOW_H

#include "options.h"

/* The graph may not be laid out as the options want it: then nothing is printed. WEIR_FAILED:
 * standard output can't be written to. */
enum weir_result show_plan(const char *program, struct weir_graph *graph,
                           const struct options *options, struct weir_error *error) WEIR_MUST_USE;

#endif
