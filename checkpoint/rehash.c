/* SPDX-License-Identifier: Apache-2.0 */
#include "rehash.h"

#include <assert.h>
#include <string.h>

#include "error.h"
#include "memory.h"
#include "state.h"

bool rehash_init(struct rehash *rehash, const struct weir_allocator *allocator, uint32_t readers,
                 uint32_t groups)
{
    *rehash = (struct rehash){.allocator = allocator, .readers = readers, .groups = groups};
    rehash->shares = memory_zeroed(allocator, readers, sizeof *rehash->shares);
    return rehash->shares;
}

void rehash_free(struct rehash *rehash)
{
    for (uint32_t i = 0; rehash->shares && i < rehash->readers; i++)
        memory_release(rehash->allocator, rehash->shares[i].items);
    memory_release(rehash->allocator, rehash->shares);
    *rehash = (struct rehash){0};
}

uint32_t rehash_reader(const struct rehash *rehash, struct weir_bytes key)
{
    return state_owner(state_group(state_hash(key), rehash->groups), rehash->readers,
                       rehash->groups);
}

static bool append(struct rehash *rehash, uint32_t reader, const void *item, size_t size)
{
    struct rehash_share *share = &rehash->shares[reader];
    if (share->room - share->size < size) {
        size_t room = 2 * share->room > share->size + size ? 2 * share->room : share->size + size;
        unsigned char *larger = memory_resize(rehash->allocator, share->items, share->room, room);
        if (!larger)
            return false;
        share->items = larger;
        share->room = room;
    }
    memcpy(share->items + share->size, item, size);
    share->size += size;
    return true;
}

static bool append_time(struct rehash *rehash, uint32_t reader, int64_t time)
{
    struct item_mark mark = {{ITEM_MARK, ITEM_WATERMARK}, time};
    return append(rehash, reader, &mark, sizeof mark);
}

static bool reads(const struct rehash *rehash, const struct rehash_channel *channel,
                  uint32_t reader)
{
    return rehash->shares[reader].size > 0 || (channel->places && channel->places[reader]);
}

static bool take_mark(struct rehash *rehash, struct rehash_channel *channel,
                      const struct item *item, const void *at, size_t size)
{
    bool room = true;
    if (item->mark == ITEM_WATERMARK && item->time > channel->watermark)
        channel->watermark = item->time;
    for (uint32_t r = 0; room && r < rehash->readers; r++)
        if (reads(rehash, channel, r))
            room = append(rehash, r, at, size);
    return room;
}

static bool take_record(struct rehash *rehash, struct rehash_channel *channel, uint32_t reader,
                        const void *at, size_t size)
{
    bool first = !reads(rehash, channel, reader) && channel->watermark != ITEM_NO_TIME;
    if (first && !append_time(rehash, reader, channel->watermark))
        return false;
    rehash->shares[reader].records++;
    return append(rehash, reader, at, size);
}

enum weir_result rehash_batch(struct rehash *rehash, struct rehash_channel *channel, bool whole,
                              struct weir_bytes items, struct weir_error *error)
{
    const unsigned char *at = items.data;
    assert(rehash->readers > 0);
    for (uint32_t r = 0; r < rehash->readers; r++)
        rehash->shares[r].size = rehash->shares[r].records = 0;
    while (items.size) {
        struct item item;
        size_t size = item_next(at, items.size, &item);
        if (!size)
            return error_set(error, WEIR_DAMAGED, 0, "what was in flight is not well-formed");
        uint32_t reader =
            whole ? channel->number % rehash->readers : rehash_reader(rehash, item.key);
        bool room = item.mark ? take_mark(rehash, channel, &item, at, size)
                              : take_record(rehash, channel, reader, at, size);
        if (!room)
            return error_memory(error, "what was in flight", size);
        at += size;
        items.size -= size;
    }
    return WEIR_OK;
}

/* -------------------------------------------------------------------------------- names -- */

static uint64_t hash_of(uint32_t edge, uint32_t restores, uint32_t from, uint32_t to)
{
    uint32_t name[] = {edge, restores, from, to};
    return state_hash((struct weir_bytes){name, sizeof name});
}

static uint32_t *slot_of(const struct rehash_table *table, uint32_t edge, uint32_t restores,
                         uint32_t from, uint32_t to)
{
    uint32_t mask = table->slot_count - 1;
    for (uint32_t at = (uint32_t)hash_of(edge, restores, from, to) & mask;; at = (at + 1) & mask) {
        uint32_t index = table->slots[at];
        const struct rehash_channel *channel = &table->channels[index ? index - 1 : 0];
        if (!index || (channel->edge == edge && channel->restores == restores &&
                       channel->from == from && channel->to == to))
            return &table->slots[at];
    }
}

static bool make_room(struct rehash_table *table)
{
    if (table->count < table->room)
        return true;
    uint32_t room = table->room ? 2 * table->room : 64;
    uint32_t *slots = memory_zeroed(table->allocator, 2 * (size_t)room, sizeof *slots);
    struct rehash_channel *channels =
        slots ? memory_resize(table->allocator, table->channels, table->room * sizeof *channels,
                              room * sizeof *channels)
              : NULL;
    if (!channels) {
        memory_release(table->allocator, slots);
        return false;
    }
    table->channels = channels;
    memory_release(table->allocator, table->slots);
    table->slots = slots;
    table->slot_count = 2 * room;
    table->room = room;
    for (uint32_t i = 0; i < table->count; i++)
        *slot_of(table, channels[i].edge, channels[i].restores, channels[i].from, channels[i].to) =
            i + 1;
    return true;
}

struct rehash_channel *rehash_find(struct rehash_table *table, uint32_t edge, uint32_t restores,
                                   uint32_t from, uint32_t to)
{
    if (!make_room(table))
        return NULL;
    uint32_t *slot = slot_of(table, edge, restores, from, to);
    if (!*slot) {
        table->channels[table->count] = (struct rehash_channel){.edge = edge,
                                                                .restores = restores,
                                                                .from = from,
                                                                .to = to,
                                                                .number = table->count,
                                                                .watermark = ITEM_NO_TIME};
        *slot = ++table->count;
    }
    return &table->channels[*slot - 1];
}

void rehash_forget(struct rehash_table *table)
{
    for (uint32_t i = 0; i < table->count; i++)
        memory_release(table->allocator, table->channels[i].places);
    memory_release(table->allocator, table->channels);
    memory_release(table->allocator, table->slots);
    *table = (struct rehash_table){.allocator = table->allocator};
}
