/* SPDX-License-Identifier: Apache-2.0
 *
 * silence: an operator that tells which devices have fallen silent, and which have come back. One
 * node of the graph, with input BY_KEY: a record is a sign of life of the device that is its key,
 * at the record's time. Its output's value is a text:
 *
 *     silent since <last sign of life>       when there was none for limit_ns of event time
 *     back after <how long it was silent>    at the next one
 *     seen <how often>                       for every device, when the input has ended
 *
 * Times and durations are in seconds. The signs of one device must come in order, those of
 * different devices need not: the watermark says how far all of them have come.
 */
#ifndef SILENCE_H
#define SILENCE_H

#include "weir.h"

/* limit_ns > 0. */
weir_node silence(struct weir_graph *graph, const char *name, int64_t limit_ns);

#endif
