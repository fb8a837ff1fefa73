/* SPDX-License-Identifier: Apache-2.0 */
#include "block.h"

#include <stdlib.h>
#include <string.h>

void *block_take(const struct weir_allocator *allocator, size_t size)
{
    if (!allocator)
        return calloc(1, size);
    void *memory = allocator->allocate(allocator->context, size);
    if (memory)
        memset(memory, 0, size);
    return memory;
}

void block_drop(const struct weir_allocator *allocator, void *memory)
{
    if (!memory)
        return;
    if (allocator)
        allocator->release(allocator->context, memory);
    else
        free(memory);
}

bool block_reserve(struct block *block, const struct weir_allocator *allocator, size_t room)
{
    if (room <= block->room)
        return true;
    unsigned char *data = block_take(allocator, room);
    if (!data)
        return false;
    if (block->size > 0)
        memcpy(data, block->data, block->size);
    block_drop(allocator, block->data);
    block->data = data;
    block->room = room;
    return true;
}

bool block_append(struct block *block, const struct weir_allocator *allocator, const void *data,
                  size_t size)
{
    if (size == 0)
        return true;
    if (size > SIZE_MAX / 4 - block->size)
        return false;
    size_t need = block->size + size;
    if (need > block->room && !block_reserve(block, allocator, need + block->room + 64))
        return false;
    memcpy(block->data + block->size, data, size);
    block->size = need;
    return true;
}

void block_free(struct block *block, const struct weir_allocator *allocator)
{
    block_drop(allocator, block->data);
    *block = (struct block){0};
}

enum weir_result block_none(struct weir_context *context)
{
    return weir_fail(context, WEIR_NO_MEMORY, "out of memory");
}
