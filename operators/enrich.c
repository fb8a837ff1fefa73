/* SPDX-License-Identifier: Apache-2.0
 *
 * enrich: records meet the latest row of their key.
 *
 *   state "row"      i64 time, then the row's value
 *   state "waiting"  records without a row, oldest first: struct waiting_head, value, padded to 8
 *
 * A key has one or the other. What has waited too long is found by looking through "waiting", in
 * steps, at points of event time that lie an eighth of wait_ns apart: a timer has room for a number
 * only, not for a key.
 */
#include "weir_operators.h"
#include "block.h"
#include "node.h"

#include <string.h>

#define TABLE 1 /* input; 0 is "in" */
#define ROW 0
#define WAITING 1

#define WAIT_DEFAULT 16
#define WAIT_LIMIT 1000
#define LOOKS_IN_WAIT 8
#define STEP_KEYS 256    /* looked at in one step */
#define STEP_RECORDS 256 /* given up in one step, or those of one key more */
#define ARMED 16

struct waiting_head {
    int64_t time;
    uint64_t size;
};
_Static_assert(sizeof(struct waiting_head) == 16, "saved in checkpoints");

struct enrich {
    const struct weir_enrich_options *options;
    struct block key, value; /* scratch: what is handed to the state must not lie in it */
    int64_t armed[ARMED];    /* timers set lately: no need to set them again */
};

static enum weir_result enrich_open(void *self, struct weir_context *context, const void *config)
{
    struct enrich *enrich = self;
    (void)context;
    enrich->options = config;
    for (unsigned i = 0; i < ARMED; i++)
        enrich->armed[i] = WEIR_NO_TIME;
    return WEIR_OK;
}

static void enrich_close(void *self, struct weir_context *context)
{
    struct enrich *enrich = self;
    block_free(&enrich->key, weir_memory(context));
    block_free(&enrich->value, weir_memory(context));
}

static size_t padded(size_t size)
{
    return (size + 7) & ~(size_t)7;
}

/* Takes the first record off the list; false when it is empty, or no list. */
static bool waiting_next(struct weir_bytes *list, struct weir_record *record)
{
    struct waiting_head head;
    if (list->size < sizeof head)
        return false;
    memcpy(&head, list->data, sizeof head);
    const unsigned char *value = (const unsigned char *)list->data + sizeof head;
    size_t left = list->size - sizeof head;
    if (head.size > left || padded(head.size) > left)
        return false;
    record->time = head.time;
    record->value = (struct weir_bytes){value, head.size};
    list->data = value + padded(head.size);
    list->size = left - padded(head.size);
    return true;
}

static bool waiting_append(struct block *list, const struct weir_allocator *allocator,
                           const struct weir_record *record)
{
    static const unsigned char zeros[8];
    struct waiting_head head = {record->time, record->value.size};
    return block_append(list, allocator, &head, sizeof head) &&
           block_append(list, allocator, record->value.data, record->value.size) &&
           block_append(list, allocator, zeros, padded(record->value.size) - record->value.size);
}

static struct weir_bytes view(const struct block *block)
{
    return (struct weir_bytes){block->data, block->size};
}

static bool copy_to(struct block *block, const struct weir_allocator *allocator,
                    struct weir_bytes bytes)
{
    block->size = 0;
    return block_append(block, allocator, bytes.data, bytes.size);
}

/* ------------------------------------------------------------------------ without a row -- */

static enum weir_result without_row(const struct enrich *enrich, struct weir_context *context,
                                    enum weir_enrich_unmatched how,
                                    const struct weir_record *record)
{
    if (how == WEIR_ENRICH_PASS)
        return weir_emit(context, 0, record);
    if (how == WEIR_ENRICH_CALL)
        return enrich->options->combine(context, record, NULL, enrich->options->config);
    return WEIR_OK;
}

static int64_t deadline_of(const struct enrich *enrich, int64_t time)
{
    int64_t wait = enrich->options->wait_ns;
    if (wait == 0 || time == WEIR_NO_TIME || time > WEIR_END_OF_TIME - wait)
        return WEIR_END_OF_TIME;
    return time + wait;
}

/* A timer for the first point of the grid that is not before the deadline. */
static enum weir_result arm(struct enrich *enrich, struct weir_context *context, int64_t deadline)
{
    int64_t step = enrich->options->wait_ns / LOOKS_IN_WAIT + 1;
    if (deadline > WEIR_END_OF_TIME - step) /* finish comes first */
        return WEIR_OK;
    int64_t over = (deadline % step + step) % step;
    int64_t point = over ? deadline + (step - over) : deadline;
    int64_t *armed = &enrich->armed[(uint64_t)(point / step) % ARMED];
    if (*armed == point)
        return WEIR_OK;
    *armed = point;
    return weir_timer_set(context, WEIR_TIMER_EVENT, point, 0);
}

/* The list without its oldest record when it is full, and with the new one. */
static enum weir_result let_wait(struct enrich *enrich, struct weir_context *context,
                                 const struct weir_record *record)
{
    const struct weir_enrich_options *options = enrich->options;
    struct weir_bytes list = {0};
    struct weir_record old = {.key = record->key};
    uint32_t count = 0;
    int64_t deadline = deadline_of(enrich, record->time);
    if (deadline <= weir_watermark(context)) /* else each late one would have all looked through */
        return without_row(enrich, context, options->late, record);
    weir_get(context, WAITING, &record->key, &list);
    for (struct weir_bytes rest = list; waiting_next(&rest, &old);)
        count++;
    if (count >= options->wait_limit && waiting_next(&list, &old)) {
        enum weir_result result = without_row(enrich, context, options->late, &old);
        if (result)
            return result;
    }
    if (!copy_to(&enrich->value, weir_memory(context), list) ||
        !waiting_append(&enrich->value, weir_memory(context), record))
        return block_none(context);
    enum weir_result result = weir_put(context, WAITING, &record->key, view(&enrich->value));
    if (result)
        return result;
    return arm(enrich, context, deadline);
}

/* ------------------------------------------------------------------------------- records -- */

static enum weir_result on_record(struct enrich *enrich, struct weir_context *context,
                                  const struct weir_record *record)
{
    const struct weir_enrich_options *options = enrich->options;
    struct weir_bytes row;
    if (weir_get(context, ROW, &record->key, &row) && row.size >= sizeof(int64_t)) {
        row.data = (const unsigned char *)row.data + sizeof(int64_t);
        row.size -= sizeof(int64_t);
        return options->combine(context, record, &row, options->config);
    }
    if (options->unmatched == WEIR_ENRICH_WAIT)
        return let_wait(enrich, context, record);
    return without_row(enrich, context, options->unmatched, record);
}

static enum weir_result release_waiting(struct enrich *enrich, struct weir_context *context,
                                        const struct weir_record *row)
{
    const struct weir_enrich_options *options = enrich->options;
    struct weir_record record = {.key = row->key};
    struct weir_bytes list;
    if (options->unmatched != WEIR_ENRICH_WAIT || !weir_get(context, WAITING, &row->key, &list))
        return WEIR_OK;
    while (waiting_next(&list, &record)) {
        enum weir_result result = options->combine(context, &record, &row->value, options->config);
        if (result)
            return result;
    }
    weir_remove(context, WAITING, &row->key);
    return WEIR_OK;
}

static enum weir_result on_row(struct enrich *enrich, struct weir_context *context,
                               const struct weir_record *row)
{
    struct weir_bytes old;
    if (weir_get(context, ROW, &row->key, &old) && old.size >= sizeof(int64_t)) {
        int64_t time;
        memcpy(&time, old.data, sizeof time);
        if (row->time < time)
            return WEIR_OK;
    }
    if (enrich->options->empty_removes && row->value.size == 0) {
        weir_remove(context, ROW, &row->key);
        return WEIR_OK;
    }
    enrich->value.size = 0;
    if (!block_append(&enrich->value, weir_memory(context), &row->time, sizeof row->time) ||
        !block_append(&enrich->value, weir_memory(context), row->value.data, row->value.size))
        return block_none(context);
    enum weir_result result = weir_put(context, ROW, &row->key, view(&enrich->value));
    return result ? result : release_waiting(enrich, context, row);
}

static enum weir_result enrich_process(void *self, struct weir_context *context, unsigned input,
                                       const struct weir_record *record)
{
    return input == TABLE ? on_row(self, context, record) : on_record(self, context, record);
}

/* -------------------------------------------------------------------- waited long enough -- */

/* Gives up the records of a key whose deadline is not after `now`, in enrich->value what is left.
 * Answers how many it gave up; the list's view must not lie in the state that is changed then. */
static uint32_t give_up(struct enrich *enrich, struct weir_context *context, struct weir_bytes key,
                        struct weir_bytes list, int64_t now, bool *failed)
{
    struct weir_record record = {.key = key};
    uint32_t gone = 0;
    enrich->value.size = 0;
    while (!*failed && waiting_next(&list, &record)) {
        if (deadline_of(enrich, record.time) <= now) {
            gone++;
            *failed = without_row(enrich, context, enrich->options->late, &record) != WEIR_OK;
        } else if (!waiting_append(&enrich->value, weir_memory(context), &record)) {
            *failed = block_none(context) != WEIR_OK;
        }
    }
    return gone;
}

static bool store_rest(struct enrich *enrich, struct weir_context *context, struct weir_bytes key)
{
    if (enrich->value.size > 0)
        return weir_put(context, WAITING, &key, view(&enrich->value)) == WEIR_OK;
    weir_remove(context, WAITING, &key);
    return true;
}

/* One step of a look through all who wait. True: it was the last, and the scan is at its begin
 * again; or the run has failed. */
static bool look_through(struct enrich *enrich, struct weir_context *context, int64_t now)
{
    uint32_t gone = 0;
    bool failed = false;
    for (unsigned i = 0; i < STEP_KEYS && gone < STEP_RECORDS && !failed; i++) {
        struct weir_bytes key, list;
        if (!weir_scan_next(context, WAITING, &key, &list)) {
            weir_scan_rewind(context, WAITING);
            return true;
        }
        if (!copy_to(&enrich->key, weir_memory(context), key))
            return block_none(context) != WEIR_OK;
        uint32_t before = gone;
        gone += give_up(enrich, context, view(&enrich->key), list, now, &failed);
        if (gone > before && !failed)
            failed = !store_rest(enrich, context, view(&enrich->key));
    }
    return failed;
}

/* Goes on with the next tag until it has seen all: other things may happen in between. */
static enum weir_result enrich_timer(void *self, struct weir_context *context, enum weir_timer kind,
                                     int64_t time, uint64_t tag)
{
    struct enrich *enrich = self;
    (void)kind;
    if (look_through(enrich, context, weir_watermark(context)))
        return WEIR_OK;
    return weir_timer_set(context, WEIR_TIMER_EVENT, time, tag + 1);
}

/* Every timer has fired by now, so the scan stands at its begin, and it is left there. */
static enum weir_progress enrich_finish(void *self, struct weir_context *context)
{
    struct enrich *enrich = self;
    if (enrich->options->unmatched != WEIR_ENRICH_WAIT)
        return WEIR_END;
    return look_through(enrich, context, WEIR_END_OF_TIME) ? WEIR_END : WEIR_MORE;
}

/* -------------------------------------------------------------------------------- the node -- */

static const struct weir_operator enrich_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "enrich",
    .timers_shared = true, /* they say when to look through who waits */
    .self_size = sizeof(struct enrich),
    .version = 1,
    .guarantee = WEIR_EXACTLY_ONCE,
    .open = enrich_open,
    .process = enrich_process,
    .timer = enrich_timer,
    .finish = enrich_finish,
    .close = enrich_close,
};

static const char *wrong_with(const struct weir_enrich_options *options)
{
    if (!options->combine)
        return "enrich needs a combine callback";
    if ((unsigned)options->unmatched > WEIR_ENRICH_WAIT ||
        (unsigned)options->late > WEIR_ENRICH_CALL)
        return "what becomes of a record without a row is unknown; `late` can't be to wait";
    if (options->wait_limit > WAIT_LIMIT)
        return "at most 1,000 records of a key can wait";
    if (options->wait_ns < 0)
        return "wait_ns is negative";
    return NULL;
}

weir_node weir_enrich(struct weir_graph *graph, const char *name,
                      const struct weir_enrich_options *given)
{
    static const char *const inputs[] = {"in", "table"};
    static const struct weir_state states[] = {
        {WEIR_SIZED(struct weir_state), .name = "row", .version = 1},
        {WEIR_SIZED(struct weir_state), .name = "waiting", .version = 1},
    };
    struct weir_enrich_options options;
    if (!node_options(graph, name, given, &options, sizeof options))
        return NODE_NONE;
    if (options.wait_limit == 0)
        options.wait_limit = WAIT_DEFAULT;
    const char *wrong = wrong_with(&options);
    if (wrong)
        return node_refuse(graph, name, wrong);
    struct weir_node_options node = {
        WEIR_SIZED(struct weir_node_options),
        .name = name,
        .table = &enrich_table,
        .config = weir_graph_keep(graph, &options, sizeof options),
        .parallelism = options.parallelism,
        .states = states,
        .state_count = 2,
        .inputs = inputs,
        .input_count = 2,
    };
    return node.config ? weir_graph_add(graph, &node) : NODE_NONE;
}
