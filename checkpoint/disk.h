/* SPDX-License-Identifier: Apache-2.0
 *
 * disk: the door to files. One call here is one file call there - no loops, no retries, no
 * buffering - so that a test can fail, shorten or kill at each of them. disk.c is POSIX; the
 * simulated one (in memory, with a cached and a durable view) is chosen at link time.
 *
 * Every function returns >= 0, or -errno. Paths are relative to the directory descriptor `at`
 * (DISK_CWD for the working directory). Descriptors are close-on-exec. Opening never follows a
 * symbolic link in the last component, never blocks on a FIFO, never gets a controlling terminal.
 * Any thread.
 */
#ifndef DISK_H
#define DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DISK_CWD (-100)

enum disk_open {
    DISK_READ,        /* an existing file, read only */
    DISK_READ_FOLLOW, /* the same; a symbolic link is followed (inputs named by users) */
    DISK_CREATE,      /* a new file, read and write, mode 0600: -EEXIST when the name is taken */
    DISK_UPDATE,      /* read and write, created 0600 when missing (LOCK) */
    DISK_DIRECTORY,   /* an existing directory */
    DISK_DIRECTORY_FOLLOW,
};

enum disk_kind { DISK_FILE, DISK_FOLDER, DISK_OTHER };

struct disk_status {
    enum disk_kind kind;
    uint32_t mode; /* permission bits */
    uint32_t owner;
    uint64_t size; /* bytes */
    uint64_t device;
    uint64_t inode;
    int64_t modified_ns; /* since 1970 */
};

int disk_open(int at, const char *path, enum disk_open how);
int disk_close(int file);
/* As pread and pwrite: may do less than asked; 0 from read is the end of the file. */
int64_t disk_read(int file, void *data, size_t size, uint64_t offset);
int64_t disk_write(int file, const void *data, size_t size, uint64_t offset);
int disk_sync(int file); /* fsync; also for directories */
/* Takes the disk space of these bytes now, zeros where there was nothing, so that neither a write
 * nor a read of the mapped file finds the disk full later. -EOPNOTSUPP: the file system can't. */
int disk_reserve(int file, uint64_t offset, uint64_t size);
/* Puts these bytes of the file, read only, in the place of `size` bytes of memory_map's memory, in
 * one step: who reads there meanwhile has the old bytes or the file's. All of whole pages. The
 * mapping outlives the descriptor, and ends with memory_unmap. After a failure the old bytes are
 * there: the kernel looks at what it is asked, and at the process's limits, before it lets go of
 * them. */
int disk_map(int file, uint64_t offset, size_t size, void *at);
int disk_status(int file, struct disk_status *status);
int disk_status_at(int at, const char *path, struct disk_status *status); /* follows no link */
int disk_make_folder(int at, const char *path);                           /* mode 0700 */
int disk_remove(int at, const char *path);
int disk_remove_folder(int at, const char *path);
int disk_rename(int at, const char *from, const char *to); /* replaces */
/* Never replaces: -EEXIST when `to` is there. Falls back to link and unlink where the file system
 * has no such rename. */
int disk_rename_new(int at, const char *from, const char *to);
/* Tries to take the exclusive lock that belongs to the open file description: -EAGAIN when another
 * one holds it. Freed by close or death. */
int disk_lock(int file);
/* 1 when another open file description holds it, 0 when none does. Takes nothing, so nobody who
 * tries to is turned away; `file` may be open for reading only. */
int disk_is_locked(int file);
/* Lets go of it, also where a forked child still has the description open. */
int disk_unlock(int file);
/* Calls `each` for every entry but "." and ".."; order is the file system's. Stops when it returns
 * non-zero and returns that. */
int disk_list(int folder, int (*each)(void *context, const char *name, enum disk_kind kind),
              void *context);
uint32_t disk_user(void);    /* effective user id: who should own the store */
uint32_t disk_process(void); /* process id: told to the run that finds the store locked */

#endif
