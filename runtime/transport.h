/* SPDX-License-Identifier: Apache-2.0
 *
 * transport: the door to messages. An *inbox* is the one place an actor (task, coordinator, writer)
 * reads; a *pipe* is one writer's way into an inbox. Messages of one pipe arrive in order, once, or
 * not at all. Inside a process a message is {header, reference to the batch}: the payload is
 * shared, not copied; over tcp header and payload travel as one frame, with a checksum.
 *
 * transport.c is the real door (PULL and PUSH sockets, nothing else); the simulated one is chosen
 * at link time.
 *
 * Threads: open and close of the transport, inbox_open and pipe_open by the job's thread before the
 * actors start; after that an inbox and a pipe belong to one actor's thread each. inbox_close and
 * pipe_close by that thread, or by the job's after it was joined.
 *
 * The header on the wire, 64 bytes, little-endian:
 *   offset size
 *        0    4  "WEIB"
 *        4    1  version, 0
 *        5    1  kind (enum message_kind)
 *        6    2  flags; 1: a payload is there, be it of size 0
 *        8    8  run: random, the same for all messages of a run; others are dropped and counted
 *       16    4  epoch
 *       20    4  channel, or the sender for control messages
 *       24    8  sequence: 1, 2, 3... on each channel
 *       32    8  id: checkpoint id in force on the channel, or the one a control message is about
 *       40    4  count of records in the payload
 *       44    4  size of the payload, bytes
 *       48    8  value: by kind
 *       56    8  XXH3-64 of bytes 0..55 and the payload (tcp; zero inside a process)
 */
#ifndef TRANSPORT_H
#define TRANSPORT_H

#include "weir_base.h"

struct batch;
struct transport;
struct inbox;
struct pipe;

enum message_kind {
    /* on channels, writer to reader; these take a sequence number */
    MESSAGE_BATCH = 1,
    MESSAGE_MARKER,
    MESSAGE_END,
    /* reader to writer: value batches were consumed since the start, id bytes of them */
    MESSAGE_CREDIT,
    /* writer to reader, now and then over a network: sequence is that of the last item sent */
    MESSAGE_PROMISE,
    /* coordinator to tasks */
    MESSAGE_GO,
    MESSAGE_ANNOUNCE,  /* id */
    MESSAGE_OVERTAKE,  /* id */
    MESSAGE_ABORT,     /* id */
    MESSAGE_COMMITTED, /* id */
    MESSAGE_REST,      /* the loop that the task is in has come to rest */
    MESSAGE_DRAIN,     /* sources end now */
    MESSAGE_QUIT,
    /* tasks to coordinator; channel is the task */
    MESSAGE_READY,     /* opened and restored */
    MESSAGE_SEALED,    /* id; P8's half that is the task's: cut, markers in and out. payload: struct
                        cut_report */
    MESSAGE_REFUSED,   /* id; payload: the error's text */
    MESSAGE_SPENT,     /* id; what it records is over its budget; value 1: far over */
    MESSAGE_LOOPING,   /* all that comes from outside of its loop has ended */
    MESSAGE_MEMORY,    /* what it holds has changed by much; with an id: it has handed parts to the
                        writer. value: bytes they take; sequence: all that were there took */
    MESSAGE_ENDED,     /* END was sent on all outputs */
    MESSAGE_CONFIRMED, /* id: every handle up to it is published */
    MESSAGE_FAILED,    /* payload: struct weir_error's text; value: its code */
    /* task to writer; id */
    MESSAGE_LOG,     /* channel: the instance; value: the state; payload: struct state_cut */
    MESSAGE_LATER,   /* channel: the instance; payload: an item yet to be written (saver) */
    MESSAGE_PART,    /* channel: the instance; payload: the snapshot; that was all of it */
    MESSAGE_CONTENT, /* channel: the plan's; count: the side, 1 is the outlet's; value: where in the
                         payload it begins; sequence: the task; payload: the batch */
    MESSAGE_SPILLED, /* the same, payload: struct spill_slice */
    MESSAGE_RECORDED, /* channel: the task; that was all; value: how many */
    /* coordinator to writer */
    MESSAGE_CLAIM,
    MESSAGE_COMMIT, /* id; value: purposes; sequence: was OVERTAKE sent? payload: struct
                       cut_summary and a cut_report of each task */
    MESSAGE_SAVE,   /* id; payload: the path the checkpoint is to be copied to */
    /* writer to coordinator; id; value: enum weir_result; payload: the error's text when it is not
       OK */
    MESSAGE_CLAIMED,
    MESSAGE_DURABLE,
    MESSAGE_DONE, /* the commit's answer */
    MESSAGE_SAVED,
    /* the application to the coordinator */
    MESSAGE_REQUEST, /* value: enum request; payload: a path, or none */
};

struct message {
    enum message_kind kind;
    uint32_t epoch;
    uint32_t channel;
    uint64_t sequence;
    uint64_t id;
    uint32_t count;
    uint64_t value;
    struct batch *payload; /* one reference, or NULL */
};

struct transport_options {
    void *zmq_context; /* borrowed; NULL: its own */
    uint64_t run;
    bool network;     /* tcp endpoints will be used */
    uint32_t sockets; /* how many inboxes and pipes there will be at most */
    const struct weir_allocator *allocator;
};

/* Over tcp; within a process a payload is a pointer and has no limit. */
#define TRANSPORT_PAYLOAD_MAX (64u << 20)

enum weir_result transport_open(const struct transport_options *options,
                                struct transport **transport,
                                struct weir_error *error) WEIR_MUST_USE;
/* All inboxes and pipes must have been closed. Releases the payloads of messages nobody took, so
 * the pools they came from are freed later than this. */
void transport_close(struct transport **transport);

/* `endpoint` is "inproc://NAME", or "tcp://127.0.0.1:*" (any free port) or with a port. Addresses
 * that others can reach are refused: nothing here tells friend from foe. */
enum weir_result inbox_open(struct transport *transport, const char *endpoint, struct inbox **inbox,
                            struct weir_error *error) WEIR_MUST_USE;
/* A second way in, "inproc://NAME", for who is in the same process: before any pipe is opened to
 * it. Messages that come by it are letters, whatever the first endpoint is. */
enum weir_result inbox_open_inside(struct inbox *inbox, const char *endpoint,
                                   struct weir_error *error) WEIR_MUST_USE;
/* What a pipe must name to get here: the port is known. Lives as long as the inbox. */
const char *inbox_endpoint(const struct inbox *inbox);
void inbox_close(struct inbox **inbox);

/* Messages that were dropped because they were not of this run, or not weir's. */
uint64_t inbox_dropped(const struct inbox *inbox);

/* Takes the next message. 1: *message filled, its payload's reference is the caller's; 0: none
 * there; -1: the peer or the transport broke the rules, error filled. Never blocks. */
int inbox_receive(struct inbox *inbox, struct message *message, struct weir_error *error);
/* Blocks until a message may be there, `fd` (-1: none) is readable, or the deadline (clock_now_ns;
 * INT64_MAX: none) passes. May return early. */
void inbox_wait(struct inbox *inbox, int fd, int64_t deadline_ns);

/* The inbox must be open. */
enum weir_result pipe_open(struct transport *transport, const char *endpoint, struct pipe **pipe,
                           struct weir_error *error) WEIR_MUST_USE;
void pipe_close(struct pipe **pipe);
/* Never blocks. True: sent, the payload's reference has moved on. False: no room or no memory now,
 * or the reader has gone; nothing moved; try again. */
bool pipe_send(struct pipe *pipe, const struct message *message);
/* After pipe_send answered false: was it for lack of memory? */
bool pipe_starved(const struct pipe *pipe);

#endif
