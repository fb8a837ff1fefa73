/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "entry.h"
#include "utf8.h"

/* What is asked for. */
struct question {
    struct tool *tool;
    struct weir_checkpoint *checkpoint;
    const char *node;
    uint32_t node_index;
    struct weir_checkpoint_state state;
    struct entry_style style;
    struct weir_bytes key;      /* of --key; no data: not asked for */
    struct entry_prefix prefix; /* of --prefix; no text: not asked for */
    bool misfit;                /* the key asked for has not the size of its format */
    uint64_t left;              /* entries, of --limit */
    bool headed;                /* tell which state it is */
};

static bool print_entry(const struct question *asked, const struct entry *entry,
                        struct weir_bytes value)
{
    FILE *to = asked->tool->paper.to;
    json_t *object;
    entry_count_key(asked->tool, &asked->style.key, entry->key);
    if (asked->style.kind != ENTRY_TIMERS)
        entry_count_value(asked->tool, &asked->style.value, value);
    if (!asked->tool->options.json) {
        entry_print(&asked->style, entry, to);
        if (asked->style.kind != ENTRY_TIMERS) {
            putc('\t', to);
            format_print(&asked->style.value, value, to);
        }
        putc('\n', to);
        return true;
    }
    object = json_pack("{s: s, s: s}", "node", asked->node, "state", asked->state.name);
    if (object == NULL || !entry_json(&asked->style, entry, object) ||
        (asked->style.kind != ENTRY_TIMERS &&
         json_object_set_new(object, "value", format_json(&asked->style.value, value)))) {
        json_decref(object);
        return false;
    }
    return tool_json(asked->tool, object);
}

static bool is_wanted(const struct question *asked, const struct weir_row *row)
{
    if (asked->prefix.text != NULL)
        return entry_begins(&asked->style, row->key, &asked->prefix);
    return asked->key.data == NULL ||
           (row->key.size == asked->key.size &&
            (asked->key.size == 0 || memcmp(row->key.data, asked->key.data, row->key.size) == 0));
}

static int walk(struct question *asked, uint64_t *found)
{
    struct weir_row row = {WEIR_SIZED(struct weir_row)};
    struct weir_error error = {0};
    struct weir_cursor *cursor;
    bool well = true;
    if (weir_cursor_open(asked->checkpoint, WEIR_ROWS_STATE, asked->node, asked->state.name,
                         &cursor, &error) != WEIR_OK)
        return tool_fail(asked->tool, &error);
    while (well && asked->left > 0 && !ferror(asked->tool->paper.to) &&
           weir_cursor_next(cursor, &row)) {
        struct entry entry = {row.key, row.sub, row.id, row.time, row.kind};
        if (!is_wanted(asked, &row))
            continue;
        well = print_entry(asked, &entry, row.value);
        asked->left--;
        ++*found;
    }
    if (weir_cursor_close(&cursor, &error) != WEIR_OK)
        return tool_fail(asked->tool, &error);
    return well ? EXIT_DONE : tool_no_memory(asked->tool);
}

/* Of plain values one is found without reading the others. */
static int find(struct question *asked, uint64_t *found)
{
    struct weir_error error = {0};
    struct weir_bytes value;
    enum weir_result result = weir_checkpoint_find(asked->checkpoint, asked->node,
                                                   asked->state.name, asked->key, &value, &error);
    if (result == WEIR_NOT_FOUND)
        return EXIT_DONE;
    if (result != WEIR_OK)
        return tool_fail(asked->tool, &error);
    ++*found;
    return print_entry(asked, &(struct entry){.key = asked->key}, value)
               ? EXIT_DONE
               : tool_no_memory(asked->tool);
}

static void print_heading(const struct question *asked)
{
    const struct paper *paper = &asked->tool->paper;
    const char *format = asked->state.format;
    if (!asked->headed || asked->tool->options.json)
        return;
    paper_colour(paper, PAPER_BOLD);
    fprintf(paper->to, "# %s/%s: %s%s", asked->node, asked->state.name, asked->state.kind,
            *format ? ", " : "");
    utf8_escape((struct weir_bytes){format, strlen(format)}, 0, paper->to);
    putc('\n', paper->to);
    paper_plain(paper);
}

/* What --key or --prefix says, in this state's format of keys. */
static bool read_key(struct question *asked)
{
    const struct options *options = &asked->tool->options;
    void *key = NULL;
    asked->key = (struct weir_bytes){0};
    if (options->prefix != NULL)
        return entry_prefix_read(&asked->style, options->prefix, &asked->prefix);
    if (options->key == NULL)
        return true;
    bool well = format_parse(&asked->style.key, options->key, &key, &asked->key.size);
    asked->key.data = key;
    bool sized = asked->style.key.kind == FORMAT_NUMBER || asked->style.key.kind == FORMAT_STRUCT;
    asked->misfit = well && sized && !format_fits(&asked->style.key, asked->key);
    return well;
}

static int refuse_key(const struct question *asked)
{
    const struct options *options = &asked->tool->options;
    return tool_complain(asked->tool, EXIT_USAGE, "'%s' is no %s of %s/%s, whose keys look like %s",
                         options->key != NULL ? options->key : options->prefix,
                         options->key != NULL ? "key" : "beginning of keys", asked->node,
                         asked->state.name, format_example(&asked->style.key));
}

/* A key that does not fit its format may be there all the same, told in hex; if it is not, it is
 * rather mistyped than missing. */
static int answer(struct question *asked, uint64_t *found)
{
    uint64_t before = *found;
    if (!entry_style_read(asked->tool, asked->checkpoint, asked->node_index, &asked->state,
                          &asked->style))
        return EXIT_USAGE;
    if (!read_key(asked))
        return refuse_key(asked);
    print_heading(asked);
    int code = asked->key.data != NULL && asked->style.kind == ENTRY_VALUE ? find(asked, found)
                                                                           : walk(asked, found);
    free((void *)asked->key.data);
    entry_prefix_free(&asked->prefix);
    return code == EXIT_DONE && asked->misfit && *found == before ? refuse_key(asked) : code;
}

/* `state` NULL: all of the node's. */
static int answer_all(struct question *asked, const char *state)
{
    const struct tool *tool = asked->tool;
    uint64_t found = 0;
    uint32_t matches = 0;
    int code = EXIT_DONE;
    for (uint32_t i = 0;
         code == EXIT_DONE &&
         weir_checkpoint_get_state(asked->checkpoint, asked->node_index, i, &asked->state);
         i++) {
        if (state != NULL && strcmp(asked->state.name, state) != 0)
            continue;
        matches++;
        code = answer(asked, &found);
    }
    if (code != EXIT_DONE)
        return code;
    if (matches == 0 && state != NULL)
        return tool_complain(tool, EXIT_USAGE,
                             "node '%s' has no state '%s': `weir show` lists them", asked->node,
                             state);
    if (matches == 0)
        return tool_complain(tool, EXIT_NO, "node '%s' has no keyed state", asked->node);
    if (found == 0 && tool->options.key != NULL)
        return tool_complain(tool, EXIT_NO, "there is no key %s", tool->options.key);
    return EXIT_DONE;
}

static int ask(struct tool *tool, struct weir_store *store, struct weir_checkpoint *checkpoint)
{
    (void)store;
    char node[80];
    const char *word = tool->options.words[2], *slash = strchr(word, '/');
    struct weir_checkpoint_node about = {WEIR_SIZED(struct weir_checkpoint_node)};
    int code;
    snprintf(node, sizeof node, "%.*s", (int)strcspn(word, "/"), word);
    struct question asked = {.tool = tool,
                             .checkpoint = checkpoint,
                             .node = node,
                             .state = {WEIR_SIZED(struct weir_checkpoint_state)},
                             .left = tool->options.limit};
    asked.node_index = tool_find_node(tool, checkpoint, node, &code);
    if (code != EXIT_DONE)
        return code;
    weir_checkpoint_get_node(checkpoint, asked.node_index, &about);
    asked.headed = slash == NULL && about.states > 1;
    return answer_all(&asked, slash == NULL ? NULL : slash + 1);
}

int tool_state(struct tool *tool)
{
    return tool_look(tool, ask);
}
