/* SPDX-License-Identifier: Apache-2.0
 *
 * rehash: what was in flight on the channels of an edge whose parallelism has changed, shared out
 * to the new readers (P14). Pure.
 *
 * Each old channel goes on as a channel of its own at every reader that gets records of it: without
 * a writer, and read to its end before anything new of the edge. Channel content comes before
 * outlet content, in the order of the old channel. A record goes where its key goes, so that equal
 * keys keep their order; only on a SPREAD edge, where keys mean nothing, a channel stays together.
 * A mark of time goes to every reader that has records of the channel, and stands before the first
 * of them: no reader's time is ahead of what it has not read.
 *
 * `restores` says how old content is: 0 is a channel of the graph; n, that n restores with another
 * parallelism came after it was recorded. The reader takes the highest first. Such channels are
 * known by a number each, within their edge and age.
 */
#ifndef REHASH_H
#define REHASH_H

#include "item.h"
#include "snapshot.h"

/* One reader's share of a batch. */
struct rehash_share {
    unsigned char *items;
    size_t size, room;
    uint32_t records;
};

struct rehash {
    const struct weir_allocator *allocator;
    uint32_t readers, groups;
    struct rehash_share *shares; /* of the last batch, one for each reader */
};

/* An old channel. */
struct rehash_channel {
    uint32_t edge, restores, from, to; /* as it is called in the checkpoint */
    uint32_t number;                   /* what it will be called */
    int64_t watermark;                 /* behind what was taken of it so far */
    uint32_t *places;                  /* per reader, the caller's; 0: has nothing of it. NULL: no
                                          reader has */
};

/* False: no memory. */
bool rehash_init(struct rehash *rehash, const struct weir_allocator *allocator, uint32_t readers,
                 uint32_t groups);
void rehash_free(struct rehash *rehash);

/* Who reads records of the key. */
uint32_t rehash_reader(const struct rehash *rehash, struct weir_bytes key);
/* Fills rehash->shares with the next batch of the channel; `whole`: it stays together.
 * WEIR_DAMAGED: the items are not well-formed; WEIR_NO_MEMORY. */
enum weir_result rehash_batch(struct rehash *rehash, struct rehash_channel *channel, bool whole,
                              struct weir_bytes items, struct weir_error *error) WEIR_MUST_USE;

/* All old channels of a restore. */
struct rehash_table {
    const struct weir_allocator *allocator;
    struct rehash_channel *channels; /* in the order they were found */
    uint32_t count, room;
    uint32_t *slots; /* by hash, index + 1 */
    uint32_t slot_count;
};

/* The channel of that name, a new one if need be, numbered within edge and age. Its address is good
 * until the next call. NULL: no memory. */
struct rehash_channel *rehash_find(struct rehash_table *table, uint32_t edge, uint32_t restores,
                                   uint32_t from, uint32_t to);
void rehash_forget(struct rehash_table *table);

#endif
