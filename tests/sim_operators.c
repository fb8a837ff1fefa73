/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "memory.h"
#include "sim.h"
#include "sim_graph.h"

/* ---- the operators ---- */

/* Is this the callback that is to fail? */
static bool fails(struct weir_context *context, const struct sim_node *node, enum sim_call call)
{
    struct sim_graph *graph = node->graph;

    if (graph->calls_left == 0 || (graph->call != SIM_CALL_ANY && graph->call != call))
        return false;
    if (--graph->calls_left > 0)
        return false;
    graph->call_has_failed = true;
    if (graph->call_kills)
        sim_kill();
    weir_fail(context, WEIR_FAILED, "broken on purpose");
    return true;
}

static enum weir_result emit(struct weir_context *context, const struct sim_node *node,
                             unsigned output, uint64_t key, uint64_t value, int64_t time)
{
    size_t padding = sim_padding(node->graph, value);
    unsigned char *to = weir_emit_reserve(context, output, (struct weir_bytes){&key, sizeof key},
                                          8 + padding, time);

    if (to == NULL)
        return WEIR_FAILED;
    memcpy(to, &value, 8);
    memset(to + 8, (int)(value & 0xFF), padding);
    return weir_emit_commit(context, 8 + padding);
}

/* Is this a save that the operator refuses? Its round is aborted, and nothing else happens. */
static bool refuses(const struct sim_node *node)
{
    uint64_t one_in = node->graph->refuse_one_in;

    return one_in > 0 && sim_draw(SIM_WORKLOAD, one_in) == 0;
}

/* What every process begins with. False: it fails. */
static bool take(struct weir_context *context, const struct sim_node *node,
                 const struct weir_record *record, uint64_t *key, uint64_t *value)
{
    const unsigned char *bytes = record->value.data;
    size_t size = record->value.size;

    if (fails(context, node, SIM_CALL_PROCESS))
        return false;
    memcpy(key, record->key.data, 8);
    memcpy(value, bytes, 8);
    for (size_t i = 8; i < size; i++) {
        if (bytes[i] == (unsigned char)*value)
            continue;
        world_breach(node->graph->world, "a record was damaged on its way");
        weir_fail(context, WEIR_DAMAGED, "a record was damaged on its way");
        return false;
    }
    return true;
}

static struct weir_bytes bytes_of(const void *data, size_t size)
{
    return (struct weir_bytes){data, size};
}

struct source {
    const struct sim_node *node;
    int64_t began_ns;
    uint64_t sent;                  /* in this run */
    uint64_t next[SIM_PARALLELISM]; /* saved: of the series that it has, */
    uint32_t count;                 /* so many */
};

/* A file in the node's folder: once it is durable it has to stay. */
static enum weir_result keep_file(struct weir_context *context, struct sim_world *world)
{
    struct weir_error error = {0};
    struct weir_file_status status;
    struct weir_file *file = NULL;
    char folder[100], path[120];
    enum weir_result result = weir_store_folder(context, folder, sizeof folder, &error), there;

    if (result != WEIR_OK)
        return weir_fail_with(context, &error);
    snprintf(path, sizeof path, "%s/kept", folder);
    there = weir_file_status(path, &status, &error);
    if (there == WEIR_OK || there == WEIR_NOT_FOUND)
        world_kept(world, there == WEIR_OK);
    if (there == WEIR_NOT_FOUND)
        result = weir_file_open(NULL, path, WEIR_OPEN_CREATE, &file, &error);
    else
        result = there;
    if (result == WEIR_OK && file != NULL)
        result = weir_file_close(&file, &error);
    if (result == WEIR_OK)
        result = weir_folder_sync(folder, &error);
    world->kept |= result == WEIR_OK && !sim_killed();
    return result == WEIR_OK ? WEIR_OK : weir_fail_with(context, &error);
}

static enum weir_result source_open(void *self, struct weir_context *context, const void *config)
{
    struct source *source = self;

    source->node = config;
    if (fails(context, source->node, SIM_CALL_OPEN))
        return WEIR_FAILED;
    source->began_ns = weir_now(context);
    uint64_t *stride = &source->node->graph->stride[source->node - source->node->graph->nodes];
    if (!weir_restored(context))
        source->next[source->count++] = weir_subtask(context);
    if (!weir_restored(context) || *stride == 0) /* another graph of the same job began it */
        *stride = weir_parallelism(context);
    world_opened(source->node->graph->world, weir_epoch(context));
    if (source->node == source->node->graph->nodes && weir_subtask(context) == 0)
        return keep_file(context, source->node->graph->world);
    return WEIR_OK;
}

/* The series that has the least number next; NULL: it has none. */
static uint64_t *least_series(struct source *source)
{
    uint64_t *least = NULL;

    for (uint32_t i = 0; i < source->count; i++)
        if (least == NULL || source->next[i] < *least)
            least = &source->next[i];
    return least;
}

static enum weir_progress source_poll(void *self, struct weir_context *context)
{
    struct source *source = self;
    const struct sim_graph *graph = source->node->graph;
    uint64_t burst = 1 + sim_draw(SIM_WORKLOAD, graph->burst);
    uint64_t *next = least_series(source);

    if (fails(context, source->node, SIM_CALL_POLL))
        return WEIR_END;
    for (; burst > 0 && next != NULL && *next < graph->count; burst--) {
        int64_t due_ns = graph->rate == 0 ? 0
                                          : source->began_ns +
                                                (int64_t)(source->sent * 1000000000 / graph->rate);
        if (due_ns > weir_now(context))
            return weir_idle(context, due_ns, -1);
        if (emit(context, source->node, 0, *next % graph->keys,
                 sim_mix(source->node->salt, *next, 0), (int64_t)*next) != WEIR_OK)
            return WEIR_END;
        source->sent++;
        *next += graph->stride[source->node - graph->nodes];
        next = least_series(source);
        if (sim_draw(SIM_WORKLOAD, graph->watermark_in) == 0)
            weir_emit_watermark(context, (int64_t)*next);
    }
    return next != NULL && *next < graph->count ? WEIR_MORE : WEIR_END;
}

static enum weir_result source_save(void *self, struct weir_context *context,
                                    struct weir_saver *saver)
{
    struct source *source = self;

    if (fails(context, source->node, SIM_CALL_SAVE) || refuses(source->node))
        return WEIR_FAILED;
    for (uint32_t i = 0; i < source->count; i++)
        weir_save(saver, WEIR_ITEM_SPLIT, bytes_of(&source->next[i], sizeof source->next[i]));
    return WEIR_OK;
}

static enum weir_result load_bytes(struct weir_loader *loader, void *to, size_t size)
{
    struct weir_bytes item;
    enum weir_item kind;

    if (!weir_load_next(loader, &kind, &item) || item.size != size)
        return WEIR_DAMAGED;
    memcpy(to, item.data, size);
    return WEIR_OK;
}

static enum weir_result source_load(void *self, struct weir_context *context,
                                    struct weir_loader *loader, uint32_t version)
{
    struct source *source = self;
    struct weir_bytes item;
    enum weir_item kind;

    (void)version;
    if (fails(context, source->node, SIM_CALL_LOAD))
        return WEIR_FAILED;
    while (weir_load_next(loader, &kind, &item)) {
        if (item.size != sizeof source->next[0] || source->count == SIM_PARALLELISM)
            return WEIR_DAMAGED;
        memcpy(&source->next[source->count++], item.data, item.size);
    }
    return WEIR_OK;
}

struct keyed {
    const struct sim_node *node;
};

static enum weir_result keyed_open(void *self, struct weir_context *context, const void *config)
{
    struct keyed *keyed = self;

    keyed->node = config;
    return fails(context, keyed->node, SIM_CALL_OPEN) ? WEIR_FAILED : WEIR_OK;
}

static enum weir_result pass_process(void *self, struct weir_context *context, unsigned input,
                                     const struct weir_record *record)
{
    const struct sim_node *node = ((struct keyed *)self)->node;
    uint64_t key, value;

    (void)input;
    if (!take(context, node, record, &key, &value))
        return WEIR_DAMAGED;
    return emit(context, node, node->kind == SIM_SPLIT ? (unsigned)(value % 2) : 0, key,
                sim_mix(node->salt, value, 0), record->time);
}

static enum weir_result count_process(void *self, struct weir_context *context, unsigned input,
                                      const struct weir_record *record)
{
    const struct sim_node *node = ((struct keyed *)self)->node;
    uint64_t key, value, count, *counts;

    if (!take(context, node, record, &key, &value))
        return WEIR_DAMAGED;
    counts = weir_cell(context, 0, &record->key);
    if (counts == NULL)
        return WEIR_NO_MEMORY;
    count = ++counts[input];
    return emit(context, node, 0, key, sim_mix(node->salt + input, key, count), record->time);
}

/* Three keys a call, so that a cut falls between. */
static enum weir_progress count_finish(void *self, struct weir_context *context)
{
    const struct sim_node *node = ((struct keyed *)self)->node;
    struct weir_bytes key, value;
    uint64_t number, count;

    if (fails(context, node, SIM_CALL_FINISH))
        return WEIR_END;
    for (int i = 0; i < 3; i++) {
        if (!weir_scan_next(context, 0, &key, &value))
            return WEIR_END;
        memcpy(&number, key.data, sizeof number);
        memcpy(&count, value.data, sizeof count);
        emit(context, node, 0, number, sim_mix(node->salt + SIM_FINAL, number, count), 0);
    }
    return WEIR_MORE;
}

struct window {
    const struct sim_node *node;
    uint64_t counts[SIM_KEYS][SIM_WINDOWS + 2]; /* saved */
};

static enum weir_result window_process(void *self, struct weir_context *context, unsigned input,
                                       const struct weir_record *record)
{
    struct window *window = self;
    uint64_t key, value;
    int64_t number = record->time / window->node->graph->window_ns;

    (void)input;
    if (!take(context, window->node, record, &key, &value))
        return WEIR_DAMAGED;
    if (record->time < weir_watermark(context))
        world_breach(window->node->graph->world,
                     "a record of time %" PRId64 " came after watermark %" PRId64, record->time,
                     weir_watermark(context));
    window->counts[key][number]++;
    return weir_timer_set(context, WEIR_TIMER_EVENT, (number + 1) * window->node->graph->window_ns,
                          key);
}

static enum weir_result window_timer(void *self, struct weir_context *context, enum weir_timer kind,
                                     int64_t time, uint64_t key)
{
    struct window *window = self;
    uint64_t number = (uint64_t)(time / window->node->graph->window_ns) - 1;
    uint64_t count = window->counts[key][number];

    (void)kind;
    if (fails(context, window->node, SIM_CALL_TIMER))
        return WEIR_FAILED;
    window->counts[key][number] = 0;
    return emit(context, window->node, 0, key, sim_mix(window->node->salt + number, key, count), 0);
}

/* Forgotten, it shows as memory that is left; given back twice, in the block itself. */
static enum weir_result window_write(void *counts, struct weir_saver *saver)
{
    weir_save_raw(saver, bytes_of(counts, sizeof((struct window *)0)->counts));
    return WEIR_OK;
}

static void window_release(void *counts)
{
    memory_release(NULL, counts);
}

static enum weir_result window_save(void *self, struct weir_context *context,
                                    struct weir_saver *saver)
{
    struct window *window = self;

    if (fails(context, window->node, SIM_CALL_SAVE) || refuses(window->node))
        return WEIR_FAILED;
    void *counts = memory_take(NULL, sizeof window->counts);
    if (counts == NULL)
        return WEIR_NO_MEMORY;
    memcpy(counts, window->counts, sizeof window->counts);
    weir_save_later(saver, WEIR_ITEM_SPLIT,
                    &(struct weir_later){WEIR_SIZED(struct weir_later), .data = counts,
                                         .write = window_write, .release = window_release,
                                         .bytes = sizeof window->counts});
    return WEIR_OK;
}

static enum weir_result window_load(void *self, struct weir_context *context,
                                    struct weir_loader *loader, uint32_t version)
{
    struct window *window = self;

    (void)version;
    if (fails(context, window->node, SIM_CALL_LOAD))
        return WEIR_FAILED;
    return load_bytes(loader, window->counts, sizeof window->counts);
}

/* The same windows in keyed state of every kind, which must agree with each other: a map has the
 * counts by window, a list the window of each record, in the order they came; a timer of the key
 * tells when a window is over. `last` has a time to live, and `wrote` the watermark at which it was
 * written, so that is known whether it is to be there. */
enum { SHELF_COUNTS, SHELF_CAME, SHELF_LAST, SHELF_WROTE, SHELF_STATES };

/* Half a window: many expire, and many do not. */
static int64_t shelf_ttl(const struct sim_node *node)
{
    return 1 + node->graph->window_ns / 2;
}

static void shelf_states(const struct sim_node *node, struct weir_state states[SHELF_STATES])
{
    states[SHELF_COUNTS] = (struct weir_state){WEIR_SIZED(struct weir_state), .name = "windows",
                                               .value_size = 8, .kind = WEIR_STATE_MAP};
    states[SHELF_CAME] =
        (struct weir_state){WEIR_SIZED(struct weir_state), .name = "came", .kind = WEIR_STATE_LIST};
    states[SHELF_LAST] = (struct weir_state){WEIR_SIZED(struct weir_state), .name = "last",
                                             .ttl_ns = (uint64_t)shelf_ttl(node)};
    states[SHELF_WROTE] =
        (struct weir_state){WEIR_SIZED(struct weir_state), .name = "wrote", .value_size = 8};
}

static struct weir_bytes shelf_sub(unsigned char sub[8], int64_t number)
{
    for (int i = 0; i < 8; i++)
        sub[i] = (unsigned char)((uint64_t)number >> (8 * (7 - i)));
    return bytes_of(sub, 8);
}

static void shelf_check(struct weir_context *context, const struct sim_node *node,
                        const struct weir_bytes *key)
{
    struct weir_bytes value;
    int64_t wrote = 0, now = weir_watermark(context);
    bool expected = weir_get(context, SHELF_WROTE, key, &value);

    if (expected)
        memcpy(&wrote, value.data, sizeof wrote);
    if (now == WEIR_END_OF_TIME)
        return;
    expected = expected && (wrote == WEIR_NO_TIME || wrote + shelf_ttl(node) > now);
    if (weir_get(context, SHELF_LAST, key, &value) != expected)
        world_breach(node->graph->world,
                     "a value written at %" PRId64 " is %s at %" PRId64 ", with a time to live",
                     wrote, expected ? "gone" : "there", now);
}

static enum weir_result shelf_process(void *self, struct weir_context *context, unsigned input,
                                      const struct weir_record *record)
{
    const struct sim_node *node = ((struct keyed *)self)->node;
    unsigned char sub[8];
    uint64_t key, value, *count;
    int64_t number = record->time / node->graph->window_ns, now = weir_watermark(context);

    (void)input;
    if (record->time > now)
        now = record->time;
    if (!take(context, node, record, &key, &value))
        return WEIR_DAMAGED;
    shelf_check(context, node, &record->key);
    weir_put(context, SHELF_LAST, &record->key, bytes_of(&value, sizeof value));
    count = weir_cell(context, SHELF_WROTE, &record->key);
    if (count == NULL)
        return WEIR_FAILED;
    memcpy(count, &now, sizeof now);
    count = weir_map_cell(context, SHELF_COUNTS, &record->key, shelf_sub(sub, number));
    if (count == NULL)
        return WEIR_FAILED;
    ++*count;
    weir_list_append(context, SHELF_CAME, &record->key, bytes_of(&number, sizeof number));
    weir_timer_set_key(context, WEIR_TIMER_CLOCK, &record->key,
                       weir_wall_time(context) + node->graph->hold_ns, 1);
    return weir_timer_set_key(context, WEIR_TIMER_EVENT, &record->key,
                              (number + 1) * node->graph->window_ns, 0);
}

/* How many records of the window the list has, and whether it has any of later ones. */
static uint64_t shelf_came(struct weir_context *context, const struct weir_bytes *key,
                           int64_t number, bool *later)
{
    struct weir_bytes value;
    uint64_t count = 0, all = weir_list_count(context, SHELF_CAME, key);
    int64_t window;

    *later = false;
    for (uint64_t i = 0; i < all && weir_list_get(context, SHELF_CAME, key, i, &value); i++) {
        memcpy(&window, value.data, sizeof window);
        count += window == number;
        *later |= window > number;
    }
    return count;
}

/* The window's count; 0: the map has none, or not as its first entry. */
static uint64_t shelf_first(struct weir_context *context, const struct weir_bytes *key,
                            int64_t number)
{
    struct weir_bytes sub, value;
    unsigned char wanted[8];
    uint64_t count;

    if (!weir_map_next(context, SHELF_COUNTS, key, NULL, &sub, &value) ||
        memcmp(sub.data, shelf_sub(wanted, number).data, 8) != 0)
        return 0;
    memcpy(&count, value.data, sizeof count);
    return count;
}

static enum weir_result shelf_timer(void *self, struct weir_context *context, enum weir_timer kind,
                                    const struct weir_bytes *key, int64_t time, uint64_t tag)
{
    const struct sim_node *node = ((struct keyed *)self)->node;
    int64_t number = time / node->graph->window_ns - 1;
    uint64_t count, came, name;
    unsigned char sub[8];
    bool later;

    (void)tag;
    if (fails(context, node, SIM_CALL_TIMER))
        return WEIR_FAILED;
    shelf_check(context, node, key);
    if (kind == WEIR_TIMER_CLOCK)
        return WEIR_OK;
    count = shelf_first(context, key, number);
    came = shelf_came(context, key, number, &later);
    if (count == 0 || came != count)
        world_breach(node->graph->world,
                     "window %" PRId64 " has %" PRIu64 " records in a map, %" PRIu64 " in a list",
                     number, count, came);
    weir_map_remove(context, SHELF_COUNTS, key, shelf_sub(sub, number));
    if (!later)
        weir_list_truncate(context, SHELF_CAME, key, 0);
    memcpy(&name, key->data, sizeof name);
    return emit(context, node, 0, name, sim_mix(node->salt + (uint64_t)number, name, count), 0);
}

#define HELD 64

struct held {
    uint64_t key, value;
    int64_t time;
};

struct hold {
    const struct sim_node *node;
    struct held list[HELD];
    uint64_t count;
};

static enum weir_result hold_release(struct hold *hold, struct weir_context *context, uint64_t keep)
{
    enum weir_result result = WEIR_OK;

    while (hold->count > keep && result == WEIR_OK) {
        struct held *last = &hold->list[--hold->count];
        result = emit(context, hold->node, 0, last->key, sim_mix(hold->node->salt, last->value, 0),
                      last->time);
    }
    return result;
}

static enum weir_result hold_process(void *self, struct weir_context *context, unsigned input,
                                     const struct weir_record *record)
{
    struct hold *hold = self;
    struct held *held = &hold->list[hold->count++];

    (void)input;
    if (!take(context, hold->node, record, &held->key, &held->value))
        return WEIR_DAMAGED;
    held->time = record->time;
    if (hold->count == HELD)
        return hold_release(hold, context, HELD / 2);
    return weir_timer_set(context, WEIR_TIMER_CLOCK,
                          weir_wall_time(context) + hold->node->graph->hold_ns, 0);
}

static enum weir_result hold_timer(void *self, struct weir_context *context, enum weir_timer kind,
                                   int64_t time, uint64_t tag)
{
    struct hold *hold = self;

    (void)kind;
    (void)time;
    (void)tag;
    if (fails(context, hold->node, SIM_CALL_TIMER))
        return WEIR_FAILED;
    return hold_release(hold, context, 0);
}

static enum weir_progress hold_finish(void *self, struct weir_context *context)
{
    struct hold *hold = self;

    if (fails(context, hold->node, SIM_CALL_FINISH))
        return WEIR_END;
    if (hold->count > 0 && hold_release(hold, context, hold->count - 1) != WEIR_OK)
        return WEIR_END;
    return hold->count > 0 ? WEIR_MORE : WEIR_END;
}

static enum weir_result hold_save(void *self, struct weir_context *context,
                                  struct weir_saver *saver)
{
    struct hold *hold = self;

    if (fails(context, hold->node, SIM_CALL_SAVE) || refuses(hold->node))
        return WEIR_FAILED;
    weir_save(saver, WEIR_ITEM_SPLIT, bytes_of(hold->list, sizeof hold->list));
    weir_save(saver, WEIR_ITEM_SPLIT, bytes_of(&hold->count, sizeof hold->count));
    return WEIR_OK;
}

static enum weir_result hold_load(void *self, struct weir_context *context,
                                  struct weir_loader *loader, uint32_t version)
{
    struct hold *hold = self;

    (void)version;
    if (fails(context, hold->node, SIM_CALL_LOAD))
        return WEIR_FAILED;
    if (load_bytes(loader, hold->list, sizeof hold->list) != WEIR_OK)
        return WEIR_DAMAGED;
    return load_bytes(loader, &hold->count, sizeof hold->count);
}

struct pace {
    const struct sim_node *node;
    bool kept;
    struct held held;
    int64_t due_ns;
};

static void pace_wish(struct pace *pace, struct weir_context *context)
{
    const struct sim_graph *graph = pace->node->graph;
    bool stalls = graph->stall_ns > 0 && pace->held.value % 128 == 0;

    pace->due_ns = weir_now(context) + (stalls ? graph->stall_ns : graph->hold_ns / 8);
    weir_hold(context, true);
    weir_wake(context, pace->due_ns, -1);
}

static enum weir_result pace_pass(struct pace *pace, struct weir_context *context)
{
    return emit(context, pace->node, 0, pace->held.key,
                sim_mix(pace->node->salt, pace->held.value, 0), pace->held.time);
}

static enum weir_result pace_process(void *self, struct weir_context *context, unsigned input,
                                     const struct weir_record *record)
{
    struct pace *pace = self;

    (void)input;
    if (pace->kept)
        world_breach(pace->node->graph->world, "a record came during a hold");
    if (!take(context, pace->node, record, &pace->held.key, &pace->held.value))
        return WEIR_DAMAGED;
    pace->held.time = record->time;
    pace->kept = pace->held.value % 8 == 0;
    if (!pace->kept)
        return pace_pass(pace, context);
    pace_wish(pace, context);
    return WEIR_OK;
}

static enum weir_result pace_wake(void *self, struct weir_context *context)
{
    struct pace *pace = self;

    if (fails(context, pace->node, SIM_CALL_WAKE))
        return WEIR_FAILED;
    if (!pace->kept)
        return WEIR_OK;
    if (weir_now(context) < pace->due_ns) {
        weir_wake(context, pace->due_ns, -1);
        return WEIR_OK;
    }
    pace->kept = false;
    weir_hold(context, false);
    return pace_pass(pace, context);
}

static enum weir_progress pace_finish(void *self, struct weir_context *context)
{
    struct pace *pace = self;

    if (fails(context, pace->node, SIM_CALL_FINISH))
        return WEIR_END;
    if (pace->kept)
        world_breach(pace->node->graph->world, "the input ended during a hold");
    return WEIR_END;
}

static enum weir_result pace_save(void *self, struct weir_context *context,
                                  struct weir_saver *saver)
{
    struct pace *pace = self;

    if (fails(context, pace->node, SIM_CALL_SAVE) || refuses(pace->node))
        return WEIR_FAILED;
    if (pace->kept)
        weir_save(saver, WEIR_ITEM_SPLIT, bytes_of(&pace->held, sizeof pace->held));
    return WEIR_OK;
}

static enum weir_result pace_load(void *self, struct weir_context *context,
                                  struct weir_loader *loader, uint32_t version)
{
    struct pace *pace = self;
    enum weir_item kind;
    struct weir_bytes item;

    (void)version;
    if (fails(context, pace->node, SIM_CALL_LOAD))
        return WEIR_FAILED;
    pace->kept = weir_load_next(loader, &kind, &item);
    if (!pace->kept)
        return WEIR_OK;
    if (item.size != sizeof pace->held)
        return WEIR_DAMAGED;
    memcpy(&pace->held, item.data, sizeof pace->held);
    pace_wish(pace, context);
    return WEIR_OK;
}

/* What is known of a key, with it to whoever owns it: nothing but zeros is not told. */
static void save_keyed(struct weir_saver *saver, uint64_t key, const void *data, size_t size)
{
    static const unsigned char zeros[64];
    uint64_t hash = weir_hash(bytes_of(&key, sizeof key));

    if (memcmp(data, zeros, size) == 0)
        return;
    weir_save_begin(saver, WEIR_ITEM_KEYED);
    weir_save_raw(saver, bytes_of(&hash, sizeof hash));
    weir_save_raw(saver, bytes_of(&key, sizeof key));
    weir_save_raw(saver, bytes_of(data, size));
    weir_save_end(saver);
}

/* Into a table by key. */
static enum weir_result load_keyed(struct weir_loader *loader, void *table, size_t size)
{
    struct weir_bytes item;
    enum weir_item kind;
    uint64_t key;

    while (weir_load_next(loader, &kind, &item)) {
        const unsigned char *data = item.data;
        if (kind != WEIR_ITEM_KEYED || item.size != 16 + size)
            return WEIR_DAMAGED;
        memcpy(&key, data + 8, sizeof key);
        if (key >= SIM_KEYS)
            return WEIR_DAMAGED;
        memcpy((unsigned char *)table + key * size, data + 16, size);
    }
    return WEIR_OK;
}

struct order {
    const struct sim_node *node;
    int64_t next[SIM_KEYS][SIM_PARALLELISM]; /* saved: what a record's time must reach at least */
};

static enum weir_result order_process(void *self, struct weir_context *context, unsigned input,
                                      const struct weir_record *record)
{
    struct order *order = self;
    uint64_t sources = order->node->graph->stride[0];
    uint64_t key, value;
    int64_t *next;

    (void)input;
    if (!take(context, order->node, record, &key, &value))
        return WEIR_DAMAGED;
    next = &order->next[key][(uint64_t)record->time % sources];
    if (record->time < *next)
        world_breach(order->node->graph->world,
                     "record %" PRId64 " came, and of its key and source %" PRId64 " was next",
                     record->time, *next);
    *next = record->time + 1;
    return emit(context, order->node, 0, key, sim_mix(order->node->salt, value, 0), record->time);
}

static enum weir_result order_save(void *self, struct weir_context *context,
                                   struct weir_saver *saver)
{
    struct order *order = self;

    if (fails(context, order->node, SIM_CALL_SAVE) || refuses(order->node))
        return WEIR_FAILED;
    for (uint64_t key = 0; key < SIM_KEYS; key++)
        save_keyed(saver, key, order->next[key], sizeof order->next[key]);
    return WEIR_OK;
}

static enum weir_result order_load(void *self, struct weir_context *context,
                                   struct weir_loader *loader, uint32_t version)
{
    struct order *order = self;

    (void)version;
    if (fails(context, order->node, SIM_CALL_LOAD))
        return WEIR_FAILED;
    return load_keyed(loader, order->next, sizeof order->next[0]);
}

struct loop {
    const struct sim_node *node;
    uint64_t sums[SIM_KEYS]; /* saved; 0 when told */
    uint64_t told;           /* of these keys, in this run */
};

static enum weir_result loop_process(void *self, struct weir_context *context, unsigned input,
                                     const struct weir_record *record)
{
    struct loop *loop = self;
    uint64_t key, value;

    (void)input;
    if (!take(context, loop->node, record, &key, &value))
        return WEIR_DAMAGED;
    if (loop->told > 0)
        world_breach(loop->node->graph->world, "a record came to a cycle that was at rest");
    loop->sums[key] += value;
    return emit(context, loop->node, value % 3 != 0, key, sim_mix(loop->node->salt, value, 0),
                record->time);
}

/* A key a call, so that a cut falls between. */
static enum weir_progress loop_finish(void *self, struct weir_context *context)
{
    struct loop *loop = self;
    uint64_t key = loop->told++;

    if (fails(context, loop->node, SIM_CALL_FINISH))
        return WEIR_END;
    if (!loop->node->inner && loop->sums[key] > 0 &&
        emit(context, loop->node, 0, key,
             sim_mix(loop->node->salt + SIM_FINAL, key, loop->sums[key]), 0) != WEIR_OK)
        return WEIR_END;
    loop->sums[key] = 0;
    return loop->told < SIM_KEYS ? WEIR_MORE : WEIR_END;
}

static enum weir_result loop_save(void *self, struct weir_context *context,
                                  struct weir_saver *saver)
{
    struct loop *loop = self;

    if (fails(context, loop->node, SIM_CALL_SAVE) || refuses(loop->node))
        return WEIR_FAILED;
    for (uint64_t key = 0; key < SIM_KEYS; key++)
        save_keyed(saver, key, &loop->sums[key], sizeof loop->sums[key]);
    return WEIR_OK;
}

static enum weir_result loop_load(void *self, struct weir_context *context,
                                  struct weir_loader *loader, uint32_t version)
{
    struct loop *loop = self;

    (void)version;
    if (fails(context, loop->node, SIM_CALL_LOAD))
        return WEIR_FAILED;
    return load_keyed(loader, loop->sums, sizeof loop->sums[0]);
}

struct sink {
    const struct sim_node *node;
    struct sim_values
        *staged; /* since the last prepare; the graph's, for a dead run frees nothing */
};

static enum weir_result sink_open(void *self, struct weir_context *context, const void *config)
{
    struct sink *sink = self;
    struct sim_graph *graph = ((const struct sim_node *)config)->graph;

    sink->node = config;
    sink->staged = &graph->staged[sink->node - graph->nodes][weir_subtask(context)];
    sim_values_clear(sink->staged);
    return fails(context, sink->node, SIM_CALL_OPEN) ? WEIR_FAILED : WEIR_OK;
}

static enum weir_result sink_process(void *self, struct weir_context *context, unsigned input,
                                     const struct weir_record *record)
{
    struct sink *sink = self;
    uint64_t key, value;

    (void)input;
    if (!take(context, sink->node, record, &key, &value))
        return WEIR_DAMAGED;
    sim_values_add(sink->staged, sim_mix(sink->node->salt, key, value));
    return WEIR_OK;
}

/* A killed process reaches nobody. */
static enum weir_result sink_prepare(void *self, struct weir_context *context, uint64_t id)
{
    struct sink *sink = self;
    uint64_t number;

    if (fails(context, sink->node, SIM_CALL_PREPARE))
        return WEIR_FAILED;
    if (sim_killed())
        return weir_fail(context, WEIR_IO, "killed");
    number = world_prepare(sink->node->graph->world, id, sink->staged);
    return weir_handle(context, bytes_of(&number, sizeof number));
}

static enum weir_result sink_commit(void *self, struct weir_context *context,
                                    struct weir_bytes handle)
{
    struct sim_graph *graph = ((struct sink *)self)->node->graph;
    uint64_t number;
    bool fails = graph->commits_left > 0 && --graph->commits_left == 0;

    if (sim_killed())
        return weir_fail(context, WEIR_IO, "killed");
    memcpy(&number, handle.data, sizeof number);
    graph->commit_failed |= fails;
    if (!fails || graph->commit_after)
        world_publish(graph->world, number);
    return fails ? weir_fail(context, WEIR_IO, "the other system is away") : WEIR_OK;
}

static size_t line_of(char *line, size_t room, const struct weir_record *record, const void *config)
{
    const struct sim_node *node = config;
    char text[20];
    uint64_t key, value;

    memcpy(&key, record->key.data, 8);
    memcpy(&value, record->value.data, 8);
    snprintf(text, sizeof text, "%016" PRIx64, sim_mix(node->salt, key, value));
    memcpy(line, text, room < 16 ? room : 16);
    return 16;
}

/* ---- building ---- */

#define HEAD(name, type) WEIR_SIZED(struct weir_operator), .kind = name, .self_size = sizeof(type)

static const struct weir_operator tables[] = {
    [SIM_SOURCE] = {HEAD("source", struct source), .open = source_open, .poll = source_poll,
                    .save = source_save, .load = source_load},
    [SIM_PASS] = {HEAD("pass", struct keyed), .open = keyed_open, .process = pass_process},
    [SIM_SPLIT] = {HEAD("split", struct keyed), .open = keyed_open, .process = pass_process},
    [SIM_COUNT] = {HEAD("count", struct keyed), .open = keyed_open, .process = count_process,
                   .finish = count_finish},
    [SIM_JOIN] = {HEAD("join", struct keyed), .open = keyed_open, .process = count_process},
    [SIM_WINDOW] = {HEAD("window", struct window), .open = keyed_open, .process = window_process,
                    .timer = window_timer, .save = window_save, .load = window_load},
    [SIM_HOLD] = {HEAD("hold", struct hold), .open = keyed_open, .process = hold_process,
                  .timer = hold_timer, .finish = hold_finish, .save = hold_save, .load = hold_load},
    [SIM_PACE] = {HEAD("pace", struct pace), .open = keyed_open, .process = pace_process,
                  .finish = pace_finish, .save = pace_save, .load = pace_load, .wake = pace_wake},
    [SIM_ORDER] = {HEAD("order", struct order), .open = keyed_open, .process = order_process,
                   .save = order_save, .load = order_load},
    [SIM_LOOP] = {HEAD("loop", struct loop), .open = keyed_open, .process = loop_process,
                  .finish = loop_finish, .save = loop_save, .load = loop_load},
    [SIM_SINK] = {HEAD("sink", struct sink), .open = sink_open, .process = sink_process,
                  .prepare = sink_prepare, .commit = sink_commit},
};

/* Of kinds that have two. */
static const char *const two_inputs[SIM_LINES + 1][2] = {
    [SIM_JOIN] = {"left", "right"}, [SIM_LOOP] = {"in", "back"}};
static const char *const two_outputs[SIM_LINES + 1][2] = {
    [SIM_SPLIT] = {"even", "odd"}, [SIM_LOOP] = {"done", "again"}};

static bool is_keyed(const struct sim_node *node)
{
    return node->kind == SIM_COUNT || node->kind == SIM_JOIN;
}

uint64_t sim_graph_states(const struct sim_graph *graph)
{
    uint64_t states = 0;

    for (uint32_t i = 0; i < graph->node_count; i++)
        states += is_keyed(&graph->nodes[i]) ? graph->nodes[i].parallelism : 0;
    return states;
}

static weir_node build_node(struct weir_graph *graph, const struct sim_node *node, const char *name)
{
    static const struct weir_state state = {WEIR_SIZED(struct weir_state), .name = "counts",
                                            .version = 1, .value_size = 16};
    static const struct weir_operator shelf = {HEAD("shelf", struct keyed), .open = keyed_open,
                                               .process = shelf_process, .key_timer = shelf_timer};
    struct weir_state kinds[SHELF_STATES];
    const char *const *inputs = two_inputs[node->kind], *const *outputs = two_outputs[node->kind];
    bool keyed = is_keyed(node);
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options), .name = name,
                                        .table = &tables[node->kind], .config = node,
                                        .parallelism = node->parallelism};
    struct weir_line_sink_options lines = {WEIR_SIZED(struct weir_line_sink_options),
                                           .path = SIM_OUTPUT, .write = line_of, .config = node,
                                           .parallelism = node->parallelism};

    if (node->kind == SIM_LINES)
        return weir_line_sink(graph, name, &lines);
    options.states = keyed ? &state : NULL;
    options.state_count = keyed;
    if (node->kind == SIM_WINDOW && node->salt % 3 > 0) {
        shelf_states(node, kinds);
        options.table = &shelf;
        options.states = kinds;
        options.state_count = SHELF_STATES;
    }
    options.inputs = inputs[0] != NULL ? inputs : NULL;
    options.input_count = inputs[0] != NULL ? 2 : 0;
    options.outputs = outputs[0] != NULL ? outputs : NULL;
    options.output_count = outputs[0] != NULL ? 2 : 0;
    return weir_graph_add(graph, &options);
}

struct weir_graph *sim_graph_build(struct sim_graph *sim)
{
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node nodes[SIM_NODES];
    char name[16];

    for (uint32_t i = 0; graph != NULL && i < sim->node_count; i++) {
        snprintf(name, sizeof name, "n%u", i);
        nodes[i] = build_node(graph, &sim->nodes[i], name);
    }
    for (uint32_t i = 0; graph != NULL && i < sim->edge_count; i++) {
        const struct sim_edge *edge = &sim->edges[i];
        struct weir_edge_options options = {
            WEIR_SIZED(struct weir_edge_options),
            .from = nodes[edge->from],
            .to = nodes[edge->to],
            .output = two_outputs[sim->nodes[edge->from].kind][edge->output],
            .input = two_inputs[sim->nodes[edge->to].kind][edge->input],
            .routing = edge->routing,
            .feedback = edge->feedback,
        };
        weir_graph_connect(graph, &options);
    }
    return graph;
}
