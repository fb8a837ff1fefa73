/* SPDX-License-Identifier: Apache-2.0
 *
 * history: whose output a directory holds. A line sink numbers its parts from the state in its
 * checkpoint; in a directory that another store, or an older state of the same store, has written
 * to, new parts would double or mix with the old ones without anybody noticing. So the directory
 * says who writes there, in the hidden file `.weir-history`, one line of text:
 *
 *   weir-history 1 store <store id, 32 hex> node <name>
 *   weir-history 1 run <random id, 32 hex> node <name>         a job without a store
 *
 *   the directory         first start                       restored
 *   ------------------    ------------------------------    -------------------
 *   missing or empty      made, history written             refused
 *   ours, no part         go on                             go on
 *   ours, parts           refused: told to start afresh     go on (the sink compares numbers)
 *   of a run, no part     taken over: none can resume it    refused
 *   anything else         refused                           refused
 *
 * The file is written under another name, synced and renamed, so it is never seen half written by
 * the other subtasks, who all do the same and find the same line.
 */
#ifndef HISTORY_H
#define HISTORY_H

#include "part.h"
#include "weir.h"

#define HISTORY_ROOM 192

struct history {
    const char *folder; /* borrowed */
    char id[PART_ID_SIZE];
    char line[HISTORY_ROOM]; /* with newline */
};

/* Makes the directory ours as the table says, or fails the run. `id`: 32 hex digits. */
enum weir_result history_claim(struct history *history, struct weir_context *context,
                               const char *folder, const char *id);
/* Refuses when the directory has changed hands since. */
enum weir_result history_check(const struct history *history, struct weir_context *context);

#endif
