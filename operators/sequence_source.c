/* SPDX-License-Identifier: Apache-2.0
 *
 * sequence_source: the numbers 0 .. count-1. A checkpoint holds a SPLIT item per series of numbers
 * that is still to be sent, so that they can be shared out among another number of subtasks.
 */
#include "weir_operators.h"
#include "block.h"
#include "node.h"
#include "pace.h"

#include <string.h>

#define POLL_RECORDS 256
#define WATERMARK_RECORDS 256

struct series {
    uint64_t next, stride; /* next, next + stride, ... below count */
};
_Static_assert(sizeof(struct series) == 16, "saved in checkpoints");

struct sequence {
    const struct weir_sequence_source_options *options;
    struct block series;      /* of struct series; one, but for a changed parallelism */
    uint64_t since_watermark; /* records */
    struct pace pace;
};

/* How many numbers it still has. */
static uint64_t left_of(const struct series *series, uint64_t count)
{
    return series->next < count ? (count - 1 - series->next) / series->stride + 1 : 0;
}

/* In numbers, and one more: a subtask without any has something to be done with all the same. */
static void tell_progress(const struct sequence *sequence, struct weir_context *context)
{
    const struct series *series = (const void *)sequence->series.data;
    const struct series first = {weir_subtask(context), weir_parallelism(context)};
    uint64_t mine = left_of(&first, sequence->options->count), left = 0;
    if (sequence->options->count == UINT64_MAX)
        return; /* endless */
    for (size_t i = 0; i < sequence->series.size / sizeof *series; i++)
        left += left_of(&series[i], sequence->options->count);
    weir_progress_set(context, 1 + (mine > left ? mine - left : 0), 1 + mine);
}

static enum weir_result sequence_open(void *self, struct weir_context *context, const void *config)
{
    struct sequence *sequence = self;
    struct series mine = {weir_subtask(context), weir_parallelism(context)};
    sequence->options = config;
    pace_start(&sequence->pace, sequence->options->rate, weir_subtask(context),
               weir_parallelism(context), weir_now(context));
    if (weir_restored(context))
        return WEIR_OK;
    if (!block_append(&sequence->series, weir_memory(context), &mine, sizeof mine))
        return block_none(context);
    tell_progress(sequence, context);
    return WEIR_OK;
}

static enum weir_result sequence_load(void *self, struct weir_context *context,
                                      struct weir_loader *loader, uint32_t version)
{
    struct sequence *sequence = self;
    enum weir_item kind;
    struct weir_bytes item;
    (void)version;
    while (weir_load_next(loader, &kind, &item)) {
        struct series series = {0};
        if (item.size == sizeof series)
            memcpy(&series, item.data, sizeof series);
        if (series.stride == 0)
            return weir_fail(context, WEIR_DAMAGED, "a saved position makes no sense");
        if (!block_append(&sequence->series, weir_memory(context), item.data, item.size))
            return block_none(context);
    }
    tell_progress(sequence, context);
    return WEIR_OK;
}

/* The series with the smallest next number, so that times never go back; NULL at the end. */
static struct series *lowest(struct sequence *sequence)
{
    struct series *series = (void *)sequence->series.data, *low = NULL;
    for (size_t i = 0; i < sequence->series.size / sizeof *series; i++)
        if (series[i].next < sequence->options->count && (!low || series[i].next < low->next))
            low = &series[i];
    return low;
}

static int64_t time_of(const struct weir_sequence_source_options *options, uint64_t number)
{
    int64_t offset, time;
    if (options->time_step == 0)
        return WEIR_NO_TIME;
    if (__builtin_mul_overflow(number, options->time_step, &offset) ||
        __builtin_add_overflow(options->first_time, offset, &time))
        return WEIR_END_OF_TIME - 1; /* stands still there rather than start again */
    return time;
}

static enum weir_result send(const struct sequence *sequence, struct weir_context *context,
                             uint64_t number)
{
    const struct weir_sequence_source_options *options = sequence->options;
    uint64_t key = options->keys > 0 ? number % options->keys : number;
    struct weir_record record = {
        {&key, sizeof key}, {&number, sizeof number}, time_of(options, number)};
    return weir_emit(context, 0, &record);
}

/* A number above all others ends a series instead of overflowing. */
static void advance(struct series *series)
{
    if (__builtin_add_overflow(series->next, series->stride, &series->next))
        series->next = UINT64_MAX;
}

static void watermark(struct sequence *sequence, struct weir_context *context)
{
    if (sequence->options->time_step == 0 || ++sequence->since_watermark < WATERMARK_RECORDS)
        return;
    const struct series *low = lowest(sequence);
    sequence->since_watermark = 0;
    if (low)
        weir_emit_watermark(context, time_of(sequence->options, low->next));
}

static enum weir_progress sequence_poll(void *self, struct weir_context *context)
{
    struct sequence *sequence = self;
    int64_t now = sequence->pace.rate > 0 ? weir_now(context) : 0;
    uint64_t most = pace_ready(&sequence->pace, now, POLL_RECORDS), sent = 0;
    struct series *low = lowest(sequence);
    if (!low)
        return WEIR_END;
    if (most == 0)
        return weir_idle(context, pace_deadline(&sequence->pace, now), -1);
    for (; low && sent < most; low = lowest(sequence), sent++) {
        if (send(sequence, context, low->next) != WEIR_OK)
            return WEIR_END;
        advance(low);
        watermark(sequence, context);
    }
    pace_take(&sequence->pace, sent);
    tell_progress(sequence, context);
    return low ? WEIR_MORE : WEIR_END;
}

static enum weir_result sequence_save(void *self, struct weir_context *context,
                                      struct weir_saver *saver)
{
    struct sequence *sequence = self;
    const struct series *series = (const void *)sequence->series.data, *low = lowest(sequence);
    (void)context;
    for (size_t i = 0; i < sequence->series.size / sizeof *series; i++)
        if (series[i].next < sequence->options->count)
            weir_save(saver, WEIR_ITEM_SPLIT, (struct weir_bytes){&series[i], sizeof series[i]});
    if (low)
        weir_save_note(saver, "next number %llu", (unsigned long long)low->next);
    else
        weir_save_note(saver, "all sent");
    return WEIR_OK;
}

static void sequence_close(void *self, struct weir_context *context)
{
    block_free(&((struct sequence *)self)->series, weir_memory(context));
}

static const struct weir_operator sequence_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "sequence_source",
    .self_size = sizeof(struct sequence),
    .version = 1,
    .guarantee = WEIR_EXACTLY_ONCE,
    .open = sequence_open,
    .poll = sequence_poll,
    .save = sequence_save,
    .load = sequence_load,
    .close = sequence_close,
};

weir_node weir_sequence_source(struct weir_graph *graph, const char *name,
                               const struct weir_sequence_source_options *given)
{
    struct weir_sequence_source_options options;
    if (!node_options(graph, name, given, &options, sizeof options))
        return NODE_NONE;
    if (options.time_step < 0 || options.rate > PACE_RATE_LIMIT) {
        weir_graph_fail(graph,
                        "node %s: time_step is negative, or rate over 1000000000 records a second",
                        name);
        return NODE_NONE;
    }
    const void *config = weir_graph_keep(graph, &options, sizeof options);
    return config ? node_add(graph, name, &sequence_table, config, options.parallelism) : NODE_NONE;
}
