/* SPDX-License-Identifier: Apache-2.0
 *
 * bad_lines: what becomes of lines that can't be taken apart, for the operators that do so. Its
 * counts are operator state, so that a restart does not lose or double them.
 */
#ifndef BAD_LINES_H
#define BAD_LINES_H

#include "weir_operators.h"

#define BAD_LINES_OUTPUT 1 /* number of output "bad" */

struct bad_lines {
    enum weir_bad_line how;
    size_t limit; /* bytes of a line */
    uint64_t lines, dropped;
};

/* NULL, or what is wrong with the options. */
const char *bad_lines_check(enum weir_bad_line how, size_t limit);
/* limit 0: the default. */
void bad_lines_open(struct bad_lines *bad, enum weir_bad_line how, size_t limit);
/* Counts a line; false when it is too long, and has been dealt with: *result says how. */
bool bad_lines_take(struct bad_lines *bad, struct weir_context *context,
                    const struct weir_record *line, enum weir_result *result);
/* The line is malformed, and why. */
enum weir_result bad_lines_found(struct bad_lines *bad, struct weir_context *context,
                                 const struct weir_record *line, const char *reason);
/* Parts of the operator's callbacks. */
enum weir_progress bad_lines_finish(struct bad_lines *bad, struct weir_context *context);
enum weir_result bad_lines_save(const struct bad_lines *bad, struct weir_saver *saver);
void bad_lines_load(struct bad_lines *bad, struct weir_loader *loader);
/* A node with output "out", and "bad" where lines may go there. */
weir_node bad_lines_node(struct weir_graph *graph, const char *name,
                         const struct weir_operator *table, const void *config,
                         enum weir_bad_line how, uint32_t parallelism);

#endif
