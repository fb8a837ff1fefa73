/* SPDX-License-Identifier: Apache-2.0 */
#include "operator_item.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "snapshot.h"

/* ------------------------------------------------------------------------------ saving -- */

void weir_save_u32(struct weir_saver *saver, uint32_t value)
{
    unsigned char bytes[sizeof value];
    snapshot_store_u32(bytes, value);
    weir_save_raw(saver, (struct weir_bytes){bytes, sizeof bytes});
}

void weir_save_u64(struct weir_saver *saver, uint64_t value)
{
    unsigned char bytes[sizeof value];
    snapshot_store_u64(bytes, value);
    weir_save_raw(saver, (struct weir_bytes){bytes, sizeof bytes});
}

void weir_save_i64(struct weir_saver *saver, int64_t value)
{
    weir_save_u64(saver, (uint64_t)value);
}

void weir_save_f64(struct weir_saver *saver, double value)
{
    uint64_t bits;
    _Static_assert(sizeof bits == sizeof value, "a double is 64 bits");
    memcpy(&bits, &value, sizeof bits);
    weir_save_u64(saver, bits);
}

void weir_save_bytes(struct weir_saver *saver, struct weir_bytes bytes)
{
    /* Larger ones are refused by what follows, whatever the size says. */
    weir_save_u32(saver, bytes.size < UINT32_MAX ? (uint32_t)bytes.size : UINT32_MAX);
    weir_save_raw(saver, bytes);
}

void weir_save_text(struct weir_saver *saver, const char *text)
{
    weir_save_bytes(saver, (struct weir_bytes){text, strlen(text)});
}

/* ----------------------------------------------------------------------------- loading -- */

void item_cursor_next(struct item_cursor *cursor, struct weir_bytes item)
{
    cursor->at = item.data;
    cursor->left = cursor->size = item.size;
    cursor->number++;
}

static struct item_cursor *cursor_of(struct weir_loader *loader)
{
    return (struct item_cursor *)(void *)loader; /* its first member */
}

void weir_load_fail(struct weir_loader *loader, const char *format, ...)
{
    struct item_cursor *cursor = cursor_of(loader);
    char what[120];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    if (cursor->failed[0])
        return;
    if (cursor->number)
        snprintf(cursor->failed, sizeof cursor->failed, "item %u, at byte %zu of %zu: %s",
                 cursor->number, cursor->size - cursor->left, cursor->size, what);
    else
        snprintf(cursor->failed, sizeof cursor->failed, "before the first item: %s", what);
    cursor->left = 0;
}

bool weir_load_failed(const struct weir_loader *loader)
{
    return ((const struct item_cursor *)(const void *)loader)->failed[0] != 0;
}

bool weir_load_item(struct weir_loader *loader, enum weir_item *kind)
{
    enum weir_item its;
    struct weir_bytes item;
    if (weir_load_failed(loader) || !weir_load_next(loader, &its, &item))
        return false;
    if (kind)
        *kind = its;
    return true;
}

size_t weir_load_left(const struct weir_loader *loader)
{
    return ((const struct item_cursor *)(const void *)loader)->left;
}

struct weir_bytes weir_load_raw(struct weir_loader *loader, size_t size)
{
    struct item_cursor *cursor = cursor_of(loader);
    if (size > cursor->left)
        weir_load_fail(loader, "%zu bytes are expected there, and %zu are left", size,
                       cursor->left);
    if (weir_load_failed(loader))
        return (struct weir_bytes){NULL, 0};
    struct weir_bytes taken = {cursor->at, size};
    cursor->at = size ? cursor->at + size : cursor->at;
    cursor->left -= size;
    return taken;
}

uint32_t weir_load_u32(struct weir_loader *loader)
{
    struct weir_bytes bytes = weir_load_raw(loader, sizeof(uint32_t));
    return bytes.data ? snapshot_load_u32(bytes.data) : 0;
}

uint64_t weir_load_u64(struct weir_loader *loader)
{
    struct weir_bytes bytes = weir_load_raw(loader, sizeof(uint64_t));
    return bytes.data ? snapshot_load_u64(bytes.data) : 0;
}

int64_t weir_load_i64(struct weir_loader *loader)
{
    return (int64_t)weir_load_u64(loader);
}

double weir_load_f64(struct weir_loader *loader)
{
    uint64_t bits = weir_load_u64(loader);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

struct weir_bytes weir_load_bytes(struct weir_loader *loader)
{
    return weir_load_raw(loader, weir_load_u32(loader));
}

bool weir_load_text(struct weir_loader *loader, char *text, size_t room)
{
    struct weir_bytes bytes = weir_load_bytes(loader);
    text[0] = 0;
    if (!weir_load_failed(loader) && bytes.size >= room)
        weir_load_fail(loader, "a text of %zu bytes ends there, and %zu is the limit", bytes.size,
                       room - 1);
    else if (bytes.size && memchr(bytes.data, 0, bytes.size))
        weir_load_fail(loader, "a text with a zero in it ends there");
    if (weir_load_failed(loader))
        return false;
    if (bytes.size)
        memcpy(text, bytes.data, bytes.size);
    text[bytes.size] = 0;
    return true;
}

void weir_load_done(struct weir_loader *loader)
{
    if (!weir_load_failed(loader) && cursor_of(loader)->left)
        weir_load_fail(loader, "%zu bytes are left that nobody expects", cursor_of(loader)->left);
}
