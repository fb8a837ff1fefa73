/* SPDX-License-Identifier: Apache-2.0 */
#include "books.h"

#include <string.h>

#include "accounts.h"

/* A row lies at any alignment. False: it is not of that size. */
static bool copy(struct weir_bytes row, void *to, size_t size)
{
    if (row.size == size)
        memcpy(to, row.data, size);
    return row.size == size;
}

static enum weir_result add_accounts(struct weir_checkpoint *checkpoint, struct books *books,
                                     struct weir_error *error)
{
    struct weir_row row = {WEIR_SIZED(struct weir_row)};
    struct weir_cursor *cursor;
    enum weir_result result =
        weir_cursor_open(checkpoint, WEIR_ROWS_STATE, "accounts", "accounts", &cursor, error);

    if (result)
        return result;
    while (weir_cursor_next(cursor, &row)) {
        struct account account = {0};
        books->strange += !copy(row.value, &account, sizeof account);
        books->opening += account.opening;
        books->balance += account.balance;
    }
    return weir_cursor_close(&cursor, error);
}

static enum weir_result add_credits(struct weir_checkpoint *checkpoint, const char *to,
                                    struct books *books, struct weir_error *error)
{
    struct weir_checkpoint_edge edge = {WEIR_SIZED(struct weir_checkpoint_edge)};
    struct weir_row row = {WEIR_SIZED(struct weir_row)};
    struct weir_cursor *cursor;
    enum weir_result result =
        weir_cursor_open(checkpoint, WEIR_ROWS_INFLIGHT, to, NULL, &cursor, error);

    if (result)
        return result;
    while (weir_cursor_next(cursor, &row)) {
        struct order credit = {0};
        weir_checkpoint_get_edge(checkpoint, row.edge, &edge);
        if (strcmp(edge.input, "orders") == 0)
            continue;
        books->strange += !copy(row.value, &credit, sizeof credit);
        books->in_flight += credit.amount;
        books->credits++;
    }
    return weir_cursor_close(&cursor, error);
}

bool books_balanced(const struct books *books)
{
    return books->balance + books->in_flight == books->opening && !books->strange;
}

enum weir_result books_add(struct weir_checkpoint *checkpoint, struct books *books,
                           struct weir_error *error)
{
    enum weir_result result = add_accounts(checkpoint, books, error);

    if (!result)
        result = add_credits(checkpoint, "accounts", books, error);
    if (!result)
        result = add_credits(checkpoint, "clearing", books, error);
    return result;
}
