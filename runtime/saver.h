/* SPDX-License-Identifier: Apache-2.0
 *
 * saver: what `save` puts operator state into: items that become sections of the part at once, and
 * items that are to be written later, on the writer's thread (weir_save_later).
 *
 *   save (task's thread)       a payload each, in the list; the cut goes on
 *   the cut has succeeded      MESSAGE_LATER to the writer, before the PART
 *   writer                     saver_write appends the item to the part, and the payload ends
 *
 * SV1 release is called once: when the payload ends, wherever that is: written, refused at the
 *     cut, dropped with its round, or lost with the job.
 */
#ifndef SAVER_H
#define SAVER_H

#include <stdatomic.h>

#include "batch.h"
#include "snapshot.h"

/* Those of one cut. */
struct saver_list {
    const struct weir_allocator *allocator;
    _Atomic uint64_t *sealed; /* where their bytes count; see struct run */
    struct batch **items;     /* payloads; NULL: it was taken */
    uint32_t count, room;
};

struct weir_saver {
    struct snapshot_writer *writer;
    struct saver_list *later; /* NULL: this is a later item already */
    char *note;               /* 201 bytes; NULL: there is no place for one */
    size_t left;              /* bytes the open item may still get */
    bool keyed;               /* it must begin with a hash */
    const char *refused;      /* why an item can't be saved; NULL: none was refused */
};

/* After save: ends an item that was left open. False: something was refused. */
bool saver_done(struct weir_saver *saver);

/* Takes the payload, also when it answers false: no memory. */
bool saver_list_add(struct saver_list *list, struct batch *payload);
void saver_list_drop(struct saver_list *list); /* ends what is left in it */
void saver_list_free(struct saver_list *list);
uint64_t saver_bytes(const struct batch *payload); /* what it holds, as its operator said */
/* Appends the item to a part. On failure the part is void. May take long; the payload stays the
 * caller's. */
enum weir_result saver_write(const struct batch *payload, struct snapshot_writer *part,
                             struct weir_error *error) WEIR_MUST_USE;

#endif
