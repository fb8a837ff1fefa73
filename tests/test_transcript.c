/* SPDX-License-Identifier: Apache-2.0
 *
 * What an operator under torture is judged by: which differences are seen, and how they are told.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "transcript.h"

static const char *const names[] = {"left", "right"};
static struct transcript plain, other;

static void set_up(void)
{
    transcript_init(&plain);
    transcript_init(&other);
}

static void tear_down(void)
{
    transcript_free(&plain);
    transcript_free(&other);
}

TestSuite(transcript, .init = set_up, .fini = tear_down);

static void add(struct transcript *to, uint32_t output, const char *key, const char *value,
                int64_t time)
{
    cr_assert(transcript_add(
        to, output, &(struct weir_record){{key, strlen(key)}, {value, strlen(value)}, time}));
}

static void are_same(enum transcript_how how)
{
    struct weir_error error = {0};
    cr_assert_eq(transcript_compare(&plain, &other, how, names, &error), WEIR_OK, "%s", error.text);
}

static void differ(enum transcript_how how, const char *words)
{
    struct weir_error error = {0};
    cr_assert_eq(transcript_compare(&plain, &other, how, names, &error), WEIR_FAILED);
    cr_assert_str_eq(error.text, words);
}

Test(transcript, tells_which_record_is_another)
{
    add(&plain, 1, "a", "first", 1);
    add(&plain, 1, "a", "second", 2);
    add(&other, 1, "a", "first", 1);
    add(&other, 1, "a", "zwei", 2);
    differ(TRANSCRIPT_ORDERED,
           "record 2 of output right is (key \"a\", value \"zwei\", time 2); in "
           "the plain run it is (key \"a\", value \"second\", time 2)");
    differ(TRANSCRIPT_UNORDERED, "output right has (key \"a\", value \"second\", time 2) once less "
                                 "than in the plain run");
}

Test(transcript, sees_keys_values_and_times)
{
    static const struct weir_record all[] = {{{"ab", 2}, {"c", 1}, 5},
                                             {{"a", 1}, {"bc", 2}, 5},
                                             {{"ab", 2}, {"c", 1}, 6},
                                             {{"ab", 2}, {"c\0", 2}, 5}};
    struct weir_error error;
    transcript_add(&plain, 0, &all[0]);
    for (int i = 1; i < 4; i++) {
        transcript_rewind(&other, &(struct transcript_mark){0});
        transcript_add(&other, 0, &all[i]);
        cr_assert_eq(transcript_compare(&plain, &other, TRANSCRIPT_ORDERED, names, &error),
                     WEIR_FAILED);
        cr_assert_eq(transcript_compare(&plain, &other, TRANSCRIPT_UNORDERED, names, &error),
                     WEIR_FAILED);
    }
}

Test(transcript, keeps_the_order_of_each_output_and_not_between_them)
{
    add(&plain, 0, "", "1", WEIR_NO_TIME);
    add(&plain, 1, "", "2", WEIR_NO_TIME);
    add(&plain, 0, "", "3", WEIR_NO_TIME);
    add(&other, 1, "", "2", WEIR_NO_TIME);
    add(&other, 0, "", "1", WEIR_NO_TIME);
    add(&other, 0, "", "3", WEIR_NO_TIME);
    are_same(TRANSCRIPT_ORDERED);
    are_same(TRANSCRIPT_UNORDERED);
    transcript_rewind(&other, &(struct transcript_mark){0});
    add(&other, 0, "", "3", WEIR_NO_TIME);
    add(&other, 0, "", "1", WEIR_NO_TIME);
    add(&other, 1, "", "2", WEIR_NO_TIME);
    are_same(TRANSCRIPT_UNORDERED);
    differ(TRANSCRIPT_ORDERED, "record 1 of output left is (key empty, value \"3\"); in the plain "
                               "run it is (key empty, value \"1\")");
}

Test(transcript, tells_what_is_missing_and_what_is_too_much)
{
    add(&plain, 0, "k", "1", WEIR_NO_TIME);
    add(&plain, 1, "k", "2", WEIR_NO_TIME);
    add(&other, 1, "k", "2", WEIR_NO_TIME);
    differ(TRANSCRIPT_ORDERED, "record 1 of output left, (key \"k\", value \"1\"), is missing");
    are_same(TRANSCRIPT_PART);
    add(&other, 0, "k", "1", WEIR_NO_TIME);
    are_same(TRANSCRIPT_ORDERED);
    add(&other, 1, "k", "2", WEIR_NO_TIME);
    differ(TRANSCRIPT_PART, "record 2 of output right, (key \"k\", value \"2\"), is one more than "
                            "in the plain run");
    differ(TRANSCRIPT_UNORDERED, "output right has (key \"k\", value \"2\") once more than in the "
                                 "plain run");
}

Test(transcript, goes_back_to_a_mark)
{
    add(&plain, 0, "k", "1", WEIR_NO_TIME);
    add(&plain, 0, "k", "2", WEIR_NO_TIME);
    add(&other, 0, "k", "1", WEIR_NO_TIME);
    struct transcript_mark mark = other.now;
    for (int i = 0; i < 1000; i++)
        add(&other, 0, "k", "dropped", WEIR_NO_TIME);
    transcript_rewind(&other, &mark);
    add(&other, 0, "k", "2", WEIR_NO_TIME);
    are_same(TRANSCRIPT_ORDERED);
}

Test(transcript, sees_records_that_come_behind_a_watermark)
{
    transcript_watermark(&plain, 0, 10);
    transcript_watermark(&other, 0, 20);
    transcript_watermark(&other, 0, 15); /* never goes back */
    add(&plain, 0, "k", "v", 17);
    add(&other, 0, "k", "v", 17);
    differ(TRANSCRIPT_ORDERED, "1 records of output left come behind a watermark above their time; "
                               "none does in the plain run");
    add(&plain, 0, "k", "late", 9);
    add(&other, 0, "k", "late", 9);
    are_same(TRANSCRIPT_ORDERED);
}

Test(transcript, shows_bytes_that_are_no_text)
{
    uint64_t number = 4711;
    transcript_add(&plain, 0, &(struct weir_record){.value = {&number, 8}, .time = WEIR_NO_TIME});
    differ(TRANSCRIPT_ORDERED, "record 1 of output left, (key empty, value u64 4711), is missing");
    transcript_rewind(&plain, &(struct transcript_mark){0});
    transcript_add(&plain, 0, &(struct weir_record){.value = {"\1\2\377", 3}, .time = -1});
    differ(TRANSCRIPT_ORDERED, "record 1 of output left, (key empty, value 3 bytes 01 02 ff, time "
                               "-1), is missing");
}
