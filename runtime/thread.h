/* SPDX-License-Identifier: Apache-2.0
 *
 * thread: the door to threads. An *actor* is a state machine around an inbox: `step` never blocks
 * and says what it waits for. The real door (thread.c) gives each actor a thread that steps and
 * waits; a simulated one calls the steps of all actors from one thread, in drawn order. Same
 * actors, same code.
 */
#ifndef THREAD_H
#define THREAD_H

#include <stdatomic.h>

#include "transport.h"

enum step_what {
    STEP_AGAIN, /* there is more to do at once */
    STEP_WAIT,  /* until a message, fd or the deadline */
    STEP_DONE,  /* never again; the actor has closed its sockets */
};

struct step {
    enum step_what what;
    int fd;              /* -1: none */
    int64_t deadline_ns; /* INT64_MAX: none */
};

struct actor {
    char name[16]; /* of the thread, for debuggers */
    struct step (*step)(void *self);
    void *self;
    struct inbox *inbox;
    int signal; /* that its thread does not block, besides faults; 0: none */
    /* 0 in a child that a step forked, and that comes back from it: it is ended at once, by code
     * THREAD_FORKED, for it is the only thread of its process. NULL: no step forks. */
    const _Atomic uint32_t *here;
};

#define THREAD_FORKED 255

struct thread;

/* The actor is copied. */
enum weir_result thread_start(const struct actor *actor, const struct weir_allocator *allocator,
                              struct thread **thread, struct weir_error *error) WEIR_MUST_USE;
/* Waits until its step has answered STEP_DONE. */
void thread_join(struct thread **thread);
/* The same for so long at most (by the wall clock, so more or less). False: it has not ended. */
bool thread_join_within(struct thread **thread, int64_t most_ns) WEIR_MUST_USE;
/* The system's number of the calling thread, never 0. Async-signal-safe. */
int thread_number(void);
/* How many threads may run at the same time, at least 1: the processors that this process may use.
 */
uint32_t thread_processors(void);

/* A lock and a condition: for what the application's threads and the coordinator share, and nothing
 * on a record's path. */
struct monitor;
struct monitor *monitor_new(const struct weir_allocator *allocator); /* NULL: no memory */
void monitor_free(struct monitor **monitor);
void monitor_enter(struct monitor *monitor);
void monitor_leave(struct monitor *monitor);
/* Inside; leaves, waits for monitor_notify or the deadline, enters. May return early. In the
 * simulation this is where the actors run. */
void monitor_wait(struct monitor *monitor, int64_t deadline_ns);
void monitor_notify(struct monitor *monitor);

/* A descriptor that is readable from bell_ring until bell_hush, however often it was rung: for who
 * waits in a loop of his own. Neither blocks. The simulated one has no descriptor: -1. */
struct bell;
enum weir_result bell_new(const struct weir_allocator *allocator, struct bell **bell,
                          struct weir_error *error) WEIR_MUST_USE;
void bell_free(struct bell **bell);
int bell_fd(const struct bell *bell);
void bell_ring(struct bell *bell);
void bell_hush(struct bell *bell);

#endif
