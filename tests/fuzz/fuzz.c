/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <string.h>

const struct fuzz_target *const fuzz_targets[FUZZ_TARGETS] = {
    &fuzz_blob,    &fuzz_lock,   &fuzz_frame,   &fuzz_items,   &fuzz_list,    &fuzz_manifest,
    &fuzz_part,    &fuzz_state,  &fuzz_options, &fuzz_control, &fuzz_journal, &fuzz_history,
    &fuzz_records, &fuzz_format, &fuzz_view,    &fuzz_restore,
};

const struct fuzz_target *fuzz_find(const char *name)
{
    for (uint32_t i = 0; i < FUZZ_TARGETS; i++)
        if (strcmp(fuzz_targets[i]->name, name) == 0)
            return fuzz_targets[i];
    return NULL;
}
