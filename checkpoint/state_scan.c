/* SPDX-License-Identifier: Apache-2.0 */
#include "state_inside.h"

/* --- the scan ----------------------------------------------------------------------------- */

static int compare_keys(struct weir_bytes left, struct weir_bytes right)
{
    size_t least = left.size < right.size ? left.size : right.size;
    int order = least > 0 ? memcmp(left.data, right.data, least) : 0;
    return order != 0 ? order : (left.size > right.size) - (left.size < right.size);
}

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
    return state->scan_key != NULL && compare_keys(key, last) <= 0;
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
        const unsigned char *entry = entry_at(state, slot_place(slot));
        if (is_visited(state, tag, entry_key(entry)))
            continue;
        bool equal = found.entry != NULL && tag == found.tag;
        uint32_t equals = equal ? found.equals + 1 : 0;
        if (!equal || compare_keys(entry_key(entry), entry_key(found.entry)) < 0)
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

enum weir_result state_scan_next(struct state *state, struct weir_bytes *key,
                                 struct weir_bytes *value)
{
    while (state->scan_tag <= UINT32_MAX) {
        uint32_t home = home_of((uint32_t)state->scan_tag, state->shift);
        struct found found = find_next(state, home);
        if (found.entry != NULL) {
            if (!scan_pass(state, &found))
                return WEIR_NO_MEMORY;
            *key = entry_key(found.entry);
            *value = (struct weir_bytes){found.entry + ENTRY_HEADER_SIZE + entry_padded(key->size),
                                         entry_value_size(found.entry)};
            return WEIR_OK;
        }
        memory_release(state->allocator, state->scan_key);
        state->scan_key = NULL;
        state->scan_key_size = 0;
        state->scan_tag = ((uint64_t)home + 1) << state->shift;
    }
    return WEIR_NOT_FOUND;
}

void state_scan_rewind(struct state *state)
{
    memory_release(state->allocator, state->scan_key);
    state->scan_key = NULL;
    state->scan_key_size = 0;
    state->scan_tag = 0;
}
