/* SPDX-License-Identifier: Apache-2.0
 *
 * detour: a bad network between the tasks of one process. Connections that detour_shim sends here
 * go on to the port that was wanted, but their bytes pass through a `detour_line` each way: they
 * are delayed and cut into pieces, messages overtake each other and come twice, and connections
 * break after the k-th byte.
 *
 *     detour SEED CUTS [delay] [pieces] [reorder] [duplicates] [loss]
 *
 * It says "port P" when it can be reached, tells of every cut, and sums up when SIGTERM ends it. At
 * most CUTS connections are cut; with `loss` each one later and within a batch, so that something
 * is lost. It ends with the process that started it.
 *
 * The number of a connection is the order in which it came; what becomes of it is drawn from the
 * seed by that number. ZeroMQ's one I/O thread connects in the order of the calls, so the first
 * connections of a job bear the same numbers each time.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "detour_line.h"
#include "explore.h"

#define PASSAGES 256   /* at one time */
#define MESSAGE_BITS 8 /* of the number of the message where a connection is cut, at most */
#define LOSS 150       /* the number of the message where one is lost: so many, or twice that */
#define READ_SIZE 65536

/* One connection; line i is read from files[i]. 0 is the writer, who has connected. */
struct passage {
    uint64_t number;
    unsigned port;
    int files[2];
    struct line lines[2];
    bool ended[2];   /* line i: nothing more will be read */
    bool blocked[2]; /* line i: wait until it can be written */
    bool reset;      /* when it is cut */
    bool with_all;   /* when it is cut, all are */
    bool over;       /* to be closed */
};

struct detour {
    uint64_t seed;
    unsigned conditions;
    bool loss;
    uint64_t cuts_left;
    int listener;
    struct passage *passages[PASSAGES];
    size_t count;
    uint64_t connections;
    uint64_t cuts[LINE_PLACES]; /* LINE_NOWHERE: went with another one */
    struct line_counts counts;  /* of closed ones */
};

static volatile sig_atomic_t told_to_end;

static void on_term(int number)
{
    (void)number;
    told_to_end = 1;
}

/* error 0: there is none to name. */
static void die(const char *what, int error)
{
    printf("detour: %s%s%s\n", what, error ? ": " : "", error ? strerror(error) : "");
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- passages ---- */

/* Cuts within a greeting or a handshake lose nothing, so they are fewer; no message goes back from
 * the reader, so only those cut that line. The number of the message is small more often than
 * large. */
static void plan_cut(struct line_options options[2], uint64_t *chance)
{
    static const enum line_place places[] = {LINE_GREETING, LINE_HANDSHAKE, LINE_BETWEEN,
                                             LINE_BETWEEN,  LINE_HEADER,    LINE_HEADER,
                                             LINE_PAYLOAD,  LINE_PAYLOAD};
    enum line_place place = places[explore_below(chance, sizeof places / sizeof places[0])];
    uint32_t bits = 2 + explore_below(chance, MESSAGE_BITS - 1);
    bool back = explore_below(chance, 2) == 0 && place <= LINE_HANDSHAKE;

    options[back].cut = place;
    options[back].message = 1 + explore_below(chance, UINT32_C(1) << bits);
}

/* Two in five are to be cut, and one of the first eight in any case; when something is to be lost,
 * all. */
static void plan(const struct detour *detour, struct passage *passage)
{
    uint64_t first = 1 + detour->seed % 8;
    uint64_t chance = explore_mix(detour->seed ^ explore_mix(passage->number));
    struct line_options options[2] = {{.conditions = detour->conditions},
                                      {.conditions = detour->conditions}};

    options[0].seed = explore_random(&chance);
    options[1].seed = explore_random(&chance);
    passage->reset = explore_below(&chance, 2) == 0;
    passage->with_all = explore_below(&chance, 4) == 0;
    if (detour->loss && detour->cuts_left > 0) {
        options[0].cut = LINE_BATCH;
        options[0].message = LOSS + explore_below(&chance, LOSS);
    } else if (detour->cuts_left > 0 && (explore_below(&chance, 5) < 2 || passage->number == first))
        plan_cut(options, &chance);
    line_init(&passage->lines[0], &options[0]);
    line_init(&passage->lines[1], &options[1]);
}

static int connect_to(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int file = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (file < 0)
        die("socket", errno);
    if (connect(file, (struct sockaddr *)&address, sizeof address) == 0)
        return file;
    close(file);
    return -1;
}

static void open_passage(struct detour *detour, int writer, unsigned port)
{
    int reader = connect_to(port), yes = 1;
    struct passage *passage;

    if (reader < 0) { /* it has gone */
        close(writer);
        return;
    }
    passage = calloc(1, sizeof *passage);
    if (passage == NULL || detour->count == PASSAGES)
        die("too many connections", 0);
    passage->number = ++detour->connections;
    passage->port = port;
    passage->files[0] = writer;
    passage->files[1] = reader;
    setsockopt(writer, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(reader, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    plan(detour, passage);
    detour->passages[detour->count++] = passage;
}

/* The address it was reached at says which port is wanted. */
static void accept_one(struct detour *detour)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    int writer = accept4(detour->listener, NULL, NULL, SOCK_CLOEXEC);
    uint32_t host;

    if (writer < 0)
        return;
    if (getsockname(writer, (struct sockaddr *)&address, &size) != 0)
        die("getsockname", errno);
    host = ntohl(address.sin_addr.s_addr);
    if (host >> 16 == 0x7f01)
        open_passage(detour, writer, host & 0xffff);
    else
        close(writer);
}

static void add_counts(struct line_counts *to, const struct line_counts *more)
{
    to->messages += more->messages;
    for (int kind = 0; kind < LINE_KINDS; kind++) {
        to->overtaken[kind] += more->overtaken[kind];
        to->twice[kind] += more->twice[kind];
    }
}

static void close_passage(struct detour *detour, struct passage *passage)
{
    for (int i = 0; i < 2; i++) {
        if (passage->lines[i].failed)
            die("what came is not ZMTP, or there is no memory for it", 0);
        add_counts(&detour->counts, &passage->lines[i].counts);
        line_free(&passage->lines[i]);
        close(passage->files[i]);
    }
    free(passage);
}

static void sweep(struct detour *detour)
{
    size_t kept = 0;

    for (size_t i = 0; i < detour->count; i++) {
        struct passage *passage = detour->passages[i];
        if (passage->over)
            close_passage(detour, passage);
        else
            detour->passages[kept++] = passage;
    }
    detour->count = kept;
}

/* ---- cuts ---- */

static void break_off(struct passage *passage, bool reset)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    for (int i = 0; reset && i < 2; i++)
        setsockopt(passage->files[i], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    passage->over = true;
}

static void cut(struct detour *detour, struct passage *passage, const struct line *line)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    printf("cut at %lld.%03ld: connection %" PRIu64 " to port %u, %s, %s%s\n",
           (long long)now.tv_sec, now.tv_nsec / 1000000, passage->number, passage->port,
           line->cut_what, passage->reset ? "reset" : "closed",
           passage->with_all ? ", and all others with it" : "");
    detour->cuts[line->options.cut]++;
    break_off(passage, passage->reset);
    for (size_t i = 0; passage->with_all && i < detour->count; i++) {
        struct passage *other = detour->passages[i];
        if (other->over)
            continue;
        detour->cuts[LINE_NOWHERE]++;
        break_off(other, passage->reset);
    }
    if (--detour->cuts_left > 0)
        return;
    for (size_t i = 0; i < detour->count; i++) {
        line_spare(&detour->passages[i]->lines[0]);
        line_spare(&detour->passages[i]->lines[1]);
    }
}

/* ---- bytes ---- */

static void read_line(struct passage *passage, int i)
{
    static unsigned char bytes[READ_SIZE];
    ssize_t size = recv(passage->files[i], bytes, sizeof bytes, MSG_DONTWAIT);

    if (size > 0)
        (void)line_feed(&passage->lines[i], bytes, (size_t)size, now_ns());
    else if (size == 0 || (errno != EAGAIN && errno != EINTR))
        passage->ended[i] = true;
}

static void write_line(struct passage *passage, int i)
{
    struct line *line = &passage->lines[i];
    const unsigned char *bytes;
    size_t ready;

    passage->blocked[i] = false;
    while ((ready = line_ready(line, now_ns(), &bytes)) > 0) {
        ssize_t size = send(passage->files[1 - i], bytes, ready, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (size < 0) {
            passage->blocked[i] = errno == EAGAIN || errno == EINTR;
            passage->over = !passage->blocked[i];
            return;
        }
        line_sent(line, (size_t)size, now_ns());
    }
}

/* A reader that has gone ends it at once, a writer when all it wrote has passed. */
static void serve(struct detour *detour, struct passage *passage)
{
    for (int i = 0; i < 2 && !passage->over; i++) {
        write_line(passage, i);
        if (!passage->over && line_is_cut(&passage->lines[i]))
            cut(detour, passage, &passage->lines[i]);
    }
    if (passage->ended[1] || (passage->ended[0] && line_is_empty(&passage->lines[0])) ||
        passage->lines[0].failed || passage->lines[1].failed)
        passage->over = true;
}

/* ---- the loop ---- */

static void wait_for_some(const struct detour *detour, struct pollfd *polled,
                          const sigset_t *signals)
{
    int64_t due_ns = INT64_MAX, now = now_ns();
    struct timespec left = {0};

    polled[0] = (struct pollfd){.fd = detour->listener, .events = POLLIN};
    for (size_t i = 0; i < detour->count; i++) {
        const struct passage *passage = detour->passages[i];
        for (int side = 0; side < 2; side++) {
            int64_t due = line_due_ns(&passage->lines[side], now);
            due_ns = due < due_ns ? due : due_ns;
            polled[1 + 2 * i + (size_t)side] =
                (struct pollfd){.fd = passage->ended[side] ? -1 : passage->files[side],
                                .events = passage->blocked[1 - side] ? POLLIN | POLLOUT : POLLIN};
        }
    }
    if (due_ns > now && due_ns != INT64_MAX) {
        left.tv_sec = (due_ns - now) / 1000000000;
        left.tv_nsec = (due_ns - now) % 1000000000;
    }
    if (ppoll(polled, 1 + 2 * detour->count, due_ns == INT64_MAX ? NULL : &left, signals) < 0)
        polled[0].revents = 0; /* a signal */
}

static void turn(struct detour *detour, const sigset_t *signals)
{
    struct pollfd polled[1 + 2 * PASSAGES];
    size_t count = detour->count;

    wait_for_some(detour, polled, signals);
    if (told_to_end)
        return;
    for (size_t i = 0; i < count; i++)
        for (int side = 0; side < 2; side++)
            if ((polled[1 + 2 * i + (size_t)side].revents & ~POLLOUT) != 0)
                read_line(detour->passages[i], side);
    for (size_t i = 0; i < count; i++)
        serve(detour, detour->passages[i]);
    sweep(detour);
    if ((polled[0].revents & POLLIN) != 0)
        accept_one(detour);
}

static void sum_up(const struct detour *detour)
{
    const struct line_counts *counts = &detour->counts;

    printf("sum connections=%" PRIu64 " messages=%" PRIu64 " items_overtaken=%" PRIu64
           " credits_overtaken=%" PRIu64 " items_twice=%" PRIu64 " credits_twice=%" PRIu64,
           detour->connections, counts->messages, counts->overtaken[LINE_ITEM],
           counts->overtaken[LINE_CREDIT], counts->twice[LINE_ITEM], counts->twice[LINE_CREDIT]);
    printf(" cut_in_greeting=%" PRIu64 " cut_in_handshake=%" PRIu64 " cut_between=%" PRIu64
           " cut_in_header=%" PRIu64 " cut_in_payload=%" PRIu64 " cut_in_batch=%" PRIu64
           " cut_with_another=%" PRIu64 "\n",
           detour->cuts[LINE_GREETING], detour->cuts[LINE_HANDSHAKE], detour->cuts[LINE_BETWEEN],
           detour->cuts[LINE_HEADER], detour->cuts[LINE_PAYLOAD], detour->cuts[LINE_BATCH],
           detour->cuts[LINE_NOWHERE]);
}

/* ---- the beginning ---- */

/* On all addresses, for those that are asked for are many; from outside none of them answers. */
static void listen_anywhere(struct detour *detour)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
    socklen_t size = sizeof address;

    detour->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (detour->listener < 0 ||
        bind(detour->listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(detour->listener, 128) != 0 ||
        getsockname(detour->listener, (struct sockaddr *)&address, &size) != 0)
        die("a port to listen on", errno);
    printf("port %u\n", ntohs(address.sin_port));
}

static unsigned condition_named(const char *name)
{
    static const char *const names[] = {"delay", "pieces", "reorder", "duplicates"};

    for (unsigned i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0)
            return 1u << i;
    printf("detour: there is no condition %s\n", name);
    exit(2);
}

/* SIGTERM comes in only while the loop waits. */
static sigset_t expect_signals(void)
{
    sigset_t blocked, waiting;

    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, &waiting);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_term}, NULL);
    return waiting;
}

int main(int argc, char **argv)
{
    pid_t parent = getppid();
    struct detour detour = {0};
    sigset_t signals;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        return 1;
    if (argc < 3) {
        printf("usage: detour SEED CUTS [delay] [pieces] [reorder] [duplicates] [loss]\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    detour.seed = explore_mix(strtoull(argv[1], NULL, 10));
    detour.cuts_left = strtoull(argv[2], NULL, 10);
    for (int i = 3; i < argc; i++)
        if (strcmp(argv[i], "loss") == 0)
            detour.loss = true;
        else
            detour.conditions |= condition_named(argv[i]);
    signals = expect_signals();
    listen_anywhere(&detour);
    while (!told_to_end)
        turn(&detour, &signals);
    while (detour.count > 0)
        close_passage(&detour, detour.passages[--detour.count]);
    sum_up(&detour);
    return 0;
}
