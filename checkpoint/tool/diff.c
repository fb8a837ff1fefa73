/* SPDX-License-Identifier: Apache-2.0
 *
 * diff: what of each state is another in checkpoint B than in A. A line a change:
 *
 *   + NODE/STATE  KEY...  VALUE               added
 *   - NODE/STATE  KEY...  VALUE               removed
 *   ~ NODE/STATE  KEY...  BEFORE  ->  AFTER   changed
 *
 * in columns separated by a tabulator, as entry.h has them, and a line a state with the sums.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "entry.h"

struct comparison {
    struct tool *tool;
    struct weir_checkpoint *sides[2];
    bool differs;
};

/* One state of both. */
struct pairing {
    struct comparison *of;
    const char *node;
    struct weir_checkpoint_state state; /* in B */
    struct entry_style styles[2];       /* of A, of B */
    uint64_t counts[3];                 /* by enum weir_change_kind */
};

static const char *const names[] = {"added", "removed", "changed"};

static bool print_json(const struct pairing *pair, const struct entry *entry,
                       const struct weir_change *change)
{
    json_t *object = json_pack("{s: s, s: s, s: s}", "node", pair->node, "state", pair->state.name,
                               "change", names[change->what]);
    bool timers = pair->styles[1].kind == ENTRY_TIMERS;
    bool well = object != NULL && entry_json(&pair->styles[1], entry, object);
    if (well && !timers && change->what != WEIR_CHANGE_ADDED)
        well = json_object_set_new(object, "before",
                                   format_json(&pair->styles[0].value, change->before)) == 0;
    if (well && !timers && change->what != WEIR_CHANGE_REMOVED)
        well = json_object_set_new(object, "after",
                                   format_json(&pair->styles[1].value, change->after)) == 0;
    if (well)
        return tool_json(pair->of->tool, object);
    json_decref(object);
    return false;
}

static void print_text(const struct pairing *pair, const struct entry *entry,
                       const struct weir_change *change)
{
    static const enum paper_colour colours[] = {PAPER_GREEN, PAPER_RED, PAPER_YELLOW};
    const struct paper *paper = &pair->of->tool->paper;
    paper_colour(paper, colours[change->what]);
    fprintf(paper->to, "%c %s/%s\t", "+-~"[change->what], pair -> node, pair -> state.name);
    entry_print(&pair->styles[1], entry, paper->to);
    if (pair->styles[1].kind != ENTRY_TIMERS) {
        putc('\t', paper->to);
        if (change->what != WEIR_CHANGE_ADDED)
            format_print(&pair->styles[0].value, change->before, paper->to);
        if (change->what == WEIR_CHANGE_CHANGED)
            fputs("\t->\t", paper->to);
        if (change->what != WEIR_CHANGE_REMOVED)
            format_print(&pair->styles[1].value, change->after, paper->to);
    }
    paper_plain(paper);
    putc('\n', paper->to);
}

static void print_sum(const struct pairing *pair)
{
    const struct paper *paper = &pair->of->tool->paper;
    paper_colour(paper, PAPER_BOLD);
    fprintf(paper->to, "# %s/%s: %" PRIu64 " added, %" PRIu64 " removed, %" PRIu64 " changed\n",
            pair->node, pair->state.name, pair->counts[0], pair->counts[1], pair->counts[2]);
    paper_plain(paper);
}

static int compare(struct pairing *pair)
{
    struct tool *tool = pair->of->tool;
    struct weir_change change = {WEIR_SIZED(struct weir_change)};
    struct weir_difference *difference;
    struct weir_error error = {0};
    bool well = true;
    if (weir_difference_open(pair->of->sides[0], pair->of->sides[1], pair->node, pair->state.name,
                             &difference, &error) != WEIR_OK)
        return tool_fail(tool, &error);
    while (well && !ferror(tool->paper.to) && weir_difference_next(difference, &change)) {
        struct entry entry = {change.key, change.sub, change.id, change.time, change.kind};
        pair->counts[change.what]++;
        entry_count_key(tool, &pair->styles[1].key, change.key);
        if (pair->styles[1].kind != ENTRY_TIMERS)
            entry_count_value(tool, &pair->styles[change.what != WEIR_CHANGE_REMOVED].value,
                              change.what == WEIR_CHANGE_REMOVED ? change.before : change.after);
        if (tool->options.json)
            well = print_json(pair, &entry, &change);
        else
            print_text(pair, &entry, &change);
    }
    if (weir_difference_close(&difference, &error) != WEIR_OK)
        return tool_fail(tool, &error);
    pair->of->differs |= pair->counts[0] + pair->counts[1] + pair->counts[2] > 0;
    if (!tool->options.json)
        print_sum(pair);
    return well ? EXIT_DONE : tool_no_memory(tool);
}

/* ----------------------------------------------------------------------- states of a pair -- */

static bool find_state(const struct weir_checkpoint *checkpoint, const char *node,
                       const char *state, uint32_t *index, struct weir_checkpoint_state *found)
{
    struct weir_checkpoint_node about = {WEIR_SIZED(struct weir_checkpoint_node)};
    for (*index = 0; weir_checkpoint_get_node(checkpoint, *index, &about); ++*index) {
        if (strcmp(about.name, node) != 0)
            continue;
        for (uint32_t i = 0; weir_checkpoint_get_state(checkpoint, *index, i, found); i++)
            if (strcmp(found->name, state) == 0)
                return true;
    }
    return false;
}

static int tell_alone(struct comparison *comparison, int side, const char *node, const char *state)
{
    struct tool *tool = comparison->tool;
    const char *which = tool->options.words[1 + side];
    comparison->differs = true;
    if (!tool->options.json) {
        fprintf(tool->paper.to, "# %s/%s: only in checkpoint %s\n", node, state, which);
        return EXIT_DONE;
    }
    return tool_json(tool, json_pack("{s: s, s: s, s: s, s: s}", "node", node, "state", state,
                                     "change", "only", "checkpoint", which))
               ? EXIT_DONE
               : tool_no_memory(tool);
}

/* A state that one side has: of B's, what both have is compared. */
static int look_at(struct comparison *comparison, int side, const char *node,
                   const struct weir_checkpoint_state *state, uint32_t index)
{
    struct pairing pair = {.of = comparison, .node = node, .state = *state};
    struct weir_checkpoint_state other = {WEIR_SIZED(struct weir_checkpoint_state)};
    uint32_t other_index;
    if (!find_state(comparison->sides[1 - side], node, state->name, &other_index, &other))
        return tell_alone(comparison, side, node, state->name);
    if (side == 0)
        return EXIT_DONE;
    if (!entry_style_read(comparison->tool, comparison->sides[0], other_index, &other,
                          &pair.styles[0]) ||
        !entry_style_read(comparison->tool, comparison->sides[1], index, state, &pair.styles[1]))
        return EXIT_USAGE;
    return compare(&pair);
}

/* "NODE" or "NODE/STATE"; NULL: all. */
static bool is_meant(const char *word, const char *node, const char *state)
{
    size_t size = strlen(node);
    return word == NULL ||
           (strncmp(word, node, size) == 0 &&
            (word[size] == 0 || (word[size] == '/' && strcmp(word + size + 1, state) == 0)));
}

static int compare_all(struct comparison *comparison)
{
    struct weir_checkpoint_node node = {WEIR_SIZED(struct weir_checkpoint_node)};
    struct weir_checkpoint_state state = {WEIR_SIZED(struct weir_checkpoint_state)};
    const char *word = comparison->tool->options.words[3];
    bool any = word == NULL;
    int code = EXIT_DONE;
    for (int side = 0; side < 2; side++) {
        struct weir_checkpoint *checkpoint = comparison->sides[side];
        for (uint32_t n = 0; weir_checkpoint_get_node(checkpoint, n, &node); n++)
            for (uint32_t s = 0;
                 code == EXIT_DONE && weir_checkpoint_get_state(checkpoint, n, s, &state); s++) {
                if (!is_meant(word, node.name, state.name))
                    continue;
                any = true;
                code = look_at(comparison, side, node.name, &state, n);
            }
    }
    if (code == EXIT_DONE && !any)
        return tool_complain(comparison->tool, EXIT_USAGE,
                             "there is no state '%s': `weir show` lists them", word);
    return code != EXIT_DONE ? code : comparison->differs ? EXIT_NO : EXIT_DONE;
}

int tool_diff(struct tool *tool)
{
    struct comparison comparison = {.tool = tool};
    struct weir_store *store;
    int code = tool_open_store(tool, &store);
    if (code != EXIT_DONE)
        return code;
    for (int i = 0; i < 2 && code == EXIT_DONE; i++)
        code = tool_open_checkpoint(tool, store, tool->options.words[1 + i], &comparison.sides[i]);
    if (code == EXIT_DONE)
        code = compare_all(&comparison);
    for (int i = 0; i < 2; i++)
        if (comparison.sides[i] != NULL)
            weir_checkpoint_close(&comparison.sides[i]);
    weir_store_close(&store);
    return code;
}
