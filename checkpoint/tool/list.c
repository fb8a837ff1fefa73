/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <time.h>

#include "tool.h"

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static json_t *as_json(const struct weir_checkpoint_info *info, bool newest)
{
    return json_pack(
        "{s: I, s: s, s: b, s: b, s: s, s: s, s: b, s: I, s: I, s: I, s: I, s: I,"
        " s: I, s: I, s: I, s: I}",
        "checkpoint", (json_int_t)info->id, "job", info->job, "newest", newest, "readable", true,
        "reason", info->reason, "mode", info->mode, "overtaken", info->overtaken, "epoch",
        (json_int_t)info->epoch, "restored_from", (json_int_t)info->restored_from, "triggered_ns",
        (json_int_t)info->triggered_ns, "duration_ns", (json_int_t)info->duration_ns,
        "stored_bytes", (json_int_t)info->stored_bytes, "older_bytes",
        (json_int_t)info->older_bytes, "raw_bytes", (json_int_t)info->raw_bytes, "channel_bytes",
        (json_int_t)info->channel_bytes, "outlet_bytes", (json_int_t)info->outlet_bytes);
}

static void add_row(struct table *table, const struct weir_checkpoint_info *info)
{
    char text[PAPER_TEXT];
    table_cell(table, "%" PRIu64, info->id);
    paper_time(info->triggered_ns, text);
    table_cell(table, "%s", text);
    paper_age(now_ns() - info->triggered_ns, text);
    table_cell(table, "%s", text);
    paper_duration(info->duration_ns, text);
    table_cell(table, "%s", text);
    table_cell(table, "%s%s", info->mode, info->overtaken ? ", overtook" : "");
    table_cell(table, "%s", info->reason);
    paper_bytes(info->stored_bytes - info->older_bytes, text);
    table_cell(table, "%s", text);
    paper_bytes(info->older_bytes, text);
    table_cell(table, "%s", text);
    paper_bytes(info->channel_bytes + info->outlet_bytes, text);
    table_cell(table, "%s", text);
    table_cell(table, "%s", info->final ? "readable, final" : "readable");
}

static void add_damaged(struct table *table, uint64_t id)
{
    table_cell(table, "%" PRIu64, id);
    for (int i = 0; i < 8; i++)
        table_cell(table, "-");
    table_cell(table, "DAMAGED");
}

/* One that is gone meanwhile was removed by the job's retention. */
static int list_one(struct tool *tool, struct weir_store *store, uint64_t id, bool newest,
                    struct table *table)
{
    struct weir_checkpoint_info info = {WEIR_SIZED(struct weir_checkpoint_info)};
    struct weir_checkpoint *checkpoint;
    struct weir_error error = {0};
    enum weir_result result = weir_checkpoint_open(store, id, &checkpoint, &error);
    bool well = true;
    if (result == WEIR_NOT_FOUND)
        return EXIT_DONE;
    if (result != WEIR_OK) {
        add_damaged(table, id);
        if (tool->options.json)
            well =
                tool_json(tool, json_pack("{s: I, s: b, s: b, s: s, s: s}", "checkpoint",
                                          (json_int_t)id, "newest", newest, "readable", false,
                                          "error", weir_result_name(result), "text", error.text));
        return well ? tool_fail(tool, &error) : tool_no_memory(tool);
    }
    weir_checkpoint_describe(checkpoint, &info);
    if (tool->options.json)
        well = tool_json(tool, as_json(&info, newest));
    else
        add_row(table, &info);
    weir_checkpoint_close(&checkpoint);
    return well ? EXIT_DONE : tool_no_memory(tool);
}

/* Rounds that came to nothing, behind the checkpoints. */
static bool list_failed(struct tool *tool, struct weir_store *store)
{
    struct weir_failed_round failed = {WEIR_SIZED(struct weir_failed_round)};
    struct table table;
    char text[PAPER_TEXT];
    bool well = true;
    table_begin(&table, "ABORTED|GIVEN UP|AGE|WHY", "rlrl");
    for (uint32_t i = 0; well && weir_store_get_failed(store, i, &failed); i++) {
        table_cell(&table, "%" PRIu64, failed.id);
        paper_time(failed.ended_ns, text);
        table_cell(&table, "%s", text);
        paper_age(now_ns() - failed.ended_ns, text);
        table_cell(&table, "%s", text);
        table_cell(&table, "%s", failed.text);
        if (i == 0 && !tool->options.json)
            putc('\n', tool->paper.to);
        if (tool->options.json)
            well = tool_json(tool, json_pack("{s: I, s: b, s: b, s: b, s: I, s: I, s: s}",
                                             "checkpoint", (json_int_t)failed.id, "newest", false,
                                             "readable", false, "aborted", true, "epoch",
                                             (json_int_t)failed.epoch, "ended_ns",
                                             (json_int_t)failed.ended_ns, "text", failed.text));
    }
    return table_end(&table, tool->options.json ? NULL : &tool->paper) && well;
}

static int list_all(struct tool *tool, struct weir_store *store)
{
    struct weir_error error = {0};
    struct table table;
    const uint64_t *ids;
    size_t count;
    int code = EXIT_DONE;
    if (weir_store_list(store, &ids, &count, &error) != WEIR_OK)
        return tool_fail(tool, &error);
    table_begin(&table, "ID|TAKEN|AGE|TOOK|MODE|REASON|NEW|SHARED|IN FLIGHT|STATUS", "rlrrllrrrl");
    for (size_t i = 0; i < count; i++) {
        int one = list_one(tool, store, ids[i], i + 1 == count, &table);
        code = one != EXIT_DONE ? one : code;
    }
    if (!tool->options.json && count == 0)
        fprintf(tool->paper.to, "the store holds no checkpoint\n");
    bool well = table_end(&table, tool->options.json ? NULL : &tool->paper);
    return list_failed(tool, store) && well ? code : tool_no_memory(tool);
}

int tool_list(struct tool *tool)
{
    struct weir_store *store;
    int code = tool_open_store(tool, &store);
    if (code != EXIT_DONE)
        return code;
    code = list_all(tool, store);
    weir_store_close(&store);
    return code;
}
