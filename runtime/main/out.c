/* SPDX-License-Identifier: Apache-2.0 */
#include "out.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 1000 }; /* for a descriptor that somebody has made non-blocking */

static bool write_some(int fd, const char **text, size_t *size)
{
    ssize_t written = write(fd, *text, *size);

    if (written >= 0) {
        *text += written;
        *size -= (size_t)written;
        return true;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, PATIENCE_MS) > 0;
    return errno == EINTR;
}

/* SIGPIPE goes to the thread that writes: it holds it back, and takes what has come of its own. */
void out_write(int fd, const char *text, size_t size)
{
    const struct timespec at_once = {0};
    sigset_t pipe, before, pending;

    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    while (size > 0 && write_some(fd, &text, &size))
        continue;
    if (sigismember(&pending, SIGPIPE) == 0)
        while (sigtimedwait(&pipe, NULL, &at_once) < 0 && errno == EINTR)
            continue;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}
