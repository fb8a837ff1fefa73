/* SPDX-License-Identifier: Apache-2.0
 *
 * book_no_sqlite: in place of book_sqlite.c where libsqlite3 is missing.
 */
#include "book.h"

bool book_has_sqlite(void)
{
    return false;
}

bool book_base_open(struct book *book, const char *path)
{
    return book_fail(book, 0, "there is no SQLite", path);
}

bool book_base_begin(struct book *book, const struct sheet *sheet)
{
    return book_fail(book, 0, "there is no SQLite", sheet->name);
}

bool book_base_row(struct book *book, const struct sheet *sheet)
{
    return book_fail(book, 0, "there is no SQLite", sheet->name);
}

bool book_base_end(struct book *book)
{
    return book_fail(book, 0, "there is no SQLite", "");
}

bool book_base_close(struct book *book)
{
    return book_fail(book, 0, "there is no SQLite", "");
}
