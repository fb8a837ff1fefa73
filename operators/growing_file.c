/* SPDX-License-Identifier: Apache-2.0 */
#include "growing_file.h"

#include <string.h>

#define BLOCK_BYTES ((size_t)256 << 10) /* of a read */
#define CHECK_BYTES ((size_t)64)        /* of what was read before, read again */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static uint64_t filled_to(const struct growing_file *growing)
{
    return growing->base + growing->buffer.size;
}

uint64_t growing_position(const struct growing_file *growing)
{
    return growing->base + growing->cursor;
}

/* ---------------------------------------------------------------------------------- open -- */

/* The name is looked up after it was opened: nobody renames a file away and back in between. */
static enum weir_result open_same(struct weir_context *context, const char *path, uint64_t device,
                                  uint64_t inode, struct weir_file **file)
{
    struct weir_error error;
    struct weir_file_status status;
    enum weir_result result =
        weir_file_open(weir_memory(context), path, WEIR_OPEN_READ, file, &error);
    if (result == WEIR_OK)
        result = weir_file_status(path, &status, &error);
    if (result == WEIR_OK && (status.device != device || status.inode != inode))
        result = WEIR_NOT_FOUND;
    if (result != WEIR_OK)
        weir_file_close(file, NULL);
    return result == WEIR_OK || result == WEIR_NOT_FOUND ? result : weir_fail_with(context, &error);
}

enum weir_result growing_open(struct growing_file *growing, struct weir_context *context,
                              const char *path, uint64_t device, uint64_t inode)
{
    struct weir_file *file = NULL;
    if (!block_reserve(&growing->head, weir_memory(context), GROWING_HEAD_BYTES))
        return block_none(context);
    enum weir_result result = open_same(context, path, device, inode, &file);
    if (result != WEIR_OK)
        return result;
    growing_close(growing);
    growing->file = file;
    growing->device = device;
    growing->inode = inode;
    growing->base = 0;
    growing->cursor = growing->scanned = growing->buffer.size = growing->head.size = 0;
    return WEIR_OK;
}

void growing_close(struct growing_file *growing)
{
    weir_file_close(&growing->file, NULL); /* it was only read: nothing can be lost */
}

void growing_free(struct growing_file *growing, const struct weir_allocator *allocator)
{
    growing_close(growing);
    block_free(&growing->buffer, allocator);
    block_free(&growing->head, allocator);
}

/* ---------------------------------------------------------------------------------- read -- */

static enum weir_result refuse_cut(struct weir_context *context, const char *path, uint64_t at)
{
    return weir_fail(context, WEIR_REFUSED,
                     "input %s was cut or overwritten before byte %llu, which was read already; "
                     "rotate by renaming, not by copying and truncating: lines would be lost",
                     path, (unsigned long long)at);
}

static void keep_head(struct growing_file *growing, uint64_t at, const unsigned char *data,
                      size_t size)
{
    if (at != growing->head.size || growing->head.size == GROWING_HEAD_BYTES)
        return;
    size_t more = least(size, GROWING_HEAD_BYTES - growing->head.size);
    memcpy(growing->head.data + growing->head.size, data, more);
    growing->head.size += more;
}

/* Appends up to `want` bytes to the buffer; *got says how many there were. */
static enum weir_result read_more(struct growing_file *growing, struct weir_context *context,
                                  const char *path, size_t want, size_t *got)
{
    struct weir_error error;
    struct block *buffer = &growing->buffer;
    unsigned char before[CHECK_BYTES];
    size_t check = least(buffer->size, CHECK_BYTES);
    if (!block_reserve(buffer, weir_memory(context), buffer->size + want))
        return block_none(context);
    unsigned char *end = buffer->data + buffer->size;
    memcpy(before, end - check, check);
    enum weir_result result = weir_file_read(growing->file, filled_to(growing) - check, end - check,
                                             check + want, got, &error);
    if (result != WEIR_OK)
        return weir_fail_with(context, &error);
    if (*got < check || memcmp(before, end - check, check) != 0)
        return refuse_cut(context, path, filled_to(growing));
    *got -= check;
    keep_head(growing, filled_to(growing), end, *got);
    buffer->size += *got;
    return WEIR_OK;
}

/* Moves what is still needed, the tail and the unread rest, to the front of the buffer. */
static void compact(struct growing_file *growing)
{
    size_t gone = growing->cursor - least(growing->cursor, GROWING_TAIL_BYTES);
    if (gone == 0)
        return;
    growing->buffer.size -= gone;
    memmove(growing->buffer.data, growing->buffer.data + gone, growing->buffer.size);
    growing->base += gone;
    growing->cursor -= gone;
    growing->scanned -= gone;
}

static enum growing_found fill(struct growing_file *growing, struct weir_context *context,
                               const char *path)
{
    size_t got = 0;
    compact(growing);
    size_t room = growing->buffer.room - growing->buffer.size;
    /* Short of room, the block doubles: the few long lines cost a copy of themselves each time. */
    size_t want = room >= BLOCK_BYTES / 2 ? room : BLOCK_BYTES + growing->buffer.size;
    if (read_more(growing, context, path, want, &got) != WEIR_OK)
        return GROWING_FAILED;
    return got > 0 ? GROWING_MORE : GROWING_WAIT;
}

enum growing_found growing_next(struct growing_file *growing, struct weir_context *context,
                                const char *path, struct weir_bytes *line)
{
    const struct block *buffer = &growing->buffer;
    const unsigned char *newline = NULL;
    if (growing->scanned < buffer->size)
        newline = memchr(buffer->data + growing->scanned, '\n', buffer->size - growing->scanned);
    growing->scanned = newline ? (size_t)(newline - buffer->data) : buffer->size;
    if (growing->scanned - growing->cursor > WEIR_VALUE_LIMIT) {
        weir_fail(context, WEIR_TOO_LARGE, "input %s: the line at byte %llu is longer than 16 MiB",
                  path, (unsigned long long)growing_position(growing));
        return GROWING_FAILED;
    }
    if (!newline)
        return fill(growing, context, path);
    *line = (struct weir_bytes){buffer->data + growing->cursor, growing->scanned - growing->cursor};
    growing->cursor = ++growing->scanned;
    return GROWING_LINE;
}

bool growing_last(struct growing_file *growing, struct weir_bytes *line)
{
    const struct block *buffer = &growing->buffer;
    if (growing->cursor == buffer->size)
        return false;
    *line = (struct weir_bytes){buffer->data + growing->cursor, buffer->size - growing->cursor};
    growing->cursor = growing->scanned = buffer->size;
    return true;
}

/* --------------------------------------------------------------------------------- marks -- */

static uint64_t hash_of(const unsigned char *data, size_t size)
{
    /* A buffer that was never filled has no address to count from. */
    return weir_hash((struct weir_bytes){size > 0 ? data : NULL, size});
}

struct growing_mark growing_mark(const struct growing_file *growing)
{
    uint64_t position = growing_position(growing);
    size_t head = growing->head.size < position ? growing->head.size : (size_t)position;
    size_t tail = least(growing->cursor, GROWING_TAIL_BYTES);
    const unsigned char *from = tail > 0 ? growing->buffer.data + growing->cursor - tail : NULL;
    return (struct growing_mark){
        .device = growing->device,
        .inode = growing->inode,
        .position = position,
        .head_hash = hash_of(growing->head.data, head),
        .tail_hash = hash_of(from, tail),
        .head_size = (uint32_t)head,
        .tail_size = (uint32_t)tail,
    };
}

bool growing_mark_is_sound(const struct growing_mark *mark)
{
    return mark->head_size <= GROWING_HEAD_BYTES && mark->head_size <= mark->position &&
           mark->tail_size <= GROWING_TAIL_BYTES && mark->tail_size <= mark->position &&
           (mark->position == 0 || (mark->head_size > 0 && mark->tail_size > 0));
}

/* Reads `size` bytes at `at` into the empty buffer, and compares. */
static enum weir_result read_known(struct growing_file *growing, struct weir_context *context,
                                   const char *path, uint64_t at, size_t size, uint64_t hash)
{
    size_t got = 0;
    growing->base = at;
    growing->buffer.size = 0;
    if (size == 0) /* nothing was read of it yet: it may hold anything */
        return WEIR_OK;
    enum weir_result result = read_more(growing, context, path, size, &got);
    if (result != WEIR_OK)
        return result;
    return got == size && hash_of(growing->buffer.data, size) == hash ? WEIR_OK : WEIR_REFUSED;
}

enum weir_result growing_resume(struct growing_file *growing, struct weir_context *context,
                                const char *path, const struct growing_mark *mark)
{
    enum weir_result result =
        read_known(growing, context, path, 0, mark->head_size, mark->head_hash);
    if (result == WEIR_OK)
        result = read_known(growing, context, path, mark->position - mark->tail_size,
                            mark->tail_size, mark->tail_hash);
    growing->cursor = growing->scanned = growing->buffer.size;
    return result;
}
