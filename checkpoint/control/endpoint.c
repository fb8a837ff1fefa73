/* SPDX-License-Identifier: Apache-2.0
 *
 * What zsys_init, which the first socket calls, does to a process, and what becomes of it here:
 *
 *   handlers of SIGINT and SIGTERM   zsys_handler_set(NULL) beforehand: none are installed
 *   srandom(time); random numbers    for its sockets' names: fall into a state that is put in the
 *                                    place of the process's meanwhile, and then thrown away
 *   ZSYS_* variables                 are read; the options they set are set anew on our sockets
 *   atexit                           stays: CZMQ's context goes when the process ends
 *   its context's I/O thread         stays, with every signal blocked
 */
#include "endpoint.h"

#include <czmq.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdatomic.h>

enum { OWED_MS = 10, SLICE_MS = 200, LINGER_MS = 200, MARK = 64 };

struct endpoint {
    /* set before start */
    int fd;
    char path[CONTROL_PATH_ROOM];
    struct endpoint_answers answers;
    zactor_t *actor;

    /* any thread. CZMQ's signals order these as well, but no thread sanitizer sees that. */
    _Atomic int failure; /* errno of the start */
    sem_t ended;         /* the actor does not look at this struct any more */

    /* the actor's thread only */
    zsock_t *router;
    zframe_t *clients[ENDPOINT_TICKETS]; /* who is owed an answer */
    uint32_t owed;
};

static enum weir_result refuse(struct weir_error *error, enum weir_result code, int reason,
                               const char *path, const char *what)
{
    *error = (struct weir_error){.code = code, .os_error = reason};
    snprintf(error->text, sizeof error->text, "control socket %s: %s%s%s", path, what,
             reason ? ": " : "", reason ? zmq_strerror(reason) : "");
    return code;
}

/* ----------------------------------------------------------------------- CZMQ, kept in check -- */

/* The process's state of random(), put away. Another thread that calls random() meanwhile gets a
 * number of the stand-in's, and its own sequence goes on afterwards. */
struct put_away {
    char *state;
    char stand_in[256];
};

static void put_away(struct put_away *away)
{
    away->state = initstate((unsigned)getpid(), away->stand_in, sizeof away->stand_in);
}

static void bring_back(const struct put_away *away)
{
    setstate(away->state);
}

void endpoint_prepare(void)
{
    static bool prepared; /* the first thread's: this is called before there are others */
    struct put_away away;

    if (prepared)
        return;
    prepared = true;
    zsys_handler_set(NULL);
    put_away(&away);
    zsys_init();
    bring_back(&away);
}

/* Every option that counts, whatever the environment says. */
static void set_options(zsock_t *sock, int largest)
{
    zsock_set_linger(sock, LINGER_MS);
    zsock_set_sndhwm(sock, MARK);
    zsock_set_rcvhwm(sock, MARK);
    zsock_set_maxmsgsize(sock, largest);
    zsock_set_immediate(sock, 0);
}

/* ------------------------------------------------------------------------------ the actor -- */

static void send_answer(struct endpoint *endpoint, zframe_t **client, char *text)
{
    zmsg_t *message = zmsg_new();

    zmsg_append(message, client);
    zmsg_addstr(message, "");
    zmsg_addstr(message, text);
    free(text);
    if (zmsg_send(&message, endpoint->router) != 0) /* E2 */
        zmsg_destroy(&message);
}

static uint32_t free_ticket(const struct endpoint *endpoint)
{
    uint32_t ticket = 0;

    while (ticket < ENDPOINT_TICKETS && endpoint->clients[ticket] != NULL)
        ticket++;
    return ticket;
}

static void on_request(struct endpoint *endpoint, zframe_t **client, zframe_t *request)
{
    const struct endpoint_answers *answers = &endpoint->answers;
    uint32_t ticket = free_ticket(endpoint);
    char *text = answers->answer(answers->context, (const char *)zframe_data(request),
                                 zframe_size(request), ticket);

    if (text != NULL) {
        send_answer(endpoint, client, text);
        return;
    }
    assert(ticket < ENDPOINT_TICKETS);
    endpoint->clients[ticket] = *client;
    *client = NULL;
    endpoint->owed++;
}

/* Who asks, an empty frame, the request: what a REQ socket sends. E1 */
static void on_message(struct endpoint *endpoint)
{
    zmsg_t *message = zmsg_recv(endpoint->router);

    if (message == NULL)
        return;
    zframe_t *client = zmsg_pop(message);
    zframe_t *empty = zmsg_pop(message);
    zframe_t *request = zmsg_pop(message);
    if (request != NULL && zframe_size(empty) == 0 && zmsg_size(message) == 0)
        on_request(endpoint, &client, request);
    zframe_destroy(&client);
    zframe_destroy(&empty);
    zframe_destroy(&request);
    zmsg_destroy(&message);
}

static void give_what_is_owed(struct endpoint *endpoint)
{
    const struct endpoint_answers *answers = &endpoint->answers;

    for (uint32_t i = 0; endpoint->owed > 0 && i < ENDPOINT_TICKETS; i++) {
        char *text = NULL;
        if (endpoint->clients[i] != NULL)
            text = answers->later(answers->context, i);
        if (text == NULL)
            continue;
        send_answer(endpoint, &endpoint->clients[i], text);
        zframe_destroy(&endpoint->clients[i]);
        endpoint->owed--;
    }
}

/* False: the end. */
static bool on_pipe(zsock_t *pipe)
{
    char *command = zstr_recv(pipe);
    bool goes_on = command != NULL && strcmp(command, "$TERM") != 0;

    zstr_free(&command);
    return goes_on;
}

static int bind_router(struct endpoint *endpoint)
{
    endpoint->router = zsock_new(ZMQ_ROUTER);
    if (endpoint->router == NULL)
        return errno;
    set_options(endpoint->router, ENDPOINT_REQUEST_MAX);
    /* libzmq would remove whatever lies at the path, and remove it again some time after the close:
     * with a descriptor of ours it leaves the path alone. */
    if (zmq_setsockopt(zsock_resolve(endpoint->router), ZMQ_USE_FD, &endpoint->fd,
                       sizeof endpoint->fd) != 0 ||
        zsock_bind(endpoint->router, "ipc://%s", endpoint->path) != 0)
        return errno;
    return 0;
}

static void serve(zsock_t *pipe, void *argument)
{
    struct endpoint *endpoint = argument;

    endpoint->failure = bind_router(endpoint);
    zsock_signal(pipe, 0);
    zmq_pollitem_t items[2] = {{zsock_resolve(pipe), 0, ZMQ_POLLIN, 0}};
    int count = endpoint->failure == 0 ? 2 : 1;
    if (count == 2)
        items[1] = (zmq_pollitem_t){zsock_resolve(endpoint->router), 0, ZMQ_POLLIN, 0};
    bool goes_on = true;
    while (goes_on) {
        int status = zmq_poll(items, count, endpoint->owed > 0 ? OWED_MS : -1);
        if (status < 0 && errno != EINTR) /* the context has gone: the process is ending */
            break;
        if (status > 0 && (items[0].revents & ZMQ_POLLIN))
            goes_on = on_pipe(pipe);
        if (status > 0 && count == 2 && (items[1].revents & ZMQ_POLLIN))
            on_message(endpoint);
        give_what_is_owed(endpoint);
    }
    give_what_is_owed(endpoint); /* leaves within the linger time */
    for (uint32_t i = 0; i < ENDPOINT_TICKETS; i++)
        zframe_destroy(&endpoint->clients[i]);
    zsock_destroy(&endpoint->router);
    sem_post(&endpoint->ended);
}

/* --------------------------------------------------------------------------- start and stop -- */

static void *nothing(void *argument)
{
    return argument;
}

/* CZMQ ends the process when it gets no socket. Of these descriptors it needs about ten. */
static int try_descriptors(int any)
{
    int tried[16], count = 0, failure = 0;

    while (failure == 0 && count < (int)(sizeof tried / sizeof tried[0])) {
        tried[count] = fcntl(any, F_DUPFD_CLOEXEC, 0);
        if (tried[count] >= 0)
            count++;
        else
            failure = errno;
    }
    while (count > 0)
        close(tried[--count]);
    return failure;
}

/* zactor_new does not notice that it got no thread, and waits for it for ever: so this asks for one
 * first. */
static int try_thread(void)
{
    pthread_t thread;
    int failure = pthread_create(&thread, NULL, nothing, NULL);

    if (failure == 0)
        pthread_join(thread, NULL);
    return failure;
}

/* The program's signals are its first thread's business: the actor is started with them blocked. So
 * are they while CZMQ waits for the actor, for a signal would end that wait too soon. */
static void block_signals(sigset_t *before)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
    sigset_t blocked;

    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, before);
}

static int start_actor(struct endpoint *endpoint)
{
    sigset_t before;
    struct put_away away;

    block_signals(&before);
    put_away(&away);
    int failure = try_descriptors(endpoint->fd);
    if (failure == 0)
        failure = try_thread();
    if (failure == 0)
        endpoint->actor = zactor_new(serve, endpoint); /* answers when its socket is bound */
    bring_back(&away);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return endpoint->actor != NULL ? endpoint->failure : failure != 0 ? failure : ENOMEM;
}

enum weir_result endpoint_start(struct endpoint **endpoint, const struct control_socket *sock,
                                const struct endpoint_answers *answers, struct weir_error *error)
{
    struct endpoint *new = calloc(1, sizeof *new);

    *endpoint = NULL;
    if (new == NULL) {
        close(sock->fd);
        return refuse(error, WEIR_NO_MEMORY, ENOMEM, sock->path, "no endpoint");
    }
    endpoint_prepare();
    new->fd = sock->fd;
    new->answers = *answers;
    memcpy(new->path, sock->path, sizeof new->path);
    sem_init(&new->ended, 0, 0);
    int failure = start_actor(new);
    if (failure != 0) {
        close(sock->fd);
        endpoint_stop(&new);
        return refuse(error, WEIR_IO, failure, sock->path, "no endpoint");
    }
    *endpoint = new;
    return WEIR_OK;
}

void endpoint_stop(struct endpoint **endpoint)
{
    struct endpoint *old = *endpoint;

    if (old == NULL)
        return;
    bool began = old->actor != NULL;
    sigset_t before;
    block_signals(&before);
    zactor_destroy(&old->actor);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    while (began && sem_wait(&old->ended) != 0)
        continue; /* a signal */
    sem_destroy(&old->ended);
    free(old);
    *endpoint = NULL;
}

/* --------------------------------------------------------------------------- the other side -- */

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Is it the same socket still? A program that is started again has a new one, and knows nothing of
 * what the old one was asked. (The number of an inode may be used again at once.) */
static bool is_there(const char *path, const struct stat *before)
{
    struct stat now;

    return lstat(path, &now) == 0 && now.st_dev == before->st_dev && now.st_ino == before->st_ino &&
           now.st_ctim.tv_sec == before->st_ctim.tv_sec &&
           now.st_ctim.tv_nsec == before->st_ctim.tv_nsec && control_socket_answers(path);
}

static enum weir_result receive(zsock_t *sock, const char *path, const struct stat *before,
                                int64_t deadline_ns, char **answer, struct weir_error *error)
{
    bool gone = false; /* its last answers may be on their way */

    while ((*answer = zstr_recv(sock)) == NULL) {
        if (errno != EAGAIN && errno != EINTR)
            return refuse(error, WEIR_IO, errno, path, "no answer");
        if (gone)
            return refuse(error, WEIR_STOPPED, 0, path, "the program ended before it had answered");
        if (now_ns() >= deadline_ns)
            return refuse(error, WEIR_TIMEOUT, 0, path, "no answer in time");
        gone = !is_there(path, before);
    }
    return WEIR_OK;
}

enum weir_result endpoint_ask(const char *path, const char *request, int64_t timeout_ns,
                              char **answer, struct weir_error *error)
{
    int64_t deadline_ns = now_ns() + timeout_ns;
    struct stat before;

    if (lstat(path, &before) != 0)
        return refuse(error, WEIR_STOPPED, errno, path, "the program ended before it was asked");
    endpoint_prepare();
    zsock_t *sock = zsock_new(ZMQ_REQ);
    if (sock == NULL)
        return refuse(error, WEIR_IO, errno, path, "no socket to ask with");
    set_options(sock, (int)ENDPOINT_ANSWER_MAX);
    zsock_set_linger(sock, 0);
    zsock_set_rcvtimeo(sock, SLICE_MS);
    zsock_set_sndtimeo(sock, SLICE_MS);
    enum weir_result result = WEIR_OK;
    if (zsock_connect(sock, "ipc://%s", path) != 0 || zstr_send(sock, request) != 0)
        result = refuse(error, WEIR_IO, errno, path, "can't be asked");
    if (result == WEIR_OK)
        result = receive(sock, path, &before, deadline_ns, answer, error);
    zsock_destroy(&sock);
    return result;
}
