/* SPDX-License-Identifier: Apache-2.0
 *
 * The open visits of a client are one value of keyed state, of any size:
 *
 *     u64 how many | struct visit, as many | the client's name
 *
 * in order of time, each at least a gap apart from the next. There may be several: requests come
 * from many tasks, and one of them may be hours ahead of another. For the same reason nothing here
 * depends on the order in which requests come; only the watermark closes a visit.
 */
#include "visits.h"

#include <stdlib.h>
#include <string.h>

#include "requests.h"

struct client {
    uint64_t count;
    struct visit visits[];
};

struct gatherer {
    int64_t gap_ns;
    struct client *client; /* the one in hand, copied out of the state: name behind the visits */
    size_t room;           /* bytes */
};

static enum weir_result gatherer_open(void *self, struct weir_context *context, const void *config)
{
    struct gatherer *gatherer = self;
    (void)context;
    gatherer->gap_ns = *(const int64_t *)config;
    return WEIR_OK;
}

static void gatherer_close(void *self, struct weir_context *context)
{
    (void)context;
    free(((struct gatherer *)self)->client);
}

static size_t client_size(const struct client *client, size_t name_size)
{
    return sizeof *client + client->count * sizeof client->visits[0] + name_size;
}

static enum weir_result make_room(struct gatherer *gatherer, struct weir_context *context,
                                  size_t size)
{
    if (size <= gatherer->room)
        return WEIR_OK;
    struct client *larger = realloc(gatherer->client, 2 * size);
    if (!larger)
        return weir_fail(context, WEIR_NO_MEMORY, "out of memory for the visits of a client");
    gatherer->client = larger;
    gatherer->room = 2 * size;
    return WEIR_OK;
}

/* The visits that `visit` touches become one with it; the others keep their order. */
static void add_visit(struct client *client, struct visit visit, int64_t gap_ns, bool *is_new)
{
    uint64_t kept = 0, place = 0;
    for (uint64_t i = 0; i < client->count; i++) {
        struct visit other = client->visits[i];
        if (other.last + gap_ns <= visit.first || visit.last + gap_ns <= other.first) {
            place += other.first < visit.first;
            client->visits[kept++] = other;
            continue;
        }
        visit.first = other.first < visit.first ? other.first : visit.first;
        visit.last = other.last > visit.last ? other.last : visit.last;
        visit.hits += other.hits;
        visit.bytes += other.bytes;
    }
    *is_new = kept == client->count;
    memmove(client->visits + place + 1, client->visits + place,
            (kept - place) * sizeof client->visits[0]);
    client->visits[place] = visit;
    client->count = kept + 1;
}

/* There is always a timer at, or before, the end of the client's earliest visit. */
static enum weir_result set_timer(const struct gatherer *gatherer, struct weir_context *context,
                                  const struct visit *visit, uint64_t client)
{
    return weir_timer_set(context, WEIR_TIMER_EVENT, visit->last + gatherer->gap_ns, client);
}

/* Copies out what the state knows of the client, with room for one visit more; a client that is new
 * has no visits, and the name that came with the request. */
static enum weir_result take_client(struct gatherer *gatherer, struct weir_context *context,
                                    const struct weir_bytes *key, struct weir_bytes *name)
{
    struct weir_bytes value;
    struct client none = {0};
    if (!weir_get(context, 0, key, &value))
        value = (struct weir_bytes){&none, sizeof none};
    enum weir_result result =
        make_room(gatherer, context, value.size + sizeof(struct visit) + name->size);
    if (result)
        return result;
    memcpy(gatherer->client, value.data, value.size);
    size_t head = client_size(gatherer->client, 0);
    if (gatherer->client->count)
        *name = (struct weir_bytes){(const char *)value.data + head, value.size - head};
    return WEIR_OK;
}

static enum weir_result gatherer_process(void *self, struct weir_context *context, unsigned input,
                                         const struct weir_record *record)
{
    struct gatherer *gatherer = self;
    struct request request;
    uint64_t number;
    bool is_new;
    (void)input;
    memcpy(&number, record->key.data, sizeof number);
    memcpy(&request, record->value.data, sizeof request);
    struct weir_bytes name = {(const char *)record->value.data + sizeof request,
                              record->value.size - sizeof request};
    enum weir_result result = take_client(gatherer, context, &record->key, &name);
    if (result)
        return result;
    struct client *client = gatherer->client;
    struct visit visit = {record->time, record->time, 1, request.bytes};
    add_visit(client, visit, gatherer->gap_ns, &is_new);
    memcpy(client->visits + client->count, name.data,
           name.size); /* a view of state until the put */
    result = weir_put(context, 0, &record->key,
                      (struct weir_bytes){client, client_size(client, name.size)});
    return result || !is_new ? result : set_timer(gatherer, context, &visit, number);
}

/* What is over goes out; its time is when it was over, and never behind the watermark. */
static enum weir_result close_visits(struct gatherer *gatherer, struct weir_context *context,
                                     struct client *client, struct weir_bytes name)
{
    enum weir_result result = WEIR_OK;
    uint64_t kept = 0;
    for (uint64_t i = 0; i < client->count && !result; i++) {
        struct visit *visit = &client->visits[i];
        int64_t over = visit->last + gatherer->gap_ns;
        if (over > weir_watermark(context))
            client->visits[kept++] = *visit;
        else
            result =
                weir_emit(context, 0, &(struct weir_record){name, {visit, sizeof *visit}, over});
    }
    client->count = kept;
    return result;
}

static enum weir_result gatherer_timer(void *self, struct weir_context *context,
                                       enum weir_timer kind, int64_t time, uint64_t number)
{
    struct gatherer *gatherer = self;
    struct weir_bytes key = {&number, sizeof number}, value;
    (void)kind, (void)time;
    if (!weir_get(context, 0, &key, &value))
        return WEIR_OK; /* another timer has seen to it */
    enum weir_result result = make_room(gatherer, context, value.size);
    if (result)
        return result;
    struct client *client = gatherer->client;
    memcpy(client, value.data, value.size);
    size_t head = client_size(client, 0), name_size = value.size - head;
    result = close_visits(gatherer, context, client,
                          (struct weir_bytes){(char *)client + head, name_size});
    if (result)
        return result;
    if (!client->count) {
        weir_remove(context, 0, &key);
        return WEIR_OK;
    }
    memmove(client->visits + client->count, (char *)client + head, name_size);
    result =
        weir_put(context, 0, &key, (struct weir_bytes){client, client_size(client, name_size)});
    return result ? result : set_timer(gatherer, context, &client->visits[0], number);
}

weir_node visits(struct weir_graph *graph, const char *name, int64_t gap_ns)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator),
                                               .kind = "visits",
                                               .self_size = sizeof(struct gatherer),
                                               .open = gatherer_open,
                                               .process = gatherer_process,
                                               .timer = gatherer_timer,
                                               .close = gatherer_close};
    static const struct weir_state states[] = {{WEIR_SIZED(struct weir_state), .name = "clients"}};
    if (gap_ns <= 0)
        weir_graph_fail(graph, "node %s: the gap between visits must be above 0", name);
    return weir_graph_add(
        graph, &(struct weir_node_options){WEIR_SIZED(struct weir_node_options), .name = name,
                                           .table = &table,
                                           .config = weir_graph_keep(graph, &gap_ns, sizeof gap_ns),
                                           .states = states, .state_count = 1});
}
