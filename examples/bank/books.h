/* SPDX-License-Identifier: Apache-2.0
 *
 * books: the money in a checkpoint. It is in two places: on accounts, and on its way from one to
 * another. What is on its way to `accounts` by its input "orders" is no money yet: nobody has paid
 * it.
 */
#ifndef BOOKS_H
#define BOOKS_H

#include "weir_checkpoint.h"

struct books {
    uint64_t opening, balance;   /* over all accounts */
    uint64_t in_flight, credits; /* money, and records that carry it */
    uint64_t strange;            /* rows that this bank can't have written */
};

/* Adds up what is in the checkpoint. */
enum weir_result books_add(struct weir_checkpoint *checkpoint, struct books *books,
                           struct weir_error *error);
/* Is it what was there at first? */
bool books_balanced(const struct books *books);

#endif
