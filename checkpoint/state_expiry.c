/* SPDX-License-Identifier: Apache-2.0
 *
 * Values that expire: 8 bytes before each say when, little-endian; INT64_MAX: never. Nobody waits
 * for it: whoever meets one that has expired takes it for absent. A sweep over the slots, one for
 * each SWEEP_BYTES that compaction is owed, removes them: 8 for an entry of 48 bytes. With so many,
 * about half as much as lives is expired and still there at most, when as many keys come as go.
 *
 * What is removed leaves a tombstone like any other key (L3): that an older segment's value has
 * expired as well could be taken for granted only if times to live never changed between two runs.
 */
#include "state_inside.h"

#define SWEEP_BYTES 24u
#define SWEEP_AHEAD 8u /* slots whose entries are on their way */

static int64_t expiry_load(const unsigned char *entry)
{
    return (int64_t)snapshot_load_u64(entry + ENTRY_HEADER_SIZE +
                                      entry_padded(entry_key_size(entry)));
}

/* What is written now. The elements of a list live as long as it does. */
static int64_t expiry_next(const struct state *state, const unsigned char *entry)
{
    bool element = state->kind == STATE_LIST && pair_read(entry_key(entry)).sub.size > 0;
    if (element || state->written == INT64_MIN ||
        state->ttl_ns >= (uint64_t)INT64_MAX - (uint64_t)state->written)
        return INT64_MAX;
    return state->written + (int64_t)state->ttl_ns;
}

void state_set_time(struct state *state, int64_t now)
{
    if (now > state->now && now != INT64_MAX)
        state->now = now;
    state->written = state->now;
}

void state_write_at(struct state *state, int64_t time)
{
    if (time > state->now)
        state->written = time;
}

int64_t state_time(const struct state *state)
{
    return state->now;
}

int64_t expiry_of(const struct state *state, const unsigned char *entry)
{
    return state->head > 0 ? expiry_load(entry) : INT64_MAX;
}

bool is_expired(const struct state *state, const unsigned char *entry)
{
    return state->head > 0 && expiry_load(entry) <= state->now;
}

void expiry_set(const struct state *state, unsigned char *entry)
{
    if (state->head == 0)
        return;
    unsigned char *to = entry_value(entry, entry_key_size(entry));
    snapshot_store_u64(to, (uint64_t)expiry_next(state, entry));
}

void expiry_touch(const struct state *state, unsigned char *entry)
{
    if (is_expired(state, entry))
        memset(entry_value(entry, entry_key_size(entry)) + state->head, 0,
               entry_padded(entry_value_size(entry)) - state->head);
    expiry_set(state, entry);
}

/* Answers how many slots' worth of work it was. */
static uint64_t sweep_slot(struct state *state, uint32_t at)
{
    if (state->slots[at] == 0)
        return 1;
    const unsigned char *entry = entry_at(state, slot_place(state, state->slots[at]));
    if (state->kind == STATE_LIST)
        return list_sweep(state, entry);
    if (is_expired(state, entry))
        (void)key_remove(state, at); /* no memory: another time */
    return 1;
}

void expiry_sweep(struct state *state, uint64_t debt)
{
    uint64_t slots = debt / SWEEP_BYTES;
    if (state->head == 0 && state->trailing == 0)
        return;
    for (uint64_t i = 0; i < slots && i <= state->mask;) {
        uint32_t at = state->swept++ & state->mask;
        uint64_t ahead = state->slots[(at + SWEEP_AHEAD) & state->mask];
        __builtin_prefetch(entry_at(state, slot_place(state, ahead)));
        i += sweep_slot(state, at);
        if (at == state->mask)
            index_shrink(state);
    }
}
