/* SPDX-License-Identifier: Apache-2.0
 *
 * database: the sink's side of SQLite, and the only file that calls it. What it keeps there:
 *
 *   CREATE TABLE weir_published (
 *       target TEXT COLLATE NOCASE,   the table that rows were put into
 *       history TEXT,                 "store <32 hex>", or "run <32 hex>" of a job without a store
 *       node TEXT,
 *       subtask INTEGER,
 *       next INTEGER,                 staged files with a lower number are in the table
 *       PRIMARY KEY (target, subtask)) WITHOUT ROWID
 *
 * Invariants:
 *
 *   D1  `next` changes in the transaction that puts the rows of the file before it in, so the two
 *       never differ; a transaction is durable when it is over (synchronous = EXTRA: FULL may lose
 *       the last one of a rollback journal).
 *   D2  Files enter in the order of their numbers, none is left out: a number below `next` is in
 *       already, one above it means that the database is older than the checkpoint. Refused.
 *   D3  A target has one owner, a node of one history.
 *   D4  The file that rows are put into still has the database's name, before the transaction and
 *       after it, or the run fails: SQLite would go on in a file that nobody finds any more, and
 *       the staged one would go.
 *
 *   the target                first start                      restored
 *   ----------------------    -----------------------------    ----------------------------------
 *   not in weir_published     made ours                        refused: not the run's database
 *   ours, next = 0            go on                            go on, when the checkpoint says so
 *   ours, next > 0            refused: told to start afresh    go on, when the checkpoint says so
 *   of a run, next = 0        taken over: none can resume it   refused
 *   anything else             refused                          refused
 *
 * A connection belongs to its subtask's thread.
 */
#ifndef DATABASE_H
#define DATABASE_H

#include "part.h"
#include "weir.h"

struct database_options {
    const char *path;
    const char *table;
    const char *create; /* may be NULL */
    const char *insert; /* may be NULL */
    bool wal;
    unsigned busy_ms;
};

struct database;

/* Opens or makes the database, and fails the run when that is not possible. `options` is borrowed.
 */
enum weir_result database_open(const struct database_options *options, struct weir_context *context,
                               struct database **database);
/* NULL is accepted. */
void database_close(struct database **database, struct weir_context *context);

/* Makes the target ours as the table says; `id` is the store's, or the run's without one. *next:
 * see weir_published. `taken` gets the id of a run that was taken over, or "". */
enum weir_result database_claim(struct database *database, struct weir_context *context,
                                const char *id, uint64_t *next, char taken[PART_ID_SIZE]);
/* After the claim: checks the statement, and answers the parameters it has. */
enum weir_result database_prepare(struct database *database, struct weir_context *context,
                                  unsigned *parameters);

/* Puts the rows of the record file `staged`, which is called by `part`, into the target, or finds
 * that they are there; *next as above. */
enum weir_result database_publish(struct database *database, struct weir_context *context,
                                  const struct part *part, const char *staged, uint64_t *next);

/* For `return database_refuse_...(...)`: `due` is the next number by the checkpoint, `next` by the
 * database. */
enum weir_result database_refuse_older(const struct database *database,
                                       struct weir_context *context, uint64_t due, uint64_t next);
enum weir_result database_refuse_newer(const struct database *database,
                                       struct weir_context *context, uint64_t due, uint64_t next);

#endif
