/* SPDX-License-Identifier: Apache-2.0
 *
 * orders: makes an order of each number it is given, always the same one. A record's value is the
 * number, u64; what comes out has struct order for a value, and the payer for a key.
 */
#ifndef ORDERS_H
#define ORDERS_H

#include "weir.h"

/* There must be two accounts or more, for nobody pays himself. */
weir_node orders(struct weir_graph *graph, const char *name, uint64_t seed, uint64_t accounts);

#endif
