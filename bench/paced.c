/* SPDX-License-Identifier: Apache-2.0
 *
 * paced: a program for benches that look at a job from outside, as users do.
 *
 *   source -> BY_KEY -> count -> line sink
 *
 * The source numbers its records, and number n has the key n modulo `keys`. First it fills the
 * state with a record of each key, as fast as they are taken; then it is an open loop of `rate`
 * records a second, which goes on by the same schedule in whichever process it is restored. For
 * each `every`-th of those the count gives out a line
 *
 *     NUMBER DUE_NS COUNT      when it was due by CLOCK_MONOTONIC; the how-manieth of its key
 *
 * So a reader knows which line has to come next, and what must be in it: COUNT is NUMBER / keys,
 * and 1.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clocks.h"
#include "pacing.h"
#include "weir_main.h"
#include "weir_operators.h"

#define BURST 512 /* records a poll */

struct config {
    uint64_t keys, per_second, every;
};

/* What travels: from the source without the count. */
struct value {
    uint64_t number;
    int64_t due_ns;
    uint64_t count;
};

struct source {
    uint64_t number; /* of the next record */
    struct pacing pacing;
    const struct config *config;
};
#define SOURCE_SAVED offsetof(struct source, config)

static enum weir_result source_open(void *self, struct weir_context *context, const void *config)
{
    (void)context;
    struct source *source = self;
    source->config = config;
    return WEIR_OK;
}

static void emit(struct source *source, struct weir_context *context, int64_t due_ns)
{
    uint64_t key = source->number % source->config->keys;
    struct value value = {.number = source->number++, .due_ns = due_ns};
    weir_emit(context, 0,
              &(struct weir_record){{&key, sizeof key}, {&value, sizeof value}, WEIR_NO_TIME});
}

static enum weir_progress source_poll(void *self, struct weir_context *context)
{
    struct source *source = self;
    struct pacing *pacing = &source->pacing;
    if (source->number < source->config->keys) {
        for (int i = 0; i < BURST && source->number < source->config->keys; i++)
            emit(source, context, 0);
        return WEIR_MORE;
    }
    if (pacing->per_second == 0)
        *pacing = (struct pacing){.start_ns = now_ns(), .per_second = source->config->per_second};
    uint64_t due = pacing_due(pacing, now_ns(), BURST);
    for (uint64_t i = 0; i < due; i++)
        emit(source, context, pacing_intended(pacing, pacing->taken++));
    return due == BURST ? WEIR_MORE
                        : weir_idle(context, pacing_intended(pacing, pacing->taken), -1);
}

static enum weir_result source_save(void *self, struct weir_context *context,
                                    struct weir_saver *saver)
{
    (void)context;
    weir_save(saver, WEIR_ITEM_SPLIT, (struct weir_bytes){self, SOURCE_SAVED});
    return WEIR_OK;
}

static enum weir_result source_load(void *self, struct weir_context *context,
                                    struct weir_loader *loader, uint32_t version)
{
    enum weir_item kind;
    struct weir_bytes item;
    (void)version;
    if (!weir_load_next(loader, &kind, &item) || item.size != SOURCE_SAVED)
        return weir_fail(context, WEIR_DAMAGED, "the position is missing");
    memcpy(self, item.data, SOURCE_SAVED);
    return WEIR_OK;
}

struct cell {
    uint64_t count;
    uint64_t sum; /* of something that does not compress */
};

struct count {
    const struct config *config;
};

static enum weir_result count_open(void *self, struct weir_context *context, const void *config)
{
    (void)context;
    ((struct count *)self)->config = config;
    return WEIR_OK;
}

static size_t count_many(void *self, struct weir_context *context, unsigned input,
                         const struct weir_record *records, size_t count)
{
    const struct config *config = ((const struct count *)self)->config;
    void *const *cells = weir_cells(context, 0, records, count);
    (void)input;
    for (size_t i = 0; cells && i < count; i++) {
        struct cell *cell = cells[i];
        struct value value;
        memcpy(&value, records[i].value.data, sizeof value);
        value.count = ++cell->count;
        cell->sum += (value.number + 1) * UINT64_C(0x9e3779b97f4a7c15);
        if (value.number >= config->keys && value.number % config->every == 0)
            weir_emit(context, 0,
                      &(struct weir_record){records[i].key, {&value, sizeof value}, WEIR_NO_TIME});
    }
    return count;
}

static size_t write_line(char *line, size_t room, const struct weir_record *record,
                         const void *config)
{
    struct value value;
    (void)config;
    memcpy(&value, record->value.data, sizeof value);
    int size = snprintf(line, room, "%" PRIu64 " %" PRId64 " %" PRIu64, value.number, value.due_ns,
                        value.count);
    return (size_t)size;
}

static enum weir_result build(struct weir_graph *graph, const struct weir_parameters *parameters)
{
    static const struct weir_operator source = {WEIR_SIZED(struct weir_operator),
                                                .kind = "paced",
                                                .self_size = sizeof(struct source),
                                                .open = source_open,
                                                .poll = source_poll,
                                                .save = source_save,
                                                .load = source_load};
    static const struct weir_operator count = {
        WEIR_SIZED(struct weir_operator),  .kind = "count",
        .self_size = sizeof(struct count), .open = count_open,
        .process_many = count_many,
    };
    static const struct weir_state state = {WEIR_SIZED(struct weir_state), .name = "count",
                                            .value_size = sizeof(struct cell),
                                            .format = "{u64 count; u64 sum}"};
    struct config given = {.keys = weir_parameter_count(parameters, "keys"),
                           .per_second = weir_parameter_count(parameters, "rate"),
                           .every = weir_parameter_count(parameters, "every")};
    if (given.keys == 0 || given.per_second == 0 || given.per_second > UINT32_MAX ||
        given.every == 0)
        weir_graph_fail(graph, "keys, rate and every must be at least 1, rate below 2^32");
    const struct config *config = weir_graph_keep(graph, &given, sizeof given);
    weir_node from = weir_graph_add(
        graph, &(struct weir_node_options){WEIR_SIZED(struct weir_node_options), .name = "source",
                                           .table = &source, .config = config});
    weir_node through = weir_graph_add(
        graph, &(struct weir_node_options){WEIR_SIZED(struct weir_node_options), .name = "count",
                                           .table = &count, .config = config, .states = &state,
                                           .state_count = 1});
    weir_node to =
        weir_line_sink(graph, "output",
                       &(struct weir_line_sink_options){
                           WEIR_SIZED(struct weir_line_sink_options),
                           .path = weir_parameter_text(parameters, "output"), .write = write_line});
    weir_connect(graph, from, through, WEIR_BY_KEY);
    weir_connect(graph, through, to, WEIR_FORWARD);
    return WEIR_OK;
}

int main(int argc, char **argv)
{
    static const struct weir_parameter parameters[] = {
        {"output", WEIR_TEXT, NULL, "directory for the lines", NULL},
        {"keys", WEIR_COUNT, "1000000", "of the state", NULL},
        {"rate", WEIR_COUNT, "100000", "records a second", NULL},
        {"every", WEIR_COUNT, "100", "one line for so many records", NULL},
        {0}};
    return weir_main(argc, argv,
                     &(struct weir_program){WEIR_SIZED(struct weir_program), .name = "paced",
                                            .about = "counts what comes at a given rate",
                                            .parameters = parameters, .build = build});
}
