/* SPDX-License-Identifier: Apache-2.0
 *
 * kinds: state of every kind and format, made of lines "NUMBER TEXT": the number is the key, and
 * the text any bytes. For tests of what looks into stores.
 *
 *     lines --FORWARD--> split --BY_KEY--> n
 *
 * `n` keeps of each line: in texts and json the text as it is; in pairs a struct of numbers, which
 * the text may make nan or inf; a map and a list; a-b and a_b, whose names are nearly one, as bytes
 * and as an array; a timer that is never due; and in nothing, nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "weir_main.h"
#include "weir_operators.h"

#define NEVER INT64_C(4102444800000000000) /* the year 2100 */

enum { TEXTS, JSON, PAIRS, MAP, LIST, BYTES, ARRAY, NOTHING };

struct pair {
    uint64_t count;
    double ratio;
    uint32_t bins[2];
};

static enum weir_result split(struct weir_context *context, unsigned input,
                              const struct weir_record *line, const void *config)
{
    const char *text = line->value.data;
    const char *blank = memchr(text, ' ', line->value.size);
    (void)input, (void)config;
    if (blank == NULL)
        return weir_fail(context, WEIR_FAILED, "a line without a blank");
    uint64_t key = strtoull(text, NULL, 10);
    size_t head = (size_t)(blank + 1 - text);
    return weir_emit(context, 0,
                     &(struct weir_record){.key = {&key, sizeof key},
                                           .value = {blank + 1, line->value.size - head},
                                           .time = WEIR_NO_TIME});
}

static double ratio_of(struct weir_bytes text)
{
    char number[32] = "";
    memcpy(number, text.data, text.size < sizeof number ? text.size : sizeof number - 1);
    return strtod(number, NULL);
}

static enum weir_result keep(void *self, struct weir_context *context, unsigned input,
                             const struct weir_record *record)
{
    const struct weir_bytes *key = &record->key;
    uint64_t number, size = record->value.size, several[2];
    (void)self, (void)input;
    memcpy(&number, key->data, sizeof number);
    struct pair *pair = weir_cell(context, PAIRS, key);
    if (pair == NULL)
        return weir_fail(context, WEIR_FAILED, "no memory");
    *pair = (struct pair){number, ratio_of(record->value), {(uint32_t)size, 7}};
    several[0] = number, several[1] = size;
    enum weir_result results[] = {
        weir_put(context, TEXTS, key, record->value),
        weir_put(context, JSON, key, record->value),
        weir_map_put(context, MAP, key, record->value, (struct weir_bytes){&size, sizeof size}),
        weir_list_append(context, LIST, key, record->value),
        weir_put(context, BYTES, key, record->value),
        weir_put(context, ARRAY, key, (struct weir_bytes){several, sizeof several}),
        weir_timer_set_key(context, WEIR_TIMER_CLOCK, key, NEVER, number),
    };
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++)
        if (results[i] != WEIR_OK)
            return results[i];
    return WEIR_OK;
}

static enum weir_result never(void *self, struct weir_context *context, enum weir_timer kind,
                              const struct weir_bytes *key, int64_t time, uint64_t tag)
{
    (void)self, (void)kind, (void)key, (void)time, (void)tag;
    return weir_fail(context, WEIR_FAILED, "that was to be never");
}

static enum weir_result build(struct weir_graph *graph, const struct weir_parameters *parameters)
{
    static const struct weir_operator keeper = {WEIR_SIZED(struct weir_operator), .kind = "keeper",
                                                .process = keep, .key_timer = never};
    static const struct weir_state states[] = {
        [TEXTS] = {WEIR_SIZED(struct weir_state), .name = "texts", .format = "utf8"},
        [JSON] = {WEIR_SIZED(struct weir_state), .name = "json", .format = "json"},
        [PAIRS] = {WEIR_SIZED(struct weir_state), .name = "pairs",
                   .value_size = sizeof(struct pair),
                   .format = "{u64 count; f64 ratio; u32 bins[2]}"},
        [MAP] = {WEIR_SIZED(struct weir_state), .name = "map", .format = "u64",
                 .kind = WEIR_STATE_MAP},
        [LIST] = {WEIR_SIZED(struct weir_state), .name = "list", .format = "utf8",
                  .kind = WEIR_STATE_LIST},
        [BYTES] = {WEIR_SIZED(struct weir_state), .name = "a-b", .format = "hex"},
        [ARRAY] = {WEIR_SIZED(struct weir_state), .name = "a_b", .format = "u64[]"},
        [NOTHING] = {WEIR_SIZED(struct weir_state), .name = "nothing", .format = "u64"},
    };
    weir_node lines = weir_line_source(
        graph, "lines",
        &(struct weir_line_source_options){WEIR_SIZED(struct weir_line_source_options),
                                           .path = weir_parameter_text(parameters, "input")});
    weir_node words = weir_flat_map(graph, "split", split, NULL);
    weir_node kept = weir_graph_add(
        graph, &(struct weir_node_options){WEIR_SIZED(struct weir_node_options), .name = "n",
                                           .table = &keeper, .states = states,
                                           .state_count = sizeof states / sizeof states[0]});
    weir_connect(graph, lines, words, WEIR_FORWARD);
    weir_graph_connect(graph, &(struct weir_edge_options){
                                  WEIR_SIZED(struct weir_edge_options), .from = words, .to = kept,
                                  .routing = WEIR_BY_KEY, .key_format = "u64"});
    return WEIR_OK;
}

int main(int argc, char **argv)
{
    static const struct weir_parameter parameters[] = {
        {"input", WEIR_TEXT, NULL, "file of lines", NULL}, {0}};

    return weir_main(argc, argv,
                     &(struct weir_program){WEIR_SIZED(struct weir_program), .name = "kinds",
                                            .about = "state of every kind",
                                            .parameters = parameters, .build = build});
}
