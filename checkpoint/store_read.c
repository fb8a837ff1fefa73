/* SPDX-License-Identifier: Apache-2.0
 *
 * store_read: listing, manifests, parts, and which checkpoint to go on from.
 *
 * What stands in the store and is not what was written is *damage*: missing, cut, changed, swapped,
 * not a regular file. What only this process lacks - descriptors, memory, permission - is not, and
 * sets nothing aside (F27). An I/O error while reading is reported as one.
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
#include "plant.h"

/* --------------------------------------------------------------------------------- listing -- */

struct lister {
    const struct store *store;
    bool report;
    struct store_ids *ids;
    struct store_segments *segments;
};

bool store_grow(const struct store *store, void **array, size_t count, size_t *capacity,
                size_t element)
{
    if (count < *capacity)
        return true;
    size_t next = *capacity == 0 ? 16 : 2 * *capacity;
    void *grown = memory_resize(store->allocator, *array, count * element, next * element);
    if (grown == NULL)
        return false;
    *array = grown;
    *capacity = next;
    return true;
}

static int add_id(void *context, const char *name, enum disk_kind kind)
{
    struct lister *lister = context;
    struct store_ids *list = lister->ids;
    uint64_t id = 0;
    bool named = name_is_id(name, &id);
    if (lister->report && (!named || kind != DISK_FOLDER))
        store_warn(lister->store, NAME_CHECKPOINTS "/%s is not weir's: ignored", name);
    if (!named)
        return 0;
    void *array = list->ids; /* one of another kind too: its id can't be claimed any more */
    bool room = store_grow(lister->store, &array, list->count, &list->capacity, sizeof *list->ids);
    list->ids = array;
    if (room)
        list->ids[list->count++] = id;
    return room ? 0 : -ENOMEM;
}

static int add_segment(void *context, const char *name, enum disk_kind kind)
{
    struct lister *lister = context;
    struct store_segments *list = lister->segments;
    struct store_segment segment;
    bool named = name_is_segment(name, &segment.epoch, &segment.number);
    if (lister->report && (!named || kind != DISK_FILE))
        store_warn(lister->store, NAME_DATA "/%s is not weir's: ignored", name);
    if (!named)
        return 0;
    void *array = list->segments;
    bool room =
        store_grow(lister->store, &array, list->count, &list->capacity, sizeof *list->segments);
    list->segments = array;
    if (room)
        list->segments[list->count++] = segment;
    return room ? 0 : -ENOMEM;
}

/* Few, and mostly in order already. */
static void sort_ids(struct store_ids *list)
{
    for (size_t i = 1; i < list->count; i++) {
        uint64_t id = list->ids[i];
        size_t j = i;
        for (; j > 0 && list->ids[j - 1] > id; j--)
            list->ids[j] = list->ids[j - 1];
        list->ids[j] = id;
    }
}

enum weir_result store_list_folders(const struct store *store, bool report, struct store_ids *list,
                                    struct weir_error *error)
{
    struct lister lister = {.store = store, .report = report, .ids = list};
    int failure = disk_list(store->checkpoints, add_id, &lister);
    if (failure < 0)
        return error_os(error, -failure, "store %s: listing " NAME_CHECKPOINTS "/", store->path);
    sort_ids(list);
    return WEIR_OK;
}

enum weir_result store_list_segments(const struct store *store, bool report,
                                     struct store_segments *list, struct weir_error *error)
{
    struct lister lister = {.store = store, .report = report, .segments = list};
    int failure = disk_list(store->data, add_segment, &lister);
    if (failure < 0)
        return error_os(error, -failure, "store %s: listing " NAME_DATA "/", store->path);
    return WEIR_OK;
}

int store_open_folder(const struct store *store, uint64_t id)
{
    char name[NAME_ID_SIZE];
    name_of_id(id, name);
    return disk_open(store->checkpoints, name, DISK_DIRECTORY);
}

/* Of any kind: a manifest that is a link or a directory is damage, not an unfinished round. */
enum weir_result store_has_manifest(const struct store *store, uint64_t id, bool *has,
                                    struct weir_error *error)
{
    struct disk_status status;
    *has = false;
    int folder = store_open_folder(store, id);
    if (folder == -ENOENT || folder == -ENOTDIR || folder == -ELOOP)
        return WEIR_OK;
    int failure = folder;
    if (folder >= 0) {
        failure = disk_status_at(folder, NAME_MANIFEST, &status);
        disk_close(folder);
    }
    *has = failure >= 0;
    if (failure < 0 && failure != -ENOENT)
        return error_os(error, -failure, "store %s: looking at checkpoint %" PRIu64, store->path,
                        id);
    return WEIR_OK;
}

enum weir_result store_list(struct store *store, uint64_t **ids, size_t *count,
                            struct weir_error *error)
{
    struct store_ids list = {0};
    size_t kept = 0;
    enum weir_result result = store_list_folders(store, false, &list, error);
    for (size_t i = 0; i < list.count && result == WEIR_OK; i++) {
        bool has = false;
        result = store_has_manifest(store, list.ids[i], &has, error);
        if (has)
            list.ids[kept++] = list.ids[i];
    }
    if (result != WEIR_OK) {
        memory_release(store->allocator, list.ids);
        return result;
    }
    *ids = list.ids;
    *count = kept;
    return WEIR_OK;
}

/* ------------------------------------------------------------------------------- manifests -- */

/* A whole regular file of at most MANIFEST_LIMIT bytes. */
static enum weir_result read_text(const struct store *store, int file, char **text, size_t *size,
                                  struct weir_error *error)
{
    struct disk_status status;
    int failure = disk_status(file, &status);
    if (failure < 0)
        return error_os(error, -failure, NAME_MANIFEST);
    if (status.kind != DISK_FILE)
        return error_set(error, WEIR_DAMAGED, 0, NAME_MANIFEST " is not a regular file");
    if (status.size > MANIFEST_LIMIT)
        return error_set(error, WEIR_DAMAGED, 0, NAME_MANIFEST " is over the limit of %zu bytes",
                         MANIFEST_LIMIT);
    *text = memory_take(store->allocator, (size_t)status.size);
    if (*text == NULL)
        return error_memory(error, NAME_MANIFEST, (size_t)status.size);
    failure = file_read(file, *text, (size_t)status.size, 0, size);
    return failure < 0 ? error_os(error, -failure, "reading " NAME_MANIFEST) : WEIR_OK;
}

static enum weir_result open_manifest(const struct store *store, uint64_t id, int *file,
                                      struct weir_error *error)
{
    int folder = store_open_folder(store, id);
    *file = folder;
    if (folder >= 0) {
        *file = disk_open(folder, NAME_MANIFEST, DISK_READ);
        disk_close(folder);
        if (*file == -ELOOP || *file == -ENXIO)
            return error_set(error, WEIR_DAMAGED, -*file, NAME_MANIFEST " is not a regular file");
    }
    if (*file == -ENOENT || *file == -ENOTDIR || *file == -ELOOP)
        return error_set(error, WEIR_NOT_FOUND, ENOENT, "there is no such checkpoint");
    return *file < 0 ? error_os(error, -*file, "opening " NAME_MANIFEST) : WEIR_OK;
}

/* A right manifest in a wrong place is damage as well (F18). */
static enum weir_result check_place(const struct store *store, uint64_t id,
                                    const struct manifest *manifest, struct weir_error *error)
{
    if (memcmp(manifest->store_id, store->record.store_id, STORE_ID_SIZE) != 0)
        return error_set(error, WEIR_DAMAGED, 0, NAME_MANIFEST " is of another store");
    if (manifest->id != id)
        return error_set(error, WEIR_DAMAGED, 0, NAME_MANIFEST " is of checkpoint %" PRIu64,
                         manifest->id);
    return WEIR_OK;
}

enum weir_result store_manifest(struct store *store, uint64_t id, struct manifest *manifest,
                                struct weir_error *error)
{
    char *text = NULL;
    size_t size = 0;
    int file = -1;
    bool parsed = false;
    if (id == 0 || id > NAME_NUMBER_LIMIT)
        return error_set(error, WEIR_NOT_FOUND, 0, "store %s: there is no checkpoint %" PRIu64,
                         store->path, id);
    enum weir_result result = open_manifest(store, id, &file, error);
    if (result == WEIR_OK)
        result = read_text(store, file, &text, &size, error);
    if (result == WEIR_OK) {
        result = manifest_parse(text, size, store->allocator, manifest, error);
        parsed = result == WEIR_OK;
        if (!parsed)
            (void)error_within(error, NAME_MANIFEST);
    }
    if (parsed)
        result = check_place(store, id, manifest, error);
    if (parsed && result != WEIR_OK)
        manifest_free(manifest);
    if (file >= 0)
        disk_close(file);
    memory_release(store->allocator, text);
    if (result != WEIR_OK)
        (void)error_within(error, "store %s: checkpoint %" PRIu64, store->path, id);
    return result;
}

/* ----------------------------------------------------------------------------------- parts -- */

static enum weir_result read_exactly(int file, unsigned char *bytes, size_t size, uint64_t offset,
                                     struct weir_error *error)
{
    size_t got = 0;
    int failure = file_read(file, bytes, size, offset, &got);
    if (failure < 0)
        return error_os(error, -failure, "reading");
    if (got < size)
        return error_set(error, WEIR_DAMAGED, 0, "the file is cut short");
    return WEIR_OK;
}

static enum weir_result room_for_stored(const struct store *store, struct blob_buffer *buffer,
                                        uint64_t size, struct weir_error *error)
{
    buffer->size = 0;
    if (size <= buffer->capacity && buffer->data != NULL)
        return WEIR_OK;
    blob_buffer_free(buffer, store->allocator);
    buffer->data = memory_take(store->allocator, (size_t)size);
    if (buffer->data == NULL)
        return error_memory(error, "reading a part", (size_t)size);
    buffer->capacity = (size_t)size;
    return WEIR_OK;
}

/* Header first, by its own checksum; then the sizes against the file's real one; only then memory
 * is taken and the body read. blob_open checks the rest. */
static enum weir_result read_stored(const struct store *store, int file,
                                    const struct manifest_blob *place, struct blob_buffer *stored,
                                    struct weir_error *error)
{
    unsigned char header[BLOB_HEADER_SIZE];
    struct disk_status status;
    struct blob found;
    int failure = disk_status(file, &status);
    if (failure < 0)
        return error_os(error, -failure, "looking at the file");
    if (status.kind != DISK_FILE)
        return error_set(error, WEIR_DAMAGED, 0, "this is not a regular file");
    if (place->offset > status.size || status.size - place->offset < BLOB_HEADER_SIZE)
        return error_set(error, WEIR_DAMAGED, 0, "the file is cut short: it has %" PRIu64 " bytes",
                         status.size);
    enum weir_result result = read_exactly(file, header, sizeof header, place->offset, error);
    if (result == WEIR_OK)
        result = blob_header(header, &found, error);
    if (result != WEIR_OK)
        return result;
    uint64_t left = status.size - place->offset - BLOB_HEADER_SIZE;
    if (found.stored_size != place->blob.stored_size)
        return error_set(error, WEIR_DAMAGED, 0, "the blob's sizes are not those in the manifest");
    if (found.stored_size > left)
        return error_set(error, WEIR_DAMAGED, 0,
                         "the file is cut short: %" PRIu64 " bytes are left of %" PRIu64, left,
                         found.stored_size);
    result = room_for_stored(store, stored, BLOB_HEADER_SIZE + found.stored_size, error);
    if (result != WEIR_OK)
        return result;
    stored->size = (size_t)(BLOB_HEADER_SIZE + found.stored_size);
    return read_exactly(file, stored->data, stored->size, place->offset, error);
}

static enum weir_result open_segment(const struct store *store, const char *name, int *file,
                                     struct weir_error *error)
{
    *file = disk_open(store->data, name, DISK_READ);
    if (*file == -ENOENT)
        return error_set(error, WEIR_DAMAGED, ENOENT, "the file is missing");
    if (*file == -ELOOP || *file == -ENXIO)
        return error_set(error, WEIR_DAMAGED, -*file, "this is not a regular file");
    return *file < 0 ? error_os(error, -*file, "opening the file") : WEIR_OK;
}

/* Said behind a task, of a blob that is not its part. */
static const char *kind_text(enum blob_kind kind)
{
    return kind == BLOB_INFLIGHT                     ? ", in flight"
           : kind == BLOB_STATE || kind == BLOB_LIST ? ", state"
                                                     : "";
}

enum weir_result store_within_blob(const struct store *store, const struct manifest *manifest,
                                   uint32_t task, const struct manifest_blob *place,
                                   struct weir_error *error)
{
    const struct manifest_task *of = &manifest->tasks[task];
    char name[NAME_SEGMENT_SIZE];
    name_of_segment(place->file_epoch, place->file_number, name);
    return error_within(error,
                        "store %s: checkpoint %" PRIu64 ": " NAME_DATA "/%s at offset %" PRIu64
                        " (node '%s', subtask %u%s)",
                        store->path, manifest->id, name, place->offset,
                        manifest->graph.nodes[of->node].name, of->subtask,
                        kind_text(place->blob.kind));
}

/* One blob of a task, opened into `out`; NULL: only checked. */
static enum weir_result read_blob(const struct store *store, const struct manifest *manifest,
                                  uint32_t task, const struct manifest_blob *place,
                                  struct blob_buffer *stored, struct blob_buffer *out,
                                  struct weir_error *error)
{
    char name[NAME_SEGMENT_SIZE];
    int file = -1;
    name_of_segment(place->file_epoch, place->file_number, name);
    enum weir_result result = open_segment(store, name, &file, error);
    if (result == WEIR_OK)
        result = read_stored(store, file, place, stored, error);
    struct weir_bytes bytes = {stored->data, stored->size};
    if (result == WEIR_OK && out == NULL)
        result = blob_check(&place->blob, bytes, error);
    else if (result == WEIR_OK)
        result = blob_open(&place->blob, bytes, out, store->allocator, error);
    if (file >= 0)
        disk_close(file);
    if (result == WEIR_OK && store->read != NULL)
        store->read(store->read_context, bytes.size);
    if (result != WEIR_OK)
        (void)store_within_blob(store, manifest, task, place, error);
    return result;
}

enum weir_result store_fetch(const struct store *store, const struct manifest *manifest,
                             uint32_t task, const struct manifest_blob *place,
                             struct blob_buffer *stored, struct blob_buffer *out,
                             struct weir_error *error)
{
    return read_blob(store, manifest, task, place, stored, out, error);
}

enum weir_result store_read_stored(struct store *store, const struct manifest *manifest,
                                   uint32_t task, const struct manifest_blob *place,
                                   struct weir_error *error)
{
    return read_blob(store, manifest, task, place, &store->stored, NULL, error);
}

static enum weir_result check_task(const struct manifest *manifest, uint32_t task,
                                   struct weir_error *error)
{
    if (task >= manifest->task_count)
        return error_set(error, WEIR_INVALID, 0, "checkpoint %" PRIu64 " has no task %u",
                         manifest->id, task);
    return WEIR_OK;
}

enum weir_result store_read(struct store *store, const struct manifest *manifest, uint32_t task,
                            struct blob_buffer *out, struct weir_error *error)
{
    enum weir_result result = check_task(manifest, task, error);
    if (result != WEIR_OK)
        return result;
    return read_blob(store, manifest, task, &manifest->tasks[task].part, &store->stored, out,
                     error);
}

enum weir_result store_read_inflight(struct store *store, const struct manifest *manifest,
                                     uint32_t task, uint32_t index, struct blob_buffer *out,
                                     struct weir_error *error)
{
    enum weir_result result = check_task(manifest, task, error);
    if (result != WEIR_OK)
        return result;
    const struct manifest_task *of = &manifest->tasks[task];
    if (index >= of->inflight_count)
        return error_set(error, WEIR_INVALID, 0,
                         "checkpoint %" PRIu64 " has %u pieces in flight at task %u, no %u",
                         manifest->id, of->inflight_count, task, index);
    return read_blob(store, manifest, task, &of->inflight[index], &store->stored, out, error);
}

enum weir_result store_check_state(const struct manifest *manifest, uint32_t task, uint32_t index,
                                   struct weir_error *error)
{
    enum weir_result result = check_task(manifest, task, error);
    if (result != WEIR_OK || index < manifest->tasks[task].state_count)
        return result;
    return error_set(error, WEIR_INVALID, 0,
                     "checkpoint %" PRIu64 " has %u segments of state at task %u, no %u",
                     manifest->id, manifest->tasks[task].state_count, task, index);
}

enum weir_result store_read_state(struct store *store, const struct manifest *manifest,
                                  uint32_t task, uint32_t index, struct blob_buffer *out,
                                  struct weir_error *error)
{
    enum weir_result result = store_check_state(manifest, task, index, error);
    if (result != WEIR_OK)
        return result;
    return read_blob(store, manifest, task, &manifest->tasks[task].state[index].place,
                     &store->stored, out, error);
}

/* The list of a segment that has one, and all that it names. */
static enum weir_result verify_segment(struct store *store, const struct manifest *manifest,
                                       uint32_t task, uint32_t index, struct blob_buffer *out,
                                       struct weir_error *error)
{
    struct manifest_blob *blobs = NULL;
    enum weir_result result = store_list_blobs(store, manifest, task, index, &blobs, error);
    for (uint32_t i = 0; result == WEIR_OK && i < manifest->tasks[task].state[index].blob_count;
         i++)
        result = store_fetch(store, manifest, task, &blobs[i], &store->stored, out, error);
    memory_release(store->allocator, blobs);
    return result;
}

enum weir_result store_verify(struct store *store, uint64_t id, struct weir_error *error)
{
    struct manifest manifest;
    struct blob_buffer out = {0};
    enum weir_result result = store_manifest(store, id, &manifest, error);
    if (result != WEIR_OK)
        return result;
    for (uint32_t task = 0; task < manifest.task_count && result == WEIR_OK; task++) {
        result = store_read(store, &manifest, task, &out, error);
        for (uint32_t i = 0; i < manifest.tasks[task].inflight_count && result == WEIR_OK; i++)
            result = store_read_inflight(store, &manifest, task, i, &out, error);
        for (uint32_t i = 0; i < manifest.tasks[task].state_count && result == WEIR_OK; i++)
            result = verify_segment(store, &manifest, task, i, &out, error);
    }
    blob_buffer_free(&out, store->allocator);
    manifest_free(&manifest);
    return result;
}

/* -------------------------------------------------------------------------------- recovery -- */

/* "12, 11, 9": the newest few of the sound ones below `id`, and the newest of all; and how many
 * there are, sound or not. */
static uint64_t sound_ids(struct store *store, uint64_t id, char *text, size_t size, size_t *count)
{
    uint64_t *ids = NULL, newest = 0;
    size_t used = 0;
    struct weir_error ignored;
    text[0] = 0;
    *count = 1; /* unless the store says that there is none */
    if (store_list(store, &ids, count, &ignored) != WEIR_OK)
        return 0;
    for (size_t i = *count; i > 0 && used + 24 < size; i--) {
        if (ids[i - 1] >= id || store_verify(store, ids[i - 1], &ignored) != WEIR_OK)
            continue;
        if (newest == 0)
            newest = ids[i - 1];
        used += (size_t)snprintf(text + used, size - used, "%s%" PRIu64, used == 0 ? "" : ", ",
                                 ids[i - 1]);
    }
    memory_release(store->allocator, ids);
    return newest;
}

/* It holds one checkpoint; what the job's own store holds is not known here. */
static enum weir_result explain_savepoint(const struct store *store, struct weir_error *error)
{
    char what[380];
    snprintf(what, sizeof what, "%.*s", (int)sizeof what - 1, error->text);
    return error_set(error, error->code, error->os_error,
                     "%s; %s is a savepoint and holds nothing else: --restore another one, or a "
                     "checkpoint of the job's store",
                     what, store->path);
}

enum weir_result store_explain(struct store *store, uint64_t id, struct weir_error *error)
{
    if (error == NULL)
        return WEIR_DAMAGED;
    if (store->savepoint)
        return explain_savepoint(store, error);
    char sound[96], what[380];
    bool absent = error->code == WEIR_NOT_FOUND; /* then newer ones serve as well */
    size_t count;
    uint64_t newest = sound_ids(store, absent ? UINT64_MAX : id, sound, sizeof sound, &count);
    snprintf(what, sizeof what, "%.*s", (int)sizeof what - 1,
             error->text); /* the advice must fit */
    if (count == 0)
        return error_set(
            error, error->code, error->os_error,
            "%s; the store holds none yet: --restore latest (or leaving it out) starts "
            "from the beginning",
            what);
    if (newest == 0)
        return error_set(error, error->code, error->os_error,
                         "%s; no other checkpoint is sound: only --restore none (or "
                         "WEIR_RESTORE_NONE) is left, and starts from the beginning, with another "
                         "place for the output",
                         what);
    if (absent)
        return error_set(error, error->code, error->os_error,
                         "%s; sound are: %s; --restore latest goes on from the newest", what,
                         sound);
    return error_set(error, error->code, error->os_error,
                     "%s; older and sound: %s; to go on from one: --restore %" PRIu64
                     " (or WEIR_RESTORE_ID); output published since then would be published again",
                     what, sound, newest);
}

static enum weir_result newest_id(struct store *store, uint64_t *id, struct weir_error *error)
{
    uint64_t *ids = NULL;
    size_t count = 0;
    struct weir_error why; /* asked first: it may become whole meanwhile */
    enum weir_result saving =
        store->savepoint ? store_refuse_saving(store, WEIR_NOT_FOUND, &why) : WEIR_OK;
    enum weir_result result = store_list(store, &ids, &count, error);
    if (result != WEIR_OK)
        return result;
    *id = count == 0 ? 0 : ids[count - 1];
    memory_release(store->allocator, ids);
    if (*id == 0 && saving != WEIR_OK)
        return error_set(error, saving, 0, "%s", why.text);
    if (*id == 0 && store->savepoint)
        return error_set(error, WEIR_NOT_FOUND, 0,
                         "savepoint %s was never finished: it has no " NAME_MANIFEST
                         "; remove the directory",
                         store->path);
    if (*id == 0)
        return error_set(error, WEIR_NOT_FOUND, 0, "store %s holds no checkpoint", store->path);
    return WEIR_OK;
}

/* What a view looks at may lie where nothing can be written, and then nothing waits to be. */
static int sync_folder(const struct store *store, int folder)
{
    int failure = disk_sync(folder);
    bool settled = failure == -EROFS || failure == -EINVAL;
    return settled && store->lock < 0 ? 0 : failure;
}

/* After a crash between rename and sync the name may exist in memory alone: output committed now
 * could outlive the checkpoint it belongs to (F59). */
static enum weir_result make_durable(const struct store *store, uint64_t id,
                                     struct weir_error *error)
{
    if (WEIR_PLANT(recovery_sync_skipped))
        return WEIR_OK;
    int folder = store_open_folder(store, id);
    int failure = folder < 0 ? folder : sync_folder(store, folder);
    if (folder >= 0)
        disk_close(folder);
    if (failure == 0)
        failure = sync_folder(store, store->checkpoints);
    if (failure == 0)
        failure = sync_folder(store, store->data);
    if (failure < 0)
        return error_os(error, -failure, "store %s: syncing checkpoint %" PRIu64 " before using it",
                        store->path, id);
    return WEIR_OK;
}

enum weir_result store_recover(struct store *store, uint64_t wanted, struct manifest *manifest,
                               struct weir_error *error)
{
    struct weir_error own;
    uint64_t id = wanted;
    if (error == NULL)
        error = &own;
    enum weir_result result = wanted == 0 ? newest_id(store, &id, error) : WEIR_OK;
    if (result != WEIR_OK)
        return result;
    result = store_manifest(store, id, manifest, error);
    while (WEIR_PLANT(falls_back) && wanted == 0 && result != WEIR_OK && id > 1)
        result = store_manifest(store, --id, manifest, error);
    if (result == WEIR_DAMAGED || result == WEIR_NOT_FOUND)
        return store_explain(store, id, error);
    if (result != WEIR_OK)
        return result;
    result = make_durable(store, id, error);
    if (result != WEIR_OK)
        manifest_free(manifest);
    return result;
}
