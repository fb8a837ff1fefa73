/* SPDX-License-Identifier: Apache-2.0
 *
 * limits: what the machine does without weir: copying, compressing as checkpoints do, making a file
 * durable as a commit does. So that a figure of weir's can be read as a ratio to a limit of the
 * same minute. Says JSON lines, see RESULTS.md; the first of them is about the machine.
 */
#include <errno.h>
#include <fcntl.h>
#include <lz4frame.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arguments.h"
#include "clocks.h"
#include "die.h"
#include "draws.h"
#include "folder.h"
#include "machine.h"
#include "results.h"
#include "spread.h"

#define STEPS 4
#define SIZE ((size_t)64 << 20) /* beyond what caches hold */
#define ENTRY 24                /* of the state that is compressed: sizes, key, count */
#define APPEND 4096

struct bench {
    double seconds; /* of each limit */
    int rounds, done;
    unsigned char *from, *to;
    size_t room; /* of `to` */
};

static void *take(size_t size)
{
    void *memory = malloc(size);
    if (!memory)
        die("limits", "out of memory");
    return memory;
}

/* Entries as the keyed count's state has them, in the order of a log: keys without order, counts
 * that are small. */
static void make_state(unsigned char *bytes, size_t size)
{
    uint64_t state = DRAWS_SEED;
    memset(bytes, 0, size);
    for (size_t at = 0; at + ENTRY <= size; at += ENTRY) {
        uint64_t entry[3] = {8 | (uint64_t)8 << 32, draws_below(&state, 1000000),
                             draws_below(&state, 100)};
        memcpy(bytes + at, entry, sizeof entry);
    }
}

/* Bytes of one go. */
static size_t copy_once(struct bench *bench)
{
    memcpy(bench->to, bench->from, SIZE);
    return SIZE;
}

static size_t compress_once(struct bench *bench)
{
    const LZ4F_preferences_t preferences = {.frameInfo = {.blockSizeID = LZ4F_max64KB}};
    size_t size = LZ4F_compressFrame(bench->to, bench->room, bench->from, SIZE, &preferences);
    if (LZ4F_isError(size))
        die("limits", LZ4F_getErrorName(size));
    return size;
}

/* GB/s, of SIZE bytes a go, for as long as a round takes. */
static double rate_of(struct bench *bench, size_t (*once)(struct bench *))
{
    int64_t began_ns = now_ns(), now;
    double bytes = 0;
    do {
        once(bench);
        bytes += (double)SIZE;
        now = now_ns();
    } while ((double)(now - began_ns) < bench->seconds * 1e9);
    return bytes / (double)(now - began_ns);
}

static void say_rate(struct bench *bench, const char *name, size_t (*once)(struct bench *))
{
    double rates[SPREAD_MOST];
    struct results_row row;
    double ratio = (double)SIZE / (double)once(bench); /* and memory is there */
    for (int i = 0; i < bench->rounds; i++)
        rates[i] = rate_of(bench, once);
    results_row(&row, name);
    results_figure(&row, "rate", "GB/s", RESULTS_MORE, rates, bench->rounds);
    if (once == compress_once)
        results_figure(&row, "ratio", "", RESULTS_MORE, &ratio, 1);
    results_end(&row);
    results_step(++bench->done, STEPS);
}

static _Noreturn void die_of(const char *path)
{
    char text[FOLDER_ROOM + 100];
    snprintf(text, sizeof text, "%s: %s", path, strerror(errno));
    die("limits", text);
}

static void append(int file, const char *path)
{
    static const char bytes[APPEND];
    if (write(file, bytes, sizeof bytes) != (ssize_t)sizeof bytes)
        die_of(path);
}

static void sync_folder(const char *path)
{
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || fsync(folder) != 0)
        die_of(path);
    close(folder);
}

/* What one commit of a small checkpoint cannot do without. */
static void commit_once(const char *folder, const char *staged, const char *final)
{
    int file = open(staged, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0)
        die_of(staged);
    append(file, staged);
    if (fsync(file) != 0 || close(file) != 0 || rename(staged, final) != 0)
        die_of(staged);
    sync_folder(folder);
}

static void say_commit(struct bench *bench)
{
    static struct histogram times;
    char folder[FOLDER_ROOM], staged[FOLDER_ROOM], final[FOLDER_ROOM];
    struct results_row row;
    int64_t end_ns = now_ns() + (int64_t)(bench->seconds * bench->rounds * 1e9), began_ns;
    folder_path(NULL, folder);
    folder_path("staged", staged);
    folder_path("final", final);
    while ((began_ns = now_ns()) < end_ns) {
        commit_once(folder, staged, final);
        histogram_add(&times, (uint64_t)(now_ns() - began_ns), 1);
    }
    results_row(&row, "commit");
    results_histogram(&row, "commit", "ns", &times);
    results_end(&row);
    results_step(++bench->done, STEPS);
}

static void say_append(struct bench *bench)
{
    static struct histogram times;
    char path[FOLDER_ROOM];
    struct results_row row;
    int64_t end_ns = now_ns() + (int64_t)(bench->seconds * bench->rounds * 1e9), began_ns;
    int file = open(folder_path("appended", path), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0)
        die_of(path);
    while ((began_ns = now_ns()) < end_ns) {
        append(file, path);
        if (fdatasync(file) != 0)
            die_of(path);
        histogram_add(&times, (uint64_t)(now_ns() - began_ns), 1);
    }
    close(file);
    results_row(&row, "append");
    results_histogram(&row, "append", "ns", &times);
    results_end(&row);
    results_step(++bench->done, STEPS);
}

static void say_machine(void)
{
    char folder[FOLDER_ROOM];
    fputs("{\"line\": \"machine\", \"machine\": ", stdout);
    machine_print(folder_path(NULL, folder), stdout);
    fputs("}\n", stdout);
    fflush(stdout);
}

static void usage(void)
{
    fprintf(stderr,
            "usage: limits [--seconds 0.01..60] [--rounds 1..%d]\n"
            "each limit is measured for --seconds (0.5), --rounds (5) times\n",
            SPREAD_MOST);
    exit(2);
}

static void take_arguments(int argc, char **argv, struct bench *bench)
{
    const struct argument known[] = {
        {.name = "--seconds", .least = 0.01, .most = 60, .real = &bench->seconds},
        {.name = "--rounds", .least = 1, .most = SPREAD_MOST, .whole = &bench->rounds},
    };
    if (!arguments_take(argc, argv, known, sizeof known / sizeof *known))
        usage();
}

int main(int argc, char **argv)
{
    struct bench bench = {.seconds = 0.5, .rounds = 5, .room = LZ4F_compressFrameBound(SIZE, NULL)};
    struct machine_time began = machine_read();
    take_arguments(argc, argv, &bench);
    say_machine();
    results_step(0, STEPS);
    bench.from = take(SIZE);
    bench.to = take(bench.room);
    make_state(bench.from, SIZE);
    say_rate(&bench, "memcpy", copy_once);
    say_rate(&bench, "lz4", compress_once);
    say_commit(&bench);
    say_append(&bench);
    free(bench.from);
    free(bench.to);
    results_use(machine_use(began, machine_read()));
    return 0;
}
