/* links: operators fake_context */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Items of operator state put together and taken apart value by value: over the tests' own saver
 * and loader, whose cursor is that of a job.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "fake_context.h"

static struct weir_saver saved;
static struct weir_loader loader;

static void begin(void)
{
    saved = (struct weir_saver){0};
    loader = (struct weir_loader){.from = &saved};
}
static void end(void)
{
    fake_items_free(&saved);
}
TestSuite(operator_item, .init = begin, .fini = end);

static void save_all(void)
{
    weir_save_begin(&saved, WEIR_ITEM_UNION);
    weir_save_u32(&saved, 0x01020304);
    weir_save_u64(&saved, UINT64_MAX - 1);
    weir_save_i64(&saved, INT64_MIN);
    weir_save_f64(&saved, -0.0);
    weir_save_bytes(&saved, (struct weir_bytes){"a\0b", 3});
    weir_save_bytes(&saved, (struct weir_bytes){NULL, 0});
    weir_save_text(&saved, "text");
    weir_save_raw(&saved, (struct weir_bytes){"raw", 3});
    weir_save_end(&saved);
}

/* What load takes, in the order of save_all; all answers are sane, whatever the item holds. */
static void load_all(bool whole)
{
    char text[5];
    uint32_t small = weir_load_u32(&loader);
    uint64_t large = weir_load_u64(&loader);
    int64_t least = weir_load_i64(&loader);
    double zero = weir_load_f64(&loader);
    struct weir_bytes bytes = weir_load_bytes(&loader), none = weir_load_bytes(&loader);
    bool told = weir_load_text(&loader, text, sizeof text);
    struct weir_bytes raw = weir_load_raw(&loader, 3);
    cr_expect_eq(told, text[0] != 0);
    cr_expect_eq(none.size, 0);
    if (!whole) {
        cr_expect_null(raw.data);
        cr_expect(!signbit(zero) || zero == 0);
        return;
    }
    cr_expect_eq(small, 0x01020304);
    cr_expect_eq(large, UINT64_MAX - 1);
    cr_expect_eq(least, INT64_MIN);
    cr_expect(zero == 0 && signbit(zero));
    cr_expect(bytes.size == 3 && memcmp(bytes.data, "a\0b", 3) == 0);
    cr_expect_str_eq(text, "text");
    cr_expect(raw.size == 3 && memcmp(raw.data, "raw", 3) == 0);
}

Test(operator_item, every_value_comes_back)
{
    enum weir_item kind;
    save_all();
    weir_save(&saved, WEIR_ITEM_SPLIT, (struct weir_bytes){"whole", 5});
    cr_assert(weir_load_item(&loader, &kind));
    cr_expect_eq(kind, WEIR_ITEM_UNION);
    load_all(true);
    cr_expect_eq(weir_load_left(&loader), 0);
    weir_load_done(&loader);
    cr_assert(weir_load_item(&loader, NULL));
    cr_expect_eq(weir_load_left(&loader), 5);
    cr_expect_eq(memcmp(weir_load_raw(&loader, 5).data, "whole", 5), 0);
    cr_expect_not(weir_load_item(&loader, &kind));
    cr_expect_not(weir_load_failed(&loader));
}

Test(operator_item, numbers_are_little_endian_whatever_the_machine)
{
    static const unsigned char wanted[] = {4, 3, 2, 1, 2, 0, 0, 0, 'h', 'i'};
    weir_save_begin(&saved, WEIR_ITEM_SPLIT);
    weir_save_u32(&saved, 0x01020304);
    weir_save_text(&saved, "hi");
    weir_save_end(&saved);
    cr_assert_eq(saved.items[0].size, sizeof wanted);
    cr_expect_eq(memcmp(saved.items[0].data, wanted, sizeof wanted), 0);
}

Test(operator_item, an_item_cut_short_anywhere_fails_the_loader_and_names_the_byte)
{
    save_all();
    size_t whole = saved.items[0].size;
    for (size_t size = 0; size < whole; size++) {
        char wanted[64];
        loader = (struct weir_loader){.from = &saved};
        saved.items[0].size = size;
        cr_assert(weir_load_item(&loader, NULL));
        load_all(false);
        cr_assert(weir_load_failed(&loader), "%zu bytes", size);
        snprintf(wanted, sizeof wanted, " of %zu: ", size);
        cr_expect(strstr(loader.item.failed, "item 1, at byte "), "%s", loader.item.failed);
        cr_expect(strstr(loader.item.failed, wanted), "%s", loader.item.failed);
        cr_expect_eq(weir_load_left(&loader), 0);
        cr_expect_not(weir_load_item(&loader, NULL)); /* sticky */
    }
}

Test(operator_item, the_first_failure_sticks)
{
    save_all();
    cr_expect_eq(weir_load_u32(&loader), 0); /* before the first item */
    cr_expect(strstr(loader.item.failed, "before the first item: 4 bytes"), "%s",
              loader.item.failed);
    weir_load_fail(&loader, "something else");
    weir_load_done(&loader);
    cr_expect_null(strstr(loader.item.failed, "else"));
}

Test(operator_item, what_nobody_expects_fails_the_loader)
{
    save_all();
    cr_assert(weir_load_item(&loader, NULL));
    weir_load_u32(&loader);
    weir_load_done(&loader);
    cr_expect(strstr(loader.item.failed, "item 1, at byte 4 of "), "%s", loader.item.failed);
    cr_expect(strstr(loader.item.failed, "are left that nobody expects"), "%s", loader.item.failed);
}

Test(operator_item, what_the_operator_found_is_told_with_its_place)
{
    save_all();
    cr_assert(weir_load_item(&loader, NULL));
    weir_load_u32(&loader);
    weir_load_fail(&loader, "a count of %d", -1);
    cr_expect(strstr(loader.item.failed, "item 1, at byte 4 of "), "%s", loader.item.failed);
    cr_expect(strstr(loader.item.failed, ": a count of -1"), "%s", loader.item.failed);
}

Test(operator_item, a_text_must_fit_and_have_no_zero)
{
    char text[4];
    for (int i = 0; i < 3; i++) {
        weir_save_begin(&saved, WEIR_ITEM_SPLIT);
        weir_save_bytes(&saved, (struct weir_bytes){i == 0   ? "abc"
                                                    : i == 1 ? "abcd"
                                                             : "a\0c",
                                                    i == 1 ? 4 : 3});
        weir_save_end(&saved);
    }
    for (size_t i = 0; i < 3; i++) {
        loader = (struct weir_loader){.from = &saved, .next = i};
        cr_assert(weir_load_item(&loader, NULL));
        cr_expect_eq(weir_load_text(&loader, text, sizeof text), i == 0);
        cr_expect_str_eq(text, i == 0 ? "abc" : "");
        cr_expect_eq(weir_load_failed(&loader), i > 0);
    }
}

Test(operator_item, a_text_of_nothing_is_one)
{
    char text[1] = {'x'};
    weir_save_begin(&saved, WEIR_ITEM_SPLIT);
    weir_save_text(&saved, "");
    weir_save_u32(&saved, 100);
    weir_save_end(&saved);
    cr_assert(weir_load_item(&loader, NULL));
    cr_expect(weir_load_text(&loader, text, sizeof text));
    cr_expect_str_eq(text, "");
    cr_expect_not(weir_load_text(&loader, text, sizeof text));
    cr_expect(strstr(loader.item.failed, "100 bytes are expected there, and 0 are left"), "%s",
              loader.item.failed);
    cr_expect_not(weir_load_text(&loader, text, sizeof text)); /* and once more */
    cr_expect_not(weir_load_item(&loader, NULL));
}
