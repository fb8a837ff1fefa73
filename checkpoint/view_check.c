/* SPDX-License-Identifier: Apache-2.0
 *
 * view_check: what is well-formed inside a blob whose checksums hold. Nothing is believed all the
 * same: who wrote it may have had a bug, and a reader must not crash of that.
 */
#include "view_inside.h"

#include <inttypes.h>
#include <string.h>

#include "error.h"
#include "name.h"
#include "state.h"

_Static_assert(ITEM_SIZE_LIMIT == STATE_KEY_LIMIT && ITEM_SIZE_LIMIT == STATE_VALUE_LIMIT,
               "a key is a key wherever it is");

/* ---------------------------------------------------------------------------------- state -- */

static bool is_text(struct weir_bytes bytes, const char *text)
{
    return bytes.data != NULL && bytes.size == strlen(text) &&
           memcmp(bytes.data, text, bytes.size) == 0;
}

bool view_entries_begin(struct view_entries *entries, const struct snapshot_section *section,
                        const struct manifest_state *state)
{
    *entries = (struct view_entries){.section = *section, .value_size = state->value_size};
    struct snapshot_section *from = &entries->section;
    bool named = is_text(snapshot_get_text(from), state->name);
    bool sized = snapshot_get_u32(from) == state->version;
    sized = snapshot_get_u32(from) == state->value_size && sized;
    entries->left = snapshot_get_u64(from);
    uint64_t visited = snapshot_get_u64(from);
    /* An entry takes 8 bytes at least: a count that lies is found before anything is done. */
    return !from->failed && named && sized && visited <= entries->left &&
           entries->left <= from->left / 8;
}

static struct weir_bytes take_padded(struct snapshot_section *from, uint32_t size)
{
    struct weir_bytes bytes = snapshot_get_bytes(from, size);
    (void)snapshot_get_bytes(from, (8 - size % 8) % 8);
    return bytes;
}

bool view_entries_next(struct view_entries *entries, struct weir_bytes *key,
                       struct weir_bytes *value)
{
    struct snapshot_section *from = &entries->section;
    uint32_t key_size = snapshot_get_u32(from), value_size = snapshot_get_u32(from);
    if (key_size > STATE_KEY_LIMIT || value_size > STATE_VALUE_LIMIT ||
        (entries->value_size != 0 && value_size != entries->value_size))
        return false;
    *key = take_padded(from, key_size);
    *value = take_padded(from, value_size);
    entries->left--;
    return !from->failed && (entries->left > 0 || snapshot_done(from));
}

static const char *check_state(const struct manifest_node *node,
                               const struct snapshot_section *section)
{
    struct view_entries entries;
    struct weir_bytes key, value;
    if (section->index >= node->state_count)
        return "a state that the manifest does not know";
    if (!view_entries_begin(&entries, section, &node->states[section->index]))
        return "a state that is not what the manifest says";
    if (entries.left == 0)
        return snapshot_done(&entries.section) ? NULL : "bytes after the last entry of a state";
    while (entries.left > 0)
        if (!view_entries_next(&entries, &key, &value))
            return "an entry of state that is not well-formed";
    return NULL;
}

/* ------------------------------------------------------------------------------ in flight -- */

const char *view_items_begin(struct view_items *items, struct snapshot_section *section,
                             const struct manifest *manifest, uint32_t task)
{
    const struct manifest_graph *graph = &manifest->graph;
    struct snapshot_inflight *inflight = &items->inflight;
    if (!snapshot_get_inflight(section, inflight))
        return "a section that is not content in flight";
    items->left = inflight->items;
    if (inflight->edge >= graph->edge_count)
        return "content of an edge that the manifest does not know";
    const struct manifest_edge *edge = &graph->edges[inflight->edge];
    if (inflight->from_subtask >= graph->nodes[edge->from].parallelism ||
        inflight->to_subtask >= graph->nodes[edge->to].parallelism)
        return "content of a channel that its edge does not have";
    uint32_t own =
        inflight->side == SNAPSHOT_CHANNEL_SIDE ? inflight->to_subtask : inflight->from_subtask;
    return own == manifest->tasks[task].subtask ? NULL : "content of another task's channel";
}

bool view_items_next(struct view_items *items, struct item *item)
{
    const unsigned char *at = items->left.data;
    size_t taken = item_next(at, items->left.size, item);
    items->left = (struct weir_bytes){at + taken, items->left.size - taken};
    return taken > 0;
}

static const char *check_inflight(const struct manifest *manifest, uint32_t task,
                                  struct snapshot_section *section)
{
    struct view_items items;
    struct item item;
    uint64_t records = 0;
    const char *wrong = view_items_begin(&items, section, manifest, task);
    while (wrong == NULL && items.left.size > 0) {
        if (!view_items_next(&items, &item))
            wrong = "a record in flight that is not well-formed";
        records += item.mark == 0;
    }
    if (wrong == NULL && items.inflight.records != 0 && items.inflight.records != records)
        wrong = "content in flight whose number of records is another";
    return wrong;
}

/* ------------------------------------------------------------------------------- sections -- */

/* `node`: that of the task whose part it is. */
static const char *check_section(const struct manifest_node *node, struct snapshot_section *section)
{
    if (section->tag == SNAPSHOT_INFLIGHT)
        return "content in flight in a task's part";
    if (section->tag == SNAPSHOT_OPERATOR && !is_text(snapshot_get_text(section), node->name))
        return "another node's operator";
    if (section->tag == SNAPSHOT_HANDLE && section->left < sizeof(uint64_t))
        return "a handle that is not well-formed";
    return section->tag == SNAPSHOT_STATE ? check_state(node, section) : NULL;
}

const char *view_check(const struct manifest *manifest, uint32_t task,
                       const struct manifest_blob *place, const struct blob_buffer *raw)
{
    struct snapshot_reader reader = {raw->data, raw->size, false};
    struct snapshot_section section;
    const struct manifest_node *node = &manifest->graph.nodes[manifest->tasks[task].node];
    const char *wrong = NULL;
    while (wrong == NULL && snapshot_next(&reader, &section))
        wrong = place->blob.kind == BLOB_INFLIGHT ? check_inflight(manifest, task, &section)
                                                  : check_section(node, &section);
    return wrong == NULL && reader.failed ? "a section that is not well-formed" : wrong;
}

enum weir_result view_damaged(const struct manifest *manifest, uint32_t task,
                              const struct manifest_blob *place, const char *what,
                              struct weir_error *error)
{
    const struct manifest_task *of = &manifest->tasks[task];
    char name[NAME_SEGMENT_SIZE];
    name_of_segment(place->file_epoch, place->file_number, name);
    return error_set(error, WEIR_DAMAGED, 0,
                     "checkpoint %" PRIu64 ": " NAME_DATA "/%s at offset %" PRIu64
                     " (node '%s', subtask %u) holds %s",
                     manifest->id, name, place->offset, manifest->graph.nodes[of->node].name,
                     of->subtask, what);
}
