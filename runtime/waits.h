/* SPDX-License-Identifier: Apache-2.0
 *
 * waits: what a task does, and what it waits for, in words for people. Reads the tasks' pulses,
 * which are atomics: whatever stands still, this does not.
 */
#ifndef WAITS_H
#define WAITS_H

#include "plan.h"
#include "pulse.h"

/* A line, put together piece by piece; what does not fit is cut. */
struct words {
    char text[1000];
    size_t size;
};

void words_add(struct words *words, const char *format, ...) WEIR_PRINTF(2, 3);
void words_time(struct words *words, int64_t ns);
void words_bytes(struct words *words, uint64_t bytes);                        /* "12.3 MB" */
void words_task(struct words *words, const struct plan *plan, uint32_t task); /* "count.0" */

/* "at work, in process of count", "its output waits for credit from sink.0 (channel 3)" */
void waits_doing(struct words *words, const struct plan *plan, uint32_t task,
                 const struct task_pulse *pulse);
/* "syncing checkpoint 17", "has nothing to write" */
void waits_writer(struct words *words, const struct plan *plan, const struct writer_pulse *pulse);
/* What keeps it from having answered to round `id`: "waits for the marker of split.1 (channel 3)"
 * and what it does meanwhile. */
void waits_round(struct words *words, const struct plan *plan, uint32_t task,
                 const struct task_pulse *pulse, uint64_t id, int64_t now_ns);

#endif
