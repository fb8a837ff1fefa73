/* SPDX-License-Identifier: Apache-2.0
 *
 * What survives a restart, and who sees to it:
 *
 *     struct device of each device   keyed state: weir saves it, nobody writes a line for that
 *     timers                         weir as well
 *     names, told                    operator state, for which save and load are written here
 *
 * A timer has no key, only a number, its tag. So devices are numbered as they come, and `names` is
 * the list that leads from a number back to the device.
 *
 * Saved: item 0 is u64 told; then an item a device, its name, in the order of their numbers.
 */
#include "silence.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND 1000000000
#define TOLD_AT_ONCE 10 /* devices in one call of finish */

struct device {
    int64_t last;
    uint64_t seen;
    uint64_t number; /* from 1; 0: the device is new */
    uint64_t silent; /* 0 or 1 */
};

struct name {
    size_t size;
    char *text;
};

struct silence {
    int64_t limit_ns;
    struct name *names; /* of device 1, 2 ... */
    size_t name_count, name_room;
    uint64_t told; /* devices that finish has told of */
};

/* ---- memory: from weir, so that the job's allocator is honoured ---- */

static void *take(struct weir_context *context, size_t size)
{
    const struct weir_allocator *memory = weir_memory(context);
    return memory ? memory->allocate(memory->context, size) : malloc(size);
}

static void release(struct weir_context *context, void *block)
{
    const struct weir_allocator *memory = weir_memory(context);
    if (!block)
        return;
    if (memory)
        memory->release(memory->context, block);
    else
        free(block);
}

static bool more_names(struct silence *silence, struct weir_context *context)
{
    size_t room = silence->name_room ? 2 * silence->name_room : 16;
    struct name *larger = take(context, room * sizeof *larger);
    if (!larger)
        return false;
    if (silence->name_count)
        memcpy(larger, silence->names, silence->name_count * sizeof *larger);
    release(context, silence->names);
    silence->names = larger;
    silence->name_room = room;
    return true;
}

static enum weir_result add_name(struct silence *silence, struct weir_context *context,
                                 struct weir_bytes key)
{
    char *text = NULL;
    if (silence->name_count < silence->name_room || more_names(silence, context))
        text = take(context, key.size + 1);
    if (!text)
        return weir_fail(context, WEIR_NO_MEMORY, "out of memory for the name of a device");
    if (key.size)
        memcpy(text, key.data, key.size);
    silence->names[silence->name_count++] = (struct name){key.size, text};
    return WEIR_OK;
}

/* ---- life ---- */

static enum weir_result silence_open(void *self, struct weir_context *context, const void *config)
{
    struct silence *silence = self;
    (void)context;
    silence->limit_ns = *(const int64_t *)config;
    return WEIR_OK;
}

static void silence_close(void *self, struct weir_context *context)
{
    struct silence *silence = self;
    for (size_t i = 0; i < silence->name_count; i++)
        release(context, silence->names[i].text);
    release(context, silence->names);
}

/* ---- the stream ---- */

static enum weir_result say(struct weir_context *context, struct weir_bytes device, int64_t time,
                            const char *what, int64_t number)
{
    char text[64];
    int size = snprintf(text, sizeof text, "%s %" PRId64, what, number);
    return weir_emit(context, 0, &(struct weir_record){device, {text, (size_t)size}, time});
}

static enum weir_result set_timer(const struct silence *silence, struct weir_context *context,
                                  const struct device *device)
{
    return weir_timer_set(context, WEIR_TIMER_EVENT, device->last + silence->limit_ns,
                          device->number);
}

static enum weir_result tell_silence(struct weir_context *context, struct weir_bytes key,
                                     const struct device *device, int64_t time)
{
    return say(context, key, time, "silent since", device->last / SECOND);
}

/* It was silent. Perhaps nobody has said so yet: the watermark comes behind the records, sometimes
 * far behind, and what we say must not depend on how far. */
static enum weir_result come_back(struct silence *silence, struct weir_context *context,
                                  struct device *device, const struct weir_record *sign)
{
    bool told = device->silent;
    enum weir_result result = told ? WEIR_OK : tell_silence(context, sign->key, device, sign->time);
    if (!result)
        result =
            say(context, sign->key, sign->time, "back after", (sign->time - device->last) / SECOND);
    device->last = sign->time;
    device->silent = 0;
    return result || !told ? result : set_timer(silence, context, device);
}

static enum weir_result silence_process(void *self, struct weir_context *context, unsigned input,
                                        const struct weir_record *sign)
{
    struct silence *silence = self;
    (void)input;
    struct device *device = weir_cell(context, 0, &sign->key);
    if (!device)
        return WEIR_FAILED; /* weir knows why */
    if (++device->seen == 1) {
        enum weir_result result = add_name(silence, context, sign->key);
        device->number = silence->name_count;
        device->last = sign->time;
        return result ? result : set_timer(silence, context, device);
    }
    if (sign->time >= device->last + silence->limit_ns)
        return come_back(silence, context, device, sign);
    if (sign->time > device->last)
        device->last = sign->time; /* its timer will find that it came too early */
    return WEIR_OK;
}

/* One timer a device: set for when it will have been silent for too long if nothing comes, and set
 * again when something has come. */
static enum weir_result silence_timer(void *self, struct weir_context *context,
                                      enum weir_timer kind, int64_t time, uint64_t number)
{
    struct silence *silence = self;
    (void)kind;
    const struct name *name = &silence->names[number - 1];
    struct weir_bytes key = {name->text, name->size};
    struct device *device = weir_cell(context, 0, &key);
    if (!device)
        return WEIR_FAILED;
    if (weir_watermark(context) == WEIR_END_OF_TIME)
        return WEIR_OK; /* nobody knows what would have come */
    if (device->last + silence->limit_ns > time)
        return set_timer(silence, context, device);
    device->silent = 1;
    return tell_silence(context, key, device, time);
}

/* A few devices a call, so that a checkpoint need not wait for all of them. `told` is saved: after
 * a restart it goes on behind the last one that counted. */
static enum weir_progress silence_finish(void *self, struct weir_context *context)
{
    struct silence *silence = self;
    for (int i = 0; i < TOLD_AT_ONCE && silence->told < silence->name_count; i++) {
        const struct name *name = &silence->names[silence->told++];
        struct weir_bytes key = {name->text, name->size};
        const struct device *device = weir_cell(context, 0, &key);
        if (!device || say(context, key, device->last, "seen", (int64_t)device->seen))
            return WEIR_END; /* the run has failed */
    }
    return silence->told < silence->name_count ? WEIR_MORE : WEIR_END;
}

/* ---- checkpoints ---- */

static enum weir_result silence_save(void *self, struct weir_context *context,
                                     struct weir_saver *saver)
{
    const struct silence *silence = self;
    (void)context;
    weir_save(saver, WEIR_ITEM_SPLIT, (struct weir_bytes){&silence->told, sizeof silence->told});
    for (size_t i = 0; i < silence->name_count; i++)
        weir_save(saver, WEIR_ITEM_SPLIT,
                  (struct weir_bytes){silence->names[i].text, silence->names[i].size});
    return WEIR_OK;
}

static enum weir_result silence_load(void *self, struct weir_context *context,
                                     struct weir_loader *loader, uint32_t version)
{
    struct silence *silence = self;
    enum weir_item kind;
    struct weir_bytes item;
    (void)version;
    if (!weir_load_next(loader, &kind, &item) || item.size != sizeof silence->told)
        return weir_fail(context, WEIR_DAMAGED, "what was saved does not begin with a count");
    memcpy(&silence->told, item.data, sizeof silence->told);
    while (weir_load_next(loader, &kind, &item)) {
        enum weir_result result = add_name(silence, context, item);
        if (result)
            return result;
    }
    return WEIR_OK;
}

static const struct weir_operator table = {WEIR_SIZED(struct weir_operator),
                                           .kind = "silence",
                                           .self_size = sizeof(struct silence),
                                           .fixed = "its devices are numbered where they are",
                                           .open = silence_open,
                                           .process = silence_process,
                                           .timer = silence_timer,
                                           .finish = silence_finish,
                                           .save = silence_save,
                                           .load = silence_load,
                                           .close = silence_close};

weir_node silence(struct weir_graph *graph, const char *name, int64_t limit_ns)
{
    static const struct weir_state states[] = {{WEIR_SIZED(struct weir_state), .name = "devices",
                                                .value_size = sizeof(struct device),
                                                .format = "{i64 last; u64 seen; u64 number; "
                                                          "u64 silent}"}};
    if (limit_ns <= 0)
        weir_graph_fail(graph, "node %s: the limit of silence must be above 0", name);
    return weir_graph_add(graph,
                          &(struct weir_node_options){
                              WEIR_SIZED(struct weir_node_options), .name = name, .table = &table,
                              .config = weir_graph_keep(graph, &limit_ns, sizeof limit_ns),
                              .states = states, .state_count = 1});
}
