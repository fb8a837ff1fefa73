/* SPDX-License-Identifier: Apache-2.0
 *
 * handover: the part that a subtask starts from, made of those of the old subtasks of its node; for
 * nodes whose parts can't be read as they are (mapping.h). Pure: bytes in, bytes out.
 *
 *   OPERATOR      finished when all of them were
 *   POSITION      the highest: no record is given a position that one of the node had before
 *   ITEM          SPLIT to one (M2), UNION to every, BROADCAST the first subtask's to every one,
 *                 KEYED to the owner of the hash that its first 8 bytes are
 *   HANDLE        all of an old subtask's to one (M2), in their order
 *   LETTER        likewise; it says itself whose it was
 *   TIMER         to every one, where the operator allows that; else they can't be shared out
 *   STATE, SCAN   of a log that goes on as it is: kept under its new index; else marks of what
 *                 scans had visited (passed.h)
 *   CHANNEL, TASK   left out: they speak of the old graph, and are taken elsewhere
 *
 * With equal parallelism a subtask has its own old part, and all in it.
 */
#ifndef HANDOVER_H
#define HANDOVER_H

#include "mapping.h"
#include "snapshot.h"

struct handover {
    const struct mapping *mapping;
    uint32_t node;                  /* of now, one that the checkpoint has */
    const struct weir_bytes *parts; /* of the old subtasks, in order */
    bool timers_shared;             /* see struct weir_operator */
};

/* WEIR_MISMATCH: something in the parts can't be shared out, the error says what and why;
 * WEIR_DAMAGED; WEIR_NO_MEMORY. */
enum weir_result handover_write(const struct handover *handover, uint32_t subtask,
                                struct snapshot_writer *writer,
                                struct weir_error *error) WEIR_MUST_USE;

#endif
