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

/* Lines of one file that somebody goes on writing to and that is rotated by renaming: to PATH.1,
 * which was renamed to PATH.2 before, and so on, or to a dated name, PATH-20260131 or
 * PATH.2026-01-31_12; a new file takes the name. Records as those of weir_line_source; a line comes
 * out when its newline is there, or its file was rotated away and a newer one holds bytes: so its
 * writers must write to one file at a time. One task.
 *
 * The checkpoint holds which file it was (inode, a fingerprint of its first 4 KiB and of the 4 KiB
 * before the position) and where in it: exactly-once. A restart looks for it among the rotated
 * ones, reads it to its end, then the next newer, up to the live one. It is refused, naming what is
 * missing, when that file is gone, shorter, changed or packed (.gz and the like), and so is a chain
 * of rotated files with a gap: keep enough of them, unpacked, for the longest time the job may be
 * down. Rotation that copies and truncates loses lines by itself; it is refused where it is seen.
 * An empty file that nothing was read of is told by its inode alone.
 *
 * The first start begins with the live file, which must be there, maybe empty; or, with `rotated`,
 * with the oldest of the rotated ones. Until the first checkpoint is committed, every start is a
 * first one: without `rotated`, lines of a file that is rotated away in that time are not read. */
struct weir_tail_source_options {
    size_t size; /* WEIR_SIZED(struct weir_tail_source_options) */
    const char *path;
    int64_t poll_ns; /* between two looks at a file that was read to its end; default 50 ms */
    uint64_t rate;   /* records per second; 0: as fast as it goes */
    bool rotated;
    /* Once this file exists, the source ends when all is read, a last line without newline too: to
     * be made by who writes, when he is done. NULL: it never ends. */
    const char *end_file;
};
WEIR_API weir_node weir_tail_source(struct weir_graph *graph, const char *name,
                                    const struct weir_tail_source_options *options);

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
