/* SPDX-License-Identifier: Apache-2.0
 *
 * endpoint: texts that come in from other processes, and answers that go back. The one file that
 * knows CZMQ: an actor with a ROUTER socket over ipc here, a REQ socket at the other side. ROUTER
 * and not REP, which would let nobody else ask while one waits for his answer: who waits for a
 * checkpoint that never comes must not keep the next from asking why.
 *
 * What CZMQ does to a process when it starts is taken back here: see endpoint.c.
 *
 * E1  a request is one frame of at most ENDPOINT_REQUEST_MAX bytes; anything else is dropped, and
 *     whoever sent too much is disconnected.
 * E2  an answer to somebody who has gone is dropped; nothing here waits for a client.
 * E3  at most ENDPOINT_TICKETS answers are owed at a time.
 */
#ifndef ENDPOINT_H
#define ENDPOINT_H

#include "control_folder.h"

#define ENDPOINT_REQUEST_MAX 32768u     /* bytes: a path, were all of it escaped */
#define ENDPOINT_ANSWER_MAX (16u << 20) /* bytes */
#define ENDPOINT_TICKETS 16u

struct endpoint;

/* Both are called on the endpoint's thread, one at a time, and must not block. */
struct endpoint_answers {
    /* The answer to a request, from malloc; or NULL: it comes later, under this ticket. A ticket of
     * ENDPOINT_TICKETS is none: there must be an answer. */
    char *(*answer)(void *context, const char *request, size_t size, uint32_t ticket);
    /* The answer that is owed, from malloc; or NULL: not yet. Asked for every few milliseconds. */
    char *(*later)(void *context, uint32_t ticket);
    void *context;
};

/* Before the process has other threads: what CZMQ changes when it starts is the process's. Once is
 * enough, more does no harm. */
void endpoint_prepare(void);

/* The socket's descriptor becomes the endpoint's. */
enum weir_result endpoint_start(struct endpoint **endpoint, const struct control_socket *sock,
                                const struct endpoint_answers *answers,
                                struct weir_error *error) WEIR_MUST_USE;
/* Asks for what is owed once more; no callback is called any more afterwards. NULL is accepted;
 * *endpoint becomes NULL. */
void endpoint_stop(struct endpoint **endpoint);

/* One question to the endpoint at `path`. *answer is from malloc. WEIR_TIMEOUT; WEIR_STOPPED: it
 * was gone before it had answered, even if another has taken its place. */
enum weir_result endpoint_ask(const char *path, const char *request, int64_t timeout_ns,
                              char **answer, struct weir_error *error) WEIR_MUST_USE;

#endif
