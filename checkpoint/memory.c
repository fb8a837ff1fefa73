/* SPDX-License-Identifier: Apache-2.0
 *
 * memory: the real door. The only file of the library that calls malloc.
 */
#include "memory.h"

#include <stdlib.h>
#include <string.h>

void *memory_take(const struct weir_allocator *allocator, size_t size)
{
    if (size == 0)
        size = 1; /* a unique pointer; and user allocators are promised size > 0 */
    if (allocator == NULL)
        return malloc(size);
    return allocator->allocate(allocator->context, size);
}

void *memory_zeroed(const struct weir_allocator *allocator, size_t count, size_t size)
{
    if (size != 0 && count > SIZE_MAX / size)
        return NULL;
    if (allocator == NULL)
        return calloc(count == 0 ? 1 : count, size == 0 ? 1 : size);
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
