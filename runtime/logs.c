/* SPDX-License-Identifier: Apache-2.0 */
#include "logs.h"

#include <string.h>

#include "memory.h"
#include "segment_blobs.h"

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

struct segment *logs_copy(const struct segment *segment, const struct weir_allocator *allocator)
{
    struct segment_blobs blobs;
    struct segment *copy = segment_new(allocator);
    bool room = copy && segment_blobs_begin(&blobs, segment);
    if (!room) {
        segment_release(copy);
        return NULL;
    }
    while (room && segment_blobs_next(&blobs)) {
        unsigned char *data = memory_take(allocator, blobs.size);
        if (data)
            segment_blobs_fill(&blobs, data);
        room = data && segment_restore(copy, data, blobs.size, blobs.size, blobs.first, blobs.last);
    }
    segment_blobs_end(&blobs);
    if (room)
        return copy;
    segment_release(copy);
    return NULL;
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

void logs_let_go(struct batch *payload)
{
    state_cut_let_go((struct state_cut *)(void *)payload->data);
}
