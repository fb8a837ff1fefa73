/* SPDX-License-Identifier: Apache-2.0
 *
 * memory: the real door. The only file of the library that calls malloc, or maps
 * memory.
 */
#include "memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE ((uintptr_t)2 << 20)
#define HUGE_FROM ((size_t)4 << 20) /* bytes: what at least one such page fits into */

void *memory_take(const struct weir_allocator *allocator, size_t size)
{
    if (size == 0)
        size = 1; /* a unique pointer; and user allocators are promised size > 0 */
    if (allocator == NULL)
        return malloc(size);
    return allocator->allocate(allocator->context, size);
}

/* Random reads of a table of many megabytes mostly wait for the translation of addresses: with huge
 * pages, where the kernel has them for the asking, a keyed update of 1 M keys takes a tenth less
 * time, a quarter where it copies. */
static void *zeros(size_t count, size_t size)
{
    char *memory = calloc(count, size);
    uintptr_t from = ((uintptr_t)memory + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1);
    uintptr_t to = ((uintptr_t)memory + count * size) & ~(uintptr_t)(HUGE_PAGE - 1);
    if (memory != NULL && count * size >= HUGE_FROM)
        (void)!madvise(memory + (from - (uintptr_t)memory), to - from, MADV_HUGEPAGE);
    return memory;
}

void *memory_zeroed(const struct weir_allocator *allocator, size_t count, size_t size)
{
    if (size != 0 && count > SIZE_MAX / size)
        return NULL;
    if (allocator == NULL)
        return zeros(count == 0 ? 1 : count, size == 0 ? 1 : size);
    void *memory = memory_take(allocator, count * size);
    if (memory != NULL)
        memset(memory, 0, count * size);
    return memory;
}

void *memory_resize(const struct weir_allocator *allocator, void *old, size_t old_size,
                    size_t new_size)
{
    if (allocator == NULL)
        return realloc(old, new_size == 0 ? 1 : new_size);
    void *memory = memory_take(allocator, new_size);
    if (memory == NULL)
        return NULL;
    if (old != NULL) {
        memcpy(memory, old, old_size < new_size ? old_size : new_size);
        memory_release(allocator, old);
    }
    return memory;
}

void memory_release(const struct weir_allocator *allocator, void *memory)
{
    if (memory == NULL)
        return;
    if (allocator == NULL)
        free(memory);
    else
        allocator->release(allocator->context, memory);
}

char *memory_text(const struct weir_allocator *allocator, const char *text, size_t size)
{
    if (size == SIZE_MAX)
        return NULL;
    char *copy = memory_take(allocator, size + 1);
    if (copy == NULL)
        return NULL;
    if (size > 0)
        memcpy(copy, text, size);
    copy[size] = 0;
    return copy;
}

/* No huge pages: many segments have little in them, and would take 2 MiB each. */
void *memory_map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    (void)!madvise(memory, size, MADV_NOHUGEPAGE); /* kernels without them need not be told */
    return memory;
}

void memory_unmap(void *memory, size_t size)
{
    munmap(memory, size);
}

void memory_keep_from_children(void *memory, size_t size)
{
    (void)!madvise(memory, size, MADV_WIPEONFORK);
}

size_t memory_page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}
