/* SPDX-License-Identifier: Apache-2.0 */
#include "lock.h"

#include <string.h>
#include <xxhash.h>

#include "disk.h"
#include "error.h"
#include "file.h"
#include "little.h"
#include "name.h"

#define LOCK_VERSION 1

enum {
    AT_VERSION = 8,
    AT_ORDER = 9,
    AT_GROUPS = 12,
    AT_STORE = 16,
    AT_EPOCH = 32,
    AT_PROCESS = 36,
    AT_BEGUN_WITH = 40,
    AT_CLEANING = 48,
    AT_CHECKSUM = 120,
};
_Static_assert(AT_CHECKSUM + 8 == LOCK_RECORD_SIZE, "a record ends with its checksum");
_Static_assert(AT_STORE + STORE_ID_SIZE == AT_EPOCH, "the store id fills its place");

static const char magic[8] = {'W', 'E', 'I', 'R', 'L', 'O', 'C', 'K'};

void lock_encode(const struct lock_record *record, unsigned char bytes[LOCK_RECORD_SIZE])
{
    memset(bytes, 0, LOCK_RECORD_SIZE);
    memcpy(bytes, magic, sizeof magic);
    bytes[AT_VERSION] = LOCK_VERSION;
    bytes[AT_ORDER] = little_native_order();
    little_put_u32(bytes + AT_GROUPS, record->key_groups);
    memcpy(bytes + AT_STORE, record->store_id, STORE_ID_SIZE);
    little_put_u32(bytes + AT_EPOCH, record->epoch);
    little_put_u32(bytes + AT_PROCESS, record->process);
    little_put_u64(bytes + AT_BEGUN_WITH, record->begun_with);
    bytes[AT_CLEANING] = record->cleaning;
    little_put_u64(bytes + AT_CHECKSUM, XXH3_64bits(bytes, AT_CHECKSUM));
}

static bool is_sound(const unsigned char *bytes)
{
    return memcmp(bytes, magic, sizeof magic) == 0 &&
           little_u64(bytes + AT_CHECKSUM) == XXH3_64bits(bytes, AT_CHECKSUM);
}

static enum weir_result decode_one(const unsigned char *bytes, struct lock_record *record,
                                   struct weir_error *error)
{
    enum weir_result known =
        error_unless_version(error, "the store's", bytes[AT_VERSION], LOCK_VERSION);
    if (known != WEIR_OK)
        return known;
    if (bytes[AT_ORDER] != little_native_order())
        return error_set(error, WEIR_UNSUPPORTED, 0,
                         "the store was made on a machine of another byte order");
    record->key_groups = little_u32(bytes + AT_GROUPS);
    memcpy(record->store_id, bytes + AT_STORE, STORE_ID_SIZE);
    record->epoch = little_u32(bytes + AT_EPOCH);
    record->process = little_u32(bytes + AT_PROCESS);
    record->begun_with = little_u64(bytes + AT_BEGUN_WITH);
    record->cleaning = bytes[AT_CLEANING] == 1;
    return WEIR_OK;
}

enum weir_result lock_decode(const unsigned char bytes[LOCK_SIZE], struct lock_content *content,
                             struct weir_error *error)
{
    *content = (struct lock_content){0};
    for (unsigned slot = 0; slot < 2; slot++) {
        const unsigned char *at = bytes + slot * LOCK_RECORD_SIZE;
        struct lock_record record;
        if (!is_sound(at))
            continue;
        enum weir_result result = decode_one(at, &record, error);
        if (result != WEIR_OK)
            return result;
        content->sound_count++;
        if (content->sound_count == 1 || record.epoch > content->record.epoch) {
            content->record = record;
            content->slot = slot;
        }
    }
    return WEIR_OK;
}

enum weir_result lock_read(int file, struct lock_content *content, struct weir_error *error)
{
    unsigned char bytes[LOCK_SIZE] = {0}; /* what a short file lacks is unsound */
    size_t got = 0;
    int failure = file_read(file, bytes, sizeof bytes, 0, &got);
    if (failure < 0)
        return error_os(error, -failure, "reading " NAME_LOCK);
    return lock_decode(bytes, content, error);
}

static int write_slot(int file, unsigned slot, const struct lock_record *record)
{
    unsigned char bytes[LOCK_RECORD_SIZE];
    lock_encode(record, bytes);
    int failure = file_write(file, bytes, sizeof bytes, (uint64_t)slot * LOCK_RECORD_SIZE);
    return failure < 0 ? failure : disk_sync(file);
}

enum weir_result lock_write(int file, const struct lock_content *before,
                            const struct lock_record *record, struct weir_error *error)
{
    unsigned slot = before->sound_count == 0 ? 1 : 1 - before->slot; /* K2 */
    bool follows = before->sound_count == 2 && record->epoch == before->record.epoch + 1;
    int failure = write_slot(file, slot, record);
    if (failure == 0 && !follows) { /* K1 */
        struct lock_record previous = *record;
        previous.epoch--;
        failure = write_slot(file, 1 - slot, &previous);
    }
    if (failure < 0)
        return error_os(error, -failure, "writing the epoch into " NAME_LOCK);
    return WEIR_OK;
}
