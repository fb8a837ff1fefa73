/* SPDX-License-Identifier: Apache-2.0 */
#include "gate.h"

#include <assert.h>
#include <string.h>

#include "error.h"
#include "item.h"
#include "memory.h"
#include "plant.h"

_Static_assert(ITEM_SIZE_LIMIT == WEIR_KEY_LIMIT && ITEM_SIZE_LIMIT == WEIR_VALUE_LIMIT,
               "what travels may be recorded");
_Static_assert(ITEM_NO_TIME == WEIR_NO_TIME, "no time is spelled the same way everywhere");

/* Markers and END need no credit, so a few of them may be under way besides a window of batches. */
#define ASIDE_CONTROLS 16

bool gate_init(struct gate *gate, const struct gate_options *options)
{
    const struct weir_allocator *allocator = options->allocator;
    uint32_t inputs = options->input_count, window = options->window_batches;
    gate->options = *options;
    gate->input_count = inputs;
    gate->input_room = inputs + 1;
    /* Half a window at a time: a credit message for each batch would double the traffic, a whole
     * window would stop the writer. */
    gate->credit_step = window > 1 ? window / 2 : 1;
    gate->credit_bytes = options->window_bytes / 2;
    gate->credit_round = 2 * (uint64_t)gate->credit_step * inputs; /* seldom more than is due */
    gate->aside_room = window + ASIDE_CONTROLS;
    gate->last = WEIR_NO_TIME;
    gate->inputs = memory_zeroed(allocator, inputs + 1, sizeof *gate->inputs);
    gate->aligned = memory_zeroed(allocator, inputs + 1, sizeof *gate->aligned);
    spill_init(&gate->spill, allocator, options->scratch, options->epoch, options->task);
    if (!gate->inputs || !gate->aligned)
        return false;
    for (uint32_t i = 0; i < inputs; i++)
        gate->inputs[i].watermark = WEIR_NO_TIME;
    return true;
}

void gate_align(struct gate *gate)
{
    aligner_init(&gate->aligner, gate->aligned, gate->input_count, gate->options.eager,
                 gate->options.restored_id);
}

static bool more_inputs(struct gate *gate)
{
    const struct weir_allocator *allocator = gate->options.allocator;
    uint32_t old = gate->input_room, room = 2 * old + 16;
    if (gate->input_count < old)
        return true;
    struct aligner_input *aligned = memory_zeroed(allocator, room, sizeof *aligned);
    struct gate_input *inputs = aligned ? memory_resize(allocator, gate->inputs,
                                                        old * sizeof *inputs, room * sizeof *inputs)
                                        : NULL;
    if (!inputs) {
        memory_release(allocator, aligned);
        return false;
    }
    memcpy(aligned, gate->aligned, old * sizeof *aligned);
    memory_release(allocator, gate->aligned);
    gate->aligned = aligned;
    gate->inputs = inputs;
    gate->input_room = room;
    return true;
}

uint32_t gate_add_restored(struct gate *gate, const struct gate_input *facts)
{
    if (!more_inputs(gate))
        return UINT32_MAX;
    uint32_t slot = gate->input_count++;
    gate->inputs[slot] = *facts;
    gate->inputs[slot].watermark = WEIR_NO_TIME;
    gate->aligned[slot] = (struct aligner_input){.feedback = true, .end_arrived = true};
    gate->restored_count++;
    gate->restored_left++;
    gate_align(gate);
    return slot;
}

static void release_item(struct gate *gate, struct gate_item *item)
{
    if (!item->spilled) {
        batch_release(item->batch);
        return;
    }
    gate->spilled -= item->slice->size;
    spill_release(item->slice);
    memory_release(gate->options.allocator, item->slice);
}

void gate_free(struct gate *gate)
{
    const struct weir_allocator *allocator = gate->options.allocator;
    for (uint32_t i = 0; gate->inputs && i < gate->input_count; i++) {
        struct gate_input *input = &gate->inputs[i];
        for (uint32_t k = 0; k < input->count; k++)
            release_item(gate, &input->queue[(input->head + k) % input->room]);
        for (uint32_t k = 0; k < input->aside_count; k++)
            batch_release(input->aside[k].payload);
        memory_release(allocator, input->queue);
        memory_release(allocator, input->aside);
    }
    spill_free(&gate->spill);
    memory_release(allocator, gate->inputs);
    memory_release(allocator, gate->aligned);
    gate->inputs = NULL;
    gate->aligned = NULL;
}

static bool is_feedback(const struct gate *gate, uint32_t index)
{
    return gate->aligned[index].feedback;
}

/* ---------------------------------------------------------------------- the queue -- */

static bool queue_room(struct gate *gate, struct gate_input *input)
{
    if (input->count < input->room)
        return true;
    const struct weir_allocator *allocator = gate->options.allocator;
    uint32_t room = input->room ? input->room * 2 : 16;
    struct gate_item *larger = memory_take(allocator, room * sizeof *larger);
    if (!larger)
        return false;
    for (uint32_t i = 0; i < input->count; i++)
        larger[i] = input->queue[(input->head + i) % input->room];
    memory_release(allocator, input->queue);
    input->queue = larger;
    input->head = 0;
    input->room = room;
    return true;
}

static void hold(struct gate *gate, struct gate_input *input, const struct batch *batch)
{
    input->held += content_weight(batch);
    gate->held += content_weight(batch);
}

static void let_go(struct gate *gate, struct gate_input *input, const struct batch *batch)
{
    input->held -= content_weight(batch);
    gate->held -= content_weight(batch);
}

/* There must be room. */
static void push(struct gate *gate, struct gate_input *input, struct gate_item item)
{
    gate->queued++;
    gate->filled += input->count == 0;
    input->queue[(input->head + input->count++) % input->room] = item;
    if (item.kind == MESSAGE_BATCH && !item.spilled)
        hold(gate, input, item.batch);
}

static void pop(struct gate *gate, struct gate_input *input)
{
    input->head = (input->head + 1) % input->room;
    input->count--;
    input->offset = 0;
    gate->queued--;
    gate->filled -= input->count == 0;
}

/* ------------------------------------------------------------------------- on disk -- */

/* A feedback edge's queue is in memory up to a window; so is what is logged of it, until the budget
 * is spent. */
static bool is_to_spill(const struct gate *gate, uint32_t index)
{
    const struct gate_input *input = &gate->inputs[index];
    if (!is_feedback(gate, index) || !gate->options.scratch)
        return false;
    bool logged = gate->spill_all && aligner_logs(&gate->aligner, index);
    return logged || input->held >= gate->options.window_bytes;
}

/* Becomes a part of the last item, or an item of its own. */
static bool push_slice(struct gate *gate, struct gate_input *input, struct spill_slice *slice)
{
    if (input->count) {
        struct gate_item *last = &input->queue[(input->head + input->count - 1) % input->room];
        if (last->kind == MESSAGE_BATCH && last->spilled && spill_join(last->slice, slice))
            return true;
    }
    struct spill_slice *own = memory_take(gate->options.allocator, sizeof *own);
    if (!own)
        return false;
    *own = *slice;
    push(gate, input, (struct gate_item){.kind = MESSAGE_BATCH, .spilled = true, .slice = own});
    return true;
}

static enum weir_result spill_batch(struct gate *gate, uint32_t index, struct batch *batch,
                                    struct weir_error *error)
{
    struct gate_input *input = &gate->inputs[index];
    struct spill_slice slice = {0};
    enum weir_result result = spill_put(&gate->spill, batch, &slice, error);
    if (result)
        return result;
    if (gate->options.content && aligner_logs(&gate->aligner, index))
        content_add_slice(gate->options.content, input->channel, &slice);
    if (!push_slice(gate, input, &slice)) {
        spill_release(&slice);
        return error_memory(error, "a queue on disk", sizeof slice);
    }
    gate->spilled += batch->size;
    batch_release(batch);
    return WEIR_OK;
}

/* The head of the queue comes back into memory. */
static bool load_head(struct gate *gate, struct gate_input *input)
{
    struct gate_item *head = &input->queue[input->head];
    struct batch *batch = NULL;
    if (spill_get(head->slice, gate->options.allocator, &batch, &gate->error))
        return false;
    release_item(gate, head);
    head->spilled = false;
    head->batch = batch;
    hold(gate, input, batch);
    return true;
}

/* ------------------------------------------------------------------------- arrival -- */

static void return_credit(struct gate *gate, struct gate_input *input);

static void credit_arrival(struct gate *gate, struct gate_input *input, const struct batch *batch)
{
    input->used_batches++;
    input->used_bytes += batch->size;
    if (input->used_batches - input->told_batches >= gate->credit_step ||
        input->used_bytes - input->told_bytes >= gate->credit_bytes)
        return_credit(gate, input);
}

/* Into the queue; what belongs to a cut is recorded. Takes the batch, unless it fails. */
static enum weir_result arrive_batch(struct gate *gate, uint32_t index, struct batch *batch,
                                     struct weir_error *error)
{
    struct gate_input *input = &gate->inputs[index];
    if (is_feedback(gate, index)) /* G7 */
        credit_arrival(gate, input, batch);
    if (is_to_spill(gate, index))
        return spill_batch(gate, index, batch, error);
    if (gate->options.content && aligner_logs(&gate->aligner, index) &&
        !WEIR_PLANT(arrivals_not_logged))
        content_add(gate->options.content, input->channel, false, batch, 0);
    push(gate, input, (struct gate_item){.kind = MESSAGE_BATCH, .batch = batch});
    return WEIR_OK;
}

/* The next item of its channel. Takes the payload, unless it fails. */
static enum weir_result arrive(struct gate *gate, uint32_t index, const struct message *message,
                               unsigned *verdict, struct weir_error *error)
{
    struct gate_input *input = &gate->inputs[index];
    bool batch = message->kind == MESSAGE_BATCH;
    if (gate->aligned[index].end_arrived)
        return error_set(error, WEIR_PROTOCOL, 0, "channel %u: something came behind its end",
                         message->channel);
    if (batch && !message->payload)
        return error_set(error, WEIR_PROTOCOL, 0, "channel %u: a batch without content",
                         message->channel);
    if (!queue_room(gate, input))
        return error_memory(error, "an input queue", input->room * sizeof *input->queue);
    if (batch) {
        enum weir_result result = arrive_batch(gate, index, message->payload, error);
        input->sequence += result == WEIR_OK;
        return result;
    }
    batch_release(message->payload);
    input->sequence++;
    push(gate, input, (struct gate_item){.kind = message->kind, .id = message->id});
    *verdict = message->kind == MESSAGE_MARKER
                   ? aligner_arrived(&gate->aligner, index, message->id) /* P6 */
                   : aligner_end_arrived(&gate->aligner, index);
    return WEIR_OK;
}

/* --- out of order --- */

static void note_gap(struct gate *gate, struct gate_input *input)
{
    bool gap = input->aside_count > 0 || input->promised > input->sequence;
    gate->gap_count += gap;
    gate->gap_count -= input->gap;
    if (gap && !input->gap)
        input->gap_mark = UINT64_MAX; /* not looked at yet */
    input->gap = gap;
}

static bool is_aside(const struct gate_input *input, uint64_t sequence)
{
    for (uint32_t i = 0; i < input->aside_count; i++)
        if (input->aside[i].sequence == sequence)
            return true;
    return false;
}

/* Takes the payload, unless it fails. */
static enum weir_result put_aside(struct gate *gate, struct gate_input *input,
                                  const struct message *message, struct weir_error *error)
{
    if (message->sequence - input->sequence > gate->aside_room)
        return error_set(error, WEIR_PROTOCOL, 0,
                         "channel %u: item %llu came after item %llu: something was lost on the "
                         "way; restart from the last checkpoint",
                         message->channel, (unsigned long long)message->sequence,
                         (unsigned long long)input->sequence);
    if (is_aside(input, message->sequence)) {
        gate->duplicates++;
        batch_release(message->payload);
        return WEIR_OK;
    }
    if (!input->aside)
        input->aside =
            memory_zeroed(gate->options.allocator, gate->aside_room, sizeof *input->aside);
    if (!input->aside)
        return error_memory(error, "items out of order", gate->aside_room * sizeof *input->aside);
    assert(input->aside_count < gate->aside_room);
    input->aside[input->aside_count++] = *message;
    note_gap(gate, input);
    return WEIR_OK;
}

bool gate_deliver_aside(struct gate *gate, uint32_t index, struct message *message)
{
    struct gate_input *input = &gate->inputs[index];
    for (uint32_t i = 0; i < input->aside_count; i++) {
        if (input->aside[i].sequence != input->sequence + 1)
            continue;
        *message = input->aside[i];
        input->aside[i] = input->aside[--input->aside_count];
        note_gap(gate, input);
        return true;
    }
    return false;
}

bool gate_deliver(struct gate *gate, uint32_t index, const struct message *message,
                  unsigned *verdict, struct weir_error *error)
{
    struct gate_input *input = &gate->inputs[index];
    bool checked = !WEIR_PLANT(sequence_unchecked);
    *verdict = ALIGNER_NONE;
    if (message->epoch != gate->options.epoch ||
        (message->sequence <= input->sequence && checked)) { /* G1 */
        gate->duplicates++;
        batch_release(message->payload);
        return true;
    }
    enum weir_result result;
    if (message->sequence != input->sequence + 1 && checked)
        result = put_aside(gate, input, message, error);
    else
        result = arrive(gate, index, message, verdict, error);
    if (result)
        batch_release(message->payload);
    if (input->gap)
        note_gap(gate, input);
    return result == WEIR_OK;
}

void gate_promise(struct gate *gate, uint32_t index, const struct message *message)
{
    struct gate_input *input = &gate->inputs[index];
    if (message->epoch != gate->options.epoch || message->sequence <= input->promised)
        return;
    input->promised = message->sequence;
    note_gap(gate, input);
}

bool gate_stuck(struct gate *gate, struct weir_error *error)
{
    for (uint32_t i = 0; i < gate->input_count; i++) {
        struct gate_input *input = &gate->inputs[i];
        if (input->gap && input->gap_mark == input->sequence) {
            error_set(error, WEIR_PROTOCOL, 0,
                      "channel %u: item %llu does not come, though later ones were sent: something "
                      "was lost on the way; restart from the last checkpoint",
                      input->channel, (unsigned long long)input->sequence + 1);
            return true;
        }
        input->gap_mark = input->sequence;
    }
    return false;
}

/* --- from a checkpoint --- */

enum weir_result gate_restore(struct gate *gate, uint32_t index, struct batch *batch,
                              struct weir_error *error)
{
    struct gate_input *input = &gate->inputs[index];
    enum weir_result result = WEIR_OK;
    if (!queue_room(gate, input))
        result = error_memory(error, "an input queue", input->room * sizeof *input->queue);
    else if (is_to_spill(gate, index))
        result = spill_batch(gate, index, batch, error);
    else
        push(gate, input, (struct gate_item){.kind = MESSAGE_BATCH, .batch = batch});
    if (result)
        batch_release(batch);
    return result;
}

bool gate_end_restored(struct gate *gate)
{
    for (uint32_t i = 0; i < gate->input_count; i++) {
        struct gate_input *input = &gate->inputs[i];
        if (!input->restores)
            continue;
        if (!queue_room(gate, input))
            return false;
        push(gate, input, (struct gate_item){.kind = MESSAGE_END});
    }
    return true;
}

/* ------------------------------------------------------------------------ the cut -- */

static void record_queue(struct gate *gate, uint32_t index)
{
    struct gate_input *input = &gate->inputs[index];
    struct content *content = gate->options.content;
    for (uint32_t k = 0; k < input->count; k++) {
        const struct gate_item *item = &input->queue[(input->head + k) % input->room];
        if (item->kind == MESSAGE_END ||
            (item->kind == MESSAGE_MARKER && item->id == gate->aligner.cut))
            return;
        if (item->kind != MESSAGE_BATCH)
            continue; /* a marker of an id that is dead */
        if (item->spilled)
            content_add_slice(content, input->channel, item->slice);
        else
            content_add(content, input->channel, false, item->batch, k == 0 ? input->offset : 0);
    }
}

void gate_record(struct gate *gate)
{
    for (uint32_t i = 0; i < gate->input_count; i++)
        if (aligner_takes(&gate->aligner, i) && gate->inputs[i].count &&
            !WEIR_PLANT(queues_not_recorded))
            record_queue(gate, i);
}

/* -------------------------------------------------------------------------- credits -- */

static void send_credit(struct gate *gate, struct gate_input *input)
{
    struct message message = {
        .kind = MESSAGE_CREDIT,
        .epoch = gate->options.epoch,
        .channel = input->channel,
        .id = input->used_bytes,
        .value = input->used_batches,
    };
    /* No room: it is due again at the next batch or wait. */
    if (!pipe_send(input->credits, &message))
        return;
    input->told_batches = input->used_batches;
    input->told_bytes = input->used_bytes;
}

static void return_credit(struct gate *gate, struct gate_input *input)
{
    if (input->used_batches != input->told_batches)
        send_credit(gate, input);
}

bool gate_return_credits(struct gate *gate)
{
    bool all = true;
    gate->round_done = 0;
    for (uint32_t i = 0; i < gate->input_count; i++) {
        struct gate_input *input = &gate->inputs[i];
        return_credit(gate, input);
        all = all && input->used_batches == input->told_batches;
    }
    return all;
}

void gate_repeat_credits(struct gate *gate)
{
    for (uint32_t i = 0; i < gate->input_count; i++)
        if (gate->inputs[i].used_batches)
            send_credit(gate, &gate->inputs[i]);
}

static void finish_batch(struct gate *gate, uint32_t index)
{
    struct gate_input *input = &gate->inputs[index];
    struct batch *batch = input->queue[input->head].batch;
    bool feedback = is_feedback(gate, index);
    if (!feedback) {
        input->used_batches += WEIR_PLANT(credit_returned_twice) ? 2 : 1;
        input->used_bytes += batch->size;
    }
    let_go(gate, input, batch);
    batch_release(batch);
    pop(gate, input);
    if (++gate->round_done >= gate->credit_round) /* G5 */
        gate_return_credits(gate);
    else if (!feedback && (input->used_batches - input->told_batches >= gate->credit_step ||
                           input->used_bytes - input->told_bytes >= gate->credit_bytes))
        return_credit(gate, input);
    gate->next = index + 1 == gate->input_count ? 0 : index + 1; /* G4 */
}

/* -------------------------------------------------------------------------- reading -- */

/* One record at `at`; how many bytes it takes, 0: not well-formed, or a mark (*mark). */
static inline size_t decode_one(const unsigned char *at, size_t left, struct weir_record *record,
                                bool *mark)
{
    struct item_head item;
    if (left < sizeof item)
        return 0;
    memcpy(&item, at, sizeof item);
    if (item.key_size == ITEM_MARK) {
        *mark = left >= sizeof(struct item_mark);
        return 0;
    }
    bool timed = (item.value_size & ITEM_TIMED) != 0;
    size_t value_size = item.value_size & ~ITEM_TIMED;
    size_t size = item_size(item.key_size, value_size, timed);
    if (size > left)
        return 0;
    const unsigned char *key = at + sizeof item;
    record->time = WEIR_NO_TIME;
    if (timed) {
        memcpy(&record->time, key, sizeof record->time);
        key += sizeof record->time;
    }
    record->key = (struct weir_bytes){key, item.key_size};
    record->value = (struct weir_bytes){key + item_round(item.key_size), value_size};
    return size;
}

/* Decodes records from the input's head batch, up to a mark or the limit. False: not well-formed.
 */
static bool decode(struct gate *gate, const struct gate_input *input, uint32_t limit,
                   uint32_t *count)
{
    const struct batch *batch = input->queue[input->head].batch;
    const unsigned char *at = batch->data + input->offset;
    size_t left = batch->size - input->offset;
    bool mark = false;
    uint32_t n = 0;
    while (n < limit && left) {
        size_t size = decode_one(at, left, &gate->records[n], &mark);
        if (!size)
            break;
        at += size;
        left -= size;
        n++;
    }
    *count = n;
    return mark || n == limit || !left;
}

/* What travels on a feedback edge says nothing of time. */
static bool is_timed(const struct gate *gate, uint32_t index)
{
    const struct gate_input *input = &gate->inputs[index];
    return input->restores ? !input->timeless : !gate->aligned[index].feedback;
}

/* The head batch stands at a mark: take it. */
static void take_mark(struct gate *gate, uint32_t index)
{
    struct gate_input *input = &gate->inputs[index];
    const struct batch *batch = input->queue[input->head].batch;
    struct item_mark item;
    memcpy(&item, batch->data + input->offset, sizeof item);
    input->idle = item.head.value_size == ITEM_IDLE;
    if (item.time == WEIR_END_OF_TIME && is_timed(gate, index) && input->watermark > gate->last)
        gate->last = input->watermark;
    if (!input->idle && item.time > input->watermark) /* never goes back */
        input->watermark = item.time;
    input->offset += sizeof item;
    if (input->offset == batch->size)
        finish_batch(gate, index);
}

static struct gate_next read_batch(struct gate *gate, uint32_t index, uint32_t limit)
{
    struct gate_input *input = &gate->inputs[index];
    struct gate_next next = {.input = index};
    if (!decode(gate, input, limit < GATE_SPAN ? limit : GATE_SPAN, &next.count)) {
        next.what = GATE_BROKEN;
    } else if (next.count) {
        next.what = GATE_RECORDS;
        input->idle = false;
    } else if (input->offset < input->queue[input->head].batch->size) {
        next.what = GATE_TIME;
        take_mark(gate, index);
    } else {
        finish_batch(gate, index); /* an empty batch */
        next.what = GATE_TIME;
    }
    return next;
}

static struct gate_next read_head(struct gate *gate, uint32_t index, uint32_t limit)
{
    struct gate_input *input = &gate->inputs[index];
    struct gate_item item = input->queue[input->head];
    if (item.kind == MESSAGE_BATCH && item.spilled && !load_head(gate, input))
        return (struct gate_next){.what = GATE_FAILED, .input = index};
    if (item.kind == MESSAGE_BATCH)
        return read_batch(gate, index, limit);
    pop(gate, input); /* G3: reached */
    gate->restored_left -= input->restores != 0;
    return (struct gate_next){
        .what = item.kind == MESSAGE_MARKER ? GATE_MARKER : GATE_END,
        .input = index,
        .id = item.id,
    };
}

/* G8: something older of its edge is not read to its end. */
static bool is_behind(const struct gate *gate, uint32_t index)
{
    const struct gate_input *input = &gate->inputs[index];
    if (WEIR_PLANT(new_before_old))
        return false;
    for (uint32_t i = 0; i < gate->input_count; i++) {
        const struct gate_input *older = &gate->inputs[i];
        if (older->edge == input->edge && older->restores > input->restores && older->count)
            return true;
    }
    return false;
}

struct gate_next gate_read(struct gate *gate, uint32_t limit)
{
    for (uint32_t k = 0; gate->filled && k < gate->input_count; k++) {
        uint32_t index = gate->next + k;
        if (index >= gate->input_count)
            index -= gate->input_count;
        if (!gate->inputs[index].count || aligner_holds(&gate->aligner, index)) /* G2 */
            continue;
        if (!gate->restored_left || !is_behind(gate, index))
            return read_head(gate, index, limit);
    }
    return (struct gate_next){.what = GATE_NOTHING};
}

void gate_consumed(struct gate *gate, uint32_t index, uint32_t count)
{
    assert(count > 0 && count <= GATE_SPAN);
    struct gate_input *input = &gate->inputs[index];
    const struct batch *batch = input->queue[input->head].batch;
    const struct weir_record *last = &gate->records[count - 1];
    const unsigned char *end =
        (const unsigned char *)last->value.data + item_round(last->value.size);
    input->offset = (size_t)(end - batch->data);
    assert(input->offset <= batch->size);
    if (input->offset == batch->size)
        finish_batch(gate, index);
}

/* ----------------------------------------------------------------------- event time -- */

static bool counts(const struct gate *gate, uint32_t index)
{
    return is_timed(gate, index) && !gate->aligned[index].end_reached;
}

int64_t gate_watermark(const struct gate *gate)
{
    int64_t least = WEIR_END_OF_TIME;
    bool counted = false, ended = true;
    for (uint32_t i = 0; i < gate->input_count; i++) {
        const struct gate_input *input = &gate->inputs[i];
        if (!counts(gate, i))
            continue;
        ended = false;
        if (input->idle)
            continue;
        counted = true;
        if (input->watermark < least)
            least = input->watermark;
    }
    return counted || ended ? least : WEIR_NO_TIME;
}

int64_t gate_last_watermark(const struct gate *gate)
{
    int64_t last = gate->last;
    for (uint32_t i = 0; i < gate->input_count; i++) {
        int64_t own = gate->inputs[i].watermark;
        if (is_timed(gate, i) && own > last && own < WEIR_END_OF_TIME)
            last = own;
    }
    return last;
}

bool gate_idle(const struct gate *gate)
{
    bool one = false;
    for (uint32_t i = 0; i < gate->input_count; i++) {
        if (!counts(gate, i))
            continue;
        if (!gate->inputs[i].idle)
            return false;
        one = true;
    }
    return one;
}
