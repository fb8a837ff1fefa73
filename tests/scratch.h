/* SPDX-License-Identifier: Apache-2.0
 *
 * scratch: a temporary folder for one test, and whole files in it. Header only; a failure ends the
 * test.
 */
#ifndef SCRATCH_H
#define SCRATCH_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct scratch {
    char path[128];
};

static inline struct scratch scratch_make(void)
{
    struct scratch scratch;
    /* In memory where possible: these tests sync thousands of times. */
    const char *where = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(scratch.path, sizeof scratch.path, "%s/weir_test_XXXXXX", where);
    cr_assert_not_null(mkdtemp(scratch.path));
    return scratch;
}

static inline int scratch_remove_one(const char *path, const struct stat *status, int kind,
                                     struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

static inline void scratch_free(struct scratch *scratch)
{
    nftw(scratch->path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* folder/name, in one of a few static buffers. */
static inline const char *scratch_join(const char *folder, const char *name)
{
    static char paths[8][512];
    static unsigned next;
    char path[sizeof paths[0]]; /* `folder` may be one of them */
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return strcpy(paths[next++ % 8], path);
}

static inline size_t scratch_read(const char *path, unsigned char *bytes, size_t size)
{
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file, "%s", path);
    size_t got = fread(bytes, 1, size, file);
    fclose(file);
    return got;
}

static inline void scratch_write(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    cr_assert_not_null(file, "%s", path);
    cr_assert_eq(fwrite(bytes, 1, size, file), size);
    cr_assert_eq(fclose(file), 0);
}

static inline bool scratch_exists(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0;
}

#endif
