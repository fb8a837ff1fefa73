/* SPDX-License-Identifier: Apache-2.0
 *
 * keys: numbers 0 .. count-1 to make keys of, uniform or by Zipf's law, the same ones from the same
 * seed. A draw costs a few nanoseconds, so that what is measured beside it can be seen.
 *
 * Zipf: rank x has weight x^-EXPONENT. Ranks are put into steps, whose width is a 64th of their
 * first rank: a step is drawn by its area (Walker's aliases), a rank within it evenly, and taken
 * with the probability that the weight has to the step's height; else all is drawn anew. So it is
 * exact, without a sum over all ranks; 99 of 100 draws need no power. (After rejection-inversion,
 * Hoermann and Derflinger 1996, with steps in place of the inverse.)
 */
#ifndef KEYS_H
#define KEYS_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#define KEYS_EXPONENT 0.99
#define KEYS_STEPS 2048 /* for 2^32 ranks it takes 1300 */

struct keys_step {
    uint32_t first, width; /* ranks, from 1 */
    uint32_t keep, alias;  /* 2^32 times the probability that it is this step, else that one */
    uint32_t sure;         /* 2^32 times the least probability that a rank of it is taken */
};

struct keys {
    uint64_t state;
    uint32_t count;
    uint32_t steps; /* 0: uniform */
    struct keys_step step[KEYS_STEPS];
};

/* splitmix64 */
static inline uint64_t keys_random(struct keys *keys)
{
    uint64_t x = keys->state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* A number below `limit`, of 32 random bits. */
static inline uint32_t keys_below(uint64_t bits, uint32_t limit)
{
    return (uint32_t)((bits & UINT32_MAX) * limit >> 32);
}

static inline bool keys_taken(const struct keys_step *step, uint32_t within, uint32_t bits)
{
    if (bits < step->sure)
        return true;
    double share = (double)step->first / ((double)step->first + within);
    return (double)bits < pow(share, KEYS_EXPONENT) * 4294967296.0;
}

/* The next one; with Zipf, 0 is the most frequent. */
static inline uint32_t keys_draw(struct keys *keys)
{
    while (keys->steps > 0) {
        uint64_t bits = keys_random(keys);
        uint32_t at = keys_below(bits, keys->steps), other = keys->step[at].alias;
        /* No branch: nobody could predict it. */
        at ^= (at ^ other) & -(uint32_t)(bits >> 32 >= keys->step[at].keep);
        const struct keys_step *step = &keys->step[at];
        bits = keys_random(keys);
        uint32_t within = keys_below(bits, step->width);
        if (keys_taken(step, within, (uint32_t)(bits >> 32)))
            return step->first - 1 + within;
    }
    return keys_below(keys_random(keys), keys->count);
}

static inline uint32_t keys_scaled(double share)
{
    return share >= 1 ? UINT32_MAX : (uint32_t)(share * 4294967296.0);
}

static inline void keys_make_steps(struct keys *keys, double *areas)
{
    for (uint64_t first = 1; first <= keys->count;) {
        uint64_t width = 1 + first / 64, left = keys->count - first + 1;
        struct keys_step *step = &keys->step[keys->steps];
        step->first = (uint32_t)first;
        step->width = (uint32_t)(width < left ? width : left);
        double last = (double)first + step->width - 1;
        step->sure = keys_scaled(pow((double)first / last, KEYS_EXPONENT));
        areas[keys->steps++] = step->width * pow((double)first, -KEYS_EXPONENT);
        first += step->width;
    }
}

/* Vose's way: each step that has less than the average is filled up from one that has more. */
static inline void keys_make_aliases(struct keys *keys, double *areas)
{
    uint32_t small[KEYS_STEPS], large[KEYS_STEPS], smalls = 0, larges = 0;
    double sum = 0;
    for (uint32_t i = 0; i < keys->steps; i++)
        sum += areas[i];
    for (uint32_t i = 0; i < keys->steps; i++) {
        areas[i] *= keys->steps / sum;
        keys->step[i].keep = UINT32_MAX;
        keys->step[i].alias = i;
        if (areas[i] < 1)
            small[smalls++] = i;
        else
            large[larges++] = i;
    }
    while (smalls > 0 && larges > 0) {
        uint32_t less = small[--smalls], more = large[larges - 1];
        keys->step[less].keep = keys_scaled(areas[less]);
        keys->step[less].alias = more;
        areas[more] -= 1 - areas[less];
        if (areas[more] < 1) {
            larges--;
            small[smalls++] = more;
        }
    }
}

static inline void keys_init(struct keys *keys, uint32_t count, bool zipf, uint64_t seed)
{
    double areas[KEYS_STEPS];
    keys->state = seed;
    keys->count = count;
    keys->steps = 0;
    if (!zipf)
        return;
    keys_make_steps(keys, areas);
    keys_make_aliases(keys, areas);
}

/* The sum of x^-EXPONENT for x = 1 .. count: the first ones by adding, the rest by Euler and
 * Maclaurin's formula. */
static inline double keys_harmonic(double count)
{
    double sum = 0, from = count < 1000 ? count : 1000, rest = 1 - KEYS_EXPONENT;
    for (double x = 1; x <= from; x++)
        sum += pow(x, -KEYS_EXPONENT);
    if (count <= from)
        return sum;
    double height = pow(from, -KEYS_EXPONENT), last = pow(count, -KEYS_EXPONENT);
    return sum + (pow(count, rest) - pow(from, rest)) / rest + (last - height) / 2;
}

#endif
