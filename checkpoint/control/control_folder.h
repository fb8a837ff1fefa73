/* SPDX-License-Identifier: Apache-2.0
 *
 * control_folder: where the sockets of running programs lie, and who may be behind one.
 *
 *   $XDG_RUNTIME_DIR/weir/<name>    where the session has such a folder, else
 *   /tmp/weir-<uid>/<name>          where <name> is the store's: the first 16 digits of its id, a
 *                                   dash, the number of its directory's inode
 *
 * The id alone would not do: a store that began with a savepoint has the id of the one it was taken
 * of, and so has a copy, and both may run.
 *
 * A program that was started by a system's service and one that asks from a session see different
 * environments, so who asks looks in all the places there are. The folder must be a directory of
 * the user's with mode 0700: in /tmp anybody could have made it first. Nothing here is weir's or
 * ZeroMQ's: plain sockets and files.
 */
#ifndef CONTROL_FOLDER_H
#define CONTROL_FOLDER_H

#include <sys/stat.h>

#include "weir_base.h"

#define CONTROL_PATH_ROOM 108 /* what a socket's address holds */
#define CONTROL_NAME_ROOM 38  /* 16 digits, a dash, 20 digits, a zero */

/* A socket that listens. */
struct control_socket {
    int fd;
    char path[CONTROL_PATH_ROOM];
    dev_t device; /* of the path, so that nobody else's is removed */
    ino_t inode;
};

/* Of the store in the directory `store`, whose id begins with 16 hex digits. WEIR_IO. */
enum weir_result control_name(const char *store, const char *store_id, char name[CONTROL_NAME_ROOM],
                              struct weir_error *error) WEIR_MUST_USE;
/* Makes the folder when it is missing, and a socket in it that listens, in place of what a killed
 * program has left there: the caller holds the store's lock. */
enum weir_result control_socket_open(const char *name, struct control_socket *sock,
                                     struct weir_error *error) WEIR_MUST_USE;
/* Removes the path, if it is still this socket's. The descriptor is left to who took it. */
void control_socket_remove(struct control_socket *sock);

/* Where somebody listens for the store of that name. `store` is its directory: root finds its
 * owner's programs as well. WEIR_NOT_FOUND: nobody does. */
enum weir_result control_socket_find(const char *name, const char *store,
                                     char path[CONTROL_PATH_ROOM],
                                     struct weir_error *error) WEIR_MUST_USE;
/* Does somebody listen there? */
bool control_socket_answers(const char *path);

#endif
