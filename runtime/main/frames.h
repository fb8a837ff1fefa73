/* SPDX-License-Identifier: Apache-2.0
 *
 * frames: the stack of the thread that a signal has interrupted, as addresses, for a handler of
 * that signal. It is backtrace() of glibc: async-signal-safe once it has loaded what it needs
 * (frames_prime), for it finds the tables of each object without a lock. libunwind could as well,
 * and would be one more library for the same tables. See trace.h for their names.
 */
#ifndef FRAMES_H
#define FRAMES_H

enum { FRAMES_MOST = 48 };

/* Before there are handlers, and children: what backtrace needs is loaded, at the same address in
 * all of them. */
void frames_prime(void);
/* In a handler; `context` is its third argument. The innermost first, without the handler's own.
 * How many. */
int frames_take(void *frames[FRAMES_MOST], const void *context);

#endif
