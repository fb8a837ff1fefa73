/* SPDX-License-Identifier: Apache-2.0
 *
 * view_check: what is well-formed inside a blob whose checksums hold. Nothing is believed all the
 * same: who wrote it may have had a bug, and a reader must not crash of that.
 */
#include "view_inside.h"

#include <inttypes.h>
#include <string.h>

#include "error.h"
#include "memory.h"
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

/* Takes what stands before the body; it must be what the manifest says of the state. */
static bool begin_state(struct snapshot_section *section, const struct manifest_state *state)
{
    bool named = is_text(snapshot_get_text(section), state->name);
    bool sized = snapshot_get_u32(section) == state->version;
    sized &= snapshot_get_u32(section) == state->value_size;
    bool kin = snapshot_get_u32(section) == state->kind;
    return snapshot_get_u32(section) == state->expires && kin && sized && named && !section->failed;
}

struct reading {
    struct store *store;
    const struct weir_allocator *allocator;
    const struct manifest *manifest;
    uint32_t task;
    struct state_range range;
};

static enum weir_result wrong_part(const struct reading *from, const char *what,
                                   struct weir_error *error)
{
    return view_damaged(from->manifest, from->task, &from->manifest->tasks[from->task].part, what,
                        error);
}

static enum weir_result read_blobs(const struct reading *from, uint32_t index,
                                   struct segment *segment, struct weir_error *error)
{
    struct manifest_blob *blobs = NULL;
    struct blob_buffer stored = {0};
    uint32_t count = from->manifest->tasks[from->task].state[index].blob_count;
    enum weir_result result =
        store_list_blobs(from->store, from->manifest, from->task, index, &blobs, error);
    for (uint32_t i = 0; result == WEIR_OK && i < count; i++) {
        struct blob_buffer raw = {0};
        result =
            store_fetch(from->store, from->manifest, from->task, &blobs[i], &stored, &raw, error);
        if (result != WEIR_OK)
            blob_buffer_free(&raw, from->allocator);
        else if (!segment_restore(segment, raw.data, raw.size, raw.capacity, blobs[i].first,
                                  blobs[i].last))
            result = error_memory(error, "a segment of state", raw.size);
    }
    blob_buffer_free(&stored, from->allocator);
    memory_release(from->allocator, blobs);
    return result;
}

static enum weir_result read_segment(const struct reading *from, uint32_t index,
                                     struct state *state, struct weir_error *error)
{
    struct segment *segment = segment_new(from->allocator);
    enum weir_result result = segment ? read_blobs(from, index, segment, error)
                                      : error_memory(error, "a segment of state", sizeof *segment);
    if (result != WEIR_OK) {
        segment_release(segment);
        return result;
    }
    struct weir_error reason = {0};
    result = state_load_segment(state, segment, &from->range, NULL, &reason);
    return result == WEIR_DAMAGED
               ? view_damaged(from->manifest, from->task,
                              &from->manifest->tasks[from->task].state[index].place, reason.text,
                              error)
           : result == WEIR_OK ? WEIR_OK
                               : error_memory(error, "a segment of state", 0);
}

/* Where the state's section begins in the part. */
static bool find_state(const struct blob_buffer *part, uint32_t index,
                       struct snapshot_section *found)
{
    struct snapshot_reader reader = {part->data, part->size, false};
    struct snapshot_section section;
    while (snapshot_next(&reader, &section))
        if (section.tag == SNAPSHOT_STATE && section.index == index) {
            *found = section;
            return true;
        }
    return false;
}

static enum weir_result load_state(const struct reading *from, const struct blob_buffer *part,
                                   uint32_t index, struct state *state, struct weir_error *error)
{
    const struct manifest_task *task = &from->manifest->tasks[from->task];
    const struct manifest_node *node = &from->manifest->graph.nodes[task->node];
    struct snapshot_section section;
    enum weir_result result = WEIR_OK;
    for (uint32_t i = 0; i < task->state_count && result == WEIR_OK; i++)
        if (task->state[i].state == index)
            result = read_segment(from, i, state, error);
    if (result != WEIR_OK)
        return result;
    if (!find_state(part, index, &section) || !begin_state(&section, &node->states[index]))
        return wrong_part(from, "a state that is not what the manifest says", error);
    struct weir_error reason = {0};
    result = state_load(state, &section, NULL, &reason);
    return result == WEIR_DAMAGED ? wrong_part(from, reason.text, error)
           : result == WEIR_OK    ? WEIR_OK
                                  : error_memory(error, "a state", 0);
}

enum weir_result view_read_state(struct store *store, const struct manifest *manifest,
                                 uint32_t task, const struct blob_buffer *part, uint32_t index,
                                 const struct weir_allocator *allocator, struct state **state,
                                 struct weir_error *error)
{
    const struct manifest_task *of = &manifest->tasks[task];
    const struct manifest_node *node = &manifest->graph.nodes[of->node];
    uint32_t groups = manifest->graph.key_groups;
    struct reading from = {.store = store,
                           .allocator = allocator,
                           .manifest = manifest,
                           .task = task,
                           .range = {state_first_group(of->subtask, node->parallelism, groups),
                                     state_first_group(of->subtask + 1, node->parallelism, groups),
                                     groups}};
    const struct manifest_state *saved = &node->states[index];
    struct state_type type = {.kind = (enum state_kind)saved->kind,
                              .value_size = saved->value_size,
                              .ttl_ns = saved->expires};
    *state = state_new_of(allocator, &type);
    if (*state == NULL)
        return error_memory(error, "a state", 0);
    enum weir_result result = load_state(&from, part, index, *state, error);
    if (result != WEIR_OK)
        state_free(state);
    return result;
}

static const char *check_state(const struct manifest_node *node, struct snapshot_section *section)
{
    if (section->index >= node->state_count)
        return "a state that the manifest does not know";
    return begin_state(section, &node->states[section->index])
               ? NULL
               : "a state that is not what the manifest says";
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
    if ((!inflight->restores && inflight->from_subtask >= graph->nodes[edge->from].parallelism) ||
        (inflight->restores && inflight->side != SNAPSHOT_CHANNEL_SIDE) ||
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
    uint32_t states = 0;
    while (wrong == NULL && snapshot_next(&reader, &section)) {
        states += section.tag == SNAPSHOT_STATE;
        wrong = place->blob.kind == BLOB_INFLIGHT ? check_inflight(manifest, task, &section)
                                                  : check_section(node, &section);
    }
    if (wrong == NULL && states > node->state_count) /* one that is missing is missed elsewhere */
        wrong = "a state twice";
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
