/* SPDX-License-Identifier: Apache-2.0 */
/* links: main */
/*
 * Typed parameters: what each type takes, what it refuses and how it says so, that a program's own
 * mistakes are found, and that the help lists them in columns.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "bytes.h"
#include "duration.h"
#include "parameters.h"
#include "quantity.h"

static const struct weir_parameter declared[] = {
    {"path", WEIR_TEXT, "here", "a path", NULL},
    {"rate", WEIR_COUNT, "7", "lines a second", NULL},
    {"emit", WEIR_CHOICE, "final", "when", "final|updates"},
    {"shift", WEIR_WHOLE, "-3", "of the time", NULL},
    {"share", WEIR_REAL, "0.5", "of the whole", NULL},
    {"late", WEIR_FLAG, "yes", "records as well", NULL},
    {"window", WEIR_DURATION, "10s", "how long", NULL},
    {"memory", WEIR_BYTES, "64KiB", "how much", NULL},
    {0}};

static struct weir_parameters parameters;
static struct weir_error error;

static enum weir_result set(const char *name, const char *value)
{
    memset(&error, 0, sizeof error);
    cr_assert_eq(parameters_begin(&parameters, declared, &error), WEIR_OK, "%s", error.text);
    return parameters_set(&parameters, PARAMETERS_LINE, name, strlen(name), value, &error);
}

static void refused(const char *name, const char *value, const char *says)
{
    char opening[80];

    cr_expect_eq(set(name, value), WEIR_INVALID, "accepted: %s=%s", name, value);
    cr_expect(strstr(error.text, says) != NULL, "%s=%s: \"%s\"", name, value, error.text);
    snprintf(opening, sizeof opening, "--set %s:", name);
    cr_expect_eq(strncmp(error.text, opening, strlen(opening)), 0, "\"%s\"", error.text);
}

Test(parameters, have_their_defaults_in_their_types)
{
    cr_assert_eq(parameters_begin(&parameters, declared, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(parameters_end(&parameters, &error), WEIR_OK, "%s", error.text);
    cr_expect_str_eq(weir_parameter_text(&parameters, "path"), "here");
    cr_expect_eq(weir_parameter_count(&parameters, "rate"), 7);
    cr_expect_str_eq(weir_parameter_text(&parameters, "emit"), "final");
    cr_expect_eq(weir_parameter_whole(&parameters, "shift"), -3);
    cr_expect_eq(weir_parameter_real(&parameters, "share"), 0.5);
    cr_expect(weir_parameter_flag(&parameters, "late"));
    cr_expect_eq(weir_parameter_duration(&parameters, "window"), INT64_C(10000000000));
    cr_expect_eq(weir_parameter_bytes(&parameters, "memory"), 65536);
}

static int64_t whole(const char *text)
{
    cr_assert_eq(set("shift", text), WEIR_OK, "%s", error.text);
    return weir_parameter_whole(&parameters, "shift");
}

Test(parameters, take_whole_numbers_of_either_sign_to_their_ends)
{
    cr_expect_eq(whole("0"), 0);
    cr_expect_eq(whole("-0"), 0);
    cr_expect_eq(whole("12"), 12);
    cr_expect_eq(whole("9223372036854775807"), INT64_MAX);
    cr_expect_eq(whole("-9223372036854775808"), INT64_MIN);
    static const char *const wrong[] = {"",
                                        "-",
                                        "+1",
                                        "1.5",
                                        "1e3",
                                        "0x10",
                                        " 1",
                                        "--1",
                                        "9223372036854775808",
                                        "-9223372036854775809"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        refused("shift", wrong[i], "is not a whole number, such as -10");
}

static double real(const char *text)
{
    cr_assert_eq(set("share", text), WEIR_OK, "%s", error.text);
    return weir_parameter_real(&parameters, "share");
}

Test(parameters, take_decimal_numbers_and_nothing_stranger)
{
    cr_expect_eq(real("0.25"), 0.25);
    cr_expect_eq(real("-1e6"), -1e6);
    cr_expect_eq(real("3"), 3);
    cr_expect_eq(real(".5"), 0.5);
    static const char *const wrong[] = {"",   "half", "inf",   "nan", "0x1p3", " 1",
                                        "1 ", "1,5",  "1e999", "1e",  "-"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        refused("share", wrong[i], "is not a decimal number, such as 0.25");
}

Test(parameters, take_yes_or_no)
{
    cr_assert_eq(set("late", "no"), WEIR_OK);
    cr_expect_not(weir_parameter_flag(&parameters, "late"));
    refused("late", "true", "\"true\" is not yes or no");
    refused("late", "", "is not yes or no");
    refused("late", "YES", "is not yes or no");
}

static int64_t duration(const char *text)
{
    cr_assert_eq(set("window", text), WEIR_OK, "%s", error.text);
    return weir_parameter_duration(&parameters, "window");
}

Test(parameters, take_durations_with_a_unit_only)
{
    cr_expect_eq(duration("250us"), 250000);
    cr_expect_eq(duration("250ms"), 250000000);
    cr_expect_eq(duration("5min"), INT64_C(300000000000));
    cr_expect_eq(duration("2h"), INT64_C(7200000000000));
    cr_expect_eq(duration("0s"), 0);
    refused("window", "10", "10 has no unit; say 10ms or 10s");
    refused("window", "10m", "the unit \"m\" is unknown; use us, ms, s, min or h");
    refused("window", "-1s", "no length of time");
    refused("window", "9999999999999h", "too long");
}

static uint64_t bytes(const char *text)
{
    cr_assert_eq(set("memory", text), WEIR_OK, "%s", error.text);
    return weir_parameter_bytes(&parameters, "memory");
}

Test(parameters, take_bytes_with_a_unit_only)
{
    cr_expect_eq(bytes("4096B"), 4096);
    cr_expect_eq(bytes("1MiB"), 1 << 20);
    cr_expect_eq(bytes("10GB"), UINT64_C(10000000000));
    cr_expect_eq(bytes("2kB"), 2000);
    cr_expect_eq(bytes("3TiB"), UINT64_C(3) << 40);
    cr_expect_eq(bytes("0B"), 0);
    refused("memory", "64", "64 has no unit; say 64B or 64MiB");
    refused("memory", "64KB", "the unit \"KB\" is unknown; use B, or kB, MB, GB, TB of 1000, or");
    refused("memory", "64mb", "unknown");
    refused("memory", "much", "no amount of bytes");
    refused("memory", "99999999999TiB", "too large");
}

Test(parameters, refuse_by_name_type_and_example)
{
    refused("rate", "fast", "\"fast\" is not a whole number of at least 0, such as 1000");
    refused("rate", "-1", "is not a whole number");
    refused("rate", "18446744073709551616", "is not a whole number");
    refused("emit", "never", "\"never\" is none of final|updates");
    refused("rat", "1", "unknown parameter; did you mean \"rate\"?");
}

Test(parameters, answer_nothing_to_a_name_or_type_that_was_not_declared)
{
    cr_assert_eq(parameters_begin(&parameters, declared, &error), WEIR_OK, "%s", error.text);
    cr_expect_str_eq(weir_parameter_text(&parameters, "rate"), "");
    cr_expect_eq(weir_parameter_count(&parameters, "memory"), 0);
    cr_expect_eq(weir_parameter_bytes(&parameters, "rate"), 0);
    cr_expect_eq(weir_parameter_whole(&parameters, "window"), 0);
    cr_expect_eq(weir_parameter_duration(&parameters, "shift"), 0);
    cr_expect_eq(weir_parameter_real(&parameters, "rate"), 0);
    cr_expect_not(weir_parameter_flag(&parameters, "rate"));
    cr_expect_not(weir_parameter_flag(&parameters, "undeclared"));
}

static void faulty(const struct weir_parameter *wrong, const char *says)
{
    const struct weir_parameter list[] = {declared[0], *wrong, {0}};

    cr_expect_eq(parameters_begin(&parameters, list, &error), WEIR_INVALID, "taken: %s", says);
    cr_expect(strstr(error.text, "the program") != NULL && strstr(error.text, says) != NULL,
              "\"%s\"", error.text);
}

Test(parameters, find_the_programs_own_mistakes)
{
    faulty(&(struct weir_parameter){"rate", WEIR_COUNT, "many", NULL, NULL},
           "default of rate: \"many\" is not a whole number");
    faulty(&(struct weir_parameter){"window", WEIR_DURATION, "10", NULL, NULL}, "has no unit");
    faulty(&(struct weir_parameter){"emit", WEIR_CHOICE, "x", NULL, "a|b"}, "none of a|b");
    faulty(&(struct weir_parameter){"emit", WEIR_CHOICE, "a", NULL, NULL}, "without its choices");
    faulty(&(struct weir_parameter){"path", WEIR_TEXT, "", NULL, NULL}, "path twice");
    faulty(&(struct weir_parameter){"a b", WEIR_TEXT, "", NULL, NULL}, "names are of letters");
    faulty(&(struct weir_parameter){"x", (enum weir_parameter_type)99, "", NULL, NULL},
           "a type that does not exist");
}

Test(parameters, are_not_more_than_there_is_room_for)
{
    struct weir_parameter many[PARAMETERS_LIMIT + 2] = {0};
    char names[PARAMETERS_LIMIT + 1][8];

    for (unsigned i = 0; i <= PARAMETERS_LIMIT; i++) {
        snprintf(names[i], sizeof names[i], "p%u", i);
        many[i] = (struct weir_parameter){names[i], WEIR_TEXT, "", NULL, NULL};
    }
    cr_expect_eq(parameters_begin(&parameters, many, &error), WEIR_INVALID);
    cr_expect_not_null(strstr(error.text, "declares more than"), "%s", error.text);
    many[PARAMETERS_LIMIT].name = NULL;
    cr_expect_eq(parameters_begin(&parameters, many, &error), WEIR_OK, "%s", error.text);
    faulty(&(struct weir_parameter){"", WEIR_TEXT, "", NULL, NULL}, "names are of letters");
}

Test(parameters, tell_an_unknown_name_of_those_there_are)
{
    static const struct weir_parameter none[] = {{0}};

    refused("quite_another", "1", "unknown parameter; --help lists them");
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(parameters_begin(&parameters, i ? none : NULL, &error), WEIR_OK);
        cr_expect_eq(parameters_set(&parameters, PARAMETERS_LINE, "rate", 4, "1", &error),
                     WEIR_INVALID);
        cr_expect_str_eq(error.text, "--set rate: this program has no parameters");
    }
}

/* All of them are named at once, as far as there is room. */
Test(parameters, that_are_required_are_asked_for_by_name)
{
    char names[30][24];
    struct weir_parameter list[31] = {{"path", WEIR_TEXT, NULL, "where it is", NULL},
                                      {"rate", WEIR_COUNT, NULL, NULL, NULL}};

    cr_assert_eq(parameters_begin(&parameters, list, &error), WEIR_OK, "%s", error.text);
    cr_expect_str_eq(weir_parameter_text(&parameters, "path"), "");
    cr_expect_eq(parameters_set(&parameters, PARAMETERS_LINE, "path", 4, "", &error), WEIR_INVALID);
    cr_expect_str_eq(error.text, "--set path: the value is empty");
    cr_expect_eq(parameters_set(&parameters, PARAMETERS_FILE, "path", 4, NULL, &error),
                 WEIR_INVALID);
    cr_expect_str_eq(error.text, "--set path has no value: say --set path=VALUE");
    cr_assert_eq(parameters_begin(&parameters, list, &error), WEIR_OK);
    cr_expect_eq(parameters_end(&parameters, &error), WEIR_INVALID);
    cr_expect_str_eq(error.text,
                     "missing: --set path=... (where it is) and --set rate=... (required)");
    for (size_t i = 2; i < 30; i++) {
        snprintf(names[i], sizeof names[i], "a_long_name_of_it_%zu", i);
        list[i] = (struct weir_parameter){names[i], WEIR_TEXT, NULL, "what it is for", NULL};
    }
    cr_assert_eq(parameters_begin(&parameters, list, &error), WEIR_OK);
    cr_expect_eq(parameters_end(&parameters, &error), WEIR_INVALID);
    cr_expect_null(strstr(error.text, "a_long_name_of_it_29"), "%s", error.text);
}

Test(parameters, are_listed_with_what_they_lack)
{
    const struct weir_parameter list[] = {
        {"needed", WEIR_TEXT, NULL, NULL, NULL},
        {"a_name_that_is_too_long_for_any_column", WEIR_TEXT, "", "odd", NULL},
        {0}};
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    parameters_print(list, out);
    parameters_print(NULL, out);
    fclose(out);
    cr_expect_not_null(strstr(text, "required"), "%s", text);
    cr_expect_not_null(strstr(text, "\"\""), "%s", text);
    cr_expect_leq(strstr(text, "TYPE") - text, 30, "%s", text);
    free(text);
}

Test(parameters, are_listed_in_columns)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    parameters_print(declared, out);
    fclose(out);
    const char *first = strstr(text, "NAME"), *second = strstr(text, "path");
    cr_assert(first != NULL && second != NULL, "%s", text);
    /* Every line has its type and its help in the columns of the first. */
    size_t type = (size_t)(strstr(text, "TYPE") - text);
    size_t help = (size_t)(strstr(second, "a path") - (strchr(text, '\n') + 1));
    size_t lines = 0;
    for (const char *line = strchr(text, '\n') + 1; *line != '\0'; line = strchr(line, '\n') + 1) {
        const struct weir_parameter *p = &declared[lines++];
        cr_expect_eq(strncmp(line + 2, p->name, strlen(p->name)), 0, "%s", line);
        cr_expect_eq(strncmp(line + type, parameters_type(p), strlen(parameters_type(p))), 0);
        cr_expect_eq(strncmp(line + help, p->help, strlen(p->help)), 0, "%s", line);
        cr_expect(strstr(line, p->standard) < line + help, "%s", line);
    }
    cr_expect_eq(lines, 8);
    free(text);
}

Test(bytes, print_three_digits)
{
    char text[BYTES_TEXT];

    cr_expect_str_eq(bytes_print(0, text), "0 B");
    cr_expect_str_eq(bytes_print(999, text), "999 B");
    cr_expect_str_eq(bytes_print(12345, text), "12.3 kB");
    cr_expect_str_eq(bytes_print(123456, text), "123 kB");
    cr_expect_str_eq(bytes_print(999990, text), "1.0 MB");
    cr_expect_str_eq(bytes_print(UINT64_MAX, text), "18.4 EB");
}
