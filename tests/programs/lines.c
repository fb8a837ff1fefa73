/* SPDX-License-Identifier: Apache-2.0
 *
 * lines: any of the sources of lines, and a line sink: what went in comes out, for the tests that
 * kill it.
 *
 *     source --FORWARD--> output
 */
#include <string.h>

#include "weir_main.h"
#include "weir_operators.h"

static const char *optional(const struct weir_parameters *parameters, const char *name)
{
    const char *text = weir_parameter_text(parameters, name);
    return text[0] == '\0' ? NULL : text;
}

static weir_node add_source(struct weir_graph *graph, const struct weir_parameters *parameters)
{
    const char *from = weir_parameter_text(parameters, "from");
    const char *input = weir_parameter_text(parameters, "input");
    const char *end = optional(parameters, "end");
    uint64_t rate = weir_parameter_count(parameters, "rate");
    bool journal = weir_parameter_flag(parameters, "journal");

    if (strcmp(from, "tail") == 0)
        return weir_tail_source(graph, "source",
                                &(struct weir_tail_source_options){
                                    WEIR_SIZED(struct weir_tail_source_options), .path = input,
                                    .end_file = end, .rate = rate, .rotated = true});
    if (strcmp(from, "folder") == 0)
        return weir_folder_source(
            graph, "source",
            &(struct weir_folder_source_options){WEIR_SIZED(struct weir_folder_source_options),
                                                 .path = input, .end_name = end, .rate = rate});
    if (strcmp(from, "stdin") == 0)
        return weir_stdin_source(
            graph, "source",
            &(struct weir_stdin_source_options){WEIR_SIZED(struct weir_stdin_source_options),
                                                .journal = journal, .rate = rate});
    return weir_socket_source(
        graph, "source",
        &(struct weir_socket_source_options){WEIR_SIZED(struct weir_socket_source_options),
                                             .path = input, .end_line = end, .journal = journal});
}

static enum weir_result build(struct weir_graph *graph, const struct weir_parameters *parameters)
{
    weir_node source = add_source(graph, parameters);
    weir_node output = weir_line_sink(
        graph, "output",
        &(struct weir_line_sink_options){WEIR_SIZED(struct weir_line_sink_options),
                                         .path = weir_parameter_text(parameters, "output")});

    weir_connect(graph, source, output, WEIR_FORWARD);
    return WEIR_OK;
}

int main(int argc, char **argv)
{
    static const struct weir_parameter parameters[] = {
        {"from", WEIR_CHOICE, NULL, "what is read", "tail|folder|stdin|socket"},
        {"input", WEIR_TEXT, "", "its path", NULL},
        {"output", WEIR_TEXT, NULL, "directory for the lines", NULL},
        {"end", WEIR_TEXT, "", "what ends it: a file, a name, a line", NULL},
        {"rate", WEIR_COUNT, "0", "lines a second, 0: no limit", NULL},
        {"journal", WEIR_FLAG, "yes", "keep one: stdin, socket", NULL},
        {0}};

    return weir_main(argc, argv,
                     &(struct weir_program){WEIR_SIZED(struct weir_program), .name = "lines",
                                            .about = "lines from anywhere into files",
                                            .parameters = parameters, .build = build});
}
