/* SPDX-License-Identifier: Apache-2.0
 *
 * word_count: how often each word occurs, exactly, however often the program is killed.
 *
 *     lines --FORWARD--> split --BY_KEY--> count --FORWARD--> output
 *
 *     word_count run --store state --set input=text --set output=counts
 *
 * A word is a maximal run of bytes other than space, tab and newline. Bytes are compared as they
 * are. Output lines are word<TAB>count.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "weir_main.h"
#include "weir_operators.h"

/* One record for each word of a line: the word is the key, there is nothing else to say. */
static enum weir_result split(struct weir_context *context, unsigned input,
                              const struct weir_record *line, const void *config)
{
    const char *at = line->value.data;
    const char *end = at + line->value.size;

    (void)input, (void)config;
    while (at < end) {
        const char *word = at;
        while (at < end && *at != ' ' && *at != '\t')
            at++;
        if (at > word)
            weir_emit(
                context, 0,
                &(struct weir_record){.key = {word, (size_t)(at - word)}, .time = WEIR_NO_TIME});
        at++;
    }
    return WEIR_OK;
}

/* The cell is the key's state: zero when the word is new, saved in every checkpoint. */
static void count_one(void *cell, const struct weir_record *word, const void *config)
{
    (void)word, (void)config;
    ++*(uint64_t *)cell;
}

static size_t write_line(char *line, size_t room, const struct weir_record *word,
                         const void *config)
{
    char count[24];
    size_t digits =
        (size_t)snprintf(count, sizeof count, "\t%" PRIu64, *(const uint64_t *)word->value.data);

    (void)config;
    if (word->key.size + digits <= room) {
        memcpy(line, word->key.data, word->key.size);
        memcpy(line + word->key.size, count, digits);
    }
    return word->key.size + digits;
}

static enum weir_result build(struct weir_graph *graph, const struct weir_parameters *parameters)
{
    bool updates = strcmp(weir_parameter_text(parameters, "emit"), "updates") == 0;

    weir_node lines = weir_line_source(
        graph, "lines",
        &(struct weir_line_source_options){WEIR_SIZED(struct weir_line_source_options),
                                           .path = weir_parameter_text(parameters, "input"),
                                           .rate = weir_parameter_count(parameters, "rate")});
    weir_node words = weir_flat_map(graph, "split", split, NULL);
    weir_node count = weir_reduce(
        graph, "count",
        &(struct weir_reduce_options){
            WEIR_SIZED(struct weir_reduce_options), .value_size = sizeof(uint64_t), .format = "u64",
            .fold = count_one, .emit = updates ? WEIR_REDUCE_UPDATES : WEIR_REDUCE_FINAL});
    weir_node output =
        weir_line_sink(graph, "output",
                       &(struct weir_line_sink_options){
                           WEIR_SIZED(struct weir_line_sink_options),
                           .path = weir_parameter_text(parameters, "output"), .write = write_line});

    weir_connect(graph, lines, words, WEIR_FORWARD);
    weir_connect(graph, words, count, WEIR_BY_KEY);
    weir_connect(graph, count, output, WEIR_FORWARD);
    return WEIR_OK;
}

int main(int argc, char **argv)
{
    static const struct weir_parameter parameters[] = {
        {"input", WEIR_TEXT, NULL, "file, or directory of files", NULL},
        {"output", WEIR_TEXT, NULL, "directory for the counts", NULL},
        {"emit", WEIR_CHOICE, "final", "at the end, or for every word", "final|updates"},
        {"rate", WEIR_COUNT, "0", "lines a second, 0: no limit", NULL},
        {0}};

    return weir_main(argc, argv,
                     &(struct weir_program){WEIR_SIZED(struct weir_program), .name = "word_count",
                                            .version = weir_version(),
                                            .about = "how often each word occurs",
                                            .parameters = parameters, .build = build});
}
