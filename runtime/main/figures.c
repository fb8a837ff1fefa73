/* SPDX-License-Identifier: Apache-2.0 */
#include "figures.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "quantity.h"

#define SECOND_NS ((int64_t)1000 * 1000 * 1000)

/* ------------------------------------------------------------------------------- the looks -- */

static void take_rate(struct figures *figures, const struct weir_status *status, int64_t now_ns)
{
    double seconds = (double)(now_ns - figures->seen_ns) / (double)SECOND_NS;
    uint64_t more = status->records_emitted - figures->seen_records;
    double rate = (double)more / seconds;
    /* An old rate is forgotten within seconds, however often somebody looks. */
    double share = seconds / (1 + seconds);

    figures->rate = figures->rate < 0 ? rate : figures->rate + share * (rate - figures->rate);
    figures->seen_ns = now_ns;
    figures->seen_records = status->records_emitted;
}

void figures_take(struct figures *figures, const struct weir_status *status, int64_t now_ns)
{
    if (!figures->begun || status->epoch != figures->epoch ||
        status->records_emitted < figures->seen_records)
        *figures = (struct figures){.epoch = status->epoch,
                                    .begun = true,
                                    .seen_ns = now_ns,
                                    .seen_records = status->records_emitted,
                                    .rate = -1};
    else if (now_ns - figures->seen_ns >= SECOND_NS / 10)
        take_rate(figures, status, now_ns);
    if (figures->progress_ns == 0 && status->progress_total > 0) {
        figures->progress_ns = now_ns;
        figures->progress_done = status->progress_done;
    }
}

/* ------------------------------------------------------------------------------- the words -- */

struct words {
    char *text;
    size_t room, used;
};

static void add(struct words *words, const char *format, ...) WEIR_PRINTF(2, 3);
static void add(struct words *words, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int size = vsnprintf(words->text + words->used, words->room - words->used, format, arguments);
    va_end(arguments);
    words->used += size > 0 ? (size_t)size : 0;
    if (words->used >= words->room)
        words->used = words->room - 1;
}

static void add_rate(struct words *words, double rate)
{
    if (rate < 0)
        add(words, "running");
    else if (rate >= 999500)
        add(words, "%.2f M records/s", rate / 1e6);
    else if (rate >= 9999.5)
        add(words, "%.0f k records/s", rate / 1e3);
    else
        add(words, "%.0f records/s", rate);
}

static void add_progress(struct words *words, const struct figures *figures,
                         const struct weir_status *status, int64_t now_ns)
{
    uint64_t total = status->progress_total;
    uint64_t done = status->progress_done < total ? status->progress_done : total;
    int64_t passed_ns = now_ns - figures->progress_ns;
    char left[DURATION_TEXT];

    if (total == 0)
        return;
    add(words, " | %d %%", (int)(100 * (double)done / (double)total));
    /* In its first second a run is no measure for the rest. */
    if (figures->progress_ns == 0 || passed_ns < SECOND_NS || done <= figures->progress_done ||
        done == total)
        return;
    double speed = (double)(done - figures->progress_done) / (double)passed_ns;
    double left_ns = (double)(total - done) / speed;
    if (left_ns < 1e18)
        add(words, ", %s left", duration_round((int64_t)left_ns + SECOND_NS - 1, left));
}

static void add_checkpoint(struct words *words, const struct figures_checkpoint *checkpoint)
{
    char took[DURATION_TEXT], bytes[BYTES_TEXT], flight[BYTES_TEXT];

    if (checkpoint->id > 0 && checkpoint->duration_ns == 0)
        add(words, " | restored from checkpoint %" PRIu64, checkpoint->id);
    else if (checkpoint->id > 0)
        add(words, " | checkpoint %" PRIu64 ": %.1f s old, took %s, %s", checkpoint->id,
            (double)checkpoint->age_ns / (double)SECOND_NS,
            duration_print(checkpoint->duration_ns, took), bytes_print(checkpoint->bytes, bytes));
    if (checkpoint->flight_bytes > 0)
        add(words, ", %s in flight", bytes_print(checkpoint->flight_bytes, flight));
}

void figures_print(const struct figures *figures, const struct weir_status *status,
                   const struct figures_checkpoint *checkpoint, uint32_t restarts, int64_t now_ns,
                   char *text, size_t room)
{
    struct words words = {.text = text, .room = room};

    add_rate(&words, figures->rate);
    add_progress(&words, figures, status, now_ns);
    if (restarts > 0)
        add(&words, " | %" PRIu32 " restart%s", restarts, restarts == 1 ? "" : "s");
    add_checkpoint(&words, checkpoint);
}
