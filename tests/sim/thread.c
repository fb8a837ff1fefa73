/* SPDX-License-Identifier: Apache-2.0
 *
 * Actors without threads. Whoever would wait (monitor_wait, thread_join) runs the scheduler
 * instead: it draws one actor among those that have something to do and calls its step; when all
 * wait, virtual time jumps to the next deadline or delivery. Nothing to do and nothing to wait for
 * is a deadlock: reported with each actor's wait, and abort.
 *
 * Two rules of drawing, chosen by the seed: uniform; and priorities that change now and then, which
 * keep one actor from running for long (what a uniform draw hardly ever does).
 */
#include "thread.h"

#include <assert.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "memory.h"
#include "sim.h"

#define EARLY_ONE_IN 32    /* a wait may return early, so now and then one does */
#define PRIORITY_ONE_IN 64 /* how often an actor's priority changes */
#define PACE_ONE_IN 256    /* and how often its slowness does, in its own steps */
#define PACES 11           /* the slowest is 2^10 times slower than the fastest */
#define LOOKS 4            /* looks at the clock that take as long as what comes after the step */

struct thread {
    struct actor actor;
    const struct weir_allocator *allocator;
    struct step last;
    uint32_t process;
    uint64_t priority;
    uint64_t steps;
    int64_t cost_ns;       /* of its steps: see sim_slow_actors */
    int64_t busy_until_ns; /* with a step, or paused */
    bool stalled;          /* in the middle of a step: see sim_stall_here */
    struct thread *next;
};

struct monitor {
    const struct weir_allocator *allocator;
    bool inside;
    bool notified;
};

static struct {
    struct thread *first;
    uint64_t left; /* threads and monitors */
    uint64_t steps, step_limit;
    int64_t step_cost_ns, slow_most_ns;
    bool priorities;
    bool stepping;
    struct thread *running; /* whose step it is */

    /* what is to happen between two steps: numbers of steps, 0 for never */
    uint64_t kill_at, pause_at, process_pause_at;
    bool pause_all;
    int64_t pause_ns;
    uint64_t pauses;
    uint32_t process_to_pause;
    uint32_t paused; /* bit set of processes */
    uint64_t jump_one_in;
} schedule;

void sim_threads_start(void)
{
    memset(&schedule, 0, sizeof schedule);
    schedule.step_limit = 100000000;
    schedule.priorities = sim_draw(SIM_SCHEDULE, 2) == 1;
}

uint64_t sim_threads_left(void)
{
    return schedule.left;
}

void sim_threads_forget(void)
{
    schedule.first = NULL;
    schedule.left = 0;
    schedule.stepping = false;
}

void sim_step_cost(int64_t cost_ns)
{
    schedule.step_cost_ns = cost_ns;
}

void sim_slow_actors(int64_t most_ns)
{
    schedule.slow_most_ns = most_ns;
}

void sim_step_limit(uint64_t steps)
{
    schedule.step_limit = steps;
}

uint64_t sim_steps(void)
{
    return schedule.steps;
}

static uint64_t step_number(uint64_t k)
{
    return k == 0 ? 0 : schedule.steps + k;
}

void sim_kill_at_step(uint64_t k)
{
    schedule.kill_at = step_number(k);
}

void sim_pause_at_step(uint64_t k, bool all, int64_t for_ns)
{
    schedule.pause_at = step_number(k);
    schedule.pause_all = all;
    schedule.pause_ns = for_ns;
}

uint64_t sim_pauses(void)
{
    return schedule.pauses;
}

void sim_process_pause_at_step(uint32_t number, uint64_t k)
{
    schedule.process_pause_at = step_number(k);
    schedule.process_to_pause = number;
}

bool sim_process_paused(uint32_t number)
{
    return schedule.paused >> number & 1;
}

void sim_process_resume(uint32_t number)
{
    schedule.paused &= ~(1u << number);
}

void sim_clock_jumps(uint64_t one_in)
{
    schedule.jump_one_in = one_in;
}

/* ---- scheduler ---- */

static void give_up(const char *why)
{
    sim_trace_tail();
    fprintf(stderr, "sim: %s at %" PRId64 " ns after %" PRIu64 " steps\n", why, sim_now_ns(),
            schedule.steps);
    for (const struct thread *thread = schedule.first; thread != NULL; thread = thread->next) {
        static const char *const states[] = {"again", "waits", "done"};
        fprintf(stderr, "  %-16s %-6s steps %" PRIu64 ", fd %d, deadline %" PRId64 ", inbox %s%s\n",
                thread->actor.name, states[thread->last.what], thread->steps, thread->last.fd,
                thread->last.deadline_ns,
                thread->last.what != STEP_DONE && sim_inbox_due_ns(thread->actor.inbox) < INT64_MAX
                    ? "has messages"
                    : "empty",
                sim_process_paused(thread->process) ? ", paused" : "");
    }
    abort();
}

static bool fd_is_ready(int fd)
{
    struct pollfd polled = {.fd = fd, .events = POLLIN};

    return fd >= 0 && poll(&polled, 1, 0) > 0;
}

static bool stands_still(const struct thread *thread)
{
    return thread->last.what == STEP_DONE || thread->stalled || sim_process_paused(thread->process);
}

/* When it can go on by itself; INT64_MAX: never. */
static int64_t thread_due_ns(const struct thread *thread)
{
    int64_t due_ns = thread->last.deadline_ns;
    int64_t inbox_ns;

    if (stands_still(thread))
        return INT64_MAX;
    if (thread->last.what == STEP_AGAIN || fd_is_ready(thread->last.fd))
        return thread->busy_until_ns;
    inbox_ns = sim_inbox_due_ns(thread->actor.inbox);
    due_ns = inbox_ns < due_ns ? inbox_ns : due_ns;
    return due_ns < thread->busy_until_ns ? thread->busy_until_ns : due_ns;
}

static bool can_run(const struct thread *thread, bool early)
{
    int64_t now_ns = sim_now_ns();

    if (early)
        return !stands_still(thread) && thread->busy_until_ns <= now_ns;
    return thread_due_ns(thread) <= now_ns;
}

static bool any_can_run(void)
{
    const struct thread *thread = schedule.first;

    while (thread != NULL && !can_run(thread, false))
        thread = thread->next;
    return thread != NULL;
}

static struct thread *choose(bool early)
{
    struct thread *best = NULL;
    uint64_t count = 0;

    for (struct thread *thread = schedule.first; thread != NULL; thread = thread->next) {
        if (!can_run(thread, early))
            continue;
        if (sim_draw(SIM_SCHEDULE, PRIORITY_ONE_IN) == 0)
            thread->priority = sim_draw(SIM_SCHEDULE, UINT64_MAX);
        if (schedule.priorities ? best == NULL || thread->priority > best->priority
                                : sim_draw(SIM_SCHEDULE, ++count) == 0)
            best = thread;
    }
    return best;
}

static void draw_pace(struct thread *thread)
{
    if (schedule.slow_most_ns > 0)
        thread->cost_ns = schedule.slow_most_ns >> sim_draw(SIM_SCHEDULE, PACES);
}

static void run_step(struct thread *thread)
{
    uint32_t application = sim_process_now();
    uint64_t numbers[4] = {0};

    if (++schedule.steps > schedule.step_limit)
        give_up("too many steps");
    if (schedule.slow_most_ns > 0 && sim_draw(SIM_SCHEDULE, PACE_ONE_IN) == 0)
        draw_pace(thread);
    schedule.stepping = true;
    schedule.running = thread;
    sim_process(thread->process);
    sim_clock_tick(thread->cost_ns / LOOKS);
    thread->last = thread->actor.step(thread->actor.self);
    sim_clock_tick(0);
    sim_process(application);
    schedule.stepping = false;
    thread->steps++;
    numbers[0] = (uint64_t)thread->last.what;
    numbers[1] = (uint64_t)thread->last.deadline_ns;
    numbers[2] = thread->process;
    sim_event("step", thread->actor.name, numbers);
    sim_clock_pass(sim_now_ns() + schedule.step_cost_ns);
    thread->busy_until_ns = sim_now_ns() + thread->cost_ns;
}

/* ---- what happens between two steps ---- */

static void pause_one(void)
{
    struct thread *chosen = NULL;
    uint64_t count = 0;

    for (struct thread *thread = schedule.first; thread != NULL; thread = thread->next) {
        if (!stands_still(thread) && sim_draw(SIM_TIME, ++count) == 0)
            chosen = thread;
    }
    if (chosen == NULL)
        return;
    chosen->busy_until_ns = sim_now_ns() + schedule.pause_ns;
    sim_event("pause", chosen->actor.name, (const uint64_t[4]){(uint64_t)schedule.pause_ns});
}

static void pause_all(void)
{
    sim_event("pause", "all", (const uint64_t[4]){(uint64_t)schedule.pause_ns});
    sim_clock_pass(sim_now_ns() + schedule.pause_ns);
}

/* True: who can run may have changed. */
static bool befall(void)
{
    uint64_t step = schedule.steps + 1;

    if (step == schedule.kill_at)
        sim_kill();
    if (schedule.jump_one_in > 0 && sim_draw(SIM_TIME, schedule.jump_one_in) == 0)
        sim_clock_jump();
    if (step == schedule.pause_at) {
        schedule.pause_at = 0;
        schedule.pauses++;
        if (schedule.pause_all)
            pause_all();
        else
            pause_one();
        return true;
    }
    if (step == schedule.process_pause_at) {
        schedule.process_pause_at = 0;
        schedule.paused |= 1u << schedule.process_to_pause;
        return true;
    }
    return false;
}

static int64_t next_due_ns(void)
{
    int64_t due_ns = INT64_MAX;

    for (const struct thread *thread = schedule.first; thread != NULL; thread = thread->next) {
        int64_t own_ns = thread_due_ns(thread);
        due_ns = own_ns < due_ns ? own_ns : due_ns;
    }
    return due_ns;
}

/* One step, or one jump in time, not beyond `until_ns`. False: nobody will ever move again. */
static bool advance(int64_t until_ns)
{
    int64_t due_ns;

    assert(!schedule.stepping);
    if (any_can_run()) {
        if (!befall())
            run_step(choose(sim_draw(SIM_SCHEDULE, EARLY_ONE_IN) == 0));
        return true;
    }
    due_ns = next_due_ns();
    if (until_ns < due_ns)
        due_ns = until_ns;
    if (due_ns == INT64_MAX)
        return false;
    sim_clock_pass(due_ns);
    return true;
}

void sim_run(int64_t until_ns)
{
    while (sim_now_ns() < until_ns)
        (void)advance(until_ns);
}

void sim_process_pause_here(void (*meanwhile)(void *context), void *context)
{
    uint32_t process = sim_process_now();

    assert(schedule.stepping && !sim_process_paused(process));
    schedule.paused |= 1u << process;
    schedule.stepping = false;
    meanwhile(context);
    schedule.stepping = true;
    sim_process_resume(process);
    sim_process(process);
}

void sim_stall_here(int64_t for_ns)
{
    struct thread *stalled = schedule.running;
    uint32_t process = sim_process_now();

    assert(schedule.stepping && !stalled->stalled);
    sim_event("stall", stalled->actor.name, (const uint64_t[4]){(uint64_t)for_ns});
    stalled->stalled = true;
    schedule.stepping = false;
    sim_run(sim_now_ns() + for_ns);
    schedule.stepping = true;
    stalled->stalled = false;
    schedule.running = stalled;
    sim_process(process);
}

/* ---- threads ---- */

enum weir_result thread_start(const struct actor *actor, const struct weir_allocator *allocator,
                              struct thread **thread, struct weir_error *error)
{
    struct thread *new = memory_zeroed(allocator, 1, sizeof *new);

    if (new == NULL)
        return error_memory(error, "a thread", sizeof *new);
    new->actor = *actor;
    new->allocator = allocator;
    new->last = (struct step){STEP_AGAIN, -1, INT64_MAX};
    new->process = sim_process_now();
    new->priority = sim_draw(SIM_SCHEDULE, UINT64_MAX);
    draw_pace(new);
    new->next = schedule.first;
    schedule.first = new;
    schedule.left++;
    *thread = new;
    return WEIR_OK;
}

static void forget(struct thread **thread)
{
    struct thread *old = *thread;
    struct thread **link = &schedule.first;

    while (*link != old)
        link = &(*link)->next;
    *link = old->next;
    schedule.left--;
    memory_release(old->allocator, old);
    *thread = NULL;
}

void thread_join(struct thread **thread)
{
    struct thread *old = *thread;

    if (old == NULL)
        return;
    while (old->last.what != STEP_DONE) {
        if (!advance(INT64_MAX))
            give_up("deadlock while joining");
    }
    forget(thread);
}

bool thread_join_within(struct thread **thread, int64_t most_ns)
{
    struct thread *old = *thread;
    int64_t until_ns = sim_now_ns() + most_ns;

    if (old == NULL)
        return true;
    while (old->last.what != STEP_DONE && sim_now_ns() < until_ns)
        (void)advance(until_ns);
    if (old->last.what != STEP_DONE)
        return false;
    forget(thread);
    return true;
}

int thread_number(void)
{
    return 1; /* all actors are the one thread */
}

uint32_t thread_processors(void)
{
    return 3;
}

/* ---- monitor ---- */

struct monitor *monitor_new(const struct weir_allocator *allocator)
{
    struct monitor *monitor = memory_zeroed(allocator, 1, sizeof *monitor);

    if (monitor != NULL) {
        monitor->allocator = allocator;
        schedule.left++;
    }
    return monitor;
}

void monitor_free(struct monitor **monitor)
{
    struct monitor *old = *monitor;

    if (old == NULL)
        return;
    assert(!old->inside);
    schedule.left--;
    memory_release(old->allocator, old);
    *monitor = NULL;
}

void monitor_enter(struct monitor *monitor)
{
    assert(!monitor->inside); /* a real lock would hang here */
    monitor->inside = true;
}

void monitor_leave(struct monitor *monitor)
{
    assert(monitor->inside);
    monitor->inside = false;
}

/* Once notified, the application is one more that could go on: whether others come first is
 * drawn. */
void monitor_wait(struct monitor *monitor, int64_t deadline_ns)
{
    monitor_leave(monitor);
    monitor->notified = false;
    while (!monitor->notified && sim_now_ns() < deadline_ns) {
        if (!advance(deadline_ns))
            give_up("deadlock while the application waits");
    }
    while (sim_draw(SIM_SCHEDULE, 4) != 0 && any_can_run())
        (void)advance(INT64_MAX);
    monitor_enter(monitor);
}

void monitor_notify(struct monitor *monitor)
{
    monitor->notified = true;
}

/* ---- bell ---- */

/* Nobody waits for it: whoever would, runs the scheduler. */
struct bell {
    const struct weir_allocator *allocator;
};

enum weir_result bell_new(const struct weir_allocator *allocator, struct bell **bell,
                          struct weir_error *error)
{
    struct bell *new = memory_zeroed(allocator, 1, sizeof *new);

    if (new == NULL)
        return error_memory(error, "a descriptor for weir_job_fd", sizeof *new);
    new->allocator = allocator;
    *bell = new;
    return WEIR_OK;
}

void bell_free(struct bell **bell)
{
    struct bell *old = *bell;

    if (old == NULL)
        return;
    memory_release(old->allocator, old);
    *bell = NULL;
}

int bell_fd(const struct bell *bell)
{
    (void)bell;
    return -1;
}

void bell_ring(struct bell *bell)
{
    (void)bell;
}

void bell_hush(struct bell *bell)
{
    (void)bell;
}
