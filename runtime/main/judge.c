/* SPDX-License-Identifier: Apache-2.0 */
#include "judge.h"

#include <string.h>

void judge_begin(struct slate_memory *memory, const struct options *options)
{
    bool durable =
        options->job.store != NULL; /* without a checkpoint nothing can be gone on from */

    memset(memory, 0, sizeof *memory); /* its padding is summed up too */
    restart_init(&memory->restart, durable ? options->max_restarts : 0, options->restart_delay_ns);
    suspects_init(&memory->suspects, options->poison_after, options->job.dead_letters != NULL);
}

struct verdict judge(struct slate_memory *memory, const struct failed *failed)
{
    struct verdict verdict = {0};
    struct suspects_answer answer = {0};

    memory->failed_ns = failed->now_ns;
    restart_committed(&memory->restart, failed->commits);
    if (failed->where != NULL)
        answer = suspects_note(&memory->suspects, failed->where, failed->cause, failed->commits);
    if (answer.named) {
        verdict.named = true;
        verdict.left_out = memory->suspects.left_out;
        suspects_describe(answer.suspect, &verdict.poison);
        suspects_record(answer.suspect, &verdict.record);
        if (verdict.left_out)
            restart_left_out(&memory->restart);
    }
    struct restart_verdict next =
        restart_failed(&memory->restart, verdict.left_out ? 0 : answer.failures);
    verdict.again = next.again && !failed->hopeless;
    verdict.delay_ns = verdict.again ? next.delay_ns : -1;
    verdict.consecutive = next.consecutive;
    memory->restarts += verdict.again;
    return verdict;
}
