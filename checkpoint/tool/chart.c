/* SPDX-License-Identifier: Apache-2.0 */
#include "chart.h"

#include <string.h>

/* The numbers are of a manifest, which may say anything. */
static int64_t bounded(int64_t ns)
{
    const int64_t most = INT64_C(1) << 56;
    return ns < 0 ? 0 : ns > most ? most : ns;
}

int64_t chart_end(const struct weir_checkpoint_task *task)
{
    return bounded(task->wait_ns) + bounded(task->cut_ns) + bounded(task->record_ns) +
           bounded(task->write_ns);
}

static uint32_t place(int64_t ns, int64_t whole_ns)
{
    if (whole_ns <= 0)
        return 0;
    double part = (double)ns / (double)whole_ns;
    return part >= 1 ? CHART_WIDTH : (uint32_t)(part * CHART_WIDTH);
}

void chart_line(const struct weir_checkpoint_task *task, int64_t whole_ns,
                char line[CHART_WIDTH + 1])
{
    int64_t wait = bounded(task->wait_ns), align = bounded(task->align_ns);
    int64_t cut = wait + bounded(task->cut_ns), recorded = cut + bounded(task->record_ns);
    const struct {
        char sign;
        int64_t from, to;
    } phases[] = {{'.', 0, wait},
                  {'-', wait > align ? wait - align : 0, wait},
                  {'=', cut, recorded},
                  {'#', recorded, recorded + bounded(task->write_ns)},
                  {'|', wait, cut}};
    memset(line, ' ', CHART_WIDTH);
    line[CHART_WIDTH] = 0;
    for (size_t i = 0; i < sizeof phases / sizeof phases[0]; i++)
        for (uint32_t at = place(phases[i].from, whole_ns); at < place(phases[i].to, whole_ns);
             at++)
            line[at] = phases[i].sign;
    uint32_t at = place(wait, whole_ns);
    line[at < CHART_WIDTH ? at : CHART_WIDTH - 1] = '|';
}
