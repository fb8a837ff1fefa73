/* SPDX-License-Identifier: Apache-2.0
 *
 * A checkpoint holds money in two places: on accounts, and on its way from one to another. What is
 * on its way to `accounts` by its input "orders" is no money yet: nobody has paid it.
 */
#include "audit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "accounts.h"
#include "weir_checkpoint.h"

struct books {
    uint64_t opening, balance;   /* over all accounts */
    uint64_t in_flight, credits; /* money, and records that carry it */
    uint64_t strange;            /* rows that this bank can't have written */
};

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

static bool is_balanced(const struct books *books)
{
    return books->balance + books->in_flight == books->opening && !books->strange;
}

static enum weir_result audit_one(struct weir_store *store, uint64_t id, struct books *books,
                                  struct weir_error *error)
{
    struct weir_checkpoint_info info = {WEIR_SIZED(struct weir_checkpoint_info)};
    struct weir_checkpoint *checkpoint;
    enum weir_result result = weir_checkpoint_open(store, id, &checkpoint, error);

    if (result)
        return result;
    weir_checkpoint_describe(checkpoint, &info);
    result = add_accounts(checkpoint, books, error);
    if (!result)
        result = add_credits(checkpoint, "accounts", books, error);
    if (!result)
        result = add_credits(checkpoint, "clearing", books, error);
    if (!result)
        printf("%10" PRIu64 "  %-9s  %-9s  %12" PRIu64 "  %12" PRIu64 "  %9" PRIu64 "  %s\n", id,
               info.mode, info.overtaken ? "overtaken" : "-", books->balance, books->in_flight,
               books->credits, is_balanced(books) ? "ok" : "BROKEN");
    weir_checkpoint_close(&checkpoint);
    return result;
}

/* The job's retention may have removed it while it was read: then it does not open any more. */
static bool is_gone(struct weir_store *store, uint64_t id)
{
    struct weir_checkpoint *checkpoint;
    enum weir_result result = weir_checkpoint_open(store, id, &checkpoint, NULL);

    if (!result)
        weir_checkpoint_close(&checkpoint);
    return result == WEIR_NOT_FOUND;
}

static int audit_all(struct weir_store *store, const uint64_t *ids, size_t count)
{
    size_t audited = 0, wrong = 0;

    printf("%10s  %-9s  %-9s  %12s  %12s  %9s  %s\n", "checkpoint", "mode", "markers",
           "on accounts", "in flight", "records", "books");
    for (size_t i = 0; i < count; i++) {
        struct weir_error error = {0};
        struct books books = {0};
        enum weir_result result = audit_one(store, ids[i], &books, &error);
        if (result && is_gone(store, ids[i]))
            continue;
        if (result)
            printf("%10" PRIu64 "  %s: %s\n", ids[i], weir_result_name(result), error.text);
        audited++;
        wrong += result || !is_balanced(&books);
    }
    printf("%zu checkpoints, %zu wrong\n", audited, wrong);
    return wrong != 0;
}

int audit(const char *path)
{
    struct weir_error error = {0};
    struct weir_store *store;
    const uint64_t *ids;
    size_t count;
    int code = 1;

    if (weir_store_open(path, NULL, &store, &error) == WEIR_OK) {
        if (weir_store_list(store, &ids, &count, &error) == WEIR_OK)
            code = audit_all(store, ids, count);
        weir_store_close(&store);
    }
    if (error.text[0])
        fprintf(stderr, "%s\n", error.text);
    return code;
}
