/* SPDX-License-Identifier: Apache-2.0
 *
 * format: the input is the text of a format, a zero, a text that somebody gives as a value of it, a
 * zero, and bytes. Whatever is printed of the bytes says the same when it is parsed and printed
 * again, and is one line; what is parsed of the text fits the format, or is hex.
 */
#include "format.h"

#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#define VALUE_MOST ((size_t)48 << 20) /* bytes: structs of up to 16 MiB, zeroed as they begin */

static char *text_of(struct fuzz_input *input)
{
    const unsigned char *end = input->size > 0 ? memchr(input->data, '\0', input->size) : NULL;
    size_t size = end != NULL ? (size_t)(end - input->data) : input->size;
    char *text = malloc(size + 1);

    fuzz_must(text != NULL, "no memory");
    if (size > 0)
        memcpy(text, input->data, size);
    text[size] = '\0';
    (void)fuzz_take(input, size + 1);
    return text;
}

static char *print(const struct format *format, const void *data, size_t size)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);

    fuzz_must(out != NULL, "no memory");
    format_print(format, (struct weir_bytes){data, size}, out);
    fuzz_must(fclose(out) == 0 && strlen(text) == length, "a zero is printed");
    for (const char *at = text; *at != '\0'; at++)
        fuzz_must((unsigned char)*at >= 0x20 && *at != 0x7f, "a control character is printed");
    return text;
}

/* A text of the value, and back, and to a text once more. */
static void there_and_back(const struct format *format, const void *data, size_t size)
{
    char *text = print(format, data, size);
    void *again = NULL;
    size_t again_size = 0;

    fuzz_must(format_parse(format, text, &again, &again_size), "what is printed is not parsed: %s",
              text);
    char *other = print(format, again, again_size);
    fuzz_must(strcmp(text, other) == 0, "printed as %s, and then as %s", text, other);
    bool exact =
        format->kind == FORMAT_NONE || format->kind == FORMAT_HEX || format->kind == FORMAT_UTF8;
    fuzz_must(!exact || (size == again_size && (size == 0 || memcmp(data, again, size) == 0)),
              "%zu bytes have become %zu others", size, again_size);
    free(other);
    free(again);
    free(text);
}

static void look_at_json(const struct format *format, const void *data, size_t size)
{
    json_t *json = format_json(format, (struct weir_bytes){data, size});
    char *text = json != NULL ? json_dumps(json, JSON_ENCODE_ANY) : NULL;

    fuzz_must(text != NULL, "no JSON");
    free(text);
    json_decref(json);
}

static void run(const unsigned char *data, size_t size)
{
    struct fuzz_input input = {data, size};
    struct format format;
    char *declared = text_of(&input), *given = text_of(&input);
    void *value = NULL;
    size_t value_size = 0;

    bool known = format_read(&format, declared);
    fuzz_must(known || format.kind == FORMAT_NONE, "not understood, and something");
    fuzz_must(format_example(&format)[0] != '\0', "no example");
    there_and_back(&format, input.data, input.size);
    look_at_json(&format, input.data, input.size);
    if (format_parse(&format, given, &value, &value_size)) {
        fuzz_must(value_size <= VALUE_MOST, "%zu bytes of a text of %zu", value_size,
                  strlen(given));
        bool numbers = format.kind == FORMAT_NUMBER || format.kind == FORMAT_STRUCT;
        bool hex = given[0] == '0' && (given[1] == 'x' || given[1] == 'X');
        fuzz_must(!numbers || hex || value_size % format.size == 0, "half a value");
        if (value_size < 4096)
            there_and_back(&format, value, value_size);
        free(value);
    }
    free(declared);
    free(given);
}

static bool seed(uint32_t n, struct fuzz_bytes *to)
{
    static const struct {
        const char *format, *text, *bytes;
        size_t size;
    } seeds[] = {
        {"", "\"a text\"", "a \"text\"\\", 10},
        {"hex", "0x00ff", "\0\xff", 2},
        {"utf8", "caf\xc3\xa9 \\x00\\n", "0x caf\xc3\xa9\n", 9},
        {"json", "{\"a\": [1, 2]}", "{\"a\":\n\t[1, \"\\u0000\"]}", 21},
        {"u64", "18446744073709551615", "12345678", 8},
        {"i8[]", "[-128, 127]", "\x80\x7f\0", 3},
        {"f32[2]", "[0.1, nan]", "\0\0\xc0\x7f\xcd\xcc\xcc\x3d", 8},
        {"{u8 a; f64 sum; i16 bins[3]}", "{a: 1, 0.5, [1, -2, 3]}",
         "\1\0\0\0\0\0\0\0\0\0\0\0\0\0\xe0\x3f\1\0\2\0\3\0\0\0", 24},
        {"{u16 a;}[]", "[{1}, {a: 2}]", "\1\0\2\0", 4},
        {"{u8 a[16777216]}[]", "[{[1", "", 0},
    };
    if (n >= sizeof seeds / sizeof seeds[0])
        return false;
    fuzz_put(to, seeds[n].format, strlen(seeds[n].format) + 1);
    fuzz_put(to, seeds[n].text, strlen(seeds[n].text) + 1);
    fuzz_put(to, seeds[n].bytes, seeds[n].size);
    return true;
}

const struct fuzz_target fuzz_format = {"format", run, seed, NULL};
