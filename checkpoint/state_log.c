/* SPDX-License-Identifier: Apache-2.0 */
#include "state_inside.h"

#define CHUNK_LEAST ((size_t)4096)
#define CHUNK_LIMIT (1u << (32 - CHUNK_UNITS_LOG2))
#define FIRST_SEGMENTS 8u
#define TIDY_RANGES 2u
#define OPEN_PART 32u /* a log is sealed for moving in no smaller parts: segments must stay few */

/* --- chunks ------------------------------------------------------------------------------- */

/* A number that is free; 0 and an error. */
static enum weir_result chunk_number(struct state *state, uint32_t *number)
{
    if (state->free_chunk != 0) {
        *number = state->free_chunk;
        return WEIR_OK;
    }
    if (state->chunk_end == CHUNK_LIMIT)
        return WEIR_TOO_LARGE;
    if (state->chunk_end == state->chunk_room) {
        size_t old_size = state->chunk_room * sizeof *state->chunks;
        struct chunk *chunks =
            memory_resize(state->allocator, state->chunks, old_size, 2 * old_size);
        if (chunks == NULL)
            return WEIR_NO_MEMORY;
        state->chunks = chunks;
        state->chunk_room *= 2;
    }
    state->chunks[state->chunk_end] = (struct chunk){0};
    *number = state->chunk_end;
    return WEIR_OK;
}

enum weir_result chunk_enter(struct state *state, struct link *segment, unsigned char *data,
                             size_t size, uint32_t *number)
{
    enum weir_result result = chunk_number(state, number);
    if (result != WEIR_OK)
        return result;
    struct chunk *chunk = &state->chunks[*number];
    if (*number == state->chunk_end)
        state->chunk_end++;
    else
        state->free_chunk = chunk->next;
    *chunk = (struct chunk){.data = data, .segment = segment, .size = (uint32_t)size};
    if (segment->first == 0)
        segment->first = *number;
    else
        state->chunks[segment->last].next = *number;
    segment->last = *number;
    return WEIR_OK;
}

/* A quarter of what the segment has: neither many chunks nor much that stays empty. */
static size_t chunk_size_for(const struct link *segment, size_t entry_size)
{
    size_t size = (size_t)(segment->bytes / 4) & ~(CHUNK_LEAST - 1);
    size = size < CHUNK_LEAST ? CHUNK_LEAST : size > CHUNK_SIZE ? CHUNK_SIZE : size;
    return entry_size > size ? entry_size : size;
}

/* --- moving out --------------------------------------------------------------------------- */

/* The oldest go first: what is changed often is in the newest. */
static void move_out(struct state *state, uint64_t bytes)
{
    bool failed = false;
    for (uint32_t i = 0; i + 1 < state->log_count && bytes > 0 && !failed; i++) {
        struct segment *segment = state->log[i]->memory;
        uint64_t moved = segment_move(segment, bytes);
        state->memory -= moved;
        failed = moved < bytes && segment->ranges.next != NULL;
        bytes -= moved < bytes ? moved : bytes;
    }
}

/* Before `more` bytes come. What released segments have left counts as long as it is there, and
 * goes first (X5). Twice as many bytes go at most, or an append would take long after the budget
 * was overdrawn elsewhere. */
static void make_room(struct state *state, uint64_t more)
{
    annex_tidy(state->annex, TIDY_RANGES);
    uint64_t excess = annex_excess(state->annex, more);
    if (excess > 0)
        move_out(state, excess < 2 * more ? excess : 2 * more);
}

void state_use_annex(struct state *state, struct annex *annex)
{
    state->annex = annex;
    for (uint32_t i = 0; i < state->log_count; i++)
        state->log[i]->memory->annex = annex;
}

void state_ease(struct state *state)
{
    if (state->annex == NULL)
        return;
    log_reclaim(state); /* I5: of what only cells have changed nobody else would */
    annex_tidy(state->annex, 1);
    if (annex_excess(state->annex, 0) == 0)
        return;
    make_room(state, CHUNK_SIZE);
    if (annex_excess(state->annex, 0) > 0 && state->open->bytes > CHUNK_LEAST &&
        state->open->bytes > state->bytes / OPEN_PART)
        (void)log_seal(state); /* without memory, the next time */
}

static enum weir_result chunk_add(struct state *state, size_t entry_size)
{
    struct link *open = state->open;
    uint32_t number;
    enum weir_result result = chunk_number(state, &number);
    if (result != WEIR_OK)
        return result;
    size_t size = chunk_size_for(open, entry_size);
    uint64_t before = segment_bytes(open->memory);
    if (state->annex != NULL && !state->cutting)
        make_room(state, size);
    if (!segment_add(open->memory, size))
        return WEIR_NO_MEMORY;
    state->memory += segment_bytes(open->memory) - before;
    unsigned char *data = open->memory->blocks[open->memory->count - 1].data;
    return chunk_enter(state, open, data, size, &number); /* there is a number: it can't fail */
}

/* Room for an entry at the end of the log; *place is where. A giant's chunk is full, so what
 * follows it finds no room there. */
enum weir_result entry_append(struct state *state, size_t size, uint32_t *place)
{
    struct link *open = state->open;
    struct chunk *last = &state->chunks[open->last];
    if (size > last->size - last->used) {
        enum weir_result result = chunk_add(state, size);
        if (result != WEIR_OK)
            return result;
        last = &state->chunks[open->last];
    }
    *place = place_make(open->last, last->used / UNIT);
    last->used += (uint32_t)size;
    open->memory->blocks[open->memory->count - 1].used = last->used;
    open->bytes += size;
    state->bytes += size;
    state->debt += (state->merging ? MERGE_RATE : COMPACT_RATE) * size;
    return WEIR_OK;
}

/* --- what lives --------------------------------------------------------------------------- */

void now_dead(struct state *state, uint32_t place)
{
    unsigned char *entry = entry_at(state, place);
    size_t size = entry_whole_size(entry);
    struct link *segment = chunk_of(state, place)->segment;
    segment->live -= size;
    state->live -= size;
    state->debt += size;
    if (segment != state->open)
        return;
    entry_mark(entry, ENTRY_DEAD);
    if (state->scribbles)
        memset(entry_value(entry, entry_key_size(entry)), state->scribble,
               entry_padded(entry_value_size(entry)));
}

uint64_t garbage_of(const struct state *state, const struct link *segment)
{
    bool oldest = segment == state->log[0];
    return segment->bytes - segment->live - (oldest ? 0 : segment->tombs);
}

/* --- walking a segment -------------------------------------------------------------------- */

unsigned char *walk_next(const struct state *state, struct walk *walk)
{
    while (walk->chunk != 0 && walk->offset == state->chunks[walk->chunk].used)
        *walk = (struct walk){state->chunks[walk->chunk].next, 0};
    if (walk->chunk == 0)
        return NULL;
    unsigned char *entry = state->chunks[walk->chunk].data + walk->offset;
    walk->offset += (uint32_t)entry_whole_size(entry);
    return entry;
}

uint32_t walk_place(const struct state *state, struct walk walk, const unsigned char *entry)
{
    return place_make(walk.chunk, (size_t)(entry - state->chunks[walk.chunk].data) / UNIT);
}

/* --- the log ------------------------------------------------------------------------------ */

static void link_free(struct state *state, struct link *segment)
{
    if (segment == NULL)
        return;
    segment_release(segment->memory);
    memory_release(state->allocator, segment);
}

static struct link *link_new(struct state *state)
{
    struct link *segment = memory_zeroed(state->allocator, 1, sizeof *segment);
    if (segment == NULL)
        return NULL;
    segment->memory = segment_new(state->allocator);
    if (segment->memory == NULL) {
        link_free(state, segment);
        return NULL;
    }
    segment->memory->orphaned = state->orphaned;
    segment->memory->upper = is_ordered(state->kind) ? pair_upper : NULL;
    segment->memory->annex = state->annex;
    return segment;
}

bool log_room(struct state *state)
{
    if (state->log_count < state->log_room)
        return true;
    uint32_t room = state->log_room > 0 ? 2 * state->log_room : FIRST_SEGMENTS;
    struct link **log = memory_resize(state->allocator, state->log, state->log_room * sizeof *log,
                                      room * sizeof *log);
    if (log == NULL)
        return false;
    state->log = log;
    state->log_room = room;
    return true;
}

bool log_push(struct state *state)
{
    struct link *segment = log_room(state) ? link_new(state) : NULL;
    if (segment == NULL)
        return false;
    state->log[state->log_count++] = segment;
    state->memory += segment_bytes(segment->memory);
    return true;
}

bool log_seal(struct state *state)
{
    if (state->open->bytes == 0)
        return true;
    if (!log_push(state))
        return false;
    state->open = state->log[state->log_count - 1];
    return true;
}

void log_drop(struct state *state, uint32_t index)
{
    struct link *segment = state->log[index];
    state->log_count--;
    memmove(state->log + index, state->log + index + 1,
            (state->log_count - index) * sizeof *state->log);
    state->bytes -= segment->bytes;
    state->live -= segment->live;
    state->tombs -= segment->tombs;
    segment->next = state->left;
    state->left = segment;
    if (state->victim == segment)
        state->victim = NULL;
}

/* Their numbers, all at once: no slot leads there. */
static void free_chunks(struct state *state, const struct link *segment)
{
    if (segment->first == 0)
        return;
    state->chunks[segment->last].next = state->free_chunk;
    state->free_chunk = segment->first;
}

uint32_t log_left(const struct state *state)
{
    uint32_t count = 0;
    for (const struct link *segment = state->left; segment != NULL; segment = segment->next)
        count++;
    return count;
}

void log_share_left(const struct state *state, struct segment **segments)
{
    for (const struct link *segment = state->left; segment != NULL; segment = segment->next)
        *segments++ = segment_share(segment->memory);
}

void log_reclaim(struct state *state)
{
    for (struct link *segment, *next = state->left; (segment = next) != NULL;) {
        next = segment->next;
        free_chunks(state, segment);
        state->memory -= segment_bytes(segment->memory);
        segment_abandon(segment->memory);
        segment->memory = NULL;
        link_free(state, segment);
    }
    state->left = NULL;
}

void log_drop_dead(struct state *state)
{
    for (uint32_t i = 0; i + 1 < state->log_count;)
        if (garbage_of(state, state->log[i]) == state->log[i]->bytes)
            log_drop(state, i);
        else
            i++;
}

void log_free(struct state *state)
{
    state->victim = NULL;
    while (state->log_count > 0)
        log_drop(state, state->log_count - 1);
    log_reclaim(state);
}
