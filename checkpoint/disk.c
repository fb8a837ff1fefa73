/* SPDX-License-Identifier: Apache-2.0
 *
 * disk: the real door, POSIX and Linux. One call here is one file call there; loops over short
 * counts live in file.c, so that they run over the simulated door as well.
 */
#include "disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(DISK_CWD == AT_FDCWD, "disk.h spells AT_FDCWD without the include");
_Static_assert(sizeof(off_t) == 8, "offsets are 64 bits");

static int answer(int result)
{
    return result < 0 ? -errno : result;
}

int disk_open(int at, const char *path, enum disk_open how)
{
    int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK; /* a FIFO must not block; files don't care */
    switch (how) {
    case DISK_READ:
        flags |= O_RDONLY | O_NOFOLLOW;
        break;
    case DISK_READ_FOLLOW:
        flags |= O_RDONLY;
        break;
    case DISK_CREATE:
        flags |= O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW;
        break;
    case DISK_UPDATE:
        flags |= O_RDWR | O_CREAT | O_NOFOLLOW;
        break;
    case DISK_DIRECTORY:
        flags |= O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
        break;
    case DISK_DIRECTORY_FOLLOW:
        flags |= O_RDONLY | O_DIRECTORY;
        break;
    }
    return answer(openat(at, path, flags, 0600));
}

/* Not repeated after EINTR: on Linux the descriptor is gone either way. */
int disk_close(int file)
{
    return answer(close(file));
}

int64_t disk_read(int file, void *data, size_t size, uint64_t offset)
{
    if (offset > INT64_MAX)
        return -EINVAL;
    ssize_t got = pread(file, data, size < SSIZE_MAX ? size : SSIZE_MAX, (off_t)offset);
    return got < 0 ? -errno : got;
}

int64_t disk_write(int file, const void *data, size_t size, uint64_t offset)
{
    if (offset > INT64_MAX)
        return -EFBIG;
    ssize_t put = pwrite(file, data, size < SSIZE_MAX ? size : SSIZE_MAX, (off_t)offset);
    return put < 0 ? -errno : put;
}

int disk_sync(int file)
{
    return answer(fsync(file));
}

/* Not posix_fallocate: where the file system has no such call it would write zeros, for long. */
int disk_reserve(int file, uint64_t offset, uint64_t size)
{
    if (offset > INT64_MAX || size > INT64_MAX - offset)
        return -EFBIG;
    return answer(fallocate(file, 0, (off_t)offset, (off_t)size));
}

int disk_map(int file, uint64_t offset, size_t size, void *at)
{
    if (offset > INT64_MAX)
        return -EINVAL;
    void *mapped = mmap(at, size, PROT_READ, MAP_SHARED | MAP_FIXED, file, (off_t)offset);
    return mapped == MAP_FAILED ? -errno : 0;
}

static void describe(const struct stat *from, struct disk_status *status)
{
    *status = (struct disk_status){
        .kind = S_ISREG(from->st_mode)   ? DISK_FILE
                : S_ISDIR(from->st_mode) ? DISK_FOLDER
                                         : DISK_OTHER,
        .mode = from->st_mode & 07777,
        .owner = from->st_uid,
        .size = (uint64_t)from->st_size,
        .device = from->st_dev,
        .inode = from->st_ino,
        .modified_ns = (int64_t)from->st_mtim.tv_sec * 1000000000 + from->st_mtim.tv_nsec,
    };
}

int disk_status(int file, struct disk_status *status)
{
    struct stat got;
    if (fstat(file, &got) < 0)
        return -errno;
    describe(&got, status);
    return 0;
}

int disk_status_at(int at, const char *path, struct disk_status *status)
{
    struct stat got;
    if (fstatat(at, path, &got, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    describe(&got, status);
    return 0;
}

int disk_make_folder(int at, const char *path)
{
    return answer(mkdirat(at, path, 0700));
}

int disk_remove(int at, const char *path)
{
    return answer(unlinkat(at, path, 0));
}

int disk_remove_folder(int at, const char *path)
{
    return answer(unlinkat(at, path, AT_REMOVEDIR));
}

int disk_rename(int at, const char *from, const char *to)
{
    return answer(renameat(at, from, at, to));
}

int disk_rename_new(int at, const char *from, const char *to)
{
    if (renameat2(at, from, at, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    if (linkat(at, from, at, to, 0) < 0)
        return -errno;
    return answer(unlinkat(at, from, 0));
}

int disk_lock(int file)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(file, F_OFD_SETLK, &lock) == 0)
        return 0;
    return errno == EACCES ? -EAGAIN : -errno; /* POSIX allows both for a conflict */
}

int disk_is_locked(int file)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(file, F_OFD_GETLK, &lock) == 0 ? lock.l_type != F_UNLCK : -errno;
}

int disk_unlock(int file)
{
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    return fcntl(file, F_OFD_SETLK, &lock) == 0 ? 0 : -errno;
}

static enum disk_kind kind_of(int folder, const struct dirent *entry)
{
    struct disk_status status = {.kind = DISK_OTHER};
    switch (entry->d_type) {
    case DT_REG:
        return DISK_FILE;
    case DT_DIR:
        return DISK_FOLDER;
    case DT_UNKNOWN: /* some file systems don't say */
        return disk_status_at(folder, entry->d_name, &status) == 0 ? status.kind : DISK_OTHER;
    default:
        return DISK_OTHER;
    }
}

static int walk(DIR *open, int folder,
                int (*each)(void *context, const char *name, enum disk_kind kind), void *context)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(open);
        if (entry == NULL)
            return -errno;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int result = each(context, entry->d_name, kind_of(folder, entry));
        if (result != 0)
            return result;
    }
}

/* Through a descriptor of its own: a directory stream would move the caller's position. */
int disk_list(int folder, int (*each)(void *context, const char *name, enum disk_kind kind),
              void *context)
{
    int own = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (own < 0)
        return -errno;
    DIR *open = fdopendir(own);
    if (open == NULL) {
        int result = -errno;
        close(own);
        return result;
    }
    int result = walk(open, folder, each, context);
    closedir(open);
    return result;
}

uint32_t disk_user(void)
{
    return geteuid();
}

uint32_t disk_process(void)
{
    return (uint32_t)getpid();
}
