/* SPDX-License-Identifier: Apache-2.0 */
#include "state_inside.h"
#include "state_list.h"

/* --- the scan ----------------------------------------------------------------------------- */

struct found {
    const unsigned char *entry; /* NULL: none */
    uint32_t tag;
    uint32_t equals; /* others of its tag that have not been visited */
};

static bool is_visited(const struct state *state, uint32_t tag, struct weir_bytes key)
{
    if (tag != state->scan_tag)
        return tag < state->scan_tag;
    struct weir_bytes last = {state->scan_key, state->scan_key_size};
    return state->scan_key != NULL && pair_compare_bytes(key, last) <= 0;
}

/* Of the slots with this home, the first in the order of the scan that has not been visited. */
static struct found find_next(const struct state *state, uint32_t home)
{
    struct found found = {NULL, 0, 0};
    uint64_t slot;
    for (uint32_t at = home; (slot = state->slots[at]) != 0; at = (at + 1) & state->mask) {
        uint32_t tag = slot_tag(slot);
        if (home_of(tag, state->shift) != home || (found.entry != NULL && tag > found.tag))
            continue;
        const unsigned char *entry = entry_at(state, slot_place(state, slot));
        if (is_visited(state, tag, entry_key(entry)) || is_expired(state, entry))
            continue;
        bool equal = found.entry != NULL && tag == found.tag;
        uint32_t equals = equal ? found.equals + 1 : 0;
        if (!equal || pair_compare_bytes(entry_key(entry), entry_key(found.entry)) < 0)
            found.entry = entry;
        found.tag = tag;
        found.equals = equals;
    }
    return found;
}

/* Where keys have one tag, the position is one of them. False: no memory. */
static bool scan_pass(struct state *state, const struct found *found)
{
    struct weir_bytes key = entry_key(found->entry);
    unsigned char *copy = NULL;
    if (found->equals > 0) {
        copy = memory_take(state->allocator, key.size + 1);
        if (copy == NULL)
            return false;
        copy_key(copy, key);
    }
    memory_release(state->allocator, state->scan_key);
    state->scan_key = copy;
    state->scan_key_size = found->equals > 0 ? key.size : 0;
    state->scan_tag = found->equals > 0 ? found->tag : (uint64_t)found->tag + 1;
    return true;
}

/* The next entry; NULL: an error, or the end. */
static const unsigned char *scan(struct state *state, enum weir_result *result)
{
    while (state->scan_tag <= UINT32_MAX) {
        uint32_t home = home_of((uint32_t)state->scan_tag, state->shift);
        struct found found = find_next(state, home);
        if (found.entry != NULL) {
            *result = scan_pass(state, &found) ? WEIR_OK : WEIR_NO_MEMORY;
            return *result == WEIR_OK ? found.entry : NULL;
        }
        memory_release(state->allocator, state->scan_key);
        state->scan_key = NULL;
        state->scan_key_size = 0;
        state->scan_tag = ((uint64_t)home + 1) << state->shift;
    }
    *result = WEIR_NOT_FOUND;
    return NULL;
}

enum weir_result state_scan_next(struct state *state, struct weir_bytes *key,
                                 struct weir_bytes *value)
{
    enum weir_result result;
    const unsigned char *entry = scan(state, &result);
    if (entry == NULL)
        return result;
    *key = entry_key(entry);
    *value = entry_payload(state, entry);
    return WEIR_OK;
}

/* Of a list that has expired, or is shorter than it was, elements are still there. */
static bool is_left_over(struct state *state, const unsigned char *entry)
{
    if (state->kind != STATE_LIST)
        return false;
    struct pair pair = pair_read(entry_key(entry));
    uint64_t length = state_list_count(state, pair.key, state_hash(pair.key));
    return pair.sub.size == 0 ? length == 0 : pair_read_index(pair.sub) >= length;
}

enum weir_result state_scan_entry(struct state *state, struct state_entry *found)
{
    enum weir_result result;
    const unsigned char *entry;
    do
        entry = scan(state, &result);
    while (entry != NULL && is_left_over(state, entry));
    if (entry == NULL)
        return result;
    struct weir_bytes key = entry_key(entry);
    bool header = state->kind == STATE_LIST && pair_read(key).sub.size == 0;
    *found = (struct state_entry){.key = key,
                                  .hash = state_entry_hash(state->kind, key),
                                  .value = entry_payload(state, entry),
                                  .expiry = expiry_of(state, entry),
                                  .is_value = !header && state->kind != STATE_TIMERS};
    return WEIR_OK;
}

void state_scan_rewind(struct state *state)
{
    memory_release(state->allocator, state->scan_key);
    state->scan_key = NULL;
    state->scan_key_size = 0;
    state->scan_tag = 0;
}

/* The first entry of another record's key; ORDER_NONE: there is none. */
static uint32_t next_key(const struct state *state)
{
    struct ordered_key from = {.beyond = true};
    if (state->scan_tag > 0)
        return ORDER_NONE;
    if (state->scan_key == NULL)
        return order_first(&state->orders[0], NULL);
    from.pair.key = (struct weir_bytes){state->scan_key, state->scan_key_size};
    return ordered_find(state, &from, true);
}

/* Of values that expire, any may have done so. */
static bool key_lives(const struct state *state, struct weir_bytes key, uint32_t id)
{
    while (id != ORDER_NONE) {
        const unsigned char *entry = ordered_entry(state, id);
        struct ordered_key from = {pair_read(entry_key(entry)), false};
        if (pair_compare_bytes(from.pair.key, key) != 0)
            return false;
        if (!is_expired(state, entry))
            return state->kind != STATE_LIST || list_length(entry_payload(state, entry).data) > 0;
        id = ordered_find(state, &from, true);
    }
    return false;
}

/* Behind all entries of that key. */
static bool key_pass(struct state *state, struct weir_bytes key)
{
    if (key.size > state->scan_key_size || state->scan_key == NULL) {
        unsigned char *room = memory_take(state->allocator, key.size + 1);
        if (room == NULL)
            return false;
        memory_release(state->allocator, state->scan_key);
        state->scan_key = room;
    }
    copy_key(state->scan_key, key);
    state->scan_key_size = key.size;
    return true;
}

enum weir_result state_scan_next_key(struct state *state, struct weir_bytes *key)
{
    assert(is_ordered(state->kind));
    for (uint32_t id; (id = next_key(state)) != ORDER_NONE;) {
        const unsigned char *entry = ordered_entry(state, id);
        struct pair pair = pair_read(entry_key(entry));
        bool lives = key_lives(state, pair.key, id);
        if (!key_pass(state, pair.key))
            return WEIR_NO_MEMORY;
        *key = (struct weir_bytes){state->scan_key, state->scan_key_size};
        if (lives)
            return WEIR_OK;
    }
    state->scan_tag = (uint64_t)UINT32_MAX + 1;
    memory_release(state->allocator, state->scan_key);
    state->scan_key = NULL;
    state->scan_key_size = 0;
    return WEIR_NOT_FOUND;
}
