/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include <time.h>
#include <unistd.h>

#define PATIENCE_NS INT64_C(1000000000)
#define EVERY_NS INT64_C(100000000)
#define WIDTH 40u

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Some is read twice, so it never says that all is done. */
static void draw(struct progress *progress)
{
    uint64_t done = progress->done < progress->total ? progress->done : progress->total;
    double part = progress->total == 0 ? 0 : (double)done / (double)progress->total;
    unsigned full = (unsigned)(part * WIDTH), percent = (unsigned)(part * 99);
    char read[PAPER_TEXT], of[PAPER_TEXT];
    paper_bytes(done, read);
    paper_bytes(progress->total, of);
    fprintf(stderr, "\r\033[K[%.*s%*s] %u %%, %s of %s", (int)full,
            "########################################", (int)(WIDTH - full), "", percent, read, of);
    fflush(stderr);
    progress->shown = true;
}

static void on_read(void *context, uint64_t bytes)
{
    struct progress *progress = context;
    int64_t now = now_ns();
    progress->done += bytes;
    if (now < progress->next_ns)
        return;
    progress->next_ns = now + EVERY_NS;
    draw(progress);
}

void progress_begin(struct progress *progress, struct weir_store *store, uint64_t total)
{
    *progress =
        (struct progress){.store = store, .total = total, .terminal = isatty(STDERR_FILENO) == 1};
    progress->next_ns = now_ns() + PATIENCE_NS;
    if (progress->terminal)
        weir_store_watch(store, on_read, progress);
}

void progress_hide(struct progress *progress)
{
    if (progress->shown)
        fputs("\r\033[K", stderr);
    fflush(stderr);
    progress->shown = false;
}

void progress_end(struct progress *progress)
{
    progress_hide(progress);
    weir_store_watch(progress->store, NULL, NULL);
}
