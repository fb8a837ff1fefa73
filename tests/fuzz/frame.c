/* SPDX-License-Identifier: Apache-2.0
 *
 * frame: the input is a message as it comes over a network, header and payload. What is ours is
 * encoded to the same bytes.
 */
#include "frame.h"

#include <stdlib.h>
#include <string.h>
#define XXH_STATIC_LINKING_ONLY /* the size of XXH3_state_t */
#include <xxhash.h>

#include "batch.h"
#include "fuzz.h"
#include "little.h"

#define RUN UINT64_C(0x1122334455667788)

static void encode_again(const struct message *message, const unsigned char *data, size_t size,
                         bool has_payload)
{
    struct message copy = *message;
    unsigned char *again = malloc(size);

    fuzz_must(again != NULL, "no memory");
    if (has_payload) {
        copy.payload = batch_alone(NULL, size - FRAME_HEADER_SIZE);
        fuzz_must(copy.payload != NULL, "no memory");
        copy.payload->size = size - FRAME_HEADER_SIZE;
        memcpy(copy.payload->data, data + FRAME_HEADER_SIZE, copy.payload->size);
    }
    fuzz_must(frame_size(has_payload ? copy.payload->size : 0) == size, "of another size");
    frame_encode(&copy, RUN, again);
    fuzz_must(memcmp(again, data, size) == 0, "two frames say the same");
    batch_release(copy.payload);
    free(again);
}

static void run(const unsigned char *data, size_t size)
{
    struct message message = {.kind = MESSAGE_BATCH};
    bool has_payload = false;
    const char *why = NULL;

    switch (frame_decode(data, size, RUN, &message, &has_payload, &why)) {
    case FRAME_OURS:
        encode_again(&message, data, size, has_payload);
        break;
    case FRAME_BROKEN:
        fuzz_must(why != NULL && strlen(why) > 5, "broken, and nobody knows why");
        break;
    case FRAME_FOREIGN:
        break;
    }
}

/* Of our run, and the checksum fits. */
static size_t mend(unsigned char *data, size_t size, size_t room)
{
    XXH3_state_t state;

    (void)room;
    if (size < FRAME_HEADER_SIZE)
        return size;
    memcpy(data, "WEIB", 4);
    little_put_u64(data + 8, RUN);
    little_put_u32(data + 44, (uint32_t)(size - FRAME_HEADER_SIZE));
    XXH3_64bits_reset(&state);
    XXH3_64bits_update(&state, data, 56);
    XXH3_64bits_update(&state, data + FRAME_HEADER_SIZE, size - FRAME_HEADER_SIZE);
    little_put_u64(data + 56, XXH3_64bits_digest(&state));
    return size;
}

static bool seed(uint32_t n, struct fuzz_bytes *to)
{
    unsigned char frame[FRAME_HEADER_SIZE + 40];
    struct message message = {.kind = (enum message_kind)(1 + n),
                              .epoch = 3,
                              .channel = 2,
                              .sequence = 9,
                              .id = 5,
                              .count = 1,
                              .value = 7};

    if (n >= MESSAGE_PROMISE)
        return false;
    if (message.kind == MESSAGE_BATCH) {
        message.payload = batch_alone(NULL, 40);
        fuzz_must(message.payload != NULL, "no memory");
        message.payload->size = 40;
        memset(message.payload->data, 8, 40);
    }
    frame_encode(&message, RUN, frame);
    fuzz_put(to, frame, message.payload != NULL ? sizeof frame : FRAME_HEADER_SIZE);
    batch_release(message.payload);
    return true;
}

const struct fuzz_target fuzz_frame = {"frame", run, seed, mend};
