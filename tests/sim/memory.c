/* SPDX-License-Identifier: Apache-2.0
 *
 * Counted memory: every block is in a list, new ones and freed ones are filled, and one allocation
 * can be made to fail.
 */
#include "memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "sim.h"

#define MARK 0x5E11E55E5E11E55Eu

/* 48 bytes before each block, so that it stays aligned to 16. */
struct block {
    struct block *next, *before;
    const struct weir_allocator *allocator; /* the caller's */
    size_t size;
    uint64_t mark;
    uint64_t number;
};
_Static_assert(sizeof(struct block) % 16 == 0, "blocks are aligned to 16");

/* What memory_map gave. */
struct map {
    struct map *next;
    unsigned char *base;
    size_t size;
};

static struct {
    struct block *first;
    struct map *maps;
    uint64_t left, takes, fail_at, fail_count;
    unsigned char fill_new, fill_freed;
    bool failed;
} memory;

void sim_memory_start(unsigned char fill_new, unsigned char fill_freed)
{
    memory.fill_new = fill_new;
    memory.fill_freed = fill_freed;
    memory.takes = 0;
    sim_memory_fail(0, 0);
}

uint64_t sim_memory_left(void)
{
    return memory.left;
}

uint64_t sim_memory_takes(void)
{
    return memory.takes;
}

void sim_memory_fail(uint64_t k, uint64_t count)
{
    memory.fail_at = k == 0 ? 0 : memory.takes + k;
    memory.fail_count = count;
    memory.failed = false;
}

bool sim_memory_failed(void)
{
    return memory.failed;
}

static bool must_fail(void)
{
    uint64_t take = ++memory.takes;

    if (memory.fail_at == 0 || take < memory.fail_at)
        return false;
    if (take - memory.fail_at >= memory.fail_count)
        return false;
    memory.failed = true;
    return true;
}

static void *raw_take(const struct weir_allocator *allocator, size_t size)
{
    if (allocator == NULL)
        return malloc(size);
    return allocator->allocate(allocator->context, size);
}

void *memory_take(const struct weir_allocator *allocator, size_t size)
{
    struct block *block;

    if (must_fail() || size > SIZE_MAX - sizeof *block)
        return NULL;
    block = raw_take(allocator, sizeof *block + size);
    if (block == NULL)
        return NULL;
    *block = (struct block){.next = memory.first,
                            .allocator = allocator,
                            .size = size,
                            .mark = MARK,
                            .number = memory.takes};
    if (memory.first != NULL)
        memory.first->before = block;
    memory.first = block;
    memory.left++;
    return memset(block + 1, memory.fill_new, size);
}

void *memory_zeroed(const struct weir_allocator *allocator, size_t count, size_t size)
{
    void *taken;

    if (size != 0 && count > SIZE_MAX / size)
        return NULL;
    taken = memory_take(allocator, count * size);
    return taken == NULL ? NULL : memset(taken, 0, count * size);
}

/* Always moves, so that a stale pointer shows. */
void *memory_resize(const struct weir_allocator *allocator, void *old, size_t old_size,
                    size_t new_size)
{
    void *taken = memory_take(allocator, new_size);

    if (taken == NULL || old == NULL)
        return taken;
    assert(((struct block *)old - 1)->size == old_size);
    memcpy(taken, old, old_size < new_size ? old_size : new_size);
    memory_release(allocator, old);
    return taken;
}

static void unlink_block(struct block *block)
{
    if (block->before != NULL)
        block->before->next = block->next;
    else
        memory.first = block->next;
    if (block->next != NULL)
        block->next->before = block->before;
    memory.left--;
}

void memory_release(const struct weir_allocator *allocator, void *old)
{
    struct block *block;

    if (old == NULL)
        return;
    block = (struct block *)old - 1;
    assert(block->mark == MARK && block->allocator == allocator);
    unlink_block(block);
    block->mark = 0;
    memset(old, memory.fill_freed, block->size);
    if (allocator == NULL)
        free(block);
    else
        allocator->release(allocator->context, block);
}

void sim_memory_forget(void)
{
    while (memory.maps != NULL)
        memory_unmap(memory.maps->base, memory.maps->size);
    while (memory.first != NULL)
        memory_release(memory.first->allocator, memory.first + 1);
}

char *memory_text(const struct weir_allocator *allocator, const char *text, size_t size)
{
    char *copy = size == SIZE_MAX ? NULL : memory_take(allocator, size + 1);

    if (copy == NULL)
        return NULL;
    if (size > 0)
        memcpy(copy, text, size);
    copy[size] = '\0';
    return copy;
}

/* ---- maps: real pages, so that writing to what a file was put in place of is a crash ---- */

#define PAGE ((size_t)4096)

size_t memory_page(void)
{
    return PAGE;
}

void *memory_map(size_t size)
{
    struct map *map;
    void *base;

    assert(size > 0 && size % PAGE == 0);
    if (must_fail())
        return NULL;
    base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    map = base == MAP_FAILED ? NULL : malloc(sizeof *map);
    if (map == NULL)
        abort();
    *map = (struct map){memory.maps, base, size};
    memory.maps = map;
    memory.left++;
    return memset(base, memory.fill_new, size);
}

/* The simulation forks nobody. */
void memory_keep_from_children(void *mapped, size_t size)
{
    (void)mapped, (void)size;
}

void memory_unmap(void *old, size_t size)
{
    struct map **at = &memory.maps;

    while (*at != NULL && (*at)->base != old)
        at = &(*at)->next;
    assert(*at != NULL && (*at)->size == size);
    struct map *map = *at;
    *at = map->next;
    munmap(map->base, map->size);
    free(map);
    memory.left--;
}

bool sim_memory_put(void *at, const void *bytes, size_t size)
{
    unsigned char *to = at;
    struct map *map = memory.maps;

    while (map != NULL && (to < map->base || to + size > map->base + map->size))
        map = map->next;
    if (map == NULL || (size_t)(to - map->base) % PAGE != 0 || size % PAGE != 0)
        return false;
    if (mprotect(to, size, PROT_READ | PROT_WRITE) != 0)
        abort();
    memcpy(to, bytes, size);
    return mprotect(to, size, PROT_READ) == 0;
}
