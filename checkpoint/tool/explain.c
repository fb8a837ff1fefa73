/* SPDX-License-Identifier: Apache-2.0
 *
 * explain: would a checkpoint restore into the graph of a program? The program answers, by its verb
 * `plan --json --restore`, whose object `restore` (EVENTS.md of weir's runtime folder) is shown.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"
#include "tool.h"

#define PATH_SIZE 4096u
#define JOB_SAYS_NO 4 /* its exit code: the checkpoint is of another graph */

static const char *text_of(const json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));
    return text == NULL ? "" : text;
}

static int64_t number_of(const json_t *object, const char *member)
{
    return json_integer_value(json_object_get(object, member));
}

/* "": a way that this tool does not know is told as it is. */
static const char *way_of(const json_t *object)
{
    static const char *const ways[][2] = {
        {"new", "new"},
        {"as_was", "as it was"},
        {"same_subtasks", "each task goes on, the graph around it is another"},
        {"rescaled", "shared out to another number of tasks"},
        {"dealt", "each key goes to the task that owns it now"},
        {"migrated", "each value goes through `migrate`"},
        {"by_key", "records in flight go where their keys go"},
        {"by_channel", "records in flight go by channel, as a whole"},
        {"none", "nothing is in flight"},
    };
    const char *way = text_of(object, "way");
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        if (strcmp(ways[i][0], way) == 0)
            return ways[i][1];
    return way;
}

/* "2", or "2, was 3" */
static void number_cell(struct table *table, const json_t *object, const char *now, const char *was)
{
    bool known = json_object_get(object, was) != NULL;
    if (known && number_of(object, was) != number_of(object, now))
        table_cell(table, "%" PRId64 ", was %" PRId64, number_of(object, now),
                   number_of(object, was));
    else
        table_cell(table, "%" PRId64, number_of(object, now));
}

static bool print_nodes(const struct tool *tool, const json_t *restore)
{
    struct table table;
    const json_t *node, *state;
    size_t n, s;
    table_begin(&table, "NODE, STATE|TASKS|VERSION|WHAT BECOMES OF IT", "lrrl");
    json_array_foreach(json_object_get(restore, "nodes"), n, node)
    {
        table_cell(&table, "%s", text_of(node, "name"));
        number_cell(&table, node, "parallelism", "parallelism_was");
        table_cell(&table, "%s", "");
        table_cell(&table, "%s", way_of(node));
        json_array_foreach(json_object_get(node, "states"), s, state)
        {
            table_cell(&table, "  %s/%s", text_of(node, "name"), text_of(state, "name"));
            table_cell(&table, "%s", "");
            number_cell(&table, state, "version", "version_was");
            table_cell(&table, "%s", way_of(state));
        }
    }
    return table_end(&table, &tool->paper);
}

static bool print_edges(const struct tool *tool, const json_t *restore)
{
    struct table table;
    const json_t *edge;
    size_t i;
    table_begin(&table, "EDGE|WHAT BECOMES OF IT", "ll");
    json_array_foreach(json_object_get(restore, "edges"), i, edge)
    {
        table_cell(&table, "%s", text_of(edge, "edge"));
        table_cell(&table, "%s", way_of(edge));
    }
    putc('\n', tool->paper.to);
    return table_end(&table, &tool->paper);
}

/* "node/state", "node", or the edge: whatever the object is of. */
static void print_name(FILE *to, const json_t *object)
{
    const char *edge = text_of(object, "edge"), *state = text_of(object, "state");
    fprintf(to, "%s%s%s%s", edge, text_of(object, "node"), *state ? "/" : "", state);
}

static void print_missing(const struct tool *tool, const json_t *restore)
{
    FILE *to = tool->paper.to;
    bool drops = json_is_true(json_object_get(restore, "drops"));
    const json_t *one;
    size_t i;
    putc('\n', to);
    json_array_foreach(json_object_get(restore, "gone"), i, one)
    {
        fputs("gone: ", to);
        print_name(to, one);
        fputs(" is not in the graph\n", to);
    }
    json_array_foreach(json_object_get(restore, "losses"), i, one)
    {
        const char *what = text_of(one, "what");
        bool handles = strcmp(what, "handles") == 0;
        fprintf(to, "%s: ", drops && !handles ? "dropped" : "no place");
        print_name(to, one);
        fprintf(to, ": %" PRId64 " %s\n", number_of(one, "count"),
                strcmp(what, "state") == 0 ? "keys" : what);
    }
    json_array_foreach(json_object_get(restore, "problems"), i, one)
        fprintf(to, "problem: %s\n", json_string_value(one));
}

static bool print_text(const struct tool *tool, const json_t *restore, const char *program)
{
    const struct paper *paper = &tool->paper;
    bool fits = json_is_true(json_object_get(restore, "fits"));
    paper_colour(paper, fits ? PAPER_GREEN : PAPER_RED);
    fprintf(paper->to, "checkpoint %" PRId64 " would %sgo on in %s\n",
            number_of(restore, "checkpoint"), fits ? "" : "NOT ", program);
    paper_plain(paper);
    if (!fits)
        fprintf(paper->to, "%s\n", text_of(restore, "error"));
    putc('\n', paper->to);
    bool well = print_nodes(tool, restore) && print_edges(tool, restore);
    print_missing(tool, restore);
    return well;
}

/* `answer` is the program's. */
static int present(const struct tool *tool, const json_t *answer)
{
    json_t *restore = json_object_get(answer, "restore");
    const char *program = text_of(answer, "program");
    bool fits = json_is_true(json_object_get(restore, "fits")), well;
    if (tool->options.json) {
        json_t *object = json_pack("{s: s}", "program", program);
        well = object != NULL && json_object_update(object, restore) == 0;
        well = tool_json(tool, well ? object : NULL);
    } else {
        well = print_text(tool, restore, program);
    }
    return !well ? tool_no_memory(tool) : fits ? EXIT_DONE : EXIT_NO;
}

static int read_answer(const struct tool *tool, const struct program *program, const char *path)
{
    json_t *answer = program->code == 0 || program->code == JOB_SAYS_NO
                         ? json_loadb(program->out, program->out_size, 0, NULL)
                         : NULL;
    bool there = json_object_get(json_object_get(answer, "restore"), "nodes") != NULL;
    int code;
    if (there)
        code = present(tool, answer);
    else if (*program->complaint != 0)
        code = tool_complain(tool, program->code == EXIT_STORE ? EXIT_STORE : EXIT_USAGE,
                             "%s says (exit code %d): %s", path, program->code, program->complaint);
    else
        code = tool_complain(tool, EXIT_USAGE,
                             "%s says nothing of a checkpoint (exit code %d): is it a program of a "
                             "weir job?",
                             path, program->code);
    json_decref(answer);
    return code;
}

static int explain(struct tool *tool, struct weir_store *store, struct weir_checkpoint *checkpoint)
{
    const struct options *options = &tool->options;
    struct weir_checkpoint_info info = {WEIR_SIZED(struct weir_checkpoint_info)};
    struct program program;
    char path[PATH_SIZE], id[32];
    char *words[] = {path,
                     (char *)"plan",
                     (char *)"--json",
                     (char *)"--store",
                     options->every[0],
                     (char *)"--restore",
                     id};
    size_t count = sizeof words / sizeof words[0];
    (void)store;
    weir_checkpoint_describe(checkpoint, &info);
    snprintf(id, sizeof id, "%" PRIu64, info.id);
    /* A name without a slash is of this folder. */
    if (snprintf(path, sizeof path, "%s%s", strchr(options->words[2], '/') ? "" : "./",
                 options->words[2]) >= (int)sizeof path)
        return tool_complain(tool, EXIT_USAGE, "the path of the program is too long");
    char **argv = calloc(count + (size_t)options->word_count, sizeof *argv);
    if (argv == NULL)
        return tool_no_memory(tool);
    memcpy(argv, words, sizeof words);
    memcpy(argv + count, options->every + 3, ((size_t)options->word_count - 3) * sizeof *argv);
    int failed = program_run(&program, argv);
    int code = failed != 0 ? tool_complain(tool, EXIT_USAGE, "%s can't be run: %s", path,
                                           strerrordesc_np(failed))
                           : read_answer(tool, &program, path);
    program_free(&program);
    free(argv);
    return code;
}

int tool_explain(struct tool *tool)
{
    return tool_look(tool, explain);
}
