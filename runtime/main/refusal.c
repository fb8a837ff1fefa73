/* SPDX-License-Identifier: Apache-2.0 */
#include "refusal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { NAME_LIMIT = 32 }; /* longer words get no suggestion */

enum weir_result refuse(struct weir_error *error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    error->code = WEIR_INVALID;
    error->os_error = 0;
    error->node[0] = '\0';
    return WEIR_INVALID;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Edits that turn one word into the other: insert, delete, replace a letter, swap two neighbours.
 * (Without the swap, "inptu" would be as far from "input" as from many others.) */
static size_t edits(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t cost[NAME_LIMIT + 1][NAME_LIMIT + 1];

    for (size_t i = 0; i <= a_size; i++)
        cost[i][0] = i;
    for (size_t j = 0; j <= b_size; j++)
        cost[0][j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        for (size_t j = 1; j <= b_size; j++) {
            size_t replaced = cost[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            cost[i][j] = least(replaced, least(cost[i - 1][j], cost[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                cost[i][j] = least(cost[i][j], cost[i - 2][j - 2] + 1);
        }
    }
    return cost[a_size][b_size];
}

struct nearest nearest_to(const char *word)
{
    size_t size = strlen(word);

    /* A third of the letters may be wrong, one always. */
    return (struct nearest){.word = word, .distance = (size < 3 ? 1 : size / 3) + 1};
}

void nearest_offer(struct nearest *nearest, const char *candidate)
{
    size_t word_size = strlen(nearest->word);
    size_t candidate_size = strlen(candidate);

    if (word_size > NAME_LIMIT || candidate_size > NAME_LIMIT)
        return;
    size_t distance = edits(nearest->word, word_size, candidate, candidate_size);
    if (distance < nearest->distance && distance < candidate_size) {
        nearest->best = candidate;
        nearest->distance = distance;
    }
}
