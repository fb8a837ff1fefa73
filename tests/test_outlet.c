/* links: wire */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outlet against a pipe that only keeps what is sent: O1-O5, what waits in which order, and
 * what a marker that overtakes records. test_channel joins it to a gate.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "outlet.h"
#include "wire.h"

#define BATCH 1024u

static struct outlet outlet;
static struct pipe *pipes;

/* Channels are numbered from 10 on; those above 11 lie in a loop. */
static struct plan_channel plan_channels[20];
static const struct plan plan = {.channels = plan_channels, .channel_count = 20};
static _Atomic uint64_t recorded;
static struct content content;

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
    content = (struct content){.plan = &plan, .recorded = &recorded, .durable = true};
}

static void close_outlet(void)
{
    content_free(&content);
    cr_expect_eq(recorded, 0);
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

/* ------------------------------------------------------------------------- overtaking -- */

/* The numbers of the records that the content holds of a channel, in order: "2 3 ". */
static void content_is(unsigned channel, const char *numbers)
{
    char text[200] = "";
    for (uint32_t i = 0; i < content.count; i++) {
        const struct content_item *item = &content.items[i];
        if (item->channel != 10 + channel)
            continue;
        cr_expect(item->outlet);
        cr_expect_eq(item->offset, 0);
        size_t at = 0;
        for (uint32_t r = 0; r < item->batch->count; r++) {
            struct item record;
            at += item_next(item->batch->data + at, item->batch->size - at, &record);
            uint64_t number = 0;
            memcpy(&number, record.key.data, sizeof number);
            sprintf(text + strlen(text), "%d ", (int)number);
        }
        cr_expect_eq(at, item->batch->size, "only whole records are recorded");
    }
    cr_expect_str_eq(text, numbers, "channel %u", channel);
}

static void overtaking_marker(uint64_t id)
{
    content_begin(&content, id);
    outlet_marker(&outlet, id, &content);
}

/* Everything that was sent is consumed, until nothing waits. */
static void consume_all(void)
{
    for (int pass = 0; pass < 50; pass++)
        for (unsigned c = 0; c < outlet.channel_count; c++)
            cr_expect(outlet_credit(&outlet, c, outlet.channels[c].sent_batches,
                                    outlet.channels[c].sent_bytes));
}

static void is_idle(void)
{
    cr_expect_not(outlet_blocked(&outlet));
    cr_expect_eq(outlet.held, 0);
    cr_expect_eq(outlet.unsent, 0);
    cr_expect_eq(outlet.controls, 0);
    cr_expect_eq(outlet.owing, 0);
}

Test(outlet, a_marker_that_overtakes_goes_first_and_records_exactly_what_waits)
{
    open_outlet(WEIR_SPREAD, 1, 1, 1 << 20);
    for (uint64_t i = 1; i <= 3; i++)
        ship(i);
    cr_expect_eq(outlet.held, 2 * content_weight(pipes[0].sent[0].payload));
    overtaking_marker(7);
    sent_is(0, "bm");
    cr_expect_eq(outlet.owing, 0);
    content_is(0, "2 3 ");
    ship(4); /* emitted after the cut: not of it */
    content_is(0, "2 3 ");
    consume_all();
    sent_is(0, "bmbbb");
    static const uint64_t ids[] = {0, 7, 7, 7, 7};
    for (unsigned i = 0; i < 5; i++)
        cr_expect_eq(pipes[0].sent[i].id, ids[i], "item %u", i);
    is_idle();
    close_outlet();
}

/* An open batch would go on growing while it is recorded: it is closed first, and the next record
 * begins another. */
Test(outlet, an_open_batch_is_closed_before_it_is_recorded)
{
    open_outlet(WEIR_SPREAD, 1, 1, 1 << 20);
    ship(1);
    emit(2, 8);
    emit(3, 8);
    overtaking_marker(7);
    content_is(0, "2 3 ");
    emit(4, 8);
    outlet_flush(&outlet);
    content_is(0, "2 3 ");
    consume_all();
    sent_is(0, "bmbb");
    cr_expect_eq(pipes[0].sent[2].count, 2);
    close_outlet();
}

Test(outlet, with_credit_nothing_waits_and_nothing_is_recorded)
{
    open_outlet(WEIR_SPREAD, 2, 4, 1 << 20);
    ship(1);
    ship(2);
    overtaking_marker(3);
    sent_is(0, "bm");
    sent_is(1, "bm");
    cr_expect_eq(content.count, 0);
    cr_expect_eq(content.outlet_bytes, 0);
    close_outlet();
}

Test(outlet, what_is_recorded_is_counted_in_records_bytes_and_by_loop)
{
    open_outlet(WEIR_SPREAD, 4, 1, 1 << 20);
    plan_channels[12].loop = plan_channels[13].loop = 1;
    for (uint64_t i = 0; i < 12; i++)
        ship(i);
    overtaking_marker(1);
    uint64_t one = pipes[0].sent[0].payload->size;
    cr_expect_eq(content.outlet_bytes, 8 * one);
    cr_expect_eq(content.loop_bytes, 4 * one);
    cr_expect_eq(content.channel_bytes, 0);
    for (unsigned c = 0; c < 4; c++) {
        char numbers[20];
        sprintf(numbers, "%u %u ", c + 4, c + 8);
        content_is(c, numbers);
    }
    close_outlet();
}

/* P13: what is broadcast can't be placed again, so its marker waits in its turn, and moves for
 * nobody. */
Test(outlet, on_a_channel_that_is_aligned_only_the_marker_stays_at_the_tail)
{
    open_outlet(WEIR_BROADCAST, 2, 1, 1 << 20);
    ship(1);
    ship(2);
    overtaking_marker(5);
    for (unsigned c = 0; c < 2; c++)
        sent_is(c, "b");
    cr_expect_eq(content.count, 0);
    cr_expect_eq(outlet.owing, 2);
    outlet_overtake(&outlet, &content);
    for (unsigned c = 0; c < 2; c++)
        sent_is(c, "b");
    cr_expect_eq(content.count, 0);
    cr_expect_eq(outlet.owing, 2);
    credit(0, 1);
    sent_is(0, "bbm");
    cr_expect_eq(outlet.owing, 1);
    credit(1, 1);
    sent_is(1, "bbm");
    is_idle();
    close_outlet();
}

Test(outlet, an_overtake_takes_the_marker_out_of_the_middle)
{
    open_outlet(WEIR_SPREAD, 1, 1, 1 << 20);
    for (uint64_t i = 1; i <= 3; i++)
        ship(i);
    content_begin(&content, 7);
    outlet_marker(&outlet, 7, NULL);
    ship(4);
    ship(5);
    sent_is(0, "b");
    cr_expect_eq(outlet.controls, 1);
    outlet_overtake(&outlet, &content);
    sent_is(0, "bm");
    content_is(0, "2 3 ");
    cr_expect_eq(outlet.owing, 0);
    cr_expect_eq(outlet.controls, 0);
    outlet_overtake(&outlet, &content); /* nothing is owed any more */
    content_is(0, "2 3 ");
    consume_all();
    sent_is(0, "bmbbbb");
    is_idle();
    close_outlet();
}

/* Of several channels each is where it is: behind its marker, before it, or without any queue. */
Test(outlet, an_overtake_passes_on_each_channel_what_waits_there)
{
    open_outlet(WEIR_SPREAD, 3, 1, 1 << 20);
    for (uint64_t i = 0; i < 6; i++)
        ship(i);
    content_begin(&content, 7);
    credit(0, 1); /* 3 has left */
    outlet_marker(&outlet, 7, NULL);
    sent_is(0, "bbm");
    cr_expect_eq(outlet.owing, 2);
    credit(1, 1); /* 4 and the marker have left before the overtake */
    sent_is(1, "bbm");
    cr_expect_eq(outlet.owing, 1);
    outlet_overtake(&outlet, &content);
    content_is(0, "");
    content_is(1, "");
    content_is(2, "5 ");
    sent_is(2, "bm");
    cr_expect_eq(outlet.owing, 0);
    close_outlet();
}

Test(outlet, an_end_that_waits_owes_the_marker_it_stands_for)
{
    open_outlet(WEIR_SPREAD, 1, 1, 1 << 20);
    for (uint64_t i = 1; i <= 3; i++)
        ship(i);
    outlet_end(&outlet);
    content_begin(&content, 7);
    outlet_marker(&outlet, 7, NULL);
    cr_expect_eq(outlet.owing, 1);
    cr_expect_eq(outlet.controls, 1, "nothing is placed behind END");
    outlet_overtake(&outlet, &content);
    sent_is(0, "bm");
    content_is(0, "2 3 ");
    consume_all();
    sent_is(0, "bmbbe");
    is_idle();
    content_drop(&content);
    overtaking_marker(8); /* END is on the wire: it was every marker */
    outlet_overtake(&outlet, &content);
    sent_is(0, "bmbbe");
    cr_expect_eq(content.count, 0);
    is_idle();
    close_outlet();
}

/* Sent in its turn, END settles the debt itself. */
Test(outlet, an_end_that_leaves_settles_what_is_owed)
{
    open_outlet(WEIR_SPREAD, 1, 1, 1 << 20);
    ship(1);
    ship(2);
    outlet_end(&outlet);
    outlet_marker(&outlet, 7, NULL);
    cr_expect_eq(outlet.owing, 1);
    consume_all();
    sent_is(0, "bbe");
    is_idle();
    close_outlet();
}

Test(outlet, a_marker_that_overtakes_passes_an_end_and_what_is_before_it)
{
    open_outlet(WEIR_SPREAD, 1, 1, 1 << 20);
    ship(1);
    ship(2);
    outlet_end(&outlet);
    overtaking_marker(7);
    content_is(0, "2 ");
    sent_is(0, "bm");
    consume_all();
    sent_is(0, "bmbe");
    is_idle();
    close_outlet();
}

/* ------------------------------------------------------------------------ no room, aborts -- */

Test(outlet, a_marker_that_a_pipe_refused_waits_in_front_and_records_once)
{
    open_outlet(WEIR_SPREAD, 1, 1, 1 << 20);
    for (uint64_t i = 1; i <= 3; i++)
        ship(i);
    pipes[0].full = true;
    overtaking_marker(7);
    cr_expect(outlet.refused);
    cr_expect_eq(outlet.owing, 1);
    cr_expect_eq(outlet.controls, 1);
    content_is(0, "2 3 ");
    outlet_overtake(&outlet, &content); /* it is in front already */
    content_is(0, "2 3 ");
    cr_expect_eq(outlet.controls, 1);
    credit(0, 1); /* in vain */
    sent_is(0, "b");
    pipes[0].full = false;
    outlet_push(&outlet);
    sent_is(0, "bmb");
    cr_expect_eq(outlet.owing, 0);
    consume_all();
    sent_is(0, "bmbb");
    is_idle();
    close_outlet();
}

/* A marker that nobody waited behind, refused: what comes after it is not of the cut. */
Test(outlet, an_overtake_of_a_refused_marker_records_nothing_behind_it)
{
    open_outlet(WEIR_SPREAD, 1, 4, 1 << 20);
    pipes[0].full = true;
    content_begin(&content, 7);
    outlet_marker(&outlet, 7, NULL);
    ship(1);
    outlet_overtake(&outlet, &content);
    content_is(0, "");
    pipes[0].full = false;
    outlet_push(&outlet);
    sent_is(0, "mb");
    is_idle();
    close_outlet();
}

enum stage { AT_TAIL, OVERTAKEN, IN_FRONT, WITH_END, BROADCAST_TAIL, STAGES };

static void go_to(enum stage stage)
{
    open_outlet(stage == BROADCAST_TAIL ? WEIR_BROADCAST : WEIR_SPREAD, 2, 1, 1 << 20);
    for (uint64_t i = 1; i <= 6; i++)
        ship(i);
    if (stage == WITH_END)
        outlet_end(&outlet);
    for (unsigned c = 0; c < 2; c++)
        pipes[c].full = stage == IN_FRONT;
    content_begin(&content, 7);
    outlet_marker(&outlet, 7, stage == IN_FRONT ? &content : NULL);
    if (stage == OVERTAKEN)
        outlet_overtake(&outlet, &content);
    pipes[0].full = pipes[1].full = false;
}

/* Wherever the marker is: it goes if it has not left, the records stay in order, nothing is owed;
 * and the next round is one like any other. */
Test(outlet, an_abort_takes_back_the_marker_and_nothing_else)
{
    static const char *const after[STAGES] = {"bbbm", "bmbbm", "bbbm", "bbbe", "bbbbbbm"};
    for (enum stage stage = AT_TAIL; stage < STAGES; stage++) {
        go_to(stage);
        content_drop(&content);
        outlet_abort(&outlet);
        cr_expect_eq(outlet.owing, 0);
        cr_expect_eq(outlet.controls, stage == WITH_END ? 2 : 0);
        outlet_abort(&outlet); /* again: nothing */
        uint64_t held = outlet.held;
        cr_expect_gt(held, 0);
        consume_all();
        content_begin(&content, 9);
        outlet_marker(&outlet, 9, NULL);
        for (unsigned c = 0; c < 2; c++) {
            sent_is(c, after[stage]);
            cr_expect_eq(outlet.channels[c].id, stage == WITH_END ? 0 : 9);
        }
        is_idle();
        close_outlet();
    }
}

/* The next id comes before the abort is heard: the marker of the first one is dead (O5). */
Test(outlet, a_newer_marker_takes_the_place_of_one_that_waits)
{
    for (enum stage stage = AT_TAIL; stage < STAGES; stage++) {
        go_to(stage);
        content_drop(&content);
        overtaking_marker(9);
        unsigned markers = 0, sevens = 0;
        consume_all();
        for (unsigned c = 0; c < 2; c++)
            for (unsigned i = 0; i < pipes[c].count; i++) {
                markers += pipes[c].sent[i].kind == MESSAGE_MARKER && pipes[c].sent[i].id == 9;
                sevens += pipes[c].sent[i].kind == MESSAGE_MARKER && pipes[c].sent[i].id == 7;
            }
        cr_expect_eq(markers, 2);
        cr_expect_eq(sevens, stage == OVERTAKEN ? 2 : 0);
        content_is(0, stage == BROADCAST_TAIL ? "" : "3 5 ");
        is_idle();
        close_outlet();
    }
}

/* ---------------------------------------------------------------------- from a checkpoint -- */

static void restore(uint64_t number, size_t size)
{
    struct batch *batch = batch_alone(NULL, size);
    memset(batch->data, 0, size);
    memcpy(batch->data, &number, sizeof number);
    batch->size = size;
    cr_assert(outlet_restore(&outlet, 0, batch));
}

Test(outlet, what_is_restored_waits_and_goes_before_what_is_new)
{
    open_outlet(WEIR_SPREAD, 1, 2, 1 << 20);
    for (uint64_t i = 1; i <= 3; i++)
        restore(i, 64);
    cr_expect(outlet_blocked(&outlet));
    sent_is(0, "");
    ship(4);
    outlet_push(&outlet);
    sent_is(0, "bb");
    consume_all();
    sent_is(0, "bbbb");
    for (uint64_t i = 0; i < 3; i++)
        cr_expect_eq(memcmp(pipes[0].sent[i].payload->data, &(uint64_t){i + 1}, 8), 0);
    is_idle();
    close_outlet();
}

/* P14: what lies in the reader's queue takes its place in the window: it is not granted twice. */
Test(outlet, what_the_reader_has_from_the_checkpoint_is_charged_to_the_window)
{
    for (uint64_t charged = 1; charged <= 6; charged++) {
        open_outlet(WEIR_SPREAD, 1, 3, 1 << 20);
        for (uint64_t i = 0; i < charged; i++)
            outlet_charge(&outlet, 0, 1, 100);
        for (uint64_t i = 0; i < 8; i++)
            ship(i);
        for (uint64_t consumed = 0; consumed <= charged; consumed++) {
            uint64_t flying = charged - consumed;
            cr_expect_eq(pipes[0].count, flying < 3 ? 3 - flying : 0, "%d of %d", (int)consumed,
                         (int)charged);
            cr_expect(outlet_credit(&outlet, 0, consumed + 1, 100 * (consumed + 1)) ||
                      consumed == charged);
        }
        consume_all();
        cr_expect_eq(pipes[0].count, 8);
        is_idle();
        close_outlet();
    }
}

Test(outlet, the_byte_window_is_charged_too_and_one_batch_may_always_travel)
{
    open_outlet(WEIR_SPREAD, 1, 8, 1000);
    outlet_charge(&outlet, 0, 2, 900);
    restore(1, 64);
    restore(2, 5000); /* larger than the window */
    restore(3, 64);
    outlet_push(&outlet);
    sent_is(0, "b");
    cr_expect(outlet_credit(&outlet, 0, 2, 900));
    sent_is(0, "b");
    cr_expect(outlet_credit(&outlet, 0, 3, 964));
    sent_is(0, "bb");
    cr_expect(outlet_credit(&outlet, 0, 4, 5964));
    sent_is(0, "bbb");
    close_outlet();
}

Test(outlet, credits_are_totals_lost_late_and_repeated_ones_do_no_harm)
{
    open_outlet(WEIR_SPREAD, 1, 4, 1 << 20);
    for (uint64_t i = 0; i < 12; i++)
        ship(i);
    uint64_t one = pipes[0].sent[0].payload->size;
    cr_expect_eq(pipes[0].count, 4);
    cr_expect(outlet_credit(&outlet, 0, 3, 3 * one)); /* those of 1 and 2 were lost */
    cr_expect_eq(pipes[0].count, 7);
    cr_expect(outlet_credit(&outlet, 0, 3, 3 * one));
    cr_expect(outlet_credit(&outlet, 0, 1, one));
    cr_expect_eq(pipes[0].count, 7);
    cr_expect_eq(outlet.channels[0].flying, 4);
    cr_expect_eq(outlet.channels[0].flying_bytes, 4 * one);
    cr_expect_not(outlet_credit(&outlet, 0, 8, 7 * one), "more than was sent");
    cr_expect_not(outlet_credit(&outlet, 0, 7, 7 * one + 1));
    cr_expect_eq(outlet.channels[0].flying, 4, "and nothing was changed by it");
    cr_expect(outlet_credit(&outlet, 0, 7, 7 * one));
    cr_expect_eq(pipes[0].count, 11);
    close_outlet();
}

Test(outlet, a_promise_says_how_far_was_sent_and_nothing_before_anything_was)
{
    open_outlet(WEIR_SPREAD, 2, 1, 1 << 20);
    outlet_promise(&outlet);
    cr_expect_eq(pipes[0].count + pipes[1].count, 0);
    ship(1);
    outlet_promise(&outlet);
    cr_expect_eq(pipes[0].count, 2);
    cr_expect_eq(pipes[0].sent[1].kind, MESSAGE_PROMISE);
    cr_expect_eq(pipes[0].sent[1].sequence, 1);
    cr_expect_eq(pipes[0].sent[1].channel, 10);
    cr_expect_eq(outlet.channels[0].sequence, 1, "it is no item");
    cr_expect_eq(pipes[1].count, 0);
    pipes[0].full = true;
    outlet_promise(&outlet); /* the next one says it again */
    cr_expect_not(outlet.refused);
    close_outlet();
}

/* ------------------------------------------------------------------------- event time -- */

/* What travels on a feedback edge says nothing of time; inside a loop the end of time is told by a
 * mark, for END comes only when the loop is at rest. */
Test(outlet, marks_do_not_lead_back_and_the_end_of_time_is_for_the_loop_alone)
{
    struct outlet_options options = {.epoch = 3,
                                     .batch_bytes = BATCH,
                                     .window_batches = 8,
                                     .window_bytes = 1 << 20,
                                     .key_groups = 128};
    cr_assert(outlet_init(&outlet, &options, 3, 3, 3));
    pipes = calloc(3, sizeof *pipes);
    content = (struct content){.plan = &plan, .recorded = &recorded};
    for (uint32_t e = 0; e < 3; e++) {
        outlet_add_edge(&outlet, WEIR_FORWARD, 10 + e, 1);
        outlet_mark_edge(&outlet, e == 0, e < 2);
        outlet.channels[e].pipe = &pipes[e];
    }
    outlet_watermark(&outlet, 5);
    outlet_idle(&outlet);
    outlet_flush(&outlet);
    cr_expect_eq(pipes[0].count, 0, "the one that leads back");
    cr_expect_eq(pipes[1].count, 1, "inside");
    cr_expect_eq(pipes[2].count, 1, "out of it");
    outlet_end_of_time(&outlet);
    outlet_flush(&outlet);
    cr_expect_eq(pipes[0].count, 0);
    cr_assert_eq(pipes[1].count, 2);
    cr_expect_eq(pipes[2].count, 1);
    struct item item;
    const struct batch *batch = pipes[1].sent[1].payload;
    cr_expect_eq(item_next(batch->data, batch->size, &item), batch->size);
    cr_expect_eq(item.mark, ITEM_WATERMARK);
    cr_expect_eq(item.time, WEIR_END_OF_TIME);
    close_outlet();
}

/* ---------------------------------------------------------------------------- no memory -- */

static uint32_t allocations_left;

static void *take_memory(void *context, size_t size)
{
    (void)context;
    return allocations_left && allocations_left-- ? malloc(size) : NULL;
}

static void give_memory(void *context, void *memory)
{
    (void)context;
    free(memory);
}

/* Wherever memory ends, the outlet says so, and what it holds is given back. */
Test(outlet, without_memory_it_says_so_and_loses_nothing_silently)
{
    struct weir_allocator allocator = {.allocate = take_memory, .release = give_memory};
    struct outlet_options options = {.allocator = &allocator,
                                     .epoch = 3,
                                     .batch_bytes = BATCH,
                                     .window_batches = 1,
                                     .window_bytes = 1 << 20,
                                     .key_groups = 128};
    bool whole = false;
    for (uint32_t k = 4; !whole; k++) {
        allocations_left = k;
        cr_assert(outlet_init(&outlet, &options, 1, 1, 1));
        pipes = calloc(1, sizeof *pipes);
        content = (struct content){
            .plan = &plan, .recorded = &recorded, .durable = true, .allocator = &allocator};
        outlet_add_edge(&outlet, WEIR_SPREAD, 10, 1);
        outlet.channels[0].pipe = &pipes[0];
        uint32_t appended = 0;
        for (uint64_t i = 0; i < 40 && !outlet.failed; i++) {
            struct weir_record record = {{&i, 8}, {&i, 8}, WEIR_NO_TIME};
            appended += outlet_append(&outlet, &outlet.edges[0], &record);
            outlet_flush(&outlet);
        }
        overtaking_marker(1);
        whole = !outlet.failed && !content.failed;
        if (whole) {
            cr_expect_eq(appended, 40);
            cr_expect_eq(content.count, 39);
        }
        allocations_left = UINT32_MAX;
        close_outlet();
        cr_assert_lt(k, 200);
    }
}
