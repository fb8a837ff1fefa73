/* links: wire */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate, fed by hand: G1-G4, watermarks, credit, and batches that are not well-formed. Batches
 * come from an outlet, so the two ends agree.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "gate.h"
#include "outlet.h"
#include "wire.h"

#define INPUTS 3u

static struct gate gate;
static struct outlet outlet; /* a channel an input */
static struct pipe *out, *back;
static struct weir_error error;
static unsigned verdict;

static void open_gate(uint32_t window, uint64_t window_bytes)
{
    memset(&gate, 0, sizeof gate);
    out = calloc(INPUTS, sizeof *out);
    back = calloc(INPUTS, sizeof *back);
    struct gate_options inputs = {
        .input_count = INPUTS, .window_batches = window, .window_bytes = window_bytes, .epoch = 3};
    cr_assert(gate_init(&gate, &inputs));
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

static void close_gate(void)
{
    gate_free(&gate);
    for (uint32_t i = 0; i < INPUTS; i++)
        wire_clear(&back[i]);
    outlet_free(&outlet);
    batch_pool_free(&outlet.pool);
    free(out);
    free(back);
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
}
