/* SPDX-License-Identifier: Apache-2.0
 *
 * store_clean: what a store holds that is wrong or that nobody needs, found, and taken away when
 * asked for, without a run. In this order, so that a death leaves leftovers and no more:
 *
 *   1  manifests of checkpoints that are to go, each with a sync of its folder
 *   2  folders without a manifest, but for that of the highest id (I3 of store.h)
 *   3  checkpoints/ is synced: nothing comes back that names a container
 *   4  containers that nothing names
 *
 * G1  a container that any checkpoint in the store names stays; while there is a manifest that
 *     can't be read, which may name anything, all of them stay.
 * G2  what is removed is removed under the lock, with an epoch above all others: no run is alive,
 *     and an older one that wakes may do nothing any more.
 */
#ifndef STORE_CLEAN_H
#define STORE_CLEAN_H

#include "store.h"

enum store_finding_kind {
    STORE_DAMAGED, /* a checkpoint whose manifest is not sound, or names a file that is missing */
    STORE_EXCESS,  /* a checkpoint that is to go */
    STORE_PARTIAL, /* the folder of a round that came to nothing */
    STORE_UNNAMED, /* a container that nothing names */
    STORE_FOREIGN, /* what is not weir's: stays */
    STORE_LEFT,    /* what could not be removed, or may not be */
};

struct store_finding {
    enum store_finding_kind kind;
    uint64_t id;   /* of the checkpoint or round; 0: of none */
    char file[96]; /* within the store; "": none */
    uint64_t bytes;
    const char *text; /* why; "": that is clear */
    bool removed;
};

struct store_cleaning {
    uint64_t keep; /* of the readable checkpoints, the newest; 0: all */
    const uint64_t *drop;
    size_t drop_count; /* these go, readable or not; the same id may come twice */
    bool newest_too;   /* of `drop`: it may be the newest */
    bool remove;       /* else it is only told what would go */
    void (*found)(void *context, const struct store_finding *finding);
    void *context;
};

/* `store` is a view, or with `remove` what store_open has answered. Of a view whose store a run has
 * in use, what may be that run's is left out. WEIR_NOT_FOUND: an id of `drop` is no checkpoint;
 * WEIR_REFUSED: it is the newest; nothing was removed then. WEIR_IO, WEIR_NO_MEMORY. */
enum weir_result store_clean(struct store *store, const struct store_cleaning *cleaning,
                             struct weir_error *error) WEIR_MUST_USE;

/* Opens an existing store, as a run does, to clean it: takes the lock and raises the epoch. Never
 * makes one. WEIR_LOCKED names who has it; WEIR_REFUSED: a savepoint, which is never changed, or
 * what store_open refuses. */
enum weir_result store_open_to_clean(const char *path, const struct weir_allocator *allocator,
                                     struct store **store, struct weir_error *error) WEIR_MUST_USE;

#endif
