/* SPDX-License-Identifier: Apache-2.0 */
#include "frames.h"

#include <execinfo.h>
#include <stddef.h>
#include <string.h>
#include <ucontext.h>

void frames_prime(void)
{
    void *frames[4];

    backtrace(frames, 4);
}

/* Where the thread was when the signal came; NULL on machines that are not known here. */
static void *interrupted_at(const ucontext_t *context)
{
#if defined(__x86_64__)
    return (void *)context->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (void *)context->uc_mcontext.pc;
#else
    (void)context;
    return NULL;
#endif
}

/* Drops the frames of the handler itself. */
int frames_take(void *frames[FRAMES_MOST], const void *context)
{
    const void *address = interrupted_at(context);
    int count = backtrace(frames, FRAMES_MOST), first = 0;

    while (first < count && frames[first] != address)
        first++;
    if (address == NULL || first == count)
        return count; /* it jumped to nowhere: who called it is all there is */
    memmove(frames, frames + first, (size_t)(count - first) * sizeof frames[0]);
    return count - first;
}
