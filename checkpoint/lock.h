/* SPDX-License-Identifier: Apache-2.0
 *
 * lock: what stands in a store's LOCK file. The lock itself is the kernel's and belongs to the
 * inode, so LOCK is never replaced by a rename: it holds two records, written in turn, and the
 * sound one with the larger epoch counts. A write torn by a power cut spoils the older record only.
 *
 *   offset size   of one record; little-endian; the second record starts at 128
 *        0    8  "WEIRLOCK"
 *        8    1  format version, 1
 *        9    1  byte order of the machine: 1 little, 2 big
 *       10    2  zero
 *       12    4  key groups
 *       16   16  store id
 *       32    4  epoch
 *       36    4  process id of the run, for the message to the next one
 *       40    8  id of the savepoint that the store was begun with; 0: none
 *       48    1  what has it: 0 a run, 1 a cleaning; older weirs wrote 0, and pass over it
 *       49   71  zero
 *      120    8  XXH3-64 of bytes 0..119
 *
 * K1  a new LOCK gets both records at once, epochs 0 and 1: from then on an unsound record is a
 *     torn write or damage, and may have held the next epoch: that one is skipped.
 * K2  the record that counts is never the one written over.
 */
#ifndef LOCK_H
#define LOCK_H

#include "manifest.h"

#define LOCK_RECORD_SIZE 128
#define LOCK_SIZE (2 * LOCK_RECORD_SIZE)

struct lock_record {
    uint32_t epoch;
    uint32_t process;
    uint32_t key_groups;
    unsigned char store_id[STORE_ID_SIZE];
    bool cleaning;       /* the process is no run: it takes away what nobody needs */
    uint64_t begun_with; /* a savepoint's id: until the store has a checkpoint of its own, it is not
                          * a new one; 0: none */
};

struct lock_content {
    struct lock_record record; /* the one that counts; valid when sound_count > 0 */
    unsigned slot;             /* where it lies: 0 or 1 */
    unsigned sound_count;      /* 0, 1 or 2 */
};

void lock_encode(const struct lock_record *record, unsigned char bytes[LOCK_RECORD_SIZE]);
/* WEIR_OK also when neither is sound: what that means depends on the rest of the directory.
 * WEIR_UNSUPPORTED: sound, but of a newer version or another byte order. */
enum weir_result lock_decode(const unsigned char bytes[LOCK_SIZE], struct lock_content *content,
                             struct weir_error *error) WEIR_MUST_USE;
enum weir_result lock_read(int file, struct lock_content *content,
                           struct weir_error *error) WEIR_MUST_USE;
/* Writes and syncs the next record (K2), and the other one where K1 asks for it. */
enum weir_result lock_write(int file, const struct lock_content *before,
                            const struct lock_record *record,
                            struct weir_error *error) WEIR_MUST_USE;

#endif
