/* SPDX-License-Identifier: Apache-2.0 */
#include "handover.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "memory.h"
#include "passed.h"
#include "plant.h"
#include "state.h"

#define SPLIT 0u /* kinds of items, as weir.h has them */
#define UNION 1u
#define BROADCAST 2u
#define KEYED 3u
#define TIMER_SIZE ((size_t)20) /* snapshot.h */

/* What all parts together are. */
struct sum {
    struct weir_bytes name;
    uint32_t version;
    bool named, finished;
    uint64_t position;
    uint64_t splits;
    uint64_t timers;
};

/* One writing. */
struct share {
    const struct handover *handover;
    const struct manifest_node *was, *is;
    const struct mapping_node *map;
    uint32_t subtask; /* who it is for */
    uint32_t old;     /* whose part is read */
    uint64_t split;   /* SPLIT items seen so far */
    struct sum sum;
    unsigned char *timers; /* bodies of their sections */
    uint64_t timer_count;
    struct snapshot_writer *writer;
    struct weir_error *error;
};

static enum weir_result damaged(const struct share *share, const char *what)
{
    return error_set(share->error, WEIR_DAMAGED, 0, "the part of %s[%u]: %s", share->was->name,
                     share->old, what);
}

/* --------------------------------------------------------------------------- summing up -- */

static enum weir_result sum_operator(struct share *share, struct snapshot_section *section)
{
    struct sum *sum = &share->sum;
    struct weir_bytes name = snapshot_get_text(section);
    uint32_t version = snapshot_get_u32(section);
    bool finished = snapshot_get_u32(section) != 0;
    bool fits = snapshot_done(section) && name.size == strlen(share->was->name) &&
                memcmp(name.data, share->was->name, name.size) == 0;
    if (!fits || (sum->named && version != sum->version))
        return damaged(share, "it is another node's");
    sum->finished = finished && (!sum->named || sum->finished);
    sum->version = version;
    sum->name = name;
    sum->named = true;
    return WEIR_OK;
}

static enum weir_result sum_section(struct share *share, struct snapshot_section *section)
{
    struct sum *sum = &share->sum;
    uint64_t position;
    switch (section->tag) {
    case SNAPSHOT_OPERATOR:
        return sum_operator(share, section);
    case SNAPSHOT_POSITION:
        position = snapshot_get_u64(section);
        if (!snapshot_done(section))
            return damaged(share, "the position is not well-formed");
        sum->position = position > sum->position ? position : sum->position;
        return WEIR_OK;
    case SNAPSHOT_ITEM:
        sum->splits += section->index == SPLIT;
        return WEIR_OK;
    case SNAPSHOT_TIMER:
        sum->timers++;
        return WEIR_OK;
    default:
        return WEIR_OK;
    }
}

/* ----------------------------------------------------------------------------- sections -- */

static void copy(struct share *share, const struct snapshot_section *section, uint32_t index)
{
    snapshot_begin(share->writer, (enum snapshot_tag)section->tag, index);
    snapshot_bytes(share->writer, section->body, section->left);
    snapshot_end(share->writer);
}

static bool is_owner(const struct share *share, const struct snapshot_section *item)
{
    uint32_t groups = share->handover->mapping->now->key_groups;
    uint64_t hash; /* in the machine's byte order, as it was saved */
    memcpy(&hash, item->body, sizeof hash);
    return state_owner(state_group(hash, groups), share->is->parallelism, groups) == share->subtask;
}

static bool is_mine(struct share *share, const struct snapshot_section *item)
{
    uint32_t kind = item->index;
    bool moved = share->map->moved;
    if (!moved || kind == UNION)
        return true;
    if (kind == BROADCAST)
        return share->old == 0;
    if (kind == KEYED)
        return is_owner(share, item);
    uint64_t index = share->split++;
    if (WEIR_PLANT(item_lost) && index == 0)
        return false;
    return mapping_split(index, share->sum.splits, share->is->parallelism) == share->subtask;
}

static bool is_heir(const struct share *share)
{
    uint32_t heir = mapping_heir(share->old, share->is->parallelism);
    if (WEIR_PLANT(handles_lost))
        heir = share->old; /* who may be no more */
    return !share->map->moved || heir == share->subtask;
}

/* Within what both own. */
static void write_mark(struct share *share, uint32_t state, struct passed_mark mark)
{
    uint32_t groups = share->handover->mapping->now->key_groups;
    struct mapping_range mine = mapping_range(share->subtask, share->is->parallelism, groups);
    mark.first = mark.first > mine.first ? mark.first : mine.first;
    mark.end = mark.end < mine.end ? mark.end : mine.end;
    if (mark.first < mark.end && (mark.tag || mark.within))
        passed_mark_save(&mark, state, share->writer);
}

/* Where the scan of a log that is appended anew stood. */
static enum weir_result take_place(struct share *share, struct snapshot_section *section,
                                   uint32_t state)
{
    uint32_t groups = share->handover->mapping->now->key_groups;
    struct mapping_range its = mapping_range(share->old, share->was->parallelism, groups);
    struct passed_mark mark = {.first = its.first, .end = its.end, .groups = groups};
    (void)snapshot_get_text(section);
    for (int i = 0; i < 4; i++) /* version, value size, kind, whether values expire */
        (void)snapshot_get_u32(section);
    (void)snapshot_get_u64(section); /* entries */
    (void)snapshot_get_u64(section); /* time */
    mark.tag = snapshot_get_u64(section);
    mark.within = snapshot_get_u32(section) != 0;
    mark.key = snapshot_get_rest(section);
    if (section->failed)
        return damaged(share, "a scan's place is not well-formed");
    if (!WEIR_PLANT(scan_begins_anew))
        write_mark(share, state, mark);
    return WEIR_OK;
}

static enum weir_result write_state(struct share *share, struct snapshot_section *section)
{
    const struct mapping *mapping = share->handover->mapping;
    if (section->index >= share->was->state_count)
        return damaged(share, "a state that is not in the manifest");
    uint32_t now = mapping_state_now(mapping, share->handover->node, section->index);
    if (now == MAPPING_NONE)
        return WEIR_OK;
    bool shared = share->map->states[now].way == MAPPING_SHARED;
    struct passed_mark mark;
    if (section->tag == SNAPSHOT_STATE && shared)
        copy(share, section, now);
    else if (section->tag == SNAPSHOT_STATE)
        return take_place(share, section, now);
    else if (!passed_mark_read(section, &mark) || mark.groups != mapping->now->key_groups)
        return damaged(share, "a mark of a scan is not well-formed");
    else
        write_mark(share, now, mark);
    return WEIR_OK;
}

static enum weir_result write_section(struct share *share, struct snapshot_section *section)
{
    switch (section->tag) {
    case SNAPSHOT_ITEM:
        if (section->index > KEYED || (section->index == KEYED && section->left < sizeof(uint64_t)))
            return damaged(share, "an item of an unknown kind, or without its key's hash");
        if (is_mine(share, section))
            copy(share, section, section->index);
        return WEIR_OK;
    case SNAPSHOT_HANDLE:
    case SNAPSHOT_LETTER:
        if (is_heir(share))
            copy(share, section, section->index);
        return WEIR_OK;
    case SNAPSHOT_TIMER:
        if (section->left != TIMER_SIZE)
            return damaged(share, "a timer is not well-formed");
        memcpy(share->timers + share->timer_count++ * TIMER_SIZE, section->body, TIMER_SIZE);
        return WEIR_OK;
    case SNAPSHOT_STATE:
    case SNAPSHOT_SCAN:
        return write_state(share, section);
    default:
        return WEIR_OK;
    }
}

/* -------------------------------------------------------------------------------- parts -- */

static enum weir_result each_part(struct share *share,
                                  enum weir_result (*take)(struct share *share,
                                                           struct snapshot_section *section))
{
    bool moved = share->map->moved;
    uint32_t first = moved ? 0 : share->subtask;
    uint32_t end = moved ? share->was->parallelism : share->subtask + 1;
    enum weir_result result = WEIR_OK;
    for (share->old = first; !result && share->old < end; share->old++) {
        struct weir_bytes part = share->handover->parts[share->old];
        struct snapshot_reader reader = {part.data, part.size, false};
        struct snapshot_section section;
        while (!result && snapshot_next(&reader, &section))
            result = take(share, &section);
        if (!result && reader.failed)
            result = damaged(share, "its sections are not well-formed");
    }
    return result;
}

static int compare_timers(const void *left, const void *right)
{
    return memcmp(left, right, TIMER_SIZE);
}

/* The same one from several is one: else there would be more of them with each restore. */
static void write_timers(struct share *share)
{
    qsort(share->timers, share->timer_count, TIMER_SIZE, compare_timers);
    for (uint64_t i = 0; i < share->timer_count; i++) {
        const unsigned char *timer = share->timers + i * TIMER_SIZE;
        if (i && memcmp(timer, timer - TIMER_SIZE, TIMER_SIZE) == 0)
            continue;
        snapshot_begin(share->writer, SNAPSHOT_TIMER, 0);
        snapshot_bytes(share->writer, timer, TIMER_SIZE);
        snapshot_end(share->writer);
    }
}

static enum weir_result check_timers(const struct share *share)
{
    if (!share->sum.timers || !share->map->moved || share->handover->timers_shared)
        return WEIR_OK;
    return error_set(share->error, WEIR_MISMATCH, 0,
                     "node '%s' had parallelism %u and has %u, but %llu of its timers are set, "
                     "which belong to no key and can't be shared out: start with the old "
                     "parallelism, or afresh with --restore none",
                     share->is->name, share->was->parallelism, share->is->parallelism,
                     (unsigned long long)share->sum.timers);
}

/* Input that the checkpoint does not know would come to an operator that has told its last. */
static bool has_new_input(const struct share *share)
{
    const struct mapping *mapping = share->handover->mapping;
    for (uint32_t e = 0; e < mapping->now->edge_count; e++)
        if (mapping->now->edges[e].to == share->handover->node &&
            mapping->edges[e].then == MAPPING_NONE)
            return true;
    return false;
}

static enum weir_result check_finished(const struct share *share)
{
    if (!share->sum.finished || !has_new_input(share))
        return WEIR_OK;
    return error_set(share->error, WEIR_MISMATCH, 0,
                     "node '%s' has an input that the checkpoint does not know, but all its input "
                     "had ended, and it had told its last: leave the new edge out, or start afresh "
                     "with --restore none",
                     share->is->name);
}

static void write_head(struct share *share)
{
    const struct sum *sum = &share->sum;
    snapshot_begin(share->writer, SNAPSHOT_OPERATOR, 0);
    snapshot_u32(share->writer, (uint32_t)sum->name.size);
    snapshot_bytes(share->writer, sum->name.data, sum->name.size);
    snapshot_u32(share->writer, sum->version);
    snapshot_u32(share->writer, sum->finished);
    snapshot_end(share->writer);
    snapshot_begin(share->writer, SNAPSHOT_POSITION, 0);
    snapshot_u64(share->writer, sum->position);
    snapshot_end(share->writer);
}

enum weir_result handover_write(const struct handover *handover, uint32_t subtask,
                                struct snapshot_writer *writer, struct weir_error *error)
{
    const struct mapping *mapping = handover->mapping;
    const struct mapping_node *map = &mapping->nodes[handover->node];
    struct share share = {.handover = handover,
                          .was = &mapping->then->nodes[map->then],
                          .is = &mapping->now->nodes[handover->node],
                          .map = map,
                          .subtask = subtask,
                          .writer = writer,
                          .error = error};
    enum weir_result result = each_part(&share, sum_section);
    if (!result && !share.sum.named)
        result = error_set(error, WEIR_DAMAGED, 0, "the parts of %s: none says whose it is",
                           share.was->name);
    if (!result)
        result = check_timers(&share);
    if (!result)
        result = check_finished(&share);
    if (result)
        return result;
    share.timers = memory_zeroed(mapping->allocator, (size_t)share.sum.timers + 1, TIMER_SIZE);
    if (!share.timers)
        return error_memory(error, "timers handed over", share.sum.timers * TIMER_SIZE);
    write_head(&share);
    result = each_part(&share, write_section);
    if (!result)
        write_timers(&share);
    memory_release(mapping->allocator, share.timers);
    return !result && writer->failed ? error_memory(error, "a part handed over", writer->size)
                                     : result;
}
