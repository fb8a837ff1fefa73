/* SPDX-License-Identifier: Apache-2.0 */
#include "state_inside.h"

#include "error.h"

#define PILES_LOG2 8u
#define PILES (1u << PILES_LOG2)
#define FIRST_ROOM 16u
#define LAST_ROOM 1024u
#define PART_SLOTS ((uint64_t)1 << 16) /* at least: what stays in a processor's own cache */
#define AHEAD 12u                      /* slots, and then entries, on their way from memory */

/* Slots of entries whose tags have the same highest bits, in the order of the log: with them it is
 * known where in the index they go, and nothing else is touched meanwhile. */
struct pile_block {
    struct pile_block *next;
    uint32_t count, room;
    uint64_t slots[];
};

struct pile {
    struct pile_block *first, *last; /* NULL: nothing */
};

struct build {
    uint32_t hands;
    struct hand {
        struct pile piles[PILES];
        uint64_t values, tombs; /* entries */
    } of[];                     /* each touches its own alone */
};

/* A range of the index, and the piles that go there. Parts share nothing that anyone writes. */
struct part {
    struct state *state;
    uint32_t first_pile, end_pile;
    uint64_t end;     /* of its slots */
    uint64_t entered; /* slots taken */
    uint64_t spilled; /* slots that found no room before the end: still in the piles */
    uint64_t older;   /* values that are not the newest of their keys */
    uint64_t *lost;   /* bytes of those, by segment */
    bool is_twice;    /* a key in a segment */
};

struct work {
    struct part *parts;
    uint64_t *lost;
};

/* --- hands -------------------------------------------------------------------------------- */

uint32_t crew_hands(const struct state_crew *crew)
{
    return crew == NULL ? 1 : crew->hands;
}

void crew_do(const struct state_crew *crew, uint32_t count, state_part *part, void *work)
{
    if (crew != NULL)
        crew->run(crew->self, count, part, work);
    for (uint32_t i = 0; crew == NULL && i < count; i++)
        part(work, i, 0);
}

/* --- piles -------------------------------------------------------------------------------- */

static bool pile_grow(const struct state *state, struct pile *pile)
{
    uint32_t room = pile->last == NULL ? FIRST_ROOM : 2 * pile->last->room;
    room = room > LAST_ROOM ? LAST_ROOM : room;
    struct pile_block *block =
        memory_take(state->allocator, sizeof *block + room * sizeof *block->slots);
    if (block == NULL)
        return false;
    *block = (struct pile_block){.room = room};
    if (pile->last == NULL)
        pile->first = block;
    else
        pile->last->next = block;
    pile->last = block;
    return true;
}

static void pile_free(const struct state *state, struct pile *pile)
{
    for (struct pile_block *block, *next = pile->first; (block = next) != NULL;) {
        next = block->next;
        memory_release(state->allocator, block);
    }
    *pile = (struct pile){0};
}

bool build_begin(struct state *state, uint32_t hands)
{
    if (state->build != NULL && state->build->hands >= hands)
        return true;
    assert(state->build == NULL);
    state->build =
        memory_zeroed(state->allocator, 1, sizeof *state->build + hands * sizeof *state->build->of);
    if (state->build != NULL)
        state->build->hands = hands;
    return state->build != NULL;
}

bool build_note(struct state *state, uint32_t number, uint64_t hash, uint32_t place, bool tomb)
{
    struct hand *hand = &state->build->of[number];
    uint32_t tag = (uint32_t)hash;
    struct pile *pile = &hand->piles[tag >> (32 - PILES_LOG2)];
    if ((pile->last == NULL || pile->last->count == pile->last->room) && !pile_grow(state, pile))
        return false;
    pile->last->slots[pile->last->count++] = slot_make(tag, place);
    hand->values += !tomb;
    hand->tombs += tomb;
    return true;
}

void build_free(struct state *state)
{
    for (uint32_t k = 0; state->build != NULL && k < state->build->hands; k++)
        for (uint32_t i = 0; i < PILES; i++)
            pile_free(state, &state->build->of[k].piles[i]);
    memory_release(state->allocator, state->build);
    state->build = NULL;
}

/* --- parts -------------------------------------------------------------------------------- */

/* Of two entries of a key the one that counts, which is the later one: in a log that is loaded,
 * numbers of chunks ascend. In one segment the earlier one can only be a tombstone. */
static uint64_t newer_of(struct part *part, uint64_t slot, uint64_t other)
{
    const struct state *state = part->state;
    uint64_t older = slot_lead(slot) < slot_lead(other) ? slot : other;
    const struct link *segment = chunk_of(state, slot_lead(older))->segment;
    const unsigned char *entry = entry_at(state, slot_lead(older));
    uint64_t newer = older == slot ? other : slot;
    if (!entry_is(entry, ENTRY_TOMB)) {
        part->is_twice |= segment == chunk_of(state, slot_lead(newer))->segment;
        part->older++;
        part->lost[segment->number] += entry_whole_size(entry);
    }
    return newer;
}

static bool is_same_key(const struct state *state, uint64_t slot, uint64_t other)
{
    if (slot_tag(slot) != slot_tag(other))
        return false;
    struct weir_bytes key = entry_key(entry_at(state, slot_lead(slot)));
    return key_equal(entry_at(state, slot_lead(other)), key.data, key.size);
}

/* False: it must go behind the part's end. */
static bool part_enter(struct part *part, uint64_t slot)
{
    uint64_t *slots = part->state->slots;
    uint64_t at = home_of(slot_tag(slot), part->state->shift);
    while (at < part->end && slots[at] != 0 && !is_same_key(part->state, slot, slots[at]))
        at++;
    if (at == part->end)
        return false;
    part->entered += slots[at] == 0;
    slots[at] = slots[at] == 0 ? slot : newer_of(part, slot, slots[at]);
    return true;
}

/* Where the key seems to be there already, both entries will be read. Inlined by force, as
 * prefetch_slot is. */
static inline __attribute__((always_inline)) void prefetch_entries(const struct part *part,
                                                                   uint64_t slot)
{
    const struct state *state = part->state;
    uint64_t at = home_of(slot_tag(slot), state->shift);
    if (slot_tag(state->slots[at]) != slot_tag(slot) && at + 1 < part->end)
        at++; /* what is beyond the end, another hand may be writing */
    uint64_t other = state->slots[at];
    if (slot_tag(other) != slot_tag(slot) || slot_lead(other) == 0)
        return;
    __builtin_prefetch(entry_at(state, slot_lead(slot)));
    __builtin_prefetch(entry_at(state, slot_lead(other)));
}

/* What spills is moved to the front of its block. */
static void part_take(struct part *part, struct pile_block *block)
{
    const struct state *state = part->state;
    uint32_t count = block->count;
    block->count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (i + 2 * AHEAD < count)
            prefetch_slot(state, slot_tag(block->slots[i + 2 * AHEAD]));
        if (i + AHEAD < count)
            prefetch_entries(part, block->slots[i + AHEAD]);
        if (!part_enter(part, block->slots[i]))
            block->slots[block->count++] = block->slots[i];
    }
    part->spilled += block->count;
}

static void part_fill(void *of, uint32_t index, uint32_t number)
{
    struct part *part = &((struct work *)of)->parts[index];
    struct build *build = part->state->build;
    (void)number;
    for (uint32_t k = 0; k < build->hands; k++)
        for (uint32_t i = part->first_pile; i < part->end_pile; i++) {
            struct pile *pile = &build->of[k].piles[i];
            uint64_t before = part->spilled;
            for (struct pile_block *block = pile->first; block != NULL; block = block->next)
                part_take(part, block);
            if (part->spilled == before)
                pile_free(part->state, pile);
        }
}

static void enter_spilled_of(struct part *part, const struct pile_block *block)
{
    const struct state *state = part->state;
    for (uint32_t i = 0; i < block->count; i++) {
        uint64_t slot = block->slots[i];
        uint32_t at = home_of(slot_tag(slot), state->shift);
        while (state->slots[at] != 0 && !is_same_key(state, slot, state->slots[at]))
            at = (at + 1) & state->mask;
        state->slots[at] = state->slots[at] == 0 ? slot : newer_of(part, slot, state->slots[at]);
    }
}

/* Those that go behind their part's end, which may be the index's. */
static void enter_spilled(struct part *part)
{
    const struct build *build = part->state->build;
    for (uint32_t k = 0; k < build->hands; k++)
        for (uint32_t i = part->first_pile; i < part->end_pile; i++)
            for (const struct pile_block *block = build->of[k].piles[i].first; block != NULL;
                 block = block->next)
                enter_spilled_of(part, block);
}

/* --- the index ---------------------------------------------------------------------------- */

static uint32_t part_count_for(uint64_t slots)
{
    uint64_t count = slots / PART_SLOTS;
    return count < 1 ? 1 : count > PILES ? PILES : (uint32_t)count;
}

static bool make_parts(struct state *state, struct work *work, uint32_t count)
{
    work->parts = memory_zeroed(state->allocator, count, sizeof *work->parts);
    work->lost =
        memory_zeroed(state->allocator, (size_t)count * state->log_count, sizeof *work->lost);
    if (work->parts == NULL || work->lost == NULL)
        return false;
    for (uint32_t i = 0; i < count; i++)
        work->parts[i] = (struct part){.state = state,
                                       .first_pile = i * (PILES / count),
                                       .end_pile = (i + 1) * (PILES / count),
                                       .end = (i + 1) * (slot_count(state) / count),
                                       .lost = work->lost + (size_t)i * state->log_count};
    return true;
}

static void reckon(struct state *state, const struct work *work, uint32_t count)
{
    for (uint32_t k = 0; k < state->build->hands; k++)
        state->count += state->build->of[k].values;
    for (uint32_t i = 0; i < count; i++)
        state->count -= work->parts[i].older;
    for (uint32_t k = 0; k < state->log_count; k++) {
        struct link *segment = state->log[k];
        segment->live = segment->bytes - segment->tombs;
        for (uint32_t i = 0; i < count; i++)
            segment->live -= work->parts[i].lost[k];
        state->live += segment->live;
    }
}

/* There is an empty slot: else nothing that is not there is ever found. Only a part that tells of
 * fewer keys than there are comes here without. */
static bool fits(const struct state *state, const struct work *work, uint32_t count)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < count; i++)
        most += work->parts[i].entered + work->parts[i].spilled;
    return most < slot_count(state);
}

static enum weir_result fill(struct state *state, struct work *work, const struct state_crew *crew)
{
    uint32_t count = part_count_for(slot_count(state));
    bool is_twice = false;
    if (!make_parts(state, work, count))
        return WEIR_NO_MEMORY;
    for (uint32_t i = 0; i < state->log_count; i++)
        state->log[i]->number = i;
    crew_do(crew, count, part_fill, work);
    if (!fits(state, work, count))
        return WEIR_DAMAGED;
    for (uint32_t i = 0; i < count; i++) {
        if (work->parts[i].spilled > 0)
            enter_spilled(&work->parts[i]);
        is_twice |= work->parts[i].is_twice;
    }
    reckon(state, work, count);
    return is_twice ? WEIR_DAMAGED : WEIR_OK;
}

enum weir_result build_index(struct state *state, uint64_t keys, const struct state_crew *crew)
{
    struct work work = {0};
    if (state->build == NULL)
        return WEIR_OK;
    uint64_t tombs = 0;
    for (uint32_t k = 0; k < state->build->hands; k++)
        tombs += state->build->of[k].tombs;
    enum weir_result result = index_grow(state, keys + tombs);
    if (result == WEIR_OK)
        result = fill(state, &work, crew);
    memory_release(state->allocator, work.parts);
    memory_release(state->allocator, work.lost);
    build_free(state);
    return result;
}
