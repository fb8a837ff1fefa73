/* SPDX-License-Identifier: Apache-2.0 */
#include "content.h"

#include <assert.h>

#include "memory.h"
#include "plant.h"

void content_begin(struct content *content, uint64_t id)
{
    assert(content->count == 0);
    content->id = id;
    content->channel_bytes = content->outlet_bytes = content->loop_bytes = 0;
    content->failed = false;
}

/* ------------------------------------------------------------------------- the list -- */

static struct content_item *next_item(struct content *content)
{
    if (content->count == content->room) {
        uint32_t room = content->room ? 2 * content->room : 16;
        struct content_item *larger =
            memory_resize(content->allocator, content->items, content->count * sizeof *larger,
                          room * sizeof *larger);
        if (!larger) {
            content->failed = true;
            return NULL;
        }
        content->items = larger;
        content->room = room;
    }
    return &content->items[content->count++];
}

static void count_bytes(struct content *content, uint32_t channel, bool outlet, uint64_t bytes)
{
    *(outlet ? &content->outlet_bytes : &content->channel_bytes) += bytes;
    if (content->plan->channels[channel].loop)
        content->loop_bytes += bytes;
}

void content_add(struct content *content, uint32_t channel, bool outlet, struct batch *batch,
                 size_t offset)
{
    assert(content->id != 0 && offset <= batch->size);
    if (WEIR_PLANT(half_read_batch_whole))
        offset = 0;
    if (offset == batch->size || (WEIR_PLANT(recorded_batch_lost) && content->count == 1))
        return;
    count_bytes(content, channel, outlet, batch->size - offset);
    struct content_item *item = content->durable ? next_item(content) : NULL;
    if (!item)
        return;
    *item = (struct content_item){.batch = batch_share(batch, 1),
                                  .weight = content_weight(batch),
                                  .offset = offset,
                                  .channel = channel,
                                  .outlet = outlet};
    content->held += item->weight;
    atomic_fetch_add_explicit(content->recorded, item->weight, memory_order_relaxed);
}

void content_add_slice(struct content *content, uint32_t channel, const struct spill_slice *slice)
{
    assert(content->id != 0);
    count_bytes(content, channel, false, slice->size);
    struct content_item *item = content->durable ? next_item(content) : NULL;
    if (item)
        *item = (struct content_item){.slice = spill_share(slice), .channel = channel};
}

/* ---------------------------------------------------------------------- giving back -- */

void content_handed_on(struct content *content, struct content_item *item)
{
    content->held -= item->weight; /* the batch may be gone already */
    item->batch = NULL;
    spill_release(&item->slice);
    content->sent++;
}

void content_drop(struct content *content)
{
    for (uint32_t i = content->sent; i < content->count; i++) {
        struct content_item *item = &content->items[i];
        if (item->batch)
            content_returned(content->recorded, item->weight);
        if (!WEIR_PLANT(abort_leaks))
            batch_release(item->batch);
        spill_release(&item->slice);
    }
    content->count = content->sent = 0;
    content->held = 0;
    content->id = 0;
}

void content_free(struct content *content)
{
    if (content->recorded)
        content_drop(content);
    memory_release(content->allocator, content->items);
    content->items = NULL;
    content->room = 0;
}
