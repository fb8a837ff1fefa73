/* SPDX-License-Identifier: Apache-2.0 */
#include "segment.h"

#include <assert.h>
#include <string.h>

#include "memory.h"

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
        annex_release(segment->annex, &segment->ranges);
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
    segment->blocks[segment->count++] =
        (struct segment_block){.data = data, .size = size, .last = UINT32_MAX};
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
    segment->blocks[segment->count++] =
        (struct segment_block){.data = data, .size = size, .last = UINT32_MAX};
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

/* State larger than memory is moved out as it comes. */
static bool restore_moving(struct segment *segment, unsigned char *data, size_t size)
{
    bool added = segment_add_copy(segment, data, size);
    memory_release(segment->allocator, data);
    uint64_t excess = added ? annex_excess(segment->annex, 0) : 0;
    if (excess > 0)
        segment_move(segment, excess);
    return added;
}

bool segment_restore(struct segment *segment, unsigned char *data, size_t used, size_t size,
                     uint32_t first, uint32_t last)
{
    bool there = segment->annex != NULL ? restore_moving(segment, data, used)
                                        : segment_adopt(segment, data, size);
    if (!there)
        return false;
    struct segment_block *block = &segment->blocks[segment->count - 1];
    block->used = used;
    block->first = first;
    block->last = last;
    return true;
}

uint64_t segment_bytes(const struct segment *segment)
{
    uint64_t bytes = sizeof *segment + segment->room * sizeof *segment->blocks;
    for (uint32_t i = 0; segment->annex == NULL && i < segment->count; i++)
        bytes += segment->blocks[i].size;
    return bytes + annex_held(&segment->ranges);
}
