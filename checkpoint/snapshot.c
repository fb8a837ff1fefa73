/* SPDX-License-Identifier: Apache-2.0
 *
 * The layout is in snapshot.h. The writer never leaves a half-written value: it either has the room
 * or has failed. The reader believes no size before it has compared it with what is left.
 */
#include "snapshot.h"

#include <assert.h>
#include <string.h>

#define SECTION_HEADER_SIZE 16
#define SECTION_ALIGNMENT 8
#define FIRST_CAPACITY 4096

static size_t padding_after(size_t size)
{
    return (SECTION_ALIGNMENT - size % SECTION_ALIGNMENT) % SECTION_ALIGNMENT;
}

/* --- writing ------------------------------------------------------------------------------ */

/* Half as much again: a large state asks for its room in one piece, so doubling would only waste.
 */
static void writer_grow(struct snapshot_writer *writer, size_t needed)
{
    size_t capacity = writer->capacity + writer->capacity / 2;
    if (capacity < FIRST_CAPACITY)
        capacity = FIRST_CAPACITY;
    if (capacity < needed)
        capacity = needed;
    unsigned char *data = writer->grow(writer->context, writer->data, writer->size, capacity);
    if (data == NULL) {
        writer->failed = true;
        return;
    }
    writer->data = data;
    writer->capacity = capacity;
}

void *snapshot_room(struct snapshot_writer *writer, size_t size)
{
    if (!writer->failed && size > SIZE_MAX / 2 - writer->size)
        writer->failed = true;
    if (writer->failed)
        return NULL;
    if (writer->size + size > writer->capacity || writer->data == NULL)
        writer_grow(writer, writer->size + size);
    if (writer->failed)
        return NULL;
    unsigned char *room = writer->data + writer->size;
    writer->size += size;
    return room;
}

void snapshot_begin(struct snapshot_writer *writer, enum snapshot_tag tag, uint32_t index)
{
    assert(!writer->in_section);
    writer->in_section = true;
    writer->section = writer->size;
    snapshot_u32(writer, (uint32_t)tag);
    snapshot_u32(writer, index);
    snapshot_u64(writer, 0); /* snapshot_end knows the size */
}

void snapshot_end(struct snapshot_writer *writer)
{
    assert(writer->in_section);
    writer->in_section = false;
    if (writer->failed)
        return;
    size_t body_size = writer->size - writer->section - SECTION_HEADER_SIZE;
    snapshot_store_u64(writer->data + writer->section + 8, body_size);
    size_t padding = padding_after(body_size);
    void *room = snapshot_room(writer, padding);
    if (room != NULL)
        memset(room, 0, padding);
}

void snapshot_u32(struct snapshot_writer *writer, uint32_t value)
{
    unsigned char *room = snapshot_room(writer, sizeof value);
    if (room != NULL)
        snapshot_store_u32(room, value);
}

void snapshot_u64(struct snapshot_writer *writer, uint64_t value)
{
    unsigned char *room = snapshot_room(writer, sizeof value);
    if (room != NULL)
        snapshot_store_u64(room, value);
}

void snapshot_text(struct snapshot_writer *writer, const char *text)
{
    size_t size = strlen(text);
    assert(size <= UINT32_MAX);
    snapshot_u32(writer, (uint32_t)size);
    snapshot_bytes(writer, text, size);
}

void snapshot_bytes(struct snapshot_writer *writer, const void *data, size_t size)
{
    void *room = snapshot_room(writer, size);
    if (room != NULL && size > 0)
        memcpy(room, data, size);
}

void snapshot_inflight(struct snapshot_writer *writer, const struct snapshot_inflight *inflight)
{
    snapshot_begin(writer, SNAPSHOT_INFLIGHT, (uint32_t)inflight->side);
    snapshot_u32(writer, inflight->edge);
    snapshot_u32(writer, inflight->from_subtask);
    snapshot_u32(writer, inflight->to_subtask);
    snapshot_u32(writer, inflight->records);
    snapshot_u32(writer, inflight->restores);
    snapshot_u32(writer, 0);
    snapshot_bytes(writer, inflight->items.data, inflight->items.size);
    snapshot_end(writer);
}

/* --- reading ------------------------------------------------------------------------------ */

static bool tag_known(uint32_t tag)
{
    return tag >= SNAPSHOT_TASK && tag <= SNAPSHOT_SCAN;
}

static bool all_zero(const unsigned char *data, size_t size)
{
    unsigned char seen = 0;
    for (size_t i = 0; i < size; i++)
        seen |= data[i];
    return seen == 0;
}

/* True when header, body and padding are all there and sound. */
static bool section_sound(const struct snapshot_reader *reader)
{
    if (reader->left < SECTION_HEADER_SIZE || !tag_known(snapshot_load_u32(reader->data)))
        return false;
    uint64_t body_size = snapshot_load_u64(reader->data + 8);
    size_t left = reader->left - SECTION_HEADER_SIZE;
    if (body_size > left)
        return false;
    size_t padding = padding_after((size_t)body_size);
    if (padding > left - body_size)
        return false;
    return all_zero(reader->data + SECTION_HEADER_SIZE + body_size, padding);
}

bool snapshot_next(struct snapshot_reader *reader, struct snapshot_section *section)
{
    if (reader->failed || reader->left == 0)
        return false;
    if (!section_sound(reader)) {
        reader->failed = true;
        return false;
    }
    section->tag = snapshot_load_u32(reader->data);
    section->index = snapshot_load_u32(reader->data + 4);
    section->left = (size_t)snapshot_load_u64(reader->data + 8);
    section->body = reader->data + SECTION_HEADER_SIZE;
    section->failed = false;
    size_t taken = SECTION_HEADER_SIZE + section->left + padding_after(section->left);
    reader->data += taken;
    reader->left -= taken;
    return true;
}

struct weir_bytes snapshot_get_bytes(struct snapshot_section *section, size_t size)
{
    if (section->failed || size > section->left) {
        section->failed = true;
        return (struct weir_bytes){NULL, 0};
    }
    struct weir_bytes taken = {section->body, size};
    section->body += size;
    section->left -= size;
    return taken;
}

uint32_t snapshot_get_u32(struct snapshot_section *section)
{
    struct weir_bytes taken = snapshot_get_bytes(section, sizeof(uint32_t));
    return taken.data == NULL ? 0 : snapshot_load_u32(taken.data);
}

uint64_t snapshot_get_u64(struct snapshot_section *section)
{
    struct weir_bytes taken = snapshot_get_bytes(section, sizeof(uint64_t));
    return taken.data == NULL ? 0 : snapshot_load_u64(taken.data);
}

struct weir_bytes snapshot_get_text(struct snapshot_section *section)
{
    uint32_t size = snapshot_get_u32(section);
    return snapshot_get_bytes(section, size);
}

struct weir_bytes snapshot_get_rest(struct snapshot_section *section)
{
    return snapshot_get_bytes(section, section->left);
}

bool snapshot_get_inflight(struct snapshot_section *section, struct snapshot_inflight *inflight)
{
    if (section->tag != SNAPSHOT_INFLIGHT || section->index > SNAPSHOT_OUTLET_SIDE)
        return false;
    inflight->side =
        section->index == SNAPSHOT_OUTLET_SIDE ? SNAPSHOT_OUTLET_SIDE : SNAPSHOT_CHANNEL_SIDE;
    inflight->edge = snapshot_get_u32(section);
    inflight->from_subtask = snapshot_get_u32(section);
    inflight->to_subtask = snapshot_get_u32(section);
    inflight->records = snapshot_get_u32(section);
    inflight->restores = snapshot_get_u32(section);
    uint32_t zero = snapshot_get_u32(section);
    inflight->items = snapshot_get_rest(section);
    return !section->failed && zero == 0 && inflight->restores <= SNAPSHOT_RESTORES;
}

bool snapshot_done(const struct snapshot_section *section)
{
    return !section->failed && section->left == 0;
}
