/* SPDX-License-Identifier: Apache-2.0
 *
 * weir_sqlite.h - rows into an SQLite database, exactly once. It is in a library of its own,
 * libweir_sqlite, so that libweir does not depend on SQLite; your program includes no header of
 * SQLite's for it.
 *
 * HOW
 *   What comes between two cuts is staged in a file; when its checkpoint is durable, all its rows
 *   enter the database in one transaction, together with the number of that file in the table
 *   `weir_published`. After a crash that number says whether they are in already.
 *
 * WHAT A READER SEES
 *   Another program may read the database while the job runs. With parallelism 1 it sees the rows
 *   of whole checkpoints, never a part of one; with more, each subtask's share of a checkpoint
 *   appears at once, one after the other.
 *
 * WHAT IT NEEDS
 *   - The table must be left to the sink as far as rows it has put there go: weir looks at
 *     `weir_published` only. Rows of others may be in the same table, other tables in the same
 *     database; several sinks may share a database, but not a table.
 *   - A statement whose effect is repeatable: it may be run again after a transaction that failed.
 *   - The database on a local file system. It is put into WAL mode unless told otherwise (and stays
 *     in it): readers and the sink then do not wait for each other.
 *   - weir's allocator does not reach SQLite, which has its own.
 *
 * WHAT IS REFUSED, at the start, with what to do: a table whose rows another store, or a later
 * checkpoint, has put there; a database older than the checkpoint (a backup put back); a missing
 * table; a statement that SQLite does not take; a database inside a store.
 *
 * A database that is removed, renamed or replaced while the job runs fails the run at its next
 * checkpoint; the rows wait in the store. (On one that was put back they go on.)
 *
 * A row that the table refuses (a constraint) fails the run when its checkpoint is published, and
 * each one after that: the message names it. Change the table or the statement and start again; the
 * row waits in the store.
 */
#ifndef WEIR_SQLITE_H
#define WEIR_SQLITE_H

#include "weir.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How a key or a value becomes a column. */
enum weir_sqlite_type {
    WEIR_SQLITE_BLOB,    /* its bytes */
    WEIR_SQLITE_TEXT,    /* its bytes, which should be UTF-8 */
    WEIR_SQLITE_INTEGER, /* an int64_t, 8 bytes in the machine's order */
    WEIR_SQLITE_REAL,    /* a double, the same */
};

enum weir_sqlite_journal {
    WEIR_SQLITE_WAL,  /* the database is put into WAL mode */
    WEIR_SQLITE_KEEP, /* it stays in the mode it has; for a new one that is a rollback journal, with
                         which a reader and the sink wait for each other */
};

struct weir_sqlite_row; /* the row that bind fills */

/* Gives the columns of a record's row, in the order of the statement's parameters, by the functions
 * below. Its answer other than WEIR_OK, by weir_fail, fails the run. Like process it must depend on
 * nothing but the record and `config`. */
typedef enum weir_result (*weir_sqlite_bind)(struct weir_context *context,
                                             struct weir_sqlite_row *row,
                                             const struct weir_record *record, const void *config);

struct weir_sqlite_sink_options {
    size_t size;        /* WEIR_SIZED(struct weir_sqlite_sink_options) */
    const char *path;   /* of the database; it is made when missing, its folder is not */
    const char *table;  /* where the rows go; it belongs to this sink (see WHAT IT NEEDS) */
    const char *create; /* SQL that makes the table, run when it is missing; may be NULL */
    /* One SQL statement with parameters that takes a row in, "INSERT INTO words VALUES (?, ?) ON
     * CONFLICT ...". NULL: a plain INSERT of as many values as the table has columns. */
    const char *insert;
    weir_sqlite_bind bind; /* NULL: three columns: key, value, time (NULL: none) */
    const void *config;    /* for bind; borrowed */
    enum weir_sqlite_type key_type, value_type; /* without bind */
    enum weir_sqlite_journal journal;
    int64_t busy_timeout_ns; /* how long it waits for other programs' locks; default 10 s */
    uint32_t parallelism;    /* 0: the job's. A database takes one writer at a time: 1 is best */
};
WEIR_API weir_node weir_sqlite_sink(struct weir_graph *graph, const char *name,
                                    const struct weir_sqlite_sink_options *options);

/* In bind: the next column. Bytes are copied; a row has room for 40 MB. */
WEIR_API void weir_sqlite_null(struct weir_sqlite_row *row);
WEIR_API void weir_sqlite_integer(struct weir_sqlite_row *row, int64_t value);
WEIR_API void weir_sqlite_real(struct weir_sqlite_row *row, double value);
WEIR_API void weir_sqlite_text(struct weir_sqlite_row *row, struct weir_bytes text);
WEIR_API void weir_sqlite_blob(struct weir_sqlite_row *row, struct weir_bytes bytes);

#ifdef __cplusplus
}
#endif

#endif
