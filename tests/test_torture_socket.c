/* links: main */
/* SPDX-License-Identifier: Apache-2.0
 *
 * The socket source under weir_operator_torture, with acknowledged clients that live through the
 * deaths of the instances: they see their connection end, come again, ask for their count and go on
 * from there.
 *
 * The clients act in the source's own thread, one step each after it was polled, and never wait. So
 * what they do falls between its steps, in an order that does not depend on other threads.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "explore.h"
#include "graph.h"
#include "scratch.h"
#include "weir_operators.h"

#define CLIENTS 3
#define LINES 700
#define TEXT_ROOM (LINES * 200)

struct client {
    unsigned number;
    int fd;          /* -1: it has to connect */
    bool told;       /* its count, over this connection */
    uint64_t count;  /* lines that are safe */
    size_t sent;     /* bytes of the text, over this connection counted on from the count */
    char answer[40]; /* of a count that has not come whole */
    size_t answer_size;
    unsigned chunks;        /* sent over this connection */
    char text[TEXT_ROOM];   /* all its lines */
    size_t ends[LINES + 1]; /* ends[n]: of the first n lines */
    uint64_t lines;         /* in the text */
};

static struct scratch folder;
static char path[100], journal[160];
static struct weir_graph *graph;
static struct client clients[CLIENTS];
static unsigned client_count;
static unsigned patience; /* chunks after which a client breaks off; 0: never */
static unsigned long visits, breaks;
static const struct weir_operator *inner;

static void add_line(struct client *client, const char *line)
{
    size_t at = client->ends[client->lines];
    int size = snprintf(client->text + at, TEXT_ROOM - at, "%s\n", line);
    cr_assert_lt((size_t)size, TEXT_ROOM - at);
    client->ends[++client->lines] = at + (size_t)size;
}

/* The first client's last line is the end of all input. */
static void make_clients(unsigned count)
{
    static const char dots[] = ".............................................................."
                               "..............................................................";
    client_count = count;
    for (unsigned i = 0; i < count; i++) {
        struct client *client = &clients[i];
        *client = (struct client){.number = i, .fd = -1};
        for (unsigned j = 0; j + 1 < LINES; j++) {
            char line[200];
            snprintf(line, sizeof line, "client %u line %u %.*s", i, j, (int)(j * 37 % 120), dots);
            add_line(client, line);
        }
        if (i == 0)
            add_line(client, "END");
    }
}

static void set_up(void)
{
    folder = scratch_make();
    snprintf(path, sizeof path, "%s/socket", folder.path);
    snprintf(journal, sizeof journal, "%s/store/nodes/socket", folder.path);
    cr_assert_eq(mkdir(scratch_join(folder.path, "store"), 0700), 0);
    graph = weir_graph_new(NULL);
}

static void tear_down(void)
{
    for (unsigned i = 0; i < client_count; i++)
        if (clients[i].fd >= 0)
            close(clients[i].fd);
    weir_graph_free(&graph);
    scratch_free(&folder);
}

TestSuite(torture_socket, .init = set_up, .fini = tear_down);

/* -------------------------------------------------------------------------- the clients -- */

static void break_off(struct client *client)
{
    close(client->fd);
    client->fd = -1;
}

/* Connects and greets. Nobody listens in an instance that has all input. */
static bool arrive(struct client *client)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char greeting[40];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cr_assert_geq(fd, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        cr_assert(errno == ENOENT || errno == ECONNREFUSED, "%s", strerror(errno));
        close(fd);
        return false;
    }
    client->fd = fd;
    client->told = false;
    client->answer_size = client->chunks = 0;
    int size = snprintf(greeting, sizeof greeting, "weir 1 client-%u\n", client->number);
    cr_assert_eq(send(fd, greeting, (size_t)size, MSG_NOSIGNAL), size);
    visits++;
    return true;
}

static void take_count(struct client *client, const char *line)
{
    char *end;
    uint64_t count = strtoull(line, &end, 10);
    cr_assert(end > line && *end == '\n', "client %u is told: %s", client->number, line);
    cr_assert_leq(count, client->lines);
    cr_assert(!client->told || count > client->count, "client %u: %" PRIu64 " after %" PRIu64,
              client->number, count, client->count);
    if (!client->told)
        client->sent = client->ends[count];
    cr_assert_geq(client->sent, client->ends[count], "it counts what was not sent");
    client->told = true;
    client->count = count;
}

static bool listen_to_it(struct client *client)
{
    ssize_t got = recv(client->fd, client->answer + client->answer_size, 1, 0);
    if (got < 0 && errno == EAGAIN)
        return false;
    if (got <= 0) { /* the instance is dead */
        break_off(client);
        return true;
    }
    if (client->answer[client->answer_size++] == '\n') {
        client->answer[client->answer_size] = '\0';
        client->answer_size = 0;
        take_count(client, client->answer);
    }
    cr_assert_lt(client->answer_size, sizeof client->answer - 1);
    return true;
}

/* All lines of the others must be safe before the end of all input is sent. */
static size_t may_send(const struct client *client)
{
    size_t most = client->ends[client->lines];
    for (unsigned i = 1; client->number == 0 && i < client_count; i++)
        if (!clients[i].told || clients[i].count < clients[i].lines)
            most = client->ends[client->lines - 1];
    return most;
}

/* Pieces that end where they like. */
static bool speak(struct client *client)
{
    size_t left = may_send(client) - client->sent;
    size_t size = 1 + (client->sent * 31 + client->number * 7) % 900;
    if (!client->told || left == 0)
        return false;
    ssize_t put =
        send(client->fd, client->text + client->sent, size < left ? size : left, MSG_NOSIGNAL);
    if (put < 0 && errno == EAGAIN)
        return false;
    if (put < 0) {
        break_off(client);
        return true;
    }
    client->sent += (size_t)put;
    if (patience > 0 && ++client->chunks == patience + client->number) {
        break_off(client);
        breaks++;
    }
    return true;
}

/* One step. True: it did something, so the source has to look again. */
static bool act(struct client *client)
{
    if (client->fd < 0)
        return arrive(client);
    bool heard = false;
    while (client->fd >= 0 && listen_to_it(client))
        heard = true;
    return (client->fd >= 0 && speak(client)) || heard;
}

static enum weir_progress poll_with_clients(void *self, struct weir_context *context)
{
    enum weir_progress progress = inner->poll(self, context);
    bool acted = false;
    for (unsigned i = 0; i < client_count && progress != WEIR_END; i++)
        acted |= act(&clients[i]);
    return progress == WEIR_IDLE && acted ? WEIR_MORE : progress;
}

/* --------------------------------------------------------------------------- the torture -- */

/* The clients' counts begin anew as well: they hear of it by the first answer. */
static enum weir_result empty_journal(void *context, struct weir_error *error)
{
    DIR *open = opendir(journal);
    (void)context, (void)error;
    if (!open) /* before the first run */
        return WEIR_OK;
    for (struct dirent *entry = readdir(open); entry; entry = readdir(open))
        unlinkat(dirfd(open), entry->d_name, 0); /* fails for the folder itself */
    closedir(open);
    for (unsigned i = 0; i < client_count; i++)
        if (clients[i].fd >= 0)
            break_off(&clients[i]);
    return WEIR_OK;
}

static void survives(void)
{
    static struct weir_operator table;
    struct weir_error error = {0};
    weir_node node =
        weir_socket_source(graph, "socket",
                           &(struct weir_socket_source_options){
                               WEIR_SIZED(struct weir_socket_source_options), .path = path,
                               .journal = true, .end_line = "END", .sync_ns = 1});
    cr_assert_eq(graph->error.code, WEIR_OK, "%s", graph->error.text);
    inner = graph->nodes[node.index].table;
    table = *inner;
    table.poll = poll_with_clients;
    const struct weir_node_options options = {WEIR_SIZED(struct weir_node_options),
                                              .name = "socket", .table = &table,
                                              .config = graph->nodes[node.index].config};
    enum weir_result result = weir_operator_torture(
        &(struct weir_torture_options){WEIR_SIZED(struct weir_torture_options), .node = &options,
                                       .trials = explore_trials(40), .unordered = client_count > 1,
                                       .store = scratch_join(folder.path, "store"),
                                       .begin = empty_journal},
        &error);
    cr_assert_eq(result, WEIR_OK, "%s", error.text);
    cr_expect_gt(visits, 100, "the clients came %lu times: nothing was restored", visits);
}

Test(torture_socket, one_client)
{
    make_clients(1);
    survives();
}

Test(torture_socket, several_clients)
{
    make_clients(CLIENTS);
    survives();
}

Test(torture_socket, clients_that_break_off_and_come_again)
{
    patience = 5;
    make_clients(CLIENTS);
    survives();
    cr_expect_gt(breaks, 25 * explore_trials(40), "%lu", breaks);
}
