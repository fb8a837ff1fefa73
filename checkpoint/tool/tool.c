/* SPDX-License-Identifier: Apache-2.0 */
#include "tool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

static void complain(const struct tool *tool, const char *name, const char *text)
{
    json_t *error = NULL;
    fflush(tool->paper.to); /* what was found before stands before */
    if (tool->options.json)
        error = json_pack("{s: s, s: s}", "error", name, "text", text);
    if (error == NULL) {
        fputs("weir: ", stderr);
        utf8_disarm(text, stderr);
    } else {
        (void)json_dumpf(error, stderr, JSON_COMPACT);
    }
    fputc('\n', stderr);
    json_decref(error);
}

int tool_complain(const struct tool *tool, int code, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    complain(tool,
             weir_result_name(code == EXIT_USAGE     ? WEIR_INVALID
                              : code == EXIT_REFUSED ? WEIR_REFUSED
                              : code == EXIT_OUTPUT  ? WEIR_IO
                                                     : WEIR_NOT_FOUND),
             text);
    return code;
}

int tool_fail(const struct tool *tool, const struct weir_error *error)
{
    complain(tool, weir_result_name(error->code), error->text);
    return error->code == WEIR_INVALID ? EXIT_USAGE : EXIT_STORE;
}

int tool_no_memory(const struct tool *tool)
{
    complain(tool, weir_result_name(WEIR_NO_MEMORY), "there is no memory for the answer");
    return EXIT_STORE;
}

/* Says what to do as well, where there is no such thing. */
static int fail_to_open(const struct tool *tool, struct weir_error *error, const char *hint)
{
    size_t used = strlen(error->text);
    if (error->code == WEIR_NOT_FOUND)
        snprintf(error->text + used, sizeof error->text - used, "; %s", hint);
    return tool_fail(tool, error);
}

static void tell_misfit(const struct tool *tool, const struct tool_fit *fit, const char *what,
                        const char *option, const char *format)
{
    if (fit->shown > 0 && fit->fit == 0)
        tool_complain(tool, EXIT_USAGE, "none of the %" PRIu64 " %s fits --%s '%s': they are bytes",
                      fit->shown, what, option, format);
}

void tool_tell_misfits(const struct tool *tool)
{
    tell_misfit(tool, &tool->keys, "keys", "key-format", tool->options.key_format);
    tell_misfit(tool, &tool->values, "values", "value-format", tool->options.value_format);
}

int tool_open_store(const struct tool *tool, struct weir_store **store)
{
    struct weir_error error = {0};
    if (weir_store_open(tool->options.words[0], NULL, store, &error) != WEIR_OK)
        return fail_to_open(tool, &error,
                            "give the directory that the job has as --store, or a savepoint's");
    return EXIT_DONE;
}

int tool_read_id(const struct tool *tool, const char *word, uint64_t *id)
{
    char *end;
    *id = 0;
    if (word == NULL || strcmp(word, "newest") == 0)
        return EXIT_DONE;
    errno = 0;
    *id = strspn(word, "0123456789") > 0 ? strtoull(word, &end, 10) : 0;
    if (*id == 0 || *end != 0 || errno != 0)
        return tool_complain(tool, EXIT_USAGE,
                             "'%s' is no checkpoint's id: give a number that `weir list` shows, or "
                             "newest",
                             word);
    return EXIT_DONE;
}

int tool_open_checkpoint(const struct tool *tool, struct weir_store *store, const char *word,
                         struct weir_checkpoint **checkpoint)
{
    struct weir_error error = {0};
    uint64_t id;
    int code = tool_read_id(tool, word, &id);
    if (code != EXIT_DONE)
        return code;
    if (weir_checkpoint_open(store, id, checkpoint, &error) != WEIR_OK)
        return fail_to_open(tool, &error, "`weir list` shows those there are");
    return EXIT_DONE;
}

int tool_look(struct tool *tool, int (*look)(struct tool *tool, struct weir_store *store,
                                             struct weir_checkpoint *checkpoint))
{
    struct weir_checkpoint *checkpoint;
    struct weir_store *store;
    int code = tool_open_store(tool, &store);
    if (code != EXIT_DONE)
        return code;
    code = tool_open_checkpoint(tool, store, tool->options.words[1], &checkpoint);
    if (code == EXIT_DONE) {
        code = look(tool, store, checkpoint);
        weir_checkpoint_close(&checkpoint);
    }
    weir_store_close(&store);
    return code;
}

uint32_t tool_find_node(const struct tool *tool, const struct weir_checkpoint *checkpoint,
                        const char *name, int *code)
{
    struct weir_checkpoint_node node = {WEIR_SIZED(struct weir_checkpoint_node)};
    char names[512] = "";
    uint32_t index = 0;
    *code = EXIT_DONE;
    for (; weir_checkpoint_get_node(checkpoint, index, &node); index++) {
        size_t used = strlen(names);
        if (strcmp(node.name, name) == 0)
            return index;
        snprintf(names + used, sizeof names - used, "%s%s", index > 0 ? ", " : "", node.name);
    }
    *code = tool_complain(tool, EXIT_USAGE, "there is no node '%s'; there is: %s", name, names);
    return index;
}

bool tool_json(const struct tool *tool, json_t *value)
{
    bool well = value != NULL && (json_dumpf(value, tool->paper.to, JSON_COMPACT) == 0 ||
                                  ferror(tool->paper.to)); /* which paper_close tells */
    if (well)
        fputc('\n', tool->paper.to);
    json_decref(value);
    return well;
}
