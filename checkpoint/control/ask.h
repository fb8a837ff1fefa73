/* SPDX-License-Identifier: Apache-2.0
 *
 * ask: the other side of a running program's endpoint: finds its socket by the store, and asks. The
 * verbs of programs and of `weir` have this in common. What can be asked, and what is answered:
 * runtime/EVENTS.md.
 */
#ifndef ASK_H
#define ASK_H

#include "weir_base.h"

enum ask_what { ASK_STATUS, ASK_CHECKPOINT, ASK_SAVEPOINT, ASK_STOP, ASK_DUMP };
enum ask_mode { ASK_SUSPEND, ASK_DRAIN, ASK_NOW }; /* of a stop; as enum weir_stop */

/* Borrowed while it is asked. */
struct ask {
    enum ask_what what;
    enum ask_mode mode;
    const char *store;     /* its directory */
    const char *savepoint; /* of ASK_SAVEPOINT, and of an ASK_STOP that leaves one; NULL: none */
};

/* Waits for the answer: of a checkpoint and a savepoint up to ten minutes, else ten seconds.
 * *answer, from malloc, is the text of a JSON object, which may say no.
 * WEIR_INVALID: this can't be asked; WEIR_NOT_FOUND: there is no store, or no program that could be
 * asked; WEIR_TIMEOUT; WEIR_STOPPED: the program ended before it had answered; and what reading the
 * store and the sockets' folders comes to. The program's first thread. */
enum weir_result ask_program(const struct ask *ask, char **answer,
                             struct weir_error *error) WEIR_MUST_USE;

#endif
