/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "exit_code.h"
#include "signals.h"
#include "stack.h"
#include "trace.h"

enum { TRACE_ROOM = 4000 };

/* ------------------------------------------------------------------- the end of a process -- */

/* D2. Who crashes meanwhile tells instead, and ends the process. */
static void leave_words(struct crash *words, const struct watchdog_note *note,
                        const struct stack *stack)
{
    if (atomic_exchange(&words->claimed, true))
        for (;;)
            pause();
    words->frame_count = stack->frame_count;
    memcpy(words->frames, stack->frames, sizeof words->frames);
    words->where = stack->where;
    memcpy(words->doing, stack->doing, sizeof words->doing);
    if (!stack->located && note->node[0] != '\0') {
        words->where =
            (struct weir_failure){.size = sizeof words->where, .subtask = note->event.subtask};
        snprintf(words->where.node, sizeof words->where.node, "%s", note->node);
        snprintf(words->doing, sizeof words->doing, "%s", note->event.doing);
    }
    words->where.doing = NULL;
    atomic_store(&words->located, words->where.node[0] != '\0');
    atomic_store(&words->traced, true);
}

static bool is_stopping(const struct watchdog *watchdog)
{
    return signals_stops() > 0 || slate_stopping(watchdog->slate);
}

static _Noreturn void end_process(struct watchdog *watchdog)
{
    if (is_stopping(watchdog)) { /* D3: as a third signal does */
        atomic_store(&watchdog->slate->finished, EXIT_STOPPED + 1);
        _exit(EXIT_STOPPED);
    }
    _exit(EXIT_HUNG);
}

/* ------------------------------------------------------------------------------- telling -- */

static void tell(struct watchdog *watchdog, const struct watchdog_note *note)
{
    struct stack stack;
    char trace[TRACE_ROOM] = "";
    bool ends = watchdog->options->hang_restarts;
    struct report_hang hang = {.event = &note->event, .trace = trace, .ends = ends, .kernel = ""};

    if (note->event.kind == WEIR_EVENT_RETURNED) {
        report_returned(watchdog->report, &note->event);
        return;
    }
    stack_take(note->event.thread, &stack);
    if (ends && !is_stopping(watchdog))
        leave_words(&watchdog->slate->crash, note, &stack);
    else if (stack.frame_count > 0)
        trace_print(stack.frames, stack.frame_count, trace, sizeof trace);
    hang.kernel = stack.kernel;
    hang.where = stack.located ? &stack.where : NULL;
    report_hung(watchdog->report, &hang);
    if (ends)
        end_process(watchdog);
}

static void *watch(void *context)
{
    struct watchdog *watchdog = context;
    struct watchdog_note note;

    pthread_mutex_lock(&watchdog->lock);
    while (!watchdog->over || watchdog->count > 0) {
        if (watchdog->count == 0) {
            pthread_cond_wait(&watchdog->changed, &watchdog->lock);
            continue;
        }
        note = watchdog->notes[0];
        watchdog->count--;
        memmove(watchdog->notes, watchdog->notes + 1, watchdog->count * sizeof note);
        pthread_mutex_unlock(&watchdog->lock);
        note.event.text = note.text;
        note.event.node = note.node;
        tell(watchdog, &note);
        pthread_mutex_lock(&watchdog->lock);
    }
    pthread_mutex_unlock(&watchdog->lock);
    return NULL;
}

/* ------------------------------------------------------------------------------- the whole -- */

void watchdog_start(struct watchdog *watchdog, struct options *options, struct report *report,
                    struct slate *slate)
{
    sigset_t all, now;

    memset(watchdog, 0, sizeof *watchdog);
    watchdog->options = options;
    watchdog->report = report;
    watchdog->slate = slate;
    pthread_mutex_init(&watchdog->lock, NULL);
    pthread_cond_init(&watchdog->changed, NULL);
    if (options->job.hang_after_ns < 0)
        return;
    options->job.open_signal = stack_open();
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &now); /* inherited: signals are not for it */
    watchdog->running = pthread_create(&watchdog->thread, NULL, watch, watchdog) == 0;
    pthread_sigmask(SIG_SETMASK, &now, NULL);
}

void watchdog_note(struct watchdog *watchdog, const struct weir_event *event)
{
    pthread_mutex_lock(&watchdog->lock);
    if (watchdog->running && watchdog->count < WATCHDOG_NOTES) {
        struct watchdog_note *note = &watchdog->notes[watchdog->count++];
        note->event = *event;
        snprintf(note->text, sizeof note->text, "%s", event->text);
        snprintf(note->node, sizeof note->node, "%s", event->node);
        pthread_cond_signal(&watchdog->changed);
    }
    pthread_mutex_unlock(&watchdog->lock);
}

void watchdog_stop(struct watchdog *watchdog)
{
    pthread_mutex_lock(&watchdog->lock);
    watchdog->over = true;
    pthread_cond_signal(&watchdog->changed);
    pthread_mutex_unlock(&watchdog->lock);
    if (watchdog->running)
        pthread_join(watchdog->thread, NULL);
    stack_close();
    watchdog->options = NULL;
    pthread_cond_destroy(&watchdog->changed);
    pthread_mutex_destroy(&watchdog->lock);
}
