/* SPDX-License-Identifier: Apache-2.0 */
#include "scan.h"

#define SCAN_KEYS 256
#define SCAN_BYTES ((size_t)256 << 10)

enum weir_progress scan_some(struct weir_context *context, unsigned state,
                             enum weir_result (*each)(void *self, struct weir_context *context,
                                                      struct weir_bytes key,
                                                      struct weir_bytes value),
                             void *self)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < SCAN_KEYS && bytes < SCAN_BYTES; i++) {
        struct weir_bytes key, value;
        if (!weir_scan_next(context, state, &key, &value) ||
            each(self, context, key, value) != WEIR_OK)
            return WEIR_END;
        bytes += value.size;
    }
    return WEIR_MORE;
}
