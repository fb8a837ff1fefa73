/* SPDX-License-Identifier: Apache-2.0 */
#include "writer_inside.h"

#include <assert.h>

#include "error.h"
#include "memory.h"

/* ---------------------------------------------------------------------- what is stored -- */

/* W6. Without a store there are no holds any more. */
static void drop_use(struct writer *writer, struct writer_stored *stored)
{
    assert(stored->uses > 0);
    if (--stored->uses > 0)
        return;
    if (writer->store)
        store_let_go(writer->store, &stored->place);
    memory_release(writer->run->allocator, stored);
}

/* Called by whoever had the segment last. */
static void forget(void *stored)
{
    struct writer_stored *mine = stored;
    struct writer_stored *_Atomic *list = &mine->writer->needless;
    mine->next = atomic_load_explicit(list, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(list, &mine->next, mine, memory_order_release,
                                                  memory_order_relaxed))
        ;
}

void writer_clear_needless(struct writer *writer)
{
    struct writer_stored *next =
        atomic_exchange_explicit(&writer->needless, NULL, memory_order_acquire);
    for (struct writer_stored *stored; (stored = next);) {
        next = stored->next;
        drop_use(writer, stored);
    }
}

void writer_forget(struct writer *writer)
{
    if (!writer->run)
        return;
    writer->store = NULL;
    writer_clear_needless(writer);
}

void writer_adopt(struct writer *writer, struct segment *segment,
                  const struct manifest_segment *place)
{
    struct weir_error error;
    struct writer_stored *stored = memory_zeroed(writer->run->allocator, 1, sizeof *stored);
    if (!stored || store_hold(writer->store, place, &error)) {
        memory_release(writer->run->allocator, stored);
        return;
    }
    *stored = (struct writer_stored){.writer = writer, .uses = 1, .place = *place};
    struct writer_stored *before = segment->stored;
    segment->stored = stored;
    segment->forget = forget;
    if (before) /* rounds that name it still use it */
        drop_use(writer, before);
}

/* Another round may have been first: then the newer place is as good, and in less waste. */
void writer_know_stored(struct writer *writer, struct writer_round *round)
{
    for (uint32_t i = 0; i < round->fresh_count; i++) {
        const struct writer_fresh *fresh = &round->fresh[i];
        writer_adopt(writer, fresh->segment, &round->tasks[fresh->instance].state[fresh->index]);
        segment_release(fresh->segment);
    }
    round->fresh_count = 0;
}

void writer_drop_state(struct writer *writer, struct writer_round *round)
{
    for (uint32_t i = 0; i < round->fresh_count; i++)
        segment_release(round->fresh[i].segment);
    for (uint32_t i = 0; i < round->named_count; i++)
        drop_use(writer, round->named[i]);
    round->fresh_count = round->named_count = 0;
}

/* ------------------------------------------------------------------------ full rounds -- */

void writer_keep_full(struct writer *writer, uint32_t every, bool began_full)
{
    writer->full_every = every;
    writer->since_full = began_full ? 0 : UINT32_MAX;
}

/* Rounds that are open count as if they were committed, until they fail. */
bool writer_is_full_due(const struct writer *writer, const struct writer_round *round)
{
    uint64_t last = 0, since = 0;
    for (uint32_t i = 0; i < STORE_ROUNDS; i++) {
        const struct writer_round *other = &writer->rounds[i];
        if (other != round && other->id && other->full && !other->failed && other->id > last)
            last = other->id;
    }
    for (uint32_t i = 0; i < STORE_ROUNDS; i++) {
        const struct writer_round *other = &writer->rounds[i];
        since += other != round && other->id > last && !other->failed;
    }
    if (!last)
        since += writer->since_full;
    return writer->full_every && since + 1 >= writer->full_every;
}

/* -------------------------------------------------------------------------------- logs -- */

/* Room for one more; NULL: no memory. */
static void *next_of(const struct writer *writer, void *array, uint32_t count, uint32_t *room,
                     size_t size)
{
    if (count < *room)
        return array;
    uint32_t more = *room ? 2 * *room : 16;
    void *larger = memory_resize(writer->run->allocator, array, count * size, more * size);
    if (larger)
        *room = more;
    return larger;
}

/* The place of one more segment of an instance's state; NULL: no memory. */
static struct manifest_segment *next_place(const struct writer *writer, struct manifest_task *task)
{
    uint32_t count = task->state_count;
    if (count == 0 || (count & (count - 1)) == 0) { /* its room is full */
        struct manifest_segment *more =
            memory_resize(writer->run->allocator, task->state, count * sizeof *more,
                          (count ? 2 * (size_t)count : 1) * sizeof *more);
        if (!more)
            return NULL;
        task->state = more;
    }
    return &task->state[task->state_count++];
}

static bool note_fresh(const struct writer *writer, struct writer_round *round,
                       const struct writer_fresh *fresh)
{
    struct writer_fresh *all =
        next_of(writer, round->fresh, round->fresh_count, &round->fresh_room, sizeof *all);
    if (!all)
        return false;
    round->fresh = all;
    round->fresh[round->fresh_count++] = *fresh;
    segment_share(fresh->segment);
    return true;
}

static enum weir_result write_segment(struct writer *writer, struct writer_round *round,
                                      uint32_t instance, uint32_t state, struct segment *segment,
                                      struct weir_error *error)
{
    struct manifest_task *task = &round->tasks[instance];
    struct writer_fresh fresh = {segment, instance, task->state_count};
    struct manifest_segment *place = next_place(writer, task);
    if (!place)
        return error_memory(error, "the list of state", sizeof *place);
    enum weir_result result =
        store_segment(writer->store, round->id, instance, state, segment, place, error);
    if (result)
        return result;
    round->bytes += manifest_segment_bytes(place);
    return note_fresh(writer, round, &fresh)
               ? WEIR_OK
               : error_memory(error, "the list of what is written", sizeof fresh);
}

static enum weir_result name_segment(const struct writer *writer, struct writer_round *round,
                                     uint32_t instance, struct writer_stored *stored,
                                     struct weir_error *error)
{
    struct writer_stored **named =
        next_of(writer, round->named, round->named_count, &round->named_room, sizeof *named);
    struct manifest_segment *place = named ? next_place(writer, &round->tasks[instance]) : NULL;
    if (named)
        round->named = named;
    if (!place)
        return error_memory(error, "the list of state", sizeof *place);
    *place = stored->place;
    stored->uses++;
    round->named[round->named_count++] = stored;
    return WEIR_OK;
}

/* W5 */
static bool may_be_named(const struct writer *writer, const struct writer_round *round,
                         const struct writer_stored *stored)
{
    return stored && !round->full && !store_is_wasteful(writer->store, &stored->place);
}

static enum weir_result write_log(struct writer *writer, struct writer_round *round,
                                  uint32_t instance, const struct message *message,
                                  struct weir_error *error)
{
    const struct state_cut *cut = logs_of_payload(message->payload);
    enum weir_result result = WEIR_OK;
    for (uint32_t i = 0; !result && i < cut->count; i++) {
        struct segment *segment = cut->segments[i];
        result =
            may_be_named(writer, round, segment->stored)
                ? name_segment(writer, round, instance, segment->stored, error)
                : write_segment(writer, round, instance, (uint32_t)message->value, segment, error);
    }
    return result;
}

enum weir_result writer_write_logs(struct writer *writer, struct writer_round *round,
                                   uint32_t instance, struct weir_error *error)
{
    const struct writer_content *logs = &round->logs[instance];
    enum weir_result result = WEIR_OK;
    writer_clear_needless(writer);
    for (uint32_t i = 0; !result && i < logs->count; i++)
        result = write_log(writer, round, instance, &logs->items[i], error);
    return result;
}
