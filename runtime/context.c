/* SPDX-License-Identifier: Apache-2.0 */
#include "context.h"

#include <stdarg.h>
#include <stdio.h>

#include "clock.h"
#include "error.h"
#include "item.h"
#include "memory.h"
#include "name.h"
#include "plant.h"
#include "poison.h"
#include "task.h"

/* ------------------------------------------------------------------ life of an instance -- */

static bool make_states(struct weir_context *context)
{
    const struct graph_node *node = context->node;
    context->states =
        memory_zeroed(context->run->allocator, node->state_count + 1, sizeof *context->states);
    for (uint32_t i = 0; context->states && i < node->state_count; i++) {
        struct state_type type = {.kind = graph_state_kind(node, i),
                                  .value_size = node->states[i].value_size,
                                  .ttl_ns = node->states[i].ttl_ns};
        context->states[i] = state_new_of(context->run->allocator, &type);
        context->dated |= type.ttl_ns > 0 && node->states[i].ttl_clock == WEIR_TIMER_EVENT;
        if (context->states[i])
            state_count_orphans(context->states[i], context->run->sealed);
        if (context->states[i] && context->run->annex)
            state_use_annex(context->states[i], context->run->annex);
        if (!context->states[i])
            return false;
    }
    return context->states;
}

static size_t discard(void *self, struct weir_context *context, unsigned input,
                      const struct weir_record *records, size_t count)
{
    (void)self, (void)context, (void)input, (void)records;
    return count;
}

/* What stands at the end of a branch when nothing is to be published. */
static const struct weir_operator discarding = {WEIR_SIZED(struct weir_operator), .kind = "discard",
                                                .process_many = discard};

static void limit(struct weir_context *context)
{
    const struct run *run = context->run;
    context->discards = run->no_publish && !context->table->poll &&
                        !graph_leads_on(run->plan.graph, context->node_index);
    if (context->discards)
        context->table = &discarding;
    context->limited = run->until_time > 0 || (context->table->poll && run->until_records > 0);
}

bool context_init(struct weir_context *context, struct task *task, const struct run *run,
                  uint32_t node, uint32_t subtask)
{
    const struct graph_node *graph_node = &run->plan.graph->nodes[node];
    *context = (struct weir_context){
        .task = task,
        .run = run,
        .node = graph_node,
        .table = graph_node->table,
        .node_index = node,
        .subtask = subtask,
        .parallelism = run->plan.nodes[node].parallelism,
        .instance = run->plan.nodes[node].first_instance + subtask,
        .output_count = graph_node->output_count,
        .idle_fd = -1,
        .wake_until = INT64_MAX,
        .place = run->plan.nodes[node].place,
        .poisoned = poison_awaits(run, graph_node->name, subtask),
        .letters = {.allocator = run->allocator, .node = graph_node->name},
        .restored = run->restored_id != 0,
        .wake_fd = -1,
    };
    limit(context);
    size_t self_size = graph_node->table->self_size;
    context->self = memory_zeroed(run->allocator, 1, self_size ? self_size : 1);
    context->outputs =
        memory_zeroed(run->allocator, graph_node->output_count, sizeof *context->outputs);
    context->passed =
        memory_zeroed(run->allocator, graph_node->state_count + 1, sizeof *context->passed);
    context->later = (struct saver_list){.allocator = run->allocator, .sealed = run->sealed};
    return context->self && context->outputs && context->passed && make_states(context);
}

void context_free(struct weir_context *context)
{
    const struct weir_allocator *allocator = context->run->allocator;
    for (uint32_t i = 0; context->outputs && i < context->node->output_count; i++)
        memory_release(allocator, context->outputs[i].targets);
    for (uint32_t i = 0; context->states && i < context->node->state_count; i++)
        if (context->states[i])
            state_free(&context->states[i]);
    for (uint32_t i = 0; context->passed && i < context->node->state_count; i++)
        passed_clear(&context->passed[i], allocator);
    memory_release(allocator, context->passed);
    for (uint32_t i = 0; i < context->handle_count; i++)
        memory_release(allocator, (void *)(uintptr_t)context->handles[i].bytes.data);
    memory_release(allocator, context->handles);
    memory_release(allocator, context->states);
    memory_release(allocator, context->outputs);
    memory_release(allocator, context->reserve.room);
    memory_release(allocator, context->self);
    timers_free(&context->timers, allocator);
    memory_release(allocator, context->timer_key);
    letters_free(&context->letters);
    saver_list_free(&context->later);
    *context = (struct weir_context){.run = context->run, .node = context->node};
}

/* The whole way of a record through a chain is one such call in another: it is kept short. */
static inline void take(struct weir_context *context, uint32_t port,
                        const struct weir_record *record)
{
    const struct weir_operator *table = context->table;
    context->reserve.open = false;
    context->hand = record;
    context->hand_count = 1;
    context->hand_input = port;
    if (table->process) {
        enum weir_result result = table->process(context->self, context, port, record);
        if (result && !context->task->failed)
            weir_fail(context, result, "process answered %s", weir_result_name(result));
    } else if (table->process_many(context->self, context, port, record, 1) != 1 &&
               !context->task->failed) {
        weir_fail(context, WEIR_FAILED, "process_many was given one record and did not take it");
    }
    context->taken++;
}

void context_take(struct weir_context *context, uint32_t port, const struct weir_record *record)
{
    if (!context->task->failed)
        take(context, port, record);
}

uint32_t context_sound(const struct weir_context *context, const struct weir_record *records,
                       uint32_t count)
{
    uint32_t sound = 0;
    while (sound < count && !poison_find(context->run, context->node->name, context->subtask,
                                         context->taken + 1 + sound, &records[sound]))
        sound++;
    return sound;
}

bool context_bury(struct weir_context *context, uint32_t port, const struct weir_record *record)
{
    uint64_t position = context->taken + 1;
    const struct weir_poison *poison =
        poison_find(context->run, context->node->name, context->subtask, position, record);
    if (!poison)
        return false;
    struct letter letter = {.position = position,
                            .input = port,
                            .subtask = context->subtask,
                            .cause = poison->cause,
                            .record = *record};
    if (!letters_add(&context->letters, &letter)) {
        weir_fail(context, WEIR_NO_MEMORY, "out of memory for a dead letter");
        return true;
    }
    context->taken = position;
    run_log(context->run, WEIR_LOG_WARNING, "%s[%u]: record %llu becomes a dead letter: %s",
            context->node->name, context->subtask, (unsigned long long)position, poison->cause);
    return true;
}

/* From another operator's callback: what that one was at is put back. */
static void take_nested(struct weir_context *context, uint32_t port,
                        const struct weir_record *record)
{
    struct task *task = context->task;
    if (task->failed || (context->poisoned && context_bury(context, port, record)))
        return;
    struct pulse_call outer = pulse_enter(&task->pulse, context->place, CALL_PROCESS);
    take(context, port, record);
    pulse_leave(&task->pulse, outer);
}

/* ------------------------------------------------------------------------- plain facts -- */

const char *weir_node_name(const struct weir_context *context)
{
    return context->node->name;
}

uint32_t weir_subtask(const struct weir_context *context)
{
    return context->subtask;
}

uint32_t weir_parallelism(const struct weir_context *context)
{
    return context->parallelism;
}

const char *weir_store_id(const struct weir_context *context)
{
    return context->run->store_id;
}

uint32_t weir_epoch(const struct weir_context *context)
{
    return context->run->epoch;
}

bool weir_restored(const struct weir_context *context)
{
    return context->restored;
}

int64_t weir_now(const struct weir_context *context)
{
    (void)context;
    return clock_now_ns();
}

int64_t weir_wall_time(const struct weir_context *context)
{
    (void)context;
    return clock_wall_ns();
}

uint64_t weir_random(struct weir_context *context)
{
    uint64_t number = 0;
    int status = clock_random(&number, sizeof number);
    if (status < 0)
        weir_fail(context, WEIR_IO, "no random numbers to be had (error %d)", -status);
    return number;
}

int64_t weir_watermark(const struct weir_context *context)
{
    return task_watermark(context->task, context);
}

const struct weir_allocator *weir_memory(const struct weir_context *context)
{
    return context->run->allocator;
}

void weir_log(struct weir_context *context, const char *format, ...)
{
    char text[900];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    run_log(context->run, WEIR_LOG_INFO, "%s[%u]: %s", context->node->name, context->subtask, text);
}

enum weir_result weir_fail_with(struct weir_context *context, const struct weir_error *error)
{
    struct weir_error mine = *error;
    task_note_failure(context->task, context);
    error_within(&mine, "%s[%u]", context->node->name, context->subtask);
    snprintf(mine.node, sizeof mine.node, "%s", context->node->name);
    task_fail(context->task, &mine);
    return mine.code;
}

enum weir_result weir_fail(struct weir_context *context, enum weir_result code, const char *format,
                           ...)
{
    char text[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    struct weir_error error = {0};
    error_set(&error, code ? code : WEIR_FAILED, 0, "%s", text);
    return weir_fail_with(context, &error);
}

enum weir_progress weir_idle(struct weir_context *context, int64_t deadline_ns, int fd)
{
    context->idle_until = deadline_ns;
    context->idle_fd = fd;
    return WEIR_IDLE;
}

static bool may_wait(struct weir_context *context, const char *what)
{
    if (!context->table->wake && !context->task->failed)
        weir_fail(context, WEIR_INVALID, "it calls %s and has no wake callback%s", what,
                  context->table->poll ? ": a source waits with weir_idle" : "");
    return context->table->wake;
}

void weir_wake(struct weir_context *context, int64_t deadline_ns, int fd)
{
    if (!may_wait(context, "weir_wake"))
        return;
    context->wake_until = deadline_ns;
    context->wake_fd = fd;
}

void weir_hold(struct weir_context *context, bool held)
{
    if (may_wait(context, "weir_hold"))
        context->held = held;
}

void weir_watermark_limit(struct weir_context *context, int64_t time)
{
    if (may_wait(context, "weir_watermark_limit"))
        context->task->limit = time;
}

void weir_progress_set(struct weir_context *context, uint64_t done, uint64_t total)
{
    struct task_pulse *pulse = &context->task->pulse;
    if (!context->table->poll) {
        weir_fail(context, WEIR_INVALID, "it calls weir_progress_set and is no source");
        return;
    }
    atomic_store_explicit(&pulse->progress_done, done, memory_order_relaxed);
    atomic_store_explicit(&pulse->progress_total, total, memory_order_relaxed);
}

/* A folder at path, whose last component begins at `slash`. Whoever made it may have died before
 * its name was durable, so the folder it lies in is synced whether it was there or not. */
static enum weir_result make_folder(char *path, size_t slash, struct weir_error *error)
{
    enum weir_result result = weir_folder_make(path, error);
    if (result || WEIR_PLANT(node_folder_unsynced))
        return result;
    path[slash] = 0;
    result = weir_folder_sync(path, error);
    path[slash] = '/';
    return result;
}

enum weir_result weir_store_folder(struct weir_context *context, char *path, size_t room,
                                   struct weir_error *error)
{
    const char *store = context->run->store, *node = context->node->name;
    if (context->run->no_publish)
        return error_set(error, WEIR_INVALID, 0,
                         "%s keeps a folder in the store, which is left alone when nothing is to "
                         "be published: what it reads can't be given again so",
                         node);
    if (!store)
        return error_set(error, WEIR_INVALID, 0,
                         "%s keeps a folder in the store, and the job has none: give it a store",
                         node);
    size_t needed = strlen(store) + sizeof "/" NAME_NODES "/" + strlen(node);
    if (room < needed)
        return error_set(error, WEIR_TOO_LARGE, 0,
                         "%s: the path of its folder in the store takes %zu bytes, not %zu", node,
                         needed, room);
    size_t outer = strlen(store), inner = outer + sizeof "/" NAME_NODES - 1;
    snprintf(path, room, "%s/" NAME_NODES, store);
    enum weir_result result = make_folder(path, outer, error);
    snprintf(path + inner, room - inner, "/%s", node);
    return result ? result : make_folder(path, inner, error);
}

uint64_t weir_hash(struct weir_bytes bytes)
{
    return state_hash(bytes);
}

/* ---------------------------------------------------------------------------- emitting -- */

bool context_spent(const struct weir_context *context)
{
    uint64_t most = context->run->until_records;
    return context->spent || (most > 0 && context->emitted >= most);
}

static enum weir_result emit_refused(struct weir_context *context, unsigned output, size_t key_size,
                                     size_t value_size)
{
    if (context->task->failed)
        return context->task->error.code;
    if (context->task->mute)
        return weir_fail(context, WEIR_INVALID,
                         "it emits in open, load, prepare, save, commit or aborted: only process, "
                         "poll, timer, wake and finish may");
    if (output >= context->node->output_count)
        return weir_fail(context, WEIR_INVALID, "it emits to output %u, and has %u", output,
                         context->node->output_count);
    return weir_fail(context, WEIR_TOO_LARGE,
                     "it emits a record with a key of %zu and a value of %zu bytes; the limits are "
                     "%zu and %zu",
                     key_size, value_size, WEIR_KEY_LIMIT, WEIR_VALUE_LIMIT);
}

static bool may_emit(const struct weir_context *context, unsigned output, size_t key_size,
                     size_t value_size)
{
    return output < context->node->output_count && key_size <= WEIR_KEY_LIMIT &&
           value_size <= WEIR_VALUE_LIMIT && !context->task->mute;
}

/* A time has been given: until_time means something. (Only looked at before it is written, for all
 * tasks come by here.) */
static void note_time(const struct weir_context *context)
{
    _Atomic bool *timed = context->run->timed;
    if (timed && !atomic_load_explicit(timed, memory_order_relaxed))
        atomic_store_explicit(timed, true, memory_order_relaxed);
}

/* Beyond what the run may go: it is as if it had not been given. */
static bool is_beyond(struct weir_context *context, const struct weir_record *record)
{
    bool source = context->table->poll;
    int64_t last = context->run->until_time;
    if (record->time != WEIR_NO_TIME)
        note_time(context);
    bool late = last > 0 && record->time > last;
    bool beyond = late || (source && context_spent(context));
    context->spent |= source && beyond;
    return beyond;
}

static __attribute__((noinline)) enum weir_result
emit_anyhow(struct weir_context *context, unsigned output, const struct weir_record *record)
{
    if (!may_emit(context, output, record->key.size, record->value.size))
        return emit_refused(context, output, record->key.size, record->value.size);
    if (context->limited && is_beyond(context, record))
        return WEIR_OK;
    struct task *task = context->task;
    const struct context_output *to = &context->outputs[output];
    context->reserve.open = false;
    context->emitted++;
    for (uint32_t i = 0; i < to->count; i++) {
        const struct context_target *target = &to->targets[i];
        if (target->direct)
            take_nested(target->direct, target->port, record);
        else if (!outlet_append(&task->outlet, target->edge, record))
            return weir_fail(context, WEIR_NO_MEMORY, "out of memory for its output");
    }
    return task->failed ? task->error.code : WEIR_OK;
}

/* The hot path: one lane, an open batch with room. */
enum weir_result weir_emit(struct weir_context *context, unsigned output,
                           const struct weir_record *record)
{
    _Static_assert(WEIR_KEY_LIMIT == WEIR_VALUE_LIMIT, "one comparison does for both");
    struct task *task = context->task;
    struct outlet_lane *lane =
        output < context->output_count ? context->outputs[output].only : NULL;
    if (!lane || task->mute || (record->key.size | record->value.size) > WEIR_KEY_LIMIT ||
        !outlet_append_to(&task->outlet, lane, record))
        return emit_anyhow(context, output, record);
    context->emitted++;
    return WEIR_OK;
}

static unsigned char *reserve_scratch(struct weir_context *context, struct weir_record *record)
{
    struct context_reserve *reserve = &context->reserve;
    size_t wanted = item_round(record->key.size) + item_round(record->value.size) + 8;
    if (wanted > reserve->capacity) {
        memory_release(context->run->allocator, reserve->room);
        reserve->capacity = wanted < 4096 ? 4096 : wanted;
        reserve->room = memory_take(context->run->allocator, reserve->capacity);
        if (!reserve->room) {
            reserve->capacity = 0;
            return NULL;
        }
    }
    /* The key is copied: it may be a view that the callback is about to overwrite. */
    unsigned char *value = outlet_put(reserve->room, record->key);
    record->key.data = reserve->room;
    record->value.data = value;
    return value;
}

void *weir_emit_reserve(struct weir_context *context, unsigned output, struct weir_bytes key,
                        size_t value_size, int64_t time)
{
    if (!may_emit(context, output, key.size, value_size)) {
        emit_refused(context, output, key.size, value_size);
        return NULL;
    }
    struct context_reserve *reserve = &context->reserve;
    const struct context_output *to = &context->outputs[output];
    reserve->record = (struct weir_record){.key = key, .value = {NULL, value_size}, .time = time};
    reserve->output = output;
    reserve->in_place = to->count == 1 && !to->targets[0].direct && !context->limited;
    unsigned char *value = reserve->in_place
                               ? outlet_reserve(&context->task->outlet, to->targets[0].edge,
                                                &reserve->record, &reserve->place)
                               : reserve_scratch(context, &reserve->record);
    reserve->open = value != NULL;
    if (!value)
        weir_fail(context, WEIR_NO_MEMORY, "out of memory for a record of %zu bytes",
                  key.size + value_size);
    return value;
}

enum weir_result weir_emit_commit(struct weir_context *context, size_t used)
{
    struct context_reserve *reserve = &context->reserve;
    bool held = reserve->open && used <= reserve->record.value.size && !context->task->failed;
    reserve->open = false;
    if (held && reserve->in_place) {
        held = outlet_commit(&reserve->place, used);
        context->emitted += held;
        if (held)
            return WEIR_OK;
    }
    if (!held)
        return weir_fail(
            context, WEIR_INVALID,
            "weir_emit_commit of %zu bytes without a reservation of that many: another "
            "emit or reserve drops it",
            used);
    reserve->record.value.size = used;
    return weir_emit(context, reserve->output, &reserve->record);
}

static bool may_speak_of_time(struct weir_context *context)
{
    if (context->task->mute && !context->task->failed)
        weir_fail(context, WEIR_INVALID,
                  "it emits a watermark in open, load, prepare, save, commit or aborted: only "
                  "process, poll, timer, wake and finish may");
    return !context->task->mute;
}

void weir_emit_watermark(struct weir_context *context, int64_t time)
{
    struct task *task = context->task;
    if (!may_speak_of_time(context))
        return;
    if (context->run->until_time > 0)
        note_time(context);
    if (context->run->until_time > 0 && time > context->run->until_time) {
        time = context->run->until_time;
        task->operators[0].spent = true; /* what follows would be late, or beyond */
    }
    if (time > task->watermark)
        task->watermark = time;
    task->idle_wanted = false;
}

void weir_emit_idle(struct weir_context *context)
{
    if (may_speak_of_time(context))
        context->task->idle_wanted = true;
}

/* ------------------------------------------------------------------------- keyed state -- */

/* Is it the key of a record in hand, and of which? Nearly always of the next one, or again of the
 * last. */
static inline bool in_hand(struct weir_context *context, const struct weir_bytes *key,
                           uint32_t *index)
{
    uint32_t at = context->cursor;
    if (at < context->span_count && key == &context->span[at].key) {
        context->cursor = at + 1;
        *index = at;
        return true;
    }
    uintptr_t distance = (uintptr_t)key - (uintptr_t)context->span;
    if (distance >= context->span_count * sizeof(struct weir_record) ||
        distance % sizeof(struct weir_record) != offsetof(struct weir_record, key))
        return false;
    *index = (uint32_t)(distance / sizeof(struct weir_record));
    context->cursor = *index + 1;
    return true;
}

bool context_key_hash(struct weir_context *context, const struct weir_bytes *key, uint64_t *hash)
{
    uint32_t index;
    if (in_hand(context, key, &index)) {
        *hash = context->hashes[index];
        return true;
    }
    *hash = state_hash(*key);
    uint32_t groups = context->run->key_groups;
    uint32_t owner = state_owner(state_group(*hash, groups), context->parallelism, groups);
    if (owner == context->subtask)
        return true;
    weir_fail(context, WEIR_INVALID,
              "it uses keyed state of a key that belongs to subtask %u: use the key of the record",
              owner);
    return false;
}

static __attribute__((noinline)) void state_refused(struct weir_context *context, unsigned state,
                                                    const char *function)
{
    const struct graph_node *node = context->node;
    if (context->task->failed)
        return;
    if (state >= node->declared_count)
        weir_fail(context, WEIR_INVALID, "it uses state %u, and has declared %u", state,
                  node->declared_count);
    else if (context->task->mute)
        weir_fail(context, WEIR_INVALID,
                  "it uses keyed state in open, load, prepare, save, commit or aborted: only "
                  "process, poll, timer, wake and finish may");
    else
        weir_fail(context, WEIR_INVALID, "it calls %s with state %s, whose kind is %s", function,
                  node->states[state].name, state_kind_text(graph_state_kind(node, state)));
}

void context_event_time_ends(struct weir_context *context)
{
    for (uint32_t i = 0; i < context->node->declared_count; i++) {
        const struct weir_state *declared = &context->node->states[i];
        if (declared->ttl_ns > 0 && declared->ttl_clock == WEIR_TIMER_EVENT)
            state_set_time(context->states[i], weir_watermark(context));
    }
}

/* The records in hand, if there are any, are of one time (task.c, one_time). */
static void tell_time(const struct weir_context *context, struct state *state,
                      enum weir_timer clock)
{
    if (clock == WEIR_TIMER_CLOCK) {
        state_set_time(state, task_wall_ns(context->task));
        return;
    }
    state_set_time(state, weir_watermark(context));
    if (context->hand_count > 0)
        state_write_at(state, context->hand->time);
}

struct state *context_state(struct weir_context *context, unsigned state, unsigned kinds,
                            const char *function)
{
    const struct weir_state *declared = &context->node->states[state];
    if (state >= context->node->declared_count || context->task->mute ||
        !(kinds & STATE_OF(declared->kind))) {
        state_refused(context, state, function);
        return NULL;
    }
    if (declared->ttl_ns > 0)
        tell_time(context, context->states[state], declared->ttl_clock);
    return context->states[state];
}

static struct state *the_state(struct weir_context *context, unsigned state, const char *function)
{
    return context_state(context, state, STATE_OF(WEIR_STATE_VALUE), function);
}

bool context_has_cells(struct weir_context *context, unsigned state)
{
    if (!context->node->states[state].value_size)
        weir_fail(context, WEIR_INVALID,
                  "state %s has values of any size: use get and put, not cells",
                  context->node->states[state].name);
    return context->node->states[state].value_size > 0;
}

static __attribute__((noinline)) void *find_cell(struct weir_context *context, unsigned state,
                                                 const struct weir_bytes *key)
{
    struct state *table = the_state(context, state, "weir_cell");
    uint64_t hash;
    if (!table || !context_has_cells(context, state))
        return NULL;
    if (!context_key_hash(context, key, &hash))
        return NULL;
    void *cell = state_cell(table, *key, hash);
    if (!cell)
        weir_fail(
            context, WEIR_NO_MEMORY,
            "state %s has no cell for a key of %zu bytes: out of memory, or a key over 16 MiB",
            context->node->states[state].name, key->size);
    return cell;
}

/* The hot path: records asked for in order, keys that have been seen before. */
void *weir_cell(struct weir_context *context, unsigned state, const struct weir_bytes *key)
{
    uint32_t at = context->cursor;
    if (state == 0 && at < context->cell_count && key == &context->span[at].key) {
        context->cursor = at + 1;
        if (context->cells[at])
            return context->cells[at];
    }
    return find_cell(context, state, key);
}

/* Of values that expire: asking for those is a write. */
static void *const *write_cells(struct weir_context *context, unsigned state, size_t index,
                                size_t count)
{
    context->cell_count = 0;
    for (size_t i = index; i < index + count; i++) {
        context->cells[i] = find_cell(context, state, &context->span[i].key);
        if (!context->cells[i])
            return NULL;
    }
    return context->cells + index;
}

void *const *weir_cells(struct weir_context *context, unsigned state,
                        const struct weir_record *records, size_t count)
{
    uintptr_t first = (uintptr_t)records - (uintptr_t)context->span;
    size_t index = first / sizeof *records;
    if (first % sizeof *records || index >= context->span_count ||
        count > context->span_count - index) {
        weir_fail(context, WEIR_INVALID, "weir_cells takes records that process_many was given");
        return NULL;
    }
    struct state *table = the_state(context, state, "weir_cells");
    if (!table || !context_has_cells(context, state))
        return NULL;
    if (context->node->states[state].ttl_ns)
        return write_cells(context, state, index, count);
    if (state != 0 || !context->cell_count)
        context->missing = state_resolve(table, &context->span[0].key, sizeof *records,
                                         context->span_count, context->hashes, context->cells);
    context->cell_count = state == 0 ? context->span_count : 0;
    for (size_t i = index; context->missing && i < index + count; i++) {
        if (!context->cells[i])
            context->cells[i] = find_cell(context, state, &context->span[i].key);
        if (!context->cells[i])
            return NULL;
    }
    return context->cells + index;
}

bool weir_get(struct weir_context *context, unsigned state, const struct weir_bytes *key,
              struct weir_bytes *value)
{
    struct state *table = the_state(context, state, "weir_get");
    uint64_t hash;
    return table && context_key_hash(context, key, &hash) && state_get(table, *key, hash, value);
}

enum weir_result weir_put(struct weir_context *context, unsigned state,
                          const struct weir_bytes *key, struct weir_bytes value)
{
    struct state *table = the_state(context, state, "weir_put");
    uint64_t hash;
    if (!table || !context_key_hash(context, key, &hash))
        return context->task->error.code;
    context->cell_count = 0;
    enum weir_result result = state_put(table, *key, hash, value);
    if (result)
        weir_fail(context, result, "state %s: a key of %zu and a value of %zu bytes: %s",
                  context->node->states[state].name, key->size, value.size,
                  weir_result_name(result));
    return result;
}

bool weir_remove(struct weir_context *context, unsigned state, const struct weir_bytes *key)
{
    struct state *table = the_state(context, state, "weir_remove");
    uint64_t hash;
    context->cell_count = 0;
    if (!table || !context_key_hash(context, key, &hash))
        return false;
    enum weir_result result = state_remove(table, *key, hash);
    if (result == WEIR_NO_MEMORY)
        weir_fail(context, result, "state %s: out of memory to remove a key of %zu bytes",
                  context->node->states[state].name, key->size);
    return result == WEIR_OK;
}

static enum weir_result scan_next(struct weir_context *context, unsigned state,
                                  struct weir_bytes *key, struct weir_bytes *value)
{
    if (context->node->states[state].kind == WEIR_STATE_VALUE)
        return state_scan_next(context->states[state], key, value);
    *value = (struct weir_bytes){NULL, 0};
    return state_scan_next_key(context->states[state], key);
}

static bool is_passed(const struct weir_context *context, unsigned state,
                      const struct weir_bytes *key)
{
    const struct passed *passed = &context->passed[state];
    return context->node->states[state].kind == WEIR_STATE_VALUE
               ? passed_holds(passed, state_hash(*key), *key)
               : passed_holds_whole(passed, state_hash(*key), *key);
}

bool weir_scan_next(struct weir_context *context, unsigned state, struct weir_bytes *key,
                    struct weir_bytes *value)
{
    struct state *table = context_state(context, state, ANY_STATE, "weir_scan_next");
    if (!table)
        return false;
    enum weir_result result = scan_next(context, state, key, value);
    struct passed *passed = &context->passed[state];
    while (!result && passed->count && is_passed(context, state, key))
        result = scan_next(context, state, key, value);
    if (result == WEIR_NOT_FOUND)
        passed_clear(passed, context->run->allocator); /* the scan stands behind all of them */
    if (result == WEIR_NO_MEMORY)
        weir_fail(context, result, "state %s: out of memory to scan it",
                  context->node->states[state].name);
    return result == WEIR_OK;
}

void weir_scan_rewind(struct weir_context *context, unsigned state)
{
    struct state *table = context_state(context, state, ANY_STATE, "weir_scan_rewind");
    if (!table)
        return;
    state_scan_rewind(table);
    passed_clear(&context->passed[state], context->run->allocator);
}
