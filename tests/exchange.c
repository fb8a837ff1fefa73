/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "clock.h"
#include "thread.h"

#define WRITERS 2
#define WINDOW 8
#define BATCH_SIZE 4096
#define RECORDS (BATCH_SIZE / sizeof(uint64_t))

struct writer {
    uint32_t number;
    struct inbox *inbox;
    struct pipe *pipe;
    struct batch_pool *pool;
    uint64_t sent, wanted, credits;
};

struct reader {
    struct inbox *inbox;
    struct pipe *credit[WRITERS];
    struct monitor *monitor;
    uint64_t got[WRITERS];
    int open;   /* writers that have not ended */
    bool ended; /* in the monitor */
};

static void must(bool true_thing, const char *what)
{
    if (true_thing)
        return;
    fprintf(stderr, "exchange: %s\n", what);
    abort();
}

static uint64_t content(uint32_t writer, uint64_t sequence, size_t i)
{
    return (uint64_t)writer << 56 ^ sequence << 20 ^ i;
}

/* ---- writer ---- */

static bool writer_send(struct writer *writer, enum message_kind kind)
{
    struct message message = {
        .kind = kind, .channel = writer->number, .sequence = writer->sent + 1};

    if (kind == MESSAGE_BATCH) {
        struct batch *batch = batch_new(writer->pool, 0);
        for (size_t i = 0; i < RECORDS; i++)
            ((uint64_t *)(void *)batch->data)[i] = content(writer->number, message.sequence, i);
        batch->size = BATCH_SIZE;
        message.payload = batch;
    }
    if (pipe_send(writer->pipe, &message)) {
        writer->sent++;
        return true;
    }
    batch_release(message.payload);
    return false;
}

static struct step writer_step(void *self)
{
    struct writer *writer = self;
    struct message message;

    while (inbox_receive(writer->inbox, &message, NULL) == 1)
        writer->credits += message.value;
    if (writer->sent == writer->wanted) {
        if (!writer_send(writer, MESSAGE_END))
            return (struct step){STEP_AGAIN, -1, 0};
        pipe_close(&writer->pipe);
        inbox_close(&writer->inbox); /* with credits on their way */
        return (struct step){STEP_DONE, -1, 0};
    }
    if (writer->credits == 0)
        return (struct step){STEP_WAIT, -1, INT64_MAX};
    if (writer_send(writer, MESSAGE_BATCH))
        writer->credits--;
    return (struct step){STEP_AGAIN, -1, 0};
}

/* ---- reader ---- */

static void reader_take(struct reader *reader, const struct message *message)
{
    struct message credit = {.kind = MESSAGE_CREDIT, .value = 1};
    const uint64_t *data = (const void *)message->payload->data;

    must(message->payload->size == BATCH_SIZE, "a batch of another size");
    for (size_t i = 0; i < RECORDS; i++)
        must(data[i] == content(message->channel, message->sequence, i), "other bytes");
    batch_release(message->payload);
    (void)pipe_send(reader->credit[message->channel], &credit); /* it may have gone */
}

static struct step reader_end(struct reader *reader)
{
    for (int i = 0; i < WRITERS; i++)
        pipe_close(&reader->credit[i]);
    inbox_close(&reader->inbox);
    monitor_enter(reader->monitor);
    reader->ended = true;
    monitor_notify(reader->monitor);
    monitor_leave(reader->monitor);
    return (struct step){STEP_DONE, -1, 0};
}

static struct step reader_step(void *self)
{
    struct reader *reader = self;
    struct message message;
    int got;

    while ((got = inbox_receive(reader->inbox, &message, NULL)) == 1) {
        must(message.sequence == ++reader->got[message.channel], "a gap");
        if (message.kind == MESSAGE_BATCH)
            reader_take(reader, &message);
        else
            reader->open--;
    }
    must(got == 0, "a broken message");
    return reader->open == 0 ? reader_end(reader)
                             : (struct step){STEP_WAIT, -1, clock_now_ns() + 1000000};
}

/* ---- the whole ---- */

static struct thread *start(const char *name, struct step (*step)(void *), void *self,
                            struct inbox *inbox)
{
    struct actor actor = {.step = step, .self = self, .inbox = inbox};
    struct thread *thread;

    snprintf(actor.name, sizeof actor.name, "%s", name);
    must(thread_start(&actor, NULL, &thread, NULL) == WEIR_OK, "no thread");
    return thread;
}

static void connect_all(struct transport *transport, bool network, struct reader *reader,
                        struct writer *writers)
{
    const char *any = "tcp://127.0.0.1:*";
    char name[32];

    must(inbox_open(transport, network ? any : "inproc://reader", &reader->inbox, NULL) == WEIR_OK,
         "no inbox");
    for (uint32_t i = 0; i < WRITERS; i++) {
        struct writer *writer = &writers[i];
        snprintf(name, sizeof name, "inproc://writer%u", i);
        must(inbox_open(transport, network ? any : name, &writer->inbox, NULL) == WEIR_OK &&
                 pipe_open(transport, inbox_endpoint(reader->inbox), &writer->pipe, NULL) ==
                     WEIR_OK &&
                 pipe_open(transport, inbox_endpoint(writer->inbox), &reader->credit[i], NULL) ==
                     WEIR_OK,
             "no connection");
    }
}

static void wait_for(struct reader *reader)
{
    monitor_enter(reader->monitor);
    while (!reader->ended)
        monitor_wait(reader->monitor, clock_now_ns() + 1000000000);
    monitor_leave(reader->monitor);
}

void exchange_run(bool network, unsigned batches)
{
    struct transport_options options = {.run = 99, .network = network, .sockets = 16};
    struct reader reader = {.monitor = monitor_new(NULL), .open = WRITERS};
    struct writer writers[WRITERS] = {0};
    struct thread *threads[WRITERS + 1];
    struct transport *transport;
    int64_t start_ns = clock_now_ns();

    must(transport_open(&options, &transport, NULL) == WEIR_OK, "no transport");
    connect_all(transport, network, &reader, writers);
    threads[WRITERS] = start("reader", reader_step, &reader, reader.inbox);
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i].number = i;
        writers[i].wanted = batches;
        writers[i].credits = WINDOW;
        writers[i].pool = batch_pool_new(NULL, BATCH_SIZE, WINDOW);
        threads[i] = start("writer", writer_step, &writers[i], writers[i].inbox);
    }
    wait_for(&reader);
    for (int i = 0; i <= WRITERS; i++)
        thread_join(&threads[i]);
    transport_close(&transport);
    for (int i = 0; i < WRITERS; i++)
        batch_pool_free(&writers[i].pool);
    monitor_free(&reader.monitor);
    printf("%s: %u batches of %d bytes, %.2f us each\n", network ? "tcp" : "inproc",
           WRITERS * batches, BATCH_SIZE,
           (double)(clock_now_ns() - start_ns) / 1000.0 / (WRITERS * batches));
}
