/* SPDX-License-Identifier: Apache-2.0
 *
 * blob: the input is a blob, header and frame. What opens is sealed again, and opens to the same
 * bytes; what is opened takes no more memory than I2 allows for.
 */
#include "blob.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "fuzz.h"
#include "little.h"

#define SPARE                                                                                      \
    ((size_t)128 << 10) /* bytes of memory besides: what a frame of little needs at most */

static void seal_again(const struct blob_buffer *raw, const struct blob *of)
{
    const struct weir_allocator *allocator = fuzz_memory(3 * raw->size + SPARE);
    struct blob blob = *of;
    struct blob_buffer sealed = {0}, again = {0};
    struct weir_error error = {0};
    struct weir_bytes bytes = {raw->data, raw->size};

    fuzz_must(blob_seal(&blob, bytes, &sealed, allocator, &error) == WEIR_OK, "%s", error.text);
    bytes = (struct weir_bytes){sealed.data, sealed.size};
    fuzz_must(blob_open(&blob, bytes, &again, allocator, &error) == WEIR_OK, "%s", error.text);
    fuzz_must(again.size == raw->size && memcmp(again.data, raw->data, raw->size) == 0,
              "opens to other bytes");
    blob_buffer_free(&sealed, allocator);
    blob_buffer_free(&again, allocator);
}

static void run(const unsigned char *data, size_t size)
{
    const struct weir_allocator *allocator = fuzz_memory(255 * size + SPARE);
    struct blob expected = {.kind = BLOB_SNAPSHOT};
    struct blob_buffer out = {0}, copy = {0};
    struct weir_error error = {0};
    struct weir_bytes stored = {data, size};

    if (size >= BLOB_HEADER_SIZE) {
        enum weir_result result = blob_header(data, &expected, &error);
        if (result != WEIR_OK)
            fuzz_refused(result, &error);
    }
    enum weir_result result = blob_open(&expected, stored, &out, allocator, &error);
    if (result != WEIR_OK) {
        fuzz_refused(result, &error);
    } else {
        fuzz_must(blob_check(&expected, stored, &error) == WEIR_OK, "opens, but does not check");
        fuzz_must(out.size == expected.raw_size, "opens to another size");
        copy.data = malloc(out.size + 1);
        fuzz_must(copy.data != NULL, "no memory");
        copy.size = out.size;
        memcpy(copy.data, out.data, out.size);
    }
    blob_buffer_free(&out, allocator);
    if (copy.data != NULL)
        seal_again(&copy, &expected);
    free(copy.data);
}

/* The checks within an LZ4 frame: its header's, and each block's. That of all the content is left
 * as it is: it is looked at last. */
static void mend_frame(unsigned char *frame, size_t size)
{
    const size_t head = 4 + 2 + 8; /* magic, flags, content size; a byte of checksum follows */

    if (size <= head)
        return;
    frame[head] = (unsigned char)(XXH32(frame + 4, head - 4, 0) >> 8);
    for (size_t at = head + 1; at + 8 <= size;) {
        size_t block = little_u32(frame + at) & 0x7fffffffu;
        if (block == 0 || block > size - at - 8)
            return;
        little_put_u32(frame + at + 4 + block, XXH32(frame + at + 4, block, 0));
        at += 8 + block;
    }
}

static size_t mend(unsigned char *data, size_t size, size_t room)
{
    (void)room;
    if (size < BLOB_HEADER_SIZE)
        return size;
    mend_frame(data + BLOB_HEADER_SIZE, size - BLOB_HEADER_SIZE);
    little_put_u64(data + 40, size - BLOB_HEADER_SIZE);
    little_put_u64(data + 48, XXH3_64bits(data + BLOB_HEADER_SIZE, size - BLOB_HEADER_SIZE));
    little_put_u64(data + 56, XXH3_64bits(data, 56));
    return size;
}

/* Little, nothing, much of the same, and what can't be compressed, over several blocks. */
static bool seed(uint32_t n, struct fuzz_bytes *to)
{
    static const size_t sizes[] = {0, 1, 40, 3000, 70000, 5000};
    struct blob blob = {.kind = (enum blob_kind)(1 + n % 4), .epoch = 7, .task = 2, .id = 41};
    struct blob_buffer sealed = {0};
    struct weir_error error = {0};

    if (n >= sizeof sizes / sizeof sizes[0])
        return false;
    unsigned char *raw = calloc(1, sizes[n] + 1);
    fuzz_must(raw != NULL, "no memory");
    for (size_t i = 0; n == 5 && i < sizes[n]; i++)
        raw[i] = (unsigned char)(XXH64(&i, sizeof i, 0) >> 9);
    enum weir_result result =
        blob_seal(&blob, (struct weir_bytes){raw, sizes[n]}, &sealed, NULL, &error);
    fuzz_must(result == WEIR_OK, "%s", error.text);
    fuzz_put(to, sealed.data, sealed.size);
    blob_buffer_free(&sealed, NULL);
    free(raw);
    return true;
}

const struct fuzz_target fuzz_blob = {"blob", run, seed, mend};
