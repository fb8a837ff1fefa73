/* SPDX-License-Identifier: Apache-2.0
 *
 * timer: the timers one operator instance has set, by time. A binary heap a kind; the same triple
 * set twice is removed together, so it fires once. Task thread only.
 */
#ifndef TIMER_H
#define TIMER_H

#include "snapshot.h"
#include "weir.h"

struct timer {
    int64_t time;
    uint64_t tag;
};

struct timer_heap {
    struct timer *timers;
    uint32_t count, room;
};

struct timers {
    struct timer_heap heaps[2]; /* by enum weir_timer */
};

/* False: no memory. */
bool timers_set(struct timers *timers, const struct weir_allocator *allocator, enum weir_timer kind,
                struct timer timer);
/* Takes the earliest one due at `now`; false when none is. */
bool timers_due(struct timers *timers, enum weir_timer kind, int64_t now, struct timer *timer);
int64_t timers_next(const struct timers *timers, enum weir_timer kind); /* INT64_MAX: none */
static inline uint64_t timers_count(const struct timers *timers)
{
    return (uint64_t)timers->heaps[WEIR_TIMER_EVENT].count + timers->heaps[WEIR_TIMER_CLOCK].count;
}
void timers_save(const struct timers *timers, struct snapshot_writer *writer);
bool timers_load(struct timers *timers, const struct weir_allocator *allocator,
                 struct snapshot_section *section);
void timers_free(struct timers *timers, const struct weir_allocator *allocator);

#endif
