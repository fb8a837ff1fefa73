/* SPDX-License-Identifier: Apache-2.0
 *
 * clock: the door to time and randomness. clock.c is the real one; the simulated one is chosen at
 * link time. Any thread.
 */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>

int64_t clock_now_ns(void);    /* monotonic; decides everything */
int64_t clock_thread_ns(void); /* processor time of the calling thread; for figures only */
int64_t clock_wall_ns(void);   /* since 1970; only ever shown to people, and CLOCK timers */
/* Fills with random bytes; used for identities and seeds, never per record. 0 or -errno. */
int clock_random(void *bytes, uint64_t size);

#endif
