/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "exit_code.h"
#include "judge.h"
#include "quantity.h"
#include "report.h"
#include "signals.h"
#include "trace.h"

enum { TRACE_ROOM = 4000 };

struct supervisor {
    const struct options *options;
    supervised_work *work;
    void *context;
    struct report report;
    struct slate *slate;
    struct slate_memory memory; /* as it was when there was no child last */
    sigset_t awaited;           /* what is passed on, and SIGCHLD */
    sigset_t mask_before;
    struct sigaction child_before; /* of SIGCHLD */
    int stops;                     /* asked for by signal */
};

struct death {
    int child;
    int signal; /* 0: it has exited, with: */
    int code;
    int64_t now_ns;
    int64_t memory_most; /* bytes it had at its largest */
};

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* -------------------------------------------------------------------------------- signals -- */

/* A signal that is ignored must stay so: while it is held back it would be queued all the same. */
static void hold_signals(struct supervisor *supervisor)
{
    struct sigaction action;

    sigemptyset(&supervisor->awaited);
    sigaddset(&supervisor->awaited, SIGCHLD);
    for (size_t i = 0; i < SIGNALS_COUNT; i++)
        if (sigaction(signals_known[i], NULL, &action) == 0 &&
            ((action.sa_flags & SA_SIGINFO) != 0 || action.sa_handler != SIG_IGN))
            sigaddset(&supervisor->awaited, signals_known[i]);
    sigprocmask(SIG_BLOCK, &supervisor->awaited, &supervisor->mask_before);
    memset(&action, 0, sizeof action); /* ignored, a child would vanish without a word */
    action.sa_handler = SIG_DFL;
    sigaction(SIGCHLD, &action, &supervisor->child_before);
}

static void release_signals(struct supervisor *supervisor)
{
    sigaction(SIGCHLD, &supervisor->child_before, NULL);
    sigprocmask(SIG_SETMASK, &supervisor->mask_before, NULL);
}

/* The next signal, or 0 when the time is over (negative: never). */
static int next_signal(struct supervisor *supervisor, int64_t timeout_ns)
{
    struct timespec timeout = {.tv_sec = timeout_ns / 1000000000,
                               .tv_nsec = (long)(timeout_ns % 1000000000)};
    int signal;

    do
        signal = timeout_ns < 0 ? sigwaitinfo(&supervisor->awaited, NULL)
                                : sigtimedwait(&supervisor->awaited, NULL, &timeout);
    while (signal < 0 && errno == EINTR);
    supervisor->stops += signal == SIGINT || signal == SIGTERM;
    return signal < 0 ? 0 : signal;
}

/* Somebody was told that the program would stop, by a signal or through the control endpoint. */
static bool stopping(const struct supervisor *supervisor)
{
    return supervisor->stops > 0 || slate_stopping(supervisor->slate);
}

/* ------------------------------------------------------------------------------- the child -- */

static _Noreturn void live(struct supervisor *supervisor, int parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* V2 */
    if (getppid() != parent)
        _exit(EXIT_FAILED);
    sigaction(SIGCHLD, &supervisor->child_before, NULL);
    crash_watch(&supervisor->slate->crash);
    int code = supervisor->work(supervisor->context,
                                &(struct supervised){.slate = supervisor->slate,
                                                     .supervisor = parent,
                                                     .mask = &supervisor->mask_before});
    atomic_store(&supervisor->slate->finished, code + 1); /* V3 */
    exit(code);
}

static int start_child(struct supervisor *supervisor)
{
    int parent = (int)getpid();

    fflush(NULL); /* or both would print what is in the buffers */
    slate_wipe(supervisor->slate);
    slate_keep(supervisor->slate, &supervisor->memory);
    int child = (int)fork();
    if (child == 0)
        live(supervisor, parent);
    return child;
}

/* True when it is dead. */
static bool is_dead(int child, struct death *death)
{
    struct rusage usage;
    int status = 0;

    if (wait4(child, &status, WNOHANG, &usage) != child)
        return false;
    *death = (struct death){.child = child,
                            .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
                            .code = WIFEXITED(status) ? WEXITSTATUS(status) : 0,
                            .now_ns = now_ns(),
                            .memory_most = (int64_t)usage.ru_maxrss * 1024};
    return true;
}

static void attend(struct supervisor *supervisor, int child, struct death *death)
{
    while (!is_dead(child, death)) {
        int signal = next_signal(supervisor, -1);
        if (signal != 0 && signal != SIGCHLD)
            kill(child, signal); /* V4; it is not reaped yet: the number is its own */
    }
}

/* ------------------------------------------------------------------------ after its death -- */

/* All that is known of a death without last words: SIGKILL, or no memory left. */
static void say_last_heard(struct supervisor *supervisor, const struct death *death)
{
    const struct slate *slate = supervisor->slate;
    int64_t seen_ns = atomic_load(&slate->seen_ns);
    char ago[DURATION_TEXT];

    if (seen_ns != 0)
        report_say(&supervisor->report, WEIR_LOG_ERROR,
                   "process %d was last heard of %s before it died: its tasks had taken in %" PRIu64
                   " records, the newest checkpoint was %" PRIu64,
                   death->child, duration_print(death->now_ns - seen_ns, ago),
                   atomic_load(&slate->records_in), atomic_load(&slate->checkpoint));
    if (death->signal == SIGKILL)
        report_say(&supervisor->report, WEIR_LOG_ERROR,
                   "it had used %" PRId64 " MiB of memory at most; SIGKILL is sent by people, and "
                   "by the kernel when memory runs out: it says so in its log (dmesg)",
                   death->memory_most >> 20);
}

/* One line, for dead letters and for whoever reads of poison. */
static void describe(const struct death *death, const char *trace, char *text, size_t room)
{
    size_t first = strcspn(trace, "\n");

    if (death->signal != 0)
        snprintf(text, room, "the process died of SIG%s%s%.*s", sigabbrev_np(death->signal),
                 first > 0 ? ": " : "", (int)first, trace);
    else if (death->code == EXIT_HUNG)
        snprintf(text, room, "it hung%s%.*s", first > 0 ? ": " : "", (int)first, trace);
    else
        snprintf(text, room, "the process was ended by exit(%d)", death->code);
}

/* The time until the next child; negative: there is none. */
static int64_t judge_death(struct supervisor *supervisor, const struct death *death)
{
    struct crash *crash = &supervisor->slate->crash;
    struct weir_failure where;
    char trace[TRACE_ROOM] = "", cause[300];
    bool located = crash_where(crash, &where);

    if (atomic_load(&crash->traced) && crash->frame_count > 0 && crash->frame_count <= FRAMES_MOST)
        trace_print(crash->frames, crash->frame_count, trace, sizeof trace);
    describe(death, trace, cause, sizeof cause);
    slate_recall(supervisor->slate, &supervisor->memory);
    supervisor->report.restarts = supervisor->memory.restarts; /* those in the child as well */
    struct verdict verdict = judge(
        &supervisor->memory, &(struct failed){.where = located ? &where : NULL,
                                              .cause = cause,
                                              .now_ns = death->now_ns,
                                              .commits = atomic_load(&supervisor->slate->commits),
                                              .hopeless = stopping(supervisor)});
    if (!atomic_load(&crash->traced))
        say_last_heard(supervisor, death);
    report_died(&supervisor->report, death->child, death->signal, death->code,
                located ? &where : NULL, trace, verdict.consecutive,
                supervisor->memory.restart.allowed, verdict.delay_ns);
    if (verdict.named)
        report_poisoned(&supervisor->report, &verdict.poison, &verdict.record, verdict.left_out);
    return verdict.delay_ns;
}

/* False: a stop was asked for meanwhile. */
static bool wait_out(struct supervisor *supervisor, int64_t delay_ns)
{
    int64_t deadline_ns = now_ns() + delay_ns;

    while (supervisor->stops == 0) {
        int64_t left_ns = deadline_ns - now_ns();
        if (left_ns <= 0)
            return true;
        next_signal(supervisor, left_ns);
    }
    return false;
}

/* The supervisor's last word, when the child could not say it. */
static int end(struct supervisor *supervisor, enum weir_outcome outcome, const char *text)
{
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    struct weir_error error = {.code = WEIR_FAILED};

    status.checkpoint = atomic_load(&supervisor->slate->checkpoint);
    supervisor->report.restored_from = status.checkpoint; /* what there is to go on from */
    snprintf(error.text, sizeof error.text, "%s", text);
    report_end(&supervisor->report, outcome, outcome == WEIR_OUTCOME_STOPPED ? &status : NULL,
               &error);
    return exit_code_of_outcome(outcome, &error);
}

/* ------------------------------------------------------------------------------- the whole -- */

static int watch_over(struct supervisor *supervisor)
{
    for (;;) {
        struct death death;
        int child = start_child(supervisor);
        if (child < 0)
            return end(supervisor, WEIR_OUTCOME_FAILED, "there can be no other process (fork)");
        attend(supervisor, child, &death);
        int finished = atomic_load(&supervisor->slate->finished);
        if (finished != 0)
            return death.signal == 0 ? death.code : finished - 1; /* V3; the child has said so */
        int64_t delay_ns = judge_death(supervisor, &death);
        if (delay_ns < 0)
            return end(supervisor, WEIR_OUTCOME_FAILED, "the process that does the work has died");
        if (!wait_out(supervisor, delay_ns))
            return end(supervisor, WEIR_OUTCOME_STOPPED, "");
    }
}

int supervise(const char *program, const struct options *options, supervised_work *work,
              void *context)
{
    struct supervisor supervisor = {.options = options, .work = work, .context = context};
    struct weir_job_options unused = {WEIR_SIZED(struct weir_job_options)};

    supervisor.slate = slate_new();
    if (supervisor.slate == NULL) {
        fprintf(stderr, "%s: out of memory\n", program);
        return EXIT_FAILED;
    }
    judge_begin(&supervisor.memory, options);
    report_begin(&supervisor.report, program, options, &unused, 0);
    frames_prime();
    hold_signals(&supervisor);
    int code = watch_over(&supervisor);
    release_signals(&supervisor);
    slate_free(&supervisor.slate);
    return code;
}
