/* SPDX-License-Identifier: Apache-2.0
 *
 * chart: where the time of a round went, a line a task, from the trigger to the end of the longest:
 *
 *   .  wait     the trigger, until the first marker was reached, or the cut
 *   -  align    until the cut: input with its marker was held
 *   |  cut      the task stood still to save itself; at least one sign
 *   =  record   until the last marker arrived: records were saved that it overtook
 *   #  write    compressing and writing; what of it goes on while records are saved is drawn behind
 */
#ifndef CHART_H
#define CHART_H

#include "weir_checkpoint.h"

#define CHART_WIDTH 60u

/* The end of what is drawn of a task, behind the trigger: ns. */
int64_t chart_end(const struct weir_checkpoint_task *task);
/* Its line, for a chart of `whole_ns`. */
void chart_line(const struct weir_checkpoint_task *task, int64_t whole_ns,
                char line[CHART_WIDTH + 1]);

#endif
