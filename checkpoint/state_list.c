/* SPDX-License-Identifier: Apache-2.0
 *
 * A list is an entry for each element, and one, its header, that tells how long it is:
 *
 *   header := u64 elements that it has | u64 elements that are in the index, as many or more
 *
 * What is in the index beyond its length is as good as not there: an append overwrites it, and
 * `trim` removes it from the end, TRIM at a time. A header that has expired counts as one of no
 * elements. A list without elements, even such, has no header.
 */
#include "state_list.h"

#include "plant.h"
#include "state_inside.h"

#define TRIM 64u

struct header {
    uint64_t length, indexed;
    uint64_t trailing; /* as state->trailing has it */
    uint32_t at;       /* its slot, or where it would go */
};

uint64_t list_trailing(const unsigned char *value)
{
    uint64_t length = snapshot_load_u64(value), indexed = snapshot_load_u64(value + 8);
    return indexed > length ? indexed - length : 0;
}

uint64_t list_length(const unsigned char *value)
{
    return snapshot_load_u64(value);
}

/* Zeros: there is none. */
static enum weir_result header_find(struct state *state, struct weir_bytes key, uint64_t hash,
                                    struct header *header)
{
    struct weir_bytes bytes;
    *header = (struct header){0};
    enum weir_result result = pair_make(state, (struct pair){key, {NULL, 0}}, hash, &bytes, &hash);
    if (result != WEIR_OK)
        return result;
    header->at = slot_find(state, bytes, hash);
    if (state->slots[header->at] == 0)
        return WEIR_OK;
    const unsigned char *entry = entry_at(state, slot_place(state, state->slots[header->at]));
    const unsigned char *value = entry_payload(state, entry).data;
    header->length = is_expired(state, entry) ? 0 : snapshot_load_u64(value);
    header->indexed = snapshot_load_u64(value + 8);
    header->trailing = list_trailing(value);
    return WEIR_OK;
}

static void header_store(struct state *state, unsigned char *value, const struct header *header)
{
    snapshot_store_u64(value, header->length);
    snapshot_store_u64(value + 8, header->indexed);
    state->trailing += list_trailing(value) - header->trailing;
}

static enum weir_result header_write(struct state *state, struct weir_bytes key, uint64_t hash,
                                     const struct header *header)
{
    struct weir_bytes bytes;
    unsigned char value[PAIR_LENGTH_SIZE];
    enum weir_result result = pair_make(state, (struct pair){key, {NULL, 0}}, hash, &bytes, &hash);
    if (result != WEIR_OK)
        return result;
    snapshot_store_u64(value, header->length);
    snapshot_store_u64(value + 8, header->indexed);
    result = key_write(state, bytes, hash, (struct weir_bytes){value, sizeof value});
    if (result == WEIR_OK)
        state->trailing += list_trailing(value) - header->trailing;
    return result;
}

/* Without a new time to live. */
static void header_change(struct state *state, const struct header *header)
{
    uint32_t place = slot_place(state, state->slots[header->at]);
    if (!is_open(state, place) && entry_unseal(state, header->at) != WEIR_OK)
        return; /* another time */
    unsigned char *entry = entry_at(state, slot_place(state, state->slots[header->at]));
    header_store(state, entry_value(entry, entry_key_size(entry)) + state->head, header);
}

static enum weir_result element_make(struct state *state, struct weir_bytes key, uint64_t *hash,
                                     uint64_t index, struct weir_bytes *bytes)
{
    unsigned char sub[PAIR_INDEX_SIZE];
    pair_write_index(sub, index);
    return pair_make(state, (struct pair){key, {sub, sizeof sub}}, *hash, bytes, hash);
}

static bool element_remove(struct state *state, struct weir_bytes key, uint64_t hash,
                           uint64_t index)
{
    struct weir_bytes bytes;
    if (element_make(state, key, &hash, index, &bytes) != WEIR_OK)
        return false;
    uint32_t at = slot_find(state, bytes, hash);
    return state->slots[at] == 0 || key_remove(state, at) == WEIR_OK;
}

/* Some of what is in the index beyond the list's length. */
static void trim(struct state *state, struct weir_bytes key, uint64_t hash)
{
    struct header header;
    if (header_find(state, key, hash, &header) != WEIR_OK)
        return;
    uint64_t before = header.indexed;
    while (header.indexed > header.length && before - header.indexed < TRIM &&
           element_remove(state, key, hash, header.indexed - 1))
        header.indexed--;
    struct header now;
    if (before == header.indexed && before > 0)
        return;
    if (header_find(state, key, hash, &now) != WEIR_OK || state->slots[now.at] == 0)
        return; /* removals have moved its slot */
    header.at = now.at;
    if (header.indexed > 0)
        header_change(state, &header);
    else if (key_remove(state, now.at) == WEIR_OK)
        state->trailing -= header.trailing;
}

/* Where there is more to remove, the sweep stays. */
uint64_t list_sweep(struct state *state, const unsigned char *entry)
{
    struct pair pair = pair_read(entry_key(entry));
    struct header header;
    if (pair.sub.size > 0 ||
        (!is_expired(state, entry) && list_trailing(entry_payload(state, entry).data) == 0))
        return 1;
    uint64_t hash = state_hash(pair.key);
    trim(state, pair.key, hash);
    if (header_find(state, pair.key, hash, &header) == WEIR_OK && header.indexed > header.length)
        state->swept = header.at;
    return TRIM;
}

/* --- what state_list.h says --------------------------------------------------------------- */

static enum weir_result paid(struct state *state, enum weir_result result)
{
    if (result != WEIR_OK)
        return result;
    pay(state, true);
    log_reclaim(state);
    return WEIR_OK;
}

static enum weir_result append(struct state *state, struct weir_bytes key, uint64_t hash,
                               struct weir_bytes value)
{
    struct header header;
    struct weir_bytes bytes;
    uint64_t own = hash;
    enum weir_result result = header_find(state, key, hash, &header);
    if (result == WEIR_OK)
        result = element_make(state, key, &own, header.length, &bytes);
    if (result != WEIR_OK)
        return result;
    bool there = state->slots[slot_find(state, bytes, own)] != 0;
    result = key_write(state, bytes, own, value);
    if (result != WEIR_OK)
        return result;
    uint64_t index = header.length++;
    header.indexed = header.indexed > header.length ? header.indexed : header.length;
    bool sealed = !is_open(state, slot_place(state, state->slots[header.at]));
    if (WEIR_PLANT(list_length_forgotten) && header.length > 1 && sealed)
        return WEIR_OK;
    result = header_write(state, key, hash, &header);
    if (result != WEIR_OK && !there)
        (void)element_remove(state, key, hash, index); /* of the open segment: it does not fail */
    return result;
}

enum weir_result state_list_append(struct state *state, struct weir_bytes key, uint64_t hash,
                                   struct weir_bytes value)
{
    if (state->value_size > 0 && value.size != state->value_size)
        return WEIR_INVALID;
    return paid(state, append(state, key, hash, value));
}

bool state_list_get(struct state *state, struct weir_bytes key, uint64_t hash, uint64_t index,
                    struct weir_bytes *value)
{
    struct weir_bytes bytes;
    return index < state_list_count(state, key, hash) &&
           element_make(state, key, &hash, index, &bytes) == WEIR_OK &&
           state_get(state, bytes, hash, value);
}

/* The list is written to, so it lives on. */
static enum weir_result put(struct state *state, struct weir_bytes key, uint64_t hash,
                            uint64_t index, struct weir_bytes value)
{
    struct header header;
    struct weir_bytes bytes;
    enum weir_result result = header_find(state, key, hash, &header);
    if (result == WEIR_OK && index >= header.length)
        result = WEIR_NOT_FOUND;
    if (result == WEIR_OK && state->head > 0)
        result = header_write(state, key, hash, &header);
    if (result == WEIR_OK)
        result = element_make(state, key, &hash, index, &bytes);
    return result == WEIR_OK ? key_write(state, bytes, hash, value) : result;
}

enum weir_result state_list_put(struct state *state, struct weir_bytes key, uint64_t hash,
                                uint64_t index, struct weir_bytes value)
{
    if (state->value_size > 0 && value.size != state->value_size)
        return WEIR_INVALID;
    return paid(state, put(state, key, hash, index, value));
}

uint64_t state_list_count(struct state *state, struct weir_bytes key, uint64_t hash)
{
    struct header header;
    return header_find(state, key, hash, &header) == WEIR_OK ? header.length : 0;
}

enum weir_result state_list_truncate(struct state *state, struct weir_bytes key, uint64_t hash,
                                     uint64_t count)
{
    struct header header;
    enum weir_result result = header_find(state, key, hash, &header);
    if (result != WEIR_OK || count >= header.length)
        return result;
    header.length = count;
    result = header_write(state, key, hash, &header);
    if (result == WEIR_OK)
        trim(state, key, hash);
    return paid(state, result);
}
