/* SPDX-License-Identifier: Apache-2.0
 *
 * suspects: the records that operators have failed at, and which of them is poison: a record whose
 * operator fails each time it is given it. Pure.
 *
 * A record is known by its operator's node and subtask, its position there, and its fingerprint.
 * What a failure tells of it may be less:
 *
 *   exact   count is 1: position and fingerprint are of this record
 *   wide    count is more: it is one of so many from the position on; the next start is a careful
 *           one, after which it is exact
 *
 *   S1  Failures at one position with one fingerprint are of one record, whatever lay between.
 *   S2  A wide failure and one that falls into it are taken for the same record; the exact one
 *       says which. (But for poison that is left out: it was not there.)
 *   S3  Where several channels meet, a record may come at another position after a restart. One
 *       fingerprint at another position is taken for the same record only when no checkpoint was
 *       committed in between. (Otherwise an operator that fails now and then, over weeks, at
 *       records that all look alike would see them all called poison.)
 *   S4  Only a record that is known exactly is called poison, after `poison_after` failures.
 *   S5  A poisoned record stays so, until the table is full and it is the one longest not heard of.
 */
#ifndef SUSPECTS_H
#define SUSPECTS_H

#include "weir.h"

enum { SUSPECTS_MOST = 32 };

struct suspect {
    char node[72];
    uint32_t subtask;
    bool exact;           /* position and fingerprint are its own */
    bool wide;            /* a failure of it was: S2 */
    bool moved;           /* S3: it has failed at several positions */
    bool poisoned;        /* S4 */
    uint32_t failures;    /* of it, in a row */
    uint64_t position;    /* where it failed last */
    uint64_t count;       /* or at one of so many from there on */
    uint64_t fingerprint; /* when exact */
    uint64_t commits;     /* checkpoints committed when it last failed exactly */
    uint64_t turn;        /* the failure it was last heard of in */
    char cause[200];      /* of the last failure */
    unsigned input;       /* the rest is for people, and of the last exact failure */
    char doing[24];
    char preview[200];
};

struct suspects {
    uint32_t poison_after;
    bool left_out; /* poison is not given to operators any more */
    uint32_t used;
    uint64_t turn; /* failures noted */
    struct suspect list[SUSPECTS_MOST];
};

struct suspects_answer {
    const struct suspect *suspect; /* NULL: it was not at a record */
    uint32_t failures;             /* of this record in a row; 0: it is not known exactly */
    bool named; /* with this failure it is known as poison, or as poison wherever it comes */
};

/* `left_out`: poison is not given to its operator from the next start on. */
void suspects_init(struct suspects *suspects, uint32_t poison_after, bool left_out);
/* An operator has failed. `commits`: checkpoints committed so far, by all starts together. */
struct suspects_answer suspects_note(struct suspects *suspects, const struct weir_failure *failure,
                                     const char *cause, uint64_t commits);
/* Whether the next start should be a careful one: the last failure's record is not known exactly,
 * or would not be without. */
bool suspects_careful(const struct suspects *suspects);
/* As weir_job_options wants it; *poison borrows from *suspect. */
void suspects_describe(const struct suspect *suspect, struct weir_poison *poison);
/* The record of an exact suspect, as an operator that failed at it; borrows from *suspect. */
void suspects_record(const struct suspect *suspect, struct weir_failure *record);
/* All that is poisoned; returns how many. */
size_t suspects_poison(const struct suspects *suspects, struct weir_poison poison[SUSPECTS_MOST]);

#endif
