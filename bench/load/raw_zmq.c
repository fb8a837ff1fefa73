/* SPDX-License-Identifier: Apache-2.0
 *
 * raw_zmq: see plain.h. A message is 32 KiB of records of 24 bytes: what weir's batches are of
 * records with a key and a value of 8 bytes and no time. Each message is allocated by libzmq, as
 * one who uses it plainly would. An empty message ends a turn.
 */
#include <pthread.h>
#include <string.h>
#include <zmq.h>

#include "clocks.h"
#include "die.h"
#include "draws.h"
#include "plain.h"

#define WINDOW 8
#define RECORDS (32768 / sizeof(struct record))
#define ADDRESS "inproc://raw_zmq"

struct record {
    uint64_t head, key, value;
};

struct sender {
    void *context;
    uint64_t *state;
    uint32_t keys;
    int64_t until_ns;
};

static void *open_socket(void *context, bool binds)
{
    int window = WINDOW, linger = 0;
    void *socket = zmq_socket(context, ZMQ_PAIR);
    if (!socket || zmq_setsockopt(socket, ZMQ_SNDHWM, &window, sizeof window) != 0 ||
        zmq_setsockopt(socket, ZMQ_RCVHWM, &window, sizeof window) != 0 ||
        zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger) != 0 ||
        (binds ? zmq_bind(socket, ADDRESS) : zmq_connect(socket, ADDRESS)) != 0)
        die("raw_zmq", zmq_strerror(zmq_errno()));
    return socket;
}

static void fill(struct sender *sender, struct record *records)
{
    uint64_t state = *sender->state;
    for (size_t i = 0; i < RECORDS; i++)
        records[i] = (struct record){.head = 16, .key = draws_below(&state, sender->keys)};
    *sender->state = state;
}

static void *send_all(void *argument)
{
    struct sender *sender = argument;
    void *socket = open_socket(sender->context, false);
    bool over = false;
    while (!over) {
        zmq_msg_t message;
        over = now_ns() >= sender->until_ns;
        if (zmq_msg_init_size(&message, over ? 0 : RECORDS * sizeof(struct record)) != 0)
            die("raw_zmq", "out of memory");
        if (!over)
            fill(sender, zmq_msg_data(&message));
        if (zmq_msg_send(&message, socket, 0) < 0)
            die("raw_zmq", zmq_strerror(zmq_errno()));
    }
    /* The last message must have been taken before its socket goes. */
    char done;
    if (zmq_recv(socket, &done, sizeof done, 0) < 0)
        die("raw_zmq", zmq_strerror(zmq_errno()));
    zmq_close(socket);
    return NULL;
}

/* How many there were in it; 0: it was the last. */
static size_t count_message(struct raw_zmq *raw, void *socket)
{
    zmq_msg_t message;
    zmq_msg_init(&message);
    if (zmq_msg_recv(&message, socket, 0) < 0)
        die("raw_zmq", zmq_strerror(zmq_errno()));
    size_t count = zmq_msg_size(&message) / sizeof(struct record);
    const struct record *records = zmq_msg_data(&message);
    for (size_t i = 0; i < count; i++)
        table_count(&raw->table, records[i].key);
    zmq_msg_close(&message);
    return count;
}

void raw_zmq_begin(struct raw_zmq *raw, uint32_t keys)
{
    *raw = (struct raw_zmq){.state = DRAWS_SEED, .records = keys, .context = zmq_ctx_new()};
    if (!raw->context || !table_init(&raw->table, keys, true))
        die("raw_zmq", "out of memory");
}

double raw_zmq_turn(struct raw_zmq *raw, uint32_t keys, double seconds)
{
    void *socket = open_socket(raw->context, true);
    int64_t began_ns = now_ns();
    struct sender sender = {raw->context, &raw->state, keys, began_ns + (int64_t)(seconds * 1e9)};
    pthread_t thread;
    if (pthread_create(&thread, NULL, send_all, &sender) != 0)
        die("raw_zmq", "no thread");
    uint64_t before = raw->records;
    size_t count;
    while ((count = count_message(raw, socket)) > 0)
        raw->records += count;
    int64_t ended_ns = now_ns();
    if (zmq_send(socket, "", 1, 0) < 0)
        die("raw_zmq", zmq_strerror(zmq_errno()));
    pthread_join(thread, NULL);
    zmq_close(socket);
    return (double)(raw->records - before) * 1e9 / (double)(ended_ns - began_ns);
}

void raw_zmq_end(struct raw_zmq *raw)
{
    zmq_ctx_term(raw->context);
    if (table_end(&raw->table) != raw->records)
        die("raw_zmq", "it has miscounted");
}
