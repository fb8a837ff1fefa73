/* SPDX-License-Identifier: Apache-2.0
 *
 * list: what a blob of kind BLOB_LIST holds: where the blobs of one segment of state lie, so that a
 * manifest names one blob a segment, however large that is. Of each blob, in the order of the
 * ranges of hashes, little-endian:
 *
 *   offset size
 *        0    4  container, counted from the segment's first (manifest_segment.from_number)
 *        4    4  the least upper half of a hash in it
 *        8    4  the greatest
 *       12    4  zero
 *       16    8  offset in the container, of its header
 *       24    8  raw size
 *       32    8  stored size
 *       40    8  checksum, as in its header
 *
 * Run, round and task that wrote them are the list's own. It has no absolute place in it, so a copy
 * of a segment, container by container, takes the list over as it is.
 *
 * I1  blobs lie one behind the other, containers follow without a gap from 0 on, and the list
 *     itself lies behind all of them.
 * I2  the ranges ascend, and two have at most one hash in common; together they are the segment's.
 * I3  the sizes add up to what the manifest says.
 */
#ifndef LIST_H
#define LIST_H

#include "manifest.h"

#define LIST_ENTRY_SIZE 48u

/* Of segment->blob_count blobs; `to` has LIST_ENTRY_SIZE bytes for each. */
void list_write(const struct manifest_segment *segment, const struct manifest_blob *blobs,
                unsigned char *to);

/* Fills `blobs`, segment->blob_count of them. WEIR_DAMAGED when it is not a list of this segment,
 * and then says what it breaks. */
enum weir_result list_read(const struct manifest_segment *segment, struct weir_bytes raw,
                           struct manifest_blob *blobs, struct weir_error *error) WEIR_MUST_USE;

#endif
