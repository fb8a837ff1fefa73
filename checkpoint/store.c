/* SPDX-License-Identifier: Apache-2.0
 *
 * store: opening and closing. In order, so that every crash leaves what the next start can tell
 * apart:
 *
 *   1 the directory is made, or is found and its owner and mode are checked
 *   2 LOCK is made (empty) or found, and locked
 *   3 when LOCK has no sound record: the parent and the directory are synced, data/ and
 *     checkpoints/ are made, the directory is synced again
 *   4 a file is written, synced and removed: the store can be written to
 *   5 epoch := 1 + the largest in LOCK or in any name, written into LOCK and synced
 *
 * LOCK without a sound record is a creation that was interrupted as long as nothing else is there:
 * no checkpoint was ever claimed, so nothing is lost by starting over. Otherwise it is damage.
 */
#include "store_inside.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "disk.h"
#include "error.h"
#include "file.h"
#include "memory.h"
#include "plant.h"

void store_warn(const struct store *store, const char *format, ...)
{
    if (store->warn == NULL)
        return;
    char text[sizeof((struct weir_error *)0)->text];
    struct weir_error printable;
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    (void)error_set(&printable, WEIR_OK, 0, "store %s: %s", store->path, text);
    store->warn(store->warn_context, printable.text);
}

/* ------------------------------------------------------------------------------- the lock -- */

/* Days to date as Howard Hinnant's
 * civil_from_days; the C library's way needs <time.h>, and this folder has no clock. */
void store_print_time(int64_t since_1970_ns, char text[64])
{
    int64_t seconds = since_1970_ns / 1000000000;
    int64_t shifted = seconds / 86400 + 719468;
    unsigned clock = (unsigned)(seconds % 86400);
    int64_t era = shifted / 146097;
    unsigned day_of_era = (unsigned)(shifted - era * 146097);
    unsigned year =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    unsigned march = (5 * day_of_year + 2) / 153; /* months since March */
    unsigned day = day_of_year - (153 * march + 2) / 5 + 1;
    unsigned month = march < 10 ? march + 3 : march - 9;
    snprintf(text, 64, "%04u-%02u-%02u %02u:%02u:%02u UTC",
             (unsigned)era * 400 + year + (month <= 2 ? 1 : 0), month, day, clock / 3600 % 24,
             clock / 60 % 60, clock % 60);
}

/* The lock belongs to whoever has LOCK open as the owner did: a child that it forked has, and may
 * outlive it. */
static bool is_gone(uint32_t process)
{
    struct disk_status status;
    char path[32];
    snprintf(path, sizeof path, "/proc/%u", process);
    return disk_status_at(DISK_CWD, path, &status) == -ENOENT &&
           disk_status_at(DISK_CWD, "/proc/self", &status) >= 0;
}

static enum weir_result name_owner(const struct store *store, struct weir_error *error)
{
    struct lock_content content;
    struct disk_status status;
    struct weir_error ignored;
    char since[64];
    if (lock_read(store->lock, &content, &ignored) != WEIR_OK || content.sound_count == 0 ||
        disk_status(store->lock, &status) < 0 || status.modified_ns < 0)
        return error_set(error, WEIR_LOCKED, 0,
                         "store %s is in use by another run: wait for it, or stop it", store->path);
    store_print_time(status.modified_ns, since);
    if (is_gone(content.record.process))
        return error_set(
            error, WEIR_LOCKED, 0,
            "store %s is in use: process %u, epoch %u, since %s, has ended, but one that it forked "
            "has " NAME_LOCK " open, or another run or a cleaning begins just now: try again; what "
            "then still has " NAME_LOCK " open, fuser %s/" NAME_LOCK " names",
            store->path, content.record.process, content.record.epoch, since, store->path);
    return error_set(error, WEIR_LOCKED, 0,
                     "store %s is in use by %s: process %u, epoch %u, since %s: wait for it%s",
                     store->path, content.record.cleaning ? "a cleaning" : "another run",
                     content.record.process, content.record.epoch, since,
                     content.record.cleaning ? "" : ", or stop it");
}

static enum weir_result check_lock_file(struct store *store, struct weir_error *error)
{
    struct disk_status status;
    int failure = disk_status(store->lock, &status);
    if (failure < 0)
        return store_unusable(store, failure, "looking at " NAME_LOCK, error);
    if (status.kind != DISK_FILE)
        return error_set(error, WEIR_REFUSED, 0, "store %s: " NAME_LOCK " is not a regular file",
                         store->path);
    store->lock_inode = status.inode;
    return store_check_owner(store, NAME_LOCK, &status, error);
}

static enum weir_result take_lock(struct store *store, bool existing, struct weir_error *error)
{
    struct store_census census;
    enum weir_result result = store_take_census(store, false, &census, error);
    if (result == WEIR_OK && census.savepoint)
        return error_set(error, WEIR_REFUSED, 0,
                         "%s is a savepoint, and is never changed: give the run a store of its own "
                         "and --restore %s%s",
                         store->path, strchr(store->path, '/') ? "" : "./", store->path);
    if (result == WEIR_OK && !census.lock)
        result = store_refuse_foreign(store, &census, error);
    if (result != WEIR_OK)
        return result;
    if (!census.lock && existing)
        return store_refuse_gone(store, error);
    if (!census.lock && census.folders)
        return error_set(error, WEIR_DAMAGED, 0, "store %s: " NAME_LOCK " is missing", store->path);
    store->lock = disk_open(store->root, NAME_LOCK, DISK_UPDATE);
    if (store->lock == -ELOOP || store->lock == -EISDIR || store->lock == -ENXIO)
        return error_set(error, WEIR_REFUSED, 0, "store %s: " NAME_LOCK " is not a regular file",
                         store->path);
    if (store->lock < 0)
        return store_unusable(store, store->lock, "opening " NAME_LOCK, error);
    result = check_lock_file(store, error);
    if (result != WEIR_OK)
        return result;
    int failure = disk_lock(store->lock);
    if (failure == -EAGAIN)
        return name_owner(store, error);
    return failure < 0 ? store_unusable(store, failure, "locking", error) : WEIR_OK;
}

/* -------------------------------------------------------------------------- what is inside -- */

/* Ids must never repeat, and epochs must be new: both look at every name there is. */
static enum weir_result survey(struct store *store, uint32_t *largest_epoch, bool *anything,
                               struct weir_error *error)
{
    struct store_ids ids = {0};
    struct store_segments segments = {0};
    enum weir_result result = store_list_folders(store, true, &ids, error);
    if (result == WEIR_OK)
        result = store_list_segments(store, true, &segments, error);
    if (result == WEIR_OK) {
        for (size_t i = 0; i < segments.count; i++)
            if (segments.segments[i].epoch > *largest_epoch)
                *largest_epoch = segments.segments[i].epoch;
        store->highest = ids.count == 0 ? 0 : ids.ids[ids.count - 1];
        store->highest -= WEIR_PLANT(id_used_again) && ids.count > 1;
        store->claimed = store->highest;
        *anything = ids.count > 0 || segments.count > 0;
    }
    memory_release(store->allocator, ids.ids);
    memory_release(store->allocator, segments.segments);
    return result;
}

/* An unsound record may have held the epoch after the one that counts (K1 of lock.h). */
static uint32_t largest_in(const struct lock_content *content)
{
    uint32_t epoch = content->record.epoch;
    return content->sound_count == 1 && epoch < UINT32_MAX ? epoch + 1 : epoch;
}

static enum weir_result probe(struct store *store, struct weir_error *error)
{
    static const char text[] = "weir writes, syncs and removes this file at every start\n";
    int failure = disk_remove(store->root, NAME_PROBE);
    if (failure == 0 || failure == -ENOENT)
        failure = disk_open(store->root, NAME_PROBE, DISK_CREATE);
    if (failure < 0)
        return store_unusable(store, failure, "making a file", error);
    int file = failure;
    failure = file_write(file, text, sizeof text - 1, 0);
    if (failure == 0)
        failure = disk_sync(file);
    int closing = disk_close(file);
    int removing = disk_remove(store->root, NAME_PROBE);
    if (failure == 0)
        failure = closing < 0 ? closing : removing;
    return failure < 0 ? store_unusable(store, failure, "writing and syncing a file", error)
                       : WEIR_OK;
}

static enum weir_result raise_epoch(struct store *store, const struct lock_content *before,
                                    uint32_t largest, struct weir_error *error)
{
    if (largest == UINT32_MAX)
        return error_set(error, WEIR_TOO_LARGE, 0, "store %s: epochs are used up", store->path);
    store->record.epoch = largest + 1;
    store->record.process = disk_process();
    if (WEIR_PLANT(epoch_in_memory_only))
        return WEIR_OK;
    enum weir_result result = lock_write(store->lock, before, &store->record, error);
    return result == WEIR_OK ? result : error_within(error, "store %s", store->path);
}

static enum weir_result begin_new(struct store *store, const struct store_options *options,
                                  struct weir_error *error)
{
    struct store_census census;
    enum weir_result result = store_take_census(store, false, &census, error);
    if (result == WEIR_OK)
        result = store_refuse_foreign(store, &census, error); /* LOCK is a common name */
    if (result == WEIR_OK)
        result = store_make_folders(store, error);
    store->record.key_groups = options->key_groups;
    memcpy(store->record.store_id, options->new_id, STORE_ID_SIZE);
    return result;
}

static enum weir_result begin(struct store *store, const struct store_options *options,
                              struct weir_error *error)
{
    struct lock_content content;
    struct store_census census;
    uint32_t largest = 0;
    bool anything = false;
    enum weir_result result = lock_read(store->lock, &content, error);
    if (result != WEIR_OK)
        return error_within(error, "store %s", store->path);
    if (content.sound_count == 0 && options->existing) {
        result = store_refuse_gone(store, error); /* LOCK has gone since it was looked for */
    } else if (content.sound_count == 0) {
        result = begin_new(store, options, error);
    } else {
        store->record = content.record;
        largest = largest_in(&content);
        result = store_take_census(store, true, &census, error);
        if (content.sound_count == 1)
            store_warn(store, "one of the two records in " NAME_LOCK " is torn or damaged");
    }
    if (result == WEIR_OK)
        result = store_open_folders(store, true, error);
    if (result == WEIR_OK)
        result = survey(store, &largest, &anything, error);
    if (result != WEIR_OK)
        return result;
    if (content.sound_count == 0 && anything)
        return error_set(error, WEIR_DAMAGED, 0,
                         "store %s: both records in " NAME_LOCK
                         " are damaged, but the store is in use: restore " NAME_LOCK
                         " from a copy, or start a new store",
                         store->path);
    if (largest < options->above_epoch)
        largest = options->above_epoch;
    if (options->afresh)
        store->record.begun_with = 0;
    else if (memcmp(store->record.store_id, options->new_id, STORE_ID_SIZE) == 0)
        store->record.begun_with = options->begun_with;
    store->record.cleaning = options->cleaning;
    result = probe(store, error);
    if (result == WEIR_OK)
        result = raise_epoch(store, &content, largest, error);
    return result == WEIR_OK ? store_void_unfinished(store, error) : result;
}

/* ------------------------------------------------------------------------- open and close -- */

struct store *store_new(const struct weir_allocator *allocator, struct weir_error *error)
{
    struct store *store = memory_zeroed(allocator, 1, sizeof *store);
    if (store == NULL) {
        (void)error_memory(error, "a store", sizeof *store);
        return NULL;
    }
    store->allocator = allocator;
    store->parent = store->root = store->data = store->checkpoints = store->lock = -1;
    store->next_number = 1;
    store->process = disk_process();
    return store;
}

enum weir_result store_open(const struct store_options *options, struct store **store,
                            struct weir_error *error)
{
    *store = NULL;
    if (options->key_groups == 0 || options->key_groups > 65536)
        return error_set(error, WEIR_INVALID, 0, "a store has 1 to 65536 key groups, not %u",
                         options->key_groups);
    struct store *made = store_new(options->allocator, error);
    if (made == NULL)
        return WEIR_NO_MEMORY;
    made->warn = options->warn;
    made->warn_context = options->warn_context;
    enum weir_result result = store_open_parent(made, options->path, error);
    if (result == WEIR_OK)
        result = store_check_place(made, error);
    if (result == WEIR_OK)
        result = store_open_root(made, true, !options->existing, error);
    if (result == WEIR_OK)
        result = take_lock(made, options->existing, error);
    if (result == WEIR_OK)
        result = begin(made, options, error);
    if (result != WEIR_OK)
        store_close(&made);
    *store = made;
    return result;
}

/* *file: LOCK, opened for reading, to be closed by the caller; -1 after a failure. */
static enum weir_result read_lock(struct store *store, int *file, struct lock_content *content,
                                  struct weir_error *error)
{
    int opened = disk_open(store->root, NAME_LOCK, DISK_READ);
    *file = -1;
    if (opened == -ENOENT)
        return error_set(error, WEIR_NOT_FOUND, 0, "%s is not a store: it has no " NAME_LOCK,
                         store->path);
    if (opened < 0)
        return store_unusable(store, opened, "opening " NAME_LOCK, error);
    enum weir_result result = lock_read(opened, content, error);
    if (result != WEIR_OK)
        result = error_within(error, "store %s", store->path);
    else if (content->sound_count == 0)
        result = error_set(error, WEIR_DAMAGED, 0,
                           "store %s: " NAME_LOCK " holds no sound record: damaged, or not a store",
                           store->path);
    if (result == WEIR_OK)
        *file = opened;
    else
        disk_close(opened);
    return result;
}

static enum weir_result read_identity(struct store *store, struct weir_error *error)
{
    struct lock_content content;
    int file;
    enum weir_result result = read_lock(store, &file, &content, error);
    if (result != WEIR_OK)
        return result;
    disk_close(file);
    store->record = content.record;
    return WEIR_OK;
}

enum weir_result store_run(struct store *store, bool *alive, struct lock_record *record,
                           struct weir_error *error)
{
    struct lock_content content;
    int file;
    enum weir_result result = read_lock(store, &file, &content, error);
    if (result != WEIR_OK)
        return result;
    int locked = disk_is_locked(file);
    disk_close(file);
    if (locked < 0)
        return store_unusable(store, locked, "asking who holds " NAME_LOCK, error);
    *alive = locked > 0;
    *record = content.record;
    return WEIR_OK;
}

static enum weir_result look_for_savepoint(struct store *store, struct weir_error *error)
{
    struct disk_status status;
    int failure = disk_status_at(store->root, NAME_SAVEPOINT, &status);
    store->savepoint = failure >= 0;
    if (failure < 0 && failure != -ENOENT)
        return store_unusable(store, failure, "looking for " NAME_SAVEPOINT, error);
    return WEIR_OK;
}

enum weir_result store_view(const char *path, const struct weir_allocator *allocator,
                            struct store **store, struct weir_error *error)
{
    uint32_t ignored = 0;
    bool anything = false;
    *store = NULL;
    struct store *made = store_new(allocator, error);
    if (made == NULL)
        return WEIR_NO_MEMORY;
    enum weir_result result = store_open_parent(made, path, error);
    if (result == WEIR_OK)
        result = store_open_root(made, false, false, error);
    if (result == WEIR_OK)
        result = read_identity(made, error);
    if (result == WEIR_OK)
        result = look_for_savepoint(made, error);
    if (result == WEIR_OK)
        result = store_open_folders(made, false, error);
    if (result == WEIR_OK)
        result = survey(made, &ignored, &anything, error);
    made->stopped = true; /* a view neither writes nor removes */
    if (result != WEIR_OK)
        store_close(&made);
    *store = made;
    return result;
}

static void close_if_open(int file)
{
    if (file >= 0)
        disk_close(file); /* nothing that was written hangs on it: syncs were checked */
}

void store_close(struct store **store)
{
    struct store *gone = *store;
    *store = NULL;
    if (gone == NULL)
        return;
    store_leave_rounds(gone);
    close_if_open(gone->checkpoints);
    close_if_open(gone->data);
    if (gone->lock >= 0 && disk_process() == gone->process)
        (void)disk_unlock(gone->lock); /* not only here: a forked child may have it open */
    close_if_open(gone->lock);         /* the lock is free */
    close_if_open(gone->root);
    close_if_open(gone->parent);
    store_forget_kept(gone);
    memory_release(gone->allocator, gone->held);
    blob_buffer_free(&gone->sealed, gone->allocator);
    blob_buffer_free(&gone->stored, gone->allocator);
    blob_buffer_free(&gone->raw, gone->allocator);
    memory_release(gone->allocator, gone->base);
    memory_release(gone->allocator, gone->path);
    memory_release(gone->allocator, gone);
}

void store_watch(struct store *store, void (*read)(void *context, uint64_t bytes), void *context)
{
    store->read = read;
    store->read_context = context;
}

uint64_t store_begun_with(const struct store *store)
{
    return store->record.begun_with;
}

bool store_is_savepoint(const struct store *store)
{
    return store->savepoint;
}

uint32_t store_epoch(const struct store *store)
{
    return store->record.epoch;
}

uint32_t store_key_groups(const struct store *store)
{
    return store->record.key_groups;
}

const unsigned char *store_id(const struct store *store)
{
    return store->record.store_id;
}

uint64_t store_next_id(const struct store *store)
{
    return store->highest + 1;
}

uint64_t store_strokes(const struct store *store)
{
    return atomic_load_explicit(&store->strokes, memory_order_relaxed);
}
