/* SPDX-License-Identifier: Apache-2.0
 *
 * planted: wakes the bug that WEIR_PLANT names (checkpoint/plant.h) in a program whose other files
 * are real. What a test of programs promises to notice can be shown to it.
 */
#include <stdlib.h>

extern const char *sim_planted;
const char *sim_planted;

__attribute__((constructor)) static void begin(void)
{
    sim_planted = getenv("WEIR_PLANT");
}
