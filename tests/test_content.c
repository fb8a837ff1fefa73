/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a cut has recorded: bytes are counted where they belong, and what counts against the budget
 * is given back on every way out.
 */
#include <criterion/criterion.h>

#include "content.h"
#include "nameless.h"
#include "scratch.h"

static struct plan_channel channels[3] = {{.loop = 0}, {.loop = 2}, {.loop = 0}};
static struct plan plan = {.channels = channels, .channel_count = 3};
static _Atomic uint64_t recorded;
static struct content content;

static void begin(void)
{
    recorded = 0;
    content = (struct content){.plan = &plan, .recorded = &recorded, .durable = true};
}

static void finish(void)
{
    content_free(&content);
    cr_expect_eq(recorded, 0, "%llu bytes are counted still", (unsigned long long)recorded);
}
TestSuite(content, .init = begin, .fini = finish);

static struct batch *batch_of(size_t size, size_t capacity)
{
    struct batch *batch = batch_alone(NULL, capacity);
    memset(batch->data, 0, capacity);
    batch->size = size;
    batch->count = (uint32_t)(size / 8);
    return batch;
}

Test(content, bytes_are_counted_by_side_and_loop_from_the_offset_on)
{
    struct batch *batch = batch_of(100, 128);
    content_begin(&content, 5);
    content_add(&content, 0, false, batch, 40);
    content_add(&content, 1, false, batch, 0);
    content_add(&content, 2, true, batch, 0);
    content_add(&content, 1, true, batch, 99);
    cr_expect_eq(content.channel_bytes, 60 + 100);
    cr_expect_eq(content.outlet_bytes, 100 + 1);
    cr_expect_eq(content.loop_bytes, 100 + 1);
    cr_expect_eq(content.count, 4);
    cr_expect_eq(content.items[0].offset, 40);
    cr_expect_eq(content.items[3].channel, 1);
    cr_expect(content.items[3].outlet);
    cr_expect_eq(batch->references, 5, "by reference");
    content_drop(&content);
    cr_expect_eq(batch->references, 1);
    content_begin(&content, 6);
    cr_expect_eq(content.channel_bytes + content.outlet_bytes + content.loop_bytes, 0);
    batch_release(batch);
}

Test(content, a_batch_that_was_read_to_its_end_is_nothing)
{
    struct batch *batch = batch_of(64, 64);
    content_begin(&content, 1);
    content_add(&content, 0, false, batch, 64);
    cr_expect_eq(content.count, 0);
    cr_expect_eq(content.channel_bytes, 0);
    cr_expect_eq(batch->references, 1);
    batch_release(batch);
}

/* A small batch in a large block holds the block. */
Test(content, the_budget_counts_what_a_batch_holds_not_what_is_in_it)
{
    struct batch *batch = batch_of(8, 32768);
    content_begin(&content, 1);
    content_add(&content, 0, false, batch, 0);
    cr_expect_geq(recorded, 32768);
    cr_expect_eq(recorded, content_weight(batch));
    cr_expect_eq(content.held, recorded);
    content_drop(&content);
    cr_expect_eq(recorded, 0);
    cr_expect_eq(content.held, 0);
    batch_release(batch);
}

/* Every number of items, handed on up to every place, and then dropped: what was handed on counts
 * until it is returned, the rest until it is dropped. */
Test(content, what_was_handed_on_counts_until_it_is_returned)
{
    enum { ITEMS = 20 };
    for (uint32_t handed = 0; handed <= ITEMS; handed++) {
        struct batch *batches[ITEMS];
        uint64_t weight = 0;
        content_begin(&content, 9);
        for (uint32_t i = 0; i < ITEMS; i++) {
            batches[i] = batch_of(8 + i, 64 + i);
            content_add(&content, 0, i % 2, batches[i], 0);
        }
        for (uint32_t i = 0; i < handed; i++) { /* to one who is done with it at once */
            uint64_t its = content_weight(batches[i]);
            cr_expect_eq(batches[i]->references, 2);
            batch_release(batches[i]);
            batch_release(batches[i]);
            content_handed_on(&content, &content.items[content.sent]);
            weight += its;
        }
        cr_expect_eq(content.held + weight, recorded);
        content_drop(&content);
        cr_expect_eq(recorded, weight);
        cr_expect_eq(content.count + content.sent, 0);
        for (uint32_t i = handed; i < ITEMS; i++) {
            cr_expect_eq(batches[i]->references, 1);
            batch_release(batches[i]);
        }
        content_returned(&recorded, weight);
        cr_expect_eq(recorded, 0);
    }
}

/* Without a store rounds are taken all the same, to see that a cycle is empty. */
Test(content, without_a_store_bytes_are_counted_and_nothing_is_kept)
{
    struct batch *batch = batch_of(100, 128);
    content.durable = false;
    content_begin(&content, 1);
    content_add(&content, 1, false, batch, 20);
    content_add(&content, 1, true, batch, 0);
    cr_expect_eq(content.channel_bytes, 80);
    cr_expect_eq(content.outlet_bytes, 100);
    cr_expect_eq(content.loop_bytes, 180);
    cr_expect_eq(content.count, 0);
    cr_expect_eq(content.held, 0);
    cr_expect_eq(recorded, 0);
    cr_expect_eq(batch->references, 1);
    batch_release(batch);
}

Test(content, slices_count_as_bytes_and_not_against_the_budget)
{
    struct scratch scratch = scratch_make();
    struct spill spill;
    struct spill_slice slice = {0};
    struct batch *batch = batch_of(96, 96), *read = NULL;
    spill_init(&spill, NULL, scratch.path, 1, 0);
    cr_assert_eq(spill_put(&spill, batch, &slice, NULL), WEIR_OK);
    content_begin(&content, 1);
    content_add_slice(&content, 1, &slice);
    content_add_slice(&content, 0, &slice);
    cr_expect_eq(content.channel_bytes, 192);
    cr_expect_eq(content.loop_bytes, 96);
    cr_expect_eq(content.held, 0);
    cr_expect_eq(recorded, 0);
    spill_release(&slice); /* the queue's: it was read */
    spill_free(&spill);
    cr_expect_eq(nameless_files(scratch.path, -1), 1);
    cr_assert_eq(spill_get(&content.items[1].slice, NULL, &read, NULL), WEIR_OK);
    cr_expect_eq(read->size, 96);
    batch_release(read);

    struct batch *payload = spill_payload(&content.items[0].slice, NULL);
    content_handed_on(&content, &content.items[0]);
    content_drop(&content);
    cr_expect_eq(nameless_files(scratch.path, -1), 1, "the message has one");
    cr_assert_eq(spill_get(spill_of_payload(payload), NULL, &read, NULL), WEIR_OK);
    cr_expect_eq(read->size, 96);
    batch_release(read);
    batch_release(payload); /* whoever does that last, and be it the transport */
    cr_expect_eq(nameless_files(scratch.path, -1), 0);
    batch_release(batch);
    scratch_free(&scratch);
}

/* ----------------------------------------------------------------------------- no memory -- */

struct stingy {
    uint32_t left; /* allocations that succeed */
};

static void *take(void *context, size_t size)
{
    struct stingy *stingy = context;
    if (!stingy->left)
        return NULL;
    stingy->left--;
    return malloc(size);
}

static void give(void *context, void *memory)
{
    (void)context;
    free(memory);
}

/* The bytes are known, so a cycle is not taken to be empty; the cut can't be completed. */
Test(content, without_memory_the_cut_is_known_to_be_incomplete)
{
    struct stingy stingy = {.left = 1};
    struct weir_allocator allocator = {.context = &stingy, .allocate = take, .release = give};
    struct batch *batch = batch_of(8, 8);
    content.allocator = &allocator;
    content_begin(&content, 1);
    for (uint32_t i = 0; i < 40; i++) {
        content_add(&content, 1, false, batch, 0);
        cr_expect_eq(content.failed, content.count < i + 1);
    }
    cr_expect(content.failed);
    cr_expect_eq(content.channel_bytes, 320);
    cr_expect_eq(content.loop_bytes, 320);
    cr_expect_eq(recorded, content.count * content_weight(batch));
    content_drop(&content);
    cr_expect_eq(recorded, 0);
    content_begin(&content, 2);
    cr_expect_not(content.failed, "the next one begins afresh");
    content_free(&content);
    content.allocator = NULL;
    cr_expect_eq(batch->references, 1);
    batch_release(batch);
}
