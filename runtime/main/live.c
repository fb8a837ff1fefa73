/* SPDX-License-Identifier: Apache-2.0 */
#include "live.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "out.h"

#define PERIOD_NS ((int64_t)100 * 1000 * 1000)
/* To the row's beginning, and clear it to its end (ECMA-48: EL). */
#define CLEAR "\r\x1b[K"
enum { LINE_ROOM = 2000, USUAL_COLUMNS = 80 };

void live_begin(struct live *live, int fd, bool wanted)
{
    const char *term = getenv("TERM");

    *live = (struct live){.fd = fd};
    live->on = wanted && term != NULL && *term != '\0' && strcmp(term, "dumb") != 0 && isatty(fd);
}

/* One less than there are: a character in the last column makes some terminals wrap. */
static int columns(const struct live *live)
{
    struct winsize size;
    int count = USUAL_COLUMNS;

    if (ioctl(live->fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        count = size.ws_col;
    return count - 1;
}

void live_print(struct live *live, const char *line)
{
    char text[LINE_ROOM];
    int used =
        snprintf(text, sizeof text, "%s%.*s\n", live->drawn ? CLEAR : "", LINE_ROOM - 500, line);

    if (live->drawn)
        used +=
            snprintf(text + used, sizeof text - (size_t)used, "%.*s", columns(live), live->text);
    out_write(live->fd, text, (size_t)used);
}

bool live_due(const struct live *live, int64_t now_ns)
{
    return live->on && (!live->drawn || now_ns - live->drawn_ns >= PERIOD_NS);
}

void live_draw(struct live *live, int64_t now_ns, const char *text)
{
    char line[sizeof live->text + sizeof CLEAR];

    if (!live_due(live, now_ns))
        return;
    snprintf(live->text, sizeof live->text, "%s", text);
    int used = snprintf(line, sizeof line, CLEAR "%.*s", columns(live), live->text);
    out_write(live->fd, line, (size_t)used);
    live->drawn = true;
    live->drawn_ns = now_ns;
}

void live_take_over(struct live *live)
{
    if (live->on && !live->drawn)
        out_write(live->fd, CLEAR, strlen(CLEAR));
}

void live_hide(struct live *live)
{
    if (live->drawn)
        out_write(live->fd, CLEAR, strlen(CLEAR));
    live->drawn = false;
}

void live_end(struct live *live)
{
    live_hide(live);
    live->on = false;
}
