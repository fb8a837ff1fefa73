/* links: operators fake_context */
/* SPDX-License-Identifier: Apache-2.0
 *
 * The socket source with clients of every kind on a Unix socket: acknowledged ones over deaths
 * between all steps, power cuts and at every file call, plain ones, and bad ones.
 */
#include "exercised.h"
#include "explore.h"
#include "feed_bed.h"
#include "weir_operators.h"

#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#define MS INT64_C(1000000)

static struct scratch scratch;
static struct feed_bed bed;
static char path[192];

static void set_up(void)
{
    scratch = scratch_make();
    fake_files_reset();
    feed_bed_init(&bed, scratch.path);
    snprintf(path, sizeof path, "%s/socket", scratch.path);
}

static void tear_down(void)
{
    fake_files_reset();
    feed_bed_free(&bed);
    scratch_free(&scratch);
}

static struct weir_socket_source_options standard(void)
{
    return (struct weir_socket_source_options){WEIR_SIZED(struct weir_socket_source_options),
                                               .path = path, .journal = true, .end_line = "END"};
}

static void add_source(const struct weir_socket_source_options *options)
{
    bed.graph->count = 0;
    bed.node = weir_socket_source(bed.graph, "socket", options);
    cr_assert_str_eq(bed.graph->error, "");
}

static void start(void)
{
    cr_assert_eq(feed_bed_start(&bed), WEIR_OK, "%s", bed.task.failed.text);
}

static void start_standard(void)
{
    struct weir_socket_source_options options = standard();
    add_source(&options);
    start();
}

/* Polls, with time passing, so that counts are told. */
static enum weir_progress serve(void)
{
    enum weir_progress progress = WEIR_IDLE;
    for (unsigned i = 0; i < 3 && progress == WEIR_IDLE; i++) {
        bed.task.run.now_ns += 20 * MS;
        progress = feed_bed_poll(&bed);
    }
    bed.run.now_ns = bed.task.run.now_ns;
    return progress;
}

/* ---- clients ---- */

static int connect_to(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    strcpy(address.sun_path, path);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0, "%s",
                 strerror(errno));
    return fd;
}

/* Gone peers are expected. */
static bool put(int fd, const char *text)
{
    return send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

/* What has come, "" for nothing; NULL when the connection is over. */
static const char *get(int fd)
{
    static char text[4096];
    ssize_t got = recv(fd, text, sizeof text - 1, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN))
        return NULL;
    text[got > 0 ? got : 0] = '\0';
    return text;
}

static int greeted(const char *id, const char *count)
{
    int fd = connect_to();
    char text[100];
    snprintf(text, sizeof text, "weir 1 %s\n", id);
    cr_assert(put(fd, text));
    serve();
    const char *answer = get(fd);
    cr_assert(answer);
    cr_assert_str_eq(answer, count);
    return fd;
}

static void expect_cut_off(int fd, const char *why)
{
    serve();
    const char *answer = get(fd);
    cr_assert(answer);
    cr_expect(strncmp(answer, "error ", 6) == 0 && strstr(answer, why), "%s", answer);
    cr_expect_null(get(fd));
    close(fd);
}

/* ---- plain clients ---- */

Test(socket_source, lines_of_many_plain_clients, .init = set_up, .fini = tear_down)
{
    start_standard();
    int a = connect_to(), b = connect_to();
    put(a, "a1\na2\nhalf");
    put(b, "b1\n");
    serve();
    cr_expect_str_eq(bed.out, "a1\na2\nb1\n");
    put(a, " and half\n");
    put(b, "b2, without newline");
    close(b);
    serve();
    cr_expect_str_eq(bed.out, "a1\na2\nb1\nhalf and half\nb2, without newline\n");
    cr_expect_str_eq(get(a), "");
    close(a);
    fake_end(&bed.task);
    cr_expect_not(scratch_exists(path));
}

Test(socket_source, a_port_of_this_machine, .init = set_up, .fini = tear_down)
{
    struct weir_socket_source_options options = standard();
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* to find a free one */
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, size), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    options.path = NULL;
    options.port = ntohs(address.sin_port);
    add_source(&options);
    start();
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, size), 0);
    put(fd, "weir 1 x\n");
    char answer[3] = "";
    for (unsigned i = 0; i < 1000000 && recv(fd, answer, 2, MSG_DONTWAIT) != 2; i++)
        serve();
    cr_expect_str_eq(answer, "0\n");
    /* While it listens, nobody else can. */
    struct weir_context second;
    struct fake_run run = {0};
    options.journal = false;
    add_source(&options);
    cr_expect_eq(fake_start(&second, bed.graph, bed.node, &run), WEIR_IO);
    cr_expect(strstr(second.failed.text, "somebody listens"), "%s", second.failed.text);
    fake_end(&second);
    close(fd);
    fake_end(&bed.task);
}

/* ---- acknowledged clients ---- */

Test(socket_source, counts_are_told_after_a_sync, .init = set_up, .fini = tear_down)
{
    start_standard();
    int fd = greeted("a", "0\n");
    fake_file_trace[0] = '\0';
    put(fd, "1\n");
    feed_bed_poll(&bed); /* nobody was told for a while: at once */
    cr_expect_str_eq(get(fd), "1\n");
    cr_expect_str_eq(fake_file_trace, "ws");
    put(fd, "2\n3");
    feed_bed_poll(&bed); /* no time has passed since the last sync */
    cr_expect_str_eq(get(fd), "");
    cr_expect_str_eq(fake_file_trace, "wsw");
    cr_expect_str_eq(bed.out, "1\n2\n"); /* the lines do not wait for it */
    cr_expect_eq(bed.task.deadline_ns, bed.task.run.now_ns + 20 * MS);
    serve();
    cr_expect_str_eq(get(fd), "2\n");
    cr_expect_str_eq(fake_file_trace, "wsws");
    close(fd);
    serve();
    fd = greeted("a", "2\n"); /* the begun third was not taken */
    put(fd, "3\n");
    serve();
    cr_expect_str_eq(get(fd), "3\n");
    cr_expect_str_eq(bed.out, "1\n2\n3\n");
    close(fd);
    fake_end(&bed.task);
}

/* A client that keeps its lines until they are acknowledged: after a break it sends them again. */
struct sender {
    int fd;
    unsigned sent, told; /* lines, of lines 1, 2, ... */
    bool greeted;
    char answer[256];
};

static void sender_break(struct sender *sender)
{
    if (sender->fd >= 0)
        close(sender->fd);
    *sender = (struct sender){.fd = -1, .told = sender->told};
}

static void sender_step(struct sender *sender, const char *id, uint64_t *random)
{
    char text[64];
    if (sender->fd < 0) {
        snprintf(text, sizeof text, "weir 1 %s\n", id);
        sender->fd = connect_to();
        if (!put(sender->fd, text))
            sender_break(sender);
        return;
    }
    const char *answer = get(sender->fd);
    if (!answer || strstr(answer, "error")) {
        sender_break(sender);
        return;
    }
    strcat(sender->answer, answer);
    char *line = sender->answer;
    for (char *end = strchr(line, '\n'); end; line = end + 1, end = strchr(line, '\n')) {
        unsigned told = (unsigned)atoi(line);
        cr_assert_geq(told, sender->told, "%s was told less than before", id);
        sender->told = told;
        if (!sender->greeted)
            sender->sent = told;
        sender->greeted = true;
    }
    memmove(sender->answer, line, strlen(line) + 1);
    for (uint32_t i = sender->greeted ? explore_below(random, 5) : 0; i > 0; i--) {
        snprintf(text, sizeof text, "%s%u\n", id, ++sender->sent);
        if (!put(sender->fd, text))
            break;
    }
}

/* Each client's lines are 1, 2, ... at least up to what it was told; the lines of both in any mix.
 */
static void expect_exact(const struct sender *a, const struct sender *b)
{
    unsigned next[2] = {0, 0};
    for (const char *line = bed.out; *line; line = strchr(line, '\n') + 1)
        cr_assert_eq((unsigned)atoi(line + 1), ++next[line[0] == 'b'], "line %.10s", line);
    cr_assert_geq(next[0], a->told);
    cr_assert_geq(next[1], b->told);
}

/* What of the newest segment is durable: all of it, once a sync was seen behind its last write. */
struct power {
    char path[512];
    off_t durable;
};

static void find_newest(struct power *power)
{
    char name[256] = "";
    DIR *folder = opendir(bed.folder);
    cr_assert(folder);
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder))
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, name) > 0)
            strcpy(name, entry->d_name);
    closedir(folder);
    snprintf(power->path, sizeof power->path, "%s/%s", bed.folder, name);
}

static off_t newest_size(struct power *power)
{
    struct stat status;
    find_newest(power);
    cr_assert_eq(stat(power->path, &status), 0);
    return status.st_size;
}

/* After any step: writes come before the sync of the same step, if there is one. */
static void note_syncs(struct power *power)
{
    const char *sync = strrchr(fake_file_trace, 's'), *write = strrchr(fake_file_trace, 'w');
    if (sync && (!write || write < sync))
        power->durable = newest_size(power);
    fake_file_trace[0] = '\0';
}

static void cut_power(struct power *power, uint64_t *random)
{
    off_t size = newest_size(power);
    feed_bed_die(&bed);
    cr_assert_leq(power->durable, size);
    uint32_t lost = explore_below(random, (uint32_t)(size - power->durable) + 1);
    cr_assert_eq(truncate(power->path, size - lost), 0);
    start();
}

static void act(struct power *power, struct sender *a, struct sender *b, uint64_t *random)
{
    switch (explore_below(random, 13)) {
    case 0:
        feed_bed_die(&bed);
        start();
        break;
    case 1:
        cr_assert(feed_bed_cut(&bed));
        break;
    case 12:
        cut_power(power, random);
        break;
    case 2:
        cr_assert_eq(feed_bed_commit(&bed), WEIR_OK);
        break;
    case 3:
        sender_break(explore_below(random, 2) ? a : b);
        break;
    case 4:
    case 5:
    case 6:
        cr_assert_eq(serve(), WEIR_IDLE, "%s", bed.task.failed.text);
        break;
    case 7:
        feed_bed_poll(&bed);
        break;
    case 8:
    case 9:
        sender_step(a, "a", random);
        break;
    default:
        sender_step(b, "b", random);
    }
}

Test(socket_source, acknowledged_lines_come_once_over_deaths_and_power_cuts, .init = set_up,
     .fini = tear_down)
{
    uint64_t random = explore_seed();
    struct sender a = {.fd = -1}, b = {.fd = -1};
    static struct power power;
    start_standard();
    note_syncs(&power);
    for (unsigned i = 0; i < 20000; i++) {
        act(&power, &a, &b, &random);
        note_syncs(&power);
    }
    sender_break(&a);
    sender_break(&b);
    serve();
    expect_exact(&a, &b);
    cr_expect_gt(a.told, 500);
    fake_end(&bed.task);
}

/* The n-th file call fails, and after it all: as if the process had died there. */
Test(socket_source, a_death_at_every_file_call, .init = set_up, .fini = tear_down)
{
    bool died = true;
    uint64_t deaths = 0;
    for (unsigned limit = 1; died; limit++) {
        uint64_t random = 7;
        struct sender a = {.fd = -1}, b = {.fd = -1};
        char folder[64];
        snprintf(folder, sizeof folder, "%s/%u", scratch.path, limit);
        mkdir(folder, 0700);
        feed_bed_free(&bed);
        feed_bed_init(&bed, folder);
        struct weir_socket_source_options options = standard();
        add_source(&options);
        fake_files_reset();
        fake_file_limit = limit;
        died = feed_bed_start(&bed) != WEIR_OK;
        for (unsigned i = 0; i < 60; i++) {
            if (!died) {
                sender_step(i % 2 ? &a : &b, i % 2 ? "a" : "b", &random);
                serve();
                if (i % 7 == 6 && bed.task.failed.code == WEIR_OK && feed_bed_cut(&bed))
                    feed_bed_commit(&bed);
            }
            if (!died && bed.task.failed.code == WEIR_OK)
                continue;
            died = true;
            break;
        }
        if (died) {
            feed_bed_die(&bed);
            fake_files_reset();
            start();
        }
        for (unsigned i = 0; i < 20; i++) {
            sender_step(i % 2 ? &a : &b, i % 2 ? "a" : "b", &random);
            serve();
        }
        sender_break(&a);
        sender_break(&b);
        serve();
        expect_exact(&a, &b);
        fake_end(&bed.task);
        deaths += died;
        cr_assert_lt(limit, 1000);
    }
    exercised(deaths);
}

Test(socket_source, a_newer_connection_of_an_id_ends_the_older, .init = set_up, .fini = tear_down)
{
    start_standard();
    int older = greeted("a", "0\n");
    put(older, "one\n");
    serve();
    cr_expect_str_eq(get(older), "1\n");
    int newer = greeted("a", "1\n");
    expect_cut_off(older, "newer connection");
    put(newer, "two\n");
    serve();
    cr_expect_str_eq(get(newer), "2\n");
    cr_expect_str_eq(bed.out, "one\ntwo\n");
    close(newer);
    fake_end(&bed.task);
}

Test(socket_source, nothing_is_acknowledged_without_a_journal, .init = set_up, .fini = tear_down)
{
    struct weir_socket_source_options options = standard();
    options.journal = false;
    add_source(&options);
    start();
    int fd = connect_to();
    put(fd, "weir 1 a\n");
    expect_cut_off(fd, "no journal");
    fake_end(&bed.task);
}

/* ---- ends ---- */

Test(socket_source, the_end_line_ends_it_for_good, .init = set_up, .fini = tear_down)
{
    start_standard();
    int plain = connect_to(), fd = greeted("a", "0\n");
    put(plain, "plain\n");
    serve();
    put(fd, "one\nEND\nnever\n");
    cr_expect_eq(serve(), WEIR_END);
    cr_expect_str_eq(get(fd), "2\n"); /* the end line counts, what follows it does not */
    cr_expect_str_eq(bed.out, "plain\none\n");
    cr_expect_not(scratch_exists(path));
    close(plain);
    close(fd);
    feed_bed_die(&bed); /* before any checkpoint */
    start();
    cr_expect_eq(serve(), WEIR_END);
    cr_expect_str_eq(bed.out, "plain\none\n");
    fake_end(&bed.task);
}

Test(socket_source, a_drain_hands_out_what_was_acknowledged, .init = set_up, .fini = tear_down)
{
    static char lines[600 * 5 + 1];
    start_standard();
    int fd = greeted("a", "0\n");
    for (int i = 0; i < 600; i++)
        snprintf(lines + 5 * i, 6, "%04d\n", i);
    put(fd, lines);
    bed.task.run.now_ns += 20 * MS;
    bed.task.table->poll(bed.task.self, &bed.task);
    cr_expect_str_eq(get(fd), "600\n");
    cr_assert_lt(bed.task.emitted_count, 600);
    put(fd, "more\n");
    while (bed.task.table->finish(bed.task.self, &bed.task) == WEIR_MORE)
        ;
    feed_bed_take(&bed);
    cr_expect_str_eq(bed.out, lines);
    close(fd);
    fake_end(&bed.task);
}

/* ---- bad peers ---- */

Test(socket_source, bad_greetings_are_told, .init = set_up, .fini = tear_down)
{
    static const char *const bad[] = {
        "weir 1 \n", "weir 1 a b\n", "weir 1 a/b\n", "weir 1 \xc3\xa4\n",
        "weir 1 0123456789012345678901234567890123456789012345678901234567890123\n"};
    start_standard();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int fd = connect_to();
        put(fd, bad[i]);
        expect_cut_off(fd, "an id is");
    }
    int fd = connect_to(); /* no greeting of this version: a line like others */
    put(fd, "weir 2 a\n");
    close(fd);
    serve();
    cr_expect_str_eq(bed.out, "weir 2 a\n");
    fake_end(&bed.task);
}

/* The client was killed while it greeted: what it sent is none of its lines. */
Test(socket_source, half_a_greeting_is_no_line, .init = set_up, .fini = tear_down)
{
    static const char *const halves[] = {"weir 1 ", "weir 1 a", "weir 1 a b"};
    start_standard();
    for (size_t i = 0; i < sizeof halves / sizeof halves[0]; i++) {
        int fd = connect_to();
        put(fd, halves[i]);
        serve();
        close(fd);
        serve();
    }
    cr_expect_str_eq(bed.out, "");
    int fd = connect_to(); /* a plain client's only line may begin so */
    put(fd, "weir 1");
    close(fd);
    serve();
    cr_expect_str_eq(bed.out, "weir 1\n");
    close(greeted("a", "0\n"));
    fake_end(&bed.task);
}

Test(socket_source, a_long_line_cuts_its_client_off, .init = set_up, .fini = tear_down)
{
    struct weir_socket_source_options options = standard();
    static char line[200 << 10];
    options.line_bytes = 1000;
    add_source(&options);
    start();
    memset(line, 'x', sizeof line - 1);
    for (int whole = 0; whole < 3; whole++) {
        int fd = whole < 2 ? connect_to() : greeted("a", "0\n");
        line[1001] = whole ? '\n' : 'x';
        cr_assert(put(fd, "before\n"));
        send(fd, line, 1100, MSG_NOSIGNAL);
        expect_cut_off(fd, "too long");
    }
    cr_expect_str_eq(bed.out, "before\nbefore\nbefore\n");
    int fd = connect_to();
    line[1000] = '\0';
    put(fd, line);
    put(fd, "\n");
    serve();
    cr_expect_eq(bed.out_size, 3 * 7 + 1001);
    close(fd);
    fake_end(&bed.task);
}

Test(socket_source, more_clients_than_places_wait, .init = set_up, .fini = tear_down)
{
    struct weir_socket_source_options options = standard();
    options.clients = 2;
    add_source(&options);
    start();
    int fds[4];
    for (int i = 0; i < 4; i++) {
        char text[8];
        fds[i] = i < 3 ? connect_to() : -1; /* the backlog takes one or two more */
        snprintf(text, sizeof text, "%d\n", i);
        if (fds[i] >= 0)
            put(fds[i], text);
    }
    serve();
    cr_expect_str_eq(bed.out, "0\n1\n");
    close(fds[0]);
    serve();
    serve();
    cr_expect_str_eq(bed.out, "0\n1\n2\n");
    close(fds[1]);
    close(fds[2]);
    fake_end(&bed.task);
}

Test(socket_source, a_client_that_does_not_listen_harms_nobody, .init = set_up, .fini = tear_down)
{
    start_standard();
    int deaf = greeted("deaf", "0\n"), fd = greeted("a", "0\n");
    int small = 1;
    setsockopt(deaf, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    unsigned sent = 0;
    for (unsigned i = 0; i < 30000; i++) {
        sent += put(deaf, "x\n");
        bed.task.run.now_ns += 20 * MS;
        cr_assert_neq(feed_bed_poll(&bed), WEIR_END);
        cr_assert_eq(bed.task.failed.code, WEIR_OK, "%s", bed.task.failed.text);
    }
    put(fd, "one\n");
    bed.run.now_ns = bed.task.run.now_ns;
    serve();
    cr_expect_str_eq(get(fd), "1\n");
    /* It listens at last: what it then hears ends with the newest count. */
    char last[4200] = "", expected[32];
    snprintf(expected, sizeof expected, "%u\n", sent);
    for (unsigned i = 0; i < 100000; i++) {
        const char *answer = get(deaf);
        cr_assert(answer);
        if (answer[0] == '\0' && strcmp(last, expected) == 0)
            break;
        size_t before = strlen(last);
        memcpy(last + before, answer, strlen(answer) + 1 < 4200 - before ? strlen(answer) + 1 : 0);
        char *line = last + strlen(last);
        while (line > last && (line == last + strlen(last) || line[-1] != '\n'))
            line--;
        memmove(last, line, strlen(line) + 1);
        serve();
    }
    cr_expect_str_eq(last, expected);
    close(deaf);
    close(fd);
    fake_end(&bed.task);
}

Test(socket_source, garbage_and_vanishing_clients_harm_nobody, .init = set_up, .fini = tear_down)
{
    uint64_t random = explore_seed();
    start_standard();
    for (unsigned i = 0; i < 2000; i++) {
        static char bytes[5000];
        uint32_t size = explore_below(&random, sizeof bytes);
        for (uint32_t at = 0; at < size; at++)
            bytes[at] = (char)explore_below(&random, 256);
        int fd = connect_to();
        if (i % 3 == 0)
            put(fd, "weir 1 garbage\n");
        ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
        (void)sent;
        if (i % 2)
            serve();
        close(fd);
        serve();
        cr_assert_eq(bed.task.failed.code, WEIR_OK, "%s", bed.task.failed.text);
    }
    int fd = greeted("sane", "0\n");
    put(fd, "still here\n");
    serve();
    cr_expect_str_eq(get(fd), "1\n");
    close(fd);
    fake_end(&bed.task);
}

/* ---- the socket's file ---- */

Test(socket_source, the_socket_is_the_owners_alone, .init = set_up, .fini = tear_down)
{
    struct stat status;
    mode_t before = umask(0);
    start_standard();
    umask(before);
    cr_assert_eq(stat(path, &status), 0);
    cr_expect_eq(status.st_mode & 0777, 0600);
    fake_end(&bed.task);
}

Test(socket_source, a_stale_socket_is_replaced_and_nothing_else, .init = set_up, .fini = tear_down)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    int dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(dead, (struct sockaddr *)&address, sizeof address), 0);
    close(dead); /* the file stays */
    start_standard();
    int fd = connect_to();
    close(fd);
    struct weir_context second;
    struct fake_run run = {0};
    struct weir_socket_source_options options = standard();
    options.journal = false;
    add_source(&options);
    cr_expect_eq(fake_start(&second, bed.graph, bed.node, &run), WEIR_IO);
    cr_expect(strstr(second.failed.text, path) && strstr(second.failed.text, "somebody listens"),
              "%s", second.failed.text);
    fake_end(&second);
    fake_end(&bed.task);
    scratch_write(path, "mine", 4);
    cr_expect_eq(fake_start(&second, bed.graph, bed.node, &run), WEIR_INVALID);
    cr_expect(strstr(second.failed.text, "no socket"), "%s", second.failed.text);
    fake_end(&second);
    cr_expect(scratch_exists(path));
}

Test(socket_source, bad_options_are_named, .init = set_up, .fini = tear_down)
{
    struct weir_socket_source_options good = standard(), bad[6];
    for (size_t i = 0; i < 6; i++)
        bad[i] = good;
    static char long_path[200];
    memset(long_path, 'x', sizeof long_path - 1);
    bad[0].port = 99;
    bad[1].path = NULL;
    bad[2].path = long_path;
    bad[3].clients = 1001;
    bad[4].line_bytes = (16u << 20) + 1;
    bad[5].sync_ns = -1;
    for (size_t i = 0; i < 6; i++) {
        bed.graph->error[0] = '\0';
        weir_socket_source(bed.graph, "socket", &bad[i]);
        cr_expect(strstr(bed.graph->error, "node socket"), "%zu: %s", i, bed.graph->error);
    }
}

/* Its memory comes back, and the clients hear of it by being cut off. */
Test(socket_source, every_failed_allocation_fails_the_run, .init = set_up, .fini = tear_down)
{
    struct weir_socket_source_options options = standard();
    bool whole = false;
    for (size_t most = 0; !whole; most++) {
        struct scarce scarce = {most};
        struct weir_allocator allocator = {scarce_allocate, scarce_release, &scarce};
        bed.run.allocator = &allocator;
        add_source(&options);
        if (feed_bed_start(&bed) == WEIR_OK) {
            int plain = connect_to(), fd = connect_to();
            put(plain, "without newline");
            close(plain);
            put(fd, "weir 1 a\nEND\n");
            whole = serve() == WEIR_END && feed_bed_cut(&bed);
            close(fd);
        }
        cr_assert_eq(bed.task.failed.code, whole ? WEIR_OK : WEIR_NO_MEMORY, "%s",
                     bed.task.failed.text);
        fake_end(&bed.task);
        cr_assert_lt(most, 1000);
    }
    bed.run.allocator = NULL;
}

/* ---- the journal's counts ---- */

/* Enough for several segments: the counts go from one to the next. */
Test(socket_source, counts_outlive_the_segments_they_came_from, .init = set_up, .fini = tear_down)
{
    static char line[60001];
    memset(line, 'x', sizeof line - 2);
    line[sizeof line - 2] = '\n';
    start_standard();
    int early = greeted("early", "0\n");
    put(early, "one\ntwo\n");
    serve();
    close(early);
    int fd = greeted("a", "0\n");
    for (unsigned i = 0; i < 600; i++) {
        cr_assert(put(fd, line));
        serve();
        get(fd);
        if (i % 100 == 99) {
            cr_assert(feed_bed_cut(&bed));
            cr_assert_eq(feed_bed_commit(&bed), WEIR_OK);
        }
    }
    close(fd);
    feed_bed_die(&bed);
    start();
    close(greeted("early", "2\n"));
    close(greeted("a", "600\n"));
    fake_end(&bed.task);
}
