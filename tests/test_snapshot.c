/* SPDX-License-Identifier: Apache-2.0 */
#include "exercised.h"
#include "snapshot.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static unsigned char *grow(void *context, unsigned char *data, size_t size, size_t capacity)
{
    size_t *limit = context;
    if (limit != NULL && capacity > *limit)
        return NULL;
    (void)size;
    return realloc(data, capacity);
}

static struct snapshot_writer writer_new(size_t *limit)
{
    return (struct snapshot_writer){.grow = grow, .context = limit};
}

/* Three sections, bodies of 8 + 4 + n, 0 and 1 bytes. */
static void write_sample(struct snapshot_writer *writer, const char *text)
{
    snapshot_begin(writer, SNAPSHOT_TASK, 7);
    snapshot_u64(writer, 0x0123456789abcdefu);
    snapshot_text(writer, text);
    snapshot_end(writer);
    snapshot_begin(writer, SNAPSHOT_STATE, 0);
    snapshot_end(writer);
    snapshot_begin(writer, SNAPSHOT_ITEM, UINT32_MAX);
    snapshot_bytes(writer, "x", 1);
    snapshot_end(writer);
}

/* Reads as far as it goes; touches every byte it is given. */
static size_t read_all(const unsigned char *data, size_t size, bool *failed)
{
    struct snapshot_reader reader = {data, size, false};
    struct snapshot_section section;
    size_t sections = 0;
    unsigned sum = 0;
    while (snapshot_next(&reader, &section)) {
        sections++;
        snapshot_get_u64(&section);
        snapshot_get_text(&section);
        struct weir_bytes rest = snapshot_get_rest(&section);
        for (size_t i = 0; i < rest.size; i++)
            sum += ((const unsigned char *)rest.data)[i];
    }
    *failed = reader.failed;
    cr_expect(sum < UINT32_MAX);
    return sections;
}

Test(snapshot, reads_what_was_written)
{
    for (size_t size = 0; size < 40; size++) {
        char text[41] = {0};
        memset(text, 'a', size);
        struct snapshot_writer writer = writer_new(NULL);
        write_sample(&writer, text);
        cr_assert(!writer.failed && writer.size % 8 == 0);

        struct snapshot_reader reader = {writer.data, writer.size, false};
        struct snapshot_section section;
        cr_assert(snapshot_next(&reader, &section));
        cr_assert(section.tag == SNAPSHOT_TASK && section.index == 7);
        cr_assert_eq(snapshot_get_u64(&section), 0x0123456789abcdefu);
        struct weir_bytes got = snapshot_get_text(&section);
        cr_assert(got.size == size && memcmp(got.data, text, size) == 0);
        cr_assert(snapshot_done(&section));
        cr_assert(snapshot_next(&reader, &section));
        cr_assert(section.tag == SNAPSHOT_STATE && snapshot_done(&section));
        cr_assert(snapshot_next(&reader, &section));
        cr_assert(section.tag == SNAPSHOT_ITEM && section.index == UINT32_MAX);
        cr_assert(!snapshot_done(&section));
        got = snapshot_get_rest(&section);
        cr_assert(got.size == 1 && memcmp(got.data, "x", 1) == 0 && snapshot_done(&section));
        cr_assert(!snapshot_next(&reader, &section) && !reader.failed);
        free(writer.data);
    }
}

Test(snapshot, is_little_endian_with_zero_padding)
{
    static const unsigned char expected[] = {3, 0, 0, 0, 2, 1, 0, 0, 5, 0, 0, 0,
                                             0, 0, 0, 0, 4, 3, 2, 1, 9, 0, 0, 0};
    struct snapshot_writer writer = writer_new(NULL);
    snapshot_begin(&writer, SNAPSHOT_ITEM, 0x0102);
    snapshot_u32(&writer, 0x01020304);
    snapshot_bytes(&writer, "\t", 1);
    snapshot_end(&writer);
    cr_assert(writer.size == sizeof expected);
    cr_assert(memcmp(writer.data, expected, sizeof expected) == 0);
    free(writer.data);
}

Test(snapshot, room_is_filled_in_by_the_caller)
{
    struct snapshot_writer writer = writer_new(NULL);
    snapshot_begin(&writer, SNAPSHOT_ITEM, 0);
    unsigned char *room = snapshot_room(&writer, 100000);
    cr_assert_not_null(room);
    memset(room, 'r', 100000);
    snapshot_end(&writer);
    cr_assert(!writer.failed && writer.size == 16 + 100000);
    cr_assert(writer.data[16] == 'r' && writer.data[100015] == 'r');
    free(writer.data);
}

Test(snapshot, a_writer_without_memory_fails_and_stays_failed)
{
    size_t limit = 4096;
    struct snapshot_writer writer = writer_new(&limit);
    snapshot_begin(&writer, SNAPSHOT_ITEM, 0);
    cr_assert_not_null(snapshot_room(&writer, 4000));
    cr_assert_null(snapshot_room(&writer, 4000));
    size_t size = writer.size;
    snapshot_u32(&writer, 1);
    snapshot_text(&writer, "text");
    snapshot_end(&writer);
    snapshot_begin(&writer, SNAPSHOT_ITEM, 1);
    snapshot_end(&writer);
    cr_assert(writer.failed && writer.size == size && !writer.in_section);
    free(writer.data);
}

/* Also where only the padding of a section has no room. */
Test(snapshot, a_section_that_has_no_room_at_its_end_fails_the_writer)
{
    static const unsigned char body[512];
    for (size_t limit = 16; limit <= 512; limit *= 2)
        for (size_t size = 0; size <= limit; size++) {
            size_t most = limit;
            struct snapshot_writer writer = writer_new(&most);
            snapshot_bytes(&writer, body, 0);
            snapshot_begin(&writer, SNAPSHOT_ITEM, 0);
            snapshot_bytes(&writer, body, size);
            snapshot_end(&writer);
            size_t whole = 16 + (size + 7) / 8 * 8;
            cr_expect(writer.failed || writer.size == whole, "%zu of %zu", size, limit);
            cr_expect(whole <= limit || writer.failed, "%zu of %zu", size, limit);
            cr_expect_leq(writer.size, writer.capacity);
            free(writer.data);
        }
}

Test(snapshot, a_size_that_overflows_fails)
{
    struct snapshot_writer writer = writer_new(NULL);
    snapshot_begin(&writer, SNAPSHOT_ITEM, 0);
    cr_assert_null(snapshot_room(&writer, SIZE_MAX));
    cr_assert(writer.failed);
    free(writer.data);
}

Test(snapshot, every_truncation_fails_or_ends_between_sections)
{
    struct snapshot_writer writer = writer_new(NULL);
    write_sample(&writer, "truncated");
    size_t ends = 0;
    for (size_t size = 0; size <= writer.size; size++) {
        unsigned char *copy = malloc(size + 1); /* exact, so that a sanitizer sees overreading */
        copy = realloc(copy, size == 0 ? 1 : size);
        memcpy(copy, writer.data, size);
        bool failed;
        read_all(copy, size, &failed);
        if (!failed)
            ends++;
        free(copy);
    }
    exercised(writer.size + 1 - ends);
    cr_assert_eq(ends, 4); /* nothing, one, two, three sections */
    free(writer.data);
}

Test(snapshot, no_flipped_bit_makes_the_reader_overreach)
{
    struct snapshot_writer writer = writer_new(NULL);
    write_sample(&writer, "flipped");
    for (size_t bit = 0; bit < writer.size * 8; bit++) {
        writer.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        bool failed;
        cr_assert(read_all(writer.data, writer.size, &failed) <= 3);
        writer.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    exercised(writer.size * 8);
    free(writer.data);
}

Test(snapshot, unknown_tags_and_dirty_padding_are_refused)
{
    struct snapshot_writer writer = writer_new(NULL);
    write_sample(&writer, "");
    bool failed;
    cr_assert(read_all(writer.data, writer.size, &failed) == 3 && !failed);
    writer.data[writer.size - 1] = 1;
    cr_assert(read_all(writer.data, writer.size, &failed) == 2 && failed);
    writer.data[0] = SNAPSHOT_SCAN + 1;
    cr_assert(read_all(writer.data, writer.size, &failed) == 0 && failed);
    free(writer.data);
}

Test(snapshot, a_section_asked_for_too_much_fails_and_stays_failed)
{
    struct snapshot_writer writer = writer_new(NULL);
    snapshot_begin(&writer, SNAPSHOT_ITEM, 0);
    snapshot_u32(&writer, 12);
    snapshot_u32(&writer, 13);
    snapshot_end(&writer);
    struct snapshot_reader reader = {writer.data, writer.size, false};
    struct snapshot_section section;
    cr_assert(snapshot_next(&reader, &section));
    cr_assert_null(snapshot_get_text(&section).data); /* 12 bytes are not there */
    cr_assert(section.failed && !snapshot_done(&section));
    cr_assert_eq(snapshot_get_u32(&section), 0);
    cr_assert_eq(snapshot_get_rest(&section).size, 0);
    cr_assert(!snapshot_done(&section));
    free(writer.data);
}

Test(snapshot, content_in_flight_reads_back_and_nothing_else_is_taken_for_it)
{
    const struct snapshot_inflight written[] = {
        {SNAPSHOT_CHANNEL_SIDE, 3, 1, 2, 5, 4, {"sixteen bytes...", 16}},
        {SNAPSHOT_OUTLET_SIDE, UINT32_MAX, 0, 7, 0, 0, {NULL, 0}},
    };
    struct snapshot_writer writer = writer_new(NULL);
    struct snapshot_section section;
    struct snapshot_inflight read;
    for (int i = 0; i < 2; i++)
        snapshot_inflight(&writer, &written[i]);
    snapshot_begin(&writer, SNAPSHOT_INFLIGHT, SNAPSHOT_OUTLET_SIDE + 1); /* no such side */
    snapshot_bytes(&writer, "0123456789abcdef01234567", 24);
    snapshot_end(&writer);
    snapshot_begin(&writer, SNAPSHOT_INFLIGHT, 0); /* cut short */
    snapshot_bytes(&writer, "0123456789abcdef0123456", 23);
    snapshot_end(&writer);
    snapshot_begin(&writer, SNAPSHOT_INFLIGHT, 0); /* what is kept zero is not */
    snapshot_bytes(&writer, "0123456789abcdef01234567", 24);
    snapshot_end(&writer);
    snapshot_begin(&writer, SNAPSHOT_ITEM, 0);
    snapshot_bytes(&writer, "0123456789abcdef", 16);
    snapshot_end(&writer);
    struct snapshot_reader reader = {writer.data, writer.size, false};
    for (int i = 0; i < 2; i++) {
        cr_assert(snapshot_next(&reader, &section));
        cr_assert(snapshot_get_inflight(&section, &read) && snapshot_done(&section));
        cr_assert(read.side == written[i].side && read.edge == written[i].edge);
        cr_assert(read.from_subtask == written[i].from_subtask);
        cr_assert(read.to_subtask == written[i].to_subtask);
        cr_assert(read.restores == written[i].restores);
        cr_assert(read.records == written[i].records && read.items.size == written[i].items.size);
        cr_assert(read.items.size == 0 || memcmp(read.items.data, "sixteen bytes...", 16) == 0);
    }
    for (int i = 0; i < 4; i++)
        cr_assert(snapshot_next(&reader, &section) && !snapshot_get_inflight(&section, &read));
    cr_assert(!snapshot_next(&reader, &section) && !reader.failed);
    free(writer.data);
}
