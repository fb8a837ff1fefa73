/* SPDX-License-Identifier: Apache-2.0
 *
 * readings: what sensors say, without what they repeat. A user's first program: two ready-made
 * operators and one of its own, built with what pkg-config says. transcript.md runs it.
 *
 *     lines --FORWARD--> parse --BY_KEY--> changes --FORWARD--> output
 *
 * A line of input is a sensor, a blank, a whole number; a line of output a sensor, a tab, the
 * number that was new, a tab, how many readings in a row had said the one before.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weir_main.h>
#include <weir_operators.h>

/* "sensor number": the sensor is the key, the number the value. */
static enum weir_result parse(struct weir_context *context, unsigned input,
                              const struct weir_record *line, const void *config)
{
    const char *text = line->value.data;
    const char *blank = line->value.size > 0 ? memchr(text, ' ', line->value.size) : NULL;
    char number[32];
    char *end;

    (void)input, (void)config;
    if (line->value.size == 0)
        return WEIR_OK;
    if (blank == NULL)
        return weir_fail(context, WEIR_INVALID, "no blank between sensor and number");
    size_t size = line->value.size - (size_t)(blank + 1 - text);
    if (size == 0 || size >= sizeof number)
        return weir_fail(context, WEIR_INVALID, "no number behind the sensor");
    memcpy(number, blank + 1, size);
    number[size] = '\0';
    int64_t value = strtoll(number, &end, 10);
    if (*end != '\0')
        return weir_fail(context, WEIR_INVALID, "not a number: %s", number);
    return weir_emit(context, 0,
                     &(struct weir_record){.key = {text, (size_t)(blank - text)},
                                           .value = {&value, sizeof value},
                                           .time = WEIR_NO_TIME});
}

struct sensor { /* the cell of a sensor; all zero when it is new */
    int64_t value;
    uint64_t times;
};

/* The operator of one's own: what it knows of a sensor is keyed state, how many changes it has seen
 * in all is not, so that it saves itself. */
struct changes {
    uint64_t seen;
};

static enum weir_result changes_process(void *self, struct weir_context *context, unsigned input,
                                        const struct weir_record *reading)
{
    struct changes *changes = self;
    struct sensor *sensor = weir_cell(context, 0, &reading->key);
    int64_t value;

    (void)input;
    if (sensor == NULL)
        return WEIR_FAILED;
    memcpy(&value, reading->value.data, sizeof value);
    if (sensor->times > 0 && sensor->value == value) {
        sensor->times++;
        return WEIR_OK;
    }
    struct sensor change = {value, sensor->times};
    *sensor = (struct sensor){value, 1};
    changes->seen++;
    return weir_emit(context, 0,
                     &(struct weir_record){.key = reading->key,
                                           .value = {&change, sizeof change},
                                           .time = WEIR_NO_TIME});
}

static enum weir_result changes_save(void *self, struct weir_context *context,
                                     struct weir_saver *saver)
{
    struct changes *changes = self;

    (void)context;
    weir_save(saver, WEIR_ITEM_SPLIT, (struct weir_bytes){&changes->seen, sizeof changes->seen});
    weir_save_note(saver, "%" PRIu64 " changes", changes->seen);
    return WEIR_OK;
}

static enum weir_result changes_load(void *self, struct weir_context *context,
                                     struct weir_loader *loader, uint32_t version)
{
    struct changes *changes = self;
    enum weir_item kind;
    struct weir_bytes item;

    (void)version;
    while (weir_load_next(loader, &kind, &item)) { /* of several, if there were more tasks */
        uint64_t seen;
        if (item.size != sizeof seen)
            return weir_fail(context, WEIR_DAMAGED, "the saved number of changes makes no sense");
        memcpy(&seen, item.data, sizeof seen);
        changes->seen += seen;
    }
    return WEIR_OK;
}

static const struct weir_operator changes_operator = {WEIR_SIZED(struct weir_operator),
                                                      .kind = "changes",
                                                      .self_size = sizeof(struct changes),
                                                      .version = 1,
                                                      .process = changes_process,
                                                      .save = changes_save,
                                                      .load = changes_load};

static const struct weir_state changes_state = {WEIR_SIZED(struct weir_state), .name = "sensors",
                                                .version = 1, .value_size = sizeof(struct sensor),
                                                .format = "{i64 value; u64 times}"};

static size_t write_change(char *line, size_t room, const struct weir_record *record,
                           const void *config)
{
    struct sensor change;
    char numbers[64];

    (void)config;
    memcpy(&change, record->value.data, sizeof change);
    size_t size = (size_t)snprintf(numbers, sizeof numbers, "\t%" PRId64 "\t%" PRIu64, change.value,
                                   change.times);
    if (record->key.size + size <= room) {
        memcpy(line, record->key.data, record->key.size);
        memcpy(line + record->key.size, numbers, size);
    }
    return record->key.size + size;
}

static enum weir_result build(struct weir_graph *graph, const struct weir_parameters *parameters)
{
    weir_node lines = weir_line_source(
        graph, "lines",
        &(struct weir_line_source_options){
            WEIR_SIZED(struct weir_line_source_options),
            .path = weir_parameter_text(parameters, "input"),
            .split_bytes = weir_parameter_bytes(parameters, "split"),
            .rate = weir_parameter_count(parameters, "rate"),
            .parallelism = 1}); /* several subtasks would mix the order of a sensor's readings */
    weir_node readings = weir_graph_add(
        graph, &(struct weir_node_options){WEIR_SIZED(struct weir_node_options), .name = "parse",
                                           .function = parse, .parallelism = 1});
    weir_node changes = weir_graph_add(
        graph, &(struct weir_node_options){WEIR_SIZED(struct weir_node_options), .name = "changes",
                                           .table = &changes_operator, .states = &changes_state,
                                           .state_count = 1});
    weir_node output = weir_line_sink(
        graph, "output",
        &(struct weir_line_sink_options){WEIR_SIZED(struct weir_line_sink_options),
                                         .path = weir_parameter_text(parameters, "output"),
                                         .write = write_change});

    weir_connect(graph, lines, readings, WEIR_FORWARD);
    weir_connect(graph, readings, changes, WEIR_BY_KEY);
    weir_connect(graph, changes, output, WEIR_FORWARD);
    return WEIR_OK;
}

int main(int argc, char **argv)
{
    static const struct weir_parameter parameters[] = {
        {"input", WEIR_TEXT, NULL, "file, or directory of files", NULL},
        {"output", WEIR_TEXT, NULL, "directory for the changes", NULL},
        {"rate", WEIR_COUNT, "0", "readings a second; 0: no limit", NULL},
        {"split", WEIR_BYTES, "64KiB", "of the input, for one subtask at a time", NULL},
        {0}};

    return weir_main(argc, argv,
                     &(struct weir_program){WEIR_SIZED(struct weir_program), .name = "readings",
                                            .version = "1", .about = "what sensors say anew",
                                            .parameters = parameters, .build = build});
}
