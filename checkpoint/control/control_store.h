/* SPDX-License-Identifier: Apache-2.0
 *
 * control_store: what a store is called among the sockets of running programs.
 */
#ifndef CONTROL_STORE_H
#define CONTROL_STORE_H

#include "control_folder.h"

/* Names of a store. */
struct control_store {
    char id[33];                  /* 32 hex digits: of its history, which another may share that
                                      began with a savepoint of it, or is a copy */
    char name[CONTROL_NAME_ROOM]; /* its own: the socket's */
};

/* What the store at that path is called. WEIR_NOT_FOUND: there is none. */
enum weir_result control_store_of(const char *path, struct control_store *store,
                                  struct weir_error *error) WEIR_MUST_USE;
#endif
