/* SPDX-License-Identifier: Apache-2.0
 *
 * inflight: records on their way, in columns separated by a tabulator:
 *
 *   FROM.SUBTASK>TO.SUBTASK  POSITION  WHERE  TIME  KEY  VALUE
 *
 * POSITION counts, from 1, what is on that channel - by one edge from one subtask to another - in
 * the order in which it was sent; WHERE is "reader", where it lay, or "writer", where it waited and
 * was overtaken by the checkpoint's marker.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "channels.h"
#include "entry.h"

#define NO_TIME INT64_MIN

struct edge {
    struct weir_checkpoint_edge about;
    const char *from, *to; /* nodes */
    bool wanted;
    struct format key, value;
};

struct listing {
    struct tool *tool;
    struct weir_checkpoint *checkpoint;
    struct edge *edges;
    uint32_t edge_count;
    struct channels channels;
};

/* "A:B" */
static bool is_named(const char *text, const struct edge *edge)
{
    size_t size = strlen(edge->from);
    return strncmp(text, edge->from, size) == 0 && text[size] == ':' &&
           strcmp(text + size + 1, edge->to) == 0;
}

static const char *node_name(const struct weir_checkpoint *checkpoint, uint32_t index)
{
    struct weir_checkpoint_node node = {WEIR_SIZED(struct weir_checkpoint_node)};
    return weir_checkpoint_get_node(checkpoint, index, &node) ? node.name : "?";
}

static int read_edges(struct listing *listing)
{
    const struct options *options = &listing->tool->options;
    struct weir_checkpoint_info info = {WEIR_SIZED(struct weir_checkpoint_info)};
    bool any = options->edge == NULL;
    weir_checkpoint_describe(listing->checkpoint, &info);
    listing->edges = calloc(info.edges + 1, sizeof *listing->edges);
    if (listing->edges == NULL)
        return tool_no_memory(listing->tool);
    for (; listing->edge_count < info.edges; listing->edge_count++) {
        struct edge *edge = &listing->edges[listing->edge_count];
        edge->about.size = sizeof edge->about;
        weir_checkpoint_get_edge(listing->checkpoint, listing->edge_count, &edge->about);
        edge->from = node_name(listing->checkpoint, edge->about.from);
        edge->to = node_name(listing->checkpoint, edge->about.to);
        edge->wanted = options->edge == NULL || is_named(options->edge, edge);
        any |= edge->wanted;
        if (!entry_format(listing->tool, options->key_format, edge->about.key_format, &edge->key) ||
            !entry_format(listing->tool, options->value_format, edge->about.value_format,
                          &edge->value))
            return EXIT_USAGE;
    }
    return any ? EXIT_DONE
               : tool_complain(listing->tool, EXIT_USAGE,
                               "there is no edge '%s': give two nodes as FROM:TO, `weir show` "
                               "lists the edges",
                               options->edge);
}

static bool print_json(struct listing *listing, const struct edge *edge, const struct weir_row *row,
                       uint64_t position)
{
    json_t *object = json_pack(
        "{s: s, s: I, s: s, s: I, s: s, s: s, s: I, s: s, s: o}", "from", edge->from,
        "from_subtask", (json_int_t)row->from_subtask, "to", edge->to, "to_subtask",
        (json_int_t)row->subtask, "output", edge->about.output, "input", edge->about.input,
        "position", (json_int_t)position, "where", row->in_outlet ? "writer" : "reader", "time",
        row->time == NO_TIME ? json_null() : json_integer(row->time));
    if (object == NULL || json_object_set_new(object, "key", format_json(&edge->key, row->key)) ||
        json_object_set_new(object, "value", format_json(&edge->value, row->value))) {
        json_decref(object);
        return false;
    }
    return tool_json(listing->tool, object);
}

static void print_text(struct listing *listing, const struct edge *edge, const struct weir_row *row,
                       uint64_t position)
{
    FILE *to = listing->tool->paper.to;
    fprintf(to, "%s.%" PRIu32 ">%s.%" PRIu32 "\t%" PRIu64 "\t%s\t", edge->from, row->from_subtask,
            edge->to, row->subtask, position, row->in_outlet ? "writer" : "reader");
    if (row->time == NO_TIME)
        fputs("-", to);
    else
        fprintf(to, "%" PRId64, row->time);
    putc('\t', to);
    format_print(&edge->key, row->key, to);
    putc('\t', to);
    format_print(&edge->value, row->value, to);
    putc('\n', to);
}

static int print_all(struct listing *listing)
{
    struct weir_row row = {WEIR_SIZED(struct weir_row)};
    struct weir_error error = {0};
    struct weir_cursor *cursor;
    uint64_t left = listing->tool->options.limit;
    bool well = true;
    if (weir_cursor_open(listing->checkpoint, WEIR_ROWS_INFLIGHT, NULL, NULL, &cursor, &error) !=
        WEIR_OK)
        return tool_fail(listing->tool, &error);
    while (well && left > 0 && !ferror(listing->tool->paper.to) && weir_cursor_next(cursor, &row)) {
        const struct edge *edge = &listing->edges[row.edge];
        uint64_t before = edge->wanted ? channels_position(&listing->channels, &row) : 0;
        if (!edge->wanted)
            continue;
        left--;
        well = before != UINT64_MAX;
        entry_count_key(listing->tool, &edge->key, row.key);
        entry_count_value(listing->tool, &edge->value, row.value);
        if (well && listing->tool->options.json)
            well = print_json(listing, edge, &row, before + 1);
        else if (well)
            print_text(listing, edge, &row, before + 1);
    }
    if (weir_cursor_close(&cursor, &error) != WEIR_OK)
        return tool_fail(listing->tool, &error);
    return well ? EXIT_DONE : tool_no_memory(listing->tool);
}

static int list(struct tool *tool, struct weir_store *store, struct weir_checkpoint *checkpoint)
{
    struct listing listing = {.tool = tool, .checkpoint = checkpoint};
    (void)store;
    int code = read_edges(&listing);
    if (code == EXIT_DONE)
        code = print_all(&listing);
    free(listing.edges);
    channels_free(&listing.channels);
    return code;
}

int tool_inflight(struct tool *tool)
{
    return tool_look(tool, list);
}
