/* SPDX-License-Identifier: Apache-2.0
 *
 * store: one directory, one job, its checkpoints.
 *
 *   STORE/LOCK                             two checksummed records (lock.h), locked by the run
 *   STORE/data/<epoch>-<n>.seg             containers of blobs, written once
 *   STORE/checkpoints/<id>/MANIFEST.json   id zero-padded to 20 digits
 *   STORE/nodes/<node>/                    operators' own (weir_store_folder); left alone here
 *   STORE/SAVEPOINT                        a text for people: a savepoint, and no run's store
 *   STORE/FAILED                           why the last rounds came to nothing, if any has
 *                                          (store_failed.c); nothing depends on it
 *
 * The commit protocol, in steps; a crash between any two leaves the old checkpoint or the new one:
 *    1  store_claim    mkdir checkpoints/<id>, fsync checkpoints/
 *    2  store_part     blobs into new containers, written in full
 *    3  store_sync     fsync the container, close; 4 fsync data/
 *    5  store_commit   MANIFEST.json.tmp written, fsynced, closed
 *    6                 fence: lock held, epoch in LOCK is mine, the store's inode is unchanged
 *    7                 rename to MANIFEST.json, never replacing
 *    8                 fsync checkpoints/<id>: COMMITTED
 *    9                 fence again (after that the caller tells the tasks)
 *   11  store_retain   old manifests unlinked first, then blobs nobody names
 * An error in 1-6 aborts the round: WEIR_IO and so on. EEXIST in 1 or 7: WEIR_REFUSED, another run
 * is here, stop. Any other error in 7 or 8: WEIR_UNKNOWN - tell nobody, delete nothing.
 *
 * I1  a file that was synced without success is never synced again, nor believed.
 * I2  a blob that a manifest names is never removed; retention removes the manifest first.
 * I3  the folder of the highest id ever claimed stays, so that ids never repeat. An id is claimed
 *     when store_claim has answered WEIR_OK; nobody was told of another.
 * I4  one thread at a time (the writer's; start and close are fenced by thread creation and join).
 * I5  rounds share nothing but the directory: each has containers of its own, and the trouble of
 *     one is no other's. Commits go in order of id.
 * I6  blobs of state are written once and named by many checkpoints: by that of their own round,
 *     and by later ones if their container is held or named by a checkpoint. What can be held was
 *     synced with success (I1): by a round that is still open, or a checkpoint names it.
 * I7  a container that is held is removed by nobody: not by the abort of its round, not with the
 *     last checkpoint that named it. When it is let go for the last time, and neither a checkpoint
 *     names it nor an open round has it, it goes.
 * I8  containers that are held are at most a third larger than what is held of them, but for
 *     STORE_WASTE_FROM bytes and what a round has not written again yet: whoever holds a segment
 *     writes it again when store_is_wasteful says so, and lets the old one go.
 * I9  a process that was forked from the one that opened the store writes nothing in it.
 */
#ifndef STORE_H
#define STORE_H

#include "manifest.h"
#include "segment.h"

struct store;

#define STORE_ROUNDS 8                         /* that may be open at a time */
#define STORE_WASTE_FROM ((uint64_t)256 << 10) /* bytes that are not worth the trouble */

struct store_options {
    const char *path;
    uint32_t key_groups;                 /* for a new store; an existing one keeps its own */
    unsigned char new_id[STORE_ID_SIZE]; /* random; for a new store */
    uint32_t above_epoch; /* the run's is above that: of a savepoint it begins with */
    uint64_t begun_with;  /* that savepoint's id, noted when the store's id is new_id; 0: none */
    bool afresh;          /* the note is taken back */
    bool existing;        /* refused when it would have to be made */
    bool cleaning;        /* for who comes meanwhile: this is no run */
    const struct weir_allocator *allocator;
    void (*warn)(void *context, const char *text); /* odd files and leftovers; may be NULL */
    void *warn_context;
};

/* Creates the store when the path does not exist or is an empty directory; takes the lock; probes
 * that files can be written and synced; raises the epoch durably, and takes away what older runs
 * might still rename. WEIR_LOCKED names the owner as far as known (pid, epoch, and since when stand
 * in LOCK). Refuses a directory that is not a store and not empty, a savepoint, a new store inside
 * another or inside a savepoint, a store owned by others or writable by others, another byte order.
 */
enum weir_result store_open(const struct store_options *options, struct store **store,
                            struct weir_error *error) WEIR_MUST_USE;
/* Read only, without the lock and without raising the epoch: for tools, and for a run that begins
 * with a savepoint. */
enum weir_result store_view(const char *path, const struct weir_allocator *allocator,
                            struct store **store, struct weir_error *error) WEIR_MUST_USE;
void store_close(struct store **store);
/* `read` is told of each blob that is read, on the thread that reads it: its bytes, as stored.
 * NULL: nobody is. */
void store_watch(struct store *store, void (*read)(void *context, uint64_t bytes), void *context);

/* The id of the savepoint that the store was begun with; 0: with none. */
uint64_t store_begun_with(const struct store *store);
bool store_is_savepoint(const struct store *store); /* of a view */
struct lock_record;
/* Of a view: what LOCK says now, of the newest run or cleaning, and whether
 * that one still holds it. Locks nothing. A holder that has not written its record yet goes by the
 * one before. */
enum weir_result store_run(struct store *store, bool *alive, struct lock_record *record,
                           struct weir_error *error) WEIR_MUST_USE;
uint32_t store_epoch(const struct store *store);
uint32_t store_key_groups(const struct store *store);
const unsigned char *store_id(const struct store *store); /* STORE_ID_SIZE bytes */
uint64_t store_next_id(const struct store *store);        /* above every id ever claimed */
/* How many steps of work on files have come back: grows with each blob that is written or
 * copied, and each file that is synced. For who watches that the disk answers. Any thread. */
uint64_t store_strokes(const struct store *store);

/* Ids that have a MANIFEST.json, ascending; *ids is released with memory_release. */
enum weir_result store_list(struct store *store, uint64_t **ids, size_t *count,
                            struct weir_error *error) WEIR_MUST_USE;
/* Reads one manifest: WEIR_NOT_FOUND, WEIR_DAMAGED, WEIR_UNSUPPORTED, WEIR_IO, WEIR_NO_MEMORY. */
enum weir_result store_manifest(struct store *store, uint64_t id, struct manifest *manifest,
                                struct weir_error *error) WEIR_MUST_USE;
/* Reads and opens one task's part into `out`. Damage names file, offset, checkpoint and reason. */
enum weir_result store_read(struct store *store, const struct manifest *manifest, uint32_t task,
                            struct blob_buffer *out, struct weir_error *error) WEIR_MUST_USE;
/* The same of one piece of what was in flight at a task: index < its inflight_count. */
enum weir_result store_read_inflight(struct store *store, const struct manifest *manifest,
                                     uint32_t task, uint32_t index, struct blob_buffer *out,
                                     struct weir_error *error) WEIR_MUST_USE;
/* The same of what the manifest names of one segment of a task's state, its blob or the list of its
 * blobs, in the order of its logs: index < its state_count. */
enum weir_result store_read_state(struct store *store, const struct manifest *manifest,
                                  uint32_t task, uint32_t index, struct blob_buffer *out,
                                  struct weir_error *error) WEIR_MUST_USE;
/* Where the blobs of that segment lie, its blob_count of them, in the order of their ranges: reads
 * the list, if it has one. *blobs is released with memory_release. */
enum weir_result store_list_blobs(struct store *store, const struct manifest *manifest,
                                  uint32_t task, uint32_t index, struct manifest_blob **blobs,
                                  struct weir_error *error) WEIR_MUST_USE;
/* Reads and opens one blob that the manifest or a list of its names. Any thread, several at a time:
 * each has its own buffers, `stored` for the bytes as they lie, and `out`. */
enum weir_result store_fetch(const struct store *store, const struct manifest *manifest,
                             uint32_t task, const struct manifest_blob *place,
                             struct blob_buffer *stored, struct blob_buffer *out,
                             struct weir_error *error) WEIR_MUST_USE;
/* Reads and checks everything a checkpoint names. */
enum weir_result store_verify(struct store *store, uint64_t id,
                              struct weir_error *error) WEIR_MUST_USE;

/* Recovery: the checkpoint to go on from. `wanted` 0 is the newest. Never falls back: when it is
 * damaged, says what is damaged, which older ids are sound, and how to name one. WEIR_NOT_FOUND
 * when there is none at all (a first start) or the wanted one is missing. Syncs the checkpoint's
 * folder, checkpoints/ and data/ before it returns (a rename may exist only in memory). Does not
 * read parts: the caller does, and calls store_explain when one is damaged. Serves a view too. */
enum weir_result store_recover(struct store *store, uint64_t wanted, struct manifest *manifest,
                               struct weir_error *error) WEIR_MUST_USE;
/* Appends to an error about checkpoint `id` which older ids are sound; returns error->code. */
enum weir_result store_explain(struct store *store, uint64_t id, struct weir_error *error);
/* After recovery: removes unfinished rounds (but I3) and blobs of older epochs that are neither
 * named nor held. */
enum weir_result store_sweep(struct store *store, struct weir_error *error) WEIR_MUST_USE;

/* Opens round `id`, which is above every one before. WEIR_INVALID when it is not, and when
 * STORE_ROUNDS are open. After WEIR_IO and WEIR_NO_MEMORY the caller aborts it. */
enum weir_result store_claim(struct store *store, uint64_t id,
                             struct weir_error *error) WEIR_MUST_USE;
/* Seals and writes a blob of an open round: one task's part, or the next piece of what was in
 * flight at it; *place says where. (Those of state: by store_segment.) */
enum weir_result store_part(struct store *store, uint64_t id, enum blob_kind kind, uint32_t task,
                            struct weir_bytes raw, struct manifest_blob *place,
                            struct weir_error *error) WEIR_MUST_USE;
/* Writes a segment of a task's state (of the node's state `state`) into an open round: as one blob,
 * or as many and a list of them; *place says where. Takes 4 bytes an entry meanwhile, where it is
 * more than one blob. */
enum weir_result store_segment(struct store *store, uint64_t id, uint32_t task, uint32_t state,
                               const struct segment *segment, struct manifest_segment *place,
                               struct weir_error *error) WEIR_MUST_USE;
enum weir_result store_sync(struct store *store, uint64_t id,
                            struct weir_error *error) WEIR_MUST_USE;
/* store_id, epoch and the blobs' places are the caller's to fill; see the protocol above. State may
 * be of earlier rounds (I6). WEIR_INVALID when nothing keeps it, and while a round of a lower id is
 * open: it is committed or aborted first. */
enum weir_result store_commit(struct store *store, const struct manifest *manifest,
                              struct weir_error *error) WEIR_MUST_USE;
/* Removes what round `id` wrote (but I3 and I7); nothing when it is not open. Errors are reported
 * through warn: leftovers are garbage. */
void store_abort(struct store *store, uint64_t id);

#define STORE_FAILURES 16u      /* that are kept */
#define STORE_FAILURE_TEXT 457u /* bytes with the zero; what is longer is cut */
struct store_failure {
    uint64_t id;
    uint32_t epoch;
    int64_t ended_ns;  /* wall clock, since 1970 */
    uint64_t sequence; /* ascending */
    char text[STORE_FAILURE_TEXT];
};
/* Notes, behind store_abort, why round `id` came to nothing; whether that can be written is no
 * matter. */
void store_note_failure(const struct store *store, uint64_t id, int64_t ended_ns, const char *text);
/* The last ones that can be read, oldest first. Serves a view too. */
size_t store_list_failures(const struct store *store,
                           struct store_failure failures[STORE_FAILURES]);

/* Holds the container or containers of a segment of state, for as long as a log has it or a round
 * is open that will name it: first when store_sync of its round has answered WEIR_OK, before that
 * round is committed or aborted; after recovery, when the checkpoint names it. Each hold is
 * let go once. What was not held when its round came to nothing is gone, and is written again in
 * another round; a round that is given up may be synced first, for the sake of its state.
 * WEIR_INVALID: not synced, or gone (I6). WEIR_REFUSED, WEIR_NO_MEMORY, WEIR_IO of a look at the
 * checkpoints. Whatever the error, nothing has changed. */
enum weir_result store_hold(struct store *store, const struct manifest_segment *segment,
                            struct weir_error *error) WEIR_MUST_USE;
/* Lets go once; what is not held is left alone. Errors are reported through warn, as above. Holds
 * end with the store: what nobody names is swept at the next start. */
void store_let_go(struct store *store, const struct manifest_segment *segment);
/* Is it time to write a segment, which is held, again? True when more than a quarter of its
 * container is no longer held by anybody, and such waste is more than STORE_WASTE_FROM bytes and a
 * third of all that is held for (I8). */
bool store_is_wasteful(const struct store *store, const struct manifest_segment *segment);
/* All that is held, at the end of a run. */
void store_let_all_go(struct store *store);

/* Keeps the newest `keep` (>= 1) checkpoints and `pinned` (0: none); removes older ones and what
 * they alone named, unless it is held. Errors are reported through warn. */
void store_retain(struct store *store, uint32_t keep, uint64_t pinned);

/* Copies committed checkpoint `id`, as it is stored, into the directory `path`: a savepoint. The
 * path is empty or not there, what holds it is there, and it lies outside the store. A copy is
 * whole or, after a crash, without manifest; one that failed is taken back, or the error says that
 * it is not to be used. The store and its rounds are not touched, whatever comes of it.
 * WEIR_NOT_FOUND, WEIR_DAMAGED: of the checkpoint; WEIR_REFUSED: of the path, where nothing was
 * changed; WEIR_IO, WEIR_NO_MEMORY. */
enum weir_result store_save_copy(struct store *store, uint64_t id, const char *path,
                                 struct weir_error *error) WEIR_MUST_USE;
/* Refuses a path inside a store or a savepoint, there or not: weir_store_refuse_inside. */
enum weir_result store_refuse_inside(const char *path, const struct weir_allocator *allocator,
                                     struct weir_error *error) WEIR_MUST_USE;

#endif
