/* SPDX-License-Identifier: Apache-2.0
 *
 * socket_source: lines of clients that connect. Invariants:
 *
 *   S1  Only whole lines go into the journal, in one chunk with the number of them and whose they
 *       are; so a client's count and its lines are durable together, or not at all.
 *   S2  A client is told a count only when the journal was synced behind the lines it counts.
 *   S3  The clients are read only when all earlier lines are handed out: who is not read waits, and
 *       no more than the buffers below is in memory.
 *
 *   GREETING --"weir 1 ID"--> ACKNOWLEDGED    told its count, then each new one
 *            --another line, or the end--> PLAIN
 *   any --end of its bytes, a reset, a broken rule, a newer connection of its id--> gone
 *
 * What a checkpoint holds is in line_feed.h; the counts are in the journal (ledger.h), and need no
 * checkpoint.
 */
#include "weir_operators.h"
#include "budget.h"
#include "descriptor.h"
#include "ledger.h"
#include "line_feed.h"
#include "node.h"

#include <stdio.h>
#include <string.h>

#define CLIENTS 64u
#define CLIENTS_LIMIT 1000u
#define LINE_BYTES (1u << 20)
#define SYNC_NS INT64_C(20000000)
#define REFUSED_NS INT64_C(1000000000) /* no accepting so long, after the system refused */
#define READ_BYTES ((size_t)64 << 10)  /* of one client at once */
#define GREETING "weir 1 "
#define LISTENER 0u /* tag of a descriptor; connection i has i + 1 */

enum connection_state { FREE, GREETING_DUE, PLAIN, ACKNOWLEDGED };

struct connection {
    enum connection_state state;
    int fd;
    uint32_t entry;  /* in the ledger; LEDGER_NONE: plain */
    uint64_t told;   /* the count; UINT64_MAX: none yet */
    struct block in; /* bytes of lines that are not whole yet */
    size_t scanned;  /* before it is no newline */
    char out[24];    /* a count that did not go at once */
    size_t out_size;
};

struct socket_source {
    const struct weir_socket_source_options *options;
    struct line_feed feed;
    struct ledger ledger;
    struct connection *connections; /* options->clients of them */
    uint32_t open_count;
    int listener, set;
    bool accepting;     /* the listener is in the set's wishes */
    int64_t refused_ns; /* when to accept again; 0: when a connection is free */
    bool owing;         /* some client has not been told its count */
    int64_t synced_ns;  /* the last sync for clients */
};

/* ------------------------------------------------------------------------- open and load -- */

/* The counts stand in the newest segment: its opening chunk, and what came since. */
static enum weir_result read_counts(struct socket_source *source, struct weir_context *context)
{
    struct journal_cursor cursor = {0};
    struct journal_chunk chunk;
    enum journal_found found = JOURNAL_CHUNK;
    const struct journal *journal = &source->feed.journal;
    enum weir_result result = journal_seek_newest(journal, context, &cursor);
    while (result == WEIR_OK && found == JOURNAL_CHUNK) {
        found = journal_next(journal, context, &cursor, &chunk);
        if (found == JOURNAL_FAILED)
            result = WEIR_FAILED;
        if (found == JOURNAL_CHUNK &&
            !ledger_replay(&source->ledger, weir_memory(context), chunk.head))
            result =
                weir_fail(context, WEIR_DAMAGED, "the journal's counts of clients make no sense");
    }
    journal_leave(&cursor, weir_memory(context));
    return result;
}

static enum weir_result listen_here(struct socket_source *source, struct weir_context *context)
{
    int os_error = 0;
    struct weir_error error;
    const struct weir_socket_source_options *options = source->options;
    source->listener =
        descriptor_listen(options->path, options->port, (int)options->clients, &error);
    if (source->listener < 0)
        return weir_fail_with(context, &error);
    source->set = descriptor_watch_new(&os_error);
    source->accepting = os_error == 0 &&
                        descriptor_watch(source->set, source->listener, LISTENER, false, &os_error);
    if (!source->accepting)
        return weir_fail(context, WEIR_IO, "can't wait for clients (errno %d)", os_error);
    return WEIR_OK;
}

static enum weir_result source_open(void *self, struct weir_context *context, const void *config)
{
    struct socket_source *source = self;
    const struct weir_allocator *allocator = weir_memory(context);
    source->options = config;
    source->listener = source->set = -1;
    source->synced_ns = weir_now(context) - source->options->sync_ns;
    bool journal = source->options->journal && weir_store_id(context)[0] != '\0';
    source->connections =
        block_take(allocator, source->options->clients * sizeof *source->connections);
    if (!source->connections || !ledger_init(&source->ledger, allocator))
        return block_none(context);
    enum weir_result result = line_feed_open(
        &source->feed, context, journal, source->options->retain, ledger_opening(&source->ledger));
    if (result == WEIR_OK && journal)
        result = read_counts(source, context);
    return result == WEIR_OK ? listen_here(source, context) : result;
}

static enum weir_result source_load(void *self, struct weir_context *context,
                                    struct weir_loader *loader, uint32_t version)
{
    struct socket_source *source = self;
    (void)version; /* there is one so far; newer ones are refused before this */
    return line_feed_load(&source->feed, context, loader);
}

/* --------------------------------------------------------------------------- connections -- */

static uint32_t tag_of(const struct socket_source *source, const struct connection *connection)
{
    return (uint32_t)(connection - source->connections) + 1;
}

static void set_accepting(struct socket_source *source, bool accepting)
{
    if (source->listener >= 0 && source->accepting != accepting)
        descriptor_watch_for(source->set, source->listener, LISTENER, accepting, false);
    source->accepting = accepting;
}

static void stop_listening(struct socket_source *source)
{
    if (source->listener < 0)
        return;
    if (source->options->path)
        descriptor_remove(source->options->path);
    descriptor_close(source->listener);
    source->listener = -1;
}

static void drop(struct socket_source *source, struct weir_context *context,
                 struct connection *connection)
{
    descriptor_close(connection->fd);
    block_free(&connection->in, weir_memory(context));
    *connection = (struct connection){.fd = -1};
    source->open_count--;
    if (source->refused_ns == 0)
        set_accepting(source, true);
}

/* The peer is told why, if it listens. */
static void refuse(struct socket_source *source, struct weir_context *context,
                   struct connection *connection, const char *why)
{
    char text[80];
    int size = snprintf(text, sizeof text, "error %s\n", why);
    if (connection->out_size == 0) /* not into the middle of a count */
        descriptor_send(connection->fd, text, (size_t)size);
    weir_log(context, "%s: a client is cut off: %s", weir_node_name(context), why);
    drop(source, context, connection);
}

static void accept_one(struct socket_source *source, struct weir_context *context, int fd)
{
    int os_error;
    struct connection *connection = source->connections;
    while (connection->state != FREE)
        connection++;
    *connection = (struct connection){
        .state = GREETING_DUE, .fd = fd, .entry = LEDGER_NONE, .told = UINT64_MAX};
    source->open_count++;
    if (!descriptor_watch(source->set, fd, tag_of(source, connection), false, &os_error))
        refuse(source, context, connection, "the system refuses to wait for it");
}

static void accept_all(struct socket_source *source, struct weir_context *context)
{
    int os_error = 0;
    while (source->open_count < source->options->clients) {
        int fd = descriptor_accept(source->listener, &os_error);
        if (fd < 0)
            break;
        accept_one(source, context, fd);
    }
    if (source->open_count == source->options->clients)
        set_accepting(source, false);
    if (os_error == 0)
        return;
    weir_log(context, "%s: can't accept clients now (errno %d)", weir_node_name(context), os_error);
    source->refused_ns = weir_now(context) + REFUSED_NS;
    set_accepting(source, false);
}

/* ---------------------------------------------------------------------------- their lines -- */

/* What of the buffer is whole lines, and how many. */
struct portion {
    size_t size;    /* with the last newline; of lines that are records */
    size_t used;    /* the same with the end line */
    uint32_t lines; /* in `used` */
    bool end;       /* the end line was among them */
    bool too_long;  /* a line was, or is already */
};

static bool is_end_line(const struct socket_source *source, const unsigned char *line, size_t size)
{
    const char *end = source->options->end_line;
    return end && strlen(end) == size && memcmp(end, line, size) == 0;
}

static struct portion measure(const struct socket_source *source, struct connection *connection)
{
    struct portion portion = {0};
    const struct block *in = &connection->in;
    while (!portion.end && !portion.too_long && connection->scanned < in->size) {
        const unsigned char *line = in->data + portion.used;
        const unsigned char *newline =
            memchr(in->data + connection->scanned, '\n', in->size - connection->scanned);
        connection->scanned = newline ? (size_t)(newline - in->data) + 1 : in->size;
        size_t size = newline ? (size_t)(newline - line) : in->size - portion.used;
        portion.too_long = size > source->options->line_bytes;
        if (portion.too_long || !newline)
            break;
        portion.end = is_end_line(source, line, size);
        portion.used = connection->scanned;
        portion.size = portion.end ? portion.size : portion.used;
        portion.lines++;
    }
    return portion;
}

static void remove_front(struct connection *connection, size_t size)
{
    struct block *in = &connection->in;
    in->size -= size;
    if (in->size > 0 && size > 0)
        memmove(in->data, in->data + size, in->size);
    connection->scanned = connection->scanned > size ? connection->scanned - size : 0;
}

/* S1 */
static enum weir_result append(struct socket_source *source, struct weir_context *context,
                               const struct connection *connection, const struct portion *portion)
{
    struct line_feed *feed = &source->feed;
    enum weir_result result = WEIR_OK;
    if (feed->journaled && journal_is_full(&feed->journal))
        result = line_feed_roll(feed, context, ledger_opening(&source->ledger));
    if (result != WEIR_OK)
        return result;
    struct weir_bytes head = ledger_chunk(&source->ledger, weir_memory(context),
                                          portion->end ? LINE_FEED_END : LINE_FEED_TEXT,
                                          connection->entry, portion->lines);
    if (head.size == 0)
        return block_none(context);
    result = line_feed_append(feed, context, head,
                              (struct weir_bytes){connection->in.data, portion->size});
    if (result != WEIR_OK)
        return result;
    ledger_add(&source->ledger, connection->entry, portion->lines);
    source->owing |= connection->state == ACKNOWLEDGED;
    return WEIR_OK;
}

/* Takes the whole lines out of the buffer; answers their bytes. The connection may be gone then. */
static size_t take_lines(struct socket_source *source, struct weir_context *context,
                         struct connection *connection)
{
    struct portion portion = measure(source, connection);
    if (portion.lines > 0 && append(source, context, connection, &portion) != WEIR_OK)
        return portion.used;
    remove_front(connection, portion.used);
    if (portion.too_long)
        refuse(source, context, connection, "a line is too long");
    return portion.used;
}

/* A client that comes again is believed to have lost its old connection; what that had sent and was
 * not taken is not counted, so it will be sent again. */
static void greet(struct socket_source *source, struct weir_context *context,
                  struct connection *connection, const char *id, size_t size)
{
    if (!source->feed.journaled) {
        refuse(source, context, connection, "nothing is acknowledged here: there is no journal");
        return;
    }
    if (!ledger_id_is_sound(id, size)) {
        refuse(source, context, connection, "an id is 1 to 63 letters, digits, dots and dashes");
        return;
    }
    uint32_t entry = ledger_entry(&source->ledger, weir_memory(context), id, size);
    if (entry == LEDGER_NONE) {
        refuse(source, context, connection, "there are too many clients with an id");
        return;
    }
    for (uint32_t i = 0; i < source->options->clients; i++) {
        struct connection *older = &source->connections[i];
        if (older->state == ACKNOWLEDGED && older->entry == entry)
            refuse(source, context, older, "a newer connection has this id");
    }
    connection->state = ACKNOWLEDGED;
    connection->entry = entry;
    source->owing = true;
}

static bool is_greeting(const struct block *in)
{
    return in->size >= sizeof GREETING - 1 && memcmp(in->data, GREETING, sizeof GREETING - 1) == 0;
}

/* The first line tells which kind of client it is. */
static void read_greeting(struct socket_source *source, struct weir_context *context,
                          struct connection *connection)
{
    const struct block *in = &connection->in;
    const unsigned char *newline = in->size > 0 ? memchr(in->data, '\n', in->size) : NULL;
    if (!newline && in->size <= source->options->line_bytes)
        return;
    if (!newline || !is_greeting(in)) {
        connection->state = PLAIN;
        return;
    }
    size_t size = (size_t)(newline - in->data);
    char id[LEDGER_ID_LIMIT + 1] = "";
    size_t id_size = size - (sizeof GREETING - 1);
    memcpy(id, in->data + sizeof GREETING - 1, id_size <= LEDGER_ID_LIMIT ? id_size : 0);
    remove_front(connection, size + 1);
    connection->scanned = 0;
    greet(source, context, connection, id, id_size);
}

/* A plain client's last line needs no newline. An acknowledged one's without it was not counted,
 * and a greeting without it is no line: who sent it died, and comes again. */
static size_t take_end(struct socket_source *source, struct weir_context *context,
                       struct connection *connection)
{
    size_t used = 0;
    bool rest = connection->in.size > 0;
    if (connection->state == GREETING_DUE && !is_greeting(&connection->in))
        connection->state = PLAIN;
    if (rest && connection->state == PLAIN) {
        if (!block_append(&connection->in, weir_memory(context), "\n", 1)) {
            block_none(context);
            return 0;
        }
        used = take_lines(source, context, connection);
    }
    if (connection->state != FREE)
        drop(source, context, connection);
    return used;
}

/* One read of one client. Answers the bytes of lines that came of it. */
static size_t receive(struct socket_source *source, struct weir_context *context,
                      struct connection *connection)
{
    size_t got;
    int os_error;
    struct block *in = &connection->in;
    if (in->room - in->size < READ_BYTES && /* twice as much, for long lines */
        !block_reserve(in, weir_memory(context), 2 * in->size + READ_BYTES)) {
        block_none(context);
        return 0;
    }
    switch (descriptor_receive(connection->fd, in->data + in->size, READ_BYTES, &got, &os_error)) {
    case DESCRIPTOR_BYTES:
        in->size += got;
        break;
    case DESCRIPTOR_NOTHING:
        return 0;
    case DESCRIPTOR_END:
        return take_end(source, context, connection);
    case DESCRIPTOR_FAILED: /* it broke off; a line that was begun is not believed */
        drop(source, context, connection);
        return 0;
    }
    if (connection->state == GREETING_DUE)
        read_greeting(source, context, connection);
    return connection->state == PLAIN || connection->state == ACKNOWLEDGED
               ? take_lines(source, context, connection)
               : 0;
}

/* -------------------------------------------------------------------------------- counts -- */

static void send_out(struct socket_source *source, struct connection *connection)
{
    size_t sent = descriptor_send(connection->fd, connection->out, connection->out_size);
    connection->out_size -= sent;
    if (sent > 0)
        memmove(connection->out, connection->out + sent, connection->out_size);
    descriptor_watch_for(source->set, connection->fd, tag_of(source, connection), true,
                         connection->out_size > 0);
}

/* S2: called after a sync only. */
static void tell_counts(struct socket_source *source)
{
    source->owing = false;
    for (uint32_t i = 0; i < source->options->clients; i++) {
        struct connection *connection = &source->connections[i];
        if (connection->state != ACKNOWLEDGED)
            continue;
        uint64_t count = ledger_count(&source->ledger, connection->entry);
        if (connection->told == count)
            continue;
        if (connection->out_size > 0) { /* it does not listen; the newest count is told later */
            source->owing = true;
            continue;
        }
        connection->out_size = (size_t)snprintf(connection->out, sizeof connection->out, "%llu\n",
                                                (unsigned long long)count);
        connection->told = count;
        send_out(source, connection);
    }
}

/* At most one sync each sync_ns; the first after a pause at once. */
static enum weir_result acknowledge(struct socket_source *source, struct weir_context *context,
                                    bool at_once)
{
    if (!source->owing)
        return WEIR_OK;
    int64_t now = weir_now(context);
    if (!at_once && now < source->synced_ns + source->options->sync_ns)
        return WEIR_OK;
    enum weir_result result = journal_sync(&source->feed.journal, context);
    if (result != WEIR_OK)
        return result;
    source->synced_ns = now;
    tell_counts(source);
    return WEIR_OK;
}

/* ---------------------------------------------------------------------------------- poll -- */

/* Answers the bytes that were taken: 0, when no client had a whole line. */
static size_t serve(struct socket_source *source, struct weir_context *context)
{
    uint32_t tags[32];
    size_t taken = 0, count = descriptor_ready(source->set, tags, sizeof tags / sizeof tags[0]);
    for (size_t i = 0; i < count && taken < BUDGET_BYTES && !source->feed.ended; i++) {
        if (tags[i] == LISTENER) {
            accept_all(source, context);
            continue;
        }
        struct connection *connection = &source->connections[tags[i] - 1];
        if (connection->state != FREE && connection->out_size > 0)
            send_out(source, connection);
        if (connection->state != FREE)
            taken += receive(source, context, connection);
    }
    return taken;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static enum weir_progress rest(struct socket_source *source, struct weir_context *context)
{
    int64_t deadline = INT64_MAX;
    if (source->owing)
        deadline = earlier(deadline, source->synced_ns + source->options->sync_ns);
    if (source->refused_ns > 0)
        deadline = earlier(deadline, source->refused_ns);
    return weir_idle(context, deadline, source->set);
}

static enum weir_progress take_some(struct socket_source *source, struct weir_context *context)
{
    if (source->refused_ns > 0 && weir_now(context) >= source->refused_ns) {
        source->refused_ns = 0;
        set_accepting(source, source->open_count < source->options->clients);
    }
    return serve(source, context) > 0 ? WEIR_MORE : WEIR_IDLE;
}

/* One line, one chunk, or one look at the clients. `drain`: nothing new is taken. */
static enum weir_progress step(struct socket_source *source, struct weir_context *context,
                               bool drain, struct budget *budget)
{
    struct weir_bytes line;
    switch (line_feed_next(&source->feed, context, &line)) {
    case LINE_FEED_LINE:
        budget_emit(budget, context, line);
        return WEIR_MORE;
    case LINE_FEED_MORE:
        budget->reads++;
        return WEIR_MORE;
    case LINE_FEED_DRY:
        budget->reads++;
        return drain ? WEIR_END : take_some(source, context);
    case LINE_FEED_OVER:
        return WEIR_END;
    case LINE_FEED_FAILED:
        break;
    }
    return WEIR_IDLE;
}

static enum weir_progress run(struct socket_source *source, struct weir_context *context,
                              bool drain)
{
    struct budget budget = {.most = BUDGET_RECORDS};
    enum weir_progress progress = WEIR_MORE;
    while (progress == WEIR_MORE && budget_is_left(&budget))
        progress = step(source, context, drain, &budget);
    if (drain || progress == WEIR_END)
        stop_listening(source);
    if (acknowledge(source, context, progress == WEIR_END) != WEIR_OK)
        return WEIR_IDLE;
    return progress == WEIR_IDLE ? rest(source, context) : progress;
}

static enum weir_progress source_poll(void *self, struct weir_context *context)
{
    return run(self, context, false);
}

/* After a drain: what is in the journal was acknowledged, so it still goes out. */
static enum weir_progress source_finish(void *self, struct weir_context *context)
{
    return run(self, context, true);
}

/* --------------------------------------------------------------------------- checkpoints -- */

static enum weir_result source_prepare(void *self, struct weir_context *context, uint64_t id)
{
    struct socket_source *source = self;
    (void)id;
    return line_feed_prepare(&source->feed, context);
}

static enum weir_result source_commit(void *self, struct weir_context *context,
                                      struct weir_bytes handle)
{
    struct socket_source *source = self;
    return line_feed_commit(&source->feed, context, handle);
}

static enum weir_result source_save(void *self, struct weir_context *context,
                                    struct weir_saver *saver)
{
    const struct socket_source *source = self;
    (void)context;
    line_feed_save(&source->feed, saver);
    return WEIR_OK;
}

static void source_close(void *self, struct weir_context *context)
{
    struct socket_source *source = self;
    const struct weir_allocator *allocator = weir_memory(context);
    for (uint32_t i = 0; source->connections && i < source->options->clients; i++)
        if (source->connections[i].state != FREE)
            drop(source, context, &source->connections[i]);
    stop_listening(source);
    descriptor_close(source->set);
    block_drop(allocator, source->connections);
    ledger_free(&source->ledger, allocator);
    line_feed_close(&source->feed, allocator);
}

#define SOCKET_TABLE(promise)                                                                      \
    {                                                                                              \
        WEIR_SIZED(struct weir_operator),                                                          \
            .kind = "socket_source", .self_size = sizeof(struct socket_source), .version = 1,      \
            .guarantee = promise, .open = source_open, .poll = source_poll,                        \
            .finish = source_finish, .prepare = source_prepare, .commit = source_commit,           \
            .save = source_save, .load = source_load, .close = source_close,                       \
    }

static const struct weir_operator journaled_table = SOCKET_TABLE(WEIR_EXACTLY_ONCE);
static const struct weir_operator plain_table = SOCKET_TABLE(WEIR_AT_LEAST_ONCE);

/* NULL, or what is wrong. */
static const char *fault_of(const struct weir_socket_source_options *options)
{
    if ((options->path != NULL) == (options->port != 0))
        return "give it the path of a Unix socket, or a port";
    if (options->path && (options->path[0] == '\0' || strlen(options->path) > 107))
        return "the path of a socket has 1 to 107 bytes";
    if (options->clients > CLIENTS_LIMIT)
        return "more than 1000 clients";
    if (options->line_bytes > WEIR_VALUE_LIMIT)
        return "line_bytes is over 16 MiB";
    if (options->sync_ns < 0)
        return "sync_ns is negative";
    if (options->retain > LINE_FEED_RETAIN_LIMIT)
        return "retain is over 64";
    if (options->end_line && strchr(options->end_line, '\n'))
        return "the end line holds a newline";
    return NULL;
}

static void fill_in(struct weir_socket_source_options *options)
{
    if (options->clients == 0)
        options->clients = CLIENTS;
    if (options->line_bytes == 0)
        options->line_bytes = LINE_BYTES;
    if (options->sync_ns == 0)
        options->sync_ns = SYNC_NS;
    if (options->retain == 0)
        options->retain = 3;
}

weir_node weir_socket_source(struct weir_graph *graph, const char *name,
                             const struct weir_socket_source_options *given)
{
    struct weir_socket_source_options options;
    if (!node_options(graph, name, given, &options, sizeof options))
        return NODE_NONE;
    const char *fault = fault_of(&options);
    if (fault) {
        weir_graph_fail(graph, "node %s: %s", name, fault);
        return NODE_NONE;
    }
    fill_in(&options);
    if (options.path && !(options.path = weir_graph_keep_text(graph, options.path)))
        return NODE_NONE;
    if (options.end_line && !(options.end_line = weir_graph_keep_text(graph, options.end_line)))
        return NODE_NONE;
    const void *config = weir_graph_keep(graph, &options, sizeof options);
    const struct weir_operator *table = options.journal ? &journaled_table : &plain_table;
    return config ? node_add(graph, name, table, config, 1) : NODE_NONE;
}
