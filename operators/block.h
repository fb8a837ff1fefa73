/* SPDX-License-Identifier: Apache-2.0
 *
 * block: memory of the ready-made operators. All of it comes from the job's allocator, or from
 * malloc when that is NULL; nothing else in this folder allocates. Any thread, one at a time.
 */
#ifndef BLOCK_H
#define BLOCK_H

#include "weir.h"

/* A growing run of bytes. Zeroed is empty. data is 16-byte aligned and moves when it grows. */
struct block {
    unsigned char *data;
    size_t size; /* in use */
    size_t room; /* allocated */
};

/* Zeroed memory; NULL without memory. size > 0. */
void *block_take(const struct weir_allocator *allocator, size_t size);
/* NULL is accepted. */
void block_drop(const struct weir_allocator *allocator, void *memory);

/* Makes room for at least `room` bytes in all, and keeps the content. False without memory. */
bool block_reserve(struct block *block, const struct weir_allocator *allocator, size_t room);
/* The same, at least doubling, so that appending stays linear. */
bool block_append(struct block *block, const struct weir_allocator *allocator, const void *data,
                  size_t size);
void block_free(struct block *block, const struct weir_allocator *allocator);

/* Fails the run for want of memory; for `return block_none(context);`. */
enum weir_result block_none(struct weir_context *context);

#endif
