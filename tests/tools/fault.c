/* SPDX-License-Identifier: Apache-2.0
 *
 * fault: for LD_PRELOAD. Counts the file calls of a whole process, over all threads, and lets the
 * k-th of them kill the process, fail, or do half of what it should. What is counted is what
 * checkpoint/disk.c calls; descriptors that were not opened through openat are nobody's business.
 *
 *   WEIR_FAULT=kill    SIGKILL before call k
 *   WEIR_FAULT=torn    a write does its first half, then SIGKILL; other calls: as kill
 *   WEIR_FAULT=fail    call k is not made and answers errno; a close is made
 *   WEIR_FAULT=late    call k is made, and answers errno all the same
 *   WEIR_FAULT=short   a read or write does its first half; other calls: nothing
 *   WEIR_FAULT=stall   call k does not come back: a disk that does not answer
 *   WEIR_FAULT=stop    SIGSTOP before call k: who wakes it lets it go on
 *   WEIR_FAULT_NO_LOCK=1      locks are given to whoever asks, as some network file systems do
 *   WEIR_FAULT_AT=k    counted from 1; without it nothing fires
 *   WEIR_FAULT_LAST=l  for fail, late and short: calls k to l; default k
 *   WEIR_FAULT_ERRNO=n the number; default EIO
 *   WEIR_FAULT_ONLY=a,b       counts only calls of these names
 *   WEIR_FAULT_ONCE=file      fires only where it can make that file: once, over all processes
 *   WEIR_FAULT_OLD_RENAME=1   renameat2 answers EINVAL, as on file systems that lack it
 *   WEIR_FAULT_LOG=file       appended to: "fired k CALL PATH after CALL PATH" (the call that the
 *                             same thread made before) and at a clean exit "calls N"
 *   WEIR_FAULT_TRACE=1        every call in the log
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILES 4096
#define PLACE 320

enum mode { NONE, KILL, TORN, FAIL, LATE, SHORT, STALL, STOP };

/* Set before main, read only then. */
static struct {
    enum mode mode;
    long at, last;
    int error;
    const char *only, *once;
    bool old_rename, no_lock, trace;
    int log;
} plan = {.log = -1};

static atomic_long calls;
static atomic_bool ours[FILES]; /* descriptors that openat gave */
static _Thread_local char before[PLACE] = "nothing";

static struct {
    int (*openat)(int, const char *, int, ...);
    int (*close)(int);
    ssize_t (*pread)(int, void *, size_t, off_t);
    ssize_t (*pwrite)(int, const void *, size_t, off_t);
    int (*fsync)(int);
    int (*fdatasync)(int);
    int (*fallocate)(int, int, off_t, off_t);
    int (*fstat)(int, struct stat *);
    int (*fstatat)(int, const char *, struct stat *, int);
    int (*mkdirat)(int, const char *, mode_t);
    int (*unlinkat)(int, const char *, int);
    int (*renameat)(int, const char *, int, const char *);
    int (*renameat2)(int, const char *, int, const char *, unsigned);
    int (*linkat)(int, const char *, int, const char *, int);
    int (*fcntl)(int, int, ...);
    DIR *(*fdopendir)(int);
    struct dirent *(*readdir)(DIR *);
    int (*closedir)(DIR *);
} libc;

static long number(const char *name, long standard)
{
    const char *text = getenv(name);
    return text == NULL ? standard : strtol(text, NULL, 10);
}

static enum mode mode_of(const char *name)
{
    static const char *const names[] = {"",     "kill",  "torn",  "fail",
                                        "late", "short", "stall", "stop"};
    for (int i = 1; name != NULL && i < 8; i++)
        if (strcmp(name, names[i]) == 0)
            return (enum mode)i;
    return NONE;
}

/* dlsym answers an object pointer; POSIX says that it may be made a function's, C does not. */
#define FIND(name)                                                                                 \
    do {                                                                                           \
        void *found = dlsym(RTLD_NEXT, #name);                                                     \
        memcpy(&libc.name, &found, sizeof found);                                                  \
    } while (0)

__attribute__((constructor)) static void begin(void)
{
    FIND(openat);
    FIND(close);
    FIND(pread);
    FIND(pwrite);
    FIND(fsync);
    FIND(fdatasync);
    FIND(fallocate);
    FIND(fstat);
    FIND(fstatat);
    FIND(mkdirat);
    FIND(unlinkat);
    FIND(renameat);
    FIND(renameat2);
    FIND(linkat);
    FIND(fcntl);
    FIND(fdopendir);
    FIND(readdir);
    FIND(closedir);
    plan.mode = mode_of(getenv("WEIR_FAULT"));
    plan.at = number("WEIR_FAULT_AT", 0);
    plan.last = number("WEIR_FAULT_LAST", plan.at);
    plan.error = (int)number("WEIR_FAULT_ERRNO", EIO);
    plan.only = getenv("WEIR_FAULT_ONLY");
    plan.once = getenv("WEIR_FAULT_ONCE");
    plan.old_rename = getenv("WEIR_FAULT_OLD_RENAME") != NULL;
    plan.no_lock = getenv("WEIR_FAULT_NO_LOCK") != NULL;
    plan.trace = getenv("WEIR_FAULT_TRACE") != NULL;
    const char *log = getenv("WEIR_FAULT_LOG");
    if (log != NULL)
        plan.log = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* One write: lines of several threads do not mix. */
__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
    char line[3 * PLACE];
    va_list list;

    if (plan.log < 0)
        return;
    va_start(list, format);
    int size = vsnprintf(line, sizeof line, format, list);
    va_end(list);
    if (size > 0 && write(plan.log, line, (size_t)size) < 0)
        plan.log = -1;
}

__attribute__((destructor)) static void end(void)
{
    note("calls %ld\n", atomic_load(&calls));
}

static bool is_ours(int file)
{
    return file >= 0 && file < FILES && atomic_load(&ours[file]);
}

static int opened(int file)
{
    if (file >= 0 && file < FILES)
        atomic_store(&ours[file], true);
    return file;
}

static void describe(char place[PLACE], const char *call, int file, const char *path)
{
    char link[32], folder[PLACE / 2];

    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = file < 0 ? -1 : readlink(link, folder, sizeof folder - 1);
    folder[size < 0 ? 0 : size] = 0;
    if (path == NULL)
        snprintf(place, PLACE, "%s %s", call, folder);
    else if (folder[0] == 0 || path[0] == '/')
        snprintf(place, PLACE, "%s %.150s", call, path);
    else
        snprintf(place, PLACE, "%s %s/%.100s", call, folder, path);
}

static bool counted(const char *call)
{
    size_t size = strlen(call);
    const char *at = plan.only;
    while (at != NULL) {
        if (strncmp(at, call, size) == 0 && (at[size] == 0 || at[size] == ','))
            return true;
        at = strchr(at, ',');
        at = at == NULL ? NULL : at + 1;
    }
    return plan.only == NULL;
}

static void die(void)
{
    for (;;) {
        kill(getpid(), SIGKILL);
        pause();
    }
}

static bool may_fire(void)
{
    int made = plan.once == NULL ? -1 : open(plan.once, O_CREAT | O_EXCL | O_WRONLY, 0600);

    if (made >= 0)
        libc.close(made);
    return plan.once == NULL || made >= 0;
}

/* Counts the call, and says what is to become of it: NONE, TORN, FAIL, LATE or SHORT. */
static enum mode meet(const char *call, int file, const char *path)
{
    int kept = errno;
    char place[PLACE];
    enum mode mode = NONE;

    if (!counted(call))
        return NONE;
    long k = atomic_fetch_add(&calls, 1) + 1;
    bool once = plan.mode == KILL || plan.mode == TORN;
    if (plan.at > 0 && k >= plan.at && k <= (once ? plan.at : plan.last))
        mode = plan.mode;
    if (plan.log >= 0) {
        describe(place, call, file, path);
        if (mode != NONE)
            note("fired %ld %s after %s\n", k, place, before);
        else if (plan.trace)
            note("call %ld %s\n", k, place);
        memcpy(before, place, sizeof before);
    }
    if (mode != NONE && !may_fire())
        mode = NONE;
    if (mode == KILL || (mode == TORN && strcmp(call, "pwrite") != 0))
        die();
    while (mode == STALL)
        pause();
    if (mode == STOP) {
        raise(SIGSTOP);
        mode = NONE;
    }
    errno = kept;
    return mode;
}

/* What the call answers after it was made. */
static long leave(enum mode mode, long result)
{
    if (mode == LATE && result >= 0) {
        errno = plan.error;
        return -1;
    }
    return result;
}

static int failed(void)
{
    errno = plan.error;
    return -1;
}

/* ---- the calls ---- */

int openat(int at, const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(list, mode_t) : 0;
    va_end(list);
    enum mode what = meet("openat", at, path);
    if (what == FAIL)
        return failed();
    int file = libc.openat(at, path, flags, mode);
    if (what == LATE && file >= 0) {
        libc.close(file);
        return failed();
    }
    return opened(file);
}

int close(int file)
{
    if (!is_ours(file))
        return libc.close(file);
    enum mode what = meet("close", file, NULL);
    atomic_store(&ours[file], false);
    int result = libc.close(file);
    return what == FAIL || what == LATE ? failed() : result;
}

ssize_t pread(int file, void *data, size_t size, off_t offset)
{
    enum mode what = meet("pread", file, NULL);
    if (what == FAIL)
        return failed();
    return leave(what, libc.pread(file, data, what == SHORT ? (size + 1) / 2 : size, offset));
}

ssize_t pwrite(int file, const void *data, size_t size, off_t offset)
{
    enum mode what = meet("pwrite", file, NULL);
    if (what == FAIL)
        return failed();
    bool half = what == SHORT || what == TORN;
    ssize_t result = libc.pwrite(file, data, half ? (size + 1) / 2 : size, offset);
    if (what == TORN)
        die();
    return leave(what, result);
}

int fsync(int file)
{
    enum mode what = meet("fsync", file, NULL);
    return what == FAIL ? failed() : (int)leave(what, libc.fsync(file));
}

int fdatasync(int file)
{
    enum mode what = meet("fdatasync", file, NULL);
    return what == FAIL ? failed() : (int)leave(what, libc.fdatasync(file));
}

int fallocate(int file, int mode, off_t offset, off_t size)
{
    enum mode what = meet("fallocate", file, NULL);
    return what == FAIL ? failed() : (int)leave(what, libc.fallocate(file, mode, offset, size));
}

/* Of files only: memory is not the disk's. As a call of the kernel, for it may come before the rest
 * of this file is ready. */
void *mmap(void *at, size_t size, int protection, int flags, int file, off_t offset)
{
    enum mode what = file >= 0 && is_ours(file) ? meet("mmap", file, NULL) : NONE;
    if (what == FAIL) {
        failed();
        return MAP_FAILED;
    }
    /* what was mapped late would be in the place of memory that is still used */
    return (void *)syscall(SYS_mmap, at, size, protection, flags, file, offset);
}

int fstat(int file, struct stat *status)
{
    if (!is_ours(file))
        return libc.fstat(file, status);
    enum mode what = meet("fstat", file, NULL);
    return what == FAIL ? failed() : (int)leave(what, libc.fstat(file, status));
}

int fstatat(int at, const char *path, struct stat *status, int flags)
{
    enum mode what = meet("fstatat", at, path);
    return what == FAIL ? failed() : (int)leave(what, libc.fstatat(at, path, status, flags));
}

int mkdirat(int at, const char *path, mode_t mode)
{
    enum mode what = meet("mkdirat", at, path);
    return what == FAIL ? failed() : (int)leave(what, libc.mkdirat(at, path, mode));
}

int unlinkat(int at, const char *path, int flags)
{
    enum mode what = meet("unlinkat", at, path);
    return what == FAIL ? failed() : (int)leave(what, libc.unlinkat(at, path, flags));
}

int renameat(int at, const char *from, int to_at, const char *to)
{
    enum mode what = meet("renameat", to_at, to);
    return what == FAIL ? failed() : (int)leave(what, libc.renameat(at, from, to_at, to));
}

int renameat2(int at, const char *from, int to_at, const char *to, unsigned flags)
{
    enum mode what = meet("renameat2", to_at, to);
    if (what == FAIL)
        return failed();
    if (plan.old_rename && what == NONE) {
        errno = EINVAL;
        return -1;
    }
    return (int)leave(what, libc.renameat2(at, from, to_at, to, flags));
}

int linkat(int at, const char *from, int to_at, const char *to, int flags)
{
    enum mode what = meet("linkat", to_at, to);
    return what == FAIL ? failed() : (int)leave(what, libc.linkat(at, from, to_at, to, flags));
}

int fcntl(int file, int command, ...)
{
    va_list list;
    va_start(list, command);
    void *argument = va_arg(list, void *); /* an int comes through as well, on Linux */
    va_end(list);
    enum mode what = command == F_OFD_SETLK ? meet("fcntl", file, NULL) : NONE;
    if (plan.no_lock && command == F_OFD_SETLK && what == NONE)
        return 0;
    return what == FAIL ? failed() : (int)leave(what, libc.fcntl(file, command, argument));
}

DIR *fdopendir(int file)
{
    enum mode what = meet("fdopendir", file, NULL);
    if (what == FAIL || what == LATE) {
        errno = plan.error;
        return NULL;
    }
    return libc.fdopendir(file);
}

/* The end of a directory and an error look alike, but for errno. */
struct dirent *readdir(DIR *folder)
{
    enum mode what = meet("readdir", dirfd(folder), NULL);
    if (what == FAIL || what == LATE) {
        errno = plan.error;
        return NULL;
    }
    return libc.readdir(folder);
}

int closedir(DIR *folder)
{
    int file = dirfd(folder);
    if (file >= 0 && file < FILES)
        atomic_store(&ours[file], false);
    return libc.closedir(folder);
}

/* The same calls by their other names. */
int openat64(int at, const char *path, int flags, ...) __attribute__((alias("openat")));
ssize_t pread64(int file, void *data, size_t size, off_t offset) __attribute__((alias("pread")));
ssize_t pwrite64(int file, const void *data, size_t size, off_t offset)
    __attribute__((alias("pwrite")));
