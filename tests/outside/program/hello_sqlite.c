/* SPDX-License-Identifier: Apache-2.0
 *
 * A stranger's program with an SQLite sink; it includes nothing of SQLite and links nothing of it.
 */
#include <stdio.h>

#include <weir_operators.h>
#include <weir_sqlite.h>

int main(int argc, char **argv)
{
    struct weir_error error = {WEIR_OK};
    struct weir_sequence_source_options source = {WEIR_SIZED(struct weir_sequence_source_options),
                                                  .count = 100};
    struct weir_sqlite_sink_options sink = {WEIR_SIZED(struct weir_sqlite_sink_options)};
    struct weir_job_options options = {WEIR_SIZED(struct weir_job_options)};
    struct weir_graph *graph = weir_graph_new(NULL);
    struct weir_job *job = NULL;
    enum weir_outcome outcome = WEIR_OUTCOME_FAILED;

    sink.path = argc > 1 ? argv[1] : NULL;
    sink.table = "numbers";
    sink.create = "CREATE TABLE numbers (key INTEGER, value INTEGER, time INTEGER)";
    sink.key_type = sink.value_type = WEIR_SQLITE_INTEGER;
    weir_connect(graph, weir_sequence_source(graph, "source", &source),
                 weir_sqlite_sink(graph, "sink", &sink), WEIR_FORWARD);
    if (weir_job_start(graph, &options, &job, &error) != WEIR_OK ||
        weir_job_wait(job, INT64_C(30000000000), &outcome, &error) != WEIR_OK ||
        outcome != WEIR_OUTCOME_ENDED)
        fprintf(stderr, "hello_sqlite: %s\n", error.text);
    weir_job_close(&job);
    weir_graph_free(&graph);
    return outcome == WEIR_OUTCOME_ENDED ? 0 : 1;
}
