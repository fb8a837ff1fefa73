/* SPDX-License-Identifier: Apache-2.0 */
#include "control_folder.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define UNNAMED ".new" /* behind the name of a socket that nobody is to find yet */

enum { WAITING_CLIENTS = 64 };

static enum weir_result refuse_path(struct weir_error *error, enum weir_result code,
                                    const char *path, const char *what)
{
    *error = (struct weir_error){.code = code};
    snprintf(error->text, sizeof error->text, "control folder %s: %s", path, what);
    return code;
}

static enum weir_result refuse_os(struct weir_error *error, const char *path, const char *what)
{
    int reason = errno;
    char text[200];

    snprintf(text, sizeof text, "%s: %s", what, strerror(reason));
    refuse_path(error, WEIR_IO, path, text);
    error->os_error = reason;
    return WEIR_IO;
}

/* --------------------------------------------------------------------------------- folders -- */

/* False: there is no such folder, or a socket's path in it would be too long. */
static bool name_folder(char *folder, const char *parent, const char *name)
{
    int size = snprintf(folder, CONTROL_PATH_ROOM, "%s/%s", parent, name);

    return size > 0 && (size_t)size + 1 + CONTROL_NAME_ROOM + strlen(UNNAMED) <= CONTROL_PATH_ROOM;
}

static bool session_folder(char *folder)
{
    const char *session = getenv("XDG_RUNTIME_DIR");
    struct stat status;

    return session != NULL && session[0] == '/' && stat(session, &status) == 0 &&
           S_ISDIR(status.st_mode) && name_folder(folder, session, "weir");
}

static bool user_folder(char *folder, uid_t user)
{
    char name[32];

    snprintf(name, sizeof name, "weir-%u", (unsigned)user);
    return name_folder(folder, "/tmp", name);
}

/* Where a login's sessions have theirs, for who is not in one. */
static bool login_folder(char *folder, uid_t user)
{
    char parent[64];

    snprintf(parent, sizeof parent, "/run/user/%u", (unsigned)user);
    return name_folder(folder, parent, "weir");
}

static enum weir_result check_folder(const char *folder, uid_t user, struct weir_error *error)
{
    struct stat status;

    if (lstat(folder, &status) != 0)
        return refuse_os(error, folder, "can't be looked at");
    if (!S_ISDIR(status.st_mode))
        return refuse_path(error, WEIR_REFUSED, folder, "is not a directory: remove it");
    if (status.st_uid != user)
        return refuse_path(error, WEIR_REFUSED, folder,
                           "belongs to another user, who could listen there: have it removed, or "
                           "set XDG_RUNTIME_DIR to a directory of yours");
    if ((status.st_mode & 077) != 0)
        return refuse_path(error, WEIR_REFUSED, folder, "others may enter it: chmod 700 it");
    return WEIR_OK;
}

static enum weir_result make_folder(char *folder, struct weir_error *error)
{
    if (!session_folder(folder))
        user_folder(folder, geteuid());
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return refuse_os(error, folder, "can't be made");
    return check_folder(folder, geteuid(), error);
}

/* --------------------------------------------------------------------------------- sockets -- */

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return address;
}

/* Under another name, which then takes the place of the real one at once: whoever connects meets
 * either what was there or a socket that listens. That name is the store's too, whose lock we hold:
 * of a program that is killed in between, the next one finds what it has left. */
static enum weir_result listen_at(struct control_socket *sock, struct weir_error *error)
{
    char own[CONTROL_PATH_ROOM + sizeof UNNAMED];
    struct stat status;

    snprintf(own, sizeof own, "%s" UNNAMED, sock->path);
    struct sockaddr_un address = address_of(own);
    unlink(own); /* of a killed program */
    if (bind(sock->fd, (const struct sockaddr *)&address, sizeof address) != 0)
        return refuse_os(error, sock->path, "no socket there");
    if (chmod(own, 0600) != 0 || listen(sock->fd, WAITING_CLIENTS) != 0 ||
        lstat(own, &status) != 0 || rename(own, sock->path) != 0) {
        refuse_os(error, sock->path, "no socket there");
        unlink(own);
        return WEIR_IO;
    }
    sock->device = status.st_dev;
    sock->inode = status.st_ino;
    return WEIR_OK;
}

enum weir_result control_name(const char *store, const char *store_id, char name[CONTROL_NAME_ROOM],
                              struct weir_error *error)
{
    struct stat status;

    if (stat(store, &status) != 0)
        return refuse_os(error, store, "can't be looked at");
    snprintf(name, CONTROL_NAME_ROOM, "%.16s-%" PRIu64, store_id, (uint64_t)status.st_ino);
    return WEIR_OK;
}

enum weir_result control_socket_open(const char *name, struct control_socket *sock,
                                     struct weir_error *error)
{
    char folder[CONTROL_PATH_ROOM];
    enum weir_result result = make_folder(folder, error);

    *sock = (struct control_socket){.fd = -1};
    if (result != WEIR_OK)
        return result;
    snprintf(sock->path, sizeof sock->path, "%.69s/%.37s", folder, name);
    sock->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (sock->fd < 0)
        return refuse_os(error, sock->path, "no socket");
    result = listen_at(sock, error);
    if (result != WEIR_OK)
        close(sock->fd);
    return result;
}

void control_socket_remove(struct control_socket *sock)
{
    struct stat status;

    if (lstat(sock->path, &status) == 0 && status.st_dev == sock->device &&
        status.st_ino == sock->inode)
        unlink(sock->path);
}

bool control_socket_answers(const char *path)
{
    struct sockaddr_un address = address_of(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return false;
    /* EAGAIN: it listens, and many wait */
    bool answers =
        connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 || errno == EAGAIN;
    close(fd);
    return answers;
}

/* --------------------------------------------------------------------------------- finding -- */

/* WEIR_NOT_FOUND: nobody listens there; anything else but WEIR_OK: the folder is not to be trusted.
 */
static enum weir_result look_in(const char *folder, uid_t user, const char *name, char *path,
                                struct weir_error *error)
{
    struct stat status;

    snprintf(path, CONTROL_PATH_ROOM, "%.69s/%.37s", folder, name);
    if (lstat(folder, &status) != 0)
        return WEIR_NOT_FOUND;
    enum weir_result result = check_folder(folder, user, error);
    if (result != WEIR_OK)
        return result;
    return control_socket_answers(path) ? WEIR_OK : WEIR_NOT_FOUND;
}

/* What is found first counts; a folder that can't be trusted is told of if nothing is found. */
static enum weir_result look_at_users(uid_t user, bool own, const char *name, char *path,
                                      struct weir_error *error)
{
    bool (*const others[])(char *folder, uid_t user) = {login_folder, user_folder};
    enum weir_result worst = WEIR_NOT_FOUND;
    char folder[CONTROL_PATH_ROOM];

    if (own && session_folder(folder))
        worst = look_in(folder, user, name, path, error);
    for (size_t i = 0; worst != WEIR_OK && i < sizeof others / sizeof others[0]; i++) {
        if (!others[i](folder, user))
            continue;
        enum weir_result result = look_in(folder, user, name, path, error);
        if (result == WEIR_OK || worst == WEIR_NOT_FOUND)
            worst = result;
    }
    return worst;
}

enum weir_result control_socket_find(const char *name, const char *store,
                                     char path[CONTROL_PATH_ROOM], struct weir_error *error)
{
    struct weir_error trouble = {0};
    struct stat status;
    enum weir_result result = look_at_users(geteuid(), true, name, path, &trouble);

    if (result == WEIR_NOT_FOUND && geteuid() == 0 && stat(store, &status) == 0)
        result = look_at_users(status.st_uid, false, name, path, &trouble);
    if (result == WEIR_NOT_FOUND)
        return refuse_path(error, WEIR_NOT_FOUND, path, "nobody listens there");
    if (result != WEIR_OK)
        *error = trouble;
    return result;
}
