/* SPDX-License-Identifier: Apache-2.0 */
#include "hang.h"

struct hang_seen hang_see_task(const struct task_pulse *pulse)
{
    uint32_t doing = atomic_load_explicit(&pulse->doing, memory_order_relaxed);
    return (struct hang_seen){
        .busy = (doing == TASK_OPENING || doing == TASK_CALLING || doing == TASK_CUTTING) &&
                atomic_load_explicit(&pulse->thread, memory_order_relaxed) != 0,
        .since_ns = atomic_load_explicit(&pulse->since_ns, memory_order_relaxed),
    };
}

struct hang_seen hang_see_writer(const struct writer_pulse *pulse, uint64_t strokes)
{
    return (struct hang_seen){
        .busy = atomic_load_explicit(&pulse->doing, memory_order_relaxed) != NULL,
        .since_ns = atomic_load_explicit(&pulse->since_ns, memory_order_relaxed),
        .strokes = strokes,
    };
}

int64_t hang_tick_ns(int64_t after_ns)
{
    return after_ns / HANG_TICKS > 0 ? after_ns / HANG_TICKS : 1;
}

static bool is_same(const struct hang_seen *a, const struct hang_seen *b)
{
    return a->busy && b->busy && a->since_ns == b->since_ns && a->strokes == b->strokes;
}

enum hang_verdict hang_look(struct hang *hang, const struct hang_seen *seen, int64_t passed_ns,
                            int64_t after_ns)
{
    int64_t most_ns = 2 * hang_tick_ns(after_ns); /* H2 */
    if (!is_same(&hang->seen, seen)) {
        bool told = hang->told_ns > 0;
        *hang = (struct hang){.seen = *seen};
        return told ? HANG_OVER : HANG_NOTHING;
    }
    hang->stood_ns += passed_ns < most_ns ? passed_ns : most_ns;
    int64_t due_ns = hang->told_ns ? 2 * hang->told_ns : after_ns; /* H4 */
    if (hang->stood_ns < due_ns)
        return HANG_NOTHING;
    hang->told_ns = hang->stood_ns;
    return HANG_TELL;
}
