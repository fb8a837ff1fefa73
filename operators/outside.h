/* SPDX-License-Identifier: Apache-2.0
 *
 * outside: output does not belong into a store. A store is copied, cleaned and removed as one
 * thing, by people and tools who take all that is in it for weir's.
 */
#ifndef OUTSIDE_H
#define OUTSIDE_H

#include "weir.h"

/* Refuses a folder that lies in a store, this job's or another's, or is one. It is not made; when
 * it is missing, what its parent lies in counts. What can't be looked at is taken for no store. */
enum weir_result outside_check(struct weir_context *context, const char *folder);

#endif
