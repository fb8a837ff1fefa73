/* SPDX-License-Identifier: Apache-2.0
 *
 * store_retain: removing what nobody needs. A checkpoint goes manifest first, and the folder is
 * synced before any of its containers follows: a name that came back after a power cut would point
 * at nothing (I2). A manifest that can't be read may name anything, so while there is one, no
 * container is removed. What is left over is found by store_sweep at the next start.
 */
#include "store_inside.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "error.h"
#include "memory.h"
#include "plant.h"

/* -------------------------------------------------------------------------------- removing -- */

bool store_remove_segment(const struct store *store, struct store_segment segment)
{
    char name[NAME_SEGMENT_SIZE], reason[ERROR_REASON_ROOM];
    name_of_segment(segment.epoch, segment.number, name);
    int failure = disk_remove(store->data, name);
    if (failure < 0 && failure != -ENOENT)
        store_warn(store, NAME_DATA "/%s is left over: %s", name, error_reason(-failure, reason));
    return failure == 0 || failure == -ENOENT;
}

bool store_remove_folder(const struct store *store, uint64_t id)
{
    char name[NAME_ID_SIZE], reason[ERROR_REASON_ROOM];
    name_of_id(id, name);
    int folder = store_open_folder(store, id);
    if (folder >= 0) {
        disk_remove(folder, NAME_MANIFEST_NEW);
        disk_close(folder);
    }
    int failure = disk_remove_folder(store->checkpoints, name);
    if (failure < 0 && failure != -ENOENT)
        store_warn(store, NAME_CHECKPOINTS "/%s is left over: %s", name,
                   error_reason(-failure, reason));
    return failure == 0 || failure == -ENOENT;
}

bool store_remove_manifest(const struct store *store, uint64_t id)
{
    char reason[ERROR_REASON_ROOM];
    int folder = store_open_folder(store, id);
    int failure = folder < 0 ? folder : disk_remove(folder, NAME_MANIFEST);
    if (failure == 0 || (folder >= 0 && failure == -ENOENT))
        failure = WEIR_PLANT(retention_sync_skipped) ? 0 : disk_sync(folder);
    if (folder >= 0)
        disk_close(folder);
    if (failure < 0)
        store_warn(store, "checkpoint %" PRIu64 " could not be removed: %s", id,
                   error_reason(-failure, reason));
    return failure == 0;
}

/* --------------------------------------------------------------------------- what is named -- */

void store_forget_kept(struct store *store)
{
    for (size_t i = 0; i < store->kept_count; i++)
        memory_release(store->allocator, store->kept[i].segments);
    memory_release(store->allocator, store->kept);
    store->kept = NULL;
    store->kept_count = store->kept_capacity = 0;
    store->kept_loaded = false;
}

int store_compare_segments(const void *a, const void *b)
{
    const struct store_segment *one = a, *other = b;
    if (one->epoch != other->epoch)
        return one->epoch < other->epoch ? -1 : 1;
    return (one->number > other->number) - (one->number < other->number);
}

static bool names(const struct store_kept *kept, struct store_segment segment)
{
    return kept->count > 0 && bsearch(&segment, kept->segments, kept->count, sizeof *kept->segments,
                                      store_compare_segments) != NULL;
}

bool store_is_named(const struct store *store, struct store_segment segment)
{
    for (size_t i = 0; i < store->kept_count; i++)
        if (names(&store->kept[i], segment))
            return true;
    return false;
}

/* L4: an open round's containers are in no manifest yet. */
static bool is_being_written(const struct store *store, struct store_segment segment)
{
    for (uint32_t i = 0; i < store->round_count; i++)
        if (store_round_has(store, &store->rounds[i], segment))
            return true;
    return false;
}

bool store_is_needed(const struct store *store, struct store_segment segment)
{
    for (size_t i = 0; i < store->kept_count; i++)
        if (store->kept[i].unreadable)
            return true;
    return is_being_written(store, segment) || store_is_held(store, segment) ||
           store_is_named(store, segment);
}

/* Neighbours share most containers, so few come twice; the rest is taken out later. */
static bool add_segment(const struct store *store, struct store_kept *kept, uint32_t epoch,
                        uint64_t number)
{
    struct store_segment segment = {epoch, number};
    void *segments = kept->segments;
    if (kept->count > 0 && store_compare_segments(&kept->segments[kept->count - 1], &segment) == 0)
        return true;
    bool room = store_grow(store, &segments, kept->count, &kept->capacity, sizeof *kept->segments);
    kept->segments = segments;
    if (room)
        kept->segments[kept->count++] = segment;
    return room;
}

/* Those of a list are bounded by the manifest's own limits. */
static bool add_range(const struct store *store, struct store_kept *kept,
                      const struct manifest_segment *of)
{
    bool room = true;
    for (uint64_t number = of->from_number; number <= of->place.file_number && room; number++)
        room = add_segment(store, kept, of->place.file_epoch, number);
    return room;
}

/* Ascending, each once. A large log has many containers. */
static void sort_segments(struct store_kept *kept)
{
    size_t once = 0;
    if (kept->count == 0)
        return;
    qsort(kept->segments, kept->count, sizeof *kept->segments, store_compare_segments);
    for (size_t i = 1; i < kept->count; i++)
        if (store_compare_segments(&kept->segments[once], &kept->segments[i]) != 0)
            kept->segments[++once] = kept->segments[i];
    kept->count = once + 1;
}

/* Every container that the manifest names. */
static bool add_segments(const struct store *store, struct store_kept *kept,
                         const struct manifest *manifest)
{
    bool room = true;
    for (uint32_t i = 0; i < manifest->task_count && room; i++) {
        const struct manifest_task *task = &manifest->tasks[i];
        room = add_segment(store, kept, task->part.file_epoch, task->part.file_number);
        for (uint32_t k = 0; k < task->inflight_count && room; k++)
            room = add_segment(store, kept, task->inflight[k].file_epoch,
                               task->inflight[k].file_number);
        for (uint32_t k = 0; k < task->state_count && room; k++)
            room = add_range(store, kept, &task->state[k]);
    }
    sort_segments(kept);
    return room;
}

/* manifest NULL: it could not be read. */
static bool add_kept(struct store *store, uint64_t id, const struct manifest *manifest)
{
    struct store_kept kept = {.id = id, .unreadable = manifest == NULL};
    void *all = store->kept;
    bool room =
        store_grow(store, &all, store->kept_count, &store->kept_capacity, sizeof *store->kept);
    store->kept = all;
    if (!room)
        return false;
    if (manifest != NULL && !add_segments(store, &kept, manifest)) {
        memory_release(store->allocator, kept.segments);
        return false;
    }
    store->kept[store->kept_count++] = kept;
    return true;
}

void store_keep(struct store *store, const struct manifest *manifest)
{
    if (store->kept_loaded && !add_kept(store, manifest->id, manifest))
        store->kept_loaded = false; /* it will be read from the store */
}

/* Goes on where it was left: what is known stays known, for one that could not be removed for good
 * need not be in the store's list any more. A manifest that we lack memory or descriptors to read
 * counts as unreadable, for now. */
enum weir_result store_load_kept(struct store *store, struct weir_error *error)
{
    uint64_t *ids = NULL;
    size_t count = 0;
    if (store->kept_loaded)
        return WEIR_OK;
    uint64_t known = store->kept_count == 0 ? 0 : store->kept[store->kept_count - 1].id;
    enum weir_result result = store_list(store, &ids, &count, error);
    for (size_t i = 0; i < count && result == WEIR_OK; i++) {
        struct manifest manifest;
        struct weir_error reason;
        if (ids[i] <= known)
            continue;
        bool sound = store_manifest(store, ids[i], &manifest, &reason) == WEIR_OK;
        if (!add_kept(store, ids[i], sound ? &manifest : NULL))
            result = error_memory(error, "the list of checkpoints", sizeof *store->kept);
        if (sound)
            manifest_free(&manifest);
        else
            store_warn(store, "no container is removed while this stands: %s", reason.text);
    }
    memory_release(store->allocator, ids);
    store->kept_loaded = result == WEIR_OK;
    return result;
}

/* The shortage may be over. */
static enum weir_result read_again(struct store *store, struct weir_error *error)
{
    for (size_t i = 0; i < store->kept_count; i++) {
        struct store_kept *kept = &store->kept[i];
        struct manifest manifest;
        if (!kept->unreadable)
            continue;
        enum weir_result result = store_manifest(store, kept->id, &manifest, error);
        if (result == WEIR_IO || result == WEIR_NO_MEMORY)
            return result;
        if (result != WEIR_OK)
            continue;
        kept->unreadable = !add_segments(store, kept, &manifest);
        manifest_free(&manifest);
        if (kept->unreadable)
            return error_memory(error, "the list of checkpoints", sizeof *kept->segments);
    }
    return WEIR_OK;
}

enum weir_result store_find_name(struct store *store, struct store_segment segment, bool *named,
                                 struct weir_error *error)
{
    enum weir_result result = store_load_kept(store, error);
    *named = result == WEIR_OK && store_is_named(store, segment);
    if (result != WEIR_OK || *named)
        return result;
    result = read_again(store, error);
    *named = result == WEIR_OK && store_is_named(store, segment);
    return result;
}

/* --------------------------------------------------------------------------------- retain -- */

static struct store_kept take_out(struct store *store, size_t index)
{
    struct store_kept gone = store->kept[index];
    store->kept_count--;
    memmove(store->kept + index, store->kept + index + 1,
            (store->kept_count - index) * sizeof *store->kept);
    return gone;
}

void store_forget_one(struct store *store, size_t index)
{
    struct store_kept gone = take_out(store, index);
    memory_release(store->allocator, gone.segments);
}

/* Takes kept[index] out, and removes what it alone named. */
static void drop(struct store *store, size_t index)
{
    struct store_kept gone = take_out(store, index);
    store_remove_folder(store, gone.id);
    for (size_t i = 0; i < gone.count; i++)
        if (!store_is_needed(store, gone.segments[i]))
            store_remove_segment(store, gone.segments[i]);
    for (uint32_t i = 0; WEIR_PLANT(gc_takes_open_round) && i < store->round_count; i++)
        if (store->rounds[i].count > 0)
            store_remove_segment(
                store,
                (struct store_segment){store->record.epoch, store->rounds[i].containers[0].number});
    memory_release(store->allocator, gone.segments);
}

void store_retain(struct store *store, uint32_t keep, uint64_t pinned)
{
    struct weir_error error;
    if (store->stopped)
        return;
    if (store->empty_id != 0 && store->empty_id < store->claimed) {
        store_remove_folder(store, store->empty_id);
        store->empty_id = 0;
    }
    if (store_load_kept(store, &error) != WEIR_OK) {
        store_warn(store, "old checkpoints stay for now: %s", error.text);
        return;
    }
    if (keep == 0)
        keep = 1;
    size_t excess = store->kept_count > keep ? store->kept_count - keep : 0;
    for (size_t at = 0; excess > 0; excess--) {
        struct store_kept *oldest = &store->kept[at];
        if (oldest->id != pinned && !oldest->stuck)
            oldest->stuck = !store_remove_manifest(store, oldest->id); /* no second sync: I1 */
        if (oldest->id == pinned || oldest->stuck)
            at++;
        else
            drop(store, at);
    }
}

/* ------------------------------------------------------------------------------- unfinished -- */

/* An older run that was stopped between its last look at the fence and the rename of its manifest,
 * and that has lost its lock meanwhile, may wake up at any time. Without the file there is nothing
 * to rename; so what this run finds in the store is all there will ever be from before. */
static int void_manifest(const struct store *store, uint64_t id)
{
    int folder = store_open_folder(store, id);
    if (folder < 0)
        return folder == -ENOENT || folder == -ENOTDIR || folder == -ELOOP ? 0 : folder;
    int failure = disk_remove(folder, NAME_MANIFEST_NEW);
    failure = failure == 0 ? disk_sync(folder) : failure == -ENOENT ? 0 : failure;
    disk_close(folder);
    return failure;
}

enum weir_result store_void_unfinished(struct store *store, struct weir_error *error)
{
    struct store_ids list = {0};
    enum weir_result result = store_list_folders(store, false, &list, error);
    for (size_t i = 0; i < list.count && result == WEIR_OK; i++) {
        int failure = void_manifest(store, list.ids[i]);
        if (failure < 0)
            result = error_os(error, -failure,
                              "store %s: removing the unfinished manifest of checkpoint %" PRIu64,
                              store->path, list.ids[i]);
    }
    memory_release(store->allocator, list.ids);
    return result;
}

/* ---------------------------------------------------------------------------------- sweep -- */

static enum weir_result sweep_folders(struct store *store, struct weir_error *error)
{
    struct store_ids list = {0};
    enum weir_result result = store_list_folders(store, false, &list, error);
    for (size_t i = 0; i < list.count && result == WEIR_OK; i++) {
        bool has = false;
        result = store_has_manifest(store, list.ids[i], &has, error);
        if (result != WEIR_OK || has || store_find_round(store, list.ids[i]) != NULL)
            continue;
        if (list.ids[i] < store->claimed)
            store_remove_folder(store, list.ids[i]);
        else
            store->empty_id = list.ids[i]; /* I3 */
    }
    memory_release(store->allocator, list.ids);
    return result;
}

static enum weir_result sweep_segments(struct store *store, struct weir_error *error)
{
    struct store_segments list = {0};
    enum weir_result result = store_list_segments(store, false, &list, error);
    for (size_t i = 0; i < list.count && result == WEIR_OK; i++)
        if (list.segments[i].epoch < store->record.epoch &&
            !store_is_needed(store, list.segments[i]))
            store_remove_segment(store, list.segments[i]);
    memory_release(store->allocator, list.segments);
    return result;
}

enum weir_result store_sweep(struct store *store, struct weir_error *error)
{
    if (store->stopped)
        return error_set(error, WEIR_REFUSED, 0, "store %s: this run may remove nothing",
                         store->path);
    int failure = disk_sync(store->checkpoints); /* I3: the highest is there before others go */
    if (failure < 0)
        return error_os(error, -failure, "store %s: syncing " NAME_CHECKPOINTS "/", store->path);
    enum weir_result result = sweep_folders(store, error);
    if (result == WEIR_OK)
        result = store_load_kept(store, error);
    if (result != WEIR_OK)
        return result;
    failure = disk_sync(store->checkpoints); /* nothing swept comes back and names a blob */
    if (failure < 0)
        return error_os(error, -failure, "store %s: syncing " NAME_CHECKPOINTS "/", store->path);
    return sweep_segments(store, error);
}
