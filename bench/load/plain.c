/* SPDX-License-Identifier: Apache-2.0
 *
 * plain: see plain.h. The loop is the one of bench/throughput: it does not change, so that ratios
 * of different versions can be compared.
 */
#include "plain.h"

#include "clocks.h"
#include "die.h"
#include "draws.h"

void plain_begin(struct plain *plain, uint32_t keys, bool filled)
{
    *plain = (struct plain){.state = DRAWS_SEED, .records = filled ? keys : 0};
    if (!table_init(&plain->table, keys, filled))
        die("plain", "out of memory");
}

double plain_turn(struct plain *plain, uint32_t keys, double seconds)
{
    int64_t began_ns = now_ns(), span_ns = (int64_t)(seconds * 1e9), now;
    uint64_t before = plain->records, state = plain->state;
    do {
        for (int i = 0; i < PLAIN_BURST; i++)
            table_count(&plain->table, draws_below(&state, keys));
        plain->records += PLAIN_BURST;
        now = now_ns();
    } while (now - began_ns < span_ns);
    plain->state = state;
    return (double)(plain->records - before) * 1e9 / (double)(now - began_ns);
}

void plain_end(struct plain *plain)
{
    if (table_end(&plain->table) != plain->records)
        die("plain", "it has miscounted");
}
