/* SPDX-License-Identifier: Apache-2.0 */
#include "line_table.h"
#include "path.h"

#include <stdlib.h>
#include <string.h>

#define ITEM_LIMIT ((size_t)16 << 20) /* of weir_save */

/* ------------------------------------------------------------------------------- listing -- */

struct names {
    const struct weir_allocator *allocator;
    struct block text; /* the names, a zero byte after each */
    size_t count;
    bool failed;
};

static bool names_add(void *names_, const char *name)
{
    struct names *names = names_;
    if (name[0] == '.')
        return true;
    names->count++;
    names->failed = !block_append(&names->text, names->allocator, name, strlen(name) + 1);
    return !names->failed;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted, zero-terminated views into `names`; the caller drops the array. */
static const char **names_sorted(const struct names *names)
{
    const char **sorted = block_take(names->allocator, (names->count + 1) * sizeof *sorted);
    if (!sorted)
        return NULL;
    const char *at = (const char *)names->text.data;
    for (size_t i = 0; i < names->count; i++) {
        sorted[i] = at;
        at += strlen(at) + 1;
    }
    if (names->count > 1)
        qsort(sorted, names->count, sizeof *sorted, by_bytes);
    return sorted;
}

/* The fingerprint of a file's first bytes. */
static enum weir_result hash_head(struct weir_context *context, const char *path, uint64_t size,
                                  uint64_t *hash)
{
    const struct weir_allocator *allocator = weir_memory(context);
    struct weir_error error;
    struct weir_file *file = NULL;
    size_t got = 0, want = size < LINE_HEAD_BYTES ? (size_t)size : LINE_HEAD_BYTES;
    void *head = block_take(allocator, LINE_HEAD_BYTES);
    if (!head)
        return block_none(context);
    enum weir_result result = weir_file_open(allocator, path, WEIR_OPEN_READ, &file, &error);
    if (result == WEIR_OK)
        result = weir_file_read(file, 0, head, want, &got, &error);
    if (result != WEIR_OK)
        result = weir_fail_with(context, &error);
    else if (got < want)
        result = weir_fail(context, WEIR_REFUSED, "%s became shorter while it was read", path);
    else
        *hash = weir_hash((struct weir_bytes){head, want});
    weir_file_close(&file, NULL);
    block_drop(allocator, head);
    return result;
}

/* One file's row and name, when it is a regular file that is (still) there. */
struct listing {
    struct weir_context *context;
    const char *root;
    struct block files, names;
};

static enum weir_result listing_add(struct listing *listing, const char *name)
{
    const struct weir_allocator *allocator = weir_memory(listing->context);
    char path[PATH_ROOM];
    struct weir_error error;
    struct weir_file_status status;
    path_join(path, listing->root, name);
    enum weir_result result = weir_file_status(path, &status, &error);
    if (result == WEIR_NOT_FOUND || (result == WEIR_OK && !status.regular))
        return WEIR_OK;
    if (result != WEIR_OK)
        return weir_fail_with(listing->context, &error);
    struct line_file file = {
        .size = status.size,
        .name = (uint32_t)listing->names.size,
        .name_size = (uint32_t)strlen(name),
    };
    result = hash_head(listing->context, path, file.size, &file.head_hash);
    if (result != WEIR_OK)
        return result;
    if (!block_append(&listing->files, allocator, &file, sizeof file) ||
        !block_append(&listing->names, allocator, name, strlen(name) + 1))
        return block_none(listing->context);
    if (listing->files.size + listing->names.size + sizeof(struct line_table_head) > ITEM_LIMIT)
        return weir_fail(listing->context, WEIR_TOO_LARGE,
                         "%s holds too many files: their list is over 16 MiB; join some of them",
                         listing->root);
    return WEIR_OK;
}

static enum weir_result list_folder(struct listing *listing)
{
    struct weir_error error;
    struct names names = {.allocator = weir_memory(listing->context)};
    enum weir_result result = weir_folder_list(listing->root, names_add, &names, &error);
    const char **sorted = result == WEIR_OK && !names.failed ? names_sorted(&names) : NULL;
    if (result != WEIR_OK)
        weir_fail_with(listing->context, &error);
    else if (!sorted)
        result = block_none(listing->context);
    for (size_t i = 0; result == WEIR_OK && i < names.count; i++)
        result = listing_add(listing, sorted[i]);
    block_drop(names.allocator, sorted);
    block_free(&names.text, names.allocator);
    return result;
}

static enum weir_result list_root(struct listing *listing)
{
    struct weir_error error;
    struct weir_file_status status;
    enum weir_result result = weir_file_status(listing->root, &status, &error);
    if (result == WEIR_NOT_FOUND)
        return weir_fail(listing->context, result, "input %s: no such file or directory",
                         listing->root);
    if (result != WEIR_OK)
        return weir_fail_with(listing->context, &error);
    if (status.folder)
        return list_folder(listing);
    if (!status.regular)
        return weir_fail(listing->context, WEIR_INVALID,
                         "input %s is neither a regular file nor a directory", listing->root);
    return listing_add(listing, "");
}

/* ----------------------------------------------------------------------------- the table -- */

/* Fills `first_split`; false without memory. */
static bool count_splits(struct line_table *table)
{
    size_t count = table->head->file_count;
    table->first_split = block_take(table->allocator, (count + 1) * sizeof *table->first_split);
    if (!table->first_split)
        return false;
    for (size_t i = 0; i < count; i++) {
        uint64_t size = table->files[i].size, split = table->head->split_bytes;
        table->first_split[i + 1] = table->first_split[i] + size / split + (size % split != 0);
    }
    return true;
}

static struct line_table *table_of(struct weir_context *context, struct block *item)
{
    struct line_table *table = block_take(weir_memory(context), sizeof *table);
    if (!table) {
        block_free(item, weir_memory(context));
        block_none(context);
        return NULL;
    }
    table->allocator = weir_memory(context);
    table->item = *item;
    *item = (struct block){0};
    table->head = (const void *)table->item.data;
    table->files = (const void *)(table->head + 1);
    table->names = (const void *)(table->files + table->head->file_count);
    if (!count_splits(table)) {
        line_table_free(table);
        block_none(context);
        return NULL;
    }
    return table;
}

static struct line_table *table_of_listing(struct listing *listing, uint64_t split_bytes)
{
    const struct weir_allocator *allocator = weir_memory(listing->context);
    struct block item = {0};
    struct line_table_head head = {
        .split_bytes = split_bytes,
        .file_count = (uint32_t)(listing->files.size / sizeof(struct line_file)),
        .name_bytes = (uint32_t)listing->names.size,
    };
    if (block_append(&item, allocator, &head, sizeof head) &&
        block_append(&item, allocator, listing->files.data, listing->files.size) &&
        block_append(&item, allocator, listing->names.data, listing->names.size))
        return table_of(listing->context, &item);
    block_free(&item, allocator);
    block_none(listing->context);
    return NULL;
}

struct line_table *line_table_list(struct weir_context *context, const char *root,
                                   uint64_t split_bytes)
{
    struct listing listing = {.context = context, .root = root};
    struct line_table *table = NULL;
    if (list_root(&listing) == WEIR_OK)
        table = table_of_listing(&listing, split_bytes);
    block_free(&listing.files, weir_memory(context));
    block_free(&listing.names, weir_memory(context));
    return table;
}

/* The store's checksums have passed, but lengths are checked all the same before they are used. */
static bool item_is_sound(struct weir_bytes item)
{
    struct line_table_head head;
    if (item.size < sizeof head)
        return false;
    memcpy(&head, item.data, sizeof head);
    uint64_t size = sizeof head + head.file_count * (uint64_t)sizeof(struct line_file);
    if (head.split_bytes == 0 || size + head.name_bytes != item.size)
        return false;
    const unsigned char *rows = (const unsigned char *)item.data + sizeof head;
    const unsigned char *names = rows + head.file_count * sizeof(struct line_file);
    for (uint32_t i = 0; i < head.file_count; i++) {
        struct line_file file;
        memcpy(&file, rows + i * sizeof file, sizeof file);
        uint64_t end = (uint64_t)file.name + file.name_size;
        if (file.name_size > PATH_NAME_LIMIT || end >= head.name_bytes || names[end] != '\0')
            return false;
    }
    return true;
}

struct line_table *line_table_parse(struct weir_context *context, struct weir_bytes item)
{
    struct block copy = {0};
    if (!item_is_sound(item)) {
        weir_fail(context, WEIR_DAMAGED, "the saved list of input files makes no sense");
        return NULL;
    }
    if (!block_append(&copy, weir_memory(context), item.data, item.size)) {
        block_none(context);
        return NULL;
    }
    return table_of(context, &copy);
}

void line_table_free(struct line_table *table)
{
    if (!table)
        return;
    block_free(&table->item, table->allocator);
    block_drop(table->allocator, table->first_split);
    block_drop(table->allocator, table);
}

uint64_t line_table_splits(const struct line_table *table)
{
    return table->first_split[table->head->file_count];
}

struct line_split line_table_split(const struct line_table *table, uint64_t split)
{
    uint32_t low = 0, high = table->head->file_count;
    while (high - low > 1) { /* the last file whose first split is not above `split` */
        uint32_t middle = low + (high - low) / 2;
        if (table->first_split[middle] <= split)
            low = middle;
        else
            high = middle;
    }
    uint64_t bytes = table->head->split_bytes, size = table->files[low].size;
    uint64_t begin = (split - table->first_split[low]) * bytes;
    return (struct line_split){
        .file = low,
        .begin = begin,
        .end = size - begin < bytes ? size : begin + bytes,
    };
}

const char *line_table_name(const struct line_table *table, uint32_t file)
{
    return table->names + table->files[file].name;
}

enum weir_result line_table_verify(const struct line_table *table, struct weir_context *context,
                                   const char *root, uint32_t file)
{
    static const char advice[] = "put the original back, or start afresh without the checkpoint";
    const struct line_file *was = &table->files[file];
    char path[PATH_ROOM];
    struct weir_error error;
    struct weir_file_status is;
    uint64_t hash = 0;
    path_join(path, root, line_table_name(table, file));
    enum weir_result result = weir_file_status(path, &is, &error);
    if (result == WEIR_NOT_FOUND || (result == WEIR_OK && !is.regular))
        return weir_fail(context, WEIR_REFUSED, "input %s is missing since the checkpoint; %s",
                         path, advice);
    if (result != WEIR_OK)
        return weir_fail_with(context, &error);
    if (is.size < was->size)
        return weir_fail(context, WEIR_REFUSED,
                         "input %s has %llu bytes and had %llu at the checkpoint's start; %s", path,
                         (unsigned long long)is.size, (unsigned long long)was->size, advice);
    result = hash_head(context, path, was->size, &hash);
    if (result == WEIR_OK && hash != was->head_hash)
        return weir_fail(context, WEIR_REFUSED,
                         "input %s begins differently than at the checkpoint; %s", path, advice);
    return result;
}
