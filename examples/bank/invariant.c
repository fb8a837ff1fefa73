/* SPDX-License-Identifier: Apache-2.0
 *
 * The bank's invariant, for `weir verify`: money is conserved.
 *
 *     weir verify state --all --invariant ./bank_invariant.so
 */
#include <inttypes.h>
#include <stdio.h>

#include "books.h"

WEIR_API weir_invariant_function weir_invariant;

enum weir_result weir_invariant(struct weir_checkpoint *checkpoint,
                                void (*report)(void *context, const char *violation), void *context,
                                struct weir_error *error)
{
    struct books books = {0};
    enum weir_result result = books_add(checkpoint, &books, error);
    char text[200];

    if (result)
        return result;
    if (books.strange) {
        snprintf(text, sizeof text, "%" PRIu64 " rows that this bank can't have written",
                 books.strange);
        report(context, text);
    }
    if (books.balance + books.in_flight != books.opening) {
        snprintf(text, sizeof text,
                 "%" PRIu64 " on accounts and %" PRIu64 " in flight are not the %" PRIu64
                 " that were there at first",
                 books.balance, books.in_flight, books.opening);
        report(context, text);
    }
    return WEIR_OK;
}
