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
            (struct outlet_channel){.channel = first_channel + c, .aligned_only = shared};
}

void outlet_mark_edge(struct outlet *outlet, bool feedback, bool inside)
{
    const struct outlet_edge *edge = &outlet->edges[outlet->edge_count - 1];
    for (uint32_t l = 0; l < edge->lane_count; l++) {
        outlet->lanes[edge->first_lane + l].timeless = feedback;
        outlet->lanes[edge->first_lane + l].inside = inside;
    }
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
    if (item->kind == MESSAGE_MARKER && WEIR_PLANT(marker_waits_for_credit))
        return channel->flying < outlet->options.window_batches;
    if (item->kind != MESSAGE_BATCH || channel->flying == 0) /* O4 */
        return true;
    return channel->flying < outlet->options.window_batches &&
           channel->flying_bytes + item->batch->size <= outlet->options.window_bytes;
}

static void settle_debt(struct outlet *outlet, struct outlet_channel *channel)
{
    outlet->owing -= channel->owes;
    channel->owes = false;
}

/* It is on the wire. */
static void note_sent(struct outlet *outlet, struct outlet_channel *channel,
                      const struct outlet_item *item, size_t size)
{
    channel->sequence++;
    if (item->kind == MESSAGE_BATCH) {
        channel->sent_batches++;
        channel->sent_bytes += size;
        channel->flying++;
        channel->flying_bytes += size;
        return;
    }
    if (item->kind == MESSAGE_MARKER) {
        assert(item->id > channel->id); /* P9: ids only grow on a channel */
        channel->id = item->id;
    } else {
        channel->end_sent = true;
    }
    settle_debt(outlet, channel); /* O5 */
}

static bool send_item(struct outlet *outlet, struct outlet_channel *channel,
                      const struct outlet_item *item)
{
    if (!has_credit(outlet, channel, item))
        return false;
    /* O1, O2: stamped here and nowhere else. A marker carries its own id. */
    struct message message = {
        .kind = item->kind,
        .epoch = outlet->options.epoch,
        .channel = channel->channel,
        .sequence = channel->sequence + 1,
        .id = item->kind == MESSAGE_MARKER ? item->id : channel->id,
        .count = item->batch ? item->batch->count : 0,
        .payload = item->batch,
    };
    size_t size = item->batch ? item->batch->size : 0; /* the batch is the reader's once sent */
    if (!pipe_send(channel->pipe, &message)) {
        outlet->refused = true;
        return false;
    }
    note_sent(outlet, channel, item, size);
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

static struct outlet_item *item_at(const struct outlet_channel *channel, uint32_t index)
{
    return &channel->queue[(channel->head + index) % channel->room];
}

/* What the counters over all queues know of it: it is there, or not any more. */
static void count_item(struct outlet *outlet, const struct outlet_item *item, uint64_t weight,
                       bool there)
{
    bool batch = item->kind == MESSAGE_BATCH;
    uint32_t one = there ? 1 : UINT32_MAX; /* minus one */
    outlet->unsent += one;
    outlet->controls += batch ? 0 : one;
    outlet->held += there ? weight : -weight;
}

static uint64_t weight_of(const struct outlet_item *item)
{
    return item->batch ? content_weight(item->batch) : 0;
}

/* At the front or at the tail of the channel's queue; false: no memory, the item is gone. */
static bool enqueue(struct outlet *outlet, struct outlet_channel *channel, struct outlet_item item,
                    bool front)
{
    if (!queue_room(outlet, channel)) {
        batch_release(item.batch);
        outlet->failed = true;
        return false;
    }
    outlet->waiting += channel->count == 0;
    count_item(outlet, &item, weight_of(&item), true);
    if (front)
        channel->head = (channel->head + channel->room - 1) % channel->room;
    channel->count++;
    *item_at(channel, front ? 0 : channel->count - 1) = item;
    return true;
}

static void place(struct outlet *outlet, struct outlet_channel *channel, struct outlet_item item)
{
    assert(!channel->ended); /* O3 */
    channel->ended = item.kind == MESSAGE_END;
    if (channel->count == 0 && send_item(outlet, channel, &item))
        return;
    (void)!enqueue(outlet, channel, item, false);
}

static void push_channel(struct outlet *outlet, struct outlet_channel *channel)
{
    while (channel->count) {
        const struct outlet_item *item = item_at(channel, 0);
        uint64_t weight = weight_of(item);
        if (!send_item(outlet, channel, item))
            return;
        count_item(outlet, item, weight, false);
        channel->head = (channel->head + 1) % channel->room;
        channel->count--;
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
    if (batches > to->sent_batches || bytes > to->sent_bytes)
        return false;
    uint64_t flying = to->sent_batches - batches;
    if (flying > to->flying) /* an older one that came late */
        return true;
    to->flying = (uint32_t)flying;
    to->flying_bytes = to->sent_bytes - bytes;
    push_channel(outlet, to);
    return true;
}

void outlet_promise(struct outlet *outlet)
{
    for (uint32_t c = 0; c < outlet->channel_count; c++) {
        const struct outlet_channel *channel = &outlet->channels[c];
        struct message message = {.kind = MESSAGE_PROMISE,
                                  .epoch = outlet->options.epoch,
                                  .channel = channel->channel,
                                  .sequence = channel->sequence};
        if (channel->sequence)
            (void)!pipe_send(channel->pipe, &message); /* the next one says it again */
    }
}

bool outlet_restore(struct outlet *outlet, uint32_t channel, struct batch *batch)
{
    struct outlet_item item = {.kind = MESSAGE_BATCH, .batch = batch};
    return enqueue(outlet, &outlet->channels[channel], item, false);
}

void outlet_charge(struct outlet *outlet, uint32_t channel, uint64_t batches, uint64_t bytes)
{
    struct outlet_channel *to = &outlet->channels[channel];
    assert(to->sequence == 0);
    to->sent_batches += batches;
    to->sent_bytes += bytes;
    to->flying += (uint32_t)batches;
    to->flying_bytes += bytes;
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
    if (lane->timeless || outlet->channels[lane->first_channel].ended) /* O3 */
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

void outlet_end_of_time(struct outlet *outlet)
{
    for (uint32_t l = 0; l < outlet->lane_count; l++)
        if (outlet->lanes[l].inside)
            put_mark(outlet, &outlet->lanes[l], ITEM_WATERMARK, WEIR_END_OF_TIME);
}

/* ------------------------------------------------------------------- control items -- */

/* What the marker passes belongs to the cut (P3). */
static void record(const struct outlet_channel *channel, uint32_t count, struct content *content)
{
    for (uint32_t i = 0; i < count && !WEIR_PLANT(outlet_content_forgotten); i++) {
        const struct outlet_item *item = item_at(channel, i);
        assert(item->kind != MESSAGE_MARKER); /* O5 */
        if (item->kind == MESSAGE_BATCH)
            content_add(content, channel->channel, true, item->batch, 0);
    }
}

/* It needs no credit, so it need not wait. */
static void send_ahead(struct outlet *outlet, struct outlet_channel *channel)
{
    struct outlet_item marker = {.kind = MESSAGE_MARKER, .id = outlet->marker};
    if (!send_item(outlet, channel, &marker))
        (void)!enqueue(outlet, channel, marker, true);
}

static void mark_channel(struct outlet *outlet, struct outlet_channel *channel,
                         struct content *content)
{
    if (channel->end_sent) /* O3: END stands for it */
        return;
    channel->owes = true;
    outlet->owing++;
    if (content && !channel->aligned_only) {
        record(channel, channel->count, content);
        send_ahead(outlet, channel);
    } else if (!channel->ended) {
        place(outlet, channel, (struct outlet_item){.kind = MESSAGE_MARKER, .id = outlet->marker});
    }
}

void outlet_marker(struct outlet *outlet, uint64_t id, struct content *content)
{
    outlet_abort(outlet); /* O5 */
    outlet->marker = id;
    if (!WEIR_PLANT(open_batch_left_out))
        outlet_flush(outlet); /* P3: every open batch is closed first */
    for (uint32_t c = 0; c < outlet->channel_count; c++)
        mark_channel(outlet, &outlet->channels[c], content);
}

/* Takes out what stands at `index`. */
static void take_out(struct outlet *outlet, struct outlet_channel *channel, uint32_t index)
{
    count_item(outlet, item_at(channel, index), 0, false);
    for (uint32_t i = index; i + 1 < channel->count; i++)
        *item_at(channel, i) = *item_at(channel, i + 1);
    channel->count--;
    outlet->waiting -= channel->count == 0;
}

/* Where the queued marker stands; channel->count: there is none. */
static uint32_t find_marker(const struct outlet_channel *channel)
{
    uint32_t at = 0;
    while (at < channel->count && item_at(channel, at)->kind != MESSAGE_MARKER)
        at++;
    return at;
}

/* Without a marker it is END that waits in its place: then all before END is passed. */
void outlet_overtake(struct outlet *outlet, struct content *content)
{
    for (uint32_t c = 0; outlet->owing && c < outlet->channel_count; c++) {
        struct outlet_channel *channel = &outlet->channels[c];
        if (!channel->owes || channel->aligned_only)
            continue;
        uint32_t at = find_marker(channel);
        record(channel, at, content);
        if (at < channel->count)
            take_out(outlet, channel, at);
        send_ahead(outlet, channel);
    }
}

void outlet_end(struct outlet *outlet)
{
    outlet_flush(outlet);
    for (uint32_t c = 0; c < outlet->channel_count; c++)
        if (!outlet->channels[c].ended) /* O3 */
            place(outlet, &outlet->channels[c], (struct outlet_item){.kind = MESSAGE_END});
}

void outlet_abort(struct outlet *outlet)
{
    for (uint32_t c = 0; outlet->owing && c < outlet->channel_count; c++) {
        struct outlet_channel *channel = &outlet->channels[c];
        uint32_t at = find_marker(channel);
        if (at < channel->count)
            take_out(outlet, channel, at);
        settle_debt(outlet, channel);
    }
}
