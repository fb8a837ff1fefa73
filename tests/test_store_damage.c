/* links: store_bed */
/* SPDX-License-Identifier: Apache-2.0
 *
 * What is damaged, taken away or removed under a store.
 */
#include "store_bed.h"
#include "exercised.h"

#include <errno.h>
#include <lz4frame.h>
#include <sys/resource.h>

#include "error.h"
#include "name.h"

TestSuite(store_damage, .init = store_bed_open, .fini = store_bed_close, .timeout = 120);

/* --- a store that is no longer ours ---------------------------------------------------------- */

/* Claims, writes and syncs 2 on a store of one checkpoint; then `spoil`; then commits. */
static enum weir_result commit_after(void (*spoil)(void), struct weir_error *error)
{
    struct manifest manifest;
    struct store *store = sample_store(bed.path);
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
    cr_assert_eq(rename(bed.path, scratch_join(bed.scratch.path, "elsewhere")), 0);
}

static void replace_store(void)
{
    move_store();
    cr_assert_eq(mkdir(bed.path, 0700), 0);
}

static void replace_lock(void)
{
    unsigned char bytes[256];
    scratch_read(scratch_join(bed.path, "LOCK"), bytes, sizeof bytes);
    cr_assert_eq(remove(scratch_join(bed.path, "LOCK")), 0);
    scratch_write(scratch_join(bed.path, "other"), "", 0); /* takes the inode number */
    scratch_write(scratch_join(bed.path, "LOCK"), bytes, sizeof bytes);
}

static void another_run(void)
{
    unsigned char bytes[256];
    scratch_read(scratch_join(bed.path, "LOCK"), bytes, sizeof bytes);
    memset(bytes + 128, 0, 128); /* epoch 1, this run's; the other record is epoch 0 */
    int file = open(scratch_join(bed.path, "LOCK"), O_WRONLY);
    cr_assert_eq(write(file, bytes, sizeof bytes), 256);
    close(file);
}

static void committed_by_another(void)
{
    scratch_write(bed_manifest_of(2), "x", 1);
}

Test(store_damage, a_store_that_is_no_longer_this_runs_is_not_committed_to)
{
    void (*const spoils[])(void) = {move_store, replace_store, replace_lock, another_run,
                                    committed_by_another};
    for (size_t i = 0; i < sizeof spoils / sizeof *spoils; i++) {
        struct weir_error error;
        snprintf(bed.path, sizeof bed.path, "%s/store%zu", bed.scratch.path, i);
        cr_assert_eq(commit_after(spoils[i], &error), WEIR_REFUSED, "%zu: %s", i, error.text);
        if (spoils[i] == move_store || spoils[i] == replace_store)
            snprintf(bed.path, sizeof bed.path, "%s/elsewhere", bed.scratch.path);
        cr_assert(scratch_exists(bed_manifest_of(1)), "nothing is removed by a fenced run");
        cr_assert(scratch_exists(bed_segment_of(1, 2)));
        if (spoils[i] != committed_by_another)
            cr_assert_not(scratch_exists(bed_manifest_of(2)));
        if (i == 0)
            cr_assert_eq(rename(bed.path, scratch_join(bed.scratch.path, "elsewhere0")), 0);
    }
}

Test(store_damage, an_unreadable_folder_aborts_the_round_and_the_next_one_succeeds)
{
    struct manifest manifest;
    struct weir_error error;
    struct store *store = sample_store(bed.path);
    sample_commit(store, 1);
    cr_assert_eq(store_claim(store, 2, &error), WEIR_OK);
    sample_parts(store, 2, &manifest);
    cr_assert_eq(store_sync(store, 2, &error), WEIR_OK);
    cr_assert_eq(rmdir(bed_folder_of(2)), 0);
    cr_assert_eq(store_commit(store, &manifest, &error), WEIR_IO);
    cr_assert_eq(store_commit(store, &manifest, &error), WEIR_IO, "a failed round stays failed");
    store_abort(store, 2);
    manifest_free(&manifest);
    sample_commit(store, 3);
    bed_expect_newest(store, 3);
    store_close(&store);
}

Test(store_damage, large_parts_roll_into_several_containers)
{
    const size_t big = (size_t)40 << 20;
    unsigned char *raw = malloc(big);
    uint64_t seed = 1;
    struct store *store = sample_store(bed.path);
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
    const char *copy = scratch_join(bed.scratch.path, "copy");
    cr_assert_eq(store_save_copy(store, 1, copy, &error), WEIR_OK, "%s", error.text);
    store_close(&store);
    cr_assert_eq(store_view(copy, NULL, &store, &error), WEIR_OK);
    cr_assert_eq(store_verify(store, 1, &error), WEIR_OK, "%s", error.text);
    store_close(&store);
    free(raw);
}

Test(store_damage, a_container_is_open_to_ordinary_lz4)
{
    unsigned char bytes[8192], out[4096];
    char expected[1024] = "";
    size_t used = 0;
    LZ4F_dctx *context;
    bed_make_with(1);
    size_t size = scratch_read(bed_segment_of(1, 1), bytes, sizeof bytes);
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
    struct store *store = sample_store(bed.path);
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

Test(store_damage, every_flipped_byte_and_every_cut_of_a_container_is_found_and_named)
{
    char file[512];
    bed_make_with(1);
    strcpy(file, bed_segment_of(1, 1));
    spoil_everywhere(file, "data/0000000001-00000000000000000001.seg at offset ");
}

Test(store_damage, every_flipped_byte_and_every_cut_of_a_manifest_is_found_and_named)
{
    char file[512];
    bed_make_with(1);
    strcpy(file, bed_manifest_of(1));
    spoil_everywhere(file, "MANIFEST.json");
}

Test(store_damage, swapped_blobs_and_files_are_found)
{
    unsigned char one[8192], two[8192];
    struct store *store;
    struct weir_error error;
    bed_make_with(2);
    store = sample_store(bed.path);
    size_t size = scratch_read(bed_segment_of(1, 1), one, sizeof one);
    cr_assert_eq(scratch_read(bed_segment_of(1, 2), two, sizeof two), size);
    scratch_write(bed_segment_of(1, 1), two, size); /* another checkpoint's */
    expect_damage(store, "belongs elsewhere", "swapped", 0);
    struct manifest manifest;
    cr_assert_eq(store_manifest(store, 1, &manifest, &error), WEIR_OK);
    const struct manifest_blob *part = &manifest.tasks[1].part, *piece = manifest.tasks[1].inflight;
    size_t each = BLOB_HEADER_SIZE + (size_t)part->blob.stored_size;
    memcpy(two, one, size);
    memcpy(two, one + part->offset, each); /* task 1's blob where task 0's should be */
    scratch_write(bed_segment_of(1, 1), two, size);
    expect_damage(store, "belongs elsewhere", "swapped", 1);
    each = BLOB_HEADER_SIZE + (size_t)piece[0].blob.stored_size;
    cr_assert_eq(piece[1].blob.stored_size, piece[0].blob.stored_size);
    memcpy(two, one, size);
    memcpy(two + piece[0].offset, one + piece[1].offset, each); /* the second piece twice */
    scratch_write(bed_segment_of(1, 1), two, size);
    expect_damage(store, "in flight", "swapped", 2);
    manifest_free(&manifest);
    scratch_write(bed_segment_of(1, 1), one, size);
    size = scratch_read(bed_manifest_of(2), two, sizeof two);
    scratch_write(bed_manifest_of(1), two, size);
    expect_damage(store, "is of checkpoint 2", "manifest", 2);
    store_close(&store);
}

Test(store_damage, a_manifest_of_another_store_is_damage)
{
    unsigned char bytes[8192];
    struct store_options options;
    struct store *store;
    struct weir_error error;
    bed_make_with(1);
    size_t size = scratch_read(bed_manifest_of(1), bytes, sizeof bytes);
    snprintf(bed.path, sizeof bed.path, "%s/two", bed.scratch.path);
    sample_options(&options, bed.path);
    options.new_id[0] = 77;
    cr_assert_eq(store_open(&options, &store, &error), WEIR_OK);
    cr_assert_eq(mkdir(bed_folder_of(1), 0700), 0);
    scratch_write(bed_manifest_of(1), bytes, size);
    expect_damage(store, "another store", "copied", 0);
    store_close(&store);
}

Test(store_damage, only_regular_files_are_believed)
{
    struct store *store;
    bed_make_with(1);
    store = sample_store(bed.path);
    const char *file = bed_segment_of(1, 1);
    cr_assert_eq(rename(file, scratch_join(bed.path, "moved")), 0);
    expect_damage(store, "missing", "gone", 0);
    cr_assert_eq(symlink("../moved", file), 0);
    expect_damage(store, "not a regular file", "link", 0);
    cr_assert_eq(unlink(file), 0);
    cr_assert_eq(mkfifo(file, 0600), 0);
    expect_damage(store, "not a regular file", "fifo", 0);
    cr_assert_eq(unlink(file), 0);
    cr_assert_eq(rename(scratch_join(bed.path, "moved"), file), 0);
    char manifest[512];
    strcpy(manifest, bed_manifest_of(1));
    cr_assert_eq(unlink(manifest), 0);
    cr_assert_eq(mkdir(manifest, 0700), 0);
    expect_damage(store, "not a regular file", "folder", 0);
    struct manifest unused;
    struct weir_error error;
    cr_assert_eq(store_recover(store, 0, &unused, &error), WEIR_DAMAGED);
    store_close(&store);
}

Test(store_damage, a_damaged_newest_checkpoint_stops_and_names_the_older_sound_ones)
{
    struct store *store;
    struct manifest manifest;
    struct weir_error error;
    bed_make_with(4);
    scratch_write(bed_manifest_of(4), "{}", 2);
    scratch_write(bed_segment_of(1, 3), "", 0);
    store = sample_store(bed.path);
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

Test(store_damage, no_checkpoint_has_a_number_that_there_is_not)
{
    static const uint64_t wrong[] = {0, NAME_NUMBER_LIMIT + 1, UINT64_MAX};
    struct weir_error error;
    struct manifest manifest;
    bed_make_with(1);
    struct store *store = sample_store(bed.path);
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(store_manifest(store, wrong[i], &manifest, &error), WEIR_NOT_FOUND);
    store_retain(store, 0, 0);
    bed_expect_newest(store, 1); /* the newest always stays */
    store_close(&store);
}

Test(store_damage, only_names_of_ours_are_taken_for_ids_and_segments)
{
    uint64_t number = 0;
    uint32_t epoch = 0;
    cr_assert(name_is_id("00000000000000000007", &number) && number == 7);
    cr_assert_not(name_is_id("00000000000000000000", &number));
    cr_assert_not(name_is_id("000000000000000000070", &number));
    cr_assert_not(name_is_id("0000000000000000007", &number));
    cr_assert_not(name_is_id("09223372036854775808", &number));
    cr_assert(name_is_segment("0000000003-00000000000000000007.seg", &epoch, &number));
    cr_assert(epoch == 3 && number == 7);
    cr_assert_not(name_is_segment("0000000003-00000000000000000007.sex", &epoch, &number));
    cr_assert_not(name_is_segment("0000000003-0000000000000000000x.seg", &epoch, &number));
    cr_assert_not(name_is_segment("0000000003_00000000000000000007.seg", &epoch, &number));
    cr_assert_not(name_is_segment("4294967296-00000000000000000007.seg", &epoch, &number));
    cr_assert_not(name_is_segment("0000000003-00000000000000000007.seg~", &epoch, &number));
}

Test(store_damage, an_id_asked_for_of_an_empty_store_is_told_that_there_is_none)
{
    struct manifest manifest;
    struct weir_error error = {0};
    struct store *store = sample_store(bed.path);
    cr_assert_eq(store_recover(store, 7, &manifest, &error), WEIR_NOT_FOUND);
    cr_assert_not_null(strstr(error.text, "holds none yet"), "%s", error.text);
    store_close(&store);
}

Test(store_damage, a_shortage_of_ours_is_not_damage)
{
    struct store *store;
    struct weir_error error;
    struct rlimit limit;
    bed_make_with(1);
    store = sample_store(bed.path);
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
    bed_expect_newest(store, 1);
    store_close(&store);
}

/* --- removing ------------------------------------------------------------------------------ */

Test(store_damage, retention_keeps_the_newest_and_the_pinned_and_all_they_name)
{
    struct store *store = sample_store(bed.path);
    struct weir_error error;
    for (uint64_t id = 1; id <= 8; id++) {
        sample_commit(store, id);
        store_retain(store, 3, 2);
        for (uint64_t older = 1; older <= id; older++) {
            bool kept = older + 3 > id || older == 2;
            cr_assert_eq(store_verify(store, older, &error), kept ? WEIR_OK : WEIR_NOT_FOUND);
            cr_assert_eq(scratch_exists(bed_segment_of(1, older)), kept);
        }
    }
    cr_assert_eq(bed_count_files("checkpoints"), 4);
    store_close(&store);
    store = sample_store(bed.path);
    sample_commit(store, 9);
    store_retain(store, 1, 0);
    cr_assert_eq(bed_count_files("checkpoints"), 1);
    cr_assert_eq(bed_count_files("data"), 1);
    bed_expect_newest(store, 9);
    store_close(&store);
}

Test(store_damage, no_container_is_removed_while_a_manifest_can_not_be_read)
{
    struct store *store;
    struct weir_error error;
    bed_make_with(3);
    unsigned char bytes[8192];
    size_t size = scratch_read(bed_manifest_of(2), bytes, sizeof bytes);
    scratch_write(bed_manifest_of(2), "{}", 2);
    cr_assert_eq(bed_try_open(&store, &error), WEIR_OK);
    cr_assert_eq(store_sweep(store, &error), WEIR_OK);
    store_retain(store, 2, 0);
    cr_assert_not(scratch_exists(bed_manifest_of(1)));
    cr_assert_eq(bed_count_files("data"), 3);
    store_close(&store);
    scratch_write(bed_manifest_of(2), bytes, size);
    cr_assert_eq(bed_try_open(&store, &error), WEIR_OK);
    cr_assert_eq(store_verify(store, 2, &error), WEIR_OK);
    cr_assert_eq(store_sweep(store, &error), WEIR_OK);
    cr_assert_eq(bed_count_files("data"), 2);
    store_close(&store);
}

Test(store_damage, retention_keeps_containers_that_only_content_in_flight_lies_in)
{
    struct store *store = sample_store(bed.path);
    struct manifest manifest;
    struct weir_error error;
    const size_t big = (size_t)65 << 20; /* more than a container takes: the rest goes elsewhere */
    unsigned char *raw = malloc(big);
    for (uint32_t i = 0, seed = 1; i < big; i++)
        raw[i] = (unsigned char)((seed = seed * 1664525 + 1013904223) >> 24);
    bed_claim(store, 1);
    sample_parts(store, 1, &manifest);
    for (uint32_t k = 0; k < 2; k++)
        cr_assert_eq(store_part(store, 1, BLOB_INFLIGHT, 1, (struct weir_bytes){raw, k ? 5 : big},
                                &manifest.tasks[1].inflight[k], &error),
                     WEIR_OK);
    bed_sync_round(store, 1);
    bed_commit(store, &manifest);
    sample_commit(store, 2);
    store_retain(store, 2, 0);
    cr_assert_eq(store_verify(store, 1, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(bed_count_files("data"), 4, "1 has three");
    store_retain(store, 1, 0);
    cr_assert_eq(bed_count_files("data"), 1);
    bed_expect_newest(store, 2);
    store_close(&store);
    free(raw);
}

Test(store_damage, a_piece_or_a_task_that_is_not_there_can_not_be_read)
{
    struct store *store = sample_store(bed.path);
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

Test(store_damage, sweeping_leaves_the_open_round_alone)
{
    struct store *store = sample_store(bed.path);
    struct weir_error error;
    struct manifest manifest;
    cr_assert_eq(store_claim(store, 1, &error), WEIR_OK);
    sample_parts(store, 1, &manifest);
    cr_assert_eq(store_sweep(store, &error), WEIR_OK);
    store_retain(store, 1, 0);
    cr_assert_eq(store_sync(store, 1, &error), WEIR_OK);
    cr_assert_eq(store_commit(store, &manifest, &error), WEIR_OK, "%s", error.text);
    manifest_free(&manifest);
    bed_expect_newest(store, 1);
    store_close(&store);
}
