/* SPDX-License-Identifier: Apache-2.0 */
#include "segment.h"

#include <assert.h>
#include <string.h>

#include "memory.h"
#include "state_entry.h"

#define FIRST_BLOCKS 8u

struct segment *segment_new(const struct weir_allocator *allocator)
{
    struct segment *segment = memory_zeroed(allocator, 1, sizeof *segment);
    if (segment == NULL)
        return NULL;
    segment->allocator = allocator;
    atomic_init(&segment->references, 1);
    return segment;
}

struct segment *segment_share(struct segment *segment)
{
    atomic_fetch_add_explicit(&segment->references, 1, memory_order_relaxed);
    return segment;
}

void segment_release(struct segment *segment)
{
    /* Whoever frees it must see what the others did with it before they let go. */
    if (segment == NULL ||
        atomic_fetch_sub_explicit(&segment->references, 1, memory_order_acq_rel) > 1)
        return;
    if (segment->orphan_bytes > 0)
        atomic_fetch_sub_explicit(segment->orphaned, segment->orphan_bytes, memory_order_relaxed);
    if (segment->forget != NULL)
        segment->forget(segment->stored);
    for (uint32_t i = 0; segment->annex == NULL && i < segment->count; i++)
        memory_release(segment->allocator, segment->blocks[i].data);
    if (segment->annex != NULL)
        annex_release(segment->annex, &segment->ranges, segment->allocator);
    memory_release(segment->allocator, segment->blocks);
    memory_release(segment->allocator, segment);
}

void segment_abandon(struct segment *segment)
{
    if (segment->orphaned != NULL &&
        atomic_load_explicit(&segment->references, memory_order_relaxed) > 1) {
        segment->orphan_bytes = segment_bytes(segment);
        atomic_fetch_add_explicit(segment->orphaned, segment->orphan_bytes, memory_order_relaxed);
    }
    segment_release(segment);
}

static bool has_room(struct segment *segment)
{
    if (segment->count < segment->room)
        return true;
    uint32_t room = segment->room > 0 ? 2 * segment->room : FIRST_BLOCKS;
    struct segment_block *blocks =
        memory_resize(segment->allocator, segment->blocks, segment->room * sizeof *segment->blocks,
                      room * sizeof *blocks);
    if (blocks == NULL)
        return false;
    segment->blocks = blocks;
    segment->room = room;
    return true;
}

bool segment_adopt(struct segment *segment, unsigned char *data, size_t size)
{
    assert(segment->annex == NULL);
    if (!has_room(segment)) {
        memory_release(segment->allocator, data);
        return false;
    }
    segment->blocks[segment->count++] = (struct segment_block){.data = data, .size = size};
    return true;
}

bool segment_add(struct segment *segment, size_t size)
{
    unsigned char *data;
    if (segment->annex == NULL) {
        data = memory_take(segment->allocator, size);
        return data != NULL && segment_adopt(segment, data, size);
    }
    data = has_room(segment)
               ? annex_take(segment->annex, &segment->ranges, segment->allocator, size)
               : NULL;
    if (data == NULL)
        return false;
    segment->blocks[segment->count++] = (struct segment_block){.data = data, .size = size};
    return true;
}

bool segment_add_copy(struct segment *segment, const unsigned char *data, size_t size)
{
    if (!segment_add(segment, size))
        return false;
    struct segment_block *block = &segment->blocks[segment->count - 1];
    memcpy(block->data, data, size);
    block->used = size;
    return true;
}

uint64_t segment_move(struct segment *segment, uint64_t most)
{
    return segment->annex != NULL ? annex_move(segment->annex, &segment->ranges, most) : 0;
}

uint64_t segment_bytes(const struct segment *segment)
{
    uint64_t bytes = sizeof *segment + segment->room * sizeof *segment->blocks;
    for (uint32_t i = 0; segment->annex == NULL && i < segment->count; i++)
        bytes += segment->blocks[i].size;
    return bytes + annex_held(&segment->ranges);
}

/* --- writing ------------------------------------------------------------------------------ */

/* The next entry that goes to disk, with the cursor behind it; NULL at the end. */
static const unsigned char *next_entry(const struct segment *segment, struct segment_cursor *cursor)
{
    while (cursor->block < segment->count) {
        const struct segment_block *block = &segment->blocks[cursor->block];
        if (cursor->offset == block->used) {
            *cursor = (struct segment_cursor){cursor->block + 1, 0};
            continue;
        }
        const unsigned char *entry = block->data + cursor->offset;
        cursor->offset += entry_whole_size(entry);
        if (!entry_is(entry, ENTRY_DEAD))
            return entry;
    }
    return NULL;
}

static size_t disk_size(const unsigned char *entry)
{
    size_t value_size = entry_is(entry, ENTRY_TOMB) ? 0 : entry_value_size(entry);
    return entry_size(entry_key_size(entry), value_size);
}

bool segment_at_end(const struct segment *segment, struct segment_cursor cursor)
{
    return next_entry(segment, &cursor) == NULL;
}

size_t segment_blob_size(const struct segment *segment, struct segment_cursor cursor)
{
    size_t size = 0;
    for (const unsigned char *entry;
         size < SEGMENT_BLOB_SIZE && (entry = next_entry(segment, &cursor)) != NULL;)
        size += disk_size(entry);
    return size;
}

void segment_blob(const struct segment *segment, struct segment_cursor *cursor, unsigned char *to)
{
    size_t filled = 0;
    for (const unsigned char *entry;
         filled < SEGMENT_BLOB_SIZE && (entry = next_entry(segment, cursor)) != NULL;) {
        size_t size = disk_size(entry);
        memcpy(to + filled, entry, size);
        bool tomb = entry_is(entry, ENTRY_TOMB);
        entry_set_sizes(to + filled, entry_key_size(entry), tomb ? 0 : entry_value_size(entry));
        if (tomb)
            entry_mark(to + filled, ENTRY_TOMB);
        filled += size;
    }
}
