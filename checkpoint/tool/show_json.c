/* SPDX-License-Identifier: Apache-2.0 */
#include "format.h"
#include "show.h"

/* Appends to a new member of `object`; a NULL on the way is found when it is written. */
static json_t *add_array(json_t *object, const char *name)
{
    json_t *array = json_array();
    return json_object_set_new(object, name, array) == 0 ? array : NULL;
}

static json_t *head(const struct weir_store *store, const struct weir_checkpoint_info *info)
{
    return json_pack(
        "{s: I, s: s, s: s, s: b, s: s, s: s, s: b, s: I, s: I, s: I, s: I, s: I, s: I,"
        " s: I, s: I, s: I, s: I, s: I}",
        "checkpoint", (json_int_t)info->id, "job", info->job, "store", weir_store_identity(store),
        "final", info->final, "reason", info->reason, "mode", info->mode, "overtaken",
        info->overtaken, "epoch", (json_int_t)info->epoch, "restored_from",
        (json_int_t)info->restored_from, "key_groups", (json_int_t)info->key_groups, "triggered_ns",
        (json_int_t)info->triggered_ns, "duration_ns", (json_int_t)info->duration_ns, "sealed_ns",
        (json_int_t)info->sealed_ns, "stored_bytes", (json_int_t)info->stored_bytes, "older_bytes",
        (json_int_t)info->older_bytes, "raw_bytes", (json_int_t)info->raw_bytes, "channel_bytes",
        (json_int_t)info->channel_bytes, "outlet_bytes", (json_int_t)info->outlet_bytes);
}

static json_t *state_json(const struct weir_checkpoint_state *state)
{
    return json_pack("{s: s, s: s, s: b, s: s, s: I, s: I, s: I, s: I, s: I}", "state", state->name,
                     "kind", state->kind, "expires", state->expires, "format", state->format,
                     "version", (json_int_t)state->version, "value_size",
                     (json_int_t)state->value_size, "stored_bytes", (json_int_t)state->stored_bytes,
                     "raw_bytes", (json_int_t)state->raw_bytes, "segments",
                     (json_int_t)state->segments);
}

/* `error` tells of what could not be counted. */
static bool add_states(struct weir_checkpoint *checkpoint, uint32_t node, json_t *array,
                       bool counts, struct weir_error *error)
{
    struct weir_checkpoint_node about = {WEIR_SIZED(struct weir_checkpoint_node)};
    struct weir_checkpoint_state state = {WEIR_SIZED(struct weir_checkpoint_state)};
    bool well = weir_checkpoint_get_node(checkpoint, node, &about);
    for (uint32_t i = 0; well && weir_checkpoint_get_state(checkpoint, node, i, &state); i++) {
        json_t *one = state_json(&state);
        uint64_t entries = 0;
        well = json_array_append_new(array, one) == 0;
        if (!well || !counts)
            continue;
        well = show_count(checkpoint, about.name, state.name, &entries, error) == WEIR_OK &&
               json_object_set_new(one, "entries", json_integer((json_int_t)entries)) == 0;
    }
    return well;
}

static bool add_nodes(struct weir_checkpoint *checkpoint, json_t *object, bool counts,
                      struct weir_error *error)
{
    struct weir_checkpoint_node node = {WEIR_SIZED(struct weir_checkpoint_node)};
    json_t *array = add_array(object, "nodes");
    bool well = array != NULL;
    for (uint32_t i = 0; well && weir_checkpoint_get_node(checkpoint, i, &node); i++) {
        json_t *one = json_pack("{s: s, s: s, s: I, s: I}", "node", node.name, "operator",
                                node.kind, "version", (json_int_t)node.version, "parallelism",
                                (json_int_t)node.parallelism);
        json_t *states = add_array(one, "states");
        well = json_array_append_new(array, one) == 0 &&
               add_states(checkpoint, i, states, counts, error);
    }
    return well;
}

static bool add_edges(const struct weir_checkpoint *checkpoint, json_t *object)
{
    struct weir_checkpoint_edge edge = {WEIR_SIZED(struct weir_checkpoint_edge)};
    json_t *array = add_array(object, "edges");
    bool well = array != NULL;
    for (uint32_t i = 0; well && weir_checkpoint_get_edge(checkpoint, i, &edge); i++)
        well = json_array_append_new(
                   array, json_pack("{s: s, s: s, s: s, s: s, s: s, s: s, s: s, s: b}", "from",
                                    show_node(checkpoint, edge.from), "output", edge.output, "to",
                                    show_node(checkpoint, edge.to), "input", edge.input, "routing",
                                    edge.routing, "key_format", edge.key_format, "value_format",
                                    edge.value_format, "feedback", edge.feedback)) == 0;
    return well;
}

static json_t *task_json(const struct weir_checkpoint *checkpoint,
                         const struct weir_checkpoint_task *task)
{
    return json_pack(
        "{s: s, s: I, s: b, s: b, s: s, s: I, s: I, s: I, s: I, s: I, s: I, s: I, s: I,"
        " s: I, s: I, s: I, s: I}",
        "node", show_node(checkpoint, task->node), "subtask", (json_int_t)task->subtask, "ended",
        task->ended, "overtook", task->overtook, "position", task->note, "handles",
        (json_int_t)task->handles, "letters", (json_int_t)task->letters, "stored_bytes",
        (json_int_t)task->stored_bytes, "raw_bytes", (json_int_t)task->raw_bytes,
        "inflight_stored_bytes", (json_int_t)task->inflight_stored_bytes, "channel_bytes",
        (json_int_t)task->channel_bytes, "outlet_bytes", (json_int_t)task->outlet_bytes, "wait_ns",
        (json_int_t)task->wait_ns, "align_ns", (json_int_t)task->align_ns, "cut_ns",
        (json_int_t)task->cut_ns, "record_ns", (json_int_t)task->record_ns, "write_ns",
        (json_int_t)task->write_ns);
}

static bool add_tasks(const struct weir_checkpoint *checkpoint, json_t *object)
{
    struct weir_checkpoint_task task = {WEIR_SIZED(struct weir_checkpoint_task)};
    json_t *array = add_array(object, "tasks");
    bool well = array != NULL;
    for (uint32_t i = 0; well && weir_checkpoint_get_task(checkpoint, i, &task); i++)
        well = json_array_append_new(array, task_json(checkpoint, &task)) == 0;
    return well;
}

static void add_handle(void *context, const char *node, const struct weir_row *row)
{
    struct format format;
    (void)format_read(&format, NULL);
    (void)json_array_append_new(context, json_pack("{s: s, s: I, s: I, s: o}", "node", node,
                                                   "subtask", (json_int_t)row->subtask,
                                                   "checkpoint", (json_int_t)row->id, "handle",
                                                   format_json(&format, row->value)));
}

int show_json(struct tool *tool, const struct weir_store *store, struct weir_checkpoint *checkpoint)
{
    struct weir_checkpoint_info info = {WEIR_SIZED(struct weir_checkpoint_info)};
    struct weir_error error = {0};
    weir_checkpoint_describe(checkpoint, &info);
    json_t *object = head(store, &info), *handles = add_array(object, "handles");
    bool well = handles != NULL && add_nodes(checkpoint, object, tool->options.counts, &error) &&
                add_edges(checkpoint, object) && add_tasks(checkpoint, object);
    int code = EXIT_DONE;
    if (well && show_handles(checkpoint, add_handle, handles, &error) != WEIR_OK)
        code = tool_fail(tool, &error);
    if (!well) {
        json_decref(object);
        return error.code != WEIR_OK ? tool_fail(tool, &error) : tool_no_memory(tool);
    }
    return tool_json(tool, object) ? code : tool_no_memory(tool);
}
