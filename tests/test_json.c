/* SPDX-License-Identifier: Apache-2.0 */
/* links: main */
/*
 * runtime/main/json against jansson: whatever bytes a text holds, and wherever the buffer ends,
 * what comes out is an object that jansson reads; and a text that jansson takes for UTF-8 comes
 * back as it was.
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

static struct json json;

/* The object, of which every byte is where it should be. */
static json_t *read_back(void)
{
    json_error_t wrong;

    cr_assert_lt(json.used, JSON_ROOM);
    cr_assert_eq(json.text[json.used], '\0');
    cr_assert_eq(strlen(json.text), json.used);
    cr_assert_eq(strchr(json.text, '\n'), json.text + json.used - 1);
    json_t *object = json_loads(json.text, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &wrong);
    cr_assert_not_null(object, "%s: %s", wrong.text, json.text);
    return object;
}

static void check_text(const char *text)
{
    json_t *twin = json_string(text); /* NULL: no UTF-8 */

    json_begin(&json);
    json_text(&json, "a", text);
    json_end(&json);
    json_t *object = read_back();
    const char *back = json_string_value(json_object_get(object, "a"));
    if (twin != NULL)
        cr_assert_str_eq(back, text);
    else
        cr_assert_not_null(strstr(back, "\xef\xbf\xbd"), "no U+FFFD in \"%s\"", back);
    json_decref(twin);
    json_decref(object);
}

Test(json, every_text_of_up_to_two_bytes)
{
    char text[3] = "";

    check_text("");
    for (int first = 1; first < 256; first++) {
        for (int second = 0; second < 256; second++) {
            text[0] = (char)first;
            text[1] = (char)second;
            check_text(text);
        }
    }
}

/* Every pair of first bytes that opens a longer character, with what may and may not follow. */
Test(json, every_beginning_of_three_and_four_bytes)
{
    static const unsigned char edges[] = {0x01, 0x7f, 0x80, 0x8f, 0x90,
                                          0x9f, 0xa0, 0xbf, 0xc0, 0xff};
    enum { EDGES = sizeof edges };
    char text[6] = "";

    for (unsigned i = 0; i < 0x40 * 256 * EDGES * EDGES; i++) {
        unsigned rest = i / 256;
        text[0] = (char)(0xc0 + rest % 0x40);
        text[1] = (char)(i % 256 ? i % 256 : 1);
        rest /= 0x40;
        text[2] = (char)edges[rest % EDGES];
        text[3] = (char)edges[rest / EDGES];
        /* Only the edges of the second byte as well, else this takes minutes. */
        if (memchr(edges, (unsigned char)text[1], EDGES) != NULL)
            check_text(text);
    }
}

Test(json, random_bytes)
{
    char text[64];

    srand(11);
    for (unsigned i = 0; i < 100000; i++) {
        size_t size = (size_t)rand() % (sizeof text - 1);
        for (size_t at = 0; at < size; at++)
            text[at] = (char)(1 + rand() % 255);
        text[size] = '\0';
        check_text(text);
    }
}

Test(json, numbers_and_flags)
{
    json_begin(&json);
    json_number(&json, "most", UINT64_C(9223372036854775807));
    json_signed(&json, "least", INT64_MIN);
    json_flag(&json, "yes", true);
    json_flag(&json, "no", false);
    json_end(&json);
    json_t *object = read_back();
    cr_expect_eq(json_integer_value(json_object_get(object, "most")), INT64_MAX);
    cr_expect_eq(json_integer_value(json_object_get(object, "least")), INT64_MIN);
    cr_expect(json_is_true(json_object_get(object, "yes")));
    cr_expect(json_is_false(json_object_get(object, "no")));
    json_decref(object);
}

/* However much was said before: texts are cut between characters, members are whole or absent. */
Test(json, wherever_the_buffer_ends)
{
    static const char *const characters[] = {
        "x", "\n", "\x01", "\"", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xff"};
    static char filler[JSON_ROOM + 10];
    static char text[JSON_ROOM];

    memset(filler, 'f', sizeof filler - 1);
    for (size_t c = 0; c < sizeof characters / sizeof *characters; c++) {
        size_t size = strlen(characters[c]);
        for (size_t i = 0; i + size < 200; i += size)
            memcpy(text + i, characters[c], size + 1);
        for (size_t before = JSON_ROOM - 300; before < JSON_ROOM + 5; before++) {
            json_begin(&json);
            json_text(&json, "filler", filler + sizeof filler - 1 - before);
            json_text(&json, "text", text);
            json_number(&json, "number", UINT64_MAX / 2);
            json_flag(&json, "flag", false);
            json_end(&json);
            json_t *object = read_back();
            const char *said = json_string_value(json_object_get(object, "text"));
            const json_t *number = json_object_get(object, "number");
            cr_assert(said == NULL || *characters[c] == '\xff' ||
                      strncmp(text, said, strlen(said)) == 0);
            cr_assert(number == NULL || json_integer_value(number) == INT64_MAX);
            json_decref(object);
        }
    }
}
