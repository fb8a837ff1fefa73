/* SPDX-License-Identifier: Apache-2.0 */
#include "passed.h"

#include <string.h>

#include "memory.h"
#include "state.h"

/* The order of a scan within one tag. */
static int compare_keys(struct weir_bytes left, struct weir_bytes right)
{
    size_t least = left.size < right.size ? left.size : right.size;
    int order = least > 0 ? memcmp(left.data, right.data, least) : 0;
    return order != 0 ? order : (left.size > right.size) - (left.size < right.size);
}

bool passed_mark_holds(const struct passed_mark *mark, uint64_t hash, struct weir_bytes key)
{
    uint32_t group = state_group(hash, mark->groups), tag = (uint32_t)hash;
    if (group < mark->first || group >= mark->end)
        return false;
    if (tag != mark->tag)
        return tag < mark->tag;
    return mark->within && compare_keys(key, mark->key) <= 0;
}

bool passed_holds(const struct passed *passed, uint64_t hash, struct weir_bytes key)
{
    for (uint32_t i = 0; i < passed->count; i++)
        if (passed_mark_holds(&passed->marks[i], hash, key))
            return true;
    return false;
}

static bool mark_holds_whole(const struct passed_mark *mark, uint64_t hash, struct weir_bytes key)
{
    uint32_t group = state_group(hash, mark->groups);
    if (group < mark->first || group >= mark->end)
        return false;
    if (mark->tag > UINT32_MAX || !mark->within)
        return mark->tag > UINT32_MAX;
    uint64_t stood = state_hash(mark->key);
    return hash != stood ? hash < stood : compare_keys(key, mark->key) <= 0;
}

bool passed_holds_whole(const struct passed *passed, uint64_t hash, struct weir_bytes key)
{
    for (uint32_t i = 0; i < passed->count; i++)
        if (mark_holds_whole(&passed->marks[i], hash, key))
            return true;
    return false;
}

void passed_clear(struct passed *passed, const struct weir_allocator *allocator)
{
    for (uint32_t i = 0; i < passed->count; i++)
        memory_release(allocator, (void *)(uintptr_t)passed->marks[i].key.data);
    memory_release(allocator, passed->marks);
    *passed = (struct passed){0};
}

void passed_mark_save(const struct passed_mark *mark, uint32_t state,
                      struct snapshot_writer *writer)
{
    snapshot_begin(writer, SNAPSHOT_SCAN, state);
    snapshot_u32(writer, mark->first);
    snapshot_u32(writer, mark->end);
    snapshot_u32(writer, mark->groups);
    snapshot_u32(writer, mark->within);
    snapshot_u64(writer, mark->tag);
    snapshot_bytes(writer, mark->key.data, mark->key.size);
    snapshot_end(writer);
}

bool passed_mark_read(struct snapshot_section *section, struct passed_mark *mark)
{
    mark->first = snapshot_get_u32(section);
    mark->end = snapshot_get_u32(section);
    mark->groups = snapshot_get_u32(section);
    uint32_t within = snapshot_get_u32(section);
    mark->within = within != 0;
    mark->tag = snapshot_get_u64(section);
    mark->key = snapshot_get_rest(section);
    return !section->failed && within <= 1 && mark->groups > 0 && mark->first < mark->end &&
           mark->end <= mark->groups && mark->tag <= (uint64_t)UINT32_MAX + 1 &&
           mark->key.size <= (mark->within ? STATE_KEY_LIMIT : 0);
}

void passed_save(const struct passed *passed, uint32_t state, struct snapshot_writer *writer)
{
    for (uint32_t i = 0; i < passed->count; i++)
        passed_mark_save(&passed->marks[i], state, writer);
}

bool passed_add(struct passed *passed, const struct weir_allocator *allocator,
                const struct passed_mark *mark)
{
    size_t size = sizeof *passed->marks;
    struct passed_mark *more =
        memory_resize(allocator, passed->marks, passed->count * size, (passed->count + 1) * size);
    if (!more)
        return false;
    passed->marks = more;
    char *key = memory_text(allocator, mark->key.data, mark->key.size);
    if (!key)
        return false;
    more[passed->count] = *mark;
    more[passed->count++].key.data = key;
    return true;
}
