/* SPDX-License-Identifier: Apache-2.0
 *
 * A stranger's program on weir_main.
 */
#include <weir_main.h>
#include <weir_operators.h>

static enum weir_result build(struct weir_graph *graph, const struct weir_parameters *parameters)
{
    struct weir_sequence_source_options source = {WEIR_SIZED(struct weir_sequence_source_options)};
    struct weir_line_sink_options sink = {WEIR_SIZED(struct weir_line_sink_options)};
    source.count = weir_parameter_count(parameters, "count");
    sink.path = weir_parameter_text(parameters, "output");
    weir_connect(graph, weir_sequence_source(graph, "numbers", &source),
                 weir_line_sink(graph, "lines", &sink), WEIR_FORWARD);
    return WEIR_OK;
}

int main(int argc, char **argv)
{
    static const struct weir_parameter parameters[] = {
        {"count", WEIR_COUNT, "100", "how many numbers", NULL},
        {"output", WEIR_TEXT, "numbers.out", "where to", NULL},
        {NULL, WEIR_TEXT, NULL, NULL, NULL},
    };
    static const struct weir_program program = {
        WEIR_SIZED(struct weir_program), .name = "hello_main",     .version = "1",
        .about = "writes numbers",       .parameters = parameters, .build = build};
    return weir_main(argc, argv, &program);
}
