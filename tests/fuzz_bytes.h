/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_bytes: what tests of hostile bytes are made with: bytes that grow, inputs that are read from
 * their front, memory that has a limit, and a way to end when something is wrong. One thread.
 */
#ifndef FUZZ_BYTES_H
#define FUZZ_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir_base.h"

/* Bytes that grow. */
struct fuzz_bytes {
    unsigned char *data;
    size_t size, room;
};

/* Says so, and ends the process, unless it holds. */
void fuzz_must(bool holds, const char *format, ...) WEIR_PRINTF(2, 3);
/* A refusal of bytes: of a kind that may be, with its reason. */
void fuzz_refused(enum weir_result result, const struct weir_error *error);

/* Memory that ends the process when more than `most` bytes of it are taken at a time. The one
 * before must have been given back. */
const struct weir_allocator *fuzz_memory(size_t most);
size_t fuzz_memory_taken(void); /* bytes; 0: all was given back */
size_t fuzz_memory_peak(void);  /* since fuzz_memory */

void fuzz_put(struct fuzz_bytes *bytes, const void *data, size_t size); /* appends */
void fuzz_clear(struct fuzz_bytes *bytes);
void fuzz_drop(struct fuzz_bytes *bytes);

/* An input that is read from its front: zeros, and nothing, at the end. */
struct fuzz_input {
    const unsigned char *data;
    size_t size;
};
uint8_t fuzz_u8(struct fuzz_input *input);
uint16_t fuzz_u16(struct fuzz_input *input);
uint64_t fuzz_u64(struct fuzz_input *input);
struct weir_bytes fuzz_take(struct fuzz_input *input, size_t size); /* or what is left */

#endif
