/* links: flow */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that may have no more descriptors or threads: a start that needs them says so, gives
 * back what it has taken, and the next one, with more, is exact.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <sys/resource.h>
#include <time.h>

#include "exercised.h"
#include "flow.h"

static struct scratch scratch;
static void scratch_open(void)
{
    scratch = scratch_make();
}
static void scratch_close(void)
{
    scratch_free(&scratch);
}
TestSuite(job_shortage, .init = scratch_open, .fini = scratch_close, .timeout = 300);

#define RECORDS 500

static void draw(struct flow *flow, struct ledger *ledger, const char *endpoint)
{
    ledger_init(ledger, RECORDS);
    flow_init(flow);
    flow->options.store = scratch.path;
    flow->options.endpoint = endpoint;
    weir_node source = flow_numbers(flow, "numbers", RECORDS, 0, 2);
    weir_node pass = weir_flat_map(flow->graph, "pass", flow_pass, NULL);
    weir_connect(flow->graph, source, pass, WEIR_SPREAD);
    weir_connect(flow->graph, pass, ledger_sink(flow->graph, "sink", ledger, 2), WEIR_BY_KEY);
}

static void erase(struct flow *flow, struct ledger *ledger)
{
    flow_free(flow);
    ledger_free(ledger);
}

static unsigned entries(const char *path)
{
    unsigned count = 0;
    DIR *folder = opendir(path);
    cr_assert_not_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

/* What a start that failed must not leave. */
struct left {
    unsigned descriptors, threads;
};
static struct left look(void)
{
    return (struct left){entries("/proc/self/fd"), entries("/proc/self/task")};
}
static void expect_same(const struct left *before, const char *after, unsigned which)
{
    time_t end = time(NULL) + 60; /* the system lists a thread that was joined a little longer */
    while (entries("/proc/self/task") > before->threads && time(NULL) < end)
        sched_yield();
    struct left now = look();
    cr_expect_eq(now.descriptors, before->descriptors, "%s %u: descriptors", after, which);
    cr_expect_leq(now.threads, before->threads, "%s %u: threads", after, which);
}

/* ------------------------------------------------------------------------- descriptors -- */

static void allow_descriptors(unsigned most)
{
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = most < limit.rlim_max ? most : limit.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* With one more each time, until the start succeeds; how often it did not. What the job does then
 * with so few is up to it - libzmq would end the process. */
static unsigned starve(const char *endpoint)
{
    struct flow flow;
    struct ledger ledger;
    unsigned refused = 0;
    draw(&flow, &ledger, endpoint);
    int lowest = dup(0);
    close(lowest);
    for (unsigned more = 0;; more++, refused++) {
        struct left before = look();
        allow_descriptors((unsigned)lowest + more);
        enum weir_result result = weir_job_start(flow.graph, &flow.options, &flow.job, &flow.error);
        if (result == WEIR_OK) {
            enum weir_outcome outcome = flow_wait(&flow);
            cr_expect(outcome == WEIR_OUTCOME_ENDED || flow.error.os_error == EMFILE, "%s",
                      flow.error.text);
            flow_close(&flow);
            allow_descriptors(UINT32_MAX);
            break;
        }
        allow_descriptors(UINT32_MAX);
        cr_assert(result == WEIR_IO && flow.error.os_error == EMFILE, "%u more: %s", more,
                  flow.error.text);
        cr_assert_gt(strlen(flow.error.text), 20);
        cr_assert_null(flow.job);
        expect_same(&before, endpoint, more);
        cr_assert_lt(more, 500);
    }
    flow_finish(&flow);
    ledger_is(&ledger, RECORDS, 1);
    erase(&flow, &ledger);
    return refused;
}

Test(job_shortage, a_start_with_too_few_descriptors_says_so_and_gives_all_back)
{
    unsigned refused = starve("inproc");
    cr_expect_gt(refused, 10);
    scratch_close();
    scratch_open();
    unsigned over_network = starve("tcp://127.0.0.1");
    cr_expect_gt(over_network, refused);
    exercised(refused + over_network);
}

/* ----------------------------------------------------------------------------- threads -- */

/* Those whose code is this program's, the weir in it: not those of libzmq or Criterion. */
extern const char __executable_start[], etext[];
static unsigned threads_made, thread_refused; /* the n-th; 0: none */

typedef int create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                   void *argument)
{
    void *found = dlsym(RTLD_NEXT, "pthread_create");
    create *real;
    uintptr_t at = (uintptr_t)start;
    memcpy(&real, &found, sizeof real);
    bool ours = at >= (uintptr_t)__executable_start && at < (uintptr_t)etext;
    if (ours && ++threads_made == thread_refused)
        return EAGAIN;
    return real(thread, attributes, start, argument);
}

Test(job_shortage, a_thread_that_can_not_be_had_ends_the_start_and_all_is_given_back)
{
    struct flow flow;
    struct ledger ledger;
    unsigned which = 0;
    draw(&flow, &ledger, "inproc");
    while (true) {
        struct left before = look();
        threads_made = 0;
        thread_refused = ++which;
        enum weir_result result = weir_job_start(flow.graph, &flow.options, &flow.job, &flow.error);
        if (result == WEIR_OK)
            break;
        cr_assert(result == WEIR_IO && flow.error.os_error == EAGAIN, "%s", flow.error.text);
        cr_assert_not_null(strstr(flow.error.text, "starting the thread "), "%s", flow.error.text);
        cr_assert_null(flow.job);
        expect_same(&before, "thread", which);
    }
    cr_expect_eq(which, threads_made + 1, "each thread was refused once");
    cr_expect_gt(which, 5);
    flow_ends(&flow, WEIR_OUTCOME_ENDED);
    ledger_is(&ledger, RECORDS, 1);
    erase(&flow, &ledger);
    exercised(which - 1);
}
