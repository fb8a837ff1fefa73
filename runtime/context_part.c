/* SPDX-License-Identifier: Apache-2.0
 *
 * The operator's part of a checkpoint: what an instance saves and takes back, and what of it is
 * published once the checkpoint is durable.
 */
#include <stdio.h>
#include <string.h>

#include "crew.h"
#include "error.h"
#include "memory.h"
#include "operator_item.h"
#include "plant.h"
#include "task.h"

#define HANDLE_LIMIT ((size_t)64 << 10)

/* --------------------------------------------------------------------- save and load -- */

struct weir_loader {
    struct item_cursor item; /* first: see operator_item.h */
    struct snapshot_reader reader;
};

bool weir_load_next(struct weir_loader *loader, enum weir_item *kind, struct weir_bytes *item)
{
    struct snapshot_section section;
    while (snapshot_next(&loader->reader, &section)) {
        if (section.tag != SNAPSHOT_ITEM)
            continue;
        *kind = (enum weir_item)section.index;
        *item = snapshot_get_rest(&section);
        item_cursor_next(&loader->item, *item);
        return true;
    }
    return false;
}

enum weir_result weir_handle(struct weir_context *context, struct weir_bytes handle)
{
    const struct weir_allocator *allocator = context->run->allocator;
    if (!context->preparing || handle.size > HANDLE_LIMIT)
        return weir_fail(context, WEIR_INVALID,
                         "weir_handle: only inside prepare, and at most 64 KiB (not %zu bytes)",
                         handle.size);
    if (context->handle_count == context->handle_room) {
        uint32_t room = context->handle_room ? context->handle_room * 2 : 8;
        struct context_handle *larger =
            memory_resize(allocator, context->handles, context->handle_count * sizeof *larger,
                          room * sizeof *larger);
        if (!larger)
            return weir_fail(context, WEIR_NO_MEMORY, "out of memory for a handle");
        context->handles = larger;
        context->handle_room = room;
    }
    char *copy = memory_text(allocator, handle.data, handle.size);
    if (!copy)
        return weir_fail(context, WEIR_NO_MEMORY, "out of memory for a handle");
    context->handles[context->handle_count++] =
        (struct context_handle){context->preparing, {copy, handle.size}};
    return WEIR_OK;
}

static void save_states(const struct weir_context *context, struct snapshot_writer *writer)
{
    for (uint32_t i = 0; i < context->node->state_count; i++) {
        snapshot_begin(writer, SNAPSHOT_STATE, i);
        snapshot_text(writer, context->node->states[i].name);
        snapshot_u32(writer, context->node->states[i].version);
        snapshot_u32(writer, context->node->states[i].value_size);
        snapshot_u32(writer, graph_state_kind(context->node, i));
        snapshot_u32(writer, context->node->states[i].ttl_ns > 0);
        state_save(context->states[i], writer);
        snapshot_end(writer);
        passed_save(&context->passed[i], i, writer);
    }
}

bool context_save(struct weir_context *context, struct snapshot_writer *writer, char note[201],
                  struct weir_error *error)
{
    context->cell_count = 0; /* what is in hand will be sealed */
    snapshot_begin(writer, SNAPSHOT_OPERATOR, 0);
    snapshot_text(writer, context->node->name);
    snapshot_u32(writer, context->table->version);
    snapshot_u32(writer, context->finished);
    snapshot_end(writer);
    snapshot_begin(writer, SNAPSHOT_POSITION, 0);
    snapshot_u64(writer, WEIR_PLANT(position_lost) ? 0 : context->taken);
    snapshot_end(writer);
    struct weir_saver saver = {.writer = writer, .note = note, .later = &context->later};
    saver_list_drop(&context->later);
    enum weir_result result = WEIR_OK;
    if (context->table->save) {
        struct pulse_call outer = pulse_enter(&context->task->pulse, context->place, "save");
        result = context->table->save(context->self, context, &saver);
        pulse_leave(&context->task->pulse, outer);
    }
    if (!saver_done(&saver))
        result = WEIR_INVALID;
    if (result) {
        error_set(error, result, 0, "%s[%u] can't save itself: %s", context->node->name,
                  context->subtask, saver.refused ? saver.refused : weir_result_name(result));
        return false;
    }
    uint32_t first =
        WEIR_PLANT(handle_dropped) && context->handle_count ? context->handle_count - 1 : 0;
    for (uint32_t i = first; i < context->handle_count; i++) {
        snapshot_begin(writer, SNAPSHOT_HANDLE, 0);
        snapshot_u64(writer, context->handles[i].id);
        snapshot_bytes(writer, context->handles[i].bytes.data, context->handles[i].bytes.size);
        snapshot_end(writer);
    }
    if (!WEIR_PLANT(letter_dropped))
        letters_save(&context->letters, writer);
    timers_save(&context->timers, writer);
    save_states(context, writer);
    if (writer->failed)
        error_memory(error, "a snapshot", writer->size);
    return !writer->failed;
}

static void run_crew(void *self, uint32_t count, state_part *part, void *work)
{
    crew_run(self, count, part, work);
}

/* The segments are the state's from here on. */
static enum weir_result load_log(struct weir_context *context, uint32_t state, struct logs *logs,
                                 const struct state_crew *crew, struct weir_error *error)
{
    uint32_t groups = context->run->key_groups;
    struct state_range range = {
        .first = state_first_group(context->subtask, context->parallelism, groups),
        .end = state_first_group(context->subtask + 1, context->parallelism, groups),
        .groups = groups};
    struct log_list none = {0}, *list = state < logs->count ? &logs->lists[state] : &none;
    enum weir_result result = WEIR_OK;
    for (uint32_t i = 0; !result && i < list->count; i++) {
        struct segment *segment = list->segments[i];
        list->segments[i] = NULL;
        result = state_load_segment(context->states[state], segment, &range, crew, error);
    }
    if (!result)
        list->count = 0;
    return result;
}

static enum weir_result load_state(struct weir_context *context, struct snapshot_section *section,
                                   struct logs *logs, struct weir_error *error)
{
    const struct graph_node *node = context->node;
    uint32_t i = section->index;
    if (i >= node->state_count)
        return error_set(error, WEIR_DAMAGED, 0, "state %u is not in the graph", i);
    struct weir_bytes name = snapshot_get_text(section);
    uint32_t version = snapshot_get_u32(section), size = snapshot_get_u32(section);
    uint32_t kind = snapshot_get_u32(section), expires = snapshot_get_u32(section);
    if (section->failed || name.size != strlen(node->states[i].name) ||
        memcmp(name.data, node->states[i].name, name.size) != 0 ||
        version != node->states[i].version || size != node->states[i].value_size ||
        kind != graph_state_kind(node, i) || expires != (node->states[i].ttl_ns > 0))
        return error_set(error, WEIR_DAMAGED, 0, "state %s is not what the manifest says",
                         node->states[i].name);
    struct crew crew;
    crew_begin(&crew, "index", context->run->allocator);
    const struct state_crew hands = {run_crew, &crew, crew.helpers + 1};
    enum weir_result result = load_log(context, i, logs, &hands, error);
    return result ? result : state_load(context->states[i], section, &hands, error);
}

static enum weir_result load_passed(struct weir_context *context, struct snapshot_section *section,
                                    struct weir_error *error)
{
    uint32_t state = section->index;
    struct passed_mark mark;
    if (state >= context->node->state_count || !passed_mark_read(section, &mark))
        return error_set(error, WEIR_DAMAGED, 0, "a mark of a scan is not well-formed");
    return passed_add(&context->passed[state], context->run->allocator, &mark)
               ? WEIR_OK
               : error_memory(error, "a scan's place", mark.key.size);
}

static enum weir_result load_handle(struct weir_context *context, struct snapshot_section *section,
                                    struct weir_error *error)
{
    if (!context->table->commit)
        return error_set(error, WEIR_MISMATCH, 0,
                         "it holds output that is not published yet, and the operator has no "
                         "commit callback any more");
    context->preparing = snapshot_get_u64(section);
    struct weir_bytes handle = snapshot_get_rest(section);
    enum weir_result result = WEIR_OK;
    if (section->failed || !context->preparing)
        result = error_set(error, WEIR_DAMAGED, 0, "a sink handle is not well-formed");
    else if (weir_handle(context, handle))
        result = error_set(error, WEIR_NO_MEMORY, 0, "a sink handle can't be taken over");
    context->preparing = 0;
    return result;
}

static enum weir_result load_letter(struct weir_context *context, struct snapshot_section *section,
                                    struct weir_error *error)
{
    if (!context->run->dead_letters)
        return error_set(error, WEIR_REFUSED, 0,
                         "it holds a dead letter that may not be published yet: give "
                         "weir_job_options.dead_letters the directory for it");
    return letters_load(&context->letters, section, error);
}

/* Nobody will publish it, or go on with it. */
static bool is_discarded(const struct weir_context *context, enum snapshot_tag tag)
{
    if (tag == SNAPSHOT_LETTER)
        return context->run->no_publish;
    return context->discards &&
           (tag == SNAPSHOT_HANDLE || tag == SNAPSHOT_TIMER || tag == SNAPSHOT_ITEM);
}

static enum weir_result load_section(struct weir_context *context, struct snapshot_section *section,
                                     struct logs *logs, uint32_t *version, struct weir_error *error)
{
    if (is_discarded(context, section->tag))
        return WEIR_OK;
    switch (section->tag) {
    case SNAPSHOT_OPERATOR: {
        struct weir_bytes name = snapshot_get_text(section);
        *version = snapshot_get_u32(section);
        context->finished = snapshot_get_u32(section) != 0;
        bool mine = name.size == strlen(context->node->name) &&
                    memcmp(name.data, context->node->name, name.size) == 0;
        return mine && snapshot_done(section)
                   ? WEIR_OK
                   : error_set(error, WEIR_DAMAGED, 0, "it is another node's part");
    }
    case SNAPSHOT_POSITION:
        context->taken = snapshot_get_u64(section);
        return snapshot_done(section)
                   ? WEIR_OK
                   : error_set(error, WEIR_DAMAGED, 0, "the position is not well-formed");
    case SNAPSHOT_STATE:
        return load_state(context, section, logs, error);
    case SNAPSHOT_SCAN:
        return load_passed(context, section, error);
    case SNAPSHOT_HANDLE:
        return load_handle(context, section, error);
    case SNAPSHOT_LETTER:
        return load_letter(context, section, error);
    case SNAPSHOT_TIMER:
        if (!context->table->timer)
            return error_set(error, WEIR_MISMATCH, 0,
                             "it has timers set, and the operator has no timer callback any more");
        return timers_load(&context->timers, context->run->allocator, section)
                   ? WEIR_OK
                   : error_set(error, WEIR_DAMAGED, 0, "a timer is not well-formed");
    case SNAPSHOT_ITEM:
        if (!context->table->load)
            return error_set(error, WEIR_MISMATCH, 0,
                             "it holds operator state, and the operator has no load callback");
        return WEIR_OK; /* load takes it */
    case SNAPSHOT_TASK:
    case SNAPSHOT_CHANNEL:
        return WEIR_OK; /* taken elsewhere */
    default:
        return error_set(error, WEIR_DAMAGED, 0, "section %u is unknown", section->tag);
    }
}

/* Whatever version saved: load is told, and can refuse. */
static enum weir_result run_load(struct weir_context *context, struct weir_bytes part,
                                 uint32_t version, struct weir_error *error)
{
    if (!context->table->load)
        return WEIR_OK;
    struct weir_loader loader = {.reader = {part.data, part.size, false}};
    struct pulse_call outer = pulse_enter(&context->task->pulse, context->place, "load");
    enum weir_result result = context->table->load(context->self, context, &loader, version);
    pulse_leave(&context->task->pulse, outer);
    if (context->task->failed) {
        *error = context->task->error;
        return error->code;
    }
    if (weir_load_failed(&loader))
        return error_set(error, WEIR_DAMAGED, 0, "its operator state of version %u, %s", version,
                         loader.item.failed);
    if (result)
        error_set(error, result, 0, "load of version %u answered %s", version,
                  weir_result_name(result));
    return result;
}

/* Each log that the manifest names was taken by a section of the part: else it would be lost. */
static enum weir_result check_logs(const struct weir_context *context, const struct logs *logs,
                                   struct weir_error *error)
{
    for (uint32_t i = 0; i < logs->count; i++)
        if (logs->lists[i].count)
            return error_set(error, WEIR_DAMAGED, 0,
                             "state %s has a log in the manifest, and no section here",
                             context->node->states[i].name);
    return WEIR_OK;
}

enum weir_result context_load(struct weir_context *context, struct weir_bytes part,
                              struct logs *logs, struct weir_error *error)
{
    struct snapshot_reader reader = {part.data, part.size, false};
    struct snapshot_section section;
    uint32_t version = 0;
    bool named = false;
    enum weir_result result = WEIR_OK;
    while (!result && snapshot_next(&reader, &section)) {
        named |= section.tag == SNAPSHOT_OPERATOR;
        result = load_section(context, &section, logs, &version, error);
    }
    if (!result && (reader.failed || !named))
        result = error_set(error, WEIR_DAMAGED, 0, "its sections are not well-formed");
    if (!result)
        result = check_logs(context, logs, error);
    if (!result)
        result = run_load(context, part, version, error);
    if (!result)
        return WEIR_OK;
    error_within(error, "the part of %s[%u] in checkpoint %llu", context->node->name,
                 context->subtask, (unsigned long long)context->run->restored_id);
    snprintf(error->node, sizeof error->node, "%s", context->node->name);
    return result;
}

/* L2. In order, and the newest last: those not cut yet have no id. */
static void publish_letters(struct weir_context *context, uint64_t id)
{
    struct letters *letters = &context->letters;
    while (letters->count && (letters->list[0]->id || WEIR_PLANT(letter_uncut)) &&
           letters->list[0]->id <= id) {
        struct weir_error error = {0};
        if (letters_publish(letters, context->run->dead_letters, &error)) {
            weir_fail_with(context, &error);
            return;
        }
        letters_drop(letters);
        atomic_fetch_add_explicit(&context->task->pulse.dead_letters, 1, memory_order_relaxed);
    }
}

bool context_commit(struct weir_context *context, uint64_t id)
{
    uint32_t done = 0;
    struct pulse_call outer = pulse_enter(&context->task->pulse, context->place, "commit");
    while (done < context->handle_count && context->handles[done].id <= id &&
           !context->task->failed) {
        struct weir_bytes handle = context->handles[done].bytes;
        enum weir_result result = context->table->commit(context->self, context, handle);
        if (result && !context->task->failed)
            weir_fail(context, result, "commit answered %s", weir_result_name(result));
        if (context->task->failed)
            break;
        memory_release(context->run->allocator, (void *)(uintptr_t)handle.data);
        done++;
    }
    pulse_leave(&context->task->pulse, outer);
    context->handle_count -= done;
    if (done)
        memmove(context->handles, context->handles + done,
                context->handle_count * sizeof *context->handles);
    if (!context->task->failed)
        publish_letters(context, id);
    return !context->task->failed;
}
