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
 * A subtask reads its splits in order, and there is no order between subtasks: where the lines of a
 * key must come as they stand in the input, give the source (and what follows it FORWARD) a
 * parallelism of 1.
 * The position in each unfinished split is in the checkpoint: exactly-once. What the input was at
 * the first start - files, sizes, a fingerprint - is there too: at a restart a file that is
 * missing, shorter, or different is refused, naming it; bytes appended since are not read. It says
 * how far it is, in bytes. */
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
 * down. The new live file may be made at once or when there is something to write: until then the
 * last rotated one is waited at as at the live one, and with the end file there the input ends. A
 * gap that is still there after 5 seconds fails the run. Rotation that copies and truncates loses
 * lines by itself; it is refused where it is seen. An empty file that nothing was read of is told
 * by its inode alone.
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

/* Lines of the files that appear in a directory, each read once, in byte order of the names as far
 * as they are there at the same look. Records as those of weir_line_source; a last line without
 * newline counts. A file must be complete when it appears: write it under a name that begins with a
 * dot, or in another directory of the file system, then rename it. Hidden names and folders are not
 * looked at. Subtasks share the files by a hash of the name.
 *
 * The checkpoint holds the files that were read (name, size, inode, time of modification; about 50
 * bytes each), as long as they are in the directory, and the position in the one being read:
 * exactly-once. A file that has changed while or after it was read fails the run, naming it; so
 * does a new file under the name of one that was read and is still known. Before you take a file
 * away, let a checkpoint be committed that was begun after it was read: a restart refuses when one
 * is gone of which a part was read, and can't miss one that it never knew. */
struct weir_folder_source_options {
    size_t size; /* WEIR_SIZED(struct weir_folder_source_options) */
    const char *path;
    int64_t poll_ns;      /* between two looks; default 1 s */
    uint64_t rate;        /* records per second over all subtasks; 0: as fast as it goes */
    uint32_t parallelism; /* 0: the job's */
    /* Once a file of this name is in the directory, the source ends when all that came before it
     * are read. It may be hidden, and is not read. NULL: it never ends. */
    const char *end_name;
};
WEIR_API weir_node weir_folder_source(struct weir_graph *graph, const char *name,
                                      const struct weir_folder_source_options *options);

/* Lines of standard input, or of another descriptor, which must stay open and be nobody else's to
 * read. Records as those of weir_line_source; the last line needs no newline. One task. The input's
 * end ends the source; a restart that finds the end recorded goes on draining and reads no more.
 * The bytes of all runs are one text: the first of a restart goes on where the last of the run
 * before stopped, in the middle of a line too. So let what writes outlive the run, and hand the
 * restart the same pipe.
 *
 * A regular file (`< file`) is read at offsets, from its beginning: give each run the same file.
 * Nothing is lost or doubled then, with or without a journal.
 *
 * A pipe or terminal can't be asked again. With `journal`, what was read is written to the node's
 * folder in the store before it goes on, synced at every checkpoint, and removed when the last
 * `retain` checkpoints do not need it: exactly-once from the journal on. In front of it,
 *   - a stop by weir_job_stop loses nothing, and neither does a failure of another operator;
 *   - kill -9 can lose what one read took and was not yet written, up to 64 KiB, when it comes
 *     between those two calls: nothing, when no bytes come in at that moment;
 *   - a write to the journal that fails, on a full disk say, fails the run and loses the same;
 *   - a power cut can lose what was read after the last checkpoint; who writes is mostly gone then
 *     too.
 * Where that is too much, have the sender keep lines until they are acknowledged:
 * weir_socket_source.
 *
 * A start afresh (WEIR_RESTORE_NONE) begins with what the journal still holds and goes on behind
 * it. When the journal's beginning was removed, that is the middle of the input, which is logged;
 * so it is with a regular file, though that could be read from its beginning. When the journal
 * holds the input's end, the source ends there and reads nothing of what it was given. For another
 * input, or all of a file again, take another store.
 *
 * Without `journal`, or in a job without a store, which can't be restarted, only a stop by
 * WEIR_STOP_SUSPEND loses nothing: what was read since the last checkpoint is gone with a crash,
 * and the plan says at-least-once, the weakest word it has. */
struct weir_stdin_source_options {
    size_t size; /* WEIR_SIZED(struct weir_stdin_source_options) */
    int fd;      /* 0: standard input; borrowed, never closed */
    bool journal;
    uint32_t retain; /* committed checkpoints whose input is kept; at least the job's; default 3, at
                        most 64 */
    uint64_t rate;   /* records per second; 0: as fast as it goes */
};
WEIR_API weir_node weir_stdin_source(struct weir_graph *graph, const char *name,
                                     const struct weir_stdin_source_options *options);

/* Lines that clients send to a Unix socket (mode 0600) or to a port of 127.0.0.1. Records as those
 * of weir_line_source, in the order they came from each client. One task. Clients that send faster
 * than the job goes wait; nothing is dropped.
 *
 * With `journal`, lines are written to the node's folder in the store before they go on, and are
 * removed when the last `retain` checkpoints do not need them: exactly-once from the journal on.
 * A start afresh (WEIR_RESTORE_NONE) begins with what it still holds. Every user of the machine can
 * connect to a port, only the job's own to a Unix socket.
 *
 * To have that from the client on, over kill -9 of the job and power cuts, a client asks to be
 * acknowledged. It keeps the lines it sends until it was told that they are durable:
 *
 *     client:  weir 1 ID\n          ID: 1 to 63 of A-Z a-z 0-9 . _ -; its own for ever
 *     weir:    N\n                  so many of its lines, from its first ever, are in the journal
 *     client:  line N+1 ...         only after it has read N; whole lines
 *     weir:    M\n                  now so many; after each sync
 *     weir:    error WHY\n          and the connection ends; so it does without it when weir dies
 *
 * After any break it connects again, reads N, and goes on behind line N. A second connection of an
 * ID ends the first. 4,096 IDs are remembered; one more is refused. Without a journal, or in a job
 * without a store, which can't be restarted, this is refused.
 *
 * Every other first line begins a plain client (nc): it is told nothing, and what weir has read
 * from it and not written yet, or it has sent and weir not read, is lost with a crash. Its last
 * line needs no newline when it ends in order. (A greeting without its newline is no line: its
 * client broke off.)
 *
 * A line longer than line_bytes cuts its client off; so does nothing else it sends. A client that
 * neither sends nor leaves keeps its place.
 *
 * The source ends when a client sends `end_line`, which is no record but counts as a line: what was
 * taken from all clients before it goes out, nothing after it is taken. Or by WEIR_STOP_DRAIN: then
 * what is in the journal goes out. */
struct weir_socket_source_options {
    size_t size;      /* WEIR_SIZED(struct weir_socket_source_options) */
    const char *path; /* of the socket, at most 107 bytes; a socket file that nobody listens on is
                         replaced; or: */
    uint16_t port;    /* of 127.0.0.1 */
    bool journal;
    uint32_t retain;  /* committed checkpoints whose input is kept; at least the job's; default 3,
                            at most 64 */
    uint32_t clients; /* connected at a time; others wait; default 64, at most 1,000 */
    uint32_t line_bytes;  /* default 1 MiB, at most 16 MiB; up to twice that and 64 KiB are in
                            memory for each client */
    int64_t sync_ns;      /* between two syncs for clients that wait for a count; default 20 ms */
    const char *end_line; /* NULL: none */
};
WEIR_API weir_node weir_socket_source(struct weir_graph *graph, const char *name,
                                      const struct weir_socket_source_options *options);

/* The numbers 0 .. count-1: subtask s of p emits those equal to s modulo p. Record: key u64, value
 * u64 the number, time first_time plus number times time_step (WEIR_NO_TIME when time_step is 0;
 * otherwise a watermark follows every 256 records). Exactly-once. Unless it is endless it says how
 * far it is. */
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
