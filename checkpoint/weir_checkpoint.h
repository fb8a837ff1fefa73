/* SPDX-License-Identifier: Apache-2.0
 *
 * weir_checkpoint.h - look into a store, offline: which checkpoints it holds, whether they are
 * sound, and what the state of every operator was. Read it from top to bottom.
 *
 * WHAT IT PROMISES
 *   - It only reads, but for weir_store_copy and weir_store_clean: no lock, no new file, nothing
 *     removed. A running job does not notice; but the job's retention may remove a checkpoint while
 *     you read it, which then is WEIR_NOT_FOUND or WEIR_DAMAGED (a file is missing).
 *   - It trusts nothing it reads: every checksum, size and count is checked before it is used, and
 *     an error names the checkpoint, the file and the reason.
 *
 * THREADS AND OWNERSHIP
 *   A store and everything opened from it belong to one thread at a time. A checkpoint must be
 *   closed before its store, a cursor before its checkpoint. Texts handed out live as long as the
 *   checkpoint they came from. Structs that are filled carry their size:
 *     struct weir_checkpoint_task task = {WEIR_SIZED(struct weir_checkpoint_task)};
 *
 * EXAMPLE: all counts of a word count
 *     struct weir_store *store;
 *     struct weir_checkpoint *checkpoint;
 *     struct weir_cursor *cursor;
 *     struct weir_row row = {WEIR_SIZED(struct weir_row)};
 *     if (weir_store_open("store", NULL, &store, &error) ||
 *         weir_checkpoint_open(store, 0, &checkpoint, &error) ||
 *         weir_cursor_open(checkpoint, WEIR_ROWS_STATE, "count", "total", &cursor, &error))
 *         return fail(&error);
 *     while (weir_cursor_next(cursor, &row))
 *         print(row.key, row.value);
 *     if (weir_cursor_close(&cursor, &error))
 *         return fail(&error);
 */
#ifndef WEIR_CHECKPOINT_H
#define WEIR_CHECKPOINT_H

#include "weir_base.h"

#ifdef __cplusplus
extern "C" {
#endif

struct weir_store;
struct weir_checkpoint;
struct weir_cursor;

/* -------------------------------------------------------------------------------- a store -- */

/* `allocator` is borrowed until the store is closed; NULL: malloc. WEIR_NOT_FOUND: there is
 * nothing, or no store; WEIR_DAMAGED, WEIR_UNSUPPORTED, WEIR_IO, WEIR_NO_MEMORY. */
WEIR_API enum weir_result weir_store_open(const char *path, const struct weir_allocator *allocator,
                                          struct weir_store **store,
                                          struct weir_error *error) WEIR_MUST_USE;
/* *store becomes NULL. NULL is accepted. */
WEIR_API void weir_store_close(struct weir_store **store);

/* For work that takes long: `read` is told of each piece that is read, its bytes as they are
 * stored, on the thread that makes the call that reads. Pieces are about 1 MiB; those of a
 * checkpoint add up to its stored_bytes, but some are read more than once. NULL: nobody is told. */
WEIR_API void weir_store_watch(struct weir_store *store,
                               void (*read)(void *context, uint64_t bytes), void *context);

/* The store's 32 hex digits, as weir_store_id answers in a job; constant over runs, another for a
 * new store at the same path. Lives as long as *store. */
WEIR_API const char *weir_store_identity(const struct weir_store *store);

/* The newest run that had the store, as of now. */
struct weir_store_run {
    size_t size;      /* WEIR_SIZED(struct weir_store_run), set before the call */
    bool alive;       /* it still has it: the lock is held */
    bool savepoint;   /* the store is one: no run ever has it, and what follows is of the run that
                         wrote it */
    uint32_t epoch;   /* runs are counted; 0: there was none */
    uint32_t process; /* id of its process, on its machine */
    bool cleaning;    /* it is no run but a weir_store_clean, which counts as one; of a store that
                         an earlier weir has cleaned this is not known, and false */
};
/* Asks who holds the lock, and takes none. WEIR_NOT_FOUND: the store has gone; WEIR_DAMAGED,
 * WEIR_UNSUPPORTED, WEIR_IO. */
WEIR_API enum weir_result weir_store_get_run(struct weir_store *store, struct weir_store_run *run,
                                             struct weir_error *error) WEIR_MUST_USE;

/* Ids of the committed checkpoints, ascending; not all of them need be sound. *ids lives until the
 * next weir_store_list or the close. */
WEIR_API enum weir_result weir_store_list(struct weir_store *store, const uint64_t **ids,
                                          size_t *count, struct weir_error *error) WEIR_MUST_USE;

/* A round that came to nothing. */
struct weir_failed_round {
    size_t size;
    uint64_t id;
    uint32_t epoch;   /* of the run */
    int64_t ended_ns; /* when it was given up: wall clock, since 1970 */
    const char *text; /* why; lives until the next call or the close */
};
/* The last ones that the store keeps, 16 at most, oldest first: reads them when `index` is 0, and
 * answers false when there is no such index. A power cut may have taken some. A round that ended
 * with its process is not among them: it left nothing, or a folder (see weir_store_check). */
WEIR_API bool weir_store_get_failed(struct weir_store *store, uint32_t index,
                                    struct weir_failed_round *failed);

/* Reads and checks all that checkpoint `id` names, down to the last entry of state and the last
 * record in flight. WEIR_DAMAGED names the first thing that is wrong. */
WEIR_API enum weir_result weir_store_verify(struct weir_store *store, uint64_t id,
                                            struct weir_error *error) WEIR_MUST_USE;

/* The same for all of them, oldest first: `each` (may be NULL) is told about every one; error->code
 * is WEIR_OK for a sound one. Returns the first result that was not WEIR_OK, with its error. */
WEIR_API enum weir_result
weir_store_verify_all(struct weir_store *store,
                      void (*each)(void *context, uint64_t id, const struct weir_error *error),
                      void *context, struct weir_error *error) WEIR_MUST_USE;

/* --------------------------------------------------------------------------- a checkpoint -- */

/* Reads the manifest of checkpoint `id`; 0 is the newest. Parts are read when they are asked for.
 */
WEIR_API enum weir_result weir_checkpoint_open(struct weir_store *store, uint64_t id,
                                               struct weir_checkpoint **checkpoint,
                                               struct weir_error *error) WEIR_MUST_USE;
WEIR_API void weir_checkpoint_close(struct weir_checkpoint **checkpoint);

struct weir_checkpoint_info {
    size_t size; /* WEIR_SIZED(struct weir_checkpoint_info), set before the call */
    uint64_t id;
    uint32_t epoch;         /* of the run that took it */
    uint64_t restored_from; /* checkpoint that run had started from; 0: a first start */
    bool final;             /* all input had ended: nothing is left to run */
    int64_t triggered_ns;   /* wall clock, since 1970 */
    int64_t duration_ns;    /* trigger to durable parts */
    uint64_t stored_bytes;  /* in the store: parts, state, shared or not, and what was in flight */
    uint64_t raw_bytes;     /* the same, decompressed */
    uint32_t key_groups;
    uint32_t nodes, edges, tasks; /* how many there are */
    const char *job;
    const char *reason; /* "interval" "loop" "request" "savepoint" "stop" "final" */
    const char *mode;   /* "aligned" "unaligned" "adaptive" */
    bool overtaken;     /* tasks were told not to wait for markers any longer */
    int64_t sealed_ns;  /* trigger to the moment when the last task had cut and sent its markers */
    uint64_t channel_bytes; /* of records that lay at their readers, or arrived there */
    uint64_t outlet_bytes;  /* of records that waited at their writers */
    uint32_t last_task;     /* the one that sealed last; UINT32_MAX: not known */
    uint64_t older_bytes;   /* of stored_bytes: state that earlier checkpoints wrote */
};
WEIR_API void weir_checkpoint_describe(const struct weir_checkpoint *checkpoint,
                                       struct weir_checkpoint_info *info);

/* The graph it was taken of. These answer false when there is no such index. */
struct weir_checkpoint_node {
    size_t size;
    const char *name;
    const char *kind; /* of operator */
    uint32_t version; /* of the operator's save */
    uint32_t parallelism;
    uint32_t states; /* how many */
};
struct weir_checkpoint_state {
    size_t size;
    const char *name;
    const char *format; /* see FORMATS in weir.h; "" when not declared */
    uint32_t version;
    uint32_t value_size; /* bytes; 0: any size */
    const char *kind;    /* "value", "list", "map" or "timers": what its rows have, see weir_row */
    bool expires;        /* its values have a time to live */
    uint64_t stored_bytes, raw_bytes; /* of its log, over all subtasks, shared or not */
    uint32_t segments;                /* of these logs */
};
struct weir_checkpoint_edge {
    size_t size;
    uint32_t from, to; /* nodes */
    const char *output, *input;
    const char *routing; /* "forward" "spread" "by_key" "broadcast" */
    const char *key_format, *value_format;
    bool feedback; /* leads back to where its records come from */
};
/* What one subtask of one node saved. */
struct weir_checkpoint_task {
    size_t size;
    uint32_t node, subtask;
    bool ended;            /* it had sent the end of its stream */
    uint64_t handles;      /* staged output that was not confirmed yet */
    int64_t cut_ns;        /* how long the cut held the task, */
    int64_t cut_cpu_ns;    /* and how much processor time it took */
    const char *note;      /* its position, for people */
    uint64_t stored_bytes; /* in the store: its part, and its state, shared or not */
    uint64_t raw_bytes;
    uint32_t file_epoch; /* the part lies in STORE/data/<file_epoch>-<file_number>.seg */
    uint64_t file_number;
    uint64_t offset;  /* bytes, of the part's header */
    uint64_t letters; /* dead letters whose publication was not confirmed yet */
    /* What was in flight at this task; operators that are chained say it of their first. */
    uint64_t channel_bytes; /* came in before the markers, and was not yet read at the cut */
    uint64_t outlet_bytes;  /* waited to be sent, and was overtaken by the markers */
    bool overtook;          /* it cut before the last marker was reached */
    int64_t wait_ns;        /* the checkpoint's trigger to the cut */
    int64_t align_ns;       /* the first marker reached to the cut */
    int64_t record_ns;      /* the cut to the last marker's arrival */
    int64_t write_ns;       /* compressing and writing */
    /* The channel whose marker came last: an edge, and a subtask of the node it comes from.
     * UINT32_MAX: none. */
    uint32_t last_edge, last_from;
    uint64_t inflight_stored_bytes; /* in the store, besides stored_bytes */
};
WEIR_API bool weir_checkpoint_get_node(const struct weir_checkpoint *checkpoint, uint32_t index,
                                       struct weir_checkpoint_node *node);
WEIR_API bool weir_checkpoint_get_state(const struct weir_checkpoint *checkpoint, uint32_t node,
                                        uint32_t index, struct weir_checkpoint_state *state);
WEIR_API bool weir_checkpoint_get_edge(const struct weir_checkpoint *checkpoint, uint32_t index,
                                       struct weir_checkpoint_edge *edge);
WEIR_API bool weir_checkpoint_get_task(const struct weir_checkpoint *checkpoint, uint32_t index,
                                       struct weir_checkpoint_task *task);

/* ---------------------------------------------------------------------------- what it holds -- */

enum weir_rows {
    WEIR_ROWS_STATE,   /* the entries of one keyed state, over all subtasks */
    WEIR_ROWS_ITEMS,   /* the items of a node's operator state */
    WEIR_ROWS_HANDLES, /* staged output of a node that was not confirmed yet */
    /* Records on their way: sent, but not yet processed. Those of one channel - one subtask to
     * another, by one edge - come in the order sent. Those that lay at their readers come before
     * all that waited at their writers, so the later part of a channel may come much later. */
    WEIR_ROWS_INFLIGHT,
};

struct weir_row {
    size_t size;      /* WEIR_SIZED(struct weir_row), set before the first call */
    uint32_t subtask; /* INFLIGHT: the reader's */
    /* Views into the part: no copy; at any alignment; valid until the next call on the cursor. */
    struct weir_bytes key;   /* STATE, INFLIGHT */
    struct weir_bytes value; /* STATE, INFLIGHT: the value; ITEMS: the item; HANDLES: the handle */
    uint32_t kind;           /* ITEMS: how it is shared out, enum weir_item of weir.h */
    uint64_t id;             /* HANDLES: the checkpoint it was prepared for */
    uint32_t edge;           /* INFLIGHT */
    uint32_t from_subtask;   /* INFLIGHT: the writer's */
    int64_t time;            /* INFLIGHT: the event time; INT64_MIN: none */
    bool in_outlet;          /* INFLIGHT: it waited at its writer, and was overtaken */
    /* STATE of a map: the sub key. Of a list, `id` is the element's index. Of timers, `time`, `id`
     * (the tag) and `kind` (enum weir_timer of weir.h); no value. */
    struct weir_bytes sub;
};

/* `state` is the state's name for WEIR_ROWS_STATE, otherwise NULL. With WEIR_ROWS_INFLIGHT records
 * that are on their way to `node`; NULL: to whichever. WEIR_NOT_FOUND: no such node or state. One
 * part, or piece of what was in flight, is held in memory at a time, decompressed. */
WEIR_API enum weir_result weir_cursor_open(struct weir_checkpoint *checkpoint, enum weir_rows rows,
                                           const char *node, const char *state,
                                           struct weir_cursor **cursor,
                                           struct weir_error *error) WEIR_MUST_USE;
/* The next row, in the order saved. False at the end, and when something is wrong: the close
 * tells. */
WEIR_API bool weir_cursor_next(struct weir_cursor *cursor, struct weir_row *row);
/* WEIR_OK when all rows that were asked for could be read, else the first error. *cursor becomes
 * NULL in any case; NULL is accepted. */
WEIR_API enum weir_result weir_cursor_close(struct weir_cursor **cursor,
                                            struct weir_error *error) WEIR_MUST_USE;

/* The value of one key of a keyed state, expired or not. Reads of each segment of the state's log
 * that may have the key one blob, about 1 MiB, and what says where it is; and nothing of the rest.
 * `node` and `state` are names. *value lives until the next find or the close of the checkpoint.
 * WEIR_NOT_FOUND: no such node, state or key; WEIR_INVALID: the state holds lists, maps or timers.
 */
WEIR_API enum weir_result weir_checkpoint_find(struct weir_checkpoint *checkpoint, const char *node,
                                               const char *state, struct weir_bytes key,
                                               struct weir_bytes *value,
                                               struct weir_error *error) WEIR_MUST_USE;

/* --------------------------------------------------------------------------- what differs -- */

enum weir_change_kind {
    WEIR_CHANGE_ADDED,
    WEIR_CHANGE_REMOVED,
    WEIR_CHANGE_CHANGED, /* another value */
};

struct weir_change {
    size_t size; /* WEIR_SIZED(struct weir_change), set before the first call */
    enum weir_change_kind what;
    /* As in struct weir_row; views that are valid until the next call. */
    struct weir_bytes key, sub;
    uint64_t id;
    int64_t time;
    uint32_t kind;
    struct weir_bytes before, after; /* no data where there is none */
};

struct weir_difference;

/* What of a keyed state is another in `after` than in `before`, two checkpoints of one job, in any
 * order, each from its store or a savepoint. An element of a list is one thing, by its index.
 *
 * The cost follows what differs: of the state that both name, only blobs are read, about 1 MiB
 * each, with values that were replaced; and what differs in one subtask is held in memory. But if
 * the node's parallelism is another, or its values expire, both are read completely, and held.
 *
 * WEIR_NOT_FOUND: one of them has no such node or state; WEIR_INVALID: the state is of another kind
 * in each. Both checkpoints are closed after it. */
WEIR_API enum weir_result weir_difference_open(struct weir_checkpoint *before,
                                               struct weir_checkpoint *after, const char *node,
                                               const char *state,
                                               struct weir_difference **difference,
                                               struct weir_error *error) WEIR_MUST_USE;
/* The next change: by subtask, in the order of keys' hashes, a key's entries by sub key, index or
 * time. False at the end, and when something is wrong: the close tells. */
WEIR_API bool weir_difference_next(struct weir_difference *difference, struct weir_change *change);
/* WEIR_OK when all was read that was asked for, else the first error. *difference becomes NULL in
 * any case; NULL is accepted. */
WEIR_API enum weir_result weir_difference_close(struct weir_difference **difference,
                                                struct weir_error *error) WEIR_MUST_USE;

/* ------------------------------------------------------------------- copies, and cleaning -- */

/* Copies a checkpoint (0: the newest) into the directory `path`, as a savepoint: all that it names
 * and nothing else, each blob's checksum verified on its way, so it needs the store no more, and
 * jobs start from it (--restore PATH). The store is only read. `path` is not there yet, or empty;
 * what holds it is there, and it lies outside of stores. What fails is taken back; what is killed
 * leaves a directory that no job starts from. WEIR_NOT_FOUND, WEIR_DAMAGED: of the checkpoint;
 * WEIR_REFUSED: of the path, where nothing was changed; WEIR_IO, WEIR_NO_MEMORY. */
WEIR_API enum weir_result weir_store_copy(struct weir_store *store, uint64_t id, const char *path,
                                          struct weir_error *error) WEIR_MUST_USE;

/* Refuses, with WEIR_REFUSED, a path that lies inside a store or a savepoint, whether or not it is
 * there: what others write has no place among weir's files, as weir_store_copy knows by itself.
 * Nothing is changed. WEIR_IO: what holds the path is not there, or can't be looked at;
 * WEIR_INVALID: it is empty; WEIR_NO_MEMORY. Any thread. */
WEIR_API enum weir_result weir_store_refuse_inside(const char *path,
                                                   const struct weir_allocator *allocator,
                                                   struct weir_error *error) WEIR_MUST_USE;

enum weir_finding_kind {
    WEIR_FOUND_DAMAGED, /* a checkpoint whose manifest is not sound, or that names a missing file */
    WEIR_FOUND_EXCESS,  /* a checkpoint that is to go */
    WEIR_FOUND_PARTIAL, /* the folder of a round that never became a checkpoint */
    WEIR_FOUND_UNNAMED, /* a file that no checkpoint names */
    WEIR_FOUND_FOREIGN, /* what is not weir's: it stays */
    WEIR_FOUND_LEFT,    /* what could not be removed */
};

struct weir_finding {
    size_t size;
    enum weir_finding_kind kind;
    uint64_t checkpoint; /* or the round's id; 0: of none */
    const char *file;    /* within the store; "": none */
    uint64_t bytes;      /* of that file */
    const char *text;    /* why; "": that is clear */
    bool removed;        /* it is gone */
};
/* Views are valid until it returns. */
typedef void weir_found_function(void *context, const struct weir_finding *finding);

struct weir_clean_options {
    size_t size; /* WEIR_SIZED(struct weir_clean_options) */
    const struct weir_allocator *allocator;
    uint64_t keep;        /* the newest readable checkpoints stay, as many; 0: all */
    const uint64_t *drop; /* ids of checkpoints that go, readable or not */
    size_t drop_count;
    bool drop_newest; /* one of these may be the newest. A start goes on from an older one then, and
                       * sinks publish again what came behind that */
};

/* Tells what weir_store_clean would find, and changes nothing. If a run has the store, what may be
 * that run's is left out. Whether files hold what they should is weir_store_verify's. `options` may
 * be NULL. */
WEIR_API enum weir_result weir_store_check(struct weir_store *store,
                                           const struct weir_clean_options *options,
                                           weir_found_function *found, void *context,
                                           struct weir_error *error) WEIR_MUST_USE;
/* Removes checkpoints that are not to stay, what rounds that came to nothing have left, and files
 * that no checkpoint names, in an order in which a crash leaves no more than leftovers. As long as
 * there is a manifest that can't be read, files that it may name stay: drop that checkpoint first.
 * Takes the store's lock: WEIR_LOCKED names the run that has it. WEIR_REFUSED: a savepoint, or the
 * newest was to be dropped; WEIR_NOT_FOUND: no such store, or no such checkpoint; nothing was
 * removed then. WEIR_IO, WEIR_NO_MEMORY: some of it may be. */
WEIR_API enum weir_result weir_store_clean(const char *path,
                                           const struct weir_clean_options *options,
                                           weir_found_function *found, void *context,
                                           struct weir_error *error) WEIR_MUST_USE;

/* ------------------------------------------------------------------------------ invariants -- */

/* What must hold of every checkpoint of a job, as its author knows: money is conserved, say. A
 * shared object defines a function called weir_invariant,
 *
 *     WEIR_API weir_invariant_function weir_invariant;
 *     enum weir_result weir_invariant(struct weir_checkpoint *checkpoint, ...) { ... }
 *
 * and `weir verify STORE --all --invariant ./OBJECT.so` calls it for one checkpoint after the
 * other. It reads the checkpoint, which stays open, and calls `report` with `context` and a line of
 * text for each thing that is wrong. What it answers is whether it could look: WEIR_OK, or what
 * reading came to, with `error` filled. */
typedef enum weir_result weir_invariant_function(struct weir_checkpoint *checkpoint,
                                                 void (*report)(void *context,
                                                                const char *violation),
                                                 void *context, struct weir_error *error);
#define WEIR_INVARIANT_NAME "weir_invariant"

#ifdef __cplusplus
}
#endif

#endif
