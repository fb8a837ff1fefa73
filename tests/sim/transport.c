/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages as plain queues: one a pipe, in the order of sending. With a control (sim.h) they take
 * virtual time and the reader's next pipe is drawn; without one the file serves free-running
 * threads: a mutex an inbox, first come first served, and a descriptor that wakes the sleeper.
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
#include "sim.h"

#define ROOM 65536
#define ENDPOINT_SIZE 256

struct parcel {
    struct message message;
    int64_t due_ns;
    uint64_t order; /* of arrival at the inbox */
    struct parcel *next;
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
    int64_t last_due_ns;
    uint32_t queued;
};

static const struct sim_network *control;
static int64_t delay_most_ns;
static uint64_t refuse_one_in, duplicate_one_in;
static uint64_t transports_open; /* under control only */

void sim_network_control(const struct sim_network *new_control)
{
    control = new_control;
    if (control == NULL)
        transports_open = 0;
}

void sim_network_delay(int64_t most_ns)
{
    delay_most_ns = most_ns;
}

void sim_network_refuse(uint64_t one_in)
{
    refuse_one_in = one_in;
}

void sim_network_duplicate(uint64_t one_in)
{
    duplicate_one_in = one_in;
}

uint64_t sim_network_left(void)
{
    return transports_open;
}

/* ---- transport ---- */

enum weir_result transport_open(const struct transport_options *options,
                                struct transport **transport, struct weir_error *error)
{
    struct transport *new = memory_zeroed(options->allocator, 1, sizeof *new);

    if (new == NULL)
        return error_memory(error, "the transport", sizeof *new);
    new->options = *options;
    new->ports = 20000;
    if (control != NULL)
        transports_open++;
    *transport = new;
    return WEIR_OK;
}

static void queue_free(struct pipe *pipe)
{
    const struct weir_allocator *allocator = pipe->transport->options.allocator;

    while (pipe->first != NULL) {
        struct parcel *parcel = pipe->first;
        pipe->first = parcel->next;
        batch_release(parcel->message.payload);
        memory_release(allocator, parcel);
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
    if (control != NULL)
        transports_open--;
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
    new->wake_fd = control == NULL ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
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

static bool pipe_is_due(const struct pipe *pipe)
{
    return pipe->first != NULL && (control == NULL || pipe->first->due_ns <= control->now_ns());
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

static struct pipe *pick_drawn(const struct inbox *inbox)
{
    struct pipe *best = NULL;
    uint64_t due = 0;

    /* The i-th that is due replaces the choice with probability 1/i: all are equally likely. */
    for (struct pipe *pipe = inbox->pipes; pipe != NULL; pipe = pipe->next_of_inbox) {
        if (pipe_is_due(pipe) && control->draw(++due) == 0)
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

int inbox_receive(struct inbox *inbox, struct message *message, struct weir_error *error)
{
    struct parcel *parcel = NULL;
    struct pipe *pipe;

    (void)error;
    pthread_mutex_lock(&inbox->mutex);
    pipe = control == NULL ? pick_earliest(inbox) : pick_drawn(inbox);
    if (pipe != NULL)
        parcel = queue_take(pipe);
    pthread_mutex_unlock(&inbox->mutex);
    if (parcel == NULL)
        return 0;
    *message = parcel->message;
    memory_release(inbox->transport->options.allocator, parcel);
    if (control != NULL)
        control->event("receive", inbox->endpoint, message);
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

    if (control != NULL)
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

static void queue_put(struct pipe *pipe, struct parcel *parcel)
{
    struct inbox *inbox = pipe->inbox;

    if (control != NULL) {
        parcel->due_ns = control->now_ns();
        if (delay_most_ns > 0)
            parcel->due_ns += (int64_t)control->draw((uint64_t)delay_most_ns + 1);
        if (parcel->due_ns < pipe->last_due_ns)
            parcel->due_ns = pipe->last_due_ns;
        pipe->last_due_ns = parcel->due_ns;
    }
    parcel->order = inbox->arrived++;
    if (pipe->last != NULL)
        pipe->last->next = parcel;
    else
        pipe->first = parcel;
    pipe->last = parcel;
    pipe->queued++;
    inbox->queued++;
}

static bool deliver(struct pipe *pipe, struct parcel *parcel)
{
    struct inbox *inbox = pipe->inbox;
    const uint64_t one = 1;
    bool room;

    pthread_mutex_lock(&inbox->mutex);
    room = !inbox->closed && pipe->queued < ROOM;
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

static bool refused(void)
{
    return control != NULL && refuse_one_in > 0 && control->draw(refuse_one_in) == 0;
}

/* A second one of what was just sent. Without memory there is none. */
static void send_again(struct pipe *pipe, const struct message *message)
{
    struct parcel *parcel;

    if (control == NULL || duplicate_one_in == 0 || control->draw(duplicate_one_in) != 0)
        return;
    if (message->kind != MESSAGE_BATCH && message->kind != MESSAGE_MARKER &&
        message->kind != MESSAGE_END)
        return;
    parcel = parcel_new(pipe, message);
    if (parcel == NULL)
        return;
    if (message->payload != NULL && parcel->message.payload == message->payload)
        batch_share(message->payload, 1);
    if (deliver(pipe, parcel))
        return;
    batch_release(parcel->message.payload);
    memory_release(pipe->transport->options.allocator, parcel);
}

bool pipe_send(struct pipe *pipe, const struct message *message)
{
    bool full = refused();
    struct parcel *parcel = full ? NULL : parcel_new(pipe, message);
    struct batch *copy;

    pipe->starved = parcel == NULL && !full;
    if (parcel == NULL)
        return false;
    if (control != NULL)
        control->event("send", pipe->inbox->endpoint, message);
    copy = parcel->message.payload; /* the parcel may be the reader's already, after deliver */
    if (!deliver(pipe, parcel)) {
        if (copy != message->payload)
            batch_release(copy);
        memory_release(pipe->transport->options.allocator, parcel);
        return false;
    }
    send_again(pipe, message); /* in one thread, so the reader has not had it yet */
    if (copy != message->payload)
        batch_release(message->payload);
    return true;
}

bool pipe_starved(const struct pipe *pipe)
{
    return pipe->starved;
}
