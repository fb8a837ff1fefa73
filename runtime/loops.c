/* SPDX-License-Identifier: Apache-2.0 */
#include "loops.h"

#include <assert.h>

#define PAUSE_FIRST_NS 1000000   /* then doubled, up to the interval of checkpoints, but */
#define PAUSE_LEAST_NS 200000000 /* at least to this, */
#define PAUSE_MOST_NS INT64_C(10000000000) /* and no further than this */

static int64_t most_of(int64_t interval_ns)
{
    if (interval_ns <= 0 || interval_ns > PAUSE_MOST_NS)
        return PAUSE_MOST_NS;
    return interval_ns > PAUSE_LEAST_NS ? interval_ns : PAUSE_LEAST_NS;
}

void loops_init(struct loops *loops, const struct plan *plan, struct loop *storage,
                int64_t interval_ns)
{
    *loops = (struct loops){.plan = plan, .list = storage, .pause_most_ns = most_of(interval_ns)};
    for (uint32_t l = 1; l <= plan->loop_count; l++)
        storage[l] = (struct loop){.pause_ns = PAUSE_FIRST_NS, .due_ns = INT64_MAX};
    for (uint32_t c = 0; c < plan->chain_count; c++)
        if (plan->chains[c].loop)
            storage[plan->chains[c].loop].task_count += plan->chains[c].parallelism;
}

uint32_t loops_of(const struct loops *loops, uint32_t task)
{
    const struct plan *plan = loops->plan;
    for (uint32_t c = 0; c < plan->chain_count; c++) {
        const struct plan_chain *chain = &plan->chains[c];
        if (task >= chain->first_task && task < chain->first_task + chain->parallelism)
            return chain->loop;
    }
    return 0;
}

static bool is_looked_at(const struct loop *loop)
{
    return !loop->at_rest && loop->task_count && loop->looping_count == loop->task_count;
}

void loops_looping(struct loops *loops, uint32_t task, int64_t now_ns)
{
    struct loop *loop = &loops->list[loops_of(loops, task)];
    if (loop == loops->list || loop->looping_count == loop->task_count)
        return;
    loop->looping_count++;
    if (is_looked_at(loop))
        loop->due_ns = now_ns;
}

int64_t loops_due_ns(const struct loops *loops)
{
    int64_t due_ns = INT64_MAX;
    for (uint32_t l = 1; l <= loops->plan->loop_count; l++)
        if (loops->list[l].due_ns < due_ns)
            due_ns = loops->list[l].due_ns;
    return due_ns;
}

void loops_asked(struct loops *loops)
{
    for (uint32_t l = 1; l <= loops->plan->loop_count; l++)
        loops->list[l].due_ns = INT64_MAX;
}

static bool shows_rest(const struct loops *loops, uint32_t number, const struct cut_report *reports)
{
    for (uint32_t c = 0; c < loops->plan->chain_count; c++) {
        const struct plan_chain *chain = &loops->plan->chains[c];
        if (chain->loop != number)
            continue;
        for (uint32_t t = 0; t < chain->parallelism; t++) {
            const struct cut_report *report = &reports[chain->first_task + t];
            if (!report->at_rest || report->loop_bytes)
                return false;
        }
    }
    return true;
}

uint32_t loops_rested(struct loops *loops, const struct cut_report *reports, int64_t now_ns)
{
    for (uint32_t l = 1; l <= loops->plan->loop_count; l++) {
        struct loop *loop = &loops->list[l];
        if (!is_looked_at(loop))
            continue;
        if (reports && shows_rest(loops, l, reports)) {
            loop->at_rest = true; /* L2 */
            loop->due_ns = INT64_MAX;
            return l;
        }
        if (loop->due_ns != INT64_MAX)
            continue;
        loop->due_ns = now_ns + loop->pause_ns;
        bool further = loop->pause_ns < loops->pause_most_ns / 2;
        loop->pause_ns = further ? 2 * loop->pause_ns : loops->pause_most_ns;
    }
    return 0;
}
