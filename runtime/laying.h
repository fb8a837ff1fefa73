/* SPDX-License-Identifier: Apache-2.0
 *
 * laying: what is known of how a checkpoint would be laid onto a graph, told to people or, as JSON,
 * to programs (EVENTS.md). Pure.
 */
#ifndef LAYING_H
#define LAYING_H

#include "losses.h"
#include "plan.h"

struct laying {
    uint64_t checkpoint; /* 0: there is none, and of all that follows only `result` is set */
    const struct plan *plan;
    const struct mapping *mapping;
    struct losses losses;
    bool dropping;               /* what would be lost is dropped */
    struct weir_error *refusals; /* of what can't be shared out, beside the mapping's problems */
    uint32_t refusal_count;
    enum weir_result result; /* of such a start; WEIR_OK or WEIR_MISMATCH, */
    const char *why;         /* and what it is refused with */
};

void laying_tell(const struct laying *laying, void (*line)(void *context, const char *text),
                 void *context);
void laying_list(const struct laying *laying, void (*line)(void *context, const char *text),
                 void *context);

#endif
