/* SPDX-License-Identifier: Apache-2.0 */
#include "stage.h"

#include <stdio.h>
#include <string.h>

static struct stage_number *own_number(const struct stage *stage)
{
    return (void *)stage->numbers.data;
}

static size_t number_count(const struct stage *stage)
{
    return stage->numbers.size / sizeof(struct stage_number);
}

bool stage_is_ours(const struct weir_context *context, uint32_t subtask)
{
    return subtask % weir_parallelism(context) == weir_subtask(context);
}

uint64_t stage_next(const struct stage *stage, uint32_t subtask)
{
    const struct stage_number *number = own_number(stage);
    for (size_t i = 0; i < number_count(stage); i++)
        if (number[i].subtask == subtask)
            return number[i].next;
    return 0;
}

/* ------------------------------------------------------------------ open, load and save -- */

/* An id for a run without a store: the first subtask's is everybody's. */
static enum weir_result agree_on_id(struct stage *stage, struct weir_context *context,
                                    struct agreement *ids)
{
    char *mine = block_take(weir_memory(context), PART_ID_SIZE);
    if (!mine)
        return block_none(context);
    snprintf(mine, PART_ID_SIZE, "%016llx%016llx", (unsigned long long)weir_random(context),
             (unsigned long long)weir_random(context));
    char *agreed = agreement_join(ids, mine);
    stage->ids = ids;
    snprintf(stage->id, sizeof stage->id, "%s", agreed);
    if (agreed != mine)
        block_drop(weir_memory(context), mine);
    return WEIR_OK;
}

enum weir_result stage_open(struct stage *stage, struct weir_context *context, const char *folder,
                            struct agreement *ids)
{
    struct stage_number own = {.subtask = weir_subtask(context)};
    const char *id = weir_store_id(context);
    stage->folder = folder;
    if (!block_append(&stage->numbers, weir_memory(context), &own, sizeof own))
        return block_none(context);
    if (id[0] == '\0')
        return agree_on_id(stage, context, ids);
    snprintf(stage->id, sizeof stage->id, "%s", id);
    return WEIR_OK;
}

enum weir_result stage_load(struct stage *stage, struct weir_context *context,
                            struct weir_loader *loader)
{
    enum weir_item kind;
    struct weir_bytes item;
    struct stage_number number;
    while (weir_load_next(loader, &kind, &item)) {
        if (item.size != sizeof number)
            return weir_fail(context, WEIR_DAMAGED, "a saved part number has the wrong size");
        memcpy(&number, item.data, sizeof number);
        if (number.subtask == weir_subtask(context))
            *own_number(stage) = number;
        else if (stage_is_ours(context, number.subtask) &&
                 !block_append(&stage->numbers, weir_memory(context), &number, sizeof number))
            return block_none(context);
    }
    return WEIR_OK;
}

void stage_save(const struct stage *stage, struct weir_saver *saver)
{
    const struct stage_number *number = own_number(stage);
    for (size_t i = 0; i < number_count(stage); i++)
        weir_save(saver, WEIR_ITEM_UNION, (struct weir_bytes){&number[i], sizeof number[i]});
    weir_save_note(saver, "%llu parts", (unsigned long long)number->next);
}

void stage_close(struct stage *stage, struct weir_context *context)
{
    bool unsealed = stage->file != NULL;
    weir_file_close(&stage->file, NULL);
    if (unsealed && weir_file_remove(stage->staged, NULL) != WEIR_OK)
        weir_log(context, "%s is left over; a later run removes it", stage->staged);
    if (stage->ids)
        block_drop(weir_memory(context), agreement_leave(stage->ids));
    block_free(&stage->numbers, weir_memory(context));
}

/* ------------------------------------------------------------------------- settling (S4) -- */

struct survey {
    const struct stage *stage;
    const struct weir_context *context;
    const struct part *committed;
    char leftover[PATH_NAME_LIMIT + 1]; /* or empty */
};

/* Handles that a start finds come first, so once one of its own was committed, none is left of the
 * subtasks that are nobody's any more. */
static bool is_leftover(const struct survey *survey, const struct part *part)
{
    const struct part *committed = survey->committed;
    if (strcmp(part->id, survey->stage->id) != 0 || part->epoch >= committed->epoch)
        return false;
    return part->subtask == committed->subtask ||
           (committed->epoch == weir_epoch(survey->context) &&
            stage_is_ours(survey->context, part->subtask));
}

static bool survey_name(void *survey_, const char *name)
{
    struct survey *survey = survey_;
    struct part part;
    if (!part_of_staged(name, &part) || !is_leftover(survey, &part))
        return true;
    snprintf(survey->leftover, sizeof survey->leftover, "%s", name);
    return false;
}

static enum weir_result remove_file(struct weir_context *context, const char *folder,
                                    const char *name)
{
    char path[PATH_ROOM];
    struct weir_error error;
    path_join(path, folder, name);
    enum weir_result result = weir_file_remove(path, &error);
    return result == WEIR_OK || result == WEIR_NOT_FOUND ? WEIR_OK
                                                         : weir_fail_with(context, &error);
}

/* One listing per leftover, for a folder should not change while it is listed. */
enum weir_result stage_settle(struct stage *stage, struct weir_context *context,
                              const struct part *committed)
{
    struct weir_error error;
    if (committed->epoch <= stage->settled)
        return WEIR_OK;
    for (;;) {
        struct survey survey = {.stage = stage, .context = context, .committed = committed};
        if (weir_folder_list(stage->folder, survey_name, &survey, &error) != WEIR_OK)
            return weir_fail_with(context, &error);
        if (survey.leftover[0] == '\0')
            break;
        enum weir_result result = remove_file(context, stage->folder, survey.leftover);
        if (result != WEIR_OK)
            return result;
    }
    if (committed->epoch == weir_epoch(context))
        stage->settled = committed->epoch;
    return WEIR_OK;
}

struct match {
    const char *prefix;
    char found[PATH_NAME_LIMIT + 1]; /* or empty */
};

static bool find_match(void *match_, const char *name)
{
    struct match *match = match_;
    if (strncmp(name, match->prefix, strlen(match->prefix)) != 0)
        return true;
    snprintf(match->found, sizeof match->found, "%s", name);
    return false;
}

enum weir_result stage_clear(struct weir_context *context, const char *folder, const char *prefix)
{
    struct weir_error error;
    for (;;) {
        struct match match = {.prefix = prefix};
        if (weir_folder_list(folder, find_match, &match, &error) != WEIR_OK)
            return weir_fail_with(context, &error);
        if (match.found[0] == '\0')
            return WEIR_OK;
        enum weir_result result = remove_file(context, folder, match.found);
        if (result != WEIR_OK)
            return result;
    }
}

/* ------------------------------------------------------------------------ write and seal -- */

static struct part current_part(const struct stage *stage, const struct weir_context *context)
{
    struct part part = {
        .epoch = weir_epoch(context),
        .subtask = weir_subtask(context),
        .number = own_number(stage)->next,
    };
    memcpy(part.id, stage->id, sizeof part.id);
    return part;
}

static enum weir_result make_file(struct stage *stage, struct weir_context *context)
{
    struct weir_error error;
    char name[PART_NAME_ROOM];
    struct part part = current_part(stage, context);
    part_staged_name(&part, name);
    path_join(stage->staged, stage->folder, name);
    enum weir_result result =
        weir_file_open(weir_memory(context), stage->staged, WEIR_OPEN_CREATE, &stage->file, &error);
    return result == WEIR_OK ? result : weir_fail_with(context, &error);
}

enum weir_result stage_write(struct stage *stage, struct weir_context *context,
                             struct weir_bytes bytes)
{
    struct weir_error error;
    enum weir_result result = stage->file ? WEIR_OK : make_file(stage, context);
    if (result != WEIR_OK || bytes.size == 0)
        return result;
    result = weir_file_write(stage->file, bytes, &error);
    return result == WEIR_OK ? result : weir_fail_with(context, &error);
}

/* Everything staged becomes durable, name included, before the handle exists. */
enum weir_result stage_seal(struct stage *stage, struct weir_context *context, struct part *part)
{
    struct weir_error error;
    enum weir_result result = weir_file_sync(stage->file, &error);
    if (result == WEIR_OK)
        result = weir_file_close(&stage->file, &error);
    if (result == WEIR_OK)
        result = weir_folder_sync(stage->folder, &error);
    if (result != WEIR_OK)
        return weir_fail_with(context, &error);
    *part = current_part(stage, context);
    own_number(stage)->next++;
    return WEIR_OK;
}
