/* SPDX-License-Identifier: Apache-2.0
 *
 * lock: the input is a LOCK file. Of two sound records the newer counts, and is written again as it
 * was read.
 */
#include "lock.h"

#include <string.h>

#include "fuzz.h"
#include "samples.h"

static void run(const unsigned char *data, size_t size)
{
    unsigned char bytes[LOCK_SIZE] = {0}, again[LOCK_SIZE];
    struct lock_content content, second;
    struct weir_error error = {0};

    memcpy(bytes, data, size < sizeof bytes ? size : sizeof bytes);
    enum weir_result result = lock_decode(bytes, &content, &error);
    if (result != WEIR_OK) {
        fuzz_refused(result, &error);
        return;
    }
    fuzz_must(content.sound_count <= 2 && content.slot <= 1, "more records than there can be");
    if (content.sound_count == 0)
        return;
    lock_encode(&content.record, again);
    lock_encode(&content.record, again + LOCK_RECORD_SIZE);
    fuzz_must(lock_decode(again, &second, &error) == WEIR_OK, "%s", error.text);
    const struct lock_record *one = &content.record, *two = &second.record;
    fuzz_must(one->epoch == two->epoch && one->process == two->process &&
                  one->key_groups == two->key_groups && one->begun_with == two->begun_with &&
                  memcmp(one->store_id, two->store_id, STORE_ID_SIZE) == 0,
              "reads back as another record");
}

static size_t mend(unsigned char *data, size_t size, size_t room)
{
    (void)room;
    samples_seal_lock(data, size);
    return size;
}

static bool seed(uint32_t n, struct fuzz_bytes *to)
{
    unsigned char bytes[LOCK_SIZE];
    struct lock_record record = {.epoch = 5, .process = 4711, .key_groups = 128, .begun_with = 3};

    if (n > 1)
        return false;
    lock_encode(&record, bytes);
    record.epoch += n == 0 ? 1 : UINT32_MAX;
    lock_encode(&record, bytes + LOCK_RECORD_SIZE);
    fuzz_put(to, bytes, sizeof bytes);
    return true;
}

const struct fuzz_target fuzz_lock = {"lock", run, seed, mend};
