/* SPDX-License-Identifier: Apache-2.0
 *
 * book: the tables of an export, as one SQLite database or as a folder with a file a table. It is
 * written into a folder beside its place, PATH.export-XXXXXX, and takes the place by one rename
 * when all of it is on the disk; so it is whole or not there. What fails takes its folder away;
 * what is killed leaves it.
 *
 *   sqlite   a table a sheet; integers, reals, texts, JSON as text, blobs. An unsigned number
 *            beyond 2^63 is a text, and NaN is NULL. application_id and user_version are BOOK_MARK
 *            and BOOK_VERSION: what has not both is not replaced
 *   csv      SHEET.csv, RFC 4180 but for the line's end, which is \n; the first line has the names.
 *            Nothing is an empty field, an empty text is "", bytes are hex digits
 *   jsonl    SHEET.jsonl, an object a line without what is nothing; bytes are hex digits
 */
#ifndef BOOK_H
#define BOOK_H

#include "sheet.h"

#define BOOK_MARK 0x77656972u /* "weir" */
#define BOOK_VERSION 1u

enum book_format { BOOK_SQLITE, BOOK_CSV, BOOK_JSONL };

struct book_base;

struct book {
    enum book_format format;
    bool force; /* replaces what is there, if an export of this kind made it */
    char *path, *beside;
    struct book_base *base; /* SQLITE */
    FILE *file;             /* else: of the sheet in hand */
    char wrong[640];        /* sticky; "": nothing */
    bool refused;           /* what went wrong is what was asked for, or where */
};

/* "sqlite" and so on. */
bool book_format_named(const char *name, enum book_format *format);

/* False, and book->wrong says why; book_close is called all the same. */
bool book_open(struct book *book, const char *path, enum book_format format, bool force);
/* A sheet: begun, written row after row - whatever its cells say - and ended. */
bool book_begin(struct book *book, const struct sheet *sheet);
bool book_row(struct book *book, struct sheet *sheet);
bool book_end(struct book *book);
/* Takes its place, if nothing went wrong and `keep`; else nothing is left of it. */
bool book_close(struct book *book, bool keep);

/* Keeps the first thing that went wrong, with what the system says of it. Answers false. */
bool book_fail(struct book *book, int os_error, const char *what, const char *name);

/* --- book_sqlite.c, or book_no_sqlite.c where libsqlite3 is missing ------------------------- */

/* Is it there? */
bool book_has_sqlite(void);
bool book_base_open(struct book *book, const char *path);
bool book_base_begin(struct book *book, const struct sheet *sheet);
bool book_base_row(struct book *book, const struct sheet *sheet);
bool book_base_end(struct book *book);
bool book_base_close(struct book *book);

#endif
