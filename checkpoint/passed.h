/* SPDX-License-Identifier: Apache-2.0
 *
 * passed: which keys a scan had visited before they were handed over to another subtask. A scan
 * stands at one place (state.h); who takes over keys of several subtasks takes over as many places,
 * each of a range of key groups. Its own scan begins anew, and leaves out what one of these marks
 * says was visited. Section SCAN of a part is one mark:
 *
 *   u32 first group | u32 end | u32 groups | u32 1: within the tag, behind the key | u64 tag | key
 */
#ifndef PASSED_H
#define PASSED_H

#include "snapshot.h"

struct passed_mark {
    uint32_t first, end, groups; /* key groups [first, end) of `groups` */
    uint64_t tag;                /* all below were visited, */
    bool within;                 /* and of this one the keys up to `key` */
    struct weir_bytes key;
};

struct passed {
    struct passed_mark *marks; /* their keys are owned */
    uint32_t count;
};

/* Was the key, of that hash, visited before its range stood at the mark? */
bool passed_mark_holds(const struct passed_mark *mark, uint64_t hash, struct weir_bytes key);
bool passed_holds(const struct passed *passed, uint64_t hash, struct weir_bytes key);
/* The same of a scan over the keys of lists or maps (state_scan_next_key), which go by all of their
 * hash. */
bool passed_holds_whole(const struct passed *passed, uint64_t hash, struct weir_bytes key);
void passed_clear(struct passed *passed, const struct weir_allocator *allocator);

void passed_mark_save(const struct passed_mark *mark, uint32_t state,
                      struct snapshot_writer *writer);
/* The key is a view into the section. False: not well-formed. */
bool passed_mark_read(struct snapshot_section *section, struct passed_mark *mark);
void passed_save(const struct passed *passed, uint32_t state, struct snapshot_writer *writer);
/* Copies the mark. False: no memory. */
bool passed_add(struct passed *passed, const struct weir_allocator *allocator,
                const struct passed_mark *mark);

#endif
