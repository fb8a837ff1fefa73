/* SPDX-License-Identifier: Apache-2.0
 *
 * sim_job: a whole job drawn from a seed, and its life: runs that are killed, cut from power,
 * refused memory, served by a bad disk or network - whatever sim_plan.h names - each followed by a
 * restart, and at last a run that must end. What must hold meanwhile is in sim_world.h; besides
 * that
 *
 *   J1  a run without trouble ends, and so does one whose clocks jump or that is paused.
 *   J2  a run that fails says why.
 *   J3  a run that lost an item does not end as if it had not: it fails by the gap, or stands still
 *       until somebody ends it.
 *   J4  an ended job, started once more, changes nothing.
 *   J5  a run from a damaged checkpoint fails, as WEIR_DAMAGED.
 *   J6  a round ends in time, also when a marker is lost.
 *   J7  a round that may overtake waits for no operator that takes nothing.
 *   J8  when a job has ended, no byte is in flight, recorded, or saved and not written.
 *   J9  a savepoint that was asked for fails only when disk or memory do, or the job is over, or
 *       nothing was committed for twice the limit of a round since it was asked for.
 *   J10 whatever is changed in the newest checkpoint, whoever verifies it finds that.
 */
#ifndef SIM_JOB_H
#define SIM_JOB_H

#include "sim.h"
#include "sim_plan.h"
#include "sim_world.h"

struct sim_result {
    uint64_t hash;   /* of all runs */
    uint64_t events; /* of all runs */
    uint32_t runs;
    uint32_t commits; /* rounds */
    uint32_t aborts;
    uint32_t recorded;   /* checkpoints with records in flight, */
    uint32_t overtook;   /* that some tasks cut early for, */
    uint32_t replayed;   /* and runs that began with such a one */
    uint32_t restored;   /* runs that began with a checkpoint */
    uint32_t saved;      /* savepoints */
    uint32_t troubles;   /* how many were drawn, dropped ones included */
    uint32_t conditions; /* bit set: those it had */
    uint32_t faults_hit[SIM_FAULTS];
    uint32_t drawn[SIM_TROUBLES]; /* enum sim_fault of each */
    struct sim_network_counts network;
    uint64_t jumps, pauses; /* of clocks; of actors */
    uint64_t mapped;        /* bytes of state that left memory */
    uint64_t stuck;         /* runs that stood still after a loss */
    int64_t virtual_ns;
    uint64_t records;     /* a source */
    uint64_t first_calls; /* file calls of the first run */
    uint64_t first_takes; /* allocations of the first run */
    uint64_t first_steps; /* of its actors */
    char failure[500];    /* "": all is well */
};

/* The whole life. True: all is well. */
bool sim_job_live(const struct sim_plan *plan, struct sim_result *result);
/* With the plan's bug awake. */
bool sim_job_live_planted(const struct sim_plan *plan, struct sim_result *result);
/* That twice, the second time with other bytes in memory: it is to be no other life. */
bool sim_job_live_twice(const struct sim_plan *plan, struct sim_result *result);
/* What `one` had, to a total. */
void sim_result_add(struct sim_result *total, const struct sim_result *one);
/* The job, its troubles and what came of each run, on stderr. */
void sim_job_verbose(bool verbose);

#endif
