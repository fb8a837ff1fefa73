/* SPDX-License-Identifier: Apache-2.0
 *
 * folder: see folder.h.
 */
#include "folder.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "die.h"

#define DEEP 32 /* descriptors that a walk may hold */

static char root[200];
static pid_t owner; /* a child that exits leaves it alone */

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status, (void)kind, (void)walk;
    return remove(path);
}

void folder_remove(const char *path)
{
    nftw(path, remove_one, DEEP, FTW_DEPTH | FTW_PHYS);
}

static void remove_root(void)
{
    if (getpid() == owner)
        folder_remove(root);
}

static void make_root(void)
{
    const char *folder = getenv("TMPDIR");
    snprintf(root, sizeof root, "%.180s/weir-bench-XXXXXX", folder && *folder ? folder : "/tmp");
    if (!mkdtemp(root)) {
        root[0] = 0;
        die("bench", "can't make a folder for the store: set TMPDIR");
    }
    owner = getpid();
    atexit(remove_root);
}

const char *folder_path(const char *name, char path[FOLDER_ROOM])
{
    if (!root[0])
        make_root();
    snprintf(path, FOLDER_ROOM, "%s%s%.50s", root, name ? "/" : "", name ? name : "");
    return path;
}
