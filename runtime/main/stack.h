/* SPDX-License-Identifier: Apache-2.0
 *
 * stack: where another thread of this process stands. It is asked by a signal of its own, whose
 * handler notes the addresses of the stack and what its operator has in hand, and lets it go on; a
 * system call in which it waits may be cut short by that (EINTR), as by any signal.
 *
 * A thread that the kernel holds, on a disk that does not answer say, runs no handler. Then what
 * the kernel says of it in /proc is all there is: the system call, and where it was made.
 */
#ifndef STACK_H
#define STACK_H

#include "crash.h"

struct stack {
    bool taken;                /* by the thread itself */
    int frame_count;           /* not taken: 1, where the system call was made, or 0 */
    void *frames[FRAMES_MOST]; /* the innermost first */
    bool located;              /* taken, in an operator's callback: */
    struct weir_failure where; /* but for `doing`, which is a pointer: */
    char doing[CRASH_DOING];
    char kernel[120]; /* not taken: what the kernel says, in words */
};

/* The signal: a real-time one that nobody has a handler for, nor ignores; 0: there is none. Threads
 * that may be asked must not block it. One at a time in a process. */
int stack_open(void);
/* The signal is again what it was. No thread that was asked may be there any more. */
void stack_close(void);
/* Waits a second at most. The thread is known by the system's number. */
void stack_take(int thread, struct stack *stack);

#endif
