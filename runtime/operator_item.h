/* SPDX-License-Identifier: Apache-2.0
 *
 * operator_item: an item of operator state, value by value: what weir_save_u32 and its like append,
 * and the cursor by which weir_load_u32 and its like take it back. Numbers are little-endian,
 * bytes and texts have a u32 with their size before them. Pure.
 *
 * struct weir_loader begins with the cursor, whoever defines it: so whatever stands in for a task
 * (the tests' beds do) has all of weir_load_* but weir_load_next, and all of weir_save_* but
 * weir_save_begin, weir_save_raw and weir_save_end, from here.
 */
#ifndef OPERATOR_ITEM_H
#define OPERATOR_ITEM_H

#include "weir.h"

struct item_cursor {
    const unsigned char *at; /* what comes next in the current item */
    size_t left, size;       /* bytes of it: not taken yet, in all */
    uint32_t number;         /* of the current item, from 1; 0: none yet */
    char failed[200];        /* the first failure, with its place; "": none */
};

/* Goes on to the next item. */
void item_cursor_next(struct item_cursor *cursor, struct weir_bytes item);

#endif
