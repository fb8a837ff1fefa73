/* links: sim */
/* SPDX-License-Identifier: Apache-2.0
 *
 * A store on the simulated disk: two rounds written at once, what was in flight included, that
 * share state with each other and with older ones, and a savepoint; killed, cut from power, or
 * refused a file call, at every place there is. What must hold at the next start:
 *
 *   S1  a checkpoint that was told of, or a later one, is there; all that are there can be read.
 *   S2  ids and epochs rise.
 *   S3  a savepoint that was told of is there and can be read; another is whole or has no manifest.
 *   S4  no run takes what there is of a savepoint for its store.
 *   S5  one trouble costs one round at most, unless its outcome is unknown.
 *   S6  what a log holds can be read and named, whatever became of the round that wrote it.
 *   S7  a life without trouble leaves no container that no checkpoint names.
 *   S8  what is removed without a run, between two lives, is what was to go: the newest stays, and
 *       what it names.
 *
 * And the bugs planted in this folder's files are seen by one of these, or by what is beside them.
 */
#include "checkpoint_sample.h"

#include <errno.h>

#include "disk.h"
#include "exercised.h"
#include "explore.h"
#include "files.h"
#include "lock.h"
#include "name.h"
#include "plant.h"
#include "sim.h"
#include "store_clean.h"

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

/* The logs of the tasks' states: what is held of them, in the order of writing. */
#define LOG_MOST 16 /* of a task: what a checkpoint of two rounds has, and two rounds more */
struct logs {
    struct manifest_segment segments[3][LOG_MOST];
    uint32_t count[3];
};

/* Makes it part of a log. It is of a round that was synced or of a checkpoint: only a look at the
 * checkpoints may fail. */
static bool hold(struct store *store, struct logs *logs, uint32_t task,
                 const struct manifest_segment *segment, struct told *told)
{
    struct weir_error error;
    enum weir_result result = store_hold(store, segment, &error);
    if (result == WEIR_INVALID)
        breach(told, "S6: sound state can't be held", &error);
    if (result == WEIR_OK) {
        cr_assert_lt(logs->count[task], LOG_MOST);
        logs->segments[task][logs->count[task]++] = *segment;
    }
    return result == WEIR_OK;
}

/* What is of rounds before `id` was written anew, as it were: it leaves the logs. */
static void compact(struct store *store, struct logs *logs, uint64_t id)
{
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t kept = 0;
        for (uint32_t k = 0; k < logs->count[i]; k++) {
            const struct manifest_segment segment = logs->segments[i][k];
            if (segment.place.blob.id >= id)
                logs->segments[i][kept++] = segment;
            else
                store_let_go(store, &segment);
        }
        logs->count[i] = kept;
    }
}

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

static void write_segments(struct store *store, struct round *round, uint32_t task,
                           struct told *told)
{
    struct weir_error error;
    struct manifest_blob place;
    char raw[64];
    for (uint32_t k = 0; k < sample_segments(task) && round->going; k++) {
        size_t size = sample_segment(raw, round->id, task, k);
        if (went(store, round, told,
                 store_part(store, round->id, BLOB_STATE, task, (struct weir_bytes){raw, size},
                            &place, &error)))
            sample_add_state(&round->manifest.tasks[task], &place);
    }
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
        write_segments(store, round, i, told);
    }
}

/* The round's own state becomes part of the logs, whatever becomes of the round. */
static void sync_round(struct store *store, struct round *round, struct logs *logs,
                       struct told *told)
{
    struct weir_error error;
    if (!round->going || !went(store, round, told, store_sync(store, round->id, &error)))
        return;
    for (uint32_t i = 0; i < 3; i++)
        for (uint32_t k = 0; k < round->manifest.tasks[i].state_count; k++)
            hold(store, logs, i, &round->manifest.tasks[i].state[k], told);
}

/* The state of a round is that of the logs from `since` on up to itself. */
static void list_state(struct round *round, const struct logs *logs, uint64_t since)
{
    for (uint32_t i = 0; i < 3; i++) {
        struct manifest_task *task = &round->manifest.tasks[i];
        memory_release(NULL, task->state);
        task->state = NULL;
        task->state_count = 0;
        for (uint32_t k = 0; k < logs->count[i]; k++) {
            const struct manifest_segment *segment = &logs->segments[i][k];
            uint64_t id = segment->place.blob.id;
            if (id >= since && id <= round->id)
                sample_add_segment(task, segment);
        }
    }
}

static void read_logs(struct store *store, const struct round *round, struct told *told)
{
    struct weir_error error;
    struct blob_buffer out = {0};
    for (uint32_t i = 0; i < 3; i++)
        for (uint32_t k = 0; k < round->manifest.tasks[i].state_count; k++)
            if (store_read_state(store, &round->manifest, i, k, &out, &error) == WEIR_DAMAGED)
                breach(told, "S6: held state can't be read", &error);
    blob_buffer_free(&out, NULL);
}

static void commit_round(struct store *store, struct round *round, const struct logs *logs,
                         uint64_t since, struct told *told)
{
    struct weir_error error;
    enum weir_result result = WEIR_IO;
    if (round->manifest.tasks != NULL)
        list_state(round, logs, since);
    if (round->going)
        result = store_commit(store, &round->manifest, &error);
    if (round->going && result == WEIR_INVALID)
        breach(told, "S6: what is held can't be named", &error);
    if (result == WEIR_OK)
        told->committed = round->id;
    else if (round->going)
        went(store, round, told, result);
    store_retain(store, 1, 0);
    if (round->manifest.tasks != NULL) {
        list_state(round, logs, 0);
        read_logs(store, round, told);
    }
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

/* The logs are those of the checkpoint that the run goes on from. */
static bool hold_all(struct store *store, const struct manifest *manifest, struct logs *logs,
                     struct told *told)
{
    bool held = true;
    for (uint32_t i = 0; i < manifest->task_count; i++)
        for (uint32_t k = 0; k < manifest->tasks[i].state_count && held; k++)
            held = hold(store, logs, i, &manifest->tasks[i].state[k], told);
    return held;
}

static bool recover(struct store *store, struct logs *logs, struct told *told)
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
    bool held = hold_all(store, &manifest, logs, told);
    manifest_free(&manifest);
    return held;
}

static void live(struct told *told, bool saving)
{
    struct store_options options;
    struct weir_error error;
    struct store *store;
    struct round rounds[2];
    struct logs logs = {.count = {0}};
    told->lost = 0;
    told->unknown = false;
    sample_options(&options, STORE);
    if (store_open(&options, &store, &error) != WEIR_OK)
        return;
    if (store_epoch(store) <= told->epoch)
        breach(told, "S2: an epoch comes again", NULL);
    told->epoch = store_epoch(store);
    if (recover(store, &logs, told) && store_sweep(store, &error) == WEIR_OK) {
        begin_round(store, &rounds[0], told);
        begin_round(store, &rounds[1], told);
        write_round(store, &rounds[1], told);
        write_round(store, &rounds[0], told);
        sync_round(store, &rounds[0], &logs, told);
        sync_round(store, &rounds[1], &logs, told);
        commit_round(store, &rounds[0], &logs, 0, told);
        commit_round(store, &rounds[1], &logs, rounds[0].id, told);
        compact(store, &logs, rounds[0].id);
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

/* S7 */
static void check_leftovers(struct told *told)
{
    const struct file_node *data = files_find(files_find(files_root(), "store"), NAME_DATA);
    struct store *view;
    struct manifest manifest;
    uint64_t named[8] = {0}; /* numbers of containers: few, and none is 0 */
    size_t count = 0;
    cr_assert_eq(store_view(STORE, NULL, &view, NULL), WEIR_OK);
    cr_assert_eq(store_manifest(view, told->committed, &manifest, NULL), WEIR_OK);
    store_close(&view);
    for (uint32_t i = 0; i < 3; i++) {
        for (uint32_t k = 0; k <= manifest.tasks[i].state_count; k++) {
            const struct manifest_task *task = &manifest.tasks[i];
            const struct manifest_blob *place = k == 0 ? &task->part : &task->state[k - 1].place;
            size_t at = 0;
            while (at < count && named[at] != place->file_number)
                at++;
            cr_assert_eq(place->file_epoch, manifest.epoch, "its log is of this run");
            named[at] = place->file_number;
            count += at == count;
        }
    }
    manifest_free(&manifest);
    if (data->names.count != count)
        breach(told, "S7: a container is left over", NULL);
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
        if (told->committed > 0)
            check_leftovers(told);
    }
    cr_assert_eq(sim_end(), 0);
    return reached;
}

/* From call k on, until it is one too many; how many there were. */
static uint64_t at_calls(enum trouble trouble, int os_error, uint64_t seed, uint64_t k,
                         uint32_t share, struct told *told)
{
    while (three_lives(trouble, k, os_error, seed, told) && told->breach[0] == 0)
        k += share;
    return k - 1;
}

/* Where there are several seeds, each takes every other call, and so all of them are taken; in full
 * each takes all. */
static uint64_t hold_at_every_call(enum trouble trouble, int os_error, uint64_t seeds)
{
    struct told told;
    uint64_t all = 0;
    uint32_t turns = explore_full() || seeds == 1 ? 1 : 2;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        uint64_t calls = at_calls(trouble, os_error, 1000 * seed, 1 + seed % turns,
                                  turns * explore_share(), &told);
        cr_assert_eq(told.breach[0], 0, "seed %d, call %d: %s", (int)(1000 * seed), (int)calls + 1,
                     told.breach);
        cr_assert_gt(calls, 100);
        all += calls / (turns * explore_share());
    }
    return all;
}

/* ---- cleaned between two lives ---- */

struct found {
    unsigned kinds[STORE_LEFT + 1];
};

static void note_finding(void *context, const struct store_finding *finding)
{
    ((struct found *)context)->kinds[finding->kind]++;
}

/* All but the newest goes. False: not all of it could. */
static bool tidy(struct told *told, struct found *found)
{
    struct weir_error error;
    struct store *store;
    *found = (struct found){0};
    if (store_open_to_clean(STORE, NULL, &store, &error) != WEIR_OK)
        return false;
    if (store_epoch(store) <= told->epoch)
        breach(told, "S2: an epoch comes again", NULL);
    told->epoch = store_epoch(store);
    bool well = store_clean(store,
                            &(struct store_cleaning){
                                .keep = 1, .remove = true, .found = note_finding, .context = found},
                            &error) == WEIR_OK;
    store_close(&store);
    return well;
}

/* Two lives without trouble, a cleaning with it, and then without. */
static bool cleaned_lives(enum trouble trouble, uint64_t k, uint64_t seed, struct told *told)
{
    struct found found;
    *told = (struct told){0};
    sim_disk_wipe();
    sim_start(seed);
    live(told, false);
    live(told, false);
    cr_assert_eq(sim_end(), 0);

    sim_start(seed + 1);
    if (trouble == KILL || trouble == POWER)
        sim_disk_kill(k);
    else
        sim_disk_fail(k, EIO);
    (void)tidy(told, &found);
    bool reached = sim_disk_calls() >= k;
    bool lies = disk_lies(files_root());
    cr_assert_eq(sim_end(), 0);

    if (trouble == POWER || trouble == FAIL_POWER)
        sim_disk_crash(seed + k);
    else
        sim_disk_release();
    sim_start(seed + 2);
    if (!lies) {
        check_all(told, STORE, told->committed);
        if (!tidy(told, &found) || !tidy(told, &found) || found.kinds[STORE_EXCESS] > 0 ||
            found.kinds[STORE_UNNAMED] > 0 || found.kinds[STORE_PARTIAL] > 0 ||
            found.kinds[STORE_DAMAGED] > 0)
            breach(told, "S8: not all is well after a cleaning without trouble", NULL);
        check_all(told, STORE, told->committed);
        live(told, false);
        check_all(told, STORE, told->committed);
        check_leftovers(told);
    }
    cr_assert_eq(sim_end(), 0);
    return reached;
}

static void clean_at_every_call(enum trouble trouble, uint64_t seeds)
{
    struct told told;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        uint64_t k = 1;
        while (cleaned_lives(trouble, k, 1000 * seed, &told) && told.breach[0] == 0)
            k++;
        cr_assert_eq(told.breach[0], 0, "seed %d, call %d: %s", (int)(1000 * seed), (int)k,
                     told.breach);
        cr_assert_gt(k, 60);
    }
}

TestSuite(sim_store, .timeout = 300);

Test(sim_store, cleaned_and_killed_at_every_file_call)
{
    clean_at_every_call(KILL, 1);
}

Test(sim_store, cleaned_and_cut_from_power_at_every_file_call)
{
    clean_at_every_call(POWER, 8);
}

Test(sim_store, a_cleaning_whose_file_calls_fail)
{
    clean_at_every_call(FAIL, 1);
    clean_at_every_call(FAIL_POWER, 4);
}

Test(sim_store, killed_at_every_file_call)
{
    exercised(hold_at_every_call(KILL, 0, 2));
}

Test(sim_store, cut_from_power_at_every_file_call)
{
    exercised(hold_at_every_call(POWER, 0, 8));
}

Test(sim_store, every_file_call_fails_once)
{
    exercised(hold_at_every_call(FAIL, EIO, 2));
    exercised(hold_at_every_call(FAIL, ENOSPC, 1));
}

Test(sim_store, every_file_call_fails_once_and_then_the_power)
{
    exercised(hold_at_every_call(FAIL_POWER, EIO, 4));
}

static struct store *begin(uint64_t checkpoints)
{
    struct store *store = sample_store(STORE);
    for (uint64_t id = 1; id <= checkpoints; id++)
        sample_commit(store, id);
    return store;
}

/* ---- ids, when claims fail and sweeps die (I3) ---- */

static const struct file_node *checkpoint_folder(const char *id)
{
    return files_find(files_find(files_find(files_root(), "store"), NAME_CHECKPOINTS), id);
}

static bool has_folder(const char *id)
{
    return checkpoint_folder(id) != NULL;
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
    exercised(600);
}

/* ---- what may be held (I1, I6) ---- */

Test(sim_store, state_whose_sync_has_failed_is_never_held_nor_named)
{
    static const char *const calls[] = {"sync", "sync folder"};
    for (size_t i = 0; i < 2; i++) {
        const struct manifest_segment segment = sample_within(1, 2);
        struct manifest manifests[2];
        struct weir_error error;
        sim_disk_wipe();
        sim_start(i);
        struct store *store = begin(1);
        cr_assert_eq(store_claim(store, 2, &error), WEIR_OK);
        sample_parts(store, 2, &manifests[0]);
        sim_disk_fail_of(calls[i], 1, EIO, 0);
        cr_assert_eq(store_sync(store, 2, &error), WEIR_IO);
        cr_assert_eq(store_hold(store, &segment, &error), WEIR_INVALID, "%s", error.text);
        cr_assert_eq(store_sync(store, 2, &error), WEIR_IO, "it is not tried again");
        cr_assert_eq(store_hold(store, &segment, &error), WEIR_INVALID, "%s", error.text);
        store_abort(store, 2);
        cr_assert_eq(store_claim(store, 3, &error), WEIR_OK, "%s", error.text);
        sample_parts(store, 3, &manifests[1]);
        cr_assert_eq(store_sync(store, 3, &error), WEIR_OK, "%s", error.text);
        sample_share(&manifests[1], &manifests[0]);
        cr_assert_eq(store_commit(store, &manifests[1], &error), WEIR_INVALID);
        manifest_free(&manifests[0]);
        manifest_free(&manifests[1]);
        store_close(&store);
        cr_assert_eq(sim_end(), 0);
    }
}

static int64_t allocations_left;

static void *allocate(void *context, size_t size)
{
    (void)context;
    return --allocations_left == 0 ? NULL : malloc(size); /* one fails */
}

static void release(void *context, void *memory)
{
    (void)context;
    free(memory);
}

/* Checkpoint 1 is removed, but its folder's sync fails; 3 is committed, and an allocation fails on
 * the way. True: none did. */
static bool remove_in_doubt(int64_t failing)
{
    const struct weir_allocator allocator = {allocate, release, NULL};
    const struct manifest_segment segment = sample_within(1, 1);
    struct store_options options;
    struct manifest manifest;
    struct weir_error error;
    struct store *store;
    allocations_left = 0;
    sample_options(&options, STORE);
    options.allocator = &allocator;
    cr_assert_eq(store_open(&options, &store, &error), WEIR_OK, "%s", error.text);
    sample_commit(store, 1);
    cr_assert_eq(store_hold(store, &segment, &error), WEIR_OK, "%s", error.text);
    sample_commit(store, 2);
    sim_disk_fail_of("sync folder", 1, EIO, 0);
    store_retain(store, 1, 0);
    cr_assert_eq(store_manifest(store, 1, &manifest, &error), WEIR_NOT_FOUND);
    cr_assert_eq(store_claim(store, 3, &error), WEIR_OK, "%s", error.text);
    sample_parts(store, 3, &manifest);
    cr_assert_eq(store_sync(store, 3, &error), WEIR_OK, "%s", error.text);
    allocations_left = failing;
    enum weir_result result = store_commit(store, &manifest, &error);
    cr_assert(result == WEIR_OK || result == WEIR_NO_MEMORY, "%s", error.text);
    bool none = allocations_left > 0;
    allocations_left = 0;
    store_let_go(store, &segment);
    manifest_free(&manifest);
    store_close(&store);
    return none;
}

/* I2: after a power cut it may be there again, and names all that it did. */
Test(sim_store, what_a_checkpoint_names_stays_when_that_can_not_be_removed_for_good)
{
    bool none = false;
    unsigned back = 0;
    for (int64_t failing = 1; !none; failing++) {
        for (uint64_t seed = 1; seed <= 8; seed++) {
            struct told told = {0};
            sim_disk_wipe();
            sim_start(seed);
            none = remove_in_doubt(failing);
            sim_disk_crash(seed);
            back += files_find(checkpoint_folder("00000000000000000001"), NAME_MANIFEST) != NULL;
            check_all(&told, STORE, 2);
            cr_assert_eq(told.breach[0], 0, "allocation %d, seed %d: %s", (int)failing, (int)seed,
                         told.breach);
            cr_assert_eq(sim_end(), 0);
        }
    }
    cr_assert_gt(back, 0, "it never came back");
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
    exercised(failed);
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

static void take_over(void *context, uint64_t call, const char *name, const char *path)
{
    struct store **newer = context;
    (void)call, (void)path;
    if (*newer != NULL || strcmp(name, "rename_new") != 0)
        return;
    sim_disk_hook(NULL, NULL);
    *newer = sample_store(STORE);
}

/* It can't know what became of its manifest, and needs not: the newer one does. A run that were
 * told "unknown" would be started again, and take the store back. */
Test(sim_store, a_run_that_wakes_before_its_rename_is_told_to_stop)
{
    struct store *newer = NULL;
    struct manifest manifest;
    struct weir_error error;
    sim_disk_wipe();
    sim_start(1);
    sim_disk_unlock(true);
    struct store *store = begin(1);
    cr_assert_eq(store_claim(store, 2, &error), WEIR_OK);
    sample_parts(store, 2, &manifest);
    cr_assert_eq(store_sync(store, 2, &error), WEIR_OK);
    sim_disk_hook(take_over, &newer);
    cr_expect_eq(store_commit(store, &manifest, &error), WEIR_REFUSED, "%s", error.text);
    cr_assert_not_null(newer, "there was a rename");
    cr_expect_not_null(strstr(error.text, "this run must stop"), "%s", error.text);
    cr_expect_eq(store_claim(store, 3, &error), WEIR_REFUSED);
    sample_commit(newer, 3);
    manifest_free(&manifest);
    store_close(&store);
    store_close(&newer);
    sim_disk_unlock(false);
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

static const char *state_of_an_aborted_round(void)
{
    const struct manifest_segment segment = sample_within(1, 2);
    struct store *store = begin(1);
    struct manifest manifests[2];
    cr_assert_eq(store_claim(store, 2, NULL), WEIR_OK);
    sample_parts(store, 2, &manifests[0]);
    cr_assert_eq(store_sync(store, 2, NULL), WEIR_OK);
    cr_assert_eq(store_hold(store, &segment, NULL), WEIR_OK);
    store_abort(store, 2);
    cr_assert_eq(store_claim(store, 3, NULL), WEIR_OK);
    sample_parts(store, 3, &manifests[1]);
    sample_share(&manifests[1], &manifests[0]);
    cr_assert_eq(store_sync(store, 3, NULL), WEIR_OK);
    cr_assert_eq(store_commit(store, &manifests[1], NULL), WEIR_OK);
    enum weir_result result = store_verify(store, 3, NULL);
    manifest_free(&manifests[0]);
    manifest_free(&manifests[1]);
    store_close(&store);
    return result == WEIR_OK ? NULL : "state that a log has went with its round";
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
        at_calls(FAIL_POWER, EIO, 1000 * seed, 1, 1, &told);
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
    {"abort_takes_held", state_of_an_aborted_round},
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
    if (explore_share() > 1)
        cr_skip_test("another build wakes them");
    for (size_t i = 0; i < sizeof plants / sizeof plants[0]; i++) {
        cr_assert_null(look(i, false), "%s: without it too", plants[i].name);
        cr_assert_not_null(look(i, true), "%s was not seen", plants[i].name);
        exercised_by_name("plant", plants[i].name, 1);
    }
}
