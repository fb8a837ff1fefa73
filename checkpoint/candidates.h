/* SPDX-License-Identifier: Apache-2.0
 *
 * candidates: keys that may have another value in one checkpoint than in another, and what is known
 * of them on both sides. A hash table over entries' keys (of lists, maps and timers: pairs), and
 * the same in the order of the upper halves of their hashes, as blobs of state are. One thread.
 */
#ifndef CANDIDATES_H
#define CANDIDATES_H

#include "state.h"

struct candidate_side {
    unsigned char *value; /* owned; NULL when it is not there */
    size_t size;          /* bytes */
    uint32_t found;       /* where: the number of the segment, from 1; 0: nowhere yet */
    bool there;
};

struct candidate {
    uint64_t hash; /* state_entry_hash */
    struct candidate_side sides[2];
    size_t key_size;
    unsigned char key[]; /* its bytes; 8-byte aligned */
};

struct candidates {
    const struct weir_allocator *allocator;
    enum state_kind kind;
    struct candidate **items; /* sorted by candidates_sort, until one is added */
    uint32_t count, room;
    uint32_t *slots; /* 1 + an index of items; 0: free */
    uint32_t mask;   /* slots - 1 */
    bool sorted;
};

/* Frees all of them; what is left is empty and can be used again. */
void candidates_clear(struct candidates *set);

/* The one with this key, new if need be; NULL: no memory. Valid until the set is cleared. */
struct candidate *candidates_add(struct candidates *set, struct weir_bytes key, uint64_t hash);
/* NULL: there is none. */
struct candidate *candidates_find(const struct candidates *set, struct weir_bytes key,
                                  uint64_t hash);
/* By the upper half of the hash, then by record key and sub key. */
void candidates_sort(struct candidates *set);
/* Has one whose hash's upper half lies between these not been found on that side? Sorted. */
bool candidates_missing(const struct candidates *set, uint32_t side, uint32_t first, uint32_t last);

/* The value is copied. False: no memory. */
bool candidate_keep(const struct candidates *set, struct candidate_side *side,
                    struct weir_bytes value);

#endif
