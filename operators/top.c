/* SPDX-License-Identifier: Apache-2.0
 *
 * top: the records of a key with the largest numbers, as a list in a keyed state:
 *
 *   struct top_head, then `count` entries in their order; what is emitted is the entries alone
 *   entry: union number, u64 size, `size` bytes, padded to 8
 *
 * The head says where the last entry begins, so that a record that does not get in costs one
 * comparison.
 */
#include "weir_operators.h"
#include "block.h"
#include "node.h"
#include "number.h"
#include "scan.h"

#include <string.h>

#define LIST 0 /* index of the state */
#define COUNT_DEFAULT 10
#define COUNT_LIMIT 1000
#define PART_LIMIT ((size_t)4 << 10)

struct top_head {
    uint32_t count;
    uint32_t last; /* where the last entry begins, from the first one's begin; 0 without entries */
};
struct top_entry_head {
    union number number;
    uint64_t size;
};
_Static_assert(sizeof(struct top_head) == 8 && sizeof(struct top_entry_head) == 16,
               "saved in checkpoints");

struct top_config {
    struct weir_top_options options;
    struct number_source source;
    bool real;
};

struct top {
    const struct top_config *config;
    struct block list; /* the one that is being made */
};

static enum weir_result top_open(void *self, struct weir_context *context, const void *config)
{
    (void)context;
    ((struct top *)self)->config = config;
    return WEIR_OK;
}

static void top_close(void *self, struct weir_context *context)
{
    block_free(&((struct top *)self)->list, weir_memory(context));
}

/* -------------------------------------------------------------------------------- reading -- */

struct entry {
    union number number;
    struct weir_bytes part;
};

static size_t padded(size_t size)
{
    return (size + 7) & ~(size_t)7;
}

/* False at the end, and at what is no entry. */
static bool entry_at(struct weir_bytes entries, size_t at, struct entry *entry, size_t *next)
{
    struct top_entry_head head;
    if (at > entries.size || entries.size - at < sizeof head)
        return false;
    memcpy(&head, (const unsigned char *)entries.data + at, sizeof head);
    size_t left = entries.size - at - sizeof head;
    if (head.size > left || padded(head.size) > left)
        return false;
    entry->number = head.number;
    entry->part =
        (struct weir_bytes){(const unsigned char *)entries.data + at + sizeof head, head.size};
    *next = at + sizeof head + padded(head.size);
    return true;
}

bool weir_top_next(struct weir_bytes list, size_t *at, struct weir_top_entry *entry)
{
    struct entry found;
    if (!entry_at(list, *at, &found, at))
        return false;
    entry->integer = found.number.integer;
    entry->real = found.number.real;
    entry->part = found.part;
    return true;
}

/* Below zero: a's place is before b's. */
static int compare(const struct top_config *config, const struct entry *a, const struct entry *b)
{
    bool less =
        config->real ? a->number.real < b->number.real : a->number.integer < b->number.integer;
    bool more =
        config->real ? a->number.real > b->number.real : a->number.integer > b->number.integer;
    if (less || more)
        return less == config->options.smallest ? -1 : 1;
    size_t common = a->part.size < b->part.size ? a->part.size : b->part.size;
    int order = common ? memcmp(a->part.data, b->part.data, common) : 0;
    return order ? order : (a->part.size > b->part.size) - (a->part.size < b->part.size);
}

/* ------------------------------------------------------------------------------- changing -- */

static bool append_entry(struct block *list, const struct weir_allocator *allocator,
                         const struct entry *entry)
{
    static const unsigned char zeros[8];
    struct top_entry_head head = {entry->number, entry->part.size};
    return block_append(list, allocator, &head, sizeof head) &&
           block_append(list, allocator, entry->part.data, entry->part.size) &&
           block_append(list, allocator, zeros, padded(entry->part.size) - entry->part.size);
}

/* Makes top->list of the old entries and the new one, at most `count` in all. */
static bool merge(struct top *top, const struct weir_allocator *allocator,
                  struct weir_bytes entries, const struct entry *new)
{
    struct top_head head = {0};
    struct block *list = &top->list;
    struct entry old;
    bool placed = false;
    list->size = 0;
    if (!block_append(list, allocator, &head, sizeof head))
        return false;
    for (size_t at = 0, next; head.count < top->config->options.count; head.count++) {
        bool more = entry_at(entries, at, &old, &next);
        bool now = !placed && (!more || compare(top->config, new, &old) < 0);
        if (!now && !more)
            break;
        head.last = (uint32_t)(list->size - sizeof head);
        if (!append_entry(list, allocator, now ? new : &old))
            return false;
        placed |= now;
        at = now ? at : next;
    }
    memcpy(list->data, &head, sizeof head);
    return true;
}

/* The entries of a key's list; empty for a new key. False: it is not one. */
static bool entries_of(struct weir_bytes list, struct top_head *head, struct weir_bytes *entries)
{
    *head = (struct top_head){0};
    *entries = (struct weir_bytes){0};
    if (list.size == 0)
        return true;
    if (list.size < sizeof *head)
        return false;
    memcpy(head, list.data, sizeof *head);
    *entries = (struct weir_bytes){(const unsigned char *)list.data + sizeof *head,
                                   list.size - sizeof *head};
    return true;
}

static bool gets_in(const struct top_config *config, const struct top_head *head,
                    struct weir_bytes entries, const struct entry *new)
{
    struct entry last;
    size_t next;
    return head->count < config->options.count || !entry_at(entries, head->last, &last, &next) ||
           compare(config, new, &last) < 0;
}

static enum weir_result top_emit(struct weir_context *context, struct weir_bytes key,
                                 struct weir_bytes list, int64_t time)
{
    struct weir_bytes entries;
    struct top_head head;
    if (!entries_of(list, &head, &entries))
        return weir_fail(context, WEIR_DAMAGED, "a saved list makes no sense");
    return weir_emit(context, 0, &(struct weir_record){key, entries, time});
}

static enum weir_result put_in(struct top *top, struct weir_context *context,
                               const struct weir_record *record, const struct entry *new)
{
    struct weir_bytes list = {0}, entries;
    struct top_head head;
    weir_get(context, LIST, &record->key, &list);
    if (!entries_of(list, &head, &entries))
        return weir_fail(context, WEIR_DAMAGED, "a saved list makes no sense");
    if (!gets_in(top->config, &head, entries, new))
        return WEIR_OK;
    if (!merge(top, weir_memory(context), entries, new))
        return block_none(context);
    list = (struct weir_bytes){top->list.data, top->list.size};
    enum weir_result result = weir_put(context, LIST, &record->key, list);
    if (result || top->config->options.emit == WEIR_REDUCE_FINAL)
        return result;
    return top_emit(context, record->key, list, record->time);
}

static enum weir_result top_process(void *self, struct weir_context *context, unsigned input,
                                    const struct weir_record *record)
{
    struct top *top = self;
    const struct weir_top_options *options = &top->config->options;
    struct entry new = {.part = record->value};
    (void)input;
    enum number_found found = number_take(context, &top->config->source, record, &new.number);
    if (found != NUMBER_FOUND)
        return found == NUMBER_NONE ? WEIR_OK : WEIR_INVALID;
    if (options->part)
        new.part = options->part(record, options->config);
    if (new.part.size > PART_LIMIT)
        return weir_fail(context, WEIR_TOO_LARGE,
                         "%zu bytes to keep of a record, %zu are allowed: give it a `part`",
                         new.part.size, PART_LIMIT);
    return put_in(top, context, record, &new);
}

static enum weir_result emit_final(void *self, struct weir_context *context, struct weir_bytes key,
                                   struct weir_bytes value)
{
    (void)self;
    return top_emit(context, key, value, WEIR_NO_TIME);
}

static enum weir_progress top_finish(void *self, struct weir_context *context)
{
    struct top *top = self;
    if (top->config->options.emit != WEIR_REDUCE_FINAL)
        return WEIR_END;
    return scan_some(context, LIST, emit_final, self);
}

/* -------------------------------------------------------------------------------- the node -- */

static const struct weir_operator top_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "top",
    .self_size = sizeof(struct top),
    .version = 1,
    .guarantee = WEIR_EXACTLY_ONCE,
    .open = top_open,
    .process = top_process,
    .finish = top_finish,
    .close = top_close,
};

weir_node weir_top(struct weir_graph *graph, const char *name, const struct weir_top_options *given)
{
    struct top_config config = {.options = {0}};
    struct weir_top_options *options = &config.options;
    if (!node_options(graph, name, given, options, sizeof *options))
        return NODE_NONE;
    if (options->count == 0)
        options->count = COUNT_DEFAULT;
    config.source =
        (struct number_source){options->number, options->integer, options->real, options->config};
    config.real = number_is_real(&config.source);
    const char *wrong = number_check(&config.source);
    if (!wrong && options->count > COUNT_LIMIT)
        wrong = "a list has at most 1,000 records";
    if (wrong)
        return node_refuse(graph, name, wrong);
    /* The version tells orders apart: a list of the smallest is not one of the largest. */
    struct weir_state list = {
        WEIR_SIZED(struct weir_state),
        .name = "list",
        .version = 1 + 2 * (uint32_t)options->smallest + config.real,
    };
    return node_keyed(graph, name, &top_table, weir_graph_keep(graph, &config, sizeof config),
                      &list, options->parallelism);
}
