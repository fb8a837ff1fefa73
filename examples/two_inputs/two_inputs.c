/* SPDX-License-Identifier: Apache-2.0
 *
 * two_inputs: what was sold, joined with what it costs. An operator with two inputs, exact in
 * whatever order they come.
 *
 *     sales  --FORWARD--> split-sales  --BY_KEY--> revenue.sales
 *     prices --FORWARD--> split-prices --BY_KEY--> revenue.prices     revenue --FORWARD--> output
 *
 *     two_inputs run --store state --set sales=sales --set prices=prices --set output=revenue
 *
 * A line of sales is PRODUCT QUANTITY, a line of prices PRODUCT EDITION CENTS; of a product's
 * prices that of the highest edition holds. When both have ended: PRODUCT<TAB>QUANTITY<TAB>CENTS,
 * where CENTS is "no price" for products that have none.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "weir_main.h"
#include "weir_operators.h"

enum { SALES, PRICES };

/* ------------------------------------------------------------------------- the join -- */

/* All that is known of a product. weir promises no order between two inputs - a product may be sold
 * a million times before its price has come - so the state is made of sums and maxima, which do not
 * mind: nobody waits for anybody, and nothing has to be kept until it can be priced. */
struct product {
    uint64_t sold;
    uint64_t edition; /* 0: it has no price */
    uint64_t cents;
};

static enum weir_result revenue_process(void *self, struct weir_context *context, unsigned input,
                                        const struct weir_record *record)
{
    struct product *product = weir_cell(context, 0, &record->key);
    uint64_t numbers[2];

    (void)self;
    if (!product)
        return WEIR_FAILED; /* weir knows why */
    memcpy(numbers, record->value.data, sizeof numbers);
    if (input == SALES) {
        product->sold += numbers[0];
    } else if (numbers[0] > product->edition) {
        product->edition = numbers[0];
        product->cents = numbers[1];
    } else if (numbers[0] == product->edition && numbers[1] != product->cents) {
        return weir_fail(context, WEIR_INVALID, "product %.*s has two prices of edition %" PRIu64,
                         (int)record->key.size, (const char *)record->key.data, numbers[0]);
    }
    return WEIR_OK;
}

/* One product a call. The scan's place is part of the state: a restart goes on behind it. */
static enum weir_progress revenue_finish(void *self, struct weir_context *context)
{
    struct weir_bytes key, value;

    (void)self;
    if (!weir_scan_next(context, 0, &key, &value))
        return WEIR_END;
    weir_emit(context, 0, &(struct weir_record){key, value, WEIR_NO_TIME});
    return WEIR_MORE;
}

static weir_node add_revenue(struct weir_graph *graph)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator), .kind = "revenue",
                                               .process = revenue_process,
                                               .finish = revenue_finish};
    static const struct weir_state states[] = {{WEIR_SIZED(struct weir_state), .name = "products",
                                                .value_size = sizeof(struct product),
                                                .format = "{u64 sold; u64 edition; u64 cents}"}};
    static const char *const inputs[] = {[SALES] = "sales", [PRICES] = "prices"};

    return weir_graph_add(graph, &(struct weir_node_options){WEIR_SIZED(struct weir_node_options),
                                                             .name = "revenue", .table = &table,
                                                             .states = states, .state_count = 1,
                                                             .inputs = inputs, .input_count = 2});
}

/* ------------------------------------------------------------------------ the lines -- */

/* NAME NUMBER [NUMBER], as many numbers as `config` says: the name is the key, the numbers are the
 * value, two u64. */
static enum weir_result split_line(struct weir_context *context, unsigned input,
                                   const struct weir_record *line, const void *config)
{
    const char *begin = line->value.data, *at = begin, *end = begin + line->value.size;
    uint64_t numbers[2] = {0, 0};
    unsigned wanted = *(const unsigned *)config, found = 0;

    (void)input;
    while (at < end && *at != ' ')
        at++;
    struct weir_bytes name = {begin, (size_t)(at - begin)};
    while (found < 2 && at + 1 < end && *at == ' ' && at[1] >= '0' && at[1] <= '9') {
        for (at++; at < end && *at >= '0' && *at <= '9' && numbers[found] < UINT64_MAX / 100; at++)
            numbers[found] = 10 * numbers[found] + (uint64_t)(*at - '0');
        found++;
    }
    if (!name.size || at < end || found != wanted)
        return weir_fail(context, WEIR_INVALID, "\"%.*s\" is not a name and %u number%s",
                         (int)(line->value.size < 80 ? line->value.size : 80), begin, wanted,
                         wanted == 1 ? "" : "s");
    return weir_emit(context, 0,
                     &(struct weir_record){name, {numbers, sizeof numbers}, WEIR_NO_TIME});
}

static weir_node add_lines(struct weir_graph *graph, const char *name, const char *split,
                           unsigned numbers, const struct weir_parameters *parameters)
{
    weir_node lines = weir_line_source(
        graph, name,
        &(struct weir_line_source_options){WEIR_SIZED(struct weir_line_source_options),
                                           .path = weir_parameter_text(parameters, name),
                                           .rate = weir_parameter_count(parameters, "rate")});
    weir_node records =
        weir_flat_map(graph, split, split_line, weir_graph_keep(graph, &numbers, sizeof numbers));

    weir_connect(graph, lines, records, WEIR_FORWARD);
    return records;
}

static size_t write_line(char *line, size_t room, const struct weir_record *record,
                         const void *config)
{
    struct product product;
    char numbers[64];

    (void)config;
    memcpy(&product, record->value.data, sizeof product);
    int size = snprintf(numbers, sizeof numbers, "\t%" PRIu64 "\t", product.sold);
    size += product.edition ? snprintf(numbers + size, sizeof numbers - (size_t)size, "%" PRIu64,
                                       product.sold * product.cents)
                            : snprintf(numbers + size, sizeof numbers - (size_t)size, "no price");
    size_t all = record->key.size + (size_t)size;
    if (all <= room) {
        memcpy(line, record->key.data, record->key.size);
        memcpy(line + record->key.size, numbers, (size_t)size);
    }
    return all;
}

static enum weir_result build(struct weir_graph *graph, const struct weir_parameters *parameters)
{
    weir_node sales = add_lines(graph, "sales", "split-sales", 1, parameters);
    weir_node prices = add_lines(graph, "prices", "split-prices", 2, parameters);
    weir_node revenue = add_revenue(graph);
    weir_node output =
        weir_line_sink(graph, "output",
                       &(struct weir_line_sink_options){
                           WEIR_SIZED(struct weir_line_sink_options),
                           .path = weir_parameter_text(parameters, "output"), .write = write_line});

    weir_graph_connect(graph, &(struct weir_edge_options){
                                  WEIR_SIZED(struct weir_edge_options), .from = sales,
                                  .to = revenue, .input = "sales", .routing = WEIR_BY_KEY});
    weir_graph_connect(graph, &(struct weir_edge_options){
                                  WEIR_SIZED(struct weir_edge_options), .from = prices,
                                  .to = revenue, .input = "prices", .routing = WEIR_BY_KEY});
    weir_connect(graph, revenue, output, WEIR_FORWARD);
    return WEIR_OK;
}

int main(int argc, char **argv)
{
    static const struct weir_parameter parameters[] = {
        {"sales", WEIR_TEXT, NULL, "file, or directory of files", NULL},
        {"prices", WEIR_TEXT, NULL, "file, or directory of files", NULL},
        {"output", WEIR_TEXT, NULL, "directory for the revenue of each product", NULL},
        {"rate", WEIR_COUNT, "0", "lines a second of each input, 0: no limit", NULL},
        {0}};

    return weir_main(argc, argv,
                     &(struct weir_program){WEIR_SIZED(struct weir_program), .name = "two_inputs",
                                            .version = weir_version(),
                                            .about = "what was sold, joined with what it costs",
                                            .parameters = parameters, .build = build});
}
