/* SPDX-License-Identifier: Apache-2.0 */
#include "pair.h"

#include <string.h>

#include "little.h"

#define TAIL 4u

static size_t padded(size_t size)
{
    return (size + 7) & ~(size_t)7;
}

size_t pair_size(struct pair pair)
{
    return padded(pair.key.size) + pair.sub.size + TAIL;
}

void pair_write(unsigned char *to, struct pair pair)
{
    size_t key_size = pair.key.size, room = padded(key_size);
    if (key_size > 0)
        memcpy(to, pair.key.data, key_size);
    memset(to + key_size, 0, room - key_size);
    if (pair.sub.size > 0)
        memcpy(to + room, pair.sub.data, pair.sub.size);
    little_put_u32(to + room + pair.sub.size, (uint32_t)key_size);
}

struct pair pair_read(struct weir_bytes bytes)
{
    const unsigned char *data = bytes.data;
    size_t key_size = little_u32(data + bytes.size - TAIL), room = padded(key_size);
    return (struct pair){{data, key_size}, {data + room, bytes.size - room - TAIL}};
}

bool pair_is_sound(struct weir_bytes bytes)
{
    const unsigned char *data = bytes.data;
    if (bytes.size < TAIL)
        return false;
    size_t key_size = little_u32(data + bytes.size - TAIL);
    if (padded(key_size) > bytes.size - TAIL)
        return false;
    for (size_t i = key_size; i < padded(key_size); i++)
        if (data[i] != 0)
            return false;
    return true;
}

int pair_compare_bytes(struct weir_bytes left, struct weir_bytes right)
{
    size_t least = left.size < right.size ? left.size : right.size;
    int order = least > 0 ? memcmp(left.data, right.data, least) : 0;
    return order != 0 ? order : (left.size > right.size) - (left.size < right.size);
}

static void write_big(unsigned char *to, uint64_t number)
{
    for (uint32_t i = 0; i < 8; i++)
        to[i] = (unsigned char)(number >> (8 * (7 - i)));
}

static uint64_t read_big(const unsigned char *from)
{
    uint64_t number = 0;
    for (uint32_t i = 0; i < 8; i++)
        number = number << 8 | from[i];
    return number;
}

void pair_write_index(unsigned char to[PAIR_INDEX_SIZE], uint64_t index)
{
    write_big(to, index);
}

uint64_t pair_read_index(struct weir_bytes sub)
{
    return read_big(sub.data);
}

void pair_write_timer(unsigned char to[PAIR_TIMER_SIZE], struct pair_timer timer)
{
    write_big(to, pair_time_rank(timer.time));
    write_big(to + 8, timer.tag);
    to[16] = (unsigned char)timer.kind;
}

struct pair_timer pair_read_timer(struct weir_bytes sub)
{
    const unsigned char *data = sub.data;
    uint64_t time = read_big(data) ^ (uint64_t)INT64_MIN;
    return (struct pair_timer){(int64_t)time, read_big(data + 8), data[16]};
}
