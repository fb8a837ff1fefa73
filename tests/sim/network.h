/* SPDX-License-Identifier: Apache-2.0
 *
 * network: what becomes of a message on its way, as sim.h was told. It draws and counts; the queues
 * are transport.c's. Of no other twin, for transport.c serves free-running threads too.
 */
#ifndef NETWORK_H
#define NETWORK_H

#include "sim.h"

struct network_fate {
    bool refused;    /* "no room": nothing of the rest */
    bool lost;       /* accepted, and never seen again */
    bool twice;      /* a second one of it follows */
    bool late;       /* what follows it may overtake it */
    int64_t took_ns; /* on its way */
    int64_t late_ns; /* more than that, when it is late */
};

/* NULL: threads run free, and nothing below is called. */
const struct sim_network *network_control(void);
/* BATCH, MARKER or END: they have a sequence number. */
bool network_is_item(const struct message *message);
struct network_fate network_fate(const struct message *message);
/* A second one takes a time of its own. */
int64_t network_delay(void);
/* Is `later` a sign that `earlier`, of the same channel, will never come? */
bool network_too_late(uint64_t earlier, uint64_t later);
/* Called after each send: does a pipe break now? */
bool network_cuts(const struct message *message);
/* Can a pipe that has this under way break? */
bool network_may_cut(const struct message *message);
struct sim_network_counts *network_counts(void);
/* A transport was opened (1) or closed (-1). */
void network_transports(int change);

#endif
