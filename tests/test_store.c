/* links: store_bed */
/* SPDX-License-Identifier: Apache-2.0
 *
 * A store and its rounds.
 */
#include "store_bed.h"
#include "exercised.h"
#include "little.h"
#include "lock.h"
#include "store_clean.h"
#include "state.h"

#include <sys/wait.h>
#include <xxhash.h>

#include "name.h"

TestSuite(store, .init = store_bed_open, .fini = store_bed_close, .timeout = 120);

/* --- opening ------------------------------------------------------------------------------- */

Test(store, makes_its_directory_and_raises_the_epoch_at_every_start)
{
    for (uint32_t epoch = 1; epoch <= 4; epoch++) {
        struct store *store = sample_store(bed.path);
        cr_assert_eq(store_epoch(store), epoch);
        cr_assert_eq(store_key_groups(store), 128);
        cr_assert_eq(store_id(store)[3], 4);
        cr_assert_eq(store_next_id(store), 1);
        store_close(&store);
    }
    struct stat status;
    cr_assert_eq(stat(bed.path, &status), 0);
    cr_assert_eq(status.st_mode & 077, 0);
}

Test(store, takes_an_empty_directory_and_keeps_its_id_and_groups)
{
    struct store_options options;
    struct weir_error error;
    struct store *store;
    cr_assert_eq(mkdir(bed.path, 0700), 0);
    bed_make_with(0);
    sample_options(&options, bed.path);
    options.key_groups = 64;
    options.new_id[3] = 99;
    cr_assert_eq(store_open(&options, &store, &error), WEIR_OK);
    cr_assert_eq(store_key_groups(store), 128);
    cr_assert_eq(store_id(store)[3], 4);
    store_close(&store);
}

/* I9. In a child: the number of what it could do. */
static int try_to_write(struct store *store)
{
    struct weir_error error = {0};
    struct manifest manifest = {0};
    if (store_claim(store, 9, &error) != WEIR_REFUSED || strstr(error.text, "forked") == NULL)
        return 1;
    if (store_sync(store, 8, &error) != WEIR_REFUSED)
        return 2;
    manifest.id = 8;
    return store_commit(store, &manifest, &error) == WEIR_REFUSED ? 0 : 3;
}

Test(store, a_forked_child_writes_nothing_and_keeps_no_lock_from_the_next_run)
{
    struct store *store = sample_store(bed.path);
    struct weir_error error;
    int status = 0, hold[2];
    cr_assert_eq(pipe(hold), 0);
    cr_assert_eq(store_claim(store, 8, &error), WEIR_OK);
    pid_t child = fork();
    if (child == 0) {
        char end;
        int code = try_to_write(store);
        close(hold[1]);
        (void)!read(hold[0], &end, 1); /* has LOCK open until the parent is through */
        _exit(code);
    }
    store_abort(store, 8);
    sample_commit(store, 9);
    store_close(&store);
    cr_expect_eq(bed_open_once(&error), WEIR_OK, "%s", error.text);
    close(hold[1]);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
    close(hold[0]);
}

/* The child has the lock: it says that its owner is gone, and what to do. */
Test(store, who_is_locked_out_by_a_child_of_a_dead_run_is_told_so)
{
    int ready[2], hold[2], status;
    struct weir_error error;
    char byte = 0;
    cr_assert_eq(pipe(ready), 0);
    cr_assert_eq(pipe(hold), 0);
    pid_t run = fork();
    if (run == 0) {
        struct store *store = sample_store(bed.path);
        if (fork() == 0) {
            close(hold[1]);
            (void)!write(ready[1], &byte, 1);
            (void)!read(hold[0], &byte, 1);
            _exit(0);
        }
        _exit(store == NULL);
    }
    cr_assert_eq(waitpid(run, &status, 0), run);
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    cr_assert_eq(bed_open_once(&error), WEIR_LOCKED);
    char text[120];
    snprintf(text, sizeof text, "process %d, epoch 1", (int)run);
    cr_expect_not_null(strstr(error.text, text), "%s", error.text);
    cr_expect_not_null(strstr(error.text, "has ended, but one that it forked has LOCK open, or"),
                       "%s", error.text);
    close(hold[1]);
    close(ready[1]);
    cr_assert_eq(read(ready[0], &byte, 1), 0, "it has ended");
    cr_expect_eq(bed_open_once(&error), WEIR_OK, "%s", error.text);
    close(hold[0]);
    close(ready[0]);
}

/* A cleaning is no run, and says so. */
Test(store, who_is_locked_out_by_a_cleaning_is_told_so)
{
    struct store *store = sample_store(bed.path);
    struct weir_error error;
    char text[64];
    sample_commit(store, 1);
    store_close(&store);
    cr_assert_eq(store_open_to_clean(bed.path, NULL, &store, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(bed_open_once(&error), WEIR_LOCKED);
    snprintf(text, sizeof text, "in use by a cleaning: process %d, epoch 2", (int)getpid());
    cr_assert_not_null(strstr(error.text, text), "%s", error.text);
    cr_assert_null(strstr(error.text, "stop it"), "%s", error.text);
    store_close(&store);
    store = sample_store(bed.path);
    cr_assert_eq(bed_open_once(&error), WEIR_LOCKED);
    cr_assert_not_null(strstr(error.text, "in use by another run"), "%s", error.text);
    store_close(&store);
}

Test(store, a_second_run_is_locked_out_and_told_by_whom)
{
    struct store *store = sample_store(bed.path);
    struct weir_error error;
    char pid[32];
    cr_assert_eq(bed_open_once(&error), WEIR_LOCKED);
    snprintf(pid, sizeof pid, "process %d, epoch 1, since 2", (int)getpid());
    cr_assert_not_null(strstr(error.text, pid), "%s", error.text);
    sample_commit(store, 1); /* the first is undisturbed */
    store_close(&store);
    cr_assert_eq(bed_open_once(&error), WEIR_OK);
}

Test(store, refuses_what_is_not_a_store)
{
    struct weir_error error;
    cr_assert_eq(mkdir(bed.path, 0700), 0);
    scratch_write(scratch_join(bed.path, "letter"), "x", 1);
    cr_assert_eq(bed_open_once(&error), WEIR_REFUSED);
    cr_assert_not_null(strstr(error.text, "'letter'"), "%s", error.text);
    cr_assert_not(scratch_exists(scratch_join(bed.path, "LOCK")));
    scratch_write(scratch_join(bed.path, "LOCK"), "",
                  0); /* other software has files of this name */
    cr_assert_eq(bed_open_once(&error), WEIR_REFUSED);
    cr_assert_not(scratch_exists(scratch_join(bed.path, "data")));
}

Test(store, has_a_number_of_key_groups_that_there_can_be)
{
    static const uint32_t wrong[] = {0, 65537};
    for (size_t i = 0; i < 2; i++) {
        struct store_options options;
        struct store *store;
        struct weir_error error;
        sample_options(&options, bed.path);
        options.key_groups = wrong[i];
        cr_assert_eq(store_open(&options, &store, &error), WEIR_INVALID);
        cr_assert_not_null(strstr(error.text, "1 to 65536 key groups"), "%s", error.text);
        cr_assert_null(store);
    }
    cr_assert_not(scratch_exists(bed.path));
}

/* Of a store that was one: no link is followed, nothing is waited for, nothing removed. */
Test(store, a_LOCK_that_is_no_file_is_refused)
{
    const char *lock = scratch_join(bed.path, "LOCK");
    struct weir_error error;
    bed_make_with(1);
    for (int kind = 0; kind < 3; kind++) {
        cr_assert_eq(kind == 1 ? rmdir(lock) : unlink(lock), 0);
        if (kind == 0)
            cr_assert_eq(mkdir(lock, 0700), 0);
        else if (kind == 1)
            cr_assert_eq(symlink("elsewhere", lock), 0);
        else
            cr_assert_eq(mkfifo(lock, 0600), 0);
        cr_assert_neq(bed_open_once(&error), WEIR_OK);
        cr_assert_not_null(strstr(error.text, "LOCK"), "%s", error.text);
        cr_assert_not(scratch_exists(scratch_join(bed.path, "elsewhere")));
    }
    cr_assert(scratch_exists(bed_manifest_of(1)));
}

Test(store, says_clearly_why_a_path_can_not_be_used)
{
    struct weir_error error;
    snprintf(bed.path, sizeof bed.path, "%s/no/store", bed.scratch.path);
    cr_assert_eq(bed_open_once(&error), WEIR_IO);
    cr_assert_not_null(strstr(error.text, "does not exist"), "%s", error.text);
    snprintf(bed.path, sizeof bed.path, "%s/file", bed.scratch.path);
    scratch_write(bed.path, "x", 1);
    cr_assert_eq(bed_open_once(&error), WEIR_REFUSED);
    cr_assert_not_null(strstr(error.text, "not a directory"));
    snprintf(bed.path, sizeof bed.path, "%s/link", bed.scratch.path);
    cr_assert_eq(symlink(bed.scratch.path, bed.path), 0);
    cr_assert_eq(bed_open_once(&error), WEIR_REFUSED);
    strcat(bed.path, "/");
    cr_assert_eq(bed_open_once(&error), WEIR_REFUSED, "a slash does not follow the link");
    bed.path[0] = 0;
    cr_assert_eq(bed_open_once(&error), WEIR_INVALID);
}

Test(store, refuses_a_store_that_others_may_write)
{
    struct weir_error error;
    bed_make_with(1);
    cr_assert_eq(chmod(bed.path, 0777), 0);
    cr_assert_eq(bed_open_once(&error), WEIR_REFUSED);
    cr_assert_not_null(strstr(error.text, "go-w"), "%s", error.text);
    cr_assert_eq(chmod(bed.path, 0755), 0);
    cr_assert_eq(chmod(scratch_join(bed.path, "data"), 0770), 0);
    cr_assert_eq(bed_open_once(&error), WEIR_REFUSED);
    cr_assert_eq(chmod(scratch_join(bed.path, "data"), 0700), 0);
    cr_assert_eq(bed_open_once(&error), WEIR_OK);
}

Test(store, refuses_a_store_of_another_user)
{
    struct weir_error error;
    bed_make_with(1);
    if (geteuid() != 0)
        return; /* only root can give files away */
    cr_assert_eq(chown(bed.path, 12345, (gid_t)-1), 0);
    cr_assert_eq(bed_open_once(&error), WEIR_REFUSED);
    cr_assert_not_null(strstr(error.text, "12345"));
}

Test(store, ignores_and_reports_names_that_are_not_its_own)
{
    struct store *store;
    struct weir_error error;
    bed_make_with(2);
    scratch_write(scratch_join(bed.path, "README"), "x", 1);
    scratch_write(scratch_join(bed.path, "data/1-1.seg"), "x", 1);
    cr_assert_eq(mkfifo(bed_segment_of(1, 99), 0600), 0);
    cr_assert_eq(mkdir(scratch_join(bed.path, "checkpoints/3"), 0700), 0);
    cr_assert_eq(mkdir(scratch_join(bed.path, "checkpoints/99999999999999999999"), 0700), 0);
    cr_assert_eq(symlink("00000000000000000001", bed_folder_of(7)), 0);
    bed.warnings = 0;
    cr_assert_eq(bed_try_open(&store, &error), WEIR_OK);
    cr_assert_eq(bed.warnings, 6);
    bed_expect_newest(store, 2);
    cr_assert_eq(store_next_id(store), 8, "the link's id can't be claimed");
    store_close(&store);
}

Test(store, a_creation_that_was_cut_off_is_finished)
{
    struct weir_error error;
    cr_assert_eq(mkdir(bed.path, 0700), 0);
    scratch_write(scratch_join(bed.path, "LOCK"), "", 0);
    cr_assert_eq(bed_open_once(&error), WEIR_OK);
    scratch_write(scratch_join(bed.path, "LOCK"), "WEIRLOCK half", 13);
    scratch_write(scratch_join(bed.path, "PROBE.tmp"), "half", 4);
    cr_assert_eq(bed_open_once(&error), WEIR_OK);
    cr_assert_not(scratch_exists(scratch_join(bed.path, "PROBE.tmp")));
}

Test(store, every_flipped_byte_of_LOCK_is_harmless_and_no_epoch_repeats)
{
    unsigned char bytes[257];
    struct store *store;
    struct weir_error error;
    bed_make_with(1);
    uint32_t epoch = 1;
    for (size_t i = 0; i < 256; i += 3) {
        cr_assert_eq(scratch_read(scratch_join(bed.path, "LOCK"), bytes, sizeof bytes), 256);
        bytes[i] ^= 0x40;
        scratch_write(scratch_join(bed.path, "LOCK"), bytes, 256);
        cr_assert_eq(bed_try_open(&store, &error), WEIR_OK, "byte %zu: %s", i, error.text);
        cr_assert_gt(store_epoch(store), epoch);
        epoch = store_epoch(store);
        bed_expect_newest(store, 1);
        store_close(&store);
    }
    exercised(256 / 3 + 1);
    memset(bytes, 0, 256);
    scratch_write(scratch_join(bed.path, "LOCK"), bytes, 256);
    cr_assert_eq(bed_open_once(&error), WEIR_DAMAGED);
    cr_assert_eq(remove(scratch_join(bed.path, "LOCK")), 0);
    cr_assert_eq(bed_open_once(&error), WEIR_DAMAGED);
}

/* Changes both records of LOCK, and makes their checksums right again. */
static void forge_lock(void (*change)(unsigned char *record))
{
    unsigned char bytes[LOCK_SIZE + 1];
    cr_assert_eq(scratch_read(scratch_join(bed.path, "LOCK"), bytes, sizeof bytes), LOCK_SIZE);
    for (int i = 0; i < 2; i++) {
        unsigned char *record = bytes + i * LOCK_RECORD_SIZE;
        change(record);
        little_put_u64(record + LOCK_RECORD_SIZE - 8, XXH3_64bits(record, LOCK_RECORD_SIZE - 8));
    }
    scratch_write(scratch_join(bed.path, "LOCK"), bytes, LOCK_SIZE);
}
static void make_newer(unsigned char *record)
{
    record[8]++;
}
static void change_byte_order(unsigned char *record)
{
    record[9] ^= 3;
}
static void use_up_epochs(unsigned char *record)
{
    little_put_u32(record + 32, UINT32_MAX);
}

Test(store, another_version_another_byte_order_and_a_last_epoch_are_refused_as_such)
{
    static const struct {
        void (*change)(unsigned char *record);
        enum weir_result result;
        const char *says;
    } forged[] = {{make_newer, WEIR_UNSUPPORTED, "newer than this library's"},
                  {change_byte_order, WEIR_UNSUPPORTED, "another byte order"},
                  {use_up_epochs, WEIR_TOO_LARGE, "epochs are used up"}};
    for (size_t i = 0; i < sizeof forged / sizeof *forged; i++) {
        struct weir_error error;
        unsigned char before[LOCK_SIZE + 1], after[LOCK_SIZE + 1];
        snprintf(bed.path, sizeof bed.path, "%s/forged%zu", bed.scratch.path, i);
        bed_make_with(1);
        forge_lock(forged[i].change);
        scratch_read(scratch_join(bed.path, "LOCK"), before, sizeof before);
        cr_expect_eq(bed_open_once(&error), forged[i].result, "%s", error.text);
        cr_expect(strstr(error.text, forged[i].says) && strstr(error.text, bed.path), "%s",
                  error.text);
        scratch_read(scratch_join(bed.path, "LOCK"), after, sizeof after);
        cr_expect_arr_eq(before, after, LOCK_SIZE);
    }
    exercised(sizeof forged / sizeof *forged);
}

Test(store, a_missing_folder_of_a_used_store_is_damage)
{
    struct weir_error error;
    bed_make_with(0);
    cr_assert_eq(rmdir(scratch_join(bed.path, "checkpoints")), 0);
    cr_assert_eq(bed_open_once(&error), WEIR_DAMAGED);
}

/* --- rounds -------------------------------------------------------------------------------- */

Test(store, a_committed_checkpoint_reads_back_in_the_next_run)
{
    struct store *store;
    struct manifest manifest;
    struct weir_error error;
    store = sample_store(bed.path);
    cr_assert_eq(store_recover(store, 0, &manifest, &error), WEIR_NOT_FOUND, "a first start");
    sample_commit(store, 1);
    sample_commit(store, 2);
    store_close(&store);
    store = sample_store(bed.path);
    bed_expect_newest(store, 2);
    cr_assert_eq(store_next_id(store), 3);
    cr_assert_eq(store_recover(store, 1, &manifest, &error), WEIR_OK);
    cr_assert_eq(manifest.id, 1);
    manifest_free(&manifest);
    cr_assert_eq(store_recover(store, 9, &manifest, &error), WEIR_NOT_FOUND);
    cr_assert_not_null(strstr(error.text, "2, 1"), "%s", error.text);
    store_close(&store);
}

Test(store, a_crash_after_any_step_leaves_the_old_checkpoint_or_the_new_one)
{
    struct store *store;
    struct weir_error error;
    uint64_t last = 1;
    bed_make_with(1);
    for (int steps = 1; steps <= 5; steps++) {
        struct manifest manifest;
        store = sample_store(bed.path);
        bed_expect_newest(store, last);
        uint64_t id = store_next_id(store);
        cr_assert_gt(id, last);
        cr_assert_eq(store_claim(store, id, &error), WEIR_OK);
        if (steps >= 2)
            sample_parts(store, id, &manifest);
        if (steps >= 3)
            cr_assert_eq(store_sync(store, id, &error), WEIR_OK);
        if (steps == 4) /* the manifest is there under its other name */
            scratch_write(scratch_join(bed_folder_of(id), "MANIFEST.json.tmp"), "{", 1);
        if (steps == 5) {
            cr_assert_eq(store_commit(store, &manifest, &error), WEIR_OK);
            last = id;
        }
        if (steps >= 2)
            manifest_free(&manifest);
        store_close(&store);
    }
    store = sample_store(bed.path);
    bed_expect_newest(store, last);
    cr_assert_eq(store_sweep(store, &error), WEIR_OK);
    cr_assert_eq(bed_count_files("checkpoints"), 2);
    cr_assert_eq(bed_count_files("data"), 2);
    bed_expect_newest(store, last);
    store_close(&store);
}

Test(store, an_id_never_repeats_after_an_abort)
{
    struct store *store = sample_store(bed.path);
    struct weir_error error;
    struct manifest manifest;
    sample_commit(store, 1);
    for (uint64_t id = 2; id <= 4; id++) {
        cr_assert_eq(store_claim(store, id, &error), WEIR_OK);
        sample_parts(store, id, &manifest);
        manifest_free(&manifest);
        store_abort(store, id);
    }
    cr_assert_eq(bed_count_files("data"), 1);
    cr_assert_eq(bed_count_files("checkpoints"), 2, "1, and 4 because it is the highest");
    store_close(&store);
    for (int i = 0; i < 2; i++) {
        store = sample_store(bed.path);
        cr_assert_eq(store_sweep(store, &error), WEIR_OK);
        cr_assert_eq(store_next_id(store), 5);
        bed_expect_newest(store, 1);
        store_close(&store);
    }
    store = sample_store(bed.path);
    cr_assert_eq(store_claim(store, 4, &error), WEIR_INVALID);
    sample_commit(store, 5);
    store_retain(store, 3, 0);
    store_close(&store);
    store = sample_store(bed.path);
    cr_assert_eq(store_sweep(store, &error), WEIR_OK);
    cr_assert_eq(bed_count_files("checkpoints"), 2);
    cr_assert_eq(store_next_id(store), 6);
    store_close(&store);
}

Test(store, an_id_that_another_run_has_claimed_stops_this_one)
{
    struct store *store = sample_store(bed.path);
    struct weir_error error;
    cr_assert_eq(mkdir(bed_folder_of(1), 0700), 0);
    cr_assert_eq(store_claim(store, 1, &error), WEIR_REFUSED);
    cr_assert_eq(store_claim(store, 2, &error), WEIR_REFUSED);
    store_abort(store, 1);
    cr_assert(scratch_exists(bed_folder_of(1)));
    store_close(&store);
}

Test(store, steps_out_of_order_are_refused)
{
    struct store *store = sample_store(bed.path);
    struct weir_error error;
    struct manifest manifest;
    struct manifest_blob place;
    const struct weir_bytes raw = {"x", 1};
    cr_assert_eq(store_part(store, 1, BLOB_SNAPSHOT, 0, raw, &place, &error), WEIR_INVALID);
    cr_assert_eq(store_sync(store, 1, &error), WEIR_INVALID);
    cr_assert_eq(store_claim(store, 1, &error), WEIR_OK);
    cr_assert_eq(store_claim(store, 1, &error), WEIR_INVALID);
    sample_parts(store, 1, &manifest);
    cr_assert_eq(store_commit(store, &manifest, &error), WEIR_INVALID, "not synced");
    cr_assert_eq(store_sync(store, 1, &error), WEIR_OK);
    cr_assert_eq(store_part(store, 1, BLOB_INFLIGHT, 0, raw, &place, &error), WEIR_INVALID,
                 "synced already");
    manifest.tasks[1].part.file_number = 9;
    cr_assert_eq(store_commit(store, &manifest, &error), WEIR_INVALID, "no such container");
    manifest.tasks[1].part.file_number = 1;
    manifest.tasks[1].inflight[1].file_number = 9;
    cr_assert_eq(store_commit(store, &manifest, &error), WEIR_INVALID, "no such container");
    manifest.tasks[1].inflight[1].file_number = 1;
    manifest.tasks[1].channel_bytes = 1000;
    cr_assert_eq(store_commit(store, &manifest, &error), WEIR_INVALID, "more than there is");
    manifest.tasks[1].channel_bytes = 30;
    manifest.epoch++;
    cr_assert_eq(store_commit(store, &manifest, &error), WEIR_INVALID, "of a later run");
    manifest.epoch--;
    manifest.store_id[0]++;
    cr_assert_eq(store_commit(store, &manifest, &error), WEIR_INVALID, "of another store");
    manifest.store_id[0]--;
    strcpy(manifest.graph.edges[0].routing, "x");
    cr_assert_eq(store_commit(store, &manifest, &error), WEIR_INVALID, "no reader would take it");
    cr_assert_eq(store_claim(store, NAME_NUMBER_LIMIT + 1, &error), WEIR_INVALID, "no number");
    cr_assert_not(scratch_exists(bed_manifest_of(1)));
    manifest_free(&manifest);
    store_close(&store);
}

/* --- several rounds at once ------------------------------------------------------------------ */

Test(store, rounds_written_at_once_are_committed_in_order_and_read_back)
{
    struct store *store = sample_store(bed.path);
    struct manifest manifests[4];
    struct weir_error error;
    for (uint64_t id = 1; id <= 3; id++)
        bed_claim(store, id);
    for (uint64_t id = 3; id >= 1; id--)
        sample_parts(store, id, &manifests[id]);
    bed_sync_round(store, 2);
    cr_assert_eq(store_commit(store, &manifests[2], &error), WEIR_INVALID, "1 is open");
    cr_assert_not_null(strstr(error.text, "checkpoint 2 can't be committed while 1"), "%s",
                       error.text);
    bed_sync_round(store, 3);
    bed_sync_round(store, 1);
    for (uint64_t id = 1; id <= 3; id++) {
        bed_commit(store, &manifests[id]);
        bed_expect_newest(store, id);
    }
    cr_assert_eq(bed_count_files("data"), 3, "each has a container of its own");
    store_close(&store);
    store = sample_store(bed.path);
    bed_expect_newest(store, 3);
    cr_assert_eq(store_verify(store, 1, &error), WEIR_OK);
    cr_assert_eq(store_verify(store, 2, &error), WEIR_OK);
    store_close(&store);
}

Test(store, no_more_rounds_are_open_than_it_says)
{
    struct store *store = sample_store(bed.path);
    struct weir_error error;
    for (uint64_t id = 1; id <= STORE_ROUNDS; id++)
        bed_claim(store, 10 * id);
    cr_assert_eq(store_claim(store, 99, &error), WEIR_INVALID);
    cr_assert_not(scratch_exists(bed_folder_of(99)));
    store_abort(store, 30);
    bed_claim(store, 99);
    cr_assert_eq(store_claim(store, 100, &error), WEIR_INVALID);
    store_close(&store);
    cr_assert_eq(bed_count_files("checkpoints"), STORE_ROUNDS);
}

/* I3, I5 */
Test(store, an_aborted_round_takes_its_own_files_and_leaves_the_highest_folder)
{
    struct store *store = sample_store(bed.path);
    struct manifest manifests[4];
    for (uint64_t id = 1; id <= 3; id++) {
        bed_claim(store, id);
        sample_parts(store, id, &manifests[id]);
    }
    store_abort(store, 2);
    store_abort(store, 2); /* it is not open any more */
    cr_assert_not(scratch_exists(bed_folder_of(2)), "3 is higher, and stays");
    cr_assert_not(scratch_exists(bed_segment_of(1, 2)));
    cr_assert_eq(bed_count_files("data"), 2);
    store_abort(store, 3);
    cr_assert(scratch_exists(bed_folder_of(3)), "the highest claimed");
    cr_assert_eq(bed_count_files("data"), 1);
    bed_sync_round(store, 1);
    bed_commit(store, &manifests[1]);
    bed_expect_newest(store, 1);
    store_retain(store, 1, 0);
    cr_assert(scratch_exists(bed_folder_of(3)));
    manifest_free(&manifests[2]);
    manifest_free(&manifests[3]);
    store_close(&store);
    store = sample_store(bed.path);
    cr_assert_eq(store_next_id(store), 4);
    cr_assert_eq(store_sweep(store, NULL), WEIR_OK);
    bed_claim(store, 4);
    store_abort(store, 4);
    cr_assert_not(scratch_exists(bed_folder_of(3)), "4 is the highest now");
    cr_assert(scratch_exists(bed_folder_of(4)));
    store_close(&store);
}

Test(store, the_trouble_of_one_round_is_no_others)
{
    struct store *store = sample_store(bed.path);
    struct manifest manifests[3];
    struct weir_error error;
    for (uint64_t id = 1; id <= 2; id++) {
        bed_claim(store, id);
        sample_parts(store, id, &manifests[id]);
        bed_sync_round(store, id);
    }
    cr_assert_eq(rmdir(bed_folder_of(1)), 0);
    cr_assert_eq(store_commit(store, &manifests[1], &error), WEIR_IO);
    cr_assert_eq(store_commit(store, &manifests[2], &error), WEIR_INVALID, "1 is still open");
    store_abort(store, 1);
    bed_commit(store, &manifests[2]);
    bed_expect_newest(store, 2);
    manifest_free(&manifests[1]);
    store_close(&store);
}

Test(store, a_blob_of_another_round_can_not_be_committed)
{
    struct store *store = sample_store(bed.path);
    struct manifest manifests[3];
    struct weir_error error;
    for (uint64_t id = 1; id <= 2; id++) {
        bed_claim(store, id);
        sample_parts(store, id, &manifests[id]);
        bed_sync_round(store, id);
    }
    manifests[1].tasks[1].inflight[0].file_number = 2;
    cr_assert_eq(store_commit(store, &manifests[1], &error), WEIR_INVALID);
    cr_assert_not_null(strstr(error.text, "piece 0 in flight at task 1"), "%s", error.text);
    manifests[1].tasks[1].inflight[0].file_number = 1;
    manifests[1].tasks[2].part.file_number = 2;
    cr_assert_eq(store_commit(store, &manifests[1], &error), WEIR_INVALID);
    manifests[1].tasks[2].part.file_number = 1;
    bed_commit(store, &manifests[1]);
    bed_commit(store, &manifests[2]);
    store_close(&store);
}

/* L4 */
Test(store, retention_and_sweeping_leave_open_rounds_alone)
{
    struct store *store = sample_store(bed.path);
    struct manifest manifests[9];
    struct weir_error error;
    sample_commit(store, 1);
    for (uint64_t id = 2; id <= 8; id++)
        bed_claim(store, id);
    for (uint64_t id = 2; id <= 8; id++)
        sample_parts(store, id, &manifests[id]);
    for (uint64_t id = 2; id <= 8; id++) {
        cr_assert_eq(store_sweep(store, &error), WEIR_OK, "%s", error.text);
        bed_sync_round(store, id);
        if (id % 3 == 0) {
            store_abort(store, id);
            manifest_free(&manifests[id]);
        } else {
            bed_commit(store, &manifests[id]);
            bed_expect_newest(store, id);
        }
        store_retain(store, 1, 0);
        for (uint64_t later = id + 1; later <= 8; later++)
            cr_assert(scratch_exists(bed_segment_of(1, later)) &&
                      scratch_exists(bed_folder_of(later)));
    }
    cr_assert_eq(bed_count_files("data"), 1);
    cr_assert_eq(bed_count_files("checkpoints"), 1);
    store_close(&store);
}

/* Of each round the first `steps` of claim, parts, sync, commit are done, the lower one first. */
static void two_rounds(struct store *store, const int steps[2], uint64_t first)
{
    struct manifest manifests[2];
    for (int step = 1; step <= 4; step++) {
        for (int i = 0; i < 2; i++) {
            uint64_t id = first + (uint64_t)i;
            if (step > steps[i])
                continue;
            if (step == 1)
                bed_claim(store, id);
            else if (step == 2)
                sample_parts(store, id, &manifests[i]);
            else if (step == 3)
                bed_sync_round(store, id);
            else
                bed_commit(store, &manifests[i]);
        }
    }
    for (int i = 0; i < 2; i++)
        if (steps[i] == 2 || steps[i] == 3)
            manifest_free(&manifests[i]);
}

Test(store, two_rounds_stopped_after_any_steps_leave_what_was_committed)
{
    uint64_t last = 1;
    bed_make_with(1);
    for (int first = 1; first <= 4; first++) {
        for (int second = 0; second <= (first == 4 ? 4 : 3); second++) {
            struct weir_error error;
            struct store *store = sample_store(bed.path);
            bed_expect_newest(store, last);
            uint64_t id = store_next_id(store);
            cr_assert_gt(id, last);
            two_rounds(store, (const int[]){first, second}, id);
            last = first < 4 ? last : second < 4 ? id : id + 1;
            store_close(&store); /* as a death would leave it */
            store = sample_store(bed.path);
            cr_assert_gt(store_next_id(store), id + (second > 0));
            cr_assert_eq(store_sweep(store, &error), WEIR_OK, "%s", error.text);
            bed_expect_newest(store, last);
            store_close(&store);
        }
    }
}

/* --- what is left ---------------------------------------------------------------------------- */

/* With the log of `older` (may be NULL, or not written yet) before its own. */
static enum weir_result commit_on(struct store *store, struct manifest *manifest,
                                  const struct manifest *older, struct weir_error *error)
{
    if (older != NULL && older->tasks != NULL)
        sample_share(manifest, older);
    return store_commit(store, manifest, error);
}

/* Every way in which two rounds may be carried on, step by step in any order, to a commit or an
 * abort: the newest checkpoint is always the last that was committed. The second goes on with what
 * the first has added to the logs, whatever became of it. */
static void carry_on(unsigned order, unsigned aborts, int *commits)
{
    struct store *store = sample_store(bed.path);
    struct manifest manifests[2];
    struct weir_error error;
    uint64_t first = store_next_id(store), newest = 0;
    int step[2] = {1, 1};
    memset(manifests, 0, sizeof manifests);
    bed_claim(store, first);
    bed_claim(store, first + 1);
    for (; step[0] < 4 || step[1] < 4; order /= 2) {
        int i = step[0] == 4 ? 1 : step[1] == 4 ? 0 : (int)(order % 2);
        bool abort = (aborts >> i) % 2 != 0;
        uint64_t id = first + (uint64_t)i;
        step[i]++;
        if (step[i] == 2) {
            sample_parts(store, id, &manifests[i]);
        } else if (step[i] == 3) {
            bed_sync_round(store, id);
            bed_hold(store, manifests[i].tasks[1].part.file_number);
        } else if (abort || commit_on(store, &manifests[i], i == 1 ? manifests : NULL, &error)) {
            cr_assert(abort || (error.code == WEIR_INVALID && i == 1 && step[0] < 4));
            store_abort(store, id);
        } else {
            newest = id;
            ++*commits;
        }
        cr_assert(scratch_exists(bed_folder_of(first + 1)), "the highest (I3)");
        store_retain(store, 1, 0);
        if (newest != 0)
            bed_expect_newest(store, newest);
    }
    for (int i = 0; i < 2; i++) {
        bed_let_go_of(store, store_epoch(store), manifests[i].tasks[1].part.file_number);
        manifest_free(&manifests[i]);
    }
    bed_expect_no_leftovers(store);
    cr_assert_eq(store_sweep(store, &error), WEIR_OK);
    bed_expect_no_leftovers(store);
    store_close(&store);
}

Test(store, two_rounds_interleaved_in_every_way)
{
    int commits = 0;
    for (unsigned order = 0; order < 64; order++)
        for (unsigned aborts = 0; aborts < 4; aborts++)
            carry_on(order, aborts, &commits);
    exercised(64 * 4);
    cr_assert(commits > 128 && commits < 256, "%d: some are refused, for a lower one is open",
              commits);
}

/* --- why rounds came to nothing ------------------------------------------------------------ */

Test(store, the_last_failures_of_rounds_are_kept_and_unsound_ones_left_out)
{
    struct store_failure failures[STORE_FAILURES];
    char text[600], name[300];
    struct store *store = sample_store(bed.path);
    cr_assert_eq(store_list_failures(store, failures), 0);
    for (uint64_t id = 1; id <= 21; id++) {
        snprintf(text, sizeof text, "round %d", (int)id);
        store_note_failure(store, id, (int64_t)id * 1000, text);
    }
    cr_assert_eq(store_list_failures(store, failures), STORE_FAILURES);
    for (uint64_t i = 0; i < STORE_FAILURES; i++) {
        snprintf(text, sizeof text, "round %d", (int)i + 6);
        cr_assert_str_eq(failures[i].text, text);
        cr_assert(failures[i].id == i + 6 && failures[i].ended_ns == (int64_t)(i + 6) * 1000);
        cr_assert_eq(failures[i].epoch, store_epoch(store));
    }
    memset(text, 'x', sizeof text);
    memcpy(text + STORE_FAILURE_TEXT - 2, "\xc3\xa4", 3); /* it would be cut within */
    store_note_failure(store, 22, 0, text);
    cr_assert_eq(store_list_failures(store, failures), STORE_FAILURES);
    cr_assert_eq(strlen(failures[STORE_FAILURES - 1].text), STORE_FAILURE_TEXT - 2);

    snprintf(name, sizeof name, "%s/" NAME_FAILED, bed.path);
    FILE *file = fopen(name, "r+");
    cr_assert_not_null(file);
    fseek(file, 60, SEEK_SET); /* of round 17, in the first slot */
    fputc('?', file);
    fclose(file);
    cr_assert_eq(store_list_failures(store, failures), STORE_FAILURES - 1);
    for (uint64_t i = 0; i < STORE_FAILURES - 1; i++)
        cr_assert_neq(failures[i].id, 17);
    store_note_failure(store, 23, 0, "the next");
    cr_assert_eq(failures[STORE_FAILURES - 2].id, 22);
    store_close(&store);
    cr_assert_eq(bed_open_once(NULL), WEIR_OK, "and it is no stranger");
    cr_assert_eq(bed.warnings, 0);
}

/* --- viewing ------------------------------------------------------------------------------- */

Test(store, a_view_reads_while_a_run_holds_the_lock_and_writes_nothing)
{
    struct store *store = sample_store(bed.path), *view;
    struct weir_error error;
    uint64_t *ids;
    size_t count;
    sample_commit(store, 1);
    sample_commit(store, 2);
    cr_assert_eq(store_view(bed.path, NULL, &view, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(store_list(view, &ids, &count, &error), WEIR_OK);
    cr_assert(count == 2 && ids[0] == 1 && ids[1] == 2);
    memory_release(NULL, ids);
    cr_assert_eq(store_verify(view, 2, &error), WEIR_OK);
    cr_assert_eq(store_claim(view, 3, &error), WEIR_REFUSED);
    cr_assert_eq(store_sweep(view, &error), WEIR_REFUSED);
    store_retain(view, 1, 0);
    store_close(&view);
    sample_commit(store, 3);
    store_close(&store);
    cr_assert_eq(store_view(bed.scratch.path, NULL, &view, &error), WEIR_NOT_FOUND);
    cr_assert_eq(store_view("/nowhere/at/all", NULL, &view, &error), WEIR_IO);
    cr_assert_null(view);
}

/* --- memory -------------------------------------------------------------------------------- */

static int allocations_left;

static void *allocate(void *context, size_t size)
{
    (void)context;
    return allocations_left-- > 0 ? malloc(size) : NULL;
}

static void release(void *context, void *memory)
{
    (void)context;
    free(memory);
}

/* Round `id`, up to its sync; its state is held then. */
static enum weir_result write_round(struct store *store, uint64_t id, struct manifest *manifest,
                                    struct weir_error *error)
{
    struct manifest_blob place = {0};
    const struct weir_bytes raw = {"a hundred bytes, or less than that", 34};
    enum weir_result result = store_claim(store, id, error);
    sample_manifest(manifest, store_epoch(store), id);
    for (uint32_t i = 0; i < 3; i++) {
        struct manifest_task *task = &manifest->tasks[i];
        if (result == WEIR_OK)
            result = store_part(store, id, BLOB_SNAPSHOT, i, raw, &task->part, error);
        for (uint32_t k = 0; k < task->inflight_count && result == WEIR_OK; k++)
            result = store_part(store, id, BLOB_INFLIGHT, i, raw, &task->inflight[k], error);
    }
    if (result == WEIR_OK)
        result = store_part(store, id, BLOB_STATE, 1, raw, &place, error);
    if (result == WEIR_OK)
        result = store_sync(store, id, error);
    const struct manifest_segment segment = sample_within(store_epoch(store), place.file_number);
    if (result == WEIR_OK)
        result = store_hold(store, &segment, error);
    if (result == WEIR_OK)
        sample_add_state(&manifest->tasks[1], &place);
    return result;
}

static void let_go_all(struct store *store, const struct manifest *manifest)
{
    for (uint32_t k = 0; manifest->tasks != NULL && k < manifest->tasks[1].state_count; k++)
        bed_let_go(store, manifest->tasks[1].state[k].place.file_number);
}

/* Two rounds at once, and what comes after; the first trouble ends it. */
static enum weir_result write_two_rounds(struct store *store, struct weir_error *error)
{
    struct manifest manifests[2], again;
    uint64_t id = store_next_id(store);
    memset(manifests, 0, sizeof manifests);
    enum weir_result result = write_round(store, id, &manifests[0], error);
    if (result == WEIR_OK)
        result = write_round(store, id + 1, &manifests[1], error);
    if (result == WEIR_OK)
        sample_share(&manifests[1], &manifests[0]);
    for (int i = 0; i < 2 && result == WEIR_OK; i++)
        result = store_commit(store, &manifests[i], error);
    store_abort(store, id + 1);
    store_abort(store, id);
    store_retain(store, 1, 0);
    for (int i = 0; i < 2; i++) {
        let_go_all(store, &manifests[i]);
        manifest_free(&manifests[i]);
    }
    if (result == WEIR_OK)
        result = store_save_copy(store, id + 1, bed.saved, error);
    if (result != WEIR_OK)
        cr_assert_not(scratch_exists(bed.saved), "what failed is taken back");
    if (result == WEIR_OK)
        result = store_recover(store, 0, &again, error);
    if (result == WEIR_OK)
        manifest_free(&again);
    return result == WEIR_OK ? store_sweep(store, error) : result;
}

/* One whole life of a store; true when all went well. */
static bool live(const struct weir_allocator *allocator)
{
    struct store_options options;
    struct store *store;
    struct weir_error error;
    sample_options(&options, bed.path);
    options.allocator = allocator;
    snprintf(bed.saved, sizeof bed.saved, "%s.saved", bed.path);
    enum weir_result result = store_open(&options, &store, &error);
    if (result == WEIR_OK) {
        result = write_two_rounds(store, &error);
        store_close(&store);
    }
    cr_assert(result == WEIR_OK || result == WEIR_NO_MEMORY, "%s", error.text);
    return result == WEIR_OK;
}

Test(store, every_allocation_may_fail_once_or_for_ever)
{
    const struct weir_allocator allocator = {allocate, release, NULL};
    int allocations = 0;
    do { /* a new store each time: what a failure leaves behind costs the next life more */
        snprintf(bed.path, sizeof bed.path, "%s/store%d", bed.scratch.path, allocations);
        allocations_left = allocations++;
    } while (!live(&allocator));
    exercised((uint64_t)allocations);
    cr_assert_gt(allocations, 40);
}
