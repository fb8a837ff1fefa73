/* SPDX-License-Identifier: Apache-2.0
 *
 * The real transport, over inproc and over tcp on the loopback. Whoever needs to wait for the
 * network waits in inbox_wait, with a deadline.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#include "batch.h"
#include "clock.h"
#include "exercised.h"
#include "frame.h"
#include "transport.h"

#define RUN 0x1122334455667788u
#define SECOND 1000000000ll

struct world {
    struct transport *transport;
    struct batch_pool *pool;
    struct inbox *inbox;
    struct pipe *pipe;
    struct weir_error error;
};

static void world_open(struct world *world, const char *endpoint)
{
    struct transport_options options = {.run = RUN, .network = true, .sockets = 16};

    memset(world, 0, sizeof *world);
    world->pool = batch_pool_new(NULL, 4096, 4);
    cr_assert_eq(transport_open(&options, &world->transport, &world->error), WEIR_OK);
    cr_assert_eq(inbox_open(world->transport, endpoint, &world->inbox, &world->error), WEIR_OK,
                 "%s", world->error.text);
    cr_assert_eq(
        pipe_open(world->transport, inbox_endpoint(world->inbox), &world->pipe, &world->error),
        WEIR_OK, "%s", world->error.text);
}

static void world_close(struct world *world)
{
    pipe_close(&world->pipe);
    inbox_close(&world->inbox);
    transport_close(&world->transport);
    batch_pool_free(&world->pool);
}

static int receive_within(struct inbox *inbox, struct message *message, struct weir_error *error)
{
    int64_t deadline = clock_now_ns() + 20 * SECOND;
    int got = inbox_receive(inbox, message, error);

    while (got == 0 && clock_now_ns() < deadline) {
        inbox_wait(inbox, -1, deadline);
        got = inbox_receive(inbox, message, error);
    }
    return got;
}

static struct batch *batch_with(struct world *world, const char *text)
{
    struct batch *batch = batch_new(world->pool, strlen(text));

    memcpy(batch->data, text, strlen(text));
    batch->size = strlen(text);
    batch->count = 1;
    return batch;
}

static void send_text(struct world *world, uint64_t sequence, const char *text)
{
    struct message message = {.kind = MESSAGE_BATCH,
                              .epoch = 3,
                              .channel = 7,
                              .sequence = sequence,
                              .id = 11,
                              .count = 1,
                              .value = UINT64_MAX,
                              .payload = text == NULL ? NULL : batch_with(world, text)};

    cr_assert(pipe_send(world->pipe, &message));
}

static void expect_text(struct world *world, uint64_t sequence, const char *text)
{
    struct message message;

    cr_assert_eq(receive_within(world->inbox, &message, &world->error), 1, "%s", world->error.text);
    cr_assert_eq(message.kind, MESSAGE_BATCH);
    cr_assert_eq(message.epoch, 3);
    cr_assert_eq(message.channel, 7);
    cr_assert_eq(message.sequence, sequence);
    cr_assert_eq(message.id, 11);
    cr_assert_eq(message.count, 1);
    cr_assert_eq(message.value, UINT64_MAX);
    cr_assert_eq(message.payload == NULL, text == NULL);
    if (text != NULL) {
        cr_assert_eq(message.payload->count, 1);
        cr_assert_eq(message.payload->size, strlen(text));
        cr_assert_arr_eq(message.payload->data, text, strlen(text));
    }
    batch_release(message.payload);
}

static const char *const endpoints[] = {"inproc://box", "tcp://127.0.0.1:*"};
#define FOR_EACH_ENDPOINT(world)                                                                   \
    for (size_t which = 0; which < 2 && (world_open(world, endpoints[which]), true);               \
         world_close(world), which++)

Test(transport, carries_every_field_and_the_payload, .timeout = 60)
{
    struct world world;

    FOR_EACH_ENDPOINT(&world)
    {
        send_text(&world, 1, "a payload");
        send_text(&world, 2, "");
        send_text(&world, 3, NULL);
        expect_text(&world, 1, "a payload");
        expect_text(&world, 2, "");
        expect_text(&world, 3, NULL);
    }
}

Test(transport, keeps_the_order_of_a_pipe, .timeout = 60)
{
    struct world world;
    char text[32];

    FOR_EACH_ENDPOINT(&world)
    {
        for (uint64_t i = 1; i <= 1000; i++) {
            snprintf(text, sizeof text, "number %d", (int)i);
            send_text(&world, i, text);
        }
        for (uint64_t i = 1; i <= 1000; i++) {
            snprintf(text, sizeof text, "number %d", (int)i);
            expect_text(&world, i, text);
        }
    }
}

Test(transport, delivers_what_was_sent_before_close, .timeout = 60)
{
    struct world world;

    FOR_EACH_ENDPOINT(&world)
    {
        for (uint64_t i = 1; i <= 100; i++)
            send_text(&world, i, "last words");
        pipe_close(&world.pipe);
        for (uint64_t i = 1; i <= 100; i++)
            expect_text(&world, i, "last words");
    }
}

Test(transport, shares_the_payload_inside_a_process)
{
    struct world world;
    struct message message = {.kind = MESSAGE_BATCH, .sequence = 1};
    struct batch *batch;

    world_open(&world, "inproc://box");
    batch = batch_with(&world, "shared");
    message.payload = batch_share(batch, 1);
    cr_assert(pipe_send(world.pipe, &message));
    cr_assert_eq(receive_within(world.inbox, &message, &world.error), 1);
    cr_assert_eq(message.payload, batch);
    cr_assert_eq(atomic_load(&batch->references), 2);
    batch_release(message.payload);
    batch_release(batch);
    world_close(&world);
}

Test(transport, has_no_limit_for_payloads_inside_a_process)
{
    struct world world;
    struct message message = {.kind = MESSAGE_PART};

    world_open(&world, "inproc://box");
    message.payload = batch_new(world.pool, (size_t)TRANSPORT_PAYLOAD_MAX + 1);
    message.payload->size = (size_t)TRANSPORT_PAYLOAD_MAX + 1;
    cr_assert(pipe_send(world.pipe, &message));
    cr_assert_eq(receive_within(world.inbox, &message, &world.error), 1);
    cr_assert_eq(message.payload->size, (size_t)TRANSPORT_PAYLOAD_MAX + 1);
    batch_release(message.payload);
    world_close(&world);
}

Test(transport, leaks_nothing_that_nobody_took, .timeout = 60)
{
    struct world world;

    FOR_EACH_ENDPOINT(&world)
    {
        for (uint64_t i = 1; i <= 500; i++)
            send_text(&world, i, i % 2 ? "left behind" : NULL);
        expect_text(&world, 1, "left behind");
    }
}

Test(transport, leaks_nothing_when_the_reader_goes_first)
{
    struct world world;

    world_open(&world, "inproc://box");
    send_text(&world, 1, "seen");
    expect_text(&world, 1, "seen");
    inbox_close(&world.inbox);
    for (int i = 0; i < 100; i++) {
        struct message message = {.kind = MESSAGE_BATCH, .payload = batch_with(&world, "late")};
        if (!pipe_send(world.pipe, &message))
            batch_release(message.payload);
    }
    world_close(&world);
}

Test(transport, works_in_a_borrowed_context)
{
    struct world world = {.pool = batch_pool_new(NULL, 4096, 4)};
    void *context = zmq_ctx_new();
    struct transport_options options = {.zmq_context = context, .run = RUN, .sockets = 4};

    cr_assert_eq(transport_open(&options, &world.transport, &world.error), WEIR_OK);
    cr_assert_eq(inbox_open(world.transport, "inproc://box", &world.inbox, &world.error), WEIR_OK);
    cr_assert_eq(pipe_open(world.transport, "inproc://box", &world.pipe, &world.error), WEIR_OK);
    send_text(&world, 1, "left behind");
    send_text(&world, 2, "left behind");
    expect_text(&world, 1, "left behind");
    world_close(&world);
    zmq_ctx_term(context);
}

Test(transport, says_so_when_a_borrowed_context_ends)
{
    struct world world = {0};
    void *context = zmq_ctx_new();
    struct transport_options options = {.zmq_context = context, .run = RUN, .sockets = 4};
    struct message message;

    cr_assert_eq(transport_open(&options, &world.transport, &world.error), WEIR_OK);
    cr_assert_eq(inbox_open(world.transport, "inproc://box", &world.inbox, &world.error), WEIR_OK);
    zmq_ctx_shutdown(context);
    inbox_wait(world.inbox, -1, INT64_MAX);
    cr_assert_eq(inbox_receive(world.inbox, &message, &world.error), -1);
    cr_assert_eq(world.error.code, WEIR_IO);
    world_close(&world);
    zmq_ctx_term(context);
}

Test(transport, says_when_there_is_no_room)
{
    struct world world;
    struct message message = {.kind = MESSAGE_CREDIT};
    uint64_t sent = 0;

    world_open(&world, "inproc://box");
    for (message.sequence = 1; pipe_send(world.pipe, &message); message.sequence++)
        sent++;
    cr_assert_lt(sent, 1000000);
    cr_assert_not(pipe_starved(world.pipe));
    for (uint64_t i = 1; i <= sent; i++) {
        cr_assert_eq(inbox_receive(world.inbox, &message, &world.error), 1);
        cr_assert_eq(message.sequence, i);
    }
    cr_assert_eq(inbox_receive(world.inbox, &message, &world.error), 0);
    world_close(&world);
}

static void *allocate_while(void *on, size_t size)
{
    return *(const bool *)on ? malloc(size) : NULL;
}

static void release(void *on, void *memory)
{
    (void)on;
    free(memory);
}

Test(transport, says_when_there_is_no_memory)
{
    bool on = true;
    struct weir_allocator allocator = {allocate_while, release, &on};
    struct world world = {0};
    struct transport_options options = {.run = RUN, .sockets = 4, .allocator = &allocator};
    struct message message = {.kind = MESSAGE_CREDIT, .sequence = 1};

    cr_assert_eq(transport_open(&options, &world.transport, &world.error), WEIR_OK);
    cr_assert_eq(inbox_open(world.transport, "inproc://box", &world.inbox, &world.error), WEIR_OK);
    cr_assert_eq(pipe_open(world.transport, "inproc://box", &world.pipe, &world.error), WEIR_OK);
    on = false;
    for (; pipe_send(world.pipe, &message); message.sequence++)
        cr_assert_lt(message.sequence, 10000, "it needs no memory");
    cr_assert(pipe_starved(world.pipe));
    on = true;
    cr_assert(pipe_send(world.pipe, &message));
    uint64_t sent = message.sequence;
    for (uint64_t i = 1; i <= sent; i++) {
        cr_assert_eq(inbox_receive(world.inbox, &message, &world.error), 1);
        cr_assert_eq(message.sequence, i);
    }
    world_close(&world);
}

Test(transport, refuses_endpoints_it_should_not_open)
{
    struct world world;
    struct inbox *inbox;
    struct pipe *pipe;

    world_open(&world, "inproc://box");
    cr_assert_eq(inbox_open(world.transport, "tcp://0.0.0.0:*", &inbox, &world.error),
                 WEIR_REFUSED);
    cr_assert_eq(inbox_open(world.transport, "ipc://box", &inbox, &world.error), WEIR_INVALID);
    cr_assert_eq(inbox_open(world.transport, "inproc://box", &inbox, &world.error), WEIR_IO);
    cr_assert_eq(pipe_open(world.transport, "inproc://nobody", &pipe, &world.error),
                 WEIR_NOT_FOUND);
    world_close(&world);
}

/* ---- strangers ---- */

struct stranger {
    void *context;
    void *socket;
};

static void stranger_open(struct stranger *stranger, const char *endpoint)
{
    int linger = 5000;

    stranger->context = zmq_ctx_new();
    stranger->socket = zmq_socket(stranger->context, ZMQ_PUSH);
    zmq_setsockopt(stranger->socket, ZMQ_LINGER, &linger, sizeof linger);
    cr_assert_eq(zmq_connect(stranger->socket, endpoint), 0);
}

static void stranger_close(struct stranger *stranger)
{
    zmq_close(stranger->socket);
    zmq_ctx_term(stranger->context);
}

/* A frame of a run, with a payload of six bytes. */
static size_t frame_of(unsigned char *frame, uint64_t run)
{
    struct message message = {.kind = MESSAGE_BATCH, .sequence = 1, .count = 1};
    struct batch *batch = batch_alone(NULL, 16);

    memcpy(batch->data, "secret", 6);
    batch->size = 6;
    message.payload = batch;
    frame_encode(&message, run, frame);
    batch_release(batch);
    return frame_size(6);
}

Test(transport, drops_and_counts_strangers, .timeout = 60)
{
    struct world world;
    struct stranger stranger;
    unsigned char frame[FRAME_HEADER_SIZE + 6];
    struct message message;
    size_t size = frame_of(frame, RUN + 1);

    world_open(&world, "tcp://127.0.0.1:*");
    stranger_open(&stranger, inbox_endpoint(world.inbox));
    zmq_send(stranger.socket, "", 0, 0);
    zmq_send(stranger.socket, "GET / HTTP/1.1", 14, 0);
    zmq_send(stranger.socket, frame, size, 0); /* another run */
    frame[0] ^= 1;
    zmq_send(stranger.socket, frame, size, 0);
    size = frame_of(frame, RUN);
    zmq_send(stranger.socket, frame, size, 0);
    cr_assert_eq(receive_within(world.inbox, &message, &world.error), 1);
    cr_assert_eq(message.payload->size, 6);
    batch_release(message.payload);
    cr_assert_eq(inbox_dropped(world.inbox), 4);
    stranger_close(&stranger);
    world_close(&world);
}

/* Whoever knows the run's number may not make the inbox follow an address. */
Test(transport, believes_no_letter_that_came_from_outside, .timeout = 60)
{
    struct world world;
    struct stranger stranger;
    unsigned char frame[FRAME_HEADER_SIZE + 6], letter[24] = {0};
    struct message message;
    uint64_t run = RUN, address = 0xdead0000;

    world_open(&world, "tcp://127.0.0.1:*");
    cr_assert_eq(inbox_open_inside(world.inbox, "inproc://inside", &world.error), WEIR_OK);
    memcpy(letter, (uint32_t[]){0x4C424557u}, 4); /* as transport.c has it */
    memcpy(letter + 8, &run, 8);
    memcpy(letter + 16, &address, 8);
    stranger_open(&stranger, inbox_endpoint(world.inbox));
    zmq_send(stranger.socket, letter, sizeof letter, 0);
    size_t size = frame_of(frame, RUN);
    zmq_send(stranger.socket, frame, size, 0);
    cr_assert_eq(receive_within(world.inbox, &message, &world.error), 1);
    batch_release(message.payload);
    stranger_close(&stranger);
    cr_assert_eq(inbox_dropped(world.inbox), 1);
    world_close(&world);
}

Test(transport, takes_letters_by_the_way_inside_and_frames_by_the_other, .timeout = 60)
{
    struct world world;
    struct pipe *inside = NULL;

    world_open(&world, "tcp://127.0.0.1:*");
    cr_assert_eq(inbox_open_inside(world.inbox, "inproc://inside", &world.error), WEIR_OK);
    cr_assert_eq(inbox_open_inside(world.inbox, "inproc://third", &world.error), WEIR_INVALID);
    cr_assert_eq(pipe_open(world.transport, "inproc://inside", &inside, &world.error), WEIR_OK);
    send_text(&world, 1, "outside");
    expect_text(&world, 1, "outside");
    struct pipe *outside = world.pipe;
    world.pipe = inside;
    send_text(&world, 2, "inside");
    expect_text(&world, 2, "inside");
    send_text(&world, 3, NULL);
    expect_text(&world, 3, NULL);
    pipe_close(&outside);
    world_close(&world);
}

/* Sends one frame as a stranger would; returns what the inbox said. */
static int judge(const unsigned char *frame, size_t size, int flags, struct weir_error *error)
{
    struct world world;
    struct stranger stranger;
    struct message message = {0};
    int got;

    world_open(&world, "tcp://127.0.0.1:*");
    stranger_open(&stranger, inbox_endpoint(world.inbox));
    zmq_send(stranger.socket, frame, size, flags);
    if (flags == ZMQ_SNDMORE)
        zmq_send(stranger.socket, frame, size, 0);
    got = receive_within(world.inbox, &message, error);
    if (got == 1)
        batch_release(message.payload);
    stranger_close(&stranger);
    world_close(&world);
    return got;
}

Test(transport, refuses_a_message_of_several_frames, .timeout = 60)
{
    unsigned char frame[FRAME_HEADER_SIZE + 6];
    size_t size = frame_of(frame, RUN);
    struct weir_error error = {0};

    cr_assert_eq(judge(frame, size, 0, &error), 1);
    cr_assert_eq(judge(frame, size, ZMQ_SNDMORE, &error), -1);
    cr_assert_eq(error.code, WEIR_PROTOCOL);
}

Test(transport, refuses_a_frame_that_was_changed_on_the_way, .timeout = 60)
{
    unsigned char frame[FRAME_HEADER_SIZE + 6];
    size_t size = frame_of(frame, RUN);
    struct weir_error error = {0};

    frame[FRAME_HEADER_SIZE] ^= 1;
    cr_assert_eq(judge(frame, size, 0, &error), -1);
    cr_assert_eq(error.code, WEIR_PROTOCOL);
}

/* ---- frame alone: every byte, every length ---- */

static enum frame_verdict decode(const unsigned char *frame, size_t size)
{
    struct message message;
    bool has_payload;
    const char *why;

    return frame_decode(frame, size, RUN, &message, &has_payload, &why);
}

Test(frame, accepts_no_flipped_bit_and_no_other_length)
{
    unsigned char frame[FRAME_HEADER_SIZE + 7] = {0};
    size_t size = frame_of(frame, RUN);

    cr_assert_eq(decode(frame, size), FRAME_OURS);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        frame[bit / 8] ^= (unsigned char)(1u << bit % 8);
        cr_assert_neq(decode(frame, size), FRAME_OURS, "bit %zu", bit);
        frame[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    for (size_t other = 0; other <= sizeof frame; other++)
        cr_assert(other == size || decode(frame, other) != FRAME_OURS, "length %zu", other);
    exercised(8 * size + sizeof frame);
}

Test(frame, is_laid_out_as_documented)
{
    unsigned char frame[FRAME_HEADER_SIZE + 6];
    const unsigned char begin[16] = {'W',  'E',  'I',  'B',  0,    MESSAGE_BATCH, 1,    0,
                                     0x88, 0x77, 0x66, 0x55, 0x44, 0x33,          0x22, 0x11};

    frame_of(frame, RUN);
    cr_assert_arr_eq(frame, begin, sizeof begin);
    cr_assert_eq(frame[24], 1); /* sequence */
    cr_assert_eq(frame[40], 1); /* count */
    cr_assert_eq(frame[44], 6); /* size */
    cr_assert_arr_eq(frame + FRAME_HEADER_SIZE, "secret", 6);
}

/* ---- waiting ---- */

Test(transport, wait_ends_at_the_deadline_and_not_a_millisecond_later, .timeout = 60)
{
    struct world world;
    int64_t best = INT64_MAX;

    world_open(&world, "inproc://box");
    for (int i = 0; i < 50; i++) {
        int64_t deadline = clock_now_ns() + 300000;
        while (clock_now_ns() < deadline)
            inbox_wait(world.inbox, -1, deadline);
        int64_t late = clock_now_ns() - deadline;
        best = late < best ? late : best;
    }
    cr_assert_lt(best, 700000, "at best %d ns late", (int)best);
    inbox_wait(world.inbox, -1, INT64_MIN);
    world_close(&world);
}

Test(transport, wait_ends_when_a_descriptor_is_readable, .timeout = 60)
{
    struct world world;
    int fd = eventfd(1, EFD_CLOEXEC);

    world_open(&world, "inproc://box");
    inbox_wait(world.inbox, fd, INT64_MAX);
    close(fd);
    world_close(&world);
}

static void *echo(void *context)
{
    struct world *worlds = context;

    for (uint64_t i = 1; i <= 2000; i++) {
        expect_text(&worlds[0], i, "ping");
        send_text(&worlds[1], i, "pong");
    }
    return NULL;
}

Test(transport, wait_ends_when_a_message_comes, .timeout = 120)
{
    struct world worlds[2];
    pthread_t thread;

    FOR_EACH_ENDPOINT(&worlds[0])
    {
        world_open(&worlds[1], endpoints[which]);
        pthread_create(&thread, NULL, echo, worlds);
        for (uint64_t i = 1; i <= 2000; i++) {
            send_text(&worlds[0], i, "ping");
            expect_text(&worlds[1], i, "pong");
        }
        pthread_join(thread, NULL);
        world_close(&worlds[1]);
    }
}
