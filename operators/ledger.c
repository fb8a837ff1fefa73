/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger.h"
#include "line_feed.h"

#include <string.h>

static size_t entry_count(const struct ledger *ledger)
{
    return (ledger->opening.size - sizeof(struct ledger_head)) / sizeof(struct ledger_entry);
}

static struct ledger_entry *entry_at(const struct ledger *ledger, uint32_t index)
{
    unsigned char *entries = ledger->opening.data + sizeof(struct ledger_head);
    return (struct ledger_entry *)(void *)entries + index;
}

bool ledger_init(struct ledger *ledger, const struct weir_allocator *allocator)
{
    const struct ledger_head head = {.kind = LINE_FEED_OPENING};
    ledger->opening.size = 0;
    return block_append(&ledger->opening, allocator, &head, sizeof head);
}

void ledger_free(struct ledger *ledger, const struct weir_allocator *allocator)
{
    block_free(&ledger->opening, allocator);
    block_free(&ledger->head, allocator);
}

bool ledger_id_is_sound(const char *id, size_t size)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789._-";
    if (size == 0 || size > LEDGER_ID_LIMIT)
        return false;
    for (size_t i = 0; i < size; i++)
        if (!memchr(letters, id[i], sizeof letters - 1))
            return false;
    return true;
}

static bool is_entry(const struct ledger_entry *entry, const char *id, size_t size)
{
    return memcmp(entry->id, id, size) == 0 && entry->id[size] == '\0';
}

uint32_t ledger_entry(struct ledger *ledger, const struct weir_allocator *allocator, const char *id,
                      size_t size)
{
    struct ledger_entry new = {.count = 0};
    uint32_t count = (uint32_t)entry_count(ledger);
    for (uint32_t i = 0; i < count; i++)
        if (is_entry(entry_at(ledger, i), id, size))
            return i;
    memcpy(new.id, id, size);
    if (count == LEDGER_LIMIT || !block_append(&ledger->opening, allocator, &new, sizeof new))
        return LEDGER_NONE;
    return count;
}

uint64_t ledger_count(const struct ledger *ledger, uint32_t entry)
{
    return entry_at(ledger, entry)->count;
}

void ledger_add(struct ledger *ledger, uint32_t entry, uint32_t lines)
{
    if (entry != LEDGER_NONE)
        entry_at(ledger, entry)->count += lines;
}

struct weir_bytes ledger_opening(const struct ledger *ledger)
{
    return (struct weir_bytes){ledger->opening.data, ledger->opening.size};
}

struct weir_bytes ledger_chunk(struct ledger *ledger, const struct weir_allocator *allocator,
                               uint8_t kind, uint32_t entry, uint32_t lines)
{
    const struct ledger_head head = {.kind = kind, .lines = lines};
    const char *id = entry == LEDGER_NONE ? "" : entry_at(ledger, entry)->id;
    ledger->head.size = 0;
    if (!block_append(&ledger->head, allocator, &head, sizeof head) ||
        !block_append(&ledger->head, allocator, id, strlen(id)))
        return (struct weir_bytes){0};
    return (struct weir_bytes){ledger->head.data, ledger->head.size};
}

/* Entries as they were written; each id is checked. */
static bool replay_opening(struct ledger *ledger, const struct weir_allocator *allocator,
                           struct weir_bytes head)
{
    const char *from = (const char *)head.data + sizeof(struct ledger_head);
    size_t size = head.size - sizeof(struct ledger_head);
    struct ledger_entry entry;
    if (size % sizeof entry != 0 || size / sizeof entry > LEDGER_LIMIT ||
        !ledger_init(ledger, allocator))
        return false;
    for (; size > 0; size -= sizeof entry, from += sizeof entry) {
        memcpy(&entry, from, sizeof entry);
        entry.id[LEDGER_ID_LIMIT] = '\0';
        if (!ledger_id_is_sound(entry.id, strlen(entry.id)) ||
            !block_append(&ledger->opening, allocator, &entry, sizeof entry))
            return false;
    }
    return true;
}

bool ledger_replay(struct ledger *ledger, const struct weir_allocator *allocator,
                   struct weir_bytes bytes)
{
    struct ledger_head head;
    if (bytes.size < sizeof head)
        return false;
    memcpy(&head, bytes.data, sizeof head);
    if (head.kind == LINE_FEED_OPENING)
        return replay_opening(ledger, allocator, bytes);
    const char *id = (const char *)bytes.data + sizeof head;
    size_t size = bytes.size - sizeof head;
    if (size == 0)
        return true;
    if (!ledger_id_is_sound(id, size))
        return false;
    uint32_t entry = ledger_entry(ledger, allocator, id, size);
    ledger_add(ledger, entry, head.lines);
    return entry != LEDGER_NONE;
}
