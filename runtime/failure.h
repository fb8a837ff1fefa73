/* SPDX-License-Identifier: Apache-2.0
 *
 * failure: where an operator stands, for people and for the next start. A record is known by its
 * position - the how-manieth its subtask was given since the job's first start, so that it is the
 * same after a restart - and by its fingerprint. Pure but for reading what the operator has in
 * hand; async-signal-safe, for a crash handler asks too.
 */
#ifndef FAILURE_H
#define FAILURE_H

#include "context.h"

/* XXH3-64 over 32 bytes in the machine's order: u64 size of the key, u64 XXH3-64 of the key, u64
 * XXH3-64 of the value, i64 time. */
uint64_t failure_fingerprint(const struct weir_record *record);

/* What `context` is at, in the callback called `doing`: static text. */
void failure_describe(const struct weir_context *context, const char *doing,
                      struct weir_failure *failure);

#endif
