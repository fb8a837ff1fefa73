/* SPDX-License-Identifier: Apache-2.0 */
#include "control_store.h"

#include <stdio.h>

#include "weir_checkpoint.h"

enum weir_result control_store_of(const char *path, struct control_store *store,
                                  struct weir_error *error)
{
    struct weir_store *view = NULL;
    enum weir_result result = weir_store_open(path, NULL, &view, error);

    if (result == WEIR_OK)
        snprintf(store->id, sizeof store->id, "%s", weir_store_identity(view));
    weir_store_close(&view);
    return result == WEIR_OK ? control_name(path, store->id, store->name, error) : result;
}
