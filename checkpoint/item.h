/* SPDX-License-Identifier: Apache-2.0
 *
 * item: how records lie in a batch, in memory and in a checkpoint. Content of a channel is recorded
 * as it is, so both have one layout; 8-byte aligned, in the machine's byte order (both ends are one
 * process, or one job that refuses another byte order; a blob's header says which):
 *
 *   record := u32 key size | u32 value size | key, zeros to 8 | value, zeros to 8
 *   timed  := u32 key size | u32 value size + 2^31 | i64 time | key | value, as above
 *   mark   := u32 0xFFFFFFFF | u32 enum item_mark_kind | i64 time
 *
 * A record without a time does without its eight bytes: what travels between two cores is what a
 * small record costs.
 */
#ifndef ITEM_H
#define ITEM_H

#include <string.h>

#include "weir_base.h"

#define ITEM_MARK 0xFFFFFFFFu
#define ITEM_TIMED 0x80000000u
#define ITEM_SIZE_LIMIT ((size_t)16 << 20) /* of a key, and of a value */
#define ITEM_NO_TIME INT64_MIN

enum item_mark_kind { ITEM_WATERMARK = 1, ITEM_IDLE };

struct item_head {
    uint32_t key_size;
    uint32_t value_size; /* ITEM_TIMED: a time follows */
};
struct item_mark {
    struct item_head head;
    int64_t time;
};
_Static_assert(sizeof(struct item_head) == 8, "an item's head is 8 bytes");
_Static_assert(sizeof(struct item_mark) == 16, "a mark is 16 bytes");

static inline size_t item_round(size_t size)
{
    return (size + 7) & ~(size_t)7;
}

static inline size_t item_size(size_t key_size, size_t value_size, bool timed)
{
    return sizeof(struct item_head) + (timed ? sizeof(int64_t) : 0) + item_round(key_size) +
           item_round(value_size);
}

/* One item, as item_next finds it. The views lead into the batch. */
struct item {
    uint32_t mark; /* enum item_mark_kind; 0: a record */
    int64_t time;  /* of a record: ITEM_NO_TIME when it has none */
    struct weir_bytes key, value;
};

static inline bool item_padded(struct weir_bytes bytes)
{
    const unsigned char *data = bytes.data;
    unsigned char seen = 0;
    for (size_t i = bytes.size; i < item_round(bytes.size); i++)
        seen |= data[i];
    return seen == 0;
}

/* For bytes that come from a disk: believes no size before it has compared it with what is left.
 * Answers how many bytes the item at `at` takes; 0: it is not well-formed. */
static inline size_t item_next(const unsigned char *at, size_t left, struct item *item)
{
    struct item_head head;
    *item = (struct item){.time = ITEM_NO_TIME};
    if (left < sizeof head)
        return 0;
    memcpy(&head, at, sizeof head);
    const unsigned char *from = at + sizeof head;
    if (head.key_size == ITEM_MARK) {
        if (left < sizeof(struct item_mark) || head.value_size < ITEM_WATERMARK ||
            head.value_size > ITEM_IDLE)
            return 0;
        item->mark = head.value_size;
        memcpy(&item->time, from, sizeof item->time);
        return sizeof(struct item_mark);
    }
    bool timed = (head.value_size & ITEM_TIMED) != 0;
    size_t value_size = head.value_size & ~ITEM_TIMED;
    if (head.key_size > ITEM_SIZE_LIMIT || value_size > ITEM_SIZE_LIMIT ||
        item_size(head.key_size, value_size, timed) > left)
        return 0;
    if (timed) {
        memcpy(&item->time, from, sizeof item->time);
        from += sizeof item->time;
    }
    item->key = (struct weir_bytes){from, head.key_size};
    item->value = (struct weir_bytes){from + item_round(head.key_size), value_size};
    if (!item_padded(item->key) || !item_padded(item->value))
        return 0;
    return item_size(head.key_size, value_size, timed);
}

#endif
