/* SPDX-License-Identifier: Apache-2.0
 *
 * store_save: a savepoint is one committed checkpoint in a directory of its own. The copy is a
 * store of one round, written by the steps of store.h, so tools read it like any other:
 *
 *   1  the directory, made or found empty; SAVEPOINT in it, made, locked and then written, and both
 *      durable: from here on no run takes this for its store
 *   2  LOCK with the store's id and key groups and the checkpoint's epoch; data/, checkpoints/
 *   3  the blobs as they are stored, state of earlier rounds too, each checked on its way;
 *      containers and data/ synced
 *   4  MANIFEST.json with the new places, as in any commit: its rename makes the savepoint
 *
 * V1  before the rename it is nothing. What has failed is taken back; what a death leaves behind is
 *     garbage, and the next attempt at the same path says so and touches nothing.
 *     Whoever is at it holds SAVEPOINT's lock until it is whole or taken back, so what is left can
 *     be told from what is being written; and only who has made SAVEPOINT takes anything back.
 * V2  after the rename nothing in it is ever changed or removed, also when a sync has failed and
 *     nobody knows whether it is whole.
 */
#include "store_inside.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "disk.h"
#include "error.h"
#include "file.h"
#include "memory.h"

struct saving {
    struct store *from, *to;
    struct manifest manifest; /* of the checkpoint; its places become those in the copy */
    bool made;                /* the directory was not there before */
    bool begun;               /* what is in it is ours */
    int note;                 /* SAVEPOINT, locked; -1: not begun */
};

/* ---------------------------------------------------------------------------- the directory -- */

static enum weir_result is_own(const void *own, const struct store *to, const char *up,
                               const struct disk_status *status, struct weir_error *error)
{
    const struct store *from = own;
    (void)up;
    if (status->device != from->root_device || status->inode != from->root_inode)
        return WEIR_OK;
    return error_set(error, WEIR_REFUSED, 0,
                     "%s lies inside the store %s: a savepoint needs a place of its own", to->path,
                     from->path);
}

static bool is_whole(struct store *to)
{
    uint64_t *ids = NULL;
    size_t count = 0;
    bool whole = store_open_folders(to, false, NULL) == WEIR_OK &&
                 store_list(to, &ids, &count, NULL) == WEIR_OK && count > 0;
    memory_release(to->allocator, ids);
    return whole;
}

enum saving_by { SAVING_BY_NOBODY, SAVING_BEGINS, SAVING_NOW };

/* What is written was locked before, so a lock that is free says that nobody writes any more. */
static enum saving_by look_who_saves(const struct store *store)
{
    struct disk_status status;
    int file = disk_open(store->root, NAME_SAVEPOINT, DISK_READ);
    if (file < 0)
        return file == -ENOENT ? SAVING_BEGINS : SAVING_BY_NOBODY;
    bool begins = disk_status(file, &status) < 0 || status.size == 0;
    bool locked = disk_is_locked(file) != 0;
    disk_close(file);
    return locked ? SAVING_NOW : begins ? SAVING_BEGINS : SAVING_BY_NOBODY;
}

enum weir_result store_refuse_saving(const struct store *store, enum weir_result code,
                                     struct weir_error *error)
{
    switch (look_who_saves(store)) {
    case SAVING_NOW:
        return error_set(error, code, 0,
                         "%s is a savepoint that is being written just now, by another process or "
                         "thread: let it end, or name another directory",
                         store->path);
    case SAVING_BEGINS:
        return error_set(error, code, 0,
                         "%s: a savepoint is just begun there, or its writer has died at that: try "
                         "again, and remove that directory only if its " NAME_SAVEPOINT
                         " stays empty; or name another",
                         store->path);
    case SAVING_BY_NOBODY:
        break;
    }
    return WEIR_OK;
}

static enum weir_result refuse_taken(struct store *to, struct weir_error *error)
{
    struct store_census census;
    struct disk_status status;
    enum weir_result result = store_take_census(to, false, &census, error);
    if (result != WEIR_OK)
        return result;
    if (census.lock || census.folders) /* SAVEPOINT comes before them, if not in the listing */
        census.savepoint |= disk_status_at(to->root, NAME_SAVEPOINT, &status) >= 0;
    if (census.savepoint)
        result =
            store_refuse_saving(to, WEIR_REFUSED, error); /* first: it may become whole meanwhile */
    if (result != WEIR_OK)
        return result;
    if (census.savepoint && is_whole(to))
        return error_set(error, WEIR_REFUSED, 0,
                         "%s is a savepoint already, and is never changed: name another directory",
                         to->path);
    if (census.savepoint)
        return error_set(error, WEIR_REFUSED, 0,
                         "%s holds what is left of a savepoint that was never finished: remove "
                         "that directory, or name another",
                         to->path);
    if (census.lock || census.folders)
        return error_set(error, WEIR_REFUSED, 0, "%s is a store: name another directory", to->path);
    return store_refuse_foreign(to, &census, error);
}

/* A directory that can't be read can't be synced: the copy's own name would not be durable. */
static enum weir_result open_place(struct saving *saving, const char *path,
                                   struct weir_error *error)
{
    struct store *to = saving->to;
    enum weir_result result = store_open_parent(to, path, error);
    if (result == WEIR_OK && to->parent == DISK_CWD)
        result = store_unusable(to, -EACCES, "opening the directory that holds it", error);
    if (result == WEIR_OK)
        result = store_walk_up(to, is_own, saving->from, error);
    if (result == WEIR_OK)
        result = store_refuse_nested(to, error);
    if (result != WEIR_OK)
        return result;
    int failure = disk_make_folder(to->parent, to->base);
    saving->made = failure == 0;
    if (failure < 0 && failure != -EEXIST)
        return store_unusable(to, failure, "making the directory", error);
    result = store_open_root(to, true, true, error);
    if (result == WEIR_OK && !saving->made)
        result = refuse_taken(to, error);
    return result;
}

/* ------------------------------------------------------------------------------- what is in -- */

/* Two may have found the directory empty: the one that makes SAVEPOINT has it. */
static enum weir_result refuse_overtaken(struct store *to, struct weir_error *error)
{
    enum weir_result result = refuse_taken(to, error);
    return result != WEIR_OK ? result
                             : error_set(error, WEIR_REFUSED, 0,
                                         "%s: another savepoint was begun there just now, and has "
                                         "been given up: try again",
                                         to->path);
}

static enum weir_result make_note(struct saving *saving, const char *text, size_t size,
                                  struct weir_error *error)
{
    struct store *to = saving->to;
    saving->note = disk_open(to->root, NAME_SAVEPOINT, DISK_CREATE);
    if (saving->note == -EEXIST)
        return refuse_overtaken(to, error);
    if (saving->note < 0)
        return store_unusable(to, saving->note, NAME_SAVEPOINT, error);
    saving->begun = true;
    int failure = disk_lock(saving->note);
    if (failure == 0)
        failure = file_write(saving->note, text, size, 0);
    if (failure == 0)
        failure = disk_sync(saving->note);
    return failure < 0 ? store_unusable(to, failure, NAME_SAVEPOINT, error) : WEIR_OK;
}

static enum weir_result write_note(struct saving *saving, struct weir_error *error)
{
    const struct manifest *manifest = &saving->manifest;
    char text[1024], when[64], id[NAME_ID_SIZE];
    name_of_id(manifest->id, id);
    store_print_time(manifest->triggered_ns, when);
    int size = snprintf(
        text, sizeof text,
        "This is a savepoint of weir: one checkpoint of a job, whole and by itself.\n\n"
        "job:        %s\ncheckpoint: %" PRIu64 "\ntaken:      %s\n\n"
        "weir never changes or removes it. To start the job from it, name it to a run with a\n"
        "store of its own:\n\n    --store NEW_DIRECTORY --restore THIS_DIRECTORY\n\n"
        "It is whole when there is " NAME_CHECKPOINTS "/%s/" NAME_MANIFEST ".\n"
        "Without that file the copy is still being written; or it was interrupted, and then the\n"
        "directory may be removed.\n",
        manifest->job, manifest->id, when, id);
    enum weir_result result = make_note(saving, text, (size_t)size, error);
    if (result != WEIR_OK)
        return result;
    int failure = store_sync_root(saving->to);
    return failure < 0 ? store_unusable(saving->to, failure, "syncing the directory", error)
                       : WEIR_OK;
}

static enum weir_result write_lock(struct store *to, struct weir_error *error)
{
    const struct lock_content none = {0};
    struct disk_status status;
    to->lock = disk_open(to->root, NAME_LOCK, DISK_CREATE);
    if (to->lock < 0)
        return store_unusable(to, to->lock, "making " NAME_LOCK, error);
    int failure = disk_status(to->lock, &status);
    if (failure < 0)
        return store_unusable(to, failure, "looking at " NAME_LOCK, error);
    to->lock_inode = status.inode;
    enum weir_result result = lock_write(to->lock, &none, &to->record, error);
    return result == WEIR_OK ? result : error_within(error, "store %s", to->path);
}

/* Steps 1 and 2. */
static enum weir_result begin(struct saving *saving, const char *path, struct weir_error *error)
{
    enum weir_result result = open_place(saving, path, error);
    if (result == WEIR_OK)
        result = write_note(saving, error);
    if (result == WEIR_OK)
        result = write_lock(saving->to, error);
    if (result == WEIR_OK)
        result = store_make_folders(saving->to, error);
    if (result == WEIR_OK)
        result = store_open_folders(saving->to, true, error);
    return result;
}

enum weir_result store_copy_blob(const struct store_copy *copy, struct manifest_blob *place,
                                 struct weir_error *error)
{
    struct store *from = copy->from;
    struct manifest_blob to = *place; /* with its range */
    enum weir_result result = store_read_stored(from, copy->manifest, copy->task, place, error);
    if (result != WEIR_OK)
        return result;
    struct weir_bytes stored = {from->stored.data, from->stored.size};
    result = store_put(copy->to, copy->manifest->id, &place->blob, stored, &to, error);
    store_stroke(copy->from);
    to.first = place->first;
    to.last = place->last;
    *place = to;
    return result;
}

/* Step 3. */
static enum weir_result copy_blobs(struct saving *saving, struct weir_error *error)
{
    const struct manifest *manifest = &saving->manifest;
    enum weir_result result = store_claim(saving->to, manifest->id, error);
    for (uint32_t i = 0; i < manifest->task_count && result == WEIR_OK; i++) {
        const struct store_copy copy = {saving->from, saving->to, manifest, i};
        struct manifest_task *task = &manifest->tasks[i];
        result = store_copy_blob(&copy, &task->part, error);
        for (uint32_t k = 0; k < task->inflight_count && result == WEIR_OK; k++)
            result = store_copy_blob(&copy, &task->inflight[k], error);
        for (uint32_t k = 0; k < task->state_count && result == WEIR_OK; k++)
            result = store_copy_segment(&copy, k, &task->state[k], error);
    }
    return result == WEIR_OK ? store_sync(saving->to, manifest->id, error) : result;
}

/* ---------------------------------------------------------------------------------- the end -- */

static bool is_gone(int failure)
{
    return failure == 0 || failure == -ENOENT;
}

/* SAVEPOINT guards the rest, so the rest is gone for good before it goes. */
static bool clear(struct store *to)
{
    return is_gone(disk_remove_folder(to->root, NAME_CHECKPOINTS)) &&
           is_gone(disk_remove_folder(to->root, NAME_DATA)) &&
           is_gone(disk_remove(to->root, NAME_LOCK)) && !to->doubtful && store_sync_root(to) == 0 &&
           is_gone(disk_remove(to->root, NAME_SAVEPOINT));
}

/* Of a directory that was made, when nothing is in it: others may have begun there. */
static void leave(const struct saving *saving)
{
    if (saving->made)
        (void)disk_remove_folder(saving->to->parent, saving->to->base);
}

/* V1 */
static void take_back(const struct saving *saving)
{
    struct store *to = saving->to;
    store_abort(to, saving->manifest.id);
    if (to->checkpoints >= 0)
        store_remove_folder(to, saving->manifest.id);
    bool gone = clear(to);
    if (gone && saving->made)
        gone = is_gone(disk_remove_folder(to->parent, to->base));
    if (!gone)
        store_warn(to, "a savepoint that failed is left over: remove the directory");
}

/* The commit found something else than it left, or it ended in the middle: V2. */
static void stopped(const struct store *to, enum weir_result result, struct weir_error *error)
{
    if (result == WEIR_REFUSED)
        (void)error_set(error, WEIR_IO, 0,
                        "%s was moved or changed while a savepoint was written to it: do not use "
                        "it, and save to another directory",
                        to->path);
    else
        (void)error_within(error,
                           "nobody knows whether %s is whole: do not use it, and save to another "
                           "directory",
                           to->path);
    error->code = WEIR_IO;
}

static enum weir_result save(struct saving *saving, const char *path, struct weir_error *error)
{
    enum weir_result result = begin(saving, path, error);
    if (result == WEIR_OK)
        result = copy_blobs(saving, error);
    if (result == WEIR_OK)
        result = store_commit(saving->to, &saving->manifest, error);
    if (result == WEIR_OK)
        return result;
    if (saving->to->stopped)
        stopped(saving->to, result, error);
    else if (saving->begun)
        take_back(saving);
    else
        leave(saving);
    return error_within(error, "saving checkpoint %" PRIu64, saving->manifest.id);
}

enum weir_result store_save_copy(struct store *store, uint64_t id, const char *path,
                                 struct weir_error *error)
{
    struct saving saving = {.from = store, .note = -1};
    struct weir_error own;
    if (error == NULL)
        error = &own;
    enum weir_result result = store_manifest(store, id, &saving.manifest, error);
    if (result != WEIR_OK)
        return result;
    struct store *to = saving.to = store_new(store->allocator, error);
    if (to != NULL) {
        to->warn = store->warn;
        to->warn_context = store->warn_context;
        to->record.epoch = saving.manifest.epoch;
        to->record.process = disk_process();
        to->record.key_groups = store->record.key_groups;
        memcpy(to->record.store_id, store->record.store_id, STORE_ID_SIZE);
    }
    result = to == NULL ? WEIR_NO_MEMORY : save(&saving, path, error);
    if (saving.note >= 0) {
        (void)disk_unlock(saving.note); /* a forked child may have it open */
        disk_close(saving.note);        /* it was synced */
    }
    store_close(&saving.to);
    manifest_free(&saving.manifest);
    return result;
}

enum weir_result store_refuse_inside(const char *path, const struct weir_allocator *allocator,
                                     struct weir_error *error)
{
    struct store *place = store_new(allocator, error);
    if (place == NULL)
        return WEIR_NO_MEMORY;
    enum weir_result result = store_open_parent(place, path, error);
    if (result == WEIR_OK)
        result = store_refuse_nested(place, error);
    store_close(&place);
    return result;
}
