/* SPDX-License-Identifier: Apache-2.0 */
#include "name.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

void name_of_id(uint64_t id, char name[NAME_ID_SIZE])
{
    assert(id <= NAME_NUMBER_LIMIT);
    snprintf(name, NAME_ID_SIZE, "%020llu", (unsigned long long)id);
}

void name_of_segment(uint32_t epoch, uint64_t number, char name[NAME_SEGMENT_SIZE])
{
    assert(number <= NAME_NUMBER_LIMIT);
    snprintf(name, NAME_SEGMENT_SIZE, "%010u-%020llu.seg", epoch, (unsigned long long)number);
}

/* Exactly `digits` digits, value at most `limit`. */
static bool read_number(const char *text, int digits, uint64_t limit, uint64_t *number)
{
    uint64_t value = 0;
    for (int i = 0; i < digits; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false; /* the terminating zero as well */
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (value > (limit - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *number = value;
    return true;
}

bool name_is_id(const char *name, uint64_t *id)
{
    return read_number(name, 20, NAME_NUMBER_LIMIT, id) && name[20] == 0 && *id > 0;
}

bool name_is_segment(const char *name, uint32_t *epoch, uint64_t *number)
{
    uint64_t wide = 0;
    if (!read_number(name, 10, UINT32_MAX, &wide) || name[10] != '-')
        return false;
    if (!read_number(name + 11, 20, NAME_NUMBER_LIMIT, number) || strcmp(name + 31, ".seg") != 0)
        return false;
    *epoch = (uint32_t)wide;
    return true;
}
