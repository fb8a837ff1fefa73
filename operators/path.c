/* SPDX-License-Identifier: Apache-2.0 */
#include "path.h"

#include <stdio.h>
#include <string.h>

void path_join(char path[PATH_ROOM], const char *folder, const char *name)
{
    if (name[0] == '\0')
        snprintf(path, PATH_ROOM, "%.*s", PATH_FOLDER_LIMIT, folder);
    else
        snprintf(path, PATH_ROOM, "%.*s/%.*s", PATH_FOLDER_LIMIT, folder, PATH_NAME_LIMIT, name);
}

void path_parent(char parent[PATH_ROOM], const char *path)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    while (end > 0 && path[end - 1] != '/')
        end--;
    if (end == 0) {
        snprintf(parent, PATH_ROOM, ".");
        return;
    }
    while (end > 1 && path[end - 1] == '/')
        end--;
    snprintf(parent, PATH_ROOM, "%.*s", (int)end, path);
}

const char *path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] != '\0' ? slash + 1 : path;
}

bool path_is_sound(const char *path)
{
    return path && path[0] != '\0' && strlen(path) <= PATH_FOLDER_LIMIT;
}
