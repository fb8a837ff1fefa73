/* SPDX-License-Identifier: Apache-2.0 */
/* links: main */
/*
 * The last words of a process that crashes, and what its parent makes of them.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash.h"
#include "trace.h"

static struct crash *crash; /* shared with children */
static char text[8000];

static void setup(void)
{
    crash = mmap(NULL, sizeof *crash, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(crash, MAP_FAILED);
    frames_prime();
}
TestSuite(crash, .init = setup);

__attribute__((noinline)) static void fall_into_the_weir(int signal)
{
    static volatile int *volatile nowhere = (volatile int *)64; /* a sanitizer looks for NULL */
    static volatile int survived;

    if (signal == SIGSEGV)
        *nowhere = 1;
    else if (signal == SIGABRT)
        abort();
    else
        raise(signal);
    survived = survived + 1; /* so that nothing above is the last thing, which would be a jump */
}

/* How a child ends that watches for crashes, and then has one. */
static int child_ends(int signal, void (*prepare)(void))
{
    pid_t child = fork();
    int status = 0;

    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        for (int one = 1; one < 32; one++) /* the test's own, and a sanitizer's */
            if (one != SIGKILL && one != SIGSTOP)
                sigaction(one, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
        if (prepare != NULL)
            prepare();
        crash_watch(crash);
        fall_into_the_weir(signal);
        _exit(77);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    return status;
}

static void print_trace(void)
{
    cr_assert(atomic_load(&crash->traced));
    cr_assert(crash->frame_count > 0 && crash->frame_count <= FRAMES_MOST);
    trace_print(crash->frames, crash->frame_count, text, sizeof text);
}

Test(crash, trace_begins_with_the_function_that_crashed)
{
    int status = child_ends(SIGSEGV, NULL);

    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "it dies of it all the same");
    cr_assert_eq(crash->signal, SIGSEGV);
    cr_assert_eq(crash->fault, (void *)64);
    print_trace();
    cr_assert_eq(strncmp(text, "#0 fall_into_the_weir+0x", 24), 0, "%s", text);
    cr_assert_not_null(strstr(text, " child_ends+0x"), "%s", text);
    cr_assert_not_null(strstr(text, " in test_crash\n"), "%s", text);
}

Test(crash, every_signal_of_a_broken_program_leaves_a_trace)
{
    const int signals[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};

    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        crash_wipe(crash);
        int status = child_ends(signals[i], NULL);
        cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == signals[i], "signal %d: %x",
                  signals[i], (unsigned)status);
        cr_assert_eq(crash->signal, signals[i]);
        print_trace();
        cr_assert_not_null(strstr(text, " fall_into_the_weir"), "signal %d: %s", signals[i], text);
    }
}

static void own_handler(int signal)
{
    (void)signal;
    _exit(42);
}
static void have_own_handler(void)
{
    signal(SIGSEGV, own_handler);
}

Test(crash, handler_of_the_program_stays_its_own)
{
    int status = child_ends(SIGSEGV, have_own_handler);

    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    cr_assert(!atomic_load(&crash->traced));
}

Test(crash, what_is_no_crash_leaves_no_words)
{
    int status = child_ends(SIGKILL, NULL);
    struct weir_failure where;

    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    cr_assert(!atomic_load(&crash->claimed));
    cr_assert(!crash_where(crash, &where));
}

Test(crash, texts_of_a_dead_process_end_somewhere)
{
    struct weir_failure where;

    memset(crash, 'x', sizeof *crash);
    atomic_store(&crash->located, true);
    cr_assert(crash_where(crash, &where));
    cr_assert_eq(strlen(where.node), sizeof where.node - 1);
    cr_assert_eq(strlen(where.preview), sizeof where.preview - 1);
    cr_assert_eq(strlen(where.doing), CRASH_DOING - 1u);
    cr_assert_eq(where.size, sizeof where);
}

/* --- traces ------------------------------------------------------------------------------- */

Test(trace, names_functions_of_libraries_and_says_what_is_nowhere)
{
    void *addresses[] = {(char *)(uintptr_t)&weir_hash + 1, (void *)16, NULL};

    trace_print(addresses, 3, text, sizeof text);
    cr_assert_not_null(strstr(text, "#0 weir_hash+0x1 in "), "%s", text);
    cr_assert_not_null(strstr(text, "#1 0x10, in no object\n"), "%s", text);
    cr_assert_not_null(strstr(text, "#2 0x0, in no object\n"), "%s", text);
}

Test(trace, address_to_return_to_belongs_to_the_function_that_called)
{
    char *function = (char *)(uintptr_t)&weir_hash;
    void *addresses[] = {function, function};

    trace_print(addresses, 2, text, sizeof text);
    cr_assert_not_null(strstr(text, "#0 weir_hash+0x0"), "%s", text);
    cr_assert_null(strstr(text, "#1 weir_hash"), "the call was before its first byte: %s", text);
}

Test(trace, only_whole_lines_are_printed)
{
    void *addresses[FRAMES_MOST];

    for (int i = 0; i < FRAMES_MOST; i++)
        addresses[i] = (void *)(uintptr_t)(16 + i);
    for (size_t room = 1; room < 300; room++) {
        memset(text, 'x', sizeof text);
        trace_print(addresses, FRAMES_MOST, text, room);
        size_t size = strlen(text);
        cr_assert_lt(size, room);
        cr_assert(size == 0 || text[size - 1] == '\n', "room %zu: %s", room, text);
        cr_assert_eq(text[room], 'x');
    }
}
