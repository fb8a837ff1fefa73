/* SPDX-License-Identifier: Apache-2.0 */
#include "surroundings.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static void odd_handler(int number)
{
    (void)number;
}

static void read_environment(char *text, size_t room)
{
    size_t size = 0;
    for (char **variable = environ; *variable; variable++) {
        size_t length = strlen(*variable) + 1;
        cr_assert_lt(size + length, room, "a large environment");
        memcpy(text + size, *variable, length);
        size += length;
    }
    text[size] = 0;
}

static mode_t read_umask(void)
{
    mode_t mask = umask(0);
    umask(mask);
    return mask;
}

static void look(struct surroundings *seen)
{
    memset(seen, 0, sizeof *seen);
    for (int i = 1; i < SURROUNDINGS_SIGNALS; i++)
        sigaction(i, NULL, &seen->actions[i]);
    pthread_sigmask(SIG_SETMASK, NULL, &seen->mask);
    seen->umask = read_umask();
    read_environment(seen->environment, sizeof seen->environment);
    snprintf(seen->locale, sizeof seen->locale, "%s", setlocale(LC_ALL, NULL));
    cr_assert_not_null(getcwd(seen->folder, sizeof seen->folder));
    pthread_getname_np(pthread_self(), seen->thread, sizeof seen->thread);
    for (int i = 0; i < 3; i++)
        fstat(i, &seen->streams[i]);
    for (unsigned i = 0; i < RLIM_NLIMITS; i++)
        getrlimit((__rlimit_resource_t)i, &seen->limits[i]);
}

static void disturb(void)
{
    static const int handled[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCHLD, SIGALRM};
    struct sigaction odd = {.sa_handler = odd_handler, .sa_flags = SA_NODEFER};
    sigset_t mask;
    sigaddset(&odd.sa_mask, SIGWINCH);
    for (size_t i = 0; i < sizeof handled / sizeof handled[0]; i++)
        sigaction(handled[i], &odd, NULL);
    signal(SIGPIPE, SIG_DFL); /* a library that writes to sockets may be tempted */
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    umask(0137);
    setenv("WEIR_TEST_ODD", "here", 1);
    setenv("ZSYS_LINGER", "12345", 1); /* meant for somebody else's CZMQ: it must stay */
    setlocale(LC_ALL, "C.UTF-8");
    setlocale(LC_NUMERIC, "C");
}

void surroundings_look(struct surroundings *seen)
{
    disturb();
    look(seen);
    srandom(20260101);
    for (int i = 0; i < SURROUNDINGS_RANDOM; i++)
        seen->expected[i] = random();
    srandom(20260101);
}

void surroundings_same(const struct surroundings *before)
{
    static struct surroundings now;
    look(&now);
    for (int i = 0; i < SURROUNDINGS_RANDOM && !before->random_is_free; i++)
        cr_assert_eq(random(), before->expected[i], "random() goes on differently (%d)", i);
    srandom(20260101);
    for (int i = 1; i < SURROUNDINGS_SIGNALS; i++) {
        cr_expect_eq(now.actions[i].sa_handler, before->actions[i].sa_handler, "signal %d", i);
        cr_expect_eq(now.actions[i].sa_flags, before->actions[i].sa_flags, "flags of %d", i);
        cr_expect_eq(memcmp(&now.actions[i].sa_mask, &before->actions[i].sa_mask, 8), 0);
    }
    cr_expect_eq(memcmp(&now.mask, &before->mask, 8), 0, "the signal mask");
    cr_expect_eq(now.umask, before->umask, "umask %o, not %o", now.umask, before->umask);
    cr_expect_eq(memcmp(now.environment, before->environment, sizeof now.environment), 0,
                 "the environment");
    cr_expect_str_eq(now.locale, before->locale);
    cr_expect_str_eq(now.folder, before->folder);
    cr_expect_str_eq(now.thread, before->thread);
    for (int i = 0; i < 3; i++)
        cr_expect_eq(now.streams[i].st_ino, before->streams[i].st_ino, "stream %d", i);
    cr_expect_eq(memcmp(now.limits, before->limits, sizeof now.limits), 0, "a limit");
}
