/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches that wait on disk: what is put there comes back, from any thread, until the last slice of
 * it is given back; no file keeps its name; errors name the folder.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include "nameless.h"
#include "scratch.h"
#include "spill.h"

static struct scratch scratch;
static struct spill spill;
static struct weir_error error;

static void begin(void)
{
    scratch = scratch_make();
    memset(&error, 0, sizeof error);
    spill_init(&spill, NULL, scratch.path, 3, 7);
}

static void finish(void)
{
    spill_free(&spill);
    cr_expect_eq(nameless_files(scratch.path, -1), 0, "a file is still open");
    scratch_free(&scratch);
}
TestSuite(spill, .init = begin, .fini = finish);

static struct batch *batch_of(size_t size, unsigned char first)
{
    struct batch *batch = batch_alone(NULL, size);
    for (size_t i = 0; i < size; i++)
        batch->data[i] = (unsigned char)(first + i * 7);
    batch->size = size;
    batch->count = (uint32_t)(size / 8);
    return batch;
}

static struct spill_slice put(size_t size, unsigned char first)
{
    struct spill_slice slice = {0};
    struct batch *batch = batch_of(size, first);
    cr_assert_eq(spill_put(&spill, batch, &slice, &error), WEIR_OK, "%s", error.text);
    batch_release(batch); /* it stayed the caller's */
    return slice;
}

static void holds(const struct spill_slice *slice, size_t size, unsigned char first)
{
    struct batch *batch = NULL;
    cr_assert_eq(spill_get(slice, NULL, &batch, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(batch->size, size);
    cr_assert_eq(batch->count, size / 8);
    for (size_t i = 0; i < size; i++)
        cr_assert_eq(batch->data[i], (unsigned char)(first + i * 7), "byte %zu", i);
    batch_release(batch);
}

Test(spill, what_is_put_comes_back_as_often_as_asked)
{
    struct spill_slice slices[5];
    static const size_t sizes[] = {8, 0, 40000, 1, 24};
    for (unsigned i = 0; i < 5; i++)
        slices[i] = put(sizes[i], (unsigned char)i);
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < 5; i++)
            holds(&slices[i], sizes[i], (unsigned char)i);
    for (unsigned i = 0; i < 5; i++)
        spill_release(&slices[i]);
    cr_expect_null(slices[0].file);
    spill_release(&slices[0]); /* no slice */
}

Test(spill, a_file_has_no_name_and_lives_as_long_as_its_slices)
{
    struct spill_slice slice = put(100, 1);
    cr_expect_eq(named_files(scratch.path), 0);
    cr_expect_eq(nameless_files(scratch.path, -1), 1);
    struct spill_slice more = spill_share(&slice);
    spill_release(&slice);
    spill_free(&spill);
    cr_expect_eq(nameless_files(scratch.path, -1), 1, "a slice is left");
    holds(&more, 100, 1);
    spill_release(&more);
    cr_expect_eq(nameless_files(scratch.path, -1), 0);
}

/* Disk space comes back in files, so a file that grew large is followed by the next. */
Test(spill, a_large_file_is_followed_by_the_next_and_goes_with_its_last_slice)
{
    enum { PUTS = 66 };
    struct spill_slice slices[PUTS];
    for (unsigned i = 0; i < PUTS; i++)
        slices[i] = put((size_t)1 << 20, (unsigned char)i);
    cr_expect_eq(spill.files, 2);
    cr_expect_eq(nameless_files(scratch.path, -1), 2);
    cr_expect_neq((const void *)slices[0].file, (const void *)slices[PUTS - 1].file);
    cr_expect_eq(slices[64].offset, 0);
    for (unsigned i = 1; i < 64; i++)
        spill_release(&slices[i]);
    cr_expect_eq(nameless_files(scratch.path, -1), 2);
    holds(&slices[0], (size_t)1 << 20, 0);
    spill_release(&slices[0]);
    cr_expect_eq(nameless_files(scratch.path, -1), 1, "nothing of the first is wanted");
    holds(&slices[65], (size_t)1 << 20, 65);
    spill_release(&slices[64]);
    spill_release(&slices[65]);
    cr_expect_eq(nameless_files(scratch.path, -1), 1, "it is still written to");
}

Test(spill, slices_side_by_side_become_one_up_to_a_limit)
{
    struct spill_slice first = put(80, 1), second = put(16, 2), third = put(8, 3), copy;
    cr_expect_not(spill_join(&first, &third), "the second lies between");
    cr_expect_not(spill_join(&second, &first), "in the wrong order");
    cr_expect(spill_join(&second, &third));
    cr_expect_null(third.file, "its reference was given up");
    cr_expect(spill_join(&first, &second));
    cr_expect_eq(first.size, 104);
    cr_expect_eq(first.count, 13);
    struct batch *batch = NULL;
    copy = spill_share(&first);
    cr_assert_eq(spill_get(&copy, NULL, &batch, &error), WEIR_OK);
    cr_expect_eq(batch->data[80], 2);
    cr_expect_eq(batch->data[96], 3);
    batch_release(batch);
    spill_release(&copy);
    spill_release(&first);

    struct spill_slice large = put(SPILL_SLICE_LIMIT - 8, 1), fits = put(8, 2), over = put(8, 3);
    cr_expect(spill_join(&large, &fits));
    cr_expect_not(spill_join(&large, &over));
    spill_release(&large);
    spill_release(&over);
}

Test(spill, slices_of_two_files_are_never_one)
{
    struct spill_slice last = put(8, 1);
    spill_free(&spill); /* the next one goes into another file */
    struct spill_slice next = put(8, 2);
    next.offset = last.offset + last.size;
    cr_expect_not(spill_join(&last, &next));
    spill_release(&last);
    spill_release(&next);
}

/* A message that stands for a slice may be lost on its way: its reference ends with it. */
Test(spill, a_payload_has_a_reference_of_its_own_wherever_it_ends)
{
    struct spill_slice slice = put(80, 3);
    struct batch *payload = spill_payload(&slice, NULL), *other = batch_share(payload, 1);
    spill_release(&slice);
    spill_free(&spill);
    holds(spill_of_payload(payload), 80, 3);
    batch_release(payload);
    cr_expect_eq(nameless_files(scratch.path, -1), 1, "another has it still");
    batch_release(other);
    cr_expect_eq(nameless_files(scratch.path, -1), 0);
}

/* -------------------------------------------------------------------- other threads -- */

struct shared {
    struct spill_slice slice;
    unsigned char first;
    bool right;
};

static void *read_and_release(void *given)
{
    struct shared *shared = given;
    struct batch *batch = NULL;
    shared->right = spill_get(&shared->slice, NULL, &batch, NULL) == WEIR_OK &&
                    batch->size == 800 && batch->data[0] == shared->first;
    batch_release(batch);
    spill_release(&shared->slice);
    return NULL;
}

Test(spill, slices_are_read_and_given_back_by_other_threads)
{
    enum { READERS = 8 };
    pthread_t threads[READERS];
    struct shared shared[READERS];
    struct spill_slice slice = put(800, 42);
    for (unsigned i = 0; i < READERS; i++) {
        shared[i] = (struct shared){.slice = spill_share(&slice), .first = 42};
        cr_assert_eq(pthread_create(&threads[i], NULL, read_and_release, &shared[i]), 0);
        struct spill_slice more = put(16, 1); /* the owner writes on */
        spill_release(&more);
    }
    spill_release(&slice);
    spill_free(&spill);
    for (unsigned i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
        cr_expect(shared[i].right);
    }
}

/* ---------------------------------------------------------------------------- errors -- */

static void fails(enum weir_result code, const char *says)
{
    struct batch *batch = batch_of(64, 1);
    struct spill_slice slice = {0};
    cr_expect_eq(spill_put(&spill, batch, &slice, &error), code);
    cr_expect(strstr(error.text, says) != NULL, "\"%s\" does not say \"%s\"", error.text, says);
    cr_expect_null(slice.file);
    batch_release(batch);
}

Test(spill, a_folder_that_is_not_there_is_named)
{
    char missing[200];
    snprintf(missing, sizeof missing, "%s/missing", scratch.path);
    spill.folder = missing;
    fails(WEIR_IO, missing);
    char path[4200];
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = 0;
    spill.folder = path;
    fails(WEIR_TOO_LARGE, "too long");
}

Test(spill, a_disk_that_is_full_is_named_and_what_lies_there_stays)
{
    struct spill_slice before = put(64, 9);
    struct rlimit old, none = {64, 64};
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    none.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
    fails(WEIR_IO, scratch.path);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
    holds(&before, 64, 9);
    struct spill_slice after = put(72, 5); /* what failed has left no hole */
    holds(&after, 72, 5);
    cr_expect_eq(after.offset, 64);
    spill_release(&before);
    spill_release(&after);
}

Test(spill, a_file_that_became_shorter_is_found)
{
    struct spill_slice slice = put(100, 1);
    struct batch *batch = NULL;
    cr_assert_eq(nameless_files(scratch.path, 99), 1);
    cr_expect_eq(spill_get(&slice, NULL, &batch, &error), WEIR_DAMAGED);
    cr_expect_str_eq(error.text, "records of a cycle that wait on disk: the file is cut short");
    cr_expect_null(batch);
    spill_release(&slice);
}

/* A name that is taken is another run's, or a file of the user's: it stays as it is. */
Test(spill, a_name_that_is_taken_is_refused)
{
    const char *taken = scratch_join(scratch.path, "3-7-0.spill");
    scratch_write(taken, "mine", 4);
    fails(WEIR_IO, "3-7-0.spill");
    unsigned char bytes[8];
    cr_expect_eq(scratch_read(taken, bytes, sizeof bytes), 4);
}

/* ---------------------------------------------------------------------------- the folder -- */

Test(spill, the_folder_is_made_and_swept_and_nothing_else_is_touched)
{
    const char *folder = scratch_join(scratch.path, "scratch");
    cr_assert_eq(spill_folder(folder, &error), WEIR_OK, "%s", error.text);
    cr_expect(scratch_exists(folder));
    scratch_write(scratch_join(folder, "1-0-0.spill"), "left", 4);
    scratch_write(scratch_join(folder, "x.spill"), "left", 4);
    scratch_write(scratch_join(folder, ".spill"), "not ours", 8);
    scratch_write(scratch_join(folder, "notes.txt"), "not ours", 8);
    cr_assert_eq(mkdir(scratch_join(folder, "a.spill"), 0700), 0);
    cr_assert_eq(spill_folder(folder, &error), WEIR_OK);
    cr_expect_not(scratch_exists(scratch_join(folder, "1-0-0.spill")));
    cr_expect_not(scratch_exists(scratch_join(folder, "x.spill")));
    cr_expect_eq(named_files(folder), 3);
}

Test(spill, a_folder_that_cannot_be_is_named)
{
    const char *file = scratch_join(scratch.path, "file");
    scratch_write(file, "x", 1);
    cr_expect_eq(spill_folder(file, &error), WEIR_IO);
    cr_expect(strstr(error.text, file) != NULL, "%s", error.text);
    const char *deep = scratch_join(scratch.path, "missing/scratch");
    cr_expect_neq(spill_folder(deep, &error), WEIR_OK);
    cr_expect(strstr(error.text, deep) != NULL, "%s", error.text);
}
