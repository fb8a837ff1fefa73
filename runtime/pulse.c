/* SPDX-License-Identifier: Apache-2.0 */
#include "pulse.h"

void pulse_turn(struct task_pulse *pulse, enum task_doing doing, int64_t since_ns)
{
    atomic_store_explicit(&pulse->doing, doing, memory_order_relaxed);
    atomic_store_explicit(&pulse->since_ns, since_ns, memory_order_relaxed);
}

/* The channel that has waited for credit and holds up the most. */
static uint32_t most_blocked(const struct outlet *outlet)
{
    const struct outlet_channel *most = &outlet->channels[0];
    for (uint32_t c = 1; c < outlet->channel_count; c++)
        if (outlet->channels[c].count > most->count)
            most = &outlet->channels[c];
    return most->channel;
}

void pulse_queues(struct task_pulse *pulse, const struct gate *gate, const struct outlet *outlet)
{
    uint32_t blocked = outlet_blocked(outlet) ? 1 + most_blocked(outlet) : 0;
    atomic_store_explicit(&pulse->blocked, blocked, memory_order_relaxed);
    atomic_store_explicit(&pulse->queued, gate->queued, memory_order_relaxed);
    atomic_store_explicit(&pulse->unsent, outlet->unsent, memory_order_relaxed);
}

void pulse_round(struct task_pulse *pulse, const struct aligner *aligner)
{
    uint64_t told = aligner->announced > aligner->closed ? aligner->announced : 0;
    uint64_t round = aligner->open ? aligner->open : told;
    uint32_t reached = aligner->open ? aligner->marked_count : 0;
    atomic_store_explicit(&pulse->round, round, memory_order_relaxed);
    atomic_store_explicit(&pulse->reached, reached, memory_order_relaxed);
}

void pulse_outside(struct task_pulse *pulse)
{
    atomic_store_explicit(&pulse->call, NULL, memory_order_relaxed);
    atomic_store_explicit(&pulse->place, 0, memory_order_relaxed); /* who holds is the head */
}
