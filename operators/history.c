/* SPDX-License-Identifier: Apache-2.0 */
#include "history.h"
#include "outside.h"
#include "path.h"
#include "stage.h"

#include <stdio.h>
#include <string.h>

#define HISTORY_NAME ".weir-history"
#define RUN_PREFIX "weir-history 1 run "

/* -------------------------------------------------------------------- what is there already -- */

/* The line in the directory; empty when there is none. */
static enum weir_result read_line(struct weir_context *context, const char *folder,
                                  char line[HISTORY_ROOM])
{
    char path[PATH_ROOM];
    struct weir_error error;
    struct weir_file *file = NULL;
    size_t got = 0;
    path_join(path, folder, HISTORY_NAME);
    line[0] = '\0';
    enum weir_result result =
        weir_file_open(weir_memory(context), path, WEIR_OPEN_READ, &file, &error);
    if (result == WEIR_NOT_FOUND)
        return WEIR_OK;
    if (result == WEIR_OK)
        result = weir_file_read(file, 0, line, HISTORY_ROOM - 1, &got, &error);
    weir_file_close(&file, NULL);
    line[result == WEIR_OK ? got : 0] = '\0';
    return result == WEIR_OK ? WEIR_OK : weir_fail_with(context, &error);
}

static bool find_part(void *found, const char *name)
{
    if (strncmp(name, "part-", 5) != 0)
        return true;
    snprintf(found, PATH_NAME_LIMIT + 1, "%s", name);
    return false;
}

/* The name of any part, of whatever width and origin; empty when there is none. */
static enum weir_result first_part(struct weir_context *context, const char *folder,
                                   char name[PATH_NAME_LIMIT + 1])
{
    struct weir_error error;
    name[0] = '\0';
    enum weir_result result = weir_folder_list(folder, find_part, name, &error);
    return result == WEIR_OK ? result : weir_fail_with(context, &error);
}

static enum weir_result make_folder(struct weir_context *context, const char *folder)
{
    char parent[PATH_ROOM];
    struct weir_error error;
    struct weir_file_status status;
    enum weir_result result = outside_check(context, folder);
    if (result != WEIR_OK)
        return result;
    result = weir_file_status(folder, &status, &error);
    if (result == WEIR_OK && !status.folder)
        return weir_fail(context, WEIR_INVALID, "output %s is not a directory", folder);
    if (result == WEIR_NOT_FOUND) {
        result = weir_folder_make(folder, &error);
        path_parent(parent, folder);
        if (result == WEIR_OK)
            result = weir_folder_sync(parent, &error);
    }
    return result == WEIR_OK ? result : weir_fail_with(context, &error);
}

/* ---------------------------------------------------------------------------------- write -- */

/* A name no other run and no other subtask uses. */
static void draft_name(const struct history *history, const struct weir_context *context,
                       char path[PATH_ROOM])
{
    char name[PART_NAME_ROOM];
    snprintf(name, sizeof name, HISTORY_NAME "-%s-%u", history->id, weir_subtask(context));
    path_join(path, history->folder, name);
}

static enum weir_result write_draft(const struct history *history, struct weir_context *context,
                                    const char *path)
{
    struct weir_error error;
    struct weir_file *file = NULL;
    struct weir_bytes line = {history->line, strlen(history->line)};
    enum weir_result result = weir_file_remove(path, &error); /* left by a run that died here */
    if (result == WEIR_OK || result == WEIR_NOT_FOUND)
        result = weir_file_open(weir_memory(context), path, WEIR_OPEN_CREATE, &file, &error);
    if (result == WEIR_OK)
        result = weir_file_write(file, line, &error);
    if (result == WEIR_OK)
        result = weir_file_sync(file, &error);
    enum weir_result closed = weir_file_close(&file, result == WEIR_OK ? &error : NULL);
    if (result == WEIR_OK)
        result = closed;
    return result == WEIR_OK ? result : weir_fail_with(context, &error);
}

/* Another subtask may be first; then the line is compared by the caller. */
static enum weir_result write_line(const struct history *history, struct weir_context *context)
{
    char draft[PATH_ROOM], path[PATH_ROOM];
    struct weir_error error;
    draft_name(history, context, draft);
    path_join(path, history->folder, HISTORY_NAME);
    enum weir_result result = write_draft(history, context, draft);
    if (result != WEIR_OK)
        return result;
    result = weir_file_rename(draft, path, &error);
    if (result == WEIR_REFUSED)
        result = weir_file_remove(draft, &error);
    if (result == WEIR_OK)
        result = weir_folder_sync(history->folder, &error);
    return result == WEIR_OK ? result : weir_fail_with(context, &error);
}

/* ------------------------------------------------------------------------------- take over -- */

static enum weir_result remove_line(struct weir_context *context, const char *folder)
{
    char path[PATH_ROOM];
    struct weir_error error;
    path_join(path, folder, HISTORY_NAME);
    enum weir_result result = weir_file_remove(path, &error);
    return result == WEIR_OK || result == WEIR_NOT_FOUND ? WEIR_OK
                                                         : weir_fail_with(context, &error);
}

/* Removes what a run without a store left: nothing of it was published, none can resume it. */
static enum weir_result clear_run(struct weir_context *context, const char *folder,
                                  const char *line)
{
    char prefix[PART_NAME_ROOM];
    const char *id = line + strlen(RUN_PREFIX);
    part_staged_prefix(id, prefix);
    enum weir_result result = stage_clear(context, folder, prefix);
    snprintf(prefix, sizeof prefix, HISTORY_NAME "-%.32s-", id);
    if (result == WEIR_OK)
        result = stage_clear(context, folder, prefix);
    return result == WEIR_OK ? remove_line(context, folder) : result;
}

/* ---------------------------------------------------------------------------------- claim -- */

static enum weir_result refuse_parts(struct weir_context *context, const char *folder,
                                     const char *part)
{
    return weir_fail(context, WEIR_REFUSED,
                     "output directory %s already holds %s, and this start does not continue the "
                     "run that wrote it: start from that run's store, or name an empty directory",
                     folder, part);
}

/* Up to " node " two lines of one store, or of one run, are alike. */
static bool is_neighbour(const char *line, const char *mine)
{
    const char *node = strstr(mine, " node ");
    return strncmp(line, mine, (size_t)(node - mine) + strlen(" node ")) == 0;
}

static enum weir_result refuse_line(const struct history *history, struct weir_context *context,
                                    const char *line)
{
    const char *node = strstr(line, " node ");
    if (line[0] == '\0')
        return weir_fail(context, WEIR_REFUSED,
                         "%s is not the output directory that the checkpoint's run wrote to: name "
                         "that one (it may be moved whole, hidden files included)",
                         history->folder);
    if (is_neighbour(line, history->line))
        return weir_fail(context, WEIR_REFUSED,
                         "output directory %s belongs to node %.*s of the same job: give each sink "
                         "a directory of its own (a node that was renamed is another one)",
                         history->folder, (int)strcspn(node + 6, "\n"), node + 6);
    return weir_fail(context, WEIR_REFUSED,
                     "output directory %s belongs to another history (\"%.*s\", this one is "
                     "\"%.*s\"): start from its store, or name an empty directory",
                     history->folder, (int)strcspn(line, "\n"), line,
                     (int)strcspn(history->line, "\n"), history->line);
}

static bool is_run(const char *line)
{
    return strncmp(line, RUN_PREFIX, strlen(RUN_PREFIX)) == 0 &&
           strspn(line + strlen(RUN_PREFIX), "0123456789abcdef") == PART_ID_SIZE - 1;
}

/* The table in history.h, row by row. */
static enum weir_result claim_first(const struct history *history, struct weir_context *context,
                                    const char *line)
{
    char part[PATH_NAME_LIMIT + 1];
    enum weir_result result = first_part(context, history->folder, part);
    if (result != WEIR_OK)
        return result;
    if (part[0] != '\0')
        return refuse_parts(context, history->folder, part);
    if (strcmp(line, history->line) == 0)
        return WEIR_OK;
    if (line[0] != '\0' && !is_run(line))
        return refuse_line(history, context, line);
    if (line[0] != '\0')
        result = clear_run(context, history->folder, line);
    return result == WEIR_OK ? write_line(history, context) : result;
}

/* Where renaming is link and unlink, a run can die between the two and leave both names. */
static enum weir_result drop_draft(const struct history *history, struct weir_context *context)
{
    char draft[PATH_ROOM];
    struct weir_error error;
    draft_name(history, context, draft);
    enum weir_result result = weir_file_remove(draft, &error);
    return result == WEIR_OK || result == WEIR_NOT_FOUND ? WEIR_OK
                                                         : weir_fail_with(context, &error);
}

enum weir_result history_claim(struct history *history, struct weir_context *context,
                               const char *folder, const char *id)
{
    char line[HISTORY_ROOM];
    bool store = weir_store_id(context)[0] != '\0';
    history->folder = folder;
    snprintf(history->id, sizeof history->id, "%s", id);
    snprintf(history->line, sizeof history->line, "weir-history 1 %s %s node %s\n",
             store ? "store" : "run", id, weir_node_name(context));
    enum weir_result result = make_folder(context, folder);
    if (result == WEIR_OK)
        result = read_line(context, folder, line);
    if (result == WEIR_OK && !weir_restored(context))
        result = claim_first(history, context, line);
    if (result == WEIR_OK)
        result = drop_draft(history, context);
    return result == WEIR_OK ? history_check(history, context) : result;
}

enum weir_result history_check(const struct history *history, struct weir_context *context)
{
    char line[HISTORY_ROOM];
    enum weir_result result = read_line(context, history->folder, line);
    if (result != WEIR_OK || strcmp(line, history->line) == 0)
        return result;
    if (is_run(line) && is_run(history->line))
        return weir_fail(context, WEIR_REFUSED,
                         "output directory %s was taken over by another run or another sink "
                         "(\"%.*s\", this one is \"%.*s\"): give each a directory of its own",
                         history->folder, (int)strcspn(line, "\n"), line,
                         (int)strcspn(history->line, "\n"), history->line);
    return refuse_line(history, context, line);
}
