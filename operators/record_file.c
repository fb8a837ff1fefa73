/* SPDX-License-Identifier: Apache-2.0
 *
 * record_file: reads what record_block.h describes. It trusts nothing: lengths are compared with
 * limits before memory is taken, and a block's checksum before its records are looked at.
 */
#include "weir_operators.h"
#include "block.h"
#include "path.h"
#include "record_block.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct weir_record_file {
    const struct weir_allocator *allocator;
    struct weir_file *file;
    char path[PATH_ROOM];
    uint64_t next;  /* where the next block begins */
    uint64_t block; /* where the one in hand does */
    struct block body;
    size_t at;        /* of the next record in it */
    uint32_t left;    /* records */
    uint64_t records; /* of the blocks before */
    bool ended;
};

static enum weir_result refuse(const struct weir_record_file *file, struct weir_error *error,
                               enum weir_result code, uint64_t offset, const char *format, ...)
    WEIR_PRINTF(5, 6);
static enum weir_result refuse(const struct weir_record_file *file, struct weir_error *error,
                               enum weir_result code, uint64_t offset, const char *format, ...)
{
    char what[160];
    va_list arguments;
    if (!error)
        return code;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    *error = (struct weir_error){.code = code};
    snprintf(error->text, sizeof error->text, "%.400s, offset %llu: %s", file->path,
             (unsigned long long)offset, what);
    return code;
}

static enum weir_result damaged(const struct weir_record_file *file, struct weir_error *error,
                                const char *what)
{
    return refuse(file, error, WEIR_DAMAGED, file->block, "%s", what);
}

static enum weir_result out_of_memory(const struct weir_record_file *file, struct weir_error *error)
{
    return refuse(file, error, WEIR_NO_MEMORY, file->block, "out of memory");
}

/* ---------------------------------------------------------------------------------- open -- */

static enum weir_result check_head(struct weir_record_file *file, struct weir_error *error)
{
    unsigned char head[RECORD_FILE_HEAD];
    size_t got;
    enum weir_result result = weir_file_read(file->file, 0, head, sizeof head, &got, error);
    if (result != WEIR_OK)
        return result;
    if (got < sizeof head || memcmp(head, RECORD_MAGIC, 8) != 0)
        return damaged(file, error, "this is not a record file, or its beginning is damaged");
    if (record_get_u32(head + 8) > RECORD_VERSION)
        return refuse(file, error, WEIR_UNSUPPORTED, 8,
                      "version %u is newer than this library's, which is %d",
                      record_get_u32(head + 8), RECORD_VERSION);
    if (record_get_u32(head + 8) != RECORD_VERSION || record_get_u32(head + 12) != 0)
        return damaged(file, error, "the file's header is damaged");
    file->next = RECORD_FILE_HEAD;
    return WEIR_OK;
}

enum weir_result weir_record_file_open(const struct weir_allocator *allocator, const char *path,
                                       struct weir_record_file **file, struct weir_error *error)
{
    *file = NULL;
    struct weir_record_file *made = block_take(allocator, sizeof *made);
    if (!made) {
        if (error)
            *error = (struct weir_error){.code = WEIR_NO_MEMORY, .text = "out of memory"};
        return WEIR_NO_MEMORY;
    }
    made->allocator = allocator;
    path_join(made->path, path, "");
    enum weir_result result = weir_file_open(allocator, path, WEIR_OPEN_READ, &made->file, error);
    if (result == WEIR_OK)
        result = check_head(made, error);
    if (result == WEIR_OK)
        *file = made;
    else
        weir_record_file_close(&made);
    return result;
}

void weir_record_file_close(struct weir_record_file **file)
{
    struct weir_record_file *gone = *file;
    if (!gone)
        return;
    const struct weir_allocator *allocator = gone->allocator;
    weir_file_close(&gone->file, NULL);
    block_free(&gone->body, allocator);
    block_drop(allocator, gone);
    *file = NULL;
}

/* ---------------------------------------------------------------------------------- next -- */

/* What is behind the end must be nothing, and what is before it all there was. */
static enum weir_result check_end(struct weir_record_file *file, struct weir_error *error)
{
    unsigned char more;
    size_t got;
    if (file->body.size != RECORD_BLOCK_HEAD + 8)
        return damaged(file, error, "a block without records is not the file's end either");
    if (record_get_u64(file->body.data + RECORD_BLOCK_HEAD) != file->records)
        return damaged(file, error, "blocks are missing: the end counts more or fewer records");
    enum weir_result result = weir_file_read(file->file, file->next, &more, 1, &got, error);
    if (result != WEIR_OK)
        return result;
    if (got > 0)
        return damaged(file, error, "bytes follow the file's end");
    file->ended = true;
    return WEIR_OK;
}

/* Head and body of the block at `next`, with a sound checksum. */
static enum weir_result read_block(struct weir_record_file *file, struct weir_error *error)
{
    unsigned char head[RECORD_BLOCK_HEAD];
    size_t got;
    file->block = file->next;
    enum weir_result result =
        weir_file_read(file->file, file->block, head, sizeof head, &got, error);
    if (result != WEIR_OK)
        return result;
    if (got < sizeof head)
        return damaged(file, error, "the file was cut off: it has no end");
    size_t body = record_get_u32(head + 16), size = sizeof head + body;
    if (record_get_u64(head + 8) != file->block || body > RECORD_BODY_LIMIT || body % 8 != 0)
        return damaged(file, error, "a block's head is damaged");
    if (!block_reserve(&file->body, file->allocator, size))
        return out_of_memory(file, error);
    result = weir_file_read(file->file, file->block, file->body.data, size, &got, error);
    if (result != WEIR_OK)
        return result;
    file->body.size = got;
    if (got < size)
        return damaged(file, error, "the file was cut off in the middle of a block");
    if (record_get_u64(file->body.data) !=
        weir_hash((struct weir_bytes){file->body.data + 8, size - 8}))
        return damaged(file, error, "the block that begins here is damaged: wrong checksum");
    file->next += size;
    return WEIR_OK;
}

static enum weir_result next_block(struct weir_record_file *file, struct weir_error *error)
{
    if (file->at != file->body.size)
        return damaged(file, error, "a block is longer than its records");
    enum weir_result result = read_block(file, error);
    if (result != WEIR_OK)
        return result;
    file->at = RECORD_BLOCK_HEAD;
    file->left = record_get_u32(file->body.data + 20);
    if (file->left == 0)
        return check_end(file, error);
    file->records += file->left;
    return WEIR_OK;
}

enum weir_result weir_record_file_next(struct weir_record_file *file, struct weir_record *record,
                                       struct weir_error *error)
{
    enum weir_result result = WEIR_OK;
    if (file->left == 0 && !file->ended)
        result = next_block(file, error);
    if (result != WEIR_OK)
        return result;
    if (file->ended)
        return refuse(file, error, WEIR_NOT_FOUND, file->next, "there are no more records");
    const unsigned char *at = file->body.data + file->at;
    size_t room = file->body.size - file->at;
    if (room < RECORD_HEAD)
        return damaged(file, error, "a block ends in the middle of a record");
    size_t key = record_get_u32(at + 8), value = record_get_u32(at + 12);
    size_t size = RECORD_HEAD + record_padded(key) + record_padded(value);
    if (size > room)
        return damaged(file, error, "a block ends in the middle of a record");
    record->time = (int64_t)record_get_u64(at);
    record->key = (struct weir_bytes){at + RECORD_HEAD, key};
    record->value = (struct weir_bytes){at + RECORD_HEAD + record_padded(key), value};
    file->at += size;
    file->left--;
    return WEIR_OK;
}
