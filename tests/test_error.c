/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "error.h"

Test(error, every_result_has_a_name_and_others_a_question_mark)
{
    for (int i = 0; i <= WEIR_PROTOCOL; i++)
        cr_assert(strncmp(weir_result_name((enum weir_result)i), "WEIR_", 5) == 0);
    cr_assert_str_eq(weir_result_name((enum weir_result)(WEIR_PROTOCOL + 1)), "?");
    cr_assert_str_eq(weir_result_name((enum weir_result) - 1), "?");
    cr_assert_str_eq(weir_version(), "0.1.0");
}

Test(error, takes_no_error_to_fill)
{
    cr_assert_eq(error_set(NULL, WEIR_IO, 5, "x"), WEIR_IO);
    cr_assert_eq(error_os(NULL, ENOMEM, "x"), WEIR_NO_MEMORY);
    cr_assert_eq(error_memory(NULL, "x", 1), WEIR_NO_MEMORY);
}

Test(error, says_what_failed_and_why)
{
    struct weir_error error;
    cr_assert_eq(error_os(&error, ENOENT, "opening %s", "a file"), WEIR_IO);
    cr_assert_str_eq(error.text, "opening a file: No such file or directory");
    cr_assert_eq(error.os_error, ENOENT);
    cr_assert_eq(error_os(&error, ENOMEM, "x"), WEIR_NO_MEMORY);
}

Test(error, adds_context_in_front_and_keeps_the_node)
{
    struct weir_error error;
    (void)error_set(&error, WEIR_DAMAGED, 0, "cut short");
    strcpy(error.node, "count");
    cr_assert_eq(error_within(&error, "blob %d", 7), WEIR_DAMAGED);
    cr_assert_str_eq(error.text, "blob 7: cut short");
    cr_assert_str_eq(error.node, "count");
    (void)error_set(&error, WEIR_IO, 0, "again: %s", error.text); /* its own text as an argument */
    cr_assert_str_eq(error.text, "again: blob 7: cut short");
}

Test(error, replaces_what_could_forge_a_log_line)
{
    struct weir_error error;
    (void)error_set(&error, WEIR_IO, 0, "a\nb\x1b[31m\x7f\xff\xc2\x9b\xc3\xa9");
    cr_assert_str_eq(error.text, "a?b?[31m????\xc3\xa9");
}

/* The table 3-7 of the Unicode standard, at its edges; without the C1 controls. */
Test(error, keeps_well_formed_sequences_and_no_others)
{
    static const char *const kept[] = {
        "\xc2\xa0",         "\xdf\xbf",         "\xe0\xa0\x80",     "\xe0\xbf\xbf",
        "\xe1\x80\x80",     "\xec\xbf\xbf",     "\xed\x80\x80",     "\xed\x9f\xbf",
        "\xee\x80\x80",     "\xef\xbf\xbf",     "\xf0\x90\x80\x80", "\xf0\xbf\xbf\xbf",
        "\xf1\x80\x80\x80", "\xf3\xbf\xbf\xbf", "\xf4\x80\x80\x80", "\xf4\x8f\xbf\xbf"};
    static const char *const replaced[] = {"\x80",
                                           "\xbf",
                                           "\xc0\xaf",
                                           "\xc1\xbf",
                                           "\xc2",
                                           "\xc2\x80",
                                           "\xe0\x9f\xbf",
                                           "\xed\xa0\x80",
                                           "\xe1\x80",
                                           "\xef\xbf",
                                           "\xf0\x8f\xbf\xbf",
                                           "\xf4\x90\x80\x80",
                                           "\xf5\x80\x80\x80",
                                           "\xff",
                                           "\xf1\x80\x80"};
    struct weir_error error;
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        (void)error_set(&error, WEIR_IO, 0, "%s", kept[i]);
        cr_assert_str_eq(error.text, kept[i], "sequence %zu", i);
    }
    for (size_t i = 0; i < sizeof replaced / sizeof replaced[0]; i++) {
        (void)error_set(&error, WEIR_IO, 0, "%s", replaced[i]);
        cr_assert_eq(strlen(error.text), strlen(replaced[i]));
        cr_assert_eq(strspn(error.text, "?"), strlen(replaced[i]), "sequence %zu", i);
    }
}

Test(error, cuts_long_texts_and_not_inside_a_character)
{
    struct weir_error error;
    char text[2000];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = 0;
    text[sizeof error.text - 2] = '\xc3'; /* the cut falls between these two */
    text[sizeof error.text - 1] = '\xa9';
    (void)error_set(&error, WEIR_IO, 0, "%s", text);
    cr_assert_eq(strlen(error.text), sizeof error.text - 1);
    cr_assert_eq(error.text[sizeof error.text - 2], '?');
    (void)error_within(&error, "%s", text);
    cr_assert_eq(strlen(error.text), sizeof error.text - 1);
}
