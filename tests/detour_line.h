/* SPDX-License-Identifier: Apache-2.0
 *
 * detour_line: one direction of a TCP connection between two ZeroMQ sockets, and what a bad network
 * makes of it. Bytes go in as they are read and come out as they are to be written; the time is an
 * argument, what happens is drawn from a seed by the number of the frame or piece, so it does not
 * depend on when anything came. No socket, no clock.
 *
 * What goes in is ZMTP: a greeting of 64 bytes, then frames - a head of 2 or 9 bytes and a body -
 * of which some are commands. Bodies that begin as transport.h says are weir's messages; they may
 * be late or come twice. All else passes in order.
 *
 * D1  Without conditions and a cut the bytes that come out are those that went in.
 * D2  A frame comes out whole, or the line was cut.
 * D3  A late frame is passed by at most `passes` later frames, and by none when its time is over.
 * D4  A second one comes after the first.
 * D5  The line is cut after exactly one byte, and nothing comes out of it afterwards.
 */
#ifndef DETOUR_LINE_H
#define DETOUR_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum line_condition {
    LINE_DELAY = 1,      /* frames take time */
    LINE_PIECES = 2,     /* bytes come in odd pieces, with pauses */
    LINE_REORDER = 4,    /* messages are late: others overtake them */
    LINE_DUPLICATES = 8, /* messages come twice */
};

/* Where a line is cut. The last four are places of the message with the number `message`, or the
 * first one after it that has such a place. */
enum line_place {
    LINE_NOWHERE,
    LINE_GREETING,
    LINE_HANDSHAKE, /* the first command */
    LINE_BETWEEN,   /* messages */
    LINE_HEADER,    /* of ZMTP or of weir */
    LINE_PAYLOAD,
    LINE_BATCH, /* within one that comes for the first time: it is lost */
    LINE_PLACES,
};
const char *line_place_name(enum line_place place);

struct line_options {
    uint64_t seed;
    unsigned conditions; /* bit set of enum line_condition */
    enum line_place cut;
    uint64_t message; /* counted from 1, as they come out */
};

enum line_kind {
    LINE_ITEM, /* batches, markers, ends */
    LINE_CREDIT,
    LINE_OTHER,
    LINE_KINDS,
};

struct line_counts {
    uint64_t messages;              /* that went in */
    uint64_t overtaken[LINE_KINDS]; /* by a later one of the same kind and channel */
    uint64_t twice[LINE_KINDS];
};

struct line_frame;

struct line {
    struct line_options options;
    struct line_counts counts;
    bool failed; /* no ZMTP, or no memory: nothing more comes out */

    /* what came in and is no whole frame yet */
    unsigned char *in;
    size_t in_size, in_room;
    uint64_t greeted; /* bytes of the greeting that went by */
    uint64_t frames;  /* that went in */

    struct line_frame *waiting; /* in order of arrival; a second one where the first was */

    /* what may be written; `out_at` of it was */
    unsigned char *out;
    size_t out_at, out_size, out_room;
    uint64_t written;  /* since the beginning */
    uint64_t messages; /* that came out */
    uint64_t pieces;
    size_t piece; /* left of the piece that is being written */
    int64_t pause_ns;

    uint64_t cut_at;   /* bytes; UINT64_MAX: not known yet */
    char cut_what[96]; /* the place, in words */
};

void line_init(struct line *line, const struct line_options *options);
void line_free(struct line *line);

/* False: line->failed. */
bool line_feed(struct line *line, const void *bytes, size_t size, int64_t now_ns);
/* How many bytes at *bytes may be written now. */
size_t line_ready(struct line *line, int64_t now_ns, const unsigned char **bytes);
/* That many of them were. */
void line_sent(struct line *line, size_t size, int64_t now_ns);
/* When line_ready may answer more than it does now, though nothing comes in; INT64_MAX: never. */
int64_t line_due_ns(const struct line *line, int64_t now_ns);
bool line_is_cut(const struct line *line);
/* It will not be cut. */
void line_spare(struct line *line);
/* All that went in has come out. */
bool line_is_empty(const struct line *line);

#endif
