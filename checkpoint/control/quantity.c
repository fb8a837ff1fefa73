/* SPDX-License-Identifier: Apache-2.0 */
#include "quantity.h"

#include <inttypes.h>
#include <stdio.h>

const char *duration_round(int64_t ns, char text[DURATION_TEXT])
{
    int64_t seconds = ns / 1000000000;

    if (seconds < 60)
        snprintf(text, DURATION_TEXT, "%" PRId64 " s", seconds);
    else if (seconds < 3600)
        snprintf(text, DURATION_TEXT, "%" PRId64 " min %" PRId64 " s", seconds / 60, seconds % 60);
    else
        snprintf(text, DURATION_TEXT, "%" PRId64 " h %" PRId64 " min", seconds / 3600,
                 seconds / 60 % 60);
    return text;
}

const char *duration_print(int64_t ns, char text[DURATION_TEXT])
{
    if (ns < 1000000)
        snprintf(text, DURATION_TEXT, "%" PRId64 " us", ns / 1000);
    else if (ns < 99950000)
        snprintf(text, DURATION_TEXT, "%.1f ms", (double)ns / 1e6);
    else if (ns < 999500000)
        snprintf(text, DURATION_TEXT, "%.0f ms", (double)ns / 1e6);
    else if (ns < 60000000000)
        snprintf(text, DURATION_TEXT, "%.1f s", (double)ns / 1e9);
    else
        return duration_round(ns, text);
    return text;
}

const char *bytes_print(uint64_t bytes, char text[BYTES_TEXT])
{
    static const char *const names[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    double size = (double)bytes / 1000;
    size_t i = 0;

    if (bytes < 1000) {
        snprintf(text, BYTES_TEXT, "%" PRIu64 " B", bytes);
        return text;
    }
    while (size >= 999.5 && i + 1 < sizeof names / sizeof names[0]) {
        size /= 1000;
        i++;
    }
    snprintf(text, BYTES_TEXT, size < 99.95 ? "%.1f %s" : "%.0f %s", size, names[i]);
    return text;
}
