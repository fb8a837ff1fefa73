/* SPDX-License-Identifier: Apache-2.0 */
#include "paper.h"

#include <stdarg.h>
#include <stdio.h>

void paper_say(struct paper *paper, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(paper->text, sizeof paper->text, format, arguments);
    va_end(arguments);
    paper->line(paper->context, paper->text);
}

const char *paper_quote(const char *text, char *word, size_t room)
{
    size_t used = 0;
    for (; *text && used + 2 < room; text++) {
        if (*text == '"' || *text == '\\')
            word[used++] = '\\';
        word[used++] = *text < ' ' || *text > '~' ? '?' : *text;
    }
    word[used] = 0;
    return word;
}

const char *paper_separator(uint32_t index, uint32_t count)
{
    return index + 1 < count ? "," : "";
}
