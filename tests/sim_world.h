/* SPDX-License-Identifier: Apache-2.0
 *
 * sim_world: what lies outside a simulated job and outlives its runs: the other system that a
 * two-phase sink publishes to, the store on the simulated disk as an observer sees it, and the
 * rules that must hold at every moment:
 *
 *   W1  a transaction is published only when a durable checkpoint covers it.
 *   W2  ids of checkpoints rise, over restarts too, and are never used twice.
 *   W3  a manifest, or a published file, never changes once it is visible.
 *   W4  a checkpoint that was told is never lost: the next run starts from it or a later one.
 *   W5  no value is published more often than the oracle says; at the end exactly as often.
 *   W6  epochs rise.
 *   W7  every checkpoint in the store can be read, down to the last record in flight.
 *   W8  no record has more dead letters than the oracle says; at the end exactly as many.
 *   W9  what an operator has made durable in its folder of the store is there at the next start.
 *   W10 no manifest of an older run appears once a newer one has opened the store.
 *   W11 records in flight are in a checkpoint only where they may be: on feedback edges, and
 *       besides in one that was told to overtake; never on BROADCAST edges.
 *   W12 a savepoint that was told is there, whole, also after a power cut.
 *
 * The first breach is kept as text; the caller looks at it between runs.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_STORE "/store"
#define SIM_OUTPUT "/out" /* of line sinks: files part-... */
#define SIM_LETTERS "/letters"

#define SIM_SAVED 16 /* savepoints a run */

struct sim_values {
    uint64_t *list;
    size_t count, room;
};

void sim_values_add(struct sim_values *values, uint64_t value);
void sim_values_clear(struct sim_values *values);

struct sim_transaction {
    uint64_t prepared; /* id of the checkpoint */
    bool published;
    struct sim_values values;
};

struct sim_seen { /* a file that is visible */
    char name[64];
    uint64_t hash;
};

struct sim_world {
    struct sim_values expected;  /* sorted */
    struct sim_values published; /* through transactions */
    struct sim_values dead;      /* expected as letters: fingerprints, sorted */
    struct sim_transaction *transactions;
    size_t transaction_count;
    struct sim_seen *seen;
    size_t seen_count;
    uint64_t committed;      /* newest id told, by any run */
    uint64_t prepared;       /* highest id a sink was asked to prepare, by any run */
    uint64_t prepared_floor; /* the same, by earlier runs */
    uint32_t epoch, epoch_floor;
    bool kept;                 /* a file in a node's folder is durable */
    char saved[SIM_SAVED][32]; /* savepoints of this run */
    uint32_t saved_count;
    const void *damaged; /* the file that is, in this run: W3 does not hold for it; NULL: none */
    bool disk_broken; /* a sync of a folder or of LOCK failed: what it answers is worth nothing */
    bool disk_lied;   /* the same, at any time: a power cut ends the lie, and takes what it hid */
    char breach[400]; /* "": all is well */
};

void world_begin(struct sim_world *world); /* before each run */
void world_end(struct sim_world *world);   /* after each run, the disk at rest: W3 W5 W7 W8 W12 */
void world_free(struct sim_world *world);
void world_breach(struct sim_world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Whenever something may have become visible; world_told and world_end do it themselves: W3 W10 */
void world_look(struct sim_world *world);

/* What operators and hooks report. */
void world_opened(struct sim_world *world, uint32_t epoch);
/* Was the file there, in the node's folder? */
void world_kept(struct sim_world *world, bool there);
void world_started(struct sim_world *world, uint64_t restored_from);
void world_told(struct sim_world *world, uint64_t id);
void world_saved(struct sim_world *world, const char *path);
/* A new transaction of these values, which move into it; its number. */
uint64_t world_prepare(struct sim_world *world, uint64_t id, struct sim_values *values);
void world_publish(struct sim_world *world, uint64_t transaction);
/* A sync of a folder or of LOCK has failed: Linux would stop the file system, or lie from then on,
 * and no program can do anything about it. */
bool world_disk_lies(void);
/* Everything expected was published: the job has ended. */
void world_is_exact(struct sim_world *world);

#endif
