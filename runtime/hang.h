/* SPDX-License-Identifier: Apache-2.0
 *
 * hang: has somebody been at one thing for too long? Pure: what is seen of who is watched, and how
 * much time has passed since the last look, go in; what is to be said comes out.
 *
 * What is looked at is *progress*, which who is watched notes himself: when he began with what he
 * is at (a callback, a span of records, a file call), and how many strokes of it are done. A thread
 * that does nothing but show that it is alive would prove nothing.
 *
 *   H1  who waits - for input, a time, credit, an operator that holds - does not hang.
 *   H2  time counts as it is seen to pass: a gap between two looks counts as two ticks at most. So
 *       a process that was stopped, or a machine that slept, does not find everybody hanging when
 *       it wakes: whoever can, has moved by the next look.
 *   H3  of a thing of many parts, a span of records, who looks may ask for an end behind the part
 *       in hand, when it is seen first (stood_ns is 0 then): the time that counts begins there, so
 *       no part hangs that is shorter than after_ns, whatever came before it.
 *   H4  it is told when it has lasted for `after_ns`, and again whenever it has lasted twice as
 *       long as when it was told last; and once when it is over, if it was told at all.
 */
#ifndef HANG_H
#define HANG_H

#include "pulse.h"

#define HANG_TICKS 8 /* looks in after_ns; a hang is told up to two of them late */

/* What one look shows. */
struct hang_seen {
    bool busy;
    int64_t since_ns; /* monotonic; when he began with it */
    uint64_t strokes; /* done since the start */
};

/* Of one who is watched, from look to look. Zeroed: never looked at. */
struct hang {
    struct hang_seen seen;
    int64_t stood_ns; /* so long nothing has changed */
    int64_t told_ns;  /* `stood_ns` when it was told last; 0: it was not */
};

enum hang_verdict {
    HANG_NOTHING,
    HANG_TELL,
    HANG_OVER, /* what was told of has come to an end */
};

struct hang_seen hang_see_task(const struct task_pulse *pulse);
/* strokes: those of the store's files. */
struct hang_seen hang_see_writer(const struct writer_pulse *pulse, uint64_t strokes);

/* How long after one look the next is due. */
int64_t hang_tick_ns(int64_t after_ns);
enum hang_verdict hang_look(struct hang *hang, const struct hang_seen *seen, int64_t passed_ns,
                            int64_t after_ns);

#endif
