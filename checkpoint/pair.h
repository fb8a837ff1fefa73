/* SPDX-License-Identifier: Apache-2.0
 *
 * pair: the key of an entry in a list, a map, or among timers: the key that records have, and which
 * of its entries it is. A record's key comes first, so that a view of it is 8-byte aligned; what is
 * behind it, and how long it is, stands at the end.
 *
 *   pair  := key, zeros to 8 | sub key | u32 size of the key
 *   sub key of a list's element   := u64 index, the high byte first
 *                  of its length  := nothing
 *              of a map's entry   := any bytes
 *              of a timer         := i64 time, its sign turned, u64 tag, the high bytes first |
 *                                    u8 kind
 */
#ifndef PAIR_H
#define PAIR_H

#include "weir_base.h"

#include <stdbool.h>
#include <stdint.h>

#define PAIR_INDEX_SIZE 8u
#define PAIR_LENGTH_SIZE 16u /* of the value where a list tells its length: state_list.c */
#define PAIR_TIMER_SIZE 17u
#define PAIR_TIMER_KINDS 2u

struct pair {
    struct weir_bytes key, sub;
};

struct pair_timer {
    int64_t time;
    uint64_t tag;
    uint32_t kind; /* below PAIR_TIMER_KINDS */
};

size_t pair_size(struct pair pair);
void pair_write(unsigned char *to, struct pair pair); /* that many bytes; parts may overlap none */
/* Of bytes that pair_write has written. */
struct pair pair_read(struct weir_bytes bytes);
bool pair_is_sound(struct weir_bytes bytes);
/* The order of bytes, below 0 when `left` is first. */
int pair_compare_bytes(struct weir_bytes left, struct weir_bytes right);

void pair_write_index(unsigned char to[PAIR_INDEX_SIZE], uint64_t index);
uint64_t pair_read_index(struct weir_bytes sub);
void pair_write_timer(unsigned char to[PAIR_TIMER_SIZE], struct pair_timer timer);
struct pair_timer pair_read_timer(struct weir_bytes sub);
/* The order of times as one of unsigned numbers. */
static inline uint64_t pair_time_rank(int64_t time)
{
    return (uint64_t)time ^ (uint64_t)INT64_MIN;
}

#endif
