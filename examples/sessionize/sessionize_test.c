/* SPDX-License-Identifier: Apache-2.0
 *
 * The operators of sessionize, each alone under weir_operator_torture.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "log_line.h"
#include "requests.h"
#include "visits.h"

#define SECOND INT64_C(1000000000)
#define MINUTE (60 * SECOND)
#define STEPS 150

static bool passed(const char *what, struct weir_graph *graph, weir_node node,
                   const struct weir_torture_step *steps)
{
    struct weir_error error = {0};
    enum weir_result result = weir_operator_torture(
        &(struct weir_torture_options){WEIR_SIZED(struct weir_torture_options), .graph = graph,
                                       .at = node, .steps = steps, .step_count = STEPS},
        &error);
    printf("%s: %s\n", what, result ? error.text : "ok");
    return !result;
}

/* Lines a minute apart, out of order by up to two minutes; some late, some malformed. */
static bool try_requests(struct weir_graph *graph)
{
    static char lines[STEPS][160];
    static struct weir_torture_step steps[STEPS];
    for (int i = 0; i < STEPS; i++) {
        int minute = 5 + i - i * 7 % 3 - (i % 20 == 19 ? 4 : 0);
        int size = snprintf(lines[i], sizeof lines[i],
                            "192.0.2.%d - - [29/Jan/2026:%02d:%02d:00 +0100] \"GET / HTTP/1.1\" "
                            "200 %d \"-\" \"Browser \\\"%d\\\"\"%s",
                            i % 4, minute / 60, minute % 60, i, i % 3, i % 17 == 16 ? "?" : "");
        steps[i].record =
            (struct weir_record){.value = {lines[i], (size_t)size}, .time = WEIR_NO_TIME};
    }
    return passed("requests", graph, requests(graph, "requests", 2 * MINUTE), steps);
}

/* Six clients; requests come in bursts, with pauses shorter and longer than the gap. The watermark
 * is far behind: a client has several visits at a time that are not over yet. */
static bool try_visits(struct weir_graph *graph)
{
    static struct {
        uint64_t client;
        struct request request;
        char name[8];
    } asked[STEPS];
    static struct weir_torture_step steps[STEPS];
    int64_t now = 0;
    for (int i = 0; i < STEPS; i++) {
        now += i % 9 == 8 ? (20 + i % 5 * 6) * MINUTE : MINUTE;
        asked[i].client = (uint64_t)(i * i % 6);
        asked[i].request.bytes = (uint64_t)i;
        snprintf(asked[i].name, sizeof asked[i].name, "c%d", i * i % 6);
        steps[i].record = (struct weir_record){{&asked[i].client, sizeof asked[i].client},
                                               {&asked[i].request, sizeof asked[i].request + 2},
                                               now - (i % 4) * MINUTE};
        if (i % 6 == 5) {
            steps[i].watermark = true;
            steps[i].record.time = now - 90 * MINUTE;
        }
    }
    return passed("visits", graph, visits(graph, "visits", 30 * MINUTE), steps);
}

static bool is_at(const char *stamp, int64_t seconds)
{
    char text[160];
    struct log_line line;
    int size =
        snprintf(text, sizeof text, "h - - [%s] \"GET / HTTP/1.1\" 304 - \"-\" \"a\"", stamp);
    bool parsed = log_line_parse((struct weir_bytes){text, (size_t)size}, &line);
    bool right = seconds < 0 ? !parsed : parsed && line.time == seconds * SECOND;
    if (!right)
        printf("log_line: %s is %s%" PRId64 "\n", stamp, parsed ? "" : "malformed, not ", seconds);
    return right;
}

/* What a calendar can get wrong. -1: malformed. */
static bool try_stamps(void)
{
    static const struct {
        const char *stamp;
        int64_t seconds;
    } cases[] = {
        {"01/Jan/1970:00:00:00 +0000", 0},          {"29/Feb/2000:23:59:59 +0000", 951868799},
        {"29/Jan/2026:13:55:36 +0100", 1769691336}, {"31/Dec/2099:23:30:00 -0045", 4102445700},
        {"29/Feb/2100:00:00:00 +0000", -1},         {"29/Feb/2026:00:00:00 +0000", -1},
        {"00/Jan/2026:00:00:00 +0000", -1},         {"10/Okt/2026:00:00:00 +0000", -1},
        {"10/Oct/2026:24:00:00 +0000", -1},         {"10/Oct/2026:00:00:00", -1}};
    bool right = true;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        right = is_at(cases[i].stamp, cases[i].seconds) && right;
    return right;
}

int main(void)
{
    struct weir_graph *graph = weir_graph_new(NULL);
    bool all = graph && try_stamps();
    all = graph && try_requests(graph) && all;
    all = graph && try_visits(graph) && all;
    weir_graph_free(&graph);
    return !all;
}
