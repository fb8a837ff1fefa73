/* SPDX-License-Identifier: Apache-2.0 */
#include "store_bed.h"

#include <dirent.h>

#include "name.h"

struct store_bed bed;

void store_bed_open(void)
{
    bed.scratch = scratch_make();
    snprintf(bed.path, sizeof bed.path, "%s/store", bed.scratch.path);
}

void store_bed_close(void)
{
    scratch_free(&bed.scratch);
}

static void count_warning(void *context, const char *warning)
{
    (void)context;
    (void)warning;
    bed.warnings++;
}

enum weir_result bed_try_open(struct store **store, struct weir_error *error)
{
    struct store_options options;
    sample_options(&options, bed.path);
    options.warn = count_warning;
    return store_open(&options, store, error);
}

enum weir_result bed_open_once(struct weir_error *error)
{
    struct store *store;
    enum weir_result result = bed_try_open(&store, error);
    store_close(&store);
    return result;
}

const char *bed_folder_of(uint64_t id)
{
    char name[64], number[NAME_ID_SIZE];
    name_of_id(id, number);
    snprintf(name, sizeof name, "checkpoints/%s", number);
    return scratch_join(bed.path, name);
}

const char *bed_manifest_of(uint64_t id)
{
    return scratch_join(bed_folder_of(id), "MANIFEST.json");
}

const char *bed_segment_of(uint32_t epoch, uint64_t number)
{
    char name[64], file[NAME_SEGMENT_SIZE];
    name_of_segment(epoch, number, file);
    snprintf(name, sizeof name, "data/%s", file);
    return scratch_join(bed.path, name);
}

unsigned bed_count_files(const char *folder)
{
    unsigned count = 0;
    DIR *open = opendir(scratch_join(bed.path, folder));
    for (const struct dirent *entry; (entry = readdir(open)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(open);
    return count;
}

void bed_expect_newest(struct store *store, uint64_t id)
{
    struct manifest manifest;
    struct weir_error error;
    cr_assert_eq(store_recover(store, 0, &manifest, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(manifest.id, id);
    sample_expect(store, &manifest);
    manifest_free(&manifest);
}

void bed_make_with(uint64_t checkpoints)
{
    struct store *store = sample_store(bed.path);
    for (uint64_t id = 1; id <= checkpoints; id++)
        sample_commit(store, id);
    store_close(&store);
}

void bed_claim(struct store *store, uint64_t id)
{
    struct weir_error error;
    cr_assert_eq(store_claim(store, id, &error), WEIR_OK, "%s", error.text);
}

void bed_sync_round(struct store *store, uint64_t id)
{
    struct weir_error error;
    cr_assert_eq(store_sync(store, id, &error), WEIR_OK, "%s", error.text);
}

void bed_commit(struct store *store, struct manifest *manifest)
{
    struct weir_error error;
    cr_assert_eq(store_commit(store, manifest, &error), WEIR_OK, "%s", error.text);
    manifest_free(manifest);
}

struct census {
    char names[4096]; /* of containers, one after the other */
    unsigned count;
};

static void name_container(struct census *census, const struct manifest_blob *place)
{
    char name[NAME_SEGMENT_SIZE];
    name_of_segment(place->file_epoch, place->file_number, name);
    if (strstr(census->names, name) != NULL)
        return;
    cr_assert_lt(strlen(census->names) + sizeof name, sizeof census->names);
    strcat(census->names, name);
    census->count++;
    cr_assert(scratch_exists(bed_segment_of(place->file_epoch, place->file_number)), "%s", name);
}

void bed_expect_no_leftovers(struct store *store)
{
    struct census census = {"", 0};
    struct weir_error error;
    uint64_t *ids;
    size_t count;
    cr_assert_eq(store_list(store, &ids, &count, &error), WEIR_OK, "%s", error.text);
    for (size_t c = 0; c < count; c++) {
        struct manifest manifest;
        cr_assert_eq(store_manifest(store, ids[c], &manifest, &error), WEIR_OK, "%s", error.text);
        for (uint32_t i = 0; i < manifest.task_count; i++) {
            const struct manifest_task *task = &manifest.tasks[i];
            name_container(&census, &task->part);
            for (uint32_t k = 0; k < task->inflight_count; k++)
                name_container(&census, &task->inflight[k]);
            for (uint32_t k = 0; k < task->state_count; k++)
                for (struct manifest_blob place = task->state[k].place;
                     place.file_number >= task->state[k].from_number; place.file_number--)
                    name_container(&census, &place);
        }
        manifest_free(&manifest);
    }
    memory_release(NULL, ids);
    cr_assert_eq(bed_count_files("data"), census.count);
}

void bed_hold(struct store *store, uint64_t number)
{
    const struct manifest_segment segment = sample_within(store_epoch(store), number);
    struct weir_error error;
    cr_assert_eq(store_hold(store, &segment, &error), WEIR_OK, "%s", error.text);
}

void bed_let_go_of(struct store *store, uint32_t epoch, uint64_t number)
{
    const struct manifest_segment segment = sample_within(epoch, number);
    store_let_go(store, &segment);
}

void bed_write_sharing(struct store *store, uint64_t id, const struct manifest *older,
                       struct manifest *manifest)
{
    bed_claim(store, id);
    sample_parts(store, id, manifest);
    if (older != NULL)
        sample_share(manifest, older);
    bed_sync_round(store, id);
}

void bed_commit_sharing(struct store *store, uint64_t id, const struct manifest *older,
                        struct manifest *manifest)
{
    struct weir_error error;
    bed_write_sharing(store, id, older, manifest);
    cr_assert_eq(store_commit(store, manifest, &error), WEIR_OK, "%s", error.text);
}

void bed_let_go(struct store *store, uint64_t number)
{
    bed_let_go_of(store, store_epoch(store), number);
}

enum weir_result bed_save(uint64_t id, const char *where, struct weir_error *error)
{
    struct store *store;
    cr_assert_eq(store_view(bed.path, NULL, &store, error), WEIR_OK, "%s", error->text);
    enum weir_result result = store_save_copy(store, id, where, error);
    store_close(&store);
    return result;
}

void bed_save_to(uint64_t id)
{
    struct weir_error error;
    snprintf(bed.saved, sizeof bed.saved, "%s/saved", bed.scratch.path);
    cr_assert_eq(bed_save(id, bed.saved, &error), WEIR_OK, "%s", error.text);
}

void bed_lose_store(void)
{
    struct scratch gone = {""};
    strcpy(gone.path, bed.path);
    scratch_free(&gone);
}
