/* SPDX-License-Identifier: Apache-2.0
 *
 * The layout is in transport.h. Order of the checks: first what tells strangers apart (size, magic,
 * run), then what must hold for our own. A stranger is no error: anybody may connect to a port.
 */
#include "frame.h"

#include <assert.h>
#include <string.h>
#define XXH_STATIC_LINKING_ONLY /* the size of XXH3_state_t */
#include <xxhash.h>

#include "batch.h"

#define FRAME_MAGIC 0x42494557u /* "WEIB", little-endian */
#define FRAME_VERSION 0
#define FRAME_HAS_PAYLOAD 1u /* flag: a payload is there, be it of size 0 */
#define FRAME_CHECKSUM_AT 56

static void put(unsigned char *at, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t get(const unsigned char *at, size_t bytes)
{
    uint64_t value = 0;

    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static uint64_t frame_checksum(const unsigned char *frame, size_t payload_size)
{
    XXH3_state_t state;

    XXH3_64bits_reset(&state);
    XXH3_64bits_update(&state, frame, FRAME_CHECKSUM_AT);
    XXH3_64bits_update(&state, frame + FRAME_HEADER_SIZE, payload_size);
    return XXH3_64bits_digest(&state);
}

void frame_encode(const struct message *message, uint64_t run, unsigned char *frame)
{
    const struct batch *payload = message->payload;
    size_t payload_size = payload == NULL ? 0 : payload->size;

    assert(payload_size <= TRANSPORT_PAYLOAD_MAX);
    put(frame, FRAME_MAGIC, 4);
    put(frame + 4, FRAME_VERSION, 1);
    put(frame + 5, (uint64_t)message->kind, 1);
    put(frame + 6, payload == NULL ? 0 : FRAME_HAS_PAYLOAD, 2);
    put(frame + 8, run, 8);
    put(frame + 16, message->epoch, 4);
    put(frame + 20, message->channel, 4);
    put(frame + 24, message->sequence, 8);
    put(frame + 32, message->id, 8);
    put(frame + 40, message->count, 4);
    put(frame + 44, payload_size, 4);
    put(frame + 48, message->value, 8);
    if (payload_size > 0)
        memcpy(frame + FRAME_HEADER_SIZE, payload->data, payload_size);
    put(frame + FRAME_CHECKSUM_AT, frame_checksum(frame, payload_size), 8);
}

static bool frame_is_foreign(const unsigned char *frame, size_t size, uint64_t run)
{
    return size < FRAME_HEADER_SIZE || get(frame, 4) != FRAME_MAGIC || get(frame + 8, 8) != run;
}

/* NULL, or what is wrong with a frame of our run. */
static const char *frame_fault(const unsigned char *frame, size_t size)
{
    size_t payload_size = size - FRAME_HEADER_SIZE;
    uint64_t kind = get(frame + 5, 1);
    uint64_t flags = get(frame + 6, 2);

    if (get(frame + 4, 1) != FRAME_VERSION)
        return "another version of the format";
    if (payload_size > TRANSPORT_PAYLOAD_MAX)
        return "a payload over the limit";
    if (get(frame + 44, 4) != payload_size)
        return "sizes that disagree";
    if (get(frame + FRAME_CHECKSUM_AT, 8) != frame_checksum(frame, payload_size))
        return "a wrong checksum";
    if (kind < MESSAGE_BATCH || kind > MESSAGE_PROMISE) /* all else stays inside the process */
        return "a kind that does not travel";
    if (flags > FRAME_HAS_PAYLOAD || (flags == 0 && payload_size > 0))
        return "unknown flags";
    return NULL;
}

enum frame_verdict frame_decode(const unsigned char *frame, size_t size, uint64_t run,
                                struct message *message, bool *has_payload, const char **why)
{
    if (frame_is_foreign(frame, size, run))
        return FRAME_FOREIGN;
    *why = frame_fault(frame, size);
    if (*why != NULL)
        return FRAME_BROKEN;
    *message = (struct message){
        .kind = (enum message_kind)get(frame + 5, 1),
        .epoch = (uint32_t)get(frame + 16, 4),
        .channel = (uint32_t)get(frame + 20, 4),
        .sequence = get(frame + 24, 8),
        .id = get(frame + 32, 8),
        .count = (uint32_t)get(frame + 40, 4),
        .value = get(frame + 48, 8),
    };
    *has_payload = (get(frame + 6, 2) & FRAME_HAS_PAYLOAD) != 0;
    return FRAME_OURS;
}
