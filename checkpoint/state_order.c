/* SPDX-License-Identifier: Apache-2.0
 *
 * The order of entries: maps by record key and sub key, timers by time, lists by record key (only
 * the entries that tell how long they are). Slots lead to ids and ids to places, so that neither a
 * write nor compaction, which move entries, touches the order; 4 bytes an entry, and one more miss.
 * It is not stored: a load builds it.
 */
#include "plant.h"
#include "state_inside.h"

#define FIRST_PLACES 16u

bool is_ordered(enum state_kind kind)
{
    return kind != STATE_VALUE;
}

uint32_t pair_upper(struct weir_bytes key)
{
    return (uint32_t)(state_hash(pair_read(key).key) >> 32);
}

/* --- ids ---------------------------------------------------------------------------------- */

bool places_grow(struct state *state, uint32_t count)
{
    if (state->free_place != 0 && count == 1)
        return true;
    uint64_t wanted = (uint64_t)state->place_end + count, room = state->place_room;
    if (wanted <= room)
        return true;
    room = room == 0 ? FIRST_PLACES : room;
    while (room < wanted)
        room *= 2;
    if (room > UINT32_MAX)
        return false;
    uint32_t *places =
        memory_resize(state->allocator, state->places, state->place_room * sizeof *places,
                      (size_t)room * sizeof *places);
    if (places == NULL)
        return false;
    state->places = places;
    state->place_room = (uint32_t)room;
    return true;
}

uint32_t lead_new(struct state *state, uint32_t place)
{
    if (state->places == NULL)
        return place;
    uint32_t id = state->free_place;
    if (id != 0) {
        state->free_place = state->places[id];
    } else {
        assert(state->place_end < state->place_room);
        id = state->place_end++;
    }
    state->places[id] = place;
    return id;
}

/* A mark for every place at which an entry may stand, and the marks before each 64 of them. */
bool places_assign(struct state *state)
{
    size_t words = (size_t)state->chunk_end * (CHUNK_UNITS / 64);
    uint64_t *marks = memory_zeroed(state->allocator, words, sizeof *marks);
    uint32_t *before = memory_take(state->allocator, words * sizeof *before), count = 0;
    bool enough = marks != NULL && before != NULL;
    for (uint64_t i = 0; enough && i < slot_count(state); i++)
        marks[slot_lead(state->slots[i]) / 64] |= (uint64_t)1 << slot_lead(state->slots[i]) % 64;
    if (enough)
        marks[0] = 0; /* nowhere: where empty slots lead to */
    for (size_t i = 0; enough && i < words; i++) {
        before[i] = count;
        count += (uint32_t)__builtin_popcountll(marks[i]);
    }
    enough = enough && places_grow(state, count);
    for (uint64_t i = 0; enough && i < slot_count(state); i++) {
        uint32_t place = slot_lead(state->slots[i]);
        uint64_t lower = marks[place / 64] & (((uint64_t)1 << place % 64) - 1);
        uint32_t id = before[place / 64] + (uint32_t)__builtin_popcountll(lower) + 1;
        if (place == 0)
            continue;
        state->places[id] = place;
        state->slots[i] = slot_make(slot_tag(state->slots[i]), id);
    }
    state->place_end += enough ? count : 0;
    memory_release(state->allocator, marks);
    memory_release(state->allocator, before);
    return enough;
}

void place_release(struct state *state, uint32_t id)
{
    state->places[id] = state->free_place;
    state->free_place = id;
}

/* --- orders ------------------------------------------------------------------------------- */

unsigned char *ordered_entry(const struct state *state, uint32_t id)
{
    return id == ORDER_NONE ? NULL : entry_at(state, state->places[id]);
}

static int compare(const void *owner, const void *wanted, uint32_t id)
{
    const struct ordered_key *key = wanted;
    struct pair pair = pair_read(entry_key(ordered_entry(owner, id)));
    int way = pair_compare_bytes(key->pair.key, pair.key);
    if (way != 0)
        return way;
    return key->beyond ? 1 : pair_compare_bytes(key->pair.sub, pair.sub);
}

bool places_begin(struct state *state)
{
    if (!is_ordered(state->kind))
        return true;
    for (uint32_t i = 0; i < PAIR_TIMER_KINDS; i++)
        order_init(&state->orders[i], state->allocator, compare, state);
    if (!places_grow(state, 1))
        return false;
    places_clear(state);
    return true;
}

void places_clear(struct state *state)
{
    if (state->places == NULL)
        return;
    for (uint32_t i = 0; i < PAIR_TIMER_KINDS; i++)
        order_free(&state->orders[i]);
    state->places[0] = 0;
    state->trailing = 0;
    state->place_end = 1;
    state->free_place = 0;
}

void places_free(struct state *state)
{
    places_clear(state);
    memory_release(state->allocator, state->places);
}

/* Which of the orders, and where in it; NULL: the entry is in none. */
static struct order *order_of(struct state *state, const struct pair *pair, uint64_t *rank)
{
    if (state->kind == STATE_TIMERS) {
        struct pair_timer timer = pair_read_timer(pair->sub);
        *rank = pair_time_rank(timer.time);
        return &state->orders[timer.kind];
    }
    *rank = state_hash(pair->key);
    return state->kind == STATE_LIST && pair->sub.size > 0 ? NULL : &state->orders[0];
}

bool ordered_prepare(struct state *state, struct weir_bytes key)
{
    struct pair pair = pair_read(key);
    uint64_t rank;
    struct order *order = order_of(state, &pair, &rank);
    return places_grow(state, 1) && (order == NULL || order_prepare(order));
}

void ordered_enter(struct state *state, struct weir_bytes key, uint32_t id)
{
    struct ordered_key wanted = {pair_read(key), false};
    uint64_t rank;
    struct order *order = order_of(state, &wanted.pair, &rank);
    if (order != NULL)
        order_insert(order, (struct order_key){rank, &wanted}, id);
}

void ordered_leave(struct state *state, struct weir_bytes key)
{
    struct ordered_key wanted = {pair_read(key), false};
    uint64_t rank;
    struct order *order = order_of(state, &wanted.pair, &rank);
    if (order != NULL)
        order_remove(order, (struct order_key){rank, &wanted});
}

/* In the sequence of ids, which is that of the log: timers that were set in time's order come in
 * it. */
bool ordered_build(struct state *state)
{
    for (uint32_t id = 1; id < state->place_end; id++) {
        bool planted = WEIR_PLANT(key_timer_lost) && state->kind == STATE_TIMERS && id % 2 == 1;
        if (state->places[id] == 0 || planted)
            continue;
        const unsigned char *entry = entry_at(state, state->places[id]);
        struct weir_bytes key = entry_key(entry);
        if (!ordered_prepare(state, key))
            return false;
        ordered_enter(state, key, id);
        if (state->kind == STATE_LIST && pair_read(key).sub.size == 0)
            state->trailing += list_trailing(entry_payload(state, entry).data);
    }
    for (uint32_t id = state->place_end - 1; id > 0; id--)
        if (state->places[id] == 0)
            place_release(state, id);
    return true;
}

uint32_t ordered_find(const struct state *state, const struct ordered_key *key, bool behind)
{
    struct order_key wanted = {state_hash(key->pair.key), key};
    return order_find(&state->orders[0], wanted, behind, NULL);
}

uint64_t ordered_before(const struct state *state, const struct ordered_key *key)
{
    struct order_key wanted = {state_hash(key->pair.key), key};
    return order_before(&state->orders[0], wanted);
}
