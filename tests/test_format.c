/* links: tool */
/* SPDX-License-Identifier: Apache-2.0
 *
 * Values as the tool `weir` shows them, and takes them.
 */
#include "format.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "chance.h"

static struct format read_format(const char *text)
{
    struct format format;
    cr_assert(format_read(&format, text), "%s", text);
    return format;
}

/* The caller frees it. */
static char *print(const char *format_text, const void *data, size_t size)
{
    struct format format = read_format(format_text);
    char *text;
    size_t told;
    FILE *to = open_memstream(&text, &told);
    format_print(&format, (struct weir_bytes){data, size}, to);
    fclose(to);
    return text;
}

static char *print_json(const char *format_text, const void *data, size_t size)
{
    struct format format = read_format(format_text);
    json_t *value = format_json(&format, (struct weir_bytes){data, size});
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    json_decref(value);
    return text;
}

/* As text, and as JSON. */
static void shows(const char *format, const void *data, size_t size, const char *text,
                  const char *json)
{
    char *printed = print(format, data, size), *dumped = print_json(format, data, size);
    cr_expect_str_eq(printed, text);
    cr_assert_not_null(dumped, "%s", text);
    cr_expect_str_eq(dumped, json);
    free(printed);
    free(dumped);
}

static void parses(const char *format_text, const char *text, const void *data, size_t size)
{
    struct format format = read_format(format_text);
    void *parsed;
    size_t parsed_size;
    cr_assert(format_parse(&format, text, &parsed, &parsed_size), "%s: %s", format_text, text);
    cr_assert_eq(parsed_size, size, "%s: %s", format_text, text);
    cr_assert(size == 0 || memcmp(parsed, data, size) == 0, "%s: %s", format_text, text);
    free(parsed);
}

static void refuses(const char *format_text, const char *text)
{
    struct format format = read_format(format_text);
    void *parsed;
    size_t size;
    cr_assert(!format_parse(&format, text, &parsed, &size), "%s: %s", format_text, text);
    cr_assert_null(parsed);
    cr_assert_gt(strlen(format_example(&format)), 0);
}

/* What is shown leads back to the bytes. */
static void returns(const char *format, const void *data, size_t size)
{
    char *text = print(format, data, size);
    parses(format, text, data, size);
    free(text);
}

Test(format, numbers)
{
    uint64_t most = UINT64_MAX;
    int64_t least = INT64_MIN;
    int32_t minus = -7;
    uint16_t small = 513;
    shows("u64", &most, 8, "18446744073709551615", "\"18446744073709551615\"");
    shows("i64", &least, 8, "-9223372036854775808", "-9223372036854775808");
    shows("i32", &minus, 4, "-7", "-7");
    shows("u32", &minus, 4, "4294967289", "4294967289");
    shows("u16", &small, 2, "513", "513");
    shows("i8", &minus, 1, "-7", "-7");
    returns("u64", &most, 8);
    returns("i64", &least, 8);
    refuses("u64", "-1");
    refuses("u64", "18446744073709551616");
    refuses("u32", "4294967296");
    refuses("i8", "128");
    refuses("i8", "-129");
    refuses("i64", "9223372036854775808");
    refuses("u64", "");
    refuses("u64", " 1 2");
    refuses("u64", "1x");
    refuses("u64", "x");
}

Test(format, reals)
{
    double third = 1.0 / 3, none = NAN, endless = -INFINITY, tenth = 0.1, tiny = 5e-324;
    float shorter = 0.1f;
    shows("f64", &third, 8, "0.3333333333333333", "0.33333333333333331");
    shows("f64", &tenth, 8, "0.1", "0.10000000000000001");
    shows("f64", &none, 8, "nan", "\"nan\"");
    shows("f64", &endless, 8, "-inf", "\"-inf\"");
    shows("f32", &shorter, 4, "0.1", "0.10000000149011612");
    returns("f64", &third, 8);
    returns("f64", &tiny, 8);
    returns("f64", &none, 8);
    returns("f64", &endless, 8);
    returns("f32", &shorter, 4);
    refuses("f64", "1.5.");
    unsigned char other_nan[8] = {1, 0, 0, 0, 0, 0, 0xf0, 0xff};
    shows("f64", other_nan, 8, "nan", "\"nan\"");
}

Test(format, structs_lie_as_in_c)
{
    struct {
        uint8_t flag;
        double sum;
        uint32_t bins[3];
        int16_t last;
    } value = {1, 2.5, {7, 8, 9}, -1}, zeroed;
    const char *format = "{u8 flag; f64 sum; u32 bins[3]; i16 last}";
    shows(format, &value, sizeof value, "{flag: 1, sum: 2.5, bins: [7, 8, 9], last: -1}",
          "{\"flag\":1,\"sum\":2.5,\"bins\":[7,8,9],\"last\":-1}");
    memset(&zeroed, 0, sizeof zeroed); /* its padding too */
    zeroed.flag = 1;
    zeroed.sum = 2.5;
    memcpy(zeroed.bins, value.bins, sizeof value.bins);
    zeroed.last = -1;
    returns(format, &zeroed, sizeof zeroed);
    parses(format, "{1,2.5,[7,8,9],-1}", &zeroed, sizeof zeroed);
    parses(format, " { flag : 1, 2.5 , bins:[ 7 ,8, 9 ], -1 } ", &zeroed, sizeof zeroed);
    refuses(format, "{1, 2.5, [7, 8], -1}");
    refuses(format, "{1, 2.5, [7, 8, 9]}");
    refuses(format, "{1, 2.5, [7, 8, 9], -1} 2");
    refuses(format, "{last: 1, 2.5, [7, 8, 9], -1}");
}

Test(format, arrays)
{
    uint32_t three[] = {1, 2, 3};
    struct {
        uint64_t count;
        double sum;
    } two[] = {{1, 0.5}, {2, 1}};
    shows("u32[3]", three, 12, "[1, 2, 3]", "[1,2,3]");
    shows("u32[]", three, 8, "[1, 2]", "[1,2]");
    shows("u32[]", three, 0, "[]", "[]");
    shows("u32[3]", three, 8, "0x0100000002000000", "{\"hex\":\"0100000002000000\"}");
    shows("u32[]", three, 6, "0x010000000200", "{\"hex\":\"010000000200\"}");
    shows("{u64 count; f64 sum}[]", two, sizeof two, "[{count: 1, sum: 0.5}, {count: 2, sum: 1}]",
          "[{\"count\":1,\"sum\":0.5},{\"count\":2,\"sum\":1.0}]");
    returns("u32[3]", three, 12);
    returns("u32[]", three, 0);
    returns("u32[]", three, 6);
    returns("{u64 count; f64 sum}[]", two, sizeof two);
    refuses("u32[3]", "[1, 2]");
    refuses("u32[3]", "[1, 2, 3, 4]");
    refuses("u32[]", "[1, 2");
}

Test(format, texts)
{
    shows("utf8", "K\303\266ln", 5, "K\303\266ln", "\"K\\u00F6ln\"");
    shows("utf8", "", 0, "", "\"\"");
    shows("utf8", "a\tb\\\n\033[31m\302\205\0", 13, "a\\tb\\\\\\n\\x1b[31m\\xc2\\x85\\x00",
          "\"a\\tb\\\\\\n\\u001B[31m\\u0085\\u0000\"");
    shows("utf8", "\377\376", 2, "0xfffe", "{\"hex\":\"fffe\"}");
    shows("utf8", "\355\240\200", 3, "0xeda080", "{\"hex\":\"eda080\"}"); /* a surrogate */
    shows("utf8", "\300\200", 2, "0xc080", "{\"hex\":\"c080\"}");         /* longer than need be */
    shows("utf8", "\303", 1, "0xc3", "{\"hex\":\"c3\"}");
    shows("utf8", "0x41", 4, "\\x30x41", "\"0x41\"");
    returns("utf8", "0x41", 4);
    returns("utf8", "a\tb\\\n\033[31m\302\205\0", 13);
    parses("utf8", "0x41", "A", 1);
    refuses("utf8", "0x4");
    refuses("utf8", "0x4g");
    refuses("utf8", "a\\q");
    refuses("utf8", "a\\x4");
}

Test(format, json_is_shown_on_one_line)
{
    const char *text = "{\"a\":\n [1, \"\177\302\205\"]}";
    shows("json", text, strlen(text), "{\"a\":  [1, \"\\u007f\\u0085\"]}",
          "{\"a\":[1,\"\177\\u0085\"]}");
    shows("json", "17", 2, "17", "17");
    shows("json", "{\"a\":", 5, "0x7b2261223a", "{\"hex\":\"7b2261223a\"}");
    shows("json", "", 0, "0x", "{\"hex\":\"\"}");
    returns("json", "{\"a\": 1}", 8);
    returns("json", "{\"a\":", 5);
}

Test(format, what_declares_none_is_text_in_quotes_or_hex)
{
    uint64_t five = 5;
    shows("", "the \"word\"", 10, "\"the \\\"word\\\"\"", "\"the \\\"word\\\"\"");
    shows("", &five, 8, "0x0500000000000000", "{\"hex\":\"0500000000000000\"}");
    shows("", "a\tb", 3, "0x610962", "{\"hex\":\"610962\"}");
    shows("hex", "ab", 2, "0x6162", "{\"hex\":\"6162\"}");
    shows("u64", &five, 7, "0x05000000000000", "{\"hex\":\"05000000000000\"}");
    parses("", "word", "word", 4);
    parses("", "\"word\"", "word", 4);
    parses("hex", "6162", "ab", 2);
    parses("hex", "0x", "", 0);
    refuses("hex", "616");
}

/* Somewhere short of its end, or in another order. */
Test(format, values_that_are_cut_or_mixed_up_are_refused)
{
    static const char two[] = "{u8 a[2];\n\ti16 b_c}";
    refuses(two, "{[1, 2], 3");
    refuses(two, "{1, 2, 3}");
    refuses(two, "{[1 2], 3}");
    refuses(two, "{[1, 2, 3}");
    refuses(two, "[1, 2], 3}");
    refuses(two, "{a [1, 2], 3}");
    refuses(two, "{a: [1, 2], b: 3}");
    refuses("u16[2]", "[1, 2] 3");
    refuses("u16[2]", "1, 2");
    refuses("u16[2]", "");
    refuses("utf8", "\\");
    refuses("utf8", "\\x");
    refuses("utf8", "\\x4");
    refuses("utf8", "\\xg0");
    refuses("utf8", "\\x0g");
    refuses("utf8", "\\y00");
    const unsigned char bytes[] = {1, 2, 3, 0};
    shows("{u8 a[2];\n\ti16 b_c}", bytes, 4, "{a: [1, 2], b_c: 3}", "{\"a\":[1,2],\"b_c\":3}");
    shows("{u8 a-b}", bytes, 1, "{a-b: 1}", "{\"a-b\":1}");
}

Test(format, a_struct_has_as_many_members_as_there_is_room_for)
{
    char text[16 * FORMAT_FIELDS + 32] = "{";
    struct format format;
    for (unsigned i = 0; i < FORMAT_FIELDS; i++)
        snprintf(text + strlen(text), 16, "u8 a%u;", i);
    size_t size = strlen(text);
    snprintf(text + size, 16, "}");
    cr_expect(format_read(&format, text));
    cr_expect_eq(format.size, FORMAT_FIELDS);
    snprintf(text + size, 16, "u8 b}");
    cr_expect_not(format_read(&format, text));
    cr_expect_eq(format.kind, FORMAT_NONE);
}

Test(format, digits_of_either_case_are_taken)
{
    shows("hex", "\xab\xcd", 2, "0xabcd", "{\"hex\":\"abcd\"}");
    struct format utf8 = read_format("utf8"), hex = read_format("hex");
    void *data;
    size_t size;
    cr_assert(format_parse(&utf8, "\\x4A\\x4a", &data, &size));
    cr_expect(size == 2 && memcmp(data, "JJ", 2) == 0);
    free(data);
    cr_assert(format_parse(&hex, "0XABcd", &data, &size));
    cr_expect(size == 2 && memcmp(data, "\xab\xcd", 2) == 0);
    free(data);
}

Test(format, json_that_a_terminal_should_not_have_is_escaped)
{
    shows("json", "\"\xc2\x85\xc2\xa7\x7f\"", 7, "\"\\u0085\xc2\xa7\\u007f\"",
          "\"\\u0085\\u00A7\x7f\"");
}

Test(format, what_is_no_format_is_refused)
{
    static const char *const wrong[] = {"u63",
                                        "u",
                                        "{",
                                        "{}",
                                        "{u64}",
                                        "{u64 a",
                                        "{u64 a} x",
                                        "{u64 a; a}",
                                        "u64[",
                                        "u64[0]",
                                        "u64[-1]",
                                        "{u64 a[]}",
                                        "{utf8 a}",
                                        "{u64 a[99999999999]}",
                                        "utf8[2]",
                                        "{u64 a; u32 a}",
                                        "u64 ]",
                                        "u64[4294967297]",
                                        "{u64 a,u64 b}"};
    struct format format;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cr_expect(!format_read(&format, wrong[i]), "%s", wrong[i]);
        cr_expect_eq(format.kind, FORMAT_NONE);
    }
    cr_assert(format_read(&format, NULL) && format.kind == FORMAT_NONE);
    cr_assert(format_read(&format, " { u64 a ; u32 b [ 2 ] ; } [ 3 ] "));
    cr_assert(format.size == 16 && format.length == 3);
}

/* Bytes of any size, in any format, are shown, and what is shown leads back to them; but for a
 * NaN's payload, and what lies between members. */
Test(format, any_bytes_return)
{
    static const char *const formats[] = {"",         "hex", "utf8",  "u8",    "u64",
                                          "i16",      "i64", "u16[]", "i8[5]", "{u8 a; u8 b[2]}",
                                          "{i32 a}[]"};
    unsigned char bytes[48];
    chance_begin();
    for (int i = 0; i < 20000; i++) {
        size_t size = (size_t)chance(sizeof bytes);
        for (size_t k = 0; k < size; k++)
            bytes[k] = (unsigned char)chance(chance(2) == 0 ? 256 : 128);
        returns(formats[chance(sizeof formats / sizeof formats[0])], bytes, size);
    }
}
