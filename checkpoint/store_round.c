/* SPDX-License-Identifier: Apache-2.0
 *
 * store_round: writing one checkpoint, steps 1-9 of store.h.
 *
 *   none --claim--> open --part*--> open --sync--> synced --commit--> none
 *                    |  any failure: failed (nothing more is written, I1) --abort--> none
 *                    EEXIST, a lost fence, an unknown outcome: the store is stopped for good
 *
 * A container is <epoch>-<n>.seg with n counted from 1 in this run; a number is used once, also
 * when writing failed. Parts of one round share a container until it has SEGMENT_ROLL bytes.
 */
#include "store_inside.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "disk.h"
#include "error.h"
#include "file.h"
#include "memory.h"
#include "plant.h"

#define SEGMENT_ROLL ((uint64_t)64 << 20)

/* The round comes to nothing; the stream goes on. */
static enum weir_result give_up(struct store *store, int failure, const char *what,
                                struct weir_error *error)
{
    store->round.failed = true;
    return error_os(error, -failure, "store %s: checkpoint %" PRIu64 ": %s", store->path,
                    store->round.id, what);
}

/* Another run is here: this one must not write, remove or publish anything any more. */
static enum weir_result refuse(struct store *store, const char *why, struct weir_error *error)
{
    store->stopped = true;
    return error_set(error, WEIR_REFUSED, 0, "store %s: %s: this run must stop", store->path, why);
}

static enum weir_result unknown(struct store *store, int failure, const char *what,
                                struct weir_error *error)
{
    store->stopped = true;
    (void)error_os(error, -failure,
                   "store %s: checkpoint %" PRIu64 ": %s; whether it exists is unknown until the "
                   "next start",
                   store->path, store->round.id, what);
    if (error != NULL)
        error->code = WEIR_UNKNOWN;
    return WEIR_UNKNOWN;
}

static enum weir_result check_open(const struct store *store, uint64_t id, bool synced,
                                   struct weir_error *error)
{
    if (store->stopped)
        return error_set(error, WEIR_REFUSED, 0, "store %s: this run may write no more",
                         store->path);
    if (store->round.id != id || id == 0 || store->round.synced != synced)
        return error_set(error, WEIR_INVALID, 0,
                         "store %s: checkpoint %" PRIu64 " is not at this step", store->path, id);
    if (store->round.failed)
        return error_set(error, WEIR_IO, 0, "store %s: checkpoint %" PRIu64 " has failed before",
                         store->path, id);
    return WEIR_OK;
}

/* ----------------------------------------------------------------------------------- claim -- */

enum weir_result store_claim(struct store *store, uint64_t id, struct weir_error *error)
{
    char name[NAME_ID_SIZE];
    if (store->stopped)
        return error_set(error, WEIR_REFUSED, 0, "store %s: this run may write no more",
                         store->path);
    if (store->round.id != 0 || id <= store->highest || id > NAME_NUMBER_LIMIT)
        return error_set(error, WEIR_INVALID, 0,
                         "store %s: checkpoint %" PRIu64 " can't be claimed: %" PRIu64
                         " is open, %" PRIu64 " was the last",
                         store->path, id, store->round.id, store->highest);
    name_of_id(id, name);
    int failure = disk_make_folder(store->checkpoints, name);
    if (failure == -EEXIST && WEIR_PLANT(id_used_again))
        failure = 0;
    if (failure == -EEXIST)
        return refuse(store, "another run has claimed the same checkpoint id", error);
    if (failure < 0)
        return error_os(error, -failure, "store %s: claiming checkpoint %" PRIu64, store->path, id);
    store->highest = id;
    store->round =
        (struct store_open_round){.id = id, .first_number = store->next_number, .file = -1};
    failure = disk_sync(store->checkpoints);
    return failure < 0 ? give_up(store, failure, "syncing its claim", error) : WEIR_OK;
}

/* ----------------------------------------------------------------------------------- parts -- */

/* Synced once, on the descriptor that wrote, and closed; both answers count (I1). */
static enum weir_result end_container(struct store *store, struct weir_error *error)
{
    if (store->round.file < 0)
        return WEIR_OK;
    int failure = WEIR_PLANT(container_sync_skipped) ? 0 : disk_sync(store->round.file);
    int closing = disk_close(store->round.file);
    store->round.file = -1;
    if (failure == 0)
        failure = closing;
    return failure < 0 ? give_up(store, failure, "syncing its container", error) : WEIR_OK;
}

static enum weir_result begin_container(struct store *store, struct weir_error *error)
{
    char name[NAME_SEGMENT_SIZE];
    name_of_segment(store->record.epoch, store->next_number, name);
    int file = disk_open(store->data, name, DISK_CREATE);
    if (file == -EEXIST)
        return refuse(store, "another run writes under the same epoch", error);
    if (file < 0)
        return give_up(store, file, "making a container", error);
    store->next_number++;
    store->round.file = file;
    store->round.offset = 0;
    return WEIR_OK;
}

static enum weir_result roll_container(struct store *store, size_t size, struct weir_error *error)
{
    struct store_open_round *round = &store->round;
    if (round->file >= 0 && round->offset > 0 && round->offset + size > SEGMENT_ROLL) {
        enum weir_result result = end_container(store, error);
        if (result != WEIR_OK)
            return result;
    }
    return round->file < 0 ? begin_container(store, error) : WEIR_OK;
}

enum weir_result store_part(struct store *store, uint64_t id, uint32_t task, struct weir_bytes raw,
                            struct manifest_blob *place, struct weir_error *error)
{
    struct store_open_round *round = &store->round;
    struct blob blob = {
        .kind = BLOB_SNAPSHOT, .epoch = store->record.epoch, .task = task, .id = id};
    enum weir_result result = check_open(store, id, false, error);
    if (result == WEIR_OK)
        result = blob_seal(&blob, raw, &store->sealed, store->allocator, error);
    if (result == WEIR_OK)
        result = roll_container(store, store->sealed.size, error);
    if (result != WEIR_OK)
        return result;
    int failure = file_write(round->file, store->sealed.data, store->sealed.size, round->offset);
    if (failure < 0)
        return give_up(store, failure, "writing a part", error);
    *place = (struct manifest_blob){
        .blob = blob,
        .file_epoch = store->record.epoch,
        .file_number = store->next_number - 1,
        .offset = round->offset,
    };
    round->offset += store->sealed.size;
    return WEIR_OK;
}

enum weir_result store_sync(struct store *store, uint64_t id, struct weir_error *error)
{
    enum weir_result result = check_open(store, id, false, error);
    if (result == WEIR_OK)
        result = end_container(store, error);
    if (result != WEIR_OK)
        return result;
    int failure = disk_sync(store->data);
    if (failure < 0)
        return give_up(store, failure, "syncing " NAME_DATA "/", error);
    store->round.synced = true;
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

/* Ours, and readable: what a reader would refuse must never become the newest checkpoint. */
static enum weir_result check_manifest(const struct store *store, const struct manifest *manifest,
                                       const char *text, size_t size, struct weir_error *error)
{
    struct manifest again;
    if (manifest->epoch != store->record.epoch ||
        memcmp(manifest->store_id, store->record.store_id, STORE_ID_SIZE) != 0)
        return error_set(error, WEIR_INVALID, 0, "the manifest is not of this store and run");
    for (uint32_t i = 0; i < manifest->task_count; i++) {
        const struct manifest_blob *part = &manifest->tasks[i].part;
        if (part->file_epoch != store->record.epoch ||
            part->file_number < store->round.first_number ||
            part->file_number >= store->next_number)
            return error_set(error, WEIR_INVALID, 0, "task %u has no part in this round", i);
    }
    enum weir_result result = manifest_parse(text, size, store->allocator, &again, error);
    if (result == WEIR_OK)
        manifest_free(&again);
    else if (result == WEIR_DAMAGED)
        result = error_set(error, WEIR_INVALID, 0, "the manifest would not be readable: %s",
                           error == NULL ? "" : error->text);
    return result;
}

static enum weir_result write_manifest(struct store *store, int folder, const char *text,
                                       size_t size, struct weir_error *error)
{
    int file = disk_open(folder, NAME_MANIFEST_NEW, DISK_CREATE);
    if (file == -EEXIST)
        return refuse(store, "another run writes the same checkpoint", error);
    if (file < 0)
        return give_up(store, file, "making its manifest", error);
    int failure = file_write(file, text, size, 0);
    if (failure == 0 && !WEIR_PLANT(manifest_sync_skipped))
        failure = disk_sync(file);
    int closing = disk_close(file);
    if (failure == 0)
        failure = closing;
    return failure < 0 ? give_up(store, failure, "writing its manifest", error) : WEIR_OK;
}

/* Steps 6-9. */
static enum weir_result publish(struct store *store, int folder, struct weir_error *error)
{
    enum weir_result result = store_fence(store, error);
    if (result != WEIR_OK) {
        store->round.failed = true;
        return result;
    }
    int failure = disk_rename_new(folder, NAME_MANIFEST_NEW, NAME_MANIFEST);
    if (failure == -EEXIST)
        return refuse(store, "another run has committed the same checkpoint", error);
    if (failure < 0)
        return unknown(store, failure, "renaming its manifest", error);
    failure = WEIR_PLANT(commit_sync_skipped) ? 0 : disk_sync(folder);
    if (failure < 0)
        return unknown(store, failure, "syncing its folder", error);
    store->round = (struct store_open_round){.file = -1}; /* COMMITTED: no abort can reach it */
    result = store_fence(store, error);
    if (result == WEIR_OK || result == WEIR_REFUSED)
        return result;
    store->stopped = true; /* it exists, but whether we may say so is not known */
    if (error != NULL)
        error->code = WEIR_UNKNOWN;
    return WEIR_UNKNOWN;
}

enum weir_result store_commit(struct store *store, const struct manifest *manifest,
                              struct weir_error *error)
{
    char *text = NULL;
    size_t size = 0;
    enum weir_result result = check_open(store, manifest->id, true, error);
    if (result != WEIR_OK)
        return result;
    result = manifest_print(manifest, &text, &size, error);
    if (result != WEIR_OK)
        return result;
    result = check_manifest(store, manifest, text, size, error);
    if (result == WEIR_OK) {
        int folder = store_open_folder(store, manifest->id);
        if (folder < 0)
            result = give_up(store, folder, "opening its folder", error);
        else
            result = write_manifest(store, folder, text, size, error);
        if (result == WEIR_OK)
            result = publish(store, folder, error);
        if (folder >= 0)
            disk_close(folder);
    }
    memory_release(manifest->allocator, text);
    if (result == WEIR_OK)
        store_keep(store, manifest);
    return result;
}

/* ----------------------------------------------------------------------------------- abort -- */

void store_abort(struct store *store, uint64_t id)
{
    struct store_open_round round = store->round;
    if (store->stopped || round.id != id || id == 0)
        return;
    if (round.file >= 0)
        disk_close(round.file);
    store->round = (struct store_open_round){.file = -1};
    for (uint64_t number = round.first_number; number < store->next_number; number++)
        store_remove_segment(store, (struct store_segment){store->record.epoch, number});
    int folder = store_open_folder(store, id);
    if (folder >= 0) {
        char reason[ERROR_REASON_ROOM];
        int failure = disk_remove(folder, NAME_MANIFEST_NEW);
        if (failure < 0 && failure != -ENOENT)
            store_warn(store, "a half-written manifest of checkpoint %" PRIu64 " is left over: %s",
                       id, error_reason(-failure, reason));
        disk_close(folder);
    }
    assert(id == store->highest); /* I3: its folder stays until a higher one is there */
    if (store->empty_id != 0)
        store_remove_folder(store, store->empty_id);
    store->empty_id = id;
}
