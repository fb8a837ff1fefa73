/* SPDX-License-Identifier: Apache-2.0
 *
 * gate: all inputs of a task - a queue per channel, and which of them may be read now. The inbox is
 * always drained into the queues, so a queue holds at most the writer's window; the caller is
 * handed records, or exactly one control item: a drain stops at the first special item.
 *
 * G1  an item is taken only with sequence == last + 1; a lower one is dropped and counted; a gap
 *     fails the run, it is never passed over.
 * G2  a held input is not read; what arrives on it waits in order.
 * G3  a marker stays an element of its channel's queue: reached when it is next to be read (P6).
 * G4  one batch of an input is read, then the next input has its turn: no input starves another.
 * G5  credit goes back though the task never waits: else a writer whose next batch is larger than
 *     what is left of the byte window would stand still as long as other inputs are busy.
 *
 * Task thread only.
 */
#ifndef GATE_H
#define GATE_H

#include "aligner.h"
#include "batch.h"
#include "transport.h"
#include "weir.h"

#define GATE_SPAN 128 /* records decoded at a time, at most */

struct gate_item {
    enum message_kind kind;
    struct batch *batch;
    uint64_t id;
};

struct gate_input {
    struct pipe *credits; /* borrowed; to the writer's inbox */
    uint32_t channel;     /* its number in the plan */
    uint32_t edge, from_subtask;
    uint32_t port;     /* which of the node's named inputs */
    uint64_t sequence; /* of the last item taken */
    int64_t watermark;
    bool idle;
    struct gate_item *queue; /* ring */
    uint32_t head, count, room;
    size_t offset;         /* in the head batch: what was read */
    uint32_t done_batches; /* consumed, credit not yet returned */
    uint64_t done_bytes;
};

struct gate {
    const struct weir_allocator *allocator;
    struct gate_input *inputs;
    uint32_t input_count;
    uint32_t next;         /* whose turn it is */
    uint32_t filled;       /* inputs whose queue is not empty */
    uint32_t queued;       /* items in all queues */
    uint32_t credit_step;  /* batches after which credit goes back, */
    uint64_t credit_bytes; /* or bytes */
    uint64_t credit_round; /* batches of all inputs after which all credit goes back, */
    uint64_t round_done;   /* and how many of them there were */
    uint32_t epoch;
    uint64_t duplicates; /* G1 */
    uint64_t *bits;      /* of the aligner */
    struct aligner aligner;
    struct weir_record records[GATE_SPAN];
    uint64_t hashes[GATE_SPAN];
    void *cells[GATE_SPAN];
};

enum gate_what {
    GATE_NOTHING,
    GATE_RECORDS, /* `count` of gate->records */
    GATE_MARKER,  /* id */
    GATE_END,
    GATE_TIME,   /* this input's watermark or idleness has changed */
    GATE_BROKEN, /* the batch is not well-formed */
};

struct gate_next {
    enum gate_what what;
    uint32_t input;
    uint32_t count;
    uint64_t id;
};

bool gate_init(struct gate *gate, const struct weir_allocator *allocator, uint32_t inputs,
               uint32_t window_batches, uint64_t window_bytes, uint32_t epoch,
               uint64_t restored_id);
void gate_free(struct gate *gate);

/* An item that came in from a channel; `input` is its index here. Takes the payload. False: error
 * filled. */
bool gate_deliver(struct gate *gate, uint32_t input, const struct message *message,
                  struct weir_error *error);
/* What is to be read next, at most `limit` records of it. Everything but RECORDS is thereby
 * consumed. */
struct gate_next gate_read(struct gate *gate, uint32_t limit);
/* The first `count` records handed out were processed. */
void gate_consumed(struct gate *gate, uint32_t input, uint32_t count);
/* Returns all credit that is due, e.g. before waiting. False: some could not be sent, try again
 * soon. */
bool gate_return_credits(struct gate *gate);

/* The minimum over the inputs that count: neither idle nor ended; END_OF_TIME when all have ended,
 * WEIR_NO_TIME while one has none. */
int64_t gate_watermark(const struct gate *gate);
bool gate_idle(const struct gate *gate); /* all that have not ended are idle, and one has not */

#endif
