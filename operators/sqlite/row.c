/* SPDX-License-Identifier: Apache-2.0 */
#include "row.h"
#include "record_block.h"

#include <string.h>

struct column_head {
    uint32_t type;
    uint32_t size;
};
_Static_assert(sizeof(struct column_head) == 8, "staged in files");

void row_begin(struct weir_sqlite_row *row)
{
    row->bytes.size = 0;
    row->count = 0;
    row->result = WEIR_OK;
}

static void add(struct weir_sqlite_row *row, enum row_type type, const void *data, size_t size)
{
    static const unsigned char zeros[8];
    struct column_head head = {.type = type, .size = (uint32_t)size};
    row->count++;
    if (row->result != WEIR_OK)
        return;
    if (size > ROW_LIMIT - sizeof head - 8 || row->bytes.size > ROW_LIMIT - sizeof head - 8 - size)
        row->result = WEIR_TOO_LARGE;
    else if (!block_append(&row->bytes, row->allocator, &head, sizeof head) ||
             !block_append(&row->bytes, row->allocator, data, size) ||
             !block_append(&row->bytes, row->allocator, zeros, record_padded(size) - size))
        row->result = WEIR_NO_MEMORY;
}

void weir_sqlite_null(struct weir_sqlite_row *row)
{
    add(row, ROW_NULL, NULL, 0);
}

void weir_sqlite_integer(struct weir_sqlite_row *row, int64_t value)
{
    add(row, ROW_INTEGER, &value, sizeof value);
}

void weir_sqlite_real(struct weir_sqlite_row *row, double value)
{
    add(row, ROW_REAL, &value, sizeof value);
}

void weir_sqlite_text(struct weir_sqlite_row *row, struct weir_bytes text)
{
    add(row, ROW_TEXT, text.data, text.size);
}

void weir_sqlite_blob(struct weir_sqlite_row *row, struct weir_bytes bytes)
{
    add(row, ROW_BLOB, bytes.data, bytes.size);
}

static bool fits_type(const struct column_head *head)
{
    switch (head->type) {
    case ROW_NULL:
        return head->size == 0;
    case ROW_INTEGER:
    case ROW_REAL:
        return head->size == 8;
    default:
        return head->type <= ROW_BLOB;
    }
}

bool row_next(struct weir_bytes *rest, struct row_column *column)
{
    struct column_head head;
    const unsigned char *at = rest->data;
    if (rest->size < sizeof head)
        return false;
    memcpy(&head, at, sizeof head);
    size_t size = sizeof head + record_padded(head.size);
    if (size > rest->size || !fits_type(&head))
        return false;
    column->type = (enum row_type)head.type;
    if (column->type == ROW_INTEGER)
        memcpy(&column->integer, at + sizeof head, sizeof column->integer);
    else if (column->type == ROW_REAL)
        memcpy(&column->real, at + sizeof head, sizeof column->real);
    else
        column->bytes = (struct weir_bytes){at + sizeof head, head.size};
    *rest = (struct weir_bytes){at + size, rest->size - size};
    return true;
}
