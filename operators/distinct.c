/* SPDX-License-Identifier: Apache-2.0
 *
 * distinct: the set of a key's values, in a keyed state:
 *
 *   struct set_head, then `count` entries by rising hash, then the values' bytes as they came
 */
#include "weir_operators.h"
#include "block.h"
#include "node.h"
#include "scan.h"

#include <string.h>

#define SET 0 /* index of the state */
#define LIMIT_DEFAULT ((uint32_t)64 << 10)
#define LIMIT_MOST ((uint32_t)8 << 20)

struct set_head {
    uint32_t count;
    uint32_t bytes; /* of all values */
};
struct set_entry {
    uint64_t hash;
    uint32_t offset; /* from the begin of the values' bytes */
    uint32_t size;
};
_Static_assert(sizeof(struct set_head) == 8 && sizeof(struct set_entry) == 16,
               "saved in checkpoints");

/* A view of one. */
struct set {
    struct set_head head;
    const struct set_entry *entries;
    const unsigned char *bytes;
};

struct distinct {
    const struct weir_distinct_options *options;
    struct block made; /* the set that is being made */
};

static enum weir_result distinct_open(void *self, struct weir_context *context, const void *config)
{
    (void)context;
    ((struct distinct *)self)->options = config;
    return WEIR_OK;
}

static void distinct_close(void *self, struct weir_context *context)
{
    block_free(&((struct distinct *)self)->made, weir_memory(context));
}

/* False: the bytes are no set. No bytes are the empty one. */
static bool set_read(struct weir_bytes value, struct set *set)
{
    *set = (struct set){0};
    if (value.size == 0)
        return true;
    if (value.size < sizeof set->head)
        return false;
    memcpy(&set->head, value.data, sizeof set->head);
    size_t left = value.size - sizeof set->head;
    if (set->head.count > left / sizeof(struct set_entry) ||
        set->head.bytes != left - set->head.count * sizeof(struct set_entry))
        return false;
    set->entries = (const void *)((const unsigned char *)value.data + sizeof set->head);
    set->bytes = (const unsigned char *)(set->entries + set->head.count);
    return true;
}

/* The first entry whose hash is not below; where a new one belongs. */
static uint32_t set_place(const struct set *set, uint64_t hash)
{
    uint32_t low = 0, high = set->head.count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (set->entries[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool set_has(const struct set *set, uint32_t place, uint64_t hash, struct weir_bytes value)
{
    for (; place < set->head.count && set->entries[place].hash == hash; place++) {
        const struct set_entry *entry = &set->entries[place];
        if (entry->size == value.size && entry->offset <= set->head.bytes - entry->size &&
            (value.size == 0 || memcmp(set->bytes + entry->offset, value.data, value.size) == 0))
            return true;
    }
    return false;
}

static bool set_with(struct block *made, const struct weir_allocator *allocator,
                     const struct set *set, uint32_t place, uint64_t hash, struct weir_bytes value)
{
    struct set_head head = {set->head.count + 1, set->head.bytes + (uint32_t)value.size};
    struct set_entry entry = {hash, set->head.bytes, (uint32_t)value.size};
    uint32_t behind = set->head.count - place;
    made->size = 0;
    return block_append(made, allocator, &head, sizeof head) &&
           block_append(made, allocator, set->entries, place * sizeof entry) &&
           block_append(made, allocator, &entry, sizeof entry) &&
           block_append(made, allocator, behind ? set->entries + place : NULL,
                        behind * sizeof entry) &&
           block_append(made, allocator, set->bytes, set->head.bytes) &&
           block_append(made, allocator, value.data, value.size);
}

static enum weir_result emit_count(struct weir_context *context, struct weir_bytes key,
                                   uint64_t count, int64_t time)
{
    return weir_emit(context, 0, &(struct weir_record){key, {&count, sizeof count}, time});
}

static enum weir_result add(struct distinct *distinct, struct weir_context *context,
                            const struct weir_record *record, struct weir_bytes part)
{
    struct weir_bytes value = {0};
    struct set set;
    weir_get(context, SET, &record->key, &value);
    if (!set_read(value, &set))
        return weir_fail(context, WEIR_DAMAGED, "a saved set makes no sense");
    uint64_t hash = weir_hash(part);
    uint32_t place = set_place(&set, hash), limit = distinct->options->limit;
    if (set_has(&set, place, hash, part))
        return WEIR_OK;
    if (part.size > limit ||
        value.size - (value.size ? sizeof set.head : 0) + sizeof(struct set_entry) + part.size >
            limit)
        return weir_fail(
            context, WEIR_TOO_LARGE,
            "a key has more different values than fit into %u bytes (it has %u): raise "
            "`limit`, or use weir_dedup and a count",
            limit, set.head.count);
    if (!set_with(&distinct->made, weir_memory(context), &set, place, hash, part))
        return block_none(context);
    enum weir_result result = weir_put(
        context, SET, &record->key, (struct weir_bytes){distinct->made.data, distinct->made.size});
    if (result || distinct->options->emit == WEIR_REDUCE_FINAL)
        return result;
    return emit_count(context, record->key, set.head.count + UINT64_C(1), record->time);
}

static enum weir_result distinct_process(void *self, struct weir_context *context, unsigned input,
                                         const struct weir_record *record)
{
    struct distinct *distinct = self;
    const struct weir_distinct_options *options = distinct->options;
    (void)input;
    return add(distinct, context, record,
               options->part ? options->part(record, options->config) : record->value);
}

static enum weir_result emit_final(void *self, struct weir_context *context, struct weir_bytes key,
                                   struct weir_bytes value)
{
    struct set set;
    (void)self;
    if (!set_read(value, &set))
        return weir_fail(context, WEIR_DAMAGED, "a saved set makes no sense");
    return emit_count(context, key, set.head.count, WEIR_NO_TIME);
}

static enum weir_progress distinct_finish(void *self, struct weir_context *context)
{
    struct distinct *distinct = self;
    if (distinct->options->emit != WEIR_REDUCE_FINAL)
        return WEIR_END;
    return scan_some(context, SET, emit_final, self);
}

static const struct weir_operator distinct_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "distinct",
    .self_size = sizeof(struct distinct),
    .version = 1,
    .guarantee = WEIR_EXACTLY_ONCE,
    .open = distinct_open,
    .process = distinct_process,
    .finish = distinct_finish,
    .close = distinct_close,
};

weir_node weir_distinct(struct weir_graph *graph, const char *name,
                        const struct weir_distinct_options *given)
{
    struct weir_distinct_options options;
    if (!node_options(graph, name, given, &options, sizeof options))
        return NODE_NONE;
    if (options.limit == 0)
        options.limit = LIMIT_DEFAULT;
    if (options.limit > LIMIT_MOST)
        return node_refuse(graph, name, "a set has at most 8 MiB");
    struct weir_state set = {WEIR_SIZED(struct weir_state), .name = "set", .version = 1};
    return node_keyed(graph, name, &distinct_table,
                      weir_graph_keep(graph, &options, sizeof options), &set, options.parallelism);
}
