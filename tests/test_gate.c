/* links: wire */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate, fed by hand: G1-G8, watermarks, batches that are not well-formed, what waits on disk
 * and what is recorded. Batches come from an outlet, so the two ends agree; test_channel joins
 * them.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "exercised.h"
#include "explore.h"
#include "gate.h"
#include "nameless.h"
#include "outlet.h"
#include "scratch.h"
#include "wire.h"

#define INPUTS 3u
#define OLDER 3u /* inputs without a writer, behind these */

static struct gate gate;
static struct outlet outlet; /* a channel an input */
static struct pipe out[INPUTS], back[INPUTS];
static struct weir_error error;
static unsigned verdict;

static struct plan_channel plan_channels[INPUTS + OLDER];
static const struct plan plan = {
    .channels = plan_channels, .channel_count = INPUTS, .restored_count = OLDER};
static _Atomic uint64_t recorded;
static struct content content;

/* Input 2 may be a feedback edge's, input 1 one that is aligned only. */
struct manner {
    bool feedback, aligned_only, eager;
    struct content *content;
    const char *scratch;
    const struct weir_allocator *allocator;
};

static void open_gate_as(uint32_t window, uint64_t window_bytes, struct manner manner)
{
    memset(&gate, 0, sizeof gate);
    for (uint32_t i = 0; i < INPUTS; i++) {
        out[i].count = out[i].taken = back[i].count = back[i].taken = 0;
        out[i].full = back[i].full = false;
    }
    struct gate_options inputs = {.input_count = INPUTS,
                                  .window_batches = window,
                                  .window_bytes = window_bytes,
                                  .epoch = 3,
                                  .eager = manner.eager,
                                  .content = manner.content,
                                  .scratch = manner.scratch,
                                  .allocator = manner.allocator};
    cr_assert(gate_init(&gate, &inputs));
    gate.aligned[2].feedback = manner.feedback;
    gate.aligned[1].aligned_only = manner.aligned_only;
    gate_align(&gate);
    struct outlet_options options = {.epoch = 3,
                                     .batch_bytes = 4096,
                                     .window_batches = 1000,
                                     .window_bytes = 1 << 30,
                                     .key_groups = 128};
    cr_assert(outlet_init(&outlet, &options, INPUTS, INPUTS, INPUTS));
    for (uint32_t i = 0; i < INPUTS; i++) {
        outlet_add_edge(&outlet, WEIR_FORWARD, i, 1);
        outlet.channels[i].pipe = &out[i];
        gate.inputs[i].credits = &back[i];
        gate.inputs[i].channel = i;
    }
}

static void open_gate(uint32_t window, uint64_t window_bytes)
{
    open_gate_as(window, window_bytes, (struct manner){0});
}

static void close_gate(void)
{
    gate_free(&gate);
    content_free(&content); /* before the pool of its batches */
    for (uint32_t i = 0; i < INPUTS; i++)
        wire_clear(&back[i]);
    outlet_free(&outlet);
    batch_pool_free(&outlet.pool);
}

static void put(unsigned input, uint64_t first, uint64_t count, int64_t time)
{
    for (uint64_t n = first; n < first + count; n++) {
        unsigned char value[32] = {0};
        memcpy(value, &n, sizeof n);
        outlet_append(&outlet, &outlet.edges[input],
                      &(struct weir_record){{&n, 8}, {value, 1 + n % 20}, time});
    }
}

/* What was written to the outlet arrives. */
static void arrive(void)
{
    outlet_flush(&outlet);
    for (uint32_t i = 0; i < INPUTS; i++)
        for (const struct message *m = wire_next(&out[i]); m; m = wire_next(&out[i]))
            cr_assert(gate_deliver(&gate, i, m, &verdict, &error), "%s", error.text);
}

static void control(unsigned input, enum message_kind kind, uint64_t id)
{
    struct message message = {.kind = kind,
                              .epoch = 3,
                              .channel = input,
                              .id = id,
                              .sequence = gate.inputs[input].sequence + 1};
    cr_assert(gate_deliver(&gate, input, &message, &verdict, &error));
    outlet.channels[input].sequence++;
}

static struct gate_next reads(enum gate_what what, uint32_t input)
{
    struct gate_next next = gate_read(&gate, GATE_SPAN);
    cr_assert_eq(next.what, what, "%d, not %d", (int)next.what, (int)what);
    if (what != GATE_NOTHING)
        cr_assert_eq(next.input, input);
    return next;
}

Test(gate, a_duplicate_is_dropped_and_counted_a_gap_fails)
{
    open_gate(8, 1 << 20);
    put(0, 0, 1, 5);
    outlet_flush(&outlet);
    struct message message = out[0].sent[0];
    batch_share(message.payload, 3);
    cr_expect(gate_deliver(&gate, 0, &message, &verdict, &error));
    cr_expect(gate_deliver(&gate, 0, &message, &verdict, &error));
    cr_expect_eq(gate.duplicates, 1);
    message.epoch = 2; /* of an earlier run */
    message.sequence = 2;
    cr_expect(gate_deliver(&gate, 0, &message, &verdict, &error));
    cr_expect_eq(gate.duplicates, 2);
    message.epoch = 3;
    message.sequence = 1000;
    cr_expect_not(gate_deliver(&gate, 0, &message, &verdict, &error));
    cr_expect_eq(error.code, WEIR_PROTOCOL);
    message = (struct message){.kind = MESSAGE_BATCH, .epoch = 3, .sequence = 2};
    cr_expect_not(gate_deliver(&gate, 0, &message, &verdict, &error), "a batch without content");
    close_gate();
}

Test(gate, records_come_in_order_whatever_part_of_a_span_is_consumed)
{
    for (uint32_t step = 1; step <= GATE_SPAN; step += 3) {
        open_gate(8, 1 << 20);
        put(1, 0, 500, 9);
        put(1, 500, 500, WEIR_NO_TIME);
        arrive();
        uint64_t expected = 0;
        while (expected < 1000) {
            struct gate_next next = gate_read(&gate, GATE_SPAN);
            cr_assert_eq(next.what, GATE_RECORDS);
            cr_assert_eq(next.input, 1);
            uint32_t used = next.count < step ? next.count : step;
            for (uint32_t i = 0; i < used; i++, expected++) {
                const struct weir_record *record = &gate.records[i];
                cr_assert_eq(memcmp(record->key.data, &expected, 8), 0);
                cr_assert_eq(record->value.size, 1 + expected % 20);
                cr_assert_eq(record->time, expected < 500 ? 9 : WEIR_NO_TIME);
            }
            gate_consumed(&gate, 1, used);
        }
        reads(GATE_NOTHING, 0);
        close_gate();
    }
}

Test(gate, a_held_input_waits_in_order_and_the_others_go_on)
{
    open_gate(8, 1 << 20);
    put(0, 0, 1, 0);
    arrive();
    control(0, MESSAGE_MARKER, 1);
    put(0, 1, 1, 0);
    put(1, 2, 1, 0);
    arrive();
    reads(GATE_RECORDS, 0);
    gate_consumed(&gate, 0, 1);
    reads(GATE_RECORDS, 1);
    gate_consumed(&gate, 1, 1);
    cr_expect_eq(reads(GATE_MARKER, 0).id, 1);
    cr_expect_eq(aligner_reached(&gate.aligner, 0, 1), ALIGNER_NONE);
    reads(GATE_NOTHING, 0);
    control(1, MESSAGE_MARKER, 1);
    control(2, MESSAGE_END, 0);
    reads(GATE_END, 2); /* it is its turn */
    cr_expect_eq(aligner_end_reached(&gate.aligner, 2), ALIGNER_NONE);
    reads(GATE_MARKER, 1);
    cr_expect_eq(aligner_reached(&gate.aligner, 1, 1), ALIGNER_CUT);
    aligner_cut(&gate.aligner);
    reads(GATE_RECORDS, 0);
    gate_consumed(&gate, 0, 1);
    close_gate();
}

Test(gate, no_input_starves_another)
{
    open_gate(1000, 1 << 30);
    for (int i = 0; i < 50; i++) {
        put(0, 0, 1, 0);
        put(1, 0, 1, 0);
        outlet_flush(&outlet);
    }
    put(2, 0, 1, 0);
    arrive();
    unsigned turns[INPUTS] = {0};
    for (int i = 0; i < 30; i++) {
        struct gate_next next = gate_read(&gate, GATE_SPAN);
        turns[next.input]++;
        gate_consumed(&gate, next.input, next.count);
        cr_expect(i < 3 || turns[2] == 1);
    }
    cr_expect_leq(turns[0], 15);
    cr_expect_leq(turns[1], 15);
    close_gate();
}

static uint64_t returned(unsigned input, uint64_t *bytes)
{
    uint64_t batches = 0;
    for (unsigned i = 0; i < back[input].count; i++) {
        cr_expect_eq(back[input].sent[i].kind, MESSAGE_CREDIT);
        cr_expect_gt(back[input].sent[i].value, batches, "totals grow");
        batches = back[input].sent[i].value;
        *bytes = back[input].sent[i].id;
    }
    return batches;
}

static void consume(unsigned batches)
{
    while (batches--) {
        struct gate_next next = gate_read(&gate, GATE_SPAN);
        cr_assert_eq(next.what, GATE_RECORDS);
        gate_consumed(&gate, next.input, next.count);
    }
}

Test(gate, all_credit_goes_back_and_none_twice)
{
    for (uint32_t window = 1; window <= 9; window++) {
        open_gate(window, 1 << 20);
        uint64_t sent = 0, got = 0;
        for (unsigned i = 0; i < 40; i++) {
            put(0, i, 1, 0);
            outlet_flush(&outlet);
            sent += out[0].sent[i].payload->size;
        }
        back[0].full = true;
        arrive();
        consume(10);
        back[0].full = false;
        consume(10);
        cr_expect_gt(back[0].count, 0);
        consume(20);
        cr_expect(gate_return_credits(&gate));
        cr_expect_eq(returned(0, &got), 40);
        cr_expect_eq(got, sent);
        close_gate();
    }
}

Test(gate, a_writer_whose_byte_window_is_full_gets_credit_at_once)
{
    open_gate(64, 2000);
    put(0, 0, 60, 0); /* about a byte window */
    arrive();
    consume(1);
    cr_expect_gt(back[0].count, 0);
    close_gate();
}

/* A writer may wait for the little credit that half a window has not been reached for (its next
 * batch is larger than what is left of the byte window), while another input leaves no pause. */
Test(gate, credit_of_a_quiet_input_goes_back_although_another_is_busy)
{
    open_gate(8, 1 << 20);
    put(0, 0, 1, 0);
    arrive();
    consume(1);
    cr_expect_eq(back[0].count, 0, "not at once");
    for (unsigned i = 0; i < 64; i++) {
        put(1, i, 1, 0);
        arrive();
        consume(1);
    }
    uint64_t bytes = 0;
    cr_expect_eq(returned(0, &bytes), 1);
    close_gate();
}

/* ----------------------------------------------------------------------------- event time -- */

static void watermark(unsigned input, int64_t time)
{
    outlet.edge_count = 1; /* marks go to every lane: only this one */
    struct outlet only = outlet;
    only.lanes += input;
    only.lane_count = 1;
    if (time == WEIR_NO_TIME)
        outlet_idle(&only);
    else
        outlet_watermark(&only, time);
    outlet_flush(&only);
    outlet = (struct outlet){.options = only.options,
                             .pool = only.pool,
                             .edges = only.edges,
                             .lanes = only.lanes - input,
                             .channels = only.channels,
                             .edge_count = INPUTS,
                             .lane_count = INPUTS,
                             .channel_count = INPUTS,
                             .open_count = only.open_count,
                             .waiting = only.waiting};
    arrive();
    while (gate_read(&gate, GATE_SPAN).what == GATE_TIME)
        ;
}

Test(gate, the_watermark_is_the_least_of_the_inputs_that_count)
{
    open_gate(8, 1 << 20);
    cr_expect_eq(gate_watermark(&gate), WEIR_NO_TIME);
    watermark(0, 10);
    watermark(1, 20);
    cr_expect_eq(gate_watermark(&gate), WEIR_NO_TIME, "one has none");
    watermark(2, 30);
    cr_expect_eq(gate_watermark(&gate), 10);
    watermark(0, 5); /* never goes back */
    cr_expect_eq(gate_watermark(&gate), 10);
    watermark(0, WEIR_NO_TIME);
    cr_expect_eq(gate_watermark(&gate), 20, "idle does not count");
    cr_expect_not(gate_idle(&gate));
    watermark(1, WEIR_NO_TIME);
    watermark(2, WEIR_NO_TIME);
    cr_expect(gate_idle(&gate));
    watermark(0, 40);
    cr_expect_eq(gate_watermark(&gate), 40);
    put(1, 0, 1, 0); /* a record wakes it up */
    arrive();
    consume(1);
    cr_expect_eq(gate_watermark(&gate), 20);
    for (unsigned i = 0; i < INPUTS; i++) {
        control(i, MESSAGE_END, 0);
        reads(GATE_END, i);
        aligner_end_reached(&gate.aligner, i);
    }
    cr_expect_eq(gate_watermark(&gate), WEIR_END_OF_TIME);
    cr_expect_not(gate_idle(&gate));
    close_gate();
}

Test(gate, what_was_said_of_time_at_last_is_known_when_all_have_ended)
{
    open_gate(8, 1 << 20);
    cr_expect_eq(gate_last_watermark(&gate), WEIR_NO_TIME);
    watermark(1, 20);
    watermark(2, 30);
    cr_expect_eq(gate_last_watermark(&gate), 30);
    watermark(2, WEIR_NO_TIME); /* idle: it has said what it has said */
    watermark(2, WEIR_END_OF_TIME);
    cr_expect_eq(gate_last_watermark(&gate), 30, "the end of time is not the last of it");
    for (unsigned i = INPUTS; i-- > 0;) {
        control(i, MESSAGE_END, 0);
        reads(GATE_END, i);
        aligner_end_reached(&gate.aligner, i);
        cr_expect_eq(gate_last_watermark(&gate), 30);
    }
    close_gate();
}

/* ---------------------------------------------------------------------------- bad batches -- */

/* A batch cut anywhere, or with any byte set to 0xff: records come out, or BROKEN; nothing is read
 * beyond its end (the sanitizer looks on). */
Test(gate, no_batch_can_lead_the_reader_out_of_it)
{
    for (size_t change = 0; change < 400; change++) {
        open_gate(8, 1 << 20);
        put(0, 0, 5, 7);
        outlet_watermark(&outlet, 3);
        outlet_flush(&outlet);
        const struct batch *good = out[0].sent[0].payload;
        size_t size = good->size, cut = change < size ? change : size;
        struct batch *bad = batch_alone(NULL, cut ? cut : 1);
        memcpy(bad->data, good->data, cut);
        bad->size = cut;
        bad->count = 5;
        if (change >= size && change - size < size)
            bad->data[change - size] = 0xff;
        struct message message = out[0].sent[0];
        message.payload = bad;
        cr_assert(gate_deliver(&gate, 0, &message, &verdict, &error));
        for (int i = 0; i < 20; i++) {
            struct gate_next next = gate_read(&gate, GATE_SPAN);
            if (next.what == GATE_BROKEN || next.what == GATE_NOTHING)
                break;
            if (next.what != GATE_RECORDS)
                continue;
            for (uint32_t k = 0; k < next.count; k++) {
                const unsigned char *end = bad->data + bad->size;
                const struct weir_bytes *value = &gate.records[k].value;
                cr_assert((const unsigned char *)value->data + value->size <= end);
            }
            gate_consumed(&gate, 0, next.count);
            if (gate.inputs[0].count == 0)
                break;
        }
        for (uint32_t i = 0; i < INPUTS; i++)
            wire_clear(&out[i]);
        close_gate();
    }
    exercised(400);
}

/* --------------------------------------------------------------------------- out of order -- */

/* Item `at` of a channel whose items are the letters: b a batch, m a marker, e END. */
static struct message item_of(const char *kinds, unsigned at)
{
    struct message message = {.epoch = 3, .sequence = at + 1, .id = at + 1};
    message.kind = kinds[at] == 'b'   ? MESSAGE_BATCH
                   : kinds[at] == 'm' ? MESSAGE_MARKER
                                      : MESSAGE_END;
    if (kinds[at] == 'b') {
        uint64_t number = at;
        struct item_head head = {.key_size = 8};
        message.payload = batch_alone(NULL, 16);
        memcpy(message.payload->data, &head, sizeof head);
        memcpy(message.payload->data + 8, &number, sizeof number);
        message.payload->size = 16;
        message.payload->count = message.count = 1;
    }
    return message;
}

/* As a task does it: the item, its verdict, and then what was waiting for it. */
static bool take(unsigned input, struct message message)
{
    do
        if (!gate_deliver(&gate, input, &message, &verdict, &error))
            return false;
    while (gate_deliver_aside(&gate, input, &message));
    return true;
}

static void come_out_in_order(const char *kinds)
{
    for (unsigned at = 0; kinds[at]; at++) {
        if (kinds[at] == 'b') {
            reads(GATE_RECORDS, 0);
            uint64_t number = 99;
            memcpy(&number, gate.records[0].key.data, sizeof number);
            cr_assert_eq(number, at);
            gate_consumed(&gate, 0, 1);
        } else if (kinds[at] == 'm') {
            cr_assert_eq(reads(GATE_MARKER, 0).id, at + 1);
            (void)aligner_reached(&gate.aligner, 0, at + 1);
            (void)aligner_abort(&gate.aligner, at + 1); /* so that it is not held */
        } else {
            reads(GATE_END, 0);
            (void)aligner_end_reached(&gate.aligner, 0);
        }
    }
    reads(GATE_NOTHING, 0);
    cr_assert_eq(gate.gap_count, 0);
    cr_assert_eq(gate.held, 0);
    cr_assert_eq(gate.inputs[0].aside_count, 0);
}

static bool next_order(unsigned *order, unsigned count)
{
    unsigned i = count - 1;
    while (i && order[i - 1] > order[i])
        i--;
    if (!i)
        return false;
    unsigned j = count - 1;
    while (order[j] < order[i - 1])
        j--;
    unsigned swap = order[i - 1];
    order[i - 1] = order[j];
    order[j] = swap;
    for (unsigned a = i, b = count - 1; a < b; a++, b--) {
        swap = order[a];
        order[a] = order[b];
        order[b] = swap;
    }
    return true;
}

/* Every order of up to five items, and in each a second copy of every item at every place. */
Test(gate, whatever_order_items_come_in_they_are_read_in_their_own)
{
    static const char *const channels[] = {"b", "bm", "bbb", "mbmb", "bbmbe", "mmbbe", "bbbbb"};
    for (size_t c = 0; c < sizeof channels / sizeof *channels; c++) {
        const char *kinds = channels[c];
        unsigned count = (unsigned)strlen(kinds), order[5] = {0, 1, 2, 3, 4};
        do {
            for (unsigned twin = 0; twin <= count * (count + 1); twin++) {
                open_gate(8, 1 << 20);
                for (unsigned i = 0; i <= count; i++) {
                    if (twin < count * (count + 1) && twin / count == i)
                        cr_assert(take(0, item_of(kinds, twin % count)), "%s", error.text);
                    if (i < count)
                        cr_assert(take(0, item_of(kinds, order[i])), "%s", error.text);
                }
                cr_assert_eq(gate.duplicates, twin < count * (count + 1));
                come_out_in_order(kinds);
                close_gate();
            }
        } while (next_order(order, count));
    }
}

Test(gate, what_comes_too_early_waits_and_what_waits_belongs_to_no_cut)
{
    open_gate(8, 1 << 20);
    cr_assert(take(0, item_of("bbm", 2)));
    cr_expect_eq(verdict, ALIGNER_NONE, "it has not arrived, for the others have not");
    cr_expect_eq(gate.aligned[0].arrived, 0);
    reads(GATE_NOTHING, 0);
    cr_expect_eq(gate.gap_count, 1);
    cr_assert(take(0, item_of("bbm", 0)));
    cr_expect_eq(gate.inputs[0].sequence, 1);
    cr_assert(take(0, item_of("bbm", 1)));
    cr_expect_eq(gate.inputs[0].sequence, 3);
    cr_expect_eq(gate.aligned[0].arrived, 3);
    cr_expect_eq(gate.gap_count, 0);
    close_gate();
}

/* Markers and END need no credit, so there is room for a few besides the window. */
Test(gate, an_item_beyond_the_window_says_that_one_was_lost)
{
    for (uint64_t far = 1; far <= 40; far++) {
        open_gate(4, 1 << 20);
        struct message message = item_of("b", 0);
        message.sequence = far;
        message.channel = 7;
        bool taken = gate_deliver(&gate, 0, &message, &verdict, &error);
        cr_expect_eq(taken, far <= 4 + 16, "item %d", (int)far);
        if (!taken) {
            cr_expect_eq(error.code, WEIR_PROTOCOL);
            cr_expect(strstr(error.text, "channel 7: item ") &&
                          strstr(error.text, "after item 0") &&
                          strstr(error.text, "restart from the last checkpoint"),
                      "%s", error.text);
        }
        close_gate();
    }
}

Test(gate, a_gap_that_stays_is_found_at_the_second_look)
{
    open_gate(8, 1 << 20);
    gate.inputs[1].channel = 42;
    cr_expect_not(gate_stuck(&gate, &error), "there is none");
    cr_assert(take(1, item_of("bbb", 2)));
    cr_expect_not(gate_stuck(&gate, &error), "at the first look it may be new");
    cr_expect(gate_stuck(&gate, &error));
    cr_expect_eq(error.code, WEIR_PROTOCOL);
    cr_expect(strstr(error.text, "channel 42: item 1 does not come") != NULL, "%s", error.text);
    close_gate();
}

/* Something is always missing, but never the same for long. */
Test(gate, a_gap_that_moves_or_closes_is_not_stuck)
{
    open_gate(8, 1 << 20);
    cr_assert(take(1, item_of("bbbbb", 1)));
    cr_expect_not(gate_stuck(&gate, &error));
    cr_assert(take(1, item_of("bbbbb", 3)));
    cr_assert(take(1, item_of("bbbbb", 0))); /* now the third is missing */
    cr_expect_eq(gate.gap_count, 1);
    cr_expect_not(gate_stuck(&gate, &error));
    cr_assert(take(1, item_of("bbbbb", 2)));
    cr_expect_eq(gate.gap_count, 0);
    for (int i = 0; i < 3; i++)
        cr_expect_not(gate_stuck(&gate, &error), "nothing is missing");
    cr_assert(take(0, item_of("bb", 1)));
    cr_expect_not(gate_stuck(&gate, &error), "another one");
    cr_expect(gate_stuck(&gate, &error));
    close_gate();
}

static void promise(unsigned input, uint64_t sequence, uint32_t epoch)
{
    gate_promise(&gate, input,
                 &(struct message){.kind = MESSAGE_PROMISE, .epoch = epoch, .sequence = sequence});
}

/* The last items of a channel were lost: nothing follows them that would show it. */
Test(gate, what_was_promised_and_does_not_come_is_a_gap)
{
    open_gate(8, 1 << 20);
    cr_assert(take(0, item_of("bbb", 0)));
    promise(0, 1, 3);
    promise(0, 0, 3);
    promise(0, 9, 2); /* of an earlier run */
    cr_expect_eq(gate.gap_count, 0);
    promise(0, 3, 3);
    promise(0, 2, 3); /* an older one, late */
    cr_expect_eq(gate.gap_count, 1);
    cr_assert(take(0, item_of("bbb", 1)));
    cr_expect_eq(gate.gap_count, 1, "the third is missing still");
    cr_expect_not(gate_stuck(&gate, &error));
    cr_expect(gate_stuck(&gate, &error));
    cr_expect(strstr(error.text, "item 3 does not come") != NULL, "%s", error.text);
    cr_assert(take(0, item_of("bbb", 2)));
    cr_expect_eq(gate.gap_count, 0);
    cr_expect_not(gate_stuck(&gate, &error));
    close_gate();
}

Test(gate, nothing_may_come_behind_an_end)
{
    open_gate(8, 1 << 20);
    cr_assert(take(0, item_of("e", 0)));
    struct message message = item_of("eb", 1);
    cr_expect_not(gate_deliver(&gate, 0, &message, &verdict, &error));
    cr_expect(strstr(error.text, "behind its end") != NULL, "%s", error.text);
    close_gate();
}

/* -------------------------------------------------------------- credits, from both sides -- */

static bool credit_comes(unsigned input, unsigned at)
{
    const struct message *message = &back[input].sent[at];
    return outlet_credit(&outlet, input, message->value, message->id);
}

/* Of a window of two all credits but the last are lost, or come again and late: the writer knows
 * all the same what it may send. */
Test(gate, credit_that_was_lost_is_made_good_by_the_next)
{
    open_gate(2, 1 << 20);
    for (unsigned i = 0; i < 10; i++) {
        put(0, i, 1, 0);
        arrive();
        consume(1);
    }
    cr_assert_eq(back[0].count, 10);
    cr_assert_eq(outlet.channels[0].flying, 10);
    cr_expect(credit_comes(0, 3));
    cr_expect_eq(outlet.channels[0].flying, 6);
    cr_expect(credit_comes(0, 3));
    cr_expect(credit_comes(0, 1));
    cr_expect_eq(outlet.channels[0].flying, 6);
    cr_expect(credit_comes(0, 9));
    cr_expect_eq(outlet.channels[0].flying, 0);
    cr_expect_eq(outlet.channels[0].flying_bytes, 0);
    close_gate();
}

Test(gate, the_last_credit_is_said_again_on_demand)
{
    open_gate(2, 1 << 20);
    gate_repeat_credits(&gate);
    cr_expect_eq(back[0].count + back[1].count, 0, "nothing was consumed");
    put(1, 0, 1, 0);
    arrive();
    consume(1);
    cr_expect(gate_return_credits(&gate));
    cr_expect_eq(back[1].count, 1);
    cr_expect(gate_return_credits(&gate));
    cr_expect_eq(back[1].count, 1, "not by itself");
    gate_repeat_credits(&gate);
    cr_expect_eq(back[1].count, 2);
    cr_expect_eq(back[1].sent[1].value, 1);
    cr_expect_eq(back[0].count, 0);
    close_gate();
}

Test(gate, credit_that_a_pipe_refused_is_due_again)
{
    open_gate(8, 1 << 20);
    put(0, 0, 1, 0);
    arrive();
    consume(1);
    back[0].full = true;
    cr_expect_not(gate_return_credits(&gate));
    back[0].full = false;
    cr_expect(gate_return_credits(&gate));
    cr_expect_eq(back[0].count, 1);
    close_gate();
}

/* ----------------------------------------------------------------- what leads back, on disk -- */

static struct scratch folder;

static void begin_disk(void)
{
    folder = scratch_make();
    recorded = 0;
    content = (struct content){.plan = &plan, .recorded = &recorded, .durable = true};
}

static void finish_disk(void)
{
    cr_expect_eq(recorded, 0);
    cr_expect_eq(nameless_files(folder.path, -1), 0, "a file is still open");
    cr_expect_eq(named_files(folder.path), 0);
    scratch_free(&folder);
}
TestSuite(gate_disk, .init = begin_disk, .fini = finish_disk);

static void open_cycle(uint64_t window_bytes, bool eager)
{
    open_gate_as(
        4, window_bytes,
        (struct manner){
            .feedback = true, .eager = eager, .content = &content, .scratch = folder.path});
}

static void arrive_one(unsigned input, uint64_t number)
{
    put(input, number, 1, 0);
    arrive();
}

/* Reads and consumes up to `count` records of an input, which go on from *next. */
static void read_on(unsigned input, uint32_t count, uint64_t *next)
{
    while (count) {
        struct gate_next got = gate_read(&gate, count);
        cr_assert_eq(got.what, GATE_RECORDS);
        cr_assert_eq(got.input, input);
        for (uint32_t i = 0; i < got.count; i++, ++*next)
            cr_assert_eq(memcmp(gate.records[i].key.data, next, 8), 0, "number %d", (int)*next);
        gate_consumed(&gate, input, got.count);
        count -= got.count;
    }
}

Test(gate_disk, what_leads_back_is_credited_when_it_arrives_and_not_again)
{
    open_cycle(1 << 20, false);
    for (unsigned i = 0; i < 6; i++)
        arrive_one(2, i);
    uint64_t bytes = 0, next = 0;
    cr_expect_eq(returned(2, &bytes), 6, "at each second one");
    read_on(2, 6, &next);
    cr_expect(gate_return_credits(&gate));
    gate_repeat_credits(&gate);
    cr_expect_eq(back[2].sent[back[2].count - 1].value, 6);
    close_gate();
}

static uint64_t bytes_on_disk(unsigned input)
{
    const struct gate_input *at = &gate.inputs[input];
    uint64_t bytes = 0;
    for (uint32_t k = 0; k < at->count; k++) {
        const struct gate_item *item = &at->queue[(at->head + k) % at->room];
        bytes += item->spilled ? item->slice->size : 0;
    }
    return bytes;
}

/* More than memory may hold goes to disk, and all of it comes back in order, whatever comes while
 * it is read. */
Test(gate_disk, beyond_the_window_it_waits_on_disk_and_comes_back_in_order)
{
    uint64_t seed = explore_seed();
    open_cycle(2000, false);
    uint64_t arrived = 0, next = 0, most = 0;
    size_t weight = 0;
    for (int turn = 0; turn < 200; turn++) {
        for (uint32_t n = explore_below(&seed, 6); n; n--)
            arrive_one(2, arrived++);
        uint32_t wish = explore_below(&seed, 5);
        if (wish > arrived - next)
            wish = (uint32_t)(arrived - next);
        read_on(2, wish, &next);
        if (!weight && gate.held)
            weight = gate.held;
        cr_assert_leq(gate.inputs[2].held, 2000 + 2 * weight + SPILL_SLICE_LIMIT);
        cr_assert_eq(gate.inputs[2].held, gate.held);
        cr_assert_eq(gate.spilled, bytes_on_disk(2));
        most = gate.spilled > most ? gate.spilled : most;
    }
    cr_expect_gt(gate.spill.files, 0, "something waited there");
    cr_expect_gt(most, 0);
    read_on(2, (uint32_t)(arrived - next), &next);
    reads(GATE_NOTHING, 0);
    cr_expect_eq(gate.held, 0);
    cr_expect_eq(gate.spilled, 0);
    cr_expect_eq(gate.queued, 0);
    close_gate();
}

Test(gate_disk, what_lies_side_by_side_on_disk_is_one_item_and_a_marker_keeps_it_apart)
{
    open_cycle(1, false);
    arrive_one(2, 0); /* one may always be in memory */
    for (unsigned i = 1; i <= 50; i++)
        arrive_one(2, i);
    cr_expect_eq(gate.inputs[2].count, 2);
    cr_expect_eq(gate.queued, 2);
    control(2, MESSAGE_MARKER, 1);
    for (unsigned i = 51; i <= 60; i++)
        arrive_one(2, i);
    cr_expect_eq(gate.inputs[2].count, 4);
    uint64_t next = 0;
    read_on(2, 51, &next);
    cr_expect_eq(reads(GATE_MARKER, 2).id, 1);
    cr_expect_eq(aligner_reached(&gate.aligner, 2, 1), ALIGNER_NONE);
    reads(GATE_NOTHING, 0);
    control(0, MESSAGE_MARKER, 1);
    reads(GATE_MARKER, 0);
    (void)aligner_reached(&gate.aligner, 0, 1);
    control(1, MESSAGE_END, 0);
    reads(GATE_END, 1);
    cr_expect_eq(aligner_end_reached(&gate.aligner, 1), ALIGNER_CUT);
    aligner_cut(&gate.aligner);
    read_on(2, 10, &next);
    close_gate();
}

Test(gate_disk, only_what_leads_back_spills_and_without_a_folder_nothing_does)
{
    open_cycle(1, false);
    for (unsigned i = 0; i < 10; i++)
        arrive_one(0, i);
    cr_expect_eq(gate.spill.files, 0);
    cr_expect_eq(gate.inputs[0].count, 10);
    close_gate();
    open_gate_as(4, 1, (struct manner){.feedback = true});
    for (unsigned i = 0; i < 10; i++)
        arrive_one(2, i);
    cr_expect_eq(gate.inputs[2].count, 10);
    uint64_t next = 0;
    read_on(2, 10, &next);
    close_gate();
}

Test(gate_disk, a_disk_that_lost_it_fails_the_reader)
{
    open_cycle(1, false);
    for (unsigned i = 0; i < 3; i++)
        arrive_one(2, i);
    uint64_t next = 0;
    read_on(2, 1, &next);
    cr_assert_eq(nameless_files(folder.path, 20), 1);
    struct gate_next got = gate_read(&gate, 10);
    cr_expect_eq(got.what, GATE_FAILED);
    cr_expect_eq(gate.error.code, WEIR_DAMAGED);
    close_gate();
}

Test(gate_disk, a_disk_that_takes_nothing_fails_the_arrival)
{
    open_gate_as(4, 1,
                 (struct manner){.feedback = true,
                                 .content = &content,
                                 .scratch = scratch_join(folder.path, "missing")});
    arrive_one(2, 0);
    put(2, 1, 1, 0);
    outlet_flush(&outlet);
    const struct message *message = &out[2].sent[1];
    cr_expect_not(gate_deliver(&gate, 2, message, &verdict, &error));
    cr_expect(strstr(error.text, "missing") != NULL, "%s", error.text);
    cr_expect_eq(gate.inputs[2].sequence, 1, "it was not taken");
    close_gate();
}

/* ------------------------------------------------------------------------------- recorded -- */

/* The numbers of the records that the content holds of a channel, in order. */
static void content_is(unsigned input, const char *numbers)
{
    char text[400] = "";
    for (uint32_t i = 0; i < content.count; i++) {
        const struct content_item *item = &content.items[i];
        struct batch *read = NULL;
        if (item->channel != input)
            continue;
        cr_expect_not(item->outlet);
        if (!item->batch)
            cr_assert_eq(spill_get(&item->slice, NULL, &read, &error), WEIR_OK);
        const struct batch *batch = read ? read : item->batch;
        for (size_t at = item->offset, step; at < batch->size; at += step) {
            struct item record;
            uint64_t number = 0;
            step = item_next(batch->data + at, batch->size - at, &record);
            cr_assert_gt(step, 0);
            memcpy(&number, record.key.data, record.mark ? 0 : sizeof number);
            sprintf(text + strlen(text), record.mark ? "- " : "%d ", (int)number);
        }
        batch_release(read);
    }
    cr_expect_str_eq(text, numbers, "input %u", input);
}

static void cut_now(void)
{
    content_begin(&content, gate.aligner.open);
    aligner_cut(&gate.aligner);
    gate_record(&gate);
}

/* The next `count` records of this input, whoever's turn it is. */
static void read_from(unsigned input, uint32_t count)
{
    while (count) {
        gate.next = input;
        struct gate_next got = gate_read(&gate, count);
        cr_assert_eq(got.what, GATE_RECORDS);
        cr_assert_eq(got.input, input);
        gate_consumed(&gate, input, got.count);
        count -= got.count;
    }
}

static unsigned reach_marker(unsigned input, uint64_t id)
{
    gate.next = input;
    cr_assert_eq(reads(GATE_MARKER, input).id, id);
    return aligner_reached(&gate.aligner, input, id);
}

/* Several records in one batch. */
static void arrive_batch(unsigned input, uint64_t first, uint64_t count)
{
    put(input, first, count, 0);
    arrive();
}

/* When the cut comes, the first input has reached its marker, the second is in the middle of a
 * batch and waits for its marker, the third's has arrived behind two batches. */
static void go_to_early_cut(void)
{
    arrive_batch(0, 0, 1);
    control(0, MESSAGE_MARKER, 5);
    arrive_batch(0, 1, 1);
    arrive_batch(1, 0, 4);
    arrive_batch(1, 4, 1);
    arrive_batch(2, 0, 2);
    arrive_batch(2, 2, 1);
    control(2, MESSAGE_MARKER, 5);
    arrive_batch(2, 3, 1);
    read_from(0, 1);
    cr_expect_eq(reach_marker(0, 5), ALIGNER_NONE);
    read_from(1, 2);
    cr_expect_eq(aligner_overtake(&gate.aligner, 5), ALIGNER_CUT);
    cut_now();
}

Test(gate_disk, an_early_cut_records_what_lies_before_the_markers_and_nothing_else)
{
    open_gate_as(8, 1 << 20, (struct manner){.content = &content});
    go_to_early_cut();
    content_is(0, "");
    content_is(1, "2 3 4 ");
    content_is(2, "0 1 2 ");
    cr_expect_eq(gate.aligner.recording, 5);
    arrive_batch(0, 2, 1);
    arrive_batch(1, 5, 2);
    arrive_batch(2, 4, 1);
    content_is(0, "");
    content_is(1, "2 3 4 5 6 ");
    content_is(2, "0 1 2 ");
    read_from(1, 4); /* to be read and to be recorded are two things */
    control(1, MESSAGE_MARKER, 5);
    cr_expect_eq(gate.aligner.recording, 0, "the last marker has arrived");
    arrive_batch(1, 7, 1);
    content_is(1, "2 3 4 5 6 ");
    read_from(0, 2);
    read_from(1, 1);
    cr_expect_eq(reach_marker(1, 5), ALIGNER_NONE);
    read_from(1, 1);
    read_from(2, 3);
    cr_expect_eq(reach_marker(2, 5), ALIGNER_NONE);
    read_from(2, 2);
    reads(GATE_NOTHING, 0);
    close_gate();
}

Test(gate_disk, an_end_bounds_what_is_recorded_as_a_marker_does)
{
    open_gate_as(8, 1 << 20, (struct manner){.content = &content, .eager = true});
    arrive_batch(0, 0, 2);
    control(0, MESSAGE_END, 0);
    arrive_batch(1, 0, 1);
    cr_expect_eq(aligner_announced(&gate.aligner, 3), ALIGNER_CUT);
    cut_now();
    arrive_batch(1, 1, 1);
    control(1, MESSAGE_END, 0);
    control(2, MESSAGE_MARKER, 3);
    cr_expect_eq(gate.aligner.recording, 0);
    content_is(0, "0 1 ");
    content_is(1, "0 1 ");
    content_is(2, "");
    close_gate();
}

Test(gate_disk, when_the_round_is_given_up_nothing_more_is_recorded)
{
    open_gate_as(8, 1 << 20, (struct manner){.content = &content});
    go_to_early_cut();
    cr_expect_eq(aligner_abort(&gate.aligner, 5), ALIGNER_DROP);
    content_drop(&content);
    cr_expect_eq(recorded, 0);
    arrive_batch(1, 5, 1);
    content_is(1, "");
    control(1, MESSAGE_MARKER, 5); /* stale */
    read_from(1, 4);
    cr_expect_eq(reach_marker(1, 5), ALIGNER_NONE);
    arrive_batch(1, 6, 1);
    read_from(1, 1);
    close_gate();
}

/* A marker of a round that was aborted still stands among what the next one records. */
Test(gate_disk, a_dead_marker_among_it_is_passed_over)
{
    open_gate_as(8, 1 << 20, (struct manner){.content = &content, .eager = true});
    (void)aligner_abort(&gate.aligner, 4);
    arrive_batch(1, 0, 1);
    control(1, MESSAGE_MARKER, 4);
    arrive_batch(1, 1, 1);
    cr_expect_eq(aligner_announced(&gate.aligner, 6), ALIGNER_CUT);
    cut_now();
    content_is(1, "0 1 ");
    arrive_batch(0, 0, 1);
    control(0, MESSAGE_MARKER, 4);
    arrive_batch(0, 1, 1);
    control(0, MESSAGE_MARKER, 6);
    arrive_batch(0, 2, 1);
    content_is(0, "0 1 ");
    close_gate();
}

/* P13: its marker is waited for, and others that have reached theirs are held meanwhile. */
Test(gate_disk, what_is_aligned_only_is_read_up_to_its_marker_before_the_cut)
{
    open_gate_as(8, 1 << 20,
                 (struct manner){.content = &content, .eager = true, .aligned_only = true});
    arrive_batch(0, 0, 2);
    arrive_batch(1, 0, 2);
    cr_expect_eq(aligner_announced(&gate.aligner, 3), ALIGNER_NONE);
    control(1, MESSAGE_MARKER, 3);
    control(0, MESSAGE_MARKER, 3);
    read_from(0, 1);
    read_from(1, 2);
    cr_expect_eq(reach_marker(1, 3), ALIGNER_CUT);
    cut_now();
    content_is(0, "1 ");
    content_is(1, "");
    close_gate();
}

Test(gate_disk, what_leads_back_is_recorded_in_an_aligned_cut_too)
{
    open_cycle(1 << 20, false);
    arrive_batch(2, 0, 3);
    read_from(2, 1);
    control(0, MESSAGE_MARKER, 1);
    control(1, MESSAGE_MARKER, 1);
    cr_expect_eq(reach_marker(0, 1), ALIGNER_NONE);
    arrive_batch(0, 0, 1);
    cr_expect_eq(reach_marker(1, 1), ALIGNER_CUT);
    cut_now();
    arrive_batch(2, 3, 1);
    control(2, MESSAGE_MARKER, 1);
    arrive_batch(2, 4, 1);
    cr_expect_eq(gate.aligner.recording, 0);
    content_is(0, "");
    content_is(2, "1 2 3 ");
    close_gate();
}

/* --------------------------------------------------------------- recorded, and on disk -- */

Test(gate_disk, a_batch_that_came_back_from_disk_is_recorded_from_where_it_was_read)
{
    open_cycle(1, true);
    for (unsigned i = 0; i <= 6; i++)
        arrive_one(2, i);
    read_from(2, 1);
    read_from(2, 3); /* of one that lay on disk */
    arrive_one(2, 7);
    arrive_one(2, 8);
    cr_expect_eq(aligner_announced(&gate.aligner, 1), ALIGNER_CUT);
    cut_now();
    arrive_one(2, 9);
    content_is(2, "4 5 6 7 8 9 ");
    uint64_t next = 4;
    read_on(2, 6, &next);
    cr_expect_eq(gate.held, 0);
    content_is(2,
               "4 5 6 7 8 9 "); /* the queue has given its slices back; the content has its own */
    close_gate();
}

Test(gate_disk, when_the_budget_is_spent_what_is_recorded_of_a_cycle_goes_to_disk)
{
    open_cycle(1 << 20, true);
    arrive_one(2, 0);
    cr_expect_eq(aligner_announced(&gate.aligner, 1), ALIGNER_CUT);
    cut_now();
    uint64_t before = recorded;
    cr_expect_gt(before, 0);
    gate.spill_all = true;
    for (unsigned i = 1; i < 20; i++)
        arrive_one(2, i);
    arrive_one(0, 7); /* not of a cycle: it stays in memory */
    cr_expect_eq(content.items[content.count - 1].channel, 0);
    cr_expect_eq(recorded, before + content_weight(content.items[content.count - 1].batch));
    content_is(2, "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 ");
    control(2, MESSAGE_MARKER, 1);
    arrive_one(2, 20); /* recorded no more: to memory */
    cr_expect_not(gate.inputs[2].queue[gate.inputs[2].count - 1].spilled);
    close_gate();
}

/* P11 */
Test(gate_disk, frozen_inputs_wait_for_their_markers_and_cycles_are_read_on)
{
    open_cycle(1 << 20, true);
    for (unsigned i = 0; i < INPUTS; i++)
        arrive_batch(i, 0, 2);
    cr_expect_eq(aligner_announced(&gate.aligner, 1), ALIGNER_CUT);
    cut_now();
    control(0, MESSAGE_MARKER, 1);
    aligner_freeze(&gate.aligner);
    arrive_batch(1, 2, 1);
    content_is(1, "0 1 2 ");
    for (int i = 0; i < 4; i++) { /* the first has its marker, the third leads back */
        struct gate_next got = gate_read(&gate, 1);
        cr_assert_eq(got.what, GATE_RECORDS);
        cr_assert_neq(got.input, 1);
        gate_consumed(&gate, got.input, 1);
    }
    cr_expect_eq(reach_marker(0, 1), ALIGNER_NONE);
    reads(GATE_NOTHING, 0);
    control(1, MESSAGE_MARKER, 1);
    read_from(1, 3);
    close_gate();
}

Test(gate_disk, an_abort_lets_frozen_inputs_go)
{
    open_cycle(1 << 20, true);
    arrive_batch(1, 0, 2);
    cr_expect_eq(aligner_announced(&gate.aligner, 1), ALIGNER_CUT);
    cut_now();
    aligner_freeze(&gate.aligner);
    reads(GATE_NOTHING, 0);
    (void)aligner_abort(&gate.aligner, 1);
    content_drop(&content);
    read_from(1, 2);
    close_gate();
}

/* ------------------------------------------------------------------------- a checkpoint's -- */

static void restore(unsigned input, uint64_t number)
{
    struct message message = item_of("b", 0);
    memcpy(message.payload->data + 8, &number, sizeof number);
    cr_assert_eq(gate_restore(&gate, input, message.payload, &error), WEIR_OK, "%s", error.text);
}

Test(gate_disk, what_is_restored_is_read_first_and_credited_when_it_is_read)
{
    open_cycle(1 << 20, false);
    for (uint64_t i = 0; i < 3; i++)
        restore(0, i);
    cr_expect_eq(gate.inputs[0].sequence, 0, "numbers begin anew");
    arrive_one(0, 3);
    uint64_t next = 0, bytes = 0;
    read_on(0, 4, &next);
    cr_expect(gate_return_credits(&gate));
    cr_expect_eq(returned(0, &bytes), 4);
    cr_expect_eq(bytes, 3 * 16 + out[0].sent[0].payload->size);
    close_gate();
}

/* It was credited in the run before, and its writer was charged nothing. */
Test(gate_disk, what_led_back_is_restored_without_credit_and_spills_beyond_the_window)
{
    open_cycle(2 * (sizeof(struct batch) + 16), false);
    for (uint64_t i = 0; i < 20; i++)
        restore(2, i);
    cr_expect_gt(gate.spill.files, 0);
    cr_expect_eq(gate.inputs[2].count, 3, "two in memory, and the rest");
    cr_expect_eq(content.count, 0);
    arrive_one(2, 20);
    uint64_t next = 0, bytes = 0;
    read_on(2, 21, &next);
    cr_expect(gate_return_credits(&gate));
    cr_expect_eq(returned(2, &bytes), 1);
    cr_expect_eq(gate.held, 0);
    close_gate();
}

/* A checkpoint that comes before what was restored is consumed holds it again. */
Test(gate_disk, what_was_restored_and_not_yet_read_is_recorded_again)
{
    open_gate_as(8, 1 << 20, (struct manner){.content = &content, .eager = true});
    for (uint64_t i = 0; i < 3; i++)
        restore(1, i);
    read_from(1, 1);
    cr_expect_eq(aligner_announced(&gate.aligner, 9), ALIGNER_CUT);
    cut_now();
    arrive_one(1, 3);
    content_is(1, "1 2 3 ");
    close_gate();
}

/* ----------------------------------------------------------- of another parallelism -- */

/* Inputs 0 and 1 are of one edge, 2 is of another. Input 3 is of the first, one restore ago; 4 too,
 * two ago; 5 is of the second, one ago. Each of these has two records: 30, 31 is what input 3 has.
 */
static void open_older(struct manner manner)
{
    static const struct gate_input facts[OLDER] = {
        {.edge = 7, .restores = 1}, {.edge = 7, .restores = 2}, {.edge = 8, .restores = 1}};
    manner.content = &content;
    open_gate_as(8, 1 << 20, manner);
    for (unsigned i = 0; i < INPUTS; i++)
        gate.inputs[i].edge = i < 2 ? 7 : 8;
    for (unsigned i = 0; i < OLDER; i++) {
        struct gate_input of = facts[i];
        of.channel = INPUTS + i;
        of.timeless = i == 2 && manner.feedback;
        cr_assert_eq(gate_add_restored(&gate, &of), INPUTS + i);
        restore(INPUTS + i, 10 * (INPUTS + (uint64_t)i));
        restore(INPUTS + i, 10 * (INPUTS + (uint64_t)i) + 1);
    }
    cr_assert(gate_end_restored(&gate));
}

static void read_end(unsigned input)
{
    gate.next = input;
    reads(GATE_END, input);
    cr_expect_eq(aligner_end_reached(&gate.aligner, input), ALIGNER_NONE);
}

/* G8 */
Test(gate_disk, of_an_edge_what_was_restored_more_often_is_read_to_its_end_first)
{
    static const unsigned older_of[] = {3, 3, 5, 4}; /* of inputs 0 to 3 */
    uint64_t dice = explore_seed();
    unsigned between = 0;
    for (int trial = 0; trial < 200; trial++) {
        uint64_t next[INPUTS + OLDER] = {0, 0, 0, 30, 40, 50};
        bool ended[INPUTS + OLDER] = {false};
        open_older((struct manner){0});
        for (unsigned i = 0; i < INPUTS; i++)
            arrive_batch(i, 0, 2);
        for (unsigned left = 2 * (INPUTS + OLDER) + OLDER; left > 0; left--) {
            gate.next = explore_below(&dice, INPUTS + OLDER); /* whose turn it may be */
            struct gate_next got = gate_read(&gate, 1);
            cr_assert(got.what == GATE_RECORDS || got.what == GATE_END, "%u left", left);
            cr_assert(got.input >= sizeof older_of / sizeof *older_of || ended[older_of[got.input]],
                      "input %u before the end of an older one", got.input);
            if (got.what == GATE_END) {
                ended[got.input] = true;
                cr_assert_eq(aligner_end_reached(&gate.aligner, got.input), ALIGNER_NONE);
                continue;
            }
            between += got.input == 5 && !ended[4];
            cr_assert_eq(memcmp(gate.records[0].key.data, &next[got.input], 8), 0);
            next[got.input]++;
            gate_consumed(&gate, got.input, 1);
        }
        reads(GATE_NOTHING, 0);
        cr_assert_eq(gate.restored_left, 0);
        close_gate();
    }
    cr_expect_gt(between, 20, "other edges do not wait for it");
}

/* G8: unaligned; and again, before more of it is read. */
Test(gate_disk, what_has_no_writer_is_recorded_by_each_cut_until_it_is_read)
{
    open_older((struct manner){.eager = true});
    read_from(4, 1);
    for (uint64_t id = 9; id <= 10; id++) {
        cr_expect_eq(aligner_announced(&gate.aligner, id), ALIGNER_CUT);
        cut_now();
        content_is(3, "30 31 ");
        content_is(4, "41 ");
        content_is(5, "50 51 ");
        for (unsigned i = 0; i < INPUTS; i++) {
            cr_expect_eq(gate.aligner.recording, id, "markers of those with a writer are awaited");
            control(i, MESSAGE_MARKER, id);
        }
        cr_expect_eq(gate.aligner.recording, 0, "and no others");
        content_drop(&content);
    }
    close_gate();
}

/* G8: aligned. Input 2 leads back, and its old channel has not been read when the others are
 * through. */
Test(gate_disk, nobody_waits_for_the_marker_of_what_has_no_writer)
{
    open_older((struct manner){.feedback = true});
    read_from(5, 1);
    control(0, MESSAGE_MARKER, 9);
    control(1, MESSAGE_MARKER, 9);
    read_from(4, 2);
    read_end(4);
    read_from(3, 2);
    read_end(3);
    cr_expect_eq(reach_marker(0, 9), ALIGNER_NONE);
    cr_expect_eq(reach_marker(1, 9), ALIGNER_CUT);
    cut_now();
    content_is(3, "");
    content_is(4, "");
    content_is(5, "51 ");
    content_drop(&content);
    close_gate();
}

/* G8 */
Test(gate_disk, the_time_of_what_has_no_writer_counts_until_its_end_unless_it_led_back)
{
    open_older((struct manner){.feedback = true});
    for (unsigned i = 0; i < INPUTS + OLDER; i++)
        gate.inputs[i].watermark = 100 - i; /* 3: 97, 4: 96, and those of edge 8 say nothing */
    cr_expect_eq(gate_watermark(&gate), 96);
    read_from(4, 2);
    cr_expect_eq(gate_watermark(&gate), 96);
    read_end(4);
    cr_expect_eq(gate_watermark(&gate), 97);
    read_from(3, 2);
    read_end(3);
    cr_expect_eq(gate_watermark(&gate), 99);
    close_gate();
}

/* ----------------------------------------------------------------------------- no memory -- */

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

/* Restored, in order, too early, on disk: each takes what it is given, or says that it can't. */
static enum weir_result take_all_kinds(void)
{
    static const unsigned order[] = {0, 2, 1, 3, 4};
    for (uint64_t i = 0; i < 20; i++)
        if (gate_restore(&gate, 0, item_of("b", 0).payload, &error))
            return error.code;
    for (unsigned i = 0; i < 5; i++)
        if (!take(1, item_of("bbbbb", order[i])) || !take(2, item_of("bbbbb", i)))
            return error.code;
    return WEIR_OK;
}

Test(gate_disk, without_memory_it_says_so_and_gives_everything_back)
{
    struct weir_allocator allocator = {.allocate = take_memory, .release = give_memory};
    enum weir_result result = WEIR_NO_MEMORY;
    for (uint32_t k = 2; result; k++) { /* what gate_init takes is given */
        allocations_left = k;
        open_gate_as(4, 1,
                     (struct manner){.feedback = true,
                                     .scratch = folder.path,
                                     .content = &content,
                                     .allocator = &allocator});
        result = take_all_kinds();
        cr_expect(result == WEIR_OK || result == WEIR_NO_MEMORY, "%s", error.text);
        allocations_left = UINT32_MAX;
        close_gate();
        cr_assert_lt(k, 100);
    }
}

/* ----------------------------------------------------------------------------- at random -- */

/* Each input has a writer of its own, which cuts and ends when it likes. The twin knows how many
 * records each had sent before its marker (or END), and how many were processed at the cut: what
 * lies between is the content. */
struct writer {
    uint64_t sent, processed, before_marker, processed_at_cut;
    bool marked, ended; /* for the round that is open */
};

static struct {
    struct writer writers[INPUTS];
    uint64_t dice, id, next; /* next: the number that is expected in the content */
    bool open, cut;
    unsigned completed;
} twin;

static void follow(unsigned said)
{
    if (content.id && gate.aligner.cut != content.id)
        content_drop(&content); /* it was given up */
    cr_assert_eq(said & ALIGNER_ERROR, 0);
    if (!(said & ALIGNER_CUT))
        return;
    cut_now();
    for (unsigned i = 0; i < INPUTS; i++)
        twin.writers[i].processed_at_cut = twin.writers[i].processed;
}

static void twin_sends(unsigned input)
{
    struct writer *writer = &twin.writers[input];
    if (writer->ended)
        return;
    uint32_t what = explore_below(&twin.dice, 20);
    if (what < 16) {
        uint32_t count = 1 + explore_below(&twin.dice, 5);
        arrive_batch(input, writer->sent, count);
        writer->sent += count;
    } else if (what < 19 && twin.open && !writer->marked) {
        writer->marked = true;
        writer->before_marker = writer->sent;
        control(input, MESSAGE_MARKER, twin.id);
        follow(verdict);
    } else if (what == 19 && explore_below(&twin.dice, 20) == 0) {
        writer->ended = true;
        control(input, MESSAGE_END, 0);
        follow(verdict);
    }
}

static void twin_reads(void)
{
    struct gate_next got = gate_read(&gate, 1 + explore_below(&twin.dice, 6));
    struct writer *writer = &twin.writers[got.input];
    if (got.what == GATE_MARKER) {
        follow(aligner_reached(&gate.aligner, got.input, got.id));
    } else if (got.what == GATE_END) {
        follow(aligner_end_reached(&gate.aligner, got.input));
    } else if (got.what == GATE_RECORDS) {
        uint32_t count = 1 + explore_below(&twin.dice, got.count);
        for (uint32_t i = 0; i < count; i++, writer->processed++)
            cr_assert_eq(memcmp(gate.records[i].key.data, &writer->processed, 8), 0);
        gate_consumed(&gate, got.input, count);
    }
}

static void twin_commands(void)
{
    uint32_t what = explore_below(&twin.dice, 8);
    if (!twin.open) {
        twin.id += 1 + explore_below(&twin.dice, 3);
        twin.open = true;
        for (unsigned i = 0; i < INPUTS; i++) {
            twin.writers[i].marked = false;
            twin.writers[i].before_marker = 0;
        }
        if (what < 6) /* else its markers come first */
            follow(aligner_announced(&gate.aligner, twin.id));
    } else if (what == 0) {
        twin.open = false;
        follow(aligner_abort(&gate.aligner, twin.id));
    } else if (what < 4) {
        follow(aligner_announced(&gate.aligner, twin.id));
    } else if (what == 4) {
        follow(aligner_overtake(&gate.aligner, twin.id));
    } else if (what == 5) {
        gate.spill_all = gate.aligner.recording;
        if (gate.aligner.ordered >= gate.aligner.recording)
            aligner_freeze(&gate.aligner);
    }
}

static void check_channel(unsigned input)
{
    const struct writer *writer = &twin.writers[input];
    uint64_t end = writer->marked ? writer->before_marker : writer->sent;
    char numbers[400] = "";
    for (uint64_t n = writer->processed_at_cut; n < end && strlen(numbers) < 390; n++)
        sprintf(numbers + strlen(numbers), "%d ", (int)n);
    content_is(input, numbers);
}

static void twin_completes(void)
{
    if (!twin.open || content.id != twin.id || gate.aligner.recording)
        return;
    for (unsigned i = 0; i < INPUTS; i++)
        check_channel(i);
    content_drop(&content);
    gate.spill_all = false;
    twin.open = false;
    twin.completed++;
}

static void twin_lives(uint64_t seed)
{
    memset(&twin, 0, sizeof twin);
    twin.dice = seed;
    struct manner manner = {.content = &content, .scratch = folder.path};
    uint64_t window_bytes = explore_below(&twin.dice, 2) ? 400 : 1 << 20;
    manner.feedback = explore_below(&twin.dice, 2);
    manner.eager = explore_below(&twin.dice, 2);
    open_gate_as(4, window_bytes, manner);
    for (int step = 0; step < 160; step++) {
        uint32_t what = explore_below(&twin.dice, 10);
        if (what < 5)
            twin_sends(explore_below(&twin.dice, INPUTS));
        else if (what < 9)
            twin_reads();
        else
            twin_commands();
        twin_completes();
    }
    content_drop(&content);
    close_gate();
}

Test(gate_disk, whatever_comes_the_content_is_what_lies_between_the_cut_and_the_markers)
{
    uint64_t seed = explore_seed();
    unsigned completed = 0;
    for (unsigned life = 0; life < 1500; life++) {
        if (life == 0)
            fprintf(stderr, "WEIR_TEST_SEED=%llu\n", (unsigned long long)seed);
        twin_lives(seed + life);
        completed += twin.completed;
    }
    cr_expect_gt(completed, 1000, "%u rounds", completed);
}

/* ----------------------------------------------------------------------- for every order of -- */

/* Idleness is about time alone: the round waits for that input's marker all the same. */
Test(gate, an_idle_input_is_waited_for_like_any_other)
{
    open_gate(8, 1 << 20);
    watermark(0, WEIR_NO_TIME);
    cr_assert(gate.inputs[0].idle);
    control(1, MESSAGE_MARKER, 1);
    control(2, MESSAGE_MARKER, 1);
    cr_expect_eq(reach_marker(1, 1), ALIGNER_NONE);
    cr_expect_eq(reach_marker(2, 1), ALIGNER_NONE);
    control(0, MESSAGE_MARKER, 1);
    cr_expect_eq(reach_marker(0, 1), ALIGNER_CUT);
    aligner_cut(&gate.aligner);
    close_gate();
}

static void numbers_from(char text[100], uint64_t first, uint64_t end)
{
    text[0] = '\0';
    for (; first < end; first++)
        sprintf(text + strlen(text), "%d ", (int)first);
}

/* A round begins when so many of each input have been read: of three that were restored, and two
 * that are new. */
static void cut_after(uint32_t left, uint32_t right, bool new_ones_first)
{
    const uint32_t read[] = {left, right};
    char numbers[100];
    open_gate_as(8, 1 << 20, (struct manner){.content = &content, .eager = true});
    for (uint64_t n = 0; n < 3; n++) {
        restore(0, n);
        restore(1, n);
    }
    for (unsigned i = 0; new_ones_first && i < 2; i++)
        arrive_batch(i, 3, 2);
    for (unsigned i = 0; i < 2; i++)
        read_from(i, read[i]);
    cr_expect_eq(aligner_announced(&gate.aligner, 9), ALIGNER_CUT);
    cut_now();
    for (unsigned i = 0; !new_ones_first && i < 2; i++)
        arrive_batch(i, 3, 2);
    for (unsigned i = 0; i < INPUTS; i++)
        control(i, MESSAGE_MARKER, 9);
    for (unsigned i = 0; i < 2; i++) {
        arrive_batch(i, 5, 1); /* behind the marker */
        numbers_from(numbers, read[i], 5);
        content_is(i, numbers);
    }
    cr_expect_eq(gate.aligner.recording, 0);
    content_drop(&content);
    close_gate();
}

/* S32: recovered records of one input, or of both, run out exactly when a round begins. */
Test(gate_disk, a_cut_at_any_step_round_the_end_of_what_was_restored_holds_the_rest)
{
    for (uint32_t left = 0; left <= 5; left++)
        for (uint32_t right = 0; right <= 5; right++)
            for (int new_ones_first = left > 3 || right > 3; new_ones_first < 2; new_ones_first++)
                cut_after(left, right, new_ones_first);
}

/* S10. On two inputs the items of two rounds arrive - 'd' is a record - and an abort of the first
 * is heard, in every order there is; nothing is read meanwhile, or one item each time, or all. */
enum reading { NOTHING_IS_READ, ONE_IS_READ, ALL_IS_READ, READINGS };

static struct {
    const char *scripts[2];
    char path[20];         /* '0' and '1': the next item of that input; 'x' */
    uint64_t before[2][3]; /* records before the marker of 1, and of 2, or END */
    bool eager;
    /* one order's */
    uint64_t came[2], read[2], at_cut[2];
    uint64_t cut; /* the newest, */
    bool judged;  /* and it is complete, or was given up */
    unsigned cuts[3], completed;
} pair;

static void pair_follows(unsigned said)
{
    cr_assert_eq(said & ALIGNER_ERROR, 0, "%s", pair.path);
    if (content.id && gate.aligner.cut != content.id) {
        content_drop(&content);
        pair.judged = true;
    }
    if (!(said & ALIGNER_CUT))
        return;
    pair.cut = gate.aligner.open;
    cut_now();
    pair.cuts[pair.cut]++;
    pair.judged = false;
    memcpy(pair.at_cut, pair.read, sizeof pair.at_cut);
}

/* False: there is nothing to be read. */
static bool pair_reads(void)
{
    struct gate_next got = gate_read(&gate, 1);
    if (got.what == GATE_MARKER) {
        pair_follows(aligner_reached(&gate.aligner, got.input, got.id));
    } else if (got.what == GATE_END) {
        pair_follows(aligner_end_reached(&gate.aligner, got.input));
    } else if (got.what == GATE_RECORDS) {
        pair.read[got.input]++;
        gate_consumed(&gate, got.input, 1);
    }
    return got.what != GATE_NOTHING;
}

/* Once the last marker has arrived. */
static void pair_judges(void)
{
    char numbers[100];
    if (pair.judged || gate.aligner.recording)
        return;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t before = pair.before[i][pair.cut];
        cr_assert(pair.at_cut[i] == before || (pair.eager && pair.at_cut[i] < before), "%s",
                  pair.path);
        numbers_from(numbers, pair.at_cut[i], before);
        content_is(i, numbers);
    }
    pair.judged = true;
    pair.completed |= 1u << pair.cut;
    content_drop(&content);
}

static void pair_takes(unsigned input, char item)
{
    if (item == 'd') {
        arrive_batch(input, pair.came[input]++, 1);
        return;
    }
    control(input, item == 'E' ? MESSAGE_END : MESSAGE_MARKER, (uint64_t)(item - '0'));
    pair_follows(verdict);
}

static void pair_goes(enum reading reading)
{
    const char *next[2] = {pair.scripts[0], pair.scripts[1]};
    for (const char *what = pair.path; *what; what++) {
        if (*what == 'x')
            pair_follows(aligner_abort(&gate.aligner, 1));
        else
            pair_takes((unsigned)(*what - '0'), *next[*what - '0']++);
        pair_judges();
        while (reading != NOTHING_IS_READ && pair_reads() && reading == ALL_IS_READ)
            pair_judges();
        pair_judges();
    }
    while (pair_reads())
        pair_judges();
}

static void pair_lives(enum reading reading, bool eager)
{
    memset(pair.came, 0, sizeof pair.came);
    memset(pair.read, 0, sizeof pair.read);
    memset(pair.cuts, 0, sizeof pair.cuts);
    pair.completed = 0;
    pair.judged = true;
    pair.eager = eager;
    open_gate_as(8, 1 << 20, (struct manner){.content = &content, .eager = eager});
    control(2, MESSAGE_END, 0);
    (void)pair_reads();
    pair_goes(reading);
    cr_assert(pair.cuts[1] <= 1 && pair.cuts[2] == 1 && (pair.completed & 4), "%s", pair.path);
    cr_assert_eq(gate.queued, 0, "%s: something is held for ever", pair.path);
    close_gate();
}

/* How many orders there were. */
static unsigned pair_walks(size_t depth, size_t left, size_t right, bool aborted)
{
    unsigned orders = 0;
    if (pair.scripts[0][left]) {
        pair.path[depth] = '0';
        orders += pair_walks(depth + 1, left + 1, right, aborted);
    }
    if (pair.scripts[1][right]) {
        pair.path[depth] = '1';
        orders += pair_walks(depth + 1, left, right + 1, aborted);
    }
    if (!aborted) {
        pair.path[depth] = 'x';
        orders += pair_walks(depth + 1, left, right, true);
    }
    if (orders > 0)
        return orders;
    pair.path[depth] = '\0';
    for (int how = 0; how < 2 * READINGS; how++)
        pair_lives((enum reading)(how / 2), how % 2);
    return 1;
}

/* END stands for the markers that did not come before it. */
static void pair_scripts(unsigned input, const char *script)
{
    uint64_t records = 0;
    pair.scripts[input] = script;
    for (uint64_t id = 1; *script; script++) {
        records += *script == 'd';
        for (; *script != 'd' && id <= (*script == 'E' ? 2 : (uint64_t)(*script - '0')); id++)
            pair.before[input][id] = records;
    }
}

static unsigned pair_in_every_order(const char *left, const char *right)
{
    memset(&pair, 0, sizeof pair);
    pair_scripts(0, left);
    pair_scripts(1, right);
    return pair_walks(0, 0, 0, false);
}

Test(gate_disk, in_every_order_of_two_rounds_and_an_abort_the_content_ends_at_the_markers)
{
    cr_expect_eq(pair_in_every_order("d1d2d", "d1d2d"), 2772);
    cr_expect_eq(pair_in_every_order("d1dE", "d1d2d"), 1260);
    cr_expect_eq(pair_in_every_order("dE", "d1d2d"), 168);
}
