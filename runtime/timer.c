/* SPDX-License-Identifier: Apache-2.0 */
#include "timer.h"

#include "memory.h"
#include "plant.h"

static bool before(struct timer a, struct timer b)
{
    return a.time < b.time || (a.time == b.time && a.tag < b.tag);
}

static void swap(struct timer *a, struct timer *b)
{
    struct timer kept = *a;
    *a = *b;
    *b = kept;
}

static void sift_down(struct timer_heap *heap)
{
    for (uint32_t at = 0;;) {
        uint32_t child = 2 * at + 1;
        if (child >= heap->count)
            return;
        if (child + 1 < heap->count && before(heap->timers[child + 1], heap->timers[child]))
            child++;
        if (!before(heap->timers[child], heap->timers[at]))
            return;
        swap(&heap->timers[child], &heap->timers[at]);
        at = child;
    }
}

static void pop(struct timer_heap *heap)
{
    heap->timers[0] = heap->timers[--heap->count];
    sift_down(heap);
}

bool timers_set(struct timers *timers, const struct weir_allocator *allocator, enum weir_timer kind,
                struct timer timer)
{
    struct timer_heap *heap = &timers->heaps[kind];
    if (heap->count == heap->room) {
        uint32_t room = heap->room ? heap->room * 2 : 16;
        struct timer *larger = memory_resize(allocator, heap->timers, heap->room * sizeof *larger,
                                             room * sizeof *larger);
        if (!larger)
            return false;
        heap->timers = larger;
        heap->room = room;
    }
    uint32_t at = heap->count++;
    heap->timers[at] = timer;
    while (at && before(heap->timers[at], heap->timers[(at - 1) / 2])) {
        swap(&heap->timers[at], &heap->timers[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    return true;
}

bool timers_due(struct timers *timers, enum weir_timer kind, int64_t now, struct timer *timer)
{
    struct timer_heap *heap = &timers->heaps[kind];
    if (!heap->count || heap->timers[0].time > now)
        return false;
    *timer = heap->timers[0];
    while (heap->count && heap->timers[0].time == timer->time && heap->timers[0].tag == timer->tag)
        pop(heap);
    return true;
}

int64_t timers_next(const struct timers *timers, enum weir_timer kind)
{
    const struct timer_heap *heap = &timers->heaps[kind];
    return heap->count ? heap->timers[0].time : INT64_MAX;
}

void timers_save(const struct timers *timers, struct snapshot_writer *writer)
{
    for (uint32_t kind = 0; kind < 2 && !WEIR_PLANT(timers_forgotten); kind++) {
        for (uint32_t i = 0; i < timers->heaps[kind].count; i++) {
            snapshot_begin(writer, SNAPSHOT_TIMER, 0);
            snapshot_u64(writer, (uint64_t)timers->heaps[kind].timers[i].time);
            snapshot_u64(writer, timers->heaps[kind].timers[i].tag);
            snapshot_u32(writer, kind);
            snapshot_end(writer);
        }
    }
}

bool timers_load(struct timers *timers, const struct weir_allocator *allocator,
                 struct snapshot_section *section)
{
    struct timer timer = {.time = (int64_t)snapshot_get_u64(section)};
    timer.tag = snapshot_get_u64(section);
    uint32_t kind = snapshot_get_u32(section);
    return snapshot_done(section) && kind < 2 &&
           timers_set(timers, allocator, (enum weir_timer)kind, timer);
}

void timers_free(struct timers *timers, const struct weir_allocator *allocator)
{
    for (uint32_t kind = 0; kind < 2; kind++)
        memory_release(allocator, timers->heaps[kind].timers);
    *timers = (struct timers){0};
}
