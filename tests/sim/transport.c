/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages as plain queues: one a pipe. With a control (sim.h) they take virtual time, the reader's
 * next pipe is drawn, and network.c says what else becomes of each; without one the file serves
 * free-running threads: a mutex an inbox, first come first served, and a descriptor that wakes the
 * sleeper.
 *
 * Q1  a queue is in order of arrival. That is the order of sending, but for items that are late:
 *     what was sent after one may arrive before it.
 * Q2  never more than `window` items of a channel overtake one of it, counted by their sequence
 *     numbers. So a reader with room for `window` items puts them right, and one item further on
 *     means that something is lost. Messages without a sequence number overtake late items, and
 *     never each other.
 */
#include "transport.h"

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "batch.h"
#include "clock.h"
#include "error.h"
#include "memory.h"
#include "network.h"

#define ROOM 65536
#define ENDPOINT_SIZE 256
#define LOST 8 /* lost items a pipe remembers */

struct parcel {
    struct message message;
    int64_t due_ns;
    uint64_t order; /* of arrival at the inbox */
    bool again;     /* the second one of two, and behind the first */
    struct parcel *next;
};

/* An item that will never come. */
struct lost {
    uint32_t channel;
    uint64_t sequence; /* 0: a later one has come, and said so */
};

struct transport {
    struct transport_options options;
    struct inbox *inboxes;
    struct pipe *pipes;
    uint32_t ports;
};

/* Inboxes and pipes live until transport_close, closed or not, as in the real door. */
struct inbox {
    struct transport *transport;
    struct inbox *next;
    char endpoint[ENDPOINT_SIZE];
    char inside[ENDPOINT_SIZE];
    int wake_fd; /* -1 under control */

    pthread_mutex_t mutex; /* guards what follows, and the queues of its pipes */
    struct pipe *pipes;
    uint64_t arrived;
    uint32_t queued;
    bool closed;
    bool sleeping;
};

struct pipe {
    struct transport *transport;
    struct pipe *next;
    struct inbox *inbox;
    bool network;
    /* the writer's thread only */
    bool closed;
    bool starved;

    /* guarded by the inbox's mutex */
    struct pipe *next_of_inbox;
    struct parcel *first, *last;
    int64_t last_due_ns; /* of what is not late */
    uint32_t queued;
    struct lost lost[LOST];
    uint32_t lost_count;
};

/* ---- transport ---- */

enum weir_result transport_open(const struct transport_options *options,
                                struct transport **transport, struct weir_error *error)
{
    struct transport *new = memory_zeroed(options->allocator, 1, sizeof *new);

    if (new == NULL)
        return error_memory(error, "the transport", sizeof *new);
    new->options = *options;
    new->ports = 20000;
    if (network_control() != NULL)
        network_transports(1);
    *transport = new;
    return WEIR_OK;
}

static void parcel_free(const struct pipe *pipe, struct parcel *parcel)
{
    batch_release(parcel->message.payload);
    memory_release(pipe->transport->options.allocator, parcel);
}

static void queue_free(struct pipe *pipe)
{
    while (pipe->first != NULL) {
        struct parcel *parcel = pipe->first;
        pipe->first = parcel->next;
        parcel_free(pipe, parcel);
    }
}

static void inbox_free(struct inbox *inbox)
{
    assert(inbox->closed);
    if (inbox->wake_fd >= 0)
        close(inbox->wake_fd);
    pthread_mutex_destroy(&inbox->mutex);
    memory_release(inbox->transport->options.allocator, inbox);
}

void transport_close(struct transport **transport)
{
    struct transport *old = *transport;

    if (old == NULL)
        return;
    while (old->pipes != NULL) {
        struct pipe *pipe = old->pipes;
        old->pipes = pipe->next;
        assert(pipe->closed);
        queue_free(pipe);
        memory_release(old->options.allocator, pipe);
    }
    while (old->inboxes != NULL) {
        struct inbox *inbox = old->inboxes;
        old->inboxes = inbox->next;
        inbox_free(inbox);
    }
    if (network_control() != NULL)
        network_transports(-1);
    memory_release(old->options.allocator, old);
    *transport = NULL;
}

static bool is_network(const char *endpoint)
{
    return strncmp(endpoint, "tcp://", 6) == 0;
}

static struct inbox *inbox_named(const struct transport *transport, const char *endpoint)
{
    struct inbox *inbox = transport->inboxes;

    while (inbox != NULL && (inbox->closed || (strcmp(inbox->endpoint, endpoint) != 0 &&
                                               strcmp(inbox->inside, endpoint) != 0)))
        inbox = inbox->next;
    return inbox;
}

/* ---- inbox ---- */

static enum weir_result endpoint_check(const struct transport *transport, const char *endpoint,
                                       struct weir_error *error)
{
    if (strlen(endpoint) < ENDPOINT_SIZE &&
        (strncmp(endpoint, "inproc://", 9) == 0 ||
         (strncmp(endpoint, "tcp://127.0.0.1:", 16) == 0 && transport->options.network)))
        return WEIR_OK;
    return error_set(error, WEIR_INVALID, 0, "the endpoint %.100s can't be used", endpoint);
}

static void endpoint_settle(struct inbox *inbox, const char *endpoint)
{
    size_t size = strlen(endpoint);

    if (is_network(endpoint) && endpoint[size - 1] == '*')
        snprintf(inbox->endpoint, ENDPOINT_SIZE, "%.*s%u", (int)size - 1, endpoint,
                 inbox->transport->ports++);
    else
        snprintf(inbox->endpoint, ENDPOINT_SIZE, "%s", endpoint);
}

enum weir_result inbox_open(struct transport *transport, const char *endpoint, struct inbox **inbox,
                            struct weir_error *error)
{
    enum weir_result result = endpoint_check(transport, endpoint, error);
    struct inbox *new;

    if (result != WEIR_OK)
        return result;
    if (inbox_named(transport, endpoint) != NULL)
        return error_set(error, WEIR_IO, 0, "the inbox %s: the name is taken", endpoint);
    new = memory_zeroed(transport->options.allocator, 1, sizeof *new);
    if (new == NULL)
        return error_memory(error, "an inbox", sizeof *new);
    new->transport = transport;
    new->wake_fd = network_control() == NULL ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
    pthread_mutex_init(&new->mutex, NULL);
    endpoint_settle(new, endpoint);
    new->next = transport->inboxes;
    transport->inboxes = new;
    *inbox = new;
    return WEIR_OK;
}

enum weir_result inbox_open_inside(struct inbox *inbox, const char *endpoint,
                                   struct weir_error *error)
{
    enum weir_result result = endpoint_check(inbox->transport, endpoint, error);

    if (result == WEIR_OK)
        snprintf(inbox->inside, sizeof inbox->inside, "%s", endpoint);
    return result;
}

const char *inbox_endpoint(const struct inbox *inbox)
{
    return inbox->endpoint;
}

uint64_t inbox_dropped(const struct inbox *inbox)
{
    (void)inbox;
    return 0;
}

void inbox_close(struct inbox **inbox)
{
    struct inbox *old = *inbox;

    if (old == NULL)
        return;
    pthread_mutex_lock(&old->mutex);
    old->closed = true;
    pthread_mutex_unlock(&old->mutex);
    *inbox = NULL;
}

static struct pipe *pick_earliest(const struct inbox *inbox)
{
    struct pipe *best = NULL;

    for (struct pipe *pipe = inbox->pipes; pipe != NULL; pipe = pipe->next_of_inbox) {
        if (pipe->first != NULL && (best == NULL || pipe->first->order < best->first->order))
            best = pipe;
    }
    return best;
}

static struct pipe *pick_drawn(const struct inbox *inbox, const struct sim_network *control)
{
    struct pipe *best = NULL;
    int64_t now_ns = control->now_ns();
    uint64_t due = 0;

    /* The i-th that is due replaces the choice with probability 1/i: all are equally likely. */
    for (struct pipe *pipe = inbox->pipes; pipe != NULL; pipe = pipe->next_of_inbox) {
        if (pipe->first != NULL && pipe->first->due_ns <= now_ns && control->draw(++due) == 0)
            best = pipe;
    }
    return best;
}

static struct parcel *queue_take(struct pipe *pipe)
{
    struct parcel *parcel = pipe->first;

    pipe->first = parcel->next;
    if (pipe->first == NULL)
        pipe->last = NULL;
    pipe->queued--;
    pipe->inbox->queued--;
    return parcel;
}

/* Counts what comes after a loss and proves it. */
static void note_gaps(struct pipe *pipe, const struct message *message)
{
    if (!network_is_item(message))
        return;
    for (uint32_t i = 0; i < pipe->lost_count; i++) {
        struct lost *lost = &pipe->lost[i];
        if (lost->channel != message->channel || lost->sequence == 0 ||
            !network_too_late(lost->sequence, message->sequence))
            continue;
        lost->sequence = 0;
        network_counts()->gaps++;
    }
}

int inbox_receive(struct inbox *inbox, struct message *message, struct weir_error *error)
{
    const struct sim_network *control = network_control();
    struct parcel *parcel = NULL;
    struct pipe *pipe;

    (void)error;
    pthread_mutex_lock(&inbox->mutex);
    pipe = control == NULL ? pick_earliest(inbox) : pick_drawn(inbox, control);
    if (pipe != NULL)
        parcel = queue_take(pipe);
    pthread_mutex_unlock(&inbox->mutex);
    if (parcel == NULL)
        return 0;
    *message = parcel->message;
    memory_release(inbox->transport->options.allocator, parcel);
    if (control != NULL) {
        note_gaps(pipe, message);
        control->event("receive", inbox->endpoint, message);
    }
    return 1;
}

int64_t sim_inbox_due_ns(const struct inbox *inbox)
{
    int64_t due_ns = INT64_MAX;

    for (const struct pipe *pipe = inbox->pipes; pipe != NULL; pipe = pipe->next_of_inbox) {
        if (pipe->first != NULL && pipe->first->due_ns < due_ns)
            due_ns = pipe->first->due_ns;
    }
    return due_ns;
}

static void sleep_on(const struct inbox *inbox, int fd, int64_t deadline_ns)
{
    struct pollfd polled[2] = {{.fd = inbox->wake_fd, .events = POLLIN},
                               {.fd = fd, .events = POLLIN}};
    int64_t now_ns = clock_now_ns();
    struct timespec left;

    if (deadline_ns == INT64_MAX) {
        ppoll(polled, fd < 0 ? 1 : 2, NULL, NULL);
    } else if (deadline_ns > now_ns) {
        left.tv_sec = (deadline_ns - now_ns) / 1000000000;
        left.tv_nsec = (deadline_ns - now_ns) % 1000000000;
        ppoll(polled, fd < 0 ? 1 : 2, &left, NULL);
    }
}

/* Under control it is the scheduler who waits. */
void inbox_wait(struct inbox *inbox, int fd, int64_t deadline_ns)
{
    uint64_t count;
    bool empty;

    if (network_control() != NULL)
        return;
    pthread_mutex_lock(&inbox->mutex);
    empty = inbox->queued == 0;
    inbox->sleeping = empty;
    pthread_mutex_unlock(&inbox->mutex);
    if (!empty)
        return;
    sleep_on(inbox, fd, deadline_ns);
    pthread_mutex_lock(&inbox->mutex);
    inbox->sleeping = false;
    while (read(inbox->wake_fd, &count, sizeof count) > 0)
        ;
    pthread_mutex_unlock(&inbox->mutex);
}

/* ---- pipe ---- */

enum weir_result pipe_open(struct transport *transport, const char *endpoint, struct pipe **pipe,
                           struct weir_error *error)
{
    struct inbox *inbox = inbox_named(transport, endpoint);
    struct pipe *new;

    if (inbox == NULL)
        return error_set(error, WEIR_NOT_FOUND, 0, "no inbox is open at %s", endpoint);
    new = memory_zeroed(transport->options.allocator, 1, sizeof *new);
    if (new == NULL)
        return error_memory(error, "a pipe", sizeof *new);
    new->transport = transport;
    new->inbox = inbox;
    new->network = is_network(endpoint);
    new->next = transport->pipes;
    transport->pipes = new;
    pthread_mutex_lock(&inbox->mutex);
    new->next_of_inbox = inbox->pipes;
    inbox->pipes = new;
    pthread_mutex_unlock(&inbox->mutex);
    *pipe = new;
    return WEIR_OK;
}

void pipe_close(struct pipe **pipe)
{
    if (*pipe == NULL)
        return;
    (*pipe)->closed = true;
    *pipe = NULL;
}

/* What crosses a network is a copy. */
static struct batch *copy_of(const struct batch *payload, const struct weir_allocator *allocator)
{
    struct batch *copy = batch_alone(allocator, payload->size);

    if (copy == NULL)
        return NULL;
    memcpy(copy->data, payload->data, payload->size);
    copy->size = payload->size;
    copy->count = payload->count;
    return copy;
}

static struct parcel *parcel_new(const struct pipe *pipe, const struct message *message)
{
    const struct weir_allocator *allocator = pipe->transport->options.allocator;
    struct parcel *parcel = memory_zeroed(allocator, 1, sizeof *parcel);

    if (parcel == NULL)
        return NULL;
    parcel->message = *message;
    if (message->payload == NULL || !pipe->network)
        return parcel;
    assert(message->payload->size <= TRANSPORT_PAYLOAD_MAX);
    parcel->message.payload = copy_of(message->payload, allocator);
    if (parcel->message.payload == NULL) {
        memory_release(allocator, parcel);
        return NULL;
    }
    return parcel;
}

/* Q2: nothing arrives before an item that it must not overtake. */
static int64_t earliest_ns(const struct pipe *pipe, const struct message *message)
{
    int64_t earliest_ns = pipe->last_due_ns;

    if (!network_is_item(message) || pipe->last == NULL || pipe->last->due_ns <= earliest_ns)
        return earliest_ns;
    for (const struct parcel *at = pipe->first; at != NULL; at = at->next) {
        if (network_is_item(&at->message) && at->message.channel == message->channel &&
            network_too_late(at->message.sequence, message->sequence) && at->due_ns > earliest_ns)
            earliest_ns = at->due_ns;
    }
    return earliest_ns;
}

static void settle_due(struct pipe *pipe, struct parcel *parcel, const struct network_fate *fate)
{
    int64_t earliest = earliest_ns(pipe, &parcel->message);

    parcel->due_ns = network_control()->now_ns() + fate->took_ns;
    if (parcel->due_ns < earliest)
        parcel->due_ns = earliest;
    pipe->last_due_ns = parcel->due_ns;
    if (fate->late)
        parcel->due_ns += fate->late_ns;
}

static bool overtakes(const struct parcel *parcel)
{
    for (const struct parcel *at = parcel->next; at != NULL; at = at->next) {
        if (network_is_item(&at->message) && at->message.channel == parcel->message.channel &&
            at->message.sequence < parcel->message.sequence)
            return true;
    }
    return false;
}

/* Q1 */
static void queue_put(struct pipe *pipe, struct parcel *parcel)
{
    struct inbox *inbox = pipe->inbox;
    struct parcel **link = &pipe->first;

    if (pipe->last != NULL && pipe->last->due_ns <= parcel->due_ns)
        link = &pipe->last->next;
    while (*link != NULL && (*link)->due_ns <= parcel->due_ns)
        link = &(*link)->next;
    parcel->next = *link;
    *link = parcel;
    if (parcel->next == NULL)
        pipe->last = parcel;
    else if (network_is_item(&parcel->message))
        network_counts()->overtook += overtakes(parcel);
    parcel->order = inbox->arrived++;
    pipe->queued++;
    inbox->queued++;
}

/* Free-running threads have no fate: NULL. */
static bool deliver(struct pipe *pipe, struct parcel *parcel, const struct network_fate *fate)
{
    struct inbox *inbox = pipe->inbox;
    const uint64_t one = 1;
    bool room;

    pthread_mutex_lock(&inbox->mutex);
    room = !inbox->closed && pipe->queued < ROOM;
    if (room && fate != NULL)
        settle_due(pipe, parcel, fate);
    if (room)
        queue_put(pipe, parcel);
    if (room && inbox->sleeping) {
        inbox->sleeping = false;
        if (write(inbox->wake_fd, &one, sizeof one) < 0)
            assert(false);
    }
    pthread_mutex_unlock(&inbox->mutex);
    return room;
}

static void note_lost(struct pipe *pipe, const char *what, const struct parcel *parcel)
{
    const struct message *message = &parcel->message;
    bool item = network_is_item(message) && !parcel->again;

    network_control()->event(what, pipe->inbox->endpoint, message);
    network_counts()->lost += item;
    if (item && pipe->lost_count < LOST)
        pipe->lost[pipe->lost_count++] = (struct lost){message->channel, message->sequence};
}

/* A second one of what was just sent. Without memory there is none. */
static void send_again(struct pipe *pipe, const struct message *message)
{
    struct network_fate fate = {.took_ns = network_delay()};
    struct parcel *parcel = parcel_new(pipe, message);

    if (parcel == NULL)
        return;
    parcel->again = true;
    if (message->payload != NULL && parcel->message.payload == message->payload)
        batch_share(message->payload, 1);
    if (deliver(pipe, parcel, &fate)) {
        network_counts()->duplicated += network_is_item(message);
        network_counts()->credits_duplicated += !network_is_item(message);
        return;
    }
    parcel_free(pipe, parcel);
}

/* The one of those that have something under way is drawn. */
static struct pipe *pipe_to_cut(const struct transport *transport)
{
    struct pipe *chosen = NULL;
    uint64_t count = 0;

    for (struct pipe *pipe = transport->pipes; pipe != NULL; pipe = pipe->next) {
        if (pipe->first != NULL && network_may_cut(&pipe->first->message) &&
            network_control()->draw(++count) == 0)
            chosen = pipe;
    }
    return chosen;
}

/* What libzmq does when a connection breaks: all that is under way on it is gone, what is sent
 * later takes a new connection, and nobody is told. */
static void cut_one(struct transport *transport)
{
    struct pipe *pipe = pipe_to_cut(transport);

    if (pipe == NULL)
        return;
    network_counts()->cuts++;
    while (pipe->first != NULL) {
        struct parcel *parcel = queue_take(pipe);
        note_lost(pipe, "cut", parcel);
        network_counts()->cut++;
        parcel_free(pipe, parcel);
    }
}

/* False: the parcel is still the caller's. */
static bool send_by_fate(struct pipe *pipe, struct parcel *parcel, const struct message *message)
{
    struct network_fate fate = network_fate(message);

    if (fate.refused)
        return false;
    network_control()->event("send", pipe->inbox->endpoint, message);
    if (fate.lost) {
        note_lost(pipe, "lose", parcel);
        parcel_free(pipe, parcel);
        return true;
    }
    if (!deliver(pipe, parcel, &fate))
        return false;
    if (fate.twice) /* in one thread, so the reader has not had it yet */
        send_again(pipe, message);
    if (network_cuts(message))
        cut_one(pipe->transport);
    return true;
}

bool pipe_send(struct pipe *pipe, const struct message *message)
{
    struct parcel *parcel = parcel_new(pipe, message);
    struct batch *copy;
    bool sent;

    pipe->starved = parcel == NULL;
    if (parcel == NULL)
        return false;
    copy = parcel->message.payload; /* the parcel may be the reader's already, once it is sent */
    sent = network_control() == NULL ? deliver(pipe, parcel, NULL)
                                     : send_by_fate(pipe, parcel, message);
    if (copy != message->payload)
        batch_release(sent ? message->payload : copy);
    if (!sent)
        memory_release(pipe->transport->options.allocator, parcel);
    return sent;
}

bool pipe_starved(const struct pipe *pipe)
{
    return pipe->starved;
}
