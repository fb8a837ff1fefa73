/* SPDX-License-Identifier: Apache-2.0
 *
 * custom_operator: an operator of one's own, `silence`, in a graph with ready-made ones.
 *
 *     lines --FORWARD--> signs --BY_KEY--> silence --FORWARD--> output
 *
 *     custom_operator run --store state --set input=signs --set output=told
 *
 * An input line is a sign of life: seconds since 1970, a blank, the device. Lines of one device are
 * in order of time; those of different devices may come at most `disorder` late. Output lines are
 * device<TAB>what about it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "silence.h"
#include "weir_main.h"
#include "weir_operators.h"

#define SECOND 1000000000
#define LATEST INT64_C(9000000000) /* seconds that fit into 64 bits of nanoseconds */

/* One record for each line: the device is the key, the time is event time. The watermark says how
 * far time has come for sure; timers go by it. */
static enum weir_result read_sign(struct weir_context *context, unsigned input,
                                  const struct weir_record *line, const void *config)
{
    const char *at = line->value.data, *end = at + line->value.size;
    int64_t seconds = 0, disorder_ns = *(const int64_t *)config;

    (void)input;
    while (at < end && *at >= '0' && *at <= '9' && seconds < LATEST)
        seconds = 10 * seconds + (*at++ - '0');
    if (at == (const char *)line->value.data || end - at < 2 || *at != ' ' || seconds >= LATEST)
        return weir_fail(context, WEIR_INVALID, "\"%.*s\" is not a sign of life: SECONDS DEVICE is",
                         (int)(line->value.size < 80 ? line->value.size : 80),
                         (const char *)line->value.data);
    at++;
    weir_emit(context, 0,
              &(struct weir_record){.key = {at, (size_t)(end - at)}, .time = seconds * SECOND});
    weir_emit_watermark(context, seconds * SECOND - disorder_ns); /* going back is ignored */
    return WEIR_OK;
}

static size_t write_line(char *line, size_t room, const struct weir_record *told,
                         const void *config)
{
    size_t size = told->key.size + 1 + told->value.size;

    (void)config;
    if (size <= room) {
        memcpy(line, told->key.data, told->key.size);
        line[told->key.size] = '\t';
        memcpy(line + told->key.size + 1, told->value.data, told->value.size);
    }
    return size;
}

static enum weir_result build(struct weir_graph *graph, const struct weir_parameters *parameters)
{
    int64_t disorder_ns = weir_parameter_duration(parameters, "disorder");

    weir_node lines = weir_line_source(
        graph, "lines",
        &(struct weir_line_source_options){WEIR_SIZED(struct weir_line_source_options),
                                           .path = weir_parameter_text(parameters, "input"),
                                           .rate = weir_parameter_count(parameters, "rate")});
    weir_node signs = weir_flat_map(graph, "signs", read_sign,
                                    weir_graph_keep(graph, &disorder_ns, sizeof disorder_ns));
    weir_node silent = silence(graph, "silence", weir_parameter_duration(parameters, "limit"));
    weir_node output =
        weir_line_sink(graph, "output",
                       &(struct weir_line_sink_options){
                           WEIR_SIZED(struct weir_line_sink_options),
                           .path = weir_parameter_text(parameters, "output"), .write = write_line});

    weir_connect(graph, lines, signs, WEIR_FORWARD);
    weir_connect(graph, signs, silent, WEIR_BY_KEY);
    weir_connect(graph, silent, output, WEIR_FORWARD);
    return WEIR_OK;
}

int main(int argc, char **argv)
{
    static const struct weir_parameter parameters[] = {
        {"input", WEIR_TEXT, NULL, "file, or directory of files", NULL},
        {"output", WEIR_TEXT, NULL, "directory for what is told", NULL},
        {"limit", WEIR_DURATION, "60s", "how long a device may be silent", NULL},
        {"disorder", WEIR_DURATION, "5s", "how late a line may come", NULL},
        {"rate", WEIR_COUNT, "0", "lines a second, 0: no limit", NULL},
        {0}};

    return weir_main(argc, argv,
                     &(struct weir_program){WEIR_SIZED(struct weir_program),
                                            .name = "custom_operator", .version = weir_version(),
                                            .about = "which devices have fallen silent",
                                            .parameters = parameters, .build = build});
}
