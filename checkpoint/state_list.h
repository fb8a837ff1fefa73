/* SPDX-License-Identifier: Apache-2.0
 *
 * state_list: a list for each key: values by index, from 0. As state.h in all else: limits,
 * results, what is fixed in size, and how long views are valid. `hash` is state_hash of the key.
 * Every call is O(1) of a list of any length.
 */
#ifndef STATE_LIST_H
#define STATE_LIST_H

#include "state.h"

enum weir_result state_list_append(struct state *state, struct weir_bytes key, uint64_t hash,
                                   struct weir_bytes value) WEIR_MUST_USE;
/* False when the list is not so long. */
bool state_list_get(struct state *state, struct weir_bytes key, uint64_t hash, uint64_t index,
                    struct weir_bytes *value);
/* Replaces an element. WEIR_NOT_FOUND when the list is not so long. */
enum weir_result state_list_put(struct state *state, struct weir_bytes key, uint64_t hash,
                                uint64_t index, struct weir_bytes value) WEIR_MUST_USE;
uint64_t state_list_count(struct state *state, struct weir_bytes key, uint64_t hash);
/* Makes it as short as that; 0: it is gone. What is cut off is removed at once if it is not much,
 * else little by little, paid by what is written to the state. */
enum weir_result state_list_truncate(struct state *state, struct weir_bytes key, uint64_t hash,
                                     uint64_t count) WEIR_MUST_USE;

#endif
