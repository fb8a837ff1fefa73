/* SPDX-License-Identifier: Apache-2.0 */
#include "spill.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "disk.h"
#include "error.h"
#include "file.h"
#include "memory.h"

#define FILE_ROLL                                                                                  \
    ((uint64_t)64 << 20) /* bytes; then the next one: disk space comes back in files */
#define NAME_END ".spill"

struct spill_file {
    const struct weir_allocator *allocator;
    int file;
    atomic_uint references; /* slices, and one while it is written to */
};

void spill_init(struct spill *spill, const struct weir_allocator *allocator, const char *folder,
                uint32_t epoch, uint32_t task)
{
    *spill = (struct spill){.allocator = allocator, .folder = folder, .epoch = epoch, .task = task};
}

static void file_release(struct spill_file *file)
{
    if (atomic_fetch_sub_explicit(&file->references, 1, memory_order_acq_rel) > 1)
        return;
    disk_close(file->file);
    memory_release(file->allocator, file);
}

static void close_open(struct spill *spill)
{
    if (spill->open)
        file_release(spill->open);
    spill->open = NULL;
}

void spill_free(struct spill *spill)
{
    close_open(spill);
}

/* -------------------------------------------------------------------------- writing -- */

static enum weir_result open_file(struct spill *spill, struct weir_error *error)
{
    char path[4200];
    int size = snprintf(path, sizeof path, "%s/%u-%u-%u" NAME_END, spill->folder, spill->epoch,
                        spill->task, spill->files);
    if (size < 0 || (size_t)size >= sizeof path)
        return error_set(error, WEIR_TOO_LARGE, 0, "the path of the scratch folder is too long");
    struct spill_file *file = memory_zeroed(spill->allocator, 1, sizeof *file);
    if (!file)
        return error_memory(error, "a spill file", sizeof *file);
    file->allocator = spill->allocator;
    file->file = disk_open(DISK_CWD, path, DISK_CREATE);
    if (file->file < 0) {
        int failure = file->file;
        memory_release(spill->allocator, file);
        return error_os(error, -failure, "making %s, where a cycle's records wait", path);
    }
    spill->files++;
    (void)!disk_remove(DISK_CWD, path); /* what stays is removed by the next start */
    atomic_store_explicit(&file->references, 1, memory_order_relaxed);
    spill->open = file;
    spill->end = 0;
    return WEIR_OK;
}

enum weir_result spill_put(struct spill *spill, const struct batch *batch,
                           struct spill_slice *slice, struct weir_error *error)
{
    enum weir_result result = WEIR_OK;
    assert(batch->size <= UINT32_MAX);
    if (spill->open && spill->end >= FILE_ROLL)
        close_open(spill);
    if (!spill->open)
        result = open_file(spill, error);
    if (result)
        return result;
    int failure = file_write(spill->open->file, batch->data, batch->size, spill->end);
    if (failure < 0)
        return error_os(error, -failure, "writing to %s, where a cycle's records wait",
                        spill->folder);
    *slice = (struct spill_slice){.file = spill->open,
                                  .offset = spill->end,
                                  .size = (uint32_t)batch->size,
                                  .count = batch->count};
    atomic_fetch_add_explicit(&spill->open->references, 1, memory_order_relaxed);
    spill->end += batch->size;
    return WEIR_OK;
}

bool spill_join(struct spill_slice *slice, struct spill_slice *next)
{
    if (slice->file != next->file || slice->offset + slice->size != next->offset ||
        (uint64_t)slice->size + next->size > SPILL_SLICE_LIMIT)
        return false;
    slice->size += next->size;
    slice->count += next->count;
    spill_release(next);
    return true;
}

/* -------------------------------------------------------------------------- reading -- */

struct spill_slice spill_share(const struct spill_slice *slice)
{
    atomic_fetch_add_explicit(&slice->file->references, 1, memory_order_relaxed);
    return *slice;
}

void spill_release(struct spill_slice *slice)
{
    if (slice->file)
        file_release(slice->file);
    slice->file = NULL;
}

static void end_payload(struct batch *payload)
{
    struct spill_slice slice = *spill_of_payload(payload);
    spill_release(&slice);
}

struct batch *spill_payload(const struct spill_slice *slice, const struct weir_allocator *allocator)
{
    struct batch *payload = batch_alone(allocator, sizeof *slice);
    if (!payload)
        return NULL;
    struct spill_slice own = spill_share(slice);
    memcpy(payload->data, &own, sizeof own);
    payload->size = sizeof own;
    payload->at_end = end_payload;
    return payload;
}

const struct spill_slice *spill_of_payload(const struct batch *payload)
{
    return (const struct spill_slice *)(const void *)payload->data;
}

enum weir_result spill_get(const struct spill_slice *slice, const struct weir_allocator *allocator,
                           struct batch **batch, struct weir_error *error)
{
    struct batch *read = batch_alone(allocator, slice->size);
    if (!read)
        return error_memory(error, "records of a cycle that wait on disk", slice->size);
    size_t got = 0;
    int failure = file_read(slice->file->file, read->data, slice->size, slice->offset, &got);
    if (failure < 0 || got < slice->size) {
        batch_release(read);
        if (failure < 0)
            return error_os(error, -failure, "reading records of a cycle that wait on disk");
        return error_set(error, WEIR_DAMAGED, 0,
                         "records of a cycle that wait on disk: the file is cut short");
    }
    read->size = slice->size;
    read->count = slice->count;
    *batch = read;
    return WEIR_OK;
}

/* ----------------------------------------------------------------------- the folder -- */

static int remove_left(void *context, const char *name, enum disk_kind kind)
{
    size_t size = strlen(name), end = sizeof NAME_END - 1;
    if (kind == DISK_FILE && size > end && strcmp(name + size - end, NAME_END) == 0)
        (void)!disk_remove(*(const int *)context, name); /* it is in the way of nobody */
    return 0;
}

enum weir_result spill_folder(const char *path, struct weir_error *error)
{
    int failure = disk_make_folder(DISK_CWD, path);
    if (failure < 0 && failure != -EEXIST)
        return error_os(error, -failure, "making the scratch folder %s", path);
    int folder = disk_open(DISK_CWD, path, DISK_DIRECTORY_FOLLOW);
    if (folder < 0)
        return error_os(error, -folder, "opening the scratch folder %s", path);
    failure = disk_list(folder, remove_left, &folder);
    disk_close(folder);
    return failure < 0 ? error_os(error, -failure, "listing the scratch folder %s", path) : WEIR_OK;
}
