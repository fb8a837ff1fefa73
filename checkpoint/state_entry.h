/* SPDX-License-Identifier: Apache-2.0
 *
 * state_entry: how one entry of a state's log lies in memory and on disk: segment.h has the layout.
 * In memory a value's size carries flags, of which only the tombstone's goes to disk. Entries of
 * sealed segments are read only (L6).
 */
#ifndef STATE_ENTRY_H
#define STATE_ENTRY_H

#include "segment.h"
#include "snapshot.h"

#define ENTRY_UNIT 8u
#define ENTRY_HEADER_SIZE 8u

#define ENTRY_TOMB SEGMENT_TOMB /* its key was removed; the value's bytes mean nothing */
#define ENTRY_DEAD 0x40000000u  /* replaced or removed within its segment: not written */
#define ENTRY_OLDER 0x20000000u /* a sealed segment may have an older value of its key */
#define ENTRY_FLAGS (ENTRY_TOMB | ENTRY_DEAD | ENTRY_OLDER)

static inline size_t entry_padded(size_t size)
{
    return (size + ENTRY_UNIT - 1) & ~(size_t)(ENTRY_UNIT - 1);
}

static inline size_t entry_key_size(const unsigned char *entry)
{
    return snapshot_load_u32(entry);
}

static inline size_t entry_value_size(const unsigned char *entry)
{
    return snapshot_load_u32(entry + 4) & ~ENTRY_FLAGS;
}

static inline bool entry_is(const unsigned char *entry, uint32_t flag)
{
    return (snapshot_load_u32(entry + 4) & flag) != 0;
}

static inline void entry_mark(unsigned char *entry, uint32_t flag)
{
    snapshot_store_u32(entry + 4, snapshot_load_u32(entry + 4) | flag);
}

static inline void entry_set_sizes(unsigned char *entry, size_t key_size, size_t value_size)
{
    snapshot_store_u32(entry, (uint32_t)key_size);
    snapshot_store_u32(entry + 4, (uint32_t)value_size);
}

static inline size_t entry_size(size_t key_size, size_t value_size)
{
    return ENTRY_HEADER_SIZE + entry_padded(key_size) + entry_padded(value_size);
}

static inline size_t entry_whole_size(const unsigned char *entry)
{
    return entry_size(entry_key_size(entry), entry_value_size(entry));
}

static inline struct weir_bytes entry_key(const unsigned char *entry)
{
    return (struct weir_bytes){entry + ENTRY_HEADER_SIZE, entry_key_size(entry)};
}

static inline unsigned char *entry_value(unsigned char *entry, size_t key_size)
{
    return entry + ENTRY_HEADER_SIZE + entry_padded(key_size);
}

#endif
