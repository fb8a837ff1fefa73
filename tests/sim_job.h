/* SPDX-License-Identifier: Apache-2.0
 *
 * sim_job: a whole job drawn from a seed, and its life: runs that are killed, cut from power,
 * refused memory or served by a bad disk, each followed by a restart, and at last a run that must
 * end. What must hold meanwhile is in sim_world.h.
 */
#ifndef SIM_JOB_H
#define SIM_JOB_H

#include "sim_world.h"

enum sim_fault {
    SIM_FAULT_NONE,
    SIM_FAULT_KILL,   /* the process dies at the k-th file call, or where it is aimed */
    SIM_FAULT_POWER,  /* the same, and the power is cut: what was not synced is perhaps lost */
    SIM_FAULT_DISK,   /* the k-th file call fails, once */
    SIM_FAULT_FULL,   /* `k` bytes are left on the disk for a while */
    SIM_FAULT_MEMORY, /* the k-th allocation fails; with `harder` a hundred of them */
    SIM_FAULT_STOP,   /* a stop after k microseconds: suspend, or now with `harder` */
    SIM_FAULT_SINK,   /* the k-th commit of a sink fails; with `harder` after it took effect */
    SIM_FAULTS,
};

enum sim_aim { SIM_AIM_NONE, SIM_AIM_RENAME, SIM_AIM_COMMIT, SIM_AIM_RETAIN, SIM_AIMS };

struct sim_trouble {
    enum sim_fault fault;
    uint64_t k;
    bool harder;
    enum sim_aim aim; /* at the call `after` places behind the k-th such one */
    uint64_t after;
    int os_error; /* of SIM_FAULT_DISK */
};

#define SIM_TROUBLES 5

struct sim_plan {
    uint64_t seed;
    bool small;             /* a fixed small job, whatever the seed */
    uint32_t allowed;       /* bit set of enum sim_fault: what may be drawn */
    uint32_t trouble_count; /* with `forced` */
    bool other_bytes;       /* new and freed memory hold other bytes: must change nothing */
    bool forced;            /* these troubles, none drawn */
    struct sim_trouble troubles[SIM_TROUBLES];
};

#define SIM_ALL_FAULTS ((1u << SIM_FAULTS) - 2)

struct sim_result {
    uint64_t hash;   /* of all runs */
    uint64_t events; /* of all runs */
    uint32_t runs;
    uint32_t commits; /* rounds */
    uint32_t aborts;
    uint32_t faults_hit[SIM_FAULTS];
    uint64_t first_calls; /* file calls of the first run */
    uint64_t first_takes; /* allocations of the first run */
    bool duplicated;      /* the network did */
    char failure[500];    /* "": all is well */
};

/* The whole life. True: all is well. */
bool sim_job_live(const struct sim_plan *plan, struct sim_result *result);
/* The job, its troubles and what came of each run, on stderr. */
void sim_job_verbose(bool verbose);

#endif
