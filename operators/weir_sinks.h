/* SPDX-License-Identifier: Apache-2.0
 *
 * weir_sinks.h - ready-made sinks. See weir_operators.h for what holds for all.
 */
#ifndef WEIR_SINKS_H
#define WEIR_SINKS_H

#include "weir.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Lines into part files of a directory, exactly once, in two phases: staged under a hidden name,
 * synced at the cut, renamed after the checkpoint is durable to part-<subtask, 5 digits>-<number,
 * 20 digits>. A visible part is whole and never changes; nothing written since the last checkpoint,
 * no part. `write` formats one record: it returns the bytes of the line without newline; NULL takes
 * the record's value. The directory is made when missing. One that holds parts of another history -
 * another store, or a checkpoint older than what was published - is refused, with what to do. */
struct weir_line_sink_options {
    size_t size; /* WEIR_SIZED(struct weir_line_sink_options) */
    const char *path;
    /* Writes at most `room` bytes to `line` and returns how many the line has; when that is more
     * than room it is called again with enough. */
    size_t (*write)(char *line, size_t room, const struct weir_record *record, const void *config);
    const void *config;
    uint32_t parallelism;
};
WEIR_API weir_node weir_line_sink(struct weir_graph *graph, const char *name,
                                  const struct weir_line_sink_options *options);

/* For tests: hands each record to `take` when its checkpoint is committed (without a store: at the
 * job's end), once per run; after a crash records may come again, so it is at-least-once, and says
 * so. `take` is called from the subtasks' threads; it must lock. */
struct weir_collect_sink_options {
    size_t size; /* WEIR_SIZED(struct weir_collect_sink_options) */
    void (*take)(void *context, uint32_t subtask, const struct weir_record *record);
    void *context;
    bool at_once; /* take each record when it arrives: shows what two-phase sinks hide */
    uint32_t parallelism;
};
WEIR_API weir_node weir_collect_sink(struct weir_graph *graph, const char *name,
                                     const struct weir_collect_sink_options *options);

#ifdef __cplusplus
}
#endif

#endif
