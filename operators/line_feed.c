/* SPDX-License-Identifier: Apache-2.0 */
#include "line_feed.h"

#include <string.h>

#define LINE_LIMIT WEIR_VALUE_LIMIT
#define ITEM_BYTES ((size_t)8 << 20) /* of text in one saved item: half of what one may have */

static uint64_t position_of(const struct line_feed *feed)
{
    return feed->base + feed->at;
}

uint64_t line_feed_taken(const struct line_feed *feed)
{
    return feed->journaled ? feed->journal.offset : feed->base + feed->text.size;
}

/* --------------------------------------------------------------------------- open, close -- */

static enum weir_result begin_at(struct line_feed *feed, struct weir_context *context,
                                 uint64_t position)
{
    feed->base = position;
    return journal_seek(&feed->journal, context, &feed->cursor, position);
}

static enum weir_result open_journal(struct line_feed *feed, struct weir_context *context,
                                     struct weir_bytes opening)
{
    char folder[PATH_ROOM];
    struct weir_error error;
    enum weir_result result = weir_store_folder(context, folder, sizeof folder, &error);
    if (result != WEIR_OK)
        return weir_fail_with(context, &error);
    if (strlen(folder) > PATH_FOLDER_LIMIT)
        return weir_fail(context, WEIR_TOO_LARGE, "the path of the journal's folder is too long");
    result = journal_open(&feed->journal, context, folder, 0, opening);
    if (result != WEIR_OK || weir_restored(context))
        return result;
    if (journal_begin(&feed->journal) > 0)
        weir_log(context, "%s starts afresh; its journal begins at byte %llu of the input",
                 weir_node_name(context), (unsigned long long)journal_begin(&feed->journal));
    return begin_at(feed, context, journal_begin(&feed->journal));
}

enum weir_result line_feed_open(struct line_feed *feed, struct weir_context *context, bool journal,
                                uint32_t retain, struct weir_bytes opening)
{
    feed->journaled = journal;
    feed->retain = retain;
    feed->live = !journal;
    return journal ? open_journal(feed, context, opening) : WEIR_OK;
}

void line_feed_close(struct line_feed *feed, const struct weir_allocator *allocator)
{
    journal_leave(&feed->cursor, allocator);
    journal_close(&feed->journal, allocator);
    block_free(&feed->text, allocator);
}

/* ---------------------------------------------------------------------------------- text -- */

/* Lets go of what was handed out. */
static void compact(struct line_feed *feed)
{
    if (feed->at == 0)
        return;
    feed->text.size -= feed->at;
    if (feed->text.size > 0)
        memmove(feed->text.data, feed->text.data + feed->at, feed->text.size);
    feed->base += feed->at;
    feed->scanned -= feed->at;
    feed->at = 0;
}

static enum weir_result add_text(struct line_feed *feed, struct weir_context *context,
                                 struct weir_bytes text)
{
    compact(feed);
    if (block_append(&feed->text, weir_memory(context), text.data, text.size))
        return WEIR_OK;
    return block_none(context);
}

/* A chunk of the journal, or the part of it behind the position where the feed began. */
static enum weir_result take_chunk(struct line_feed *feed, struct weir_context *context,
                                   const struct journal_chunk *chunk)
{
    const char *kind = chunk->head.data;
    uint64_t here = feed->base + feed->text.size, end = chunk->offset + chunk->text.size;
    if (chunk->head.size == 0)
        return weir_fail(context, WEIR_DAMAGED, "a chunk of the journal has no kind");
    if (*kind == LINE_FEED_END)
        feed->ended = true;
    if (end <= here)
        return WEIR_OK;
    size_t rest = (size_t)(end - here);
    const char *from = (const char *)chunk->text.data + (chunk->text.size - rest);
    return add_text(feed, context, (struct weir_bytes){from, rest});
}

static enum line_feed_found replay(struct line_feed *feed, struct weir_context *context)
{
    struct journal_chunk chunk;
    switch (journal_next(&feed->journal, context, &feed->cursor, &chunk)) {
    case JOURNAL_CHUNK:
        return take_chunk(feed, context, &chunk) == WEIR_OK ? LINE_FEED_MORE : LINE_FEED_FAILED;
    case JOURNAL_END:
        feed->live = true;
        journal_leave(&feed->cursor, weir_memory(context));
        return LINE_FEED_MORE;
    case JOURNAL_FAILED:
        break;
    }
    return LINE_FEED_FAILED;
}

static enum line_feed_found hand_out(struct line_feed *feed, struct weir_context *context,
                                     size_t end, size_t next, struct weir_bytes *line)
{
    if (end - feed->at > LINE_LIMIT) {
        weir_fail(context, WEIR_TOO_LARGE,
                  "the line at byte %llu of the input is longer than 16 MiB",
                  (unsigned long long)position_of(feed));
        return LINE_FEED_FAILED;
    }
    *line = (struct weir_bytes){feed->text.data + feed->at, end - feed->at};
    feed->at = feed->scanned = next;
    return LINE_FEED_LINE;
}

enum line_feed_found line_feed_next(struct line_feed *feed, struct weir_context *context,
                                    struct weir_bytes *line)
{
    const struct block *text = &feed->text;
    const unsigned char *newline = NULL;
    if (feed->scanned < text->size)
        newline = memchr(text->data + feed->scanned, '\n', text->size - feed->scanned);
    feed->scanned = newline ? (size_t)(newline - text->data) : text->size;
    if (newline || feed->scanned - feed->at > LINE_LIMIT)
        return hand_out(feed, context, feed->scanned, feed->scanned + 1, line);
    if (!feed->live)
        return replay(feed, context);
    if (!feed->ended)
        return LINE_FEED_DRY;
    if (feed->at < text->size)
        return hand_out(feed, context, text->size, text->size, line);
    return LINE_FEED_OVER;
}

enum weir_result line_feed_append(struct line_feed *feed, struct weir_context *context,
                                  struct weir_bytes head, struct weir_bytes text)
{
    if (feed->journaled) { /* L2 */
        enum weir_result result = journal_append(&feed->journal, context, head, text);
        if (result != WEIR_OK)
            return result;
    }
    feed->ended = *(const char *)head.data == LINE_FEED_END;
    return add_text(feed, context, text);
}

enum weir_result line_feed_roll(struct line_feed *feed, struct weir_context *context,
                                struct weir_bytes opening)
{
    return journal_roll(&feed->journal, context, opening);
}

/* --------------------------------------------------------------------------- checkpoints -- */

enum weir_result line_feed_prepare(struct line_feed *feed, struct weir_context *context)
{
    uint64_t position = position_of(feed);
    feed->counted = false;
    if (!feed->journaled)
        return WEIR_OK;
    enum weir_result result = journal_sync(&feed->journal, context);
    if (result != WEIR_OK)
        return result;
    return weir_handle(context, (struct weir_bytes){&position, sizeof position});
}

/* A round that was aborted leaves its handle to the next, which then commits two: of those that
 * come together the oldest counts, and as one checkpoint. So never more is removed than L4 says. */
enum weir_result line_feed_commit(struct line_feed *feed, struct weir_context *context,
                                  struct weir_bytes handle)
{
    uint64_t position, least;
    if (handle.size != sizeof position)
        return weir_fail(context, WEIR_DAMAGED, "a handle has the wrong size");
    if (!feed->journaled || feed->counted)
        return WEIR_OK;
    memcpy(&position, handle.data, sizeof position);
    feed->counted = true;
    feed->kept[feed->kept_count++ % feed->retain] = position;
    if (feed->kept_count < feed->retain)
        return WEIR_OK;
    least = position;
    for (uint32_t i = 0; i < feed->retain; i++)
        least = feed->kept[i] < least ? feed->kept[i] : least;
    return journal_release(&feed->journal, context, least);
}

void line_feed_save(const struct line_feed *feed, struct weir_saver *saver)
{
    struct line_feed_mark mark = {
        .position = position_of(feed),
        .journaled = feed->journaled,
        .ended = feed->ended && !feed->journaled,
    };
    weir_save(saver, WEIR_ITEM_SPLIT, (struct weir_bytes){&mark, sizeof mark});
    for (size_t at = feed->at; !feed->journaled && at < feed->text.size; at += ITEM_BYTES) {
        size_t rest = feed->text.size - at;
        weir_save(saver, WEIR_ITEM_SPLIT,
                  (struct weir_bytes){feed->text.data + at, rest < ITEM_BYTES ? rest : ITEM_BYTES});
    }
    weir_save_note(saver, "byte %llu%s", (unsigned long long)mark.position,
                   feed->ended ? ", the end has come" : "");
}

/* The journal may have been left off until now, then all of it came since. */
static enum weir_result check_journal(const struct line_feed *feed, struct weir_context *context,
                                      const struct line_feed_mark *mark)
{
    if (mark->journaled && !feed->journaled)
        return weir_fail(context, WEIR_REFUSED,
                         "the checkpoint stands in a journal, and this run keeps none: lines in it "
                         "would be lost; leave the journal on");
    if (!mark->journaled && feed->journaled)
        return weir_fail(context, WEIR_REFUSED,
                         "the checkpoint was taken without a journal, and this run keeps one: "
                         "leave it off, or start afresh");
    if (mark->journaled > 1 || mark->ended > 1)
        return weir_fail(context, WEIR_DAMAGED, "a saved position makes no sense");
    return WEIR_OK;
}

enum weir_result line_feed_load(struct line_feed *feed, struct weir_context *context,
                                struct weir_loader *loader)
{
    enum weir_item kind;
    struct weir_bytes item;
    struct line_feed_mark mark;
    if (!weir_load_next(loader, &kind, &item))
        return weir_fail(context, WEIR_DAMAGED, "the checkpoint holds no position in the input");
    if (item.size != sizeof mark)
        return weir_fail(context, WEIR_DAMAGED, "a saved position has the wrong size");
    memcpy(&mark, item.data, sizeof mark);
    enum weir_result result = check_journal(feed, context, &mark);
    if (result != WEIR_OK || feed->journaled)
        return result == WEIR_OK ? begin_at(feed, context, mark.position) : result;
    feed->base = mark.position;
    feed->ended = mark.ended != 0;
    while (result == WEIR_OK && weir_load_next(loader, &kind, &item))
        result = add_text(feed, context, item);
    return result;
}
