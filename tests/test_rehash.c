/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "explore.h"
#include "memory.h"
#include "rehash.h"

#define GROUPS 128u
#define READERS 9u

/* A batch in the making: records {key, value}, both u64, and marks. */
struct batch {
    unsigned char bytes[16384];
    size_t size;
};

static void add_record(struct batch *batch, uint64_t key, uint64_t value)
{
    struct item_head head = {8, 8};
    memcpy(batch->bytes + batch->size, &head, 8);
    memcpy(batch->bytes + batch->size + 8, &key, 8);
    memcpy(batch->bytes + batch->size + 16, &value, 8);
    batch->size += 24;
}

static void add_mark(struct batch *batch, uint32_t kind, int64_t time)
{
    struct item_mark mark = {{ITEM_MARK, kind}, time};
    memcpy(batch->bytes + batch->size, &mark, sizeof mark);
    batch->size += sizeof mark;
}

static uint64_t number_of(struct weir_bytes bytes)
{
    uint64_t number;
    cr_assert_eq(bytes.size, 8);
    memcpy(&number, bytes.data, 8);
    return number;
}

static struct weir_bytes view(const struct batch *batch)
{
    return (struct weir_bytes){batch->bytes, batch->size};
}

/* What a reader has of one channel, joined over all batches. */
struct reader {
    struct batch got;
};

static void take(struct rehash *rehash, struct rehash_channel *channel, bool whole,
                 const struct batch *batch, struct reader *readers)
{
    struct weir_error error = {0};
    cr_assert_eq(rehash_batch(rehash, channel, whole, view(batch), &error), WEIR_OK, "%s",
                 error.text);
    for (uint32_t r = 0; r < rehash->readers; r++) {
        const struct rehash_share *share = &rehash->shares[r];
        if (share->size)
            memcpy(readers[r].got.bytes + readers[r].got.size, share->items, share->size);
        readers[r].got.size += share->size;
        if (share->size) { /* as the caller notes it */
            if (!channel->places)
                channel->places = memory_zeroed(NULL, rehash->readers, sizeof *channel->places);
            channel->places[r] = 1;
        }
    }
}

static void forget(struct rehash_channel *channel)
{
    memory_release(NULL, channel->places);
    channel->places = NULL;
}

/* Random batches of one channel: every record comes to the owner of its key, once, in order; and at
 * each record a reader's time is the channel's at that record, or less. */
Test(rehash, each_record_goes_to_the_owner_of_its_key_once_in_order_and_no_time_runs_ahead)
{
    uint64_t seed = explore_seed();
    for (int trial = 0; trial < 200; trial++) {
        struct rehash rehash;
        uint32_t readers = 1 + (uint32_t)(explore_random(&seed) % READERS);
        cr_assert(rehash_init(&rehash, NULL, readers, GROUPS));
        static struct reader got[READERS];
        memset(got, 0, sizeof got);
        struct rehash_channel channel = {.watermark = ITEM_NO_TIME};
        int64_t time = ITEM_NO_TIME, times[400];
        uint64_t keys[400], next = 0;
        for (int b = 0; b < 6; b++) {
            struct batch batch = {.size = 0};
            for (uint64_t n = explore_random(&seed) % 40; n > 0 && next < 400; n--) {
                uint64_t dice = explore_random(&seed) % 8;
                if (dice == 0) {
                    time = (time == ITEM_NO_TIME ? 0 : time) + 1;
                    add_mark(&batch, ITEM_WATERMARK, time);
                } else if (dice == 1) {
                    add_mark(&batch, ITEM_IDLE, 0);
                } else {
                    keys[next] = explore_random(&seed) % 20;
                    times[next] = time;
                    add_record(&batch, keys[next], next);
                    next++;
                }
            }
            take(&rehash, &channel, false, &batch, got);
        }
        cr_assert_eq(channel.watermark, time);
        bool seen[400] = {false};
        for (uint32_t r = 0; r < readers; r++) {
            const unsigned char *at = got[r].got.bytes;
            size_t left = got[r].got.size, size;
            int64_t now = ITEM_NO_TIME;
            uint64_t last = 0;
            bool any = false;
            for (struct item item; left; at += size, left -= size) {
                size = item_next(at, left, &item);
                cr_assert_gt(size, 0);
                if (item.mark == ITEM_WATERMARK) {
                    cr_assert_geq(item.time, now);
                    now = item.time;
                }
                if (item.mark)
                    continue;
                uint64_t number = number_of(item.value);
                cr_assert(number < next && !seen[number]);
                cr_assert(!any || number > last);
                cr_assert_eq(number_of(item.key), keys[number]);
                cr_assert_eq(rehash_reader(&rehash, item.key), r);
                cr_assert_eq(now, times[number], "record %llu", (unsigned long long)number);
                seen[number] = any = true;
                last = number;
            }
            cr_assert(got[r].got.size == 0 || any, "marks alone");
        }
        for (uint64_t i = 0; i < next; i++)
            cr_assert(seen[i]);
        forget(&channel);
        rehash_free(&rehash);
    }
}

Test(rehash, a_channel_of_a_spread_edge_stays_together)
{
    struct rehash rehash;
    cr_assert(rehash_init(&rehash, NULL, 3, GROUPS));
    for (uint32_t number = 0; number < 7; number++) {
        static struct reader got[READERS];
        memset(got, 0, sizeof got);
        struct rehash_channel channel = {.number = number, .watermark = 5};
        struct batch batch = {.size = 0};
        for (uint64_t key = 0; key < 20; key++)
            add_record(&batch, key, key);
        take(&rehash, &channel, true, &batch, got);
        for (uint32_t r = 0; r < 3; r++)
            cr_assert_eq(got[r].got.size, r == number % 3 ? 20 * 24 + 16 : 0);
        forget(&channel);
    }
    rehash_free(&rehash);
}

Test(rehash, what_is_not_well_formed_is_damage)
{
    struct rehash rehash;
    struct weir_error error = {0};
    struct rehash_channel channel = {.watermark = ITEM_NO_TIME};
    struct batch batch = {.size = 0};
    add_record(&batch, 1, 2);
    cr_assert(rehash_init(&rehash, NULL, 2, GROUPS));
    for (size_t size = 1; size < 24; size++)
        cr_assert_eq(
            rehash_batch(&rehash, &channel, false, (struct weir_bytes){batch.bytes, size}, &error),
            WEIR_DAMAGED);
    rehash_free(&rehash);
}

Test(rehash, old_channels_are_told_apart_and_numbered)
{
    struct rehash_table table = {0};
    bool used[5000] = {false};
    for (int round = 0; round < 2; round++) /* found again, they are the same */
        for (uint32_t edge = 0; edge < 3; edge++)
            for (uint32_t restores = 0; restores < 3; restores++)
                for (uint32_t from = 0; from < 20; from++)
                    for (uint32_t to = 0; to < 20; to++) {
                        struct rehash_channel *channel =
                            rehash_find(&table, edge, restores, from, to);
                        cr_assert(channel && channel->number < 5000);
                        cr_assert(channel->edge == edge && channel->restores == restores &&
                                  channel->from == from && channel->to == to);
                        cr_assert_eq(used[channel->number], round == 1);
                        channel->watermark = 7;
                        if (to == 19)
                            for (uint32_t i = 0; i <= to; i++)
                                used[rehash_find(&table, edge, restores, from, i)->number] = true;
                    }
    cr_assert_eq(table.count, 3600);
    rehash_forget(&table);
    cr_assert_null(table.channels);
}

struct scarce {
    unsigned left;
};

static void *take_some(void *context, size_t size)
{
    struct scarce *scarce = context;
    return scarce->left && scarce->left-- ? malloc(size) : NULL;
}

static void give_back(void *context, void *memory)
{
    (void)context;
    free(memory);
}

Test(rehash, without_memory_it_says_so)
{
    struct scarce scarce = {0};
    struct weir_allocator allocator = {take_some, give_back, &scarce};
    struct weir_error error = {0};
    struct batch batch = {.size = 0};
    enum weir_result result = WEIR_NO_MEMORY;
    for (uint64_t key = 0; key < 100; key++)
        add_record(&batch, key, key);
    for (unsigned count = 0; result && count < 100; count++) {
        struct rehash rehash;
        struct rehash_channel channel = {.watermark = 1};
        scarce.left = count;
        result = rehash_init(&rehash, &allocator, 4, GROUPS)
                     ? rehash_batch(&rehash, &channel, false, view(&batch), &error)
                     : WEIR_NO_MEMORY;
        cr_assert(result == WEIR_OK || result == WEIR_NO_MEMORY);
        rehash_free(&rehash);
    }
    cr_assert_eq(result, WEIR_OK);
}

/* ---- the table of old channels, refused memory ---- */

Test(rehash, a_channel_that_has_no_memory_is_found_later_and_the_others_stay)
{
    struct scarce scarce = {0};
    struct weir_allocator allocator = {take_some, give_back, &scarce};
    struct rehash_table table = {.allocator = &allocator};
    for (uint32_t from = 0; from < 300; from++) {
        struct rehash_channel *channel = NULL;
        for (uint32_t left = 0; channel == NULL && left < 4; left++) {
            scarce.left = left;
            channel = rehash_find(&table, 1, 0, from, 2);
        }
        cr_assert_not_null(channel, "%u", from);
        cr_assert_eq(channel->number, from);
        for (uint32_t old = 0; old < from; old += 37) {
            scarce.left = 4;
            cr_assert_eq(rehash_find(&table, 1, 0, old, 2)->number, old);
        }
    }
    rehash_forget(&table);
}
