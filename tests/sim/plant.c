/* SPDX-License-Identifier: Apache-2.0 */
#include "plant.h"

#ifdef WEIR_SIMULATION
const char *sim_planted;
#else
typedef int plant_is_for_the_simulator;
#endif
