/* SPDX-License-Identifier: Apache-2.0
 *
 * clocks: what benches read and wait by, in nanoseconds.
 */
#ifndef CLOCKS_H
#define CLOCKS_H

#include <stdint.h>
#include <time.h>

/* 0: there is no such clock, a thread's that has ended say. */
static inline int64_t read_clock(clockid_t clock)
{
    struct timespec time;
    if (clock_gettime(clock, &time) != 0)
        return 0;
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static inline int64_t now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

/* A deadline as now_ns tells the time. */
static inline void sleep_until(int64_t until_ns)
{
    struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0)
        continue;
}

#endif
