/* SPDX-License-Identifier: Apache-2.0 */
#include "detour_line.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explore.h"
#include "transport.h"

#define MILLISECOND_NS INT64_C(1000000)
#define GREETING 64
#define HEADER 64 /* transport.h: the header on the wire */
#define ZMTP_LONG 2
#define ZMTP_COMMAND 4
#define ZMTP_KNOWN 7

/* What is drawn. A reader takes an item for lost when it is missed for half a second, so nothing
 * may hold one back for near as long. */
#define DELAY_MOST_US 4000
#define LATE_MOST_MS 50
#define PASSES_MOST 8
#define PIECE_MOST 6000
#define PAUSE_MOST_US 2000

struct line_frame {
    struct line_frame *next;
    unsigned char *bytes;
    size_t size, head; /* head: of ZMTP */
    uint64_t number;   /* of the frames that went in */
    int64_t due_ns;
    unsigned passes, passed; /* passes 0: it is not late */
    bool twice, second;      /* second: it has come out before */
    bool overtaken;

    /* what is in it */
    bool message, batch;
    enum line_kind kind;
    const char *name;
    uint32_t channel;
    uint64_t sequence; /* of a credit: its value */
};

enum draw { DRAW_DELAY, DRAW_LATE, DRAW_TWICE, DRAW_SECOND, DRAW_PIECE, DRAW_PAUSE, DRAW_CUT };

/* Below `limit`; the same for the same `what` of the same number. */
static uint64_t draw(const struct line *line, enum draw what, uint64_t number, uint64_t limit)
{
    uint64_t stream = explore_mix(line->options.seed + UINT64_C(0x9e3779b97f4a7c15) * (what + 1u));
    return explore_mix(stream + UINT64_C(0x9e3779b97f4a7c15) * (number + 1)) % limit;
}

static bool has(const struct line *line, enum line_condition condition)
{
    return (line->options.conditions & condition) != 0;
}

const char *line_place_name(enum line_place place)
{
    static const char *const names[] = {"nowhere",          "in the greeting", "in the handshake",
                                        "between messages", "in a header",     "in a payload",
                                        "in a batch"};
    return names[place];
}

void line_init(struct line *line, const struct line_options *options)
{
    *line = (struct line){.options = *options, .cut_at = UINT64_MAX};
    if (options->cut == LINE_GREETING) {
        line->cut_at = 1 + draw(line, DRAW_CUT, 0, GREETING - 1);
        snprintf(line->cut_what, sizeof line->cut_what, "in the greeting, byte %" PRIu64,
                 line->cut_at);
    }
}

static struct line_frame *frame_free(struct line_frame *frame)
{
    struct line_frame *next = frame->next;

    free(frame->bytes);
    free(frame);
    return next;
}

void line_free(struct line *line)
{
    while (line->waiting != NULL)
        line->waiting = frame_free(line->waiting);
    free(line->in);
    free(line->out);
    line->in = line->out = NULL;
}

/* ---- bytes ---- */

static bool append(unsigned char **to, size_t *size, size_t *room, const void *bytes, size_t more)
{
    if (*size + more > *room) {
        size_t larger = 2 * (*size + more);
        unsigned char *moved = realloc(*to, larger);
        if (moved == NULL)
            return false;
        *to = moved;
        *room = larger;
    }
    if (more > 0)
        memcpy(*to + *size, bytes, more);
    *size += more;
    return true;
}

static void put_out(struct line *line, const void *bytes, size_t size)
{
    if (line->out_at > line->out_size / 2) {
        line->out_size -= line->out_at;
        memmove(line->out, line->out + line->out_at, line->out_size);
        line->out_at = 0;
    }
    if (!append(&line->out, &line->out_size, &line->out_room, bytes, size))
        line->failed = true;
}

/* ---- frames ---- */

static uint64_t get_little(const unsigned char *at, size_t bytes)
{
    uint64_t value = 0;

    for (size_t i = bytes; i > 0; i--)
        value = value << 8 | at[i - 1];
    return value;
}

/* The whole frame at `at`, or 0: there are not enough bytes yet. */
static size_t frame_extent(struct line *line, const unsigned char *at, size_t size, size_t *head)
{
    uint64_t body = 0;

    if (size < 2)
        return 0;
    if ((at[0] & ~ZMTP_KNOWN) != 0) {
        line->failed = true;
        return 0;
    }
    *head = (at[0] & ZMTP_LONG) != 0 ? 9 : 2;
    if (size < *head)
        return 0;
    for (size_t i = 1; i < *head; i++)
        body = body << 8 | at[i];
    return body > size - *head ? 0 : *head + (size_t)body;
}

static void look_inside(struct line_frame *frame)
{
    const unsigned char *body = frame->bytes + frame->head;

    frame->kind = LINE_OTHER;
    frame->name = "a command";
    frame->message = (frame->bytes[0] & ZMTP_COMMAND) == 0 && frame->size >= frame->head + HEADER &&
                     memcmp(body, "WEIB", 4) == 0;
    if (!frame->message)
        return;
    frame->channel = (uint32_t)get_little(body + 20, 4);
    frame->sequence = get_little(body + 24, 8);
    switch (body[5]) {
    case MESSAGE_BATCH:
        frame->kind = LINE_ITEM;
        frame->name = "batch";
        frame->batch = true;
        break;
    case MESSAGE_MARKER:
        frame->kind = LINE_ITEM;
        frame->name = "marker";
        break;
    case MESSAGE_END:
        frame->kind = LINE_ITEM;
        frame->name = "end";
        break;
    case MESSAGE_CREDIT:
        frame->kind = LINE_CREDIT;
        frame->name = "credit";
        frame->sequence = get_little(body + 48, 8);
        break;
    default:
        frame->name = body[5] == MESSAGE_PROMISE ? "promise" : "message";
    }
}

static struct line_frame *frame_new(const unsigned char *bytes, size_t size, size_t head)
{
    struct line_frame *frame = calloc(1, sizeof *frame);

    if (frame == NULL)
        return NULL;
    frame->bytes = malloc(size);
    if (frame->bytes == NULL) {
        free(frame);
        return NULL;
    }
    memcpy(frame->bytes, bytes, size);
    frame->size = size;
    frame->head = head;
    look_inside(frame);
    return frame;
}

static void make_late(const struct line *line, struct line_frame *frame, enum draw what)
{
    uint64_t drawn = draw(line, what, frame->number, PASSES_MOST * LATE_MOST_MS);

    frame->passes = 1 + (unsigned)(drawn % PASSES_MOST);
    frame->due_ns += (int64_t)(1 + drawn / PASSES_MOST) * MILLISECOND_NS;
}

static void frame_arrives(struct line *line, const unsigned char *bytes, size_t size, size_t head,
                          int64_t now_ns)
{
    struct line_frame **last = &line->waiting, *frame = frame_new(bytes, size, head);

    if (frame == NULL) {
        line->failed = true;
        return;
    }
    while (*last != NULL)
        last = &(*last)->next;
    *last = frame;
    frame->number = ++line->frames;
    frame->due_ns = now_ns;
    line->counts.messages += frame->message;
    if (has(line, LINE_DELAY))
        frame->due_ns += (int64_t)draw(line, DRAW_DELAY, frame->number, DELAY_MOST_US) * 1000;
    if (!frame->message)
        return;
    if (has(line, LINE_REORDER) && draw(line, DRAW_LATE, frame->number, 4) == 0)
        make_late(line, frame, DRAW_LATE);
    frame->twice = has(line, LINE_DUPLICATES) && draw(line, DRAW_TWICE, frame->number, 4) == 0;
}

bool line_feed(struct line *line, const void *bytes, size_t size, int64_t now_ns)
{
    size_t greeting = GREETING - line->greeted, at = 0, head, extent;

    if (greeting > size)
        greeting = size;
    line->greeted += greeting;
    put_out(line, bytes, greeting);
    if (!append(&line->in, &line->in_size, &line->in_room, (const char *)bytes + greeting,
                size - greeting))
        line->failed = true;
    while (!line->failed && at < line->in_size &&
           (extent = frame_extent(line, line->in + at, line->in_size - at, &head)) > 0) {
        frame_arrives(line, line->in + at, extent, head, now_ns);
        at += extent;
    }
    if (at > 0) {
        memmove(line->in, line->in + at, line->in_size - at);
        line->in_size -= at;
    }
    return !line->failed;
}

/* ---- the cut ---- */

/* Into the frame that is about to come out, if it has the place. */
static void aim(struct line *line, const struct line_frame *frame)
{
    bool handshake = line->options.cut == LINE_HANDSHAKE;
    uint64_t begin = line->written + (line->out_size - line->out_at), byte;
    size_t headers = frame->head + HEADER, from = 0, places = 1;

    if (frame->message == handshake || (!handshake && line->messages < line->options.message))
        return;
    switch (line->options.cut) {
    case LINE_HANDSHAKE:
        places = frame->size;
        break;
    case LINE_BETWEEN:
        break;
    case LINE_HEADER:
        from = 1;
        places = headers - 1;
        break;
    case LINE_PAYLOAD:
        from = headers;
        places = frame->size - headers;
        break;
    case LINE_BATCH:
        from = 1;
        places = frame->batch && !frame->second ? frame->size - 1 : 0;
        break;
    default:
        return;
    }
    if (places == 0)
        return;
    byte = from + draw(line, DRAW_CUT, 0, places);
    line->cut_at = begin + byte;
    snprintf(line->cut_what, sizeof line->cut_what,
             "%s, byte %" PRIu64 " of %s %" PRIu64 " of channel %u",
             line_place_name(line->options.cut), byte, frame->name, frame->sequence,
             frame->channel);
}

void line_spare(struct line *line)
{
    line->options.cut = LINE_NOWHERE;
    line->cut_at = UINT64_MAX;
}

bool line_is_cut(const struct line *line)
{
    return line->written == line->cut_at;
}

/* ---- coming out ---- */

static void note_passed(struct line *line, struct line_frame *late, const struct line_frame *by)
{
    late->passed++;
    if (late->second || by->second || late->overtaken || late->kind != by->kind ||
        late->channel != by->channel)
        return;
    late->overtaken = true;
    line->counts.overtaken[late->kind]++;
}

/* It stays where it was, to come out again: at once, or late. */
static void repeat(struct line *line, struct line_frame *frame, int64_t now_ns)
{
    frame->second = true;
    frame->passes = frame->passed = 0;
    frame->due_ns = now_ns;
    line->counts.twice[frame->kind]++;
    if (draw(line, DRAW_SECOND, ~frame->number, 3) != 0)
        make_late(line, frame, DRAW_SECOND);
}

/* Its bytes may be written now. What still waits before it was passed. */
static void frame_leaves(struct line *line, struct line_frame **at, int64_t now_ns)
{
    struct line_frame *frame = *at;

    for (struct line_frame *late = line->waiting; late != frame; late = late->next)
        note_passed(line, late, frame);
    line->messages += frame->message;
    if (line->cut_at == UINT64_MAX)
        aim(line, frame);
    put_out(line, frame->bytes, frame->size);
    if (frame->twice && !frame->second)
        repeat(line, frame, now_ns);
    else
        *at = frame_free(frame);
}

static bool is_due(const struct line_frame *frame, int64_t now_ns)
{
    return frame->due_ns <= now_ns || (frame->passes > 0 && frame->passed >= frame->passes);
}

/* The first one that may come out now, or NULL. Those behind a late one may pass it; any other
 * holds them up. */
static struct line_frame **next_to_leave(struct line *line, int64_t now_ns)
{
    struct line_frame **at = &line->waiting;

    while (*at != NULL && !is_due(*at, now_ns)) {
        if ((*at)->passes == 0)
            return NULL;
        at = &(*at)->next;
    }
    return *at != NULL ? at : NULL;
}

static void let_leave(struct line *line, int64_t now_ns)
{
    struct line_frame **at;

    while (!line->failed && (at = next_to_leave(line, now_ns)) != NULL)
        frame_leaves(line, at, now_ns);
}

size_t line_ready(struct line *line, int64_t now_ns, const unsigned char **bytes)
{
    size_t size;

    if (line_is_cut(line) || line->failed)
        return 0; /* D5 */
    let_leave(line, now_ns);
    if (line_is_cut(line) || line->failed || now_ns < line->pause_ns)
        return 0;
    *bytes = line->out + line->out_at;
    size = line->out_size - line->out_at;
    if (line->cut_at - line->written < size)
        size = (size_t)(line->cut_at - line->written);
    if (has(line, LINE_PIECES) && size > 0) {
        uint64_t number = line->pieces;
        if (line->piece == 0) /* every third is tiny */
            line->piece = 1 + (size_t)draw(line, DRAW_PIECE, number, number % 3 ? PIECE_MOST : 9);
        size = size < line->piece ? size : line->piece;
    }
    return size;
}

void line_sent(struct line *line, size_t size, int64_t now_ns)
{
    assert(size <= line->out_size - line->out_at);
    line->out_at += size;
    line->written += size;
    if (!has(line, LINE_PIECES))
        return;
    assert(size <= line->piece);
    line->piece -= size;
    if (line->piece > 0)
        return;
    if (draw(line, DRAW_PAUSE, ++line->pieces, 8) == 0)
        line->pause_ns =
            now_ns + (int64_t)draw(line, DRAW_PAUSE, ~line->pieces, PAUSE_MOST_US) * 1000;
}

int64_t line_due_ns(const struct line *line, int64_t now_ns)
{
    const struct line_frame *frame = line->waiting;
    int64_t due_ns = INT64_MAX;

    if (line->out_at < line->out_size && line->pause_ns > now_ns)
        due_ns = line->pause_ns;
    while (frame != NULL) {
        due_ns = frame->due_ns < due_ns ? frame->due_ns : due_ns;
        frame = frame->passes > 0 ? frame->next : NULL;
    }
    return due_ns;
}

bool line_is_empty(const struct line *line)
{
    return line->waiting == NULL && line->out_at == line->out_size;
}
