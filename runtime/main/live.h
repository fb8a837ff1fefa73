/* SPDX-License-Identifier: Apache-2.0
 *
 * live: one line at the foot of a terminal that is drawn again and again, and lines that appear
 * above it.
 *
 * Invariants, for whoever looks at the terminal:
 *   L1  Whatever is printed appears whole, on lines of its own; the live line stands below it.
 *   L2  The live line takes one row: it is cut to the terminal's width as it is just then.
 *   L3  It is drawn at most 10 times a second for its own sake; a printed line draws it once more.
 *   L4  After live_end it is gone, and nothing is left of it.
 *
 * Off - no terminal, TERM=dumb, not wanted - it prints lines and draws nothing. Not thread-safe:
 * the report's lock is around it.
 */
#ifndef LIVE_H
#define LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct live {
    int fd;
    bool on;
    bool drawn; /* it is on the terminal */
    int64_t drawn_ns;
    char text[400]; /* the newest, without escapes */
};

void live_begin(struct live *live, int fd, bool wanted);
/* `line` without its newline. */
void live_print(struct live *live, const char *line);
/* Whether the tenth of a second is over. */
bool live_due(const struct live *live, int64_t now_ns);
/* Plain ASCII. */
void live_draw(struct live *live, int64_t now_ns, const char *text);
/* Until it is drawn again: what it says is not true any more. */
void live_hide(struct live *live);
/* Another process may have drawn its line here, and can't take it away any more. */
void live_take_over(struct live *live);
void live_end(struct live *live);

#endif
