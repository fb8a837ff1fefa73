/* SPDX-License-Identifier: Apache-2.0 */
#include "restart.h"

void restart_init(struct restart *restart, uint32_t allowed, int64_t delay_ns)
{
    *restart = (struct restart){.allowed = allowed, .delay_ns = delay_ns};
}

void restart_committed(struct restart *restart, uint64_t commits)
{
    if (commits == restart->commits)
        return;
    restart->commits = commits;
    restart->consecutive = 0; /* R1 */
    restart->left_out = 0;
}

void restart_left_out(struct restart *restart)
{
    restart->consecutive = 0; /* R4 */
    if (restart->left_out < UINT32_MAX)
        restart->left_out++;
}

/* R5, without overflow. */
static int64_t delay_of(const struct restart *restart, uint32_t consecutive)
{
    int64_t most =
        restart->delay_ns > RESTART_DELAY_MOST_NS ? restart->delay_ns : RESTART_DELAY_MOST_NS;
    int64_t delay = restart->delay_ns;

    for (uint32_t i = 1; i < consecutive && delay > 0 && delay < most; i++)
        delay = delay > most / 2 ? most : 2 * delay;
    return delay;
}

struct restart_verdict restart_failed(struct restart *restart, uint32_t record_failures)
{
    if (restart->consecutive < UINT32_MAX)
        restart->consecutive++;
    uint32_t count =
        restart->consecutive > record_failures ? restart->consecutive : record_failures; /* R3 */
    bool again = count <= restart->allowed && restart->left_out <= restart->allowed;
    return (struct restart_verdict){
        .again = again, .delay_ns = again ? delay_of(restart, count) : -1, .consecutive = count};
}

bool restart_may_help(const struct weir_error *error, bool starting, bool first)
{
    if (starting && first)
        return false; /* nothing has run: who typed the command is still there to read the answer */
    switch (error->code) {
    case WEIR_LOCKED: /* these wait for a person */
    case WEIR_DAMAGED:
    case WEIR_MISMATCH:
    case WEIR_UNSUPPORTED:
    case WEIR_REFUSED:
    case WEIR_STOPPED:
        return false;
    case WEIR_INVALID:
        return !starting || error->node[0] != '\0'; /* the command line does not change */
    default:
        return true;
    }
}
