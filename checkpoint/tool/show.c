/* SPDX-License-Identifier: Apache-2.0
 *
 * show: all that a manifest tells of one checkpoint, and the handles that its parts hold.
 * show_json.c says the same as one object.
 */
#include "show.h"

#include <inttypes.h>
#include <time.h>

#include "chart.h"
#include "format.h"

static void show_head(const struct tool *tool, const struct weir_store *store,
                      const struct weir_checkpoint_info *info)
{
    FILE *to = tool->paper.to;
    char one[PAPER_TEXT], other[PAPER_TEXT];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    paper_colour(&tool->paper, PAPER_BOLD);
    fprintf(to, "checkpoint %" PRIu64 " of job %s%s\n", info->id, info->job,
            info->final ? ": all input had ended" : "");
    paper_plain(&tool->paper);
    paper_time(info->triggered_ns, one);
    paper_age((int64_t)now.tv_sec * 1000000000 + now.tv_nsec - info->triggered_ns, other);
    fprintf(to, "store      %s, %" PRIu32 " key groups\n", weir_store_identity(store),
            info->key_groups);
    fprintf(to, "taken      %s, age %s; reason: %s; mode: %s%s\n", one, other, info->reason,
            info->mode, info->overtaken ? ", markers overtook records" : "");
    paper_duration(info->duration_ns, one);
    paper_duration(info->sealed_ns, other);
    fprintf(to, "took       %s; the last task had cut and sent its markers after %s\n", one, other);
    paper_bytes(info->stored_bytes, one);
    paper_bytes(info->raw_bytes, other);
    fprintf(to, "size       %s, decompressed %s", one, other);
    paper_bytes(info->older_bytes, one);
    fprintf(to, "; of it shared with earlier ones %s\n", one);
    paper_bytes(info->channel_bytes, one);
    paper_bytes(info->outlet_bytes, other);
    fprintf(to, "in flight  %s at readers, %s at writers\n", one, other);
    if (info->restored_from != 0)
        fprintf(to, "run        %" PRIu32 ", which began with checkpoint %" PRIu64 "\n",
                info->epoch, info->restored_from);
    else
        fprintf(to, "run        %" PRIu32 ", a first start\n", info->epoch);
}

static bool show_graph(const struct tool *tool, const struct weir_checkpoint *checkpoint)
{
    struct weir_checkpoint_node node = {WEIR_SIZED(struct weir_checkpoint_node)};
    struct weir_checkpoint_edge edge = {WEIR_SIZED(struct weir_checkpoint_edge)};
    struct table nodes, edges;
    table_begin(&nodes, "NODE|OPERATOR|VERSION|TASKS|STATES", "llrrr");
    for (uint32_t i = 0; weir_checkpoint_get_node(checkpoint, i, &node); i++) {
        table_cell(&nodes, "%s", node.name);
        table_cell(&nodes, "%s", node.kind);
        table_cell(&nodes, "%" PRIu32, node.version);
        table_cell(&nodes, "%" PRIu32, node.parallelism);
        table_cell(&nodes, "%" PRIu32, node.states);
    }
    table_begin(&edges, "EDGE|ROUTING|KEYS|VALUES", "llll");
    for (uint32_t i = 0; weir_checkpoint_get_edge(checkpoint, i, &edge); i++) {
        table_cell(&edges, "%s.%s > %s.%s", show_node(checkpoint, edge.from), edge.output,
                   show_node(checkpoint, edge.to), edge.input);
        table_cell(&edges, "%s%s", edge.routing, edge.feedback ? ", feedback" : "");
        table_cell(&edges, "%s", *edge.key_format ? edge.key_format : "-");
        table_cell(&edges, "%s", *edge.value_format ? edge.value_format : "-");
    }
    putc('\n', tool->paper.to);
    bool well = table_end(&nodes, &tool->paper);
    putc('\n', tool->paper.to);
    return table_end(&edges, &tool->paper) && well;
}

/* "-" when it was not asked for. */
static int count_cell(const struct tool *tool, struct weir_checkpoint *checkpoint, const char *node,
                      const char *state, struct table *table)
{
    struct weir_error error = {0};
    uint64_t count = 0;
    if (!tool->options.counts)
        table_cell(table, "-");
    else if (show_count(checkpoint, node, state, &count, &error) != WEIR_OK)
        return tool_fail(tool, &error);
    else
        table_cell(table, "%" PRIu64, count);
    return EXIT_DONE;
}

static int show_states(const struct tool *tool, struct weir_checkpoint *checkpoint)
{
    struct weir_checkpoint_node node = {WEIR_SIZED(struct weir_checkpoint_node)};
    struct weir_checkpoint_state state = {WEIR_SIZED(struct weir_checkpoint_state)};
    struct table table;
    char text[PAPER_TEXT];
    int code = EXIT_DONE;
    table_begin(&table, "STATE|KIND|FORMAT|VERSION|ENTRIES|STORED|DECOMPRESSED|SEGMENTS",
                "lllrrrrr");
    for (uint32_t n = 0; weir_checkpoint_get_node(checkpoint, n, &node); n++)
        for (uint32_t i = 0;
             code == EXIT_DONE && weir_checkpoint_get_state(checkpoint, n, i, &state); i++) {
            table_cell(&table, "%s/%s", node.name, state.name);
            table_cell(&table, "%s%s", state.kind, state.expires ? ", expires" : "");
            table_cell(&table, "%s", *state.format ? state.format : "-");
            table_cell(&table, "%" PRIu32, state.version);
            code = count_cell(tool, checkpoint, node.name, state.name, &table);
            paper_bytes(state.stored_bytes, text);
            table_cell(&table, "%s", text);
            paper_bytes(state.raw_bytes, text);
            table_cell(&table, "%s", text);
            table_cell(&table, "%" PRIu32, state.segments);
        }
    if (code == EXIT_DONE)
        putc('\n', tool->paper.to);
    bool well = table_end(&table, code == EXIT_DONE ? &tool->paper : NULL);
    return code != EXIT_DONE || well ? code : tool_no_memory(tool);
}

static bool show_tasks(const struct tool *tool, const struct weir_checkpoint *checkpoint)
{
    struct weir_checkpoint_task task = {WEIR_SIZED(struct weir_checkpoint_task)};
    struct table table;
    char text[PAPER_TEXT];
    table_begin(&table, "TASK|STORED|IN FLIGHT|HANDLES|LETTERS|CUT|STATUS|POSITION", "lrrrrrll");
    for (uint32_t i = 0; weir_checkpoint_get_task(checkpoint, i, &task); i++) {
        table_cell(&table, "%s.%" PRIu32, show_node(checkpoint, task.node), task.subtask);
        paper_bytes(task.stored_bytes + task.inflight_stored_bytes, text);
        table_cell(&table, "%s", text);
        paper_bytes(task.channel_bytes + task.outlet_bytes, text);
        table_cell(&table, "%s", text);
        table_cell(&table, "%" PRIu64, task.handles);
        table_cell(&table, "%" PRIu64, task.letters);
        paper_duration(task.cut_ns, text);
        table_cell(&table, "%s", text);
        table_cell(&table, "%s", task.ended ? "ended" : task.overtook ? "overtook" : "");
        table_cell(&table, "%s", task.note);
    }
    putc('\n', tool->paper.to);
    return table_end(&table, &tool->paper);
}

static bool show_chart(const struct tool *tool, const struct weir_checkpoint *checkpoint,
                       int64_t whole_ns)
{
    struct weir_checkpoint_task task = {WEIR_SIZED(struct weir_checkpoint_task)};
    struct table table;
    char line[CHART_WIDTH + 1], text[PAPER_TEXT];
    for (uint32_t i = 0; weir_checkpoint_get_task(checkpoint, i, &task); i++)
        whole_ns = chart_end(&task) > whole_ns ? chart_end(&task) : whole_ns;
    paper_duration(whole_ns, text);
    fprintf(tool->paper.to, "\nphases in %s: . wait, - align, | cut, = record, # write\n", text);
    table_begin(&table, "TASK|PHASES", "ll");
    for (uint32_t i = 0; weir_checkpoint_get_task(checkpoint, i, &task); i++) {
        chart_line(&task, whole_ns, line);
        table_cell(&table, "%s.%" PRIu32, show_node(checkpoint, task.node), task.subtask);
        table_cell(&table, "[%s]", line);
    }
    return table_end(&table, &tool->paper);
}

static void print_handle(void *context, const char *node, const struct weir_row *row)
{
    const struct tool *tool = context;
    struct format format;
    (void)format_read(&format, NULL);
    fprintf(tool->paper.to, "handle of %s.%" PRIu32 ", prepared for checkpoint %" PRIu64 ": ", node,
            row->subtask, row->id);
    format_print(&format, row->value, tool->paper.to);
    putc('\n', tool->paper.to);
}

/* ----------------------------------------------------------------------------------- both -- */

const char *show_node(const struct weir_checkpoint *checkpoint, uint32_t index)
{
    struct weir_checkpoint_node node = {WEIR_SIZED(struct weir_checkpoint_node)};
    return weir_checkpoint_get_node(checkpoint, index, &node) ? node.name : "?";
}

/* Reads the parts of those nodes alone that have handles. */
enum weir_result show_handles(struct weir_checkpoint *checkpoint,
                              void (*each)(void *context, const char *node,
                                           const struct weir_row *row),
                              void *context, struct weir_error *error)
{
    struct weir_checkpoint_task task = {WEIR_SIZED(struct weir_checkpoint_task)};
    struct weir_row row = {WEIR_SIZED(struct weir_row)};
    uint32_t told = UINT32_MAX;
    enum weir_result result = WEIR_OK;
    for (uint32_t i = 0; result == WEIR_OK && weir_checkpoint_get_task(checkpoint, i, &task); i++) {
        struct weir_cursor *cursor;
        const char *node = show_node(checkpoint, task.node);
        if (task.handles == 0 || task.node == told)
            continue;
        told = task.node;
        result = weir_cursor_open(checkpoint, WEIR_ROWS_HANDLES, node, NULL, &cursor, error);
        if (result != WEIR_OK)
            return result;
        while (weir_cursor_next(cursor, &row))
            each(context, node, &row);
        result = weir_cursor_close(&cursor, error);
    }
    return result;
}

enum weir_result show_count(struct weir_checkpoint *checkpoint, const char *node, const char *state,
                            uint64_t *count, struct weir_error *error)
{
    struct weir_row row = {WEIR_SIZED(struct weir_row)};
    struct weir_cursor *cursor;
    enum weir_result result =
        weir_cursor_open(checkpoint, WEIR_ROWS_STATE, node, state, &cursor, error);
    if (result != WEIR_OK)
        return result;
    for (*count = 0; weir_cursor_next(cursor, &row);)
        ++*count;
    return weir_cursor_close(&cursor, error);
}

static int show(struct tool *tool, struct weir_store *store, struct weir_checkpoint *checkpoint)
{
    struct weir_checkpoint_info info = {WEIR_SIZED(struct weir_checkpoint_info)};
    struct weir_error error = {0};
    weir_checkpoint_describe(checkpoint, &info);
    if (tool->options.json)
        return show_json(tool, store, checkpoint);
    show_head(tool, store, &info);
    if (!show_graph(tool, checkpoint))
        return tool_no_memory(tool);
    int code = show_states(tool, checkpoint);
    if (code != EXIT_DONE)
        return code;
    if (!show_tasks(tool, checkpoint) || !show_chart(tool, checkpoint, info.duration_ns))
        return tool_no_memory(tool);
    putc('\n', tool->paper.to);
    return show_handles(checkpoint, print_handle, tool, &error) == WEIR_OK
               ? EXIT_DONE
               : tool_fail(tool, &error);
}

int tool_show(struct tool *tool)
{
    return tool_look(tool, show);
}
