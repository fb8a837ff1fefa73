/* SPDX-License-Identifier: Apache-2.0
 *
 * ledger: how many lines of each client are in the journal. A client that was cut off asks for its
 * count and goes on behind it. The opening chunk of a segment holds all of it:
 *
 *   struct ledger_head
 *   struct ledger_entry...      72 bytes each
 *
 * and the head of each chunk of lines what it adds:
 *
 *   struct ledger_head          lines, and the client's id behind it, without a zero; none: plain
 */
#ifndef LEDGER_H
#define LEDGER_H

#include "block.h"

#define LEDGER_LIMIT 4096u  /* clients with an id that are remembered */
#define LEDGER_ID_LIMIT 63u /* bytes of an id: letters, digits, dot, dash, underscore */
#define LEDGER_NONE UINT32_MAX

struct ledger_head {
    uint8_t kind; /* enum line_feed_kind */
    uint8_t zero[3];
    uint32_t lines;
};
struct ledger_entry {
    char id[LEDGER_ID_LIMIT + 1];
    uint64_t count;
};
_Static_assert(sizeof(struct ledger_head) == 8, "on disk");
_Static_assert(sizeof(struct ledger_entry) == 72, "on disk");

struct ledger {
    struct block opening; /* the layout above, always ready to be written */
    struct block head;    /* of a chunk of lines, in the making */
};

/* False without memory. */
bool ledger_init(struct ledger *ledger, const struct weir_allocator *allocator);
void ledger_free(struct ledger *ledger, const struct weir_allocator *allocator);

bool ledger_id_is_sound(const char *id, size_t size);
/* The entry of the id, a new one if need be; LEDGER_NONE when there is no room for it. */
uint32_t ledger_entry(struct ledger *ledger, const struct weir_allocator *allocator, const char *id,
                      size_t size);
uint64_t ledger_count(const struct ledger *ledger, uint32_t entry);
/* After the lines were appended to the journal. */
void ledger_add(struct ledger *ledger, uint32_t entry, uint32_t lines);

struct weir_bytes ledger_opening(const struct ledger *ledger);
/* The head for a chunk of an entry's lines, LEDGER_NONE: nobody's. Lives until the next call. An
 * empty view without memory. */
struct weir_bytes ledger_chunk(struct ledger *ledger, const struct weir_allocator *allocator,
                               uint8_t kind, uint32_t entry, uint32_t lines);
/* Takes what a chunk's head says, of either kind. False when it makes no sense. */
bool ledger_replay(struct ledger *ledger, const struct weir_allocator *allocator,
                   struct weir_bytes head);

#endif
