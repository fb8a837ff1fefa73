/* SPDX-License-Identifier: Apache-2.0
 *
 * store_inside: what the store's own files share. store.c opens and closes, store_directory.c finds
 * and makes the directory, store_read.c reads and recovers, store_round.c writes rounds,
 * store_segment.c segments of state in them, store_hold.c keeps containers that are still in use,
 * store_retain.c removes what is no longer needed, store_clean.c does so without a run,
 * store_save.c copies one checkpoint, store_failed.c notes why rounds failed.
 */
#ifndef STORE_INSIDE_H
#define STORE_INSIDE_H

#include <stdatomic.h>

#include "disk.h"
#include "lock.h"
#include "name.h"
#include "store.h"

/* One container file. */
struct store_segment {
    uint32_t epoch;
    uint64_t number;
};

/* What one committed checkpoint names. */
struct store_kept {
    uint64_t id;
    struct store_segment *segments; /* ascending, each once */
    size_t count, capacity;
    bool unreadable; /* its manifest is damaged: it may name anything */
    bool stuck;      /* removing it failed: left alone until the next start */
};

/* I7: a container that somebody still uses. */
struct store_held {
    struct store_segment segment;
    uint64_t count; /* > 0 */
    uint64_t live;  /* bytes that those who hold it need */
    uint64_t size;  /* bytes of the file */
};

/* One that a round writes, or has written. */
struct store_container {
    uint64_t number, bytes;
};

/* I5: what one round has, and nobody else. */
struct store_open_round {
    uint64_t id;
    bool claimed;                       /* durably (I3) */
    struct store_container *containers; /* in the order written */
    size_t count, capacity;
    int file;        /* the last of them while it is written, -1: none */
    uint64_t offset; /* bytes written into it */
    bool failed;     /* a write or a sync failed: nothing more is written for it (I1) */
    bool synced;
};

struct store {
    /* set at open */
    const struct weir_allocator *allocator;
    void (*warn)(void *context, const char *text);
    void *warn_context;
    void (*read)(void *context, uint64_t bytes); /* store_watch */
    void *read_context;
    char *path; /* as the user wrote it: for messages */
    char *base; /* its name as seen from `parent` */
    int parent; /* directory that holds the store, or DISK_CWD */
    int root, data, checkpoints;
    int lock;       /* -1 for a view */
    bool savepoint; /* a view of one */
    struct lock_record record;
    uint32_t
        process; /* that opened it; a forked child has a copy of all this, and may do nothing */
    uint64_t root_device, root_inode, lock_inode;
    bool doubtful; /* a sync of the directory has failed: no later one is believed (I1) */

    /* the run's */
    uint64_t highest; /* id that is used up: found, or tried by this run */
    uint64_t claimed; /* the highest that was claimed: its folder stays (I3) */
    uint64_t next_number;
    bool stopped; /* another run is here, or the outcome is unknown: write and remove nothing */
    struct store_open_round rounds[STORE_ROUNDS]; /* ascending by id */
    uint32_t round_count;
    uint64_t empty_id; /* folder without manifest, kept because it was the highest (I3); 0: none */
    struct blob_buffer sealed, stored, raw;
    _Atomic uint64_t strokes; /* written by the run's thread only, read by any */

    /* what may not be removed: held (I7), and named (I2), which is filled when first asked for */
    struct store_held *held; /* ascending by container */
    size_t held_count, held_capacity;
    uint64_t held_live, held_size; /* of all of them */
    struct store_kept *kept;       /* ascending by id */
    size_t kept_count, kept_capacity;
    bool kept_loaded;
};

/* One more step of work has come back. */
static inline void store_stroke(struct store *store)
{
    uint64_t strokes = atomic_load_explicit(&store->strokes, memory_order_relaxed);
    atomic_store_explicit(&store->strokes, strokes + 1, memory_order_relaxed);
}

void store_warn(const struct store *store, const char *format, ...) WEIR_PRINTF(2, 3);

/* "2026-11-22 17:39:29 UTC" of nanoseconds since 1970. */
void store_print_time(int64_t since_1970_ns, char text[64]);

/* Not open yet. NULL: no memory, and says so. */
struct store *store_new(const struct weir_allocator *allocator, struct weir_error *error);

/* --- store_directory.c, in the order of use ------------------------------------------------- */

/* Trouble with the store as a whole, said so that it can be put right. */
enum weir_result store_unusable(const struct store *store, int failure, const char *what,
                                struct weir_error *error);
/* Sets path, base and parent: the fence looks the store up from its parent. */
enum weir_result store_open_parent(struct store *store, const char *path,
                                   struct weir_error *error) WEIR_MUST_USE;
/* Looks at what holds it, what holds that, and so on, until one look is not WEIR_OK. `up` is the
 * way there from the parent: ".", "./..". */
typedef enum weir_result store_look(const void *context, const struct store *store, const char *up,
                                    const struct disk_status *status, struct weir_error *error);
enum weir_result store_walk_up(const struct store *store, store_look *look, const void *context,
                               struct weir_error *error) WEIR_MUST_USE;
/* A place inside a store or a savepoint is none for another. */
enum weir_result store_refuse_nested(const struct store *store,
                                     struct weir_error *error) WEIR_MUST_USE;
/* The same, when the store would be made. */
enum weir_result store_check_place(const struct store *store,
                                   struct weir_error *error) WEIR_MUST_USE;
/* Of a store that had to be there. */
enum weir_result store_refuse_gone(const struct store *store,
                                   struct weir_error *error) WEIR_MUST_USE;
/* Opens the directory. `own`: it must be ours alone; `make`: makes it when it is missing. */
enum weir_result store_open_root(struct store *store, bool own, bool make,
                                 struct weir_error *error) WEIR_MUST_USE;
int store_sync_root(struct store *store); /* 0 or -errno */
enum weir_result store_check_owner(const struct store *store, const char *name,
                                   const struct disk_status *status,
                                   struct weir_error *error) WEIR_MUST_USE;

/* What the directory holds. */
struct store_census {
    const struct store *store;
    bool lock, folders, savepoint;
    bool report;
    char foreign[64]; /* a name that is not ours, "" when there is none */
};
/* With `report`, what is not ours goes to warn. */
enum weir_result store_take_census(const struct store *store, bool report,
                                   struct store_census *census,
                                   struct weir_error *error) WEIR_MUST_USE;
/* `store` has a SAVEPOINT: answers `code` when it is being written just now, or may be. */
enum weir_result store_refuse_saving(const struct store *store, enum weir_result code,
                                     struct weir_error *error) WEIR_MUST_USE;
enum weir_result store_refuse_foreign(const struct store *store, const struct store_census *census,
                                      struct weir_error *error) WEIR_MUST_USE;
/* Makes what is inside, and its names durable. */
enum weir_result store_make_folders(struct store *store, struct weir_error *error) WEIR_MUST_USE;
enum weir_result store_open_folders(struct store *store, bool owned,
                                    struct weir_error *error) WEIR_MUST_USE;

/* --- lists, rounds, leftovers ---------------------------------------------------------------- */

/* Room for one more element of a growing array; false: no memory. */
bool store_grow(const struct store *store, void **array, size_t count, size_t *capacity,
                size_t element);

/* The names in checkpoints/ or data/ that are ours. Released with memory_release. */
struct store_ids {
    uint64_t *ids;
    size_t count, capacity;
};
struct store_segments {
    struct store_segment *segments;
    size_t count, capacity;
};
/* With `report`, what is not ours goes to warn. Ids come sorted. */
enum weir_result store_list_folders(const struct store *store, bool report, struct store_ids *list,
                                    struct weir_error *error) WEIR_MUST_USE;
enum weir_result store_list_segments(const struct store *store, bool report,
                                     struct store_segments *list,
                                     struct weir_error *error) WEIR_MUST_USE;
/* Does checkpoints/<id> have anything called MANIFEST.json? */
enum weir_result store_has_manifest(const struct store *store, uint64_t id, bool *has,
                                    struct weir_error *error) WEIR_MUST_USE;

/* Opens checkpoints/<id>; >= 0 or -errno. */
int store_open_folder(const struct store *store, uint64_t id);
/* Unlinks a half-written manifest and removes the folder; reports through warn. True: gone. */
bool store_remove_folder(const struct store *store, uint64_t id);
/* Durably takes the unfinished manifests of earlier runs away. */
enum weir_result store_void_unfinished(struct store *store, struct weir_error *error);
bool store_remove_segment(const struct store *store, struct store_segment segment);

/* True when the manifest is durably gone; reports through warn. */
bool store_remove_manifest(const struct store *store, uint64_t id);

/* NULL when that round is not open. */
struct store_open_round *store_find_round(struct store *store, uint64_t id);
/* Did this round write that container? */
bool store_round_has(const struct store *store, const struct store_open_round *round,
                     struct store_segment segment);
/* Closes what is open of all rounds and forgets them; nothing is removed. */
void store_leave_rounds(struct store *store);

/* Appends a blob that is sealed already to an open round's containers. */
enum weir_result store_put(struct store *store, uint64_t id, const struct blob *blob,
                           struct weir_bytes sealed, struct manifest_blob *place,
                           struct weir_error *error) WEIR_MUST_USE;
/* What follows goes to a new container. */
enum weir_result store_end_container(struct store *store, uint64_t id,
                                     struct weir_error *error) WEIR_MUST_USE;
/* Reads one blob into store->stored, as it is stored, and checks it. */
enum weir_result store_read_stored(struct store *store, const struct manifest *manifest,
                                   uint32_t task, const struct manifest_blob *place,
                                   struct weir_error *error) WEIR_MUST_USE;
/* WEIR_INVALID when the task has no such segment. */
enum weir_result store_check_state(const struct manifest *manifest, uint32_t task, uint32_t index,
                                   struct weir_error *error) WEIR_MUST_USE;
/* Says which blob an error is about; returns error->code. */
enum weir_result store_within_blob(const struct store *store, const struct manifest *manifest,
                                   uint32_t task, const struct manifest_blob *place,
                                   struct weir_error *error);

/* store_save.c and store_segment.c: blobs of a task, as they are stored, into another store. */
struct store_copy {
    struct store *from, *to;
    const struct manifest *manifest;
    uint32_t task;
};
/* *place becomes that in the copy. */
enum weir_result store_copy_blob(const struct store_copy *copy, struct manifest_blob *place,
                                 struct weir_error *error) WEIR_MUST_USE;
/* Segment `index`: *to says where it is, and then where its copy is. */
enum weir_result store_copy_segment(const struct store_copy *copy, uint32_t index,
                                    struct manifest_segment *to,
                                    struct weir_error *error) WEIR_MUST_USE;

/* WEIR_REFUSED when this run no longer owns the store; WEIR_IO when that can't be found out. */
enum weir_result store_fence(struct store *store, struct weir_error *error) WEIR_MUST_USE;

/* Remembers what a committed manifest names; on failure it is read when needed. */
void store_keep(struct store *store, const struct manifest *manifest);
void store_forget_kept(struct store *store);
/* That one is as good as not there: kept[index]. */
void store_forget_one(struct store *store, size_t index);
enum weir_result store_load_kept(struct store *store, struct weir_error *error) WEIR_MUST_USE;

/* By container, for qsort and bsearch over whatever begins with a store_segment. */
int store_compare_segments(const void *a, const void *b);
/* Does a committed checkpoint name it? A damaged one names nothing here. */
enum weir_result store_find_name(struct store *store, struct store_segment segment, bool *named,
                                 struct weir_error *error) WEIR_MUST_USE;
/* The same of what was loaded. */
bool store_is_named(const struct store *store, struct store_segment segment);
bool store_is_held(const struct store *store, struct store_segment segment);
/* May it be named, held, or of an open round? What can't be known counts as yes. What is named is
 * loaded before. */
bool store_is_needed(const struct store *store, struct store_segment segment);

#endif
