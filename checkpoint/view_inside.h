/* SPDX-License-Identifier: Apache-2.0
 *
 * view_inside: what the files behind weir_checkpoint.h share. view.c opens stores and checkpoints
 * and describes them, view_check.c knows what is well-formed inside a blob, view_cursor.c hands out
 * rows, view_find.c finds one key, view_difference.c and view_compare.c what two checkpoints differ
 * in, view_clean.c copies and cleans. The layouts stand in snapshot.h (sections), state.h (the body
 * of a STATE section) and item.h (what an INFLIGHT section holds).
 */
#ifndef VIEW_INSIDE_H
#define VIEW_INSIDE_H

#include "item.h"
#include "snapshot.h"
#include "state.h"
#include "store.h"
#include "view_check.h"
#include "weir_checkpoint.h"

struct weir_store {
    const struct weir_allocator *allocator;
    struct store *store;
    uint64_t *ids;                                 /* of the last weir_store_list */
    struct store_failure failures[STORE_FAILURES]; /* of the last weir_store_get_failed */
    size_t failure_count;
    char identity[2 * STORE_ID_SIZE + 1];
};

struct weir_checkpoint {
    struct store *store;
    const struct weir_allocator *allocator;
    struct manifest manifest;
    struct blob_buffer stored, raw; /* of the last find */
};

/* WEIR_NOT_FOUND when the store holds no checkpoint. */
enum weir_result view_newest(struct weir_store *store, uint64_t *id,
                             struct weir_error *error) WEIR_MUST_USE;
/* WEIR_NOT_FOUND when there is none of that name. */
enum weir_result view_find_node(const struct weir_checkpoint *checkpoint, const char *name,
                                uint32_t *node, struct weir_error *error) WEIR_MUST_USE;
enum weir_result view_find_state(const struct weir_checkpoint *checkpoint, uint32_t node,
                                 const char *name, uint32_t *state,
                                 struct weir_error *error) WEIR_MUST_USE;

/* Public structs start with the size the caller knows; what is newer than that is left out. */
void view_give(void *to, const void *from, size_t from_size);

/* A state of a task, whose part was read: its segments are read too, and all of it is checked.
 * The caller frees it. */
enum weir_result view_read_state(struct store *store, const struct manifest *manifest,
                                 uint32_t task, const struct blob_buffer *part, uint32_t index,
                                 const struct weir_allocator *allocator, struct state **state,
                                 struct weir_error *error) WEIR_MUST_USE;

/* The size of the entry of state that begins there, with `head` bytes before its value, which has
 * `value_size` bytes, 0: any. 0 when it is not sound. */
size_t view_entry_size(const unsigned char *entry, size_t left, size_t head, size_t value_size);

/* The items of one INFLIGHT section. */
struct view_items {
    struct snapshot_inflight inflight; /* its channel, and whose it is */
    struct weir_bytes left;            /* not yet taken */
};

/* What is wrong with the section, found in a blob of that task; NULL: nothing. */
const char *view_items_begin(struct view_items *items, struct snapshot_section *section,
                             const struct manifest *manifest, uint32_t task);
/* False when the item is not sound; to be called while items->left.size > 0. */
bool view_items_next(struct view_items *items, struct item *item);

#endif
