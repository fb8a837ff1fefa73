/* SPDX-License-Identifier: Apache-2.0 */
#include "saver.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "memory.h"
#include "weir.h"

#define ITEM_LIMIT ((size_t)16 << 20)
#define NOTE_SIZE 201u
#define HASHLESS "a KEYED item that does not begin with its key's hash"

/* What a payload holds. */
struct saver_later {
    enum weir_item kind;
    struct weir_later later;
    _Atomic uint64_t *sealed;
};

/* The first one sticks. */
static void refuse(struct weir_saver *saver, const char *why)
{
    if (!saver->refused)
        saver->refused = why;
}

/* -------------------------------------------------------------------------------- items -- */

void weir_save_begin(struct weir_saver *saver, enum weir_item kind)
{
    bool within = saver->writer->in_section;
    if (within || (unsigned)kind > WEIR_ITEM_KEYED)
        refuse(saver, within ? "an item within another" : "an unknown kind of item");
    else
        snapshot_begin(saver->writer, SNAPSHOT_ITEM, kind);
    saver->left = ITEM_LIMIT;
    saver->keyed = kind == WEIR_ITEM_KEYED;
}

void weir_save_raw(struct weir_saver *saver, struct weir_bytes bytes)
{
    if (!saver->writer->in_section)
        refuse(saver, "a value outside of an item");
    else if (bytes.size > saver->left)
        refuse(saver, "an item over 16 MiB");
    if (saver->refused)
        return;
    saver->left -= bytes.size;
    snapshot_bytes(saver->writer, bytes.data, bytes.size);
}

void weir_save_end(struct weir_saver *saver)
{
    if (saver->keyed && saver->left > ITEM_LIMIT - sizeof(uint64_t))
        refuse(saver, HASHLESS);
    if (!saver->later)
        refuse(saver, "the end of an item that is not write's to end");
    else if (saver->writer->in_section)
        snapshot_end(saver->writer);
    else
        refuse(saver, "the end of an item that was not begun");
}

void weir_save(struct weir_saver *saver, enum weir_item kind, struct weir_bytes item)
{
    weir_save_begin(saver, kind);
    if (saver->refused)
        return;
    weir_save_raw(saver, item);
    weir_save_end(saver);
}

void weir_save_note(struct weir_saver *saver, const char *format, ...)
{
    va_list arguments;
    if (!saver->note)
        return;
    va_start(arguments, format);
    vsnprintf(saver->note, NOTE_SIZE, format, arguments);
    va_end(arguments);
}

bool saver_done(struct weir_saver *saver)
{
    if (saver->writer->in_section) {
        refuse(saver, "an item that was not ended");
        snapshot_end(saver->writer);
    }
    return !saver->refused;
}

/* ------------------------------------------------------------------------- later items -- */

static const struct saver_later *later_of(const struct batch *payload)
{
    return (const struct saver_later *)(const void *)payload->data;
}

/* SV1 */
static void end_payload(struct batch *payload)
{
    struct saver_later mine;
    memcpy(&mine, payload->data, sizeof mine);
    if (mine.later.release)
        mine.later.release(mine.later.data);
    atomic_fetch_sub_explicit(mine.sealed, mine.later.bytes, memory_order_relaxed);
}

bool saver_list_add(struct saver_list *list, struct batch *payload)
{
    if (list->count == list->room) {
        uint32_t room = list->room ? 2 * list->room : 4;
        struct batch **larger =
            memory_resize(list->allocator, list->items, list->room * sizeof(struct batch *),
                          room * sizeof(struct batch *));
        if (!larger) {
            batch_release(payload);
            return false;
        }
        list->items = larger;
        list->room = room;
    }
    list->items[list->count++] = payload;
    return true;
}

/* False: no memory. Either way release will have been called, or will be. */
static bool add(struct saver_list *list, const struct saver_later *later)
{
    struct batch *payload = batch_alone(list->allocator, sizeof *later);
    if (!payload) {
        if (later->later.release)
            later->later.release(later->later.data);
        return false;
    }
    memcpy(payload->data, later, sizeof *later);
    payload->size = sizeof *later;
    payload->at_end = end_payload;
    atomic_fetch_add_explicit(list->sealed, later->later.bytes, memory_order_relaxed);
    return saver_list_add(list, payload);
}

void weir_save_later(struct weir_saver *saver, enum weir_item kind, const struct weir_later *later)
{
    struct saver_later mine = {.kind = kind};
    memcpy(&mine.later, later, later->size < sizeof mine.later ? later->size : sizeof mine.later);
    if (!saver->later)
        refuse(saver, "an item within one that is written later");
    else if ((unsigned)kind > WEIR_ITEM_KEYED)
        refuse(saver, "an unknown kind of item");
    else if (!mine.later.write)
        refuse(saver, "an item to be written later by nobody: set write");
    if (saver->refused) {
        if (mine.later.release)
            mine.later.release(mine.later.data);
        return;
    }
    mine.sealed = saver->later->sealed;
    if (!add(saver->later, &mine))
        saver->writer->failed = true;
}

void saver_list_drop(struct saver_list *list)
{
    for (uint32_t i = 0; i < list->count; i++)
        batch_release(list->items[i]);
    list->count = 0;
}

void saver_list_free(struct saver_list *list)
{
    saver_list_drop(list);
    memory_release(list->allocator, list->items);
    list->items = NULL;
    list->room = 0;
}

uint64_t saver_bytes(const struct batch *payload)
{
    return later_of(payload)->later.bytes;
}

enum weir_result saver_write(const struct batch *payload, struct snapshot_writer *part,
                             struct weir_error *error)
{
    const struct saver_later *mine = later_of(payload);
    struct weir_saver saver = {.writer = part, .left = SIZE_MAX};
    snapshot_begin(part, SNAPSHOT_ITEM, mine->kind);
    enum weir_result result = mine->later.write(mine->later.data, &saver);
    snapshot_end(part);
    if (mine->kind == WEIR_ITEM_KEYED && saver.left > SIZE_MAX - sizeof(uint64_t))
        refuse(&saver, HASHLESS);
    if (saver.refused)
        return error_set(error, WEIR_INVALID, 0, "operator state that is written later: %s",
                         saver.refused);
    if (result)
        return error_set(error, result, 0,
                         "operator state that is written later: write answered %s",
                         weir_result_name(result));
    return part->failed ? error_memory(error, "operator state that is written later", part->size)
                        : WEIR_OK;
}
