/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fuzz_must(bool holds, const char *format, ...)
{
    va_list arguments;

    if (holds)
        return;
    fputs("fuzz: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    abort();
}

void fuzz_refused(enum weir_result result, const struct weir_error *error)
{
    fuzz_must(result == WEIR_DAMAGED || result == WEIR_UNSUPPORTED || result == WEIR_NOT_FOUND ||
                  result == WEIR_REFUSED || result == WEIR_MISMATCH || result == WEIR_INVALID,
              "refused as %s: %s", weir_result_name(result), error->text);
    fuzz_must(error->code == result, "answered %s, and said %s", weir_result_name(result),
              weir_result_name(error->code));
    fuzz_must(strlen(error->text) > 10, "no reason: \"%s\"", error->text);
    for (const char *at = error->text; *at != '\0'; at++)
        fuzz_must(*at != '\n', "a reason of several lines: %s", error->text);
}

/* ---- memory ---- */

#define HEAD 16u /* bytes before each block: its size */

static struct {
    size_t taken, peak, most;
} memory;

static void *allocate(void *context, size_t size)
{
    unsigned char *block;

    (void)context;
    fuzz_must(size <= memory.most && memory.taken + size <= memory.most,
              "%zu bytes are taken, and %zu more are asked for: the limit is %zu", memory.taken,
              size, memory.most);
    block = malloc(HEAD + size);
    fuzz_must(block != NULL, "no memory");
    memcpy(block, &size, sizeof size);
    memory.taken += size;
    if (memory.taken > memory.peak)
        memory.peak = memory.taken;
    return block + HEAD;
}

static void release(void *context, void *block)
{
    size_t size;

    (void)context;
    memcpy(&size, (unsigned char *)block - HEAD, sizeof size);
    memory.taken -= size;
    free((unsigned char *)block - HEAD);
}

const struct weir_allocator *fuzz_memory(size_t most)
{
    static const struct weir_allocator allocator = {allocate, release, NULL};

    fuzz_must(memory.taken == 0, "%zu bytes were not given back", memory.taken);
    memory.most = most;
    memory.peak = 0;
    return &allocator;
}

size_t fuzz_memory_taken(void)
{
    return memory.taken;
}

size_t fuzz_memory_peak(void)
{
    return memory.peak;
}

/* ---- bytes ---- */

void fuzz_put(struct fuzz_bytes *bytes, const void *data, size_t size)
{
    if (bytes->size + size > bytes->room) {
        bytes->room = 2 * (bytes->size + size);
        bytes->data = realloc(bytes->data, bytes->room);
        fuzz_must(bytes->data != NULL, "no memory");
    }
    if (size > 0)
        memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
}

void fuzz_clear(struct fuzz_bytes *bytes)
{
    bytes->size = 0;
}

void fuzz_drop(struct fuzz_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct fuzz_bytes){0};
}

struct weir_bytes fuzz_take(struct fuzz_input *input, size_t size)
{
    if (size > input->size)
        size = input->size;
    struct weir_bytes taken = {input->data, size};
    input->data += size;
    input->size -= size;
    return taken;
}

static uint64_t number(struct fuzz_input *input, size_t size)
{
    struct weir_bytes taken = fuzz_take(input, size);
    uint64_t value = 0;

    if (taken.size > 0)
        memcpy(&value, taken.data, taken.size);
    return value;
}

uint8_t fuzz_u8(struct fuzz_input *input)
{
    return (uint8_t)number(input, 1);
}

uint16_t fuzz_u16(struct fuzz_input *input)
{
    return (uint16_t)number(input, 2);
}

uint64_t fuzz_u64(struct fuzz_input *input)
{
    return number(input, 8);
}
