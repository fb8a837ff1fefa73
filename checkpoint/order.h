/* SPDX-License-Identifier: Apache-2.0
 *
 * order: small numbers (ids) kept in the order of the keys they stand for: a B+ tree over arrays.
 * An element is {rank, id}: ranks are compared first, and only where they are equal the owner is
 * asked, who knows the keys themselves. So most comparisons touch nothing but the node. (Bayer and
 * McCreight 1972; that a node of some cache lines beats a binary tree: Rao and Ross 2000.)
 *
 *   leaf  := up to 64 {rank, id}
 *   inner := up to 64 {rank and id of the least element below, child, elements below}
 *
 * O1  an inner node's element is its child's least one, as it is now: an id that has left the order
 *     stands nowhere, so it may be used again.
 * O2  elements are in strict order, and all leaves equally deep; no node but the root is empty.
 * O3  order_insert and order_remove don't fail: order_prepare has the nodes ready.
 *
 * 12 bytes an element in a full leaf; 12 to 32, 17 after inserts in any sequence; inserts at the
 * end fill leaves. One thread.
 */
#ifndef ORDER_H
#define ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir_base.h"

#define ORDER_NONE 0u /* no id: ids start with 1 */

/* What is looked for: its rank, and whatever the owner compares by. */
struct order_key {
    uint64_t rank;
    const void *key;
};

/* Of equal ranks: below 0 when `key` is before id's, above 0 behind it. */
typedef int order_compare(const void *owner, const void *key, uint32_t id);

struct order_pool {
    unsigned char **blocks;
    size_t node_size;
    uint32_t block_count, block_room;
    uint32_t end;  /* node numbers ever used; 0 is none */
    uint32_t free; /* the first free node, 0: none */
    uint32_t free_count;
};

struct order {
    const struct weir_allocator *allocator;
    order_compare *compare;
    const void *owner;
    struct order_pool leaves, inners;
    uint32_t root;   /* 0: empty */
    uint32_t height; /* of the root; 0: a leaf */
    uint64_t count;
};

void order_init(struct order *order, const struct weir_allocator *allocator, order_compare *compare,
                const void *owner);
void order_free(struct order *order);

/* Before each order_insert. False: no memory. */
bool order_prepare(struct order *order) WEIR_MUST_USE;
/* Of a key that is not there. */
void order_insert(struct order *order, struct order_key key, uint32_t id);
/* Of a key that is there. */
void order_remove(struct order *order, struct order_key key);

/* The first element that is not before the key (`behind`: that is behind it); its rank too when
 * `rank` is not NULL. ORDER_NONE: there is none. */
uint32_t order_find(const struct order *order, struct order_key key, bool behind, uint64_t *rank);
uint32_t order_first(const struct order *order, uint64_t *rank);
/* How many elements are before the key. */
uint64_t order_before(const struct order *order, struct order_key key);
uint64_t order_bytes(const struct order *order); /* memory held */

#endif
