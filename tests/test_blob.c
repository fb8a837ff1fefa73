/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <lz4frame.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "blob.h"
#include "exercised.h"
#include "little.h"

static const struct blob of = {.kind = BLOB_SNAPSHOT, .epoch = 3, .task = 5, .id = 77};

static struct blob seal(const void *raw, size_t size, struct blob_buffer *out)
{
    struct blob blob = of;
    struct weir_error error;
    cr_assert_eq(blob_seal(&blob, (struct weir_bytes){raw, size}, out, NULL, &error), WEIR_OK);
    return blob;
}

/* And what opens checks too; what does not check does not open. */
static enum weir_result open_bytes(const struct blob *expected, const unsigned char *bytes,
                                   size_t size)
{
    struct blob_buffer out = {0};
    struct weir_error error;
    const struct weir_bytes stored = {bytes, size};
    enum weir_result result = blob_open(expected, stored, &out, NULL, &error);
    enum weir_result checked = blob_check(expected, stored, &error);
    cr_assert(result == WEIR_OK ? checked == WEIR_OK : checked == result || checked == WEIR_OK);
    blob_buffer_free(&out, NULL);
    return result;
}

/* Makes the header's own checksum hold again, so that what stands behind it is reached. */
static void repair(unsigned char *header)
{
    little_put_u64(header + 56, XXH3_64bits(header, 56));
}

Test(blob, opens_to_what_was_sealed_whatever_the_size)
{
    const size_t sizes[] = {0, 1, 7, 65535, 65536, 65537, 300000};
    unsigned char *raw = malloc(300000);
    struct blob_buffer sealed = {0}, out = {0};
    struct weir_error error;
    for (int pattern = 0; pattern < 3; pattern++) {
        uint64_t seed = 1;
        for (size_t i = 0; i < 300000; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            raw[i] = (unsigned char)(pattern == 0 ? 0 : pattern == 1 ? i / 97 : seed >> 56);
        }
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            struct blob blob = seal(raw, sizes[i], &sealed);
            struct weir_bytes stored = {sealed.data, sealed.size};
            cr_assert_eq(sealed.size, BLOB_HEADER_SIZE + blob.stored_size);
            cr_assert_eq(blob_open(&blob, stored, &out, NULL, &error), WEIR_OK, "%s", error.text);
            cr_assert_eq(out.size, sizes[i]);
            cr_assert_eq(memcmp(out.data, raw, sizes[i]), 0);
        }
    }
    blob_buffer_free(&sealed, NULL);
    blob_buffer_free(&out, NULL);
    free(raw);
}

Test(blob, every_flipped_bit_and_every_cut_is_found)
{
    struct blob_buffer sealed = {0};
    struct blob blob = seal("the quick brown fox the quick brown fox the quick", 50, &sealed);
    for (size_t i = 0; i < sealed.size * 8; i++) {
        sealed.data[i / 8] ^= (unsigned char)(1 << i % 8);
        cr_assert_eq(open_bytes(&blob, sealed.data, sealed.size), WEIR_DAMAGED, "bit %zu", i);
        cr_assert_eq(blob_check(&blob, (struct weir_bytes){sealed.data, sealed.size}, NULL),
                     WEIR_DAMAGED, "found without opening it");
        sealed.data[i / 8] ^= (unsigned char)(1 << i % 8);
    }
    for (size_t size = 0; size < sealed.size; size++)
        cr_assert_eq(open_bytes(&blob, sealed.data, size), WEIR_DAMAGED, "size %zu", size);
    exercised(sealed.size * 9);
    cr_assert_eq(open_bytes(&blob, sealed.data, sealed.size), WEIR_OK);
    blob_buffer_free(&sealed, NULL);
}

Test(blob, a_right_blob_in_a_wrong_place_is_damage)
{
    struct blob_buffer sealed = {0};
    const struct blob blob = seal("abc", 3, &sealed);
    struct blob wrong[7] = {blob, blob, blob, blob, blob, blob, blob};
    wrong[0].epoch++;
    wrong[1].task++;
    wrong[2].id++;
    wrong[3].raw_size++;
    wrong[4].stored_size++;
    wrong[5].checksum++;
    wrong[6].kind = BLOB_INFLIGHT;
    for (int i = 0; i < 7; i++)
        cr_assert_eq(open_bytes(&wrong[i], sealed.data, sealed.size), WEIR_DAMAGED, "%d", i);
    blob_buffer_free(&sealed, NULL);
}

Test(blob, a_newer_version_and_another_byte_order_are_refused_as_such)
{
    struct blob_buffer sealed = {0};
    struct blob blob = seal("abc", 3, &sealed);
    sealed.data[12]++;
    repair(sealed.data);
    cr_assert_eq(open_bytes(&blob, sealed.data, sealed.size), WEIR_UNSUPPORTED);
    sealed.data[12]--;
    sealed.data[14] = (unsigned char)(3 - sealed.data[14]);
    repair(sealed.data);
    cr_assert_eq(open_bytes(&blob, sealed.data, sealed.size), WEIR_UNSUPPORTED);
    blob_buffer_free(&sealed, NULL);
}

Test(blob, kinds_are_told_apart_and_an_unknown_one_is_refused_as_such)
{
    struct blob_buffer sealed = {0};
    struct weir_error error;
    struct blob blob = of, read;
    blob.kind = BLOB_INFLIGHT;
    cr_assert_eq(blob_seal(&blob, (struct weir_bytes){"abc", 3}, &sealed, NULL, &error), WEIR_OK);
    cr_assert_eq(blob_header(sealed.data, &read, &error), WEIR_OK);
    cr_assert_eq(read.kind, BLOB_INFLIGHT);
    cr_assert_eq(open_bytes(&blob, sealed.data, sealed.size), WEIR_OK);
    blob.kind = BLOB_SNAPSHOT;
    cr_assert_eq(open_bytes(&blob, sealed.data, sealed.size), WEIR_DAMAGED);
    for (unsigned kind = 0; kind < 256; kind += kind == 0 ? BLOB_LIST + 1 : 1) {
        sealed.data[13] = (unsigned char)kind;
        repair(sealed.data);
        cr_assert_eq(blob_header(sealed.data, &read, &error), WEIR_UNSUPPORTED, "kind %u", kind);
    }
    blob_buffer_free(&sealed, NULL);
}

Test(blob, impossible_sizes_are_refused_before_memory_is_taken)
{
    struct blob_buffer sealed = {0};
    struct weir_error error;
    struct blob blob = seal("abc", 3, &sealed), read;
    const uint64_t raw[] = {255 * blob.stored_size + 65, BLOB_RAW_LIMIT + 1, UINT64_MAX};
    for (int i = 0; i < 3; i++) {
        little_put_u64(sealed.data + 32, raw[i]);
        repair(sealed.data);
        cr_assert_eq(blob_header(sealed.data, &read, &error), WEIR_DAMAGED);
    }
    little_put_u64(sealed.data + 32, 3);
    little_put_u64(sealed.data + 40, UINT64_MAX);
    repair(sealed.data);
    cr_assert_eq(blob_header(sealed.data, &read, &error), WEIR_DAMAGED);
    blob_buffer_free(&sealed, NULL);
}

/* A blob whose checksums all hold, around a frame that weir would not write. */
static enum weir_result open_frame(const unsigned char *frame, size_t size, size_t raw_size)
{
    struct blob_buffer sealed = {0};
    struct blob blob = seal("", 0, &sealed);
    unsigned char *bytes = malloc(BLOB_HEADER_SIZE + size);
    memcpy(bytes, sealed.data, BLOB_HEADER_SIZE);
    memcpy(bytes + BLOB_HEADER_SIZE, frame, size);
    blob.raw_size = raw_size;
    blob.stored_size = size;
    blob.checksum = XXH3_64bits(frame, size);
    little_put_u64(bytes + 32, raw_size);
    little_put_u64(bytes + 40, size);
    little_put_u64(bytes + 48, blob.checksum);
    repair(bytes);
    enum weir_result result = open_bytes(&blob, bytes, BLOB_HEADER_SIZE + size);
    free(bytes);
    blob_buffer_free(&sealed, NULL);
    return result;
}

static size_t pack(unsigned char *frame, bool checksums, size_t content_size, unsigned dictionary)
{
    LZ4F_preferences_t how = {.frameInfo = {.blockSizeID = LZ4F_max64KB,
                                            .contentSize = content_size,
                                            .dictID = dictionary,
                                            .contentChecksumFlag = checksums,
                                            .blockChecksumFlag = checksums}};
    return LZ4F_compressFrame(frame, 4096, "hello hello", 11, &how);
}

/* Nothing of it is read. */
Test(blob, more_than_the_limit_is_not_sealed)
{
    struct blob blob = {.kind = BLOB_STATE, .epoch = 1, .id = 1};
    struct blob_buffer out = {0};
    struct weir_error error = {0};
    cr_assert_eq(blob_seal(&blob, (struct weir_bytes){"", BLOB_RAW_LIMIT + 1}, &out, NULL, &error),
                 WEIR_TOO_LARGE);
    cr_assert_not_null(strstr(error.text, "over the limit"), "%s", error.text);
    cr_assert_null(out.data);
}

Test(blob, accepts_only_frames_that_weir_would_write)
{
    unsigned char frame[8192];
    size_t size = pack(frame, true, 11, 0);
    cr_assert_eq(open_frame(frame, size, 11), WEIR_OK);
    cr_assert_eq(open_frame(frame, size, 12), WEIR_DAMAGED, "other size than declared");
    cr_assert_eq(open_frame(frame, size + 1, 11), WEIR_DAMAGED, "bytes after the end mark");
    memcpy(frame + size, frame, size);
    cr_assert_eq(open_frame(frame, 2 * size, 11), WEIR_DAMAGED, "a second frame");
    for (size_t cut = 0; cut < size; cut++)
        cr_assert_eq(open_frame(frame, cut, 11), WEIR_DAMAGED, "cut at %zu", cut);
    size = pack(frame, false, 11, 0);
    cr_assert_eq(open_frame(frame, size, 11), WEIR_DAMAGED, "no checksums");
    size = pack(frame, true, 0, 0);
    cr_assert_eq(open_frame(frame, size, 11), WEIR_DAMAGED, "no content size");
    size = pack(frame, true, 11, 9);
    cr_assert_eq(open_frame(frame, size, 11), WEIR_DAMAGED, "a dictionary");
    little_put_u32(frame, 0x184D2A50);
    little_put_u32(frame + 4, 11);
    cr_assert_eq(open_frame(frame, 19, 11), WEIR_DAMAGED, "a skippable frame");
}

static void *never(void *context, size_t size)
{
    (void)context;
    (void)size;
    return NULL;
}

Test(blob, says_when_there_is_no_memory)
{
    const struct weir_allocator none = {.allocate = never};
    struct blob_buffer sealed = {0}, out = {0};
    struct blob blob = of;
    struct weir_error error;
    cr_assert_eq(blob_seal(&blob, (struct weir_bytes){"abc", 3}, &out, &none, &error),
                 WEIR_NO_MEMORY);
    blob = seal("abc", 3, &sealed);
    struct weir_bytes stored = {sealed.data, sealed.size};
    cr_assert_eq(blob_open(&blob, stored, &out, &none, &error), WEIR_NO_MEMORY);
    blob_buffer_free(&sealed, NULL);
}
