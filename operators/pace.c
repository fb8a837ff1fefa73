/* SPDX-License-Identifier: Apache-2.0 */
#include "pace.h"

#define SECOND_NS UINT64_C(1000000000)
#define BURST_NS 10000000 /* 10 ms */
/* At high rates a source wakes once for several records: a wake-up costs more than a record. */
#define NAP_NS 1000000 /* 1 ms */

static int64_t due(const struct pace *pace, uint64_t record)
{
    /* record stays near `rate` at most (see pace_take), so that neither product overflows. */
    return pace->base_ns + (int64_t)(record * pace->whole_ns + record * pace->part / pace->rate);
}

void pace_start(struct pace *pace, uint64_t rate, uint32_t subtask, uint32_t parallelism,
                int64_t now_ns)
{
    *pace = (struct pace){.rate = rate};
    if (rate == 0)
        return;
    pace->lap_ns = parallelism * SECOND_NS;
    pace->whole_ns = pace->lap_ns / rate;
    pace->part = pace->lap_ns % rate;
    pace->base_ns = now_ns + (int64_t)(subtask * SECOND_NS / rate);
}

/* How many of this lap's records are due at `now_ns`: the inverse of due(), rounded down. */
static uint64_t due_count(const struct pace *pace, int64_t now_ns)
{
    uint64_t passed = (uint64_t)(now_ns - pace->base_ns);
    uint64_t laps = passed / pace->lap_ns, rest = passed % pace->lap_ns;
    /* rest * rate / lap_ns, in two steps: the product alone may overflow. */
    uint64_t count = rest / SECOND_NS * pace->rate + rest % SECOND_NS * pace->rate / SECOND_NS;
    return laps * pace->rate + count / (pace->lap_ns / SECOND_NS) + 1;
}

uint64_t pace_ready(struct pace *pace, int64_t now_ns, uint64_t most)
{
    if (pace->rate == 0)
        return most;
    int64_t late = now_ns - due(pace, pace->taken);
    if (late < 0)
        return 0;
    if (late > BURST_NS)
        pace->base_ns += late - BURST_NS;
    uint64_t count = due_count(pace, now_ns);
    uint64_t ready = count > pace->taken ? count - pace->taken : 1;
    return ready < most ? ready : most;
}

void pace_take(struct pace *pace, uint64_t count)
{
    if (pace->rate == 0)
        return;
    pace->taken += count;
    while (pace->taken >= pace->rate) {
        pace->taken -= pace->rate;
        pace->base_ns += (int64_t)pace->lap_ns;
    }
}

int64_t pace_deadline(const struct pace *pace, int64_t now_ns)
{
    int64_t next = due(pace, pace->taken);
    return next > now_ns + NAP_NS ? next : now_ns + NAP_NS;
}
