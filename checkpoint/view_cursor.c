/* SPDX-License-Identifier: Apache-2.0
 *
 * view_cursor: rows, one blob at a time. A cursor over parts walks those of its node's subtasks.
 * One over content in flight walks all blobs of that kind twice, first for what the readers
 * recorded, then for what the writers did: that is the order on every channel, and the two lie in
 * different tasks' blobs.
 */
#include "view_inside.h"

#include "error.h"
#include "memory.h"
#include "pair.h"
#include "state_list.h"

#define ALL_NODES UINT32_MAX

struct weir_cursor {
    struct weir_checkpoint *checkpoint;
    enum weir_rows rows;
    uint32_t node; /* ALL_NODES: of whatever node */
    uint32_t state;
    enum snapshot_side side; /* INFLIGHT: which of the two walks */

    /* the next blob to look at */
    uint32_t next_task, next_piece;

    /* the one in hand */
    uint32_t task;
    const struct manifest_blob *place;
    struct blob_buffer raw;
    struct snapshot_reader reader;
    struct state *entries; /* of the part in hand; NULL: none */
    struct view_items items;

    enum weir_result result; /* sticky */
    struct weir_error error;
};

/* -------------------------------------------------------------------------------- opening -- */

enum weir_result weir_cursor_open(struct weir_checkpoint *checkpoint, enum weir_rows rows,
                                  const char *node, const char *state, struct weir_cursor **cursor,
                                  struct weir_error *error)
{
    *cursor = NULL;
    if (node == NULL && rows != WEIR_ROWS_INFLIGHT)
        return error_set(error, WEIR_INVALID, 0, "a cursor needs a node's name");
    struct weir_cursor *made = memory_zeroed(checkpoint->allocator, 1, sizeof *made);
    if (made == NULL)
        return error_memory(error, "a cursor", sizeof *made);
    made->checkpoint = checkpoint;
    made->rows = rows;
    made->node = ALL_NODES;
    enum weir_result result =
        node == NULL ? WEIR_OK : view_find_node(checkpoint, node, &made->node, error);
    if (result == WEIR_OK && rows == WEIR_ROWS_STATE)
        result = view_find_state(checkpoint, made->node, state, &made->state, error);
    if (result != WEIR_OK)
        memory_release(checkpoint->allocator, made);
    else
        *cursor = made;
    return result;
}

/* ---------------------------------------------------------------------------------- blobs -- */

static bool fail(struct weir_cursor *cursor, const char *what)
{
    cursor->result = view_damaged(&cursor->checkpoint->manifest, cursor->task, cursor->place, what,
                                  &cursor->error);
    return false;
}

/* The blob was read; false when it could not be. */
static bool take_blob(struct weir_cursor *cursor, uint32_t task, const struct manifest_blob *place)
{
    cursor->task = task;
    cursor->place = place;
    cursor->reader = (struct snapshot_reader){cursor->raw.data, cursor->raw.size, false};
    return cursor->result == WEIR_OK;
}

/* Reads the node's next part. False at the end, and when it can't be read. */
static bool next_part(struct weir_cursor *cursor)
{
    const struct manifest *manifest = &cursor->checkpoint->manifest;
    while (cursor->next_task < manifest->task_count) {
        uint32_t task = cursor->next_task++;
        if (manifest->tasks[task].node != cursor->node)
            continue;
        cursor->result =
            store_read(cursor->checkpoint->store, manifest, task, &cursor->raw, &cursor->error);
        return take_blob(cursor, task, &manifest->tasks[task].part);
    }
    return false;
}

/* Reads the next piece of what was in flight, and begins the second walk after the first. */
static bool next_piece(struct weir_cursor *cursor)
{
    const struct manifest *manifest = &cursor->checkpoint->manifest;
    for (;;) {
        uint32_t task = cursor->next_task, piece = cursor->next_piece++;
        if (task == manifest->task_count) {
            if (cursor->side == SNAPSHOT_OUTLET_SIDE)
                return false;
            cursor->side = SNAPSHOT_OUTLET_SIDE;
            cursor->next_task = cursor->next_piece = 0;
        } else if (piece < manifest->tasks[task].inflight_count) {
            cursor->result = store_read_inflight(cursor->checkpoint->store, manifest, task, piece,
                                                 &cursor->raw, &cursor->error);
            return take_blob(cursor, task, &manifest->tasks[task].inflight[piece]);
        } else {
            cursor->next_task++;
            cursor->next_piece = 0;
        }
    }
}

/* The next section with this tag, in this blob or in a later one. */
static bool next_section(struct weir_cursor *cursor, enum snapshot_tag tag,
                         struct snapshot_section *section)
{
    for (;;) {
        while (snapshot_next(&cursor->reader, section))
            if (section->tag == (uint32_t)tag)
                return true;
        if (cursor->reader.failed)
            return fail(cursor, "a section that is not well-formed");
        if (!(tag == SNAPSHOT_INFLIGHT ? next_piece(cursor) : next_part(cursor)))
            return false;
    }
}

/* ----------------------------------------------------------------------------------- rows -- */

/* What the entry's key tells, if it is a pair. False: of a list, what is no element of it. */
static bool take_pair(struct weir_cursor *cursor, struct weir_row *row)
{
    const struct manifest_graph *graph = &cursor->checkpoint->manifest.graph;
    uint32_t kind = graph->nodes[cursor->node].states[cursor->state].kind;
    if (kind == STATE_VALUE)
        return true;
    struct pair pair = pair_read(row->key);
    row->key = pair.key;
    if (kind == STATE_MAP) {
        row->sub = pair.sub;
    } else if (kind == STATE_TIMERS) {
        struct pair_timer timer = pair_read_timer(pair.sub);
        row->time = timer.time;
        row->id = timer.tag;
        row->kind = timer.kind;
    } else {
        row->id = pair.sub.size > 0 ? pair_read_index(pair.sub) : UINT64_MAX;
        return row->id < state_list_count(cursor->entries, pair.key, state_hash(pair.key));
    }
    return true;
}

static bool next_entry(struct weir_cursor *cursor, struct weir_row *row)
{
    struct weir_checkpoint *checkpoint = cursor->checkpoint;
    while (cursor->result == WEIR_OK) {
        enum weir_result result = cursor->entries == NULL
                                      ? WEIR_NOT_FOUND
                                      : state_scan_next(cursor->entries, &row->key, &row->value);
        if (result == WEIR_OK && take_pair(cursor, row))
            return true;
        if (result == WEIR_OK)
            continue;
        if (result != WEIR_NOT_FOUND)
            cursor->result = error_memory(&cursor->error, "the next row", 0);
        state_free(&cursor->entries);
        if (cursor->result != WEIR_OK || !next_part(cursor))
            return false;
        cursor->result =
            view_read_state(checkpoint->store, &checkpoint->manifest, cursor->task, &cursor->raw,
                            cursor->state, checkpoint->allocator, &cursor->entries, &cursor->error);
        if (cursor->result == WEIR_OK) /* wherever the operator's own scan stands */
            state_scan_rewind(cursor->entries);
    }
    return false;
}

static bool next_handle(struct weir_cursor *cursor, struct weir_row *row)
{
    struct snapshot_section section;
    if (!next_section(cursor, SNAPSHOT_HANDLE, &section))
        return false;
    row->id = snapshot_get_u64(&section);
    row->value = snapshot_get_rest(&section);
    return section.failed ? fail(cursor, "a handle that is not well-formed") : true;
}

static bool next_item(struct weir_cursor *cursor, struct weir_row *row)
{
    struct snapshot_section section;
    if (!next_section(cursor, SNAPSHOT_ITEM, &section))
        return false;
    row->kind = section.index;
    row->value = snapshot_get_rest(&section);
    return true;
}

/* The next section of the walk's side, and of the node's inputs. */
static bool next_channel(struct weir_cursor *cursor)
{
    const struct manifest *manifest = &cursor->checkpoint->manifest;
    struct snapshot_section section;
    while (next_section(cursor, SNAPSHOT_INFLIGHT, &section)) {
        const char *wrong = view_items_begin(&cursor->items, &section, manifest, cursor->task);
        if (wrong != NULL)
            return fail(cursor, wrong);
        const struct manifest_edge *edge = &manifest->graph.edges[cursor->items.inflight.edge];
        if (cursor->items.inflight.side == cursor->side &&
            (cursor->node == ALL_NODES || edge->to == cursor->node))
            return true;
    }
    cursor->items.left.size = 0; /* of a section that was passed over */
    return false;
}

static bool next_inflight(struct weir_cursor *cursor, struct weir_row *row)
{
    struct item item;
    do {
        while (cursor->items.left.size == 0)
            if (!next_channel(cursor))
                return false;
        if (!view_items_next(&cursor->items, &item))
            return fail(cursor, "a record in flight that is not well-formed");
    } while (item.mark != 0);
    row->key = item.key;
    row->value = item.value;
    row->time = item.time;
    row->edge = cursor->items.inflight.edge;
    row->from_subtask = cursor->items.inflight.from_subtask;
    row->subtask = cursor->items.inflight.to_subtask;
    row->in_outlet = cursor->side == SNAPSHOT_OUTLET_SIDE;
    return true;
}

bool weir_cursor_next(struct weir_cursor *cursor, struct weir_row *row)
{
    bool there = false;
    if (cursor->result != WEIR_OK)
        return false;
    struct weir_row full = {.time = ITEM_NO_TIME};
    switch (cursor->rows) {
    case WEIR_ROWS_STATE:
        there = next_entry(cursor, &full);
        break;
    case WEIR_ROWS_ITEMS:
        there = next_item(cursor, &full);
        break;
    case WEIR_ROWS_HANDLES:
        there = next_handle(cursor, &full);
        break;
    case WEIR_ROWS_INFLIGHT:
        there = next_inflight(cursor, &full);
        break;
    }
    if (there && cursor->rows != WEIR_ROWS_INFLIGHT)
        full.subtask = cursor->checkpoint->manifest.tasks[cursor->task].subtask;
    if (there)
        view_give(row, &full, sizeof full);
    return there;
}

enum weir_result weir_cursor_close(struct weir_cursor **cursor, struct weir_error *error)
{
    struct weir_cursor *gone = *cursor;
    *cursor = NULL;
    if (gone == NULL)
        return WEIR_OK;
    enum weir_result result = gone->result;
    if (result != WEIR_OK && error != NULL)
        *error = gone->error;
    blob_buffer_free(&gone->raw, gone->checkpoint->allocator);
    state_free(&gone->entries);
    memory_release(gone->checkpoint->allocator, gone);
    return result;
}
