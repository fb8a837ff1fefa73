/* SPDX-License-Identifier: Apache-2.0
 *
 * losses: what a checkpoint holds that a graph has no place for, counted. Reads the parts
 * concerned, and changes nothing.
 */
#ifndef LOSSES_H
#define LOSSES_H

#include "mapping.h"
#include "store.h"

enum loss_kind {
    LOSS_STATE,   /* keys of a state */
    LOSS_ITEMS,   /* of operator state */
    LOSS_TIMERS,  /* not of keys */
    LOSS_LETTERS, /* dead letters that are not published */
    LOSS_HANDLES, /* output of a sink that is not published */
    LOSS_RECORDS, /* in flight */
};

struct loss {
    enum loss_kind kind;
    uint32_t where; /* node of the checkpoint; of LOSS_RECORDS its edge */
    uint32_t state; /* of LOSS_STATE: which of the node */
    uint64_t count;
};

struct losses {
    const struct weir_allocator *allocator;
    const struct manifest_graph *then; /* borrowed */
    struct loss *list;
    uint32_t count;
    uint64_t handles; /* of sinks that are gone: output that is not published yet */
    const char *sink; /* the first that has some; borrowed from the manifest */
    bool cut;         /* an error's text has no room for all of them */
};

enum weir_result losses_find(struct store *store, const struct manifest *manifest,
                             const struct mapping *mapping, const struct weir_allocator *allocator,
                             struct losses *losses, struct weir_error *error) WEIR_MUST_USE;
void losses_free(struct losses *losses);
/* "state 'total' of node 'count': 12 keys" */
#define LOSS_TEXT 320
const char *loss_text(const struct losses *losses, uint32_t index, char text[LOSS_TEXT]);
/* WEIR_MISMATCH, naming them, unless they are allowed; handles never are. */
enum weir_result losses_check(struct losses *losses, bool allowed,
                              struct weir_error *error) WEIR_MUST_USE;

#endif
