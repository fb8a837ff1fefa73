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
 * the record's value. A line that has a newline in it is two in the file: `write` must escape it
 * where that matters. The directory is made when missing. One that holds parts of another history -
 * another store, or a checkpoint older than what was published - is refused at the start, with what
 * to do; so is one that lies in a store, or that another sink writes to. */
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

/* Whole records - key, value, time - into part files of a directory, in the way and under the names
 * of the line sink: exactly once. The layout of a part is in record_block.h of weir's operators
 * folder: blocks of about 64 KiB, each with its checksum, and an end that counts the records, so
 * that damage and missing bytes are found. Read them with weir_record_file_open. */
struct weir_record_sink_options {
    size_t size; /* WEIR_SIZED(struct weir_record_sink_options) */
    const char *path;
    uint32_t parallelism; /* 0: the job's */
};
WEIR_API weir_node weir_record_sink(struct weir_graph *graph, const char *name,
                                    const struct weir_record_sink_options *options);

/* Reads a part of a record sink, from the first record to the last, with memory for one block.
 * Errors name the file and the offset in it. One thread at a time; any thread. */
struct weir_record_file;

/* `allocator` is borrowed until the close, and may be NULL. WEIR_NOT_FOUND: no such file.
 * WEIR_DAMAGED: not a record file. On failure *file is NULL. */
WEIR_API enum weir_result weir_record_file_open(const struct weir_allocator *allocator,
                                                const char *path, struct weir_record_file **file,
                                                struct weir_error *error) WEIR_MUST_USE;
/* The next record; its views are 8-byte aligned and live until the next call. WEIR_NOT_FOUND: there
 * are no more, and the file is whole. After any other failure (WEIR_DAMAGED, WEIR_IO,
 * WEIR_NO_MEMORY) close it: what was read before is sound, what follows can't be had. */
WEIR_API enum weir_result weir_record_file_next(struct weir_record_file *file,
                                                struct weir_record *record,
                                                struct weir_error *error) WEIR_MUST_USE;
/* Frees it; *file becomes NULL. NULL is accepted. */
WEIR_API void weir_record_file_close(struct weir_record_file **file);

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
