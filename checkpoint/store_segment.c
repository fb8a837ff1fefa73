/* SPDX-License-Identifier: Apache-2.0
 *
 * store_segment: segments of state, written and found again: the blobs of one, and the list of them
 * when there are more (list.h). What has a list begins a container and ends one, so that its
 * containers are its own, and numbered one after the other: nobody else takes a number meanwhile
 * (I4 of store.h).
 */
#include "store_inside.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "error.h"
#include "list.h"
#include "memory.h"
#include "segment_blobs.h"

/* -------------------------------------------------------------------------------- writing -- */

struct writing {
    struct store *store;
    uint64_t id;
    uint32_t task;
    struct segment_blobs blobs;
    struct manifest_blob *places;
    size_t count, room;
};

static bool make_room(const struct store *store, struct blob_buffer *buffer, size_t size)
{
    if (size <= buffer->capacity && buffer->data != NULL)
        return true;
    blob_buffer_free(buffer, store->allocator);
    buffer->data = memory_take(store->allocator, size);
    buffer->capacity = buffer->data == NULL ? 0 : size;
    return buffer->data != NULL;
}

static enum weir_result write_blob(struct writing *writing, struct weir_error *error)
{
    struct store *store = writing->store;
    struct segment_blobs *blobs = &writing->blobs;
    void *places = writing->places;
    bool room = store_grow(store, &places, writing->count, &writing->room, sizeof *writing->places);
    writing->places = places;
    if (!room || !make_room(store, &store->raw, blobs->size))
        return error_memory(error, "a piece of state", blobs->size);
    segment_blobs_fill(blobs, store->raw.data);
    struct manifest_blob *place = &writing->places[writing->count++];
    const struct weir_bytes raw = {store->raw.data, blobs->size};
    enum weir_result result =
        store_part(store, writing->id, BLOB_STATE, writing->task, raw, place, error);
    place->first = blobs->first;
    place->last = blobs->last;
    return result;
}

static struct manifest_segment sum_up(const struct writing *writing, uint32_t state)
{
    const struct manifest_blob *blobs = writing->places;
    struct manifest_segment segment = {.state = state,
                                       .blob_count = (uint32_t)writing->count,
                                       .from_number = blobs[0].file_number};
    for (size_t i = 0; i < writing->count; i++) {
        segment.raw_size += blobs[i].blob.raw_size;
        segment.stored_size += blobs[i].blob.stored_size;
    }
    return segment;
}

static enum weir_result write_list(struct writing *writing, struct manifest_segment *segment,
                                   struct weir_error *error)
{
    struct store *store = writing->store;
    size_t size = writing->count * LIST_ENTRY_SIZE;
    if (!make_room(store, &store->raw, size))
        return error_memory(error, "the list of a segment's blobs", size);
    list_write(segment, writing->places, store->raw.data);
    const struct weir_bytes raw = {store->raw.data, size};
    enum weir_result result =
        store_part(store, writing->id, BLOB_LIST, writing->task, raw, &segment->place, error);
    segment->place.first = writing->places[0].first;
    segment->place.last = writing->places[writing->count - 1].last;
    return result;
}

static enum weir_result write_blobs(struct writing *writing, uint32_t state,
                                    struct manifest_segment *segment, struct weir_error *error)
{
    struct store *store = writing->store;
    bool several = writing->blobs.bytes > SEGMENT_BLOB_SIZE;
    enum weir_result result = several ? store_end_container(store, writing->id, error) : WEIR_OK;
    while (result == WEIR_OK && segment_blobs_next(&writing->blobs))
        result = write_blob(writing, error);
    if (result != WEIR_OK)
        return result;
    assert(writing->count > 0);
    if (writing->count == 1) {
        *segment = manifest_single(state, &writing->places[0]);
    } else {
        *segment = sum_up(writing, state);
        result = write_list(writing, segment, error);
    }
    return result == WEIR_OK && several ? store_end_container(store, writing->id, error) : result;
}

enum weir_result store_segment(struct store *store, uint64_t id, uint32_t task, uint32_t state,
                               const struct segment *segment, struct manifest_segment *place,
                               struct weir_error *error)
{
    struct writing writing = {.store = store, .id = id, .task = task};
    *place = (struct manifest_segment){0};
    if (!segment_blobs_begin(&writing.blobs, segment))
        return error_memory(error, "the order of a segment", 0);
    enum weir_result result = write_blobs(&writing, state, place, error);
    segment_blobs_end(&writing.blobs);
    memory_release(store->allocator, writing.places);
    return result;
}

/* -------------------------------------------------------------------------------- copying -- */

/* Containers of a copy roll where those of the original did, so the list fits as it is. */
static enum weir_result copy_listed(const struct store_copy *copy,
                                    const struct manifest_segment *segment,
                                    const struct manifest_blob *blobs, struct manifest_segment *to,
                                    struct weir_error *error)
{
    enum weir_result result = store_end_container(copy->to, copy->manifest->id, error);
    for (uint32_t i = 0; i < segment->blob_count && result == WEIR_OK; i++) {
        struct manifest_blob place = blobs[i];
        result = store_copy_blob(copy, &place, error);
        if (i == 0)
            to->from_number = place.file_number;
        if (result == WEIR_OK &&
            (place.offset != blobs[i].offset ||
             place.file_number - to->from_number != blobs[i].file_number - segment->from_number))
            result = error_set(error, WEIR_FAILED, 0,
                               "a segment of state does not lie in the copy as it did");
    }
    if (result == WEIR_OK)
        result = store_copy_blob(copy, &to->place, error);
    return result == WEIR_OK ? store_end_container(copy->to, copy->manifest->id, error) : result;
}

enum weir_result store_copy_segment(const struct store_copy *copy, uint32_t index,
                                    struct manifest_segment *to, struct weir_error *error)
{
    const struct manifest_segment segment = *to;
    struct manifest_blob *blobs = NULL;
    if (segment.place.blob.kind == BLOB_STATE) {
        enum weir_result result = store_copy_blob(copy, &to->place, error);
        to->from_number = to->place.file_number;
        return result;
    }
    enum weir_result result =
        store_list_blobs(copy->from, copy->manifest, copy->task, index, &blobs, error);
    if (result == WEIR_OK)
        result = copy_listed(copy, &segment, blobs, to, error);
    memory_release(copy->from->allocator, blobs);
    return result;
}

/* -------------------------------------------------------------------------------- reading -- */

enum weir_result store_list_blobs(struct store *store, const struct manifest *manifest,
                                  uint32_t task, uint32_t index, struct manifest_blob **blobs,
                                  struct weir_error *error)
{
    struct blob_buffer raw = {0};
    enum weir_result result = store_check_state(manifest, task, index, error);
    if (result != WEIR_OK)
        return result;
    const struct manifest_segment *segment = &manifest->tasks[task].state[index];
    struct manifest_blob *list = memory_take(store->allocator, segment->blob_count * sizeof *list);
    if (list == NULL)
        return error_memory(error, "the list of a segment's blobs",
                            segment->blob_count * sizeof *list);
    if (segment->place.blob.kind != BLOB_LIST) {
        list[0] = segment->place;
    } else {
        result = store_read_state(store, manifest, task, index, &raw, error);
        if (result == WEIR_OK &&
            list_read(segment, (struct weir_bytes){raw.data, raw.size}, list, error) != WEIR_OK)
            result = store_within_blob(store, manifest, task, &segment->place, error);
    }
    blob_buffer_free(&raw, store->allocator);
    if (result != WEIR_OK)
        memory_release(store->allocator, list);
    else
        *blobs = list;
    return result;
}
