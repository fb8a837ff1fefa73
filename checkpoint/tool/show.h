/* SPDX-License-Identifier: Apache-2.0
 *
 * show: what its two forms share.
 */
#ifndef SHOW_H
#define SHOW_H

#include "tool.h"

/* Its name. */
const char *show_node(const struct weir_checkpoint *checkpoint, uint32_t index);
enum weir_result show_handles(struct weir_checkpoint *checkpoint,
                              void (*each)(void *context, const char *node,
                                           const struct weir_row *row),
                              void *context, struct weir_error *error) WEIR_MUST_USE;
/* How many entries the state has: reads all of it. */
enum weir_result show_count(struct weir_checkpoint *checkpoint, const char *node, const char *state,
                            uint64_t *count, struct weir_error *error) WEIR_MUST_USE;
/* The JSON form. Answers an exit code. */
int show_json(struct tool *tool, const struct weir_store *store,
              struct weir_checkpoint *checkpoint);

#endif
