/* SPDX-License-Identifier: Apache-2.0
 *
 * nameless: the files in a folder that have lost their names and are still open in this process.
 * Header only.
 */
#ifndef NAMELESS_H
#define NAMELESS_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How many there are; each is cut to `size` bytes, unless that is negative. */
static inline unsigned nameless_files(const char *folder, long size)
{
    static const char end[] = " (deleted)";
    unsigned count = 0;
    DIR *list = opendir("/proc/self/fd");
    cr_assert_not_null(list);
    for (const struct dirent *entry = readdir(list); entry; entry = readdir(list)) {
        char target[512] = "", link[300];
        snprintf(link, sizeof link, "/proc/self/fd/%s", entry->d_name);
        if (readlink(link, target, sizeof target - 1) < 0)
            continue;
        size_t length = strlen(target);
        if (strncmp(target, folder, strlen(folder)) != 0 || length < sizeof end ||
            strcmp(target + length - (sizeof end - 1), end) != 0)
            continue;
        count++;
        if (size >= 0)
            cr_assert_eq(ftruncate(atoi(entry->d_name), size), 0);
    }
    closedir(list);
    return count;
}

/* Names in the folder, "." and ".." not counted. */
static inline unsigned named_files(const char *folder)
{
    unsigned count = 0;
    DIR *list = opendir(folder);
    cr_assert_not_null(list, "%s", folder);
    for (const struct dirent *entry = readdir(list); entry; entry = readdir(list))
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(list);
    return count;
}

#endif
