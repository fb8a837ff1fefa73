/* SPDX-License-Identifier: Apache-2.0
 *
 * items: the input is what lies in a batch, behind a byte: does the channel stay together? All
 * records and marks are taken, or none is (item.h, rehash.h); each record goes to one reader.
 */
#include "item.h"

#include <string.h>

#include "fuzz.h"
#include "rehash.h"

#define READERS 3u
#define GROUPS 128u

struct sum {
    uint32_t records;
    size_t bytes;
    uint64_t content;
};

static void add(struct sum *sum, struct weir_bytes bytes)
{
    const unsigned char *data = bytes.data;

    sum->bytes += bytes.size;
    for (size_t i = 0; i < bytes.size; i++)
        sum->content += (uint64_t)data[i] * (i % 251 + 1);
}

/* False: something is not well-formed. */
static bool walk(const unsigned char *data, size_t size, struct sum *sum)
{
    struct item item;

    while (size > 0) {
        size_t taken = item_next(data, size, &item);
        if (taken == 0)
            return false;
        fuzz_must(taken <= size && taken % 8 == 0, "an item of %zu bytes, of %zu", taken, size);
        if (item.mark == 0) {
            sum->records++;
            add(sum, item.key);
            add(sum, item.value);
        }
        data += taken;
        size -= taken;
    }
    return true;
}

static void run(const unsigned char *data, size_t size)
{
    struct fuzz_input input = {data, size};
    bool whole = (fuzz_u8(&input) & 1) != 0;
    /* Each reader may get all records, or all marks; room is doubled, and moved. */
    const struct weir_allocator *allocator = fuzz_memory(10 * READERS * size + 65536);
    struct rehash rehash;
    struct rehash_channel channel = {.watermark = ITEM_NO_TIME, .from = 2, .to = 1};
    struct weir_error error = {0};
    struct sum before = {0}, after = {0};
    bool sound = walk(input.data, input.size, &before);

    fuzz_must(rehash_init(&rehash, allocator, READERS, GROUPS), "no memory");
    struct weir_bytes items = {input.data, input.size};
    enum weir_result result = rehash_batch(&rehash, &channel, whole, items, &error);
    fuzz_must(sound == (result == WEIR_OK), "sound: %d, but %s", (int)sound, error.text);
    if (result != WEIR_OK)
        fuzz_refused(result, &error);
    for (uint32_t r = 0; result == WEIR_OK && r < READERS; r++) {
        struct sum share = after;
        fuzz_must(walk(rehash.shares[r].items, rehash.shares[r].size, &after),
                  "a share that is not well-formed");
        fuzz_must(after.records - share.records == rehash.shares[r].records, "miscounted");
    }
    fuzz_must(result != WEIR_OK || memcmp(&before, &after, sizeof before) == 0,
              "records were lost, or doubled");
    rehash_free(&rehash);
}

static void put_record(struct fuzz_bytes *to, size_t key_size, size_t value_size, bool timed)
{
    unsigned char record[256] = {0};
    struct item_head head = {(uint32_t)key_size, (uint32_t)value_size | (timed ? ITEM_TIMED : 0)};
    unsigned char *at = record + sizeof head;

    memcpy(record, &head, sizeof head);
    at += timed ? sizeof(int64_t) : 0;
    memset(at, 'k', key_size);
    at[0] = (unsigned char)(to->size % 200);
    memset(at + item_round(key_size), 'v', value_size);
    fuzz_put(to, record, item_size(key_size, value_size, timed));
}

static bool seed(uint32_t n, struct fuzz_bytes *to)
{
    struct item_mark mark = {{ITEM_MARK, ITEM_WATERMARK}, 77};
    unsigned char whole = n & 1;

    if (n > 3)
        return false;
    fuzz_put(to, &whole, 1);
    for (size_t i = 0; i < 6; i++) {
        put_record(to, 1 + i * 3, i * 7, (i & 1) != 0);
        if (i == n)
            fuzz_put(to, &mark, sizeof mark);
        mark.head.value_size = ITEM_IDLE;
    }
    return true;
}

const struct fuzz_target fuzz_items = {"items", run, seed, NULL};
