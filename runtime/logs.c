/* SPDX-License-Identifier: Apache-2.0 */
#include "logs.h"

#include <string.h>

#include "memory.h"

bool logs_init(struct logs *logs, const struct weir_allocator *allocator, uint32_t states)
{
    *logs = (struct logs){.allocator = allocator};
    logs->lists = memory_zeroed(allocator, states + 1, sizeof *logs->lists);
    logs->count = logs->lists ? states : 0;
    return logs->lists;
}

bool logs_add(struct logs *logs, uint32_t state, struct segment *segment)
{
    struct log_list *list = &logs->lists[state];
    if (list->count == list->room) {
        uint32_t room = list->room ? 2 * list->room : 8;
        struct segment **larger =
            memory_resize(logs->allocator, list->segments, list->room * sizeof(struct segment *),
                          room * sizeof(struct segment *));
        if (!larger) {
            segment_release(segment);
            return false;
        }
        list->segments = larger;
        list->room = room;
    }
    list->segments[list->count++] = segment;
    return true;
}

void logs_free(struct logs *logs)
{
    for (uint32_t i = 0; i < logs->count; i++) {
        for (uint32_t k = 0; k < logs->lists[i].count; k++)
            segment_release(logs->lists[i].segments[k]);
        memory_release(logs->allocator, logs->lists[i].segments);
    }
    memory_release(logs->allocator, logs->lists);
    *logs = (struct logs){0};
}

/* State larger than memory is moved out as it comes. */
static bool restore_moving(struct segment *segment, unsigned char *data, size_t size)
{
    bool added = segment_add_copy(segment, data, size);
    memory_release(segment->allocator, data);
    uint64_t excess = added ? annex_excess(segment->annex, 0) : 0;
    if (excess > 0)
        segment_move(segment, excess);
    return added;
}

bool logs_restore(struct segment *segment, unsigned char *data, size_t size, size_t capacity)
{
    if (segment->annex)
        return restore_moving(segment, data, size);
    if (!segment_adopt(segment, data, capacity))
        return false;
    segment->blocks[segment->count - 1].used = size;
    return true;
}

struct segment *logs_copy(const struct segment *segment, const struct weir_allocator *allocator)
{
    struct segment_cursor cursor = {0, 0};
    struct segment *copy = segment_new(allocator);
    while (copy && !segment_at_end(segment, cursor)) {
        size_t size = segment_blob_size(segment, cursor);
        unsigned char *data = memory_take(allocator, size);
        if (data)
            segment_blob(segment, &cursor, data);
        if (data && logs_restore(copy, data, size, size))
            continue;
        segment_release(copy);
        return NULL;
    }
    return copy;
}

static void end_payload(struct batch *payload)
{
    struct state_cut cut = *logs_of_payload(payload);
    state_cut_free(&cut);
}

struct batch *logs_payload(const struct state_cut *cut, const struct weir_allocator *allocator)
{
    struct batch *payload = batch_alone(allocator, sizeof *cut);
    if (!payload)
        return NULL;
    memcpy(payload->data, cut, sizeof *cut);
    payload->size = sizeof *cut;
    payload->at_end = end_payload;
    return payload;
}

const struct state_cut *logs_of_payload(const struct batch *payload)
{
    return (const struct state_cut *)(const void *)payload->data;
}
