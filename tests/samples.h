/* SPDX-License-Identifier: Apache-2.0
 *
 * samples: stores of a real job (rich_store.h), made once; what lies in them; and a desk on which
 * they are edited, also behind checksums: what is sealed is sealed again, from the inside to the
 * outside.
 *
 *   blobs     the raw content of what the newest checkpoint names. A blob that was changed comes to
 *             lie behind all others of its container, and the manifest says so.
 *   the text  of the newest manifest; it gets another seal
 *   LOCK      of the store and of the savepoint; both records get other checksums
 *   files     as they lie there, and nothing is put right
 *
 * An input can describe edits as well:
 *
 *   edits := edit*
 *   edit  := u8 how | u8 which | u16 where | u8 many | the bytes, if it takes some
 *
 * `which` counts all files of store and savepoint, all blobs, the text, the two LOCKs.
 */
#ifndef SAMPLES_H
#define SAMPLES_H

#include "fuzz_bytes.h"
#include "manifest.h"
#include "rich_store.h"

/* `large`: with lists. */
const struct rich *samples_store(bool large);
/* The n-th file whose path ends so; NULL: there are no more. */
const struct rich_file *samples_file(const char *ending, uint32_t n);
/* The raw content of the n-th blob of that kind in the newest checkpoint, over all tasks; false:
 * there are no more. */
bool samples_blob(bool large, enum blob_kind kind, uint32_t n, struct fuzz_bytes *raw);
/* The newest checkpoint's; lives as long as the process. */
const struct manifest *samples_manifest(bool large);

/* Seals a manifest's text anew; answers its size, or `size` where there is no room. */
size_t samples_seal(unsigned char *text, size_t size, size_t room);
/* The records of a LOCK file. */
void samples_seal_lock(unsigned char *bytes, size_t size);

/* --- the desk: to be used in this order, from the inside to the outside --- */

struct samples_desk;
struct samples_desk *samples_desk(bool large);
/* The n-th blob of that kind: its raw content, to be changed. NULL: there is none. */
struct fuzz_bytes *samples_edit_blob(struct samples_desk *desk, enum blob_kind kind, uint32_t n);
/* In its place these bytes, as they would be stored, header and frame; the manifest says
 * raw_size. */
void samples_replace_blob(struct samples_desk *desk, enum blob_kind kind, uint32_t n,
                          const unsigned char *stored, size_t size, uint64_t raw_size);
/* Without its seal, which it gets when it is put. */
struct fuzz_bytes *samples_edit_text(struct samples_desk *desk);
struct fuzz_bytes *samples_edit_lock(struct samples_desk *desk, bool savepoint);
struct fuzz_bytes *samples_edit_file(struct samples_desk *desk, const char *path);
/* Puts all of it on the simulated disk, and clears the desk away. */
void samples_put(struct samples_desk *desk);

/* The same with edits that an input describes. */
void samples_put_edited(bool large, struct fuzz_input edits);
/* The n-th of some edits to begin with, appended; false: there are no more. */
bool samples_edits(uint32_t n, struct fuzz_bytes *edits);

#endif
