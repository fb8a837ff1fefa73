/* SPDX-License-Identifier: Apache-2.0 */
#include "output.h"

#include <stdio.h>
#include <string.h>

enum weir_result output_open(struct output *output, struct weir_context *context,
                             const char *folder, struct agreement *ids)
{
    enum weir_result result = stage_open(&output->stage, context, folder, ids);
    if (result != WEIR_OK)
        return result;
    return history_claim(&output->history, context, folder, output->stage.id);
}

/* ----------------------------------------------------------------------------- load (I3) -- */

struct survey {
    const struct output *output;
    const struct weir_context *context;
    char newer[PATH_NAME_LIMIT + 1]; /* or empty */
    uint32_t subtask;                /* its */
};

static bool survey_name(void *survey_, const char *name)
{
    struct survey *survey = survey_;
    struct part part;
    if (!part_of_final(name, &part) || !stage_is_ours(survey->context, part.subtask) ||
        part.number < stage_next(&survey->output->stage, part.subtask))
        return true;
    snprintf(survey->newer, sizeof survey->newer, "%s", name);
    survey->subtask = part.subtask;
    return false;
}

static enum weir_result refuse_newer(const struct survey *survey, struct weir_context *context)
{
    uint64_t next = stage_next(&survey->output->stage, survey->subtask);
    return weir_fail(context, WEIR_REFUSED,
                     "output directory %s holds %s, published after the checkpoint this run was "
                     "restored from; its records would come twice: restore the latest checkpoint, "
                     "or move subtask %u's parts from number %llu on away first",
                     survey->output->stage.folder, survey->newer, survey->subtask,
                     (unsigned long long)next);
}

enum weir_result output_load(struct output *output, struct weir_context *context,
                             struct weir_loader *loader)
{
    struct weir_error error;
    struct survey survey = {.output = output, .context = context};
    enum weir_result result = stage_load(&output->stage, context, loader);
    if (result != WEIR_OK)
        return result;
    result = weir_folder_list(output->stage.folder, survey_name, &survey, &error);
    if (result != WEIR_OK)
        return weir_fail_with(context, &error);
    return survey.newer[0] == '\0' ? WEIR_OK : refuse_newer(&survey, context);
}

/* ---------------------------------------------------------------------------- two phases -- */

enum weir_result output_write(struct output *output, struct weir_context *context,
                              struct weir_bytes bytes)
{
    return stage_write(&output->stage, context, bytes);
}

enum weir_result output_prepare(struct output *output, struct weir_context *context)
{
    struct part part;
    char staged[PART_NAME_ROOM], final[PART_NAME_ROOM], handle[2 * PART_NAME_ROOM];
    if (!output->stage.file)
        return WEIR_OK;
    enum weir_result result = stage_seal(&output->stage, context, &part);
    if (result != WEIR_OK)
        return result;
    part_staged_name(&part, staged);
    part_final_name(&part, final);
    int size = snprintf(handle, sizeof handle, "%s %s", staged, final);
    return weir_handle(context, (struct weir_bytes){handle, (size_t)size});
}

/* The two names of a handle, each of the form this file gives them. */
static bool parse_handle(struct weir_bytes handle, char staged[PART_NAME_ROOM],
                         char final[PART_NAME_ROOM], struct part *part)
{
    const char *space = handle.size > 0 ? memchr(handle.data, ' ', handle.size) : NULL;
    struct part to;
    if (!space)
        return false;
    size_t left = (size_t)(space - (const char *)handle.data), right = handle.size - left - 1;
    if (left >= PART_NAME_ROOM || right >= PART_NAME_ROOM)
        return false;
    snprintf(staged, PART_NAME_ROOM, "%.*s", (int)left, (const char *)handle.data);
    snprintf(final, PART_NAME_ROOM, "%.*s", (int)right, space + 1);
    return part_of_staged(staged, part) && part_of_final(final, &to) &&
           part->subtask == to.subtask && part->number == to.number;
}

/* The folder is synced even when there was nothing to rename: an earlier rename may have been seen
 * and not yet be durable. */
enum weir_result output_commit(struct output *output, struct weir_context *context,
                               struct weir_bytes handle)
{
    struct weir_error error;
    struct part part;
    char staged[PART_NAME_ROOM], final[PART_NAME_ROOM], from[PATH_ROOM], to[PATH_ROOM];
    if (!parse_handle(handle, staged, final, &part))
        return weir_fail(context, WEIR_DAMAGED, "a handle makes no sense: \"%.*s\"",
                         (int)(handle.size < 200 ? handle.size : 200), (const char *)handle.data);
    enum weir_result result = history_check(&output->history, context);
    if (result != WEIR_OK)
        return result;
    path_join(from, output->stage.folder, staged);
    path_join(to, output->stage.folder, final);
    result = part_publish(context, from, to);
    if (result == WEIR_OK && weir_folder_sync(output->stage.folder, &error) != WEIR_OK)
        result = weir_fail_with(context, &error);
    return result == WEIR_OK ? stage_settle(&output->stage, context, &part) : result;
}

void output_close(struct output *output, struct weir_context *context)
{
    stage_close(&output->stage, context);
}
