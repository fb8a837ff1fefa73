/* SPDX-License-Identifier: Apache-2.0
 *
 * journal: the input is a folder of segments (operators/journal.h), each
 *
 *   u8 number of its first chunk | u8 epoch | u16 size | the file
 *
 * What is opened is read from its begin to its end without a gap, takes more, and is opened again
 * with all of that in it. What is refused says which file.
 */
#include "journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "fuzz_node.h"
#include "sim.h"

#define MEMORY ((size_t)96 << 20) /* bytes: a chunk may say that it has 40 MiB */
#define SEGMENTS 6u
#define SEGMENT_BYTES 256u /* so that more than a few chunks begin another */

/* What the first task found, for the second. */
static struct {
    struct fuzz_bytes text;
    uint64_t begin, end;
} found;

static enum weir_result read_all(const struct journal *journal, struct weir_context *context,
                                 struct fuzz_bytes *text)
{
    struct journal_cursor cursor = {0};
    struct journal_chunk chunk;
    enum journal_found next = JOURNAL_FAILED;

    enum weir_result result = journal_seek(journal, context, &cursor, journal_begin(journal));
    if (result == WEIR_OK) {
        uint64_t at = cursor.offset;
        while ((next = journal_next(journal, context, &cursor, &chunk)) == JOURNAL_CHUNK) {
            fuzz_must(chunk.offset == at, "a chunk at %llu, and one ended at %llu",
                      (unsigned long long)chunk.offset, (unsigned long long)at);
            at += chunk.text.size;
            fuzz_put(text, chunk.text.data, chunk.text.size);
        }
        fuzz_must(next == JOURNAL_FAILED || at == journal->offset, "it does not reach its end");
    }
    journal_leave(&cursor, weir_memory(context));
    return next == JOURNAL_END ? WEIR_OK : WEIR_FAILED;
}

static enum weir_result open_and_read(struct journal *journal, struct weir_context *context,
                                      struct fuzz_bytes *text)
{
    enum weir_result result =
        journal_open(journal, context, "/shelf", SEGMENT_BYTES, (struct weir_bytes){"opening", 7});
    return result == WEIR_OK ? read_all(journal, context, text) : result;
}

static enum weir_result add_more(struct journal *journal, struct weir_context *context)
{
    enum weir_result result = WEIR_OK;

    for (uint32_t i = 0; result == WEIR_OK && i < 3; i++) {
        static const char more[] = "and more of it, and more of it, and more of it";
        struct weir_bytes bytes = {more, sizeof more};
        result = journal_append(journal, context, (struct weir_bytes){"head", 4}, bytes);
        fuzz_put(&found.text, more, sizeof more);
        if (result == WEIR_OK && journal_is_full(journal))
            result = journal_roll(journal, context, (struct weir_bytes){"opening", 7});
    }
    return result == WEIR_OK ? journal_sync(journal, context) : result;
}

static enum weir_result first(struct weir_context *context)
{
    struct journal journal = {.folder = ""};
    enum weir_result result = open_and_read(&journal, context, &found.text);

    if (result == WEIR_OK)
        result = add_more(&journal, context);
    if (result == WEIR_OK) {
        found.begin = journal_begin(&journal);
        found.end = journal.offset;
    }
    journal_close(&journal, weir_memory(context));
    return result;
}

/* In the order of an input's bytes: an earlier segment of the same name is written over. */
static void put_segments(struct fuzz_input input)
{
    for (uint32_t i = 0; i < SEGMENTS && input.size > 0; i++) {
        uint8_t number = fuzz_u8(&input), epoch = fuzz_u8(&input);
        struct weir_bytes bytes = fuzz_take(&input, fuzz_u16(&input));
        char name[64];
        snprintf(name, sizeof name, "%020u-%010u.journal", number, epoch);
        fuzz_node_file(name, bytes.data, bytes.size);
    }
}

/* A later run's: what was copied by the first is of the epoch that both have, so it is read as it
 * lies, without being opened. */
static enum weir_result second(struct weir_context *context)
{
    struct journal journal = {.folder = ""};
    enum weir_result result =
        journal_open(&journal, context, "/shelf", SEGMENT_BYTES, (struct weir_bytes){"opening", 7});

    journal_close(&journal, weir_memory(context));
    return result;
}

static void run(const unsigned char *data, size_t size)
{
    struct weir_error error = {0};

    sim_disk_wipe();
    fuzz_clear(&found.text);
    put_segments((struct fuzz_input){data, size});
    enum weir_result result = fuzz_node(first, false, MEMORY, &error);
    if (result != WEIR_OK) {
        fuzz_refused(result, &error);
        return;
    }
    fuzz_must(found.text.size == found.end - found.begin, "%zu bytes of text between %llu and %llu",
              found.text.size, (unsigned long long)found.begin, (unsigned long long)found.end);
    result = fuzz_node(second, false, MEMORY, &error);
    fuzz_must(result == WEIR_DAMAGED && strstr(error.text, "is of a later run") != NULL,
              "opened twice by one run: %s", error.text);
}

/* ---- sums ---- */

static void mend_chunks(unsigned char *data, size_t size, uint64_t number, uint64_t offset)
{
    struct journal_chunk_head chunk;

    for (size_t at = 0; size - at >= sizeof chunk; number++) {
        memcpy(&chunk, data + at, sizeof chunk);
        size_t left = size - at - sizeof chunk;
        if (chunk.head_size > left)
            chunk.head_size = (uint32_t)(left / 2);
        if (chunk.text_size > left - chunk.head_size)
            chunk.text_size = (uint32_t)(left - chunk.head_size);
        chunk.number = number;
        chunk.offset = offset;
        offset += chunk.text_size;
        memcpy(data + at, &chunk, sizeof chunk);
        size_t whole = sizeof chunk + chunk.head_size + chunk.text_size;
        chunk.sum =
            weir_hash((struct weir_bytes){data + at + sizeof chunk.sum, whole - sizeof chunk.sum});
        memcpy(data + at, &chunk.sum, sizeof chunk.sum);
        at += whole;
    }
}

static void mend_segment(unsigned char *data, size_t size, uint8_t number, uint8_t epoch)
{
    struct journal_head head;

    if (size < sizeof head)
        return;
    memcpy(&head, data, sizeof head);
    memcpy(head.magic, "weirjrnl", sizeof head.magic);
    head.version = 1;
    head.epoch = epoch;
    head.number = number;
    head.sum = weir_hash((struct weir_bytes){&head, offsetof(struct journal_head, sum)});
    memcpy(data, &head, sizeof head);
    mend_chunks(data + sizeof head, size - sizeof head, number, head.offset);
}

static size_t mend(unsigned char *data, size_t size, size_t room)
{
    (void)room;
    for (size_t at = 0; at + 4 <= size;) {
        size_t own = (size_t)data[at + 2] | (size_t)data[at + 3] << 8;
        size_t left = size - at - 4;
        if (own > left) {
            own = left;
            data[at + 2] = (unsigned char)own;
            data[at + 3] = (unsigned char)(own >> 8);
        }
        mend_segment(data + at + 4, own, data[at], data[at + 1]);
        at += 4 + own;
    }
    return size;
}

/* ---- inputs to begin with ---- */

static void put_chunk(struct fuzz_bytes *to, const char *head, const char *text)
{
    struct journal_chunk_head chunk = {.head_size = (uint32_t)strlen(head),
                                       .text_size = (uint32_t)strlen(text)};
    fuzz_put(to, &chunk, sizeof chunk);
    fuzz_put(to, head, strlen(head));
    fuzz_put(to, text, strlen(text));
}

/* A segment of three chunks behind its opening one, which has no text. */
static void put_segment(struct fuzz_bytes *to, uint8_t number, uint8_t epoch, uint64_t offset)
{
    struct journal_head head = {.offset = offset};
    struct fuzz_bytes file = {0};

    fuzz_put(&file, &head, sizeof head);
    put_chunk(&file, "opening", "");
    put_chunk(&file, "one", "a line\n");
    put_chunk(&file, "", "and another one\n");
    put_chunk(&file, "three", "the last");
    const unsigned char before[] = {number, epoch, (unsigned char)file.size,
                                    (unsigned char)(file.size >> 8)};
    fuzz_put(to, before, sizeof before);
    fuzz_put(to, file.data, file.size);
    fuzz_drop(&file);
}

#define SEGMENT_TEXT 31u /* bytes that put_segment has */

/* None; one; two; two and what was copied; a gap; of a later run; torn; the second begins before
 * the first. */
static bool seed(uint32_t n, struct fuzz_bytes *to)
{
    if (n > 7)
        return false;
    if (n > 0)
        put_segment(to, 0, n == 5 ? 7 : 0, 100);
    if (n == 2 || n == 3 || n == 4)
        put_segment(to, n == 4 ? 5 : 4, 0, 100 + SEGMENT_TEXT);
    if (n == 3)
        put_segment(to, 0, 1, 100);
    if (n == 7)
        put_segment(to, 4, 0, 90);
    (void)mend(to->data, to->size, to->size);
    if (n == 6)
        to->size -= 3;
    return true;
}

const struct fuzz_target fuzz_journal = {"journal", run, seed, mend};
