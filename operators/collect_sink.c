/* SPDX-License-Identifier: Apache-2.0
 *
 * collect_sink: hands records to the program that runs the job, after their checkpoint. Batches
 * that were prepared and not handed over yet are operator state, so a restart does not lose them:
 *
 *   UNION item:  struct batch_head, then per record struct record_head, key, value; key and value
 *                padded to 8 bytes each
 *   handle:      struct batch_head
 *
 * UNION, because handles and items may be shared out differently among another number of subtasks.
 */
#include "weir_operators.h"
#include "block.h"
#include "node.h"

#include <string.h>

#define BATCH_BYTES ((size_t)8 << 20) /* one is closed when it has as much: items end at 16 MiB */

struct batch_head {
    uint64_t number;
    uint32_t subtask;
    uint32_t epoch; /* a run that died may have used the same number */
};
struct record_head {
    uint64_t key_size, value_size;
    int64_t time;
};
_Static_assert(sizeof(struct batch_head) == 16, "saved in checkpoints");
_Static_assert(sizeof(struct record_head) == 24, "saved in checkpoints");

struct batch {
    struct block bytes; /* head and records */
    struct batch *next; /* the one after it */
};

struct collect {
    const struct weir_collect_sink_options *options;
    struct batch *first, **end; /* in the order they were filled; the last may be open */
    struct batch *open;         /* records go here; NULL: none */
    uint64_t numbers;           /* given to batches of this run */
    size_t unprepared;          /* closed or open batches, at the end of the list */
    bool settled;               /* no batch of an earlier run is left */
};

static size_t padded(size_t size)
{
    return (size + 7) & ~(size_t)7;
}

static enum weir_result collect_open(void *self, struct weir_context *context, const void *config)
{
    struct collect *collect = self;
    (void)context;
    collect->options = config;
    collect->end = &collect->first;
    return WEIR_OK;
}

/* --------------------------------------------------------------------------------- fill -- */

static struct batch *batch_add(struct collect *collect, struct weir_context *context,
                               const void *bytes, size_t size)
{
    struct batch *batch = block_take(weir_memory(context), sizeof *batch);
    if (!batch || !block_append(&batch->bytes, weir_memory(context), bytes, size)) {
        block_drop(weir_memory(context), batch);
        block_none(context);
        return NULL;
    }
    *collect->end = batch;
    collect->end = &batch->next;
    return batch;
}

static struct batch *open_batch(struct collect *collect, struct weir_context *context)
{
    struct batch_head head = {collect->numbers, weir_subtask(context), weir_epoch(context)};
    if (collect->open && collect->open->bytes.size < BATCH_BYTES)
        return collect->open;
    collect->open = batch_add(collect, context, &head, sizeof head);
    if (collect->open) {
        collect->numbers++;
        collect->unprepared++;
    }
    return collect->open;
}

static bool append_padded(struct block *block, const struct weir_allocator *allocator,
                          struct weir_bytes bytes)
{
    static const unsigned char zeros[8];
    return block_append(block, allocator, bytes.data, bytes.size) &&
           block_append(block, allocator, zeros, padded(bytes.size) - bytes.size);
}

static enum weir_result collect_process(void *self, struct weir_context *context, unsigned input,
                                        const struct weir_record *record)
{
    struct collect *collect = self;
    const struct weir_allocator *allocator = weir_memory(context);
    (void)input;
    if (collect->options->at_once) {
        collect->options->take(collect->options->context, weir_subtask(context), record);
        return WEIR_OK;
    }
    if (record->key.size + record->value.size > BATCH_BYTES - 64)
        return weir_fail(context, WEIR_TOO_LARGE, "a record of over 8 MiB can't be collected");
    struct batch *batch = open_batch(collect, context);
    if (!batch)
        return WEIR_NO_MEMORY;
    struct record_head head = {record->key.size, record->value.size, record->time};
    if (block_append(&batch->bytes, allocator, &head, sizeof head) &&
        append_padded(&batch->bytes, allocator, record->key) &&
        append_padded(&batch->bytes, allocator, record->value))
        return WEIR_OK;
    return block_none(context);
}

/* ----------------------------------------------------------------------------- two phases -- */

static void batch_remove(struct collect *collect, struct weir_context *context, struct batch **at)
{
    struct batch *batch = *at;
    *at = batch->next;
    if (collect->end == &batch->next)
        collect->end = at;
    block_free(&batch->bytes, weir_memory(context));
    block_drop(weir_memory(context), batch);
}

/* Recovered handles are committed before the first prepare. What a UNION item brought beyond them
 * was another subtask's to hand over. */
static void settle(struct collect *collect, struct weir_context *context)
{
    struct batch **at = &collect->first;
    while (!collect->settled && *at) {
        struct batch_head head;
        memcpy(&head, (*at)->bytes.data, sizeof head);
        if (head.epoch != weir_epoch(context))
            batch_remove(collect, context, at);
        else
            at = &(*at)->next;
    }
    collect->settled = true;
}

/* The batches of this run that no handle names yet are the last `unprepared` of the list. */
static enum weir_result collect_prepare(void *self, struct weir_context *context, uint64_t id)
{
    struct collect *collect = self;
    size_t prepared = 0;
    (void)id;
    settle(collect, context);
    for (struct batch *batch = collect->first; batch; batch = batch->next)
        prepared++;
    prepared -= collect->unprepared;
    for (struct batch *batch = collect->first; batch; batch = batch->next) {
        if (prepared > 0) {
            prepared--;
            continue;
        }
        enum weir_result result =
            weir_handle(context, (struct weir_bytes){batch->bytes.data, sizeof(struct batch_head)});
        if (result != WEIR_OK)
            return result;
    }
    collect->unprepared = 0;
    collect->open = NULL;
    return WEIR_OK;
}

static void hand_over(const struct collect *collect, uint32_t subtask, const struct batch *batch)
{
    size_t at = sizeof(struct batch_head);
    while (at < batch->bytes.size) {
        const struct record_head *head = (const void *)(batch->bytes.data + at);
        const unsigned char *key = (const unsigned char *)(head + 1);
        struct weir_record record = {
            {key, head->key_size}, {key + padded(head->key_size), head->value_size}, head->time};
        collect->options->take(collect->options->context, subtask, &record);
        at += sizeof *head + padded(head->key_size) + padded(head->value_size);
    }
}

/* A handle without a batch was handed over before: committing twice is harmless. */
static enum weir_result collect_commit(void *self, struct weir_context *context,
                                       struct weir_bytes handle)
{
    struct collect *collect = self;
    if (handle.size != sizeof(struct batch_head))
        return weir_fail(context, WEIR_DAMAGED, "a handle has the wrong size");
    for (struct batch **at = &collect->first; *at; at = &(*at)->next) {
        if (memcmp((*at)->bytes.data, handle.data, handle.size) != 0)
            continue;
        hand_over(collect, weir_subtask(context), *at);
        batch_remove(collect, context, at);
        return WEIR_OK;
    }
    return WEIR_OK;
}

/* --------------------------------------------------------------------------------- state -- */

static enum weir_result collect_save(void *self, struct weir_context *context,
                                     struct weir_saver *saver)
{
    struct collect *collect = self;
    (void)context;
    for (struct batch *batch = collect->first; batch; batch = batch->next)
        weir_save(saver, WEIR_ITEM_UNION,
                  (struct weir_bytes){batch->bytes.data, batch->bytes.size});
    return WEIR_OK;
}

/* Walks over the records with every length checked before it is used. */
static bool item_is_sound(struct weir_bytes item)
{
    size_t at = sizeof(struct batch_head);
    while (at < item.size) {
        struct record_head head;
        size_t left = item.size - at;
        if (left < sizeof head)
            return false;
        memcpy(&head, (const unsigned char *)item.data + at, sizeof head);
        left -= sizeof head;
        if (head.key_size > left || head.value_size > left ||
            padded(head.key_size) + padded(head.value_size) > left)
            return false;
        at += sizeof head + padded(head.key_size) + padded(head.value_size);
    }
    return at == item.size;
}

static enum weir_result collect_load(void *self, struct weir_context *context,
                                     struct weir_loader *loader, uint32_t version)
{
    enum weir_item kind;
    struct weir_bytes item;
    (void)version;
    while (weir_load_next(loader, &kind, &item)) {
        if (!item_is_sound(item))
            return weir_fail(context, WEIR_DAMAGED, "saved records make no sense");
        if (!batch_add(self, context, item.data, item.size))
            return WEIR_NO_MEMORY;
    }
    return WEIR_OK;
}

static void collect_close(void *self, struct weir_context *context)
{
    struct collect *collect = self;
    while (collect->first)
        batch_remove(collect, context, &collect->first);
}

static const struct weir_operator collect_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "collect_sink",
    .self_size = sizeof(struct collect),
    .version = 1,
    .guarantee = WEIR_AT_LEAST_ONCE,
    .open = collect_open,
    .process = collect_process,
    .prepare = collect_prepare,
    .commit = collect_commit,
    .save = collect_save,
    .load = collect_load,
    .close = collect_close,
};

weir_node weir_collect_sink(struct weir_graph *graph, const char *name,
                            const struct weir_collect_sink_options *given)
{
    struct weir_collect_sink_options options;
    if (!node_options(graph, name, given, &options, sizeof options))
        return NODE_NONE;
    if (!options.take) {
        weir_graph_fail(graph, "node %s: take is missing", name);
        return NODE_NONE;
    }
    const void *config = weir_graph_keep(graph, &options, sizeof options);
    return config ? node_add(graph, name, &collect_table, config, options.parallelism) : NODE_NONE;
}
