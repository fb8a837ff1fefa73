/* SPDX-License-Identifier: Apache-2.0 */
#include "utf8.h"

#include <string.h>

/* The bytes of the character that begins there, and which it is; 0: none does. */
static size_t take(const unsigned char *at, size_t left, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t size = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    if (size == 0 || size > left || at[0] > 0xf4)
        return 0;
    *code = size == 1 ? at[0] : at[0] & (0x7fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | (at[i] & 0x3f);
    }
    bool surrogate = *code >= 0xd800 && *code < 0xe000;
    return *code < least[size] || *code > 0x10ffff || surrogate ? 0 : size;
}

static bool is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

static bool check(struct weir_bytes bytes, bool controls)
{
    const unsigned char *at = bytes.data;
    uint32_t code;
    for (size_t left = bytes.size, size; left > 0; left -= size, at += size) {
        size = take(at, left, &code);
        if (size == 0 || (!controls && is_control(code)))
            return false;
    }
    return true;
}

bool utf8_is(struct weir_bytes bytes)
{
    return check(bytes, true);
}

bool utf8_is_printable(struct weir_bytes bytes)
{
    return check(bytes, false);
}

static void escape_one(const unsigned char *at, size_t size, uint32_t code, char quote, FILE *to)
{
    static const char plain[] = "\n\t\r";
    const char *letter = code == 0 || code >= 0x80 ? NULL : strchr(plain, (int)code);
    if (code == '\\' || (quote != 0 && code == (unsigned char)quote))
        fprintf(to, "\\%c", (char)code);
    else if (letter != NULL)
        fprintf(to, "\\%c", "ntr"[letter - plain]);
    else if (!is_control(code))
        fwrite(at, 1, size, to);
    else
        for (size_t i = 0; i < size; i++)
            fprintf(to, "\\x%02x", at[i]);
}

void utf8_escape(struct weir_bytes bytes, char quote, FILE *to)
{
    const unsigned char *at = bytes.data;
    uint32_t code = 0;
    for (size_t left = bytes.size, size; left > 0; left -= size, at += size) {
        size = take(at, left, &code);
        if (size == 0)
            return;
        escape_one(at, size, code, quote, to);
    }
}

void utf8_disarm(const char *text, FILE *to)
{
    const unsigned char *at = (const unsigned char *)text;
    uint32_t code = 0;
    for (size_t left = strlen(text), size; left > 0; left -= size, at += size) {
        size = take(at, left, &code);
        if (size > 0 && !is_control(code)) {
            fwrite(at, 1, size, to);
            continue;
        }
        size = size == 0 ? 1 : size;
        for (size_t i = 0; i < size; i++)
            fprintf(to, "\\x%02x", at[i]);
    }
}

static int digit(unsigned char c)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    const char *at = c == 0 ? NULL : strchr(digits, c);
    return at == NULL ? -1 : at - digits < 16 ? (int)(at - digits) : (int)(at - digits) - 6;
}

/* The escape that stands behind a backslash; how many bytes of it, 0: it is none. */
static size_t unescape_one(const unsigned char *at, size_t left, unsigned char *to)
{
    static const char from[] = "ntr\\\"", is[] = "\n\t\r\\\"";
    const char *letter = left > 0 && at[0] != 0 ? strchr(from, at[0]) : NULL;
    if (letter != NULL) {
        *to = (unsigned char)is[letter - from];
        return 1;
    }
    if (left < 3 || at[0] != 'x' || digit(at[1]) < 0 || digit(at[2]) < 0)
        return 0;
    *to = (unsigned char)(digit(at[1]) * 16 + digit(at[2]));
    return 3;
}

bool utf8_unescape(struct weir_bytes text, unsigned char *to, size_t *size)
{
    const unsigned char *at = text.data;
    *size = 0;
    for (size_t i = 0; i < text.size; i++) {
        to[*size] = at[i];
        size_t taken = at[i] == '\\' ? unescape_one(at + i + 1, text.size - i - 1, to + *size) : 0;
        if (at[i] == '\\' && taken == 0)
            return false;
        i += taken;
        ++*size;
    }
    return true;
}
