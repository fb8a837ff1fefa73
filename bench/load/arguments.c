/* SPDX-License-Identifier: Apache-2.0 */
#include "arguments.h"

#include <stdlib.h>
#include <string.h>

static bool take(const struct argument *argument, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (argument->text) {
        *argument->text = text;
        return true;
    }
    if (end == text || *end || !(value >= argument->least && value <= argument->most))
        return false;
    if (argument->real)
        *argument->real = value;
    else if (argument->whole)
        *argument->whole = (int)value;
    else
        *argument->count = (uint64_t)value;
    return true;
}

bool arguments_take(int argc, char **argv, const struct argument *known, size_t known_count)
{
    for (int i = 1; i < argc; i += 2) {
        size_t at = 0;
        while (at < known_count && strcmp(known[at].name, argv[i]) != 0)
            at++;
        if (at == known_count || i + 1 == argc || !take(&known[at], argv[i + 1]))
            return false;
    }
    return true;
}
