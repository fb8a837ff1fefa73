/* SPDX-License-Identifier: Apache-2.0
 *
 * files: the file calls of weir.h, on the disk door. Paths are the user's, relative to the working
 * directory.
 */
#include <errno.h>
#include <string.h>

#include "disk.h"
#include "error.h"
#include "file.h"
#include "memory.h"
#include "weir.h"

struct weir_file {
    const struct weir_allocator *allocator;
    int descriptor;
    uint64_t size;    /* written so far */
    char *path;       /* for messages */
    uint32_t process; /* that opened it */
};

/* What a forked child wrote would be in its parent's file. */
static enum weir_result check_process(const struct weir_file *file, struct weir_error *error)
{
    if (file->process == disk_process())
        return WEIR_OK;
    return error_set(error, WEIR_REFUSED, 0,
                     "can't write %s: this process was forked from the one that opened it",
                     file->path);
}

static enum weir_result answer(int status, const char *what, const char *path,
                               struct weir_error *error)
{
    if (status >= 0)
        return WEIR_OK;
    enum weir_result result = error_os(error, -status, "%s %s", what, path);
    if (status == -ENOENT || status == -ENOTDIR)
        result = WEIR_NOT_FOUND;
    else if (status == -EEXIST)
        result = WEIR_REFUSED;
    if (error)
        error->code = result;
    return result;
}

enum weir_result weir_file_open(const struct weir_allocator *allocator, const char *path,
                                enum weir_open how, struct weir_file **file,
                                struct weir_error *error)
{
    struct weir_file *mine = memory_zeroed(allocator, 1, sizeof *mine);
    char *copy = memory_text(allocator, path, strlen(path));
    if (!mine || !copy) {
        memory_release(allocator, mine);
        memory_release(allocator, copy);
        return error_memory(error, path, sizeof *mine);
    }
    bool create = how == WEIR_OPEN_CREATE;
    *mine = (struct weir_file){.allocator = allocator, .path = copy, .process = disk_process()};
    mine->descriptor = disk_open(DISK_CWD, path, create ? DISK_CREATE : DISK_READ_FOLLOW);
    enum weir_result result =
        answer(mine->descriptor, create ? "can't create" : "can't open", path, error);
    if (result) {
        memory_release(allocator, copy);
        memory_release(allocator, mine);
        return result;
    }
    *file = mine;
    return WEIR_OK;
}

enum weir_result weir_file_close(struct weir_file **file, struct weir_error *error)
{
    if (!file || !*file)
        return WEIR_OK;
    struct weir_file *mine = *file;
    enum weir_result result =
        answer(disk_close(mine->descriptor), "can't close", mine->path, error);
    memory_release(mine->allocator, mine->path);
    memory_release(mine->allocator, mine);
    *file = NULL;
    return result;
}

enum weir_result weir_file_read(struct weir_file *file, uint64_t offset, void *data, size_t size,
                                size_t *got, struct weir_error *error)
{
    *got = 0;
    return answer(file_read(file->descriptor, data, size, offset, got), "can't read", file->path,
                  error);
}

enum weir_result weir_file_write(struct weir_file *file, struct weir_bytes data,
                                 struct weir_error *error)
{
    enum weir_result result = check_process(file, error);
    if (result)
        return result;
    int status = file_write(file->descriptor, data.data, data.size, file->size);
    if (status >= 0)
        file->size += data.size;
    return answer(status, "can't write", file->path, error);
}

enum weir_result weir_file_sync(struct weir_file *file, struct weir_error *error)
{
    return answer(disk_sync(file->descriptor), "can't sync", file->path, error);
}

enum weir_result weir_file_status(const char *path, struct weir_file_status *status,
                                  struct weir_error *error)
{
    /* Opening follows links, asking by path does not: so a folder or file is opened first. */
    int descriptor = disk_open(DISK_CWD, path, DISK_READ_FOLLOW);
    struct disk_status facts;
    int result = descriptor;
    if (descriptor >= 0) {
        result = disk_status(descriptor, &facts);
        disk_close(descriptor);
    }
    if (result < 0)
        return answer(result, "can't look at", path, error);
    *status = (struct weir_file_status){
        .folder = facts.kind == DISK_FOLDER,
        .regular = facts.kind == DISK_FILE,
        .size = facts.size,
        .device = facts.device,
        .inode = facts.inode,
        .modified_ns = facts.modified_ns,
    };
    return WEIR_OK;
}

enum weir_result weir_file_rename(const char *from, const char *to, struct weir_error *error)
{
    int status = disk_rename_new(DISK_CWD, from, to);
    return answer(status, "can't rename to", status == -ENOENT ? from : to, error);
}

enum weir_result weir_file_remove(const char *path, struct weir_error *error)
{
    return answer(disk_remove(DISK_CWD, path), "can't remove", path, error);
}

enum weir_result weir_folder_make(const char *path, struct weir_error *error)
{
    int status = disk_make_folder(DISK_CWD, path);
    if (status == -EEXIST) {
        struct weir_file_status facts;
        enum weir_result result = weir_file_status(path, &facts, error);
        if (!result && !facts.folder)
            return error_set(error, WEIR_REFUSED, ENOTDIR, "%s is there and is not a folder", path);
        return result;
    }
    return answer(status, "can't make the folder", path, error);
}

enum weir_result weir_folder_sync(const char *path, struct weir_error *error)
{
    int descriptor = disk_open(DISK_CWD, path, DISK_DIRECTORY_FOLLOW);
    if (descriptor < 0)
        return answer(descriptor, "can't open the folder", path, error);
    int status = disk_sync(descriptor);
    int closed = disk_close(descriptor);
    return answer(status < 0 ? status : closed, "can't sync the folder", path, error);
}

struct listing {
    bool (*each)(void *context, const char *name);
    void *context;
};

static int pass_on(void *context, const char *name, enum disk_kind kind)
{
    (void)kind;
    const struct listing *listing = context;
    return listing->each(listing->context, name) ? 0 : 1;
}

enum weir_result weir_folder_list(const char *path, bool (*each)(void *context, const char *name),
                                  void *context, struct weir_error *error)
{
    int descriptor = disk_open(DISK_CWD, path, DISK_DIRECTORY_FOLLOW);
    if (descriptor < 0)
        return answer(descriptor, "can't open the folder", path, error);
    struct listing listing = {each, context};
    int status = disk_list(descriptor, pass_on, &listing);
    disk_close(descriptor);
    return answer(status, "can't list the folder", path, error);
}
