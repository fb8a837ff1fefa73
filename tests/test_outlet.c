/* links: wire */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outlet against a pipe that only keeps what is sent: O1-O4, and what waits in which order.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "outlet.h"
#include "wire.h"

#define BATCH 1024u

static struct outlet outlet;
static struct pipe *pipes;

static void open_outlet(enum weir_routing routing, uint32_t channels, uint32_t window,
                        uint64_t window_bytes)
{
    struct outlet_options options = {.epoch = 3,
                                     .batch_bytes = BATCH,
                                     .window_batches = window,
                                     .window_bytes = window_bytes,
                                     .key_groups = 128};
    cr_assert(outlet_init(&outlet, &options, 1, channels, channels));
    pipes = calloc(channels, sizeof *pipes);
    outlet_add_edge(&outlet, routing, 10, channels);
    for (uint32_t c = 0; c < channels; c++)
        outlet.channels[c].pipe = &pipes[c];
}

static void close_outlet(void)
{
    for (uint32_t c = 0; c < outlet.channel_count; c++)
        wire_clear(&pipes[c]);
    outlet_free(&outlet);
    batch_pool_free(&outlet.pool);
    free(pipes);
}

static void emit(uint64_t number, size_t size)
{
    unsigned char value[8192] = {0};
    memcpy(value, &number, sizeof number);
    struct weir_record record = {{&number, sizeof number}, {value, size}, WEIR_NO_TIME};
    cr_assert(outlet_append(&outlet, &outlet.edges[0], &record));
}

/* One record, a batch of its own. */
static void ship(uint64_t number)
{
    emit(number, 8);
    outlet_flush(&outlet);
}

static void sent_is(unsigned channel, const char *kinds)
{
    static const char letters[] = {
        [MESSAGE_BATCH] = 'b', [MESSAGE_MARKER] = 'm', [MESSAGE_END] = 'e'};
    char text[100] = "";
    for (unsigned i = 0; i < pipes[channel].count; i++) {
        text[i] = letters[pipes[channel].sent[i].kind];
        cr_expect_eq(pipes[channel].sent[i].sequence, i + 1);
        cr_expect_eq(pipes[channel].sent[i].channel, 10 + channel);
        cr_expect_eq(pipes[channel].sent[i].epoch, 3);
    }
    cr_expect_str_eq(text, kinds);
}

/* The reader has consumed so many batches of the channel in all. */
static void credit(unsigned channel, unsigned batches)
{
    uint64_t bytes = 0;
    for (unsigned i = 0, seen = 0; seen < batches; i++) {
        const struct batch *batch = pipes[channel].sent[i].payload;
        bytes += batch ? batch->size : 0;
        seen += batch != NULL;
    }
    cr_expect(outlet_credit(&outlet, channel, batches, bytes));
}

Test(outlet, at_most_a_window_of_batches_is_on_the_way)
{
    for (uint32_t window = 1; window <= 8; window++) {
        open_outlet(WEIR_SPREAD, 1, window, 1 << 20);
        for (uint64_t i = 0; i < 20; i++)
            ship(i);
        for (unsigned returned = 0; returned < 20; returned++) {
            unsigned sent = returned + window < 20 ? returned + window : 20;
            cr_expect_eq(pipes[0].count, sent);
            cr_expect_eq(outlet_blocked(&outlet), sent < 20);
            credit(0, returned + 1);
        }
        cr_expect_not(outlet_blocked(&outlet));
        for (unsigned i = 0; i < 20; i++)
            cr_expect_eq(pipes[0].sent[i].count, 1);
        cr_expect_not(outlet_credit(&outlet, 0, 21, 0), "more than was sent");
        cr_expect_not(outlet_credit(&outlet, 0, 20, 1 << 20));
        cr_expect(outlet_credit(&outlet, 0, 3, 0), "an old one that comes late");
        cr_expect_eq(outlet.channels[0].flying, 0);
        close_outlet();
    }
}

Test(outlet, a_batch_larger_than_the_byte_window_travels_alone)
{
    open_outlet(WEIR_SPREAD, 1, 8, 100);
    for (uint64_t i = 0; i < 3; i++) {
        emit(i, i % 2 ? 8 : 8000);
        outlet_flush(&outlet);
    }
    sent_is(0, "b");
    credit(0, 1);
    sent_is(0, "bb");
    cr_expect(outlet_blocked(&outlet));
    credit(0, 2);
    sent_is(0, "bbb");
    credit(0, 3);
    cr_expect_not(outlet_blocked(&outlet));
    close_outlet();
}

Test(outlet, sequence_and_id_are_stamped_when_sent_not_when_queued)
{
    open_outlet(WEIR_SPREAD, 1, 1, 1 << 20);
    ship(1);
    ship(2);
    outlet_marker(&outlet, 7, NULL);
    ship(3);
    outlet_marker(&outlet, 9, NULL); /* 7 was given up (P9) */
    ship(4);
    sent_is(0, "b");
    cr_expect_eq(outlet.controls, 1);
    for (unsigned i = 1; i <= 2; i++)
        credit(0, i);
    sent_is(0, "bbbm");
    credit(0, 3);
    sent_is(0, "bbbmb");
    static const uint64_t ids[] = {0, 0, 0, 9, 9};
    for (unsigned i = 0; i < 5; i++)
        cr_expect_eq(pipes[0].sent[i].id, ids[i], "item %u", i);
    cr_expect_eq(outlet.controls, 0);
    close_outlet();
}

Test(outlet, an_abort_of_the_only_waiting_item_unblocks)
{
    open_outlet(WEIR_SPREAD, 1, 2, 1 << 20);
    pipes[0].full = true;
    outlet_marker(&outlet, 4, NULL);
    cr_expect(outlet_blocked(&outlet));
    cr_expect_eq(outlet.owing, 1);
    outlet_abort(&outlet);
    cr_expect_not(outlet_blocked(&outlet));
    cr_expect_eq(outlet.controls, 0);
    cr_expect_eq(outlet.owing, 0);
    pipes[0].full = false;
    outlet_marker(&outlet, 5, NULL);
    sent_is(0, "m");
    close_outlet();
}

Test(outlet, control_items_need_no_credit_but_keep_their_place)
{
    open_outlet(WEIR_SPREAD, 1, 1, 1 << 20);
    ship(1);
    outlet_marker(&outlet, 1, NULL);
    sent_is(0, "bm");
    ship(2);
    outlet_marker(&outlet, 2, NULL);
    outlet_end(&outlet);
    sent_is(0, "bm");
    credit(0, 1);
    sent_is(0, "bmbme");
    close_outlet();
}

Test(outlet, nothing_is_placed_behind_end)
{
    open_outlet(WEIR_BROADCAST, 3, 4, 1 << 20);
    ship(1);
    outlet_end(&outlet);
    outlet_end(&outlet);
    outlet_marker(&outlet, 8, NULL);
    outlet_watermark(&outlet, 100);
    outlet_idle(&outlet);
    outlet_flush(&outlet);
    for (unsigned c = 0; c < 3; c++)
        sent_is(c, "be");
    close_outlet();
}

Test(outlet, an_open_batch_is_closed_before_the_marker)
{
    open_outlet(WEIR_BY_KEY, 4, 8, 1 << 20);
    for (uint64_t i = 0; i < 100; i++)
        emit(i, 8);
    outlet_marker(&outlet, 1, NULL);
    uint32_t records = 0;
    for (unsigned c = 0; c < 4; c++) {
        cr_expect_eq(pipes[c].sent[pipes[c].count - 1].kind, MESSAGE_MARKER);
        for (unsigned i = 0; i < pipes[c].count; i++)
            records += pipes[c].sent[i].count;
    }
    cr_expect_eq(records, 100);
    cr_expect_eq(outlet.open_count, 0);
    close_outlet();
}

Test(outlet, broadcast_shares_one_batch_and_each_channel_has_its_own_credit)
{
    open_outlet(WEIR_BROADCAST, 3, 1, 1 << 20);
    ship(1);
    ship(2);
    for (unsigned c = 0; c < 3; c++) {
        sent_is(c, "b");
        cr_expect_eq(pipes[c].sent[0].payload, pipes[0].sent[0].payload);
    }
    credit(1, 1);
    sent_is(0, "b");
    sent_is(1, "bb");
    cr_expect(outlet_blocked(&outlet));
    credit(0, 1);
    credit(2, 1);
    cr_expect_eq(pipes[0].sent[1].payload, pipes[2].sent[1].payload);
    cr_expect_not(outlet_blocked(&outlet));
    close_outlet();
}

Test(outlet, a_pipe_without_room_loses_and_reorders_nothing)
{
    open_outlet(WEIR_SPREAD, 2, 8, 1 << 20);
    for (uint64_t i = 0; i < 12; i++) {
        pipes[i % 2].full = i % 3 == 0;
        ship(i);
    }
    outlet_marker(&outlet, 1, NULL);
    pipes[0].full = pipes[1].full = false;
    outlet_push(&outlet);
    for (unsigned c = 0; c < 2; c++)
        sent_is(c, "bbbbbbm");
    cr_expect_not(outlet_blocked(&outlet));
    close_outlet();
}

Test(outlet, two_watermarks_in_a_row_are_one_and_idle_keeps_both)
{
    open_outlet(WEIR_SPREAD, 1, 8, 1 << 20);
    outlet_watermark(&outlet, 1);
    outlet_watermark(&outlet, 2);
    outlet_flush(&outlet);
    size_t one = pipes[0].sent[0].payload->size;
    outlet_watermark(&outlet, 3);
    outlet_idle(&outlet);
    outlet_watermark(&outlet, 4);
    outlet_flush(&outlet);
    cr_expect_eq(pipes[0].sent[1].payload->size, 3 * one);
    outlet_watermark(&outlet, 5);
    emit(1, 8);
    outlet_watermark(&outlet, 6);
    outlet_watermark(&outlet, 7);
    outlet_flush(&outlet);
    cr_expect_eq(pipes[0].sent[2].count, 1, "marks are no records");
    close_outlet();
}

Test(outlet, a_record_larger_than_a_batch_begins_one_of_its_own)
{
    open_outlet(WEIR_SPREAD, 1, 8, 1 << 20);
    emit(1, 8);
    emit(2, 5000);
    emit(3, 1000);
    outlet_flush(&outlet);
    cr_expect_eq(pipes[0].sent[0].count, 1);
    cr_expect_geq(pipes[0].sent[1].payload->size, 5000);
    uint32_t records = 0;
    for (unsigned i = 0; i < pipes[0].count; i++)
        records += pipes[0].sent[i].count;
    cr_expect_eq(records, 3);
    close_outlet();
}
