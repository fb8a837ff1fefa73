/* SPDX-License-Identifier: Apache-2.0
 *
 * weir_operators.h - ready-made sources, transforms and sinks. They stand on weir.h alone: whatever
 * they do, your own operators can do. Each function adds one node to the graph and returns it; bad
 * options become the graph's sticky error. Options are copied; `config` pointers of callbacks are
 * borrowed until the graph is freed.
 */
#ifndef WEIR_OPERATORS_H
#define WEIR_OPERATORS_H

#include "weir.h"

#ifdef __cplusplus
extern "C" {
#endif

/* -------------------------------------------------------------------------------- sources -- */

/* Lines of a file, or of all regular files of a directory (not of its folders, hidden names
 * excluded), in byte order of their names. Record: key empty, value the line without its newline,
 * no time. CR and NUL are bytes like others; a last line without newline counts; lines of up to 16
 * MiB, a longer one fails the run and is named.
 *
 * The input is read in splits of split_bytes; split i belongs to subtask i modulo the parallelism:
 * with fewer splits than subtasks some of them are idle, and their share of `rate` is not used.
 * The position in each unfinished split is in the checkpoint: exactly-once. What the input was at
 * the first start - files, sizes, a fingerprint - is there too: at a restart a file that is
 * missing, shorter, or different is refused, naming it; bytes appended since are not read. */
struct weir_line_source_options {
    size_t size; /* WEIR_SIZED(struct weir_line_source_options) */
    const char *path;
    uint64_t split_bytes; /* default 16 MiB */
    uint64_t rate;        /* records per second over all subtasks; 0: as fast as it goes */
    uint32_t parallelism; /* 0: the job's */
};
WEIR_API weir_node weir_line_source(struct weir_graph *graph, const char *name,
                                    const struct weir_line_source_options *options);

/* The numbers 0 .. count-1: subtask s of p emits those equal to s modulo p. Record: key u64, value
 * u64 the number, time first_time plus number times time_step (WEIR_NO_TIME when time_step is 0;
 * otherwise a watermark follows every 256 records). Exactly-once. */
struct weir_sequence_source_options {
    size_t size;                   /* WEIR_SIZED(struct weir_sequence_source_options) */
    uint64_t count;                /* UINT64_MAX: endless */
    uint64_t keys;                 /* key = number modulo this; 0: key = number */
    uint64_t rate;                 /* records per second over all subtasks; 0: as fast as it goes */
    int64_t first_time, time_step; /* ns */
    uint32_t parallelism;
};
WEIR_API weir_node weir_sequence_source(struct weir_graph *graph, const char *name,
                                        const struct weir_sequence_source_options *options);

/* ----------------------------------------------------------------------------- transforms -- */

/* Any number of records out for one in: the callback emits to output 0. (The plain record callback
 * under its usual name.) */
WEIR_API weir_node weir_flat_map(struct weir_graph *graph, const char *name, weir_function function,
                                 const void *config);
/* One out for one in: the callback changes *record (a copy it may point elsewhere: to static bytes,
 * or to parts of the input). */
typedef void (*weir_map_function)(struct weir_record *record, const void *config);
WEIR_API weir_node weir_map(struct weir_graph *graph, const char *name, weir_map_function function,
                            const void *config);
/* Lets through what the callback answers true for. */
typedef bool (*weir_filter_function)(const struct weir_record *record, const void *config);
WEIR_API weir_node weir_filter(struct weir_graph *graph, const char *name,
                               weir_filter_function function, const void *config);

/* Folds the records of a key into a cell; needs BY_KEY input. */
enum weir_reduce_emit {
    WEIR_REDUCE_FINAL,   /* one record per key (value: the cell) when all input has ended */
    WEIR_REDUCE_UPDATES, /* one after every record */
};
struct weir_reduce_options {
    size_t size;         /* WEIR_SIZED(struct weir_reduce_options) */
    uint32_t value_size; /* bytes of the cell, > 0; zeroed when a key is new */
    uint32_t version;    /* of its meaning */
    const char *format;  /* "u64"; may be NULL */
    void (*fold)(void *cell, const struct weir_record *record, const void *config);
    const void *config;
    enum weir_reduce_emit emit;
    uint32_t parallelism;
};
WEIR_API weir_node weir_reduce(struct weir_graph *graph, const char *name,
                               const struct weir_reduce_options *options);

/* ---------------------------------------------------------------------------------- sinks -- */

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
