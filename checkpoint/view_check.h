/* SPDX-License-Identifier: Apache-2.0
 *
 * view_check: is what a blob holds well-formed? For whoever reads a checkpoint: those who look at
 * it, and a job that starts from it. Nothing of a blob is used before.
 */
#ifndef VIEW_CHECK_H
#define VIEW_CHECK_H

#include "manifest.h"

/* What is wrong with a blob whose checksums hold, that `place` of that task names: NULL when
 * nothing is. */
const char *view_check(const struct manifest *manifest, uint32_t task,
                       const struct manifest_blob *place, const struct blob_buffer *raw);
/* Says so. */
enum weir_result view_damaged(const struct manifest *manifest, uint32_t task,
                              const struct manifest_blob *place, const char *what,
                              struct weir_error *error);

#endif
