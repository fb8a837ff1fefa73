/* SPDX-License-Identifier: Apache-2.0 */
#include "crash.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};

/* A handler can reach nothing but globals; programs may have some, the library has none. */
static struct crash *told;
static struct weir_job *job; /* written when it has no threads: they see what they started with */

/* ----------------------------------------------------------------------------- the handler -- */

static void tell(struct crash *crash, int signal, const siginfo_t *info, const void *context)
{
    crash->signal = signal;
    crash->fault = info->si_code > 0 ? info->si_addr : NULL;
    crash->frame_count = frames_take(crash->frames, context);
    atomic_store(&crash->traced, true);

    /* Last: should the job's memory be what is broken, the trace is out already. */
    crash->where.size = sizeof crash->where;
    if (job == NULL || !weir_job_here(job, &crash->where))
        return;
    if (crash->where.doing != NULL)
        strncpy(crash->doing, crash->where.doing, sizeof crash->doing - 1);
    atomic_store(&crash->located, true);
}

/* All signals are blocked meanwhile: a crash in here is the kernel's business, which ends the
 * process. */
static void on_crash(int signal, siginfo_t *info, void *context)
{
    struct sigaction standard;

    if (atomic_exchange(&told->claimed, true))
        for (;;)
            pause(); /* the other one ends the process */
    tell(told, signal, info, context);
    memset(&standard, 0, sizeof standard);
    standard.sa_handler = SIG_DFL;
    sigaction(signal, &standard, NULL);
    if (info->si_code <= 0)
        raise(signal); /* sent by somebody: it would not come again by itself */
}

/* -------------------------------------------------------------------------------- around it -- */

void crash_watch(struct crash *crash)
{
    struct sigaction action, before;

    told = crash;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_crash;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        if (sigaction(signals[i], NULL, &before) == 0 && (before.sa_flags & SA_SIGINFO) == 0 &&
            before.sa_handler == SIG_DFL)
            sigaction(signals[i], &action, NULL);
}

struct weir_job **crash_job(void)
{
    return &job;
}

void crash_wipe(struct crash *crash)
{
    memset(crash, 0, sizeof *crash);
}

bool crash_where(struct crash *crash, struct weir_failure *where)
{
    if (!atomic_load(&crash->located))
        return false;
    *where = crash->where;
    where->size = sizeof *where;
    where->node[sizeof where->node - 1] = '\0';
    where->preview[sizeof where->preview - 1] = '\0';
    crash->doing[CRASH_DOING - 1] = '\0';
    where->doing = crash->doing;
    return true;
}
