/* SPDX-License-Identifier: Apache-2.0 */
#include "orders.h"

#include <string.h>

#include "accounts.h"
#include "weir_operators.h"

#define AMOUNT_MOST 400

struct chance {
    uint64_t series, accounts;
};

/* The next of a series of numbers that look random: splitmix64. Nothing that is drawn anew after a
 * restart will do here: an order that is given again must be the same order. */
static uint64_t draw(uint64_t *series)
{
    uint64_t mixed = *series += UINT64_C(0x9e3779b97f4a7c15);

    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ mixed >> 31;
}

static enum weir_result make_order(struct weir_context *context, unsigned input,
                                   const struct weir_record *number, const void *config)
{
    const struct chance *chance = config;
    struct order order;

    (void)input;
    memcpy(&order.position, number->value.data, sizeof order.position);
    uint64_t series = chance->series + order.position;
    order.from = draw(&series) % chance->accounts;
    order.to = (order.from + 1 + draw(&series) % (chance->accounts - 1)) % chance->accounts;
    order.amount = 1 + draw(&series) % AMOUNT_MOST;
    return weir_emit(context, 0,
                     &(struct weir_record){.key = {&order.from, sizeof order.from},
                                           .value = {&order, sizeof order},
                                           .time = WEIR_NO_TIME});
}

weir_node orders(struct weir_graph *graph, const char *name, uint64_t seed, uint64_t accounts)
{
    struct chance chance = {draw(&seed), accounts};

    if (accounts < 2)
        weir_graph_fail(graph, "node %s: it takes two accounts to pay", name);
    return weir_flat_map(graph, name, make_order, weir_graph_keep(graph, &chance, sizeof chance));
}
