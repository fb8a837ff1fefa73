/* SPDX-License-Identifier: Apache-2.0
 *
 * explore: what a test needs to walk through all states of a small machine, or through many of a
 * large one: a set of states already seen, random numbers from a seed, and where the seed is from.
 */
#ifndef EXPLORE_H
#define EXPLORE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A set of 64-bit fingerprints. Two states with one fingerprint would hide one of them: at 10^6
 * states that happens once in 10^7 runs, and the same way in every run. */
struct seen {
    uint64_t *slots; /* 0: free */
    size_t size;     /* a power of two */
    size_t count;
};

static inline uint64_t explore_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static inline uint64_t explore_fingerprint(const void *data, size_t size)
{
    uint64_t hash = size;
    for (size_t at = 0; at < size; at += 8) {
        uint64_t word = 0;
        memcpy(&word, (const char *)data + at, size - at < 8 ? size - at : 8);
        hash = explore_mix(hash ^ word) + UINT64_C(0x9e3779b97f4a7c15);
    }
    return hash == 0 ? 1 : hash;
}

static inline void seen_clear(struct seen *seen)
{
    memset(seen->slots, 0, seen->size * sizeof *seen->slots);
    seen->count = 0;
}

static inline void seen_free(struct seen *seen)
{
    free(seen->slots);
    *seen = (struct seen){0};
}

static inline uint64_t *seen_slot(const struct seen *seen, uint64_t fingerprint)
{
    size_t at = fingerprint & (seen->size - 1);
    while (seen->slots[at] != 0 && seen->slots[at] != fingerprint)
        at = (at + 1) & (seen->size - 1);
    return &seen->slots[at];
}

static inline void seen_grow(struct seen *seen)
{
    struct seen larger = {.size = seen->size == 0 ? 1024 : 2 * seen->size, .count = seen->count};
    larger.slots = calloc(larger.size, sizeof *larger.slots);
    if (larger.slots == NULL)
        abort();
    for (size_t at = 0; at < seen->size; at++)
        if (seen->slots[at] != 0)
            *seen_slot(&larger, seen->slots[at]) = seen->slots[at];
    free(seen->slots);
    *seen = larger;
}

/* True when it was not in the set before. */
static inline bool seen_add(struct seen *seen, uint64_t fingerprint)
{
    if (2 * (seen->count + 1) > seen->size)
        seen_grow(seen);
    uint64_t *slot = seen_slot(seen, fingerprint);
    if (*slot != 0)
        return false;
    *slot = fingerprint;
    seen->count++;
    return true;
}

static inline uint64_t explore_random(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    return explore_mix(*state);
}

/* 0 .. limit-1 */
static inline uint32_t explore_below(uint64_t *state, uint32_t limit)
{
    return (uint32_t)((explore_random(state) >> 32) * limit >> 32);
}

/* WEIR_TEST_SEED, or a fixed one: a failing run is repeated by setting what it printed. */
static inline uint64_t explore_seed(void)
{
    const char *text = getenv("WEIR_TEST_SEED");
    return text != NULL ? strtoull(text, NULL, 0) : 20240607;
}

/* WEIR_TEST_SHARE=N: of what is tried one after the other, every N-th is enough. For the builds
 * that repeat with another compiler, or with sanitizers, what one build tries completely. */
static inline uint32_t explore_share(void)
{
    const char *text = getenv("WEIR_TEST_SHARE");
    uint32_t share = text != NULL ? (uint32_t)strtoul(text, NULL, 0) : 1;
    return share > 0 ? share : 1;
}

/* WEIR_FULL: all that there is, however long it takes; for tests/run.sh --full. */
static inline bool explore_full(void)
{
    return getenv("WEIR_FULL") != NULL;
}

/* Trials of weir_operator_torture: an eighth, but enough for each of its courses. */
static inline uint32_t explore_trials(uint32_t count)
{
    uint32_t few = count < 8 * 12 ? 12 : count / 8;
    return explore_share() > 1 ? few : count;
}

/* So many of what is drawn at random, at least a third of COUNT: fewer would miss too much. */
static inline uint32_t explore_part(uint32_t count)
{
    return explore_share() > 1 ? (count + 2) / 3 : count;
}

#endif
