/* SPDX-License-Identifier: Apache-2.0
 *
 * outside: see outside.h.
 */
#include "outside.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clocks.h"
#include "die.h"

#define STOPPED 6 /* weir_main's exit code after a stop */
#define TEXT 100

static _Noreturn void die_of(const char *what, const char *why)
{
    char text[600];
    snprintf(text, sizeof text, "%s: %s", what, why);
    die("outside", text);
}

/* ----------------------------------------------------------------------- the program -- */

static void find_program(char path[512])
{
    ssize_t size = readlink("/proc/self/exe", path, 480);
    if (size < 0)
        die_of("/proc/self/exe", strerror(errno));
    path[size] = 0;
    strcpy(strrchr(path, '/'), "/paced");
}

/* In the child. It ends with its parent: where that was killed between fork and prctl, there is
 * nobody left to read, and the first event ends it. */
static _Noreturn void become_program(const struct outside *outside, int events)
{
    const struct outside_options *options = &outside->options;
    char path[512], interval[TEXT], keys[TEXT], rate[TEXT], every[TEXT];
    char output[FOLDER_ROOM + TEXT];
    find_program(path);
    snprintf(interval, sizeof interval, "%" PRId64 "ms", options->interval_ms);
    snprintf(keys, sizeof keys, "keys=%" PRIu64, options->keys);
    snprintf(rate, sizeof rate, "rate=%" PRIu64, options->per_second);
    snprintf(every, sizeof every, "every=%" PRIu64, options->every);
    snprintf(output, sizeof output, "output=%s", outside->output);
    prctl(PR_SET_PDEATHSIG, options->supervised ? SIGTERM : SIGKILL);
    dup2(events, STDOUT_FILENO);
    execl(path, path, "run", "--json", "--store", outside->store, "--interval", interval, "--set",
          keys, "--set", rate, "--set", every, "--set", output,
          options->supervised ? "--supervise" : (char *)NULL, (char *)NULL);
    die_of(path, strerror(errno));
}

static void start_program(struct outside *outside)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        die_of("pipe", strerror(errno));
    fflush(stdout);
    outside->pid = fork();
    if (outside->pid < 0)
        die_of("fork", strerror(errno));
    if (outside->pid == 0)
        become_program(outside, ends[1]);
    close(ends[1]);
    outside->events = ends[0];
}

/* ------------------------------------------------------------------------ its events -- */

static void take_event(struct outside *outside, const char *line, int64_t heard_ns)
{
    json_t *said = json_loads(line, 0, NULL);
    const char *name = json_string_value(json_object_get(said, "event"));
    struct outside_event event = {.heard_ns = heard_ns};
    if (!name)
        die_of("no event", line);
    event.pid = (pid_t)json_integer_value(json_object_get(said, "pid"));
    event.duration_ns = json_integer_value(json_object_get(said, "duration_ns"));
    bool runs = strcmp(name, "start") == 0 || strcmp(name, "restored") == 0;
    event.kind = runs ? OUTSIDE_RUNS : OUTSIDE_COMMITTED;
    if (runs || strcmp(name, "committed") == 0)
        outside->hooks.event(outside->hooks.context, &event);
    json_decref(said);
}

static void read_events(struct outside *outside)
{
    size_t room = sizeof outside->text - 1 - outside->held;
    ssize_t size = read(outside->events, outside->text + outside->held, room);
    int64_t heard_ns = now_ns();
    if (size <= 0)
        die("outside", "the program has ended too early; it has said why");
    outside->held += (size_t)size;
    outside->text[outside->held] = 0;
    char *line = outside->text, *end;
    while ((end = strchr(line, '\n'))) {
        *end = 0;
        take_event(outside, line, heard_ns);
        line = end + 1;
    }
    outside->held -= (size_t)(line - outside->text);
    memmove(outside->text, line, outside->held);
    if (outside->held == sizeof outside->text - 1)
        die("outside", "an event is too long");
}

/* ------------------------------------------------------------------------ its output -- */

static void check_line(struct outside *outside, const char *path, const char *line, uint64_t number,
                       uint64_t count)
{
    const struct outside_options *options = &outside->options;
    char text[200];
    uint64_t due = outside->next ? outside->next : number;
    if (number == due && count == number / options->keys + 1) {
        outside->next = number + options->every;
        return;
    }
    snprintf(text, sizeof text, "wrong: \"%.60s\", where number %" PRIu64 " is due, count %" PRIu64,
             line, due, due / options->keys + 1);
    die_of(path, text);
}

static void read_part(struct outside *outside, const char *name, int64_t seen_ns)
{
    char path[FOLDER_ROOM + NAME_MAX + 2], line[TEXT];
    int64_t oldest_ns = 0, due_ns = 0;
    snprintf(path, sizeof path, "%s/%s", outside->output, name);
    FILE *file = fopen(path, "r");
    if (!file)
        die_of(path, strerror(errno));
    while (fgets(line, sizeof line, file)) {
        uint64_t number, count;
        line[strcspn(line, "\n")] = 0;
        if (sscanf(line, "%" SCNu64 " %" SCNd64 " %" SCNu64, &number, &due_ns, &count) != 3)
            die_of(path, "no such line is written");
        check_line(outside, path, line, number, count);
        oldest_ns = oldest_ns ? oldest_ns : due_ns;
        outside->hooks.line(outside->hooks.context, due_ns, seen_ns);
    }
    fclose(file);
    if (oldest_ns)
        outside->hooks.part(outside->hooks.context, oldest_ns, due_ns, seen_ns);
}

static void read_notices(struct outside *outside)
{
    _Alignas(struct inotify_event) char bytes[16384];
    ssize_t size = read(outside->notices, bytes, sizeof bytes);
    int64_t seen_ns = now_ns();
    if (size <= 0)
        die_of(outside->output, strerror(errno));
    for (ssize_t at = 0; at < size;) {
        const struct inotify_event *notice = (const struct inotify_event *)(bytes + at);
        if (notice->mask & IN_Q_OVERFLOW)
            die_of(outside->output, "too much has happened at once");
        if (notice->len > 0 && strncmp(notice->name, "part-", 5) == 0)
            read_part(outside, notice->name, seen_ns);
        at += (ssize_t)(sizeof *notice + notice->len);
    }
}

static void watch_output(struct outside *outside)
{
    if (mkdir(outside->output, 0700) != 0)
        die_of(outside->output, strerror(errno));
    outside->notices = inotify_init1(IN_CLOEXEC);
    if (outside->notices < 0 ||
        inotify_add_watch(outside->notices, outside->output, IN_MOVED_TO | IN_CREATE) < 0)
        die_of(outside->output, strerror(errno));
}

/* ------------------------------------------------------------------------------------- -- */

void outside_start(struct outside *outside, const struct outside_options *options,
                   const struct outside_hooks *hooks)
{
    memset(outside, 0, sizeof *outside);
    outside->options = *options;
    outside->hooks = *hooks;
    folder_path("output", outside->output);
    folder_path("store", outside->store);
    watch_output(outside);
    start_program(outside);
}

void outside_pass(struct outside *outside, int64_t until_ns, const bool *enough)
{
    struct pollfd polled[2] = {{.fd = outside->notices, .events = POLLIN},
                               {.fd = outside->events, .events = POLLIN}};
    int64_t left_ns;
    while (!*enough && (left_ns = until_ns - now_ns()) > 0) {
        struct timespec left = {left_ns / 1000000000, left_ns % 1000000000};
        if (ppoll(polled, 2, &left, NULL) < 0 && errno != EINTR)
            die_of("ppoll", strerror(errno));
        if (polled[0].revents)
            read_notices(outside);
        if (polled[1].revents)
            read_events(outside);
    }
}

/* Its last words are read, so that it does not wait for a reader. */
void outside_stop(struct outside *outside)
{
    char words[4096];
    int status;
    kill(outside->pid, SIGTERM);
    while (read(outside->events, words, sizeof words) > 0)
        continue;
    if (waitpid(outside->pid, &status, 0) != outside->pid || !WIFEXITED(status) ||
        WEXITSTATUS(status) != STOPPED)
        die("outside", "the program has not stopped as it was asked to");
    close(outside->events);
    close(outside->notices);
    folder_remove(outside->output);
    folder_remove(outside->store);
}
