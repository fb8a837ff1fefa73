/* SPDX-License-Identifier: Apache-2.0
 *
 * gate: all inputs of a task - a queue per channel, which of them may be read now, and what of them
 * belongs to a cut. The inbox is always drained into the queues, so a queue holds at most the
 * writer's window (a feedback edge's has no window: beyond one, what arrives waits on disk); the
 * caller is handed records, or exactly one control item: a drain stops at the first special item.
 *
 * G1  items are taken in the order of their sequence; a lower one is dropped and counted. One that
 *     comes too early waits aside until the gap closes, as long as it lies within the window: a
 *     transport may reorder. A gap that does not close fails the run, it is never passed over.
 * G2  a held input is not read; what arrives on it waits in order.
 * G3  a marker stays an element of its channel's queue: reached when it is next to be read. Its
 *     arrival is told as well (P6).
 * G4  one batch of an input is read, then the next input has its turn: no input starves another.
 * G5  credit goes back though the task never waits: else a writer whose next batch is larger than
 *     what is left of the byte window would stand still as long as other inputs are busy.
 * G6  credits are totals since the start: one that is lost is made good by the next, one that comes
 *     twice changes nothing. What was restored into a queue counts as sent in this run (P14).
 * G7  a feedback edge's batch is credited when it arrives (P11).
 * G8  what was in flight when the job was restored with another parallelism lies in inputs of its
 *     own, which have no writer: END stands behind what was restored. Of one edge, those that are
 *     restored more often are read to their end first, and all of them before its other inputs
 *     (P14). Nobody waits for their marker, and each cut takes what is left, in every mode: for the
 *     aligner they are feedback inputs whose END has arrived. Their watermark counts until END.
 *
 * Task thread only.
 */
#ifndef GATE_H
#define GATE_H

#include "aligner.h"
#include "batch.h"
#include "content.h"
#include "transport.h"
#include "weir.h"

#define GATE_SPAN 128 /* records decoded at a time, at most */

struct gate_item {
    enum message_kind kind;
    bool spilled;
    union {
        struct batch *batch;
        struct spill_slice *slice; /* spilled: it waits on disk */
    };
    uint64_t id;
};

struct gate_input {
    struct pipe *credits; /* borrowed; to the writer's inbox */
    uint32_t channel;     /* its number in the plan */
    uint32_t edge, from_subtask;
    uint32_t restores; /* G8; 0: it has a writer */
    bool timeless;     /* G8: of a feedback edge */
    uint32_t port;     /* which of the node's named inputs */
    uint64_t sequence; /* of the last item taken */
    uint64_t promised; /* the highest that the writer says it has sent */
    int64_t watermark;
    bool idle;
    bool gap;                /* something is missing that was sent */
    struct gate_item *queue; /* ring */
    uint32_t head, count, room;
    size_t offset;                     /* in the head batch: what was read */
    uint64_t used_batches, used_bytes; /* consumed in all */
    uint64_t told_batches, told_bytes; /* the same, when credit was last returned */
    uint64_t held;                     /* bytes of memory in the queue */
    struct message *aside;             /* G1; NULL until it is needed */
    uint32_t aside_count;
    uint64_t gap_mark; /* `sequence` when the gap was last looked at */
};

struct gate_options {
    const struct weir_allocator *allocator;
    uint32_t input_count;
    uint32_t window_batches;
    uint64_t window_bytes;
    uint32_t epoch;
    uint64_t restored_id;
    bool eager;              /* unaligned rounds */
    struct content *content; /* where what belongs to a cut goes; NULL: nobody cares */
    const char *scratch;     /* folder for what spills; borrowed; NULL: it stays in memory */
    uint32_t task;           /* for the files' names */
};

struct gate {
    struct gate_options options;
    struct gate_input *inputs;
    uint32_t input_count, input_room;
    uint32_t restored_count; /* of them, without a writer (G8), */
    uint32_t restored_left;  /* and of those, not read to their end */
    uint32_t next;           /* whose turn it is */
    uint32_t filled;         /* inputs whose queue is not empty */
    uint32_t queued;         /* items in all queues */
    uint64_t held;           /* bytes of memory in all queues, */
    uint64_t spilled;        /* and of what of them waits on disk */
    uint32_t credit_step;    /* batches after which credit goes back, */
    uint64_t credit_bytes;   /* or bytes */
    uint64_t credit_round;   /* batches of all inputs after which all credit goes back, */
    uint64_t round_done;     /* and how many of them there were */
    uint64_t duplicates;     /* G1 */
    uint32_t aside_room;     /* items of one input that may wait aside */
    uint32_t gap_count;      /* inputs with a gap */
    int64_t last;            /* watermark of those that have said WEIR_END_OF_TIME behind it */
    bool spill_all;          /* what is logged of a feedback edge is not to stay in memory (P11) */
    struct spill spill;
    struct aligner_input *aligned;
    struct aligner aligner;
    struct weir_error error; /* of GATE_FAILED */
    struct weir_record records[GATE_SPAN];
    uint64_t hashes[GATE_SPAN];
    void *cells[GATE_SPAN];
};

enum gate_what {
    GATE_NOTHING,
    GATE_RECORDS, /* `count` of gate->records */
    GATE_MARKER,  /* id; to be told to the aligner, as END is */
    GATE_END,
    GATE_TIME,   /* this input's watermark or idleness has changed */
    GATE_BROKEN, /* the batch is not well-formed */
    GATE_FAILED, /* what waited on disk can't be read: gate->error */
};

struct gate_next {
    enum gate_what what;
    uint32_t input;
    uint32_t count;
    uint64_t id;
};

/* The inputs' facts are filled in by the caller, then gate_align is called. False: no memory. */
bool gate_init(struct gate *gate, const struct gate_options *options);
void gate_align(struct gate *gate);
/* One more input, without a writer, before anything has arrived (G8): gate_restore fills it, and
 * gate_end_restored is called when all are filled. UINT32_MAX: no memory. */
uint32_t gate_add_restored(struct gate *gate, const struct gate_input *facts);
bool gate_end_restored(struct gate *gate);
void gate_free(struct gate *gate);

/* An item that came in from a channel; `input` is its index here. Takes the payload. *verdict is
 * the aligner's on its arrival; it is to be heeded before gate_deliver_aside is called, which gives
 * what was waiting for this item, one a call, until it answers false. False: error filled. */
bool gate_deliver(struct gate *gate, uint32_t input, const struct message *message,
                  unsigned *verdict, struct weir_error *error);
bool gate_deliver_aside(struct gate *gate, uint32_t input, struct message *message);
/* Content of a checkpoint, before anything else arrives. Takes the batch. */
enum weir_result gate_restore(struct gate *gate, uint32_t input, struct batch *batch,
                              struct weir_error *error) WEIR_MUST_USE;
/* The writer says how far it has sent: what is lost shows though nothing follows it. */
void gate_promise(struct gate *gate, uint32_t input, const struct message *message);
/* To be called now and then while there is a gap: true when one has not moved since the last call;
 * error filled. */
bool gate_stuck(struct gate *gate, struct weir_error *error);

/* What is to be read next, at most `limit` records of it. Everything but RECORDS is thereby
 * consumed. */
struct gate_next gate_read(struct gate *gate, uint32_t limit);
/* The first `count` records handed out were processed. */
void gate_consumed(struct gate *gate, uint32_t input, uint32_t count);
/* Right after a cut: what lies in the queues and belongs to it goes to the content (P7). */
void gate_record(struct gate *gate);
/* Returns all credit that is due, e.g. before waiting. False: some could not be sent, try again
 * soon. */
bool gate_return_credits(struct gate *gate);
void gate_repeat_credits(struct gate *gate); /* those too that were returned before */

/* The minimum over the inputs that count: neither feedback, nor idle nor ended; END_OF_TIME when
 * all have ended, WEIR_NO_TIME while one has none. */
int64_t gate_watermark(const struct gate *gate);
/* The highest but WEIR_END_OF_TIME that any input except feedback has said, whether it has ended or
 * not; WEIR_NO_TIME: none has. Once all have ended no record is before it. */
int64_t gate_last_watermark(const struct gate *gate);
/* All that count and have not ended are idle, and one has not ended. */
bool gate_idle(const struct gate *gate);

#endif
