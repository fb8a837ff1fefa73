/* SPDX-License-Identifier: Apache-2.0 */
#include "naming.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DIGITS 21u /* of a number behind a name */

static bool is_taken(const struct naming *naming, const char *name)
{
    for (size_t i = 0; i < naming->count; i++)
        if (strcasecmp(naming->taken[i], name) == 0)
            return true;
    return false;
}

static bool grow(struct naming *naming)
{
    size_t room = naming->room == 0 ? 16 : 2 * naming->room;
    if (naming->count < naming->room)
        return true;
    char(*taken)[NAMING_SIZE] = realloc(naming->taken, room * sizeof *taken);
    if (taken == NULL)
        return false;
    naming->taken = taken;
    naming->room = room;
    return true;
}

bool naming_take(struct naming *naming, const char *wanted, char name[NAMING_SIZE])
{
    char safe[NAMING_SIZE - DIGITS];
    snprintf(safe, sizeof safe, "%s", wanted);
    for (char *at = safe; *at != 0; at++)
        if (!isascii((unsigned char)*at) || !isalnum((unsigned char)*at))
            *at = '_';
    snprintf(name, NAMING_SIZE, "%s", safe);
    for (size_t number = 2; is_taken(naming, name); number++)
        snprintf(name, NAMING_SIZE, "%s_%zu", safe, number);
    if (!grow(naming))
        return false;
    memcpy(naming->taken[naming->count++], name, NAMING_SIZE);
    return true;
}

void naming_free(struct naming *naming)
{
    free(naming->taken);
    *naming = (struct naming){0};
}
