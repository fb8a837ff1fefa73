/* links: sim */
/* SPDX-License-Identifier: Apache-2.0
 *
 * What a bad network does to messages in the simulator: as much as it was told to, and no more.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "batch.h"
#include "clock.h"
#include "sim.h"

#define ITEMS 60u
#define CHANNELS 2u

/* Two channels, credits and commands through one pipe, and what of them came out. */
struct wire {
    struct transport *transport;
    struct inbox *inbox;
    struct pipe *pipe;
    uint64_t sent[CHANNELS];
    uint64_t credits_sent, commands_sent;

    bool came[CHANNELS][ITEMS + 1];
    uint64_t arrived[CHANNELS];
    uint64_t overtook, twice, most_late; /* of items */
    uint64_t credits, commands;
    bool in_order; /* credits and commands */
};

static void wire_open(struct wire *wire, uint64_t seed, bool network)
{
    struct transport_options options = {.run = 1, .network = network, .sockets = 4};
    const char *endpoint = network ? "tcp://127.0.0.1:*" : "inproc://reader";

    sim_start(seed);
    *wire = (struct wire){.in_order = true};
    cr_assert_eq(transport_open(&options, &wire->transport, NULL), WEIR_OK);
    cr_assert_eq(inbox_open(wire->transport, endpoint, &wire->inbox, NULL), WEIR_OK);
    cr_assert_eq(pipe_open(wire->transport, inbox_endpoint(wire->inbox), &wire->pipe, NULL),
                 WEIR_OK);
}

static void wire_close(struct wire *wire)
{
    pipe_close(&wire->pipe);
    inbox_close(&wire->inbox);
    transport_close(&wire->transport);
    cr_assert_eq(sim_end(), 0, "a payload was lost with its message");
}

static void send(struct wire *wire, struct message message)
{
    if (message.kind == MESSAGE_BATCH)
        message.payload = batch_alone(NULL, 40);
    cr_assert(pipe_send(wire->pipe, &message));
}

static void send_item(struct wire *wire, uint32_t channel)
{
    uint64_t sequence = ++wire->sent[channel];

    send(wire, (struct message){.kind = sequence % 7 == 0 ? MESSAGE_MARKER : MESSAGE_BATCH,
                                .channel = channel,
                                .sequence = sequence});
}

static void send_credit(struct wire *wire)
{
    send(wire, (struct message){.kind = MESSAGE_CREDIT, .value = ++wire->credits_sent});
}

static void send_command(struct wire *wire)
{
    send(wire, (struct message){.kind = MESSAGE_ANNOUNCE, .id = ++wire->commands_sent});
}

static void note_item(struct wire *wire, const struct message *message)
{
    bool *came = wire->came[message->channel];
    uint64_t missing = 1;

    cr_assert(message->sequence >= 1 && message->sequence <= ITEMS);
    while (missing <= ITEMS && came[missing])
        missing++;
    wire->arrived[message->channel]++;
    wire->twice += came[message->sequence];
    came[message->sequence] = true;
    if (message->sequence <= missing)
        return;
    wire->overtook++;
    if (message->sequence - missing > wire->most_late)
        wire->most_late = message->sequence - missing;
}

static void receive(struct wire *wire)
{
    struct message message;

    while (inbox_receive(wire->inbox, &message, NULL) == 1) {
        if (message.kind == MESSAGE_CREDIT) {
            wire->in_order &= message.value >= wire->credits; /* equal: twice */
            wire->credits = message.value;
        } else if (message.kind == MESSAGE_ANNOUNCE) {
            wire->in_order &= message.id == wire->commands + 1;
            wire->commands = message.id;
        } else {
            note_item(wire, &message);
        }
        batch_release(message.payload);
    }
}

static void receive_all(struct wire *wire)
{
    int64_t due_ns;

    while ((due_ns = sim_inbox_due_ns(wire->inbox)) < INT64_MAX) {
        sim_clock_pass(due_ns);
        receive(wire);
    }
}

/* All items of both channels, credits and commands between them, taken now and then. */
static void play(struct wire *wire)
{
    while (wire->sent[0] < ITEMS || wire->sent[1] < ITEMS) {
        uint32_t channel = (uint32_t)sim_draw(SIM_WORKLOAD, CHANNELS);
        if (wire->sent[channel] < ITEMS)
            send_item(wire, channel);
        if (sim_draw(SIM_WORKLOAD, 4) == 0)
            send_credit(wire);
        if (sim_draw(SIM_WORKLOAD, 4) == 0)
            send_command(wire);
        sim_clock_pass(clock_now_ns() + (int64_t)sim_draw(SIM_WORKLOAD, 20000));
        if (sim_draw(SIM_WORKLOAD, 3) == 0)
            receive(wire);
    }
    receive_all(wire);
}

/* ---- reordering ---- */

Test(sim_network, items_overtake_each_other_within_the_window)
{
    for (uint64_t window = 1; window <= 8; window++) {
        uint64_t most_late = 0;
        for (uint64_t seed = 1; seed <= 60; seed++) {
            struct wire wire;
            wire_open(&wire, seed, seed % 2 == 0);
            sim_network_delay(seed % 3 == 0 ? 0 : 50000);
            sim_network_reorder(3, window);
            play(&wire);
            cr_assert_eq(wire.arrived[0] + wire.arrived[1], 2 * ITEMS, "all come, and once");
            cr_assert_leq(wire.most_late, window, "seed %d", (int)seed);
            cr_assert(wire.in_order, "credits and commands never overtake each other");
            cr_assert_gt(wire.overtook, 0);
            cr_assert_eq(sim_network_counts().overtook, wire.overtook);
            most_late = wire.most_late > most_late ? wire.most_late : most_late;
            wire_close(&wire);
        }
        cr_assert_eq(most_late, window, "the window is used");
    }
}

/* A reader with room for `window` items beyond the next one needs no more, whatever else there is.
 */
Test(sim_network, duplicates_do_not_widen_the_window)
{
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct wire wire;
        wire_open(&wire, seed, false);
        sim_network_reorder(3, 2);
        sim_network_duplicate(4);
        sim_network_delay(30000);
        play(&wire);
        cr_assert_leq(wire.most_late, 2, "seed %d", (int)seed);
        cr_assert_gt(wire.twice, 0);
        cr_assert_eq(sim_network_counts().duplicated, wire.twice);
        wire_close(&wire);
    }
}

Test(sim_network, without_reordering_items_arrive_as_they_were_sent)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct wire wire;
        wire_open(&wire, seed, seed % 2 == 0);
        sim_network_delay(50000);
        play(&wire);
        cr_assert_eq(wire.overtook, 0);
        cr_assert_eq(sim_network_counts().overtook, 0);
        wire_close(&wire);
    }
}

Test(sim_network, late_item_arrives_though_nothing_follows)
{
    struct wire wire;

    wire_open(&wire, 1, false);
    sim_network_reorder(1, 4);
    send_item(&wire, 0);
    receive(&wire);
    cr_assert_eq(wire.arrived[0], 0);
    receive_all(&wire);
    cr_assert_eq(wire.arrived[0], 1);
    wire_close(&wire);
}

/* ---- loss ---- */

Test(sim_network, kth_item_is_lost_and_no_other)
{
    for (uint64_t k = 1; k <= 2 * ITEMS; k++) {
        struct wire wire;
        uint64_t missing = 0;
        wire_open(&wire, k, k % 2 == 0);
        sim_network_lose_kth(k);
        play(&wire);
        for (uint32_t channel = 0; channel < CHANNELS; channel++)
            for (uint64_t i = 1; i <= ITEMS; i++)
                missing += !wire.came[channel][i];
        cr_assert_eq(missing, 1);
        cr_assert_eq(sim_network_counts().lost, 1);
        cr_assert(wire.in_order && wire.commands == wire.commands_sent);
        wire_close(&wire);
    }
}

Test(sim_network, one_in_so_many_items_is_lost)
{
    uint64_t lost = 0;

    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct wire wire;
        wire_open(&wire, seed, seed % 2 == 0);
        sim_network_lose(10);
        play(&wire);
        lost += sim_network_counts().lost;
        cr_assert_eq(sim_network_counts().lost + wire.arrived[0] + wire.arrived[1], 2 * ITEMS);
        wire_close(&wire);
    }
    cr_assert(lost > 400 && lost < 800, "%d of 6000", (int)lost);
}

/* Else a reader could not know, and neither can the test that asks whether it noticed. */
Test(sim_network, gap_is_certain_only_beyond_the_window)
{
    for (uint64_t window = 0; window <= 4; window++) {
        struct wire wire;
        wire_open(&wire, 1, false);
        sim_network_reorder(1000000, window);
        sim_network_lose_kth(2);
        for (uint64_t i = 1; i <= 2 + window; i++)
            send_item(&wire, 0);
        for (uint64_t i = 1; i <= 20; i++)
            send_item(&wire, 1);
        receive_all(&wire);
        cr_assert_eq(sim_network_counts().gaps, 0);
        send_item(&wire, 0);
        cr_assert_eq(sim_network_counts().gaps, 0, "it is under way");
        receive_all(&wire);
        cr_assert_eq(sim_network_counts().gaps, 1);
        send_item(&wire, 0);
        receive_all(&wire);
        cr_assert_eq(sim_network_counts().gaps, 1, "counted once");
        wire_close(&wire);
    }
}

/* ---- credits ---- */

Test(sim_network, credits_come_twice_when_told_and_nothing_else_does)
{
    struct wire wire;
    uint64_t came = 0;
    struct message message;

    wire_open(&wire, 1, false);
    sim_network_duplicate_credits(2);
    for (int i = 0; i < 100; i++) {
        send_credit(&wire);
        send_item(&wire, 0);
        wire.sent[0] = 0;
        while (inbox_receive(wire.inbox, &message, NULL) == 1) {
            came += message.kind == MESSAGE_CREDIT;
            batch_release(message.payload);
        }
    }
    cr_assert(came > 120 && came < 180, "%d of 100", (int)came);
    cr_assert_eq(sim_network_counts().credits_duplicated, came - 100);
    cr_assert_eq(sim_network_counts().duplicated, 0);
    wire_close(&wire);
}

/* ---- cuts ---- */

Test(sim_network, cut_loses_what_is_under_way_and_nothing_later)
{
    for (uint64_t under_way = 1; under_way <= 10; under_way++) {
        struct wire wire;
        wire_open(&wire, 1, under_way % 2 == 0);
        sim_network_cut_kth(4 + under_way, SIM_CUT_CHANNELS);
        for (int i = 0; i < 4; i++)
            send_item(&wire, 0);
        receive_all(&wire);
        for (uint64_t i = 0; i < under_way; i++)
            send_item(&wire, 0);
        send_item(&wire, 0);
        send_credit(&wire);
        receive_all(&wire);
        cr_assert_eq(wire.arrived[0], 5);
        cr_assert(wire.came[0][5 + under_way]);
        cr_assert_eq(wire.credits, 1);
        cr_assert_eq(sim_network_counts().cuts, 1);
        cr_assert_eq(sim_network_counts().cut, under_way);
        cr_assert_eq(sim_network_counts().lost, under_way);
        cr_assert_gt(sim_network_counts().gaps, 0);
        wire_close(&wire);
    }
}

/* Two pipes into one inbox, of which only the second carries commands. */
static uint64_t commands_after_a_cut(uint64_t seed, enum sim_cut which)
{
    struct pipe *commands;
    struct wire wire;
    uint64_t cut;

    wire_open(&wire, seed, false);
    cr_assert_eq(pipe_open(wire.transport, inbox_endpoint(wire.inbox), &commands, NULL), WEIR_OK);
    cr_assert(pipe_send(commands, &(struct message){.kind = MESSAGE_ANNOUNCE, .id = 1}));
    sim_network_cut_kth(1, which);
    send_item(&wire, 0);
    cut = sim_network_counts().cut;
    receive_all(&wire);
    cr_assert_eq(cut, 1, "one pipe");
    cr_assert_eq(wire.commands + wire.arrived[0], 1);
    pipe_close(&commands);
    wire_close(&wire);
    return wire.commands;
}

Test(sim_network, cut_spares_commands_unless_any_pipe_may_break)
{
    uint64_t kept = 0;

    for (uint64_t seed = 1; seed <= 50; seed++) {
        cr_assert_eq(commands_after_a_cut(seed, SIM_CUT_CHANNELS), 1);
        kept += commands_after_a_cut(seed, SIM_CUT_ANY);
    }
    cr_assert(kept > 10 && kept < 40, "drawn: %d of 50", (int)kept);
}

/* ---- one seed, one run ---- */

static uint64_t hash_of_all(uint64_t seed)
{
    struct wire wire;
    uint64_t hash;

    wire_open(&wire, seed, seed % 2 == 0);
    sim_network_delay(40000);
    sim_network_reorder(4, 3);
    sim_network_duplicate(5);
    sim_network_duplicate_credits(5);
    sim_network_lose(20);
    sim_network_cut_kth(30, SIM_CUT_ANY);
    play(&wire);
    hash = sim_trace_hash();
    wire_close(&wire);
    return hash;
}

Test(sim_network, same_seed_gives_the_same_network)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        cr_assert_eq(hash_of_all(seed), hash_of_all(seed));
        cr_assert_neq(hash_of_all(seed), hash_of_all(seed + 1));
    }
}
