/* SPDX-License-Identifier: Apache-2.0 */
#include "outlet.h"

#include <assert.h>

#include "memory.h"
#include "plant.h"
#include "state.h"

#define POOL_KEEP 16

bool outlet_init(struct outlet *outlet, const struct outlet_options *options, uint32_t edges,
                 uint32_t lanes, uint32_t channels)
{
    const struct weir_allocator *allocator = options->allocator;
    *outlet = (struct outlet){.options = *options};
    outlet->edges = memory_zeroed(allocator, edges + 1, sizeof *outlet->edges);
    outlet->lanes = memory_zeroed(allocator, lanes + 1, sizeof *outlet->lanes);
    outlet->channels = memory_zeroed(allocator, channels + 1, sizeof *outlet->channels);
    outlet->pool = batch_pool_new(allocator, options->batch_bytes,
                                  channels * options->window_batches + POOL_KEEP);
    return outlet->edges && outlet->lanes && outlet->channels && outlet->pool;
}

void outlet_free(struct outlet *outlet)
{
    const struct weir_allocator *allocator = outlet->options.allocator;
    for (uint32_t l = 0; outlet->lanes && l < outlet->lane_count; l++)
        batch_release(outlet->lanes[l].open);
    for (uint32_t c = 0; outlet->channels && c < outlet->channel_count; c++) {
        struct outlet_channel *channel = &outlet->channels[c];
        for (uint32_t i = 0; i < channel->count; i++)
            batch_release(channel->queue[(channel->head + i) % channel->room].batch);
        memory_release(allocator, channel->queue);
    }
    memory_release(allocator, outlet->edges);
    memory_release(allocator, outlet->lanes);
    memory_release(allocator, outlet->channels);
    outlet->edges = NULL;
    outlet->lanes = NULL;
    outlet->channels = NULL;
}

void outlet_add_edge(struct outlet *outlet, enum weir_routing routing, uint32_t first_channel,
                     uint32_t channels)
{
    bool shared = routing == WEIR_BROADCAST;
    struct outlet_edge *edge = &outlet->edges[outlet->edge_count++];
    *edge = (struct outlet_edge){
        .routing = routing, .first_lane = outlet->lane_count, .lane_count = shared ? 1 : channels};
    for (uint32_t l = 0; l < edge->lane_count; l++)
        outlet->lanes[outlet->lane_count++] = (struct outlet_lane){
            .first_channel = outlet->channel_count + l, .channel_count = shared ? channels : 1};
    for (uint32_t c = 0; c < channels; c++)
        outlet->channels[outlet->channel_count++] =
            (struct outlet_channel){.channel = first_channel + c};
}

struct outlet_lane *outlet_route(struct outlet *outlet, struct outlet_edge *edge,
                                 struct weir_bytes key)
{
    uint32_t lane = 0;
    if (edge->routing == WEIR_BY_KEY) {
        uint32_t groups = outlet->options.key_groups;
        lane = state_owner(state_group(state_hash(key), groups), edge->lane_count, groups);
    } else if (edge->routing == WEIR_SPREAD) {
        lane = edge->next;
        edge->next = lane + 1 == edge->lane_count ? 0 : lane + 1;
    }
    assert(lane < edge->lane_count);
    return &outlet->lanes[edge->first_lane + lane];
}

/* -------------------------------------------------------------------- the queues -- */

static bool has_credit(const struct outlet *outlet, const struct outlet_channel *channel,
                       const struct outlet_item *item)
{
    if (item->kind != MESSAGE_BATCH || channel->flying == 0) /* O4 */
        return true;
    return channel->flying < outlet->options.window_batches &&
           channel->flying_bytes + item->batch->size <= outlet->options.window_bytes;
}

static bool send_item(struct outlet *outlet, struct outlet_channel *channel,
                      const struct outlet_item *item)
{
    if (!has_credit(outlet, channel, item))
        return false;
    /* O1, O2: stamped here and nowhere else. A marker carries its own id. */
    bool marker = item->kind == MESSAGE_MARKER;
    struct message message = {
        .kind = item->kind,
        .epoch = outlet->options.epoch,
        .channel = channel->channel,
        .sequence = channel->sequence + 1,
        .id = marker ? item->id : channel->id,
        .count = item->batch ? item->batch->count : 0,
        .payload = item->batch,
    };
    size_t size = item->batch ? item->batch->size : 0; /* the batch is the reader's once sent */
    if (!pipe_send(channel->pipe, &message)) {
        outlet->refused = true;
        return false;
    }
    channel->sequence++;
    if (marker) {
        assert(item->id > channel->id); /* P9: ids only grow on a channel */
        channel->id = item->id;
    } else if (item->kind == MESSAGE_BATCH) {
        channel->flying++;
        channel->flying_bytes += size;
    }
    return true;
}

static bool queue_room(struct outlet *outlet, struct outlet_channel *channel)
{
    if (channel->count < channel->room)
        return true;
    uint32_t room = channel->room ? channel->room * 2 : 16;
    struct outlet_item *larger = memory_take(outlet->options.allocator, room * sizeof *larger);
    if (!larger)
        return false;
    for (uint32_t i = 0; i < channel->count; i++)
        larger[i] = channel->queue[(channel->head + i) % channel->room];
    memory_release(outlet->options.allocator, channel->queue);
    channel->queue = larger;
    channel->head = 0;
    channel->room = room;
    return true;
}

static void place(struct outlet *outlet, struct outlet_channel *channel, struct outlet_item item)
{
    assert(!channel->ended); /* O3 */
    channel->ended = item.kind == MESSAGE_END;
    if (channel->count == 0 && send_item(outlet, channel, &item))
        return;
    if (!queue_room(outlet, channel)) {
        batch_release(item.batch);
        outlet->failed = true;
        return;
    }
    outlet->unsent++;
    outlet->waiting += channel->count == 0;
    outlet->controls += item.kind != MESSAGE_BATCH;
    channel->queue[(channel->head + channel->count++) % channel->room] = item;
}

static void push_channel(struct outlet *outlet, struct outlet_channel *channel)
{
    while (channel->count) {
        const struct outlet_item *item = &channel->queue[channel->head];
        bool control = item->kind != MESSAGE_BATCH;
        if (!send_item(outlet, channel, item))
            return;
        channel->head = (channel->head + 1) % channel->room;
        channel->count--;
        outlet->unsent--;
        outlet->controls -= control;
        outlet->waiting -= channel->count == 0;
    }
}

void outlet_push(struct outlet *outlet)
{
    outlet->refused = false;
    for (uint32_t c = 0; outlet->waiting && c < outlet->channel_count; c++)
        if (outlet->channels[c].count)
            push_channel(outlet, &outlet->channels[c]);
}

bool outlet_credit(struct outlet *outlet, uint32_t channel, uint64_t batches, uint64_t bytes)
{
    struct outlet_channel *to = &outlet->channels[channel];
    if (batches > to->flying || bytes > to->flying_bytes)
        return false;
    to->flying -= (uint32_t)batches;
    to->flying_bytes -= bytes;
    push_channel(outlet, to);
    return true;
}

/* --------------------------------------------------------------------- the lanes -- */

static void ship(struct outlet *outlet, struct outlet_lane *lane)
{
    struct batch *batch = lane->open;
    if (!batch)
        return;
    lane->open = NULL;
    lane->mark_end = 0;
    outlet->open_count--;
    if (lane->channel_count > 1)
        batch_share(batch, lane->channel_count - 1);
    for (uint32_t c = 0; c < lane->channel_count; c++)
        place(outlet, &outlet->channels[lane->first_channel + c],
              (struct outlet_item){.kind = MESSAGE_BATCH, .batch = batch});
}

unsigned char *outlet_room_slow(struct outlet *outlet, struct outlet_lane *lane, size_t size)
{
    ship(outlet, lane);
    /* A record larger than a batch is a batch of its own. */
    lane->open = batch_new(outlet->pool, size > outlet->options.batch_bytes ? size : 0);
    if (!lane->open) {
        outlet->failed = true;
        return NULL;
    }
    outlet->open_count++;
    lane->open->size = size;
    return lane->open->data;
}

unsigned char *outlet_reserve(struct outlet *outlet, struct outlet_edge *edge,
                              const struct weir_record *record, struct outlet_reserve *reserve)
{
    struct outlet_lane *lane = &outlet->lanes[edge->first_lane];
    if (edge->lane_count > 1)
        lane = outlet_route(outlet, edge, record->key);
    bool timed = record->time != WEIR_NO_TIME;
    size_t size = item_size(record->key.size, record->value.size, timed);
    unsigned char *to = outlet_room(outlet, lane, size);
    if (!to)
        return NULL;
    lane->open->size -= size; /* it is there once it is committed */
    *reserve = (struct outlet_reserve){.lane = lane,
                                       .batch = lane->open,
                                       .offset = lane->open->size,
                                       .key_size = record->key.size,
                                       .value_size = record->value.size,
                                       .timed = timed};
    to += sizeof(struct item_head);
    if (timed) {
        memcpy(to, &record->time, sizeof record->time);
        to += sizeof record->time;
    }
    return outlet_put(to, record->key);
}

bool outlet_commit(const struct outlet_reserve *reserve, size_t used)
{
    struct batch *batch = reserve->lane->open;
    if (!batch || batch != reserve->batch || batch->size != reserve->offset ||
        used > reserve->value_size)
        return false;
    struct item_head head = {(uint32_t)reserve->key_size,
                             (uint32_t)used | (reserve->timed ? ITEM_TIMED : 0)};
    size_t size = item_size(reserve->key_size, used, reserve->timed);
    unsigned char *item = batch->data + batch->size;
    memcpy(item, &head, sizeof head);
    memset(item + size - (item_round(used) - used), 0, item_round(used) - used);
    batch->size += size;
    batch->count++;
    return true;
}

void outlet_flush(struct outlet *outlet)
{
    for (uint32_t l = 0; outlet->open_count && l < outlet->lane_count; l++)
        ship(outlet, &outlet->lanes[l]);
}

static void put_mark(struct outlet *outlet, struct outlet_lane *lane, enum item_mark_kind mark,
                     int64_t time)
{
    if (outlet->channels[lane->first_channel].ended) /* O3 */
        return;
    struct item_mark item = {{ITEM_MARK, mark}, time};
    unsigned char *to;
    /* The newer one of two watermarks in a row says it all. An idle mark is never written over, nor
     * does it write over a watermark: the reader needs that time when this task wakes up. */
    if (mark == ITEM_WATERMARK && lane->mark_end && lane->mark_end == lane->open->size)
        to = lane->open->data + lane->mark_end - sizeof item;
    else
        to = outlet_room(outlet, lane, sizeof item);
    if (!to)
        return;
    memcpy(to, &item, sizeof item);
    lane->mark_end = mark == ITEM_WATERMARK ? lane->open->size : 0;
}

void outlet_watermark(struct outlet *outlet, int64_t time)
{
    for (uint32_t l = 0; l < outlet->lane_count; l++)
        put_mark(outlet, &outlet->lanes[l], ITEM_WATERMARK, time);
}

void outlet_idle(struct outlet *outlet)
{
    for (uint32_t l = 0; l < outlet->lane_count; l++)
        put_mark(outlet, &outlet->lanes[l], ITEM_IDLE, WEIR_NO_TIME);
}

/* ------------------------------------------------------------------- control items -- */

static void place_everywhere(struct outlet *outlet, enum message_kind kind, uint64_t id)
{
    if (!WEIR_PLANT(open_batch_left_out) || kind == MESSAGE_END)
        outlet_flush(outlet); /* P3: every open batch is closed first */
    for (uint32_t c = 0; c < outlet->channel_count; c++)
        if (!outlet->channels[c].ended) /* O3 */
            place(outlet, &outlet->channels[c], (struct outlet_item){.kind = kind, .id = id});
}

void outlet_marker(struct outlet *outlet, uint64_t id)
{
    place_everywhere(outlet, MESSAGE_MARKER, id);
}

void outlet_end(struct outlet *outlet)
{
    place_everywhere(outlet, MESSAGE_END, 0);
}

static void drop_marker(struct outlet *outlet, struct outlet_channel *channel, uint64_t id)
{
    uint32_t kept = 0, count = channel->count;
    for (uint32_t i = 0; i < count; i++) {
        struct outlet_item item = channel->queue[(channel->head + i) % channel->room];
        if (item.kind == MESSAGE_MARKER && item.id == id)
            outlet->controls--;
        else
            channel->queue[(channel->head + kept++) % channel->room] = item;
    }
    outlet->unsent -= count - kept;
    channel->count = kept;
    outlet->waiting -= count && !kept;
}

void outlet_abort(struct outlet *outlet, uint64_t id)
{
    for (uint32_t c = 0; outlet->controls && c < outlet->channel_count; c++)
        drop_marker(outlet, &outlet->channels[c], id);
}
