/* SPDX-License-Identifier: Apache-2.0
 *
 * How an operator of one's own is tested: it is fed some records, and weir_operator_torture does to
 * it whatever a job could - checkpoints between any two records, restarts, back-pressure, rounds
 * that come to nothing - and sees that it says the same each time. No job, no thread, no file.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "silence.h"

#define SECOND 1000000000
#define STEPS 120

/* Devices of two letters; each falls silent for a while now and then, and every fourth step is a
 * watermark. There are more than `finish` tells of in one call. */
static void make_steps(struct weir_torture_step *steps)
{
    static const char names[] = "aabacadabbcbdcadbdcdd";
    for (int64_t i = 0; i < STEPS; i++) {
        const char *device = names + i * i / 7 % (int64_t)(sizeof names - 2);
        steps[i] = (struct weir_torture_step){
            .record = {.key = {device, 2}, .time = (4 * i - i % 3) * SECOND}};
        if (i % 4 == 3)
            steps[i] =
                (struct weir_torture_step){.watermark = true, .record.time = (4 * i - 8) * SECOND};
    }
}

int main(void)
{
    struct weir_torture_step steps[STEPS];
    struct weir_error error = {0};
    struct weir_graph *graph = weir_graph_new(NULL);
    if (!graph)
        return 1;
    make_steps(steps);
    weir_node node = silence(graph, "silence", 30 * (int64_t)SECOND);
    enum weir_result result = weir_operator_torture(
        &(struct weir_torture_options){WEIR_SIZED(struct weir_torture_options), .graph = graph,
                                       .at = node, .steps = steps, .step_count = STEPS,
                                       .trials = 300},
        &error);
    if (result)
        fprintf(stderr, "%s: %s\n", weir_result_name(result), error.text);
    else
        puts("silence: 300 trials, each as if nothing had happened");
    weir_graph_free(&graph);
    return result != WEIR_OK;
}
