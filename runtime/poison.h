/* SPDX-License-Identifier: Apache-2.0
 *
 * poison: which records are not to be given to their operators any more, as the caller of this
 * start says. Set before the tasks start, only read afterwards.
 */
#ifndef POISON_H
#define POISON_H

#include "run.h"

/* Checks what the options say against the plan, copies it into the run, and makes the directory of
 * the dead letters. */
enum weir_result poison_take(struct run *run, const struct weir_job_options *options,
                             struct weir_error *error) WEIR_MUST_USE;
/* Refuses one in the store; the store must be open. */
enum weir_result poison_check_folder(const struct run *run, struct weir_error *error) WEIR_MUST_USE;
void poison_free(struct run *run);

/* Is there any for this operator instance? */
bool poison_awaits(const struct run *run, const char *node, uint32_t subtask);
/* The entry that fits this record; NULL: none. */
const struct weir_poison *poison_find(const struct run *run, const char *node, uint32_t subtask,
                                      uint64_t position, const struct weir_record *record);

#endif
