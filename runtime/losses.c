/* SPDX-License-Identifier: Apache-2.0 */
#include "losses.h"

#include <stdio.h>
#include <string.h>

#include "error.h"
#include "item.h"
#include "memory.h"
#include "snapshot.h"

/* What the parts of one old node hold, together. */
struct holding {
    uint64_t *keys; /* of each state */
    uint64_t items, timers, letters, handles;
};

/* Nothing is no loss. */
static bool note(struct losses *losses, enum loss_kind kind, uint32_t where, uint32_t state,
                 uint64_t count)
{
    uint32_t old = losses->count;
    if (!count)
        return true;
    struct loss *list = memory_resize(losses->allocator, losses->list, old * sizeof *list,
                                      (old + 1) * sizeof *list);
    if (!list)
        return false;
    list[old] = (struct loss){kind, where, state, count};
    losses->list = list;
    losses->count++;
    return true;
}

/* ---------------------------------------------------------------------- of nodes -- */

static bool count_section(struct holding *holding, const struct manifest_node *node,
                          struct snapshot_section *section)
{
    holding->items += section->tag == SNAPSHOT_ITEM;
    holding->timers += section->tag == SNAPSHOT_TIMER;
    holding->letters += section->tag == SNAPSHOT_LETTER;
    holding->handles += section->tag == SNAPSHOT_HANDLE;
    if (section->tag != SNAPSHOT_STATE)
        return true;
    if (section->index >= node->state_count)
        return false;
    (void)snapshot_get_text(section);
    for (int i = 0; i < 4; i++) /* version, value size, kind, whether values expire */
        (void)snapshot_get_u32(section);
    holding->keys[section->index] += snapshot_get_u64(section);
    return !section->failed;
}

static enum weir_result count_part(struct store *store, const struct manifest *manifest,
                                   uint32_t instance, struct holding *holding,
                                   const struct weir_allocator *allocator, struct weir_error *error)
{
    const struct manifest_node *node = &manifest->graph.nodes[manifest->tasks[instance].node];
    struct blob_buffer part = {0};
    enum weir_result result = store_read(store, manifest, instance, &part, error);
    struct snapshot_reader reader = {part.data, part.size, false};
    struct snapshot_section section;
    bool sound = true;
    while (!result && sound && snapshot_next(&reader, &section))
        sound = count_section(holding, node, &section);
    if (!result && (!sound || reader.failed))
        result =
            error_set(error, WEIR_DAMAGED, 0, "a part of node '%s' is not well-formed", node->name);
    blob_buffer_free(&part, allocator);
    return result;
}

static bool note_node(struct losses *losses, const struct mapping *mapping, uint32_t then,
                      const struct holding *holding)
{
    const struct manifest_node *node = &mapping->then->nodes[then];
    bool gone = mapping->node_now[then] == MAPPING_NONE, room = true;
    for (uint32_t s = 0; room && s < node->state_count; s++)
        if (mapping_is_removed(mapping, then, s))
            room = note(losses, LOSS_STATE, then, s, holding->keys[s]);
    if (!gone)
        return room;
    if (holding->handles && !losses->handles)
        losses->sink = node->name;
    losses->handles += holding->handles;
    return room && note(losses, LOSS_ITEMS, then, 0, holding->items) &&
           note(losses, LOSS_TIMERS, then, 0, holding->timers) &&
           note(losses, LOSS_LETTERS, then, 0, holding->letters) &&
           note(losses, LOSS_HANDLES, then, 0, holding->handles);
}

static bool loses_something(const struct mapping *mapping, uint32_t then)
{
    bool loses = mapping->node_now[then] == MAPPING_NONE;
    for (uint32_t s = 0; !loses && s < mapping->then->nodes[then].state_count; s++)
        loses = mapping_is_removed(mapping, then, s);
    return loses;
}

static enum weir_result find_in_node(struct losses *losses, struct store *store,
                                     const struct manifest *manifest, const struct mapping *mapping,
                                     uint32_t then, struct weir_error *error)
{
    const struct manifest_node *node = &mapping->then->nodes[then];
    if (!loses_something(mapping, then))
        return WEIR_OK;
    struct holding holding = {
        .keys = memory_zeroed(losses->allocator, node->state_count + 1, sizeof *holding.keys)};
    enum weir_result result =
        holding.keys ? WEIR_OK : error_memory(error, "what would be lost", sizeof holding);
    for (uint32_t i = 0; !result && i < node->parallelism; i++)
        result = count_part(store, manifest, mapping_instance(&manifest->graph, then, i), &holding,
                            losses->allocator, error);
    if (!result && !note_node(losses, mapping, then, &holding))
        result = error_memory(error, "what would be lost", sizeof holding);
    memory_release(losses->allocator, holding.keys);
    return result;
}

/* ---------------------------------------------------------------------- of edges -- */

static bool is_gone(const struct mapping *mapping, uint32_t edge_then)
{
    return mapping->edge_now[edge_then] == MAPPING_NONE;
}

static enum weir_result unsound(struct weir_error *error)
{
    return error_set(error, WEIR_DAMAGED, 0, "what was in flight is not well-formed");
}

static enum weir_result count_piece(const struct mapping *mapping, const struct blob_buffer *piece,
                                    uint64_t *records, struct weir_error *error)
{
    struct snapshot_reader reader = {piece->data, piece->size, false};
    struct snapshot_section section;
    struct snapshot_inflight inflight;
    while (snapshot_next(&reader, &section)) {
        if (!snapshot_get_inflight(&section, &inflight) ||
            inflight.edge >= mapping->then->edge_count)
            return unsound(error);
        const unsigned char *at = inflight.items.data;
        size_t left = inflight.items.size, size;
        struct item item;
        for (; is_gone(mapping, inflight.edge) && left; at += size, left -= size) {
            size = item_next(at, left, &item);
            if (!size)
                return unsound(error);
            records[inflight.edge] += item.mark == 0;
        }
    }
    return reader.failed ? unsound(error) : WEIR_OK;
}

static bool note_edges(struct losses *losses, const struct mapping *mapping,
                       const uint64_t *records)
{
    bool room = true;
    for (uint32_t e = 0; room && e < mapping->then->edge_count; e++)
        room = note(losses, LOSS_RECORDS, e, 0, records[e]);
    return room;
}

static enum weir_result find_in_flight(struct losses *losses, struct store *store,
                                       const struct manifest *manifest,
                                       const struct mapping *mapping, struct weir_error *error)
{
    bool gone = false;
    for (uint32_t e = 0; e < mapping->then->edge_count; e++)
        gone |= is_gone(mapping, e);
    if (!gone)
        return WEIR_OK;
    uint64_t *records =
        memory_zeroed(losses->allocator, mapping->then->edge_count, sizeof *records);
    struct blob_buffer piece = {0};
    enum weir_result result =
        records ? WEIR_OK : error_memory(error, "what would be lost", sizeof *records);
    for (uint32_t i = 0; i < manifest->task_count; i++)
        for (uint32_t k = 0; !result && k < manifest->tasks[i].inflight_count; k++) {
            result = store_read_inflight(store, manifest, i, k, &piece, error);
            if (!result)
                result = count_piece(mapping, &piece, records, error);
        }
    blob_buffer_free(&piece, losses->allocator);
    if (!result && !note_edges(losses, mapping, records))
        result = error_memory(error, "what would be lost", sizeof *records);
    memory_release(losses->allocator, records);
    return result;
}

/* -------------------------------------------------------------------------- whole -- */

enum weir_result losses_find(struct store *store, const struct manifest *manifest,
                             const struct mapping *mapping, const struct weir_allocator *allocator,
                             struct losses *losses, struct weir_error *error)
{
    *losses = (struct losses){.allocator = allocator, .then = mapping->then};
    enum weir_result result = WEIR_OK;
    for (uint32_t n = 0; !result && n < mapping->then->node_count; n++)
        result = find_in_node(losses, store, manifest, mapping, n, error);
    if (!result)
        result = find_in_flight(losses, store, manifest, mapping, error);
    if (result)
        losses_free(losses);
    return result;
}

void losses_free(struct losses *losses)
{
    memory_release(losses->allocator, losses->list);
    *losses = (struct losses){0};
}

const char *loss_text(const struct losses *losses, uint32_t index, char text[LOSS_TEXT])
{
    static const struct {
        const char *before, *after;
    } words[] = {
        [LOSS_ITEMS] = {"operator state, ", "items"},
        [LOSS_TIMERS] = {"", "timers"},
        [LOSS_LETTERS] = {"", "dead letters that are not published"},
        [LOSS_HANDLES] = {"output that is not published, ", "handles"},
    };
    const struct loss *loss = &losses->list[index];
    const struct manifest_node *nodes = losses->then->nodes;
    unsigned long long count = loss->count;
    if (loss->kind == LOSS_RECORDS) {
        const struct manifest_edge *edge = &losses->then->edges[loss->where];
        snprintf(text, LOSS_TEXT, "edge %s.%s -> %s.%s: %llu records in flight",
                 nodes[edge->from].name, edge->output, nodes[edge->to].name, edge->input, count);
    } else if (loss->kind == LOSS_STATE) {
        snprintf(text, LOSS_TEXT, "state '%s' of node '%s': %llu keys",
                 nodes[loss->where].states[loss->state].name, nodes[loss->where].name, count);
    } else {
        snprintf(text, LOSS_TEXT, "node '%s': %s%llu %s", nodes[loss->where].name,
                 words[loss->kind].before, count, words[loss->kind].after);
    }
    return text;
}

enum weir_result losses_check(struct losses *losses, bool allowed, struct weir_error *error)
{
    char all[400] = "", text[LOSS_TEXT];
    size_t size = 0;
    if (losses->handles)
        return error_set(error, WEIR_MISMATCH, 0,
                         "sink '%s' is not in the graph, and the checkpoint holds output of sinks "
                         "that is not published yet (%llu handles), which is never dropped: start "
                         "with the graph as it was, and stop it when nothing has come to the sink "
                         "since its last checkpoint",
                         losses->sink, (unsigned long long)losses->handles);
    if (!losses->count || allowed)
        return WEIR_OK;
    for (uint32_t i = 0; i < losses->count && size < sizeof all; i++)
        size += (size_t)snprintf(all + size, sizeof all - size, "%s%s", i ? "; " : "",
                                 loss_text(losses, i, text));
    losses->cut = size >= sizeof all;
    return error_set(
        error, WEIR_MISMATCH, 0,
        "the graph has no place for what would be lost (was something renamed?): %s%s: "
        "go back to the old graph, or drop it with --allow-dropped-state",
        all, losses->cut ? "..." : "");
}
