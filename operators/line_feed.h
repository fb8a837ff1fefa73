/* SPDX-License-Identifier: Apache-2.0
 *
 * line_feed: lines out of bytes that come once and not again: of a pipe, of sockets. With a journal
 * the bytes go there first, and at a restart come from there; without one, what is not handed out
 * yet is kept in the checkpoint, and what came after it is lost with the process.
 *
 *   append -> journal -> text in memory -> line by line -> out
 *   restart:  journal from the checkpoint's position on -> the same
 *
 * Invariants:
 *
 *   L1  The position counts the bytes of text of all runs, from the first. It stands at the
 *       beginning of a line.
 *   L2  What is in memory was appended to the journal before.
 *   L3  prepare syncs the journal; so a checkpoint's position is never behind the journal's durable
 *       end, after a power cut too.
 *   L4  A segment of the journal is removed only when its text lies before the positions of the
 *       last `retain` committed checkpoints of this run.
 *
 * The first byte of a chunk's head is its kind. The others are the caller's. A checkpoint holds a
 * SPLIT item, struct line_feed_mark, and without a journal others behind it, of up to 8 MiB: the
 * text that was not handed out, which may be somewhat longer than the longest line.
 */
#ifndef LINE_FEED_H
#define LINE_FEED_H

#include "journal.h"

#define LINE_FEED_RETAIN_LIMIT 64u

enum line_feed_kind {
    LINE_FEED_OPENING = 'O', /* the head is the caller's table */
    LINE_FEED_TEXT = 'T',
    LINE_FEED_END = 'E', /* text, and the end of all input: nothing may follow */
};

struct line_feed_mark {
    uint64_t position;
    uint32_t journaled; /* 0 or 1 */
    uint32_t ended;     /* without a journal: 0 or 1 */
};
_Static_assert(sizeof(struct line_feed_mark) == 16, "saved in checkpoints");

struct line_feed {
    bool journaled;
    struct journal journal;
    struct journal_cursor cursor;
    bool live;  /* the journal was read to its end: from now on text is appended */
    bool ended; /* the end of all input has come, and stands behind the text */
    struct block text;
    size_t at;                             /* in the text: the next line */
    size_t scanned;                        /* before it is no newline, from `at` on */
    uint64_t base;                         /* position of the text's first byte */
    uint64_t kept[LINE_FEED_RETAIN_LIMIT]; /* L4: positions of committed checkpoints, a ring */
    uint32_t retain, kept_count;
    bool counted; /* a handle was committed since the last prepare */
};

/* With a journal it lies in the node's folder of the store; opening is its first head when it is
 * new. retain: 1 .. LINE_FEED_RETAIN_LIMIT. Not restored, the feed begins with the oldest byte that
 * the journal holds. Each of these fails the run when it fails. */
enum weir_result line_feed_open(struct line_feed *feed, struct weir_context *context, bool journal,
                                uint32_t retain, struct weir_bytes opening);
enum weir_result line_feed_load(struct line_feed *feed, struct weir_context *context,
                                struct weir_loader *loader);
void line_feed_close(struct line_feed *feed, const struct weir_allocator *allocator);

enum line_feed_found {
    LINE_FEED_LINE,
    LINE_FEED_MORE, /* a chunk was read from the journal: ask again */
    LINE_FEED_DRY,  /* append some, or nothing will come */
    LINE_FEED_OVER, /* it has ended, and all is handed out */
    LINE_FEED_FAILED,
};
/* The line lives until the next call. After the end, what follows the last newline is a line. */
enum line_feed_found line_feed_next(struct line_feed *feed, struct weir_context *context,
                                    struct weir_bytes *line);
/* After LINE_FEED_DRY. `head` begins with LINE_FEED_TEXT or LINE_FEED_END. */
enum weir_result line_feed_append(struct line_feed *feed, struct weir_context *context,
                                  struct weir_bytes head, struct weir_bytes text);
/* When journal_is_full, before the next append: the head of the opening chunk of a new segment. */
enum weir_result line_feed_roll(struct line_feed *feed, struct weir_context *context,
                                struct weir_bytes opening);
/* How many bytes of text have come in all runs. */
uint64_t line_feed_taken(const struct line_feed *feed);

/* For the operator's slots of these names. */
enum weir_result line_feed_prepare(struct line_feed *feed, struct weir_context *context);
enum weir_result line_feed_commit(struct line_feed *feed, struct weir_context *context,
                                  struct weir_bytes handle);
void line_feed_save(const struct line_feed *feed, struct weir_saver *saver);

#endif
