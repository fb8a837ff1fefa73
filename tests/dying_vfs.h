/* SPDX-License-Identifier: Apache-2.0
 *
 * dying_vfs: SQLite's file calls, so that they die with those of fake_context. It stands before the
 * system's own; calls that change something count in fake_file_calls and fail above the limit, the
 * first write of them half done. Locks and shared memory are left to the system: what a dead
 * process had of them goes when its connection is closed.
 */
#ifndef DYING_VFS_H
#define DYING_VFS_H

#include <stdbool.h>

/* Becomes what sqlite3_open uses. Once a process. */
void dying_vfs_install(void);
/* While set, no write finds room. */
extern bool dying_vfs_full;
/* So many calls that change something from now on, one fails, it alone; 0: none, or it has. */
extern unsigned dying_vfs_fail_at;

#endif
