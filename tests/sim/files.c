/* SPDX-License-Identifier: Apache-2.0 */
#include "files.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 512

static struct file_node *all, *root;
static uint64_t last_id;

static void *must(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

/* ---- bytes ---- */

static void bytes_resize(struct file_bytes *bytes, size_t size)
{
    if (size > bytes->room) {
        bytes->room = size * 2;
        bytes->data = must(realloc(bytes->data, bytes->room));
    }
    if (size > bytes->size)
        memset(bytes->data + bytes->size, 0, size - bytes->size);
    bytes->size = size;
}

static void bytes_copy(struct file_bytes *to, const struct file_bytes *from)
{
    bytes_resize(to, from->size);
    if (from->size > 0)
        memcpy(to->data, from->data, from->size);
}

static void bytes_free(struct file_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct file_bytes){0};
}

/* ---- names ---- */

static uint64_t hash_of(const char *name)
{
    uint64_t hash = 0xCBF29CE484222325u; /* FNV-1a */

    for (; *name != '\0'; name++)
        hash = (hash ^ (unsigned char)*name) * 0x100000001B3u;
    return hash;
}

static struct file_entry *entries_find(const struct file_entries *entries, const char *name)
{
    uint64_t hash = hash_of(name);

    for (size_t i = 0; i < entries->count; i++) {
        if (entries->list[i].hash == hash && strcmp(entries->list[i].name, name) == 0)
            return &entries->list[i];
    }
    return NULL;
}

static void entries_remove(struct file_entries *entries, const char *name)
{
    struct file_entry *entry = entries_find(entries, name);

    if (entry == NULL)
        return;
    free(entry->name);
    *entry = entries->list[--entries->count];
}

static void entries_set(struct file_entries *entries, const char *name, struct file_node *node)
{
    entries_remove(entries, name);
    entries->list = must(realloc(entries->list, (entries->count + 1) * sizeof entries->list[0]));
    entries->list[entries->count++] = (struct file_entry){must(strdup(name)), hash_of(name), node};
}

static void entries_free(struct file_entries *entries)
{
    while (entries->count > 0)
        free(entries->list[--entries->count].name);
    free(entries->list);
    entries->list = NULL;
}

static void entries_copy(struct file_entries *to, const struct file_entries *from)
{
    entries_free(to);
    for (size_t i = 0; i < from->count; i++)
        entries_set(to, from->list[i].name, from->list[i].node);
}

static void change_apply(struct file_entries *entries, const struct file_change *change)
{
    if (change->removed != NULL)
        entries_remove(entries, change->removed);
    if (change->added != NULL)
        entries_set(entries, change->added, change->node);
}

/* To the cached view now, to the durable one when the folder is synced. */
static void folder_change(struct file_node *folder, const char *removed, const char *added,
                          struct file_node *node)
{
    struct file_change *change;

    folder->changes =
        must(realloc(folder->changes, (folder->change_count + 1) * sizeof *folder->changes));
    change = &folder->changes[folder->change_count++];
    change->removed = removed == NULL ? NULL : must(strdup(removed));
    change->added = added == NULL ? NULL : must(strdup(added));
    change->node = node;
    change_apply(&folder->names, change);
}

static void changes_free(struct file_node *folder)
{
    for (size_t i = 0; i < folder->change_count; i++) {
        free(folder->changes[i].removed);
        free(folder->changes[i].added);
    }
    free(folder->changes);
    folder->changes = NULL;
    folder->change_count = 0;
}

/* ---- the tree ---- */

static struct file_node *node_new(bool folder, struct file_node *parent)
{
    struct file_node *node = must(calloc(1, sizeof *node));

    node->id = ++last_id;
    node->folder = folder;
    node->mode = folder ? 0700 : 0600;
    node->lock = -1;
    node->parent = parent == NULL ? node : parent;
    node->next = all;
    all = node;
    return node;
}

struct file_node *files_root(void)
{
    if (root == NULL)
        root = node_new(true, NULL);
    return root;
}

void files_wipe(void)
{
    while (all != NULL) {
        struct file_node *node = all;
        all = node->next;
        bytes_free(&node->cached);
        bytes_free(&node->durable);
        entries_free(&node->names);
        entries_free(&node->durable_names);
        changes_free(node);
        free(node);
    }
    root = NULL;
    last_id = 0;
}

static uint64_t size_below(const struct file_node *folder)
{
    uint64_t size = 0;

    for (size_t i = 0; i < folder->names.count; i++) {
        const struct file_node *node = folder->names.list[i].node;
        size += node->folder ? size_below(node) : node->cached.size;
    }
    return size;
}

uint64_t files_size(void)
{
    return size_below(files_root());
}

struct file_node *files_find(const struct file_node *folder, const char *name)
{
    const struct file_entry *entry = entries_find(&folder->names, name);

    return entry == NULL ? NULL : entry->node;
}

struct file_node *files_add(struct file_node *folder, const char *name, bool folder_kind)
{
    struct file_node *node = node_new(folder_kind, folder);

    folder_change(folder, NULL, name, node);
    return node;
}

void files_remove(struct file_node *folder, const char *name)
{
    folder_change(folder, name, NULL, NULL);
}

void files_rename(struct file_node *from_folder, const char *from, struct file_node *to_folder,
                  const char *to)
{
    struct file_node *node = files_find(from_folder, from);

    assert(node != NULL);
    node->parent = to_folder;
    if (from_folder == to_folder) {
        folder_change(from_folder, from, to, node);
        return;
    }
    folder_change(from_folder, from, NULL, NULL);
    folder_change(to_folder, NULL, to, node);
}

void files_write(struct file_node *file, const void *data, size_t size, size_t offset)
{
    if (offset + size > file->cached.size)
        bytes_resize(&file->cached, offset + size);
    if (size > 0)
        memcpy(file->cached.data + offset, data, size);
}

/* A folder's cached names are the durable ones and its changes, in their order. */
void files_sync(struct file_node *node)
{
    if (!node->folder) {
        bytes_copy(&node->durable, &node->cached);
        return;
    }
    for (size_t i = 0; i < node->change_count; i++)
        change_apply(&node->durable_names, &node->changes[i]);
    changes_free(node);
}

/* ---- crash ---- */

static size_t crash_size(const struct file_node *file, uint64_t (*draw)(void *, uint64_t),
                         void *context)
{
    size_t old = file->durable.size, new = file->cached.size;
    size_t low = old < new ? old : new, high = old < new ? new : old;

    switch (draw(context, 3)) {
    case 0:
        return old;
    case 1:
        return new;
    default:
        return low + (size_t)draw(context, high - low + 1);
    }
}

/* Each sector that differs is the old one or the new one; what lies behind the old end may as well
 * be zeros. */
static void crash_file(struct file_node *file, uint64_t (*draw)(void *, uint64_t), void *context)
{
    struct file_bytes left = {0};
    size_t size;

    if (file->cached.size == file->durable.size &&
        (file->cached.size == 0 ||
         memcmp(file->cached.data, file->durable.data, file->cached.size) == 0))
        return;
    size = crash_size(file, draw, context);
    bytes_copy(&left, &file->durable);
    bytes_resize(&left, size);
    for (size_t at = 0; at < size && at < file->cached.size; at += SECTOR) {
        size_t end = at + SECTOR;
        end = end < size ? end : size;
        end = end < file->cached.size ? end : file->cached.size;
        if (draw(context, 2) == 0)
            memcpy(left.data + at, file->cached.data + at, end - at);
    }
    bytes_copy(&file->cached, &left);
    bytes_copy(&file->durable, &left);
    bytes_free(&left);
}

static void crash_folder(struct file_node *folder, uint64_t (*draw)(void *, uint64_t),
                         void *context)
{
    for (size_t i = 0; i < folder->change_count; i++) {
        if (draw(context, 2) == 0)
            change_apply(&folder->durable_names, &folder->changes[i]);
    }
    changes_free(folder);
    entries_copy(&folder->names, &folder->durable_names);
}

void files_crash(uint64_t (*draw)(void *context, uint64_t below), void *context)
{
    for (struct file_node *node = all; node != NULL; node = node->next) {
        node->lock = -1;
        node->lying = false;
        if (node->folder)
            crash_folder(node, draw, context);
        else
            crash_file(node, draw, context);
    }
}
