/* SPDX-License-Identifier: Apache-2.0
 *
 * state_timers: timers that belong to keys, in a state of the kind STATE_TIMERS. One that is set is
 * an entry without a value; setting or taking one costs O(log n), and one that came and went
 * between two cuts leaves nothing in a checkpoint. About 100 bytes each, with keys of 8 bytes: 40
 * in the log (twice that at worst, L2), 21 to 43 in the index, 4, and 17 in the order.
 */
#ifndef STATE_TIMERS_H
#define STATE_TIMERS_H

#include "pair.h"
#include "state.h"

/* Set twice, it is one. `hash` is state_hash of the key. WEIR_TOO_LARGE, WEIR_NO_MEMORY. */
enum weir_result state_timer_set(struct state *state, struct weir_bytes key, uint64_t hash,
                                 struct pair_timer timer) WEIR_MUST_USE;
/* WEIR_NOT_FOUND when it was not set; WEIR_NO_MEMORY. */
enum weir_result state_timer_cancel(struct state *state, struct weir_bytes key, uint64_t hash,
                                    struct pair_timer timer) WEIR_MUST_USE;
/* The time of the first one of a kind; INT64_MAX: there is none, or none before that. */
int64_t state_timer_next(const struct state *state, uint32_t kind);
/* Takes the first one of a kind, of its time, then key, then tag, when it is due at `now`. The key
 * is valid until the next call for this state. WEIR_NOT_FOUND: none is; WEIR_NO_MEMORY. */
enum weir_result state_timer_take(struct state *state, uint32_t kind, int64_t now,
                                  struct weir_bytes *key, struct pair_timer *timer) WEIR_MUST_USE;
uint64_t state_timer_count(const struct state *state, uint32_t kind);

#endif
