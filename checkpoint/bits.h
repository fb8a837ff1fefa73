/* SPDX-License-Identifier: Apache-2.0
 *
 * bits: sets of small numbers in storage of the caller's, for the machines that own no memory.
 */
#ifndef BITS_H
#define BITS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* 64-bit words that a set of `count` members needs (at least 1: no empty allocation). */
static inline uint32_t bits_words(uint32_t count)
{
    return count == 0 ? 1 : (uint32_t)(((uint64_t)count + 63) / 64);
}

static inline bool bits_has(const uint64_t *set, uint32_t member)
{
    return (set[member / 64] >> (member % 64) & 1) != 0;
}

static inline void bits_add(uint64_t *set, uint32_t member)
{
    set[member / 64] |= (uint64_t)1 << (member % 64);
}

static inline void bits_clear(uint64_t *set, uint32_t count)
{
    memset(set, 0, bits_words(count) * sizeof *set);
}

#endif
