/* SPDX-License-Identifier: Apache-2.0
 *
 * The real door to messages: libzmq, PULL and PUSH sockets, nothing else of it. This is the only
 * file that includes zmq.h for the data path.
 *
 * Inside the process, what goes through the socket is a *letter* of 24 bytes: magic, run and the
 * address of a *parcel* (message and reference). A message of that size lies inside zmq_msg_t, so
 * libzmq allocates nothing for it; zmq_msg_init_data would cost a malloc here and a free on the
 * reader's side. Parcels belong to their pipe and come back by a lock-free stack, as batches do.
 *
 * T1  A parcel is in flight exactly while its payload or itself is in no list; a parcel that nobody
 *     took still holds its payload. transport_close releases what it finds there: messages dropped
 *     by a socket's close leak nothing, whenever libzmq drops them.
 * T2  Inboxes and pipes live until transport_close, closed or not: a letter may outlive its pipe,
 *     and a pipe counts letters in its inbox.
 * T3  One message is one frame. A frame that has more behind it is not ours, or an error.
 * T4  All options are set between zmq_socket and bind or connect.
 */
#include "transport.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "batch.h"
#include "clock.h"
#include "error.h"
#include "frame.h"
#include "memory.h"

#if ZMQ_VERSION < ZMQ_MAKE_VERSION(4, 3, 4)
#error "libzmq before 4.3.4 has known remote faults"
#endif

/* libzmq is not built with ThreadSanitizer, which therefore can't see that what lies behind the
 * pointer in a message was written before it was sent. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TRANSPORT_TSAN 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define TRANSPORT_TSAN 1
#endif
#ifdef TRANSPORT_TSAN
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define parcel_handed_over(parcel) __tsan_release(parcel)
#define parcel_taken_over(parcel) __tsan_acquire(parcel)
#else
#define parcel_handed_over(parcel) ((void)(parcel))
#define parcel_taken_over(parcel) ((void)(parcel))
#endif

/* A safety net far above what credits allow; never 0, which means no limit. */
#define HIGH_WATER_MARK 65536
/* How long close may hold back the last messages of a tcp pipe. */
#define NETWORK_LINGER_MS 500
#define NETWORK_HANDSHAKE_MS 3000
#define NETWORK_BACKLOG 128
/* A stranger who floods the port must not keep a task in one call. */
#define FOREIGN_PER_RECEIVE 64
#define ENDPOINT_SIZE 256
#define OWN_DESCRIPTORS 16 /* of libzmq: its threads' mailboxes and poll sets */
#define PARCELS_PER_SLAB 32

struct parcel {
    struct message message;
    struct pipe *home;
    struct parcel *next; /* in a list of its home */
};

struct slab {
    struct slab *next;
    struct parcel parcels[PARCELS_PER_SLAB];
};

#define LETTER_MAGIC 0x4C424557u /* "WEBL" */

struct letter {
    uint32_t magic;
    uint32_t zero;
    uint64_t run;
    struct parcel *parcel;
};
_Static_assert(sizeof(struct letter) == 24, "a letter fits into a zmq_msg_t (33 bytes)");

struct transport {
    struct transport_options options;
    void *context;
    /* the job's thread only */
    struct inbox *inboxes;
    struct pipe *pipes;
};

struct inbox {
    /* set before start */
    struct transport *transport;
    struct inbox *next; /* the job's thread only */
    bool network;
    int ready_fd; /* of the socket */
    char endpoint[ENDPOINT_SIZE];
    char inside[ENDPOINT_SIZE]; /* the second one; "": none */

    /* the actor's thread only */
    void *socket;
    uint64_t taken;   /* letters */
    uint64_t dropped; /* foreign messages */
    bool look;        /* the socket says there is something, whatever the counts say */
    bool in_message;  /* the last frame said that more of its message follows */
    int failure;      /* errno of a wait that failed */

    char apart[64];
    atomic_uint_fast64_t sent; /* letters; any thread */
};

struct pipe {
    /* set before start */
    struct transport *transport;
    struct pipe *next;   /* the job's thread only */
    struct inbox *inbox; /* NULL: over the network */

    /* the actor's thread only */
    void *socket;
    struct parcel *free;
    struct slab *slabs;
    bool starved; /* the last send failed for lack of memory */

    char apart[64];
    _Atomic(struct parcel *) returned; /* any thread */
};

/* ---- transport ---- */

static enum weir_result zmq_failed(struct weir_error *error, int failure, const char *what,
                                   const char *name)
{
    if (failure == ENOMEM)
        return error_memory(error, what, 0);
    return error_set(error, WEIR_IO, failure, "%s %s: %s", what, name, zmq_strerror(failure));
}

static enum weir_result context_open(struct transport *transport, struct weir_error *error)
{
    const struct transport_options *options = &transport->options;
    int sockets = options->sockets < 16 ? 16 : (int)options->sockets;

    transport->context = options->zmq_context;
    if (transport->context != NULL)
        return WEIR_OK;
    transport->context = zmq_ctx_new();
    if (transport->context == NULL)
        return zmq_failed(error, errno, "a ZeroMQ context", "");
    if (zmq_ctx_set(transport->context, ZMQ_IO_THREADS, options->network ? 1 : 0) != 0 ||
        zmq_ctx_set(transport->context, ZMQ_MAX_SOCKETS, sockets) != 0) {
        int failure = errno;
        zmq_ctx_term(transport->context);
        return zmq_failed(error, failure, "a ZeroMQ context", "for so many channels");
    }
    return WEIR_OK;
}

/* libzmq ends the process, or waits for ever, when descriptors run out. So it is tried first
 * whether there are enough: one for each socket, on the network two more for each connection, and
 * libzmq's own. */
static enum weir_result descriptors_check(const struct transport_options *options,
                                          struct weir_error *error)
{
    uint32_t wanted = options->sockets * (options->network ? 3 : 1) + OWN_DESCRIPTORS;
    int *held = memory_zeroed(options->allocator, wanted, sizeof *held);
    uint32_t count = 0;
    int failure = 0;

    if (held == NULL)
        return error_memory(error, "counting descriptors", wanted * sizeof *held);
    while (count < wanted && failure == 0) {
        held[count] = eventfd(0, EFD_CLOEXEC);
        failure = held[count] < 0 ? errno : 0;
        count += failure == 0;
    }
    for (uint32_t i = 0; i < count; i++)
        close(held[i]);
    memory_release(options->allocator, held);
    if (failure == 0)
        return WEIR_OK;
    return error_os(error, failure,
                    "this job needs %u file descriptors more than are open, and %u are to be had: "
                    "raise the limit (ulimit -n) or lower the parallelism",
                    wanted, count);
}

enum weir_result transport_open(const struct transport_options *options,
                                struct transport **transport, struct weir_error *error)
{
    struct transport *new;
    enum weir_result result;

    if (options->sockets > 65535)
        return error_set(error, WEIR_TOO_LARGE, 0, "%u channels are more than ZeroMQ's 65535",
                         options->sockets);
    result = descriptors_check(options, error);
    if (result != WEIR_OK)
        return result;
    new = memory_zeroed(options->allocator, 1, sizeof *new);
    if (new == NULL)
        return error_memory(error, "the transport", sizeof *new);
    new->options = *options;
    result = context_open(new, error);
    if (result != WEIR_OK)
        memory_release(options->allocator, new);
    else
        *transport = new;
    return result;
}

/* T1: what is still in flight holds its payload; the others hold NULL. */
static void pipe_free(struct pipe *pipe, const struct weir_allocator *allocator)
{
    assert(pipe->socket == NULL);
    while (pipe->slabs != NULL) {
        struct slab *slab = pipe->slabs;
        pipe->slabs = slab->next;
        for (size_t i = 0; i < PARCELS_PER_SLAB; i++)
            batch_release(slab->parcels[i].message.payload);
        memory_release(allocator, slab);
    }
    memory_release(allocator, pipe);
}

static void inbox_free(struct inbox *inbox, const struct weir_allocator *allocator)
{
    assert(inbox->socket == NULL);
    memory_release(allocator, inbox);
}

void transport_close(struct transport **transport)
{
    struct transport *old = *transport;

    if (old == NULL)
        return;
    if (old->options.zmq_context == NULL) {
        while (zmq_ctx_term(old->context) != 0 && errno == EINTR)
            ;
    }
    while (old->pipes != NULL) {
        struct pipe *pipe = old->pipes;
        old->pipes = pipe->next;
        pipe_free(pipe, old->options.allocator);
    }
    while (old->inboxes != NULL) {
        struct inbox *inbox = old->inboxes;
        old->inboxes = inbox->next;
        inbox_free(inbox, old->options.allocator);
    }
    memory_release(old->options.allocator, old);
    *transport = NULL;
}

/* ---- sockets ---- */

static bool endpoint_is_network(const char *endpoint)
{
    return strncmp(endpoint, "tcp://", 6) == 0;
}

static enum weir_result endpoint_check(const struct transport *transport, const char *endpoint,
                                       struct weir_error *error)
{
    if (strlen(endpoint) >= ENDPOINT_SIZE)
        return error_set(error, WEIR_INVALID, 0, "the endpoint %.40s... is too long", endpoint);
    if (strncmp(endpoint, "inproc://", 9) == 0)
        return WEIR_OK;
    if (!endpoint_is_network(endpoint))
        return error_set(error, WEIR_INVALID, 0, "the endpoint %s is neither inproc nor tcp",
                         endpoint);
    if (strncmp(endpoint, "tcp://127.0.0.1:", 16) != 0)
        return error_set(error, WEIR_REFUSED, 0,
                         "the endpoint %s is not on 127.0.0.1, and there are no keys", endpoint);
    if (!transport->options.network)
        return error_set(error, WEIR_INVALID, 0, "the endpoint %s needs options.network", endpoint);
    return WEIR_OK;
}

struct socket_option {
    int name;
    int value;
};

static int socket_set(void *socket, const struct socket_option *options, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (zmq_setsockopt(socket, options[i].name, &options[i].value, sizeof(int)) != 0)
            return -1;
    }
    return 0;
}

/* T4: every option of every socket is here. ZMQ_IMMEDIATE stays 0: with 1 a reconnect drops the
 * queue. */
static int socket_configure(void *socket, bool network)
{
    const struct socket_option common[] = {
        {ZMQ_SNDHWM, HIGH_WATER_MARK},
        {ZMQ_RCVHWM, HIGH_WATER_MARK},
        {ZMQ_LINGER, network ? NETWORK_LINGER_MS : 0},
    };
    const struct socket_option on_network[] = {
        {ZMQ_IMMEDIATE, 0},
        {ZMQ_HANDSHAKE_IVL, NETWORK_HANDSHAKE_MS},
        {ZMQ_BACKLOG, NETWORK_BACKLOG},
    };
    const int64_t largest = FRAME_SIZE_MAX;

    if (socket_set(socket, common, sizeof common / sizeof common[0]) != 0)
        return -1;
    if (!network)
        return 0;
    if (zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &largest, sizeof largest) != 0)
        return -1;
    return socket_set(socket, on_network, sizeof on_network / sizeof on_network[0]);
}

static void *socket_open(const struct transport *transport, int type, const char *endpoint)
{
    void *socket = zmq_socket(transport->context, type);
    int failure;

    if (socket == NULL)
        return NULL;
    failure = socket_configure(socket, endpoint_is_network(endpoint));
    if (failure == 0)
        failure = type == ZMQ_PULL ? zmq_bind(socket, endpoint) : zmq_connect(socket, endpoint);
    if (failure == 0)
        return socket;
    failure = errno;
    zmq_close(socket);
    errno = failure;
    return NULL;
}

/* ---- parcels ---- */

static struct parcel *parcel_slab(struct pipe *pipe)
{
    struct slab *slab = memory_zeroed(pipe->transport->options.allocator, 1, sizeof *slab);

    if (slab == NULL)
        return NULL;
    slab->next = pipe->slabs;
    pipe->slabs = slab;
    for (size_t i = 0; i < PARCELS_PER_SLAB; i++) {
        slab->parcels[i].home = pipe;
        slab->parcels[i].next = i + 1 < PARCELS_PER_SLAB ? &slab->parcels[i + 1] : NULL;
    }
    return slab->parcels;
}

static struct parcel *parcel_new(struct pipe *pipe)
{
    struct parcel *parcel = pipe->free;

    if (parcel == NULL)
        parcel = atomic_exchange_explicit(&pipe->returned, NULL, memory_order_acquire);
    if (parcel == NULL)
        parcel = parcel_slab(pipe);
    if (parcel != NULL)
        pipe->free = parcel->next;
    return parcel;
}

/* By the pipe's own thread: it was not sent. */
static void parcel_keep(struct pipe *pipe, struct parcel *parcel)
{
    parcel->message.payload = NULL;
    parcel->next = pipe->free;
    pipe->free = parcel;
}

/* By the reader. The payload is the caller's from here on. */
static void parcel_open(struct parcel *parcel, struct message *message)
{
    struct pipe *pipe = parcel->home;
    struct parcel *head = atomic_load_explicit(&pipe->returned, memory_order_relaxed);

    *message = parcel->message;
    parcel->message.payload = NULL;
    do {
        parcel->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&pipe->returned, &head, parcel,
                                                    memory_order_release, memory_order_relaxed));
}

/* ---- inbox ---- */

static int inbox_learn(struct inbox *inbox)
{
    size_t size = sizeof inbox->ready_fd;

    if (zmq_getsockopt(inbox->socket, ZMQ_FD, &inbox->ready_fd, &size) != 0)
        return -1;
    size = sizeof inbox->endpoint;
    return zmq_getsockopt(inbox->socket, ZMQ_LAST_ENDPOINT, inbox->endpoint, &size);
}

enum weir_result inbox_open(struct transport *transport, const char *endpoint, struct inbox **inbox,
                            struct weir_error *error)
{
    const struct weir_allocator *allocator = transport->options.allocator;
    enum weir_result result = endpoint_check(transport, endpoint, error);
    struct inbox *new;

    if (result != WEIR_OK)
        return result;
    new = memory_zeroed(allocator, 1, sizeof *new);
    if (new == NULL)
        return error_memory(error, "an inbox", sizeof *new);
    new->transport = transport;
    new->network = endpoint_is_network(endpoint);
    new->socket = socket_open(transport, ZMQ_PULL, endpoint);
    if (new->socket == NULL || inbox_learn(new) != 0) {
        int failure = errno;
        if (new->socket != NULL)
            zmq_close(new->socket);
        memory_release(allocator, new);
        return zmq_failed(error, failure, "the inbox", endpoint);
    }
    new->next = transport->inboxes;
    transport->inboxes = new;
    *inbox = new;
    return WEIR_OK;
}

enum weir_result inbox_open_inside(struct inbox *inbox, const char *endpoint,
                                   struct weir_error *error)
{
    enum weir_result result = endpoint_check(inbox->transport, endpoint, error);
    if (result != WEIR_OK)
        return result;
    if (endpoint_is_network(endpoint) || inbox->inside[0] != '\0')
        return error_set(error, WEIR_INVALID, 0, "%s is no second endpoint of %s", endpoint,
                         inbox->endpoint);
    if (zmq_bind(inbox->socket, endpoint) != 0)
        return zmq_failed(error, errno, "the inbox", endpoint);
    snprintf(inbox->inside, sizeof inbox->inside, "%s", endpoint);
    return WEIR_OK;
}

const char *inbox_endpoint(const struct inbox *inbox)
{
    return inbox->endpoint;
}

uint64_t inbox_dropped(const struct inbox *inbox)
{
    return inbox->dropped;
}

/* Early, for the sake of memory: what comes after this falls to transport_close. */
static void inbox_drain(struct inbox *inbox)
{
    struct message message;

    while (inbox_receive(inbox, &message, NULL) > 0)
        batch_release(message.payload);
}

void inbox_close(struct inbox **inbox)
{
    struct inbox *old = *inbox;

    if (old == NULL)
        return;
    inbox_drain(old);
    zmq_close(old->socket);
    old->socket = NULL; /* T2 */
    *inbox = NULL;
}

enum verdict {
    VERDICT_MESSAGE,
    VERDICT_FOREIGN,
    VERDICT_ERROR,
};

static enum verdict open_letter(struct inbox *inbox, zmq_msg_t *frame, struct message *message)
{
    struct letter letter;

    if (zmq_msg_size(frame) != sizeof letter)
        return VERDICT_FOREIGN;
    memcpy(&letter, zmq_msg_data(frame), sizeof letter);
    if (letter.magic != LETTER_MAGIC || letter.run != inbox->transport->options.run)
        return VERDICT_FOREIGN;
    parcel_taken_over(letter.parcel);
    parcel_open(letter.parcel, message);
    inbox->taken++;
    return VERDICT_MESSAGE;
}

static enum verdict copy_payload(const struct inbox *inbox, const unsigned char *data, size_t size,
                                 struct message *message, struct weir_error *error)
{
    struct batch *payload = batch_alone(inbox->transport->options.allocator, size);

    if (payload == NULL) {
        error_memory(error, "a received batch", size);
        return VERDICT_ERROR;
    }
    memcpy(payload->data, data, size);
    payload->size = size;
    payload->count = message->count;
    message->payload = payload;
    return VERDICT_MESSAGE;
}

static enum verdict broken(const struct inbox *inbox, const char *why, struct weir_error *error)
{
    error_set(error, WEIR_PROTOCOL, 0, "%s received a message of this run with %s", inbox->endpoint,
              why);
    return VERDICT_ERROR;
}

static enum verdict open_frame(struct inbox *inbox, zmq_msg_t *frame, struct message *message,
                               struct weir_error *error)
{
    const unsigned char *data = zmq_msg_data(frame);
    size_t size = zmq_msg_size(frame);
    bool part = inbox->in_message || zmq_msg_more(frame);
    bool has_payload;
    const char *why;

    inbox->in_message = zmq_msg_more(frame);
    switch (frame_decode(data, size, inbox->transport->options.run, message, &has_payload, &why)) {
    case FRAME_FOREIGN:
        return VERDICT_FOREIGN;
    case FRAME_BROKEN:
        return broken(inbox, why, error);
    case FRAME_OURS:
        break;
    }
    if (part)
        return broken(inbox, "several frames", error); /* T3 */
    if (!has_payload)
        return VERDICT_MESSAGE;
    return copy_payload(inbox, data + FRAME_HEADER_SIZE, size - FRAME_HEADER_SIZE, message, error);
}

static int socket_failed(const struct inbox *inbox, int failure, struct weir_error *error)
{
    error_set(error, WEIR_IO, failure, "reading %s: %s", inbox->endpoint, zmq_strerror(failure));
    return -1;
}

static int frame_receive(struct inbox *inbox, zmq_msg_t *frame)
{
    int got;

    do
        got = zmq_msg_recv(frame, inbox->socket, ZMQ_DONTWAIT);
    while (got < 0 && errno == EINTR);
    return got;
}

/* A letter holds an address, so it must come from within: what came over a connection bears its
 * peer's address, and no sender can take that off. */
static bool is_letter(const struct inbox *inbox, zmq_msg_t *frame)
{
    if (!inbox->network)
        return true;
    return zmq_msg_size(frame) == sizeof(struct letter) && inbox->inside[0] != '\0' &&
           zmq_msg_gets(frame, "Peer-Address") == NULL;
}

/* 1, 0 and -1 as inbox_receive, 2: dropped one. */
static int receive_one(struct inbox *inbox, struct message *message, struct weir_error *error)
{
    enum verdict verdict;
    zmq_msg_t frame;

    zmq_msg_init(&frame);
    if (frame_receive(inbox, &frame) < 0) {
        int failure = errno;
        zmq_msg_close(&frame);
        inbox->look = false;
        return failure == EAGAIN ? 0 : socket_failed(inbox, failure, error);
    }
    if (is_letter(inbox, &frame))
        verdict = open_letter(inbox, &frame, message);
    else
        verdict = open_frame(inbox, &frame, message, error);
    zmq_msg_close(&frame);
    if (verdict == VERDICT_FOREIGN)
        inbox->dropped++;
    return verdict == VERDICT_MESSAGE ? 1 : verdict == VERDICT_FOREIGN ? 2 : -1;
}

/* Asking an empty socket costs a system call; comparing two counts does not. The writer counts
 * before it sends, so at worst we ask in vain. */
static bool inbox_quiet(const struct inbox *inbox)
{
    return !inbox->network && !inbox->look &&
           atomic_load_explicit(&inbox->sent, memory_order_relaxed) == inbox->taken;
}

int inbox_receive(struct inbox *inbox, struct message *message, struct weir_error *error)
{
    if (inbox->failure != 0)
        return socket_failed(inbox, inbox->failure, error);
    if (inbox_quiet(inbox))
        return 0;
    for (int i = 0; i < FOREIGN_PER_RECEIVE; i++) {
        int got = receive_one(inbox, message, error);
        if (got != 2)
            return got;
    }
    return 0;
}

/* The socket's descriptor tells of changes only, so its events are read first, and nothing may
 * touch the socket between that and the sleep. zmq_poll does the same, in whole milliseconds. */
static bool socket_ready(struct inbox *inbox)
{
    int events = 0;
    size_t size = sizeof events;

    while (zmq_getsockopt(inbox->socket, ZMQ_EVENTS, &events, &size) != 0) {
        if (errno == EINTR)
            continue;
        inbox->failure = errno;
        return true;
    }
    inbox->look = (events & ZMQ_POLLIN) != 0;
    return inbox->look;
}

void inbox_wait(struct inbox *inbox, int fd, int64_t deadline_ns)
{
    struct pollfd polled[2] = {{.fd = inbox->ready_fd, .events = POLLIN},
                               {.fd = fd, .events = POLLIN}};
    struct timespec left;
    int64_t now_ns;

    if (socket_ready(inbox))
        return;
    if (deadline_ns == INT64_MAX) {
        ppoll(polled, fd < 0 ? 1 : 2, NULL, NULL);
        return;
    }
    now_ns = clock_now_ns();
    if (deadline_ns <= now_ns)
        return;
    left.tv_sec = (deadline_ns - now_ns) / 1000000000;
    left.tv_nsec = (deadline_ns - now_ns) % 1000000000;
    ppoll(polled, fd < 0 ? 1 : 2, &left, NULL);
}

/* ---- pipe ---- */

static struct inbox *inbox_named(const struct transport *transport, const char *endpoint)
{
    struct inbox *inbox = transport->inboxes;

    while (inbox != NULL && (inbox->socket == NULL || (strcmp(inbox->endpoint, endpoint) != 0 &&
                                                       strcmp(inbox->inside, endpoint) != 0)))
        inbox = inbox->next;
    return inbox;
}

enum weir_result pipe_open(struct transport *transport, const char *endpoint, struct pipe **pipe,
                           struct weir_error *error)
{
    const struct weir_allocator *allocator = transport->options.allocator;
    enum weir_result result = endpoint_check(transport, endpoint, error);
    struct pipe *new;

    if (result != WEIR_OK)
        return result;
    new = memory_zeroed(allocator, 1, sizeof *new);
    if (new == NULL)
        return error_memory(error, "a pipe", sizeof *new);
    new->transport = transport;
    if (!endpoint_is_network(endpoint)) {
        new->inbox = inbox_named(transport, endpoint);
        if (new->inbox == NULL) {
            memory_release(allocator, new);
            return error_set(error, WEIR_NOT_FOUND, 0, "no inbox is open at %s", endpoint);
        }
        /* The first slab now: readers give parcels back, so trying again needs no memory later. */
        new->free = parcel_slab(new);
        if (new->free == NULL) {
            memory_release(allocator, new);
            return error_memory(error, "a pipe", sizeof(struct slab));
        }
    }
    new->socket = socket_open(transport, ZMQ_PUSH, endpoint);
    if (new->socket == NULL) {
        int failure = errno;
        memory_release(allocator, new->slabs);
        memory_release(allocator, new);
        return zmq_failed(error, failure, "the pipe to", endpoint);
    }
    new->next = transport->pipes;
    transport->pipes = new;
    *pipe = new;
    return WEIR_OK;
}

void pipe_close(struct pipe **pipe)
{
    struct pipe *old = *pipe;

    if (old == NULL)
        return;
    zmq_close(old->socket);
    old->socket = NULL; /* T2 */
    *pipe = NULL;
}

static bool send_parcel(struct pipe *pipe, const struct message *message)
{
    struct parcel *parcel = parcel_new(pipe);
    struct letter letter = {LETTER_MAGIC, 0, pipe->transport->options.run, parcel};
    int sent;

    pipe->starved = parcel == NULL;
    if (parcel == NULL)
        return false;
    parcel->message = *message;
    parcel_handed_over(parcel);
    atomic_fetch_add_explicit(&pipe->inbox->sent, 1, memory_order_relaxed);
    do
        sent = zmq_send(pipe->socket, &letter, sizeof letter, ZMQ_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return true;
    pipe->starved = errno == ENOMEM;
    atomic_fetch_sub_explicit(&pipe->inbox->sent, 1, memory_order_relaxed);
    parcel_keep(pipe, parcel);
    return false;
}

static bool send_frame(struct pipe *pipe, const struct message *message)
{
    zmq_msg_t frame;
    int sent;

    pipe->starved =
        zmq_msg_init_size(&frame, frame_size(message->payload ? message->payload->size : 0)) != 0;
    if (pipe->starved)
        return false;
    frame_encode(message, pipe->transport->options.run, zmq_msg_data(&frame));
    do
        sent = zmq_msg_send(&frame, pipe->socket, ZMQ_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent < 0) {
        pipe->starved = errno == ENOMEM;
        zmq_msg_close(&frame);
        return false;
    }
    batch_release(message->payload);
    return true;
}

bool pipe_send(struct pipe *pipe, const struct message *message)
{
    return pipe->inbox != NULL ? send_parcel(pipe, message) : send_frame(pipe, message);
}

bool pipe_starved(const struct pipe *pipe)
{
    return pipe->starved;
}
