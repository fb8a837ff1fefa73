/* SPDX-License-Identifier: Apache-2.0
 *
 * Virtual time: it passes when the scheduler says so.
 */
#include "clock.h"

#include "sim.h"

static int64_t now_ns;
static int64_t wall_ns; /* when now_ns was 0 */

void sim_clock_start(int64_t start_ns, int64_t start_wall_ns)
{
    now_ns = start_ns;
    wall_ns = start_wall_ns - start_ns;
}

void sim_clock_pass(int64_t until_ns)
{
    if (until_ns > now_ns)
        now_ns = until_ns;
}

void sim_clock_step_wall(int64_t by_ns)
{
    wall_ns += by_ns;
}

int64_t clock_now_ns(void)
{
    return now_ns;
}

int64_t clock_wall_ns(void)
{
    return wall_ns + now_ns;
}

int clock_random(void *bytes, uint64_t size)
{
    unsigned char *at = bytes;

    for (uint64_t i = 0; i < size; i++)
        at[i] = (unsigned char)sim_draw(SIM_IDENTITY, 256);
    return 0;
}
