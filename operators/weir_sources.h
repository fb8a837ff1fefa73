/* SPDX-License-Identifier: Apache-2.0
 *
 * weir_sources.h - ready-made sources. See weir_operators.h for what holds for all.
 */
#ifndef WEIR_SOURCES_H
#define WEIR_SOURCES_H

#include "weir.h"

#ifdef __cplusplus
extern "C" {
#endif

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

#ifdef __cplusplus
}
#endif

#endif
