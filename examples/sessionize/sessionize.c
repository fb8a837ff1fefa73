/* SPDX-License-Identifier: Apache-2.0
 *
 * sessionize: the visits of a web site's clients, out of its access log.
 *
 *     lines --FORWARD--> requests --BY_KEY--> visits --FORWARD--> output
 *                              `--BY_KEY--> rejected --FORWARD--> rejects
 *
 *     sessionize run --store state --set input=log --set output=visits --set rejects=rejects
 *
 * Lines are in the Combined Log Format, out of order by at most `disorder`. A visit is a client's
 * requests of less than `gap` apart from one to the next; a line of output is
 *
 *     first request<TAB>last request<TAB>requests<TAB>bytes<TAB>client
 *
 * with times in seconds since 1970; a client is a host and a browser. In `rejects` stands how many
 * lines were late, and how many malformed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "requests.h"
#include "visits.h"
#include "weir_main.h"
#include "weir_operators.h"

#define SECOND 1000000000

/* Both halves of a line that do not fit are counted all the same: it is asked again with room. */
static size_t join(char *line, size_t room, const char *first, int first_size,
                   struct weir_bytes second)
{
    size_t size = (size_t)first_size;
    if (size + second.size <= room) {
        memcpy(line, first, size);
        memcpy(line + size, second.data, second.size);
    }
    return size + second.size;
}

static size_t write_visit(char *line, size_t room, const struct weir_record *record,
                          const void *config)
{
    struct visit visit;
    char numbers[128];

    (void)config;
    memcpy(&visit, record->value.data, sizeof visit);
    int size =
        snprintf(numbers, sizeof numbers, "%" PRId64 "\t%" PRId64 "\t%" PRIu64 "\t%" PRIu64 "\t",
                 visit.first / SECOND, visit.last / SECOND, visit.hits, visit.bytes);
    return join(line, room, numbers, size, record->key);
}

static size_t write_count(char *line, size_t room, const struct weir_record *record,
                          const void *config)
{
    char number[32];
    uint64_t count;

    (void)config;
    memcpy(&count, record->value.data, sizeof count);
    int size = snprintf(number, sizeof number, "%" PRIu64 "\t", count);
    return join(line, room, number, size, record->key);
}

static weir_node add_sink(struct weir_graph *graph, const char *name,
                          const struct weir_parameters *parameters,
                          size_t (*write)(char *line, size_t room, const struct weir_record *record,
                                          const void *config))
{
    return weir_line_sink(graph, name,
                          &(struct weir_line_sink_options){
                              WEIR_SIZED(struct weir_line_sink_options),
                              .path = weir_parameter_text(parameters, name), .write = write});
}

static enum weir_result build(struct weir_graph *graph, const struct weir_parameters *parameters)
{
    weir_node lines = weir_line_source(
        graph, "lines",
        &(struct weir_line_source_options){WEIR_SIZED(struct weir_line_source_options),
                                           .path = weir_parameter_text(parameters, "input"),
                                           .rate = weir_parameter_count(parameters, "rate")});
    weir_node asked = requests(graph, "requests", weir_parameter_duration(parameters, "disorder"));
    weir_node gathered = visits(graph, "visits", weir_parameter_duration(parameters, "gap"));
    weir_node rejected =
        weir_aggregate(graph, "rejected",
                       &(struct weir_aggregate_options){WEIR_SIZED(struct weir_aggregate_options),
                                                        .kind = WEIR_AGGREGATE_COUNT});
    weir_node output = add_sink(graph, "output", parameters, write_visit);
    weir_node rejects = add_sink(graph, "rejects", parameters, write_count);

    weir_connect(graph, lines, asked, WEIR_FORWARD);
    weir_connect(graph, asked, gathered, WEIR_BY_KEY);
    weir_connect(graph, gathered, output, WEIR_FORWARD);
    weir_graph_connect(graph, &(struct weir_edge_options){WEIR_SIZED(struct weir_edge_options),
                                                          .from = asked, .output = "rejects",
                                                          .to = rejected, .routing = WEIR_BY_KEY});
    weir_connect(graph, rejected, rejects, WEIR_FORWARD);
    return WEIR_OK;
}

int main(int argc, char **argv)
{
    static const struct weir_parameter parameters[] = {
        {"input", WEIR_TEXT, NULL, "log file, or directory of log files", NULL},
        {"output", WEIR_TEXT, NULL, "directory for the visits", NULL},
        {"rejects", WEIR_TEXT, NULL, "directory for how many lines were left out", NULL},
        {"gap", WEIR_DURATION, "30min", "this long without a request ends a visit", NULL},
        {"disorder", WEIR_DURATION, "2min", "how late a line may come", NULL},
        {"rate", WEIR_COUNT, "0", "lines a second, 0: no limit", NULL},
        {0}};

    return weir_main(argc, argv,
                     &(struct weir_program){WEIR_SIZED(struct weir_program), .name = "sessionize",
                                            .version = weir_version(),
                                            .about = "the visits in a web server's log",
                                            .parameters = parameters, .build = build});
}
