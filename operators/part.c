/* SPDX-License-Identifier: Apache-2.0 */
#include "part.h"

#include <stdio.h>
#include <string.h>

#define STAGED ".staged-"
#define FINAL "part-"

void part_staged_name(const struct part *part, char name[PART_NAME_ROOM])
{
    snprintf(name, PART_NAME_ROOM, STAGED "%s-%010u-%05u-%020llu", part->id, part->epoch,
             part->subtask, (unsigned long long)part->number);
}

void part_staged_prefix(const char *id, char prefix[PART_NAME_ROOM])
{
    snprintf(prefix, PART_NAME_ROOM, STAGED "%.32s-", id);
}

void part_final_name(const struct part *part, char name[PART_NAME_ROOM])
{
    snprintf(name, PART_NAME_ROOM, FINAL "%05u-%020llu", part->subtask,
             (unsigned long long)part->number);
}

/* Takes exactly `digits` decimal digits off *at. */
static bool take_number(const char **at, unsigned digits, uint64_t limit, uint64_t *number)
{
    *number = 0;
    for (unsigned i = 0; i < digits; i++, ++*at) {
        uint64_t digit = (uint64_t)(**at - '0');
        if (**at < '0' || **at > '9' || *number > (limit - digit) / 10)
            return false;
        *number = *number * 10 + digit;
    }
    return true;
}

static bool take_dash(const char **at)
{
    return *(*at)++ == '-';
}

/* "<subtask>-<number>", and nothing after it. */
static bool take_rest(const char *at, struct part *part)
{
    uint64_t subtask;
    if (!take_number(&at, 5, UINT32_MAX, &subtask) || !take_dash(&at) ||
        !take_number(&at, 20, UINT64_MAX, &part->number))
        return false;
    part->subtask = (uint32_t)subtask;
    return *at == '\0';
}

bool part_of_final(const char *name, struct part *part)
{
    *part = (struct part){.number = 0};
    return strncmp(name, FINAL, strlen(FINAL)) == 0 && take_rest(name + strlen(FINAL), part);
}

bool part_of_staged(const char *name, struct part *part)
{
    uint64_t epoch;
    const char *at = name + strlen(STAGED);
    *part = (struct part){.number = 0};
    if (strncmp(name, STAGED, strlen(STAGED)) != 0 ||
        strspn(at, "0123456789abcdef") != PART_ID_SIZE - 1)
        return false;
    memcpy(part->id, at, PART_ID_SIZE - 1);
    at += PART_ID_SIZE - 1;
    if (!take_dash(&at) || !take_number(&at, 10, UINT32_MAX, &epoch) || !take_dash(&at))
        return false;
    part->epoch = (uint32_t)epoch;
    return take_rest(at, part);
}

/* ------------------------------------------------------------------------------- publish -- */

/* Both names are there. One file: a rename made of link and unlink (file systems without another
 * that does not replace) was interrupted; its second half is due. Two files: somebody else made the
 * visible one, and neither may be given up. */
static enum weir_result finish_rename(struct weir_context *context, const char *from,
                                      const char *to)
{
    struct weir_error error;
    struct weir_file_status staged, visible;
    enum weir_result result = weir_file_status(from, &staged, &error);
    if (result == WEIR_OK)
        result = weir_file_status(to, &visible, &error);
    if (result == WEIR_OK && (staged.device != visible.device || staged.inode != visible.inode))
        return weir_fail(context, WEIR_REFUSED,
                         "%s can't be published as %s: that name is taken by another file; move it "
                         "away and start again",
                         from, to);
    if (result == WEIR_OK)
        result = weir_file_remove(from, &error);
    return result == WEIR_OK ? result : weir_fail_with(context, &error);
}

/* The staged file is gone: it was published before, and may even have been taken away since. */
static enum weir_result published_before(struct weir_context *context, const char *to)
{
    struct weir_error error;
    struct weir_file_status status;
    enum weir_result result = weir_file_status(to, &status, &error);
    if (result == WEIR_NOT_FOUND)
        weir_log(context, "%s was published before and has been taken away since", to);
    return result == WEIR_OK || result == WEIR_NOT_FOUND ? WEIR_OK
                                                         : weir_fail_with(context, &error);
}

enum weir_result part_publish(struct weir_context *context, const char *from, const char *to)
{
    struct weir_error error;
    enum weir_result result = weir_file_rename(from, to, &error);
    if (result == WEIR_REFUSED)
        return finish_rename(context, from, to);
    if (result == WEIR_NOT_FOUND)
        return published_before(context, to);
    return result == WEIR_OK ? result : weir_fail_with(context, &error);
}
