/* SPDX-License-Identifier: Apache-2.0
 *
 * records: the input is a part that a record sink has published (operators/record_block.h). What is
 * read to its end is written again as it was, but for where blocks begin.
 */
#include "record_block.h"

#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "fuzz_node.h"
#include "little.h"
#include "sim.h"
#include "weir_sinks.h"

#define MEMORY ((size_t)64 << 20) /* bytes: a block may say that it has 40 MiB */

struct sum {
    uint64_t count, bytes, hash;
};

static void add(struct sum *sum, const struct weir_record *record)
{
    sum->count++;
    sum->bytes += record->key.size + record->value.size;
    sum->hash = sum->hash * 31 + weir_hash(record->key) + 7 * weir_hash(record->value) +
                (uint64_t)record->time;
}

/* WEIR_NOT_FOUND: to its end. */
static enum weir_result read_all(struct sum *sum, struct record_block *copy,
                                 struct fuzz_bytes *written, struct weir_error *error)
{
    const struct weir_allocator *allocator = fuzz_memory(MEMORY);
    struct weir_record_file *file;
    struct weir_record record;
    enum weir_result result = weir_record_file_open(allocator, "/shelf/part", &file, error);

    while (result == WEIR_OK && (result = weir_record_file_next(file, &record, error)) == WEIR_OK) {
        add(sum, &record);
        if (copy == NULL)
            continue;
        fuzz_must(record_block_add(copy, NULL, &record), "a record that can't be written");
        if (record_block_full(copy)) {
            struct weir_bytes block = record_block_close(copy);
            fuzz_put(written, block.data, block.size);
        }
    }
    weir_record_file_close(&file);
    fuzz_must(fuzz_memory_taken() == 0, "%zu bytes are left behind", fuzz_memory_taken());
    return result;
}

static void end_copy(struct record_block *copy, struct fuzz_bytes *written)
{
    struct weir_bytes block = record_block_close(copy);
    fuzz_put(written, block.data, block.size);
    block = record_block_end(copy, NULL);
    fuzz_put(written, block.data, block.size);
}

static void run(const unsigned char *data, size_t size)
{
    struct sum sum = {0}, again = {0};
    struct weir_error error = {0};
    struct record_block copy = {0};
    struct fuzz_bytes written = {0};

    sim_start(1);
    sim_disk_wipe();
    fuzz_node_file("part", data, size);
    enum weir_result result = read_all(&sum, &copy, &written, &error);
    if (result == WEIR_NOT_FOUND) {
        end_copy(&copy, &written);
        sim_disk_wipe();
        fuzz_node_file("part", written.data, written.size);
        result = read_all(&again, NULL, NULL, &error);
        fuzz_must(result == WEIR_NOT_FOUND, "written again it is not sound: %s", error.text);
        fuzz_must(memcmp(&sum, &again, sizeof sum) == 0, "written again it is another");
    } else {
        fuzz_refused(result, &error);
    }
    record_block_free(&copy, NULL);
    fuzz_drop(&written);
    fuzz_must(sim_end() == 0, "something is left behind");
}

static size_t mend(unsigned char *data, size_t size, size_t room)
{
    uint64_t records = 0;

    (void)room;
    for (size_t at = RECORD_FILE_HEAD; at + RECORD_BLOCK_HEAD <= size;) {
        unsigned char *block = data + at;
        size_t left = size - at - RECORD_BLOCK_HEAD;
        uint32_t count = record_get_u32(block + 20);
        size_t body = record_get_u32(block + 16) & ~(uint32_t)7;
        if (body > left)
            body = left & ~(size_t)7;
        little_put_u64(block + 8, at);
        little_put_u32(block + 16, (uint32_t)body);
        if (count == 0 && body == 8)
            little_put_u64(block + RECORD_BLOCK_HEAD, records);
        records += count;
        little_put_u64(block,
                       weir_hash((struct weir_bytes){block + 8, RECORD_BLOCK_HEAD - 8 + body}));
        at += RECORD_BLOCK_HEAD + body;
    }
    return size;
}

static bool seed(uint32_t n, struct fuzz_bytes *to)
{
    struct record_block block = {0};
    static char value[3000];

    if (n > 4)
        return false;
    for (uint32_t i = 0; i < 3 * n; i++) {
        const struct weir_record record = {
            {&i, i % 5}, {value, i == 7 ? sizeof value : i * 5}, i % 3 ? (int64_t)i : WEIR_NO_TIME};
        fuzz_must(record_block_add(&block, NULL, &record), "no memory");
        if (i % 4 == 3) {
            struct weir_bytes closed = record_block_close(&block);
            fuzz_put(to, closed.data, closed.size);
        }
    }
    end_copy(&block, to);
    record_block_free(&block, NULL);
    return true;
}

const struct fuzz_target fuzz_records = {"records", run, seed, mend};
