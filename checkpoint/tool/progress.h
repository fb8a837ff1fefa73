/* SPDX-License-Identifier: Apache-2.0
 *
 * progress: a bar on a terminal's standard error for work that takes more than a second: how much
 * of what is to be read was read. It goes away when the work is done.
 */
#ifndef PROGRESS_H
#define PROGRESS_H

#include "tool.h"

struct progress {
    struct weir_store *store;
    uint64_t total, done; /* bytes */
    int64_t next_ns;      /* monotonic; when the bar may be drawn again */
    bool terminal, shown;
};

/* `total` bytes of the store are to be read until progress_end. */
void progress_begin(struct progress *progress, struct weir_store *store, uint64_t total);
/* Takes the bar away until there is more: before something is printed. */
void progress_hide(struct progress *progress);
void progress_end(struct progress *progress);

#endif
