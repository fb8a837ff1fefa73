/* SPDX-License-Identifier: Apache-2.0
 *
 * chance: what a test of keyed state draws: from WEIR_TEST_SEED, or from another seed each time; it
 * is printed, and repeats the run.
 */
#ifndef CHANCE_H
#define CHANCE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t chance_state;

static inline void chance_begin(void)
{
    const char *text = getenv("WEIR_TEST_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);
    fprintf(stderr, "WEIR_TEST_SEED=%llu\n", (unsigned long long)seed);
    chance_state = seed * 0x9e3779b97f4a7c15u + 1;
}

/* 0 .. below-1 */
static inline uint64_t chance(uint64_t below)
{
    chance_state ^= chance_state << 13;
    chance_state ^= chance_state >> 7;
    chance_state ^= chance_state << 17;
    return (chance_state >> 11) % below;
}

#endif
