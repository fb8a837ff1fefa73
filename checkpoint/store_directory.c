/* SPDX-License-Identifier: Apache-2.0
 *
 * store_directory: the directory that a store is, found or made, and what it may hold. Everything
 * is looked up from descriptors, so that neither chdir nor a renamed parent matters.
 */
#include "store_inside.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "disk.h"
#include "error.h"
#include "memory.h"

enum weir_result store_unusable(const struct store *store, int failure, const char *what,
                                struct weir_error *error)
{
    int code = -failure;
    const char *hint = NULL;
    if (code == EROFS)
        hint = "the file system is read-only";
    else if (code == ENOSPC || code == EDQUOT)
        hint = "the disk or the quota is full; free some space";
    else if (code == EACCES || code == EPERM)
        hint = "this user may not; check owner and mode";
    if (hint == NULL)
        return error_os(error, code, "store %s: %s", store->path, what);
    return error_set(error, WEIR_IO, code, "store %s: %s: %s", store->path, what, hint);
}

/* -------------------------------------------------------------------------- the directory -- */

/* Splits the path: `base` is the last component, `parent` (allocated) what stands before it. */
static enum weir_result split_path(struct store *store, const char *path, char **parent,
                                   struct weir_error *error)
{
    size_t size = strlen(path);
    if (size == 0)
        return error_set(error, WEIR_INVALID, 0, "the store's path is empty");
    while (size > 1 && path[size - 1] == '/')
        size--; /* "dir/" would follow a symbolic link */
    size_t start = size;
    while (start > 0 && path[start - 1] != '/')
        start--;
    store->path = memory_text(store->allocator, path, size);
    store->base = start == size ? memory_text(store->allocator, ".", 1)
                                : memory_text(store->allocator, path + start, size - start);
    *parent = start == 0 ? memory_text(store->allocator, ".", 1)
                         : memory_text(store->allocator, path, start);
    if (store->path == NULL || store->base == NULL || *parent == NULL)
        return error_memory(error, "a store's path", size);
    return WEIR_OK;
}

/* A parent that may be passed but not read is no reason to fail. */
enum weir_result store_open_parent(struct store *store, const char *path, struct weir_error *error)
{
    char *parent = NULL;
    enum weir_result result = split_path(store, path, &parent, error);
    if (result == WEIR_OK) {
        store->parent = disk_open(DISK_CWD, parent, DISK_DIRECTORY_FOLLOW);
        if (store->parent == -ENOTDIR)
            result = error_set(error, WEIR_IO, ENOTDIR,
                               "store %s: %.*s, which should hold it, is not a directory: name "
                               "another place",
                               store->path, (int)(strlen(parent) - 1), parent);
        else if (store->parent == -ENOENT)
            result = error_set(error, WEIR_IO, ENOENT,
                               "store %s: the directory %s, which should hold it, does not exist: "
                               "make it first",
                               store->path, parent);
        else if (store->parent < 0 && store->parent != -EACCES)
            result =
                store_unusable(store, store->parent, "opening the directory that holds it", error);
    }
    memory_release(store->allocator, parent);
    if (result != WEIR_OK || store->parent >= 0)
        return result;
    store->parent = DISK_CWD;
    memory_release(store->allocator, store->base);
    store->base = memory_text(store->allocator, store->path, strlen(store->path));
    return store->base == NULL ? error_memory(error, "a store's path", strlen(path)) : WEIR_OK;
}

#define UP_ROOM 1024 /* "./../.." as far as anybody's directories are deep */

/* Above the root of all is the root, or nothing; what may not be looked at ends it as well. */
enum weir_result store_walk_up(const struct store *store, store_look *look, const void *context,
                               struct weir_error *error)
{
    struct disk_status status, below = {0};
    char up[UP_ROOM] = ".";
    for (size_t size = 1; size + 4 <= sizeof up; size += 3) {
        int failure = disk_status_at(store->parent, up, &status);
        if ((failure == -ENOENT && size > 1) || failure == -EACCES)
            return WEIR_OK;
        if (failure < 0)
            return store_unusable(store, failure, "looking at the directories above it", error);
        enum weir_result result = look(context, store, up, &status, error);
        if (result != WEIR_OK)
            return result;
        if (size > 1 && status.device == below.device && status.inode == below.inode)
            return WEIR_OK;
        below = status;
        memcpy(up + size, "/..", 4);
    }
    return error_set(error, WEIR_REFUSED, 0, "%s lies too deep: name another directory",
                     store->path);
}

static bool holds(const struct store *store, const char *up, const char *name, enum disk_kind kind)
{
    struct disk_status status;
    char path[UP_ROOM + 16];
    snprintf(path, sizeof path, "%s/%s", up, name);
    return disk_status_at(store->parent, path, &status) == 0 && status.kind == kind;
}

/* LOCK is a common name, so it takes more to be a store. */
static enum weir_result is_any(const void *context, const struct store *store, const char *up,
                               const struct disk_status *status, struct weir_error *error)
{
    (void)context, (void)status;
    if (!holds(store, up, NAME_LOCK, DISK_FILE) || !holds(store, up, NAME_CHECKPOINTS, DISK_FOLDER))
        return WEIR_OK;
    size_t size = strlen(store->path) - strlen(store->base);
    while (size > 1 && store->path[size - 1] == '/')
        size--;
    const char *parent = size > 0 ? store->path : ".";
    int shown = size > 0 ? (int)size : 1;
    if (holds(store, up, NAME_SAVEPOINT, DISK_FILE))
        return error_set(error, WEIR_REFUSED, 0,
                         "%s lies inside the savepoint %.*s%s, which is never changed: name a "
                         "directory outside of it",
                         store->path, shown, parent, up + 1);
    return error_set(error, WEIR_REFUSED, 0,
                     "%s lies inside the store %.*s%s: name a directory outside of it", store->path,
                     shown, parent, up + 1);
}

/* Where the parent can't be read, nothing is found from it. */
enum weir_result store_refuse_nested(const struct store *store, struct weir_error *error)
{
    return store->parent == DISK_CWD ? WEIR_OK : store_walk_up(store, is_any, NULL, error);
}

/* An existing store is left where it is. */
enum weir_result store_check_place(const struct store *store, struct weir_error *error)
{
    bool there = strlen(store->base) < UP_ROOM && holds(store, store->base, NAME_LOCK, DISK_FILE);
    return there ? WEIR_OK : store_refuse_nested(store, error);
}

static enum weir_result make_root(struct store *store, struct weir_error *error)
{
    int failure = disk_make_folder(store->parent, store->base);
    if (failure < 0 && failure != -EEXIST)
        return store_unusable(store, failure, "making the directory", error);
    return WEIR_OK;
}

/* Whoever can write here can make us load anything (F68). */
enum weir_result store_check_owner(const struct store *store, const char *name,
                                   const struct disk_status *status, struct weir_error *error)
{
    const char *dot = name[0] == 0 ? "" : "/";
    if (status->owner != disk_user())
        return error_set(error, WEIR_REFUSED, 0,
                         "store %s%s%s belongs to user %u, and this is user %u: run as the owner, "
                         "or take another directory",
                         store->path, dot, name, status->owner, disk_user());
    if ((status->mode & 022) != 0)
        return error_set(error, WEIR_REFUSED, 0,
                         "store %s%s%s may be written by others (mode %04o): chmod go-w",
                         store->path, dot, name, status->mode);
    return WEIR_OK;
}

enum weir_result store_refuse_gone(const struct store *store, struct weir_error *error)
{
    return error_set(
        error, WEIR_REFUSED, 0,
        "store %s is gone, or something of it is: a restart makes no new one, for what "
        "was published already would be published again. Bring it back; or begin "
        "anew, with another store and another place for the output",
        store->path);
}

static enum weir_result find_root(struct store *store, bool make, struct weir_error *error)
{
    store->root = disk_open(store->parent, store->base, DISK_DIRECTORY);
    if (store->root == -ENOENT && make) {
        enum weir_result result = make_root(store, error);
        if (result != WEIR_OK)
            return result;
        store->root = disk_open(store->parent, store->base, DISK_DIRECTORY);
    }
    if (store->root == -ENOENT)
        return error_set(error, WEIR_NOT_FOUND, ENOENT, "store %s does not exist", store->path);
    if (store->root == -ENOTDIR || store->root == -ELOOP)
        return error_set(error, WEIR_REFUSED, -store->root,
                         "store %s is not a directory (symbolic links are not followed): name "
                         "another",
                         store->path);
    if (store->root < 0)
        return store_unusable(store, store->root, "opening the directory", error);
    return WEIR_OK;
}

enum weir_result store_open_root(struct store *store, bool own, bool make, struct weir_error *error)
{
    struct disk_status status;
    enum weir_result result = find_root(store, make, error);
    if (result == WEIR_NOT_FOUND && own)
        return store_refuse_gone(store, error);
    if (result != WEIR_OK)
        return result;
    int failure = disk_status(store->root, &status);
    if (failure < 0)
        return store_unusable(store, failure, "looking at the directory", error);
    store->root_device = status.device;
    store->root_inode = status.inode;
    return own ? store_check_owner(store, "", &status, error) : WEIR_OK;
}

static int count_name(void *context, const char *name, enum disk_kind kind)
{
    struct store_census *census = context;
    (void)kind;
    if (strcmp(name, NAME_LOCK) == 0) {
        census->lock = true;
    } else if (strcmp(name, NAME_SAVEPOINT) == 0) {
        census->savepoint = true;
    } else if (strcmp(name, NAME_DATA) == 0 || strcmp(name, NAME_CHECKPOINTS) == 0 ||
               strcmp(name, NAME_NODES) == 0) {
        census->folders = true;
    } else if (strcmp(name, NAME_PROBE) != 0 && strcmp(name, NAME_SCRATCH) != 0 &&
               strcmp(name, NAME_FAILED) != 0) {
        snprintf(census->foreign, sizeof census->foreign, "%.*s", (int)sizeof census->foreign - 1,
                 name);
        if (census->report)
            store_warn(census->store, "'%s' is not weir's: ignored", name);
    }
    return 0;
}

enum weir_result store_take_census(const struct store *store, bool report,
                                   struct store_census *census, struct weir_error *error)
{
    *census = (struct store_census){.store = store, .report = report};
    int failure = disk_list(store->root, count_name, census);
    return failure < 0 ? store_unusable(store, failure, "listing the directory", error) : WEIR_OK;
}

enum weir_result store_refuse_foreign(const struct store *store, const struct store_census *census,
                                      struct weir_error *error)
{
    if (census->foreign[0] != 0)
        return error_set(error, WEIR_REFUSED, 0,
                         "%s is not a store and not empty (it holds '%s'): take another directory",
                         store->path, census->foreign);
    return WEIR_OK;
}

/* ---------------------------------------------------------------------------- the folders -- */

static enum weir_result open_inner(struct store *store, const char *name, bool owned, int *folder,
                                   struct weir_error *error)
{
    struct disk_status status;
    *folder = disk_open(store->root, name, DISK_DIRECTORY);
    if (*folder == -ENOENT || *folder == -ENOTDIR || *folder == -ELOOP)
        return error_set(error, WEIR_DAMAGED, -*folder,
                         "store %s: %s/ is missing or not a directory", store->path, name);
    if (*folder < 0)
        return store_unusable(store, *folder, name, error);
    if (!owned)
        return WEIR_OK;
    int failure = disk_status(*folder, &status);
    return failure < 0 ? store_unusable(store, failure, name, error)
                       : store_check_owner(store, name, &status, error);
}

enum weir_result store_open_folders(struct store *store, bool owned, struct weir_error *error)
{
    enum weir_result result = open_inner(store, NAME_DATA, owned, &store->data, error);
    if (result == WEIR_OK)
        result = open_inner(store, NAME_CHECKPOINTS, owned, &store->checkpoints, error);
    return result;
}

int store_sync_root(struct store *store)
{
    int failure = disk_sync(store->root);
    store->doubtful |= failure < 0;
    return failure;
}

/* Whoever made the directory may have died before its name was durable, so that is seen to here.
 * LOCK's name is durable before the folders': without it they would look like a store that lost it.
 */
enum weir_result store_make_folders(struct store *store, struct weir_error *error)
{
    const char *const names[] = {NAME_DATA, NAME_CHECKPOINTS};
    int failure = store->parent == DISK_CWD ? 0 : disk_sync(store->parent);
    if (failure < 0)
        return store_unusable(store, failure, "syncing the directory that holds it", error);
    failure = store_sync_root(store);
    if (failure < 0)
        return store_unusable(store, failure, "syncing the directory", error);
    for (int i = 0; i < 2; i++) {
        failure = disk_make_folder(store->root, names[i]);
        if (failure < 0 && failure != -EEXIST)
            return store_unusable(store, failure, "making its folders", error);
    }
    failure = store_sync_root(store);
    return failure < 0 ? store_unusable(store, failure, "syncing the directory", error) : WEIR_OK;
}
