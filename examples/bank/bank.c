/* SPDX-License-Identifier: Apache-2.0
 *
 * bank: money that travels in a circle, and is all there in every checkpoint.
 *
 *     numbers --FORWARD--> orders --BY_KEY--> accounts --FORWARD--> journal
 *
 *     accounts ==BY_KEY==> accounts              == leads back: weir_feedback
 *     accounts --BY_KEY--> clearing ==BY_KEY==> accounts
 *
 *     bank run --store state --set journal=journal
 *     bank audit --store state
 *
 * An order says who pays whom how much. The payer's account gives the money away, and it travels to
 * the payee's: at once when both are of one house, by way of `clearing` otherwise, which passes on
 * so many credits a second. Meanwhile it is on no account. The audit adds up what is on accounts
 * and what is in flight, for each checkpoint of the store: the sum is what was there at first.
 *
 * Lines of the journal:
 *     POSITION FROM TO AMOUNT paid BALANCE            the payer's, after it
 *     POSITION FROM TO AMOUNT refused BALANCE         the payer's, which does not cover the amount
 *     POSITION FROM TO AMOUNT received BALANCE        the payee's, after it
 *     closing ACCOUNT BALANCE                         when all has ended
 *
 * The lines of an account stand in the order in which it all happened to it. When a credit arrives
 * is chance, and so is whether an order comes before or after it: another run refuses other orders.
 * So there is no journal that must come out; but any journal can be checked, account by account,
 * line by line.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "accounts.h"
#include "audit.h"
#include "orders.h"
#include "weir_main.h"
#include "weir_operators.h"

static size_t write_line(char *line, size_t room, const struct weir_record *record,
                         const void *config)
{
    static const char *const words[] = {
        [PAID] = "paid", [REFUSED] = "refused", [RECEIVED] = "received"};
    const struct entry *entry = record->value.data;
    const struct order *order = &entry->order;

    (void)config;
    if (entry->what == CLOSING)
        return (size_t)snprintf(line, room, "closing %" PRIu64 " %" PRIu64,
                                *(const uint64_t *)record->key.data, entry->balance);
    return (size_t)snprintf(
        line, room, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %s %" PRIu64, order->position,
        order->from, order->to, order->amount, words[entry->what], entry->balance);
}

/* What travels from an output to an input by the account's key; for tools that show it. */
static void connect(struct weir_graph *graph, weir_node from, const char *output, weir_node to,
                    const char *input, bool feedback)
{
    weir_graph_connect(
        graph, &(struct weir_edge_options){WEIR_SIZED(struct weir_edge_options), .from = from,
                                           .output = output, .to = to, .input = input,
                                           .routing = WEIR_BY_KEY, .key_format = "u64",
                                           .value_format = ORDER_FORMAT, .feedback = feedback});
}

static enum weir_result build(struct weir_graph *graph, const struct weir_parameters *parameters)
{
    weir_node numbers = weir_sequence_source(
        graph, "numbers",
        &(struct weir_sequence_source_options){WEIR_SIZED(struct weir_sequence_source_options),
                                               .count = weir_parameter_count(parameters, "orders"),
                                               .rate = weir_parameter_count(parameters, "rate")});
    weir_node ordered = orders(graph, "orders", weir_parameter_count(parameters, "seed"),
                               weir_parameter_count(parameters, "accounts"));
    weir_node holders =
        accounts(graph, "accounts",
                 &(struct accounts_options){.bug = weir_parameter_count(parameters, "bug"),
                                            .watch = weir_parameter_count(parameters, "watch")});
    weir_node clearing = weir_throttle(
        graph, "clearing",
        &(struct weir_throttle_options){WEIR_SIZED(struct weir_throttle_options),
                                        .rate = weir_parameter_count(parameters, "clearing")});
    weir_node journal = weir_line_sink(
        graph, "journal",
        &(struct weir_line_sink_options){WEIR_SIZED(struct weir_line_sink_options),
                                         .path = weir_parameter_text(parameters, "journal"),
                                         .write = write_line});

    weir_connect(graph, numbers, ordered, WEIR_FORWARD);
    connect(graph, ordered, "out", holders, "orders", false);
    connect(graph, holders, "house", holders, "credits", true);
    connect(graph, holders, "clearing", clearing, "in", false);
    connect(graph, clearing, "out", holders, "credits", true);
    weir_connect(graph, holders, journal, WEIR_FORWARD); /* "journal" is its first output */
    return WEIR_OK;
}

/* A verb of the bank's own: no job is asked or started. */
static int audit_main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[2], "--store") == 0)
        return audit(argv[3]);
    fprintf(stderr, "usage: bank audit --store DIR\n");
    return 2;
}

int main(int argc, char **argv)
{
    static const struct weir_parameter parameters[] = {
        {"orders", WEIR_COUNT, "100000", "how many there are", NULL},
        {"accounts", WEIR_COUNT, "1000", "how many there are", NULL},
        {"seed", WEIR_COUNT, "1", "another one, other orders", NULL},
        {"rate", WEIR_COUNT, "0", "orders a second, 0: no limit", NULL},
        {"clearing", WEIR_COUNT, "10000", "credits a second from one house to the other", NULL},
        {"bug", WEIR_COUNT, "0", "order whose credit is entered a hundredfold, 0: none", NULL},
        {"watch", WEIR_COUNT, "0", "account of which all is told, 0: none", NULL},
        {"journal", WEIR_TEXT, NULL, "directory for what happened to the accounts", NULL},
        {0}};

    if (argc > 1 && strcmp(argv[1], "audit") == 0)
        return audit_main(argc, argv);
    return weir_main(argc, argv,
                     &(struct weir_program){WEIR_SIZED(struct weir_program), .name = "bank",
                                            .version = weir_version(),
                                            .about = "money that travels in a circle; see also "
                                                     "`bank audit --store DIR`",
                                            .parameters = parameters, .build = build});
}
