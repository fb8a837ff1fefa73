/* SPDX-License-Identifier: Apache-2.0
 *
 * path: a folder and a name in it, joined in a buffer on the stack. The limits are Linux's; the
 * constructors refuse longer paths, so that nothing has to be cut off later.
 */
#ifndef PATH_H
#define PATH_H

#include <stdbool.h>

#define PATH_FOLDER_LIMIT 4095 /* bytes of a path given by the user */
#define PATH_NAME_LIMIT 255    /* bytes of a name in a folder */
#define PATH_ROOM (PATH_FOLDER_LIMIT + 1 + PATH_NAME_LIMIT + 1)

/* An empty name gives the folder itself. */
void path_join(char path[PATH_ROOM], const char *folder, const char *name);
/* The folder that holds `path`; "." for a bare name. */
void path_parent(char parent[PATH_ROOM], const char *path);
/* What follows the last slash. */
const char *path_base(const char *path);
/* Neither NULL, empty nor too long. */
bool path_is_sound(const char *path);

#endif
