/* SPDX-License-Identifier: Apache-2.0
 *
 * plant: bugs on purpose, to test the tests. WEIR_PLANT(name) is a constant 0 but in the simulator
 * build, where a test wakes one bug by its name and must then see it caught:
 *
 *     if (WEIR_PLANT(folder_sync_skipped))
 *         return WEIR_OK;
 *
 * One line a bug, at the place where it would be made.
 */
#ifndef PLANT_H
#define PLANT_H

#ifdef WEIR_SIMULATION
#include <string.h>
extern const char *sim_planted; /* the one that is awake; NULL: none */
#define WEIR_PLANT(name) (sim_planted != NULL && strcmp(sim_planted, #name) == 0)
#else
#define WEIR_PLANT(name) 0
#endif

#endif
