/* SPDX-License-Identifier: Apache-2.0
 *
 * sim_pair: two runs of one job on one store, as when a process is stopped for so long, by a
 * debugger or a host that pauses its machine, that its lock is given to another. The first run A
 * stops before a step or within one, its lock is lost without a word, and run B starts, restores
 * and goes on; then A wakes in the middle of what it was doing. The rules of sim_world.h hold for
 * both together, and
 *
 *   R1  A makes nothing visible any more: no manifest, and only such output as the checkpoint that
 *       B was restored from holds, which is there already.
 *   R2  A removes no manifest and no container but its own.
 *   R3  A ends by itself: it is refused, or had nothing left to do; in the middle of its work with
 *       files it may also fail by what it finds changed.
 *   R4  what B made is complete, or, when it is refused for the sake of an id that A has claimed, a
 *       third run's that follows both.
 */
#ifndef SIM_PAIR_H
#define SIM_PAIR_H

#include "sim_world.h"

enum sim_wake {
    SIM_WAKE_STARTED,   /* A goes on when B has been restored, */
    SIM_WAKE_COMMITTED, /* when B has committed a checkpoint, */
    SIM_WAKE_ENDED,     /* or when B has ended */
    SIM_WAKES,
};

struct sim_pair_plan {
    uint64_t seed;
    uint64_t pause_at; /* A stops before that step, counted from its start; 0: it does not */
    uint64_t pause_in; /* A stops within a step, at that file call; 0: it does not */
    bool useless_lock; /* locks hold nothing; else A's was given to B */
    enum sim_wake wake;
};

struct sim_pair_result {
    bool paused;  /* else A had ended before */
    bool refused; /* A was told that another run is here */
    bool third;   /* R4 */
    uint64_t hash;
    char failure[400]; /* "": all is well */
};

/* True: all is well. */
bool sim_pair_live(const struct sim_pair_plan *plan, struct sim_pair_result *result);

#endif
