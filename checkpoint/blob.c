/* SPDX-License-Identifier: Apache-2.0
 *
 * blob: the only file that knows LZ4. Layout and invariants I1-I3 stand in blob.h.
 *
 * LZ4F and not bare blocks: one bit flipped in a bare block of text decodes to the right size with
 * wrong content in nine of ten cases; with block and content checksums never (20 000 trials).
 * Blocks of 64 KiB, linked: a part is always read whole, so independent blocks would only cost
 * ratio.
 */
#include "blob.h"

#include <assert.h>
#include <lz4frame.h>
#include <string.h>
#include <xxhash.h>

#include "error.h"
#include "little.h"
#include "memory.h"
#include "plant.h"

enum {
    AT_MAGIC = 0,
    AT_SKIP = 4,
    AT_NAME = 8,
    AT_VERSION = 12,
    AT_KIND = 13,
    AT_ORDER = 14,
    AT_ZERO = 15,
    AT_EPOCH = 16,
    AT_TASK = 20,
    AT_ID = 24,
    AT_RAW = 32,
    AT_STORED = 40,
    AT_CHECKSUM = 48,
    AT_HEADER_CHECKSUM = 56,
};
_Static_assert(AT_HEADER_CHECKSUM + 8 == BLOB_HEADER_SIZE, "the header ends with its checksum");

#define SKIPPABLE_FRAME 0x184D2A57u
#define SKIPPED_SIZE (BLOB_HEADER_SIZE - 8)
/* More than any frame of BLOB_RAW_LIMIT raw bytes; keeps 255 * stored from overflowing. */
#define STORED_LIMIT (BLOB_RAW_LIMIT + BLOB_RAW_LIMIT / 64 + 64)

void blob_buffer_free(struct blob_buffer *buffer, const struct weir_allocator *allocator)
{
    memory_release(allocator, buffer->data);
    *buffer = (struct blob_buffer){0};
}

/* Room for `size` bytes; what was in the buffer is lost. */
static enum weir_result make_room(struct blob_buffer *buffer, size_t size,
                                  const struct weir_allocator *allocator, const char *what,
                                  struct weir_error *error)
{
    buffer->size = 0;
    if (size <= buffer->capacity && buffer->data != NULL)
        return WEIR_OK;
    blob_buffer_free(buffer, allocator);
    buffer->data = memory_take(allocator, size);
    if (buffer->data == NULL)
        return error_memory(error, what, size);
    buffer->capacity = size;
    return WEIR_OK;
}

/* ------------------------------------------------------------------------------- sealing -- */

static void write_header(const struct blob *blob, unsigned char *header)
{
    little_put_u32(header + AT_MAGIC, SKIPPABLE_FRAME);
    little_put_u32(header + AT_SKIP, SKIPPED_SIZE);
    memcpy(header + AT_NAME, "WEIR", 4);
    header[AT_VERSION] = BLOB_VERSION;
    header[AT_KIND] = (unsigned char)blob->kind;
    header[AT_ORDER] = little_native_order();
    header[AT_ZERO] = 0;
    little_put_u32(header + AT_EPOCH, blob->epoch);
    little_put_u32(header + AT_TASK, blob->task);
    little_put_u64(header + AT_ID, blob->id);
    little_put_u64(header + AT_RAW, blob->raw_size);
    little_put_u64(header + AT_STORED, blob->stored_size);
    little_put_u64(header + AT_CHECKSUM, blob->checksum);
    little_put_u64(header + AT_HEADER_CHECKSUM, XXH3_64bits(header, AT_HEADER_CHECKSUM));
}

enum weir_result blob_seal(struct blob *blob, struct weir_bytes raw, struct blob_buffer *out,
                           const struct weir_allocator *allocator, struct weir_error *error)
{
    if (raw.size > BLOB_RAW_LIMIT)
        return error_set(error, WEIR_TOO_LARGE, 0,
                         "a part of %zu bytes is over the limit of %llu bytes", raw.size,
                         (unsigned long long)BLOB_RAW_LIMIT);
    LZ4F_preferences_t preferences = {
        .frameInfo = {.blockSizeID = LZ4F_max64KB,
                      .blockMode = LZ4F_blockLinked,
                      .contentChecksumFlag = LZ4F_contentChecksumEnabled,
                      .blockChecksumFlag = LZ4F_blockChecksumEnabled,
                      .contentSize = raw.size},
    };
    size_t bound = LZ4F_compressFrameBound(raw.size, &preferences);
    enum weir_result result =
        make_room(out, BLOB_HEADER_SIZE + bound, allocator, "sealing a part", error);
    if (result != WEIR_OK)
        return result;
    size_t stored =
        LZ4F_compressFrame(out->data + BLOB_HEADER_SIZE, bound, raw.data, raw.size, &preferences);
    if (LZ4F_isError(stored))
        return error_set(error, WEIR_NO_MEMORY, 0, "compressing a part of %zu bytes: %s", raw.size,
                         LZ4F_getErrorName(stored));
    blob->raw_size = raw.size;
    blob->stored_size = stored;
    blob->checksum = XXH3_64bits(out->data + BLOB_HEADER_SIZE, stored);
    write_header(blob, out->data);
    out->size = BLOB_HEADER_SIZE + stored;
    return WEIR_OK;
}

/* ------------------------------------------------------------------------------- opening -- */

static enum weir_result damaged(struct weir_error *error, const char *reason)
{
    return error_set(error, WEIR_DAMAGED, 0, "%s", reason);
}

/* I2 */
static bool sizes_possible(const struct blob *blob)
{
    return blob->stored_size <= STORED_LIMIT && blob->raw_size <= BLOB_RAW_LIMIT &&
           blob->raw_size <= 255 * blob->stored_size + 64;
}

enum weir_result blob_header(const unsigned char header[BLOB_HEADER_SIZE], struct blob *blob,
                             struct weir_error *error)
{
    if (little_u32(header + AT_MAGIC) != SKIPPABLE_FRAME ||
        little_u32(header + AT_SKIP) != SKIPPED_SIZE || memcmp(header + AT_NAME, "WEIR", 4) != 0)
        return damaged(error, "this is not a blob: the magic bytes are missing");
    if (little_u64(header + AT_HEADER_CHECKSUM) != XXH3_64bits(header, AT_HEADER_CHECKSUM))
        return damaged(error, "the header's checksum does not match");
    enum weir_result known = error_unless_version(error, "blob", header[AT_VERSION], BLOB_VERSION);
    if (known != WEIR_OK)
        return known;
    if (header[AT_ORDER] != little_native_order())
        return error_set(error, WEIR_UNSUPPORTED, 0,
                         "the blob was written on a machine of another byte order");
    if (header[AT_KIND] < BLOB_SNAPSHOT || header[AT_KIND] > BLOB_LIST)
        return error_set(error, WEIR_UNSUPPORTED, 0, "the blob is of unknown kind %u",
                         header[AT_KIND]);
    struct blob read = {
        .kind = (enum blob_kind)header[AT_KIND],
        .epoch = little_u32(header + AT_EPOCH),
        .task = little_u32(header + AT_TASK),
        .id = little_u64(header + AT_ID),
        .raw_size = little_u64(header + AT_RAW),
        .stored_size = little_u64(header + AT_STORED),
        .checksum = little_u64(header + AT_CHECKSUM),
    };
    if (header[AT_ZERO] != 0 || !sizes_possible(&read))
        return damaged(error, "the header holds impossible values");
    *blob = read;
    return WEIR_OK;
}

static enum weir_result compare(const struct blob *expected, const struct blob *found,
                                struct weir_error *error)
{
    if (WEIR_PLANT(parts_swapped) && expected->task != found->task)
        return WEIR_OK;
    if (expected->kind != found->kind)
        return damaged(error, "the blob is of another kind");
    if (expected->epoch != found->epoch || expected->id != found->id ||
        expected->task != found->task)
        return error_set(error, WEIR_DAMAGED, 0,
                         "the blob belongs elsewhere: it is of task %u, checkpoint %llu, epoch %u "
                         "where task %u, checkpoint %llu, epoch %u was expected",
                         found->task, (unsigned long long)found->id, found->epoch, expected->task,
                         (unsigned long long)expected->id, expected->epoch);
    if (expected->raw_size != found->raw_size || expected->stored_size != found->stored_size)
        return damaged(error, "the blob's sizes are not those in the manifest");
    if (expected->checksum != found->checksum)
        return damaged(error, "the blob's checksum is not the one in the manifest");
    return WEIR_OK;
}

/* What we wrote and nothing else: decoders accept much more (I3). Returns the frame header's size,
 * 0 when it is not ours. */
static size_t check_frame(LZ4F_dctx *context, const struct blob *blob, const unsigned char *frame)
{
    LZ4F_frameInfo_t info = LZ4F_INIT_FRAMEINFO;
    size_t used = blob->stored_size;
    if (LZ4F_isError(LZ4F_getFrameInfo(context, &info, frame, &used)))
        return 0;
    bool ours = info.frameType == LZ4F_frame && info.dictID == 0 &&
                info.contentSize == blob->raw_size &&
                info.contentChecksumFlag == LZ4F_contentChecksumEnabled &&
                info.blockChecksumFlag == LZ4F_blockChecksumEnabled;
    return ours ? used : 0;
}

static enum weir_result unpack(LZ4F_dctx *context, const struct blob *blob,
                               const unsigned char *frame, unsigned char *raw,
                               struct weir_error *error)
{
    size_t in = check_frame(context, blob, frame);
    size_t out = 0;
    const LZ4F_decompressOptions_t options = {
        .stableDst = 1, /* linked blocks refer back to raw */
        .skipChecksums = WEIR_PLANT(checksum_unchecked),
    };
    if (in == 0)
        return damaged(error, "the LZ4 frame's header is not one that weir writes");
    for (;;) {
        size_t taken = blob->stored_size - in, given = blob->raw_size - out;
        size_t hint = LZ4F_decompress(context, raw + out, &given, frame + in, &taken, &options);
        if (LZ4F_isError(hint))
            return error_set(error, WEIR_DAMAGED, 0, "decompressing failed: %s",
                             LZ4F_getErrorName(hint));
        in += taken;
        out += given;
        if (hint == 0)
            break;
        if (taken == 0 && given == 0)
            return damaged(error, "the LZ4 frame does not end where it should");
    }
    if (in != blob->stored_size || out != blob->raw_size)
        return damaged(error, "the LZ4 frame does not have the size the header says");
    return WEIR_OK;
}

/* I1, but for the frame's own header. */
static enum weir_result check(const struct blob *expected, struct weir_bytes stored,
                              struct blob *found, struct weir_error *error)
{
    if (stored.size < BLOB_HEADER_SIZE)
        return damaged(error, "the blob is cut short: there is no whole header");
    enum weir_result result = blob_header(stored.data, found, error);
    if (result == WEIR_OK)
        result = compare(expected, found, error);
    if (result != WEIR_OK)
        return result;
    const unsigned char *frame = (const unsigned char *)stored.data + BLOB_HEADER_SIZE;
    if (stored.size - BLOB_HEADER_SIZE != found->stored_size)
        return damaged(error, "the blob's real size is not the one its header says");
    if (XXH3_64bits(frame, (size_t)found->stored_size) != found->checksum &&
        !WEIR_PLANT(checksum_unchecked))
        return damaged(error, "the blob's checksum does not match its bytes");
    return WEIR_OK;
}

enum weir_result blob_check(const struct blob *expected, struct weir_bytes stored,
                            struct weir_error *error)
{
    struct blob found;
    return check(expected, stored, &found, error);
}

enum weir_result blob_open(const struct blob *expected, struct weir_bytes stored,
                           struct blob_buffer *out, const struct weir_allocator *allocator,
                           struct weir_error *error)
{
    struct blob found;
    enum weir_result result = check(expected, stored, &found, error);
    if (result != WEIR_OK)
        return result;
    const unsigned char *frame = (const unsigned char *)stored.data + BLOB_HEADER_SIZE;
    /* I1: everything holds; from here on memory is spent. At least a byte: LZ4 wants an address. */
    result = make_room(out, (size_t)found.raw_size + 1, allocator, "opening a part", error);
    if (result != WEIR_OK)
        return result;
    LZ4F_dctx *context = NULL;
    if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION)))
        return error_memory(error, "opening a part", 0);
    result = unpack(context, &found, frame, out->data, error);
    LZ4F_freeDecompressionContext(context);
    if (result == WEIR_OK)
        out->size = (size_t)found.raw_size;
    return result;
}
