/* SPDX-License-Identifier: Apache-2.0 */
#include "line_reader.h"

#include <string.h>

#define BLOCK_BYTES ((size_t)512 << 10) /* of a read */

static uint64_t filled_to(const struct line_reader *reader)
{
    return reader->base + reader->buffer.size;
}

/* Appends up to `want` bytes of the file to the buffer. Fewer means that it shrank. */
static enum weir_result read_more(struct line_reader *reader, struct weir_context *context,
                                  const char *path, size_t want)
{
    struct weir_error error;
    struct block *buffer = &reader->buffer;
    size_t got = 0;
    if (!block_reserve(buffer, weir_memory(context), buffer->size + want))
        return block_none(context);
    enum weir_result result = weir_file_read(reader->file, filled_to(reader),
                                             buffer->data + buffer->size, want, &got, &error);
    if (result != WEIR_OK)
        return weir_fail_with(context, &error);
    if (got < want)
        return weir_fail(context, WEIR_REFUSED,
                         "input %s became shorter while it was read: it ends at byte %llu, and had "
                         "%llu; put the original back",
                         path, (unsigned long long)(filled_to(reader) + got),
                         (unsigned long long)reader->size);
    buffer->size += got;
    return WEIR_OK;
}

/* ---------------------------------------------------------------------------------- open -- */

static enum weir_result resume(struct line_reader *reader, struct weir_context *context,
                               const char *path, const struct line_mark *mark)
{
    reader->base = mark->position - mark->tail_size;
    enum weir_result result = read_more(reader, context, path, mark->tail_size);
    if (result != WEIR_OK)
        return result;
    reader->cursor = reader->scanned = reader->buffer.size;
    if (line_reader_mark(reader).tail_hash == mark->tail_hash)
        return WEIR_OK;
    return weir_fail(context, WEIR_REFUSED,
                     "input %s differs before byte %llu from what was read for the checkpoint; put "
                     "the original back, or start afresh without the checkpoint",
                     path, (unsigned long long)mark->position);
}

enum weir_result line_reader_open(struct line_reader *reader, struct weir_context *context,
                                  const char *path, const struct line_table *table,
                                  const struct line_split *split, const struct line_mark *mark)
{
    struct weir_error error;
    enum weir_result result =
        weir_file_open(weir_memory(context), path, WEIR_OPEN_READ, &reader->file, &error);
    if (result != WEIR_OK)
        return weir_fail_with(context, &error);
    reader->size = table->files[split->file].size;
    reader->end = split->end;
    reader->buffer.size = reader->cursor = reader->scanned = 0;
    reader->skipping = !mark->begun && split->begin > 0;
    reader->base = reader->skipping ? split->begin - 1 : split->begin;
    return mark->begun ? resume(reader, context, path, mark) : WEIR_OK;
}

void line_reader_close(struct line_reader *reader)
{
    weir_file_close(&reader->file, NULL); /* it was only read: nothing can be lost */
}

void line_reader_free(struct line_reader *reader, const struct weir_allocator *allocator)
{
    line_reader_close(reader);
    block_free(&reader->buffer, allocator);
}

/* --------------------------------------------------------------------------------- lines -- */

/* Moves what is still needed, the tail and the unread rest, to the front of the buffer. */
static void compact(struct line_reader *reader)
{
    size_t tail = reader->cursor < LINE_TAIL_BYTES ? reader->cursor : LINE_TAIL_BYTES;
    size_t gone = reader->cursor - tail;
    if (gone == 0)
        return;
    reader->buffer.size -= gone;
    memmove(reader->buffer.data, reader->buffer.data + gone, reader->buffer.size);
    reader->base += gone;
    reader->cursor -= gone;
    reader->scanned -= gone;
}

static enum line_found fill(struct line_reader *reader, struct weir_context *context,
                            const char *path)
{
    compact(reader);
    uint64_t left = reader->size - filled_to(reader);
    size_t room = reader->buffer.room - reader->buffer.size;
    /* Short of room, the block doubles: the few long lines cost a copy of themselves each time. */
    size_t want = room >= BLOCK_BYTES / 2 ? room : BLOCK_BYTES + reader->buffer.size;
    if (want > left)
        want = (size_t)left;
    return read_more(reader, context, path, want) == WEIR_OK ? LINE_MORE : LINE_FAILED;
}

static enum line_found too_long(const struct line_reader *reader, struct weir_context *context,
                                const char *path)
{
    weir_fail(context, WEIR_TOO_LARGE, "input %s: the line at byte %llu is longer than 16 MiB",
              path, (unsigned long long)(reader->base + reader->cursor));
    return LINE_FAILED;
}

/* Hands out [cursor, end) and goes on at `next`. */
static enum line_found take(struct line_reader *reader, struct weir_context *context,
                            const char *path, size_t end, size_t next, struct weir_bytes *line)
{
    if (end - reader->cursor > LINE_LIMIT)
        return too_long(reader, context, path);
    *line = (struct weir_bytes){reader->buffer.data + reader->cursor, end - reader->cursor};
    reader->cursor = reader->scanned = next;
    return LINE_FOUND;
}

/* The offset of the next newline in the buffer; its size when there is none. */
static size_t find_newline(const struct line_reader *reader)
{
    const struct block *buffer = &reader->buffer;
    if (reader->scanned == buffer->size)
        return buffer->size;
    const unsigned char *at =
        memchr(buffer->data + reader->scanned, '\n', buffer->size - reader->scanned);
    return at ? (size_t)(at - buffer->data) : buffer->size;
}

/* Looks for the newline before the split's first line; lets go of what is not it. */
static enum line_found skip(struct line_reader *reader, struct weir_context *context,
                            const char *path)
{
    size_t newline = find_newline(reader);
    bool found = newline < reader->buffer.size;
    reader->cursor = reader->scanned = found ? newline + 1 : newline;
    reader->skipping = !found;
    if (found)
        return LINE_MORE;
    /* A newline at end - 1 still ends a line of an earlier split; then none begins in this. */
    if (filled_to(reader) >= reader->end)
        return LINE_END;
    return fill(reader, context, path);
}

enum line_found line_reader_next(struct line_reader *reader, struct weir_context *context,
                                 const char *path, struct weir_bytes *line)
{
    if (reader->skipping)
        return skip(reader, context, path);
    if (reader->base + reader->cursor >= reader->end)
        return LINE_END;
    size_t newline = find_newline(reader);
    if (newline < reader->buffer.size)
        return take(reader, context, path, newline, newline + 1, line);
    reader->scanned = newline;
    if (filled_to(reader) == reader->size) /* a last line without newline */
        return take(reader, context, path, newline, newline, line);
    if (newline - reader->cursor > LINE_LIMIT)
        return too_long(reader, context, path);
    return fill(reader, context, path);
}

struct line_mark line_reader_mark(const struct line_reader *reader)
{
    if (reader->skipping)
        return (struct line_mark){0};
    size_t tail = reader->cursor < LINE_TAIL_BYTES ? reader->cursor : LINE_TAIL_BYTES;
    /* A buffer that was never filled has no address to count from. */
    const void *from = tail > 0 ? reader->buffer.data + reader->cursor - tail : NULL;
    return (struct line_mark){
        .position = reader->base + reader->cursor,
        .tail_hash = weir_hash((struct weir_bytes){from, tail}),
        .tail_size = (uint32_t)tail,
        .begun = 1,
    };
}
