/* SPDX-License-Identifier: Apache-2.0
 *
 * Nothing here knows of checkpoints, crashes or the cycle: the balance is keyed state, a credit is
 * a record that was emitted, and weir sees to it that a checkpoint holds either the one or the
 * other.
 */
#include "accounts.h"

#include <inttypes.h>

struct accounts {
    const struct accounts_options *options;
};

static enum weir_result accounts_open(void *self, struct weir_context *context, const void *config)
{
    (void)context;
    ((struct accounts *)self)->options = config;
    return WEIR_OK;
}

/* For whoever runs a stretch again, and wants to see what became of one account. */
static void tell(const struct accounts *accounts, struct weir_context *context,
                 const struct weir_bytes *key, const struct order *order, const char *what,
                 uint64_t balance)
{
    const uint64_t *account = key->data;

    if (accounts->options->watch && accounts->options->watch == *account)
        weir_log(context,
                 "account %" PRIu64 ": order %" PRIu64 ", of %" PRIu64 " from %" PRIu64
                 " to %" PRIu64 ", is %s: has %" PRIu64,
                 *account, order->position, order->amount, order->from, order->to, what, balance);
}

static enum weir_result enter(struct weir_context *context, const struct weir_bytes *key,
                              const struct order *order, uint64_t what, uint64_t balance)
{
    struct entry entry = {.order = *order, .what = what, .balance = balance};

    return weir_emit(context, JOURNAL,
                     &(struct weir_record){*key, {&entry, sizeof entry}, WEIR_NO_TIME});
}

static enum weir_result send(struct weir_context *context, const struct order *order)
{
    bool same_house = order->from % 2 == order->to % 2;

    return weir_emit(context, same_house ? HOUSE : CLEARING,
                     &(struct weir_record){.key = {&order->to, sizeof order->to},
                                           .value = {order, sizeof *order},
                                           .time = WEIR_NO_TIME});
}

static enum weir_result accounts_process(void *self, struct weir_context *context, unsigned input,
                                         const struct weir_record *record)
{
    const struct order *order = record->value.data;
    static const char *const words[] = {
        [PAID] = "paid", [REFUSED] = "refused", [RECEIVED] = "received"};
    const struct accounts *accounts = self;
    struct account *account = weir_cell(context, 0, &record->key);
    uint64_t what = RECEIVED;

    if (!account)
        return WEIR_FAILED; /* weir knows why */
    if (!account->opening)
        account->opening = account->balance = OPENING;
    if (input == CREDITS) {
        account->balance += order->amount;
        if (accounts->options->bug && accounts->options->bug == order->position)
            account->balance += order->amount * 99; /* as if it were in another currency */
    } else if (order->amount > account->balance) {
        what = REFUSED;
    } else {
        what = PAID;
        account->balance -= order->amount;
        send(context, order); /* a failed emit fails the run: no answer is looked at */
    }
    tell(accounts, context, &record->key, order, words[what], account->balance);
    return enter(context, &record->key, order, what, account->balance);
}

/* All orders are there, and the cycle is at rest: no credit is on its way any more. One account a
 * call; the scan's place is part of the state. Only the journal may hear of it: finish may not
 * start the cycle again. */
static enum weir_progress accounts_finish(void *self, struct weir_context *context)
{
    struct weir_bytes key, value;

    (void)self;
    if (!weir_scan_next(context, 0, &key, &value))
        return WEIR_END;
    const struct account *account = value.data;
    enter(context, &key, &(struct order){0}, CLOSING, account->balance);
    return WEIR_MORE;
}

weir_node accounts(struct weir_graph *graph, const char *name,
                   const struct accounts_options *options)
{
    static const struct weir_operator table = {
        WEIR_SIZED(struct weir_operator),     .kind = "accounts",
        .self_size = sizeof(struct accounts), .open = accounts_open,
        .process = accounts_process,          .finish = accounts_finish};
    static const struct weir_state states[] = {{WEIR_SIZED(struct weir_state), .name = "accounts",
                                                .value_size = sizeof(struct account),
                                                .format = "{u64 opening; u64 balance}"}};
    static const char *const inputs[] = {[ORDERS] = "orders", [CREDITS] = "credits"};
    static const char *const outputs[] = {
        [JOURNAL] = "journal", [HOUSE] = "house", [CLEARING] = "clearing"};

    return weir_graph_add(graph,
                          &(struct weir_node_options){
                              WEIR_SIZED(struct weir_node_options), .name = name, .table = &table,
                              .config = weir_graph_keep(graph, options, sizeof *options),
                              .states = states, .state_count = 1, .inputs = inputs,
                              .input_count = 2, .outputs = outputs, .output_count = 3});
}
