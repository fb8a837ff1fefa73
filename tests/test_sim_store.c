/* links: sim */
/* SPDX-License-Identifier: Apache-2.0
 *
 * A store on the simulated disk: two rounds written at once, what was in flight included, and a
 * savepoint; killed, cut from power, or refused a file call, at every place there is. What must
 * hold at the next start:
 *
 *   S1  a checkpoint that was told of, or a later one, is there; all that are there can be read.
 *   S2  ids and epochs rise.
 *   S3  a savepoint that was told of is there and can be read; another is whole or has no manifest.
 *   S4  no run takes what there is of a savepoint for its store.
 *   S5  one trouble costs one round at most, unless its outcome is unknown.
 *
 * And the bugs planted in this folder's files are seen by one of these, or by what is beside them.
 */
#include "checkpoint_sample.h"

#include <errno.h>

#include "disk.h"
#include "explore.h"
#include "files.h"
#include "lock.h"
#include "name.h"
#include "plant.h"
#include "sim.h"

#define STORE "/store"
#define SAVED "/saved"

/* What the outside has been told, over all lives of one store. */
struct told {
    uint64_t claimed, committed;
    uint32_t epoch;
    uint64_t saved;   /* checkpoint of the savepoint; 0: none was told of */
    unsigned lost;    /* rounds, in this life */
    bool unknown;     /* in this life an outcome was */
    char breach[900]; /* the first; "": all is well */
};

static void breach(struct told *told, const char *what, const struct weir_error *error)
{
    if (told->breach[0] == 0)
        snprintf(told->breach, sizeof told->breach, "%s (%s)", what, error ? error->text : "");
}

/* ---- one life ---- */

struct round {
    uint64_t id;
    struct manifest manifest;
    bool going;
};

/* The result of a step of a round: its trouble is an abort. */
static bool went(struct store *store, struct round *round, struct told *told,
                 enum weir_result result)
{
    if (result == WEIR_OK)
        return true;
    store_abort(store, round->id);
    round->going = false;
    told->lost++;
    told->unknown |= result == WEIR_UNKNOWN;
    return false;
}

static void begin_round(struct store *store, struct round *round, struct told *told)
{
    struct weir_error error;
    *round = (struct round){.id = store_next_id(store), .going = true};
    if (round->id <= told->claimed)
        breach(told, "S2: an id comes again", NULL);
    if (went(store, round, told, store_claim(store, round->id, &error)))
        told->claimed = round->id;
}

static void write_round(struct store *store, struct round *round, struct told *told)
{
    struct weir_error error;
    char raw[64];
    if (!round->going)
        return;
    sample_manifest(&round->manifest, store_epoch(store), round->id);
    for (uint32_t i = 0; i < 3 && round->going; i++) {
        struct manifest_task *task = &round->manifest.tasks[i];
        size_t size = sample_part(raw, round->id, i);
        went(store, round, told,
             store_part(store, round->id, BLOB_SNAPSHOT, i, (struct weir_bytes){raw, size},
                        &task->part, &error));
        for (uint32_t k = 0; k < task->inflight_count && round->going; k++) {
            size = sample_piece(raw, round->id, i, k);
            went(store, round, told,
                 store_part(store, round->id, BLOB_INFLIGHT, i, (struct weir_bytes){raw, size},
                            &task->inflight[k], &error));
        }
    }
}

static void sync_round(struct store *store, struct round *round, struct told *told)
{
    struct weir_error error;
    if (round->going)
        went(store, round, told, store_sync(store, round->id, &error));
}

static void commit_round(struct store *store, struct round *round, struct told *told)
{
    struct weir_error error;
    enum weir_result result = WEIR_IO;
    if (round->going)
        result = store_commit(store, &round->manifest, &error);
    if (result == WEIR_OK)
        told->committed = round->id;
    else if (round->going)
        went(store, round, told, result);
    store_retain(store, 1, 0);
    manifest_free(&round->manifest);
}

static void save(struct store *store, struct told *told)
{
    struct weir_error error;
    if (told->committed == 0)
        return;
    bool before = files_find(files_root(), &SAVED[1]) != NULL;
    enum weir_result result = store_save_copy(store, told->committed, SAVED, &error);
    if (result == WEIR_OK)
        told->saved = told->committed;
    else if (result == WEIR_REFUSED && !before)
        breach(told, "a path where nothing is was refused", &error);
}

static bool recover(struct store *store, struct told *told)
{
    struct weir_error error;
    struct manifest manifest;
    enum weir_result result = store_recover(store, 0, &manifest, &error);
    if (result == WEIR_NOT_FOUND && told->committed > 0)
        breach(told, "S1: a checkpoint is gone", &error);
    if (result == WEIR_DAMAGED)
        breach(told, "S1: a checkpoint is damaged", &error);
    if (result != WEIR_OK)
        return result == WEIR_NOT_FOUND;
    if (manifest.id < told->committed)
        breach(told, "S1: a checkpoint that was told of is gone", NULL);
    told->committed = manifest.id;
    manifest_free(&manifest);
    return true;
}

static void live(struct told *told, bool saving)
{
    struct store_options options;
    struct weir_error error;
    struct store *store;
    struct round rounds[2];
    told->lost = 0;
    told->unknown = false;
    sample_options(&options, STORE);
    if (store_open(&options, &store, &error) != WEIR_OK)
        return;
    if (store_epoch(store) <= told->epoch)
        breach(told, "S2: an epoch comes again", NULL);
    told->epoch = store_epoch(store);
    if (recover(store, told) && store_sweep(store, &error) == WEIR_OK) {
        begin_round(store, &rounds[0], told);
        begin_round(store, &rounds[1], told);
        write_round(store, &rounds[1], told);
        write_round(store, &rounds[0], told);
        sync_round(store, &rounds[1], told);
        sync_round(store, &rounds[0], told);
        commit_round(store, &rounds[0], told);
        commit_round(store, &rounds[1], told);
        if (saving)
            save(store, told);
    }
    store_close(&store);
}

/* ---- what must hold ---- */

static void check_all(struct told *told, const char *path, uint64_t at_least)
{
    struct weir_error error = {0};
    struct store *view;
    struct manifest manifest;
    uint64_t *ids = NULL;
    size_t count = 0;
    if (store_view(path, NULL, &view, &error) != WEIR_OK) {
        if (at_least > 0)
            breach(told, "S1, S3: it can't be opened any more", &error);
        return;
    }
    cr_assert_eq(store_list(view, &ids, &count, &error), WEIR_OK, "%s", error.text);
    if ((count == 0 ? 0 : ids[count - 1]) < at_least)
        breach(told, "S1, S3: what was told of is gone", NULL);
    for (size_t i = 0; i < count; i++) {
        if (store_verify(view, ids[i], &error) != WEIR_OK) {
            breach(told, "S1, S3: damaged", &error);
        } else if (store_manifest(view, ids[i], &manifest, &error) == WEIR_OK) {
            sample_expect(view, &manifest);
            manifest_free(&manifest);
        }
    }
    memory_release(NULL, ids);
    store_close(&view);
}

static int count_name(void *context, const char *name, enum disk_kind kind)
{
    (void)name;
    (void)kind;
    ++*(int *)context;
    return 0;
}

static void check_guard(struct told *told)
{
    struct store_options options;
    struct weir_error error;
    struct store *store;
    int count = 0;
    int folder = disk_open(DISK_CWD, SAVED, DISK_DIRECTORY);
    if (folder < 0)
        return;
    disk_list(folder, count_name, &count);
    disk_close(folder);
    sample_options(&options, SAVED);
    enum weir_result result = count == 0 ? WEIR_REFUSED : store_open(&options, &store, &error);
    if (result == WEIR_OK)
        store_close(&store);
    if (result != WEIR_REFUSED)
        breach(told, "S4: a run was let into a savepoint", NULL);
}

static void check(struct told *told)
{
    check_all(told, STORE, told->committed);
    check_all(told, SAVED, told->saved);
    check_guard(told);
}

/* A sync of a folder or of LOCK has failed: it lies from then on, and no program can help it. */
static bool disk_lies(const struct file_node *folder)
{
    bool lies = folder->lying;
    for (size_t i = 0; i < folder->names.count && !lies; i++) {
        const struct file_entry *entry = &folder->names.list[i];
        lies = entry->node->folder ? disk_lies(entry->node)
                                   : entry->node->lying && strcmp(entry->name, NAME_LOCK) == 0;
    }
    return lies;
}

/* ---- troubles ---- */

enum trouble { KILL, POWER, FAIL, FAIL_POWER };

/* A life without trouble, one with trouble at file call k, and one without again. False: the call
 * was not reached. */
static bool three_lives(enum trouble trouble, uint64_t k, int os_error, uint64_t seed,
                        struct told *told)
{
    *told = (struct told){0};
    sim_disk_wipe();
    sim_start(seed);
    live(told, false);
    cr_assert(told->committed == 2 && told->lost == 0, "%s", told->breach);
    cr_assert_eq(sim_end(), 0);

    sim_start(seed + 1);
    sim_disk_short(seed % 3 == 0 ? 4 : 0);
    if (trouble == KILL || trouble == POWER)
        sim_disk_kill(k);
    else
        sim_disk_fail(k, os_error);
    live(told, true);
    bool reached = sim_disk_calls() >= k;
    bool lies = disk_lies(files_root());
    if (trouble == FAIL && told->lost > 1 && !told->unknown)
        breach(told, "S5: two rounds were lost", NULL);
    cr_assert_eq(sim_end(), 0);

    if (trouble == POWER || trouble == FAIL_POWER)
        sim_disk_crash(seed + k);
    else
        sim_disk_release();
    sim_start(seed + 2);
    if (!lies) {
        check(told);
        live(told, true);
        if (told->lost > 0 || told->committed == 0)
            breach(told, "a life without trouble lost a round", NULL);
        check(told);
    }
    cr_assert_eq(sim_end(), 0);
    return reached;
}

/* Until the call is one too many; how many there were. */
static uint64_t at_every_call(enum trouble trouble, int os_error, uint64_t seed, uint32_t share,
                              struct told *told)
{
    uint64_t k = 1;
    while (three_lives(trouble, k, os_error, seed, told) && told->breach[0] == 0)
        k += share;
    return k - 1;
}

static void hold_at_every_call(enum trouble trouble, int os_error, uint64_t seeds)
{
    struct told told;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        uint64_t calls = at_every_call(trouble, os_error, 1000 * seed, explore_share(), &told);
        cr_assert_eq(told.breach[0], 0, "seed %d, call %d: %s", (int)(1000 * seed), (int)calls + 1,
                     told.breach);
        cr_assert_gt(calls, 100);
    }
}

TestSuite(sim_store, .timeout = 300);

Test(sim_store, killed_at_every_file_call)
{
    hold_at_every_call(KILL, 0, 2);
}

Test(sim_store, cut_from_power_at_every_file_call)
{
    hold_at_every_call(POWER, 0, 8);
}

Test(sim_store, every_file_call_fails_once)
{
    hold_at_every_call(FAIL, EIO, 2);
    hold_at_every_call(FAIL, ENOSPC, 1);
}

Test(sim_store, every_file_call_fails_once_and_then_the_power)
{
    hold_at_every_call(FAIL_POWER, EIO, 4);
}

static struct store *begin(uint64_t checkpoints)
{
    struct store *store = sample_store(STORE);
    for (uint64_t id = 1; id <= checkpoints; id++)
        sample_commit(store, id);
    return store;
}

/* ---- ids, when claims fail and sweeps die (I3) ---- */

static bool has_folder(const char *id)
{
    const struct file_node *folder = files_find(files_find(files_root(), "store"), "checkpoints");
    return files_find(folder, id) != NULL;
}

Test(sim_store, a_claim_that_failed_does_not_take_the_place_of_one_that_did_not)
{
    struct weir_error error;
    sim_disk_wipe();
    sim_start(1);
    struct store *store = sample_store(STORE);
    cr_assert_eq(store_claim(store, 1, &error), WEIR_OK);
    store_abort(store, 1);
    sim_disk_fail_of("sync folder", 1, EIO, 0);
    cr_assert_eq(store_claim(store, 2, &error), WEIR_IO);
    cr_assert_eq(store_next_id(store), 3);
    store_abort(store, 2);
    cr_assert(has_folder("00000000000000000001"), "the highest that is there for sure");
    cr_assert_not(has_folder("00000000000000000002"));
    cr_assert_eq(store_claim(store, 3, &error), WEIR_OK);
    store_abort(store, 3);
    cr_assert(has_folder("00000000000000000003") && !has_folder("00000000000000000001"));
    store_close(&store);
    cr_assert_eq(sim_end(), 0);
}

/* Claims 1, and dies when 2 is claimed but not yet for sure. */
static void die_in_the_second_claim(void)
{
    struct weir_error error;
    struct store *store = sample_store(STORE);
    cr_assert_eq(store_claim(store, 1, &error), WEIR_OK);
    sim_disk_kill(2);
    cr_assert_eq(store_claim(store, 2, &error), WEIR_IO);
    store_close(&store);
    sim_disk_release();
}

Test(sim_store, no_id_comes_again_though_a_sweep_dies)
{
    struct weir_error error;
    for (uint64_t seed = 1; seed <= 600; seed++) {
        sim_disk_wipe();
        sim_start(seed);
        die_in_the_second_claim();
        struct store *store = sample_store(STORE);
        sim_disk_kill(1 + seed % 20);
        if (store_sweep(store, &error) == WEIR_OK)
            cr_assert_gt(seed % 20, 5, "it has more calls");
        store_close(&store);
        sim_disk_crash(seed);
        store = sample_store(STORE);
        cr_assert_gt(store_next_id(store), 1, "seed %d", (int)seed);
        store_close(&store);
        cr_assert_eq(sim_end(), 0);
    }
}

/* A disk that is full after any number of bytes: what failed is taken back, and there is room. */
Test(sim_store, a_savepoint_that_finds_no_room_gives_back_what_it_took)
{
    unsigned failed = 0;
    for (uint64_t room = 0; room < 12000; room += 97) {
        struct told told = {0};
        struct weir_error error;
        struct store *view;
        sim_disk_wipe();
        sim_start(room);
        live(&told, false);
        cr_assert_eq(store_view(STORE, NULL, &view, &error), WEIR_OK);
        uint64_t used = files_size();
        sim_disk_space(used + room);
        enum weir_result result = store_save_copy(view, told.committed, SAVED, &error);
        if (result != WEIR_OK) {
            failed++;
            cr_assert_eq(error.os_error, ENOSPC, "%s", error.text);
            cr_assert_eq(files_size(), used);
            cr_assert_null(files_find(files_root(), &SAVED[1]));
        }
        sim_disk_space(0);
        store_close(&view);
        check(&told);
        cr_assert_eq(told.breach[0], 0, "%s", told.breach);
        cr_assert_eq(sim_end(), 0);
    }
    cr_assert(failed > 10 && failed < 120, "%u", failed);
}

static void move_away(void *context, uint64_t call, const char *name, const char *path)
{
    (void)call;
    bool *moved = context;
    if (*moved || strcmp(name, "open") != 0 || strcmp(path, NAME_MANIFEST_NEW) != 0)
        return;
    files_rename(files_root(), &SAVED[1], files_root(), "elsewhere");
    *moved = true;
}

/* V2: what is in it is left as it is, and the store's own run goes on. */
Test(sim_store, a_savepoint_that_is_moved_while_it_is_written_is_not_believed)
{
    struct told told = {0};
    struct weir_error error;
    bool moved = false;
    sim_disk_wipe();
    sim_start(1);
    struct store *store = begin(1);
    sim_disk_hook(move_away, &moved);
    cr_assert_eq(store_save_copy(store, 1, SAVED, &error), WEIR_IO);
    sim_disk_hook(NULL, NULL);
    cr_assert_not_null(strstr(error.text, "moved or changed while a savepoint was written"), "%s",
                       error.text);
    cr_assert(moved && files_find(files_find(files_root(), "elsewhere"), NAME_SAVEPOINT) != NULL);
    sample_commit(store, 2);
    store_close(&store);
    check_all(&told, STORE, 2);
    cr_assert_eq(told.breach[0], 0, "%s", told.breach);
    cr_assert_eq(sim_end(), 0);
}

/* A view may lie where nothing can be written: nothing waits to be written there. */
Test(sim_store, a_savepoint_is_read_where_no_sync_is_possible)
{
    const int refusals[] = {EROFS, EINVAL, EIO};
    for (int i = 0; i < 3; i++) {
        struct told told = {0};
        struct weir_error error;
        struct manifest manifest;
        struct store *view;
        unsigned failures = 0;
        sim_disk_wipe();
        sim_start(1);
        live(&told, true);
        cr_assert_eq(store_view(SAVED, NULL, &view, &error), WEIR_OK);
        for (uint64_t k = 1; k < 40; k++) {
            sim_disk_fail(k, refusals[i]);
            enum weir_result result = store_recover(view, 0, &manifest, &error);
            failures += result != WEIR_OK && strstr(error.text, "before using it") != NULL;
            if (result == WEIR_OK)
                manifest_free(&manifest);
        }
        /* One call opens a folder, three sync. */
        cr_assert_eq(failures, refusals[i] == EIO ? 4 : 1, "%u of errno %d", failures, refusals[i]);
        store_close(&view);
        cr_assert_eq(sim_end(), 0);
    }
}

/* ---- planted bugs: each of these says what is wrong, and NULL when nothing is ---- */

/* Bytes of a file, changed in place. */
static void poke(const char *path, uint64_t at, const void *bytes, size_t size)
{
    int file = disk_open(DISK_CWD, path, DISK_UPDATE);
    for (size_t put = 0; put < size;) {
        int64_t count = disk_write(file, (const char *)bytes + put, size - put, at + put);
        cr_assert_gt(count, 0);
        put += (size_t)count;
    }
    disk_close(file);
}

static void peek(const char *path, uint64_t at, void *bytes, size_t size)
{
    int file = disk_open(DISK_CWD, path, DISK_READ);
    cr_assert_eq(disk_read(file, bytes, size, at), (int64_t)size);
    disk_close(file);
}

#define FIRST_SEGMENT STORE "/data/0000000001-00000000000000000001.seg"

static const char *retention_beside_an_open_round(void)
{
    struct told told = {0};
    for (int lives = 0; lives < 2; lives++) /* the second has an older checkpoint to remove */
        live(&told, false);
    check_all(&told, STORE, told.committed);
    return told.breach[0] == 0 ? NULL : "a container of an open round is gone";
}

/* Another run has come, and this one does not know. */
static const char *commit_after_another_run(void)
{
    struct store *store = begin(1);
    struct manifest manifest;
    struct weir_error error;
    unsigned char record[LOCK_RECORD_SIZE];
    struct lock_record other = {.epoch = store_epoch(store) + 1, .key_groups = 128};
    cr_assert_eq(store_claim(store, 2, &error), WEIR_OK);
    sample_parts(store, 2, &manifest);
    cr_assert_eq(store_sync(store, 2, &error), WEIR_OK);
    memcpy(other.store_id, store_id(store), STORE_ID_SIZE);
    lock_encode(&other, record);
    poke(STORE "/LOCK", 0, record, sizeof record);
    cr_assert_eq(store_commit(store, &manifest, &error), WEIR_REFUSED, "it must not say so");
    uint64_t *ids;
    size_t count;
    cr_assert_eq(store_list(store, &ids, &count, &error), WEIR_OK);
    memory_release(NULL, ids);
    manifest_free(&manifest);
    store_close(&store);
    return count == 1 ? NULL : "a run that was replaced has committed";
}

static const char *epochs_of_two_starts(void)
{
    uint32_t epochs[2];
    for (int i = 0; i < 2; i++) {
        struct store *store = begin(0);
        epochs[i] = store_epoch(store);
        store_close(&store);
    }
    return epochs[1] > epochs[0] ? NULL : "two runs have one epoch";
}

static const char *sync_that_failed_once(void)
{
    struct told told = {0};
    for (uint64_t seed = 1; seed <= 2; seed++) {
        at_every_call(FAIL_POWER, EIO, 1000 * seed, 1, &told);
        if (told.breach[0] != 0)
            return "a container that was not synced was believed";
    }
    return NULL;
}

static const char *every_byte_of_a_container(void)
{
    struct store *store = begin(1);
    const char *wrong = NULL;
    uint64_t size = files_find(files_find(files_find(files_root(), "store"), "data"),
                               "0000000001-00000000000000000001.seg")
                        ->cached.size;
    for (uint64_t i = 0; i < size && wrong == NULL; i++) {
        unsigned char byte;
        peek(FIRST_SEGMENT, i, &byte, 1);
        byte ^= 1;
        poke(FIRST_SEGMENT, i, &byte, 1);
        if (store_verify(store, 1, NULL) == WEIR_OK)
            wrong = "a changed byte went unseen";
        byte ^= 1;
        poke(FIRST_SEGMENT, i, &byte, 1);
    }
    store_close(&store);
    return wrong;
}

static const char *blobs_of_two_tasks_swapped(void)
{
    struct store *store = begin(1);
    struct manifest manifest;
    unsigned char one[512], two[512];
    cr_assert_eq(store_manifest(store, 1, &manifest, NULL), WEIR_OK);
    const struct manifest_blob *a = &manifest.tasks[1].part, *b = &manifest.tasks[2].part;
    size_t size = BLOB_HEADER_SIZE + (size_t)a->blob.stored_size;
    cr_assert(a->blob.stored_size == b->blob.stored_size && size <= sizeof one);
    peek(FIRST_SEGMENT, a->offset, one, size);
    peek(FIRST_SEGMENT, b->offset, two, size);
    poke(FIRST_SEGMENT, a->offset, two, size);
    poke(FIRST_SEGMENT, b->offset, one, size);
    enum weir_result result = store_verify(store, 1, NULL);
    manifest_free(&manifest);
    store_close(&store);
    return result == WEIR_DAMAGED ? NULL : "another task's blob was accepted";
}

static const char *newest_manifest_damaged(void)
{
    struct store *store = begin(2);
    struct manifest manifest;
    poke(STORE "/checkpoints/00000000000000000002/MANIFEST.json", 20, "x", 1);
    enum weir_result result = store_recover(store, 0, &manifest, NULL);
    if (result == WEIR_OK)
        manifest_free(&manifest);
    store_close(&store);
    return result == WEIR_DAMAGED ? NULL : "an older checkpoint was taken silently";
}

static const struct {
    const char *name;
    const char *(*look)(void);
} plants[] = {
    {"gc_takes_open_round", retention_beside_an_open_round},
    {"check_before_commit_skipped", commit_after_another_run},
    {"epoch_in_memory_only", epochs_of_two_starts},
    {"sync_tried_again", sync_that_failed_once},
    {"checksum_unchecked", every_byte_of_a_container},
    {"parts_swapped", blobs_of_two_tasks_swapped},
    {"falls_back", newest_manifest_damaged},
};

static const char *look(size_t plant, bool awake)
{
    sim_disk_wipe();
    sim_start(1);
    sim_planted = awake ? plants[plant].name : NULL;
    const char *wrong = plants[plant].look();
    sim_planted = NULL;
    cr_assert_eq(sim_end(), 0);
    return wrong;
}

Test(sim_store, planted_bugs_are_seen)
{
    for (size_t i = 0; i < sizeof plants / sizeof plants[0]; i++) {
        cr_assert_null(look(i, false), "%s: without it too", plants[i].name);
        cr_assert_not_null(look(i, true), "%s was not seen", plants[i].name);
    }
}
