/* SPDX-License-Identifier: Apache-2.0
 *
 * pacing: an open loop. Thing number n is due at start + n / rate, whatever became of those before
 * it, so who is late has all of it still to do, and latency counted from when a thing was *due* has
 * the waiting in it: a system that stands still can't hide it (Tene's coordinated omission).
 *
 * Pure: time comes in as an argument, in nanoseconds of any one clock. A pacing may be saved as the
 * bytes it is, and goes on with another process of the same clock. One thread at a time.
 */
#ifndef PACING_H
#define PACING_H

#include <stdint.h>

struct pacing {
    int64_t start_ns;
    uint64_t per_second; /* 1 .. 2^32 */
    uint64_t taken;      /* the number of the next thing: so many were handed out */
};

/* When thing `number` is due, rounded down. Exact for 584 years of things, without an overflow. */
int64_t pacing_intended(const struct pacing *pacing, uint64_t number);

/* How many are due at `now_ns` and not yet taken, at most `most`. None before the start. */
uint64_t pacing_due(const struct pacing *pacing, int64_t now_ns, uint64_t most);

#endif
