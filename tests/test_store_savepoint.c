/* links: store_bed */
/* SPDX-License-Identifier: Apache-2.0
 *
 * Savepoints.
 */
#include "store_bed.h"

#include <sys/wait.h>

#include "disk.h"
#include "state.h"

TestSuite(store_savepoint, .init = store_bed_open, .fini = store_bed_close, .timeout = 120);

/* --- savepoints ------------------------------------------------------------------------------ */

/* A fingerprint of every name, size and byte below `folder`. */
static uint64_t tree_sum;
static int add_to_tree(const char *name, const struct stat *status, int kind, struct FTW *walk)
{
    unsigned char bytes[65536];
    uint64_t sum = kind == FTW_F ? scratch_read(name, bytes, sizeof bytes) : 0;
    for (size_t i = 0; kind == FTW_F && i < (size_t)status->st_size; i++)
        sum = sum * 31 + bytes[i];
    for (const char *at = name + walk->base; *at != 0; at++)
        sum = sum * 31 + (unsigned char)*at;
    tree_sum += sum * 0x9E3779B97F4A7C15u; /* in whatever order they come */
    return 0;
}
static uint64_t tree_of(const char *folder)
{
    tree_sum = 0;
    nftw(folder, add_to_tree, 16, FTW_PHYS);
    return tree_sum;
}

Test(store_savepoint, a_savepoint_is_whole_without_its_store)
{
    struct store *view;
    struct weir_error error;
    struct manifest manifest;
    unsigned char text[2048] = {0};
    uint64_t *ids;
    size_t count;
    bed_make_with(3);
    bed_save_to(2);
    bed_lose_store();
    cr_assert_eq(store_view(bed.saved, NULL, &view, &error), WEIR_OK, "%s", error.text);
    cr_assert(store_is_savepoint(view));
    cr_assert(store_id(view)[3] == 4 && store_epoch(view) == 1 && store_key_groups(view) == 128);
    cr_assert_eq(store_list(view, &ids, &count, &error), WEIR_OK);
    cr_assert(count == 1 && ids[0] == 2);
    memory_release(NULL, ids);
    cr_assert_eq(store_verify(view, 2, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(store_recover(view, 0, &manifest, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(manifest.id, 2);
    sample_expect(view, &manifest);
    manifest_free(&manifest);
    store_close(&view);
    scratch_read(scratch_join(bed.saved, "SAVEPOINT"), text, sizeof text - 1);
    cr_assert_not_null(strstr((char *)text, "words"), "%s", (char *)text);
    cr_assert_not_null(strstr((char *)text, "checkpoint: 2\n"), "%s", (char *)text);
    cr_assert_not_null(strstr((char *)text, "1970-01-01 00:00:00 UTC"), "%s", (char *)text);
    cr_assert_not_null(strstr((char *)text, "--restore"), "%s", (char *)text);
}

Test(store_savepoint, a_savepoint_holds_the_blobs_that_are_named_and_no_others)
{
    struct store *store = sample_store(bed.path), *view;
    struct manifest manifests[2], manifest;
    struct weir_error error;
    struct stat status;
    bed_claim(store, 1);
    sample_parts(store, 1, &manifests[0]);
    manifest_free(&manifests[0]);
    sample_parts(store, 1, &manifests[0]); /* the first ones are named by nobody */
    bed_sync_round(store, 1);
    bed_commit(store, &manifests[0]);
    snprintf(bed.saved, sizeof bed.saved, "%s/saved", bed.scratch.path);
    cr_assert_eq(store_save_copy(store, 1, bed.saved, &error), WEIR_OK, "%s", error.text);
    store_close(&store);
    cr_assert_eq(store_view(bed.saved, NULL, &view, &error), WEIR_OK);
    cr_assert_eq(store_manifest(view, 1, &manifest, &error), WEIR_OK);
    uint64_t size = 0;
    for (uint32_t i = 0; i < 3; i++) {
        size += BLOB_HEADER_SIZE + manifest.tasks[i].part.blob.stored_size;
        for (uint32_t k = 0; k < manifest.tasks[i].inflight_count; k++)
            size += BLOB_HEADER_SIZE + manifest.tasks[i].inflight[k].blob.stored_size;
        for (uint32_t k = 0; k < manifest.tasks[i].state_count; k++)
            size += BLOB_HEADER_SIZE + manifest.tasks[i].state[k].place.blob.stored_size;
    }
    sample_expect(view, &manifest);
    manifest_free(&manifest);
    store_close(&view);
    strcpy(bed.path, bed.saved);
    cr_assert_eq(stat(bed_segment_of(1, 1), &status), 0);
    cr_assert_eq((uint64_t)status.st_size, size);
    cr_assert_eq(bed_count_files("data"), 1);
}

Test(store_savepoint, a_savepoint_has_all_state_whoever_wrote_it)
{
    struct store *store = sample_store(bed.path), *view;
    struct manifest manifests[4], manifest;
    struct weir_error error;
    bed_commit_sharing(store, 1, NULL, &manifests[1]);
    bed_commit_sharing(store, 2, &manifests[1], &manifests[2]);
    store_close(&store);
    store = sample_store(bed.path);
    bed_commit_sharing(store, 3, &manifests[2], &manifests[3]);
    store_close(&store);
    bed_save_to(3);
    bed_lose_store();
    for (int copies = 0; copies < 2; copies++) {
        strcpy(bed.path, bed.saved);
        cr_assert_eq(store_view(bed.path, NULL, &view, &error), WEIR_OK, "%s", error.text);
        cr_assert_eq(store_verify(view, 3, &error), WEIR_OK, "%s", error.text);
        cr_assert_eq(store_manifest(view, 3, &manifest, &error), WEIR_OK, "%s", error.text);
        const struct manifest_segment *state = manifest.tasks[1].state;
        cr_assert_eq(manifest.tasks[1].state_count, 6);
        for (uint64_t k = 0; k < 6; k++) {
            cr_assert(state[k].place.blob.id == 1 + k / 2 &&
                      state[k].place.blob.epoch == (k < 4 ? 1 : 2));
            cr_assert(state[k].place.file_epoch == 2 && state[k].place.file_number == 1);
        }
        sample_expect(view, &manifest);
        bed_expect_no_leftovers(view);
        manifest_free(&manifest);
        store_close(&view);
        snprintf(bed.saved, sizeof bed.saved, "%s/again",
                 bed.scratch.path); /* a copy can be copied */
        if (copies == 0)
            cr_assert_eq(bed_save(3, bed.saved, &error), WEIR_OK, "%s", error.text);
    }
    for (int i = 1; i <= 3; i++)
        manifest_free(&manifests[i]);
}

Test(store_savepoint, saving_disturbs_neither_the_store_nor_its_open_rounds)
{
    struct store *store = sample_store(bed.path);
    struct manifest manifests[2];
    struct weir_error error;
    sample_commit(store, 1);
    bed_claim(store, 2);
    sample_parts(store, 2, &manifests[0]);
    bed_claim(store, 3);
    uint64_t before = tree_of(bed.path);
    snprintf(bed.saved, sizeof bed.saved, "%s/saved", bed.scratch.path);
    cr_assert_eq(store_save_copy(store, 1, bed.saved, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(store_save_copy(store, 2, scratch_join(bed.scratch.path, "two"), &error),
                 WEIR_NOT_FOUND, "it is not committed");
    cr_assert_not(scratch_exists(scratch_join(bed.scratch.path, "two")));
    cr_assert_eq(tree_of(bed.path), before);
    sample_parts(store, 3, &manifests[1]);
    for (uint64_t id = 2; id <= 3; id++) {
        bed_sync_round(store, id);
        bed_commit(store, &manifests[id - 2]);
    }
    store_retain(store, 1, 0);
    bed_expect_newest(store, 3);
    store_close(&store);
    cr_assert_eq(store_view(bed.saved, NULL, &store, &error), WEIR_OK);
    bed_expect_newest(store, 1);
    store_close(&store);
}

Test(store_savepoint, a_savepoint_can_be_saved_again_elsewhere)
{
    struct store *view;
    struct weir_error error;
    bed_make_with(1);
    bed_save_to(1);
    strcpy(bed.path, bed.saved);
    snprintf(bed.saved, sizeof bed.saved, "%s/again", bed.scratch.path);
    cr_assert_eq(mkdir(bed.saved, 0700), 0); /* an empty directory serves */
    cr_assert_eq(bed_save(1, bed.saved, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(store_view(bed.saved, NULL, &view, &error), WEIR_OK);
    bed_expect_newest(view, 1);
    store_close(&view);
}

Test(store_savepoint, no_run_takes_a_savepoint_for_its_store)
{
    struct weir_error error;
    bed_make_with(1);
    bed_save_to(1);
    uint64_t before = tree_of(bed.saved);
    strcpy(bed.path, bed.saved);
    cr_assert_eq(bed_open_once(&error), WEIR_REFUSED);
    cr_assert_not_null(strstr(error.text, "is a savepoint, and is never changed: give the run a "
                                          "store of its own and --restore "),
                       "%s", error.text);
    cr_assert_eq(tree_of(bed.saved), before);
}

Test(store_savepoint, none_is_made_inside_a_savepoint_or_another_store)
{
    struct weir_error error;
    char cwd[512], text[600];
    bed_make_with(1);
    bed_save_to(1);
    uint64_t before = tree_of(bed.scratch.path);
    const char *const holders[] = {scratch_join(bed.scratch.path, "store"), bed.saved};
    const char *const kinds[] = {"store", "savepoint"};
    const char *const names[] = {"x", "data/x", "checkpoints/x/"};
    const char *const ups[] = {"", "/data/..", "/checkpoints/.."};
    for (int i = 0; i < 6; i++) {
        strcpy(bed.path, scratch_join(holders[i / 3], names[i % 3]));
        cr_assert_eq(bed_open_once(&error), WEIR_REFUSED, "%s: %s", bed.path, error.text);
        snprintf(text, sizeof text, " lies inside the %s %s%s", kinds[i / 3], holders[i / 3],
                 ups[i % 3]);
        cr_assert_not_null(strstr(error.text, text), "%s", error.text);
        cr_assert_not_null(strstr(error.text, "name a directory outside of it"), "%s", error.text);
    }
    cr_assert_not_null(getcwd(cwd, sizeof cwd));
    cr_assert_eq(chdir(bed.saved), 0);
    strcpy(bed.path, "x");
    cr_assert_eq(bed_open_once(&error), WEIR_REFUSED);
    cr_assert_not_null(strstr(error.text, "inside the savepoint ., which"), "%s", error.text);
    cr_assert_eq(chdir(cwd), 0);
    cr_assert_eq(tree_of(bed.scratch.path), before);
}

/* What lies above may have names that weir's files have. */
Test(store_savepoint, one_is_made_below_what_only_looks_like_a_store)
{
    struct weir_error error;
    scratch_write(scratch_join(bed.scratch.path, "LOCK"), "x", 1);
    scratch_write(scratch_join(bed.scratch.path, "SAVEPOINT"), "x", 1);
    cr_assert_eq(mkdir(scratch_join(bed.scratch.path, "data"), 0700), 0);
    cr_assert_eq(bed_open_once(&error), WEIR_OK, "%s", error.text);
}

/* Refused with this text, and nothing at all is changed. */
static void expect_refused(const char *where, enum weir_result result, const char *text)
{
    struct weir_error error;
    uint64_t before = tree_of(bed.scratch.path);
    cr_assert_eq(bed_save(1, where, &error), result, "%s: %s", where, error.text);
    cr_assert_not_null(strstr(error.text, text), "%s", error.text);
    cr_assert_eq(tree_of(bed.scratch.path), before, "%s", where);
}

Test(store_savepoint, a_savepoint_goes_only_where_nothing_is)
{
    bed_make_with(1);
    bed_save_to(1);
    expect_refused(bed.saved, WEIR_REFUSED, "is a savepoint already");
    expect_refused(bed.path, WEIR_REFUSED, "is a store");
    expect_refused(bed.scratch.path, WEIR_REFUSED, "it holds '");
    expect_refused(scratch_join(bed.scratch.path, "no/such"), WEIR_IO, "make it first");
    expect_refused("", WEIR_INVALID, "empty");
    const char *file = scratch_join(bed.scratch.path, "file");
    scratch_write(file, "x", 1);
    expect_refused(file, WEIR_REFUSED, "not a directory");
    expect_refused(scratch_join(file, "x"), WEIR_IO, "/file, which should hold it, is not a dir");
    expect_refused(scratch_join(bed.saved, "x"), WEIR_REFUSED, "inside the savepoint");
    const char *empty = scratch_join(bed.scratch.path, "empty");
    cr_assert_eq(mkdir(empty, 0700), 0);
    cr_assert_eq(chmod(empty, 0777), 0);
    expect_refused(empty, WEIR_REFUSED, "may be written by others");
    cr_assert_eq(chmod(empty, 0700), 0);
    const char *link = scratch_join(bed.scratch.path, "link");
    cr_assert_eq(symlink("empty", link), 0);
    expect_refused(link, WEIR_REFUSED, "symbolic links are not followed");
    remove(bed_manifest_of(1));
    expect_refused(scratch_join(bed.scratch.path, "new"), WEIR_NOT_FOUND, "no such checkpoint");
}

Test(store_savepoint, a_savepoint_never_lies_inside_its_store)
{
    char link[256], cwd[512];
    bed_make_with(1);
    expect_refused(scratch_join(bed.path, "saved"), WEIR_REFUSED, "inside the store");
    expect_refused(scratch_join(bed.path, "data/saved"), WEIR_REFUSED, "inside the store");
    expect_refused(scratch_join(bed.path, "data/"), WEIR_REFUSED, "inside the store");
    expect_refused(scratch_join(bed_folder_of(1), "saved"), WEIR_REFUSED, "inside the store");
    snprintf(link, sizeof link, "%s/door", bed.scratch.path);
    cr_assert_eq(symlink("store/data", link), 0);
    expect_refused(scratch_join(link, "saved"), WEIR_REFUSED, "inside the store");
    cr_assert_not_null(getcwd(cwd, sizeof cwd));
    cr_assert_eq(chdir(bed_folder_of(1)), 0);
    expect_refused("saved", WEIR_REFUSED, "inside the store");
    expect_refused("../saved", WEIR_REFUSED, "inside the store");
    expect_refused("..", WEIR_REFUSED, "inside the store");
    cr_assert_eq(chdir(cwd), 0);
}

Test(store_savepoint, what_is_left_of_a_savepoint_that_was_not_finished_is_told_as_such)
{
    struct store *view;
    struct manifest manifest;
    struct weir_error error;
    bed_make_with(1);
    bed_save_to(1);
    cr_assert_eq(remove(scratch_join(bed.saved, "checkpoints/00000000000000000001/MANIFEST.json")),
                 0);
    expect_refused(bed.saved, WEIR_REFUSED, "never finished: remove that directory");
    cr_assert_eq(store_view(bed.saved, NULL, &view, &error), WEIR_OK);
    cr_assert_eq(store_recover(view, 0, &manifest, &error), WEIR_NOT_FOUND);
    cr_assert_not_null(strstr(error.text, "never finished"), "%s", error.text);
    store_close(&view);
    cr_assert_eq(remove(scratch_join(bed.saved, "checkpoints/00000000000000000001")), 0);
    cr_assert_eq(remove(scratch_join(bed.saved, "checkpoints")), 0);
    expect_refused(bed.saved, WEIR_REFUSED, "never finished");
}

static void expect_unfinished(const char *says)
{
    struct store *view;
    struct manifest manifest;
    struct weir_error error;
    expect_refused(bed.saved, WEIR_REFUSED, says);
    cr_assert_eq(store_view(bed.saved, NULL, &view, &error), WEIR_OK);
    cr_assert_eq(store_recover(view, 0, &manifest, &error), WEIR_NOT_FOUND);
    cr_assert_not_null(strstr(error.text, says), "%s", error.text);
    store_close(&view);
}

Test(store_savepoint, one_that_is_being_written_is_not_called_left_over)
{
    bed_make_with(1);
    bed_save_to(1);
    cr_assert_eq(remove(scratch_join(bed.saved, "checkpoints/00000000000000000001/MANIFEST.json")),
                 0);
    int writer = disk_open(DISK_CWD, scratch_join(bed.saved, "SAVEPOINT"), DISK_UPDATE);
    cr_assert(writer >= 0);
    cr_assert_eq(disk_lock(writer), 0);
    expect_unfinished("is being written just now");
    disk_close(writer);
    expect_unfinished("never finished");
    cr_assert_eq(truncate(scratch_join(bed.saved, "SAVEPOINT"), 0), 0);
    expect_unfinished("try again, and remove that directory only if");
}

/* 0: saved; 1: refused, with a reason that harms nobody; 2: else. */
static int save_when_told(int told)
{
    char byte;
    struct weir_error error;
    (void)!read(told, &byte, 1);
    enum weir_result result = bed_save(1, bed.saved, &error);
    bool harmless = strstr(error.text, "is a savepoint already") ||
                    strstr(error.text, "is being written just now") ||
                    strstr(error.text, "is just begun there");
    if (result == WEIR_OK)
        return 0;
    if (result == WEIR_REFUSED && harmless)
        return 1;
    fprintf(stderr, "%s\n", error.text);
    return 2;
}

Test(store_savepoint, of_those_that_save_to_one_place_at_once_one_does_and_is_left_alone)
{
    enum { SAVERS = 4, TIMES = 40 };
    bed_make_with(1);
    for (int i = 0; i < TIMES; i++) {
        struct store *view;
        struct weir_error error;
        int told[2], counts[3] = {0};
        snprintf(bed.saved, sizeof bed.saved, "%s/saved%d", bed.scratch.path, i);
        if (i % 2)
            cr_assert_eq(mkdir(bed.saved, 0700), 0);
        cr_assert_eq(pipe(told), 0);
        for (int k = 0; k < SAVERS; k++)
            if (fork() == 0) {
                close(told[1]);
                _exit(save_when_told(told[0]));
            }
        close(told[1]);
        for (int k = 0; k < SAVERS; k++) {
            int status;
            cr_assert(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) < 3);
            counts[WEXITSTATUS(status)]++;
        }
        close(told[0]);
        cr_assert(counts[0] == 1 && counts[2] == 0, "%d saved, %d had no good reason", counts[0],
                  counts[2]);
        cr_assert_eq(store_view(bed.saved, NULL, &view, &error), WEIR_OK, "%s", error.text);
        cr_assert_eq(store_verify(view, 1, &error), WEIR_OK, "%s", error.text);
        store_close(&view);
    }
}

Test(store_savepoint, a_damaged_savepoint_says_that_there_is_no_other_checkpoint_in_it)
{
    struct store *view;
    struct manifest manifest;
    struct weir_error error;
    bed_make_with(1);
    bed_save_to(1);
    scratch_write(scratch_join(bed.saved, "checkpoints/00000000000000000001/MANIFEST.json"), "{}",
                  2);
    cr_assert_eq(store_view(bed.saved, NULL, &view, &error), WEIR_OK);
    cr_assert_eq(store_recover(view, 0, &manifest, &error), WEIR_DAMAGED);
    cr_assert_not_null(strstr(error.text, "is a savepoint and holds nothing else"), "%s",
                       error.text);
    cr_assert_null(strstr(error.text, "--restore none"), "%s", error.text);
    store_close(&view);
}

Test(store_savepoint, damage_is_not_copied_and_leaves_nothing_behind)
{
    unsigned char bytes[8192];
    struct weir_error error;
    char segment[512];
    bed_make_with(1);
    strcpy(segment, bed_segment_of(1, 1));
    snprintf(bed.saved, sizeof bed.saved, "%s/saved", bed.scratch.path);
    size_t size = scratch_read(segment, bytes, sizeof bytes);
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= (unsigned char)(1 << i % 8);
        scratch_write(segment, bytes, size);
        cr_assert_eq(bed_save(1, bed.saved, &error), WEIR_DAMAGED, "byte %zu", i);
        cr_assert_not_null(strstr(error.text, "saving checkpoint 1: store"), "%s", error.text);
        cr_assert_not(scratch_exists(bed.saved));
        bytes[i] ^= (unsigned char)(1 << i % 8);
    }
    scratch_write(segment, bytes, size);
    cr_assert_eq(bed_save(1, bed.saved, &error), WEIR_OK, "%s", error.text);
}

Test(store_savepoint, a_run_that_begins_with_a_savepoint_has_an_epoch_above_it)
{
    struct store_options options;
    struct weir_error error;
    struct store *store;
    sample_options(&options, bed.path);
    options.above_epoch = 41;
    cr_assert_eq(store_open(&options, &store, &error), WEIR_OK);
    cr_assert_eq(store_epoch(store), 42);
    sample_commit(store, 1);
    store_close(&store);
    cr_assert_eq(store_open(&options, &store, &error), WEIR_OK);
    cr_assert_eq(store_epoch(store), 43, "and above its own");
    bed_expect_newest(store, 1);
    store_close(&store);
    options.above_epoch = UINT32_MAX;
    cr_assert_eq(store_open(&options, &store, &error), WEIR_TOO_LARGE);
}
