/* SPDX-License-Identifier: Apache-2.0 */
#include "state_inside.h"

#define SLOT_LIMIT ((uint64_t)1 << 32) /* a tag has no more bits to choose a home with */

/* Moves back what stands behind the gap, as far as its home allows. */
void slot_remove(struct state *state, uint32_t gap)
{
    uint32_t mask = state->mask;
    for (uint32_t at = (gap + 1) & mask; state->slots[at] != 0; at = (at + 1) & mask) {
        uint32_t home = home_of(slot_tag(state->slots[at]), state->shift);
        if (((at - home) & mask) < ((at - gap) & mask))
            continue;
        state->slots[gap] = state->slots[at];
        gap = at;
    }
    state->slots[gap] = 0;
}

/* Slots for `count` keys, at least `least`: a load of at most 3/8. At a half, entry_guess is wrong
 * for one key in eight, and at 1 M keys a prefetched update costs a fifth more; at a quarter it
 * gains a tenth, which up to 64 bytes of index a key are not worth. */
uint64_t index_slots_for(uint64_t count, uint64_t least)
{
    uint64_t wanted = least;
    while (3 * wanted < 8 * count)
        wanted *= 2;
    return wanted;
}

uint32_t index_shift_for(uint64_t slots)
{
    uint32_t shift = 32;
    while ((uint64_t)1 << (32 - shift) < slots)
        shift--;
    return shift;
}

/* Reads and writes both run forward. */
static enum weir_result index_resize(struct state *state, uint64_t wanted)
{
    if (wanted > SLOT_LIMIT)
        return WEIR_TOO_LARGE;
    uint64_t *slots = memory_zeroed(state->allocator, (size_t)wanted, sizeof *slots);
    if (slots == NULL)
        return WEIR_NO_MEMORY;
    uint32_t mask = (uint32_t)(wanted - 1), shift = index_shift_for(wanted);
    for (uint64_t i = 0; i < slot_count(state); i++)
        if (state->slots[i] != 0)
            slot_insert(slots, mask, shift, state->slots[i]);
    memory_release(state->allocator, state->slots);
    state->slots = slots;
    state->mask = mask;
    state->shift = shift;
    return WEIR_OK;
}

enum weir_result index_grow(struct state *state, uint64_t count)
{
    uint64_t wanted = index_slots_for(count, slot_count(state));
    return wanted == slot_count(state) ? WEIR_OK : index_resize(state, wanted);
}

void index_shrink(struct state *state)
{
    uint64_t wanted = index_slots_for(2 * state->count, FIRST_SLOTS);
    if (wanted <= slot_count(state) / 8)
        (void)index_resize(state, wanted);
}
