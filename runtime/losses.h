/* SPDX-License-Identifier: Apache-2.0
 *
 * losses: what a checkpoint holds that a graph has no place for, in words. Reads the parts
 * concerned, and changes nothing.
 */
#ifndef LOSSES_H
#define LOSSES_H

#include "mapping.h"
#include "store.h"

struct losses {
    const struct weir_allocator *allocator;
    char **texts; /* "state 'total' of node 'count': 12 keys" */
    uint32_t count;
    uint64_t handles; /* of sinks that are gone: output that is not published yet */
    const char *sink; /* the first that has some; borrowed from the manifest */
    bool cut;         /* an error's text has no room for all of them */
};

enum weir_result losses_find(struct store *store, const struct manifest *manifest,
                             const struct mapping *mapping, const struct weir_allocator *allocator,
                             struct losses *losses, struct weir_error *error) WEIR_MUST_USE;
void losses_free(struct losses *losses);
/* WEIR_MISMATCH, naming them, unless they are allowed; handles never are. */
enum weir_result losses_check(struct losses *losses, bool allowed,
                              struct weir_error *error) WEIR_MUST_USE;

#endif
