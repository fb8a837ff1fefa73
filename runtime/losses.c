/* SPDX-License-Identifier: Apache-2.0 */
#include "losses.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "item.h"
#include "memory.h"
#include "snapshot.h"

#define TEXT_ROOM 320

/* What the parts of one old node hold, together. */
struct holding {
    uint64_t *keys; /* of each state */
    uint64_t items, timers, letters, handles;
};

static bool tell(struct losses *losses, const char *format, ...) WEIR_PRINTF(2, 3);
static bool tell(struct losses *losses, const char *format, ...)
{
    char text[TEXT_ROOM];
    uint32_t count = losses->count;
    char **more = memory_resize(losses->allocator, losses->texts, count * sizeof *more,
                                (count + 1) * sizeof *more);
    if (!more)
        return false;
    losses->texts = more;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    more[count] = memory_text(losses->allocator, text, strlen(text));
    losses->count += more[count] != NULL;
    return more[count];
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

static bool tell_items(struct losses *losses, const char *name, const struct holding *holding)
{
    bool told = true;
    if (told && holding->items)
        told = tell(losses, "node '%s': operator state, %llu items", name,
                    (unsigned long long)holding->items);
    if (told && holding->timers)
        told = tell(losses, "node '%s': %llu timers", name, (unsigned long long)holding->timers);
    if (told && holding->letters)
        told = tell(losses, "node '%s': %llu dead letters that are not published", name,
                    (unsigned long long)holding->letters);
    if (told && holding->handles)
        told = tell(losses, "node '%s': output that is not published, %llu handles", name,
                    (unsigned long long)holding->handles);
    return told;
}

static bool tell_node(struct losses *losses, const struct mapping *mapping, uint32_t then,
                      const struct holding *holding)
{
    const struct manifest_node *node = &mapping->then->nodes[then];
    bool gone = mapping->node_now[then] == MAPPING_NONE, told = true;
    for (uint32_t s = 0; told && s < node->state_count; s++)
        if (holding->keys[s] && mapping_is_removed(mapping, then, s))
            told = tell(losses, "state '%s' of node '%s': %llu keys", node->states[s].name,
                        node->name, (unsigned long long)holding->keys[s]);
    if (!gone)
        return told;
    if (holding->handles && !losses->handles)
        losses->sink = node->name;
    losses->handles += holding->handles;
    return told && tell_items(losses, node->name, holding);
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
    if (!result && !tell_node(losses, mapping, then, &holding))
        result = error_memory(error, "what would be lost", sizeof holding);
    memory_release(losses->allocator, holding.keys);
    return result;
}

/* ---------------------------------------------------------------------- of edges -- */

static bool is_gone(const struct mapping *mapping, uint32_t edge_then)
{
    return mapping->edge_now[edge_then] == MAPPING_NONE;
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
            return error_set(error, WEIR_DAMAGED, 0, "what was in flight is not well-formed");
        const unsigned char *at = inflight.items.data;
        size_t left = inflight.items.size, size;
        struct item item;
        for (; is_gone(mapping, inflight.edge) && left; at += size, left -= size) {
            size = item_next(at, left, &item);
            if (!size)
                return error_set(error, WEIR_DAMAGED, 0, "what was in flight is not well-formed");
            records[inflight.edge] += item.mark == 0;
        }
    }
    return WEIR_OK;
}

static bool tell_edges(struct losses *losses, const struct mapping *mapping,
                       const uint64_t *records)
{
    const struct manifest_graph *then = mapping->then;
    bool told = true;
    for (uint32_t e = 0; told && e < then->edge_count; e++) {
        const struct manifest_edge *edge = &then->edges[e];
        if (records[e])
            told = tell(losses, "edge %s.%s -> %s.%s: %llu records in flight",
                        then->nodes[edge->from].name, edge->output, then->nodes[edge->to].name,
                        edge->input, (unsigned long long)records[e]);
    }
    return told;
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
    if (!result && !tell_edges(losses, mapping, records))
        result = error_memory(error, "what would be lost", sizeof *records);
    memory_release(losses->allocator, records);
    return result;
}

/* -------------------------------------------------------------------------- whole -- */

enum weir_result losses_find(struct store *store, const struct manifest *manifest,
                             const struct mapping *mapping, const struct weir_allocator *allocator,
                             struct losses *losses, struct weir_error *error)
{
    *losses = (struct losses){.allocator = allocator};
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
    for (uint32_t i = 0; i < losses->count; i++)
        memory_release(losses->allocator, losses->texts[i]);
    memory_release(losses->allocator, losses->texts);
    *losses = (struct losses){0};
}

enum weir_result losses_check(struct losses *losses, bool allowed, struct weir_error *error)
{
    char all[400] = "";
    size_t size = 0;
    if (losses->handles)
        return error_set(error, WEIR_MISMATCH, 0,
                         "sink '%s' is not in the graph, and the checkpoint holds output of sinks "
                         "that is not published yet (%llu handles), which is never dropped: start "
                         "once with the graph as it was, and stop it",
                         losses->sink, (unsigned long long)losses->handles);
    if (!losses->count || allowed)
        return WEIR_OK;
    for (uint32_t i = 0; i < losses->count && size < sizeof all; i++)
        size += (size_t)snprintf(all + size, sizeof all - size, "%s%s", i ? "; " : "",
                                 losses->texts[i]);
    losses->cut = size >= sizeof all;
    return error_set(
        error, WEIR_MISMATCH, 0,
        "the graph has no place for what would be lost (was something renamed?): %s%s: "
        "go back to the old graph, or drop it with --allow-dropped-state",
        all, losses->cut ? "..." : "");
}
