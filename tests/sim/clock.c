/* SPDX-License-Identifier: Apache-2.0
 *
 * Virtual time: it passes when the scheduler says so, and with a tick whenever somebody looks.
 */
#include "clock.h"

#include "sim.h"

#define YEAR_NS (INT64_C(365) * 24 * 3600 * 1000000000)
#define EARLIEST_NS (20 * YEAR_NS) /* since 1970: jumps turn back here, */
#define LATEST_NS (150 * YEAR_NS)  /* and here */
#define LATE_NS 60000000000        /* beyond what an operator adds to it */
#define JUMP_BITS 40               /* a millisecond to 17 years */

static int64_t now_ns;
static int64_t wall_ns; /* when now_ns was 0 */
static int64_t tick_ns;
static uint64_t jumps;

void sim_clock_start(int64_t start_ns, int64_t start_wall_ns)
{
    now_ns = start_ns;
    wall_ns = start_wall_ns - start_ns;
    tick_ns = 0;
    jumps = 0;
}

void sim_clock_pass(int64_t until_ns)
{
    if (until_ns > now_ns)
        now_ns = until_ns;
}

void sim_clock_tick(int64_t new_tick_ns)
{
    tick_ns = new_tick_ns;
}

void sim_clock_step_wall(int64_t by_ns)
{
    wall_ns += by_ns;
}

void sim_clock_jump(void)
{
    int64_t size_ns = INT64_C(1000000) << sim_draw(SIM_TIME, JUMP_BITS);
    bool back = sim_draw(SIM_TIME, 2) == 0;
    int64_t wall = wall_ns + now_ns;

    if (wall - size_ns < EARLIEST_NS)
        back = false;
    if (wall + size_ns > LATEST_NS)
        back = true;
    sim_clock_step_wall(back ? -size_ns : size_ns);
    jumps++;
    sim_event("wall", back ? "back" : "ahead", (const uint64_t[4]){(uint64_t)size_ns});
}

void sim_clock_latest(void)
{
    int64_t latest_ns = LATEST_NS + LATE_NS - now_ns;

    if (wall_ns < latest_ns) /* it goes on from there */
        wall_ns = latest_ns;
}

uint64_t sim_clock_jumped(void)
{
    return jumps;
}

int64_t sim_now_ns(void)
{
    return now_ns;
}

int64_t clock_now_ns(void)
{
    now_ns += tick_ns;
    return now_ns;
}

/* One processor, never taken away; to look costs nothing, so that it changes no run. */
int64_t clock_thread_ns(void)
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
