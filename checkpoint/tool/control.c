/* SPDX-License-Identifier: Apache-2.0
 *
 * The verbs that ask the job which runs on a store to do something, as the job's own verbs do.
 */
#include <stdlib.h>

#include "answer.h"
#include "tool.h"

/* Prints the answer. */
static int take_answer(const struct tool *tool, enum ask_what what, const char *text)
{
    const char *refusal;
    json_t *answer = answer_read(text, &refusal);
    int code = EXIT_DONE;

    if (refusal != NULL)
        code = tool_complain(tool, EXIT_REFUSED, "%s", refusal);
    else if (tool->options.json)
        fprintf(tool->paper.to, "%s\n", text);
    else
        answer_print(tool->paper.to, what, answer);
    json_decref(answer);
    return code;
}

static int ask_running(struct tool *tool, struct ask ask)
{
    struct weir_error error = {0};
    char *answer;

    ask.store = tool->options.words[0];
    if (ask_program(&ask, &answer, &error) != WEIR_OK)
        return tool_fail(tool, &error);
    int code = take_answer(tool, ask.what, answer);
    free(answer);
    return code;
}

int tool_snapshot(struct tool *tool)
{
    return ask_running(tool, (struct ask){.what = ASK_CHECKPOINT});
}

int tool_savepoint(struct tool *tool)
{
    return ask_running(tool,
                       (struct ask){.what = ASK_SAVEPOINT, .savepoint = tool->options.words[1]});
}

int tool_stop(struct tool *tool)
{
    const struct options *options = &tool->options;

    if (options->now && options->drain)
        return tool_complain(tool, EXIT_USAGE, "--drain and --now: say one of them");
    if (options->now && options->savepoint != NULL)
        return tool_complain(tool, EXIT_USAGE,
                             "--savepoint and --now: say one of them; a stop at once leaves no "
                             "last checkpoint");
    return ask_running(tool, (struct ask){.what = ASK_STOP,
                                          .mode = options->now     ? ASK_NOW
                                                  : options->drain ? ASK_DRAIN
                                                                   : ASK_SUSPEND,
                                          .savepoint = options->savepoint});
}

int tool_dump(struct tool *tool)
{
    return ask_running(tool, (struct ask){.what = ASK_DUMP});
}
