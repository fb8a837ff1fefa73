/* SPDX-License-Identifier: Apache-2.0 */
#include "outside.h"
#include "path.h"

#include <stdio.h>
#include <string.h>

#define LOCK_MAGIC "WEIRLOCK" /* what a store's LOCK begins with */
#define LEVELS 64             /* folders above the output that are looked at */

static bool is_store(const struct weir_context *context, const char *folder)
{
    char path[PATH_ROOM], head[sizeof LOCK_MAGIC - 1];
    struct weir_file *file = NULL;
    size_t got = 0;
    path_join(path, folder, "LOCK");
    if (weir_file_open(weir_memory(context), path, WEIR_OPEN_READ, &file, NULL) != WEIR_OK)
        return false;
    if (weir_file_read(file, 0, head, sizeof head, &got, NULL) != WEIR_OK)
        got = 0;
    weir_file_close(&file, NULL);
    return got == sizeof head && memcmp(head, LOCK_MAGIC, sizeof head) == 0;
}

/* The kernel resolves "folder/../.." whatever links `folder` came through; at the root it stays. */
enum weir_result outside_check(struct weir_context *context, const char *folder)
{
    char at[PATH_ROOM];
    struct weir_file_status here, before = {0};
    if (weir_file_status(folder, &here, NULL) == WEIR_OK)
        path_join(at, folder, "");
    else
        path_parent(at, folder);
    for (unsigned i = 0; i < LEVELS; i++) {
        size_t end = strlen(at);
        if (weir_file_status(at, &here, NULL) != WEIR_OK || !here.folder ||
            (here.device == before.device && here.inode == before.inode) ||
            end + sizeof "/.." > sizeof at)
            return WEIR_OK;
        if (is_store(context, at))
            return weir_fail(context, WEIR_REFUSED,
                             "output %s lies in a store (%s): name a place outside of it", folder,
                             at);
        memcpy(at + end, "/..", sizeof "/..");
        before = here;
    }
    return WEIR_OK;
}
