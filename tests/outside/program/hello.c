/* SPDX-License-Identifier: Apache-2.0
 *
 * A stranger's program: counts to a hundred through a graph, with names of its own that libweir
 * uses inside too (batch_new, memory_take): they must not meet.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <weir.h>
#include <weir_operators.h>

int batch_new(void);
int memory_take(void);
int batch_new(void)
{
    return 1;
}
int memory_take(void)
{
    return 2;
}

static void take(void *context, uint32_t subtask, const struct weir_record *record)
{
    uint64_t number;
    (void)subtask;
    memcpy(&number, record->value.data, sizeof number);
    *(uint64_t *)context += number;
}

int main(void)
{
    uint64_t sum = 0;
    struct weir_error error = {WEIR_OK};
    struct weir_sequence_source_options source = {WEIR_SIZED(struct weir_sequence_source_options),
                                                  .count = 101};
    struct weir_collect_sink_options sink = {WEIR_SIZED(struct weir_collect_sink_options),
                                             .take = take, .context = &sum};
    struct weir_job_options options = {WEIR_SIZED(struct weir_job_options)};
    struct weir_graph *graph = weir_graph_new(NULL);
    struct weir_job *job = NULL;
    enum weir_outcome outcome = WEIR_OUTCOME_FAILED;

    weir_connect(graph, weir_sequence_source(graph, "numbers", &source),
                 weir_collect_sink(graph, "sum", &sink), WEIR_FORWARD);
    if (weir_job_start(graph, &options, &job, &error) != WEIR_OK ||
        weir_job_wait(job, INT64_C(30000000000), &outcome, &error) != WEIR_OK) {
        fprintf(stderr, "hello: %s\n", error.text);
    }
    weir_job_close(&job);
    weir_graph_free(&graph);
    printf("weir %s: the sum is %llu\n", weir_version(), (unsigned long long)sum);
    return outcome == WEIR_OUTCOME_ENDED && sum == 5050 && batch_new() + memory_take() == 3 ? 0 : 1;
}
