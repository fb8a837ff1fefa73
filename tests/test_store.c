/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint_sample.h"
#include "exercised.h"
#include "list.h"
#include "little.h"
#include "lock.h"
#include "state.h"

#include <dirent.h>
#include <errno.h>
#include <lz4frame.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <xxhash.h>

#include "disk.h"
#include "error.h"
#include "explore.h"
#include "name.h"

static struct scratch scratch;
static char path[256];
static int warnings;

static void start(void)
{
    scratch = scratch_make();
    snprintf(path, sizeof path, "%s/store", scratch.path);
}

static void stop(void)
{
    scratch_free(&scratch);
}

TestSuite(store, .init = start, .fini = stop, .timeout = 120);

static void count_warning(void *context, const char *warning)
{
    (void)context;
    (void)warning;
    warnings++;
}

static enum weir_result try_open(struct store **store, struct weir_error *error)
{
    struct store_options options;
    sample_options(&options, path);
    options.warn = count_warning;
    return store_open(&options, store, error);
}

/* Opens and closes; the result. */
static enum weir_result open_once(struct weir_error *error)
{
    struct store *store;
    enum weir_result result = try_open(&store, error);
    store_close(&store);
    return result;
}

/* ---- why rounds came to nothing ---- */

Test(store_failed, the_last_ones_are_kept_and_unsound_ones_left_out, .init = start, .fini = stop)
{
    struct store_failure failures[STORE_FAILURES];
    char text[600], name[300];
    struct store *store = sample_store(path);
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

    snprintf(name, sizeof name, "%s/" NAME_FAILED, path);
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
    cr_assert_eq(open_once(NULL), WEIR_OK, "and it is no stranger");
    cr_assert_eq(warnings, 0);
}

static const char *folder_of(uint64_t id)
{
    char name[64], number[NAME_ID_SIZE];
    name_of_id(id, number);
    snprintf(name, sizeof name, "checkpoints/%s", number);
    return scratch_join(path, name);
}

static const char *manifest_of(uint64_t id)
{
    return scratch_join(folder_of(id), "MANIFEST.json");
}

static const char *segment_of(uint32_t epoch, uint64_t number)
{
    char name[64], file[NAME_SEGMENT_SIZE];
    name_of_segment(epoch, number, file);
    snprintf(name, sizeof name, "data/%s", file);
    return scratch_join(path, name);
}

static unsigned count_files(const char *folder)
{
    unsigned count = 0;
    DIR *open = opendir(scratch_join(path, folder));
    for (const struct dirent *entry; (entry = readdir(open)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(open);
    return count;
}

/* The newest checkpoint has this id, and everything of it reads back. */
static void expect_newest(struct store *store, uint64_t id)
{
    struct manifest manifest;
    struct weir_error error;
    cr_assert_eq(store_recover(store, 0, &manifest, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(manifest.id, id);
    sample_expect(store, &manifest);
    manifest_free(&manifest);
}

static void make_with(uint64_t checkpoints)
{
    struct store *store = sample_store(path);
    for (uint64_t id = 1; id <= checkpoints; id++)
        sample_commit(store, id);
    store_close(&store);
}

/* --- opening ------------------------------------------------------------------------------- */

Test(store, makes_its_directory_and_raises_the_epoch_at_every_start)
{
    for (uint32_t epoch = 1; epoch <= 4; epoch++) {
        struct store *store = sample_store(path);
        cr_assert_eq(store_epoch(store), epoch);
        cr_assert_eq(store_key_groups(store), 128);
        cr_assert_eq(store_id(store)[3], 4);
        cr_assert_eq(store_next_id(store), 1);
        store_close(&store);
    }
    struct stat status;
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(status.st_mode & 077, 0);
}

Test(store, takes_an_empty_directory_and_keeps_its_id_and_groups)
{
    struct store_options options;
    struct weir_error error;
    struct store *store;
    cr_assert_eq(mkdir(path, 0700), 0);
    make_with(0);
    sample_options(&options, path);
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
    struct store *store = sample_store(path);
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
    cr_expect_eq(open_once(&error), WEIR_OK, "%s", error.text);
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
        struct store *store = sample_store(path);
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
    cr_assert_eq(open_once(&error), WEIR_LOCKED);
    char text[120];
    snprintf(text, sizeof text, "process %d, epoch 1", (int)run);
    cr_expect_not_null(strstr(error.text, text), "%s", error.text);
    cr_expect_not_null(strstr(error.text, "has ended, but one that it forked has LOCK open"), "%s",
                       error.text);
    close(hold[1]);
    close(ready[1]);
    cr_assert_eq(read(ready[0], &byte, 1), 0, "it has ended");
    cr_expect_eq(open_once(&error), WEIR_OK, "%s", error.text);
    close(hold[0]);
    close(ready[0]);
}

Test(store, a_second_run_is_locked_out_and_told_by_whom)
{
    struct store *store = sample_store(path);
    struct weir_error error;
    char pid[32];
    cr_assert_eq(open_once(&error), WEIR_LOCKED);
    snprintf(pid, sizeof pid, "process %d, epoch 1, since 2", (int)getpid());
    cr_assert_not_null(strstr(error.text, pid), "%s", error.text);
    sample_commit(store, 1); /* the first is undisturbed */
    store_close(&store);
    cr_assert_eq(open_once(&error), WEIR_OK);
}

Test(store, refuses_what_is_not_a_store)
{
    struct weir_error error;
    cr_assert_eq(mkdir(path, 0700), 0);
    scratch_write(scratch_join(path, "letter"), "x", 1);
    cr_assert_eq(open_once(&error), WEIR_REFUSED);
    cr_assert_not_null(strstr(error.text, "'letter'"), "%s", error.text);
    cr_assert_not(scratch_exists(scratch_join(path, "LOCK")));
    scratch_write(scratch_join(path, "LOCK"), "", 0); /* other software has files of this name */
    cr_assert_eq(open_once(&error), WEIR_REFUSED);
    cr_assert_not(scratch_exists(scratch_join(path, "data")));
}

Test(store, says_clearly_why_a_path_can_not_be_used)
{
    struct weir_error error;
    snprintf(path, sizeof path, "%s/no/store", scratch.path);
    cr_assert_eq(open_once(&error), WEIR_IO);
    cr_assert_not_null(strstr(error.text, "does not exist"), "%s", error.text);
    snprintf(path, sizeof path, "%s/file", scratch.path);
    scratch_write(path, "x", 1);
    cr_assert_eq(open_once(&error), WEIR_REFUSED);
    cr_assert_not_null(strstr(error.text, "not a directory"));
    snprintf(path, sizeof path, "%s/link", scratch.path);
    cr_assert_eq(symlink(scratch.path, path), 0);
    cr_assert_eq(open_once(&error), WEIR_REFUSED);
    strcat(path, "/");
    cr_assert_eq(open_once(&error), WEIR_REFUSED, "a slash does not follow the link");
    path[0] = 0;
    cr_assert_eq(open_once(&error), WEIR_INVALID);
}

Test(store, refuses_a_store_that_others_may_write)
{
    struct weir_error error;
    make_with(1);
    cr_assert_eq(chmod(path, 0777), 0);
    cr_assert_eq(open_once(&error), WEIR_REFUSED);
    cr_assert_not_null(strstr(error.text, "go-w"), "%s", error.text);
    cr_assert_eq(chmod(path, 0755), 0);
    cr_assert_eq(chmod(scratch_join(path, "data"), 0770), 0);
    cr_assert_eq(open_once(&error), WEIR_REFUSED);
    cr_assert_eq(chmod(scratch_join(path, "data"), 0700), 0);
    cr_assert_eq(open_once(&error), WEIR_OK);
}

Test(store, refuses_a_store_of_another_user)
{
    struct weir_error error;
    make_with(1);
    if (geteuid() != 0)
        return; /* only root can give files away */
    cr_assert_eq(chown(path, 12345, (gid_t)-1), 0);
    cr_assert_eq(open_once(&error), WEIR_REFUSED);
    cr_assert_not_null(strstr(error.text, "12345"));
}

Test(store, ignores_and_reports_names_that_are_not_its_own)
{
    struct store *store;
    struct weir_error error;
    make_with(2);
    scratch_write(scratch_join(path, "README"), "x", 1);
    scratch_write(scratch_join(path, "data/1-1.seg"), "x", 1);
    cr_assert_eq(mkfifo(segment_of(1, 99), 0600), 0);
    cr_assert_eq(mkdir(scratch_join(path, "checkpoints/3"), 0700), 0);
    cr_assert_eq(mkdir(scratch_join(path, "checkpoints/99999999999999999999"), 0700), 0);
    cr_assert_eq(symlink("00000000000000000001", folder_of(7)), 0);
    warnings = 0;
    cr_assert_eq(try_open(&store, &error), WEIR_OK);
    cr_assert_eq(warnings, 6);
    expect_newest(store, 2);
    cr_assert_eq(store_next_id(store), 8, "the link's id can't be claimed");
    store_close(&store);
}

Test(store, a_creation_that_was_cut_off_is_finished)
{
    struct weir_error error;
    cr_assert_eq(mkdir(path, 0700), 0);
    scratch_write(scratch_join(path, "LOCK"), "", 0);
    cr_assert_eq(open_once(&error), WEIR_OK);
    scratch_write(scratch_join(path, "LOCK"), "WEIRLOCK half", 13);
    scratch_write(scratch_join(path, "PROBE.tmp"), "half", 4);
    cr_assert_eq(open_once(&error), WEIR_OK);
    cr_assert_not(scratch_exists(scratch_join(path, "PROBE.tmp")));
}

Test(store, every_flipped_byte_of_LOCK_is_harmless_and_no_epoch_repeats)
{
    unsigned char bytes[257];
    struct store *store;
    struct weir_error error;
    make_with(1);
    uint32_t epoch = 1;
    for (size_t i = 0; i < 256; i += 3) {
        cr_assert_eq(scratch_read(scratch_join(path, "LOCK"), bytes, sizeof bytes), 256);
        bytes[i] ^= 0x40;
        scratch_write(scratch_join(path, "LOCK"), bytes, 256);
        cr_assert_eq(try_open(&store, &error), WEIR_OK, "byte %zu: %s", i, error.text);
        cr_assert_gt(store_epoch(store), epoch);
        epoch = store_epoch(store);
        expect_newest(store, 1);
        store_close(&store);
    }
    exercised(256 / 3 + 1);
    memset(bytes, 0, 256);
    scratch_write(scratch_join(path, "LOCK"), bytes, 256);
    cr_assert_eq(open_once(&error), WEIR_DAMAGED);
    cr_assert_eq(remove(scratch_join(path, "LOCK")), 0);
    cr_assert_eq(open_once(&error), WEIR_DAMAGED);
}

/* Changes both records of LOCK, and makes their checksums right again. */
static void forge_lock(void (*change)(unsigned char *record))
{
    unsigned char bytes[LOCK_SIZE + 1];
    cr_assert_eq(scratch_read(scratch_join(path, "LOCK"), bytes, sizeof bytes), LOCK_SIZE);
    for (int i = 0; i < 2; i++) {
        unsigned char *record = bytes + i * LOCK_RECORD_SIZE;
        change(record);
        little_put_u64(record + LOCK_RECORD_SIZE - 8, XXH3_64bits(record, LOCK_RECORD_SIZE - 8));
    }
    scratch_write(scratch_join(path, "LOCK"), bytes, LOCK_SIZE);
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
        snprintf(path, sizeof path, "%s/forged%zu", scratch.path, i);
        make_with(1);
        forge_lock(forged[i].change);
        scratch_read(scratch_join(path, "LOCK"), before, sizeof before);
        cr_expect_eq(open_once(&error), forged[i].result, "%s", error.text);
        cr_expect(strstr(error.text, forged[i].says) && strstr(error.text, path), "%s", error.text);
        scratch_read(scratch_join(path, "LOCK"), after, sizeof after);
        cr_expect_arr_eq(before, after, LOCK_SIZE);
    }
    exercised(sizeof forged / sizeof *forged);
}

Test(store, a_missing_folder_of_a_used_store_is_damage)
{
    struct weir_error error;
    make_with(0);
    cr_assert_eq(rmdir(scratch_join(path, "checkpoints")), 0);
    cr_assert_eq(open_once(&error), WEIR_DAMAGED);
}

/* --- rounds -------------------------------------------------------------------------------- */

Test(store, a_committed_checkpoint_reads_back_in_the_next_run)
{
    struct store *store;
    struct manifest manifest;
    struct weir_error error;
    store = sample_store(path);
    cr_assert_eq(store_recover(store, 0, &manifest, &error), WEIR_NOT_FOUND, "a first start");
    sample_commit(store, 1);
    sample_commit(store, 2);
    store_close(&store);
    store = sample_store(path);
    expect_newest(store, 2);
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
    make_with(1);
    for (int steps = 1; steps <= 5; steps++) {
        struct manifest manifest;
        store = sample_store(path);
        expect_newest(store, last);
        uint64_t id = store_next_id(store);
        cr_assert_gt(id, last);
        cr_assert_eq(store_claim(store, id, &error), WEIR_OK);
        if (steps >= 2)
            sample_parts(store, id, &manifest);
        if (steps >= 3)
            cr_assert_eq(store_sync(store, id, &error), WEIR_OK);
        if (steps == 4) /* the manifest is there under its other name */
            scratch_write(scratch_join(folder_of(id), "MANIFEST.json.tmp"), "{", 1);
        if (steps == 5) {
            cr_assert_eq(store_commit(store, &manifest, &error), WEIR_OK);
            last = id;
        }
        if (steps >= 2)
            manifest_free(&manifest);
        store_close(&store);
    }
    store = sample_store(path);
    expect_newest(store, last);
    cr_assert_eq(store_sweep(store, &error), WEIR_OK);
    cr_assert_eq(count_files("checkpoints"), 2);
    cr_assert_eq(count_files("data"), 2);
    expect_newest(store, last);
    store_close(&store);
}

Test(store, an_id_never_repeats_after_an_abort)
{
    struct store *store = sample_store(path);
    struct weir_error error;
    struct manifest manifest;
    sample_commit(store, 1);
    for (uint64_t id = 2; id <= 4; id++) {
        cr_assert_eq(store_claim(store, id, &error), WEIR_OK);
        sample_parts(store, id, &manifest);
        manifest_free(&manifest);
        store_abort(store, id);
    }
    cr_assert_eq(count_files("data"), 1);
    cr_assert_eq(count_files("checkpoints"), 2, "1, and 4 because it is the highest");
    store_close(&store);
    for (int i = 0; i < 2; i++) {
        store = sample_store(path);
        cr_assert_eq(store_sweep(store, &error), WEIR_OK);
        cr_assert_eq(store_next_id(store), 5);
        expect_newest(store, 1);
        store_close(&store);
    }
    store = sample_store(path);
    cr_assert_eq(store_claim(store, 4, &error), WEIR_INVALID);
    sample_commit(store, 5);
    store_retain(store, 3, 0);
    store_close(&store);
    store = sample_store(path);
    cr_assert_eq(store_sweep(store, &error), WEIR_OK);
    cr_assert_eq(count_files("checkpoints"), 2);
    cr_assert_eq(store_next_id(store), 6);
    store_close(&store);
}

Test(store, an_id_that_another_run_has_claimed_stops_this_one)
{
    struct store *store = sample_store(path);
    struct weir_error error;
    cr_assert_eq(mkdir(folder_of(1), 0700), 0);
    cr_assert_eq(store_claim(store, 1, &error), WEIR_REFUSED);
    cr_assert_eq(store_claim(store, 2, &error), WEIR_REFUSED);
    store_abort(store, 1);
    cr_assert(scratch_exists(folder_of(1)));
    store_close(&store);
}

Test(store, steps_out_of_order_are_refused)
{
    struct store *store = sample_store(path);
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
    strcpy(manifest.graph.edges[0].routing, "x");
    cr_assert_eq(store_commit(store, &manifest, &error), WEIR_INVALID, "no reader would take it");
    cr_assert_not(scratch_exists(manifest_of(1)));
    manifest_free(&manifest);
    store_close(&store);
}

/* --- several rounds at once ------------------------------------------------------------------ */

static void claim(struct store *store, uint64_t id)
{
    struct weir_error error;
    cr_assert_eq(store_claim(store, id, &error), WEIR_OK, "%s", error.text);
}

static void sync_round(struct store *store, uint64_t id)
{
    struct weir_error error;
    cr_assert_eq(store_sync(store, id, &error), WEIR_OK, "%s", error.text);
}

static void commit(struct store *store, struct manifest *manifest)
{
    struct weir_error error;
    cr_assert_eq(store_commit(store, manifest, &error), WEIR_OK, "%s", error.text);
    manifest_free(manifest);
}

Test(store, rounds_written_at_once_are_committed_in_order_and_read_back)
{
    struct store *store = sample_store(path);
    struct manifest manifests[4];
    struct weir_error error;
    for (uint64_t id = 1; id <= 3; id++)
        claim(store, id);
    for (uint64_t id = 3; id >= 1; id--)
        sample_parts(store, id, &manifests[id]);
    sync_round(store, 2);
    cr_assert_eq(store_commit(store, &manifests[2], &error), WEIR_INVALID, "1 is open");
    cr_assert_not_null(strstr(error.text, "checkpoint 2 can't be committed while 1"), "%s",
                       error.text);
    sync_round(store, 3);
    sync_round(store, 1);
    for (uint64_t id = 1; id <= 3; id++) {
        commit(store, &manifests[id]);
        expect_newest(store, id);
    }
    cr_assert_eq(count_files("data"), 3, "each has a container of its own");
    store_close(&store);
    store = sample_store(path);
    expect_newest(store, 3);
    cr_assert_eq(store_verify(store, 1, &error), WEIR_OK);
    cr_assert_eq(store_verify(store, 2, &error), WEIR_OK);
    store_close(&store);
}

Test(store, no_more_rounds_are_open_than_it_says)
{
    struct store *store = sample_store(path);
    struct weir_error error;
    for (uint64_t id = 1; id <= STORE_ROUNDS; id++)
        claim(store, 10 * id);
    cr_assert_eq(store_claim(store, 99, &error), WEIR_INVALID);
    cr_assert_not(scratch_exists(folder_of(99)));
    store_abort(store, 30);
    claim(store, 99);
    cr_assert_eq(store_claim(store, 100, &error), WEIR_INVALID);
    store_close(&store);
    cr_assert_eq(count_files("checkpoints"), STORE_ROUNDS);
}

/* I3, I5 */
Test(store, an_aborted_round_takes_its_own_files_and_leaves_the_highest_folder)
{
    struct store *store = sample_store(path);
    struct manifest manifests[4];
    for (uint64_t id = 1; id <= 3; id++) {
        claim(store, id);
        sample_parts(store, id, &manifests[id]);
    }
    store_abort(store, 2);
    store_abort(store, 2); /* it is not open any more */
    cr_assert_not(scratch_exists(folder_of(2)), "3 is higher, and stays");
    cr_assert_not(scratch_exists(segment_of(1, 2)));
    cr_assert_eq(count_files("data"), 2);
    store_abort(store, 3);
    cr_assert(scratch_exists(folder_of(3)), "the highest claimed");
    cr_assert_eq(count_files("data"), 1);
    sync_round(store, 1);
    commit(store, &manifests[1]);
    expect_newest(store, 1);
    store_retain(store, 1, 0);
    cr_assert(scratch_exists(folder_of(3)));
    manifest_free(&manifests[2]);
    manifest_free(&manifests[3]);
    store_close(&store);
    store = sample_store(path);
    cr_assert_eq(store_next_id(store), 4);
    cr_assert_eq(store_sweep(store, NULL), WEIR_OK);
    claim(store, 4);
    store_abort(store, 4);
    cr_assert_not(scratch_exists(folder_of(3)), "4 is the highest now");
    cr_assert(scratch_exists(folder_of(4)));
    store_close(&store);
}

Test(store, the_trouble_of_one_round_is_no_others)
{
    struct store *store = sample_store(path);
    struct manifest manifests[3];
    struct weir_error error;
    for (uint64_t id = 1; id <= 2; id++) {
        claim(store, id);
        sample_parts(store, id, &manifests[id]);
        sync_round(store, id);
    }
    cr_assert_eq(rmdir(folder_of(1)), 0);
    cr_assert_eq(store_commit(store, &manifests[1], &error), WEIR_IO);
    cr_assert_eq(store_commit(store, &manifests[2], &error), WEIR_INVALID, "1 is still open");
    store_abort(store, 1);
    commit(store, &manifests[2]);
    expect_newest(store, 2);
    manifest_free(&manifests[1]);
    store_close(&store);
}

Test(store, a_blob_of_another_round_can_not_be_committed)
{
    struct store *store = sample_store(path);
    struct manifest manifests[3];
    struct weir_error error;
    for (uint64_t id = 1; id <= 2; id++) {
        claim(store, id);
        sample_parts(store, id, &manifests[id]);
        sync_round(store, id);
    }
    manifests[1].tasks[1].inflight[0].file_number = 2;
    cr_assert_eq(store_commit(store, &manifests[1], &error), WEIR_INVALID);
    cr_assert_not_null(strstr(error.text, "piece 0 in flight at task 1"), "%s", error.text);
    manifests[1].tasks[1].inflight[0].file_number = 1;
    manifests[1].tasks[2].part.file_number = 2;
    cr_assert_eq(store_commit(store, &manifests[1], &error), WEIR_INVALID);
    manifests[1].tasks[2].part.file_number = 1;
    commit(store, &manifests[1]);
    commit(store, &manifests[2]);
    store_close(&store);
}

/* L4 */
Test(store, retention_and_sweeping_leave_open_rounds_alone)
{
    struct store *store = sample_store(path);
    struct manifest manifests[9];
    struct weir_error error;
    sample_commit(store, 1);
    for (uint64_t id = 2; id <= 8; id++)
        claim(store, id);
    for (uint64_t id = 2; id <= 8; id++)
        sample_parts(store, id, &manifests[id]);
    for (uint64_t id = 2; id <= 8; id++) {
        cr_assert_eq(store_sweep(store, &error), WEIR_OK, "%s", error.text);
        sync_round(store, id);
        if (id % 3 == 0) {
            store_abort(store, id);
            manifest_free(&manifests[id]);
        } else {
            commit(store, &manifests[id]);
            expect_newest(store, id);
        }
        store_retain(store, 1, 0);
        for (uint64_t later = id + 1; later <= 8; later++)
            cr_assert(scratch_exists(segment_of(1, later)) && scratch_exists(folder_of(later)));
    }
    cr_assert_eq(count_files("data"), 1);
    cr_assert_eq(count_files("checkpoints"), 1);
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
                claim(store, id);
            else if (step == 2)
                sample_parts(store, id, &manifests[i]);
            else if (step == 3)
                sync_round(store, id);
            else
                commit(store, &manifests[i]);
        }
    }
    for (int i = 0; i < 2; i++)
        if (steps[i] == 2 || steps[i] == 3)
            manifest_free(&manifests[i]);
}

Test(store, two_rounds_stopped_after_any_steps_leave_what_was_committed)
{
    uint64_t last = 1;
    make_with(1);
    for (int first = 1; first <= 4; first++) {
        for (int second = 0; second <= (first == 4 ? 4 : 3); second++) {
            struct weir_error error;
            struct store *store = sample_store(path);
            expect_newest(store, last);
            uint64_t id = store_next_id(store);
            cr_assert_gt(id, last);
            two_rounds(store, (const int[]){first, second}, id);
            last = first < 4 ? last : second < 4 ? id : id + 1;
            store_close(&store); /* as a death would leave it */
            store = sample_store(path);
            cr_assert_gt(store_next_id(store), id + (second > 0));
            cr_assert_eq(store_sweep(store, &error), WEIR_OK, "%s", error.text);
            expect_newest(store, last);
            store_close(&store);
        }
    }
}

/* --- what is left ---------------------------------------------------------------------------- */

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
    cr_assert(scratch_exists(segment_of(place->file_epoch, place->file_number)), "%s", name);
}

/* Every container that a checkpoint names is there, and no other is. */
static void expect_no_leftovers(struct store *store)
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
    cr_assert_eq(count_files("data"), census.count);
}

static void hold(struct store *store, uint64_t number)
{
    const struct manifest_segment segment = sample_within(store_epoch(store), number);
    struct weir_error error;
    cr_assert_eq(store_hold(store, &segment, &error), WEIR_OK, "%s", error.text);
}

static void let_go_of(struct store *store, uint32_t epoch, uint64_t number)
{
    const struct manifest_segment segment = sample_within(epoch, number);
    store_let_go(store, &segment);
}

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
    struct store *store = sample_store(path);
    struct manifest manifests[2];
    struct weir_error error;
    uint64_t first = store_next_id(store), newest = 0;
    int step[2] = {1, 1};
    memset(manifests, 0, sizeof manifests);
    claim(store, first);
    claim(store, first + 1);
    for (; step[0] < 4 || step[1] < 4; order /= 2) {
        int i = step[0] == 4 ? 1 : step[1] == 4 ? 0 : (int)(order % 2);
        bool abort = (aborts >> i) % 2 != 0;
        uint64_t id = first + (uint64_t)i;
        step[i]++;
        if (step[i] == 2) {
            sample_parts(store, id, &manifests[i]);
        } else if (step[i] == 3) {
            sync_round(store, id);
            hold(store, manifests[i].tasks[1].part.file_number);
        } else if (abort || commit_on(store, &manifests[i], i == 1 ? manifests : NULL, &error)) {
            cr_assert(abort || (error.code == WEIR_INVALID && i == 1 && step[0] < 4));
            store_abort(store, id);
        } else {
            newest = id;
            ++*commits;
        }
        cr_assert(scratch_exists(folder_of(first + 1)), "the highest (I3)");
        store_retain(store, 1, 0);
        if (newest != 0)
            expect_newest(store, newest);
    }
    for (int i = 0; i < 2; i++) {
        let_go_of(store, store_epoch(store), manifests[i].tasks[1].part.file_number);
        manifest_free(&manifests[i]);
    }
    expect_no_leftovers(store);
    cr_assert_eq(store_sweep(store, &error), WEIR_OK);
    expect_no_leftovers(store);
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

/* --- state that rounds share ----------------------------------------------------------------- */

/* Writes and syncs round `id`, which has the log of `older` (may be NULL) and what it adds. */
static void write_sharing(struct store *store, uint64_t id, const struct manifest *older,
                          struct manifest *manifest)
{
    claim(store, id);
    sample_parts(store, id, manifest);
    if (older != NULL)
        sample_share(manifest, older);
    sync_round(store, id);
}

static void commit_sharing(struct store *store, uint64_t id, const struct manifest *older,
                           struct manifest *manifest)
{
    struct weir_error error;
    write_sharing(store, id, older, manifest);
    cr_assert_eq(store_commit(store, manifest, &error), WEIR_OK, "%s", error.text);
}

static void let_go(struct store *store, uint64_t number)
{
    let_go_of(store, store_epoch(store), number);
}

static bool is_there(uint64_t number)
{
    return scratch_exists(segment_of(1, number));
}

/* I6 */
Test(store, state_is_shared_by_checkpoints_and_goes_with_the_last_that_names_it)
{
    struct store *store = sample_store(path);
    struct manifest manifests[6];
    struct weir_error error;
    commit_sharing(store, 1, NULL, &manifests[1]);
    commit_sharing(store, 2, &manifests[1], &manifests[2]);
    commit_sharing(store, 3, &manifests[2], &manifests[3]);
    cr_assert_eq(manifests[3].tasks[1].state_count, 6);
    for (uint64_t id = 1; id <= 3; id++)
        cr_assert_eq(store_verify(store, id, &error), WEIR_OK, "%s", error.text);
    store_retain(store, 1, 0);
    expect_newest(store, 3);
    cr_assert(is_there(1) && is_there(2) && is_there(3), "3 names them all");
    store_close(&store);

    store = sample_store(path); /* another run shares it as well */
    cr_assert_eq(store_sweep(store, &error), WEIR_OK, "%s", error.text);
    commit_sharing(store, 4, &manifests[3], &manifests[4]);
    cr_assert_eq(manifests[4].tasks[1].state[0].place.blob.epoch, 1);
    cr_assert_eq(manifests[4].tasks[1].state[7].place.blob.epoch, 2);
    store_retain(store, 1, 0);
    expect_newest(store, 4);
    expect_no_leftovers(store);
    commit_sharing(store, 5, &manifests[2], &manifests[5]);
    store_retain(store, 1, 0);
    expect_newest(store, 5);
    cr_assert(is_there(1) && is_there(2) && !is_there(3), "nobody names it any more");
    expect_no_leftovers(store);
    sample_commit(store, 6);
    store_retain(store, 1, 0);
    cr_assert_eq(count_files("data"), 1);
    expect_newest(store, 6);
    store_close(&store);
    for (int i = 1; i <= 5; i++)
        manifest_free(&manifests[i]);
}

/* I7, L1 */
Test(store, held_state_of_an_aborted_round_is_named_by_a_later_one)
{
    struct store *store = sample_store(path);
    struct manifest manifests[4];
    sample_commit(store, 1);
    write_sharing(store, 2, NULL, &manifests[2]);
    hold(store, 2);
    store_abort(store, 2);
    cr_assert(is_there(2));
    commit_sharing(store, 3, &manifests[2], &manifests[3]);
    store_retain(store, 1, 0);
    expect_newest(store, 3);
    let_go(store, 2);
    cr_assert(is_there(2), "3 names it");
    store_close(&store);
    store = sample_store(path);
    cr_assert_eq(store_sweep(store, NULL), WEIR_OK);
    expect_newest(store, 3);
    expect_no_leftovers(store);
    sample_commit(store, 4);
    store_retain(store, 1, 0);
    cr_assert_not(is_there(2));
    expect_no_leftovers(store);
    store_close(&store);
    manifest_free(&manifests[2]);
    manifest_free(&manifests[3]);
}

/* I7 */
Test(store, what_is_let_go_and_needed_by_nobody_goes)
{
    struct store *store = sample_store(path);
    struct manifest manifest;
    write_sharing(store, 1, NULL, &manifest);
    hold(store, 1);
    hold(store, 1);
    let_go(store, 7); /* what is not held is left alone */
    store_abort(store, 1);
    let_go(store, 1);
    cr_assert(is_there(1), "held once more");
    let_go(store, 1);
    cr_assert_not(is_there(1));
    let_go(store, 1);
    manifest_free(&manifest);

    write_sharing(store, 2, NULL, &manifest);
    hold(store, 2);
    let_go(store, 2);
    cr_assert(is_there(2), "its round is open");
    store_abort(store, 2);
    cr_assert_not(is_there(2));
    manifest_free(&manifest);

    write_sharing(store, 3, NULL, &manifest);
    hold(store, 3);
    commit(store, &manifest);
    sample_commit(store, 4);
    store_retain(store, 1, 0);
    cr_assert(is_there(3), "though no checkpoint names it");
    let_go(store, 3);
    cr_assert_not(is_there(3));
    expect_no_leftovers(store);
    store_close(&store);
}

static enum weir_result try_hold(struct store *store, uint32_t epoch, uint64_t number)
{
    const struct manifest_segment segment = sample_within(epoch, number);
    struct weir_error error;
    enum weir_result result = store_hold(store, &segment, &error);
    if (result == WEIR_INVALID)
        cr_assert_not_null(strstr(error.text, "can't be held"), "%s", error.text);
    return result;
}

/* I6, I1 */
Test(store, only_what_was_synced_can_be_held)
{
    struct store *store = sample_store(path);
    struct manifest manifest;
    cr_assert_eq(try_hold(store, 1, 1), WEIR_INVALID, "there is none");
    claim(store, 1);
    sample_parts(store, 1, &manifest);
    cr_assert_eq(try_hold(store, 1, 1), WEIR_INVALID, "not synced");
    sync_round(store, 1);
    cr_assert_eq(try_hold(store, 2, 1), WEIR_INVALID, "another run's");
    cr_assert_eq(try_hold(store, 1, 2), WEIR_INVALID);
    store_abort(store, 1);
    cr_assert_eq(try_hold(store, 1, 1), WEIR_INVALID, "it is gone");
    manifest_free(&manifest);

    sample_commit(store, 2);
    hold(store, 2); /* a checkpoint names it */
    claim(store, 3);
    sample_parts(store, 3, &manifest);
    store_abort(store, 3); /* before its sync: nothing of it is kept */
    manifest_free(&manifest);
    expect_no_leftovers(store);
    store_close(&store);
    cr_assert_eq(store_view(path, NULL, &store, NULL), WEIR_OK);
    cr_assert_eq(try_hold(store, 1, 2), WEIR_REFUSED, "a view removes nothing anyway");
    store_close(&store);
    store = sample_store(path);
    cr_assert_eq(try_hold(store, 1, 3), WEIR_INVALID);
    cr_assert_eq(try_hold(store, 1, 2), WEIR_OK, "the checkpoint's that it goes on from");
    sample_commit(store, 4);
    store_retain(store, 1, 0);
    cr_assert_eq(store_sweep(store, NULL), WEIR_OK);
    cr_assert(is_there(2));
    let_go_of(store, 1, 2);
    expect_no_leftovers(store);
    store_close(&store);
}

/* I6 */
Test(store, state_that_nobody_keeps_can_not_be_committed)
{
    struct store *store = sample_store(path);
    struct manifest manifests[4];
    struct weir_error error;
    sample_commit(store, 1);
    write_sharing(store, 2, NULL, &manifests[2]);
    write_sharing(store, 3, &manifests[2], &manifests[3]);
    store_abort(store, 2);
    cr_assert_eq(store_commit(store, &manifests[3], &error), WEIR_INVALID);
    cr_assert_not_null(strstr(error.text, "segment 0 of task 1's state"), "%s", error.text);
    cr_assert_not(scratch_exists(manifest_of(3)));
    manifests[3].tasks[1].state[0].place.file_number =
        3; /* the first is there; not so the second */
    manifests[3].tasks[1].state[0].from_number = 3;
    manifests[3].tasks[1].state[0].place.blob.id = 3;
    cr_assert_eq(store_commit(store, &manifests[3], &error), WEIR_INVALID);
    cr_assert_not_null(strstr(error.text, "segment 1 of task 1's state"), "%s", error.text);
    for (uint32_t i = 1; i <= 2; i++) /* its own are left */
        manifests[3].tasks[i].state += sample_segments(i);
    for (uint32_t i = 1; i <= 2; i++)
        manifests[3].tasks[i].state_count -= sample_segments(i);
    cr_assert_eq(store_commit(store, &manifests[3], &error), WEIR_OK, "%s", error.text);
    expect_newest(store, 3);
    for (uint32_t i = 1; i <= 2; i++)
        manifests[3].tasks[i].state -= sample_segments(i);
    store_close(&store);
    manifest_free(&manifests[2]);
    manifest_free(&manifests[3]);
}

Test(store, held_state_is_let_go_while_a_manifest_can_not_be_read_and_swept_later)
{
    struct store *store;
    struct manifest manifest;
    struct weir_error error;
    unsigned char bytes[8192];
    make_with(1);
    size_t size = scratch_read(manifest_of(1), bytes, sizeof bytes);
    scratch_write(manifest_of(1), "{}", 2);
    cr_assert_eq(try_open(&store, &error), WEIR_OK);
    write_sharing(store, 2, NULL, &manifest);
    cr_assert_eq(try_hold(store, 1, 1), WEIR_INVALID, "who knows what it names");
    hold(store, 1);
    store_abort(store, 2);
    let_go(store, 1);
    cr_assert(scratch_exists(segment_of(2, 1)));
    manifest_free(&manifest);
    store_close(&store);
    scratch_write(manifest_of(1), bytes, size);
    store = sample_store(path);
    cr_assert_eq(store_sweep(store, &error), WEIR_OK);
    expect_no_leftovers(store);
    expect_newest(store, 1);
    store_close(&store);
}

/* One step in the life of a store that has checkpoint 1: 2 goes on with its log and is aborted, 3
 * goes on with that of 2, and 4 has a log of its own. */
static void shared_step(struct store *store, int step, struct manifest manifests[5])
{
    struct weir_error error;
    switch (step) {
    case 1:
        cr_assert_eq(store_recover(store, 0, &manifests[1], &error), WEIR_OK, "%s", error.text);
        {
            const struct manifest_segment segment = sample_within(1, 1);
            cr_assert_eq(store_hold(store, &segment, &error), WEIR_OK, "%s", error.text);
        }
        break;
    case 2:
        write_sharing(store, 2, &manifests[1], &manifests[2]);
        break;
    case 3:
        hold(store, 1);
        break;
    case 4:
        store_abort(store, 2);
        break;
    case 5:
        write_sharing(store, 3, &manifests[2], &manifests[3]);
        break;
    case 6:
        hold(store, 2);
        break;
    case 7:
        cr_assert_eq(store_commit(store, &manifests[3], &error), WEIR_OK, "%s", error.text);
        break;
    case 8:
        store_retain(store, 1, 0);
        break;
    case 9:
        commit_sharing(store, 4, NULL, &manifests[4]);
        break;
    case 10:
        store_retain(store, 1, 0);
        break;
    case 11:
        let_go_of(store, 1, 1);
        break;
    default:
        let_go(store, (uint64_t)(step - 11));
        break;
    }
}

/* L4 */
Test(store, rounds_that_share_stopped_after_any_step_leave_what_was_committed)
{
    for (int steps = 0; steps <= 13; steps++) {
        struct manifest manifests[5];
        memset(manifests, 0, sizeof manifests);
        snprintf(path, sizeof path, "%s/store%d", scratch.path, steps);
        make_with(1);
        struct store *store = sample_store(path);
        cr_assert_eq(store_sweep(store, NULL), WEIR_OK);
        for (int step = 1; step <= steps; step++) {
            shared_step(store, step, manifests);
            expect_newest(store, step < 7 ? 1 : step < 9 ? 3 : 4);
        }
        if (steps == 13)
            expect_no_leftovers(store);
        store_close(&store);
        store = sample_store(path);
        cr_assert_eq(store_sweep(store, NULL), WEIR_OK);
        expect_newest(store, steps < 7 ? 1 : steps < 9 ? 3 : 4);
        expect_no_leftovers(store);
        store_close(&store);
        for (int i = 1; i <= 4; i++)
            manifest_free(&manifests[i]);
    }
}

/* Changes every byte of a blob of state that two checkpoints name. */
Test(store, every_flipped_byte_of_shared_state_is_found_in_each_checkpoint_that_names_it)
{
    unsigned char bytes[8192];
    char file[512], named[128];
    struct store *store = sample_store(path);
    struct manifest manifests[5], newest;
    struct weir_error error;
    struct blob_buffer out = {0};
    sample_commit(store, 1);
    commit_sharing(store, 2, NULL, &manifests[2]);
    commit_sharing(store, 3, &manifests[2], &manifests[3]);
    const struct manifest_blob *place = &manifests[2].tasks[1].state[1].place;
    snprintf(named, sizeof named,
             "data/0000000001-00000000000000000002.seg at offset %u (node 'count', subtask 0, "
             "state): ",
             (unsigned)place->offset);
    strcpy(file, segment_of(1, 2));
    size_t size = scratch_read(file, bytes, sizeof bytes);
    for (size_t i = 0; i < BLOB_HEADER_SIZE + place->blob.stored_size; i++) {
        bytes[place->offset + i] ^= (unsigned char)(1 << i % 8);
        scratch_write(file, bytes, size);
        for (unsigned id = 1; id <= 3; id++) {
            char text[32];
            snprintf(text, sizeof text, "checkpoint %u: ", id);
            cr_assert_eq(store_verify(store, id, &error), id == 1 ? WEIR_OK : WEIR_DAMAGED);
            cr_assert(id == 1 || strstr(error.text, named) != NULL, "%s", error.text);
            cr_assert(id == 1 || strstr(error.text, text) != NULL, "%s", error.text);
        }
        cr_assert_eq(store_recover(store, 0, &newest, &error), WEIR_OK);
        cr_assert_eq(store_read_state(store, &newest, 1, 0, &out, &error), WEIR_OK);
        cr_assert_eq(store_read_state(store, &newest, 1, 1, &out, &error), WEIR_DAMAGED);
        cr_assert_not_null(strstr(error.text, named), "%s", error.text);
        cr_assert_eq(store_explain(store, 3, &error), WEIR_DAMAGED);
        cr_assert_not_null(strstr(error.text, "sound: 1;"), "%s", error.text);
        manifest_free(&newest);
        bytes[place->offset + i] ^= (unsigned char)(1 << i % 8);
    }
    scratch_write(file, bytes, size);
    exercised(BLOB_HEADER_SIZE + place->blob.stored_size);
    cr_assert_eq(store_verify(store, 3, &error), WEIR_OK, "%s", error.text);
    blob_buffer_free(&out, NULL);
    manifest_free(&manifests[2]);
    manifest_free(&manifests[3]);
    store_close(&store);
}

/* --- a store that is no longer ours ---------------------------------------------------------- */

/* Claims, writes and syncs 2 on a store of one checkpoint; then `spoil`; then commits. */
static enum weir_result commit_after(void (*spoil)(void), struct weir_error *error)
{
    struct manifest manifest;
    struct store *store = sample_store(path);
    sample_commit(store, 1);
    cr_assert_eq(store_claim(store, 2, error), WEIR_OK);
    sample_parts(store, 2, &manifest);
    cr_assert_eq(store_sync(store, 2, error), WEIR_OK);
    spoil();
    enum weir_result result = store_commit(store, &manifest, error);
    store_abort(store, 2);
    store_retain(store, 1, 0);
    manifest_free(&manifest);
    store_close(&store);
    return result;
}

static void move_store(void)
{
    cr_assert_eq(rename(path, scratch_join(scratch.path, "elsewhere")), 0);
}

static void replace_store(void)
{
    move_store();
    cr_assert_eq(mkdir(path, 0700), 0);
}

static void replace_lock(void)
{
    unsigned char bytes[256];
    scratch_read(scratch_join(path, "LOCK"), bytes, sizeof bytes);
    cr_assert_eq(remove(scratch_join(path, "LOCK")), 0);
    scratch_write(scratch_join(path, "other"), "", 0); /* takes the inode number */
    scratch_write(scratch_join(path, "LOCK"), bytes, sizeof bytes);
}

static void another_run(void)
{
    unsigned char bytes[256];
    scratch_read(scratch_join(path, "LOCK"), bytes, sizeof bytes);
    memset(bytes + 128, 0, 128); /* epoch 1, this run's; the other record is epoch 0 */
    int file = open(scratch_join(path, "LOCK"), O_WRONLY);
    cr_assert_eq(write(file, bytes, sizeof bytes), 256);
    close(file);
}

static void committed_by_another(void)
{
    scratch_write(manifest_of(2), "x", 1);
}

Test(store, a_store_that_is_no_longer_this_runs_is_not_committed_to)
{
    void (*const spoils[])(void) = {move_store, replace_store, replace_lock, another_run,
                                    committed_by_another};
    for (size_t i = 0; i < sizeof spoils / sizeof *spoils; i++) {
        struct weir_error error;
        snprintf(path, sizeof path, "%s/store%zu", scratch.path, i);
        cr_assert_eq(commit_after(spoils[i], &error), WEIR_REFUSED, "%zu: %s", i, error.text);
        if (spoils[i] == move_store || spoils[i] == replace_store)
            snprintf(path, sizeof path, "%s/elsewhere", scratch.path);
        cr_assert(scratch_exists(manifest_of(1)), "nothing is removed by a fenced run");
        cr_assert(scratch_exists(segment_of(1, 2)));
        if (spoils[i] != committed_by_another)
            cr_assert_not(scratch_exists(manifest_of(2)));
        if (i == 0)
            cr_assert_eq(rename(path, scratch_join(scratch.path, "elsewhere0")), 0);
    }
}

Test(store, an_unreadable_folder_aborts_the_round_and_the_next_one_succeeds)
{
    struct manifest manifest;
    struct weir_error error;
    struct store *store = sample_store(path);
    sample_commit(store, 1);
    cr_assert_eq(store_claim(store, 2, &error), WEIR_OK);
    sample_parts(store, 2, &manifest);
    cr_assert_eq(store_sync(store, 2, &error), WEIR_OK);
    cr_assert_eq(rmdir(folder_of(2)), 0);
    cr_assert_eq(store_commit(store, &manifest, &error), WEIR_IO);
    cr_assert_eq(store_commit(store, &manifest, &error), WEIR_IO, "a failed round stays failed");
    store_abort(store, 2);
    manifest_free(&manifest);
    sample_commit(store, 3);
    expect_newest(store, 3);
    store_close(&store);
}

Test(store, large_parts_roll_into_several_containers)
{
    const size_t big = (size_t)40 << 20;
    unsigned char *raw = malloc(big);
    uint64_t seed = 1;
    struct store *store = sample_store(path);
    struct manifest manifest;
    struct weir_error error;
    for (size_t i = 0; i < big; i += 8) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        memcpy(raw + i, &seed, 8);
    }
    for (size_t i = 0; i < big; i++)
        raw[i] = (unsigned char)(raw[i] ^ raw[(i * 7919) % big]);
    sample_manifest(&manifest, store_epoch(store), 1);
    cr_assert_eq(store_claim(store, 1, &error), WEIR_OK);
    sample_aligned(&manifest);
    for (uint32_t i = 0; i < 3; i++)
        cr_assert_eq(store_part(store, 1, BLOB_SNAPSHOT, i,
                                (struct weir_bytes){raw, i == 2 ? 10 : big},
                                &manifest.tasks[i].part, &error),
                     WEIR_OK);
    cr_assert_eq(store_sync(store, 1, &error), WEIR_OK);
    cr_assert_eq(store_commit(store, &manifest, &error), WEIR_OK);
    cr_assert_eq(manifest.tasks[1].part.file_number, 2);
    cr_assert_eq(manifest.tasks[2].part.file_number, 2);
    cr_assert_gt(manifest.tasks[2].part.offset, 0);
    cr_assert_eq(store_verify(store, 1, &error), WEIR_OK, "%s", error.text);
    manifest_free(&manifest);
    const char *copy = scratch_join(scratch.path, "copy");
    cr_assert_eq(store_save_copy(store, 1, copy, &error), WEIR_OK, "%s", error.text);
    store_close(&store);
    cr_assert_eq(store_view(copy, NULL, &store, &error), WEIR_OK);
    cr_assert_eq(store_verify(store, 1, &error), WEIR_OK, "%s", error.text);
    store_close(&store);
    free(raw);
}

Test(store, a_container_is_open_to_ordinary_lz4)
{
    unsigned char bytes[8192], out[4096];
    char expected[1024] = "";
    size_t used = 0;
    LZ4F_dctx *context;
    make_with(1);
    size_t size = scratch_read(segment_of(1, 1), bytes, sizeof bytes);
    LZ4F_createDecompressionContext(&context, LZ4F_VERSION);
    for (size_t at = 0; at < size;) { /* skippable frames are skipped, as `lz4 -dc` does */
        size_t taken = size - at, given = sizeof out - used;
        cr_assert_not(
            LZ4F_isError(LZ4F_decompress(context, out + used, &given, bytes + at, &taken, NULL)));
        at += taken;
        used += given;
    }
    LZ4F_freeDecompressionContext(context);
    for (uint32_t i = 0; i < 3; i++) {
        char part[64];
        sample_part(part, 1, i);
        strcat(expected, part);
        for (uint32_t k = 0; k < sample_pieces(i); k++) {
            sample_piece(part, 1, i, k);
            strcat(expected, part);
        }
        for (uint32_t k = 0; k < sample_segments(i); k++) {
            sample_segment(part, 1, i, k);
            strcat(expected, part);
        }
    }
    cr_assert(used == strlen(expected) && memcmp(out, expected, used) == 0);
}

/* --- damage -------------------------------------------------------------------------------- */

/* The checkpoint is refused as damaged, and the text names what is. */
static void expect_damage(struct store *store, const char *named, const char *what, size_t at)
{
    struct weir_error error = {0};
    cr_assert_eq(store_verify(store, 1, &error), WEIR_DAMAGED, "%s %zu: %s", what, at, error.text);
    cr_assert_not_null(strstr(error.text, named), "%s", error.text);
    cr_assert_not_null(strstr(error.text, "checkpoint 1"), "%s", error.text);
}

static void spoil_everywhere(const char *file, const char *named)
{
    unsigned char bytes[8192];
    struct store *store = sample_store(path);
    struct weir_error error;
    size_t size = scratch_read(file, bytes, sizeof bytes);
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= (unsigned char)(1 << i % 8);
        scratch_write(file, bytes, size);
        expect_damage(store, named, "flipped", i);
        bytes[i] ^= (unsigned char)(1 << i % 8);
    }
    for (size_t i = 0; i < size; i++) {
        scratch_write(file, bytes, i);
        expect_damage(store, named, "cut", i);
    }
    scratch_write(file, bytes, size);
    exercised(2 * size);
    cr_assert_eq(store_verify(store, 1, &error), WEIR_OK);
    store_close(&store);
}

Test(store, every_flipped_byte_and_every_cut_of_a_container_is_found_and_named)
{
    char file[512];
    make_with(1);
    strcpy(file, segment_of(1, 1));
    spoil_everywhere(file, "data/0000000001-00000000000000000001.seg at offset ");
}

Test(store, every_flipped_byte_and_every_cut_of_a_manifest_is_found_and_named)
{
    char file[512];
    make_with(1);
    strcpy(file, manifest_of(1));
    spoil_everywhere(file, "MANIFEST.json");
}

Test(store, swapped_blobs_and_files_are_found)
{
    unsigned char one[8192], two[8192];
    struct store *store;
    struct weir_error error;
    make_with(2);
    store = sample_store(path);
    size_t size = scratch_read(segment_of(1, 1), one, sizeof one);
    cr_assert_eq(scratch_read(segment_of(1, 2), two, sizeof two), size);
    scratch_write(segment_of(1, 1), two, size); /* another checkpoint's */
    expect_damage(store, "belongs elsewhere", "swapped", 0);
    struct manifest manifest;
    cr_assert_eq(store_manifest(store, 1, &manifest, &error), WEIR_OK);
    const struct manifest_blob *part = &manifest.tasks[1].part, *piece = manifest.tasks[1].inflight;
    size_t each = BLOB_HEADER_SIZE + (size_t)part->blob.stored_size;
    memcpy(two, one, size);
    memcpy(two, one + part->offset, each); /* task 1's blob where task 0's should be */
    scratch_write(segment_of(1, 1), two, size);
    expect_damage(store, "belongs elsewhere", "swapped", 1);
    each = BLOB_HEADER_SIZE + (size_t)piece[0].blob.stored_size;
    cr_assert_eq(piece[1].blob.stored_size, piece[0].blob.stored_size);
    memcpy(two, one, size);
    memcpy(two + piece[0].offset, one + piece[1].offset, each); /* the second piece twice */
    scratch_write(segment_of(1, 1), two, size);
    expect_damage(store, "in flight", "swapped", 2);
    manifest_free(&manifest);
    scratch_write(segment_of(1, 1), one, size);
    size = scratch_read(manifest_of(2), two, sizeof two);
    scratch_write(manifest_of(1), two, size);
    expect_damage(store, "is of checkpoint 2", "manifest", 2);
    store_close(&store);
}

Test(store, a_manifest_of_another_store_is_damage)
{
    unsigned char bytes[8192];
    struct store_options options;
    struct store *store;
    struct weir_error error;
    make_with(1);
    size_t size = scratch_read(manifest_of(1), bytes, sizeof bytes);
    snprintf(path, sizeof path, "%s/two", scratch.path);
    sample_options(&options, path);
    options.new_id[0] = 77;
    cr_assert_eq(store_open(&options, &store, &error), WEIR_OK);
    cr_assert_eq(mkdir(folder_of(1), 0700), 0);
    scratch_write(manifest_of(1), bytes, size);
    expect_damage(store, "another store", "copied", 0);
    store_close(&store);
}

Test(store, only_regular_files_are_believed)
{
    struct store *store;
    make_with(1);
    store = sample_store(path);
    const char *file = segment_of(1, 1);
    cr_assert_eq(rename(file, scratch_join(path, "moved")), 0);
    expect_damage(store, "missing", "gone", 0);
    cr_assert_eq(symlink("../moved", file), 0);
    expect_damage(store, "not a regular file", "link", 0);
    cr_assert_eq(unlink(file), 0);
    cr_assert_eq(mkfifo(file, 0600), 0);
    expect_damage(store, "not a regular file", "fifo", 0);
    cr_assert_eq(unlink(file), 0);
    cr_assert_eq(rename(scratch_join(path, "moved"), file), 0);
    char manifest[512];
    strcpy(manifest, manifest_of(1));
    cr_assert_eq(unlink(manifest), 0);
    cr_assert_eq(mkdir(manifest, 0700), 0);
    expect_damage(store, "not a regular file", "folder", 0);
    struct manifest unused;
    struct weir_error error;
    cr_assert_eq(store_recover(store, 0, &unused, &error), WEIR_DAMAGED);
    store_close(&store);
}

Test(store, a_damaged_newest_checkpoint_stops_and_names_the_older_sound_ones)
{
    struct store *store;
    struct manifest manifest;
    struct weir_error error;
    make_with(4);
    scratch_write(manifest_of(4), "{}", 2);
    scratch_write(segment_of(1, 3), "", 0);
    store = sample_store(path);
    cr_assert_eq(store_recover(store, 0, &manifest, &error), WEIR_DAMAGED);
    cr_assert_not_null(strstr(error.text, "checkpoint 4"), "%s", error.text);
    cr_assert_not_null(strstr(error.text, "sound: 2, 1"), "%s", error.text);
    cr_assert_not_null(strstr(error.text, "--restore 2"), "%s", error.text);
    cr_assert_eq(store_recover(store, 2, &manifest, &error), WEIR_OK, "when told to");
    manifest_free(&manifest);
    cr_assert_eq(store_next_id(store), 5);
    (void)error_set(&error, WEIR_DAMAGED, 0, "checkpoint 3 is damaged");
    cr_assert_eq(store_explain(store, 1, &error), WEIR_DAMAGED);
    cr_assert_not_null(strstr(error.text, "--restore none"), "%s", error.text);
    store_close(&store);
}

Test(store, an_id_asked_for_of_an_empty_store_is_told_that_there_is_none)
{
    struct manifest manifest;
    struct weir_error error = {0};
    struct store *store = sample_store(path);
    cr_assert_eq(store_recover(store, 7, &manifest, &error), WEIR_NOT_FOUND);
    cr_assert_not_null(strstr(error.text, "holds none yet"), "%s", error.text);
    store_close(&store);
}

Test(store, a_shortage_of_ours_is_not_damage)
{
    struct store *store;
    struct weir_error error;
    struct rlimit limit;
    make_with(1);
    store = sample_store(path);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int lowest = dup(0); /* the next descriptor there would be */
    close(lowest);
    struct rlimit none = {(rlim_t)lowest, limit.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    enum weir_result result = store_verify(store, 1, &error);
    struct manifest unused;
    struct weir_error again;
    enum weir_result recovery = store_recover(store, 0, &unused, &again);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_assert(result == WEIR_IO && error.os_error == EMFILE, "%s", error.text);
    cr_assert(recovery == WEIR_IO && again.os_error == EMFILE, "%s", again.text);
    expect_newest(store, 1);
    store_close(&store);
}

/* --- removing ------------------------------------------------------------------------------ */

Test(store, retention_keeps_the_newest_and_the_pinned_and_all_they_name)
{
    struct store *store = sample_store(path);
    struct weir_error error;
    for (uint64_t id = 1; id <= 8; id++) {
        sample_commit(store, id);
        store_retain(store, 3, 2);
        for (uint64_t older = 1; older <= id; older++) {
            bool kept = older + 3 > id || older == 2;
            cr_assert_eq(store_verify(store, older, &error), kept ? WEIR_OK : WEIR_NOT_FOUND);
            cr_assert_eq(scratch_exists(segment_of(1, older)), kept);
        }
    }
    cr_assert_eq(count_files("checkpoints"), 4);
    store_close(&store);
    store = sample_store(path);
    sample_commit(store, 9);
    store_retain(store, 1, 0);
    cr_assert_eq(count_files("checkpoints"), 1);
    cr_assert_eq(count_files("data"), 1);
    expect_newest(store, 9);
    store_close(&store);
}

Test(store, no_container_is_removed_while_a_manifest_can_not_be_read)
{
    struct store *store;
    struct weir_error error;
    make_with(3);
    unsigned char bytes[8192];
    size_t size = scratch_read(manifest_of(2), bytes, sizeof bytes);
    scratch_write(manifest_of(2), "{}", 2);
    cr_assert_eq(try_open(&store, &error), WEIR_OK);
    cr_assert_eq(store_sweep(store, &error), WEIR_OK);
    store_retain(store, 2, 0);
    cr_assert_not(scratch_exists(manifest_of(1)));
    cr_assert_eq(count_files("data"), 3);
    store_close(&store);
    scratch_write(manifest_of(2), bytes, size);
    cr_assert_eq(try_open(&store, &error), WEIR_OK);
    cr_assert_eq(store_verify(store, 2, &error), WEIR_OK);
    cr_assert_eq(store_sweep(store, &error), WEIR_OK);
    cr_assert_eq(count_files("data"), 2);
    store_close(&store);
}

Test(store, retention_keeps_containers_that_only_content_in_flight_lies_in)
{
    struct store *store = sample_store(path);
    struct manifest manifest;
    struct weir_error error;
    const size_t big = (size_t)65 << 20; /* more than a container takes: the rest goes elsewhere */
    unsigned char *raw = malloc(big);
    for (uint32_t i = 0, seed = 1; i < big; i++)
        raw[i] = (unsigned char)((seed = seed * 1664525 + 1013904223) >> 24);
    claim(store, 1);
    sample_parts(store, 1, &manifest);
    for (uint32_t k = 0; k < 2; k++)
        cr_assert_eq(store_part(store, 1, BLOB_INFLIGHT, 1, (struct weir_bytes){raw, k ? 5 : big},
                                &manifest.tasks[1].inflight[k], &error),
                     WEIR_OK);
    sync_round(store, 1);
    commit(store, &manifest);
    sample_commit(store, 2);
    store_retain(store, 2, 0);
    cr_assert_eq(store_verify(store, 1, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(count_files("data"), 4, "1 has three");
    store_retain(store, 1, 0);
    cr_assert_eq(count_files("data"), 1);
    expect_newest(store, 2);
    store_close(&store);
    free(raw);
}

Test(store, a_piece_or_a_task_that_is_not_there_can_not_be_read)
{
    struct store *store = sample_store(path);
    struct manifest manifest;
    struct weir_error error;
    struct blob_buffer out = {0};
    sample_commit(store, 1);
    cr_assert_eq(store_manifest(store, 1, &manifest, &error), WEIR_OK);
    cr_assert_eq(store_read(store, &manifest, 3, &out, &error), WEIR_INVALID);
    cr_assert_eq(store_read_inflight(store, &manifest, 3, 0, &out, &error), WEIR_INVALID);
    cr_assert_eq(store_read_inflight(store, &manifest, 1, 2, &out, &error), WEIR_INVALID);
    cr_assert_eq(store_read_inflight(store, &manifest, 2, 0, &out, &error), WEIR_INVALID);
    cr_assert_eq(store_read_state(store, &manifest, 3, 0, &out, &error), WEIR_INVALID);
    cr_assert_eq(store_read_state(store, &manifest, 0, 0, &out, &error), WEIR_INVALID);
    cr_assert_eq(store_read_state(store, &manifest, 1, 2, &out, &error), WEIR_INVALID);
    manifest_free(&manifest);
    store_close(&store);
}

Test(store, sweeping_leaves_the_open_round_alone)
{
    struct store *store = sample_store(path);
    struct weir_error error;
    struct manifest manifest;
    cr_assert_eq(store_claim(store, 1, &error), WEIR_OK);
    sample_parts(store, 1, &manifest);
    cr_assert_eq(store_sweep(store, &error), WEIR_OK);
    store_retain(store, 1, 0);
    cr_assert_eq(store_sync(store, 1, &error), WEIR_OK);
    cr_assert_eq(store_commit(store, &manifest, &error), WEIR_OK, "%s", error.text);
    manifest_free(&manifest);
    expect_newest(store, 1);
    store_close(&store);
}

/* --- viewing ------------------------------------------------------------------------------- */

Test(store, a_view_reads_while_a_run_holds_the_lock_and_writes_nothing)
{
    struct store *store = sample_store(path), *view;
    struct weir_error error;
    uint64_t *ids;
    size_t count;
    sample_commit(store, 1);
    sample_commit(store, 2);
    cr_assert_eq(store_view(path, NULL, &view, &error), WEIR_OK, "%s", error.text);
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
    cr_assert_eq(store_view(scratch.path, NULL, &view, &error), WEIR_NOT_FOUND);
    cr_assert_eq(store_view("/nowhere/at/all", NULL, &view, &error), WEIR_IO);
    cr_assert_null(view);
}

/* --- savepoints ------------------------------------------------------------------------------ */

static char saved[256];

static enum weir_result save(uint64_t id, const char *where, struct weir_error *error)
{
    struct store *store;
    cr_assert_eq(store_view(path, NULL, &store, error), WEIR_OK, "%s", error->text);
    enum weir_result result = store_save_copy(store, id, where, error);
    store_close(&store);
    return result;
}

/* Saves checkpoint `id` of the store to `saved`. */
static void save_to(uint64_t id)
{
    struct weir_error error;
    snprintf(saved, sizeof saved, "%s/saved", scratch.path);
    cr_assert_eq(save(id, saved, &error), WEIR_OK, "%s", error.text);
}

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

Test(store, a_savepoint_is_whole_without_its_store)
{
    struct store *view;
    struct weir_error error;
    struct manifest manifest;
    unsigned char text[2048] = {0};
    uint64_t *ids;
    size_t count;
    make_with(3);
    save_to(2);
    struct scratch gone = {""};
    strcpy(gone.path, path);
    scratch_free(&gone);
    cr_assert_eq(store_view(saved, NULL, &view, &error), WEIR_OK, "%s", error.text);
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
    scratch_read(scratch_join(saved, "SAVEPOINT"), text, sizeof text - 1);
    cr_assert_not_null(strstr((char *)text, "words"), "%s", (char *)text);
    cr_assert_not_null(strstr((char *)text, "checkpoint: 2\n"), "%s", (char *)text);
    cr_assert_not_null(strstr((char *)text, "1970-01-01 00:00:00 UTC"), "%s", (char *)text);
    cr_assert_not_null(strstr((char *)text, "--restore"), "%s", (char *)text);
}

Test(store, a_savepoint_holds_the_blobs_that_are_named_and_no_others)
{
    struct store *store = sample_store(path), *view;
    struct manifest manifests[2], manifest;
    struct weir_error error;
    struct stat status;
    claim(store, 1);
    sample_parts(store, 1, &manifests[0]);
    manifest_free(&manifests[0]);
    sample_parts(store, 1, &manifests[0]); /* the first ones are named by nobody */
    sync_round(store, 1);
    commit(store, &manifests[0]);
    snprintf(saved, sizeof saved, "%s/saved", scratch.path);
    cr_assert_eq(store_save_copy(store, 1, saved, &error), WEIR_OK, "%s", error.text);
    store_close(&store);
    cr_assert_eq(store_view(saved, NULL, &view, &error), WEIR_OK);
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
    strcpy(path, saved);
    cr_assert_eq(stat(segment_of(1, 1), &status), 0);
    cr_assert_eq((uint64_t)status.st_size, size);
    cr_assert_eq(count_files("data"), 1);
}

Test(store, a_savepoint_has_all_state_whoever_wrote_it)
{
    struct store *store = sample_store(path), *view;
    struct manifest manifests[4], manifest;
    struct weir_error error;
    commit_sharing(store, 1, NULL, &manifests[1]);
    commit_sharing(store, 2, &manifests[1], &manifests[2]);
    store_close(&store);
    store = sample_store(path);
    commit_sharing(store, 3, &manifests[2], &manifests[3]);
    store_close(&store);
    save_to(3);
    struct scratch gone = {""};
    strcpy(gone.path, path);
    scratch_free(&gone);
    for (int copies = 0; copies < 2; copies++) {
        strcpy(path, saved);
        cr_assert_eq(store_view(path, NULL, &view, &error), WEIR_OK, "%s", error.text);
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
        expect_no_leftovers(view);
        manifest_free(&manifest);
        store_close(&view);
        snprintf(saved, sizeof saved, "%s/again", scratch.path); /* a copy can be copied */
        if (copies == 0)
            cr_assert_eq(save(3, saved, &error), WEIR_OK, "%s", error.text);
    }
    for (int i = 1; i <= 3; i++)
        manifest_free(&manifests[i]);
}

Test(store, saving_disturbs_neither_the_store_nor_its_open_rounds)
{
    struct store *store = sample_store(path);
    struct manifest manifests[2];
    struct weir_error error;
    sample_commit(store, 1);
    claim(store, 2);
    sample_parts(store, 2, &manifests[0]);
    claim(store, 3);
    uint64_t before = tree_of(path);
    snprintf(saved, sizeof saved, "%s/saved", scratch.path);
    cr_assert_eq(store_save_copy(store, 1, saved, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(store_save_copy(store, 2, scratch_join(scratch.path, "two"), &error),
                 WEIR_NOT_FOUND, "it is not committed");
    cr_assert_not(scratch_exists(scratch_join(scratch.path, "two")));
    cr_assert_eq(tree_of(path), before);
    sample_parts(store, 3, &manifests[1]);
    for (uint64_t id = 2; id <= 3; id++) {
        sync_round(store, id);
        commit(store, &manifests[id - 2]);
    }
    store_retain(store, 1, 0);
    expect_newest(store, 3);
    store_close(&store);
    cr_assert_eq(store_view(saved, NULL, &store, &error), WEIR_OK);
    expect_newest(store, 1);
    store_close(&store);
}

Test(store, a_savepoint_can_be_saved_again_elsewhere)
{
    struct store *view;
    struct weir_error error;
    make_with(1);
    save_to(1);
    strcpy(path, saved);
    snprintf(saved, sizeof saved, "%s/again", scratch.path);
    cr_assert_eq(mkdir(saved, 0700), 0); /* an empty directory serves */
    cr_assert_eq(save(1, saved, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(store_view(saved, NULL, &view, &error), WEIR_OK);
    expect_newest(view, 1);
    store_close(&view);
}

Test(store, no_run_takes_a_savepoint_for_its_store)
{
    struct weir_error error;
    make_with(1);
    save_to(1);
    uint64_t before = tree_of(saved);
    strcpy(path, saved);
    cr_assert_eq(open_once(&error), WEIR_REFUSED);
    cr_assert_not_null(strstr(error.text, "is a savepoint, and is never changed: give the run a "
                                          "store of its own and --restore "),
                       "%s", error.text);
    cr_assert_eq(tree_of(saved), before);
}

Test(store, none_is_made_inside_a_savepoint_or_another_store)
{
    struct weir_error error;
    char cwd[512], text[600];
    make_with(1);
    save_to(1);
    uint64_t before = tree_of(scratch.path);
    const char *const holders[] = {scratch_join(scratch.path, "store"), saved};
    const char *const kinds[] = {"store", "savepoint"};
    const char *const names[] = {"x", "data/x", "checkpoints/x/"};
    const char *const ups[] = {"", "/data/..", "/checkpoints/.."};
    for (int i = 0; i < 6; i++) {
        strcpy(path, scratch_join(holders[i / 3], names[i % 3]));
        cr_assert_eq(open_once(&error), WEIR_REFUSED, "%s: %s", path, error.text);
        snprintf(text, sizeof text, " lies inside the %s %s%s", kinds[i / 3], holders[i / 3],
                 ups[i % 3]);
        cr_assert_not_null(strstr(error.text, text), "%s", error.text);
        cr_assert_not_null(strstr(error.text, "name a directory outside of it"), "%s", error.text);
    }
    cr_assert_not_null(getcwd(cwd, sizeof cwd));
    cr_assert_eq(chdir(saved), 0);
    strcpy(path, "x");
    cr_assert_eq(open_once(&error), WEIR_REFUSED);
    cr_assert_not_null(strstr(error.text, "inside the savepoint ., which"), "%s", error.text);
    cr_assert_eq(chdir(cwd), 0);
    cr_assert_eq(tree_of(scratch.path), before);
}

/* What lies above may have names that weir's files have. */
Test(store, one_is_made_below_what_only_looks_like_a_store)
{
    struct weir_error error;
    scratch_write(scratch_join(scratch.path, "LOCK"), "x", 1);
    scratch_write(scratch_join(scratch.path, "SAVEPOINT"), "x", 1);
    cr_assert_eq(mkdir(scratch_join(scratch.path, "data"), 0700), 0);
    cr_assert_eq(open_once(&error), WEIR_OK, "%s", error.text);
}

/* Refused with this text, and nothing at all is changed. */
static void expect_refused(const char *where, enum weir_result result, const char *text)
{
    struct weir_error error;
    uint64_t before = tree_of(scratch.path);
    cr_assert_eq(save(1, where, &error), result, "%s: %s", where, error.text);
    cr_assert_not_null(strstr(error.text, text), "%s", error.text);
    cr_assert_eq(tree_of(scratch.path), before, "%s", where);
}

Test(store, a_savepoint_goes_only_where_nothing_is)
{
    make_with(1);
    save_to(1);
    expect_refused(saved, WEIR_REFUSED, "is a savepoint already");
    expect_refused(path, WEIR_REFUSED, "is a store");
    expect_refused(scratch.path, WEIR_REFUSED, "it holds '");
    expect_refused(scratch_join(scratch.path, "no/such"), WEIR_IO, "make it first");
    expect_refused("", WEIR_INVALID, "empty");
    const char *file = scratch_join(scratch.path, "file");
    scratch_write(file, "x", 1);
    expect_refused(file, WEIR_REFUSED, "not a directory");
    expect_refused(scratch_join(file, "x"), WEIR_IO, "/file, which should hold it, is not a dir");
    expect_refused(scratch_join(saved, "x"), WEIR_REFUSED, "inside the savepoint");
    const char *empty = scratch_join(scratch.path, "empty");
    cr_assert_eq(mkdir(empty, 0700), 0);
    cr_assert_eq(chmod(empty, 0777), 0);
    expect_refused(empty, WEIR_REFUSED, "may be written by others");
    cr_assert_eq(chmod(empty, 0700), 0);
    const char *link = scratch_join(scratch.path, "link");
    cr_assert_eq(symlink("empty", link), 0);
    expect_refused(link, WEIR_REFUSED, "symbolic links are not followed");
    remove(manifest_of(1));
    expect_refused(scratch_join(scratch.path, "new"), WEIR_NOT_FOUND, "no such checkpoint");
}

Test(store, a_savepoint_never_lies_inside_its_store)
{
    char link[256], cwd[512];
    make_with(1);
    expect_refused(scratch_join(path, "saved"), WEIR_REFUSED, "inside the store");
    expect_refused(scratch_join(path, "data/saved"), WEIR_REFUSED, "inside the store");
    expect_refused(scratch_join(path, "data/"), WEIR_REFUSED, "inside the store");
    expect_refused(scratch_join(folder_of(1), "saved"), WEIR_REFUSED, "inside the store");
    snprintf(link, sizeof link, "%s/door", scratch.path);
    cr_assert_eq(symlink("store/data", link), 0);
    expect_refused(scratch_join(link, "saved"), WEIR_REFUSED, "inside the store");
    cr_assert_not_null(getcwd(cwd, sizeof cwd));
    cr_assert_eq(chdir(folder_of(1)), 0);
    expect_refused("saved", WEIR_REFUSED, "inside the store");
    expect_refused("../saved", WEIR_REFUSED, "inside the store");
    expect_refused("..", WEIR_REFUSED, "inside the store");
    cr_assert_eq(chdir(cwd), 0);
}

Test(store, what_is_left_of_a_savepoint_that_was_not_finished_is_told_as_such)
{
    struct store *view;
    struct manifest manifest;
    struct weir_error error;
    make_with(1);
    save_to(1);
    cr_assert_eq(remove(scratch_join(saved, "checkpoints/00000000000000000001/MANIFEST.json")), 0);
    expect_refused(saved, WEIR_REFUSED, "never finished: remove that directory");
    cr_assert_eq(store_view(saved, NULL, &view, &error), WEIR_OK);
    cr_assert_eq(store_recover(view, 0, &manifest, &error), WEIR_NOT_FOUND);
    cr_assert_not_null(strstr(error.text, "never finished"), "%s", error.text);
    store_close(&view);
    cr_assert_eq(remove(scratch_join(saved, "checkpoints/00000000000000000001")), 0);
    cr_assert_eq(remove(scratch_join(saved, "checkpoints")), 0);
    expect_refused(saved, WEIR_REFUSED, "never finished");
}

Test(store, a_damaged_savepoint_says_that_there_is_no_other_checkpoint_in_it)
{
    struct store *view;
    struct manifest manifest;
    struct weir_error error;
    make_with(1);
    save_to(1);
    scratch_write(scratch_join(saved, "checkpoints/00000000000000000001/MANIFEST.json"), "{}", 2);
    cr_assert_eq(store_view(saved, NULL, &view, &error), WEIR_OK);
    cr_assert_eq(store_recover(view, 0, &manifest, &error), WEIR_DAMAGED);
    cr_assert_not_null(strstr(error.text, "is a savepoint and holds nothing else"), "%s",
                       error.text);
    cr_assert_null(strstr(error.text, "--restore none"), "%s", error.text);
    store_close(&view);
}

Test(store, damage_is_not_copied_and_leaves_nothing_behind)
{
    unsigned char bytes[8192];
    struct weir_error error;
    char segment[512];
    make_with(1);
    strcpy(segment, segment_of(1, 1));
    snprintf(saved, sizeof saved, "%s/saved", scratch.path);
    size_t size = scratch_read(segment, bytes, sizeof bytes);
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= (unsigned char)(1 << i % 8);
        scratch_write(segment, bytes, size);
        cr_assert_eq(save(1, saved, &error), WEIR_DAMAGED, "byte %zu", i);
        cr_assert_not_null(strstr(error.text, "saving checkpoint 1: store"), "%s", error.text);
        cr_assert_not(scratch_exists(saved));
        bytes[i] ^= (unsigned char)(1 << i % 8);
    }
    scratch_write(segment, bytes, size);
    cr_assert_eq(save(1, saved, &error), WEIR_OK, "%s", error.text);
}

Test(store, a_run_that_begins_with_a_savepoint_has_an_epoch_above_it)
{
    struct store_options options;
    struct weir_error error;
    struct store *store;
    sample_options(&options, path);
    options.above_epoch = 41;
    cr_assert_eq(store_open(&options, &store, &error), WEIR_OK);
    cr_assert_eq(store_epoch(store), 42);
    sample_commit(store, 1);
    store_close(&store);
    cr_assert_eq(store_open(&options, &store, &error), WEIR_OK);
    cr_assert_eq(store_epoch(store), 43, "and above its own");
    expect_newest(store, 1);
    store_close(&store);
    options.above_epoch = UINT32_MAX;
    cr_assert_eq(store_open(&options, &store, &error), WEIR_TOO_LARGE);
}

/* --- segments with a list --------------------------------------------------------------------- */

/* A segment of about so many bytes: entries of 1 KiB, whose values LZ4 can make smaller, or not. */
static struct segment *large_segment(uint64_t bytes, bool dense)
{
    struct state *state = state_new(NULL, 1008);
    struct state_cut cut;
    for (uint64_t key = 0; key < bytes / 1024; key++) {
        const struct weir_bytes view = {&key, sizeof key};
        uint64_t hash = state_hash(view), *value = state_cell(state, view, hash);
        for (uint64_t i = 0; i < 126; i++)
            value[i] = dense ? hash = hash * 0x5851f42d4c957f2du + 1 : key;
    }
    cr_assert_eq(state_cut(state, &cut), WEIR_OK);
    cr_assert_eq(cut.count, 1);
    struct segment *segment = segment_share(cut.segments[0]);
    state_cut_free(&cut);
    state_free(&state);
    return segment;
}

/* Round `id`, whose task 1 has one segment of so many bytes. */
static void commit_large(struct store *store, uint64_t id, uint64_t bytes, bool dense,
                         struct manifest *manifest)
{
    struct weir_error error;
    struct manifest_segment place;
    struct segment *segment = large_segment(bytes, dense);
    claim(store, id);
    sample_parts(store, id, manifest);
    cr_assert_eq(store_segment(store, id, 1, 0, segment, &place, &error), WEIR_OK, "%s",
                 error.text);
    segment_release(segment);
    sample_add_segment(&manifest->tasks[1], &place);
    sync_round(store, id);
    cr_assert_eq(store_commit(store, manifest, &error), WEIR_OK, "%s", error.text);
}

static uint64_t manifest_size(uint64_t id)
{
    struct stat status;
    cr_assert_eq(stat(manifest_of(id), &status), 0);
    return (uint64_t)status.st_size;
}

/* But for the digits of what is in it. */
Test(store, a_manifest_is_as_long_whatever_the_size_of_the_state)
{
    const uint64_t sizes[] = {(uint64_t)1 << 20, (uint64_t)256 << 20};
    uint64_t manifests[2];
    for (uint64_t i = 0; i < 2; i++) {
        struct store *store = sample_store(path);
        struct manifest manifest;
        struct weir_error error;
        commit_large(store, i + 1, sizes[i], false, &manifest);
        cr_assert_eq(store_verify(store, i + 1, &error), WEIR_OK, "%s", error.text);
        cr_assert_eq(manifest.tasks[1].state[2].place.blob.kind, i == 0 ? BLOB_STATE : BLOB_LIST);
        manifest_free(&manifest);
        store_close(&store);
        manifests[i] = manifest_size(i + 1);
        printf("%llu bytes of manifest for %llu MiB of state\n", (unsigned long long)manifests[i],
               (unsigned long long)(sizes[i] >> 20));
    }
    cr_assert_leq(manifests[1], manifests[0] + 64);
}

/* Its containers are shared, held and removed as one. */
Test(store, a_segment_with_a_list_lives_as_long_as_a_checkpoint_names_it)
{
    struct store *store = sample_store(path);
    struct manifest manifests[3];
    struct weir_error error;
    commit_large(store, 1, (uint64_t)70 << 20, true, &manifests[0]);
    const struct manifest_segment large = manifests[0].tasks[1].state[2];
    cr_assert_gt(large.place.file_number, large.from_number, "more than one container");
    cr_assert_lt(manifests[0].tasks[2].state[0].place.file_number, large.from_number, "its own");
    claim(store, 2);
    sample_parts(store, 2, &manifests[1]);
    sample_add_segment(&manifests[1].tasks[1], &large);
    sync_round(store, 2);
    cr_assert_eq(store_commit(store, &manifests[1], &error), WEIR_OK, "%s", error.text);
    store_retain(store, 1, 0);
    cr_assert_eq(store_verify(store, 2, &error), WEIR_OK, "%s", error.text);
    expect_no_leftovers(store);
    cr_assert_eq(store_hold(store, &large, &error), WEIR_OK, "%s", error.text);
    sample_commit(store, 3);
    store_retain(store, 1, 0);
    for (uint64_t n = large.from_number; n <= large.place.file_number; n++)
        cr_assert(is_there(n), "held");
    claim(store, 4); /* one that names it, though no checkpoint does */
    sample_parts(store, 4, &manifests[2]);
    sample_add_segment(&manifests[2].tasks[1], &large);
    sync_round(store, 4);
    cr_assert_eq(store_commit(store, &manifests[2], &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(store_verify(store, 4, &error), WEIR_OK, "%s", error.text);
    sample_commit(store, 5);
    store_retain(store, 1, 0);
    store_let_go(store, &large);
    expect_no_leftovers(store);
    claim(store, 6); /* nobody keeps it any more */
    manifest_free(&manifests[2]);
    sample_parts(store, 6, &manifests[2]);
    sample_add_segment(&manifests[2].tasks[1], &large);
    sync_round(store, 6);
    cr_assert_eq(store_commit(store, &manifests[2], &error), WEIR_INVALID);
    for (int i = 0; i < 3; i++)
        manifest_free(&manifests[i]);
    store_close(&store);
}

/* List and all: nothing outside of the copy is named. */
Test(store, a_savepoint_of_segments_with_lists_is_whole)
{
    struct store *store = sample_store(path), *view;
    struct manifest manifests[2], manifest;
    struct weir_error error;
    commit_large(store, 1, (uint64_t)70 << 20, true, &manifests[0]);
    claim(store, 2);
    sample_parts(store, 2, &manifests[1]);
    sample_share(&manifests[1], &manifests[0]);
    sync_round(store, 2);
    cr_assert_eq(store_commit(store, &manifests[1], &error), WEIR_OK, "%s", error.text);
    store_close(&store);
    save_to(2);
    struct scratch gone = {""};
    strcpy(gone.path, path);
    scratch_free(&gone);
    for (int copies = 0; copies < 2; copies++) {
        strcpy(path, saved);
        cr_assert_eq(store_view(path, NULL, &view, &error), WEIR_OK, "%s", error.text);
        cr_assert_eq(store_verify(view, 2, &error), WEIR_OK, "%s", error.text);
        cr_assert_eq(store_manifest(view, 2, &manifest, &error), WEIR_OK, "%s", error.text);
        cr_assert_eq(manifest.tasks[1].state[2].place.blob.kind, BLOB_LIST);
        cr_assert_eq(manifest.tasks[1].state[2].blob_count,
                     manifests[0].tasks[1].state[2].blob_count);
        expect_no_leftovers(view);
        manifest_free(&manifest);
        store_close(&view);
        snprintf(saved, sizeof saved, "%s/again", scratch.path); /* a copy can be copied */
        if (copies == 0)
            cr_assert_eq(save(2, saved, &error), WEIR_OK, "%s", error.text);
    }
    manifest_free(&manifests[0]);
    manifest_free(&manifests[1]);
}

/* Damage of a list names it, and is no other trouble. */
Test(store, every_flipped_byte_of_a_list_is_found)
{
    unsigned char *bytes = malloc(8 << 20);
    char file[512], named[128];
    struct store *store = sample_store(path);
    struct manifest manifest;
    struct manifest_blob *blobs;
    struct weir_error error;
    commit_large(store, 1, (uint64_t)4 << 20, false, &manifest);
    const struct manifest_blob *list = &manifest.tasks[1].state[2].place;
    cr_assert_eq(list->blob.kind, BLOB_LIST);
    snprintf(named, sizeof named, "-%020llu.seg at offset %llu (node 'count', subtask 0, state): ",
             (unsigned long long)list->file_number, (unsigned long long)list->offset);
    strcpy(file, segment_of(1, (unsigned)list->file_number));
    size_t size = scratch_read(file, bytes, 8 << 20);
    for (size_t i = 0; i < BLOB_HEADER_SIZE + list->blob.stored_size; i++) {
        bytes[list->offset + i] ^= (unsigned char)(1 << i % 8);
        scratch_write(file, bytes, size);
        cr_assert_eq(store_list_blobs(store, &manifest, 1, 2, &blobs, &error), WEIR_DAMAGED);
        cr_assert_not_null(strstr(error.text, named), "%s", error.text);
        bytes[list->offset + i] ^= (unsigned char)(1 << i % 8);
    }
    scratch_write(file, bytes, size);
    exercised(BLOB_HEADER_SIZE + list->blob.stored_size);
    cr_assert_eq(store_verify(store, 1, &error), WEIR_OK, "%s", error.text);
    free(bytes);
    manifest_free(&manifest);
    store_close(&store);
}

/* A list that was written as it is, and lies: what it breaks is named. */
Test(store, lists_that_lie_are_refused)
{
    static const struct {
        uint32_t entry, at;
        uint64_t add;
        const char *says;
    } lies[] = {
        {0, 0, 1, "places"},
        {1, 0, 9, "places"},
        {1, 0, UINT32_MAX, "places"},
        {1, 16, UINT64_MAX, "places"},
        {0, 4, 1, "range"},
        {2, 8, UINT32_MAX, "range"},
        {1, 4, UINT32_MAX - 1, "ranges of hashes"},
        {1, 12, 1, "impossible"},
        {1, 16, (uint64_t)1 << 63, "impossible"},
        {1, 24, 1, "sizes"},
        {1, 32, (uint64_t)1 << 40, "impossible"},
    };
    struct manifest_blob blobs[3] = {{{BLOB_STATE, 1, 1, 1, 1000, 500, 7}, 1, 5, 0, 10, 19},
                                     {{BLOB_STATE, 1, 1, 1, 1000, 500, 8}, 1, 5, 564, 20, 29},
                                     {{BLOB_STATE, 1, 1, 1, 1000, 500, 9}, 1, 6, 0, 30, 39}};
    const struct manifest_blob place = {{BLOB_LIST, 1, 1, 1, 144, 90, 7}, 1, 6, 564, 10, 39};
    const struct manifest_segment segment = {place, 0, 3, 5, 3000, 1500};
    struct weir_error error;
    unsigned char raw[3 * LIST_ENTRY_SIZE];
    struct manifest_blob read[3];
    list_write(&segment, blobs, raw);
    cr_assert_eq(list_read(&segment, (struct weir_bytes){raw, sizeof raw}, read, &error), WEIR_OK,
                 "%s", error.text);
    for (int i = 0; i < 3; i++)
        cr_assert(read[i].blob.checksum == blobs[i].blob.checksum &&
                  read[i].file_number == blobs[i].file_number && read[i].last == blobs[i].last);
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        unsigned char *at = raw + lies[i].entry * LIST_ENTRY_SIZE + lies[i].at;
        list_write(&segment, blobs, raw);
        if (lies[i].at < 16)
            little_put_u32(at, little_u32(at) + (uint32_t)lies[i].add);
        else
            little_put_u64(at, little_u64(at) + lies[i].add);
        cr_assert_eq(list_read(&segment, (struct weir_bytes){raw, sizeof raw}, read, &error),
                     WEIR_DAMAGED, "%zu", i);
        cr_assert_not_null(strstr(error.text, lies[i].says), "%zu: %s", i, error.text);
    }
    list_write(&segment, blobs, raw);
    cr_assert_eq(list_read(&segment, (struct weir_bytes){raw, sizeof raw - 1}, read, &error),
                 WEIR_DAMAGED);
}

/* --- waste ------------------------------------------------------------------------------------ */

/* A log as the writer keeps it: segments that die when they like, each held where it was written
 * last. */
#define ALIVE 40

struct piece {
    struct segment *segment; /* NULL: there is none */
    struct manifest_segment place;
    bool held, lasting;
};

struct waste {
    struct store *store;
    struct piece pieces[ALIVE];
    uint64_t dice, written, again; /* bytes for the first time, and once more */
};

static void piece_dies(struct waste *waste, struct piece *piece)
{
    if (piece->held)
        store_let_go(waste->store, &piece->place);
    segment_release(piece->segment);
    *piece = (struct piece){.segment = NULL};
}

/* Few last; those are what keeps the containers of all others. */
static void pieces_change(struct waste *waste)
{
    for (unsigned i = 0; i < ALIVE; i++) {
        struct piece *piece = &waste->pieces[i];
        if (piece->segment && explore_below(&waste->dice, piece->lasting ? 400 : 3) == 0)
            piece_dies(waste, piece);
        if (piece->segment || explore_below(&waste->dice, 2))
            continue;
        uint64_t bytes = 1024 * (1 + (uint64_t)explore_below(&waste->dice, 40));
        piece->segment = large_segment(bytes, true);
        piece->lasting = explore_below(&waste->dice, 8) == 0;
    }
}

/* Writes round `id` with all of them: what is new, and what is to be written again (I8). */
static void write_pieces(struct waste *waste, uint64_t id, struct manifest *manifest,
                         struct manifest_segment places[ALIVE])
{
    struct weir_error error;
    claim(waste->store, id);
    sample_parts(waste->store, id, manifest);
    for (unsigned i = 0; i < ALIVE; i++) {
        struct piece *piece = &waste->pieces[i];
        if (!piece->segment)
            continue;
        places[i] = piece->place;
        if (!piece->held || store_is_wasteful(waste->store, &piece->place)) {
            cr_assert_eq(store_segment(waste->store, id, 1, 0, piece->segment, &places[i], &error),
                         WEIR_OK, "%s", error.text);
            *(piece->held ? &waste->again : &waste->written) += manifest_segment_bytes(&places[i]);
        }
        sample_add_segment(&manifest->tasks[1], &places[i]);
    }
    sync_round(waste->store, id);
}

static void know_pieces(struct waste *waste, const struct manifest_segment places[ALIVE])
{
    struct weir_error error;
    for (unsigned i = 0; i < ALIVE; i++) {
        struct piece *piece = &waste->pieces[i];
        if (!piece->segment ||
            (piece->held && memcmp(&piece->place, &places[i], sizeof places[i]) == 0))
            continue;
        cr_assert_eq(store_hold(waste->store, &places[i], &error), WEIR_OK, "%s", error.text);
        if (piece->held)
            store_let_go(waste->store, &piece->place);
        piece->place = places[i];
        piece->held = true;
    }
}

/* Bytes of all containers. */
static uint64_t stored_bytes(void)
{
    char name[300];
    uint64_t bytes = 0;
    snprintf(name, sizeof name, "%s/data", path);
    DIR *folder = opendir(name);
    cr_assert_not_null(folder);
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        struct stat status;
        cr_assert_eq(fstatat(dirfd(folder), entry->d_name, &status, 0), 0);
        bytes += S_ISREG(status.st_mode) ? (uint64_t)status.st_size : 0;
    }
    closedir(folder);
    return bytes;
}

/* I8, whatever is written, dies, and is given up. */
Test(store, what_the_newest_names_is_at_most_a_third_larger_than_what_lives_but_for_a_round)
{
    struct waste waste = {.dice = explore_seed()};
    struct manifest_segment places[ALIVE];
    struct weir_error error;
    memset(places, 0, sizeof places);
    waste.store = sample_store(path);
    uint64_t rounds = 300 / explore_share() + 60, aborts = 0;
    for (uint64_t id = 1; id <= rounds; id++) {
        struct manifest manifest;
        uint64_t live = 0;
        pieces_change(&waste);
        uint64_t before = stored_bytes();
        write_pieces(&waste, id, &manifest, places);
        uint64_t round = stored_bytes() - before;
        know_pieces(&waste, places);
        if (explore_below(&waste.dice, 6) == 0) {
            store_abort(waste.store, id);
            aborts++;
        } else {
            cr_assert_eq(store_commit(waste.store, &manifest, &error), WEIR_OK, "%s", error.text);
            store_retain(waste.store, 1, 0);
            for (unsigned i = 0; i < ALIVE; i++)
                live +=
                    waste.pieces[i].segment ? manifest_segment_bytes(&waste.pieces[i].place) : 0;
            uint64_t stored = stored_bytes();
            cr_assert_leq(stored, live + live / 3 + STORE_WASTE_FROM + round,
                          "round %d: %d bytes for %d that live, %d of them this round's", (int)id,
                          (int)stored, (int)live, (int)round);
        }
        manifest_free(&manifest);
    }
    cr_expect_gt(aborts, rounds / 20);
    cr_expect_gt(waste.again, STORE_WASTE_FROM, "waste came up");
    cr_expect_leq(waste.again, 3 * waste.written, "%d bytes again, %d for the first time",
                  (int)waste.again, (int)waste.written);
    for (unsigned i = 0; i < ALIVE; i++)
        piece_dies(&waste, &waste.pieces[i]);
    store_close(&waste.store);
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
        let_go(store, manifest->tasks[1].state[k].place.file_number);
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
        result = store_save_copy(store, id + 1, saved, error);
    if (result != WEIR_OK)
        cr_assert_not(scratch_exists(saved), "what failed is taken back");
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
    sample_options(&options, path);
    options.allocator = allocator;
    snprintf(saved, sizeof saved, "%s.saved", path);
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
        snprintf(path, sizeof path, "%s/store%d", scratch.path, allocations);
        allocations_left = allocations++;
    } while (!live(&allocator));
    exercised((uint64_t)allocations);
    cr_assert_gt(allocations, 40);
}
