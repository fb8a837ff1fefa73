/* SPDX-License-Identifier: Apache-2.0
 *
 * Timers of an operator: those without a key in a heap of the instance, those of keys in a state of
 * their own beside the declared ones.
 */
#include "context.h"
#include "memory.h"
#include "state_timers.h"
#include "task_inside.h"

#include <string.h>

_Static_assert((int)WEIR_TIMER_CLOCK < (int)PAIR_TIMER_KINDS, "kinds of timers in a state");

enum weir_result weir_timer_set(struct weir_context *context, enum weir_timer kind, int64_t time,
                                uint64_t tag)
{
    if ((unsigned)kind > WEIR_TIMER_CLOCK || !context->table->timer)
        return weir_fail(context, WEIR_INVALID,
                         "it sets a timer without a timer callback, or of an unknown kind");
    if (!timers_set(&context->timers, context->run->allocator, kind, (struct timer){time, tag}))
        return weir_fail(context, WEIR_NO_MEMORY, "out of memory for a timer");
    return WEIR_OK;
}

/* ------------------------------------------------------------------------- with a key -- */

/* NULL: the run has failed. */
static struct state *timers_of(struct weir_context *context, enum weir_timer kind,
                               const struct weir_bytes *key, uint64_t *hash)
{
    struct state *timers = context_timers(context);
    if (context->task->failed)
        return NULL;
    if (!timers || (unsigned)kind > WEIR_TIMER_CLOCK) {
        weir_fail(context, WEIR_INVALID,
                  "it uses a timer of a key without a key_timer callback, or of an unknown kind");
        return NULL;
    }
    if (context->task->mute) {
        weir_fail(context, WEIR_INVALID,
                  "it uses timers of keys in open, load, prepare, save, commit or aborted: only "
                  "process, timer, key_timer, wake and finish may");
        return NULL;
    }
    return context_key_hash(context, key, hash) ? timers : NULL;
}

enum weir_result weir_timer_set_key(struct weir_context *context, enum weir_timer kind,
                                    const struct weir_bytes *key, int64_t time, uint64_t tag)
{
    uint64_t hash;
    struct state *timers = timers_of(context, kind, key, &hash);
    if (!timers)
        return context->task->error.code;
    struct pair_timer timer = {time, tag, kind};
    enum weir_result result = state_timer_set(timers, *key, hash, timer);
    if (result)
        weir_fail(context, result, "a timer of a key of %zu bytes: %s", key->size,
                  weir_result_name(result));
    return result;
}

bool weir_timer_cancel_key(struct weir_context *context, enum weir_timer kind,
                           const struct weir_bytes *key, int64_t time, uint64_t tag)
{
    uint64_t hash;
    struct state *timers = timers_of(context, kind, key, &hash);
    struct pair_timer timer = {time, tag, kind};
    enum weir_result result =
        timers ? state_timer_cancel(timers, *key, hash, timer) : WEIR_NOT_FOUND;
    if (result && result != WEIR_NOT_FOUND)
        weir_fail(context, result, "a timer of a key of %zu bytes: %s", key->size,
                  weir_result_name(result));
    return result == WEIR_OK;
}

/* ------------------------------------------------------------------------------ firing -- */

bool context_has_timers(const struct weir_context *context, enum weir_timer kind)
{
    const struct state *timers = context_timers(context);
    return context->timers.heaps[kind].count > 0 || (timers && state_timer_count(timers, kind));
}

int64_t context_next_timer(const struct weir_context *context, enum weir_timer kind)
{
    const struct state *timers = context_timers(context);
    int64_t own = timers_next(&context->timers, kind);
    int64_t key = timers ? state_timer_next(timers, kind) : INT64_MAX;
    return own < key ? own : key;
}

/* What the callback does may move whatever the state holds. */
static bool keep_key(struct weir_context *context, struct weir_bytes *key)
{
    if (key->size >= context->timer_key_room) {
        memory_release(context->run->allocator, context->timer_key);
        context->timer_key_room = 2 * key->size + 64;
        context->timer_key = memory_take(context->run->allocator, context->timer_key_room);
    }
    if (!context->timer_key) {
        context->timer_key_room = 0;
        return false;
    }
    if (key->size)
        memcpy(context->timer_key, key->data, key->size);
    key->data = context->timer_key;
    return true;
}

static enum weir_result fire_key(struct weir_context *context, enum weir_timer kind, int64_t now)
{
    struct weir_bytes key;
    struct pair_timer timer;
    enum weir_result result = state_timer_take(context_timers(context), kind, now, &key, &timer);
    if (result || !keep_key(context, &key))
        return weir_fail(context, WEIR_NO_MEMORY, "out of memory for a timer that is due");
    return context->table->key_timer(context->self, context, kind, &key, timer.time, timer.tag);
}

bool context_fire_timer(struct weir_context *context, enum weir_timer kind, int64_t now)
{
    int64_t own = timers_next(&context->timers, kind), next = context_next_timer(context, kind);
    struct timer timer;
    if (next > now || (next == INT64_MAX && !context_has_timers(context, kind)))
        return false;
    context->reserve.open = false;
    task_begin_call(context->task, context, "timer");
    enum weir_result result;
    if (own == next && context->table->timer && timers_due(&context->timers, kind, now, &timer))
        result = context->table->timer(context->self, context, kind, timer.time, timer.tag);
    else
        result = fire_key(context, kind, now);
    if (result && !context->task->failed)
        weir_fail(context, result, "timer answered %s", weir_result_name(result));
    task_end_call(context->task);
    return true;
}
