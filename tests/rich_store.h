/* SPDX-License-Identifier: Apache-2.0
 *
 * rich_store: a small store with one of everything in it, made once by a simulated job, and kept in
 * memory; for tests that damage it, put it back, and see what whoever reads it makes of it.
 *
 *   numbers -- BY_KEY --> work (1, 2 or more subtasks) -- SPREAD --> sink
 *
 * `work` has values, a map, a list, values that expire, timers of keys and of its own, and an item;
 * `sink` publishes in two phases. Of the three checkpoints in the store the newest has records in
 * flight, handles that are not confirmed, and state that older rounds wrote; a savepoint lies
 * beside it. A large store has values beyond one blob besides, so that there are lists.
 *
 * All is on the simulated disk, and one thread's.
 */
#ifndef RICH_STORE_H
#define RICH_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir.h"

#define RICH_STORE "/store"
#define RICH_SAVED "/saved" /* the savepoint */
#define RICH_FILES 32u      /* at most */
#define RICH_RECORDS 240u   /* that the job has in all */
#define RICH_KEYS 12u

struct rich_file {
    char path[96];
    unsigned char *bytes;
    size_t size;
};

struct rich {
    struct rich_file files[RICH_FILES]; /* in the order of their paths */
    uint32_t file_count;
    uint64_t newest; /* id of the newest checkpoint */
    bool large;
    struct rich_published *at_rest, *at_savepoint; /* what had been published by then */
};

/* Makes it, and wipes the disk. Aborts when it can't. */
void rich_make(struct rich *rich, bool large);
void rich_free(struct rich *rich);
/* Wipes the disk, and puts the store and the savepoint there as they are in `files`. */
void rich_put_back(const struct rich *rich);

/* What is another in the program that goes on. */
enum rich_change {
    RICH_AS_IT_WAS,
    RICH_WORK_RENAMED,
    RICH_SINK_RENAMED,
    RICH_EDGE_RENAMED, /* the output of `work` */
    RICH_STATE_RENAMED,
    RICH_NO_TIMER,     /* `work` has no timer callback */
    RICH_NO_KEY_TIMER, /* nor for those of keys */
    RICH_NO_LOAD,
    RICH_NO_COMMIT, /* the sink publishes nothing */
    RICH_CHANGES
};

/* A job's start on what lies on the disk, to its end. */
struct rich_start {
    enum rich_change change;
    bool may_drop;                  /* what has no place */
    const struct weir_state *newer; /* in the place of work's state of that name; NULL: none */
    bool from_savepoint;            /* on a new store */
    uint32_t parallelism;           /* of `work`; 0: what it was */
    const struct weir_allocator *allocator;
};
struct rich_end {
    enum weir_result result; /* WEIR_OK: the job has ended; WEIR_TIMEOUT: it does not, and was
                              * stopped; else what it failed for */
    struct weir_error error;
    bool exact; /* every record was published once, with the count that it should have */
    uint32_t missing;
    uint64_t left; /* behind, of what sim_end counts */
};
void rich_go_on(const struct rich *rich, const struct rich_start *start, struct rich_end *end);

#endif
