/* SPDX-License-Identifier: Apache-2.0
 *
 * lines: what a run says as sentences for people, on standard error. Called by the report, under
 * its lock.
 */
#ifndef LINES_H
#define LINES_H

#include "report.h"

void lines_say(struct report *report, enum weir_level level, const char *format, ...)
    WEIR_PRINTF(3, 4);
/* recovery_ns: since the failure before; 0: there was none. */
void lines_started(struct report *report, const struct weir_event *event, int64_t recovery_ns);
/* Thinned out: printed now, or held back. */
void lines_committed(struct report *report, const struct weir_event *event, int64_t now_ns);
void lines_aborted(struct report *report, const struct weir_event *event, int64_t now_ns);
/* Prints what was held back for a second; or, with `all`, everything. */
void lines_release(struct report *report, int64_t now_ns, bool all);
void lines_saved(struct report *report, const struct weir_event *event);
void lines_unsaved(struct report *report, const struct weir_event *event);
void lines_stopping(struct report *report, enum weir_stop how, const char *who,
                    const char *savepoint);
void lines_failed(struct report *report, const struct weir_error *error,
                  const struct weir_failure *failure, const struct report_retry *retry);
void lines_died(struct report *report, int child, int signal, int code,
                const struct weir_failure *where, const char *trace,
                const struct report_retry *retry);
void lines_hung(struct report *report, const struct report_hang *hang);
void lines_returned(struct report *report, const struct weir_event *event);
void lines_poisoned(struct report *report, const struct weir_poison *poison,
                    const struct weir_failure *failure, bool skipped);
void lines_end(struct report *report, enum weir_outcome outcome, const struct weir_status *status,
               const struct weir_error *error, int64_t now_ns);

#endif
