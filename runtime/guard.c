/* SPDX-License-Identifier: Apache-2.0 */
#include "guard.h"

#include <stdint.h>
#include <string.h>

#include "memory.h"

#define FILLED 4096 /* bytes at either end: a snapshot of many MiB should not cost twice */

struct guarded {
    size_t size;
    unsigned char data[] __attribute__((aligned(16)));
};

static void fill(const struct guard *guard, struct guarded *block, unsigned char twist)
{
    int byte = (unsigned char)(guard->filling ^ twist);
    size_t size = block->size;
    memset(block->data, byte, size < FILLED ? size : FILLED);
    if (size > 2 * FILLED)
        memset(block->data + size - FILLED, byte, FILLED);
    else if (size > FILLED)
        memset(block->data + FILLED, byte, size - FILLED);
}

static void *allocate(void *context, size_t size)
{
    struct guard *guard = context;
    struct guarded *block = size < SIZE_MAX / 2 ? memory_take(NULL, sizeof *block + size) : NULL;
    if (!block)
        return NULL;
    block->size = size;
    fill(guard, block, 0x00);
    atomic_fetch_add(&guard->blocks, 1);
    atomic_fetch_add(&guard->bytes, size);
    return block->data;
}

static void release(void *context, void *memory)
{
    struct guard *guard = context;
    struct guarded *block = (void *)((unsigned char *)memory - offsetof(struct guarded, data));
    atomic_fetch_sub(&guard->blocks, 1);
    atomic_fetch_sub(&guard->bytes, block->size);
    fill(guard, block, 0xff);
    memory_release(NULL, block);
}

void guard_init(struct guard *guard, unsigned char filling)
{
    *guard = (struct guard){.allocator = {allocate, release, guard}, .filling = filling};
}
