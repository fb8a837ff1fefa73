/* SPDX-License-Identifier: Apache-2.0 */
#include "list.h"

#include "error.h"
#include "little.h"
#include "name.h"

enum {
    AT_CONTAINER = 0,
    AT_FIRST = 4,
    AT_LAST = 8,
    AT_ZERO = 12,
    AT_OFFSET = 16,
    AT_RAW = 24,
    AT_STORED = 32,
    AT_CHECKSUM = 40,
};
_Static_assert(AT_CHECKSUM + 8 == LIST_ENTRY_SIZE, "an entry ends with the checksum");

void list_write(const struct manifest_segment *segment, const struct manifest_blob *blobs,
                unsigned char *to)
{
    for (uint32_t i = 0; i < segment->blob_count; i++, to += LIST_ENTRY_SIZE) {
        little_put_u32(to + AT_CONTAINER, (uint32_t)(blobs[i].file_number - segment->from_number));
        little_put_u32(to + AT_FIRST, blobs[i].first);
        little_put_u32(to + AT_LAST, blobs[i].last);
        little_put_u32(to + AT_ZERO, 0);
        little_put_u64(to + AT_OFFSET, blobs[i].offset);
        little_put_u64(to + AT_RAW, blobs[i].blob.raw_size);
        little_put_u64(to + AT_STORED, blobs[i].blob.stored_size);
        little_put_u64(to + AT_CHECKSUM, blobs[i].blob.checksum);
    }
}

static struct manifest_blob read_entry(const struct manifest_segment *segment,
                                       const unsigned char *from)
{
    struct manifest_blob blob = segment->place;
    blob.blob.kind = BLOB_STATE;
    blob.file_number = segment->from_number + little_u32(from + AT_CONTAINER);
    blob.first = little_u32(from + AT_FIRST);
    blob.last = little_u32(from + AT_LAST);
    blob.offset = little_u64(from + AT_OFFSET);
    blob.blob.raw_size = little_u64(from + AT_RAW);
    blob.blob.stored_size = little_u64(from + AT_STORED);
    blob.blob.checksum = little_u64(from + AT_CHECKSUM);
    return blob;
}

/* I1. Sizes are bounded, so the end of a blob is a number. */
static bool lies_behind(const struct manifest_blob *blob, const struct manifest_blob *before)
{
    if (blob->file_number == before->file_number + 1)
        return true;
    return blob->file_number == before->file_number &&
           blob->offset >= before->offset + BLOB_HEADER_SIZE + before->blob.stored_size;
}

static const char *check_entry(const struct manifest_segment *segment,
                               const struct manifest_blob *blobs, uint32_t i, uint32_t zero)
{
    const struct manifest_blob *blob = &blobs[i];
    if (zero != 0 || blob->offset > NAME_NUMBER_LIMIT || blob->blob.raw_size > BLOB_RAW_LIMIT ||
        blob->blob.stored_size > 2 * BLOB_RAW_LIMIT)
        return "impossible values";
    if (i == 0 ? blob->file_number != segment->from_number : !lies_behind(blob, &blobs[i - 1]))
        return "places that do not follow each other";
    if (blob->first > blob->last || (i > 0 && blob->first < blobs[i - 1].last))
        return "ranges of hashes that do not ascend";
    return NULL;
}

static const char *check_whole(const struct manifest_segment *segment,
                               const struct manifest_blob *blobs)
{
    const struct manifest_blob *last = &blobs[segment->blob_count - 1];
    uint64_t raw = 0, stored = 0; /* of at most 2^16 times 2^37 */
    for (uint32_t i = 0; i < segment->blob_count; i++) {
        raw += blobs[i].blob.raw_size;
        stored += blobs[i].blob.stored_size;
    }
    if (!lies_behind(&segment->place, last))
        return "places that do not follow each other";
    if (blobs[0].first != segment->place.first || last->last != segment->place.last)
        return "another range of hashes than the manifest says";
    if (raw != segment->raw_size || stored != segment->stored_size)
        return "other sizes than the manifest says";
    return NULL;
}

enum weir_result list_read(const struct manifest_segment *segment, struct weir_bytes raw,
                           struct manifest_blob *blobs, struct weir_error *error)
{
    const unsigned char *from = raw.data;
    const char *wrong = NULL;
    if (segment->blob_count < 2 || raw.size != (size_t)segment->blob_count * LIST_ENTRY_SIZE)
        wrong = "another number of blobs than the manifest says";
    for (uint32_t i = 0; wrong == NULL && i < segment->blob_count; i++) {
        blobs[i] = read_entry(segment, from + (size_t)i * LIST_ENTRY_SIZE);
        wrong = check_entry(segment, blobs, i,
                            little_u32(from + (size_t)i * LIST_ENTRY_SIZE + AT_ZERO));
    }
    if (wrong == NULL)
        wrong = check_whole(segment, blobs);
    return wrong == NULL
               ? WEIR_OK
               : error_set(error, WEIR_DAMAGED, 0, "the list of a segment's blobs holds %s", wrong);
}
