/* SPDX-License-Identifier: Apache-2.0 */
#include "suspects.h"

#include <stdio.h>
#include <string.h>

void suspects_init(struct suspects *suspects, uint32_t poison_after, bool left_out)
{
    memset(suspects, 0, sizeof *suspects);
    suspects->poison_after = poison_after > 0 ? poison_after : 1;
    suspects->left_out = left_out;
}

/* ------------------------------------------------------------------------ the same record? -- */

struct hint {
    const struct weir_failure *failure;
    uint64_t commits;
    bool left_out;
};
typedef bool fits(const struct suspect *suspect, const struct hint *hint);

static bool both_exact(const struct suspect *suspect, const struct hint *hint)
{
    return suspect->exact && hint->failure->count == 1;
}

/* S1 */
static bool fits_exactly(const struct suspect *suspect, const struct hint *hint)
{
    return both_exact(suspect, hint) && suspect->position == hint->failure->position &&
           suspect->fingerprint == hint->failure->fingerprint;
}

/* S2: the ranges overlap. Differences, so that no sum can wrap. */
static bool fits_widely(const struct suspect *suspect, const struct hint *hint)
{
    uint64_t position = hint->failure->position;

    if (both_exact(suspect, hint) || (suspect->poisoned && hint->left_out))
        return false;
    return suspect->position <= position ? position - suspect->position < suspect->count
                                         : suspect->position - position < hint->failure->count;
}

/* S3 */
static bool fits_elsewhere(const struct suspect *suspect, const struct hint *hint)
{
    return both_exact(suspect, hint) && suspect->commits == hint->commits &&
           suspect->fingerprint == hint->failure->fingerprint;
}

static struct suspect *find(struct suspects *suspects, const struct hint *hint)
{
    static fits *const ways[] = {fits_exactly, fits_widely, fits_elsewhere}; /* the surest first */

    for (size_t way = 0; way < sizeof ways / sizeof ways[0]; way++)
        for (uint32_t i = 0; i < suspects->used; i++) {
            struct suspect *suspect = &suspects->list[i];
            if (suspect->subtask == hint->failure->subtask &&
                strcmp(suspect->node, hint->failure->node) == 0 && ways[way](suspect, hint))
                return suspect;
        }
    return NULL;
}

/* -------------------------------------------------------------------------------- noting -- */

/* A free place, or that of the one longest not heard of: S5. */
static struct suspect *place(struct suspects *suspects)
{
    struct suspect *oldest = &suspects->list[0];

    if (suspects->used < SUSPECTS_MOST)
        return &suspects->list[suspects->used++];
    for (uint32_t i = 1; i < SUSPECTS_MOST; i++)
        if (suspects->list[i].turn < oldest->turn)
            oldest = &suspects->list[i];
    return oldest;
}

static struct suspect *add(struct suspects *suspects, const struct weir_failure *failure)
{
    struct suspect *suspect = place(suspects);

    *suspect = (struct suspect){
        .subtask = failure->subtask, .position = failure->position, .count = failure->count};
    snprintf(suspect->node, sizeof suspect->node, "%s", failure->node);
    return suspect;
}

/* What is known of both: an exact record stays exact, two ranges leave what they have in common. */
static void narrow(struct suspect *suspect, const struct weir_failure *failure, uint64_t commits)
{
    if (failure->count == 1) {
        suspect->moved =
            suspect->moved || (suspect->exact && suspect->position != failure->position);
        suspect->exact = true;
        suspect->position = failure->position;
        suspect->count = 1;
        suspect->fingerprint = failure->fingerprint;
        suspect->commits = commits;
        suspect->input = failure->input;
        snprintf(suspect->doing, sizeof suspect->doing, "%s",
                 failure->doing != NULL ? failure->doing : "");
        snprintf(suspect->preview, sizeof suspect->preview, "%s", failure->preview);
    } else if (!suspect->exact) {
        uint64_t from =
            suspect->position > failure->position ? suspect->position : failure->position;
        uint64_t left = suspect->count - (from - suspect->position);
        uint64_t right = failure->count - (from - failure->position);
        suspect->position = from;
        suspect->count = left < right ? left : right;
    }
}

struct suspects_answer suspects_note(struct suspects *suspects, const struct weir_failure *failure,
                                     const char *cause, uint64_t commits)
{
    suspects->turn++;
    if (failure->position == 0 || failure->count == 0)
        return (struct suspects_answer){0};

    struct suspect *suspect = find(
        suspects,
        &(struct hint){.failure = failure, .commits = commits, .left_out = suspects->left_out});
    if (suspect == NULL)
        suspect = add(suspects, failure);
    bool moved_before = suspect->moved;
    narrow(suspect, failure, commits);
    suspect->wide = suspect->wide || failure->count > 1;
    suspect->failures += suspect->failures < UINT32_MAX;
    suspect->turn = suspects->turn;
    snprintf(suspect->cause, sizeof suspect->cause, "%s", cause);

    bool poison = suspect->exact && suspect->failures >= suspects->poison_after; /* S4 */
    bool named = poison && (!suspect->poisoned || suspect->moved != moved_before);
    suspect->poisoned = suspect->poisoned || poison;
    return (struct suspects_answer){suspect, suspect->exact ? suspect->failures : 0, named};
}

/* ------------------------------------------------------------------------------- answers -- */

bool suspects_careful(const struct suspects *suspects)
{
    for (uint32_t i = 0; i < suspects->used; i++) {
        const struct suspect *suspect = &suspects->list[i];
        if (suspect->turn == suspects->turn && suspect->wide && !suspect->poisoned)
            return true;
    }
    return false;
}

void suspects_describe(const struct suspect *suspect, struct weir_poison *poison)
{
    *poison = (struct weir_poison){.node = suspect->node,
                                   .subtask = suspect->subtask,
                                   .position = suspect->moved ? 0 : suspect->position,
                                   .fingerprint = suspect->fingerprint,
                                   .cause = suspect->cause};
}

void suspects_record(const struct suspect *suspect, struct weir_failure *record)
{
    *record =
        (struct weir_failure){WEIR_SIZED(struct weir_failure), .subtask = suspect->subtask,
                              .doing = suspect->doing,         .position = suspect->position,
                              .count = suspect->count,         .fingerprint = suspect->fingerprint,
                              .input = suspect->input};
    snprintf(record->node, sizeof record->node, "%s", suspect->node);
    snprintf(record->preview, sizeof record->preview, "%s", suspect->preview);
}

size_t suspects_poison(const struct suspects *suspects, struct weir_poison poison[SUSPECTS_MOST])
{
    size_t count = 0;

    for (uint32_t i = 0; i < suspects->used; i++)
        if (suspects->list[i].poisoned)
            suspects_describe(&suspects->list[i], &poison[count++]);
    return count;
}
