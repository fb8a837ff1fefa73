/* SPDX-License-Identifier: Apache-2.0 */
#include "network.h"

#include <string.h>

#define LATE_NS 100000 /* how late at most, when nothing else takes time */

static const struct sim_network *control;
static struct {
    int64_t delay_most_ns;
    uint64_t refuse_one_in, duplicate_one_in, credits_one_in, lose_one_in, reorder_one_in;
    uint64_t window;        /* items of a channel that may overtake one of it */
    uint64_t lose_at;       /* number of an item; 0: none */
    uint64_t cut_at;        /* the same */
    enum sim_cut cut_which; /* which pipes may break */
    uint64_t transports;
    struct sim_network_counts counts;
} network;

/* ---- controls ---- */

void sim_network_control(const struct sim_network *new_control)
{
    control = new_control;
    network.transports = 0;
    if (control != NULL) /* else what was counted may still be asked for */
        memset(&network, 0, sizeof network);
}

void sim_network_delay(int64_t most_ns)
{
    network.delay_most_ns = most_ns;
}

void sim_network_refuse(uint64_t one_in)
{
    network.refuse_one_in = one_in;
}

void sim_network_duplicate(uint64_t one_in)
{
    network.duplicate_one_in = one_in;
}

void sim_network_duplicate_credits(uint64_t one_in)
{
    network.credits_one_in = one_in;
}

void sim_network_reorder(uint64_t one_in, uint64_t window)
{
    network.reorder_one_in = window > 0 ? one_in : 0;
    network.window = one_in > 0 ? window : 0;
}

void sim_network_lose(uint64_t one_in)
{
    network.lose_one_in = one_in;
}

void sim_network_lose_kth(uint64_t k)
{
    network.lose_at = k == 0 ? 0 : network.counts.items + k;
}

void sim_network_cut_kth(uint64_t k, enum sim_cut which)
{
    network.cut_at = k == 0 ? 0 : network.counts.items + k;
    network.cut_which = which;
}

struct sim_network_counts sim_network_counts(void)
{
    return network.counts;
}

void sim_network_add(struct sim_network_counts *total, struct sim_network_counts one)
{
    total->items += one.items;
    total->overtook += one.overtook;
    total->duplicated += one.duplicated;
    total->credits_duplicated += one.credits_duplicated;
    total->lost += one.lost;
    total->cuts += one.cuts;
    total->cut += one.cut;
    total->gaps += one.gaps;
}

uint64_t sim_network_left(void)
{
    return network.transports;
}

/* ---- for transport.c ---- */

const struct sim_network *network_control(void)
{
    return control;
}

struct sim_network_counts *network_counts(void)
{
    return &network.counts;
}

void network_transports(int change)
{
    network.transports += (uint64_t)(int64_t)change;
}

bool network_is_item(const struct message *message)
{
    return message->kind == MESSAGE_BATCH || message->kind == MESSAGE_MARKER ||
           message->kind == MESSAGE_END;
}

static bool one_in(uint64_t number)
{
    return number > 0 && control->draw(number) == 0;
}

int64_t network_delay(void)
{
    int64_t most_ns = network.delay_most_ns;

    return most_ns > 0 ? (int64_t)control->draw((uint64_t)most_ns + 1) : 0;
}

struct network_fate network_fate(const struct message *message)
{
    struct network_fate fate = {.refused = one_in(network.refuse_one_in)};
    int64_t late_ns = network.delay_most_ns > LATE_NS ? network.delay_most_ns : LATE_NS;

    if (fate.refused)
        return fate;
    fate.took_ns = network_delay();
    if (message->kind == MESSAGE_CREDIT)
        fate.twice = one_in(network.credits_one_in);
    if (!network_is_item(message))
        return fate;
    network.counts.items++;
    fate.lost = network.counts.items == network.lose_at || one_in(network.lose_one_in);
    fate.twice = one_in(network.duplicate_one_in);
    fate.late = one_in(network.reorder_one_in) && !fate.twice; /* two are always in order */
    if (fate.late)
        fate.late_ns = 1 + (int64_t)control->draw((uint64_t)late_ns);
    return fate;
}

bool network_too_late(uint64_t earlier, uint64_t later)
{
    return later > earlier && later - earlier > network.window;
}

bool network_cuts(const struct message *message)
{
    return network.cut_at > 0 && network_is_item(message) && network.counts.items == network.cut_at;
}

bool network_may_cut(const struct message *message)
{
    return network.cut_which == SIM_CUT_ANY || message->kind == MESSAGE_CREDIT ||
           network_is_item(message);
}
