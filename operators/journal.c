/* SPDX-License-Identifier: Apache-2.0 */
#include "journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC "weirjrnl"
#define VERSION 1u
#define READ_BYTES ((size_t)256 << 10)
#define NAME_ROOM 64
#define STAGED ".staged"

static size_t segment_count(const struct journal *journal)
{
    return journal->segments.size / sizeof(struct journal_segment);
}

static struct journal_segment *segment_at(const struct journal *journal, size_t index)
{
    return (struct journal_segment *)(void *)journal->segments.data + index;
}

static const struct journal_segment *newest(const struct journal *journal)
{
    return segment_at(journal, segment_count(journal) - 1);
}

static void segment_path(const struct journal *journal, const struct journal_segment *segment,
                         char path[PATH_ROOM])
{
    char name[NAME_ROOM];
    snprintf(name, sizeof name, "%020llu-%010lu.journal", (unsigned long long)segment->number,
             (unsigned long)segment->epoch);
    path_join(path, journal->folder, name);
}

static void staged_path(const struct journal *journal, char path[PATH_ROOM])
{
    path_join(path, journal->folder, STAGED);
}

uint64_t journal_begin(const struct journal *journal)
{
    return segment_at(journal, 0)->offset;
}

/* ------------------------------------------------------------------------------- reading -- */

static void drop_file(struct journal_cursor *cursor)
{
    weir_file_close(&cursor->file, NULL); /* it was only read: nothing can be lost */
}

void journal_leave(struct journal_cursor *cursor, const struct weir_allocator *allocator)
{
    drop_file(cursor);
    block_free(&cursor->buffer, allocator);
}

static enum weir_result damaged(const struct journal *journal, struct weir_context *context,
                                const struct journal_cursor *cursor, const char *what)
{
    char path[PATH_ROOM];
    segment_path(journal, &cursor->segment, path);
    return weir_fail(context, WEIR_DAMAGED,
                     "journal %s is damaged at byte %llu: %s; put a good copy back, or give its "
                     "input up and start afresh with the folder moved away",
                     path, (unsigned long long)(cursor->base + cursor->at), what);
}

/* Makes the buffer hold `want` bytes from the cursor on, or all up to the end of the file. */
static enum weir_result have(struct weir_context *context, struct journal_cursor *cursor,
                             size_t want)
{
    struct weir_error error;
    struct block *buffer = &cursor->buffer;
    size_t rest = buffer->size - cursor->at, got = 0;
    if (rest >= want)
        return WEIR_OK;
    if (cursor->at > 0 && rest > 0)
        memmove(buffer->data, buffer->data + cursor->at, rest);
    cursor->base += cursor->at;
    cursor->at = 0;
    buffer->size = rest;
    size_t more = want - rest > READ_BYTES ? want - rest : READ_BYTES;
    if (!block_reserve(buffer, weir_memory(context), rest + more))
        return block_none(context);
    enum weir_result result =
        weir_file_read(cursor->file, cursor->base + rest, buffer->data + rest, more, &got, &error);
    if (result != WEIR_OK)
        return weir_fail_with(context, &error);
    buffer->size += got;
    return WEIR_OK;
}

static bool head_is_sound(const struct journal_segment *segment, const struct journal_head *head)
{
    const size_t summed = offsetof(struct journal_head, sum);
    return memcmp(head->magic, MAGIC, sizeof head->magic) == 0 &&
           head->sum == weir_hash((struct weir_bytes){head, summed}) && head->version == VERSION &&
           head->number == segment->number && head->epoch == segment->epoch;
}

/* Opens segment `index` and reads its head, which tells the offset. */
static enum weir_result enter(const struct journal *journal, struct weir_context *context,
                              struct journal_cursor *cursor, size_t index)
{
    char path[PATH_ROOM];
    struct weir_error error;
    struct journal_head head;
    struct journal_segment *segment = segment_at(journal, index);
    drop_file(cursor);
    cursor->segment = *segment;
    cursor->at = cursor->buffer.size = 0;
    cursor->base = 0;
    segment_path(journal, segment, path);
    if (weir_file_open(weir_memory(context), path, WEIR_OPEN_READ, &cursor->file, &error) !=
        WEIR_OK)
        return weir_fail_with(context, &error);
    enum weir_result result = have(context, cursor, sizeof head);
    if (result != WEIR_OK)
        return result;
    if (cursor->buffer.size < sizeof head)
        return damaged(journal, context, cursor, "its head is not whole");
    memcpy(&head, cursor->buffer.data, sizeof head);
    if (!head_is_sound(segment, &head))
        return damaged(journal, context, cursor, "its head is not what was written");
    cursor->at = sizeof head;
    cursor->number = segment->number;
    cursor->offset = segment->offset = head.offset;
    return WEIR_OK;
}

/* False: what follows is no whole chunk. The head's sizes are used before the sum is checked, so
 * they are bounded, and the file must have as much. */
static bool scan(struct weir_context *context, struct journal_cursor *cursor,
                 struct journal_chunk *chunk, enum weir_result *result)
{
    struct journal_chunk_head head;
    *result = have(context, cursor, sizeof head);
    if (*result != WEIR_OK || cursor->buffer.size - cursor->at < sizeof head)
        return false;
    memcpy(&head, cursor->buffer.data + cursor->at, sizeof head);
    if (head.number != cursor->number || head.offset != cursor->offset ||
        head.head_size > JOURNAL_HEAD_LIMIT || head.text_size > JOURNAL_TEXT_LIMIT)
        return false;
    size_t size = sizeof head + head.head_size + head.text_size;
    *result = have(context, cursor, size);
    if (*result != WEIR_OK || cursor->buffer.size - cursor->at < size)
        return false;
    const unsigned char *from = cursor->buffer.data + cursor->at;
    const size_t summed = sizeof head.sum;
    if (head.sum != weir_hash((struct weir_bytes){from + summed, size - summed}))
        return false;
    *chunk = (struct journal_chunk){
        .head = {from + sizeof head, head.head_size},
        .text = {from + sizeof head + head.head_size, head.text_size},
        .offset = head.offset,
    };
    cursor->at += size;
    cursor->number++;
    cursor->offset += head.text_size;
    return true;
}

/* The index of the segment that begins with this chunk; their count when none does. */
static size_t segment_from(const struct journal *journal, uint64_t number)
{
    size_t count = segment_count(journal), i = count;
    while (i > 0 && segment_at(journal, i - 1)->number >= number)
        i--;
    return i < count && segment_at(journal, i)->number == number ? i : count;
}

enum journal_found journal_next(const struct journal *journal, struct weir_context *context,
                                struct journal_cursor *cursor, struct journal_chunk *chunk)
{
    enum weir_result result = WEIR_OK;
    size_t next = segment_from(journal, cursor->number);
    if (cursor->number == journal->number)
        return JOURNAL_END;
    if (next < segment_count(journal) && cursor->number != cursor->segment.number) {
        uint64_t offset = cursor->offset;
        result = enter(journal, context, cursor, next);
        if (result == WEIR_OK && cursor->offset != offset)
            result = damaged(journal, context, cursor, "it does not go on where the last one ends");
        if (result != WEIR_OK)
            return JOURNAL_FAILED;
    }
    if (scan(context, cursor, chunk, &result))
        return JOURNAL_CHUNK;
    if (result == WEIR_OK)
        damaged(journal, context, cursor, "a chunk is not what was written");
    return JOURNAL_FAILED;
}

enum weir_result journal_seek_newest(const struct journal *journal, struct weir_context *context,
                                     struct journal_cursor *cursor)
{
    return enter(journal, context, cursor, segment_count(journal) - 1);
}

enum weir_result journal_seek(const struct journal *journal, struct weir_context *context,
                              struct journal_cursor *cursor, uint64_t offset)
{
    size_t index = segment_count(journal);
    if (offset > journal->offset)
        return weir_fail(context, WEIR_DAMAGED,
                         "journal %s ends at byte %llu of its text; the checkpoint needs byte %llu "
                         "(it is in the store of the run that took it; a savepoint has no journal)",
                         journal->folder, (unsigned long long)journal->offset,
                         (unsigned long long)offset);
    while (index > 0 && segment_at(journal, index - 1)->offset > offset)
        index--;
    if (index == 0)
        return weir_fail(context, WEIR_REFUSED,
                         "journal %s begins at byte %llu of its text; the checkpoint needs byte "
                         "%llu, which was removed: restore a later checkpoint",
                         journal->folder, (unsigned long long)journal_begin(journal),
                         (unsigned long long)offset);
    return enter(journal, context, cursor, index - 1);
}

/* ------------------------------------------------------------------------------- writing -- */

static enum weir_result write_live(struct journal *journal, struct weir_context *context,
                                   struct weir_bytes bytes)
{
    struct weir_error error;
    enum weir_result result = weir_file_write(journal->live, bytes, &error);
    if (result != WEIR_OK)
        return weir_fail_with(context, &error);
    journal->live_size += bytes.size;
    journal->dirty = true;
    return WEIR_OK;
}

enum weir_result journal_append(struct journal *journal, struct weir_context *context,
                                struct weir_bytes head, struct weir_bytes text)
{
    const struct weir_allocator *allocator = weir_memory(context);
    struct journal_chunk_head chunk = {
        .number = journal->number,
        .offset = journal->offset,
        .head_size = (uint32_t)head.size,
        .text_size = (uint32_t)text.size,
    };
    struct block *made = &journal->chunk;
    if (head.size > JOURNAL_HEAD_LIMIT || text.size > JOURNAL_TEXT_LIMIT)
        return weir_fail(context, WEIR_TOO_LARGE, "a chunk is too large for the journal");
    made->size = 0;
    if (!block_append(made, allocator, &chunk, sizeof chunk) ||
        !block_append(made, allocator, head.data, head.size) ||
        !block_append(made, allocator, text.data, text.size))
        return block_none(context);
    chunk.sum = weir_hash(
        (struct weir_bytes){made->data + sizeof chunk.sum, made->size - sizeof chunk.sum});
    memcpy(made->data, &chunk.sum, sizeof chunk.sum);
    enum weir_result result =
        write_live(journal, context, (struct weir_bytes){made->data, made->size});
    if (result != WEIR_OK)
        return result;
    journal->number++;
    journal->offset += text.size;
    return WEIR_OK;
}

enum weir_result journal_sync(struct journal *journal, struct weir_context *context)
{
    struct weir_error error;
    if (!journal->dirty)
        return WEIR_OK;
    enum weir_result result = weir_file_sync(journal->live, &error);
    if (result != WEIR_OK)
        return weir_fail_with(context, &error);
    journal->dirty = false;
    return WEIR_OK;
}

bool journal_is_full(const struct journal *journal)
{
    return journal->live_size >= journal->segment_bytes;
}

/* ---- J1: a new segment under a hidden name, then under its own ---- */

static enum weir_result stage(struct journal *journal, struct weir_context *context,
                              const struct journal_segment *segment)
{
    char path[PATH_ROOM];
    struct weir_error error;
    struct journal_head head = {
        .version = VERSION,
        .epoch = segment->epoch,
        .number = segment->number,
        .offset = segment->offset,
    };
    memcpy(head.magic, MAGIC, sizeof head.magic);
    head.sum = weir_hash((struct weir_bytes){&head, offsetof(struct journal_head, sum)});
    weir_file_close(&journal->live, NULL); /* it was synced, or has just been copied */
    journal->live_size = 0;
    staged_path(journal, path);
    if (weir_file_open(weir_memory(context), path, WEIR_OPEN_CREATE, &journal->live, &error) !=
        WEIR_OK)
        return weir_fail_with(context, &error);
    return write_live(journal, context, (struct weir_bytes){&head, sizeof head});
}

static enum weir_result publish(struct journal *journal, struct weir_context *context,
                                const struct journal_segment *segment)
{
    char staged[PATH_ROOM], path[PATH_ROOM];
    struct weir_error error;
    staged_path(journal, staged);
    segment_path(journal, segment, path);
    enum weir_result result = journal_sync(journal, context);
    if (result != WEIR_OK)
        return result;
    result = weir_file_rename(staged, path, &error);
    if (result == WEIR_OK)
        result = weir_folder_sync(journal->folder, &error);
    if (result != WEIR_OK)
        return weir_fail_with(context, &error);
    return WEIR_OK;
}

enum weir_result journal_roll(struct journal *journal, struct weir_context *context,
                              struct weir_bytes opening)
{
    struct journal_segment next = {journal->number, journal->offset, weir_epoch(context)};
    enum weir_result result = journal_sync(journal, context);
    if (result == WEIR_OK)
        result = stage(journal, context, &next);
    if (result == WEIR_OK)
        result = journal_append(journal, context, opening, (struct weir_bytes){0});
    if (result == WEIR_OK)
        result = publish(journal, context, &next);
    if (result == WEIR_OK &&
        !block_append(&journal->segments, weir_memory(context), &next, sizeof next))
        result = block_none(context);
    return result;
}

/* ------------------------------------------------------------------------------- removal -- */

/* The folder is synced after each: after a power cut they are gone from the oldest on, without a
 * gap. */
static enum weir_result remove_segment(const struct journal *journal, struct weir_context *context,
                                       const struct journal_segment *segment)
{
    char path[PATH_ROOM];
    struct weir_error error;
    segment_path(journal, segment, path);
    enum weir_result result = weir_file_remove(path, &error);
    if (result == WEIR_OK || result == WEIR_NOT_FOUND)
        result = weir_folder_sync(journal->folder, &error);
    return result == WEIR_OK ? result : weir_fail_with(context, &error);
}

static void forget_segment(struct journal *journal, size_t index)
{
    struct journal_segment *gone = segment_at(journal, index);
    memmove(gone, gone + 1, (segment_count(journal) - index - 1) * sizeof *gone);
    journal->segments.size -= sizeof *gone;
}

enum weir_result journal_release(struct journal *journal, struct weir_context *context,
                                 uint64_t offset)
{
    while (segment_count(journal) > 1 && segment_at(journal, 1)->offset <= offset) {
        enum weir_result result = remove_segment(journal, context, segment_at(journal, 0));
        if (result != WEIR_OK)
            return result;
        forget_segment(journal, 0);
    }
    return WEIR_OK;
}

/* --------------------------------------------------------------------------------- opening -- */

/* Digits only, all of them; false when there are others. */
static bool parse_digits(const char *text, size_t size, uint64_t *number)
{
    *number = 0;
    for (size_t i = 0; i < size; i++) {
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (text[i] < '0' || text[i] > '9' || *number > (UINT64_MAX - digit) / 10)
            return false;
        *number = *number * 10 + digit;
    }
    return true;
}

static bool parse_name(const char *name, struct journal_segment *segment)
{
    uint64_t epoch;
    *segment = (struct journal_segment){0};
    if (strlen(name) != 39 || name[20] != '-' || strcmp(name + 31, ".journal") != 0 ||
        !parse_digits(name, 20, &segment->number) || !parse_digits(name + 21, 10, &epoch) ||
        epoch > UINT32_MAX)
        return false;
    segment->epoch = (uint32_t)epoch;
    return true;
}

struct survey {
    struct journal *journal;
    const struct weir_allocator *allocator;
    bool staged; /* a leftover */
    bool full;   /* no memory */
};

static bool survey_name(void *survey_, const char *name)
{
    struct survey *survey = survey_;
    struct journal_segment segment;
    survey->staged |= strcmp(name, STAGED) == 0;
    if (parse_name(name, &segment))
        survey->full =
            !block_append(&survey->journal->segments, survey->allocator, &segment, sizeof segment);
    return !survey->full;
}

static int compare(const void *a_, const void *b_)
{
    const struct journal_segment *a = a_, *b = b_;
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    return (a->epoch > b->epoch) - (a->epoch < b->epoch);
}

static enum weir_result list_segments(struct journal *journal, struct weir_context *context)
{
    char path[PATH_ROOM];
    struct weir_error error;
    struct survey survey = {journal, weir_memory(context), false, false};
    enum weir_result result = weir_folder_list(journal->folder, survey_name, &survey, &error);
    staged_path(journal, path);
    if (result == WEIR_OK && survey.staged)
        result = weir_file_remove(path, &error);
    if (result != WEIR_OK)
        return weir_fail_with(context, &error);
    if (survey.full)
        return block_none(context);
    if (segment_count(journal) > 1)
        qsort(journal->segments.data, segment_count(journal), sizeof(struct journal_segment),
              compare);
    return WEIR_OK;
}

/* J2: an earlier run died between the copy's rename and the removal. */
static enum weir_result remove_copied(struct journal *journal, struct weir_context *context)
{
    enum weir_result result = WEIR_OK;
    for (size_t i = 0; result == WEIR_OK && i + 1 < segment_count(journal);) {
        if (segment_at(journal, i)->number != segment_at(journal, i + 1)->number) {
            i++;
            continue;
        }
        result = remove_segment(journal, context, segment_at(journal, i));
        forget_segment(journal, i);
    }
    return result;
}

/* Reads every segment's head, for the offsets: journal_seek counts on their order. */
static enum weir_result read_heads(const struct journal *journal, struct weir_context *context)
{
    struct journal_cursor cursor = {0};
    enum weir_result result = WEIR_OK;
    for (size_t i = 0; result == WEIR_OK && i < segment_count(journal); i++) {
        result = enter(journal, context, &cursor, i);
        if (result == WEIR_OK && i > 0 && cursor.offset < segment_at(journal, i - 1)->offset)
            result = damaged(journal, context, &cursor, "it begins before the one before it");
    }
    journal_leave(&cursor, weir_memory(context));
    return result;
}

/* The whole chunks of the cursor's segment into the staged one. */
static enum weir_result copy_chunks(struct journal *journal, struct weir_context *context,
                                    struct journal_cursor *cursor)
{
    struct journal_chunk chunk;
    enum weir_result result;
    journal->number = cursor->number;
    journal->offset = cursor->offset;
    while (scan(context, cursor, &chunk, &result)) {
        result = journal_append(journal, context, chunk.head, chunk.text);
        if (result != WEIR_OK)
            return result;
    }
    if (result == WEIR_OK && journal->number == newest(journal)->number) /* J1 */
        result = damaged(journal, context, cursor, "its opening chunk is not what was written");
    return result;
}

/* J2: what the cursor's segment has behind its last whole chunk. */
static enum weir_result tell_cut(const struct journal *journal, struct weir_context *context,
                                 const struct journal_cursor *cursor)
{
    char path[PATH_ROOM];
    struct weir_error error;
    struct weir_file_status status;
    uint64_t whole = cursor->base + cursor->at;
    segment_path(journal, &cursor->segment, path);
    if (weir_file_status(path, &status, &error) != WEIR_OK)
        return weir_fail_with(context, &error);
    if (status.size > whole)
        weir_log(context,
                 "journal %s: its last %llu bytes, from byte %llu on, are no whole chunks and are "
                 "left out: input that was written but not synced before a power cut or a full "
                 "disk, unless the disk is damaged",
                 path, (unsigned long long)(status.size - whole), (unsigned long long)whole);
    return WEIR_OK;
}

/* J2 */
static enum weir_result salvage(struct journal *journal, struct weir_context *context)
{
    struct journal_cursor cursor = {0};
    struct journal_segment old = *newest(journal), copy = old;
    enum weir_result result = journal_seek_newest(journal, context, &cursor);
    copy.offset = cursor.offset;
    copy.epoch = weir_epoch(context);
    if (result == WEIR_OK && copy.epoch <= old.epoch)
        result = weir_fail(context, WEIR_DAMAGED, "journal %s is of a later run than this one: %lu",
                           journal->folder, (unsigned long)old.epoch);
    if (result == WEIR_OK)
        result = stage(journal, context, &copy);
    if (result == WEIR_OK)
        result = copy_chunks(journal, context, &cursor);
    if (result == WEIR_OK)
        result = tell_cut(journal, context, &cursor);
    journal_leave(&cursor, weir_memory(context));
    if (result == WEIR_OK)
        result = publish(journal, context, &copy);
    if (result != WEIR_OK)
        return result;
    *segment_at(journal, segment_count(journal) - 1) = copy;
    return remove_segment(journal, context, &old);
}

enum weir_result journal_open(struct journal *journal, struct weir_context *context,
                              const char *folder, uint64_t segment_bytes, struct weir_bytes opening)
{
    path_join(journal->folder, folder, "");
    journal->segment_bytes = segment_bytes > 0 ? segment_bytes : JOURNAL_SEGMENT_BYTES;
    enum weir_result result = list_segments(journal, context);
    if (result != WEIR_OK)
        return result;
    if (segment_count(journal) == 0)
        return journal_roll(journal, context, opening);
    result = remove_copied(journal, context);
    if (result == WEIR_OK)
        result = read_heads(journal, context);
    return result == WEIR_OK ? salvage(journal, context) : result;
}

void journal_close(struct journal *journal, const struct weir_allocator *allocator)
{
    weir_file_close(&journal->live, NULL); /* what matters of it was synced */
    block_free(&journal->segments, allocator);
    block_free(&journal->chunk, allocator);
}
