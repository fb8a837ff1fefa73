/* SPDX-License-Identifier: Apache-2.0 */
#include "stack.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum turn { IDLE, ASKED, TAKING, TAKEN };
enum { PATIENCE = 1000, MILLISECOND_NS = 1000000 }; /* looks for an answer, one each */

/* A handler can reach nothing but globals; programs may have some, the library has none. */
static int signal_number;
static struct sigaction before;
static _Atomic int turn;
static _Atomic int asked; /* the thread; one that answers too late finds another one here */
static struct stack answer;

/* ----------------------------------------------------------------------------- the handler -- */

static void note(const void *context)
{
    struct weir_job *job = *crash_job(); /* it has threads: this is one */

    answer.frame_count = frames_take(answer.frames, context);
    answer.where.size = sizeof answer.where;
    answer.located = job != NULL && weir_job_here(job, &answer.where);
    if (answer.located && answer.where.doing != NULL)
        strncpy(answer.doing, answer.where.doing, sizeof answer.doing - 1);
    answer.taken = true;
}

static void on_ask(int signal, siginfo_t *info, void *context)
{
    int kept = errno, expected = ASKED;

    (void)signal;
    if (info->si_pid == getpid() && gettid() == atomic_load(&asked) &&
        atomic_compare_exchange_strong(&turn, &expected, TAKING)) {
        note(context);
        atomic_store(&turn, TAKEN);
    }
    errno = kept;
}

/* -------------------------------------------------------------------------------- around it -- */

static bool is_free(int signal)
{
    return sigaction(signal, NULL, &before) == 0 && (before.sa_flags & SA_SIGINFO) == 0 &&
           before.sa_handler == SIG_DFL;
}

int stack_open(void)
{
    struct sigaction action;
    int signal = SIGRTMAX - 1; /* tools like the last one */

    while (signal > SIGRTMIN && !is_free(signal))
        signal--;
    if (signal <= SIGRTMIN)
        return 0;
    frames_prime();
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_ask;
    action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    if (sigaction(signal, &action, NULL) != 0)
        return 0;
    signal_number = signal;
    return signal;
}

void stack_close(void)
{
    if (signal_number != 0)
        sigaction(signal_number, &before, NULL);
    signal_number = 0;
}

/* False: it could not be asked, or has not answered. */
static bool ask(int thread)
{
    const struct timespec pause = {.tv_nsec = MILLISECOND_NS};
    int expected = ASKED;

    if (signal_number == 0)
        return false;
    memset(&answer, 0, sizeof answer);
    atomic_store(&asked, thread);
    atomic_store(&turn, ASKED);
    if (tgkill(getpid(), thread, signal_number) == 0)
        for (int i = 0; i < PATIENCE && atomic_load(&turn) != TAKEN; i++)
            nanosleep(&pause, NULL);
    if (atomic_compare_exchange_strong(&turn, &expected, IDLE))
        return false;
    while (atomic_load(&turn) != TAKEN) /* it is about to */
        nanosleep(&pause, NULL);
    return true;
}

/* --------------------------------------------------------------------- what else is known -- */

static size_t read_of(int thread, const char *name, char *text, size_t room)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/task/%d/%s", thread, name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = file < 0 ? -1 : read(file, text, room - 1);
    if (file >= 0)
        close(file);
    text[size > 0 ? size : 0] = '\0';
    return size > 0 ? (size_t)size : 0;
}

/* "74 0x5 ... 0x7ffd... 0x7f12...": the call's number, its arguments, where the stack is, and where
 * the call was made. */
static void ask_kernel(int thread, struct stack *stack)
{
    char text[400];

    if (read_of(thread, "stat", text, sizeof text) == 0) {
        snprintf(stack->kernel, sizeof stack->kernel, "it has ended meanwhile");
        return;
    }
    const char *name_end = strrchr(text, ')');
    char state = name_end != NULL && strlen(name_end) > 2 ? name_end[2] : '?';
    size_t size = read_of(thread, "syscall", text, sizeof text);
    const char *last = strrchr(text, ' ');
    if (size == 0 || last == NULL || text[0] < '0' || text[0] > '9') {
        snprintf(stack->kernel, sizeof stack->kernel,
                 "it takes no signal; the kernel has it in state %c", state);
        return;
    }
    snprintf(stack->kernel, sizeof stack->kernel,
             "it takes no signal; the kernel has it in state %c, in system call %ld", state,
             strtol(text, NULL, 10));
    stack->frames[0] = (void *)(uintptr_t)strtoull(last + 1, NULL, 16);
    stack->frame_count = 1;
}

void stack_take(int thread, struct stack *stack)
{
    memset(stack, 0, sizeof *stack);
    if (ask(thread)) {
        *stack = answer;
        stack->where.doing = stack->located ? stack->doing : NULL;
        return;
    }
    ask_kernel(thread, stack);
}
