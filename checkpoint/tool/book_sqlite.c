/* SPDX-License-Identifier: Apache-2.0
 *
 * book_sqlite: the tables of an export as one SQLite database. Nobody sees it before it is whole,
 * so it has no journal; the sync at its end is book.c's.
 */
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "book.h"
#include "number.h"

struct book_base {
    sqlite3 *database;
    sqlite3_stmt *insert; /* into the sheet in hand */
};

bool book_has_sqlite(void)
{
    return true;
}

static bool fail(struct book *book)
{
    sqlite3 *database = book->base->database;
    const char *why = database == NULL ? "no memory" : sqlite3_errmsg(database);
    return book_fail(book, 0, why, book->path);
}

static bool run(struct book *book, const char *sql)
{
    return sqlite3_exec(book->base->database, sql, NULL, NULL, NULL) == SQLITE_OK || fail(book);
}

bool book_base_open(struct book *book, const char *path)
{
    book->base = calloc(1, sizeof *book->base);
    if (book->base == NULL)
        return book_fail(book, 0, "no memory", path);
    if (sqlite3_open_v2(path, &book->base->database,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_EXCLUSIVE,
                        NULL) != SQLITE_OK)
        return fail(book);
    char mark[96];
    snprintf(mark, sizeof mark, "PRAGMA application_id = %u; PRAGMA user_version = %u", BOOK_MARK,
             BOOK_VERSION);
    return run(book, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; "
                     "PRAGMA locking_mode = EXCLUSIVE; BEGIN") &&
           run(book, mark);
}

/* "": as it comes; a type would turn large numbers that are texts into reals. */
static const char *type_of(const struct sheet_column *column)
{
    static const char *const types[] = {" INTEGER", " REAL", " TEXT", " BLOB", ""};
    return types[column->type];
}

/* `begin`, and for each column its name, and its type or a question mark. */
static char *statement(const char *begin, const struct sheet *sheet, bool insert)
{
    sqlite3_str *text = sqlite3_str_new(NULL);
    sqlite3_str_appendf(text, "%s \"%w\" ", begin, sheet->name);
    sqlite3_str_appendall(text, insert ? "VALUES (" : "(");
    for (uint32_t i = 0; i < sheet->count; i++) {
        sqlite3_str_appendall(text, i > 0 ? ", " : "");
        if (insert)
            sqlite3_str_appendall(text, "?");
        else
            sqlite3_str_appendf(text, "\"%w\"%s", sheet->columns[i].name,
                                type_of(&sheet->columns[i]));
    }
    sqlite3_str_appendall(text, ")");
    return sqlite3_str_finish(text);
}

bool book_base_begin(struct book *book, const struct sheet *sheet)
{
    char *create = statement("CREATE TABLE", sheet, false);
    char *insert = statement("INSERT INTO", sheet, true);
    bool well = create != NULL && insert != NULL;
    if (!well)
        book_fail(book, 0, "no memory", sheet->name);
    well = well && run(book, create);
    if (well && sqlite3_prepare_v2(book->base->database, insert, -1, &book->base->insert, NULL) !=
                    SQLITE_OK)
        well = fail(book);
    sqlite3_free(create);
    sqlite3_free(insert);
    return well;
}

/* NaN is bound as NULL; infinities are reals. */
static int bind_number(sqlite3_stmt *insert, int at, const struct cell *cell)
{
    const struct format_number *number = cell->number;
    const unsigned char *data = cell->bytes.data;
    char text[32];
    if (number->kind == NUMBER_REAL)
        return sqlite3_bind_double(insert, at, number_real(number, data));
    if (number->kind == NUMBER_SIGNED)
        return sqlite3_bind_int64(insert, at, number_signed(number, data));
    uint64_t value = number_unsigned(number, data);
    if (value <= INT64_MAX)
        return sqlite3_bind_int64(insert, at, (sqlite3_int64)value);
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return sqlite3_bind_text(insert, at, text, -1, SQLITE_TRANSIENT);
}

static int bind(sqlite3_stmt *insert, int at, const struct cell *cell)
{
    const void *data = cell->bytes.size > 0 ? cell->bytes.data : "";
    char *text;
    switch (cell->kind) {
    case CELL_INTEGER:
        return sqlite3_bind_int64(insert, at, cell->integer);
    case CELL_NUMBER:
        return bind_number(insert, at, cell);
    case CELL_TEXT:
        return sqlite3_bind_text64(insert, at, data, cell->bytes.size, SQLITE_STATIC, SQLITE_UTF8);
    case CELL_JSON:
        text = json_dumps(cell->json, JSON_COMPACT | JSON_ENCODE_ANY);
        return text == NULL ? SQLITE_NOMEM : sqlite3_bind_text(insert, at, text, -1, free);
    case CELL_BYTES:
        return sqlite3_bind_blob64(insert, at, data, cell->bytes.size, SQLITE_STATIC);
    default:
        return sqlite3_bind_null(insert, at);
    }
}

bool book_base_row(struct book *book, const struct sheet *sheet)
{
    sqlite3_stmt *insert = book->base->insert;
    for (uint32_t i = 0; i < sheet->count; i++)
        if (bind(insert, (int)i + 1, &sheet->cells[i]) != SQLITE_OK)
            return fail(book);
    bool well = sqlite3_step(insert) == SQLITE_DONE;
    if (!well)
        fail(book);
    sqlite3_reset(insert);
    sqlite3_clear_bindings(insert);
    return well;
}

bool book_base_end(struct book *book)
{
    sqlite3_finalize(book->base->insert);
    book->base->insert = NULL;
    return book->wrong[0] == 0;
}

bool book_base_close(struct book *book)
{
    struct book_base *base = book->base;
    sqlite3_finalize(base->insert);
    base->insert = NULL;
    if (book->wrong[0] == 0)
        (void)run(book, "COMMIT");
    if (sqlite3_close(base->database) != SQLITE_OK)
        book_fail(book, 0, "the database can't be closed", book->path);
    free(base);
    book->base = NULL;
    return book->wrong[0] == 0;
}
