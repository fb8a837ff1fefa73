/* SPDX-License-Identifier: Apache-2.0 */
#include "scratch.h"

#include <errno.h>
#include <sys/wait.h>

#include "disk.h"
#include "file.h"
#include "memory.h"

static struct scratch scratch;
static int at;

static void start(void)
{
    scratch = scratch_make();
    at = disk_open(DISK_CWD, scratch.path, DISK_DIRECTORY);
    cr_assert_geq(at, 0);
}

static void stop(void)
{
    disk_close(at);
    scratch_free(&scratch);
}

TestSuite(disk, .init = start, .fini = stop);

Test(disk, creates_a_file_once)
{
    int file = disk_open(at, "a", DISK_CREATE);
    struct disk_status status;
    cr_assert_geq(file, 0);
    cr_assert_eq(disk_open(at, "a", DISK_CREATE), -EEXIST);
    cr_assert_eq(disk_status(file, &status), 0);
    cr_assert_eq(status.kind, DISK_FILE);
    cr_assert_eq(status.mode & 077, 0);
    cr_assert_eq(status.owner, disk_user());
    cr_assert_neq(fcntl(file, F_GETFD) & FD_CLOEXEC, 0);
    cr_assert_eq(disk_close(file), 0);
}

Test(disk, reads_what_was_written_and_stops_at_the_end)
{
    char bytes[8];
    size_t got;
    int file = disk_open(at, "a", DISK_CREATE);
    cr_assert_eq(file_write(file, "hello", 5, 2), 0);
    cr_assert_eq(disk_sync(file), 0);
    cr_assert_eq(disk_sync(at), 0);
    cr_assert_eq(file_read(file, bytes, 8, 0, &got), 0);
    cr_assert_eq(got, 7);
    cr_assert_eq(memcmp(bytes, "\0\0hello", 7), 0);
    cr_assert_eq(disk_read(file, bytes, 8, 7), 0);
    disk_close(file);
}

Test(disk, takes_no_place_that_a_file_can_not_have)
{
    char byte = 0;
    int file = disk_open(at, "a", DISK_CREATE);
    cr_expect_eq(disk_read(file, &byte, 1, (uint64_t)INT64_MAX + 1), -EINVAL);
    cr_expect_eq(disk_write(file, &byte, 1, (uint64_t)INT64_MAX + 1), -EFBIG);
    struct disk_status status;
    cr_assert_eq(disk_status(file, &status), 0);
    cr_expect_eq(status.size, 0);
    disk_close(file);
}

Test(disk, follows_no_link_unless_asked)
{
    scratch_write(scratch_join(scratch.path, "a"), "x", 1);
    cr_assert_eq(symlink("a", scratch_join(scratch.path, "b")), 0);
    cr_assert_eq(disk_open(at, "b", DISK_READ), -ELOOP);
    cr_assert_eq(disk_open(at, "b", DISK_UPDATE), -ELOOP);
    int file = disk_open(at, "b", DISK_READ_FOLLOW);
    cr_assert_geq(file, 0);
    disk_close(file);
    cr_assert_eq(symlink(scratch.path, scratch_join(scratch.path, "c")), 0);
    cr_assert_lt(disk_open(at, "c", DISK_DIRECTORY), 0);
    file = disk_open(at, "c", DISK_DIRECTORY_FOLLOW);
    cr_assert_geq(file, 0);
    disk_close(file);
}

Test(disk, does_not_block_on_a_fifo, .timeout = 10)
{
    struct disk_status status;
    cr_assert_eq(mkfifo(scratch_join(scratch.path, "f"), 0600), 0);
    int file = disk_open(at, "f", DISK_READ);
    cr_assert_geq(file, 0);
    cr_assert_eq(disk_status(file, &status), 0);
    cr_assert_eq(status.kind, DISK_OTHER);
    disk_close(file);
}

Test(disk, a_lock_belongs_to_the_open_file_and_ends_with_it)
{
    int one = disk_open(at, "L", DISK_UPDATE), two = disk_open(at, "L", DISK_UPDATE);
    int other = disk_open(at, "L", DISK_READ);
    cr_assert_eq(disk_lock(one), 0);
    cr_assert_eq(disk_lock(one), 0, "the holder may ask again");
    cr_assert_eq(disk_lock(two), -EAGAIN, "the same process conflicts too");
    cr_assert_eq(disk_is_locked(two), 1);
    cr_assert_eq(disk_is_locked(one), 0, "by another, that is");
    disk_close(other); /* a POSIX lock would be lost here */
    cr_assert_eq(disk_lock(two), -EAGAIN);
    disk_close(one);
    cr_assert_eq(disk_lock(two), 0);
    disk_close(two);
}

Test(disk, a_lock_is_freed_by_the_death_of_its_holder)
{
    int ready[2];
    char byte;
    cr_assert_eq(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        int mine = disk_open(at, "L", DISK_UPDATE);
        if (disk_lock(mine) != 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    int file = disk_open(at, "L", DISK_UPDATE);
    cr_assert_eq(disk_lock(file), -EAGAIN);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    cr_assert_eq(disk_lock(file), 0);
    disk_close(file);
}

Test(disk, renames_with_and_without_replacing)
{
    unsigned char byte;
    scratch_write(scratch_join(scratch.path, "a"), "1", 1);
    scratch_write(scratch_join(scratch.path, "b"), "2", 1);
    cr_assert_eq(disk_rename_new(at, "a", "b"), -EEXIST);
    cr_assert_eq(disk_rename_new(at, "a", "c"), 0);
    cr_assert_eq(disk_rename_new(at, "a", "d"), -ENOENT);
    cr_assert_eq(disk_rename(at, "c", "b"), 0);
    cr_assert_eq(scratch_read(scratch_join(scratch.path, "b"), &byte, 1), 1);
    cr_assert_eq(byte, '1');
}

static int count(void *context, const char *name, enum disk_kind kind)
{
    int *counts = context;
    (void)name;
    counts[kind]++;
    return 0;
}

static unsigned char *mapped(size_t size)
{
    unsigned char *memory = memory_map(size);
    cr_assert_not_null(memory);
    cr_assert_eq((uintptr_t)memory % memory_page(), 0);
    return memory;
}

Test(disk, maps_a_file_in_the_place_of_memory_and_keeps_it_without_name_or_descriptor)
{
    size_t page = memory_page();
    unsigned char *memory = mapped(3 * page);
    int file = disk_open(at, "file", DISK_CREATE);
    cr_assert_geq(file, 0);
    memset(memory, 1, 3 * page);
    cr_assert_eq(disk_reserve(file, 0, page), 0);
    struct disk_status status;
    cr_assert_eq(disk_status(file, &status), 0);
    cr_expect_eq(status.size, page);
    unsigned char *bytes = malloc(page);
    cr_assert_not_null(bytes);
    memset(bytes, 2, page);
    cr_assert_eq(disk_write(file, bytes, page, 0), (int64_t)page);
    free(bytes);
    cr_assert_eq(disk_map(file, 0, page, memory + page), 0);
    cr_assert_eq(disk_remove(at, "file"), 0);
    cr_assert_eq(disk_close(file), 0);
    for (size_t i = 0; i < 3 * page; i++)
        cr_assert_eq(memory[i], i / page == 1 ? 2 : 1);
    memory[0] = memory[2 * page] = 3; /* the rest is memory as before */
    memory_unmap(memory, 3 * page);
}

Test(disk, a_map_that_fails_leaves_the_memory_as_it_was)
{
    size_t page = memory_page();
    unsigned char *memory = mapped(page);
    int file = disk_open(at, "file", DISK_CREATE), folder = disk_open(at, ".", DISK_DIRECTORY);
    memset(memory, 1, page);
    cr_expect_eq(disk_map(-1, 0, page, memory), -EBADF);
    cr_expect_lt(disk_map(folder, 0, page, memory), 0);
    cr_expect_lt(disk_map(file, page / 2, page, memory), 0);
    cr_expect_lt(disk_map(file, UINT64_MAX, page, memory), 0);
    for (size_t i = 0; i < page; i++)
        cr_assert_eq(memory[i], 1);
    memory[0] = 2;
    memory_unmap(memory, page);
    disk_close(file);
    disk_close(folder);
}

Test(disk, reserves_what_there_is_and_no_more)
{
    int file = disk_open(at, "file", DISK_CREATE);
    cr_expect_eq(disk_reserve(file, UINT64_MAX, 1), -EFBIG);
    cr_expect_eq(disk_reserve(file, 0, UINT64_MAX), -EFBIG);
    cr_expect_lt(disk_reserve(file, 0, (uint64_t)1 << 60), 0); /* no disk is as large */
    cr_expect_eq(disk_reserve(-1, 0, 1), -EBADF);
    disk_close(file);
}

static int third(void *context, const char *name, enum disk_kind kind)
{
    int *calls = context;
    (void)name;
    (void)kind;
    return ++*calls == 3 ? 42 : 0;
}

Test(disk, lists_every_entry_with_its_kind_as_often_as_asked)
{
    cr_assert_eq(disk_make_folder(at, "folder"), 0);
    cr_assert_eq(disk_make_folder(at, "folder"), -EEXIST);
    scratch_write(scratch_join(scratch.path, "a"), "", 0);
    scratch_write(scratch_join(scratch.path, "b"), "", 0);
    cr_assert_eq(symlink("a", scratch_join(scratch.path, "link")), 0);
    for (int i = 0; i < 2; i++) {
        int counts[3] = {0};
        cr_assert_eq(disk_list(at, count, counts), 0);
        cr_assert(counts[DISK_FILE] == 2 && counts[DISK_FOLDER] == 1 && counts[DISK_OTHER] == 1);
    }
    int calls = 0;
    cr_assert_eq(disk_list(at, third, &calls), 42);
    cr_assert_eq(calls, 3);
    cr_assert_eq(disk_remove_folder(at, "folder"), 0);
    cr_assert_eq(disk_remove(at, "a"), 0);
    cr_assert_eq(disk_remove(at, "a"), -ENOENT);
}
