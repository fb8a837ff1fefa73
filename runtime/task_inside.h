/* SPDX-License-Identifier: Apache-2.0
 *
 * task_inside: what the task's own files share. task.c holds the switch and what happens to
 * records, task_round.c the task's part in rounds, task_build.c how it is made, opened and taken
 * apart.
 */
#ifndef TASK_INSIDE_H
#define TASK_INSIDE_H

#include "task.h"

/* Why a pipe did not take a message. Its reader has gone, or has so much to read that something is
 * wrong: credits keep all of it far below a pipe's room. */
void task_refused(const struct pipe *pipe, const char *reader, struct weir_error *error);
/* What can't be told fails the task. */
void task_tell(struct task *task, enum message_kind kind, uint64_t id, uint64_t value);
/* The error's text and node; false: try again. */
bool task_tell_error(struct task *task, enum message_kind kind, uint64_t id,
                     const struct weir_error *error);
/* Around a callback that is called from no other. */
void task_begin_call(struct task *task, struct weir_context *context, const char *call);
void task_end_call(struct task *task);
/* What it holds, for others to see; the coordinator is told when that has changed by much. */
void task_note_memory(struct task *task);

/* task_build.c: opens and restores the operators, and says READY. */
void task_open(struct task *task);

/* task_round.c: what follows from the aligner's verdict; `input` and `id` are for its error. */
void task_verdict(struct task *task, unsigned verdict, uint32_t input, uint64_t id);
/* Something has arrived, or a credit has come: what is recorded may be complete, or too much. */
void task_attend_cut(struct task *task);
/* A first marker was reached, or the last one has arrived: when. */
void task_note_reached(struct task *task);
void task_note_arrived(struct task *task, uint64_t recording, uint32_t channel);
void task_abort(struct task *task, uint64_t id);
void task_committed(struct task *task, uint64_t id);

#endif
