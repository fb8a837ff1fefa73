/* SPDX-License-Identifier: Apache-2.0
 *
 * frame: a message as bytes, for channels that leave the process. Header and payload are one frame;
 * the layout stands in transport.h. Pure: no socket, no memory of its own. Any thread.
 */
#ifndef FRAME_H
#define FRAME_H

#include "transport.h"

#define FRAME_HEADER_SIZE 64
#define FRAME_SIZE_MAX ((size_t)FRAME_HEADER_SIZE + TRANSPORT_PAYLOAD_MAX)

enum frame_verdict {
    FRAME_OURS,
    FRAME_FOREIGN, /* not weir's, or of another run: to be dropped */
    FRAME_BROKEN,  /* of our run, and not what was sent: the run can't go on */
};

static inline size_t frame_size(size_t payload_size)
{
    return FRAME_HEADER_SIZE + payload_size;
}

/* Writes header and payload to `frame`, which has frame_size(payload's size) bytes. The payload is
 * at most TRANSPORT_PAYLOAD_MAX. */
void frame_encode(const struct message *message, uint64_t run, unsigned char *frame);

/* Checks everything, then fills *message but for its payload, which begins at frame +
 * FRAME_HEADER_SIZE if *has_payload. When it is FRAME_BROKEN, *why names the reason (static
 * storage). */
enum frame_verdict frame_decode(const unsigned char *frame, size_t size, uint64_t run,
                                struct message *message, bool *has_payload, const char **why);

#endif
