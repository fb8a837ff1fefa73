/* SPDX-License-Identifier: Apache-2.0
 *
 * little: little-endian integers at any alignment, for what is written to disk. Compilers make one
 * move of each on little-endian machines.
 */
#ifndef LITTLE_H
#define LITTLE_H

#include <stdint.h>

static inline void little_put_u32(unsigned char *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (unsigned char)(value >> (8 * i));
}

static inline void little_put_u64(unsigned char *to, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        to[i] = (unsigned char)(value >> (8 * i));
}

static inline uint32_t little_u32(const unsigned char *from)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++)
        value |= (uint32_t)from[i] << (8 * i);
    return value;
}

static inline uint64_t little_u64(const unsigned char *from)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value |= (uint64_t)from[i] << (8 * i);
    return value;
}

/* How this machine keeps integers: what is stored in headers beside user values, which stay native
 * (1 little, 2 big). */
static inline unsigned char little_native_order(void)
{
    const uint16_t probe = 1;
    return *(const unsigned char *)&probe == 1 ? 1 : 2;
}

#endif
