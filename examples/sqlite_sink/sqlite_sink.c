/* SPDX-License-Identifier: Apache-2.0
 *
 * sqlite_sink: orders into an SQLite database, each once, and what every customer has spent,
 * however often the program is killed. Any other program may read the database meanwhile.
 *
 *     lines ----> parse --SPREAD--> orders
 *                      \--BY_KEY--> sum --BY_KEY--> totals
 *
 *     sqlite_sink run --store state --set input=orders.txt --set database=orders.db
 *     sqlite_sink run --store state --set socket=orders.sock --set database=orders.db
 *
 * An order is a line of number, customer and cents, with blanks between them. They come from a
 * file, or from clients of a socket: those that ask to be acknowledged lose none, either.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "weir_main.h"
#include "weir_operators.h"
#include "weir_sqlite.h"

struct order { /* a record's value; its key is the customer */
    int64_t number, cents;
};

struct total { /* a customer's state */
    int64_t orders, cents;
};

static enum weir_result parse(struct weir_context *context, unsigned input,
                              const struct weir_record *line, const void *config)
{
    char text[256], customer[128];
    struct order order;
    int size = (int)(line->value.size < sizeof text ? line->value.size : sizeof text - 1);

    (void)input, (void)config;
    snprintf(text, sizeof text, "%.*s", size, (const char *)line->value.data);
    if (sscanf(text, "%" SCNd64 " %127s %" SCNd64, &order.number, customer, &order.cents) != 3)
        return weir_fail(context, WEIR_FAILED, "not an order: \"%s\"", text);
    return weir_emit(context, 0,
                     &(struct weir_record){.key = {customer, strlen(customer)},
                                           .value = {&order, sizeof order},
                                           .time = WEIR_NO_TIME});
}

static void add_order(void *cell, const struct weir_record *record, const void *config)
{
    const struct order *order = record->value.data;
    struct total *total = cell;

    (void)config;
    total->orders++;
    total->cents += order->cents;
}

/* The columns of a row, in the order of the statement's parameters. */
static enum weir_result bind_order(struct weir_context *context, struct weir_sqlite_row *row,
                                   const struct weir_record *record, const void *config)
{
    const struct order *order = record->value.data;

    (void)context, (void)config;
    weir_sqlite_integer(row, order->number);
    weir_sqlite_text(row, record->key);
    weir_sqlite_integer(row, order->cents);
    return WEIR_OK;
}

static enum weir_result bind_total(struct weir_context *context, struct weir_sqlite_row *row,
                                   const struct weir_record *record, const void *config)
{
    const struct total *total = record->value.data;

    (void)context, (void)config;
    weir_sqlite_text(row, record->key);
    weir_sqlite_integer(row, total->orders);
    weir_sqlite_integer(row, total->cents);
    return WEIR_OK;
}

/* Lines of a file, or what clients send until one of them says "END". */
static weir_node add_source(struct weir_graph *graph, const struct weir_parameters *parameters)
{
    const char *input = weir_parameter_text(parameters, "input");
    const char *socket = weir_parameter_text(parameters, "socket");

    if ((input[0] != '\0') == (socket[0] != '\0'))
        weir_graph_fail(graph, "give either input or socket");
    if (socket[0] != '\0')
        return weir_socket_source(graph, "lines",
                                  &(struct weir_socket_source_options){
                                      WEIR_SIZED(struct weir_socket_source_options), .path = socket,
                                      .journal = true, .end_line = "END"});
    return weir_line_source(graph, "lines",
                            &(struct weir_line_source_options){
                                WEIR_SIZED(struct weir_line_source_options), .path = input,
                                .rate = weir_parameter_count(parameters, "rate")});
}

static enum weir_result build(struct weir_graph *graph, const struct weir_parameters *parameters)
{
    const char *database = weir_parameter_text(parameters, "database");
    /* With 1, a reader of a table sees whole checkpoints. */
    uint32_t writers = (uint32_t)weir_parameter_count(parameters, "writers");
    bool file = weir_parameter_text(parameters, "input")[0] != '\0';
    weir_node lines = add_source(graph, parameters);
    weir_node parsed = weir_flat_map(graph, "parse", parse, NULL);
    weir_node sum =
        weir_reduce(graph, "sum",
                    &(struct weir_reduce_options){WEIR_SIZED(struct weir_reduce_options),
                                                  .value_size = sizeof(struct total),
                                                  .format = "{i64 orders; i64 cents}",
                                                  .fold = add_order, .emit = WEIR_REDUCE_UPDATES});
    weir_node orders = weir_sqlite_sink(
        graph, "orders",
        &(struct weir_sqlite_sink_options){
            WEIR_SIZED(struct weir_sqlite_sink_options), .path = database, .table = "orders",
            .create = "CREATE TABLE orders (number INTEGER, customer TEXT, cents INTEGER)",
            .bind = bind_order, .parallelism = writers});
    weir_node totals = weir_sqlite_sink(
        graph, "totals",
        &(struct weir_sqlite_sink_options){
            WEIR_SIZED(struct weir_sqlite_sink_options), .path = database, .table = "totals",
            .create = "CREATE TABLE totals (customer TEXT PRIMARY KEY, orders INTEGER, "
                      "cents INTEGER)",
            .insert = "INSERT OR REPLACE INTO totals VALUES (?, ?, ?)", .bind = bind_total,
            .parallelism = writers});

    /* The socket is one task's, a file's splits are everybody's. */
    weir_connect(graph, lines, parsed, file ? WEIR_FORWARD : WEIR_SPREAD);
    weir_connect(graph, parsed, orders, WEIR_SPREAD);
    weir_connect(graph, parsed, sum, WEIR_BY_KEY);
    /* One writer for a customer, or an older total could come after a newer one. */
    weir_connect(graph, sum, totals, WEIR_BY_KEY);
    return WEIR_OK;
}

int main(int argc, char **argv)
{
    static const struct weir_parameter parameters[] = {
        {"input", WEIR_TEXT, "", "file of orders, or directory of such; or:", NULL},
        {"socket", WEIR_TEXT, "", "Unix socket that orders come in by", NULL},
        {"database", WEIR_TEXT, NULL, "the SQLite database for them; made when missing", NULL},
        {"writers", WEIR_COUNT, "1", "subtasks that write into each table", NULL},
        {"rate", WEIR_COUNT, "0", "lines a second of a file, 0: no limit", NULL},
        {0}};

    return weir_main(argc, argv,
                     &(struct weir_program){WEIR_SIZED(struct weir_program), .name = "sqlite_sink",
                                            .version = weir_version(),
                                            .about = "orders into an SQLite database",
                                            .parameters = parameters, .build = build});
}
