/* SPDX-License-Identifier: Apache-2.0 */
#include "audit.h"

#include <inttypes.h>
#include <stdio.h>

#include "books.h"

static enum weir_result audit_one(struct weir_store *store, uint64_t id, struct books *books,
                                  struct weir_error *error)
{
    struct weir_checkpoint_info info = {WEIR_SIZED(struct weir_checkpoint_info)};
    struct weir_checkpoint *checkpoint;
    enum weir_result result = weir_checkpoint_open(store, id, &checkpoint, error);

    if (result)
        return result;
    weir_checkpoint_describe(checkpoint, &info);
    result = books_add(checkpoint, books, error);
    if (!result)
        printf("%10" PRIu64 "  %-9s  %-9s  %12" PRIu64 "  %12" PRIu64 "  %9" PRIu64 "  %s\n", id,
               info.mode, info.overtaken ? "overtaken" : "-", books->balance, books->in_flight,
               books->credits, books_balanced(books) ? "ok" : "BROKEN");
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
        wrong += result || !books_balanced(&books);
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
