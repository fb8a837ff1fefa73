/* SPDX-License-Identifier: Apache-2.0
 *
 * outlet: all outputs of a task. Emitting appends to the open batch of a *lane*; a full one goes on
 * the wire when its channel has credit and waits in the channel's queue otherwise, so emitting
 * never blocks (the overdraft is what one callback emits). Markers and END wait in the same queue,
 * in order, and need no credit; a marker that overtakes goes to the front, and what it passes is
 * recorded.
 *
 *   edge     one of the graph's edges that leaves this task
 *   lane     an open batch and the channels it is for: one channel, or all of a BROADCAST edge
 *   channel  queue, credit and numbering towards one reader task
 *
 * O1  sequence and id in force are stamped when an item goes on the wire, never when it is queued
 *     (P1).
 * O2  the id in force is the last marker *sent on that channel* (P1).
 * O3  nothing is placed behind END (P3).
 * O4  at most window_batches and window_bytes are un-acknowledged on a channel, but one batch may
 *     always travel (P14).
 * O5  a channel *owes* the marker of the cut until it, or the END that stands for it, is on the
 *     wire (P8). There is never a marker of another id in a queue: the ids before are dead (P10).
 *
 * Task thread only.
 */
#ifndef OUTLET_H
#define OUTLET_H

#include <string.h>

#include "batch.h"
#include "content.h"
#include "item.h"
#include "transport.h"
#include "weir.h"

#define OUTLET_AHEAD 512 /* bytes; beyond the batch's end it asks in vain, which is harmless */

struct outlet_item {
    enum message_kind kind;
    struct batch *batch;
    uint64_t id;
};

struct outlet_channel {
    struct pipe *pipe; /* borrowed; to the reader's inbox */
    uint32_t channel;  /* its number in the plan */
    bool aligned_only; /* its marker never overtakes (P13) */
    uint64_t sent_batches,
        sent_bytes;  /* in all; what a checkpoint put into the reader's queue too */
    uint32_t flying; /* of them, not acknowledged */
    uint64_t flying_bytes;
    uint64_t sequence;         /* of the last item sent */
    uint64_t id;               /* of the last marker sent */
    bool ended, end_sent;      /* END was placed; is on the wire */
    bool owes;                 /* O5 */
    struct outlet_item *queue; /* ring */
    uint32_t head, count, room;
};

struct outlet_lane {
    struct batch *open;
    size_t mark_end; /* where the open batch's last watermark ends: there, it is the last item */
    uint32_t first_channel, channel_count;
    bool timeless; /* a feedback edge's: no marks */
    bool inside;   /* leads to a task of the same loop */
};

struct outlet_edge {
    enum weir_routing routing;
    uint32_t first_lane, lane_count;
    uint32_t next; /* SPREAD: the lane whose turn it is */
};

/* A record being written in place, behind the end of its lane's open batch: whatever is appended to
 * the lane first takes its room, and so drops it. */
struct outlet_reserve {
    struct outlet_lane *lane;
    struct batch *batch;
    size_t offset; /* where the item begins */
    size_t key_size, value_size;
    bool timed;
};

struct outlet_options {
    const struct weir_allocator *allocator;
    uint32_t epoch;
    uint32_t batch_bytes;
    uint32_t window_batches;
    uint64_t window_bytes;
    uint32_t key_groups;
};

struct outlet {
    struct outlet_options options;
    struct batch_pool *pool;
    struct outlet_edge *edges;
    struct outlet_lane *lanes;
    struct outlet_channel *channels;
    uint32_t edge_count, lane_count, channel_count;
    uint32_t open_count; /* lanes with an open batch */
    uint32_t waiting;    /* channels whose queue is not empty */
    uint32_t unsent;     /* items in all queues */
    uint32_t controls;   /* markers and ENDs in queues */
    uint32_t owing;      /* channels that owe, */
    uint64_t marker;     /* this id's marker */
    uint64_t held;       /* bytes of memory in all queues */
    bool failed;         /* no memory: the task fails */
    bool refused; /* a pipe had no room or memory although there was credit: try again soon */
};

/* Room for that many; edges are then added one by one. False: no memory. */
bool outlet_init(struct outlet *outlet, const struct outlet_options *options, uint32_t edges,
                 uint32_t lanes, uint32_t channels);
void outlet_free(struct outlet *outlet);
/* The next edge, with `channels` channels numbered from `first_channel` on; pipes are set by the
 * caller. */
void outlet_add_edge(struct outlet *outlet, enum weir_routing routing, uint32_t first_channel,
                     uint32_t channels);
/* The last edge that was added leads back, or stays inside a loop. */
void outlet_mark_edge(struct outlet *outlet, bool feedback, bool inside);
/* Content of a checkpoint, before anything is sent: it waits on the channel; takes the batch. And:
 * so much lies in the channel's reader's queue already (P14). False: no memory. */
bool outlet_restore(struct outlet *outlet, uint32_t channel, struct batch *batch);
void outlet_charge(struct outlet *outlet, uint32_t channel, uint64_t batches, uint64_t bytes);

/* Which lane a record takes. */
struct outlet_lane *outlet_route(struct outlet *outlet, struct outlet_edge *edge,
                                 struct weir_bytes key);
/* Room for an item of `size` bytes (a multiple of 8) in the lane's open batch; the batch before is
 * shipped when it is full. NULL: no memory. */
unsigned char *outlet_room_slow(struct outlet *outlet, struct outlet_lane *lane, size_t size);

/* Room for the value of a record that is written in place; NULL: no memory. */
unsigned char *outlet_reserve(struct outlet *outlet, struct outlet_edge *edge,
                              const struct weir_record *record, struct outlet_reserve *reserve);
/* Makes the first `used` bytes of the value the record's. False: it was dropped. */
bool outlet_commit(const struct outlet_reserve *reserve, size_t used);

void outlet_flush(struct outlet *outlet);                   /* ships every open batch */
void outlet_watermark(struct outlet *outlet, int64_t time); /* on every lane, but feedback */
void outlet_idle(struct outlet *outlet);
/* The end of time, for readers in the same loop: others learn it from END. */
void outlet_end_of_time(struct outlet *outlet);
/* P3: M(id) on every channel, at the tail; or, when `content` is given, in front of what waits,
 * which is recorded there. */
void outlet_marker(struct outlet *outlet, uint64_t id, struct content *content);
/* P5: what still waits of the marker moves to the front. */
void outlet_overtake(struct outlet *outlet, struct content *content);
void outlet_end(struct outlet *outlet);
void outlet_abort(struct outlet *outlet); /* P9: the queued marker goes; nothing is owed */
/* The reader has consumed so much in all. False: more than was sent, the peer broke the rules. */
bool outlet_credit(struct outlet *outlet, uint32_t channel, uint64_t batches, uint64_t bytes);
void outlet_push(struct outlet *outlet); /* sends what has credit */
/* Tells readers how far each channel was sent: what is lost shows though nothing follows it. */
void outlet_promise(struct outlet *outlet);

/* P12: no records, timers, watermarks or polls while something waits. */
static inline bool outlet_blocked(const struct outlet *outlet)
{
    return outlet->waiting != 0;
}

/* The room that will be needed in a while lies in the reader's cache: asking for it early, to
 * write, hides the way. (The compiler's own prefetch-to-write is a prefetch-to-read unless the
 * machine is named.) */
static inline void outlet_fetch(const unsigned char *room)
{
#if defined(__x86_64__)
    __asm__ volatile("prefetchw %0" : : "m"(*room));
#else
    __builtin_prefetch(room, 1);
#endif
}

static inline unsigned char *outlet_room(struct outlet *outlet, struct outlet_lane *lane,
                                         size_t size)
{
    struct batch *batch = lane->open;
    if (batch && batch->capacity - batch->size >= size) {
        unsigned char *room = batch->data + batch->size;
        outlet_fetch(room + OUTLET_AHEAD);
        batch->size += size;
        return room;
    }
    return outlet_room_slow(outlet, lane, size);
}

/* Copies and zeroes the padding. Most keys and values are one word. */
static inline unsigned char *outlet_put(unsigned char *to, struct weir_bytes bytes)
{
    if (bytes.size == 8) {
        memcpy(to, bytes.data, 8);
        return to + 8;
    }
    if (bytes.size == 0)
        return to;
    size_t padded = item_round(bytes.size);
    memset(to + padded - 8, 0, 8);
    memcpy(to, bytes.data, bytes.size);
    return to + padded;
}

static inline bool outlet_append_to(struct outlet *outlet, struct outlet_lane *lane,
                                    const struct weir_record *record)
{
    bool timed = record->time != WEIR_NO_TIME;
    unsigned char *to =
        outlet_room(outlet, lane, item_size(record->key.size, record->value.size, timed));
    if (!to)
        return false;
    struct item_head head = {(uint32_t)record->key.size,
                             (uint32_t)record->value.size | (timed ? ITEM_TIMED : 0)};
    memcpy(to, &head, sizeof head);
    to += sizeof head;
    if (timed) {
        memcpy(to, &record->time, sizeof record->time);
        to += sizeof record->time;
    }
    to = outlet_put(to, record->key);
    outlet_put(to, record->value);
    lane->open->count++;
    return true;
}

static inline bool outlet_append(struct outlet *outlet, struct outlet_edge *edge,
                                 const struct weir_record *record)
{
    struct outlet_lane *lane = &outlet->lanes[edge->first_lane];
    if (edge->lane_count > 1)
        lane = outlet_route(outlet, edge, record->key);
    return outlet_append_to(outlet, lane, record);
}

#endif
