/* SPDX-License-Identifier: Apache-2.0
 *
 * output: part files in a directory, exactly once; all of a part-file sink but the bytes.
 * Invariants, beside those of the stage (stage.h):
 *
 *   I1  A visible part is complete, durable and never touched again: it gets its name by one rename
 *       of a sealed file, that never replaces another.
 *   I2  Only commit makes anything visible, and only what a handle names.
 *   I3  A visible part with a number at or above the saved one was published by a checkpoint later
 *       than the one restored: going on would publish its records twice. Refused, at load.
 *
 *   output_write -> [.staged-*] -> output_prepare: sync file, sync folder, handle
 *                               -> output_commit:  rename, sync folder
 *
 * The handle is text: "<staged name> <final name>", both relative to the directory, so that it may
 * be moved.
 */
#ifndef OUTPUT_H
#define OUTPUT_H

#include "history.h"
#include "stage.h"

struct output {
    struct stage stage;
    struct history history;
};

/* Claims the directory, which is borrowed. `ids` as for stage_open. */
enum weir_result output_open(struct output *output, struct weir_context *context,
                             const char *folder, struct agreement *ids);
enum weir_result output_load(struct output *output, struct weir_context *context,
                             struct weir_loader *loader);
/* stage_write. */
enum weir_result output_write(struct output *output, struct weir_context *context,
                              struct weir_bytes bytes);
/* Seals what was written since the last call and hands in its handle; nothing written, no handle.
 */
enum weir_result output_prepare(struct output *output, struct weir_context *context);
enum weir_result output_commit(struct output *output, struct weir_context *context,
                               struct weir_bytes handle);
void output_close(struct output *output, struct weir_context *context);

#endif
