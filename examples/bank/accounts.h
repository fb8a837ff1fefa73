/* SPDX-License-Identifier: Apache-2.0
 *
 * accounts: the operator that holds the money. One node of the graph, with keyed state, an account
 * a key. Input ORDERS brings what is to be paid, by the payer's key; input CREDITS what was paid,
 * by the payee's.
 *
 * An account is opened with OPENING when it is first heard of. An order that it covers is paid: the
 * amount leaves the balance and goes out as a credit - by HOUSE when both accounts are of the same
 * house, by CLEARING otherwise. Any other order is refused. Both outputs lead back to CREDITS. So
 *
 *     balances + credits on their way = opening credits
 *
 * at every moment, and in every checkpoint. Each step is an entry for the journal, and when all
 * has ended, each account has a closing one.
 */
#ifndef ACCOUNTS_H
#define ACCOUNTS_H

#include "weir.h"

enum { ORDERS, CREDITS };          /* inputs */
enum { JOURNAL, HOUSE, CLEARING }; /* outputs */
enum { OPENING = 1000 };

/* The value of a record: an order, and then the credit that it has become. */
struct order {
    uint64_t position; /* in the stream of orders, from 0 */
    uint64_t from, to; /* accounts, from 0; its lowest bit is an account's house */
    uint64_t amount;
};
#define ORDER_FORMAT "{u64 position; u64 from; u64 to; u64 amount}"

/* The state of an account. */
struct account {
    uint64_t opening; /* 0: it is new */
    uint64_t balance;
};

/* What a record for the journal holds; its key is the account. */
struct entry {
    struct order order; /* but of CLOSING */
    uint64_t what;      /* one of: */
    uint64_t balance;   /* after it */
};
enum { PAID, REFUSED, RECEIVED, CLOSING };

struct accounts_options {
    uint64_t bug;   /* position of an order whose credit is entered a hundredfold; 0: of none */
    uint64_t watch; /* an account: what happens to it is logged; 0: of none */
};
weir_node accounts(struct weir_graph *graph, const char *name,
                   const struct accounts_options *options); /* copied */

#endif
