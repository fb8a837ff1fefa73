/* SPDX-License-Identifier: Apache-2.0
 *
 * sim_damage: what a bad disk does to the newest checkpoint between two runs: a byte of its
 * manifest or of its data is another one, a file is cut short, or two tasks' blobs have changed
 * places. It is undone later, for somebody finds a copy.
 */
#ifndef SIM_DAMAGE_H
#define SIM_DAMAGE_H

#include "files.h"

struct sim_damage {
    struct file_node *file; /* NULL: none */
    struct file_bytes before;
};

enum sim_damage_kind {
    SIM_DAMAGE_BYTE,
    SIM_DAMAGE_CUT,
    SIM_DAMAGE_SWAP, /* when two blobs are of one size; else it is a byte */
    SIM_DAMAGES,
};

/* Where, is drawn from k. False: there is no checkpoint. The disk is at rest. */
bool sim_damage_do(struct sim_damage *damage, enum sim_damage_kind kind, uint64_t k);
void sim_damage_undo(struct sim_damage *damage);
/* Does it, verifies that checkpoint, and undoes it. Was it noticed? True too if there is none. */
bool sim_damage_is_found(enum sim_damage_kind kind, uint64_t k);

#endif
