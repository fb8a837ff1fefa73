/* SPDX-License-Identifier: Apache-2.0 */
#include "run.h"

#include <stdarg.h>
#include <stdio.h>

void run_log(const struct run *run, enum weir_level level, const char *format, ...)
{
    if (!run->log)
        return;
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (run->notices) {
        notices_log(run->notices, level, text);
        return;
    }
    monitor_enter(run->log_lock);
    run->log(run->log_context, level, text);
    monitor_leave(run->log_lock);
}

void run_event(const struct run *run, const struct weir_event *event)
{
    if (!run->event)
        return;
    struct weir_event whole = *event;
    whole.last = event->last ? event->last : "";
    whole.path = event->path ? event->path : "";
    whole.node = event->node ? event->node : "";
    whole.doing = event->doing ? event->doing : "";
    if (run->notices) {
        notices_event(run->notices, &whole);
        return;
    }
    monitor_enter(run->log_lock);
    run->event(run->event_context, &whole);
    monitor_leave(run->log_lock);
}
