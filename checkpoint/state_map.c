/* SPDX-License-Identifier: Apache-2.0 */
#include "state_map.h"

#include "plant.h"
#include "state_inside.h"

bool state_map_get(struct state *state, struct weir_bytes key, uint64_t hash, struct weir_bytes sub,
                   struct weir_bytes *value)
{
    struct weir_bytes bytes;
    return pair_make(state, (struct pair){key, sub}, hash, &bytes, &hash) == WEIR_OK &&
           state_get(state, bytes, hash, value);
}

enum weir_result state_map_put(struct state *state, struct weir_bytes key, uint64_t hash,
                               struct weir_bytes sub, struct weir_bytes value)
{
    struct weir_bytes bytes;
    enum weir_result result = pair_make(state, (struct pair){key, sub}, hash, &bytes, &hash);
    return result == WEIR_OK ? state_put(state, bytes, hash, value) : result;
}

void *state_map_cell(struct state *state, struct weir_bytes key, uint64_t hash,
                     struct weir_bytes sub)
{
    struct weir_bytes bytes;
    return pair_make(state, (struct pair){key, sub}, hash, &bytes, &hash) == WEIR_OK
               ? state_cell(state, bytes, hash)
               : NULL;
}

enum weir_result state_map_remove(struct state *state, struct weir_bytes key, uint64_t hash,
                                  struct weir_bytes sub)
{
    struct weir_bytes bytes;
    enum weir_result result = pair_make(state, (struct pair){key, sub}, hash, &bytes, &hash);
    return result == WEIR_OK ? state_remove(state, bytes, hash) : result;
}

/* The same, of what has expired too; NULL at the end. */
static const unsigned char *next_entry(const struct state *state, struct weir_bytes key,
                                       const struct weir_bytes *after)
{
    struct ordered_key from = {{key, {NULL, 0}}, false};
    if (after != NULL)
        from.pair.sub = *after;
    uint32_t id = ordered_find(state, &from, after != NULL);
    if (WEIR_PLANT(sealed_entries_skipped) && id != ORDER_NONE &&
        !is_open(state, state->places[id]))
        id = ORDER_NONE;
    const unsigned char *entry = ordered_entry(state, id);
    return entry != NULL && pair_compare_bytes(pair_read(entry_key(entry)).key, key) == 0 ? entry
                                                                                          : NULL;
}

bool state_map_next(const struct state *state, struct weir_bytes key,
                    const struct weir_bytes *after, struct weir_bytes *sub,
                    struct weir_bytes *value)
{
    struct weir_bytes at;
    const unsigned char *entry = next_entry(state, key, after);
    while (entry != NULL && is_expired(state, entry)) {
        at = pair_read(entry_key(entry)).sub;
        entry = next_entry(state, key, &at);
    }
    if (entry == NULL)
        return false;
    *sub = pair_read(entry_key(entry)).sub;
    *value = entry_payload(state, entry);
    return true;
}

uint64_t state_map_count(const struct state *state, struct weir_bytes key)
{
    struct ordered_key first = {{key, {NULL, 0}}, false}, end = {{key, {NULL, 0}}, true};
    uint64_t count = 0;
    if (state->head == 0)
        return ordered_before(state, &end) - ordered_before(state, &first);
    struct weir_bytes sub, value;
    for (bool there = state_map_next(state, key, NULL, &sub, &value); there; count++)
        there = state_map_next(state, key, &sub, &sub, &value);
    return count;
}

enum weir_result state_map_clear(struct state *state, struct weir_bytes key, uint64_t hash,
                                 uint64_t most, uint64_t *removed)
{
    enum weir_result result = WEIR_OK;
    for (*removed = 0; *removed < most && result == WEIR_OK; ++*removed) {
        const unsigned char *entry = next_entry(state, key, NULL);
        if (entry == NULL)
            return WEIR_OK;
        result = state_map_remove(state, key, hash, pair_read(entry_key(entry)).sub);
        result = result == WEIR_NOT_FOUND ? WEIR_OK : result; /* it had expired */
    }
    return result;
}
