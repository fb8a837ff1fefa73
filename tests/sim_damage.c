/* SPDX-License-Identifier: Apache-2.0 */
#include "sim_damage.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explore.h"
#include "memory.h"
#include "name.h"
#include "sim_world.h"
#include "store.h"
#include "weir_checkpoint.h"

static struct file_node *find(const char *folder, const char *name)
{
    const struct file_node *at = files_find(files_root(), &SIM_STORE[1]);

    at = at == NULL ? NULL : files_find(at, folder);
    return at == NULL ? NULL : files_find(at, name);
}

static struct file_node *manifest_of(uint64_t id)
{
    char name[NAME_ID_SIZE];
    const struct file_node *folder;

    name_of_id(id, name);
    folder = find(NAME_CHECKPOINTS, name);
    return folder == NULL ? NULL : files_find(folder, NAME_MANIFEST);
}

static struct file_node *segment_of(const struct manifest_blob *place)
{
    char name[NAME_SEGMENT_SIZE];

    name_of_segment(place->file_epoch, place->file_number, name);
    return find(NAME_DATA, name);
}

/* The newest one, as the store has it. */
static bool read_newest(struct manifest *manifest)
{
    struct store *store;
    uint64_t *ids = NULL;
    size_t count = 0;
    bool read = false;

    if (store_view(SIM_STORE, NULL, &store, NULL) != WEIR_OK)
        return false;
    if (store_list(store, &ids, &count, NULL) == WEIR_OK && count > 0)
        read = store_manifest(store, ids[count - 1], manifest, NULL) == WEIR_OK;
    memory_release(NULL, ids);
    store_close(&store);
    return read;
}

/* ---- the places ---- */

/* The number-th blob of the checkpoint: parts first, then what was in flight, then state. */
static const struct manifest_blob *blob_of(const struct manifest *manifest, uint32_t number)
{
    if (number < manifest->task_count)
        return &manifest->tasks[number].part;
    number -= manifest->task_count;
    for (uint32_t t = 0; t < manifest->task_count; t++) {
        if (number < manifest->tasks[t].inflight_count)
            return &manifest->tasks[t].inflight[number];
        number -= manifest->tasks[t].inflight_count;
    }
    for (uint32_t t = 0; t < manifest->task_count; t++) {
        if (number < manifest->tasks[t].state_count)
            return &manifest->tasks[t].state[number].place;
        number -= manifest->tasks[t].state_count;
    }
    return NULL;
}

static uint32_t blobs_in(const struct manifest *manifest)
{
    uint32_t count = manifest->task_count;

    for (uint32_t t = 0; t < manifest->task_count; t++)
        count += manifest->tasks[t].inflight_count + manifest->tasks[t].state_count;
    return count;
}

static size_t size_of(const struct manifest_blob *place)
{
    return BLOB_HEADER_SIZE + (size_t)place->blob.stored_size;
}

/* ---- the damage ---- */

static void copy(struct file_bytes *to, const struct file_bytes *from)
{
    to->data = malloc(from->size + 1);
    if (to->data == NULL)
        abort();
    if (from->size > 0)
        memcpy(to->data, from->data, from->size);
    to->size = from->size;
    to->room = from->size + 1;
}

static void begin(struct sim_damage *damage, struct file_node *file)
{
    damage->file = file;
    copy(&damage->before, &file->cached);
}

static void swap(const struct manifest_blob *a, const struct manifest_blob *b)
{
    unsigned char *one = segment_of(a)->cached.data + a->offset;
    unsigned char *two = segment_of(b)->cached.data + b->offset;

    for (size_t i = 0; i < size_of(a); i++) {
        unsigned char byte = one[i];
        one[i] = two[i];
        two[i] = byte;
    }
}

/* Both in one file: damage is of one. */
static bool swap_two(struct sim_damage *damage, const struct manifest *manifest, uint64_t k)
{
    uint32_t count = blobs_in(manifest);
    const struct manifest_blob *a = blob_of(manifest, (uint32_t)(k % count)), *b;

    for (uint32_t i = 1; i < count; i++) {
        b = blob_of(manifest, (uint32_t)((k + i) % count));
        if (size_of(a) != size_of(b) || segment_of(a) != segment_of(b) || segment_of(a) == NULL)
            continue;
        begin(damage, segment_of(a));
        swap(a, b);
        return true;
    }
    return false;
}

/* A byte of the checkpoint, of its manifest one time in four. */
static bool break_byte(struct sim_damage *damage, const struct manifest *manifest, uint64_t k,
                       bool cut)
{
    const struct manifest_blob *place = blob_of(manifest, (uint32_t)(k / 4 % blobs_in(manifest)));
    struct file_node *file = k % 4 == 0 ? manifest_of(manifest->id) : segment_of(place);
    size_t at;

    if (file == NULL || file->cached.size == 0)
        return false;
    at = k % 4 == 0 ? explore_mix(k) % file->cached.size
                    : place->offset + explore_mix(k) % size_of(place);
    begin(damage, file);
    if (cut)
        file->cached.size = at;
    else
        file->cached.data[at] ^= (unsigned char)(1 + explore_mix(k + 1) % 255);
    return true;
}

bool sim_damage_do(struct sim_damage *damage, enum sim_damage_kind kind, uint64_t k)
{
    struct manifest manifest;
    bool done;

    *damage = (struct sim_damage){0};
    if (!read_newest(&manifest))
        return false;
    done = kind == SIM_DAMAGE_SWAP && swap_two(damage, &manifest, k);
    if (!done)
        done = break_byte(damage, &manifest, k, kind == SIM_DAMAGE_CUT);
    manifest_free(&manifest);
    return done;
}

void sim_damage_undo(struct sim_damage *damage)
{
    if (damage->file == NULL)
        return;
    free(damage->file->cached.data);
    damage->file->cached = damage->before;
    *damage = (struct sim_damage){0};
}

bool sim_damage_is_found(enum sim_damage_kind kind, uint64_t k)
{
    struct sim_damage damage;
    struct weir_store *store = NULL;
    const uint64_t *ids = NULL;
    size_t count = 0;
    enum weir_result result;

    if (!sim_damage_do(&damage, kind, k))
        return true;
    result = weir_store_open(SIM_STORE, NULL, &store, NULL);
    if (result == WEIR_OK)
        result = weir_store_list(store, &ids, &count, NULL);
    if (result == WEIR_OK)
        result = weir_store_verify(store, ids[count - 1], NULL);
    weir_store_close(&store);
    sim_damage_undo(&damage);
    return result == WEIR_DAMAGED;
}
