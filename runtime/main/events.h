/* SPDX-License-Identifier: Apache-2.0
 *
 * events: what a run says as JSON, one object a line on standard output, for programs. ../EVENTS.md
 * documents every member, and a test holds the two together. Called by the report, under its lock;
 * parameters as in lines.h.
 */
#ifndef EVENTS_H
#define EVENTS_H

#include "report.h"

void events_log(struct report *report, enum weir_level level, const char *text);
void events_started(struct report *report, const struct weir_event *event, int64_t recovery_ns);
void events_committed(struct report *report, const struct weir_event *event);
void events_aborted(struct report *report, const struct weir_event *event);
void events_saved(struct report *report, const struct weir_event *event);
void events_unsaved(struct report *report, const struct weir_event *event);
void events_stopping(struct report *report, enum weir_stop how, const char *who,
                     const char *savepoint);
void events_dump(struct report *report, const char *text);
void events_failed(struct report *report, const struct weir_error *error,
                   const struct weir_failure *failure, const struct report_retry *retry);
void events_died(struct report *report, int child, int signal, int code,
                 const struct weir_failure *where, const char *trace,
                 const struct report_retry *retry);
void events_hung(struct report *report, const struct report_hang *hang);
void events_returned(struct report *report, const struct weir_event *event);
void events_poisoned(struct report *report, const struct weir_poison *poison,
                     const struct weir_failure *failure, bool skipped);
void events_end(struct report *report, enum weir_outcome outcome, const struct weir_status *status,
                const struct weir_error *error, int64_t now_ns);

#endif
