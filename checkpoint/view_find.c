/* SPDX-License-Identifier: Apache-2.0
 *
 * view_find: the value of one key. From the newest segment of the log to the oldest, of each the
 * blob whose range has the key's hash, until one has the key: nothing else is read, but the lists
 * of the segments passed.
 */
#include "view_inside.h"

#include <string.h>

#include "error.h"
#include "memory.h"
#include "state_entry.h"

struct finding {
    struct weir_checkpoint *checkpoint;
    uint32_t task;
    size_t value_size; /* 0: any */
    size_t head;       /* before the value: when it expires */
    struct weir_bytes key;
    uint32_t upper;
    struct weir_bytes *value;
};

enum found {
    FOUND_NOT, /* not here */
    FOUND_VALUE,
    FOUND_TOMB,
    FOUND_DAMAGE,
};

size_t view_entry_size(const unsigned char *entry, size_t left, size_t head, size_t value_size)
{
    if (left < ENTRY_HEADER_SIZE || entry_key_size(entry) > STATE_KEY_LIMIT)
        return 0;
    uint32_t told = snapshot_load_u32(entry + 4);
    bool tomb = told == SEGMENT_TOMB;
    if (!tomb && (told > STATE_VALUE_LIMIT + head || told < head ||
                  (value_size > 0 && told != value_size + head)))
        return 0;
    size_t size = entry_size(entry_key_size(entry), tomb ? 0 : told);
    return size <= left ? size : 0;
}

/* In one segment a tombstone may stand before a new value: it is the last word only where there is
 * no value behind it. */
static enum found look_through(const struct finding *finding, struct weir_bytes blob)
{
    const unsigned char *entry = blob.data;
    enum found found = FOUND_NOT;
    for (size_t left = blob.size, size; left > 0; left -= size, entry += size) {
        size = view_entry_size(entry, left, finding->head, finding->value_size);
        if (size == 0)
            return FOUND_DAMAGE;
        struct weir_bytes key = entry_key(entry);
        if (key.size != finding->key.size ||
            (key.size > 0 && memcmp(key.data, finding->key.data, key.size) != 0))
            continue;
        if (entry_is(entry, ENTRY_TOMB)) {
            found = FOUND_TOMB;
            continue;
        }
        finding->value->data = entry + ENTRY_HEADER_SIZE + entry_padded(key.size) + finding->head;
        finding->value->size = entry_value_size(entry) - finding->head;
        return FOUND_VALUE;
    }
    return found;
}

static enum weir_result find_in_blob(const struct finding *finding,
                                     const struct manifest_blob *place, enum found *found,
                                     struct weir_error *error)
{
    struct weir_checkpoint *checkpoint = finding->checkpoint;
    enum weir_result result = store_fetch(checkpoint->store, &checkpoint->manifest, finding->task,
                                          place, &checkpoint->stored, &checkpoint->raw, error);
    if (result != WEIR_OK)
        return result;
    enum found here =
        look_through(finding, (struct weir_bytes){checkpoint->raw.data, checkpoint->raw.size});
    if (here != FOUND_NOT) /* the blob before may have the tombstone */
        *found = here;
    return here == FOUND_DAMAGE ? view_damaged(&checkpoint->manifest, finding->task, place,
                                               "an entry of state that is not well-formed", error)
                                : WEIR_OK;
}

static enum weir_result find_in_segment(const struct finding *finding, uint32_t index,
                                        enum found *found, struct weir_error *error)
{
    struct weir_checkpoint *checkpoint = finding->checkpoint;
    const struct manifest_segment *segment =
        &checkpoint->manifest.tasks[finding->task].state[index];
    struct manifest_blob *blobs = NULL;
    enum weir_result result = store_list_blobs(checkpoint->store, &checkpoint->manifest,
                                               finding->task, index, &blobs, error);
    for (uint32_t i = 0; result == WEIR_OK && *found != FOUND_VALUE && i < segment->blob_count; i++)
        if (finding->upper >= blobs[i].first && finding->upper <= blobs[i].last)
            result = find_in_blob(finding, &blobs[i], found, error);
    memory_release(checkpoint->allocator, blobs);
    return result;
}

static uint32_t find_task(const struct manifest *manifest, uint32_t node, uint32_t subtask)
{
    uint32_t task = 0;
    while (task < manifest->task_count &&
           (manifest->tasks[task].node != node || manifest->tasks[task].subtask != subtask))
        task++;
    return task;
}

enum weir_result weir_checkpoint_find(struct weir_checkpoint *checkpoint, const char *node,
                                      const char *state, struct weir_bytes key,
                                      struct weir_bytes *value, struct weir_error *error)
{
    const struct manifest *manifest = &checkpoint->manifest;
    uint32_t of_node, of_state, groups = manifest->graph.key_groups;
    *value = (struct weir_bytes){0};
    enum weir_result result = view_find_node(checkpoint, node, &of_node, error);
    if (result == WEIR_OK)
        result = view_find_state(checkpoint, of_node, state, &of_state, error);
    if (result != WEIR_OK)
        return result;
    const struct manifest_node *of = &manifest->graph.nodes[of_node];
    if (of->states[of_state].kind != STATE_VALUE)
        return error_set(error, WEIR_INVALID, 0,
                         "state '%s' of node '%s' is of kind %s: only values are found by a key "
                         "alone, walk it with a cursor",
                         state, node, state_kind_text(of->states[of_state].kind));
    uint64_t hash = state_hash(key);
    uint32_t subtask = state_owner(state_group(hash, groups), of->parallelism, groups);
    struct finding finding = {.checkpoint = checkpoint,
                              .task = find_task(manifest, of_node, subtask),
                              .value_size = of->states[of_state].value_size,
                              .head = of->states[of_state].expires ? 8 : 0,
                              .key = key,
                              .upper = (uint32_t)(hash >> 32),
                              .value = value};
    enum found found = FOUND_NOT;
    const struct manifest_task *task =
        finding.task < manifest->task_count ? &manifest->tasks[finding.task] : NULL;
    for (uint32_t i = task == NULL ? 0 : task->state_count; i > 0 && found == FOUND_NOT; i--) {
        const struct manifest_segment *segment = &task->state[i - 1];
        if (segment->state == of_state && finding.upper >= segment->place.first &&
            finding.upper <= segment->place.last)
            result = find_in_segment(&finding, i - 1, &found, error);
        if (result != WEIR_OK)
            return result;
    }
    return found == FOUND_VALUE ? WEIR_OK
                                : error_set(error, WEIR_NOT_FOUND, 0,
                                            "state '%s' of node '%s' has no such key", state, node);
}
