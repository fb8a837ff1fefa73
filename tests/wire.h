/* SPDX-License-Identifier: Apache-2.0
 *
 * wire: a pipe that keeps what is sent, in place of the transport's, for tests of what stands at
 * either end.
 */
#ifndef WIRE_H
#define WIRE_H

#include "batch.h"
#include "transport.h"

struct pipe {
    struct message sent[4096];
    unsigned count; /* sent */
    unsigned taken; /* by wire_next */
    bool full;      /* answers false: no room, no memory */
};

/* The oldest message not yet taken, or NULL. */
const struct message *wire_next(struct pipe *pipe);
/* Releases every payload. */
void wire_clear(struct pipe *pipe);

#endif
