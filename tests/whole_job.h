/* SPDX-License-Identifier: Apache-2.0
 *
 * whole_job: a job of several tasks on threads of their own, checkpointed into a real store every
 * 10 ms while other threads ask for its status, stopped at once in mid-stream and started again;
 * its output must be exact. Without Criterion, so that it runs under ThreadSanitizer over whichever
 * transport it is linked with.
 */
#ifndef WHOLE_JOB_H
#define WHOLE_JOB_H

#include <stdint.h>

/* endpoint as in struct weir_job_options. Aborts when something is not as it should be. Prints one
 * line with what was done. */
void whole_job_run(const char *endpoint, uint64_t records);
/* The same, but records go round a cycle first and are counted slowly, and every checkpoint is
 * unaligned, with small windows and budget: batches, and what waits on disk, are shared by tasks
 * and writer. */
void whole_job_run_round(const char *endpoint, uint64_t records);

#endif
