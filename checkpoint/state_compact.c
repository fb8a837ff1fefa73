/* SPDX-License-Identifier: Apache-2.0 */
#include "state_inside.h"

#define GARBAGE_FROM ((uint64_t)256 << 10) /* bytes that are not worth the trouble */
/* Segments. What was appended between two cuts becomes one, so it takes more at a time to get from
 * many to few than to keep them few, and writes less: MERGE_RATE. */
#define LIST_WANTED 64u
#define LIST_MOST 96u
#define CUT_STEP ((uint64_t)8 << 10) /* bytes a cut moves for that, for each time as many */

/* --- compaction --------------------------------------------------------------------------- */

/* The entry again, at the end of the log. */
static enum weir_result entry_again(struct state *state, const unsigned char *entry,
                                    uint32_t *place)
{
    size_t size = entry_whole_size(entry);
    enum weir_result result = entry_append(state, size, place);
    if (result != WEIR_OK)
        return result;
    unsigned char *copy = entry_at(state, *place);
    memcpy(copy, entry, size);
    entry_mark(copy, ENTRY_OLDER);
    return WEIR_OK;
}

enum weir_result entry_unseal(struct state *state, uint32_t at)
{
    uint32_t old = slot_place(state, state->slots[at]), place;
    enum weir_result result = entry_again(state, entry_at(state, old), &place);
    if (result != WEIR_OK)
        return result;
    now_dead(state, old);
    now_live(state, place, entry_whole_size(entry_at(state, place)));
    slot_move(state, at, place);
    return WEIR_OK;
}

enum weir_result tomb_append(struct state *state, struct weir_bytes key)
{
    size_t size = entry_size(key.size, 0);
    uint32_t place;
    enum weir_result result = entry_append(state, size, &place);
    if (result != WEIR_OK)
        return result;
    unsigned char *entry = entry_at(state, place);
    entry_set_sizes(entry, key.size, 0);
    entry_mark(entry, ENTRY_TOMB);
    copy_padded(entry + ENTRY_HEADER_SIZE, key.data, key.size);
    state->open->tombs += size;
    state->tombs += size;
    return WEIR_OK;
}

/* L3. Where the key lives, its entry is behind every tombstone; only that an older one may be in
 * the log must not be forgotten. */
static enum weir_result tomb_move(struct state *state, struct weir_bytes key, bool oldest)
{
    if (oldest)
        return WEIR_OK;
    uint32_t at = slot_find(state, key, state_entry_hash(state->kind, key));
    uint32_t place = slot_place(state, state->slots[at]);
    if (place == 0)
        return tomb_append(state, key);
    if (is_open(state, place))
        entry_mark(entry_at(state, place), ENTRY_OLDER);
    return WEIR_OK;
}

/* An entry of the victim that may have to be moved. */
struct candidate {
    const unsigned char *entry;
    struct walk before;
    uint32_t place;
    uint64_t hash;
};

/* L2. Whether it lives is asked of the index alone: places are unique, so no key is compared, for
 * which the newest entry would have to be fetched. */
static enum weir_result victim_move(struct state *state, const struct candidate *candidate)
{
    if (entry_is(candidate->entry, ENTRY_TOMB))
        return tomb_move(state, entry_key(candidate->entry), state->victim == state->log[0]);
    uint32_t at = home_of((uint32_t)candidate->hash, state->shift);
    for (uint64_t slot; (slot = state->slots[at]) != 0; at = (at + 1) & state->mask)
        if (slot_place(state, slot) == candidate->place)
            return is_expired(state, candidate->entry) ? key_remove(state, at)
                                                       : entry_unseal(state, at);
    return WEIR_OK;
}

static uint32_t log_index(const struct state *state, const struct link *segment)
{
    uint32_t index = 0;
    while (state->log[index] != segment)
        index++;
    return index;
}

/* The next entries of the victim, about `budget` bytes of them, with their slots on the way into
 * the cache: most of the time that compaction takes is waiting for them. */
static uint32_t victim_span(struct state *state, struct candidate span[SPAN], uint64_t *budget)
{
    uint32_t count = 0;
    while (*budget > 0 && count < SPAN) {
        struct candidate *next = &span[count];
        next->before = state->at;
        next->entry = walk_next(state, &state->at);
        if (next->entry == NULL)
            break;
        uint64_t size = entry_whole_size(next->entry);
        *budget -= size < *budget ? size : *budget;
        if (entry_is(next->entry, ENTRY_DEAD))
            continue;
        next->place = walk_place(state, state->at, next->entry);
        next->hash = state_entry_hash(state->kind, entry_key(next->entry));
        prefetch_slot(state, next->hash);
        count++;
    }
    return count;
}

/* Looks at about `budget` bytes of the victim. Without memory it stays where it is. */
static void compact(struct state *state, uint64_t budget)
{
    struct candidate span[SPAN];
    while (state->victim != NULL && budget > 0) {
        uint32_t count = victim_span(state, span, &budget);
        for (uint32_t i = 0; i < count; i++) {
            if (victim_move(state, &span[i]) == WEIR_OK)
                continue;
            state->at = span[i].before;
            return;
        }
        if (budget > 0 && count < SPAN)
            log_drop(state, log_index(state, state->victim));
    }
}

static void begin_victim(struct state *state, struct link *segment)
{
    state->victim = segment;
    state->at = (struct walk){segment->first, 0};
}

/* The sealed segment that has the largest share of garbage, at least a quarter. */
static struct link *most_garbage(const struct state *state)
{
    struct link *most = NULL;
    double share = 0.25;
    for (uint32_t i = 0; i + 1 < state->log_count; i++) {
        struct link *segment = state->log[i];
        double its = (double)garbage_of(state, segment) / (double)segment->bytes;
        if (its >= share) {
            share = its;
            most = segment;
        }
    }
    return most;
}

/* The smallest sealed segment but `other` and the victim; NULL: none. */
static struct link *smallest(const struct state *state, const struct link *other)
{
    struct link *least = NULL;
    for (uint32_t i = 0; i + 1 < state->log_count; i++) {
        struct link *segment = state->log[i];
        if (segment != other && segment != state->victim &&
            (least == NULL || segment->bytes < least->bytes))
            least = segment;
    }
    return least;
}

static bool is_too_much(const struct state *state, uint64_t bytes, uint64_t part)
{
    return bytes > GARBAGE_FROM && bytes > state->live / part;
}

/* Tombstones go when they are the oldest: what is older than they are is moved, then. */
static void choose_victim(struct state *state, bool may_seal)
{
    struct link *open = state->open, *segment = NULL;
    bool garbage = is_too_much(state, state->bytes - state->live, 2);
    bool tombs = is_too_much(state, state->tombs, 4);
    state->merging = state->log_count > (state->merging ? LIST_WANTED : LIST_MOST) + 1;
    if (!garbage && !tombs && !state->merging)
        return;
    log_drop_dead(state);
    /* Where values change their sizes and cuts are rare, most garbage is here. */
    if (may_seal && open->bytes - open->live > GARBAGE_FROM &&
        open->bytes - open->live > open->bytes / 2 && !log_seal(state))
        return;
    if (tombs && state->log_count > 1)
        segment = state->log[0];
    else if (garbage)
        segment = most_garbage(state);
    if (segment == NULL && state->merging)
        segment = smallest(state, NULL);
    if (segment != NULL)
        begin_victim(state, segment);
}

void compact_pay(struct state *state, bool may_seal)
{
    uint64_t debt = state->debt;
    expiry_sweep(state, debt);
    if (state->victim == NULL)
        choose_victim(state, may_seal);
    compact(state, debt);
    state->debt = 0; /* what compaction appends owes nothing */
}

/* All of a segment that is not the victim, whose turn goes on behind it. */
static bool move_whole(struct state *state, struct link *segment)
{
    struct link *victim = state->victim;
    struct walk at = state->at;
    begin_victim(state, segment);
    compact(state, UINT64_MAX);
    bool moved = state->victim == NULL;
    state->victim = victim;
    state->at = at;
    return moved;
}

/* More segments than are wanted: whole small ones go into the one that is about to be sealed, as
 * long as that makes them fewer. Large ones are pay's: whoever makes them appends as much. */
void compact_merge(struct state *state)
{
    uint64_t budget = CUT_STEP * (state->log_count / LIST_WANTED), debt = state->debt;
    while (state->log_count > LIST_WANTED + 1) {
        struct link *one = smallest(state, NULL);
        struct link *two = one == NULL ? NULL : smallest(state, one);
        bool alone = has_entries(state->open); /* there will be a segment anyway */
        if (one == NULL || (two == NULL && !alone))
            break;
        uint64_t cost = one->bytes + (alone ? 0 : two->bytes);
        if (cost > budget || !move_whole(state, one) || (!alone && !move_whole(state, two)))
            break;
        budget -= cost;
    }
    state->debt = debt;
}
