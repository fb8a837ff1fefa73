/* SPDX-License-Identifier: Apache-2.0 */
#include "exercised.h"
#include "item.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* Writes a record as a writer does; answers its size. */
static size_t put(unsigned char *to, struct weir_bytes key, struct weir_bytes value, int64_t time)
{
    bool timed = time != ITEM_NO_TIME;
    struct item_head head = {(uint32_t)key.size, (uint32_t)value.size | (timed ? ITEM_TIMED : 0)};
    size_t size = item_size(key.size, value.size, timed);
    memset(to, 0, size);
    memcpy(to, &head, sizeof head);
    unsigned char *at = to + sizeof head;
    if (timed) {
        memcpy(at, &time, sizeof time);
        at += sizeof time;
    }
    memcpy(at, key.data, key.size);
    memcpy(at + item_round(key.size), value.data, value.size);
    return size;
}

/* At the very end of its memory, so that a sanitizer sees a read behind it. */
static size_t next_of(const unsigned char *bytes, size_t size, struct item *item)
{
    unsigned char *exact = malloc(size == 0 ? 1 : size);
    memcpy(exact, bytes, size);
    size_t taken = item_next(exact, size, item);
    unsigned sum = 0;
    for (size_t i = 0; taken > 0 && i < item->key.size; i++)
        sum += ((const unsigned char *)item->key.data)[i];
    for (size_t i = 0; taken > 0 && i < item->value.size; i++)
        sum += ((const unsigned char *)item->value.data)[i];
    cr_assert(sum < UINT32_MAX);
    free(exact);
    return taken;
}

Test(item, reads_back_what_was_written_whatever_the_sizes)
{
    static const char text[] = "0123456789abcdef0123456789abcdef";
    static const int64_t times[] = {ITEM_NO_TIME, INT64_MIN + 1, 0, INT64_MAX};
    unsigned char bytes[128];
    struct item item;
    for (size_t key = 0; key <= 17; key++) {
        for (size_t value = 0; value <= 17; value++) {
            for (size_t t = 0; t < 4; t++) {
                size_t size = put(bytes, (struct weir_bytes){text, key},
                                  (struct weir_bytes){text + 1, value}, times[t]);
                cr_assert_eq(size % 8, 0);
                cr_assert_eq(item_next(bytes, sizeof bytes, &item), size);
                cr_assert(item.mark == 0 && item.time == times[t]);
                cr_assert(item.key.size == key && memcmp(item.key.data, text, key) == 0);
                cr_assert(item.value.size == value &&
                          memcmp(item.value.data, text + 1, value) == 0);
            }
        }
    }
}

Test(item, marks_are_told_from_records)
{
    const struct item_mark marks[] = {{{ITEM_MARK, ITEM_WATERMARK}, 77},
                                      {{ITEM_MARK, ITEM_IDLE}, ITEM_NO_TIME}};
    struct item item;
    for (uint32_t i = 0; i < 2; i++) {
        cr_assert_eq(item_next((const unsigned char *)&marks[i], sizeof marks[i], &item), 16);
        cr_assert(item.mark == marks[i].head.value_size && item.time == marks[i].time);
        cr_assert(item.key.size == 0 && item.value.size == 0);
    }
}

Test(item, no_cut_is_read_beyond)
{
    unsigned char bytes[64];
    struct item item;
    size_t size =
        put(bytes, (struct weir_bytes){"key", 3}, (struct weir_bytes){"the value", 9}, 1000);
    for (size_t left = 0; left < size; left++)
        cr_assert_eq(next_of(bytes, left, &item), 0, "%zu bytes", left);
    cr_assert_eq(next_of(bytes, size, &item), size);
    const struct item_mark mark = {{ITEM_MARK, ITEM_WATERMARK}, 77};
    for (size_t left = 0; left < sizeof mark; left++)
        cr_assert_eq(next_of((const unsigned char *)&mark, left, &item), 0, "%zu bytes", left);
    exercised(size + sizeof mark);
}

Test(item, no_flipped_bit_makes_the_reader_overreach)
{
    unsigned char bytes[64];
    struct item item;
    size_t size = put(bytes, (struct weir_bytes){"key", 3}, (struct weir_bytes){"value", 5}, 1000);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        cr_assert_leq(next_of(bytes, size, &item), size);
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    exercised(8 * size);
}

Test(item, sizes_over_the_limit_unknown_marks_and_dirty_padding_are_refused)
{
    const struct item_head lies[] = {
        {ITEM_SIZE_LIMIT + 1, 0}, {0, ITEM_SIZE_LIMIT + 1}, {ITEM_MARK - 1, 0}, {0, ~ITEM_TIMED}};
    const size_t size = (size_t)40 << 20;
    unsigned char *bytes = calloc(1, size);
    struct item item;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        memcpy(bytes, &lies[i], sizeof lies[i]);
        cr_assert_eq(item_next(bytes, size, &item), 0, "%zu", i);
    }
    memcpy(bytes, &(struct item_head){ITEM_SIZE_LIMIT, ITEM_SIZE_LIMIT}, 8);
    cr_assert_eq(item_next(bytes, size, &item), item_size(ITEM_SIZE_LIMIT, ITEM_SIZE_LIMIT, false));
    for (uint32_t kind = 0; kind < 4; kind += 3) {
        memcpy(bytes, &(struct item_head){ITEM_MARK, kind}, 8);
        cr_assert_eq(item_next(bytes, size, &item), 0, "mark of kind %u", kind);
    }
    size_t whole = put(bytes, (struct weir_bytes){"k", 1}, (struct weir_bytes){"v", 1}, 5);
    for (size_t at = 17; at < whole; at += at == 23 ? 2 : 1) { /* padding after both */
        bytes[at] = 1;
        cr_assert_eq(item_next(bytes, size, &item), 0, "byte %zu", at);
        bytes[at] = 0;
    }
    cr_assert_eq(item_next(bytes, size, &item), whole);
    free(bytes);
}
