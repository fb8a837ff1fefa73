/* SPDX-License-Identifier: Apache-2.0
 *
 * store_round: writing checkpoints, steps 1-9 of store.h. Several rounds may be open; each goes
 *
 *   none --claim--> open --part*--> open --sync--> synced --commit--> none
 *                    |  any failure: failed (nothing more is written, I1) --abort--> none
 *                    EEXIST, a lost fence, an unknown outcome: the store is stopped for good
 *
 * A container is <epoch>-<n>.seg with n counted from 1 in this run; a number is used once, also
 * when writing failed. Blobs of one round share a container until it has SEGMENT_ROLL bytes; those
 * of two rounds never do (I5), so an abort removes whole files: all that nobody holds (I7).
 */
#include "store_inside.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "disk.h"
#include "error.h"
#include "file.h"
#include "memory.h"
#include "plant.h"

#define SEGMENT_ROLL ((uint64_t)64 << 20)

struct store_open_round *store_find_round(struct store *store, uint64_t id)
{
    for (uint32_t i = 0; i < store->round_count; i++)
        if (store->rounds[i].id == id)
            return &store->rounds[i];
    return NULL;
}

bool store_round_has(const struct store *store, const struct store_open_round *round,
                     struct store_segment segment)
{
    bool found = false;
    for (size_t i = 0; i < round->count && !found; i++)
        found = round->containers[i].number == segment.number;
    return found && segment.epoch == store->record.epoch;
}

static void forget_round(struct store *store, struct store_open_round *round)
{
    uint32_t index = (uint32_t)(round - store->rounds);
    memory_release(store->allocator, round->containers);
    store->round_count--;
    memmove(round, round + 1, (store->round_count - index) * sizeof *round);
}

void store_leave_rounds(struct store *store)
{
    while (store->round_count > 0) {
        struct store_open_round *last = &store->rounds[store->round_count - 1];
        if (last->file >= 0)
            disk_close(last->file);
        forget_round(store, last);
    }
}

/* The round comes to nothing; the stream goes on. */
static enum weir_result give_up(const struct store *store, struct store_open_round *round,
                                int failure, const char *what, struct weir_error *error)
{
    round->failed = true;
    return error_os(error, -failure, "store %s: checkpoint %" PRIu64 ": %s", store->path, round->id,
                    what);
}

/* Another run is here: this one must not write, remove or publish anything any more. */
static enum weir_result refuse(struct store *store, const char *why, struct weir_error *error)
{
    store->stopped = true;
    return error_set(error, WEIR_REFUSED, 0, "store %s: %s: this run must stop", store->path, why);
}

static enum weir_result unknown(struct store *store, uint64_t id, int failure, const char *what,
                                struct weir_error *error)
{
    store->stopped = true;
    (void)error_os(error, -failure,
                   "store %s: checkpoint %" PRIu64 ": %s; whether it exists is unknown until the "
                   "next start",
                   store->path, id, what);
    if (error != NULL)
        error->code = WEIR_UNKNOWN;
    return WEIR_UNKNOWN;
}

static enum weir_result check_writing(const struct store *store, struct weir_error *error)
{
    if (store->stopped)
        return error_set(error, WEIR_REFUSED, 0, "store %s: this run may write no more",
                         store->path);
    if (disk_process() != store->process)
        return error_set(error, WEIR_REFUSED, 0,
                         "store %s: this process was forked from the one that runs on it",
                         store->path);
    return WEIR_OK;
}

/* The round `id`, when it is open and at this step. */
static enum weir_result take_open(struct store *store, uint64_t id, bool synced,
                                  struct store_open_round **round, struct weir_error *error)
{
    enum weir_result result = check_writing(store, error);
    if (result != WEIR_OK)
        return result;
    *round = store_find_round(store, id);
    if (*round == NULL || (*round)->synced != synced)
        return error_set(error, WEIR_INVALID, 0,
                         "store %s: checkpoint %" PRIu64 " is not at this step", store->path, id);
    if ((*round)->failed)
        return error_set(error, WEIR_IO, 0, "store %s: checkpoint %" PRIu64 " has failed before",
                         store->path, id);
    return WEIR_OK;
}

/* ----------------------------------------------------------------------------------- claim -- */

static enum weir_result check_claim(const struct store *store, uint64_t id,
                                    struct weir_error *error)
{
    enum weir_result result = check_writing(store, error);
    if (result != WEIR_OK)
        return result;
    if (id <= store->highest || id > NAME_NUMBER_LIMIT)
        return error_set(error, WEIR_INVALID, 0,
                         "store %s: checkpoint %" PRIu64 " can't be claimed: %" PRIu64
                         " was the last",
                         store->path, id, store->highest);
    if (store->round_count == STORE_ROUNDS)
        return error_set(error, WEIR_INVALID, 0,
                         "store %s: checkpoint %" PRIu64 " can't be claimed: %d are open",
                         store->path, id, STORE_ROUNDS);
    return WEIR_OK;
}

enum weir_result store_claim(struct store *store, uint64_t id, struct weir_error *error)
{
    char name[NAME_ID_SIZE];
    enum weir_result result = check_claim(store, id, error);
    if (result == WEIR_OK)
        result = store_fence(store, error); /* an id that is taken away from another run stops it */
    if (result != WEIR_OK)
        return result;
    name_of_id(id, name);
    int failure = disk_make_folder(store->checkpoints, name);
    if (failure == -EEXIST && WEIR_PLANT(id_used_again))
        failure = 0;
    if (failure == -EEXIST)
        return refuse(store, "another run has claimed the same checkpoint id", error);
    if (failure < 0)
        return error_os(error, -failure, "store %s: claiming checkpoint %" PRIu64, store->path, id);
    struct store_open_round *round = &store->rounds[store->round_count++];
    *round = (struct store_open_round){.id = id, .file = -1};
    store->highest = id;
    failure = disk_sync(store->checkpoints);
    if (failure < 0)
        return give_up(store, round, failure, "syncing its claim", error);
    round->claimed = true;
    store->claimed = id;
    return WEIR_OK;
}

/* ----------------------------------------------------------------------------------- parts -- */

/* Synced once, on the descriptor that wrote, and closed; both answers count (I1). */
static enum weir_result end_container(struct store *store, struct store_open_round *round,
                                      struct weir_error *error)
{
    if (round->file < 0)
        return WEIR_OK;
    int failure = WEIR_PLANT(container_sync_skipped) ? 0 : disk_sync(round->file);
    if (failure < 0 && WEIR_PLANT(sync_tried_again))
        failure = disk_sync(round->file);
    int closing = disk_close(round->file);
    round->file = -1;
    store_stroke(store);
    if (failure == 0)
        failure = closing;
    return failure < 0 ? give_up(store, round, failure, "syncing its container", error) : WEIR_OK;
}

static enum weir_result begin_container(struct store *store, struct store_open_round *round,
                                        struct weir_error *error)
{
    char name[NAME_SEGMENT_SIZE];
    void *containers = round->containers;
    bool room =
        store_grow(store, &containers, round->count, &round->capacity, sizeof *round->containers);
    round->containers = containers;
    if (!room)
        return give_up(store, round, -ENOMEM, "remembering its containers", error);
    name_of_segment(store->record.epoch, store->next_number, name);
    int file = disk_open(store->data, name, DISK_CREATE);
    if (file == -EEXIST)
        return refuse(store, "another run writes under the same epoch", error);
    if (file < 0)
        return give_up(store, round, file, "making a container", error);
    round->containers[round->count++] = (struct store_container){store->next_number++, 0};
    round->file = file;
    round->offset = 0;
    return WEIR_OK;
}

static enum weir_result roll_container(struct store *store, struct store_open_round *round,
                                       size_t size, struct weir_error *error)
{
    if (round->file >= 0 && round->offset > 0 && round->offset + size > SEGMENT_ROLL) {
        enum weir_result result = end_container(store, round, error);
        if (result != WEIR_OK)
            return result;
    }
    return round->file < 0 ? begin_container(store, round, error) : WEIR_OK;
}

static enum weir_result append(struct store *store, struct store_open_round *round,
                               const struct blob *blob, struct weir_bytes stored,
                               struct manifest_blob *place, struct weir_error *error)
{
    enum weir_result result = roll_container(store, round, stored.size, error);
    if (result != WEIR_OK)
        return result;
    int failure = file_write(round->file, stored.data, stored.size, round->offset);
    if (failure < 0)
        return give_up(store, round, failure, "writing a part", error);
    *place = (struct manifest_blob){
        .blob = *blob,
        .file_epoch = store->record.epoch,
        .file_number = round->containers[round->count - 1].number,
        .offset = round->offset,
    };
    round->offset += stored.size;
    round->containers[round->count - 1].bytes = round->offset;
    store_stroke(store);
    return WEIR_OK;
}

enum weir_result store_part(struct store *store, uint64_t id, enum blob_kind kind, uint32_t task,
                            struct weir_bytes raw, struct manifest_blob *place,
                            struct weir_error *error)
{
    struct blob blob = {.kind = kind, .epoch = store->record.epoch, .task = task, .id = id};
    struct store_open_round *round;
    enum weir_result result = take_open(store, id, false, &round, error);
    if (result == WEIR_OK)
        result = blob_seal(&blob, raw, &store->sealed, store->allocator, error);
    if (result != WEIR_OK)
        return result;
    struct weir_bytes sealed = {store->sealed.data, store->sealed.size};
    return append(store, round, &blob, sealed, place, error);
}

enum weir_result store_put(struct store *store, uint64_t id, const struct blob *blob,
                           struct weir_bytes sealed, struct manifest_blob *place,
                           struct weir_error *error)
{
    struct store_open_round *round;
    enum weir_result result = take_open(store, id, false, &round, error);
    return result == WEIR_OK ? append(store, round, blob, sealed, place, error) : result;
}

enum weir_result store_end_container(struct store *store, uint64_t id, struct weir_error *error)
{
    struct store_open_round *round;
    enum weir_result result = take_open(store, id, false, &round, error);
    return result == WEIR_OK ? end_container(store, round, error) : result;
}

enum weir_result store_sync(struct store *store, uint64_t id, struct weir_error *error)
{
    struct store_open_round *round;
    enum weir_result result = take_open(store, id, false, &round, error);
    if (result == WEIR_OK)
        result = end_container(store, round, error);
    if (result != WEIR_OK)
        return result;
    int failure = disk_sync(store->data);
    if (failure < 0)
        return give_up(store, round, failure, "syncing " NAME_DATA "/", error);
    round->synced = true;
    return WEIR_OK;
}

/* ----------------------------------------------------------------------------------- fence -- */

/* The path still leads to the directory and the LOCK that this run opened (F32). */
static enum weir_result check_inodes(struct store *store, struct weir_error *error)
{
    struct disk_status status;
    int failure = disk_status_at(store->parent, store->base, &status);
    if (failure == -ENOENT || failure == -ENOTDIR)
        return refuse(store, "the directory was moved or removed", error);
    if (failure < 0)
        return error_os(error, -failure, "store %s: looking at the directory", store->path);
    if (status.device != store->root_device || status.inode != store->root_inode)
        return refuse(store, "the directory was replaced", error);
    failure = disk_status_at(store->root, NAME_LOCK, &status);
    if (failure == -ENOENT)
        return refuse(store, NAME_LOCK " was removed", error);
    if (failure < 0)
        return error_os(error, -failure, "store %s: looking at " NAME_LOCK, store->path);
    if (status.inode != store->lock_inode)
        return refuse(store, NAME_LOCK " was replaced", error);
    return WEIR_OK;
}

enum weir_result store_fence(struct store *store, struct weir_error *error)
{
    struct lock_content content;
    enum weir_result result = check_inodes(store, error);
    if (result != WEIR_OK)
        return result;
    int failure = disk_lock(store->lock); /* free for the holder; tells when it was lost */
    if (failure == -EAGAIN)
        return refuse(store, "the lock was lost to another run", error);
    if (failure < 0)
        return error_os(error, -failure, "store %s: checking the lock", store->path);
    result = lock_read(store->lock, &content, error);
    if (result != WEIR_OK)
        return error_within(error, "store %s", store->path);
    if (content.sound_count == 0 || content.record.epoch != store->record.epoch)
        return refuse(store, NAME_LOCK " no longer holds this run's epoch", error);
    return WEIR_OK;
}

/* ---------------------------------------------------------------------------------- commit -- */

static bool wrote(const struct store *store, const struct store_open_round *round,
                  const struct manifest_blob *place)
{
    return store_round_has(store, round,
                           (struct store_segment){place->file_epoch, place->file_number});
}

/* I6: in this round, or held, or named by another checkpoint. The last is the one that may have to
 * be looked up. */
static enum weir_result check_shared(struct store *store, const struct store_open_round *round,
                                     struct store_segment segment, bool *there,
                                     struct weir_error *error)
{
    *there = store_round_has(store, round, segment) || store_is_held(store, segment);
    return *there ? WEIR_OK : store_find_name(store, segment, there, error);
}

static bool same_containers(const struct manifest_segment *a, const struct manifest_segment *b)
{
    return a->place.file_epoch == b->place.file_epoch &&
           a->place.file_number == b->place.file_number && a->from_number == b->from_number;
}

/* All of its containers. */
static enum weir_result check_segment(struct store *store, const struct store_open_round *round,
                                      const struct manifest_segment *segment, bool *there,
                                      struct weir_error *error)
{
    enum weir_result result = WEIR_OK;
    *there = true;
    for (uint64_t number = segment->from_number;
         *there && number <= segment->place.file_number && result == WEIR_OK; number++)
        result = check_shared(
            store, round, (struct store_segment){segment->place.file_epoch, number}, there, error);
    return result;
}

static enum weir_result check_state(struct store *store, const struct store_open_round *round,
                                    const struct manifest *manifest, uint32_t index,
                                    struct weir_error *error)
{
    const struct manifest_task *task = &manifest->tasks[index];
    for (uint32_t k = 0; k < task->state_count; k++) {
        bool there = k > 0 && same_containers(&task->state[k], &task->state[k - 1]);
        enum weir_result result =
            there ? WEIR_OK : check_segment(store, round, &task->state[k], &there, error);
        if (result != WEIR_OK)
            return result;
        if (!there)
            return error_set(error, WEIR_INVALID, 0,
                             "segment %u of task %u's state lies in a container that is neither of "
                             "this round nor held nor named by a checkpoint",
                             k, index);
    }
    return WEIR_OK;
}

static enum weir_result check_blobs(struct store *store, const struct store_open_round *round,
                                    const struct manifest *manifest, struct weir_error *error)
{
    for (uint32_t i = 0; i < manifest->task_count; i++) {
        const struct manifest_task *task = &manifest->tasks[i];
        if (!wrote(store, round, &task->part))
            return error_set(error, WEIR_INVALID, 0, "task %u has no part in this round", i);
        for (uint32_t k = 0; k < task->inflight_count; k++)
            if (!wrote(store, round, &task->inflight[k]))
                return error_set(error, WEIR_INVALID, 0,
                                 "piece %u in flight at task %u was not written in this round", k,
                                 i);
        enum weir_result result = check_state(store, round, manifest, i, error);
        if (result != WEIR_OK)
            return result;
    }
    return WEIR_OK;
}

/* Ours, and readable: what a reader would refuse must never become the newest checkpoint. */
static enum weir_result check_manifest(struct store *store, const struct store_open_round *round,
                                       const struct manifest *manifest, const char *text,
                                       size_t size, struct weir_error *error)
{
    struct manifest again;
    if (manifest->epoch != store->record.epoch ||
        memcmp(manifest->store_id, store->record.store_id, STORE_ID_SIZE) != 0)
        return error_set(error, WEIR_INVALID, 0, "the manifest is not of this store and run");
    enum weir_result result = check_blobs(store, round, manifest, error);
    if (result != WEIR_OK)
        return result;
    result = manifest_parse(text, size, store->allocator, &again, error);
    if (result == WEIR_OK)
        manifest_free(&again);
    else if (result == WEIR_DAMAGED)
        result = error_set(error, WEIR_INVALID, 0, "the manifest would not be readable: %s",
                           error == NULL ? "" : error->text);
    return result;
}

static enum weir_result write_manifest(struct store *store, struct store_open_round *round,
                                       int folder, const char *text, size_t size,
                                       struct weir_error *error)
{
    int file = disk_open(folder, NAME_MANIFEST_NEW, DISK_CREATE);
    if (file == -EEXIST)
        return refuse(store, "another run writes the same checkpoint", error);
    if (file < 0)
        return give_up(store, round, file, "making its manifest", error);
    int failure = file_write(file, text, size, 0);
    if (failure == 0 && !WEIR_PLANT(manifest_sync_skipped))
        failure = disk_sync(file);
    int closing = disk_close(file);
    if (failure == 0)
        failure = closing;
    return failure < 0 ? give_up(store, round, failure, "writing its manifest", error) : WEIR_OK;
}

/* Of steps 7 and 8. An older run that wakes up finds its unfinished manifest gone: the newer one
 * has taken it away, and what it has not is part of what that one goes on from. So this run has to
 * stop, and not to find out by another start. */
static enum weir_result unsettled(struct store *store, uint64_t id, int failure, const char *what,
                                  struct weir_error *error)
{
    if (store_fence(store, error) == WEIR_REFUSED)
        return WEIR_REFUSED;
    return unknown(store, id, failure, what, error);
}

/* Steps 6-9. */
static enum weir_result publish(struct store *store, struct store_open_round *round, int folder,
                                struct weir_error *error)
{
    uint64_t id = round->id;
    enum weir_result result =
        WEIR_PLANT(check_before_commit_skipped) ? WEIR_OK : store_fence(store, error);
    if (result != WEIR_OK) {
        round->failed = true;
        return result;
    }
    int failure = disk_rename_new(folder, NAME_MANIFEST_NEW, NAME_MANIFEST);
    if (failure == -EEXIST)
        return refuse(store, "another run has committed the same checkpoint", error);
    if (failure < 0)
        return unsettled(store, id, failure, "renaming its manifest", error);
    failure = WEIR_PLANT(commit_sync_skipped) ? 0 : disk_sync(folder);
    if (failure < 0)
        return unsettled(store, id, failure, "syncing its folder", error);
    forget_round(store, round); /* COMMITTED: no abort can reach it */
    result = store_fence(store, error);
    if (result == WEIR_OK || result == WEIR_REFUSED)
        return result;
    store->stopped = true; /* it exists, but whether we may say so is not known */
    if (error != NULL)
        error->code = WEIR_UNKNOWN;
    return WEIR_UNKNOWN;
}

/* Steps 5-9. */
static enum weir_result commit_text(struct store *store, struct store_open_round *round,
                                    const char *text, size_t size, struct weir_error *error)
{
    int folder = store_open_folder(store, round->id);
    if (folder < 0)
        return give_up(store, round, folder, "opening its folder", error);
    enum weir_result result = write_manifest(store, round, folder, text, size, error);
    if (result == WEIR_OK)
        result = publish(store, round, folder, error);
    disk_close(folder);
    return result;
}

enum weir_result store_commit(struct store *store, const struct manifest *manifest,
                              struct weir_error *error)
{
    char *text = NULL;
    size_t size = 0;
    struct store_open_round *round;
    enum weir_result result = take_open(store, manifest->id, true, &round, error);
    if (result != WEIR_OK)
        return result;
    if (round != store->rounds)
        return error_set(error, WEIR_INVALID, 0,
                         "store %s: checkpoint %" PRIu64 " can't be committed while %" PRIu64
                         " is open",
                         store->path, round->id, store->rounds[0].id);
    result = manifest_print(manifest, &text, &size, error);
    if (result != WEIR_OK)
        return result;
    result = check_manifest(store, round, manifest, text, size, error);
    if (result == WEIR_OK)
        result = commit_text(store, round, text, size, error);
    memory_release(manifest->allocator, text);
    if (result == WEIR_OK)
        store_keep(store, manifest);
    return result;
}

/* ----------------------------------------------------------------------------------- abort -- */

/* I3: the folder of the highest claimed id stays until a higher one is claimed. */
static void leave_folder(struct store *store, uint64_t id)
{
    char reason[ERROR_REASON_ROOM];
    int folder = store_open_folder(store, id);
    if (folder >= 0) {
        int failure = disk_remove(folder, NAME_MANIFEST_NEW);
        if (failure < 0 && failure != -ENOENT)
            store_warn(store, "a half-written manifest of checkpoint %" PRIu64 " is left over: %s",
                       id, error_reason(-failure, reason));
        disk_close(folder);
    }
    if (store->empty_id != 0)
        store_remove_folder(store, store->empty_id);
    store->empty_id = id;
}

void store_abort(struct store *store, uint64_t id)
{
    struct store_open_round *round = store_find_round(store, id);
    if (store->stopped || round == NULL)
        return;
    bool stays = round->claimed && id == store->claimed;
    if (round->file >= 0)
        disk_close(round->file);
    for (size_t i = 0; i < round->count; i++) {
        const struct store_segment segment = {store->record.epoch, round->containers[i].number};
        if (!store_is_held(store, segment) || WEIR_PLANT(abort_takes_held)) /* I7 */
            store_remove_segment(store, segment);
    }
    forget_round(store, round);
    if (stays)
        leave_folder(store, id);
    else
        store_remove_folder(store, id);
}
