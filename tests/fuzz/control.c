/* SPDX-License-Identifier: Apache-2.0
 *
 * control: the input is requests to a running job, one a line. Each is answered, at once or later,
 * at the latest when the run is over, by JSON of version 1 that says yes or no, and why.
 *
 * The job is a simulated one, and so are the files that savepoints come to. What stands here of
 * endpoint.h and control_folder.h is in the place of sockets.
 */
#include "control.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint.h"
#include "fuzz.h"
#include "sim.h"
#include "weir.h"

#define MS INT64_C(1000000)
#define STORE "/store"
#define ROUNDS 20u /* of waiting for answers */

/* ---- the other side of the socket ---- */

struct endpoint {
    struct endpoint_answers answers;
    bool owed[ENDPOINT_TICKETS];
};

static struct endpoint the_endpoint;

static void take(char *answer)
{
    json_error_t trouble;
    json_t *parsed = json_loads(answer, JSON_REJECT_DUPLICATES, &trouble);
    json_t *ok = json_object_get(parsed, "ok");

    fuzz_must(parsed != NULL, "the answer is no JSON: %s: %s", trouble.text, answer);
    fuzz_must(json_integer_value(json_object_get(parsed, "weir")) == 1 && json_is_boolean(ok),
              "the answer says neither yes nor no: %s", answer);
    fuzz_must(json_is_true(ok) || strlen(json_string_value(json_object_get(parsed, "error"))) > 5,
              "no, and no reason: %s", answer);
    json_decref(parsed);
    free(answer);
}

static void ask(struct endpoint *endpoint, const char *request, size_t size)
{
    uint32_t ticket = 0;
    while (ticket < ENDPOINT_TICKETS && endpoint->owed[ticket])
        ticket++;
    char *answer = endpoint->answers.answer(endpoint->answers.context, request, size, ticket);
    fuzz_must(answer != NULL || ticket < ENDPOINT_TICKETS, "an answer is owed to nobody");
    if (answer != NULL)
        take(answer);
    else
        endpoint->owed[ticket] = true;
}

static bool take_owed(struct endpoint *endpoint)
{
    bool any = false;

    for (uint32_t i = 0; i < ENDPOINT_TICKETS; i++) {
        char *answer =
            endpoint->owed[i] ? endpoint->answers.later(endpoint->answers.context, i) : NULL;
        if (answer != NULL) {
            take(answer);
            endpoint->owed[i] = false;
        }
        any |= endpoint->owed[i];
    }
    return any;
}

void endpoint_prepare(void)
{
}

enum weir_result endpoint_start(struct endpoint **endpoint, const struct control_socket *sock,
                                const struct endpoint_answers *answers, struct weir_error *error)
{
    (void)sock;
    (void)error;
    the_endpoint = (struct endpoint){.answers = *answers};
    *endpoint = &the_endpoint;
    return WEIR_OK;
}

void endpoint_stop(struct endpoint **endpoint)
{
    fuzz_must(!take_owed(*endpoint), "the run is over, and somebody waits");
    *endpoint = NULL;
}

enum weir_result control_name(const char *store, const char *store_id, char name[CONTROL_NAME_ROOM],
                              struct weir_error *error)
{
    (void)store;
    (void)store_id;
    (void)error;
    memcpy(name, "name", sizeof "name");
    return WEIR_OK;
}

enum weir_result control_socket_open(const char *name, struct control_socket *sock,
                                     struct weir_error *error)
{
    (void)name;
    (void)error;
    *sock = (struct control_socket){.fd = -1};
    return WEIR_OK;
}

void control_socket_remove(struct control_socket *sock)
{
    (void)sock;
}

/* ---- the job ---- */

static struct savepoints savepoints;
static _Atomic uint32_t stops;

static enum weir_progress ticks(void *self, struct weir_context *context)
{
    struct weir_record record = {{self, 8}, {self, 8}, WEIR_NO_TIME};

    ++*(uint64_t *)self;
    (void)!weir_emit(context, 0, &record);
    return weir_idle(context, weir_now(context) + MS, -1);
}

static enum weir_result take_nothing(struct weir_context *context, unsigned input,
                                     const struct weir_record *record, const void *config)
{
    (void)context;
    (void)input;
    (void)record;
    (void)config;
    return WEIR_OK;
}

static struct weir_graph *build(void)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator), .kind = "ticks",
                                               .self_size = 8, .poll = ticks};
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node source =
        weir_graph_add(graph, &(struct weir_node_options){WEIR_SIZED(struct weir_node_options),
                                                          .name = "ticks", .table = &table});
    weir_node sink = weir_graph_add(
        graph, &(struct weir_node_options){WEIR_SIZED(struct weir_node_options), .name = "nothing",
                                           .function = take_nothing});
    weir_connect(graph, source, sink, WEIR_SPREAD);
    return graph;
}

static void told(void *context, const struct weir_event *event)
{
    (void)context;
    if (event->kind == WEIR_EVENT_SAVED || event->kind == WEIR_EVENT_UNSAVED)
        (void)savepoints_told(&savepoints, event);
}

/* What a program's first thread does. */
static void carry_out(struct weir_job *job)
{
    struct weir_error error = {0};
    enum weir_outcome outcome;
    enum weir_stop stop;
    char *path = savepoints_next_stop(&savepoints, &stop);

    if (path != NULL && weir_job_stop_at(job, stop, path, &error) != WEIR_OK)
        savepoints_refuse(&savepoints, path, error.text);
    free(path);
    uint32_t asked = atomic_exchange(&stops, 0);
    for (uint32_t i = 0; i < 3; i++)
        if ((asked & 1u << i) != 0)
            (void)!weir_job_stop(job, (enum weir_stop)i, &error);
    (void)!weir_job_wait(job, 2 * MS, &outcome, &error);
}

static void ask_all(struct weir_job *job, struct control *control, const unsigned char *data,
                    size_t size)
{
    const char *at = (const char *)data, *end = at + size;

    fuzz_must(control != NULL, "no control");
    while (at < end) {
        const char *line = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((line == NULL ? end : line) - at);
        ask(&the_endpoint, at, length < ENDPOINT_REQUEST_MAX ? length : ENDPOINT_REQUEST_MAX);
        carry_out(job);
        at += length + 1;
    }
    for (uint32_t i = 0; i < ROUNDS && take_owed(&the_endpoint); i++)
        carry_out(job);
}

static void run(const unsigned char *data, size_t size)
{
    static struct report report;
    static struct options options;
    const struct control_asked asked = {&stops, &savepoints};
    struct weir_error error = {0};
    struct weir_job *job = NULL;
    struct control *control = NULL;

    sim_disk_wipe();
    sim_start(1);
    savepoints_init(&savepoints);
    atomic_store(&stops, 0);
    options.job = (struct weir_job_options){WEIR_SIZED(struct weir_job_options), .store = STORE,
                                            .interval_ns = -1, .event = told};
    report = (struct report){.name = "program", .options = &options};
    struct weir_graph *graph = build();
    fuzz_must(weir_job_start(graph, &options.job, &job, &error) == WEIR_OK, "%s", error.text);
    fuzz_must(control_start(&control, job, &report, &asked, &error) == WEIR_OK, "%s", error.text);
    ask_all(job, control, data, size);
    control_stop(&control);
    weir_job_close(&job);
    weir_graph_free(&graph);
    savepoints_free(&savepoints);
    fuzz_must(sim_end() == 0, "something is left behind");
}

static bool seed(uint32_t n, struct fuzz_bytes *to)
{
    static const char *const seeds[] = {
        "{\"weir\": 1, \"ask\": \"status\"}\n{\"weir\": 1, \"ask\": \"dump\"}",
        "{\"weir\": 1, \"ask\": \"checkpoint\", \"timeout_ms\": 500}\n"
        "{\"weir\": 1, \"ask\": \"checkpoint\"}\n{\"weir\": 1, \"ask\": \"status\"}",
        "{\"weir\": 1, \"ask\": \"savepoint\", \"path\": \"/saved\"}\n"
        "{\"weir\": 1, \"ask\": \"savepoint\", \"path\": \"/saved\"}\n"
        "{\"weir\": 1, \"ask\": \"savepoint\", \"path\": \"/a\\u00e9/../b\"}",
        "{\"weir\": 1, \"ask\": \"stop\", \"mode\": \"drain\"}\n{\"weir\": 1, \"ask\": \"status\"}",
        "{\"weir\": 1, \"ask\": \"stop\", \"mode\": \"suspend\", \"savepoint\": \"/kept\"}\n"
        "{\"weir\": 1, \"ask\": \"stop\", \"savepoint\": \"/kept\"}",
        "{\"weir\": 2, \"ask\": \"status\"}\n[1]\n{}\nnull\n{\"weir\": 1, \"ask\": 5}",
        "{\"weir\": 1, \"ask\": \"stop\", \"mode\": \"now\"}\n"
        "{\"weir\": 1, \"ask\": \"savepoint\", \"path\": \"/late\"}",
    };

    if (n >= sizeof seeds / sizeof seeds[0])
        return false;
    fuzz_put(to, seeds[n], strlen(seeds[n]));
    return true;
}

const struct fuzz_target fuzz_control = {"control", run, seed, NULL};
