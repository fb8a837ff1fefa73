/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* accept4 */
#include "descriptor.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define READY_MOST 64

static enum descriptor_found answer(ssize_t result, size_t *got, int *os_error)
{
    *got = 0;
    if (result > 0) {
        *got = (size_t)result;
        return DESCRIPTOR_BYTES;
    }
    if (result == 0)
        return DESCRIPTOR_END;
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        return DESCRIPTOR_NOTHING;
    *os_error = errno;
    return DESCRIPTOR_FAILED;
}

bool descriptor_is_file(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

enum descriptor_found descriptor_read_at(int fd, uint64_t offset, void *data, size_t room,
                                         size_t *got, int *os_error)
{
    return answer(pread(fd, data, room, (off_t)offset), got, os_error);
}

enum descriptor_found descriptor_read(int fd, void *data, size_t room, size_t *got, int *os_error)
{
    struct pollfd ask = {.fd = fd, .events = POLLIN};
    int ready = poll(&ask, 1, 0);
    *got = 0;
    if (ready == 0)
        return DESCRIPTOR_NOTHING;
    if (ready < 0)
        return answer(-1, got, os_error);
    return answer(read(fd, data, room), got, os_error);
}

/* ------------------------------------------------------------------------------- sockets -- */

static const char *reason(int os_error)
{
    switch (os_error) {
    case EADDRINUSE:
        return "somebody listens there already";
    case EACCES:
    case EPERM:
        return "permission denied";
    case ENOENT:
    case ENOTDIR:
        return "there is no such folder";
    case EMFILE:
    case ENFILE:
        return "too many open descriptors";
    case EROFS:
        return "the file system is read-only";
    default:
        return "the system refuses";
    }
}

static int fail(struct weir_error *error, const char *where, int os_error)
{
    *error = (struct weir_error){.code = WEIR_IO, .os_error = os_error};
    snprintf(error->text, sizeof error->text, "can't listen on %.400s: %s (errno %d)", where,
             reason(os_error), os_error);
    return -1;
}

static int fail_text(struct weir_error *error, const char *where, const char *text)
{
    *error = (struct weir_error){.code = WEIR_INVALID};
    snprintf(error->text, sizeof error->text, "can't listen on %.400s: %s", where, text);
    return -1;
}

/* True when nobody accepts on the socket file: who made it is dead. */
static bool is_stale(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    bool refused =
        connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static bool is_socket(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0 && S_ISSOCK(status.st_mode);
}

static int listen_here(int fd, const struct sockaddr *address, socklen_t size, int backlog)
{
    return bind(fd, address, size) < 0 || listen(fd, backlog) < 0 ? errno : 0;
}

static int listen_unix(const char *path, int backlog, struct weir_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t size = strlen(path);
    if (size >= sizeof address.sun_path)
        return fail_text(error, path, "the path of a socket has 107 bytes at most");
    memcpy(address.sun_path, path, size + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* Linux gives the file the socket's own mode: there is no moment with another one. */
    if (fd < 0 || fchmod(fd, 0600) < 0) {
        int failure = errno;
        descriptor_close(fd);
        return fail(error, path, failure);
    }
    int failure = listen_here(fd, (const struct sockaddr *)&address, sizeof address, backlog);
    if (failure == EADDRINUSE && is_socket(path) && is_stale(&address) && unlink(path) == 0)
        failure = listen_here(fd, (const struct sockaddr *)&address, sizeof address, backlog);
    if (failure == 0)
        return fd;
    descriptor_close(fd);
    if (failure == EADDRINUSE && !is_socket(path))
        return fail_text(error, path, "a file that is no socket has this name");
    return fail(error, path, failure);
}

static int listen_port(uint16_t port, int backlog, struct weir_error *error)
{
    const int yes = 1;
    char where[32];
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    snprintf(where, sizeof where, "127.0.0.1:%u", port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* Connections of a run that was killed just now must not keep the next one off. */
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0) {
        int failure = errno;
        descriptor_close(fd);
        return fail(error, where, failure);
    }
    int failure = listen_here(fd, (const struct sockaddr *)&address, sizeof address, backlog);
    if (failure == 0)
        return fd;
    descriptor_close(fd);
    return fail(error, where, failure);
}

int descriptor_listen(const char *path, uint16_t port, int backlog, struct weir_error *error)
{
    return path ? listen_unix(path, backlog, error) : listen_port(port, backlog, error);
}

void descriptor_remove(const char *path)
{
    unlink(path);
}

int descriptor_accept(int listener, int *os_error)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    *os_error = 0;
    if (fd < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR &&
        errno != ECONNABORTED)
        *os_error = errno;
    return fd;
}

enum descriptor_found descriptor_receive(int fd, void *data, size_t room, size_t *got,
                                         int *os_error)
{
    return answer(recv(fd, data, room, 0), got, os_error);
}

size_t descriptor_send(int fd, const void *data, size_t size)
{
    ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
    return sent > 0 ? (size_t)sent : 0;
}

void descriptor_close(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* --------------------------------------------------------------------------------- watch -- */

int descriptor_watch_new(int *os_error)
{
    int set = epoll_create1(EPOLL_CLOEXEC);
    *os_error = set < 0 ? errno : 0;
    return set;
}

static struct epoll_event wish(uint32_t tag, bool readable, bool writable)
{
    struct epoll_event event = {.data.u32 = tag};
    event.events = (readable ? (uint32_t)EPOLLIN : 0) | (writable ? (uint32_t)EPOLLOUT : 0);
    return event;
}

bool descriptor_watch(int set, int fd, uint32_t tag, bool also_writable, int *os_error)
{
    struct epoll_event event = wish(tag, true, also_writable);
    int result = epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
    *os_error = result < 0 ? errno : 0;
    return result == 0;
}

void descriptor_watch_for(int set, int fd, uint32_t tag, bool readable, bool also_writable)
{
    struct epoll_event event = wish(tag, readable, also_writable);
    epoll_ctl(set, EPOLL_CTL_MOD, fd, &event); /* of one that is watched: it can't fail */
}

size_t descriptor_ready(int set, uint32_t *tags, size_t room)
{
    struct epoll_event events[READY_MOST];
    int most = room < READY_MOST ? (int)room : READY_MOST;
    int count = epoll_wait(set, events, most, 0);
    for (int i = 0; i < count; i++)
        tags[i] = events[i].data.u32;
    return count > 0 ? (size_t)count : 0;
}
