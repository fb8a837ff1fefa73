/* SPDX-License-Identifier: Apache-2.0
 *
 * copy: a checkpoint in a directory of its own.
 */
#include <inttypes.h>

#include "progress.h"

static int tell(const struct tool *tool, const struct weir_checkpoint_info *info)
{
    const char *path = tool->options.words[2];
    char bytes[PAPER_TEXT];
    if (tool->options.json)
        return tool_json(tool,
                         json_pack("{s: I, s: s, s: I}", "checkpoint", (json_int_t)info->id, "path",
                                   path, "stored_bytes", (json_int_t)info->stored_bytes))
                   ? EXIT_DONE
                   : tool_no_memory(tool);
    paper_bytes(info->stored_bytes, bytes);
    fprintf(tool->paper.to, "checkpoint %" PRIu64 ", %s, is a savepoint in %s\n", info->id, bytes,
            path);
    return EXIT_DONE;
}

static int copy(struct tool *tool, struct weir_store *store, struct weir_checkpoint *checkpoint)
{
    struct weir_checkpoint_info info = {WEIR_SIZED(struct weir_checkpoint_info)};
    struct weir_error error = {0};
    struct progress progress;
    weir_checkpoint_describe(checkpoint, &info);
    progress_begin(&progress, store, info.stored_bytes);
    enum weir_result result = weir_store_copy(store, info.id, tool->options.words[2], &error);
    progress_end(&progress);
    return result == WEIR_OK ? tell(tool, &info) : tool_fail(tool, &error);
}

int tool_copy(struct tool *tool)
{
    return tool_look(tool, copy);
}
