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

bool gate_init(struct gate *gate, const struct weir_allocator *allocator, uint32_t inputs,
               uint32_t window_batches, uint64_t window_bytes, uint32_t epoch, uint64_t restored_id)
{
    gate->allocator = allocator;
    gate->input_count = inputs;
    gate->epoch = epoch;
    /* Half a window at a time: a credit message for each batch would double the traffic, a whole
     * window would stop the writer. */
    gate->credit_step = window_batches > 1 ? window_batches / 2 : 1;
    gate->credit_bytes = window_bytes / 2;
    gate->credit_round = 2 * (uint64_t)gate->credit_step * inputs; /* seldom more than is due */
    gate->inputs = memory_zeroed(allocator, inputs + 1, sizeof *gate->inputs);
    gate->bits = memory_zeroed(allocator, aligner_words(inputs), sizeof *gate->bits);
    if (!gate->inputs || !gate->bits)
        return false;
    for (uint32_t i = 0; i < inputs; i++)
        gate->inputs[i].watermark = WEIR_NO_TIME;
    aligner_init(&gate->aligner, inputs, gate->bits, restored_id);
    return true;
}

void gate_free(struct gate *gate)
{
    for (uint32_t i = 0; gate->inputs && i < gate->input_count; i++) {
        struct gate_input *input = &gate->inputs[i];
        for (uint32_t k = 0; k < input->count; k++)
            batch_release(input->queue[(input->head + k) % input->room].batch);
        memory_release(gate->allocator, input->queue);
    }
    memory_release(gate->allocator, gate->inputs);
    memory_release(gate->allocator, gate->bits);
    gate->inputs = NULL;
    gate->bits = NULL;
}

/* ---------------------------------------------------------------------- the queue -- */

static bool queue_room(struct gate *gate, struct gate_input *input)
{
    if (input->count < input->room)
        return true;
    uint32_t room = input->room ? input->room * 2 : 16;
    struct gate_item *larger = memory_take(gate->allocator, room * sizeof *larger);
    if (!larger)
        return false;
    for (uint32_t i = 0; i < input->count; i++)
        larger[i] = input->queue[(input->head + i) % input->room];
    memory_release(gate->allocator, input->queue);
    input->queue = larger;
    input->head = 0;
    input->room = room;
    return true;
}

static void pop(struct gate *gate, struct gate_input *input)
{
    input->head = (input->head + 1) % input->room;
    input->count--;
    input->offset = 0;
    gate->queued--;
    gate->filled -= input->count == 0;
}

bool gate_deliver(struct gate *gate, uint32_t index, const struct message *message,
                  struct weir_error *error)
{
    struct gate_input *input = &gate->inputs[index];
    bool old = message->sequence <= input->sequence && !WEIR_PLANT(sequence_unchecked);
    if (message->epoch != gate->epoch || old) { /* G1 */
        gate->duplicates++;
        batch_release(message->payload);
        return true;
    }
    enum weir_result result = WEIR_OK;
    if (message->sequence != input->sequence + 1 && !WEIR_PLANT(sequence_unchecked))
        result = error_set(error, WEIR_PROTOCOL, 0,
                           "channel %u: item %llu came after item %llu: something was lost on the "
                           "way; restart from the last checkpoint",
                           message->channel, (unsigned long long)message->sequence,
                           (unsigned long long)input->sequence);
    else if (message->kind == MESSAGE_BATCH && !message->payload)
        result = error_set(error, WEIR_PROTOCOL, 0, "channel %u: a batch without content",
                           message->channel);
    else if (!queue_room(gate, input))
        result = error_memory(error, "an input queue", input->room * sizeof *input->queue);
    if (result) {
        batch_release(message->payload);
        return false;
    }
    bool batch = message->kind == MESSAGE_BATCH;
    if (!batch)
        batch_release(message->payload);
    input->sequence++;
    gate->queued++;
    gate->filled += input->count == 0;
    input->queue[(input->head + input->count++) % input->room] = (struct gate_item){
        .kind = message->kind, .batch = batch ? message->payload : NULL, .id = message->id};
    return true;
}

/* -------------------------------------------------------------------------- credits -- */

static void return_credit(struct gate *gate, struct gate_input *input)
{
    struct message message = {
        .kind = MESSAGE_CREDIT,
        .epoch = gate->epoch,
        .channel = input->channel,
        .id = input->done_bytes,
        .value = input->done_batches,
    };
    /* No room: it is due again at the next batch or wait. */
    if (pipe_send(input->credits, &message) && !WEIR_PLANT(credit_returned_twice)) {
        input->done_batches = 0;
        input->done_bytes = 0;
    }
}

bool gate_return_credits(struct gate *gate)
{
    bool all = true;
    gate->round_done = 0;
    for (uint32_t i = 0; i < gate->input_count; i++) {
        if (gate->inputs[i].done_batches)
            return_credit(gate, &gate->inputs[i]);
        all = all && !gate->inputs[i].done_batches;
    }
    return all;
}

static void finish_batch(struct gate *gate, uint32_t index)
{
    struct gate_input *input = &gate->inputs[index];
    struct batch *batch = input->queue[input->head].batch;
    input->done_batches++;
    input->done_bytes += batch->size;
    batch_release(batch);
    pop(gate, input);
    if (++gate->round_done >= gate->credit_round) /* G5 */
        gate_return_credits(gate);
    else if (input->done_batches >= gate->credit_step || input->done_bytes >= gate->credit_bytes)
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

/* The head batch stands at a mark: take it. */
static void take_mark(struct gate *gate, uint32_t index)
{
    struct gate_input *input = &gate->inputs[index];
    const struct batch *batch = input->queue[input->head].batch;
    struct item_mark item;
    memcpy(&item, batch->data + input->offset, sizeof item);
    input->idle = item.head.value_size == ITEM_IDLE;
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
    if (item.kind == MESSAGE_BATCH)
        return read_batch(gate, index, limit);
    pop(gate, input); /* G3: reached */
    return (struct gate_next){
        .what = item.kind == MESSAGE_MARKER ? GATE_MARKER : GATE_END,
        .input = index,
        .id = item.id,
    };
}

struct gate_next gate_read(struct gate *gate, uint32_t limit)
{
    for (uint32_t k = 0; gate->filled && k < gate->input_count; k++) {
        uint32_t index = gate->next + k;
        if (index >= gate->input_count)
            index -= gate->input_count;
        if (gate->inputs[index].count && !aligner_holds(&gate->aligner, index)) /* G2 */
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

int64_t gate_watermark(const struct gate *gate)
{
    int64_t least = WEIR_END_OF_TIME;
    bool counted = false, ended = true;
    for (uint32_t i = 0; i < gate->input_count; i++) {
        const struct gate_input *input = &gate->inputs[i];
        if (aligner_ended(&gate->aligner, i))
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

bool gate_idle(const struct gate *gate)
{
    bool one = false;
    for (uint32_t i = 0; i < gate->input_count; i++) {
        if (aligner_ended(&gate->aligner, i))
            continue;
        if (!gate->inputs[i].idle)
            return false;
        one = true;
    }
    return one;
}
