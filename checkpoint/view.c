/* SPDX-License-Identifier: Apache-2.0
 *
 * view: weir_checkpoint.h over a store opened for reading. The layouts of what is parsed here stand
 * in snapshot.h (sections) and state.h (the body of a STATE section).
 */
#include "weir_checkpoint.h"

#include <string.h>

#include "error.h"
#include "memory.h"
#include "snapshot.h"
#include "state.h"
#include "store.h"

struct weir_store {
    const struct weir_allocator *allocator;
    struct store *store;
    uint64_t *ids; /* of the last weir_store_list */
    char identity[2 * STORE_ID_SIZE + 1];
};

struct weir_checkpoint {
    struct store *store;
    const struct weir_allocator *allocator;
    struct manifest manifest;
};

/* The entries of one STATE section. */
struct entries {
    struct snapshot_section section; /* what is left of it */
    uint64_t left;                   /* entries not yet taken */
    uint32_t value_size;             /* 0: any */
};

struct weir_cursor {
    struct weir_checkpoint *checkpoint;
    enum weir_rows rows;
    uint32_t node;
    uint32_t state;
    uint32_t next_task; /* the next one to look at */
    uint32_t subtask;   /* of the part in hand */
    struct blob_buffer part;
    struct snapshot_reader reader; /* over the part in hand */
    struct entries entries;
    enum weir_result result; /* sticky */
    struct weir_error error;
};

/* Public structs start with the size the caller knows; what is newer than that is left out. */
static void give(void *to, const void *from, size_t from_size)
{
    size_t to_size;
    memcpy(&to_size, to, sizeof to_size);
    size_t size = to_size < from_size ? to_size : from_size;
    if (size > sizeof size)
        memcpy((char *)to + sizeof size, (const char *)from + sizeof size, size - sizeof size);
}

/* -------------------------------------------------------------------------------- a store -- */

static void print_identity(char hex[2 * STORE_ID_SIZE + 1], const unsigned char *id)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < STORE_ID_SIZE; i++) {
        hex[2 * i] = digits[id[i] >> 4];
        hex[2 * i + 1] = digits[id[i] & 15];
    }
    hex[2 * STORE_ID_SIZE] = 0;
}

enum weir_result weir_store_open(const char *path, const struct weir_allocator *allocator,
                                 struct weir_store **store, struct weir_error *error)
{
    *store = NULL;
    struct weir_store *made = memory_zeroed(allocator, 1, sizeof *made);
    if (made == NULL)
        return error_memory(error, "a store", sizeof *made);
    made->allocator = allocator;
    enum weir_result result = store_view(path, allocator, &made->store, error);
    if (result != WEIR_OK) {
        memory_release(allocator, made);
        return result;
    }
    print_identity(made->identity, store_id(made->store));
    *store = made;
    return WEIR_OK;
}

const char *weir_store_identity(const struct weir_store *store)
{
    return store->identity;
}

void weir_store_close(struct weir_store **store)
{
    struct weir_store *gone = *store;
    *store = NULL;
    if (gone == NULL)
        return;
    store_close(&gone->store);
    memory_release(gone->allocator, gone->ids);
    memory_release(gone->allocator, gone);
}

enum weir_result weir_store_list(struct weir_store *store, const uint64_t **ids, size_t *count,
                                 struct weir_error *error)
{
    memory_release(store->allocator, store->ids);
    store->ids = NULL;
    enum weir_result result = store_list(store->store, &store->ids, count, error);
    if (result == WEIR_OK)
        *ids = store->ids;
    return result;
}

/* ------------------------------------------------------------------------------- sections -- */

static bool is_text(struct weir_bytes bytes, const char *text)
{
    return bytes.data != NULL && bytes.size == strlen(text) &&
           memcmp(bytes.data, text, bytes.size) == 0;
}

/* Takes what stands before the entries; it must be what the manifest says of the state. */
static bool entries_begin(struct entries *entries, const struct snapshot_section *section,
                          const struct manifest_state *state)
{
    *entries = (struct entries){.section = *section, .value_size = state->value_size};
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

/* False when the entry is not sound; to be called while entries->left > 0. */
static bool entries_next(struct entries *entries, struct weir_bytes *key, struct weir_bytes *value)
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
    struct entries entries;
    struct weir_bytes key, value;
    if (section->index >= node->state_count)
        return "a state that the manifest does not know";
    if (!entries_begin(&entries, section, &node->states[section->index]))
        return "a state that is not what the manifest says";
    if (entries.left == 0)
        return snapshot_done(&entries.section) ? NULL : "bytes after the last entry of a state";
    while (entries.left > 0)
        if (!entries_next(&entries, &key, &value))
            return "an entry of state that is not well-formed";
    return NULL;
}

/* What is wrong with a part whose checksums hold: NULL when nothing is. */
static const char *check_part(const struct manifest_node *node, const struct blob_buffer *part)
{
    struct snapshot_reader reader = {part->data, part->size, false};
    struct snapshot_section section;
    const char *wrong = NULL;
    while (wrong == NULL && snapshot_next(&reader, &section)) {
        if (section.tag == SNAPSHOT_OPERATOR && !is_text(snapshot_get_text(&section), node->name))
            wrong = "another node's operator";
        else if (section.tag == SNAPSHOT_STATE)
            wrong = check_state(node, &section);
        else if (section.tag == SNAPSHOT_HANDLE && section.left < sizeof(uint64_t))
            wrong = "a handle that is not well-formed";
    }
    return wrong == NULL && reader.failed ? "a section that is not well-formed" : wrong;
}

static enum weir_result bad_part(const struct manifest *manifest, uint32_t task, const char *what,
                                 struct weir_error *error)
{
    const struct manifest_task *of = &manifest->tasks[task];
    return error_set(error, WEIR_DAMAGED, 0,
                     "checkpoint %llu: data/%010u-%020llu.seg at offset %llu (node '%s', subtask "
                     "%u) holds %s",
                     (unsigned long long)manifest->id, of->part.file_epoch,
                     (unsigned long long)of->part.file_number, (unsigned long long)of->part.offset,
                     manifest->graph.nodes[of->node].name, of->subtask, what);
}

/* ------------------------------------------------------------------------------ verifying -- */

enum weir_result weir_store_verify(struct weir_store *store, uint64_t id, struct weir_error *error)
{
    struct manifest manifest;
    struct blob_buffer part = {0};
    enum weir_result result = store_manifest(store->store, id, &manifest, error);
    if (result != WEIR_OK)
        return result;
    for (uint32_t i = 0; i < manifest.task_count && result == WEIR_OK; i++) {
        result = store_read(store->store, &manifest, i, &part, error);
        if (result != WEIR_OK)
            break;
        const char *wrong = check_part(&manifest.graph.nodes[manifest.tasks[i].node], &part);
        if (wrong != NULL)
            result = bad_part(&manifest, i, wrong, error);
    }
    blob_buffer_free(&part, store->allocator);
    manifest_free(&manifest);
    return result;
}

enum weir_result weir_store_verify_all(struct weir_store *store,
                                       void (*each)(void *context, uint64_t id,
                                                    const struct weir_error *error),
                                       void *context, struct weir_error *error)
{
    uint64_t *ids = NULL;
    size_t count = 0;
    enum weir_result first = store_list(store->store, &ids, &count, error);
    for (size_t i = 0; i < count; i++) {
        struct weir_error one = {0};
        enum weir_result result = weir_store_verify(store, ids[i], &one);
        if (first == WEIR_OK && result != WEIR_OK && error != NULL)
            *error = one;
        if (first == WEIR_OK)
            first = result;
        if (each != NULL)
            each(context, ids[i], &one);
    }
    memory_release(store->allocator, ids);
    return first;
}

/* --------------------------------------------------------------------------- a checkpoint -- */

static enum weir_result newest(struct weir_store *store, uint64_t *id, struct weir_error *error)
{
    uint64_t *ids = NULL;
    size_t count = 0;
    enum weir_result result = store_list(store->store, &ids, &count, error);
    if (result != WEIR_OK)
        return result;
    if (count > 0)
        *id = ids[count - 1];
    memory_release(store->allocator, ids);
    return count > 0 ? WEIR_OK
                     : error_set(error, WEIR_NOT_FOUND, 0, "the store holds no checkpoint");
}

enum weir_result weir_checkpoint_open(struct weir_store *store, uint64_t id,
                                      struct weir_checkpoint **checkpoint, struct weir_error *error)
{
    *checkpoint = NULL;
    enum weir_result result = id == 0 ? newest(store, &id, error) : WEIR_OK;
    if (result != WEIR_OK)
        return result;
    struct weir_checkpoint *made = memory_zeroed(store->allocator, 1, sizeof *made);
    if (made == NULL)
        return error_memory(error, "a checkpoint", sizeof *made);
    made->store = store->store;
    made->allocator = store->allocator;
    result = store_manifest(store->store, id, &made->manifest, error);
    if (result != WEIR_OK)
        memory_release(store->allocator, made);
    else
        *checkpoint = made;
    return result;
}

void weir_checkpoint_close(struct weir_checkpoint **checkpoint)
{
    struct weir_checkpoint *gone = *checkpoint;
    *checkpoint = NULL;
    if (gone == NULL)
        return;
    manifest_free(&gone->manifest);
    memory_release(gone->allocator, gone);
}

void weir_checkpoint_describe(const struct weir_checkpoint *checkpoint,
                              struct weir_checkpoint_info *info)
{
    const struct manifest *from = &checkpoint->manifest;
    struct weir_checkpoint_info full = {
        .id = from->id,
        .epoch = from->epoch,
        .restored_from = from->restored_from,
        .final = from->final,
        .triggered_ns = from->triggered_ns,
        .duration_ns = from->duration_ns,
        .key_groups = from->graph.key_groups,
        .nodes = from->graph.node_count,
        .edges = from->graph.edge_count,
        .tasks = from->task_count,
        .job = from->job,
        .reason = from->reason,
    };
    for (uint32_t i = 0; i < from->task_count; i++) {
        full.stored_bytes += BLOB_HEADER_SIZE + from->tasks[i].part.blob.stored_size;
        full.raw_bytes += from->tasks[i].part.blob.raw_size;
    }
    give(info, &full, sizeof full);
}

bool weir_checkpoint_get_node(const struct weir_checkpoint *checkpoint, uint32_t index,
                              struct weir_checkpoint_node *node)
{
    const struct manifest_graph *graph = &checkpoint->manifest.graph;
    if (index >= graph->node_count)
        return false;
    const struct manifest_node *from = &graph->nodes[index];
    struct weir_checkpoint_node full = {.name = from->name,
                                        .kind = from->kind,
                                        .version = from->version,
                                        .parallelism = from->parallelism,
                                        .states = from->state_count};
    give(node, &full, sizeof full);
    return true;
}

bool weir_checkpoint_get_state(const struct weir_checkpoint *checkpoint, uint32_t node,
                               uint32_t index, struct weir_checkpoint_state *state)
{
    const struct manifest_graph *graph = &checkpoint->manifest.graph;
    if (node >= graph->node_count || index >= graph->nodes[node].state_count)
        return false;
    const struct manifest_state *from = &graph->nodes[node].states[index];
    struct weir_checkpoint_state full = {.name = from->name,
                                         .format = from->format,
                                         .version = from->version,
                                         .value_size = from->value_size};
    give(state, &full, sizeof full);
    return true;
}

bool weir_checkpoint_get_edge(const struct weir_checkpoint *checkpoint, uint32_t index,
                              struct weir_checkpoint_edge *edge)
{
    const struct manifest_graph *graph = &checkpoint->manifest.graph;
    if (index >= graph->edge_count)
        return false;
    const struct manifest_edge *from = &graph->edges[index];
    struct weir_checkpoint_edge full = {.from = from->from,
                                        .to = from->to,
                                        .output = from->output,
                                        .input = from->input,
                                        .routing = from->routing,
                                        .key_format = from->key_format,
                                        .value_format = from->value_format};
    give(edge, &full, sizeof full);
    return true;
}

bool weir_checkpoint_get_task(const struct weir_checkpoint *checkpoint, uint32_t index,
                              struct weir_checkpoint_task *task)
{
    if (index >= checkpoint->manifest.task_count)
        return false;
    const struct manifest_task *from = &checkpoint->manifest.tasks[index];
    struct weir_checkpoint_task full = {
        .node = from->node,
        .subtask = from->subtask,
        .ended = from->ended,
        .handles = from->handles,
        .cut_ns = (int64_t)from->cut_ns,
        .note = from->note,
        .stored_bytes = BLOB_HEADER_SIZE + from->part.blob.stored_size,
        .raw_bytes = from->part.blob.raw_size,
        .file_epoch = from->part.file_epoch,
        .file_number = from->part.file_number,
        .offset = from->part.offset,
        .letters = from->letters,
    };
    give(task, &full, sizeof full);
    return true;
}

/* ------------------------------------------------------------------------------- a cursor -- */

/* Finds node and state by name. */
static enum weir_result aim(struct weir_cursor *cursor, const char *node, const char *state,
                            struct weir_error *error)
{
    const struct manifest_graph *graph = &cursor->checkpoint->manifest.graph;
    uint32_t i = 0;
    while (i < graph->node_count && strcmp(graph->nodes[i].name, node) != 0)
        i++;
    if (i == graph->node_count)
        return error_set(error, WEIR_NOT_FOUND, 0, "there is no node '%s'", node);
    cursor->node = i;
    if (cursor->rows != WEIR_ROWS_STATE)
        return WEIR_OK;
    const struct manifest_node *found = &graph->nodes[i];
    for (i = 0; state != NULL && i < found->state_count; i++) {
        if (strcmp(found->states[i].name, state) == 0) {
            cursor->state = i;
            return WEIR_OK;
        }
    }
    return error_set(error, WEIR_NOT_FOUND, 0, "node '%s' has no state '%s'", node,
                     state == NULL ? "" : state);
}

enum weir_result weir_cursor_open(struct weir_checkpoint *checkpoint, enum weir_rows rows,
                                  const char *node, const char *state, struct weir_cursor **cursor,
                                  struct weir_error *error)
{
    *cursor = NULL;
    if (node == NULL)
        return error_set(error, WEIR_INVALID, 0, "a cursor needs a node's name");
    struct weir_cursor *made = memory_zeroed(checkpoint->allocator, 1, sizeof *made);
    if (made == NULL)
        return error_memory(error, "a cursor", sizeof *made);
    made->checkpoint = checkpoint;
    made->rows = rows;
    enum weir_result result = aim(made, node, state, error);
    if (result != WEIR_OK)
        memory_release(checkpoint->allocator, made);
    else
        *cursor = made;
    return result;
}

static bool fail(struct weir_cursor *cursor, const char *what)
{
    cursor->result =
        bad_part(&cursor->checkpoint->manifest, cursor->next_task - 1, what, &cursor->error);
    return false;
}

/* Reads the node's next part. False at the end, and when it can't be read. */
static bool next_part(struct weir_cursor *cursor)
{
    const struct manifest *manifest = &cursor->checkpoint->manifest;
    while (cursor->next_task < manifest->task_count) {
        uint32_t task = cursor->next_task++;
        if (manifest->tasks[task].node != cursor->node)
            continue;
        cursor->subtask = manifest->tasks[task].subtask;
        cursor->result =
            store_read(cursor->checkpoint->store, manifest, task, &cursor->part, &cursor->error);
        cursor->reader = (struct snapshot_reader){cursor->part.data, cursor->part.size, false};
        return cursor->result == WEIR_OK;
    }
    return false;
}

/* The next section with this tag, in this part or in a later one. */
static bool next_section(struct weir_cursor *cursor, enum snapshot_tag tag,
                         struct snapshot_section *section)
{
    for (;;) {
        while (snapshot_next(&cursor->reader, section))
            if (section->tag == (uint32_t)tag)
                return true;
        if (cursor->reader.failed)
            return fail(cursor, "a section that is not well-formed");
        if (!next_part(cursor))
            return false;
    }
}

static bool next_entry(struct weir_cursor *cursor, struct weir_row *row)
{
    const struct manifest_node *node = &cursor->checkpoint->manifest.graph.nodes[cursor->node];
    struct snapshot_section section;
    while (cursor->entries.left == 0) {
        if (!next_section(cursor, SNAPSHOT_STATE, &section))
            return false;
        if (section.index == cursor->state &&
            !entries_begin(&cursor->entries, &section, &node->states[cursor->state]))
            return fail(cursor, "a state that is not what the manifest says");
    }
    if (!entries_next(&cursor->entries, &row->key, &row->value))
        return fail(cursor, "an entry of state that is not well-formed");
    return true;
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

bool weir_cursor_next(struct weir_cursor *cursor, struct weir_row *row)
{
    struct weir_row full = {0};
    bool there = false;
    if (cursor->result != WEIR_OK)
        return false;
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
    }
    full.subtask = cursor->subtask;
    if (there)
        give(row, &full, sizeof full);
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
    blob_buffer_free(&gone->part, gone->checkpoint->allocator);
    memory_release(gone->checkpoint->allocator, gone);
    return result;
}
