/* SPDX-License-Identifier: Apache-2.0
 *
 * memory: the door to memory. Everything weir allocates for itself comes through here, so that the
 * caller's allocator is honoured and a test can fail the k-th allocation. memory.c is the real
 * door; the simulated one is chosen at link time. Any thread.
 */
#ifndef MEMORY_H
#define MEMORY_H

#include "weir_base.h"

/* `allocator` may be NULL: the C library's. size may be 0 (a unique pointer comes back).
 * Returns NULL when there is no memory. */
void *memory_take(const struct weir_allocator *allocator, size_t size);
/* The same, zeroed, for `count` elements; NULL too when count * size overflows. */
void *memory_zeroed(const struct weir_allocator *allocator, size_t count, size_t size);
/* A new block with the first min(old_size, new_size) bytes of `old`, which is released; on failure
 * NULL, and `old` is untouched. `old` may be NULL. */
void *memory_resize(const struct weir_allocator *allocator, void *old, size_t old_size,
                    size_t new_size);
/* NULL is accepted. */
void memory_release(const struct weir_allocator *allocator, void *memory);
/* A zero-terminated copy of size bytes (text need not be terminated). */
char *memory_text(const struct weir_allocator *allocator, const char *text, size_t size);

/* Address space of its own, page by page, past any allocator: memory comes when a page is written
 * to. `size` is of whole pages; there may be anything in it at first. NULL: none. disk_map can put
 * a file in the place of some of it. */
void *memory_map(size_t size);
void memory_unmap(void *memory, size_t size); /* all of it, whatever has been mapped there since */
size_t memory_page(void);                     /* bytes */
/* Of memory_map's memory: processes that are forked from this one from here on find zeros there,
 * and no copy. Kernels before 4.14 copy it all the same. */
void memory_keep_from_children(void *memory, size_t size);

#endif
