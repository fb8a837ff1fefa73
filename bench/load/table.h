/* SPDX-License-Identifier: Apache-2.0
 *
 * table: the counts of the plain loops. Open addressing, slots of 16 bytes, XXH3 inlined; at most
 * half full.
 */
#ifndef TABLE_H
#define TABLE_H

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct table_slot {
    uint64_t key; /* + 1; 0: empty */
    uint64_t count;
};

struct table {
    struct table_slot *slots;
    size_t mask;
};

static inline void table_count(struct table *table, uint64_t key)
{
    size_t at = XXH3_64bits(&key, sizeof key) & table->mask;
    while (table->slots[at].key && table->slots[at].key != key + 1)
        at = (at + 1) & table->mask;
    table->slots[at].key = key + 1;
    table->slots[at].count++;
}

/* With room for so many keys; `filled`: 0 .. keys-1 are counted once each. False: out of memory. */
static inline bool table_init(struct table *table, uint32_t keys, bool filled)
{
    size_t slots = 1024;
    while (slots < 2 * (size_t)keys)
        slots *= 2;
    *table = (struct table){.slots = calloc(slots, sizeof *table->slots), .mask = slots - 1};
    for (uint32_t i = 0; filled && table->slots && i < keys; i++)
        table_count(table, i);
    return table->slots != NULL;
}

/* All that was counted, and the memory is free. */
static inline uint64_t table_end(struct table *table)
{
    uint64_t sum = 0;
    for (size_t i = 0; i <= table->mask; i++)
        sum += table->slots[i].count;
    free(table->slots);
    *table = (struct table){0};
    return sum;
}

#endif
