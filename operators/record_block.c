/* SPDX-License-Identifier: Apache-2.0 */
#include "record_block.h"

#include <string.h>

static void put_u32(unsigned char *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (unsigned char)(value >> 8 * i);
}

static void put_u64(unsigned char *at, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++)
        at[i] = (unsigned char)(value >> 8 * i);
}

uint32_t record_get_u32(const unsigned char *at)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < 4; i++)
        value |= (uint32_t)at[i] << 8 * i;
    return value;
}

uint64_t record_get_u64(const unsigned char *at)
{
    return record_get_u32(at) | (uint64_t)record_get_u32(at + 4) << 32;
}

/* Appends `size` zeros and answers where; NULL without memory. */
static unsigned char *grow(struct record_block *block, const struct weir_allocator *allocator,
                           size_t size)
{
    struct block *bytes = &block->bytes;
    size_t need = bytes->size + size;
    if (need > bytes->room && !block_reserve(bytes, allocator, need + bytes->room))
        return NULL;
    unsigned char *at = bytes->data + bytes->size;
    bytes->size = need;
    return at;
}

/* The heads of the file and of the block; the latter is filled in when it is closed. */
static bool begin(struct record_block *block, const struct weir_allocator *allocator)
{
    bool first = block->offset == 0;
    unsigned char *at = grow(block, allocator, RECORD_BLOCK_HEAD + (first ? RECORD_FILE_HEAD : 0));
    if (!at)
        return false;
    block->head = 0;
    if (first) {
        memcpy(at, RECORD_MAGIC, 8);
        put_u32(at + 8, RECORD_VERSION);
        put_u32(at + 12, 0);
        block->head = RECORD_FILE_HEAD;
    }
    return true;
}

bool record_block_reserve(struct record_block *block, const struct weir_allocator *allocator)
{
    return block_reserve(&block->bytes, allocator, 2 * RECORD_BLOCK_BYTES);
}

/* Key or value, and zeros after it; answers where the next may begin. */
static unsigned char *put_bytes(unsigned char *at, struct weir_bytes bytes)
{
    size_t size = record_padded(bytes.size);
    if (size == 0)
        return at;
    put_u64(at + size - 8, 0);
    memcpy(at, bytes.data, bytes.size);
    return at + size;
}

bool record_block_add(struct record_block *block, const struct weir_allocator *allocator,
                      const struct weir_record *record)
{
    size_t size = RECORD_HEAD + record_padded(record->key.size) + record_padded(record->value.size);
    if (size > RECORD_BODY_LIMIT - RECORD_BLOCK_BYTES)
        return false;
    if (block->bytes.size == 0 && !begin(block, allocator))
        return false;
    unsigned char *at = grow(block, allocator, size);
    if (!at)
        return false;
    put_u64(at, (uint64_t)record->time);
    put_u32(at + 8, (uint32_t)record->key.size);
    put_u32(at + 12, (uint32_t)record->value.size);
    put_bytes(put_bytes(at + RECORD_HEAD, record->key), record->value);
    block->count++;
    return true;
}

static struct weir_bytes close_block(struct record_block *block)
{
    unsigned char *at = block->bytes.data + block->head;
    size_t size = block->bytes.size - block->head;
    struct weir_bytes closed = {block->bytes.data, block->bytes.size};
    put_u64(at + 8, block->offset + block->head);
    put_u32(at + 16, (uint32_t)(size - RECORD_BLOCK_HEAD));
    put_u32(at + 20, block->count);
    put_u64(at, weir_hash((struct weir_bytes){at + 8, size - 8}));
    block->offset += closed.size;
    block->written += block->count;
    block->count = 0;
    block->bytes.size = 0;
    return closed;
}

struct weir_bytes record_block_close(struct record_block *block)
{
    return block->count > 0 ? close_block(block) : (struct weir_bytes){NULL, 0};
}

struct weir_bytes record_block_end(struct record_block *block,
                                   const struct weir_allocator *allocator)
{
    unsigned char *at = begin(block, allocator) ? grow(block, allocator, 8) : NULL;
    if (!at)
        return (struct weir_bytes){NULL, 0};
    put_u64(at, block->written);
    struct weir_bytes end = close_block(block);
    block->offset = block->written = 0;
    return end;
}

void record_block_free(struct record_block *block, const struct weir_allocator *allocator)
{
    block_free(&block->bytes, allocator);
    *block = (struct record_block){.head = 0};
}
