/* SPDX-License-Identifier: Apache-2.0 */
#include "rotation.h"

#include <stdlib.h>
#include <string.h>

void rotation_init(struct rotation *rotation, const char *path)
{
    path_join(rotation->path, path, "");
    path_parent(rotation->folder, path);
}

void rotation_free(struct rotation *rotation, const struct weir_allocator *allocator)
{
    block_free(&rotation->files, allocator);
}

size_t rotation_count(const struct rotation *rotation)
{
    return rotation->files.size / sizeof(struct rotation_file);
}

const struct rotation_file *rotation_at(const struct rotation *rotation, size_t index)
{
    return (const struct rotation_file *)(const void *)rotation->files.data + index;
}

void rotation_path(const struct rotation *rotation, const struct rotation_file *file,
                   char path[PATH_ROOM])
{
    /* Spelled as the user did: a folder of "." would surprise in messages. */
    size_t folder = (size_t)(path_base(rotation->path) - rotation->path);
    memcpy(path, rotation->path, folder);
    memcpy(path + folder, file->name, strlen(file->name) + 1);
}

/* --------------------------------------------------------------------------------- names -- */

static bool is_digit(char letter)
{
    return letter >= '0' && letter <= '9';
}

/* How long the name is without the ending of a packed file. */
static size_t unpacked_size(const char *name, size_t size)
{
    static const char *const endings[] = {".gz", ".bz2", ".xz", ".zst", ".lz4"};
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t ending = strlen(endings[i]);
        if (size > ending && memcmp(name + size - ending, endings[i], ending) == 0)
            return size - ending;
    }
    return size;
}

static bool is_number(const char *text, size_t size, uint32_t *number)
{
    *number = 0;
    if (size == 0 || size > 5)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (!is_digit(text[i]))
            return false;
        *number = *number * 10 + (uint32_t)(text[i] - '0');
    }
    return *number > 0;
}

static bool is_date(const char *text, size_t size)
{
    if (size < 6 || !is_digit(text[0]) || !is_digit(text[size - 1]))
        return false;
    for (size_t i = 0; i < size; i++)
        if (!is_digit(text[i]) && !strchr("-_.:T", text[i]))
            return false;
    return true;
}

/* False when the name is not one of `base`'s. */
static bool parse_name(const char *base, const char *name, struct rotation_file *file)
{
    size_t stem = strlen(base), size = strlen(name);
    *file = (struct rotation_file){0};
    if (size < stem || size > PATH_NAME_LIMIT || memcmp(base, name, stem) != 0)
        return false;
    memcpy(file->name, name, size + 1);
    if (size == stem)
        return true;
    if (name[stem] != '.' && name[stem] != '-')
        return false;
    const char *suffix = name + stem + 1;
    size_t whole = size - stem - 1, bare = unpacked_size(suffix, whole);
    file->packed = bare < whole;
    if (name[stem] == '.' && is_number(suffix, bare, &file->number))
        return true;
    file->number = ROTATION_DATED;
    return is_date(suffix, bare);
}

static int compare(const void *a_, const void *b_)
{
    const struct rotation_file *a = a_, *b = b_;
    if (a->number != b->number)
        return a->number > b->number ? -1 : 1; /* dated, numbered, live */
    return strcmp(a->name, b->name);
}

/* ---------------------------------------------------------------------------------- look -- */

struct look {
    struct rotation *rotation;
    const struct weir_allocator *allocator;
    uint64_t names; /* a sum over them: no order is promised */
    bool keep;
    bool full; /* no memory */
};

static bool look_at_name(void *look_, const char *name)
{
    struct look *look = look_;
    struct rotation_file file;
    if (!parse_name(path_base(look->rotation->path), name, &file))
        return true;
    look->names += weir_hash((struct weir_bytes){name, strlen(name)});
    if (look->keep)
        look->full = !block_append(&look->rotation->files, look->allocator, &file, sizeof file);
    return !look->full;
}

/* Fills in what the name stands for; false: for no regular file (any more), or the look failed. */
static bool describe(struct rotation *rotation, struct weir_context *context,
                     struct rotation_file *file, enum weir_result *result)
{
    char path[PATH_ROOM];
    struct weir_error error;
    struct weir_file_status status;
    rotation_path(rotation, file, path);
    *result = weir_file_status(path, &status, &error);
    if (*result == WEIR_NOT_FOUND)
        *result = WEIR_OK;
    else if (*result != WEIR_OK)
        weir_fail_with(context, &error);
    else if (status.regular) {
        file->device = status.device;
        file->inode = status.inode;
        file->size = status.size;
        return true;
    }
    return false;
}

static enum weir_result describe_all(struct rotation *rotation, struct weir_context *context)
{
    struct rotation_file *files = (void *)rotation->files.data;
    size_t count = rotation_count(rotation), kept = 0;
    enum weir_result result = WEIR_OK;
    for (size_t i = 0; result == WEIR_OK && i < count; i++)
        if (describe(rotation, context, &files[i], &result))
            files[kept++] = files[i];
    rotation->files.size = kept * sizeof *files;
    return result;
}

static enum weir_result check_order(const struct rotation *rotation, struct weir_context *context)
{
    bool dated = false, numbered = false;
    for (size_t i = 0; i < rotation_count(rotation); i++) {
        uint32_t number = rotation_at(rotation, i)->number;
        dated |= number == ROTATION_DATED;
        numbered |= number != ROTATION_DATED && number > 0;
    }
    if (!dated || !numbered)
        return WEIR_OK;
    return weir_fail(context, WEIR_INVALID,
                     "input %s has numbered and dated rotated files, which have no order; move one "
                     "kind away",
                     rotation->path);
}

static enum weir_result list(struct rotation *rotation, struct weir_context *context, bool keep,
                             uint64_t *names)
{
    struct weir_error error;
    struct look look = {rotation, weir_memory(context), 0, keep, false};
    enum weir_result result = weir_folder_list(rotation->folder, look_at_name, &look, &error);
    *names = look.names;
    if (result != WEIR_OK)
        return weir_fail_with(context, &error);
    return look.full ? block_none(context) : WEIR_OK;
}

enum weir_result rotation_look(struct rotation *rotation, struct weir_context *context)
{
    rotation->files.size = 0;
    enum weir_result result = list(rotation, context, true, &rotation->names);
    if (result == WEIR_OK)
        result = describe_all(rotation, context);
    if (rotation_count(rotation) > 1)
        qsort(rotation->files.data, rotation_count(rotation), sizeof(struct rotation_file),
              compare);
    return result == WEIR_OK ? check_order(rotation, context) : result;
}

/* ---------------------------------------------------------------------------------- next -- */

static bool is_file(const struct rotation_file *file, uint64_t device, uint64_t inode)
{
    return file->device == device && file->inode == inode;
}

/* The index of the file; their count when it is not there. Of two names of one file, which there
 * may be for a moment, the older counts: it stays. */
static size_t find(const struct rotation *rotation, uint64_t device, uint64_t inode)
{
    size_t i = 0, count = rotation_count(rotation);
    while (i < count && !is_file(rotation_at(rotation, i), device, inode))
        i++;
    return i;
}

/* The cheap and usual case: one call. */
static bool is_live(struct rotation *rotation, struct weir_context *context, uint64_t device,
                    uint64_t inode, enum weir_result *result)
{
    struct rotation_file live;
    parse_name(path_base(rotation->path), path_base(rotation->path), &live);
    return describe(rotation, context, &live, result) && is_file(&live, device, inode);
}

/* `next` is NULL behind the last one, where only the live file may be missing. */
static bool is_gap(const struct rotation_file *file, const struct rotation_file *next)
{
    if (file->number == ROTATION_DATED)
        return false;
    return (next ? next->number : 0) + 1 != file->number;
}

enum rotation_place rotation_next(struct rotation *rotation, struct weir_context *context,
                                  uint64_t device, uint64_t inode, struct rotation_step *step)
{
    enum weir_result result;
    *step = (struct rotation_step){0};
    if (is_live(rotation, context, device, inode, &result))
        return ROTATION_LIVE;
    if (result != WEIR_OK || rotation_look(rotation, context) != WEIR_OK)
        return ROTATION_FAILED;
    size_t count = rotation_count(rotation), at = find(rotation, device, inode);
    if (at == count)
        return ROTATION_UNSETTLED;
    const struct rotation_file *file = rotation_at(rotation, at);
    struct rotation_file again = *file;
    step->next = at + 1 < count ? file + 1 : NULL;
    if (is_gap(file, step->next))
        return ROTATION_UNSETTLED;
    for (size_t i = at + 1; i < count; i++)
        step->written |= rotation_at(rotation, i)->size > 0;
    uint64_t names;
    if (list(rotation, context, false, &names) != WEIR_OK)
        return ROTATION_FAILED;
    bool same = describe(rotation, context, &again, &result) && is_file(&again, device, inode) &&
                names == rotation->names;
    if (result != WEIR_OK)
        return ROTATION_FAILED;
    if (!same)
        return ROTATION_UNSETTLED;
    return step->next ? ROTATION_FOLLOWED : ROTATION_LAST;
}
