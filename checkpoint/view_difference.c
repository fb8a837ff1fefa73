/* SPDX-License-Identifier: Apache-2.0
 *
 * view_difference: what of a state is another in one checkpoint than in another. This file finds
 * the state in both, a subtask at a time, and hands out changes; view_compare.c reads what may have
 * changed, and says why that is enough.
 *
 * Where parallelism differs, logs were begun anew and share nothing; and values that expire do so
 * without an entry. In these two cases both sides are read with cursors.
 */
#include "view_difference.h"

#include <string.h>

#include "error.h"
#include "memory.h"

bool view_fail(struct weir_difference *difference, enum weir_result result)
{
    if (difference->result == WEIR_OK)
        difference->result = result;
    return false;
}

bool view_fail_memory(struct weir_difference *difference)
{
    return view_fail(difference, error_memory(&difference->error, "what differs", 0));
}

/* -------------------------------------------------------------------------------- opening -- */

static enum weir_result find_side(struct view_side *side, struct weir_checkpoint *checkpoint,
                                  const char *node, const char *state, struct weir_error *error)
{
    side->checkpoint = checkpoint;
    enum weir_result result = view_find_node(checkpoint, node, &side->node, error);
    return result == WEIR_OK ? view_find_state(checkpoint, side->node, state, &side->state, error)
                             : result;
}

static const struct manifest_node *node_of(const struct view_side *side)
{
    return &side->checkpoint->manifest.graph.nodes[side->node];
}

static const struct manifest_state *state_of(const struct view_side *side)
{
    return &node_of(side)->states[side->state];
}

static bool is_alike(const struct view_side *left, const struct view_side *right)
{
    return node_of(left)->parallelism == node_of(right)->parallelism &&
           left->checkpoint->manifest.graph.key_groups ==
               right->checkpoint->manifest.graph.key_groups &&
           state_of(left)->value_size == state_of(right)->value_size && !state_of(left)->expires &&
           !state_of(right)->expires;
}

enum weir_result weir_difference_open(struct weir_checkpoint *before, struct weir_checkpoint *after,
                                      const char *node, const char *state,
                                      struct weir_difference **difference, struct weir_error *error)
{
    struct view_side sides[2] = {{0}};
    *difference = NULL;
    enum weir_result result = find_side(&sides[0], before, node, state, error);
    if (result == WEIR_OK)
        result = find_side(&sides[1], after, node, state, error);
    if (result != WEIR_OK)
        return result;
    if (state_of(&sides[0])->kind != state_of(&sides[1])->kind)
        return error_set(error, WEIR_INVALID, 0,
                         "state '%s' of node '%s' is of kind %s in one checkpoint and %s in the "
                         "other: they can't be compared",
                         state, node, state_kind_text(state_of(&sides[0])->kind),
                         state_kind_text(state_of(&sides[1])->kind));
    struct weir_difference *made = memory_zeroed(after->allocator, 1, sizeof *made);
    if (made == NULL)
        return error_memory(error, "what differs", sizeof *made);
    made->allocator = after->allocator;
    made->sides[0] = sides[0];
    made->sides[1] = sides[1];
    made->of = state_of(&sides[1]);
    made->kind = (enum state_kind)made->of->kind;
    made->by_segments = is_alike(&sides[0], &sides[1]);
    made->subtasks = made->by_segments ? node_of(&sides[1])->parallelism : 1;
    made->set = (struct candidates){.allocator = made->allocator, .kind = made->kind};
    *difference = made;
    return WEIR_OK;
}

enum weir_result weir_difference_close(struct weir_difference **difference,
                                       struct weir_error *error)
{
    struct weir_difference *gone = *difference;
    *difference = NULL;
    if (gone == NULL)
        return WEIR_OK;
    enum weir_result result = gone->result;
    if (result != WEIR_OK && error != NULL)
        *error = gone->error;
    for (uint32_t i = 0; i < 2; i++)
        memory_release(gone->allocator, gone->sides[i].shared);
    candidates_clear(&gone->set);
    blob_buffer_free(&gone->raw, gone->allocator);
    memory_release(gone->allocator, gone);
    return result;
}

/* ----------------------------------------------------------------------- reading all of it -- */

/* The key of the entry that the row was. NULL: no memory. */
static struct candidate *add_row(struct weir_difference *difference, const struct weir_row *row)
{
    unsigned char sub[PAIR_TIMER_SIZE];
    struct pair pair = {row->key, row->sub};
    switch (difference->kind) {
    case STATE_VALUE:
        return view_add(difference, row->key);
    case STATE_LIST:
        pair_write_index(sub, row->id);
        pair.sub = (struct weir_bytes){sub, PAIR_INDEX_SIZE};
        break;
    case STATE_TIMERS:
        pair_write_timer(sub, (struct pair_timer){row->time, row->id, row->kind});
        pair.sub = (struct weir_bytes){sub, PAIR_TIMER_SIZE};
        break;
    case STATE_MAP:
        break;
    }
    return view_add_pair(difference, pair);
}

static bool read_rows(struct weir_difference *difference, uint32_t number)
{
    struct weir_row row = {WEIR_SIZED(struct weir_row)};
    struct view_side *side = &difference->sides[number];
    struct weir_cursor *cursor;
    enum weir_result result =
        weir_cursor_open(side->checkpoint, WEIR_ROWS_STATE, node_of(side)->name,
                         state_of(side)->name, &cursor, &difference->error);
    if (result != WEIR_OK)
        return view_fail(difference, result);
    while (difference->result == WEIR_OK && weir_cursor_next(cursor, &row)) {
        struct candidate *item = add_row(difference, &row);
        if (item == NULL || !candidate_keep(&difference->set, &item->sides[number], row.value))
            (void)view_fail_memory(difference);
    }
    if (difference->result == WEIR_OK)
        difference->result = weir_cursor_close(&cursor, &difference->error);
    else
        (void)!weir_cursor_close(&cursor, NULL);
    return difference->result == WEIR_OK;
}

/* --------------------------------------------------------------------------------- changes -- */

/* The tasks are each node's subtasks in order. */
static uint32_t first_task(const struct view_side *side)
{
    const struct manifest *manifest = &side->checkpoint->manifest;
    uint32_t task = 0;
    while (task < manifest->task_count && manifest->tasks[task].node != side->node)
        task++;
    return task;
}

/* The set is of the next subtask, or of all. False at the end, and when something is wrong. */
static bool next_subtask(struct weir_difference *difference)
{
    if (difference->subtask == difference->subtasks)
        return false;
    candidates_clear(&difference->set);
    difference->at = 0;
    for (uint32_t i = 0; i < 2; i++)
        difference->sides[i].task = first_task(&difference->sides[i]) + difference->subtask;
    difference->subtask++;
    if (difference->by_segments)
        return view_compare(difference);
    bool well = read_rows(difference, 0) && read_rows(difference, 1);
    candidates_sort(&difference->set);
    return well;
}

static bool has_changed(const struct candidate_side sides[2])
{
    if (!sides[0].there || !sides[1].there)
        return sides[0].there != sides[1].there;
    return sides[0].size != sides[1].size ||
           (sides[0].size > 0 && memcmp(sides[0].value, sides[1].value, sides[0].size) != 0);
}

static void take_key(const struct weir_difference *difference, const struct candidate *item,
                     struct weir_change *change)
{
    change->key = (struct weir_bytes){item->key, item->key_size};
    if (difference->kind == STATE_VALUE)
        return;
    struct pair pair = pair_read(change->key);
    change->key = pair.key;
    if (difference->kind == STATE_MAP) {
        change->sub = pair.sub;
    } else if (difference->kind == STATE_LIST) {
        change->id = pair.sub.size == 0 ? 0 : pair_read_index(pair.sub);
    } else {
        struct pair_timer timer = pair_read_timer(pair.sub);
        change->time = timer.time;
        change->id = timer.tag;
        change->kind = timer.kind;
    }
}

bool weir_difference_next(struct weir_difference *difference, struct weir_change *change)
{
    const struct candidate *item;
    do {
        while (difference->result == WEIR_OK && difference->at == difference->set.count)
            if (!next_subtask(difference))
                return false;
        if (difference->result != WEIR_OK)
            return false;
        item = difference->set.items[difference->at++];
    } while (!has_changed(item->sides) || view_is_header(difference, item));
    const struct candidate_side *before = &item->sides[0], *after = &item->sides[1];
    struct weir_change full = {.time = ITEM_NO_TIME};
    full.what = !before->there  ? WEIR_CHANGE_ADDED
                : !after->there ? WEIR_CHANGE_REMOVED
                                : WEIR_CHANGE_CHANGED;
    take_key(difference, item, &full);
    if (before->there)
        full.before = (struct weir_bytes){before->value, before->size};
    if (after->there)
        full.after = (struct weir_bytes){after->value, after->size};
    view_give(change, &full, sizeof full);
    return true;
}
