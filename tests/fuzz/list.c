/* SPDX-License-Identifier: Apache-2.0
 *
 * list: the input is a segment as a manifest names it, and the list of its blobs. What is taken
 * keeps I1 to I3 of list.h, and is written again as it was.
 */
#include "list.h"

#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "little.h"
#include "name.h"

#define HEAD (4u * 8u)
#define MOST 1000u /* blobs */

/* What the manifest has checked before. */
static struct manifest_segment segment_of(struct fuzz_input *input)
{
    struct manifest_segment segment = {.place.blob = {.kind = BLOB_LIST, .epoch = 1, .id = 1}};

    segment.from_number = fuzz_u64(input) & (NAME_NUMBER_LIMIT >> 1);
    segment.place.offset = fuzz_u64(input) & NAME_NUMBER_LIMIT;
    uint64_t range = fuzz_u64(input);
    segment.place.first = (uint32_t)range;
    segment.place.last = (uint32_t)(range >> 32);
    uint64_t counts = fuzz_u64(input);
    segment.blob_count = (uint32_t)counts % MOST;
    segment.place.file_number = segment.from_number + (uint32_t)(counts >> 32) % MOST;
    return segment;
}

/* The sizes are what the entries add up to: else no input would get beyond them. */
static void add_up(struct manifest_segment *segment, const struct fuzz_input *input)
{
    for (size_t at = 0; at + LIST_ENTRY_SIZE <= input->size; at += LIST_ENTRY_SIZE) {
        segment->raw_size += little_u64(input->data + at + 24);
        segment->stored_size += little_u64(input->data + at + 32);
    }
}

static void look(const struct manifest_segment *segment, const struct manifest_blob *blobs)
{
    for (uint32_t i = 0; i < segment->blob_count; i++) {
        fuzz_must(blobs[i].first <= blobs[i].last && blobs[i].first >= segment->place.first &&
                      blobs[i].last <= segment->place.last,
                  "blob %u has hashes that the segment has not", i);
        fuzz_must(blobs[i].file_number >= segment->from_number &&
                      blobs[i].file_number <= segment->place.file_number,
                  "blob %u lies in another container", i);
        fuzz_must(i == 0 || blobs[i].first >= blobs[i - 1].last, "blob %u overlaps", i);
    }
}

static void run(const unsigned char *data, size_t size)
{
    struct fuzz_input input = {data, size};
    struct manifest_segment segment = segment_of(&input);
    struct weir_error error = {0};
    struct manifest_blob *blobs = calloc(MOST, sizeof *blobs);
    struct weir_bytes raw = {input.data, input.size};

    fuzz_must(blobs != NULL, "no memory");
    add_up(&segment, &input);
    enum weir_result result = list_read(&segment, raw, blobs, &error);
    if (result == WEIR_OK) {
        unsigned char *again = malloc(input.size);
        fuzz_must(again != NULL, "no memory");
        look(&segment, blobs);
        list_write(&segment, blobs, again);
        fuzz_must(memcmp(again, input.data, input.size) == 0, "two lists say the same");
        free(again);
    } else {
        fuzz_refused(result, &error);
    }
    free(blobs);
}

static void put_u64(struct fuzz_bytes *to, uint64_t number)
{
    unsigned char bytes[8];
    little_put_u64(bytes, number);
    fuzz_put(to, bytes, sizeof bytes);
}

/* n + 2 blobs; from the third on in the next container. */
static bool seed(uint32_t n, struct fuzz_bytes *to)
{
    uint32_t blobs = n + 2;

    if (n > 3)
        return false;
    put_u64(to, 6);
    put_u64(to, 100000);
    put_u64(to, (uint64_t)(10 * blobs) << 32);
    put_u64(to, blobs | (uint64_t)(blobs > 2) << 32);
    for (uint32_t i = 0; i < blobs; i++) {
        put_u64(to, (uint64_t)(10 * i) << 32 | (i >= 2));
        put_u64(to, 10 * (i + 1));
        put_u64(to, 2000 * i);
        put_u64(to, 9000);
        put_u64(to, 1000);
        put_u64(to, 4711);
    }
    return true;
}

const struct fuzz_target fuzz_list = {"list", run, seed, NULL};
