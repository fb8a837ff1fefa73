/* SPDX-License-Identifier: Apache-2.0
 *
 * snapshot: the bytes of one task's part, before they are sealed into a blob. Little-endian, every
 * section 8-byte aligned:
 *
 *   snapshot := section*                     in the order written
 *   section  := u32 tag | u32 index | u64 size of the body | body | zeros to a multiple of 8
 *
 *   tag        index            body
 *   TASK       task             u32 node, u32 subtask, u32 operators in the chain,
 *                               u32 flags (1: ended), u64 pending handles,
 *                               u64 pending letters, text note
 *   OPERATOR   place in chain   text name (u32 size, bytes), u32 version, u32 flags;
 *                               starts the sections of one operator
 *   ITEM       kind             bytes of one item of operator state
 *   HANDLE     0                u64 checkpoint id it was prepared for, then the handle's bytes
 *   STATE      state            text name, u32 version, u32 value size, u32 kind,
 *                               u32 1: values expire, ... (state.h)
 *   TIMER      0                i64 time, u64 tag, u32 kind
 *   CHANNEL    input channel    u32 edge, u32 from subtask, i64 watermark, u32 flags (1: idle),
 *                               u32 restores
 *   SCAN       state            keys that a scan visited before they were handed over (passed.h)
 *   POSITION   0                u64 records the operator was given since the job's first start
 *   LETTER     input            a dead letter that is not confirmed as published: u64 checkpoint id
 *                               of its first cut, u64 position, i64 time, text cause, u32 subtask
 *                               that was given it, u64 size of the key, key, value
 *
 *   INFLIGHT   side             u32 edge, u32 from subtask, u32 to subtask, u32 records (0: not
 *                               counted), u32 restores, u32 0, then a batch's items as they are
 *                               (item.h)
 *
 * A blob of kind BLOB_INFLIGHT holds sections INFLIGHT and no others, in the order of each channel,
 * over all such blobs of the task; a part holds none. They are in the blobs of the instance at the
 * head of the chain that recorded them: the reader's for side 0, the writer's for side 1.
 *
 * `restores` is 0 for a channel of the graph. What was in flight when the job was restored with
 * another parallelism lies at its readers, in channels that have no writer any more: n says how
 * many such restores ago, and "from subtask" is a number that tells them apart (rehash.h).
 *
 * Unknown tags are an error: a newer version is refused by the blob header before it comes to that.
 */
#ifndef SNAPSHOT_H
#define SNAPSHOT_H

#include "weir_base.h"

enum snapshot_tag {
    SNAPSHOT_TASK = 1,
    SNAPSHOT_OPERATOR,
    SNAPSHOT_ITEM,
    SNAPSHOT_HANDLE,
    SNAPSHOT_STATE,
    SNAPSHOT_TIMER,
    SNAPSHOT_CHANNEL,
    SNAPSHOT_POSITION,
    SNAPSHOT_LETTER,
    SNAPSHOT_INFLIGHT,
    SNAPSHOT_SCAN,
};

/* Who recorded it, which is also the order on a channel: all of the first, then the second. */
enum snapshot_side {
    SNAPSHOT_CHANNEL_SIDE, /* lay at the reader, or arrived there, before the marker */
    SNAPSHOT_OUTLET_SIDE,  /* waited at the writer and was overtaken by the marker */
};

#define SNAPSHOT_RESTORES (UINT32_C(1) << 20) /* at most: see above */

/* One section INFLIGHT. */
struct snapshot_inflight {
    enum snapshot_side side;
    uint32_t edge, from_subtask, to_subtask;
    uint32_t records;  /* 0: not counted */
    uint32_t restores; /* 0: on a channel of the graph */
    struct weir_bytes items;
};

/* --- writing: sticky; check `failed` once at the end -------------------------------------- */

struct snapshot_writer {
    /* Gives more room: at least `capacity` bytes with the first `size` kept, or NULL. */
    unsigned char *(*grow)(void *context, unsigned char *data, size_t size, size_t capacity);
    void *context;
    unsigned char *data;
    size_t size;     /* bytes written */
    size_t capacity; /* bytes */
    size_t section;  /* offset of the open section's header; valid while in_section */
    bool in_section;
    bool failed; /* no memory */
};

void snapshot_begin(struct snapshot_writer *writer, enum snapshot_tag tag, uint32_t index);
void snapshot_end(struct snapshot_writer *writer);
void snapshot_u32(struct snapshot_writer *writer, uint32_t value);
void snapshot_u64(struct snapshot_writer *writer, uint64_t value);
void snapshot_text(struct snapshot_writer *writer, const char *text); /* u32 size, bytes, no zero */
void snapshot_bytes(struct snapshot_writer *writer, const void *data, size_t size);
/* Room for `size` bytes to be filled in by the caller before the next call; NULL once failed. */
void *snapshot_room(struct snapshot_writer *writer, size_t size);

/* A whole section. */
void snapshot_inflight(struct snapshot_writer *writer, const struct snapshot_inflight *inflight);

/* --- reading: sticky too; everything is bounds-checked ------------------------------------ */

struct snapshot_section {
    uint32_t tag;
    uint32_t index;
    const unsigned char *body; /* the cursor: moves as values are taken */
    size_t left;               /* bytes not yet taken */
    bool failed;               /* a value was asked for that is not there */
};

struct snapshot_reader {
    const unsigned char *data;
    size_t left;
    bool failed; /* a section header lies (size, unknown tag), or padding is not zero */
};

/* False at the end, and when failed. */
bool snapshot_next(struct snapshot_reader *reader, struct snapshot_section *section);
uint32_t snapshot_get_u32(struct snapshot_section *section); /* 0 when failed */
uint64_t snapshot_get_u64(struct snapshot_section *section);
struct weir_bytes snapshot_get_text(struct snapshot_section *section);
struct weir_bytes snapshot_get_bytes(struct snapshot_section *section, size_t size);
struct weir_bytes snapshot_get_rest(struct snapshot_section *section);
/* Takes a section INFLIGHT whole; false when it is none, or is cut short. The items are not looked
 * at. */
bool snapshot_get_inflight(struct snapshot_section *section, struct snapshot_inflight *inflight);
/* All taken, nothing missing. */
bool snapshot_done(const struct snapshot_section *section);

/* --- little-endian numbers in place -------------------------------------------------------- */

/* Compilers make one load or store of each where the machine is little-endian. */
static inline uint32_t snapshot_load_u32(const unsigned char *from)
{
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
           (uint32_t)from[3] << 24;
}
static inline uint64_t snapshot_load_u64(const unsigned char *from)
{
    return snapshot_load_u32(from) | (uint64_t)snapshot_load_u32(from + 4) << 32;
}
static inline void snapshot_store_u32(unsigned char *to, uint32_t value)
{
    to[0] = (unsigned char)value;
    to[1] = (unsigned char)(value >> 8);
    to[2] = (unsigned char)(value >> 16);
    to[3] = (unsigned char)(value >> 24);
}
static inline void snapshot_store_u64(unsigned char *to, uint64_t value)
{
    snapshot_store_u32(to, (uint32_t)value);
    snapshot_store_u32(to + 4, (uint32_t)(value >> 32));
}

#endif
