/* SPDX-License-Identifier: Apache-2.0
 *
 * state_map: a map for each key: values by sub key, in the order of their bytes. As state.h in all
 * else: limits (of sub keys too), results, what is fixed in size, and how long views are valid.
 * `hash` is state_hash of the key. A sub key may be a view that a call before has given.
 */
#ifndef STATE_MAP_H
#define STATE_MAP_H

#include "state.h"

bool state_map_get(struct state *state, struct weir_bytes key, uint64_t hash, struct weir_bytes sub,
                   struct weir_bytes *value);
enum weir_result state_map_put(struct state *state, struct weir_bytes key, uint64_t hash,
                               struct weir_bytes sub, struct weir_bytes value) WEIR_MUST_USE;
/* Fixed-size values only. NULL: no memory, or over a limit. */
void *state_map_cell(struct state *state, struct weir_bytes key, uint64_t hash,
                     struct weir_bytes sub);
enum weir_result state_map_remove(struct state *state, struct weir_bytes key, uint64_t hash,
                                  struct weir_bytes sub) WEIR_MUST_USE;
/* The key's first entry behind `after`, which need not be there; NULL: the first of all. O(log n).
 * False at the end. */
bool state_map_next(const struct state *state, struct weir_bytes key,
                    const struct weir_bytes *after, struct weir_bytes *sub,
                    struct weir_bytes *value);
/* O(log n) of a state's entries; where values expire it counts them. */
uint64_t state_map_count(const struct state *state, struct weir_bytes key);
/* Removes the first entries, at most `most`; *removed is how many. WEIR_NO_MEMORY. */
enum weir_result state_map_clear(struct state *state, struct weir_bytes key, uint64_t hash,
                                 uint64_t most, uint64_t *removed) WEIR_MUST_USE;

#endif
