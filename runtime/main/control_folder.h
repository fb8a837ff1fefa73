/* SPDX-License-Identifier: Apache-2.0
 *
 * control_folder: where the sockets of running programs lie, and who may be behind one.
 *
 *   $XDG_RUNTIME_DIR/weir/<store id>    where the session has such a folder, else
 *   /tmp/weir-<uid>/<store id>
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

/* A socket that listens. */
struct control_socket {
    int fd;
    char path[CONTROL_PATH_ROOM];
    dev_t device; /* of the path, so that nobody else's is removed */
    ino_t inode;
};

/* Makes the folder when it is missing, and a socket in it that listens, in place of what a killed
 * program has left there: the caller holds the store's lock. */
enum weir_result control_socket_open(const char *store_id, struct control_socket *sock,
                                     struct weir_error *error) WEIR_MUST_USE;
/* Removes the path, if it is still this socket's. The descriptor is left to who took it. */
void control_socket_remove(struct control_socket *sock);

/* Where somebody listens for this store. `store` is its directory: root finds its owner's programs
 * as well. WEIR_NOT_FOUND: nobody does. */
enum weir_result control_socket_find(const char *store_id, const char *store,
                                     char path[CONTROL_PATH_ROOM],
                                     struct weir_error *error) WEIR_MUST_USE;
/* Does somebody listen there? */
bool control_socket_answers(const char *path);

#endif
