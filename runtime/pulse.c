/* SPDX-License-Identifier: Apache-2.0 */
#include "pulse.h"

void pulse_turn(struct task_pulse *pulse, enum task_doing doing, int64_t since_ns)
{
    atomic_store_explicit(&pulse->doing, doing, memory_order_relaxed);
    atomic_store_explicit(&pulse->since_ns, since_ns, memory_order_relaxed);
}

struct pulse_turned pulse_turned(const struct task_pulse *pulse)
{
    return (struct pulse_turned){
        .doing = (enum task_doing)atomic_load_explicit(&pulse->doing, memory_order_relaxed),
        .since_ns = atomic_load_explicit(&pulse->since_ns, memory_order_relaxed),
    };
}

void pulse_write(struct writer_pulse *pulse, const char *doing, uint64_t id, int64_t since_ns)
{
    atomic_store_explicit(&pulse->id, id, memory_order_relaxed);
    atomic_store_explicit(&pulse->since_ns, since_ns, memory_order_relaxed);
    atomic_store_explicit(&pulse->doing, doing, memory_order_relaxed);
}

void pulse_instance(struct writer_pulse *pulse, uint32_t instance)
{
    atomic_store_explicit(&pulse->instance, instance, memory_order_relaxed);
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
    atomic_store_explicit(&pulse->unsent_markers, outlet->owing, memory_order_relaxed);
    atomic_store_explicit(&pulse->flight, gate->held + outlet->held, memory_order_relaxed);
    atomic_store_explicit(&pulse->spilled, gate->spilled, memory_order_relaxed);
}

/* 1 + a channel of the plan that has not brought what is waited for; 0: all have. */
static uint32_t find_lacking(const struct gate *gate)
{
    const struct aligner *aligner = &gate->aligner;
    bool reach = aligner->open != 0;
    for (uint32_t i = 0; i < gate->input_count && (reach || aligner->recording); i++) {
        const struct aligner_input *at = &gate->aligned[i];
        bool there = reach ? at->reached == aligner->open || at->end_reached || at->feedback
                           : at->arrived == aligner->recording || at->end_arrived;
        if (!there)
            return 1 + gate->inputs[i].channel;
    }
    return 0;
}

void pulse_round(struct task_pulse *pulse, const struct gate *gate)
{
    const struct aligner *aligner = &gate->aligner;
    atomic_store_explicit(&pulse->round, aligner->open, memory_order_relaxed);
    atomic_store_explicit(&pulse->reached, aligner->marked_count, memory_order_relaxed);
    atomic_store_explicit(&pulse->cut, aligner->cut, memory_order_relaxed);
    atomic_store_explicit(&pulse->lacking, find_lacking(gate), memory_order_relaxed);
}

void pulse_state(struct task_pulse *pulse, uint64_t state)
{
    atomic_store_explicit(&pulse->state, state, memory_order_relaxed);
}

void pulse_recorded(struct task_pulse *pulse, uint64_t bytes)
{
    atomic_store_explicit(&pulse->recorded, bytes, memory_order_relaxed);
}

void pulse_outside(struct task_pulse *pulse)
{
    atomic_store_explicit(&pulse->call, NULL, memory_order_relaxed);
    atomic_store_explicit(&pulse->place, 0, memory_order_relaxed); /* who holds is the head */
}
