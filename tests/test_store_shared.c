/* links: store_bed */
/* SPDX-License-Identifier: Apache-2.0
 *
 * State that the checkpoints of a store share.
 */
#include "store_bed.h"
#include "exercised.h"
#include "list.h"
#include "little.h"
#include "state.h"

#include <dirent.h>

#include "explore.h"

TestSuite(store_shared, .init = store_bed_open, .fini = store_bed_close, .timeout = 120);

/* --- state that rounds share ----------------------------------------------------------------- */

static bool is_there(uint64_t number)
{
    return scratch_exists(bed_segment_of(1, number));
}

/* I6 */
Test(store_shared, state_is_shared_by_checkpoints_and_goes_with_the_last_that_names_it)
{
    struct store *store = sample_store(bed.path);
    struct manifest manifests[6];
    struct weir_error error;
    bed_commit_sharing(store, 1, NULL, &manifests[1]);
    bed_commit_sharing(store, 2, &manifests[1], &manifests[2]);
    bed_commit_sharing(store, 3, &manifests[2], &manifests[3]);
    cr_assert_eq(manifests[3].tasks[1].state_count, 6);
    for (uint64_t id = 1; id <= 3; id++)
        cr_assert_eq(store_verify(store, id, &error), WEIR_OK, "%s", error.text);
    store_retain(store, 1, 0);
    bed_expect_newest(store, 3);
    cr_assert(is_there(1) && is_there(2) && is_there(3), "3 names them all");
    store_close(&store);

    store = sample_store(bed.path); /* another run shares it as well */
    cr_assert_eq(store_sweep(store, &error), WEIR_OK, "%s", error.text);
    bed_commit_sharing(store, 4, &manifests[3], &manifests[4]);
    cr_assert_eq(manifests[4].tasks[1].state[0].place.blob.epoch, 1);
    cr_assert_eq(manifests[4].tasks[1].state[7].place.blob.epoch, 2);
    store_retain(store, 1, 0);
    bed_expect_newest(store, 4);
    bed_expect_no_leftovers(store);
    bed_commit_sharing(store, 5, &manifests[2], &manifests[5]);
    store_retain(store, 1, 0);
    bed_expect_newest(store, 5);
    cr_assert(is_there(1) && is_there(2) && !is_there(3), "nobody names it any more");
    bed_expect_no_leftovers(store);
    sample_commit(store, 6);
    store_retain(store, 1, 0);
    cr_assert_eq(bed_count_files("data"), 1);
    bed_expect_newest(store, 6);
    store_close(&store);
    for (int i = 1; i <= 5; i++)
        manifest_free(&manifests[i]);
}

/* I7, L1 */
Test(store_shared, held_state_of_an_aborted_round_is_named_by_a_later_one)
{
    struct store *store = sample_store(bed.path);
    struct manifest manifests[4];
    sample_commit(store, 1);
    bed_write_sharing(store, 2, NULL, &manifests[2]);
    bed_hold(store, 2);
    store_abort(store, 2);
    cr_assert(is_there(2));
    bed_commit_sharing(store, 3, &manifests[2], &manifests[3]);
    store_retain(store, 1, 0);
    bed_expect_newest(store, 3);
    bed_let_go(store, 2);
    cr_assert(is_there(2), "3 names it");
    store_close(&store);
    store = sample_store(bed.path);
    cr_assert_eq(store_sweep(store, NULL), WEIR_OK);
    bed_expect_newest(store, 3);
    bed_expect_no_leftovers(store);
    sample_commit(store, 4);
    store_retain(store, 1, 0);
    cr_assert_not(is_there(2));
    bed_expect_no_leftovers(store);
    store_close(&store);
    manifest_free(&manifests[2]);
    manifest_free(&manifests[3]);
}

/* I7 */
Test(store_shared, what_is_let_go_and_needed_by_nobody_goes)
{
    struct store *store = sample_store(bed.path);
    struct manifest manifest;
    bed_write_sharing(store, 1, NULL, &manifest);
    bed_hold(store, 1);
    bed_hold(store, 1);
    bed_let_go(store, 7); /* what is not held is left alone */
    store_abort(store, 1);
    bed_let_go(store, 1);
    cr_assert(is_there(1), "held once more");
    bed_let_go(store, 1);
    cr_assert_not(is_there(1));
    bed_let_go(store, 1);
    manifest_free(&manifest);

    bed_write_sharing(store, 2, NULL, &manifest);
    bed_hold(store, 2);
    bed_let_go(store, 2);
    cr_assert(is_there(2), "its round is open");
    store_abort(store, 2);
    cr_assert_not(is_there(2));
    manifest_free(&manifest);

    bed_write_sharing(store, 3, NULL, &manifest);
    bed_hold(store, 3);
    bed_commit(store, &manifest);
    sample_commit(store, 4);
    store_retain(store, 1, 0);
    cr_assert(is_there(3), "though no checkpoint names it");
    bed_let_go(store, 3);
    cr_assert_not(is_there(3));
    bed_expect_no_leftovers(store);
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
Test(store_shared, only_what_was_synced_can_be_held)
{
    struct store *store = sample_store(bed.path);
    struct manifest manifest;
    cr_assert_eq(try_hold(store, 1, 1), WEIR_INVALID, "there is none");
    bed_claim(store, 1);
    sample_parts(store, 1, &manifest);
    cr_assert_eq(try_hold(store, 1, 1), WEIR_INVALID, "not synced");
    bed_sync_round(store, 1);
    cr_assert_eq(try_hold(store, 2, 1), WEIR_INVALID, "another run's");
    cr_assert_eq(try_hold(store, 1, 2), WEIR_INVALID);
    store_abort(store, 1);
    cr_assert_eq(try_hold(store, 1, 1), WEIR_INVALID, "it is gone");
    manifest_free(&manifest);

    sample_commit(store, 2);
    bed_hold(store, 2); /* a checkpoint names it */
    bed_claim(store, 3);
    sample_parts(store, 3, &manifest);
    store_abort(store, 3); /* before its sync: nothing of it is kept */
    manifest_free(&manifest);
    bed_expect_no_leftovers(store);
    store_close(&store);
    cr_assert_eq(store_view(bed.path, NULL, &store, NULL), WEIR_OK);
    cr_assert_eq(try_hold(store, 1, 2), WEIR_REFUSED, "a view removes nothing anyway");
    store_close(&store);
    store = sample_store(bed.path);
    cr_assert_eq(try_hold(store, 1, 3), WEIR_INVALID);
    cr_assert_eq(try_hold(store, 1, 2), WEIR_OK, "the checkpoint's that it goes on from");
    sample_commit(store, 4);
    store_retain(store, 1, 0);
    cr_assert_eq(store_sweep(store, NULL), WEIR_OK);
    cr_assert(is_there(2));
    bed_let_go_of(store, 1, 2);
    bed_expect_no_leftovers(store);
    store_close(&store);
}

/* I6 */
Test(store_shared, state_that_nobody_keeps_can_not_be_committed)
{
    struct store *store = sample_store(bed.path);
    struct manifest manifests[4];
    struct weir_error error;
    sample_commit(store, 1);
    bed_write_sharing(store, 2, NULL, &manifests[2]);
    bed_write_sharing(store, 3, &manifests[2], &manifests[3]);
    store_abort(store, 2);
    cr_assert_eq(store_commit(store, &manifests[3], &error), WEIR_INVALID);
    cr_assert_not_null(strstr(error.text, "segment 0 of task 1's state"), "%s", error.text);
    cr_assert_not(scratch_exists(bed_manifest_of(3)));
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
    bed_expect_newest(store, 3);
    for (uint32_t i = 1; i <= 2; i++)
        manifests[3].tasks[i].state -= sample_segments(i);
    store_close(&store);
    manifest_free(&manifests[2]);
    manifest_free(&manifests[3]);
}

Test(store_shared, held_state_is_let_go_while_a_manifest_can_not_be_read_and_swept_later)
{
    struct store *store;
    struct manifest manifest;
    struct weir_error error;
    unsigned char bytes[8192];
    bed_make_with(1);
    size_t size = scratch_read(bed_manifest_of(1), bytes, sizeof bytes);
    scratch_write(bed_manifest_of(1), "{}", 2);
    cr_assert_eq(bed_try_open(&store, &error), WEIR_OK);
    bed_write_sharing(store, 2, NULL, &manifest);
    cr_assert_eq(try_hold(store, 1, 1), WEIR_INVALID, "who knows what it names");
    bed_hold(store, 1);
    store_abort(store, 2);
    bed_let_go(store, 1);
    cr_assert(scratch_exists(bed_segment_of(2, 1)));
    manifest_free(&manifest);
    store_close(&store);
    scratch_write(bed_manifest_of(1), bytes, size);
    store = sample_store(bed.path);
    cr_assert_eq(store_sweep(store, &error), WEIR_OK);
    bed_expect_no_leftovers(store);
    bed_expect_newest(store, 1);
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
        bed_write_sharing(store, 2, &manifests[1], &manifests[2]);
        break;
    case 3:
        bed_hold(store, 1);
        break;
    case 4:
        store_abort(store, 2);
        break;
    case 5:
        bed_write_sharing(store, 3, &manifests[2], &manifests[3]);
        break;
    case 6:
        bed_hold(store, 2);
        break;
    case 7:
        cr_assert_eq(store_commit(store, &manifests[3], &error), WEIR_OK, "%s", error.text);
        break;
    case 8:
        store_retain(store, 1, 0);
        break;
    case 9:
        bed_commit_sharing(store, 4, NULL, &manifests[4]);
        break;
    case 10:
        store_retain(store, 1, 0);
        break;
    case 11:
        bed_let_go_of(store, 1, 1);
        break;
    default:
        bed_let_go(store, (uint64_t)(step - 11));
        break;
    }
}

/* L4 */
Test(store_shared, rounds_that_share_stopped_after_any_step_leave_what_was_committed)
{
    for (int steps = 0; steps <= 13; steps++) {
        struct manifest manifests[5];
        memset(manifests, 0, sizeof manifests);
        snprintf(bed.path, sizeof bed.path, "%s/store%d", bed.scratch.path, steps);
        bed_make_with(1);
        struct store *store = sample_store(bed.path);
        cr_assert_eq(store_sweep(store, NULL), WEIR_OK);
        for (int step = 1; step <= steps; step++) {
            shared_step(store, step, manifests);
            bed_expect_newest(store, step < 7 ? 1 : step < 9 ? 3 : 4);
        }
        if (steps == 13)
            bed_expect_no_leftovers(store);
        store_close(&store);
        store = sample_store(bed.path);
        cr_assert_eq(store_sweep(store, NULL), WEIR_OK);
        bed_expect_newest(store, steps < 7 ? 1 : steps < 9 ? 3 : 4);
        bed_expect_no_leftovers(store);
        store_close(&store);
        for (int i = 1; i <= 4; i++)
            manifest_free(&manifests[i]);
    }
}

/* Changes every byte of a blob of state that two checkpoints name. */
Test(store_shared, every_flipped_byte_of_shared_state_is_found_in_each_checkpoint_that_names_it)
{
    unsigned char bytes[8192];
    char file[512], named[128];
    struct store *store = sample_store(bed.path);
    struct manifest manifests[5], newest;
    struct weir_error error;
    struct blob_buffer out = {0};
    sample_commit(store, 1);
    bed_commit_sharing(store, 2, NULL, &manifests[2]);
    bed_commit_sharing(store, 3, &manifests[2], &manifests[3]);
    const struct manifest_blob *place = &manifests[2].tasks[1].state[1].place;
    snprintf(named, sizeof named,
             "data/0000000001-00000000000000000002.seg at offset %u (node 'count', subtask 0, "
             "state): ",
             (unsigned)place->offset);
    strcpy(file, bed_segment_of(1, 2));
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
    bed_claim(store, id);
    sample_parts(store, id, manifest);
    cr_assert_eq(store_segment(store, id, 1, 0, segment, &place, &error), WEIR_OK, "%s",
                 error.text);
    segment_release(segment);
    sample_add_segment(&manifest->tasks[1], &place);
    bed_sync_round(store, id);
    cr_assert_eq(store_commit(store, manifest, &error), WEIR_OK, "%s", error.text);
}

static uint64_t manifest_size(uint64_t id)
{
    struct stat status;
    cr_assert_eq(stat(bed_manifest_of(id), &status), 0);
    return (uint64_t)status.st_size;
}

/* But for the digits of what is in it. */
Test(store_shared, a_manifest_is_as_long_whatever_the_size_of_the_state)
{
    const uint64_t sizes[] = {(uint64_t)1 << 20, (uint64_t)256 << 20};
    uint64_t manifests[2];
    for (uint64_t i = 0; i < 2; i++) {
        struct store *store = sample_store(bed.path);
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
Test(store_shared, a_segment_with_a_list_lives_as_long_as_a_checkpoint_names_it)
{
    struct store *store = sample_store(bed.path);
    struct manifest manifests[3];
    struct weir_error error;
    commit_large(store, 1, (uint64_t)70 << 20, true, &manifests[0]);
    const struct manifest_segment large = manifests[0].tasks[1].state[2];
    cr_assert_gt(large.place.file_number, large.from_number, "more than one container");
    cr_assert_lt(manifests[0].tasks[2].state[0].place.file_number, large.from_number, "its own");
    bed_claim(store, 2);
    sample_parts(store, 2, &manifests[1]);
    sample_add_segment(&manifests[1].tasks[1], &large);
    bed_sync_round(store, 2);
    cr_assert_eq(store_commit(store, &manifests[1], &error), WEIR_OK, "%s", error.text);
    store_retain(store, 1, 0);
    cr_assert_eq(store_verify(store, 2, &error), WEIR_OK, "%s", error.text);
    bed_expect_no_leftovers(store);
    cr_assert_eq(store_hold(store, &large, &error), WEIR_OK, "%s", error.text);
    sample_commit(store, 3);
    store_retain(store, 1, 0);
    for (uint64_t n = large.from_number; n <= large.place.file_number; n++)
        cr_assert(is_there(n), "held");
    bed_claim(store, 4); /* one that names it, though no checkpoint does */
    sample_parts(store, 4, &manifests[2]);
    sample_add_segment(&manifests[2].tasks[1], &large);
    bed_sync_round(store, 4);
    cr_assert_eq(store_commit(store, &manifests[2], &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(store_verify(store, 4, &error), WEIR_OK, "%s", error.text);
    sample_commit(store, 5);
    store_retain(store, 1, 0);
    store_let_go(store, &large);
    bed_expect_no_leftovers(store);
    bed_claim(store, 6); /* nobody keeps it any more */
    manifest_free(&manifests[2]);
    sample_parts(store, 6, &manifests[2]);
    sample_add_segment(&manifests[2].tasks[1], &large);
    bed_sync_round(store, 6);
    cr_assert_eq(store_commit(store, &manifests[2], &error), WEIR_INVALID);
    for (int i = 0; i < 3; i++)
        manifest_free(&manifests[i]);
    store_close(&store);
}

/* List and all: nothing outside of the copy is named. */
Test(store_shared, a_savepoint_of_segments_with_lists_is_whole)
{
    struct store *store = sample_store(bed.path), *view;
    struct manifest manifests[2], manifest;
    struct weir_error error;
    commit_large(store, 1, (uint64_t)70 << 20, true, &manifests[0]);
    bed_claim(store, 2);
    sample_parts(store, 2, &manifests[1]);
    sample_share(&manifests[1], &manifests[0]);
    bed_sync_round(store, 2);
    cr_assert_eq(store_commit(store, &manifests[1], &error), WEIR_OK, "%s", error.text);
    store_close(&store);
    bed_save_to(2);
    bed_lose_store();
    for (int copies = 0; copies < 2; copies++) {
        strcpy(bed.path, bed.saved);
        cr_assert_eq(store_view(bed.path, NULL, &view, &error), WEIR_OK, "%s", error.text);
        cr_assert_eq(store_verify(view, 2, &error), WEIR_OK, "%s", error.text);
        cr_assert_eq(store_manifest(view, 2, &manifest, &error), WEIR_OK, "%s", error.text);
        cr_assert_eq(manifest.tasks[1].state[2].place.blob.kind, BLOB_LIST);
        cr_assert_eq(manifest.tasks[1].state[2].blob_count,
                     manifests[0].tasks[1].state[2].blob_count);
        bed_expect_no_leftovers(view);
        manifest_free(&manifest);
        store_close(&view);
        snprintf(bed.saved, sizeof bed.saved, "%s/again",
                 bed.scratch.path); /* a copy can be copied */
        if (copies == 0)
            cr_assert_eq(bed_save(2, bed.saved, &error), WEIR_OK, "%s", error.text);
    }
    manifest_free(&manifests[0]);
    manifest_free(&manifests[1]);
}

/* Damage of a list names it, and is no other trouble. */
Test(store_shared, every_flipped_byte_of_a_list_is_found)
{
    unsigned char *bytes = malloc(8 << 20);
    char file[512], named[128];
    struct store *store = sample_store(bed.path);
    struct manifest manifest;
    struct manifest_blob *blobs;
    struct weir_error error;
    commit_large(store, 1, (uint64_t)4 << 20, false, &manifest);
    const struct manifest_blob *list = &manifest.tasks[1].state[2].place;
    cr_assert_eq(list->blob.kind, BLOB_LIST);
    snprintf(named, sizeof named, "-%020llu.seg at offset %llu (node 'count', subtask 0, state): ",
             (unsigned long long)list->file_number, (unsigned long long)list->offset);
    strcpy(file, bed_segment_of(1, (unsigned)list->file_number));
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
Test(store_shared, lists_that_lie_are_refused)
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
    bed_claim(waste->store, id);
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
    bed_sync_round(waste->store, id);
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
    snprintf(name, sizeof name, "%s/data", bed.path);
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
Test(store_shared, what_the_newest_names_is_at_most_a_third_larger_than_what_lives_but_for_a_round)
{
    struct waste waste = {.dice = explore_seed()};
    struct manifest_segment places[ALIVE];
    struct weir_error error;
    memset(places, 0, sizeof places);
    waste.store = sample_store(bed.path);
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
