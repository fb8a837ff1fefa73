/* SPDX-License-Identifier: Apache-2.0
 *
 * sim_trial: a simulated life in a child process, so that it may end in an assertion, a deadlock or
 * a crash and still be spoken about; and a failing one made smaller.
 */
#ifndef SIM_TRIAL_H
#define SIM_TRIAL_H

#include "sim_job.h"

#define SIM_WAY 100

/* Lives it, `twice` or once, told to nobody. True: all is well; else result->failure says what was
 * wrong, be it the signal that ended the child. */
bool sim_trial(const struct sim_plan *plan, bool twice, struct sim_result *result);
/* What a failure has in common with others of its kind: the rule W..., or its words without the
 * numbers in them. */
void sim_trial_way(const char *failure, char way[SIM_WAY]);
/* Makes a failing plan smaller as long as it still fails the same way: fewer kinds of trouble,
 * fewer troubles, fewer conditions, fewer records. *result is the smallest life's. How many lives
 * it took; 0: the plan does not fail. */
uint32_t sim_trial_shrink(struct sim_plan *plan, struct sim_result *result);

#endif
