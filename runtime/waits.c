/* SPDX-License-Identifier: Apache-2.0 */
#include "waits.h"

#include <stdarg.h>
#include <stdio.h>

void words_add(struct words *words, const char *format, ...)
{
    size_t room = sizeof words->text - words->size;
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(words->text + words->size, room, format, arguments);
    va_end(arguments);
    if (size > 0)
        words->size += (size_t)size < room ? (size_t)size : room - 1;
}

void words_time(struct words *words, int64_t ns)
{
    if (ns < 1000000000)
        words_add(words, "%.1f ms", (double)ns / 1e6);
    else
        words_add(words, "%.1f s", (double)ns / 1e9);
}

void words_bytes(struct words *words, uint64_t bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double amount = (double)bytes;
    size_t unit = 0;
    for (; amount >= 1000 && unit + 1 < sizeof units / sizeof *units; unit++)
        amount /= 1000;
    words_add(words, unit ? "%.1f %s" : "%.0f %s", amount, units[unit]);
}

static uint32_t chain_of(const struct plan *plan, uint32_t task)
{
    uint32_t chain = 0;
    while (task >= plan->chains[chain].first_task + plan->chains[chain].parallelism)
        chain++;
    return chain;
}

void words_task(struct words *words, const struct plan *plan, uint32_t task)
{
    const struct plan_chain *chain = &plan->chains[chain_of(plan, task)];
    words_add(words, "%s.%u", plan->graph->nodes[chain->head].name, task - chain->first_task);
}

static const char *operator_name(const struct plan *plan, uint32_t task, uint32_t place)
{
    uint32_t chain = chain_of(plan, task);
    if (place >= plan->chains[chain].length)
        place = 0;
    return plan->graph->nodes[plan_member(plan, chain, place)].name;
}

/* ------------------------------------------------------------------------- one task -- */

static void add_credit(struct words *words, const struct plan *plan, uint32_t blocked)
{
    if (!blocked || blocked > plan->channel_count)
        return;
    words_add(words, " from ");
    words_task(words, plan, plan->channels[blocked - 1].to_task);
    words_add(words, " (channel %u)", blocked - 1);
}

static void add_call(struct words *words, const char *what, const char *call, const char *node)
{
    words_add(words, "%s", what);
    if (call)
        words_add(words, ", in %s of %s", call, node);
}

void waits_doing(struct words *words, const struct plan *plan, uint32_t task,
                 const struct task_pulse *pulse)
{
    const char *call = pulse->call;
    const char *node = operator_name(plan, task, pulse->place);
    switch ((enum task_doing)pulse->doing) {
    case TASK_OPENING:
        add_call(words, "opens", call, node);
        break;
    case TASK_WAITING:
        words_add(words, "waits for input or a time");
        break;
    case TASK_BLOCKED:
        words_add(words, "its output waits for credit");
        add_credit(words, plan, pulse->blocked);
        break;
    case TASK_HELD:
        words_add(words, "%s holds the input", node);
        break;
    case TASK_CALLING:
        add_call(words, "at work", call, node);
        break;
    case TASK_CUTTING:
        add_call(words, "saves itself", call, node);
        break;
    case TASK_ENDED:
        words_add(words, "has ended");
        break;
    case TASK_FAILED:
        words_add(words, "has failed");
        break;
    case TASK_GONE:
        words_add(words, "is gone");
        break;
    }
}

static void add_instance(struct words *words, const struct plan *plan, uint32_t instance)
{
    for (uint32_t node = 0; node < plan->graph->node_count; node++) {
        uint32_t first = plan->nodes[node].first_instance;
        if (instance >= first && instance < first + plan->nodes[node].parallelism)
            words_add(words, ", in what %s.%u has to save", plan->graph->nodes[node].name,
                      instance - first);
    }
}

void waits_writer(struct words *words, const struct plan *plan, const struct writer_pulse *pulse)
{
    const char *doing = pulse->doing;
    uint64_t id = pulse->id;
    uint32_t instance = pulse->instance;
    if (!doing) {
        words_add(words, "has nothing to write");
        return;
    }
    words_add(words, "%s", doing);
    if (id)
        words_add(words, " checkpoint %llu", (unsigned long long)id);
    if (instance)
        add_instance(words, plan, instance - 1);
}

/* ------------------------------------------------------------------------- a round -- */

static void add_lacking(struct words *words, const struct plan *plan, uint32_t lacking)
{
    if (!lacking || lacking > plan->channel_count)
        return;
    words_add(words, "waits for the marker of ");
    words_task(words, plan, plan->channels[lacking - 1].from_task);
    words_add(words, " (channel %u), ", lacking - 1);
}

void waits_round(struct words *words, const struct plan *plan, uint32_t task,
                 const struct task_pulse *pulse, uint64_t id, int64_t now_ns)
{
    int64_t since_ns = pulse->since_ns;
    words_task(words, plan, task);
    words_add(words, " ");
    if (pulse->cut == id)
        words_add(words, "has saved itself, ");
    else if (pulse->round != id)
        words_add(words, "has not heard of it, ");
    if (pulse->cut == id || pulse->round == id)
        add_lacking(words, plan, pulse->lacking);
    if (pulse->cut == id && pulse->unsent_markers)
        words_add(words, "its marker has not left on %u outputs, ", pulse->unsent_markers);
    waits_doing(words, plan, task, pulse);
    if (since_ns && now_ns > since_ns) {
        words_add(words, " for ");
        words_time(words, now_ns - since_ns);
    }
}
