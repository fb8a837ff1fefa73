/* SPDX-License-Identifier: Apache-2.0
 *
 * The simulated door to files: descriptors, locks and faults over files.c. Every call but
 * disk_user and disk_process is counted and can be made to fail.
 */
#include "disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "files.h"
#include "sim.h"

#define HANDLES 256
#define FIRST_HANDLE 1000 /* so that one of these given to the kernel fails */
#define NAME_SIZE 256

struct handle {
    struct file_node *node; /* NULL: free */
    bool writable;
};

static struct {
    struct handle handles[HANDLES];
    uint64_t calls;
    uint64_t kill_at; /* number of the call; 0: never */
    int fail_os_error;
    const char *fail_name; /* which calls count, in fail_left; NULL: all do */
    uint64_t fail_left, fail_then;
    bool failed;
    uint64_t space, short_one_in;
    uint64_t mapped; /* bytes */
    bool no_locks;
    void (*hook)(void *context, uint64_t call, const char *name, const char *path);
    void *hook_context;
} disk;

/* ---- controls ---- */

void sim_disk_start(void)
{
    disk.calls = 0;
    disk.mapped = 0;
    disk.fail_left = 0;
    disk.kill_at = 0;
    disk.space = 0;
    disk.short_one_in = 0;
    disk.no_locks = false;
    disk.hook = NULL;
}

void sim_disk_release(void)
{
    for (int i = 0; i < HANDLES; i++) {
        if (disk.handles[i].node != NULL)
            disk.handles[i].node->lock = -1;
        disk.handles[i].node = NULL;
    }
    disk.kill_at = 0;
    sim_revive();
}

void sim_disk_unlock(bool useless)
{
    for (int i = 0; i < HANDLES; i++) {
        if (disk.handles[i].node != NULL)
            disk.handles[i].node->lock = -1;
    }
    disk.no_locks = useless;
}

void sim_disk_wipe(void)
{
    sim_disk_release();
    files_wipe();
}

uint64_t sim_disk_left(void)
{
    uint64_t left = 0;

    for (int i = 0; i < HANDLES; i++)
        left += disk.handles[i].node != NULL;
    return left;
}

uint64_t sim_disk_calls(void)
{
    return disk.calls;
}

void sim_disk_fail(uint64_t k, int os_error)
{
    sim_disk_fail_of(NULL, k, os_error, 0);
}

void sim_disk_fail_of(const char *name, uint64_t k, int os_error, uint64_t then)
{
    disk.fail_name = name;
    disk.fail_left = k;
    disk.fail_os_error = os_error;
    disk.fail_then = then;
    disk.failed = false;
}

bool sim_disk_failed(void)
{
    return disk.failed;
}

void sim_disk_kill(uint64_t k)
{
    disk.kill_at = k == 0 ? 0 : disk.calls + k;
}

uint64_t sim_disk_mapped(void)
{
    return disk.mapped;
}

void sim_disk_space(uint64_t bytes)
{
    disk.space = bytes;
}

void sim_disk_short(uint64_t one_in)
{
    disk.short_one_in = one_in;
}

void sim_disk_hook(void (*hook)(void *context, uint64_t call, const char *name, const char *path),
                   void *context)
{
    disk.hook = hook;
    disk.hook_context = context;
}

static uint64_t crash_draw(void *context, uint64_t below)
{
    uint64_t *state = context;
    uint64_t z = *state += 0x9E3779B97F4A7C15u;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (z ^ (z >> 31)) % below;
}

void sim_disk_crash(uint64_t seed)
{
    sim_disk_release();
    files_crash(crash_draw, &seed);
}

static bool is_to_fail(const char *name)
{
    if (disk.fail_left == 0 || (disk.fail_name != NULL && strcmp(name, disk.fail_name) != 0))
        return false;
    if (--disk.fail_left > 0)
        return false;
    disk.failed = true;
    if (disk.fail_then > 0)
        disk.kill_at = disk.calls + disk.fail_then;
    return true;
}

/* Counts the call; 0, or the -errno with which it must end without having done anything. */
static int called(const char *name, const char *path, uint64_t size)
{
    uint64_t numbers[4] = {++disk.calls, size, 0, 0};

    sim_event(name, path, numbers);
    if (disk.hook != NULL)
        disk.hook(disk.hook_context, disk.calls, name, path);
    if (disk.calls == disk.kill_at)
        sim_kill();
    if (sim_killed())
        return -EIO;
    return is_to_fail(name) ? -disk.fail_os_error : 0;
}

/* ---- descriptors and paths ---- */

static struct handle *handle_of(int file)
{
    struct handle *handle;

    if (file < FIRST_HANDLE || file >= FIRST_HANDLE + HANDLES)
        return NULL;
    handle = &disk.handles[file - FIRST_HANDLE];
    return handle->node == NULL ? NULL : handle;
}

static int handle_new(struct file_node *node, bool writable)
{
    for (int i = 0; i < HANDLES; i++) {
        if (disk.handles[i].node != NULL)
            continue;
        disk.handles[i] = (struct handle){node, writable};
        return FIRST_HANDLE + i;
    }
    return -EMFILE;
}

struct place {
    struct file_node *folder;
    char name[NAME_SIZE];   /* "": the folder itself */
    struct file_node *node; /* NULL: not there */
};

static int place_begin(struct place *place, int at, const char *path)
{
    struct handle *handle;

    *place = (struct place){.folder = files_root()};
    if (path[0] == '\0')
        return -ENOENT;
    if (path[0] == '/' || at == DISK_CWD)
        return 0;
    handle = handle_of(at);
    if (handle == NULL)
        return -EBADF;
    place->folder = handle->node;
    return handle->node->folder ? 0 : -ENOTDIR;
}

/* Goes into `name`, which is not the last component. */
static int place_enter(struct place *place, const char *name)
{
    struct file_node *node;

    if (strcmp(name, ".") == 0)
        return 0;
    node = strcmp(name, "..") == 0 ? place->folder->parent : files_find(place->folder, name);
    if (node == NULL)
        return -ENOENT;
    if (!node->folder)
        return -ENOTDIR;
    place->folder = node;
    return 0;
}

static int place_component(struct place *place, const char **path)
{
    size_t size = strcspn(*path, "/");

    if (size >= NAME_SIZE)
        return -ENAMETOOLONG;
    memcpy(place->name, *path, size);
    place->name[size] = '\0';
    *path += size;
    *path += strspn(*path, "/");
    return 0;
}

static int place_find(struct place *place, int at, const char *path)
{
    int result = place_begin(place, at, path);

    path += strspn(path, "/");
    while (result == 0 && *path != '\0') {
        result = place_component(place, &path);
        if (result == 0 && *path != '\0')
            result = place_enter(place, place->name);
    }
    if (result != 0)
        return result;
    if (strcmp(place->name, ".") == 0 || strcmp(place->name, "..") == 0) {
        result = place_enter(place, place->name);
        place->name[0] = '\0';
    }
    place->node = place->name[0] == '\0' ? place->folder : files_find(place->folder, place->name);
    return result;
}

/* ---- opening ---- */

static int open_existing(const struct place *place, enum disk_open how)
{
    bool folder = how == DISK_DIRECTORY || how == DISK_DIRECTORY_FOLLOW;

    if (how == DISK_CREATE)
        return -EEXIST;
    if (folder && !place->node->folder)
        return -ENOTDIR;
    if (how == DISK_UPDATE && place->node->folder)
        return -EISDIR;
    return handle_new(place->node, how == DISK_UPDATE);
}

int disk_open(int at, const char *path, enum disk_open how)
{
    struct place place;
    int result = called("open", path, how);

    if (result == 0)
        result = place_find(&place, at, path);
    if (result != 0)
        return result;
    if (place.node != NULL)
        return open_existing(&place, how);
    if (how != DISK_CREATE && how != DISK_UPDATE)
        return -ENOENT;
    if (sim_disk_left() == HANDLES)
        return -EMFILE;
    place.node = files_add(place.folder, place.name, false);
    place.node->modified_ns = clock_wall_ns();
    return handle_new(place.node, true);
}

/* The descriptor is gone even if the call fails, as on Linux. */
int disk_close(int file)
{
    struct handle *handle = handle_of(file);
    int result = called("close", "", 0);

    if (handle == NULL)
        return -EBADF;
    if (handle->node->lock == file)
        handle->node->lock = -1;
    handle->node = NULL;
    return result;
}

/* ---- bytes ---- */

static size_t shortened(size_t size)
{
    if (disk.short_one_in == 0 || size < 2 || sim_draw(SIM_DISK, disk.short_one_in) != 0)
        return size;
    return 1 + (size_t)sim_draw(SIM_DISK, size - 1);
}

int64_t disk_read(int file, void *data, size_t size, uint64_t offset)
{
    const struct handle *handle = handle_of(file);
    int result = called("read", "", size);
    size_t left;

    if (result != 0)
        return result;
    if (handle == NULL)
        return -EBADF;
    if (handle->node->folder)
        return -EISDIR;
    if (offset >= handle->node->cached.size)
        return 0;
    left = handle->node->cached.size - (size_t)offset;
    size = shortened(size < left ? size : left);
    memcpy(data, handle->node->cached.data + offset, size);
    return (int64_t)size;
}

/* What fits; 0: nothing does. */
static size_t room_for(const struct file_node *file, size_t size, uint64_t offset)
{
    uint64_t inside = offset < file->cached.size ? file->cached.size - offset : 0;
    uint64_t used = disk.space == 0 ? 0 : files_size();
    uint64_t free_bytes = used < disk.space ? disk.space - used : 0;

    if (disk.space == 0 || size <= inside + free_bytes)
        return size;
    return (size_t)(inside + free_bytes);
}

static void write_now(struct file_node *file, const void *data, size_t size, uint64_t offset)
{
    files_write(file, data, size, (size_t)offset);
    file->modified_ns = clock_wall_ns();
}

int64_t disk_write(int file, const void *data, size_t size, uint64_t offset)
{
    const struct handle *handle = handle_of(file);
    bool alive = !sim_killed();
    int result = called("write", "", size);
    bool last = alive && disk.calls == disk.kill_at;

    if (handle == NULL || !handle->writable)
        return result != 0 ? result : -EBADF;
    if (last) /* killed inside: done in part */
        write_now(handle->node, data, (size_t)sim_draw(SIM_DISK, size + 1), offset);
    if (result != 0)
        return result;
    size = shortened(room_for(handle->node, size, offset));
    if (size == 0)
        return -ENOSPC;
    write_now(handle->node, data, size, offset);
    return (int64_t)size;
}

/* All or nothing. */
int disk_reserve(int file, uint64_t offset, uint64_t size)
{
    const struct handle *handle = handle_of(file);
    int result = called("reserve", "", size);

    if (result != 0)
        return result;
    if (handle == NULL || !handle->writable)
        return -EBADF;
    if (room_for(handle->node, (size_t)size, offset) < size)
        return -ENOSPC;
    static const char zero[1];
    if (offset + size > handle->node->cached.size)
        write_now(handle->node, zero, 1, offset + size - 1);
    return 0;
}

/* What was not reserved can't be mapped: reading it would kill the process. */
int disk_map(int file, uint64_t offset, size_t size, void *at)
{
    const struct handle *handle = handle_of(file);
    int result = called("map", "", size);

    if (result != 0)
        return result;
    if (handle == NULL || !handle->writable)
        return -EBADF;
    if (offset > handle->node->cached.size || size > handle->node->cached.size - offset)
        return -ENXIO;
    disk.mapped += size;
    return sim_memory_put(at, handle->node->cached.data + offset, size) ? 0 : -EINVAL;
}

int disk_sync(int file)
{
    const struct handle *handle = handle_of(file);
    bool folder = handle != NULL && handle->node->folder;
    int result = called(folder ? "sync folder" : "sync", "", 0);

    if (handle == NULL)
        return result != 0 ? result : -EBADF;
    if (result == 0 && !handle->node->lying)
        files_sync(handle->node);
    if (result != 0 && !sim_killed()) /* the dead have seen no failure */
        handle->node->lying = true;
    return result;
}

/* ---- status ---- */

static void describe(const struct file_node *node, struct disk_status *status)
{
    *status = (struct disk_status){
        .kind = node->folder ? DISK_FOLDER : DISK_FILE,
        .mode = node->mode,
        .owner = disk_user(),
        .size = node->cached.size,
        .device = 1,
        .inode = node->id,
        .modified_ns = node->modified_ns,
    };
}

int disk_status(int file, struct disk_status *status)
{
    const struct handle *handle = handle_of(file);
    int result = called("status", "", 0);

    if (result != 0)
        return result;
    if (handle == NULL)
        return -EBADF;
    describe(handle->node, status);
    return 0;
}

int disk_status_at(int at, const char *path, struct disk_status *status)
{
    struct place place;
    int result = called("status_at", path, 0);

    if (result == 0)
        result = place_find(&place, at, path);
    if (result != 0)
        return result;
    if (place.node == NULL)
        return -ENOENT;
    describe(place.node, status);
    return 0;
}

/* ---- names ---- */

int disk_make_folder(int at, const char *path)
{
    struct place place;
    int result = called("make_folder", path, 0);

    if (result == 0)
        result = place_find(&place, at, path);
    if (result != 0)
        return result;
    if (place.node != NULL)
        return -EEXIST;
    files_add(place.folder, place.name, true)->modified_ns = clock_wall_ns();
    return 0;
}

static int remove_kind(const char *name, int at, const char *path, bool folder)
{
    struct place place;
    int result = called(name, path, 0);

    if (result == 0)
        result = place_find(&place, at, path);
    if (result != 0)
        return result;
    if (place.node == NULL)
        return -ENOENT;
    if (place.node->folder != folder)
        return folder ? -ENOTDIR : -EISDIR;
    if (place.name[0] == '\0')
        return -EINVAL;
    if (folder && place.node->names.count > 0)
        return -ENOTEMPTY;
    files_remove(place.folder, place.name);
    return 0;
}

int disk_remove(int at, const char *path)
{
    return remove_kind("remove", at, path, false);
}

int disk_remove_folder(int at, const char *path)
{
    return remove_kind("remove_folder", at, path, true);
}

static int replace_check(const struct file_node *from, const struct file_node *to)
{
    if (to == NULL)
        return 0;
    if (to->folder != from->folder)
        return to->folder ? -EISDIR : -ENOTDIR;
    return to->folder && to->names.count > 0 ? -ENOTEMPTY : 0;
}

static int rename_checked(const char *name, int at, const char *from, const char *to, bool replaces)
{
    struct place source, target;
    int result = called(name, to, 0);

    if (result == 0)
        result = place_find(&source, at, from);
    if (result == 0)
        result = place_find(&target, at, to);
    if (result == 0 && source.node == NULL)
        result = -ENOENT;
    if (result == 0 && target.node != NULL && !replaces)
        result = -EEXIST;
    if (result == 0)
        result = replace_check(source.node, target.node);
    if (result != 0 || source.node == target.node)
        return result;
    files_rename(source.folder, source.name, target.folder, target.name);
    return 0;
}

int disk_rename(int at, const char *from, const char *to)
{
    return rename_checked("rename", at, from, to, true);
}

int disk_rename_new(int at, const char *from, const char *to)
{
    return rename_checked("rename_new", at, from, to, false);
}

int disk_lock(int file)
{
    const struct handle *handle = handle_of(file);
    int result = called("lock", "", 0);

    if (result != 0)
        return result;
    if (handle == NULL || !handle->writable)
        return -EBADF;
    if (handle->node->lock != -1 && handle->node->lock != file)
        return -EAGAIN;
    if (!disk.no_locks)
        handle->node->lock = file;
    return 0;
}

int disk_is_locked(int file)
{
    const struct handle *handle = handle_of(file);
    int result = called("is_locked", "", 0);

    if (result != 0)
        return result;
    return handle == NULL ? -EBADF : handle->node->lock != -1 && handle->node->lock != file;
}

int disk_unlock(int file)
{
    const struct handle *handle = handle_of(file);
    int result = called("unlock", "", 0);

    if (result != 0)
        return result;
    if (handle != NULL && handle->node->lock == file)
        handle->node->lock = -1;
    return 0;
}

/* Over a copy, for the callee may remove what it is shown; from a drawn start, for nobody may
 * count on an order. */
int disk_list(int folder, int (*each)(void *context, const char *name, enum disk_kind kind),
              void *context)
{
    const struct handle *handle = handle_of(folder);
    int result = called("list", "", 0);
    struct entry {
        char name[NAME_SIZE];
        bool folder;
    } * copy;
    size_t count, first;

    if (result != 0)
        return result;
    if (handle == NULL || !handle->node->folder)
        return handle == NULL ? -EBADF : -ENOTDIR;
    count = handle->node->names.count;
    copy = calloc(count + 1, sizeof *copy);
    if (copy == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        strcpy(copy[i].name, handle->node->names.list[i].name);
        copy[i].folder = handle->node->names.list[i].node->folder;
    }
    first = count == 0 ? 0 : (size_t)sim_draw(SIM_DISK, count);
    for (size_t i = 0; i < count && result == 0; i++) {
        const struct entry *entry = &copy[(first + i) % count];
        result = each(context, entry->name, entry->folder ? DISK_FOLDER : DISK_FILE);
    }
    free(copy);
    return result;
}

uint32_t disk_user(void)
{
    return 1000;
}

uint32_t disk_process(void)
{
    return 4242 + sim_process_now();
}
