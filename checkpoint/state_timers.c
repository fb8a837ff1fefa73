/* SPDX-License-Identifier: Apache-2.0 */
#include "state_timers.h"

#include "state_inside.h"

static enum weir_result timer_make(struct state *state, struct weir_bytes key, uint64_t *hash,
                                   struct pair_timer timer, struct weir_bytes *bytes)
{
    unsigned char sub[PAIR_TIMER_SIZE];
    pair_write_timer(sub, timer);
    return pair_make(state, (struct pair){key, {sub, sizeof sub}}, *hash, bytes, hash);
}

enum weir_result state_timer_set(struct state *state, struct weir_bytes key, uint64_t hash,
                                 struct pair_timer timer)
{
    struct weir_bytes bytes, value;
    enum weir_result result = timer_make(state, key, &hash, timer, &bytes);
    if (result != WEIR_OK || state_get(state, bytes, hash, &value))
        return result;
    return state_put(state, bytes, hash, (struct weir_bytes){NULL, 0});
}

enum weir_result state_timer_cancel(struct state *state, struct weir_bytes key, uint64_t hash,
                                    struct pair_timer timer)
{
    struct weir_bytes bytes;
    enum weir_result result = timer_make(state, key, &hash, timer, &bytes);
    return result == WEIR_OK ? state_remove(state, bytes, hash) : result;
}

int64_t state_timer_next(const struct state *state, uint32_t kind)
{
    uint64_t rank;
    return order_first(&state->orders[kind], &rank) == ORDER_NONE
               ? INT64_MAX
               : (int64_t)(rank ^ (uint64_t)INT64_MIN);
}

enum weir_result state_timer_take(struct state *state, uint32_t kind, int64_t now,
                                  struct weir_bytes *key, struct pair_timer *timer)
{
    uint64_t hash;
    struct weir_bytes bytes;
    uint32_t id = order_first(&state->orders[kind], NULL);
    if (id == ORDER_NONE || state_timer_next(state, kind) > now)
        return WEIR_NOT_FOUND;
    struct pair pair = pair_read(entry_key(ordered_entry(state, id)));
    *timer = pair_read_timer(pair.sub);
    hash = state_hash(pair.key);
    enum weir_result result = timer_make(state, pair.key, &hash, *timer, &bytes);
    if (result != WEIR_OK)
        return result;
    *key = pair_read(bytes).key;
    return state_remove(state, bytes, hash);
}

uint64_t state_timer_count(const struct state *state, uint32_t kind)
{
    return state->orders[kind].count;
}
