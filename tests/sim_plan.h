/* SPDX-License-Identifier: Apache-2.0
 *
 * sim_plan: what a simulated life is to be: its seed, and what may go wrong in it. *Troubles* are
 * drawn one a run; *conditions* are the same in all runs of a life. Each trouble and each run has a
 * stream of its own, so that leaving one out changes no other: that is what lets a failing life be
 * made smaller.
 *
 * A plan as text, on a command line or in sim/seeds:
 *
 *   SEED [--faults LIST] [--conditions LIST] [--records N] [--drop LIST] [--plant NAME]
 *
 *   --faults kill,power     what may be drawn; none: nothing
 *   --conditions delay,slow the same of conditions
 *   --records 40            at most so many a source
 *   --drop 0,2              these troubles, counted from 0, are left out
 *   --plant NAME            with this bug awake
 */
#ifndef SIM_PLAN_H
#define SIM_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport.h"

enum sim_fault {
    SIM_FAULT_NONE,
    SIM_FAULT_KILL,     /* the process dies at the k-th file call, or where it is aimed */
    SIM_FAULT_POWER,    /* the same, and the power is cut: what was not synced is perhaps lost */
    SIM_FAULT_DISK,     /* the k-th file call fails, or the k-th sync of a file; with `harder`
                           the power is cut 8 * `after` calls later */
    SIM_FAULT_FULL,     /* `k` bytes are left on the disk for a while */
    SIM_FAULT_MEMORY,   /* the k-th allocation fails; with `harder` a hundred of them */
    SIM_FAULT_STOP,     /* a stop after k microseconds: suspend, or now with `harder` */
    SIM_FAULT_SINK,     /* the k-th commit of a sink fails; with `harder` after it took effect */
    SIM_FAULT_STEP,     /* the process dies at the k-th step of its actors, or where it is aimed */
    SIM_FAULT_OPERATOR, /* the k-th callback, or k-th one of its kind, fails; with `harder` the
                           process dies in it */
    SIM_FAULT_LOSE,     /* the k-th item of the channels is lost */
    SIM_FAULT_CUT,      /* a connection breaks when the k-th item was sent */
    SIM_FAULT_CLOCK,    /* one step in k the wall clock jumps */
    SIM_FAULT_PAUSE,    /* before the k-th step one actor stops for a while; with `harder` all do */
    SIM_FAULT_DAMAGE,   /* the newest checkpoint is damaged while the run lasts: k says where; with
                           `harder` two blobs are swapped */
    SIM_FAULTS,
};

/* What one run may have and another not; all of it is to be borne without a failure. */
enum sim_condition {
    SIM_DELAY,      /* messages take time */
    SIM_DUPLICATES, /* items come twice */
    SIM_REORDER,    /* items overtake each other, within the credit window */
    SIM_CREDITS,    /* credits come twice */
    SIM_SLOW,       /* actors have a pace of their own */
    SIM_SHORT,      /* reads and writes do less than asked */
    SIM_REFUSE,     /* operators refuse to save now and then, so that rounds are aborted */
    SIM_TIGHT,      /* state may have hardly any memory, and moves to the scratch folder */
    SIM_RESCALE,    /* each run has another parallelism, of the nodes that can have another */
    SIM_CONDITIONS,
};

#define SIM_ALL_FAULTS ((1u << SIM_FAULTS) - 2)
#define SIM_ALL_CONDITIONS ((1u << SIM_CONDITIONS) - 1)

enum sim_aim {
    SIM_AIM_NONE,
    SIM_AIM_RENAME,
    SIM_AIM_COMMIT,
    SIM_AIM_RETAIN,
    SIM_FILE_AIMS, /* those above are file calls */
    SIM_AIM_MESSAGE = SIM_FILE_AIMS,
    SIM_AIM_SYNC,
};

/* Callbacks of operators. */
enum sim_call {
    SIM_CALL_ANY,
    SIM_CALL_OPEN,
    SIM_CALL_LOAD,
    SIM_CALL_POLL,
    SIM_CALL_PROCESS,
    SIM_CALL_TIMER,
    SIM_CALL_WAKE,
    SIM_CALL_FINISH,
    SIM_CALL_SAVE,
    SIM_CALL_PREPARE,
    SIM_CALLS,
};

struct sim_trouble {
    enum sim_fault fault;
    uint64_t k;
    bool harder;
    enum sim_aim aim;       /* `after` places behind the k-th such one */
    enum message_kind kind; /* of SIM_AIM_MESSAGE */
    uint64_t after;
    enum sim_call call; /* of SIM_FAULT_OPERATOR */
    int os_error;       /* of SIM_FAULT_DISK */
    int64_t pause_ns;   /* of SIM_FAULT_PAUSE */
};

#define SIM_TROUBLES 8

struct sim_plan {
    uint64_t seed;
    uint32_t allowed;    /* bit set of enum sim_fault: what may be drawn */
    uint32_t conditions; /* bit set of enum sim_condition: the same */
    uint64_t records;    /* a source has at most so many; 0: no limit */
    uint32_t dropped;    /* bit set of troubles */
    char plant[64];      /* "": none */

    bool small;             /* a fixed small job, whatever the seed */
    bool hasty;             /* what does not end soon is taken to never end: cheaper */
    bool other_bytes;       /* new and freed memory hold other bytes: must change nothing */
    bool forced;            /* these troubles and these conditions, none drawn */
    uint32_t trouble_count; /* with `forced` */
    struct sim_trouble troubles[SIM_TROUBLES];
};

/* What is drawn for a life: each has its own stream, and each of several too. */
enum sim_draws {
    SIM_DRAW_FAULTS = 1,
    SIM_DRAW_CONDITIONS,
    SIM_DRAW_COUNT,
    SIM_DRAW_TROUBLE,
    SIM_DRAW_GRAPH,
    SIM_DRAW_OPTIONS,
    SIM_DRAW_RUN,
    SIM_DRAW_CRASH,
    SIM_DRAW_END,
    SIM_DRAW_NEXT_OPTIONS,
    SIM_DRAW_SAVEPOINTS,
    SIM_DRAW_DAMAGE,
    SIM_DRAW_RESCALE,
};

/* All that may be drawn. */
struct sim_plan sim_plan_of(uint64_t seed);
uint64_t sim_plan_stream(const struct sim_plan *plan, enum sim_draws what, uint64_t number);
/* Swarm: which faults this life has, about half of those allowed. A run with all of them would hide
 * more than it finds. */
uint32_t sim_plan_faults(const struct sim_plan *plan);
/* The same of conditions. */
uint32_t sim_plan_conditions(const struct sim_plan *plan);
/* How many troubles there are; the number-th, of one of these faults. */
uint32_t sim_plan_trouble_count(const struct sim_plan *plan);
struct sim_trouble sim_plan_trouble(const struct sim_plan *plan, uint32_t number, uint32_t faults);

const char *sim_fault_name(enum sim_fault fault);
const char *sim_condition_name(enum sim_condition condition);
/* In one line, without its end. */
void sim_trouble_write(const struct sim_trouble *trouble, char *text, size_t size);

#define SIM_PLAN_TEXT 400

/* What differs from sim_plan_of, as text. */
void sim_plan_write(const struct sim_plan *plan, char text[SIM_PLAN_TEXT]);
/* On top of what the plan says already; a number alone is the seed. False: `why` says which word is
 * wrong. */
bool sim_plan_read(struct sim_plan *plan, const char *text, char why[SIM_PLAN_TEXT]);

#endif
