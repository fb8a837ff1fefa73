/* SPDX-License-Identifier: Apache-2.0
 *
 * draws: xorshift64 (Marsaglia 2003), and numbers below a limit made of it without a division. A
 * draw costs about a nanosecond, so that what is measured beside it can be seen. bench/keys.h has
 * numbers by Zipf's law.
 */
#ifndef DRAWS_H
#define DRAWS_H

#include <stdint.h>

#define DRAWS_SEED UINT64_C(88172645463325252) /* any but 0 */

static inline uint64_t draws_next(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

/* A number below `limit`: the upper half of a product. */
static inline uint64_t draws_below(uint64_t *state, uint32_t limit)
{
    return (draws_next(state) >> 32) * limit >> 32;
}

#endif
