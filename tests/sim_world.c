/* SPDX-License-Identifier: Apache-2.0 */
#include "sim_world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "failure.h"
#include "files.h"
#include "name.h"
#include "plant.h"
#include "weir_checkpoint.h"

void sim_values_add(struct sim_values *values, uint64_t value)
{
    if (values->count == values->room) {
        values->room = values->room == 0 ? 64 : 2 * values->room;
        values->list = realloc(values->list, values->room * sizeof *values->list);
        if (values->list == NULL)
            abort();
    }
    values->list[values->count++] = value;
}

void sim_values_clear(struct sim_values *values)
{
    free(values->list);
    *values = (struct sim_values){0};
}

void world_free(struct sim_world *world)
{
    sim_values_clear(&world->expected);
    sim_values_clear(&world->published);
    sim_values_clear(&world->dead);
    for (size_t i = 0; i < world->transaction_count; i++)
        sim_values_clear(&world->transactions[i].values);
    free(world->transactions);
    free(world->seen);
    *world = (struct sim_world){0};
}

void world_breach(struct sim_world *world, const char *format, ...)
{
    va_list list;

    if (world->breach[0] != '\0')
        return;
    va_start(list, format);
    vsnprintf(world->breach, sizeof world->breach, format, list);
    va_end(list);
}

/* ---- the disk, as an observer sees it ---- */

static const struct file_node *durable_find(const struct file_node *folder, const char *name)
{
    for (size_t i = 0; folder != NULL && i < folder->durable_names.count; i++) {
        if (strcmp(folder->durable_names.list[i].name, name) == 0)
            return folder->durable_names.list[i].node;
    }
    return NULL;
}

/* The newest checkpoint that a power cut now would leave; 0: none. */
static uint64_t durable_checkpoint(void)
{
    const struct file_node *folder = durable_find(files_root(), &SIM_STORE[1]);
    uint64_t newest = 0, id;

    folder = durable_find(folder, NAME_CHECKPOINTS);
    for (size_t i = 0; folder != NULL && i < folder->durable_names.count; i++) {
        const struct file_entry *entry = &folder->durable_names.list[i];
        const struct file_node *manifest = durable_find(entry->node, NAME_MANIFEST);
        if (manifest == NULL || !name_is_id(entry->name, &id) || id < newest)
            continue;
        if (manifest->durable.size == manifest->cached.size && manifest->cached.size > 0)
            newest = id;
    }
    return newest;
}

/* True: it was not seen before. */
static bool look_at(struct sim_world *world, const char *name, const struct file_node *file)
{
    uint64_t hash = XXH3_64bits(file->cached.data, file->cached.size);

    if (file == world->damaged)
        return false;
    for (size_t i = 0; i < world->seen_count; i++) {
        if (strcmp(world->seen[i].name, name) != 0)
            continue;
        if (world->seen[i].hash != hash)
            world_breach(world, "W3: %s has changed", name);
        return false;
    }
    world->seen = realloc(world->seen, (world->seen_count + 1) * sizeof *world->seen);
    if (world->seen == NULL)
        abort();
    snprintf(world->seen[world->seen_count].name, sizeof world->seen->name, "%s", name);
    world->seen[world->seen_count++].hash = hash;
    return true;
}

/* Read as text: it may be looked at in the middle of a run, whose allocations are counted. */
static uint64_t epoch_in(const struct file_node *manifest)
{
    char text[2000] = {0};
    size_t size = manifest->cached.size;
    const char *epoch;

    if (size > 0)
        memcpy(text, manifest->cached.data, size < sizeof text ? size : sizeof text - 1);
    epoch = strstr(text, "\"epoch\":");
    return epoch == NULL ? 0 : strtoull(epoch + 8, NULL, 10);
}

void world_look(struct sim_world *world)
{
    const struct file_node *folder = files_find(files_root(), &SIM_STORE[1]);

    folder = folder == NULL ? NULL : files_find(folder, NAME_CHECKPOINTS);
    for (size_t i = 0; folder != NULL && i < folder->names.count; i++) {
        const struct file_entry *entry = &folder->names.list[i];
        const struct file_node *manifest = files_find(entry->node, NAME_MANIFEST);
        if (manifest != NULL && look_at(world, entry->name, manifest) &&
            epoch_in(manifest) < world->epoch && !world->disk_broken)
            world_breach(world, "W10: checkpoint %s of epoch %" PRIu64 " appears in epoch %u",
                         entry->name, epoch_in(manifest), world->epoch);
    }
}

/* Lines are values in hexadecimal. */
static void add_lines(struct sim_world *world, const char *name, const struct file_node *file,
                      struct sim_values *values)
{
    const char *text = (const char *)file->cached.data;
    size_t at = 0;

    while (at < file->cached.size) {
        char line[20] = {0};
        const char *end = memchr(text + at, '\n', file->cached.size - at);
        if (end == NULL || end - (text + at) != 16) {
            world_breach(world, "W3: %s is not whole at byte %zu", name, at);
            return;
        }
        memcpy(line, text + at, 16);
        sim_values_add(values, strtoull(line, NULL, 16));
        at += 17;
    }
}

static void add_parts(struct sim_world *world, struct sim_values *values)
{
    const struct file_node *folder = files_find(files_root(), &SIM_OUTPUT[1]);

    for (size_t i = 0; folder != NULL && i < folder->names.count; i++) {
        const struct file_entry *entry = &folder->names.list[i];
        if (strncmp(entry->name, "part-", 5) != 0)
            continue;
        (void)look_at(world, entry->name, entry->node);
        add_lines(world, entry->name, entry->node, values);
    }
}

/* The record of a letter: its three numbers are found by name, its bytes from the end. */
static bool read_letter(const struct file_node *file, struct weir_record *record)
{
    char head[400] = {0};
    const char *bytes = (const char *)file->cached.data, *time, *key, *value;
    size_t size = file->cached.size;

    if (size == 0)
        return false;
    memcpy(head, bytes, size < sizeof head ? size : sizeof head - 1);
    time = strstr(head, "\ntime: ");
    key = strstr(head, "\nkey size: ");
    value = strstr(head, "\nvalue size: ");
    if (strncmp(head, "weir-dead-letter 1\n", 19) != 0 || !time || !key || !value)
        return false;
    record->time = strtoll(time + 7, NULL, 10);
    record->key.size = strtoull(key + 11, NULL, 10);
    record->value.size = strtoull(value + 13, NULL, 10);
    if (record->key.size + record->value.size > size)
        return false;
    record->value.data = bytes + size - record->value.size;
    record->key.data = bytes + size - record->value.size - record->key.size;
    return true;
}

static void add_letters(struct sim_world *world, struct sim_values *values)
{
    const struct file_node *folder = files_find(files_root(), &SIM_LETTERS[1]);

    for (size_t i = 0; folder != NULL && i < folder->names.count; i++) {
        const struct file_entry *entry = &folder->names.list[i];
        struct weir_record record;
        if (entry->name[0] == '.')
            continue;
        (void)look_at(world, entry->name, entry->node);
        if (read_letter(entry->node, &record))
            sim_values_add(values, failure_fingerprint(&record));
        else
            world_breach(world, "W3: %s is not a whole letter", entry->name);
    }
}

/* May a record be on its way over this edge, in a checkpoint like that? */
static bool may_be_recorded(const struct weir_checkpoint_info *info,
                            const struct weir_checkpoint_edge *edge)
{
    if (strcmp(edge->routing, "broadcast") == 0)
        return false;
    return edge->feedback || info->overtaken;
}

static void check_inflight(struct sim_world *world, struct weir_checkpoint *checkpoint)
{
    struct weir_checkpoint_info info = {WEIR_SIZED(struct weir_checkpoint_info)};
    struct weir_checkpoint_edge edge = {WEIR_SIZED(struct weir_checkpoint_edge)};
    struct weir_row row = {WEIR_SIZED(struct weir_row)};
    struct weir_error error = {0};
    struct weir_cursor *cursor = NULL;

    weir_checkpoint_describe(checkpoint, &info);
    if (weir_cursor_open(checkpoint, WEIR_ROWS_INFLIGHT, NULL, NULL, &cursor, &error) != WEIR_OK)
        world_breach(world, "W7: %s", error.text);
    while (cursor != NULL && weir_cursor_next(cursor, &row)) {
        if (!weir_checkpoint_get_edge(checkpoint, row.edge, &edge) ||
            !may_be_recorded(&info, &edge))
            world_breach(world, "W11: checkpoint %" PRIu64 ", %s, holds a record of edge %u",
                         info.id, info.overtaken ? "overtaken" : "aligned", row.edge);
    }
    if (weir_cursor_close(&cursor, &error) != WEIR_OK)
        world_breach(world, "W7: %s", error.text);
}

static void check_checkpoint(struct sim_world *world, struct weir_store *store, uint64_t id)
{
    struct weir_checkpoint *checkpoint = NULL;
    struct weir_error error = {0};

    if (weir_store_verify(store, id, &error) != WEIR_OK ||
        weir_checkpoint_open(store, id, &checkpoint, &error) != WEIR_OK)
        world_breach(world, "W7: %s", error.text);
    if (checkpoint != NULL)
        check_inflight(world, checkpoint);
    weir_checkpoint_close(&checkpoint);
}

/* How many it holds. */
static size_t check_store(struct sim_world *world, const char *path)
{
    struct weir_error error = {0};
    struct weir_store *store = NULL;
    const uint64_t *ids = NULL;
    size_t count = 0;

    if (weir_store_open(path, NULL, &store, &error) != WEIR_OK ||
        weir_store_list(store, &ids, &count, &error) != WEIR_OK)
        world_breach(world, "W7: %s", error.text);
    for (size_t i = 0; i < count; i++)
        check_checkpoint(world, store, ids[i]);
    weir_store_close(&store);
    return count;
}

static void check_checkpoints(struct sim_world *world)
{
    if (durable_checkpoint() > 0 && world->breach[0] == '\0')
        (void)check_store(world, SIM_STORE);
}

static void check_savepoints(struct sim_world *world)
{
    for (uint32_t i = 0; i < world->saved_count && !world->disk_lied; i++)
        if (world->breach[0] == '\0' && check_store(world, world->saved[i]) != 1)
            world_breach(world, "W12: the savepoint %s is not there", world->saved[i]);
    world->saved_count = 0;
}

static bool lies_below(const struct file_node *folder, bool root)
{
    if (folder->lying)
        return true;
    for (size_t i = 0; i < folder->names.count; i++) {
        const struct file_entry *entry = &folder->names.list[i];
        if (entry->node->folder ? lies_below(entry->node, false)
                                : root && entry->node->lying && strcmp(entry->name, "LOCK") == 0)
            return true;
    }
    return false;
}

bool world_disk_lies(void)
{
    const struct file_node *store = files_find(files_root(), &SIM_STORE[1]);

    return lies_below(files_root(), false) || (store != NULL && lies_below(store, true));
}

/* ---- what was published ---- */

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void sort(struct sim_values *values)
{
    if (values->count > 0)
        qsort(values->list, values->count, sizeof *values->list, compare);
}

/* Both sorted: is the one within the other, and with `all` the same? */
static void check_within(struct sim_world *world, const char *what, const struct sim_values *got,
                         const struct sim_values *want, bool all)
{
    size_t at = 0;

    for (size_t i = 0; i < got->count && world->breach[0] == '\0'; i++, at++) {
        while (at < want->count && want->list[at] < got->list[i])
            at++;
        if (at == want->count || want->list[at] != got->list[i])
            world_breach(world, "%s: %016" PRIx64 " was published too often (%zu of %zu)", what,
                         got->list[i], got->count, want->count);
    }
    if (all && got->count != want->count)
        world_breach(world, "%s: %zu of %zu were published", what, got->count, want->count);
}

static void check_published(struct sim_world *world, bool all)
{
    struct sim_values values = {0}, letters = {0};

    for (size_t i = 0; i < world->published.count; i++)
        sim_values_add(&values, world->published.list[i]);
    add_parts(world, &values);
    add_letters(world, &letters);
    sort(&values);
    sort(&letters);
    check_within(world, "W5: values", &values, &world->expected, all);
    check_within(world, "W8: dead letters", &letters, &world->dead, all);
    sim_values_clear(&values);
    sim_values_clear(&letters);
}

void world_is_exact(struct sim_world *world)
{
    check_published(world, true);
}

/* ---- runs ---- */

void world_begin(struct sim_world *world)
{
    world->prepared_floor = world->prepared;
    world->epoch_floor = world->epoch;
    sort(&world->expected);
    sort(&world->dead);
}

void world_end(struct sim_world *world)
{
    world_look(world);
    check_published(world, false);
    check_checkpoints(world);
    check_savepoints(world);
}

void world_opened(struct sim_world *world, uint32_t epoch)
{
    if (epoch <= world->epoch_floor && !world->disk_broken)
        world_breach(world, "W6: epoch %u after epoch %u", epoch, world->epoch_floor);
    if (epoch > world->epoch)
        world->epoch = epoch;
}

void world_kept(struct sim_world *world, bool there)
{
    if (!there && world->kept && !world->disk_broken)
        world_breach(world, "W9: a file in a node's folder is gone");
}

void world_started(struct sim_world *world, uint64_t restored_from)
{
    if (restored_from < world->committed)
        world_breach(world, "W4: started from %" PRIu64 ", and %" PRIu64 " was told", restored_from,
                     world->committed);
}

void world_told(struct sim_world *world, uint64_t id)
{
    if (id <= world->committed)
        world_breach(world, "W2: checkpoint %" PRIu64 " after %" PRIu64, id, world->committed);
    world->committed = id;
    world_look(world);
}

void world_saved(struct sim_world *world, const char *path)
{
    if (world->saved_count == SIM_SAVED)
        abort();
    snprintf(world->saved[world->saved_count++], sizeof world->saved[0], "%s", path);
}

uint64_t world_prepare(struct sim_world *world, uint64_t id, struct sim_values *values)
{
    struct sim_transaction *more;

    if (id <= world->prepared_floor && !world->disk_lied)
        world_breach(world, "W2: checkpoint %" PRIu64 " is prepared again", id);
    if (id > world->prepared)
        world->prepared = id;
    more = realloc(world->transactions, (world->transaction_count + 1) * sizeof *more);
    if (more == NULL)
        abort();
    world->transactions = more;
    more[world->transaction_count] = (struct sim_transaction){id, false, *values};
    *values = (struct sim_values){0};
    return world->transaction_count++;
}

void world_publish(struct sim_world *world, uint64_t number)
{
    struct sim_transaction *transaction = &world->transactions[number];

    if (number >= world->transaction_count) {
        world_breach(world, "a handle of no transaction");
        return;
    }
    if (durable_checkpoint() < transaction->prepared && !world_disk_lies())
        world_breach(world,
                     "W1: published what was prepared for %" PRIu64 ", %" PRIu64
                     " is the newest durable checkpoint",
                     transaction->prepared, durable_checkpoint());
    if (transaction->published && !WEIR_PLANT(commit_not_idempotent))
        return;
    transaction->published = true;
    for (size_t i = 0; i < transaction->values.count; i++)
        sim_values_add(&world->published, transaction->values.list[i]);
}
