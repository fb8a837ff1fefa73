/* SPDX-License-Identifier: Apache-2.0 */
#include "channels.h"

#include <stdlib.h>

struct channel {
    uint32_t edge, from, to;
    uint64_t records;
};

uint64_t channels_position(struct channels *channels, const struct weir_row *row)
{
    for (size_t i = 0; i < channels->count; i++) {
        size_t at = (channels->last + i) % channels->count;
        struct channel *channel = &channels->of[at];
        if (channel->edge == row->edge && channel->from == row->from_subtask &&
            channel->to == row->subtask) {
            channels->last = at;
            return channel->records++;
        }
    }
    struct channel *more = realloc(channels->of, (channels->count + 1) * sizeof *more);
    if (more == NULL)
        return UINT64_MAX;
    channels->of = more;
    channels->last = channels->count;
    more[channels->count++] = (struct channel){row->edge, row->from_subtask, row->subtask, 1};
    return 0;
}

void channels_free(struct channels *channels)
{
    free(channels->of);
    *channels = (struct channels){0};
}
