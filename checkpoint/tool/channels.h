/* SPDX-License-Identifier: Apache-2.0
 *
 * channels: which record on its channel one in flight is. A channel leads by one edge from one
 * subtask to another.
 */
#ifndef CHANNELS_H
#define CHANNELS_H

#include "weir_checkpoint.h"

struct channel;

/* Zeroed to begin with. */
struct channels {
    struct channel *of;
    size_t count, last; /* the channel of the row before: mostly it is that of the next */
};

/* How many were on the row's channel before it; UINT64_MAX: no memory. */
uint64_t channels_position(struct channels *channels, const struct weir_row *row);
void channels_free(struct channels *channels);

#endif
