/* SPDX-License-Identifier: Apache-2.0
 *
 * folder: where a bench keeps its stores: a new directory in $TMPDIR, or /tmp, that goes with it.
 */
#ifndef FOLDER_H
#define FOLDER_H

#define FOLDER_ROOM 256

/* The path of `name` in the process's own folder, which the first call makes, and which is removed
 * when the process exits; not when it is killed. `name` is short; NULL: the folder itself. What
 * goes wrong ends the process, by die.h. One thread. */
const char *folder_path(const char *name, char path[FOLDER_ROOM]);

/* Takes away a file or a directory with all that is in it; what is not there is no error. */
void folder_remove(const char *path);

#endif
